//! The change of one process that was suspended by hand.

use std::fmt;
use std::sync::Arc;

use super::ask::{Heard, hear, hold, limit, release};
use super::error::UpgradeError;
use super::members::Change;
use super::plan::Update;
use super::source::CodeSource;
use crate::handoff::{ChangeError, ModuleVsn};
use crate::process::{AnyProcess, Node, Target, Timeout, locate};
use crate::term::Term;

/// Why the code of a process was not changed. It has its old version and its old state, and is still suspended.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum ChangeCodeError {
    /// No such process, or it ended meanwhile.
    NoProc,
    /// It runs no version of this module, or was not started as upgradable.
    OtherModule {
        /// What it runs, if that can be changed at all.
        found: Option<ModuleVsn>,
        /// What was asked for.
        wanted: ModuleVsn,
    },
    /// It is not suspended.
    NotSuspended,
    /// The versions cannot be had, or do not fit each other.
    Plan(Box<UpgradeError>),
    /// Its state could not be converted, or it refused.
    Change(ChangeError),
    /// It was not done in time.
    Timeout,
}

impl fmt::Display for ChangeCodeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ChangeCodeError::NoProc => f.write_str("noproc: no such process"),
            ChangeCodeError::OtherModule { found: None, wanted } => {
                write!(f, "the process was not started as upgradable, so it cannot be changed to {wanted}")
            }
            ChangeCodeError::OtherModule { found: Some(found), wanted } => {
                write!(f, "the process runs {found}, which {wanted} is no version of")
            }
            ChangeCodeError::NotSuspended => {
                f.write_str("only a suspended process can be changed: suspend it first")
            }
            ChangeCodeError::Plan(error) => error.fmt(f),
            ChangeCodeError::Change(error) => error.fmt(f),
            ChangeCodeError::Timeout => f.write_str("timeout: not done in time, it has its old version"),
        }
    }
}

impl std::error::Error for ChangeCodeError {}

impl From<ChangeError> for ChangeCodeError {
    fn from(error: ChangeError) -> Self {
        ChangeCodeError::Change(error)
    }
}

/// Changes the code of one suspended process (`sys:change_code/4`): its state goes through every version in between. It
/// stays suspended, as it was, whatever comes of it.
///
/// What other processes of the module run, and what is started of it, stays as it is; [`Upgrade`](super::Upgrade) changes all.
///
/// # Errors
/// See [`ChangeCodeError`].
///
/// # Cancel safety
/// Dropping the future leaves the process in one version or the other, with its whole state.
pub async fn change_code(
    node: &Node,
    target: impl Target,
    source: &dyn CodeSource,
    to: &ModuleVsn,
    extra: &Term,
    timeout: impl Into<Timeout>,
) -> Result<(), ChangeCodeError> {
    let until = match timeout.into() {
        Timeout::After(timeout) => limit(timeout),
        Timeout::Infinity => None,
    };
    let process = locate(node, &target).filter(|process| node.find(process.core().pid()).is_some());
    let process = process.ok_or(ChangeCodeError::NoProc)?;
    let module = Arc::from(to.module());
    let busy = || ChangeCodeError::Plan(Box::new(UpgradeError::Busy(vec![to.module().to_owned()])));
    // Against upgrades of the module, which would take the process for one of theirs.
    let _hold = node.hold(&[module]).await.ok_or_else(busy)?;
    let found = process.core().code();
    let Some(found) = found.clone().filter(|found| found.module() == to.module()) else {
        return Err(ChangeCodeError::OtherModule { found, wanted: to.clone() });
    };
    if !process.core().is_suspended_by_hand() {
        return Err(ChangeCodeError::NotSuspended);
    }
    let update = Update::new(to.module(), found.vsn(), to.vsn());
    let change = Change::of(&update, source, extra.clone());
    let change = change.map_err(|error| ChangeCodeError::Plan(Box::new(error)))?;
    let code = change.to.number(node);
    let mut held = Released(Some(&*process));
    let (_, state) = answered(hear(node, hold(&*process, change.from.shape()), until).await)?;
    let state = state?;
    // On a thread where a conversion that hangs holds up nobody.
    let converting = node.runtime().spawn_blocking(move || change.convert(&state));
    let successor = match until {
        Some(until) => {
            tokio::time::timeout_at(until, converting).await.map_err(|_| ChangeCodeError::Timeout)?
        }
        None => converting.await,
    };
    let successor = successor.map_err(|_| ChangeCodeError::NoProc)??;
    // From here on nothing fails, and what comes to the process comes to the other version.
    held.0 = None;
    process.core().set_code(code);
    match hear(node, release(&*process, Some(successor)), until).await {
        Heard::Gone => Err(ChangeCodeError::NoProc),
        Heard::Answer(_) | Heard::Late => Ok(()),
    }
}

/// A process that an upgrade holds no longer when this is dropped.
struct Released<'a>(Option<&'a dyn AnyProcess>);

impl Drop for Released<'_> {
    fn drop(&mut self) {
        if let Some(process) = self.0 {
            release(process, None);
        }
    }
}

fn answered<T>(heard: Heard<T>) -> Result<T, ChangeCodeError> {
    match heard {
        Heard::Answer(answer) => Ok(answer),
        Heard::Gone => Err(ChangeCodeError::NoProc),
        Heard::Late => Err(ChangeCodeError::Timeout),
    }
}
