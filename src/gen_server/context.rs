//! A server, seen from inside its callbacks.

use std::collections::VecDeque;
use std::future::Future;
use std::ops::Deref;
use std::sync::Arc;
use std::time::Duration;

use super::{AliasOf, GenServer, ServerRefOf};
use crate::process::{
    Alias, AliasMode, AnyProcess, Core, Error, Inbox, Info, Me, Message, MonitorOptions, ParkedInbox, Signal,
    Target, start_timer, unalias,
};
use crate::term::{AliasRef, MonitorRef, Pid, TimerRef};

pub(crate) type ServerMessage<S> =
    Message<<S as GenServer>::Call, <S as GenServer>::Cast, <S as GenServer>::Info>;

/// What a callback is given: everything that [`Me`] can do, and what only this kind of server can.
pub struct Context<S: GenServer> {
    me: Me,
    pub(crate) inbox: Inbox<ServerMessage<S>>,
    /// Asked for by the callback that runs; taken before any message.
    continues: VecDeque<S::Continue>,
    event: Option<Box<EventTimeout<S::Info>>>,
    timeouts: u64,
}

/// The context of a server that hibernates.
pub(super) struct ParkedContext<S: GenServer> {
    inbox: ParkedInbox<ServerMessage<S>>,
    /// The event timeout that runs, and the number of the last one.
    event: Option<Box<(EventTimeout<S::Info>, u64)>>,
}

impl<S: GenServer> ParkedContext<S> {
    pub(super) fn process(&self) -> Arc<dyn AnyProcess> {
        self.inbox.cell()
    }
}

/// A timed message that any request cancels.
struct EventTimeout<I> {
    number: u64,
    /// `None`: at once, ahead of what waits in the mailbox.
    timer: Option<TimerRef>,
    message: I,
}

impl<S: GenServer> Deref for Context<S> {
    type Target = Me;

    fn deref(&self) -> &Me {
        &self.me
    }
}

impl<S: GenServer> Context<S> {
    pub(crate) fn new(me: Me, inbox: Inbox<ServerMessage<S>>) -> Self {
        Context { me, inbox, continues: VecDeque::new(), event: None, timeouts: 0 }
    }

    /// A reference to this server, for others.
    pub fn server(&self) -> ServerRefOf<S> {
        ServerRefOf::<S>::of(self.inbox.cell().clone())
    }

    /// Has [`handle_continue`](GenServer::handle_continue) run with `continuation` as soon as this callback is done,
    /// before any message (`{continue, Term}`). What is asked for more than once runs in that order.
    pub fn continue_with(&mut self, continuation: S::Continue) {
        self.continues.push_back(continuation);
    }

    /// Sends `message` to this server after a delay (`erlang:send_after/3`).
    pub fn send_after(&self, delay: Duration, message: S::Info) -> TimerRef {
        self.server().send_after(delay, message)
    }

    /// Delivers `Info::Timer(reference, message)` to this server after a delay (`erlang:start_timer/3`).
    pub fn start_timer(&self, delay: Duration, message: S::Info) -> TimerRef {
        self.server().start_timer(delay, message)
    }

    /// Delivers `message` to `handle_info` after `delay`, unless a call, a cast or another message comes first (the
    /// `{timeout, Time, Message}` action). System messages neither cancel nor restart it. With a delay of zero it comes
    /// ahead of messages that already wait. A second one replaces the first.
    pub fn event_timeout(&mut self, delay: Duration, message: S::Info) {
        self.cancel_event();
        self.timeouts += 1;
        let number = self.timeouts;
        let timer = (!delay.is_zero()).then(|| self.start_event_timer(delay, number));
        self.event = Some(Box::new(EventTimeout { number, timer, message }));
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
    pub fn alias(&self, mode: AliasMode) -> AliasOf<S> {
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
    ) -> (MonitorRef, Option<AliasOf<S>>) {
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
    pub fn blocking<T, F>(&self, work: F) -> impl Future<Output = Result<T, Error>> + Send + use<S, T, F>
    where
        T: Send + 'static,
        F: FnOnce() -> T + Send + 'static,
    {
        let running = self.node().runtime().spawn_blocking(work);
        async move { running.await.map_err(Error::from) }
    }

    pub(super) fn take_continue(&mut self) -> Option<S::Continue> {
        self.continues.pop_front()
    }

    /// The event timeout that is due at once.
    pub(super) fn take_immediate_event(&mut self) -> Option<S::Info> {
        self.event.take_if(|event| event.timer.is_none()).map(|event| event.message)
    }

    /// The event timeout with this number, if it still stands.
    pub(super) fn take_event(&mut self, number: u64) -> Option<S::Info> {
        self.event.take_if(|event| event.number == number).map(|event| event.message)
    }

    /// A message has come: it cancels the event timeout.
    pub(super) fn cancel_event(&mut self) {
        if let Some(timer) = self.event.take().and_then(|event| event.timer) {
            self.cancel_timer(timer);
        }
    }

    /// A new number for a timeout of this server.
    pub(super) fn next_timeout(&mut self) -> u64 {
        self.timeouts += 1;
        self.timeouts
    }

    pub(super) fn start_event_timer(&self, delay: Duration, number: u64) -> TimerRef {
        let target = Arc::downgrade(self.me.process());
        start_timer(self.node(), delay, |_| {
            Box::new(move || {
                if let Some(process) = target.upgrade() {
                    process.signal(Signal::EventTimeout(number));
                }
            })
        })
    }

    /// The cell's part that every process has, without a virtual call.
    pub(super) fn core(&self) -> &Core {
        self.inbox.cell().core()
    }

    /// Gives up what can be built again.
    pub(super) fn park(self) -> ParkedContext<S> {
        let Context { inbox, event, timeouts, .. } = self;
        ParkedContext { inbox: inbox.park(), event: event.map(|event| Box::new((*event, timeouts))) }
    }

    pub(super) fn unpark(parked: ParkedContext<S>) -> Self {
        let inbox = Inbox::unpark(parked.inbox);
        let mut cx = Context::new(Me::of(inbox.cell().clone()), inbox);
        if let Some((event, timeouts)) = parked.event.map(|boxed| *boxed) {
            cx.event = Some(Box::new(event));
            cx.timeouts = timeouts;
        }
        cx
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
