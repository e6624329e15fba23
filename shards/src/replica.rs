//! One shard at one member: what it holds, what it knows of the record, whether it serves.

use alloc::boxed::Box;
use alloc::collections::{BTreeMap, BTreeSet, VecDeque};
use alloc::vec::Vec;
use core::time::Duration;

use serde::{Deserialize, Serialize};

use crate::copy::{Contents, ShardCopy};
use crate::message::{
    Mail, Number, Position, Reply, Request, RequestId, Route, Streamed, ToOwner, ToStandby,
};
use crate::owner::Owner;
use crate::proposals::{Proposals, Swapped};
use crate::record::{LeaseId, Member, Record, ShardId};
use crate::rules::{Rule, Rules};
use crate::standby::Standby;

/// What a reply of a shard means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// It was carried out here. What a shard of this mode holds is gone with its owner.
    Local,
    /// It was carried out here and is on its way to a standby: a takeover loses at most the last `lag` frames.
    Async {
        /// How many frames a standby may be behind before new work waits.
        lag: u64,
    },
    /// Owner and standbys have it: a takeover loses nothing.
    Copied {
        /// What an owner without a standby does.
        alone: Alone,
    },
}

/// What an owner of a copied shard does while there is no standby.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Alone {
    /// It goes on; what it answers is lost if it is lost before there is a standby again.
    Serve,
    /// It answers nothing until there is a standby again.
    Wait,
}

impl Mode {
    /// Whether only a valid lease lets an owner release anything, and only its end lets another take over.
    pub(crate) fn needs_lease(self) -> bool {
        !matches!(self, Mode::Copied { .. })
    }
}

/// What is settled when a replica is made.
#[derive(Clone, Copy, Debug)]
pub struct Config {
    /// What a reply means.
    pub mode: Mode,
    /// The highest version of bytes that this member reads and writes.
    pub reads: u32,
    /// How long a standby may take to acknowledge before the owner goes on without it.
    pub patience: Duration,
    /// After how long something that was not answered is said again.
    pub again: Duration,
    /// How many frames are kept for standbys that have fallen behind; who lacks more is sent everything.
    pub history: usize,
    /// How many requests may be in work or wait, and how many may wait for acknowledgements.
    pub pending: usize,
    /// How long a session may be silent before it is forgotten.
    pub session: Duration,
    pub(crate) rules: Rules,
}

impl Config {
    /// What suits most: patience of a second, sessions of five minutes.
    pub fn new(mode: Mode, reads: u32) -> Self {
        Config {
            mode,
            reads,
            patience: Duration::from_secs(1),
            again: Duration::from_millis(200),
            history: 1024,
            pending: 10_000,
            session: Duration::from_secs(300),
            rules: Rules::default(),
        }
    }
}

/// Which piece of work. Counted over the life of a replica.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct JobId(pub u64);

/// Why a process is to run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Cause<B> {
    /// A request, of a client or another shard.
    Request(Request<B>),
    /// Somebody has sent something and waits for nothing.
    Cast(B),
    /// A process of the same shard has sent it.
    Inner(Number, B),
    /// A timer fired.
    Timer(Number, B),
    /// Another shard has answered what the outbox asked.
    Answer(Number, B),
}

/// What a process has done with what it was given.
#[derive(Clone, Debug)]
pub struct Ran<C: Contents> {
    /// What became of its state; `None`: nothing.
    pub change: Option<C::Change>,
    /// What the asker hears.
    pub answer: Answer<C::Body>,
    /// What goes to other shards.
    pub effects: Vec<crate::copy::Effect<C::Body>>,
    /// What goes to processes of this shard.
    pub inner: Vec<C::Body>,
    /// Timers that it has started.
    pub timers: Vec<crate::copy::Timer<C::Body>>,
    /// Timers that it has stopped.
    pub stopped: Vec<Number>,
    /// Answers to requests that were accepted before, by whomever.
    pub answers: Vec<(RequestId, C::Body)>,
    /// Whether something is to be done outside when this is released: [`Action::Released`].
    pub outside: bool,
    /// It has only read, and what it says may be what was true a moment ago: no barrier is waited for.
    pub stale: bool,
}

/// What the asker hears of a message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer<B> {
    /// Nothing, ever: nobody asked.
    None,
    /// This.
    Now(B),
    /// Something, later, by [`Replica::handle_answer`].
    Later,
}

impl<C: Contents> Ran<C> {
    /// It has changed nothing and sent nothing.
    pub fn quiet(answer: Answer<C::Body>) -> Self {
        Ran {
            change: None,
            answer,
            effects: Vec::new(),
            inner: Vec::new(),
            timers: Vec::new(),
            stopped: Vec::new(),
            answers: Vec::new(),
            outside: false,
            stale: false,
        }
    }

    pub(crate) fn is_quiet(&self) -> bool {
        self.change.is_none()
            && self.effects.is_empty()
            && self.inner.is_empty()
            && self.timers.is_empty()
            && self.stopped.is_empty()
            && self.answers.is_empty()
    }
}

/// What is to be done.
#[derive(Clone, Debug)]
pub enum Action<C: Contents> {
    /// Read the record and hand it to [`Replica::handle_record`].
    Read,
    /// Propose the record to the authority: it comes into force if the one there has the revision before. What comes of it
    /// goes to [`Replica::handle_swapped`].
    Swap(Record),
    /// Tell a copy.
    ToStandby(Member, Streamed<ToStandby<C>>),
    /// Tell the owner.
    ToOwner(Member, Streamed<ToOwner>),
    /// Call [`Replica::handle_soon`] in a moment: what is written, read and told until then goes together.
    Soon,
    /// Tell a client, or the owner of the shard that asked, with the epoch.
    Reply(Route, u64, Reply<C::Body>),
    /// Run a process; what it did goes to [`Replica::handle_ran`].
    Run(JobId, Cause<C::Body>),
    /// As `Run`, and what it does is not to be one step with anything else.
    RunAlone(JobId, Cause<C::Body>),
    /// What the job did is part of the shard now: its process goes on from there.
    Keep(JobId),
    /// What the job did is not, and never was: its process goes on from where it was before.
    Undo(JobId),
    /// What the job has to do outside may be done: all that it rests on is released.
    Released(JobId),
    /// Tell another shard. What its owner answers goes to [`Replica::handle_confirmed`].
    Effect(ShardId, Request<C::Body>),
    /// Call [`Replica::handle_timer`] after this time.
    StartTimer(Number, Duration),
    /// Start no job that has not begun: hand each to [`Replica::handle_returned`].
    Freeze,
    /// The shard is served here from now on: what processes are made of is in the copy.
    Activate,
    /// It is not any more: processes and jobs are to be dropped.
    Deactivate,
    /// What came too late for a move goes to the owner.
    Forward(Member, Mail<C::Body>),
    /// The move that was asked for is over.
    Moved(Result<(), NotMoved>),
}

/// Why a shard has not moved.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum NotMoved {
    /// It is not served here.
    NotOwner,
    /// Another move is under way.
    Busy,
    /// The target was lost, could not read the shard, or took too long.
    Target,
    /// Somebody else owns the shard now.
    Deposed,
}

/// One shard at one member.
///
/// Events go in through `handle_*`, actions come out of [`poll`](Self::poll). Times are those of a clock that only goes
/// forward.
#[derive(Debug)]
pub struct Replica<C: Contents> {
    pub(crate) me: Member,
    pub(crate) shard: ShardId,
    pub(crate) config: Config,
    pub(crate) record: Option<Record>,
    /// The highest epoch that this member has heard of.
    pub(crate) known: u64,
    /// What a shard begins with.
    pub(crate) empty: C,
    pub(crate) copy: Option<ShardCopy<C>>,
    pub(crate) owner: Option<Box<Owner<C>>>,
    pub(crate) standby: Standby<C>,
    pub(crate) proposals: Proposals,
    /// Members that are believed to be gone.
    pub(crate) suspected: BTreeSet<Member>,
    /// Leases that are over, those alone that the record names or that were heard of since it came.
    over: BTreeSet<(Member, LeaseId)>,
    /// This member's own lease, and until when it is valid.
    pub(crate) lease: (LeaseId, Duration),
    pub(crate) next_job: u64,
    /// Whether [`Action::Soon`] is under way.
    soon: bool,
    pub(crate) actions: VecDeque<Action<C>>,
}

impl<C: Contents> Replica<C> {
    /// A replica that knows nothing, of a shard that begins with `empty`.
    pub fn new(me: Member, shard: ShardId, config: Config, empty: C) -> Self {
        Replica {
            me,
            shard,
            config,
            record: None,
            known: 0,
            empty,
            copy: None,
            owner: None,
            standby: Standby::default(),
            proposals: Proposals::default(),
            suspected: BTreeSet::new(),
            over: BTreeSet::new(),
            lease: (LeaseId::NONE, Duration::ZERO),
            next_job: 0,
            soon: false,
            actions: VecDeque::new(),
        }
    }

    /// What is to be done next.
    pub fn poll(&mut self) -> Option<Action<C>> {
        self.actions.pop_front()
    }

    /// A moment has passed since [`Action::Soon`]: copies are told what was written, an owner what is held.
    pub fn handle_soon(&mut self) {
        self.soon = false;
        self.acknowledge();
        self.tell();
    }

    /// Wants [`handle_soon`](Self::handle_soon) to be called.
    pub(crate) fn come_soon(&mut self) {
        if !core::mem::replace(&mut self.soon, true) {
            self.actions.push_back(Action::Soon);
        }
    }

    /// The record as it is known here.
    pub fn record(&self) -> Option<&Record> {
        self.record.as_ref()
    }

    /// Whether the shard is served here, and in which epoch.
    pub fn serves(&self) -> Option<u64> {
        self.owner.as_ref().map(|owner| owner.epoch)
    }

    /// Whether nothing is under way: [`handle_tick`](Self::handle_tick) is then needed for old sessions alone.
    pub fn is_at_rest(&self) -> bool {
        let at_rest = |owner: &Owner<C>| {
            owner.is_at_rest() && self.copy.as_ref().is_none_or(|copy| copy.table.outbox.is_empty())
        };
        !self.proposals.is_any() && self.owner.as_deref().is_none_or(at_rest)
    }

    /// What is known of the others, for tests that fail.
    #[cfg(test)]
    pub(crate) fn look(&self) -> impl core::fmt::Debug {
        let held = position_of(self.copy.as_ref());
        (
            self.me,
            held,
            self.record.clone(),
            self.suspected.clone(),
            self.over.clone(),
            self.lease,
            format!("{:?}", self.proposals),
        )
    }

    /// What is held here.
    pub fn copy(&self) -> Option<&ShardCopy<C>> {
        self.copy.as_ref()
    }

    /// Who must acknowledge before anything is released: whoever is in sync by any record that may be in force.
    ///
    /// A proposal that left counts from before it leaves, and one that takes a member out does not count until it is known
    /// to have won. That is rules 6 and 7, and the sixth invariant.
    pub(crate) fn gate(&self) -> BTreeSet<Member> {
        let mut gate = self.record.as_ref().map(|record| record.in_sync.clone()).unwrap_or_default();
        for proposed in self.proposals.out() {
            // R7
            if self.config.rules.obey(Rule::R7) {
                gate.extend(&proposed.in_sync);
            }
            // R6
            if !self.config.rules.obey(Rule::R6) {
                gate.retain(|member| proposed.in_sync.contains(member));
            }
        }
        gate.remove(&self.me);
        gate
    }

    /// The lowest of what members of the gate have; `None`: there is nobody in it. As [`gate`](Self::gate), without making it.
    pub(crate) fn lowest(&self, has: impl Fn(Member) -> u64) -> Option<u64> {
        #[cfg(test)]
        if !self.config.rules.obey(Rule::R6) || !self.config.rules.obey(Rule::R7) {
            return self.gate().iter().map(|member| has(*member)).min();
        }
        let in_force = self.record.iter().flat_map(|record| &record.in_sync);
        let proposed = self.proposals.out().flat_map(|record| &record.in_sync);
        in_force.chain(proposed).filter(|member| **member != self.me).map(|member| has(*member)).min()
    }

    /// The version of bytes that copies are written in: the lowest of any record that may be in force.
    pub(crate) fn wire(&self) -> u32 {
        let known = self.record.as_ref().map_or(self.config.reads, |record| record.wire);
        let proposed = self.proposals.out().map(|proposed| proposed.wire).min().unwrap_or(known);
        // R37
        if self.config.rules.obey(Rule::R37) { known.min(proposed) } else { known }
    }

    /// Whether a member is the one meant, creation and all.
    pub(crate) fn same(&self, one: Member, other: Member) -> bool {
        // R4
        if self.config.rules.obey(Rule::R4) { one == other } else { one.node == other.node }
    }

    /// The record as the authority has it; `None`: the shard was never created.
    pub fn handle_record(&mut self, record: Option<Record>, now: Duration) {
        let Some(record) = record else { return };
        let known = self.record.as_ref().map_or(0, |known| known.revision);
        if record.revision < known {
            return;
        }
        if record.revision > known {
            self.proposals.settle(&record);
            self.known = self.known.max(record.epoch);
            let mine = self.same(record.owner, self.me) && self.serves() == Some(record.epoch);
            let rules = self.config.rules;
            self.over.retain(|over| ends(*over, &record, rules));
            self.record = Some(record);
            if mine {
                self.adopted(now);
            } else {
                self.step_down();
            }
        }
        self.activate_if_mine(now);
        self.consider(now);
    }

    fn activate_if_mine(&mut self, now: Duration) {
        let Some(record) = &self.record else { return };
        let mine = self.same(record.owner, self.me) && record.epoch >= self.known;
        if self.owner.is_some() || !mine {
            return;
        }
        if self.copy.is_none()
            && (record.epoch == 1 && record.revision == 1 || self.config.mode == Mode::Local)
        {
            // Its first owner, or one of a mode that keeps nothing.
            self.copy = Some(ShardCopy::new(self.empty.clone()));
        }
        // Otherwise it is to own it by another lease first, or has none.
        let may = !self.config.mode.needs_lease() || self.holds(now);
        if may && self.copy.is_some() {
            self.activate(now);
        }
    }

    /// Whether this member owns the shard by a lease that is valid now: nobody else can have taken over.
    pub(crate) fn holds(&self, now: Duration) -> bool {
        // R44: the very lease that the record names. Another may be valid while it is over, and the shard taken over from.
        let same = |record: &Record| record.lease == self.lease.0 || !self.config.rules.obey(Rule::R44);
        self.is_leased(now) && self.record.as_ref().is_some_and(same)
    }

    /// Whether this member has a lease that is valid now.
    fn is_leased(&self, now: Duration) -> bool {
        now < self.lease.1
    }

    /// What has come of a proposal.
    pub fn handle_swapped(&mut self, proposed: &Record, outcome: Swapped, now: Duration) {
        match outcome {
            Swapped::Won => self.handle_record(Some(proposed.clone()), now),
            Swapped::Lost(record) => {
                self.proposals.lost(proposed);
                self.handle_record(record, now);
            }
            Swapped::Unknown => {
                self.proposals.unknown(proposed, now + self.config.again);
                self.actions.push_back(Action::Read);
            }
        }
        self.consider(now);
    }

    /// A member is believed to be gone, or not any more.
    pub fn handle_suspected(&mut self, member: Member, suspected: bool, now: Duration) {
        let changed = match suspected {
            true => self.suspected.insert(member),
            false => self.suspected.remove(&member),
        };
        if changed {
            self.consider(now);
        }
    }

    /// The authority says that a lease of a member is over, as it stays. Of those that no record names nothing is kept: it is
    /// to be said again when one does.
    pub fn handle_over(&mut self, member: Member, lease: LeaseId, now: Duration) {
        if self.over.insert((member, lease)) {
            self.consider(now);
        }
    }

    /// This member's own lease, and until when it is valid: so long after the last renewal that succeeded was *sent*.
    ///
    /// To be said in order. That another one is named says that the one before is over, and that its end is past already.
    pub fn handle_lease(&mut self, lease: LeaseId, until: Duration, now: Duration) {
        self.lease = (lease, until);
        self.lapse();
        self.activate_if_mine(now);
        self.consider(now);
        self.settle(now);
    }

    /// R44: whoever owns by a lease that is over may have been taken over from. What it serves it serves no more, until it is
    /// the owner by another one.
    fn lapse(&mut self) {
        let lapsed = self.record.as_ref().is_some_and(|record| record.lease != self.lease.0);
        if lapsed && self.config.mode.needs_lease() && self.config.rules.obey(Rule::R44) {
            self.step_down();
        }
    }

    /// This member is to be the first owner, and all read bytes of version `wire`; or, in a mode that keeps nothing, the next.
    pub fn handle_claim(&mut self, wire: u32, now: Duration) {
        let (owner, lease, in_sync) = (self.me, self.lease.0, BTreeSet::new());
        if self.config.mode.needs_lease() && !self.is_leased(now) {
            return;
        }
        match &self.record {
            None => self.propose(Record { revision: 1, owner, lease, epoch: 1, in_sync, wire }, now),
            Some(record) if self.config.mode == Mode::Local && self.is_over(record) => {
                let next = Record { owner, lease, epoch: record.epoch + 1, in_sync, ..record.clone() };
                self.propose(next, now);
            }
            Some(_) => {}
        }
    }

    /// Owner and copies are gone for good, and somebody has decided that this member is to go on, with the copy that it holds,
    /// however old, or from nothing. Answers whether it may: it is proposed then.
    pub fn handle_recover(&mut self, from_nothing: bool, now: Duration) -> bool {
        let leased = self.is_leased(now) || !self.config.mode.needs_lease();
        let Some(record) = self.record.clone().filter(|_| self.owner.is_none() && leased) else {
            return false;
        };
        if from_nothing {
            self.copy = Some(ShardCopy::new(self.empty.clone()));
            self.standby = Standby::default();
        } else if self.copy.is_none() {
            return false;
        }
        let (owner, lease, epoch) = (self.me, self.lease.0, record.epoch + 1);
        let wire = record.wire.min(self.config.reads);
        self.propose(Record { owner, lease, epoch, in_sync: BTreeSet::new(), wire, ..record }, now);
        true
    }

    /// Whether the lease by which a record names its owner is over.
    fn is_over(&self, record: &Record) -> bool {
        self.over.iter().any(|over| ends(*over, record, self.config.rules))
    }

    /// Time has passed: what was not answered is said again, what was late is given up.
    pub fn handle_tick(&mut self, now: Duration) {
        if self.proposals.is_due(now) {
            self.actions.push_back(Action::Read);
            let again = self.proposals.say_again(now + self.config.again);
            self.actions.extend(again.map(|record| Action::Swap(record.clone())));
        }
        self.tick_owner(now);
        self.consider(now);
        self.settle(now);
    }

    /// Proposes a record, which differs from the one in force in what is wanted.
    pub(crate) fn propose(&mut self, mut record: Record, now: Duration) {
        record.revision = self.record.as_ref().map_or(0, |record| record.revision) + 1;
        if self.proposals.add(&record, now + self.config.again) {
            self.actions.push_back(Action::Swap(record));
        }
    }

    /// Proposes what this member may and should.
    pub(crate) fn consider(&mut self, now: Duration) {
        if self.owner.is_some() {
            self.consider_as_owner(now);
        } else {
            self.consider_takeover(now);
        }
    }

    fn consider_takeover(&mut self, now: Duration) {
        let Some(record) = &self.record else { return };
        let rules = self.config.rules;
        if self.copy.is_none() || self.proposals.is_waiting() {
            return;
        }
        // R19: where the lease is all that keeps two from serving, its end is waited for, and one's own is needed.
        let leases = self.config.mode.needs_lease() && rules.obey(Rule::R19);
        if leases && !self.is_leased(now) {
            return;
        }
        // R5
        let named = record.in_sync.iter().any(|member| self.same(*member, self.me)) || !rules.obey(Rule::R5);
        let gone = if leases { self.is_over(record) } else { self.suspected.contains(&record.owner) };
        // R44: its own shard, by a lease that it has no more.
        let anew = self.config.mode.needs_lease() && record.owner == self.me && record.lease != self.lease.0;
        if !(named && gone || anew) {
            return;
        }
        let (owner, lease, epoch) = (self.me, self.lease.0, record.epoch + 1);
        let mut next = Record { owner, lease, epoch, ..record.clone() };
        next.in_sync.remove(&owner);
        self.propose(next, now);
    }
}

/// Whether a lease that is over is the one by which a record names its owner.
fn ends((member, lease): (Member, LeaseId), record: &Record, rules: Rules) -> bool {
    // R45: another one of the same member says nothing, who may own the shard by a later one.
    member == record.owner && (lease == record.lease || !rules.obey(Rule::R45))
}

/// The position of a copy that may not be there.
pub(crate) fn position_of<C: Contents>(copy: Option<&ShardCopy<C>>) -> Option<Position> {
    copy.map(|copy| copy.position)
}

/// Members by what is kept of each.
pub(crate) type Members<T> = BTreeMap<Member, T>;
