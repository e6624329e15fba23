//! handle_continue: ahead of everything.

use incarnate::{Context, Error, ExitReason, GenServer, Init, Never, Next, Node, noreply, stop, sys};

use crate::lab::*;

/// Has its server called back with `continue`, and answers from there.
fn noted(what: &'static str) -> Act<Next> {
    then(move |lab, _| {
        lab.seen.note(what);
        noreply()
    })
}

#[tokio::test(start_paused = true)]
async fn gs_057_and_rule_2_7_1_a_continue_of_init_is_ahead_of_what_was_in_the_mailbox() {
    let node = Node::new("a");
    let seen = Seen::default();
    let sent = node.clone();
    let plan = Plan::new(&seen, move |lab, cx| {
        cx.server().cast(Cast::Slow(ms(0)));
        // A system message and an exit wait behind it, too.
        let (server, node) = (cx.server(), sent.clone());
        tokio::spawn(async move { sys::suspend(&node, &server, ms(1000)).await });
        cx.continue_with(noted("first"));
        Ok(Init::Ready(lab))
    });
    let lab = Lab::server(plan.slow(ms(10))).on(&node).start().await.unwrap();
    until("its suspension", || look(&lab).suspended).await;
    assert_eq!(seen.take(), ["continue", "first", "cast"]);
}

#[tokio::test(start_paused = true)]
async fn gs_058_a_continue_of_each_callback_is_ahead_of_the_mailbox() {
    let (lab, seen) = lab(&Node::new("a")).await;
    let replied = lab.send_request(|to| {
        Call::Do(
            to,
            Box::new(|to, _, cx| {
                cx.continue_with(noted("a"));
                to.reply(1)
            }),
        )
    });
    let later = lab.send_request(|to| {
        Call::Do(
            to,
            Box::new(|to, _, cx| {
                cx.continue_with(then(move |_, _| {
                    assert!(to.send(2));
                    noreply()
                }));
                noreply()
            }),
        )
    });
    tell(&lab, |_, cx| {
        cx.continue_with(noted("b"));
        noreply()
    });
    say(&lab, |_, cx| {
        cx.continue_with(noted("c"));
        noreply()
    });
    assert_eq!(value(&lab).await, Ok(0));
    assert_eq!((replied.receive(ms(10)).await, later.receive(ms(10)).await), (Ok(1), Ok(2)));
    let expected = "call continue a call continue cast continue b info continue c call";
    assert_eq!(seen.take().join(" "), expected);
}

#[tokio::test(start_paused = true)]
async fn rule_2_7_2_the_reply_is_sent_before_the_continue_runs() {
    let (lab, _) = lab(&Node::new("a")).await;
    let (tell, told) = tokio::sync::oneshot::channel();
    let mut request = lab.send_request(|to| {
        Call::Do(
            to,
            Box::new(|to, _, cx| {
                cx.continue_with(then(move |_, _| {
                    // The continue runs: the answer must be there already.
                    let _ = tell.send(());
                    noreply()
                }));
                to.reply(1)
            }),
        )
    });
    told.await.unwrap();
    assert_eq!(request.check(), Some(Ok(1)));
}

#[tokio::test(start_paused = true)]
async fn gs_059_a_chain_of_continues_stays_ahead_and_in_order() {
    let (lab, seen) = lab(&Node::new("a")).await;
    tell(&lab, |_, cx| {
        cx.continue_with(then(|lab, cx| {
            lab.seen.note("1");
            cx.continue_with(noted("3"));
            noreply()
        }));
        cx.continue_with(noted("2"));
        noreply()
    });
    value(&lab).await.unwrap();
    assert_eq!(seen.take().join(" "), "cast continue 1 continue 2 continue 3 call");
}

#[tokio::test(start_paused = true)]
async fn gs_060_a_continue_that_stops() {
    let (lab, seen) = lab(&Node::new("a")).await;
    tell(&lab, |_, cx| {
        cx.continue_with(then(|_, _| stop(ExitReason::Normal)));
        cx.continue_with(noted("never"));
        noreply()
    });
    assert_eq!(lab.ended().await, ExitReason::Normal);
    assert_eq!(seen.take(), ["cast", "continue", "terminate normal"]);
}

#[tokio::test(start_paused = true)]
async fn rule_2_7_4_a_crash_in_the_continue_of_init_is_no_failed_start() {
    trapping(&Node::new("a"), |mut me| async move {
        let seen = Seen::default();
        let plan = Plan::new(&seen, |lab, cx| {
            cx.continue_with(then(|_, _| Err(Error::exit(boom()))));
            Ok(Init::Ready(lab))
        });
        let lab = Lab::start_link(plan).await.unwrap();
        assert_eq!(exit_of(&mut me).await, (lab.pid(), boom()));
        assert_eq!(seen.take(), ["continue", "terminate \"boom\""]);
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn rule_2_7_5_an_exit_that_waits_behind_a_continue_is_served_after_it() {
    let (seen, node) = (Seen::default(), Node::new("a"));
    let plan = Plan::trapping(&seen);
    let (tell_child, child) = tokio::sync::oneshot::channel();
    let parent = node.spawn(|mut me: incarnate::Process<u32>| async move {
        let lab = Lab::start_link(plan).await.unwrap();
        let _ = tell_child.send(lab);
        let _ = me.receive().await;
        boom()
    });
    let lab = child.await.unwrap();
    tell(&lab, move |_, cx| {
        // Ends its parent and continues: nothing awaits in between, so its exit comes once it runs.
        cx.exit(cx.parent().unwrap(), ExitReason::Kill);
        cx.continue_with(noted("first"));
        cx.continue_with(noted("second"));
        noreply()
    });
    assert_eq!(parent.ended().await, ExitReason::Killed);
    assert_ne!(lab.ended().await, ExitReason::Normal);
    assert_eq!(seen.take().join(" "), "cast continue first continue second terminate killed");
}

#[tokio::test(start_paused = true)]
async fn gs_013_and_gs_062_timed_messages_from_a_continue() {
    let node = Node::new("a");
    for (delay, expected) in [(0, "continue info timed cast"), (50, "continue cast")] {
        let seen = Seen::default();
        let plan = Plan::new(&seen, move |lab, cx| {
            cx.server().cast(Cast::Slow(ms(0)));
            cx.continue_with(then(move |_, cx| {
                cx.event_timeout(ms(delay), Say::Word("timed"));
                noreply()
            }));
            Ok(Init::Ready(lab))
        });
        let lab = Lab::server(plan).on(&node).start().await.unwrap();
        pause(ms(100)).await;
        assert_eq!(seen.take().join(" "), expected);
        lab.stop().await.unwrap();
    }
}

/// Asks for a continue that it does not have.
struct Undefined;

impl GenServer for Undefined {
    type Args = ();
    type Call = Never;
    type Cast = Never;
    type Info = Never;
    type Continue = ();

    async fn init((): (), cx: &mut Context<Self>) -> incarnate::Result<Init<Self>> {
        cx.continue_with(());
        Ok(Init::Ready(Undefined))
    }

    async fn handle_call(
        &mut self,
        call: Never,
        _: &mut Context<Self>,
    ) -> incarnate::Result<incarnate::CallReply> {
        match call {}
    }
}

#[tokio::test(start_paused = true)]
async fn gs_102_a_continue_without_its_callback_is_undef() {
    trapping(&Node::new("a"), |mut me| async move {
        let server = Undefined::start_link(()).await.unwrap();
        let (from, reason) = exit_of(&mut me).await;
        assert_eq!(from, server.pid());
        assert!(
            reason.to_string().contains("undef") && reason.to_string().contains("handle_continue"),
            "{reason}"
        );
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn gs_108_a_failure_inside_handle_info_is_not_taken_for_a_missing_one() {
    let (lab, _) = lab(&Node::new("a")).await;
    say(&lab, |_, _| Err(Error::msg("undef: inside")));
    assert!(lab.ended().await.to_string().contains("undef: inside"));
}

/// Continues without end and never awaits.
fn again() -> Act<Next> {
    then(|lab, cx| {
        lab.value += 1;
        cx.continue_with(again());
        noreply()
    })
}

#[tokio::test(start_paused = true)]
async fn a_server_that_continues_for_ever_lets_others_run_and_can_be_killed() {
    let node = Node::new("a");
    let (lab, _) = lab(&node).await;
    tell(&lab, |_, cx| {
        cx.continue_with(again());
        noreply()
    });
    let (other, _) = crate::lab::lab(&node).await;
    assert_eq!(value(&other).await, Ok(0));
    node.exit(lab.pid(), ExitReason::Kill);
    assert_eq!(lab.ended().await, ExitReason::Killed);
}
