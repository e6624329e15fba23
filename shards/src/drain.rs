//! Drain: how a member gets rid of all that it has, so that it can stop and nobody notices.
//!
//! It holds the cluster's token, gives what it owns to others, has its copies replaced, and stops when nobody needs it
//! any more. Source: docs/protocol.md, section 5 with what part 2 adds to it, and rule R39.
//!
//! Invariants:
//! - it asks for nothing without the token, and what it was told while it had it before counts for nothing (R39);
//! - it never asks for a step that leaves a shard without a copy: where there is no third member, it waits and says so;
//! - when it may stop, no record names it, and no owner tells it anything or is about to.
//!
//! That it is killed is a crash like any other: its token is freed with its lease.

use alloc::collections::{BTreeMap, BTreeSet, VecDeque};
use alloc::vec::Vec;
use core::time::Duration;

use crate::placement::Ring;
use crate::record::{Member, Record, ShardId};

/// So many shards are moved or filled at once.
const AT_ONCE: usize = 8;
/// After so long something is asked for again that has failed, or may have got lost.
const AGAIN: Duration = Duration::from_millis(500);

/// What is to be done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum DrainAction {
    /// Take the token as soon as it is free: that is the mark of a member that drains. Say
    /// [`handle_token`](Drain::handle_token) then, and when it is lost.
    TakeToken,
    /// Ask another member which shards it owns, and of which of them it tells this member, or is about to: by its gate
    /// and by whom it fills. Its answer goes to [`handle_told`](Drain::handle_told), with the number.
    ///
    /// The question says who drains, and by which revision of the token's record: who answers has taken note, and does
    /// not begin to fill this member before it sees a later one.
    Ask(Member, u64),
    /// Read the record from the authority, not from what it has told by itself: a shard is believed to be lost. Hand it
    /// to [`handle_read`](Drain::handle_read), with the number.
    Read(ShardId, u64),
    /// Move the shard, which is owned here. If that fails, say [`handle_failed`](Drain::handle_failed).
    Move {
        /// Which.
        shard: ShardId,
        /// To whom.
        to: Member,
    },
    /// Ask the owner of a shard to fill a third member, to name it, and to take this one out once that one, in answer
    /// to something sent since it was named, has said that it is there.
    Fill {
        /// Whom to ask.
        owner: Member,
        /// Which shard.
        shard: ShardId,
        /// Who is to have the copy instead.
        third: Member,
    },
    /// It does not go on until this changes; see [`waits`](Drain::waits).
    Waiting(Waits),
    /// It may stop: nobody needs it. To be done before the token is freed, since who does not drain is given copies.
    Ready,
    /// The token is free for the next.
    FreeToken,
}

/// What a drain waits for that it cannot bring about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Waits {
    /// The token is not here yet: another member drains, or the token's holder is not known to be gone.
    Token,
    /// There is nobody else who could have these shards, or their copies: another member is needed that is up, does not
    /// drain, and reads them.
    Third(BTreeSet<ShardId>),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    /// Nobody has asked for it.
    Serving,
    /// The token is not here.
    Wanting,
    Draining,
    Ready,
}

/// What was asked for of a shard.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Job {
    Move(Member),
    Fill { owner: Member, third: Member },
}

/// The drain of one member, from its start on.
///
/// What happens goes in through `handle_*`, with times of a clock that only goes forward; call [`poll`](Self::poll)
/// until it answers `None`.
#[derive(Clone, Debug)]
pub struct Drain {
    me: Member,
    /// Who else is up.
    others: Ring,
    records: BTreeMap<ShardId, Record>,
    stage: Stage,
    /// What was asked for and is not over: in which epoch, and when it is taken for lost.
    jobs: BTreeMap<ShardId, (Job, u64, Duration)>,
    /// What has failed: how often, and when it is tried again.
    failed: BTreeMap<ShardId, (usize, Duration)>,
    /// Counts the times that the token was here.
    round: u64,
    /// Who was asked in this round: whether it has said that it tells nothing, and when it may be asked again.
    told: BTreeMap<Member, (bool, Duration)>,
    /// Of which shards an owner has said in this round that it does not tell this member. That stays so: it knows who
    /// drains, and whoever owns the shard after it begins with the copies that it had, and knows it as well.
    clear: BTreeSet<ShardId>,
    /// Counts what was heard of who is up.
    rings: u64,
    /// Of shards that seem to be lost: the revision that was read since, and when it may be read again.
    reads: BTreeMap<ShardId, (Option<u64>, Duration)>,
    waits: Option<Waits>,
    actions: VecDeque<DrainAction>,
    #[cfg(test)]
    pub(crate) without_token: bool,
}

impl Drain {
    /// Of a member that serves and knows nothing of the others yet.
    pub fn new(me: Member) -> Self {
        Drain {
            me,
            others: Ring::default(),
            records: BTreeMap::new(),
            stage: Stage::Serving,
            jobs: BTreeMap::new(),
            failed: BTreeMap::new(),
            round: 0,
            told: BTreeMap::new(),
            clear: BTreeSet::new(),
            rings: 0,
            reads: BTreeMap::new(),
            waits: None,
            actions: VecDeque::new(),
            #[cfg(test)]
            without_token: false,
        }
    }

    /// The next thing to do, in order; `None` when it waits for an event.
    pub fn poll(&mut self) -> Option<DrainAction> {
        self.actions.pop_front()
    }

    /// Why it does not go on, if it does not.
    pub fn waits(&self) -> Option<&Waits> {
        self.waits.as_ref()
    }

    /// The member is to stop. Who else is up and all records are to be known by the time the token is here: with
    /// nothing known, nobody needs it.
    pub fn handle_asked(&mut self, now: Duration) {
        if self.stage == Stage::Serving {
            self.want();
            if !self.obeys_r39() {
                self.handle_token(true, now);
            }
        }
    }

    /// The token is held here, or not any more: at the latest when its lease may have ended, by the clock here.
    pub fn handle_token(&mut self, held: bool, now: Duration) {
        match (self.stage, held) {
            (Stage::Wanting, true) => self.stage = Stage::Draining,
            // R39: the mark and the token are one. Who has lost it stays, and others may count on it again; what they
            // have said before is void.
            (Stage::Draining, false) => self.want(),
            // It comes too late, or is what is known.
            _ => return,
        }
        self.go_on(now);
    }

    /// These are up.
    pub fn handle_ring(&mut self, ring: &Ring, now: Duration) {
        // Whether it has come round that this member drains or not.
        self.others = ring.seats().filter(|seat| seat.member != self.me).copied().collect();
        self.rings += 1;
        self.reads.clear();
        self.go_on(now);
    }

    /// A record as the authority has it.
    pub fn handle_record(&mut self, shard: ShardId, record: Record, now: Duration) {
        let before = self.records.get(&shard);
        if before.is_some_and(|before| before.revision >= record.revision) {
            return;
        }
        if before.is_some_and(|before| names(before, self.me)) && !names(&record, self.me) {
            // It has something new to say.
            self.told.remove(&record.owner);
        }
        self.records.insert(shard, record);
        self.go_on(now);
    }

    /// The record was read, as [`DrainAction::Read`] has asked.
    pub fn handle_read(&mut self, shard: ShardId, number: u64, record: Record, now: Duration) {
        if let Some((read, _)) = self.reads.get_mut(&shard).filter(|_| number == self.rings) {
            *read = Some(record.revision);
        }
        self.handle_record(shard, record, now);
        self.go_on(now);
    }

    /// A member has answered what it was asked: the shards that it owns, and whether it tells this member of them, or
    /// is about to.
    pub fn handle_told(&mut self, from: Member, round: u64, owned: &BTreeMap<ShardId, bool>, now: Duration) {
        if round != self.round {
            return;
        }
        let free = owned.iter().filter(|(_, tells)| !**tells).map(|(shard, _)| *shard);
        self.clear.extend(free);
        if let Some((nothing, _)) = self.told.get_mut(&from) {
            *nothing = owned.values().all(|tells| !tells);
        }
        self.go_on(now);
    }

    /// A move has failed: the shard stays here.
    pub fn handle_failed(&mut self, shard: ShardId, now: Duration) {
        if let Some((Job::Move(_), ..)) = self.jobs.get(&shard) {
            self.jobs.remove(&shard);
            let (times, again) = self.failed.entry(shard).or_default();
            (*times, *again) = (*times + 1, now + AGAIN);
        }
        self.go_on(now);
    }

    /// Time has passed: what may have got lost is asked for again.
    pub fn handle_tick(&mut self, now: Duration) {
        self.go_on(now);
    }

    /// Always, but in the test of what happens otherwise.
    fn obeys_r39(&self) -> bool {
        #[cfg(test)]
        return !self.without_token;
        #[cfg(not(test))]
        true
    }

    fn want(&mut self) {
        self.stage = Stage::Wanting;
        self.round += 1;
        self.told.clear();
        self.clear.clear();
        self.actions.push_back(DrainAction::TakeToken);
        self.wait(Some(Waits::Token));
    }

    fn go_on(&mut self, now: Duration) {
        if self.stage != Stage::Draining {
            return;
        }
        self.end_jobs(now);
        let stuck = self.begin_jobs(now);
        self.ask(now);
        self.read(now);
        self.wait((!stuck.is_empty()).then_some(Waits::Third(stuck)));
        if self.is_ready() {
            self.stage = Stage::Ready;
            self.actions.extend([DrainAction::Ready, DrainAction::FreeToken]);
        }
    }

    /// What was asked for is over when the record says so. A question to another may get lost, which counts as failed;
    /// a move is done here and says so itself.
    fn end_jobs(&mut self, now: Duration) {
        let (me, records, failed) = (self.me, &self.records, &mut self.failed);
        self.jobs.retain(|shard, (job, epoch, until)| {
            // By the epoch: it may have gone and come back, and nobody has seen it elsewhere.
            if records.get(shard).is_none_or(|record| record.epoch != *epoch || !names(record, me)) {
                return false;
            }
            let lost = matches!(job, Job::Fill { .. }) && now >= *until;
            if lost {
                failed.entry(*shard).or_default().0 += 1;
            }
            !lost
        });
    }

    /// Asks for what is next, and answers which shards nobody else can have.
    fn begin_jobs(&mut self, now: Duration) -> BTreeSet<ShardId> {
        let (mut stuck, mut next) = (BTreeSet::new(), Vec::new());
        for (shard, record) in self.records.iter().filter(|(_, record)| names(record, self.me)) {
            let (times, again) = self.failed.get(shard).copied().unwrap_or_default();
            if record.owner != self.me && self.others.seat(record.owner).is_none() {
                // Its owner is lost: this member or another copy is about to become it.
                continue;
            }
            match self.job(record, times) {
                Some(job) if !self.jobs.contains_key(shard) && again <= now => {
                    next.push((times, *shard, record.epoch, job))
                }
                Some(_) => {}
                None => drop(stuck.insert(*shard)),
            }
        }
        // What has failed waits behind the others.
        next.sort_by_key(|(times, shard, ..)| (*times, *shard));
        for (_, shard, epoch, job) in next.into_iter().take(AT_ONCE.saturating_sub(self.jobs.len())) {
            self.jobs.insert(shard, (job, epoch, now + AGAIN));
            self.actions.push_back(match job {
                Job::Move(to) => DrainAction::Move { shard, to },
                Job::Fill { owner, third } => DrainAction::Fill { owner, shard, third },
            });
        }
        stuck
    }

    /// How this member gets out of a record that names it; `None`: not at all, as things are.
    fn job(&self, record: &Record, times: usize) -> Option<Job> {
        if record.owner != self.me {
            // The one that the owner wants by itself when it knows who drains.
            let third = self.others.standby(record.owner, record.wire)?;
            return Some(Job::Fill { owner: record.owner, third });
        }
        // To who has a copy, which takes no time; if that fails to others, each in turn.
        let others = self.others.behind(self.me).map(|seat| seat.member);
        let mut targets: Vec<Member> = others.filter(|to| self.others.takes(*to, record.wire)).collect();
        targets.sort_by_key(|to| !record.in_sync.contains(to));
        let to = *targets.get(times % targets.len().max(1))?;
        Some(Job::Move(to))
    }

    /// Asks those that have not said yet that they tell nothing, and the owners of shards of which nobody has.
    fn ask(&mut self, now: Duration) {
        let others: BTreeSet<Member> = self.others.seats().map(|seat| seat.member).collect();
        self.told.retain(|member, _| others.contains(member));
        let unclear = self.records.iter().filter(|(shard, _)| !self.clear.contains(shard));
        let owners: BTreeSet<Member> = unclear.map(|(_, record)| record.owner).collect();
        for member in others {
            let (nothing, again) = self.told.get(&member).copied().unwrap_or((false, now));
            if now >= again && (!nothing || owners.contains(&member)) {
                self.told.insert(member, (nothing, now + AGAIN));
                self.actions.push_back(DrainAction::Ask(member, self.round));
            }
        }
    }

    /// Makes sure of what seems to be lost: somebody may have owned it meanwhile.
    fn read(&mut self, now: Duration) {
        let lost = self.records.iter().filter(|(_, record)| self.seems_lost(record));
        let lost = lost.filter(|(shard, _)| !self.clear.contains(shard));
        let lost: Vec<_> = lost.map(|(shard, record)| (*shard, record.revision)).collect();
        for (shard, revision) in lost {
            let (read, again) = self.reads.get(&shard).copied().unwrap_or((None, now));
            if now >= again && read != Some(revision) {
                self.reads.insert(shard, (read, now + AGAIN));
                self.actions.push_back(DrainAction::Read(shard, self.rings));
            }
        }
    }

    /// Its owner is not up, and neither is anybody who could take over.
    fn seems_lost(&self, record: &Record) -> bool {
        let is_up = |member: &Member| *member == self.me || self.others.seat(*member).is_some();
        !is_up(&record.owner) && !record.in_sync.iter().any(is_up)
    }

    fn wait(&mut self, waits: Option<Waits>) {
        if self.waits != waits {
            self.actions.extend(waits.clone().map(DrainAction::Waiting));
            self.waits = waits;
        }
    }

    /// No record names this member, and no owner has it in its gate or fills it. What all have said of themselves is
    /// not enough for that, since shards change hands between the answers, and records come later than they are in
    /// force: each shard is to be clear.
    ///
    /// An owner that is not up is not waited for if nobody can take over from it, by a record that was read since. If
    /// it comes back and still names this member, it cannot take others out for it, since that needs an answer of this
    /// one: the second half of R39.
    fn is_ready(&self) -> bool {
        let lost = |shard: &ShardId, record: &Record| {
            let read = self.reads.get(shard).and_then(|(read, _)| *read);
            self.seems_lost(record) && read == Some(record.revision)
        };
        let done = |(shard, record): (&ShardId, &Record)| {
            !names(record, self.me) && (self.clear.contains(shard) || lost(shard, record))
        };
        self.records.iter().all(done) && self.told.values().all(|(nothing, _)| *nothing)
    }
}

fn names(record: &Record, member: Member) -> bool {
    record.owner == member || record.in_sync.contains(&member)
}

#[cfg(test)]
mod simulation;
#[cfg(test)]
mod tests;
