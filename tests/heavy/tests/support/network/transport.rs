//! The seam of the distribution, on turmoil's TCP.

use incarnate::node::{Listener, Pending, Stream, Transport};
use turmoil::net::{TcpListener, TcpStream};

/// The network that turmoil simulates.
pub struct Turmoil;

impl Transport for Turmoil {
    fn connect<'a>(&'a self, to: &'a str) -> Pending<'a, Box<dyn Stream>> {
        Box::pin(async move { Ok(Box::new(TcpStream::connect(to).await?) as Box<dyn Stream>) })
    }

    fn listen<'a>(&'a self, at: &'a str) -> Pending<'a, Box<dyn Listener>> {
        Box::pin(async move { Ok(Box::new(Accepts(TcpListener::bind(at).await?)) as Box<dyn Listener>) })
    }
}

struct Accepts(TcpListener);

impl Listener for Accepts {
    fn accept(&mut self) -> Pending<'_, Box<dyn Stream>> {
        Box::pin(async move {
            let (stream, _) = self.0.accept().await?;
            Ok(Box::new(stream) as Box<dyn Stream>)
        })
    }

    fn address(&self) -> String {
        self.0.local_addr().map_or_else(|_| String::new(), |address| address.to_string())
    }
}
