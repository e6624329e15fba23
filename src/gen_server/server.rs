//! The generic half: the loop that takes messages and calls the specific half.

use std::any::Any;
use std::future::{Future, poll_fn};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context as TaskContext, Poll};
use std::time::Duration;

use super::code::{Carried, CarriedOf, Hooks, InstallOf, Resumed, shape_of};
use super::context::{Context, ParkedContext, ServerMessage};
use super::engine::Kept;
use super::flow::{Next, Step};
use super::{CallReply, GenServer, Status, StatusView};
use crate::handoff::{Capsule, ChangeError};
use crate::process::debug::{EventKind, Seen};
use crate::process::{
    AnyProcess, Callback, CodeId, Core, Envelope, Error, Failure, Incarnation, Info, Message, Outcome,
    Result, Shape, Signal, SlotId, System, Timed, catch, drop_caught, fail,
};
use crate::term::{ExitReason, TimerRef};

const ANOTHER_VERSION: &str = "message of another version";
const NOT_UPGRADABLE: &str = "the server was not started as upgradable";

/// A server that runs: its state and what it waits for.
pub(crate) struct Server<S: GenServer> {
    state: S,
    cx: Context<S>,
    step: Step,
    /// The integer timeout that runs.
    timeout: Option<(u64, TimerRef)>,
    extras: Option<Box<Extras>>,
    /// What it has if it can be changed while it runs.
    hooks: Option<&'static Hooks<S>>,
}

/// What few servers are started with.
#[derive(Default)]
pub(super) struct Extras {
    pub(super) hibernate_after: Option<Duration>,
    /// A name in a registry of the user's own: given up by its drop.
    pub(super) registration: Option<Box<dyn Any + Send>>,
    /// It has taken over from another incarnation and was not resumed yet.
    pub(super) resumed: Option<Resumed>,
    /// Who waits for that.
    told: Option<Told>,
    /// What its behaviour has kept with the process meanwhile.
    kept: Option<Kept>,
    /// What it has taken over came for this version, and was not looked at yet.
    pub(super) former: Option<u32>,
}

/// A server that hibernates: its state, its mailbox, and what else only few have.
struct Parked<S: GenServer> {
    state: S,
    parked: ParkedContext<S>,
    extras: Option<Box<Extras>>,
    hooks: Option<&'static Hooks<S>>,
}

/// What is to be done next, if it is no call and no cast.
enum Event<S: GenServer> {
    Info(Info<S::Info>),
    System(System),
    Leave(Leave<S>),
}

/// Why the loop was left.
enum Leave<S: GenServer> {
    Stop(ExitReason),
    /// There is nothing to do, and no time to be kept.
    Rest,
    /// It hibernates.
    Park,
    /// Another incarnation goes on, and says when it does.
    Become(InstallOf<S>, Told),
}

/// Tells that a process goes on, or has ended instead: when it is dropped.
pub(super) struct Told(Option<Box<dyn FnOnce() + Send>>);

impl Drop for Told {
    fn drop(&mut self) {
        if let Some(tell) = self.0.take() {
            tell();
        }
    }
}

impl<S: GenServer> Incarnation for Server<S> {
    fn process(&self) -> Arc<dyn AnyProcess> {
        self.cx.process().clone()
    }

    fn is_at_rest(&self) -> bool {
        self.waits_for_a_message() && !self.has_taken_over() && self.cx.inbox.has_no_batch()
    }

    fn run(self: Box<Self>) -> Pin<Box<dyn Future<Output = Outcome> + Send>> {
        (*self).serve()
    }
}

impl<S: GenServer> Incarnation for Parked<S> {
    fn process(&self) -> Arc<dyn AnyProcess> {
        self.parked.process()
    }

    fn run(self: Box<Self>) -> Pin<Box<dyn Future<Output = Outcome> + Send>> {
        let Parked { state, parked, extras, hooks } = *self;
        let cx = Context::unpark(parked);
        // It hibernates until a message of its own comes: a system message lets it go back.
        Server::new(state, cx, Step::Hibernate, extras, hooks).serve()
    }
}

impl<S: GenServer> Server<S> {
    pub(super) fn new(
        state: S,
        cx: Context<S>,
        step: Step,
        extras: Option<Box<Extras>>,
        hooks: Option<&'static Hooks<S>>,
    ) -> Self {
        Server { state, cx, step, timeout: None, extras, hooks }
    }

    /// Goes on with what another incarnation had, suspended as it was.
    pub(super) fn go_on(
        state: S,
        carried: CarriedOf<S>,
        hooks: Option<&'static Hooks<S>>,
    ) -> Box<dyn Incarnation> {
        let Carried { me, event, step, extras } = carried;
        Box::new(Server::new(state, Context::of(me, event), step, extras, hooks))
    }

    fn serve(mut self) -> Pin<Box<dyn Future<Output = Outcome> + Send>> {
        Box::pin(async move {
            // One net for the whole life: a panic leaves the state here, so that terminate can still run.
            let leave = catch(pin!(self.serve_until())).await;
            let reason = match leave {
                Ok(Leave::Rest) => return Outcome::Rest(Box::new(self)),
                Ok(Leave::Park) => {
                    let Server { state, cx, extras, hooks, .. } = self;
                    return Outcome::Park(Box::new(Parked { state, parked: cx.park(), extras, hooks }));
                }
                Ok(Leave::Become(install, told)) => {
                    let Server { mut state, cx, step, mut extras, .. } = self;
                    // Who was suspended by hand goes on when it is resumed by hand.
                    let told = Some(told).filter(|_| !cx.core().is_suspended());
                    let extras_now = extras.get_or_insert_default();
                    extras_now.told = told;
                    extras_now.kept = S::ENGINE.map(|engine| (engine.leave)(&mut state));
                    let next = install(cx.carry(step, extras));
                    drop_caught(state);
                    return Outcome::Become(next);
                }
                Ok(Leave::Stop(reason)) => reason,
                Err(panic) => ExitReason::panic(&*panic),
            };
            // The signal was first: terminate never runs for one that is not trapped (rule 2.1 T5, T6, T9).
            self.cx.inbox.heed().await;
            Outcome::Exit(self.terminate(reason).await)
        })
    }

    /// Takes one thing after another: a continue, a due timeout, or the next message.
    ///
    /// One function, so that the awaits of the different callbacks share their room in the future.
    async fn serve_until(&mut self) -> Leave<S> {
        if let Some(leave) = self.resume().await {
            return leave;
        }
        'messages: loop {
            let next = 'next: {
                // Continues come before any message (rule 2.7.1).
                if self.cx.has_continue() {
                    self.cx.inbox.turn().await;
                    let Some(continuation) = self.cx.take_continue() else { continue 'messages };
                    if S::ENGINE.is_none() {
                        self.saw(EventKind::Continue, &continuation);
                    }
                    self.step = Step::Wait;
                    self.enter(Callback::HandleContinue);
                    break 'next self.state.handle_continue(continuation, &mut self.cx).await;
                }
                if self.gives_itself_work() {
                    self.cx.inbox.turn().await;
                }
                // Straight from the mailbox to the callback: each enum between would be written and read once more. What
                // was looked at is gone before a callback is awaited, which would keep room for it.
                let event = if let Some(event) = self.due() {
                    Some(event)
                } else {
                    let entry = 'rarer: {
                        let handling = match self.next_entry().await {
                            Some(Envelope::User(Message::Cast(cast))) => self.begin_cast(cast),
                            entry => break 'rarer entry,
                        };
                        break 'next handling.await;
                    };
                    let entry = 'rarer: {
                        let handling = match entry {
                            Some(Envelope::Request(Message::Call(call), request)) => {
                                self.begin_call(call, request)
                            }
                            entry => break 'rarer entry,
                        };
                        let reply = handling.await;
                        if let Ok(reply) = &reply {
                            self.cx.inbox.answered(reply.answered);
                        }
                        break 'next reply.map(|reply| reply.next);
                    };
                    match entry {
                        Some(entry) => self.sort(entry),
                        None => self.cx.inbox.is_empty().then_some(Event::Leave(Leave::Park)),
                    }
                };
                match event {
                    Some(Event::Info(info)) => {
                        self.enter(Callback::HandleInfo);
                        let next = self.state.handle_info(info, &mut self.cx).await;
                        self.cx.inbox.answered(None);
                        next
                    }
                    Some(Event::System(system)) => match Box::pin(self.system(system)).await {
                        Some(leave) => return leave,
                        None => continue 'messages,
                    },
                    Some(Event::Leave(leave)) => return leave,
                    None => continue 'messages,
                }
            };
            if let Some(leave) = self.went_on(next) {
                return leave;
            }
        }
    }

    #[inline(always)]
    fn begin_cast(&mut self, cast: S::Cast) -> impl Future<Output = Result<Next>> + Send {
        self.message_came();
        self.enter(Callback::HandleCast);
        self.state.handle_cast(cast, &mut self.cx)
    }

    #[inline(always)]
    fn begin_call(
        &mut self,
        call: S::Call,
        request: SlotId,
    ) -> impl Future<Output = Result<CallReply>> + Send {
        self.cx.inbox.answering(request);
        self.message_came();
        self.enter(Callback::HandleCall);
        self.state.handle_call(call, &mut self.cx)
    }

    /// A callback has ended.
    #[inline(always)]
    fn went_on(&mut self, next: Result<Next>) -> Option<Leave<S>> {
        match next {
            // As before each callback.
            Ok(Next { step: Step::Wait }) => {}
            Ok(Next { step: Step::Stop(reason) }) => return Some(Leave::Stop(reason)),
            Ok(next) => self.step = next.step,
            Err(error) => return Some(Leave::Stop(error.into_reason())),
        }
        // All that debugging costs a server that nobody debugs: the inbox has looked at this byte already.
        if self.cx.core().is_debugged() {
            self.cx.core().saw_done();
        }
        None
    }

    /// Before the first message: it hibernated suspended, or has taken over from another incarnation.
    async fn resume(&mut self) -> Option<Leave<S>> {
        if self.has_taken_over() {
            Box::pin(self.upcast_waiting()).await;
        } else if !self.cx.core().is_suspended() {
            return None;
        }
        Box::pin(self.suspended()).await
    }

    /// What is to be done although nothing may have come.
    fn due(&mut self) -> Option<Event<S>> {
        if let Some(message) = self.cx.take_immediate_event() {
            self.saw(EventKind::Timeout, &message);
            self.message_came();
            return Some(Event::Info(Info::User(message)));
        }
        self.prepare_wait()
    }

    /// The next entry of the mailbox, waiting for it as the last callback asked to. `None`: it has waited so long that it
    /// hibernates, unless something came in the last moment.
    async fn next_entry(&mut self) -> Option<Envelope<ServerMessage<S>>> {
        // Boxed: it is large, and few servers ask for it.
        let mut idle = self.idle().map(|after| Box::pin(tokio::time::sleep(after)));
        poll_fn(|cx| match (self.cx.inbox.poll_next(cx), &mut idle) {
            (Poll::Ready(entry), _) => Poll::Ready(Some(entry)),
            (Poll::Pending, _) if self.cx.has_attached() => self.poll_attached(cx),
            (Poll::Pending, Some(idle)) => idle.as_mut().poll(cx).map(|()| None),
            (Poll::Pending, None) => Poll::Pending,
        })
        .await
    }

    /// Nothing waits: what runs along with the server may have come to something.
    #[cold]
    fn poll_attached(&mut self, cx: &mut TaskContext<'_>) -> Poll<Option<Envelope<ServerMessage<S>>>> {
        self.cx.poll_attached(cx).map(|info| {
            self.saw(EventKind::Info, &info);
            Some(Envelope::User(Message::Info(info)))
        })
    }

    /// Whether the next thing to do may come from no mailbox.
    fn gives_itself_work(&self) -> bool {
        self.step == Step::Timeout(Duration::ZERO) || self.cx.is_event_due()
    }

    /// After how long it hibernates by itself: as in OTP, only while it waits without a limit.
    fn idle(&self) -> Option<Duration> {
        let after = self.extras.as_ref()?.hibernate_after?;
        (self.step == Step::Wait && !self.cx.has_attached()).then_some(after)
    }

    /// Before a wait: what the last callback asked for.
    fn prepare_wait(&mut self) -> Option<Event<S>> {
        match self.step {
            Step::Wait | Step::Stop(_) => {}
            Step::Hibernate if self.cx.inbox.is_empty() && !self.cx.has_attached() => {
                return Some(Event::Leave(Leave::Park));
            }
            Step::Hibernate => {}
            Step::Timeout(after) if self.timeout.is_none() => {
                // Zero means: if nothing waits (rule 2.8.2).
                if after.is_zero() && self.cx.inbox.is_empty() {
                    self.saw(EventKind::Timeout, &());
                    self.message_came();
                    return Some(Event::Info(Info::Timeout));
                }
                self.start_timeout(after);
            }
            Step::Timeout(_) => {}
        }
        self.enter(Callback::Waiting);
        None
    }

    fn start_timeout(&mut self, after: Duration) {
        if !after.is_zero() {
            let number = self.cx.next_timeout();
            self.timeout = Some((number, self.cx.start_event_timer(after, number)));
        }
    }

    /// Ends the integer timeout that runs, if one does.
    fn stop_timeout(&mut self) {
        if let Some((_, timer)) = self.timeout.take() {
            self.cx.cancel_timer(timer);
        }
    }

    /// A message has come: it cancels both kinds of timeout, and hibernation is over.
    fn message_came(&mut self) {
        self.stop_timeout();
        self.cx.cancel_event();
        self.step = Step::Wait;
    }

    /// What a rarer entry of the mailbox is to this server; `None` is nothing (any more).
    fn sort(&mut self, entry: Envelope<ServerMessage<S>>) -> Option<Event<S>> {
        let info = match entry {
            Envelope::Signal(signal) => return self.sort_signal(*signal),
            Envelope::User(Message::Info(info)) => Info::User(info),
            Envelope::Timer(timed) => {
                let Timed { timer, message, code } = *timed;
                match self.of_this_version(message, code)? {
                    Message::Info(info) => Info::timed(timer, info),
                    Message::Call(_) | Message::Cast(_) => return None,
                }
            }
            // `ask_info`: somebody waits for what `handle_info` answers.
            Envelope::Request(Message::Info(info), request) => {
                self.cx.inbox.answering(request);
                Info::User(info)
            }
            // Nobody sends these.
            Envelope::User(_) => {
                self.cx.node().dead_letter(&self.cx.pid(), "message of another kind");
                return None;
            }
            Envelope::Request(_, request) => {
                self.cx.node().dead_letter(&self.cx.pid(), "message of another kind");
                fail(request, Failure::NotUnderstood);
                return None;
            }
        };
        self.message_came();
        Some(Event::Info(info))
    }

    /// What it has taken over, as this version understands it: what was sent to the former one, and an event timeout. What
    /// it does not understand is a dead letter, and its caller is told. Timers say themselves what they were started by.
    async fn upcast_waiting(&mut self) {
        let former = self.extras.as_mut().and_then(|extras| extras.former.take());
        let (Some(from), Some(hooks)) = (former, self.hooks) else { return };
        let process = self.cx.process().clone();
        let mut over = false;
        let upcast = |entry: Envelope<ServerMessage<S>>| match entry {
            Envelope::Signal(signal) if matches!(*signal, Signal::Changed) => {
                over = true;
                None
            }
            Envelope::Signal(_) | Envelope::Timer(_) => Some(entry),
            entry if over => Some(entry),
            entry => {
                let request = entry.request();
                let understood = entry.try_map(|message| hooks.understood(message, from));
                if understood.is_none() {
                    not_understood(process.core(), request);
                }
                understood
            }
        };
        self.cx.inbox.revise(upcast).await;
        let is_known = self.cx.revise_event(|info| match hooks.understood(Message::Info(info), from) {
            Some(Message::Info(info)) => Some(info),
            _ => None,
        });
        let mut lost = if is_known { Vec::new() } else { vec![None] };
        let kept = self.extras.as_mut().and_then(|extras| extras.kept.take());
        if let (Some(kept), Some(engine)) = (kept, S::ENGINE) {
            let mut upcast = |message| hooks.understood(message, from);
            lost.extend((engine.adopt)(&mut self.state, kept, &mut upcast));
        }
        lost.into_iter().for_each(|request| not_understood(self.cx.core(), request));
    }

    /// What a timer brings that was started when the process was this.
    fn of_this_version(&self, message: ServerMessage<S>, code: CodeId) -> Option<ServerMessage<S>> {
        let core = self.cx.core();
        if code == core.code_id() {
            return Some(message);
        }
        let (Some(from), Some(hooks)) = (core.node().codes().named(code), self.hooks) else {
            return Some(message);
        };
        let understood = hooks.understood(message, from.vsn());
        if understood.is_none() {
            not_understood(core, None);
        }
        understood
    }

    fn sort_signal(&mut self, signal: Signal) -> Option<Event<S>> {
        let info = match signal {
            // The parent's exit ends a server that traps exits, any reason, normal too (rule 2.1 T7).
            Signal::Exit(exit) if Some(exit.from) == self.cx.core().linked_parent() => {
                return Some(Event::Leave(Leave::Stop(exit.reason)));
            }
            Signal::System(system, _) => return Some(Event::System(system)),
            Signal::Changed => return None,
            Signal::Exit(exit) => Info::Exit(exit),
            Signal::Down(down) => Info::Down(down),
            Signal::Node { node, up } => Info::of_node(node, up),
            Signal::EventTimeout(number) => {
                if self.timeout.as_ref().is_some_and(|(running, _)| *running == number) {
                    self.saw(EventKind::Timeout, &());
                    Info::Timeout
                } else if let Some(message) = self.cx.take_event(number) {
                    self.saw(EventKind::Timeout, &message);
                    Info::User(message)
                } else {
                    // One that was cancelled when it had already fired is nothing.
                    if let Some(engine) = S::ENGINE {
                        (engine.expired)(&mut self.state, number, &mut self.cx);
                    }
                    return None;
                }
            }
        };
        self.message_came();
        Some(Event::Info(info))
    }

    /// A system message: it does not count as a message of the server's, and what was waited for is waited for again;
    /// an integer timeout starts anew in full (rule 2.8.1).
    async fn system(&mut self, system: System) -> Option<Leave<S>> {
        self.stop_timeout();
        let leave = self.serve_system(system);
        if leave.is_none() { self.suspended().await } else { leave }
    }

    fn serve_system(&mut self, system: System) -> Option<Leave<S>> {
        match system {
            System::Terminate(reason, acknowledge) => {
                acknowledge();
                return Some(Leave::Stop(reason));
            }
            System::Suspend(acknowledge) => {
                self.cx.core().set_suspended(true);
                acknowledge();
            }
            System::Resume(acknowledge) => {
                self.cx.core().set_suspended(false);
                acknowledge();
            }
            System::Copy(shape, tell) => tell(self.copy(shape)),
            System::Hold(shape, tell) => {
                self.cx.core().set_held(true);
                tell(self.copy(shape));
            }
            System::Release(successor, acknowledge) => {
                let told = Told(Some(acknowledge));
                self.cx.core().set_held(false);
                return Some(Leave::Become(successor?.install()?, told));
            }
            System::Visit(visit) => match S::ENGINE {
                Some(engine) => visit((engine.visit)(&mut self.state)),
                None => visit(&mut self.state),
            },
            System::Status(tell) => tell(self.format(None, None).state),
            System::Debug(change) => change(self.cx.core()),
        }
        None
    }

    fn copy(&self, shape: Shape) -> Result<Capsule, ChangeError> {
        let hooks = self.hooks.ok_or_else(|| ChangeError::refused(NOT_UPGRADABLE))?;
        if shape != shape_of::<S>() {
            return Err(ChangeError::refused(
                "what is meant takes other messages or arguments than what runs",
            ));
        }
        // Timers, messages and those who wait stay with the process, and so does its epoch: nobody else claims to be it.
        Ok(Capsule::new(self.cx.pid(), 0, hooks.module.clone(), (hooks.encode)(&self.state)?))
    }

    fn has_taken_over(&self) -> bool {
        self.extras.as_ref().is_some_and(|extras| extras.resumed.is_some())
    }

    /// It was resumed: what could not be handed over is opened again.
    async fn reopen(&mut self) -> Option<Leave<S>> {
        let extras = self.extras.as_mut()?;
        let why = extras.resumed.take()?;
        let _told = extras.told.take();
        let reopened = (self.hooks?.resumed)(&mut self.state, why, &mut self.cx).await;
        reopened.err().map(|error| Leave::Stop(error.into_reason()))
    }

    /// Whether there is nothing that it would do, and no time that it would keep, before a message of its own.
    fn waits_for_a_message(&self) -> bool {
        let waits = self.step == Step::Wait && self.idle().is_none() && !self.cx.has_attached();
        waits && !self.cx.has_continue() && !self.cx.has_event()
    }

    /// While it is suspended, serves system messages and the parent's exit only; everything else waits in its order.
    /// What hibernated when it was suspended goes on to, as long as nothing waits. Another needs no shell either then, and
    /// none afterwards, as if it were new: of many that were asked, few may ever be told anything.
    async fn suspended(&mut self) -> Option<Leave<S>> {
        let parent = self.cx.core().linked_parent();
        while self.cx.core().is_suspended() {
            self.enter(Callback::Waiting);
            if self.cx.inbox.is_empty() {
                match self.step {
                    Step::Hibernate if !self.cx.has_attached() => return Some(Leave::Park),
                    _ if self.waits_for_a_message() => return Some(Leave::Rest),
                    _ => {}
                }
            }
            let next = self.cx.inbox.next_where(|envelope| match envelope {
                Envelope::Signal(signal) => match &**signal {
                    Signal::System(..) => true,
                    Signal::Exit(exit) => Some(exit.from) == parent,
                    Signal::Down(_) | Signal::Node { .. } | Signal::EventTimeout(_) | Signal::Changed => {
                        false
                    }
                },
                _ => false,
            });
            let Envelope::Signal(signal) = next.await else { continue };
            match *signal {
                Signal::Exit(exit) => return Some(Leave::Stop(exit.reason)),
                Signal::System(system, _) => {
                    if let Some(leave) = self.serve_system(system) {
                        return Some(leave);
                    }
                }
                Signal::Down(_) | Signal::Node { .. } | Signal::EventTimeout(_) | Signal::Changed => {}
            }
        }
        if let Some(leave) = self.reopen().await {
            return Some(leave);
        }
        (self.waits_for_a_message() && self.cx.inbox.is_empty()).then_some(Leave::Rest)
    }

    /// Shows those who watch what comes from no mailbox.
    fn saw<T: 'static>(&self, kind: EventKind, message: &T) {
        if self.cx.core().is_debugged() {
            self.cx.core().saw(None, Seen::new(kind, message));
        }
    }

    fn enter(&self, callback: Callback) {
        self.cx.core().enter(callback);
    }

    async fn terminate(&mut self, reason: ExitReason) -> ExitReason {
        let during = self.cx.core().callback();
        self.cx.core().set_suspended(false);
        self.enter(Callback::Terminate);
        let terminated = catch(pin!(self.state.terminate(&reason, &mut self.cx))).await;
        // A terminate that fails gives its own reason (rule 2.1 T13).
        let reason = match terminated {
            Ok(Ok(())) => reason,
            Ok(Err(error)) => Error::into_reason(error),
            Err(panic) => ExitReason::panic(&*panic),
        };
        if !reason.is_orderly() && !self.cx.core().is_doomed() {
            self.report(&reason, during);
        }
        reason
    }

    /// What the formatter shows. What it hides stays hidden, and one that panics hides everything (rule 2.18.2).
    fn format(&self, reason: Option<&ExitReason>, message: Option<Callback>) -> Status {
        let view = StatusView { state: &self.state, reason, message };
        let fallback = view.unshown();
        catch_unwind(AssertUnwindSafe(|| S::format_status(view))).unwrap_or(fallback)
    }

    /// OTP's terminate report.
    fn report(&self, reason: &ExitReason, during: Callback) {
        // Nobody listens: no status is formatted to be thrown away.
        if !tracing::event_enabled!(target: "incarnate::gen_server", tracing::Level::ERROR) {
            return;
        }
        let status = self.format(Some(reason), (during != Callback::Waiting).then_some(during));
        let (name, label) = self.cx.core().titles();
        tracing::error!(
            target: "incarnate::gen_server",
            pid = %self.cx.pid(),
            registered_name = name,
            ?label,
            behaviour = S::ENGINE.map_or("gen_server", |engine| engine.name),
            server = std::any::type_name::<S>(),
            last_message = %status.message,
            state = %status.state,
            reason = %status.reason,
            log = ?self.cx.core().logged(),
            "terminating"
        );
    }
}

/// A message to another version that this one has no idea of: nobody waits for its answer any more.
fn not_understood(core: &Core, request: Option<SlotId>) {
    core.node().dead_letter(&core.pid(), ANOTHER_VERSION);
    if let Some(request) = request {
        fail(request, Failure::NotUnderstood);
    }
}
