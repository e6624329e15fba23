//! The generic half: the loop that takes messages and calls the specific half.

use std::future::Future;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::time::Duration;

use super::context::{Context, ParkedContext, ServerMessage};
use super::flow::{Next, Step};
use super::{CallReply, GenServer, StatusView};
use crate::process::{
    AnyProcess, Callback, Envelope, Error, Incarnation, Info, Message, Outcome, Signal, System, catch,
};
use crate::term::{ExitReason, TimerRef};

/// A server that runs: its state and what it waits for.
pub(crate) struct Server<S: GenServer> {
    state: S,
    cx: Context<S>,
    step: Step,
    /// The integer timeout that runs.
    timeout: Option<(u64, TimerRef)>,
    hibernate_after: Option<Duration>,
}

/// A server that hibernates: its state, its mailbox, and what else only few have.
struct Parked<S: GenServer> {
    state: S,
    parked: ParkedContext<S>,
    hibernate_after: Option<Box<Duration>>,
}

/// What is to be done next.
enum Event<S: GenServer> {
    Call(S::Call),
    Cast(S::Cast),
    Info(Info<S::Info>),
    System(System),
    Leave(Leave),
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
        (*self).serve()
    }
}

impl<S: GenServer> Incarnation for Parked<S> {
    fn process(&self) -> Arc<dyn AnyProcess> {
        self.parked.process()
    }

    fn run(self: Box<Self>) -> Pin<Box<dyn Future<Output = Outcome> + Send>> {
        let Parked { state, parked, hibernate_after } = *self;
        let cx = Context::unpark(parked);
        // It hibernates until a message of its own comes: a system message lets it go back.
        Server::new(state, cx, Step::Hibernate, hibernate_after.map(|after| *after)).serve()
    }
}

impl<S: GenServer> Server<S> {
    pub(super) fn new(state: S, cx: Context<S>, step: Step, hibernate_after: Option<Duration>) -> Self {
        Server { state, cx, step, timeout: None, hibernate_after }
    }

    fn serve(mut self) -> Pin<Box<dyn Future<Output = Outcome> + Send>> {
        Box::pin(async move {
            // One net for the whole life: a panic leaves the state here, so that terminate can still run.
            let leave = catch(pin!(self.serve_until())).await;
            let reason = match leave {
                Ok(Leave::Park) => {
                    let Server { state, cx, hibernate_after, .. } = self;
                    let (parked, hibernate_after) = (cx.park(), hibernate_after.map(Box::new));
                    return Outcome::Park(Box::new(Parked { state, parked, hibernate_after }));
                }
                Ok(Leave::Stop(reason)) => reason,
                Err(panic) => ExitReason::panic(&*panic),
            };
            Outcome::Exit(self.terminate(reason).await)
        })
    }

    /// Takes one thing after another: a continue, a due timeout, or the next message.
    ///
    /// One function, so that the awaits of the different callbacks share their room in the future.
    async fn serve_until(&mut self) -> Leave {
        loop {
            // Continues come before any message (rule 2.7.1).
            let next = if let Some(continuation) = self.cx.take_continue() {
                self.enter(Callback::HandleContinue);
                self.state.handle_continue(continuation, &mut self.cx).await
            } else {
                match self.next_event().await {
                    Event::Call(call) => {
                        self.enter(Callback::HandleCall);
                        let reply = self.state.handle_call(call, &mut self.cx).await;
                        reply.map(|CallReply { answered, next }| {
                            self.cx.inbox.answered(answered);
                            next
                        })
                    }
                    Event::Cast(cast) => {
                        self.enter(Callback::HandleCast);
                        self.state.handle_cast(cast, &mut self.cx).await
                    }
                    Event::Info(info) => {
                        self.enter(Callback::HandleInfo);
                        let next = self.state.handle_info(info, &mut self.cx).await;
                        self.cx.inbox.answered(None);
                        next
                    }
                    Event::System(system) => match Box::pin(self.system(system)).await {
                        Some(leave) => return leave,
                        None => continue,
                    },
                    Event::Leave(leave) => return leave,
                }
            };
            match next {
                Ok(Next { step: Step::Stop(reason) }) => return Leave::Stop(reason),
                Ok(next) => self.step = next.step,
                Err(error) => return Leave::Stop(error.into_reason()),
            }
        }
    }

    /// The next thing to do, waiting for it as the last callback asked to.
    async fn next_event(&mut self) -> Event<S> {
        loop {
            if let Some(message) = self.cx.take_immediate_event() {
                return Event::Info(Info::User(message));
            }
            let envelope = match self.prepare_wait() {
                Some(event) => return event,
                None => match self.hibernate_after {
                    None => self.cx.inbox.next().await,
                    // Boxed: it is large, and few servers ask for it.
                    Some(idle) => match Box::pin(tokio::time::timeout(idle, self.cx.inbox.next())).await {
                        Ok(envelope) => envelope,
                        Err(_) if self.cx.inbox.is_empty() => return Event::Leave(Leave::Park),
                        // Something came in the last moment.
                        Err(_) => continue,
                    },
                },
            };
            if let Some(event) = self.sort(envelope) {
                return event;
            }
        }
    }

    /// Before a wait: what the last callback asked for.
    fn prepare_wait(&mut self) -> Option<Event<S>> {
        match self.step {
            Step::Wait | Step::Stop(_) => {}
            Step::Hibernate if self.cx.inbox.is_empty() => return Some(Event::Leave(Leave::Park)),
            Step::Hibernate => {}
            Step::Timeout(after) if self.timeout.is_none() => {
                // Zero means: if nothing waits (rule 2.8.2).
                if after.is_zero() && self.cx.inbox.is_empty() {
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

    /// What an entry of the mailbox is to this server; `None` is nothing (any more).
    fn sort(&mut self, envelope: Envelope<ServerMessage<S>>) -> Option<Event<S>> {
        let message = match envelope {
            Envelope::User(message) => message,
            Envelope::Request(message, request) => {
                self.cx.inbox.answering(request);
                message
            }
            Envelope::Timer(timer) => {
                self.message_came();
                let (reference, message) = *timer;
                return match message {
                    Message::Info(info) => Some(Event::Info(Info::Timer(reference, info))),
                    // Timers carry `Info` alone.
                    Message::Call(_) | Message::Cast(_) => None,
                };
            }
            Envelope::Signal(signal) => return self.sort_signal(*signal),
        };
        self.message_came();
        Some(match message {
            Message::Call(call) => Event::Call(call),
            Message::Cast(cast) => Event::Cast(cast),
            Message::Info(info) => Event::Info(Info::User(info)),
        })
    }

    fn sort_signal(&mut self, signal: Signal) -> Option<Event<S>> {
        let info = match signal {
            // The parent's exit ends a server that traps exits, any reason, normal too (rule 2.1 T7).
            Signal::Exit(exit) if Some(exit.from) == self.cx.parent() => {
                return Some(Event::Leave(Leave::Stop(exit.reason)));
            }
            Signal::System(system, _) => return Some(Event::System(system)),
            Signal::Exit(exit) => Info::Exit(exit),
            Signal::Down(down) => Info::Down(down),
            Signal::EventTimeout(number) => {
                if self.timeout.as_ref().is_some_and(|(running, _)| *running == number) {
                    Info::Timeout
                } else {
                    // One that was cancelled when it had already fired is nothing.
                    Info::User(self.cx.take_event(number)?)
                }
            }
        };
        self.message_came();
        Some(Event::Info(info))
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
        self.cx.core().set_suspended(true);
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
                    self.cx.core().set_suspended(false);
                    acknowledge();
                    break None;
                }
                Signal::Down(_) | Signal::EventTimeout(_) => {}
            }
        };
        self.cx.core().set_suspended(false);
        leave
    }

    fn enter(&self, callback: Callback) {
        self.cx.core().enter(callback);
    }

    async fn terminate(&mut self, reason: ExitReason) -> ExitReason {
        let during = self.cx.core().callback();
        self.enter(Callback::Terminate);
        let terminated = catch(pin!(self.state.terminate(&reason, &mut self.cx))).await;
        // A terminate that fails gives its own reason (rule 2.1 T13).
        let reason = match terminated {
            Ok(Ok(())) => reason,
            Ok(Err(error)) => Error::into_reason(error),
            Err(panic) => ExitReason::panic(&*panic),
        };
        if !reason.is_orderly() {
            self.report(&reason, during);
        }
        reason
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
