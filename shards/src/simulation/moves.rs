//! After a move, completed or not, a shard has one owner.

use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;

use super::Invariant;
use super::world::{SHARDS, Seen, World};

#[derive(Default)]
pub(super) struct Moves;

impl Invariant for Moves {
    fn see(&mut self, world: &World, seen: &Seen) -> Result<(), String> {
        let Seen::Moved { shard, result: Ok(()) } = seen else { return Ok(()) };
        let epoch = world.records[*shard].as_ref().map_or(0, |record| record.epoch);
        let old =
            |host: &&super::world::Host| host.is_awake() && host.replicas[*shard].serves() == Some(epoch);
        let owners = world.hosts.iter().filter(old).count();
        if owners > 1 { Err(format!("{owners} serve epoch {epoch}")) } else { Ok(()) }
    }

    fn end(&mut self, world: &World) -> Result<(), String> {
        for shard in (0..SHARDS).filter(|shard| !world.is_lost(*shard)) {
            let serving: Vec<_> =
                world.hosts.iter().filter_map(|host| host.replicas[shard].serves()).collect();
            let epoch = world.records[shard].as_ref().map_or(0, |record| record.epoch);
            if serving != [epoch] {
                let states: Vec<_> = world.hosts.iter().map(|host| host.replicas[shard].look()).collect();
                return Err(format!(
                    "in the end, {serving:?} are served, where the record says {epoch}: {states:?}"
                ));
            }
        }
        Ok(())
    }
}
