//! The nodes, what they do, and what is done to them.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use super::network::{Carried, End, Network, NodeNumber};
use crate::node::frame;
use crate::node::handshake::{Cookie, Identity, NotConnected, RefusedBecause};
use crate::node::machine::{Action, ConnId, DownBecause, Keep, Machine, SessionId, Settings, Ticket};
use crate::term::NodeId;

pub(super) const NODES: usize = 3;
pub(super) const DEADLINE: Duration = Duration::from_millis(1000);
/// Faults come until then.
const FAULTS: Duration = Duration::from_secs(12);
/// And then it goes on so long, for all to be well.
const CALM: Duration = Duration::from_secs(8);

/// Something that happened.
#[derive(Clone, Debug)]
pub(super) enum Seen {
    Up {
        at: NodeNumber,
        peer: NodeNumber,
        session: SessionId,
    },
    Down {
        at: NodeNumber,
        peer: NodeNumber,
        session: SessionId,
        why: DownBecause,
    },
    Sent {
        at: NodeNumber,
        session: SessionId,
        number: u64,
    },
    Delivered {
        at: NodeNumber,
        session: SessionId,
        sent_in: SessionId,
        number: u64,
    },
    Asked {
        at: NodeNumber,
        ticket: Ticket,
    },
    Answered {
        at: NodeNumber,
        ticket: Ticket,
        result: Result<NodeId, NotConnected>,
    },
    Refused(RefusedBecause),
    /// Nothing that one sends reaches the other from here on, until then.
    Cut {
        from: NodeNumber,
        to: NodeNumber,
        until: Duration,
    },
    Pause {
        at: NodeNumber,
        until: Duration,
    },
    Crash {
        at: NodeNumber,
    },
}

struct Host {
    machine: Machine,
    life: u32,
    /// It does nothing until then.
    paused: Duration,
    /// A frame was handed over, and the next one waits.
    handed: BTreeSet<ConnId>,
    /// Lanes of messages of sessions that are up, and what was sent on them.
    lanes: BTreeMap<ConnId, (SessionId, u64)>,
}

pub(super) struct World {
    random: u64,
    now: Duration,
    hosts: Vec<Host>,
    network: Network,
    next_fault: Duration,
    next_send: Duration,
    next_ticket: Ticket,
    seen: Vec<Seen>,
    /// So many addresses are known from the beginning.
    known: usize,
}

fn name(node: NodeNumber) -> Arc<str> {
    ["a", "b", "c"][node].into()
}

pub(super) fn number(peer: &Identity) -> NodeNumber {
    (0..NODES).find(|node| *name(*node) == *peer.name).unwrap_or(NODES)
}

fn host(node: NodeNumber, life: u32, seed: u64) -> Host {
    let me = Identity { name: name(node), creation: life, releases: (1, 1) };
    let settings = Settings {
        me,
        cookie: Cookie::new("the same for all"),
        deadline: DEADLINE,
        handshake: Duration::from_secs(2),
        redial: (Duration::from_millis(50), Duration::from_millis(800)),
        address: Some(name(node)),
        learns: true,
    };
    let mut state = seed ^ (node as u64) << 32 ^ u64::from(life) << 40 | 1;
    let nonce = move || {
        std::array::from_fn(|_| {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (state >> 33) as u8
        })
    };
    let machine = Machine::new(settings, nonce);
    Host { machine, life, paused: Duration::ZERO, handed: BTreeSet::new(), lanes: BTreeMap::new() }
}

impl World {
    pub(super) fn new(seed: u64) -> Self {
        let mut world = World {
            random: seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1,
            now: Duration::ZERO,
            hosts: (0..NODES).map(|node| host(node, 1, seed)).collect(),
            network: Network::default(),
            next_fault: Duration::from_millis(500),
            next_send: Duration::ZERO,
            next_ticket: 1,
            seen: Vec::new(),
            known: if seed.is_multiple_of(2) { NODES } else { 1 },
        };
        (0..NODES).for_each(|node| world.begin(node));
        world
    }

    fn below(&mut self, end: u64) -> u64 {
        self.random ^= self.random >> 12;
        self.random ^= self.random << 25;
        self.random ^= self.random >> 27;
        (self.random.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 33) % end
    }

    fn millis(&mut self, from: u64, to: u64) -> Duration {
        Duration::from_millis(from + self.below(to - from))
    }

    /// A delay of the network: short mostly, long now and then.
    fn delay(&mut self) -> Duration {
        let micros = if self.below(20) == 0 { self.below(80_000) } else { self.below(2_000) };
        Duration::from_micros(100 + micros)
    }

    /// All have the same list of addresses: of all, or of the first alone, who tells the others of each other. One that has
    /// begun anew dials all of it again.
    fn begin(&mut self, node: NodeNumber) {
        let now = self.now;
        for to in 0..self.known {
            self.hosts[node].machine.handle_connect(now, &name(to), Keep::Always, None);
        }
        self.act(node);
    }

    /// Who is up at a node, with the session.
    pub(super) fn up(&self, node: NodeNumber) -> BTreeMap<NodeNumber, SessionId> {
        self.hosts[node].machine.up().map(|seen| (number(seen.peer), seen.session)).collect()
    }

    /// Goes on to the next thing that happens. `None`: it is over.
    pub(super) fn step(&mut self) -> Option<(Duration, Vec<Seen>)> {
        let listens = |(node, conn): End| {
            let host: &Host = &self.hosts[node];
            (!host.handed.contains(&conn)).then_some(host.paused)
        };
        let arrival = self.network.next(listens).map(|(at, end)| (at, 0, end));
        let timers = self.hosts.iter().enumerate().filter_map(|(node, host)| {
            host.machine.next_time().map(|at| (at.max(host.paused), 1, (node, 0)))
        });
        let fault = (self.next_fault < FAULTS).then_some((self.next_fault, 2, (0, 0)));
        let send = Some((self.next_send, 3, (0, 0)));
        let next = timers.chain(arrival).chain(fault).chain(send).min()?;
        let (at, what, end) = next;
        if at > FAULTS + CALM {
            return None;
        }
        self.now = self.now.max(at);
        match what {
            0 => self.arrive(end),
            1 => self.hosts[end.0].machine.handle_time(self.now),
            2 => self.fault(),
            _ => self.send(),
        }
        (0..NODES).for_each(|node| self.act(node));
        Some((self.now, std::mem::take(&mut self.seen)))
    }

    fn arrive(&mut self, end: End) {
        let (node, conn) = end;
        let now = self.now;
        let Some(carried) = self.network.take(end) else { return };
        let host = &mut self.hosts[node];
        match carried {
            Carried::Frame { kind, whole } => {
                host.handed.insert(conn);
                let fields = frame::HEAD + 1..whole.len();
                host.machine.handle_frame(now, conn, kind, &whole[fields], &whole);
            }
            Carried::Data { session: sent_in, number } => {
                if let Some((session, _)) = host.lanes.get(&conn) {
                    let session = *session;
                    self.seen.push(Seen::Delivered { at: node, session, sent_in, number });
                }
            }
            Carried::Closed => {
                host.handed.insert(conn);
                host.machine.handle_closed(now, conn, None);
            }
        }
    }

    fn act(&mut self, node: NodeNumber) {
        while let Some(action) = self.hosts[node].machine.poll() {
            let at = self.now + self.delay();
            match action {
                Action::Dial { conn, to } => self.dial((node, conn), &to),
                Action::Send { conn, bytes } => {
                    if let Ok(Some((kind, _))) = frame::next(&bytes, u32::MAX) {
                        self.network.send((node, conn), Carried::Frame { kind, whole: bytes }, at);
                    }
                }
                Action::Proceed { conn } => drop(self.hosts[node].handed.remove(&conn)),
                Action::Close { conn } => {
                    self.hosts[node].lanes.remove(&conn);
                    self.network.close((node, conn), at);
                }
                Action::Up { session, peer, messages, .. } => {
                    self.hosts[node].lanes.insert(messages, (session, 0));
                    self.hosts[node].handed.remove(&messages);
                    self.seen.push(Seen::Up { at: node, peer: number(&peer), session });
                }
                Action::Down { session, peer, why } => {
                    // Its lane is closed by an action of its own; nothing is delivered from here on.
                    self.hosts[node].lanes.retain(|_, (of, _)| *of != session);
                    self.seen.push(Seen::Down { at: node, peer: number(&peer), session, why });
                }
                Action::Connected { ticket, result } => {
                    self.seen.push(Seen::Answered { at: node, ticket, result });
                }
                Action::Refused { why, .. } => self.seen.push(Seen::Refused(why)),
            }
        }
    }

    fn dial(&mut self, from: End, to: &str) {
        let to = (0..NODES).find(|node| &*name(*node) == to).unwrap_or(from.0);
        let now = self.now;
        let cut = self.network.is_cut(from.0, to, now) || self.network.is_cut(to, from.0, now);
        if cut || self.hosts[to].paused > now {
            self.hosts[from.0].machine.handle_dialled(now, from.1, Err("nobody answers".into()));
            return;
        }
        if let Some(conn) = self.hosts[to].machine.handle_accepted(now) {
            self.network.join(from, (to, conn));
        }
        self.hosts[from.0].machine.handle_dialled(now, from.1, Ok(()));
    }

    /// Everybody says something on each lane that it has.
    fn send(&mut self) {
        self.next_send = self.now + self.millis(5, 60);
        for node in 0..NODES {
            if self.hosts[node].paused > self.now {
                continue;
            }
            let lanes: Vec<_> = self.hosts[node].lanes.keys().copied().collect();
            for conn in lanes {
                let at = self.now + self.delay();
                let Some((session, sent)) = self.hosts[node].lanes.get_mut(&conn) else { continue };
                let (session, number) = (*session, *sent);
                *sent += 1;
                self.network.send((node, conn), Carried::Data { session, number }, at);
                self.seen.push(Seen::Sent { at: node, session, number });
            }
        }
    }

    fn fault(&mut self) {
        self.next_fault = self.now + self.millis(50, 1500);
        let (a, b) = (self.below(NODES as u64) as usize, self.below(NODES as u64) as usize);
        let until = self.now + self.millis(50, 3000);
        match self.below(6) {
            0 => self.cut(a, b, until),
            1 => {
                self.cut(a, b, until);
                self.cut(b, a, until);
            }
            2 => {
                self.hosts[a].paused = self.hosts[a].paused.max(until);
                self.seen.push(Seen::Pause { at: a, until: self.hosts[a].paused });
            }
            3 => self.crash(a),
            // One that stands still hears of nothing, and says nothing of it.
            4 if self.hosts[a].paused > self.now => {}
            4 => {
                // One connection is reset, whatever it is for.
                let ends = self.network.ends_of(a);
                if let Some(end) = ends.get(self.below(ends.len().max(1) as u64) as usize).copied() {
                    let at = self.now + self.delay();
                    self.network.close(end, at);
                    self.hosts[a].machine.handle_closed(self.now, end.1, None);
                }
            }
            _ => {
                let ticket = self.next_ticket;
                self.next_ticket += 1;
                self.seen.push(Seen::Asked { at: a, ticket });
                self.hosts[a].machine.handle_connect(self.now, &name(b), Keep::Once, Some(ticket));
            }
        }
    }

    fn cut(&mut self, from: NodeNumber, to: NodeNumber, until: Duration) {
        if from != to {
            self.network.cut(from, to, until);
            self.seen.push(Seen::Cut { from, to, until });
        }
    }

    /// A node is killed, and begins anew at once.
    fn crash(&mut self, node: NodeNumber) {
        for end in self.network.ends_of(node) {
            let at = self.now + self.delay();
            self.network.close(end, at);
        }
        let life = self.hosts[node].life + 1;
        let seed = self.below(u64::MAX >> 1);
        self.hosts[node] = host(node, life, seed);
        self.seen.push(Seen::Crash { at: node });
        self.begin(node);
    }
}
