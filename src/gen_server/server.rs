//! The generic half: the loop that takes messages and calls the specific half.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use super::context::{Context, ServerMessage};
use super::flow::{Next, Step};
use super::{CallReply, GenServer, StatusView};
use crate::process::{
    AnyProcess, Callback, Envelope, Error, Incarnation, Info, Message, Outcome, Result, Signal, System, catch,
};
use crate::term::{ExitReason, TimerRef};

/// A server that runs or hibernates: its state and what it waits for.
pub(crate) struct Server<S: GenServer> {
    state: S,
    cx: Context<S>,
    step: Step,
    /// The integer timeout that runs.
    timeout: Option<(u64, TimerRef)>,
    hibernate_after: Option<Box<Duration>>,
}

/// Why the loop was left.
enum Leave {
    Stop(ExitReason),
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
    pub(super) fn new(state: S, cx: Context<S>, step: Step, hibernate_after: Option<Duration>) -> Self {
        Server { state, cx, step, timeout: None, hibernate_after: hibernate_after.map(Box::new) }
    }

    pub(super) async fn serve(mut self: Box<Self>) -> Outcome {
        // One net for the whole life: a panic leaves the state here, so that terminate can still run.
        match catch(self.serve_until()).await {
            Ok(Leave::Park) => {
                self.cx.shrink();
                Outcome::Park(self)
            }
            Ok(Leave::Stop(reason)) => self.terminate(reason).await,
            Err(panic) => self.terminate(ExitReason::panic(&*panic)).await,
        }
    }

    async fn serve_until(&mut self) -> Leave {
        loop {
            if let Some(leave) = self.turn().await {
                return leave;
            }
        }
    }

    /// One turn: a continue, a due timeout, or the next message. Continues come before any message (rule 2.7.1).
    async fn turn(&mut self) -> Option<Leave> {
        if let Some(continuation) = self.cx.take_continue() {
            self.enter(Callback::HandleContinue);
            let next = self.state.handle_continue(continuation, &mut self.cx).await;
            return self.then(next);
        }
        if let Some(message) = self.cx.take_immediate_event() {
            return self.info(Info::User(message)).await;
        }
        self.enter(Callback::Waiting);
        let envelope = match self.wait().await {
            Ok(envelope) => envelope,
            Err(leave) => return Some(leave),
        };
        self.take(envelope).await
    }

    /// Waits for the next entry, as the last callback asked to.
    async fn wait(&mut self) -> Result<Envelope<ServerMessage<S>>, Leave> {
        match self.step {
            Step::Hibernate if self.cx.inbox.is_empty() => return Err(Leave::Park),
            Step::Timeout(after) if self.timeout.is_none() => {
                // Zero means: if nothing waits (rule 2.8.2).
                if after.is_zero() && self.cx.inbox.is_empty() {
                    return Ok(Envelope::Signal(Box::new(Signal::EventTimeout(self.start_timeout(None)))));
                }
                self.start_timeout(Some(after));
            }
            _ => {}
        }
        let Some(idle) = self.hibernate_after.as_deref().copied() else {
            return Ok(self.cx.inbox.next().await);
        };
        match tokio::time::timeout(idle, self.cx.inbox.next()).await {
            Ok(envelope) => Ok(envelope),
            Err(_) => Err(Leave::Park),
        }
    }

    fn start_timeout(&mut self, after: Option<Duration>) -> u64 {
        let number = self.cx.next_timeout();
        let timer =
            after.filter(|after| !after.is_zero()).map(|after| self.cx.start_event_timer(after, number));
        self.timeout = Some((number, timer.unwrap_or(TimerRef { expires: 0, number: 0 })));
        number
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
            Signal::Exit(exit) if Some(exit.from) == self.cx.parent() => Some(Leave::Stop(exit.reason)),
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
                    self.timeout = None;
                    self.cx.cancel_event();
                    self.step = Step::Wait;
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
        match system {
            System::Terminate(reason) => Some(Leave::Stop(reason)),
            System::Resume(acknowledge) => {
                acknowledge();
                None
            }
            System::Visit(visit) => {
                visit(&mut self.state);
                None
            }
            System::Suspend(acknowledge) => self.suspended(acknowledge).await,
        }
    }

    /// Serves system messages and the parent's exit only, until it is resumed; everything else waits in its order.
    async fn suspended(&mut self, acknowledge: Box<dyn FnOnce() + Send>) -> Option<Leave> {
        let process = self.cx.process().clone();
        process.core().set_suspended(true);
        acknowledge();
        let parent = self.cx.parent();
        let leave = loop {
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
                Signal::Exit(exit) => break Some(Leave::Stop(exit.reason)),
                Signal::System(System::Terminate(reason), _) => break Some(Leave::Stop(reason)),
                Signal::System(System::Visit(visit), _) => visit(&mut self.state),
                Signal::System(System::Suspend(acknowledge), _) => acknowledge(),
                Signal::System(System::Resume(acknowledge), _) => {
                    process.core().set_suspended(false);
                    acknowledge();
                    break None;
                }
                Signal::Down(_) | Signal::EventTimeout(_) => {}
            }
        };
        process.core().set_suspended(false);
        leave
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

    async fn terminate(mut self: Box<Self>, reason: ExitReason) -> Outcome {
        let during = self.cx.process().core().callback();
        self.enter(Callback::Terminate);
        let terminated = catch(self.state.terminate(&reason, &mut self.cx)).await;
        // A terminate that fails gives its own reason (rule 2.1 T13).
        let reason = match terminated {
            Ok(Ok(())) => reason,
            Ok(Err(error)) => Error::into_reason(error),
            Err(panic) => ExitReason::panic(&*panic),
        };
        if !reason.is_orderly() {
            self.report(&reason, during);
        }
        Outcome::Exit(reason)
    }

    /// OTP's terminate report. What the formatter hides stays hidden, and one that panics hides everything.
    fn report(&self, reason: &ExitReason, during: Callback) {
        let view = StatusView { state: &self.state, reason: Some(reason) };
        let formatted = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| S::format_status(view)));
        let status = formatted.unwrap_or_else(|_| {
            super::Status::new("format_status crashed, the state is not shown").reason(reason.to_string())
        });
        tracing::error!(
            target: "incarnate::gen_server",
            pid = %self.cx.pid(),
            server = std::any::type_name::<S>(),
            ?during,
            state = %status.state,
            reason = %status.reason,
            "gen_server terminating"
        );
    }
}
