//! Which version of each module is in force on a node, and who may start one now.
//!
//! Invariants:
//! - while a module is held nobody starts it: who asks waits until it is released, and then starts the version that is in
//!   force by then;
//! - a hold is granted when no start is under way between having been admitted and being in the table, so that whoever
//!   holds a module finds all its processes there.

use std::any::Any;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use rustc_hash::FxHashMap;
use tokio::sync::Notify;

use crate::handoff::ModuleVsn;

/// A version of a module, as those who put it here know it.
pub(crate) type AnyCode = Arc<dyn Any + Send + Sync>;

/// A number for a module and version: what a process keeps instead of the two. 0 is none.
pub(crate) type CodeId = u16;

#[derive(Default)]
pub(crate) struct Codes {
    state: Mutex<State>,
    /// A hold was released, or a start is in the table.
    changed: Notify,
}

#[derive(Default)]
struct State {
    modules: FxHashMap<Arc<str>, Module>,
    ids: Vec<ModuleVsn>,
}

#[derive(Default)]
struct Module {
    /// `None`: none was changed yet, so that each start says itself which version it is.
    current: Option<AnyCode>,
    held: bool,
    starting: usize,
}

/// The right to start a process of a module; dropped when the process is in the table.
pub(crate) struct Admission<'a> {
    codes: &'a Codes,
    module: Arc<str>,
    /// The version in force.
    pub(crate) current: Option<AnyCode>,
}

impl Drop for Admission<'_> {
    fn drop(&mut self) {
        if let Some(module) = self.codes.state().modules.get_mut(&self.module) {
            module.starting -= 1;
        }
        self.codes.changed.notify_waiters();
    }
}

/// Modules that nobody may start; released when dropped.
pub(crate) struct Hold {
    node: super::Node,
    modules: Vec<Arc<str>>,
}

impl Drop for Hold {
    fn drop(&mut self) {
        let codes = self.node.codes();
        let mut state = codes.state();
        for module in &self.modules {
            if let Some(module) = state.modules.get_mut(module) {
                module.held = false;
            }
        }
        drop(state);
        codes.changed.notify_waiters();
    }
}

impl Codes {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits until the module may be started.
    pub(crate) async fn admit(&self, module: &str) -> Admission<'_> {
        loop {
            let changed = self.changed.notified();
            if let Some(admission) = self.try_admit(module) {
                return admission;
            }
            changed.await;
        }
    }

    fn try_admit(&self, module: &str) -> Option<Admission<'_>> {
        let mut state = self.state();
        let name = state.name(module);
        let entry = state.modules.entry(name.clone()).or_default();
        if entry.held {
            return None;
        }
        entry.starting += 1;
        Some(Admission { codes: self, module: name, current: entry.current.clone() })
    }

    /// The number of a module and version. `None`: there are 65,535 others.
    pub(crate) fn id(&self, code: &ModuleVsn) -> Option<CodeId> {
        let mut state = self.state();
        let at = state.ids.iter().position(|known| known == code).unwrap_or_else(|| {
            state.ids.push(code.clone());
            state.ids.len() - 1
        });
        CodeId::try_from(at + 1).ok()
    }

    /// The module and version behind a number.
    pub(crate) fn named(&self, id: CodeId) -> Option<ModuleVsn> {
        self.state().ids.get(usize::from(id).checked_sub(1)?).cloned()
    }

    /// The version in force, if one was ever put in force.
    pub(crate) fn current(&self, module: &str) -> Option<AnyCode> {
        self.state().modules.get(module)?.current.clone()
    }

    /// Puts a version in force: what starts from now on is that. Answers the former.
    pub(crate) fn put(&self, module: &str, code: Option<AnyCode>) -> Option<AnyCode> {
        let mut state = self.state();
        let name = state.name(module);
        std::mem::replace(&mut state.modules.entry(name).or_default().current, code)
    }
}

impl State {
    fn name(&self, module: &str) -> Arc<str> {
        self.modules.get_key_value(module).map_or_else(|| module.into(), |(name, _)| name.clone())
    }
}

impl super::Node {
    /// Has nobody start these modules until the hold is dropped. `None`: one of them is held already.
    pub(crate) async fn hold(&self, modules: &[Arc<str>]) -> Option<Hold> {
        let codes = self.codes();
        {
            let mut state = codes.state();
            if modules.iter().any(|module| state.modules.get(module).is_some_and(|module| module.held)) {
                return None;
            }
            for module in modules {
                state.modules.entry(module.clone()).or_default().held = true;
            }
        }
        let hold = Hold { node: self.clone(), modules: modules.to_vec() };
        loop {
            let changed = codes.changed.notified();
            let starting = {
                let state = codes.state();
                modules.iter().any(|module| state.modules.get(module).is_some_and(|m| m.starting > 0))
            };
            if !starting {
                return Some(hold);
            }
            changed.await;
        }
    }
}
