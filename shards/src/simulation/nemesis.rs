//! Faults, aimed at who owns a shard or follows it.

use alloc::collections::VecDeque;
use alloc::vec::Vec;
use core::time::Duration;

use super::world::{Event, NODES, SHARDS, Seen, World};
use crate::rules::Rule;
use crate::seeded::Seeded;

/// A fault, with the nodes that it was aimed at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fault {
    /// A node ends and is back after so long.
    Crash { node: usize, back: Duration },
    /// A node stands still for so long.
    Pause { node: usize, long: Duration },
    /// Two nodes do not hear each other for so long.
    Cut { a: usize, b: usize, long: Duration },
    /// What one lane carries from one node to another comes so much later.
    Hold { from: usize, to: usize, lane: u8, long: Duration },
    /// The authority hears and says nothing for so long.
    Silence { long: Duration },
    /// A node hears nothing of the authority for so long.
    Deaf { node: usize, long: Duration },
    /// A node believes that another is gone.
    Suspect { by: usize, whom: usize },
    /// A shard is to move to a node, with so much time.
    Move { shard: usize, to: usize, limit: Duration },
    /// That a mailbox was handed over is told so much later, for so long.
    HoldFinal { long: Duration },
    /// Another standby is wanted than before.
    Other,
    /// Copies are to have another version.
    Wire(u32),
}

/// What is done when.
#[derive(Debug)]
pub(super) struct Nemesis {
    /// Whether what it likes best is dangerous where a lease is all that keeps two from serving.
    pub(super) leases: bool,
    /// Whether one of the nodes runs the old version.
    pub(super) mixed: bool,
    /// Whether standbys are wanted out of order.
    pub(super) other: bool,
    /// Whether standbys are wanted that cannot read the shard.
    pub(super) careless: bool,
    /// Whether sessions are forgotten soon.
    pub(super) short: bool,
    /// How many times longer faults last than usual.
    pub(super) long: u32,
    /// Groups of faults that are made at once, or nearly.
    plan: VecDeque<(Duration, Kind)>,
}

#[derive(Clone, Copy, Debug)]
enum Kind {
    CrashOwner,
    CrashStandby,
    CrashAny,
    PauseOwner,
    PauseStandby,
    CutOwner,
    HoldAcks,
    HoldFrames,
    Silence,
    DeafOwner,
    SuspectOwner,
    SuspectStandby,
    Move,
    MoveShort,
    HoldFinal,
    Other,
    Wire,
}

use Kind::*;

/// Faults that are dangerous together, within a few milliseconds of each other.
const AIMED: &[&[Kind]] = &[
    &[CrashOwner],
    &[CrashStandby],
    &[CrashAny],
    &[PauseOwner, SuspectOwner],
    &[PauseOwner, DeafOwner],
    &[PauseOwner, DeafOwner],
    &[HoldAcks, SuspectOwner],
    &[HoldFrames, SuspectOwner],
    &[HoldAcks, CrashOwner],
    &[HoldFrames, SuspectStandby, SuspectOwner],
    &[HoldFrames, CrashOwner],
    &[SuspectStandby, SuspectOwner],
    &[Silence, SuspectStandby, SuspectOwner],
    &[Silence, SuspectStandby],
    &[Silence, Other, CrashOwner],
    &[DeafOwner, SuspectOwner],
    &[DeafOwner, SuspectOwner],
    &[DeafOwner, MoveShort],
    &[DeafOwner, MoveShort],
    &[DeafOwner, MoveShort, MoveShort],
    &[HoldFinal, MoveShort, CrashOwner],
    &[HoldFinal, MoveShort, SuspectOwner],
    &[SuspectStandby, CrashStandby, CrashOwner],
    &[CutOwner, SuspectOwner],
    &[CutOwner],
    &[Other],
    &[Other, CrashOwner],
    &[HoldFrames, SuspectOwner, CrashOwner],
    &[Other, HoldFrames, SuspectOwner, CrashOwner],
    &[Other, HoldAcks, SuspectOwner, CrashOwner],
    &[Other, HoldFrames, SuspectOwner],
    &[Other, SuspectOwner, CrashOwner],
    &[Move],
    &[Move, CrashOwner],
    &[Move, HoldAcks, CrashOwner],
    &[Silence, Move],
    &[Silence, Move, PauseStandby],
    &[Move, PauseStandby],
    &[Move, SuspectStandby],
    &[Move, Move, SuspectOwner],
    &[Wire],
    &[Wire, Silence, SuspectOwner],
    &[Wire, CrashOwner],
    &[Silence, Wire],
    &[Silence, Wire, Other],
    &[DeafOwner, Wire, Other],
    &[Other, Wire, CrashOwner],
    &[PauseStandby],
];

impl Nemesis {
    /// Faults until then, at random; where a rule is missing, aimed at what it is about.
    pub(super) fn new(random: &mut Seeded, until: Duration, missing: Option<Rule>) -> Self {
        let versions = matches!(missing, Some(Rule::R35 | Rule::R36 | Rule::R37 | Rule::R43));
        let sessions = matches!(missing, Some(Rule::R14 | Rule::R32 | Rule::R33 | Rule::R42));
        let mixed = random.one_in(3) || versions;
        let mut plan = Vec::new();
        let about = |group: &&&[Kind]| {
            let has = |wanted: fn(&Kind) -> bool| group.iter().any(wanted);
            (!versions || has(|kind| matches!(kind, Wire | Other)))
                && (missing != Some(Rule::R20) || has(|kind| matches!(kind, MoveShort)))
                && (!sessions || has(|kind| matches!(kind, PauseOwner | CutOwner | SuspectOwner)))
        };
        let favourites: Vec<_> = AIMED.iter().filter(about).copied().collect();
        let favourite = random.pick(&favourites);
        for _ in 0..2 + random.below(8) {
            let others = if versions || missing == Some(Rule::R20) { &favourites[..] } else { AIMED };
            let group = if random.one_in(2) { favourite } else { random.pick(others) };
            let mut at = random.millis(100..until.as_millis() as u64 - 200);
            for kind in group {
                plan.push((at, *kind));
                at += random.millis(0..25);
            }
        }
        plan.sort_by_key(|(at, _)| *at);
        let leases = favourite.iter().any(|kind| matches!(kind, MoveShort | Silence | PauseOwner));
        Nemesis {
            leases,
            mixed,
            other: random.one_in(4),
            careless: random.one_in(2) || versions,
            short: random.one_in(4) || sessions,
            long: if sessions { 3 } else { 1 },
            plan: plan.into(),
        }
    }

    pub(super) fn times(&self) -> Vec<Duration> {
        self.plan.iter().map(|(at, _)| *at).collect()
    }
}

impl World {
    pub(super) fn fault(&mut self) {
        let Some((_, kind)) = self.nemesis.plan.pop_front() else { return };
        let shard = self.random.below(SHARDS);
        let Some(record) = self.records[shard].clone() else { return };
        let owner = record.owner.node as usize;
        let others: Vec<usize> = (0..NODES).filter(|node| *node != owner).collect();
        let other = self.random.pick(&others);
        let named = record.in_sync.iter().map(|member| member.node as usize).find(|node| *node != owner);
        let standby = named.unwrap_or(other);
        let third = NODES * (NODES - 1) / 2 - owner - standby;
        let long = self.random.millis(20..400) * self.nemesis.long;
        let short = self.random.millis(0..6);
        let back = if self.random.one_in(2) { short } else { long };
        let fault = match kind {
            CrashOwner => Fault::Crash { node: owner, back },
            CrashStandby => Fault::Crash { node: standby, back },
            CrashAny => Fault::Crash { node: self.random.below(NODES), back },
            // Sometimes for longer than its lease.
            PauseOwner => {
                Fault::Pause { node: owner, long: if self.random.one_in(2) { long } else { 2 * long } }
            }
            PauseStandby => Fault::Pause { node: standby, long },
            CutOwner => Fault::Cut { a: owner, b: standby, long },
            HoldAcks => Fault::Hold { from: standby, to: owner, lane: 1, long },
            HoldFrames => Fault::Hold { from: owner, to: standby, lane: 0, long },
            Silence => Fault::Silence { long },
            DeafOwner => Fault::Deaf { node: owner, long: 2 * long },
            SuspectOwner => Fault::Suspect { by: standby, whom: owner },
            SuspectStandby => Fault::Suspect { by: owner, whom: standby },
            Move => {
                let to = if self.random.one_in(2) { standby } else { third };
                Fault::Move { shard, to, limit: self.random.millis(2..300) }
            }
            MoveShort => Fault::Move { shard, to: standby, limit: self.random.millis(1..15) },
            HoldFinal => Fault::HoldFinal { long },
            Other => Fault::Other,
            Wire => Fault::Wire(3 - self.wire),
        };
        self.seen.push(Seen::Fault(fault));
        self.make(fault);
    }

    fn make(&mut self, fault: Fault) {
        let now = self.now;
        match fault {
            Fault::Crash { node, back } => self.crash(node, back),
            Fault::Pause { node, long } => self.pause(node, long),
            Fault::Cut { a, b, long } => {
                self.cut(a, b);
                self.after(long, Event::Mend(a, b));
            }
            Fault::Hold { from, to, lane, long } => drop(self.held.insert((from, to, lane), now + long)),
            Fault::Silence { long } => self.authority_held = now + long,
            Fault::Deaf { node, long } => self.deaf[node] = now + long,
            Fault::HoldFinal { long } => self.held_final = now + long,
            Fault::Suspect { by, whom } => {
                let whom = self.hosts[whom].member;
                let until = self.random.millis(10..200);
                self.after(Duration::ZERO, Event::Suspect(by, whom, true));
                self.after(until, Event::Suspect(by, whom, false));
            }
            Fault::Move { shard, to, limit } => {
                let to = self.hosts[to].member;
                for at in 0..NODES {
                    if self.hosts[at].replicas[shard].serves().is_some() && self.hosts[at].is_awake() {
                        self.hosts[at].replicas[shard].handle_move(to, limit, now);
                        self.act(at, shard);
                    }
                }
            }
            Fault::Other => self.nemesis.other = !self.nemesis.other,
            Fault::Wire(wire) => (self.wire, self.wired) = (wire, now + Duration::from_millis(150)),
        }
    }

    fn crash(&mut self, node: usize, back: Duration) {
        if !self.hosts[node].up || self.hosts.iter().filter(|host| !host.is_awake()).count() > 1 {
            return;
        }
        let gone = self.hosts[node].member;
        self.hosts[node].up = false;
        self.after(back, Event::Restart(node));
        for other in (0..NODES).filter(|other| *other != node) {
            let noticed = self.random.millis(3..40);
            self.after(noticed, Event::Suspect(other, gone, true));
        }
    }

    pub(super) fn restart(&mut self, node: usize) {
        let reads = if self.nemesis.mixed { 1 + self.random.below(2) as u32 } else { 2 };
        self.hosts[node] = self.host(node, reads);
        let others: Vec<usize> =
            (0..NODES).filter(|other| *other != node && !self.cut.contains(&(node, *other))).collect();
        for other in others {
            let (back, now) = (self.hosts[node].member, self.now);
            if self.hosts[other].is_awake() {
                self.each(other, |replica| replica.handle_connected(back, now));
            }
        }
    }

    fn pause(&mut self, node: usize, long: Duration) {
        let awake = self.hosts.iter().filter(|host| host.is_awake()).count();
        if awake == NODES && self.hosts[node].up {
            self.hosts[node].paused = true;
            self.after(long, Event::Resume(node));
            let whom = self.hosts[node].member;
            for other in (0..NODES).filter(|other| *other != node) {
                let noticed = self.random.millis(5..80);
                if noticed < long {
                    self.after(noticed, Event::Suspect(other, whom, true));
                    self.after(long + noticed, Event::Suspect(other, whom, false));
                }
            }
        }
    }

    fn cut(&mut self, a: usize, b: usize) {
        self.cut.extend([(a, b), (b, a)]);
        let (one, other) = (self.hosts[a].member, self.hosts[b].member);
        for (at, lost) in [(a, other), (b, one)] {
            self.each(at, |replica| replica.handle_disconnected(lost));
            let noticed = self.random.millis(3..60);
            self.after(noticed, Event::Suspect(at, lost, true));
        }
    }

    pub(super) fn mend(&mut self, a: usize, b: usize) {
        self.cut.remove(&(a, b));
        self.cut.remove(&(b, a));
        let now = self.now;
        let (one, other) = (self.hosts[a].member, self.hosts[b].member);
        for (at, back) in [(a, other), (b, one)] {
            // Whoever notices late that they were cut off notices later that they are not.
            self.after(Duration::ZERO, Event::Suspect(at, back, false));
            self.after(Duration::from_millis(70), Event::Suspect(at, back, false));
            if self.hosts[at].is_awake() {
                self.each(at, |replica| replica.handle_connected(back, now));
            }
        }
    }
}
