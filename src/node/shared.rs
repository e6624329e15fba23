//! What a node knows of those that it is connected with, for everybody on it.

use std::any::Any;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};
use std::time::Duration;

use rustc_hash::FxHashMap;
use tokio::time::Instant;

use super::connection::{Connection, Limits, Offered};
use super::handshake::Identity;
use super::machine::SessionId;
use super::spawn::Spawnables;
use crate::process::elsewhere::{Intake, Network, Route};
use crate::process::{AnyProcess, Node, Signal, WeakNode};
use crate::term::{NodeId, Pid};

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
    /// Bytes of messages and bulk sent to it, those that wait included.
    pub sent_bytes: u64,
    /// Bytes of messages and bulk that came from it.
    pub received_bytes: u64,
}

pub(crate) struct Shared {
    node: WeakNode,
    limits: Limits,
    offered: Arc<Offered>,
    connections: RwLock<FxHashMap<NodeId, Arc<Connection>>>,
    watchers: Mutex<FxHashMap<Pid, Watcher>>,
}

/// Who hears of nodes that come and go (`net_kernel:monitor_nodes/1`).
struct Watcher {
    process: Arc<dyn AnyProcess>,
    /// So often has it asked.
    times: usize,
}

impl Shared {
    pub(crate) fn new(node: &Node, limits: Limits) -> Self {
        Shared {
            node: node.downgrade(),
            limits,
            offered: Arc::default(),
            connections: RwLock::default(),
            watchers: Mutex::default(),
        }
    }

    /// Others may send to whoever has the name what `intake` reads.
    pub(crate) fn expose(&self, name: &'static str, intake: &'static dyn Intake) {
        self.offered.names().insert(name, intake);
    }

    /// What others may have started here.
    pub(crate) fn spawnables(&self) -> MutexGuard<'_, Spawnables> {
        self.offered.spawnables()
    }

    pub(crate) fn connection(&self, node: NodeId) -> Option<Arc<Connection>> {
        self.connections.read().unwrap_or_else(PoisonError::into_inner).get(&node).cloned()
    }

    pub(crate) fn connections(&self) -> Vec<Arc<Connection>> {
        let connections = self.connections.read().unwrap_or_else(PoisonError::into_inner);
        connections.values().cloned().collect()
    }

    fn watchers(&self) -> MutexGuard<'_, FxHashMap<Pid, Watcher>> {
        self.watchers.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A node is up.
    pub(crate) fn connect(&self, session: SessionId, peer: Identity, clock: Instant) -> Arc<Connection> {
        let id = peer.id();
        let connection =
            Connection::new(self.node.clone(), session, peer, self.limits, self.offered.clone(), clock);
        let mut connections = self.connections.write().unwrap_or_else(PoisonError::into_inner);
        connections.insert(id, connection.clone());
        drop(connections);
        self.tell(|| Signal::Node { node: id, up: true });
        connection
    }

    /// Nothing is sent over the connection any more.
    pub(crate) fn disconnect(&self, connection: &Connection) {
        let mut connections = self.connections.write().unwrap_or_else(PoisonError::into_inner);
        let removed = connections.remove(&connection.peer.id());
        drop(connections);
        drop(removed);
    }

    /// The node is down, and all that was tied to it has heard so.
    pub(crate) fn down(&self, connection: &Connection) {
        let id = connection.peer.id();
        self.tell(|| Signal::Node { node: id, up: false });
    }

    fn tell(&self, signal: impl Fn() -> Signal) {
        let watchers: Vec<_> =
            self.watchers().values().map(|watcher| (watcher.process.clone(), watcher.times)).collect();
        for (process, times) in watchers {
            let told = (0..times).all(|_| process.signal(signal()));
            if !told {
                self.watchers().remove(&process.core().pid());
            }
        }
    }

    /// The process hears of nodes that come and go, once more or once less; off: answers whether it did.
    pub(crate) fn watch(&self, process: &Arc<dyn AnyProcess>, on: bool) -> bool {
        let mut watchers = self.watchers();
        let pid = process.core().pid();
        if on {
            let watcher =
                watchers.entry(pid).or_insert_with(|| Watcher { process: process.clone(), times: 0 });
            watcher.times += 1;
            return true;
        }
        let Some(watcher) = watchers.get_mut(&pid) else { return false };
        watcher.times -= 1;
        if watcher.times == 0 {
            watchers.remove(&pid);
        }
        true
    }
}

impl Network for Shared {
    fn route(&self, node: NodeId) -> Option<Arc<dyn Route>> {
        self.connection(node).map(|connection| connection as Arc<dyn Route>)
    }

    fn as_any(&self) -> &dyn Any {
        self
    }
}
