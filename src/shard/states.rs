//! The states of a shard's processes, as a copy keeps them: bytes, each of a version that stands beside it.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use incarnate_shards::{Contents, Lossy, Unreadable};
use serde::{Deserialize, Serialize};

use super::address::{Address, Blob, Body};
use super::kind::Kinds;

/// So many processes are named of those that have something in common.
const NAMED: usize = 16;

/// The state of one process: what it was at some time, and what has become of it since.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Kept {
    /// The version of all of these bytes.
    pub(crate) vsn: u32,
    pub(crate) base: Blob,
    pub(crate) deltas: Vec<Blob>,
}

impl Kept {
    /// Whether what has become of it is more than what it was: then it is written anew.
    fn is_long(&self) -> bool {
        self.deltas.iter().map(|delta| delta.len() + 8).sum::<usize>() > self.base.len().max(256)
    }
}

/// What a message has done to a state.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct StateChange {
    pub(crate) of: Address,
    pub(crate) to: Becomes,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Becomes {
    /// This.
    Whole { vsn: u32, state: Blob },
    /// What it was, with these done to it.
    More { vsn: u32, deltas: Vec<Blob> },
    /// Nothing: it is forgotten.
    Gone,
}

#[derive(Clone)]
pub(crate) struct States {
    kinds: Arc<Kinds>,
    all: BTreeMap<Address, Kept>,
}

impl States {
    pub(crate) fn new(kinds: Arc<Kinds>) -> Self {
        States { kinds, all: BTreeMap::new() }
    }

    pub(crate) fn get(&self, of: &Address) -> Option<&Kept> {
        self.all.get(of)
    }

    /// Of which processes.
    pub(crate) fn all(&self) -> impl Iterator<Item = &Address> {
        self.all.keys()
    }

    pub(crate) fn len(&self) -> usize {
        self.all.len()
    }

    /// The first few processes whose states cannot be said in the bytes of a release.
    pub(crate) fn unsayable(&self, wire: u32) -> Vec<String> {
        let says = |of: &Address, kept: &Kept| {
            let wanted = self.kinds.version_at(of.kind(), wire);
            wanted.is_some_and(|wanted| {
                kept.vsn == wanted || self.kinds.fold(of.kind(), kept, &[], wanted).is_ok()
            })
        };
        let unsayable = self.all.iter().filter(|(of, kept)| !says(of, kept));
        unsayable.take(NAMED).map(|(of, _)| of.to_string()).collect()
    }

    /// How many bytes the states have.
    pub(crate) fn bytes(&self) -> u64 {
        let one = |kept: &Kept| kept.base.len() + kept.deltas.iter().map(|delta| delta.len()).sum::<usize>();
        self.all.values().map(|kept| one(kept) as u64).sum()
    }
}

impl Contents for States {
    type Change = StateChange;
    type Delta = StateChange;
    type Whole = Vec<(Address, Kept)>;
    type Body = Body;
    type Key = Address;

    fn scope(delta: &StateChange) -> Option<(&Address, bool)> {
        Some((&delta.of, !matches!(delta.to, Becomes::More { .. })))
    }

    fn encode(&self, change: &StateChange, wire: u32) -> Result<StateChange, Lossy> {
        let of = &change.of;
        let to = |to| Ok(StateChange { of: of.clone(), to });
        let wanted = || self.kinds.version_at(of.kind(), wire).ok_or(Lossy);
        let folded = |kept: &Kept, more: &[Blob]| {
            let vsn = wanted()?;
            let state = self.kinds.fold(of.kind(), kept, more, vsn).map_err(|_| Lossy)?;
            to(Becomes::Whole { vsn, state })
        };
        match &change.to {
            Becomes::Gone => Ok(change.clone()),
            Becomes::Whole { vsn, .. } if *vsn == wanted()? => Ok(change.clone()),
            Becomes::Whole { vsn, state } => {
                folded(&Kept { vsn: *vsn, base: state.clone(), deltas: Vec::new() }, &[])
            }
            Becomes::More { vsn, deltas } => match self.all.get(of).ok_or(Lossy)? {
                kept if kept.vsn == *vsn && *vsn == wanted()? && !kept.is_long() => Ok(change.clone()),
                kept => folded(kept, deltas),
            },
        }
    }

    fn apply(&mut self, delta: &StateChange, _: u32) -> Result<(), Unreadable> {
        match &delta.to {
            Becomes::Whole { vsn, state } => {
                let kept = Kept { vsn: *vsn, base: state.clone(), deltas: Vec::new() };
                self.all.insert(delta.of.clone(), kept);
            }
            Becomes::More { vsn, deltas } => {
                let kept = self.all.get_mut(&delta.of).filter(|kept| kept.vsn == *vsn);
                kept.ok_or(Unreadable)?.deltas.extend_from_slice(deltas);
            }
            Becomes::Gone => drop(self.all.remove(&delta.of)),
        }
        Ok(())
    }

    fn whole(&self, wire: u32) -> Result<Vec<(Address, Kept)>, Lossy> {
        let one = |(of, kept): (&Address, &Kept)| {
            let wanted = self.kinds.version_at(of.kind(), wire).ok_or(Lossy)?;
            if kept.vsn == wanted {
                return Ok((of.clone(), kept.clone()));
            }
            let base = self.kinds.fold(of.kind(), kept, &[], wanted).map_err(|_| Lossy)?;
            Ok((of.clone(), Kept { vsn: wanted, base, deltas: Vec::new() }))
        };
        self.all.iter().map(one).collect()
    }

    fn read(&self, whole: &Vec<(Address, Kept)>, _: u32) -> Result<Self, Unreadable> {
        Ok(States { kinds: self.kinds.clone(), all: whole.iter().cloned().collect() })
    }
}

impl PartialEq for States {
    fn eq(&self, other: &Self) -> bool {
        self.all == other.all
    }
}

impl Eq for States {}

impl fmt::Debug for States {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_map().entries(&self.all).finish()
    }
}
