//! A request changes a shard once at most, has one answer, and is never forgotten while its session lives.

use alloc::collections::{BTreeMap, BTreeSet};
use alloc::format;
use alloc::string::String;

use super::log::{Entry, Say};
use super::world::{SHARDS, Seen, World};
use super::{Invariant, shown};
use crate::message::{Reply, RequestId};
use crate::replica::Mode;

#[derive(Default)]
pub(super) struct Once {
    answers: [BTreeMap<(RequestId, u64), Say>; SHARDS],
}

/// What stands in a log more than once. Where the tail of the other shard may be lost, it may tell again what it told
/// in that.
fn twice(world: &World, log: &[Entry]) -> Option<Entry> {
    let lossy = matches!(world.mode, Mode::Async { .. });
    let mut known = BTreeSet::new();
    let counts = |entry: &&Entry| !lossy || !matches!(entry, Entry::Effect(_));
    log.iter().filter(counts).find(|entry| !known.insert(**entry)).copied()
}

impl Invariant for Once {
    fn see(&mut self, world: &World, seen: &Seen) -> Result<(), String> {
        if let Some(Say::Log(log)) = shown(seen)
            && let Some(entry) = twice(world, log)
        {
            return Err(format!("{entry:?} was carried out twice"));
        }
        match seen {
            Seen::Activated { log, .. } => {
                if let Some(entry) = twice(world, &log.entries) {
                    return Err(format!("{entry:?} was carried out twice"));
                }
            }
            Seen::Released {
                shard,
                epoch,
                reply: Reply::Answered { id, body: Some(body @ Say::Given(..)) },
                ..
            } => {
                // Where the tail may be lost, so may the frame of the first, and the next owner takes another for that.
                let tail = if matches!(world.mode, Mode::Async { .. }) { *epoch } else { 0 };
                let first = self.answers[*shard].entry((*id, tail)).or_insert(body.clone());
                if first != body {
                    return Err(format!("{id:?} was answered {first:?}, then {body:?}"));
                }
            }
            // Where the tail may be lost, so may the frame that opened the session.
            Seen::Released { shard, reply: Reply::Expired { id }, .. }
                if !matches!(world.mode, Mode::Async { .. })
                    && world.clients.iter().any(|client| client.stubs[*shard].waits(*id, world.now)) =>
            {
                return Err(format!("{id:?} is forgotten, and waited for"));
            }
            _ => {}
        }
        Ok(())
    }

    fn end(&mut self, world: &World) -> Result<(), String> {
        for shard in 0..SHARDS {
            let logs = world.hosts.iter().filter_map(|host| host.replicas[shard].copy());
            if let Some(entry) = logs.filter_map(|copy| twice(world, &copy.contents.entries)).next() {
                return Err(format!("{entry:?} was carried out twice"));
            }
        }
        Ok(())
    }
}
