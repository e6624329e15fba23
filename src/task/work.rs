//! What a task runs.

use std::future::Future;

use crate::process::Result;
use crate::term::ExitReason;

/// What a task runs: any future that is `Send`, its output being the task's value; or one behind [`let_it_crash`].
#[diagnostic::on_unimplemented(
    message = "`{Self}` is no work for a task",
    note = "a task runs a `Send` future that borrows nothing, or `let_it_crash(future)`"
)]
pub trait Work: sealed::Work<Output = <Self as Work>::Output> {
    /// The value of the task.
    type Output: Send + 'static;
}

impl<W: sealed::Work> Work for W {
    type Output = <W as sealed::Work>::Output;
}

pub(super) mod sealed {
    use super::{ExitReason, Future};

    pub trait Work: Send + 'static {
        type Output: Send + 'static;

        fn outcome(self) -> impl Future<Output = Result<Self::Output, ExitReason>> + Send;
    }
}

impl<F> sealed::Work for F
where
    F: Future<Output: Send + 'static> + Send + 'static,
{
    type Output = F::Output;

    async fn outcome(self) -> Result<F::Output, ExitReason> {
        Ok(self.await)
    }
}

/// Work whose error is the task's crash; see [`let_it_crash`].
#[must_use = "nothing runs until a task is spawned with it"]
pub struct LetItCrash<F>(F);

/// Work whose error is a crash of the task and not its value, as `?` in a callback is.
///
/// A future alone gives whatever it returns: a task that returns an `Err` has ended normally, with that value.
///
/// ```
/// use incarnate::{Node, Task, let_it_crash};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() {
/// let node = Node::new("example");
/// let parsed = Task::spawn_on(&node, let_it_crash(async { Ok("no number".parse::<i32>()?) })).await;
/// assert!(parsed.unwrap_err().to_string().contains("invalid digit"));
/// # }
/// ```
pub fn let_it_crash<F, T>(work: F) -> LetItCrash<F>
where
    F: Future<Output = Result<T>>,
{
    LetItCrash(work)
}

impl<F, T> sealed::Work for LetItCrash<F>
where
    F: Future<Output = Result<T>> + Send + 'static,
    T: Send + 'static,
{
    type Output = T;

    async fn outcome(self) -> Result<T, ExitReason> {
        self.0.await.map_err(crate::process::Error::into_reason)
    }
}
