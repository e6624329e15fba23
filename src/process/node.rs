//! A node: what its processes share. A value, so that several can live in one program.

use std::any::{Any, TypeId};
use std::fmt;
use std::hash::{BuildHasher, Hasher, RandomState};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError, RwLock, Weak};

use rustc_hash::FxHashMap;
use tokio::runtime::Handle;
use tokio::task::AbortHandle;
use tokio::time::Instant;

use super::cell::{By, Process};
use super::codes::Codes;
use super::current;
use super::deadlines::Deadlines;
use super::elsewhere::{Dest, Network};
use super::meter::Totals;
use super::registry::Registry;
use super::shell::Pool;
use super::signal::Object;
use super::table::Table;
use super::timers::Timers;
use super::watch::Watch;
use crate::term::{ExitReason, NodeId, Pid};

/// A node: processes with their names, timers and shells, on the tokio runtime that it was made in.
///
/// Everything hangs off this value and nothing off global statics, so several nodes can live in one program or one
/// test. Cloning it is cheap and gives the same node. Dropping it ends nothing, since its processes keep it:
/// [`halt`](Self::halt) does. Source: Erlang's `node()`.
#[derive(Clone)]
pub struct Node(Arc<Inner>);

/// A node that is not kept alive by this.
#[derive(Clone)]
pub(crate) struct WeakNode(Weak<Inner>);

struct Inner {
    name: Box<str>,
    id: NodeId,
    creation: u32,
    runtime: Handle,
    next_process: AtomicU64,
    next_reference: AtomicU64,
    dead_letters: AtomicU64,
    table: Table,
    registry: Registry,
    timers: Timers,
    deadlines: Deadlines,
    shells: Pool,
    watch: Watch,
    codes: Codes,
    totals: Totals,
    /// The other nodes, if it reaches any.
    network: OnceLock<Arc<dyn Network>>,
    /// What is to be done as soon as it does.
    when_distributed: Mutex<Vec<WhenDistributed>>,
    /// What layers above keep here, each made when it is first used.
    extensions: RwLock<FxHashMap<TypeId, Arc<dyn Any + Send + Sync>>>,
    /// Dropped with the runtime: see [`Sentinel`].
    sentinel: AbortHandle,
}

type WhenDistributed = Box<dyn FnOnce(&Node, &Arc<dyn Network>) + Send>;

/// Ends the processes that have no shell when the runtime shuts down: those that have one hear of it by its drop.
struct Sentinel(WeakNode);

impl Drop for Sentinel {
    fn drop(&mut self) {
        if let Some(node) = self.0.upgrade() {
            node.halt();
        }
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        self.sentinel.abort();
    }
}

impl Node {
    /// A new node with this name; each has a creation of its own, so that pids and references of a former life
    /// of the name, or of another node, name nothing here.
    ///
    /// # Panics
    /// Outside a tokio runtime, or in one without timers.
    pub fn new(name: &str) -> Self {
        let runtime = Handle::current();
        // Random, and never 0.
        let creation = (RandomState::new().build_hasher().finish() as u32).max(1);
        // Each node's references begin elsewhere, so that another's name nothing here.
        let first_reference = u64::from(creation) << 32;
        let inner = |inner: &Weak<Inner>| Inner {
            sentinel: sentinel(&runtime, WeakNode(inner.clone())),
            name: name.into(),
            id: NodeId::of(name),
            creation,
            shells: Pool::new(runtime.metrics().num_workers()),
            runtime: runtime.clone(),
            next_process: AtomicU64::new(1),
            next_reference: AtomicU64::new(first_reference),
            dead_letters: AtomicU64::new(0),
            table: Table::default(),
            registry: Registry::default(),
            timers: Timers::new(Instant::now(), first_reference),
            deadlines: Deadlines::new(Instant::now()),
            watch: Watch::default(),
            codes: Codes::default(),
            totals: Totals::default(),
            network: OnceLock::new(),
            when_distributed: Mutex::default(),
            extensions: RwLock::default(),
        };
        Node(Arc::new_cyclic(inner))
    }

    /// The node of the process whose code asks (`erlang:node/0`); `None` outside a process.
    pub fn current() -> Option<Node> {
        current::with(|process| process.map(|process| process.core().node().clone()))
    }

    /// The name.
    pub fn name(&self) -> &str {
        &self.0.name
    }

    /// Which life of the name this is, as in its pids.
    pub fn creation(&self) -> u32 {
        self.0.creation
    }

    /// The name's fingerprint, as in this node's pids.
    pub fn id(&self) -> NodeId {
        self.0.id
    }

    /// How many processes live here, hibernated ones included.
    pub fn process_count(&self) -> usize {
        self.0.table.len()
    }

    /// The pids of all processes, oldest first (`erlang:processes/0`).
    pub fn processes(&self) -> Vec<Pid> {
        self.0.table.all().iter().map(|process| process.core().pid()).collect()
    }

    /// Whether a process lives (`erlang:is_process_alive/1`). False for a pid of another node.
    pub fn is_alive(&self, pid: Pid) -> bool {
        self.find(pid).is_some_and(|process| !process.core().is_doomed())
    }

    /// All registered names, sorted (`erlang:registered/0`).
    pub fn registered(&self) -> Vec<&'static str> {
        self.0.registry.names()
    }

    /// Who has a name (`erlang:whereis/1`).
    pub fn whereis(&self, name: &str) -> Option<Pid> {
        self.0.registry.whereis(name).map(|process| process.core().pid())
    }

    /// How many timers and intervals run here.
    pub fn timer_count(&self) -> usize {
        self.0.timers.len()
    }

    /// Messages that went nowhere: to a process that had ended, a name that nobody had, or a full mailbox.
    pub fn dead_letters(&self) -> u64 {
        self.0.dead_letters.load(Ordering::Relaxed)
    }

    /// Sends an exit signal (`erlang:exit/2`). From code outside any process it comes from the target itself.
    ///
    /// With [`ExitReason::Kill`] the target ends [`ExitReason::Killed`], trapping or not. A pid that nobody has is
    /// no error.
    pub fn exit(&self, pid: Pid, reason: ExitReason) {
        if let Some(process) = self.reach(pid) {
            let from = current::with(|me| me.map(|me| me.core().pid()));
            exit_from(from, &*process, reason);
        }
    }

    /// Kills every process of the node at once: no `terminate` runs, no child is restarted (`erlang:halt/0`).
    pub fn halt(&self) {
        // Newest first, and again for what was started meanwhile.
        loop {
            let all = self.0.table.all();
            let living: Vec<_> = all.iter().rev().filter(|process| !process.core().is_doomed()).collect();
            if living.is_empty() {
                return;
            }
            for process in living {
                process.exit(process.core().pid(), ExitReason::Kill, By::Call);
            }
        }
    }

    pub(crate) fn pid_of(&self, id: u64) -> Pid {
        Pid::new(self.0.id, self.0.creation, id)
    }

    pub(crate) fn find(&self, pid: Pid) -> Option<Arc<dyn Process>> {
        (pid == self.pid_of(pid.id())).then(|| self.0.table.get(pid.id())).flatten()
    }

    /// The process with this pid, or what stands for it if it lives on another node that is connected.
    pub(crate) fn reach(&self, pid: Pid) -> Option<Arc<dyn Process>> {
        if pid.node() == self.0.id {
            return self.find(pid);
        }
        let route = self.network()?.route(pid.node())?;
        if route.creation() != pid.creation() {
            return None;
        }
        route.standin(&Dest::Id(pid.id()))
    }

    /// What is said of a process that is not reached: its node does not have it, or that is not connected. A pid of a former
    /// life of a node that is connected is nobody's.
    pub(crate) fn absence(&self, object: Object) -> ExitReason {
        if object.node() == self.id() {
            return ExitReason::NoProc;
        }
        let life =
            self.network().and_then(|network| network.route(object.node())).map(|route| route.creation());
        match (object, life) {
            // Number 0 is a name's, whoever has it.
            (Object::Pid(pid), Some(life)) if pid.id() != 0 && pid.creation() != life => ExitReason::NoProc,
            _ => ExitReason::NoConnection,
        }
    }

    pub(crate) fn registered_as(&self, name: &str) -> Option<Arc<dyn Process>> {
        self.0.registry.whereis(name)
    }

    pub(crate) fn network(&self) -> Option<&Arc<dyn Network>> {
        self.0.network.get()
    }

    /// Lets its processes reach other nodes. Once only: false if they can.
    pub(crate) fn join(&self, network: Arc<dyn Network>) -> bool {
        if self.0.network.set(network.clone()).is_err() {
            return false;
        }
        let waiting =
            std::mem::take(&mut *self.0.when_distributed.lock().unwrap_or_else(PoisonError::into_inner));
        waiting.into_iter().for_each(|then| then(self, &network));
        true
    }

    /// Has this done as soon as its processes can reach other nodes: now, if they can.
    pub(crate) fn when_distributed(&self, then: impl FnOnce(&Node, &Arc<dyn Network>) + Send + 'static) {
        let mut waiting = self.0.when_distributed.lock().unwrap_or_else(PoisonError::into_inner);
        // Under the lock, which `join` takes behind the change that is looked for: it is seen here or there.
        match self.network() {
            None => waiting.push(Box::new(then)),
            Some(network) => {
                drop(waiting);
                then(self, network);
            }
        }
    }

    pub(crate) fn next_process_id(&self) -> u64 {
        self.0.next_process.fetch_add(1, Ordering::Relaxed)
    }

    pub(crate) fn next_reference(&self) -> u64 {
        self.0.next_reference.fetch_add(1, Ordering::Relaxed)
    }

    /// Counts and traces a message that goes nowhere.
    pub(crate) fn dead_letter(&self, to: &dyn fmt::Display, what: &'static str) {
        self.0.dead_letters.fetch_add(1, Ordering::Relaxed);
        tracing::debug!(target: "incarnate::dead_letter", node = self.name(), %to, what, "message to nobody");
    }

    pub(crate) fn table(&self) -> &Table {
        &self.0.table
    }

    pub(crate) fn registry(&self) -> &Registry {
        &self.0.registry
    }

    pub(crate) fn timers(&self) -> &Timers {
        &self.0.timers
    }

    pub(crate) fn deadlines(&self) -> &Deadlines {
        &self.0.deadlines
    }

    pub(crate) fn shells(&self) -> &Pool {
        &self.0.shells
    }

    pub(crate) fn watch(&self) -> &Watch {
        &self.0.watch
    }

    /// What is added up for the metrics.
    pub(crate) fn totals(&self) -> &Totals {
        &self.0.totals
    }

    pub(crate) fn codes(&self) -> &Codes {
        &self.0.codes
    }

    /// What a layer above keeps on this node, one of each type; made by the first who asks.
    pub(crate) fn extension<T: Any + Send + Sync>(&self, make: impl FnOnce() -> T) -> Arc<T> {
        let known = |kept: &FxHashMap<TypeId, Arc<dyn Any + Send + Sync>>| {
            kept.get(&TypeId::of::<T>()).cloned().and_then(|one| one.downcast::<T>().ok())
        };
        let extensions = &self.0.extensions;
        if let Some(one) = known(&extensions.read().unwrap_or_else(PoisonError::into_inner)) {
            return one;
        }
        let mut kept = extensions.write().unwrap_or_else(PoisonError::into_inner);
        known(&kept).unwrap_or_else(|| {
            let one = Arc::new(make());
            kept.insert(TypeId::of::<T>(), one.clone());
            one
        })
    }

    pub(crate) fn runtime(&self) -> &Handle {
        &self.0.runtime
    }

    pub(crate) fn downgrade(&self) -> WeakNode {
        WeakNode(Arc::downgrade(&self.0))
    }
}

fn sentinel(runtime: &Handle, node: WeakNode) -> AbortHandle {
    let sentinel = Sentinel(node);
    let waiting = async move {
        let _ends_with_the_runtime = sentinel;
        std::future::pending::<()>().await
    };
    runtime.spawn(waiting).abort_handle()
}

/// Sends an exit signal; with nobody to have sent it, it comes from the target itself.
pub(crate) fn exit_from(from: Option<Pid>, target: &dyn Process, reason: ExitReason) {
    // Nobody's normal exit ends nobody, so that of an outsider must not look like one of the target to itself.
    let by = if from.is_none() && reason == ExitReason::Normal { By::Link } else { By::Call };
    target.exit(from.unwrap_or(target.core().pid()), reason, by);
}

impl WeakNode {
    pub(crate) fn upgrade(&self) -> Option<Node> {
        self.0.upgrade().map(Node)
    }
}

impl PartialEq for Node {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }
}

impl Eq for Node {}

impl fmt::Debug for Node {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Node({:?}, {} processes)", self.name(), self.process_count())
    }
}
