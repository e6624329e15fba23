//! What can go wrong with a keyed process.

use std::fmt;

use super::address::Fault;
use crate::term::ExitReason;

/// Why a call to a key has no answer.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum KeyedError {
    /// No answer in time: it may have been carried out, or still be; once.
    Timeout,
    /// The session of this node with the shard is over: it may have been carried out, and will not be any more.
    Expired,
    /// Too much waits, on the way or at the process: it was not carried out.
    Overloaded,
    /// The process crashed with this reason. Nothing of what it did remains.
    Exit(ExitReason),
    /// The owner knows no such type, or its version no such message: it was not carried out.
    NotUnderstood(String),
    /// It was carried out, and the answer cannot be written or is not of the type that was asked for.
    BadReply,
    /// It was a read, and would have changed something: it was not carried out.
    NotARead,
    /// Owner and copies of the shard are gone for good. It was not carried out, and nothing is until somebody decides what is
    /// to become of the shard.
    Lost,
    /// The request does not serialise: it was not sent.
    Unsendable(String),
    /// It was asked within a callback of a keyed process, which would have to wait with a step that is half done: see
    /// [`KeyedContext::call`](super::KeyedContext::call). It was not sent.
    Inside,
    /// This node has no shards, or no type of this name: it was not sent.
    NotStarted,
    /// The key was used outside any process, so that its node is unknown: use [`Key::on`](super::Key::on).
    NoNode,
}

impl From<Fault> for KeyedError {
    fn from(fault: Fault) -> Self {
        match fault {
            Fault::Crashed(reason) => KeyedError::Exit(reason),
            Fault::NotUnderstood(why) => KeyedError::NotUnderstood(why),
            Fault::Unanswerable(_) => KeyedError::BadReply,
            Fault::Overloaded => KeyedError::Overloaded,
            Fault::NotARead => KeyedError::NotARead,
        }
    }
}

impl fmt::Display for KeyedError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            KeyedError::Timeout => {
                f.write_str("timeout: no answer in time, the request was carried out, may still be, or never will")
            }
            KeyedError::Expired => f.write_str(
                "expired: the session with the shard is over, the request may have been carried out and will not be now",
            ),
            KeyedError::Overloaded => f.write_str("overloaded: too much waits, the request was not carried out"),
            KeyedError::Exit(reason) => {
                write!(f, "the process crashed ({reason}), nothing of what the request did remains")
            }
            KeyedError::NotUnderstood(why) => write!(f, "not_understood: {why}, the request was not carried out"),
            KeyedError::BadReply => f.write_str(
                "bad_reply: the request was carried out, and its answer is not of the type that was asked for",
            ),
            KeyedError::NotARead => {
                f.write_str("not_a_read: the request would have changed something, it was not carried out")
            }
            KeyedError::Lost => f.write_str(
                "lost: the shard's owner and its copies are gone for good, the request was not carried out",
            ),
            KeyedError::Unsendable(why) => write!(f, "the request was not sent: {why}"),
            KeyedError::Inside => f.write_str(
                "a callback of a keyed process calls other keys by its context, the request was not sent",
            ),
            KeyedError::NotStarted => {
                f.write_str("this node has no shards, or none of this type: the request was not sent")
            }
            KeyedError::NoNode => f.write_str("a key was used outside any process: say on which node"),
        }
    }
}

impl std::error::Error for KeyedError {}
