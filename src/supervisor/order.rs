//! What a supervisor is asked, and who waits for the answer.

use std::sync::Arc;

use incarnate_supervisors::{
    Child, ChildId, ChildSpec as Spec, Counts, DeleteChildError, InitError, Key, NotFound,
    RestartChildError as RestartRefused, StartChildError as StartRefused, TerminateChildError, Timer,
};

use super::cause::Cause;
use super::child::Subtree;
use super::kind::Plan;
use super::{ChildInfo, LiveTree};
use crate::process::{Pass, ReplyTo};
use crate::term::Pid;

/// A request to a supervisor: what its reference sends.
///
/// Its parameters are what start_child brings, what a start function answers, and what start functions are kept as.
/// They stand here as themselves and not behind a trait, so that the compiler sees that references to supervisors are
/// `Send` also where a lifetime is among them.
pub struct Order<C, V, S>(pub(super) Ask<C, V, S>, pub(super) Option<Pass>);

/// A message of a supervisor to itself.
pub struct Note(pub(super) Own);

pub(super) enum Own {
    /// A restart that failed is tried again, behind what waits.
    Retry(Key),
    /// A back-off is over.
    Delay(Timer),
}

/// A child that is up, with what its start function answered. `None`: it answered ignore.
pub(super) type Begun<V> = Option<(Pid, Option<V>)>;
pub(super) type StartAnswer<V> = Result<Begun<V>, StartRefused<Pid, Cause>>;
pub(super) type RestartAnswer<V> = Result<Begun<V>, RestartRefused<Cause>>;

pub(super) enum Ask<C, V, S> {
    StartChild(C, ReplyTo<StartAnswer<V>>),
    RestartChild(ChildId, ReplyTo<RestartAnswer<V>>),
    TerminateChild(Which, ReplyTo<Result<(), TerminateChildError>>),
    DeleteChild(ChildId, ReplyTo<Result<(), DeleteChildError>>),
    WhichChildren(ReplyTo<Vec<ChildInfo>>),
    WhichChild(Which, ReplyTo<Result<ChildInfo, NotFound>>),
    CountChildren(ReplyTo<Counts>),
    GetChildspec(Which, ReplyTo<Result<Arc<Spec>, NotFound>>),
    Change(Box<Plan<S>>, ReplyTo<Result<(), InitError>>),
    Tree(ReplyTo<Branch>),
    /// Flags and specifications in force, with their start functions.
    Plan(ReplyTo<Plan<S>>),
}

/// How a request names a child; whether a process lives is looked at when its turn comes.
pub(super) enum Which {
    Id(ChildId),
    Pid(Pid),
}

impl Which {
    pub(super) fn see(self, is_alive: impl FnOnce(Pid) -> bool) -> Child<Pid> {
        match self {
            Which::Id(id) => Child::Id(id),
            Which::Pid(pid) => Child::Pid { pid, alive: is_alive(pid) },
        }
    }
}

/// A supervisor's own part of a tree, and how those below it are asked.
pub(super) struct Branch {
    pub(super) tree: LiveTree,
    pub(super) below: Vec<(Pid, Subtree)>,
}

/// A caller that waits, as the machine keeps it.
pub(super) enum Token<V, S> {
    StartChild(ReplyTo<StartAnswer<V>>),
    RestartChild(ReplyTo<RestartAnswer<V>>),
    TerminateChild(ReplyTo<Result<(), TerminateChildError>>),
    DeleteChild(ReplyTo<Result<(), DeleteChildError>>),
    WhichChildren(ReplyTo<Vec<ChildInfo>>),
    WhichChild(ReplyTo<Result<ChildInfo, NotFound>>),
    CountChildren(ReplyTo<Counts>),
    GetChildspec(ReplyTo<Result<Arc<Spec>, NotFound>>),
    Change(S, ReplyTo<Result<(), InitError>>),
}
