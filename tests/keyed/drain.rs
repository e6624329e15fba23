//! A node ends in good order.

use std::sync::Arc;
use std::time::Duration;

use incarnate::application::{App, Application, NoConfig, Spec, StartType};
use incarnate::shard::{DrainError, DrainWaits, Mode, ShardHere, Shards};
use incarnate::{Node, Result, Supervisor, Tree};

use crate::faults::Load;
use crate::shards::{COPIED, Call, Cluster, Member, counter};
use crate::wait::{HANGS, in_time};

/// Asks all keys and compares with what was acknowledged.
async fn nothing_lost(load: Load, from: &Node) {
    for (key, acknowledged, unknown) in load.stop().await {
        let total = counter(&key).on(from).call_timeout(Call::Get, HANGS).await.unwrap();
        assert_eq!((total, unknown), (acknowledged, 0), "{key}");
    }
}

/// That no shard is served by a node, nor copied to it, as another one knows.
fn assert_has_nothing(gone: &Member, other: &Member) {
    for info in gone.shards.info() {
        assert!(info.here.is_none_or(|ShardHere { serves, .. }| !serves), "{info:?}");
    }
    for info in other.shards.info() {
        let there = info.owner.is_some_and(|(owner, _)| owner == gone.node.id());
        assert!(!there && !info.in_sync.contains(&gone.node.id()), "{info:?}");
    }
}

async fn drains_under_calls(mode: Mode) {
    let mut cluster = Cluster::of(3, mode).await;
    let from = cluster.members[0].node.clone();
    let load = Load::start(&from, 12);
    while counter("k0").on(&from).call_timeout(Call::Get, HANGS).await.unwrap() < 10 {
        tokio::task::yield_now().await;
    }
    in_time(cluster.members[2].shards.drain(HANGS)).await.unwrap();
    assert_has_nothing(&cluster.members[2], &cluster.members[0]);
    // It asks others as before, and has nothing to drain.
    let key = counter("another").on(&cluster.members[2].node);
    assert_eq!(key.call_timeout(|to| Call::Add(1, to), HANGS).await, Ok(1));
    assert_eq!(cluster.members[2].shards.drain(Duration::ZERO).await, Ok(()));
    cluster.lose(2).await;
    nothing_lost(load, &from).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn copied_drains_under_calls() {
    drains_under_calls(COPIED).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn async_drains_under_calls() {
    drains_under_calls(Mode::Async { lag: 16 }).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn local_drains_under_calls_and_nothing_begins_anew() {
    drains_under_calls(Mode::Local).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn where_there_is_no_third_it_waits_and_says_so() {
    let mut cluster = Cluster::of(2, COPIED).await;
    let limit = Duration::from_secs(2);
    let refused = cluster.members[1].shards.drain(limit).await;
    let Err(DrainError::Waits(DrainWaits::Third(shards))) = &refused else { panic!("{refused:?}") };
    assert!(!shards.is_empty());
    // It serves on as a member, and the token is free for the other, which has nobody either.
    let refused = cluster.members[0].shards.drain(limit).await;
    assert!(matches!(&refused, Err(DrainError::Waits(DrainWaits::Third(_)))), "{refused:?}");
    cluster.until_placed().await;
    // While it waits somebody comes.
    let draining = tokio::spawn({
        let shards = cluster.members[1].shards.clone();
        async move { shards.drain(HANGS).await }
    });
    cluster.join("another").await;
    in_time(draining).await.unwrap().unwrap();
    assert_has_nothing(&cluster.members[1], &cluster.members[0]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_two_that_drain_one_waits_for_the_other() {
    let mut cluster = Cluster::of(4, COPIED).await;
    let from = cluster.members[0].node.clone();
    let load = Load::start(&from, 8);
    let drain = |at: usize| {
        let shards: Shards = cluster.members[at].shards.clone();
        tokio::spawn(async move { shards.drain(HANGS).await })
    };
    let (one, other) = (drain(2), drain(3));
    assert_eq!((in_time(one).await.unwrap(), in_time(other).await.unwrap()), (Ok(()), Ok(())));
    for at in [2, 3] {
        assert_has_nothing(&cluster.members[at], &cluster.members[0]);
    }
    cluster.lose(3).await;
    cluster.lose(2).await;
    nothing_lost(load, &from).await;
}

/// The next one drains while the lease of the former is not over.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nobody_waits_for_one_that_has_drained_and_ended() {
    let mut cluster = Cluster::started(4, COPIED, |start| start.lease(4 * HANGS)).await;
    cluster.end(3).await;
    cluster.end(2).await;
    cluster.until_placed().await;
}

/// An application whose node has shards.
struct Service(Shards);

impl Application for Service {
    type Config = NoConfig;

    fn spec(&self) -> Spec {
        Spec::new("service", "1")
    }

    async fn start(&self, _: Arc<NoConfig>) -> Result<Tree> {
        Ok(Supervisor::tree("service").child(self.0.drains_at_stop(HANGS)))
    }
}

/// SIGTERM stops the node of a program as this does.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_application_drains_its_node_before_it_stops() {
    let mut cluster = Cluster::of(3, COPIED).await;
    let from = cluster.members[0].node.clone();
    let load = Load::start(&from, 12);
    let Member { node, on, shards } = cluster.members.remove(2);
    let applications = node.applications();
    applications.load(App::new(Service(shards.clone()))).await.unwrap();
    applications.start("service", StartType::Permanent).await.unwrap();
    assert!(shards.info().iter().any(|info| info.here.is_some_and(|here| here.serves)));
    node.stop(0);
    assert_eq!(in_time(node.stopped()).await, 0);
    for info in cluster.members[0].shards.info() {
        assert!(info.owner.is_some_and(|(owner, _)| owner != node.id()), "{info:?}");
    }
    on.stop().await;
    nothing_lost(load, &from).await;
}
