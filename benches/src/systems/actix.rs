//! actix. An actor lives on the thread of its arbiter, and unless one asks, all live on the system's own: so do the
//! workloads here, except those of which a user would make one share for each core: `call_64_64` and
//! `spawn_concurrent` run half on each of two arbiters.

use std::{future::Future, time::Instant};

use actix::{
    Actor, ActorContext, Addr, Context, Handler, Message, Supervised, Supervisor, System as ActixSystem,
};
use actix_rt::Arbiter;
use tokio::{
    sync::{mpsc, oneshot},
    task::JoinSet,
};

use super::{
    Sample, System,
    support::{Caller, TIMEOUT, call_alone, resident_bytes},
};
use crate::workload::{CROWD, RING};

/// The system by the name of actix.
pub struct Actix;

const ARBITERS: u64 = 2;

struct Counter(u64);

#[derive(Message)]
#[rtype(result = "()")]
struct Add(u64);

#[derive(Message)]
#[rtype(result = "u64")]
struct Call;

impl Actor for Counter {
    type Context = Context<Self>;
}

impl Handler<Add> for Counter {
    type Result = ();

    fn handle(&mut self, Add(amount): Add, _: &mut Context<Self>) {
        self.0 += amount;
    }
}

impl Handler<Call> for Counter {
    type Result = u64;

    fn handle(&mut self, _: Call, _: &mut Context<Self>) -> u64 {
        self.0 += 1;
        self.0
    }
}

/// Runs `work` on the one thread of a fresh system.
fn on_system<T>(work: impl Future<Output = T>) -> T {
    ActixSystem::new().block_on(work)
}

/// Runs `share` on each of two arbiters; the time until both have ended, and the sum of what they give.
fn on_arbiters<F: Future<Output = u64> + 'static>(n: u64, share: fn(u64) -> F) -> Sample {
    on_system(async move {
        let arbiters: Vec<Arbiter> = (0..ARBITERS).map(|_| Arbiter::new()).collect();
        let (ended, mut ends) = mpsc::unbounded_channel();
        let start = Instant::now();
        for arbiter in &arbiters {
            let ended = ended.clone();
            arbiter.spawn_fn(move || {
                actix_rt::spawn(async move { ended.send(share(n / ARBITERS).await) });
            });
        }
        let mut sum = 0;
        for _ in 0..ARBITERS {
            sum += ends.recv().await.expect("the arbiter does its share");
        }
        let elapsed = start.elapsed();
        for arbiter in arbiters {
            arbiter.stop();
            let _ = arbiter.join();
        }
        Sample::new(n, elapsed, sum)
    })
}

struct Patient(Addr<Counter>);

impl Caller for Patient {
    async fn call(&mut self) -> u64 {
        self.0.send(Call).await.expect("the actor answers")
    }
}

struct Hasty(Addr<Counter>);

impl Caller for Hasty {
    async fn call(&mut self) -> u64 {
        self.0.send(Call).timeout(TIMEOUT).await.expect("the actor answers in time")
    }
}

/// Calls `n` times; the last answer.
async fn call_often(mut caller: Patient, n: u64) -> u64 {
    let mut last = 0;
    for _ in 0..n {
        last = caller.call().await;
    }
    last
}

async fn call_share_of_pairs(n: u64) -> u64 {
    let pairs = CROWD / ARBITERS;
    let mut tasks = JoinSet::new();
    for _ in 0..pairs {
        tasks.spawn_local(call_often(Patient(Counter(0).start()), n / pairs));
    }
    tasks.join_all().await.into_iter().sum()
}

/// Tells when it has started and when it has ended, each of which is otherwise not to be awaited in actix.
struct Child {
    started: Option<oneshot::Sender<()>>,
    stopped: Option<oneshot::Sender<()>>,
}

#[derive(Message)]
#[rtype(result = "()")]
struct Stop;

impl Actor for Child {
    type Context = Context<Self>;

    fn started(&mut self, _: &mut Context<Self>) {
        let _ = self.started.take().map(|started| started.send(()));
    }

    fn stopped(&mut self, _: &mut Context<Self>) {
        let _ = self.stopped.take().map(|stopped| stopped.send(()));
    }
}

impl Handler<Stop> for Child {
    type Result = ();

    fn handle(&mut self, _: Stop, context: &mut Context<Self>) {
        context.stop();
    }
}

async fn start_child() -> (Addr<Child>, oneshot::Receiver<()>) {
    let (started, has_started) = oneshot::channel();
    let (stopped, has_stopped) = oneshot::channel();
    let child = Child { started: Some(started), stopped: Some(stopped) }.start();
    has_started.await.expect("the actor starts");
    (child, has_stopped)
}

async fn stop((child, has_stopped): (Addr<Child>, oneshot::Receiver<()>)) -> u64 {
    child.do_send(Stop);
    has_stopped.await.is_ok().into()
}

async fn bring_up_share(n: u64) -> u64 {
    let parents = CROWD / ARBITERS;
    let mut tasks = JoinSet::new();
    for _ in 0..parents {
        tasks.spawn_local(async move {
            let mut children = Vec::new();
            for _ in 0..n / parents {
                children.push(start_child().await);
            }
            let mut ended = 0;
            for child in children {
                ended += stop(child).await;
            }
            ended
        });
    }
    tasks.join_all().await.into_iter().sum()
}

/// Under actix's supervisor, which does not make it anew but calls `restarting`.
struct Mortal(mpsc::UnboundedSender<()>);

impl Actor for Mortal {
    type Context = Context<Self>;

    fn started(&mut self, _: &mut Context<Self>) {
        let _ = self.0.send(());
    }
}

impl Supervised for Mortal {}

impl Handler<Stop> for Mortal {
    type Result = ();

    fn handle(&mut self, _: Stop, context: &mut Context<Self>) {
        context.terminate();
    }
}

/// Passes the token on until it has made its hops.
struct Link {
    next: Option<Addr<Link>>,
    arrived: mpsc::UnboundedSender<u64>,
    hops: u64,
}

#[derive(Message)]
#[rtype(result = "()")]
enum LinkMessage {
    Next(Addr<Link>),
    Hop(u64),
}

impl Actor for Link {
    type Context = Context<Self>;
}

impl Handler<LinkMessage> for Link {
    type Result = ();

    fn handle(&mut self, message: LinkMessage, _: &mut Context<Self>) {
        match message {
            LinkMessage::Next(next) => self.next = Some(next),
            LinkMessage::Hop(hop) if hop == self.hops => drop(self.arrived.send(hop)),
            LinkMessage::Hop(hop) => {
                if let Some(next) = &self.next {
                    next.do_send(LinkMessage::Hop(hop + 1));
                }
            }
        }
    }
}

impl System for Actix {
    fn cast(&self, n: u64) -> Option<Sample> {
        Some(on_system(async move {
            let server = Counter(0).start();
            let start = Instant::now();
            for amount in 0..n {
                server.do_send(Add(amount));
            }
            let sum = Patient(server.clone()).call().await - 1;
            Sample::new(n, start.elapsed(), sum)
        }))
    }

    fn call(&self, n: u64) -> Option<Sample> {
        Some(on_system(async move { call_alone(Patient(Counter(0).start()), n).await }))
    }

    fn call_timeout(&self, n: u64) -> Option<Sample> {
        Some(on_system(async move { call_alone(Hasty(Counter(0).start()), n).await }))
    }

    fn call_crowd(&self, n: u64) -> Option<Sample> {
        Some(on_system(async move {
            let server = Counter(0).start();
            let start = Instant::now();
            let mut tasks = JoinSet::new();
            for _ in 0..CROWD {
                tasks.spawn_local(call_often(Patient(server.clone()), n / CROWD));
            }
            let sum = tasks.join_all().await.into_iter().fold(0, u64::max);
            Sample::new(n, start.elapsed(), sum)
        }))
    }

    fn call_pairs(&self, n: u64) -> Option<Sample> {
        Some(on_arbiters(n, call_share_of_pairs))
    }

    fn ring(&self, n: u64) -> Option<Sample> {
        Some(on_system(async move {
            let (arrived, mut arrivals) = mpsc::unbounded_channel();
            let link = |next| Link { next, arrived: arrived.clone(), hops: n }.start();
            let first = link(None);
            let mut next = first.clone();
            for _ in 1..RING {
                next = link(Some(next));
            }
            first.send(LinkMessage::Next(next)).await.expect("the actor lives");
            let start = Instant::now();
            first.do_send(LinkMessage::Hop(1));
            let hops = arrivals.recv().await.expect("the token arrives");
            Sample::new(n, start.elapsed(), hops)
        }))
    }

    fn spawn_sequential(&self, n: u64) -> Option<Sample> {
        Some(on_system(async move {
            let start = Instant::now();
            let mut ended = 0;
            for _ in 0..n {
                ended += stop(start_child().await).await;
            }
            Sample::new(n, start.elapsed(), ended)
        }))
    }

    fn spawn_concurrent(&self, n: u64) -> Option<Sample> {
        Some(on_arbiters(n, bring_up_share))
    }

    /// A handler of actix cannot crash by an error: terminating its context is the nearest. A panic ends the
    /// whole arbiter, so there is no row for it.
    fn restart_err(&self, n: u64) -> Option<Sample> {
        Some(on_system(async move {
            let (ups, mut lives) = mpsc::unbounded_channel();
            let mortal = Supervisor::start(|_| Mortal(ups));
            lives.recv().await.expect("the first life");
            let start = Instant::now();
            let mut restarts = 0;
            for _ in 0..n {
                mortal.do_send(Stop);
                lives.recv().await.expect("the next life");
                restarts += 1;
            }
            Sample::new(n, start.elapsed(), restarts)
        }))
    }

    fn memory_idle(&self, n: u64) -> Option<Sample> {
        Some(on_system(async move {
            let mut actors = Vec::with_capacity(n as usize);
            let before = resident_bytes();
            for _ in 0..n {
                let actor = Counter(0).start();
                actor.send(Call).await.expect("the actor answers");
                actors.push(actor);
            }
            let bytes = resident_bytes() - before;
            let alive = actors.iter().filter(|actor| actor.connected()).count();
            Sample::bytes(n, bytes, alive as u64)
        }))
    }
}
