//! What may be in something more than once.

use std::hash::Hash;
use std::iter::repeat_n;

use rustc_hash::FxHashMap;

/// A multiset. Adding and removing take the same time however much is in it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Bag<T: Hash + Eq> {
    times: FxHashMap<T, usize>,
}

impl<T: Hash + Eq> Default for Bag<T> {
    fn default() -> Self {
        Bag { times: FxHashMap::default() }
    }
}

impl<T: Hash + Eq + Clone> Bag<T> {
    pub(super) fn add(&mut self, one: T) {
        *self.times.entry(one).or_default() += 1;
    }

    /// Takes it out once; answers whether it was in.
    pub(super) fn remove(&mut self, one: &T) -> bool {
        let Some(times) = self.times.get_mut(one) else { return false };
        *times -= 1;
        if *times == 0 {
            self.times.remove(one);
        }
        true
    }

    /// Takes it out altogether; answers how often it was in.
    pub(super) fn remove_all(&mut self, one: &T) -> usize {
        self.times.remove(one).unwrap_or(0)
    }

    pub(super) fn is_empty(&self) -> bool {
        self.times.is_empty()
    }

    /// Each as often as it is in.
    pub(super) fn iter(&self) -> impl Iterator<Item = &T> {
        self.times.iter().flat_map(|(one, &times)| repeat_n(one, times))
    }

    /// Each once, with how often it is in.
    pub(super) fn counted(&self) -> impl Iterator<Item = (&T, usize)> {
        self.times.iter().map(|(one, &times)| (one, times))
    }

    /// What is in this one more often than in the other.
    pub(super) fn minus(&self, other: &Self) -> Vec<T> {
        let more = |(one, &times): (&T, &usize)| {
            repeat_n(one.clone(), times.saturating_sub(other.times.get(one).copied().unwrap_or(0)))
        };
        self.times.iter().flat_map(more).collect()
    }
}

impl<T: Hash + Eq + Clone> FromIterator<T> for Bag<T> {
    fn from_iter<I: IntoIterator<Item = T>>(all: I) -> Self {
        let mut bag = Bag::default();
        all.into_iter().for_each(|one| bag.add(one));
        bag
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sorted(all: impl IntoIterator<Item = u8>) -> Vec<u8> {
        let mut all = Vec::from_iter(all);
        all.sort_unstable();
        all
    }

    #[test]
    fn what_is_in_twice_is_taken_out_twice() {
        let mut bag = Bag::from_iter([1, 2, 1]);
        assert_eq!(sorted(bag.iter().copied()), [1, 1, 2]);
        assert!(bag.remove(&1) && bag.remove(&1));
        assert!(!bag.remove(&1), "it was in twice only");
        assert_eq!(bag.remove_all(&2), 1);
        assert!(bag.is_empty());
    }

    #[test]
    fn a_difference_counts() {
        let (a, b) = (Bag::from_iter([1, 1, 1, 2]), Bag::from_iter([1, 3]));
        assert_eq!(sorted(a.minus(&b)), [1, 1, 2]);
        assert_eq!(sorted(b.minus(&a)), [3]);
        assert!(a.minus(&a).is_empty());
        assert_ne!(a, Bag::from_iter([1, 1, 2]));
    }
}
