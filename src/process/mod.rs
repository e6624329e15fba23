//! Processes: one ordered mailbox each, links, monitors, exit signals, names, aliases and timers.
//!
//! A process lives in a *shell*, a ractor actor that is never seen outside this folder. What others hold is its
//! *cell*; what runs in it is its *incarnation*. Semantics are Erlang's, the reference manual's chapter "Processes"
//! is the specification.

mod address;
mod alias;
mod callback;
mod catch;
mod cell;
mod codes;
mod current;
mod deadlines;
mod death;
pub(crate) mod debug;
pub(crate) mod elsewhere;
mod envelope;
mod error;
mod inbox;
mod info;
mod life;
mod me;
pub(crate) mod meter;
mod next;
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
pub(crate) mod wire;

pub(crate) use address::Asked;
pub use address::{Message, ProcessRef, ServerRef, StopError};
pub use alias::Alias;
pub use callback::Callback;
pub use elsewhere::Wire;
pub use error::{CallError, Error, NoProc, Result, SendError, Timeout, Unsendable};
pub use info::ProcessInfo;
pub use me::{Me, MonitorOptions, RegisterError, Target};
#[cfg(feature = "metrics")]
pub use meter::Observer;
pub use node::Node;
pub(crate) use node::WeakNode;
pub use relations::AliasMode;
pub use reply::ReplyTo;
pub use request::{Request, Requests, Response};
pub use signal::{Down, Exit, Info, Object};
pub use spawn::{IntoExit, Process, SpawnOptions};
pub use timer::{IntervalTooShort, Recipient, UnknownTimer};

pub(crate) use alias::unalias;
pub(crate) use catch::{catch, drop_caught, panic_reason};
pub(crate) use cell::{By as ExitBy, Cell, Core, Process as AnyProcess, Rejected};
pub(crate) use codes::{AnyCode, CodeId, Hold, Pass};
pub(crate) use current::hold_back;
pub(crate) use death::{lose, tell as tell_monitor, tell_link, watches};
pub(crate) use envelope::{Envelope, Timed};
pub(crate) use inbox::{FAIRNESS, Inbox, ParkedInbox};
pub(crate) use life::{Incarnation, Life, Outcome};
pub(crate) use me::sealed::Target as SealedTarget;
pub(crate) use me::{
    Linked, adopt_monitor, demonitor, link, link_child, locate, monitor_by, register, unlink,
};
pub(crate) use relations::Group;
pub(crate) use reply::Rows;
pub(crate) use signal::{Shape, Signal, Successor, System};
pub(crate) use slots::{Failure, Pending, SlotId, fail, fill, is_waiting, open};
pub(crate) use spawn::spawn;
pub(crate) use system::{is_system, reaches_suspended, serve};
pub(crate) use timers::{start as start_timer, start_for as start_timer_for};
pub(crate) use wait::{answer, limited};

pub(crate) fn start_life(node: &Node, life: Life) {
    shell::start(node, life);
}
