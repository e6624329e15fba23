//! What a connection stands: reasons that are too long for it, waits that are given up, and many nodes that are lost at once.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use incarnate::node::{Cookie, Distribution, Listener, Pending, RemoteName, Stream, Tcp, Transport};
use incarnate::process::{CallError, NoProc, SendError, StopError};
use incarnate::{
    CallReply, Context as ServerContext, ExitReason, GenServer, Info, Init, Name, Never, Next, Node, Process,
    ReplyTo, Timeout, noreply,
};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::runtime::Builder;

use crate::basics::{COUNTER, Call, Cast, counter};
use crate::deaf::{BOUND, deafenable};
use crate::pair::{COOKIE, Pair, distribution, until};
use crate::probe::{HANGS, Probe, ends_as_told, idle, in_time, polled_once};

/// Two nodes that take frames of 1 KB, the least that may be.
async fn narrow() -> Pair {
    let (a, b) = (Node::new("a"), Node::new("b"));
    let on_a = distribution(&a).longest_message(1024).start().await.unwrap();
    let on_b = distribution(&b).longest_message(1024).start().await.unwrap();
    let pair = Pair { a, b, on_a, on_b };
    pair.connect().await;
    pair
}

/// A crash that says much is told in short: it does not end the connection.
#[tokio::test]
async fn a_reason_that_is_longer_than_a_message_is_told_in_short() {
    let pair = narrow().await;
    let crashes = ends_as_told(&pair.a);
    let there = pair.over(&crashes).await;
    let mut watcher = Probe::<u32>::trapping(&pair.b).await;
    watcher.run(move |me| me.link(&there).unwrap()).await;
    let there = pair.over(&crashes).await;
    watcher.run(move |me| me.monitor(&there)).await;
    until(|| {
        let info = pair.a.process_info(crashes.pid()).unwrap();
        info.links.len() == 1 && info.monitored_by.len() == 1
    })
    .await;
    // By a local exit: as long as it is on its own node.
    pair.a.exit(crashes.pid(), ExitReason::term(&"x".repeat(4096)));
    for _ in 0..2 {
        let reason = match watcher.next().await {
            Info::Exit(exit) => exit.reason,
            Info::Down(down) => down.reason,
            other => panic!("{}", other.kind()),
        };
        let ExitReason::Term(term) = reason else { panic!("{reason}") };
        assert!(term.decode::<String>().unwrap().starts_with("\"xxx"), "{term}");
    }
    assert_eq!(pair.on_b.nodes(), ["a"]);
}

/// Who waits for the end of a process elsewhere and gives up leaves nothing there, however often.
#[tokio::test]
async fn a_wait_for_an_end_that_is_given_up_leaves_no_monitor() {
    let pair = Pair::connected().await;
    let process = idle(&pair.a);
    let there = pair.over(&process).await;
    for _ in 0..1000 {
        let given_up = tokio::time::timeout(Duration::ZERO, there.ended()).await;
        assert!(given_up.is_err());
    }
    // One that waits on, so that all before it have come.
    let mut probe = Probe::<u32>::new(&pair.b);
    let watched = there.clone();
    probe.run(move |me| me.monitor(&watched)).await;
    until(|| pair.a.process_info(process.pid()).unwrap().monitored_by.iter().any(|by| *by == probe.pid()))
        .await;
    let by = pair.a.process_info(process.pid()).unwrap().monitored_by.len();
    assert!(by < 200, "{by} monitors");
    probe.is_quiet().await;
}

/// Gives itself work, which is to cast to another node; ends with the first cast that is refused.
struct Busy(RemoteName<Call, Cast>);

impl GenServer for Busy {
    type Args = RemoteName<Call, Cast>;
    type Call = Never;
    type Cast = Never;
    type Info = Never;
    type Continue = ();

    async fn init(there: Self::Args, cx: &mut ServerContext<Self>) -> incarnate::Result<Init<Self>> {
        cx.continue_with(());
        Ok(Init::Ready(Busy(there)))
    }

    async fn handle_call(
        &mut self,
        call: Never,
        _: &mut ServerContext<Self>,
    ) -> incarnate::Result<CallReply> {
        match call {}
    }

    async fn handle_continue(&mut self, (): (), cx: &mut ServerContext<Self>) -> incarnate::Result<Next> {
        self.0.try_cast(Cast::Add(1))?;
        cx.continue_with(());
        noreply()
    }
}

/// As one that takes messages is.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_gives_itself_work_is_held_until_there_is_room() {
    let (pair, ear) = deafenable().await;
    pair.on_b.expose(COUNTER);
    ear.set(true);
    let busy = Busy::server(COUNTER.at(&pair.a, pair.b.id())).on(&pair.a).start().await.unwrap();
    let mut ended = Box::pin(busy.ended());
    let early = tokio::time::timeout(Duration::from_millis(300), &mut ended).await;
    assert!(early.is_err(), "{early:?}");
    // Held at half of the bound, and ended as any other.
    assert!(pair.on_a.node_info("b").unwrap().queued_bytes < BOUND * 3 / 4);
    pair.a.exit(busy.pid(), ExitReason::Kill);
    assert_eq!(in_time(ended).await, ExitReason::Killed);
}

static READS: AtomicBool = AtomicBool::new(false);
static READ_ON: AtomicBool = AtomicBool::new(false);
static HAS_READ: AtomicBool = AtomicBool::new(false);

/// Takes long to be read.
#[derive(Serialize)]
struct Long(u8);

impl<'de> Deserialize<'de> for Long {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let long = u8::deserialize(deserializer)?;
        READS.store(true, Ordering::SeqCst);
        while !READ_ON.load(Ordering::SeqCst) {
            std::thread::yield_now();
        }
        HAS_READ.store(true, Ordering::SeqCst);
        Ok(Long(long))
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn what_is_being_read_when_its_node_is_lost_does_not_come_after_that() {
    let pair = Pair::connected().await;
    let mut probe = Probe::<Long>::new(&pair.b);
    let on_b = pair.on_b.clone();
    probe.run(move |me| on_b.monitor_nodes(me, true)).await;
    // As a name: the other way round of `Pair::over`.
    let name: Name<Never, Never, crate::probe::Probed<Long>> = Name::new("long");
    let holder = probe.process.clone();
    probe.run(move |me| me.register(name, &holder).unwrap()).await;
    pair.on_b.expose(name);
    name.at(&pair.a, pair.b.id()).send_bulk(crate::probe::Probed::Message(Long(1))).await.unwrap();
    until(|| READS.load(Ordering::SeqCst)).await;
    pair.on_a.disconnect(pair.b.id()).await;
    assert!(matches!(probe.next().await, Info::NodeDown(_)));
    READ_ON.store(true, Ordering::SeqCst);
    until(|| HAS_READ.load(Ordering::SeqCst)).await;
    tokio::time::sleep(Duration::from_millis(50)).await; // sleep: in which it would come
    probe.is_quiet().await;
}

/// `{badarg, _}` in Erlang; nothing may look as if it were linked.
#[tokio::test]
async fn a_name_on_another_node_is_not_linked_to() {
    let pair = Pair::connected().await;
    let process = idle(&pair.a);
    let name: Name<Never, Never, ()> = Name::new("idle");
    let holder = process.clone();
    crate::probe::inside(&pair.a, move |me: Process<()>| async move { me.register(name, &holder).unwrap() })
        .await;
    pair.on_a.expose(name);
    let probe = Probe::<u32>::new(&pair.b);
    let there = name.at(&pair.b, pair.a.id());
    let linked = probe.run(move |me| me.link(&there)).await;
    let links = pair.b.process_info(probe.pid()).unwrap().links;
    assert_eq!((linked, links), (Err(NoProc), vec![]));
}

/// A server that answers some calls never keeps nothing for those who have given up.
#[tokio::test]
async fn who_has_given_up_a_call_is_not_waited_for_elsewhere() {
    const CALLS: usize = 1000;
    let pair = Pair::connected().await;
    let (keep, mut kept) = tokio::sync::mpsc::unbounded_channel();
    let process = pair.a.spawn(move |mut me: Process<ReplyTo<u8>>| async move {
        while let Info::User(to) = me.receive().await {
            let _ = keep.send(to);
        }
    });
    let there = pair.over(&process).await;
    let mut all = Vec::new();
    for _ in 0..CALLS {
        let mut call = Box::pin(there.ask_info(|to| to, HANGS));
        polled_once(&mut call).await;
        all.push(in_time(kept.recv()).await.unwrap());
    }
    // Behind all that was said of them.
    let mut last = Box::pin(there.ask_info(|to| to, HANGS));
    polled_once(&mut last).await;
    assert!(in_time(kept.recv()).await.unwrap().is_awaited());
    let awaited = all.iter().filter(|to| to.is_awaited()).count();
    assert!(awaited < 200, "{awaited} are awaited");
}

/// What panics when it is written.
#[derive(Debug, PartialEq)]
struct Unwritable;

impl Serialize for Unwritable {
    fn serialize<S: Serializer>(&self, _: S) -> Result<S::Ok, S::Error> {
        panic!("it cannot be written")
    }
}

impl<'de> Deserialize<'de> for Unwritable {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        <()>::deserialize(from).map(|()| Unwritable)
    }
}

#[derive(Serialize, Deserialize)]
enum Write {
    This(Unwritable),
    Answer(ReplyTo<Unwritable>),
}

/// Who waits for the answer hears of it, and who gives it goes on: it has nothing to do with where that is sent.
#[tokio::test]
async fn what_panics_when_it_is_written_cannot_be_sent() {
    let pair = Pair::connected().await;
    let process = pair.a.spawn(|mut me: Process<Write>| async move {
        while let Info::User(Write::Answer(to)) = me.receive().await {
            to.send(Unwritable);
        }
    });
    let there = pair.over(&process).await;
    for _ in 0..2 {
        let answer = in_time(there.ask_info(Write::Answer, Timeout::Infinity)).await;
        assert!(matches!(answer, Err(CallError::Exit(_))), "{answer:?}");
    }
    assert_eq!(there.try_send(Write::This(Unwritable)), Err(SendError::Unsendable));
}

/// Who waits in one that goes on hears that the other node is lost, as it hears of the end of a process of this one.
#[test]
fn the_runtime_of_a_node_goes_and_nobody_waits_for_ever() {
    let runtime = || Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    let (goes, stays) = (runtime(), runtime());
    let started = |name| async move {
        let node = Node::new(name);
        let on_node = distribution(&node).start().await.unwrap();
        counter(&node).await;
        on_node.expose(COUNTER);
        (node, on_node)
    };
    let (a, on_a) = goes.block_on(started("a"));
    stays.block_on(async {
        let (b, on_b) = started("b").await;
        in_time(on_a.connect(on_b.address().unwrap())).await.unwrap();
        let (here, there) = (COUNTER.at(&a, a.id()), COUNTER.at(&a, b.id()));
        let mut waits_here = Box::pin(here.call_timeout(Call::Never, Timeout::Infinity));
        let mut waits_there = Box::pin(there.call_timeout(Call::Never, Timeout::Infinity));
        polled_once(&mut waits_here).await;
        polled_once(&mut waits_there).await;
        goes.shutdown_background();
        assert_eq!(in_time(waits_here).await, Err(CallError::Exit(ExitReason::Killed)));
        assert_eq!(in_time(waits_there).await, Err(CallError::Exit(ExitReason::NoConnection)));
    });
}

/// As a monitor and a stop say.
#[tokio::test]
async fn the_end_of_a_process_whose_node_is_not_connected_is_noconnection() {
    let pair = Pair::connected().await;
    let there = pair.over(&idle(&pair.a)).await;
    pair.cut().await;
    assert_eq!(there.stop().await, Err(StopError::NoConnection));
    assert_eq!(in_time(there.ended()).await, ExitReason::NoConnection);
}

/// TCP that carries nothing more, once that is said.
#[derive(Clone, Default)]
struct Silent(Arc<AtomicBool>);

struct SilentStream {
    stream: Box<dyn Stream>,
    is_silent: Arc<AtomicBool>,
}

impl Transport for Silent {
    fn connect<'a>(&'a self, to: &'a str) -> Pending<'a, Box<dyn Stream>> {
        Box::pin(async move {
            if self.0.load(Ordering::SeqCst) {
                std::future::pending::<()>().await;
            }
            let stream = Tcp.connect(to).await?;
            Ok(Box::new(SilentStream { stream, is_silent: self.0.clone() }) as Box<dyn Stream>)
        })
    }

    fn listen<'a>(&'a self, at: &'a str) -> Pending<'a, Box<dyn Listener>> {
        Tcp.listen(at)
    }
}

impl AsyncRead for SilentStream {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        into: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if self.is_silent.load(Ordering::SeqCst) {
            return Poll::Pending;
        }
        Pin::new(&mut self.stream).poll_read(cx, into)
    }
}

impl AsyncWrite for SilentStream {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        if self.is_silent.load(Ordering::SeqCst) {
            return Poll::Ready(Ok(bytes.len()));
        }
        Pin::new(&mut self.stream).poll_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

/// A network falls apart: those that are on this side of it do not lose each other over the loss of the others.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_nodes_that_are_lost_at_once_take_no_other_with_them() {
    const LOST: usize = 150;
    const DEADLINE: Duration = Duration::from_secs(1);
    let start = |node: &Node| Distribution::of(node, Cookie::new(COOKIE)).heartbeat_deadline(DEADLINE);
    let hub = Node::new("hub");
    let on_hub = start(&hub).listen("127.0.0.1:0").start().await.unwrap();
    let near = Node::new("near");
    let on_near = start(&near).start().await.unwrap();
    in_time(on_near.connect(on_hub.address().unwrap())).await.unwrap();
    let silence = Silent::default();
    let mut far = Vec::new();
    for n in 0..LOST {
        let node = Node::new(&format!("far{n}"));
        let on_far = start(&node).transport(silence.clone()).start().await.unwrap();
        in_time(on_far.connect(on_hub.address().unwrap())).await.unwrap();
        far.push((node, on_far));
    }
    until(|| on_hub.nodes().len() == LOST + 1).await;
    let mut watchers = Vec::new();
    for (node, on_node) in [(&hub, &on_hub), (&near, &on_near)] {
        let (watcher, on_node) = (Probe::<u32>::new(node), on_node.clone());
        watcher.run(move |me| on_node.monitor_nodes(me, true)).await;
        watchers.push(watcher);
    }
    let begun = Instant::now();
    silence.0.store(true, Ordering::SeqCst);
    for _ in 0..LOST {
        match watchers[0].next().await {
            Info::NodeDown(node) => assert_ne!(node, near.id(), "the wrong one is lost"),
            other => panic!("{}", other.kind()),
        }
    }
    assert!(begun.elapsed() < 2 * DEADLINE, "after {:?}", begun.elapsed());
    tokio::time::sleep(DEADLINE).await; // sleep: in which the near one would be lost, too
    watchers[1].is_quiet().await;
    assert_eq!((on_hub.nodes(), on_near.nodes()), (vec!["near".to_owned()], vec!["hub".to_owned()]));
}
