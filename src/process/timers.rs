//! The timers of a node: one ordered queue and one task that sleeps until the earliest.
//!
//! Timers belong to the node and not to a shell, so that they live on while their process hibernates. Nothing fires
//! early; of two timers with the same moment the older fires first.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::Instant;

use super::node::{Node, WeakNode};
use crate::term::TimerRef;

/// What a timer does when it fires. Runs in the timer task: it sends something, and is quick.
pub(crate) type Fire = Box<dyn FnOnce() + Send>;

/// Further away than any timer can be: about 292 years.
const NEVER: Duration = Duration::from_nanos(i64::MAX as u64);

pub(crate) struct Timers {
    origin: Instant,
    queue: Mutex<Queue>,
    earlier: Notify,
}

#[derive(Default)]
struct Queue {
    waiting: BTreeMap<TimerRef, Fire>,
    number: u64,
    /// A task sleeps for this queue.
    served: bool,
}

impl Timers {
    pub(crate) fn new(origin: Instant) -> Self {
        Timers { origin, queue: Mutex::default(), earlier: Notify::new() }
    }

    fn queue(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn now(&self) -> u64 {
        nanos(self.origin.elapsed())
    }

    /// Takes a timer away, answers how long it still had.
    pub(crate) fn cancel(&self, timer: TimerRef) -> Option<Duration> {
        let fire = self.queue().waiting.remove(&timer);
        // What it would have sent is dropped outside the lock: its drop is user code.
        fire.map(drop).map(|()| self.left(timer))
    }

    /// How long a timer still has; `None` when it has fired or was cancelled.
    pub(crate) fn read(&self, timer: TimerRef) -> Option<Duration> {
        let waiting = self.queue().waiting.contains_key(&timer);
        waiting.then(|| self.left(timer))
    }

    fn left(&self, timer: TimerRef) -> Duration {
        Duration::from_nanos(timer.expires.saturating_sub(self.now()))
    }

    /// Fires all that is due; answers when the next one is, or ends the service with the last.
    fn fire_due(&self) -> Option<Instant> {
        let now = self.now();
        loop {
            let mut queue = self.queue();
            match queue.waiting.first_entry() {
                Some(first) if first.key().expires <= now => {
                    let fire = first.remove();
                    drop(queue);
                    fire();
                }
                Some(first) => return Some(self.origin + Duration::from_nanos(first.key().expires)),
                None => {
                    queue.served = false;
                    return None;
                }
            }
        }
    }
}

fn nanos(duration: Duration) -> u64 {
    u64::try_from(duration.min(NEVER).as_nanos()).unwrap_or(u64::MAX)
}

/// Starts a timer; `build` is given its reference and answers what it does.
pub(crate) fn start(node: &Node, after: Duration, build: impl FnOnce(TimerRef) -> Fire) -> TimerRef {
    let timers = node.timers();
    let expires = timers.now().saturating_add(nanos(after));
    let mut queue = timers.queue();
    queue.number += 1;
    let timer = TimerRef { expires, number: queue.number };
    queue.waiting.insert(timer, build(timer));
    let first = queue.waiting.first_key_value().is_some_and(|(first, _)| *first == timer);
    let unserved = !std::mem::replace(&mut queue.served, true);
    drop(queue);
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
