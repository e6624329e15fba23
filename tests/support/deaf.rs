//! A transport on which one end can be told to take no more, and two nodes that are connected over it.

use std::io;
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Waker};

use incarnate::Node;
use incarnate::node::{Listener, Pending, Stream, Tcp, Transport};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use crate::pair::{Pair, distribution};

/// TCP on which a node's messages cannot be written while the other end does not read: as when the buffers of the system
/// are full, without the time that these take. The first to connect is the one, with its lane of control first.
#[derive(Clone, Default)]
pub struct Deaf(Arc<Mutex<Ear>>);

#[derive(Default)]
struct Ear {
    is_deaf: bool,
    waits: Option<Waker>,
}

impl Deaf {
    /// Takes no more, or again.
    pub fn set(&self, is_deaf: bool) {
        let mut ear = self.0.lock().unwrap();
        ear.is_deaf = is_deaf;
        ear.waits.take().into_iter().for_each(Waker::wake);
    }

    /// Whether somebody waits to write.
    pub fn is_met(&self) -> bool {
        self.0.lock().unwrap().waits.is_some()
    }
}

impl Transport for Deaf {
    fn connect<'a>(&'a self, to: &'a str) -> Pending<'a, Box<dyn Stream>> {
        Tcp.connect(to)
    }

    fn listen<'a>(&'a self, at: &'a str) -> Pending<'a, Box<dyn Listener>> {
        Box::pin(async move {
            let listener = DeafListener { tcp: Tcp.listen(at).await?, accepted: 0, ear: self.clone() };
            Ok(Box::new(listener) as Box<dyn Listener>)
        })
    }
}

struct DeafListener {
    tcp: Box<dyn Listener>,
    accepted: usize,
    ear: Deaf,
}

impl Listener for DeafListener {
    fn accept(&mut self) -> Pending<'_, Box<dyn Stream>> {
        Box::pin(async move {
            let stream = self.tcp.accept().await?;
            self.accepted += 1;
            let ear = matches!(self.accepted, 2 | 3).then(|| self.ear.clone());
            Ok(Box::new(DeafStream { stream, ear }) as Box<dyn Stream>)
        })
    }

    fn address(&self) -> String {
        self.tcp.address()
    }
}

struct DeafStream {
    stream: Box<dyn Stream>,
    ear: Option<Deaf>,
}

impl AsyncRead for DeafStream {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        into: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(cx, into)
    }
}

impl AsyncWrite for DeafStream {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        if let Some(ear) = &self.ear {
            let mut ear = ear.0.lock().unwrap();
            if ear.is_deaf {
                ear.waits = Some(cx.waker().clone());
                return Poll::Pending;
            }
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

/// Bytes that may wait to be sent to the deaf one.
pub const BOUND: usize = 64 << 10;

/// Two nodes of which b can be told to take no more from a.
pub async fn deafenable() -> (Pair, Deaf) {
    let (a, b) = (Node::new("a"), Node::new("b"));
    let ear = Deaf::default();
    let on_a = distribution(&a).transport(ear.clone()).queue_bound(BOUND).start().await.unwrap();
    let pair = Pair { on_b: distribution(&b).start().await.unwrap(), on_a, a, b };
    pair.connect().await;
    (pair, ear)
}
