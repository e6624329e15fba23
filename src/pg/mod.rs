//! Groups of processes across nodes: whoever is in a group is found by its name from every node.
//!
//! A *scope* is a server on each node that takes part, and knows all members on all of them: what joins or leaves on one
//! node is told to the others, and who is on a node that is lost is in no group there. There is no leader and no agreement:
//! nodes see changes at different times, and all the same in the end. Source: OTP's `pg`.
//!
//! ```
//! use incarnate::node::{Cookie, Distribution};
//! use incarnate::pg::{Group, Scope};
//! use incarnate::{Info, Never, Node, Process, ProcessRef};
//!
//! const ROOM: Group<Never, Never, String> = Group::new("room");
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let (a, b) = (Node::new("a"), Node::new("b"));
//! let cookie = Cookie::new("a secret of sixteen bytes or more");
//! let on_a = Distribution::of(&a, cookie.clone()).listen("127.0.0.1:0").start().await?;
//! let on_b = Distribution::of(&b, cookie).start().await?;
//! let (chat_a, chat_b) = (Scope::of(&a, "chat"), Scope::of(&b, "chat"));
//! chat_a.start().await?;
//! chat_b.start().await?;
//! on_b.connect(on_a.address().unwrap()).await?;
//!
//! # let (tell, told) = tokio::sync::oneshot::channel();
//! let ann: ProcessRef<String> = a.spawn(move |mut me: Process<String>| async move {
//!     if let Info::User(line) = me.receive().await {
//! #       let _ = tell.send(line.clone());
//!         println!("ann hears: {line}");
//!     }
//! });
//! chat_a.join(&ROOM, &ann).await?;
//! // Soon, not at once: node b is told.
//! while chat_b.members(&ROOM).is_empty() {
//!     tokio::task::yield_now().await;
//! }
//! for member in chat_b.members(&ROOM) {
//!     member.send("hello from b".to_owned());
//! }
//! # assert_eq!(told.await?, "hello from b");
//! # Ok(())
//! # }
//! ```

mod bag;
mod change;
mod error;
mod group;
mod groups;
mod letter;
mod outbox;
mod scope;
mod server;
#[cfg(test)]
mod simulation;
mod table;

pub use change::Change;
pub use error::{JoinError, LeaveError, MonitorError};
pub use group::Group;
pub use groups::Event;
pub use scope::{DEFAULT_SCOPE, Scope};
