//! A node is lost, and what its shards promise holds.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use incarnate::Node;
use incarnate::shard::{Alone, KeyedError, Mode, NotRecovered, Recover, RecoverError, Shards};

use crate::shards::{COPIED, Call, Cluster, counter};
use crate::wait::HANGS;

/// Keys that are asked all the time by a node, each by a task of its own; how often each was answered.
pub struct Load {
    stop: Arc<AtomicBool>,
    tasks: Vec<tokio::task::JoinHandle<(String, i64, i64)>>,
}

impl Load {
    pub fn start(from: &Node, keys: usize) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let tasks = (0..keys)
            .map(|key| {
                let (node, stop, key) = (from.clone(), stop.clone(), format!("k{key}"));
                tokio::spawn(async move {
                    let counter = counter(&key).on(&node);
                    let (mut acknowledged, mut unknown) = (0, 0);
                    while !stop.load(Ordering::Relaxed) {
                        match counter.call_timeout(|to| Call::Add(1, to), Duration::from_secs(30)).await {
                            Ok(_) => acknowledged += 1,
                            Err(KeyedError::Timeout | KeyedError::Expired) => unknown += 1,
                            Err(error) => panic!("{key}: {error}"),
                        }
                        tokio::time::sleep(Duration::from_millis(1)).await; // sleep: a load that leaves others room
                    }
                    (key, acknowledged, unknown)
                })
            })
            .collect();
        Load { stop, tasks }
    }

    pub async fn stop(self) -> Vec<(String, i64, i64)> {
        self.stop.store(true, Ordering::Relaxed);
        let mut all = Vec::new();
        for task in self.tasks {
            all.push(task.await.unwrap());
        }
        all
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn copied_loses_nothing_and_applies_nothing_twice_when_a_node_is_lost() {
    let mut cluster = Cluster::of(3, COPIED).await;
    let from = cluster.members[0].node.clone();
    let load = Load::start(&from, 16);
    let before: i64 = counter("k0").on(&from).call(Call::Get).await.unwrap();
    cluster.lose(2).await;
    // It is asked on.
    while counter("k0").on(&from).call(Call::Get).await.unwrap() < before + 20 {
        tokio::task::yield_now().await;
    }
    for (key, acknowledged, unknown) in load.stop().await {
        let total = counter(&key).on(&from).call(Call::Get).await.unwrap();
        assert!((acknowledged..=acknowledged + unknown).contains(&total), "{key}: {total}, {acknowledged}");
        assert_eq!(unknown, 0, "{key}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_copy_is_made_elsewhere_before_the_lease_of_a_lost_node_is_over() {
    let mut cluster = Cluster::started(3, COPIED, |start| start.lease(2 * HANGS)).await;
    let gone = cluster.members[1].node.id();
    cluster.lose(1).await;
    cluster
        .until(|member| {
            member.shards.info().iter().all(|shard| {
                let serves = shard.here.is_some_and(|here| here.serves);
                let copied = !shard.in_sync.is_empty() && !shard.in_sync.contains(&gone);
                shard.owner.is_some_and(|(owner, _)| owner != gone) && (!serves || copied)
            })
        })
        .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn async_goes_on_when_the_lease_of_its_owner_is_over() {
    let mut cluster = Cluster::of(3, Mode::Async { lag: 16 }).await;
    let from = cluster.members[0].node.clone();
    let load = Load::start(&from, 8);
    while counter("k0").on(&from).call(Call::Get).await.unwrap() < 20 {
        tokio::task::yield_now().await;
    }
    cluster.lose(2).await;
    cluster.until_placed().await;
    for (key, acknowledged, unknown) in load.stop().await {
        let total = counter(&key).on(&from).call(Call::Get).await.unwrap();
        assert!(
            total >= acknowledged - 16 && total <= acknowledged + unknown,
            "{key}: {total}, {acknowledged}"
        );
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_caller_hears_that_what_it_was_answered_may_be_lost() {
    let mut cluster = Cluster::of(3, Mode::Async { lag: 16 }).await;
    let from = cluster.members[0].node.clone();
    let there = cluster.members[2].node.id();
    let owned = |key: &str| {
        let shard = cluster.members[0].shards.shard_of(&counter(key));
        let info = cluster.members[0].shards.info().into_iter().find(|info| info.shard == shard);
        info.and_then(|info| info.owner).is_some_and(|(owner, _)| owner == there)
    };
    let name = (0..).map(|at| format!("k{at}")).find(|key| owned(key)).unwrap();
    let key = counter(&name).on(&from);
    assert_eq!(key.call(|to| Call::Add(1, to)).await, Ok(1));
    let mut epochs = key.epochs().unwrap();
    let before = epochs.current();
    assert!(before > 0);
    cluster.lose(2).await;
    while key.call(Call::Get).await.is_err() {}
    // The owner that has answered is another one, and that was told before.
    assert!(epochs.current() > before);
    assert_eq!(epochs.changed().await, Some(epochs.current()));
    // A planned move is told, too.
    let shard = cluster.members[0].shards.shard_of(&key);
    let info = cluster.members[0].shards.info().into_iter().find(|info| info.shard == shard).unwrap();
    let (owner, before) = info.owner.unwrap();
    let to = cluster.members.iter().find(|member| member.node.id() != owner).unwrap().node.id();
    cluster.members[0].shards.move_to(shard, to, Duration::from_secs(10)).await.unwrap();
    assert!(epochs.changed().await > Some(before));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn local_begins_anew_when_its_node_is_lost() {
    let mut cluster = Cluster::of(2, Mode::Local).await;
    let from = cluster.members[0].node.clone();
    for key in 0..16 {
        counter(&format!("k{key}")).on(&from).call(|to| Call::Add(1, to)).await.unwrap();
    }
    let there = cluster.members[1].node.id();
    assert!(
        cluster.members[0].shards.info().iter().any(|it| it.owner.is_some_and(|(owner, _)| owner == there))
    );
    cluster.lose(1).await;
    cluster
        .until(|member| {
            member.shards.info().iter().all(|it| it.owner.is_none_or(|(owner, _)| owner != there))
        })
        .await;
    let mut totals = Vec::new();
    for key in 0..16 {
        let key = counter(&format!("k{key}")).on(&from);
        // What was lost is told once: the session with the shard was a part of it.
        totals.push(loop {
            match key.call(Call::Get).await {
                Err(KeyedError::Expired) => {}
                said => break said.unwrap(),
            }
        });
    }
    assert!(totals.contains(&0) && totals.contains(&1), "{totals:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn alone_wait_answers_nothing_without_a_standby() {
    let mut cluster = Cluster::of(2, Mode::Copied { alone: Alone::Wait }).await;
    let from = cluster.members[0].node.clone();
    let key = counter("k").on(&from);
    assert_eq!(key.call(|to| Call::Add(1, to)).await, Ok(1));
    cluster.lose(1).await;
    let waits = key.call_timeout(|to| Call::Add(1, to), Duration::from_secs(3)).await;
    assert_eq!(waits, Err(KeyedError::Timeout));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_lost_shard_says_so_and_never_starts_empty() {
    let mut cluster = Cluster::of(2, COPIED).await;
    let front = cluster.front("front").await;
    let key = counter("k").on(&front.node);
    assert_eq!(key.call(|to| Call::Add(1, to)).await, Ok(1));
    cluster.lose(1).await;
    cluster.lose(0).await;
    let lost = loop {
        match key.call_timeout(Call::Get, Duration::from_millis(300)).await {
            Err(KeyedError::Timeout) => {}
            said => break said,
        }
    };
    assert_eq!(lost, Err(KeyedError::Lost));
    cluster.join("another").await;
    assert_eq!(key.call_timeout(Call::Get, Duration::from_secs(1)).await, Err(KeyedError::Lost));
}

#[tokio::test]
async fn a_lost_shard_goes_on_with_what_somebody_decides() {
    let mut cluster = Cluster::of(2, COPIED).await;
    let front = cluster.front("front").await;
    let key = counter("k").on(&front.node);
    assert_eq!(key.call(|to| Call::Add(1, to)).await, Ok(1));
    let shard = front.shards.shard_of(&key);
    let not = |why| Err(RecoverError::NotRecovered(why));
    assert_eq!(cluster.members[0].shards.recover(shard, Recover::Empty).await, not(NotRecovered::NotLost));
    cluster.lose(1).await;
    cluster.lose(0).await;
    cluster.join("another").await;
    let another = cluster.members.last().unwrap();
    front.on.connect(another.on.address().unwrap()).await.unwrap();
    let another = &another.shards;
    let is_lost = |shards: &Shards| shards.info().iter().any(|info| info.shard == shard && info.is_lost);
    while !is_lost(another) || !is_lost(&front.shards) {
        tokio::time::sleep(Duration::from_millis(50)).await; // sleep: until the leases of the gone are over
    }
    assert_eq!(front.shards.recover(shard, Recover::Empty).await, not(NotRecovered::NoMember));
    assert_eq!(another.recover(shard, Recover::Copy).await, not(NotRecovered::NoCopy));
    assert_eq!(key.call_timeout(Call::Get, Duration::from_secs(1)).await, Err(KeyedError::Lost));
    assert_eq!(another.recover(shard, Recover::Empty).await, Ok(()));
    let gone = loop {
        match key.call(Call::Get).await {
            // It was asked before that was heard; and the session with the shard was a part of what is lost.
            Err(KeyedError::Lost | KeyedError::Expired) => tokio::task::yield_now().await,
            said => break said,
        }
    };
    assert_eq!(gone, Ok(0));
    assert_eq!(key.call(|to| Call::Add(1, to)).await, Ok(1));
    assert_eq!(another.recover(shard, Recover::Empty).await, not(NotRecovered::NotLost));
}
