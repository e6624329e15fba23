//! What is delivered in a session is what was sent in it: from its beginning, in order, each once, and nothing after its end.

use std::collections::BTreeMap;
use std::time::Duration;

use super::Invariant;
use super::network::NodeNumber;
use super::world::Seen;
use crate::node::machine::SessionId;

#[derive(Default)]
pub(super) struct Prefix {
    up: BTreeMap<(NodeNumber, SessionId), u64>,
    sent: BTreeMap<(NodeNumber, SessionId), u64>,
    delivered: bool,
}

impl Invariant for Prefix {
    fn see(&mut self, _: Duration, seen: &Seen) -> Result<(), String> {
        match seen {
            Seen::Up { at, session, .. } => drop(self.up.insert((*at, *session), 0)),
            Seen::Down { at, session, .. } => drop(self.up.remove(&(*at, *session))),
            Seen::Crash { at, .. } => self.up.retain(|(node, _), _| node != at),
            Seen::Sent { at, session, number } => {
                let next = self.sent.entry((*at, *session)).or_default();
                if *next != *number {
                    return Err(format!("{at} sends {number} after {next}"));
                }
                *next += 1;
            }
            Seen::Delivered { at, session, sent_in, number } => {
                self.delivered = true;
                if session != sent_in {
                    return Err(format!("what was sent in {sent_in:x} comes in {session:x}"));
                }
                let Some(next) = self.up.get_mut(&(*at, *session)) else {
                    return Err(format!("{number} comes to {at} after the end of {session:x}"));
                };
                if *next != *number {
                    return Err(format!("{number} comes to {at}, where {next} is next"));
                }
                *next += 1;
                let sent =
                    self.sent.iter().any(|((from, of), n)| from != at && of == session && *n > *number);
                if !sent {
                    return Err(format!("{number} of {session:x} was never sent"));
                }
            }
            _ => {}
        }
        Ok(())
    }

    fn end(&mut self, _: &super::World) -> Result<(), String> {
        if self.delivered { Ok(()) } else { Err("nothing was ever delivered".into()) }
    }
}
