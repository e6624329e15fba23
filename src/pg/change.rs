//! What subscribers are told.

use std::sync::Arc;

use super::groups::Event;
use crate::process::elsewhere::reference;
use crate::process::{AnyProcess, Node, ServerRef, Wire};
use crate::term::{MonitorRef, Pid};

/// Members that have joined a group or left it, at once (`{Ref, join | leave, Group, Pids}`).
///
/// A process that has joined or left several times is named as often.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Change<Member> {
    /// The subscription.
    pub reference: MonitorRef,
    /// The name of the group.
    pub group: Arc<str>,
    /// Which way.
    pub event: Event,
    /// Who, in no order.
    pub members: Vec<Member>,
}

/// A member of either kind, as long as its messages are not known.
#[derive(Clone)]
pub(super) enum Member {
    Here(Arc<dyn AnyProcess>),
    /// It lives on another node.
    There(Pid),
}

impl Member {
    pub(super) fn pid(&self) -> Pid {
        match self {
            Member::Here(process) => process.core().pid(),
            Member::There(pid) => *pid,
        }
    }

    /// A reference to it. `None`: it lives here and takes other messages.
    pub(super) fn typed<C: Wire, K: Wire, I: Wire>(&self, node: &Node) -> Option<ServerRef<C, K, I>> {
        match self {
            Member::Here(process) => process.clone().into_any().downcast().ok().map(ServerRef::of),
            Member::There(pid) => Some(reference(node, *pid)),
        }
    }
}

/// Tells one subscriber. It runs code of the user's.
pub(super) type Tell = Box<dyn Fn(MonitorRef, &Arc<str>, Event, &[Member]) + Send>;
