//! `OTP.UPGRADE` and `OTP.VERSIONS`: the code of all keys is changed while they run.
//!
//! One change at a time. It is carried out whether or not the client that asked for it is still there.

use std::fmt::{Display, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use incarnate::Node;
use incarnate::handoff::{ModuleVsn, StateVersion};
use incarnate::upgrade::{Check, Direction, Report, Update, Upgrade, UpgradeError, Value, Versions};
use tokio::sync::Mutex;

use crate::counted::{Counted, DROP_HITS};
use crate::error::CommandError;
use crate::key::{Key, MODULE};
use crate::keys::Keys;
use crate::reply::Reply;
use crate::table::SHARDS;

/// How long all keys together may take to come to a stop, and as long again to be converted. No key is ever busy for long:
/// what takes time is their number.
const PATIENCE: Duration = Duration::from_secs(30);

/// Lines of a report that a client is shown; of the others it is told how many they are.
const SHOWN: usize = 20;

/// The versions there are, and the one in force.
#[derive(Clone)]
pub struct Upgrades {
    versions: Versions,
    in_force: Arc<AtomicU32>,
    /// Held by whoever changes it.
    turn: Arc<Mutex<()>>,
}

impl Default for Upgrades {
    fn default() -> Self {
        let versions = Versions::new().with::<Key>().with::<Counted>();
        Upgrades { versions, in_force: Arc::new(AtomicU32::new(Key::VSN)), turn: Arc::default() }
    }
}

impl Upgrades {
    /// Changes all keys to a version, or tries whether they could be.
    pub async fn change(&self, node: &Node, to: i64, dry: bool) -> Reply {
        let (upgrades, node) = (self.clone(), node.clone());
        // On its own, so that what is in force stays known when the client goes away.
        let changed = tokio::spawn(async move { upgrades.change_alone(&node, to, dry).await }).await;
        changed.unwrap_or_else(|_| CommandError::Unavailable.into())
    }

    async fn change_alone(&self, node: &Node, to: i64, dry: bool) -> Reply {
        let Ok(_turn) = self.turn.try_lock() else {
            return refused("another upgrade is under way, and this one changes nothing");
        };
        let from = self.in_force.load(Ordering::Relaxed);
        let Some(to) = self.known().find(|known| i64::from(*known) == to) else {
            let known: Vec<_> = self.known().map(|known| known.to_string()).collect();
            let known = known.join(" and ");
            return refused(format!(
                "there is no version {to}, only {known}; every key goes on in version {from}"
            ));
        };
        if from == to {
            return text(format!("{} is in force", ModuleVsn::new(MODULE, to)));
        }
        let plan = plan(from, to);
        if dry {
            let check = plan.check(node, &self.versions, Direction::Up).await;
            return check.map_or_else(refused, |check| text(shown(&check)));
        }
        let changed: Result<Report, UpgradeError> = plan.run(node, &self.versions, Direction::Up).await;
        match changed {
            Ok(report) => {
                self.in_force.store(to, Ordering::Relaxed);
                text(report)
            }
            Err(error) => refused(error),
        }
    }

    /// One line for each version: how many keys run it, and whether it is in force.
    pub async fn versions(&self, keys: &Keys) -> Reply {
        let mut counts: Vec<_> = self.versions.list().map(|version| (version.clone(), 0u64)).collect();
        for shard in 0..SHARDS {
            for server in keys.table().servers_in(shard) {
                let running = keys.node().process_info(server.pid()).and_then(|info| info.code);
                let count = counts.iter_mut().find(|(version, _)| running.as_ref() == Some(version));
                count.into_iter().for_each(|(_, count)| *count += 1);
            }
            tokio::task::yield_now().await;
        }
        let in_force = self.in_force.load(Ordering::Relaxed);
        let lines = counts.iter().map(|(version, count)| {
            let force = if in_force == version.vsn() { ", in force" } else { "" };
            format!("{version}: {count} keys{force}")
        });
        text(lines.collect::<Vec<_>>().join("\n"))
    }

    fn known(&self) -> impl Iterator<Item = u32> {
        self.versions.list().map(ModuleVsn::vsn)
    }
}

/// Back to version 1 the hits are dropped: who asks for a version that does not count knows that it will not.
fn plan(from: u32, to: u32) -> Upgrade {
    let update = Update::new(MODULE, from, to).extra(Value::Text(DROP_HITS.to_owned()));
    Upgrade::new("keys").up(update).suspend_timeout(PATIENCE).convert_timeout(PATIENCE)
}

fn shown(check: &Check) -> String {
    let all = check.to_string();
    let lines: Vec<&str> = all.lines().collect();
    let (last, details) = lines.split_last().unwrap_or((&"", &[]));
    let mut shown = details.iter().take(SHOWN).fold(String::new(), |shown, line| shown + line + "\n");
    if details.len() > SHOWN {
        // Writing to a string cannot fail.
        let _written = writeln!(shown, "... and {} more", details.len() - SHOWN);
    }
    shown + last
}

fn text(text: impl Display) -> Reply {
    Reply::Bulk(text.to_string().into())
}

/// An error is one line, whatever the reason says.
fn refused(why: impl Display) -> Reply {
    let why = why.to_string().replace(|c: char| c.is_control(), " ");
    CommandError::NotUpgraded(format!("ERR {why}").into()).into()
}
