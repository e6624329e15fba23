//! supervisor: processes that start, watch, restart and end other processes.
//!
//! What a supervisor does is decided by the pure machine of `incarnate-supervisors`; here is the process that acts on
//! it, itself a gen_server. A **tree is a value**: built from specifications and other trees, printed and compared
//! before it runs, and asked for with pids while it does.
//!
//! ```
//! use incarnate::supervisor::{ChildSpec, Restart, Strategy, Supervisor};
//! use incarnate::{CallReply, Context, GenServer, Init, Name, Never, Node, ReplyTo, Result};
//! use std::time::Duration;
//!
//! enum Call { Balance(ReplyTo<i64>) }
//! const LEDGER: Name<Call> = Name::new("ledger");
//!
//! struct Ledger(i64);
//!
//! impl GenServer for Ledger {
//!     type Args = i64;
//!     type Call = Call;
//!     type Cast = Never;
//!     type Info = Never;
//!     type Continue = Never;
//!
//!     async fn init(balance: i64, _: &mut Context<Self>) -> Result<Init<Self>> {
//!         Ok(Init::Ready(Ledger(balance)))
//!     }
//!     async fn handle_call(&mut self, call: Call, _: &mut Context<Self>) -> Result<CallReply> {
//!         match call { Call::Balance(caller) => caller.reply(self.0) }
//!     }
//! }
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let ledger = ChildSpec::worker("ledger", || Ledger::server(100).name(LEDGER).start_link());
//! let audit = ChildSpec::worker("audit", || Ledger::start_link(0)).restart(Restart::Transient);
//! let bank = Supervisor::tree("bank")
//!     .strategy(Strategy::OneForAll)
//!     .intensity(3, Duration::from_secs(5))
//!     .child(ledger)
//!     .child(Supervisor::tree("back office").child(audit));
//! assert_eq!(
//!     bank.to_string(),
//!     "bank supervisor one_for_all\n  \
//!        ledger worker permanent\n  \
//!        back office supervisor one_for_one permanent\n    \
//!          audit worker transient\n"
//! );
//!
//! let node = Node::new("example");
//! let bank = bank.on(&node).start().await?;
//! assert_eq!(LEDGER.on(&node)?.call(Call::Balance).await?, 100);
//! println!("{}", bank.tree().await?); // the same, with pids
//! bank.stop().await?;
//! # Ok(())
//! # }
//! ```
//!
//! # What is OTP's, and what is not
//!
//! Every rule of OTP's `supervisor` holds: order of starts and ends, restart intensity, retries, significant children,
//! the answers of each request. Three things are other, because Rust is:
//!
//! - What OTP finds out at run time is often a type here: a [`DynamicSupervisor`] (OTP's simple_one_for_one) has no
//!   request that would answer `{error, simple_one_for_one}`, and a tree without a start function cannot be written.
//! - A start function that answers a process which is not linked to the supervisor has it linked by the supervisor: to write `start`
//!   for `start_link` leaves no process unwatched.
//! - A supervisor has no `init` that could answer ignore. Where what it supervises depends on the moment of its start,
//!   write a start function that builds the tree, or answers [`StartError::Ignore`](crate::StartError::Ignore).

mod cause;
mod child;
mod dynamic;
mod ends;
mod error;
mod kind;
mod live;
mod order;
mod partition;
mod reference;
mod report;
mod server;
mod tree;

pub use cause::FailedToStartChild;
pub use child::{Child, ChildSpec, Member};
pub use dynamic::{DynamicSupervisor, DynamicSupervisorName, DynamicSupervisorRef};
pub use error::{
    ChangeError, DeleteChildError, LookupError, RestartChildError, StartChildError, TerminateChildError,
};
pub use incarnate_supervisors::{
    AutoShutdown, Backoff, ChildId, ChildSpec as Specification, ChildState, ChildType, Counts, FlagsError,
    InitError, Restart, Shutdown, SpecError, Strategy,
};
pub use order::{Note, Order};
pub use partition::{PartitionSupervisor, PartitionSupervisorRef, Partitions};
pub use reference::{SupervisorName, SupervisorRef};
pub use tree::{Supervisor, Tree};

use crate::term::Pid;

/// One entry of which_children.
pub type ChildInfo = incarnate_supervisors::ChildInfo<Pid>;

/// A supervision tree as it is or would be: ids, types, strategies, and the pids of those that run. Printable and
/// comparable.
pub type LiveTree = incarnate_supervisors::Tree<Pid>;
