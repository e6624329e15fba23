//! A node from which nothing comes is lost within the deadline and a quarter of it.

use std::collections::BTreeMap;
use std::time::Duration;

use super::Invariant;
use super::network::NodeNumber;
use super::world::{DEADLINE, Seen};

/// What was on its way when silence began, and when it is looked at.
const SLACK: Duration = Duration::from_millis(100);

/// From then, until then.
type Span = (Duration, Duration);

#[derive(Default)]
pub(super) struct Silence {
    up: BTreeMap<(NodeNumber, NodeNumber), Duration>,
    /// Nothing gets from one to the other.
    cut: BTreeMap<(NodeNumber, NodeNumber), Span>,
    /// It stands still.
    paused: BTreeMap<NodeNumber, Span>,
}

/// One span after another, or both in one.
fn extend(known: Option<Span>, now: Duration, until: Duration) -> Span {
    match known {
        Some((since, before)) if before > now => (since, before.max(until)),
        _ => (now, until),
    }
}

impl Invariant for Silence {
    fn see(&mut self, now: Duration, seen: &Seen) -> Result<(), String> {
        match seen {
            Seen::Up { at, peer, .. } => drop(self.up.insert((*at, *peer), now)),
            Seen::Down { at, peer, .. } => drop(self.up.remove(&(*at, *peer))),
            Seen::Crash { at, .. } => {
                self.up.retain(|(node, _), _| node != at);
                self.paused.remove(at);
            }
            Seen::Cut { from, to, until } => {
                let known = self.cut.get(&(*from, *to)).copied();
                self.cut.insert((*from, *to), extend(known, now, *until));
            }
            Seen::Pause { at, until } => {
                let known = self.paused.get(at).copied();
                self.paused.insert(*at, extend(known, now, *until));
            }
            _ => {}
        }
        for ((at, peer), up) in &self.up {
            // One that stands still itself notices nothing until it goes on.
            let awake = self.paused.get(at).map_or(Duration::ZERO, |(_, until)| *until);
            let cut = self.cut.get(&(*peer, *at));
            // What was sent before the silence, and was held up on its way, comes when a former cut is healed.
            let healed = cut.map(|(_, until)| *until).filter(|until| *until <= now).unwrap_or_default();
            for (since, until) in cut.into_iter().chain(self.paused.get(peer)) {
                let by = (*since).max(*up).max(awake).max(healed) + DEADLINE + DEADLINE / 4 + SLACK;
                if by < now && now < *until {
                    return Err(format!(
                        "{at} has not noticed that nothing comes from {peer} since {since:?}"
                    ));
                }
            }
        }
        Ok(())
    }
}
