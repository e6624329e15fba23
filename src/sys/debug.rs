//! Watching a process: statistics, log, trace, and functions of your own.

use std::borrow::Cow;
use std::fmt;
use std::ops::ControlFlow;

use super::{SysError, ask};
use crate::process::debug::{Debug, Event, LogEntry, Statistics};
use crate::process::{Core, Node, System, Target, Timeout};

/// How many events a log keeps that was not told.
const LOG_EVENTS: usize = 10;

/// Whether a process logs what happens in it, and how much it keeps.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Log {
    /// No log (`false`).
    Off,
    /// The newest 10 events (`true`).
    #[default]
    On,
    /// The newest so many events (`{true, N}`), at least one.
    Last(usize),
}

impl Log {
    fn events(self) -> usize {
        match self {
            Log::Off => 0,
            Log::On => LOG_EVENTS,
            Log::Last(events) => events,
        }
    }
}

/// What watches a server from its first message on (`{debug, Options}` of `gen_server:start_link/4`). By default nothing
/// does.
#[derive(Default)]
pub struct DebugOptions(Option<Box<Debug>>);

impl DebugOptions {
    /// Nothing yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// As [`statistics`].
    pub fn statistics(self) -> Self {
        self.with(|debug| debug.set_statistics(true))
    }

    /// As [`log`]; a log of no events is none.
    pub fn log(self, log: Log) -> Self {
        self.with(|debug| debug.set_log(log.events()))
    }

    /// As [`trace`].
    pub fn trace(self) -> Self {
        self.with(|debug| debug.set_trace(true))
    }

    /// As [`install`]; the first function with an id stays.
    pub fn install(
        self,
        id: impl Into<Cow<'static, str>>,
        function: impl FnMut(&Event<'_>) -> ControlFlow<()> + Send + 'static,
    ) -> Self {
        self.with(|debug| {
            debug.install(id.into(), Box::new(function));
        })
    }

    fn with(mut self, change: impl FnOnce(&mut Debug)) -> Self {
        change(self.0.get_or_insert_default());
        self
    }

    /// For a process that does not run yet.
    pub(crate) fn install_in(self, core: &Core) {
        if let Some(options) = self.0 {
            core.debug(|debug| *debug = *options);
        }
    }
}

impl fmt::Debug for DebugOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names = self.0.as_ref().map(|debug| debug.names()).unwrap_or_default();
        f.debug_list().entries(names).finish()
    }
}

/// Has a process count its messages, or no longer (`sys:statistics/3` with `true`, `false`). Twice on is as once: it
/// goes on counting.
///
/// # Errors
/// See [`SysError`].
///
/// # Cancel safety
/// Dropping the future withdraws nothing: what was asked may still be done.
pub async fn statistics(
    node: &Node,
    target: impl Target,
    on: bool,
    timeout: impl Into<Timeout>,
) -> Result<(), SysError> {
    change(node, target, move |debug| debug.set_statistics(on), timeout.into()).await
}

/// What a process has counted (`sys:statistics/3` with `get`); `None`: it does not.
///
/// # Errors
/// See [`SysError`].
///
/// # Cancel safety
/// Dropping the future only stops waiting.
pub async fn get_statistics(
    node: &Node,
    target: impl Target,
    timeout: impl Into<Timeout>,
) -> Result<Option<Statistics>, SysError> {
    change(node, target, |debug| debug.statistics(), timeout.into()).await
}

/// Has a process keep its newest events, or no longer (`sys:log/3`). A log that changes its size keeps what it has.
///
/// # Errors
/// See [`SysError`]; [`SysError::EmptyLog`] for [`Log::Last`] of 0.
///
/// # Cancel safety
/// Dropping the future withdraws nothing: what was asked may still be done.
pub async fn log(
    node: &Node,
    target: impl Target,
    log: Log,
    timeout: impl Into<Timeout>,
) -> Result<(), SysError> {
    if log == Log::Last(0) {
        return Err(SysError::EmptyLog);
    }
    change(node, target, move |debug| debug.set_log(log.events()), timeout.into()).await
}

/// The newest events of a process, the oldest first (`sys:log/3` with `get`); nothing, if it keeps none.
///
/// # Errors
/// See [`SysError`].
///
/// # Cancel safety
/// Dropping the future only stops waiting.
pub async fn get_log(
    node: &Node,
    target: impl Target,
    timeout: impl Into<Timeout>,
) -> Result<Vec<LogEntry>, SysError> {
    change(node, target, |debug| debug.log(), timeout.into()).await
}

/// Has a process report each event to tracing, target `incarnate::sys`, level info, or no longer (`sys:trace/3`).
///
/// # Errors
/// See [`SysError`].
///
/// # Cancel safety
/// Dropping the future withdraws nothing: what was asked may still be done.
pub async fn trace(
    node: &Node,
    target: impl Target,
    on: bool,
    timeout: impl Into<Timeout>,
) -> Result<(), SysError> {
    change(node, target, move |debug| debug.set_trace(on), timeout.into()).await
}

/// Has a function see each event of a process, in that process (`sys:install/3` with an id). Answers false, and the
/// function is dropped, if there is one with this id.
///
/// A message is seen before its callback runs, an answer before it is sent. The function ends by itself with
/// [`ControlFlow::Break`]. One that panics is removed and reported; the process goes on. What a debug function does
/// itself is no event. While it runs, so does the process: it should be short.
///
/// # Errors
/// See [`SysError`].
///
/// # Cancel safety
/// Dropping the future withdraws nothing: what was asked may still be done.
pub async fn install(
    node: &Node,
    target: impl Target,
    id: impl Into<Cow<'static, str>>,
    function: impl FnMut(&Event<'_>) -> ControlFlow<()> + Send + 'static,
    timeout: impl Into<Timeout>,
) -> Result<bool, SysError> {
    let id = id.into();
    change(node, target, move |debug| debug.install(id, Box::new(function)), timeout.into()).await
}

/// Takes a function away (`sys:remove/3`); false: there was none with this id.
///
/// # Errors
/// See [`SysError`].
///
/// # Cancel safety
/// Dropping the future withdraws nothing: what was asked may still be done.
pub async fn remove(
    node: &Node,
    target: impl Target,
    id: impl Into<Cow<'static, str>>,
    timeout: impl Into<Timeout>,
) -> Result<bool, SysError> {
    let id = id.into();
    change(node, target, move |debug| debug.remove(&id), timeout.into()).await
}

/// Takes everything away that watches a process: statistics, log, trace, and all functions (`sys:no_debug/2`).
///
/// # Errors
/// See [`SysError`].
///
/// # Cancel safety
/// Dropping the future withdraws nothing: what was asked may still be done.
pub async fn no_debug(node: &Node, target: impl Target, timeout: impl Into<Timeout>) -> Result<(), SysError> {
    change(node, target, Debug::clear, timeout.into()).await
}

async fn change<T: Send + 'static>(
    node: &Node,
    target: impl Target,
    change: impl FnOnce(&mut Debug) -> T + Send + 'static,
    timeout: Timeout,
) -> Result<T, SysError> {
    ask(node, target, timeout, |tell| System::Debug(Box::new(move |core| tell(core.debug(change))))).await
}
