//! A server, seen from inside its callbacks.

use std::collections::VecDeque;
use std::future::Future;
use std::ops::{Deref, DerefMut};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context as TaskContext, Poll};
use std::time::Duration;

use super::GenServer;
use super::code::{Carried, CarriedOf};
use super::flow::Step;
use super::server::Extras;
use super::source::{Source, SourceRef, Sourced};
use super::start::Starter;
use crate::process::{
    Alias, AliasMode, AnyProcess, Core, Envelope, Error, FAIRNESS, Inbox, Info, Me, Message, MonitorOptions,
    ParkedInbox, ServerRef, Signal, Target, start_timer_for, unalias,
};
use crate::term::{AliasRef, MonitorRef, Pid, TimerRef};

pub(crate) type ServerMessage<S> =
    Message<<S as GenServer>::Call, <S as GenServer>::Cast, <S as GenServer>::Info>;

/// What a server of these messages can do as itself: everything that [`Me`] can, and what needs its mailbox.
pub struct ServerMe<Call: Send + 'static, Cast: Send + 'static, Info: Send + 'static> {
    me: Me,
    pub(crate) inbox: Inbox<Message<Call, Cast, Info>>,
    rare: Option<Box<Rare<Info>>>,
}

/// What few servers have, and few for long.
struct Rare<I> {
    /// Who waits for the start, until it is acknowledged.
    starting: Option<Starter>,
    /// Futures that are polled along with the mailbox.
    attached: Vec<Attached<I>>,
    /// How many of them were ready in a row.
    row: u32,
}

type Attached<I> = Pin<Box<dyn Future<Output = I> + Send>>;

impl<I> Default for Rare<I> {
    fn default() -> Self {
        Rare { starting: None, attached: Vec::new(), row: 0 }
    }
}

type ServerMeOf<S> = ServerMe<<S as GenServer>::Call, <S as GenServer>::Cast, <S as GenServer>::Info>;

/// What a callback is given: everything that [`ServerMe`] can do, and what only gen_server does.
pub struct Context<S: GenServer> {
    me: ServerMeOf<S>,
    /// Asked for by the callback that runs; taken before any message.
    #[expect(clippy::box_collection, reason = "one word instead of four in every server; rarely used")]
    continues: Option<Box<VecDeque<S::Continue>>>,
    event: Option<Box<EventTimeout<S::Info>>>,
}

/// The context of a server that hibernates.
pub(super) struct ParkedContext<S: GenServer> {
    inbox: ParkedInbox<ServerMessage<S>>,
    event: Option<Box<EventTimeout<S::Info>>>,
}

impl<S: GenServer> ParkedContext<S> {
    pub(super) fn process(&self) -> Arc<dyn AnyProcess> {
        self.inbox.cell()
    }
}

/// A timed message that any request cancels.
pub(super) struct EventTimeout<I> {
    number: u64,
    /// `None`: at once, ahead of what waits in the mailbox.
    timer: Option<TimerRef>,
    message: I,
}

impl<S: GenServer> Deref for Context<S> {
    type Target = ServerMeOf<S>;

    fn deref(&self) -> &ServerMeOf<S> {
        &self.me
    }
}

impl<S: GenServer> DerefMut for Context<S> {
    fn deref_mut(&mut self) -> &mut ServerMeOf<S> {
        &mut self.me
    }
}

impl<C: Send + 'static, K: Send + 'static, I: Send + 'static> Deref for ServerMe<C, K, I> {
    type Target = Me;

    fn deref(&self) -> &Me {
        &self.me
    }
}

impl<C: Send + 'static, K: Send + 'static, I: Send + 'static> ServerMe<C, K, I> {
    /// Has the start return now, before `init` is done (`proc_lib:init_ack/1` of a process that then enters the loop).
    ///
    /// From here on the start cannot fail: when `init` then stops, is ignored, returns an error or crashes, the process
    /// ends with that reason, as any other, and `terminate` is not called. A second time, and
    /// in any other callback, it does nothing.
    pub fn init_ack(&mut self) {
        if let Some(starter) = self.take_starter() {
            self.inbox.answered(Some(starter.id));
            starter.acknowledge(self.me.process());
        }
    }

    /// The start has failed; `None`: it had been acknowledged, and nobody waits any more.
    pub(super) fn refuse(&mut self) -> Option<Starter> {
        let starter = self.take_starter()?;
        self.inbox.answered(Some(starter.id));
        Some(starter)
    }

    fn take_starter(&mut self) -> Option<Starter> {
        let rare = self.rare.as_mut()?;
        let starter = rare.starting.take();
        if rare.attached.is_empty() {
            self.rare = None;
        }
        starter
    }

    /// Has a future run along with this server, in its own task: what it comes to is a message, taken when nothing waits in
    /// the mailbox. `cx.attach(async move { Read(socket.readable().await) })` is `{active, once}` without a process in between.
    ///
    /// It is polled while the server waits, not while a callback runs or the server is suspended, and dropped with the server.
    /// Meanwhile the server does not hibernate. A panic in it is the server's.
    pub fn attach(&mut self, future: impl Future<Output = I> + Send + 'static) {
        self.rare.get_or_insert_default().attached.push(Box::pin(future));
    }

    /// Whether something runs along.
    pub(super) fn has_attached(&self) -> bool {
        self.rare.as_ref().is_some_and(|rare| !rare.attached.is_empty())
    }

    /// What one of the futures that run along has come to. After as many in a row as of messages others run.
    pub(super) fn poll_attached(&mut self, cx: &mut TaskContext<'_>) -> Poll<I> {
        let Some(rare) = &mut self.rare else { return Poll::Pending };
        // Not while a batch waits for its turn, and nothing of a process that an exit signal has ended.
        if !self.inbox.is_drained() {
            return Poll::Pending;
        }
        for at in 0..rare.attached.len() {
            if rare.row >= FAIRNESS {
                rare.row = 0;
                cx.waker().wake_by_ref();
                return Poll::Pending;
            }
            if let Poll::Ready(message) = rare.attached[at].as_mut().poll(cx) {
                rare.row += 1;
                drop(rare.attached.swap_remove(at));
                return Poll::Ready(message);
            }
        }
        rare.row = 0;
        Poll::Pending
    }

    /// Has a stream of items come to this server as messages, each when it is asked for: see [`SourceRef`].
    ///
    /// `message` makes a message of what comes. The source is read in a process of its own that is linked to this
    /// one and ends with it, and that reads nothing before it is asked to.
    pub fn source<T: Source>(
        &self,
        source: T,
        message: impl FnMut(Sourced<T::Item>) -> I + Send + 'static,
    ) -> SourceRef {
        SourceRef::start(&self.me, self.inbox.cell().clone(), source, message)
    }

    /// A reference to this server, for others.
    pub fn server(&self) -> ServerRef<C, K, I> {
        ServerRef::of(self.inbox.cell().clone())
    }

    /// Sends `message` to this server after a delay (`erlang:send_after/3`).
    pub fn send_after(&self, delay: Duration, message: I) -> TimerRef {
        self.server().send_after(delay, message)
    }

    /// Delivers `Info::Timer(reference, message)` to this server after a delay (`erlang:start_timer/3`).
    pub fn start_timer(&self, delay: Duration, message: I) -> TimerRef {
        self.server().start_timer(delay, message)
    }

    /// Removes a monitor and, if its DOWN is in the mailbox, that too (`demonitor(Ref, [flush])`). True: nothing had
    /// come, and nothing will.
    pub fn demonitor_flush(&mut self, reference: MonitorRef) -> bool {
        self.me.demonitor(reference) || !self.inbox.flush_down(reference)
    }

    /// Removes a link and, if its exit message is in the mailbox, that too.
    pub fn unlink_flush(&mut self, from: Pid) {
        self.me.unlink(from);
        self.inbox.flush(|signal| matches!(signal, Signal::Exit(exit) if exit.from == from));
    }

    /// An address of this server that can be taken back (`erlang:alias/1`).
    pub fn alias(&self, mode: AliasMode) -> Alias<I, C, K> {
        Alias::new(&self.server(), mode)
    }

    /// Takes an alias back; false: it was not there any more (`erlang:unalias/1`).
    pub fn unalias(&self, alias: AliasRef) -> bool {
        unalias(&**self.me.process(), alias)
    }

    /// A monitor with what `options` ask for, and the alias if they ask for one (`erlang:monitor/3`).
    pub fn monitor_with(
        &self,
        target: impl Target,
        options: MonitorOptions,
    ) -> (MonitorRef, Option<Alias<I, C, K>>) {
        let (monitor, alias) = self.me.monitor_with(target, options);
        (monitor, alias.map(|alias| Alias::of(&self.server(), alias)))
    }

    /// Runs work that would hold the thread on a thread made for it, and waits for it.
    ///
    /// # Errors
    /// The work panicked, or the runtime shuts down.
    ///
    /// # Cancel safety
    /// A server that is ended meanwhile leaves the work to run to its end, unheard.
    pub fn blocking<T, F>(
        &self,
        work: F,
    ) -> impl Future<Output = Result<T, Error>> + Send + use<C, K, I, T, F>
    where
        T: Send + 'static,
        F: FnOnce() -> T + Send + 'static,
    {
        let running = self.node().runtime().spawn_blocking(work);
        async move { running.await.map_err(Error::from) }
    }

    /// A number for a timeout that no other one has had.
    pub(super) fn next_timeout(&self) -> u64 {
        self.node().next_reference()
    }

    pub(crate) fn start_event_timer(&self, delay: Duration, number: u64) -> TimerRef {
        let target = Arc::downgrade(self.me.process());
        start_timer_for(self.me.process(), delay, |_| {
            Box::new(move || {
                if let Some(process) = target.upgrade() {
                    process.signal(Signal::EventTimeout(number));
                }
            })
        })
    }

    /// The cell's part that every process has, without a virtual call.
    pub(crate) fn core(&self) -> &Core {
        self.inbox.cell().core()
    }
}

impl<S: GenServer> Context<S> {
    pub(super) fn new(me: Me, mut inbox: Inbox<ServerMessage<S>>, starter: Starter) -> Self {
        // If it ends before it has acknowledged, the starter is told as any caller is.
        inbox.answering(starter.id);
        let rare = Rare { starting: Some(starter), ..Rare::default() };
        let me = ServerMe { me, inbox, rare: Some(Box::new(rare)) };
        Context { me, continues: None, event: None }
    }

    /// Has [`handle_continue`](GenServer::handle_continue) run with `continuation` as soon as this callback is done,
    /// before any message (`{continue, Term}`). What is asked for more than once runs in that order.
    pub fn continue_with(&mut self, continuation: S::Continue) {
        self.continues.get_or_insert_default().push_back(continuation);
    }

    /// Delivers `message` to `handle_info` after `delay`, unless a call, a cast or another message comes first (the
    /// `{timeout, Time, Message}` action). System messages neither cancel nor restart it. With a delay of zero it comes
    /// ahead of messages that already wait. A second one replaces the first.
    pub fn event_timeout(&mut self, delay: Duration, message: S::Info) {
        self.cancel_event();
        let number = self.next_timeout();
        let timer = (!delay.is_zero()).then(|| self.start_event_timer(delay, number));
        self.event = Some(Box::new(EventTimeout { number, timer, message }));
    }

    pub(super) fn has_continue(&self) -> bool {
        self.continues.as_ref().is_some_and(|continues| !continues.is_empty())
    }

    pub(super) fn take_continue(&mut self) -> Option<S::Continue> {
        self.continues.as_mut()?.pop_front()
    }

    /// Whether an event timeout stands.
    pub(super) fn has_event(&self) -> bool {
        self.event.is_some()
    }

    /// Whether an event timeout is due at once.
    pub(super) fn is_event_due(&self) -> bool {
        self.event.as_ref().is_some_and(|event| event.timer.is_none())
    }

    /// The event timeout that is due at once.
    pub(super) fn take_immediate_event(&mut self) -> Option<S::Info> {
        self.event.take_if(|event| event.timer.is_none()).map(|event| event.message)
    }

    /// The event timeout with this number, if it still stands.
    pub(super) fn take_event(&mut self, number: u64) -> Option<S::Info> {
        self.event.take_if(|event| event.number == number).map(|event| event.message)
    }

    /// Has `change` make something else of the message of an event timeout; false: it made nothing, and there is none now.
    pub(super) fn revise_event(&mut self, change: impl FnOnce(S::Info) -> Option<S::Info>) -> bool {
        let Some(event) = self.event.take() else { return true };
        let EventTimeout { number, timer, message } = *event;
        match change(message) {
            Some(message) => self.event = Some(Box::new(EventTimeout { number, timer, message })),
            None => _ = timer.map(|timer| self.cancel_timer(timer)),
        }
        self.event.is_some()
    }

    /// A message has come: it cancels the event timeout.
    pub(super) fn cancel_event(&mut self) {
        if let Some(timer) = self.event.take().and_then(|event| event.timer) {
            self.cancel_timer(timer);
        }
    }

    /// The next message, if it is a cast that can be served within the callback that runs, as if that had ended: for a
    /// server that makes something dear for each.
    pub(crate) fn next_cast(&mut self) -> Option<S::Cast> {
        let is_cast = |entry: &_| matches!(entry, Envelope::User(Message::Cast(_)));
        match self.inbox.next_if(is_cast)? {
            Envelope::User(Message::Cast(cast)) => {
                self.cancel_event();
                Some(cast)
            }
            _ => None,
        }
    }

    /// What stays when another incarnation goes on.
    pub(super) fn carry(self, step: Step, extras: Option<Box<Extras>>) -> CarriedOf<S> {
        let Context { me, event, .. } = self;
        Carried { me, event, step, extras }
    }

    pub(super) fn of(me: ServerMeOf<S>, event: Option<Box<EventTimeout<S::Info>>>) -> Self {
        Context { me, continues: None, event }
    }

    /// Gives up what can be built again.
    pub(super) fn park(self) -> ParkedContext<S> {
        let Context { me, event, .. } = self;
        ParkedContext { inbox: me.inbox.park(), event }
    }

    pub(super) fn unpark(parked: ParkedContext<S>) -> Self {
        let inbox = Inbox::unpark(parked.inbox);
        let me = Me::of(inbox.cell().clone());
        Context::of(ServerMe { me, inbox, rare: None }, parked.event)
    }

    pub(super) fn undefined(&self, callback: &str) -> Error {
        Error::msg(format!("undef: {} has no {callback}", std::any::type_name::<S>()))
    }

    pub(super) fn unhandled(&self, info: &Info<S::Info>) {
        tracing::warn!(
            target: "incarnate::gen_server",
            pid = %self.pid(),
            server = std::any::type_name::<S>(),
            kind = info.kind(),
            "handle_info is not defined, the message was dropped"
        );
    }
}
