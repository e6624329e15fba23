//! Starting a server.

use std::fmt;
use std::future::Future;
use std::marker::PhantomData;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::time::Duration;

use super::server::Server;
use super::{Context, GenServer, Init, ServerRefOf};
use crate::process::{
    AnyProcess, CallError, Cell, Core, Error, Inbox, Incarnation, Life, Me, MonitorOptions, Node, Object,
    Outcome, RegisterError, ServerRef, SlotId, Timeout, answer, catch, fill, link_child, monitor, open,
    register, start_life, unlink, watch_end,
};
use crate::term::{ExitReason, MonitorRef, Name, Pid, Term};

/// Why a server was not started. No process and no name is left behind, whatever it is.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum StartError {
    /// `init` said that there is nothing to run.
    Ignore,
    /// The name is taken by this process; `init` was not called.
    AlreadyStarted(Pid),
    /// `init` took longer than the start may; the process was killed.
    Timeout,
    /// `init` stopped, returned an error, crashed, or was ended by a signal, with this reason.
    Failed(ExitReason),
    /// Asked for outside any process: say on which node, and a link has nobody to link to.
    NoParent,
}

impl fmt::Display for StartError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            StartError::Ignore => f.write_str("ignore: init said that there is nothing to run"),
            StartError::AlreadyStarted(pid) => write!(f, "already_started: {pid} has the name"),
            StartError::Timeout => f.write_str("timeout: init took too long and was killed"),
            StartError::Failed(reason) => write!(f, "init failed: {reason}"),
            StartError::NoParent => {
                f.write_str("started outside any process: say on which node, and link to nobody")
            }
        }
    }
}

impl std::error::Error for StartError {}

/// A start that is being prepared: options, then one of [`start`](Self::start), [`start_link`](Self::start_link),
/// [`start_monitor`](Self::start_monitor).
#[must_use = "nothing is started yet"]
pub struct Start<S: GenServer> {
    args: S::Args,
    node: Option<Node>,
    name: Option<&'static str>,
    label: Option<Term>,
    timeout: Timeout,
    bound: u32,
    hibernate_after: Option<Duration>,
    server: PhantomData<fn() -> S>,
}

impl<S: GenServer> Start<S> {
    pub(super) fn new(args: S::Args) -> Self {
        Start {
            args,
            node: None,
            name: None,
            label: None,
            timeout: Timeout::Infinity,
            bound: 0,
            hibernate_after: None,
            server: PhantomData,
        }
    }

    /// On which node; by default on that of the process whose code asks.
    pub fn on(mut self, node: &Node) -> Self {
        self.node = Some(node.clone());
        self
    }

    /// Registers the server under a name before `init` runs.
    pub fn name(mut self, name: Name<S::Call, S::Cast, S::Info>) -> Self {
        self.name = Some(name.as_str());
        self
    }

    /// A label that others see and reports carry.
    pub fn label(mut self, label: impl Into<Term>) -> Self {
        self.label = Some(label.into());
        self
    }

    /// How long `init` may take; no limit by default (`{timeout, Time}`).
    pub fn timeout(mut self, timeout: impl Into<Timeout>) -> Self {
        self.timeout = timeout.into();
        self
    }

    /// At most so many messages wait; one more is refused: a call with [`CallError::Overloaded`], a cast is a dead
    /// letter. Signals are never refused. 0, the default, is no bound.
    pub fn mailbox_bound(mut self, bound: u32) -> Self {
        self.bound = bound;
        self
    }

    /// Hibernates whenever nothing has come for this time (`{hibernate_after, Time}`).
    pub fn hibernate_after(mut self, idle: Duration) -> Self {
        self.hibernate_after = Some(idle);
        self
    }

    /// Starts it, linked to nobody (`gen_server:start/3,4`). Returns when `init` has.
    ///
    /// # Errors
    /// See [`StartError`].
    ///
    /// # Cancel safety
    /// Dropping the future leaves the server to start on its own.
    pub async fn start(self) -> Result<ServerRefOf<S>, StartError> {
        self.go(Me::current(), Tie::None).await.map(|started| started.0)
    }

    /// Starts it linked to the process whose code asks (`gen_server:start_link/3,4`). Returns when `init` has.
    ///
    /// # Errors
    /// See [`StartError`]. When `init` stops or crashes and the caller does not trap exits, the link ends the caller
    /// too, as in OTP.
    ///
    /// # Cancel safety
    /// As [`start`](Self::start).
    pub async fn start_link(self) -> Result<ServerRefOf<S>, StartError> {
        let parent = Me::current().ok_or(StartError::NoParent)?;
        self.go(Some(parent), Tie::Link).await.map(|started| started.0)
    }

    /// Starts it monitored by the process whose code asks, in one step (`gen_server:start_monitor/3,4`).
    ///
    /// # Errors
    /// See [`StartError`]; no monitor is left then.
    ///
    /// # Cancel safety
    /// As [`start`](Self::start).
    pub async fn start_monitor(self) -> Result<(ServerRefOf<S>, MonitorRef), StartError> {
        let parent = Me::current().ok_or(StartError::NoParent)?;
        let (server, monitor) = self.go(Some(parent), Tie::Monitor).await?;
        Ok((server, monitor.ok_or(StartError::NoParent)?))
    }

    async fn go(
        self,
        parent: Option<Me>,
        tie: Tie,
    ) -> Result<(ServerRefOf<S>, Option<MonitorRef>), StartError> {
        let node = self.node.clone().or_else(|| parent.as_ref().map(|me| me.node().clone()));
        let node = node.ok_or(StartError::NoParent)?;
        let core = Core::new(node.clone(), parent.as_ref().map(Me::pid), std::any::type_name::<S>);
        let cell = Arc::new(Cell::new(core, self.bound));
        let process: Arc<dyn AnyProcess> = cell.clone();
        if let Some(name) = self.name {
            register(name, &process).map_err(|error| match error {
                RegisterError::Taken(pid) => StartError::AlreadyStarted(pid),
                RegisterError::HasName(_) | RegisterError::NoProc => StartError::Failed(ExitReason::NoProc),
            })?;
        }
        if let Some(label) = self.label {
            cell.core().relations().rare_mut().label = Some(label);
        }
        node.table().insert(process.clone());
        if let (Some(parent), Tie::Link) = (&parent, tie) {
            link_child(parent.process(), &process);
        }
        let acknowledged = open::<Acknowledgement>();
        let id = acknowledged.id();
        // If it ends before it has acknowledged, the starter is told as any caller is.
        cell.leave(Default::default(), std::iter::once(id));
        let cx = Context::new(Me::of(process.clone()), Inbox::new(cell.clone()));
        let starter = parent.map(|me| me.process().clone());
        let starting =
            Starting::<S> { args: self.args, cx, starter, tie, id, hibernate_after: self.hibernate_after };
        start_life(&node, Life::new(process.clone(), Box::new(starting)));
        match answer(&node, acknowledged, self.timeout).await {
            Ok(Acknowledgement::Ready(monitor)) => Ok((ServerRef::of(cell), monitor)),
            Ok(Acknowledgement::Failed(error)) => Err(error),
            Err(CallError::Exit(reason)) => Err(StartError::Failed(reason)),
            Err(_) => {
                give_up(&node, &process).await;
                Err(StartError::Timeout)
            }
        }
    }
}

/// `init` took too long: unlinked, so that the starter lives, then killed, and gone before the start returns.
async fn give_up(node: &Node, process: &Arc<dyn AnyProcess>) {
    if let Some(me) = Me::current() {
        unlink(me.process(), process);
    }
    let ended = watch_end(&**process);
    node.exit(process.core().pid(), ExitReason::Kill);
    if let Some(ended) = ended {
        // The end always comes: the answer can only be its reason.
        let _reason = answer(node, ended, Timeout::Infinity).await;
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Tie {
    None,
    Link,
    Monitor,
}

/// What the starter is told.
enum Acknowledgement {
    Ready(Option<MonitorRef>),
    Failed(StartError),
}

/// A server before its `init` has run.
struct Starting<S: GenServer> {
    args: S::Args,
    cx: Context<S>,
    starter: Option<Arc<dyn AnyProcess>>,
    tie: Tie,
    id: SlotId,
    hibernate_after: Option<Duration>,
}

impl<S: GenServer> Incarnation for Starting<S> {
    fn process(&self) -> Arc<dyn AnyProcess> {
        self.cx.process().clone()
    }

    fn run(self: Box<Self>) -> Pin<Box<dyn Future<Output = Outcome> + Send>> {
        Box::pin((*self).init())
    }
}

impl<S: GenServer> Starting<S> {
    async fn init(self) -> Outcome {
        let Starting { args, mut cx, starter, tie, id, hibernate_after } = self;
        cx.process().core().enter(crate::process::Callback::Init);
        let init = catch(pin!(S::init(args, &mut cx))).await;
        let init = match init {
            Ok(init) => init.unwrap_or_else(|error| Init::Stop(error.into_reason())),
            Err(panic) => Init::Stop(ExitReason::panic(&*panic)),
        };
        let failed = |error: StartError| {
            Box::new(move || {
                fill(id, Acknowledgement::Failed(error));
            })
        };
        let starter = starter.filter(|_| tie != Tie::None);
        let (state, step) = match init {
            Init::Ready(state) => (state, super::flow::Step::Wait),
            Init::Timeout(state, after) => (state, super::flow::Step::Timeout(after)),
            Init::Hibernate(state) => (state, super::flow::Step::Hibernate),
            Init::Ignore => {
                detach(starter.as_ref(), &cx);
                return Outcome::ExitThen(ExitReason::Normal, failed(StartError::Ignore));
            }
            Init::Error(reason) => {
                detach(starter.as_ref(), &cx);
                return Outcome::ExitThen(ExitReason::Normal, failed(StartError::Failed(reason)));
            }
            Init::Stop(reason) => {
                // A starter that traps exits gets the error alone; one that does not is ended by the link.
                detach(starter.as_ref().filter(|starter| starter.traps_exit()), &cx);
                return Outcome::ExitThen(reason.clone(), failed(StartError::Failed(reason)));
            }
        };
        let monitor = starter.filter(|_| tie == Tie::Monitor).map(|starter| {
            let object = Object::Pid(cx.pid());
            monitor(&starter, Some(cx.process().clone()), object, MonitorOptions::default()).0
        });
        fill(id, Acknowledgement::Ready(monitor));
        // The future of init, with all that it held, goes before the server runs.
        Outcome::Become(Box::new(Server::new(state, cx, step, hibernate_after)))
    }
}

fn detach<S: GenServer>(starter: Option<&Arc<dyn AnyProcess>>, cx: &Context<S>) {
    if let Some(starter) = starter {
        unlink(cx.process(), starter);
    }
}

/// So that a start function may use `?` on anything.
impl From<Error> for StartError {
    fn from(error: Error) -> Self {
        StartError::Failed(error.into_reason())
    }
}

impl From<StartError> for ExitReason {
    fn from(error: StartError) -> Self {
        match error {
            StartError::Failed(reason) => reason,
            other => Error::from(other).into_reason(),
        }
    }
}
