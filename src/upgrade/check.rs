//! The dry run: every conversion on copies of the live states, and nothing is suspended.

use std::sync::Arc;

use tokio::time::timeout;

use super::ask::{Heard, copy, hear, limit};
use super::error::UpgradeError;
use super::members::{Change, Member, members};
use super::report::Check;
use super::run::Job;
use crate::handoff::{Capsule, ChangeError};
use crate::term::Pid;

impl Job {
    pub(super) async fn check(self) -> Result<Check, UpgradeError> {
        let members = members(&self.node, &self.changes)?;
        for step in &self.tree {
            step.check(&self.node).await?;
        }
        let count = |at| members.iter().filter(|member| member.change == at).count();
        let modules =
            self.changes.iter().enumerate().map(|(at, change)| (change.from.id(), change.to.id(), count(at)));
        let mut check = Check { modules: modules.collect(), failures: Vec::new(), busy: Vec::new() };
        let states = self.copies(members, &mut check).await;
        let changes: Arc<[Change]> = self.changes.into();
        let converted = self
            .node
            .runtime()
            .spawn_blocking(move || states.into_iter().filter_map(|copy| copy.fails(&changes)).collect());
        let failures: Vec<(Pid, ChangeError)> = timeout(self.convert_timeout, converted)
            .await
            .map_err(|_| UpgradeError::ConvertTimeout)?
            .map_err(|_| UpgradeError::Shutdown)?;
        check.failures.extend(failures);
        Ok(check)
    }

    async fn copies(&self, members: Vec<Member>, check: &mut Check) -> Vec<Copy> {
        let asked: Vec<_> = members
            .iter()
            .map(|member| copy(&*member.process, self.changes[member.change].from.shape()))
            .collect();
        let until = limit(self.suspend_timeout);
        let mut copies = Vec::with_capacity(members.len());
        for (member, asked) in members.iter().zip(asked) {
            let pid = member.pid();
            match hear(&self.node, asked, until).await {
                Heard::Answer(Ok(state)) => copies.push(Copy { pid, change: member.change, state }),
                Heard::Answer(Err(error)) => check.failures.push((pid, error)),
                Heard::Late => check.busy.push(pid),
                Heard::Gone => {}
            }
        }
        copies
    }
}

/// The state of a process.
struct Copy {
    pid: Pid,
    change: usize,
    state: Capsule,
}

impl Copy {
    fn fails(self, changes: &[Change]) -> Option<(Pid, ChangeError)> {
        changes[self.change].convert(&self.state).err().map(|error| (self.pid, error))
    }
}
