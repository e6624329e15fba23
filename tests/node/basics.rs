//! What is used every day: names, references, calls, links and monitors across nodes.

use std::time::Duration;

use incarnate::process::{CallError, Object, SendError, StopError};
use incarnate::{
    CallReply, Context, ExitReason, GenServer, Init, Name, Never, Node, ReplyTo, Result, ServerRef, noreply,
};
use serde::{Deserialize, Serialize};

use crate::pair::{Pair, distribution, over, until};
use crate::probe::{Probe, idle};
use crate::wait::{HANGS, in_time, polled_once};

#[derive(Serialize, Deserialize)]
pub enum Call {
    Add(i64, ReplyTo<i64>),
    /// Answered by nobody.
    Never(ReplyTo<()>),
    /// Answered 50 ms later.
    Later(ReplyTo<i64>),
    /// Answered by another server.
    Pass(ServerRef<Call, Cast>, ReplyTo<i64>),
    Crash(ReplyTo<()>),
    Me(ReplyTo<ServerRef<Call, Cast>>),
}

#[derive(Serialize, Deserialize)]
pub enum Cast {
    Add(i64),
    Forward(i64, ReplyTo<i64>),
}

pub struct Counter(i64);

pub const COUNTER: Name<Call, Cast> = Name::new("counter");

impl GenServer for Counter {
    type Args = ();
    type Call = Call;
    type Cast = Cast;
    type Info = Never;
    type Continue = Never;

    async fn init(_: (), _: &mut Context<Self>) -> Result<Init<Self>> {
        Ok(Init::Ready(Counter(0)))
    }

    async fn handle_call(&mut self, call: Call, cx: &mut Context<Self>) -> Result<CallReply> {
        match call {
            Call::Add(n, caller) => {
                self.0 += n;
                caller.reply(self.0)
            }
            Call::Never(caller) => {
                drop(caller);
                noreply()
            }
            Call::Later(caller) => {
                let later = self.0;
                tokio::spawn(async move {
                    tokio::time::sleep(Duration::from_millis(50)).await; // sleep: longer than the caller waits
                    caller.send(later)
                });
                noreply()
            }
            Call::Pass(to, caller) => {
                to.cast(Cast::Forward(1, caller));
                noreply()
            }
            Call::Crash(_) => Err(incarnate::Error::msg("told to crash")),
            Call::Me(caller) => caller.reply(cx.server()),
        }
    }

    async fn handle_cast(&mut self, cast: Cast, _: &mut Context<Self>) -> Result<incarnate::Next> {
        match cast {
            Cast::Add(n) => self.0 += n,
            Cast::Forward(n, caller) => {
                self.0 += n;
                caller.send(self.0);
            }
        }
        noreply()
    }
}

pub async fn counter(node: &Node) -> ServerRef<Call, Cast> {
    Counter::server(()).name(COUNTER).on(node).start().await.unwrap()
}

#[tokio::test]
async fn a_name_is_called_and_cast_to() {
    let pair = Pair::connected().await;
    let here = counter(&pair.a).await;
    pair.on_a.expose(COUNTER);
    let there = COUNTER.at(&pair.b, pair.a.id());
    assert_eq!(there.call(|to| Call::Add(2, to)).await, Ok(2));
    there.cast(Cast::Add(3));
    assert_eq!(there.call(|to| Call::Add(0, to)).await, Ok(5));
    assert_eq!(here.call(|to| Call::Add(0, to)).await, Ok(5));
}

#[tokio::test]
async fn a_reference_travels_and_names_the_same_process() {
    let pair = Pair::connected().await;
    let here = counter(&pair.a).await;
    pair.on_a.expose(COUNTER);
    let there = COUNTER.at(&pair.b, pair.a.id()).call(Call::Me).await.unwrap();
    assert_eq!(there.pid(), here.pid());
    assert_eq!(there.call(|to| Call::Add(7, to)).await, Ok(7));
    // Sent home, it is the process itself.
    let home = there.call(Call::Me).await.unwrap();
    assert_eq!(home.call(|to| Call::Add(0, to)).await, Ok(7));
}

#[tokio::test]
async fn a_request_is_passed_on_and_answered_by_another_on_either_node() {
    let pair = Pair::connected().await;
    let a = counter(&pair.a).await;
    let b = counter(&pair.b).await;
    pair.on_a.expose(COUNTER);
    let there = COUNTER.at(&pair.b, pair.a.id());
    // To one of the caller's own node, and to one of the other.
    assert_eq!(there.call(|to| Call::Pass(b.clone(), to)).await, Ok(1));
    let other = there.call(Call::Me).await.unwrap();
    assert_eq!(other.pid(), a.pid());
    assert_eq!(there.call(|to| Call::Pass(other.clone(), to)).await, Ok(1));
}

#[tokio::test]
async fn a_call_ends_with_its_server_and_with_its_node() {
    let pair = Pair::connected().await;
    counter(&pair.a).await;
    pair.on_a.expose(COUNTER);
    let there = COUNTER.at(&pair.b, pair.a.id());
    let error = there.call(Call::Crash).await.unwrap_err();
    assert!(matches!(&error, CallError::Exit(ExitReason::Crash(_))), "{error}");
    assert_eq!(there.call(|to| Call::Add(1, to)).await, Err(CallError::NoProc));
    counter(&pair.a).await;
    let waiting = there.send_request(Call::Never);
    assert_eq!(there.call(|to| Call::Add(1, to)).await, Ok(1));
    pair.cut().await;
    let lost = in_time(waiting.receive(incarnate::Timeout::Infinity)).await;
    assert_eq!(lost, Err(CallError::Exit(ExitReason::NoConnection)));
    assert_eq!(there.call(|to| Call::Add(1, to)).await, Err(CallError::NoConnection));
    // A new connection starts clean.
    pair.connect().await;
    assert_eq!(there.call(|to| Call::Add(1, to)).await, Ok(2));
}

#[tokio::test]
async fn what_is_not_exposed_is_not_reached() {
    let pair = Pair::connected().await;
    counter(&pair.a).await;
    let there = COUNTER.at(&pair.b, pair.a.id());
    assert_eq!(there.call(|to| Call::Add(2, to)).await, Err(CallError::WrongProtocol));
    pair.on_a.expose(Name::<u8, u8>::new("counter"));
    assert_eq!(there.call(|to| Call::Add(2, to)).await, Err(CallError::WrongProtocol));
}

/// `{Name, node()}`: as any other, so that code need not ask where it runs.
#[tokio::test]
async fn pl_014_a_name_at_ones_own_node_is_whoever_has_it_here() {
    let pair = Pair::connected().await;
    let here = COUNTER.at(&pair.a, pair.a.id());
    assert_eq!(in_time(here.call(|to| Call::Add(1, to))).await, Err(CallError::NoProc));
    assert_eq!(here.try_cast(Cast::Add(1)), Err(SendError::NoProc));
    assert_eq!(here.cast_bulk(Cast::Add(1)).await, Err(SendError::NoProc));
    assert_eq!(in_time(here.stop()).await, Err(StopError::NoProc));
    here.cast(Cast::Add(1));
    assert_eq!(pair.a.dead_letters(), 1);
    counter(&pair.a).await;
    here.cast(Cast::Add(1));
    assert_eq!((here.try_cast(Cast::Add(1)), here.cast_bulk(Cast::Add(1)).await), (Ok(()), Ok(())));
    assert_eq!(in_time(here.call(|to| Call::Add(1, to))).await, Ok(4));
    assert_eq!(here.send_request(|to| Call::Add(1, to)).receive(HANGS).await, Ok(5));
    let mut watches = Probe::<u32>::new(&pair.a);
    let watched = here.clone();
    watches.run(move |me| me.monitor(watched)).await;
    assert_eq!(in_time(here.stop()).await, Ok(()));
    let down = watches.next_down().await;
    assert_eq!((down.object, down.reason), (Object::Name("counter", pair.a.id()), ExitReason::Normal));
}

/// The node is there and does not have it: that is known, where after a lost connection it would not be.
#[tokio::test]
async fn lk_017_mon_009_a_process_of_a_former_life_of_a_connected_node_is_noproc() {
    let pair = Pair::connected().await;
    let process = idle(&pair.b);
    let (pid, old) = (process.pid(), over(&pair.b, &pair.a, &pair.on_a, &process).await);
    pair.on_b.stop().await;
    until(|| pair.on_a.nodes().is_empty()).await;
    let mut probe = Probe::<u32>::trapping(&pair.a).await;
    probe.run(move |me| me.monitor(pid)).await;
    assert_eq!(probe.next_down().await.reason, ExitReason::NoConnection);
    let anew = Node::new("b");
    let on_anew = distribution(&anew).start().await.unwrap();
    in_time(on_anew.connect(pair.on_a.address().unwrap())).await.unwrap();
    until(|| pair.on_a.nodes() == ["b"]).await;
    let reference = old.clone();
    probe.run(move |me| (me.monitor(pid), me.monitor(reference))).await;
    assert_eq!(probe.next_down().await.reason, ExitReason::NoProc);
    assert_eq!(probe.next_down().await.reason, ExitReason::NoProc);
    let reference = old.clone();
    assert_eq!(probe.run(move |me| (me.link(pid), me.link(reference))).await, (Ok(()), Ok(())));
    assert_eq!(probe.next_exit().await, (pid, ExitReason::NoProc));
    assert_eq!(probe.next_exit().await, (pid, ExitReason::NoProc));
    assert_eq!(old.try_send(()), Err(SendError::NoProc));
    assert_eq!(in_time(old.ended()).await, ExitReason::NoProc);
    assert_eq!(in_time(old.stop()).await, Err(StopError::NoProc));
}

#[tokio::test]
async fn a_link_carries_exits_both_ways_and_noconnection() {
    let pair = Pair::connected().await;
    let mut b = Probe::<u32>::trapping(&pair.b).await;
    for round in 0..3 {
        let a = Probe::<u32>::new(&pair.a);
        let there = pair.over(&a.process).await;
        let linked = there.clone();
        b.run(move |me| me.link(&linked).unwrap()).await;
        match round {
            0 => {
                a.run(|me| me.exit(me.pid(), ExitReason::term(&"done"))).await;
                assert_eq!(b.next_exit().await, (there.pid(), ExitReason::term(&"done")));
            }
            1 => {
                let unlinked = there.clone();
                b.run(move |me| me.unlink(&unlinked)).await;
                let told = there.clone();
                b.run(move |me| me.exit(&told, ExitReason::Kill)).await;
                assert_eq!(in_time(there.ended()).await, ExitReason::Killed);
                b.is_quiet().await;
            }
            _ => {
                let mut ended = Box::pin(a.process.ended());
                polled_once(&mut ended).await;
                pair.cut().await;
                assert_eq!(b.next_exit().await, (there.pid(), ExitReason::NoConnection));
                // The other end was linked, too, and trapped nothing.
                assert_eq!(in_time(ended).await, ExitReason::NoConnection);
            }
        }
    }
}

#[tokio::test]
async fn a_monitor_fires_once_with_the_reason() {
    let pair = Pair::connected().await;
    let mut b = Probe::<u32>::new(&pair.b);
    let a = Probe::<u32>::new(&pair.a);
    let there = pair.over(&a.process).await;
    let (watched, gone) = (there.clone(), there.clone());
    let first = b.run(move |me| me.monitor(&watched)).await;
    a.run(|me| me.exit(me.pid(), ExitReason::term(&7))).await;
    let down = b.next_down().await;
    assert_eq!((down.reference, down.reason), (first, ExitReason::term(&7)));
    assert_eq!(down.object, Object::Pid(there.pid()));
    b.run(move |me| me.monitor(&gone)).await;
    assert_eq!(b.next_down().await.reason, ExitReason::NoProc);
    pair.cut().await;
    b.run(move |me| me.monitor(&there)).await;
    assert_eq!(b.next_down().await.reason, ExitReason::NoConnection);
    b.is_quiet().await;
}

#[tokio::test]
async fn a_server_of_another_node_is_stopped_and_its_end_awaited() {
    let pair = Pair::connected().await;
    counter(&pair.a).await;
    pair.on_a.expose(COUNTER);
    let there = COUNTER.at(&pair.b, pair.a.id());
    let server = there.call(Call::Me).await.unwrap();
    assert_eq!(in_time(there.stop()).await, Ok(()));
    assert_eq!(in_time(there.stop()).await, Err(StopError::NoProc));
    assert_eq!(in_time(server.ended()).await, ExitReason::NoProc);
    // A link is made without a word from there: that nobody is there comes as a signal.
    let mut b = Probe::<u32>::trapping(&pair.b).await;
    let gone = server.clone();
    b.run(move |me| me.link(&gone).unwrap()).await;
    assert_eq!(b.next_exit().await, (server.pid(), ExitReason::NoProc));
}

#[tokio::test]
async fn the_view_says_who_is_up_and_how_it_goes() {
    let pair = Pair::connected().await;
    pair.on_a.expose(COUNTER);
    counter(&pair.a).await;
    assert_eq!(COUNTER.at(&pair.b, pair.a.id()).call(|to| Call::Add(2, to)).await, Ok(2));
    until(|| pair.on_b.node_info("a").unwrap().round_trip.is_some()).await;
    let view = pair.on_b.view();
    let [peer] = &view[..] else { panic!("{view:?}") };
    assert_eq!((peer.node, &*peer.name, peer.creation), (pair.a.id(), "a", pair.a.creation()));
    assert_eq!((peer.releases, peer.queued_bytes, peer.bulk_queued_bytes), ((1, 1), 0, 0));
    assert!(peer.sent_bytes > 0 && peer.received_bytes > 0, "{peer:?}");
    assert!(peer.round_trip.unwrap() < Duration::from_secs(1) && peer.up_for > Duration::ZERO);
    assert_eq!(pair.on_b.node_info("nobody"), None);
    pair.cut().await;
    assert_eq!(pair.on_b.view(), []);
}
