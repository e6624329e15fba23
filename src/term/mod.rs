//! The data that everything else speaks in: pids, references, exit reasons, terms.
//!
//! Data only: nothing here knows of a runtime, a mailbox or a clock, and all of it serialises.

mod exit;
mod name;
mod never;
mod pid;
mod reference;
mod shape;
mod text;
mod value;

pub(crate) use exit::cut;
pub use exit::{Crash, CrashClass, ExitReason};
pub use name::Name;
pub use never::Never;
pub use pid::{NodeId, Pid};
pub use reference::{AliasRef, MonitorRef, TimerRef};
pub(crate) use shape::check as check_shape;
pub use value::{Term, TermError};
