//! When faults are over, whatever was asked is answered.

use alloc::collections::BTreeMap;
use alloc::format;
use alloc::string::String;

use super::Invariant;
use super::log::Say;
use super::world::{Seen, World};

#[derive(Default)]
pub(super) struct Progress {
    open: BTreeMap<u64, (usize, Say)>,
}

impl Invariant for Progress {
    fn see(&mut self, _: &World, seen: &Seen) -> Result<(), String> {
        match seen {
            // What only the new version can say may be refused for as long as the old one is there.
            Seen::Called { say: Say::PutNew(_), .. } => {}
            Seen::Called { shard, ticket, say, .. } => drop(self.open.insert(*ticket, (*shard, say.clone()))),
            Seen::Done { ticket, .. } => drop(self.open.remove(ticket)),
            _ => {}
        }
        Ok(())
    }

    fn end(&mut self, world: &World) -> Result<(), String> {
        match self.open.iter().find(|(_, (shard, _))| !world.is_lost(*shard)) {
            Some((ticket, call)) => Err(format!("call {ticket}, {call:?}, has no answer")),
            None => Ok(()),
        }
    }
}
