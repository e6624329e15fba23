//! The hooks without the feature `metrics`: nothing.

use std::time::Duration;

use crate::process::cell::Core;
use crate::process::error::CallError;
use crate::process::node::Node;
use crate::term::ExitReason;

/// What a node adds up for its metrics.
#[derive(Default)]
pub(crate) struct Totals {}

impl Totals {
    #[inline(always)]
    pub(crate) fn ended(&self, _: &Core, _: &ExitReason) {}
}

/// A call that is timed.
pub(crate) struct Call;

impl Call {
    #[inline(always)]
    pub(crate) fn begin(_: &Node) -> Self {
        Call
    }

    /// The request was refused, or is under way.
    #[inline(always)]
    pub(crate) fn sent<T>(&mut self, asked: Result<T, CallError>) -> Result<T, CallError> {
        asked
    }

    #[inline(always)]
    pub(crate) fn answered<T>(self, answer: Result<T, CallError>) -> Result<T, CallError> {
        answer
    }
}

#[inline(always)]
pub(crate) fn started(_: &Core) {}

#[inline(always)]
pub(crate) fn restarted(_: &Node, _supervisor: &str) {}

#[inline(always)]
pub(crate) fn lost(_: &Node, _why: &'static str) {}

#[inline(always)]
pub(crate) fn upgraded(_: &Node, _outcome: &'static str) {}

#[inline(always)]
pub(crate) fn paused(_: &Node, _pauses: &[Vec<Duration>]) {}

#[inline(always)]
pub(crate) fn shards(_: &Node, _modes: &[(&'static str, usize, u64)], _lost: usize) {}

#[inline(always)]
pub(crate) fn shard_moved(_: &Node, _outcome: &'static str) {}

#[inline(always)]
pub(crate) fn shard_taken_over(_: &Node) {}
