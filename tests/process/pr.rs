//! Processes as such: exits, names, aliases, introspection (process_SUITE, rules 2.2 and 2.3).

use std::collections::HashSet;
use std::pin::pin;
use std::time::Duration;

use incarnate::process::{AliasMode, Callback, MonitorOptions, RegisterError, SendError, SpawnOptions};
use incarnate::{Error, ExitReason, Info, Me, Name, Never, Node, Process, ProcessRef, Term};

use crate::probe::{Probe, dead, idle, in_time, inside, node, polled_once, wait_for_reason};

fn large() -> ExitReason {
    ExitReason::term(&(0..128 * 1024u32).map(|n| n as u8).collect::<Vec<_>>())
}

#[tokio::test(start_paused = true)]
async fn pr_002_t_exit_1() {
    let node = node();
    let mut trapping = Probe::<u32>::trapping(&node).await;
    let victim = trapping.run(|me| me.spawn_link(wait_for_reason)).await;
    victim.send(large());
    assert_eq!(trapping.next_exit().await, (victim.pid(), large()));
}

#[tokio::test(start_paused = true)]
async fn pr_003_t_exit_2_other() {
    let node = node();
    let mut trapping = Probe::<u32>::trapping(&node).await;
    let victim = trapping.run(|me| me.spawn_link(wait_for_reason)).await;
    let pid = victim.pid();
    trapping.run(move |me| me.exit(pid, large())).await;
    assert_eq!(trapping.next_exit().await, (pid, large()));
}

#[tokio::test(start_paused = true)]
async fn pr_005_self_exit() {
    let node = node();
    let mut trapping = Probe::<u32>::trapping(&node).await;
    for reason in [ExitReason::Normal, ExitReason::term("r")] {
        let given = reason.clone();
        trapping.run(move |me| me.exit(me.pid(), given)).await;
        assert_eq!(trapping.next_exit().await, (trapping.pid(), reason));
    }
    trapping.is_quiet().await;
}

/// Nothing that the process could do keeps it from ending: not another result, not a wait that is over at once.
#[tokio::test(start_paused = true)]
async fn pr_008_t_exit_2_catch() {
    let node = node();
    let reason = ExitReason::term("cannot be caught");
    let given = reason.clone();
    let (tell, told) = tokio::sync::oneshot::channel();
    let process = node.spawn(move |mut me: Process<()>| async move {
        me.receive().await;
        me.exit(me.pid(), given);
        me.receive_after(Duration::ZERO).await;
        let _ = tell.send("it went on");
        Ok::<(), Error>(())
    });
    let mut ended = pin!(process.ended());
    polled_once(&mut ended).await;
    process.send(());
    assert_eq!(in_time(ended).await, reason);
    assert_eq!(in_time(told).await.ok(), None);
}

/// Also when it never awaits again: its own result comes second.
#[tokio::test(start_paused = true)]
async fn an_exit_of_oneself_comes_before_the_own_result() {
    let node = node();
    let process = node.spawn(move |mut me: Process<()>| async move {
        me.receive().await;
        me.exit(me.pid(), ExitReason::Shutdown);
        ExitReason::Normal
    });
    let mut ended = pin!(process.ended());
    polled_once(&mut ended).await;
    process.send(());
    assert_eq!(in_time(ended).await, ExitReason::Shutdown);
}

/// Rules 2.2.1 and 2.2.2.
#[tokio::test(start_paused = true)]
async fn rule_2_2_1_a_normal_exit_of_another_and_of_oneself() {
    let node = node();
    let sender = Probe::<u32>::new(&node);
    let mut plain = Probe::<u32>::new(&node);
    let mut trapping = Probe::<u32>::trapping(&node).await;
    let pids = [plain.pid(), trapping.pid()];
    sender.run(move |me| pids.iter().for_each(|pid| me.exit(*pid, ExitReason::Normal))).await;
    plain.is_quiet().await;
    assert_eq!(
        trapping.next_exit().await,
        (sender.pid(), ExitReason::Normal),
        "from its sender, linked or not"
    );
    // From outside any process it ends nobody either.
    pids.iter().for_each(|pid| node.exit(*pid, ExitReason::Normal));
    plain.is_quiet().await;
    assert_eq!(trapping.next_exit().await, (trapping.pid(), ExitReason::Normal));
    let process = plain.process.clone();
    let mut ended = pin!(process.ended());
    polled_once(&mut ended).await;
    plain.run(|me| me.exit(me.pid(), ExitReason::Normal)).await;
    assert_eq!(in_time(ended).await, ExitReason::Normal);
}

#[tokio::test(start_paused = true)]
async fn pr_010_exit_twice() {
    let node = node();
    let sender = Probe::<u32>::new(&node);
    for second in [ExitReason::term("second"), ExitReason::Kill] {
        let victim = idle(&node);
        let pid = victim.pid();
        let mut ended = pin!(victim.ended());
        polled_once(&mut ended).await;
        sender
            .run(move |me| {
                me.exit(pid, ExitReason::term("first"));
                me.exit(pid, second);
            })
            .await;
        assert_eq!(in_time(ended).await, ExitReason::term("first"));
    }
}

/// What is spawned is a function of the library itself.
#[tokio::test(start_paused = true)]
async fn pr_012_the_spawned_function_is_a_built_in() {
    let node = node();
    let mut trapping = Probe::<u32>::trapping(&node).await;
    let child = trapping
        .run(|me| me.spawn_link(|_: Process<()>| std::future::ready(Err::<(), _>(Error::msg("x")))))
        .await;
    let (from, reason) = trapping.next_exit().await;
    assert_eq!(from, child.pid());
    assert!(matches!(reason, ExitReason::Crash(crash) if crash.message() == "x"));
}

#[tokio::test(start_paused = true)]
async fn pr_019_bad_register() {
    const FIRST: Name<Never, Never, ()> = Name::new("pr_019_first");
    const SECOND: Name<Never, Never, ()> = Name::new("pr_019_second");
    let node = node();
    let (one, two) = (idle(&node), idle(&node));
    let gone = node.spawn(|_: Process<()>| async {});
    in_time(gone.ended()).await;
    let stranger = idle(&Node::new("elsewhere"));
    let holder = one.pid();
    inside(&node, move |me: Process<()>| async move {
        assert_eq!(me.register(FIRST, &gone), Err(RegisterError::NoProc));
        assert_eq!(me.register(FIRST, &stranger), Err(RegisterError::NoProc), "it lives on another node");
        assert_eq!(me.register(FIRST, &one), Ok(()));
        assert_eq!(me.register(FIRST, &two), Err(RegisterError::Taken(one.pid())));
        assert_eq!(me.register(SECOND, &one), Err(RegisterError::HasName("pr_019_first")));
        assert_eq!(me.register(FIRST, &one), Err(RegisterError::HasName("pr_019_first")));
        assert!(!me.unregister(SECOND));
    })
    .await;
    assert_eq!((node.registered(), node.whereis("pr_019_first")), (vec!["pr_019_first"], Some(holder)));
    node.exit(holder, ExitReason::Kill);
    in_time(one_gone(&node, holder)).await;
    assert_eq!(node.registered(), Vec::<&str>::new());
}

async fn one_gone(node: &Node, pid: incarnate::Pid) {
    while node.process_info(pid).is_some() {
        tokio::task::yield_now().await;
    }
}

#[tokio::test(start_paused = true)]
async fn pr_021_process_flag() {
    let node = node();
    let probe = Probe::<u32>::new(&node);
    assert!(!probe.run(|me| me.trap_exit(true)).await, "off by default");
    assert!(probe.run(|me| me.trap_exit(true)).await);
    assert!(node.process_info(probe.pid()).unwrap().trap_exit);
    assert!(probe.run(|me| me.trap_exit(false)).await);
    assert!(!node.process_info(probe.pid()).unwrap().trap_exit);
}

/// Spawning is synchronous: the pid is there before anything can be heard of the process.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn pr_029_pr_030_pr_032_the_pid_comes_before_down_and_exit() {
    let node = node();
    for round in 0..1000u32 {
        inside(&node, move |mut me: Process<()>| async move {
            me.trap_exit(true);
            let crash = |_: Process<()>| async { Err::<(), _>(Error::msg("at once")) };
            let (child, monitor) = me.spawn_monitor(crash);
            match me.receive().await {
                Info::Down(down) => assert_eq!((down.reference, down.object == child.pid()), (monitor, true)),
                other => panic!("round {round}: {other:?}"),
            }
            let child = me.spawn_link(crash);
            match me.receive().await {
                Info::Exit(exit) => {
                    assert_eq!(exit.from, child.pid());
                    assert!(matches!(exit.reason, ExitReason::Crash(_)));
                }
                other => panic!("round {round}: {other:?}"),
            }
            let (_, monitor) = me.spawn_monitor(|_: Process<()>| std::future::pending::<()>());
            assert!(me.demonitor(monitor), "it can be removed as soon as it is known");
        })
        .await;
    }
    node.halt();
}

/// A parent that dies right after it asked for linked children leaves none behind.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn pr_033_spawn_request_link_parent_exit() {
    let node = node();
    for round in 0..2000u32 {
        let reason = ExitReason::shutdown_with(&round);
        let given = reason.clone();
        let (tell, mut told) = tokio::sync::mpsc::unbounded_channel();
        node.spawn(move |me: Process<()>| async move {
            let children: Vec<_> =
                (0..4).map(|_| me.spawn_link(|_: Process<()>| std::future::pending::<()>())).collect();
            for child in children {
                let mut ended = Box::pin(async move { child.ended().await });
                polled_once(&mut ended).await;
                let _ = tell.send(ended);
            }
            me.exit(me.pid(), given);
            std::future::pending::<()>().await;
        });
        for _ in 0..4 {
            let ended = in_time(told.recv()).await.expect("each child came to life");
            assert_eq!(in_time(ended).await, reason);
        }
    }
    while node.process_count() > 0 {
        tokio::task::yield_now().await;
    }
}

/// A parent that was gone already, its handle used by somebody else: the child does not stay.
#[tokio::test(start_paused = true)]
async fn pr_033_a_linked_child_of_a_parent_that_is_gone() {
    let node = node();
    let (tell, told) = tokio::sync::oneshot::channel();
    let parent = node.spawn(move |me: Process<()>| async move {
        let _ = tell.send(me);
    });
    let parent_as_is = in_time(told).await.unwrap();
    in_time(parent.ended()).await;
    let child = parent_as_is.spawn_link(|_: Process<()>| std::future::pending::<()>());
    assert_eq!(in_time(child.ended()).await, ExitReason::NoProc);
    assert_eq!(node.process_count(), 0);
}

#[tokio::test(start_paused = true)]
async fn pr_043_pr_049_pr_050_process_info() {
    const NAME: Name<Never, Never, u32> = Name::new("pr_043");
    let node = node();
    let (tell, mut told) = tokio::sync::mpsc::unbounded_channel();
    let process = node.spawn(move |mut me: Process<u32>| async move {
        let me_now = me.as_ref();
        me.register(NAME, &me_now).unwrap();
        let own = me.node().process_info(me.pid()).unwrap();
        tell.send((own.name, own.callback)).unwrap();
        me.receive_where(|info| matches!(info, Info::User(9))).await;
        tell.send((None, me.node().process_info(me.pid()).unwrap().callback)).unwrap();
        me.receive_after(Duration::from_millis(1)).await;
        tell.send((None, me.node().process_info(me.pid()).unwrap().callback)).unwrap();
        std::future::pending::<()>().await;
    });
    assert_eq!(in_time(told.recv()).await, Some((Some("pr_043"), Callback::Running)));
    [1, 2].iter().for_each(|n| process.send(*n));
    let probe = Probe::<u32>::new(&node);
    probe.run(|_| ()).await;
    let info = node.process_info(process.pid()).unwrap();
    assert_eq!((info.pid, info.name, info.callback), (process.pid(), Some("pr_043"), Callback::Waiting));
    // PR-046: how many wait; what they are is their receiver's secret.
    assert_eq!((info.mailbox_len, info.messages_handled), (2, 0));
    process.send(9);
    assert_eq!(in_time(told.recv()).await, Some((None, Callback::Running)));
    let info = node.process_info(process.pid()).unwrap();
    assert_eq!(info.messages_handled + info.mailbox_len, 3);
    assert_eq!(in_time(told.recv()).await, Some((None, Callback::Running)), "a wait that timed out is over");
    node.exit(process.pid(), ExitReason::Kill);
    in_time(one_gone(&node, process.pid())).await;
    assert!(node.process_info(process.pid()).is_none());
    let stranger = idle(&Node::new("elsewhere")).pid();
    assert!(node.process_info(stranger).is_none());
}

#[tokio::test(start_paused = true)]
async fn pr_053_process_info_parent() {
    let node = node();
    let parent = Probe::<u32>::new(&node);
    assert_eq!(node.process_info(parent.pid()).unwrap().parent, None, "spawned by no process");
    let child = parent.run(|me| me.spawn(|_: Process<()>| std::future::pending::<()>())).await;
    assert_eq!(node.process_info(child.pid()).unwrap().parent, Some(parent.pid()));
    let inner = node.clone();
    let child = parent.run(move |_| idle(&inner)).await;
    assert_eq!(node.process_info(child.pid()).unwrap().parent, Some(parent.pid()), "by whichever door");
    assert_eq!(inside(&node, |me: Process<()>| async move { me.parent() }).await, None);
}

#[tokio::test(start_paused = true)]
async fn pr_060_process_info_label() {
    let node = node();
    let probe = Probe::<u32>::new(&node);
    assert_eq!(node.process_info(probe.pid()).unwrap().label, None);
    probe.run(|me| me.set_label("worker 7")).await;
    assert_eq!(node.process_info(probe.pid()).unwrap().label, Some(Term::from("worker 7")));
    probe.run(|me| me.set_label(Term::encode(&("worker", 8)).unwrap())).await;
    let label = node.process_info(probe.pid()).unwrap().label.unwrap();
    assert_eq!(label.decode::<(String, u8)>().unwrap(), ("worker".to_owned(), 8));
}

async fn heard(me: &mut Process<u32>) -> Option<u32> {
    match me.receive_after(Duration::ZERO).await {
        Some(Info::User(n)) => Some(n),
        None => None,
        other => panic!("{other:?}"),
    }
}

#[tokio::test(start_paused = true)]
async fn pr_066_alias_bif() {
    let node = node();
    inside(&node, |mut me: Process<u32>| async move {
        let alias = me.alias(AliasMode::ExplicitUnalias);
        alias.send(1);
        alias.send(2);
        assert_eq!((heard(&mut me).await, heard(&mut me).await), (Some(1), Some(2)));
        assert!(me.unalias(alias.reference()));
        alias.send(3);
        assert_eq!(heard(&mut me).await, None);
        assert!(!me.unalias(alias.reference()));

        let reply = me.alias(AliasMode::Reply);
        reply.send(4);
        reply.send(5);
        assert_eq!((heard(&mut me).await, heard(&mut me).await), (Some(4), None));
        assert!(!me.unalias(reply.reference()));
        assert!(me.unalias(me.alias(AliasMode::Reply).reference()), "one that was not used");
    })
    .await;
    assert_eq!(node.dead_letters(), 0, "a dead alias drops silently");
}

/// What the alias of a monitor is still good for, after demonitor and after DOWN.
async fn monitor_alias(mode: AliasMode, spawn: bool, fire: bool) -> (Option<u32>, bool) {
    let node = node();
    inside(&node, move |mut me: Process<u32>| async move {
        let options = MonitorOptions::default().alias(mode);
        let (victim, monitor, alias) = if spawn {
            let (victim, monitor, alias) = me.spawn_monitor_with(options, wait_for_reason);
            (victim, monitor, alias.expect("it was asked for"))
        } else {
            let victim = me.spawn(wait_for_reason);
            let (monitor, alias) = me.monitor_alias(&victim, mode);
            (victim, monitor, alias)
        };
        if mode != AliasMode::ReplyDemonitor {
            alias.send(1);
            assert_eq!(heard(&mut me).await, Some(1), "{mode:?} lives while the monitor does");
        }
        if fire {
            victim.send(ExitReason::Normal);
            assert!(matches!(me.receive().await, Info::Down(down) if down.reference == monitor));
        } else {
            assert!(me.demonitor(monitor));
        }
        alias.send(2);
        (heard(&mut me).await, me.unalias(alias.reference()))
    })
    .await
}

#[tokio::test(start_paused = true)]
async fn pr_067_pr_072_pr_073_monitor_alias_explicit_unalias() {
    for (spawn, fire) in [(false, false), (false, true), (true, false), (true, true)] {
        assert_eq!(monitor_alias(AliasMode::ExplicitUnalias, spawn, fire).await, (Some(2), true));
    }
}

#[tokio::test(start_paused = true)]
async fn pr_068_pr_071_monitor_alias_demonitor() {
    for mode in [AliasMode::Demonitor, AliasMode::ReplyDemonitor] {
        for (spawn, fire) in [(false, false), (false, true), (true, false), (true, true)] {
            assert_eq!(monitor_alias(mode, spawn, fire).await, (None, false), "{mode:?} {spawn} {fire}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn pr_069_pr_071_monitor_alias_reply_demonitor() {
    let node = node();
    inside(&node, |mut me: Process<u32>| async move {
        for spawn in [false, true] {
            let options = MonitorOptions::default().alias(AliasMode::ReplyDemonitor);
            let (victim, monitor, alias) = if spawn {
                me.spawn_monitor_with(options, wait_for_reason)
            } else {
                let victim: ProcessRef<ExitReason> = me.spawn(wait_for_reason);
                let (monitor, alias) = me.monitor_with(&victim, options);
                (victim, monitor, alias)
            };
            let alias = alias.expect("it was asked for");
            alias.send(1);
            alias.send(2);
            assert_eq!((heard(&mut me).await, heard(&mut me).await), (Some(1), None));
            let info = me.node().process_info(victim.pid()).unwrap();
            assert_eq!(info.monitored_by, vec![], "the reply took the monitor with it");
            victim.send(ExitReason::Shutdown);
            let mut ended = Box::pin(victim.ended());
            polled_once(&mut ended).await;
            ended.await;
            assert_eq!(heard(&mut me).await, None, "no DOWN");
            assert!(!me.demonitor(monitor) && !me.unalias(alias.reference()));
        }
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn pr_070_pr_076_monitor_tag() {
    let gone_node = idle(&Node::new("gone@elsewhere")).pid();
    let node = node();
    let gone = dead(&node).await;
    inside(&node, move |mut me: Process<u32>| async move {
        let tag = Term::encode(&("my", "tag")).unwrap();
        let tagged = || MonitorOptions::default().tag(tag.clone());
        let victim = me.spawn(wait_for_reason);
        let mut expected = Vec::new();
        for (target, reason) in [(gone, ExitReason::NoProc), (gone_node, ExitReason::NoConnection)] {
            let options = tagged().alias(AliasMode::Demonitor);
            let (monitor, alias) = me.monitor_with(target, options);
            alias.expect("it was asked for").send(1);
            expected.push((monitor, reason));
        }
        expected.push((me.monitor_with(&victim, tagged()).0, ExitReason::Shutdown));
        victim.send(ExitReason::Shutdown);
        for (monitor, reason) in expected {
            match me.receive().await {
                Info::Down(down) => {
                    assert_eq!((down.reference, down.reason, down.tag), (monitor, reason, Some(tag.clone())));
                }
                other => panic!("{other:?}"),
            }
        }
        me.monitor(gone);
        assert!(matches!(me.receive().await, Info::Down(down) if down.tag.is_none()));
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn pr_077_no_pid_wrap() {
    let node = node();
    let spawners: Vec<_> = (0..4)
        .map(|_| {
            let node = node.clone();
            tokio::spawn(async move {
                (0..5000).map(|_| node.spawn(|_: Process<()>| async {}).pid()).collect::<Vec<_>>()
            })
        })
        .collect();
    let mut pids = HashSet::new();
    for spawner in spawners {
        for pid in in_time(spawner).await.unwrap() {
            assert!(pids.insert(pid), "{pid} was handed out twice");
        }
    }
    assert_eq!(pids.len(), 20_000);
}

/// The first of several processes that go for one name has it; the others are told who.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn one_name_has_one_holder() {
    const NAME: Name<Never, Never, u32> = Name::new("pr_one_holder");
    let node = node();
    for round in 0..300 {
        let probes: Vec<_> = (0..6).map(|_| Probe::<u32>::new(&node)).collect();
        let (tell, mut told) = tokio::sync::mpsc::unbounded_channel();
        let racers: Vec<_> = (0..6)
            .map(|_| {
                let tell = tell.clone();
                node.spawn(move |mut me: Process<u32>| async move {
                    let mine = me.as_ref();
                    tell.send((me.pid(), me.register(NAME, &mine))).unwrap();
                    me.receive().await;
                })
            })
            .collect();
        let mut outcomes = Vec::new();
        for _ in 0..6 {
            outcomes.push(in_time(told.recv()).await.unwrap());
        }
        let holder = node.whereis(NAME.as_str()).expect("one has it");
        for (pid, outcome) in outcomes {
            let expected = if pid == holder { Ok(()) } else { Err(RegisterError::Taken(holder)) };
            assert_eq!(outcome, expected, "round {round}");
        }
        for process in racers {
            let mut ended = pin!(process.ended());
            polled_once(&mut ended).await;
            process.send(0);
            in_time(ended).await;
        }
        assert_eq!(node.whereis(NAME.as_str()), None);
        drop(probes);
    }
}

/// Inside a process `Me::current` is that process, also in a `Drop` of its state; outside there is none.
#[tokio::test(start_paused = true)]
async fn who_am_i() {
    struct Tells(Option<tokio::sync::oneshot::Sender<Option<incarnate::Pid>>>);
    impl Drop for Tells {
        fn drop(&mut self) {
            let _ = self.0.take().map(|tell| tell.send(Me::current().map(|me| me.pid())));
        }
    }
    let node = node();
    assert!(Me::current().is_none() && Node::current().is_none());
    let (tell, told) = tokio::sync::oneshot::channel();
    let process = node.spawn(move |me: Process<()>| async move {
        let _tells = Tells(Some(tell));
        assert_eq!(Me::current().map(|current| current.pid()), Some(me.pid()));
        std::future::pending::<()>().await;
    });
    Probe::<u32>::new(&node).run(|_| ()).await;
    node.exit(process.pid(), ExitReason::Kill);
    assert_eq!(in_time(told).await.unwrap(), Some(process.pid()));
}

/// The bound that a server may have, for any process: one more message is refused, a signal is not.
#[tokio::test(start_paused = true)]
async fn a_mailbox_is_bounded_where_it_is_asked_for() {
    let node = node();
    let bounded = || SpawnOptions::default().mailbox_bound(2);
    let full = |process: ProcessRef<u32>| {
        assert_eq!((process.try_send(1), process.try_send(2)), (Ok(()), Ok(())));
        assert_eq!(process.try_send(3), Err(SendError::Overloaded));
        process
    };
    let full = [
        full(node.spawn_with(bounded(), all)),
        inside(&node, move |me: Process<()>| async move {
            me.trap_exit(true);
            let options = bounded().monitor(MonitorOptions::default().tag(Term::from("tag")));
            let (monitored, _, _) = me.spawn_monitor_with(options, all);
            let linked = me.spawn_link_with(bounded(), all);
            let info = me.node().process_info(me.pid()).unwrap();
            assert_eq!((info.links, info.monitors), (vec![linked.pid()], vec![monitored.pid()]));
            me.unlink(&linked);
            full(monitored);
            full(me.spawn_with(bounded(), all));
            full(linked)
        })
        .await,
    ];
    for process in full {
        until_empty(&process).await;
        assert_eq!(process.try_send(4), Ok(()));
        node.exit(process.pid(), ExitReason::Kill);
        in_time(process.ended()).await;
    }
}

/// Takes whatever comes.
async fn all(mut me: Process<u32>) {
    loop {
        me.receive().await;
    }
}

async fn until_empty<M: Send + 'static>(process: &ProcessRef<M>) {
    while process.node().process_info(process.pid()).unwrap().mailbox_len > 0 {
        tokio::task::yield_now().await;
    }
}
