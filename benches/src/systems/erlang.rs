//! Erlang/OTP: `benches/erlang/bench.erl`, compiled at run time, one `erl` per measurement.

use std::{
    env, fs,
    path::PathBuf,
    process::{Command, Output, Stdio},
    sync::OnceLock,
    time::Duration,
};

use hdrhistogram::Histogram;

use super::{Sample, System};
use crate::workload::Workload;

/// The system by the name of Erlang/OTP.
pub struct Erlang {
    /// How long a measurement repeats its run.
    pub time: Duration,
}

const SOURCE: &str = include_str!("../../erlang/bench.erl");

/// Where the compiled module is; the runner compiles once and its children find it by this variable.
pub const DIRECTORY: &str = "INCARNATE_BENCH_BEAM";

/// Whether `erl` and `erlc` can be started. Asked once.
pub fn is_installed() -> bool {
    static INSTALLED: OnceLock<bool> = OnceLock::new();
    *INSTALLED.get_or_init(|| {
        ["erl", "erlc"].iter().all(|name| {
            env::var_os("PATH").is_some_and(|path| env::split_paths(&path).any(|at| at.join(name).is_file()))
        })
    })
}

/// Compiles the module and gives the directory it is in, which the caller removes in the end.
pub fn compile() -> PathBuf {
    let directory = env::temp_dir().join(format!("incarnate-bench-{}", std::process::id()));
    fs::create_dir_all(&directory).expect("a temporary directory");
    let source = directory.join("bench.erl");
    fs::write(&source, SOURCE).expect("the temporary directory takes a file");
    let erlc = Command::new("erlc").arg("-o").arg(&directory).arg(&source).output().expect("erlc starts");
    assert!(erlc.status.success(), "erlc: {}", String::from_utf8_lossy(&erlc.stdout));
    directory
}

impl Erlang {
    fn measure(&self, workload: Workload, n: u64) -> Option<Sample> {
        let directory = env::var_os(DIRECTORY).map(PathBuf::from);
        let compiled = directory.clone().unwrap_or_else(compile);
        let erl = Command::new("erl")
            .args(["-noshell", "+P", "1048576", "-pa"])
            .arg(&compiled)
            .args(["-run", "bench", "main", workload.name(), &n.to_string()])
            .arg(self.time.as_millis().to_string())
            .stdin(Stdio::null())
            .output()
            .expect("erl starts");
        if directory.is_none() {
            let _ = fs::remove_dir_all(compiled);
        }
        read(workload, &erl)
    }
}

/// Reads `ops microseconds sum p50 p99 bytes`.
fn read(workload: Workload, erl: &Output) -> Option<Sample> {
    let line = String::from_utf8_lossy(&erl.stdout);
    if line.trim() == "none" {
        return None;
    }
    let numbers: Vec<u64> = line.split_whitespace().map_while(|word| word.parse().ok()).collect();
    let [ops, micros, sum, p50, p99, bytes] = numbers[..] else {
        panic!("erl: {line}{}", String::from_utf8_lossy(&erl.stderr));
    };
    if workload.is_memory() {
        return Some(Sample::bytes(ops, bytes, sum));
    }
    let sample = Sample::new(ops, Duration::from_micros(micros), sum);
    Some(Sample { latencies: (p99 > 0).then(|| two_points(p50, p99)), ..sample })
}

/// A histogram with these two percentiles, for erl gives no more.
fn two_points(p50: u64, p99: u64) -> Histogram<u64> {
    let mut histogram = Histogram::new(3).expect("three digits are a valid precision");
    let _ = histogram.record_n(p50, 98);
    let _ = histogram.record_n(p99, 2);
    histogram
}

impl System for Erlang {
    fn repeats_itself(&self) -> bool {
        true
    }
    fn cast(&self, n: u64) -> Option<Sample> {
        self.measure(Workload::Cast, n)
    }
    fn call(&self, n: u64) -> Option<Sample> {
        self.measure(Workload::Call, n)
    }
    fn call_no_timeout(&self, n: u64) -> Option<Sample> {
        self.measure(Workload::CallNoTimeout, n)
    }
    fn call_crowd(&self, n: u64) -> Option<Sample> {
        self.measure(Workload::CallCrowd, n)
    }
    fn call_pairs(&self, n: u64) -> Option<Sample> {
        self.measure(Workload::CallPairs, n)
    }
    fn ring(&self, n: u64) -> Option<Sample> {
        self.measure(Workload::Ring, n)
    }
    fn spawn_sequential(&self, n: u64) -> Option<Sample> {
        self.measure(Workload::SpawnSequential, n)
    }
    fn spawn_concurrent(&self, n: u64) -> Option<Sample> {
        self.measure(Workload::SpawnConcurrent, n)
    }
    fn restart_err(&self, n: u64) -> Option<Sample> {
        self.measure(Workload::RestartErr, n)
    }
    fn restart_panic(&self, n: u64) -> Option<Sample> {
        self.measure(Workload::RestartPanic, n)
    }
    fn fanout(&self, n: u64) -> Option<Sample> {
        self.measure(Workload::Fanout, n)
    }
    fn one_death(&self, n: u64) -> Option<Sample> {
        self.measure(Workload::OneDeath, n)
    }
    fn one_death_spread(&self, n: u64) -> Option<Sample> {
        self.measure(Workload::OneDeathSpread, n)
    }
    fn memory_idle(&self, n: u64) -> Option<Sample> {
        self.measure(Workload::MemoryIdle, n)
    }
    fn memory_hibernated(&self, n: u64) -> Option<Sample> {
        self.measure(Workload::MemoryHibernated, n)
    }
}
