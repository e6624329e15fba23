//! Calls and casts.

use incarnate::{
    CallError, CallReply, Context, Error, ExitReason, GenServer, Init, Name, Never, Node, ReplyTo, ServerRef,
    Then, noreply, stop,
};

use crate::lab::*;

const NAME: LabName = LabName::new("calls");

#[tokio::test(start_paused = true)]
async fn gs_037_and_rule_2_5_9_a_caller_that_gives_up_harms_nobody_and_is_served() {
    trapping(&Node::new("a"), |mut me| async move {
        let (lab, seen) = lab(me.node()).await;
        lab.cast(Cast::Slow(ms(5000)));
        for timeout in [0, 1, 400] {
            let answer = lab.call_timeout(|to| Call::Slow(to, ms(0)), ms(timeout)).await;
            assert_eq!(answer, Err(CallError::Timeout));
        }
        assert_eq!(seen.take(), ["cast"]);
        pause(ms(6000)).await;
        assert_eq!(seen.take(), ["call", "call", "call"]);
        assert_eq!(value(&lab).await, Ok(0));
        quiet(&mut me).await;
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn rule_2_5_1_the_default_timeout_is_five_seconds() {
    let (lab, _) = lab(&Node::new("a")).await;
    let begin = tokio::time::Instant::now();
    assert_eq!(lab.call(|to| Call::Slow(to, ms(4990))).await, Ok(0));
    let mid = begin.elapsed();
    assert_eq!(lab.call(|to| Call::Slow(to, ms(60_000))).await, Err(CallError::Timeout));
    let waited = begin.elapsed() - mid;
    assert!(waited >= ms(5000) && waited <= ms(5150), "{waited:?}");
}

#[tokio::test(start_paused = true)]
async fn rule_2_5_4_what_a_caller_hears_of_the_end_of_the_server() {
    let node = Node::new("a");
    let ends: [(fn(&mut Context<Lab>) -> incarnate::Result<CallReply>, ExitReason); 4] = [
        (|_| stop(ExitReason::Normal), ExitReason::Normal),
        (|_| stop(boom()), boom()),
        (|_| Err(Error::exit(boom())), boom()),
        (
            |cx| {
                cx.exit(cx.pid(), ExitReason::Kill);
                noreply()
            },
            ExitReason::Killed,
        ),
    ];
    for (end, reason) in ends {
        let (lab, _) = lab(&node).await;
        // One is in work, one was put off, one waits in the mailbox.
        let later = lab.send_request(|to| {
            Call::Do(
                to,
                Box::new(|to, lab, _| {
                    lab.kept.push(to);
                    noreply()
                }),
            )
        });
        let current = lab.send_request(|to| Call::Do(to, Box::new(move |_, _, cx| end(cx))));
        let waiting = lab.send_request(|to| Call::Slow(to, ms(0)));
        for request in [later, current, waiting] {
            assert_eq!(request.receive(ms(1000)).await, Err(CallError::Exit(reason.clone())));
        }
        assert_eq!(value(&lab).await, Err(CallError::NoProc));
    }
}

#[tokio::test(start_paused = true)]
async fn rule_2_5_6_a_reply_comes_later_from_anybody_once() {
    let node = Node::new("a");
    let (lab, _) = lab(&node).await;
    let answer = ask(&lab, |to, _, _| {
        tokio::spawn(async move {
            pause(ms(10)).await;
            assert!(to.send(5));
        });
        noreply()
    });
    assert_eq!(answer.await, Ok(5));
    // A caller that gave up has left: the answer goes nowhere, and the one after it is its own.
    let (tell, told) = tokio::sync::oneshot::channel();
    let late = lab.call_timeout(
        |to| {
            Call::Do(
                to,
                Box::new(move |to, _, _| {
                    tokio::spawn(async move {
                        pause(ms(200)).await;
                        let _ = tell.send(to.send(6));
                    });
                    noreply()
                }),
            )
        },
        ms(100),
    );
    assert_eq!(late.await, Err(CallError::Timeout));
    let next = lab.call(|to| Call::Slow(to, ms(500)));
    assert_eq!(next.await, Ok(0));
    assert!(!told.await.unwrap());
}

#[tokio::test(start_paused = true)]
async fn gs_053_a_cast_returns_at_once_and_its_answers_count() {
    let (lab, seen) = lab(&Node::new("a")).await;
    tell(&lab, |_, _| noreply().timeout(ms(100)));
    assert_eq!(seen.take(), Vec::<String>::new());
    pause(ms(150)).await;
    assert_eq!(seen.take(), ["cast", "timeout"]);
    tell(&lab, |_, _| stop(boom()));
    assert_eq!(lab.ended().await, boom());
    assert_eq!(seen.take(), ["cast", "terminate \"boom\""]);
}

#[tokio::test(start_paused = true)]
async fn rule_2_5_7_a_cast_never_fails_and_is_counted_when_it_goes_nowhere() {
    inside(&Node::new("a"), |me| async move {
        let node = me.node().clone();
        let (lab, _) = lab(&node).await;
        lab.stop().await.unwrap();
        lab.cast(Cast::Slow(ms(0)));
        NAME.cast(Cast::Slow(ms(0)));
        assert_eq!(node.dead_letters(), 2);
        lab.send(Say::Word("x"));
        assert_eq!(node.dead_letters(), 3);
        assert!(NAME.send(Say::Word("x")).is_err());
        assert_eq!(NAME.call(|to| Call::Slow(to, ms(0))).await, Err(CallError::NoProc));
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn rule_2_4_1_calls_casts_and_messages_of_one_sender_keep_their_order() {
    let (lab, seen) = lab(&Node::new("a")).await;
    let mut expected = Vec::new();
    for round in 0..300 {
        match round % 3 {
            0 => lab.cast(Cast::Slow(ms(0))),
            1 => lab.send(Say::Word("m")),
            _ => drop(lab.send_request(|to| Call::Slow(to, ms(0)))),
        }
        expected.push(["cast", "info m", "call"][round % 3]);
    }
    value(&lab).await.unwrap();
    expected.push("call");
    assert_eq!(seen.take(), expected);
}

/// A server that calls itself by reference, by name, and through a request.
struct Narcissus;

const SELF: Name<ReplyTo<u32>> = Name::new("self");

impl GenServer for Narcissus {
    type Args = ();
    type Call = ReplyTo<u32>;
    type Cast = Never;
    type Info = Never;
    type Continue = Never;

    async fn init((): (), _: &mut Context<Self>) -> incarnate::Result<Init<Self>> {
        Ok(Init::Ready(Narcissus))
    }

    async fn handle_call(
        &mut self,
        to: ReplyTo<u32>,
        cx: &mut Context<Self>,
    ) -> incarnate::Result<CallReply> {
        let me: ServerRef<ReplyTo<u32>> = cx.server();
        assert_eq!(me.call(|to| to).await, Err(CallError::CallingSelf));
        assert_eq!(me.call_timeout(|to| to, incarnate::Timeout::Infinity).await, Err(CallError::CallingSelf));
        assert_eq!(SELF.call(|to| to).await, Err(CallError::CallingSelf));
        assert_eq!(me.send_request(|to| to).receive(ms(10)).await, Err(CallError::CallingSelf));
        to.reply(1)
    }
}

#[tokio::test(start_paused = true)]
async fn gs_077_a_server_that_calls_itself_is_told_at_once() {
    let narcissus = Narcissus::server(()).name(SELF).on(&Node::new("a")).start().await.unwrap();
    assert_eq!(narcissus.call(|to| to).await, Ok(1));
}

#[tokio::test(start_paused = true)]
async fn a_bounded_mailbox_refuses_calls_and_casts_and_no_signal() {
    let node = Node::new("a");
    let seen = Seen::default();
    let lab = Lab::server(Plan::trapping(&seen)).on(&node).mailbox_bound(2).start().await.unwrap();
    lab.cast(Cast::Slow(ms(100)));
    until("work", || seen.len() == 1).await;
    lab.cast(Cast::Slow(ms(0)));
    lab.cast(Cast::Slow(ms(0)));
    assert_eq!(value(&lab).await, Err(CallError::Overloaded));
    assert!(lab.try_cast(Cast::Slow(ms(0))).is_err());
    node.exit(lab.pid(), boom());
    incarnate::sys::get_status(&node, &lab, ms(1000)).await.unwrap();
    assert_eq!(seen.take(), ["cast", "cast", "cast", "exit \"boom\""]);
    assert_eq!(value(&lab).await, Ok(0));
}

#[tokio::test(start_paused = true)]
async fn an_info_that_is_asked_for_is_told_of_the_end_too() {
    let node = Node::new("a");
    let asked: incarnate::ProcessRef<ReplyTo<u32>> =
        node.spawn(|mut me: incarnate::Process<ReplyTo<u32>>| async move {
            let _kept = me.receive().await;
            boom()
        });
    assert_eq!(asked.ask_info(|to| to, ms(1000)).await, Err(CallError::Exit(boom())));
}

/// A call that is never answered, under way beside the test.
fn unanswered(lab: &LabRef, timeout: std::time::Duration) -> tokio::task::JoinHandle<Option<CallError>> {
    let lab = lab.clone();
    let keep = |to, lab: &mut Lab, _: &mut Context<Lab>| {
        lab.kept.push(to);
        noreply()
    };
    tokio::spawn(async move { lab.call_timeout(|to| Call::Do(to, Box::new(keep)), timeout).await.err() })
}

#[tokio::test(start_paused = true)]
async fn a_call_gives_up_when_its_time_has_passed_in_however_large_steps() {
    let (lab, _) = lab(&Node::new("a")).await;
    // The first has nobody look at deadlines yet, the others have.
    for round in 1..=3 {
        let begin = tokio::time::Instant::now();
        let call = unanswered(&lab, ms(5000));
        until("the request", || look(&lab).messages_handled == round).await;
        tokio::time::advance(ms(4900)).await;
        tokio::task::yield_now().await;
        assert!(!call.is_finished());
        tokio::time::advance(ms(5100)).await;
        until("the timeout", || call.is_finished()).await;
        assert_eq!(begin.elapsed(), ms(10_000));
        assert_eq!(call.await.unwrap(), Some(CallError::Timeout));
    }
}

#[tokio::test]
async fn a_call_gives_up_in_time_though_its_thread_was_held() {
    let (lab, _) = lab(&Node::new("a")).await;
    let begin = std::time::Instant::now();
    let call = unanswered(&lab, ms(1000));
    pause(ms(120)).await;
    std::thread::sleep(ms(1500)); // sleep: holds the thread, which no virtual time does
    assert_eq!(call.await.unwrap(), Some(CallError::Timeout));
    let waited = begin.elapsed();
    assert!(waited >= ms(1500) && waited < ms(2100), "{waited:?}");
}

#[tokio::test]
async fn a_call_does_not_give_up_early_though_its_thread_was_held_before() {
    let (lab, _) = lab(&Node::new("a")).await;
    let first = unanswered(&lab, ms(60_000));
    pause(ms(120)).await;
    std::thread::sleep(ms(1000)); // sleep: holds the thread, which no virtual time does
    let begin = std::time::Instant::now();
    let second = unanswered(&lab, ms(500));
    assert_eq!(second.await.unwrap(), Some(CallError::Timeout));
    let waited = begin.elapsed();
    assert!(waited >= ms(500) && waited < ms(1000), "{waited:?}");
    first.abort();
}
