//! What a process is seen to do: its debug functions, its log, its statistics (`sys:handle_debug/4`).
//!
//! Invariants:
//! - who is not watched pays nothing for it: the bit that says so stands in the byte that is looked at for each
//!   message anyway, and all else is allocated when the first watcher comes;
//! - it belongs to the cell and not to what runs there: it survives hibernation and another incarnation;
//! - it is touched by its own process alone, between two callbacks or on the way into one, and is out of its place
//!   while it is: a debug function is user code, no lock is held, and what it does itself is no event;
//! - a debug function that panics is removed, and ends nothing.

use std::any::{Any, type_name};
use std::borrow::Cow;
use std::collections::VecDeque;
use std::fmt;
use std::ops::ControlFlow;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Duration;

use tokio::time::Instant;

use super::catch::drop_caught;
use super::cell::Core;
use super::slots::SlotId;
use crate::term::{ExitReason, Pid};

/// What happened.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum EventKind {
    /// A call came: `{in, Msg, From}`.
    Call,
    /// A cast came.
    Cast,
    /// A plain message came.
    Info,
    /// A timer of `start_timer` came.
    Timer,
    /// A trapped exit signal came.
    Exit,
    /// A DOWN came.
    Down,
    /// A node was connected, or lost.
    Node,
    /// A timeout that a callback asked for has passed.
    Timeout,
    /// A continue was due: `{continue, Term}`.
    Continue,
    /// An event that a state machine has inserted was due: `{internal, Content}`.
    Internal,
    /// An answer was sent: `{out, Msg, To}`.
    Reply,
    /// A callback is done and has not answered what it was given: `noreply`.
    NoReply,
}

impl EventKind {
    /// Whether it is a message that came.
    pub fn is_in(self) -> bool {
        !matches!(self, EventKind::Continue | EventKind::Internal | EventKind::Reply | EventKind::NoReply)
    }
}

impl fmt::Display for EventKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            EventKind::Call => "call",
            EventKind::Cast => "cast",
            EventKind::Info => "info",
            EventKind::Timer => "timer",
            EventKind::Exit => "exit",
            EventKind::Down => "down",
            EventKind::Node => "node",
            EventKind::Timeout => "timeout",
            EventKind::Continue => "continue",
            EventKind::Internal => "internal",
            EventKind::Reply => "reply",
            EventKind::NoReply => "noreply",
        })
    }
}

/// Which request: a call and the answer to it have the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct RequestId(SlotId);

/// Something that a process has done, lent to a debug function (`sys:system_event()`).
pub struct Event<'a> {
    pid: Pid,
    kind: EventKind,
    request: Option<RequestId>,
    message: &'a dyn Any,
    type_name: &'static str,
}

impl<'a> Event<'a> {
    pub(super) fn of(core: &Core, request: Option<SlotId>, seen: Seen<'a>) -> Self {
        let Seen { kind, message, type_name } = seen;
        Event { pid: core.pid(), kind, request: request.map(RequestId), message, type_name }
    }

    /// The process that it happened in.
    pub fn pid(&self) -> Pid {
        self.pid
    }

    /// What happened.
    pub fn kind(&self) -> EventKind {
        self.kind
    }

    /// The message, if it is a `T`: for a call, a cast, an info, a timer or a continue the server's own type, for an
    /// exit or a DOWN [`Exit`](super::Exit) or [`Down`](super::Down), for a reply the answer.
    ///
    /// A timeout of `event_timeout` has its message; a plain timeout and `noreply` have `()`.
    pub fn message<T: 'static>(&self) -> Option<&'a T> {
        self.message.downcast_ref()
    }

    /// The name of the message's type, as `std::any::type_name` has it.
    pub fn type_name(&self) -> &'static str {
        self.type_name
    }

    /// Of a message whose sender waits for an answer, and of an answer: which one.
    pub fn request(&self) -> Option<RequestId> {
        self.request
    }
}

impl fmt::Debug for Event<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Event({self} in {})", self.pid)
    }
}

impl fmt::Display for Event<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.kind, self.type_name)
    }
}

/// A message as it is shown: its kind, the part that is the user's, and the name of its type.
pub(crate) struct Seen<'a> {
    kind: EventKind,
    message: &'a dyn Any,
    type_name: &'static str,
}

impl<'a> Seen<'a> {
    pub(crate) fn new<T: 'static>(kind: EventKind, message: &'a T) -> Self {
        Seen { kind, message, type_name: type_name::<T>() }
    }

    /// The same message, as what it is when a timer brings it.
    pub(super) fn by_timer(self) -> Self {
        Seen { kind: EventKind::Timer, ..self }
    }
}

/// An event that was logged: the message itself is gone.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct LogEntry {
    /// What happened.
    pub kind: EventKind,
    /// The name of the message's type.
    pub type_name: &'static str,
    /// Which request, as [`Event::request`].
    pub request: Option<RequestId>,
    /// How long before it was asked for.
    pub ago: Duration,
}

impl fmt::Display for LogEntry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {} ({:?} ago)", self.kind, self.type_name, self.ago)
    }
}

/// What was counted since the statistics were switched on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Statistics {
    /// How long ago that was (`current_time` less `start_time`).
    pub elapsed: Duration,
    /// Messages that it has taken, timeouts included.
    pub messages_in: u64,
    /// Answers that it has sent.
    pub messages_out: u64,
}

type Function = Box<dyn FnMut(&Event<'_>) -> ControlFlow<()> + Send>;

/// The newest events, the oldest first.
struct Log {
    last: usize,
    entries: VecDeque<(Instant, LogEntry)>,
}

struct Counts {
    since: Instant,
    messages_in: u64,
    messages_out: u64,
}

/// All that watches one process.
#[derive(Default)]
pub(crate) struct Debug {
    functions: Vec<(Cow<'static, str>, Function)>,
    log: Option<Log>,
    statistics: Option<Counts>,
    trace: bool,
    /// What was taken last is this request, if it is one.
    request: Option<RequestId>,
    /// It was answered.
    answered: bool,
}

impl Debug {
    pub(crate) fn set_trace(&mut self, on: bool) {
        self.trace = on;
    }

    /// Switched on twice, they go on counting.
    pub(crate) fn set_statistics(&mut self, on: bool) {
        let fresh = || Counts { since: Instant::now(), messages_in: 0, messages_out: 0 };
        self.statistics = on.then(|| self.statistics.take().unwrap_or_else(fresh));
    }

    pub(crate) fn statistics(&self) -> Option<Statistics> {
        self.statistics.as_ref().map(|counts| Statistics {
            elapsed: counts.since.elapsed(),
            messages_in: counts.messages_in,
            messages_out: counts.messages_out,
        })
    }

    /// Keeps the newest `last` events, those included that it has; 0 is no log.
    pub(crate) fn set_log(&mut self, last: usize) {
        let mut entries = self.log.take().map(|log| log.entries).unwrap_or_default();
        if last > 0 {
            entries.drain(..entries.len().saturating_sub(last));
            self.log = Some(Log { last, entries });
        }
    }

    pub(crate) fn log(&self) -> Vec<LogEntry> {
        let entries = self.log.iter().flat_map(|log| &log.entries);
        entries.map(|(at, entry)| LogEntry { ago: at.elapsed(), ..entry.clone() }).collect()
    }

    /// False: there is one with this id, and it stays.
    pub(crate) fn install(&mut self, id: Cow<'static, str>, function: Function) -> bool {
        let new = self.functions.iter().all(|(other, _)| *other != id);
        if new {
            self.functions.push((id, function));
        } else {
            drop_caught(function);
        }
        new
    }

    /// False: there was none with this id.
    pub(crate) fn remove(&mut self, id: &str) -> bool {
        let found = self.functions.iter().position(|(other, _)| other == id);
        found.map(|at| self.functions.remove(at)).map(drop_caught).is_some()
    }

    pub(crate) fn clear(&mut self) {
        std::mem::take(self).drop_caught();
    }

    /// What is on, by name.
    pub(crate) fn names(&self) -> Vec<String> {
        let statistics = self.statistics.is_some().then(|| "statistics".to_owned());
        let log = self.log.as_ref().map(|log| format!("log of {}", log.last));
        let trace = self.trace.then(|| "trace".to_owned());
        let functions = self.functions.iter().map(|(id, _)| format!("function {id}"));
        statistics.into_iter().chain(log).chain(trace).chain(functions).collect()
    }

    fn is_idle(&self) -> bool {
        self.functions.is_empty() && self.log.is_none() && self.statistics.is_none() && !self.trace
    }

    fn handle(&mut self, core: &Core, event: &Event<'_>) {
        match event.kind {
            EventKind::Reply => self.answered |= event.request == self.request,
            EventKind::NoReply => {}
            _ => (self.request, self.answered) = (event.request, false),
        }
        if let Some(counts) = &mut self.statistics {
            counts.messages_in += u64::from(event.kind.is_in());
            counts.messages_out += u64::from(event.kind == EventKind::Reply);
        }
        if let Some(log) = &mut self.log {
            log.push(event);
        }
        if self.trace {
            let (registered_name, label) = core.titles();
            let (pid, request) = (event.pid, event.request.map(|RequestId(slot)| slot));
            tracing::info!(
                target: "incarnate::sys",
                %pid, registered_name, ?label, event = %event.kind, message_type = event.type_name, ?request,
                "{event}"
            );
        }
        self.call_functions(event);
    }

    fn call_functions(&mut self, event: &Event<'_>) {
        let mut at = 0;
        while let Some((id, function)) = self.functions.get_mut(at) {
            match catch_unwind(AssertUnwindSafe(|| function(event))) {
                Ok(ControlFlow::Continue(())) => {
                    at += 1;
                    continue;
                }
                Ok(ControlFlow::Break(())) => {}
                Err(panic) => {
                    let reason = ExitReason::panic(&*panic);
                    let pid = event.pid;
                    tracing::error!(
                        target: "incarnate::sys",
                        %pid, id = &**id, event = %event.kind, %reason,
                        "a debug function panicked and was removed"
                    );
                    drop_caught(panic);
                }
            }
            drop_caught(self.functions.remove(at));
        }
    }

    /// Drops what may run user code one by one.
    pub(super) fn drop_caught(self) {
        self.functions.into_iter().for_each(drop_caught);
    }
}

impl Log {
    fn push(&mut self, event: &Event<'_>) {
        if self.entries.len() >= self.last {
            self.entries.pop_front();
        }
        let Event { kind, type_name, request, .. } = *event;
        self.entries.push_back((Instant::now(), LogEntry { kind, type_name, request, ago: Duration::ZERO }));
    }
}

impl Core {
    /// Looks at what watches this process, and changes it. Only the process itself may, or who has not started it yet.
    pub(crate) fn debug<T>(&self, change: impl FnOnce(&mut Debug) -> T) -> T {
        let mut debug = self.take_debug().unwrap_or_default();
        let result = change(&mut debug);
        self.put_debug(debug);
        result
    }

    /// What was logged; nothing if no log is on.
    pub(crate) fn logged(&self) -> Option<Vec<LogEntry>> {
        self.is_debugged().then(|| self.debug(|debug| debug.log.is_some().then(|| debug.log()))).flatten()
    }

    /// Something has happened in a process that is watched.
    #[cold]
    pub(crate) fn saw(&self, request: Option<SlotId>, seen: Seen<'_>) {
        // Out of its place: a debug function runs.
        let Some(mut debug) = self.take_debug() else { return };
        debug.handle(self, &Event::of(self, request, seen));
        self.put_debug(debug);
    }

    /// A callback of a process that is watched is done.
    #[cold]
    pub(crate) fn saw_done(&self) {
        let Some(mut debug) = self.take_debug() else { return };
        if !debug.answered {
            debug.handle(self, &Event::of(self, None, Seen::new(EventKind::NoReply, &())));
        }
        self.put_debug(debug);
    }

    fn take_debug(&self) -> Option<Box<Debug>> {
        self.relations().existing_rare()?.debug.take()
    }

    fn put_debug(&self, debug: Box<Debug>) {
        let watched = !debug.is_idle();
        self.set_debugged(watched);
        if watched {
            self.relations().rare_mut().debug = Some(debug);
        }
    }
}
