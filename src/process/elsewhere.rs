//! Processes of other nodes, as they are seen from this one.
//!
//! A *stand-in* is a process as far as links and monitors go: it keeps the half of them that lies here, and what it is told
//! goes over the connection. It belongs to one connection and ends with it, by noconnection. A typed reference holds a cell
//! without a mailbox instead, whose messages go to whatever connection there is when they are sent.
//!
//! This file knows neither frames nor sockets: [`Network`] and [`Route`] are what `node` implements.

use std::any::Any;
use std::fmt;
use std::marker::PhantomData;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use super::address::{Message, ServerCell, ServerRef};
use super::alias::Alias;
use super::cell::{By, Cell, Core, Process, Rejected};
use super::envelope::Envelope;
use super::life::Incarnation;
use super::next::Next;
use super::node::Node;
use super::signal::{Down, Signal, System};
use super::slots::{Pending, SlotId};
use super::wire;
use crate::term::{AliasRef, ExitReason, MonitorRef, NodeId, Pid};

/// What may cross between nodes, as a message, an answer or an argument: everything that serialises and comes back.
pub trait Wire: Serialize + DeserializeOwned + Send + 'static {}

impl<T: Serialize + DeserializeOwned + Send + 'static> Wire for T {}

/// Which process of another node.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub(crate) enum Dest {
    /// The one with this number.
    Id(u64),
    /// Whoever has the name when it arrives.
    Name(Box<str>),
}

/// What a message is to its receiver.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Sort {
    Call,
    Cast,
    Info,
    /// As `Info`, if the alias leads to it then.
    Alias(AliasRef),
}

/// What ties a process here to one there, or no longer does.
pub(crate) enum Tie<'a> {
    Link,
    Unlink,
    Monitor(MonitorRef),
    Demonitor(MonitorRef),
    /// What the exit signal comes by.
    Exit(&'a ExitReason, By),
    /// A monitor of a process there fires.
    Down(MonitorRef, &'a ExitReason),
    /// It is to stop with this reason.
    Stop(&'a ExitReason),
}

/// Room on the way to another node, for somebody who waits for it. Dropped, it waits no longer.
pub(crate) trait Room: Send {
    /// Ready: there is some, or the way is gone.
    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<()>;
}

/// A message that waits for room: a request that found none, or one that is for the lane of bulk. Dropped before it is
/// sent, it is not.
pub(crate) trait Delayed: Send {
    /// Sends it as soon as there is room.
    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Rejected>>;
}

impl fmt::Debug for dyn Delayed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Delayed")
    }
}

/// A node that this one is connected with.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct PeerInfo {
    /// Its identity in pids.
    pub node: NodeId,
    /// Its name.
    pub name: String,
    /// Which life of it.
    pub creation: u32,
    /// The releases that it works with, first and last.
    pub releases: (u32, u32),
    /// Since when it is up.
    pub up_for: Duration,
    /// How long the last heartbeat took there and back.
    pub round_trip: Option<Duration>,
    /// Bytes of messages that wait to be sent to it.
    pub queued_bytes: usize,
    /// Bytes that wait to be sent to it on the lane of bulk.
    pub bulk_queued_bytes: usize,
    /// Bytes of messages and bulk sent to it since this node began, those that wait included.
    pub sent_bytes: u64,
    /// Bytes of messages and bulk that came from it since this node began.
    pub received_bytes: u64,
}

/// The other nodes.
pub(crate) trait Network: Any + Send + Sync {
    /// The way to a node, in this life of it. `None`: it is not connected.
    fn route(&self, node: NodeId) -> Option<Arc<dyn Route>>;
    /// Those that are connected, sorted by their names.
    fn peers(&self) -> Vec<PeerInfo>;
    fn as_any(&self) -> &dyn Any;
}

/// The way to one other node, as long as one connection lasts.
pub(crate) trait Route: Send + Sync {
    /// Which life of it.
    fn creation(&self) -> u32;
    /// What stands here for a process there.
    fn standin(self: Arc<Self>, dest: &Dest) -> Option<Arc<dyn Process>>;
    /// Tells the process there of a tie with one here. Never waits; takes no lock but its own.
    fn tell(&self, from: Pid, to: &Dest, tie: Tie<'_>);
    /// Sends a message, which `body` writes. Where much waits already, the process whose code this is
    /// [waits](Core::hold_back) before its next message; a request that finds no room is [`Rejected::Delayed`], and
    /// anything else refused.
    fn message(
        self: Arc<Self>,
        to: &Dest,
        sort: Sort,
        request: Option<SlotId>,
        body: &mut dyn FnMut(&mut Vec<u8>) -> Result<(), String>,
    ) -> Result<(), Rejected>;
    /// Has a message sent on the lane of bulk, which `body` writes now.
    fn bulk(
        self: Arc<Self>,
        to: &Dest,
        sort: Sort,
        body: &mut dyn FnMut(&mut Vec<u8>) -> Result<(), String>,
    ) -> Result<Box<dyn Delayed>, Rejected>;
    /// A waiter for the end of a process there.
    fn watch_end(&self, to: &Dest) -> Option<Pending<ExitReason>>;
    /// What stood here for it is gone.
    fn forget(&self, dest: &Dest);
}

/// What stands here for a process of another node.
pub(crate) struct Standin {
    core: Core,
    dest: Dest,
    route: Arc<dyn Route>,
}

impl Standin {
    pub(crate) fn new(node: Node, pid: Pid, dest: Dest, route: Arc<dyn Route>) -> Self {
        Standin { core: Core::elsewhere(node, pid, std::any::type_name::<Self>), dest, route }
    }
}

impl Drop for Standin {
    fn drop(&mut self) {
        self.route.forget(&self.dest);
    }
}

impl Process for Standin {
    fn core(&self) -> &Core {
        &self.core
    }

    fn signal_then(&self, signal: Signal) -> Option<Next> {
        let tie = match &signal {
            Signal::Down(Down { reference, reason, .. }) => Tie::Down(*reference, reason),
            Signal::System(System::Terminate(reason, _), _) => Tie::Stop(reason),
            // Nothing else is for a process of another node.
            _ => return None,
        };
        self.route.tell(self.core.pid(), &self.dest, tie);
        Some(Next::Nothing)
    }

    fn tied(&self, from: Pid, tie: Tie<'_>) {
        self.route.tell(from, &self.dest, tie);
    }

    fn watch_end(&self) -> Option<Pending<ExitReason>> {
        self.route.watch_end(&self.dest)
    }

    fn exit_then(&self, from: Pid, reason: ExitReason, by: By) -> Next {
        self.route.tell(from, &self.dest, Tie::Exit(&reason, by));
        Next::Nothing
    }

    fn doom_with(&self, reason: ExitReason) {
        self.route.tell(self.core.pid(), &self.dest, Tie::Exit(&reason, By::Call));
    }

    fn doom(&self) -> Option<ExitReason> {
        None
    }

    fn park(&self, incarnation: Box<dyn Incarnation>) -> Option<Box<dyn Incarnation>> {
        Some(incarnation)
    }

    fn trap_exit(&self, _: bool) -> bool {
        false
    }

    fn traps_exit(&self) -> bool {
        false
    }

    fn mailbox_len(&self) -> u64 {
        0
    }

    // It has no life here: none of these is asked of it.
    fn mark_change(&self) {}
    fn begin(&self, _: Waker) {}
    fn close(&self, _: &ExitReason) {}

    fn into_any(self: Arc<Self>) -> Arc<dyn Any + Send + Sync> {
        self
    }
}

/// Where a cell without a mailbox has its messages go.
pub(crate) trait Outlet<M>: Send + Sync {
    fn send(&self, envelope: Envelope<M>) -> Result<(), Rejected>;
    /// Sends a message through an alias of the process.
    fn send_by(&self, alias: AliasRef, message: M) -> Result<(), Rejected>;
    /// Has a message without a request sent on the lane of bulk.
    fn bulk(&self, message: M) -> Result<Box<dyn Delayed>, Rejected>;
    /// What stands for the process now; `None`: its node is not connected.
    fn process(&self) -> Option<Arc<dyn Process>>;
}

/// A process of another node, whatever its messages.
#[derive(Clone)]
struct Remote {
    node: Node,
    there: NodeId,
    /// The life of the node that is meant; a name is looked up in any.
    creation: Option<u32>,
    dest: Dest,
}

impl Remote {
    fn route(&self) -> Result<Arc<dyn Route>, Rejected> {
        let route = self.node.network().and_then(|network| network.route(self.there));
        let route = route.ok_or(Rejected::NoConnection)?;
        match self.creation {
            // It lived in a former life of its node.
            Some(creation) if creation != route.creation() => Err(Rejected::Closed),
            _ => Ok(route),
        }
    }
}

impl<C: Wire, K: Wire, I: Wire> Outlet<Message<C, K, I>> for Remote {
    fn send(&self, envelope: Envelope<Message<C, K, I>>) -> Result<(), Rejected> {
        let (message, request) = match envelope {
            Envelope::User(message) => (message, None),
            Envelope::Request(message, id) => (message, Some(id)),
            Envelope::Timer(timed) => (timed.message, None),
            Envelope::Signal(signal) => {
                let process = Outlet::<Message<C, K, I>>::process(self).ok_or(Rejected::NoConnection)?;
                return process.signal(*signal).then_some(()).ok_or(Rejected::Closed);
            }
        };
        self.route()?.message(&self.dest, sort(&message), request, &mut |out| write(out, &message))
    }

    fn send_by(&self, alias: AliasRef, message: Message<C, K, I>) -> Result<(), Rejected> {
        self.route()?.message(&self.dest, Sort::Alias(alias), None, &mut |out| write(out, &message))
    }

    fn bulk(&self, message: Message<C, K, I>) -> Result<Box<dyn Delayed>, Rejected> {
        self.route()?.bulk(&self.dest, sort(&message), &mut |out| write(out, &message))
    }

    fn process(&self) -> Option<Arc<dyn Process>> {
        self.route().ok()?.standin(&self.dest)
    }
}

fn sort<C, K, I>(message: &Message<C, K, I>) -> Sort {
    match message {
        Message::Call(_) => Sort::Call,
        Message::Cast(_) => Sort::Cast,
        Message::Info(_) => Sort::Info,
    }
}

fn write<C: Wire, K: Wire, I: Wire>(out: &mut Vec<u8>, message: &Message<C, K, I>) -> Result<(), String> {
    match message {
        Message::Call(call) => wire::write(out, call),
        Message::Cast(cast) => wire::write(out, cast),
        Message::Info(info) => wire::write(out, info),
    }
}

/// A reference to the process of another node.
pub(crate) fn reference<C: Wire, K: Wire, I: Wire>(node: &Node, pid: Pid) -> ServerRef<C, K, I> {
    let (there, creation) = (pid.node(), Some(pid.creation()));
    at(Remote { node: node.clone(), there, creation, dest: Dest::Id(pid.id()) }, pid)
}

/// A reference to whoever has the name on another node.
pub(crate) fn named<C: Wire, K: Wire, I: Wire>(node: &Node, there: NodeId, name: &str) -> ServerRef<C, K, I> {
    let remote = Remote { node: node.clone(), there, creation: None, dest: Dest::Name(name.into()) };
    at(remote, Pid::new(there, 0, 0))
}

fn at<C: Wire, K: Wire, I: Wire>(remote: Remote, pid: Pid) -> ServerRef<C, K, I> {
    let core = Core::elsewhere(remote.node.clone(), pid, std::any::type_name::<Remote>);
    ServerRef::of(Arc::new(Cell::elsewhere(core, Arc::new(remote))))
}

/// A reference to a process that has ended.
pub(crate) fn ended<C: Wire, K: Wire, I: Wire>(node: &Node, pid: Pid) -> ServerRef<C, K, I> {
    let core = Core::elsewhere(node.clone(), pid, std::any::type_name::<Remote>);
    ServerRef::of(Arc::new(Cell::closed(core)))
}

/// Reads the messages of a process here that come from other nodes: what is known of their types.
pub(crate) trait Intake: Send + Sync {
    /// Puts a message into the mailbox. `body` is one value of bounded depth.
    fn take(&self, process: Arc<dyn Process>, sort: Sort, body: &[u8]) -> Result<(), NotTaken>;
}

/// Why a message from another node did not get into a mailbox.
#[derive(Debug)]
pub(crate) enum NotTaken {
    /// The process takes other messages.
    WrongProtocol,
    /// The bytes are none of its messages.
    Unreadable(String),
    /// It has no return address for the answer that its sender waits for.
    NoReturnAddress,
    Rejected(Rejected),
}

impl fmt::Display for NotTaken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            NotTaken::WrongProtocol => f.write_str("the process takes other messages"),
            NotTaken::Unreadable(why) => write!(f, "it cannot be read: {why}"),
            NotTaken::NoReturnAddress => f.write_str("it has no return address"),
            NotTaken::Rejected(Rejected::Full) => f.write_str("the mailbox is full"),
            NotTaken::Rejected(_) => f.write_str("the process has ended"),
        }
    }
}

struct Typed<C, K, I>(PhantomData<fn(C, K, I)>);

impl<C: Wire, K: Wire, I: Wire> Intake for Typed<C, K, I> {
    fn take(&self, process: Arc<dyn Process>, sort: Sort, body: &[u8]) -> Result<(), NotTaken> {
        let cell = process.into_any().downcast::<ServerCell<C, K, I>>();
        let cell = cell.map_err(|_| NotTaken::WrongProtocol)?;
        let (message, request) = match sort {
            Sort::Call => wire::read(body).map(|(call, request)| (Message::Call(call), request)),
            Sort::Cast => wire::read(body).map(|(cast, request)| (Message::Cast(cast), request)),
            Sort::Info | Sort::Alias(_) => {
                wire::read(body).map(|(info, request)| (Message::Info(info), request))
            }
        }
        .map_err(NotTaken::Unreadable)?;
        if wire::is_lost() {
            // Who hears of the loss hears nothing after it.
            return Ok(());
        }
        if let (Sort::Alias(alias), Message::Info(_)) = (sort, &message) {
            Alias::of(&ServerRef::of(cell), alias).put(message);
            return Ok(());
        }
        let envelope = match request {
            wire::Asked::No => Envelope::User(message),
            wire::Asked::Yes(slot) => Envelope::Request(message, slot),
            wire::Asked::Nowhere => return Err(NotTaken::NoReturnAddress),
        };
        cell.push(envelope).map_err(NotTaken::Rejected)
    }
}

/// What reads messages of these types.
pub(crate) fn intake<C: Wire, K: Wire, I: Wire>() -> &'static dyn Intake {
    &Typed::<C, K, I>(PhantomData)
}
