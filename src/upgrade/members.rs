//! Who takes part in an upgrade, and with what.

use std::sync::Arc;

use super::error::UpgradeError;
use super::order::callers_first;
use super::plan::{Step, Update};
use super::source::CodeSource;
use crate::gen_server::Code;
use crate::handoff::{Capsule, ChangeError, ModuleVsn};
use crate::process::{AnyCode, AnyProcess, Core, Node, Successor};
use crate::term::{Pid, Term};

/// The change of one module, with the code for it.
#[derive(Clone)]
pub(super) struct Change {
    pub(super) from: Code,
    pub(super) to: Code,
    extra: Term,
}

/// A process that is to be changed.
pub(super) struct Member {
    pub(super) process: Arc<dyn AnyProcess>,
    /// Which of the changes is its own.
    pub(super) change: usize,
}

impl Member {
    pub(super) fn pid(&self) -> Pid {
        self.process.core().pid()
    }
}

impl Change {
    /// The code of both versions, if one leads to the other.
    pub(super) fn of(update: &Update, source: &dyn CodeSource, extra: Term) -> Result<Self, UpgradeError> {
        let open = |vsn| -> Result<Code, UpgradeError> {
            Ok(source.open(&ModuleVsn::named(update.module.clone(), vsn).map_err(UpgradeError::Module)?)?)
        };
        let (from, to) = (open(update.from)?, open(update.to)?);
        if from.shape() != to.shape() {
            return Err(UpgradeError::Unlike { from: from.id(), to: to.id() });
        }
        let newer = if update.from <= update.to { &to } else { &from };
        let understood = newer.understood();
        if !understood.contains(&update.from) || !understood.contains(&update.to) {
            let understood = format!("{} to {}", understood.start(), understood.end());
            return Err(UpgradeError::NoWay { from: from.id(), to: to.id(), understood });
        }
        Ok(Change { from, to, extra })
    }

    /// Whether it does. A module of which no version was put in force is what its processes are.
    pub(super) fn starts_from_what_is_in_force(&self, node: &Node) -> Result<(), UpgradeError> {
        let current = node.codes().current(self.from.id().module());
        let current = current.as_ref().and_then(|current| current.downcast_ref::<Code>()).map(Code::id);
        match current.filter(|current| *current != self.from.id()) {
            Some(found) => Err(UpgradeError::WrongCurrent { found, wanted: self.from.id() }),
            None => Ok(()),
        }
    }

    /// What it leads to, as the node keeps it.
    pub(super) fn to_come(&self) -> AnyCode {
        Arc::new(self.to.clone())
    }

    /// The new incarnation for a process with this state, which stays as it is.
    pub(super) fn convert(&self, state: &Capsule) -> Result<Successor, ChangeError> {
        let (from, to) = (self.from.id(), self.to.id());
        if from.vsn() <= to.vsn() {
            return self.to.upgrade(state, from.vsn(), &self.extra);
        }
        // Only the newer version knows the way back.
        let state = self.from.downgrade(state, &to, &self.extra)?;
        self.to.upgrade(&state, from.vsn(), &self.extra)
    }
}

/// The changes that the steps ask for, callers first, with the code for each.
pub(super) fn changes(
    steps: &[Step],
    node: &Node,
    source: &dyn CodeSource,
) -> Result<Vec<Change>, UpgradeError> {
    let mut updates: Vec<Update> = Vec::new();
    for step in steps {
        match step {
            Step::Load { module } => _ = source.open(module)?,
            Step::Update(update) if updates.iter().any(|other| other.module == update.module) => {
                return Err(UpgradeError::Twice(update.module.clone()));
            }
            Step::Update(update) => updates.push(update.clone()),
            // Those of `tree.rs`.
            _ => {}
        }
    }
    callers_first(&updates).into_iter().map(|at| change(&updates[at], node, source)).collect()
}

fn change(update: &Update, node: &Node, source: &dyn CodeSource) -> Result<Change, UpgradeError> {
    let extra = update.extra.term();
    let extra = extra
        .map_err(|error| UpgradeError::Extra { module: update.module.clone(), why: error.to_string() })?;
    let change = Change::of(update, source, extra)?;
    change.starts_from_what_is_in_force(node)?;
    Ok(change)
}

/// What was started in the version to come, under the hold of a plan that has not come to that.
pub(super) fn newcomers(node: &Node, changes: &[Change], since: u64) -> Vec<Pid> {
    let to_come: Vec<ModuleVsn> = changes.iter().map(|change| change.to.id()).collect();
    let is_new = |core: &Core| core.id() > since && core.code().is_some_and(|code| to_come.contains(&code));
    let found = node.table().all().into_iter().filter(|process| is_new(process.core()));
    found.map(|process| process.core().pid()).collect()
}

/// After so many processes others run.
const BURST: usize = 256;

/// Called for each of many processes: now and then others have the thread.
pub(super) async fn let_others_run(done: usize) {
    if done % BURST == BURST - 1 {
        tokio::task::yield_now().await;
    }
}

/// All processes of the modules, in the order of the changes, oldest first within each.
pub(super) async fn members(node: &Node, changes: &[Change]) -> Result<Vec<Member>, UpgradeError> {
    let modules: Vec<ModuleVsn> = changes.iter().map(|change| change.from.id()).collect();
    let mut members = Vec::new();
    let mut last = (0, None);
    for (at, process) in node.table().all().into_iter().enumerate() {
        let_others_run(at).await;
        // Neighbours in age mostly run the same.
        let code = process.core().code_id();
        if code != last.0 {
            last = (code, process.core().code());
        }
        let Some(found) = &last.1 else { continue };
        let Some(change) = modules.iter().position(|wanted| wanted.module() == found.module()) else {
            continue;
        };
        if *found != modules[change] {
            let (pid, wanted) = (process.core().pid(), modules[change].clone());
            return Err(UpgradeError::WrongVersion { pid, found: found.clone(), wanted });
        }
        members.push(Member { process, change });
    }
    members.sort_by_key(|member| member.change);
    Ok(members)
}
