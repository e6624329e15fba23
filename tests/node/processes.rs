//! Nodes that are programs of their own, killed and stopped.

use std::time::{Duration, Instant};

use incarnate::node::{Cookie, Distribution};
use incarnate::{CallError, ExitReason, Info, Node, NodeId, Timeout};
use rustix::process::Signal;

use crate::basics::{COUNTER, Call, counter};
use crate::child::{self, Program};
use crate::pair::{COOKIE, distribution};
use crate::probe::Probe;
use crate::wait::in_time;

/// A node with a counter, until it is killed.
#[test]
fn program() {
    let Some(name) = child::role() else { return };
    let runtime = tokio::runtime::Runtime::new().unwrap();
    runtime.block_on(async {
        let node = Node::new(&name);
        let distribution = distribution(&node).start().await.unwrap();
        counter(&node).await;
        distribution.expose(COUNTER);
        println!("\nlistens at {}", distribution.address().unwrap());
        std::future::pending::<()>().await
    });
}

struct Other {
    program: Program,
    id: NodeId,
}

async fn other(here: &Distribution, name: &str) -> Other {
    let mut program = Program::new("processes::program", name, &[]);
    let address = program.after("listens at ");
    let id = in_time(here.connect(address)).await.unwrap();
    assert_eq!(id, NodeId::of(name));
    Other { program, id }
}

/// How long it takes from the signal until a monitor, a link and a waiting call have heard of it, and the news of the node.
async fn lost_after(signal: Signal) -> Duration {
    let node = Node::new("here");
    let here = Distribution::of(&node, Cookie::new(COOKIE)).start().await.unwrap();
    let [lost, stays] = [other(&here, "lost").await, other(&here, "stays").await];
    let at = |id| COUNTER.at(&node, id);
    let server = at(lost.id).call(Call::Me).await.unwrap();
    let mut watches = Probe::<u32>::new(&node);
    let watched = server.clone();
    watches.run(move |me| me.monitor(&watched)).await;
    let mut linked = Probe::<u32>::trapping(&node).await;
    let peer = server.clone();
    linked.run(move |me| me.link(&peer).unwrap()).await;
    let mut hears = Probe::<u32>::new(&node);
    let distribution = here.clone();
    hears.run(move |me| distribution.monitor_nodes(me, true)).await;
    let waiting = server.send_request(Call::Never);
    assert_eq!(server.call(|to| Call::Add(1, to)).await, Ok(1));

    let begin = Instant::now();
    lost.program.signal(signal);
    assert_eq!(watches.next_down().await.reason, ExitReason::NoConnection);
    assert_eq!(linked.next_exit().await, (server.pid(), ExitReason::NoConnection));
    let answer = in_time(waiting.receive(Timeout::Infinity)).await;
    assert_eq!(answer, Err(CallError::Exit(ExitReason::NoConnection)));
    assert!(matches!(hears.next().await, Info::NodeDown(id) if id == lost.id));
    let took = begin.elapsed();
    println!("{signal:?}: {took:?}");
    // The third node noticed nothing, and nobody else did.
    assert_eq!(here.nodes(), ["stays"]);
    assert_eq!(at(stays.id).call(|to| Call::Add(1, to)).await, Ok(1));
    assert_eq!(server.call(|to| Call::Add(1, to)).await, Err(CallError::NoConnection));
    for probe in [&mut watches, &mut linked, &mut hears] {
        probe.is_quiet().await;
    }
    took
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_that_is_killed_is_noticed_at_once() {
    let took = lost_after(Signal::KILL).await;
    // 1 to 3 ms on a quiet machine; what is asserted is that it is not the heartbeat which notices.
    assert!(took < Duration::from_millis(700), "{took:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_that_stands_still_is_noticed_by_its_silence() {
    let took = lost_after(Signal::STOP).await;
    // The last heartbeat came at most a quarter of the deadline before.
    assert!(took > Duration::from_millis(700), "{took:?}");
    assert!(took < Duration::from_millis(1300), "{took:?}");
}

/// A node that goes on after it was given up has nothing to say of what was.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_that_goes_on_is_connected_anew_and_clean() {
    let node = Node::new("here");
    let mut program = Program::new("processes::program", "sleeper", &[]);
    let address = program.after("listens at ");
    let start = Distribution::of(&node, Cookie::new(COOKIE)).peers([address]);
    let here = start.heartbeat_deadline(Duration::from_millis(300)).start().await.unwrap();
    let mut hears = Probe::<u32>::new(&node);
    let distribution = here.clone();
    hears.run(move |me| distribution.monitor_nodes(me, true)).await;
    let up = |info: Info<u32>| matches!(info, Info::NodeUp(id) if id == NodeId::of("sleeper"));
    if here.nodes().is_empty() {
        assert!(up(hears.next().await));
    }
    let there = COUNTER.at(&node, "sleeper");
    assert_eq!(there.call(|to| Call::Add(1, to)).await, Ok(1));
    program.signal(Signal::STOP);
    // Sent to one that stands still: it is in the network when the node is given up.
    let late = there.send_request(|to| Call::Add(10, to));
    assert!(matches!(hears.next().await, Info::NodeDown(_)));
    // The signal may have taken a moment, too.
    let late = in_time(late.receive(Timeout::Infinity)).await;
    assert!([Ok(11), Err(CallError::Exit(ExitReason::NoConnection))].contains(&late), "{late:?}");
    program.signal(Signal::CONT);
    assert!(up(hears.next().await));
    // It may have been carried out, once: never twice, and its answer went nowhere.
    let now = there.call(|to| Call::Add(1, to)).await.unwrap();
    assert!(now == 2 || now == 12, "{now}");
    hears.is_quiet().await;
}
