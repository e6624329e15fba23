//! What a node tells another of failures and ends. They are never dropped, so what is too long for a frame is told in short.

use serde::Serialize;

use super::frame::{self, HEAD, Kind, Unsent};
use super::spawn::SpawnError;
use crate::gen_server::StartError;
use crate::process::elsewhere::NotTaken;
use crate::process::{Failure, Rejected};
use crate::term::{ExitReason, Pid};

/// A text in short has so many bytes at most, and the sign that there was more.
const SHORT: usize = 400;

/// A reason, which may be as long as whoever has made it pleases.
pub(super) trait Shortened: Clone {
    /// As much of it as fits into every frame.
    fn in_short(&self) -> Self;
}

impl Shortened for ExitReason {
    fn in_short(&self) -> Self {
        self.shortened(SHORT)
    }
}

impl Shortened for Failure {
    fn in_short(&self) -> Self {
        match self {
            Failure::Exit(reason) => Failure::Exit(reason.in_short()),
            Failure::Handler(reason) => Failure::Handler(Box::new(reason.in_short())),
            other => other.clone(),
        }
    }
}

impl Shortened for Result<Pid, SpawnError> {
    fn in_short(&self) -> Self {
        self.clone().map_err(|error| match error {
            SpawnError::Start(StartError::Failed(reason)) => {
                SpawnError::Start(StartError::Failed(reason.in_short()))
            }
            SpawnError::NotRegistered(name) => SpawnError::NotRegistered(cut(&name)),
            SpawnError::Unsendable(why) => SpawnError::Unsendable(cut(&why)),
            SpawnError::Unreadable(why) => SpawnError::Unreadable(cut(&why)),
            other => other,
        })
    }
}

fn cut(text: &str) -> String {
    crate::term::cut(text, SHORT)
}

/// A frame with a reason in its fields, which is told in short if the frame would be longer than `limit`.
pub(super) fn frame_of<W: Shortened, F: Serialize>(
    kind: Kind,
    why: &W,
    limit: u32,
    fields: impl Fn(W) -> F,
) -> Vec<u8> {
    let whole = frame::plain(kind, &fields(why.clone()));
    if whole.len() - HEAD <= limit as usize { whole } else { frame::plain(kind, &fields(why.in_short())) }
}

/// What the sender of a request is told.
pub(super) fn failure(why: &NotTaken) -> Failure {
    match why {
        NotTaken::WrongProtocol => Failure::WrongProtocol,
        NotTaken::Unreadable(_) | NotTaken::NoReturnAddress => Failure::NotUnderstood,
        NotTaken::Rejected(Rejected::Full) => Failure::Overloaded,
        NotTaken::Rejected(_) => Failure::NoProc,
    }
}

pub(super) fn unsent(error: Unsent<String>) -> String {
    match error {
        Unsent::Fields(why) | Unsent::Body(why) => why,
        Unsent::Oversized { found, limit } => format!("a frame of {found} bytes, the limit is {limit}"),
    }
}
