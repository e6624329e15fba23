//! The generic half: the loop that takes messages and calls the specific half.

use std::any::Any;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use super::context::{Context, ServerMessage};
use super::flow::{Next, Step};
use super::{CallReply, GenServer, Status, StatusView};
use crate::process::{
    AnyProcess, Callback, Envelope, Error, Incarnation, Info, Message, Outcome, Result, Signal, System, catch,
};
use crate::term::{ExitReason, Pid, TimerRef};

/// A server that runs or hibernates: its state and what it waits for.
pub(crate) struct Server<S: GenServer> {
    state: S,
    cx: Context<S>,
    step: Step,
    /// The integer timeout that runs.
    timeout: Option<(u64, TimerRef)>,
    /// The parent is the process that it was linked to when it was started.
    linked: bool,
    suspended: bool,
    extras: Option<Box<Extras>>,
}

/// What few servers are started with.
#[derive(Default)]
pub(super) struct Extras {
    pub(super) hibernate_after: Option<Duration>,
    /// A name of somebody else's registry: given up by its drop.
    pub(super) registration: Option<Box<dyn Any + Send>>,
}

/// Why the loop was left.
enum Leave {
    Stop(ExitReason),
    Park,
}

/// What a wait ended with.
enum Awaited<M> {
    Entry(Envelope<M>),
    /// A timeout of zero, and nothing waits.
    Idle,
    Park,
}

impl<S: GenServer> Incarnation for Server<S> {
    fn process(&self) -> Arc<dyn AnyProcess> {
        self.cx.process().clone()
    }

    fn run(self: Box<Self>) -> Pin<Box<dyn Future<Output = Outcome> + Send>> {
        Box::pin(self.serve())
    }
}

impl<S: GenServer> Server<S> {
    pub(super) fn new(
        state: S,
        cx: Context<S>,
        step: Step,
        linked: bool,
        extras: Option<Box<Extras>>,
    ) -> Self {
        Server { state, cx, step, timeout: None, linked, suspended: false, extras }
    }

    pub(super) async fn serve(mut self: Box<Self>) -> Outcome {
        // One net for the whole life: a panic leaves the state here, so that terminate can still run.
        let reason = match catch(self.serve_until()).await {
            Ok(Leave::Park) => {
                self.cx.shrink();
                return Outcome::Park(self);
            }
            Ok(Leave::Stop(reason)) => reason,
            Err(panic) => ExitReason::panic(&*panic),
        };
        // The signal was first: terminate never runs for one that is not trapped (rule 2.1 T5, T6, T9).
        self.cx.inbox.heed().await;
        self.terminate(reason).await
    }

    async fn serve_until(&mut self) -> Leave {
        if self.suspended
            && let Some(leave) = self.suspended().await
        {
            return leave;
        }
        loop {
            if let Some(leave) = self.turn().await {
                return leave;
            }
        }
    }

    /// One turn: a continue, a due timeout, or the next message. Continues come before any message (rule 2.7.1).
    async fn turn(&mut self) -> Option<Leave> {
        if let Some(continuation) = self.cx.take_continue() {
            self.cx.inbox.turn().await;
            self.enter(Callback::HandleContinue);
            let next = self.state.handle_continue(continuation, &mut self.cx).await;
            return self.then(next);
        }
        if let Some(message) = self.cx.take_immediate_event() {
            self.cx.inbox.turn().await;
            self.message_came();
            return self.info(Info::User(message)).await;
        }
        self.enter(Callback::Waiting);
        match self.wait().await {
            Awaited::Entry(envelope) => self.take(envelope).await,
            Awaited::Idle => {
                self.message_came();
                self.info(Info::Timeout).await
            }
            Awaited::Park => Some(Leave::Park),
        }
    }

    /// Waits for the next entry, as the last callback asked to.
    async fn wait(&mut self) -> Awaited<ServerMessage<S>> {
        match self.step {
            Step::Hibernate if self.cx.inbox.is_empty() => return Awaited::Park,
            // Zero means: if nothing waits (rule 2.8.2).
            Step::Timeout(Duration::ZERO) => {
                self.cx.inbox.turn().await;
                if self.cx.inbox.is_empty() {
                    return Awaited::Idle;
                }
            }
            Step::Timeout(after) if self.timeout.is_none() => self.start_timeout(after),
            // As in OTP: only a server that waits without a limit hibernates by itself.
            Step::Wait if self.extras.is_some() && self.cx.inbox.is_empty() => return self.wait_idly().await,
            _ => {}
        }
        Awaited::Entry(self.cx.inbox.next().await)
    }

    /// Waits, and hibernates when nothing has come for as long as the start said.
    async fn wait_idly(&mut self) -> Awaited<ServerMessage<S>> {
        let Some(idle) = self.extras.as_ref().and_then(|extras| extras.hibernate_after) else {
            return Awaited::Entry(self.cx.inbox.next().await);
        };
        // Boxed, so that servers without it need no room for it.
        match Box::pin(tokio::time::timeout(idle, self.cx.inbox.next())).await {
            Ok(envelope) => Awaited::Entry(envelope),
            Err(_) => {
                // A system message leaves it hibernated from now on.
                self.step = Step::Hibernate;
                Awaited::Park
            }
        }
    }

    fn start_timeout(&mut self, after: Duration) {
        let number = self.cx.next_timeout();
        self.timeout = Some((number, self.cx.start_event_timer(after, number)));
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

    async fn take(&mut self, envelope: Envelope<ServerMessage<S>>) -> Option<Leave> {
        match envelope {
            Envelope::Request(Message::Call(call), request) => {
                self.message_came();
                self.cx.inbox.answering(request);
                self.call(call).await
            }
            Envelope::User(Message::Cast(cast)) => {
                self.message_came();
                self.enter(Callback::HandleCast);
                let next = self.state.handle_cast(cast, &mut self.cx).await;
                self.then(next)
            }
            Envelope::User(Message::Info(info)) => {
                self.message_came();
                self.info(Info::User(info)).await
            }
            Envelope::Request(Message::Info(info), request) => {
                self.message_came();
                self.cx.inbox.answering(request);
                let leave = self.info(Info::User(info)).await;
                self.cx.inbox.answered(None);
                leave
            }
            Envelope::Timer(timer) => {
                let (reference, message) = *timer;
                self.message_came();
                match message {
                    Message::Info(info) => self.info(Info::Timer(reference, info)).await,
                    // Timers carry `Info` alone.
                    Message::Call(_) | Message::Cast(_) => None,
                }
            }
            Envelope::Signal(signal) => self.signal(*signal).await,
            // A call always comes as a request, and nothing else does.
            Envelope::User(Message::Call(call)) => self.call(call).await,
            Envelope::Request(Message::Cast(_), _) => None,
        }
    }

    async fn call(&mut self, call: S::Call) -> Option<Leave> {
        self.enter(Callback::HandleCall);
        let reply = self.state.handle_call(call, &mut self.cx).await;
        let next = reply.map(|CallReply { answered, next }| {
            self.cx.inbox.answered(answered);
            next
        });
        self.then(next)
    }

    async fn info(&mut self, info: Info<S::Info>) -> Option<Leave> {
        self.enter(Callback::HandleInfo);
        let next = self.state.handle_info(info, &mut self.cx).await;
        self.then(next)
    }

    async fn signal(&mut self, signal: Signal) -> Option<Leave> {
        match signal {
            // The parent's exit ends a server that traps exits, any reason, normal too (rule 2.1 T7).
            Signal::Exit(exit) if Some(exit.from) == self.parent() => Some(Leave::Stop(exit.reason)),
            Signal::Exit(exit) => {
                self.message_came();
                self.info(Info::Exit(exit)).await
            }
            Signal::Down(down) => {
                self.message_came();
                self.info(Info::Down(down)).await
            }
            Signal::EventTimeout(number) => {
                if self.timeout.as_ref().is_some_and(|(running, _)| *running == number) {
                    self.message_came();
                    return self.info(Info::Timeout).await;
                }
                // One that was cancelled when it had already fired is nothing.
                let message = self.cx.take_event(number)?;
                self.message_came();
                self.info(Info::User(message)).await
            }
            Signal::System(system, _) => self.system(system).await,
        }
    }

    /// A system message: it does not count as a message of the server's, and what was waited for is waited for again;
    /// an integer timeout starts anew in full (rule 2.8.1).
    async fn system(&mut self, system: System) -> Option<Leave> {
        self.stop_timeout();
        let leave = self.serve_system(system);
        if leave.is_none() && self.suspended { self.suspended().await } else { leave }
    }

    fn serve_system(&mut self, system: System) -> Option<Leave> {
        match system {
            System::Terminate(reason) => return Some(Leave::Stop(reason)),
            System::Suspend(acknowledge) => {
                self.suspend(true);
                acknowledge();
            }
            System::Resume(acknowledge) => {
                self.suspend(false);
                acknowledge();
            }
            System::Visit(visit) => visit(&mut self.state),
            System::Status(tell) => tell(self.format(None, None).state),
        }
        None
    }

    fn suspend(&mut self, on: bool) {
        self.suspended = on;
        self.cx.process().core().set_suspended(on);
    }

    /// Serves system messages and the parent's exit only, until it is resumed; everything else waits in its order.
    /// What hibernated when it was suspended goes on to, as long as nothing waits.
    async fn suspended(&mut self) -> Option<Leave> {
        let parent = self.parent();
        while self.suspended {
            self.enter(Callback::Waiting);
            if self.step == Step::Hibernate && self.cx.inbox.is_empty() {
                return Some(Leave::Park);
            }
            let next = self.cx.inbox.next_where(|envelope| match envelope {
                Envelope::Signal(signal) => match &**signal {
                    Signal::System(..) => true,
                    Signal::Exit(exit) => Some(exit.from) == parent,
                    Signal::Down(_) | Signal::EventTimeout(_) => false,
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
                Signal::Down(_) | Signal::EventTimeout(_) => {}
            }
        }
        None
    }

    /// What the callback answered.
    fn then(&mut self, next: Result<Next>) -> Option<Leave> {
        match next {
            Ok(Next { step: Step::Stop(reason) }) => Some(Leave::Stop(reason)),
            Ok(next) => {
                self.step = next.step;
                None
            }
            Err(error) => Some(Leave::Stop(error.into_reason())),
        }
    }

    fn enter(&self, callback: Callback) {
        self.cx.process().core().enter(callback);
    }

    /// Whose exit ends it: the process that it was linked to when it was started. One that merely asked for the start
    /// is nobody in particular.
    fn parent(&self) -> Option<Pid> {
        if self.linked { self.cx.parent() } else { None }
    }

    async fn terminate(mut self: Box<Self>, reason: ExitReason) -> Outcome {
        let during = self.cx.process().core().callback();
        self.suspend(false);
        self.enter(Callback::Terminate);
        let terminated = catch(self.state.terminate(&reason, &mut self.cx)).await;
        // A terminate that fails gives its own reason (rule 2.1 T13).
        let reason = match terminated {
            Ok(Ok(())) => reason,
            Ok(Err(error)) => Error::into_reason(error),
            Err(panic) => ExitReason::panic(&*panic),
        };
        if !reason.is_orderly() && !self.cx.process().core().is_doomed() {
            self.report(&reason, during);
        }
        Outcome::Exit(reason)
    }

    /// What the formatter shows. What it hides stays hidden, and one that panics hides everything (rule 2.18.2).
    fn format(&self, reason: Option<&ExitReason>, message: Option<Callback>) -> Status {
        let view = StatusView { state: &self.state, reason, message };
        let fallback = view.unshown();
        std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| S::format_status(view))).unwrap_or(fallback)
    }

    /// OTP's terminate report.
    fn report(&self, reason: &ExitReason, during: Callback) {
        let status = self.format(Some(reason), (during != Callback::Waiting).then_some(during));
        let (name, label) = self.cx.process().core().titles();
        tracing::error!(
            target: "incarnate::gen_server",
            pid = %self.cx.pid(),
            registered_name = name,
            ?label,
            server = std::any::type_name::<S>(),
            message = %status.message,
            state = %status.state,
            reason = %status.reason,
            "gen_server terminating"
        );
    }
}
