//! Timers (timer_SUITE). In virtual time: nothing here waits for the clock.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use incarnate::process::{AliasMode, IntervalTooShort, UnknownTimer};
use incarnate::{ExitReason, Info, Me, Name, Never, Node, Process, TimerRef};
use tokio::sync::mpsc;
use tokio::time::Instant;

use crate::probe::{Probe, Probed, Random, idle, in_time, inside, node, seed};

const HALF: Duration = Duration::from_millis(500);

const fn ms(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

/// Lets virtual time pass.
async fn pass(time: Duration) {
    let until = Instant::now() + time;
    tokio::time::sleep_until(until).await;
}

/// Under load nothing fires early, and an interval does not drift.
#[tokio::test(start_paused = true)]
async fn tm_001_do_big_test() {
    let node = node();
    let mut random = Random::new(seed());
    let (tell, mut told) = mpsc::unbounded_channel();
    let start = Instant::now();
    for _ in 0..3000 {
        let (tell, due) = (tell.clone(), ms(random.below(3000) as u64));
        node.apply_after(due, move || async move { tell.send((due, start.elapsed())).unwrap() });
    }
    drop(tell);
    for _ in 0..3000 {
        let (due, at) = in_time(told.recv()).await.expect("each fires");
        assert!(at >= due, "early: due {due:?}, fired {at:?}");
        assert!(at < due + ms(100), "late: due {due:?}, fired {at:?}");
    }
    let mut to = ticks(&node);
    let start = Instant::now();
    let timer = node.send_interval(ms(10), to.process.clone(), tick(1)).unwrap();
    for n in 1..=500u32 {
        in_time(to.heard.recv()).await.expect("each fires");
        let (at, due) = (start.elapsed(), ms(10) * n);
        assert!(at >= due && at < due + ms(5), "tick {n} at {at:?}");
    }
    node.cancel_timer(timer).unwrap();
}

/// A message to a probe that can be sent again and again.
fn tick(n: u32) -> Tick {
    Tick(n)
}

#[derive(Clone)]
struct Tick(u32);

#[tokio::test(start_paused = true)]
async fn tm_002_tm_003_apply_after() {
    let node = node();
    for delay in [Duration::ZERO, HALF] {
        let (tell, mut told) = mpsc::unbounded_channel();
        let start = Instant::now();
        let (pid, timer) = inside(&node, {
            let node = node.clone();
            move |me: Process<()>| async move {
                let applied = move || async move {
                    tell.send((Me::current().unwrap().pid(), start.elapsed())).unwrap();
                };
                (me.pid(), node.apply_after(delay, applied))
            }
        })
        .await;
        let (by, at) = in_time(told.recv()).await.unwrap();
        assert_ne!(by, pid, "in another process");
        assert!(at >= delay && at < delay + ms(5));
        pass(ms(2000)).await;
        assert!(told.recv().await.is_none(), "once");
        assert_eq!(node.cancel_timer(timer), Ok(None));
    }
}

/// Bad arguments cannot be written, or are error values: nothing crashes and nothing is started.
#[tokio::test(start_paused = true)]
async fn tm_006_tm_014_tm_024_tm_027_tm_033_invalid_args() {
    let node = node();
    let short = IntervalTooShort(Duration::from_micros(999));
    let (probe, to) = (Probe::<u32>::new(&node), ticks(&node));
    assert_eq!(node.apply_interval(short.0, || async {}), Err(short));
    assert_eq!(node.apply_repeatedly(Duration::ZERO, || async {}), Err(IntervalTooShort(Duration::ZERO)));
    assert_eq!(node.send_interval(short.0, to.process, tick(1)), Err(short));
    // Further away than any process will live is no error, and no overflow.
    let far = node.send_after(Duration::MAX, probe.process.clone(), Probed::Message(1));
    assert!(node.cancel_timer(far).unwrap().unwrap() > Duration::from_secs(1 << 32));
}

#[tokio::test(start_paused = true)]
async fn tm_008_to_tm_012_send_after() {
    const NAME: Name<Never, Never, Probed<u32>> = Name::new("tm_008");
    let node = node();
    let mut probe = Probe::<u32>::new(&node);
    let process = probe.process.clone();
    probe.run(move |me| me.register(NAME, &process)).await.unwrap();
    for delay in [Duration::ZERO, HALF] {
        let start = Instant::now();
        // To a name on a node, from outside.
        node.send_after(delay, NAME, Probed::Message(1));
        // To a name, from a process.
        inside(&node, move |_: Process<()>| async move { NAME.send_after(delay, Probed::Message(2)) }).await;
        // To a process.
        probe.process.send_after(delay, Probed::Message(3));
        node.send_after(delay, probe.process.clone(), Probed::Message(4));
        for expected in 1..=4 {
            assert_eq!(probe.next_message().await, expected, "the older of two fires first");
            assert!(start.elapsed() >= delay && start.elapsed() < delay + ms(5));
        }
    }
    pass(HALF * 3).await;
    probe.is_quiet().await;
}

/// A name is looked up when the timer fires.
#[tokio::test(start_paused = true)]
async fn tm_013_send_after6_name_resolved_at_expiry() {
    const NAME: Name<Never, Never, Probed<u32>> = Name::new("tm_013");
    const NOBODY: Name<Never, Never, Probed<u32>> = Name::new("tm_013_nobody");
    let node = node();
    node.send_after(HALF, NAME, Probed::Message(1));
    inside(&node, |_: Process<()>| async { NAME.send_after(HALF, Probed::Message(2)) }).await.unwrap();
    node.send_after(HALF, NOBODY, Probed::Message(3));
    let mut probe = Probe::<u32>::new(&node);
    let process = probe.process.clone();
    probe.run(move |me| me.register(NAME, &process)).await.unwrap();
    assert_eq!((probe.next_message().await, probe.next_message().await), (1, 2));
    pass(ms(10)).await;
    assert_eq!(node.dead_letters(), 1, "the one to nobody is counted");
}

#[tokio::test(start_paused = true)]
async fn tm_015_to_tm_020_exit_after_and_kill_after() {
    const NAME: Name<Never, Never, ()> = Name::new("tm_016");
    const NOBODY: Name<Never, Never, ()> = Name::new("tm_018");
    let node = node();
    let start = Instant::now();
    // TM-015, TM-019: by pid and by reference.
    let victims = [idle(&node), idle(&node)];
    node.exit_after(HALF, victims[0].pid(), ExitReason::term("old"));
    node.kill_after(HALF, victims[1].clone());
    let (first, second) = tokio::join!(victims[0].ended(), victims[1].ended());
    assert_eq!((first, second), (ExitReason::term("old"), ExitReason::Killed));
    assert!(start.elapsed() >= HALF);
    // TM-016, TM-020: by name, looked up then.
    for (reason, seen) in
        [(ExitReason::Shutdown, ExitReason::Shutdown), (ExitReason::Kill, ExitReason::Killed)]
    {
        node.exit_after(HALF, NAME, reason);
        let victim = idle(&node);
        let target = victim.clone();
        inside(&node, move |me: Process<()>| async move { me.register(NAME, &target) }).await.unwrap();
        assert_eq!(in_time(victim.ended()).await, seen);
    }
    // TM-017: oneself, trapping: it comes from oneself.
    let mut trapping = Probe::<u32>::trapping(&node).await;
    trapping.run(|me| me.node().exit_after(HALF, me.pid(), ExitReason::Shutdown)).await;
    assert_eq!(trapping.next_exit().await, (trapping.pid(), ExitReason::Shutdown));
    // TM-018: to nobody, and the service goes on.
    node.exit_after(Duration::ZERO, NOBODY, ExitReason::Kill);
    node.send_after(ms(10), trapping.process.clone(), Probed::Message(7));
    assert_eq!(trapping.next_message().await, 7);
}

#[tokio::test(start_paused = true)]
async fn tm_023_apply_interval2_runs_overlap() {
    let node = node();
    let (running, most) = (Arc::new(AtomicU32::new(0)), Arc::new(AtomicU32::new(0)));
    let (now, top) = (running.clone(), most.clone());
    let timer = node.apply_interval(ms(100), move || {
        let (now, top) = (now.clone(), top.clone());
        async move {
            top.fetch_max(now.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
            pass(ms(250)).await;
            now.fetch_sub(1, Ordering::SeqCst);
        }
    });
    pass(ms(1050)).await;
    assert!(node.cancel_timer(timer.unwrap()).unwrap().is_some());
    assert_eq!(most.load(Ordering::SeqCst), 3);
    pass(ms(1000)).await;
    assert_eq!(running.load(Ordering::SeqCst), 0);
}

/// Runs of `apply_repeatedly` that take so long, started within ten ticks; and how many ran at once at most.
async fn repeat(takes: Duration, crash: bool) -> (u32, u32) {
    let node = node();
    let [started, running, most] = [(); 3].map(|()| Arc::new(AtomicU32::new(0)));
    let counts = (started.clone(), running.clone(), most.clone());
    let timer = node.apply_repeatedly(ms(100), move || {
        let (started, running, most) = counts.clone();
        async move {
            started.fetch_add(1, Ordering::SeqCst);
            most.fetch_max(running.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
            pass(takes).await;
            running.fetch_sub(1, Ordering::SeqCst);
            assert!(!crash, "a crash of one run does not end the others");
        }
    });
    pass(ms(1050)).await;
    let timer = timer.unwrap();
    assert!(node.cancel_timer(timer).unwrap().is_some());
    assert_eq!(node.cancel_timer(timer), Ok(None));
    let begun = started.load(Ordering::SeqCst);
    pass(ms(2000)).await;
    assert_eq!(started.load(Ordering::SeqCst), begun, "no run starts once it is cancelled");
    assert_eq!(node.process_count(), 0);
    (begun, most.load(Ordering::SeqCst))
}

#[tokio::test(start_paused = true)]
async fn tm_025_tm_026_apply_repeatedly_never_overlaps() {
    assert_eq!(repeat(ms(1), false).await, (10, 1));
    assert_eq!(repeat(ms(1), true).await, (10, 1));
    // Slower than the interval: one after the other, with no pause between.
    assert_eq!(repeat(ms(250), false).await, (4, 1));
}

/// Ticks are sent to a process that takes them as they are.
struct Ticks {
    process: incarnate::ProcessRef<Tick>,
    heard: mpsc::UnboundedReceiver<u32>,
}

fn ticks(node: &Node) -> Ticks {
    let (tell, heard) = mpsc::unbounded_channel();
    let process = node.spawn(move |mut me: Process<Tick>| async move {
        while let Info::User(Tick(n)) = me.receive().await {
            tell.send(n).unwrap();
        }
    });
    Ticks { process, heard }
}

#[tokio::test(start_paused = true)]
async fn tm_028_to_tm_031_send_interval() {
    const NAME: Name<Never, Never, Tick> = Name::new("tm_030");
    let node = node();
    let mut to = ticks(&node);
    let process = to.process.clone();
    inside(&node, move |me: Process<()>| async move { me.register(NAME, &process) }).await.unwrap();
    for case in 0..3 {
        let start = Instant::now();
        let timer = match case {
            0 => node.send_interval(HALF, to.process.clone(), tick(7)),
            1 => node.send_interval(HALF, NAME, tick(7)),
            _ => {
                let process = to.process.clone();
                inside(&node, move |me: Process<()>| async move {
                    me.node().send_interval(HALF, process, tick(7))
                })
                .await
            }
        };
        for n in 1..=5 {
            assert_eq!(in_time(to.heard.recv()).await, Some(7));
            assert!(start.elapsed() >= HALF * n && start.elapsed() < HALF * n + ms(5));
        }
        assert!(node.cancel_timer(timer.unwrap()).unwrap().unwrap() <= HALF);
        pass(HALF * 3).await;
        assert!(to.heard.try_recv().is_err(), "no sixth");
    }
}

/// An interval to a process ends with it; one through an alias or a name does not care.
#[tokio::test(start_paused = true)]
async fn an_interval_to_a_process_ends_with_it() {
    const NAME: Name<Never, Never, Tick> = Name::new("tm_interval");
    let node = node();
    let to = ticks(&node);
    let process = to.process.clone();
    inside(&node, move |me: Process<()>| async move { me.register(NAME, &process) }).await.unwrap();
    let by_pid = node.send_interval(ms(10), to.process.clone(), tick(1)).unwrap();
    let by_name = node.send_interval(ms(10), NAME, tick(2)).unwrap();
    pass(ms(25)).await;
    to.process.stop().await.unwrap();
    pass(ms(25)).await;
    assert_eq!(node.cancel_timer(by_pid), Ok(None));
    assert!(node.cancel_timer(by_name).unwrap().is_some());
}

#[tokio::test(start_paused = true)]
async fn timers_through_an_alias() {
    let node = node();
    inside(&node, |mut me: Process<u32>| async move {
        let alias = me.alias(AliasMode::ExplicitUnalias);
        me.node().send_after(HALF, alias.clone(), 1);
        assert!(matches!(me.receive().await, Info::User(1)));
        me.node().send_after(HALF, alias.clone(), 2);
        me.unalias(alias.reference());
        assert!(me.receive_after(HALF * 2).await.is_none());
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn tm_034_to_tm_038_cancel() {
    let node = node();
    let mut probe = Probe::<u32>::new(&node);
    // What has fired is not unsent.
    let timer = node.send_after(Duration::ZERO, probe.process.clone(), Probed::Message(1));
    assert_eq!(probe.next_message().await, 1);
    assert_eq!(node.cancel_timer(timer), Ok(None));
    // Before expiry: nothing comes, of any kind.
    let once = node.send_after(HALF, probe.process.clone(), Probed::Message(2));
    let start = probe.process.start_timer(HALF, Probed::Message(3));
    let ran = Arc::new(AtomicU32::new(0));
    let runs = ran.clone();
    let apply = node.apply_after(HALF, move || async move { _ = runs.fetch_add(1, Ordering::SeqCst) });
    let mut to = ticks(&node);
    let sends = to.process.clone();
    let send_interval = node.send_interval(HALF, sends, tick(4)).unwrap();
    let runs = ran.clone();
    let apply_interval = node.apply_interval(HALF, move || {
        let runs = runs.clone();
        async move { _ = runs.fetch_add(1, Ordering::SeqCst) }
    });
    for timer in [once, start, apply, send_interval, apply_interval.unwrap()] {
        assert_eq!(node.cancel_timer(timer), Ok(Some(HALF)));
        assert_eq!(node.cancel_timer(timer), Ok(None), "it is not there any more");
    }
    pass(HALF * 3).await;
    probe.is_quiet().await;
    assert!(to.heard.try_recv().is_err());
    assert_eq!(ran.load(Ordering::SeqCst), 0);
}

/// References that no timer of this node has; also TM-047 and TM-048: nothing is run for them.
#[tokio::test(start_paused = true)]
async fn tm_040_tm_047_tm_048_a_reference_of_no_timer() {
    let node = node();
    let mut probe = Probe::<u32>::new(&node);
    let real = node.send_after(HALF, probe.process.clone(), Probed::Message(1));
    let first: u64 = format!("{real:?}").replace(|c: char| !c.is_ascii_digit(), "").parse().unwrap();
    for expires in [0, 1, u64::MAX - 1, u64::MAX] {
        for number in [0, 1, first - 1, first, first + 1, u64::MAX] {
            let bytes = rmp_of(expires, number);
            let forged: TimerRef = bytes.decode().expect("it has the shape of one");
            if forged == real {
                continue;
            }
            let expected = if number == first { Ok(None) } else { Err(UnknownTimer(forged)) };
            assert_eq!(node.cancel_timer(forged), expected);
            assert_eq!(
                probe.run(move |me| (me.cancel_timer(forged), me.read_timer(forged))).await,
                (None, None)
            );
        }
    }
    assert_eq!(probe.run(move |me| me.read_timer(real)).await, Some(HALF));
    assert_eq!(probe.next_message().await, 1);
}

fn rmp_of(expires: u64, number: u64) -> incarnate::Term {
    #[derive(serde::Serialize)]
    struct Forged {
        expires: u64,
        number: u64,
    }
    incarnate::Term::encode(&Forged { expires, number }).expect("it encodes")
}

#[tokio::test(start_paused = true)]
async fn tm_041_sleep1() {
    let node = node();
    let slept = inside(&node, |mut me: Process<()>| async move {
        let start = Instant::now();
        assert!(me.receive_after(HALF).await.is_none());
        start.elapsed()
    });
    assert!(slept.await >= HALF);
}

/// Timers of a process keep their references, and come as what they are.
#[tokio::test(start_paused = true)]
async fn start_timer_and_read_timer() {
    let node = node();
    inside(&node, |mut me: Process<u32>| async move {
        let timer = me.start_timer(HALF, 7);
        assert_eq!(me.read_timer(timer), Some(HALF));
        assert!(matches!(me.receive().await, Info::Timer(reference, 7) if reference == timer));
        assert_eq!((me.read_timer(timer), me.cancel_timer(timer)), (None, None));
        let interval = me.send_interval(HALF, 8).unwrap();
        assert!(matches!(me.receive().await, Info::User(8)));
        assert!(me.read_timer(interval).unwrap() > HALF - ms(5));
        assert!(me.cancel_timer(interval).is_some());
    })
    .await;
}

/// User code that panics as a timer fires (a `Clone`, a `Drop`) does not end the timers.
#[tokio::test(start_paused = true)]
async fn tm_018_the_timers_survive_what_they_fire() {
    struct Bomb;
    impl Drop for Bomb {
        fn drop(&mut self) {
            panic!("dropped");
        }
    }
    struct Fuse;
    impl Clone for Fuse {
        fn clone(&self) -> Self {
            panic!("cloned");
        }
    }
    let node = node();
    let dead = node.spawn(|_: Process<Bomb>| async {});
    in_time(dead.ended()).await;
    dead.send_after(ms(1), Bomb);
    let fused = node.spawn(|_: Process<Fuse>| std::future::pending::<()>());
    let interval = node.send_interval(ms(1), fused, Fuse).unwrap();
    pass(ms(5)).await;
    assert!(node.cancel_timer(interval).unwrap().is_some());
    let mut probe = Probe::<u32>::new(&node);
    probe.process.send_after(ms(1), Probed::Message(1));
    assert_eq!(probe.next_message().await, 1);
    node.send_after(ms(1), probe.process.clone(), Probed::Message(2));
    assert_eq!(probe.next_message().await, 2);
}

/// References are no other node's: what one of them names, another does not know.
#[tokio::test(start_paused = true)]
async fn references_of_one_node_name_nothing_on_another() {
    let (here, there) = (node(), Node::new("elsewhere"));
    let (mine, other) = (ticks(&here), ticks(&there));
    let timer = here.send_after(HALF, mine.process.clone(), tick(1));
    let same_there = there.send_after(HALF, other.process.clone(), tick(1));
    assert_ne!(timer, same_there);
    assert_eq!(there.cancel_timer(timer), Err(UnknownTimer(timer)));
    let interval = here.send_interval(HALF, mine.process.clone(), tick(1)).unwrap();
    let _there_too = there.send_interval(HALF, other.process.clone(), tick(1)).unwrap();
    assert_eq!(there.cancel_timer(interval), Err(UnknownTimer(interval)));
    assert_eq!(here.cancel_timer(timer), Ok(Some(HALF)));
    let (a, b) = (Probe::<u32>::new(&here), Probe::<u32>::new(&there));
    let (idle_here, idle_there) = (idle(&here).pid(), idle(&there).pid());
    for _ in 0..3 {
        let monitor = a.run(move |me| me.monitor(idle_here)).await;
        b.run(move |me| me.monitor(idle_there)).await;
        assert!(!b.run(move |me| me.demonitor(monitor)).await, "{monitor:?} of another node");
        let alias = a.run(|me| me.alias(AliasMode::ExplicitUnalias).reference()).await;
        b.run(|me| me.alias(AliasMode::ExplicitUnalias).reference()).await;
        assert!(!b.run(move |me| me.unalias(alias)).await, "{alias:?} of another node");
    }
}

/// A process that has ended and that nobody holds gets no message of a timer either: it is counted all the same.
#[tokio::test(start_paused = true)]
async fn a_timer_to_a_process_that_nobody_holds_any_more_is_a_dead_letter() {
    for held in [true, false] {
        let node = node();
        let process = idle(&node);
        process.send_after(HALF, ());
        process.start_timer(HALF, ());
        node.exit(process.pid(), ExitReason::Kill);
        in_time(process.ended()).await;
        let process = held.then_some(process);
        pass(HALF * 2).await;
        assert_eq!(node.dead_letters(), 2, "held: {held}");
        drop(process);
    }
}

/// Timers of processes that have ended are given up: however long they had, there are never many more than are for somebody.
#[tokio::test(start_paused = true)]
async fn timers_of_processes_that_have_ended_take_no_room() {
    let node = node();
    let lives = idle(&node);
    let stays = lives.send_after(Duration::from_secs(3600), ());
    for _ in 0..5_000 {
        let process = idle(&node);
        process.send_after(Duration::from_secs(3600), ());
        node.exit(process.pid(), ExitReason::Kill);
        process.ended().await;
    }
    assert!(node.timer_count() < 1_000, "{}", node.timer_count());
    assert!(inside(&node, move |me: Process<()>| async move { me.read_timer(stays) }).await.is_some());
}
