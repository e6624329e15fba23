//! Whoever watches hears that a node is up and that it is down in turns, and first that it is up.

use std::collections::BTreeSet;
use std::time::Duration;

use crate::Invariant;
use crate::trace::{HostNumber, Seen, Watcher};

#[derive(Default)]
pub struct Alternate {
    up: BTreeSet<(HostNumber, Watcher, HostNumber)>,
}

impl Invariant for Alternate {
    fn see(&mut self, _: Duration, seen: &Seen) -> Result<(), String> {
        match seen {
            Seen::Up { at, by, peer } if !self.up.insert((*at, *by, *peer)) => {
                Err(format!("{by:?} of {at} hears that {peer} is up, which it was"))
            }
            Seen::Down { at, by, peer } if !self.up.remove(&(*at, *by, *peer)) => {
                Err(format!("{by:?} of {at} hears that {peer} is down, which it was"))
            }
            Seen::Crash { at } => {
                self.up.retain(|(host, _, _)| host != at);
                Ok(())
            }
            _ => Ok(()),
        }
    }

    /// All of a host agree.
    fn end(&mut self, _: Duration) -> Result<(), String> {
        for (at, _, peer) in &self.up {
            for by in [Watcher::Desk, Watcher::Talker, Watcher::Tier] {
                if !self.up.contains(&(*at, by, *peer)) {
                    return Err(format!("{by:?} of {at} has not heard that {peer} is up"));
                }
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::check;

    #[test]
    fn what_is_told_twice_or_not_to_all_is_found() {
        let up = |by| (Duration::ZERO, Seen::Up { at: 0, by, peer: 1 });
        let down = |by| (Duration::ZERO, Seen::Down { at: 0, by, peer: 1 });
        let right = |trace: &[_]| check(trace, &mut Alternate::default()).is_ok();
        let desk = Watcher::Desk;
        assert!(right(&[up(desk), down(desk), up(desk), down(desk)]));
        assert!(right(&[up(desk), up(Watcher::Talker), up(Watcher::Tier)]));
        assert!(!right(&[up(desk), up(desk)]));
        assert!(!right(&[down(desk)]));
        assert!(!right(&[up(desk), down(desk), down(desk)]));
        assert!(!right(&[up(desk), up(Watcher::Tier)]));
    }
}
