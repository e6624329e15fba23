//! Nodes to which more is to be sent than they take: who sends is slowed or told, and nothing is lost, doubled or disordered.

use std::time::Duration;

use incarnate::process::SendError;
use incarnate::{CallError, ExitReason, Info, Node, Process, ProcessRef, ReplyTo};

use crate::basics::{COUNTER, Call, Cast, counter};
use crate::deaf::{BOUND, Deaf, deafenable};
use crate::pair::until;
use crate::pair::{Pair, distribution};
use crate::probe::{HANGS, Probe, ends_as_told, idle, in_time, polled_once};

/// Nothing more is read, and so much is sent that nothing more is taken: how often was it?
pub async fn fill(pair: &Pair, ear: &Deaf) -> i64 {
    ear.set(true);
    let there = COUNTER.at(&pair.a, pair.b.id());
    there.cast(Cast::Add(1));
    // What the lane is about to write is in its hands; from here on all waits.
    until(|| ear.is_met()).await;
    let taken = (1..).take_while(|_| there.try_cast(Cast::Add(1)).is_ok()).count();
    assert_eq!(there.try_cast(Cast::Add(1)), Err(SendError::Overloaded));
    i64::try_from(taken).unwrap() + 1
}

fn queued(pair: &Pair) -> usize {
    pair.on_a.node_info("b").unwrap().queued_bytes
}

/// What waits for it is bounded, who sends is told, others notice nothing; and when it reads again, all that was taken
/// arrives, in order and once.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_that_stops_reading_is_told_to_its_senders_and_nobody_else_notices() {
    let (pair, ear) = deafenable().await;
    let other = Node::new("other");
    let on_other = distribution(&other).start().await.unwrap();
    in_time(on_other.connect(pair.on_a.address().unwrap())).await.unwrap();
    for (node, on_node) in [(&pair.b, &pair.on_b), (&other, &on_other)] {
        counter(node).await;
        on_node.expose(COUNTER);
    }
    until(|| pair.on_a.nodes().len() == 2).await;
    let taken = fill(&pair, &ear).await;
    assert!(queued(&pair) <= BOUND);
    assert_eq!(in_time(COUNTER.at(&pair.a, "other").call(|to| Call::Add(1, to))).await, Ok(1));
    // It is there all the same: its heart beats on a lane of its own.
    assert_eq!(pair.on_a.nodes(), ["b", "other"]);
    ear.set(false);
    let there = COUNTER.at(&pair.a, pair.b.id());
    assert_eq!(in_time(there.call(|to| Call::Add(0, to))).await, Ok(taken));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_call_waits_for_room_and_is_not_sent_once_it_has_given_up() {
    let (pair, ear) = deafenable().await;
    pair.on_b.expose(COUNTER);
    counter(&pair.b).await;
    let taken = fill(&pair, &ear).await;
    let there = COUNTER.at(&pair.a, pair.b.id());
    let late = there.call_timeout(|to| Call::Add(1000, to), Duration::from_millis(50)).await;
    assert_eq!(late, Err(CallError::Timeout));
    // One that cannot wait is told.
    let now = there.send_request(|to| Call::Add(1000, to)).receive(HANGS).await;
    assert_eq!(now, Err(CallError::Overloaded));
    let mut waits = Box::pin(there.call(|to| Call::Add(1, to)));
    polled_once(&mut waits).await;
    ear.set(false);
    assert_eq!(in_time(waits).await, Ok(taken + 1));
}

/// So does one of many, and the others need not wait for it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn gs_064_a_multicall_waits_for_room() {
    let (pair, ear) = deafenable().await;
    for (node, on_node) in [(&pair.a, &pair.on_a), (&pair.b, &pair.on_b)] {
        counter(node).await;
        on_node.expose(COUNTER);
    }
    let taken = fill(&pair, &ear).await;
    let ids = [pair.b.id(), pair.a.id()];
    let in_vain = COUNTER.multi_call(&pair.a, ids, |to| Call::Add(1000, to), Duration::from_millis(50)).await;
    assert_eq!((in_vain.replies, in_vain.bad), (vec![(ids[1], 1000)], vec![(ids[0], CallError::Timeout)]));
    let mut waits = Box::pin(COUNTER.multi_call(&pair.a, ids, |to| Call::Add(1, to), HANGS));
    polled_once(&mut waits).await;
    ear.set(false);
    let all = in_time(waits).await;
    assert_eq!((all.replies, all.bad), (vec![(ids[0], taken + 1), (ids[1], 1001)], vec![]));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_call_that_waits_for_room_hears_that_its_node_is_lost() {
    let (pair, ear) = deafenable().await;
    pair.on_b.expose(COUNTER);
    counter(&pair.b).await;
    fill(&pair, &ear).await;
    let there = COUNTER.at(&pair.a, pair.b.id());
    let mut waits = Box::pin(there.call(|to| Call::Add(1, to)));
    polled_once(&mut waits).await;
    pair.cut().await;
    // It was not sent, and never will be.
    assert_eq!(in_time(waits).await, Err(CallError::NoConnection));
}

/// A process that casts 16 KB for each message.
fn sender(pair: &Pair) -> ProcessRef<u32> {
    let there = COUNTER.at(&pair.a, pair.b.id());
    pair.a.spawn(move |mut me: Process<u32>| async move {
        loop {
            if let Info::User(_) = me.receive().await {
                (0..800).for_each(|_| there.cast(Cast::Add(1)));
            }
        }
    })
}

/// Signals pass the bound, but not for ever; and who is tied to what is there hears that it is given up, though its heart beats.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_that_reads_nothing_is_given_up_when_too_many_signals_wait_for_it() {
    let (pair, ear) = deafenable().await;
    pair.on_b.expose(COUNTER);
    counter(&pair.b).await;
    let (mut watches, watched) = (Probe::<u32>::new(&pair.a), idle(&pair.b).pid());
    watches.run(move |me| me.monitor(watched)).await;
    fill(&pair, &ear).await;
    let there = COUNTER.at(&pair.a, pair.b.id());
    while there.try_cast(Cast::Add(1)) != Err(SendError::NoConnection) {
        watches
            .run(move |me| {
                for _ in 0..100 {
                    let another = me.monitor(watched);
                    me.demonitor(another);
                }
            })
            .await;
    }
    // Set before the loss: one that stood when it came, and none of those that were taken back.
    assert_eq!(watches.next_down().await.reason, ExitReason::NoConnection);
    watches.is_quiet().await;
    until(|| pair.on_a.nodes().is_empty() && pair.on_b.nodes().is_empty()).await;
}

/// Many large answers at once are no reason to give up a node that reads them: those that are too much say so.
#[tokio::test]
async fn answers_that_are_too_much_are_refused_and_the_node_is_kept() {
    const ANSWERS: usize = 20;
    let (pair, ear) = deafenable().await;
    let process = pair.a.spawn(|mut me: Process<ReplyTo<String>>| async move {
        while let Info::User(to) = me.receive().await {
            to.send("answer".repeat(BOUND / 12));
        }
    });
    let there = pair.over(&process).await;
    ear.set(true);
    let mut calls: Vec<_> = (0..ANSWERS).map(|_| Box::pin(there.ask_info(|to| to, HANGS))).collect();
    for call in &mut calls {
        polled_once(call).await;
    }
    until(|| pair.a.process_info(process.pid()).unwrap().messages_handled == ANSWERS as u64).await;
    assert!(queued(&pair) <= 3 * BOUND + (BOUND >> 2));
    ear.set(false);
    let mut answered = 0;
    for call in calls {
        match in_time(call).await {
            Ok(_) => answered += 1,
            Err(CallError::Exit(why)) => assert!(why.to_string().contains("too much waits"), "{why}"),
            Err(other) => panic!("{other:?}"),
        }
    }
    assert!((4..ANSWERS).contains(&answered), "{answered}");
    assert_eq!(pair.on_a.nodes(), ["b"]);
    assert!(in_time(there.ask_info(|to| to, HANGS)).await.is_ok());
}

/// As in Erlang, where a process that sends to a busy node is suspended: here it takes no further message meanwhile.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_process_that_has_sent_too_much_is_held_until_there_is_room() {
    const MESSAGES: u32 = 100;
    let (pair, ear) = deafenable().await;
    pair.on_b.expose(COUNTER);
    counter(&pair.b).await;
    let (sends, doomed) = (sender(&pair), sender(&pair));
    ear.set(true);
    (0..MESSAGES).for_each(|n| sends.send(n));
    let waiting = |process: &ProcessRef<u32>| pair.a.process_info(process.pid()).unwrap().mailbox_len;
    // It stands still, with messages left.
    let mut left = Vec::new();
    while left.len() < 10 || left.iter().any(|n| *n != left[left.len() - 1]) {
        assert_ne!(waiting(&sends), 0);
        tokio::time::sleep(Duration::from_millis(10)).await; // sleep: in which it would send some more
        left.push(waiting(&sends));
        left.drain(..left.len().saturating_sub(10));
    }
    // One that is held ends by an exit signal like any other.
    doomed.send(0);
    doomed.send(1);
    until(|| waiting(&doomed) == 1).await;
    let mut ended = Box::pin(doomed.ended());
    polled_once(&mut ended).await;
    pair.a.exit(doomed.pid(), ExitReason::Shutdown);
    assert_eq!(in_time(ended).await, ExitReason::Shutdown);
    ear.set(false);
    let there = COUNTER.at(&pair.a, pair.b.id());
    let all = i64::from(MESSAGES + 1) * 800;
    in_time(async { while there.call(|to| Call::Add(0, to)).await != Ok(all) {} }).await;
    assert_eq!(pair.a.dead_letters(), 0);
}

/// What waits is taken, however short the wait is, also by one that could not look for a while.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_process_that_is_held_misses_no_message_that_it_waits_for_with_a_limit() {
    let (pair, ear) = deafenable().await;
    pair.on_b.expose(COUNTER);
    counter(&pair.b).await;
    let there = COUNTER.at(&pair.a, pair.b.id());
    let (tell, told) = tokio::sync::oneshot::channel();
    let process = pair.a.spawn(move |mut me: Process<u32>| async move {
        me.receive().await;
        there.cast(Cast::Add(1));
        let _ = tell.send(me.receive_after(Duration::ZERO).await.is_some());
    });
    ear.set(true);
    COUNTER.at(&pair.a, pair.b.id()).cast(Cast::Add(1));
    until(|| ear.is_met()).await;
    // More than half of the bound, and room for one more.
    while queued(&pair) <= BOUND / 2 {
        COUNTER.at(&pair.a, pair.b.id()).cast(Cast::Add(1));
    }
    process.send(1);
    process.send(2);
    tokio::time::sleep(Duration::from_millis(20)).await; // sleep: in which it would have looked
    ear.set(false);
    assert_eq!(in_time(told).await, Ok(true));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn lk_011_busy_dist_port_monitor_sig_010_sig_011_what_monitors_say_passes_a_full_queue() {
    let (pair, ear) = deafenable().await;
    pair.on_b.expose(COUNTER);
    counter(&pair.b).await;
    // Monitors of b's processes by one of a, and of one of a by b's.
    let mut watches = Probe::<u32>::new(&pair.a);
    let mut watched_by = Probe::<u32>::new(&pair.b);
    let [kept, removed] = [ends_as_told(&pair.b), ends_as_told(&pair.b)];
    let ends = idle(&pair.a).pid();
    watched_by.run(move |me| me.monitor(ends)).await;
    let pids = [kept.pid(), removed.pid()];
    let [_, removed_by] = watches.run(move |me| pids.map(|pid| me.monitor(pid))).await;
    until(|| watchers(&pair.b, removed.pid()) == 1 && watchers(&pair.b, kept.pid()) == 1).await;
    until(|| watchers(&pair.a, ends) == 1).await;
    fill(&pair, &ear).await;
    assert!(watches.run(move |me| me.demonitor(removed_by)).await);
    pair.a.exit(ends, ExitReason::Kill);
    ear.set(false);
    assert_eq!(watched_by.next_down().await.reason, ExitReason::Killed);
    until(|| watchers(&pair.b, removed.pid()) == 0).await;
    removed.send(ExitReason::Shutdown);
    kept.send(ExitReason::Shutdown);
    assert_eq!(watches.next_down().await.reason, ExitReason::Shutdown);
    watches.is_quiet().await;
}

/// How many watch a process.
fn watchers(node: &Node, pid: incarnate::Pid) -> usize {
    node.process_info(pid).map_or(0, |info| info.monitored_by.len())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn lk_012_busy_dist_port_link_sig_013_what_links_say_passes_a_full_queue() {
    let (pair, ear) = deafenable().await;
    pair.on_b.expose(COUNTER);
    counter(&pair.b).await;
    let mut links = Probe::<u32>::trapping(&pair.a).await;
    let me = links.pid();
    let mut trapping = Probe::<u32>::trapping(&pair.b).await;
    let (unlinked, told) = (idle(&pair.b), idle(&pair.b));
    let later = trapping.pid();
    let pids = [unlinked.pid(), told.pid()];
    links.run(move |me| pids.map(|pid| me.link(pid).unwrap())).await;
    let linked = |pid| pair.b.process_info(pid).is_some_and(|info| info.links.contains(&me));
    until(|| linked(pids[0]) && linked(pids[1])).await;
    fill(&pair, &ear).await;
    // A link, an unlink, and an exit signal.
    links
        .run(move |me| (me.link(later).unwrap(), me.unlink(pids[0]), me.exit(pids[1], ExitReason::Kill)))
        .await;
    ear.set(false);
    assert_eq!(links.next_exit().await, (pids[1], ExitReason::Killed));
    until(|| !linked(pids[0]) && pair.b.process_info(later).unwrap().links.contains(&me)).await;
    // What was unlinked lives, and ends without a word; what was linked late hears of the end.
    pair.b.exit(pids[0], ExitReason::Kill);
    links.is_quiet().await;
    pair.a.exit(me, ExitReason::Kill);
    assert_eq!(trapping.next_exit().await, (me, ExitReason::Killed));
}
