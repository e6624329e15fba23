//! ractor between two nodes: a program of its own, `benches/ractor_cluster`, built when it is needed.

use std::{
    env,
    path::PathBuf,
    process::{Command, Stdio},
    time::Duration,
};

use anyhow::{Context, Result, ensure};

use crate::{
    peer::{Peer, free_port},
    systems::{Sample, support},
    workload::Workload,
};

const MANIFEST: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/ractor_cluster/Cargo.toml");

/// Where the program is; the runner builds it once, and its children find it by this variable.
pub const PROGRAM: &str = "INCARNATE_BENCH_RACTOR_CLUSTER";

/// Builds the program beside this one, with its profile, unless it is as new as its source, and gives its path.
pub fn build() -> Result<PathBuf> {
    let program = env::current_exe()?.with_file_name("incarnate-bench-ractor-cluster");
    let target = program.ancestors().nth(2).context("this program lies in a target directory")?;
    let profile = if cfg!(debug_assertions) { "dev" } else { "release" };
    let mut cargo = Command::new(env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    cargo.args(["build", "--quiet", "--locked", "--profile", profile, "--manifest-path", MANIFEST]);
    let built = cargo.arg("--target-dir").arg(target).stdin(Stdio::null()).status().context("cargo")?;
    ensure!(built.success(), "ractor_cluster was not built; --systems can leave ractor out");
    Ok(program)
}

/// The workload of two processes, which are both the program.
pub fn run(workload: Workload, n: u64, time: Duration) -> Sample {
    let built = env::var_os(PROGRAM).map(PathBuf::from);
    let program = built.unwrap_or_else(|| build().expect("the program is built"));
    let port = free_port().expect("a free port").to_string();
    // It ends with this process, and by its loss so does the one that measures.
    let _peer = Peer::start(Command::new(&program).args(["peer", &port])).expect("the other node starts");
    let measured = Command::new(program)
        .args([&port, workload.name(), &n.to_string(), &time.as_millis().to_string()])
        .stdin(Stdio::null())
        .stderr(Stdio::inherit())
        .output()
        .expect("the program starts");
    support::read(workload, &measured).expect("it has all the workloads of two processes")
}
