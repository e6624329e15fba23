//! Deadlines of calls: one sweep over the reply slots, so that a call's timeout costs one store and reads no clock.

use std::sync::atomic::{AtomicBool, AtomicU16, AtomicU64, Ordering};
use std::time::Duration;

use tokio::time::{Instant, MissedTickBehavior, interval_at};

use super::node::{Node, WeakNode};
use super::slots::{self, Pending};

/// How often the sweep runs. A call times out at its timeout or up to two of these later, never earlier.
const TICK: Duration = Duration::from_millis(50);
/// A shorter timeout than this gets a timer of its own: a tick would be too coarse.
pub(crate) const PRECISE: Duration = Duration::from_millis(250);
/// With nothing armed for so many ticks the sweep rests.
const REST_AFTER: u32 = 20;

/// Numbers the clocks of nodes: the slots are shared by all of them, and each sweeps its own waiters only.
/// (With the slot pool this is one static: the pool's.)
static CLOCKS: AtomicU16 = AtomicU16::new(1);

/// The coarse clock of a node: it counts sweeps.
pub(crate) struct Deadlines {
    clock: u16,
    sweeps: AtomicU64,
    sweeping: AtomicBool,
}

impl Deadlines {
    pub(crate) fn new() -> Self {
        Deadlines {
            clock: CLOCKS.fetch_add(1, Ordering::Relaxed),
            sweeps: AtomicU64::new(0),
            sweeping: AtomicBool::new(false),
        }
    }
}

/// Has a waiter give up after `timeout`.
pub(crate) fn arm<R: Send + 'static>(node: &Node, pending: &Pending<R>, timeout: Duration) {
    let deadlines = node.deadlines();
    // The sweep after the next may follow at once (the next one being late); from it on they are a tick apart.
    let ticks = u64::try_from(timeout.as_millis().div_ceil(TICK.as_millis())).unwrap_or(u64::MAX >> 20);
    let at = deadlines.sweeps.load(Ordering::Relaxed) + 2 + ticks.min(u64::MAX >> 20);
    pending.arm(deadlines.clock, at);
    // Sequentially consistent with the sweeper's last look: one of the two sees the other.
    if !deadlines.sweeping.load(Ordering::SeqCst) && !deadlines.sweeping.swap(true, Ordering::SeqCst) {
        node.runtime().spawn(sweep(node.downgrade()));
    }
}

async fn sweep(node: WeakNode) {
    let mut ticks = interval_at(Instant::now() + TICK, TICK);
    // A missed tick stays missed: the count never runs ahead of time.
    ticks.set_missed_tick_behavior(MissedTickBehavior::Skip);
    let mut idle = 0;
    loop {
        ticks.tick().await;
        let Some(node) = node.upgrade() else { return };
        let deadlines = node.deadlines();
        let now = deadlines.sweeps.fetch_add(1, Ordering::Relaxed) + 1;
        idle = if slots::sweep(deadlines.clock, now) == 0 { idle + 1 } else { 0 };
        if idle > REST_AFTER {
            deadlines.sweeping.store(false, Ordering::SeqCst);
            if slots::sweep(deadlines.clock, now) == 0 || deadlines.sweeping.swap(true, Ordering::SeqCst) {
                return;
            }
            idle = 0;
        }
    }
}
