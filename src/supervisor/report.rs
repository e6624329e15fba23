//! OTP's supervisor and progress reports, as tracing events.

use std::collections::BTreeMap;

use incarnate_supervisors::{ChildSpec as Spec, Report};

use super::cause::Cause;
use super::order::Note;
use crate::process::Info;
use crate::term::Pid;

/// A supervisor report: who supervises, in what context, why, and OTP's `offender`.
macro_rules! offence {
    ($label:expr, $supervisor:expr, $context:literal, $reason:expr, $pid:expr, $spec:expr, $message:literal) => {{
        let spec: &Spec = $spec;
        tracing::error!(
            target: "incarnate::supervisor",
            supervisor = $label,
            supervisor_pid = %$supervisor,
            context = $context,
            reason = %$reason,
            child_pid = $pid.map(tracing::field::display),
            child = %spec.id(),
            restart = %spec.restart(),
            significant = spec.is_significant(),
            shutdown = ?spec.shutdown(),
            child_type = %spec.child_type(),
            $message
        );
    }};
}

/// A progress report: who supervises, and OTP's `started`.
macro_rules! progress {
    ($level:ident, $label:expr, $supervisor:expr, $pid:expr, $spec:expr) => {{
        let spec: &Spec = $spec;
        tracing::$level!(
            target: "incarnate::progress",
            supervisor = $label,
            supervisor_pid = %$supervisor,
            child_pid = %$pid,
            child = %spec.id(),
            restart = %spec.restart(),
            significant = spec.is_significant(),
            shutdown = ?spec.shutdown(),
            child_type = %spec.child_type(),
            "started"
        );
    }};
}

/// Writes what the machine reports. `requested`: a caller waits for the start that it is about.
pub(super) fn report(label: &str, supervisor: Pid, report: Report<Pid, Cause>, requested: bool) {
    match report {
        // OTP: a start that somebody asked for is progress at the debug level only.
        Report::Progress { spec, pid } if requested => progress!(debug, label, supervisor, pid, &spec),
        Report::Progress { spec, pid } => progress!(info, label, supervisor, pid, &spec),
        Report::StartError { spec, former, reason } => {
            offence!(label, supervisor, "start_error", reason, former, &spec, "a child did not start");
        }
        Report::ChildTerminated { spec, pid, reason } => {
            offence!(label, supervisor, "child_terminated", reason, Some(pid), &spec, "a child terminated");
        }
        Report::ShutdownError { spec, pid, reason } => {
            offence!(
                label,
                supervisor,
                "shutdown_error",
                reason,
                Some(pid),
                &spec,
                "a child did not end as told"
            );
        }
        Report::ShutdownErrors { spec, ended } => shutdown_errors(label, supervisor, &spec, &ended),
        Report::Shutdown { spec, former } => {
            let reason = "reached_max_restart_intensity";
            offence!(label, supervisor, "shutdown", reason, former, &spec, "the supervisor gives up");
        }
        Report::UnknownExit { pid, reason } => {
            tracing::debug!(
                target: "incarnate::supervisor",
                supervisor = label, supervisor_pid = %supervisor, %pid, %reason, "exit of a process that is no child"
            );
        }
    }
}

/// OTP, rule 2.11.2: one report for each reason that dynamic children ended with, and how many did.
fn shutdown_errors(label: &str, supervisor: Pid, spec: &Spec, ended: &[(Pid, Cause)]) {
    if !tracing::event_enabled!(target: "incarnate::supervisor", tracing::Level::ERROR) {
        return;
    }
    let mut reasons = BTreeMap::<String, usize>::new();
    for (_, reason) in ended {
        *reasons.entry(reason.to_string()).or_default() += 1;
    }
    for (reason, children) in reasons {
        tracing::error!(
            target: "incarnate::supervisor",
            supervisor = label,
            supervisor_pid = %supervisor,
            context = "shutdown_error",
            reason,
            children,
            child = %spec.id(),
            restart = %spec.restart(),
            shutdown = ?spec.shutdown(),
            child_type = %spec.child_type(),
            "children did not end as told"
        );
    }
}

/// A message that no supervisor expects is logged and dropped.
pub(super) fn unexpected(label: &str, supervisor: Pid, info: &Info<Note>) {
    tracing::error!(
        target: "incarnate::supervisor",
        supervisor = label, supervisor_pid = %supervisor, kind = info.kind(), "unexpected message"
    );
}
