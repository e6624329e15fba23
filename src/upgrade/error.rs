//! Why an upgrade was not carried out.

use std::fmt;

use super::plan::Direction;
use super::source::LoadError;
use crate::handoff::{ChangeError, ModuleError, ModuleVsn};
use crate::term::Pid;

/// Why an upgrade was not carried out. Whatever it is, every process goes on in its old version with its old state.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum UpgradeError {
    /// The plan has no steps this way.
    Empty(Direction),
    /// The plan changes a module twice.
    Twice(String),
    /// What the plan names is no module with a version.
    Module(ModuleError),
    /// A version cannot be had.
    Load(LoadError),
    /// What the conversions are to be given does not encode.
    Extra {
        /// The module.
        module: String,
        /// Why.
        why: String,
    },
    /// The two versions take different messages or arguments, so that one cannot stand in for the other.
    Unlike {
        /// What runs.
        from: ModuleVsn,
        /// What was to run.
        to: ModuleVsn,
    },
    /// The newer version does not know the older one's state, or has no way back to it.
    NoWay {
        /// What runs.
        from: ModuleVsn,
        /// What was to run.
        to: ModuleVsn,
        /// What is understood.
        understood: String,
    },
    /// A process of the module runs another version than the plan says.
    WrongVersion {
        /// The process.
        pid: Pid,
        /// What it runs.
        found: ModuleVsn,
        /// What the plan says.
        wanted: ModuleVsn,
    },
    /// The version in force for new processes is another than the plan says.
    WrongCurrent {
        /// What is in force.
        found: ModuleVsn,
        /// What the plan says.
        wanted: ModuleVsn,
    },
    /// Another upgrade of one of these modules or supervisors is under way, or is being undone.
    Busy(Vec<String>),
    /// A process has not come to a stop in time: it is in a long callback, or waits for one that is suspended already.
    NotSuspended(Pid),
    /// The state of a process could not be converted.
    NotConverted {
        /// The process.
        pid: Pid,
        /// Why.
        error: ChangeError,
    },
    /// The conversions were not done in time.
    ConvertTimeout(Pid),
    /// A step that changes a supervision tree cannot be carried out, or failed and was undone.
    Tree {
        /// The supervisor, as the plan calls it.
        supervisor: String,
        /// Why.
        why: String,
    },
    /// The runtime of the node shuts down.
    Shutdown,
}

impl fmt::Display for UpgradeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            UpgradeError::Empty(direction) => write!(f, "the plan has no steps {direction}"),
            UpgradeError::Twice(module) => write!(f, "the plan changes {module} twice"),
            UpgradeError::Module(error) => error.fmt(f),
            UpgradeError::Load(error) => error.fmt(f),
            UpgradeError::Extra { module, why } => {
                write!(f, "the extra of {module} does not encode: {why}")
            }
            UpgradeError::Unlike { from, to } => {
                write!(f, "{to} takes other messages or arguments than {from}")
            }
            UpgradeError::NoWay { from, to, understood } => {
                write!(f, "no way from {from} to {to}: the states that are understood are {understood}")
            }
            UpgradeError::WrongVersion { pid, found, wanted } => {
                write!(f, "{pid} runs {found}, and the plan starts from {wanted}")
            }
            UpgradeError::WrongCurrent { found, wanted } => {
                write!(f, "{found} is in force for new processes, and the plan starts from {wanted}")
            }
            UpgradeError::Busy(modules) => write!(f, "another upgrade of {modules:?} is under way"),
            UpgradeError::NotSuspended(pid) => write!(
                f,
                "{pid} has not come to a stop in time: it is in a long callback, or calls one that is suspended"
            ),
            UpgradeError::NotConverted { pid, error } => {
                // Said once, for all of them.
                let error = error.to_string();
                let why = error.strip_suffix(ChangeError::END).unwrap_or(&error);
                write!(f, "the state of {pid} was not converted: {why}")
            }
            UpgradeError::ConvertTimeout(pid) => {
                write!(f, "the conversions were not done in time, the one of {pid} hangs or is the next")
            }
            UpgradeError::Tree { supervisor, why } => write!(f, "at the supervisor {supervisor}: {why}"),
            UpgradeError::Shutdown => f.write_str("the runtime shuts down"),
        }?;
        f.write_str("; every process goes on in its old version")
    }
}

impl std::error::Error for UpgradeError {}

impl From<LoadError> for UpgradeError {
    fn from(error: LoadError) -> Self {
        UpgradeError::Load(error)
    }
}

impl fmt::Display for Direction {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Direction::Up => "up",
            Direction::Down => "down",
        })
    }
}
