//! Conversions: portion by portion on threads where one that hangs holds up nobody, while others are still asked for their
//! states, so that no copy stays for long.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use tokio::runtime::Handle;
use tokio::task::JoinHandle;
use tokio::time::{Duration, Instant, timeout};

use super::error::UpgradeError;
use super::members::{Change, Member};
use super::run::Job;
use crate::handoff::{Capsule, ChangeError};
use crate::process::Successor;
use crate::term::Pid;

/// So many states go to a thread at once.
const PORTION: usize = 256;

/// A copy of a state, and whose it is.
struct State {
    at: usize,
    pid: Pid,
    change: usize,
    copy: Capsule,
}

/// What came of a state.
pub(super) struct Converted {
    /// The place of its process among all that take part.
    pub(super) at: usize,
    pub(super) pid: Pid,
    pub(super) successor: Result<Successor, ChangeError>,
}

/// States that a thread converts, and which process it is at, as its place and its number.
struct Portion {
    converting: JoinHandle<Vec<Converted>>,
    at: Arc<Mutex<(usize, Pid)>>,
}

/// The conversions of an upgrade. Dropped, it ends those that run, each behind the state that it is at.
pub(super) struct Conversions {
    runtime: Handle,
    changes: Arc<[Change]>,
    waiting: Vec<State>,
    running: VecDeque<Portion>,
    /// So many portions are converted at the same time.
    threads: usize,
    /// How long they may still be waited for.
    left: Duration,
    over: Arc<AtomicBool>,
}

impl Drop for Conversions {
    fn drop(&mut self) {
        self.over.store(true, Ordering::Relaxed);
    }
}

impl Conversions {
    pub(super) fn of(job: &Job) -> Self {
        let runtime = job.node.runtime().clone();
        Conversions {
            threads: runtime.metrics().num_workers().max(1),
            runtime,
            changes: job.changes.clone(),
            waiting: Vec::new(),
            running: VecDeque::new(),
            left: job.convert_timeout,
            over: Arc::default(),
        }
    }

    /// Takes the state of the process at this place in. Answers what was converted meanwhile, if it had to wait.
    pub(super) async fn put(
        &mut self,
        at: usize,
        member: &Member,
        copy: Capsule,
    ) -> Result<Vec<Converted>, UpgradeError> {
        self.waiting.push(State { at, pid: member.pid(), change: member.change, copy });
        if self.waiting.len() < PORTION {
            return Ok(Vec::new());
        }
        let converted = if self.running.len() < self.threads { None } else { self.oldest().await? };
        let portion = std::mem::take(&mut self.waiting);
        self.begin(portion);
        Ok(converted.unwrap_or_default())
    }

    /// What is left, portion by portion.
    pub(super) async fn next(&mut self) -> Result<Option<Vec<Converted>>, UpgradeError> {
        let share = self.waiting.len().div_ceil(self.threads);
        while !self.waiting.is_empty() {
            let rest = self.waiting.split_off(share.min(self.waiting.len()));
            let portion = std::mem::replace(&mut self.waiting, rest);
            self.begin(portion);
        }
        self.oldest().await
    }

    fn begin(&mut self, portion: Vec<State>) {
        let Some(first) = portion.first() else { return };
        let (changes, over) = (self.changes.clone(), self.over.clone());
        let at = Arc::new(Mutex::new((first.at, first.pid)));
        let now = at.clone();
        let convert = move |State { at, pid, change, copy }| {
            *now.lock().unwrap_or_else(PoisonError::into_inner) = (at, pid);
            (!over.load(Ordering::Relaxed)).then(|| Converted {
                at,
                pid,
                successor: changes[change].convert(&copy),
            })
        };
        let converting =
            self.runtime.spawn_blocking(move || portion.into_iter().map_while(convert).collect());
        self.running.push_back(Portion { converting, at });
    }

    async fn oldest(&mut self) -> Result<Option<Vec<Converted>>, UpgradeError> {
        let Some(Portion { converting, at }) = self.running.pop_front() else { return Ok(None) };
        let begun = Instant::now();
        let converted = timeout(self.left, converting).await;
        self.left = self.left.saturating_sub(begun.elapsed());
        let Ok(converted) = converted else {
            let (at, pid) = *at.lock().unwrap_or_else(PoisonError::into_inner);
            return Ok(Some(vec![Converted { at, pid, successor: Err(ChangeError::TooSlow) }]));
        };
        converted.map(Some).map_err(|_| UpgradeError::Shutdown)
    }
}
