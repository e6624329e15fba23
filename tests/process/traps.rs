//! The traps that the core was built around, one by one.

use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::time::Duration;

use incarnate::process::AliasMode;
use incarnate::{
    CallError, CallReply, Context, ExitReason, GenServer, Info, Init, Name, Never, Next, Node, Process,
    ProcessRef, ReplyTo, Result, ServerRef, Term, Then, noreply, sys,
};
use tokio::sync::mpsc;

use crate::probe::{HANGS, Probe, Random, idle, in_time, inside, node, polled_once, seed, wait_for_reason};

/// A server that does as it is told and hibernates after everything.
struct Napper<T> {
    held: T,
    pings: u32,
}

type Act<T> = Box<dyn FnOnce(&mut Context<Napper<T>>) + Send>;

enum Ask {
    Ping(ReplyTo<u32>),
}

impl<T: Send + 'static> GenServer for Napper<T> {
    type Args = T;
    type Call = Ask;
    type Cast = Act<T>;
    type Info = u32;
    type Continue = Never;

    async fn init(held: T, _: &mut Context<Self>) -> Result<Init<Self>> {
        Ok(Init::Hibernate(Napper { held, pings: 0 }))
    }

    async fn handle_call(&mut self, Ask::Ping(to): Ask, _: &mut Context<Self>) -> Result<CallReply> {
        self.pings += 1;
        to.reply(self.pings).hibernate()
    }

    async fn handle_cast(&mut self, act: Act<T>, cx: &mut Context<Self>) -> Result<Next> {
        act(cx);
        let _ = &self.held;
        noreply().hibernate()
    }

    async fn handle_info(&mut self, _: Info<u32>, _: &mut Context<Self>) -> Result<Next> {
        noreply().hibernate()
    }
}

type NapperRef<T> = ServerRef<Ask, Act<T>, u32>;

async fn napper<T: Send + 'static>(node: &Node, held: T) -> NapperRef<T> {
    let server = Napper::server(held).on(node).start().await.expect("it starts");
    while node.process_info(server.pid()).unwrap().callback != incarnate::process::Callback::Hibernating {
        tokio::task::yield_now().await;
    }
    server
}

#[tokio::test]
async fn kill_in_the_very_poll_that_parks() {
    let node = node();
    let server = napper(&node, ()).await;
    let mut ended = pin!(server.ended());
    polled_once(&mut ended).await;
    server.cast(Box::new(|cx| cx.exit(cx.pid(), ExitReason::Kill)));
    assert_eq!(in_time(ended).await, ExitReason::Killed);
    assert_eq!(node.process_count(), 0);
}

#[tokio::test]
async fn a_message_in_the_very_poll_that_parks() {
    let node = node();
    let server = napper(&node, ()).await;
    let (tell, mut told) = mpsc::unbounded_channel();
    server.cast(Box::new(|cx| cx.server().cast(Box::new(move |_| tell.send(1).unwrap()))));
    assert_eq!(in_time(told.recv()).await, Some(1));
    assert_eq!(server.call(Ask::Ping).await, Ok(1));
}

/// Signals of all kinds against a server that parks after each: none is lost.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn signals_race_with_parking() {
    let node = node();
    let mut random = Random::new(seed());
    for round in 0..300u32 {
        let server = napper(&node, ()).await;
        for n in 1..=10u32 {
            assert_eq!(server.call(Ask::Ping).await, Ok(n), "round {round}");
            (0..random.below(300)).for_each(|_| std::hint::spin_loop());
        }
        let mut ended = pin!(server.ended());
        polled_once(&mut ended).await;
        server.send(1);
        (0..random.below(300)).for_each(|_| std::hint::spin_loop());
        node.exit(server.pid(), ExitReason::Kill);
        assert_eq!(in_time(ended).await, ExitReason::Killed, "round {round}");
    }
    assert_eq!(node.process_count(), 0);
}

/// A process that is killed between its spawn and its first poll never runs, in a new shell and in a used one.
#[tokio::test]
async fn kill_before_the_first_poll() {
    let node = node();
    for shell in ["new", "used", "used again"] {
        let ran = Arc::new(AtomicBool::new(false));
        let runs = ran.clone();
        let process = node.spawn(move |_: Process<()>| async move { runs.store(true, Ordering::SeqCst) });
        node.exit(process.pid(), ExitReason::Kill);
        assert_eq!(in_time(process.ended()).await, ExitReason::Killed, "in a {shell} shell");
        assert!(!ran.load(Ordering::SeqCst));
    }
    assert_eq!(node.process_count(), 0);
}

/// What was meant for the former process of a shell does not reach the next.
#[tokio::test]
async fn a_shell_that_is_used_again_belongs_to_one_process() {
    let node = node();
    let mut former = Vec::new();
    for _ in 0..20 {
        let process = node.spawn(wait_for_reason);
        let mut ended = pin!(process.ended());
        polled_once(&mut ended).await;
        process.send(ExitReason::Normal);
        in_time(ended).await;
        let mut now = Probe::<u32>::new(&node);
        former.push(process.clone());
        for old in &former {
            old.send(ExitReason::Shutdown);
            node.exit(old.pid(), ExitReason::Kill);
        }
        now.is_quiet().await;
        now.process.stop().await.unwrap();
    }
}

struct Bomb;

impl Drop for Bomb {
    fn drop(&mut self) {
        panic!("a drop that panics");
    }
}

/// Where something that panics in its `Drop` is when the process ends.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Where {
    State,
    /// Taken over from the mailbox, passed over by a selective receive.
    Batch,
    /// As `Batch`, and the process itself panics.
    BatchOfOneThatPanics,
    Mailbox,
}

/// Whatever panics in a `Drop` when a process ends, everyone is told, and the name is free.
#[tokio::test]
async fn a_panic_in_drop_keeps_nothing_from_being_told() {
    for at in [Where::State, Where::Batch, Where::BatchOfOneThatPanics, Where::Mailbox] {
        everyone_is_told(at).await;
    }
}

async fn everyone_is_told(at: Where) {
    const NAME: Name<Never, Never, Option<Bomb>> = Name::new("traps_bomb");
    let node = node();
    let mut peer = Probe::<u32>::trapping(&node).await;
    let victim = node.spawn(move |mut me: Process<Option<Bomb>>| async move {
        let _state = (at == Where::State).then(|| Bomb);
        if matches!(at, Where::Batch | Where::BatchOfOneThatPanics) {
            me.receive_where(|info| matches!(info, Info::User(None))).await;
            panic!("while messages that panic wait");
        }
        std::future::pending::<()>().await;
    });
    let target = victim.clone();
    peer.run(move |me| {
        me.register(NAME, &target).unwrap();
        me.link(&target).unwrap();
        me.monitor(&target);
    })
    .await;
    let mut ended = pin!(victim.ended());
    polled_once(&mut ended).await;
    if at != Where::State {
        (0..3).for_each(|_| victim.send(Some(Bomb)));
    }
    peer.run(|_| ()).await;
    match at {
        Where::BatchOfOneThatPanics => victim.send(None),
        _ => node.exit(victim.pid(), ExitReason::Kill),
    }
    let reason = in_time(ended).await;
    match &reason {
        ExitReason::Crash(crash) if at == Where::BatchOfOneThatPanics => {
            assert_eq!(crash.message(), "while messages that panic wait");
        }
        reason => assert_eq!(*reason, ExitReason::Killed, "{at:?}"),
    }
    assert_eq!(peer.next_exit().await, (victim.pid(), reason.clone()));
    assert_eq!(peer.next_down().await.reason, reason);
    assert_eq!((node.whereis("traps_bomb"), node.process_info(victim.pid()).is_none()), (None, true));
    peer.is_quiet().await;
}

#[tokio::test]
async fn a_panic_in_drop_of_a_hibernated_state() {
    let node = node();
    let server = napper(&node, Bomb).await;
    let mut ended = pin!(server.ended());
    polled_once(&mut ended).await;
    node.exit(server.pid(), ExitReason::Shutdown);
    assert_eq!(in_time(ended).await, ExitReason::Shutdown);
    assert_eq!(node.process_count(), 0);
}

/// A `Drop` that uses whatever it can of its node: nothing is locked then.
struct Meddler {
    node: Node,
    other: ProcessRef<ExitReason>,
    tell: mpsc::UnboundedSender<()>,
}

impl Drop for Meddler {
    fn drop(&mut self) {
        let own = incarnate::Me::current();
        for pid in self.node.processes() {
            self.node.process_info(pid);
            self.node.is_alive(pid);
        }
        self.node.registered();
        if let Some(me) = own {
            me.set_label("ending");
            let _ = me.link(&self.other);
            let monitor = me.monitor(&self.other);
            me.demonitor(monitor);
            me.unlink(&self.other);
            me.trap_exit(true);
            me.exit(me.pid(), ExitReason::Shutdown);
        }
        let child = self.node.spawn(|_: Process<u8>| async {});
        child.send(1);
        let timer = self.node.send_after(Duration::from_secs(3600), child, 1);
        self.node.cancel_timer(timer).unwrap();
        self.other.send(ExitReason::Normal);
        self.tell.send(()).unwrap();
    }
}

#[tokio::test]
async fn a_drop_of_the_users_runs_under_no_lock() {
    let node = node();
    let (tell, mut told) = mpsc::unbounded_channel();
    let meddler = || Meddler { node: node.clone(), other: node.spawn(wait_for_reason), tell: tell.clone() };
    // As state of a process that runs, of one that hibernates; as a message in a batch, in a mailbox, refused,
    // through a dead alias, and of a timer that is cancelled.
    let state = meddler();
    let running = node.spawn(|_: Process<()>| async move {
        let _state = state;
        std::future::pending::<()>().await;
    });
    let hibernated = napper(&node, meddler()).await;
    let reading = node.spawn(|mut me: Process<Meddler>| async move {
        me.receive_where(|info| matches!(info, Info::Exit(_))).await;
    });
    let deaf = node.spawn(|me: Process<Meddler>| async move {
        std::future::pending::<()>().await;
        drop(me);
    });
    reading.send(meddler());
    deaf.send(meddler());
    Probe::<u32>::new(&node).run(|_| ()).await;
    for pid in [running.pid(), hibernated.pid(), reading.pid(), deaf.pid()] {
        node.exit(pid, ExitReason::Kill);
        in_time(told.recv()).await.unwrap();
    }
    deaf.send(meddler());
    in_time(told.recv()).await.unwrap();
    let message = meddler();
    inside(&node, |me: Process<Meddler>| async move {
        let alias = me.alias(AliasMode::Reply);
        assert!(me.unalias(alias.reference()));
        alias.send(message);
    })
    .await;
    in_time(told.recv()).await.unwrap();
    let timer = deaf.send_after(Duration::from_secs(3600), meddler());
    node.cancel_timer(timer).unwrap().unwrap();
    in_time(told.recv()).await.unwrap();
}

/// A return address of another type, or of nobody, harms nobody but its caller.
#[tokio::test]
async fn a_forged_reply_to() {
    let node = node();
    let (tell, mut told) = mpsc::unbounded_channel();
    let server = node.spawn(move |mut me: Process<ReplyTo<u64>>| async move {
        while let Info::User(to) = me.receive().await {
            tell.send(to).unwrap();
        }
    });
    let asked = tokio::spawn({
        let server = server.clone();
        async move { server.ask_info(|to| to, Duration::from_secs(5)).await }
    });
    let real = in_time(told.recv()).await.unwrap();
    assert!(real.is_awaited());
    let bytes = Term::encode(&real).unwrap();
    let mistyped: ReplyTo<String> = bytes.decode().unwrap();
    assert!(!mistyped.send("not a number".to_owned()));
    assert_eq!(in_time(asked).await.unwrap(), Err(CallError::BadReply));
    assert!(!real.send(1), "the caller is gone");
    let again: ReplyTo<u64> = bytes.decode().unwrap();
    assert!(!again.is_awaited() && !again.send(1));
    let mut random = Random::new(seed());
    let asked = tokio::spawn(async move { server.ask_info(|to| to, Duration::from_secs(30)).await });
    let real = in_time(told.recv()).await.unwrap();
    for _ in 0..10_000 {
        let forged: ReplyTo<u64> = forge(random.next()).decode().expect("it has the shape of one");
        assert!(!forged.send(0));
    }
    assert!(real.send(7));
    assert_eq!(in_time(asked).await.unwrap(), Ok(7));
}

/// A return address with this id, as it looks on the wire.
fn forge(id: u64) -> Term {
    #[derive(serde::Serialize)]
    enum Target {
        Slot(u64),
    }
    Term::encode(&Target::Slot(id)).expect("it encodes")
}

/// Threads that no runtime knows send, spawn, set timers, link and end processes.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn foreign_threads() {
    let node = node();
    let mut probe = Probe::<u32>::new(&node);
    let server = napper(&node, ()).await;
    let victim = idle(&node);
    let mut ended = pin!(victim.ended());
    polled_once(&mut ended).await;
    let (inner, process, hibernated, pid) =
        (node.clone(), probe.process.clone(), server.clone(), victim.pid());
    let thread = std::thread::spawn(move || {
        assert!(incarnate::Me::current().is_none());
        let (tell, told) = std::sync::mpsc::channel();
        let child = inner.spawn(move |mut me: Process<u32>| async move {
            if let Info::User(n) = me.receive().await {
                tell.send(n).unwrap();
            }
        });
        child.send(1);
        assert_eq!(told.recv_timeout(HANGS), Ok(1));
        process.send_after(Duration::from_millis(1), crate::probe::Probed::Message(2));
        hibernated.cast(Box::new(move |_| process.send(crate::probe::Probed::Message(3))));
        inner.exit(pid, ExitReason::Shutdown);
    });
    assert_eq!(in_time(ended).await, ExitReason::Shutdown);
    let mut heard = [probe.next_message().await, probe.next_message().await];
    heard.sort_unstable();
    assert_eq!(heard, [2, 3]);
    tokio::task::spawn_blocking(move || thread.join()).await.unwrap().unwrap();
    assert_eq!(server.call(Ask::Ping).await, Ok(1));
}

/// A runtime that shuts down under a node: whoever waits elsewhere is told, and nothing can be started any more.
#[test]
fn the_runtime_shuts_down() {
    for threads in [0, 2] {
        let builder = |threads| match threads {
            0 => tokio::runtime::Builder::new_current_thread(),
            _ => tokio::runtime::Builder::new_multi_thread(),
        };
        let doomed = builder(threads).enable_all().build().unwrap();
        let node = doomed.block_on(async { Node::new("doomed@localhost") });
        let (running, pooled, asleep) = doomed.block_on(async {
            let pooled = node.spawn(|_: Process<()>| async {});
            in_time(pooled.ended()).await;
            // Twice: one shell stays in the pool and runs nothing when the runtime goes.
            let (one, two) = (Probe::<u32>::new(&node), Probe::<u32>::new(&node));
            two.process.stop().await.unwrap();
            one.run(|_| ()).await;
            (one, pooled, napper(&node, ()).await)
        });
        let newborn = doomed.block_on(async { Napper::server(()).on(&node).start().await.unwrap() });
        let other = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let [running_ended, asleep_ended, newborn_ended] = {
            let process = running.process.clone();
            let (asleep, newborn) = (asleep.clone(), newborn.clone());
            [
                other.spawn(async move { process.ended().await }),
                other.spawn(async move { asleep.ended().await }),
                other.spawn(async move { newborn.ended().await }),
            ]
        };
        other.block_on(async { tokio::task::yield_now().await });
        drop(doomed);
        other.block_on(async {
            // With a shell or without: each hears of it.
            for ended in [running_ended, asleep_ended, newborn_ended] {
                assert_eq!(in_time(ended).await.unwrap(), ExitReason::Killed);
            }
            assert!(!pooled.is_alive());
            let answer = in_time(asleep.call_timeout(Ask::Ping, incarnate::Timeout::Infinity)).await;
            assert_eq!(answer, Err(CallError::NoProc));
            // Nothing new lives, in a pooled shell or a new one, and whoever asks is told.
            for _ in 0..3 {
                let late = idle(&node);
                assert!(matches!(in_time(late.ended()).await, ExitReason::Killed | ExitReason::NoProc));
            }
        });
        assert_eq!(node.process_count(), 0);
        node.halt();
    }
}

/// Processes that block their threads as soon as they wake do not keep others asleep.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn blocked_threads_keep_nobody_asleep() {
    let node = node();
    let (blockers, sleepers) = (4, 4);
    let mut gates = Vec::new();
    for _ in 0..blockers {
        let (open, opened) = std::sync::mpsc::channel();
        let blocker = napper(&node, ()).await;
        blocker.cast(Box::new(move |_| {
            tokio::task::block_in_place(|| opened.recv_timeout(HANGS).expect("opened in time"));
        }));
        gates.push((open, blocker));
    }
    for _ in 0..sleepers {
        let sleeper = napper(&node, ()).await;
        assert_eq!(sleeper.call(Ask::Ping).await, Ok(1));
    }
    for (open, blocker) in gates {
        open.send(()).unwrap();
        assert_eq!(blocker.call(Ask::Ping).await, Ok(1));
    }
}

/// A callback that never awaits is reported, once for each time that it holds its thread.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_callback_that_never_awaits_is_reported() {
    let node = node();
    let inner = node.clone();
    let process = node.spawn(move |mut me: Process<()>| async move {
        me.receive().await;
        let before = inner.stalled_callbacks();
        // It holds its thread until somebody has noticed.
        while inner.stalled_callbacks() == before {
            std::hint::spin_loop();
        }
    });
    assert_eq!(node.stalled_callbacks(), 0);
    let mut ended = pin!(process.ended());
    polled_once(&mut ended).await;
    process.send(());
    assert_eq!(in_time(ended).await, ExitReason::Normal);
    assert_eq!(node.stalled_callbacks(), 1);
}

/// A plain process that is suspended serves `sys`, however often, and no receive gets round it.
#[tokio::test(start_paused = true)]
async fn a_suspended_plain_process() {
    let node = node();
    let count = Arc::new(AtomicU32::new(0));
    let counts = count.clone();
    let process = node.spawn(move |mut me: Process<()>| async move {
        loop {
            if me.receive_after(Duration::from_millis(10)).await.is_none() {
                counts.fetch_add(1, Ordering::SeqCst);
            }
        }
    });
    let second = Duration::from_secs(1);
    sys::suspend(&node, process.pid(), second).await.unwrap();
    sys::suspend(&node, process.pid(), second).await.unwrap();
    assert!(node.process_info(process.pid()).unwrap().suspended);
    let before = count.load(Ordering::SeqCst);
    tokio::time::advance(second).await;
    assert!(
        inside(&node, move |mut me: Process<()>| async move { me.receive_after(second).await })
            .await
            .is_none()
    );
    assert_eq!(count.load(Ordering::SeqCst), before, "its timeout waits with it");
    sys::resume(&node, process.pid(), second).await.unwrap();
    assert!(!node.process_info(process.pid()).unwrap().suspended);
    inside(&node, move |mut me: Process<()>| async move { me.receive_after(second).await }).await;
    assert!(count.load(Ordering::SeqCst) > before, "one resume is enough");
    sys::suspend(&node, process.pid(), second).await.unwrap();
    assert_eq!(process.stop().await, Ok(()), "it can be stopped");
}

/// A zero-wait receive takes no time and misses nothing, also when it is the process's turn to yield.
#[tokio::test(start_paused = true)]
async fn a_receive_that_does_not_wait() {
    let node = node();
    inside(&node, |mut me: Process<u32>| async move {
        let start = tokio::time::Instant::now();
        for round in 0..5u32 {
            (0..1000).for_each(|n| me.as_ref().send(n));
            for n in 0..1000 {
                let next = me.receive_after(Duration::ZERO).await;
                assert!(
                    matches!(next, Some(Info::User(m)) if m == n),
                    "round {round}: {next:?} instead of {n}"
                );
            }
            assert!(me.receive_after(Duration::ZERO).await.is_none());
        }
        assert_eq!(start.elapsed(), Duration::ZERO);
    })
    .await;
}

/// A task that sends and never awaits does not keep its receiver from another idle thread.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_receiver_runs_beside_a_sender_that_never_awaits() {
    let node = node();
    for hibernated in [false, true] {
        let heard = Arc::new(AtomicU32::new(0));
        let server = napper(&node, ()).await;
        let counter = heard.clone();
        let receiver = node.spawn(move |mut me: Process<()>| async move {
            loop {
                me.receive().await;
                counter.fetch_add(1, Ordering::Relaxed);
            }
        });
        // On a worker: it keeps what it wakes last for itself until this task awaits.
        let sender = tokio::spawn(async move {
            let heard_one = |heard: &AtomicU32| heard.load(Ordering::Relaxed) > 0;
            for _ in 0..1000 {
                let heard = heard.clone();
                match hibernated {
                    true => server.cast(Box::new(move |_| _ = heard.fetch_add(1, Ordering::Relaxed))),
                    false => receiver.send(()),
                }
            }
            let begin = std::time::Instant::now();
            while !heard_one(&heard) && begin.elapsed() < HANGS {
                std::thread::yield_now();
            }
            heard_one(&heard)
        });
        assert!(sender.await.unwrap(), "hibernated: {hibernated}");
    }
}

/// One thread waits for the timers and sockets of all. When a callback holds it, another takes that over.
#[test]
fn a_callback_that_holds_its_thread_does_not_hold_the_timers_of_others() {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    let (holds, held) = std::sync::mpsc::channel();
    let (release, released) = std::sync::mpsc::channel::<()>();
    let inside = runtime.enter();
    node().spawn(move |mut me: Process<()>| async move {
        // Woken by a timer: it runs on the thread that waited for it.
        me.receive_after(Duration::from_millis(50)).await;
        holds.send(()).unwrap();
        let _over = released.recv();
    });
    let timer = tokio::spawn(tokio::time::sleep(Duration::from_millis(100))); // sleep: it is what is tested
    drop(inside);
    held.recv().unwrap();
    // Nothing is asked of the runtime, which would wake its other thread.
    let begin = std::time::Instant::now();
    while !timer.is_finished() && begin.elapsed() < HANGS / 3 {
        std::thread::yield_now();
    }
    assert!(timer.is_finished());
    drop(release);
}
