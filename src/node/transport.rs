//! What carries bytes between nodes: a seam, so that the same code runs on TCP and on a simulated network.

use std::fmt;
use std::future::Future;
use std::io;
use std::pin::Pin;

use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};

/// A future of a transport.
pub type Pending<'a, T> = Pin<Box<dyn Future<Output = io::Result<T>> + Send + 'a>>;

/// Bytes in both directions, in order, none twice; or an error.
///
/// It is flushed when nothing more is to be written for now, and shut down before it is dropped, if time allows. An error of
/// the kind [`InvalidData`](io::ErrorKind::InvalidData) says what is wrong with whoever is at the other end: it is told to
/// who wanted the connection, and an event.
pub trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}

impl<S: AsyncRead + AsyncWrite + Send + Unpin> Stream for S {}

/// Opens connections to others.
pub trait Transport: Send + Sync + 'static {
    /// A new connection to whoever listens there.
    ///
    /// # Errors
    /// Nobody does, or cannot be reached.
    fn connect<'a>(&'a self, to: &'a str) -> Pending<'a, Box<dyn Stream>>;

    /// Listens at an address of this machine.
    ///
    /// # Errors
    /// The address is none of this machine's, or is in use.
    fn listen<'a>(&'a self, at: &'a str) -> Pending<'a, Box<dyn Listener>>;

    /// Whether others on the network cannot read what it carries: false, unless said otherwise. A node that listens without
    /// says so in a warning, unless only its own machine reaches it.
    fn encrypts(&self) -> bool {
        false
    }
}

/// Where others connect to.
pub trait Listener: Send + 'static {
    /// The next connection. What takes long, such as a handshake of the transport's own, is left to the stream, whose first
    /// reads it delays: who connects and says nothing keeps nobody waiting.
    ///
    /// # Errors
    /// This one failed; the listener goes on.
    ///
    /// # Cancel safety
    /// None is lost.
    fn accept(&mut self) -> Pending<'_, Box<dyn Stream>>;

    /// Where it listens, as others reach it.
    fn address(&self) -> String;
}

/// TCP.
#[derive(Clone, Copy, Default)]
pub struct Tcp;

impl Transport for Tcp {
    fn connect<'a>(&'a self, to: &'a str) -> Pending<'a, Box<dyn Stream>> {
        Box::pin(async move { Ok(Box::new(dial(to).await?) as Box<dyn Stream>) })
    }

    fn listen<'a>(&'a self, at: &'a str) -> Pending<'a, Box<dyn Listener>> {
        Box::pin(async move { Ok(Box::new(TcpListener::bind(at).await?) as Box<dyn Listener>) })
    }
}

pub(super) async fn dial(to: &str) -> io::Result<TcpStream> {
    without_delay(TcpStream::connect(to).await?)
}

/// A message waits for nothing: what goes together is written together.
pub(super) fn without_delay(stream: TcpStream) -> io::Result<TcpStream> {
    stream.set_nodelay(true)?;
    Ok(stream)
}

impl Listener for TcpListener {
    fn accept(&mut self) -> Pending<'_, Box<dyn Stream>> {
        Box::pin(async move {
            let (stream, _) = TcpListener::accept(self).await?;
            Ok(Box::new(without_delay(stream)?) as Box<dyn Stream>)
        })
    }

    fn address(&self) -> String {
        self.local_addr().map_or_else(|_| String::new(), |address| address.to_string())
    }
}

impl fmt::Debug for Tcp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Tcp")
    }
}
