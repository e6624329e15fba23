//! Why a system message was not answered as asked.

use std::fmt;

use crate::process::CallError;
use crate::term::ExitReason;

/// Why a system message was not answered as asked.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum SysError {
    /// No such process.
    NoProc,
    /// It ended with this reason before it answered.
    Exit(ExitReason),
    /// It has not answered in time; it still may do what was asked.
    Timeout,
    /// A process asked itself, which could never be answered: nothing was asked.
    CallingSelf,
    /// Its state is of another type than asked for: nothing was changed.
    WrongState {
        /// The type that was asked for.
        wanted: &'static str,
    },
    /// The closure panicked: the state is as it left it.
    CallbackFailed,
    /// A log of no events: nothing was asked. To switch the log off, ask for that.
    EmptyLog,
}

impl fmt::Display for SysError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            SysError::NoProc => f.write_str("noproc: no such process"),
            SysError::Exit(reason) => write!(f, "the process ended before it answered: {reason}"),
            SysError::Timeout => f.write_str("timeout: not answered in time, it may still be done"),
            SysError::CallingSelf => f.write_str("calling_self: a process asked itself, nothing was asked"),
            SysError::WrongState { wanted } => write!(f, "the state is no {wanted}: nothing was changed"),
            SysError::CallbackFailed => f.write_str("callback_failed: the closure panicked"),
            SysError::EmptyLog => {
                f.write_str("a log of no events, nothing was asked: use Log::Off for no log")
            }
        }
    }
}

impl std::error::Error for SysError {}

impl From<CallError> for SysError {
    fn from(error: CallError) -> Self {
        match error {
            CallError::Timeout => SysError::Timeout,
            CallError::Exit(reason) => SysError::Exit(reason),
            _ => SysError::NoProc,
        }
    }
}
