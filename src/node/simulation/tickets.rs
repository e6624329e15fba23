//! Who asks for a connection is answered once.

use std::collections::BTreeSet;
use std::time::Duration;

use super::Invariant;
use super::network::NodeNumber;
use super::world::{Seen, World};
use crate::node::machine::Ticket;

#[derive(Default)]
pub(super) struct Tickets {
    open: BTreeSet<(NodeNumber, Ticket)>,
}

impl Invariant for Tickets {
    fn see(&mut self, _: Duration, seen: &Seen) -> Result<(), String> {
        match seen {
            Seen::Asked { at, ticket } => drop(self.open.insert((*at, *ticket))),
            Seen::Answered { at, ticket, result } => {
                return match self.open.remove(&(*at, *ticket)) {
                    true => Ok(()),
                    false => Err(format!("{ticket} of {at} is answered though it is not open: {result:?}")),
                };
            }
            // Who asked is gone, too.
            Seen::Crash { at, .. } => self.open.retain(|(node, _)| node != at),
            _ => {}
        }
        Ok(())
    }

    fn end(&mut self, _: &World) -> Result<(), String> {
        match self.open.first() {
            None => Ok(()),
            Some((at, ticket)) => Err(format!("{ticket} of {at} was never answered")),
        }
    }
}
