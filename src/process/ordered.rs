//! A map for keys that come in order, as references do.

use std::cmp::Ordering;
use std::collections::VecDeque;

/// Values under ascending keys, in one run of memory.
///
/// A key newer than all others is added at the end, the oldest is removed at the front, and neighbours lie side by
/// side: what the monitors of a hundred thousand processes are, which end in about the order in which they were set.
/// Anything else is found by bisection; what is removed in the middle leaves a hole, and when half of it is holes it
/// closes up.
pub(crate) struct Ordered<K, V> {
    entries: VecDeque<(K, Option<V>)>,
    live: usize,
}

impl<K, V> Default for Ordered<K, V> {
    fn default() -> Self {
        Ordered { entries: VecDeque::new(), live: 0 }
    }
}

impl<K: Copy + Ord, V> Ordered<K, V> {
    /// Adds a value; one that was under the key goes.
    pub(crate) fn insert(&mut self, key: K, value: V) {
        let newest = self.entries.back().is_none_or(|(last, _)| *last < key);
        let at = if newest { Err(self.entries.len()) } else { self.position(key) };
        match at {
            Ok(at) => {
                let former = self.entries[at].1.replace(value);
                self.live += usize::from(former.is_none());
            }
            Err(at) => {
                self.entries.insert(at, (key, Some(value)));
                self.live += 1;
            }
        }
    }

    /// The value under the key.
    pub(crate) fn get(&self, key: K) -> Option<&V> {
        self.entries.get(self.position(key).ok()?)?.1.as_ref()
    }

    /// Takes a value out.
    pub(crate) fn remove(&mut self, key: K) -> Option<V> {
        let at = self.position(key).ok()?;
        let value = self.entries[at].1.take()?;
        self.live -= 1;
        while self.entries.front().is_some_and(|(_, value)| value.is_none()) {
            self.entries.pop_front();
        }
        if self.entries.len() > 16 && self.live * 2 < self.entries.len() {
            self.entries.retain(|(_, value)| value.is_some());
        }
        Some(value)
    }

    /// Where the key is, or would be.
    ///
    /// Looks near the front first, in steps that double: what is asked for is mostly among the oldest, and a bisection
    /// of the whole would touch memory that nobody has looked at for long.
    fn position(&self, key: K) -> Result<usize, usize> {
        let mut end = 1;
        while end < self.entries.len() && self.entries[end].0 < key {
            end *= 2;
        }
        let (mut low, mut high) = (end / 2, self.entries.len().min(end + 1));
        while low < high {
            let middle = low + (high - low) / 2;
            match self.entries[middle].0.cmp(&key) {
                Ordering::Less => low = middle + 1,
                Ordering::Equal => return Ok(middle),
                Ordering::Greater => high = middle,
            }
        }
        Err(low)
    }

    /// All values, oldest first.
    pub(crate) fn values(&self) -> impl Iterator<Item = &V> {
        self.entries.iter().filter_map(|(_, value)| value.as_ref())
    }
}

impl<K, V> IntoIterator for Ordered<K, V> {
    type Item = (K, V);
    type IntoIter =
        std::iter::FilterMap<std::collections::vec_deque::IntoIter<(K, Option<V>)>, Present<K, V>>;

    fn into_iter(self) -> Self::IntoIter {
        self.entries.into_iter().filter_map(|(key, value)| value.map(|value| (key, value)))
    }
}

type Present<K, V> = fn((K, Option<V>)) -> Option<(K, V)>;

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    #[test]
    fn it_holds_what_a_map_holds() {
        let mut seed = 0x9e37_79b9_7f4a_7c15_u64;
        let (mut ordered, mut map) = (Ordered::default(), BTreeMap::new());
        for step in 0..20_000u64 {
            seed ^= seed << 13;
            seed ^= seed >> 7;
            seed ^= seed << 17;
            // Mostly new keys at the end, as references come; some late, some again.
            let key = if seed.is_multiple_of(5) { seed % (step + 1) } else { step };
            if seed.is_multiple_of(3) {
                assert_eq!(ordered.remove(key / 2), map.remove(&(key / 2)), "step {step}");
            } else {
                ordered.insert(key, step);
                map.insert(key, step);
            }
            assert_eq!(ordered.live, map.len(), "step {step}");
            assert!(ordered.entries.len() <= 2 * map.len() + 17, "step {step}: holes are bounded");
        }
        assert!(ordered.values().eq(map.values()));
        assert!(ordered.into_iter().eq(map));
    }
}
