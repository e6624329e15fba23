//! Carrying an upgrade out: hold, suspend, convert, change, resume; or back.
//!
//! Invariants:
//! - until every process has its new incarnation the old ones are kept, and dropping the transaction puts them back;
//! - the dropping needs no wait and no answer: signals that are in order do it, so it also happens in a panic and when
//!   the runtime shuts down;
//! - no process of the module is started between the first suspension and the end.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use tokio::sync::watch;
use tokio::time::{Duration, Instant, timeout};

use super::ask::{Heard, export, hear, resume, suspend, swap};
use super::error::UpgradeError;
use super::members::{Change, Member, members};
use super::report::{Changed, Pause, Phase, Progress, Report};
use super::tree::{TreeStep, Undo};
use crate::gen_server::Successor;
use crate::handoff::{Capsule, ChangeError};
use crate::process::{Hold, Node};
use crate::term::Pid;

/// Told how far it is.
pub(super) type Tell = watch::Sender<Progress>;

/// What is carried out, and for how long it may take.
pub(super) struct Job {
    pub(super) node: Node,
    pub(super) changes: Vec<Change>,
    pub(super) tree: Vec<TreeStep>,
    pub(super) suspend_timeout: Duration,
    pub(super) convert_timeout: Duration,
}

/// A process under way.
struct Part {
    member: Member,
    suspended: Option<Instant>,
    /// Its new incarnation, before it is put in; the former one, after.
    successor: Option<Successor>,
    changed: bool,
}

/// Everything that must be undone unless all of it is done.
struct Transaction<'a> {
    job: &'a Job,
    parts: Vec<Part>,
    tell: &'a Tell,
    /// Nobody starts a process of these modules.
    hold: Option<Hold>,
}

impl Drop for Transaction<'_> {
    fn drop(&mut self) {
        if self.hold.is_none() {
            return;
        }
        self.say(Phase::Aborting, 0);
        for part in self.parts.iter_mut().rev() {
            let process = &*part.member.process;
            if let Some(former) = part.successor.take().filter(|_| part.changed) {
                swap(process, former, self.job.changes[part.member.change].from.id());
            }
            // Also to one that has not answered: it may be suspended later (rule 2.13.4).
            resume(process);
        }
    }
}

impl Job {
    pub(super) async fn run(mut self, tell: Tell) -> Result<Report, UpgradeError> {
        let tree = std::mem::take(&mut self.tree);
        for step in &tree {
            step.check(&self.node).await?;
        }
        let modules: Vec<Arc<str>> =
            self.changes.iter().map(|change| change.from.id().module().into()).collect();
        let busy = || UpgradeError::Busy(modules.iter().map(|module| module.to_string()).collect());
        let hold = self.node.hold(&modules).await.ok_or_else(busy)?;
        let parts = members(&self.node, &self.changes)?.into_iter().map(Part::new).collect();
        let begun = Instant::now();
        let mut transaction = Transaction { job: &self, parts, tell: &tell, hold: Some(hold) };
        let states = transaction.suspend().await?;
        transaction.convert(states).await?;
        transaction.change().await?;
        let mut undo = Vec::new();
        if let Err(error) = transaction.change_trees(tree, &mut undo).await {
            // First the processes go back and the modules are free: what is started again waits for that.
            drop(transaction);
            for step in undo.into_iter().rev() {
                step.run().await;
            }
            return Err(error);
        }
        transaction.commit();
        let pauses = transaction.resume().await;
        let modules = self.changes.iter().zip(pauses).map(|(change, pauses)| Changed {
            from: change.from.id(),
            to: change.to.id(),
            processes: pauses.len(),
            pause: Pause::of(pauses),
        });
        Ok(Report { modules: modules.collect(), took: begun.elapsed() })
    }
}

impl Part {
    fn new(member: Member) -> Self {
        Part { member, suspended: None, successor: None, changed: false }
    }
}

impl Transaction<'_> {
    fn say(&self, phase: Phase, done: usize) {
        self.tell.send_replace(Progress { phase, done, total: self.parts.len() });
    }

    /// Has all processes wait, those of one module after those that call them, and takes copies of their states.
    async fn suspend(&mut self) -> Result<Vec<Option<Capsule>>, UpgradeError> {
        let node = &self.job.node;
        let mut states = Vec::with_capacity(self.parts.len());
        for change in 0..self.job.changes.len() {
            let until = Instant::now() + self.job.suspend_timeout;
            let group = self.parts[states.len()..].iter().take_while(|part| part.member.change == change);
            let processes = group.map(|part| &*part.member.process);
            let asked: Vec<_> = processes.map(|process| (suspend(process), export(process))).collect();
            for (suspended, exported) in asked {
                let at = states.len();
                let pid = self.parts[at].member.pid();
                let state = match hear(node, suspended, Some(until)).await {
                    Heard::Late => return Err(UpgradeError::NotSuspended(pid)),
                    Heard::Gone => None,
                    Heard::Answer(when) => {
                        self.parts[at].suspended = Some(when);
                        exported_state(node, exported, until, pid).await?
                    }
                };
                states.push(state);
                self.tell_sometimes(Phase::Suspending, states.len());
            }
        }
        Ok(states)
    }

    /// Builds the new incarnations beside the old ones, on threads where a conversion that hangs holds up nobody.
    async fn convert(&mut self, states: Vec<Option<Capsule>>) -> Result<(), UpgradeError> {
        let jobs = self.parts.iter().zip(states).enumerate();
        let mut jobs: Vec<Conversion> = jobs
            .filter_map(|(at, (part, state))| {
                Some(Conversion { at, pid: part.member.pid(), change: part.member.change, state: state? })
            })
            .collect();
        let total = jobs.len();
        let workers = self.job.node.runtime().metrics().num_workers().max(1);
        let shared = Arc::new(Shared {
            changes: self.job.changes.clone(),
            done: AtomicUsize::new(0),
            stop: AtomicBool::new(false),
            tell: self.tell.clone(),
            total,
        });
        let mut running = Vec::new();
        while !jobs.is_empty() {
            let rest = jobs.split_off(jobs.len().min(total.div_ceil(workers)));
            let chunk = std::mem::replace(&mut jobs, rest);
            let shared = shared.clone();
            running.push(self.job.node.runtime().spawn_blocking(move || shared.convert(chunk)));
        }
        let all = async {
            let mut converted = Vec::with_capacity(total);
            for chunk in running {
                converted.extend(chunk.await.map_err(|_| UpgradeError::Shutdown)??);
            }
            Ok::<_, UpgradeError>(converted)
        };
        let converted = timeout(self.job.convert_timeout, all).await;
        // Those that still run need not go on.
        shared.stop.store(true, Ordering::Relaxed);
        for (at, successor) in converted.map_err(|_| UpgradeError::ConvertTimeout)?? {
            self.parts[at].successor = Some(successor);
        }
        Ok(())
    }

    /// Puts the new incarnations in. Every process still waits, and can go back.
    async fn change(&mut self) -> Result<(), UpgradeError> {
        let asked: Vec<_> = self
            .parts
            .iter_mut()
            .map(|part| {
                let to = self.job.changes[part.member.change].to.id();
                part.successor.take().and_then(|successor| swap(&*part.member.process, successor, to))
            })
            .collect();
        let mut failed = None;
        for (at, asked) in asked.into_iter().enumerate() {
            // Waited for to the end: a process that waits for nothing but this answers, or is gone.
            match hear(&self.job.node, asked, None).await {
                Heard::Answer(Ok(former)) => {
                    self.parts[at].successor = Some(former);
                    self.parts[at].changed = true;
                }
                Heard::Answer(Err(error)) => {
                    let pid = self.parts[at].member.pid();
                    failed.get_or_insert(UpgradeError::NotChanged { pid, error });
                }
                Heard::Gone | Heard::Late => {}
            }
            self.tell_sometimes(Phase::Changing, at + 1);
        }
        failed.map_or(Ok(()), Err)
    }

    /// Changes the supervision trees while every process still waits.
    async fn change_trees(&mut self, steps: Vec<TreeStep>, undo: &mut Vec<Undo>) -> Result<(), UpgradeError> {
        for step in steps {
            step.run(&self.job.node, self.job.suspend_timeout, undo).await?;
        }
        Ok(())
    }

    /// From here on nothing goes back: what starts is the new version.
    fn commit(&mut self) {
        for change in &self.job.changes {
            self.job.node.codes().put(change.to.id().module(), Some(Arc::new(change.to.clone())));
        }
        self.hold = None;
    }

    /// Has all processes go on, those that are called before their callers. Answers how long each of each module waited.
    async fn resume(&mut self) -> Vec<Vec<Duration>> {
        let mut pauses = vec![Vec::new(); self.job.changes.len()];
        let parts: Vec<(usize, Option<Instant>)> = self
            .parts
            .iter()
            .rev()
            .map(|part| (part.member.change, part.suspended.filter(|_| part.changed)))
            .collect();
        let asked: Vec<_> = self.parts.iter().rev().map(|part| resume(&*part.member.process)).collect();
        let until = Instant::now() + self.job.suspend_timeout;
        for (done, (asked, (change, suspended))) in asked.into_iter().zip(parts).enumerate() {
            let resumed = hear(&self.job.node, asked, Some(until)).await;
            if let (Heard::Answer(resumed), Some(suspended)) = (resumed, suspended) {
                pauses[change].push(resumed.saturating_duration_since(suspended));
            }
            self.tell_sometimes(Phase::Resuming, done + 1);
        }
        pauses
    }

    fn tell_sometimes(&self, phase: Phase, done: usize) {
        if is_worth_telling(done, self.parts.len()) {
            self.say(phase, done);
        }
    }
}

/// A hundred times in all, and at the end.
fn is_worth_telling(done: usize, total: usize) -> bool {
    done == total || done.is_multiple_of((total / 100).max(1))
}

async fn exported_state(
    node: &Node,
    exported: super::ask::Asked<Result<Capsule, ChangeError>>,
    until: Instant,
    pid: Pid,
) -> Result<Option<Capsule>, UpgradeError> {
    match hear(node, exported, Some(until)).await {
        Heard::Answer(Ok(state)) => Ok(Some(state)),
        Heard::Answer(Err(error)) => Err(UpgradeError::NotConverted { pid, error }),
        Heard::Gone => Ok(None),
        Heard::Late => Err(UpgradeError::NotSuspended(pid)),
    }
}

/// A state to convert, and whose it is.
pub(super) struct Conversion {
    pub(super) at: usize,
    pub(super) pid: Pid,
    pub(super) change: usize,
    pub(super) state: Capsule,
}

/// What the threads that convert share.
struct Shared {
    changes: Vec<Change>,
    done: AtomicUsize,
    stop: AtomicBool,
    tell: Tell,
    total: usize,
}

impl Shared {
    fn convert(&self, chunk: Vec<Conversion>) -> Result<Vec<(usize, Successor)>, UpgradeError> {
        let mut converted = Vec::with_capacity(chunk.len());
        for Conversion { at, pid, change, state } in chunk {
            if self.stop.load(Ordering::Relaxed) {
                break;
            }
            match self.changes[change].convert(&state) {
                Ok(successor) => converted.push((at, successor)),
                Err(error) => {
                    self.stop.store(true, Ordering::Relaxed);
                    return Err(UpgradeError::NotConverted { pid, error });
                }
            }
            let done = self.done.fetch_add(1, Ordering::Relaxed) + 1;
            if is_worth_telling(done, self.total) {
                self.tell.send_replace(Progress { phase: Phase::Converting, done, total: self.total });
            }
        }
        Ok(converted)
    }
}
