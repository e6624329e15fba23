//! Deadlines of calls: one sweep over the reply slots, so that a call's timeout costs one store and reads no clock.
//!
//! The sweep is a task of the node's runtime. Who waits may be elsewhere, and that runtime may stand still: then the thread
//! that looks for stalled callbacks sweeps in its place. No waiter has to find out whose runtime it is in.

use std::sync::atomic::{AtomicBool, AtomicU16, AtomicU32, Ordering};
use std::time::Duration;

use tokio::time::{Instant, MissedTickBehavior, interval_at};

use super::node::{Node, WeakNode};
use super::slots::{self, Deadline, Pending};

/// How often the sweep runs. A call times out at its timeout or up to two of these later, never earlier; where the
/// runtime stands still, up to three looks of the watch later.
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
    /// Counts the sweeps of the task.
    sweeps: AtomicU32,
    /// The last sweep, or at first the node's beginning, has seen the clock move, so that the next sweep knows well enough
    /// what time it was.
    moving: AtomicBool,
}

impl Deadlines {
    pub(crate) fn new(origin: Instant) -> Self {
        Deadlines {
            clock: CLOCKS.fetch_add(1, Ordering::Relaxed),
            origin,
            sweeping: AtomicBool::new(false),
            sweeps: AtomicU32::new(0),
            moving: AtomicBool::new(moves()),
        }
    }

    /// Whether time went by at the last sweep, and sweeps run or none has run yet.
    #[inline]
    pub(super) fn is_moving(&self) -> bool {
        self.moving.load(Ordering::Relaxed)
    }

    /// Sweeps, if the task should have since the `former` look and has not. Answers what the next look is to bring.
    pub(super) fn stand_in(&self, node: &Node, former: u32) -> u32 {
        let sweeps = self.sweeps.load(Ordering::Relaxed);
        if sweeps == former && self.sweeping.load(Ordering::Relaxed) {
            let _clock = node.runtime().enter();
            self.sweep();
        }
        sweeps
    }

    fn sweep(&self) -> usize {
        slots::sweep(self.clock, || self.origin.elapsed())
    }
}

/// Whether time goes by, or is paused. Two looks at a clock that moves are never the same.
fn moves() -> bool {
    let begin = Instant::now();
    (0..64).any(|_| Instant::now() != begin)
}

/// Has a waiter give up after `timeout`.
#[inline]
pub(crate) fn arm<R: Send + 'static>(node: &Node, pending: &Pending<R>, timeout: Duration) {
    let deadlines = node.deadlines();
    pending.arm(deadlines.clock, deadline(node, timeout));
    // Sequentially consistent with the sweeper's last look: one of the two sees the other.
    if !deadlines.sweeping.load(Ordering::SeqCst) && !deadlines.sweeping.swap(true, Ordering::SeqCst) {
        begin(node);
    }
}

#[cold]
fn begin(node: &Node) {
    node.runtime().spawn(sweep(node.downgrade()));
    node.watch().begin(node);
}

/// While sweeps run and time goes by, the clock is not read. A paused clock is: it may go on by a leap, in which the next
/// sweep could not tell who came before and who came after.
#[inline]
fn deadline(node: &Node, timeout: Duration) -> Deadline {
    // In 64 bits: a division of nanoseconds in 128 costs as much as a tenth of a call.
    let millis = |wide: Duration| {
        wide.as_secs().saturating_mul(1000).saturating_add(u64::from(wide.subsec_nanos().div_ceil(1_000_000)))
    };
    let deadlines = node.deadlines();
    if deadlines.is_moving() {
        return Deadline::After(millis(timeout));
    }
    Deadline::At(millis(read(node).saturating_add(timeout)))
}

#[cold]
fn read(node: &Node) -> Duration {
    let _clock = node.runtime().enter();
    node.deadlines().origin.elapsed()
}

async fn sweep(node: WeakNode) {
    let mut ticks = interval_at(Instant::now() + TICK, TICK);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Skip);
    let mut idle = 0;
    loop {
        ticks.tick().await;
        let Some(node) = node.upgrade() else { return };
        let (deadlines, now) = (node.deadlines(), Instant::now());
        deadlines.sweeps.fetch_add(1, Ordering::Relaxed);
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
