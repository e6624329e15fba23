//! OTP for Rust: processes with links and monitors, gen_server, gen_statem and gen_event, supervision trees, applications and
//! tasks.
//!
//! A [`Node`] is where processes live. A [`GenServer`] is a process that keeps a state and serves requests; a [`Supervisor`]
//! starts it and starts it again when it crashes; a [`Name`] is where others find it, whichever process it is by then.
//!
//! ```
//! use incarnate::supervisor::{ChildSpec, Supervisor};
//! use incarnate::{CallReply, Context, GenServer, Init, Name, Never, Node, ReplyTo, Result};
//!
//! enum Call { Next(ReplyTo<u64>) }
//! const TICKETS: Name<Call> = Name::new("tickets");
//!
//! struct Tickets(u64);
//!
//! impl GenServer for Tickets {
//!     type Args = ();
//!     type Call = Call;
//!     type Cast = Never;
//!     type Info = Never;
//!     type Continue = Never;
//!
//!     async fn init(_: (), _: &mut Context<Self>) -> Result<Init<Self>> {
//!         Ok(Init::Ready(Tickets(0)))
//!     }
//!     async fn handle_call(&mut self, Call::Next(caller): Call, _: &mut Context<Self>) -> Result<CallReply> {
//!         self.0 += 1;
//!         caller.reply(self.0)
//!     }
//! }
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let node = Node::new("example");
//! let tickets = ChildSpec::worker("tickets", || Tickets::server(()).name(TICKETS).start_link());
//! let top = Supervisor::tree("top").child(tickets).on(&node).start().await?;
//! assert_eq!(TICKETS.on(&node)?.call(Call::Next).await?, 1);
//! top.stop().await?;
//! # Ok(())
//! # }
//! ```
//!
//! # Where to find what
//!
//! | module | for | OTP |
//! |---|---|---|
//! | [`process`] | spawn, mailboxes, links, monitors, names, aliases, timers; references and calls | `erlang`, `timer` |
//! | [`gen_server`] | servers: the trait, its context, what callbacks return | `gen_server` |
//! | [`gen_statem`] | state machines: the trait, events, what callbacks return | `gen_statem` |
//! | [`gen_event`] | events for handlers that come and go | `gen_event` |
//! | [`application`] | units that are started, configured and stopped as a whole; the main function of a service | `application` |
//! | [`supervisor`] | trees, dynamic and partition supervisors | `supervisor` |
//! | [`task`] | values from processes of their own | Elixir's `Task` |
//! | [`handoff`] | state on its way from one version to another: versions, the capsule | `code_change` |
//! | [`node`] | nodes that reach each other | `net_kernel`, the distribution |
//! | [`pg`] | groups of processes across nodes | `pg` |
//! | [`shard`] | processes addressed by a key, copied and taken over | |
//! | [`sys`] | suspend a process, look inside, watch it | `sys` |
//! | [`term`] | pids, exit reasons, names: data | |
//!
//! What is used every day stands at the top of the crate. `docs/semantics.md` in the repository has the guarantees on one page,
//! and `docs/book` the way through it all.
//!
//! # Nodes
//!
//! The feature `cluster`, on by default, has the modules [`node`], [`pg`] and [`shard`]. A build without it (`default-features = false`) has no
//! network code and no cryptography. `tls`, off by default, has nodes prove who they are by certificates and say nothing that
//! others can read. `etcd`, off by default, has an etcd keep who owns which shard; it takes `protoc` to build.
//!
//! # Metrics
//!
//! The feature `metrics`, off by default, counts through the facade crate of that name; `Node::observe` samples what is not
//! counted where it happens. The book's chapter "Watching a system" has the names.
//!
//! # What it asks of a program
//!
//! A tokio runtime with timers, and `panic = "unwind"`, which is the default: a panic ends its process and no other. A callback
//! that does not wait cannot be ended from outside; [`ServerMe::blocking`](gen_server::ServerMe::blocking) runs such work elsewhere.

// What processes have ready for other nodes, nobody uses without them.
#![cfg_attr(
    not(feature = "cluster"),
    expect(dead_code, unused_imports, reason = "nodes are not compiled in")
)]

pub mod application;
pub mod gen_event;
pub mod gen_server;
pub mod gen_statem;
pub mod handoff;
#[cfg(feature = "cluster")]
pub mod node;
#[cfg(feature = "cluster")]
pub mod pg;
pub mod process;
#[cfg(feature = "cluster")]
pub mod shard;
pub mod supervisor;
pub mod sys;
pub mod task;
pub mod term;
pub mod upgrade;

pub use application::{App, Application, Run};
pub use gen_event::{EventHandler, EventManager, EventManagerName, EventManagerRef, Handler};
pub use gen_server::{CallReply, Context, GenServer, Init, Next, StartError, Then, noreply, stop};
pub use gen_statem::GenStatem;
pub use process::{
    CallError, Down, Error, Exit, Info, Me, Node, Process, ProcessRef, ReplyTo, Result, ServerRef, StopError,
    Timeout,
};
pub use supervisor::{ChildSpec, DynamicSupervisor, PartitionSupervisor, Supervisor, SupervisorRef, Tree};
pub use task::{Task, TaskError, TaskSupervisor, let_it_crash};
pub use term::{ExitReason, MonitorRef, Name, Never, NodeId, Pid, Term, TimerRef};
