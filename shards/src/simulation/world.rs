//! Three nodes, an authority and three clients in an event loop, by a seed.

use alloc::collections::{BTreeMap, BTreeSet, BinaryHeap, VecDeque};
use alloc::vec::Vec;
use core::cmp::Reverse;
use core::time::Duration;

use super::act::route;
use super::log::{Log, Say};
use super::nemesis::{Fault, Nemesis};
use super::tenures::Tenures;
use crate::lease::Lease;
use crate::message::{Number, Reply, Request, RequestId, Streamed, ToOwner, ToStandby};
use crate::proposals::Swapped;
use crate::record::{LeaseId, Member, Record, ShardId};
use crate::replica::{Alone, Cause, Config, JobId, Mode, NotMoved, Replica};
use crate::rules::{Rule, Rules};
use crate::seeded::Seeded;
use crate::stub::{Asked, Outcome, Stub, StubConfig};

pub(super) const NODES: usize = 3;
pub(super) const CLIENTS: usize = 3;
pub(super) const SHARDS: usize = 2;
const TICK: Duration = Duration::from_millis(10);
/// Clients ask until then, and faults begin until then.
pub(super) const QUIET: Duration = Duration::from_millis(2000);
/// By then all that can be answered is.
const END: Duration = Duration::from_millis(5000);
/// More events than any run has that does not run wild.
const STORM: u64 = 500_000;
/// After how long a lease ends that is not renewed.
pub(super) const LEASE: Duration = Duration::from_millis(330);
/// How long a client relies on its session, where sessions are short.
const SESSION: Duration = Duration::from_millis(200);
/// How long a renewal is waited for.
pub(super) const UNANSWERED: Duration = Duration::from_millis(60);

/// Something that has happened, as the invariants see it.
#[derive(Clone, Debug)]
pub(super) enum Seen {
    /// Somebody outside was told something.
    Released { shard: usize, by: Member, epoch: u64, reply: Reply<Say> },
    /// The other shard was told something.
    Effected { shard: usize, by: Member, epoch: u64, request: Request<Say> },
    /// A member serves from now on what it holds.
    Activated { shard: usize, by: Member, epoch: u64, log: Log },
    /// A client has called.
    Called { shard: usize, ticket: u64, say: Say },
    /// And has heard.
    Done { shard: usize, ticket: u64, outcome: Outcome<Say> },
    /// A record is in force.
    Record { shard: usize, record: Record },
    /// A move has ended.
    Moved { shard: usize, result: Result<(), NotMoved> },
    /// A fault was made.
    Fault(Fault),
}

#[derive(Clone, Debug)]
pub(super) enum Event {
    /// To a replica, if its node is still the same member.
    At(Member, usize, Input),
    Tick(usize),
    Suspect(usize, Member, bool),
    Over(usize, Member, LeaseId),
    Renew(Member, u64, Option<LeaseId>, Option<LeaseId>),
    Renewed(Member, u64, Renewed),
    Swap(Member, usize, Record, bool),
    Reply(usize, usize, u64, Reply<Say>),
    Call(usize),
    Retry(usize, usize),
    Resolved(usize, usize),
    Give(usize, RequestId, Say),
    Fault,
    Resume(usize),
    Mend(usize, usize),
    Restart(usize),
}

/// What a member hears of a renewal.
#[derive(Clone, Copy, Debug)]
pub(super) enum Renewed {
    Yes(LeaseId),
    Over,
    /// Nothing.
    Unanswered,
}

/// What a replica is told.
#[derive(Clone, Debug)]
pub(super) enum Input {
    ToStandby(Member, Streamed<ToStandby<Log>>),
    ToOwner(Member, Streamed<ToOwner>),
    Ask(u64, Asked<Say>),
    Effect(Member, Request<Say>),
    Confirm(RequestId, Option<Say>),
    Cast(Say),
    Swapped(Record, Swapped),
    Record(Option<Record>),
    Job,
    Soon,
    Timer(Number),
}

/// A node: its present life.
pub(super) struct Host {
    pub(super) member: Member,
    pub(super) up: bool,
    pub(super) paused: bool,
    late: Vec<(Duration, Event)>,
    pub(super) lease: Lease,
    /// Counts its renewals: of the last alone the answer is listened to.
    pub(super) renewals: u64,
    pub(super) reads: u32,
    pub(super) replicas: Vec<Replica<Log>>,
    pub(super) jobs: Vec<VecDeque<(JobId, Cause<Say>)>>,
}

pub(super) struct Client {
    pub(super) stubs: Vec<Stub<Say>>,
}

pub(super) struct World {
    pub(super) now: Duration,
    pub(super) random: Seeded,
    pub(super) mode: Mode,
    pub(super) rules: Rules,
    queue: BinaryHeap<Reverse<(Duration, u64, Boxed)>>,
    order: u64,
    pub(super) hosts: Vec<Host>,
    pub(super) clients: Vec<Client>,
    pub(super) records: Vec<Option<Record>>,
    pub(super) tenures: Tenures,
    /// When what was last sent on a lane arrives.
    lanes: BTreeMap<(Member, Member, u8), Duration>,
    /// Lanes that are held, until when.
    pub(super) held: BTreeMap<(usize, usize, u8), Duration>,
    pub(super) authority_held: Duration,
    /// Until when it is not heard that a mailbox was handed over.
    pub(super) held_final: Duration,
    /// Requests that were accepted, with an answer to each.
    pub(super) open: Vec<(usize, RequestId, Say)>,
    /// Until when a node hears nothing of the authority.
    pub(super) deaf: [Duration; NODES],
    pub(super) cut: BTreeSet<(usize, usize)>,
    pub(super) nemesis: Nemesis,
    pub(super) seen: Vec<Seen>,
    pub(super) next_op: u32,
    pub(super) done: BTreeSet<u64>,
    pub(super) creations: u32,
    pub(super) wire: u32,
    /// Until when that is news.
    pub(super) wired: Duration,
}

impl Host {
    pub(super) fn is_awake(&self) -> bool {
        self.up && !self.paused
    }
}

/// Events are ordered by their time and number alone.
struct Boxed(Event);
impl PartialEq for Boxed {
    fn eq(&self, _: &Self) -> bool {
        true
    }
}
impl Eq for Boxed {}
impl PartialOrd for Boxed {
    fn partial_cmp(&self, other: &Self) -> Option<core::cmp::Ordering> {
        Some(self.cmp(other))
    }
}
impl Ord for Boxed {
    fn cmp(&self, _: &Self) -> core::cmp::Ordering {
        core::cmp::Ordering::Equal
    }
}

fn member(node: usize, creation: u32) -> Member {
    Member { node: u32::try_from(node).unwrap(), creation, store: None }
}

pub(super) fn node(member: Member) -> usize {
    member.node as usize
}

pub(super) fn id(shard: usize) -> ShardId {
    ShardId(u32::try_from(shard).unwrap())
}

impl World {
    pub(super) fn new(seed: u64, without: Option<Rule>) -> Self {
        let mut random = Seeded::new(seed);
        let nemesis = Nemesis::new(&mut random, QUIET, without);
        let mode = match random.below(8) {
            0..4 if nemesis.leases => Mode::Async { lag: 4 },
            0 => Mode::Async { lag: 4 },
            1 => Mode::Copied { alone: Alone::Wait },
            _ => Mode::Copied { alone: Alone::Serve },
        };
        let rules = Rules { without };
        let mut world = World {
            now: Duration::ZERO,
            random,
            mode,
            rules,
            queue: BinaryHeap::new(),
            order: 0,
            hosts: Vec::new(),
            clients: Vec::new(),
            records: vec![None; SHARDS],
            tenures: Tenures::default(),
            lanes: BTreeMap::new(),
            held: BTreeMap::new(),
            authority_held: Duration::ZERO,
            held_final: Duration::ZERO,
            open: Vec::new(),
            deaf: [Duration::ZERO; NODES],
            cut: BTreeSet::new(),
            nemesis,
            seen: Vec::new(),
            next_op: 1,
            done: BTreeSet::new(),
            creations: 0,
            wire: 1,
            wired: Duration::ZERO,
        };
        world.wire += u32::from(world.random.one_in(2));
        for node in 0..NODES {
            let reads = if world.nemesis.mixed && node == NODES - 1 { 1 } else { 2 };
            let host = world.host(node, reads);
            world.hosts.push(host);
            world.at(Duration::ZERO, Event::Tick(node));
        }
        let session = if world.nemesis.short { SESSION } else { StubConfig::default().session };
        let config = StubConfig { again: Duration::from_millis(60), session, rules, ..StubConfig::default() };
        for client in 0..CLIENTS {
            let stubs = (0..SHARDS).map(|shard| Stub::new(config, (client * 8 + shard) as u64)).collect();
            world.clients.push(Client { stubs });
            let first = world.random.millis(5..30);
            world.at(first, Event::Call(client));
            for shard in 0..SHARDS {
                world.at(TICK, Event::Retry(client, shard));
            }
        }
        let faults: Vec<Duration> = world.nemesis.times();
        faults.into_iter().for_each(|at| world.at(at, Event::Fault));
        world
    }

    pub(super) fn host(&mut self, node: usize, reads: u32) -> Host {
        self.creations += 1;
        let member = member(node, self.creations);
        let config = Config {
            patience: Duration::from_millis(150),
            session: if self.nemesis.short { 2 * SESSION } else { Duration::from_secs(300) },
            again: Duration::from_millis(40),
            history: 20,
            rules: self.rules,
            ..Config::new(self.mode, reads)
        };
        Host {
            member,
            up: true,
            paused: false,
            late: Vec::new(),
            lease: Lease::new(LEASE, self.now),
            renewals: 0,
            reads,
            replicas: (0..SHARDS)
                .map(|shard| Replica::new(member, id(shard), config, Log::default()))
                .collect(),
            jobs: vec![VecDeque::new(); SHARDS],
        }
    }

    /// Whether it is up, and the same as it was.
    fn lives(&self, member: Member) -> bool {
        let host = &self.hosts[node(member)];
        host.up && host.member == member
    }

    /// Whether nobody is left who may serve a shard, or who may be the standby that it waits for.
    pub(super) fn is_lost(&self, shard: usize) -> bool {
        let Some(record) = &self.records[shard] else { return true };
        let owned = self.lives(record.owner);
        let named = record.in_sync.iter().any(|member| self.lives(*member));
        let reads = |host: &Host| host.member != record.owner && host.up && host.reads >= record.wire;
        let waits = self.mode == Mode::Copied { alone: Alone::Wait } && !self.hosts.iter().any(reads);
        !owned && !named || waits
    }

    /// What is noted in a shard, as its owner has it.
    pub(super) fn final_log(&self, shard: usize) -> Vec<super::log::Entry> {
        let owner = self.hosts.iter().find(|host| host.replicas[shard].serves().is_some());
        let copy = owner.and_then(|host| host.replicas[shard].copy());
        copy.map(|copy| copy.contents.entries.clone()).unwrap_or_default()
    }

    fn at(&mut self, at: Duration, event: Event) {
        self.order += 1;
        self.queue.push(Reverse((at, self.order, Boxed(event))));
    }

    pub(super) fn after(&mut self, delay: Duration, event: Event) {
        self.at(self.now + delay, event);
    }

    /// How long a message is under way: mostly short, sometimes not.
    pub(super) fn delay(&mut self) -> Duration {
        match self.random.below(20) {
            0 => self.random.millis(5..60),
            _ => self.random.millis(0..3),
        }
    }

    /// What happens next; `None`: nothing more.
    pub(super) fn step(&mut self) -> Option<(Duration, Vec<Seen>)> {
        let Reverse((at, _, Boxed(event))) = self.queue.pop()?;
        if at > END {
            return None;
        }
        assert!(self.order < STORM, "more and more happens: {event:?}");
        self.now = at;
        self.handle(event);
        Some((at, core::mem::take(&mut self.seen)))
    }

    /// A message of a lane between two members: in order, and not at all where they cannot reach each other.
    pub(super) fn send(&mut self, from: Member, to: Member, lane: u8, event: Event) {
        let (a, b) = (node(from), node(to));
        let held = self.held.get(&(a, b, lane)).copied().unwrap_or(Duration::ZERO);
        let delay = if a == b { Duration::ZERO } else { self.delay() };
        let last = self.lanes.get(&(from, to, lane)).copied().unwrap_or(Duration::ZERO);
        let arrives = (self.now + delay).max(last).max(held);
        self.lanes.insert((from, to, lane), arrives);
        self.at(arrives, event);
    }

    /// Something for a member that may be gone, or stand still.
    fn reaches(&mut self, to: Member, event: &Event) -> bool {
        let ours = self.rules.obey(Rule::R4);
        let host = &mut self.hosts[node(to)];
        if !host.up || ours && host.member != to {
            return false;
        }
        if host.paused {
            host.late.push((self.now, event.clone()));
            return false;
        }
        true
    }

    /// Until when something is held back on its way, if it is.
    fn held_until(&self, event: &Event) -> Option<Duration> {
        let until = match event {
            Event::At(_, _, Input::ToOwner(_, Streamed { message: ToOwner::Final { .. }, .. })) => {
                self.held_final
            }
            Event::At(to, _, Input::Record(_) | Input::Swapped(..)) => self.deaf[node(*to)],
            _ => return None,
        };
        Some(until).filter(|until| *until > self.now)
    }

    fn handle(&mut self, event: Event) {
        let now = self.now;
        if let Some(until) = self.held_until(&event) {
            return self.at(until, event);
        }
        let to = match &event {
            Event::Tick(node) if !self.hosts[*node].is_awake() => return self.after(TICK, event),
            Event::At(to, ..) | Event::Renewed(to, ..) => Some(*to),
            Event::Tick(node) | Event::Suspect(node, ..) | Event::Over(node, ..) => {
                Some(self.hosts[*node].member)
            }
            _ => None,
        };
        if to.is_some_and(|to| !self.reaches(to, &event)) {
            return;
        }
        match event {
            Event::At(to, shard, input) => self.tell(node(to), shard, input),
            Event::Tick(node) => self.tick(node),
            // Nobody is wrong for ever about who is gone.
            Event::Suspect(_, whom, false) if !self.lives(whom) => {}
            Event::Suspect(node, whom, yes) => {
                self.each(node, |replica| replica.handle_suspected(whom, yes, now))
            }
            Event::Over(node, whom, lease) => {
                self.each(node, |replica| replica.handle_over(whom, lease, now))
            }
            Event::Renew(from, number, lease, former) => self.renew(from, number, lease, former),
            Event::Renewed(to, number, renewed) => self.renewed(node(to), number, renewed),
            Event::Swap(from, shard, record, answers) => self.swap(from, shard, record, answers),
            Event::Reply(client, shard, epoch, reply) => {
                self.clients[client].stubs[shard].handle_reply(epoch, reply, now);
                self.act_client(client, shard);
            }
            Event::Call(client) => self.call(client),
            Event::Retry(client, shard) => {
                self.clients[client].stubs[shard].handle_tick(now);
                self.act_client(client, shard);
                self.after(TICK, Event::Retry(client, shard));
            }
            Event::Resolved(client, shard) => {
                if let Some(record) = self.records[shard].clone() {
                    self.clients[client].stubs[shard].handle_owner(record.owner, record.epoch, now);
                    self.act_client(client, shard);
                }
            }
            Event::Give(shard, id, say) => self.give(shard, id, say),
            Event::Fault => self.fault(),
            Event::Resume(node) => self.resume(node),
            Event::Mend(a, b) => self.mend(a, b),
            Event::Restart(node) => self.restart(node),
        }
    }

    /// A replica hears something.
    fn tell(&mut self, at: usize, shard: usize, input: Input) {
        let now = self.now;
        let replica = &mut self.hosts[at].replicas[shard];
        match input {
            Input::ToStandby(from, _) | Input::ToOwner(from, _) if self.cut.contains(&(node(from), at)) => {}
            Input::ToStandby(from, said) => replica.handle_streamed(from, said),
            Input::ToOwner(from, said) => replica.handle_told(from, said, now),
            Input::Ask(route, Asked::Open { nonce }) => replica.handle_open(route, nonce, now),
            Input::Ask(route, Asked::Renew { nonce, session }) => {
                replica.handle_renew(route, nonce, session, now)
            }
            Input::Ask(route, Asked::Request(request)) => replica.handle_request(route, request, now),
            Input::Effect(from, request) => replica.handle_request(route(from), request, now),
            Input::Confirm(RequestId::Shard { number, .. }, body) => {
                replica.handle_confirmed(number, body, now)
            }
            Input::Confirm(RequestId::Client { .. }, _) => {}
            Input::Cast(body) => replica.handle_cast(body, now),
            Input::Swapped(proposed, outcome) => replica.handle_swapped(&proposed, outcome, now),
            Input::Record(record) => replica.handle_record(record, now),
            Input::Job => self.work(at, shard),
            Input::Soon => replica.handle_soon(),
            Input::Timer(number) => replica.handle_timer(number, now),
        }
        self.act(at, shard);
    }

    pub(super) fn each(&mut self, node: usize, mut with: impl FnMut(&mut Replica<Log>)) {
        for shard in 0..SHARDS {
            with(&mut self.hosts[node].replicas[shard]);
            self.act(node, shard);
        }
    }

    fn tick(&mut self, node: usize) {
        let now = self.now;
        let me = self.hosts[node].member;
        self.after(TICK, Event::Tick(node));
        self.each(node, |replica| replica.handle_tick(now));
        self.hosts[node].lease.handle_tick(now);
        self.keep_lease(node);
        for (other, lease) in self.tenures.over(now) {
            if self.random.one_in(4) {
                let delay = self.delay();
                self.after(delay, Event::Over(node, other, lease));
            }
        }
        // What the authority has in force is heard of now and then, and who is wanted.
        for shard in 0..SHARDS {
            if self.random.one_in(3) {
                let delay = self.delay() + self.authority_held.saturating_sub(now);
                let record = self.records[shard].clone();
                self.after(delay, Event::At(me, shard, Input::Record(record)));
            }
            let wanted = self.wanted(node, shard);
            let wire = self.wire;
            let reads = self.hosts[node].reads;
            let replica = &mut self.hosts[node].replicas[shard];
            // Each shard has its own first owner.
            if self.records[shard].is_none() && node == shard {
                replica.handle_claim(reads, now);
            }
            replica.handle_standby(wanted, now);
            replica.handle_wire(wire, now);
            self.act(node, shard);
        }
    }

    fn resume(&mut self, node: usize) {
        self.hosts[node].paused = false;
        for (_, event) in core::mem::take(&mut self.hosts[node].late) {
            self.after(Duration::ZERO, event);
        }
    }

    /// The next node that is up and can read the shard, as far as is known; sometimes the one after it.
    fn wanted(&self, node: usize, shard: usize) -> Option<Member> {
        let wire = self.records[shard].as_ref().map_or(1, |record| record.wire);
        let ring = (1..NODES).map(|step| (node + step) % NODES);
        let reaches = |next: &usize| {
            let host = &self.hosts[*next];
            let reads = host.reads >= wire || self.nemesis.careless && self.now < QUIET;
            host.up && reads && !self.cut.contains(&(node, *next))
        };
        let mut up = ring.filter(reaches);
        let first = up.next();
        let next = if self.nemesis.other { up.next().or(first) } else { first };
        next.map(|next| self.hosts[next].member)
    }
}
