//! What is said about a shard: between clients and its owner, between its owner and its standbys.

use alloc::vec::Vec;
use core::fmt;

use serde::{Deserialize, Serialize};

use crate::copy::{Contents, Image, Write};
use crate::record::{LeaseId, Member, ShardId};

/// A place in the history of a shard: the last frame that a copy holds.
///
/// `n` counts frames over the whole life of the shard, and an epoch has one writer: equal positions mean equal
/// histories. A number alone does not, since the next epoch may have given it to another frame.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
pub struct Position {
    /// In which the frame was written.
    pub epoch: u64,
    /// Which frame.
    pub n: u64,
}

impl fmt::Debug for Position {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.epoch, self.n)
    }
}

/// The number of something that a frame has made: an entry of the outbox, a message within the shard, a timer.
///
/// The position of the frame and an index in it: a bare counter would be given again after a takeover that cut the tail, and
/// whoever had seen its first holder would take the second for the same.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
pub struct Number {
    /// The frame.
    pub frame: Position,
    /// Which of those in it.
    pub index: u32,
}

impl fmt::Debug for Number {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}/{}", self.frame, self.index)
    }
}

/// A client's session at a shard: the position of the frame that opened it, so that no two are the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct SessionId(pub Position);

/// Which request, whoever carries it and however often.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum RequestId {
    /// Of a client.
    Client {
        /// Its session.
        session: SessionId,
        /// Counted by the client, from 1.
        seq: u64,
    },
    /// Of a process in another shard, out of the outbox there.
    Shard {
        /// Which.
        shard: ShardId,
        /// The number of the entry.
        number: Number,
    },
}

/// Where an answer goes. Means something to who carries out the actions, nothing to the machines.
pub type Route = u64;

/// A request to a process of a shard.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Request<B> {
    /// The same on every retry.
    pub id: RequestId,
    /// The lowest number of the asker that it has no answer to yet: what is known of those below may be forgotten.
    pub floor: Floor,
    /// For whom, and what.
    pub body: B,
}

/// Up to where an asker has its answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Floor {
    /// A client's lowest request without one.
    Client(u64),
    /// The lowest entry of another shard's outbox for this one that is unconfirmed, and the one before this message: it is
    /// taken after that alone, which keeps the order.
    Shard {
        /// Lowest that is unconfirmed.
        lowest: Number,
        /// The entry before this one, if there was one that is unconfirmed yet.
        after: Option<Number>,
    },
}

/// What a client hears.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Reply<B> {
    /// It has a session.
    Opened {
        /// What it said when it asked.
        nonce: u64,
        /// The session.
        session: SessionId,
    },
    /// Its session lives on, or is not known.
    Renewed {
        /// What it said when it asked.
        nonce: u64,
        /// Whether it is known.
        lives: bool,
    },
    /// The request was carried out, once.
    Answered {
        /// Which.
        id: RequestId,
        /// The answer; nothing where nothing was asked.
        body: Option<B>,
    },
    /// Nothing is known of it any more, or of its session: whether it was carried out is unknown, and it never will be from
    /// now on.
    Expired {
        /// Which.
        id: RequestId,
    },
    /// It was not carried out: what it would have led to cannot be said to the standby, which runs an older version.
    Upgrading {
        /// Which.
        id: RequestId,
    },
    /// It was not carried out: too much waits. It may be tried again.
    Busy {
        /// Which.
        id: RequestId,
    },
    /// Not here.
    NotOwner {
        /// Who is, as far as is known, and since which epoch.
        owner: Option<(Member, u64)>,
    },
}

/// From the owner to a copy.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(bound = "")]
pub enum ToStandby<C: Contents> {
    /// A stream begins: what do you hold?
    Hello,
    /// What you said you hold stands in my history; frames follow from there.
    Continue,
    /// The next frames.
    Frames(Frames<C>),
    /// Everything.
    Image(Image<C>),
    /// Acknowledge that you have seen this, whatever you hold.
    Barrier(u64),
    /// The shard is frozen at this position and about to be yours; what waits for its processes.
    Final {
        /// Where.
        position: Position,
        /// Casts and requests that nobody has looked at.
        mailbox: Vec<Mail<C::Body>>,
    },
}

/// From a copy to the owner.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum ToOwner {
    /// This is what I hold; answers [`Hello`](ToStandby::Hello), or says that a frame did not fit.
    Have {
        /// Up to where, if there is anything.
        position: Option<Position>,
        /// The highest version of bytes that I read.
        reads: u32,
    },
    /// I hold everything up to here and could serve it, and have seen barriers up to there.
    Ack {
        /// The last frame.
        n: u64,
        /// The last barrier.
        barrier: u64,
    },
    /// I cannot read this.
    Unreadable {
        /// The highest version of bytes that I can.
        reads: u32,
    },
    /// I know of a later epoch.
    Refused {
        /// Which.
        epoch: u64,
    },
    /// I hold the mailbox.
    Final {
        /// At this position.
        position: Position,
        /// My lease, by which I am to own the shard.
        lease: LeaseId,
    },
}

/// A message on a stream between the owner and a copy.
///
/// The stream is a number that the owner chose when it began it: what belongs to a former one is not listened to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Streamed<M> {
    /// The owner's epoch.
    pub epoch: u64,
    /// Which stream.
    pub stream: u64,
    /// What is said.
    pub message: M,
}

/// One step of a shard: what a message to one of its processes has led to, or several that it has handled one after the
/// other. Nothing else ever changes a copy.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(bound = "")]
pub struct Frame<C: Contents> {
    /// What became of states.
    pub delta: Option<C::Delta>,
    /// What became of everything beside them.
    pub writes: Vec<Write<C::Body>>,
}

/// Frames in a row, of the epoch of the stream that they come by.
///
/// What a later one makes void is left out of an earlier one, so that all of them are applied or none.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(bound = "")]
pub struct Frames<C: Contents> {
    /// The position before the first. Who is elsewhere does not apply them.
    pub prev: Position,
    /// The version of the bytes in them.
    pub wire: u32,
    /// The frames: the first has the number that follows on that of `prev`.
    pub frames: Vec<Frame<C>>,
}

/// What waits for a process that is about to move.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Mail<B> {
    /// Nobody waits for it.
    Cast(B),
    /// Somebody waits for it, who will ask again.
    Request(Request<B>),
}
