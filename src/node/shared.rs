//! What a node knows of those that it is connected with, for everybody on it.

use std::any::Any;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};

use rustc_hash::FxHashMap;
use tokio::time::Instant;

use super::connection::{Connection, Limits, Offered};
use super::handshake::Identity;
use super::machine::{DownBecause, SessionId};
use super::spawn::Spawnables;
use crate::process::elsewhere::{Intake, Network, PeerInfo, Route};
use crate::process::{AnyProcess, Node, Signal, WeakNode, meter};
use crate::term::{NodeId, Pid};

pub(crate) struct Shared {
    node: WeakNode,
    limits: Limits,
    offered: Arc<Offered>,
    connections: RwLock<FxHashMap<NodeId, Arc<Connection>>>,
    watchers: Mutex<FxHashMap<Pid, Watcher>>,
    /// What went over the former connections with a node.
    carried: Mutex<FxHashMap<NodeId, Carried>>,
}

/// Bytes that went to a node and came from it.
#[derive(Clone, Copy, Default)]
pub(crate) struct Carried {
    pub(crate) sent: u64,
    pub(crate) received: u64,
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
            carried: Mutex::default(),
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

    fn carried(&self) -> MutexGuard<'_, FxHashMap<NodeId, Carried>> {
        self.carried.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn watchers(&self) -> MutexGuard<'_, FxHashMap<Pid, Watcher>> {
        self.watchers.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A node is up.
    pub(crate) fn connect(&self, session: SessionId, peer: Identity, clock: Instant) -> Arc<Connection> {
        let id = peer.id();
        let carried = self.carried().get(&id).copied().unwrap_or_default();
        let (limits, offered) = (self.limits, self.offered.clone());
        let connection = Connection::new(self.node.clone(), session, peer, limits, offered, clock, carried);
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
    pub(crate) fn down(&self, connection: &Connection, why: &DownBecause) {
        let id = connection.peer.id();
        let info = connection.info();
        let carried = Carried { sent: info.sent_bytes, received: info.received_bytes };
        self.carried().insert(id, carried);
        if let Some(node) = self.node.upgrade() {
            meter::lost(&node, why.label());
        }
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
            // Those that have ended are found now and then, so that there are never many more than live.
            let prunes = watchers.len() >= 64 && watchers.len().is_power_of_two();
            let ended: Vec<_> = match prunes {
                true => watchers.extract_if(|_, watcher| watcher.process.core().relations().gone).collect(),
                false => Vec::new(),
            };
            let watcher =
                watchers.entry(pid).or_insert_with(|| Watcher { process: process.clone(), times: 0 });
            watcher.times += 1;
            drop(watchers);
            drop(ended);
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

    fn peers(&self) -> Vec<PeerInfo> {
        let connections = self.connections.read().unwrap_or_else(PoisonError::into_inner);
        let mut peers: Vec<_> = connections.values().map(|connection| connection.info()).collect();
        drop(connections);
        peers.sort_unstable_by(|a, b| a.name.cmp(&b.name));
        peers
    }

    fn as_any(&self) -> &dyn Any {
        self
    }
}
