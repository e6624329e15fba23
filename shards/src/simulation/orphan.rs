//! No effect without its cause, and no cause without its effect.

use alloc::collections::{BTreeMap, BTreeSet};
use alloc::format;
use alloc::string::String;

use super::Invariant;
use super::log::{Entry, Say};
use super::world::{SHARDS, Seen, World};
use crate::replica::Mode;

#[derive(Default)]
pub(super) struct Orphan {
    asked: BTreeMap<u32, Say>,
    told: [BTreeSet<(u64, u32)>; SHARDS],
}

impl Invariant for Orphan {
    fn see(&mut self, world: &World, seen: &Seen) -> Result<(), String> {
        match seen {
            Seen::Called { say, .. } => drop(say.op().map(|op| self.asked.insert(op, say.clone()))),
            Seen::Effected { shard, request, epoch, .. } => {
                self.told[*shard].extend(request.body.op().map(|op| (*epoch, op)));
            }
            Seen::Activated { shard, log, epoch, .. } if !matches!(world.mode, Mode::Async { .. }) => {
                let missing = |(at, op): &&(u64, u32)| at < epoch && !log.entries.contains(&Entry::Op(*op));
                if let Some((_, op)) = self.told[*shard].iter().find(missing) {
                    return Err(format!(
                        "epoch {epoch} begins without {op}, of which the other shard was told"
                    ));
                }
            }
            _ => {}
        }
        Ok(())
    }

    fn end(&mut self, world: &World) -> Result<(), String> {
        if matches!(world.mode, Mode::Async { .. }) || (0..SHARDS).any(|shard| world.is_lost(shard)) {
            return Ok(());
        }
        let logs: [BTreeSet<Entry>; SHARDS] =
            [0, 1].map(|shard| world.final_log(shard).into_iter().collect());
        for shard in 0..SHARDS {
            for entry in &logs[shard] {
                if let Entry::Effect(op) = entry
                    && !logs[1 - shard].contains(&Entry::Op(*op))
                {
                    return Err(format!("shard {shard} was told of {op}, which never was"));
                }
                let Entry::Op(op) = entry else { continue };
                let follows = match self.asked.get(op) {
                    Some(Say::Tell(_)) => logs[1 - shard].contains(&Entry::Effect(*op)),
                    Some(Say::Ask(_)) => {
                        logs[1 - shard].contains(&Entry::Effect(*op))
                            && logs[shard].contains(&Entry::Got(*op))
                    }
                    Some(Say::Post(_)) => logs[shard].contains(&Entry::Inner(*op)),
                    Some(Say::Wait(_)) => logs[shard].contains(&Entry::Waited(*op)),
                    _ => true,
                };
                if !follows {
                    return Err(format!("of {:?} nothing has come", self.asked[op]));
                }
            }
        }
        Ok(())
    }
}
