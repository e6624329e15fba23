//! What may go wrong with a task, and before there is one.

use std::fmt;

use crate::process::CallError;
use crate::term::ExitReason;

/// Why a task gave no value.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum TaskError {
    /// It ended with this reason before it had a value. `noproc`: its end was told before.
    Exit(ExitReason),
    /// It had no value in time; it was unlinked and killed.
    Timeout,
    /// It was never started.
    Refused(SpawnError),
}

impl fmt::Display for TaskError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            TaskError::Exit(reason) => write!(f, "the task ended without a value: {reason}"),
            TaskError::Timeout => f.write_str("timeout: the task had no value in time and was killed"),
            TaskError::Refused(why) => write!(f, "the task was not started: {why}"),
        }
    }
}

impl std::error::Error for TaskError {}

impl From<SpawnError> for TaskError {
    fn from(error: SpawnError) -> Self {
        TaskError::Refused(error)
    }
}

/// Why a task was not started. Nothing of its work has run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum SpawnError {
    /// Asked for outside any process: there is nobody to link to and no node to run on.
    NoProcess,
    /// The task supervisor has ended, or nobody has its name.
    NoSupervisor,
    /// The task supervisor has as many children as it may.
    MaxChildren,
}

impl fmt::Display for SpawnError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            SpawnError::NoProcess => {
                "asked for outside any process: say on which node (Task::spawn_on, Name::on), and link to nobody"
            }
            SpawnError::NoSupervisor => "noproc: there is no such task supervisor",
            SpawnError::MaxChildren => "max_children: the task supervisor has as many tasks as it may",
        })
    }
}

impl std::error::Error for SpawnError {}

impl From<CallError> for SpawnError {
    fn from(error: CallError) -> Self {
        match error {
            CallError::NoNode => SpawnError::NoProcess,
            _ => SpawnError::NoSupervisor,
        }
    }
}

/// Why a child of a task supervisor was not terminated by the request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum TerminateError {
    /// It is no child of this supervisor, or has ended.
    NotFound,
    /// The task supervisor has ended, which ends its children too, or nobody has its name.
    NoSupervisor,
}

impl fmt::Display for TerminateError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            TerminateError::NotFound => "not_found: it is no child of this task supervisor, or has ended",
            TerminateError::NoSupervisor => "noproc: there is no such task supervisor",
        })
    }
}

impl std::error::Error for TerminateError {}
