//! What the machine asks of its driver.

use crate::{Answer, ChildId, ChildSpec};
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::fmt;
use core::time::Duration;

/// The machine's name for a child, unique within the supervisor and never used again; the driver keeps the
/// child's start function, or its arguments, under it.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Key(pub(crate) u64);

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "key {}", self.0)
    }
}

/// The machine's name for a timer, never used again.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Timer(pub(crate) u64);

impl fmt::Debug for Timer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "timer {}", self.0)
    }
}

/// The exit signal that a child gets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Signal {
    /// `exit(Pid, shutdown)`
    Shutdown,
    /// `exit(Pid, kill)`
    Kill,
}

/// Something for the driver to do, in the order in which [`poll`](crate::Supervisor::poll) gives it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Action<P, T, R> {
    /// Start this child, linked to the supervisor, and answer with
    /// [`handle_started`](crate::Supervisor::handle_started).
    Start {
        /// The child.
        key: Key,
    },
    /// Monitor this child. Its end comes back with [`handle_down`](crate::Supervisor::handle_down), at once
    /// if it is dead.
    Monitor {
        /// The child.
        pid: P,
    },
    /// Send this exit signal.
    Exit {
        /// The child.
        pid: P,
        /// The signal.
        signal: Signal,
    },
    /// Start a timer that ends in [`handle_timeout`](crate::Supervisor::handle_timeout).
    Arm {
        /// The timer.
        timer: Timer,
        /// The time from now.
        after: Duration,
    },
    /// The timer is of no more use. One that fires all the same does no harm.
    Cancel {
        /// The timer.
        timer: Timer,
    },
    /// Send [`handle_retry`](crate::Supervisor::handle_retry) to yourself, behind all that waits in the
    /// mailbox: OTP's supervisor casts to itself so that other requests are served between two attempts.
    Retry {
        /// The child whose start failed.
        key: Key,
    },
    /// Answer this caller.
    Reply {
        /// The caller.
        token: T,
        /// The answer.
        answer: Answer<P, R>,
    },
    /// Drop this caller unanswered: the supervisor ends before its turn came. In OTP it sees the supervisor's
    /// end.
    Abandon {
        /// The caller.
        token: T,
    },
    /// Drop the start function or arguments kept under this key: they are not needed again.
    Forget {
        /// The child, or a child that never came to be.
        key: Key,
    },
    /// Log this.
    Report(Report<P, R>),
    /// All children of the initial list are up: `start_link` returns now.
    Ready,
    /// End with this reason. Every child has ended; nothing follows.
    Stop {
        /// Why.
        reason: StopReason<R>,
    },
}

/// Why a supervisor ends.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum StopReason<R> {
    /// It gave up, or its significant children have ended: the exit reason is `shutdown`.
    Shutdown,
    /// The reason given to [`handle_shutdown`](crate::Supervisor::handle_shutdown).
    Ordered(R),
    /// A child of the initial list did not start, and those started before it were shut down: `start_link`
    /// answers `{error, {shutdown, {failed_to_start_child, Id, Reason}}}` and [`Action::Ready`] never came.
    FailedToStartChild {
        /// The child.
        id: ChildId,
        /// What its start function failed with.
        reason: R,
    },
}

/// OTP's supervisor reports, and the exits that OTP ignores without a word.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Report<P, R> {
    /// `progress`: a child started. As in OTP, dynamic children do so without a report.
    Progress {
        /// The child's specification.
        spec: Arc<ChildSpec>,
        /// Its process.
        pid: P,
    },
    /// `start_error`: a start or restart by the supervisor itself failed. A start on request fails to its
    /// caller only.
    StartError {
        /// The child's specification.
        spec: Arc<ChildSpec>,
        /// The process that ended and was to be replaced.
        former: Option<P>,
        /// What the start function failed with.
        reason: R,
    },
    /// `child_terminated`: a child ended by itself in a way that is no clean end for it.
    ChildTerminated {
        /// The child's specification.
        spec: Arc<ChildSpec>,
        /// Its process.
        pid: P,
        /// What it ended with.
        reason: R,
    },
    /// `shutdown_error`: a child that was told to end did so with another reason.
    ShutdownError {
        /// The child's specification.
        spec: Arc<ChildSpec>,
        /// Its process.
        pid: P,
        /// What it ended with.
        reason: R,
    },
    /// `shutdown_error` of dynamic children that ended with their supervisor: one report for all of them. OTP
    /// has one for each different reason, with the number of children.
    ShutdownErrors {
        /// The specification that they share.
        spec: Arc<ChildSpec>,
        /// Each process and what it ended with; at least one.
        ended: Vec<(P, R)>,
    },
    /// `shutdown`, `reached_max_restart_intensity`: the restart of this child would have been one too many.
    Shutdown {
        /// The child's specification.
        spec: Arc<ChildSpec>,
        /// The process that ended.
        former: Option<P>,
    },
    /// The exit of a process that is not a child. OTP ignores it, and so does this; a child that was
    /// terminated shows here if its exit comes after its DOWN.
    UnknownExit {
        /// The process.
        pid: P,
        /// What it ended with.
        reason: R,
    },
}
