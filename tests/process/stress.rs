//! Many processes that do everything to each other at once; then the books are balanced. `SEED=n` repeats a run.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use incarnate::{
    CallError, CallReply, Context, ExitReason, GenServer, Info, Init, MonitorRef, Never, Next, Node, Pid,
    Process, ProcessRef, ReplyTo, Result, ServerRef, Then, noreply,
};
use tokio::sync::mpsc;

use crate::probe::{HANGS, Random, in_time, inside, node, polled_once, seed, wait_for_reason};

const VICTIMS: usize = 120;
const WATCHERS: usize = 8;
const STEPS: usize = 300;

/// A server that hibernates whenever it can.
struct Napper;

struct Ping(ReplyTo<()>);

impl GenServer for Napper {
    type Args = ();
    type Call = Ping;
    type Cast = ();
    type Info = u32;
    type Continue = Never;

    async fn init((): (), _: &mut Context<Self>) -> Result<Init<Self>> {
        Ok(Init::Hibernate(Napper))
    }

    async fn handle_call(&mut self, Ping(to): Ping, _: &mut Context<Self>) -> Result<CallReply> {
        to.reply(()).hibernate()
    }

    async fn handle_cast(&mut self, (): (), _: &mut Context<Self>) -> Result<Next> {
        noreply().hibernate()
    }

    async fn handle_info(&mut self, _: Info<u32>, _: &mut Context<Self>) -> Result<Next> {
        noreply().hibernate()
    }
}

enum Order {
    Go(Arc<World>, u64),
    Noise,
}

struct World {
    plain: Vec<ProcessRef<Order>>,
    nappers: Vec<ServerRef<Ping, (), u32>>,
    pids: Vec<Pid>,
    /// The pids of those that are through with their steps.
    done: mpsc::UnboundedSender<Pid>,
}

impl World {
    fn any(&self, random: &mut Random) -> Pid {
        self.pids[random.below(self.pids.len())]
    }

    fn noise(&self, random: &mut Random) {
        match random.below(2) {
            0 => self.plain[random.below(self.plain.len())].send(Order::Noise),
            _ => self.nappers[random.below(self.nappers.len())].cast(()),
        }
    }
}

/// One of those that may die at any moment.
async fn victim(mut me: Process<Order>) -> Result<()> {
    loop {
        if let Info::User(Order::Go(world, seed)) = me.receive().await {
            let mut random = Random::new(seed);
            let mut monitors = Vec::new();
            for _ in 0..STEPS {
                step(&mut me, &world, &mut random, &mut monitors).await;
            }
            let _ = world.done.send(me.pid());
        }
    }
}

async fn step(me: &mut Process<Order>, world: &World, random: &mut Random, monitors: &mut Vec<MonitorRef>) {
    let other = world.any(random);
    match random.below(40) {
        0..=5 => drop(me.link(other)),
        6..=11 => me.unlink(other),
        12..=16 => monitors.push(me.monitor(other)),
        17..=20 => drop(monitors.pop().map(|monitor| me.demonitor(monitor))),
        21..=22 => me.exit(other, ExitReason::Normal),
        23 if random.below(20) == 0 => me.exit(other, ExitReason::Shutdown),
        24 if random.below(20) == 0 => me.exit(other, ExitReason::Kill),
        25 => drop(me.trap_exit(random.below(4) > 0)),
        26..=32 => world.noise(random),
        33..=36 => drop(me.receive_after(Duration::ZERO).await),
        _ => tokio::task::yield_now().await,
    }
}

/// One of those that live to tell: each monitor and link that it holds is in its book.
struct Watcher {
    me: Process<()>,
    monitors: HashSet<MonitorRef>,
    linked: HashSet<Pid>,
    calls: Vec<incarnate::process::Request<()>>,
}

impl Watcher {
    fn note(&mut self, info: Info<()>) {
        match info {
            Info::Down(down) => assert!(self.monitors.remove(&down.reference), "{down:?} is not in the book"),
            Info::Exit(exit) => assert!(self.linked.remove(&exit.from), "{exit:?} is not in the book"),
            other => panic!("{other:?}"),
        }
    }

    async fn step(&mut self, world: &World, random: &mut Random) {
        let other = world.any(random);
        match random.below(16) {
            0..=4 => drop(self.monitors.insert(self.me.monitor(other))),
            5..=6 => {
                if let Some(monitor) = self.monitors.iter().next().copied() {
                    self.me.demonitor_flush(monitor);
                    self.monitors.remove(&monitor);
                }
            }
            7..=8 if !self.linked.contains(&other) => {
                self.me.link(other).expect("it traps exits");
                self.linked.insert(other);
            }
            9..=10 => {
                self.me.unlink_flush(other);
                self.linked.remove(&other);
            }
            11..=12 => {
                let napper = &world.nappers[random.below(world.nappers.len())];
                self.calls.push(napper.send_request(Ping));
            }
            13 if random.below(30) == 0 => self.me.exit(other, ExitReason::Kill),
            _ => {
                if let Some(info) = self.me.receive_after(Duration::ZERO).await {
                    self.note(info);
                }
            }
        }
    }
}

async fn watch(me: Process<()>, world: Arc<World>, seed: u64) {
    me.trap_exit(true);
    let mut random = Random::new(seed);
    let mut watcher = Watcher { me, monitors: HashSet::new(), linked: HashSet::new(), calls: Vec::new() };
    for _ in 0..STEPS * 4 {
        watcher.step(&world, &mut random).await;
    }
    let _ = world.done.send(watcher.me.pid());
    // Everything in the book comes in the end, and nothing else.
    while !watcher.monitors.is_empty() || !watcher.linked.is_empty() {
        let info = watcher.me.receive().await;
        watcher.note(info);
    }
    for call in std::mem::take(&mut watcher.calls) {
        let answer = call.receive(incarnate::Timeout::Infinity).await;
        assert!(matches!(answer, Ok(()) | Err(CallError::NoProc | CallError::Exit(_))), "{answer:?}");
    }
    let late = watcher.me.receive_after(Duration::ZERO).await;
    assert!(late.is_none(), "{late:?} after everything");
}

/// Waits until every process that is to end has ended.
async fn settled(node: &Node) {
    let settled = async {
        while node.processes().iter().any(|pid| node.process_info(*pid).is_some() && !node.is_alive(*pid)) {
            tokio::task::yield_now().await;
        }
    };
    in_time(settled).await;
}

/// A link end whose other side does not know of it. One of a process that is just ending is gone soon.
fn half_a_link(node: &Node) -> Option<(Pid, Pid)> {
    let links: HashMap<Pid, Vec<Pid>> =
        node.processes().iter().filter_map(|pid| Some((*pid, node.process_info(*pid)?.links))).collect();
    let ends = || links.iter().flat_map(|(pid, peers)| peers.iter().map(|peer| (*pid, *peer)));
    println!("{} live, {} link ends", links.len(), ends().count());
    ends().find(|(pid, peer)| links.get(peer).is_none_or(|back| !back.contains(pid)))
}

async fn links_are_symmetric(node: &Node, seed: u64) {
    let symmetric = async {
        while half_a_link(node).is_some() {
            settled(node).await;
            tokio::task::yield_now().await;
        }
    };
    let settles = tokio::time::timeout(HANGS, symmetric).await;
    assert!(settles.is_ok(), "SEED={seed}: {:?} is half a link", half_a_link(node));
}

async fn round(seed: u64) {
    let node = node();
    let (done, mut dones) = mpsc::unbounded_channel();
    let plain: Vec<_> = (0..VICTIMS).map(|_| node.spawn(victim)).collect();
    let mut nappers = Vec::new();
    for _ in 0..VICTIMS / 4 {
        nappers.push(Napper::server(()).on(&node).start().await.expect("it starts"));
    }
    let pids = plain.iter().map(ProcessRef::pid).chain(nappers.iter().map(ServerRef::pid)).collect();
    let world = Arc::new(World { plain, nappers, pids, done });
    let mut random = Random::new(seed);
    for process in &world.plain {
        process.send(Order::Go(world.clone(), random.next()));
    }
    let watchers: Vec<_> = (0..WATCHERS)
        .map(|_| {
            let (world, seed) = (world.clone(), random.next());
            node.spawn(move |me: Process<()>| watch(me, world, seed))
        })
        .collect();
    let mut ends = Vec::new();
    for watcher in &watchers {
        let mut ended = Box::pin(watcher.ended());
        polled_once(&mut ended).await;
        ends.push(ended);
    }
    // All that live say when they are through; those that die do not.
    let mut through = HashSet::new();
    let expected: Vec<Pid> =
        world.plain.iter().map(ProcessRef::pid).chain(watchers.iter().map(ServerRef::pid)).collect();
    let all_through = async {
        while expected.iter().any(|pid| node.is_alive(*pid) && !through.contains(pid)) {
            match dones.try_recv() {
                Ok(pid) => _ = through.insert(pid),
                Err(_) => tokio::task::yield_now().await,
            }
        }
    };
    in_time(all_through).await;
    settled(&node).await;
    links_are_symmetric(&node, seed).await;
    world.pids.iter().for_each(|pid| node.exit(*pid, ExitReason::Kill));
    for ended in ends {
        assert_eq!(in_time(ended).await, ExitReason::Normal, "SEED={seed}");
    }
    settled(&node).await;
    assert_eq!(node.process_count(), 0, "SEED={seed}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn everything_at_once() {
    let seed = seed();
    for offset in 0..6 {
        round(seed.wrapping_add(offset)).await;
    }
}

/// One process dies while all its peers, on all threads, let go of it: nothing comes to those that have.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_death_among_many_that_let_go() {
    let node = node();
    for round in 0..150u32 {
        inside(&node, move |me: Process<()>| async move {
            let victim = me.spawn(wait_for_reason);
            let (ready, mut readies) = mpsc::unbounded_channel();
            let peers: Vec<_> = (0..48).map(|_| me.spawn(lets_go(victim.clone(), ready.clone()))).collect();
            let mut ends = Vec::new();
            for peer in &peers {
                readies.recv().await.expect("each is ready");
                let mut ended = Box::pin(peer.ended());
                polled_once(&mut ended).await;
                ends.push(ended);
            }
            peers.iter().take(24).for_each(|peer| peer.send(()));
            victim.send(ExitReason::Shutdown);
            peers.iter().skip(24).for_each(|peer| peer.send(()));
            for ended in ends {
                assert_eq!(ended.await, ExitReason::Normal, "round {round}");
            }
        })
        .await;
    }
}

/// Ties itself to the victim; told to, lets go, and then hears nothing of it any more.
fn lets_go(
    victim: ProcessRef<ExitReason>,
    ready: mpsc::UnboundedSender<()>,
) -> impl FnOnce(Process<()>) -> std::pin::Pin<Box<dyn Future<Output = ()> + Send>> + Send + 'static {
    move |mut me| {
        Box::pin(async move {
            me.trap_exit(true);
            me.link(&victim).expect("it lives");
            let monitor = me.monitor(&victim);
            let mut ended = Box::pin(victim.ended());
            polled_once(&mut ended).await;
            ready.send(()).expect("somebody waits");
            me.receive_where(|info| matches!(info, Info::User(()))).await;
            me.unlink_flush(victim.pid());
            me.demonitor_flush(monitor);
            ended.await;
            let late = me.receive_after(Duration::ZERO).await;
            assert!(late.is_none(), "{late:?} came after it had let go");
        })
    }
}
