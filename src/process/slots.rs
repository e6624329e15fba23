//! The reply slots: where a caller waits for its answer.
//!
//! Slots are pooled and never freed, so that a call allocates nothing in the steady state: an id is a generation and
//! an index, free indices are kept per thread, and the box that carries the answer is used again. The pool is the one
//! process-wide static of the crate: an answer may come from a task that belongs to no node.
//!
//! Invariants:
//! - an id is answered or failed at most once; the generation moves on when its waiter goes, so that a late answer
//!   finds nothing;
//! - no user code (a `Drop`, a waker) runs under a slot's lock.

use std::any::{Any, TypeId};
use std::cell::RefCell;
use std::future::poll_fn;
use std::hash::{BuildHasher, Hasher, RandomState};
use std::marker::PhantomData;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::term::ExitReason;

/// Slots in the first chunk; each further chunk has twice as many.
const FIRST_CHUNK: u32 = 1024;
/// Enough chunks for every 32-bit index.
const CHUNKS: usize = 22;
/// Free slots that a thread keeps for itself.
const LOCAL_FREE: usize = 64;
/// Bits of a deadline below those that name the clock.
const CLOCK_AT: u32 = 48;
/// Set: the rest is how long the waiter waits, from a moment that no sweep has looked at yet. Else it is when it gives up.
const FRESH: u64 = 1 << (CLOCK_AT - 1);
/// The longest time and the last moment that a deadline can say, in milliseconds: 4,000 years.
const LAST: u64 = FRESH - 1;

/// Which slot, and which use of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub(crate) struct SlotId(u64);

impl SlotId {
    fn new(generation: u32, index: u32) -> Self {
        SlotId(u64::from(generation) << 32 | u64::from(index))
    }

    /// As it crosses between nodes.
    pub(crate) fn number(self) -> u64 {
        self.0
    }

    pub(crate) fn from_number(number: u64) -> Self {
        SlotId(number)
    }

    fn index(self) -> u32 {
        self.0 as u32
    }

    fn generation(self) -> u32 {
        (self.0 >> 32) as u32
    }
}

/// Why a waiter got no answer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Failure {
    /// The deadline has passed.
    Timeout,
    /// There was nobody to ask.
    NoProc,
    /// The mailbox of who was asked, on another node, is at its bound.
    Overloaded,
    /// The process that had the request ended.
    Exit(ExitReason),
    /// An answer of another type came: a forged or mixed-up return address.
    BadReply,
    /// Who was asked, on another node, takes other messages.
    WrongProtocol,
    /// The request belonged to another version of the server.
    NotUnderstood,
    /// The request was for an event handler that is not installed.
    BadModule,
    /// The event handler that had the request crashed.
    Handler(Box<ExitReason>),
}

#[derive(Clone, Copy, Default, PartialEq, Eq)]
enum Phase {
    #[default]
    Free,
    Waiting,
    /// As `Waiting`; somebody watches the process that is asked.
    Watched,
    Answered,
    Failed,
}

/// In one cache line, and alone there: callers on different threads do not meet.
#[derive(Default)]
#[repr(align(64))]
struct Slot {
    state: Mutex<State>,
    /// The clock, and when by it the waiter gives up; 0 is never.
    deadline: AtomicU64,
}

#[derive(Default)]
struct State {
    generation: u32,
    phase: Phase,
    /// Why, if it failed. Boxed: rare.
    failure: Option<Box<Failure>>,
    /// A `Box<Option<R>>` of the last type that was used here.
    value: Option<Box<dyn Any + Send>>,
    waker: Option<Waker>,
}

struct Pool {
    chunks: [OnceLock<Box<[Slot]>>; CHUNKS],
    free: Mutex<Free>,
}

/// A free slot, and the type of the place for an answer that is in it: to know it is cheaper than to ask the place.
struct Spare {
    index: u32,
    kind: Option<TypeId>,
}

#[derive(Default)]
struct Free {
    spares: Vec<Spare>,
    /// Indices below this one have been handed out at least once.
    grown: u32,
}

static POOL: Pool = Pool {
    chunks: [const { OnceLock::new() }; CHUNKS],
    free: Mutex::new(Free { spares: Vec::new(), grown: 0 }),
};

thread_local! {
    static LOCAL: RefCell<LocalFree> = const { RefCell::new(LocalFree(Vec::new())) };
}

/// A thread's own free slots; they go back to the pool when the thread ends.
struct LocalFree(Vec<Spare>);

impl Drop for LocalFree {
    fn drop(&mut self) {
        lock(&POOL.free).spares.append(&mut self.0);
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // Nothing panics under these locks: a poisoned one is still whole.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn place(index: u32) -> (usize, usize) {
    let shifted = u64::from(index) + u64::from(FIRST_CHUNK);
    let chunk = shifted.ilog2() - FIRST_CHUNK.ilog2();
    (chunk as usize, (shifted - (u64::from(FIRST_CHUNK) << chunk)) as usize)
}

fn slot(index: u32) -> Option<&'static Slot> {
    let (chunk, offset) = place(index);
    POOL.chunks.get(chunk)?.get()?.get(offset)
}

fn chunk_of(index: u32) -> &'static [Slot] {
    let (chunk, _) = place(index);
    POOL.chunks[chunk].get_or_init(|| {
        // Generations start anywhere, so that an id cannot be guessed from outside.
        let seed = RandomState::new();
        (0..FIRST_CHUNK << chunk)
            .map(|i| {
                let mut hasher = seed.build_hasher();
                hasher.write_u32(i);
                let slot = Slot::default();
                lock(&slot.state).generation = hasher.finish() as u32;
                slot
            })
            .collect()
    })
}

impl Free {
    fn take(&mut self) -> Spare {
        self.spares.pop().unwrap_or_else(|| {
            self.grown += 1;
            Spare { index: self.grown - 1, kind: None }
        })
    }
}

fn take_free() -> Spare {
    let taken = LOCAL.try_with(|local| {
        let mut local = local.borrow_mut();
        if local.0.is_empty() {
            let mut free = lock(&POOL.free);
            local.0.extend((0..LOCAL_FREE / 2).map(|_| free.take()));
        }
        local.0.pop()
    });
    // The thread is ending and its list is gone.
    taken.ok().flatten().unwrap_or_else(|| lock(&POOL.free).take())
}

fn give_back(spare: Spare) {
    let mut spare = Some(spare);
    let kept = LOCAL.try_with(|local| {
        let mut local = local.borrow_mut();
        if local.0.len() >= LOCAL_FREE {
            let half = local.0.split_off(LOCAL_FREE / 2);
            lock(&POOL.free).spares.extend(half);
        }
        local.0.extend(spare.take());
    });
    if kept.is_err() {
        lock(&POOL.free).spares.extend(spare);
    }
}

/// When a waiter gives up, in milliseconds of its clock.
pub(crate) enum Deadline {
    /// So long after now, which is not known: the next sweep takes its own time for it.
    After(u64),
    At(u64),
}

/// A waiter for one answer of type `R`. Dropping it gives up: a late answer then finds nothing.
pub(crate) struct Pending<R> {
    id: SlotId,
    done: bool,
    /// Its waker is in the slot already, and is that of the next poll.
    known: bool,
    answer: PhantomData<fn() -> R>,
}

/// Opens a slot.
pub(crate) fn open<R: Send + 'static>() -> Pending<R> {
    open_for(None)
}

/// As [`open`], for a waiter that has this waker and waits at once: its first poll finds it in its place.
pub(crate) async fn open_here<R: Send + 'static>() -> Pending<R> {
    open_for(Some(poll_fn(|cx| Poll::Ready(cx.waker().clone())).await))
}

fn open_for<R: Send + 'static>(waker: Option<Waker>) -> Pending<R> {
    let Spare { index, kind } = take_free();
    let slot = &chunk_of(index)[place(index).1];
    let mut state = lock(&slot.state);
    state.phase = Phase::Waiting;
    let known = waker.is_some();
    state.waker = waker;
    let stale = match kind == Some(TypeId::of::<R>()) {
        true => None,
        false => state.value.replace(Box::new(None::<R>)),
    };
    let id = SlotId::new(state.generation, index);
    drop(state);
    drop(stale);
    Pending { id, done: false, known, answer: PhantomData }
}

impl<R: Send + 'static> Pending<R> {
    /// The address of this waiter.
    pub(crate) fn id(&self) -> SlotId {
        self.id
    }

    /// Has the sweeps of `clock` give up. Once only.
    pub(crate) fn arm(&self, clock: u16, deadline: Deadline) {
        let word = match deadline {
            Deadline::After(millis) => FRESH | millis.min(LAST),
            Deadline::At(millis) => millis.min(LAST),
        };
        if let Some(slot) = slot(self.id.index()) {
            // Sequentially consistent: pairs with the sweeper's last look before it rests.
            slot.deadline.store(u64::from(clock) << CLOCK_AT | word, Ordering::SeqCst);
        }
    }

    /// Takes the answer if it is there.
    pub(crate) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Result<R, Failure>> {
        if std::mem::take(&mut self.known) {
            return Poll::Pending;
        }
        let Some(slot) = slot(self.id.index()) else { return Poll::Ready(Err(Failure::NoProc)) };
        let mut state = lock(&slot.state);
        if self.done || state.generation != self.id.generation() {
            return Poll::Ready(Err(Failure::NoProc));
        }
        if !state.phase.is_over() {
            let stale = match &state.waker {
                Some(waker) if waker.will_wake(cx.waker()) => None,
                _ => state.waker.replace(cx.waker().clone()),
            };
            drop(state);
            drop(stale);
            return Poll::Pending;
        }
        state.phase = Phase::Free;
        let result = match state.failure.take() {
            Some(failure) => Err(*failure),
            None => {
                let place = state.value.as_mut().and_then(|value| value.downcast_mut::<Option<R>>());
                place.and_then(Option::take).ok_or(Failure::BadReply)
            }
        };
        state.generation = state.generation.wrapping_add(1);
        let waker = state.waker.take();
        slot.deadline.store(0, Ordering::Relaxed);
        drop(state);
        drop(waker);
        self.done = true;
        give_back(Spare { index: self.id.index(), kind: Some(TypeId::of::<R>()) });
        Poll::Ready(result)
    }
}

impl<R> Drop for Pending<R> {
    fn drop(&mut self) {
        if self.done {
            return;
        }
        let Some(slot) = slot(self.id.index()) else { return };
        let mut state = lock(&slot.state);
        state.generation = state.generation.wrapping_add(1);
        slot.deadline.store(0, Ordering::Relaxed);
        let phase = std::mem::take(&mut state.phase);
        let failure = state.failure.take();
        // An answer that nobody took: its drop is user code.
        let unread = (phase == Phase::Answered).then(|| state.value.take());
        let waker = state.waker.take();
        drop(state);
        drop((failure, unread, waker));
        give_back(Spare { index: self.id.index(), kind: None });
    }
}

impl State {
    fn fail(&mut self, failure: Failure) {
        self.phase = Phase::Failed;
        self.failure = Some(Box::new(failure));
    }

    fn awaits(&self, id: SlotId) -> bool {
        self.generation == id.generation() && self.phase.is_waiting()
    }
}

impl Phase {
    fn is_waiting(&self) -> bool {
        matches!(self, Phase::Waiting | Phase::Watched)
    }

    fn is_over(&self) -> bool {
        matches!(self, Phase::Answered | Phase::Failed)
    }
}

/// Answers a waiter. False: nobody waits there any more, and the value was dropped.
pub(crate) fn fill<R: Send + 'static>(id: SlotId, value: R) -> bool {
    let Some(slot) = slot(id.index()) else { return false };
    let state = lock(&slot.state);
    if !state.awaits(id) {
        drop(state);
        drop(value);
        return false;
    }
    put(state, value)
}

/// Answers a waiter that nobody watches. Any other answer, also one for nobody, comes back.
pub(crate) fn fill_unwatched<R: Send + 'static>(id: SlotId, value: R) -> Result<bool, R> {
    let Some(slot) = slot(id.index()) else { return Err(value) };
    let state = lock(&slot.state);
    if state.generation != id.generation() || !matches!(state.phase, Phase::Waiting) {
        drop(state);
        return Err(value);
    }
    Ok(put(state, value))
}

/// Has [`fill_unwatched`] give the answer back.
pub(crate) fn watch(id: SlotId) {
    let Some(slot) = slot(id.index()) else { return };
    let mut state = lock(&slot.state);
    if state.awaits(id) {
        state.phase = Phase::Watched;
    }
}

// Inlined: an answer goes from its sender to its place.
#[inline(always)]
fn put<R: Send + 'static>(mut state: MutexGuard<'_, State>, value: R) -> bool {
    let rejected = match state.value.as_mut().and_then(|v| v.downcast_mut::<Option<R>>()) {
        Some(place) => {
            *place = Some(value);
            state.phase = Phase::Answered;
            None
        }
        None => {
            state.fail(Failure::BadReply);
            Some(value)
        }
    };
    let waker = state.waker.take();
    drop(state);
    let accepted = rejected.is_none();
    drop(rejected);
    if let Some(waker) = waker {
        waker.wake();
    }
    accepted
}

/// Ends a wait without an answer. False: nobody waits there any more.
pub(crate) fn fail(id: SlotId, failure: Failure) -> bool {
    let Some(slot) = slot(id.index()) else { return false };
    let mut state = lock(&slot.state);
    if !state.awaits(id) {
        return false;
    }
    state.fail(failure);
    let waker = state.waker.take();
    drop(state);
    if let Some(waker) = waker {
        waker.wake();
    }
    true
}

/// Whether somebody still waits there.
pub(crate) fn is_waiting(id: SlotId) -> bool {
    slot(id.index()).is_some_and(|slot| lock(&slot.state).awaits(id))
}

/// Slots that are to be filled or failed some day. Those whose waiter has given up are dropped as it grows, so that it
/// never holds many more than wait.
#[derive(Default)]
pub(crate) struct Waiters {
    ids: Vec<SlotId>,
    prune_at: usize,
}

impl Waiters {
    pub(crate) fn push(&mut self, id: SlotId) {
        if self.ids.len() >= self.prune_at {
            self.prune();
            self.prune_at = (self.ids.len() * 2).max(8);
        }
        self.ids.push(id);
    }

    /// Drops those that nobody waits at any more; answers whether any is left.
    pub(crate) fn prune(&mut self) -> bool {
        self.ids.retain(|id| is_waiting(*id));
        !self.ids.is_empty()
    }
}

impl IntoIterator for Waiters {
    type Item = SlotId;
    type IntoIter = std::vec::IntoIter<SlotId>;

    fn into_iter(self) -> Self::IntoIter {
        self.ids.into_iter()
    }
}

/// Fails every waiter of `clock` whose time has passed; answers how many are still armed. `clock` is read once, and once
/// for each waiter that came since the last sweep.
///
/// A read per slot that was ever used: 100,000 armed slots take well below a millisecond.
pub(crate) fn sweep(clock: u16, read: impl Fn() -> Duration) -> usize {
    let grown = lock(&POOL.free).grown;
    // Rounded down: what has not passed in full has not passed.
    let now = millis(read().as_millis());
    let mut armed = 0;
    for (chunk, slots) in POOL.chunks.iter().enumerate() {
        let first = (u64::from(FIRST_CHUNK) << chunk) - u64::from(FIRST_CHUNK);
        let Some(slots) = slots.get() else { break };
        if first >= u64::from(grown) {
            break;
        }
        for slot in slots {
            let deadline = slot.deadline.load(Ordering::SeqCst);
            if deadline == 0 || (deadline >> CLOCK_AT) as u16 != clock {
                continue;
            }
            if deadline & FRESH != 0 {
                date(slot, deadline, &read);
                armed += 1;
            } else if deadline & LAST <= now {
                expire(slot, deadline);
            } else {
                armed += 1;
            }
        }
    }
    armed
}

/// Gives a fresh deadline its moment. Its waiter came before the clock is read here, so it is never too early.
fn date(slot: &Slot, fresh: u64, read: impl Fn() -> Duration) {
    // Under the lock: without it the slot does not go to another waiter.
    let _state = lock(&slot.state);
    if slot.deadline.load(Ordering::Acquire) != fresh {
        return;
    }
    let now = millis(read().as_nanos().div_ceil(1_000_000));
    let at = now.saturating_add(fresh & LAST).min(LAST);
    slot.deadline.store(fresh & !(FRESH | LAST) | at, Ordering::Relaxed);
}

fn millis(wide: u128) -> u64 {
    u64::try_from(wide).map_or(LAST, |millis| millis.min(LAST))
}

fn expire(slot: &Slot, deadline: u64) {
    let mut state = lock(&slot.state);
    // The slot may have gone to another waiter since it was read.
    if slot.deadline.load(Ordering::Relaxed) != deadline || !state.phase.is_waiting() {
        return;
    }
    slot.deadline.store(0, Ordering::Relaxed);
    state.fail(Failure::Timeout);
    let waker = state.waker.take();
    drop(state);
    if let Some(waker) = waker {
        waker.wake();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn poll<R: Send + 'static>(pending: &mut Pending<R>) -> Poll<Result<R, Failure>> {
        pending.poll(&mut Context::from_waker(Waker::noop()))
    }

    #[test]
    fn a_slot_is_a_cache_line() {
        assert_eq!(size_of::<Slot>(), 64);
    }

    #[test]
    fn indices_fall_into_doubling_chunks() {
        assert_eq!(place(0), (0, 0));
        assert_eq!(place(1023), (0, 1023));
        assert_eq!(place(1024), (1, 0));
        assert_eq!(place(3071), (1, 2047));
        assert_eq!(place(3072), (2, 0));
        assert!(place(u32::MAX).0 < CHUNKS + 1);
    }

    #[test]
    fn an_answer_is_taken_once_and_a_second_one_finds_nobody() {
        let mut pending = open::<u32>();
        assert!(poll(&mut pending).is_pending());
        assert!(fill(pending.id(), 7u32));
        assert!(!fill(pending.id(), 8u32));
        assert_eq!(poll(&mut pending), Poll::Ready(Ok(7)));
        assert!(!fill(pending.id(), 9u32));
    }

    #[test]
    fn a_late_answer_vanishes() {
        let pending = open::<String>();
        let id = pending.id();
        drop(pending);
        assert!(!fill(id, "late".to_owned()));
        assert!(!fail(id, Failure::NoProc));
    }

    #[test]
    fn an_answer_of_another_type_is_a_bad_reply() {
        let mut pending = open::<u32>();
        assert!(!fill(pending.id(), "seven"));
        assert_eq!(poll(&mut pending), Poll::Ready(Err(Failure::BadReply)));
    }

    #[test]
    fn waiters_that_gave_up_take_no_room() {
        let mut waiters = Waiters::default();
        let stays = open::<u8>();
        waiters.push(stays.id());
        for _ in 0..10_000 {
            waiters.push(open::<u8>().id());
        }
        assert!(waiters.ids.len() <= 16, "{} are kept", waiters.ids.len());
        assert!(waiters.prune());
        assert!(waiters.into_iter().eq([stays.id()]));
    }

    #[test]
    fn a_forged_id_is_nobody() {
        assert!(!fill(SlotId(u64::MAX), 1u8));
        assert!(!fail(SlotId(u64::from(u32::MAX)), Failure::NoProc));
    }

    #[test]
    fn the_sweep_of_a_clock_leaves_other_clocks_alone() {
        let (mut mine, mut other) = (open::<u8>(), open::<u8>());
        mine.arm(61_001, Deadline::At(10));
        other.arm(61_002, Deadline::At(10));
        assert_eq!(sweep(61_001, || Duration::from_millis(9)), 1);
        assert!(poll(&mut mine).is_pending());
        assert_eq!(sweep(61_001, || Duration::from_millis(10)), 0);
        assert_eq!(poll(&mut mine), Poll::Ready(Err(Failure::Timeout)));
        assert!(poll(&mut other).is_pending());
    }

    #[test]
    fn a_fresh_deadline_begins_with_the_sweep_that_finds_it_and_is_rounded_up() {
        let mut pending = open::<u8>();
        pending.arm(61_003, Deadline::After(300));
        assert_eq!(sweep(61_003, || Duration::from_micros(5_000_001)), 1);
        assert_eq!(sweep(61_003, || Duration::from_micros(5_300_999)), 1);
        assert!(poll(&mut pending).is_pending());
        assert_eq!(sweep(61_003, || Duration::from_millis(5_301)), 0);
        assert_eq!(poll(&mut pending), Poll::Ready(Err(Failure::Timeout)));
        let far = open::<u8>();
        far.arm(61_003, Deadline::After(u64::MAX));
        assert_eq!(sweep(61_003, || Duration::from_secs(1)), 1);
        assert_eq!(sweep(61_003, || Duration::from_secs(1 << 36)), 1);
    }

    #[test]
    fn the_answer_of_one_type_gives_room_to_another() {
        for round in 0..200u32 {
            let mut number = open::<u32>();
            fill(number.id(), round);
            assert_eq!(poll(&mut number), Poll::Ready(Ok(round)));
            let mut text = open::<String>();
            fill(text.id(), round.to_string());
            assert_eq!(poll(&mut text), Poll::Ready(Ok(round.to_string())));
        }
    }
}
