//! One life of a process in a shell: polled until it exits, parks, or is ended by a signal.

use std::future::Future;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use super::callback::Callback;
use super::cell::Process;
use super::current;
use super::death;
use super::report;
use super::watch;
use crate::term::ExitReason;

/// What runs inside a process: this code version, with this state.
pub(crate) trait Incarnation: Send {
    /// The process that it is an incarnation of.
    fn process(&self) -> Arc<dyn Process>;

    /// Whether it would wait for a signal at once: nothing is to be run, and no time to be kept, before one comes.
    fn is_at_rest(&self) -> bool {
        false
    }

    /// Runs until something is to be decided outside. Boxed once per life, never per message.
    fn run(self: Box<Self>) -> Pin<Box<dyn Future<Output = Outcome> + Send>>;
}

/// Why an incarnation stopped running.
pub(crate) enum Outcome {
    /// It is done, with its reason.
    Exit(ExitReason),
    /// As `Exit`; the closure runs once the process is gone, its name free and its links told.
    ExitThen(ExitReason, Box<dyn FnOnce() + Send>),
    /// It goes on as another incarnation, in the same shell.
    Become(Box<dyn Incarnation>),
    /// It is at rest: give up the shell, and run it again at the next signal.
    Rest(Box<dyn Incarnation>),
    /// It hibernates: as `Rest`.
    Park(Box<dyn Incarnation>),
}

enum Stage {
    /// Not yet polled in this shell.
    Ready(Box<dyn Incarnation>),
    Running(Pin<Box<dyn Future<Output = Outcome> + Send>>),
    Over,
}

/// A life: an incarnation and the process that it belongs to. Dropped before its end (the runtime shuts down), the
/// process ends `killed`.
pub(crate) struct Life {
    process: Arc<dyn Process>,
    /// The same, lent to the thread while it runs.
    me: Option<Arc<dyn Process>>,
    stage: Stage,
    /// It comes from another task: this shell's waker is not known to the process yet.
    moved: bool,
}

impl Life {
    pub(crate) fn new(process: Arc<dyn Process>, incarnation: Box<dyn Incarnation>) -> Self {
        Life { me: Some(process.clone()), process, stage: Stage::Ready(incarnation), moved: false }
    }

    fn finish_by_itself(&mut self, reason: ExitReason) {
        if !self.process.core().is_doomed() {
            report::crash(&*self.process, &reason);
        }
        self.finish(reason);
    }

    fn finish(&mut self, reason: ExitReason) {
        // The state goes before anybody hears of the end, so that what it held is free by then.
        self.drop_stage();
        let reason = self.process.doom().unwrap_or(reason);
        death::finish(&self.process, &reason);
    }

    /// Drops user code; a panic in a `Drop` is reported and goes no further.
    fn drop_stage(&mut self) {
        let stage = std::mem::replace(&mut self.stage, Stage::Over);
        let me = &mut self.me;
        if catch_unwind(AssertUnwindSafe(|| current::within(me, || drop(stage)))).is_err() {
            tracing::error!(target: "incarnate::process", pid = %self.process.core().pid(), "drop panicked");
        }
    }

    fn poll_stage(&mut self, cx: &mut Context<'_>, in_shell: bool) -> Poll<Option<Outcome>> {
        if self.moved || matches!(self.stage, Stage::Ready(_)) {
            self.moved = false;
            self.process.begin(cx.waker().clone());
        }
        // Looked at after the waker is known: a signal from now on wakes this shell.
        if self.process.core().is_doomed() {
            return Poll::Ready(None);
        }
        if let Stage::Ready(_) = self.stage
            && let Stage::Ready(incarnation) = std::mem::replace(&mut self.stage, Stage::Over)
        {
            self.process.core().enter(Callback::Running);
            self.stage = Stage::Running(incarnation.run());
        }
        let Stage::Running(future) = &mut self.stage else { return Poll::Ready(None) };
        let _seat = in_shell.then(|| watch::enter(self.process.core()));
        let me = &mut self.me;
        let polled = catch_unwind(AssertUnwindSafe(|| current::within(me, || future.as_mut().poll(cx))));
        match polled {
            Ok(Poll::Pending) => Poll::Pending,
            Ok(Poll::Ready(outcome)) => Poll::Ready(Some(outcome)),
            Err(payload) => Poll::Ready(Some(Outcome::Exit(ExitReason::panic(&*payload)))),
        }
    }

    /// Runs the first incarnation until it waits, ends or becomes another, in the task of whoever starts it: an `init`
    /// that awaits nothing costs no switch of tasks. What is left is for a shell.
    ///
    /// Meanwhile the thread is the starter's, and so is the stall if it holds it.
    pub(crate) fn first_step(mut self, cx: &mut Context<'_>) -> Option<Life> {
        match self.poll_stage(cx, false) {
            Poll::Pending => {
                self.moved = true;
                Some(self)
            }
            Poll::Ready(outcome) => {
                self.stage = Stage::Ready(self.turn(outcome)?);
                Some(self)
            }
        }
    }

    /// Does what comes after an incarnation; answers the next one, if there is one.
    fn turn(&mut self, outcome: Option<Outcome>) -> Option<Box<dyn Incarnation>> {
        match outcome {
            // A signal ended it, wherever it awaited.
            None => self.finish(ExitReason::Killed),
            Some(Outcome::Exit(reason)) => self.finish_by_itself(reason),
            Some(Outcome::ExitThen(reason, then)) => {
                self.finish_by_itself(reason);
                then();
            }
            // What is at rest needs no shell, and thus no task, before its first signal.
            Some(Outcome::Become(next)) if next.is_at_rest() => return self.park(next, Callback::Waiting),
            Some(Outcome::Become(next)) => return Some(next),
            Some(Outcome::Rest(incarnation)) => return self.park(incarnation, Callback::Waiting),
            Some(Outcome::Park(incarnation)) => return self.park(incarnation, Callback::Hibernating),
        }
        None
    }

    /// Gives up the shell; answers the incarnation if there is something to do.
    fn park(
        &mut self,
        incarnation: Box<dyn Incarnation>,
        callback: Callback,
    ) -> Option<Box<dyn Incarnation>> {
        // The future is gone before the process can be started elsewhere.
        self.stage = Stage::Over;
        self.process.core().enter(callback);
        self.process.park(incarnation)
    }
}

impl Future for Life {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        loop {
            match self.poll_stage(cx, true) {
                Poll::Pending => return Poll::Pending,
                Poll::Ready(outcome) => match self.turn(outcome) {
                    Some(next) => self.stage = Stage::Ready(next),
                    None => return Poll::Ready(()),
                },
            }
        }
    }
}

impl Drop for Life {
    fn drop(&mut self) {
        if !matches!(self.stage, Stage::Over) {
            self.finish(ExitReason::Killed);
        }
    }
}
