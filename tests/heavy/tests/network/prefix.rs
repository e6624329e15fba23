//! What a process hears of another over one connection is what that has sent over it: from its beginning, in order, each
//! once, between the news that the node is up and the news that it is down; and nothing of a former connection.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use crate::Invariant;
use crate::trace::{HostNumber, Said, Seen, Watcher};

/// What was sent so long ago has come, if the connection is up and nothing is done to it.
const LATE: Duration = Duration::from_millis(100);

/// Who hears, and whom.
type Way = (HostNumber, HostNumber);

#[derive(Default)]
pub struct Prefix {
    /// What is heard next over the connection that is up; before the first, that is not known but for its number.
    up: BTreeMap<Way, Option<Said>>,
    /// The last that was heard over a former one.
    former: BTreeMap<Way, Said>,
    /// What is on its way.
    sent: BTreeMap<Way, BTreeMap<(u32, u64, u64), Duration>>,
    heard: BTreeSet<Way>,
}

fn order(said: &Said) -> (u32, u64, u64) {
    (said.life, said.connection, said.number)
}

impl Prefix {
    fn hear(&mut self, way: Way, said: Said) -> Result<(), String> {
        let (at, from) = way;
        let Some(next) = self.up.get_mut(&way) else {
            return Err(format!("{at} hears {said:?} of {from}, which is not up"));
        };
        match next {
            Some(next) if *next != said => {
                return Err(format!("{at} hears {said:?} of {from}, where {next:?} is next"));
            }
            None if said.number > 0 => {
                return Err(format!("{at} hears {said:?} of {from}, and nothing before it"));
            }
            None if self.former.get(&way).is_some_and(|former| order(former) >= order(&said)) => {
                return Err(format!("{at} hears {said:?} of {from}, of a former connection"));
            }
            _ => *next = Some(Said { number: said.number + 1, ..said }),
        }
        if self.sent.entry(way).or_default().remove(&order(&said)).is_none() {
            return Err(format!("{at} hears {said:?} of {from}, which was not sent"));
        }
        self.former.insert(way, said);
        self.heard.insert(way);
        Ok(())
    }
}

impl Invariant for Prefix {
    fn see(&mut self, now: Duration, seen: &Seen) -> Result<(), String> {
        match seen {
            Seen::Up { at, by: Watcher::Desk, peer } => drop(self.up.insert((*at, *peer), None)),
            Seen::Down { at, by: Watcher::Desk, peer } => drop(self.up.remove(&(*at, *peer))),
            Seen::Crash { at } => self.up.retain(|(host, _), _| host != at),
            Seen::Sent { at, to, said } => {
                self.sent.entry((*to, *at)).or_default().insert(order(said), now);
            }
            Seen::Heard { at, from, said } => return self.hear((*at, *from), *said),
            _ => {}
        }
        Ok(())
    }

    fn end(&mut self, now: Duration) -> Result<(), String> {
        for (way, next) in &self.up {
            let (at, from) = way;
            let Some(next) = next.filter(|_| self.heard.contains(way)) else {
                return Err(format!("{at} has heard nothing of {from}, which is up"));
            };
            // Of what was sent over this connection nothing is missing.
            let mut waits = self.sent.get(way).into_iter().flatten();
            let missing = waits.find(|(said, since)| **said >= order(&next) && **since + LATE < now);
            if let Some((said, since)) = missing {
                return Err(format!("{at} has not heard {said:?} of {from}, which was sent at {since:?}"));
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::check;

    fn said(connection: u64, number: u64) -> Said {
        Said { life: 1, connection, number }
    }

    fn sent(connection: u64, number: u64) -> Seen {
        Seen::Sent { at: 1, to: 0, said: said(connection, number) }
    }

    fn heard(connection: u64, number: u64) -> Seen {
        Seen::Heard { at: 0, from: 1, said: said(connection, number) }
    }

    const UP: Seen = Seen::Up { at: 0, by: Watcher::Desk, peer: 1 };
    const DOWN: Seen = Seen::Down { at: 0, by: Watcher::Desk, peer: 1 };

    /// Whether it is right to hear these when all of two connections was sent.
    fn right(seen: &[Seen]) -> bool {
        let all = (1..=2).flat_map(|connection| (0..4).map(move |number| sent(connection, number)));
        let now = Duration::from_secs(1);
        let trace: Vec<_> = all.chain(seen.iter().cloned()).map(|seen| (now, seen)).collect();
        check(&trace, &mut Prefix::default()).is_ok()
    }

    #[test]
    fn gaps_repetitions_and_what_is_old_are_found() {
        assert!(right(&[UP, heard(1, 0), heard(1, 1), DOWN, UP, heard(2, 0)]));
        assert!(!right(&[UP, heard(1, 0), heard(1, 2)]));
        assert!(!right(&[UP, heard(1, 1)]));
        assert!(!right(&[UP, heard(1, 0), heard(1, 0)]));
        assert!(!right(&[UP, heard(1, 0), DOWN, heard(1, 1)]));
        assert!(!right(&[UP, heard(1, 0), DOWN, UP, heard(1, 1)]));
        assert!(!right(&[UP, heard(1, 0), heard(2, 0)]));
        assert!(!right(&[UP, heard(2, 0), DOWN, UP, heard(1, 0)]));
        assert!(!right(&[UP, heard(3, 0)]));
    }

    #[test]
    fn what_does_not_come_is_found() {
        let (early, late) = (Duration::from_secs(1), Duration::from_secs(2));
        let mut trace = vec![(early, UP), (early, sent(1, 0)), (early, heard(1, 0)), (early, sent(1, 1))];
        assert!(check(&trace, &mut Prefix::default()).is_ok());
        trace.push((late, Seen::Crash { at: 2 }));
        assert!(check(&trace, &mut Prefix::default()).is_err());
    }
}
