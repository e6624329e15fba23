//! Partition supervisors: a fixed number of alike children, each for its part of the keys (Elixir's `PartitionSupervisor`).

use std::fmt;
use std::future::Future;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use incarnate_supervisors::{ChildSpec as Spec, Counts, Restart, Shutdown};

use super::child::{BoxFuture, Child, ChildSpec, Subtree};
use super::reference::{LIVE, SupervisorName, SupervisorRef};
use super::tree::{Supervisor, Tree};
use super::{ChildInfo, LiveTree};
use crate::gen_server::StartError;
use crate::process::{CallError, Node, StopError};
use crate::term::{ExitReason, Pid};

type StartFn<R> = Arc<dyn Fn(usize) -> BoxFuture<Result<R, StartError>> + Send + Sync>;

/// A supervisor of one process per partition, to take the load off a process that all would ask: a key always leads to
/// the same partition. A value, until it is started.
///
/// ```
/// use incarnate::supervisor::{DynamicSupervisor, PartitionSupervisor};
/// use incarnate::{Me, Node, Process, StartError};
///
/// async fn worker(job: u32) -> Result<incarnate::ProcessRef<()>, StartError> {
///     let me = Me::current().ok_or(StartError::NoParent)?;
///     Ok(me.spawn_link(move |mut it: Process<()>| async move { it.receive().await; println!("job {job}"); }))
/// }
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let node = Node::new("example");
/// // Four dynamic supervisors instead of one, so that no single one starts all workers.
/// let pool = PartitionSupervisor::new("pool", |_| DynamicSupervisor::temporary("workers", worker).start_link());
/// let pool = pool.partitions(4).on(&node).start().await?;
/// let workers = pool.which("joe").expect("it runs");
/// workers.start_child(7).await?;
/// # Ok(())
/// # }
/// ```
#[must_use = "nothing is started yet"]
pub struct PartitionSupervisor<R> {
    tree: Tree,
    label: Arc<str>,
    start: StartFn<R>,
    restart: Restart,
    shutdown: Option<Shutdown>,
    partitions: Partitions<R>,
}

/// Where the partitions are now: an address that is valid before the first start and across restarts.
pub struct Partitions<R> {
    now: Arc<[RwLock<Option<R>>]>,
}

impl<R: Clone> Partitions<R> {
    fn new(partitions: usize) -> Self {
        Partitions { now: (0..partitions.max(1)).map(|_| RwLock::new(None)).collect() }
    }

    /// How many there are.
    pub fn count(&self) -> usize {
        self.now.len()
    }

    /// Which partition a key belongs to: always the same one in a program of the same build.
    pub fn index(&self, key: &(impl Hash + ?Sized)) -> usize {
        let mut hasher = DefaultHasher::new();
        key.hash(&mut hasher);
        // The remainder is below the count.
        (hasher.finish() % self.now.len() as u64) as usize
    }

    /// The process of the partition that a key belongs to; `None` before its first start. While it is being
    /// restarted it is the former one, which answers noproc.
    pub fn which(&self, key: &(impl Hash + ?Sized)) -> Option<R> {
        self.get(self.index(key))
    }

    /// The process of this partition.
    pub fn get(&self, partition: usize) -> Option<R> {
        self.now.get(partition)?.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn set(&self, partition: usize, process: R) {
        if let Some(now) = self.now.get(partition) {
            let former = now.write().unwrap_or_else(PoisonError::into_inner).replace(process);
            drop(former);
        }
    }
}

impl<R> Clone for Partitions<R> {
    fn clone(&self) -> Self {
        Partitions { now: self.now.clone() }
    }
}

impl<R> fmt::Debug for Partitions<R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Partitions({})", self.now.len())
    }
}

impl<R: Child + Clone + Sync> PartitionSupervisor<R> {
    /// A supervisor of as many permanent partitions as there are processors; `start` gets the number of each, from 0.
    ///
    /// The name is for the eye and, when the supervisor is a child, its id.
    pub fn new<F, Fut, E>(name: impl Into<Arc<str>>, start: F) -> Self
    where
        F: Fn(usize) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Result<R, E>> + Send + 'static,
        E: Into<StartError> + 'static,
    {
        let label = name.into();
        PartitionSupervisor {
            tree: Supervisor::tree(label.clone()),
            label,
            start: Arc::new(move |partition| {
                let starting = start(partition);
                Box::pin(async move { starting.await.map_err(Into::into) })
            }),
            restart: Restart::Permanent,
            shutdown: None,
            partitions: Partitions::new(std::thread::available_parallelism().map_or(1, usize::from)),
        }
    }

    /// How many partitions; at least one.
    pub fn partitions(mut self, partitions: usize) -> Self {
        self.partitions = Partitions::new(partitions);
        self
    }

    /// At most so many restarts within the period; 1 in 5 s by default, for all partitions together.
    pub fn intensity(mut self, restarts: u32, period: Duration) -> Self {
        self.tree = self.tree.intensity(restarts, period);
        self
    }

    /// When a partition is started again; always by default.
    pub fn restart(mut self, restart: Restart) -> Self {
        self.restart = restart;
        self
    }

    /// How each partition is told to end; as a worker, or as a supervisor if it is one of ours.
    pub fn shutdown(mut self, shutdown: Shutdown) -> Self {
        self.shutdown = Some(shutdown);
        self
    }

    /// Registers the supervisor under a name while it runs.
    pub fn name(mut self, name: SupervisorName) -> Self {
        self.tree = self.tree.name(name);
        self
    }

    /// On which node; by default on that of the process whose code starts it.
    pub fn on(mut self, node: &Node) -> Self {
        self.tree = self.tree.on(node);
        self
    }

    /// Where the partitions are, for those who ask them. One value is for one supervisor: start it once at a time.
    pub fn router(&self) -> Partitions<R> {
        self.partitions.clone()
    }

    /// Starts the supervisor and its partitions, linked to nobody. Returns when all are up.
    ///
    /// # Errors
    /// As [`Tree::start_link`].
    ///
    /// # Cancel safety
    /// Dropping the future leaves the supervisor to start on its own.
    pub async fn start(self) -> Result<PartitionSupervisorRef<R>, StartError> {
        let partitions = self.router();
        Ok(PartitionSupervisorRef { supervisor: self.into_tree().start().await?, partitions })
    }

    /// Starts the supervisor and its partitions, linked to the process whose code asks. Returns when all are up.
    ///
    /// # Errors
    /// As [`Tree::start_link`].
    ///
    /// # Cancel safety
    /// As [`start`](Self::start).
    pub async fn start_link(self) -> Result<PartitionSupervisorRef<R>, StartError> {
        let partitions = self.router();
        Ok(PartitionSupervisorRef { supervisor: self.into_tree().start_link().await?, partitions })
    }

    fn into_tree(self) -> Tree {
        (0..self.partitions.count()).fold(self.tree.clone(), |tree, partition| {
            let (start, partitions) = (self.start.clone(), self.partitions.clone());
            let start = move || {
                let (starting, partitions) = (start(partition), partitions.clone());
                async move {
                    let process = starting.await?;
                    partitions.set(partition, process.clone());
                    Ok::<R, StartError>(process)
                }
            };
            let id = partition.to_string();
            let child = match R::SUBTREE {
                Some(_) => ChildSpec::supervisor(id, start),
                None => ChildSpec::worker(id, start),
            };
            let child = child.restart(self.restart);
            tree.child(match self.shutdown {
                Some(shutdown) => child.shutdown(shutdown),
                None => child,
            })
        })
    }
}

impl<R> Clone for PartitionSupervisor<R> {
    fn clone(&self) -> Self {
        PartitionSupervisor {
            tree: self.tree.clone(),
            label: self.label.clone(),
            start: self.start.clone(),
            restart: self.restart,
            shutdown: self.shutdown,
            partitions: self.partitions.clone(),
        }
    }
}

/// As a child of a tree: permanent, with all the time that it needs to shut down; its id is its name.
impl<R: Child + Clone + Sync> From<PartitionSupervisor<R>> for ChildSpec<PartitionSupervisorRef<R>> {
    fn from(supervisor: PartitionSupervisor<R>) -> Self {
        let spec = Spec::supervisor(&*supervisor.label);
        let shape = supervisor.clone().into_tree().shape();
        ChildSpec::of(spec, Arc::new(move || supervisor.clone().start_link()), Some(shape))
    }
}

impl<R> fmt::Debug for PartitionSupervisor<R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PartitionSupervisor({:?}, {:?})", self.label, self.partitions)
    }
}

/// A reference to a partition supervisor and its partitions.
#[derive(Clone)]
pub struct PartitionSupervisorRef<R> {
    supervisor: SupervisorRef,
    partitions: Partitions<R>,
}

impl<R: Send + Sync + 'static> Child for PartitionSupervisorRef<R> {
    const SUBTREE: Option<Subtree> = Some(LIVE);

    fn pid(&self) -> Pid {
        self.supervisor.pid()
    }
}

impl<R: Child + Clone + Sync> PartitionSupervisorRef<R> {
    /// The process of the partition that a key belongs to; see [`Partitions::which`].
    pub fn which(&self, key: &(impl Hash + ?Sized)) -> Option<R> {
        self.partitions.which(key)
    }

    /// Where the partitions are.
    pub fn router(&self) -> Partitions<R> {
        self.partitions.clone()
    }

    /// How many partitions there are.
    pub fn partitions(&self) -> usize {
        self.partitions.count()
    }

    /// The supervisor's pid.
    pub fn pid(&self) -> Pid {
        self.supervisor.pid()
    }

    /// All partitions, the last one first.
    ///
    /// # Errors
    /// The supervisor did not answer.
    ///
    /// # Cancel safety
    /// Dropping the future only stops waiting.
    pub async fn which_children(&self) -> Result<Vec<ChildInfo>, CallError> {
        self.supervisor.which_children().await
    }

    /// How many partitions there are and run.
    ///
    /// # Errors
    /// The supervisor did not answer.
    ///
    /// # Cancel safety
    /// Dropping the future only stops waiting.
    pub async fn count_children(&self) -> Result<Counts, CallError> {
        self.supervisor.count_children().await
    }

    /// The supervisor and its partitions with pids, and the trees of those that supervise.
    ///
    /// # Errors
    /// The supervisor did not answer.
    ///
    /// # Cancel safety
    /// Dropping the future only stops waiting.
    pub async fn tree(&self) -> Result<LiveTree, CallError> {
        self.supervisor.tree().await
    }

    /// Ends all partitions in reverse order and then the supervisor, with reason normal.
    ///
    /// # Errors
    /// As [`ServerRef::stop`](crate::ServerRef::stop).
    ///
    /// # Cancel safety
    /// Dropping the future withdraws nothing: what was asked may still be done.
    pub async fn stop(&self) -> Result<(), StopError> {
        self.supervisor.stop().await
    }

    /// Waits for the end of the supervisor and answers its reason; noproc if it had ended before.
    pub async fn ended(&self) -> ExitReason {
        self.supervisor.ended().await
    }
}

impl<R> fmt::Debug for PartitionSupervisorRef<R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PartitionSupervisorRef({:?}, {:?})", self.supervisor, self.partitions)
    }
}
