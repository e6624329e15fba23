//! The process that owns a supervised handler, and what it hears of the handler's end.

use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use super::handler::HandlerId;
use crate::process::{AnyProcess, Exit, Linked, Me, ServerRef, Signal, link, unlink};
use crate::term::{ExitReason, Pid};

/// A supervised handler was removed: what its owner is told, always, and once (`{gen_event_EXIT, Handler, Reason}`).
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct HandlerExit {
    /// The manager that had it.
    pub manager: Pid,
    /// Which handler, as it was added.
    pub handler: HandlerId,
    /// Why.
    pub reason: HandlerEnd,
}

/// Why a supervised handler was removed.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum HandlerEnd {
    /// It was deleted, or asked for it.
    Normal,
    /// The manager stops.
    Shutdown,
    /// Another took its place (`{swapped, NewHandler, Pid}`).
    Swapped {
        /// The new one.
        by: HandlerId,
        /// Who owns that.
        owner: Option<Pid>,
    },
    /// One of its callbacks returned this error, or panicked; or it was to take the place of another, and its `init` did.
    Error(ExitReason),
}

impl HandlerEnd {
    /// What there is a report of.
    pub(super) fn error(&self) -> Option<&ExitReason> {
        match self {
            HandlerEnd::Error(reason) => Some(reason),
            HandlerEnd::Normal | HandlerEnd::Shutdown | HandlerEnd::Swapped { .. } => None,
        }
    }
}

impl fmt::Display for HandlerEnd {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            HandlerEnd::Normal => f.write_str("normal"),
            HandlerEnd::Shutdown => f.write_str("shutdown"),
            HandlerEnd::Swapped { by, .. } => write!(f, "swapped for {by}"),
            HandlerEnd::Error(reason) => fmt::Display::fmt(reason, f),
        }
    }
}

/// Who owns a handler.
pub(super) struct Owner {
    process: Arc<dyn AnyProcess>,
    tell: Box<dyn Fn(HandlerExit) + Send + Sync>,
}

impl Owner {
    pub(super) fn new<C, K, M>(
        owner: &ServerRef<C, K, M>,
        message: impl Fn(HandlerExit) -> M + Send + Sync + 'static,
    ) -> Arc<Self>
    where
        C: Send + 'static,
        K: Send + 'static,
        M: Send + 'static,
    {
        let to = owner.clone();
        let tell = move |exit| {
            // Its own end is what removes its handlers, mostly: nothing is lost then.
            if to.is_alive() {
                to.send(message(exit));
            }
        };
        Arc::new(Owner { process: owner.process(), tell: Box::new(tell) })
    }

    pub(super) fn pid(&self) -> Pid {
        self.process.core().pid()
    }

    /// Links the manager to it, so that each hears of the other's end.
    pub(super) fn link(&self, manager: &Me) {
        if link(manager.process(), &self.process) == Linked::PeerGone {
            let exit = Exit { from: self.pid(), reason: ExitReason::NoProc };
            manager.process().signal(Signal::Exit(exit));
        }
    }

    pub(super) fn unlink(&self, manager: &Me) {
        unlink(manager.process(), &self.process);
    }

    /// A function of the user's that panics tells nothing, and does not take the manager along.
    pub(super) fn tell(&self, exit: HandlerExit) {
        let handler = exit.handler.clone();
        if catch_unwind(AssertUnwindSafe(|| (self.tell)(exit))).is_err() {
            tracing::error!(
                target: "incarnate::gen_event",
                owner = %self.pid(),
                handler = %handler,
                "the message to the owner of a handler panicked, it was not sent"
            );
        }
    }
}
