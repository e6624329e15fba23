//! kameo with its default features. Its mailboxes are bounded by 64 unless one asks: here they are unbounded, as
//! those of the others are.

use std::{iter, ops::ControlFlow, sync::Arc, time::Duration, time::Instant};

use kameo::{
    actor::{Actor, ActorId, ActorRef, Spawn, WeakActorRef},
    error::{ActorStopReason, Infallible},
    mailbox,
    message::{Context, Message},
    supervision::RestartPolicy,
};
use tokio::{sync::mpsc, task::JoinSet};

use super::{
    Sample, System,
    support::{Caller, Countdown, TIMEOUT, call_alone, call_crowd, call_pairs, on_workers, resident_bytes},
};
use crate::workload::{BATCH, CROWD, RING};

/// The system by the name of kameo.
pub struct Kameo;

struct Counter(u64);
struct Add(u64);
struct Call;

impl Actor for Counter {
    type Args = ();
    type Error = Infallible;

    async fn on_start(_: (), _: ActorRef<Self>) -> Result<Self, Infallible> {
        Ok(Counter(0))
    }
}

impl Message<Add> for Counter {
    type Reply = ();

    async fn handle(&mut self, Add(amount): Add, _: &mut Context<Self, ()>) {
        self.0 += amount;
    }
}

impl Message<Call> for Counter {
    type Reply = u64;

    async fn handle(&mut self, _: Call, _: &mut Context<Self, u64>) -> u64 {
        self.0 += 1;
        self.0
    }
}

fn start() -> ActorRef<Counter> {
    Counter::spawn_with_mailbox((), mailbox::unbounded())
}

async fn start_ready() -> ActorRef<Counter> {
    let actor = start();
    actor.wait_for_startup().await;
    actor
}

// `send().await` everywhere: awaiting the request itself would box the future of each call.
struct Patient(ActorRef<Counter>);

impl Caller for Patient {
    async fn call(&mut self) -> u64 {
        self.0.ask(Call).send().await.expect("the actor answers")
    }
}

struct Hasty(ActorRef<Counter>);

impl Caller for Hasty {
    async fn call(&mut self) -> u64 {
        self.0.ask(Call).reply_timeout(TIMEOUT).send().await.expect("the actor answers in time")
    }
}

/// Starts and stops children that are linked to it.
struct Parent;
struct OneByOne(u64);
struct AllAtOnce(u64);

impl Actor for Parent {
    type Args = ();
    type Error = Infallible;

    async fn on_start(_: (), _: ActorRef<Self>) -> Result<Self, Infallible> {
        Ok(Parent)
    }

    async fn on_link_died(
        &mut self,
        _: WeakActorRef<Self>,
        _: ActorId,
        _: ActorStopReason,
    ) -> Result<ControlFlow<ActorStopReason>, Infallible> {
        Ok(ControlFlow::Continue(()))
    }
}

async fn start_child(parent: &ActorRef<Parent>) -> ActorRef<Counter> {
    let child = Counter::spawn_link_with_mailbox(parent, (), mailbox::unbounded()).await;
    child.wait_for_startup().await;
    child
}

async fn stop(actor: ActorRef<Counter>) -> u64 {
    let _ = actor.stop_gracefully().await;
    actor.wait_for_shutdown().await;
    (!actor.is_alive()).into()
}

impl Message<OneByOne> for Parent {
    type Reply = u64;

    async fn handle(&mut self, OneByOne(n): OneByOne, context: &mut Context<Self, u64>) -> u64 {
        let mut ended = 0;
        for _ in 0..n {
            ended += stop(start_child(context.actor_ref()).await).await;
        }
        ended
    }
}

impl Message<AllAtOnce> for Parent {
    type Reply = u64;

    async fn handle(&mut self, AllAtOnce(n): AllAtOnce, context: &mut Context<Self, u64>) -> u64 {
        let mut children = Vec::new();
        for _ in 0..n {
            children.push(start_child(context.actor_ref()).await);
        }
        let mut ended = 0;
        for child in children {
            ended += stop(child).await;
        }
        ended
    }
}

/// Fails in one way or the other when it is told to; says when it is up.
struct Mortal;
struct Fail;
struct Panic;

type Ups = mpsc::UnboundedSender<ActorRef<Mortal>>;

impl Actor for Mortal {
    type Args = Ups;
    type Error = Infallible;

    async fn on_start(ups: Ups, myself: ActorRef<Self>) -> Result<Self, Infallible> {
        let _ = ups.send(myself);
        Ok(Mortal)
    }
}

impl Message<Fail> for Mortal {
    type Reply = Result<(), &'static str>;

    async fn handle(&mut self, _: Fail, _: &mut Context<Self, Self::Reply>) -> Self::Reply {
        Err("told to fail")
    }
}

impl Message<Panic> for Mortal {
    type Reply = ();

    async fn handle(&mut self, _: Panic, _: &mut Context<Self, ()>) {
        panic!("told to panic")
    }
}

fn restart<M: Send + 'static>(n: u64, crash: fn() -> M) -> Sample
where
    Mortal: Message<M>,
{
    on_workers(async move {
        let (ups, mut lives) = mpsc::unbounded_channel();
        let supervisor = Parent::spawn_with_mailbox((), mailbox::unbounded());
        Mortal::supervise(&supervisor, ups)
            .restart_policy(RestartPolicy::Permanent)
            .restart_limit(u32::MAX, Duration::from_secs(1))
            .spawn_with_mailbox(mailbox::unbounded())
            .await;
        let mut life: ActorRef<Mortal> = lives.recv().await.expect("the first life");
        let start = Instant::now();
        let mut restarts = 0;
        for _ in 0..n {
            life.tell(crash()).try_send().expect("the mailbox is open");
            life = lives.recv().await.expect("the next life");
            restarts += 1;
        }
        Sample::new(n, start.elapsed(), restarts)
    })
}

/// Passes the token on until it has made its hops.
struct Link {
    next: Option<ActorRef<Link>>,
    arrived: mpsc::UnboundedSender<u64>,
    hops: u64,
}

struct Next(ActorRef<Link>);
struct Hop(u64);

impl Actor for Link {
    type Args = Self;
    type Error = Infallible;

    async fn on_start(link: Self, _: ActorRef<Self>) -> Result<Self, Infallible> {
        Ok(link)
    }
}

impl Message<Next> for Link {
    type Reply = ();

    async fn handle(&mut self, Next(next): Next, _: &mut Context<Self, ()>) {
        self.next = Some(next);
    }
}

impl Message<Hop> for Link {
    type Reply = ();

    async fn handle(&mut self, Hop(hop): Hop, _: &mut Context<Self, ()>) {
        if hop == self.hops {
            let _ = self.arrived.send(hop);
        } else if let Some(next) = &self.next {
            let _ = next.tell(Hop(hop + 1)).try_send();
        }
    }
}

/// Counts the ends of those that are linked to it.
struct Watcher(Arc<Countdown>);

impl Actor for Watcher {
    type Args = Arc<Countdown>;
    type Error = Infallible;

    async fn on_start(countdown: Arc<Countdown>, _: ActorRef<Self>) -> Result<Self, Infallible> {
        Ok(Watcher(countdown))
    }

    async fn on_link_died(
        &mut self,
        _: WeakActorRef<Self>,
        _: ActorId,
        _: ActorStopReason,
    ) -> Result<ControlFlow<ActorStopReason>, Infallible> {
        self.0.hear();
        Ok(ControlFlow::Continue(()))
    }
}

impl System for Kameo {
    fn cast(&self, n: u64) -> Option<Sample> {
        Some(on_workers(async move {
            let server = start();
            let start = Instant::now();
            for amount in 0..n {
                server.tell(Add(amount)).try_send().expect("the actor lives");
            }
            let sum = Patient(server.clone()).call().await - 1;
            Sample::new(n, start.elapsed(), sum)
        }))
    }

    fn call(&self, n: u64) -> Option<Sample> {
        Some(on_workers(async move { call_alone(Patient(start()), n).await }))
    }

    fn call_timeout(&self, n: u64) -> Option<Sample> {
        Some(on_workers(async move { call_alone(Hasty(start()), n).await }))
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
            let link = |next| {
                let link = Link { next, arrived: arrived.clone(), hops: n };
                Link::spawn_with_mailbox(link, mailbox::unbounded())
            };
            let first = link(None);
            let mut next = first.clone();
            for _ in 1..RING {
                next = link(Some(next));
            }
            first.ask(Next(next)).await.expect("the actor lives");
            let start = Instant::now();
            first.tell(Hop(1)).try_send().expect("the actor lives");
            let hops = arrivals.recv().await.expect("the token arrives");
            Sample::new(n, start.elapsed(), hops)
        }))
    }

    fn spawn_sequential(&self, n: u64) -> Option<Sample> {
        Some(on_workers(async move {
            let parent = Parent::spawn_with_mailbox((), mailbox::unbounded());
            let start = Instant::now();
            let mut ended = 0;
            for _ in 0..n / BATCH {
                ended += parent.ask(OneByOne(BATCH)).await.expect("the parent answers");
            }
            Sample::new(n, start.elapsed(), ended)
        }))
    }

    fn spawn_concurrent(&self, n: u64) -> Option<Sample> {
        Some(on_workers(async move {
            let parents: Vec<_> =
                (0..CROWD).map(|_| Parent::spawn_with_mailbox((), mailbox::unbounded())).collect();
            let start = Instant::now();
            let mut tasks = JoinSet::new();
            for parent in parents {
                tasks.spawn(
                    async move { parent.ask(AllAtOnce(n / CROWD)).await.expect("the parent answers") },
                );
            }
            let ended = tasks.join_all().await.into_iter().sum();
            Sample::new(n, start.elapsed(), ended)
        }))
    }

    fn restart_err(&self, n: u64) -> Option<Sample> {
        Some(restart(n, || Fail))
    }

    fn restart_panic(&self, n: u64) -> Option<Sample> {
        Some(restart(n, || Panic))
    }

    /// Watched by links, which is what kameo has.
    fn fanout(&self, n: u64) -> Option<Sample> {
        Some(on_workers(async move {
            let countdown = Countdown::new(n);
            let watcher = Watcher::spawn_with_mailbox(countdown.clone(), mailbox::unbounded());
            let mut actors = Vec::new();
            for _ in 0..n {
                let actor = Counter::spawn_link_with_mailbox(&watcher, (), mailbox::unbounded()).await;
                actor.wait_for_startup().await;
                actors.push(actor);
            }
            let start = Instant::now();
            let stopper = tokio::spawn(async move {
                for actor in &actors {
                    let _ = actor.stop_gracefully().await;
                }
                actors
            });
            let ended = countdown.all_heard().await;
            let elapsed = start.elapsed();
            drop(stopper.await);
            Sample::new(n, elapsed, ended)
        }))
    }

    fn one_death_spread(&self, n: u64) -> Option<Sample> {
        Some(on_workers(async move {
            let countdown = Countdown::new(n);
            let mortal = start_ready().await;
            let mut watchers = Vec::new();
            for _ in 0..n {
                let watcher = Watcher::spawn_with_mailbox(countdown.clone(), mailbox::unbounded());
                watcher.wait_for_startup().await;
                watcher.link(&mortal).await;
                watchers.push(watcher);
            }
            let start = Instant::now();
            let _ = mortal.stop_gracefully().await;
            let heard = countdown.all_heard().await;
            Sample::new(n, start.elapsed(), heard)
        }))
    }

    fn memory_idle(&self, n: u64) -> Option<Sample> {
        Some(on_workers(async move {
            let mut actors = Vec::with_capacity(n as usize);
            let before = resident_bytes();
            for _ in 0..n {
                actors.push(start_ready().await);
            }
            let bytes = resident_bytes() - before;
            let alive = actors.iter().filter(|actor| actor.is_alive()).count();
            Sample::bytes(n, bytes, alive as u64)
        }))
    }
}
