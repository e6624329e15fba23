//! Nodes that reach each other: pids, names, calls, links, monitors and exit signals between them, and news of a node that
//! is lost.
//!
//! A process is used the same wherever it lives: a [`ServerRef`](crate::ServerRef) that came in a message is called, linked
//! to and monitored as one of this node. What crosses serialises ([`Wire`](crate::process::Wire)), and what cannot be
//! reached says so by [`ExitReason::NoConnection`](crate::ExitReason::NoConnection). Source: OTP's `net_kernel`, the
//! distribution protocol, and the reference manual's chapter "Distributed Erlang".
//!
//! ```
//! use incarnate::node::{Cookie, Distribution};
//! use incarnate::{CallReply, Context, GenServer, Init, Name, Never, Node, ReplyTo, Result};
//! use serde::{Deserialize, Serialize};
//!
//! #[derive(Serialize, Deserialize)]
//! enum Call { Add(i64, ReplyTo<i64>) }
//! const COUNTER: Name<Call> = Name::new("counter");
//!
//! struct Counter(i64);
//!
//! impl GenServer for Counter {
//!     type Args = ();
//!     type Call = Call;
//!     type Cast = Never;
//!     type Info = Never;
//!     type Continue = Never;
//!
//!     async fn init(_: (), _: &mut Context<Self>) -> Result<Init<Self>> {
//!         Ok(Init::Ready(Counter(0)))
//!     }
//!     async fn handle_call(&mut self, Call::Add(n, caller): Call, _: &mut Context<Self>) -> Result<CallReply> {
//!         self.0 += n;
//!         caller.reply(self.0)
//!     }
//! }
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let (a, b) = (Node::new("a"), Node::new("b"));
//! let cookie = Cookie::new("a secret of sixteen bytes or more");
//! let on_a = Distribution::of(&a, cookie.clone()).listen("127.0.0.1:0").start().await?;
//! let on_b = Distribution::of(&b, cookie).start().await?;
//! Counter::server(()).name(COUNTER).on(&a).start().await?;
//! on_a.expose(COUNTER);
//!
//! let there = on_b.connect(on_a.address().unwrap()).await?;
//! assert_eq!(COUNTER.at(&b, there).call(|to| Call::Add(2, to)).await?, 2);
//! # Ok(())
//! # }
//! ```

mod broadcast;
mod connection;
mod distribution;
mod driver;
mod failures;
mod frame;
#[cfg(test)]
mod glare;
mod handshake;
mod lane;
mod late;
#[cfg(test)]
mod lies;
mod machine;
mod outbound;
mod remote;
mod shared;
#[cfg(test)]
mod simulation;
mod spawn;
#[cfg(feature = "tls")]
mod tls;
mod transport;

pub use crate::process::elsewhere::PeerInfo;
pub use broadcast::Replies;
pub use distribution::{Distribution, Start, StartError};
pub use handshake::{Cookie, NotConnected, RefusedBecause};
pub use machine::DownBecause;
pub use remote::RemoteName;
pub(crate) use shared::Shared;
pub use spawn::{SpawnError, Spawnable};
#[cfg(feature = "tls")]
pub use tls::{Tls, TlsError};
pub use transport::{Listener, Pending, Stream, Tcp, Transport};
