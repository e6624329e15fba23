//! Who owns a shard: the record that one linearizable authority keeps, and that only a compare-and-swap changes.

use alloc::collections::BTreeSet;
use core::fmt;

use serde::{Deserialize, Serialize};

/// The number of a shard, from zero. How many there are is settled when the cluster is founded.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct ShardId(pub u32);

impl fmt::Display for ShardId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)
    }
}

impl fmt::Debug for ShardId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "s{}", self.0)
    }
}

/// One life of a node. A node that was started anew is another member, which has nothing of what the former one had.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Member {
    /// The node, by the fingerprint of its name.
    pub node: u32,
    /// Which life of it.
    pub creation: u32,
    /// The disk that its copies are kept on, if they are. Another one if that was lost or put back.
    pub store: Option<u64>,
}

impl fmt::Display for Member {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:08x}.{:x}", self.node, self.creation)
    }
}

impl fmt::Debug for Member {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// A lease of a member: a tenure, by which it may own shards.
///
/// It begins, is renewed, and once it is over it stays so: a later one of the same member has another number.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct LeaseId(pub i64);

impl LeaseId {
    /// The number that no lease has.
    pub const NONE: LeaseId = LeaseId(0);
}

impl fmt::Debug for LeaseId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "l{}", self.0)
    }
}

/// Who owns a shard, and who else may.
///
/// It is never deleted: where there is none, the shard has never been created. Each change is a compare-and-swap on
/// `revision` and makes it one greater.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Record {
    /// Greater by one with each change. The first is 1.
    pub revision: u64,
    /// Who serves it.
    pub owner: Member,
    /// The lease by which it does, in a mode that needs one: others may take over when that is over, whatever later one the
    /// owner has. In other modes what the owner had when it became that, which may be none.
    pub lease: LeaseId,
    /// Greater by one with each change of the owner or of its lease, and with nothing else. The first is 1.
    pub epoch: u64,
    /// Who has all that was ever shown to anybody, besides the owner: these may take over, and nobody else.
    pub in_sync: BTreeSet<Member>,
    /// The version of the bytes of copies: who cannot read it gets none.
    pub wire: u32,
}
