//! Crash reports, as tracing events with the fields that OTP's reports carry.

use super::cell::Process;
use crate::term::ExitReason;

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
        initial_call = core.kind(),
        reason = %reason,
        parent = ?core.parent(),
        ?links,
        mailbox_len = process.mailbox_len(),
        messages_handled = core.handled(),
        "process crashed"
    );
}
