//! What callbacks return when they crash, and what calls return when they fail.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use super::catch::drop_caught;
use super::slots::Failure;
use crate::term::{Crash, ExitReason};

/// The error of a callback or a process function: it ends the process. `?` is "let it crash".
///
/// Made from any `std::error::Error` by `?`, or with [`Error::exit`] from a reason of one's own. It is no
/// `std::error::Error` itself, because every such error converts into it.
pub struct Error(Kind);

enum Kind {
    Exit(ExitReason),
    Other(Box<dyn std::error::Error + Send + Sync>),
}

/// The result of a callback.
pub type Result<T = (), E = Error> = std::result::Result<T, E>;

impl Error {
    /// Ends the process with exactly this reason (`erlang:exit/1`).
    pub fn exit(reason: ExitReason) -> Self {
        Error(Kind::Exit(reason))
    }

    /// Ends the process with an error that is this text (`erlang:error/1`).
    pub fn msg(text: impl Into<String>) -> Self {
        Error(Kind::Exit(ExitReason::error(text)))
    }

    /// Wraps a boxed error, which `?` cannot.
    pub fn boxed(error: Box<dyn std::error::Error + Send + Sync>) -> Self {
        Error(Kind::Other(error))
    }

    /// The exit reason that this becomes.
    pub fn into_reason(self) -> ExitReason {
        match self.0 {
            Kind::Exit(reason) => reason,
            Kind::Other(error) => {
                let reason = ExitReason::Crash(Arc::new(Crash::of(&*error)));
                drop_caught(error);
                reason
            }
        }
    }
}

impl<E: std::error::Error + Send + Sync + 'static> From<E> for Error {
    fn from(error: E) -> Self {
        Error(Kind::Other(Box::new(error)))
    }
}

impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Kind::Exit(reason) => fmt::Display::fmt(reason, f),
            Kind::Other(error) => fmt::Display::fmt(error, f),
        }
    }
}

/// How long to wait for something. OTP's default for calls is 5 seconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Timeout {
    /// At least this long; for calls at most 100 ms longer, and 300 ms where the called node's runtime stands still.
    After(Duration),
    /// For ever.
    Infinity,
}

impl Default for Timeout {
    fn default() -> Self {
        Timeout::After(Duration::from_secs(5))
    }
}

impl From<Duration> for Timeout {
    fn from(duration: Duration) -> Self {
        Timeout::After(duration)
    }
}

impl fmt::Display for Timeout {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Timeout::After(duration) => write!(f, "{duration:?}"),
            Timeout::Infinity => f.write_str("infinity"),
        }
    }
}

/// Why a call has no answer. In OTP the caller exits with these; here they are an error, and `?` lets it crash.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum CallError {
    /// No such process, or nobody has the name: the request was not carried out.
    NoProc,
    /// The process ended with this reason before it answered: the request may have been carried out.
    Exit(ExitReason),
    /// No answer in time: the request may still be carried out, its answer goes nowhere.
    Timeout,
    /// A process called itself, which could never be answered: the request was not sent.
    CallingSelf,
    /// The mailbox is at its bound, or what waits to be sent to its node: the request was not carried out.
    Overloaded,
    /// The process is on a node that is not connected: the request was not sent.
    NoConnection,
    /// The process is on another node, and the request cannot be sent there: it was not.
    Unsendable(Box<Unsendable>),
    /// An answer came that is not of the type that the request asked for.
    BadReply,
    /// The code of the server was changed while the request waited, and the version in force does not know it: it was not
    /// carried out.
    NotUnderstood,
    /// The event manager has no such handler: the request was not carried out.
    BadModule,
    /// The event handler that was asked crashed with this reason before it answered, and was removed: the request may have
    /// been carried out.
    Handler(Box<ExitReason>),
    /// The name is held by a process that takes other messages: the request was not sent.
    WrongProtocol,
    /// A name was used outside any process, so that its node is unknown: use [`Name::on`](crate::Name::on).
    NoNode,
    /// The answer of this [`Request`](super::Request) was taken before.
    AlreadyAnswered,
}

impl fmt::Display for CallError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            CallError::NoProc => f.write_str("noproc: no such process, the request was not carried out"),
            CallError::Exit(reason) => {
                write!(
                    f,
                    "the process ended before it answered ({reason}), the request may have been carried out"
                )
            }
            CallError::Timeout => {
                f.write_str("timeout: no answer in time, the request may still be carried out")
            }
            CallError::CallingSelf => {
                f.write_str("calling_self: a process called itself, the request was not sent")
            }
            CallError::Overloaded => {
                f.write_str("overloaded: the mailbox is full, the request was not carried out")
            }
            CallError::NoConnection => {
                f.write_str("noconnection: the node is not connected, the request was not sent")
            }
            CallError::Unsendable(why) => fmt::Display::fmt(why, f),
            CallError::BadReply => f.write_str("bad_reply: an answer of another type came"),
            CallError::NotUnderstood => f.write_str(
                "not_understood: the server changed its version meanwhile, the request was not carried out",
            ),
            CallError::BadModule => f.write_str(
                "bad_module: the event manager has no such handler, the request was not carried out",
            ),
            CallError::Handler(reason) => {
                write!(
                    f,
                    "the handler crashed before it answered ({reason}), the request may have been carried out"
                )
            }
            CallError::WrongProtocol => f.write_str(
                "the name is held by a process that takes other messages, the request was not sent",
            ),
            CallError::NoNode => f.write_str("a name was used outside any process: say on which node"),
            CallError::AlreadyAnswered => {
                f.write_str("already_answered: the answer to this request was taken before")
            }
        }
    }
}

impl std::error::Error for CallError {}

impl From<Failure> for CallError {
    fn from(failure: Failure) -> Self {
        match failure {
            Failure::Timeout => CallError::Timeout,
            Failure::NoProc => CallError::NoProc,
            Failure::Overloaded => CallError::Overloaded,
            Failure::WrongProtocol => CallError::WrongProtocol,
            Failure::Exit(reason) => CallError::Exit(reason),
            Failure::BadReply => CallError::BadReply,
            Failure::NotUnderstood => CallError::NotUnderstood,
            Failure::BadModule => CallError::BadModule,
            Failure::Handler(reason) => CallError::Handler(reason),
        }
    }
}

/// Why a message was not sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum SendError {
    /// No such process, or nobody has the name.
    NoProc,
    /// The mailbox is at its bound, or what waits to be sent to its node.
    Overloaded,
    /// The process is on a node that is not connected.
    NoConnection,
    /// The process is on another node, and the message does not serialise or is too large.
    Unsendable,
    /// The name is held by a process that takes other messages.
    WrongProtocol,
    /// A name was used outside any process, so that its node is unknown: use [`Name::on`](crate::Name::on).
    NoNode,
}

impl fmt::Display for SendError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            SendError::NoProc => "noproc: no such process, the message was dropped",
            SendError::Overloaded => "overloaded: the mailbox is full, the message was dropped",
            SendError::NoConnection => "noconnection: the node is not connected, the message was dropped",
            SendError::Unsendable => {
                "the message does not serialise or is too large for another node, it was dropped"
            }
            SendError::WrongProtocol => {
                "the name is held by a process that takes other messages, the message was dropped"
            }
            SendError::NoNode => {
                "a name was used outside any process, the message was dropped: say on which node"
            }
        })
    }
}

impl std::error::Error for SendError {}

/// Why something cannot be sent to another node: it does not serialise, or is larger than a frame may be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unsendable(String);

impl Unsendable {
    pub(crate) fn boxed(why: String) -> Box<Self> {
        Box::new(Unsendable(why))
    }
}

impl fmt::Display for Unsendable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "it was not sent to another node: {}", self.0)
    }
}

impl std::error::Error for Unsendable {}

/// There is no such process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NoProc;

impl fmt::Display for NoProc {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("noproc: no such process")
    }
}

impl std::error::Error for NoProc {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_of_a_call_is_no_larger_than_a_reason() {
        // Each call moves one, or the room for one.
        assert_eq!(size_of::<CallError>(), size_of::<ExitReason>());
        assert_eq!(size_of::<Failure>(), size_of::<ExitReason>());
    }
}
