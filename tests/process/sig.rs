//! The order of signals and the fate of kill (signal_SUITE, rules 2.2 and 2.4).

use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::time::Duration;

use incarnate::process::{AliasMode, SendError};
use incarnate::{ExitReason, Info, Name, Never, Process};

use crate::probe::{Probe, Random, in_time, inside, node, polled_once, seed, wait_for_reason};

/// Messages, an exit signal, messages: the first ones may be seen, the last ones never.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn sig_001_xm_sig_order() {
    const BEFORE: u32 = 5;
    let node = node();
    let mut random = Random::new(seed());
    for round in 0..1000u32 {
        let seen = Arc::new(AtomicU32::new(0));
        let count = seen.clone();
        let receiver = node.spawn(move |mut me: Process<u32>| async move {
            loop {
                match me.receive().await {
                    Info::User(n) => assert_eq!(count.fetch_add(1, Ordering::SeqCst), n),
                    other => panic!("{other:?}"),
                }
            }
        });
        let spins = random.below(200);
        let to = receiver.clone();
        let mut ended = pin!(receiver.ended());
        polled_once(&mut ended).await;
        inside(&node, move |me: Process<()>| async move {
            (0..BEFORE).for_each(|n| to.send(n));
            (0..spins).for_each(|_| std::hint::spin_loop());
            me.exit(&to, ExitReason::shutdown_with(&round));
            (BEFORE..2 * BEFORE).for_each(|n| to.send(n));
        })
        .await;
        // An assertion that fails in the receiver would show here as its reason.
        assert_eq!(in_time(ended).await, ExitReason::shutdown_with(&round));
        let seen = seen.load(Ordering::SeqCst);
        assert!(seen <= BEFORE, "round {round}: saw {seen}");
    }
}

/// The receiver is between its look at its fate and its mailbox: what was sent after the signal is not taken.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn sig_001_a_busy_receiver_takes_nothing_sent_after_the_signal() {
    let node = node();
    for round in 0..500u32 {
        let seen_late = Arc::new(AtomicBool::new(false));
        let (late, started) = (seen_late.clone(), Arc::new(AtomicBool::new(false)));
        let running = started.clone();
        let receiver = node.spawn(move |mut me: Process<bool>| async move {
            loop {
                running.store(true, Ordering::SeqCst);
                if let Some(Info::User(true)) = me.receive_after(Duration::ZERO).await {
                    late.store(true, Ordering::SeqCst);
                }
            }
        });
        let mut ended = pin!(receiver.ended());
        polled_once(&mut ended).await;
        while !started.load(Ordering::SeqCst) {
            tokio::task::yield_now().await;
        }
        node.exit(receiver.pid(), ExitReason::Shutdown);
        receiver.send(true);
        assert_eq!(in_time(ended).await, ExitReason::Shutdown);
        assert!(!seen_late.load(Ordering::SeqCst), "round {round}");
    }
}

/// A chain of linked processes, the first of which is killed: all the others end killed.
#[tokio::test(start_paused = true)]
async fn sig_002_kill2killed() {
    let node = node();
    for length in [1usize, 2, 9, 10] {
        let mut watcher = Probe::<u32>::trapping(&node).await;
        let chain: Vec<_> = (0..length).map(|_| Probe::<u32>::new(&node)).collect();
        for pair in chain.windows(2) {
            let next = pair[1].pid();
            pair[0].run(move |me| me.link(next)).await.unwrap();
        }
        let pids: Vec<_> = chain.iter().map(Probe::pid).collect();
        let last = pids[length - 1];
        watcher.run(move |me| me.link(last)).await.unwrap();
        let all = pids.clone();
        watcher.run(move |me| all.iter().for_each(|pid| _ = me.monitor(*pid))).await;
        let first = pids[0];
        watcher.run(move |me| me.exit(first, ExitReason::Kill)).await;
        let mut heard = Vec::new();
        for _ in 0..length + 1 {
            match watcher.next().await {
                Info::Exit(exit) => {
                    assert_eq!((exit.from, exit.reason), (last, ExitReason::Killed));
                }
                Info::Down(down) => {
                    assert_eq!(down.reason, ExitReason::Killed, "in a chain of {length}");
                    heard.push(down.object);
                }
                other => panic!("{other:?}"),
            }
        }
        assert_eq!(heard.len(), length);
        watcher.is_quiet().await;
    }
}

#[tokio::test(start_paused = true)]
async fn sig_003_kill2killed_self() {
    let node = node();
    let mut watcher = Probe::<u32>::trapping(&node).await;
    let victim = Probe::<u32>::trapping(&node).await;
    let pid = victim.pid();
    watcher.run(move |me| me.link(pid)).await.unwrap();
    victim.run(|me| me.exit(me.pid(), ExitReason::Kill)).await;
    assert_eq!(watcher.next_exit().await, (pid, ExitReason::Killed));
}

/// Rule 2.2.4: to leave with reason kill, or a link that carries it, is not the signal that cannot be trapped.
#[tokio::test(start_paused = true)]
async fn rule_2_2_4_a_link_that_carries_kill() {
    let node = node();
    let mut trapping = Probe::<u32>::trapping(&node).await;
    let mut watcher = Probe::<u32>::new(&node);
    let plain = Probe::<u32>::new(&node);
    let plain_pid = plain.pid();
    watcher.run(move |me| me.monitor(plain_pid)).await;
    let victim = trapping.run(|me| me.spawn_link(wait_for_reason)).await;
    let pid = victim.pid();
    plain.run(move |me| me.link(pid)).await.unwrap();
    victim.send(ExitReason::Kill);
    assert_eq!(trapping.next_exit().await, (pid, ExitReason::Kill));
    assert_eq!(watcher.next_down().await.reason, ExitReason::Kill, "not killed");
}

/// A parent unlinks its child and dies while the child links back: noproc or the parent's reason, never nothing.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn sig_014_unlink_exit() {
    let node = node();
    let mut outcomes = [0u32; 2];
    for round in 0..1500u32 {
        let reason = ExitReason::shutdown_with(&round);
        let parent_reason = reason.clone();
        let (tell, told) = tokio::sync::oneshot::channel();
        node.spawn(move |me: Process<()>| async move {
            let parent = me.pid();
            let linked_back = move |mut child: Process<()>| async move {
                child.trap_exit(true);
                for _ in 0..round % 97 {
                    std::hint::spin_loop();
                }
                child.link(parent).expect("it traps exits");
                match child.receive().await {
                    Info::Exit(exit) => drop(tell.send((exit.from == parent, exit.reason))),
                    other => panic!("{other:?}"),
                }
            };
            let child = me.spawn_link(linked_back);
            me.unlink(child.pid());
            parent_reason
        });
        let (from_parent, heard) = in_time(told).await.expect("the child is told");
        assert!(from_parent);
        match heard {
            ExitReason::NoProc => outcomes[0] += 1,
            heard => {
                assert_eq!(heard, reason);
                outcomes[1] += 1;
            }
        }
    }
    println!("noproc {}, the parent's reason {}", outcomes[0], outcomes[1]);
}

/// What was sent just before the death is there before the DOWN.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn sig_015_monitor_order() {
    let node = node();
    for round in 0..1000u32 {
        inside(&node, move |mut me: Process<u32>| async move {
            let parent = me.as_ref();
            let last_words = move |_: Process<()>| async move {
                parent.send(1);
                parent.send(2);
            };
            let (_, monitor) = me.spawn_monitor(last_words);
            assert!(matches!(me.receive().await, Info::User(1)), "round {round}");
            assert!(matches!(me.receive().await, Info::User(2)), "round {round}");
            match me.receive().await {
                Info::Down(down) => assert_eq!((down.reference, down.reason), (monitor, ExitReason::Normal)),
                other => panic!("{other:?}"),
            }
        })
        .await;
    }
}

/// To the pid, to the name and through two aliases: one order, and the DOWN after all of it.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn sig_016_monitor_named_order_local() {
    const NAME: Name<Never, Never, u32> = Name::new("sig_016");
    const SENDER: Name<Never, Never, ExitReason> = Name::new("sig_016_sender");
    let node = node();
    for count in [0, 1, 7, 1000, 4001] {
        inside(&node, move |mut me: Process<u32>| async move {
            let to = me.as_ref();
            me.register(NAME, &to).unwrap();
            let aliases = [me.alias(AliasMode::ExplicitUnalias), me.alias(AliasMode::ExplicitUnalias)];
            let sender = me.spawn(move |mut sender: Process<ExitReason>| async move {
                sender.receive().await;
                for n in 0..count {
                    match n % 4 {
                        0 => to.send(n),
                        1 => NAME.send(n).expect("it is registered"),
                        2 => aliases[0].send(n),
                        _ => aliases[1].send(n),
                    }
                }
            });
            me.register(SENDER, &sender).unwrap();
            me.monitor(SENDER);
            sender.send(ExitReason::Normal);
            for n in 0..count {
                match me.receive().await {
                    Info::User(heard) => assert_eq!(heard, n),
                    other => panic!("{other:?} instead of {n}"),
                }
            }
            assert!(matches!(me.receive().await, Info::Down(down) if down.reason == ExitReason::Normal));
            assert!(me.unregister(NAME));
        })
        .await;
    }
}

/// A process that floods itself lets others on its thread run, and can be ended (fairness).
#[tokio::test]
async fn a_process_that_always_has_mail_yields() {
    let node = node();
    let (tell, told) = tokio::sync::oneshot::channel();
    let flooded = node.spawn(|mut me: Process<u64>| async move {
        let mut rounds = 0u64;
        me.as_ref().send(0);
        while let Info::User(n) = me.receive().await {
            me.as_ref().send(n + 1);
            rounds = n;
            // Without fairness nothing else ever runs on this thread: this ends what would be endless.
            if rounds == 1_000_000 {
                break;
            }
        }
        let _ = tell.send(rounds);
        ExitReason::Normal
    });
    let mut other = Probe::<u32>::new(&node);
    other.send(1);
    assert_eq!(other.next_message().await, 1);
    assert!(flooded.is_alive(), "the other one ran while it was at it");
    node.exit(flooded.pid(), ExitReason::Kill);
    assert!(in_time(told).await.is_err(), "it was ended before it was done");
}

/// Rule 2.2.12: an exit signal and the process's own end race; everyone is told the same of the two.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn one_reason_for_everyone() {
    let node = node();
    let mut own = 0u32;
    for round in 0..500u32 {
        let victim = node.spawn(wait_for_reason);
        let pid = victim.pid();
        let mut peer = Probe::<u32>::trapping(&node).await;
        peer.run(move |me| me.link(pid).map(|()| me.monitor(pid))).await.unwrap();
        let mut ended = pin!(victim.ended());
        polled_once(&mut ended).await;
        victim.send(ExitReason::Normal);
        (0..round % 151).for_each(|_| std::hint::spin_loop());
        node.exit(pid, ExitReason::Shutdown);
        let reason = in_time(ended).await;
        assert!(matches!(reason, ExitReason::Normal | ExitReason::Shutdown), "{reason}");
        own += u32::from(reason == ExitReason::Normal);
        let (from, by_link) = peer.next_exit().await;
        let by_monitor = peer.next_down().await.reason;
        assert_eq!((from, by_link, by_monitor), (pid, reason.clone(), reason), "round {round}");
        peer.is_quiet().await;
        peer.process.stop().await.unwrap();
    }
    println!("{own} of 500 ended by themselves");
}

/// An alias that was taken back lets nothing through any more, whatever was under way.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn nothing_comes_through_an_alias_after_unalias() {
    let node = node();
    let mut random = Random::new(seed());
    for round in 0..400u32 {
        let spins = random.below(3000);
        inside(&node, move |mut me: Process<u32>| async move {
            let alias = me.alias(AliasMode::ExplicitUnalias);
            let stop = Arc::new(AtomicBool::new(false));
            let mut ends = Vec::new();
            for _ in 0..2 {
                let (through, stop) = (alias.clone(), stop.clone());
                let sender = me.spawn(move |mut sender: Process<()>| async move {
                    sender.receive().await;
                    while !stop.load(Ordering::Relaxed) {
                        (0..50).for_each(|n| through.send(n));
                        tokio::task::yield_now().await;
                    }
                });
                let waiting = sender.clone();
                let mut ended = Box::pin(async move { waiting.ended().await });
                polled_once(&mut ended).await;
                sender.send(());
                ends.push(ended);
            }
            (0..spins).for_each(|_| std::hint::spin_loop());
            assert!(me.unalias(alias.reference()));
            while me.receive_after(Duration::ZERO).await.is_some() {}
            stop.store(true, Ordering::Relaxed);
            for ended in ends {
                ended.await;
            }
            let late = me.receive_after(Duration::ZERO).await;
            assert!(late.is_none(), "round {round}: {late:?} came after unalias");
        })
        .await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_plain_send_to_a_name_that_nobody_has_is_an_error() {
    const NOBODY: Name<Never, Never, u32> = Name::new("sig_nobody");
    let node = node();
    assert_eq!(inside(&node, |_: Process<()>| async { NOBODY.send(1) }).await, Err(SendError::NoProc));
}
