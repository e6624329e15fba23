//! Processes: one ordered mailbox each, links, monitors, exit signals, names, aliases and timers.
//!
//! A process lives in a *shell*, a ractor actor that is never seen outside this folder. What others hold is its
//! *cell*; what runs in it is its *incarnation*. Semantics are Erlang's, the reference manual's chapter "Processes"
//! is the specification.

mod address;
mod alias;
mod catch;
mod cell;
mod codes;
mod current;
mod deadlines;
mod death;
pub(crate) mod debug;
mod error;
mod inbox;
mod info;
mod life;
mod me;
pub(crate) mod meter;
mod node;
mod ordered;
mod registry;
mod relations;
mod reply;
mod report;
mod request;
mod shell;
mod signal;
mod slots;
mod spawn;
mod system;
mod table;
mod timer;
mod timers;
mod wait;
mod watch;

pub use address::{Message, ProcessRef, ServerRef, StopError};
pub use alias::Alias;
pub use cell::Callback;
pub use error::{CallError, Error, NoProc, Result, SendError, Timeout};
pub use info::ProcessInfo;
pub use me::{Me, MonitorOptions, RegisterError, Target};
#[cfg(feature = "metrics")]
pub use meter::Observer;
pub use node::Node;
pub use relations::AliasMode;
pub use reply::ReplyTo;
pub use request::{Request, Requests, Response};
pub use signal::{Down, Exit, Info, Object};
pub use spawn::{IntoExit, Process, SpawnOptions};
pub use timer::{IntervalTooShort, Recipient, UnknownTimer};

pub(crate) use address::watch_end;
pub(crate) use alias::unalias;
pub(crate) use catch::{catch, drop_caught};
pub(crate) use cell::{By as ExitBy, Cell, Core, Envelope, Process as AnyProcess, Timed};
pub(crate) use codes::{AnyCode, CodeId, Hold, Pass};
pub(crate) use inbox::{FAIRNESS, Inbox, ParkedInbox};
pub(crate) use life::{Incarnation, Life, Outcome};
pub(crate) use me::{Linked, link, link_child, locate, monitor, register, unlink};
pub(crate) use relations::Group;
pub(crate) use signal::{Shape, Signal, Successor, System};
pub(crate) use slots::{Failure, Pending, SlotId, fail, fill, is_waiting, open};
pub(crate) use system::{is_system, reaches_suspended, serve};
pub(crate) use timers::start as start_timer;
pub(crate) use wait::answer;

pub(crate) fn start_life(node: &Node, life: Life) {
    shell::start(node, life);
}
