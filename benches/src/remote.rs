//! The work between two processes of the operating system, apart from any system.
//!
//! `benches/ractor_cluster` compiles this file too, so that both measure by the same lines. It names nothing of this
//! crate.

use std::{
    future::Future,
    io::{self, Read},
    time::{Duration, Instant},
};

use tokio::{runtime::Builder, task::JoinSet};

/// How many callers `call_64_1` and `remote_call_64` and pairs `call_64_64` have, and how many parents start processes at
/// once.
pub const CROWD: u64 = 64;

/// How long the text of `remote_call_1k` is, on the way there and on the way back.
const KILOBYTE: usize = 1_024;

/// Somebody who talks with one server on another node, whose total only grows. Clones talk with the same server.
pub trait Client: Clone + Send + Sync + 'static {
    /// Calls: the server adds one, and answers with its total.
    fn next(&self) -> impl Future<Output = u64> + Send;
    /// Calls: the server sends the text back.
    fn echo(&self, text: String) -> impl Future<Output = String> + Send;
    /// Casts: the server adds the amount. Waits only where the system has no room.
    fn add(&self, amount: u64) -> impl Future<Output = ()> + Send;
}

/// Which work.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Work {
    /// One client calls.
    Call,
    /// One client calls with a text of 1,024 bytes, there and back.
    Call1k,
    /// 64 clients call.
    Call64,
    /// One client casts; a final call returns the sum.
    Cast,
}

impl Work {
    /// The work of the workload by this name.
    pub fn named(workload: &str) -> Option<Work> {
        match workload {
            "remote_call" => Some(Work::Call),
            "remote_call_1k" => Some(Work::Call1k),
            "remote_call_64" => Some(Work::Call64),
            "remote_cast" => Some(Work::Cast),
            _ => None,
        }
    }
}

/// What the runs of one measurement came to.
#[derive(Debug)]
pub struct Took {
    /// Operations done inside `elapsed`.
    pub ops: u64,
    /// The time they took.
    pub elapsed: Duration,
    /// What one run added up to; each had the same.
    pub sum: u64,
    /// Nanoseconds of single calls, timed one by one outside `elapsed`. Sorted.
    pub latencies: Vec<u64>,
}

/// Runs `n` operations once to warm up, and then until `time` is used up.
pub async fn measure(client: impl Client, work: Work, n: u64, time: Duration) -> Took {
    let text = "x".repeat(KILOBYTE);
    let (_, sum) = run(&client, work, n, &text).await;
    let mut took = Took { ops: 0, elapsed: Duration::ZERO, sum, latencies: Vec::new() };
    while took.elapsed < time {
        let (elapsed, sum) = run(&client, work, n, &text).await;
        assert_eq!(sum, took.sum, "two runs came to different sums");
        took.elapsed += elapsed;
        took.ops += n;
    }
    if matches!(work, Work::Call | Work::Call1k) {
        for _ in 0..n {
            let start = Instant::now();
            match work {
                Work::Call1k => drop(client.echo(text.clone()).await),
                _ => drop(client.next().await),
            }
            took.latencies.push(start.elapsed().as_nanos() as u64);
        }
        took.latencies.sort_unstable();
    }
    took
}

/// One run: how long it took, and its sum.
async fn run(client: &impl Client, work: Work, n: u64, text: &str) -> (Duration, u64) {
    let before = client.next().await;
    let start = Instant::now();
    let sum = match work {
        Work::Call => call(client, n).await - before,
        Work::Call1k => echo(client, n, text).await,
        Work::Call64 => {
            let mut clients = JoinSet::new();
            for _ in 0..CROWD {
                let client = client.clone();
                clients.spawn(async move { call(&client, n / CROWD).await });
            }
            // The last answer of all holds the whole sum.
            clients.join_all().await.into_iter().fold(0, u64::max) - before
        }
        Work::Cast => {
            for amount in 0..n {
                client.add(amount).await;
                // A loop that never waits would keep from their work all tasks that were woken on its own thread, those
                // that send among them: it makes room now and then, as Erlang's processes do whether they want or not.
                tokio::task::coop::consume_budget().await;
            }
            client.next().await - 1 - before
        }
    };
    (start.elapsed(), sum)
}

async fn call(client: &impl Client, n: u64) -> u64 {
    let mut total = 0;
    for _ in 0..n {
        total = client.next().await;
    }
    total
}

/// How many of `n` answers were what was sent.
async fn echo(client: &impl Client, n: u64, text: &str) -> u64 {
    let mut same = 0;
    for _ in 0..n {
        same += u64::from(client.echo(text.to_owned()).await == text);
    }
    same
}

/// Runs `work` on a worker of a fresh runtime with tokio's own default number of workers. Not on the thread that
/// waits: that is no worker, and each wake would cross threads.
pub fn on_workers<T: Send + 'static>(work: impl Future<Output = T> + Send + 'static) -> T {
    let runtime = Builder::new_multi_thread().enable_all().build().expect("a runtime");
    // Dropping the runtime waits until its tasks are dropped, so that they cost the next run nothing.
    runtime.block_on(async { tokio::spawn(work).await }).expect("the work ended well")
}

/// Says that this process, a peer, is ready, and waits for the end of who has started it.
pub fn serve(said: &str) -> io::Result<()> {
    println!("{said}");
    io::stdin().read_to_end(&mut Vec::new()).map(drop)
}
