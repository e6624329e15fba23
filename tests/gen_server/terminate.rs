//! When terminate runs: the table of rule 2.1, row by row.

use incarnate::{Error, ExitReason, GenServer, Init, Node, Process, ProcessRef, noreply, stop};

use crate::lab::*;

/// A lab linked to a process that traps exits, ended as `end` says; what it saw, and how its parent sees its end.
async fn ended(
    plan: fn(&Seen) -> Plan,
    end: impl FnOnce(&Process<u32>, &LabRef) + Send + 'static,
) -> (Vec<String>, ExitReason) {
    trapping(&Node::new("a"), move |mut me| async move {
        let seen = Seen::default();
        let lab = Lab::start_link(plan(&seen)).await.unwrap();
        end(&me, &lab);
        let (from, reason) = exit_of(&mut me).await;
        assert_eq!(from, lab.pid());
        quiet(&mut me).await;
        (seen.take(), reason)
    })
    .await
}

/// A process that ends with this reason when it is sent something.
fn until_told(node: &Node, reason: ExitReason) -> ProcessRef<u32> {
    node.spawn(|mut me: Process<u32>| async move {
        let _ = me.receive().await;
        reason
    })
}

#[tokio::test(start_paused = true)]
async fn rule_2_1_t1_a_callback_that_stops() {
    for reason in [ExitReason::Normal, ExitReason::Shutdown, boom()] {
        let told = reason.clone();
        let (seen, ended) = ended(Plan::ready, move |_, lab| tell(lab, move |_, _| stop(told))).await;
        assert_eq!(seen, ["cast".to_owned(), format!("terminate {reason}")]);
        assert_eq!(ended, reason);
    }
}

#[tokio::test(start_paused = true)]
async fn rule_2_1_t1_a_stop_from_each_callback() {
    for kind in ["call", "cast", "info", "continue"] {
        let (seen, ended) = ended(Plan::ready, move |_, lab| match kind {
            "call" => {
                let lab = lab.clone();
                tokio::spawn(async move { ask(&lab, |_, _, _| stop(boom())).await });
            }
            "cast" => tell(lab, |_, _| stop(boom())),
            "info" => say(lab, |_, _| stop(boom())),
            _ => tell(lab, |_, cx| {
                cx.continue_with(then(|_, _| stop(boom())));
                noreply()
            }),
        })
        .await;
        assert_eq!(seen.last().unwrap(), "terminate \"boom\"", "{kind}");
        assert!(seen.contains(&kind.to_owned()));
        assert_eq!(ended, boom());
    }
}

#[tokio::test(start_paused = true)]
async fn rule_2_1_t2_a_callback_that_exits_or_fails() {
    let (seen, reason) = ended(Plan::ready, |_, lab| tell(lab, |_, _| Err(Error::exit(boom())))).await;
    assert_eq!(seen, ["cast", "terminate \"boom\""]);
    assert_eq!(reason, boom());
    let (seen, reason) = ended(Plan::ready, |_, lab| tell(lab, |_, _| Err(std::fmt::Error)?)).await;
    assert!(matches!(&reason, ExitReason::Crash(_)));
    assert_eq!(seen, ["cast".to_owned(), format!("terminate {reason}")]);
}

#[tokio::test(start_paused = true)]
async fn rule_2_1_t2_a_callback_that_panics_leaves_its_state_to_terminate() {
    let (seen, reason) = ended(
        |seen| {
            let heard = seen.clone();
            Plan::ready(seen).end(move |_| {
                heard.note("cleaned");
                Ok(())
            })
        },
        |_, lab| tell(lab, |_, _| panic!("in a callback")),
    )
    .await;
    let ExitReason::Crash(crash) = &reason else { panic!("{reason}") };
    assert_eq!(crash.message(), "in a callback");
    assert_eq!(seen, ["cast".to_owned(), format!("terminate {reason}"), "cleaned".to_owned()]);
}

/// Rust has no throw. What is nearest, an error used as a value, ends the server as an exit does.
#[tokio::test(start_paused = true)]
async fn rule_2_1_t3_an_error_is_never_a_return_value() {
    let (seen, reason) =
        ended(Plan::ready, |_, lab| tell(lab, |_, _| Err(Error::exit(ExitReason::Normal)))).await;
    assert_eq!(seen, ["cast", "terminate normal"]);
    assert_eq!(reason, ExitReason::Normal);
}

#[tokio::test(start_paused = true)]
async fn rule_2_1_t4_shutdown_from_the_parent_of_a_trapping_server() {
    let (seen, reason) = ended(Plan::trapping, |me, lab| me.exit(lab, ExitReason::Shutdown)).await;
    assert_eq!(seen, ["terminate shutdown"]);
    assert_eq!(reason, ExitReason::Shutdown);
}

#[tokio::test(start_paused = true)]
async fn rule_2_1_t5_shutdown_to_a_server_that_does_not_trap() {
    let (seen, reason) = ended(Plan::ready, |me, lab| me.exit(lab, ExitReason::Shutdown)).await;
    assert_eq!(seen, Vec::<String>::new());
    assert_eq!(reason, ExitReason::Shutdown);
}

#[tokio::test(start_paused = true)]
async fn rule_2_1_t6_kill_never_runs_terminate() {
    for plan in [Plan::ready, Plan::trapping] {
        let (seen, reason) = ended(plan, |me, lab| me.exit(lab, ExitReason::Kill)).await;
        assert_eq!(seen, Vec::<String>::new());
        assert_eq!(reason, ExitReason::Killed);
    }
}

#[tokio::test(start_paused = true)]
async fn rule_2_1_t6_kill_ends_a_callback_that_waits_and_a_terminate_that_waits() {
    let (seen, reason) = ended(Plan::trapping, |me, lab| {
        lab.cast(Cast::Slow(ms(60_000)));
        let (node, lab) = (me.node().clone(), lab.clone());
        tokio::spawn(async move {
            until("the callback", || look(&lab).callback == incarnate::process::Callback::HandleCast).await;
            node.exit(lab.pid(), ExitReason::Kill);
        });
    })
    .await;
    assert_eq!(seen, ["cast"]);
    assert_eq!(reason, ExitReason::Killed);
}

/// The signal comes before the stop that the callback answers: as in Erlang, where `exit(self(), R)` is the end.
#[tokio::test(start_paused = true)]
async fn rule_2_1_t9_an_untrapped_signal_in_a_callback_comes_before_what_it_answers() {
    for answer in [|| stop(ExitReason::Normal), || Err(Error::msg("late")), || panic!("late")] {
        let (seen, reason) = ended(Plan::ready, move |_, lab| {
            tell(lab, move |_, cx| {
                cx.exit(cx.pid(), boom());
                answer()
            });
        })
        .await;
        assert_eq!(seen, ["cast"]);
        assert_eq!(reason, boom());
    }
}

#[tokio::test(start_paused = true)]
async fn rule_2_1_t7_any_exit_of_the_parent_ends_a_trapping_server() {
    for reason in [ExitReason::Normal, ExitReason::Shutdown, boom()] {
        let (sent, node, seen) = (reason.clone(), Node::new("a"), Seen::default());
        let plan = Plan::trapping(&seen);
        let parent = node.spawn(move |_: Process<u32>| async move {
            Lab::start_link(plan).await.unwrap();
            sent
        });
        assert_eq!(parent.ended().await, reason);
        until("the end of both", || node.process_count() == 0).await;
        assert_eq!(seen.take(), [format!("terminate {reason}")]);
    }
}

#[tokio::test(start_paused = true)]
async fn rule_2_1_t7_an_exit_signal_of_the_parent_counts_as_its_exit() {
    let (seen, reason) = ended(Plan::trapping, |me, lab| me.exit(lab, ExitReason::Normal)).await;
    assert_eq!(seen, ["terminate normal"]);
    assert_eq!(reason, ExitReason::Normal);
}

/// Who starts a server without a link is nobody in particular to it.
#[tokio::test(start_paused = true)]
async fn rule_2_1_t7_a_starter_without_a_link_is_no_parent() {
    inside(&Node::new("a"), |me| async move {
        let seen = Seen::default();
        let lab = Lab::start(Plan::trapping(&seen)).await.unwrap();
        let (monitored, _) = Lab::server(Plan::trapping(&seen)).start_monitor().await.unwrap();
        for lab in [&lab, &monitored] {
            me.exit(lab, boom());
            assert_eq!(value(lab).await, Ok(0));
            assert_eq!(seen.take(), ["exit \"boom\"", "call"]);
        }
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn rule_2_1_t8_exits_of_others_are_messages() {
    let node = Node::new("a");
    let seen = Seen::default();
    let lab = Lab::server(Plan::trapping(&seen)).on(&node).start().await.unwrap();
    for reason in [ExitReason::Normal, boom()] {
        let other = until_told(&node, reason.clone());
        let linked = other.clone();
        ask(&lab, move |to, lab, cx| {
            cx.link(&linked)?;
            to.reply(lab.value)
        })
        .await
        .unwrap();
        other.send(0);
        until("the exit", || seen.len() == 2).await;
        assert_eq!(seen.take(), ["call".to_owned(), format!("exit {reason}")]);
    }
    assert!(lab.is_alive());
}

#[tokio::test(start_paused = true)]
async fn rule_2_1_t9_an_exit_of_a_linked_process_ends_one_that_does_not_trap() {
    let node = Node::new("a");
    let (lab, seen) = lab(&node).await;
    let other = until_told(&node, boom());
    let to = other.clone();
    ask(&lab, move |caller, lab, cx| {
        cx.link(&to)?;
        caller.reply(lab.value)
    })
    .await
    .unwrap();
    other.send(0);
    assert_eq!(lab.ended().await, boom());
    assert_eq!(seen.take(), ["call"]);
}

#[tokio::test(start_paused = true)]
async fn rule_2_1_t10_stop_runs_terminate_without_trapping() {
    let (lab, seen) = lab(&Node::new("a")).await;
    lab.stop_with(boom(), ms(1000)).await.unwrap();
    assert_eq!(seen.take(), ["terminate \"boom\""]);
}

#[tokio::test(start_paused = true)]
async fn rule_2_1_t11_a_failed_init_never_runs_terminate() {
    let node = Node::new("a");
    let seen = Seen::default();
    let inits: [fn(&mut Lab) -> incarnate::Result<Init<Lab>>; 5] = [
        |_| Ok(Init::Ignore),
        |_| Ok(Init::Stop(boom())),
        |_| Ok(Init::Error(boom())),
        |_| Err(Error::exit(boom())),
        |_| panic!("in init"),
    ];
    for init in inits {
        let start = Lab::server(Plan::new(&seen, move |mut lab, _| init(&mut lab))).on(&node);
        assert!(start.start().await.is_err());
    }
    assert_eq!(seen.take(), Vec::<String>::new());
}

#[tokio::test(start_paused = true)]
async fn rule_2_1_t13_a_terminate_that_fails_gives_its_own_reason() {
    let ends: [(fn() -> incarnate::Result<()>, &str); 3] = [
        (|| Err(Error::exit(ExitReason::term("end"))), "\"end\""),
        (|| Err(Error::msg("end")), "end"),
        (|| panic!("end"), "end"),
    ];
    for (end, expected) in ends {
        let plan = Plan::ready(&Seen::default()).end(move |_| end());
        let lab = Lab::server(plan).on(&Node::new("a")).start().await.unwrap();
        let Err(incarnate::StopError::Exit(reason)) = lab.stop_with(boom(), ms(1000)).await else {
            panic!("no other reason")
        };
        assert!(reason.to_string().contains(expected), "{reason}");
    }
}

#[tokio::test(start_paused = true)]
async fn rule_2_1_t16_and_2_5_5_a_reply_leaves_before_terminate() {
    let seen = Seen::default();
    let plan = Plan::ready(&seen).end(|_| Err(Error::exit(boom())));
    let lab = Lab::server(plan).on(&Node::new("a")).start().await.unwrap();
    let answer = ask(&lab, |to, _, _| incarnate::Then::stop(to.reply(3), ExitReason::Normal)).await;
    assert_eq!(answer, Ok(3));
    assert!(matches!(lab.ended().await, reason if reason == boom() || reason == ExitReason::NoProc));
}

#[tokio::test(start_paused = true)]
async fn a_down_is_a_message_and_kills_nobody() {
    let node = Node::new("a");
    let (lab, seen) = lab(&node).await;
    let other = until_told(&node, boom());
    let monitored = other.clone();
    ask(&lab, move |to, lab, cx| {
        cx.monitor(&monitored);
        to.reply(lab.value)
    })
    .await
    .unwrap();
    other.send(0);
    until("the down", || seen.len() == 2).await;
    assert_eq!(seen.take(), ["call", "down \"boom\""]);
    assert!(lab.is_alive());
}
