//! Sources: nothing comes that was not asked for.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll};

use futures_core::Stream;
use incarnate::gen_server::{Source, Sourced, chunks};
use incarnate::{CallError, ExitReason, GenServer, Init, Node, noreply};
use tokio::io::{AsyncRead, AsyncWriteExt, ReadBuf};

use crate::lab::*;

/// Counts from 1 as far as it is told; how far it was read is seen from outside.
struct Numbers {
    read: Arc<AtomicUsize>,
    end: usize,
    /// Counts those that live.
    _alive: Arc<()>,
}

impl Source for Numbers {
    type Item = usize;

    async fn next(&mut self) -> Option<usize> {
        let next = self.read.fetch_add(1, Ordering::Relaxed) + 1;
        (next <= self.end).then_some(next)
    }
}

struct Bench {
    lab: LabRef,
    seen: Seen,
    read: Arc<AtomicUsize>,
    alive: Arc<()>,
}

impl Bench {
    /// A lab with a source of so many numbers.
    async fn new(node: &Node, end: usize) -> Self {
        let (lab, seen) = lab(node).await;
        let (read, alive) = (Arc::<AtomicUsize>::default(), Arc::new(()));
        let numbers = Numbers { read: read.clone(), end, _alive: alive.clone() };
        let bench = Bench { lab, seen, read, alive };
        bench.act(|lab, cx| lab.source = Some(cx.source(numbers, word))).await;
        bench
    }

    /// The lab does something with its source.
    async fn act(&self, act: impl FnOnce(&mut Lab, &mut incarnate::Context<Lab>) + Send + 'static) {
        let done = ask(&self.lab, |to, lab, cx| {
            act(lab, cx);
            to.reply(0)
        });
        done.await.unwrap();
    }

    async fn sees(&self, expected: &[&str]) {
        pause(ms(1000)).await;
        let mut seen = self.seen.take();
        seen.retain(|what| what != "call");
        assert_eq!(seen, expected);
    }
}

fn word<T: std::fmt::Debug>(sourced: Sourced<T>) -> Say {
    Say::Chunk(match sourced {
        Sourced::Item(item) => format!("{item:?}"),
        other => format!("{other:?}"),
    })
}

#[tokio::test(start_paused = true)]
async fn nothing_is_read_before_it_is_asked_for() {
    let bench = Bench::new(&Node::new("a"), 10).await;
    bench.sees(&[]).await;
    assert_eq!(bench.read.load(Ordering::Relaxed), 0);
}

#[tokio::test(start_paused = true)]
async fn active_once_brings_one_item_each_and_reads_no_further() {
    let bench = Bench::new(&Node::new("a"), 2).await;
    for (read, expected) in ["chunk 1", "chunk 2", "chunk Closed"].into_iter().enumerate() {
        bench.act(|lab, _| lab.source.as_ref().unwrap().active_once()).await;
        bench.sees(&[expected]).await;
        assert_eq!(bench.read.load(Ordering::Relaxed), read + 1);
    }
}

#[tokio::test(start_paused = true)]
async fn active_n_brings_so_many_and_says_when_it_is_passive() {
    let bench = Bench::new(&Node::new("a"), 100).await;
    bench.act(|lab, _| lab.source.as_ref().unwrap().active(3)).await;
    bench.sees(&["chunk 1", "chunk 2", "chunk 3", "chunk Passive"]).await;
    bench
        .act(|lab, _| {
            let source = lab.source.as_ref().unwrap();
            source.active(1);
            source.active(1);
        })
        .await;
    bench.sees(&["chunk 4", "chunk 5", "chunk Passive"]).await;
    assert_eq!(bench.read.load(Ordering::Relaxed), 5);
}

#[tokio::test(start_paused = true)]
async fn a_closed_or_dropped_source_is_gone_and_says_nothing() {
    for close in [true, false] {
        let node = Node::new("a");
        let bench = Bench::new(&node, 100).await;
        assert_eq!(Arc::strong_count(&bench.alive), 2);
        bench
            .act(move |lab, _| {
                let source = lab.source.take().unwrap();
                source.active_once();
                if close { source.close() } else { drop(source) }
            })
            .await;
        until("the end of its reader", || node.process_count() == 1).await;
        assert_eq!(Arc::strong_count(&bench.alive), 1);
        pause(ms(100)).await;
        let seen = bench.seen.take();
        assert!(seen.iter().filter(|what| *what != "call").count() <= 1, "{seen:?}");
        assert!(bench.lab.is_alive());
    }
}

#[tokio::test(start_paused = true)]
async fn a_source_ends_with_its_server_however_it_ends() {
    for end in [ExitReason::Normal, ExitReason::Shutdown, boom(), ExitReason::Kill] {
        let node = Node::new("a");
        let bench = Bench::new(&node, 100).await;
        match end {
            ExitReason::Kill => node.exit(bench.lab.pid(), end),
            end => bench.lab.stop_with(end, ms(100)).await.unwrap(),
        }
        until("the end of its reader", || node.process_count() == 0).await;
        assert_eq!(Arc::strong_count(&bench.alive), 1);
    }
}

#[tokio::test(start_paused = true)]
async fn a_source_that_somebody_else_holds_ends_with_its_server_too() {
    let node = Node::new("a");
    let bench = Bench::new(&node, 100).await;
    let (give, held) = tokio::sync::oneshot::channel();
    bench.act(move |lab, _| assert!(give.send(lab.source.take().unwrap()).is_ok())).await;
    let held = held.await.unwrap();
    bench.lab.stop().await.unwrap();
    until("the end of its reader", || node.process_count() == 0).await;
    assert_eq!(Arc::strong_count(&bench.alive), 1);
    held.active_once();
}

#[tokio::test(start_paused = true)]
async fn the_end_of_a_source_is_one_message_and_no_exit_even_to_a_server_that_traps_exits() {
    let node = Node::new("a");
    let seen = Seen::default();
    let plan = Plan::new(&seen, |mut lab, cx| {
        cx.trap_exit(true);
        let numbers = Numbers { read: Arc::default(), end: 1, _alive: Arc::default() };
        let source = cx.source(numbers, word);
        source.active(10);
        lab.source = Some(source);
        Ok(Init::Ready(lab))
    });
    let lab = Lab::server(plan).on(&node).start().await.unwrap();
    pause(ms(1000)).await;
    assert_eq!(seen.take(), ["chunk 1", "chunk Closed"]);
    assert_eq!(node.process_count(), 1);
    lab.stop().await.unwrap();
}

/// A source of a defect.
struct Broken;

impl Source for Broken {
    type Item = ();

    async fn next(&mut self) -> Option<()> {
        panic!("broken source")
    }
}

#[tokio::test(start_paused = true)]
async fn a_source_that_panics_crashes_its_server() {
    let (lab, _) = lab(&Node::new("a")).await;
    tell(&lab, |lab, cx| {
        let source = cx.source(Broken, word);
        source.active_once();
        lab.source = Some(source);
        noreply()
    });
    let Err(CallError::Exit(reason)) = lab.call(|to| Call::Slow(to, ms(1000))).await else {
        panic!("the server lives")
    };
    assert!(reason.to_string().contains("broken source"), "{reason}");
}

#[tokio::test(start_paused = true)]
async fn a_bounded_mailbox_loses_no_item() {
    let node = Node::new("a");
    let seen = Seen::default();
    let plan = Plan::new(&seen, |mut lab, cx| {
        let numbers = Numbers { read: Arc::default(), end: 5, _alive: Arc::default() };
        let source = cx.source(numbers, word);
        source.active(5);
        lab.source = Some(source);
        Ok(Init::Ready(lab))
    });
    let lab = Lab::server(plan).on(&node).mailbox_bound(1).start().await.unwrap();
    lab.cast(Cast::Slow(ms(100)));
    pause(ms(500)).await;
    let seen = seen.take();
    assert_eq!(seen.iter().filter(|what| what.starts_with("chunk")).count(), 6, "{seen:?}");
}

#[tokio::test(start_paused = true)]
async fn a_slow_server_makes_the_writer_of_a_socket_block() {
    let node = Node::new("a");
    let (lab, seen) = lab(&node).await;
    let (mut near, far) = tokio::io::duplex(8);
    ask(&lab, move |to, lab, cx| {
        lab.source = Some(cx.source(chunks(far, 4), |sourced| match sourced {
            Sourced::Item(Ok(bytes)) => Say::Chunk(String::from_utf8(bytes).unwrap()),
            other => Say::Chunk(format!("{other:?}")),
        }));
        to.reply(0)
    })
    .await
    .unwrap();
    seen.take();
    let written = Arc::<AtomicUsize>::default();
    let progress = written.clone();
    let writer = tokio::spawn(async move {
        for byte in b"abcdefghijklmnopqrstuvwx" {
            near.write_all(&[*byte]).await.unwrap();
            progress.fetch_add(1, Ordering::Relaxed);
        }
    });
    // What fits into the pipe, and not a byte more until the server asks: however long that takes.
    for chunk in ["abcd", "efgh", "ijkl", "mnop", "qrst", "uvwx"] {
        pause(ms(60_000)).await;
        assert_eq!(seen.take(), Vec::<String>::new());
        let room = usize::min(24, written_before(chunk) + 8);
        assert_eq!(written.load(Ordering::Relaxed), room);
        tell(&lab, |lab, _| {
            lab.source.as_ref().unwrap().active_once();
            noreply()
        });
        until("a chunk", || seen.len() == 2).await;
        assert_eq!(seen.take(), ["cast".to_owned(), format!("chunk {chunk}")]);
    }
    writer.await.unwrap();
    tell(&lab, |lab, _| {
        lab.source.as_ref().unwrap().active_once();
        noreply()
    });
    until("the end", || seen.len() == 2).await;
    assert_eq!(seen.take(), ["cast", "chunk Closed"]);
}

fn written_before(chunk: &str) -> usize {
    usize::from(chunk.as_bytes()[0] - b'a')
}

/// A reader that fails.
struct Reset;

impl AsyncRead for Reset {
    fn poll_read(self: Pin<&mut Self>, _: &mut Context<'_>, _: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Err(io::ErrorKind::ConnectionReset.into()))
    }
}

#[tokio::test(start_paused = true)]
async fn an_error_of_a_reader_is_its_last_item() {
    let bench = Bench::new(&Node::new("a"), 0).await;
    bench
        .act(|lab, cx| {
            let source = cx.source(chunks(Reset, 4), |sourced| {
                Say::Chunk(match sourced {
                    Sourced::Item(Err(error)) => format!("{:?}", error.kind()),
                    other => format!("{other:?}"),
                })
            });
            source.active(5);
            lab.source = Some(source);
        })
        .await;
    bench.sees(&["chunk ConnectionReset", "chunk Closed"]).await;
}

/// A stream of one item, then of none for ever, then of another.
struct Later(tokio::sync::mpsc::Receiver<u32>);

impl Stream for Later {
    type Item = u32;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<u32>> {
        self.0.poll_recv(cx)
    }
}

#[tokio::test(start_paused = true)]
async fn an_item_under_way_when_it_is_made_passive_comes_when_it_is_active_again() {
    let bench = Bench::new(&Node::new("a"), 0).await;
    let (send, receive) = tokio::sync::mpsc::channel(2);
    bench
        .act(|lab, cx| {
            let source = cx.source(Later(receive), word);
            source.active_once();
            lab.source = Some(source);
        })
        .await;
    bench.sees(&[]).await;
    bench.act(|lab, _| lab.source.as_ref().unwrap().passive()).await;
    bench.sees(&[]).await;
    send.send(1).await.unwrap();
    send.send(2).await.unwrap_or_else(|_| panic!("the stream is gone"));
    bench.sees(&[]).await;
    bench.act(|lab, _| lab.source.as_ref().unwrap().active(2)).await;
    bench.sees(&["chunk 1", "chunk 2", "chunk Passive"]).await;
    drop(send);
    bench.act(|lab, _| lab.source.as_ref().unwrap().active_once()).await;
    bench.sees(&["chunk Closed"]).await;
}

/// More than could be read in a turn that others wait for.
const MANY: usize = 200_000;

#[tokio::test(start_paused = true)]
async fn a_source_that_is_always_ready_lets_others_run_and_is_made_passive_soon() {
    let bench = Bench::new(&Node::new("a"), MANY).await;
    bench.act(|lab, _| lab.source.as_ref().unwrap().active(usize::MAX)).await;
    until("some items", || bench.read.load(Ordering::Relaxed) > 0).await;
    bench.act(|lab, _| lab.source.as_ref().unwrap().passive()).await;
    pause(ms(1000)).await;
    let read = bench.read.load(Ordering::Relaxed);
    assert!(read < 5_000, "{read} were read");
    let delivered = bench.seen.take().iter().filter(|what| what.starts_with("chunk")).count();
    assert!(delivered <= read && read <= delivered + 1, "{delivered} of {read} came");
}

#[tokio::test(start_paused = true)]
async fn a_source_that_is_always_ready_ends_with_its_server() {
    for (reason, normally) in [(ExitReason::Kill, false), (boom(), false), (ExitReason::Normal, true)] {
        let node = Node::new("a");
        let bench = Bench::new(&node, MANY).await;
        bench.act(|lab, _| lab.source.as_ref().unwrap().active(usize::MAX)).await;
        until("some items", || bench.read.load(Ordering::Relaxed) > 0).await;
        if normally {
            bench.lab.stop().await.unwrap();
        } else {
            node.exit(bench.lab.pid(), reason);
        }
        until("the end of both", || node.process_count() == 0).await;
        let read = bench.read.load(Ordering::Relaxed);
        assert!(read < 5_000, "{read} were read");
        assert_eq!(Arc::strong_count(&bench.alive), 1);
    }
}
