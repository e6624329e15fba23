//! What lies in a mailbox.

use super::codes::CodeId;
use super::signal::Signal;
use super::slots::SlotId;
use crate::term::TimerRef;

/// One entry of a mailbox.
pub(crate) enum Envelope<M> {
    User(M),
    /// A message whose sender waits for an answer.
    Request(M, SlotId),
    Timer(Box<Timed<M>>),
    Signal(Box<Signal>),
}

/// What a timer brings when it has fired: its message, and its reference if the message is to be known by it.
pub(crate) struct Timed<M> {
    pub(crate) timer: Option<TimerRef>,
    pub(crate) message: M,
    /// What the process was when the timer was started.
    pub(crate) code: CodeId,
}

impl<M> Envelope<M> {
    /// The same with another message in it; `None` if there is none.
    pub(crate) fn try_map(self, change: impl FnOnce(M) -> Option<M>) -> Option<Self> {
        Some(match self {
            Envelope::User(message) => Envelope::User(change(message)?),
            Envelope::Request(message, id) => Envelope::Request(change(message)?, id),
            Envelope::Timer(timed) => {
                let Timed { timer, message, code } = *timed;
                Envelope::Timer(Box::new(Timed { timer, message: change(message)?, code }))
            }
            Envelope::Signal(signal) => Envelope::Signal(signal),
        })
    }

    pub(crate) fn request(&self) -> Option<SlotId> {
        match self {
            Envelope::Request(_, id) => Some(*id),
            Envelope::Signal(signal) => match **signal {
                Signal::System(_, waiter) => waiter,
                _ => None,
            },
            Envelope::User(_) | Envelope::Timer(_) => None,
        }
    }
}
