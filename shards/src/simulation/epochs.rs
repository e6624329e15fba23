//! What an epoch shows after a later one has begun is contained in what that one began with.

use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;

use super::log::{Entry, Log, Say};
use super::world::{SHARDS, Seen, World};
use super::{Invariant, shown};

#[derive(Default)]
pub(super) struct Epochs {
    begun: [Vec<(u64, Log)>; SHARDS],
}

impl Invariant for Epochs {
    fn see(&mut self, _: &World, seen: &Seen) -> Result<(), String> {
        match seen {
            Seen::Activated { shard, epoch, log, .. } => self.begun[*shard].push((*epoch, log.clone())),
            Seen::Released { shard, epoch, .. } => {
                let Some(told) = shown(seen) else { return Ok(()) };
                for (later, start) in self.begun[*shard].iter().filter(|(later, _)| later > epoch) {
                    let contained = match told {
                        Say::Log(log) => start.entries.starts_with(log),
                        Say::Given(op, _) => start.entries.contains(&Entry::Op(*op)),
                        _ => true,
                    };
                    if !contained {
                        return Err(format!("epoch {epoch} tells {told:?} after epoch {later} has begun"));
                    }
                }
            }
            _ => {}
        }
        Ok(())
    }
}
