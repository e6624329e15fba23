//! Why applications were not loaded, started, stopped.

use std::fmt;

use super::config::ConfigError;
use crate::term::ExitReason;

/// Why an application was not loaded. Nothing has changed.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum LoadError {
    /// One of this name is loaded (`{already_loaded, App}`).
    AlreadyLoaded(&'static str),
    /// The name cannot stand in a file or in the environment; see [`Spec::new`](super::Spec::new).
    BadName(&'static str),
    /// Its configuration is not what it takes.
    Config(ConfigError),
    /// The node has had as many applications as it can tell apart, 65535.
    TooMany,
    /// The node stops, or has stopped.
    NodeStops,
}

impl fmt::Display for LoadError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            LoadError::AlreadyLoaded(name) => write!(f, "already_loaded: application {name}"),
            LoadError::BadName(name) => write!(
                f,
                "{name:?} is no name for an application: lower case letters, digits and single underscores, a letter first"
            ),
            LoadError::Config(error) => fmt::Display::fmt(error, f),
            LoadError::TooMany => f.write_str("the node has had 65535 applications"),
            LoadError::NodeStops => f.write_str("the node stops, nothing is loaded any more"),
        }
    }
}

impl std::error::Error for LoadError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            LoadError::Config(error) => std::error::Error::source(error),
            _ => None,
        }
    }
}

/// Why an application is still loaded, or never was.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum UnloadError {
    /// No application of this name is loaded.
    NotLoaded(String),
    /// It runs: stop it first.
    Running(String),
    /// The node stops, or has stopped.
    NodeStops,
}

impl fmt::Display for UnloadError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            UnloadError::NotLoaded(name) => write!(f, "not_loaded: application {name}"),
            UnloadError::Running(name) => write!(f, "running: application {name}, stop it first"),
            UnloadError::NodeStops => f.write_str("the node stops"),
        }
    }
}

impl std::error::Error for UnloadError {}

/// Why an application was not started. What ran before runs on; what the request had started is stopped again.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum StartError {
    /// No application of this name is loaded.
    NotLoaded(String),
    /// It runs already (`{already_started, App}`).
    AlreadyStarted(&'static str),
    /// It needs this application, which was not started or was stopped (`{not_started, App}`).
    NotStarted(&'static str),
    /// It needs this application, which has ended by itself (`{not_running, App}`).
    NotRunning(&'static str),
    /// An application needs one that is not loaded.
    Missing {
        /// Which one needs it.
        application: &'static str,
        /// What is missing.
        dependency: String,
    },
    /// These need each other, each the next one; the first is also the last.
    Cycle(Vec<&'static str>),
    /// Its start, its tree or a start phase failed, or it was ended meanwhile.
    Failed {
        /// Which application; with `ensure_all_started` it may be one that was needed.
        application: &'static str,
        /// Why.
        reason: ExitReason,
    },
    /// The node stops, or has stopped.
    NodeStops,
}

impl fmt::Display for StartError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            StartError::NotLoaded(name) => write!(f, "not_loaded: application {name}"),
            StartError::AlreadyStarted(name) => write!(f, "already_started: application {name}"),
            StartError::NotStarted(name) => write!(f, "not_started: application {name}, which is needed"),
            StartError::NotRunning(name) => {
                write!(f, "not_running: application {name}, which is needed, has ended")
            }
            StartError::Missing { application, dependency } => {
                write!(f, "application {application} needs {dependency}, which is not loaded")
            }
            StartError::Cycle(names) => write!(f, "applications need each other: {}", names.join(" -> ")),
            StartError::Failed { application, reason } => {
                write!(f, "application {application} was not started: {reason}")
            }
            StartError::NodeStops => f.write_str("the node stops, nothing is started any more"),
        }
    }
}

impl std::error::Error for StartError {}

/// Why an application was not stopped.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum StopError {
    /// It does not run (`{not_started, App}`).
    NotStarted(String),
}

impl fmt::Display for StopError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            StopError::NotStarted(name) => write!(f, "not_started: application {name}"),
        }
    }
}

impl std::error::Error for StopError {}
