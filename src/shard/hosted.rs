//! A shard at this node: carries out what its [`Replica`] decides, and knows the processes that are awake.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use incarnate_shards::{
    Action, Answer, Cause, Config, JobId, LeaseId, Mail, Member, Mode, NotMoved, Number, Ran, Record,
    Replica, Reply, Request, RequestId, Route, ShardId, Streamed, Swapped, Timer, ToOwner, ToStandby,
};
use rustc_hash::FxHashMap;
use tokio::sync::mpsc::UnboundedSender;

use super::address::{Address, Blob, Body, Fault, Said};
use super::combine::{Combined, Machine};
use super::keyed::Outside;
use super::life::{Done, Duty, Seed, Task, Undone, Work};
use super::packet::{Asks, Packet};
use super::post::When;
use super::recover::{NotRecovered, Recover};
use super::shared::{Order, Shared};
use super::states::{Becomes, StateChange, States};
use crate::gen_server::Resumed;
use crate::process::{ProcessRef, meter, start_timer};
use crate::term::{ExitReason, TimerRef};

/// A shard at this node.
pub(super) type Hosted = Combined<Host>;

/// A copy that may be behind by so many frames is told of them by the way.
const MANY: u64 = 256;

/// What comes to a shard.
pub(super) enum Event {
    /// The record as the authority has it.
    Record(Option<Record>),
    Swapped(Record, Swapped),
    Suspected(Member, bool),
    /// This lease of a member is over.
    Over(Member, LeaseId),
    /// This member's own lease is valid until then.
    Lease(LeaseId, Duration),
    /// This member is to be the first owner.
    Claim(u32),
    Standby(Option<Member>),
    /// Copies are to be written in this version.
    Wire(u32),
    /// Whoever asks hears whether a member is told of it, if it is owned here.
    Tells(Member, UnboundedSender<(ShardId, bool)>),
    Move(Member, Duration),
    /// It is lost, and this member is to go on with it.
    Recover(Recover),
    Connected(Member),
    Disconnected(Member),
    Tick,
    ToStandby(Member, Streamed<ToStandby<States>>),
    ToOwner(Member, Streamed<ToOwner>),
    /// What was put off for a moment is to be done.
    Soon,
    Asked(Route, Asks),
    Mail(Mail<Body>),
    /// The owner of another shard has answered what this one asked.
    Confirmed(Number, Option<Body>),
    /// A process has done its jobs one after the other, which has made this of its state.
    Done(Address, u64, Vec<(JobId, Done)>, Option<Becomes>),
    /// What has become of a job that was not done.
    Undone(Address, u64, JobId, Undone),
    Idle(Address, u64),
    Timer(Number),
    /// It was told what there is to know of the others.
    Introduced,
    /// Nothing is done any more.
    Stop,
}

/// A process that is awake.
struct Awake {
    process: ProcessRef<Work>,
    /// Which life of it.
    life: u64,
    /// What it was given, in order; the first may have been begun.
    jobs: VecDeque<Given>,
}

/// A job that a process was given.
struct Given {
    job: JobId,
    task: Task,
    alone: bool,
    /// Whether it was begun, or taken back.
    taken: Arc<AtomicBool>,
}

pub(super) struct Host {
    shared: Arc<Shared>,
    shard: ShardId,
    /// When frames and their acknowledgements are to be carried.
    copies: When,
    replica: Replica<States>,
    awake: FxHashMap<Address, Awake>,
    lives: u64,
    /// Why processes go on with their state the next time, of those that do not because they were idle.
    why: FxHashMap<Address, Resumed>,
    /// The jobs that were told last, and whose.
    last: Option<(Vec<JobId>, Address)>,
    /// What is to be done outside when the job is released.
    outside: FxHashMap<JobId, Vec<Outside>>,
    /// Timers by name, and what fires them.
    timers: FxHashMap<(Address, Box<str>), Number>,
    firing: FxHashMap<Number, TimerRef>,
    /// Messages that were handled, for the measure of its load.
    pub(super) handled: u64,
    /// The mailbox of a shard that moves here has come in this epoch.
    handed: Option<u64>,
    introduced: bool,
    stopped: bool,
}

impl Machine for Host {
    type Event = Event;

    fn handle(&mut self, event: Event) {
        if self.stopped {
            return;
        }
        let now = self.shared.now();
        let replica = &mut self.replica;
        match event {
            Event::Record(record) => replica.handle_record(record, now),
            Event::Swapped(record, outcome) => replica.handle_swapped(&record, outcome, now),
            Event::Suspected(member, suspected) => replica.handle_suspected(member, suspected, now),
            Event::Over(member, lease) => replica.handle_over(member, lease, now),
            Event::Lease(lease, until) => replica.handle_lease(lease, until, now),
            Event::Claim(wire) => replica.handle_claim(wire, now),
            Event::Standby(member) => replica.handle_standby(member, now),
            Event::Wire(wire) => self.write_in(wire, now),
            Event::Tells(member, caller) => {
                if let Some(tells) = replica.tells(member) {
                    // Nobody may wait for it any more.
                    let _ = caller.send((self.shard, tells));
                }
            }
            Event::Move(to, limit) => replica.handle_move(to, limit, now),
            Event::Recover(with) => self.recover(with, now),
            Event::Connected(member) => replica.handle_connected(member, now),
            Event::Disconnected(member) => replica.handle_disconnected(member),
            Event::Tick => replica.handle_tick(now),
            Event::ToStandby(from, said) => {
                if let ToStandby::Final { .. } = said.message {
                    self.handed = Some(said.epoch);
                }
                replica.handle_streamed(from, said);
            }
            Event::ToOwner(from, said) => replica.handle_told(from, said, now),
            Event::Soon => replica.handle_soon(),
            Event::Asked(route, Asks::Open { nonce }) => replica.handle_open(route, nonce, now),
            Event::Asked(route, Asks::Renew { nonce, session }) => {
                replica.handle_renew(route, nonce, session, now);
            }
            Event::Asked(route, Asks::Request(request)) => replica.handle_request(route, request, now),
            Event::Mail(Mail::Cast(body)) => replica.handle_cast(body, now),
            // Whoever waits for it asks again.
            Event::Mail(Mail::Request(_)) => {}
            Event::Confirmed(number, said) => replica.handle_confirmed(number, said, now),
            Event::Timer(number) => {
                self.firing.remove(&number);
                replica.handle_timer(number, now);
            }
            Event::Done(address, life, done, becomes) => self.done(&address, life, done, becomes, now),
            Event::Undone(address, life, job, undone) => self.undone(&address, life, job, undone, now),
            Event::Idle(address, life) => self.idle(&address, life),
            Event::Introduced => self.introduced = true,
            Event::Stop => {
                self.deactivate();
                self.stopped = true;
                return;
            }
        }
        while let Some(action) = self.replica.poll() {
            self.act(action, now);
        }
    }
}

/// What is said of a shard to whoever asks.
#[derive(Clone, Debug)]
pub(super) struct Look {
    pub(super) record: Option<Record>,
    pub(super) serves: Option<u64>,
    pub(super) awake: usize,
    pub(super) states: usize,
    pub(super) bytes: u64,
    pub(super) handled: u64,
}

impl Host {
    pub(super) fn new(shared: Arc<Shared>, me: Member, shard: ShardId, config: Config) -> Self {
        let empty = States::new(shared.kinds().clone());
        // Where no answer waits for a copy, and none is soon too far behind, more goes together.
        let copies = match config.mode {
            Mode::Async { lag: MANY.. } => When::Late,
            _ => When::Soon,
        };
        Host {
            copies,
            replica: Replica::new(me, shard, config, empty),
            shared,
            shard,
            awake: FxHashMap::default(),
            lives: 0,
            why: FxHashMap::default(),
            last: None,
            outside: FxHashMap::default(),
            timers: FxHashMap::default(),
            firing: FxHashMap::default(),
            handled: 0,
            handed: None,
            introduced: false,
            stopped: false,
        }
    }

    pub(super) fn replica(&self) -> &Replica<States> {
        &self.replica
    }

    /// Writes copies in another version, unless a lower one cannot say what there is: then it stays, and says why.
    fn write_in(&mut self, wire: u32, now: Duration) {
        let Some(record) = self.replica.record() else { return };
        let (before, states) = (record.wire, self.replica.copy().map(|copy| &copy.contents));
        let unsayable =
            states.filter(|_| wire < before).map(|states| states.unsayable(wire)).unwrap_or_default();
        if unsayable.is_empty() {
            return self.replica.handle_wire(wire, now);
        }
        // What it was to change to before counts no more either.
        self.replica.handle_wire(before, now);
        self.shared.order(Order::Refused(self.shard, wire, unsayable));
    }

    fn recover(&mut self, with: Recover, now: Duration) {
        if !self.replica.handle_recover(with == Recover::Empty, now) {
            let lacks = with == Recover::Copy && self.replica.copy().is_none();
            let why = if lacks { NotRecovered::NoCopy } else { NotRecovered::NoMember };
            self.shared.order(Order::NotRecovered(self.shard, why));
        }
    }

    pub(super) fn is_introduced(&self) -> bool {
        self.introduced
    }

    pub(super) fn look(&self) -> Look {
        let states = self.replica.copy().map(|copy| &copy.contents);
        Look {
            record: self.replica.record().cloned(),
            serves: self.replica.serves(),
            awake: self.awake.len(),
            states: states.map_or(0, States::len),
            bytes: states.map_or(0, States::bytes),
            handled: self.handled,
        }
    }

    fn act(&mut self, action: Action<States>, now: Duration) {
        let shard = self.shard;
        match action {
            Action::Read => self.shared.order(Order::Read(shard)),
            Action::Swap(record) => self.shared.order(Order::Swap(shard, record)),
            Action::ToStandby(to, said) => {
                self.shared.send(to, shard, Packet::ToStandby(said));
            }
            Action::ToOwner(to, said) => self.shared.send(to, shard, Packet::ToOwner(said)),
            Action::Soon => self.shared.post().come_for(&self.shared, shard, self.copies),
            Action::Reply(route, epoch, reply) => self.reply(route, epoch, reply),
            Action::Run(job, cause) => self.run(job, cause, false, now),
            Action::RunAlone(job, cause) => self.run(job, cause, true, now),
            Action::Keep(_) => self.handled += 1,
            // A process that has done what cannot be kept is not asked any more.
            Action::Undo(job) => self.undo(job),
            Action::Released(job) => {
                for done in self.outside.remove(&job).into_iter().flatten() {
                    done();
                }
            }
            Action::Effect(to, request) => self.shared.effect(to, request),
            Action::StartTimer(number, after) => self.start_timer(number, after),
            Action::Freeze => self.freeze(now),
            Action::Activate => self.activate(),
            Action::Deactivate => self.deactivate(),
            Action::Forward(to, mail) => self.shared.send(to, shard, Packet::Mail(mail)),
            Action::Moved(result) => {
                // It is told by who knows first.
                if let (Ok(()), Some(record)) = (result, self.replica.record()) {
                    let told = Packet::Record(record.clone());
                    self.shared.send(record.owner, shard, told);
                }
                self.shared.order(Order::Moved(shard, result));
            }
        }
    }

    /// Serves from now on.
    fn activate(&mut self) {
        let shard = self.shard;
        let moved = self.handed.is_some_and(|epoch| Some(epoch + 1) == self.replica.serves());
        let why = if moved { Resumed::Migration } else { Resumed::Failover };
        let states = self.replica.copy().map(|copy| &copy.contents);
        self.why.extend(states.into_iter().flat_map(States::all).map(|of| (of.clone(), why)));
        if let (false, Some(epoch @ 2..), Some(node)) = (moved, self.replica.serves(), self.shared.node()) {
            tracing::info!(target: "incarnate::shard", %shard, epoch, "shard taken over");
            meter::shard_taken_over(&node);
        }
        self.shared.order(Order::Serves(shard));
    }

    fn reply(&mut self, route: Route, epoch: u64, reply: Reply<Body>) {
        self.shared.reply(route, self.shard, epoch, reply);
    }

    /// Gives a job to its process.
    fn run(&mut self, job: JobId, cause: Cause<Body>, alone: bool, now: Duration) {
        let (to, task) = match self.task(cause) {
            Ok(task) => task,
            Err(ran) => return self.replica.handle_ran(job, *ran, now),
        };
        let refusable = matches!(task, Task::Call { .. } | Task::Cast(_));
        let full = |kind: &super::Kind| {
            refusable && self.awake.get(&to).is_some_and(|awake| awake.jobs.len() >= kind.bound)
        };
        match self.shared.kinds().get(to.kind()) {
            None => {
                let why = format!("there is no type {:?} on this node", to.kind());
                self.refuse(job, Fault::NotUnderstood(why), now);
            }
            Some(kind) if full(kind) => self.refuse(job, Fault::Overloaded, now),
            Some(_) => {
                let Some(mut awake) = self.awake.remove(&to).or_else(|| self.wake(&to)) else { return };
                self.give(&to, &mut awake, job, task, alone);
                self.awake.insert(to, awake);
            }
        }
    }

    /// For which process a cause is, and what; or what it has done already.
    fn task(&self, cause: Cause<Body>) -> Result<(Address, Task), Box<Ran<States>>> {
        let table = self.replica.copy().map(|copy| &copy.table);
        Ok(match cause {
            Cause::Request(Request { id, body: Body::Call { to, message, how, .. }, .. }) => {
                (to, Task::Call { id, message, how })
            }
            Cause::Request(Request { body: Body::Answer { id, said }, .. }) => {
                let nothing = Answer::Now(Body::Said(Ok(Blob::default())));
                let answers = vec![(id, Body::Said(said))];
                return Err(Box::new(Ran { answers, ..Ran::quiet(nothing) }));
            }
            Cause::Request(Request { body: Body::Cast { to, message }, .. })
            | Cause::Cast(Body::Cast { to, message })
            | Cause::Inner(_, Body::Cast { to, message }) => (to, Task::Cast(message)),
            Cause::Timer(_, Body::Timer { to, message, .. }) => (to, Task::Timer(message)),
            Cause::Answer(number, Body::Said(said)) => {
                match table.and_then(|table| table.outbox.get(&number)).map(|effect| &effect.body) {
                    Some(Body::Call { by: Some((by, info)), .. }) => {
                        (by.clone(), Task::Answer(info.clone(), said))
                    }
                    _ => return Err(Box::new(Ran::quiet(Answer::None))),
                }
            }
            other => {
                let why = format!("{other:?} is nothing that a process is told");
                let fault = Body::Said(Err(Fault::NotUnderstood(why)));
                return Err(Box::new(Ran::quiet(Answer::Now(fault))));
            }
        })
    }

    /// The job has done nothing, and its asker, if there is one, hears why.
    fn refuse(&mut self, job: JobId, fault: Fault, now: Duration) {
        tracing::debug!(target: "incarnate::shard", shard = self.shard.0, ?fault, "message refused");
        self.replica.handle_ran(job, Ran::quiet(Answer::Now(Body::Said(Err(fault)))), now);
    }

    fn give(&self, to: &Address, awake: &mut Awake, job: JobId, task: Task, alone: bool) {
        let Some(hosted) = self.shared.hosted(self.shard) else { return };
        let (address, life) = (to.clone(), awake.life);
        let taken = Arc::new(AtomicBool::new(false));
        awake.jobs.push_back(Given { job, task: task.clone(), alone, taken: taken.clone() });
        let duty = Duty { hosted, address, life, job, alone, taken, begun: false, told: false };
        awake.process.send(Work::Do(task, duty));
    }

    /// Starts a process: from its state, if there is one.
    fn wake(&mut self, address: &Address) -> Option<Awake> {
        let (node, hosted) = (self.shared.node()?, self.shared.hosted(self.shard)?);
        let kind = self.shared.kinds().get(address.kind())?.clone();
        self.lives += 1;
        let kept = self.replica.copy().and_then(|copy| copy.contents.get(address).cloned());
        let why = self.why.remove(address).unwrap_or(Resumed::Idle);
        let seed = Seed {
            shared: self.shared.clone(),
            hosted,
            address: address.clone(),
            life: self.lives,
            kept: kept.map(|kept| (kept, why)),
            idle: kind.idle,
        };
        Some(Awake { process: kind.start(&node, seed), life: self.lives, jobs: VecDeque::new() })
    }

    /// A process has done what it was given.
    fn done(
        &mut self,
        address: &Address,
        life: u64,
        done: Vec<(JobId, Done)>,
        becomes: Option<Becomes>,
        now: Duration,
    ) {
        let Some(awake) = self.awake.get_mut(address).filter(|awake| awake.life == life) else { return };
        let jobs: Vec<_> = done.iter().map(|(job, _)| *job).collect();
        awake.jobs.retain(|given| !jobs.contains(&given.job));
        let ended = done.iter().any(|(_, done)| done.ended);
        let mut ran: Vec<_> =
            done.into_iter().map(|(job, done)| (job, self.step(address, job, done))).collect();
        if let Some((_, last)) = ran.last_mut() {
            last.change = becomes.map(|to| StateChange { of: address.clone(), to });
        }
        self.last = Some((jobs, address.clone()));
        self.replica.handle_ran_together(ran, now);
        if ended {
            self.restart(address);
        }
    }

    /// A job was not done, and its process has ended.
    fn undone(&mut self, address: &Address, life: u64, job: JobId, undone: Undone, now: Duration) {
        let Some(awake) = self.awake.get_mut(address).filter(|awake| awake.life == life) else { return };
        if let Undone::Failed(fault) = undone {
            awake.jobs.retain(|given| given.job != job);
            self.refuse(job, fault, now);
        }
        self.crashed(address);
        self.restart(address);
    }

    /// The process goes on from the state that is kept, if there is one, since it has ended in the midst of its work.
    fn crashed(&mut self, address: &Address) {
        if self.replica.copy().is_some_and(|copy| copy.contents.get(address).is_some()) {
            self.why.insert(address.clone(), Resumed::Restart);
        }
    }

    /// What a callback has done, as the replica is told it.
    fn step(&mut self, address: &Address, job: JobId, done: Done) -> Ran<States> {
        let Done { said, answers, output, stale, .. } = done;
        let is_here = |to: &ShardId| *to == self.shard;
        let (inner, effects): (Vec<_>, Vec<_>) =
            output.effects.into_iter().partition(|effect| is_here(&effect.to) && !effect.call);
        let timer = |(name, after, message)| Timer {
            after,
            body: Body::Timer { to: address.clone(), name, message },
        };
        let runs =
            |number: &Number| self.replica.copy().is_some_and(|copy| copy.table.timers.contains_key(number));
        let stopped = output.cancelled.into_iter();
        let stopped = stopped.filter_map(|name| self.timers.get(&(address.clone(), name)).copied());
        let stopped = stopped.filter(runs).collect();
        let outside = !output.outside.is_empty();
        if outside {
            self.outside.insert(job, output.outside);
        }
        Ran {
            change: None,
            answer: said.map_or(Answer::Later, |said| Answer::Now(Body::Said(said))),
            effects,
            inner: inner.into_iter().map(|effect| effect.body).collect(),
            timers: output.started.into_iter().map(timer).collect(),
            stopped,
            answers: answers
                .into_iter()
                .map(|(id, said): (RequestId, Said)| (id, Body::Said(said)))
                .collect(),
            outside,
            stale,
        }
    }

    /// The process is gone or is to go: what waited for it waits for the next.
    fn restart(&mut self, address: &Address) {
        let Some(before) = self.awake.remove(address) else { return };
        if before.jobs.is_empty() {
            return;
        }
        let Some(mut awake) = self.wake(address) else { return };
        for Given { job, task, alone, .. } in before.jobs {
            self.give(address, &mut awake, job, task, alone);
        }
        self.awake.insert(address.clone(), awake);
    }

    /// What the job did is not kept, and so is nothing that its process does after it.
    fn undo(&mut self, job: JobId) {
        self.outside.remove(&job);
        let Some((_, address)) = self.last.take_if(|(last, _)| last.contains(&job)) else { return };
        if let (Some(node), Some(awake)) = (self.shared.node(), self.awake.get(&address)) {
            node.exit(awake.process.pid(), ExitReason::Kill);
        }
        self.crashed(&address);
        self.restart(&address);
    }

    /// Jobs that were not begun go back.
    fn freeze(&mut self, now: Duration) {
        let mut returned = Vec::new();
        for awake in self.awake.values_mut() {
            awake.jobs.retain(|given| {
                let begun = given.taken.swap(true, Ordering::AcqRel);
                if !begun {
                    returned.push(given.job);
                }
                begun
            });
        }
        returned.sort_unstable();
        for job in returned {
            self.replica.handle_returned(job, now);
        }
    }

    fn idle(&mut self, address: &Address, life: u64) {
        let idle = self.awake.get(address).is_some_and(|awake| awake.life == life && awake.jobs.is_empty());
        if idle && let Some(awake) = self.awake.remove(address) {
            awake.process.send(Work::Leave(ExitReason::Normal));
        }
    }

    /// Serves no more.
    fn deactivate(&mut self) {
        for (_, awake) in self.awake.drain() {
            // What it is doing is nobody's any more.
            let begun = awake.jobs.iter().any(|given| given.taken.swap(true, Ordering::AcqRel));
            match begun {
                true => {
                    if let Some(node) = self.shared.node() {
                        node.exit(awake.process.pid(), ExitReason::Kill);
                    }
                }
                false => {
                    awake.process.send(Work::Leave(ExitReason::shutdown_with("moved")));
                }
            }
        }
        self.why.clear();
        self.outside.clear();
        self.timers.clear();
        if let Some(node) = self.shared.node() {
            for (_, timer) in self.firing.drain() {
                node.timers().cancel(timer);
            }
        }
        self.shared.order(Order::Serves(self.shard));
    }

    fn start_timer(&mut self, number: Number, after: Duration) {
        let copy = self.replica.copy();
        let Some(timer) = copy.and_then(|copy| copy.table.timers.get(&number)) else { return };
        let body = &timer.body;
        if let Body::Timer { to, name, .. } = body {
            self.timers.insert((to.clone(), name.clone()), number);
        }
        // Those that have fired are found now and then.
        if let Some(copy) = copy.filter(|copy| self.timers.len() > 2 * copy.table.timers.len() + 64) {
            self.timers.retain(|_, number| copy.table.timers.contains_key(number));
        }
        if let (Some(node), Some(hosted)) = (self.shared.node(), self.shared.hosted(self.shard)) {
            let fires = start_timer(&node, after, |_| Box::new(move || hosted.handle(Event::Timer(number))));
            self.firing.insert(number, fires);
        }
    }
}

/// What has come of a move that was ordered.
pub(super) type Moved = Result<(), NotMoved>;
