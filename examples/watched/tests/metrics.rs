//! What is counted and sampled, on virtual time, as a recorder sees it.

#[path = "support/recorder.rs"]
mod recorder;

use std::time::Duration;

use incarnate::handoff::{ChangeError, StateVersion};
use incarnate::node::{Cookie, Distribution};
use incarnate::supervisor::{ChildSpec, Supervisor};
use incarnate::upgrade::{Direction, Update, Upgrade, Value, Versions};
use incarnate::{
    CallError, CallReply, Context, Error, ExitReason, GenServer, Info, Init, Name, Never, Next, Node,
    Process, ReplyTo, Result, Term,
};
use serde::{Deserialize, Serialize};

use crate::recorder::Recorder;

enum Call {
    After(Duration, ReplyTo<()>),
}

#[derive(Serialize, Deserialize)]
struct Slow;

#[derive(Serialize, Deserialize)]
struct Slower;

const NAME: Name<Call, &'static str, u8> = Name::new("slow");

macro_rules! slow {
    ($version:ident) => {
        impl GenServer for $version {
            type Args = ();
            type Call = Call;
            type Cast = &'static str;
            type Info = u8;
            type Continue = Never;

            async fn init(_: (), _: &mut Context<Self>) -> Result<Init<Self>> {
                Ok(Init::Ready($version))
            }

            async fn handle_call(&mut self, call: Call, _: &mut Context<Self>) -> Result<CallReply> {
                let Call::After(time, caller) = call;
                tokio::time::sleep(time).await; // sleep: the work that a call waits for
                caller.reply(())
            }

            async fn handle_cast(&mut self, why: &'static str, _: &mut Context<Self>) -> Result<Next> {
                Err(Error::msg(why))
            }
        }

        impl incarnate::gen_server::CodeChange for $version {
            const MODULE: &'static str = "slow";
        }
    };
}

slow!(Slow);
slow!(Slower);

impl StateVersion for Slow {
    const VSN: u32 = 1;
    type Previous = Never;
}

impl StateVersion for Slower {
    const VSN: u32 = 2;
    type Previous = Slow;

    fn up(_: Slow, extra: &Term) -> Result<Self, ChangeError> {
        if extra.decode::<bool>() == Ok(true) { Err(ChangeError::refused("no")) } else { Ok(Slower) }
    }

    fn down(self, _: &Term) -> Result<Slow, ChangeError> {
        Ok(Slow)
    }
}

const MINUTE: Duration = Duration::from_secs(60);

#[tokio::test(start_paused = true)]
async fn calls_are_timed_by_their_outcome() {
    let recorder = Recorder::install();
    let node = Node::new("a");
    let _observer = node.observe(MINUTE);
    tokio::task::yield_now().await;
    let slow = Slow::server(()).on(&node).start().await.unwrap();
    let after = |seconds| move |caller| Call::After(Duration::from_secs(seconds), caller);
    slow.call(after(2)).await.unwrap();
    assert_eq!(slow.call(after(7)).await, Err(CallError::Timeout));
    // Given up by the caller itself.
    tokio::time::timeout(Duration::from_secs(3), slow.call(after(0))).await.unwrap().unwrap();
    tokio::time::timeout(Duration::from_secs(1), slow.call(after(3))).await.unwrap_err();
    slow.stop().await.unwrap();
    assert_eq!(slow.call(after(0)).await, Err(CallError::NoProc));
    let seen = recorder.take_of("a");
    let calls = |outcome: &str| &seen[&format!("call_duration_seconds outcome={outcome}")];
    // The server was busy for two seconds more with what nobody waited for.
    assert_eq!((calls("ok").len(), calls("timeout").len()), (2, 1));
    assert!((2.0..2.1).contains(&calls("ok")[0]) && (1.8..2.2).contains(&calls("ok")[1]), "{seen:?}");
    assert!((5.0..5.2).contains(&calls("timeout")[0]), "{seen:?}");
    assert!((1.0..1.1).contains(&calls("abandoned")[0]), "{seen:?}");
    assert_eq!((calls("noproc").len(), &seen["call_timeouts_total"]), (1, &vec![1.0]));
}

#[tokio::test(start_paused = true)]
async fn starts_ends_and_restarts_are_counted_with_their_cause() {
    let recorder = Recorder::install();
    let node = Node::new("a");
    let _observer = node.observe(MINUTE);
    let slow = ChildSpec::worker("slow", || Slow::server(()).name(NAME).start_link());
    let top = Supervisor::tree("top").child(slow).on(&node).start().await.unwrap();
    let first = NAME.on(&node).unwrap();
    first.cast("crash");
    first.ended().await;
    while !NAME.on(&node).is_ok_and(|second| second.pid() != first.pid()) {
        tokio::task::yield_now().await;
    }
    let seen = recorder.take_of("a");
    assert_eq!(seen["restarts_total supervisor=top"], [1.0]);
    assert_eq!(seen["process_starts_total"], [3.0]);
    assert_eq!(seen["process_ends_total reason=error"], [1.0]);
    top.stop().await.unwrap();
    let other = node.spawn(|_: Process<()>| std::future::pending::<Result>());
    node.exit(other.pid(), ExitReason::Kill);
    other.ended().await;
    let seen = recorder.take_of("a");
    assert_eq!(seen["process_ends_total reason=shutdown"], [1.0]);
    assert_eq!(seen["process_ends_total reason=normal"], [1.0]);
    assert_eq!(seen["process_ends_total reason=killed"], [1.0]);
    assert_eq!(seen["restarts_total supervisor=top"], [0.0], "an orderly end is no restart");
}

#[tokio::test(start_paused = true)]
async fn mailboxes_and_what_was_handled_are_sampled() {
    let recorder = Recorder::install();
    let node = Node::new("a");
    let idle = node.spawn(|mut me: Process<u8>| async move {
        me.receive().await;
        std::future::pending::<Result>().await
    });
    let busy = node.spawn(|_: Process<u8>| std::future::pending::<Result>());
    let ended = Slow::server(()).on(&node).start().await.unwrap();
    ended.call(|caller| Call::After(Duration::ZERO, caller)).await.unwrap();
    ended.stop().await.unwrap();
    idle.send(1);
    (0..5).for_each(|message| busy.send(message));
    ended.cast("to nobody");
    node.exit(ended.pid(), ExitReason::Kill);
    busy.send_after(10 * MINUTE, 1);
    tokio::task::yield_now().await;
    let handled = |node: &Node| -> u64 {
        node.processes().iter().map(|pid| node.process_info(*pid).unwrap().messages_handled).sum()
    };
    let observer = node.observe(MINUTE);
    tokio::task::yield_now().await;
    let seen = recorder.take_of("a");
    assert_eq!(seen["processes"], [2.0]);
    assert_eq!(seen["mailbox_longest_messages"], [5.0]);
    assert_eq!(seen["mailbox_waiting_messages"], [5.0]);
    assert_eq!(seen["mailbox_messages"], [0.0, 5.0], "one value for each process");
    assert_eq!((&seen["dead_letters_total"], &seen["timers"]), (&vec![1.0], &vec![1.0]));
    // Of the process that has ended, too: its call and the order to stop.
    assert!(seen["messages_handled_total"][0] > handled(&node) as f64, "{seen:?}");
    // Nothing is looked at before its time, and nothing once the observer is gone.
    assert!(!recorder.take_of("a").contains_key("mailbox_messages"));
    tokio::time::sleep(MINUTE + Duration::from_secs(1)).await; // sleep: past the next sample
    assert_eq!(recorder.take_of("a")["mailbox_messages"], [0.0, 5.0]);
    drop(observer);
    tokio::time::sleep(2 * MINUTE).await; // sleep: past samples that must not be
    assert!(!recorder.take_of("a").contains_key("mailbox_messages"));
    node.sample();
    assert_eq!(recorder.take_of("a")["mailbox_messages"], [0.0, 5.0]);
}

#[tokio::test(start_paused = true)]
async fn upgrades_are_counted_and_their_pauses_measured() {
    let recorder = Recorder::install();
    let node = Node::new("a");
    let _observer = node.observe(MINUTE);
    for _ in 0..3 {
        Slow::server(()).upgradable().on(&node).start().await.unwrap();
    }
    let versions = Versions::new().with::<Slow>().with::<Slower>();
    let plan =
        |refused: bool| Upgrade::new("plan").both(Update::new("slow", 1, 2).extra(Value::Bool(refused)));
    plan(true).run(&node, &versions, Direction::Up).await.unwrap_err();
    let seen = recorder.take_of("a");
    assert_eq!(seen["upgrades_total outcome=aborted"], [1.0]);
    assert!(!seen.contains_key("upgrade_pause_seconds"), "{seen:?}");
    plan(false).run(&node, &versions, Direction::Up).await.unwrap();
    let seen = recorder.take_of("a");
    assert_eq!(seen["upgrades_total outcome=done"], [1.0]);
    assert_eq!(seen["upgrade_pause_seconds"].len(), 3);
}

#[tokio::test]
async fn nodes_that_are_connected_are_sampled_and_losses_counted() {
    let recorder = Recorder::install();
    let (a, b) = (Node::new("a"), Node::new("b"));
    let _observer = a.observe(MINUTE);
    let cookie = Cookie::new("a cookie for tests");
    let on_a = Distribution::of(&a, cookie.clone()).listen("127.0.0.1:0").start().await.unwrap();
    let on_b = Distribution::of(&b, cookie).start().await.unwrap();
    let address = on_a.address().unwrap();
    let (watching, watches) = tokio::sync::oneshot::channel();
    let watched = on_a.clone();
    let hears_down = a.spawn(|mut me: Process<Never>| async move {
        watched.monitor_nodes(&me, true);
        let _ = watching.send(());
        me.receive_where(|info| matches!(info, Info::NodeDown(_))).await;
        Ok(())
    });
    watches.await.unwrap();
    on_b.connect(address).await.unwrap();
    let sink: Name<Never, Never, Vec<u8>> = Name::new("sink");
    // Until its heart has beaten, and something has gone to it.
    let mut peer = on_a.node_info("b");
    while !peer.as_ref().is_some_and(|peer| peer.round_trip.is_some() && peer.sent_bytes > 1000) {
        sink.at(&a, "b").send(vec![0; 100]);
        tokio::time::sleep(Duration::from_millis(10)).await; // sleep: until the next look
        peer = on_a.node_info("b");
    }
    a.sample();
    let seen = recorder.take_of("a");
    assert_eq!(seen["peers"], [1.0]);
    assert!(seen["peer_sent_bytes_total peer=b"][0] > 1000.0, "{seen:?}");
    assert!(seen["peer_round_trip_seconds peer=b"][0] > 0.0, "{seen:?}");
    assert_eq!(seen["peer_queued_bytes peer=b lane=bulk"], [0.0]);
    assert!(seen.contains_key("peer_queued_bytes peer=b lane=messages"), "{seen:?}");
    let carried = on_a.node_info("b").unwrap().sent_bytes;
    on_a.disconnect("b").await;
    // The node is told to be down when all that was tied to it has heard so, and counted just before.
    hears_down.ended().await;
    a.sample();
    let seen = recorder.take_of("a");
    assert_eq!((&seen["peers"], &seen["peer_losses_total why=disconnected"]), (&vec![0.0], &vec![1.0]));
    while !on_b.nodes().is_empty() {
        tokio::task::yield_now().await;
    }
    // What went over the former connection is not forgotten.
    on_b.connect(address).await.unwrap();
    while on_a.node_info("b").is_none() {
        tokio::task::yield_now().await;
    }
    assert!(on_a.node_info("b").unwrap().sent_bytes >= carried);
    on_b.stop().await;
}

/// The task that samples is none of the node's references: it ends with it.
#[tokio::test(start_paused = true)]
async fn an_observer_does_not_keep_a_node() {
    let recorder = Recorder::install();
    let node = Node::new("a");
    let _observer = node.observe(MINUTE);
    tokio::task::yield_now().await;
    assert_eq!(recorder.take_of("a")["processes"], [0.0]);
    node.spawn(|_: Process<()>| async { Ok(()) }).ended().await;
    drop(node);
    metrics::gauge!("incarnate_processes", "node" => "a").set(7.0);
    tokio::time::sleep(2 * MINUTE).await; // sleep: past samples that must not be
    assert_eq!(recorder.take_of("a")["processes"], [7.0], "a sample was taken");
}
