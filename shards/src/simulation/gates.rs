//! Whoever may take over must acknowledge.

use alloc::format;
use alloc::string::String;

use super::Invariant;
use super::world::{Seen, World};

#[derive(Default)]
pub(super) struct Gates;

impl Invariant for Gates {
    fn see(&mut self, world: &World, seen: &Seen) -> Result<(), String> {
        let Seen::Record { shard, record } = seen else { return Ok(()) };
        for host in world.hosts.iter().filter(|host| host.up && host.member == record.owner) {
            let replica = &host.replicas[*shard];
            if replica.serves() == Some(record.epoch) {
                let gate = replica.gate();
                if let Some(free) = record.in_sync.iter().find(|member| !gate.contains(member)) {
                    return Err(format!("{free:?} may take over, and need not acknowledge: {gate:?}"));
                }
            }
        }
        Ok(())
    }
}
