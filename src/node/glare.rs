//! Two nodes that dial each other at once, and all that may come in whatever order: by a seed.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use super::frame;
use super::handshake::{Cookie, Identity};
use super::machine::{Action, ConnId, Keep, Machine, Settings};

const NOW: Duration = Duration::ZERO;
const NAMES: [&str; 2] = ["a", "b"];

/// The end of a connection: at which node, and what it is there.
type End = (usize, ConnId);

/// What is under way to an end, in order.
enum Coming {
    Frame(Vec<u8>),
    Close,
}

struct World {
    nodes: [Machine; 2],
    /// Dials that have not got there.
    dials: Vec<End>,
    others: BTreeMap<End, End>,
    coming: BTreeMap<End, VecDeque<Coming>>,
    ups: [usize; 2],
    downs: Vec<String>,
    random: u64,
}

impl World {
    fn new(seed: u64) -> Self {
        let machine = |at: usize| {
            let me = Identity { name: NAMES[at].into(), creation: 1, releases: (1, 1) };
            let settings = Settings {
                me,
                cookie: Cookie::new("the same for all"),
                deadline: Duration::from_secs(1),
                handshake: Duration::from_secs(5),
                redial: (Duration::from_millis(50), Duration::from_secs(2)),
                address: None,
                learns: false,
            };
            let mut next = at as u64;
            let nonce = move || {
                next += 2;
                std::array::from_fn(|n| next.to_be_bytes()[n % 8])
            };
            let mut machine = Machine::new(settings, nonce);
            machine.handle_connect(NOW, NAMES[1 - at], Keep::Always, None);
            machine
        };
        World {
            nodes: [machine(0), machine(1)],
            dials: Vec::new(),
            others: BTreeMap::new(),
            coming: BTreeMap::new(),
            ups: [0; 2],
            downs: Vec::new(),
            random: seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1,
        }
    }

    fn any(&mut self, of: usize) -> usize {
        self.random ^= self.random << 13;
        self.random ^= self.random >> 7;
        self.random ^= self.random << 17;
        usize::try_from(self.random >> 33).unwrap() % of
    }

    fn act(&mut self, at: usize) {
        while let Some(action) = self.nodes[at].poll() {
            match action {
                Action::Dial { conn, .. } => self.dials.push((at, conn)),
                Action::Send { conn, bytes } => self.send((at, conn), Coming::Frame(bytes)),
                Action::Close { conn } => {
                    self.send((at, conn), Coming::Close);
                    self.coming.remove(&(at, conn));
                }
                Action::Up { .. } => self.ups[at] += 1,
                Action::Down { why, .. } => {
                    self.downs.push(format!("{} loses the other: {why:?}", NAMES[at]))
                }
                _ => {}
            }
        }
    }

    fn send(&mut self, from: End, what: Coming) {
        if let Some(inbox) = self.others.get(&from).and_then(|to| self.coming.get_mut(to)) {
            inbox.push_back(what);
        }
    }

    /// Has any one thing happen that may; false: there is none.
    fn step(&mut self) -> bool {
        (0..2).for_each(|at| self.act(at));
        let ready: Vec<End> = self.coming.iter().filter(|it| !it.1.is_empty()).map(|it| *it.0).collect();
        if ready.len() + self.dials.len() == 0 {
            return false;
        }
        let pick = self.any(ready.len() + self.dials.len());
        let Some((at, conn)) = ready.get(pick).copied() else {
            let dial = self.dials.swap_remove(pick - ready.len());
            let there = 1 - dial.0;
            let accepted = (there, self.nodes[there].handle_accepted(NOW).unwrap());
            for (end, other) in [(dial, accepted), (accepted, dial)] {
                self.others.insert(end, other);
                self.coming.insert(end, VecDeque::new());
            }
            if !self.nodes[dial.0].handle_dialled(NOW, dial.1, Ok(())) {
                self.send(dial, Coming::Close);
            }
            return true;
        };
        match self.coming.get_mut(&(at, conn)).and_then(VecDeque::pop_front) {
            Some(Coming::Frame(bytes)) => {
                let (kind, fields) = frame::next(&bytes, frame::CONTROL_LIMIT).unwrap().unwrap();
                self.nodes[at].handle_frame(NOW, conn, kind, &bytes[fields], &bytes);
            }
            Some(Coming::Close) => self.nodes[at].handle_closed(NOW, conn, None),
            None => {}
        }
        true
    }
}

#[test]
fn two_that_dial_each_other_at_once_come_up_once_and_stay() {
    for seed in 0..1000 {
        let mut world = World::new(seed);
        while world.step() {}
        assert_eq!((world.ups, &world.downs[..]), ([1, 1], &[][..]), "seed {seed}");
    }
}
