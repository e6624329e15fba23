//! The systems that do the work, and what they share.

mod actix;
mod erlang;
mod incarnate;
mod kameo;
mod ractor;
mod support;
mod tokio;

use std::{fmt, str::FromStr, time::Duration};

use hdrhistogram::Histogram;
use serde::{Serialize, Serializer};

use crate::{sharded::ShardWork, workload::Workload};

pub use erlang::{DIRECTORY as ERLANG_DIRECTORY, compile as compile_erlang};
pub use incarnate::{be_member, be_peer, be_reader};
pub use ractor::{REMOTE_PROGRAM as RACTOR_PROGRAM, build_remote as build_ractor_program};

/// What one run came to.
#[derive(Debug)]
pub struct Sample {
    /// Operations done inside `elapsed`.
    pub ops: u64,
    /// The time they took; setting up and taking down are outside.
    pub elapsed: Duration,
    /// What the work added up to, checked against [`Workload::expected_sum`].
    pub sum: u64,
    /// Nanoseconds of single calls, timed one by one outside `elapsed`.
    pub latencies: Option<Histogram<u64>>,
    /// For the memory workloads: resident bytes divided by processes.
    pub bytes_per_process: Option<f64>,
}

impl Sample {
    /// A rate: `ops` operations in `elapsed`, which added up to `sum`.
    pub fn new(ops: u64, elapsed: Duration, sum: u64) -> Self {
        Sample { ops, elapsed, sum, latencies: None, bytes_per_process: None }
    }

    /// A size: `bytes` for `processes`, of which `sum` answered.
    pub fn bytes(processes: u64, bytes: u64, sum: u64) -> Self {
        let bytes_per_process = Some(bytes as f64 / processes as f64);
        Sample { bytes_per_process, ..Sample::new(processes, Duration::ZERO, sum) }
    }
}

/// A system under test: one method per workload, `n` operations each. `None` where a system has no such thing.
pub trait System {
    /// Whether the workload's method warms up and repeats on its own until `time` is used up, because starting the
    /// system is too dear to do once per run.
    fn repeats_itself(&self, _: Workload) -> bool {
        false
    }

    /// See [`Workload::Cast`].
    fn cast(&self, n: u64) -> Option<Sample>;
    /// See [`Workload::Notify`].
    fn notify(&self, _: u64) -> Option<Sample> {
        None
    }
    /// See [`Workload::Call`].
    fn call(&self, n: u64) -> Option<Sample>;
    /// See [`Workload::CallNoTimeout`].
    fn call_no_timeout(&self, _: u64) -> Option<Sample> {
        None
    }
    /// See [`Workload::CallTimeout`].
    fn call_timeout(&self, _: u64) -> Option<Sample> {
        None
    }
    /// See [`Workload::StatemCall`].
    fn statem_call(&self, _n: u64) -> Option<Sample> {
        None
    }
    /// See [`Workload::CallCrowd`].
    fn call_crowd(&self, n: u64) -> Option<Sample>;
    /// See [`Workload::CallPairs`].
    fn call_pairs(&self, n: u64) -> Option<Sample>;
    /// See [`Workload::Ring`].
    fn ring(&self, n: u64) -> Option<Sample>;
    /// See [`Workload::SpawnSequential`].
    fn spawn_sequential(&self, n: u64) -> Option<Sample>;
    /// See [`Workload::SpawnConcurrent`].
    fn spawn_concurrent(&self, n: u64) -> Option<Sample>;
    /// See [`Workload::RestartErr`].
    fn restart_err(&self, n: u64) -> Option<Sample>;
    /// See [`Workload::RestartPanic`].
    fn restart_panic(&self, _: u64) -> Option<Sample> {
        None
    }
    /// See [`Workload::Fanout`].
    fn fanout(&self, _: u64) -> Option<Sample> {
        None
    }
    /// See [`Workload::OneDeath`].
    fn one_death(&self, _: u64) -> Option<Sample> {
        None
    }
    /// See [`Workload::OneDeathSpread`].
    fn one_death_spread(&self, _: u64) -> Option<Sample> {
        None
    }
    /// The workloads of two processes, which all [repeat themselves](Self::repeats_itself).
    fn remote(&self, _: Workload, _: u64) -> Option<Sample> {
        None
    }
    /// The workloads on shards, which all [repeat themselves](Self::repeats_itself).
    fn shards(&self, _: ShardWork, _: u64) -> Option<Sample> {
        None
    }
    /// See [`Workload::MemoryNew`]. Elsewhere it is the same as an idle process.
    fn memory_new(&self, _: u64) -> Option<Sample> {
        None
    }
    /// See [`Workload::MemoryIdle`].
    fn memory_idle(&self, n: u64) -> Option<Sample>;
    /// See [`Workload::MemoryHibernated`].
    fn memory_hibernated(&self, _: u64) -> Option<Sample> {
        None
    }
}

/// Runs `workload` once, with `n` operations.
pub fn run(system: &dyn System, workload: Workload, n: u64) -> Option<Sample> {
    match workload {
        Workload::Cast => system.cast(n),
        Workload::Notify => system.notify(n),
        Workload::Call => system.call(n),
        Workload::CallNoTimeout => system.call_no_timeout(n),
        Workload::CallTimeout => system.call_timeout(n),
        Workload::StatemCall => system.statem_call(n),
        Workload::CallCrowd => system.call_crowd(n),
        Workload::CallPairs => system.call_pairs(n),
        Workload::Ring => system.ring(n),
        Workload::SpawnSequential => system.spawn_sequential(n),
        Workload::SpawnConcurrent => system.spawn_concurrent(n),
        Workload::RestartErr => system.restart_err(n),
        Workload::RestartPanic => system.restart_panic(n),
        Workload::Fanout => system.fanout(n),
        Workload::OneDeath => system.one_death(n),
        Workload::OneDeathSpread => system.one_death_spread(n),
        Workload::RemoteCall | Workload::RemoteCall1k | Workload::RemoteCall64 | Workload::RemoteCast => {
            system.remote(workload, n)
        }
        Workload::MemoryNew => system.memory_new(n),
        Workload::MemoryIdle => system.memory_idle(n),
        Workload::MemoryHibernated => system.memory_hibernated(n),
        Workload::Shards(work) => system.shards(work, n),
    }
}

/// The name of a system.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Name {
    /// This project.
    Incarnate,
    /// A task, an unbounded mpsc channel, a oneshot per call: what one writes without a framework.
    Tokio,
    /// ractor with its default features.
    Ractor,
    /// kameo with its default features and unbounded mailboxes.
    Kameo,
    /// actix.
    Actix,
    /// Erlang/OTP, where `erl` and `erlc` are installed.
    Erlang,
}

impl Name {
    /// Every system, in the order of the table.
    pub const ALL: [Name; 6] =
        [Name::Incarnate, Name::Tokio, Name::Ractor, Name::Kameo, Name::Actix, Name::Erlang];

    /// The name on the command line, in the table and in the JSON.
    pub fn as_str(self) -> &'static str {
        match self {
            Name::Incarnate => "incarnate",
            Name::Tokio => "tokio",
            Name::Ractor => "ractor",
            Name::Kameo => "kameo",
            Name::Actix => "actix",
            Name::Erlang => "erlang",
        }
    }

    /// The system itself; a measurement of it should take about `time`.
    pub fn system(self, time: Duration) -> Box<dyn System> {
        match self {
            Name::Incarnate => Box::new(incarnate::Incarnate { time }),
            Name::Tokio => Box::new(tokio::Tokio),
            Name::Ractor => Box::new(ractor::Ractor { time }),
            Name::Kameo => Box::new(kameo::Kameo),
            Name::Actix => Box::new(actix::Actix),
            Name::Erlang => Box::new(erlang::Erlang { time }),
        }
    }

    /// Whether this machine can run it.
    pub fn is_available(self) -> bool {
        self != Name::Erlang || erlang::is_installed()
    }
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

impl Serialize for Name {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
}

impl FromStr for Name {
    type Err = String;

    fn from_str(name: &str) -> Result<Self, Self::Err> {
        Name::ALL.into_iter().find(|known| known.as_str() == name).ok_or_else(|| {
            let names: Vec<&str> = Name::ALL.iter().map(|known| known.as_str()).collect();
            format!("there is no system {name:?}; the systems are {}", names.join(", "))
        })
    }
}
