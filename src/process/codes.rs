//! Which version of each module is in force on a node, and who may start one now.
//!
//! Invariants:
//! - while a module is held nobody starts it: who asks waits until it is released, and then starts the version that is in
//!   force by then. The holder may give a pass to one process: while that does what it has the pass for, it starts the
//!   version that is to come, and so does what it has started meanwhile;
//! - a hold is granted when no start is under way between having been admitted and being in the table, so that whoever
//!   holds a module finds all its processes there.

use std::any::Any;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use rustc_hash::FxHashMap;
use tokio::sync::Notify;

use super::cell::Process;
use super::node::Node;
use crate::handoff::ModuleVsn;
use crate::term::Pid;

/// A version of a module, as those who put it here know it.
pub(crate) type AnyCode = Arc<dyn Any + Send + Sync>;

/// The name of the type that a version is.
pub(crate) type Kind = fn() -> &'static str;

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
    ids: Vec<(ModuleVsn, Kind)>,
}

#[derive(Default)]
struct Module {
    /// `None`: none was changed yet, so that each start says itself which version it is.
    current: Option<AnyCode>,
    held: bool,
    /// Who starts it although it is held.
    let_in: Option<LetIn>,
    starting: usize,
}

/// Which process may, by its number, and the version that it starts.
struct LetIn {
    host: u64,
    pass: Pass,
    code: AnyCode,
}

/// Whether the host does now what it was let in for: since which process was started by it. `MAX`: it does not.
#[derive(Clone, Debug)]
pub(crate) struct Pass(Arc<AtomicU64>);

/// While it is there, the pass holds.
pub(crate) struct Within<'a>(&'a Pass);

impl Drop for Within<'_> {
    fn drop(&mut self) {
        self.0.0.store(u64::MAX, Ordering::Release);
    }
}

impl Pass {
    /// The host begins what it was let in for.
    pub(crate) fn enter(&self, node: &Node) -> Within<'_> {
        // A number that no process has: those to come have higher ones.
        self.0.store(node.next_process_id(), Ordering::Release);
        Within(self)
    }
}

impl LetIn {
    /// Whether the starter is the host, or was started by it since it was let in, or by one of those.
    fn is_for(&self, mut starter: Arc<dyn Process>) -> bool {
        let since = self.pass.0.load(Ordering::Acquire);
        loop {
            let core = starter.core();
            if core.id() == self.host || core.id() < since {
                return core.id() == self.host && since != u64::MAX;
            }
            let Some(parent) = core.parent().and_then(|parent| core.node().find(parent)) else {
                return false;
            };
            starter = parent;
        }
    }
}

/// The right to start a process of a module; dropped when the process is in the table.
pub(crate) struct Admission<'a> {
    codes: &'a Codes,
    module: Arc<str>,
    /// The version to start.
    pub(crate) code: Option<AnyCode>,
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
    node: Node,
    modules: Vec<Arc<str>>,
}

impl Drop for Hold {
    fn drop(&mut self) {
        self.each(|_, module| {
            module.held = false;
            module.let_in = None;
        });
        // Of what was only held nothing is to be known.
        let is_known = |module: &Module| module.held || module.starting > 0 || module.current.is_some();
        self.node.codes().state().modules.retain(|_, module| is_known(module));
    }
}

/// While it is there, a process may start what is held when it has the pass.
pub(crate) struct Leave<'a> {
    hold: &'a Hold,
    pub(crate) pass: Pass,
}

impl Drop for Leave<'_> {
    fn drop(&mut self) {
        self.hold.each(|_, module| module.let_in = None);
    }
}

impl Hold {
    /// Makes a pass with which a process, and what it starts meanwhile, may start of each module the version that is to come.
    pub(crate) fn let_in(&self, host: Pid, to_come: impl Fn(&str) -> Option<AnyCode>) -> Leave<'_> {
        let pass = Pass(Arc::new(AtomicU64::new(u64::MAX)));
        self.each(|name, module| {
            let let_in = |code| LetIn { host: host.id(), pass: pass.clone(), code };
            module.let_in = to_come(name).map(let_in);
        });
        Leave { hold: self, pass }
    }

    fn each(&self, change: impl Fn(&str, &mut Module)) {
        let codes = self.node.codes();
        let mut state = codes.state();
        for name in &self.modules {
            if let Some(module) = state.modules.get_mut(name) {
                change(name, module);
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

    /// Waits until the module may be started by this process, or by none.
    pub(crate) async fn admit(&self, module: &str, starter: Option<&Arc<dyn Process>>) -> Admission<'_> {
        loop {
            let changed = self.changed.notified();
            if let Some(admission) = self.try_admit(module, starter) {
                return admission;
            }
            changed.await;
        }
    }

    fn try_admit(&self, module: &str, starter: Option<&Arc<dyn Process>>) -> Option<Admission<'_>> {
        let mut state = self.state();
        let name = state.name(module);
        let entry = state.modules.entry(name.clone()).or_default();
        let code = match &entry.let_in {
            _ if !entry.held => entry.current.clone(),
            Some(let_in) if starter.is_some_and(|starter| let_in.is_for(starter.clone())) => {
                Some(let_in.code.clone())
            }
            _ => return None,
        };
        entry.starting += 1;
        Some(Admission { codes: self, module: name, code })
    }

    /// The number of a module and version, which is of this kind. 0: there are 65,535 others.
    pub(crate) fn id(&self, code: &ModuleVsn, kind: Kind) -> CodeId {
        let mut state = self.state();
        let at = state.ids.iter().position(|(known, _)| known == code).unwrap_or_else(|| {
            state.ids.push((code.clone(), kind));
            state.ids.len() - 1
        });
        CodeId::try_from(at + 1).unwrap_or(0)
    }

    /// The kind behind a number.
    pub(crate) fn kind(&self, id: CodeId) -> Option<Kind> {
        self.state().ids.get(usize::from(id).checked_sub(1)?).map(|(_, kind)| *kind)
    }

    /// The module and version behind a number.
    pub(crate) fn named(&self, id: CodeId) -> Option<ModuleVsn> {
        self.state().ids.get(usize::from(id).checked_sub(1)?).map(|(code, _)| code.clone())
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

impl Node {
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
