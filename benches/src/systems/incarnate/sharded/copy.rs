//! 64 callers of counters that are copied, or not.

use std::{
    collections::BTreeSet,
    time::{Duration, Instant},
};

use incarnate::{
    GenServer, Node, ServerRef,
    node::RemoteName,
    shard::{ShardInfo, Shards},
};

use super::{
    cluster::Cluster,
    keyed::{Address, Ask, DESK, Next, Plain, counter},
};
use crate::{
    remote::on_workers,
    sharded::{Copying, From, HOT},
    systems::{
        Sample,
        support::{Caller, call_together},
    },
    workload::CROWD,
};

/// A counter.
#[derive(Clone)]
pub enum Who {
    Keyed(Address),
    Plain(ServerRef<Next>),
}

impl Caller for Who {
    async fn call(&mut self) -> u64 {
        match self {
            Who::Keyed(key) => key.call(Next).await.expect("the key answers in time"),
            Who::Plain(server) => server.call(Next).await.expect("the server answers in time"),
        }
    }
}

pub fn run(by: Copying, from: From, n: u64, time: Duration) -> Sample {
    on_workers(async move {
        let cluster = Cluster::start(by, 3, 256).await;
        let mut work = Work::new(&cluster, by, from).await;
        let (mut ops, mut elapsed, mut warm) = (0, Duration::ZERO, false);
        while elapsed < time {
            let took = work.run(n).await;
            if std::mem::replace(&mut warm, true) {
                (ops, elapsed) = (ops + n, elapsed + took);
            }
        }
        Sample::new(ops, elapsed, n)
    })
}

/// Who does the calling: this node, or a member for it.
enum Work {
    Here(Vec<Who>),
    There(RemoteName<Ask>),
}

impl Work {
    async fn new(cluster: &Cluster, by: Copying, from: From) -> Self {
        let keys = match from {
            From::Owner => return Work::There(DESK.at(&cluster.node, cluster.members[0])),
            From::FrontHot => HOT,
            From::Front => CROWD,
        };
        let mut counters = Vec::new();
        for at in 0..keys {
            counters.push(match by {
                Copying::Plain => {
                    let member = cluster.members[at as usize % cluster.members.len()];
                    let plain = DESK.at(&cluster.node, member).call(Ask::Plain).await;
                    Who::Plain(plain.expect("a counter starts"))
                }
                _ => Who::Keyed(counter(at).on(&cluster.node)),
            });
        }
        Work::Here(counters)
    }

    /// How long `n` calls take.
    async fn run(&mut self, n: u64) -> Duration {
        match self {
            Work::Here(counters) => call(counters, n).await,
            Work::There(desk) => {
                let took = desk.call_timeout(|to| Ask::Call(n, to), Duration::from_secs(60)).await;
                took.expect("the member calls")
            }
        }
    }
}

/// Counters of this member, as many as there are callers.
pub async fn own(node: &Node, shards: &Shards, by: Copying) -> incarnate::Result<Vec<Who>> {
    let mut counters = Vec::new();
    if by == Copying::Plain {
        for _ in 0..CROWD {
            counters.push(Who::Plain(Plain::server(()).on(node).start().await?));
        }
        return Ok(counters);
    }
    let serves = |here: &ShardInfo| here.here.is_some_and(|here| here.serves);
    let here: BTreeSet<_> =
        shards.info().iter().filter(|shard| serves(shard)).map(|shard| shard.shard).collect();
    let all = (0..).map(counter).filter(|key| here.contains(&shards.shard_of(key)));
    Ok(all.take(CROWD as usize).map(|key| Who::Keyed(key.on(node))).collect())
}

/// How long `n` calls take that 64 callers make. Each is counted once, or this panics.
pub async fn call(counters: &mut [Who], n: u64) -> Duration {
    let before = totals(counters).await;
    let callers: Vec<Who> = counters.iter().cycle().take(CROWD as usize).cloned().collect();
    let start = Instant::now();
    call_together(callers.into_iter(), n, u64::max).await;
    let took = start.elapsed();
    let sum = totals(counters).await - before - counters.len() as u64;
    assert_eq!(sum, n, "each call counts once");
    took
}

async fn totals(counters: &mut [Who]) -> u64 {
    let mut sum = 0;
    for counter in counters {
        sum += counter.call().await;
    }
    sum
}
