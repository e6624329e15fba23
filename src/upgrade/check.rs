//! The dry run: every conversion on copies of the live states, and nothing is suspended.

use super::ask::{Heard, copy, hear, limit};
use super::convert::{Conversions, Converted};
use super::error::UpgradeError;
use super::members::{let_others_run, members};
use super::report::Check;
use super::run::Job;
use super::tree;

impl Job {
    pub(super) async fn check(self) -> Result<Check, UpgradeError> {
        let members = members(&self.node, &self.changes).await?;
        tree::check(&self.tree, &self).await?;
        let count = |at| members.iter().filter(|member| member.change == at).count();
        let modules =
            self.changes.iter().enumerate().map(|(at, change)| (change.from.id(), change.to.id(), count(at)));
        let mut check = Check { modules: modules.collect(), failures: Vec::new(), busy: Vec::new() };
        let mut conversions = Conversions::of(&self);
        let mut asked = Vec::with_capacity(members.len());
        for member in &members {
            asked.push(copy(&*member.process, self.changes[member.change].from.shape()));
            let_others_run(asked.len()).await;
        }
        let until = limit(self.suspend_timeout);
        for (at, (member, asked)) in members.iter().zip(asked).enumerate() {
            match hear(&self.node, asked, until).await {
                Heard::Answer(Ok(state)) => check.note(conversions.put(at, member, state).await?),
                Heard::Answer(Err(error)) => check.failures.push((member.pid(), error)),
                Heard::Late => check.busy.push(member.pid()),
                Heard::Gone => {}
            }
        }
        while let Some(converted) = conversions.next().await? {
            check.note(converted);
        }
        Ok(check)
    }
}

impl Check {
    fn note(&mut self, converted: Vec<Converted>) {
        let failures = converted
            .into_iter()
            .filter_map(|Converted { pid, successor, .. }| Some((pid, successor.err()?)));
        self.failures.extend(failures);
    }
}
