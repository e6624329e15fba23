//! Deadlines of calls: one sweep over the reply slots, so that a call's timeout costs one store and reads no clock.

use std::sync::atomic::{AtomicBool, AtomicU16, Ordering};
use std::time::Duration;

use tokio::time::{Instant, MissedTickBehavior, interval_at};

use super::node::{Node, WeakNode};
use super::slots::{self, Deadline, Pending};

/// How often the sweep runs. A call times out at its timeout or up to two of these later, never earlier.
const TICK: Duration = Duration::from_millis(50);
/// A shorter timeout than this gets a timer of its own: a tick would be too coarse.
pub(crate) const PRECISE: Duration = Duration::from_millis(250);
/// With nothing armed for so many ticks the sweep rests.
const REST_AFTER: u32 = 20;

/// Numbers the clocks of nodes: the slots are shared by all of them, and each sweeps its own waiters only.
/// (With the slot pool this is one static: the pool's.)
static CLOCKS: AtomicU16 = AtomicU16::new(1);

/// The clock that the sweeps of a node go by: tokio's, since the node began.
pub(crate) struct Deadlines {
    clock: u16,
    origin: Instant,
    sweeping: AtomicBool,
    /// The last sweep has seen the clock move, so that it takes the next one to know what time it was.
    moving: AtomicBool,
}

impl Deadlines {
    pub(crate) fn new(origin: Instant) -> Self {
        Deadlines {
            clock: CLOCKS.fetch_add(1, Ordering::Relaxed),
            origin,
            sweeping: AtomicBool::new(false),
            moving: AtomicBool::new(false),
        }
    }

    fn sweep(&self) -> usize {
        slots::sweep(self.clock, || self.origin.elapsed())
    }
}

/// Has a waiter give up after `timeout`.
pub(crate) fn arm<R: Send + 'static>(node: &Node, pending: &Pending<R>, timeout: Duration) {
    let deadlines = node.deadlines();
    pending.arm(deadlines.clock, deadline(node, timeout));
    // Sequentially consistent with the sweeper's last look: one of the two sees the other.
    if !deadlines.sweeping.load(Ordering::SeqCst) && !deadlines.sweeping.swap(true, Ordering::SeqCst) {
        node.runtime().spawn(sweep(node.downgrade()));
    }
}

/// While sweeps run and time goes by, the clock is not read. A paused clock is: it may go on by a leap, in which the next
/// sweep could not tell who came before and who came after.
fn deadline(node: &Node, timeout: Duration) -> Deadline {
    let millis = |wide: Duration| u64::try_from(wide.as_nanos().div_ceil(1_000_000)).unwrap_or(u64::MAX);
    let deadlines = node.deadlines();
    if deadlines.moving.load(Ordering::Relaxed) {
        return Deadline::After(millis(timeout));
    }
    let _clock = node.runtime().enter();
    Deadline::At(millis(deadlines.origin.elapsed().saturating_add(timeout)))
}

async fn sweep(node: WeakNode) {
    let mut ticks = interval_at(Instant::now() + TICK, TICK);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Skip);
    let mut idle = 0;
    loop {
        ticks.tick().await;
        let Some(node) = node.upgrade() else { return };
        let (deadlines, now) = (node.deadlines(), Instant::now());
        idle = if deadlines.sweep() == 0 { idle + 1 } else { 0 };
        deadlines.moving.store(Instant::now() != now, Ordering::Relaxed);
        if idle > REST_AFTER {
            deadlines.moving.store(false, Ordering::Relaxed);
            deadlines.sweeping.store(false, Ordering::SeqCst);
            if deadlines.sweep() == 0 || deadlines.sweeping.swap(true, Ordering::SeqCst) {
                return;
            }
            idle = 0;
        }
    }
}
