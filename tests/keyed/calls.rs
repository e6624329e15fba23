//! What a key can be asked.

use incarnate::ExitReason;
use incarnate::shard::{KeyedError, Mode, Read};

use crate::shards::{COPIED, Call, Cast, Cluster, counter};

#[tokio::test]
async fn a_key_is_started_by_its_first_message_and_keeps_its_state() {
    let cluster = Cluster::of(1, COPIED).await;
    let alice = counter("alice").on(&cluster.members[0].node);
    assert_eq!(alice.call(Call::Get).await, Ok(0));
    assert_eq!(alice.call(|to| Call::Add(2, to)).await, Ok(2));
    assert_eq!(alice.call(|to| Call::Add(3, to)).await, Ok(5));
    alice.cast(Cast::Add(1)).unwrap();
    assert_eq!(alice.read(Call::Get, Read::Current).await, Ok(6));
    assert_eq!(counter("bob").on(&cluster.members[0].node).call(Call::Get).await, Ok(0));
}

#[tokio::test]
async fn a_key_is_the_same_from_all_nodes() {
    let cluster = Cluster::of(3, COPIED).await;
    for round in 0..4 {
        for (at, member) in cluster.members.iter().enumerate() {
            for key in ["a", "b", "c", "d", "e"] {
                let total = counter(key).on(&member.node).call(|to| Call::Add(1, to)).await;
                assert_eq!(total, Ok(round * 3 + at as i64 + 1), "{key}");
            }
        }
    }
}

#[tokio::test]
async fn a_crash_takes_back_what_its_message_did_and_nothing_else() {
    let cluster = Cluster::of(1, Mode::Local).await;
    let key = counter("k").on(&cluster.members[0].node);
    assert_eq!(key.call(|to| Call::Add(7, to)).await, Ok(7));
    let crashed = key.call(Call::Crash).await;
    assert!(matches!(&crashed, Err(KeyedError::Exit(ExitReason::Crash(why))) if why.message() == "as told"));
    assert_eq!(key.call(Call::Get).await, Ok(7));
}

#[tokio::test]
async fn an_answer_may_come_later() {
    let cluster = Cluster::of(2, COPIED).await;
    let key = counter("k").on(&cluster.members[0].node);
    let waits = tokio::spawn({
        let key = key.clone();
        async move { key.call(Call::Next).await }
    });
    while !waits.is_finished() {
        key.call(|to| Call::Add(1, to)).await.unwrap();
    }
    assert!(waits.await.unwrap().unwrap() > 0);
}

#[tokio::test]
async fn a_key_calls_another_one_in_the_step_of_its_callback() {
    let cluster = Cluster::of(3, COPIED).await;
    let node = &cluster.members[0].node;
    for other in ["x", "y", "z", "w"] {
        let (key, other) = (counter("k").on(node), counter(other));
        assert_eq!(key.call(|to| Call::Pass(3, other.clone(), to)).await, Ok(3), "{other}");
        assert_eq!(other.on(node).call(Call::Get).await, Ok(3));
    }
    assert_eq!(counter("k").on(node).call(Call::Get).await, Ok(12));
}

#[tokio::test]
async fn a_read_that_would_change_something_is_refused_and_changes_nothing() {
    let cluster = Cluster::of(1, COPIED).await;
    let key = counter("k").on(&cluster.members[0].node);
    assert_eq!(key.read(|to| Call::Add(1, to), Read::Current).await, Err(KeyedError::NotARead));
    assert_eq!(key.read(Call::Get, Read::Stale).await, Ok(0));
}

#[tokio::test]
async fn a_key_that_stops_is_forgotten() {
    let cluster = Cluster::of(2, COPIED).await;
    let key = counter("k").on(&cluster.members[0].node);
    assert_eq!(key.call(|to| Call::Add(7, to)).await, Ok(7));
    assert_eq!(key.call(Call::Forget).await, Ok(()));
    assert_eq!(key.call(Call::Get).await, Ok(0));
}

#[tokio::test]
async fn a_timer_changes_its_state() {
    let cluster = Cluster::of(2, COPIED).await;
    let key = counter("k").on(&cluster.members[0].node);
    key.call(|to| Call::Later(10, to)).await.unwrap();
    while key.call(Call::Get).await != Ok(1) {
        tokio::task::yield_now().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_shard_moves_while_it_is_asked_and_nobody_notices() {
    let cluster = Cluster::of(3, COPIED).await;
    let (a, b) = (&cluster.members[0], &cluster.members[1]);
    let key = counter("k").on(&a.node);
    let shard = a.shards.shard_of(&key);
    let (answered, mut watch) = tokio::sync::watch::channel(0);
    let calls = tokio::spawn({
        let key = key.clone();
        async move {
            let mut total = 0;
            while !answered.is_closed() {
                total += 1;
                assert_eq!(key.call(|to| Call::Add(1, to)).await, Ok(total));
                answered.send_replace(total);
            }
            total
        }
    });
    for round in 0..10 {
        let to = &cluster.members[round % 3];
        b.shards.move_to(shard, to.node.id(), std::time::Duration::from_secs(5)).await.ok();
        let so_far = *watch.borrow_and_update();
        watch.wait_for(|total| *total > so_far).await.unwrap();
    }
    drop(watch);
    let total = calls.await.unwrap();
    assert_eq!(key.call(Call::Get).await, Ok(total));
}

#[tokio::test]
async fn a_pinned_key_is_on_its_node() {
    let cluster = Cluster::of(3, COPIED).await;
    let from = &cluster.members[0].node;
    for member in &cluster.members {
        let key = counter("k").pinned_to(member.node.name());
        assert_eq!(key.clone().on(from).call(|to| Call::Add(1, to)).await, Ok(1));
        let shard = member.shards.shard_of(&key);
        let here = member.shards.info().into_iter().find(|info| info.shard == shard).unwrap();
        assert!(here.here.is_some_and(|here| here.serves && here.states == 1), "{here:?}");
    }
    assert_eq!(counter("k").on(from).call(Call::Get).await, Ok(0));
}
