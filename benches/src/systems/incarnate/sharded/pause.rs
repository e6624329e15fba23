//! How long calls of a shard wait while it moves.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use tokio::task::JoinSet;

use super::{
    cluster::Cluster,
    keyed::{Address, Next, profile},
};
use crate::{
    remote::on_workers,
    sharded::Copying,
    systems::{Sample, support},
};

/// How many processes the shard has.
const PROCESSES: u64 = 1_000;

/// How many callers there are, each of which calls the next when it was answered.
const CALLERS: u64 = 16;

/// How long one moment lasts: a move begins with it, or none does.
const MOMENT: Duration = Duration::from_millis(100);

/// A call: when it was made, and when it was answered.
type Called = (Instant, Instant);

/// The longest call of each of `n` moments, with a move in each or without. Its operations are calls.
pub fn run(n: u64, moves: bool) -> Sample {
    on_workers(async move {
        let cluster = Cluster::start(Copying::Copied, 3, 1).await;
        let keys: Vec<Address> = (0..PROCESSES).map(|at| profile(at).on(&cluster.node)).collect();
        for key in &keys {
            key.call(Next).await.expect("the key answers");
        }
        let over = Arc::new(AtomicBool::new(false));
        let mut callers = JoinSet::new();
        for first in 0..CALLERS {
            callers.spawn(call_on(keys.clone(), first, over.clone()));
        }
        // A moment that does not count.
        tokio::time::sleep(MOMENT * 5).await;
        let begun = Instant::now();
        let mut moments = Vec::new();
        for at in 0..n {
            let start = Instant::now();
            if moves {
                move_on(&cluster, at).await;
            }
            tokio::time::sleep_until((start + MOMENT).into()).await;
            moments.push((start, Instant::now()));
        }
        let elapsed = begun.elapsed();
        over.store(true, Ordering::Relaxed);
        let calls: Vec<Called> = callers.join_all().await.into_iter().flatten().collect();
        let longest = moments.iter().map(|(from, to)| {
            let within = calls.iter().filter(|(made, answered)| made < to && answered > from);
            within.map(|(made, answered)| (*answered - *made).as_nanos() as u64).max().unwrap_or_default()
        });
        let latencies = Some(support::histogram(longest));
        Sample { latencies, ..Sample::new(calls.len() as u64, elapsed, n) }
    })
}

async fn call_on(keys: Vec<Address>, first: u64, over: Arc<AtomicBool>) -> Vec<Called> {
    let mut calls = Vec::new();
    let step = (PROCESSES / CALLERS * first) as usize;
    for key in keys.iter().cycle().skip(step) {
        if over.load(Ordering::Relaxed) {
            break;
        }
        let made = Instant::now();
        key.call(Next).await.expect("the key answers");
        calls.push((made, Instant::now()));
    }
    calls
}

/// Moves the shard to the member after its owner.
async fn move_on(cluster: &Cluster, at: u64) {
    let info = cluster.shards.info();
    let (shard, owner) =
        info.first().and_then(|info| Some((info.shard, info.owner?.0))).expect("it is served");
    let now = cluster.members.iter().position(|member| *member == owner).unwrap_or(at as usize);
    let to = cluster.members[(now + 1) % cluster.members.len()];
    cluster.shards.move_to(shard, to, Duration::from_secs(10)).await.expect("the shard moves");
}
