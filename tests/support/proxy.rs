//! A way to a server that a test can cut, or on which answers are lost.

#![allow(dead_code)]

use std::net::SocketAddr;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinHandle;

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Way {
    Open,
    /// What is asked arrives; what is answered does not.
    Deaf,
    /// All connections are reset, and none is made.
    Cut,
}

/// Carries bytes between whoever connects and one address.
pub struct Proxy {
    address: SocketAddr,
    way: watch::Sender<Way>,
    accepts: JoinHandle<()>,
}

impl Proxy {
    pub async fn to(target: String) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (way, sees) = watch::channel(Way::Open);
        let accepts = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(carry(stream, target.clone(), sees.clone()));
            }
        });
        Proxy { address, way, accepts }
    }

    pub fn address(&self) -> String {
        self.address.to_string()
    }

    pub fn open(&self) {
        self.way.send_replace(Way::Open);
    }

    pub fn lose_answers(&self) {
        self.way.send_replace(Way::Deaf);
    }

    pub fn cut(&self) {
        self.way.send_replace(Way::Cut);
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.accepts.abort();
        self.cut();
    }
}

async fn carry(near: TcpStream, target: String, mut way: watch::Receiver<Way>) {
    if *way.borrow() == Way::Cut {
        return;
    }
    let Ok(far) = TcpStream::connect(target).await else { return };
    near.set_nodelay(true).unwrap();
    far.set_nodelay(true).unwrap();
    let (near, far) = (near.into_split(), far.into_split());
    tokio::select! {
        () = pump(near.0, far.1, None) => {}
        () = pump(far.0, near.1, Some(way.clone())) => {}
        // Both are dropped with all that is under way.
        _ = way.wait_for(|way| *way == Way::Cut) => {}
    }
}

/// Carries one direction, unless `way` says that it loses what it should carry. What is lost is not made up for: the connection
/// carries nothing more.
async fn pump(mut from: OwnedReadHalf, mut to: OwnedWriteHalf, mut way: Option<watch::Receiver<Way>>) {
    let mut bytes = vec![0; 16 * 1024];
    loop {
        let Ok(read) = from.read(&mut bytes).await else { return };
        if read == 0 {
            return;
        }
        if let Some(way) = &mut way {
            // The proxy is gone, or the connection is as good as cut.
            let Ok(way) = way.wait_for(|way| *way != Way::Deaf).await else { return };
            if *way == Way::Cut {
                return;
            }
        }
        if to.write_all(&bytes[..read]).await.is_err() {
            return;
        }
    }
}
