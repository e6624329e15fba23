//! What is measured: the names, the sizes and the sums that must come out.

use std::{fmt, str::FromStr};

use serde::{Serialize, Serializer};

pub use crate::remote::CROWD;
use crate::sharded::ShardWork;

/// How many processes stand in the ring.
pub const RING: u64 = 1_000;

/// How many processes a parent of `spawn_sequential` starts and stops before it looks at its own mailbox.
pub const BATCH: u64 = 250;

/// One kind of work, the same on every system.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Workload {
    /// One producer casts to one server; a final call returns the sum.
    Cast,
    /// One producer notifies one event manager with one handler; a final call returns the sum.
    Notify,
    /// One caller, one server, with the safety that each system's user would have by default or must have.
    Call,
    /// `call_1_1` of the systems whose main row has a timeout, without one.
    CallNoTimeout,
    /// `call_1_1` of the systems whose main row has no timeout, with 5 s.
    CallTimeout,
    /// `call_1_1` to a state machine.
    StatemCall,
    /// 64 callers, one server.
    CallCrowd,
    /// 64 callers with a server each.
    CallPairs,
    /// One token goes round 1,000 processes.
    Ring,
    /// Start a linked process, init awaited, then stop it, end awaited.
    SpawnSequential,
    /// 64 parents each start many processes at once, all alive together, then stop them all.
    SpawnConcurrent,
    /// A supervised process returns an error; the next life's init is awaited.
    RestartErr,
    /// A supervised process panics; the next life's init is awaited.
    RestartPanic,
    /// 100,000 watched processes end; one watcher hears of each.
    Fanout,
    /// One process with 100,000 monitors on another hears of its death 100,000 times.
    OneDeath,
    /// 100,000 processes with one monitor each hear of one death.
    OneDeathSpread,
    /// One client of one node calls a server of another, in another process of the operating system.
    RemoteCall,
    /// `remote_call` with 1,024 bytes, there and back.
    RemoteCall1k,
    /// `remote_call` with 64 clients.
    RemoteCall64,
    /// One client casts to such a server; a final call returns the sum.
    RemoteCast,
    /// Resident bytes per process that has started and was told nothing, 200,000 alive.
    MemoryNew,
    /// Resident bytes per idle process that has answered a call, 200,000 alive.
    MemoryIdle,
    /// Resident bytes per process that hibernated as soon as it had started, 200,000 alive.
    MemoryHibernated,
    /// On shards; incarnate only.
    Shards(ShardWork),
}

impl Workload {
    /// Every workload, in the order of the table.
    pub fn all() -> impl Iterator<Item = Workload> {
        Workload::PROCESSES.into_iter().chain(ShardWork::ALL.map(Workload::Shards))
    }

    /// Those that have nothing to do with shards.
    const PROCESSES: [Workload; 23] = [
        Workload::Cast,
        Workload::Notify,
        Workload::Call,
        Workload::CallNoTimeout,
        Workload::CallTimeout,
        Workload::StatemCall,
        Workload::CallCrowd,
        Workload::CallPairs,
        Workload::Ring,
        Workload::SpawnSequential,
        Workload::SpawnConcurrent,
        Workload::RestartErr,
        Workload::RestartPanic,
        Workload::Fanout,
        Workload::OneDeath,
        Workload::OneDeathSpread,
        Workload::RemoteCall,
        Workload::RemoteCall1k,
        Workload::RemoteCall64,
        Workload::RemoteCast,
        Workload::MemoryNew,
        Workload::MemoryIdle,
        Workload::MemoryHibernated,
    ];

    /// The name on the command line, in the table and in the JSON.
    pub fn name(self) -> &'static str {
        match self {
            Workload::Cast => "cast_1_1",
            Workload::Notify => "notify_1_1",
            Workload::Call => "call_1_1",
            Workload::CallNoTimeout => "call_1_1_no_timeout",
            Workload::CallTimeout => "call_1_1_timeout",
            Workload::StatemCall => "statem_call_1_1",
            Workload::CallCrowd => "call_64_1",
            Workload::CallPairs => "call_64_64",
            Workload::Ring => "ring",
            Workload::SpawnSequential => "spawn_sequential",
            Workload::SpawnConcurrent => "spawn_concurrent",
            Workload::RestartErr => "restart_err",
            Workload::RestartPanic => "restart_panic",
            Workload::Fanout => "fanout",
            Workload::OneDeath => "one_death",
            Workload::OneDeathSpread => "one_death_spread",
            Workload::RemoteCall => "remote_call",
            Workload::RemoteCall1k => "remote_call_1k",
            Workload::RemoteCall64 => "remote_call_64",
            Workload::RemoteCast => "remote_cast",
            Workload::MemoryNew => "memory_new",
            Workload::MemoryIdle => "memory_idle",
            Workload::MemoryHibernated => "memory_hibernated",
            Workload::Shards(work) => work.name(),
        }
    }

    /// The groups that `--only` takes for several workloads at once.
    fn group(self) -> Option<&'static str> {
        match self {
            Workload::SpawnSequential | Workload::SpawnConcurrent => Some("spawn"),
            Workload::RestartErr | Workload::RestartPanic => Some("restart"),
            Workload::OneDeath | Workload::OneDeathSpread => Some("down"),
            Workload::MemoryNew | Workload::MemoryIdle | Workload::MemoryHibernated => Some("memory"),
            Workload::Shards(work) => Some(work.group()),
            _ if self.is_remote() => Some("remote"),
            _ => None,
        }
    }

    /// How many operations one run does. A measurement repeats the run until its time is used up.
    pub fn size(self) -> u64 {
        match self {
            Workload::Cast | Workload::Notify => 1_000_000,
            Workload::Call | Workload::CallNoTimeout | Workload::CallTimeout | Workload::StatemCall => 50_000,
            Workload::CallCrowd | Workload::CallPairs => CROWD * 1_000,
            Workload::Ring => RING * 100,
            Workload::SpawnSequential => BATCH * 40,
            Workload::SpawnConcurrent => CROWD * 250,
            // Small, because OTP keeps each restart of the last seconds in a list that it walks at the next one.
            Workload::RestartErr | Workload::RestartPanic => 2_000,
            Workload::Fanout | Workload::OneDeath | Workload::OneDeathSpread => 100_000,
            Workload::RemoteCall | Workload::RemoteCall1k => 2_000,
            Workload::RemoteCall64 => CROWD * 250,
            Workload::RemoteCast => 200_000,
            Workload::MemoryNew | Workload::MemoryIdle | Workload::MemoryHibernated => 200_000,
            Workload::Shards(work) => work.size(),
        }
    }

    /// The sum that a run of `ops` operations must come to: casts and events carry 0, 1, 2 …, all else counts.
    pub fn expected_sum(self, ops: u64) -> u64 {
        match self {
            Workload::Cast | Workload::Notify | Workload::RemoteCast => ops * (ops - 1) / 2,
            _ => ops,
        }
    }

    /// Whether there is a first run that does not count. Where setting up takes longer than the work, it has warmed
    /// everything up already.
    pub fn warms_up(self) -> bool {
        !matches!(self, Workload::Fanout | Workload::OneDeath | Workload::OneDeathSpread)
    }

    /// How many rounds are enough: those with 100,000 processes take long to set up, and memory is the same each
    /// time.
    pub fn most_rounds(self) -> usize {
        match self {
            Workload::Fanout | Workload::OneDeath | Workload::OneDeathSpread => 3,
            Workload::MemoryNew | Workload::MemoryIdle | Workload::MemoryHibernated => 2,
            _ => usize::MAX,
        }
    }

    /// The workload by whose rate this one's is divided, which is measured in turn with it.
    pub fn base(self) -> Option<Workload> {
        match self {
            Workload::Shards(work) => Some(Workload::Shards(work.base())),
            _ => None,
        }
    }

    /// Whether the two are measured in turn, as their rates are compared.
    pub fn is_beside(self, other: Workload) -> bool {
        self == other || self.base().is_some() && self.group() == other.group()
    }

    /// Whether a second process of the operating system takes part. Whoever has such workloads warms up and repeats them
    /// itself, so that the two are started once.
    pub fn is_remote(self) -> bool {
        matches!(
            self,
            Workload::RemoteCall | Workload::RemoteCall1k | Workload::RemoteCall64 | Workload::RemoteCast
        )
    }

    /// Whether the figure is bytes per process and not a rate.
    pub fn is_memory(self) -> bool {
        matches!(self, Workload::MemoryNew | Workload::MemoryIdle | Workload::MemoryHibernated)
    }
}

impl fmt::Display for Workload {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

impl Serialize for Workload {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.name())
    }
}

/// One or several workloads by a name or by the name of a group.
#[derive(Clone, Debug)]
pub struct Selection(pub Vec<Workload>);

impl FromStr for Selection {
    type Err = String;

    fn from_str(name: &str) -> Result<Self, Self::Err> {
        let chosen: Vec<Workload> = Workload::all()
            .filter(|workload| workload.name() == name || workload.group() == Some(name))
            .collect();
        if chosen.is_empty() {
            let names: Vec<&str> = Workload::all().map(Workload::name).collect();
            return Err(format!(
                "there is no workload {name:?}; the workloads are {}, and the groups spawn, restart, down, remote, \
                 memory, copy_modes, handoff, pause",
                names.join(", ")
            ));
        }
        Ok(Selection(chosen))
    }
}
