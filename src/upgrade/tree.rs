//! The steps that change supervision trees, and how each is undone.

use std::sync::Arc;
use std::time::Duration;

use incarnate_supervisors::{ChildId, Flags, Strategy};
use tokio::time::timeout;

use super::error::UpgradeError;
use super::plan::{ChangeFlags, ChangeStrategy, Place, Step};
use super::run::Job;
use super::source::CodeSource;
use crate::process::{Hold, Node, Pass};
use crate::supervisor::{Member, SupervisorRef, Tree};
use crate::term::Pid;

const LATE: &str = "it has not answered in time: a start function hangs, or a start waits for a process or a module of this plan";

/// A step with all that it needs from the source.
pub(super) struct TreeStep {
    supervisor: String,
    what: What,
}

enum What {
    Add(Member),
    Replace(Member),
    Delete(ChildId),
    Respecify(Member),
    Flags(ChangeFlags),
    Plan(Box<Tree>),
}

/// How a step is undone: children that it started go, the former flags and specifications are in force again, and children
/// that it ended are started.
pub(super) struct Undo {
    name: String,
    supervisor: SupervisorRef,
    former: Tree,
    remove: Vec<ChildId>,
    restart: Vec<ChildId>,
}

/// The steps of a plan that change trees, in their order.
pub(super) fn tree_steps(steps: &[Step], source: &dyn CodeSource) -> Result<Vec<TreeStep>, UpgradeError> {
    let mut found = Vec::new();
    for step in steps {
        let (supervisor, what) = match step {
            Step::Load { .. } | Step::Update(_) => continue,
            Step::AddChild(place) => (&place.supervisor, What::Add(child(place, source)?)),
            Step::ReplaceChild(place) => (&place.supervisor, What::Replace(child(place, source)?)),
            Step::ChangeChild(place) => (&place.supervisor, What::Respecify(child(place, source)?)),
            Step::DeleteChild(place) => (&place.supervisor, What::Delete(place.child.as_str().into())),
            Step::ChangeFlags(flags) => (&flags.supervisor, What::Flags(flags.clone())),
            Step::ChangeSupervisor { supervisor } => {
                let tree = source.tree(supervisor);
                let tree = tree.ok_or_else(|| failed(supervisor, "the source has no tree for it"))?;
                (supervisor, What::Plan(Box::new(tree)))
            }
        };
        found.push(TreeStep { supervisor: supervisor.clone(), what });
    }
    Ok(found)
}

/// Looks whether they can be carried out one after the other, and changes nothing. Answers the supervisors that they are of.
pub(super) async fn check(steps: &[TreeStep], job: &Job) -> Result<Vec<Pid>, UpgradeError> {
    let mut supervisors = Vec::new();
    for (at, step) in steps.iter().enumerate() {
        supervisors.extend(step.check(job, &steps[..at]).await?);
    }
    Ok(supervisors)
}

/// Has no other upgrade change these supervisors: one that is undone would take back what another has done.
pub(super) async fn hold(
    supervisors: &[Pid],
    steps: &[TreeStep],
    node: &Node,
) -> Result<Arc<Hold>, UpgradeError> {
    let names: Vec<_> = supervisors.iter().map(|pid| format!("supervisor {pid}").into()).collect();
    let busy = || {
        let mut names: Vec<_> = steps.iter().map(|step| step.supervisor.clone()).collect();
        names.dedup();
        UpgradeError::Busy(names)
    };
    node.hold(&names).await.map(Arc::new).ok_or_else(busy)
}

fn child(place: &Place, source: &dyn CodeSource) -> Result<Member, UpgradeError> {
    let missing = || failed(&place.supervisor, format!("the source has no child {}", place.child));
    source.child(&place.child).ok_or_else(missing)
}

fn failed(supervisor: &str, why: impl Into<String>) -> UpgradeError {
    UpgradeError::Tree { supervisor: supervisor.to_owned(), why: why.into() }
}

impl TreeStep {
    /// Looks whether it can be carried out after these, and changes nothing.
    async fn check(&self, job: &Job, before: &[TreeStep]) -> Result<Option<Pid>, UpgradeError> {
        // Of a supervisor that is not there yet nothing is known.
        if before.iter().any(|step| step.adds_a_part_of(&self.supervisor)) {
            return Ok(None);
        }
        let (supervisor, former) = self.supervisor(job).await?;
        let has = |id: &ChildId| {
            let steps = before.iter().rev().filter(|step| step.supervisor == self.supervisor);
            let said = steps.filter_map(|step| step.leaves(id)).next();
            said.unwrap_or_else(|| former.ids().any(|known| known == id))
        };
        let failed = |why: String| Err(failed(&self.supervisor, why));
        let fits = match &self.what {
            What::Add(member) if has(member.id()) => {
                failed(format!("it has a child {} already", member.id()))
            }
            What::Replace(member) | What::Respecify(member) if !has(member.id()) => {
                failed(format!("it has no child {}", member.id()))
            }
            What::Delete(id) if !has(id) => failed(format!("it has no child {id}")),
            What::Flags(flags) => checked(&self.supervisor, &former.flags(|old| changed(old, flags))),
            What::Plan(tree) => checked(&self.supervisor, tree),
            _ => Ok(()),
        };
        fits.map(|()| Some(supervisor.pid()))
    }

    /// Whether the path leads through a child that it adds.
    fn adds_a_part_of(&self, path: &str) -> bool {
        let (What::Add(member) | What::Replace(member)) = &self.what else { return false };
        let below = path.strip_prefix(&self.supervisor).and_then(|path| path.strip_prefix('/'));
        below.is_some_and(|below| below.split('/').next() == Some(member.id().as_str()))
    }

    /// Whether the supervisor has this child after it; `None`: as before.
    fn leaves(&self, id: &ChildId) -> Option<bool> {
        match &self.what {
            What::Add(member) if member.id() == id => Some(true),
            What::Delete(deleted) if deleted == id => Some(false),
            What::Plan(tree) => Some(tree.ids().any(|known| known == id)),
            _ => None,
        }
    }

    /// The supervisor, and how its tree is. One that is busy is not waited for longer than a process is.
    async fn supervisor(&self, job: &Job) -> Result<(SupervisorRef, Tree), UpgradeError> {
        let look = async {
            let found = SupervisorRef::at(&job.node, &self.supervisor).await;
            let found = found.ok_or("there is no such supervisor with children of its own")?;
            let plan = found.plan().await.map_err(|error| error.to_string())?;
            Ok((found, plan))
        };
        let found: Result<_, String> = timeout(job.suspend_timeout, look).await.unwrap_or(Err(LATE.into()));
        found.map_err(|why| failed(&self.supervisor, why))
    }

    /// Carries it out. How what it has done is undone is kept also when it fails. Not waited for longer than this: a step
    /// that hangs is undone when it is done. Children that run what the job changes start in the version that is to come.
    pub(super) async fn run(
        self,
        job: &Job,
        (hold, trees): (&Hold, &Arc<Hold>),
        done: &mut Vec<Undo>,
    ) -> Result<(), UpgradeError> {
        self.check(job, &[]).await?;
        let (supervisor, former) = self.supervisor(job).await?;
        let children = hold.let_in(supervisor.pid(), |module| job.to_come(module));
        let undo = Undo { name: self.supervisor, supervisor, former, remove: vec![], restart: vec![] };
        let name = undo.name.clone();
        let mut running = job.node.runtime().spawn(undo.carry_out(self.what, children.pass.clone()));
        match timeout(job.suspend_timeout, &mut running).await {
            Ok(ended) => {
                let (undo, result) = ended.map_err(|_| UpgradeError::Shutdown)?;
                done.push(undo);
                result.map_err(|why| failed(&name, why))
            }
            Err(_) => {
                let trees = trees.clone();
                job.node.runtime().spawn(async move {
                    if let Ok((undo, _)) = running.await {
                        undo.run().await;
                    }
                    drop(trees);
                });
                Err(failed(&name, LATE))
            }
        }
    }
}

impl Undo {
    async fn carry_out(mut self, what: What, pass: Pass) -> (Undo, Result<(), String>) {
        let result = self.steps(what, pass).await;
        (self, result)
    }

    async fn steps(&mut self, what: What, pass: Pass) -> Result<(), String> {
        let supervisor = self.supervisor.clone();
        match what {
            What::Add(member) => {
                self.remove.push(member.id().clone());
                supervisor.start_member(member, pass).await.map_err(|error| said(&error))
            }
            What::Replace(member) => {
                let id = member.id().clone();
                let tree = self.former.clone().replaced(member).ok_or("it has no such child")?;
                supervisor.change(tree).await.map_err(|error| said(&error))?;
                self.restart.push(id.clone());
                supervisor.terminate_child(id.clone()).await.map_err(|error| said(&error))?;
                supervisor.restart_member(id, pass).await.map_err(|error| said(&error))
            }
            What::Delete(id) => {
                self.restart.push(id.clone());
                supervisor.terminate_child(id.clone()).await.map_err(|error| said(&error))?;
                // A temporary child is gone with its process.
                let _ = supervisor.delete_child(id).await;
                Ok(())
            }
            What::Respecify(member) => {
                let tree = self.former.clone().replaced(member).ok_or("it has no such child")?;
                supervisor.change(tree).await.map_err(|error| said(&error))
            }
            What::Flags(flags) => {
                let tree = self.former.clone().flags(|old| changed(old, &flags));
                supervisor.change(tree).await.map_err(|error| said(&error))
            }
            What::Plan(tree) => {
                let new = tree.ids().filter(|id| !self.former.ids().any(|known| known == *id));
                self.remove.extend(new.cloned());
                supervisor.change(*tree).await.map_err(|error| said(&error))
            }
        }
    }

    /// Undoes the step. What cannot be undone is reported: the processes go back whatever comes of it.
    pub(super) async fn run(self) {
        let Undo { name, supervisor, former, remove, restart } = self;
        let report = |what: &str, id: Option<&ChildId>, error: &dyn std::error::Error| {
            let (id, error) = (id.map(ChildId::as_str), said(error));
            tracing::error!(target: "incarnate::upgrade", supervisor = name, id, error, what, "a step was not undone");
        };
        for id in &remove {
            // One that was not started is not there.
            let _ = supervisor.terminate_child(id.clone()).await;
            let _ = supervisor.delete_child(id.clone()).await;
        }
        if let Err(error) = supervisor.change(former).await {
            report("specifications", None, &error);
        }
        for id in &restart {
            let _ = supervisor.terminate_child(id.clone()).await;
            if let Err(error) = supervisor.restart_child(id.clone()).await {
                report("child", Some(id), &error);
            }
        }
    }
}

fn checked(supervisor: &str, tree: &Tree) -> Result<(), UpgradeError> {
    tree.check().map_err(|error| failed(supervisor, error.to_string()))
}

fn changed(old: Flags, change: &ChangeFlags) -> Flags {
    let strategy = match change.strategy {
        None => old.strategy(),
        Some(ChangeStrategy::OneForOne) => Strategy::OneForOne,
        Some(ChangeStrategy::OneForAll) => Strategy::OneForAll,
        Some(ChangeStrategy::RestForOne) => Strategy::RestForOne,
    };
    let intensity = change.intensity.unwrap_or(old.intensity());
    let period = change.period.map_or(old.period(), Duration::from_secs);
    let new = Flags::new(strategy).with_intensity(intensity, period).with_auto_shutdown(old.auto_shutdown());
    match old.backoff() {
        Some(backoff) => new.with_backoff(backoff),
        None => new,
    }
}

/// An error with what is behind it.
fn said(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut behind = error.source();
    while let Some(error) = behind {
        let reason = error.to_string();
        // Some say it themselves.
        if !text.contains(&reason) {
            text = format!("{text}: {reason}");
        }
        behind = error.source();
    }
    text
}
