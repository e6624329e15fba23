//! What tests share: numbers from a seed (splitmix64), members by number.

use core::ops::Range;
use core::time::Duration;

use crate::placement::{Seat, Wires};
use crate::record::Member;

#[derive(Debug)]
pub(crate) struct Seeded(u64);

impl Seeded {
    pub(crate) fn new(seed: u64) -> Self {
        Seeded(seed)
    }

    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut bits = self.0;
        bits = (bits ^ (bits >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        bits = (bits ^ (bits >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        bits ^ (bits >> 31)
    }

    /// Less than the bound.
    pub(crate) fn below(&mut self, bound: usize) -> usize {
        usize::try_from(self.next() % bound as u64).unwrap()
    }

    pub(crate) fn one_in(&mut self, of: usize) -> bool {
        self.below(of) == 0
    }

    pub(crate) fn pick<T: Copy>(&mut self, of: &[T]) -> T {
        of[self.below(of.len())]
    }

    /// So many milliseconds, to the microsecond.
    pub(crate) fn millis(&mut self, range: Range<u64>) -> Duration {
        let micros = range.start * 1000..range.end * 1000;
        Duration::from_micros(micros.start + self.next() % (micros.end - micros.start))
    }

    /// A fingerprint like any node's.
    pub(crate) fn node(&mut self) -> u32 {
        self.next() as u32
    }
}

/// The first life of a node.
pub(crate) fn member(node: u32) -> Member {
    Member { node, creation: 1, store: None }
}

/// A node that reads wire 1.
pub(crate) fn seat(node: u32) -> Seat {
    Seat { member: member(node), reads: Wires { lowest: 1, highest: 1 }, draining: false }
}
