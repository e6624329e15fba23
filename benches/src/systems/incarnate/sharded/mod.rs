//! incarnate's shards: three members, each a process of the operating system of its own, and a fourth node, which serves the
//! authority, has no shards, and asks.

mod cluster;
mod copy;
mod handoff;
mod keyed;
mod pause;

use std::time::Duration;

use crate::{sharded::ShardWork, systems::Sample};

pub use cluster::be_member;
pub use handoff::be_reader;

/// Sets up a cluster, warms up, and runs the work again and again for this time.
pub fn run(work: ShardWork, n: u64, time: Duration) -> Sample {
    match work {
        ShardWork::Copy { by, from } => copy::run(by, from, n, time),
        ShardWork::HandoffPlain => handoff::plain(n, time),
        ShardWork::Handoff => handoff::moved(n, time),
        ShardWork::Undisturbed => pause::run(n, false),
        ShardWork::Disturbed => pause::run(n, true),
    }
}
