//! The states of handlers, looked at and replaced from outside: `sys` for one handler of a manager.

use std::panic::{AssertUnwindSafe, catch_unwind};

use super::handler::Handler;
use super::{EventHandler, EventManager};
use crate::process::{Node, Target, Timeout, drop_caught};
use crate::sys::{self, SysError};

/// Looks at the state of one handler of a manager, in its process (`sys:get_state/2`); `None`: it is not installed. Works
/// while the manager is suspended. All handlers at once: [`sys::get_state`] and [`EventManager::states`].
///
/// # Errors
/// See [`SysError`].
///
/// # Cancel safety
/// Dropping the future only stops waiting.
pub async fn get_state<H: EventHandler, T: Send + 'static>(
    node: &Node,
    manager: impl Target,
    handler: Handler<H>,
    look: impl FnOnce(&H) -> T + Send + 'static,
    timeout: impl Into<Timeout>,
) -> Result<Option<T>, SysError> {
    let look = move |manager: &EventManager<H::Event, H::Info>| manager.state(&handler).map(look);
    sys::get_state(node, manager, look, timeout).await
}

/// Replaces the state of one handler of a manager, in its process (`sys:replace_state/3`), and answers how many were
/// replaced: one that was added twice has two. Works while the manager is suspended. A closure that panics leaves the old
/// state in place, and its caller is not harmed.
///
/// # Errors
/// See [`SysError`].
///
/// # Cancel safety
/// Dropping the future withdraws nothing: what was asked may still be done.
pub async fn replace_state<H: EventHandler>(
    node: &Node,
    manager: impl Target,
    handler: Handler<H>,
    mut replace: impl FnMut(&H) -> H + Send + 'static,
    timeout: impl Into<Timeout>,
) -> Result<usize, SysError> {
    let change = move |manager: &mut EventManager<H::Event, H::Info>| {
        let mut replaced = 0;
        for state in manager.states_mut(&handler) {
            if let Ok(new) = catch_unwind(AssertUnwindSafe(|| replace(state))) {
                drop_caught(std::mem::replace(state, new));
                replaced += 1;
            }
        }
        replaced
    };
    sys::visit(node, manager, change, timeout.into()).await
}
