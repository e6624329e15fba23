//! OTP's module timer: something is sent, ended or run later, once or again and again.
//!
//! All of it hangs off the node and off no process: a timer fires whoever has ended meanwhile. What is to be run runs
//! in a process of its own. Nothing fires early.

use std::fmt;
use std::future::Future;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use super::address::ServerRef;
use super::alias::Alias;
use super::me::{Me, Target};
use super::node::{Node, WeakNode, exit_from};
use super::spawn::{IntoExit, Process};
use super::timers;
use crate::term::{ExitReason, Name, Never, TimerRef};

/// OTP counts time in milliseconds: the shortest interval there is.
const SHORTEST: Duration = Duration::from_millis(1);

/// Where a message can be sent to: a reference, an alias, or a name, which is looked up when the message is sent.
pub trait Recipient<M>: sealed::Recipient<M> {}

impl<M, T: sealed::Recipient<M>> Recipient<M> for T {}

mod sealed {
    use super::Node;

    pub trait Recipient<M>: Send + 'static {
        /// Sends it the message; false: it can never take one again.
        #[doc(hidden)]
        fn deliver(&self, node: &Node, message: M) -> bool;
    }
}

impl<C, K, M> sealed::Recipient<M> for ServerRef<C, K, M>
where
    C: Send + 'static,
    K: Send + 'static,
    M: Send + 'static,
{
    fn deliver(&self, _: &Node, message: M) -> bool {
        self.send(message);
        self.is_alive()
    }
}

impl<C, K, M> sealed::Recipient<M> for Alias<M, C, K>
where
    C: Send + 'static,
    K: Send + 'static,
    M: Send + 'static,
{
    fn deliver(&self, _: &Node, message: M) -> bool {
        self.send(message);
        true
    }
}

impl<C, K, M> sealed::Recipient<M> for Name<C, K, M>
where
    C: Send + 'static,
    K: Send + 'static,
    M: Send + 'static,
{
    fn deliver(&self, node: &Node, message: M) -> bool {
        match self.on(node) {
            Ok(server) => server.send(message),
            Err(_) => node.dead_letter(self, "timer"),
        }
        true
    }
}

/// An interval below a millisecond. Nothing was started.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct IntervalTooShort(pub Duration);

impl fmt::Display for IntervalTooShort {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "an interval of {:?} is shorter than a millisecond, nothing was started", self.0)
    }
}

impl std::error::Error for IntervalTooShort {}

/// A timer that this node has never given out. Nothing was cancelled.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct UnknownTimer(pub TimerRef);

impl fmt::Display for UnknownTimer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?} is no timer of this node, nothing was cancelled", self.0)
    }
}

impl std::error::Error for UnknownTimer {}

impl Node {
    /// Sends `message` after a delay (`timer:send_after/3`). A name is looked up then.
    pub fn send_after<M: Send + 'static>(
        &self,
        delay: Duration,
        to: impl Recipient<M>,
        message: M,
    ) -> TimerRef {
        let node = self.downgrade();
        timers::start(self, delay, |_| {
            Box::new(move || {
                if let Some(node) = node.upgrade() {
                    to.deliver(&node, message);
                }
            })
        })
    }

    /// Sends `message` every so often, for the first time after `every` (`timer:send_interval/3`). From due to due:
    /// lateness does not add up. Ends with [`cancel_timer`](Self::cancel_timer), or with the process that a
    /// [`ServerRef`] names.
    ///
    /// # Errors
    /// [`IntervalTooShort`].
    pub fn send_interval<M: Clone + Send + 'static>(
        &self,
        every: Duration,
        to: impl Recipient<M>,
        message: M,
    ) -> Result<TimerRef, IntervalTooShort> {
        let node = self.downgrade();
        interval(self, every, move |_| {
            Box::new(move || node.upgrade().is_some_and(|node| to.deliver(&node, message.clone())))
        })
    }

    /// Runs `action` in a process of its own after a delay (`timer:apply_after/2`).
    pub fn apply_after<F, Fut>(&self, delay: Duration, action: F) -> TimerRef
    where
        F: FnOnce() -> Fut + Send + 'static,
        Fut: Future<Output: IntoExit> + Send + 'static,
    {
        let node = self.downgrade();
        timers::start(self, delay, |_| {
            Box::new(move || {
                if let Some(node) = node.upgrade() {
                    node.spawn(move |_: Process<Never>| async move { action().await });
                }
            })
        })
    }

    /// Runs `action` every so often, each time in a process of its own (`timer:apply_interval/2`). It does not wait for
    /// the one before: slow runs overlap. See [`apply_repeatedly`](Self::apply_repeatedly).
    ///
    /// # Errors
    /// [`IntervalTooShort`].
    pub fn apply_interval<F, Fut>(&self, every: Duration, action: F) -> Result<TimerRef, IntervalTooShort>
    where
        F: Fn() -> Fut + Send + Sync + 'static,
        Fut: Future<Output: IntoExit> + Send + 'static,
    {
        let (node, action) = (self.downgrade(), Arc::new(action));
        interval(self, every, move |_| {
            Box::new(move || {
                let Some(node) = node.upgrade() else { return false };
                let action = action.clone();
                node.spawn(move |_: Process<Never>| async move { action().await });
                true
            })
        })
    }

    /// As [`apply_interval`](Self::apply_interval), but runs never overlap: the next one starts when the one before has
    /// ended, however it ended (`timer:apply_repeatedly/2`). Runs that became due meanwhile are made up for, one after
    /// the other; once the timer is cancelled no further run starts.
    ///
    /// # Errors
    /// [`IntervalTooShort`].
    pub fn apply_repeatedly<F, Fut>(&self, every: Duration, action: F) -> Result<TimerRef, IntervalTooShort>
    where
        F: Fn() -> Fut + Send + Sync + 'static,
        Fut: Future<Output: IntoExit> + Send + 'static,
    {
        let node = self.downgrade();
        interval(self, every, move |timer| {
            let repeated = Arc::new(Repeated { node, timer, action, turns: Mutex::default() });
            Box::new(move || repeated.due())
        })
    }

    /// Sends an exit signal after a delay (`timer:exit_after/3`), from the process whose code asks. A name is looked
    /// up then; that nobody has it is no error.
    pub fn exit_after(
        &self,
        delay: Duration,
        target: impl Target + Send + 'static,
        reason: ExitReason,
    ) -> TimerRef {
        let (node, from) = (self.downgrade(), Me::current().map(|me| me.pid()));
        timers::start(self, delay, |_| {
            Box::new(move || {
                let target = node.upgrade().and_then(|node| super::locate(&node, &target));
                if let Some(target) = target {
                    exit_from(from, &*target, reason);
                }
            })
        })
    }

    /// Kills a process after a delay (`timer:kill_after/2`): [`exit_after`](Self::exit_after) with
    /// [`ExitReason::Kill`].
    pub fn kill_after(&self, delay: Duration, target: impl Target + Send + 'static) -> TimerRef {
        self.exit_after(delay, target, ExitReason::Kill)
    }

    /// Cancels a timer or an interval (`timer:cancel/1`). Answers how long it still had; `None` when it has fired or
    /// was cancelled before. What was sent is not unsent, what runs is not ended.
    ///
    /// # Errors
    /// [`UnknownTimer`], when this node has never given out such a reference.
    pub fn cancel_timer(&self, timer: TimerRef) -> Result<Option<Duration>, UnknownTimer> {
        match self.timers().knows(timer) {
            true => Ok(self.timers().cancel(timer)),
            false => Err(UnknownTimer(timer)),
        }
    }
}

fn interval(
    node: &Node,
    every: Duration,
    build: impl FnOnce(TimerRef) -> timers::FireEach,
) -> Result<TimerRef, IntervalTooShort> {
    match every < SHORTEST {
        true => Err(IntervalTooShort(every)),
        false => Ok(timers::start_interval(node, every, build)),
    }
}

/// An action that runs again and again, one run at a time.
struct Repeated<F> {
    node: WeakNode,
    timer: TimerRef,
    action: F,
    turns: Mutex<Turns>,
}

#[derive(Default)]
struct Turns {
    running: bool,
    /// Runs that became due while one was running.
    owed: u64,
}

impl<F, Fut> Repeated<F>
where
    F: Fn() -> Fut + Send + Sync + 'static,
    Fut: Future<Output: IntoExit> + Send + 'static,
{
    fn turns(&self) -> MutexGuard<'_, Turns> {
        self.turns.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn due(self: &Arc<Self>) -> bool {
        let mut turns = self.turns();
        if turns.running {
            turns.owed += 1;
            return true;
        }
        turns.running = true;
        drop(turns);
        self.run()
    }

    fn run(self: &Arc<Self>) -> bool {
        let Some(node) = self.node.upgrade() else { return false };
        let run = Run { repeated: self.clone(), begun: false };
        node.spawn(move |_: Process<Never>| async move {
            let mut run = run;
            run.begun = true;
            (run.repeated.action)().await
        });
        true
    }

    fn ended(self: &Arc<Self>) {
        let goes_on = self.node.upgrade().is_some_and(|node| node.timers().read(self.timer).is_some());
        let mut turns = self.turns();
        turns.running = goes_on && turns.owed > 0;
        turns.owed = turns.owed.saturating_sub(1);
        let next = turns.running;
        drop(turns);
        if next {
            self.run();
        }
    }
}

/// One run. Dropped when it has ended, by itself, by a panic or by a signal.
struct Run<F, Fut>
where
    F: Fn() -> Fut + Send + Sync + 'static,
    Fut: Future<Output: IntoExit> + Send + 'static,
{
    repeated: Arc<Repeated<F>>,
    /// False: the runtime shuts down, and takes no further run either.
    begun: bool,
}

impl<F, Fut> Drop for Run<F, Fut>
where
    F: Fn() -> Fut + Send + Sync + 'static,
    Fut: Future<Output: IntoExit> + Send + 'static,
{
    fn drop(&mut self) {
        if self.begun {
            self.repeated.ended();
        }
    }
}
