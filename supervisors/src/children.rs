//! The children of one supervisor and their places in the start order.

use crate::{ChildId, ChildSpec, ChildState, Key, Restart, Timer};
use alloc::collections::{BTreeMap, BTreeSet};
use alloc::sync::Arc;
use alloc::vec::Vec;

/// Whether a child runs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Status<P> {
    /// OTP's `undefined`.
    Stopped,
    Running(P),
    /// OTP's `{restarting, Former}`; with a back-off, the timer that it waits for.
    Restarting {
        former: Option<P>,
        delay: Option<Timer>,
    },
}

#[derive(Clone, Debug)]
pub(crate) struct Slot<P> {
    pub(crate) spec: Arc<ChildSpec>,
    /// Made from the template of a simple_one_for_one supervisor.
    pub(crate) dynamic: bool,
    /// Whether the driver still keeps the start data.
    pub(crate) kept: bool,
    /// Changed only through [`Children::set`], which keeps the indices.
    pub(crate) status: Status<P>,
    place: u64,
}

impl<P: Clone> Slot<P> {
    /// The restart type in force. A dynamic child that was temporary when it started cannot be started again,
    /// whatever a code change made of the template since: its arguments are gone.
    pub(crate) fn restart(&self) -> Restart {
        if self.dynamic && !self.kept { Restart::Temporary } else { self.spec.restart() }
    }

    pub(crate) fn former(&self) -> Option<P> {
        match &self.status {
            Status::Restarting { former, .. } => former.clone(),
            Status::Running(pid) => Some(pid.clone()),
            Status::Stopped => None,
        }
    }

    pub(crate) fn state(&self) -> ChildState<P> {
        match &self.status {
            Status::Stopped => ChildState::Stopped,
            Status::Running(pid) => ChildState::Running(pid.clone()),
            Status::Restarting { .. } => ChildState::Restarting,
        }
    }
}

/// A table of children with an index for each way in which a child is looked up: every operation is O(log n).
///
/// Invariants: each slot has one place and each place one slot; `ids` names exactly the static children;
/// `pids` names exactly the running ones and `formers` those that wait for a restart and have run before.
#[derive(Clone, Debug)]
pub(crate) struct Children<P> {
    slots: BTreeMap<Key, Slot<P>>,
    order: BTreeMap<u64, Key>,
    ids: BTreeMap<ChildId, Key>,
    pids: BTreeMap<P, Key>,
    formers: BTreeMap<P, Key>,
    next_place: u64,
}

impl<P: Clone + Ord> Children<P> {
    pub(crate) fn new() -> Self {
        Self {
            slots: BTreeMap::new(),
            order: BTreeMap::new(),
            ids: BTreeMap::new(),
            pids: BTreeMap::new(),
            formers: BTreeMap::new(),
            next_place: 0,
        }
    }

    /// Adds a child that does not run, as the last in start order.
    pub(crate) fn add(&mut self, key: Key, spec: Arc<ChildSpec>, dynamic: bool) {
        let place = self.next_place;
        self.next_place += 1;
        if !dynamic {
            self.ids.insert(spec.id().clone(), key);
        }
        self.order.insert(place, key);
        self.slots.insert(key, Slot { spec, dynamic, kept: true, status: Status::Stopped, place });
    }

    /// Takes a child out. The caller has seen to its process and its timer.
    pub(crate) fn remove(&mut self, key: Key) -> Option<Slot<P>> {
        self.set(key, Status::Stopped);
        let slot = self.slots.remove(&key)?;
        self.order.remove(&slot.place);
        if !slot.dynamic {
            self.ids.remove(slot.spec.id());
        }
        Some(slot)
    }

    /// Sets the status and answers the one before.
    pub(crate) fn set(&mut self, key: Key, status: Status<P>) -> Option<Status<P>> {
        let slot = self.slots.get_mut(&key)?;
        match &slot.status {
            Status::Running(pid) => self.pids.remove(pid),
            Status::Restarting { former: Some(pid), .. } => self.formers.remove(pid),
            _ => None,
        };
        match &status {
            Status::Running(pid) => self.pids.insert(pid.clone(), key),
            Status::Restarting { former: Some(pid), .. } => self.formers.insert(pid.clone(), key),
            _ => None,
        };
        Some(core::mem::replace(&mut slot.status, status))
    }

    pub(crate) fn get(&self, key: Key) -> Option<&Slot<P>> {
        self.slots.get(&key)
    }

    /// Marks that the driver no longer keeps the start data. `true` if it did.
    pub(crate) fn release(&mut self, key: Key) -> bool {
        self.slots.get_mut(&key).is_some_and(|slot| core::mem::replace(&mut slot.kept, false))
    }

    pub(crate) fn by_id(&self, id: &ChildId) -> Option<Key> {
        self.ids.get(id).copied()
    }

    pub(crate) fn by_pid(&self, pid: &P) -> Option<Key> {
        self.pids.get(pid).copied()
    }

    pub(crate) fn pids(&self) -> impl Iterator<Item = &P> {
        self.pids.keys()
    }

    /// The child that runs as this process, or ran as it and waits for a restart.
    pub(crate) fn by_pid_or_former(&self, pid: &P) -> Option<Key> {
        self.by_pid(pid).or_else(|| self.formers.get(pid).copied())
    }

    /// All children in start order.
    pub(crate) fn keys(&self) -> impl DoubleEndedIterator<Item = Key> + '_ {
        self.order.values().copied()
    }

    /// This child and all that start after it, in start order.
    pub(crate) fn keys_from(&self, key: Key) -> Vec<Key> {
        match self.slots.get(&key) {
            Some(slot) => self.order.range(slot.place..).map(|(_, key)| *key).collect(),
            None => Vec::new(),
        }
    }

    /// All children in start order.
    pub(crate) fn slots(&self) -> impl DoubleEndedIterator<Item = (Key, &Slot<P>)> + '_ {
        self.order.values().filter_map(|key| Some((*key, self.slots.get(key)?)))
    }

    pub(crate) fn len(&self) -> usize {
        self.slots.len()
    }

    pub(crate) fn running(&self) -> usize {
        self.pids.len()
    }

    /// Puts these children first, in this order; the others follow as they were.
    pub(crate) fn reorder(&mut self, first: &[Key]) {
        let moved: BTreeSet<Key> = first.iter().copied().collect();
        let old: Vec<Key> = self.keys().filter(|key| !moved.contains(key)).collect();
        self.order.clear();
        self.next_place = 0;
        for key in first.iter().copied().chain(old) {
            if let Some(slot) = self.slots.get_mut(&key) {
                slot.place = self.next_place;
                self.order.insert(slot.place, key);
                self.next_place += 1;
            }
        }
    }

    /// Gives a child another specification, with start data that the driver keeps from now on.
    pub(crate) fn respecify(&mut self, key: Key, spec: Arc<ChildSpec>) {
        if let Some(slot) = self.slots.get_mut(&key) {
            slot.spec = spec;
            // The template's new start function is not the child's arguments: those are kept or gone as
            // before.
            slot.kept |= !slot.dynamic;
        }
    }

    /// The first invariant of the table that does not hold.
    pub(crate) fn broken(&self) -> Option<&'static str> {
        let holds = |count: usize, wanted: fn(&Slot<P>) -> bool| {
            self.slots.values().filter(|slot| wanted(slot)).count() == count
        };
        if self.order.len() != self.slots.len()
            || self.slots().any(|(key, slot)| self.order.get(&slot.place) != Some(&key))
        {
            return Some("each child has one place in the start order");
        }
        if !holds(self.ids.len(), |slot| !slot.dynamic)
            || self.ids.iter().any(|(id, key)| self.slots.get(key).is_none_or(|slot| slot.spec.id() != id))
        {
            return Some("the ids name the static children");
        }
        if !holds(self.pids.len(), |slot| matches!(slot.status, Status::Running(_)))
            || self.pids.iter().any(|(pid, key)| {
                self.slots
                    .get(key)
                    .is_none_or(|slot| !matches!(&slot.status, Status::Running(running) if running == pid))
            })
        {
            return Some("the pids name the running children");
        }
        if !holds(self.formers.len(), |slot| {
            matches!(slot.status, Status::Restarting { former: Some(_), .. })
        }) {
            return Some("the former pids name the children that wait for a restart");
        }
        None
    }
}
