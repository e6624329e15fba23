//! Where things belong: a key to a shard, a shard to its first owner, an owner to its standby.
//!
//! All of it is computed from what every member knows, and comes out the same on each: nothing is agreed upon. It is
//! advice all the same; who owns a shard is what its [`Record`](crate::Record) says.
//!
//! The hash is FNV-1a of 64 bits (RFC 9923; that of 32 bits is the fingerprint of a node's name), with the finalizer of
//! MurmurHash3 behind it, since FNV alone spreads short keys badly. It is part of the format of a cluster: if it gave
//! another number, every key would be looked for in a shard that does not have it. It is no defence: who chooses keys
//! can choose them for one shard.

use alloc::collections::BTreeMap;
use core::num::NonZeroU32;

use crate::record::{Member, ShardId};

/// FNV-1a, 64 bits, from where a former part has ended.
fn fnv(hash: u64, bytes: &[u8]) -> u64 {
    bytes.iter().fold(hash, |hash, byte| (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3))
}

/// FNV's hash of nothing.
const EMPTY: u64 = 0xcbf2_9ce4_8422_2325;

/// MurmurHash3's `fmix64`: each bit of the input changes each of the result with even odds, and no two inputs have the
/// same result.
fn mix(mut hash: u64) -> u64 {
    hash = (hash ^ (hash >> 33)).wrapping_mul(0xff51_afd7_ed55_8ccd);
    hash = (hash ^ (hash >> 33)).wrapping_mul(0xc4ce_b9fe_1a85_ec53);
    hash ^ (hash >> 33)
}

impl ShardId {
    /// The shard that a process lives in, by the name of its type and its key.
    ///
    /// Stable over releases and machines. The same key of two types is two keys, in shards that have nothing to do with
    /// each other.
    pub fn of(kind: &str, key: &[u8], shards: NonZeroU32) -> ShardId {
        // No text has this byte, so that no two pairs run into each other.
        let hash = fnv(fnv(fnv(EMPTY, kind.as_bytes()), &[0xff]), key);
        let rest = mix(hash) % u64::from(shards.get());
        ShardId(u32::try_from(rest).unwrap_or_default())
    }
}

/// The versions of copies that a member reads and writes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Wires {
    /// The lowest.
    pub lowest: u32,
    /// The highest.
    pub highest: u32,
}

impl Wires {
    /// Whether it is one of them.
    pub fn contains(self, wire: u32) -> bool {
        (self.lowest..=self.highest).contains(&wire)
    }
}

/// A member that is up, as placement sees it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Seat {
    /// Who.
    pub member: Member,
    /// What it reads.
    pub reads: Wires,
    /// It holds the token of drains, which at most one does (R39), and is given nothing.
    pub draining: bool,
}

/// The members that are up, in an order that depends on their nodes alone: neither on when they came nor on which life
/// of theirs it is. Behind the last comes the first.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Ring(BTreeMap<Place, Seat>);

/// A place in the ring. Two lives of one node have neighbouring places, the newer one behind the older.
type Place = (u64, Member);

fn place(member: Member) -> Place {
    (mix(u64::from(member.node)), member)
}

impl FromIterator<Seat> for Ring {
    fn from_iter<I: IntoIterator<Item = Seat>>(seats: I) -> Self {
        Ring(seats.into_iter().map(|seat| (place(seat.member), seat)).collect())
    }
}

impl Ring {
    /// Who is up, in order.
    pub fn seats(&self) -> impl Iterator<Item = &Seat> {
        self.0.values()
    }

    /// What is known of a member; `None`: it is not up.
    pub fn seat(&self, member: Member) -> Option<&Seat> {
        self.0.get(&place(member))
    }

    /// The version that a new shard is written in: the highest that all read, so that everybody can have a copy of it.
    /// `None`: there is no such version, or nobody.
    pub fn wire(&self) -> Option<u32> {
        let wire = self.seats().map(|seat| seat.reads.highest).min()?;
        self.seats().all(|seat| seat.reads.contains(wire)).then_some(wire)
    }

    /// Whether a member may be given a copy or a shard of this version: it is up, does not drain, and reads it.
    pub fn takes(&self, member: Member, wire: u32) -> bool {
        self.seat(member).is_some_and(|seat| seat.takes(wire))
    }

    /// The members of other nodes, from the one behind this member on, and round to before it.
    pub fn behind(&self, member: Member) -> impl Iterator<Item = &Seat> {
        let at = place(member);
        let round = self.0.range(at..).chain(self.0.range(..at));
        round.map(|(_, seat)| seat).filter(move |seat| seat.member.node != member.node)
    }

    /// Who is to have the copy of what this member owns: the next behind it that [takes](Self::takes) it.
    ///
    /// Who comes or goes elsewhere in the ring changes nothing. `None`: nobody can.
    pub fn standby(&self, owner: Member, wire: u32) -> Option<Member> {
        self.behind(owner).find(|seat| seat.takes(wire)).map(|seat| seat.member)
    }

    /// Who is to create a shard that has never been: the node with the highest hash of the two (rendezvous hashing, D.
    /// G. Thaler and C. V. Ravishankar, 1998), of those that do not drain.
    ///
    /// Who joins takes an equal part from each; what one leaves goes to all the others; nothing else changes. `None`:
    /// nobody can.
    pub fn first_owner(&self, shard: ShardId) -> Option<Member> {
        let rank = |member: Member| (mix(u64::from(member.node) << 32 | u64::from(shard.0)), member);
        let able = self.seats().filter(|seat| !seat.draining);
        able.map(|seat| seat.member).max_by_key(|member| rank(*member))
    }
}

impl Seat {
    fn takes(&self, wire: u32) -> bool {
        !self.draining && self.reads.contains(wire)
    }
}

#[cfg(test)]
mod tests {
    use alloc::vec::Vec;

    use super::*;
    use crate::seeded::{Seeded, member, seat};

    const SHARDS: u32 = 256;

    fn shard(kind: &str, key: &str) -> u32 {
        ShardId::of(kind, key.as_bytes(), NonZeroU32::new(SHARDS).unwrap()).0
    }

    fn ring(nodes: impl IntoIterator<Item = u32>) -> Ring {
        nodes.into_iter().map(seat).collect()
    }

    /// The vectors that the authors of the two hashes have published.
    #[test]
    fn the_hashes_are_the_ones_named() {
        assert_eq!(fnv(EMPTY, b""), 0xcbf2_9ce4_8422_2325);
        assert_eq!(fnv(EMPTY, b"a"), 0xaf63_dc4c_8601_ec8c);
        assert_eq!(fnv(EMPTY, b"foobar"), 0x8594_4171_f739_67e8);
        assert_eq!(mix(1), 0xb456_bcfc_34c2_cb2c);
    }

    /// A cluster that was founded by one release finds its keys in the next.
    #[test]
    fn a_key_stays_where_it_is() {
        assert_eq!(GOLDEN_KEYS.map(|(kind, key, _)| shard(kind, key)), GOLDEN_KEYS.map(|row| row.2));
        let three = ring([1, 2, 3]);
        let owners = [0, 1, 2, 3, 4, 5, 6, 7].map(|shard| three.first_owner(ShardId(shard)).unwrap().node);
        assert_eq!(owners, GOLDEN_OWNERS);
        let order: Vec<u32> = ring(0..8).seats().map(|seat| seat.member.node).collect();
        assert_eq!(order, GOLDEN_ORDER);
    }

    /// Computed by another program, out of the two hashes' descriptions.
    const GOLDEN_KEYS: [(&str, &str, u32); 6] = [
        ("account", "alice", 78),
        ("account", "bob", 198),
        ("account", "", 108),
        ("", "account", 184),
        ("a", "b", 254),
        ("ab", "", 236),
    ];
    const GOLDEN_OWNERS: [u32; 8] = [3, 3, 3, 1, 3, 1, 2, 2];
    const GOLDEN_ORDER: [u32; 8] = [0, 3, 2, 4, 7, 1, 5, 6];

    #[test]
    fn keys_spread_evenly() {
        let keys: [fn(u32) -> alloc::string::String; 3] =
            [|n| format!("{n}"), |n| format!("user-{n:08}"), |n| format!("{}", n * 1024)];
        for key in keys {
            let mut count = vec![0_i32; SHARDS as usize];
            (0..100 * SHARDS).for_each(|n| count[shard("account", &key(n)) as usize] += 1);
            // 100 each is expected; five standard deviations.
            let odd = count.iter().find(|count| (**count - 100).abs() > 50);
            assert_eq!(odd, None, "keys like {}", key(1));
        }
    }

    /// A row: who is up, whose shard, of which wire, who has the copy.
    #[test]
    fn the_standby_is_the_next_that_can() {
        let order: Vec<u32> = ring(0..8).seats().map(|seat| seat.member.node).collect();
        let [a, b, c] = [order[0], order[1], order[2]];
        let check = |seats: &[Seat], owner: u32, wire, expected: Option<u32>| {
            let ring: Ring = seats.iter().copied().collect();
            assert_eq!(ring.standby(member(owner), wire), expected.map(member), "{seats:?}, {owner}, {wire}");
        };
        let all = [seat(a), seat(b), seat(c)];
        check(&all, a, 1, Some(b));
        check(&all, b, 1, Some(c));
        check(&all, c, 1, Some(a));
        check(&all, a, 2, None);
        check(&[seat(a)], a, 1, None);
        check(&[], a, 1, None);
        check(&[seat(a), Seat { draining: true, ..seat(b) }, seat(c)], a, 1, Some(c));
        check(&[seat(a), Seat { draining: true, ..seat(b) }], a, 1, None);
        let new = Seat { reads: Wires { lowest: 1, highest: 2 }, ..seat(c) };
        check(&[seat(a), seat(b), new], a, 2, Some(c));
        check(&[seat(a), seat(b), new], a, 1, Some(b));
        // An owner that is not up has its place, and another life of its node is no other machine.
        check(&[seat(b), seat(c)], a, 1, Some(b));
        let again = Seat { member: Member { creation: 2, ..member(a) }, ..seat(a) };
        check(&[seat(a), again], a, 1, None);
        check(&[seat(a), again, seat(b)], a, 1, Some(b));
    }

    #[test]
    fn who_comes_elsewhere_changes_no_standby() {
        for seed in 0..300 {
            let mut random = Seeded::new(seed);
            let nodes: Vec<u32> = (0..1 + random.below(9)).map(|_| random.node()).collect();
            let (before, new) = (ring(nodes.clone()), member(random.node()));
            let after = ring(nodes.into_iter().chain([new.node]));
            for owner in before.seats().map(|seat| seat.member) {
                let (was, is) = (before.standby(owner, 1), after.standby(owner, 1));
                let next = after.behind(owner).next().map(|seat| seat.member);
                assert_eq!(is, if next == Some(new) { next } else { was }, "seed {seed}, {owner}");
            }
        }
    }

    #[test]
    fn the_order_is_not_that_of_coming() {
        for seed in 0..100 {
            let mut random = Seeded::new(seed);
            let mut nodes: Vec<u32> = (0..8).map(|_| random.node()).collect();
            let forward = ring(nodes.clone());
            nodes.reverse();
            assert_eq!(forward, ring(nodes), "seed {seed}");
        }
    }

    #[test]
    fn first_owners_spread_and_hardly_move() {
        for seed in 0..100 {
            let mut random = Seeded::new(seed);
            let nodes: Vec<u32> = (0..2 + random.below(6)).map(|_| random.node()).collect();
            let before = ring(nodes.clone());
            let new = member(random.node());
            let after = ring(nodes.into_iter().chain([new.node]));
            let count = after.seats().count();
            let mut taken = 0;
            for shard in (0..SHARDS).map(ShardId) {
                let (was, is) = (before.first_owner(shard), after.first_owner(shard));
                taken += usize::from(is == Some(new));
                // Joining: only the new one takes. Read backwards: what it leaves is all that moves.
                assert!(is == was || is == Some(new), "seed {seed}, {shard}: {was:?} to {is:?}");
            }
            let fair = SHARDS as usize / count;
            assert!((fair / 2..=fair * 2).contains(&taken), "seed {seed}: {taken} of {fair}");
        }
    }

    #[test]
    fn a_new_shard_is_read_by_all() {
        let check = |reads: &[(u32, u32)], expected| {
            let of = |(node, (lowest, highest)): (u32, &(u32, u32))| Seat {
                reads: Wires { lowest: *lowest, highest: *highest },
                ..seat(node)
            };
            let ring: Ring = (1..).zip(reads).map(of).collect();
            assert_eq!(ring.wire(), expected, "{reads:?}");
        };
        check(&[(1, 1), (1, 2), (1, 2)], Some(1));
        check(&[(1, 2), (2, 3)], Some(2));
        check(&[(1, 1), (2, 3)], None);
        check(&[], None);
    }

    #[test]
    fn who_drains_creates_nothing() {
        let seats = [seat(1), Seat { draining: true, ..seat(2) }];
        let ring: Ring = seats.into_iter().collect();
        (0..SHARDS).for_each(|shard| assert_eq!(ring.first_owner(ShardId(shard)), Some(member(1))));
        let alone: Ring = seats.into_iter().skip(1).collect();
        assert_eq!(alone.first_owner(ShardId(0)), None);
    }
}
