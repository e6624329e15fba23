//! Why a child ended or did not start, as the machine is told it.

use std::fmt;

use incarnate_supervisors::{ExitClass, Reason, StopReason};
use serde::{Deserialize, Serialize};

use crate::gen_server::StartError;
use crate::term::ExitReason;

/// The reasons that the machine hands through: it reads their class and no more.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Cause {
    Exit(ExitReason),
    Start(StartError),
}

impl Reason for Cause {
    fn class(&self) -> ExitClass {
        match self {
            Cause::Exit(ExitReason::Normal) => ExitClass::Normal,
            Cause::Exit(ExitReason::Shutdown) => ExitClass::Shutdown,
            Cause::Exit(ExitReason::ShutdownWith(_)) => ExitClass::ShutdownWith,
            Cause::Exit(ExitReason::Killed) => ExitClass::Killed,
            Cause::Exit(_) | Cause::Start(_) => ExitClass::Abnormal,
        }
    }
}

impl Cause {
    pub(super) fn into_exit(self) -> ExitReason {
        match self {
            Cause::Exit(reason) => reason,
            Cause::Start(error) => error.into(),
        }
    }

    pub(super) fn into_start(self) -> StartError {
        match self {
            Cause::Exit(reason) => StartError::Failed(reason),
            Cause::Start(error) => error,
        }
    }
}

impl fmt::Display for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Cause::Exit(reason) => fmt::Display::fmt(reason, f),
            Cause::Start(StartError::Failed(reason)) => fmt::Display::fmt(reason, f),
            Cause::Start(error) => fmt::Display::fmt(error, f),
        }
    }
}

/// What a supervisor ends with.
pub(super) fn exit_reason(stop: StopReason<Cause>) -> ExitReason {
    match stop {
        StopReason::Shutdown => ExitReason::Shutdown,
        StopReason::Ordered(cause) => cause.into_exit(),
        StopReason::FailedToStartChild { id, reason } => ExitReason::shutdown_with(&FailedToStartChild {
            id: id.as_str().to_owned(),
            reason: reason.into_exit(),
        }),
    }
}

/// A supervisor did not start, because this child did not: OTP's `{failed_to_start_child, Id, Reason}`.
///
/// It stands in [`StartError::Failed`] as the cause of a shutdown, and nests as the supervisors do.
///
/// ```
/// use incarnate::supervisor::FailedToStartChild;
/// use incarnate::ExitReason;
///
/// let failed = FailedToStartChild { id: "ledger".into(), reason: ExitReason::NoProc };
/// assert_eq!(FailedToStartChild::of(&ExitReason::shutdown_with(&failed)), Some(failed));
/// assert_eq!(FailedToStartChild::of(&ExitReason::Shutdown), None);
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FailedToStartChild {
    /// The child's id.
    pub id: String,
    /// What its start function failed with.
    pub reason: ExitReason,
}

impl FailedToStartChild {
    /// Reads it back from the reason that a supervisor ended with, if it is one.
    pub fn of(reason: &ExitReason) -> Option<Self> {
        match reason {
            ExitReason::ShutdownWith(cause) => cause.decode().ok(),
            _ => None,
        }
    }
}
