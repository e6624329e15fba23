//! What callbacks return.

use std::time::Duration;

use crate::process::{ReplyTo, Result, SlotId};
use crate::term::ExitReason;

/// What `init` answers.
pub enum Init<S> {
    /// The server runs with this state.
    Ready(S),
    /// As `Ready`; without a message in that time `handle_info` gets a timeout.
    Timeout(S, Duration),
    /// As `Ready`; it hibernates until something comes.
    Hibernate(S),
    /// There is nothing to run: the start answers ignore, a supervisor goes on without it.
    Ignore,
    /// The start fails with this reason, and the process ends with it.
    Stop(ExitReason),
    /// The start fails with this reason; the process ends normally and silently (OTP 26).
    Error(ExitReason),
}

/// What a server does after a callback.
#[derive(Debug)]
#[must_use]
pub struct Next {
    pub(crate) step: Step,
}

/// The ways to go on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    /// Wait for the next message.
    Wait,
    /// Wait; after so long without a message `handle_info` gets a timeout.
    Timeout(Duration),
    /// Give up all but the state until something comes.
    Hibernate,
    /// End with this reason.
    Stop(ExitReason),
}

/// What a server does after `handle_call`; it comes only from [`reply`](ReplyTo::reply), [`noreply`] or [`stop`].
#[derive(Debug)]
#[must_use]
pub struct CallReply {
    pub(crate) answered: Option<SlotId>,
    pub(crate) next: Next,
}

impl From<Next> for CallReply {
    fn from(next: Next) -> Self {
        CallReply { answered: None, next }
    }
}

/// Go on without an answer: of a cast there is none, of a call it comes later (`{noreply, State}`).
///
/// # Errors
/// None: the `Result` is what callbacks return.
pub fn noreply<T: From<Next>>() -> Result<T> {
    Ok(Next { step: Step::Wait }.into())
}

/// Stop: `terminate` runs, then the process ends with `reason` (`{stop, Reason, State}`).
///
/// # Errors
/// None: the `Result` is what callbacks return.
pub fn stop<T: From<Next>>(reason: ExitReason) -> Result<T> {
    Ok(Next { step: Step::Stop(reason) }.into())
}

impl<R: Send + 'static> ReplyTo<R> {
    /// Answers, and goes on (`{reply, Reply, State}`). The answer leaves at once: before a continue, before a stop.
    ///
    /// # Errors
    /// None: the `Result` is what `handle_call` returns. A caller that is gone is no error.
    #[inline]
    pub fn reply(self, answer: R) -> Result<CallReply> {
        let answered = self.slot_id();
        self.send(answer);
        Ok(CallReply { answered, next: Next { step: Step::Wait } })
    }
}

/// What may be said behind `reply(..)` and `noreply()`. At most one of these holds: the last.
pub trait Then: sealed::Sealed + Sized {
    /// Without a message in this time, `handle_info` gets a timeout (the integer timeout of OTP).
    ///
    /// Any message cancels it; a system message starts it again in full. Zero means: if nothing waits.
    fn timeout(self, after: Duration) -> Self;
    /// Give up everything but the state until something comes.
    fn hibernate(self) -> Self;
    /// Stop with this reason.
    fn stop(self, reason: ExitReason) -> Self;
}

mod sealed {
    use super::{CallReply, Next, Result, Step};

    pub trait Flow {
        fn set(&mut self, step: Step);
    }

    impl Flow for Next {
        fn set(&mut self, step: Step) {
            self.step = step;
        }
    }

    impl Flow for CallReply {
        fn set(&mut self, step: Step) {
            self.next.step = step;
        }
    }

    pub trait Sealed {}
    impl<T: Flow> Sealed for Result<T> {}
}

impl<T: sealed::Flow> Then for Result<T> {
    fn timeout(self, after: Duration) -> Self {
        then(self, Step::Timeout(after))
    }

    fn hibernate(self) -> Self {
        then(self, Step::Hibernate)
    }

    fn stop(self, reason: ExitReason) -> Self {
        then(self, Step::Stop(reason))
    }
}

fn then<T: sealed::Flow>(result: Result<T>, step: Step) -> Result<T> {
    result.map(|mut flow| {
        flow.set(step);
        flow
    })
}
