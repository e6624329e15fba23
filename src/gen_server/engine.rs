//! What a behaviour that is built on gen_server has besides the callbacks. Behaviours of this crate only: gen_statem is one.

use std::any::{Any, TypeId};

use super::{Context, GenServer, MessageOf};
use crate::process::SlotId;

/// A behaviour whose callbacks are those of a [`GenServer`].
pub struct Engine<S: GenServer> {
    /// Its name, for reports.
    pub(crate) name: &'static str,
    /// The type of what stays with the process when its code changes: versions must agree in it.
    pub(crate) kept: fn() -> TypeId,
    /// What `sys` is shown as the state.
    pub(crate) visit: fn(&mut S) -> &mut dyn Any,
    /// The timer with this number, which it has started, has fired. It may ask for a continue.
    pub(crate) expired: fn(&mut S, u64, &mut Context<S>),
    /// Gives up what stays with the process.
    pub(crate) leave: fn(&mut S) -> Kept,
    /// Takes over what a former incarnation has given up. Answers what was lost: the requests that are not understood, and
    /// `None` for each other message.
    pub(crate) adopt: fn(&mut S, Kept, Upcast<'_, S>) -> Vec<Option<SlotId>>,
}

/// A message of a former version as this one understands it.
pub(crate) type Upcast<'a, S> = &'a mut dyn FnMut(MessageOf<S>) -> Option<MessageOf<S>>;

/// What a behaviour keeps with the process.
pub(crate) type Kept = Box<dyn Any + Send>;
