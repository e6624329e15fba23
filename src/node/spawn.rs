//! Processes that are started from another node: what may be, by what name, and how it is asked for.
//!
//! A node registers functions under names, since code does not travel. Who asks sends a name and arguments; the new process
//! is tied to who asked for it before it runs, by its own node, and each half of the tie is told to the other side in the
//! order of the connection: there is no moment in which either could end unseen.

use std::fmt;
use std::future::{Future, poll_fn, ready};
use std::marker::PhantomData;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::sync::Arc;

use rustc_hash::FxHashMap;
use serde::{Deserialize, Serialize};
use tokio::sync::watch;

use super::shared::Shared;
use crate::gen_server::{GenServer, Start, StartError, Tie};
use crate::process::elsewhere::{intake, reference};
use crate::process::{
    AnyProcess, CallError, IntoExit, Me, MonitorOptions, Node, Object, Pending, Process, ServerRef,
    SpawnOptions, Timeout, Wire, adopt_monitor, answer, link_child, monitor_by, panic_reason, spawn,
    tell_monitor, wire,
};
use crate::term::{ExitReason, MonitorRef, Never, NodeId, Pid};

/// The name of something that another node starts when it is asked to (the `M`, `F` of `erlang:spawn/4`), typed by its
/// arguments and by the messages that its process takes.
///
/// The other node has [registered](super::Distribution::register_server) a server or a function under it.
pub struct Spawnable<Args, Call = Never, Cast = Never, Info = Never> {
    name: &'static str,
    types: PhantomData<fn(Args, Call, Cast, Info)>,
}

impl<A, C, K, I> Clone for Spawnable<A, C, K, I> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<A, C, K, I> Copy for Spawnable<A, C, K, I> {}

impl<A, C, K, I> fmt::Debug for Spawnable<A, C, K, I> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Spawnable({:?})", self.name)
    }
}

/// Why nothing was started on another node, as far as is known.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub enum SpawnError {
    /// The node is not connected: nothing was asked for.
    NoConnection,
    /// The connection was lost before the answer came: what was started with a link hears of that, and anything else may go
    /// on.
    Lost,
    /// Nothing is registered there under this name.
    NotRegistered(String),
    /// The arguments cannot be sent: why.
    Unsendable(String),
    /// The arguments cannot be read there: why.
    Unreadable(String),
    /// It was started and did not come up.
    Start(StartError),
}

impl fmt::Display for SpawnError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            SpawnError::NoConnection => {
                f.write_str("noconnection: the node is not connected, nothing was started")
            }
            SpawnError::Lost => f.write_str(
                "noconnection: the node was lost before it answered, something may have been started",
            ),
            SpawnError::NotRegistered(name) => write!(f, "nothing is registered there as {name:?}"),
            SpawnError::Unsendable(why) => write!(f, "the arguments cannot be sent: {why}"),
            SpawnError::Unreadable(why) => write!(f, "the arguments cannot be read there: {why}"),
            SpawnError::Start(error) => error.fmt(f),
        }
    }
}

impl std::error::Error for SpawnError {}

impl<A, C, K, I> Spawnable<A, C, K, I> {
    /// A name. Nothing is registered by this.
    pub const fn new(name: &'static str) -> Self {
        Spawnable { name, types: PhantomData }
    }

    /// The name as text.
    pub const fn as_str(&self) -> &'static str {
        self.name
    }
}

impl<A: Wire, C: Wire, K: Wire, I: Wire> Spawnable<A, C, K, I> {
    /// Starts it on another node, or on this one, with these arguments. Returns when it has been spawned; of a server, when
    /// its `init` has returned.
    ///
    /// # Errors
    /// See [`SpawnError`].
    ///
    /// # Cancel safety
    /// Dropping the future takes nothing back: it may be started, and nobody knows of it.
    pub async fn spawn(
        &self,
        from: &Node,
        there: impl Into<NodeId>,
        args: A,
    ) -> Result<ServerRef<C, K, I>, SpawnError> {
        self.ask(from, None, Tie::None, there.into(), args).await
    }

    /// As [`spawn`](Self::spawn), linked to this process in one step.
    ///
    /// When this process ends before it knows of the new one, that ends all the same, by the same reason.
    ///
    /// # Errors
    /// See [`SpawnError`]. A server that does not come up ends with its reason, and so does this process, or it finds the exit
    /// in its mailbox if it traps exits: what is said of a start on one node, that who traps exits hears of it by the answer
    /// alone, needs both to be on one.
    ///
    /// # Cancel safety
    /// As [`spawn`](Self::spawn); the link is set all the same.
    pub async fn spawn_link(
        &self,
        me: &Me,
        there: impl Into<NodeId>,
        args: A,
    ) -> Result<ServerRef<C, K, I>, SpawnError> {
        self.ask(me.node(), Some(me), Tie::Link, there.into(), args).await
    }

    /// As [`spawn`](Self::spawn), monitored by this process in one step.
    ///
    /// # Errors
    /// See [`SpawnError`]; no monitor is left then.
    ///
    /// # Cancel safety
    /// As [`spawn`](Self::spawn), without the monitor.
    pub async fn spawn_monitor(
        &self,
        me: &Me,
        there: impl Into<NodeId>,
        args: A,
    ) -> Result<(ServerRef<C, K, I>, MonitorRef), SpawnError> {
        let reference = MonitorRef(me.node().next_reference());
        let process = self.ask(me.node(), Some(me), Tie::MonitorBy(reference), there.into(), args).await?;
        Ok((process, reference))
    }

    async fn ask(
        &self,
        from: &Node,
        parent: Option<&Me>,
        tie: Tie,
        there: NodeId,
        args: A,
    ) -> Result<ServerRef<C, K, I>, SpawnError> {
        let network = from.network().and_then(|network| network.as_any().downcast_ref::<Shared>());
        let network = network.ok_or(SpawnError::NoConnection)?;
        if there == from.id() {
            let mut bytes = Vec::new();
            wire::write(&mut bytes, &args).map_err(SpawnError::Unsendable)?;
            let spawns = network.spawnables().get(self.name)?;
            let born = wire::reading_here(from, || spawns.start(from, parent, tie, &bytes))?;
            let pid = born.await?;
            return ServerRef::find(from, pid)
                .ok_or(SpawnError::Start(StartError::Failed(ExitReason::NoProc)));
        }
        let connection = network.connection(there).ok_or(SpawnError::NoConnection)?;
        let request = Request { parent, tie, name: self.name };
        let (pending, mut delayed) = connection.spawn(&request, &mut |out| wire::write(out, &args))?;
        poll_fn(|cx| delayed.poll(cx)).await.map_err(|_| SpawnError::NoConnection)?;
        match answer(from, pending, Timeout::Infinity).await {
            Ok(Ok(pid)) => Ok(reference(from, pid)),
            Ok(Err(error)) => Err(error),
            Err(CallError::Exit(_)) => Err(SpawnError::Lost),
            Err(_) => Err(SpawnError::NoConnection),
        }
    }
}

/// What is asked of another node.
pub(crate) struct Request<'a> {
    pub(crate) parent: Option<&'a Me>,
    pub(crate) tie: Tie,
    pub(crate) name: &'static str,
}

/// How a process is to be tied to who asks for it, on the wire.
#[derive(Clone, Copy, Serialize, Deserialize)]
pub(crate) enum Tied {
    None,
    Link,
    Monitor(MonitorRef),
}

impl From<Tie> for Tied {
    fn from(tie: Tie) -> Self {
        match tie {
            Tie::Link => Tied::Link,
            Tie::MonitorBy(reference) => Tied::Monitor(reference),
            Tie::None | Tie::Monitor => Tied::None,
        }
    }
}

impl From<Tied> for Tie {
    fn from(tied: Tied) -> Self {
        match tied {
            Tied::None => Tie::None,
            Tied::Link => Tie::Link,
            Tied::Monitor(reference) => Tie::MonitorBy(reference),
        }
    }
}

/// What came of it, when it is known.
pub(crate) type Answer = Pending<Result<Pid, SpawnError>>;

/// Somebody here waits for a process to be started there.
pub(crate) struct Spawning {
    parent: Option<Arc<dyn AnyProcess>>,
    monitor: Option<MonitorRef>,
    /// The process has ended before it was known that there is one.
    down: Option<ExitReason>,
    /// Why the parent that it will be linked to has ended, once it has.
    end: Option<watch::Receiver<Option<ExitReason>>>,
}

impl Spawning {
    pub(crate) fn new(request: &Request<'_>) -> Self {
        let parent = request.parent.map(|me| me.process().clone());
        let linked = parent.as_ref().filter(|_| request.tie == Tie::Link);
        let end = linked.and_then(|parent| Some((parent.core().node().clone(), parent.watch_end()?)));
        let monitor = if let Tie::MonitorBy(reference) = request.tie { Some(reference) } else { None };
        Spawning { parent, monitor, down: None, end: end.map(|(node, ended)| watch_end(&node, ended)) }
    }

    /// Where the reason of this parent's end will be, if it is who waits for a link.
    pub(crate) fn end_of(&self, parent: u64) -> Option<watch::Receiver<Option<ExitReason>>> {
        self.end.clone().filter(|_| self.parent.as_ref().is_some_and(|it| it.core().id() == parent))
    }

    /// The process that is watched by this reference has ended; false: it is another's.
    pub(crate) fn ended(&mut self, reference: MonitorRef, reason: &ExitReason) -> bool {
        let mine = self.monitor == Some(reference);
        if mine {
            self.down = Some(reason.clone());
        }
        mine
    }

    /// The process is there: whoever waits for it here watches it from now on. Answers a monitor that nobody wants any more.
    pub(crate) fn settle(
        self,
        process: Option<Arc<dyn AnyProcess>>,
        waits: bool,
    ) -> Option<(u64, MonitorRef)> {
        let (reference, parent) = (self.monitor?, self.parent?);
        let adopted = waits && process.is_some_and(|process| adopt_monitor(&parent, reference, &process));
        match self.down {
            Some(reason) if adopted => tell_monitor(&parent, reference, reason),
            Some(_) => return None,
            None => {}
        }
        (!adopted).then(|| (parent.core().id(), reference))
    }
}

/// Keeps the reason of an end for as long as somebody may ask for it.
fn watch_end(node: &Node, mut ended: Pending<ExitReason>) -> watch::Receiver<Option<ExitReason>> {
    let (tell, told) = watch::channel(None);
    node.runtime().spawn(async move {
        tokio::select! {
            reason = poll_fn(|cx| ended.poll(cx)) => {
                let _nobody = tell.send(reason.ok());
            }
            () = tell.closed() => {}
        }
    });
    told
}

/// What is registered on a node, by name.
#[derive(Default)]
pub(crate) struct Spawnables(FxHashMap<&'static str, Arc<dyn Spawns>>);

/// A process comes up.
type Born = Pin<Box<dyn Future<Output = Result<Pid, SpawnError>> + Send>>;

pub(crate) trait Spawns: Send + Sync {
    /// Starts it for this parent, which may be a process of another node.
    fn start(&self, node: &Node, parent: Option<&Me>, tie: Tie, args: &[u8]) -> Result<Born, SpawnError>;
}

impl Spawnables {
    pub(crate) fn register(&mut self, name: &'static str, spawns: Arc<dyn Spawns>) {
        self.0.insert(name, spawns);
    }

    pub(crate) fn get(&self, name: &str) -> Result<Arc<dyn Spawns>, SpawnError> {
        self.0.get(name).cloned().ok_or_else(|| SpawnError::NotRegistered(name.to_owned()))
    }
}

/// What starts a server.
pub(crate) fn server<A, S, F>(start: F) -> Arc<dyn Spawns>
where
    A: Wire,
    S: GenServer<Call: Wire, Cast: Wire, Info: Wire>,
    F: Fn(A) -> Start<S> + Send + Sync + 'static,
{
    Arc::new(Server { start, types: PhantomData })
}

struct Server<A, S, F> {
    start: F,
    types: PhantomData<fn(A) -> S>,
}

impl<A, S, F> Spawns for Server<A, S, F>
where
    A: Wire,
    S: GenServer<Call: Wire, Cast: Wire, Info: Wire>,
    F: Fn(A) -> Start<S> + Send + Sync + 'static,
{
    fn start(&self, node: &Node, parent: Option<&Me>, tie: Tie, args: &[u8]) -> Result<Born, SpawnError> {
        let args = wire::decode(args).map_err(SpawnError::Unreadable)?;
        // The code of whoever has registered it.
        let start = catch_unwind(AssertUnwindSafe(|| (self.start)(args)))
            .map_err(|panic| SpawnError::Start(StartError::Failed(panic_reason(panic))))?;
        let started = start.on(node).go(parent.map(|parent| Me::of(parent.process().clone())), tie);
        Ok(Box::pin(async move {
            let (server, _) = started.await.map_err(SpawnError::Start)?;
            server.cell().expose(intake::<S::Call, S::Cast, S::Info>());
            Ok(server.pid())
        }))
    }
}

/// What runs a function as a process.
pub(crate) fn function<A, M, F, Fut>(code: F) -> Arc<dyn Spawns>
where
    A: Wire,
    M: Wire,
    F: Fn(A, Process<M>) -> Fut + Send + Sync + 'static,
    Fut: Future<Output: IntoExit> + Send + 'static,
{
    Arc::new(Function { code: Arc::new(code), types: PhantomData })
}

struct Function<A, M, F> {
    code: Arc<F>,
    types: PhantomData<fn(A, M)>,
}

impl<A, M, F, Fut> Spawns for Function<A, M, F>
where
    A: Wire,
    M: Wire,
    F: Fn(A, Process<M>) -> Fut + Send + Sync + 'static,
    Fut: Future<Output: IntoExit> + Send + 'static,
{
    fn start(&self, node: &Node, parent: Option<&Me>, tie: Tie, args: &[u8]) -> Result<Born, SpawnError> {
        let args: A = wire::decode(args).map_err(SpawnError::Unreadable)?;
        let code = self.code.clone();
        let bind = |child: &Arc<dyn AnyProcess>| match (parent.map(Me::process), tie) {
            (Some(parent), Tie::Link) => link_child(parent, child),
            (Some(parent), Tie::MonitorBy(reference)) => {
                let object = Object::Pid(child.core().pid());
                monitor_by(parent, reference, Some(child.clone()), object, MonitorOptions::default());
            }
            _ => {}
        };
        let run = move |me| async move { code(args, me).await };
        let (process, ()) = spawn(node, parent, &SpawnOptions::default(), bind, run);
        process.cell().expose(intake::<Never, Never, M>());
        Ok(Box::pin(ready(Ok(process.pid()))))
    }
}
