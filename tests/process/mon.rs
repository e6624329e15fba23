//! Monitors (monitor_SUITE, rule 2.3).

use std::collections::HashMap;
use std::time::Duration;

use incarnate::process::{AliasMode, MonitorOptions, Object};
use incarnate::{ExitReason, Info, MonitorRef, Name, Never, Node, Process, ProcessRef, Term};

use crate::probe::{
    Probe, Random, dead, ends_as_told, idle, in_time, inside, node, polled_once, seed, wait_for_reason,
};

#[tokio::test(start_paused = true)]
async fn mon_001_case_1() {
    let node = node();
    let a = Probe::<u32>::new(&node);
    let b = Probe::<u32>::new(&node);
    let (pid_a, pid_b) = (a.pid(), b.pid());
    a.run(move |me| me.monitor(pid_b)).await;
    let (a, b) = (a.process, b);
    b.run(move |me| {
        me.exit(pid_a, ExitReason::Kill);
        me.exit(me.pid(), ExitReason::Normal);
    })
    .await;
    in_time(a.ended()).await;
    in_time(b.process.ended()).await;
    assert_eq!(node.process_count(), 0);
}

#[tokio::test(start_paused = true)]
async fn mon_003_case_2() {
    let node = node();
    let mut a = Probe::<u32>::new(&node);
    let b = Probe::<u32>::new(&node);
    let pid_b = b.pid();
    let monitor = a.run(move |me| me.monitor(pid_b)).await;
    assert!(!b.run(move |me| me.demonitor(monitor)).await, "it is not b's to remove");
    b.run(|me| me.exit(me.pid(), ExitReason::Normal)).await;
    let down = a.next_down().await;
    assert_eq!((down.reference, down.reason), (monitor, ExitReason::Normal));
    assert_eq!(down.object, Object::Pid(pid_b));
}

#[tokio::test(start_paused = true)]
async fn mon_004_case_2a() {
    let node = node();
    let mut a = Probe::<u32>::new(&node);
    let (b, monitor) = a.run(|me| me.spawn_monitor(wait_for_reason)).await;
    let other = Probe::<u32>::new(&node);
    assert!(!other.run(move |me| me.demonitor(monitor)).await);
    b.send(ExitReason::Normal);
    let down = a.next_down().await;
    assert_eq!((down.reference, down.reason), (monitor, ExitReason::Normal));
}

/// A bad target cannot be written down; a reference that is none, or somebody else's, removes nothing.
#[tokio::test(start_paused = true)]
async fn mon_006_mon_007_demonitor_unknown() {
    let node = node();
    let mut a = Probe::<u32>::new(&node);
    let target = Probe::<u32>::new(&node);
    let pid = target.pid();
    let monitor = a.run(move |me| me.monitor(pid)).await;
    // Known to the target only as its target.
    assert!(!target.run(move |me| me.demonitor(monitor)).await);
    let forged: MonitorRef = Term::encode(&u64::MAX).unwrap().decode().unwrap();
    assert!(!a.run(move |me| me.demonitor(forged)).await);
    assert!(a.run(move |me| me.demonitor_flush(forged)).await, "no flush was needed");
    node.exit(pid, ExitReason::Shutdown);
    assert_eq!(a.next_down().await.reference, monitor);
}

#[tokio::test(start_paused = true)]
async fn mon_008_mon_1() {
    const NAME: Name<Never, Never, ExitReason> = Name::new("mon_008");
    const NOBODY: Name<Never, Never, u8> = Name::new("mon_008_nobody");
    let node = node();
    let mut a = Probe::<u32>::new(&node);
    for reason in [ExitReason::Normal, ExitReason::Kill, ExitReason::shutdown_with("x"), ExitReason::term(&1)]
    {
        let victim = ends_as_told(&node);
        let pid = victim.pid();
        let monitors = a.run(move |me| [me.monitor(pid), me.monitor(pid)]).await;
        victim.send(reason.clone());
        let mut fired = Vec::new();
        for _ in monitors {
            let down = a.next_down().await;
            assert_eq!((down.object, down.reason), (Object::Pid(pid), reason.clone()));
            fired.push(down.reference);
        }
        fired.sort();
        assert_eq!(fired, monitors, "one DOWN for each monitor");
    }
    let gone = dead(&node).await;
    let monitor = a.run(move |me| me.monitor(gone)).await;
    let down = a.next_down().await;
    assert_eq!((down.reference, down.reason, down.object), (monitor, ExitReason::NoProc, Object::Pid(gone)));
    a.run(|me| me.monitor(NOBODY)).await;
    let down = a.next_down().await;
    assert_eq!((down.reason, down.object), (ExitReason::NoProc, Object::Name("mon_008_nobody", node.id())));
    // Rule 2.3.4: a name is looked up once, at the call.
    let (first, second) = (ends_as_told(&node), ends_as_told(&node));
    let (one, two) = (first.clone(), second.clone());
    let monitor = a.run(move |me| me.register(NAME, &one).map(|()| me.monitor(NAME))).await.unwrap();
    a.run(move |me| {
        assert!(me.unregister(NAME));
        me.register(NAME, &two)
    })
    .await
    .unwrap();
    second.send(ExitReason::Normal);
    in_time(second.ended()).await;
    a.is_quiet().await;
    first.send(ExitReason::Shutdown);
    let down = a.next_down().await;
    assert_eq!((down.reference, down.reason), (monitor, ExitReason::Shutdown));
    a.is_quiet().await;
}

/// The part of mon_2 that one node can show: a pid of a node that is not connected.
#[tokio::test(start_paused = true)]
async fn mon_009_monitor_of_a_pid_of_a_lost_node() {
    let gone = idle(&Node::new("gone@elsewhere")).pid();
    let node = node();
    let mut a = Probe::<u32>::new(&node);
    let monitor = a.run(move |me| me.monitor(gone)).await;
    let down = a.next_down().await;
    assert_eq!((down.reference, down.reason), (monitor, ExitReason::NoConnection));
}

#[tokio::test(start_paused = true)]
async fn mon_010_demon_2() {
    let node = node();
    let mut a = Probe::<u32>::new(&node);
    let victim = idle(&node);
    let pid = victim.pid();
    let monitor = a.run(move |me| me.monitor(pid)).await;
    assert!(a.run(move |me| me.demonitor(monitor)).await);
    assert!(!a.run(move |me| me.demonitor(monitor)).await, "it is not there any more");
    node.exit(pid, ExitReason::Kill);
    in_time(victim.ended()).await;
    a.is_quiet().await;
    // Oneself: a reference, never a DOWN.
    let mine = a.run(|me| me.monitor(me.pid())).await;
    assert!(a.run(move |me| me.demonitor(mine)).await);
    a.run(|me| me.monitor(me.pid())).await;
    let process = a.process.clone();
    process.stop().await.unwrap();
    assert_eq!(node.process_count(), 0);
}

#[tokio::test(start_paused = true)]
async fn mon_012_demonitor_flush() {
    let node = node();
    inside(&node, |mut me: Process<()>| async move {
        let victim = me.spawn(wait_for_reason);
        let monitors = [(); 4].map(|()| me.monitor(&victim));
        assert!(me.demonitor_flush(monitors[3]), "nothing had come");
        victim.send(ExitReason::Shutdown);
        let mut ended = Box::pin(victim.ended());
        polled_once(&mut ended).await;
        ended.await;
        assert!(!me.demonitor(monitors[0]), "its DOWN is queued");
        assert!(!me.demonitor_flush(monitors[1]), "its DOWN was queued and is flushed");
        let mut left = Vec::new();
        while let Some(Info::Down(down)) = me.receive_after(Duration::ZERO).await {
            left.push(down.reference);
        }
        left.sort();
        assert_eq!(left, [monitors[0], monitors[2]], "plain demonitor leaves it, others are not touched");
    })
    .await;
}

/// An alias's reference is no monitor's: the compiler says so. Demonitor leaves an explicit alias working.
#[tokio::test(start_paused = true)]
async fn mon_013_gh_5225_demonitor_alias() {
    let node = node();
    inside(&node, |mut me: Process<u32>| async move {
        let other = me.spawn(|_: Process<()>| std::future::pending::<()>());
        let (monitor, alias) = me.monitor_alias(&other, AliasMode::ExplicitUnalias);
        assert!(me.demonitor(monitor));
        assert!(!me.demonitor(monitor));
        alias.send(1);
        assert!(matches!(me.receive().await, Info::User(1)));
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn mon_016_large_exit() {
    let reason = ExitReason::term(&(0..16_384u64).map(|n| (n, n.to_string())).collect::<Vec<_>>());
    let node = node();
    let mut a = Probe::<u32>::new(&node);
    let (victim, _) = a.run(|me| me.spawn_monitor(wait_for_reason)).await;
    victim.send(reason.clone());
    assert_eq!(a.next_down().await.reason, reason);
}

/// Monitors set, removed and fired in any order: the tables agree throughout, each DOWN comes exactly once.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn mon_018_mixer() {
    let mut random = Random::new(seed());
    let node = node();
    for _ in 0..30 {
        let mut watcher = Probe::<u32>::new(&node);
        let targets: Vec<_> = (0..20).map(|_| ends_as_told(&node)).collect();
        let mut set: HashMap<MonitorRef, usize> = HashMap::new();
        for _ in 0..100 {
            let at = random.below(targets.len());
            let pid = targets[at].pid();
            set.insert(watcher.run(move |me| me.monitor(pid)).await, at);
        }
        let refs: Vec<_> = set.keys().copied().collect();
        for monitor in refs.into_iter().filter(|_| random.below(2) == 0) {
            assert!(watcher.run(move |me| me.demonitor(monitor)).await);
            set.remove(&monitor);
        }
        for (at, target) in targets.iter().enumerate() {
            let expected = set.values().filter(|other| **other == at).count();
            assert_eq!(node.process_info(target.pid()).unwrap().monitored_by.len(), expected);
        }
        assert_eq!(node.process_info(watcher.pid()).unwrap().monitors.len(), set.len());
        targets.iter().for_each(|target| target.send(ExitReason::Shutdown));
        while !set.is_empty() {
            let down = watcher.next_down().await;
            let at = set.remove(&down.reference).expect("a DOWN for each monitor that stands, once");
            assert_eq!(down.object, targets[at].pid());
        }
        watcher.is_quiet().await;
        assert_eq!(node.process_info(watcher.pid()).unwrap().monitors, vec![]);
    }
}

/// Whoever hears of the end finds the name free (rule 2.2.15).
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn mon_019_named_down() {
    const NAME: Name<Never, Never, ExitReason> = Name::new("mon_019");
    let node = node();
    inside(&node, |mut me: Process<()>| async move {
        let mut holder = me.spawn(wait_for_reason);
        me.register(NAME, &holder).expect("nobody has it");
        for round in 0..500 {
            me.trap_exit(true);
            match round % 2 {
                0 => drop(me.monitor(NAME)),
                _ => me.link(&holder).expect("it lives"),
            }
            holder.send(ExitReason::Normal);
            let told = me.receive().await;
            assert!(matches!(told, Info::Down(_) | Info::Exit(_)));
            assert_eq!(me.node().whereis(NAME.as_str()), None, "round {round}");
            holder = me.spawn(wait_for_reason);
            assert_eq!(me.register(NAME, &holder), Ok(()), "round {round}");
        }
    })
    .await;
}

/// Demonitor with flush while the target dies, with an alias that lives on.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn mon_024_down_on_alias_gh5310() {
    let node = node();
    for round in 0..500 {
        inside(&node, move |mut me: Process<u32>| async move {
            let victim = me.spawn(wait_for_reason);
            let (monitor, alias) = me.monitor_alias(&victim, AliasMode::ExplicitUnalias);
            let mut ended = Box::pin(victim.ended());
            polled_once(&mut ended).await;
            victim.send(ExitReason::Normal);
            me.demonitor_flush(monitor);
            ended.await;
            alias.send(round);
            let next = me.receive().await;
            assert!(matches!(next, Info::User(n) if n == round), "round {round}: {next:?}");
            assert!(me.unalias(alias.reference()));
        })
        .await;
    }
}

#[tokio::test(start_paused = true)]
async fn mon_025_monitor_3_noproc_gh6185() {
    const NOBODY: Name<Never, Never, u32> = Name::new("mon_025_nobody");
    let former = idle(&Node::new("lives@twice")).pid();
    let node = Node::new("lives@twice");
    let gone = dead(&node).await;
    inside(&node, move |mut me: Process<u32>| async move {
        for mode in [AliasMode::ExplicitUnalias, AliasMode::Demonitor, AliasMode::ReplyDemonitor] {
            for case in 0..3 {
                let options = MonitorOptions::default().alias(mode).tag(Term::from("tagged"));
                let (monitor, alias) = match case {
                    0 => me.monitor_with(NOBODY, options),
                    1 => me.monitor_with(former, options),
                    _ => me.monitor_with(gone, options),
                };
                let alias = alias.expect("it was asked for");
                match me.receive_after(Duration::ZERO).await {
                    Some(Info::Down(down)) => {
                        assert_eq!((down.reference, down.reason), (monitor, ExitReason::NoProc));
                        assert_eq!(down.tag, Some(Term::from("tagged")));
                    }
                    other => panic!("wanted a DOWN, got {other:?}"),
                }
                alias.send(1);
                let works = me.receive_after(Duration::ZERO).await.is_some();
                assert_eq!(works, mode == AliasMode::ExplicitUnalias, "{mode:?}");
                assert_eq!(me.unalias(alias.reference()), works);
            }
        }
    })
    .await;
}

/// A process that ends while others set monitors on it: each monitor fires once, with its reason or noproc.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_monitor_set_at_the_moment_of_death_fires_once() {
    let node = node();
    for round in 0..500u32 {
        let victim: ProcessRef<ExitReason> = ends_as_told(&node);
        let pid = victim.pid();
        let watchers = [(); 3].map(|()| Probe::<u32>::new(&node));
        let [a, b, c] = watchers.each_ref().map(|watcher| watcher.run(move |me| me.monitor(pid)));
        let dies = async { victim.send(ExitReason::Shutdown) };
        let (first, (), second, third) = tokio::join!(a, dies, b, c);
        for (mut watcher, monitor) in watchers.into_iter().zip([first, second, third]) {
            let down = watcher.next_down().await;
            assert_eq!(down.reference, monitor);
            assert!(matches!(down.reason, ExitReason::Shutdown | ExitReason::NoProc), "round {round}");
            watcher.is_quiet().await;
        }
    }
}
