//! Carrying an upgrade out: hold, convert, change trees, release. Until the release nothing is changed in any process.
//!
//! Invariants:
//! - a process is held from the copy of its state to its release, so that the copy stays true;
//! - before the first process is released with a new incarnation everything that can fail is done;
//! - dropping the transaction releases all as they were. That needs no wait and no answer, so it also happens in a panic
//!   and when the runtime shuts down;
//! - no process of a module is started from the first hold to the end.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use tokio::sync::watch;
use tokio::time::{Duration, Instant, timeout};

use super::ask::{Heard, hear, hold, limit, release};
use super::error::UpgradeError;
use super::members::{Change, Member, members};
use super::report::{Changed, Pause, Phase, Progress, Report};
use super::tree::{TreeStep, Undo};
use crate::handoff::Capsule;
use crate::process::{Hold, Node, Successor};
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
    held: Option<Instant>,
    successor: Option<Successor>,
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
        for part in self.parts.iter().rev() {
            // Also one that has not answered: it is held later, and released behind that (rule 2.13.4).
            release(&*part.member.process, None);
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
        Part { member, held: None, successor: None }
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
            let until = limit(self.job.suspend_timeout);
            let group = self.parts[states.len()..].iter().take_while(|part| part.member.change == change);
            let shape = self.job.changes[change].from.shape();
            let asked: Vec<_> = group.map(|part| hold(&*part.member.process, shape)).collect();
            for asked in asked {
                let at = states.len();
                let pid = self.parts[at].member.pid();
                let state = match hear(node, asked, until).await {
                    Heard::Late => return Err(UpgradeError::NotSuspended(pid)),
                    Heard::Answer((_, Err(error))) => return Err(UpgradeError::NotConverted { pid, error }),
                    Heard::Gone => None,
                    Heard::Answer((when, Ok(state))) => {
                        self.parts[at].held = Some(when);
                        Some(state)
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

    /// Has all processes go on in their new versions, those that are called before their callers. Answers how long each of each module waited.
    async fn resume(&mut self) -> Vec<Vec<Duration>> {
        let mut pauses = vec![Vec::new(); self.job.changes.len()];
        let released: Vec<_> = self
            .parts
            .iter_mut()
            .rev()
            .map(|part| {
                let successor = part.successor.take();
                let held = part.held.filter(|_| successor.is_some());
                (part.member.change, held, release(&*part.member.process, successor))
            })
            .collect();
        let until = limit(self.job.suspend_timeout);
        for (done, (change, held, asked)) in released.into_iter().enumerate() {
            let resumed = hear(&self.job.node, asked, until).await;
            if let (Heard::Answer(resumed), Some(held)) = (resumed, held) {
                pauses[change].push(resumed.saturating_duration_since(held));
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
