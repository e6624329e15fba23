//! What the world does with the actions of the machines.

use alloc::vec::Vec;
use core::time::Duration;

use super::log::{Log, Say, handle};
use super::world::{Event, Input, NODES, QUIET, SHARDS, Seen, World, id, node};
use crate::message::{Mail, Reply, RequestId, ToStandby};
use crate::proposals::Swapped;
use crate::record::{Member, Record};
use crate::replica::{Action, Cause};
use crate::rules::Rule;
use crate::stub::{Asked, Outcome, StubAction};

/// Routes below are clients; above, owners of other shards.
const ROUTES: u64 = 1000;

pub(super) fn route(member: Member) -> u64 {
    ROUTES + u64::from(member.node) * 100_000 + u64::from(member.creation)
}

fn routed(route: u64) -> Member {
    let (node, creation) = ((route - ROUTES) / 100_000, (route - ROUTES) % 100_000);
    Member { node: node as u32, creation: creation as u32, store: None }
}

impl World {
    /// Carries out what a replica wants.
    pub(super) fn act(&mut self, at: usize, shard: usize) {
        while let Some(action) = self.hosts[at].replicas[shard].poll() {
            self.act_one(at, shard, action);
        }
    }

    fn act_one(&mut self, at: usize, shard: usize, action: Action<Log>) {
        let me = self.hosts[at].member;
        match action {
            Action::Read => {
                let delay = self.delay() + self.delay() + self.authority_held.saturating_sub(self.now);
                let record = self.records[shard].clone();
                self.after(delay, Event::At(me, shard, Input::Record(record)));
            }
            Action::Swap(record) => self.propose(me, shard, record),
            Action::ToStandby(to, said) => {
                // What is large has a lane of its own, and is overtaken.
                let lane = if matches!(said.message, ToStandby::Image(_)) { 2 } else { 0 };
                self.send(me, to, lane, Event::At(to, shard, Input::ToStandby(me, said)))
            }
            Action::ToOwner(to, said) => self.send(me, to, 1, Event::At(to, shard, Input::ToOwner(me, said))),
            Action::Soon => {
                let soon = self.random.millis(0..2);
                self.after(soon, Event::At(me, shard, Input::Soon));
            }
            Action::Reply(route, epoch, reply) => self.reply(me, shard, route, epoch, reply),
            Action::RunAlone(job, cause) => {
                let now = self.now;
                let Some(copy) = self.hosts[at].replicas[shard].copy() else { return };
                let ran = handle(&copy.contents, &cause, id(1 - shard));
                self.leave_open(shard, &cause);
                self.hosts[at].replicas[shard].handle_ran(job, ran, now);
            }
            Action::Run(job, cause) => {
                let jobs = &mut self.hosts[at].jobs[shard];
                jobs.push_back((job, cause));
                if jobs.len() == 1 {
                    let takes = self.random.millis(0..2);
                    self.after(takes, Event::At(me, shard, Input::Job));
                }
            }
            Action::Effect(to, request) => self.effect(me, shard, to.0 as usize, request),
            Action::StartTimer(number, after) => {
                self.after(after, Event::At(me, shard, Input::Timer(number)))
            }
            Action::Freeze => {
                // The first was begun.
                let idle: Vec<_> = self.hosts[at].jobs[shard].drain(..).collect();
                let mut idle = idle.into_iter();
                self.hosts[at].jobs[shard].extend(idle.next());
                for (job, _) in idle {
                    let now = self.now;
                    self.hosts[at].replicas[shard].handle_returned(job, now);
                }
            }
            Action::Activate => {
                let replica = &self.hosts[at].replicas[shard];
                let (epoch, log) = (replica.serves().unwrap(), replica.copy().unwrap().contents.clone());
                self.seen.push(Seen::Activated { shard, by: me, epoch, log });
            }
            Action::Deactivate => self.hosts[at].jobs[shard].clear(),
            Action::Forward(to, Mail::Cast(body)) => {
                let delay = self.delay();
                self.after(delay, Event::At(to, shard, Input::Cast(body)));
            }
            Action::Forward(..) | Action::Keep(_) | Action::Undo(_) | Action::Released(_) => {}
            Action::Moved(result) => self.seen.push(Seen::Moved { shard, result }),
        }
    }

    /// A change of the record is under way, and sometimes its outcome is not heard of.
    fn propose(&mut self, me: Member, shard: usize, record: Record) {
        let held = self.authority_held.saturating_sub(self.now);
        let delay = self.delay() + held;
        if held > Duration::ZERO || self.random.one_in(6) {
            let unknown = self.random.millis(10..40);
            self.after(unknown, Event::At(me, shard, Input::Swapped(record.clone(), Swapped::Unknown)));
            let late = self.random.millis(0..200);
            if self.random.one_in(3) {
                // It is lost on the way.
                return;
            }
            return self.after(delay + late, Event::Swap(me, shard, record, false));
        }
        self.after(delay, Event::Swap(me, shard, record, true));
    }

    /// The authority gets a change of the record.
    pub(super) fn swap(&mut self, from: Member, shard: usize, mut proposed: Record, answers: bool) {
        let now = self.records[shard].clone();
        // R3: what it is compared by.
        let matches = match self.rules.obey(Rule::R3) {
            true => now.as_ref().map_or(0, |now| now.revision) + 1 == proposed.revision,
            false => now.as_ref().is_none_or(|now| {
                proposed.revision = now.revision + 1;
                let changes = u64::from((now.owner, now.lease) != (proposed.owner, proposed.lease));
                now.epoch + changes == proposed.epoch
            }),
        };
        if matches {
            let follows = proposed.follows(now.as_ref());
            assert!(follows.is_ok() || self.rules.without.is_some(), "{now:?} to {proposed:?}: {follows:?}");
            self.records[shard] = Some(proposed.clone());
            self.seen.push(Seen::Record { shard, record: proposed.clone() });
            for host in 0..NODES {
                let delay = self.delay();
                let to = self.hosts[host].member;
                self.after(delay, Event::At(to, shard, Input::Record(Some(proposed.clone()))));
            }
        }
        if answers {
            let outcome = if matches { Swapped::Won } else { Swapped::Lost(now) };
            let delay = self.delay();
            self.after(delay, Event::At(from, shard, Input::Swapped(proposed, outcome)));
        }
    }

    fn reply(&mut self, by: Member, shard: usize, route: u64, epoch: u64, reply: Reply<Say>) {
        let delay = self.delay();
        if route < ROUTES {
            let client = route as usize;
            self.seen.push(Seen::Released { shard, by, epoch, reply: reply.clone() });
            // When faults are over it is not lost any more, or the last that is asked may never be heard of.
            if self.now >= QUIET || !self.random.one_in(20) {
                self.after(delay, Event::Reply(client, shard, epoch, reply));
            }
            return;
        }
        let to = routed(route);
        let (id, body) = match reply {
            Reply::Answered { id, body } => (id, body),
            Reply::Expired { id } => (id, None),
            _ => return,
        };
        if let RequestId::Shard { shard, .. } = id {
            self.after(delay, Event::At(to, shard.0 as usize, Input::Confirm(id, body)));
        }
    }

    fn effect(&mut self, me: Member, shard: usize, to: usize, request: crate::message::Request<Say>) {
        let Some(record) = &self.records[to] else { return };
        let owner = record.owner;
        let RequestId::Shard { number, .. } = request.id else { return };
        let replica = &self.hosts[node(me)].replicas[shard];
        // R34: without it, what stays on the node does not wait.
        if !self.rules.obey(Rule::R34) && number.frame.n > replica.released(self.now) && owner.node != me.node
        {
            return;
        }
        let epoch = replica.serves().unwrap_or(0);
        self.seen.push(Seen::Effected { shard, by: me, epoch, request: request.clone() });
        let delay = self.delay();
        self.after(delay, Event::At(owner, to, Input::Effect(me, request.clone())));
        if self.random.one_in(8) {
            let later = self.random.millis(5..100);
            self.after(later, Event::At(owner, to, Input::Effect(me, request)));
        }
    }

    /// The process of a shard works on what it was given first.
    pub(super) fn work(&mut self, at: usize, shard: usize) {
        let me = self.hosts[at].member;
        // What is done in a row is sometimes one step.
        let many = if self.random.one_in(4) { 1 + self.random.below(3) } else { 1 };
        let row: Vec<_> = (0..many).map_while(|_| self.hosts[at].jobs[shard].pop_front()).collect();
        if !self.hosts[at].jobs[shard].is_empty() {
            let takes = self.random.millis(0..2);
            self.after(takes, Event::At(me, shard, Input::Job));
        }
        let now = self.now;
        let Some(copy) = self.hosts[at].replicas[shard].copy() else { return };
        let mut log = copy.contents.clone();
        let (mut all, mut changes) = (Vec::new(), Vec::new());
        for (job, cause) in row {
            let mut ran = handle(&log, &cause, id(1 - shard));
            let change = ran.change.take().unwrap_or_default();
            log.entries.extend(change.iter().map(|(entry, _)| *entry));
            if !change.is_empty() && self.random.one_in(4) {
                ran.answers = self
                    .open
                    .pop()
                    .filter(|(of, ..)| *of == shard)
                    .map(|(_, id, say)| (id, say))
                    .into_iter()
                    .collect();
            }
            changes.extend(change);
            self.leave_open(shard, &cause);
            all.push((job, ran));
        }
        if let Some((_, last)) = all.last_mut().filter(|_| !changes.is_empty()) {
            last.change = Some(changes);
        }
        self.hosts[at].replicas[shard].handle_ran_together(all, now);
    }

    /// What is answered later: by two, each in its own words, and perhaps by the process itself before.
    fn leave_open(&mut self, shard: usize, cause: &Cause<Say>) {
        let Cause::Request(request) = cause else { return };
        let Say::Later(op) = request.body else { return };
        self.open.push((shard, request.id, Say::Given(op, 2)));
        for by in 0..2 {
            let later = self.random.millis(20..150);
            self.after(later, Event::Give(shard, request.id, Say::Given(op, by)));
        }
    }

    /// Somebody answers what was left open, wherever the shard is served.
    pub(super) fn give(&mut self, shard: usize, id: RequestId, say: Say) {
        let now = self.now;
        for at in 0..NODES {
            let host = &self.hosts[at];
            if host.is_awake() && host.replicas[shard].serves().is_some() {
                self.hosts[at].replicas[shard].handle_answer(id, say.clone(), now);
                self.act(at, shard);
            }
        }
        if say.op().is_none_or(|op| !self.done.contains(&op.into())) {
            let again = self.random.millis(40..90);
            self.after(again, Event::Give(shard, id, say));
        }
    }

    /// A client begins something.
    pub(super) fn call(&mut self, client: usize) {
        let next = self.random.millis(10..60);
        if self.now < QUIET {
            self.after(next, Event::Call(client));
        }
        let shard = self.random.below(SHARDS);
        let op = self.next_op;
        self.next_op += 1;
        // What the faults of the moment endanger.
        let say = match self.random.below(16) {
            0..10 if self.deaf.iter().any(|until| self.now < *until) => Say::Get,
            0..6 if self.now < self.wired => Say::PutNew(op),
            0..10 if self.now < self.held_final => return self.cast(shard, Say::Put(op)),
            0..=3 => Say::Get,
            4 | 5 => Say::Tell(op),
            6 | 7 => Say::Ask(op),
            8 => Say::Later(op),
            9 => Say::Post(op),
            10 => Say::Wait(op),
            11 => Say::PutNew(op),
            12 => return self.cast(shard, Say::Put(op)),
            _ => Say::Put(op),
        };
        let ticket = u64::from(op);
        self.seen.push(Seen::Called { shard, ticket, say: say.clone() });
        let (now, deadline) = (self.now, Duration::MAX / 2);
        self.clients[client].stubs[shard].handle_call(ticket, say, deadline, now);
        self.act_client(client, shard);
    }

    /// Somebody sends a cast to whoever owns the shard.
    fn cast(&mut self, shard: usize, say: Say) {
        if let Some(record) = &self.records[shard] {
            let owner = record.owner;
            let delay = self.delay();
            self.after(delay, Event::At(owner, shard, Input::Cast(say)));
        }
    }

    /// Carries out what a client's stub wants.
    pub(super) fn act_client(&mut self, client: usize, shard: usize) {
        while let Some(action) = self.clients[client].stubs[shard].poll() {
            match action {
                StubAction::Send(to, asked) => self.carry(client, shard, to, asked),
                StubAction::Done(ticket, outcome) => self.done(shard, ticket, outcome),
                // Stubs are ticked often enough.
                StubAction::Soon(_) | StubAction::EpochChanged { .. } => {}
            }
        }
    }

    fn carry(&mut self, client: usize, shard: usize, to: Option<Member>, asked: Asked<Say>) {
        let Some(to) = to else {
            let delay = self.delay();
            return self.after(delay, Event::Resolved(client, shard));
        };
        let route = client as u64;
        if !self.random.one_in(20) {
            let delay = self.delay();
            self.after(delay, Event::At(to, shard, Input::Ask(route, asked.clone())));
        }
        // A duplicate comes late, sometimes by another way.
        if self.random.one_in(5) {
            let late = self.random.millis(2..200);
            let other = self.random.below(NODES);
            let to = if self.random.one_in(2) { self.hosts[other].member } else { to };
            self.after(late, Event::At(to, shard, Input::Ask(route, asked)));
        }
    }

    fn done(&mut self, shard: usize, ticket: u64, outcome: Outcome<Say>) {
        self.done.insert(ticket);
        self.seen.push(Seen::Done { shard, ticket, outcome });
    }
}
