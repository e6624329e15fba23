//! Whoever is named in sync and lives has all that was shown.

use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;

use super::log::{Entry, Say};
use super::world::{SHARDS, Seen, World};
use super::{Invariant, shown};
use crate::replica::Mode;

#[derive(Default)]
pub(super) struct Complete {
    shown: [Vec<Entry>; SHARDS],
}

impl Invariant for Complete {
    fn see(&mut self, world: &World, seen: &Seen) -> Result<(), String> {
        if matches!(world.mode, Mode::Async { .. }) {
            return Ok(());
        }
        let shard = match seen {
            Seen::Released { shard, epoch, .. } => {
                let Some(record) = &world.records[*shard] else { return Ok(()) };
                match shown(seen) {
                    Some(Say::Log(log)) if log.len() > self.shown[*shard].len() && record.epoch == *epoch => {
                        self.shown[*shard] = log.clone();
                    }
                    _ => return Ok(()),
                }
                *shard
            }
            Seen::Record { shard, .. } => *shard,
            _ => return Ok(()),
        };
        let Some(record) = &world.records[shard] else { return Ok(()) };
        for host in world.hosts.iter().filter(|host| host.up && record.in_sync.contains(&host.member)) {
            let held = host.replicas[shard].copy().map(|copy| &copy.contents.entries[..]).unwrap_or_default();
            if !held.starts_with(&self.shown[shard]) {
                let member = host.member;
                return Err(format!(
                    "{member:?} is in sync and holds {held:?}, shown was {:?}",
                    self.shown[shard]
                ));
            }
        }
        Ok(())
    }
}
