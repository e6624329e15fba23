//! The process of a state machine: a gen_server that hands each message to the [machine](super::machine) as an event, and goes
//! on until nothing is left that comes before the next message.

use std::any::TypeId;
use std::mem::{replace, take};

use tokio::time::Instant;

use super::flow::{Entered, More, Ready, Rest, To};
use super::machine::{Action, Done, Machine, Passed};
use super::mode::CallbackMode;
use super::{Enter, Event, EventOf, GenStatem, Init, StatusView, Transition, When};
use crate::gen_server::{self, CallReply, Context, Engine, GenServer, Kept, Next, Status, Step, Upcast};
use crate::process::debug::{EventKind, Seen};
use crate::process::{Callback, Info, Message, Result, SlotId};
use crate::term::{ExitReason, TimerRef};

/// The process of a state machine, as [`GenStatem::statem`] starts it.
pub struct Statem<M: GenStatem> {
    pub(super) inner: StateData<M>,
    machine: MachineOf<M>,
}

/// State and data together, as [`sys`](crate::sys) and a change of the code see them.
pub struct StateData<M: GenStatem> {
    /// The state.
    pub state: M::State,
    /// The data.
    pub data: M,
}

type MachineOf<M> = Machine<Entry<EventOf<M>>, <M as GenStatem>::Timer, <M as GenStatem>::Internal, TimerRef>;

/// An event, and the request that it came as.
struct Entry<E> {
    event: E,
    request: Option<SlotId>,
}

impl<E: From<Passed<T, N>>, T, N> From<Passed<T, N>> for Entry<E> {
    fn from(passed: Passed<T, N>) -> Self {
        Entry { event: passed.into(), request: None }
    }
}

/// The machine goes on without a message.
pub enum GoOn<M: GenStatem> {
    /// It begins, with what `init` has asked for; the first state is entered.
    Begin(Rest<M>),
    /// A timeout has passed.
    Expired,
}

/// What follows a run of events.
struct Ran {
    answered: Option<SlotId>,
    step: Step,
}

impl<M: GenStatem> From<StateData<M>> for Statem<M> {
    fn from(inner: StateData<M>) -> Self {
        Statem { inner, machine: Machine::default() }
    }
}

impl<M: GenStatem> GenServer for Statem<M> {
    type Args = M::Args;
    type Call = M::Call;
    type Cast = M::Cast;
    type Info = M::Info;
    type Continue = GoOn<M>;

    const ENGINE: Option<Engine<Self>> = Some(Engine {
        name: "gen_statem",
        kept: TypeId::of::<MachineOf<M>>,
        visit: |statem| &mut statem.inner,
        expired: |statem, number, cx| {
            if statem.machine.expired(number) {
                cx.continue_with(GoOn::Expired);
            }
        },
        leave: |statem| Box::new(take(&mut statem.machine)),
        adopt: |statem, kept, upcast| statem.adopt(kept, upcast),
    });

    async fn init(args: M::Args, cx: &mut Context<Self>) -> Result<gen_server::Init<Self>> {
        let Ready { state, data, rest } = match M::init(args, cx).await? {
            Init::Ready(ready) => *ready,
            Init::Ignore => return Ok(gen_server::Init::Ignore),
            Init::Stop(reason) => return Ok(gen_server::Init::Stop(reason)),
            Init::Error(reason) => return Ok(gen_server::Init::Error(reason)),
        };
        if M::STATE_ENTER || rest.more.is_some() || rest.hibernate {
            // The start returns before the first state is entered, as in OTP.
            cx.continue_with(GoOn::Begin(rest));
        }
        Ok(gen_server::Init::Ready(StateData { state, data }.into()))
    }

    async fn handle_call(&mut self, call: M::Call, cx: &mut Context<Self>) -> Result<CallReply> {
        let request = cx.inbox.in_work();
        let Ran { answered, step } = self.run(Entry { event: Event::Call(call), request }, cx).await?;
        Ok(CallReply { answered, next: Next { step } })
    }

    async fn handle_cast(&mut self, cast: M::Cast, cx: &mut Context<Self>) -> Result<Next> {
        let Ran { step, .. } = self.run(Entry { event: Event::Cast(cast), request: None }, cx).await?;
        Ok(Next { step })
    }

    async fn handle_info(&mut self, info: Info<M::Info>, cx: &mut Context<Self>) -> Result<Next> {
        let request = cx.inbox.in_work();
        let Ran { step, .. } = self.run(Entry { event: Event::Info(info), request }, cx).await?;
        Ok(Next { step })
    }

    async fn handle_continue(&mut self, go: GoOn<M>, cx: &mut Context<Self>) -> Result<Next> {
        let step = match go {
            GoOn::Begin(rest) => {
                let to = if M::STATE_ENTER { To::Repeat } else { To::Keep };
                self.settle(Transition { to, rest }, None, cx).await?
            }
            GoOn::Expired => Step::Wait,
        };
        Ok(Next { step: self.run_on(step, cx).await? })
    }

    async fn terminate(&mut self, reason: &ExitReason, cx: &mut Context<Self>) -> Result<()> {
        let StateData { state, data } = &mut self.inner;
        data.terminate(reason, state, cx).await
    }

    fn format_status(view: gen_server::StatusView<'_, Self>) -> Status {
        let Statem { inner: StateData { state, data }, machine } = view.state;
        M::format_status(StatusView {
            state,
            data,
            postponed: machine.postponed(),
            timeouts: machine.timeouts(),
            reason: view.reason,
            message: view.message,
        })
    }
}

impl<M: GenStatem> Statem<M> {
    /// Handles an event, and what then comes before the next message.
    async fn run(&mut self, entry: Entry<EventOf<M>>, cx: &mut Context<Self>) -> Result<Ran> {
        let Entry { event, request } = entry;
        let StateData { state, data } = &mut self.inner;
        let transition = M::Mode::handle(data, event, state, cx).await?;
        let answered = transition.rest.answered;
        let step = self.settle(transition, request, cx).await?;
        // As rule 2.19.1 has it, nothing else comes in between: no message, no system message.
        let step = if self.machine.is_idle() { step } else { Box::pin(self.run_on(step, cx)).await? };
        Ok(Ran { answered, step })
    }

    /// Handles what comes before the next message.
    async fn run_on(&mut self, mut step: Step, cx: &mut Context<Self>) -> Result<Step> {
        while !matches!(step, Step::Stop(_))
            && let Some(Entry { event, request }) = self.machine.next()
        {
            cx.inbox.turn().await;
            cx.core().enter(Callback::HandleEvent);
            show(&event, cx);
            let StateData { state, data } = &mut self.inner;
            let transition = M::Mode::handle(data, event, state, cx).await?;
            step = self.settle(transition, request, cx).await?;
        }
        Ok(step)
    }

    /// Carries out what a callback has answered.
    async fn settle(
        &mut self,
        transition: Transition<M>,
        request: Option<SlotId>,
        cx: &mut Context<Self>,
    ) -> Result<Step> {
        let Transition { to, rest: Rest { mut hibernate, mut more, .. } } = transition;
        let (mut left, enters) = match to {
            To::Keep => (None, false),
            To::Repeat => (None, true),
            To::Stop(reason) => return Ok(Step::Stop(reason)),
            To::Next(state) => {
                let same = state == self.inner.state;
                let left = replace(&mut self.inner.state, state);
                (Some(left).filter(|_| !same), !same)
            }
        };
        let changed = left.is_some();
        if enters && M::STATE_ENTER {
            let entered = Box::pin(self.enter(left.as_mut(), &mut more, &mut hibernate, cx));
            if let Some(reason) = entered.await? {
                return Ok(Step::Stop(reason));
            }
        }
        if changed || more.is_some() {
            let More { postponed, inserted, timeouts } = more.map(|more| *more).unwrap_or_default();
            let entry = |event| Entry { event, request };
            let inserted = inserted.into_iter().map(|event| Entry { event, request: None }).collect();
            self.machine.done(Done { changed, postponed: postponed.map(entry), inserted, timeouts });
        } else {
            self.machine.done_plainly();
        }
        self.set_timers(cx);
        Ok(if hibernate { Step::Hibernate } else { Step::Wait })
    }

    /// The state is entered; what that adds goes with the transition. Answers why it stops, if it does.
    async fn enter(
        &mut self,
        mut left: Option<&mut M::State>,
        more: &mut Option<Box<More<M>>>,
        hibernate: &mut bool,
        cx: &mut Context<Self>,
    ) -> Result<Option<ExitReason>> {
        let during = cx.core().callback();
        loop {
            cx.core().enter(Callback::StateEnter);
            let StateData { state, data } = &mut self.inner;
            let Enter { to, rest } = M::Mode::enter(data, left.as_deref_mut(), state, cx).await?;
            *hibernate |= rest.hibernate;
            if let Some(added) = rest.more {
                more.get_or_insert_default().timeouts.extend(added.timeouts);
            }
            match to {
                Entered::Keep => break,
                Entered::Repeat => cx.inbox.turn().await,
                Entered::Stop(reason) => return Ok(Some(reason)),
            }
        }
        cx.core().enter(during);
        Ok(None)
    }

    fn set_timers(&mut self, cx: &Context<Self>) {
        while let Some(action) = self.machine.poll() {
            let (number, after) = match action {
                Action::Start(number, When::After(after)) => (number, after),
                Action::Start(number, When::At(at)) => (number, at.saturating_duration_since(Instant::now())),
                Action::Start(_, When::Never) => continue,
                Action::Cancel(timer) => {
                    cx.cancel_timer(timer);
                    continue;
                }
            };
            let timer = cx.start_event_timer(after, number);
            self.machine.started(number, timer);
        }
    }

    /// Takes over what a former incarnation has left, of which this one is a version. Answers the requests in it that are not
    /// understood any more; `None` is an event that was no request.
    fn adopt(&mut self, kept: Kept, upcast: Upcast<'_, Self>) -> Vec<Option<SlotId>> {
        let mut lost = Vec::new();
        if let Ok(machine) = kept.downcast::<MachineOf<M>>() {
            self.machine = *machine;
            self.machine.revise(|Entry { event, request }| {
                let event = understood(event, &mut *upcast);
                if event.is_none() {
                    lost.push(request);
                }
                Some(Entry { event: event?, request })
            });
        }
        lost
    }
}

/// A postponed event as this version understands it.
fn understood<C, K, I, N, T>(
    event: Event<C, K, I, N, T>,
    upcast: impl FnOnce(Message<C, K, I>) -> Option<Message<C, K, I>>,
) -> Option<Event<C, K, I, N, T>> {
    let (message, timer) = match event {
        Event::Call(call) => (Message::Call(call), None),
        Event::Cast(cast) => (Message::Cast(cast), None),
        Event::Info(Info::User(info)) => (Message::Info(info), None),
        Event::Info(Info::Timer(timer, info)) => (Message::Info(info), Some(timer)),
        own => return Some(own),
    };
    Some(match upcast(message)? {
        Message::Call(call) => Event::Call(call),
        Message::Cast(cast) => Event::Cast(cast),
        Message::Info(info) => Event::Info(Info::timed(timer, info)),
    })
}

/// Shows those who watch an event that comes from no mailbox.
fn show<M: GenStatem>(event: &EventOf<M>, cx: &Context<Statem<M>>) {
    if !cx.core().is_debugged() {
        return;
    }
    let seen = match event {
        Event::Call(call) => Seen::new(EventKind::Call, call),
        Event::Cast(cast) => Seen::new(EventKind::Cast, cast),
        Event::Info(info) => Seen::new(EventKind::Info, info),
        Event::Internal(internal) => Seen::new(EventKind::Internal, internal),
        Event::Timeout(content) | Event::StateTimeout(content) | Event::NamedTimeout(_, content) => {
            Seen::new(EventKind::Timeout, content)
        }
    };
    cx.core().saw(None, seen);
}
