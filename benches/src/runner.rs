//! Rounds: every measurement in a process of its own, the systems interleaved in alternating order.
//!
//! A process of its own because the allocator keeps what a run has used: in one process a system would find the
//! heap as the one before had left it.

use std::{
    env, fs, panic,
    path::PathBuf,
    process::{Command, Stdio},
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail, ensure};
use hdrhistogram::Histogram;
use serde::{Deserialize, Serialize};

use crate::{
    report::Row,
    systems::{self, Name, Sample},
    workload::Workload,
};

/// What to run.
#[derive(Debug)]
pub struct Plan {
    /// The workloads, in the order of the table.
    pub workloads: Vec<Workload>,
    /// The systems, in the order of the table.
    pub systems: Vec<Name>,
    /// Measurements per workload and system.
    pub rounds: usize,
    /// How long a measurement repeats its run.
    pub time: Duration,
}

/// What a measurement came to; a child process prints it as one line of JSON.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Measurement {
    /// Operations per second, or bytes per process for the memory workloads.
    pub figure: f64,
    /// Median nanoseconds of a single call.
    pub p50_ns: Option<u64>,
    /// Nanoseconds that 99 of 100 calls stay below.
    pub p99_ns: Option<u64>,
}

/// A run's set-up is outside its time, so the runs of a measurement are bounded by this many times its time too.
const PATIENCE: u32 = 3;

/// What was compiled once for all children: the variable by which they find it, and where it is.
type Compiled = (&'static str, PathBuf);

/// Runs the plan; `show` gets the rows of each workload as soon as they are there.
pub fn run(plan: &Plan, mut show: impl FnMut(&[Row])) -> Result<Vec<Row>> {
    let mut compiled = Vec::new();
    if plan.systems.contains(&Name::Ractor) && plan.workloads.iter().any(|workload| workload.is_remote()) {
        compiled.push((systems::RACTOR_PROGRAM, systems::build_ractor_program()?));
    }
    let beam = plan.systems.contains(&Name::Erlang).then(systems::compile_erlang);
    compiled.extend(beam.clone().map(|directory| (systems::ERLANG_DIRECTORY, directory)));
    let beside = |one: &Workload, other: &Workload| one.is_beside(*other);
    let rows = plan.workloads.chunk_by(beside).try_fold(Vec::new(), |mut rows, workloads| {
        let measured = interleave(plan, workloads, &compiled)?;
        show(&measured);
        rows.extend(measured);
        Ok(rows)
    });
    if let Some(directory) = beam {
        let _ = fs::remove_dir_all(directory);
    }
    rows
}

/// All rounds of one workload, or of several that are compared. Whoever went second in one round goes second to last in the
/// next, so that a machine that slows down or speeds up favours nobody.
fn interleave(plan: &Plan, workloads: &[Workload], compiled: &[Compiled]) -> Result<Vec<Row>> {
    let rounds = workloads.iter().map(|workload| workload.most_rounds()).fold(plan.rounds, usize::min);
    let on_all = |&workload| plan.systems.iter().map(move |&system| (workload, system, Vec::new()));
    let mut taken: Vec<(Workload, Name, Vec<Measurement>)> = workloads.iter().flat_map(on_all).collect();
    for round in 0..rounds {
        let mut order: Vec<usize> = (0..taken.len()).collect();
        if round % 2 == 1 {
            order.reverse();
        }
        for at in order {
            let (workload, system, measurements) = &mut taken[at];
            let measured = in_child(*workload, *system, plan.time, compiled);
            measurements.extend(measured.with_context(|| format!("{workload} on {system}"))?);
        }
    }
    Ok(Row::all(&taken))
}

fn in_child(
    workload: Workload,
    system: Name,
    time: Duration,
    compiled: &[Compiled],
) -> Result<Option<Measurement>> {
    let mut command = Command::new(env::current_exe()?);
    command.args(["--child", &format!("{workload}:{system}"), "--millis", &time.as_millis().to_string()]);
    command.envs(compiled.iter().map(|(variable, path)| (variable, path)));
    let child = command.stdin(Stdio::null()).stderr(Stdio::inherit()).output()?;
    if !child.status.success() {
        bail!("the measuring process ended with {}", child.status);
    }
    Ok(serde_json::from_slice(&child.stdout)?)
}

/// Measures in this process; `None` if the system has no such workload.
pub fn measure(workload: Workload, system: Name, time: Duration) -> Result<Option<Measurement>> {
    if workload == Workload::RestartPanic {
        // Thousands of panics are the work here, not news.
        panic::set_hook(Box::new(|_| {}));
    }
    let under_test = system.system(time);
    let n = workload.size();
    let run = || match systems::run(under_test.as_ref(), workload, n) {
        Some(sample) => check(workload, n, sample).map(Some),
        None => Ok(None),
    };
    let Some(first) = run()? else { return Ok(None) };
    if let Some(figure) = first.bytes_per_process {
        return Ok(Some(Measurement { figure, p50_ns: None, p99_ns: None }));
    }
    if under_test.repeats_itself(workload) {
        // And warms up itself.
        return Ok(Some(sum_up(&[first])));
    }
    let began = Instant::now();
    let mut samples = if workload.warms_up() { Vec::new() } else { vec![first] };
    let spent = |samples: &[Sample]| samples.iter().map(|sample| sample.elapsed).sum::<Duration>();
    while samples.is_empty() || (spent(&samples) < time && began.elapsed() < time * PATIENCE) {
        let Some(sample) = run()? else { break };
        samples.push(sample);
    }
    Ok(Some(sum_up(&samples)))
}

fn check(workload: Workload, n: u64, sample: Sample) -> Result<Sample> {
    let expected = workload.expected_sum(n);
    ensure!(sample.sum == expected, "{workload} came to {}, not to {expected}", sample.sum);
    Ok(sample)
}

fn sum_up(samples: &[Sample]) -> Measurement {
    let ops: u64 = samples.iter().map(|sample| sample.ops).sum();
    let elapsed: Duration = samples.iter().map(|sample| sample.elapsed).sum();
    let mut latencies: Option<Histogram<u64>> = None;
    for taken in samples.iter().filter_map(|sample| sample.latencies.as_ref()) {
        match &mut latencies {
            None => latencies = Some(taken.clone()),
            Some(all) => all.add(taken).expect("all have the same bounds or grow"),
        }
    }
    let percentile = |at| latencies.as_ref().map(|latencies| latencies.value_at_quantile(at));
    Measurement {
        figure: ops as f64 / elapsed.as_secs_f64(),
        p50_ns: percentile(0.5),
        p99_ns: percentile(0.99),
    }
}
