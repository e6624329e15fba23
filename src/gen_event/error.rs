//! Why a handler was not added, deleted or swapped.

use std::fmt;

use crate::process::CallError;
use crate::term::ExitReason;

/// Why a handler was not added.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum AddError {
    /// Its `init` returned this error, or panicked: it is not installed.
    Failed(ExitReason),
    /// The manager has not answered.
    Call(CallError),
}

impl fmt::Display for AddError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            AddError::Failed(reason) => {
                write!(f, "init of the handler failed, it is not installed: {reason}")
            }
            AddError::Call(_) => f.write_str("the manager did not answer whether it has added the handler"),
        }
    }
}

/// Why a handler gave nothing when it was deleted. It is not installed now, unless the manager has not answered.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum DeleteError {
    /// It was not installed (`{error, module_not_found}`).
    ModuleNotFound,
    /// It was deleted, and its `terminate` crashed (`{'EXIT', Reason}`).
    Crashed(ExitReason),
    /// The manager has not answered.
    Call(CallError),
}

impl fmt::Display for DeleteError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            DeleteError::ModuleNotFound => f.write_str("module_not_found: the handler was not installed"),
            DeleteError::Crashed(reason) => {
                write!(f, "the handler was deleted, its terminate crashed: {reason}")
            }
            DeleteError::Call(_) => {
                f.write_str("the manager did not answer whether it has deleted the handler")
            }
        }
    }
}

/// Why a handler was not swapped.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum SwapError {
    /// The `init` of the new one returned this error, or panicked: neither is installed now.
    Failed(ExitReason),
    /// The manager has not answered.
    Call(CallError),
}

impl fmt::Display for SwapError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            SwapError::Failed(reason) => {
                write!(f, "init of the new handler failed, neither is installed: {reason}")
            }
            SwapError::Call(_) => {
                f.write_str("the manager did not answer whether it has swapped the handlers")
            }
        }
    }
}

macro_rules! of_a_call {
    ($($error:ident)*) => {$(
        impl std::error::Error for $error {
            fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
                match self {
                    $error::Call(error) => Some(error),
                    _ => None,
                }
            }
        }

        impl From<CallError> for $error {
            fn from(error: CallError) -> Self {
                $error::Call(error)
            }
        }
    )*};
}

of_a_call!(AddError DeleteError SwapError);
