//! Dynamic supervisors: children on demand, all made by one start function (OTP's simple_one_for_one).

use std::fmt;
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use incarnate_supervisors::{
    Backoff, ChildSpec as Spec, ChildType, Counts, Flags, Key, Restart, Shutdown, Strategy,
};
use rustc_hash::FxHashMap;

use super::child::{BoxFuture, Child, ChildSpec, Subtree, Up};
use super::error::{ChangeError, LookupError, StartChildError, TerminateChildError};
use super::kind::{Kind, Machine, Plan, TokenOf, nothing_to_start};
use super::live::{Supervising, ask, live, live_at};
use super::order::{Ask, Note, Order, Which};
use super::server::Server;
use super::{ChildInfo, LiveTree};
use crate::gen_server::{GenServer, Start, StartError};
use crate::process::{CallError, Node, StopError, Timeout};
use crate::term::{ExitReason, MonitorRef, Name, Never, Pid};

type StartFn<A, R> = Arc<dyn Fn(A) -> BoxFuture<Result<R, StartError>> + Send + Sync>;

/// What makes a child: the start function, and how arguments are kept for a restart.
struct Recipe<A, R> {
    start: StartFn<A, R>,
    /// `None`: the children are temporary, and what they are started with is theirs alone.
    copy: Option<fn(&A) -> A>,
}

impl<A, R> Clone for Recipe<A, R> {
    fn clone(&self) -> Self {
        Recipe { start: self.start.clone(), copy: self.copy }
    }
}

/// The kind of a supervisor whose children are started with an `A` and answer an `R`.
pub(super) struct Dynamic<A, R> {
    recipe: Recipe<A, R>,
    args: FxHashMap<Key, A>,
}

impl<A: Send + 'static, R: Child> Kind for Dynamic<A, R> {
    type Child = A;
    type Value = R;
    type Starts = RecipeOf<A, R>;

    fn new(_: Vec<Key>, starts: RecipeOf<A, R>) -> Self {
        Dynamic { recipe: starts.0, args: FxHashMap::default() }
    }

    fn replace(&mut self, _: Vec<Key>, starts: RecipeOf<A, R>) {
        self.recipe = starts.0;
    }

    fn starts(&self, _: &[Key], _: &[Spec]) -> RecipeOf<A, R> {
        RecipeOf(self.recipe.clone())
    }

    fn start_child(&mut self, machine: &mut Machine<Self>, token: TokenOf<Self>, args: A, now: Duration) {
        let key = machine.handle_start_dynamic(token, now);
        self.args.insert(key, args);
    }

    fn start(&mut self, key: Key, wanted: bool) -> BoxFuture<Result<Up<R>, StartError>> {
        let args = match self.recipe.copy {
            Some(copy) => self.args.get(&key).map(copy),
            None => self.args.remove(&key),
        };
        let Some(args) = args else { return nothing_to_start() };
        let starting = (self.recipe.start)(args);
        Box::pin(async move {
            let child = starting.await?;
            Ok(Up { pid: child.pid(), value: wanted.then_some(child), subtree: R::SUBTREE })
        })
    }

    fn forget(&mut self, key: Key) {
        self.args.remove(&key);
    }
}

/// A future whose type says no more than that it is `Send`: the compiler cannot see that of the future itself when a
/// lifetime is among its parameters.
fn boxed<T>(future: impl Future<Output = T> + Send + 'static) -> BoxFuture<T> {
    Box::pin(future)
}

/// A recipe on its way to the supervisor.
pub struct RecipeOf<A, R>(Recipe<A, R>);

/// A name for a dynamic supervisor.
pub type DynamicSupervisorName<A, R> = Name<Order<A, R, RecipeOf<A, R>>, Never, Note>;

/// A supervisor of any number of alike children, started on demand with an argument: OTP's simple_one_for_one, Elixir's
/// `DynamicSupervisor`. A value, until it is started.
///
/// ```
/// use incarnate::supervisor::DynamicSupervisor;
/// use incarnate::{Context, CallReply, GenServer, Init, Never, Node, ReplyTo, Result};
///
/// enum Call { Name(ReplyTo<String>) }
/// struct Session(String);
///
/// impl GenServer for Session {
///     type Args = String;
///     type Call = Call;
///     type Cast = Never;
///     type Info = Never;
///     type Continue = Never;
///
///     async fn init(name: String, _: &mut Context<Self>) -> Result<Init<Self>> {
///         Ok(Init::Ready(Session(name)))
///     }
///     async fn handle_call(&mut self, Call::Name(caller): Call, _: &mut Context<Self>) -> Result<CallReply> {
///         caller.reply(self.0.clone())
///     }
/// }
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let node = Node::new("example");
/// let sessions = DynamicSupervisor::temporary("sessions", |name: String| Session::start_link(name));
/// let sessions = sessions.max_children(10_000).on(&node).start().await?;
/// let joe = sessions.start_child("joe".to_owned()).await?;
/// assert_eq!(joe.call(Call::Name).await?, "joe");
/// sessions.terminate_child(joe.pid()).await?;
/// assert_eq!(sessions.count_children().await?.active, 0);
/// # Ok(())
/// # }
/// ```
#[must_use = "nothing is started yet"]
pub struct DynamicSupervisor<A, R> {
    label: Arc<str>,
    flags: Flags,
    template: Spec,
    /// It was asked for: it does not change with the type of the children.
    shutdown: Option<Shutdown>,
    recipe: Recipe<A, R>,
    name: Option<DynamicSupervisorName<A, R>>,
    node: Option<Node>,
}

impl<A: Send + 'static, R: Child> DynamicSupervisor<A, R> {
    /// A supervisor of temporary children: they are never restarted, so what they are started with is handed to them
    /// and not kept; a socket, for instance.
    pub fn temporary<F, Fut, E>(name: impl Into<Arc<str>>, start: F) -> Self
    where
        F: Fn(A) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Result<R, E>> + Send + 'static,
        E: Into<StartError> + 'static,
    {
        let label = name.into();
        let start: StartFn<A, R> = Arc::new(move |args| {
            let starting = start(args);
            Box::pin(async move { starting.await.map_err(Into::into) })
        });
        DynamicSupervisor {
            flags: Flags::new(Strategy::SimpleOneForOne),
            template: Spec::worker(&*label).with_restart(Restart::Temporary),
            label,
            shutdown: None,
            recipe: Recipe { start, copy: None },
            name: None,
            node: None,
        }
    }

    fn with(mut self, change: impl FnOnce(Flags) -> Flags) -> Self {
        self.flags = change(self.flags);
        self
    }

    fn with_template(mut self, change: impl FnOnce(Spec) -> Spec) -> Self {
        self.template = change(self.template);
        self
    }

    /// At most so many restarts within the period, which is a whole number of seconds and at least one; 1 in 5 s by
    /// default, for all children together.
    pub fn intensity(self, restarts: u32, period: Duration) -> Self {
        self.with(|flags| flags.with_intensity(restarts, period))
    }

    /// Waits before each restart; OTP does not, and neither does this by default.
    pub fn backoff(self, backoff: Backoff) -> Self {
        self.with(|flags| flags.with_backoff(backoff))
    }

    /// At most so many children at once, those that wait for a restart included; no bound by default (Elixir's
    /// `max_children`).
    pub fn max_children(self, most: usize) -> Self {
        self.with(|flags| flags.with_max_children(most))
    }

    /// How each child is told to end; 5 s by default. When the supervisor ends, all are told at once.
    pub fn shutdown(mut self, shutdown: Shutdown) -> Self {
        self.shutdown = Some(shutdown);
        self.with_template(|spec| spec.with_shutdown(shutdown))
    }

    /// What each child is; a worker by default. A supervisor has all the time that it needs to shut down, unless
    /// [`shutdown`](Self::shutdown) says otherwise.
    pub fn child_type(self, child_type: ChildType) -> Self {
        let shutdown = self.shutdown;
        self.with_template(|spec| {
            let new = match child_type {
                ChildType::Worker => Spec::worker(spec.id().clone()),
                ChildType::Supervisor => Spec::supervisor(spec.id().clone()),
            };
            let new = new.with_restart(spec.restart());
            match shutdown {
                Some(shutdown) => new.with_shutdown(shutdown),
                None => new,
            }
        })
    }

    /// Registers the supervisor under a name while it runs.
    pub fn name(mut self, name: DynamicSupervisorName<A, R>) -> Self {
        self.name = Some(name);
        self
    }

    /// On which node; by default on that of the process whose code starts it.
    pub fn on(mut self, node: &Node) -> Self {
        self.node = Some(node.clone());
        self
    }

    /// The supervisor as data: what it will be, without pids.
    pub fn shape(&self) -> LiveTree {
        LiveTree::root(&*self.label, Strategy::SimpleOneForOne)
    }

    /// Starts the supervisor, linked to nobody.
    ///
    /// # Errors
    /// See [`StartError`].
    ///
    /// # Cancel safety
    /// Dropping the future leaves the supervisor to start on its own.
    pub async fn start(self) -> Result<DynamicSupervisorRef<A, R>, StartError> {
        boxed(self.prepare().start()).await.map(DynamicSupervisorRef::from)
    }

    /// Starts the supervisor, linked to the process whose code asks (`supervisor:start_link/2,3`).
    ///
    /// # Errors
    /// See [`StartError`].
    ///
    /// # Cancel safety
    /// As [`start`](Self::start).
    pub async fn start_link(self) -> Result<DynamicSupervisorRef<A, R>, StartError> {
        boxed(self.prepare().start_link()).await.map(DynamicSupervisorRef::from)
    }

    /// As [`start`](Self::start), and monitors the supervisor in the same step.
    ///
    /// # Errors
    /// See [`StartError`].
    ///
    /// # Cancel safety
    /// As [`start`](Self::start).
    pub async fn start_monitor(self) -> Result<(DynamicSupervisorRef<A, R>, MonitorRef), StartError> {
        let (server, monitor) = boxed(self.prepare().start_monitor()).await?;
        Ok((server.into(), monitor))
    }

    fn prepare(self) -> Start<Server<Dynamic<A, R>>> {
        let (name, node, label) = (self.name, self.node.clone(), self.label.clone());
        let mut start = Server::server(self.into_plan()).label(&*label);
        if let Some(name) = name {
            start = start.name(name);
        }
        if let Some(node) = node {
            start = start.on(&node);
        }
        start
    }

    fn into_plan(self) -> Plan<RecipeOf<A, R>> {
        Plan {
            label: self.label,
            flags: self.flags,
            specs: vec![self.template],
            starts: RecipeOf(self.recipe),
        }
    }
}

impl<A: Clone + Send + 'static, R: Child> DynamicSupervisor<A, R> {
    /// A supervisor of permanent children, OTP's default. A child is restarted with a clone of what it was started with.
    ///
    /// The name is for the eye and, when the supervisor is a child, its id; [`name`](Self::name) registers the process.
    pub fn new<F, Fut, E>(name: impl Into<Arc<str>>, start: F) -> Self
    where
        F: Fn(A) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Result<R, E>> + Send + 'static,
        E: Into<StartError> + 'static,
    {
        Self::temporary(name, start).restart(Restart::Permanent)
    }

    /// When a child is started again.
    pub fn restart(mut self, restart: Restart) -> Self {
        self.recipe.copy = (restart != Restart::Temporary).then_some(A::clone);
        self.with_template(|spec| spec.with_restart(restart))
    }
}

impl<A, R> Clone for DynamicSupervisor<A, R> {
    fn clone(&self) -> Self {
        DynamicSupervisor {
            label: self.label.clone(),
            flags: self.flags.clone(),
            template: self.template.clone(),
            shutdown: self.shutdown,
            recipe: self.recipe.clone(),
            name: self.name,
            node: self.node.clone(),
        }
    }
}

impl<A, R> fmt::Debug for DynamicSupervisor<A, R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "DynamicSupervisor({:?}, {:?})", self.label, self.template)
    }
}

/// As a child of a tree: permanent, with all the time that it needs to shut down; its id is its name.
impl<A: Send + 'static, R: Child> From<DynamicSupervisor<A, R>> for ChildSpec<DynamicSupervisorRef<A, R>> {
    fn from(supervisor: DynamicSupervisor<A, R>) -> Self {
        let (spec, shape) = (Spec::supervisor(&*supervisor.label), supervisor.shape());
        ChildSpec::of(spec, Arc::new(move || supervisor.clone().start_link()), Some(shape))
    }
}

/// A reference to one life of a dynamic supervisor. No request has a time limit, as in OTP.
///
/// # Cancel safety
/// Dropping the future of a request gives up waiting; the request may still be carried out.
pub struct DynamicSupervisorRef<A, R> {
    server: Supervising<A, R, RecipeOf<A, R>>,
}

impl<A: Send + 'static, R: Child> Child for DynamicSupervisorRef<A, R> {
    const SUBTREE: Option<Subtree> = Some(live_at::<A, R, RecipeOf<A, R>>);

    fn pid(&self) -> Pid {
        self.server.pid()
    }
}

impl<A: Send + 'static, R: Child> From<Supervising<A, R, RecipeOf<A, R>>> for DynamicSupervisorRef<A, R> {
    fn from(server: Supervising<A, R, RecipeOf<A, R>>) -> Self {
        DynamicSupervisorRef { server }
    }
}

impl<A: Send + 'static, R: Child> DynamicSupervisorRef<A, R> {
    /// Who has the name now, on the node of the process whose code asks.
    ///
    /// # Errors
    /// [`CallError::NoProc`], or [`CallError::NoNode`] outside a process.
    pub fn named(name: DynamicSupervisorName<A, R>) -> Result<Self, CallError> {
        Self::named_on(&Node::current().ok_or(CallError::NoNode)?, name)
    }

    /// Who has the name now, on this node.
    ///
    /// # Errors
    /// [`CallError::NoProc`], or [`CallError::WrongProtocol`] when another kind of process has it.
    pub fn named_on(node: &Node, name: DynamicSupervisorName<A, R>) -> Result<Self, CallError> {
        name.on(node).map(Self::from)
    }

    /// The supervisor's pid.
    pub fn pid(&self) -> Pid {
        self.server.pid()
    }

    /// The node that it lives on.
    pub fn node(&self) -> &Node {
        self.server.node()
    }

    /// Whether it lives.
    pub fn is_alive(&self) -> bool {
        self.server.is_alive()
    }

    /// Starts a child with this argument (`supervisor:start_child/2`); answers what the start function does. Starts
    /// are served one after the other, in the order in which they were asked for.
    ///
    /// # Errors
    /// See [`StartChildError`]. Nothing is kept of a child that did not start.
    pub async fn start_child(&self, args: A) -> Result<R, StartChildError> {
        let begun = ask(&self.server, |to| Ask::StartChild(args, to)).await??;
        let (_, value) = begun.ok_or(StartChildError::Ignore)?;
        value.ok_or(StartChildError::Call(CallError::BadReply))
    }

    /// Ends a child (`supervisor:terminate_child/2`). Also of a process that is dead already; a child whose restart
    /// is being tried goes by the pid that it had.
    ///
    /// # Errors
    /// See [`TerminateChildError`].
    pub async fn terminate_child(&self, pid: Pid) -> Result<(), TerminateChildError> {
        Ok(ask(&self.server, |to| Ask::TerminateChild(Which::Pid(pid), to)).await??)
    }

    /// All children, newest first (`supervisor:which_children/1`).
    ///
    /// # Errors
    /// The supervisor did not answer.
    pub async fn which_children(&self) -> Result<Vec<ChildInfo>, CallError> {
        ask(&self.server, Ask::WhichChildren).await
    }

    /// One child (`supervisor:which_child/2`, newer than OTP 25).
    ///
    /// # Errors
    /// See [`LookupError`].
    pub async fn which_child(&self, pid: Pid) -> Result<ChildInfo, LookupError> {
        Ok(ask(&self.server, |to| Ask::WhichChild(Which::Pid(pid), to)).await??)
    }

    /// How many children there are (`supervisor:count_children/1`).
    ///
    /// # Errors
    /// The supervisor did not answer.
    pub async fn count_children(&self) -> Result<Counts, CallError> {
        ask(&self.server, Ask::CountChildren).await
    }

    /// The specification that all children share (`supervisor:get_childspec/2`).
    ///
    /// # Errors
    /// See [`LookupError`].
    pub async fn get_childspec(&self, pid: Pid) -> Result<Arc<Spec>, LookupError> {
        Ok(ask(&self.server, |to| Ask::GetChildspec(Which::Pid(pid), to)).await??)
    }

    /// The supervisor and its children with pids, and the trees of those that supervise.
    ///
    /// # Errors
    /// The supervisor did not answer.
    pub async fn tree(&self) -> Result<LiveTree, CallError> {
        live(&self.server).await
    }

    /// Puts other flags and another start function in force (`code_change/3` of `supervisor`); the children that run
    /// keep running.
    ///
    /// # Errors
    /// See [`ChangeError`].
    pub async fn change(&self, supervisor: DynamicSupervisor<A, R>) -> Result<(), ChangeError> {
        let plan = Box::new(supervisor.into_plan());
        Ok(ask(&self.server, |to| Ask::Change(plan, to)).await??)
    }

    /// Ends all children at once and then the supervisor, with reason normal (`gen_server:stop/1`).
    ///
    /// # Errors
    /// As [`ServerRef::stop`](crate::ServerRef::stop).
    pub async fn stop(&self) -> Result<(), StopError> {
        self.server.stop().await
    }

    /// As [`stop`](Self::stop), with this reason and a limit (`gen_server:stop/3`).
    ///
    /// # Errors
    /// As [`ServerRef::stop_with`](crate::ServerRef::stop_with).
    pub async fn stop_with(&self, reason: ExitReason, timeout: impl Into<Timeout>) -> Result<(), StopError> {
        self.server.stop_with(reason, timeout).await
    }

    /// Waits for the end of the supervisor and answers its reason; noproc if it had ended before.
    pub async fn ended(&self) -> ExitReason {
        self.server.ended().await
    }
}

impl<A, R> Clone for DynamicSupervisorRef<A, R> {
    fn clone(&self) -> Self {
        DynamicSupervisorRef { server: self.server.clone() }
    }
}

impl<A: Send + 'static, R: Child> fmt::Debug for DynamicSupervisorRef<A, R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "DynamicSupervisorRef({})", self.pid())
    }
}
