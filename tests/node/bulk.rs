//! Much at once, on a lane of its own.

use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use incarnate::process::SendError;
use incarnate::{ExitReason, Info, Name, Never, Node, Process, ProcessRef, ReplyTo, Timeout};
use serde::{Deserialize, Serialize};
use tokio::runtime::Builder;

use crate::basics::{COUNTER, Call, counter};
use crate::deaf::{BOUND, deafenable};
use crate::pair::until;
use crate::pair::{Pair, distribution};
use crate::probe::{idle, in_time, inside};

#[derive(Debug, Serialize, Deserialize)]
enum Piece {
    Next(u32, Bytes),
    /// How many bytes have come?
    All(ReplyTo<usize>),
}

const STORE: Name<Never, Never, Piece> = Name::new("store");

/// Takes pieces, each in its turn.
async fn store(node: &Node) -> ProcessRef<Piece> {
    let store = node.spawn(|mut me: Process<Piece>| async move {
        let (mut bytes, mut next) = (0, 0);
        loop {
            match me.receive().await {
                Info::User(Piece::Next(number, piece)) => {
                    assert_eq!(number, next);
                    (bytes, next) = (bytes + piece.len(), next + 1);
                }
                Info::User(Piece::All(to)) => _ = to.send(bytes),
                other => panic!("{other:?}"),
            }
        }
    });
    let registered = store.clone();
    inside(node, move |me: Process<()>| async move { me.register(STORE, &registered).unwrap() }).await;
    store
}

async fn send(pair: &Pair, pieces: u32, size: usize) {
    let there = STORE.at(&pair.a, pair.b.id());
    let piece = Bytes::from(vec![7; size]);
    for number in 0..pieces {
        there.send_bulk(Piece::Next(number, piece.clone())).await.unwrap();
    }
}

async fn arrived(pair: &Pair, all: usize) {
    let there = STORE.at(&pair.a, pair.b.id());
    in_time(async { while there.ask_info(Piece::All, Timeout::Infinity).await != Ok(all) {} }).await;
}

#[tokio::test]
async fn what_is_sent_in_bulk_comes_in_order_and_whole() {
    let pair = Pair::connected().await;
    pair.on_b.expose(STORE);
    store(&pair.b).await;
    send(&pair, 200, 100_000).await;
    arrived(&pair, 200 * 100_000).await;
    // To a process of the same node, too.
    let here = idle(&pair.a);
    assert_eq!(here.send_bulk(()).await, Ok(()));
    let gone = pair.over(&here).await;
    pair.cut().await;
    assert_eq!(gone.send_bulk(()).await, Err(SendError::NoConnection));
}

/// What waits is bounded, who sends waits, and messages are not held up.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn bulk_waits_for_room_and_calls_pass_it() {
    let (pair, ear) = deafenable().await;
    pair.on_b.expose(STORE);
    store(&pair.b).await;
    ear.set(true);
    let here = pair.a.clone();
    let there = STORE.at(&here, pair.b.id());
    let sender = tokio::spawn(async move {
        for number in 0..100 {
            there.send_bulk(Piece::Next(number, Bytes::from(vec![7; 16 << 10]))).await.unwrap();
        }
    });
    until(|| ear.is_met()).await;
    for _ in 0..100 {
        let view = pair.on_a.view();
        assert!(view[0].bulk_queued_bytes <= BOUND, "{view:?}");
        tokio::task::yield_now().await;
    }
    assert!(!sender.is_finished());
    ear.set(false);
    in_time(sender).await.unwrap();
    arrived(&pair, 100 * (16 << 10)).await;
}

/// How long a call takes.
async fn call(pair: &Pair) -> Duration {
    let begin = Instant::now();
    assert!(COUNTER.at(&pair.a, pair.b.id()).call(|to| Call::Add(1, to)).await.is_ok());
    begin.elapsed()
}

/// The longest of all but one in a hundred.
fn p99(mut took: Vec<Duration>) -> Duration {
    took.sort_unstable();
    took[took.len() * 99 / 100]
}

/// The p99 of calls alone, and of those beside a transfer of 256 MiB.
async fn beside_a_transfer(pair: &Arc<Pair>) -> (Duration, Duration) {
    let mut alone = Vec::new();
    for _ in 0..2000 {
        alone.push(call(pair).await);
    }
    let (sends, begin) = (pair.clone(), Instant::now());
    let transfer = tokio::spawn(async move {
        send(&sends, 256, 1 << 20).await;
        arrived(&sends, 256 << 20).await;
    });
    let mut beside = Vec::new();
    while !transfer.is_finished() {
        beside.push(call(pair).await);
    }
    transfer.await.unwrap();
    println!("256 MiB in {:?} beside {} calls", begin.elapsed(), beside.len());
    (p99(alone), p99(beside))
}

/// Each node has a runtime of its own, as it has in life.
#[test]
fn calls_do_not_wait_for_a_transfer() {
    let runtime = || Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    let (ours, theirs) = (runtime(), runtime());
    let (b, on_b) = theirs.block_on(async {
        let b = Node::new("b");
        let on_b = distribution(&b).start().await.unwrap();
        on_b.expose(STORE);
        on_b.expose(COUNTER);
        counter(&b).await;
        (b, on_b)
    });
    ours.block_on(async {
        let a = Node::new("a");
        let on_a = distribution(&a).start().await.unwrap();
        in_time(on_a.connect(on_b.address().unwrap())).await.unwrap();
        let pair = Arc::new(Pair { a, b, on_a, on_b });
        // The machine may have something else to do for a while, and calls wait for that, too: one undisturbed round shows it.
        let holds = async {
            for _ in 0..5 {
                let store = store(&pair.b).await;
                let (alone, beside) = beside_a_transfer(&pair).await;
                println!("p99 of calls: {alone:?}, beside it {beside:?}");
                if beside <= alone + Duration::from_millis(5) {
                    return true;
                }
                pair.b.exit(store.pid(), ExitReason::Kill);
                store.ended().await;
            }
            false
        };
        assert!(holds.await, "calls wait for the transfer");
    });
}
