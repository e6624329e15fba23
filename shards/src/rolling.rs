//! A rolling upgrade, or the way back: which node gets the other release next, and when copies are written in another
//! version.
//!
//! **Up**: one node after the other, those that own least first, so that standbys are new before owners are; when all
//! are, each shard's version is raised. **Down**: each shard's version is lowered, as long as everybody can say so,
//! then one node after the other. So a member that cannot read a shard is never all that is left for it, and an upgrade
//! that has come half-way goes back by the same steps. Source: docs/protocol.md, part 2, "Mixed versions"; rules R35 to
//! R38.
//!
//! That a node is drained before it stops is the business of its [drain](crate::Drain), which also finds out whether
//! this planner was right; a version is changed by the owner, if R37 allows it.

use alloc::collections::{BTreeMap, BTreeSet};
use alloc::vec::Vec;

use crate::placement::Ring;
use crate::record::{Member, Record, ShardId};

type Records = BTreeMap<ShardId, Record>;

/// What comes next of a rolling upgrade.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Rolling {
    /// Ask the owners of these to have their copies written in this version.
    Change {
        /// Which shards.
        shards: BTreeSet<ShardId>,
        /// Which version.
        wire: u32,
    },
    /// Drain it, stop it, and start the node with the wanted release.
    Replace(Member),
    /// Nothing, until this has changed.
    Waiting(Holdup),
    /// Every node runs it and every shard is written in its version.
    Done,
}

/// What holds up a rolling upgrade.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Holdup {
    /// These nodes are not up: the one that was replaced has not come back yet, or others are down.
    Away(BTreeSet<u32>),
    /// This one drains.
    Draining(Member),
    /// No more nodes can be replaced: there would not be two others that read these shards.
    Third(BTreeSet<ShardId>),
    /// Processes of these cannot be said in the lower version: they stay where it need not be.
    Refused(BTreeSet<ShardId>),
    /// Not all who have copies of these are up and read the version yet.
    Copies(BTreeSet<ShardId>),
}

/// What is wanted, and what stands in the way of it.
#[derive(Clone, Debug, Default)]
pub struct Release {
    /// The version that its copies are written in when all run it.
    pub wire: u32,
    /// The nodes of the cluster.
    pub nodes: BTreeSet<u32>,
    /// The members that run another release.
    pub others: BTreeSet<Member>,
    /// Shards whose owners have refused to lower the version.
    pub refused: BTreeSet<ShardId>,
}

impl Release {
    /// What comes next, as things are now.
    pub fn next(&self, ring: &Ring, records: &BTreeMap<ShardId, Record>) -> Rolling {
        let wire = self.wire;
        // Down, before there is anybody who could not read it.
        let lower = select(records, |id, record| record.wire > wire && !self.refused.contains(id));
        if !lower.is_empty() {
            return Rolling::Change { shards: lower, wire };
        }
        let up = |node: &u32| ring.seats().any(|seat| seat.member.node == *node);
        let away: BTreeSet<u32> = self.nodes.iter().copied().filter(|node| !up(node)).collect();
        if !away.is_empty() {
            return Rolling::Waiting(Holdup::Away(away));
        }
        if let Some(seat) = ring.seats().find(|seat| seat.draining) {
            return Rolling::Waiting(Holdup::Draining(seat.member));
        }
        self.replace(ring, records).unwrap_or_else(|| self.raise(ring, records))
    }

    /// The member that is replaced next: of those whose shards others can have, who owns least.
    fn replace(&self, ring: &Ring, records: &Records) -> Option<Rolling> {
        let mut old: Vec<Member> = ring.seats().map(|seat| seat.member).collect();
        old.retain(|member| self.others.contains(member));
        old.sort_by_key(|member| records.values().filter(|record| record.owner == *member).count());
        let mut held = BTreeSet::new();
        for member in old {
            // An owner and a standby, since nothing is ever left without.
            let spares = |record: &Record| {
                ring.behind(member).filter(|seat| ring.takes(seat.member, record.wire)).count() >= 2
            };
            let named = |record: &Record| record.owner == member || record.in_sync.contains(&member);
            let here = select(records, |_, record| named(record) && !spares(record));
            if here.is_empty() {
                return Some(Rolling::Replace(member));
            }
            held.extend(here);
        }
        let refused: BTreeSet<ShardId> = held.intersection(&self.refused).copied().collect();
        let holdup = if refused.is_empty() { Holdup::Third(held.clone()) } else { Holdup::Refused(refused) };
        (!held.is_empty()).then_some(Rolling::Waiting(holdup))
    }

    /// Up, when nobody is left who could not read it: neither who has a copy nor who might get one.
    fn raise(&self, ring: &Ring, records: &Records) -> Rolling {
        let wire = self.wire;
        let reads = |member: &Member| ring.seat(*member).is_some_and(|seat| seat.reads.contains(wire));
        let lower = select(records, |_, record| record.wire < wire);
        let ready = select(records, |id, record| {
            lower.contains(id) && reads(&record.owner) && record.in_sync.iter().all(reads)
        });
        let higher = select(records, |_, record| record.wire > wire);
        if !ready.is_empty() {
            Rolling::Change { shards: ready, wire }
        } else if !lower.is_empty() {
            Rolling::Waiting(Holdup::Copies(lower))
        } else if !higher.is_empty() {
            Rolling::Waiting(Holdup::Refused(higher))
        } else {
            Rolling::Done
        }
    }
}

fn select(records: &Records, of: impl Fn(&ShardId, &Record) -> bool) -> BTreeSet<ShardId> {
    records.iter().filter(|(id, record)| of(id, record)).map(|(id, _)| *id).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::placement::{Seat, Wires};
    use crate::record::LeaseId;
    use crate::seeded::{Seeded, member, seat};

    const OLD: Wires = Wires { lowest: 1, highest: 1 };
    const NEW: Wires = Wires { lowest: 1, highest: 2 };

    /// A cluster that does what it is told, and is never to have a copy where it cannot be read.
    struct Cluster {
        seed: u64,
        random: Seeded,
        seats: BTreeMap<u32, Seat>,
        records: Records,
        release: Release,
        replaced: usize,
    }

    impl Cluster {
        fn new(seed: u64, reads: &[Wires], shards: &[(u32, u32)], wire: u32) -> Self {
            let of = |(node, reads): (u32, &Wires)| (node, Seat { reads: *reads, ..seat(node) });
            let seats: BTreeMap<u32, Seat> = (1..).zip(reads).map(of).collect();
            let record = |(owner, copy): &(u32, u32)| Record {
                revision: 1,
                owner: member(*owner),
                lease: LeaseId(1),
                epoch: 1,
                in_sync: [member(*copy)].into(),
                wire,
            };
            let records = (0..).map(ShardId).zip(shards.iter().map(record)).collect();
            let release = Release { nodes: seats.keys().copied().collect(), ..Release::default() };
            Cluster { seed, random: Seeded::new(seed), seats, records, release, replaced: 0 }
        }

        fn any(seed: u64) -> Self {
            let mut random = Seeded::new(seed);
            let nodes = 3 + random.below(3);
            let pair = |random: &mut Seeded| {
                let owner = random.below(nodes);
                (1 + owner as u32, 1 + ((owner + 1 + random.below(nodes - 1)) % nodes) as u32)
            };
            let shards: Vec<(u32, u32)> = (0..random.below(20)).map(|_| pair(&mut random)).collect();
            Cluster::new(seed, &vec![OLD; nodes], &shards, 1)
        }

        fn ring(&self) -> Ring {
            self.seats.values().copied().collect()
        }

        /// The release is wanted whose copies have this version.
        fn want(&mut self, wire: u32) {
            self.release.wire = wire;
        }

        fn next(&mut self) -> Rolling {
            let reads = if self.release.wire == 1 { OLD } else { NEW };
            let others = self.seats.values().filter(|seat| seat.reads != reads);
            self.release.others = others.map(|seat| seat.member).collect();
            self.release.next(&self.ring(), &self.records)
        }

        /// Does the next thing; answers whether there was one.
        fn step(&mut self) -> bool {
            match self.next() {
                Rolling::Change { shards, wire } => {
                    for id in shards {
                        // Not all at once.
                        if self.random.below(2) == 0 {
                            self.records.get_mut(&id).unwrap().wire = wire;
                        }
                    }
                }
                Rolling::Replace(member) => self.replace(member),
                _ => return false,
            }
            self.check();
            true
        }

        fn replace(&mut self, old: Member) {
            self.replaced += 1;
            self.seats.get_mut(&old.node).unwrap().draining = true;
            let ring = self.ring();
            for record in self.records.values_mut() {
                if record.owner == old {
                    record.owner = ring.standby(old, record.wire).expect("somebody to move it to");
                    record.in_sync = [old].into();
                }
                if record.in_sync.contains(&old) {
                    let third = ring.standby(record.owner, record.wire);
                    record.in_sync = [third.expect("a third member")].into();
                }
            }
            self.check();
            let reads = if self.release.wire == 1 { OLD } else { NEW };
            let member = Member { creation: old.creation + 1, ..old };
            self.seats.insert(old.node, Seat { member, reads, draining: false });
        }

        fn check(&self) {
            let ring = self.ring();
            for (id, record) in &self.records {
                let mut all = record.in_sync.iter().chain([&record.owner]);
                let read = all.all(|it| ring.seat(*it).is_some_and(|seat| seat.reads.contains(record.wire)));
                assert!(read && record.in_sync.len() == 1, "seed {}: {id} {record:?}", self.seed);
            }
        }

        fn finish(&mut self) -> Rolling {
            let steps = (0..1000).take_while(|_| self.step()).count();
            assert!(steps < 1000, "seed {}: no end of it", self.seed);
            self.next()
        }
    }

    #[test]
    fn up_and_down_each_node_is_replaced_once() {
        for seed in 0..300 {
            let mut cluster = Cluster::any(seed);
            let nodes = cluster.seats.len();
            for wire in [2, 1] {
                cluster.want(wire);
                cluster.replaced = 0;
                assert_eq!(cluster.finish(), Rolling::Done, "seed {seed}");
                assert_eq!(cluster.replaced, nodes, "seed {seed}");
                assert!(cluster.records.values().all(|record| record.wire == wire), "seed {seed}");
            }
        }
    }

    #[test]
    fn half_way_it_goes_back_and_forth() {
        for seed in 0..300 {
            let mut cluster = Cluster::any(seed);
            for turn in 0..6 {
                cluster.want(2 - turn % 2);
                let steps = cluster.random.below(12);
                for _ in 0..steps {
                    cluster.step();
                }
            }
            cluster.want(1);
            assert_eq!(cluster.finish(), Rolling::Done, "seed {seed}");
            assert!(cluster.seats.values().all(|seat| seat.reads == OLD), "seed {seed}");
        }
    }

    /// A shard that cannot be lowered stays with two that read it, and they are not replaced.
    #[test]
    fn what_cannot_be_lowered_keeps_its_members() {
        for seed in 0..300 {
            let mut cluster = Cluster::any(seed);
            cluster.want(2);
            assert_eq!(cluster.finish(), Rolling::Done);
            let refused = ShardId(cluster.random.below(cluster.records.len().max(1)) as u32);
            let expected = match cluster.records.contains_key(&refused) {
                true => Rolling::Waiting(Holdup::Refused([refused].into())),
                false => Rolling::Done,
            };
            cluster.release.refused.insert(refused);
            cluster.want(1);
            assert_eq!(cluster.finish(), expected, "seed {seed}");
            let new = cluster.seats.values().filter(|seat| seat.reads == NEW).count();
            assert_eq!(new, if expected == Rolling::Done { 0 } else { 2 }, "seed {seed}");
        }
    }

    /// A row: what the nodes read, from node 1 on; the shards by owner and copy, and their version; the version that is
    /// wanted; what comes next.
    #[test]
    fn what_comes_next() {
        let check = |reads: &[Wires], shards: &[(u32, u32)], wire, wanted, expected: Rolling| {
            let mut cluster = Cluster::new(0, reads, shards, wire);
            cluster.want(wanted);
            assert_eq!(cluster.next(), expected, "{reads:?}, {shards:?}, {wire} to {wanted}");
        };
        let replace = |node| Rolling::Replace(member(node));
        let change = |shards: u32, wire| Rolling::Change { shards: (0..shards).map(ShardId).collect(), wire };
        let third = |shards: u32| Rolling::Waiting(Holdup::Third((0..shards).map(ShardId).collect()));
        // Standbys first, then who owns least.
        check(&[OLD, OLD, OLD], &[(1, 2), (2, 1)], 1, 2, replace(3));
        check(&[OLD, OLD, NEW], &[(1, 2), (1, 3), (2, 1)], 1, 2, replace(2));
        check(&[OLD, NEW, NEW], &[(1, 2), (3, 2)], 1, 2, replace(1));
        // No version before all are new.
        check(&[OLD, NEW, NEW], &[(2, 3)], 1, 2, replace(1));
        check(&[NEW, NEW, NEW], &[(1, 2), (3, 2)], 1, 2, change(2, 2));
        check(&[NEW, NEW, NEW], &[(1, 2)], 2, 2, Rolling::Done);
        // Back: the version first.
        check(&[NEW, NEW, NEW], &[(1, 2)], 2, 1, change(1, 1));
        check(&[NEW, NEW, NEW], &[(2, 3), (2, 3), (3, 2)], 1, 1, replace(1));
        check(&[NEW, OLD, OLD], &[(2, 3)], 1, 1, replace(1));
        check(&[OLD, OLD, OLD], &[(2, 3)], 1, 1, Rolling::Done);
        // Two cannot do without each other; who has nothing can go at any time.
        check(&[OLD, OLD], &[(1, 2)], 1, 2, third(1));
        check(&[OLD, NEW], &[], 1, 2, replace(1));
        check(&[], &[], 1, 2, Rolling::Done);
    }

    #[test]
    fn it_waits() {
        let mut cluster = Cluster::new(0, &[NEW, NEW, NEW], &[(1, 2), (2, 3)], 1);
        cluster.want(2);
        let waiting = |cluster: &mut Cluster| match cluster.next() {
            Rolling::Waiting(holdup) => holdup,
            other => panic!("{other:?}"),
        };
        // For who has not come back, whatever else there is to do.
        let seat = cluster.seats.remove(&3).unwrap();
        assert_eq!(waiting(&mut cluster), Holdup::Away([3].into()));
        // For who drains.
        cluster.seats.insert(3, Seat { draining: true, ..seat });
        assert_eq!(waiting(&mut cluster), Holdup::Draining(member(3)));
        // For the owner to take out a life of a node that is over.
        cluster.seats.insert(3, Seat { member: Member { creation: 2, ..member(3) }, ..seat });
        assert_eq!(cluster.next(), Rolling::Change { shards: [ShardId(0)].into(), wire: 2 });
        cluster.records.get_mut(&ShardId(0)).unwrap().wire = 2;
        assert_eq!(waiting(&mut cluster), Holdup::Copies([ShardId(1)].into()));
    }
}
