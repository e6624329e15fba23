//! When all faults are over, each is connected with each, and calls are answered.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use crate::Invariant;
use crate::trace::{HostNumber, Seen, Watcher};

/// The last call of each is answered, if it was not asked at the very end.
const LATE: Duration = Duration::from_millis(500);

#[derive(Default)]
pub struct Converge {
    hosts: BTreeSet<HostNumber>,
    up: BTreeSet<(HostNumber, HostNumber)>,
    /// When each was last answered rightly by another.
    answered: BTreeMap<(HostNumber, HostNumber), Duration>,
}

impl Invariant for Converge {
    fn see(&mut self, now: Duration, seen: &Seen) -> Result<(), String> {
        match seen {
            Seen::Begin { at, .. } => drop(self.hosts.insert(*at)),
            Seen::Up { at, by: Watcher::Desk, peer } => drop(self.up.insert((*at, *peer))),
            Seen::Down { at, by: Watcher::Desk, peer } => drop(self.up.remove(&(*at, *peer))),
            Seen::Crash { at } => self.up.retain(|(host, _)| host != at),
            Seen::Answered { at, to, answer: Ok(_), .. } => drop(self.answered.insert((*at, *to), now)),
            _ => {}
        }
        Ok(())
    }

    fn end(&mut self, now: Duration) -> Result<(), String> {
        for at in &self.hosts {
            for peer in self.hosts.iter().filter(|peer| *peer != at) {
                if !self.up.contains(&(*at, *peer)) {
                    return Err(format!("{at} is not connected with {peer}"));
                }
                let answered = self.answered.get(&(*at, *peer));
                if answered.is_none_or(|answered| *answered + LATE < now) {
                    return Err(format!("{peer} has answered {at} at {answered:?} for the last time"));
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
    fn who_is_not_connected_or_not_answered_is_found() {
        let begins = [0, 1].map(|at| (Duration::ZERO, Seen::Begin { at, life: 1 }));
        let up = |at| (Duration::ZERO, Seen::Up { at, by: Watcher::Desk, peer: 1 - at });
        let answered = |at| (Duration::ZERO, Seen::Answered { at, to: 1 - at, number: 7, answer: Ok(7) });
        let right = |more: &[_]| check(&[&begins, more].concat(), &mut Converge::default()).is_ok();
        assert!(right(&[up(0), up(1), answered(0), answered(1)]));
        assert!(!right(&[up(0), answered(0), answered(1)]));
        assert!(!right(&[up(0), up(1), answered(0)]));
        assert!(!right(&[up(0), up(1), answered(0), answered(1), (LATE * 2, Seen::Crash { at: 2 })]));
    }
}
