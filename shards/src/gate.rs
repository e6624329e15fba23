//! The gate: who has what, and what may be shown.

use alloc::collections::BTreeSet;
use core::ops::Bound;
use core::time::Duration;

use crate::copy::{Contents, Write};
use crate::message::{Floor, Frames, Position, Reply, Request, RequestId, Streamed, ToOwner, ToStandby};
use crate::owner::{Owner, Peer, Release, Shown};
use crate::record::{Member, Record};
use crate::replica::{Action, Alone, Mode, Replica};
use crate::rules::{Rule, Rules};

/// A copy that has all but so many frames has nearly all.
const NEAR: u64 = 64;

/// So many frames are told together at most.
const TOGETHER: u64 = 64;

/// So often the time doubles after which a stream is begun anew that nothing has come of.
const PAUSES: u32 = 5;

impl<C: Contents> Owner<C> {
    /// Up to where a member has frames, and barriers.
    fn peer(&self, member: Member) -> (u64, u64) {
        self.peers.get(&member).map_or((0, 0), |peer| (peer.acked, peer.barrier))
    }

    /// Wants a barrier that is told from now on.
    fn ask(&mut self, now: Duration) {
        if self.barrier == self.barrier_told {
            self.barrier += 1;
            for peer in self.peers.values_mut() {
                peer.owes.get_or_insert(now);
            }
        }
    }

    /// Where in the history it goes on after a position, if that stands there.
    fn follows(&self, position: Position, rules: Rules) -> Option<usize> {
        // R12: a number alone may be another epoch's.
        let same = |held: Position| match rules.obey(Rule::R12) {
            true => held == position,
            false => held.n == position.n,
        };
        if same(self.before) {
            return Some(0);
        }
        let at = position.n.checked_sub(self.before.n + 1)? as usize;
        self.history.get(at)?;
        // Those that stand in the history are of this epoch.
        same(Position { epoch: self.epoch, n: position.n }).then_some(at + 1)
    }

    /// Forgets what all have, and of what somebody has been told who lacks it, all but the last few. What one is to be told stays:
    /// who asks anew while an image is on its way has more by then.
    fn trim(&mut self, kept: usize) {
        let told = |peer: &Peer| if peer.live { peer.told.0 } else { u64::MAX };
        let least = |of: &dyn Fn(&Peer) -> u64| self.peers.values().map(of).min().unwrap_or(u64::MAX);
        let (told, acked) = (least(&told), least(&|peer| peer.acked));
        while !self.history.is_empty()
            && self.before.n < told
            && (self.before.n < acked || self.history.len() > kept)
        {
            self.history.pop_front();
            self.before = Position { epoch: self.epoch, n: self.before.n + 1 };
        }
    }

    /// How much is under way.
    fn waiting(&self) -> usize {
        self.jobs.len() + self.releases.len() + self.held.len()
    }
}

impl<C: Contents> Replica<C> {
    /// Of a shard that this member owns: whether it tells another one of it, or is about to, which it has to before that one may
    /// stop. `None`: it does not own it.
    pub fn tells(&self, member: Member) -> Option<bool> {
        let named = self.record.as_ref().is_some_and(|record| record.owner == self.me);
        if self.owner.is_none() && !named {
            return None;
        }
        let peer = |owner: &Owner<C>| owner.peers.contains_key(&member) || owner.wanted == Some(member);
        Some(self.gate().contains(&member) || self.owner.as_deref().is_some_and(peer))
    }

    /// By how many frames the last of those that must have all is behind.
    pub fn lag(&self) -> u64 {
        let n = self.copy.as_ref().map_or(0, |copy| copy.position.n);
        if self.owner.is_some() { n.saturating_sub(self.held_by_all()) } else { 0 }
    }

    /// The highest frame that all in the gate have.
    pub(crate) fn held_by_all(&self) -> u64 {
        let (Some(owner), Some(copy)) = (&self.owner, &self.copy) else { return 0 };
        self.lowest(|member| owner.peer(member).0).unwrap_or(copy.position.n)
    }

    /// The highest frame whose effect may be shown now.
    pub(crate) fn released(&self, now: Duration) -> u64 {
        let Some(copy) = self.copy.as_ref().filter(|_| self.owner.is_some()) else { return 0 };
        let rules = self.config.rules;
        let joining = self.joining(now).unwrap_or(u64::MAX);
        let released = match self.config.mode {
            // R1: everybody who may take over has it.
            Mode::Copied { alone } if rules.obey(Rule::R1) => {
                if alone == Alone::Wait && self.lowest(|_| 0).is_none() { 0 } else { self.held_by_all() }
            }
            Mode::Copied { .. } => copy.position.n,
            // R19: nobody else can have taken over, as of now and not of when the work was begun.
            Mode::Local | Mode::Async { .. } if self.holds(now) || !rules.obey(Rule::R19) => copy.position.n,
            Mode::Local | Mode::Async { .. } => 0,
        };
        released.min(joining)
    }

    /// What a copy has that is filled, and has nearly all: it is waited for as if it were named, or it would never have all that
    /// was shown where something is shown all the time. Not for longer than for one that is.
    fn joining(&self, now: Duration) -> Option<u64> {
        let (owner, copy) = (self.owner.as_ref()?, self.copy.as_ref()?);
        let filled = owner.wanted.into_iter().chain(owner.moving.as_ref().map(|moving| moving.to));
        let near = |peer: &&Peer| peer.live && peer.acked > 0 && copy.position.n - peer.acked <= NEAR;
        let named = |member: &Member| {
            let mut records = self.record.iter().chain(self.proposals.out());
            records.any(|record| record.in_sync.contains(member))
        };
        let waited_for = |member: &Member| !named(member) && !self.is_late(*member, now);
        let peers = filled.filter(waited_for).filter_map(|member| owner.peers.get(&member));
        peers.filter(near).map(|peer| peer.acked).min()
    }

    /// The last barrier that everybody has seen.
    fn seen(&self) -> u64 {
        let Some(owner) = &self.owner else { return 0 };
        // R16: nobody has taken over since the value was taken. In other modes the lease says so.
        if self.config.mode.needs_lease() || !self.config.rules.obey(Rule::R16) {
            return owner.barrier;
        }
        self.lowest(|member| owner.peer(member).1).unwrap_or(owner.barrier)
    }

    /// Something is shown when frame `n` is released.
    pub(crate) fn release(&mut self, n: u64, shown: Shown<C::Body>) {
        if let Some(owner) = &mut self.owner {
            owner.releases.push_back(Release { n, barrier: 0, shown });
        }
    }

    /// Something that was read is shown when all that it may rest on is released, and nobody can have taken over before
    /// it was read.
    pub(crate) fn release_read(&mut self, shown: Shown<C::Body>, now: Duration) {
        let n = self.copy.as_ref().map_or(0, |copy| copy.position.n);
        if let Some(owner) = &mut self.owner {
            owner.ask(now);
            owner.releases.push_back(Release { n, barrier: owner.barrier, shown });
        }
        self.tell_barrier();
    }

    /// The barrier that was asked for is to be told, if there is anybody who can be.
    fn tell_barrier(&mut self) {
        let Some(owner) = &mut self.owner else { return };
        if owner.peers.values().any(|peer| peer.live) {
            self.come_soon();
        } else {
            owner.barrier_told = owner.barrier;
        }
    }

    /// A frame was written: copies are to be told, and owe an acknowledgement.
    pub(crate) fn spread(&mut self, now: Duration) {
        let (Some(owner), Some(copy)) = (&mut self.owner, &self.copy) else { return };
        let mut untold = 0;
        for peer in owner.peers.values_mut().filter(|peer| peer.live) {
            peer.owes.get_or_insert(now);
            untold = untold.max(copy.position.n - peer.told.0);
        }
        owner.trim(self.config.history);
        match untold {
            0 => {}
            TOGETHER.. => self.tell(),
            _ => self.come_soon(),
        }
    }

    /// Tells copies what was written since they were told last, and the barrier that was asked for: one does for all reads since
    /// the last.
    pub(crate) fn tell(&mut self) {
        let (Some(owner), Some(copy)) = (&mut self.owner, &self.copy) else { return };
        owner.barrier_told = owner.barrier;
        for (member, peer) in owner.peers.iter_mut().filter(|(_, peer)| peer.live) {
            let (epoch, stream) = (owner.epoch, peer.stream);
            let mut tell = |message| {
                let streamed = Streamed { epoch, stream, message };
                self.actions.push_back(Action::ToStandby(*member, streamed));
            };
            let mut at = (peer.told.0 - owner.before.n) as usize;
            while let Some((wire, _)) = owner.history.get(at) {
                let same =
                    owner.history.range(at..).take(TOGETHER as usize).take_while(|(other, _)| other == wire);
                let count = same.count();
                let prev = match at {
                    0 => owner.before,
                    _ => Position { epoch, n: owner.before.n + at as u64 },
                };
                let frames = owner.history.range(at..at + count).map(|(_, frame)| frame);
                tell(ToStandby::Frames(Frames::of(prev, *wire, frames)));
                at += count;
            }
            if peer.told.1 < owner.barrier {
                tell(ToStandby::Barrier(owner.barrier));
            }
            peer.told = (copy.position.n, owner.barrier);
        }
        owner.trim(self.config.history);
    }

    /// Shows what may be shown, and goes on with what waited for that.
    pub(crate) fn settle(&mut self, now: Duration) {
        let (released, seen) = (self.released(now), self.seen());
        let rules = self.config.rules;
        let Some(owner) = &mut self.owner else { return };
        while let Some(release) =
            owner.releases.pop_front_if(|next| next.n <= released && next.barrier <= seen)
        {
            // R9: the frontier counts reads, too.
            if release.barrier == 0 || rules.obey(Rule::R9) {
                owner.frontier = owner.frontier.max(release.n);
            }
            let epoch = owner.epoch;
            let reply = |route, reply| Action::Reply(route, epoch, reply);
            match release.shown {
                Shown::Reply(route, said) => self.actions.push_back(reply(route, said)),
                Shown::Outside(job) => self.actions.push_back(Action::Released(job)),
                Shown::Answer(id, body) => {
                    let routes = owner.waiters.remove(&id).unwrap_or_default();
                    let said = |route| reply(route, Reply::Answered { id, body: body.clone() });
                    self.actions.extend(routes.into_iter().map(said));
                }
            }
        }
        self.tell_others(released);
        self.go_on_moving();
        self.take_held(now);
    }

    /// Sends the entries of the outbox whose frames are released.
    fn tell_others(&mut self, released: u64) {
        let rules = self.config.rules;
        let (Some(owner), Some(copy)) = (&mut self.owner, &self.copy) else { return };
        let outbox = &copy.table.outbox;
        // R40: what is over is over when the frame that says so is released, and not before.
        owner.ending.retain(|_, (_, n)| *n > released && rules.obey(Rule::R40));
        let from = owner.told.map_or(Bound::Unbounded, Bound::Excluded);
        for (number, effect) in outbox.range((from, Bound::Unbounded)) {
            // R18, R30, R34: nobody sees an effect whose cause may be lost.
            let rule = if effect.call { Rule::R30 } else { Rule::R18Gate };
            if number.frame.n > released && rules.obey(rule) && rules.obey(Rule::R34) {
                break;
            }
            owner.told = Some(*number);
            // R41: the floor that goes with it shows what was over by any frame that is released.
            let told = if rules.obey(Rule::R41) { released.min(copy.position.n) } else { 0 };
            owner.frontier = owner.frontier.max(number.frame.n).max(told);
            let open = outbox.iter().map(|(number, other)| (number, other.to));
            let ending = owner.ending.iter().map(|(number, (to, _))| (number, *to));
            let open = open.chain(ending).filter(|(_, to)| *to == effect.to).map(|(number, _)| *number);
            let known = owner.start <= released || !rules.obey(Rule::R40);
            let lowest = open.min().filter(|_| known).unwrap_or_default();
            let after = outbox.range(..number).rev().find(|(_, other)| other.to == effect.to);
            let floor = Floor::Shard { lowest, after: after.map(|(number, _)| *number) };
            let id = RequestId::Shard { shard: self.shard, number: *number };
            let request = Request { id, floor, body: effect.body.clone() };
            self.actions.push_back(Action::Effect(effect.to, request));
        }
    }

    /// Whether no more work is taken: too much is under way.
    pub(crate) fn is_full(&self) -> bool {
        self.owner.as_ref().is_some_and(|owner| owner.waiting() >= self.config.pending)
    }

    /// Whether new work waits: a standby would be further behind by it than it may be.
    pub(crate) fn is_behind(&self) -> bool {
        let (Mode::Async { lag }, Some(owner), Some(copy)) = (self.config.mode, &self.owner, &self.copy)
        else {
            return false;
        };
        let least = self.lowest(|member| owner.peer(member).0);
        let begun = copy.position.n + owner.jobs.len() as u64;
        least.is_some_and(|acked| begun.saturating_sub(acked) >= lag)
    }

    /// A copy tells this owner something.
    pub fn handle_told(&mut self, from: Member, said: Streamed<ToOwner>, now: Duration) {
        let wire = self.wire();
        let from = match self.config.rules.obey(Rule::R4) {
            true => from,
            false => self.namesake(from),
        };
        let (Some(owner), Some(copy)) = (&mut self.owner, &self.copy) else { return };
        let Some(peer) = owner.peers.get_mut(&from) else { return };
        if said.epoch != owner.epoch || said.stream != peer.stream {
            return;
        }
        match said.message {
            ToOwner::Have { position, reads } => {
                peer.reads = Some(reads);
                peer.unreadable = reads < wire && self.config.rules.obey(Rule::R35);
                if !peer.unreadable {
                    self.fill(from, position, now);
                }
            }
            ToOwner::Ack { n, barrier } => {
                // An acknowledged barrier says what is held as well.
                let moves = n > peer.acked || barrier > peer.barrier;
                peer.acked = peer.acked.max(n.min(copy.position.n));
                peer.barrier = peer.barrier.max(barrier);
                peer.tries = if moves { 0 } else { peer.tries };
                let all = peer.acked >= copy.position.n && peer.barrier >= owner.barrier;
                if all {
                    peer.owes = None;
                } else if moves {
                    peer.owes = Some(now);
                }
                owner.trim(self.config.history);
            }
            ToOwner::Unreadable { reads } => {
                peer.reads = Some(reads);
                peer.unreadable = true;
            }
            ToOwner::Refused { epoch } if epoch > owner.epoch => self.actions.push_back(Action::Read),
            ToOwner::Refused { .. } => {}
            ToOwner::Final { position, lease } => self.handed_over(from, position, lease, now),
        }
        self.consider(now);
        self.settle(now);
    }

    fn namesake(&self, member: Member) -> Member {
        let owner = self.owner.as_ref();
        let known = owner.and_then(|owner| owner.peers.keys().find(|known| known.node == member.node));
        known.copied().unwrap_or(member)
    }

    /// Tells a copy what follows what it holds, if that stands in the history; otherwise everything.
    fn fill(&mut self, member: Member, position: Option<Position>, now: Duration) {
        let (wire, rules) = (self.wire(), self.config.rules);
        let (Some(owner), Some(copy)) = (&mut self.owner, &self.copy) else { return };
        let start = position.and_then(|position| owner.follows(position, rules));
        let Some(peer) = owner.peers.get_mut(&member) else { return };
        // What was written for others it may not be able to read.
        let reads = |start: &usize| owner.history.range(*start..).all(|(wire, _)| peer.reads >= Some(*wire));
        let start = start.filter(|start| reads(start) || !rules.obey(Rule::R35));
        let message = match start {
            Some(_) => ToStandby::Continue,
            None => match copy.image(wire, rules) {
                Ok(image) => ToStandby::Image(image),
                Err(_) => {
                    peer.unreadable = true;
                    return;
                }
            },
        };
        let streamed = Streamed { epoch: owner.epoch, stream: peer.stream, message };
        self.actions.push_back(Action::ToStandby(member, streamed));
        peer.live = true;
        peer.owes = Some(now);
        peer.told = (start.map_or(copy.position.n, |start| owner.before.n + start as u64), 0);
        self.come_soon();
    }

    /// The connection to a member is gone: what was under way on it never arrives.
    pub fn handle_disconnected(&mut self, member: Member) {
        if let Some(peer) = self.owner.as_mut().and_then(|owner| owner.peers.get_mut(&member)) {
            peer.live = false;
        }
    }

    /// There is a connection to a member, which carries nothing of a former one.
    pub fn handle_connected(&mut self, member: Member, now: Duration) {
        if self.owner.as_ref().is_some_and(|owner| owner.peers.contains_key(&member)) {
            self.open(member, now);
        }
    }

    /// Who is to be the standby; `None`: nobody can be.
    pub fn handle_standby(&mut self, wanted: Option<Member>, now: Duration) {
        if let Some(owner) = &mut self.owner {
            owner.wanted = wanted.filter(|_| self.config.mode != Mode::Local);
            self.align(now);
            self.consider(now);
        }
    }

    /// The version of bytes that copies are to have from now on, if all of them read it.
    pub fn handle_wire(&mut self, wire: u32, now: Duration) {
        if let Some(owner) = &mut self.owner {
            owner.wire = Some(wire);
            self.consider(now);
        }
    }

    /// Has streams to those that should have one, and to nobody else.
    pub(crate) fn align(&mut self, now: Duration) {
        let mut told = self.gate();
        let Some(owner) = &mut self.owner else { return };
        told.extend(owner.wanted);
        told.extend(owner.moving.as_ref().map(|moving| moving.to));
        told.remove(&self.me);
        owner.peers.retain(|member, _| told.contains(member));
        let new: BTreeSet<_> = told.into_iter().filter(|member| !owner.peers.contains_key(member)).collect();
        for member in new {
            self.open(member, now);
        }
    }

    /// Begins a stream.
    fn open(&mut self, member: Member, now: Duration) {
        let inherits = !self.config.rules.obey(Rule::R11);
        let held = self.copy.as_ref().filter(|_| inherits).map_or(0, |copy| copy.position.n);
        let known = self.gate().contains(&member);
        let Some(owner) = &mut self.owner else { return };
        owner.next_stream += 1;
        let stream = owner.next_stream;
        // R11: what a new owner has inherited, its standbys may not have.
        let acked = if known { held } else { 0 };
        let new = || Peer {
            stream,
            live: false,
            told: (0, 0),
            acked,
            barrier: 0,
            owes: None,
            opened: now,
            tries: 0,
            reads: None,
            unreadable: false,
        };
        let peer = owner.peers.entry(member).or_insert_with(new);
        peer.stream = stream;
        peer.live = false;
        peer.owes = Some(now);
        peer.opened = now;
        let hello = Streamed { epoch: owner.epoch, stream, message: ToStandby::Hello };
        self.actions.push_back(Action::ToStandby(member, hello));
    }

    /// What the owner of a shard proposes.
    pub(crate) fn consider_as_owner(&mut self, now: Duration) {
        if self.proposals.is_waiting() || self.is_sent(now) {
            return;
        }
        let (Some(record), Some(owner)) = (&self.record, &self.owner) else { return };
        if !self.wants_more(record, owner, now) {
            return;
        }
        let record = record.clone();
        let mut next = record.clone();
        next.in_sync.retain(|member| !self.is_late(*member, now));
        if next == record && owner.is_frozen() {
            // The change of the owner would compete with what can wait.
            return;
        }
        if next == record
            && let Some(member) = self.complete(owner)
        {
            next.in_sync.insert(member);
        }
        let moves_to = owner.moving.as_ref().map(|moving| moving.to);
        if self.config.mode == Mode::Local {
            // Whoever a move has filled that was given up.
            next.in_sync.retain(|member| Some(*member) == moves_to);
        }
        let wanted = owner.wanted.filter(|wanted| record.in_sync.contains(wanted));
        if next == record
            && let Some(wanted) = wanted
        {
            next.in_sync.retain(|member| *member == wanted || Some(*member) == moves_to);
            if next != record && !self.has_heard(wanted, now) {
                return;
            }
        }
        if next == record {
            next.wire = self.next_wire(&record);
        }
        if next != record {
            self.propose(next, now);
        }
    }

    /// Whether anything may be to be proposed. Most of the time nothing is, and this is asked with each event.
    fn wants_more(&self, record: &Record, owner: &Owner<C>, now: Duration) -> bool {
        let moves_to = owner.moving.as_ref().map(|moving| moving.to);
        let named = |member: &Member| record.in_sync.contains(member);
        let surplus = |member: &Member| {
            Some(*member) != moves_to && owner.wanted.is_some_and(|wanted| wanted != *member)
        };
        owner.wire.is_some_and(|wire| wire != record.wire)
            || owner.peers.keys().any(|member| !named(member))
            || record.in_sync.iter().any(|member| surplus(member) || self.is_late(*member, now))
    }

    /// R39: whoever is taken out as planned is, when one that stays has acknowledged since the record has named it.
    fn has_heard(&mut self, stays: Member, now: Duration) -> bool {
        let revision = self.record.as_ref().map_or(0, |record| record.revision);
        let Some(owner) = &mut self.owner else { return false };
        match owner.asked {
            Some((asked, barrier)) if asked == revision => owner.peer(stays).1 >= barrier,
            _ => {
                owner.ask(now);
                owner.asked = Some((revision, owner.barrier));
                self.tell_barrier();
                false
            }
        }
    }

    fn is_late(&self, member: Member, now: Duration) -> bool {
        let Some(peer) = self.owner.as_ref().and_then(|owner| owner.peers.get(&member)) else { return false };
        let waits = peer.owes.is_some_and(|since| now >= since + self.config.patience);
        waits || peer.unreadable || self.suspected.contains(&member)
    }

    /// A copy that may be named: it has all that anybody has seen.
    fn complete(&self, owner: &Owner<C>) -> Option<Member> {
        let n = self.copy.as_ref()?.position.n;
        let rules = self.config.rules;
        let gate = self.gate();
        let behind = match self.config.mode {
            Mode::Async { lag } => lag,
            _ => u64::try_from(self.config.history).unwrap_or(u64::MAX),
        };
        let complete = |peer: &Peer| {
            // R8
            let all = peer.acked >= owner.frontier || !rules.obey(Rule::R8);
            // R43: while a lower version is proposed it may be filled in that, and must not be named in a record of the higher.
            let reads =
                peer.reads >= self.record.as_ref().map(|record| record.wire) || !rules.obey(Rule::R43);
            all && reads && n - peer.acked <= behind
        };
        let fills = |(member, peer): &(&Member, &Peer)| {
            !gate.contains(member)
                && peer.live
                && !peer.unreadable
                && !self.suspected.contains(member)
                && complete(peer)
        };
        owner.peers.iter().find(fills).map(|(member, _)| *member)
    }

    /// R37: a version that all read who are told anything. A lower one must be able to say what there is.
    fn next_wire(&self, record: &Record) -> u32 {
        let Some(owner) = &self.owner else { return record.wire };
        let wanted = owner.wire.filter(|wire| *wire <= self.config.reads && *wire != record.wire);
        let Some(wire) = wanted else { return record.wire };
        let read = owner.peers.values().all(|peer| peer.reads.is_some_and(|reads| reads >= wire));
        let says = || self.copy.as_ref().is_some_and(|copy| copy.contents.whole(wire).is_ok());
        let may = if wire > record.wire { read } else { says() };
        if may { wire } else { record.wire }
    }

    /// What an owner does as time passes.
    pub(crate) fn tick_owner(&mut self, now: Duration) {
        let (again, ttl, wire) = (self.config.again, self.config.session, self.wire());
        let Some(owner) = &mut self.owner else { return };
        if now >= owner.tell_again {
            owner.tell_again = now + again;
            owner.told = None;
        }
        // What could not be read or said may be by now.
        let may = |peer: &Peer| !peer.unreadable || peer.reads.is_some_and(|reads| reads >= wire);
        // What is filled may take its time, and a new stream each time would never be: each waits for longer.
        let pause = |peer: &Peer| again * (1 << peer.tries.min(PAUSES));
        let owes = |peer: &Peer| peer.owes.is_some_and(|since| now >= since.max(peer.opened) + pause(peer));
        let silent = |peer: &Peer| owes(peer) && may(peer);
        let reopen: BTreeSet<_> =
            owner.peers.iter().filter(|(_, peer)| silent(peer)).map(|(member, _)| *member).collect();
        let still = owner.is_still();
        let ended: BTreeSet<_> = owner
            .heard
            .iter()
            .filter(|_| !still)
            .filter(|(_, at)| now >= **at + ttl)
            .map(|(session, _)| *session)
            .collect();
        for member in reopen {
            let since = self.owner.as_ref().and_then(|owner| owner.peers.get(&member)?.owes);
            self.open(member, now);
            // It owes what it owed.
            if let Some(peer) = self.owner.as_mut().and_then(|owner| owner.peers.get_mut(&member)) {
                peer.owes = since;
                peer.tries += 1;
            }
        }
        for session in ended {
            if let Some(owner) = &mut self.owner {
                owner.heard.remove(&session);
            }
            let wire = self.wire();
            self.write(None, wire, [Write::Drop(session)].into(), now);
        }
        self.tick_move(now);
    }
}

#[cfg(test)]
mod tests;
