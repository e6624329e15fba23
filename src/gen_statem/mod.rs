//! gen_statem: a process that is a state machine. What comes is handled by state; the state may put events off, set timeouts
//! that end with it, and act when it is entered.
//!
//! A machine has *data*, the implementing type, and a *state*, which is a type of its own, most often an enum whose variants
//! hold what only they need. Order, timeouts and all else are OTP's; what is not stands on the page of differences.
//!
//! A module with a machine and a server in it has two traits with a `hibernate`: of [`Actions`] and
//! [`Then`](crate::Then). Import one of them within the functions that need it.
//!
//! ```
//! use std::time::Duration;
//!
//! use incarnate::gen_statem::{
//!     Actions, Context, Event, EventOf, GenStatem, HandleEvent, Init, Transition, keep_state, next_state,
//! };
//! use incarnate::{Never, Node, ReplyTo, Result};
//!
//! enum Call { Push(ReplyTo<bool>) }
//!
//! #[derive(PartialEq)]
//! enum Light { Off, On { pushed: u32 } }
//!
//! /// A light on a staircase: it goes out by itself.
//! struct Stairs;
//! struct TimeIsUp;
//!
//! impl GenStatem for Stairs {
//!     type Args = ();
//!     type State = Light;
//!     type Call = Call;
//!     type Cast = Never;
//!     type Info = Never;
//!     type Internal = TimeIsUp;
//!     type Timer = Never;
//!     type Mode = HandleEvent;
//!
//!     async fn init(_: (), _: &mut Context<Self>) -> Result<Init<Self>> {
//!         Ok(Init::ready(Light::Off, Stairs))
//!     }
//!     async fn handle_event(
//!         &mut self, event: EventOf<Self>, light: &mut Light, _: &mut Context<Self>,
//!     ) -> Result<Transition<Self>> {
//!         match (light, event) {
//!             (Light::Off, Event::Call(Call::Push(caller))) => next_state(Light::On { pushed: 1 })
//!                 .reply(caller, true)
//!                 .state_timeout(Duration::from_secs(60), TimeIsUp),
//!             (Light::On { pushed }, Event::Call(Call::Push(caller))) => {
//!                 *pushed += 1;
//!                 keep_state().reply(caller, false)
//!             }
//!             (_, Event::StateTimeout(TimeIsUp)) => next_state(Light::Off),
//!             _ => keep_state(),
//!         }
//!     }
//! }
//!
//! # #[tokio::main(flavor = "current_thread", start_paused = true)]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let node = Node::new("example");
//! let stairs = Stairs::statem(()).on(&node).start().await?;
//! assert!(stairs.call(Call::Push).await?);
//! assert!(!stairs.call(Call::Push).await?);
//! tokio::time::sleep(Duration::from_secs(61)).await;
//! assert!(stairs.call(Call::Push).await?);
//! # Ok(())
//! # }
//! ```

mod code;
mod event;
mod flow;
mod machine;
mod mode;
mod server;
mod status;

use std::future::Future;

pub use code::CodeChange;
pub use event::{Event, EventOf};
pub use flow::{
    Actions, Enter, EventActions, Init, Postpone, Ready, Transition, When, keep_state, next_state,
    repeat_state, stop,
};
pub use mode::{CallbackMode, HandleEvent, StateFunction, StateFunctions};
pub use server::{StateData, Statem};
pub use status::StatusView;

use crate::gen_server::{ServerMe, Start, StartError, Status};
use crate::process::{Error, Result, ServerRef};
use crate::term::ExitReason;

/// What a callback is given: everything that a process can do as itself. What only a state machine can do is said in what
/// the callback returns.
pub type Context<M> = ServerMe<<M as GenStatem>::Call, <M as GenStatem>::Cast, <M as GenStatem>::Info>;

/// A reference to a machine of this kind; the same as to a gen_server of these messages.
pub type StatemRefOf<M> = ServerRef<<M as GenStatem>::Call, <M as GenStatem>::Cast, <M as GenStatem>::Info>;

/// The specific half of a state machine: its data is the implementing type, its behaviour these callbacks.
///
/// A callback that returns an error, or panics, crashes the machine. An event is handled to its end before the next is
/// taken. The order of events is: what was inserted, what was postponed and is released, timeouts of zero, the mailbox.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not a gen_statem",
    note = "implement `GenStatem` for it: the types Args, State, Call, Cast, Info, Internal, Timer, Mode and the callbacks init and, with the mode HandleEvent, handle_event"
)]
pub trait GenStatem: Sized + Send + 'static {
    /// What `init` is given.
    type Args: Send + 'static;
    /// The state. Two that are equal are the same state.
    type State: PartialEq + Send + 'static;
    /// Requests with an answer; each carries its [`ReplyTo`](crate::ReplyTo).
    type Call: Send + 'static;
    /// Requests without one.
    type Cast: Send + 'static;
    /// Plain messages and timers.
    type Info: Send + 'static;
    /// What the machine tells itself: the content of internal events and of timeouts.
    type Internal: Send + 'static;
    /// The names of its named timeouts; [`Never`](crate::Never) if it has none.
    type Timer: Ord + Clone + Send + 'static;
    /// Who handles events (`callback_mode/0`): [`HandleEvent`], this type for all states, or [`StateFunctions`], each state
    /// for itself.
    type Mode: CallbackMode<Self>;

    /// Whether states are entered (`state_enter`): then [`enter`](Self::enter), or [`StateFunction::enter`], runs for the
    /// first state and after each change, before any event.
    const STATE_ENTER: bool = false;

    /// Builds state and data (`init/1`). `start` returns when it has, before the first state is entered.
    ///
    /// # Errors
    /// An error is a failed start: no process and no name is left, and [`terminate`](Self::terminate) is not called.
    fn init(args: Self::Args, cx: &mut Context<Self>) -> impl Future<Output = Result<Init<Self>>> + Send;

    /// Handles an event (`handle_event/4`), in the mode [`HandleEvent`].
    ///
    /// # Errors
    /// Crashes the machine; whoever waits for an answer is told the reason.
    fn handle_event(
        &mut self,
        event: EventOf<Self>,
        state: &mut Self::State,
        cx: &mut Context<Self>,
    ) -> impl Future<Output = Result<Transition<Self>>> + Send {
        let _ = (event, state, cx);
        async { Err(undefined::<Self>("handle_event")) }
    }

    /// A state is entered (a state enter call, `handle_event(enter, OldState, State, Data)`), in the mode [`HandleEvent`]
    /// and with [`STATE_ENTER`](Self::STATE_ENTER).
    ///
    /// `from` is the state that was left: what it still holds may be taken over. `None`: it is the same one, at the start or
    /// because it is repeated.
    ///
    /// # Errors
    /// Crashes the machine.
    fn enter(
        &mut self,
        from: Option<&mut Self::State>,
        state: &mut Self::State,
        cx: &mut Context<Self>,
    ) -> impl Future<Output = Result<Enter<Self>>> + Send {
        let _ = (from, state, cx);
        async { keep_state() }
    }

    /// Cleans up (`terminate/3`): after a stop, after a crash, and when the parent ends a machine that traps exits. Never
    /// after a kill, an untrapped exit signal or a failed `init`.
    ///
    /// # Errors
    /// The process then ends with this error and not with `reason`.
    fn terminate(
        &mut self,
        reason: &ExitReason,
        state: &mut Self::State,
        cx: &mut Context<Self>,
    ) -> impl Future<Output = Result<()>> + Send {
        let _ = (reason, state, cx);
        async { Ok(()) }
    }

    /// How the machine shows itself in a status and in a crash report (`format_status/1`). By default it shows the name of
    /// its type, how many events are postponed and how many timeouts run, and nothing of its state and data.
    fn format_status(view: StatusView<'_, Self>) -> Status {
        view.into()
    }

    /// Prepares a start: set options on it, then start it.
    fn statem(args: Self::Args) -> Start<Statem<Self>> {
        Start::new(args)
    }

    /// Starts a machine that is linked to the process whose code asks (`gen_statem:start_link/3`).
    ///
    /// # Errors
    /// See [`StartError`].
    fn start_link(args: Self::Args) -> impl Future<Output = Result<StatemRefOf<Self>, StartError>> + Send {
        Self::statem(args).start_link()
    }

    /// Starts a machine that nobody is linked to (`gen_statem:start/3`), on the node of the process whose code asks.
    ///
    /// # Errors
    /// See [`StartError`].
    fn start(args: Self::Args) -> impl Future<Output = Result<StatemRefOf<Self>, StartError>> + Send {
        Self::statem(args).start()
    }
}

fn undefined<M: GenStatem>(callback: &str) -> Error {
    Error::msg(format!("undef: {} has no {callback}", std::any::type_name::<M>()))
}
