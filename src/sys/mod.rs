//! sys: what every process answers besides its own messages.
//!
//! A system message takes its turn in the mailbox, between two callbacks; a process that is busy or stuck answers
//! late or not at all, and the request stays with it: a suspend that timed out suspends the process later. So it is with a
//! future of these functions that is dropped: it withdraws nothing. Source:
//! OTP's module `sys`.

mod debug;
mod error;

use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind};

pub use debug::{
    DebugOptions, Log, get_log, get_statistics, install, log, no_debug, remove, statistics, trace,
};
pub use error::SysError;

pub use crate::process::debug::{Event, EventKind, LogEntry, RequestId, Statistics};

use crate::process::{
    Me, Node, ProcessInfo, Signal, SlotId, System, Target, Timeout, answer, fill, locate, open,
};
use crate::term::ExitReason;

/// Has a process serve nothing but system messages and its parent's exit until [`resume`] (`sys:suspend/2`). Twice is
/// as once.
///
/// # Errors
/// See [`SysError`].
///
/// # Cancel safety
/// Dropping the future withdraws nothing: what was asked may still be done.
pub async fn suspend(node: &Node, target: impl Target, timeout: impl Into<Timeout>) -> Result<(), SysError> {
    ask(node, target, timeout.into(), |tell| System::Suspend(Box::new(move || tell(())))).await
}

/// Has it go on (`sys:resume/2`). One resume is enough, however often it was suspended.
///
/// # Errors
/// See [`SysError`].
///
/// # Cancel safety
/// Dropping the future withdraws nothing: what was asked may still be done.
pub async fn resume(node: &Node, target: impl Target, timeout: impl Into<Timeout>) -> Result<(), SysError> {
    ask(node, target, timeout.into(), |tell| System::Resume(Box::new(move || tell(())))).await
}

/// Has a process end with this reason, its `terminate` included, suspended or not (`sys:terminate/3`). Returns when it
/// has taken the order, and may be ending still; [`ServerRef::stop_with`](crate::ServerRef::stop_with) waits for that.
///
/// # Errors
/// See [`SysError`].
///
/// # Cancel safety
/// Dropping the future withdraws nothing: what was asked may still be done.
pub async fn terminate(
    node: &Node,
    target: impl Target,
    reason: ExitReason,
    timeout: impl Into<Timeout>,
) -> Result<(), SysError> {
    ask(node, target, timeout.into(), |tell| System::Terminate(reason, Box::new(move || tell(())))).await
}

/// Looks at the state of a server, in its process (`sys:get_state/2`). Works while it is suspended.
///
/// # Errors
/// See [`SysError`].
///
/// # Cancel safety
/// Dropping the future only stops waiting.
pub async fn get_state<S: 'static, T: Send + 'static>(
    node: &Node,
    target: impl Target,
    look: impl FnOnce(&S) -> T + Send + 'static,
    timeout: impl Into<Timeout>,
) -> Result<T, SysError> {
    visit(node, target, move |state: &mut S| look(state), timeout.into()).await
}

/// Replaces the state of a server, in its process (`sys:replace_state/3`). Works while it is suspended; a closure
/// that panics leaves the old state in place.
///
/// # Errors
/// See [`SysError`].
///
/// # Cancel safety
/// Dropping the future withdraws nothing: what was asked may still be done.
pub async fn replace_state<S: 'static>(
    node: &Node,
    target: impl Target,
    replace: impl FnOnce(&S) -> S + Send + 'static,
    timeout: impl Into<Timeout>,
) -> Result<(), SysError> {
    visit(node, target, move |state: &mut S| *state = replace(state), timeout.into()).await
}

/// Looks at how a process shows itself (`sys:get_status/2`): a server by its `format_status`. Works while it is
/// suspended.
///
/// # Errors
/// See [`SysError`].
///
/// # Cancel safety
/// Dropping the future only stops waiting.
pub async fn get_status(
    node: &Node,
    target: impl Target,
    timeout: impl Into<Timeout>,
) -> Result<Status, SysError> {
    let status = |state| {
        let me = Me::current()?;
        let core = me.process().core();
        let debug = if core.is_debugged() { core.debug(|debug| debug.names()) } else { Vec::new() };
        Some(Status { state, process: me.node().process_info(me.pid())?, debug })
    };
    let show = |tell: Tell<_>| System::Status(Box::new(move |state| tell(status(state))));
    ask(node, target, timeout.into(), show).await?.ok_or(SysError::NoProc)
}

/// How a process shows itself.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Status {
    /// The state, as its formatter shows it; of a plain process the name of its code.
    pub state: String,
    /// The process when it answered: its name and parent, whether it is suspended, how many messages wait.
    pub process: ProcessInfo,
    /// What watches it, by name.
    pub debug: Vec<String>,
}

impl Status {
    /// Whether it serves its messages; if not, it is suspended.
    pub fn is_running(&self) -> bool {
        !self.process.suspended
    }
}

/// Tells the one who asked; it is told once, or of the end of the process.
type Tell<T> = Box<dyn FnOnce(T) + Send>;

async fn ask<T: Send + 'static>(
    node: &Node,
    target: impl Target,
    timeout: Timeout,
    message: impl FnOnce(Tell<T>) -> System,
) -> Result<T, SysError> {
    let told = open::<T>();
    let id = told.id();
    let tell = Box::new(move |answer| {
        fill(id, answer);
    });
    deliver(node, target, message(tell), id)?;
    Ok(answer(node, told, timeout).await?)
}

pub(crate) async fn visit<S: 'static, T: Send + 'static>(
    node: &Node,
    target: impl Target,
    look: impl FnOnce(&mut S) -> T + Send + 'static,
    timeout: Timeout,
) -> Result<T, SysError> {
    let look = |state: &mut dyn Any| match state.downcast_mut::<S>() {
        None => Err(SysError::WrongState { wanted: std::any::type_name::<S>() }),
        Some(state) => catch_unwind(AssertUnwindSafe(|| look(state))).map_err(|_| SysError::CallbackFailed),
    };
    let visit = |tell: Tell<_>| System::Visit(Box::new(move |state| tell(look(state))));
    ask(node, target, timeout, visit).await?
}

fn deliver(node: &Node, target: impl Target, message: System, waiter: SlotId) -> Result<(), SysError> {
    let process = locate(node, &target).ok_or(SysError::NoProc)?;
    if Me::current().is_some_and(|me| me.pid() == process.core().pid()) {
        return Err(SysError::CallingSelf);
    }
    process.signal(Signal::System(message, Some(waiter))).then_some(()).ok_or(SysError::NoProc)
}
