//! Who owns which shard: one linearizable record each, changed by compare-and-swap alone.
//!
//! An [`Authority`] decides, and nothing else does: that a node is not heard of any more is a reason to ask for its shards,
//! never a right to them. Two can be had: [`Local`], a file that a process of one node serves to the others, for one machine;
//! and `Etcd`, with the feature `etcd`, for a cluster. Both hold to the same promises, which one suite of tests shows.
//!
//! ```
//! use std::collections::BTreeSet;
//! use incarnate::node::{Cookie, Distribution};
//! use incarnate::shard::authority::{
//!     Authority, Change, LeaseId, Local, LocalServer, Member, Record, ShardId, Verdict,
//! };
//! use incarnate::Node;
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # let file = std::env::temp_dir().join(format!("authority-{}.redb", std::process::id()));
//! // The node that serves the file owns no shard.
//! let (launcher, worker) = (Node::new("launcher"), Node::new("worker"));
//! let cookie = Cookie::new("a secret of sixteen bytes or more");
//! let there = Distribution::of(&launcher, cookie.clone()).listen("127.0.0.1:0").start().await?;
//! LocalServer::of(&launcher, &file).start().await?;
//! Distribution::of(&worker, cookie).start().await?.connect(there.address().unwrap()).await?;
//!
//! let authority = Local::at(&worker, launcher.id());
//! let me = Member { node: 7, creation: worker.creation(), store: None };
//! // One that is copied to a standby needs no lease.
//! let lease = LeaseId::NONE;
//! let first = Record { revision: 1, owner: me, lease, epoch: 1, in_sync: BTreeSet::new(), wire: 1 };
//! let create = Change::new(ShardId(3), None, first.clone())?;
//! assert_eq!(authority.swap(vec![create.clone()]).await, [Verdict::Won]);
//! // There is one now: it was not created twice, and says who has it.
//! assert_eq!(authority.swap(vec![create]).await, [Verdict::Lost(Some(first))]);
//! # std::fs::remove_file(&file)?;
//! # Ok(())
//! # }
//! ```

mod error;
#[cfg(feature = "etcd")]
mod etcd;
mod file;
mod keep;
mod ledger;
mod local;
mod news;
mod server;

use std::collections::BTreeMap;
use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::time::Duration;

pub use error::{RenewError, TokenError, Unavailable};
#[cfg(feature = "etcd")]
pub use etcd::Etcd;
use incarnate_shards::Swapped;
pub use incarnate_shards::{Change, LeaseId, Member, NotNext, Record, ShardId};
pub use keep::keep_lease;
pub use local::Local;
pub use news::{Feed, News, Seen, Watch};
use serde::{Deserialize, Serialize};
pub use server::LocalServer;

/// A future of an authority.
pub type Pending<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// Keeps the records of a cluster, and who of its members lives.
///
/// Every answer comes within a deadline that was settled when the authority was made, or says that none came. What is asked
/// is linearizable: it takes effect at one moment between the question and the answer, for all members alike.
///
/// It is held as `Arc<dyn Authority>`: which one it is, is settled when a program starts, and one box a request is nothing
/// beside a write to a disk.
///
/// # Cancel safety
/// Dropping a future takes nothing back: what it asked for may be carried out, now or later, as if the answer were unknown.
pub trait Authority: Send + Sync + 'static {
    /// Settles what a cluster agrees on for ever, if nobody has; answers what is in force. The first thing that is asked of an
    /// authority.
    ///
    /// # Errors
    /// There is no answer; it may have been carried out. Asking again is harmless.
    fn found(&self, wanted: Settings) -> Pending<'_, Result<Settings, Unavailable>>;

    /// The record of a shard; `None`: it has never been created.
    ///
    /// # Errors
    /// There is no answer, or what is there cannot be read.
    fn read(&self, shard: ShardId) -> Pending<'_, Result<Option<Record>, Unavailable>>;

    /// The records of all shards that have been created. Each is linearizable, and all are of one moment.
    ///
    /// # Errors
    /// As [`read`](Self::read).
    fn read_all(&self) -> Pending<'_, Result<BTreeMap<ShardId, Record>, Unavailable>>;

    /// Changes records, each if the one in force has the revision that the change expects; one outcome for each, in order.
    ///
    /// They share the way and nothing else: each wins or loses alone, so a shard is to be named once. A change that has won is
    /// on disks before this says so.
    fn swap(&self, changes: Vec<Change>) -> Pending<'_, Vec<Verdict>>;

    /// All records, members with a lease, and the token, as they are and as they change.
    ///
    /// Never a gap: whatever happens between, the newest state comes. It is a reason to look, not the truth, which is what a
    /// swap or a read says.
    fn watch(&self) -> Watch;

    /// Begins a lease of a member, or renews it; answers which. [`keep_lease`] does so as it should be done.
    ///
    /// # Errors
    /// See [`RenewError`].
    fn renew(&self, renewal: Renewal) -> Pending<'_, Result<LeaseId, RenewError>>;

    /// Whether this lease of this member is over, which it stays: a later one of the same member is another. It is what a
    /// takeover waits for in a mode that relies on leases.
    ///
    /// Of one that the member has never had this is true as well.
    ///
    /// # Errors
    /// As [`read`](Self::read).
    fn is_over(&self, member: Member, lease: LeaseId) -> Pending<'_, Result<bool, Unavailable>>;

    /// Takes the token of the cluster, if nobody has it; answers who has it now. Whoever has it may drain, and nobody else
    /// (R39); it is free again when its holder says so, or when the lease is over that the holder had when it took it.
    ///
    /// A member that finds itself the holder without knowing why has asked once and never heard the answer: it frees it.
    ///
    /// # Errors
    /// See [`TokenError`].
    fn take_token(&self, member: Member) -> Pending<'_, Result<Member, TokenError>>;

    /// Frees the token, if this member has it.
    ///
    /// # Errors
    /// There is no answer; it may have been carried out, and asking again is harmless.
    fn free_token(&self, member: Member) -> Pending<'_, Result<(), Unavailable>>;

    /// What it does not survive, for people: said when a cluster starts. `None`: it survives the loss of any one node.
    ///
    /// # Errors
    /// As [`read`](Self::read).
    fn weakness(&self) -> Pending<'_, Result<Option<Weakness>, Unavailable>>;
}

/// What has come of a change.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It is in force, or was until a later change.
    Won,
    /// It is not, and never will be: another record is in force, or none.
    ///
    /// The one in force may be the same as was proposed, if that was proposed before and won unheard.
    Lost(Option<Record>),
    /// It may be in force, or come into force at any later time, until a newer revision is known. A read that shows the old
    /// one proves nothing; whoever must know, wins a change from the same revision.
    Unknown(Unavailable),
}

impl From<Verdict> for Swapped {
    fn from(verdict: Verdict) -> Self {
        match verdict {
            Verdict::Won => Swapped::Won,
            Verdict::Lost(record) => Swapped::Lost(record),
            Verdict::Unknown(_) => Swapped::Unknown,
        }
    }
}

/// What a cluster agrees on when it is founded.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Settings {
    /// How many shards there are. Keys belong to them by it, so it never changes.
    pub shards: u32,
    /// The version of what the authority keeps.
    pub format: u32,
    /// How long a lease lasts that is not renewed. An authority may make it longer, and never makes it shorter.
    pub lease: Duration,
}

/// What is asked for a member's lease.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Renewal {
    /// Whose.
    pub member: Member,
    /// Which; `None`: another one than `former` is to begin. If it has begun it is renewed: the answer may have been lost.
    pub lease: Option<LeaseId>,
    /// The one before, when another one is to begin: the member does not rely on it any more, nor ever will, so it is over when
    /// the other one begins.
    pub former: Option<LeaseId>,
    /// What others are told about the member, whatever that is.
    pub about: String,
}

/// What an authority does not survive, and what can be done about it. It is a text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Weakness(String);

impl fmt::Display for Weakness {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}
