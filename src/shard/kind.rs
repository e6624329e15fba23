//! What is known of a type of keyed processes: registered when the shards of a node start.

use std::any::TypeId;
use std::collections::BTreeMap;
use std::fmt;
use std::marker::PhantomData;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, OnceLock, Weak};
use std::time::Duration;

use incarnate_shards::Mode;

use super::address::Blob;
use super::keyed::Keyed;
use super::life::{Seed, Work, live};
use super::shared::Shared;
use super::states::Kept;
use crate::handoff::{self, ChangeError};
use crate::process::{Node, ProcessRef, wire};
use crate::term::{ExitReason, Never, Term};

/// A type of keyed processes, as a node has it: its newest version here, what its answers mean, its limits.
#[derive(Clone)]
pub struct Kind {
    code: Arc<dyn Code>,
    pub(super) mode: Mode,
    pub(super) idle: Duration,
    pub(super) bound: usize,
}

impl Kind {
    /// The type `K`, of which an answer means what the mode says. Idle for a minute a process falls back to its state; a
    /// thousand messages may wait for one.
    pub fn of<K: Keyed>(mode: Mode) -> Self {
        Kind { code: Arc::new(Of::<K>(PhantomData)), mode, idle: Duration::from_secs(60), bound: 1000 }
    }

    /// After so long without a message a process falls back to its state, which the next message wakes.
    pub fn idle_after(self, idle: Duration) -> Self {
        Kind { idle, ..self }
    }

    /// At most so many messages wait for one process; one more is refused with [`CallError::Overloaded`](crate::CallError).
    pub fn mailbox_bound(self, bound: usize) -> Self {
        Kind { bound, ..self }
    }

    /// Its name in a [`Key`](super::Key).
    pub fn name(&self) -> &'static str {
        self.code.name()
    }

    /// The versions of its state that are known here.
    pub fn versions(&self) -> Vec<u32> {
        self.code.versions()
    }

    pub(super) fn start(&self, node: &Node, seed: Seed) -> ProcessRef<Work> {
        self.code.start(node, seed)
    }
}

impl fmt::Debug for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Kind({}, versions {:?}, {:?})", self.name(), self.versions(), self.mode)
    }
}

/// All types that a node knows.
#[derive(Default)]
pub(crate) struct Kinds {
    all: BTreeMap<&'static str, Kind>,
    /// On whose behalf states are read and written.
    shared: OnceLock<Weak<Shared>>,
}

impl Kinds {
    /// Answers the one that has its name already.
    pub(super) fn add(&mut self, kind: Kind) -> Result<(), Kind> {
        match self.all.insert(kind.name(), kind) {
            None => Ok(()),
            Some(before) => Err(before),
        }
    }

    pub(super) fn belong(&self, shared: &Arc<Shared>) {
        let _first = self.shared.set(Arc::downgrade(shared));
    }

    pub(super) fn get(&self, name: &str) -> Option<&Kind> {
        self.all.get(name)
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &Kind> {
        self.all.values()
    }

    /// The version that states of a type have in bytes of this release: the newest that came in with it or before.
    pub(super) fn version_at(&self, name: &str, wire: u32) -> Option<u32> {
        self.get(name)?.versions().into_iter().rev().find(|vsn| *vsn <= wire)
    }

    /// A state with what has become of it, and this, in one piece of version `wanted`.
    pub(super) fn fold(
        &self,
        name: &str,
        kept: &Kept,
        more: &[Blob],
        wanted: u32,
    ) -> Result<Blob, ChangeError> {
        let unknown =
            || ChangeError::UnknownVersion { module: None, found: kept.vsn, understood: Vec::new() };
        let kind = self.get(name).ok_or_else(unknown)?;
        let shared = self.shared.get().and_then(Weak::upgrade);
        let fold = || match &shared {
            Some(shared) => shared.keyed(None, || kind.code.fold(kept, more, wanted)),
            None => kind.code.fold(kept, more, wanted),
        };
        catch_unwind(AssertUnwindSafe(fold))
            .unwrap_or_else(|panic| Err(ChangeError::Panicked(ExitReason::panic(&*panic).to_string())))
    }
}

impl fmt::Debug for Kinds {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.all.values()).finish()
    }
}

trait Code: Send + Sync {
    fn name(&self) -> &'static str;
    fn versions(&self) -> Vec<u32>;
    fn fold(&self, kept: &Kept, more: &[Blob], wanted: u32) -> Result<Blob, ChangeError>;
    fn start(&self, node: &Node, seed: Seed) -> ProcessRef<Work>;
}

struct Of<K>(PhantomData<fn() -> K>);

impl<K: Keyed> Code for Of<K> {
    fn name(&self) -> &'static str {
        K::KIND
    }

    fn versions(&self) -> Vec<u32> {
        handoff::versions::<K>()
    }

    fn fold(&self, kept: &Kept, more: &[Blob], wanted: u32) -> Result<Blob, ChangeError> {
        let mut state = load::<K>(kept)?;
        apply(&mut state, K::VSN, more)?;
        let state = handoff::downgrade(state, wanted, &Term::nil())?;
        Ok(state.as_bytes().into())
    }

    fn start(&self, node: &Node, seed: Seed) -> ProcessRef<Work> {
        node.spawn(move |me| live::<K>(me, seed))
    }
}

/// Whether a type tells copies of changes instead of states.
pub(super) fn tells_changes<K: Keyed>() -> bool {
    TypeId::of::<K::Delta>() != TypeId::of::<Never>()
}

/// A state that was kept, as one of this type.
pub(super) fn load<K: Keyed>(kept: &Kept) -> Result<K, ChangeError> {
    let base = Term::from_bytes(&kept.base[..]);
    let mut state: K = handoff::upgrade(kept.vsn, &base, &Term::nil())?;
    apply(&mut state, kept.vsn, &kept.deltas)?;
    Ok(state)
}

/// What has become of a state. Changes are those of the version that is in use: another one writes the whole anew.
fn apply<K: Keyed>(state: &mut K, vsn: u32, deltas: &[Blob]) -> Result<(), ChangeError> {
    for delta in deltas {
        if vsn != K::VSN {
            return Err(ChangeError::NoWay { from: vsn, to: K::VSN });
        }
        let delta = wire::decode(delta).map_err(|why| ChangeError::Undecodable { vsn, why })?;
        state.apply(delta);
    }
    Ok(())
}
