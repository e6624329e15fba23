//! The way out for a shard that is lost: somebody decides what is to become of it.

use std::fmt;
use std::time::Duration;

use incarnate_shards::{Member, Record, ShardId};
use serde::{Deserialize, Serialize};
use tokio::time::Instant;

use super::Shards;
use super::drain::node_of;
use super::hosted::Event;
use super::manager::{Call, Manager, NAME};
use super::shared::Known;
use crate::gen_server::{CallReply, noreply};
use crate::process::{CallError, ReplyTo, Result};
use crate::term::NodeId;

/// A change that was decided on is in force, or lost, by then.
const LIMIT: Duration = Duration::from_secs(10);

/// What a lost shard goes on with.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Recover {
    /// With the copy that this node has, however old: what was acknowledged since is gone.
    Copy,
    /// From nothing: all that it held is gone.
    Empty,
}

/// What has come of it.
pub(super) type Recovered = std::result::Result<(), NotRecovered>;

/// Why a shard was not recovered.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub enum NotRecovered {
    /// It is not lost: somebody who has it lives, or has not been gone for long enough.
    NotLost,
    /// This node has no copy of it, or cannot read it.
    NoCopy,
    /// This node serves no shards, or has no valid lease.
    NoMember,
    /// Somebody else owns it by now.
    Taken(NodeId),
}

/// Why a shard was not recovered, as far as is known.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum RecoverError {
    /// It was not, for this reason.
    NotRecovered(NotRecovered),
    /// The manager of this node has not answered: it was recovered, still may be, or will not be.
    NoAnswer(CallError),
}

impl From<CallError> for RecoverError {
    fn from(why: CallError) -> Self {
        RecoverError::NoAnswer(why)
    }
}

impl fmt::Display for RecoverError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let why = match self {
            RecoverError::NoAnswer(why) => {
                return write!(f, "it is not known whether the shard was recovered: {why}");
            }
            RecoverError::NotRecovered(why) => why,
        };
        f.write_str("the shard was not recovered: ")?;
        match why {
            NotRecovered::NotLost => f.write_str("it is not lost, as far as is known here"),
            NotRecovered::NoCopy => {
                f.write_str("this node has no copy of it; another may, or it begins empty")
            }
            NotRecovered::NoMember => f.write_str("this node serves no shards, or has no valid lease"),
            NotRecovered::Taken(owner) => write!(f, "{owner:?} owns it"),
        }
    }
}

impl std::error::Error for RecoverError {}

impl Shards {
    /// Has this node own a shard that is [lost](super::ShardInfo::is_lost), with what is left of it: a decision that nobody makes
    /// but whoever knows what was in it, and that those who had it are gone for good. They are told so if they come back, and
    /// serve it no more.
    ///
    /// Calls that clients still wait with are answered [`Expired`](super::KeyedError::Expired) unless the copy knows them, and
    /// are not carried out any more.
    ///
    /// # Errors
    /// See [`RecoverError`]. Nothing has changed then, if it says why.
    ///
    /// # Cancel safety
    /// Dropping the future takes nothing back.
    pub async fn recover(&self, shard: ShardId, with: Recover) -> std::result::Result<(), RecoverError> {
        let request = |caller| Call::Recover(shard, with, caller);
        let recovered = NAME.on(&self.node)?.call_timeout(request, LIMIT).await?;
        recovered.map_err(RecoverError::NotRecovered)
    }
}

impl Manager {
    pub(super) fn recover(
        &mut self,
        shard: ShardId,
        with: Recover,
        caller: ReplyTo<Recovered>,
    ) -> Result<CallReply> {
        if self.shared().known(shard) != Known::Lost {
            return caller.reply(Err(NotRecovered::NotLost));
        }
        let Some(hosted) = self.hosted(shard).filter(|_| self.setup.serves) else {
            return caller.reply(Err(NotRecovered::NoMember));
        };
        self.recovering.push((shard, caller));
        hosted.handle(Event::Recover(with));
        noreply()
    }

    /// Somebody owns the shard now.
    pub(super) fn owned(&mut self, shard: ShardId, record: &Record) {
        let mine = record.owner == self.shared().me();
        self.recovered(shard, if mine { Ok(()) } else { Err(NotRecovered::Taken(node_of(record.owner))) });
    }

    /// Tells whoever waits for it what has come of it.
    pub(super) fn recovered(&mut self, shard: ShardId, recovered: Recovered) {
        for (_, caller) in self.recovering.extract_if(.., |(waits, _)| *waits == shard) {
            caller.send(recovered);
        }
    }

    /// A shard whose owner has no lease any more, nor anybody who might take it over, and of whom nobody is connected, is
    /// lost when that has been so for twice the time of a lease.
    pub(super) fn find_lost(&mut self) -> usize {
        let now = Instant::now();
        let (patience, me) = (self.setup.lease * 2, self.shared().me());
        let mut lost = Vec::new();
        for (shard, record) in &self.records {
            let mut all = record.in_sync.iter().chain([&record.owner]);
            let lives = |member: &Member| {
                *member == me || self.members.contains_key(member) || self.setup.shared.is_connected(*member)
            };
            if all.any(lives) {
                self.lost.remove(shard);
            } else if now >= *self.lost.entry(*shard).or_insert(now) + patience {
                lost.push(*shard);
            }
        }
        for shard in &lost {
            if self.shared().note(*shard, Known::Lost) {
                tracing::error!(target: "incarnate::shard", shard = shard.0, "shard lost: owner and copies are gone");
            }
        }
        lost.len()
    }
}
