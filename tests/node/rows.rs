//! The rows of OTP's suites that need a second node.

use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use incarnate::gen_statem::{
    Actions, Context, Event, EventOf, GenStatem, HandleEvent, Init, Transition, keep_state,
};
use incarnate::process::{CallError, Object, StopError};
use incarnate::{ExitReason, Info, Name, Never, Process, ProcessRef, Result, Timeout};

use crate::basics::{COUNTER, Call, Cast, counter};
use crate::pair::Pair;
use crate::probe::{HANGS, Probe, Random, dead, ends_as_told, idle, in_time, inside, polled_once, seed};

#[tokio::test]
async fn gs_022_stop8_gs_023_stop9_a_remote_server_is_stopped_by_its_reference_and_its_name() {
    let pair = Pair::connected().await;
    pair.on_a.expose(COUNTER);
    let by_name = COUNTER.at(&pair.b, pair.a.id());
    let here = counter(&pair.a).await;
    let by_reference = by_name.call(Call::Me).await.unwrap();
    assert_eq!(by_reference.stop_with(ExitReason::Shutdown, HANGS).await, Ok(()));
    assert!(!here.is_alive());
    assert_eq!(pair.a.whereis("counter"), None);
    assert_eq!(by_reference.stop().await, Err(StopError::NoProc));
    counter(&pair.a).await;
    assert_eq!(by_name.stop().await, Ok(()));
    assert_eq!(pair.a.whereis("counter"), None);
    assert_eq!(by_name.stop().await, Err(StopError::NoProc));
    pair.cut().await;
    assert_eq!(by_reference.stop().await, Err(StopError::NoConnection));
    assert_eq!(by_name.stop().await, Err(StopError::NoConnection));
}

#[tokio::test]
async fn gs_042_gs_043_gs_075_gs_080_requests_to_another_node_fail_as_those_to_this_one() {
    let pair = Pair::connected().await;
    pair.on_a.expose(COUNTER);
    let by_name = COUNTER.at(&pair.b, pair.a.id());
    assert_eq!(by_name.send_request(Call::Crash).receive(HANGS).await, Err(CallError::NoProc));
    counter(&pair.a).await;
    let by_reference = by_name.call(Call::Me).await.unwrap();
    let crashed = by_reference.send_request(Call::Crash).receive(HANGS).await;
    assert!(matches!(crashed, Err(CallError::Exit(ExitReason::Crash(_)))), "{crashed:?}");
    assert_eq!(by_reference.send_request(Call::Crash).receive(HANGS).await, Err(CallError::NoProc));
    pair.cut().await;
    assert_eq!(by_reference.send_request(Call::Crash).receive(HANGS).await, Err(CallError::NoConnection));
    assert_eq!(by_name.call(Call::Crash).await, Err(CallError::NoConnection));
    // Of a former life of the node nobody is left.
    let timeout = by_name.call_timeout(Call::Never, Duration::from_millis(10)).await;
    assert_eq!(timeout, Err(CallError::NoConnection));
}

#[tokio::test]
async fn a_call_to_another_node_times_out_and_its_late_answer_vanishes() {
    let pair = Pair::connected().await;
    pair.on_a.expose(COUNTER);
    counter(&pair.a).await;
    let there = COUNTER.at(&pair.b, pair.a.id());
    let late = there.call_timeout(Call::Later, Duration::from_millis(20)).await;
    assert_eq!(late, Err(CallError::Timeout));
    assert_eq!(there.call(|to| Call::Add(1, to)).await, Ok(1));
}

#[tokio::test]
async fn gs_054_cast_fast_nothing_waits_for_a_node_that_is_not_connected() {
    let pair = Pair::connected().await;
    pair.cut().await;
    let before = pair.b.dead_letters();
    let there = COUNTER.at(&pair.b, pair.a.id());
    (0..1000).for_each(|n| there.cast(Cast::Add(n)));
    assert_eq!(pair.b.dead_letters() - before, 1000);
}

#[tokio::test]
async fn lk_004_dist_links() {
    let pair = Pair::connected().await;
    let mut trapping = Probe::<u32>::trapping(&pair.b).await;
    let linked = Probe::<u32>::new(&pair.b);
    let target = Probe::<u32>::new(&pair.a);
    let there = pair.over(&target.process).await;
    for probe in [&trapping, &linked] {
        let there = there.clone();
        probe.run(move |me| me.link(&there).unwrap()).await;
    }
    let mut ended = Box::pin(linked.process.ended());
    polled_once(&mut ended).await;
    pair.on_a.stop().await;
    assert_eq!(trapping.next_exit().await, (there.pid(), ExitReason::NoConnection));
    assert_eq!(in_time(ended).await, ExitReason::NoConnection);
}

#[tokio::test]
async fn lk_005_monitor_nodes_counts() {
    let pair = Pair::connected().await;
    let mut probe = Probe::<u32>::new(&pair.b);
    let on_b = pair.on_b.clone();
    let stopped = probe
        .run(move |me| {
            assert!((0..3).all(|_| on_b.monitor_nodes(me, true)));
            on_b.monitor_nodes(me, false)
        })
        .await;
    assert!(stopped);
    pair.cut().await;
    for _ in 0..2 {
        assert!(matches!(probe.next().await, Info::NodeDown(node) if node == pair.a.id()));
    }
    pair.connect().await;
    for _ in 0..2 {
        assert!(matches!(probe.next().await, Info::NodeUp(node) if node == pair.a.id()));
    }
    probe.is_quiet().await;
}

#[tokio::test]
async fn lk_009_lk_010_a_monitor_of_a_name_says_so() {
    let pair = Pair::connected().await;
    pair.on_a.expose(COUNTER);
    let server = counter(&pair.a).await;
    let mut probe = Probe::<u32>::new(&pair.b);
    let there = COUNTER.at(&pair.b, pair.a.id());
    let object = Object::Name("counter", pair.a.id());
    for expected in [ExitReason::Shutdown, ExitReason::NoProc, ExitReason::NoConnection] {
        if expected == ExitReason::NoConnection {
            pair.cut().await;
        }
        let watched = there.clone();
        let reference = probe.run(move |me| me.monitor(&watched)).await;
        if expected == ExitReason::Shutdown {
            server.stop_with(ExitReason::Shutdown, HANGS).await.unwrap();
        }
        let down = probe.next_down().await;
        assert_eq!((down.reference, down.object, down.reason), (reference, object, expected));
    }
}

/// What is removed at the moment at which the other end dies leaves nothing behind.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn lk_014_lk_016_nothing_comes_after_unlink_or_demonitor() {
    let pair = Pair::connected().await;
    let mut random = Random::new(seed());
    for _ in 0..200 {
        let target = ends_as_told(&pair.a);
        let there = pair.over(&target).await;
        let spins = random.below(20_000);
        let quiet = inside(&pair.b, move |mut me: Process<()>| async move {
            me.trap_exit(true);
            me.link(&there).unwrap();
            let reference = me.monitor(&there);
            there.send(ExitReason::term(&"now"));
            (0..spins).for_each(|_| std::hint::spin_loop());
            me.unlink(&there);
            me.demonitor(reference);
            // What had come before is there now; nothing may come later.
            while me.receive_after(Duration::ZERO).await.is_some() {}
            me.receive_after(Duration::from_millis(3)).await.is_none()
        })
        .await;
        assert!(quiet);
    }
}

#[tokio::test]
async fn lk_017_otp_7946_a_link_to_a_lost_node_ends_who_does_not_trap() {
    let pair = Pair::connected().await;
    let there = pair.over(&Probe::<u32>::new(&pair.a).process).await;
    pair.cut().await;
    let probe = Probe::<u32>::new(&pair.b);
    let mut ended = Box::pin(probe.process.ended());
    polled_once(&mut ended).await;
    probe.run(move |me| me.link(&there).unwrap()).await;
    assert_eq!(in_time(ended).await, ExitReason::NoConnection);
}

#[tokio::test]
async fn mon_009_mon_011_mon_015_monitors_of_remote_processes() {
    let pair = Pair::connected().await;
    let mut probe = Probe::<u32>::new(&pair.b);
    let gone = dead(&pair.a).await;
    probe.run(move |me| me.monitor(gone)).await;
    assert_eq!(probe.next_down().await.reason, ExitReason::NoProc);
    let lives = idle(&pair.a).pid();
    // Removed before the loss: nothing. Left: exactly one.
    let kept = probe
        .run(move |me| {
            let removed = me.monitor(lives);
            assert!(me.demonitor(removed));
            assert!(!me.demonitor(removed));
            me.monitor(lives)
        })
        .await;
    pair.cut().await;
    let down = probe.next_down().await;
    assert_eq!((down.reference, down.reason), (kept, ExitReason::NoConnection));
    assert!(!probe.run(move |me| me.demonitor(kept)).await);
    probe.is_quiet().await;
}

/// Many monitors, removed in any order or fired: as many DOWNs as were left, each once.
#[tokio::test]
async fn mon_018_mixer() {
    let pair = Pair::connected().await;
    let mut random = Random::new(seed());
    let mut probe = Probe::<u32>::new(&pair.b);
    let targets: Vec<_> = (0..40).map(|n| idle(if n % 2 == 0 { &pair.a } else { &pair.b }).pid()).collect();
    let all = targets.clone();
    let picks: Vec<_> = (0..200).map(|_| (random.below(40), random.below(3) == 0)).collect();
    let mut expected = probe
        .run(move |me| {
            let set: Vec<_> = picks.iter().map(|(at, removed)| (me.monitor(all[*at]), *removed)).collect();
            set.iter().filter(|(_, removed)| *removed).for_each(|(it, _)| assert!(me.demonitor(*it)));
            let left = set.into_iter().filter(|(_, removed)| !removed);
            left.map(|(reference, _)| reference).collect::<std::collections::BTreeSet<_>>()
        })
        .await;
    for (n, target) in targets.iter().enumerate() {
        if n % 2 == 0 { &pair.a } else { &pair.b }.exit(*target, ExitReason::Kill);
    }
    while !expected.is_empty() {
        let down = probe.next_down().await;
        assert_eq!(down.reason, ExitReason::Killed);
        assert!(expected.remove(&down.reference));
    }
    probe.is_quiet().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sig_001_xm_sig_order_between_nodes() {
    const BEFORE: u32 = 5;
    let pair = Pair::connected().await;
    for round in 0..1000u32 {
        let seen = Arc::new(AtomicU32::new(0));
        let count = seen.clone();
        let receiver = pair.a.spawn(move |mut me: Process<u32>| async move {
            loop {
                match me.receive().await {
                    Info::User(n) => assert_eq!(count.fetch_add(1, Ordering::SeqCst), n),
                    other => panic!("{other:?}"),
                }
            }
        });
        let there = pair.over(&receiver).await;
        let mut ended = pin!(receiver.ended());
        polled_once(&mut ended).await;
        inside(&pair.b, move |me: Process<()>| async move {
            (0..BEFORE).for_each(|n| there.send(n));
            me.exit(&there, ExitReason::shutdown_with(&round));
            (BEFORE..2 * BEFORE).for_each(|n| there.send(n));
        })
        .await;
        assert_eq!(in_time(ended).await, ExitReason::shutdown_with(&round));
        assert!(seen.load(Ordering::SeqCst) <= BEFORE);
    }
}

#[tokio::test]
async fn sig_002_kill_goes_along_a_chain_as_killed() {
    for length in [1, 2, 9, 10] {
        let pair = Pair::connected().await;
        // a, b, a, b, ...: each linked to the former.
        let mut chain = vec![Probe::<u32>::new(&pair.a)];
        for n in 1..=length {
            let probe = Probe::<u32>::new(if n % 2 == 0 { &pair.a } else { &pair.b });
            let former = chain[n - 1].pid();
            probe.run(move |me| me.link(former).unwrap()).await;
            chain.push(probe);
        }
        let mut last = Probe::<u32>::trapping(&pair.a).await;
        let end = chain[length].pid();
        last.run(move |me| me.link(end).unwrap()).await;
        // The links are known at both ends when each has answered once more.
        for probe in &chain {
            probe.run(|_| ()).await;
        }
        last.send(1);
        assert_eq!(last.next_message().await, 1);
        in_time(async {
            while !linked_on_both_sides(&pair, &chain) {
                tokio::task::yield_now().await;
            }
        })
        .await;
        pair.a.exit(chain[0].pid(), ExitReason::Kill);
        assert_eq!(last.next_exit().await, (end, ExitReason::Killed));
    }
}

fn linked_on_both_sides(pair: &Pair, chain: &[Probe<u32>]) -> bool {
    let links = |probe: &Probe<u32>| {
        let node = if probe.pid().node() == pair.a.id() { &pair.a } else { &pair.b };
        node.process_info(probe.pid()).map_or(0, |info| info.links.len())
    };
    chain.iter().enumerate().all(|(n, probe)| links(probe) == if n == 0 { 1 } else { 2 })
}

/// All that a node has sent comes, in order, then the news that it is down, then nothing of it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sig_018_monitor_nodes_order() {
    const SENT: u32 = 2000;
    for _ in 0..20 {
        let pair = Pair::connected().await;
        let mut probe = Probe::<u32>::new(&pair.a);
        let on_a = pair.on_a.clone();
        probe.run(move |me| on_a.monitor_nodes(me, true)).await;
        let there = pair.over(&probe.process).await;
        (0..SENT).for_each(|n| there.send(crate::probe::Probed::Message(n)));
        // A whole node goes: what it wrote is on its way, what waits is lost with it.
        pair.on_b.stop().await;
        let mut next = 0;
        loop {
            match probe.next().await {
                Info::User(n) => {
                    assert_eq!(n, next);
                    next += 1;
                }
                Info::NodeDown(node) => break assert_eq!(node, pair.b.id()),
                other => panic!("{other:?}"),
            }
        }
        probe.is_quiet().await;
    }
}

#[tokio::test]
async fn tm_009_tm_012_timers_send_to_processes_of_other_nodes() {
    let pair = Pair::connected().await;
    let mut probe = Probe::<u32>::new(&pair.a);
    let there = pair.over(&probe.process).await;
    for delay in [Duration::ZERO, Duration::from_millis(20)] {
        there.send_after(delay, crate::probe::Probed::Message(7));
        assert_eq!(probe.next_message().await, 7);
    }
}

#[tokio::test]
async fn a_message_larger_than_a_frame_is_refused_where_it_is_sent() {
    let pair = Pair::connected().await;
    let store: Name<Never, Never, Vec<u8>> = Name::new("store");
    let there = store.at(&pair.b, pair.a.id());
    there.send(vec![0; 20 << 20]);
    assert_eq!(pair.b.dead_letters(), 1);
    assert_eq!(pair.on_b.nodes(), ["a"]);
}

#[tokio::test]
async fn what_ends_is_awaited_from_another_node() {
    let pair = Pair::connected().await;
    let process: ProcessRef<ExitReason> = ends_as_told(&pair.a);
    let there = pair.over(&process).await;
    let mut ended = Box::pin(there.ended());
    polled_once(&mut ended).await;
    there.send(ExitReason::term(&"told"));
    assert_eq!(in_time(ended).await, ExitReason::term(&"told"));
    counter(&pair.a).await;
    let request = COUNTER.at(&pair.b, pair.a.id()).send_request(Call::Never);
    assert_eq!(request.receive(Timeout::Infinity).await, Err(CallError::WrongProtocol));
}

/// A machine that adds.
struct Adder;

impl GenStatem for Adder {
    type Args = ();
    type State = i64;
    type Call = Call;
    type Cast = Cast;
    type Info = Never;
    type Internal = Never;
    type Timer = Never;
    type Mode = HandleEvent;

    async fn init(_: (), _: &mut Context<Self>) -> Result<Init<Self>> {
        Ok(Init::ready(0, Adder))
    }

    async fn handle_event(
        &mut self,
        event: EventOf<Self>,
        sum: &mut i64,
        cx: &mut Context<Self>,
    ) -> Result<Transition<Self>> {
        match event {
            Event::Call(Call::Add(n, caller)) => {
                *sum += n;
                keep_state().reply(caller, *sum)
            }
            Event::Call(Call::Me(caller)) => keep_state().reply(caller, cx.server()),
            _ => keep_state(),
        }
    }
}

#[tokio::test]
async fn st_022_stop8_st_023_stop9_a_remote_machine_is_stopped_by_its_reference_and_its_name() {
    let pair = Pair::connected().await;
    pair.on_a.expose(COUNTER);
    let by_name = COUNTER.at(&pair.b, pair.a.id());
    for by_its_name in [false, true] {
        Adder::statem(()).name(COUNTER).on(&pair.a).start().await.unwrap();
        assert_eq!(by_name.call(|to| Call::Add(3, to)).await, Ok(3));
        let by_reference = by_name.call(Call::Me).await.unwrap();
        let stopped = if by_its_name { by_name.stop().await } else { by_reference.stop().await };
        assert_eq!(stopped, Ok(()));
        assert_eq!(pair.a.whereis("counter"), None);
        assert_eq!(by_name.stop().await, Err(StopError::NoProc));
        assert_eq!(by_reference.stop().await, Err(StopError::NoProc));
    }
    pair.cut().await;
    assert_eq!(by_name.stop().await, Err(StopError::NoConnection));
}
