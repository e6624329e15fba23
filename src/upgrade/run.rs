//! Carrying an upgrade out: hold and convert, change trees, release. Until the release nothing is changed in any process.
//!
//! Invariants:
//! - a process is held from the copy of its state to its release, so that the copy stays true;
//! - before the first process is released with a new incarnation everything that can fail is done;
//! - dropping the transaction releases all as they were. That needs no wait and no answer, so it also happens in a panic
//!   and when the runtime shuts down;
//! - no process of a module is started from the first hold to the last release, and no other upgrade begins.

use std::sync::Arc;

use tokio::sync::watch;
use tokio::time::{Duration, Instant};

use super::ask::{Asked, Heard, Held, hear, hold, limit, release};
use super::convert::{Conversions, Converted};
use super::error::UpgradeError;
use super::members::{Change, Member, let_others_run, members, newcomers};
use super::report::{Changed, Pause, Phase, Progress, Report};
use super::tree::{self, TreeStep, Undo};
use crate::handoff::ChangeError;
use crate::process::{AnyCode, CodeId, Hold, Node, Successor, meter};
use crate::term::ExitReason;

/// Tells how far it is: each step to who follows it, each phase as an event.
pub(super) struct Tell {
    pub(super) name: String,
    pub(super) progress: watch::Sender<Progress>,
}

impl Tell {
    fn say(&self, phase: Phase, done: usize, total: usize) {
        let former = self.progress.send_replace(Progress { phase, done, total });
        if former.phase != phase || former.total != total {
            tracing::info!(target: "incarnate::upgrade", plan = self.name, ?phase, total, "upgrade goes on");
        }
    }
}

/// What is carried out, and for how long it may take.
pub(super) struct Job {
    pub(super) node: Node,
    pub(super) changes: Arc<[Change]>,
    pub(super) tree: Vec<TreeStep>,
    pub(super) suspend_timeout: Duration,
    pub(super) convert_timeout: Duration,
}

/// A process under way.
struct Part {
    member: Member,
    held: Option<Instant>,
    successor: Option<Successor>,
}

/// Everything that must be undone unless all of it is done.
struct Transaction<'a> {
    job: &'a Job,
    parts: Vec<Part>,
    /// How many of them were asked to wait.
    asked: usize,
    /// How many there were.
    total: usize,
    /// Nothing goes back any more.
    committed: bool,
    /// What the processes of each change become.
    codes: Vec<CodeId>,
    tell: &'a Tell,
    /// Nobody starts a process of these modules, and no other upgrade touches them.
    hold: Option<Hold>,
}

impl Drop for Transaction<'_> {
    fn drop(&mut self) {
        if !self.committed {
            self.say(Phase::Aborting, 0);
            // Those that were not asked yet need not be told.
            self.parts.truncate(self.asked);
        }
        // Also who has not answered: it is held later, and released behind that (rule 2.13.4).
        while self.let_go().is_some() {}
    }
}

impl Job {
    pub(super) async fn run(mut self, tell: Tell) -> Result<Report, UpgradeError> {
        let tree = std::mem::take(&mut self.tree);
        let supervisors = tree::check(&tree, &self).await?;
        // Until all is done, or undone.
        let trees = tree::hold(&supervisors, &tree, &self.node).await?;
        let modules: Vec<Arc<str>> =
            self.changes.iter().map(|change| change.from.id().module().into()).collect();
        let busy = || UpgradeError::Busy(modules.iter().map(|module| module.to_string()).collect());
        let hold = self.node.hold(&modules).await.ok_or_else(busy)?;
        // Another upgrade may have ended between the look at the plan and the hold.
        self.changes.iter().try_for_each(|change| change.starts_from_what_is_in_force(&self.node))?;
        let parts: Vec<_> = members(&self.node, &self.changes).await?.into_iter().map(Part::new).collect();
        let (begun, total) = (Instant::now(), parts.len());
        let mut transaction = Transaction {
            job: &self,
            parts,
            asked: 0,
            total,
            committed: false,
            codes: self.changes.iter().map(|change| change.to.number(&self.node)).collect(),
            tell: &tell,
            hold: Some(hold),
        };
        transaction.prepare().await?;
        let (since, mut undo) = (self.node.next_process_id(), Vec::new());
        if let Err(error) = transaction.change_trees(tree, &trees, &mut undo).await {
            let newcomers = newcomers(&self.node, &self.changes, since);
            // First the processes go back and the modules are free: what is started again waits for that.
            drop(transaction);
            for step in undo.into_iter().rev() {
                step.run().await;
            }
            // The module is to be of one version again, also where nobody is linked to what was started.
            for pid in newcomers.into_iter().filter(|pid| self.node.is_alive(*pid)) {
                tracing::warn!(target: "incarnate::upgrade", plan = tell.name, %pid, "ended with the plan");
                self.node.exit(pid, ExitReason::Kill);
            }
            return Err(error);
        }
        transaction.commit().await;
        let pauses = transaction.resume().await;
        meter::paused(&self.node, &pauses);
        let modules = self.changes.iter().zip(pauses).map(|(change, pauses)| Changed {
            from: change.from.id(),
            to: change.to.id(),
            processes: pauses.len(),
            pause: Pause::of(pauses),
        });
        Ok(Report { modules: modules.collect(), took: begun.elapsed() })
    }

    /// The version of the module that runs when it is done.
    pub(super) fn to_come(&self, module: &str) -> Option<AnyCode> {
        self.changes.iter().find(|change| change.to.id().module() == module).map(Change::to_come)
    }
}

impl Part {
    fn new(member: Member) -> Self {
        Part { member, held: None, successor: None }
    }
}

impl Transaction<'_> {
    fn say(&self, phase: Phase, done: usize) {
        self.tell.say(phase, done, self.total);
    }

    /// Has all processes wait, those of one module after those that call them, and builds the new incarnations beside the
    /// old ones from copies of their states.
    async fn prepare(&mut self) -> Result<(), UpgradeError> {
        let node = &self.job.node;
        let mut conversions = Conversions::of(self.job);
        let mut done = 0;
        for change in 0..self.job.changes.len() {
            let until = limit(self.job.suspend_timeout);
            for (at, asked) in self.ask(change).await {
                let member = &self.parts[at].member;
                let pid = member.pid();
                match hear(node, asked, until).await {
                    Heard::Late => return Err(UpgradeError::NotSuspended(pid)),
                    Heard::Answer((_, Err(error))) => return Err(UpgradeError::NotConverted { pid, error }),
                    Heard::Gone => {}
                    Heard::Answer((when, Ok(copy))) => {
                        let converted = conversions.put(at, member, copy).await?;
                        self.parts[at].held = Some(when);
                        self.keep(converted)?;
                    }
                }
                done += 1;
                self.tell_sometimes(Phase::Suspending, done);
            }
        }
        let held = self.parts.iter().filter(|part| part.held.is_some()).count();
        let mut done = self.parts.iter().filter(|part| part.successor.is_some()).count();
        self.tell.say(Phase::Converting, done, held);
        while let Some(converted) = conversions.next().await? {
            done += converted.len();
            self.keep(converted)?;
            self.tell.say(Phase::Converting, done, held);
        }
        Ok(())
    }

    /// Asks the processes of a module to wait.
    async fn ask(&mut self, change: usize) -> Vec<(usize, Asked<Held>)> {
        let shape = self.job.changes[change].from.shape();
        let mut asked = Vec::new();
        while let Some(part) = self.parts.get(self.asked).filter(|part| part.member.change == change) {
            asked.push((self.asked, hold(&*part.member.process, shape)));
            self.asked += 1;
            let_others_run(asked.len()).await;
        }
        asked
    }

    fn keep(&mut self, converted: Vec<Converted>) -> Result<(), UpgradeError> {
        for Converted { at, pid, successor } in converted {
            let successor = successor.map_err(|error| match error {
                ChangeError::TooSlow => UpgradeError::ConvertTimeout(pid),
                error => UpgradeError::NotConverted { pid, error },
            })?;
            self.parts[at].successor = Some(successor);
        }
        Ok(())
    }

    /// Changes the supervision trees while every process still waits.
    async fn change_trees(
        &mut self,
        steps: Vec<TreeStep>,
        trees: &Arc<Hold>,
        undo: &mut Vec<Undo>,
    ) -> Result<(), UpgradeError> {
        let Some(hold) = &self.hold else { return Ok(()) };
        let total = steps.len();
        for (done, step) in steps.into_iter().enumerate() {
            self.tell.say(Phase::Supervising, done, total);
            step.run(self.job, (hold, trees), undo).await?;
        }
        Ok(())
    }

    /// From here on nothing goes back: what starts is the new version, and what is sent is sent to it.
    async fn commit(&mut self) {
        for (at, part) in self.parts.iter_mut().enumerate() {
            part.member.process.mark_change();
            let_others_run(at).await;
        }
        for change in self.job.changes.iter() {
            self.job.node.codes().put(change.to.id().module(), Some(change.to_come()));
        }
        self.committed = true;
    }

    /// Has all processes go on in their new versions, those that are called before their callers. Answers how long each of
    /// each module waited.
    async fn resume(&mut self) -> Vec<Vec<Duration>> {
        let mut pauses = vec![Vec::new(); self.job.changes.len()];
        let mut released = Vec::with_capacity(self.total);
        while let Some(gone_on) = self.let_go() {
            released.push(gone_on);
            let_others_run(released.len()).await;
        }
        self.hold = None;
        let until = limit(self.job.suspend_timeout);
        for (done, (change, held, asked)) in released.into_iter().enumerate() {
            let resumed = match hear(&self.job.node, asked, until).await {
                Heard::Answer(resumed) => Some(resumed),
                // It has changed, and is not ready for messages yet.
                Heard::Late => Some(Instant::now()),
                Heard::Gone => None,
            };
            if let (Some(resumed), Some(held)) = (resumed, held) {
                pauses[change].push(resumed.saturating_duration_since(held));
            }
            self.tell_sometimes(Phase::Resuming, done + 1);
        }
        pauses
    }

    /// Has the last of those that are left go on: in its new version, if all is settled, else as it was. Answers of which
    /// module it is, since when it has waited if it changes, and its answer.
    fn let_go(&mut self) -> Option<(usize, Option<Instant>, Asked<Instant>)> {
        let Part { member, held, successor } = self.parts.pop()?;
        let successor = successor.filter(|_| self.committed);
        let held = held.filter(|_| successor.is_some());
        if successor.is_some() {
            // Known before it is so: whoever asks it anything from now on, another upgrade first, comes behind this.
            member.process.core().set_code(self.codes[member.change]);
        }
        Some((member.change, held, release(&*member.process, successor)))
    }

    fn tell_sometimes(&self, phase: Phase, done: usize) {
        if is_worth_telling(done, self.total) {
            self.say(phase, done);
        }
    }
}

/// A hundred times in all, and at the end.
fn is_worth_telling(done: usize, total: usize) -> bool {
    done == total || done.is_multiple_of((total / 100).max(1))
}
