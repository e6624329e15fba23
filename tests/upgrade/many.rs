//! Ten thousand processes under traffic.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use incarnate::Node;
use incarnate::supervisor::DynamicSupervisor;
use incarnate::upgrade::{Direction, UpgradeError, in_force};

use crate::keys::*;
use crate::random::{Random, seed};
use incarnate::gen_server::GenServer;

const MANY: usize = 10_000;

/// Each of two plans for one change may be the one that is carried out; the other is refused, whenever it comes.
#[tokio::test(flavor = "multi_thread", worker_threads = 3)]
async fn of_two_plans_for_one_change_one_is_carried_out() {
    for round in 0..200 {
        let node = Node::new("a");
        let keys = [start(&node, 0).await, start(&node, 0).await];
        let stop = Arc::new(AtomicBool::new(false));
        let traffic = {
            let (keys, stop) = (keys.clone(), stop.clone());
            tokio::spawn(async move {
                let mut sent = 0;
                while !stop.load(Ordering::Relaxed) {
                    keys.iter().for_each(|key| key.cast(Cast::Add(1)));
                    sent += 1;
                    tokio::task::yield_now().await;
                }
                sent
            })
        };
        let mut running = Vec::new();
        while in_force(&node, "key").is_none() {
            running.push(plan(1, 2, "").run(&node, &versions(), Direction::Up));
            tokio::task::yield_now().await;
        }
        let mut done = 0;
        for running in running {
            match running.await {
                Ok(_) => done += 1,
                Err(UpgradeError::Busy(_) | UpgradeError::WrongCurrent { .. }) => {}
                Err(error) => panic!("round {round}: {error}"),
            }
        }
        stop.store(true, Ordering::Relaxed);
        let sent = traffic.await.unwrap();
        assert_eq!(done, 1, "round {round}");
        for key in &keys {
            assert_eq!((get(key).await, version(key).await), (sent, 2), "round {round}");
        }
    }
}

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
