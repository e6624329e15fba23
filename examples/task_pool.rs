//! A pool of workers: jobs run under a task supervisor, a few at a time; one crashes, is reported, and the others
//! finish.
//!
//! Run it with `cargo run --example task_pool`.

use std::time::Duration;

use incarnate::task::{TaskSupervisorName, TaskSupervisorOptions};
use incarnate::{GenServer, Name, Node, Result, Task, TaskError, TaskSupervisor, let_it_crash};

const POOL: TaskSupervisorName = Name::new("pool");
const WORKERS: usize = 3;
const JOBS: [(&str, &str); 6] = [
    ("apples", "3 4 5"),
    ("pears", "10 20"),
    ("plums", "7 seven 7"),
    ("cherries", "100 200 300"),
    ("quinces", "1"),
    ("medlars", "2 2 2 2"),
];

/// Adds up a delivery. `?` is let it crash: what is no number ends this job and nobody else.
async fn count(delivery: &str) -> Result<u32> {
    let mut sum = 0;
    for number in delivery.split(' ') {
        tokio::time::sleep(Duration::from_millis(20)).await;
        sum += number.parse::<u32>()?;
    }
    Ok(sum)
}

/// Runs the jobs, prints a line for each in order, and answers the lines.
async fn work_off() -> Result<Vec<String>> {
    let options = TaskSupervisorOptions::default().max_children(WORKERS);
    let pool = TaskSupervisor::server(options).name(POOL).start_link().await?;
    let jobs = JOBS.map(|(_, delivery)| delivery);
    let mut counted = POOL.async_stream_nolink(jobs, |job| let_it_crash(count(job))).max_concurrency(WORKERS);

    let mut lines = Vec::new();
    for (fruit, _) in JOBS {
        let line = match counted.next().await {
            Some(Ok(sum)) => format!("{fruit:>9}  {sum:>4}"),
            Some(Err(TaskError::Exit(reason))) => format!("{fruit:>9}  crashed: {reason}"),
            Some(Err(other)) => format!("{fruit:>9}  {other}"),
            None => break,
        };
        println!("{line}");
        lines.push(line);
    }
    let left = POOL.children().await?.len();
    lines.push(format!("{left} workers are left; the pool stops"));
    println!("{}", lines[lines.len() - 1]);
    pool.stop().await?;
    Ok(lines)
}

/// The example, for a test too.
pub async fn example() -> Result<Vec<String>, TaskError> {
    let node = Node::new("orchard");
    println!("{} jobs, {WORKERS} at a time", JOBS.len());
    Task::spawn_on(&node, let_it_crash(work_off())).await
}

/// Public, so that a test can run it as it is.
#[tokio::main]
pub async fn main() -> Result<(), TaskError> {
    example().await.map(|_| ())
}
