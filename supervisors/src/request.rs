//! Requests to a supervisor and their answers.

use crate::{ChildId, ChildSpec, ChildType, InitError, Key, SpecError};
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::error::Error;
use core::fmt;

/// How a request names a child.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Child<P> {
    /// By its id: the children of every supervisor but a simple_one_for_one one.
    Id(ChildId),
    /// By its process: the children of a simple_one_for_one supervisor.
    Pid {
        /// The process.
        pid: P,
        /// Whether that process is alive, as the driver knows it. OTP answers `ok` when it is asked to
        /// terminate a dead stranger and `not_found` when the stranger lives.
        alive: bool,
    },
}

/// A request that starts no new child.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Request<P> {
    /// `supervisor:terminate_child/2`
    TerminateChild(Child<P>),
    /// `supervisor:restart_child/2`
    RestartChild(Child<P>),
    /// `supervisor:delete_child/2`
    DeleteChild(Child<P>),
    /// `supervisor:which_children/1`
    WhichChildren,
    /// `supervisor:which_child/2`, newer than OTP 25
    WhichChild(Child<P>),
    /// `supervisor:count_children/1`
    CountChildren,
    /// `supervisor:get_childspec/2`
    GetChildspec(Child<P>),
}

/// The answer to a request, each with its own errors.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer<P, R> {
    /// To start_child. `None` says that the start function answered ignore.
    StartChild(Result<Option<P>, StartChildError<P, R>>),
    /// To restart_child. `None` says that the start function answered ignore.
    RestartChild(Result<Option<P>, RestartChildError<R>>),
    /// To terminate_child. The child is gone; its specification stays, unless it was temporary.
    TerminateChild(Result<(), TerminateChildError>),
    /// To delete_child. The specification is gone.
    DeleteChild(Result<(), DeleteChildError>),
    /// To which_children, newest first.
    WhichChildren(Vec<ChildInfo<P>>),
    /// To which_child.
    WhichChild(Result<ChildInfo<P>, NotFound>),
    /// To count_children.
    CountChildren(Counts),
    /// To get_childspec.
    GetChildspec(Result<Arc<ChildSpec>, NotFound>),
    /// To a code change: the key of each new specification, in the order given. A child that was known keeps
    /// its key, and the driver puts the new start function under it.
    CodeChange(Result<Vec<Key>, InitError>),
}

/// One entry of which_children.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ChildInfo<P> {
    /// The id; `None` for a dynamic child.
    pub id: Option<ChildId>,
    /// Whether it runs.
    pub state: ChildState<P>,
    /// Whether it works or supervises.
    pub child_type: ChildType,
    /// The code that it runs.
    pub modules: Vec<Arc<str>>,
}

/// Whether a child runs, as OTP shows it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ChildState<P> {
    /// It runs as this process.
    Running(P),
    /// It is about to be restarted: OTP's `restarting`.
    Restarting,
    /// It does not run: OTP's `undefined`.
    Stopped,
}

/// The answer to count_children.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Specifications; 1 for a simple_one_for_one supervisor.
    pub specs: usize,
    /// Children that run.
    pub active: usize,
    /// Children of type supervisor, running or not.
    pub supervisors: usize,
    /// Children of type worker, running or not.
    pub workers: usize,
}

/// Why start_child started nothing. No specification was added.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum StartChildError<P, R> {
    /// OTP's `{already_started, Pid}`: a child with this id runs.
    AlreadyStarted(P),
    /// OTP's `already_present`: a child with this id exists and does not run.
    AlreadyPresent,
    /// OTP's refusal of the specification.
    Spec(SpecError),
    /// Elixir's `max_children`: the supervisor has as many dynamic children as it may.
    MaxChildren,
    /// A simple_one_for_one supervisor takes no specification with start_child, and the others need one.
    WrongStrategy,
    /// The start function failed with this reason. A name that another process holds is such a reason too.
    Failed(R),
}

/// Why restart_child started nothing.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum RestartChildError<R> {
    /// There is no such child.
    NotFound,
    /// It runs.
    Running,
    /// The supervisor is restarting it already.
    Restarting,
    /// A simple_one_for_one supervisor restarts no child on request.
    SimpleOneForOne,
    /// The start function failed with this reason; the child stays as it was, not running.
    Failed(R),
}

/// Why terminate_child terminated nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum TerminateChildError {
    /// There is no such child.
    NotFound,
    /// The children of a simple_one_for_one supervisor are named by process.
    SimpleOneForOne,
}

/// Why delete_child deleted nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum DeleteChildError {
    /// There is no such child.
    NotFound,
    /// It runs: terminate it first.
    Running,
    /// The supervisor is restarting it: terminate it first.
    Restarting,
    /// A simple_one_for_one supervisor deletes no child.
    SimpleOneForOne,
}

/// There is no such child.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NotFound;

const NOT_FOUND: &str = "there is no such child";
const RUNNING: &str = "the child is running";
const RESTARTING: &str = "the child is being restarted";
const SIMPLE: &str = "a simple_one_for_one supervisor does not take this request by id";

impl<P: fmt::Display, R> fmt::Display for StartChildError<P, R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::AlreadyStarted(pid) => write!(f, "a child with this id already runs as {pid}"),
            Self::AlreadyPresent => f.write_str("a child with this id already exists"),
            Self::Spec(_) => f.write_str("faulty child specification"),
            Self::MaxChildren => f.write_str("the supervisor has as many children as it may"),
            Self::WrongStrategy => f.write_str("this is not how children of this supervisor are started"),
            Self::Failed(_) => f.write_str("the start function failed"),
        }
    }
}

impl<P: fmt::Debug + fmt::Display, R: Error + 'static> Error for StartChildError<P, R> {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match self {
            Self::Spec(error) => Some(error),
            Self::Failed(reason) => Some(reason),
            _ => None,
        }
    }
}

impl<R> fmt::Display for RestartChildError<R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NotFound => NOT_FOUND,
            Self::Running => RUNNING,
            Self::Restarting => RESTARTING,
            Self::SimpleOneForOne => SIMPLE,
            Self::Failed(_) => "the start function failed",
        })
    }
}

impl<R: Error + 'static> Error for RestartChildError<R> {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match self {
            Self::Failed(reason) => Some(reason),
            _ => None,
        }
    }
}

impl fmt::Display for TerminateChildError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NotFound => NOT_FOUND,
            Self::SimpleOneForOne => SIMPLE,
        })
    }
}

impl Error for TerminateChildError {}

impl fmt::Display for DeleteChildError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NotFound => NOT_FOUND,
            Self::Running => RUNNING,
            Self::Restarting => RESTARTING,
            Self::SimpleOneForOne => SIMPLE,
        })
    }
}

impl Error for DeleteChildError {}

impl fmt::Display for NotFound {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(NOT_FOUND)
    }
}

impl Error for NotFound {}
