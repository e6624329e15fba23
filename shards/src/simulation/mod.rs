//! The machines in an event loop of their own: three nodes, an authority, three clients, two shards, and faults that aim, by a
//! seed. Each invariant is a file; it is shown each thing that happens and says what is wrong with it.
//!
//! `SEEDS=20000` tries more, `SEED=7` one alone; `TRACE=1` tells all that happens in it.

extern crate std;

mod act;
mod complete;
mod epochs;
mod gates;
mod kept;
mod linear;
mod log;
mod moves;
mod mutants;
mod nemesis;
mod once;
mod orphan;
mod progress;
mod tenures;
mod world;
mod writer;

use alloc::boxed::Box;
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;
use core::sync::atomic::{AtomicU64, Ordering};
use core::time::Duration;
use std::thread;

use self::log::Say;
use self::nemesis::Fault;
use self::world::{Seen, World};
use crate::message::Reply;
use crate::rules::Rule;

/// Something that must always hold.
trait Invariant {
    /// Something has happened.
    ///
    /// # Errors
    /// It must not have: why.
    fn see(&mut self, world: &World, seen: &Seen) -> Result<(), String>;

    /// Nothing more happens; the last of the faults is long over.
    ///
    /// # Errors
    /// It must not end like this: why.
    fn end(&mut self, world: &World) -> Result<(), String> {
        let _ = world;
        Ok(())
    }
}

/// What somebody outside was told about the state of a shard, if anything.
fn shown(seen: &Seen) -> Option<&Say> {
    match seen {
        Seen::Released { reply: Reply::Answered { body, .. }, .. } => body.as_ref(),
        _ => None,
    }
}

fn all() -> Vec<(&'static str, Box<dyn Invariant>)> {
    vec![
        ("kept", Box::<kept::Kept>::default()),
        ("once", Box::<once::Once>::default()),
        ("linearizable", Box::<linear::Linear>::default()),
        ("one writer", Box::<writer::Writer>::default()),
        ("old epochs only repeat", Box::<epochs::Epochs>::default()),
        ("the gate covers the record", Box::<gates::Gates>::default()),
        ("members in sync are complete", Box::<complete::Complete>::default()),
        ("one owner after a move", Box::<moves::Moves>::default()),
        ("no orphan", Box::<orphan::Orphan>::default()),
        ("progress", Box::<progress::Progress>::default()),
    ]
}

/// Runs one seed, without one of the rules if that is wanted; answers what went wrong, and what happened.
fn run(seed: u64, without: Option<Rule>) -> Result<Vec<(Duration, Seen)>, String> {
    let mut world = World::new(seed, without);
    let mut invariants = all();
    let mut trace = Vec::new();
    while let Some((now, all_seen)) = world.step() {
        for seen in all_seen {
            trace.push((now, seen));
            let (_, seen) = &trace[trace.len() - 1];
            for (name, invariant) in &mut invariants {
                invariant.see(&world, seen).map_err(|why| told(seed, name, &why, &trace))?;
            }
        }
    }
    for (name, invariant) in &mut invariants {
        invariant.end(&world).map_err(|why| told(seed, name, &why, &trace))?;
    }
    Ok(trace)
}

/// What went wrong, and what happened before: all faults and changes of owners, and the last of everything else.
fn told(seed: u64, invariant: &str, why: &str, trace: &[(Duration, Seen)]) -> String {
    let last = if std::env::var_os("TRACE").is_some() { 0 } else { trace.len().saturating_sub(12) };
    let kept = trace.iter().enumerate().filter(|(at, (_, seen))| {
        *at >= last
            || matches!(
                seen,
                Seen::Record { .. } | Seen::Activated { .. } | Seen::Moved { .. } | Seen::Fault(_)
            )
    });
    let lines = kept.map(|(_, (at, seen))| format!("\n{at:?} {seen:?}"));
    format!("seed {seed}: {invariant}: {why}{}", lines.collect::<String>())
}

/// Runs seeds on all processors until one fails; answers the first that did.
fn search(seeds: core::ops::Range<u64>, without: Option<Rule>) -> Option<(u64, String)> {
    let next = AtomicU64::new(seeds.start);
    let found = AtomicU64::new(u64::MAX);
    let walk = || {
        let mut failed = None;
        loop {
            let seed = next.fetch_add(1, Ordering::Relaxed);
            if seed >= seeds.end || seed > found.load(Ordering::Relaxed) {
                break failed;
            }
            let ran = std::panic::catch_unwind(|| run(seed, without));
            if let Err(why) = ran.unwrap_or_else(|_| Err(format!("seed {seed}: a panic"))) {
                found.fetch_min(seed, Ordering::Relaxed);
                failed = Some((seed, why));
                break failed;
            }
        }
    };
    thread::scope(|scope| {
        let threads = thread::available_parallelism().map_or(1, usize::from);
        let walks: Vec<_> = (0..threads).map(|_| scope.spawn(walk)).collect();
        walks.into_iter().filter_map(|walk| walk.join().unwrap()).min()
    })
}

fn number(name: &str) -> Option<u64> {
    std::env::var(name).ok().and_then(|text| text.parse().ok())
}

#[test]
fn a_thousand_seeds() {
    let seeds = match number("SEED") {
        Some(seed) => seed..seed + 1,
        None => 0..number("SEEDS").unwrap_or(1000),
    };
    if let Some((_, why)) = search(seeds, None) {
        panic!("{why}");
    }
}

#[test]
fn a_seed_runs_the_same_twice() {
    let told = || format!("{:?}", run(7, None));
    assert_eq!(told(), told());
}

/// How often a member that owns a shard becomes its owner by another lease.
fn owned_again(run: &[Seen]) -> usize {
    let record = |seen: &Seen| match seen {
        Seen::Record { shard, record } => Some((*shard, record.owner, record.lease)),
        _ => None,
    };
    let mut last = [None; world::SHARDS];
    let again = |(shard, owner, lease): &(usize, _, _)| {
        last[*shard].replace((*owner, *lease)).is_some_and(|(by, from)| by == *owner && from != *lease)
    };
    run.iter().filter_map(record).filter(again).count()
}

/// What the simulation is for happens in it: takeovers and moves, some of which fail, under every fault.
#[test]
fn the_faults_bite() {
    let seen = |(_, seen)| seen;
    let runs: Vec<Vec<_>> =
        (0..200).map(|seed| run(seed, None).unwrap().into_iter().map(seen).collect()).collect();
    let again = runs.iter().map(|run| owned_again(run)).sum::<usize>();
    assert!(again >= 20, "owners by another lease: {again}");
    let happened: Vec<_> = runs.into_iter().flatten().collect();
    let count = |bites: fn(&Seen) -> bool| happened.iter().filter(|seen| bites(seen)).count();
    let often =
        |what: &str, bites: fn(&Seen) -> bool| assert!(count(bites) >= 20, "{what}: {}", count(bites));
    often("takeovers", |seen| matches!(seen, Seen::Activated { epoch: 2.., .. }));
    often("moves", |seen| matches!(seen, Seen::Moved { result: Ok(()), .. }));
    often("moves that fail", |seen| matches!(seen, Seen::Moved { result: Err(_), .. }));
    often("two standbys", |seen| matches!(seen, Seen::Record { record, .. } if record.in_sync.len() > 1));
    often("no standby", |seen| matches!(seen, Seen::Record { record, .. } if record.in_sync.is_empty()));
    often("another version", |seen| matches!(seen, Seen::Fault(Fault::Wire(_))));
    often(
        "restarts at once",
        |seen| matches!(seen, Seen::Fault(Fault::Crash { back, .. }) if back.as_millis() < 6),
    );
    often("a deaf owner", |seen| matches!(seen, Seen::Fault(Fault::Deaf { .. })));
    often("refusals", |seen| matches!(seen, Seen::Released { reply: Reply::Upgrading { .. }, .. }));
    often("forgotten sessions", |seen| matches!(seen, Seen::Released { reply: Reply::Expired { .. }, .. }));
}
