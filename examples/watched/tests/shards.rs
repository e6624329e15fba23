//! What is counted of shards, as a recorder sees it.

#[path = "../../../tests/support/pair.rs"]
mod pair;
#[path = "../../../tests/support/probe.rs"]
mod probe;
#[path = "../../../tests/support/proxy.rs"]
mod proxy;
#[path = "../../../tests/support/random.rs"]
mod random;
#[path = "support/recorder.rs"]
mod recorder;
#[path = "../../../tests/support/shards.rs"]
mod shards;
#[path = "../../../tests/support/wait.rs"]
mod wait;

use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Duration;

use incarnate::Node;
use incarnate::shard::authority::Local;
use incarnate::shard::{MoveError, NotMoved, ShardHere, ShardId, ShardInfo, Shards};

use crate::pair::distribution;
use crate::proxy::Proxy;
use crate::recorder::{Recorder, Seen};
use crate::shards::{COPIED, Call, Cluster, Member, counter};
use crate::wait::{HANGS, in_time};

const SERVED: &str = "shards_served mode=copied_serve";
const LAG: &str = "shard_lag_frames mode=copied_serve";
const TAKEOVERS: &str = "shard_takeovers_total";

/// What observes a node has said what each metric is.
async fn observed(cluster: &Cluster) -> impl Sized + use<> {
    let observer = cluster.launcher.observe(HANGS);
    tokio::task::yield_now().await;
    observer
}

/// Until a gauge of a node says this.
async fn until_says(recorder: &Recorder, name: &str, gauge: &str, value: f64) {
    in_time(async {
        while recorder.take_of(name).get(gauge) != Some(&vec![value]) {
            tokio::time::sleep(Duration::from_millis(20)).await; // sleep: until the next look, each second
        }
    })
    .await;
}

/// What was counted; nothing, if it was never.
fn counted(seen: &Seen, name: &str) -> f64 {
    seen.get(name).map_or(0.0, |values| values[0])
}

/// The shards that a member serves.
fn served(member: &Member) -> Vec<ShardId> {
    let serves = |info: &ShardInfo| matches!(info.here, Some(ShardHere { serves: true, .. }));
    member.shards.info().into_iter().filter(serves).map(|info| info.shard).collect()
}

#[tokio::test]
async fn moves_are_counted_where_a_shard_was_by_what_has_come_of_them() {
    let recorder = Recorder::install();
    let cluster = Cluster::of(2, COPIED).await;
    let _observer = observed(&cluster).await;
    let [here, there] = &cluster.members[..] else { panic!("there are two") };
    let shard = served(here)[0];
    recorder.take_of("node0");
    here.shards.move_to(shard, there.node.id(), HANGS).await.unwrap();
    let seen = recorder.take();
    assert_eq!(counted(&seen["node0"], "shard_moves_total outcome=done"), 1.0, "{seen:?}");
    assert_eq!(counted(&seen["node1"], TAKEOVERS), 0.0, "a move is no takeover");
    // And back, asked by a node that does not have it: it is counted where it was, and who asked twice was refused once.
    let back = || here.shards.move_to(shard, here.node.id(), HANGS);
    let (one, other) = tokio::join!(back(), back());
    let refused = Err(MoveError::NotMoved(NotMoved::Busy));
    assert!((one == Ok(()) && other == refused) || (one == refused && other == Ok(())), "{one:?} {other:?}");
    let seen = recorder.take();
    let at = |node: &str, name| counted(&seen[node], name);
    assert_eq!(at("node1", "shard_moves_total outcome=done"), 1.0, "{seen:?}");
    assert_eq!(at("node1", "shard_moves_total outcome=busy"), 1.0, "{seen:?}");
    assert_eq!(at("node0", "shard_moves_total outcome=done"), 0.0, "{seen:?}");
    assert_eq!((at("node0", TAKEOVERS), at("node1", TAKEOVERS)), (0.0, 0.0), "a move is no takeover");
}

#[tokio::test]
async fn what_a_node_serves_takes_over_and_has_lost_is_counted() {
    let recorder = Recorder::install();
    let with = |start: incarnate::shard::ShardsStart| start.lease(Duration::from_millis(500));
    let mut cluster = Cluster::started(2, COPIED, with).await;
    let _observer = observed(&cluster).await;
    let front = cluster.front("front").await;
    // Those for pinned processes are among them.
    let [of_one, of_other] = [0, 1].map(|at| served(&cluster.members[at]).len());
    assert!(of_one > 1 && of_other > 1 && of_one + of_other > 16, "{of_one} and {of_other}");
    until_says(&recorder, "node0", SERVED, of_one as f64).await;
    until_says(&recorder, "node1", SERVED, of_other as f64).await;
    until_says(&recorder, "front", "shards_lost", 0.0).await;
    recorder.take_of("node0");
    cluster.lose(1).await;
    let all = of_one + of_other;
    cluster.until(|member| served(member).len() == all).await;
    assert_eq!(counted(&recorder.take_of("node0"), TAKEOVERS), of_other as f64);
    until_says(&recorder, "node0", SERVED, all as f64).await;
    cluster.lose(0).await;
    until_says(&recorder, "front", "shards_lost", all as f64).await;
    drop(front);
}

/// A standby that can be reached and hears nothing for a while.
#[tokio::test]
async fn the_lag_is_what_a_standby_has_not_acknowledged() {
    let recorder = Recorder::install();
    let cluster = Cluster::started(1, COPIED, |start| start.patience(2 * HANGS).lease(2 * HANGS)).await;
    let _observer = observed(&cluster).await;
    let owner = &cluster.members[0];
    let way = Proxy::to(owner.on.address().unwrap().to_string()).await;
    let node = Node::new("standby");
    let on = distribution(&node).start().await.unwrap();
    in_time(on.connect(cluster.on.address().unwrap())).await.unwrap();
    in_time(on.connect(way.address())).await.unwrap();
    let start = Shards::of(&node, Arc::new(Local::at(&node, cluster.launcher.id())));
    let start = start.balance_every(Duration::ZERO).shards(NonZeroU32::new(16).unwrap());
    let _standby = (cluster.with)(start).start().await.unwrap();
    let key = counter("k").on(&owner.node);
    let copied = |info: &ShardInfo| info.shard == owner.shards.shard_of(&key) && info.in_sync == [node.id()];
    cluster.until(|member| member.shards.info().iter().any(copied)).await;
    assert_eq!(key.call(|to| Call::Add(1, to)).await, Ok(1));
    until_says(&recorder, "node0", LAG, 0.0).await;

    way.lose_answers();
    let waits = tokio::spawn(async move { key.call_timeout(|to| Call::Add(1, to), HANGS).await });
    until_says(&recorder, "node0", LAG, 1.0).await;
    assert!(!waits.is_finished(), "what the standby has not is not answered");
    way.open();
    assert_eq!(waits.await.unwrap(), Ok(2));
    until_says(&recorder, "node0", LAG, 0.0).await;
}
