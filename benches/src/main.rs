//! The same work on incarnate, raw tokio, ractor, kameo, actix and Erlang/OTP, side by side.
//!
//! `cargo run --release -p incarnate-bench -- --help` says how; `docs/benchmarks.md` says what each row means.

mod peer;
mod remote;
mod report;
mod runner;
mod sharded;
mod systems;
mod workload;

use std::{path::PathBuf, process::ExitCode, str::FromStr, time::Duration};

use anyhow::Result;
use clap::Parser;

use crate::{
    runner::Plan,
    systems::Name,
    workload::{Selection, Workload},
};

/// The same work on incarnate, raw tokio, ractor, kameo, actix and Erlang/OTP, side by side.
#[derive(Debug, Parser)]
#[command(name = "incarnate-bench")]
struct Args {
    /// Measurements per workload and system; the table shows their medians. At most 3 for fanout, one_death and
    /// one_death_spread, and 2 for the memory workloads.
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u16).range(1..))]
    rounds: u16,

    /// Only these workloads, or groups of them: spawn, restart, down, remote, memory, copy_modes, handoff, pause.
    #[arg(long, value_delimiter = ',', value_name = "WORKLOADS")]
    only: Vec<Selection>,

    /// Only these systems.
    #[arg(long, value_delimiter = ',', value_name = "SYSTEMS")]
    systems: Vec<Name>,

    /// Write the rows to this file as a JSON array. It is created before anything runs.
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,

    /// How long one measurement repeats its run, in milliseconds.
    #[arg(long, default_value_t = 500, value_parser = clap::value_parser!(u64).range(1..))]
    millis: u64,

    /// Measure WORKLOAD:SYSTEM once, in this process, and print one line of JSON (what each round starts).
    #[arg(long, value_name = "WORKLOAD:SYSTEM", conflicts_with_all = ["only", "systems", "json"])]
    child: Option<Child>,

    /// Be the other node of incarnate's workloads between two processes, until standard input ends.
    #[arg(long, hide = true)]
    peer: bool,

    /// Be a member of a cluster that has shards, until standard input ends.
    #[arg(long, hide = true, value_name = "SEAT")]
    member: Option<String>,

    /// Be who reads the states of `handoff_plain`, until standard input ends.
    #[arg(long, hide = true)]
    reader: bool,
}

#[derive(Clone, Copy, Debug)]
struct Child(Workload, Name);

impl FromStr for Child {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let (workload, system) = text.split_once(':').ok_or("expected WORKLOAD:SYSTEM")?;
        match workload.parse::<Selection>()?.0[..] {
            [workload] => Ok(Child(workload, system.parse()?)),
            _ => Err(format!("{workload:?} is a group of workloads, expected one")),
        }
    }
}

impl Args {
    fn plan(&self) -> Plan {
        let is_chosen = |workload: &Workload| {
            self.only.is_empty() || self.only.iter().any(|Selection(chosen)| chosen.contains(workload))
        };
        let is_wanted = |system: &Name| self.systems.is_empty() || self.systems.contains(system);
        let (systems, missing): (Vec<Name>, Vec<Name>) =
            Name::ALL.into_iter().filter(is_wanted).partition(|system| system.is_available());
        for system in missing {
            eprintln!("{system} is not installed here: no rows for it");
        }
        Plan {
            workloads: Workload::all().filter(is_chosen).collect(),
            systems,
            rounds: self.rounds.into(),
            time: self.time(),
        }
    }

    fn time(&self) -> Duration {
        Duration::from_millis(self.millis)
    }
}

fn main() -> ExitCode {
    match run(&Args::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            // One line: what failed, and why.
            eprintln!("incarnate-bench: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(args: &Args) -> Result<()> {
    if args.peer {
        return systems::be_peer();
    }
    if let Some(seat) = &args.member {
        return systems::be_member(seat);
    }
    if args.reader {
        return systems::be_reader();
    }
    if let Some(Child(workload, system)) = args.child {
        let measured = runner::measure(workload, system, args.time())?;
        println!("{}", serde_json::to_string(&measured)?);
        return Ok(());
    }
    let json = args.json.as_deref().map(report::create_json).transpose()?;
    println!("{}", report::heading());
    let rows = runner::run(&args.plan(), |rows| println!("{}", report::table(rows)))?;
    json.map_or(Ok(()), |file| report::write_json(file, &rows))
}
