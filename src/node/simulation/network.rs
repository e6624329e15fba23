//! Connections between nodes: bytes in order, late, cut off, or reset.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use crate::node::frame::Kind;
use crate::node::machine::ConnId;

pub(super) type NodeNumber = usize;
/// One end of a connection.
pub(super) type End = (NodeNumber, ConnId);

/// What goes over a connection.
#[derive(Clone, Debug)]
pub(super) enum Carried {
    Frame {
        kind: Kind,
        whole: Vec<u8>,
    },
    /// A message of the shell: the session it was sent in, and its number there.
    Data {
        session: u64,
        number: u64,
    },
    Closed,
}

/// What is on its way to one end, in its order.
struct Way {
    from: NodeNumber,
    carried: VecDeque<(Duration, Carried)>,
    last: Duration,
}

#[derive(Default)]
pub(super) struct Network {
    ways: BTreeMap<End, Way>,
    peers: BTreeMap<End, End>,
    /// Nothing gets from one to the other until then.
    cuts: BTreeMap<(NodeNumber, NodeNumber), Duration>,
}

impl Network {
    pub(super) fn join(&mut self, a: End, b: End) {
        self.peers.extend([(a, b), (b, a)]);
        for (end, from) in [(a, b.0), (b, a.0)] {
            self.ways.insert(end, Way { from, carried: VecDeque::new(), last: Duration::ZERO });
        }
    }

    pub(super) fn is_cut(&self, from: NodeNumber, to: NodeNumber, now: Duration) -> bool {
        self.cuts.get(&(from, to)).is_some_and(|until| *until > now)
    }

    pub(super) fn cut(&mut self, from: NodeNumber, to: NodeNumber, until: Duration) {
        let cut = self.cuts.entry((from, to)).or_default();
        *cut = (*cut).max(until);
    }

    /// Puts something on its way to the other end.
    pub(super) fn send(&mut self, from: End, carried: Carried, at: Duration) {
        let Some(to) = self.peers.get(&from) else { return };
        if let Some(way) = self.ways.get_mut(to) {
            way.last = way.last.max(at);
            way.carried.push_back((way.last, carried));
        }
    }

    /// This end is closed: nothing comes to it any more.
    pub(super) fn close(&mut self, end: End, at: Duration) {
        if self.ways.remove(&end).is_some() {
            self.send(end, Carried::Closed, at);
            // Numbers come again in the next life of a node: nothing may get to that.
            if let Some(other) = self.peers.remove(&end) {
                self.peers.remove(&other);
            }
        }
    }

    /// When something next comes to an end, and to which; `listens` says from when on that takes something.
    pub(super) fn next(&self, listens: impl Fn(End) -> Option<Duration>) -> Option<(Duration, End)> {
        let firsts = self.ways.iter().filter_map(|(end, way)| {
            let (at, _) = way.carried.front()?;
            let healed = self.cuts.get(&(way.from, end.0)).copied().unwrap_or_default();
            Some(((*at).max(healed).max(listens(*end)?), *end))
        });
        firsts.min()
    }

    pub(super) fn take(&mut self, end: End) -> Option<Carried> {
        self.ways.get_mut(&end)?.carried.pop_front().map(|(_, carried)| carried)
    }

    pub(super) fn ends_of(&self, node: NodeNumber) -> Vec<End> {
        self.ways.keys().filter(|end| end.0 == node).copied().collect()
    }
}
