//! In one epoch one member serves.

use alloc::collections::BTreeMap;
use alloc::format;
use alloc::string::String;

use super::world::{Seen, World};
use super::{Invariant, shown};
use crate::record::Member;

#[derive(Default)]
pub(super) struct Writer {
    by: BTreeMap<(usize, u64), Member>,
}

impl Invariant for Writer {
    fn see(&mut self, _: &World, seen: &Seen) -> Result<(), String> {
        let (shard, by, epoch) = match seen {
            Seen::Released { shard, by, epoch, .. } if shown(seen).is_some() => (*shard, *by, *epoch),
            Seen::Effected { shard, by, epoch, .. } | Seen::Activated { shard, by, epoch, .. } => {
                (*shard, *by, *epoch)
            }
            _ => return Ok(()),
        };
        let first = *self.by.entry((shard, epoch)).or_insert(by);
        if first == by {
            Ok(())
        } else {
            Err(format!("epoch {epoch} of shard {shard} is of {first:?} and {by:?}"))
        }
    }
}
