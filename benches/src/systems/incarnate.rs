//! incarnate: GenServers with every default in force, the 5 s deadline of a call among them.

mod remote;
mod sharded;

use std::{
    iter,
    sync::Arc,
    time::{Duration, Instant},
};

use incarnate::gen_event::{
    EventHandler, EventManager, Handler, HandlerContext, HandlerInit, HandlerNext, Handover, keep,
};
use incarnate::gen_statem::{
    self, Actions, Event, EventOf, GenStatem, HandleEvent, Transition, keep_state, next_state,
};
use incarnate::{
    CallReply, ChildSpec, Context, Error, ExitReason, GenServer, Info, Init, Never, Next, Node, ReplyTo,
    Result, ServerRef, Supervisor, noreply, process::Timeout, stop,
};
use tokio::{sync::mpsc, task::JoinSet};

use super::{
    Sample, System,
    support::{Caller, Countdown, call_alone, call_crowd, call_pairs, on_workers, resident_bytes},
};
use crate::{
    sharded::ShardWork,
    workload::{BATCH, CROWD, RING, Workload},
};

pub use remote::be_peer;
pub use sharded::{be_member, be_reader};

/// The system by the name of incarnate.
pub struct Incarnate {
    /// How long a measurement repeats its run, where it does so itself.
    pub time: Duration,
}

struct Counter(u64);

enum CounterCall {
    Next(ReplyTo<u64>),
}

enum CounterCast {
    Add(u64),
    Stop,
}

/// Whether a counter hibernates as soon as it has started.
#[derive(Clone, Copy)]
enum Rest {
    Awake,
    Hibernating,
}

type CounterRef = ServerRef<CounterCall, CounterCast>;

impl GenServer for Counter {
    type Args = Rest;
    type Call = CounterCall;
    type Cast = CounterCast;
    type Info = Never;
    type Continue = Never;

    async fn init(rest: Rest, _: &mut Context<Self>) -> Result<Init<Self>> {
        Ok(match rest {
            Rest::Awake => Init::Ready(Counter(0)),
            Rest::Hibernating => Init::Hibernate(Counter(0)),
        })
    }

    async fn handle_call(&mut self, call: CounterCall, _: &mut Context<Self>) -> Result<CallReply> {
        let CounterCall::Next(caller) = call;
        self.0 += 1;
        caller.reply(self.0)
    }

    async fn handle_cast(&mut self, cast: CounterCast, _: &mut Context<Self>) -> Result<Next> {
        match cast {
            CounterCast::Add(amount) => self.0 += amount,
            CounterCast::Stop => return stop(ExitReason::Normal),
        }
        noreply()
    }
}

async fn start(node: &Node, rest: Rest) -> CounterRef {
    Counter::server(rest).on(node).start().await.expect("the server starts")
}

/// Adds up the events that it is told of.
struct Sum(u64);

enum SumCall {
    Get(ReplyTo<u64>),
}

const SUM: Handler<Sum> = Handler::new();

impl EventHandler for Sum {
    type Event = u64;
    type Info = Never;
    type Args = ();
    type Call = SumCall;

    async fn init(_: (), _: Handover, _: &mut HandlerContext<Self>) -> Result<HandlerInit<Self>> {
        Ok(HandlerInit::Ready(Sum(0)))
    }

    async fn handle_event(
        &mut self,
        amount: &u64,
        _: &mut HandlerContext<Self>,
    ) -> Result<HandlerNext<Self>> {
        self.0 += amount;
        keep()
    }

    async fn handle_call(
        &mut self,
        call: SumCall,
        _: &mut HandlerContext<Self>,
    ) -> Result<HandlerNext<Self>> {
        let SumCall::Get(caller) = call;
        caller.send(self.0);
        keep()
    }
}

struct Hasty(CounterRef);

impl Caller for Hasty {
    async fn call(&mut self) -> u64 {
        self.0.call(CounterCall::Next).await.expect("the server answers in time")
    }
}

struct Patient(CounterRef);

impl Caller for Patient {
    async fn call(&mut self) -> u64 {
        self.0.call_timeout(CounterCall::Next, Timeout::Infinity).await.expect("the server answers")
    }
}

/// A counter that is a state machine.
struct Turnstile;

/// How often it has turned.
#[derive(PartialEq)]
struct Turned(u64);

impl GenStatem for Turnstile {
    type Args = ();
    type State = Turned;
    type Call = CounterCall;
    type Cast = CounterCast;
    type Info = Never;
    type Internal = Never;
    type Timer = Never;
    type Mode = HandleEvent;

    async fn init(_: (), _: &mut gen_statem::Context<Self>) -> Result<gen_statem::Init<Self>> {
        Ok(gen_statem::Init::ready(Turned(0), Turnstile))
    }

    async fn handle_event(
        &mut self,
        event: EventOf<Self>,
        turned: &mut Turned,
        _: &mut gen_statem::Context<Self>,
    ) -> Result<Transition<Self>> {
        match event {
            Event::Call(CounterCall::Next(caller)) => {
                turned.0 += 1;
                keep_state().reply(caller, turned.0)
            }
            Event::Cast(CounterCast::Add(amount)) => next_state(Turned(turned.0 + amount)),
            _ => keep_state(),
        }
    }
}

/// Starts and stops children that are linked to it.
struct Parent;

enum ParentCall {
    OneByOne(u64, ReplyTo<u64>),
    AllAtOnce(u64, ReplyTo<u64>),
}

impl GenServer for Parent {
    type Args = ();
    type Call = ParentCall;
    type Cast = Never;
    type Info = Never;
    type Continue = Never;

    async fn init(_: (), _: &mut Context<Self>) -> Result<Init<Self>> {
        Ok(Init::Ready(Parent))
    }

    async fn handle_call(&mut self, call: ParentCall, _: &mut Context<Self>) -> Result<CallReply> {
        let mut ended = 0;
        match call {
            ParentCall::OneByOne(n, caller) => {
                for _ in 0..n {
                    let child = Counter::start_link(Rest::Awake).await?;
                    ended += u64::from(child.stop().await.is_ok());
                }
                caller.reply(ended)
            }
            ParentCall::AllAtOnce(n, caller) => {
                let mut children = Vec::new();
                for _ in 0..n {
                    children.push(Counter::start_link(Rest::Awake).await?);
                }
                for child in children {
                    ended += u64::from(child.stop().await.is_ok());
                }
                caller.reply(ended)
            }
        }
    }
}

/// Passes the token on until it has made its hops.
struct Link {
    next: Option<LinkRef>,
    arrived: mpsc::UnboundedSender<u64>,
    hops: u64,
}

enum LinkCast {
    Next(LinkRef),
    Hop(u64),
}

type LinkRef = ServerRef<Never, LinkCast>;

impl GenServer for Link {
    type Args = Self;
    type Call = Never;
    type Cast = LinkCast;
    type Info = Never;
    type Continue = Never;

    async fn init(link: Self, _: &mut Context<Self>) -> Result<Init<Self>> {
        Ok(Init::Ready(link))
    }

    async fn handle_call(&mut self, call: Never, _: &mut Context<Self>) -> Result<CallReply> {
        match call {}
    }

    async fn handle_cast(&mut self, cast: LinkCast, _: &mut Context<Self>) -> Result<Next> {
        match cast {
            LinkCast::Next(next) => self.next = Some(next),
            LinkCast::Hop(hop) if hop == self.hops => drop(self.arrived.send(hop)),
            LinkCast::Hop(hop) => {
                if let Some(next) = &self.next {
                    next.cast(LinkCast::Hop(hop + 1));
                }
            }
        }
        noreply()
    }
}

/// Monitors whom it is told to, and counts the ends that it hears of.
struct Watcher(Arc<Countdown>);

enum WatcherCall {
    Watch(CounterRef, ReplyTo<()>),
}

type WatcherRef = ServerRef<WatcherCall>;

impl GenServer for Watcher {
    type Args = Arc<Countdown>;
    type Call = WatcherCall;
    type Cast = Never;
    type Info = Never;
    type Continue = Never;

    async fn init(countdown: Arc<Countdown>, _: &mut Context<Self>) -> Result<Init<Self>> {
        Ok(Init::Ready(Watcher(countdown)))
    }

    async fn handle_call(&mut self, call: WatcherCall, cx: &mut Context<Self>) -> Result<CallReply> {
        let WatcherCall::Watch(server, caller) = call;
        cx.monitor(&server);
        caller.reply(())
    }

    async fn handle_info(&mut self, info: Info<Never>, _: &mut Context<Self>) -> Result<Next> {
        if let Info::Down(_) = info {
            self.0.hear();
        }
        noreply()
    }
}

async fn start_watcher(node: &Node, countdown: &Arc<Countdown>) -> WatcherRef {
    Watcher::server(countdown.clone()).on(node).start().await.expect("the watcher starts")
}

async fn watch(watcher: &WatcherRef, server: &CounterRef) {
    let watched = watcher.call(|caller| WatcherCall::Watch(server.clone(), caller)).await;
    watched.expect("the watcher answers");
}

fn memory(n: u64, rest: Rest, called: bool) -> Sample {
    on_workers(async move {
        let node = Node::new("bench");
        let mut servers = Vec::with_capacity(n as usize);
        let before = resident_bytes();
        for _ in 0..n {
            let server = start(&node, rest).await;
            if called {
                Hasty(server.clone()).call().await;
            }
            servers.push(server);
        }
        let bytes = resident_bytes() - before;
        let alive = servers.iter().filter(|server| server.is_alive()).count();
        Sample::bytes(n, bytes, alive as u64)
    })
}

/// Fails in one way or the other when it is told to; says when it is up.
struct Mortal;

enum MortalCast {
    Fail,
    Panic,
}

type Life = ServerRef<Never, MortalCast>;

impl GenServer for Mortal {
    type Args = mpsc::UnboundedSender<Life>;
    type Call = Never;
    type Cast = MortalCast;
    type Info = Never;
    type Continue = Never;

    async fn init(ups: Self::Args, cx: &mut Context<Self>) -> Result<Init<Self>> {
        ups.send(cx.server())?;
        Ok(Init::Ready(Mortal))
    }

    async fn handle_call(&mut self, call: Never, _: &mut Context<Self>) -> Result<CallReply> {
        match call {}
    }

    async fn handle_cast(&mut self, cast: MortalCast, _: &mut Context<Self>) -> Result<Next> {
        match cast {
            MortalCast::Fail => Err(Error::msg("told to fail")),
            MortalCast::Panic => panic!("told to panic"),
        }
    }
}

/// Under a real supervisor, which may restart its child as often as it likes within a second.
fn restart(n: u64, crash: fn() -> MortalCast) -> Sample {
    on_workers(async move {
        let node = Node::new("bench");
        let (ups, mut lives) = mpsc::unbounded_channel();
        let child = ChildSpec::worker("mortal", move || Mortal::start_link(ups.clone()));
        let tree = Supervisor::tree("bench").intensity(u32::MAX, Duration::from_secs(1)).child(child);
        let supervisor = tree.on(&node).start().await.expect("the tree starts");
        let mut life = lives.recv().await.expect("the first life");
        let start = Instant::now();
        let mut restarts = 0;
        for _ in 0..n {
            life.cast(crash());
            life = lives.recv().await.expect("the next life");
            restarts += 1;
        }
        let elapsed = start.elapsed();
        supervisor.stop().await.expect("the tree stops");
        Sample::new(n, elapsed, restarts)
    })
}

impl System for Incarnate {
    fn repeats_itself(&self, workload: Workload) -> bool {
        workload.is_remote() || matches!(workload, Workload::Shards(_))
    }

    fn cast(&self, n: u64) -> Option<Sample> {
        Some(on_workers(async move {
            let server = start(&Node::new("bench"), Rest::Awake).await;
            let start = Instant::now();
            for amount in 0..n {
                server.cast(CounterCast::Add(amount));
            }
            let sum = Hasty(server).call().await - 1;
            Sample::new(n, start.elapsed(), sum)
        }))
    }

    fn notify(&self, n: u64) -> Option<Sample> {
        Some(on_workers(async move {
            let manager = EventManager::server(()).on(&Node::new("bench")).start().await;
            let manager = manager.expect("the manager starts");
            manager.add_handler(SUM, ()).await.expect("the handler is added");
            let start = Instant::now();
            for amount in 0..n {
                manager.notify(amount);
            }
            let sum = manager.call_handler(SUM, SumCall::Get).await.expect("the handler answers in time");
            Sample::new(n, start.elapsed(), sum)
        }))
    }

    fn call(&self, n: u64) -> Option<Sample> {
        Some(on_workers(async move {
            let node = Node::new("bench");
            call_alone(Hasty(start(&node, Rest::Awake).await), n).await
        }))
    }

    fn call_no_timeout(&self, n: u64) -> Option<Sample> {
        Some(on_workers(async move {
            let node = Node::new("bench");
            call_alone(Patient(start(&node, Rest::Awake).await), n).await
        }))
    }

    fn statem_call(&self, n: u64) -> Option<Sample> {
        Some(on_workers(async move {
            let node = Node::new("bench");
            call_alone(Hasty(Turnstile::statem(()).on(&node).start().await.expect("it starts")), n).await
        }))
    }

    fn call_crowd(&self, n: u64) -> Option<Sample> {
        Some(on_workers(async move {
            let node = Node::new("bench");
            let server = start(&node, Rest::Awake).await;
            call_crowd(iter::repeat_with(|| Hasty(server.clone())), n).await
        }))
    }

    fn call_pairs(&self, n: u64) -> Option<Sample> {
        Some(on_workers(async move {
            let node = Node::new("bench");
            let mut callers = Vec::new();
            for _ in 0..CROWD {
                callers.push(Hasty(start(&node, Rest::Awake).await));
            }
            call_pairs(callers.into_iter(), n).await
        }))
    }

    fn ring(&self, n: u64) -> Option<Sample> {
        Some(on_workers(async move {
            let node = Node::new("bench");
            let (arrived, mut arrivals) = mpsc::unbounded_channel();
            let link = |next| {
                let link = Link { next, arrived: arrived.clone(), hops: n };
                Link::server(link).on(&node).start()
            };
            let first = link(None).await.expect("the server starts");
            let mut next = first.clone();
            for _ in 1..RING {
                next = link(Some(next)).await.expect("the server starts");
            }
            first.cast(LinkCast::Next(next));
            let start = Instant::now();
            first.cast(LinkCast::Hop(1));
            let hops = arrivals.recv().await.expect("the token arrives");
            Sample::new(n, start.elapsed(), hops)
        }))
    }

    fn spawn_sequential(&self, n: u64) -> Option<Sample> {
        Some(on_workers(async move {
            let node = Node::new("bench");
            let parent = Parent::server(()).on(&node).start().await.expect("the parent starts");
            let start = Instant::now();
            let mut ended = 0;
            for _ in 0..n / BATCH {
                let answer = parent.call(|caller| ParentCall::OneByOne(BATCH, caller)).await;
                ended += answer.expect("the parent answers");
            }
            Sample::new(n, start.elapsed(), ended)
        }))
    }

    fn spawn_concurrent(&self, n: u64) -> Option<Sample> {
        Some(on_workers(async move {
            let node = Node::new("bench");
            let mut parents = Vec::new();
            for _ in 0..CROWD {
                parents.push(Parent::server(()).on(&node).start().await.expect("the parent starts"));
            }
            let start = Instant::now();
            let mut tasks = JoinSet::new();
            for parent in parents {
                tasks.spawn(async move {
                    let all = |caller| ParentCall::AllAtOnce(n / CROWD, caller);
                    parent.call_timeout(all, Timeout::Infinity).await.expect("the parent answers")
                });
            }
            let ended = tasks.join_all().await.into_iter().sum();
            Sample::new(n, start.elapsed(), ended)
        }))
    }

    fn restart_err(&self, n: u64) -> Option<Sample> {
        Some(restart(n, || MortalCast::Fail))
    }

    fn restart_panic(&self, n: u64) -> Option<Sample> {
        Some(restart(n, || MortalCast::Panic))
    }

    fn fanout(&self, n: u64) -> Option<Sample> {
        Some(on_workers(async move {
            let node = Node::new("bench");
            let countdown = Countdown::new(n);
            let watcher = start_watcher(&node, &countdown).await;
            let mut servers = Vec::new();
            for _ in 0..n {
                let server = start(&node, Rest::Awake).await;
                watch(&watcher, &server).await;
                servers.push(server);
            }
            let start = Instant::now();
            let stopper = tokio::spawn(async move {
                servers.iter().for_each(|server| server.cast(CounterCast::Stop));
                servers
            });
            let ended = countdown.all_heard().await;
            let elapsed = start.elapsed();
            drop(stopper.await);
            Sample::new(n, elapsed, ended)
        }))
    }

    fn one_death(&self, n: u64) -> Option<Sample> {
        Some(on_workers(async move {
            let node = Node::new("bench");
            let countdown = Countdown::new(n);
            let watcher = start_watcher(&node, &countdown).await;
            let mortal = start(&node, Rest::Awake).await;
            for _ in 0..n {
                watch(&watcher, &mortal).await;
            }
            let start = Instant::now();
            mortal.cast(CounterCast::Stop);
            let heard = countdown.all_heard().await;
            Sample::new(n, start.elapsed(), heard)
        }))
    }

    fn one_death_spread(&self, n: u64) -> Option<Sample> {
        Some(on_workers(async move {
            let node = Node::new("bench");
            let countdown = Countdown::new(n);
            let mortal = start(&node, Rest::Awake).await;
            let mut watchers = Vec::new();
            for _ in 0..n {
                let watcher = start_watcher(&node, &countdown).await;
                watch(&watcher, &mortal).await;
                watchers.push(watcher);
            }
            let start = Instant::now();
            mortal.cast(CounterCast::Stop);
            let heard = countdown.all_heard().await;
            Sample::new(n, start.elapsed(), heard)
        }))
    }

    fn remote(&self, workload: Workload, n: u64) -> Option<Sample> {
        Some(remote::run(workload, n, self.time))
    }

    fn shards(&self, work: ShardWork, n: u64) -> Option<Sample> {
        Some(sharded::run(work, n, self.time))
    }

    fn memory_new(&self, n: u64) -> Option<Sample> {
        Some(memory(n, Rest::Awake, false))
    }

    fn memory_idle(&self, n: u64) -> Option<Sample> {
        Some(memory(n, Rest::Awake, true))
    }

    fn memory_hibernated(&self, n: u64) -> Option<Sample> {
        Some(memory(n, Rest::Hibernating, false))
    }
}
