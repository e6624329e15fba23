//! Shards move to where there is less to do.

use std::time::Duration;

use incarnate::shard::ShardId;

use crate::faults::Load;
use crate::shards::{COPIED, Call, Cluster, counter};
use crate::wait::{HANGS, in_time};

const OFTEN: Duration = Duration::from_millis(100);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_that_joins_an_idle_cluster_gets_its_part() {
    let mut cluster = Cluster::started(2, COPIED, |start| start.balance_every(OFTEN)).await;
    cluster.join("another").await;
    // Sixteen shards, and those of pinned processes, of which each node has one.
    in_time(async {
        while cluster.served().into_iter().any(|served| served < 4) {
            tokio::time::sleep(Duration::from_millis(5)).await; // sleep: seen from outside only, until it is so
        }
    })
    .await;
    assert!(cluster.served().iter().sum::<usize>() <= 16 + 3, "{:?}", cluster.served());
    for key in 0..32 {
        let key = counter(&format!("k{key}")).on(&cluster.members[0].node);
        assert_eq!(key.call(|to| Call::Add(1, to)).await, Ok(1));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_asked_for_most_is_shared_and_no_call_fails() {
    let mut cluster = Cluster::started(1, COPIED, |start| start.balance_every(OFTEN)).await;
    let from = cluster.members[0].node.clone();
    let load = Load::start(&from, 12);
    let busy: Vec<ShardId> =
        (0..12).map(|key| cluster.members[0].shards.shard_of(&counter(&format!("k{key}")))).collect();
    cluster.join("another").await;
    // Those that are asked are served by both.
    let there = cluster.members[1].node.id();
    let shared = async {
        loop {
            let infos = cluster.members[0].shards.info();
            let owners = infos.iter().filter(|info| busy.contains(&info.shard)).filter_map(|info| info.owner);
            let (theirs, ours): (Vec<_>, Vec<_>) = owners.partition(|(owner, _)| *owner == there);
            if !theirs.is_empty() && !ours.is_empty() {
                return;
            }
            tokio::time::sleep(Duration::from_millis(5)).await; // sleep: seen from outside only, until it is so
        }
    };
    in_time(shared).await;
    for (key, acknowledged, unknown) in load.stop().await {
        let total = counter(&key).on(&from).call_timeout(Call::Get, HANGS).await.unwrap();
        assert_eq!((total, unknown), (acknowledged, 0), "{key}");
    }
}
