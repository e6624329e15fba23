//! Plain processes: an async closure with a mailbox and selective receive.

use std::future::{Future, pending, poll_fn};
use std::ops::Deref;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use super::address::{Message, ProcessRef, ServerRef};
use super::alias::{Alias, unalias};
use super::callback::Callback;
use super::cell::{Cell, Core, Process as _};
use super::envelope::{Envelope, Timed};
use super::error::Error;
use super::inbox::Inbox;
use super::life::{Incarnation, Life, Outcome};
use super::me::{self, Me, MonitorOptions, Target};
use super::node::Node;
use super::relations::AliasMode;
use super::shell;
use super::signal::{Info, Object, Signal};
use super::system::{reaches_suspended, serve, serve_system};
use super::timer::IntervalTooShort;
use crate::term::{AliasRef, ExitReason, MonitorRef, Never, Pid, TimerRef};

type PlainMessage<M> = Message<Never, Never, M>;

/// A plain process, seen from inside: its mailbox, and all that [`Me`] can do.
///
/// Handed to the closure of `spawn`. Dropping it leaves the process without a mailbox but alive until the closure
/// returns.
pub struct Process<M: Send + 'static> {
    me: Me,
    inbox: Inbox<PlainMessage<M>>,
}

impl<M: Send + 'static> Deref for Process<M> {
    type Target = Me;

    fn deref(&self) -> &Me {
        &self.me
    }
}

/// What a process may be spawned with (`erlang:spawn_opt/2`).
#[derive(Clone, Debug, Default)]
pub struct SpawnOptions {
    bound: u32,
    monitor: MonitorOptions,
}

impl SpawnOptions {
    /// At most so many messages wait; one more is refused: a request with
    /// [`CallError::Overloaded`](super::CallError::Overloaded), a message is a dead letter. Signals are never refused. 0,
    /// the default, is no bound.
    pub fn mailbox_bound(mut self, bound: u32) -> Self {
        self.bound = bound;
        self
    }

    /// What the monitor of [`Process::spawn_monitor_with`] comes with.
    pub fn monitor(mut self, options: MonitorOptions) -> Self {
        self.monitor = options;
        self
    }
}

impl From<MonitorOptions> for SpawnOptions {
    fn from(options: MonitorOptions) -> Self {
        SpawnOptions::default().monitor(options)
    }
}

/// What the closure of a process may return: nothing, a [`Result`](super::Result) of nothing, or its exit reason.
pub trait IntoExit {
    /// The exit reason of the process.
    fn into_exit(self) -> ExitReason;
}

impl IntoExit for () {
    fn into_exit(self) -> ExitReason {
        ExitReason::Normal
    }
}

impl IntoExit for ExitReason {
    fn into_exit(self) -> ExitReason {
        self
    }
}

/// The type of an endless loop, which is what most process functions are. Rust has no name for it yet: it is what
/// such a function returns.
impl IntoExit for <fn() -> ! as Returns>::Output {
    fn into_exit(self) -> ExitReason {
        self
    }
}

/// What a function pointer returns.
#[doc(hidden)]
pub trait Returns {
    type Output;
}

impl<T> Returns for fn() -> T {
    type Output = T;
}

impl<T: IntoExit> IntoExit for Result<T, Error> {
    fn into_exit(self) -> ExitReason {
        self.map_or_else(Error::into_reason, T::into_exit)
    }
}

impl<M: Send + 'static> Process<M> {
    /// A reference to this process, for others.
    pub fn as_ref(&self) -> ProcessRef<M> {
        ServerRef::of(self.inbox.cell().clone())
    }

    /// The next message, waiting for it.
    ///
    /// # Cancel safety
    /// A message is either returned or still in the mailbox.
    pub async fn receive(&mut self) -> Info<M> {
        self.receive_where(|_| true).await
    }

    /// The next message, or `None` after `timeout` (`receive ... after`). With a timeout of zero it never waits.
    ///
    /// # Cancel safety
    /// As [`receive`](Self::receive).
    pub async fn receive_after(&mut self, timeout: Duration) -> Option<Info<M>> {
        self.receive_where_after(timeout, |_| true).await
    }

    /// The oldest message that `wanted` picks, waiting for it; the others stay in their order (selective receive).
    ///
    /// # Cancel safety
    /// As [`receive`](Self::receive).
    pub async fn receive_where(&mut self, mut wanted: impl FnMut(Info<&M>) -> bool) -> Info<M> {
        self.while_suspended().await;
        loop {
            let core_of = self.inbox.cell().clone();
            core_of.core().enter(Callback::Waiting);
            let envelope = self.inbox.next_where(|envelope| is_wanted(envelope, &mut wanted)).await;
            core_of.core().enter(Callback::Running);
            match envelope {
                Envelope::Signal(signal) => {
                    if let Some(info) = self.signal(*signal).await {
                        return info;
                    }
                }
                Envelope::Request(message, id) => {
                    self.inbox.answering(id);
                    self.inbox.answered(None);
                    return user(message);
                }
                Envelope::User(message) => return user(message),
                Envelope::Timer(timer) => match *timer {
                    Timed { timer, message: Message::Info(message), .. } => {
                        return Info::timed(timer, message);
                    }
                    Timed { message: Message::Call(never) | Message::Cast(never), .. } => match never {},
                },
            }
        }
    }

    /// As [`receive_where`](Self::receive_where), or `None` after `timeout`.
    ///
    /// # Cancel safety
    /// As [`receive`](Self::receive).
    pub async fn receive_where_after(
        &mut self,
        timeout: Duration,
        mut wanted: impl FnMut(Info<&M>) -> bool,
    ) -> Option<Info<M>> {
        self.inbox.room().await;
        if timeout.is_zero() {
            // A loop of these is no wait: it lets others run, as every loop must.
            tokio::task::coop::consume_budget().await;
        } else if let Ok(info) = tokio::time::timeout(timeout, self.receive_where(&mut wanted)).await {
            return Some(info);
        }
        // What has come by now counts as in time, also when the wait ended for another reason.
        self.inbox.refresh_budget();
        let found = {
            let mut last = pin!(self.receive_where(wanted));
            poll_fn(|cx| Poll::Ready(last.as_mut().poll(cx))).await
        };
        if let Poll::Ready(info) = found {
            return Some(info);
        }
        let me = self.me.process().clone();
        if me.core().is_doomed() {
            // The process is over; nothing after this line of its code may run.
            return pending().await;
        }
        self.while_suspended().await;
        me.core().enter(Callback::Running);
        None
    }

    async fn signal(&mut self, signal: Signal) -> Option<Info<M>> {
        match signal {
            Signal::Exit(exit) => Some(Info::Exit(exit)),
            Signal::Down(down) => Some(Info::Down(down)),
            Signal::Node { node, up } => Some(Info::of_node(node, up)),
            Signal::EventTimeout(_) | Signal::Changed => None,
            Signal::System(system, _) => {
                serve_system(system, &**self.me.process());
                self.while_suspended().await;
                None
            }
        }
    }

    /// While the process is suspended, serves system messages and its parent's exit, nothing else. A receive that was dropped meanwhile
    /// leaves it suspended: the next one goes on here.
    async fn while_suspended(&mut self) {
        while self.me.process().core().is_suspended() {
            let process = self.me.process();
            let next = self.inbox.next_where(|envelope| reaches_suspended(envelope, &**process));
            serve(next.await, &**process);
        }
    }

    /// Lets others run now and then, and goes no further once a signal has ended this process: for a loop of awaits
    /// that may never have to wait.
    pub(crate) async fn turn(&mut self) {
        self.inbox.heed().await;
        tokio::task::coop::consume_budget().await;
    }

    /// Removes a monitor and, if its DOWN is in the mailbox, that too (`demonitor(Ref, [flush])`).
    pub fn demonitor_flush(&mut self, reference: MonitorRef) -> bool {
        self.me.demonitor(reference) || !self.inbox.flush_down(reference)
    }

    /// Removes a link and, if its exit message is in the mailbox, that too.
    pub fn unlink_flush(&mut self, from: Pid) {
        self.me.unlink(from);
        self.inbox.flush(|signal| matches!(signal, Signal::Exit(exit) if exit.from == from));
    }

    /// Sends `message` to this process after a delay (`erlang:send_after/3`).
    pub fn send_after(&self, delay: Duration, message: M) -> TimerRef {
        self.as_ref().send_after(delay, message)
    }

    /// Sends `message` to this process again and again, as [`Node::send_interval`] does.
    ///
    /// # Errors
    /// As [`Node::send_interval`].
    pub fn send_interval(&self, every: Duration, message: M) -> Result<TimerRef, IntervalTooShort>
    where
        M: Clone,
    {
        self.me.node().send_interval(every, self.as_ref(), message)
    }

    /// Delivers `Info::Timer(reference, message)` to this process after a delay (`erlang:start_timer/3`).
    pub fn start_timer(&self, delay: Duration, message: M) -> TimerRef {
        self.as_ref().start_timer(delay, message)
    }

    /// An address of this process that can be taken back (`erlang:alias/1`).
    pub fn alias(&self, mode: AliasMode) -> Alias<M> {
        Alias::new(&self.as_ref(), mode)
    }

    /// Takes an alias back; false: it was not there any more (`erlang:unalias/1`).
    pub fn unalias(&self, alias: AliasRef) -> bool {
        unalias(&**self.me.process(), alias)
    }

    /// A monitor with an alias that lives as `mode` says (`{alias, Mode}` of `erlang:monitor/3`).
    pub fn monitor_alias(&self, target: impl Target, mode: AliasMode) -> (MonitorRef, Alias<M>) {
        let (monitor, alias) = self.monitor_with(target, MonitorOptions::default().alias(mode));
        (monitor, alias.unwrap_or_else(|| self.alias(mode)))
    }

    /// A monitor with what `options` ask for, and the alias if they ask for one (`erlang:monitor/3`).
    pub fn monitor_with(
        &self,
        target: impl Target,
        options: MonitorOptions,
    ) -> (MonitorRef, Option<Alias<M>>) {
        let (monitor, alias) = self.me.monitor_with(target, options);
        (monitor, alias.map(|alias| Alias::of(&self.as_ref(), alias)))
    }

    /// Spawns a process and monitors it in one step, with what `options` ask for (`{monitor, Options}` of
    /// `erlang:spawn_opt/2`): [`MonitorOptions`], or [`SpawnOptions`] with such.
    pub fn spawn_monitor_with<N, F, Fut>(
        &self,
        options: impl Into<SpawnOptions>,
        code: F,
    ) -> (ProcessRef<N>, MonitorRef, Option<Alias<M>>)
    where
        N: Send + 'static,
        F: FnOnce(Process<N>) -> Fut + Send + 'static,
        Fut: Future<Output: IntoExit> + Send + 'static,
    {
        let (process, monitor, alias) = self.me.spawn_monitored(options.into(), code);
        (process, monitor, alias.map(|alias| Alias::of(&self.as_ref(), alias)))
    }
}

fn user<M>(message: PlainMessage<M>) -> Info<M> {
    match message {
        Message::Info(message) => Info::User(message),
        Message::Call(never) | Message::Cast(never) => match never {},
    }
}

fn is_wanted<M>(envelope: &Envelope<PlainMessage<M>>, wanted: &mut impl FnMut(Info<&M>) -> bool) -> bool {
    match envelope {
        Envelope::User(Message::Info(message)) | Envelope::Request(Message::Info(message), _) => {
            wanted(Info::User(message))
        }
        Envelope::Timer(timer) => match &**timer {
            Timed { timer, message: Message::Info(message), .. } => wanted(Info::timed(*timer, message)),
            Timed { message: Message::Call(never) | Message::Cast(never), .. } => match *never {},
        },
        Envelope::Signal(signal) => match &**signal {
            Signal::Exit(exit) => wanted(Info::Exit(exit.clone())),
            Signal::Down(down) => wanted(Info::Down(down.clone())),
            Signal::Node { node, up } => wanted(Info::of_node(*node, *up)),
            // Served whatever the process waits for.
            Signal::System(..) | Signal::EventTimeout(_) | Signal::Changed => true,
        },
        Envelope::User(Message::Call(never) | Message::Cast(never))
        | Envelope::Request(Message::Call(never) | Message::Cast(never), _) => match *never {},
    }
}

/// A process function before it runs.
struct Plain<M: Send + 'static, F> {
    process: Process<M>,
    code: F,
}

impl<M, F, Fut> Incarnation for Plain<M, F>
where
    M: Send + 'static,
    F: FnOnce(Process<M>) -> Fut + Send + 'static,
    Fut: Future<Output: IntoExit> + Send + 'static,
{
    fn process(&self) -> Arc<dyn super::cell::Process> {
        self.process.me.process().clone()
    }

    fn run(self: Box<Self>) -> Pin<Box<dyn Future<Output = Outcome> + Send>> {
        let Plain { process, code } = *self;
        Box::pin(async move { Outcome::Exit(code(process).await.into_exit()) })
    }
}

/// Spawns a process; `tie` ties it to its parent before it runs, so that there is no moment in which it can end
/// unseen.
pub(crate) fn spawn<M, F, Fut, T>(
    node: &Node,
    parent: Option<&Me>,
    options: &SpawnOptions,
    tie: impl FnOnce(&Arc<dyn super::cell::Process>) -> T,
    code: F,
) -> (ProcessRef<M>, T)
where
    M: Send + 'static,
    F: FnOnce(Process<M>) -> Fut + Send + 'static,
    Fut: Future<Output: IntoExit> + Send + 'static,
{
    let core = Core::new(node.clone(), parent.map(Me::process), std::any::type_name::<F>);
    let cell = Arc::new(Cell::new(core, options.bound));
    node.table().insert(cell.clone());
    let process: Arc<dyn super::cell::Process> = cell.clone();
    let tied = tie(&process);
    let inside = Process { me: Me::of(process.clone()), inbox: Inbox::new(cell.clone()) };
    shell::start(node, Life::new(process, Box::new(Plain { process: inside, code })));
    (ServerRef::of(cell), tied)
}

impl Node {
    /// Spawns a process that nobody is linked to (`erlang:spawn/1`). Never waits.
    pub fn spawn<M, F, Fut>(&self, code: F) -> ProcessRef<M>
    where
        M: Send + 'static,
        F: FnOnce(Process<M>) -> Fut + Send + 'static,
        Fut: Future<Output: IntoExit> + Send + 'static,
    {
        self.spawn_with(SpawnOptions::default(), code)
    }

    /// As [`spawn`](Self::spawn), with what `options` ask for (`erlang:spawn_opt/2`).
    pub fn spawn_with<M, F, Fut>(&self, options: SpawnOptions, code: F) -> ProcessRef<M>
    where
        M: Send + 'static,
        F: FnOnce(Process<M>) -> Fut + Send + 'static,
        Fut: Future<Output: IntoExit> + Send + 'static,
    {
        spawn(self, Me::current().as_ref(), &options, |_| (), code).0
    }
}

impl Me {
    /// Spawns a process (`erlang:spawn/1`). Never waits.
    pub fn spawn<M, F, Fut>(&self, code: F) -> ProcessRef<M>
    where
        M: Send + 'static,
        F: FnOnce(Process<M>) -> Fut + Send + 'static,
        Fut: Future<Output: IntoExit> + Send + 'static,
    {
        self.spawn_with(SpawnOptions::default(), code)
    }

    /// As [`spawn`](Self::spawn), with what `options` ask for (`erlang:spawn_opt/2`).
    pub fn spawn_with<M, F, Fut>(&self, options: SpawnOptions, code: F) -> ProcessRef<M>
    where
        M: Send + 'static,
        F: FnOnce(Process<M>) -> Fut + Send + 'static,
        Fut: Future<Output: IntoExit> + Send + 'static,
    {
        spawn(self.node(), Some(self), &options, |_| (), code).0
    }

    /// Spawns a process and links to it in one step (`erlang:spawn_link/1`).
    pub fn spawn_link<M, F, Fut>(&self, code: F) -> ProcessRef<M>
    where
        M: Send + 'static,
        F: FnOnce(Process<M>) -> Fut + Send + 'static,
        Fut: Future<Output: IntoExit> + Send + 'static,
    {
        self.spawn_link_with(SpawnOptions::default(), code)
    }

    /// As [`spawn_link`](Self::spawn_link), with what `options` ask for (`link` of `erlang:spawn_opt/2`).
    pub fn spawn_link_with<M, F, Fut>(&self, options: SpawnOptions, code: F) -> ProcessRef<M>
    where
        M: Send + 'static,
        F: FnOnce(Process<M>) -> Fut + Send + 'static,
        Fut: Future<Output: IntoExit> + Send + 'static,
    {
        let tie = |child: &_| me::link_child(self.process(), child);
        spawn(self.node(), Some(self), &options, tie, code).0
    }

    /// Spawns a process and monitors it in one step (`erlang:spawn_monitor/1`).
    pub fn spawn_monitor<M, F, Fut>(&self, code: F) -> (ProcessRef<M>, MonitorRef)
    where
        M: Send + 'static,
        F: FnOnce(Process<M>) -> Fut + Send + 'static,
        Fut: Future<Output: IntoExit> + Send + 'static,
    {
        let (process, monitor, _) = self.spawn_monitored(SpawnOptions::default(), code);
        (process, monitor)
    }

    fn spawn_monitored<M, F, Fut>(
        &self,
        mut options: SpawnOptions,
        code: F,
    ) -> (ProcessRef<M>, MonitorRef, Option<AliasRef>)
    where
        M: Send + 'static,
        F: FnOnce(Process<M>) -> Fut + Send + 'static,
        Fut: Future<Output: IntoExit> + Send + 'static,
    {
        let watch = std::mem::take(&mut options.monitor);
        let monitor = |child: &Arc<dyn super::cell::Process>| {
            let object = Object::Pid(child.core().pid());
            me::monitor(self.process(), Some(child.clone()), object, watch)
        };
        let (process, (monitor, alias)) = spawn(self.node(), Some(self), &options, monitor, code);
        (process, monitor, alias)
    }
}
