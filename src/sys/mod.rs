//! sys: what every process answers besides its own messages.
//!
//! A system message takes its turn in the mailbox, between two callbacks; a process that is busy or stuck answers
//! late or not at all, and the request stays with it: a suspend that timed out suspends the process later. Source:
//! OTP's module `sys`.

use std::fmt;

use crate::process::{
    CallError, Me, Node, ProcessInfo, Signal, SlotId, System, Target, Timeout, answer, fill, locate, open,
};
use crate::term::ExitReason;

/// Why a system message was not answered as asked.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum SysError {
    /// No such process.
    NoProc,
    /// It ended with this reason before it answered.
    Exit(ExitReason),
    /// It has not answered in time; it still may do what was asked.
    Timeout,
    /// A process asked itself, which could never be answered: nothing was asked.
    CallingSelf,
    /// Its state is of another type than asked for: nothing was changed.
    WrongState {
        /// The type that was asked for.
        wanted: &'static str,
    },
    /// The closure panicked: the state is as it left it.
    CallbackFailed,
}

impl fmt::Display for SysError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            SysError::NoProc => f.write_str("noproc: no such process"),
            SysError::Exit(reason) => write!(f, "the process ended before it answered: {reason}"),
            SysError::Timeout => f.write_str("timeout: not answered in time, it may still be done"),
            SysError::CallingSelf => f.write_str("calling_self: a process asked itself, nothing was asked"),
            SysError::WrongState { wanted } => write!(f, "the state is no {wanted}: nothing was changed"),
            SysError::CallbackFailed => f.write_str("callback_failed: the closure panicked"),
        }
    }
}

impl std::error::Error for SysError {}

impl From<CallError> for SysError {
    fn from(error: CallError) -> Self {
        match error {
            CallError::Timeout => SysError::Timeout,
            CallError::Exit(reason) => SysError::Exit(reason),
            _ => SysError::NoProc,
        }
    }
}

/// Has a process serve nothing but system messages and its parent's exit until [`resume`] (`sys:suspend/2`). Twice is
/// as once.
///
/// # Errors
/// See [`SysError`].
pub async fn suspend(node: &Node, target: impl Target, timeout: impl Into<Timeout>) -> Result<(), SysError> {
    request(node, target, timeout.into(), System::Suspend).await
}

/// Has it go on (`sys:resume/2`). One resume is enough, however often it was suspended.
///
/// # Errors
/// See [`SysError`].
pub async fn resume(node: &Node, target: impl Target, timeout: impl Into<Timeout>) -> Result<(), SysError> {
    request(node, target, timeout.into(), System::Resume).await
}

/// Looks at the state of a server, in its process (`sys:get_state/2`). Works while it is suspended.
///
/// # Errors
/// See [`SysError`].
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
pub async fn get_status(
    node: &Node,
    target: impl Target,
    timeout: impl Into<Timeout>,
) -> Result<Status, SysError> {
    let done = open::<Option<Status>>();
    let id = done.id();
    let tell = Box::new(move |state: String| {
        let info = Me::current().and_then(|me| me.node().process_info(me.pid()));
        fill(id, info.map(|process| Status { state, process }));
    });
    deliver(node, target, System::Status(tell), id)?;
    answer(node, done, timeout.into()).await?.ok_or(SysError::NoProc)
}

/// How a process shows itself.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Status {
    /// The state, as its formatter shows it; of a plain process the name of its code.
    pub state: String,
    /// The process when it answered: its name and parent, whether it is suspended, how many messages wait.
    pub process: ProcessInfo,
}

impl Status {
    /// Whether it serves its messages; if not, it is suspended.
    pub fn is_running(&self) -> bool {
        !self.process.suspended
    }
}

async fn request(
    node: &Node,
    target: impl Target,
    timeout: Timeout,
    message: impl FnOnce(Box<dyn FnOnce() + Send>) -> System,
) -> Result<(), SysError> {
    let done = open::<()>();
    let id = done.id();
    let acknowledge = Box::new(move || {
        fill(id, ());
    });
    deliver(node, target, message(acknowledge), id)?;
    Ok(answer(node, done, timeout).await?)
}

async fn visit<S: 'static, T: Send + 'static>(
    node: &Node,
    target: impl Target,
    look: impl FnOnce(&mut S) -> T + Send + 'static,
    timeout: Timeout,
) -> Result<T, SysError> {
    let done = open::<Result<T, SysError>>();
    let id = done.id();
    let visit = Box::new(move |state: &mut dyn std::any::Any| {
        let result = match state.downcast_mut::<S>() {
            None => Err(SysError::WrongState { wanted: std::any::type_name::<S>() }),
            Some(state) => std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| look(state)))
                .map_err(|_| SysError::CallbackFailed),
        };
        fill(id, result);
    });
    deliver(node, target, System::Visit(visit), id)?;
    answer(node, done, timeout).await?
}

fn deliver(node: &Node, target: impl Target, message: System, waiter: SlotId) -> Result<(), SysError> {
    let process = locate(node, &target).ok_or(SysError::NoProc)?;
    if Me::current().is_some_and(|me| me.pid() == process.core().pid()) {
        return Err(SysError::CallingSelf);
    }
    process.signal(Signal::System(message, Some(waiter))).then_some(()).ok_or(SysError::NoProc)
}
