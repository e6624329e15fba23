//! The distribution on a simulated network: three nodes whose processes talk, while hosts lose each other, are held up,
//! crash and come again, by a seed. Each invariant is a file; it is shown each thing that happens and says what is wrong
//! with it.
//!
//! `SEEDS=1000` tries more, `SEED=7` one alone.
//!
//! A seed gives the same faults at the same times. It does not give the same run: nodes draw their creations and their
//! nonces, with them the pause before they dial again, and tokio's `select!` draws which of two things comes first.

mod alternate;
mod converge;
#[path = "../support/network/host.rs"]
mod host;
mod noconnection;
mod prefix;
mod silence;
#[path = "../support/network/trace.rs"]
mod trace;
#[path = "../support/network/transport.rs"]
mod transport;
#[path = "../support/network/world.rs"]
mod world;

use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::Duration;

use self::noconnection::NoConnection;
use self::silence::Silence;
use self::trace::{By, Seen, told};
use self::world::simulate;

/// Something that must always hold.
trait Invariant {
    /// Something has happened.
    ///
    /// # Errors
    /// It must not have: why.
    fn see(&mut self, now: Duration, seen: &Seen) -> Result<(), String>;

    /// Nothing more happens; the last of the faults is long over.
    ///
    /// # Errors
    /// It must not end like this: why.
    fn end(&mut self, now: Duration) -> Result<(), String> {
        let _ = now;
        Ok(())
    }
}

fn all() -> Vec<(&'static str, Box<dyn Invariant>)> {
    vec![
        ("a prefix of what was sent", Box::<prefix::Prefix>::default()),
        ("each loss is heard once", Box::<NoConnection>::default()),
        ("up and down alternate", Box::<alternate::Alternate>::default()),
        ("silence is noticed", Box::<Silence>::default()),
        ("all are connected in the end", Box::<converge::Converge>::default()),
    ]
}

/// Shows a trace to an invariant.
fn check(trace: &[(Duration, Seen)], invariant: &mut dyn Invariant) -> Result<(), (usize, String)> {
    for (at, (now, seen)) in trace.iter().enumerate() {
        invariant.see(*now, seen).map_err(|why| (at + 1, why))?;
    }
    let end = trace.last().map(|(now, _)| *now).unwrap_or_default();
    invariant.end(end).map_err(|why| (trace.len(), why))
}

/// Runs one seed; answers what went wrong, and what happened.
fn run(seed: u64) -> Result<Vec<(Duration, Seen)>, String> {
    let seen = simulate(seed).map_err(|why| format!("seed {seed}: {why}"))?;
    for (name, mut invariant) in all() {
        check(&seen, &mut *invariant)
            .map_err(|(at, why)| format!("seed {seed}: {name}: {why}{}", told(&seen[..at])))?;
    }
    Ok(seen)
}

#[test]
fn thirty_seeds() {
    let number = |name| std::env::var(name).ok().and_then(|text| text.parse::<u64>().ok());
    let seeds = match number("SEED") {
        Some(seed) => seed..seed + 1,
        None => 0..number("SEEDS").unwrap_or(30),
    };
    let next = AtomicU64::new(seeds.start);
    let walk = || loop {
        let seed = next.fetch_add(1, Ordering::Relaxed);
        if seed >= seeds.end {
            break Ok(());
        }
        run(seed)?;
    };
    thread::scope(|scope| {
        let threads = thread::available_parallelism().map_or(1, usize::from);
        let walks: Vec<_> = (0..threads).map(|_| scope.spawn(walk)).collect();
        for walked in walks {
            let walked: Result<(), String> = walked.join().unwrap();
            walked.unwrap_or_else(|why| panic!("{why}"));
        }
    });
}

/// What is done to the network and to the hosts is what the seed says, whatever comes of it.
#[test]
fn a_seed_has_the_same_faults_twice() {
    let faults = || {
        let mut seen = run(7).unwrap();
        seen.retain(|(_, seen)| {
            use Seen::{Begin, Crash, Cut, Hold, Latency};
            matches!(seen, Cut { .. } | Hold { .. } | Latency { .. } | Crash { .. } | Begin { .. })
        });
        seen
    };
    let first = faults();
    assert!(first.len() > 10, "{first:?}");
    assert_eq!(first, faults());
}

/// What the simulation is for happens in it: connections that are lost by each cause, ties that are cut, calls that are.
#[test]
fn the_faults_bite() {
    let (mut noticed, mut over, mut by_crash) = (0, 0, 0);
    let mut cut_off = [By::Link, By::Monitor, By::Call].map(|by| (by, 0));
    let (mut answered, mut lost) = (0, 0);
    for seed in 0..4 {
        let seen = run(seed).unwrap();
        let (mut silence, mut ties) = (Silence::default(), NoConnection::default());
        check(&seen, &mut silence).unwrap();
        check(&seen, &mut ties).unwrap();
        (noticed, over) = (noticed + silence.noticed, over + ties.over);
        for (_, seen) in seen {
            match seen {
                Seen::Crash { .. } => by_crash += 1,
                Seen::Untied { by, .. } => {
                    cut_off.iter_mut().filter(|(of, _)| *of == by).for_each(|(_, times)| *times += 1);
                }
                Seen::Answered { answer: Ok(_), .. } => answered += 1,
                // It was under way when the connection was lost, not refused at once.
                Seen::Answered { answer: Err(why), .. } => {
                    lost += usize::from(why.contains("before it answered"))
                }
                _ => {}
            }
        }
    }
    println!("{noticed} silences, {by_crash} crashes, {over} ties, {answered} calls answered, {lost} lost");
    assert!(noticed > 5 && by_crash > 3 && over > 20 && answered > 1000 && lost > 5);
    assert!(cut_off.iter().all(|(_, times)| *times >= over), "{cut_off:?}");
}
