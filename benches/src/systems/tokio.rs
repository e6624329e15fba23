//! What one writes on tokio without a framework: a task, an unbounded channel, a oneshot per call.

use std::{iter, time::Instant};

use tokio::{
    sync::{mpsc, oneshot, watch},
    task::{JoinHandle, JoinSet},
    time::timeout,
};

use super::{
    Sample, System,
    support::{Caller, Countdown, TIMEOUT, call_alone, call_crowd, call_pairs, on_workers, resident_bytes},
};
use crate::workload::{CROWD, RING};

/// The system by the name of tokio.
pub struct Tokio;

enum Message {
    Add(u64),
    Call(oneshot::Sender<u64>),
    Stop,
}

type Server = mpsc::UnboundedSender<Message>;

async fn counter(mut inbox: mpsc::UnboundedReceiver<Message>) {
    let mut total = 0;
    while let Some(message) = inbox.recv().await {
        match message {
            Message::Add(amount) => total += amount,
            Message::Call(caller) => {
                total += 1;
                let _ = caller.send(total);
            }
            Message::Stop => break,
        }
    }
}

fn start() -> Server {
    let (server, inbox) = mpsc::unbounded_channel();
    tokio::spawn(counter(inbox));
    server
}

async fn ask(server: &Server) -> u64 {
    let (caller, reply) = oneshot::channel();
    server.send(Message::Call(caller)).expect("the server lives");
    reply.await.expect("the server answers")
}

struct Patient(Server);

impl Caller for Patient {
    async fn call(&mut self) -> u64 {
        ask(&self.0).await
    }
}

struct Hasty(Server);

impl Caller for Hasty {
    async fn call(&mut self) -> u64 {
        timeout(TIMEOUT, ask(&self.0)).await.expect("an answer in time")
    }
}

/// Starts a task, waits until it says that it is ready: `start_link` with its init awaited.
async fn start_ready() -> (Server, JoinHandle<()>) {
    let (server, inbox) = mpsc::unbounded_channel();
    let (ready, is_ready) = oneshot::channel();
    let task = tokio::spawn(async move {
        let _ = ready.send(());
        counter(inbox).await;
    });
    is_ready.await.expect("the task starts");
    (server, task)
}

async fn stop((server, task): (Server, JoinHandle<()>)) -> u64 {
    let _ = server.send(Message::Stop);
    task.await.is_ok().into()
}

/// The supervisor that one writes: start, await, start again.
async fn supervise(ups: mpsc::UnboundedSender<oneshot::Sender<()>>, panics: bool) {
    loop {
        let ups = ups.clone();
        let life = tokio::spawn(async move {
            let (crash, told) = oneshot::channel();
            ups.send(crash).map_err(|_| "the driver is gone")?;
            told.await.map_err(|_| "the driver is gone")?;
            assert!(!panics, "told to panic");
            Err::<(), _>("told to fail")
        });
        match life.await {
            Ok(Err("told to fail")) => {}
            Err(error) if error.is_panic() => {}
            _ => return,
        }
    }
}

fn restart(n: u64, panics: bool) -> Sample {
    on_workers(async move {
        let (ups, mut lives) = mpsc::unbounded_channel();
        tokio::spawn(supervise(ups, panics));
        let mut life: oneshot::Sender<()> = lives.recv().await.expect("the first life");
        let start = Instant::now();
        let mut restarts = 0;
        for _ in 0..n {
            let _ = life.send(());
            life = lives.recv().await.expect("the next life");
            restarts += 1;
        }
        Sample::new(n, start.elapsed(), restarts)
    })
}

/// Passes the token on until it has made its hops.
async fn stand_in_ring(
    mut inbox: mpsc::UnboundedReceiver<u64>,
    next: mpsc::UnboundedSender<u64>,
    arrived: mpsc::UnboundedSender<u64>,
    hops: u64,
) {
    while let Some(hop) = inbox.recv().await {
        let _ = if hop == hops { arrived.send(hop) } else { next.send(hop + 1) };
    }
}

impl System for Tokio {
    fn cast(&self, n: u64) -> Option<Sample> {
        Some(on_workers(async move {
            let server = start();
            let start = Instant::now();
            for amount in 0..n {
                server.send(Message::Add(amount)).expect("the server lives");
            }
            let sum = ask(&server).await - 1;
            Sample::new(n, start.elapsed(), sum)
        }))
    }

    fn call(&self, n: u64) -> Option<Sample> {
        Some(on_workers(async move { call_alone(Hasty(start()), n).await }))
    }

    fn call_no_timeout(&self, n: u64) -> Option<Sample> {
        Some(on_workers(async move { call_alone(Patient(start()), n).await }))
    }

    fn call_crowd(&self, n: u64) -> Option<Sample> {
        Some(on_workers(async move {
            let server = start();
            call_crowd(iter::repeat_with(|| Patient(server.clone())), n).await
        }))
    }

    fn call_pairs(&self, n: u64) -> Option<Sample> {
        Some(on_workers(async move { call_pairs(iter::repeat_with(|| Patient(start())), n).await }))
    }

    fn ring(&self, n: u64) -> Option<Sample> {
        Some(on_workers(async move {
            let (arrived, mut arrivals) = mpsc::unbounded_channel();
            let (first, first_inbox) = mpsc::unbounded_channel();
            let mut next = first.clone();
            for _ in 1..RING {
                let (this, inbox) = mpsc::unbounded_channel();
                tokio::spawn(stand_in_ring(inbox, next, arrived.clone(), n));
                next = this;
            }
            tokio::spawn(stand_in_ring(first_inbox, next, arrived, n));
            let start = Instant::now();
            let _ = first.send(1);
            let hops = arrivals.recv().await.expect("the token arrives");
            Sample::new(n, start.elapsed(), hops)
        }))
    }

    fn spawn_sequential(&self, n: u64) -> Option<Sample> {
        Some(on_workers(async move {
            let start = Instant::now();
            let mut ended = 0;
            for _ in 0..n {
                ended += stop(start_ready().await).await;
            }
            Sample::new(n, start.elapsed(), ended)
        }))
    }

    fn spawn_concurrent(&self, n: u64) -> Option<Sample> {
        Some(on_workers(async move {
            let start = Instant::now();
            let mut parents = JoinSet::new();
            for _ in 0..CROWD {
                parents.spawn(async move {
                    let mut children = Vec::new();
                    for _ in 0..n / CROWD {
                        children.push(start_ready().await);
                    }
                    let mut ended = 0;
                    for child in children {
                        ended += stop(child).await;
                    }
                    ended
                });
            }
            let ended = parents.join_all().await.into_iter().sum();
            Sample::new(n, start.elapsed(), ended)
        }))
    }

    fn restart_err(&self, n: u64) -> Option<Sample> {
        Some(restart(n, false))
    }

    fn restart_panic(&self, n: u64) -> Option<Sample> {
        Some(restart(n, true))
    }

    /// Watched by a `JoinSet`, which is the watcher that tokio has.
    fn fanout(&self, n: u64) -> Option<Sample> {
        Some(on_workers(async move {
            let mut tasks = JoinSet::new();
            let mut servers = Vec::new();
            for _ in 0..n {
                let (server, inbox) = mpsc::unbounded_channel();
                tasks.spawn(counter(inbox));
                servers.push(server);
            }
            tokio::task::yield_now().await;
            let start = Instant::now();
            let stopper = tokio::spawn(async move {
                for server in &servers {
                    let _ = server.send(Message::Stop);
                }
                servers
            });
            let mut ended = 0;
            while let Some(end) = tasks.join_next().await {
                ended += u64::from(end.is_ok());
            }
            let elapsed = start.elapsed();
            drop(stopper.await);
            Sample::new(n, elapsed, ended)
        }))
    }

    /// The death is the drop of a `watch` sender.
    fn one_death_spread(&self, n: u64) -> Option<Sample> {
        Some(on_workers(async move {
            let (alive, life) = watch::channel(());
            let countdown = Countdown::new(n);
            let mut watchers = Vec::new();
            for _ in 0..n {
                let (mut life, countdown) = (life.clone(), countdown.clone());
                let (ready, is_ready) = oneshot::channel();
                watchers.push(is_ready);
                tokio::spawn(async move {
                    let _ = ready.send(());
                    let _ = life.changed().await;
                    countdown.hear();
                });
            }
            for ready in watchers {
                let _ = ready.await;
            }
            let start = Instant::now();
            drop(alive);
            let heard = countdown.all_heard().await;
            Sample::new(n, start.elapsed(), heard)
        }))
    }

    fn memory_idle(&self, n: u64) -> Option<Sample> {
        Some(on_workers(async move {
            let mut servers = Vec::with_capacity(n as usize);
            let before = resident_bytes();
            for _ in 0..n {
                let (server, _) = start_ready().await;
                servers.push(server);
            }
            let bytes = resident_bytes() - before;
            let alive = servers.iter().filter(|server| !server.is_closed()).count();
            Sample::bytes(n, bytes, alive as u64)
        }))
    }
}
