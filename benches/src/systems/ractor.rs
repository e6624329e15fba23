//! ractor with its default features, and its monitors where the work is to watch.

mod remote;

use std::{
    iter,
    sync::Arc,
    time::{Duration, Instant},
};

use ractor::{
    Actor, ActorProcessingErr, ActorRef, ActorStatus, RpcReplyPort, SupervisionEvent, rpc::CallResult,
};
use tokio::{
    sync::mpsc,
    task::{JoinHandle, JoinSet},
};

use super::{
    Sample, System,
    support::{Caller, Countdown, TIMEOUT, call_alone, call_crowd, call_pairs, on_workers, resident_bytes},
};
use crate::workload::{BATCH, CROWD, RING, Workload};

pub use remote::{PROGRAM as REMOTE_PROGRAM, build as build_remote};

/// The system by the name of ractor.
pub struct Ractor {
    /// How long a measurement repeats its run, where it does so itself.
    pub time: Duration,
}

type Done = Result<(), ActorProcessingErr>;

struct Counter;

enum CounterMessage {
    Add(u64),
    Call(RpcReplyPort<u64>),
}

impl Actor for Counter {
    type Msg = CounterMessage;
    type State = u64;
    type Arguments = ();

    async fn pre_start(&self, _: ActorRef<Self::Msg>, _: ()) -> Result<u64, ActorProcessingErr> {
        Ok(0)
    }

    async fn handle(&self, _: ActorRef<Self::Msg>, message: Self::Msg, total: &mut u64) -> Done {
        match message {
            CounterMessage::Add(amount) => *total += amount,
            CounterMessage::Call(caller) => {
                *total += 1;
                let _ = caller.send(*total);
            }
        }
        Ok(())
    }
}

async fn start() -> ActorRef<CounterMessage> {
    Actor::spawn(None, Counter, ()).await.expect("the actor starts").0
}

struct Patient(ActorRef<CounterMessage>);

impl Caller for Patient {
    async fn call(&mut self) -> u64 {
        match self.0.call(CounterMessage::Call, None).await {
            Ok(CallResult::Success(total)) => total,
            _ => panic!("the actor answers"),
        }
    }
}

struct Hasty(ActorRef<CounterMessage>);

impl Caller for Hasty {
    async fn call(&mut self) -> u64 {
        match self.0.call(CounterMessage::Call, Some(TIMEOUT)).await {
            Ok(CallResult::Success(total)) => total,
            _ => panic!("the actor answers in time"),
        }
    }
}

async fn ask(server: &ActorRef<CounterMessage>) -> u64 {
    Patient(server.clone()).call().await
}

/// Starts and stops children that are linked to it; their ends are events that it does nothing with.
struct Parent;

enum ParentMessage {
    OneByOne(u64, RpcReplyPort<u64>),
    AllAtOnce(u64, RpcReplyPort<u64>),
}

type Child = (ActorRef<CounterMessage>, JoinHandle<()>);

async fn stop((child, end): Child) -> u64 {
    child.stop(None);
    end.await.is_ok().into()
}

impl Actor for Parent {
    type Msg = ParentMessage;
    type State = ();
    type Arguments = ();

    async fn pre_start(&self, _: ActorRef<Self::Msg>, _: ()) -> Done {
        Ok(())
    }

    async fn handle(&self, myself: ActorRef<Self::Msg>, message: Self::Msg, _: &mut ()) -> Done {
        let mut ended = 0;
        match message {
            ParentMessage::OneByOne(n, caller) => {
                for _ in 0..n {
                    ended += stop(Actor::spawn_linked(None, Counter, (), myself.get_cell()).await?).await;
                }
                let _ = caller.send(ended);
            }
            ParentMessage::AllAtOnce(n, caller) => {
                let mut children = Vec::new();
                for _ in 0..n {
                    children.push(Actor::spawn_linked(None, Counter, (), myself.get_cell()).await?);
                }
                for child in children {
                    ended += stop(child).await;
                }
                let _ = caller.send(ended);
            }
        }
        Ok(())
    }

    async fn handle_supervisor_evt(&self, _: ActorRef<Self::Msg>, _: SupervisionEvent, _: &mut ()) -> Done {
        Ok(())
    }
}

async fn bring_up(
    parent: &ActorRef<ParentMessage>,
    message: impl FnOnce(RpcReplyPort<u64>) -> ParentMessage,
) -> u64 {
    match parent.call(message, None).await {
        Ok(CallResult::Success(ended)) => ended,
        _ => panic!("the parent answers"),
    }
}

/// Fails in one way or the other when it is told to; says when it is up.
struct Mortal;

enum MortalMessage {
    Fail,
    Panic,
}

type Ups = mpsc::UnboundedSender<ActorRef<MortalMessage>>;

impl Actor for Mortal {
    type Msg = MortalMessage;
    type State = ();
    type Arguments = Ups;

    async fn pre_start(&self, myself: ActorRef<Self::Msg>, ups: Ups) -> Done {
        ups.send(myself).map_err(|_| "the driver is gone".into())
    }

    async fn handle(&self, _: ActorRef<Self::Msg>, message: Self::Msg, _: &mut ()) -> Done {
        match message {
            MortalMessage::Fail => Err("told to fail".into()),
            MortalMessage::Panic => panic!("told to panic"),
        }
    }
}

/// The supervisor that a user of ractor writes: one child, started again whenever it fails.
struct Supervisor;

impl Actor for Supervisor {
    type Msg = ();
    type State = Ups;
    type Arguments = Ups;

    async fn pre_start(&self, myself: ActorRef<()>, ups: Ups) -> Result<Ups, ActorProcessingErr> {
        Actor::spawn_linked(None, Mortal, ups.clone(), myself.get_cell()).await?;
        Ok(ups)
    }

    async fn handle_supervisor_evt(
        &self,
        myself: ActorRef<()>,
        event: SupervisionEvent,
        ups: &mut Ups,
    ) -> Done {
        if let SupervisionEvent::ActorFailed(..) = event {
            Actor::spawn_linked(None, Mortal, ups.clone(), myself.get_cell()).await?;
        }
        Ok(())
    }
}

fn restart(n: u64, crash: fn() -> MortalMessage) -> Sample {
    on_workers(async move {
        let (ups, mut lives) = mpsc::unbounded_channel();
        Actor::spawn(None, Supervisor, ups).await.expect("the supervisor starts");
        let mut life = lives.recv().await.expect("the first life");
        let start = Instant::now();
        let mut restarts = 0;
        for _ in 0..n {
            life.cast(crash()).expect("the life is still there");
            life = lives.recv().await.expect("the next life");
            restarts += 1;
        }
        Sample::new(n, start.elapsed(), restarts)
    })
}

/// Passes the token on until it has made its hops.
struct Link;

#[derive(Clone)]
enum LinkMessage {
    Next(ActorRef<LinkMessage>),
    Hop(u64),
}

struct LinkState {
    next: Option<ActorRef<LinkMessage>>,
    arrived: mpsc::UnboundedSender<u64>,
    hops: u64,
}

impl Actor for Link {
    type Msg = LinkMessage;
    type State = LinkState;
    type Arguments = LinkState;

    async fn pre_start(
        &self,
        _: ActorRef<LinkMessage>,
        state: LinkState,
    ) -> Result<LinkState, ActorProcessingErr> {
        Ok(state)
    }

    async fn handle(&self, _: ActorRef<LinkMessage>, message: LinkMessage, state: &mut LinkState) -> Done {
        match message {
            LinkMessage::Next(next) => state.next = Some(next),
            LinkMessage::Hop(hop) if hop == state.hops => state.arrived.send(hop)?,
            LinkMessage::Hop(hop) => {
                if let Some(next) = &state.next {
                    next.cast(LinkMessage::Hop(hop + 1))?;
                }
            }
        }
        Ok(())
    }
}

/// Counts the ends that it hears of.
struct Watcher;

impl Actor for Watcher {
    /// Answered after all the supervision events before it, which go first in ractor.
    type Msg = RpcReplyPort<()>;
    type State = Arc<Countdown>;
    type Arguments = Self::State;

    async fn pre_start(
        &self,
        _: ActorRef<Self::Msg>,
        countdown: Self::State,
    ) -> Result<Self::State, ActorProcessingErr> {
        Ok(countdown)
    }

    async fn handle(&self, _: ActorRef<Self::Msg>, caller: Self::Msg, _: &mut Self::State) -> Done {
        let _ = caller.send(());
        Ok(())
    }

    async fn handle_supervisor_evt(
        &self,
        _: ActorRef<Self::Msg>,
        event: SupervisionEvent,
        countdown: &mut Self::State,
    ) -> Done {
        if let SupervisionEvent::ActorTerminated(..) = event {
            countdown.hear();
        }
        Ok(())
    }
}

impl System for Ractor {
    fn repeats_itself(&self, workload: Workload) -> bool {
        workload.is_remote()
    }

    fn cast(&self, n: u64) -> Option<Sample> {
        Some(on_workers(async move {
            let server = start().await;
            let start = Instant::now();
            for amount in 0..n {
                server.cast(CounterMessage::Add(amount)).expect("the actor lives");
            }
            let sum = ask(&server).await - 1;
            Sample::new(n, start.elapsed(), sum)
        }))
    }

    fn call(&self, n: u64) -> Option<Sample> {
        Some(on_workers(async move { call_alone(Patient(start().await), n).await }))
    }

    fn call_timeout(&self, n: u64) -> Option<Sample> {
        Some(on_workers(async move { call_alone(Hasty(start().await), n).await }))
    }

    fn call_crowd(&self, n: u64) -> Option<Sample> {
        Some(on_workers(async move {
            let server = start().await;
            call_crowd(iter::repeat_with(|| Patient(server.clone())), n).await
        }))
    }

    fn call_pairs(&self, n: u64) -> Option<Sample> {
        Some(on_workers(async move {
            let mut servers = Vec::new();
            for _ in 0..CROWD {
                servers.push(Patient(start().await));
            }
            call_pairs(servers.into_iter(), n).await
        }))
    }

    fn ring(&self, n: u64) -> Option<Sample> {
        Some(on_workers(async move {
            let (arrived, mut arrivals) = mpsc::unbounded_channel();
            let state = |next| LinkState { next, arrived: arrived.clone(), hops: n };
            let (first, _) = Actor::spawn(None, Link, state(None)).await.expect("the actor starts");
            let mut next = first.clone();
            for _ in 1..RING {
                next = Actor::spawn(None, Link, state(Some(next))).await.expect("the actor starts").0;
            }
            first.cast(LinkMessage::Next(next)).expect("the actor lives");
            let start = Instant::now();
            first.cast(LinkMessage::Hop(1)).expect("the actor lives");
            let hops = arrivals.recv().await.expect("the token arrives");
            Sample::new(n, start.elapsed(), hops)
        }))
    }

    fn spawn_sequential(&self, n: u64) -> Option<Sample> {
        Some(on_workers(async move {
            let (parent, _) = Actor::spawn(None, Parent, ()).await.expect("the parent starts");
            let start = Instant::now();
            let mut ended = 0;
            for _ in 0..n / BATCH {
                ended += bring_up(&parent, |caller| ParentMessage::OneByOne(BATCH, caller)).await;
            }
            Sample::new(n, start.elapsed(), ended)
        }))
    }

    fn spawn_concurrent(&self, n: u64) -> Option<Sample> {
        Some(on_workers(async move {
            let mut parents = Vec::new();
            for _ in 0..CROWD {
                parents.push(Actor::spawn(None, Parent, ()).await.expect("the parent starts").0);
            }
            let start = Instant::now();
            let mut tasks = JoinSet::new();
            for parent in parents {
                tasks.spawn(async move {
                    bring_up(&parent, |caller| ParentMessage::AllAtOnce(n / CROWD, caller)).await
                });
            }
            let ended = tasks.join_all().await.into_iter().sum();
            Sample::new(n, start.elapsed(), ended)
        }))
    }

    fn restart_err(&self, n: u64) -> Option<Sample> {
        Some(restart(n, || MortalMessage::Fail))
    }

    fn restart_panic(&self, n: u64) -> Option<Sample> {
        Some(restart(n, || MortalMessage::Panic))
    }

    /// Watched by monitors, which are faster than the events of a supervisor.
    fn fanout(&self, n: u64) -> Option<Sample> {
        Some(on_workers(async move {
            let countdown = Countdown::new(n);
            let (watcher, _) =
                Actor::spawn(None, Watcher, countdown.clone()).await.expect("the watcher starts");
            let mut children = Vec::new();
            for _ in 0..n {
                let child = start().await;
                watcher.get_cell().monitor(child.get_cell());
                children.push(child);
            }
            let _ = watcher.call(|caller| caller, None).await;
            let start = Instant::now();
            let stopper = tokio::spawn(async move {
                children.iter().for_each(|child| child.stop(None));
                children
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
            let mortal = start().await;
            let mut watchers = Vec::new();
            for _ in 0..n {
                let (watcher, _) =
                    Actor::spawn(None, Watcher, countdown.clone()).await.expect("a watcher starts");
                watcher.get_cell().monitor(mortal.get_cell());
                watchers.push(watcher);
            }
            let start = Instant::now();
            mortal.stop(None);
            let heard = countdown.all_heard().await;
            Sample::new(n, start.elapsed(), heard)
        }))
    }

    fn remote(&self, workload: Workload, n: u64) -> Option<Sample> {
        Some(remote::run(workload, n, self.time))
    }

    fn memory_idle(&self, n: u64) -> Option<Sample> {
        Some(on_workers(async move {
            let mut actors = Vec::with_capacity(n as usize);
            let before = resident_bytes();
            for _ in 0..n {
                actors.push(start().await);
            }
            let bytes = resident_bytes() - before;
            let alive = actors.iter().filter(|actor| actor.get_status() <= ActorStatus::Running);
            Sample::bytes(n, bytes, alive.count() as u64)
        }))
    }
}
