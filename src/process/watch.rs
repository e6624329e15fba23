//! Reports callbacks that hold their thread.
//!
//! A shell notes on its thread when it begins and ends a poll: two plain stores, no clock. A thread of the node looks
//! every so often; a poll that it meets twice has run for that long without an await. It also sees to it that such polls do
//! not hold up processes that wait for a shell, callers that wait for their timeout, nor timers and sockets.

use std::cell::RefCell;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use super::cell::Core;
use super::node::{Node, WeakNode};
use super::shell;
use crate::term::Pid;

/// A callback that holds its thread this long is reported, at most twice this late.
const LOOK_EVERY: Duration = Duration::from_millis(100);

/// What one worker thread is doing for one node. Odd: a poll runs.
#[derive(Default)]
struct Seat {
    polls: AtomicU64,
    process: AtomicU64,
}

/// The seats of a node's worker threads.
#[derive(Default)]
pub(crate) struct Watch {
    seats: Mutex<Vec<Arc<Seat>>>,
    looking: AtomicBool,
    stalls: AtomicU64,
}

struct Mine {
    /// Pid 0 of the node that the seat belongs to: unique to that life of it.
    node: Pid,
    seat: Arc<Seat>,
}

thread_local! {
    static SEAT: RefCell<Option<Mine>> = const { RefCell::new(None) };
}

/// Marks the poll as over when dropped, also by a panic.
pub(crate) struct Poll(());

impl Drop for Poll {
    fn drop(&mut self) {
        SEAT.with(|mine| {
            if let Some(mine) = &*mine.borrow() {
                mine.seat.step();
            }
        });
    }
}

/// A poll of `core`'s process begins on this thread.
pub(crate) fn enter(core: &Core) -> Poll {
    SEAT.with(|mine| {
        let mut mine = mine.borrow_mut();
        let node = core.node().pid_of(0);
        if mine.as_ref().is_none_or(|mine| mine.node != node) {
            *mine = Some(Mine { node, seat: core.node().watch().take_seat(core.node()) });
        }
        if let Some(Mine { seat, .. }) = &*mine {
            seat.process.store(core.id(), Ordering::Relaxed);
            seat.step();
        }
    });
    Poll(())
}

impl Seat {
    /// From idle to a poll or back. Only the seat's own thread writes: no read-modify-write is needed.
    fn step(&self) {
        self.polls.store(self.polls.load(Ordering::Relaxed) + 1, Ordering::Release);
    }
}

impl Watch {
    fn take_seat(&self, node: &Node) -> Arc<Seat> {
        let seat = Arc::<Seat>::default();
        let mut seats = self.seats.lock().unwrap_or_else(PoisonError::into_inner);
        // A thread that is gone, or sits elsewhere now, holds its seat no more.
        seats.retain(|seat| Arc::strong_count(seat) > 1);
        seats.push(seat.clone());
        drop(seats);
        self.begin(node);
        seat
    }

    /// Has the thread look from now on.
    pub(crate) fn begin(&self, node: &Node) {
        if self.looking.swap(true, Ordering::AcqRel) {
            return;
        }
        let node = node.downgrade();
        let spawned = std::thread::Builder::new().name("incarnate-watch".into()).spawn(move || look(&node));
        if let Err(error) = spawned {
            tracing::warn!(target: "incarnate::process", %error, "no thread to watch for stalled callbacks");
        }
    }

    /// How often a callback was found holding its thread.
    pub(crate) fn stalls(&self) -> u64 {
        self.stalls.load(Ordering::Relaxed)
    }
}

/// A seat at the former look: the poll that ran, and whether it was reported.
type Former = (Arc<Seat>, u64, bool);

fn look(node: &WeakNode) {
    let mut former: Vec<Former> = Vec::new();
    let mut sweeps = 0;
    loop {
        std::thread::sleep(LOOK_EVERY);
        let Some(node) = node.upgrade() else { return };
        shell::relieve(&node);
        sweeps = node.deadlines().stand_in(&node, sweeps);
        let seats = node.watch().seats.lock().unwrap_or_else(PoisonError::into_inner).clone();
        former = seats.into_iter().map(|seat| look_at(&node, seat, &former)).collect();
        if former.iter().any(|(_, _, stalls)| *stalls) {
            // It may have been the one that waited for timers and sockets for all: another takes that over when it wakes.
            drop(node.runtime().spawn(async {}));
        }
    }
}

fn look_at(node: &Node, seat: Arc<Seat>, former: &[Former]) -> Former {
    let polls = seat.polls.load(Ordering::Acquire);
    let before = former.iter().find(|(other, ..)| Arc::ptr_eq(other, &seat));
    let same = before.is_some_and(|(_, was, _)| *was == polls && polls % 2 == 1);
    let reported = before.is_some_and(|(_, _, reported)| *reported);
    if same && !reported {
        report(node, seat.process.load(Ordering::Relaxed));
    }
    (seat, polls, same)
}

fn report(node: &Node, id: u64) {
    node.watch().stalls.fetch_add(1, Ordering::Relaxed);
    let process = node.table().get(id);
    let callback = process.as_ref().map(|process| process.core().callback());
    let kind = process.as_ref().map_or("", |process| process.core().kind());
    tracing::warn!(
        target: "incarnate::stall",
        pid = %node.pid_of(id),
        ?callback,
        kind,
        "a callback holds its thread: nothing else runs there, and no signal can end it; use cx.blocking"
    );
}
