//! A node that stops reading.

use std::io;
use std::pin::Pin;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Waker};

use incarnate::Node;
use incarnate::node::{Cookie, Distribution, Listener, Pending, Stream, Tcp, Transport};
use incarnate::process::SendError;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use crate::basics::{COUNTER, Call, Cast, counter};
use crate::pair::{COOKIE, distribution};
use crate::wait::in_time;

/// TCP whose lane of messages can be told to read no more. Lanes are dialled in their order: control, messages, bulk.
#[derive(Clone, Default)]
struct Deaf {
    dialled: Arc<AtomicUsize>,
    ear: Arc<Mutex<Ear>>,
}

#[derive(Default)]
struct Ear {
    is_deaf: bool,
    waits: Option<Waker>,
}

impl Deaf {
    fn set(&self, is_deaf: bool) {
        let mut ear = self.ear.lock().unwrap();
        ear.is_deaf = is_deaf;
        ear.waits.take().into_iter().for_each(Waker::wake);
    }
}

impl Transport for Deaf {
    fn connect<'a>(&'a self, to: &'a str) -> Pending<'a, Box<dyn Stream>> {
        Box::pin(async move {
            let stream = Tcp.connect(to).await?;
            let lane = self.dialled.fetch_add(1, Ordering::SeqCst);
            let deaf = DeafStream { stream, ear: (lane == 1).then(|| self.ear.clone()) };
            Ok(Box::new(deaf) as Box<dyn Stream>)
        })
    }

    fn listen<'a>(&'a self, at: &'a str) -> Pending<'a, Box<dyn Listener>> {
        Tcp.listen(at)
    }
}

struct DeafStream {
    stream: Box<dyn Stream>,
    ear: Option<Arc<Mutex<Ear>>>,
}

impl AsyncRead for DeafStream {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        into: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if let Some(ear) = &self.ear {
            let mut ear = ear.lock().unwrap();
            if ear.is_deaf {
                ear.waits = Some(cx.waker().clone());
                return Poll::Pending;
            }
        }
        Pin::new(&mut self.stream).poll_read(cx, into)
    }
}

impl AsyncWrite for DeafStream {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

/// What waits for it is bounded, who sends is told, others notice nothing; and when it reads again, all that was taken
/// arrives, in order and once.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_that_stops_reading_is_told_to_its_senders_and_nobody_else_notices() {
    const BOUND: usize = 64 << 10;
    let (here, deaf, other) = (Node::new("here"), Node::new("deaf"), Node::new("other"));
    let on_here = distribution(&here).queue_bound(BOUND).start().await.unwrap();
    let address = on_here.address().unwrap();
    let ear = Deaf::default();
    let start = |node| Distribution::of(node, Cookie::new(COOKIE));
    let on_deaf = start(&deaf).transport(ear.clone()).start().await.unwrap();
    let on_other = start(&other).start().await.unwrap();
    for (node, on_node) in [(&deaf, &on_deaf), (&other, &on_other)] {
        counter(node).await;
        on_node.expose(COUNTER);
        in_time(on_node.connect(address)).await.unwrap();
    }
    while on_here.nodes().len() < 2 {
        tokio::task::yield_now().await;
    }
    let [to_deaf, to_other] = ["deaf", "other"].map(|name| COUNTER.at(&here, name));
    assert_eq!(in_time(to_deaf.call(|to| Call::Add(0, to))).await, Ok(0));
    ear.set(true);
    // Until the buffers of the system are full, and then the bound.
    let mut taken = 0;
    while to_deaf.try_cast(Cast::Add(1)).is_ok() {
        taken += 1;
        if taken % 1000 == 0 {
            tokio::task::yield_now().await;
        }
    }
    assert_eq!(to_deaf.try_cast(Cast::Add(1)), Err(SendError::Overloaded));
    let view = on_here.view().await;
    let queued = view.iter().find(|peer| peer.name == "deaf").unwrap().queued_bytes;
    assert!(queued <= BOUND, "{queued}");
    assert_eq!(in_time(to_other.call(|to| Call::Add(1, to))).await, Ok(1));
    // It is there all the same: its heart beats on a lane of its own.
    assert_eq!(on_here.nodes(), ["deaf", "other"]);
    ear.set(false);
    in_time(async {
        while to_deaf.call(|to| Call::Add(0, to)).await != Ok(taken) {
            tokio::task::yield_now().await;
        }
    })
    .await;
}
