//! Whoever asks after another has heard sees at least what that one was told.

use alloc::collections::BTreeMap;
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;

use super::Invariant;
use super::log::{Entry, Say};
use super::world::{SHARDS, Seen, World};
use crate::replica::Mode;
use crate::stub::Outcome;

#[derive(Default)]
pub(super) struct Linear {
    /// The longest log that any client was told.
    told: [Vec<Entry>; SHARDS],
    /// How much of it there was when a call began, and what it asked.
    begun: BTreeMap<u64, (usize, Say)>,
}

impl Invariant for Linear {
    fn see(&mut self, world: &World, seen: &Seen) -> Result<(), String> {
        if matches!(world.mode, Mode::Async { .. }) {
            return Ok(());
        }
        match seen {
            Seen::Called { shard, ticket, say, .. } => {
                self.begun.insert(*ticket, (self.told[*shard].len(), say.clone()));
            }
            Seen::Done { shard, ticket, outcome: Outcome::Answered(Some(Say::Log(log))), .. } => {
                let Some((before, say)) = self.begun.remove(ticket) else { return Ok(()) };
                let told = &mut self.told[*shard];
                if !log.starts_with(&told[..before]) {
                    return Err(format!(
                        "call {ticket} saw {log:?}, others had seen {:?} before",
                        &told[..before]
                    ));
                }
                if let Some(op) = say.op()
                    && !log.contains(&Entry::Op(op))
                {
                    return Err(format!("call {ticket} does not see itself"));
                }
                if log.len() > told.len() {
                    if !log.starts_with(told) {
                        return Err(format!("{log:?} and {told:?} are two histories"));
                    }
                    *told = log.clone();
                } else if !told.starts_with(log) {
                    return Err(format!("{log:?} and {told:?} are two histories"));
                }
            }
            _ => {}
        }
        Ok(())
    }
}
