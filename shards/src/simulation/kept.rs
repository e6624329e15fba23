//! What was shown is in the copy of every later owner when it begins to serve.

use alloc::collections::{BTreeMap, BTreeSet};
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;

use super::log::{Entry, Log, Say};
use super::world::{SHARDS, Seen, World};
use super::{Invariant, shown};
use crate::replica::Mode;

#[derive(Default)]
pub(super) struct Kept {
    /// The longest log that each epoch has shown.
    logs: [BTreeMap<u64, Vec<Entry>>; SHARDS],
    /// What was answered later, and in which epoch.
    given: [BTreeSet<(u64, u32)>; SHARDS],
}

impl Invariant for Kept {
    fn see(&mut self, world: &World, seen: &Seen) -> Result<(), String> {
        match seen {
            Seen::Released { shard, epoch, .. } => match shown(seen) {
                Some(Say::Log(log)) => {
                    let known = self.logs[*shard].entry(*epoch).or_default();
                    if log.len() > known.len() {
                        *known = log.clone();
                    }
                }
                Some(Say::Given(op, _)) => drop(self.given[*shard].insert((*epoch, *op))),
                _ => {}
            },
            Seen::Activated { shard, log, epoch, .. } => return self.begins(world.mode, *shard, *epoch, log),
            _ => {}
        }
        Ok(())
    }
}

impl Kept {
    fn begins(&self, mode: Mode, shard: usize, epoch: u64, log: &Log) -> Result<(), String> {
        // What goes on within the shard is not held back. Of what was lost before, this epoch knows nothing.
        let (allowed, epochs) = match mode {
            Mode::Async { lag } => (lag as usize + 4, 1),
            _ => (0, usize::MAX),
        };
        for (_, known) in self.logs[shard].range(..epoch).rev().take(epochs) {
            let same = known.iter().zip(&log.entries).take_while(|(one, other)| one == other).count();
            if known.len() - same > allowed {
                return Err(format!("epoch {epoch} begins without {:?}", &known[same..]));
            }
        }
        let missing = |(at, op): &&(u64, u32)| *at < epoch && !log.entries.contains(&Entry::Op(*op));
        match self.given[shard].iter().find(missing) {
            Some((_, op)) if allowed == 0 => {
                Err(format!("epoch {epoch} begins without {op}, which was answered"))
            }
            _ => Ok(()),
        }
    }
}
