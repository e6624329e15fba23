//! A connection with one node, as long as it lasts: what stands here for its processes, the answers that are under way, and
//! what its frames do here.
//!
//! Invariants:
//! - when it is lost, every link and monitor over it has its noconnection and every call its error, once, and nothing that
//!   was sent over it arrives any more;
//! - a signal is queued under the locks of what it tells of, so that the order on the wire is the order of what happened;
//! - an answer is put only into a slot whose address was sent over this very connection.

use std::collections::hash_map::Entry;
use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::task::{Context, Poll, Wake, Waker};
use std::time::Duration;

use rustc_hash::{FxHashMap, FxHashSet};
use tokio::time::Instant;

use super::failures::{Shortened, failure, frame_of, unsent};
use super::frame::{self, FrameError, Kind};
use super::handshake::{Identity, Lane};
use super::late::{Waits, late_frame};
use super::machine::SessionId;
use super::outbound::{Added, NotQueued, Outbound, Sent};
use super::shared::Carried;
use super::spawn::{Answer, Request, SpawnError, Spawnables, Spawning, Tied};
use crate::process::elsewhere::{Delayed, Dest, Intake, NotTaken, PeerInfo, Route, Sort, Standin, Tie};
use crate::process::wire::{self, Crossing, Fill, Owed};
use crate::process::{
    AnyProcess, ExitBy, Failure, Linked, Me, MonitorOptions, Node, Object, Pending, Rejected, Signal, SlotId,
    System, Unsendable, WeakNode, fail, fill, hold_back, is_waiting, link, monitor_by, open, tell_link,
    tell_monitor, unlink, watches,
};
use crate::term::{AliasRef, ExitReason, MonitorRef, Pid};

/// So many addresses are in one frame at most, which the least bound has room for.
const ADDRESSES: usize = 100;

/// What a node lets others do.
#[derive(Default)]
pub(crate) struct Offered {
    names: Mutex<FxHashMap<&'static str, &'static dyn Intake>>,
    spawnables: Mutex<Spawnables>,
}

impl Offered {
    /// Names that others may send to, and what reads their messages.
    pub(crate) fn names(&self) -> MutexGuard<'_, FxHashMap<&'static str, &'static dyn Intake>> {
        self.names.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What others may have started.
    pub(crate) fn spawnables(&self) -> MutexGuard<'_, Spawnables> {
        self.spawnables.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The limits of a connection.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Limits {
    /// The longest frame.
    pub(crate) frame: u32,
    /// Bytes that may wait to be sent.
    pub(crate) queue: usize,
}

pub(crate) struct Connection {
    node: WeakNode,
    pub(crate) session: SessionId,
    pub(crate) peer: Identity,
    limits: Limits,
    offered: Arc<Offered>,
    messages: Outbound,
    bulk: Outbound,
    /// When something last came, in microseconds of `clock`.
    heard: AtomicU64,
    /// When messages last went or came, as `heard`; 0: never.
    conversed: AtomicU64,
    clock: Instant,
    since: Instant,
    /// How long the last heartbeat took there and back, in microseconds, at least 1; 0: none has come back.
    round_trip: AtomicU64,
    received: AtomicU64,
    state: Mutex<State>,
    me: Weak<Connection>,
}

#[derive(Default)]
struct State {
    lost: bool,
    standins: FxHashMap<Dest, Weak<Standin>>,
    /// Links that were removed here, until the other side has heard of it: who here, who there, which time.
    unlinking: FxHashMap<(u64, u64), u64>,
    next_unlink: u64,
    /// Waiters here for the end of a process there.
    ends: FxHashMap<MonitorRef, SlotId>,
    prune_ends_at: usize,
    /// Slots here that the other side has the address of.
    expected: FxHashMap<SlotId, Fill>,
    prune_at: usize,
    /// Processes that are being started there.
    spawning: FxHashMap<SlotId, Spawning>,
    /// Answers that the other side waits for, by the slot here that they come into.
    owed: FxHashMap<SlotId, (u64, Box<dyn Owed>)>,
}

/// Sends an answer when it is there.
struct Answered {
    connection: Weak<Connection>,
    slot: SlotId,
}

impl Wake for Answered {
    fn wake(self: Arc<Self>) {
        if let Some(connection) = self.connection.upgrade() {
            connection.answer(self.slot);
        }
    }
}

impl Connection {
    pub(crate) fn new(
        node: WeakNode,
        session: SessionId,
        peer: Identity,
        limits: Limits,
        offered: Arc<Offered>,
        clock: Instant,
        carried: Carried,
    ) -> Arc<Self> {
        Arc::new_cyclic(|me| Connection {
            node,
            session,
            peer,
            limits,
            offered,
            messages: Outbound::new(limits.queue, carried.sent),
            bulk: Outbound::new(limits.queue, 0),
            heard: AtomicU64::new(0),
            conversed: AtomicU64::new(0),
            clock,
            since: Instant::now(),
            round_trip: AtomicU64::new(0),
            received: AtomicU64::new(carried.received),
            state: Mutex::default(),
            me: me.clone(),
        })
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn outbound(&self, lane: Lane) -> &Outbound {
        if lane == Lane::Bulk { &self.bulk } else { &self.messages }
    }

    fn now(&self) -> u64 {
        u64::try_from(self.clock.elapsed().as_micros()).unwrap_or(u64::MAX)
    }

    /// So many bytes have come on the lane.
    pub(crate) fn heard(&self, lane: Lane, bytes: usize) {
        let now = self.now();
        self.heard.store(now, Ordering::Relaxed);
        if lane == Lane::Messages {
            self.conversed.store(now, Ordering::Relaxed);
        }
        self.received.fetch_add(bytes as u64, Ordering::Relaxed);
    }

    /// Messages are about to be written.
    pub(crate) fn says(&self) {
        self.conversed.store(self.now(), Ordering::Relaxed);
    }

    /// Whether messages went or came not long ago.
    pub(crate) fn converses(&self, within: Duration) -> bool {
        let last = self.conversed.load(Ordering::Relaxed);
        last != 0 && Duration::from_micros(self.now().saturating_sub(last)) < within
    }

    pub(crate) fn set_round_trip(&self, took: Duration) {
        let micros = u64::try_from(took.as_micros()).unwrap_or(u64::MAX).max(1);
        self.round_trip.store(micros, Ordering::Relaxed);
    }

    /// What is known of the other node.
    pub(crate) fn info(&self) -> PeerInfo {
        let (queued_bytes, sent) = self.messages.counts();
        let (bulk_queued_bytes, bulk_sent) = self.bulk.counts();
        let round_trip = self.round_trip.load(Ordering::Relaxed);
        PeerInfo {
            node: self.peer.id(),
            name: self.peer.name.to_string(),
            creation: self.peer.creation,
            releases: self.peer.releases,
            up_for: self.since.elapsed(),
            round_trip: (round_trip > 0).then(|| Duration::from_micros(round_trip)),
            queued_bytes,
            bulk_queued_bytes,
            sent_bytes: sent + bulk_sent,
            received_bytes: self.received.load(Ordering::Relaxed),
        }
    }

    /// When something last came, since the beginning of the clock.
    pub(crate) fn last_heard(&self) -> Duration {
        Duration::from_micros(self.heard.load(Ordering::Relaxed))
    }

    pub(crate) fn frame_limit(&self) -> u32 {
        self.limits.frame
    }

    fn pid(&self, dest: &Dest) -> Pid {
        let (node, creation) = (self.peer.id(), self.peer.creation);
        match dest {
            Dest::Id(id) => Pid::new(node, creation, *id),
            Dest::Name(_) => Pid::new(node, creation, 0),
        }
    }

    fn stand_for(&self, dest: &Dest) -> Option<Arc<Standin>> {
        let (node, me) = (self.node.upgrade()?, self.me.upgrade()?);
        let mut state = self.state();
        if state.lost {
            return None;
        }
        let known = state.standins.get(dest).and_then(Weak::upgrade);
        Some(known.unwrap_or_else(|| {
            let made = Arc::new(Standin::new(node, self.pid(dest), dest.clone(), me));
            state.standins.insert(dest.clone(), Arc::downgrade(&made));
            made
        }))
    }

    fn known(&self, id: u64) -> Option<Arc<dyn AnyProcess>> {
        let standin = self.state().standins.get(&Dest::Id(id)).and_then(Weak::upgrade);
        standin.map(|standin| standin as Arc<dyn AnyProcess>)
    }

    fn stand_for_id(&self, id: u64) -> Option<Arc<dyn AnyProcess>> {
        self.stand_for(&Dest::Id(id)).map(|standin| standin as Arc<dyn AnyProcess>)
    }

    /// Sends a signal. Signals are small, and are never dropped: what bounds them is what processes are tied by.
    fn signal(&self, kind: Kind, fields: &impl serde::Serialize) {
        let _over = self.messages.push(&frame::plain(kind, fields), Sent::Signal);
    }

    /// As [`signal`](Self::signal), with a reason, which is told in short if it is longer than a frame may be.
    fn signal_why<W: Shortened, F: serde::Serialize>(&self, kind: Kind, why: &W, fields: impl Fn(W) -> F) {
        let _over = self.messages.push(&frame_of(kind, why, self.limits.frame, fields), Sent::Signal);
    }

    /// Does what a frame of the other node says.
    ///
    /// # Errors
    /// It is none that belongs here: the connection is to be closed.
    pub(crate) fn handle(&self, lane: Lane, kind: Kind, bytes: &[u8]) -> Result<(), FrameError> {
        let bulk = matches!(kind, Kind::Cast | Kind::Info);
        if lane == Lane::Control || lane == Lane::Bulk && !bulk {
            return Err(FrameError::Misplaced(kind));
        }
        let Some(node) = self.node.upgrade().filter(|_| !self.state().lost) else { return Ok(()) };
        match kind {
            Kind::Call => {
                let ((to, request), body) = frame::fields::<(Dest, u64)>(kind, bytes)?;
                self.handle_message(&node, &to, Sort::Call, Some(request), body);
            }
            Kind::Cast | Kind::Info => {
                let ((to,), body) = frame::fields::<(Dest,)>(kind, bytes)?;
                let sort = if kind == Kind::Cast { Sort::Cast } else { Sort::Info };
                self.handle_message(&node, &to, sort, None, body);
            }
            Kind::Ask => {
                let ((to, request), body) = frame::fields::<(Dest, u64)>(kind, bytes)?;
                self.handle_message(&node, &to, Sort::Info, Some(request), body);
            }
            Kind::Alias => {
                let ((to, alias), body) = frame::fields::<(u64, AliasRef)>(kind, bytes)?;
                self.handle_message(&node, &Dest::Id(to), Sort::Alias(alias), None, body);
            }
            Kind::Answer => {
                let ((slot,), body) = frame::fields::<(u64,)>(kind, bytes)?;
                self.handle_answer(SlotId::from_number(slot), body);
            }
            Kind::Failed => {
                let (slot, failure): (u64, Failure) = frame::all(kind, bytes)?;
                let slot = SlotId::from_number(slot);
                if self.state().expected.remove(&slot).is_some() {
                    fail(slot, failure);
                }
            }
            Kind::GaveUp => {
                let (given_up,): (FxHashSet<u64>,) = frame::all(kind, bytes)?;
                let mut state = self.state();
                let owed: Vec<_> = state.owed.extract_if(|_, (there, _)| given_up.contains(there)).collect();
                drop(state);
                drop(owed);
            }
            Kind::Spawn | Kind::Spawned => self.handle_spawn(&node, kind, bytes)?,
            _ => self.handle_signal(&node, kind, bytes)?,
        }
        Ok(())
    }

    fn handle_spawn(&self, node: &Node, kind: Kind, bytes: &[u8]) -> Result<(), FrameError> {
        let Some(me) = self.me.upgrade() else { return Ok(()) };
        if kind == Kind::Spawned {
            let (slot, result): (u64, Result<Pid, SpawnError>) = frame::all(kind, bytes)?;
            let mine = |pid: &Pid| pid.node() == self.peer.id() && pid.creation() == self.peer.creation;
            if result.as_ref().is_ok_and(|pid| !mine(pid)) {
                return Err(FrameError::Malformed(kind, "a process of another node".into()));
            }
            self.handle_spawned(SlotId::from_number(slot), result);
            return Ok(());
        }
        let ((from, slot, tied, name), args) = frame::fields::<(u64, u64, Tied, String)>(kind, bytes)?;
        let parent = if from == 0 { None } else { self.stand_for_id(from).map(Me::of) };
        if from != 0 && parent.is_none() {
            // Lost by now: nothing is started that would not hear of it.
            return Ok(());
        }
        let spawns = self.offered.spawnables().get(&name);
        let born = spawns.and_then(|spawns| {
            wire::reading(me.clone(), None, || spawns.start(node, parent.as_ref(), tied.into(), args))
        });
        let spawned = move |result: Result<Pid, SpawnError>| {
            me.signal_why(Kind::Spawned, &result, |result| (slot, result))
        };
        match born {
            Ok(mut born) => match born.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
                Poll::Ready(result) => spawned(result),
                Poll::Pending => _ = node.runtime().spawn(async move { spawned(born.await) }),
            },
            Err(error) => spawned(Err(error)),
        }
        Ok(())
    }

    fn handle_spawned(&self, slot: SlotId, result: Result<Pid, SpawnError>) {
        let Some(spawning) = self.state().spawning.remove(&slot) else { return };
        if let Ok(pid) = &result {
            let process = self.stand_for_id(pid.id());
            if let Some((watcher, reference)) = spawning.settle(process, is_waiting(slot)) {
                self.signal(Kind::Demonitor, &(watcher, reference.0));
            }
        }
        fill(slot, result);
    }

    /// Has a process started there. It is asked for as soon as there is room.
    pub(crate) fn spawn(
        self: &Arc<Self>,
        request: &Request<'_>,
        args: &mut dyn FnMut(&mut Vec<u8>) -> Result<(), String>,
    ) -> Result<(Answer, Box<dyn Delayed>), SpawnError> {
        let pending = open::<Result<Pid, SpawnError>>();
        let (slot, mut frame) = (pending.id(), Vec::new());
        let from = request.parent.map_or(0, |parent| parent.pid().id());
        let fields = (from, slot.number(), Tied::from(request.tie), request.name);
        let limit = self.limits.frame;
        let written =
            wire::writing(self.clone(), || frame::put(&mut frame, Kind::Spawn, &fields, limit, args));
        written.map_err(|error| SpawnError::Unsendable(unsent(error)))?;
        let spawning = Spawning::new(request);
        let mut state = self.state();
        if state.lost {
            drop(state);
            return Err(SpawnError::NoConnection);
        }
        state.spawning.insert(slot, spawning);
        drop(state);
        Ok((pending, late_frame(self.clone(), Lane::Messages, frame, Some(slot))))
    }

    /// A process there was linked to one that is gone. If it was started for that one, which did not live to know of it, it
    /// hears of the same end as all its links.
    fn refuse_link(&self, node: &Node, there: u64, gone: u64) {
        let end = self.state().spawning.values().find_map(|spawning| spawning.end_of(gone));
        let (Some(mut end), Some(me)) = (end, self.me.upgrade()) else {
            return self.signal(Kind::LinkExit, &(gone, there, ExitReason::NoProc));
        };
        node.runtime().spawn(async move {
            let reason = end.wait_for(Option::is_some).await.ok().and_then(|reason| reason.clone());
            let reason = reason.unwrap_or(ExitReason::NoProc);
            me.signal_why(Kind::LinkExit, &reason, |reason| (gone, there, reason));
        });
    }

    fn handle_message(&self, node: &Node, to: &Dest, sort: Sort, request: Option<u64>, body: &[u8]) {
        let (process, intake) = match to {
            Dest::Id(id) => {
                let process = node.find(node.pid_of(*id));
                let intake = process.as_ref().and_then(|process| process.core().intake());
                (process, intake)
            }
            Dest::Name(name) => (node.registered_as(name), self.offered.names().get(&**name).copied()),
        };
        let taken = match (process, intake, self.me.upgrade()) {
            (None, ..) => Err(NotTaken::Rejected(Rejected::Closed)),
            (Some(process), Some(intake), Some(me)) => {
                wire::reading(me, request, || intake.take(process, sort, body))
            }
            (Some(_), ..) => Err(NotTaken::WrongProtocol),
        };
        let Err(why) = taken else { return };
        match request {
            Some(slot) => self.signal(Kind::Failed, &(slot, failure(&why))),
            None => node.dead_letter(&format_args!("{to:?}"), "message from another node"),
        }
        if !matches!(why, NotTaken::Rejected(_)) {
            let from = &self.peer.name;
            tracing::warn!(target: "incarnate::node", %from, ?to, %why, "message refused");
        }
    }

    fn handle_answer(&self, slot: SlotId, body: &[u8]) {
        let Some(fill) = self.state().expected.remove(&slot) else { return };
        if let Some(me) = self.me.upgrade() {
            wire::reading(me, None, || fill(slot, body));
        }
    }

    fn handle_signal(&self, node: &Node, kind: Kind, bytes: &[u8]) -> Result<(), FrameError> {
        let here = |id: u64| node.find(node.pid_of(id));
        match kind {
            Kind::Link => {
                let (from, to): (u64, u64) = frame::all(kind, bytes)?;
                // Sent before the other side heard that the link was removed here: it is gone there by now.
                if self.state().unlinking.contains_key(&(to, from)) {
                    return Ok(());
                }
                let Some(standin) = self.stand_for_id(from) else { return Ok(()) };
                if here(to).is_none_or(|process| link(&standin, &process) != Linked::Done) {
                    self.refuse_link(node, from, to);
                }
            }
            Kind::Unlink => {
                let (from, to, number): (u64, u64, u64) = frame::all(kind, bytes)?;
                if let (Some(standin), Some(process)) = (self.known(from), here(to)) {
                    unlink(&standin, &process);
                }
                self.signal(Kind::UnlinkAck, &(to, from, number));
            }
            Kind::UnlinkAck => {
                let (from, to, number): (u64, u64, u64) = frame::all(kind, bytes)?;
                if let Entry::Occupied(entry) = self.state().unlinking.entry((to, from))
                    && *entry.get() == number
                {
                    entry.remove();
                }
            }
            Kind::LinkExit => {
                let (from, to, reason): (u64, u64, ExitReason) = frame::all(kind, bytes)?;
                if let (Some(standin), Some(process)) = (self.known(from), here(to)) {
                    standin.core().relations().links.remove(process.core().pid());
                    tell_link(&process, &standin, &reason);
                }
            }
            Kind::Exit => {
                let (from, to, reason): (Pid, Dest, ExitReason) = frame::all(kind, bytes)?;
                if let Some(process) = self.target(node, &to) {
                    process.exit(from, reason, ExitBy::Call);
                }
            }
            Kind::Monitor | Kind::Demonitor | Kind::Down => self.handle_monitor(node, kind, bytes)?,
            Kind::Stop => {
                let (to, reason): (Dest, ExitReason) = frame::all(kind, bytes)?;
                if let Some(process) = self.target(node, &to) {
                    process.signal(Signal::System(System::Terminate(reason, Box::new(|| ())), None));
                }
            }
            kind => return Err(FrameError::Misplaced(kind)),
        }
        Ok(())
    }

    fn handle_monitor(&self, node: &Node, kind: Kind, bytes: &[u8]) -> Result<(), FrameError> {
        match kind {
            Kind::Monitor => {
                let (from, to, reference): (u64, Dest, u64) = frame::all(kind, bytes)?;
                let Some(standin) = self.stand_for_id(from) else { return Ok(()) };
                let target = self.target(node, &to);
                let object = Object::Pid(target.as_ref().map_or(node.pid_of(0), |it| it.core().pid()));
                monitor_by(&standin, MonitorRef(reference), target, object, MonitorOptions::default());
            }
            Kind::Demonitor => {
                let (from, reference): (u64, u64) = frame::all(kind, bytes)?;
                if let Some(standin) = self.known(from) {
                    crate::process::demonitor(&standin, MonitorRef(reference));
                }
            }
            _ => {
                let (to, reference, reason): (u64, u64, ExitReason) = frame::all(kind, bytes)?;
                let reference = MonitorRef(reference);
                let mut state = self.state();
                if let Some(slot) = state.ends.remove(&reference) {
                    drop(state);
                    fill(slot, reason);
                    return Ok(());
                }
                let early = state.spawning.values_mut().any(|it| it.ended(reference, &reason));
                drop(state);
                if !early
                    && let Some(process) = node.find(node.pid_of(to))
                    && watches(&process, reference, self.peer.id())
                {
                    tell_monitor(&process, reference, reason);
                }
            }
        }
        Ok(())
    }

    fn target(&self, node: &Node, to: &Dest) -> Option<Arc<dyn AnyProcess>> {
        match to {
            Dest::Id(id) => node.find(node.pid_of(*id)),
            Dest::Name(name) => node.registered_as(name),
        }
    }

    /// An answer is in its slot: sends it.
    fn answer(&self, slot: SlotId) {
        let Some(owed) = self.state().owed.remove(&slot) else { return };
        self.send_answer(owed.0, owed.1);
    }

    fn send_answer(&self, there: u64, mut owed: Box<dyn Owed>) {
        let Some(me) = self.me.upgrade() else { return };
        let (slot, mut failed) = (owed.slot(), None);
        let waker = Waker::from(Arc::new(Answered { connection: self.me.clone(), slot }));
        let mut bytes = Vec::new();
        let mut pending = false;
        let written = frame::put(&mut bytes, Kind::Answer, &(there,), self.limits.frame, |out| {
            match wire::writing(me, || owed.poll(&waker, out)) {
                Poll::Ready(Ok(())) => {}
                Poll::Ready(Err(failure)) => failed = Some(failure),
                Poll::Pending => pending = true,
            }
            Ok(())
        });
        if pending {
            self.keep(there, owed);
        } else if let Some(failure) = failed {
            self.signal_why(Kind::Failed, &failure, |failure| (there, failure));
        } else if let Err(error) = written {
            self.fail_answer(there, unsent(error));
        } else if let Err(NotQueued::Full) = self.messages.push(&bytes, Sent::Answer) {
            self.fail_answer(there, "too much waits to be sent there");
        }
    }

    /// An answer is never dropped: who waits for it hears why it does not come.
    fn fail_answer(&self, there: u64, why: impl fmt::Display) {
        let failure =
            Failure::Exit(ExitReason::error(format!("the answer cannot be sent to another node: {why}")));
        self.signal_why(Kind::Failed, &failure, |failure| (there, failure));
    }

    fn keep(&self, there: u64, owed: Box<dyn Owed>) {
        let slot = owed.slot();
        let mut state = self.state();
        if state.lost {
            drop(state);
            return drop(owed);
        }
        state.owed.insert(slot, (there, owed));
        drop(state);
        // It may have come between the look and the keeping.
        if !is_waiting(slot) {
            self.answer(slot);
        }
    }

    /// Nobody waits for an answer there any more.
    pub(super) fn unexpect(&self, request: Option<SlotId>) {
        let Some(slot) = request else { return };
        let mut state = self.state();
        let gone = (state.expected.remove(&slot), state.spawning.remove(&slot));
        drop(state);
        drop(gone);
    }

    /// The connection is lost: all that was tied over it hears of it. Nothing is handled after this.
    pub(crate) fn lose(&self) {
        let mut state = self.state();
        if std::mem::replace(&mut state.lost, true) {
            return;
        }
        let standins: Vec<_> = state.standins.values().filter_map(Weak::upgrade).collect();
        let ends = std::mem::take(&mut state.ends);
        let expected = std::mem::take(&mut state.expected);
        let owed = std::mem::take(&mut state.owed);
        let spawning = std::mem::take(&mut state.spawning);
        drop(state);
        self.messages.close();
        self.bulk.close();
        for standin in standins {
            let standin: Arc<dyn AnyProcess> = standin;
            crate::process::lose(&standin, &ExitReason::NoConnection);
        }
        for slot in ends.into_values() {
            fill(slot, ExitReason::NoConnection);
        }
        for slot in expected.into_keys().chain(spawning.into_keys()) {
            fail(slot, Failure::Exit(ExitReason::NoConnection));
        }
        drop(owed);
    }
}

impl Route for Connection {
    fn creation(&self) -> u32 {
        self.peer.creation
    }

    fn standin(self: Arc<Self>, dest: &Dest) -> Option<Arc<dyn AnyProcess>> {
        self.stand_for(dest).map(|standin| standin as Arc<dyn AnyProcess>)
    }

    fn tell(&self, from: Pid, to: &Dest, tie: Tie<'_>) {
        let (me, there) = (from.id(), if let Dest::Id(id) = to { *id } else { 0 });
        match tie {
            Tie::Link => {
                self.state().unlinking.remove(&(me, there));
                self.signal(Kind::Link, &(me, there));
            }
            Tie::Unlink => {
                let mut state = self.state();
                state.next_unlink += 1;
                let number = state.next_unlink;
                state.unlinking.insert((me, there), number);
                drop(state);
                self.signal(Kind::Unlink, &(me, there, number));
            }
            Tie::Monitor(reference) => self.signal(Kind::Monitor, &(me, to, reference.0)),
            Tie::Demonitor(reference) => self.signal(Kind::Demonitor, &(me, reference.0)),
            Tie::Exit(reason, ExitBy::Link) => {
                self.signal_why(Kind::LinkExit, reason, |reason| (me, there, reason));
            }
            Tie::Exit(reason, ExitBy::Call) => {
                self.signal_why(Kind::Exit, reason, |reason| (from, to, reason))
            }
            Tie::Down(reference, reason) => {
                self.signal_why(Kind::Down, reason, |reason| (there, reference.0, reason));
            }
            Tie::Stop(reason) => self.signal_why(Kind::Stop, reason, |reason| (to, reason)),
        }
    }

    fn message(
        self: Arc<Self>,
        to: &Dest,
        sort: Sort,
        request: Option<SlotId>,
        body: &mut dyn FnMut(&mut Vec<u8>) -> Result<(), String>,
    ) -> Result<(), Rejected> {
        let mut frame = Vec::with_capacity(128);
        let limit = self.limits.frame;
        let written = wire::writing(self.clone(), || match (sort, request) {
            (Sort::Alias(alias), _) => {
                let to = if let Dest::Id(id) = to { *id } else { 0 };
                frame::put(&mut frame, Kind::Alias, &(to, alias), limit, body)
            }
            (Sort::Call, Some(slot)) => frame::put(&mut frame, Kind::Call, &(to, slot.number()), limit, body),
            (_, Some(slot)) => frame::put(&mut frame, Kind::Ask, &(to, slot.number()), limit, body),
            (Sort::Info, None) => frame::put(&mut frame, Kind::Info, &(to,), limit, body),
            (_, None) => frame::put(&mut frame, Kind::Cast, &(to,), limit, body),
        });
        let queued = match written {
            Ok(()) => self.messages.push(&frame, Sent::Message),
            Err(error) => {
                self.unexpect(request);
                return Err(Rejected::Unsendable(Unsendable::boxed(unsent(error))));
            }
        };
        match (queued, request) {
            (Ok(Added::Well), _) => Ok(()),
            (Ok(Added::Busy), _) => {
                hold_back(|| Box::new(Waits::on(self, Lane::Messages)));
                Ok(())
            }
            (Err(NotQueued::Full), Some(slot)) => {
                Err(Rejected::Delayed(late_frame(self, Lane::Messages, frame, Some(slot))))
            }
            (Err(NotQueued::Full), None) => Err(Rejected::Full),
            (Err(NotQueued::Closed), _) => {
                self.unexpect(request);
                Err(Rejected::NoConnection)
            }
        }
    }

    fn bulk(
        self: Arc<Self>,
        to: &Dest,
        sort: Sort,
        body: &mut dyn FnMut(&mut Vec<u8>) -> Result<(), String>,
    ) -> Result<Box<dyn Delayed>, Rejected> {
        let (mut frame, limit) = (Vec::new(), self.limits.frame);
        let kind = if sort == Sort::Cast { Kind::Cast } else { Kind::Info };
        let written = wire::writing(self.clone(), || frame::put(&mut frame, kind, &(to,), limit, body));
        written.map_err(|error| Rejected::Unsendable(Unsendable::boxed(unsent(error))))?;
        Ok(late_frame(self, Lane::Bulk, frame, None))
    }

    fn watch_end(&self, to: &Dest) -> Option<Pending<ExitReason>> {
        let node = self.node.upgrade()?;
        let ended = open::<ExitReason>();
        let reference = MonitorRef(node.next_reference());
        let mut state = self.state();
        if state.lost {
            return None;
        }
        // As those of `expected`; there nothing is left of them either.
        let mut given_up = Vec::new();
        if state.ends.len() >= state.prune_ends_at {
            given_up
                .extend(state.ends.extract_if(|_, slot| !is_waiting(*slot)).map(|(reference, _)| reference));
            state.prune_ends_at = (state.ends.len() * 2).max(64);
        }
        state.ends.insert(reference, ended.id());
        drop(state);
        for reference in given_up {
            self.signal(Kind::Demonitor, &(0_u64, reference.0));
        }
        // No process here watches: number 0 is nobody's.
        self.signal(Kind::Monitor, &(0_u64, to, reference.0));
        Some(ended)
    }

    fn forget(&self, dest: &Dest) {
        let mut state = self.state();
        if state.standins.get(dest).is_some_and(|standin| standin.strong_count() == 0) {
            state.standins.remove(dest);
        }
    }
}

impl Crossing for Connection {
    fn node(&self) -> Option<Node> {
        self.node.upgrade()
    }

    fn is_lost(&self) -> bool {
        self.state().lost
    }

    fn expect(&self, slot: SlotId, fill: Fill) {
        let mut state = self.state();
        if state.lost {
            return;
        }
        // Those that gave up are found now and then, so that there are never many more than wait, here and there.
        let mut given_up = Vec::new();
        if state.expected.len() >= state.prune_at {
            let stale = state.expected.extract_if(|slot, _| !is_waiting(*slot));
            given_up.extend(stale.map(|(slot, _)| slot.number()));
            state.prune_at = (state.expected.len() * 2).max(64);
        }
        state.expected.insert(slot, fill);
        drop(state);
        for some in given_up.chunks(ADDRESSES) {
            self.signal(Kind::GaveUp, &(some,));
        }
    }

    fn owe(&self, there: u64, mut answer: Box<dyn Owed>) {
        let waker = Waker::from(Arc::new(Answered { connection: self.me.clone(), slot: answer.slot() }));
        if answer.poll(&waker, &mut Vec::new()).is_pending() {
            self.keep(there, answer);
        }
    }
}
