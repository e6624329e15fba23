//! Balance: which shards go where because somebody has far more to do than others.
//!
//! Scale-up is *copy* and *promote* (J. Armstrong, "Scalable fault-tolerant upgradable systems", 2007): **a node that
//! has joined gets half of what the busiest has.** Beyond that a shard moves only if one member has far more than the
//! others for some time, since every move costs its callers a pause. Two members are levelled then, not all: this
//! leaves them far below what would begin it again.
//!
//! A shard weighs its part of all messages, its part of all bytes, and a little for being there: so a node that joins
//! a cluster where nothing was ever asked for gets its part of the shards as well, and where there is something to do
//! their number hardly counts.
//!
//! No move makes its target the busier of the two. So one shard that outweighs everything stays where it is, and what
//! lies beside it makes room.
//!
//! One member plans for all, the first of the ring. If two believe to be it, one of two moves of a shard loses its
//! compare-and-swap. Who drains neither gets nor gives anything here: it gives all by [its own plan](crate::Drain).

use alloc::collections::{BTreeMap, BTreeSet};
use alloc::vec::Vec;
use core::cmp::Reverse;

use serde::{Deserialize, Serialize};

use crate::placement::Ring;
use crate::record::{Member, Record, ShardId};

/// What a shard has cost, measured.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Load {
    /// Messages per second to its processes, over some time: that of a minute is better than that of a second.
    pub messages: u64,
    /// How many bytes its copy has.
    pub bytes: u64,
}

/// A shard that is to be served by another member.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Relocation {
    /// Which.
    pub shard: ShardId,
    /// By whom it is served.
    pub from: Member,
    /// By whom it is to be.
    pub to: Member,
}

/// So many shards move at once.
const AT_ONCE: usize = 4;
/// A member has far too much if it has more than this percentage of the average.
const FAR: u64 = 125;
/// It has had so for as many plans in a row: what is measured goes up and down by itself.
const IN_A_ROW: u32 = 3;
/// Two members that differ by less than this part of what they have together are level.
const LEVEL: u64 = 10;
/// What does not make up this part of the difference between two members is not worth a move.
const WORTH: u64 = 16;
/// Their number counts as much as this part of all messages, or of all bytes.
const NUMBER: u64 = 16;

/// Plans moves, again and again while what is measured changes.
#[derive(Clone, Debug, Default)]
pub struct Balance {
    /// The two that are being levelled, from the first to the second.
    levelled: Option<(Member, Member)>,
    /// How many plans in a row somebody has had far too much.
    seen: u32,
}

impl Balance {
    /// The moves to begin now.
    ///
    /// `under_way` are those that were begun and are not over, with their targets; they count as done. Shards without a
    /// measured load weigh next to nothing.
    pub fn plan(
        &mut self,
        ring: &Ring,
        records: &BTreeMap<ShardId, Record>,
        loads: &BTreeMap<ShardId, Load>,
        under_way: &BTreeMap<ShardId, Member>,
    ) -> Vec<Relocation> {
        let room = AT_ONCE.saturating_sub(under_way.len());
        if room == 0 {
            return Vec::new();
        }
        let burdens = Burdens::new(ring, records, loads, under_way);
        let mut moves = Vec::new();
        if let Some((from, to)) = self.levelled.take() {
            moves = burdens.level(from, to);
        }
        if moves.is_empty() {
            moves = burdens.welcome();
        }
        if moves.is_empty() {
            self.seen = if burdens.overburdened().next().is_some() { self.seen + 1 } else { 0 };
            if self.seen >= IN_A_ROW {
                moves = burdens.relieve();
            }
        }
        if let Some(first) = moves.first() {
            // What is left of them is planned again then, with what is measured then.
            self.levelled = (moves.len() > room).then_some((first.from, first.to));
            self.seen = 0;
        }
        moves.truncate(room);
        moves
    }
}

/// What each member that may give and take has, as if all moves under way were over.
struct Burdens<'a> {
    ring: &'a Ring,
    /// What may be moved, by who has it.
    shards: BTreeMap<Member, Vec<Shard<'a>>>,
    totals: BTreeMap<Member, u64>,
    /// Who owns anything at all, or is about to.
    owners: BTreeSet<Member>,
}

struct Shard<'a> {
    id: ShardId,
    record: &'a Record,
    /// Its part of all messages and its part of all bytes, in millionths, and a little of its part of all shards.
    weight: u64,
    bytes: u64,
}

/// A part of the whole in millionths.
fn share(part: u64, whole: u64) -> u64 {
    let millionths = u128::from(part) * 1_000_000 / u128::from(whole.max(1));
    u64::try_from(millionths).unwrap_or(u64::MAX)
}

impl<'a> Burdens<'a> {
    fn new(
        ring: &'a Ring,
        records: &'a BTreeMap<ShardId, Record>,
        loads: &BTreeMap<ShardId, Load>,
        under_way: &BTreeMap<ShardId, Member>,
    ) -> Self {
        let sum = |of: fn(&Load) -> u64| loads.values().map(of).fold(0, u64::saturating_add);
        let (messages, bytes) = (sum(|load| load.messages), sum(|load| load.bytes));
        // Who drains gives by its own plan.
        let seats = ring.seats().filter(|seat| !seat.draining);
        let totals = seats.map(|seat| (seat.member, 0)).collect();
        let mut burdens = Burdens { ring, shards: BTreeMap::new(), totals, owners: BTreeSet::new() };
        let one = share(1, records.len() as u64) / NUMBER;
        for (id, record) in records {
            let target = under_way.get(id);
            let owner = *target.unwrap_or(&record.owner);
            let load = loads.get(id).copied().unwrap_or_default();
            let weight = share(load.messages, messages) + share(load.bytes, bytes) + one;
            burdens.owners.insert(owner);
            if let Some(total) = burdens.totals.get_mut(&owner) {
                *total += weight;
            }
            if target.is_none() {
                let shard = Shard { id: *id, record, weight, bytes: load.bytes };
                burdens.shards.entry(owner).or_default().push(shard);
            }
        }
        burdens
    }

    fn total(&self, member: Member) -> u64 {
        self.totals.get(&member).copied().unwrap_or_default()
    }

    fn shards(&self, member: Member) -> &[Shard<'a>] {
        self.shards.get(&member).map_or(&[], Vec::as_slice)
    }

    /// Members, the busiest first.
    fn busiest(&self) -> Vec<Member> {
        let mut members: Vec<Member> = self.totals.keys().copied().collect();
        members.sort_by_key(|member| (Reverse(self.total(*member)), *member));
        members
    }

    /// A node that has nothing gets half of what the busiest has that can give it anything.
    fn welcome(&self) -> Vec<Relocation> {
        let busiest = self.busiest();
        let new = busiest.iter().filter(|member| !self.owners.contains(member));
        let pairs = new.flat_map(|new| busiest.iter().map(|from| (*from, *new)));
        pairs.map(|(from, to)| self.level(from, to)).find(|moves| !moves.is_empty()).unwrap_or_default()
    }

    fn average(&self) -> u64 {
        self.totals.values().sum::<u64>() / (self.totals.len().max(1) as u64)
    }

    /// Who has far too much, the busiest first.
    fn overburdened(&self) -> impl Iterator<Item = Member> {
        let far = self.average() * FAR / 100;
        self.busiest().into_iter().filter(move |member| self.total(*member) > far)
    }

    /// Who has far too much gives to somebody with less than the average: to one that has copies already if there is
    /// one.
    fn relieve(&self) -> Vec<Relocation> {
        for from in self.overburdened() {
            let copies = |to: &Member| self.shards(from).iter().any(|it| it.record.in_sync.contains(to));
            let below = self.totals.keys().filter(|member| self.total(**member) < self.average());
            let mut targets: Vec<Member> = below.copied().collect();
            targets.sort_by_key(|to| (!copies(to), self.total(*to), *to));
            let plans = targets.into_iter().map(|to| self.level(from, to));
            if let Some(moves) = plans.into_iter().find(|moves| !moves.is_empty()) {
                return moves;
            }
        }
        Vec::new()
    }

    /// The moves that bring two members to a level, at most: first of what the target has a copy of, then of the
    /// heaviest, so that they are few, then of what is copied fastest.
    fn level(&self, from: Member, to: Member) -> Vec<Relocation> {
        let sum = self.total(from) + self.total(to);
        let gap = self.total(from).saturating_sub(self.total(to));
        let may = |shard: &&Shard<'_>| shard.weight > 0 && self.ring.takes(to, shard.record.wire);
        let mut shards: Vec<&Shard<'_>> = self.shards(from).iter().filter(may).collect();
        shards.sort_by_key(|it| (!it.record.in_sync.contains(&to), Reverse(it.weight), it.bytes, it.id));
        // What moves makes one lighter and the other heavier.
        let mut rest = gap / 2;
        shards.retain(|shard| {
            let moves = 2 * rest * LEVEL > sum && shard.weight <= rest;
            rest -= if moves { shard.weight } else { 0 };
            moves
        });
        if (gap / 2 - rest) * WORTH < gap {
            return Vec::new();
        }
        shards.into_iter().map(|shard| Relocation { shard: shard.id, from, to }).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::placement::{Seat, Wires};
    use crate::record::LeaseId;
    use crate::seeded::{Seeded, member, seat};

    /// A cluster whose moves succeed.
    struct Cluster {
        ring: Ring,
        records: BTreeMap<ShardId, Record>,
        loads: BTreeMap<ShardId, Load>,
        balance: Balance,
    }

    impl Cluster {
        /// Shards by owner and weight: as many messages, and as many bytes.
        fn new(nodes: &[u32], shards: impl IntoIterator<Item = (u32, u64)>) -> Self {
            let ring: Ring = nodes.iter().copied().map(seat).collect();
            let (mut records, mut loads) = (BTreeMap::new(), BTreeMap::new());
            for (id, (node, weight)) in (0..).map(ShardId).zip(shards) {
                let owner = member(node);
                let in_sync = ring.standby(owner, 1).into_iter().collect();
                records
                    .insert(id, Record { revision: 1, owner, lease: LeaseId(1), epoch: 1, in_sync, wire: 1 });
                loads.insert(id, Load { messages: weight, bytes: weight });
            }
            Cluster { ring, records, loads, balance: Balance::default() }
        }

        /// One plan, measured as up to a fifth off, and done.
        fn round(&mut self, noise: Option<&mut Seeded>) -> Vec<Relocation> {
            let mut loads = self.loads.clone();
            if let Some(random) = noise {
                for load in loads.values_mut() {
                    load.messages = load.messages * (800 + random.below(401) as u64) / 1000;
                    load.bytes = load.bytes * (800 + random.below(401) as u64) / 1000;
                }
            }
            let moves = self.balance.plan(&self.ring, &self.records, &loads, &BTreeMap::new());
            assert!(moves.len() <= AT_ONCE, "{moves:?}");
            for Relocation { shard, from, to } in &moves {
                assert!(self.ring.takes(*to, self.records[shard].wire), "{to} cannot take {shard}");
                self.hand_over(*shard, *from, *to);
            }
            moves
        }

        fn hand_over(&mut self, shard: ShardId, from: Member, to: Member) {
            let record = self.records.get_mut(&shard).unwrap();
            assert_eq!(record.owner, from);
            record.owner = to;
            record.in_sync = self.ring.standby(to, 1).into_iter().collect();
        }

        /// Plans until nothing was planned for so long that nothing is left to begin.
        fn settle(&mut self) -> usize {
            let (mut moves, mut quiet) = (0, 0);
            while quiet <= IN_A_ROW {
                let now = self.round(None).len();
                moves += now;
                quiet = if now == 0 { quiet + 1 } else { 0 };
                assert!(moves <= 4 * self.records.len(), "no end of it");
            }
            moves
        }

        fn weights(&self) -> Vec<u64> {
            let of = |seat: &Seat| {
                let owned = self.records.iter().filter(|(_, record)| record.owner == seat.member);
                owned.map(|(id, _)| self.loads[id].messages).sum()
            };
            let mut seats: Vec<&Seat> = self.ring.seats().collect();
            seats.sort_by_key(|seat| seat.member);
            seats.into_iter().map(of).collect()
        }
    }

    /// A row: the weights of shards by owner, from node 1 on; the weights of members when it is over, and how many
    /// moves that takes.
    #[test]
    fn what_becomes_of_a_cluster() {
        let check = |owned: &[&[u64]], expected: &[u64], moves| {
            let nodes: Vec<u32> = (1..).take(owned.len()).collect();
            let pairs = nodes.iter().zip(owned);
            let mut cluster =
                Cluster::new(&nodes, pairs.flat_map(|(node, own)| own.iter().map(|weight| (*node, *weight))));
            let took = cluster.settle();
            assert_eq!((cluster.weights(), took), (expected.to_vec(), moves), "{owned:?}");
        };
        // Who has nothing gets half, of the few heavy ones.
        check(&[&[10; 8], &[]], &[40, 40], 4);
        check(&[&[30, 10, 10, 5, 5, 1, 1, 1, 1], &[]], &[34, 30], 1);
        // Of the busiest; the others are within what is borne.
        check(&[&[10; 8], &[10; 10], &[10; 8], &[10; 8], &[]], &[80, 50, 80, 80, 50], 5);
        // Of two, where it would not.
        check(&[&[10; 8], &[10; 8], &[]], &[60, 60, 40], 6);
        // What is borne.
        check(&[&[10; 12], &[10; 8]], &[120, 80], 0);
        check(&[&[10; 13], &[10; 7]], &[110, 90], 2);
        // One that outweighs everything stays, and what lies beside it goes.
        check(&[&[1000], &[]], &[1000, 0], 0);
        check(&[&[1000], &[10, 10]], &[1000, 20], 0);
        check(&[&[1000, 100, 100], &[100]], &[1000, 300], 2);
        check(&[&[1000, 1, 1], &[100]], &[1002, 100], 0);
        check(&[&[1000], &[10; 10], &[]], &[1000, 50, 50], 5);
        // Nobody is there.
        check(&[&[10; 4]], &[40], 0);
        check(&[], &[], 0);
    }

    /// A row: how many shards each member owns, none of which was ever asked for anything; how many each owns when it is over.
    #[test]
    fn where_nothing_is_asked_their_number_counts() {
        for (owned, expected) in [
            (&[8, 0][..], &[4, 4][..]),
            (&[8, 8, 0], &[6, 6, 4]),
            (&[6, 6, 4, 0], &[3, 5, 4, 4]),
            (&[1, 0], &[1, 0]),
            (&[5, 4], &[5, 4]),
        ] {
            let nodes: Vec<u32> = (1..).take(owned.len()).collect();
            let shards = nodes.iter().zip(owned).flat_map(|(node, count)| (0..*count).map(|_| (*node, 0)));
            let mut cluster = Cluster::new(&nodes, shards);
            // Neither measured as nothing nor not measured.
            let measured = cluster.loads.clone();
            for loads in [BTreeMap::new(), measured] {
                cluster.loads = loads;
                cluster.settle();
            }
            let count = |node: &u32| cluster.records.values().filter(|it| it.owner == member(*node)).count();
            assert_eq!(nodes.iter().map(count).collect::<Vec<_>>(), expected, "{owned:?}");
        }
    }

    #[test]
    fn what_is_asked_counts_far_more_than_their_number() {
        let idle = (0..60).map(|_| (2, 0));
        let mut cluster =
            Cluster::new(&[1, 2], (0..6).map(|_| (1, 10)).chain((0..4).map(|_| (2, 10))).chain(idle));
        assert_eq!(cluster.settle(), 0);
    }

    #[test]
    fn who_has_the_copy_is_preferred() {
        let mut cluster = Cluster::new(&[1, 2, 3], (0..12).map(|_| (1, 10)).chain([(2, 40), (3, 35)]));
        // The less busy of the two has none.
        let two: BTreeSet<Member> = [member(2)].into();
        cluster
            .records
            .values_mut()
            .filter(|it| it.owner == member(1))
            .for_each(|it| it.in_sync = two.clone());
        let first = (0..IN_A_ROW).map(|_| cluster.round(None)).find(|moves| !moves.is_empty()).unwrap();
        assert!(first.iter().all(|it| it.from == member(1) && it.to == member(2)), "{first:?}");
        // Of one member's, those that the target has.
        let mut cluster = Cluster::new(&[1, 2], (0..8).map(|_| (1, 10)));
        cluster.records.values_mut().for_each(|record| record.in_sync.clear());
        cluster.records.iter_mut().skip(5).for_each(|(_, record)| record.in_sync = two.clone());
        let moved: Vec<u32> = cluster.round(None).iter().map(|it| it.shard.0).collect();
        assert_eq!(moved, [5, 6, 7, 0]);
    }

    #[test]
    fn bytes_weigh_as_much_as_messages_and_the_lighter_goes_first() {
        let mut cluster = Cluster::new(&[1, 2], (0..3).map(|_| (1, 0)));
        let loads = [(60, 0), (0, 60), (40, 40)];
        let loads = loads.map(|(messages, bytes)| Load { messages, bytes });
        cluster.loads = (0..).map(ShardId).zip(loads).collect();
        // 80 in messages and bytes together is the heaviest; of the two of 60 nothing fits beside it.
        assert_eq!(cluster.round(None), [Relocation { shard: ShardId(2), from: member(1), to: member(2) }]);
        cluster.loads.remove(&ShardId(2));
        cluster.hand_over(ShardId(2), member(2), member(1));
        // Equal ones: that with no bytes.
        assert_eq!(cluster.round(None), [Relocation { shard: ShardId(0), from: member(1), to: member(2) }]);
    }

    #[test]
    fn nothing_goes_to_who_drains_or_cannot_read_it() {
        let mut cluster = Cluster::new(&[1], (0..8).map(|_| (1, 10)));
        let drains = Seat { draining: true, ..seat(2) };
        let reads = |lowest, highest| Seat { reads: Wires { lowest, highest }, ..seat(2) };
        for other in [drains, reads(2, 3)] {
            cluster.ring = [seat(1), other].into_iter().collect();
            assert_eq!(cluster.settle(), 0, "{other:?}");
        }
        cluster.ring = [seat(1), reads(1, 2)].into_iter().collect();
        assert_eq!(cluster.settle(), 4);
        // Nor from who drains: that has a plan of its own.
        cluster.ring = [Seat { draining: true, ..seat(1) }, seat(3)].into_iter().collect();
        assert_eq!(cluster.settle(), 0);
    }

    #[test]
    fn moves_under_way_count_as_done() {
        let mut cluster = Cluster::new(&[1, 2], (0..10).map(|_| (1, 10)));
        let mut under_way = BTreeMap::new();
        // Half is five, whether they have arrived or not, and four at once.
        for begun in [4, 1, 0, 0] {
            let moves = cluster.balance.plan(&cluster.ring, &cluster.records, &cluster.loads, &under_way);
            assert_eq!(moves.len(), begun);
            under_way.extend(moves.iter().map(|it| (it.shard, it.to)));
            assert_eq!(cluster.balance.plan(&cluster.ring, &cluster.records, &cluster.loads, &under_way), []);
            let (shard, to) = under_way.pop_first().unwrap();
            cluster.hand_over(shard, member(1), to);
        }
        assert_eq!(cluster.weights(), [60, 40]);
    }

    #[test]
    fn what_is_far_too_much_for_a_moment_is_borne() {
        let mut cluster = Cluster::new(&[1, 2], (0..20).map(|n| (1 + n % 2, 10)));
        let calm = cluster.loads.clone();
        let mut busy = calm.clone();
        cluster.records.iter().filter(|(_, it)| it.owner == member(1)).for_each(|(id, _)| {
            busy.insert(*id, Load { messages: 100, bytes: 10 });
        });
        for (loads, begun) in [(&busy, 0), (&busy, 0), (&calm, 0), (&busy, 0), (&busy, 0), (&busy, 2)] {
            cluster.loads = loads.clone();
            assert_eq!(cluster.round(None).len(), begun);
        }
    }

    /// Any cluster: up to six members, some of which have nothing, shards of weights that differ a thousandfold.
    fn any(random: &mut Seeded) -> Cluster {
        let nodes: Vec<u32> = (0..1 + random.below(6)).map(|_| random.node()).collect();
        let count = random.below(200);
        let owners = 1 + random.below(nodes.len());
        let weight = |random: &mut Seeded| 1 << random.below(11);
        let shards = (0..count).map(|_| (nodes[random.below(owners)], weight(random)));
        let shards: Vec<_> = shards.collect();
        Cluster::new(&nodes, shards)
    }

    #[test]
    fn with_constant_loads_it_ends_and_is_fair() {
        for seed in 0..500 {
            let mut cluster = any(&mut Seeded::new(seed));
            let busiest = cluster.weights().into_iter().max();
            let moves = cluster.settle();
            let after = cluster.weights();
            let count = cluster.records.len();
            assert!(moves <= 2 * count, "seed {seed}: {moves} moves of {count} shards");
            assert!(after.iter().max() <= busiest.as_ref(), "seed {seed}: {after:?}");
            // What is too much for one is one shard, or as little as makes no difference.
            let (sum, members) = (after.iter().sum::<u64>(), after.len() as u64);
            let heaviest = cluster.loads.values().map(|load| load.messages).max().unwrap_or(0);
            let most = sum * FAR / 100 / members + 2 * heaviest;
            assert!(after.iter().all(|weight| *weight <= most), "seed {seed}: {after:?}, {heaviest}");
            assert_eq!((0..20).map(|_| cluster.round(None).len()).sum::<usize>(), 0, "seed {seed}");
        }
    }

    #[test]
    fn with_noise_it_hardly_moves() {
        let mut all = 0;
        for seed in 0..100 {
            let mut random = Seeded::new(seed);
            let mut cluster = any(&mut random);
            cluster.settle();
            let mut times: BTreeMap<ShardId, usize> = BTreeMap::new();
            for _ in 0..300 {
                for it in cluster.round(Some(&mut random)) {
                    *times.entry(it.shard).or_default() += 1;
                }
            }
            let moves: usize = times.values().sum();
            all += moves;
            assert!(moves <= cluster.records.len(), "seed {seed}: {times:?}");
        }
        // Of 30,000 plans.
        assert!(all <= 100, "{all} moves");
    }
}
