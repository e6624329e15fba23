//! Starting a server.

use std::any::Any;
use std::fmt;
use std::future::{Future, poll_fn};
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::code::{BeginOf, Code, CodeChange, Hooks};
use super::context::ServerMessage;
use super::flow::Step;
use super::server::{Extras, Server};
use super::{Context, GenServer, Init, ServerRefOf};
use crate::process::{
    AnyProcess, CallError, Callback, Cell, Core, Error, Inbox, Incarnation, Life, Me, Message,
    MonitorOptions, Node, Object, Outcome, RegisterError, ServerRef, SlotId, Timeout, answer, catch, fill,
    link_child, monitor_by, open, register, start_life, unlink,
};
use crate::sys::DebugOptions;
use crate::term::{ExitReason, MonitorRef, Name, Pid, Term};

/// Why a server was not started. No process and no name is left behind, whatever it is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
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
    registry: Option<Registry<S>>,
    extras: Option<Box<Extras>>,
    debug: DebugOptions,
    /// The module and version that it is, if it can be changed while it runs.
    code: Option<Code>,
}

/// Tries to register a server somewhere; what it answers gives the name up by its drop.
type Registry<S> = Box<dyn FnOnce(&ServerRefOf<S>) -> Result<Box<dyn Any + Send>, Pid> + Send>;

type ServerCell<S> = Cell<ServerMessage<S>>;

impl<S: GenServer> Start<S> {
    pub(crate) fn new(args: S::Args) -> Self {
        Start {
            args,
            node: None,
            name: None,
            label: None,
            timeout: Timeout::Infinity,
            bound: 0,
            registry: None,
            extras: None,
            debug: DebugOptions::default(),
            code: None,
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

    /// Hibernates whenever nothing has come for this time (`{hibernate_after, Time}`). While a timeout that a callback
    /// answered runs, it does not.
    pub fn hibernate_after(mut self, idle: Duration) -> Self {
        self.extras.get_or_insert_default().hibernate_after = Some(idle);
        self
    }

    /// What watches the server from its first message on (`{debug, Options}`).
    pub fn debug(mut self, options: DebugOptions) -> Self {
        self.debug = options;
        self
    }

    /// Registers the server in a registry of your own before `init` runs (`{via, Module, Name}`).
    ///
    /// `register` enters the server there, or answers who has the name: the start then fails with
    /// [`StartError::AlreadyStarted`]. What it answers is kept with the server and dropped when it ends, however it
    /// does, before anybody hears of it: let its `Drop` take the name out again.
    pub fn register_with<G: Send + 'static>(
        mut self,
        register: impl FnOnce(&ServerRefOf<S>) -> Result<G, Pid> + Send + 'static,
    ) -> Self {
        self.registry = Some(Box::new(|server| register(server).map(|given| Box::new(given) as _)));
        self
    }

    /// Has it take part in upgrades: its code can be changed while it runs.
    ///
    /// What is started is then the version of the module that is in force on the node, which an upgrade may have changed,
    /// and this version if none is. While an upgrade of the module is under way, the start waits for its end.
    pub fn upgradable(mut self) -> Self
    where
        S: CodeChange,
    {
        self.code = Some(Code::of::<S>());
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

    /// Starts it for this parent, which may be a process of another node.
    pub(crate) async fn go(
        self,
        parent: Option<Me>,
        tie: Tie,
    ) -> Result<(ServerRefOf<S>, Option<MonitorRef>), StartError> {
        let node = self.node.clone().or_else(|| parent.as_ref().map(|me| me.node().clone()));
        let node = node.ok_or(StartError::NoParent)?;
        let timeout = self.timeout;
        let acknowledged = open::<Acknowledgement>();
        let (cell, life) = match self.code.clone() {
            None => self.prepare(&node, parent.as_ref(), tie, acknowledged.id(), None)?,
            Some(mine) => {
                // Kept until the process is in the table, so that whoever holds the module finds it there.
                let starter = parent.as_ref().map(|me| me.process());
                let admission = node.codes().admit(mine.id().module(), starter).await;
                let code = admission.code.as_ref().and_then(|code| code.downcast_ref::<Code>());
                let code = code.unwrap_or(&mine);
                self.prepare(&node, parent.as_ref(), tie, acknowledged.id(), Some(code))?
            }
        };
        let process: Arc<dyn AnyProcess> = cell.clone();
        let _waits = Waits(&process);
        match &parent {
            Some(parent) if *parent.node() == node => begin(parent, life).await,
            _ => start_life(&node, life),
        }
        match answer(&node, acknowledged, timeout).await {
            Ok(Acknowledgement::Ready(monitor)) => Ok((ServerRef::of(cell), monitor)),
            Ok(Acknowledgement::Failed(error)) => Err(error),
            Err(CallError::Exit(reason)) => Err(StartError::Failed(reason)),
            Err(_) => {
                give_up(&node, parent.as_ref(), &process).await;
                Err(StartError::Timeout)
            }
        }
    }

    /// The process, named and tied but not running. When that fails its life is dropped and leaves nothing.
    fn prepare(
        self,
        node: &Node,
        parent: Option<&Me>,
        tie: Tie,
        id: SlotId,
        code: Option<&Code>,
    ) -> Result<(Arc<ServerCell<S>>, Life), StartError> {
        let begin: BeginOf<S> = match code {
            None => |newborn: NewbornOf<S>| Starting::<S>::of(newborn, None),
            Some(code) => *code.begin().downcast().map_err(|_| other_messages(code))?,
        };
        let kind = code.map_or(std::any::type_name::<S> as fn() -> &'static str, Code::kind);
        let core = Core::new(node.clone(), parent.map(Me::process), kind);
        if let Some(code) = code {
            core.set_code(code.number(node));
        }
        if tie == Tie::Link {
            core.start_linked();
        }
        let cell: Arc<ServerCell<S>> = Arc::new(Cell::new(core, self.bound));
        self.debug.install_in(cell.core());
        let process: Arc<dyn AnyProcess> = cell.clone();
        let starter = Starter { id, tie, process: parent.map(|me| me.process().clone()) };
        let mut extras = self.extras;
        if let Some(register) = self.registry {
            let registered = register(&ServerRef::of(cell.clone())).map_err(StartError::AlreadyStarted);
            extras.get_or_insert_default().registration =
                Some(registered.inspect_err(|_| process.close(&ExitReason::NoProc))?);
        }
        let (me, inbox) = (Me::of(process.clone()), Inbox::new(cell.clone()));
        let life = Life::new(process.clone(), begin(Newborn { args: self.args, me, inbox, starter, extras }));
        node.table().insert(process.clone());
        if let Some(name) = self.name {
            register(name, &process).map_err(taken)?;
        }
        if let Some(label) = self.label {
            cell.core().relations().rare_mut().label = Some(label);
        }
        if let (Some(parent), Tie::Link) = (parent, tie) {
            link_child(parent.process(), &process);
        }
        Ok((cell, life))
    }
}

/// Begins a life in the task of its starter, as far as that goes without a wait, and leaves the rest to a shell.
async fn begin(parent: &Me, life: Life) {
    let starter = parent.process().core();
    // Not within another `init`: a chain of starts would pile up on one stack.
    if starter.callback() == Callback::Init {
        return start_life(parent.node(), life);
    }
    let mut life = Some(life);
    let step = poll_fn(|cx| Poll::Ready(life.take().and_then(|life| life.first_step(cx))));
    if let Some(life) = step.await {
        start_life(parent.node(), life);
    }
    // The link has ended the starter: it goes no further than here.
    if starter.is_doomed() {
        std::future::pending().await
    }
}

/// A starter waits. When it does not any more, its answer is told to nobody: what comes of the start is for the link.
struct Waits<'a>(&'a Arc<dyn AnyProcess>);

impl Drop for Waits<'_> {
    fn drop(&mut self) {
        self.0.core().set_started();
    }
}

/// `init` took too long: unlinked, so that the starter lives, then killed, and gone before the start returns.
async fn give_up(node: &Node, parent: Option<&Me>, process: &Arc<dyn AnyProcess>) {
    if let Some(parent) = parent {
        unlink(parent.process(), process);
    }
    let ended = process.watch_end();
    node.exit(process.core().pid(), ExitReason::Kill);
    if let Some(ended) = ended {
        // The end always comes: the answer can only be its reason.
        let _reason = answer(node, ended, Timeout::Infinity).await;
    }
}

/// How a new process is tied to the one that starts it.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Tie {
    None,
    Link,
    Monitor,
    /// As `Monitor`, by a reference that is known on another node.
    MonitorBy(MonitorRef),
}

/// What the starter is told.
enum Acknowledgement {
    Ready(Option<MonitorRef>),
    Failed(StartError),
}

/// Who waits for a start, and how the new process is to be tied to it.
pub(super) struct Starter {
    pub(super) id: SlotId,
    tie: Tie,
    process: Option<Arc<dyn AnyProcess>>,
}

impl Starter {
    /// The start returns.
    pub(super) fn acknowledge(self, me: &Arc<dyn AnyProcess>) {
        me.core().set_started();
        let reference = match self.tie {
            Tie::None | Tie::Link => None,
            Tie::Monitor => Some(MonitorRef(me.core().node().next_reference())),
            Tie::MonitorBy(reference) => Some(reference),
        };
        if let (Some(reference), Some(watcher)) = (reference, self.process) {
            let object = Object::Pid(me.core().pid());
            monitor_by(&watcher, reference, Some(me.clone()), object, MonitorOptions::default());
        }
        fill(self.id, Acknowledgement::Ready(reference));
    }
}

/// What a server begins with, whichever version of it that is.
pub(super) struct Newborn<A, C: Send + 'static, K: Send + 'static, I: Send + 'static> {
    args: A,
    me: Me,
    inbox: Inbox<Message<C, K, I>>,
    starter: Starter,
    extras: Option<Box<Extras>>,
}

type NewbornOf<S> =
    Newborn<<S as GenServer>::Args, <S as GenServer>::Call, <S as GenServer>::Cast, <S as GenServer>::Info>;

/// A server before its `init` has run.
pub(super) struct Starting<S: GenServer> {
    args: S::Args,
    cx: Context<S>,
    extras: Option<Box<Extras>>,
    hooks: Option<&'static Hooks<S>>,
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
    pub(super) fn of(newborn: NewbornOf<S>, hooks: Option<&'static Hooks<S>>) -> Box<dyn Incarnation> {
        let Newborn { args, me, inbox, starter, extras } = newborn;
        Box::new(Starting::<S> { args, cx: Context::new(me, inbox, starter), extras, hooks })
    }

    async fn init(self) -> Outcome {
        let Starting { args, mut cx, extras, hooks } = self;
        cx.process().core().enter(Callback::Init);
        let init = catch(pin!(S::init(args, &mut cx))).await;
        let init = match init {
            Ok(init) => init.unwrap_or_else(|error| Init::Stop(error.into_reason())),
            Err(panic) => Init::Stop(ExitReason::panic(&*panic)),
        };
        cx.inbox.heed().await;
        let (state, step) = match init {
            Init::Ready(state) => (state, Step::Wait),
            Init::Timeout(state, after) => (state, Step::Timeout(after)),
            Init::Hibernate(state) => (state, Step::Hibernate),
            Init::Ignore => return not_started(cx, ExitReason::Normal, StartError::Ignore),
            Init::Error(reason) => return not_started(cx, reason.clone(), StartError::Failed(reason)),
            Init::Stop(reason) => return stopped(cx, reason),
        };
        cx.init_ack();
        // The future of init, with all that it held, goes before the server runs.
        Outcome::Become(Box::new(Server::new(state, cx, step, extras, hooks)))
    }
}

/// The start fails with an error, and the process ends normally, which no linked starter sees (OTP 26): the link says
/// nothing to one that waits and traps exits, and normal ends none that does not. One that has been acknowledged ends
/// with `reason` as any other.
fn not_started<S: GenServer>(mut cx: Context<S>, reason: ExitReason, error: StartError) -> Outcome {
    let Some(starter) = cx.refuse() else { return Outcome::Exit(reason) };
    Outcome::ExitThen(ExitReason::Normal, failed(starter.id, error))
}

/// The start fails, and the process ends with the same reason: the link then ends a starter that does not trap exits.
fn stopped<S: GenServer>(mut cx: Context<S>, reason: ExitReason) -> Outcome {
    let Some(starter) = cx.refuse() else { return Outcome::Exit(reason) };
    Outcome::ExitThen(reason.clone(), failed(starter.id, StartError::Failed(reason)))
}

fn failed(id: SlotId, error: StartError) -> Box<dyn FnOnce() + Send> {
    Box::new(move || {
        fill(id, Acknowledgement::Failed(error));
    })
}

/// A version was put in force that takes other messages or arguments than what is to be started.
fn other_messages(code: &Code) -> StartError {
    let text =
        format!("{code:?} is in force, which takes other messages or arguments than what was to be started");
    StartError::Failed(ExitReason::error(text))
}

fn taken(error: RegisterError) -> StartError {
    match error {
        RegisterError::Taken(pid) => StartError::AlreadyStarted(pid),
        RegisterError::HasName(_) | RegisterError::NoProc => StartError::Failed(ExitReason::NoProc),
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
