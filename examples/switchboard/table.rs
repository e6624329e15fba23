//! The table of keys: which process serves a key. Read by all connections, owned by the [keyspace](crate::keyspace).
//!
//! **A request is sent while its shard is locked for reading, and a process leaves the table while its shard is locked
//! for writing, with an empty mailbox.** So no request is ever in the mailbox of a process that has left in order:
//! none is lost and none has to be sent twice. Only a crash takes requests with it.
//!
//! A process that crashes leaves when all that it had is dropped, which is before anybody hears of its end. Of its key a record
//! stays: how many lives it had. The next request for that key, whatever it asks, starts the next one.
//!
//! Who has a request under way must not send another for the same key to a later life, as the one before may have to be
//! sent again. A life ends early only by a crash, and crashes are counted while the shard is locked for writing: as long
//! as the count stands where it stood, there is no later life.

use std::collections::HashMap;
use std::hash::{BuildHasher, RandomState};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use bytes::Bytes;
use hashbrown::HashTable;
use incarnate::Pid;

use crate::glob;
use crate::key::KeyRef;
use crate::name::Name;

/// A power of two, and many more than there are threads.
pub const SHARDS: usize = 1 << SHARD_BITS;
const SHARD_BITS: u32 = 8;
/// A key's place in a walk, from its hash. Fewer than 64 bits, since some clients keep a cursor in a signed integer.
const PLACE_BITS: u32 = 48;
/// Records of crashed keys that a shard keeps at most; then it forgets them, and their lives are counted anew.
const MOST_RECORDS: usize = 1024;

/// Key to process, in shards by hash.
pub struct Table {
    shards: Box<[RwLock<Shard>]>,
    /// Seeded at random: nobody can choose keys that meet in one place.
    hasher: RandomState,
    crashes: AtomicU64,
    restarts: AtomicU64,
}

#[derive(Default)]
struct Shard {
    entries: HashTable<Entry>,
    /// Entries whose key exists, as a client sees it.
    present: usize,
    /// Crashed keys without a process: how many lives they had. By hash, since a name may be long; two keys with the same
    /// 64 bits would share a record, and nobody would come to harm.
    crashed: HashMap<u64, u32>,
}

struct Entry {
    hash: u64,
    key: Name,
    server: KeyRef,
    life: u32,
    /// False while a process without a value is still there: with requests in its mailbox, or after a crash.
    present: bool,
    /// The value is long, was long, or is about to be. It stays so for this life.
    long: AtomicBool,
}

/// The process of a key, while its shard is locked.
pub struct Served<'a> {
    /// It.
    pub server: &'a KeyRef,
    /// The key's hash.
    pub hash: u64,
    long: &'a AtomicBool,
}

impl Served<'_> {
    /// Whether a reply may hold a [long](crate::value::LONG) value.
    pub fn is_long(&self) -> bool {
        self.long.load(Ordering::Relaxed)
    }

    /// A long value is about to be sent.
    pub fn grows(&self) {
        self.long.store(true, Ordering::Relaxed);
    }
}

/// Nobody serves the key, or not in order.
pub struct Absent<T> {
    /// Its process crashed: the next life is due, or there already.
    pub crashed: bool,
    /// What was to be asked.
    pub request: T,
}

impl Default for Table {
    fn default() -> Self {
        Table {
            shards: (0..SHARDS).map(|_| RwLock::default()).collect(),
            hasher: RandomState::new(),
            crashes: AtomicU64::new(0),
            restarts: AtomicU64::new(0),
        }
    }
}

impl Table {
    /// The hash by which a key is known here.
    pub fn hash(&self, key: &[u8]) -> u64 {
        self.hasher.hash_one(key)
    }

    fn read(&self, shard: usize) -> RwLockReadGuard<'_, Shard> {
        self.shards[shard].read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self, hash: u64) -> RwLockWriteGuard<'_, Shard> {
        self.shards[shard_of(hash)].write().unwrap_or_else(PoisonError::into_inner)
    }

    /// Has `ask` send something to the process of `key`, if `in_order` says so, given the key's hash and the number of
    /// crashes. Neither may wait: the shard is locked meanwhile.
    ///
    /// # Errors
    /// There is no such process, or it is not in order; `ask` was not called.
    pub fn ask<T, R>(
        &self,
        key: &[u8],
        request: T,
        in_order: impl FnOnce(u64, u64) -> bool,
        ask: impl FnOnce(Served<'_>, T) -> R,
    ) -> Result<R, Absent<T>> {
        let hash = self.hash(key);
        let shard = self.read(shard_of(hash));
        // Read while the shard is locked: of every crash that made room for what is found here, it knows.
        let in_order = in_order(hash, self.crashes());
        match shard.entries.find(hash, |entry| *entry.key == *key) {
            Some(Entry { server, long, .. }) if in_order => Ok(ask(Served { server, hash, long }, request)),
            Some(_) => Err(Absent { crashed: true, request }),
            None => Err(Absent { crashed: !in_order || shard.crashed.contains_key(&hash), request }),
        }
    }

    /// Enters a new process, which answers which life of the key it is. `None`: another process has the key.
    pub fn claim(&self, key: &Name, server: KeyRef, present: bool, long: bool) -> Option<u32> {
        let hash = self.hash(key);
        let mut shard = self.write(hash);
        if shard.entries.find(hash, |entry| entry.key == *key).is_some() {
            return None;
        }
        let life = shard.crashed.remove(&hash).unwrap_or(0) + 1;
        if life > 1 {
            self.restarts.fetch_add(1, Ordering::Relaxed);
        }
        let long = AtomicBool::new(long);
        let entry = Entry { hash, key: key.clone(), server, life, present, long };
        shard.entries.insert_unique(hash, entry, |entry| entry.hash);
        shard.present += usize::from(present);
        Some(life)
    }

    /// Says whether the key of a process exists.
    pub fn mark(&self, key: &Name, present: bool) {
        let hash = self.hash(key);
        let mut shard = self.write(hash);
        let Some(entry) = shard.entries.find_mut(hash, |entry| entry.key == *key) else { return };
        let former = std::mem::replace(&mut entry.present, present);
        shard.present = shard.present - usize::from(former) + usize::from(present);
    }

    /// Says that the value of a process has become long.
    pub fn mark_long(&self, key: &Name) {
        let hash = self.hash(key);
        let shard = self.read(shard_of(hash));
        if let Some(entry) = shard.entries.find(hash, |entry| entry.key == *key) {
            entry.long.store(true, Ordering::Relaxed);
        }
    }

    /// Takes a process out that is `idle`: asked while nobody can send it anything. False: it is not, and stays.
    pub fn retire(&self, key: &Name, idle: impl FnOnce() -> bool) -> bool {
        let hash = self.hash(key);
        let mut shard = self.write(hash);
        idle() && shard.remove(hash, |entry| entry.key == *key).is_some()
    }

    /// Takes a process out that has ended, if it has not retired.
    pub fn lost(&self, hash: u64, server: Pid) {
        let mut shard = self.write(hash);
        let Some(entry) = shard.remove(hash, |entry| entry.server.pid() == server) else { return };
        self.crashes.fetch_add(1, Ordering::Relaxed);
        if shard.crashed.len() >= MOST_RECORDS {
            shard.crashed.clear();
        }
        shard.crashed.insert(hash, entry.life);
    }

    /// How many keys exist.
    pub fn len(&self) -> usize {
        (0..SHARDS).map(|shard| self.read(shard).present).sum()
    }

    /// How many processes ended without having retired.
    pub fn crashes(&self) -> u64 {
        self.crashes.load(Ordering::Relaxed)
    }

    /// How often a crashed key got another process.
    pub fn restarts(&self) -> u64 {
        self.restarts.load(Ordering::Relaxed)
    }

    /// The process of a key and which life it is.
    pub fn find(&self, key: &[u8]) -> Option<(KeyRef, u32)> {
        let hash = self.hash(key);
        let shard = self.read(shard_of(hash));
        let entry = shard.entries.find(hash, |entry| *entry.key == *key)?;
        Some((entry.server.clone(), entry.life))
    }

    /// The keys of one shard that exist and match.
    pub fn keys_in(&self, shard: usize, pattern: &[u8]) -> Vec<Bytes> {
        let shard = self.read(shard);
        let matching = shard.present().filter(|entry| glob::matches(pattern, &entry.key));
        matching.map(|entry| Bytes::copy_from_slice(&entry.key)).collect()
    }

    /// The processes of one shard; the records of its crashed keys are forgotten.
    pub fn clear_in(&self, shard: usize) -> Vec<KeyRef> {
        let mut shard = self.shards[shard].write().unwrap_or_else(PoisonError::into_inner);
        shard.crashed.clear();
        shard.entries.iter().map(|entry| entry.server.clone()).collect()
    }

    /// The processes of one shard.
    pub fn servers_in(&self, shard: usize) -> Vec<KeyRef> {
        self.read(shard).entries.iter().map(|entry| entry.server.clone()).collect()
    }

    /// Keys and processes for which `wanted` holds.
    pub fn names(&self, mut wanted: impl FnMut(&KeyRef) -> bool) -> Vec<(Name, KeyRef)> {
        let mut found = Vec::new();
        for shard in 0..SHARDS {
            let shard = self.read(shard);
            let entries = shard.entries.iter().filter(|entry| wanted(&entry.server));
            found.extend(entries.map(|entry| (entry.key.clone(), entry.server.clone())));
        }
        found
    }

    /// One step of a walk in the order of places: about `count` keys from `cursor` on, and where the next step begins; 0
    /// is the end.
    ///
    /// A key's place never changes, so a walk meets each key that is there all the time, and meets it once.
    pub fn scan(&self, cursor: u64, count: usize, pattern: Option<&[u8]>) -> (u64, Vec<Bytes>) {
        let mut found = Vec::new();
        let mut left = count;
        let first = usize::try_from(cursor >> (PLACE_BITS - SHARD_BITS)).unwrap_or(SHARDS);
        for number in first..SHARDS {
            let shard = self.read(number);
            let mut entries: Vec<_> = shard.present().map(|entry| (place_of(entry.hash), entry)).collect();
            entries.retain(|(place, _)| *place >= cursor);
            entries.sort_unstable_by_key(|(place, _)| *place);
            // Keys that share a place come together: the next step begins behind it.
            let full = entries.get(left.max(1) - 1).map(|(last, _)| *last);
            let taken = entries.iter().take_while(|(place, _)| full.is_none_or(|last| *place <= last));
            for (_, entry) in taken {
                left = left.saturating_sub(1);
                if pattern.is_none_or(|pattern| glob::matches(pattern, &entry.key)) {
                    found.push(Bytes::copy_from_slice(&entry.key));
                }
            }
            if let Some(last) = full {
                return (last + 1, found);
            }
        }
        (0, found)
    }
}

impl Shard {
    fn present(&self) -> impl Iterator<Item = &Entry> {
        self.entries.iter().filter(|entry| entry.present)
    }

    fn remove(&mut self, hash: u64, wanted: impl FnMut(&Entry) -> bool) -> Option<Entry> {
        let found = self.entries.find_entry(hash, wanted).ok()?;
        let (entry, _) = found.remove();
        self.present -= usize::from(entry.present);
        Some(entry)
    }
}

fn place_of(hash: u64) -> u64 {
    hash >> (u64::BITS - PLACE_BITS)
}

/// The shards in the order of their keys' places.
fn shard_of(hash: u64) -> usize {
    (hash >> (u64::BITS - SHARD_BITS)) as usize
}
