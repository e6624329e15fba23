//! What the systems on tokio share: the runtime, the loops around a call, the memory of this process. And how a
//! measurement is read that another program has made.

use std::{
    future::Future,
    iter,
    process::Output,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use hdrhistogram::Histogram;
use tokio::{sync::Notify, task::JoinSet};

use super::Sample;
use crate::workload::{CROWD, Workload};

pub use crate::remote::on_workers;

/// The deadline of a call, where a system has one in force: OTP's default.
pub const TIMEOUT: Duration = Duration::from_secs(5);

/// Somebody who calls a server that adds one and answers with its total.
pub trait Caller: Send + 'static {
    /// Calls once.
    fn call(&mut self) -> impl Future<Output = u64> + Send;
}

/// One caller: `n` calls for the rate, then a tenth as many timed one by one.
pub async fn call_alone(mut caller: impl Caller, n: u64) -> Sample {
    let start = Instant::now();
    let mut total = 0;
    for _ in 0..n {
        total = caller.call().await;
    }
    let elapsed = start.elapsed();
    let mut latencies = Vec::new();
    for _ in 0..n / 10 {
        let start = Instant::now();
        caller.call().await;
        latencies.push(start.elapsed().as_nanos() as u64);
    }
    Sample { latencies: Some(histogram(latencies)), ..Sample::new(n, elapsed, total) }
}

/// 64 callers of one server; the last answer of all holds the whole sum.
pub async fn call_crowd<C: Caller>(callers: impl Iterator<Item = C>, n: u64) -> Sample {
    call_together(callers.take(CROWD as usize), n, u64::max).await
}

/// 64 callers with a server each; their last answers add up to the sum.
pub async fn call_pairs<C: Caller>(callers: impl Iterator<Item = C>, n: u64) -> Sample {
    call_together(callers.take(CROWD as usize), n, |sum, last| sum + last).await
}

/// As many callers as there are, which share `n` calls.
pub async fn call_together<C: Caller>(
    callers: impl Iterator<Item = C>,
    n: u64,
    combine: fn(u64, u64) -> u64,
) -> Sample {
    // Servers and callers are made before the clock starts.
    let callers: Vec<C> = callers.collect();
    let start = Instant::now();
    let mut tasks = JoinSet::new();
    for mut caller in callers {
        tasks.spawn(async move {
            let mut last = 0;
            for _ in 0..n / CROWD {
                last = caller.call().await;
            }
            last
        });
    }
    let sum = tasks.join_all().await.into_iter().fold(0, combine);
    Sample::new(n, start.elapsed(), sum)
}

/// Counts to `n` from many tasks; whoever comes last rings.
#[derive(Debug)]
pub struct Countdown {
    left: AtomicU64,
    heard: u64,
    bell: Notify,
}

impl Countdown {
    /// A countdown from `n`.
    pub fn new(n: u64) -> Arc<Self> {
        Arc::new(Countdown { left: AtomicU64::new(n), heard: n, bell: Notify::new() })
    }

    /// Counts one.
    pub fn hear(&self) {
        if self.left.fetch_sub(1, Ordering::AcqRel) == 1 {
            self.bell.notify_one();
        }
    }

    /// Waits for the last one and gives the number of all.
    pub async fn all_heard(&self) -> u64 {
        self.bell.notified().await;
        self.heard - self.left.load(Ordering::Acquire)
    }
}

/// Resident bytes of this process.
pub fn resident_bytes() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").expect("Linux's /proc");
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).expect("VmRSS in the status");
    let kib: u64 = line.trim().trim_end_matches(" kB").parse().expect("VmRSS in kB");
    kib * 1024
}

/// Reads `ops microseconds sum p50 p99 bytes`, what a program that measures by itself prints; or `none`.
pub fn read(workload: Workload, program: &Output) -> Option<Sample> {
    let line = String::from_utf8_lossy(&program.stdout);
    if line.trim() == "none" {
        return None;
    }
    let numbers: Vec<u64> = line.split_whitespace().map_while(|word| word.parse().ok()).collect();
    let [ops, micros, sum, p50, p99, bytes] = numbers[..] else {
        panic!("{workload}: {line}{}", String::from_utf8_lossy(&program.stderr));
    };
    if workload.is_memory() {
        return Some(Sample::bytes(ops, bytes, sum));
    }
    // No more than two percentiles are known.
    let latencies = (p99 > 0).then(|| histogram(iter::repeat_n(p50, 98).chain([p99, p99])));
    Some(Sample { latencies, ..Sample::new(ops, Duration::from_micros(micros), sum) })
}

/// A histogram of nanoseconds.
pub fn histogram(nanos: impl IntoIterator<Item = u64>) -> Histogram<u64> {
    let mut histogram = Histogram::new(3).expect("three digits are a valid precision");
    for nanos in nanos {
        // Not `saturating_record`: it does not grow, and takes all that is beyond its first 2 µs for 2 ns.
        histogram.record(nanos).expect("it grows");
    }
    histogram
}
