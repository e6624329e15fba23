//! Scopes of three nodes in one loop, by a seed: processes join, leave and end, links are cut and healed, scopes stop and start
//! again, messages find no room. However it went: when the faults are over, all see the same, and what subscribers were told
//! adds up to it.
//!
//! `SEEDS=100000` tries more, `SEED=7` one alone.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;

use super::groups::{Action, Event, Groups};
use super::letter::Letter;
use super::outbox::{Outbox, Posted};
use crate::term::{NodeId, Pid};

const NODES: usize = 3;
const NAMES: [&str; NODES] = ["a", "b", "c"];
const GROUPS: [&str; 3] = ["x", "y", "a group with a name that is somewhat longer"];
const STEPS: usize = 200;

struct Random(u64);

impl Random {
    fn below(&mut self, end: usize) -> usize {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        (self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 33) as usize % end
    }

    fn one_in(&mut self, many: usize) -> bool {
        self.below(many) == 0
    }
}

/// What lies in a mailbox, or is on its way there.
enum Item {
    /// For this process, or for whoever has the name.
    Letter(Option<Pid>, Arc<Letter>),
    Down(Pid),
    NodeUp(usize),
}

type Members = BTreeMap<(&'static str, Pid), usize>;

struct Scope {
    pid: Pid,
    runs: bool,
    groups: Groups,
    watching: BTreeSet<Pid>,
    outboxes: BTreeMap<Pid, Outbox>,
    undiscovered: BTreeSet<usize>,
    next: u64,
    /// Who is in its groups by what was asked of it.
    truth: Members,
    /// Who is in all groups by what subscribers were told.
    told: Members,
}

struct World {
    random: Random,
    scopes: Vec<Scope>,
    linked: [[bool; NODES]; NODES],
    /// From, to: there is no room on the way.
    full: [[bool; NODES]; NODES],
    /// From, to: in order.
    queues: BTreeMap<(usize, usize), VecDeque<Item>>,
    faults: bool,
}

fn at(pid: Pid) -> usize {
    NAMES.iter().position(|name| NodeId::of(name) == pid.node()).unwrap()
}

fn group(name: &str) -> &'static str {
    GROUPS.into_iter().find(|known| *known == name).unwrap()
}

impl World {
    fn new(seed: u64) -> Self {
        let scope = |name: &&str| Scope {
            pid: Pid::new(NodeId::of(name), 1, 0),
            runs: false,
            groups: Groups::default(),
            watching: BTreeSet::new(),
            outboxes: BTreeMap::new(),
            undiscovered: BTreeSet::new(),
            next: 1,
            truth: Members::new(),
            told: Members::new(),
        };
        let mut world = World {
            random: Random(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1),
            scopes: NAMES.iter().map(scope).collect(),
            linked: [[false; NODES]; NODES],
            full: [[false; NODES]; NODES],
            queues: BTreeMap::new(),
            faults: true,
        };
        (0..NODES).for_each(|here| world.start(here));
        world
    }

    fn push(&mut self, from: usize, to: usize, item: Item) {
        self.queues.entry((from, to)).or_default().push_back(item);
    }

    /// Hands a letter to the connection.
    fn post(&mut self, from: usize, to: usize, dest: Option<Pid>, letter: &Letter) -> Posted {
        let no_room = self.full[from][to] || self.random.one_in(12);
        if self.faults && no_room {
            return Posted::NoRoom;
        }
        if self.faults && self.random.one_in(40) && matches!(letter, Letter::Join(_) | Letter::Leave(_)) {
            return Posted::TooLong;
        }
        if self.linked[from][to] {
            // As it is read there.
            let letter = rmp_serde::from_slice(&rmp_serde::to_vec_named(letter).unwrap()).unwrap();
            self.push(from, to, Item::Letter(dest, Arc::new(letter)));
        }
        Posted::Done
    }

    fn discover(&mut self, from: usize, to: usize) {
        let letter = Letter::discover(self.scopes[from].pid);
        if self.post(from, to, None, &letter) == Posted::NoRoom {
            self.scopes[from].undiscovered.insert(to);
        }
    }

    fn act(&mut self, here: usize) {
        for action in self.scopes[here].groups.actions() {
            match action {
                Action::Watch(peer) => self.watch(here, peer),
                Action::Send(peer, letter) => self.tell(here, peer, &letter),
                Action::Broadcast(letter) => {
                    let watching: Vec<Pid> = self.scopes[here].watching.iter().copied().collect();
                    watching.into_iter().for_each(|peer| self.tell(here, peer, &letter));
                }
                Action::Changed(changed) => {
                    for member in changed.members {
                        let times =
                            self.scopes[here].told.entry((group(&changed.group), member)).or_default();
                        *times = match changed.event {
                            Event::Join => *times + 1,
                            Event::Leave => times.checked_sub(1).expect("who leaves was told to have joined"),
                        };
                    }
                    self.scopes[here].told.retain(|_, times| *times > 0);
                }
            }
        }
    }

    fn tell(&mut self, here: usize, peer: Pid, letter: &Arc<Letter>) {
        let mut outbox = self.scopes[here].outboxes.remove(&peer).unwrap_or_default();
        outbox.send(letter.clone(), |letter| self.post(here, at(peer), Some(peer), letter));
        self.scopes[here].outboxes.insert(peer, outbox);
    }

    fn watch(&mut self, here: usize, peer: Pid) {
        let there = at(peer);
        self.scopes[here].watching.insert(peer);
        let lives = self.scopes[there].runs && self.scopes[there].pid == peer;
        if !self.linked[here][there] || !lives {
            self.push(there, here, Item::Down(peer));
        }
    }

    fn deliver(&mut self, from: usize, to: usize) {
        let Some(item) = self.queues.get_mut(&(from, to)).and_then(VecDeque::pop_front) else { return };
        if !self.scopes[to].runs {
            return;
        }
        match item {
            Item::Letter(dest, letter) if dest.is_none_or(|dest| dest == self.scopes[to].pid) => {
                self.scopes[to].groups.handle_letter(&letter);
            }
            Item::Letter(..) => {}
            Item::Down(peer) => {
                self.scopes[to].watching.remove(&peer);
                self.scopes[to].outboxes.remove(&peer);
                self.scopes[to].groups.handle_peer_end(peer);
            }
            Item::NodeUp(there) => self.discover(to, there),
        }
        self.act(to);
    }

    fn cut(&mut self, a: usize, b: usize) {
        if !std::mem::take(&mut self.linked[a][b]) {
            return;
        }
        self.linked[b][a] = false;
        for (from, to) in [(a, b), (b, a)] {
            let queue = self.queues.entry((from, to)).or_default();
            // What has not arrived is lost; what has is still taken.
            let arrived = self.random.below(queue.len() + 1);
            let late = queue.split_off(arrived);
            queue.extend(late.into_iter().filter(|item| !matches!(item, Item::Letter(..))));
            let lost: Vec<Pid> =
                self.scopes[to].watching.iter().copied().filter(|peer| at(*peer) == from).collect();
            let down = |peer: &Pid| {
                self.queues[&(from, to)].iter().any(|it| matches!(it, Item::Down(p) if p == peer))
            };
            let lost: Vec<Pid> = lost.into_iter().filter(|peer| !down(peer)).collect();
            lost.into_iter().for_each(|peer| self.push(from, to, Item::Down(peer)));
        }
    }

    fn heal(&mut self, a: usize, b: usize) {
        if a == b || self.linked[a][b] {
            return;
        }
        self.linked[a][b] = true;
        self.linked[b][a] = true;
        self.push(a, b, Item::NodeUp(a));
        self.push(b, a, Item::NodeUp(b));
    }

    fn start(&mut self, here: usize) {
        let scope = &mut self.scopes[here];
        if std::mem::replace(&mut scope.runs, true) {
            return;
        }
        scope.pid = scope.pid.sibling(scope.next);
        scope.next += 1;
        scope.groups = Groups::new(scope.pid);
        (0..NODES).filter(|there| *there != here).for_each(|there| self.discover(here, there));
    }

    fn stop(&mut self, here: usize) {
        let scope = &mut self.scopes[here];
        scope.runs = false;
        scope.groups = Groups::default();
        scope.truth.clear();
        scope.told.clear();
        scope.watching.clear();
        scope.outboxes.clear();
        scope.undiscovered.clear();
        let pid = scope.pid;
        for there in (0..NODES).filter(|there| *there != here) {
            let own = self.queues.entry((there, here)).or_default();
            own.retain(|item| matches!(item, Item::Letter(..)));
            if self.linked[here][there] && self.scopes[there].watching.contains(&pid) {
                self.push(here, there, Item::Down(pid));
            }
        }
    }

    fn retry(&mut self, here: usize) {
        for there in std::mem::take(&mut self.scopes[here].undiscovered) {
            self.discover(here, there);
        }
        for (peer, mut outbox) in std::mem::take(&mut self.scopes[here].outboxes) {
            let stale = outbox.retry(|letter| self.post(here, at(peer), Some(peer), letter));
            self.scopes[here].outboxes.insert(peer, outbox);
            if stale {
                self.scopes[here].groups.handle_stale(peer);
                self.act(here);
            }
        }
    }

    fn join(&mut self, here: usize) {
        let scope = &mut self.scopes[here];
        let name = GROUPS[self.random.below(GROUPS.len())];
        let mut members = Vec::new();
        for _ in 0..=self.random.below(3) {
            scope.next += self.random.below(2) as u64;
            members.push(scope.pid.sibling(scope.next));
        }
        if scope.runs {
            members.iter().for_each(|member| *scope.truth.entry((name, *member)).or_default() += 1);
        }
        scope.groups.handle_join(name, &members);
        self.act(here);
    }

    fn leave(&mut self, here: usize) {
        let scope = &mut self.scopes[here];
        if scope.truth.is_empty() {
            assert!(!scope.groups.handle_leave(GROUPS[0], &[scope.pid]));
            return;
        }
        let at = self.random.below(scope.truth.len());
        let (&(name, member), _) = scope.truth.iter().nth(at).unwrap();
        if self.random.one_in(2) {
            scope.truth.retain(|(_, other), _| *other != member);
            scope.groups.handle_end(member);
        } else {
            let times = 1 + self.random.below(2);
            scope.truth.entry((name, member)).and_modify(|had| *had = had.saturating_sub(times));
            scope.truth.retain(|_, times| *times > 0);
            assert!(scope.groups.handle_leave(name, &vec![member; times]));
        }
        self.act(here);
    }

    fn step(&mut self) {
        let (a, b) = (self.random.below(NODES), self.random.below(NODES));
        match self.random.below(20) {
            0 => self.cut(a, b),
            1 | 2 => self.heal(a, b),
            3 if self.random.one_in(3) => self.stop(a),
            4 => self.start(a),
            5 => self.retry(a),
            6 | 7 => self.join(a),
            8 => self.leave(a),
            9 => self.full[a][b] = !self.full[a][b],
            _ => self.deliver(a, b),
        }
    }

    /// No more faults: everything is delivered.
    fn settle(&mut self) {
        self.faults = false;
        for here in 0..NODES {
            self.start(here);
            (0..NODES).for_each(|there| self.heal(here, there));
        }
        while self.queues.values().any(|queue| !queue.is_empty()) || self.scopes.iter().any(Scope::owes) {
            (0..NODES).for_each(|here| self.retry(here));
            for from in 0..NODES {
                (0..NODES).for_each(|to| self.deliver(from, to));
            }
        }
    }
}

impl Scope {
    fn owes(&self) -> bool {
        !self.undiscovered.is_empty() || self.outboxes.values().any(Outbox::owes)
    }

    fn sees(&self) -> Members {
        let mut sees = Members::new();
        for (name, members) in self.groups.all() {
            assert!(!members.is_empty(), "a group without members is in nobody's way");
            members.into_iter().for_each(|member| *sees.entry((group(name), member)).or_default() += 1);
        }
        sees
    }
}

fn run(seed: u64) {
    println!("SEED={seed}");
    let mut world = World::new(seed);
    (0..STEPS).for_each(|_| world.step());
    world.settle();
    let mut all = Members::new();
    world.scopes.iter().for_each(|scope| all.extend(scope.truth.clone()));
    for (scope, name) in world.scopes.iter().zip(NAMES) {
        assert_eq!(scope.sees(), all, "what the scope of {name} sees, and what is");
        assert_eq!(scope.told, all, "what subscribers of {name} were told, and what is");
    }
}

#[test]
fn in_the_end_all_see_the_same() {
    let number = |name| std::env::var(name).ok().and_then(|text| text.parse::<u64>().ok());
    match number("SEED") {
        Some(seed) => run(seed),
        None => (1..=number("SEEDS").unwrap_or(1000)).for_each(run),
    }
}
