//! The hosts, the network between them, and what is done to both.

use std::cell::Cell;
use std::panic;
use std::rc::Rc;
use std::sync::Once;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use turmoil::{Builder, Sim};

use crate::host::{Host, NAMES};
use crate::trace::{HostNumber, Seen, Trace};

/// Faults begin until then.
const FAULTS: Duration = Duration::from_secs(12);
/// And after the last of them it goes on so long, for all to be well: longer than a handshake that was cut is waited for,
/// and then the longest pause before somebody is dialled again.
const CALM: Duration = Duration::from_secs(10);
/// What goes between two hosts takes so long at most, unless they are slow.
const LATENCY: Duration = Duration::from_millis(5);
/// Longer than the heartbeat deadline: what is cut is lost to TCP here, which sends nothing again. A real one does, so that
/// connections outlive a short cut; here that is a hold.
const SHORTEST_CUT: u64 = 1500;

/// A small generator of numbers (xorshift64*).
#[derive(Clone)]
pub struct Random(u64);

impl Random {
    pub fn new(seed: u64) -> Self {
        Random(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
    }

    pub fn below(&mut self, end: u64) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        (self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 33) % end
    }
}

/// What is done to a link or a host, to be undone.
#[derive(Clone, Copy, Debug)]
enum Undo {
    Repair(HostNumber, HostNumber),
    RepairOneway(HostNumber, HostNumber),
    Release(HostNumber, HostNumber),
    Hasten(HostNumber, HostNumber),
    Bounce(HostNumber),
}

impl Undo {
    /// Nothing else is done meanwhile to the same links and hosts.
    fn touches(self, other: Undo) -> bool {
        match (self, other) {
            (Undo::Bounce(a), Undo::Bounce(b)) => a == b,
            (Undo::Bounce(_), _) | (_, Undo::Bounce(_)) => false,
            (one, other) => one.link() == other.link(),
        }
    }

    fn link(self) -> Option<(HostNumber, HostNumber)> {
        match self {
            Undo::Repair(a, b) | Undo::RepairOneway(a, b) | Undo::Release(a, b) | Undo::Hasten(a, b) => {
                Some((a.min(b), a.max(b)))
            }
            Undo::Bounce(_) => None,
        }
    }
}

struct World<'a> {
    sim: Sim<'a>,
    random: Random,
    trace: Trace,
    undone: Vec<(Duration, Undo)>,
}

/// How often something has panicked, on whichever host: a process that does ends, and the simulation goes on.
static PANICS: AtomicUsize = AtomicUsize::new(0);

fn count_panics() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let former = panic::take_hook();
        panic::set_hook(Box::new(move |info| {
            PANICS.fetch_add(1, Ordering::Relaxed);
            former(info);
        }));
    });
}

/// Runs a seed to its end, and answers what happened.
///
/// # Errors
/// A host has ended by itself, or something has panicked.
pub fn simulate(seed: u64) -> Result<Vec<(Duration, Seen)>, String> {
    count_panics();
    let trace = Trace::default();
    let mut sim = Builder::new()
        .rng_seed(seed)
        .simulation_duration(Duration::from_secs(600))
        .min_message_latency(Duration::ZERO)
        .max_message_latency(LATENCY)
        .tcp_capacity(4096)
        .enable_random_order()
        .build();
    for (number, name) in NAMES.into_iter().enumerate() {
        let (trace, lives) = (trace.clone(), Rc::new(Cell::new(0)));
        sim.host(name, move || {
            lives.set(lives.get() + 1);
            Host { number, life: lives.get(), seed, trace: trace.clone() }.run()
        });
    }
    let mut world = World { sim, random: Random::new(seed), trace: trace.clone(), undone: Vec::new() };
    world.run()?;
    // The hosts end here, while there is no network any more.
    drop(world);
    match PANICS.load(Ordering::Relaxed) {
        0 => Ok(trace.take()),
        _ => Err("something has panicked".into()),
    }
}

impl World<'_> {
    fn run(&mut self) -> Result<(), String> {
        let mut next_fault = Duration::from_millis(500);
        let mut end = FAULTS;
        while self.sim.elapsed() < end + CALM {
            let now = self.sim.elapsed();
            if next_fault <= now && now < FAULTS {
                self.fault();
                next_fault = now + self.random.millis(50, 1200);
            }
            while let Some(at) = self.undone.iter().position(|(until, _)| *until <= now) {
                let (_, undo) = self.undone.swap_remove(at);
                self.undo(undo);
            }
            end = self.undone.iter().map(|(until, _)| *until).fold(end, Duration::max);
            self.sim.step().map_err(|error| error.to_string())?;
        }
        Ok(())
    }

    fn note(&self, seen: Seen) {
        self.trace.note_at(self.sim.elapsed(), seen);
    }

    fn fault(&mut self) {
        let a = self.random.below(3) as HostNumber;
        let b = (a + 1 + self.random.below(2) as HostNumber) % NAMES.len();
        match self.random.below(7) {
            0 => self.cut(a, b, false),
            1 => self.cut(a, b, true),
            2 | 3 => self.hold(a, b),
            4 => self.slow(a, b),
            5 => self.crash(a),
            // The plug is pulled: nobody hears of the crash.
            _ => {
                self.cut(a, b, false);
                self.cut(a, 3 - a - b, false);
                self.crash(a);
            }
        }
    }

    /// Whether it may be done now; then it is to be undone at that time.
    fn begin(&mut self, undo: Undo, lasts: Duration) -> Option<Duration> {
        if self.undone.iter().any(|(_, other)| other.touches(undo)) {
            return None;
        }
        let until = self.sim.elapsed() + lasts;
        self.undone.push((until, undo));
        Some(until)
    }

    fn cut(&mut self, a: HostNumber, b: HostNumber, oneway: bool) {
        let lasts = self.random.millis(SHORTEST_CUT, 4000);
        let undo = if oneway { Undo::RepairOneway(a, b) } else { Undo::Repair(a, b) };
        let Some(until) = self.begin(undo, lasts) else { return };
        self.note(Seen::Cut { from: a, to: b, until });
        if oneway {
            return self.sim.partition_oneway(NAMES[a], NAMES[b]);
        }
        self.note(Seen::Cut { from: b, to: a, until });
        self.sim.partition(NAMES[a], NAMES[b]);
    }

    fn hold(&mut self, a: HostNumber, b: HostNumber) {
        let lasts = self.random.millis(50, 3000);
        let Some(until) = self.begin(Undo::Release(a, b), lasts) else { return };
        self.note(Seen::Hold { from: a, to: b, until });
        self.note(Seen::Hold { from: b, to: a, until });
        self.sim.hold(NAMES[a], NAMES[b]);
    }

    fn slow(&mut self, a: HostNumber, b: HostNumber) {
        let (lasts, most) = (self.random.millis(50, 3000), self.random.millis(10, 80));
        if self.begin(Undo::Hasten(a, b), lasts).is_some() {
            self.set_latency(a, b, most);
        }
    }

    fn set_latency(&mut self, a: HostNumber, b: HostNumber, most: Duration) {
        self.note(Seen::Latency { between: (a, b), most });
        self.sim.set_link_max_message_latency(NAMES[a], NAMES[b], most);
    }

    fn crash(&mut self, a: HostNumber) {
        let lasts = self.random.millis(0, 2500);
        // Half of them begin anew at once.
        let lasts = if lasts < Duration::from_millis(1250) { Duration::ZERO } else { lasts };
        if self.begin(Undo::Bounce(a), lasts).is_some() {
            self.note(Seen::Crash { at: a });
            self.sim.crash(NAMES[a]);
        }
    }

    fn undo(&mut self, undo: Undo) {
        match undo {
            Undo::Repair(a, b) => self.sim.repair(NAMES[a], NAMES[b]),
            Undo::RepairOneway(a, b) => self.sim.repair_oneway(NAMES[a], NAMES[b]),
            Undo::Release(a, b) => self.sim.release(NAMES[a], NAMES[b]),
            Undo::Hasten(a, b) => self.set_latency(a, b, LATENCY),
            Undo::Bounce(a) => self.sim.bounce(NAMES[a]),
        }
    }
}
