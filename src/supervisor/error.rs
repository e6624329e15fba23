//! Why a supervisor did not do what it was asked.

use std::error::Error;
use std::fmt;

use incarnate_supervisors::{
    DeleteChildError as DeleteRefused, InitError, NotFound, RestartChildError as RestartRefused, SpecError,
    StartChildError as StartRefused, TerminateChildError as TerminateRefused,
};

use super::cause::Cause;
use crate::gen_server::StartError;
use crate::process::CallError;
use crate::term::Pid;

/// Why start_child started nothing.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum StartChildError {
    /// This process runs: a child with that id, or whoever has the name that the start function wanted. It was not
    /// touched.
    AlreadyStarted(Pid),
    /// A child with that id exists and does not run: restart_child starts it.
    AlreadyPresent,
    /// The specification was refused.
    Spec(SpecError),
    /// The supervisor has as many children as it may.
    MaxChildren,
    /// The start function answered ignore (OTP's `{ok, undefined}`). The specification is kept, without a process, unless the
    /// child is temporary or dynamic.
    Ignore,
    /// The start function failed. No specification was added.
    Failed(StartError),
    /// The supervisor did not answer.
    Call(CallError),
}

impl fmt::Display for StartChildError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::AlreadyStarted(pid) => {
                write!(f, "already_started: it runs as {pid}, which was not touched")
            }
            Self::AlreadyPresent => f.write_str(
                "already_present: a child with this id exists and does not run, it was not started",
            ),
            Self::Spec(error) => {
                write!(f, "the child specification is faulty, the child was not added: {error}")
            }
            Self::MaxChildren => {
                f.write_str("max_children: the supervisor has as many children as it may, no child was added")
            }
            Self::Ignore => f.write_str("ignore: the start function said that there is nothing to run"),
            Self::Failed(error) => write!(f, "the child did not start and was not added: {error}"),
            Self::Call(error) => write!(f, "the supervisor did not answer: {error}"),
        }
    }
}

impl Error for StartChildError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match self {
            Self::Spec(error) => Some(error),
            Self::Failed(error) => Some(error),
            Self::Call(error) => Some(error),
            _ => None,
        }
    }
}

impl From<StartRefused<Pid, Cause>> for StartChildError {
    fn from(refused: StartRefused<Pid, Cause>) -> Self {
        match refused {
            StartRefused::AlreadyStarted(pid) => Self::AlreadyStarted(pid),
            StartRefused::AlreadyPresent => Self::AlreadyPresent,
            StartRefused::Spec(error) => Self::Spec(error),
            StartRefused::MaxChildren => Self::MaxChildren,
            // OTP, SUP-089: the name's holder is told as a child's own process is.
            StartRefused::Failed(Cause::Start(StartError::AlreadyStarted(pid))) => Self::AlreadyStarted(pid),
            StartRefused::Failed(cause) => Self::Failed(cause.into_start()),
            // Requests are typed: this one cannot be put.
            _ => Self::Call(CallError::WrongProtocol),
        }
    }
}

/// Why restart_child started nothing.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum RestartChildError {
    /// There is no such child.
    NotFound,
    /// It runs.
    Running,
    /// The supervisor is restarting it already.
    Restarting,
    /// The start function answered ignore (OTP's `{ok, undefined}`): the child stays, without a process.
    Ignore,
    /// The start function failed: the child stays as it was, not running.
    Failed(StartError),
    /// The child was started as this process, and its start function answers another type than was asked for.
    OtherType(Pid),
    /// The supervisor did not answer.
    Call(CallError),
}

impl fmt::Display for RestartChildError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotFound => f.write_str("not_found: there is no such child"),
            Self::Running => f.write_str("running: the child runs, it was not touched"),
            Self::Restarting => f.write_str("restarting: the supervisor is restarting the child already"),
            Self::Ignore => f.write_str("ignore: the start function said that there is nothing to run"),
            Self::Failed(error) => write!(f, "the child did not start and stays as it was: {error}"),
            Self::OtherType(pid) => write!(f, "the child was started as {pid} and answers another type"),
            Self::Call(error) => write!(f, "the supervisor did not answer: {error}"),
        }
    }
}

impl Error for RestartChildError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match self {
            Self::Failed(error) => Some(error),
            Self::Call(error) => Some(error),
            _ => None,
        }
    }
}

impl From<RestartRefused<Cause>> for RestartChildError {
    fn from(refused: RestartRefused<Cause>) -> Self {
        match refused {
            RestartRefused::NotFound => Self::NotFound,
            RestartRefused::Running => Self::Running,
            RestartRefused::Restarting => Self::Restarting,
            RestartRefused::Failed(cause) => Self::Failed(cause.into_start()),
            // Requests are typed: this one cannot be put.
            _ => Self::Call(CallError::WrongProtocol),
        }
    }
}

/// Why terminate_child terminated nothing.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum TerminateChildError {
    /// There is no such child; a process with that pid was not touched.
    NotFound,
    /// The supervisor did not answer.
    Call(CallError),
}

impl fmt::Display for TerminateChildError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NotFound => "not_found: there is no such child, nothing was terminated",
            Self::Call(error) => return write!(f, "the supervisor did not answer: {error}"),
        })
    }
}

impl Error for TerminateChildError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match self {
            Self::Call(error) => Some(error),
            Self::NotFound => None,
        }
    }
}

impl From<TerminateRefused> for TerminateChildError {
    fn from(refused: TerminateRefused) -> Self {
        match refused {
            TerminateRefused::NotFound => Self::NotFound,
            // Requests are typed: this one cannot be put.
            _ => Self::Call(CallError::WrongProtocol),
        }
    }
}

/// Why delete_child deleted nothing.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum DeleteChildError {
    /// There is no such child.
    NotFound,
    /// It runs: terminate it first.
    Running,
    /// The supervisor is restarting it: terminate it first.
    Restarting,
    /// The supervisor did not answer.
    Call(CallError),
}

impl fmt::Display for DeleteChildError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NotFound => "not_found: there is no such child",
            Self::Running => "running: the child runs and was not deleted, terminate it first",
            Self::Restarting => {
                "restarting: the child is being restarted and was not deleted, terminate it first"
            }
            Self::Call(error) => return write!(f, "the supervisor did not answer: {error}"),
        })
    }
}

impl Error for DeleteChildError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match self {
            Self::Call(error) => Some(error),
            _ => None,
        }
    }
}

impl From<DeleteRefused> for DeleteChildError {
    fn from(refused: DeleteRefused) -> Self {
        match refused {
            DeleteRefused::NotFound => Self::NotFound,
            DeleteRefused::Running => Self::Running,
            DeleteRefused::Restarting => Self::Restarting,
            // Requests are typed: this one cannot be put.
            _ => Self::Call(CallError::WrongProtocol),
        }
    }
}

/// Why which_child or get_childspec found nothing.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum LookupError {
    /// There is no such child.
    NotFound,
    /// The supervisor did not answer.
    Call(CallError),
}

impl fmt::Display for LookupError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NotFound => "not_found: there is no such child",
            Self::Call(error) => return write!(f, "the supervisor did not answer: {error}"),
        })
    }
}

impl Error for LookupError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match self {
            Self::Call(error) => Some(error),
            Self::NotFound => None,
        }
    }
}

impl From<NotFound> for LookupError {
    fn from(_: NotFound) -> Self {
        Self::NotFound
    }
}

/// Why a supervisor kept its flags and specifications.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ChangeError {
    /// The new ones were refused: the old ones stay in force.
    Invalid(InitError),
    /// The supervisor did not answer.
    Call(CallError),
}

impl fmt::Display for ChangeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Invalid(error) => {
                write!(f, "the new flags or specifications are faulty, the old ones stay in force: {error}")
            }
            Self::Call(error) => write!(f, "the supervisor did not answer: {error}"),
        }
    }
}

impl Error for ChangeError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match self {
            Self::Invalid(error) => Some(error),
            Self::Call(error) => Some(error),
        }
    }
}

impl From<InitError> for ChangeError {
    fn from(error: InitError) -> Self {
        Self::Invalid(error)
    }
}

/// Each of them says so when the supervisor did not answer.
macro_rules! from_call_error {
    ($($error:ident),*) => {$(
        impl From<CallError> for $error {
            fn from(error: CallError) -> Self {
                Self::Call(error)
            }
        }
    )*};
}

from_call_error!(
    StartChildError,
    RestartChildError,
    TerminateChildError,
    DeleteChildError,
    LookupError,
    ChangeError
);
