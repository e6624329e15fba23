//! Ten thousand processes under traffic.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use incarnate::Node;
use incarnate::supervisor::DynamicSupervisor;

use crate::keys::*;
use crate::random::{Random, seed};
use incarnate::gen_server::GenServer;

const MANY: usize = 10_000;

/// Up, down and up again: each update that was sent is counted once, and everybody is who it was.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_update_is_counted_once() {
    let node = Node::new("a");
    let seed = seed();
    let crowd =
        DynamicSupervisor::new("crowd", |number: u64| One::server((number, 1000)).upgradable().start_link());
    let crowd = crowd.on(&node).start().await.unwrap();
    let mut keys = Vec::with_capacity(MANY);
    for _ in 0..MANY {
        keys.push(crowd.start_child(0).await.unwrap());
    }
    let before: Vec<_> = keys.iter().map(|key| node.process_info(key.pid()).unwrap()).collect();
    let sent: Arc<Vec<AtomicU64>> = Arc::new((0..MANY).map(|_| AtomicU64::new(0)).collect());
    let stop = Arc::new(AtomicBool::new(false));
    let traffic = {
        let (keys, sent, stop) = (keys.clone(), sent.clone(), stop.clone());
        tokio::spawn(async move {
            let mut random = Random::new(seed);
            while !stop.load(Ordering::Relaxed) {
                for _ in 0..100 {
                    let at = random.below(MANY);
                    keys[at].cast(Cast::Add(1));
                    sent[at].fetch_add(1, Ordering::Relaxed);
                }
                tokio::task::yield_now().await;
            }
        })
    };
    for (from, to) in [(1, 2), (2, 1), (1, 2)] {
        let report = change(&node, from, to, "drop the hits").await.unwrap();
        println!("{report}");
        assert_eq!(report.modules[0].processes, MANY);
    }
    stop.store(true, Ordering::Relaxed);
    traffic.await.unwrap();
    for (at, key) in keys.iter().enumerate() {
        assert_eq!(get(key).await, sent[at].load(Ordering::Relaxed), "key {at}, SEED={seed}");
        assert_eq!(version(key).await, 2);
        let after = node.process_info(key.pid()).unwrap();
        assert_eq!(
            (&after.links, &after.parent, after.suspended),
            (&before[at].links, &before[at].parent, false)
        );
    }
    assert_eq!(crowd.count_children().await.unwrap().active, MANY);
}
