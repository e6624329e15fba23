//! Hot upgrade: changes the code of running processes, with their state, both ways, or not at all.
//!
//! A plan ([`Upgrade`]) says which modules change from which version to which; a [`CodeSource`] has the versions. A server
//! takes part when it implements [`CodeChange`](crate::gen_server::CodeChange) and was started with
//! [`upgradable`](crate::gen_server::Start::upgradable). Pids, names, links, monitors, timers, queued messages and callers
//! that wait stay as they are: only the incarnation inside each process changes.
//!
//! If anything goes wrong, a state that cannot be converted, a process that does not come to a stop, a conversion that
//! panics or hangs, then every process goes on in its old version with its old state. Source: OTP's `release_handler`.

mod ask;
mod check;
mod convert;
mod error;
mod members;
mod one;
mod order;
mod plan;
mod report;
mod run;
mod source;
mod tree;

use std::future::{Future, IntoFuture};
use std::pin::Pin;

use tokio::sync::{oneshot, watch};

pub use error::UpgradeError;
pub use one::{ChangeCodeError, change_code};
pub use plan::{ChangeFlags, ChangeStrategy, Direction, Place, Step, Update, Upgrade, Value};
pub use report::{Changed, Check, Pause, Phase, Progress, Report};
pub use source::{CodeSource, LoadError, Versions};

use self::run::{Job, Tell};
use crate::gen_server::Code;
use crate::handoff::ModuleVsn;
use crate::process::{Node, meter};

impl Upgrade {
    /// Tries every conversion on copies of the live states (`release_handler:check_install_release/1`). Nothing is suspended
    /// and nothing changes; each process makes the copy of its state between two messages.
    ///
    /// # Errors
    /// The plan itself cannot be carried out, see [`UpgradeError`]. What single processes would fail with is in the answer.
    ///
    /// # Cancel safety
    /// Dropping the future leaves nothing behind.
    pub async fn check(
        &self,
        node: &Node,
        source: &dyn CodeSource,
        direction: Direction,
    ) -> Result<Check, UpgradeError> {
        self.job(node, source, direction)?.check().await
    }

    /// Carries it out (`release_handler:install_release/1`), on its own: dropping the answer stops nothing.
    ///
    /// Await the answer for the result, or follow it by [`Running::progress`] first.
    pub fn run(&self, node: &Node, source: &dyn CodeSource, direction: Direction) -> Running {
        let begin = Progress { phase: Phase::Suspending, done: 0, total: 0 };
        let (tell, progress) = watch::channel(begin);
        let (end, result) = oneshot::channel();
        let (name, job) = (self.name.clone(), self.job(node, source, direction));
        let there = node.clone();
        let run = async move {
            tracing::info!(target: "incarnate::upgrade", plan = name, %direction, "upgrade begins");
            let tell = Tell { name: name.clone(), progress: tell };
            let result = match job {
                Ok(job) => job.run(tell).await,
                Err(error) => Err(error),
            };
            match &result {
                Ok(report) => {
                    tracing::info!(target: "incarnate::upgrade", plan = name, %report, "upgrade done")
                }
                Err(error) => {
                    tracing::warn!(target: "incarnate::upgrade", plan = name, %error, "upgrade aborted")
                }
            }
            meter::upgraded(&there, if result.is_ok() { "done" } else { "aborted" });
            // Nobody may listen.
            let _ = end.send(result);
        };
        drop(node.runtime().spawn(run));
        Running { progress, result }
    }

    fn job(&self, node: &Node, source: &dyn CodeSource, direction: Direction) -> Result<Job, UpgradeError> {
        let steps = self.steps(direction);
        if steps.is_empty() {
            return Err(UpgradeError::Empty(direction));
        }
        let changes = members::changes(steps, node, source)?;
        let (suspend_timeout, convert_timeout) = (self.suspend_timeout, self.convert_timeout);
        let tree = tree::tree_steps(steps, source)?;
        Ok(Job { node: node.clone(), changes: changes.into(), tree, suspend_timeout, convert_timeout })
    }
}

/// Which version of a module is started now. `None`: no upgrade has changed the module, and each start says it itself.
pub fn in_force(node: &Node, module: &str) -> Option<ModuleVsn> {
    let code = node.codes().current(module)?;
    code.downcast_ref::<Code>().map(Code::id)
}

/// An upgrade under way. Await it for its result.
#[must_use = "the result says whether anything was changed"]
pub struct Running {
    progress: watch::Receiver<Progress>,
    result: oneshot::Receiver<Result<Report, UpgradeError>>,
}

impl Running {
    /// How far it is now, as soon as that is news; `None` when it is over. What was not asked for in time is passed over.
    ///
    /// # Cancel safety
    /// Dropping the future loses no news.
    pub async fn progress(&mut self) -> Option<Progress> {
        self.progress.changed().await.ok()?;
        Some(*self.progress.borrow_and_update())
    }
}

impl IntoFuture for Running {
    type Output = Result<Report, UpgradeError>;
    type IntoFuture = Pin<Box<dyn Future<Output = Self::Output> + Send>>;

    fn into_future(self) -> Self::IntoFuture {
        Box::pin(async move { self.result.await.unwrap_or(Err(UpgradeError::Shutdown)) })
    }
}
