//! There is one session with a node at most, and up and down of it alternate.

use std::collections::BTreeMap;
use std::time::Duration;

use super::Invariant;
use super::network::NodeNumber;
use super::world::Seen;
use crate::node::machine::SessionId;

#[derive(Default)]
pub(super) struct OneSession {
    up: BTreeMap<(NodeNumber, NodeNumber), SessionId>,
    /// Those that were up at a node before: none comes again.
    former: BTreeMap<NodeNumber, Vec<SessionId>>,
}

impl Invariant for OneSession {
    fn see(&mut self, _: Duration, seen: &Seen) -> Result<(), String> {
        match seen {
            Seen::Up { at, peer, session, .. } => {
                if let Some(other) = self.up.insert((*at, *peer), *session) {
                    return Err(format!("{at} has {other:x} with {peer}, and gets {session:x}"));
                }
                let former = self.former.entry(*at).or_default();
                if former.contains(session) {
                    return Err(format!("{session:x} comes up at {at} again"));
                }
                former.push(*session);
            }
            Seen::Down { at, peer, session, .. } => {
                let up = self.up.remove(&(*at, *peer));
                return match up == Some(*session) {
                    true => Ok(()),
                    false => Err(format!("{session:x} goes down at {at}, where {up:x?} was up")),
                };
            }
            Seen::Crash { at, .. } => self.up.retain(|(node, _), _| node != at),
            _ => {}
        }
        Ok(())
    }
}
