//! Several members that drain at once, in a world where everything takes any time, questions get lost, the token is
//! lost and members are killed.

use alloc::collections::{BTreeMap, BTreeSet};
use alloc::string::String;
use alloc::vec::Vec;
use core::time::Duration;

use super::{AGAIN, Drain, DrainAction, Waits, names};
use crate::placement::{Ring, Seat};
use crate::record::{LeaseId, Member, Record, ShardId};
use crate::seeded::{Seeded, member, seat};

const FAULTS: usize = 400;
/// When nothing has changed for so long, nothing will.
const QUIET: Duration = Duration::from_secs(120);

enum Event {
    Record(Member, ShardId, Record),
    Ring(Member),
    Read(Member, ShardId, u64),
    Ask {
        from: Member,
        to: Member,
        number: u64,
        token: u64,
    },
    Told {
        from: Member,
        to: Member,
        number: u64,
        owned: BTreeMap<ShardId, bool>,
    },
    Fill {
        owner: Member,
        shard: ShardId,
        third: Member,
    },
    /// What the owner does takes its time.
    Go(ShardId, u64),
    /// A compare-and-swap on its way, which nothing takes back.
    Swap {
        shard: ShardId,
        record: Record,
        by: Member,
        planned: bool,
    },
}

struct Node {
    drain: Drain,
    /// Whom it knows to drain, by which revision of the token's record.
    marks: BTreeSet<Member>,
    token: u64,
}

struct Shard {
    record: Record,
    /// Whom the owner fills and names, and whether that one is to own the shard then.
    task: Option<(Member, bool)>,
}

struct World {
    seed: u64,
    random: Seeded,
    now: Duration,
    /// When a record or a member did.
    changed: Duration,
    up: BTreeMap<Member, Node>,
    /// Members that ended by plan.
    stopped: BTreeSet<Member>,
    shards: BTreeMap<ShardId, Shard>,
    token: Option<Member>,
    /// Of the token's record.
    revision: u64,
    wanting: BTreeSet<Member>,
    without_token: bool,
    /// Who has stopped comes back, and is another member.
    come_back: bool,
    events: Vec<Event>,
    log: Vec<String>,
}

impl World {
    fn new(seed: u64, nodes: u32, without_token: bool) -> Self {
        let mut world = World {
            seed,
            random: Seeded::new(seed),
            now: Duration::ZERO,
            changed: Duration::ZERO,
            up: BTreeMap::new(),
            stopped: BTreeSet::new(),
            shards: BTreeMap::new(),
            token: None,
            revision: 0,
            wanting: BTreeSet::new(),
            without_token,
            come_back: false,
            events: Vec::new(),
            log: Vec::new(),
        };
        (1..=nodes).for_each(|node| world.join(member(node)));
        world
    }

    fn shard(&mut self, id: u32, owner: Member, copy: Option<Member>) {
        let record = Record {
            revision: 1,
            owner,
            epoch: 1,
            lease: LeaseId(1),
            in_sync: copy.into_iter().collect(),
            wire: 1,
        };
        let everybody: Vec<Member> = self.up.keys().copied().collect();
        for to in everybody {
            self.node(to).drain.handle_record(ShardId(id), record.clone(), Duration::ZERO);
        }
        self.shards.insert(ShardId(id), Shard { record, task: None });
    }

    fn join(&mut self, member: Member) {
        let mut drain = Drain::new(member);
        drain.without_token = self.without_token;
        for (id, shard) in &self.shards {
            drain.handle_record(*id, shard.record.clone(), self.now);
        }
        self.up.insert(member, Node { drain, marks: self.marks(), token: self.revision });
        let (ring, now) = (self.ring(&self.marks()), self.now);
        self.node(member).drain.handle_ring(&ring, now);
        self.ring_changed();
    }

    fn node(&mut self, member: Member) -> &mut Node {
        self.up.get_mut(&member).unwrap()
    }

    /// All that are marked: by the token, or in the world without it by having been asked.
    fn marks(&self) -> BTreeSet<Member> {
        if self.without_token { self.wanting.clone() } else { self.token.into_iter().collect() }
    }

    fn ring(&self, marks: &BTreeSet<Member>) -> Ring {
        let of = |member: &Member| Seat { member: *member, draining: marks.contains(member), ..seat(0) };
        self.up.keys().map(of).collect()
    }

    fn ring_changed(&mut self) {
        self.changed = self.now;
        self.events.extend(self.up.keys().map(|member| Event::Ring(*member)));
    }

    fn ask_to_drain(&mut self, member: Member) {
        let now = self.now;
        if let Some(node) = self.up.get_mut(&member) {
            node.drain.handle_asked(now);
            self.act(member);
        }
    }

    /// Does what a drain wants.
    fn act(&mut self, me: Member) {
        while let Some(action) = self.up.get_mut(&me).and_then(|node| node.drain.poll()) {
            self.log.push(format!("{me:?} {action:?}"));
            match action {
                DrainAction::TakeToken => {
                    self.wanting.insert(me);
                    if self.without_token {
                        self.ring_changed();
                    }
                }
                DrainAction::Ask(to, number) => {
                    let token = self.revision;
                    self.events.push(Event::Ask { from: me, to, number, token });
                }
                DrainAction::Read(shard, number) => self.events.push(Event::Read(me, shard, number)),
                DrainAction::Move { shard, to } => self.begin(shard, me, to, true),
                DrainAction::Fill { owner, shard, third } => {
                    self.events.push(Event::Fill { owner, shard, third });
                }
                DrainAction::Waiting(_) => {}
                DrainAction::Ready => self.stop(me),
                DrainAction::FreeToken => unreachable!("it is gone"),
            }
        }
    }

    /// Nobody may need it.
    fn stop(&mut self, me: Member) {
        for (id, shard) in &self.shards {
            let owner = shard.record.owner;
            assert!(
                owner != me && !shard.record.in_sync.contains(&me),
                "{id} names {me}, which stops: {}",
                self.story()
            );
            let tells = self.up.contains_key(&owner) && self.tells(*id).contains(&me);
            assert!(!tells, "{owner} tells {me}, which stops, of {id}: {}", self.story());
        }
        assert_eq!(self.up[&me].drain.actions, [DrainAction::FreeToken]);
        self.up.remove(&me);
        self.stopped.insert(me);
        self.wanting.remove(&me);
        self.free(me);
        if self.come_back {
            self.join(Member { creation: me.creation + 1, ..me });
        }
        self.ring_changed();
    }

    fn kill(&mut self, me: Member) {
        // Where it has the only copy, the shard would be lost: that is no drain's business.
        let alone = |shard: &Shard| {
            shard.record.owner == me && !shard.record.in_sync.iter().any(|it| self.up.contains_key(it))
        };
        if self.shards.values().any(alone) || !self.up.contains_key(&me) {
            return;
        }
        self.log.push(format!("{me:?} is killed"));
        self.up.remove(&me);
        self.wanting.remove(&me);
        self.free(me);
        self.join(Member { creation: me.creation + 1, ..me });
    }

    fn free(&mut self, me: Member) {
        if self.token == Some(me) {
            self.token = None;
            self.revision += 1;
        }
    }

    /// The gate of the owner and whom it fills.
    fn tells(&self, id: ShardId) -> BTreeSet<Member> {
        let Shard { record, task } = &self.shards[&id];
        let mut tells = record.in_sync.clone();
        tells.extend(task.map(|(target, _)| target));
        for event in &self.events {
            if let Event::Swap { shard, record: proposed, .. } = event
                && (*shard, proposed.revision, proposed.owner) == (id, record.revision + 1, record.owner)
            {
                tells.extend(&proposed.in_sync);
            }
        }
        tells
    }

    /// The owner is to fill and name somebody, and to hand over to it or to take the others out.
    fn begin(&mut self, id: ShardId, by: Member, target: Member, moves: bool) {
        let now = self.now;
        let Some(node) = self.up.get_mut(&by) else { return };
        let Some(shard) = self.shards.get_mut(&id) else { return };
        let busy = shard.task.is_some_and(|(_, moves)| moves);
        if shard.record.owner != by || busy || node.marks.contains(&target) || target == by {
            if moves {
                node.drain.handle_failed(id, now);
            }
            return;
        }
        shard.task = Some((target, moves));
        let epoch = shard.record.epoch;
        self.events.push(Event::Go(id, epoch));
    }

    /// The owner does the next thing about its task.
    fn go(&mut self, id: ShardId, epoch: u64) {
        let fails = self.random.below(20) == 0;
        let now = self.now;
        let Some(Shard { record, task }) = self.shards.get_mut(&id) else { return };
        let (owner, mut next) = (record.owner, record.clone());
        let Some((target, moves)) = *task else { return };
        if record.epoch != epoch || !self.up.contains_key(&owner) {
            return;
        }
        // R39: whoever is to be the remaining one has said something since it was named.
        if !self.up.contains_key(&target) || (moves && fails) {
            *task = None;
            if moves && let Some(node) = self.up.get_mut(&owner) {
                node.drain.handle_failed(id, now);
                self.act(owner);
            }
            return;
        }
        if next.in_sync.insert(target) {
        } else if moves {
            next.in_sync.remove(&target);
            next.in_sync.insert(owner);
            (next.owner, next.epoch) = (target, epoch + 1);
        } else {
            next.in_sync = [target].into();
        }
        if next == *record {
            *task = None;
        } else {
            next.revision += 1;
            self.events.push(Event::Swap { shard: id, record: next, by: owner, planned: true });
        }
    }

    fn swap(&mut self, id: ShardId, proposed: Record, by: Member, planned: bool) {
        let lives = self.up.contains_key(&by);
        let Some(Shard { record, task }) = self.shards.get_mut(&id) else { return };
        if proposed.revision == record.revision + 1 {
            let named = |member: &&Member| names(&proposed, **member);
            // A dead owner may have begun it before it was told who drains.
            let gone = self.stopped.iter().find(named).filter(|_| lives).copied();
            if record.epoch != proposed.epoch {
                *task = None;
            }
            *record = proposed.clone();
            self.changed = self.now;
            self.log.push(format!("{id:?} {proposed:?}"));
            assert!(!planned || !proposed.in_sync.is_empty(), "{id} has no copy: {}", self.story());
            assert_eq!(gone, None, "{id} names who has stopped: {}", self.story());
            let everybody = self.up.keys().map(|to| Event::Record(*to, id, proposed.clone()));
            self.events.extend(everybody);
        }
        let Shard { record, task } = &self.shards[&id];
        let epoch = record.epoch;
        if planned && task.is_some() {
            self.events.push(Event::Go(id, epoch));
        }
    }

    fn handle(&mut self, event: Event) {
        let now = self.now;
        let to = match event {
            Event::Go(id, epoch) => return self.go(id, epoch),
            Event::Swap { shard, record, by, planned } => return self.swap(shard, record, by, planned),
            Event::Fill { owner, shard, third } => return self.begin(shard, owner, third, false),
            Event::Record(to, ..)
            | Event::Read(to, ..)
            | Event::Ring(to)
            | Event::Ask { to, .. }
            | Event::Told { to, .. } => to,
        };
        let (marks, revision) = (self.marks(), self.revision);
        let ring = self.ring(&marks);
        let owned = self.shards.iter().filter(|(_, it)| it.record.owner == to).map(|(id, _)| *id);
        let owned: Vec<ShardId> = owned.collect();
        let Some(node) = self.up.get_mut(&to) else { return };
        match event {
            Event::Read(_, id, number) => {
                node.drain.handle_read(id, number, self.shards[&id].record.clone(), now);
            }
            Event::Record(_, id, record) => node.drain.handle_record(id, record, now),
            Event::Ring(_) => {
                (node.marks, node.token) = (marks, revision);
                node.drain.handle_ring(&ring, now);
            }
            Event::Ask { from, number, token, .. } => {
                if token >= node.token {
                    node.token = token;
                    node.marks.insert(from);
                }
                let owned = owned.into_iter().map(|id| (id, self.tells(id).contains(&from))).collect();
                self.events.push(Event::Told { from: to, to: from, number, owned });
            }
            Event::Told { from, number, owned, .. } => node.drain.handle_told(from, number, &owned, now),
            _ => {}
        }
        self.act(to);
    }

    /// Time passes: somebody gets the token, the lost are found out, and owners without a standby want one.
    fn tick(&mut self) {
        self.now += AGAIN / 3;
        let now = self.now;
        if self.token.is_none() && !self.wanting.is_empty() && !self.without_token {
            let at = self.random.below(self.wanting.len());
            self.token = self.wanting.iter().nth(at).copied();
            if let Some(holder) = self.token {
                self.revision += 1;
                self.wanting.remove(&holder);
                self.node(holder).drain.handle_token(true, now);
                self.act(holder);
                self.ring_changed();
            }
        }
        let everybody: Vec<Member> = self.up.keys().copied().collect();
        for member in everybody {
            if let Some(node) = self.up.get_mut(&member) {
                node.drain.handle_tick(now);
                self.act(member);
            }
        }
        let ids: Vec<ShardId> = self.shards.keys().copied().collect();
        ids.into_iter().for_each(|id| self.tend(id));
    }

    /// What is no part of a drain: takeover, and a standby for who has none.
    fn tend(&mut self, id: ShardId) {
        let Shard { record, task } = &self.shards[&id];
        let out = |it: &Event| matches!(it, Event::Swap { shard, .. } if *shard == id);
        if self.events.iter().any(out) {
            return;
        }
        let mut next = Record { revision: record.revision + 1, ..record.clone() };
        next.in_sync.retain(|member| self.up.contains_key(member));
        if let Some(node) = self.up.get(&record.owner) {
            let by = record.owner;
            if next.in_sync != record.in_sync {
                self.events.push(Event::Swap { shard: id, record: next, by, planned: false });
            } else if next.in_sync.is_empty() && task.is_none() {
                let wanted = self.ring(&node.marks).standby(by, 1);
                wanted.into_iter().for_each(|wanted| self.begin(id, by, wanted, false));
            }
        } else if let Some(by) = next.in_sync.pop_first() {
            (next.owner, next.epoch) = (by, record.epoch + 1);
            self.events.push(Event::Swap { shard: id, record: next, by, planned: false });
        }
    }

    fn step(&mut self, faults: bool) {
        if faults && self.random.below(60) == 0 {
            self.fault();
        }
        if self.events.is_empty() || self.random.below(10) == 0 {
            return self.tick();
        }
        let at = self.random.below(self.events.len());
        // In every other world records come round long after they are in force.
        if self.seed % 2 == 1 && matches!(self.events[at], Event::Record(..)) && self.random.below(8) > 0 {
            return;
        }
        let event = self.events.swap_remove(at);
        let may_get_lost = matches!(event, Event::Ask { .. } | Event::Told { .. } | Event::Fill { .. });
        if !(may_get_lost && self.random.below(8) == 0) {
            self.handle(event);
        }
    }

    fn fault(&mut self) {
        let now = self.now;
        if self.random.below(2) == 0 {
            let at = self.random.below(self.up.len());
            let victim = *self.up.keys().nth(at).unwrap();
            self.kill(victim);
        } else if let Some(holder) = self.token {
            self.free(holder);
            // It hears of it before anybody else can have it.
            self.log.push(format!("{holder:?} loses the token"));
            self.node(holder).drain.handle_token(false, now);
            self.act(holder);
            self.ring_changed();
        }
    }

    fn run(&mut self, faults: bool) {
        (0..FAULTS).for_each(|_| self.step(faults));
        self.changed = self.now;
        let mut steps = 0;
        while self.now < self.changed + QUIET {
            self.step(false);
            steps += 1;
            assert!(steps < 50_000, "no end of it: {}", self.story());
        }
    }

    fn waits(&self) -> Vec<(u32, Waits)> {
        let of = |(member, node): (&Member, &Node)| Some((member.node, node.drain.waits()?.clone()));
        self.up.iter().filter_map(of).collect()
    }

    fn stopped(&self) -> Vec<u32> {
        self.stopped.iter().map(|member| member.node).collect()
    }

    /// What has happened, for a test that fails.
    fn story(&self) -> String {
        format!("seed {}\n{}", self.seed, self.log.join("\n"))
    }
}

fn crossed(seed: u64, nodes: u32, without_token: bool) -> World {
    let mut world = World::new(seed, nodes, without_token);
    world.shard(0, member(1), Some(member(2)));
    world.shard(1, member(2), Some(member(1)));
    [1, 2].into_iter().for_each(|node| world.ask_to_drain(member(node)));
    world
}

/// Two members drain two shards that they own and copy crosswise. One stops; for the other there is no third member, so
/// that it waits, until the first comes back.
#[test]
fn of_two_that_drain_one_waits_for_the_other_to_come_back() {
    for seed in 0..200 {
        let mut world = crossed(seed, 3, false);
        world.run(false);
        let [(stuck, why)] = &world.waits()[..] else { panic!("{:?}: {}", world.waits(), world.story()) };
        assert_eq!(world.stopped(), [3 - stuck], "{}", world.story());
        let both = [ShardId(0), ShardId(1)].into();
        assert_eq!(*why, Waits::Third(both), "{}", world.story());

        world.come_back = true;
        world.join(Member { creation: 2, ..member(3 - stuck) });
        world.run(false);
        assert_eq!(world.stopped(), [1, 2], "{}", world.story());
        assert_eq!(world.waits(), [], "{}", world.story());
    }
}

/// R39: without the token each is all that could take the place of the other.
#[test]
fn without_the_token_both_are_stuck() {
    let stuck = |seed: &u64| {
        let mut world = crossed(*seed, 3, true);
        world.run(false);
        world.waits().len() == 2 && world.stopped.is_empty()
    };
    let seeds: Vec<u64> = (0..100).filter(stuck).collect();
    assert!(seeds.len() > 50, "nothing goes wrong without R39: {seeds:?}");
}

#[test]
fn with_two_members_the_drain_waits_and_says_so() {
    for seed in 0..100 {
        let mut world = World::new(seed, 2, false);
        world.shard(0, member(1), Some(member(2)));
        world.shard(1, member(2), Some(member(1)));
        world.ask_to_drain(member(1));
        world.run(false);
        let both = [ShardId(0), ShardId(1)].into();
        assert_eq!(world.waits(), [(1, Waits::Third(both))], "{}", world.story());
        // Protection is not dropped: what it owned is owned elsewhere, and it keeps the copies.
        let copied = world.shards.values().all(|it| it.record.in_sync == [member(1)].into());
        assert!(copied && world.stopped.is_empty(), "{}", world.story());
    }
}

/// One after the other, each comes back: a rolling restart, with members killed and tokens lost meanwhile.
#[test]
fn all_restart_whatever_happens() {
    for seed in 0..1000 {
        let mut world = World::new(seed, 4, false);
        world.come_back = true;
        for id in 0..6 {
            let (owner, copy) = (1 + world.random.below(4) as u32, 1 + world.random.below(3) as u32);
            let copy = if copy < owner { copy } else { copy + 1 };
            world.shard(id, member(owner), Some(member(copy)));
        }
        (1..=4).for_each(|node| world.ask_to_drain(member(node)));
        world.run(true);
        // Who was killed came back as well.
        let creations = world.up.keys().all(|member| member.creation >= 2);
        assert!(creations && world.up.len() == 4, "{}", world.story());
        assert_eq!((world.waits(), world.token), (Vec::new(), None), "{}", world.story());
    }
}
