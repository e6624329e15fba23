//! What callbacks return: transitions, and the actions that go with them.

use std::time::Duration;

use tokio::time::Instant;

use super::machine::{Change, Kind, Setting};
use super::{EventOf, GenStatem};
use crate::process::{ReplyTo, Result, SlotId};
use crate::term::ExitReason;

/// When a timeout passes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum When {
    /// After so long. Zero: before any message that waits, but after what was inserted or postponed.
    After(Duration),
    /// At this moment (`{abs, true}`).
    At(Instant),
    /// Not at all (`infinity`): the timeout that runs is ended.
    Never,
}

impl When {
    pub(super) fn is_zero(self) -> bool {
        self == When::After(Duration::ZERO)
    }
}

impl From<Duration> for When {
    fn from(after: Duration) -> Self {
        When::After(after)
    }
}

impl From<Instant> for When {
    fn from(at: Instant) -> Self {
        When::At(at)
    }
}

/// What a machine does after an event; it comes from [`keep_state`], [`next_state`], [`repeat_state`] or [`stop`].
#[must_use]
pub struct Transition<M: GenStatem> {
    pub(super) to: To<M::State>,
    pub(super) rest: Rest<M>,
}

/// What a machine does after a state enter call; it comes from [`keep_state`], [`repeat_state`] or [`stop`].
///
/// So an enter call cannot change the state, postpone or insert events, which OTP finds out at run time (row ST-031
/// of its suite). This does not compile:
///
/// ```compile_fail,E0277
/// use incarnate::gen_statem::{Enter, Event, EventActions, GenStatem, keep_state};
/// use incarnate::{Never, Result};
///
/// fn entered<M: GenStatem<Internal = ()>>() -> Result<Enter<M>> {
///     keep_state().next_event(Event::Internal(()))
/// }
/// ```
///
/// and this does:
///
/// ```
/// use std::time::Duration;
///
/// use incarnate::Result;
/// use incarnate::gen_statem::{Actions, Enter, GenStatem, keep_state};
///
/// fn entered<M: GenStatem<Internal = ()>>() -> Result<Enter<M>> {
///     keep_state().state_timeout(Duration::from_secs(1), ())
/// }
/// ```
#[must_use]
pub struct Enter<M: GenStatem> {
    pub(super) to: Entered,
    pub(super) rest: Rest<M>,
}

/// What `init` answers.
pub enum Init<M: GenStatem> {
    /// The machine runs: see [`Init::ready`].
    Ready(Box<Ready<M>>),
    /// There is nothing to run: the start answers ignore, a supervisor goes on without it.
    Ignore,
    /// The start fails with this reason, and the process ends with it.
    Stop(ExitReason),
    /// The start fails with this reason; the process ends normally and silently (OTP 26).
    Error(ExitReason),
}

/// A machine that is ready to run.
pub struct Ready<M: GenStatem> {
    pub(super) state: M::State,
    pub(super) data: M,
    pub(super) rest: Rest<M>,
}

impl<M: GenStatem> Init<M> {
    /// The machine runs, in this state and with this data (`{ok, State, Data}`). Actions may follow.
    pub fn ready(state: M::State, data: M) -> Self {
        Init::Ready(Box::new(Ready { state, data, rest: Rest::default() }))
    }
}

pub(super) enum To<S> {
    Keep,
    Next(S),
    Repeat,
    Stop(ExitReason),
}

pub(super) enum Entered {
    Keep,
    Repeat,
    Stop(ExitReason),
}

/// What goes with a transition.
pub struct Rest<M: GenStatem> {
    /// The request that was answered last.
    pub(super) answered: Option<SlotId>,
    pub(super) hibernate: bool,
    pub(super) more: Option<Box<More<M>>>,
}

/// What goes with few transitions.
pub(super) struct More<M: GenStatem> {
    pub(super) postponed: Option<EventOf<M>>,
    pub(super) inserted: Vec<EventOf<M>>,
    pub(super) timeouts: Vec<Setting<M::Timer, M::Internal>>,
}

impl<M: GenStatem> Default for Rest<M> {
    fn default() -> Self {
        Rest { answered: None, hibernate: false, more: None }
    }
}

impl<M: GenStatem> Default for More<M> {
    fn default() -> Self {
        More { postponed: None, inserted: Vec::new(), timeouts: Vec::new() }
    }
}

impl<M: GenStatem> Rest<M> {
    fn more(&mut self) -> &mut More<M> {
        self.more.get_or_insert_default()
    }

    fn change(&mut self, kind: Kind<M::Timer>, change: Change<M::Internal>) {
        self.more().timeouts.push((kind, change));
    }
}

/// The state stays what it is (`keep_state`, `keep_state_and_data`): no enter call, postponed events stay postponed, the
/// state timeout goes on. What a callback has changed inside the state is no change of the state.
///
/// # Errors
/// None: the `Result` is what callbacks return.
#[inline]
pub fn keep_state<T: sealed::Outcome>() -> Result<T> {
    Ok(T::keep())
}

/// The next state (`{next_state, NextState, NewData}`). One that is equal to the present state is no change; another ends the
/// state timeout, releases what was postponed and, with [`STATE_ENTER`](GenStatem::STATE_ENTER), is entered.
///
/// # Errors
/// None: the `Result` is what callbacks return.
#[inline]
pub fn next_state<M: GenStatem>(state: M::State) -> Result<Transition<M>> {
    Ok(Transition { to: To::Next(state), rest: Rest::default() })
}

/// The state stays, and is entered once more (`repeat_state`). Postponed events stay postponed, the state timeout goes on.
///
/// # Errors
/// None: the `Result` is what callbacks return.
pub fn repeat_state<T: sealed::Outcome>() -> Result<T> {
    Ok(T::repeat())
}

/// Stop: `terminate` runs, then the process ends with `reason` (`{stop, Reason}`; with [`reply`](Actions::reply) behind it
/// `{stop_and_reply, Reason, Replies}`). What was postponed or inserted is not handled any more, and its callers are told.
///
/// # Errors
/// None: the `Result` is what callbacks return.
pub fn stop<T: sealed::Outcome>(reason: ExitReason) -> Result<T> {
    Ok(T::stop(reason))
}

/// Actions: what may be said behind a transition, of an event or a state enter call, and behind [`Init::ready`].
///
/// Replies are sent at once. The others are carried out when the callback is done, in this order whatever the order of the
/// words: the event timeout ends, and with a change of the state the state timeout; then the state is entered; then timeouts
/// are set in the order in which they were said.
pub trait Actions<M: GenStatem>: sealed::Rests<M> + Sized {
    /// Answers a request (`{reply, From, Reply}`), the one in work or one that was kept.
    fn reply<R: Send + 'static>(self, to: ReplyTo<R>, answer: R) -> Self {
        self.with(|rest| {
            rest.answered = to.slot_id();
            to.send(answer);
        })
    }

    /// Sets the event timeout: `content` comes as [`Event::Timeout`](super::Event::Timeout) unless any other event comes first
    /// (`{timeout, Time, Content}`).
    fn event_timeout(self, when: impl Into<When>, content: M::Internal) -> Self {
        self.with(|rest| rest.change(Kind::Event, Change::Set(when.into(), content)))
    }

    /// Sets the state timeout: `content` comes as [`Event::StateTimeout`](super::Event::StateTimeout) unless the state changes first
    /// (`{state_timeout, Time, Content}`).
    fn state_timeout(self, when: impl Into<When>, content: M::Internal) -> Self {
        self.with(|rest| rest.change(Kind::State, Change::Set(when.into(), content)))
    }

    /// Sets the timeout of this name: `content` comes as [`Event::NamedTimeout`](super::Event::NamedTimeout) (`{{timeout, Name}, Time, Content}`).
    fn timeout(self, name: M::Timer, when: impl Into<When>, content: M::Internal) -> Self {
        self.with(|rest| rest.change(Kind::Named(name), Change::Set(when.into(), content)))
    }

    /// Has the state timeout that runs bring other content; one that does not run comes at once
    /// (`{state_timeout, update, Content}`).
    fn update_state_timeout(self, content: M::Internal) -> Self {
        self.with(|rest| rest.change(Kind::State, Change::Update(content)))
    }

    /// As [`update_state_timeout`](Self::update_state_timeout), of the timeout of this name.
    fn update_timeout(self, name: M::Timer, content: M::Internal) -> Self {
        self.with(|rest| rest.change(Kind::Named(name), Change::Update(content)))
    }

    /// Ends the state timeout (`{state_timeout, cancel}`).
    fn cancel_state_timeout(self) -> Self {
        self.with(|rest| rest.change(Kind::State, Change::Cancel))
    }

    /// Ends the timeout of this name (`{{timeout, Name}, cancel}`).
    fn cancel_timeout(self, name: M::Timer) -> Self {
        self.with(|rest| rest.change(Kind::Named(name), Change::Cancel))
    }

    /// Give up all but state and data until something comes, if nothing waits (`hibernate`).
    fn hibernate(self) -> Self {
        self.with(|rest| rest.hibernate = true)
    }
}

/// Actions that a state enter call has not.
pub trait EventActions<M: GenStatem>: Actions<M> + sealed::Inserts {
    /// Handles this event next, before any other that waits (`{next_event, Type, Content}`): what is said more than once in
    /// the order of the words. It may be of any kind.
    fn next_event(self, event: EventOf<M>) -> Self {
        self.with(|rest| rest.more().inserted.push(event))
    }
}

/// The action of a transition alone.
pub trait Postpone<M: GenStatem> {
    /// Handles this event, the one in work, once more when the state has changed (`postpone`).
    fn postpone(self, event: EventOf<M>) -> Self;
}

impl<M: GenStatem> Postpone<M> for Result<Transition<M>> {
    fn postpone(self, event: EventOf<M>) -> Self {
        sealed::Rests::with(self, |rest| rest.more().postponed = Some(event))
    }
}

impl<M: GenStatem, T: sealed::Rests<M>> Actions<M> for T {}
impl<M: GenStatem, T: sealed::Rests<M> + sealed::Inserts> EventActions<M> for T {}

mod sealed {
    use super::{Enter, Entered, ExitReason, GenStatem, Init, Rest, Result, To, Transition};

    /// What both kinds of callbacks may answer.
    pub trait Outcome {
        fn keep() -> Self;
        fn repeat() -> Self;
        fn stop(reason: ExitReason) -> Self;
    }

    impl<M: GenStatem> Outcome for Transition<M> {
        #[inline]
        fn keep() -> Self {
            Transition { to: To::Keep, rest: Rest::default() }
        }

        fn repeat() -> Self {
            Transition { to: To::Repeat, rest: Rest::default() }
        }

        fn stop(reason: ExitReason) -> Self {
            Transition { to: To::Stop(reason), rest: Rest::default() }
        }
    }

    impl<M: GenStatem> Outcome for Enter<M> {
        fn keep() -> Self {
            Enter { to: Entered::Keep, rest: Rest::default() }
        }

        fn repeat() -> Self {
            Enter { to: Entered::Repeat, rest: Rest::default() }
        }

        fn stop(reason: ExitReason) -> Self {
            Enter { to: Entered::Stop(reason), rest: Rest::default() }
        }
    }

    /// What has a [`Rest`].
    pub trait Rests<M: GenStatem> {
        fn with(self, act: impl FnOnce(&mut Rest<M>)) -> Self;
    }

    impl<M: GenStatem> Rests<M> for Result<Transition<M>> {
        #[inline]
        fn with(mut self, act: impl FnOnce(&mut Rest<M>)) -> Self {
            if let Ok(transition) = &mut self {
                act(&mut transition.rest);
            }
            self
        }
    }

    impl<M: GenStatem> Rests<M> for Result<Enter<M>> {
        fn with(mut self, act: impl FnOnce(&mut Rest<M>)) -> Self {
            if let Ok(enter) = &mut self {
                act(&mut enter.rest);
            }
            self
        }
    }

    impl<M: GenStatem> Rests<M> for Init<M> {
        fn with(mut self, act: impl FnOnce(&mut Rest<M>)) -> Self {
            if let Init::Ready(ready) = &mut self {
                act(&mut ready.rest);
            }
            self
        }
    }

    /// What may insert events.
    pub trait Inserts {}
    impl<M: GenStatem> Inserts for Result<Transition<M>> {}
    impl<M: GenStatem> Inserts for Init<M> {}
}
