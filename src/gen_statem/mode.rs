//! Who handles events: one function for all states, or each state for itself.

use std::future::Future;

use super::{Context, Enter, EventOf, GenStatem, Transition, keep_state};
use crate::process::Result;

/// All events go to [`GenStatem::handle_event`] (`handle_event_function`).
pub enum HandleEvent {}

/// Events go to the state that the machine is in: its type is a [`StateFunction`] (`state_functions`).
pub enum StateFunctions {}

/// A state that handles its events itself. Each state is a type of its own, with what only it needs; the state of the machine
/// is an enum of them, which [`state_functions!`](crate::state_functions) declares.
pub trait StateFunction<M: GenStatem>: Send {
    /// Handles an event (`StateName/3`).
    ///
    /// # Errors
    /// Crashes the machine; whoever waits for an answer is told the reason.
    fn handle(
        &mut self,
        event: EventOf<M>,
        data: &mut M,
        cx: &mut Context<M>,
    ) -> impl Future<Output = Result<Transition<M>>> + Send;

    /// The state is entered (`StateName(enter, OldState, Data)`): see [`GenStatem::enter`].
    ///
    /// # Errors
    /// Crashes the machine.
    fn enter(
        &mut self,
        from: Option<&mut M::State>,
        data: &mut M,
        cx: &mut Context<M>,
    ) -> impl Future<Output = Result<Enter<M>>> + Send {
        let _ = (from, data, cx);
        async { keep_state() }
    }
}

/// The two callback modes.
pub trait CallbackMode<M: GenStatem>: sealed::Sealed {
    #[doc(hidden)]
    fn handle(
        data: &mut M,
        event: EventOf<M>,
        state: &mut M::State,
        cx: &mut Context<M>,
    ) -> impl Future<Output = Result<Transition<M>>> + Send;

    #[doc(hidden)]
    fn enter(
        data: &mut M,
        from: Option<&mut M::State>,
        state: &mut M::State,
        cx: &mut Context<M>,
    ) -> impl Future<Output = Result<Enter<M>>> + Send;
}

impl<M: GenStatem> CallbackMode<M> for HandleEvent {
    fn handle(
        data: &mut M,
        event: EventOf<M>,
        state: &mut M::State,
        cx: &mut Context<M>,
    ) -> impl Future<Output = Result<Transition<M>>> + Send {
        data.handle_event(event, state, cx)
    }

    fn enter(
        data: &mut M,
        from: Option<&mut M::State>,
        state: &mut M::State,
        cx: &mut Context<M>,
    ) -> impl Future<Output = Result<Enter<M>>> + Send {
        data.enter(from, state, cx)
    }
}

impl<M: GenStatem<State: StateFunction<M>>> CallbackMode<M> for StateFunctions {
    fn handle(
        data: &mut M,
        event: EventOf<M>,
        state: &mut M::State,
        cx: &mut Context<M>,
    ) -> impl Future<Output = Result<Transition<M>>> + Send {
        state.handle(event, data, cx)
    }

    fn enter(
        data: &mut M,
        from: Option<&mut M::State>,
        state: &mut M::State,
        cx: &mut Context<M>,
    ) -> impl Future<Output = Result<Enter<M>>> + Send {
        state.enter(from, data, cx)
    }
}

mod sealed {
    pub trait Sealed {}
    impl Sealed for super::HandleEvent {}
    impl Sealed for super::StateFunctions {}
}

/// Declares the state of a machine whose states handle their events themselves: an enum with a variant for each, which sends
/// each event to the state that it holds. What follows from it for the variant's type is [`From`].
///
/// ```
/// # use incarnate::gen_statem::{Context, EventOf, GenStatem, Init, StateFunction, StateFunctions, Transition, next_state};
/// # use incarnate::{Never, Result};
/// #[derive(PartialEq)]
/// struct Off;
/// #[derive(PartialEq)]
/// struct On { times: u32 }
///
/// incarnate::state_functions! {
///     /// The state of a switch.
///     #[derive(PartialEq)]
///     pub enum Position of Switch { Off, On }
/// }
///
/// struct Switch { times: u32 }
///
/// impl StateFunction<Switch> for Off {
///     async fn handle(
///         &mut self, _: EventOf<Switch>, switch: &mut Switch, _: &mut Context<Switch>,
///     ) -> Result<Transition<Switch>> {
///         switch.times += 1;
///         next_state(On { times: switch.times }.into())
///     }
/// }
///
/// impl StateFunction<Switch> for On {
///     async fn handle(
///         &mut self, _: EventOf<Switch>, _: &mut Switch, _: &mut Context<Switch>,
///     ) -> Result<Transition<Switch>> {
///         next_state(Off.into())
///     }
/// }
/// # impl GenStatem for Switch {
/// #     type Args = ();
/// #     type State = Position;
/// #     type Call = Never;
/// #     type Cast = ();
/// #     type Info = Never;
/// #     type Internal = Never;
/// #     type Timer = Never;
/// #     type Mode = StateFunctions;
/// #     async fn init(_: (), _: &mut Context<Self>) -> Result<Init<Self>> {
/// #         Ok(Init::ready(Off.into(), Switch { times: 0 }))
/// #     }
/// # }
/// ```
#[macro_export]
macro_rules! state_functions {
    ($(#[$meta:meta])* $visible:vis enum $states:ident of $machine:ty { $($state:ident),+ $(,)? }) => {
        $(#[$meta])*
        $visible enum $states {
            $(
                #[doc = concat!("The state `", stringify!($state), "`.")]
                $state($state),
            )+
        }

        $(
            impl ::core::convert::From<$state> for $states {
                fn from(state: $state) -> Self {
                    $states::$state(state)
                }
            }
        )+

        impl $crate::gen_statem::StateFunction<$machine> for $states {
            async fn handle(
                &mut self,
                event: $crate::gen_statem::EventOf<$machine>,
                data: &mut $machine,
                cx: &mut $crate::gen_statem::Context<$machine>,
            ) -> $crate::process::Result<$crate::gen_statem::Transition<$machine>> {
                match self {
                    $($states::$state(state) => state.handle(event, data, cx).await,)+
                }
            }

            async fn enter(
                &mut self,
                from: ::core::option::Option<&mut $states>,
                data: &mut $machine,
                cx: &mut $crate::gen_statem::Context<$machine>,
            ) -> $crate::process::Result<$crate::gen_statem::Enter<$machine>> {
                match self {
                    $($states::$state(state) => state.enter(from, data, cx).await,)+
                }
            }
        }
    };
}
