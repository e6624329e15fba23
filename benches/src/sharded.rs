//! The workloads of shards: what a copy costs, how fast states move, how long a move is felt.

use incarnate::shard::{Alone, Mode};

use crate::workload::CROWD;

/// How many keys 64 callers share where they are hot.
pub const HOT: u64 = 8;

/// How many states are handed over.
pub const STATES: u64 = 10_000;

/// How many bytes one of them has, about.
pub const STATE: u64 = 1_024;

/// How many moves are made under load, or moments looked at without one.
pub const MOVES: u64 = 100;

/// Work on shards. Each is measured in turn with those of its group.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ShardWork {
    /// 64 callers of counters.
    Copy { by: Copying, from: From },
    /// States are encoded, sent by TCP to another process, and decoded there.
    HandoffPlain,
    /// Shards with as many states are moved to another process.
    Handoff,
    /// Calls of a shard, whose longest is looked for in each of a hundred moments.
    Undisturbed,
    /// The same, and in each moment the shard is moved.
    Disturbed,
}

/// Where the callers of counters are, and how many counters they have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum From {
    /// On a node that has no shard, with a counter each.
    Front,
    /// The same, with a few that are hot.
    FrontHot,
    /// On the node that owns the counters, one each.
    Owner,
}

/// Who keeps a counter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Copying {
    /// A plain process.
    Plain,
    /// A shard that is not copied.
    Local,
    /// One whose copy may be behind.
    Async,
    /// One that answers when its copy has what was done.
    Copied,
}

impl Copying {
    /// The mode of its shard; `None`: it has none.
    pub fn mode(self) -> Option<Mode> {
        match self {
            Copying::Plain => None,
            Copying::Local => Some(Mode::Local),
            Copying::Async => Some(Mode::Async { lag: 1024 }),
            Copying::Copied => Some(Mode::Copied { alone: Alone::Serve }),
        }
    }
}

impl ShardWork {
    /// All, those that are measured in turn one after the other.
    pub const ALL: [ShardWork; 16] = [
        ShardWork::Copy { by: Copying::Plain, from: From::Front },
        ShardWork::Copy { by: Copying::Local, from: From::Front },
        ShardWork::Copy { by: Copying::Async, from: From::Front },
        ShardWork::Copy { by: Copying::Copied, from: From::Front },
        ShardWork::Copy { by: Copying::Plain, from: From::FrontHot },
        ShardWork::Copy { by: Copying::Local, from: From::FrontHot },
        ShardWork::Copy { by: Copying::Async, from: From::FrontHot },
        ShardWork::Copy { by: Copying::Copied, from: From::FrontHot },
        ShardWork::Copy { by: Copying::Plain, from: From::Owner },
        ShardWork::Copy { by: Copying::Local, from: From::Owner },
        ShardWork::Copy { by: Copying::Async, from: From::Owner },
        ShardWork::Copy { by: Copying::Copied, from: From::Owner },
        ShardWork::HandoffPlain,
        ShardWork::Handoff,
        ShardWork::Undisturbed,
        ShardWork::Disturbed,
    ];

    /// The name on the command line, in the table and in the JSON.
    pub fn name(self) -> &'static str {
        match self {
            ShardWork::Copy { by: Copying::Plain, from: From::Front } => "copy_plain",
            ShardWork::Copy { by: Copying::Local, from: From::Front } => "copy_local",
            ShardWork::Copy { by: Copying::Async, from: From::Front } => "copy_async",
            ShardWork::Copy { by: Copying::Copied, from: From::Front } => "copy_copied",
            ShardWork::Copy { by: Copying::Plain, from: From::FrontHot } => "copy_plain_hot",
            ShardWork::Copy { by: Copying::Local, from: From::FrontHot } => "copy_local_hot",
            ShardWork::Copy { by: Copying::Async, from: From::FrontHot } => "copy_async_hot",
            ShardWork::Copy { by: Copying::Copied, from: From::FrontHot } => "copy_copied_hot",
            ShardWork::Copy { by: Copying::Plain, from: From::Owner } => "copy_plain_own",
            ShardWork::Copy { by: Copying::Local, from: From::Owner } => "copy_local_own",
            ShardWork::Copy { by: Copying::Async, from: From::Owner } => "copy_async_own",
            ShardWork::Copy { by: Copying::Copied, from: From::Owner } => "copy_copied_own",
            ShardWork::HandoffPlain => "handoff_plain",
            ShardWork::Handoff => "handoff_moved",
            ShardWork::Undisturbed => "pause_undisturbed",
            ShardWork::Disturbed => "pause_of_moves",
        }
    }

    /// The group: all of it is measured in turn.
    pub fn group(self) -> &'static str {
        match self {
            ShardWork::Copy { .. } => "copy_modes",
            ShardWork::HandoffPlain | ShardWork::Handoff => "handoff",
            ShardWork::Undisturbed | ShardWork::Disturbed => "pause",
        }
    }

    /// What it is compared with.
    pub fn base(self) -> ShardWork {
        match self {
            ShardWork::Copy { from, .. } => ShardWork::Copy { by: Copying::Local, from },
            ShardWork::HandoffPlain | ShardWork::Handoff => ShardWork::HandoffPlain,
            ShardWork::Undisturbed | ShardWork::Disturbed => ShardWork::Undisturbed,
        }
    }

    /// How many operations one run does: calls, states, moments.
    pub fn size(self) -> u64 {
        match self {
            ShardWork::Copy { .. } => CROWD * 250,
            ShardWork::HandoffPlain | ShardWork::Handoff => STATES,
            ShardWork::Undisturbed | ShardWork::Disturbed => MOVES,
        }
    }
}
