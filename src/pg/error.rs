//! Why nobody has joined, left or is told.

use std::error::Error;
use std::fmt;

use crate::process::CallError;
use crate::term::Pid;

/// Why processes have not joined: none of them has.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum JoinError {
    /// This one lives on another node: join it there (`{nolocal, Pid}`).
    NotLocal(Pid),
    /// The scope has not answered: [`CallError::NoProc`] if it does not run.
    Call(CallError),
}

impl fmt::Display for JoinError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            JoinError::NotLocal(pid) => write!(f, "nolocal: {pid} lives on another node, nobody has joined"),
            JoinError::Call(_) => f.write_str("the scope did not answer whether they have joined"),
        }
    }
}

impl Error for JoinError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match self {
            JoinError::Call(error) => Some(error),
            JoinError::NotLocal(_) => None,
        }
    }
}

/// Why processes have not left.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum LeaveError {
    /// None of them was in the group (`not_joined`).
    NotJoined,
    /// This one lives on another node: none of them has left (`{nolocal, Pid}`).
    NotLocal(Pid),
    /// The scope has not answered: [`CallError::NoProc`] if it does not run.
    Call(CallError),
}

impl fmt::Display for LeaveError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            LeaveError::NotJoined => f.write_str("not_joined: none of them was in the group"),
            LeaveError::NotLocal(pid) => write!(f, "nolocal: {pid} lives on another node, nobody has left"),
            LeaveError::Call(_) => f.write_str("the scope did not answer whether they have left"),
        }
    }
}

impl Error for LeaveError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match self {
            LeaveError::Call(error) => Some(error),
            LeaveError::NotJoined | LeaveError::NotLocal(_) => None,
        }
    }
}

/// Why a process is not told of joins and leaves.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum MonitorError {
    /// It lives on another node: ask the scope there.
    NotLocal(Pid),
    /// The scope has not answered: [`CallError::NoProc`] if it does not run.
    Call(CallError),
}

impl fmt::Display for MonitorError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            MonitorError::NotLocal(pid) => {
                write!(f, "nolocal: {pid} lives on another node, it is told nothing")
            }
            MonitorError::Call(_) => f.write_str("the scope did not answer whether it will tell"),
        }
    }
}

impl Error for MonitorError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match self {
            MonitorError::Call(error) => Some(error),
            MonitorError::NotLocal(_) => None,
        }
    }
}
