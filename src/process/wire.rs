//! How references cross between nodes: as plain data, read and written on behalf of one connection.
//!
//! A `Serialize` cannot be told whom it writes for, so that is kept for the thread as long as one value is written or read.
//! A return address is noted by whoever waits when it is written, and stands for a slot of this node when it is read.

use std::cell::RefCell;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use serde::de::{self, DeserializeOwned};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::address::ServerRef;
use super::elsewhere::{self, Wire};
use super::node::Node;
use super::reply::Rows;
use super::slots::{self, Failure, Pending, SlotId};
use crate::term::{ExitReason, Pid, check_shape};

/// The connection that something is written for, or read from.
pub(crate) trait Crossing: Send + Sync {
    /// The node on this side of it.
    fn node(&self) -> Option<Node>;
    /// Whether it is over.
    fn is_lost(&self) -> bool;
    /// An answer will come for the slot; `fill` puts it there.
    fn expect(&self, slot: SlotId, fill: Fill);
    /// The answer in the slot is for the other node, where its address is `there`.
    fn owe(&self, there: u64, answer: Box<dyn Owed>);
}

/// Puts an answer into a slot, from its bytes: one value of bounded depth.
pub(crate) type Fill = fn(SlotId, &[u8]);

/// An answer for another node.
pub(crate) trait Owed: Send {
    fn slot(&self) -> SlotId;
    /// Writes the answer if it is there, else has `waker` woken when it is.
    fn poll(&mut self, waker: &Waker, out: &mut Vec<u8>) -> Poll<Result<(), Failure>>;
}

impl<R: Wire> Owed for Pending<R> {
    fn slot(&self) -> SlotId {
        self.id()
    }

    fn poll(&mut self, waker: &Waker, out: &mut Vec<u8>) -> Poll<Result<(), Failure>> {
        Pending::poll(self, &mut Context::from_waker(waker)).map(|answer| {
            let answer = answer?;
            write(out, &answer).map_err(|why| Failure::Exit(ExitReason::error(unwritten(&why))))
        })
    }
}

fn unwritten(why: &str) -> String {
    format!("the answer cannot be sent to another node: {why}")
}

/// Whether what was read asks for an answer.
pub(crate) enum Asked {
    No,
    /// Into this slot.
    Yes(SlotId),
    /// The sender waits for one, but has given no address.
    Nowhere,
}

enum Scope {
    Outside,
    /// What is read was written on this node, for it.
    Here(Node),
    Writing(Arc<dyn Crossing>),
    /// What is written or read may be read anywhere: it lies in a shard.
    Keyed(Keyed),
    Reading {
        crossing: Arc<dyn Crossing>,
        /// The address where the sender of what is read waits for an answer.
        request: Option<u64>,
        slot: Option<SlotId>,
    },
}

/// On whose behalf something that lies in a shard is written or read.
pub(crate) struct Keyed {
    pub(crate) node: Node,
    /// Where answers go.
    pub(crate) rows: Option<Arc<dyn Rows>>,
    /// What the shard knows the request by that is read.
    pub(crate) row: Option<Box<[u8]>>,
}

thread_local! {
    static SCOPE: RefCell<Scope> = const { RefCell::new(Scope::Outside) };
}

/// Gives the former scope back, also when the code within panics.
struct Restore(Option<Scope>);

impl Drop for Restore {
    fn drop(&mut self) {
        let former = self.0.take().unwrap_or(Scope::Outside);
        let mine = SCOPE.with(|scope| scope.replace(former));
        drop(mine);
    }
}

fn within<R>(scope: Scope, code: impl FnOnce() -> R) -> R {
    let _restore = Restore(Some(SCOPE.with(|current| current.replace(scope))));
    code()
}

/// What is written within is written for this connection.
pub(crate) fn writing<R>(crossing: Arc<dyn Crossing>, code: impl FnOnce() -> R) -> R {
    within(Scope::Writing(crossing), code)
}

/// What is read within was written on this node and has not left it.
pub(crate) fn reading_here<R>(node: &Node, code: impl FnOnce() -> R) -> R {
    within(Scope::Here(node.clone()), code)
}

/// What is written or read within lies in a shard.
#[cfg(feature = "cluster")]
pub(crate) fn keyed<R>(keyed: Keyed, code: impl FnOnce() -> R) -> R {
    within(Scope::Keyed(keyed), code)
}

/// Whether what is written or read lies in a shard.
pub(crate) fn is_keyed() -> bool {
    SCOPE.with_borrow(|scope| matches!(scope, Scope::Keyed(_)))
}

/// Where the answers to keyed requests go.
pub(crate) fn rows() -> Option<Arc<dyn Rows>> {
    SCOPE.with_borrow(|scope| match scope {
        Scope::Keyed(keyed) => keyed.rows.clone(),
        _ => None,
    })
}

/// What its shard knows the request by that is read.
pub(crate) fn row() -> Option<Box<[u8]>> {
    SCOPE.with_borrow(|scope| match scope {
        Scope::Keyed(keyed) => keyed.row.clone(),
        _ => None,
    })
}

/// What is read within was sent over this connection, by somebody who waits at this address.
pub(crate) fn reading<R>(crossing: Arc<dyn Crossing>, request: Option<u64>, code: impl FnOnce() -> R) -> R {
    within(Scope::Reading { crossing, request, slot: None }, code)
}

/// Writes a value: structs as maps, so that fields may be added. A panic in its `Serialize` is an error like any other: who
/// waits for what is not written is to hear of it.
pub(crate) fn write<T: Serialize>(out: &mut Vec<u8>, value: &T) -> Result<(), String> {
    let start = out.len();
    let written = catch_unwind(AssertUnwindSafe(|| rmp_serde::encode::write_named(&mut *out, value)));
    let why = match written {
        Ok(Ok(())) => return Ok(()),
        Ok(Err(error)) => error.to_string(),
        Err(_) => "its Serialize panicked".to_owned(),
    };
    out.truncate(start);
    Err(why)
}

/// Reads a message, and whether it asks for an answer.
pub(crate) fn read<T: DeserializeOwned>(bytes: &[u8]) -> Result<(T, Asked), String> {
    let value = decode(bytes)?;
    let asked = SCOPE.with_borrow(|scope| match scope {
        Scope::Reading { request: Some(_), slot, .. } => slot.map_or(Asked::Nowhere, Asked::Yes),
        _ => Asked::No,
    });
    Ok((value, asked))
}

/// Whether the connection that something is read from is over by now: it may take long to be read.
pub(crate) fn is_lost() -> bool {
    SCOPE.with_borrow(|scope| matches!(scope, Scope::Reading { crossing, .. } if crossing.is_lost()))
}

/// Reads a value; a panic in its `Deserialize` is an error like any other.
pub(crate) fn decode<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, String> {
    check_shape(bytes).map_err(|flaw| flaw.to_string())?;
    let read = catch_unwind(AssertUnwindSafe(|| rmp_serde::from_slice(bytes)));
    read.map_err(|_| "its Deserialize panicked".to_owned())?.map_err(|error| error.to_string())
}

fn fill<R: Wire>(slot: SlotId, bytes: &[u8]) {
    match decode::<R>(bytes) {
        Ok(answer) => {
            slots::fill(slot, answer);
        }
        Err(why) => {
            tracing::warn!(target: "incarnate::node", %why, "answer that cannot be read");
            slots::fail(slot, Failure::BadReply);
        }
    }
}

/// A return address is written: where that is for another node, its answer will come from there.
pub(crate) fn sent<R: Wire>(slot: SlotId) {
    let crossing = SCOPE.with_borrow(|scope| match scope {
        Scope::Writing(crossing) => Some(crossing.clone()),
        _ => None,
    });
    if let Some(crossing) = crossing {
        crossing.expect(slot, fill::<R>);
    }
}

/// A return address was read: where it stands for one on another node, the slot here whose answer goes there.
pub(crate) fn received<R: Wire>(address: SlotId) -> SlotId {
    let crossing = SCOPE.with_borrow(|scope| match scope {
        Scope::Reading { crossing, .. } => Some(crossing.clone()),
        _ => None,
    });
    let Some(crossing) = crossing else { return address };
    let pending = slots::open::<R>();
    let mine = pending.id();
    SCOPE.with_borrow_mut(|scope| {
        if let Scope::Reading { request, slot, .. } = scope
            && *request == Some(address.number())
        {
            *slot = Some(mine);
        }
    });
    crossing.owe(address.number(), Box::new(pending));
    mine
}

impl<C: Wire, K: Wire, I: Wire> Serialize for ServerRef<C, K, I> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let pid = self.pid();
        if pid.id() == 0 {
            return Err(serde::ser::Error::custom("a name on another node is not sent; send the name"));
        }
        let crosses = SCOPE.with_borrow(|scope| matches!(scope, Scope::Writing(_) | Scope::Keyed(_)));
        if crosses && pid.node() == self.node().id() {
            self.cell().expose(elsewhere::intake::<C, K, I>());
        }
        pid.serialize(serializer)
    }
}

impl<'de, C: Wire, K: Wire, I: Wire> Deserialize<'de> for ServerRef<C, K, I> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let pid = Pid::deserialize(deserializer)?;
        let node = SCOPE.with_borrow(|scope| match scope {
            Scope::Reading { crossing, .. } => crossing.node(),
            Scope::Here(node) => Some(node.clone()),
            Scope::Keyed(keyed) => Some(keyed.node.clone()),
            _ => None,
        });
        let node = node.or_else(Node::current).ok_or_else(|| {
            de::Error::custom("a reference is read by a process, or from a connection: here is no node")
        })?;
        if pid.node() != node.id() {
            return Ok(elsewhere::reference(&node, pid));
        }
        match (ServerRef::find(&node, pid), node.find(pid)) {
            (Some(server), _) => Ok(server),
            (None, None) => Ok(elsewhere::ended(&node, pid)),
            (None, Some(_)) => Err(de::Error::custom(format!("the process {pid} takes other messages"))),
        }
    }
}
