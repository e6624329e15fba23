//! Crash reports, as tracing events with the fields that OTP's reports carry.

use super::cell::{Core, Process};
use crate::term::{CrashClass, ExitReason, Pid};

/// More than a tree has levels.
const MOST_ANCESTORS: usize = 32;

/// The report of a process that ended by itself and not in order (`proc_lib`'s crash report). Orderly ends are silent.
pub(crate) fn crash(process: &dyn Process, reason: &ExitReason) {
    if reason.is_orderly()
        || !tracing::event_enabled!(target: "incarnate::crash_report", tracing::Level::ERROR)
    {
        return;
    }
    let core = process.core();
    let (name, label, links) = {
        let relations = core.relations();
        let rare = relations.rare();
        let name = rare.and_then(|rare| rare.names.first().copied()).unwrap_or("");
        (name, rare.and_then(|rare| rare.label.clone()), relations.links.pids())
    };
    tracing::error!(
        target: "incarnate::crash_report",
        pid = %core.pid(),
        registered_name = name,
        ?label,
        initial_call = core.initial_kind(),
        class = class(reason),
        reason = %reason,
        parent = ?core.parent(),
        ancestors = ?ancestors(core),
        message_queue_len = process.mailbox_len(),
        messages_handled = core.handled(),
        ?links,
        trap_exit = process.traps_exit(),
        "process crashed"
    );
}

/// OTP's `error`, `exit` and `throw`: what it ended by. A panic stands apart, and nothing is thrown.
fn class(reason: &ExitReason) -> &'static str {
    match reason {
        ExitReason::Crash(crash) => match crash.class() {
            CrashClass::Error => "error",
            CrashClass::Panic => "panic",
        },
        _ => "exit",
    }
}

/// The parent, its parent and so on, as far as they live: of one that has ended only the pid is known.
fn ancestors(core: &Core) -> Vec<Pid> {
    std::iter::successors(core.parent(), |pid| core.node().find(*pid)?.core().parent())
        .take(MOST_ANCESTORS)
        .collect()
}
