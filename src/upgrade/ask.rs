//! What an upgrade asks of many processes at once.

use tokio::time::{Duration, Instant};

use crate::gen_server::Successor;
use crate::handoff::{Capsule, ChangeError, ModuleVsn};
use crate::process::{
    AnyProcess, CallError, Node, Pending, Signal, Swap, System, Timeout, answer, fill, open,
};

/// An answer under way; `None`: the process had ended.
pub(super) type Asked<T> = Option<Pending<T>>;

fn ask<T: Send + 'static>(
    process: &dyn AnyProcess,
    message: impl FnOnce(Box<dyn FnOnce(T) + Send>) -> System,
) -> Asked<T> {
    let done = open::<T>();
    let id = done.id();
    let message = message(Box::new(move |answer| _ = fill(id, answer)));
    process.signal(Signal::System(message, Some(id))).then_some(done)
}

/// Has it wait; answers when it did.
pub(super) fn suspend(process: &dyn AnyProcess) -> Asked<Instant> {
    ask(process, |tell| System::Suspend(Box::new(move || tell(Instant::now()))))
}

/// Has it go on; answers when it did.
pub(super) fn resume(process: &dyn AnyProcess) -> Asked<Instant> {
    ask(process, |tell| System::Resume(Box::new(move || tell(Instant::now()))))
}

/// A copy of its state.
pub(super) fn export(process: &dyn AnyProcess) -> Asked<Result<Capsule, ChangeError>> {
    ask(process, System::Export)
}

/// Puts another incarnation in its place; answers the one that was there.
pub(super) fn swap(
    process: &dyn AnyProcess,
    successor: Successor,
    code: ModuleVsn,
) -> Asked<Result<Successor, ChangeError>> {
    ask(process, |tell| {
        let successor = successor.into_any();
        System::Swap(Swap {
            successor,
            code,
            done: Box::new(move |former| tell(former.map(Successor::back))),
        })
    })
}

/// What came of a question.
pub(super) enum Heard<T> {
    Answer(T),
    /// The process has ended.
    Gone,
    /// It has not answered in time.
    Late,
}

/// Waits for an answer, at most until then.
pub(super) async fn hear<T: Send + 'static>(
    node: &Node,
    asked: Asked<T>,
    until: Option<Instant>,
) -> Heard<T> {
    let Some(pending) = asked else { return Heard::Gone };
    let timeout = match until {
        Some(until) => {
            Timeout::After(until.saturating_duration_since(Instant::now()).max(Duration::from_millis(1)))
        }
        None => Timeout::Infinity,
    };
    match answer(node, pending, timeout).await {
        Ok(answer) => Heard::Answer(answer),
        Err(CallError::Timeout) => Heard::Late,
        Err(_) => Heard::Gone,
    }
}
