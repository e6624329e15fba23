//! The living processes of a node, by number.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use rustc_hash::FxHashMap;

use super::cell::Process;
use super::meter;

const SHARDS: usize = 64;

type Shard = FxHashMap<u64, Arc<dyn Process>>;

/// Number to process, in shards so that spawns on several threads do not meet.
pub(crate) struct Table {
    shards: [Mutex<Shard>; SHARDS],
}

impl Default for Table {
    fn default() -> Self {
        Table { shards: std::array::from_fn(|_| Mutex::default()) }
    }
}

impl Table {
    fn shard(&self, id: u64) -> MutexGuard<'_, Shard> {
        self.shards[id as usize % SHARDS].lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn insert(&self, process: Arc<dyn Process>) {
        let core = process.core();
        let id = core.id();
        meter::started(core);
        self.shard(id).insert(id, process);
    }

    pub(crate) fn get(&self, id: u64) -> Option<Arc<dyn Process>> {
        self.shard(id).get(&id).cloned()
    }

    pub(crate) fn remove(&self, id: u64) {
        let removed = self.shard(id).remove(&id);
        drop(removed);
    }

    pub(crate) fn len(&self) -> usize {
        (0..SHARDS as u64).map(|shard| self.shard(shard).len()).sum()
    }

    /// All that live now, oldest first.
    pub(crate) fn all(&self) -> Vec<Arc<dyn Process>> {
        let mut all: Vec<_> =
            (0..SHARDS as u64).flat_map(|s| self.shard(s).values().cloned().collect::<Vec<_>>()).collect();
        all.sort_unstable_by_key(|process| process.core().id());
        all
    }
}
