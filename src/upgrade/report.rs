//! What an upgrade has done, and how far it is.

use std::fmt;
use std::time::Duration;

use crate::handoff::{ChangeError, ModuleVsn};
use crate::term::Pid;

/// What an upgrade has done.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct Report {
    /// For each module, in the order in which they were suspended.
    pub modules: Vec<Changed>,
    /// From the first suspension to the last resumption.
    pub took: Duration,
}

/// What was done with one module.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct Changed {
    /// What ran.
    pub from: ModuleVsn,
    /// What runs.
    pub to: ModuleVsn,
    /// How many processes were changed.
    pub processes: usize,
    /// How long they waited.
    pub pause: Pause,
}

/// How long processes were suspended.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Pause {
    /// Half of them not longer than this.
    pub p50: Duration,
    /// All but one in a hundred not longer than this.
    pub p99: Duration,
    /// None longer than this.
    pub max: Duration,
}

impl Pause {
    pub(super) fn of(mut pauses: Vec<Duration>) -> Self {
        pauses.sort_unstable();
        let at =
            |percent: usize| pauses.get((pauses.len() * percent).div_ceil(100).saturating_sub(1)).copied();
        Pause {
            p50: at(50).unwrap_or_default(),
            p99: at(99).unwrap_or_default(),
            max: at(100).unwrap_or_default(),
        }
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for changed in &self.modules {
            let Changed { from, to, processes, pause } = changed;
            let Pause { p50, p99, max } = pause;
            writeln!(
                f,
                "{from} -> {to}: {processes} process{}, paused {p50:.1?} (p99 {p99:.1?}, max {max:.1?})",
                plural(*processes)
            )?;
        }
        write!(f, "in {:.1?}", self.took)
    }
}

fn plural(count: usize) -> &'static str {
    if count == 1 { "" } else { "es" }
}

/// What an upgrade would do, found on copies of the live states.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct Check {
    /// For each module how many processes would be changed.
    pub modules: Vec<(ModuleVsn, ModuleVsn, usize)>,
    /// The processes that could not be changed, and why.
    pub failures: Vec<(Pid, ChangeError)>,
    /// The processes that were busy for longer than the plan lets them.
    pub busy: Vec<Pid>,
}

impl Check {
    /// Whether every process would be changed.
    pub fn is_ok(&self) -> bool {
        self.failures.is_empty() && self.busy.is_empty()
    }
}

impl fmt::Display for Check {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (from, to, processes) in &self.modules {
            writeln!(f, "{from} -> {to}: {processes} process{}", plural(*processes))?;
        }
        for (pid, error) in &self.failures {
            writeln!(f, "{pid} would fail: {error}")?;
        }
        for pid in &self.busy {
            writeln!(f, "{pid} is busy and would not be suspended in time")?;
        }
        f.write_str(if self.is_ok() { "all would be changed" } else { "it would be refused" })
    }
}

/// How far an upgrade is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Progress {
    /// What it is doing.
    pub phase: Phase,
    /// How many processes it has done that with.
    pub done: usize,
    /// Of how many.
    pub total: usize,
}

/// What an upgrade is doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Phase {
    /// It has processes wait.
    Suspending,
    /// It builds the new versions beside the old ones.
    Converting,
    /// It changes supervision trees.
    Supervising,
    /// It has processes go on, in their new versions.
    Resuming,
    /// It gives up: every process goes on in its old version.
    Aborting,
}

/// One line for a terminal.
impl fmt::Display for Progress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const WIDTH: usize = 30;
        let Progress { phase, done, total } = self;
        let phase = match phase {
            Phase::Suspending => "suspending",
            Phase::Converting => "converting",
            Phase::Supervising => "trees",
            Phase::Resuming => "resuming",
            Phase::Aborting => "aborting",
        };
        let full = (done * WIDTH).checked_div(*total).unwrap_or(WIDTH).min(WIDTH);
        let (bar, rest) = ("#".repeat(full), ".".repeat(WIDTH - full));
        // As wide at every step, so that the next one covers it.
        let digits = total.to_string().len();
        write!(f, "{phase:<10} [{bar}{rest}] {done:>digits$}/{total}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_by_rank() {
        let millis = |ms: &[u64]| ms.iter().map(|ms| Duration::from_millis(*ms)).collect::<Vec<_>>();
        let show = |ms: &[u64]| {
            let Pause { p50, p99, max } = Pause::of(millis(ms));
            [p50, p99, max].map(|d| d.as_millis() as u64)
        };
        assert_eq!(show(&[]), [0, 0, 0]);
        assert_eq!(show(&[7]), [7, 7, 7]);
        assert_eq!(show(&[3, 1, 2]), [2, 3, 3]);
        assert_eq!(show(&(1..=1000).collect::<Vec<_>>()), [500, 990, 1000]);
    }

    #[test]
    fn a_bar() {
        let bar = |done, total| Progress { phase: Phase::Converting, done, total }.to_string();
        assert_eq!(bar(0, 10), "converting [..............................]  0/10");
        assert_eq!(bar(5, 10), "converting [###############...............]  5/10");
        assert_eq!(bar(0, 0), "converting [##############################] 0/0");
    }
}
