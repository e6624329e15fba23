//! Serving: what was taken, what was written, who has it, what may be shown.

use alloc::boxed::Box;
use alloc::collections::{BTreeMap, BTreeSet, VecDeque};
use alloc::vec::Vec;
use core::time::Duration;

use crate::copy::{Contents, Known, Row, Write};
use crate::message::{Floor, Frame, Mail, Number, Position, Reply, Request, RequestId, Route, SessionId};
use crate::mover::Move;
use crate::record::{Member, ShardId};
use crate::replica::{Action, Answer, Cause, JobId, Members, NotMoved, Ran, Replica};
use crate::rules::Rule;
use crate::standby::{Mailbox, Standby};

/// What only the owner of a shard has, and loses with the ownership.
#[derive(Debug)]
pub(crate) struct Owner<C: Contents> {
    pub(crate) epoch: u64,
    /// Copies that are told, those of the gate and those that are being filled.
    pub(crate) peers: Members<Peer>,
    pub(crate) next_stream: u64,
    /// Who is to be a standby.
    pub(crate) wanted: Option<Member>,
    /// The last frames that somebody lacks, each in the bytes of which version, and the position before the first of them.
    pub(crate) before: Position,
    pub(crate) history: VecDeque<(u32, Frame<C>)>,
    pub(crate) jobs: BTreeMap<JobId, Cause<C::Body>>,
    /// Work that stands in the copy and cannot be done as things are: bytes of the standby's version cannot say what
    /// comes of it, or the shard is frozen.
    pub(crate) stuck: Vec<Cause<C::Body>>,
    /// Who waits for which request.
    pub(crate) waiters: BTreeMap<RequestId, Vec<Route>>,
    /// What waits for acknowledgements, in the order in which it may be shown.
    pub(crate) releases: VecDeque<Release<C::Body>>,
    /// The highest frame whose effect anybody outside may have seen.
    pub(crate) frontier: u64,
    /// The last barrier that was asked for, and the last that was told to anybody.
    pub(crate) barrier: u64,
    pub(crate) barrier_told: u64,
    /// At which revision a barrier was asked for before somebody is taken out, and which.
    pub(crate) asked: Option<(u64, u64)>,
    pub(crate) moving: Option<Move>,
    /// What came while the shard was frozen, or a standby too far behind.
    pub(crate) held: VecDeque<(Option<Route>, Mail<C::Body>)>,
    /// When each session was last heard of.
    pub(crate) heard: BTreeMap<SessionId, Duration>,
    /// The last entry of the outbox that was sent, and when it is said again.
    pub(crate) told: Option<Number>,
    pub(crate) tell_again: Duration,
    /// Entries of the outbox that are over by a frame that is not released yet, and by which: until then, whoever takes over
    /// may need the answer again.
    pub(crate) ending: BTreeMap<Number, (ShardId, u64)>,
    /// Where it began to serve: of what was over before that, it does not know by which frame.
    pub(crate) start: u64,
    /// Entries of the outbox whose answer is being handled.
    pub(crate) answering: BTreeSet<Number>,
    /// The version of bytes that copies are to have.
    pub(crate) wire: Option<u32>,
}

/// A copy as its owner sees it.
#[derive(Debug)]
pub(crate) struct Peer {
    pub(crate) stream: u64,
    /// Whether it has said what it holds, and is told what follows.
    pub(crate) live: bool,
    /// Up to where it was told frames, and barriers.
    pub(crate) told: (u64, u64),
    pub(crate) acked: u64,
    pub(crate) barrier: u64,
    /// Since when it owes an acknowledgement.
    pub(crate) owes: Option<Duration>,
    /// When the stream was begun, and how many in a row nothing has come of.
    pub(crate) opened: Duration,
    pub(crate) tries: u32,
    /// The version that it reads, once it has said so.
    pub(crate) reads: Option<u32>,
    /// It cannot read what it would be sent.
    pub(crate) unreadable: bool,
}

/// Something that is shown when everybody has the frame, and has seen the barrier.
#[derive(Debug)]
pub(crate) struct Release<B> {
    pub(crate) n: u64,
    pub(crate) barrier: u64,
    pub(crate) shown: Shown<B>,
}

/// Something that may be shown outside once it is released.
#[derive(Debug)]
pub(crate) enum Shown<B> {
    /// An answer, to all who wait for it by then.
    Answer(RequestId, Option<B>),
    /// A reply to one.
    Reply(Route, Reply<B>),
    /// What a job has to do outside.
    Outside(JobId),
}

impl<C: Contents> Owner<C> {
    /// One more waits for a request; answers whether somebody did.
    fn join(&mut self, id: RequestId, route: Route) -> bool {
        let joined = self.waiters.contains_key(&id);
        self.waiters.entry(id).or_default().push(route);
        joined
    }

    /// Whether nothing waits for anything.
    pub(crate) fn is_at_rest(&self) -> bool {
        let owes = |peer: &Peer| peer.owes.is_some();
        self.jobs.is_empty()
            && self.stuck.is_empty()
            && self.releases.is_empty()
            && self.held.is_empty()
            && self.moving.is_none()
            && !self.peers.values().any(owes)
    }

    /// Whether messages are kept for now.
    pub(crate) fn is_frozen(&self) -> bool {
        self.moving.as_ref().is_some_and(Move::is_frozen)
    }

    /// Whether nothing may be written.
    pub(crate) fn is_still(&self) -> bool {
        self.moving.as_ref().is_some_and(Move::is_still)
    }
}

impl<C: Contents> Replica<C> {
    /// Serves from now on what the copy holds.
    pub(crate) fn activate(&mut self, now: Duration) {
        let (Some(record), Some(copy)) = (&self.record, &self.copy) else { return };
        let epoch = record.epoch;
        let heard = if self.config.rules.obey(Rule::R33) { now } else { Duration::ZERO };
        let mailbox = self.standby.mailbox.take();
        self.standby = Standby::default();
        self.owner = Some(Box::new(Owner {
            epoch,
            peers: BTreeMap::new(),
            next_stream: 0,
            wanted: None,
            before: copy.position,
            history: VecDeque::new(),
            jobs: BTreeMap::new(),
            stuck: Vec::new(),
            waiters: BTreeMap::new(),
            releases: VecDeque::new(),
            // Whatever the owners before have shown is in here.
            frontier: copy.position.n,
            barrier: 0,
            barrier_told: 0,
            asked: None,
            moving: None,
            held: VecDeque::new(),
            // R33: as far as this owner knows, all have been heard of now.
            heard: copy.table.clients.keys().map(|session| (*session, heard)).collect(),
            told: None,
            tell_again: now + self.config.again,
            ending: BTreeMap::new(),
            start: copy.position.n,
            answering: BTreeSet::new(),
            wire: None,
        }));
        self.actions.push_back(Action::Activate);
        self.actions
            .extend(copy.table.timers.iter().map(|(number, timer)| Action::StartTimer(*number, timer.after)));
        let inner: Vec<_> = copy.table.inner.iter().map(|(number, body)| (*number, body.clone())).collect();
        // R17: a mailbox counts where its shard was frozen, and nowhere else.
        let fits = |held: &Mailbox<_>| held.epoch + 1 == epoch && held.position == copy.position;
        let mailbox = mailbox.filter(|held| fits(held) || !self.config.rules.obey(Rule::R17));
        for (number, body) in inner {
            self.run(Cause::Inner(number, body));
        }
        for mail in mailbox.into_iter().flat_map(|mailbox| mailbox.mails) {
            self.take(None, mail, now);
        }
        self.align(now);
        self.settle(now);
    }

    /// Serves no more, since the record says who else does: nothing that waits is shown.
    pub(crate) fn step_down(&mut self) {
        self.step_down_for(self.record.as_ref().map(|record| (record.owner, record.epoch)));
    }

    /// Serves no more, since another does in a later epoch, whether the record says so by now or not.
    pub(crate) fn step_down_for(&mut self, next: Option<(Member, u64)>) {
        let Some(owner) = self.owner.take() else { return };
        self.actions.push_back(Action::Deactivate);
        let mut owner = *owner;
        let mut routes: Vec<Route> = owner.waiters.into_values().flatten().collect();
        for release in owner.releases {
            if let Shown::Reply(route, _) = release.shown {
                routes.push(route);
            }
        }
        let moved = owner.moving.take().map(|moving| (moving.is_won(next, owner.epoch), moving));
        for (at, (route, mail)) in owner.held.into_iter().enumerate() {
            routes.extend(route);
            // What came after the mailbox had left.
            if let (Mail::Cast(_), Some((true, moving))) = (&mail, &moved)
                && at >= moving.handed
            {
                self.actions.push_back(Action::Forward(moving.to, mail));
            }
        }
        let reply = |route| Action::Reply(route, owner.epoch, Reply::NotOwner { owner: next });
        self.actions.extend(routes.into_iter().map(reply));
        if let Some((won, _)) = moved {
            self.actions.push_back(Action::Moved(if won { Ok(()) } else { Err(NotMoved::Deposed) }));
        }
        self.standby = Standby::default();
    }

    /// The record has changed, and this member owns the shard as before.
    pub(crate) fn adopted(&mut self, now: Duration) {
        let wire = self.wire();
        for peer in self.owner.iter_mut().flat_map(|owner| owner.peers.values_mut()) {
            // It could not read what follows, whatever it has read so far.
            peer.unreadable |=
                peer.reads.is_some_and(|reads| reads < wire) && self.config.rules.obey(Rule::R35);
        }
        self.thaw_if_lost(now);
        self.align(now);
        self.run_again();
        self.settle(now);
    }

    /// A request of a client or of another shard.
    pub fn handle_request(&mut self, route: Route, request: Request<C::Body>, now: Duration) {
        let released = self.released(now);
        let full = self.is_full();
        let (Some(owner), Some(copy)) = (&mut self.owner, &self.copy) else {
            let owner = self.record.as_ref().map(|record| (record.owner, record.epoch));
            self.actions.push_back(Action::Reply(route, self.known, Reply::NotOwner { owner }));
            return;
        };
        let id = request.id;
        if let RequestId::Client { session, .. } = id
            && let Some(heard) = owner.heard.get_mut(&session)
        {
            *heard = now;
        }
        let reply = match copy.table.known(id, request.floor, self.config.rules) {
            Known::Early => return,
            // R42: that a session was dropped stands in a frame, and who takes over without that would carry it out.
            Known::Expired if self.config.rules.obey(Rule::R42) => {
                self.release_read(Shown::Reply(route, Reply::Expired { id }), now);
                return self.settle(now);
            }
            Known::Expired => Reply::Expired { id },
            // R10: a stored answer is shown when a fresh one would be.
            Known::Answered(body, n) if n <= released || !self.config.rules.obey(Rule::R10) => {
                // R46: the fresh one may still wait, behind something that was read.
                if self.config.rules.obey(Rule::R46) {
                    owner.frontier = owner.frontier.max(n);
                }
                Reply::Answered { id, body }
            }
            Known::Answered(body, n) => {
                let joined = owner.join(id, route);
                if !joined {
                    owner.releases.push_back(Release { n, barrier: 0, shown: Shown::Answer(id, body) });
                }
                return;
            }
            Known::Accepted => {
                owner.join(id, route);
                return;
            }
            Known::New if owner.waiters.contains_key(&id) => {
                owner.join(id, route);
                return;
            }
            Known::New if full => Reply::Busy { id },
            Known::New => return self.take(Some(route), Mail::Request(request), now),
        };
        let epoch = owner.epoch;
        self.actions.push_back(Action::Reply(route, epoch, reply));
    }

    /// A message that nobody waits for. It may be lost with the owner; it is never handled twice.
    pub fn handle_cast(&mut self, body: C::Body, now: Duration) {
        if self.owner.is_some() && !self.is_full() {
            self.take(None, Mail::Cast(body), now);
        }
    }

    /// Hands it to its process, or keeps it while the shard is frozen.
    pub(crate) fn take(&mut self, route: Option<Route>, mail: Mail<C::Body>, now: Duration) {
        let behind = self.is_behind();
        let Some(owner) = &mut self.owner else { return };
        if owner.is_frozen() || behind {
            owner.held.push_back((route, mail));
            return;
        }
        match mail {
            Mail::Cast(body) => self.run(Cause::Cast(body)),
            Mail::Request(request) => {
                let (copy, id) = (self.copy.as_ref(), request.id);
                let known = copy.map(|copy| copy.table.known(id, request.floor, self.config.rules));
                let runs = known == Some(Known::New) && !owner.waiters.contains_key(&id);
                if runs {
                    owner.waiters.insert(id, route.into_iter().collect());
                    self.run(Cause::Request(request));
                } else if let Some(route) = route {
                    // It came again while it was kept.
                    self.handle_request(route, request, now);
                }
            }
        }
    }

    /// Takes what was kept, as far as nothing keeps it.
    pub(crate) fn take_held(&mut self, now: Duration) {
        while !self.is_behind()
            && let Some(owner) = self.owner.as_mut().filter(|owner| !owner.is_frozen())
            && let Some((route, mail)) = owner.held.pop_front()
        {
            self.take(route, mail, now);
        }
    }

    fn run(&mut self, cause: Cause<C::Body>) {
        if let Some(job) = self.begin(&cause) {
            self.actions.push_back(Action::Run(job, cause));
        }
    }

    fn run_alone(&mut self, cause: Cause<C::Body>) {
        if let Some(job) = self.begin(&cause) {
            self.actions.push_back(Action::RunAlone(job, cause));
        }
    }

    fn begin(&mut self, cause: &Cause<C::Body>) -> Option<JobId> {
        let job = JobId(self.next_job);
        self.next_job += 1;
        self.owner.as_mut()?.jobs.insert(job, cause.clone());
        Some(job)
    }

    /// A job that was not begun, since the shard is to be frozen.
    pub fn handle_returned(&mut self, job: JobId, now: Duration) {
        let Some(owner) = &mut self.owner else { return };
        match owner.jobs.remove(&job) {
            Some(Cause::Cast(body)) => owner.held.push_back((None, Mail::Cast(body))),
            Some(Cause::Request(request)) => {
                let mut routes: Vec<_> = owner.waiters.remove(&request.id).unwrap_or_default();
                let first = routes.pop();
                let others = routes.into_iter().map(|route| (Some(route), Mail::Request(request.clone())));
                owner.held.extend(others);
                owner.held.push_back((first, Mail::Request(request)));
            }
            // The others stand in the copy, and run where it is served.
            Some(cause) => owner.stuck.push(cause),
            None => {}
        }
        self.settle(now);
    }
}

/// Writing: what a process has done becomes a frame.
impl<C: Contents> Replica<C> {
    /// A process has done what it was to do.
    pub fn handle_ran(&mut self, job: JobId, ran: Ran<C>, now: Duration) {
        self.handle_ran_together([(job, ran)].into(), now);
    }

    /// A process has done several things one after the other, which are one frame: all of them are kept, or none. The last change
    /// is what has become of its state by all of them.
    pub fn handle_ran_together(&mut self, ran: Vec<(JobId, Ran<C>)>, now: Duration) {
        let wire = self.wire();
        let Some(owner) = &mut self.owner else { return };
        let known = |(job, ran)| owner.jobs.remove(&job).map(|cause| (job, cause, ran));
        let mut all: Vec<(JobId, Cause<C::Body>, Ran<C>)> = ran.into_iter().filter_map(known).collect();
        if all.iter().all(|(_, cause, ran)| is_shown_quietly(cause, ran)) {
            for (job, cause, ran) in all {
                self.show_quiet(job, cause, ran, now);
            }
            return self.settle(now);
        }
        let Some(copy) = &self.copy else { return };
        let change = all.iter_mut().rev().find_map(|(.., ran)| ran.change.take());
        let encoded = change.as_ref().map(|change| copy.contents.encode(change, wire)).transpose();
        // R36: what cannot be said to the standby is not done.
        if encoded.is_err() && self.config.rules.obey(Rule::R36) {
            // Not all of it may be to blame.
            let together = all.len() > 1;
            self.actions.extend(all.iter().map(|(job, ..)| Action::Undo(*job)));
            for (_, cause, _) in all {
                if together { self.run_alone(cause) } else { self.refuse(cause) }
            }
            return self.settle(now);
        }
        let delta = encoded.unwrap_or_default();
        let n = self.next_position().n;
        // A floor and a row of each, more often than not.
        let mut writes = Vec::with_capacity(2 * all.len());
        let mut outside = Vec::new();
        for (job, cause, ran) in all {
            self.actions.push_back(Action::Keep(job));
            outside.extend(ran.outside.then_some(job));
            self.add_writes(&mut writes, &cause, ran);
        }
        for write in &writes {
            if let Write::Row(id, Row::Answered(body)) = write {
                self.release(n, Shown::Answer(*id, body.clone()));
            }
        }
        for job in outside {
            self.release(n, Shown::Outside(job));
        }
        self.write(delta, wire, writes, now);
        self.settle(now);
    }

    fn show_quiet(&mut self, job: JobId, cause: Cause<C::Body>, ran: Ran<C>, now: Duration) {
        self.actions.push_back(Action::Keep(job));
        if let (Cause::Request(request), Answer::Now(body)) = (cause, ran.answer) {
            let shown = Shown::Answer(request.id, Some(body));
            match ran.stale {
                true => self.release(self.copy.as_ref().map_or(0, |copy| copy.position.n), shown),
                false => self.release_read(shown, now),
            }
        }
        if ran.outside {
            self.release_read(Shown::Outside(job), now);
        }
    }

    /// What becomes of everything beside the states, in the frame that comes next.
    fn add_writes(&self, writes: &mut Vec<Write<C::Body>>, cause: &Cause<C::Body>, ran: Ran<C>) {
        match cause {
            Cause::Request(request) => {
                let id = request.id;
                // R14: the floor is part of the copy.
                writes.push(Write::Floor(id, self.floor(id, request.floor)));
                let row = match ran.answer {
                    Answer::Now(body) => Row::Answered(Some(body)),
                    Answer::None => Row::Answered(None),
                    // R28: it was carried out, whoever answers it and whenever.
                    Answer::Later => Row::Accepted,
                };
                // R13: what is known of the request is in the frame of what it has done.
                writes.push(Write::Row(id, row));
            }
            Cause::Cast(_) => {}
            Cause::Inner(number, _) => writes.push(Write::Handled(*number)),
            Cause::Timer(number, _) => writes.push(Write::Stop(*number)),
            Cause::Answer(number, _) => writes.push(Write::Done(*number)),
        }
        for (id, body) in ran.answers {
            let written = writes.iter().rev().find_map(|write| match write {
                Write::Row(row, what) if *row == id => Some(what),
                _ => None,
            });
            // R28: the first one counts, and an answer makes no row.
            let counts = written.map_or_else(|| self.counts(id), |row| matches!(row, Row::Accepted));
            if counts {
                writes.push(Write::Row(id, Row::Answered(Some(body))));
            }
        }
        let frame = self.next_position();
        let mut index = u32::try_from(writes.len()).unwrap_or(u32::MAX);
        let mut number = || {
            index += 1;
            Number { frame, index }
        };
        // R18, R30: what goes to others leaves by the outbox, and the outbox is in the frame.
        writes.extend(ran.effects.into_iter().map(|effect| Write::Put(number(), effect)));
        // R29: so is what goes to processes of the same shard.
        writes.extend(ran.inner.into_iter().map(|body| Write::Post(number(), body)));
        writes.extend(ran.timers.into_iter().map(|timer| Write::Start(number(), timer)));
        writes.extend(ran.stopped.into_iter().map(Write::Stop));
    }

    /// R15: what the client says that it needs no more, and nothing else.
    fn floor(&self, id: RequestId, floor: Floor) -> Floor {
        match id {
            RequestId::Client { seq, .. } if !self.config.rules.obey(Rule::R15) => Floor::Client(seq),
            _ => floor,
        }
    }

    fn next_position(&self) -> Position {
        let n = self.copy.as_ref().map_or(0, |copy| copy.position.n) + 1;
        Position { epoch: self.owner.as_ref().map_or(0, |owner| owner.epoch), n }
    }

    /// Bytes of the standby's version cannot say what it has done. A client may try again; what stands in the copy waits
    /// for another version.
    fn refuse(&mut self, cause: Cause<C::Body>) {
        let Some(owner) = &mut self.owner else { return };
        match cause {
            Cause::Request(request) => {
                let id = request.id;
                let routes = owner.waiters.remove(&id).unwrap_or_default();
                let reply = |route| Action::Reply(route, owner.epoch, Reply::Upgrading { id });
                self.actions.extend(routes.into_iter().map(reply));
            }
            Cause::Cast(_) => {}
            stays => owner.stuck.push(stays),
        }
    }

    /// Tries again what was stuck.
    pub(crate) fn run_again(&mut self) {
        let Some(owner) = &mut self.owner else { return };
        if owner.is_frozen() {
            return;
        }
        for cause in core::mem::take(&mut owner.stuck) {
            self.run(cause);
        }
    }

    /// Writes a frame, which all copies are told of; answers its number.
    pub(crate) fn write(
        &mut self,
        delta: Option<C::Delta>,
        wire: u32,
        writes: Vec<Write<C::Body>>,
        now: Duration,
    ) -> u64 {
        let position = self.next_position();
        let (Some(owner), Some(copy)) = (&mut self.owner, &mut self.copy) else { return 0 };
        let mut posted = Vec::new();
        for write in &writes {
            match write {
                Write::Done(number) => {
                    if let Some(effect) = copy.table.outbox.get(number) {
                        owner.ending.insert(*number, (effect.to, position.n));
                    }
                    owner.answering.remove(number);
                }
                Write::Start(number, timer) => {
                    self.actions.push_back(Action::StartTimer(*number, timer.after));
                }
                Write::Post(number, body) => posted.push(Cause::Inner(*number, body.clone())),
                _ => {}
            }
        }
        let readable = if owner.peers.is_empty() {
            owner.history.clear();
            owner.before = position;
            copy.apply(delta.as_ref(), writes, wire, position)
        } else {
            let readable = copy.apply(delta.as_ref(), writes.iter().cloned(), wire, position);
            let rules = self.config.rules;
            let obeyed = |write: &Write<C::Body>| write.rule().is_none_or(|rule| rules.obey(rule));
            owner
                .history
                .push_back((wire, Frame { delta, writes: writes.into_iter().filter(obeyed).collect() }));
            readable
        };
        debug_assert_eq!(readable, Ok(()), "an owner reads what it writes");
        self.spread(now);
        for cause in posted {
            self.run_or_keep(cause);
        }
        position.n
    }

    /// A timer has fired.
    pub fn handle_timer(&mut self, number: Number, now: Duration) {
        let Some(copy) = self.copy.as_ref().filter(|_| self.owner.is_some()) else { return };
        let Some(timer) = copy.table.timers.get(&number) else { return };
        let cause = Cause::Timer(number, timer.body.clone());
        let again = |owner: &Owner<C>| owner.jobs.values().chain(&owner.stuck).any(|job| *job == cause);
        if self.owner.as_deref().is_some_and(again) {
            return;
        }
        self.run_or_keep(cause);
        self.settle(now);
    }

    /// Work that stands in the copy: it runs, or waits until the shard is frozen no more.
    fn run_or_keep(&mut self, cause: Cause<C::Body>) {
        let Some(owner) = &mut self.owner else { return };
        match owner.is_frozen() {
            true => owner.stuck.push(cause),
            false => self.run(cause),
        }
    }

    /// The answer to a request whose process said that it comes later. Whoever sends it, it comes here.
    pub fn handle_answer(&mut self, id: RequestId, body: C::Body, now: Duration) {
        let serves = self.owner.as_ref().is_some_and(|owner| !owner.is_still());
        // R28: the first one counts, and an answer makes no row.
        if !serves || !self.counts(id) {
            return;
        }
        let wire = self.wire();
        let n = self.write(None, wire, [Write::Row(id, Row::Answered(Some(body.clone())))].into(), now);
        self.release(n, Shown::Answer(id, Some(body)));
        self.settle(now);
    }

    /// Whether an answer to this is waited for and has not come.
    fn counts(&self, id: RequestId) -> bool {
        match self.copy.as_ref().and_then(|copy| copy.table.row(id)) {
            Some(Row::Accepted) => true,
            Some(Row::Answered(_)) => !self.config.rules.obey(Rule::R28First),
            None => false,
        }
    }

    /// A client wants a session.
    pub fn handle_open(&mut self, route: Route, nonce: u64, now: Duration) {
        let full = self.is_full();
        let wire = self.wire();
        let serves = self.owner.as_ref().is_some_and(|owner| !owner.is_frozen());
        if !serves || full {
            let owner = self.record.as_ref().map(|record| (record.owner, record.epoch));
            self.actions.push_back(Action::Reply(route, self.known, Reply::NotOwner { owner }));
            return;
        }
        let session = SessionId(self.next_position());
        let n = self.write(None, wire, [Write::Open].into(), now);
        if let Some(owner) = &mut self.owner {
            owner.heard.insert(session, now);
        }
        let opened = Reply::Opened { nonce, session };
        // R32: its id is given when everybody knows it.
        if self.config.rules.obey(Rule::R32) {
            self.release(n, Shown::Reply(route, opened));
        } else {
            let epoch = session.0.epoch;
            self.actions.push_back(Action::Reply(route, epoch, opened));
        }
        self.settle(now);
    }

    /// A client says that it lives.
    pub fn handle_renew(&mut self, route: Route, nonce: u64, session: SessionId, now: Duration) {
        let (Some(owner), Some(copy)) = (&mut self.owner, &self.copy) else {
            let owner = self.record.as_ref().map(|record| (record.owner, record.epoch));
            self.actions.push_back(Action::Reply(route, self.known, Reply::NotOwner { owner }));
            return;
        };
        let lives = copy.table.clients.contains_key(&session);
        if lives {
            owner.heard.insert(session, now);
        }
        // R33: who is deposed has nothing to say about it.
        self.release_read(Shown::Reply(route, Reply::Renewed { nonce, lives }), now);
        self.settle(now);
    }

    /// The owner of another shard has what the outbox told it, and has answered.
    pub fn handle_confirmed(&mut self, number: Number, answer: Option<C::Body>, now: Duration) {
        let (Some(owner), Some(copy)) = (&mut self.owner, &self.copy) else { return };
        let Some(effect) = copy.table.outbox.get(&number) else { return };
        match answer.filter(|_| effect.call) {
            Some(body) => {
                if owner.answering.insert(number) {
                    self.run_or_keep(Cause::Answer(number, body));
                }
            }
            // It will be told again, and confirmed where the shard is by then.
            None if owner.is_still() => {}
            None => {
                let wire = self.wire();
                self.write(None, wire, [Write::Done(number)].into(), now);
            }
        }
        self.settle(now);
    }
}

/// Whether it needs no frame: it has changed nothing and sent nothing, and nothing that stands in the copy is over by it.
fn is_shown_quietly<C: Contents>(cause: &Cause<C::Body>, ran: &Ran<C>) -> bool {
    let is_over = match (cause, &ran.answer) {
        (Cause::Cast(_), _) => false,
        (Cause::Request(request), Answer::Now(_)) => !matches!(request.id, RequestId::Client { .. }),
        _ => true,
    };
    ran.is_quiet() && !is_over
}
