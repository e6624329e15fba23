//! The timers of a node: one ordered queue and one task that sleeps until the earliest.
//!
//! Timers belong to the node and not to a shell, so that they live on while their process hibernates. Nothing fires
//! early; of two timers with the same moment the older fires first.

use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use rustc_hash::FxHashMap;
use tokio::sync::Notify;
use tokio::time::Instant;

use super::catch::drop_caught;
use super::cell::Process;
use super::node::{Node, WeakNode};
use crate::term::TimerRef;

/// What a timer does when it fires. Runs in the timer task: it sends something, and is quick.
pub(crate) type Fire = Box<dyn FnOnce() + Send>;

/// What an interval does each time; false: it is over.
pub(crate) type FireEach = Box<dyn FnMut() -> bool + Send>;

/// In place of the moment in the reference of an interval, which expires again and again.
const INTERVAL: u64 = u64::MAX;

/// So many timers are never looked through.
const FEW: usize = 256;

/// Further away than any timer can be: about 292 years.
const NEVER: Duration = Duration::from_nanos(i64::MAX as u64);

pub(crate) struct Timers {
    origin: Instant,
    /// The references of this node come after it.
    before: u64,
    queue: Mutex<Queue>,
    earlier: Notify,
}

enum Action {
    /// Whom it is for, if that is one process: it is nothing without it.
    Once(Fire, Option<Weak<dyn Process>>),
    Every(u64, FireEach),
}

#[derive(Default)]
struct Queue {
    waiting: BTreeMap<TimerRef, Action>,
    /// When each interval is due next. One that is being fired is here and not in `waiting`.
    intervals: FxHashMap<u64, u64>,
    number: u64,
    /// A task sleeps for this queue.
    served: bool,
    /// So many timers, and those of processes that have ended are dropped.
    prune_at: usize,
}

impl Timers {
    pub(crate) fn new(origin: Instant, before: u64) -> Self {
        let queue = Queue { number: before, ..Queue::default() };
        Timers { origin, before, queue: Mutex::new(queue), earlier: Notify::new() }
    }

    fn queue(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn now(&self) -> u64 {
        nanos(self.origin.elapsed())
    }

    /// How many run.
    pub(crate) fn len(&self) -> usize {
        self.queue().waiting.len()
    }

    /// Takes a timer away, answers how long it still had.
    pub(crate) fn cancel(&self, timer: TimerRef) -> Option<Duration> {
        let mut queue = self.queue();
        let due = queue.due(timer)?;
        queue.intervals.remove(&timer.number);
        let action = queue.waiting.remove(&due);
        drop(queue);
        // What it would have sent is dropped outside the lock: its drop is user code.
        drop(action);
        Some(self.left(due))
    }

    /// How long a timer still has; `None` when it has fired or was cancelled.
    pub(crate) fn read(&self, timer: TimerRef) -> Option<Duration> {
        let due = self.queue().due(timer)?;
        Some(self.left(due))
    }

    /// Whether this node has ever given out such a reference.
    pub(crate) fn knows(&self, timer: TimerRef) -> bool {
        (self.before + 1..=self.queue().number).contains(&timer.number)
    }

    /// Drops what is for processes that have ended. Done as the queue grows, so that it never holds many more than are
    /// for somebody.
    fn prune(&self) {
        let of = |(timer, action): (&TimerRef, &Action)| match action {
            Action::Once(_, Some(target)) => Some((*timer, target.clone())),
            _ => None,
        };
        let targets: Vec<_> = self.queue().waiting.iter().filter_map(of).collect();
        // Outside the lock: under it no process is looked at.
        let ended = |target: &Weak<dyn Process>| target.upgrade().is_none_or(|it| it.core().relations().gone);
        let stale: Vec<_> = targets.into_iter().filter(|(_, target)| ended(target)).collect();
        let mut queue = self.queue();
        let dropped: Vec<_> = stale.iter().filter_map(|(timer, _)| queue.waiting.remove(timer)).collect();
        queue.prune_at = queue.waiting.len() * 2;
        drop(queue);
        dropped.into_iter().for_each(drop_caught);
    }

    fn left(&self, timer: TimerRef) -> Duration {
        Duration::from_nanos(timer.expires.saturating_sub(self.now()))
    }

    /// Fires all that is due; answers when the next one is, or ends the service with the last.
    fn fire_due(&self) -> Option<Instant> {
        let now = self.now();
        loop {
            let mut queue = self.queue();
            let Some(first) = queue.waiting.first_entry() else {
                queue.served = false;
                return None;
            };
            if first.key().expires > now {
                return Some(self.origin + Duration::from_nanos(first.key().expires));
            }
            match first.remove_entry() {
                (_, Action::Once(fire, _)) => {
                    drop(queue);
                    survive(fire);
                }
                (timer, Action::Every(period, fire)) => {
                    // From due to due, so that lateness does not add up.
                    let next = TimerRef { expires: timer.expires.saturating_add(period), ..timer };
                    queue.intervals.insert(timer.number, next.expires);
                    drop(queue);
                    self.fire_each(next, period, fire);
                }
            }
        }
    }

    /// Fires an interval and puts it back, unless it is over or was cancelled meanwhile.
    fn fire_each(&self, next: TimerRef, period: u64, mut fire: FireEach) {
        let goes_on = survive(&mut fire).unwrap_or(true);
        let mut queue = self.queue();
        if goes_on && queue.intervals.contains_key(&next.number) {
            queue.waiting.insert(next, Action::Every(period, fire));
            return;
        }
        queue.intervals.remove(&next.number);
        drop(queue);
        drop_caught(fire);
    }
}

impl Queue {
    /// Where a timer stands in the queue, if it does.
    fn due(&self, timer: TimerRef) -> Option<TimerRef> {
        if timer.expires == INTERVAL {
            let expires = *self.intervals.get(&timer.number)?;
            return Some(TimerRef { expires, ..timer });
        }
        self.waiting.contains_key(&timer).then_some(timer)
    }
}

/// User code may be in what fires (a `Clone`, a `Drop`): its panic is reported, and the timers go on.
fn survive<R>(fire: impl FnOnce() -> R) -> Option<R> {
    let fired = catch_unwind(AssertUnwindSafe(fire));
    if fired.is_err() {
        tracing::error!(target: "incarnate::process", "a timer panicked as it fired");
    }
    fired.ok()
}

fn nanos(duration: Duration) -> u64 {
    u64::try_from(duration.min(NEVER).as_nanos()).unwrap_or(u64::MAX)
}

/// Starts a timer; `build` is given its reference and answers what it does.
pub(crate) fn start(node: &Node, after: Duration, build: impl FnOnce(TimerRef) -> Fire) -> TimerRef {
    enqueue(node, after, |_, timer| (timer, Action::Once(build(timer), None)))
}

/// As [`start`], for a process: when that has ended the timer is dropped, if not at once.
pub(crate) fn start_for(
    target: &Arc<dyn Process>,
    after: Duration,
    build: impl FnOnce(TimerRef) -> Fire,
) -> TimerRef {
    let weak = Arc::downgrade(target);
    enqueue(target.core().node(), after, |_, timer| (timer, Action::Once(build(timer), Some(weak))))
}

/// Starts an interval; `build` is given its reference and answers what it does each time.
pub(crate) fn start_interval(
    node: &Node,
    every: Duration,
    build: impl FnOnce(TimerRef) -> FireEach,
) -> TimerRef {
    enqueue(node, every, |queue, due| {
        queue.intervals.insert(due.number, due.expires);
        let interval = TimerRef { expires: INTERVAL, ..due };
        (interval, Action::Every(nanos(every), build(interval)))
    })
}

fn enqueue(
    node: &Node,
    after: Duration,
    build: impl FnOnce(&mut Queue, TimerRef) -> (TimerRef, Action),
) -> TimerRef {
    let timers = node.timers();
    let expires = timers.now().saturating_add(nanos(after)).min(INTERVAL - 1);
    let mut queue = timers.queue();
    queue.number += 1;
    let due = TimerRef { expires, number: queue.number };
    let (timer, action) = build(&mut queue, due);
    queue.waiting.insert(due, action);
    let first = queue.waiting.first_key_value().is_some_and(|(first, _)| *first == due);
    let unserved = !std::mem::replace(&mut queue.served, true);
    let crowded = queue.waiting.len() >= queue.prune_at.max(FEW);
    drop(queue);
    if crowded {
        timers.prune();
    }
    if unserved {
        node.runtime().spawn(serve(node.downgrade()));
    } else if first {
        timers.earlier.notify_one();
    }
    timer
}

/// Sleeps and fires until nothing waits. Holds the node only while it fires.
async fn serve(node: WeakNode) {
    while let Some(node) = node.upgrade() {
        let Some(next) = node.timers().fire_due() else { return };
        let earlier = node.timers().earlier.notified();
        tokio::select! {
            () = tokio::time::sleep_until(next) => {}
            () = earlier => {}
        }
    }
}
