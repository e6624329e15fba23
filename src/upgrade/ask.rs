//! What an upgrade asks of many processes at once.

use tokio::time::{Duration, Instant};

use crate::handoff::{Capsule, ChangeError};
use crate::process::{
    AnyProcess, CallError, Node, Pending, Shape, Signal, SlotId, Successor, System, Timeout, answer, fill,
    open,
};

/// An answer under way; `None`: the process had ended.
pub(super) type Asked<T> = Option<Pending<T>>;

/// The message answers by filling the slot that it is made for.
fn ask<T: Send + 'static>(process: &dyn AnyProcess, message: impl FnOnce(SlotId) -> System) -> Asked<T> {
    let done = open::<T>();
    let id = done.id();
    process.signal(Signal::System(message(id), Some(id))).then_some(done)
}

/// What a process that waits tells: since when, and a copy of its state.
pub(super) type Held = (Instant, Result<Capsule, ChangeError>);

/// Has it wait until it is released.
pub(super) fn hold(process: &dyn AnyProcess, shape: Shape) -> Asked<Held> {
    ask(process, |id| System::Hold(shape, Box::new(move |state| _ = fill(id, (Instant::now(), state)))))
}

/// A copy of its state; it goes on.
pub(super) fn copy(process: &dyn AnyProcess, shape: Shape) -> Asked<Result<Capsule, ChangeError>> {
    ask(process, |id| System::Copy(shape, Box::new(move |state| _ = fill(id, state))))
}

/// Has it go on, as another incarnation if there is one; answers when that is ready for messages.
pub(super) fn release(process: &dyn AnyProcess, successor: Option<Successor>) -> Asked<Instant> {
    ask(process, |id| System::Release(successor, Box::new(move || _ = fill(id, Instant::now()))))
}

/// When so much time has passed; `None`: never.
pub(super) fn limit(after: Duration) -> Option<Instant> {
    Instant::now().checked_add(after)
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
