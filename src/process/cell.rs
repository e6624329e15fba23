//! The cell of a process: what others hold of it. Its mailbox, its ties, and its fate.
//!
//! Invariants:
//! - one queue carries messages, requests, trapped exits, DOWN, timers and system messages: that is what gives the
//!   order of signals between two processes;
//! - a process is awaited by at most one shell; a parked one by none, and the signal that finds it parked starts one;
//! - a doomed process (an exit signal that was not trapped) never parks and takes nothing more out of its mailbox;
//! - a closed mailbox stays closed.
//!
//! Lock order: relations before mail. No user code runs under either.

use std::any::Any;
use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU16, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};

use super::callback::Callback;
use super::catch::drop_caught;
use super::codes::{CodeId, Kind};
use super::elsewhere::{Delayed, Intake, Outlet, Room, Tie};
use super::envelope::Envelope;
use super::error::Unsendable;
use super::life::Incarnation;
use super::next::Next;
use super::node::Node;
use super::relations::{Group, Relations};
use super::signal::{Exit, Signal};
use super::slots::{self, Failure, Pending, SlotId};
use crate::handoff::ModuleVsn;
use crate::term::{ExitReason, Pid, Term};

/// So many entries before a receiver that was woken and has not come are a backlog.
const BACKLOG: usize = 256;

/// Bits of [`Core::attention`]: an untrapped exit signal has come.
const DOOMED: u8 = 1;
/// Somebody watches what it does.
const DEBUGGED: u8 = 2;
/// It has sent so much to another node that it is to wait before it goes on.
const HELD_BACK: u8 = 4;

/// Why an envelope was not taken.
#[derive(Debug)]
pub(crate) enum Rejected {
    /// The process has ended.
    Closed,
    /// The mailbox has a bound and is at it.
    Full,
    /// A request of the process to itself, which it could never answer.
    Itself,
    /// Its node is not connected.
    NoConnection,
    /// It does not serialise, or is too large for its way: why.
    Unsendable(Box<Unsendable>),
    /// A request to another node, to which too much waits to be sent: it may wait for its turn.
    Delayed(Box<dyn Delayed>),
}

/// By what an exit signal came.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum By {
    /// A linked process ended.
    Link,
    /// `exit(pid, reason)`.
    Call,
}

/// A process as the node knows it, whatever messages it takes.
pub(crate) trait Process: Send + Sync + 'static {
    fn core(&self) -> &Core;
    /// Puts a signal into the mailbox; `None`: it has ended. What is left to do is for after the caller's locks.
    fn signal_then(&self, signal: Signal) -> Option<Next>;
    /// Puts a signal into the mailbox; false: it has ended.
    fn signal(&self, signal: Signal) -> bool {
        self.signal_then(signal).map(Next::run).is_some()
    }
    /// Puts [`Signal::Changed`] into the mailbox without waking anybody.
    fn mark_change(&self);
    /// A process of this node is tied to it, or no longer. Called under the locks of what ties it: for those that stand for
    /// one of another node.
    fn tied(&self, _from: Pid, _tie: Tie<'_>) {}
    /// A waiter for its end; `None` if it has ended.
    fn watch_end(&self) -> Option<Pending<ExitReason>> {
        let ended = slots::open::<ExitReason>();
        let mut relations = self.core().relations();
        if relations.gone {
            return None;
        }
        relations.rare_mut().waiting.push(ended.id());
        Some(ended)
    }
    /// An exit signal arrives: trapped, ignored, or the end. What is left to do is for after the caller's locks.
    fn exit_then(&self, from: Pid, reason: ExitReason, by: By) -> Next;
    /// An exit signal arrives: trapped, ignored, or the end.
    fn exit(&self, from: Pid, reason: ExitReason, by: By) {
        self.exit_then(from, reason, by).run();
    }
    /// Ends it with a reason, trapping or not, as soon as it awaits.
    fn doom_with(&self, reason: ExitReason);
    /// A shell begins to run it; the waker reaches the shell wherever it awaits.
    fn begin(&self, shell: Waker);
    /// The reason of an untrapped exit signal, if one came.
    fn doom(&self) -> Option<ExitReason>;
    /// Gives up the shell, unless there is something to do.
    fn park(&self, incarnation: Box<dyn Incarnation>) -> Option<Box<dyn Incarnation>>;
    /// Closes the mailbox and fails every request in it, and those taken and not answered, with the reason.
    fn close(&self, reason: &ExitReason);
    /// Sets `trap_exit`, answers the former value.
    fn trap_exit(&self, on: bool) -> bool;
    /// Whether exit signals are trapped.
    fn traps_exit(&self) -> bool;
    /// Entries that wait, the batch in work included.
    fn mailbox_len(&self) -> u64;
    fn into_any(self: Arc<Self>) -> Arc<dyn Any + Send + Sync>;
}

/// Where a process comes from.
enum Origin {
    /// Spawned by this one.
    Parent(Pid),
    /// It lives on another node, as this one.
    Elsewhere(Pid),
}

/// The part of a cell that does not depend on its messages.
///
/// What its shell writes for each message comes first, and what its senders write comes last in the cell: in one cache
/// line they would have a sender and a receiver that run side by side wait for each other.
#[repr(C)]
pub(crate) struct Core {
    handled: AtomicU64,
    callback: AtomicU8,
    /// What is unusual about it, as bits: its shell looks at them before each message, and finds none.
    attention: AtomicU8,
    suspended: AtomicBool,
    /// Suspended by an upgrade, until that is done.
    held: AtomicBool,
    /// Its parent waits for it to be started, and is told of a failure by the answer alone.
    starting: AtomicBool,
    /// It was linked to its parent when it was started.
    linked: AtomicBool,
    /// Which version of which module runs, if it can be changed; see `codes.rs`.
    code: AtomicU16,
    id: u64,
    node: Node,
    origin: Option<Box<Origin>>,
    /// The type name of what runs (`initial_call`).
    kind: Kind,
    relations: Mutex<Relations>,
}

impl Core {
    pub(crate) fn new(node: Node, parent: Option<&Arc<dyn Process>>, kind: Kind) -> Self {
        let parent = parent.map(|parent| parent.core());
        // Numbers of applications are those of one node.
        let group = parent.filter(|parent| parent.node == node).map_or(0, Core::group);
        Core {
            id: node.next_process_id(),
            node,
            origin: parent.map(|parent| Box::new(Origin::Parent(parent.pid()))),
            kind,
            attention: AtomicU8::new(0),
            suspended: AtomicBool::new(false),
            held: AtomicBool::new(false),
            starting: AtomicBool::new(false),
            linked: AtomicBool::new(false),
            code: AtomicU16::new(0),
            callback: AtomicU8::new(Callback::Waiting as u8),
            handled: AtomicU64::new(0),
            relations: Mutex::new(Relations::within(group)),
        }
    }

    /// Of what stands here for a process of another node.
    pub(crate) fn elsewhere(node: Node, pid: Pid, kind: Kind) -> Self {
        let origin = Some(Box::new(Origin::Elsewhere(pid)));
        // No process has this number.
        Core { id: 0, origin, ..Core::new(node, None, kind) }
    }

    /// The application that it belongs to.
    pub(crate) fn group(&self) -> Group {
        self.relations().group
    }

    pub(crate) fn set_group(&self, group: Group) {
        self.relations().group = group;
    }

    /// What reads the messages that it gets from other nodes.
    pub(crate) fn intake(&self) -> Option<&'static dyn Intake> {
        self.relations().rare().and_then(|rare| rare.intake)
    }

    pub(crate) fn pid(&self) -> Pid {
        match self.origin.as_deref() {
            Some(Origin::Elsewhere(pid)) if self.is_elsewhere() => *pid,
            _ => self.node.pid_of(self.id),
        }
    }

    pub(crate) fn id(&self) -> u64 {
        self.id
    }

    /// Whether the process lives on another node.
    pub(crate) fn is_elsewhere(&self) -> bool {
        self.id == 0
    }

    pub(crate) fn node(&self) -> &Node {
        &self.node
    }

    pub(crate) fn parent(&self) -> Option<Pid> {
        match self.origin.as_deref()? {
            Origin::Parent(pid) => Some(*pid),
            Origin::Elsewhere(_) => None,
        }
    }

    /// What it was started as.
    pub(crate) fn initial_kind(&self) -> &'static str {
        (self.kind)()
    }

    /// What it is now.
    pub(crate) fn kind(&self) -> &'static str {
        self.node.codes().kind(self.code_id()).unwrap_or(self.kind)()
    }

    pub(crate) fn relations(&self) -> MutexGuard<'_, Relations> {
        self.relations.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Its registered name and its label.
    pub(crate) fn titles(&self) -> (Option<&'static str>, Option<Term>) {
        let relations = self.relations();
        let rare = relations.rare();
        (rare.and_then(|rare| rare.names.first().copied()), rare.and_then(|rare| rare.label.clone()))
    }

    /// Whether anything is unusual about it: it is doomed, or watched.
    pub(crate) fn needs_attention(&self) -> bool {
        self.attention.load(Ordering::Acquire) != 0
    }

    pub(crate) fn is_doomed(&self) -> bool {
        self.attention.load(Ordering::Acquire) & DOOMED != 0
    }

    /// Whether somebody watches what it does.
    pub(crate) fn is_debugged(&self) -> bool {
        self.attention.load(Ordering::Relaxed) & DEBUGGED != 0
    }

    pub(super) fn set_debugged(&self, on: bool) {
        if on != self.is_debugged() {
            self.attention.fetch_xor(DEBUGGED, Ordering::Relaxed);
        }
    }

    /// It takes no message until there is room on the way to another node.
    pub(crate) fn hold_back(&self, room: Box<dyn Room>) {
        let mut relations = self.relations();
        if relations.gone {
            return;
        }
        let former = relations.rare_mut().room.replace(room);
        drop(relations);
        drop(former);
        self.attention.fetch_or(HELD_BACK, Ordering::Relaxed);
    }

    pub(crate) fn is_held_back(&self) -> bool {
        self.attention.load(Ordering::Relaxed) & HELD_BACK != 0
    }

    /// Waits until it is held back no longer. Only its own shell does.
    pub(super) fn poll_room(&self, cx: &mut Context<'_>) -> Poll<()> {
        let room = self.relations().existing_rare().and_then(|rare| rare.room.take());
        if let Some(mut room) = room
            && room.poll(cx).is_pending()
        {
            self.relations().rare_mut().room = Some(room);
            return Poll::Pending;
        }
        self.attention.fetch_and(!HELD_BACK, Ordering::Relaxed);
        Poll::Ready(())
    }

    pub(crate) fn callback(&self) -> Callback {
        Callback::of(self.callback.load(Ordering::Relaxed))
    }

    pub(crate) fn enter(&self, callback: Callback) {
        self.callback.store(callback as u8, Ordering::Relaxed);
    }

    /// Whether it serves system messages only: by hand, or because an upgrade holds it.
    pub(crate) fn is_suspended(&self) -> bool {
        self.suspended.load(Ordering::Relaxed) || self.held.load(Ordering::Relaxed)
    }

    pub(crate) fn is_suspended_by_hand(&self) -> bool {
        self.suspended.load(Ordering::Relaxed)
    }

    pub(crate) fn set_held(&self, on: bool) {
        self.held.store(on, Ordering::Relaxed);
    }

    pub(crate) fn set_suspended(&self, on: bool) {
        self.suspended.store(on, Ordering::Relaxed);
    }

    /// The version of the module that runs; `None`: it cannot be changed.
    pub(crate) fn code(&self) -> Option<ModuleVsn> {
        self.node.codes().named(self.code_id())
    }

    pub(crate) fn code_id(&self) -> CodeId {
        self.code.load(Ordering::Acquire)
    }

    pub(crate) fn set_code(&self, code: CodeId) {
        self.code.store(code, Ordering::Release);
    }

    /// Its parent is about to be linked to it, and waits for it to be started.
    pub(crate) fn start_linked(&self) {
        self.linked.store(true, Ordering::Relaxed);
        self.starting.store(true, Ordering::Relaxed);
    }

    pub(crate) fn set_started(&self) {
        self.starting.store(false, Ordering::Relaxed);
    }

    /// The process whose exit ends a server that traps exits: the one that it was linked to when it was started. One
    /// that merely asked for the start is nobody in particular.
    pub(crate) fn linked_parent(&self) -> Option<Pid> {
        if self.linked.load(Ordering::Relaxed) { self.parent() } else { None }
    }

    /// Who waits for it to be started.
    pub(crate) fn starter(&self) -> Option<Pid> {
        if self.starting.load(Ordering::Relaxed) { self.parent() } else { None }
    }

    pub(crate) fn handled(&self) -> u64 {
        self.handled.load(Ordering::Relaxed)
    }

    /// Counts a message that the process took. Only its own shell writes here.
    pub(crate) fn count_handled(&self) {
        self.handled.store(self.handled.load(Ordering::Relaxed) + 1, Ordering::Relaxed);
    }
}

/// A cell whose mailbox carries messages `M`.
#[repr(C)]
pub(crate) struct Cell<M> {
    core: Core,
    mail: Mutex<Mail<M>>,
}

enum Phase<M> {
    /// A shell runs it, or is about to.
    Open,
    /// It is at rest here, or hibernates: no shell runs it.
    Parked(Box<dyn Incarnation>),
    /// An untrapped exit signal has come.
    Doomed(ExitReason),
    Closed,
    /// It lives on another node; this one's `relations` are gone.
    Elsewhere(Arc<dyn Outlet<M>>),
}

struct Mail<M> {
    phase: Phase<M>,
    trap_exit: bool,
    /// 0 is no bound.
    bound: u32,
    /// Entries ever taken in, for the length and the bound.
    enqueued: u64,
    /// The oldest entry; a process that never has two needs no queue.
    first: Option<Envelope<M>>,
    queue: Vec<Envelope<M>>,
    /// Whoever waits for the mailbox to have something.
    receiver: Option<Waker>,
    /// The receiver was woken, or is new, and has not looked since.
    summoned: bool,
    /// The shell.
    shell: Option<Waker>,
    /// Requests that were taken out and not yet answered when their inbox went.
    #[expect(clippy::box_collection, reason = "one word instead of three in every process; rarely used")]
    unanswered: Option<Box<Vec<SlotId>>>,
}

impl<M> Mail<M> {
    /// Why it takes no such entry.
    #[inline]
    fn refusal(&self, core: &Core, is_signal: bool) -> Option<Rejected> {
        if self.is_closed() {
            return Some(Rejected::Closed);
        }
        let full = self.bound != 0 && !is_signal && self.enqueued - core.handled() >= u64::from(self.bound);
        full.then_some(Rejected::Full)
    }

    fn put(&mut self, core: &Core, envelope: Envelope<M>) -> Next {
        let is_signal = matches!(envelope, Envelope::Signal(_));
        self.put_with(core, is_signal, || envelope)
    }

    // Inlined, and made where it stays: an entry goes from its sender's registers to the queue. One that was made before
    // would be read again before the processor has written it.
    #[inline(always)]
    fn put_with(&mut self, core: &Core, is_signal: bool, envelope: impl FnOnce() -> Envelope<M>) -> Next {
        self.enqueued += 1;
        if self.first.is_none() && self.queue.is_empty() {
            self.first = Some(envelope());
        } else {
            self.queue.extend(std::iter::once_with(envelope));
            if self.queue.len() == BACKLOG && self.summoned {
                return Next::Spread(core.node.clone());
            }
        }
        match self.receiver.take() {
            Some(waker) => {
                self.summoned = true;
                Next::Wake(waker)
            }
            None if !matches!(self.phase, Phase::Parked(_)) => Next::Nothing,
            // One that is parked and suspended sleeps on: only a signal is for it now. Looked at last: what says so lies
            // beside what a receiver that runs writes for each message.
            None if core.is_suspended() && !is_signal => Next::Nothing,
            None => self.unpark(),
        }
    }

    fn unpark(&mut self) -> Next {
        // Looked at first: nearly always there is nothing to move.
        if !matches!(self.phase, Phase::Parked(_)) {
            return Next::Nothing;
        }
        match std::mem::replace(&mut self.phase, Phase::Open) {
            Phase::Parked(incarnation) => {
                self.summoned = true;
                Next::Start(incarnation)
            }
            _ => Next::Nothing,
        }
    }

    fn outlet(&self) -> Option<Arc<dyn Outlet<M>>> {
        match &self.phase {
            Phase::Elsewhere(outlet) => Some(outlet.clone()),
            _ => None,
        }
    }

    /// Nothing is put in here any more, or ever.
    fn is_closed(&self) -> bool {
        matches!(self.phase, Phase::Closed | Phase::Elsewhere(_))
    }

    /// Nothing is taken out any more, so that what was sent after an exit signal is never seen (rule 2.2.14).
    fn is_over(&self) -> bool {
        matches!(self.phase, Phase::Doomed(_) | Phase::Closed | Phase::Elsewhere(_))
    }
}

impl<M: Send + 'static> Cell<M> {
    pub(crate) fn new(core: Core, bound: u32) -> Self {
        Cell {
            core,
            mail: Mutex::new(Mail {
                phase: Phase::Open,
                trap_exit: false,
                bound,
                enqueued: 0,
                first: None,
                queue: Vec::new(),
                receiver: None,
                summoned: true,
                shell: None,
                unanswered: None,
            }),
        }
    }

    /// Of a process that has ended.
    pub(crate) fn closed(core: Core) -> Self {
        Self::without_mailbox(core, Phase::Closed)
    }

    /// Of a process that lives on another node.
    pub(crate) fn elsewhere(core: Core, outlet: Arc<dyn Outlet<M>>) -> Self {
        Self::without_mailbox(core, Phase::Elsewhere(outlet))
    }

    fn without_mailbox(core: Core, phase: Phase<M>) -> Self {
        core.relations().gone = true;
        let cell = Cell::new(core, 0);
        cell.mail().phase = phase;
        cell
    }

    /// The process as others are tied to it: what stands for it, if it lives on another node that is connected.
    pub(crate) fn as_process(self: &Arc<Self>) -> Arc<dyn Process> {
        if !self.core.is_elsewhere() {
            return self.clone();
        }
        self.outlet().and_then(|outlet| outlet.process()).unwrap_or_else(|| self.clone())
    }

    /// Where its messages go, if it lives on another node.
    pub(crate) fn outlet(&self) -> Option<Arc<dyn Outlet<M>>> {
        self.mail().outlet()
    }

    /// Others nodes may send to it what `intake` reads.
    pub(crate) fn expose(&self, intake: &'static dyn Intake) {
        self.core.relations().rare_mut().intake = Some(intake);
    }

    fn mail(&self) -> MutexGuard<'_, Mail<M>> {
        self.mail.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Puts an entry into the mailbox, in the order of the caller's signals.
    pub(crate) fn push(&self, envelope: Envelope<M>) -> Result<(), Rejected> {
        let is_signal = matches!(envelope, Envelope::Signal(_));
        self.push_with(is_signal, || envelope)
    }

    /// As [`push`](Self::push), of a message that is made where it stays.
    #[inline(always)]
    pub(crate) fn push_message(&self, message: impl FnOnce() -> Envelope<M>) -> Result<(), Rejected> {
        self.push_with(false, message)
    }

    #[inline(always)]
    fn push_with(&self, is_signal: bool, envelope: impl FnOnce() -> Envelope<M>) -> Result<(), Rejected> {
        let mut mail = self.mail();
        if let Some(why) = mail.refusal(&self.core, is_signal) {
            return Self::refuse(mail, why, envelope);
        }
        let next = mail.put_with(&self.core, is_signal, envelope);
        drop(mail);
        next.run();
        Ok(())
    }

    /// What is not for this mailbox: it goes to another node, or nowhere.
    #[cold]
    fn refuse(
        mail: MutexGuard<'_, Mail<M>>,
        why: Rejected,
        envelope: impl FnOnce() -> Envelope<M>,
    ) -> Result<(), Rejected> {
        let outlet = mail.outlet();
        // The message is dropped, or written, outside the lock: both are user code.
        drop(mail);
        match outlet {
            Some(outlet) => outlet.send(envelope()),
            None => Err(why),
        }
    }

    /// As [`push`](Self::push), for a caller that holds a lock: what is left to do, and a refused message to drop, are
    /// for after it.
    pub(crate) fn push_then(&self, envelope: Envelope<M>) -> Result<Next, (Rejected, Envelope<M>)> {
        let mut mail = self.mail();
        match mail.refusal(&self.core, matches!(envelope, Envelope::Signal(_))) {
            Some(why) => Err((why, envelope)),
            None => Ok(mail.put(&self.core, envelope)),
        }
    }

    /// As [`push`](Self::push), whatever the bound: for what holds itself back by other means.
    pub(crate) fn push_unbounded(&self, envelope: Envelope<M>) -> Result<(), Rejected> {
        let mut mail = self.mail();
        if mail.is_closed() {
            return Self::refuse(mail, Rejected::Closed, || envelope);
        }
        let next = mail.put(&self.core, envelope);
        drop(mail);
        next.run();
        Ok(())
    }

    /// Takes what waits: the oldest entry, and all the others into the empty `batch`.
    /// With nothing there, `waker` is woken by the next.
    // Inlined for the same reason as `push`.
    #[inline(always)]
    pub(crate) fn take(&self, batch: &mut VecDeque<Envelope<M>>, waker: &Waker) -> Option<Envelope<M>> {
        let mut mail = self.mail();
        if mail.is_over() {
            return None;
        }
        mail.summoned = false;
        if !mail.queue.is_empty() {
            // Two buffers that change hands: neither is copied or freed.
            let empty = Vec::from(std::mem::take(batch));
            *batch = VecDeque::from(std::mem::replace(&mut mail.queue, empty));
        }
        if let Some(first) = mail.first.take() {
            return Some(first);
        }
        if let Some(next) = batch.pop_front() {
            return Some(next);
        }
        let stale = mail.receiver.replace(waker.clone());
        drop(mail);
        drop(stale);
        None
    }

    /// Takes all that waits into the empty `batch`. Wakes nobody later: for an owner that looks again before it waits.
    pub(crate) fn refill(&self, batch: &mut VecDeque<Envelope<M>>) {
        let mut mail = self.mail();
        if mail.is_over() {
            return;
        }
        mail.summoned = false;
        if !mail.queue.is_empty() {
            let empty = Vec::from(std::mem::take(batch));
            *batch = VecDeque::from(std::mem::replace(&mut mail.queue, empty));
        }
        if let Some(first) = mail.first.take() {
            batch.push_front(first);
        }
    }

    /// Appends all that waits to `batch`; true if there was something, else `waker` is woken by the next.
    pub(crate) fn drain_into(&self, batch: &mut VecDeque<Envelope<M>>, waker: Option<&Waker>) -> bool {
        let mut mail = self.mail();
        if mail.is_over() {
            return false;
        }
        mail.summoned = false;
        let before = batch.len();
        batch.extend(mail.first.take());
        batch.extend(mail.queue.drain(..));
        if batch.len() > before {
            return true;
        }
        // One that looks again and again, as a task does, is known by now.
        let known = |waker: &&Waker| mail.receiver.as_ref().is_some_and(|known| known.will_wake(waker));
        let new = waker.filter(|waker| !known(waker));
        let stale = new.and_then(|waker| mail.receiver.replace(waker.clone()));
        drop(mail);
        drop(stale);
        false
    }

    /// The inbox goes: its unanswered requests are failed with the process.
    pub(crate) fn leave(&self, batch: VecDeque<Envelope<M>>, open: impl Iterator<Item = SlotId>) {
        let ids: Vec<SlotId> = batch.iter().filter_map(Envelope::request).chain(open).collect();
        if !ids.is_empty() {
            self.mail().unanswered.get_or_insert_default().extend(ids);
        }
        batch.into_iter().for_each(drop_caught);
    }
}

impl<M: Send + 'static> Cell<M> {
    fn doom_locked(&self, mut mail: MutexGuard<'_, Mail<M>>, reason: ExitReason) -> Next {
        // The first signal is the reason: a second one changes nothing.
        if mail.is_over() {
            return Next::Nothing;
        }
        let next = match mail.unpark() {
            Next::Nothing => mail.shell.clone().map_or(Next::Nothing, Next::Wake),
            start => start,
        };
        mail.phase = Phase::Doomed(reason);
        self.core.attention.fetch_or(DOOMED, Ordering::Release);
        next
    }
}

impl<M: Send + 'static> Process for Cell<M> {
    fn core(&self) -> &Core {
        &self.core
    }

    fn signal_then(&self, signal: Signal) -> Option<Next> {
        self.push_then(Envelope::Signal(Box::new(signal))).ok()
    }

    fn mark_change(&self) {
        let mut mail = self.mail();
        if !mail.is_over() {
            mail.enqueued += 1;
            mail.queue.push(Envelope::Signal(Box::new(Signal::Changed)));
        }
    }

    fn exit_then(&self, from: Pid, reason: ExitReason, by: By) -> Next {
        let mut mail = self.mail();
        if mail.is_closed() {
            return Next::Nothing;
        }
        // exit(Pid, kill) cannot be trapped and shows as killed. A link that carries kill is an ordinary signal.
        let kill = by == By::Call && reason == ExitReason::Kill;
        if mail.trap_exit && !kill {
            return mail.put(&self.core, Envelope::Signal(Box::new(Signal::Exit(Exit { from, reason }))));
        }
        // A normal exit of another process ends nobody; exit(self(), normal) ends the caller.
        if reason == ExitReason::Normal && !(by == By::Call && from == self.core.pid()) {
            return Next::Nothing;
        }
        self.doom_locked(mail, if kill { ExitReason::Killed } else { reason })
    }

    fn doom_with(&self, reason: ExitReason) {
        self.doom_locked(self.mail(), reason).run();
    }

    fn begin(&self, shell: Waker) {
        let stale = self.mail().shell.replace(shell);
        drop(stale);
    }

    fn doom(&self) -> Option<ExitReason> {
        if !self.core.is_doomed() {
            return None;
        }
        match &self.mail().phase {
            Phase::Doomed(reason) => Some(reason.clone()),
            _ => None,
        }
    }

    fn park(&self, incarnation: Box<dyn Incarnation>) -> Option<Box<dyn Incarnation>> {
        let mut mail = self.mail();
        // Never with a signal at hand, and never doomed: it would be lost.
        if !matches!(mail.phase, Phase::Open) || mail.first.is_some() || !mail.queue.is_empty() {
            drop(mail);
            return Some(incarnation);
        }
        mail.phase = Phase::Parked(incarnation);
        let wakers = (mail.receiver.take(), mail.shell.take());
        let queue = std::mem::take(&mut mail.queue);
        drop(mail);
        drop((wakers, queue));
        None
    }

    fn close(&self, reason: &ExitReason) {
        let mut mail = self.mail();
        let phase = std::mem::replace(&mut mail.phase, Phase::Closed);
        let queue = std::mem::take(&mut mail.queue);
        let first = mail.first.take();
        let wakers = (mail.receiver.take(), mail.shell.take());
        let unanswered = mail.unanswered.take();
        drop(mail);
        let queued = first.iter().chain(&queue).filter_map(Envelope::request);
        for id in unanswered.into_iter().flat_map(|ids| ids.into_iter()).chain(queued) {
            slots::fail(id, Failure::Exit(reason.clone()));
        }
        drop((phase, wakers));
        first.into_iter().chain(queue).for_each(drop_caught);
    }

    fn trap_exit(&self, on: bool) -> bool {
        std::mem::replace(&mut self.mail().trap_exit, on)
    }

    fn traps_exit(&self) -> bool {
        self.mail().trap_exit
    }

    fn mailbox_len(&self) -> u64 {
        self.mail().enqueued.saturating_sub(self.core.handled())
    }

    fn into_any(self: Arc<Self>) -> Arc<dyn Any + Send + Sync> {
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_core_is_as_large_as_when_the_memory_of_a_process_was_measured() {
        assert_eq!(size_of::<Core>(), 96);
    }
}
