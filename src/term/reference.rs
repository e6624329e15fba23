//! References: unique, plain, comparable. The numbers of each node begin at a place of its own, which its creation says:
//! a reference of another node, or of a former life of this one, names nothing here.

use std::fmt;

use serde::{Deserialize, Serialize};

macro_rules! reference {
    ($(#[$doc:meta])* $name:ident, $label:literal) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        pub struct $name(pub(crate) u64);

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, concat!("#", $label, "<{}>"), self.0)
            }
        }
    };
}

reference! {
    /// Names one monitor; its DOWN carries it (`erlang:monitor/2`).
    MonitorRef, "Monitor"
}
reference! {
    /// Names one alias of a process (`erlang:alias/1`).
    AliasRef, "Alias"
}

/// Names one timer (`erlang:start_timer/3`): the moment at which it expires and a number of its own.
///
/// Plain data; a reference of a timer that has fired or was cancelled cancels nothing.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct TimerRef {
    /// Nanoseconds on the node's monotonic clock.
    pub(crate) expires: u64,
    pub(crate) number: u64,
}

impl fmt::Debug for TimerRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "#Timer<{}>", self.number)
    }
}
