//! Transports that are not like TCP.

use std::sync::Mutex;
use std::time::Duration;

use incarnate::node::{Cookie, Distribution, Listener, NotConnected, Pending, Stream, Tcp, Transport};
use tokio::io::{AsyncReadExt, BufWriter, DuplexStream, duplex};

use crate::basics::{COUNTER, Call, Cast, counter};
use crate::pair::{COOKIE, Pair};
use crate::probe::node;
use crate::wait::in_time;

/// Holds back all that is written until it is flushed.
struct Buffered;

fn buffered(stream: Box<dyn Stream>) -> Box<dyn Stream> {
    Box::new(BufWriter::with_capacity(1 << 20, stream))
}

impl Transport for Buffered {
    fn connect<'a>(&'a self, to: &'a str) -> Pending<'a, Box<dyn Stream>> {
        Box::pin(async move { Ok(buffered(Tcp.connect(to).await?)) })
    }

    fn listen<'a>(&'a self, at: &'a str) -> Pending<'a, Box<dyn Listener>> {
        Box::pin(async move { Ok(Box::new(Accepts(Tcp.listen(at).await?)) as Box<dyn Listener>) })
    }
}

struct Accepts(Box<dyn Listener>);

impl Listener for Accepts {
    fn accept(&mut self) -> Pending<'_, Box<dyn Stream>> {
        Box::pin(async move { Ok(buffered(self.0.accept().await?)) })
    }

    fn address(&self) -> String {
        self.0.address()
    }
}

#[tokio::test]
async fn what_a_transport_holds_back_is_flushed_when_nothing_more_is_said() {
    let pair = Pair::connected_by(Buffered, Buffered).await;
    counter(&pair.a).await;
    pair.on_a.expose(COUNTER);
    let there = COUNTER.at(&pair.b, pair.a.id());
    for n in 1..=20 {
        there.cast(Cast::Add(1));
        assert_eq!(in_time(there.call(|to| Call::Add(1, to))).await, Ok(2 * n));
    }
    pair.cut().await;
}

/// Reaches whoever is there, but takes its time.
struct Slow(Mutex<Option<DuplexStream>>);

impl Transport for Slow {
    fn connect<'a>(&'a self, _: &'a str) -> Pending<'a, Box<dyn Stream>> {
        Box::pin(async move {
            let stream = self.0.lock().unwrap().take().unwrap();
            tokio::time::sleep(Duration::from_secs(6)).await; // sleep: longer than a handshake may take, in virtual time
            Ok(Box::new(stream) as Box<dyn Stream>)
        })
    }

    fn listen<'a>(&'a self, at: &'a str) -> Pending<'a, Box<dyn Listener>> {
        Tcp.listen(at)
    }
}

#[tokio::test(start_paused = true)]
async fn who_is_reached_too_late_is_let_go() {
    let (near, mut far) = duplex(64);
    let transport = Slow(Mutex::new(Some(near)));
    let a = node();
    let here = Distribution::of(&a, Cookie::new(COOKIE)).transport(transport).start().await.unwrap();
    assert_eq!(here.connect("far away").await, Err(NotConnected::Timeout));
    // Nothing is said there, and nothing is held.
    let mut heard = Vec::new();
    let read = tokio::time::timeout(Duration::from_secs(60), far.read_to_end(&mut heard)).await;
    assert!(matches!(read, Ok(Ok(0))), "{read:?}");
}
