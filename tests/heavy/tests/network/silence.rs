//! A node from which nothing comes is lost within the heartbeat deadline and 300 ms of simulated time.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::Invariant;
use crate::trace::{HostNumber, Seen, Watcher};

const DEADLINE: Duration = Duration::from_secs(1);
const SLACK: Duration = Duration::from_millis(300);

/// Who hears nothing, and of whom.
type Way = (HostNumber, HostNumber);

#[derive(Default)]
pub struct Silence {
    up: BTreeMap<Way, Duration>,
    /// Nothing comes from then until then.
    silent: BTreeMap<Way, (Duration, Duration)>,
    /// So often was silence noticed.
    pub noticed: usize,
}

impl Invariant for Silence {
    fn see(&mut self, now: Duration, seen: &Seen) -> Result<(), String> {
        match seen {
            Seen::Up { at, by: Watcher::Desk, peer } => drop(self.up.insert((*at, *peer), now)),
            Seen::Down { at, by: Watcher::Desk, peer } => {
                self.up.remove(&(*at, *peer));
                let silent = self.silent.get(&(*at, *peer));
                self.noticed += usize::from(
                    silent.is_some_and(|(since, until)| *since + DEADLINE <= now && now < *until),
                );
            }
            Seen::Crash { at } => self.up.retain(|(host, _), _| host != at),
            Seen::Cut { from, to, until } | Seen::Hold { from, to, until } => {
                self.silent.insert((*to, *from), (now, *until));
            }
            _ => {}
        }
        for (way, up) in &self.up {
            let Some((since, until)) = self.silent.get(way) else { continue };
            if *since.max(up) + DEADLINE + SLACK < now && now < *until {
                let (at, peer) = way;
                return Err(format!("{at} has not noticed that nothing comes from {peer} since {since:?}"));
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
    fn silence_that_is_not_noticed_is_found() {
        let at = |millis, seen| (Duration::from_millis(millis), seen);
        let up = at(0, Seen::Up { at: 0, by: Watcher::Desk, peer: 1 });
        let cut = at(100, Seen::Cut { from: 1, to: 0, until: Duration::from_secs(3) });
        let down = |millis| at(millis, Seen::Down { at: 0, by: Watcher::Desk, peer: 1 });
        let later = |millis| at(millis, Seen::Crash { at: 2 });
        let right = |trace: &[_]| check(trace, &mut Silence::default()).is_ok();
        assert!(right(&[up.clone(), cut.clone(), down(1390), later(1500)]));
        assert!(!right(&[up.clone(), cut.clone(), later(1500)]));
        assert!(right(&[up.clone(), cut, later(1400)]));
        let hold = at(100, Seen::Hold { from: 1, to: 0, until: Duration::from_secs(1) });
        assert!(right(&[up, hold, later(1500)]));
    }
}
