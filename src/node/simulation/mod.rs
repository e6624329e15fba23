//! The machine in an event loop of its own: three nodes, a network that delays, cuts and resets, nodes that crash and stand
//! still, by a seed. Each invariant is a file; it is shown each thing that happens and says what is wrong with it.
//!
//! `SEEDS=5000` tries more, `SEED=7` one alone.

mod converge;
mod network;
mod one_session;
mod prefix;
mod silence;
mod tickets;
mod world;

use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::Duration;

use self::world::{Seen, World};
use super::handshake::RefusedBecause;
use super::machine::DownBecause;

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
    fn end(&mut self, world: &World) -> Result<(), String> {
        let _ = world;
        Ok(())
    }
}

fn all() -> Vec<(&'static str, Box<dyn Invariant>)> {
    vec![
        ("one session", Box::<one_session::OneSession>::default()),
        ("a prefix of what was sent", Box::<prefix::Prefix>::default()),
        ("silence is noticed", Box::<silence::Silence>::default()),
        ("all are connected in the end", Box::<converge::Converge>::default()),
        ("each ticket is answered once", Box::<tickets::Tickets>::default()),
    ]
}

/// Runs one seed; answers what went wrong, and what happened.
fn run(seed: u64) -> Result<Vec<(Duration, Seen)>, String> {
    let mut world = World::new(seed);
    let mut invariants = all();
    let mut trace = Vec::new();
    while let Some((now, all_seen)) = world.step() {
        for seen in all_seen {
            for (name, invariant) in &mut invariants {
                invariant.see(now, &seen).map_err(|why| told(seed, name, &why, &trace))?;
            }
            trace.push((now, seen));
        }
    }
    for (name, invariant) in &mut invariants {
        invariant.end(&world).map_err(|why| told(seed, name, &why, &trace))?;
    }
    Ok(trace)
}

/// What went wrong, and what happened before.
fn told(seed: u64, invariant: &str, why: &str, trace: &[(Duration, Seen)]) -> String {
    let last = trace[trace.len().saturating_sub(60)..].iter().map(|(at, seen)| format!("\n{at:?} {seen:?}"));
    format!("seed {seed}: {invariant}: {why}{}", last.collect::<String>())
}

#[test]
fn a_thousand_seeds() {
    let number = |name| std::env::var(name).ok().and_then(|text| text.parse::<u64>().ok());
    let seeds = match number("SEED") {
        Some(seed) => seed..seed + 1,
        None => 0..number("SEEDS").unwrap_or(1000),
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

#[test]
fn a_seed_runs_the_same_twice() {
    let told = || format!("{:?}", run(7).unwrap());
    assert_eq!(told(), told());
}

/// What the simulation is for happens in it: sessions that were lost by each cause, and came back.
#[test]
fn the_faults_bite() {
    let happened: Vec<_> = (0..30).flat_map(|seed| run(seed).unwrap()).map(|(_, seen)| seen).collect();
    let any = |bites: fn(&Seen) -> bool| happened.iter().any(bites);
    assert!(any(|seen| matches!(seen, Seen::Down { why: DownBecause::Silence, .. })));
    assert!(any(|seen| matches!(seen, Seen::Down { why: DownBecause::Closed, .. })));
    assert!(any(|seen| matches!(seen, Seen::Refused(RefusedBecause::Duplicate))));
    assert!(any(|seen| matches!(seen, Seen::Delivered { .. })));
    assert!(any(|seen| matches!(seen, Seen::Answered { result: Ok(_), .. })));
    assert!(any(|seen| matches!(seen, Seen::Answered { result: Err(_), .. })));
}
