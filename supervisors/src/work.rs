//! A sequence of ends and starts that OTP's supervisor would block in.

use crate::{ChildSpec, Key, StopReason, Timer};
use alloc::collections::{BTreeMap, VecDeque};
use alloc::sync::Arc;
use alloc::vec::Vec;

/// What the sequence is for: who hears of its result.
#[derive(Clone, Debug)]
pub(crate) enum Purpose<T, R> {
    /// The start of the supervisor itself.
    Init,
    /// start_child; `spec` enters the table when the child is up.
    StartChild {
        token: T,
        spec: Arc<ChildSpec>,
        dynamic: bool,
    },
    RestartChild {
        token: T,
    },
    TerminateChild {
        token: T,
    },
    /// A restart as the strategy wants it.
    Restart,
    Stop(StopReason<R>),
}

/// All of `ends`, one after the other, then all of `starts`.
#[derive(Clone, Debug)]
pub(crate) struct Work<P, T, R> {
    pub(crate) purpose: Purpose<T, R>,
    pub(crate) ends: VecDeque<Key>,
    pub(crate) starts: VecDeque<Key>,
    pub(crate) wait: Wait<P, R>,
}

/// The world's answer that the sequence waits for.
#[derive(Clone, Debug)]
pub(crate) enum Wait<P, R> {
    Nothing,
    Started(Key),
    Down(Ending<P, R>),
}

/// Children that were told to end: one, or all dynamic children at once.
#[derive(Clone, Debug)]
pub(crate) struct Ending<P, R> {
    pub(crate) spec: Arc<ChildSpec>,
    /// Those still to come, with the reason in their EXIT if that was first.
    pub(crate) left: BTreeMap<P, (Key, Option<R>)>,
    /// Runs out when those left are to be killed.
    pub(crate) timer: Option<Timer>,
    /// Those that did not end as they should have.
    pub(crate) errors: Vec<(P, R)>,
}

impl<P, T, R> Work<P, T, R> {
    pub(crate) fn new(purpose: Purpose<T, R>) -> Self {
        Self { purpose, ends: VecDeque::new(), starts: VecDeque::new(), wait: Wait::Nothing }
    }

    pub(crate) fn ending(mut self, keys: impl IntoIterator<Item = Key>) -> Self {
        self.ends.extend(keys);
        self
    }

    pub(crate) fn starting(mut self, keys: impl IntoIterator<Item = Key>) -> Self {
        self.starts.extend(keys);
        self
    }
}
