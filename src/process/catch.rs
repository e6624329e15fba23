//! A future whose panic is a value, so that what it borrowed is still there afterwards.

use std::any::Any;
use std::future::{Future, poll_fn};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::task::Poll;

use crate::term::ExitReason;

/// Drops a user's value; a panic in its `Drop` is reported and goes no further. One value at a time: a second panic
/// during the first would end the program.
pub(crate) fn drop_caught<T>(value: T) {
    if catch_unwind(AssertUnwindSafe(|| drop(value))).is_err() {
        tracing::error!(target: "incarnate::process", of = std::any::type_name::<T>(), "drop panicked");
    }
}

/// The reason of a panic. What it panicked with is dropped as any value of the user's.
pub(crate) fn panic_reason(payload: Box<dyn Any + Send>) -> ExitReason {
    let reason = ExitReason::panic(&*payload);
    drop_caught(payload);
    reason
}

/// Runs a future to its end or its panic. Pinned by the caller, where it takes its room but once.
pub(crate) fn catch<F: Future>(
    mut future: Pin<&mut F>,
) -> impl Future<Output = Result<F::Output, Box<dyn Any + Send>>> {
    poll_fn(move |cx| match catch_unwind(AssertUnwindSafe(|| future.as_mut().poll(cx))) {
        Ok(Poll::Pending) => Poll::Pending,
        Ok(Poll::Ready(output)) => Poll::Ready(Ok(output)),
        Err(payload) => Poll::Ready(Err(payload)),
    })
}
