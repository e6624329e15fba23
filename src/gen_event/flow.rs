//! What a handler's callbacks are told, and what they return.

use super::EventHandler;
use super::handler::Handler;
use super::installed::{New, Newcomer};
use crate::process::Result;
use crate::term::{ExitReason, Term};

/// What `init` of a handler answers.
pub enum HandlerInit<H> {
    /// The handler is installed with this state.
    Ready(H),
    /// As `Ready`; the manager hibernates until something comes.
    Hibernate(H),
}

/// What a new handler is given besides its arguments: how it comes to be installed (the `Term` of OTP's `{Args, Term}`).
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Handover {
    /// It was added. In OTP `init` has its arguments alone then.
    Added,
    /// It takes the place of another, whose `terminate` answered this.
    Left(Term),
    /// It takes the place of another, whose `terminate` crashed (`{'EXIT', Reason}`).
    Crashed(ExitReason),
    /// It was to take the place of one that was not installed (`error`).
    Missing,
}

/// Why a handler is removed: what its `terminate` is told.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Removal {
    /// Somebody deleted it, and says this (the `Args` of `gen_event:delete_handler/3`).
    Delete(Term),
    /// Another takes its place; who asked for that says this (the `Args1` of a swap).
    Swap(Term),
    /// It asked for it (`remove_handler`).
    RemoveHandler,
    /// The manager stops (`stop`).
    Stop,
    /// The process that owns it has ended with this reason (`{stop, Reason}`).
    OwnerEnded(ExitReason),
    /// One of its callbacks returned this error, or panicked (`{error, {'EXIT', Reason}}`).
    Error(ExitReason),
}

/// What becomes of a handler after a callback; it comes only from [`keep`], [`hibernate`], [`remove_handler`] and
/// [`swap_handler`].
#[must_use]
pub struct EventNext<E: Send + Sync + 'static, I: Send + Sync + 'static>(pub(super) Step<E, I>);

/// What becomes of a handler `H` after a callback.
pub type HandlerNext<H> = EventNext<<H as EventHandler>::Event, <H as EventHandler>::Info>;

/// The ways to go on.
pub(super) enum Step<E: Send + Sync + 'static, I: Send + Sync + 'static> {
    Keep,
    Hibernate,
    Remove,
    Swap(Box<Swap<E, I>>),
}

/// Another handler is to take the place of the one that asks.
pub(super) struct Swap<E: Send + Sync + 'static, I: Send + Sync + 'static> {
    pub(super) args: Term,
    pub(super) new: Box<dyn Newcomer<E, I>>,
}

/// The handler stays (`{ok, State}`).
///
/// # Errors
/// None: the `Result` is what callbacks return.
pub fn keep<E: Send + Sync + 'static, I: Send + Sync + 'static>() -> Result<EventNext<E, I>> {
    Ok(EventNext(Step::Keep))
}

/// The handler stays, and its manager hibernates until something comes, whatever other handlers want
/// (`{ok, State, hibernate}`).
///
/// # Errors
/// None: the `Result` is what callbacks return.
pub fn hibernate<E: Send + Sync + 'static, I: Send + Sync + 'static>() -> Result<EventNext<E, I>> {
    Ok(EventNext(Step::Hibernate))
}

/// The handler goes: its `terminate` is told [`Removal::RemoveHandler`] (`remove_handler`).
///
/// # Errors
/// None: the `Result` is what callbacks return.
pub fn remove_handler<E: Send + Sync + 'static, I: Send + Sync + 'static>() -> Result<EventNext<E, I>> {
    Ok(EventNext(Step::Remove))
}

/// Another handler takes the place of this one, and its owner if it has one: `terminate` is told `args`, and what it
/// answers goes to the `init` of the new one (`{swap_handler, Args1, State, Handler2, Args2}`). If that fails, neither is
/// installed.
///
/// # Errors
/// None: the `Result` is what callbacks return.
pub fn swap_handler<H: EventHandler>(
    args: impl Into<Term>,
    new: Handler<H>,
    new_args: H::Args,
) -> Result<HandlerNext<H>> {
    let new = New::of(&new, new_args);
    Ok(EventNext(Step::Swap(Box::new(Swap { args: args.into(), new }))))
}
