//! Integer timeouts and timed messages: two kinds that differ on purpose.

use incarnate::{GenServer, Init, Node, Then, noreply, sys};

use crate::lab::*;

/// A lab whose callback of this kind has just answered or asked for something, and the callbacks seen by then.
async fn after(kind: &str, node: &Node, act: Act<incarnate::Next>) -> (LabRef, Seen) {
    let (lab, seen) = lab(node).await;
    match kind {
        "call" => {
            let call = lab.send_request(|to| {
                Call::Do(
                    to,
                    Box::new(move |to, lab, cx| {
                        to.send(0);
                        act(lab, cx).map(Into::into)
                    }),
                )
            });
            call.receive(ms(10)).await.unwrap();
        }
        "cast" => lab.cast(Cast::Do(act)),
        "info" => lab.send(Say::Do(act)),
        _ => tell(&lab, |_, cx| {
            cx.continue_with(act);
            noreply()
        }),
    }
    let expected = if kind == "continue" { 2 } else { 1 };
    until("the callback", || seen.len() == expected).await;
    seen.take();
    (lab, seen)
}

const KINDS: [&str; 4] = ["call", "cast", "info", "continue"];

#[tokio::test(start_paused = true)]
async fn gs_063_and_rule_2_8_1_a_message_cancels_an_integer_timeout() {
    let node = Node::new("a");
    for kind in KINDS {
        for message in ["call", "cast", "info", "down"] {
            let (lab, seen) = after(
                kind,
                &node,
                then(|_, cx| {
                    let other = cx.node().spawn(|me: incarnate::Process<u32>| async move {
                        pause(ms(50)).await;
                        drop(me);
                    });
                    cx.monitor(&other);
                    noreply().timeout(ms(100))
                }),
            )
            .await;
            match message {
                "call" => drop(value(&lab).await),
                "cast" => lab.cast(Cast::Slow(ms(0))),
                "info" => lab.send(Say::Word("x")),
                _ => {}
            }
            pause(ms(500)).await;
            assert!(!seen.take().contains(&"timeout".to_owned()), "{kind} {message}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn rule_2_8_1_an_integer_timeout_fires_once_after_its_time() {
    let node = Node::new("a");
    for kind in KINDS {
        let (_lab, seen) = after(kind, &node, then(|_, _| noreply().timeout(ms(100)))).await;
        pause(ms(95)).await;
        assert_eq!(seen.take(), Vec::<String>::new());
        pause(ms(10)).await;
        assert_eq!(seen.take(), ["timeout"]);
        pause(ms(1000)).await;
        assert_eq!(seen.take(), Vec::<String>::new());
    }
}

#[tokio::test(start_paused = true)]
async fn rule_2_8_1_an_integer_timeout_of_init() {
    let node = Node::new("a");
    for delay in [0, 100] {
        let seen = Seen::default();
        let plan = Plan::new(&seen, move |lab, _| Ok(Init::Timeout(lab, ms(delay))));
        let _lab = Lab::server(plan).on(&node).start().await.unwrap();
        pause(ms(delay + 5)).await;
        assert_eq!(seen.take(), ["timeout"]);
    }
}

#[tokio::test(start_paused = true)]
async fn gs_063_and_rule_2_8_1_a_system_message_restarts_an_integer_timeout_in_full() {
    let node = Node::new("a");
    let (lab, seen) = after("cast", &node, then(|_, _| noreply().timeout(ms(100)))).await;
    pause(ms(90)).await;
    sys::get_status(&node, &lab, ms(10)).await.unwrap();
    pause(ms(90)).await;
    sys::get_state(&node, &lab, |_: &Lab| (), ms(10)).await.unwrap();
    pause(ms(90)).await;
    assert_eq!(seen.take(), Vec::<String>::new());
    pause(ms(15)).await;
    assert_eq!(seen.take(), ["timeout"]);
}

#[tokio::test(start_paused = true)]
async fn rule_2_8_1_suspended_no_integer_timeout_fires_and_it_starts_anew_at_resume() {
    let node = Node::new("a");
    let (lab, seen) = after("cast", &node, then(|_, _| noreply().timeout(ms(200)))).await;
    pause(ms(150)).await;
    sys::suspend(&node, &lab, ms(10)).await.unwrap();
    pause(ms(1000)).await;
    sys::resume(&node, &lab, ms(10)).await.unwrap();
    pause(ms(190)).await;
    assert_eq!(seen.take(), Vec::<String>::new());
    pause(ms(15)).await;
    assert_eq!(seen.take(), ["timeout"]);
}

#[tokio::test(start_paused = true)]
async fn rule_2_8_2_a_zero_timeout_lets_a_queued_message_go_first() {
    let node = Node::new("a");
    let (lab, seen) = lab(&node).await;
    tell(&lab, |_, _| noreply().timeout(ms(0)));
    lab.cast(Cast::Slow(ms(0)));
    pause(ms(10)).await;
    assert_eq!(seen.take(), ["cast", "cast"]);
    tell(&lab, |_, _| noreply().timeout(ms(0)));
    pause(ms(10)).await;
    assert_eq!(seen.take(), ["cast", "timeout"]);
}

/// One that had fired when a message cancelled it still lies in the mailbox, and is nothing.
#[tokio::test(start_paused = true)]
async fn rule_2_8_2_a_stale_timeout_is_no_message_and_swallows_no_zero_timeout() {
    let (lab, seen) = lab(&Node::new("a")).await;
    lab.cast(Cast::Timed(ms(10), ms(20)));
    tell(&lab, |_, _| noreply().timeout(ms(0)));
    pause(ms(100)).await;
    assert_eq!(seen.take(), ["cast", "cast", "timeout"]);
    // With nothing in between it counts.
    lab.cast(Cast::Timed(ms(10), ms(20)));
    pause(ms(100)).await;
    assert_eq!(seen.take(), ["cast", "info timed"]);
}

/// Works whenever nothing waits: the use of a zero timeout.
#[tokio::test(start_paused = true)]
async fn a_server_that_is_never_idle_lets_others_run_and_can_be_killed() {
    struct Busy;
    impl GenServer for Busy {
        type Args = ();
        type Call = incarnate::Never;
        type Cast = incarnate::Never;
        type Info = incarnate::Never;
        type Continue = incarnate::Never;
        async fn init((): (), _: &mut incarnate::Context<Self>) -> incarnate::Result<Init<Self>> {
            Ok(Init::Timeout(Busy, ms(0)))
        }
        async fn handle_call(
            &mut self,
            call: incarnate::Never,
            _: &mut incarnate::Context<Self>,
        ) -> incarnate::Result<incarnate::CallReply> {
            match call {}
        }
        async fn handle_info(
            &mut self,
            _: incarnate::Info<incarnate::Never>,
            _: &mut incarnate::Context<Self>,
        ) -> incarnate::Result<incarnate::Next> {
            noreply().timeout(ms(0))
        }
    }
    let node = Node::new("a");
    let busy = Busy::server(()).on(&node).start().await.unwrap();
    let (other, _) = lab(&node).await;
    assert_eq!(value(&other).await, Ok(0));
    assert_eq!(busy.stop().await, Ok(()));
    let busy = Busy::server(()).on(&node).start().await.unwrap();
    node.exit(busy.pid(), boom());
    assert_eq!(busy.ended().await, boom());
}

#[tokio::test(start_paused = true)]
async fn gs_011_a_timed_message_of_init_comes_after_its_time_unless_a_request_comes() {
    let node = Node::new("a");
    for (interrupt, expected) in [("", "info timed"), ("call", "call"), ("sys", "info timed")] {
        let seen = Seen::default();
        let plan = Plan::new(&seen, |lab, cx| {
            cx.event_timeout(ms(100), Say::Word("timed"));
            Ok(Init::Ready(lab))
        });
        let lab = Lab::server(plan).on(&node).start().await.unwrap();
        pause(ms(60)).await;
        match interrupt {
            "call" => drop(value(&lab).await),
            "sys" => drop(sys::get_status(&node, &lab, ms(10)).await.unwrap()),
            _ => {}
        }
        pause(ms(50)).await;
        // Neither cancelled nor restarted by the system message.
        assert_eq!(seen.take().join(" "), expected, "{interrupt}");
        pause(ms(500)).await;
        assert_eq!(seen.take(), Vec::<String>::new());
    }
}

#[tokio::test(start_paused = true)]
async fn gs_012_a_timed_message_wakes_a_hibernated_server() {
    let node = Node::new("a");
    let seen = Seen::default();
    let plan = Plan::new(&seen, |lab, cx| {
        cx.event_timeout(ms(100), Say::Word("timed"));
        Ok(Init::Hibernate(lab))
    });
    let lab = Lab::server(plan).on(&node).start().await.unwrap();
    hibernates(&lab).await;
    pause(ms(99)).await;
    assert!(is_hibernated(&lab));
    sys::get_status(&node, &lab, ms(1)).await.unwrap();
    hibernates(&lab).await;
    pause(ms(5)).await;
    assert_eq!(seen.take(), ["info timed"]);
    assert!(!is_hibernated(&lab));
}

#[tokio::test(start_paused = true)]
async fn gs_061_timed_messages_of_each_callback() {
    let node = Node::new("a");
    for kind in KINDS {
        for interrupt in ["", "call", "cast", "info", "sys"] {
            for hibernate in [false, true] {
                let act = then(move |_, cx| {
                    cx.event_timeout(ms(100), Say::Word("timed"));
                    if hibernate { noreply().hibernate() } else { noreply() }
                });
                let (lab, seen) = after(kind, &node, act).await;
                if hibernate {
                    hibernates(&lab).await;
                }
                pause(ms(60)).await;
                let expected = match interrupt {
                    "call" => value(&lab).await.map(|_| "call").unwrap(),
                    "cast" => {
                        lab.cast(Cast::Slow(ms(0)));
                        "cast"
                    }
                    "info" => {
                        lab.send(Say::Word("x"));
                        "info x"
                    }
                    "sys" => sys::get_status(&node, &lab, ms(10)).await.map(|_| "info timed").unwrap(),
                    _ => "info timed",
                };
                pause(ms(45)).await;
                assert_eq!(seen.take(), [expected], "{kind} {interrupt} {hibernate}");
                assert!(!is_hibernated(&lab));
                pause(ms(500)).await;
                assert_eq!(seen.take(), Vec::<String>::new());
            }
        }
    }
}

#[tokio::test(start_paused = true)]
async fn gs_062_a_timed_message_of_zero_is_ahead_of_the_mailbox() {
    let node = Node::new("a");
    for kind in ["call", "cast", "info", "continue"] {
        for hibernate in [false, true] {
            let act = then(move |_, cx| {
                // In the mailbox before the timed message is asked for.
                cx.server().cast(Cast::Slow(ms(0)));
                cx.event_timeout(ms(0), Say::Word("timed"));
                if hibernate { noreply().hibernate() } else { noreply() }
            });
            let (lab, seen) = lab(&node).await;
            match kind {
                "call" => lab
                    .send_request(|to| {
                        Call::Do(
                            to,
                            Box::new(move |to, lab, cx| {
                                to.send(0);
                                act(lab, cx).map(Into::into)
                            }),
                        )
                    })
                    .receive(ms(10))
                    .await
                    .map(drop)
                    .unwrap(),
                "cast" => lab.cast(Cast::Do(act)),
                "info" => lab.send(Say::Do(act)),
                _ => tell(&lab, |_, cx| {
                    cx.continue_with(act);
                    noreply()
                }),
            }
            pause(ms(10)).await;
            let seen = seen.take();
            assert_eq!(seen[seen.len() - 2..], ["info timed", "cast"], "{kind} {hibernate}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn rule_2_8_3_a_second_timed_message_replaces_the_first() {
    let (lab, seen) = lab(&Node::new("a")).await;
    tell(&lab, |_, cx| {
        cx.event_timeout(ms(10), Say::Word("first"));
        cx.event_timeout(ms(50), Say::Word("second"));
        noreply()
    });
    pause(ms(100)).await;
    assert_eq!(seen.take(), ["cast", "info second"]);
}

#[tokio::test(start_paused = true)]
async fn rule_2_8_3_a_timed_message_waits_while_suspended() {
    let node = Node::new("a");
    let (lab, seen) = after(
        "cast",
        &node,
        then(|_, cx| {
            cx.event_timeout(ms(100), Say::Word("timed"));
            noreply()
        }),
    )
    .await;
    sys::suspend(&node, &lab, ms(10)).await.unwrap();
    pause(ms(500)).await;
    assert_eq!(seen.take(), Vec::<String>::new());
    sys::resume(&node, &lab, ms(10)).await.unwrap();
    pause(ms(1)).await;
    assert_eq!(seen.take(), ["info timed"]);
}
