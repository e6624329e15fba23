//! Processes that are started from another node.

use std::future::pending;

use incarnate::node::{SpawnError, Spawnable};
use incarnate::process::Process;
use incarnate::{CallReply, Context, GenServer, ReplyTo, StartError};
use incarnate::{ExitReason, Info, Init, Never, NodeId, ProcessRef, Result, ServerRef};
use serde::{Deserialize, Serialize};

use crate::busy::fill;
use crate::deaf::deafenable;
use crate::pair::{Pair, until};
use crate::probe::{Probe, Probed, in_time, inside, polled_once};

/// What a worker is to do.
#[derive(Clone, Debug, Serialize, Deserialize)]
enum Order {
    Wait,
    End(ExitReason),
}

const WORKER: Spawnable<Order, Never, Never, u32> = Spawnable::new("worker");

async fn work(order: Order, mut me: Process<u32>) -> ExitReason {
    match order {
        Order::End(reason) => reason,
        Order::Wait => match me.receive().await {
            Info::User(n) => ExitReason::term(&n),
            _ => pending().await,
        },
    }
}

#[derive(Serialize, Deserialize)]
enum Call {
    Get(ReplyTo<i64>),
}

const HOLDER: Spawnable<i64, Call> = Spawnable::new("holder");

/// Holds a number that is not negative; 0 is ignored.
struct Holder(i64);

impl GenServer for Holder {
    type Args = i64;
    type Call = Call;
    type Cast = Never;
    type Info = Never;
    type Continue = Never;

    async fn init(n: i64, cx: &mut Context<Self>) -> Result<Init<Self>> {
        cx.trap_exit(true);
        Ok(match n {
            0 => Init::Ignore,
            n if n < 0 => Init::Stop(ExitReason::term(&"negative")),
            // Never comes up.
            i64::MAX => pending().await,
            n => Init::Ready(Holder(n)),
        })
    }

    async fn handle_call(&mut self, Call::Get(caller): Call, _: &mut Context<Self>) -> Result<CallReply> {
        caller.reply(self.0)
    }
}

/// Node b starts processes on node a.
async fn registered() -> Pair {
    let pair = Pair::connected().await;
    register(&pair.on_a);
    pair
}

fn register(distribution: &incarnate::node::Distribution) {
    distribution.register_function(WORKER, work);
    distribution.register_server(HOLDER, |n: i64| Holder::server(n));
}

#[tokio::test]
async fn a_server_is_started_on_another_node_and_used_from_here() {
    let pair = registered().await;
    let there: NodeId = pair.a.id();
    let holder = HOLDER.spawn(&pair.b, there, 7).await.unwrap();
    assert_eq!(holder.pid().node(), there);
    assert!(pair.a.is_alive(holder.pid()));
    assert_eq!(holder.call(Call::Get).await, Ok(7));
    let failed = |why: StartError| Err::<ServerRef<Call>, _>(SpawnError::Start(why));
    assert_eq!(HOLDER.spawn(&pair.b, there, 0).await.map(drop), failed(StartError::Ignore).map(drop));
    let negative = StartError::Failed(ExitReason::term(&"negative"));
    assert_eq!(HOLDER.spawn(&pair.b, there, -1).await.map(drop), failed(negative).map(drop));
    // On its own node by the same means.
    let own = HOLDER.spawn(&pair.a, there, 8).await.unwrap();
    assert_eq!(own.call(Call::Get).await, Ok(8));
}

#[tokio::test]
async fn what_cannot_be_started_says_why() {
    let pair = registered().await;
    let there = pair.a.id();
    let unknown: Spawnable<Order> = Spawnable::new("unknown");
    let refused = unknown.spawn(&pair.b, there, Order::Wait).await.map(drop);
    assert_eq!(refused, Err(SpawnError::NotRegistered("unknown".into())));
    let other: Spawnable<String> = Spawnable::new("holder");
    let unreadable = other.spawn(&pair.b, there, "seven".into()).await.map(drop);
    assert!(matches!(unreadable, Err(SpawnError::Unreadable(_))), "{unreadable:?}");
    let large: Spawnable<Vec<u8>> = Spawnable::new("holder");
    let unsendable = large.spawn(&pair.b, there, vec![0; 20 << 20]).await.map(drop);
    assert!(matches!(unsendable, Err(SpawnError::Unsendable(_))), "{unsendable:?}");
    let panics: Spawnable<i64, Call> = Spawnable::new("panics");
    pair.on_a.register_server(panics, |n: i64| -> incarnate::gen_server::Start<Holder> { panic!("no {n}") });
    let panicked = panics.spawn(&pair.b, there, 1).await.map(drop);
    assert!(matches!(panicked, Err(SpawnError::Start(StartError::Failed(_)))), "{panicked:?}");
    pair.cut().await;
    assert_eq!(HOLDER.spawn(&pair.b, there, 7).await.map(drop), Err(SpawnError::NoConnection));
}

#[derive(Serialize, Deserialize)]
struct Parcel {
    to: ProcessRef<u32>,
    contents: u32,
}

const CARRIER: Spawnable<Parcel, Never, Never, u32> = Spawnable::new("carrier");

/// Arguments are what they are, whichever node it is, and whoever asks: here it is no process.
#[tokio::test]
async fn a_reference_among_the_arguments_leads_to_its_process_from_any_node() {
    let pair = Pair::connected().await;
    for on_node in [&pair.on_a, &pair.on_b] {
        on_node
            .register_function(CARRIER, |parcel: Parcel, _| async move { parcel.to.send(parcel.contents) });
    }
    let mut probe = Probe::<u32>::new(&pair.a);
    let process = probe.process.clone();
    let to = pair.a.spawn(move |mut me: Process<u32>| async move {
        while let Info::User(contents) = me.receive().await {
            process.send(Probed::Message(contents));
        }
    });
    for (contents, there) in (1..).zip([pair.a.id(), pair.b.id()]) {
        in_time(CARRIER.spawn(&pair.a, there, Parcel { to: to.clone(), contents })).await.unwrap();
        assert_eq!(probe.next_message().await, contents);
    }
}

#[tokio::test]
async fn a_start_whose_node_is_lost_says_so() {
    let pair = registered().await;
    let (b, there) = (pair.b.clone(), pair.a.id());
    let waiting = tokio::spawn(async move { HOLDER.spawn(&b, there, i64::MAX).await.map(drop) });
    until(|| pair.a.process_count() == 1).await;
    pair.cut().await;
    assert_eq!(in_time(waiting).await.unwrap(), Err(SpawnError::Lost));
}

#[tokio::test]
async fn pr_040_spawn_against_new_node_pr_053_its_parent_is_known() {
    let pair = registered().await;
    let (a, there) = (pair.a.clone(), pair.a.id());
    in_time(inside(&pair.b, move |mut me: Process<()>| async move {
        me.trap_exit(true);
        let plain = WORKER.spawn(me.node(), there, Order::Wait).await.unwrap();
        assert_eq!(a.process_info(plain.pid()).unwrap().parent, None);
        let linked = WORKER.spawn_link(&me, there, Order::Wait).await.unwrap();
        let info = a.process_info(linked.pid()).unwrap();
        assert_eq!((info.parent, info.links), (Some(me.pid()), vec![me.pid()]));
        let (watched, reference) = WORKER.spawn_monitor(&me, there, Order::Wait).await.unwrap();
        assert_eq!(a.process_info(watched.pid()).unwrap().monitored_by, vec![me.pid()]);
        for (n, process) in [&plain, &linked, &watched].into_iter().enumerate() {
            process.send(u32::try_from(n).unwrap());
        }
        for _ in 0..2 {
            match me.receive().await {
                Info::Exit(exit) => {
                    assert_eq!((exit.from, exit.reason), (linked.pid(), ExitReason::term(&1)));
                }
                Info::Down(down) => {
                    assert_eq!((down.reference, down.reason), (reference, ExitReason::term(&2)));
                }
                other => panic!("{other:?}"),
            }
        }
    }))
    .await;
}

/// The child may have ended before anybody here knows that there is one.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn pr_037_dist_spawn_monitor() {
    let pair = registered().await;
    let there = pair.a.id();
    in_time(inside(&pair.b, move |mut me: Process<()>| async move {
        for n in 0..1000u32 {
            let order = Order::End(ExitReason::term(&n));
            let (process, reference) = WORKER.spawn_monitor(&me, there, order).await.unwrap();
            match me.receive().await {
                Info::Down(down) => {
                    assert_eq!((down.reference, down.reason), (reference, ExitReason::term(&n)));
                    assert_eq!(down.object, incarnate::process::Object::Pid(process.pid()));
                }
                other => panic!("{other:?}"),
            }
            // None is left, of either side.
            assert!(!me.demonitor(reference));
        }
    }))
    .await;
}

/// Whoever asked for a linked process and ended at once leaves none behind, and its own reason with each.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn pr_033_spawn_request_link_parent_exit() {
    const ROUNDS: u32 = 2000;
    let pair = Pair::connected().await;
    let there = pair.a.id();
    register(&pair.on_a);
    let (tell, mut told) = tokio::sync::mpsc::unbounded_channel();
    // One that the exit signal reaches before it traps exits tells nobody, and is gone all the same.
    pair.on_a.register_function(WORKER, move |order: Order, mut me: Process<u32>| {
        let tell = tell.clone();
        async move {
            me.trap_exit(true);
            let (Info::Exit(exit), Order::End(reason)) = (me.receive().await, order) else { panic!() };
            let _ = tell.send((exit.reason, reason));
        }
    });
    for round in 0..ROUNDS {
        pair.b.spawn(move |me: Process<()>| async move {
            let reason = ExitReason::term(&round);
            let mut asked = Box::pin(WORKER.spawn_link(&me, there, Order::End(reason.clone())));
            polled_once(&mut asked).await;
            reason
        });
    }
    until(|| pair.b.process_count() == 0).await;
    // Asked for behind all others.
    let last = HOLDER.spawn(&pair.b, there, 7).await.unwrap();
    until(|| pair.a.process_count() == 1).await;
    assert_eq!(last.stop().await, Ok(()));
    pair.cut().await;
    drop(pair);
    let mut heard = 0;
    while let Ok((found, expected)) = told.try_recv() {
        assert_eq!(found, expected);
        heard += 1;
    }
    println!("{heard} of {ROUNDS} trapped the exit signal");
    assert!(heard > 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn pr_035_spawn_request_link_parent_exit_nodedown() {
    let pair = registered().await;
    let there = pair.a.id();
    for round in 0..50 {
        let parent: ProcessRef<()> = pair.b.spawn(move |me: Process<()>| async move {
            let _lost = WORKER.spawn_link(&me, there, Order::Wait).await;
            pending::<()>().await
        });
        // In some rounds it has been asked for by now.
        for _ in 0..round % 4 {
            tokio::task::yield_now().await;
        }
        pair.b.exit(parent.pid(), ExitReason::term(&"bye"));
        pair.cut().await;
        until(|| pair.a.process_count() == 0).await;
        pair.connect().await;
    }
}

#[tokio::test]
async fn a_server_that_was_started_from_another_node_ends_with_its_parent() {
    let pair = registered().await;
    let there = pair.a.id();
    let (tell, told) = tokio::sync::oneshot::channel();
    // It traps exits, and that of its parent ends it all the same.
    let starter = pair.b.spawn(move |me: Process<()>| async move {
        let holder = HOLDER.spawn_link(&me, there, 7).await.unwrap();
        let _ = tell.send(holder);
        pending::<()>().await
    });
    let holder = in_time(told).await.unwrap();
    let mut ended = Box::pin(holder.ended());
    polled_once(&mut ended).await;
    pair.b.exit(starter.pid(), ExitReason::Shutdown);
    assert_eq!(in_time(ended).await, ExitReason::Shutdown);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sig_012_busy_dist_spawn_reply_signal() {
    let (pair, ear) = deafenable().await;
    pair.on_b.expose(crate::basics::COUNTER);
    crate::basics::counter(&pair.b).await;
    register(&pair.on_a);
    // From a to b nothing goes: the answer waits, and comes.
    fill(&pair, &ear).await;
    let (b, there) = (pair.b.clone(), pair.a.id());
    let asked = tokio::spawn(async move { HOLDER.spawn(&b, there, 7).await.map(|it| it.pid()) });
    until(|| pair.a.process_count() == 1).await;
    assert!(!asked.is_finished());
    ear.set(false);
    let pid = in_time(asked).await.unwrap().unwrap();
    assert!(pair.a.is_alive(pid));
}
