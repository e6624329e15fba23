//! Who is tied to a process of a node that is lost hears noconnection, once by each link, monitor and waiting call, and only
//! then; and no call waits for a node that is down.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::Invariant;
use crate::trace::{By, HostNumber, Seen, Watcher};

/// What is told at the same time is heard by all within this.
const SOON: Duration = Duration::from_millis(5);
/// From the first that hears of a loss to the last: longer than what a lost node has said is read for.
const LOSING: Duration = Duration::from_millis(130);

/// Who is tied, and to whom.
type Way = (HostNumber, HostNumber);

#[derive(Default)]
struct Tie {
    number: u64,
    link: bool,
    monitor: bool,
    call: bool,
    /// When the first of the three was over.
    over: Option<Duration>,
}

#[derive(Default)]
pub struct NoConnection {
    ties: BTreeMap<Way, Tie>,
    /// When a process has heard that the node is down, which is not up again.
    down: BTreeMap<Way, Duration>,
    asked: BTreeMap<(Way, u64), Duration>,
    up: BTreeMap<Way, ()>,
    /// So many ties have been over.
    pub over: usize,
}

impl NoConnection {
    fn untie(&mut self, now: Duration, way: Way, number: u64, by: By, why: &str) -> Result<(), String> {
        let (at, to) = way;
        let Some(tie) = self.ties.get_mut(&way).filter(|tie| tie.number == number) else {
            return Err(format!("{at} hears of {to} by {by:?} {number:x}, which is over: {why}"));
        };
        let over = match by {
            By::Link => &mut tie.link,
            By::Monitor => &mut tie.monitor,
            By::Call => &mut tie.call,
        };
        if std::mem::replace(over, true) {
            return Err(format!("{at} hears of {to} by {by:?} {number:x} twice"));
        }
        if why != "noconnection" {
            return Err(format!("{at} hears of {to} by {by:?} {number:x}: {why}"));
        }
        tie.over.get_or_insert(now);
        if tie.link && tie.monitor && tie.call {
            self.ties.remove(&way);
            self.over += 1;
        }
        Ok(())
    }

    /// What should have been heard by now.
    fn late(&self, now: Duration) -> Result<(), String> {
        for (way, tie) in &self.ties {
            let (at, to) = way;
            let down = self.down.get(way).is_some_and(|since| *since + SOON < now);
            if down || tie.over.is_some_and(|since| since + LOSING < now) {
                let heard = (tie.link, tie.monitor, tie.call);
                return Err(format!(
                    "of its tie to {to}, which is down, {at} has heard by link, monitor, call: {heard:?}"
                ));
            }
        }
        for ((way, number), since) in &self.asked {
            if self.down.get(way).is_some_and(|down| *down.max(since) + SOON < now) {
                return Err(format!(
                    "{} waits for an answer to {number:x} of {}, which is down",
                    way.0, way.1
                ));
            }
        }
        Ok(())
    }
}

impl Invariant for NoConnection {
    fn see(&mut self, now: Duration, seen: &Seen) -> Result<(), String> {
        self.late(now)?;
        match seen {
            Seen::Up { at, by: Watcher::Tier, peer } => {
                let way = (*at, *peer);
                self.down.remove(&way);
                self.up.insert(way, ());
                if self.ties.contains_key(&way) {
                    return Err(format!(
                        "{at} has not heard of all that tied it to {peer} before it is up again"
                    ));
                }
            }
            Seen::Down { at, by: Watcher::Tier, peer } => {
                self.up.remove(&(*at, *peer));
                self.down.insert((*at, *peer), now);
            }
            Seen::Crash { at } => {
                self.ties.retain(|(host, _), _| host != at);
                self.down.retain(|(host, _), _| host != at);
                self.up.retain(|(host, _), _| host != at);
                self.asked.retain(|((host, _), _), _| host != at);
            }
            Seen::Tied { at, to, tie } => {
                self.ties.insert((*at, *to), Tie { number: *tie, ..Tie::default() });
            }
            Seen::Untied { at, to, tie, by, why } => return self.untie(now, (*at, *to), *tie, *by, why),
            Seen::Asked { at, to, number } => drop(self.asked.insert(((*at, *to), *number), now)),
            Seen::Answered { at, to, number, answer } => {
                if self.asked.remove(&((*at, *to), *number)).is_none() {
                    return Err(format!("{at} is answered by {to} what it has not asked"));
                }
                let lost = |why: &String| why.contains("noconnection");
                if !answer.as_ref().map_or_else(lost, |answer| answer == number) {
                    return Err(format!("{at} asks {to} for {number:x} and is answered {answer:?}"));
                }
            }
            _ => {}
        }
        Ok(())
    }

    fn end(&mut self, now: Duration) -> Result<(), String> {
        self.late(now)?;
        for way in self.up.keys() {
            let (at, to) = way;
            if self.ties.get(way).is_none_or(|tie| tie.over.is_some()) {
                return Err(format!("{at} is not tied to {to}, which is up"));
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::check;

    const UP: Seen = Seen::Up { at: 0, by: Watcher::Tier, peer: 1 };
    const DOWN: Seen = Seen::Down { at: 0, by: Watcher::Tier, peer: 1 };
    const TIED: Seen = Seen::Tied { at: 0, to: 1, tie: 1 };

    fn untied(by: By) -> Seen {
        Seen::Untied { at: 0, to: 1, tie: 1, by, why: "noconnection".into() }
    }

    fn right(seen: &[Seen]) -> bool {
        let end = (Duration::from_secs(2), Seen::Crash { at: 2 });
        let at_once = seen.iter().map(|seen| (Duration::from_secs(1), seen.clone()));
        check(&at_once.chain([end]).collect::<Vec<_>>(), &mut NoConnection::default()).is_ok()
    }

    #[test]
    fn each_is_heard_once_and_only_of_a_loss() {
        let [link, monitor, call] = [By::Link, By::Monitor, By::Call].map(untied);
        assert!(right(&[UP, TIED, link.clone(), monitor.clone(), DOWN, call.clone()]));
        assert!(right(&[UP, TIED]));
        assert!(!right(&[UP]));
        assert!(!right(&[UP, TIED, link.clone(), monitor.clone(), DOWN]));
        assert!(!right(&[UP, TIED, link.clone(), link.clone(), DOWN]));
        assert!(!right(&[UP, TIED, link, monitor, call.clone(), call.clone(), DOWN]));
        assert!(!right(&[UP, TIED, DOWN, UP]));
        assert!(!right(&[UP, TIED, call]));
    }

    #[test]
    fn an_answer_is_that_of_its_call() {
        let asked = Seen::Asked { at: 0, to: 1, number: 7 };
        let answered = |answer| Seen::Answered { at: 0, to: 1, number: 7, answer };
        assert!(right(&[asked.clone(), answered(Ok(7))]));
        assert!(right(&[asked.clone(), answered(Err("noconnection: it is lost".into()))]));
        assert!(!right(&[asked.clone(), answered(Ok(8))]));
        assert!(!right(&[asked.clone(), answered(Err("timeout".into()))]));
        assert!(!right(&[asked.clone(), answered(Ok(7)), answered(Ok(7))]));
        assert!(!right(&[UP, TIED, asked, untied(By::Link), untied(By::Monitor), untied(By::Call), DOWN]));
    }
}
