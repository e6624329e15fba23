//! What one process tells another besides messages, and what a process makes of it.

use std::any::{Any, TypeId};
use std::fmt;

use super::catch::drop_caught;
use super::cell::Core;
use super::slots::SlotId;
use crate::handoff::{Capsule, ChangeError};
use crate::term::{ExitReason, MonitorRef, NodeId, Pid, Term, TimerRef};

/// `{'EXIT', From, Reason}`: an exit signal that the receiver traps.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Exit {
    /// The linked process that ended, or the caller of `exit(pid, reason)`.
    pub from: Pid,
    /// Its reason.
    pub reason: ExitReason,
}

/// `{'DOWN', Ref, process, Object, Reason}`: what a monitor watched is gone.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Down {
    /// The monitor, as returned by `monitor`.
    pub reference: MonitorRef,
    /// What was monitored.
    pub object: Object,
    /// Its exit reason, or [`ExitReason::NoProc`], or [`ExitReason::NoConnection`].
    pub reason: ExitReason,
    /// The caller's own tag, if it gave one (`{tag, Term}` of `erlang:monitor/3`).
    pub tag: Option<Term>,
}

/// What a monitor was set on: a DOWN names it as the caller did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Object {
    /// A process.
    Pid(Pid),
    /// `{Name, Node}`: whatever had the name when the monitor was set.
    Name(&'static str, NodeId),
}

impl Object {
    /// The node of what is monitored.
    pub fn node(&self) -> NodeId {
        match self {
            Object::Pid(pid) => pid.node(),
            Object::Name(_, node) => *node,
        }
    }
}

impl PartialEq<Pid> for Object {
    fn eq(&self, pid: &Pid) -> bool {
        matches!(self, Object::Pid(mine) if mine == pid)
    }
}

/// Everything that reaches a process without being a call or a cast.
///
/// One enum for `handle_info` of a server and for `receive` of a plain process.
#[non_exhaustive]
pub enum Info<T> {
    /// A trapped exit signal.
    Exit(Exit),
    /// A monitor fired.
    Down(Down),
    /// The timeout that the former callback asked for has passed without a message.
    Timeout,
    /// A timer of `start_timer`: its reference and its message.
    Timer(TimerRef, T),
    /// A node was connected.
    NodeUp(NodeId),
    /// A node was lost.
    NodeDown(NodeId),
    /// A message of the process's own kind, by `send` or `send_after`.
    User(T),
}

impl<T: fmt::Debug> fmt::Debug for Info<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Info::User(message) | Info::Timer(_, message) => write!(f, "{}({message:?})", self.kind()),
            Info::Exit(exit) => write!(f, "{exit:?}"),
            Info::Down(down) => write!(f, "{down:?}"),
            Info::Timeout | Info::NodeUp(_) | Info::NodeDown(_) => f.write_str(self.kind()),
        }
    }
}

impl<T> Info<T> {
    /// The news of a node.
    pub(crate) fn of_node(node: NodeId, up: bool) -> Self {
        if up { Info::NodeUp(node) } else { Info::NodeDown(node) }
    }

    /// What a timer brings.
    pub(crate) fn timed(timer: Option<TimerRef>, message: T) -> Self {
        match timer {
            Some(timer) => Info::Timer(timer, message),
            None => Info::User(message),
        }
    }

    /// What kind of message it is, for a report.
    pub fn kind(&self) -> &'static str {
        match self {
            Info::Exit(_) => "Exit",
            Info::Down(_) => "Down",
            Info::Timeout => "Timeout",
            Info::Timer(..) => "Timer",
            Info::NodeUp(_) => "NodeUp",
            Info::NodeDown(_) => "NodeDown",
            Info::User(_) => "User",
        }
    }
}

/// What versions of a server must agree in: one can stand in for another of the same shape.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Shape {
    /// Arguments and messages.
    pub(crate) messages: TypeId,
    /// What its behaviour keeps with the process, if it is built on gen_server.
    pub(crate) kept: Option<TypeId>,
}

/// A signal in the mailbox. Boxed there, so that messages stay small.
pub(crate) enum Signal {
    Exit(Exit),
    Down(Down),
    /// A node was connected, or lost.
    Node {
        node: NodeId,
        up: bool,
    },
    /// The event timeout with this number has passed.
    EventTimeout(u64),
    /// From here on another version of the module is in force: what comes before it was sent to the former.
    Changed,
    /// A system message, and who waits for its effect.
    System(System, Option<SlotId>),
}

/// A closure run inside the process with access to what it keeps.
pub(crate) type Visit = Box<dyn FnOnce(&mut dyn Any) + Send>;

/// Another incarnation for a process that is held: what only those who change servers know.
pub(crate) struct Successor(Option<Box<dyn Any + Send>>);

impl Successor {
    pub(crate) fn new(install: impl Any + Send) -> Self {
        Successor(Some(Box::new(install)))
    }

    /// What it was made with, if that is a `T`.
    pub(crate) fn install<T: 'static>(mut self) -> Option<T> {
        self.0.take()?.downcast().ok().map(|install| *install)
    }
}

/// One that is not wanted: its process has ended, or the upgrade was given up. There is a state in it.
impl Drop for Successor {
    fn drop(&mut self) {
        drop_caught(self.0.take());
    }
}

/// A system message (`sys`).
pub(crate) enum System {
    /// Stop with this reason, terminate included (`sys:terminate`); acknowledged before that.
    Terminate(ExitReason, Box<dyn FnOnce() + Send>),
    /// Serve system messages only; acknowledged through the closure.
    Suspend(Box<dyn FnOnce() + Send>),
    /// Go on.
    Resume(Box<dyn FnOnce() + Send>),
    /// Look at the state where it lives.
    Visit(Visit),
    /// As `Suspend`, until `Release`, whatever `Resume` says; tells a copy of the state if what runs can become another of
    /// this shape.
    Hold(Shape, Box<dyn FnOnce(Result<Capsule, ChangeError>) + Send>),
    /// Go on, as another incarnation if there is one; acknowledged when that is ready for messages.
    Release(Option<Successor>, Box<dyn FnOnce() + Send>),
    /// Tell a copy of the state, and go on.
    Copy(Shape, Box<dyn FnOnce(Result<Capsule, ChangeError>) + Send>),
    /// Show the state as its formatter does.
    Status(Box<dyn FnOnce(String) + Send>),
    /// Look at what watches the process, or change it.
    Debug(Box<dyn FnOnce(&Core) + Send>),
}
