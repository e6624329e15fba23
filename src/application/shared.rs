//! What a node knows of its applications: read by everybody, written by the controller.

use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock, RwLockReadGuard};

use tokio::sync::watch;

use super::config::{Configured, Sources};
use super::hosted::App;
use super::machine::AppName;
use crate::process::{Group, Node, Timeout};

/// One that is loaded.
pub(super) struct Loaded {
    pub(super) app: App,
    pub(super) config: Configured,
    /// The number that its processes carry.
    pub(super) group: Group,
}

/// Called before the node stops.
pub(super) type ShutdownFunc = Box<dyn FnOnce() + Send>;

/// How the node's stop goes.
pub(super) struct Settings {
    pub(super) sources: Arc<Sources>,
    /// How long an application may take to end while the node stops.
    pub(super) shutdown_timeout: Timeout,
    pub(super) shutdown_func: Option<ShutdownFunc>,
    /// Why the node stops, if an application is the cause.
    pub(super) cause: Option<String>,
}

/// How far the node is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Phase {
    Up,
    Stopping,
    /// With this code.
    Stopped(u8),
}

pub(super) struct Shared {
    loaded: RwLock<BTreeMap<AppName, Arc<Loaded>>>,
    /// The name behind each number, from 1; a name keeps its number.
    groups: RwLock<Vec<AppName>>,
    settings: Mutex<Settings>,
    phase: watch::Sender<Phase>,
}

impl Shared {
    fn new() -> Self {
        Shared {
            loaded: RwLock::default(),
            groups: RwLock::default(),
            settings: Mutex::new(Settings {
                sources: Arc::default(),
                shutdown_timeout: Timeout::Infinity,
                shutdown_func: None,
                cause: None,
            }),
            phase: watch::Sender::new(Phase::Up),
        }
    }

    /// That of this node, made when it is first asked for.
    pub(super) fn of(node: &Node) -> Arc<Shared> {
        node.extension(Shared::new)
    }

    pub(super) fn settings(&self) -> MutexGuard<'_, Settings> {
        self.settings.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn loaded(&self) -> RwLockReadGuard<'_, BTreeMap<AppName, Arc<Loaded>>> {
        self.loaded.read().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn get(&self, name: &str) -> Option<Arc<Loaded>> {
        self.loaded().get(name).cloned()
    }

    pub(super) fn all(&self) -> Vec<Arc<Loaded>> {
        self.loaded().values().cloned().collect()
    }

    /// The number of an application, given when it is first loaded; `None`: there are no more.
    pub(super) fn number(&self, name: AppName) -> Option<Group> {
        let mut groups = self.groups.write().unwrap_or_else(PoisonError::into_inner);
        let known = groups.iter().position(|known| *known == name);
        let number = Group::try_from(known.unwrap_or(groups.len()) + 1).ok()?;
        if known.is_none() {
            groups.push(name);
        }
        Some(number)
    }

    /// The application that processes with this number belong to.
    pub(super) fn named(&self, group: Group) -> Option<AppName> {
        let groups = self.groups.read().unwrap_or_else(PoisonError::into_inner);
        usize::from(group).checked_sub(1).and_then(|at| groups.get(at).copied())
    }

    pub(super) fn insert(&self, loaded: Loaded) {
        let name = loaded.app.spec().name();
        let former =
            self.loaded.write().unwrap_or_else(PoisonError::into_inner).insert(name, Arc::new(loaded));
        drop(former);
    }

    pub(super) fn remove(&self, name: &str) {
        let former = self.loaded.write().unwrap_or_else(PoisonError::into_inner).remove(name);
        drop(former);
    }

    /// The node has come to this phase, from an earlier one.
    pub(super) fn enter(&self, phase: Phase) {
        self.phase.send_if_modified(|now| {
            let later = !matches!(now, Phase::Stopped(_)) && *now != phase;
            if later {
                *now = phase;
            }
            later
        });
    }

    /// The node begins to stop: the function that wants to know is called, once.
    pub(super) fn begin_stop(&self) {
        self.enter(Phase::Stopping);
        let func = self.settings().shutdown_func.take();
        if let Some(func) = func
            && catch_unwind(AssertUnwindSafe(func)).is_err()
        {
            tracing::error!(target: "incarnate::application", "shutdown_func panicked");
        }
    }

    pub(super) fn phase(&self) -> Phase {
        *self.phase.borrow()
    }

    /// Waits until the node is in such a phase.
    pub(super) async fn until(&self, mut wanted: impl FnMut(Phase) -> bool) -> Phase {
        let mut receiver = self.phase.subscribe();
        // The sender is here, so the wait has no other end.
        let phase = receiver.wait_for(|phase| wanted(*phase)).await.map(|phase| *phase);
        phase.unwrap_or(Phase::Stopped(1))
    }
}
