//! Suspension, and system messages as a process without callbacks serves them: a plain one, or a task. All that they
//! ask of a state finds `()`.

use super::cell::Process;
use super::envelope::Envelope;
use super::signal::{Signal, System};
use crate::handoff::ChangeError;

const NOT_UPGRADABLE: &str = "it has no state that could be handed over";

/// Whether it is a system message, which is served whatever the process waits for.
pub(crate) fn is_system<M>(envelope: &Envelope<M>) -> bool {
    matches!(envelope, Envelope::Signal(signal) if matches!(**signal, Signal::System(..)))
}

/// Whether a suspended process heeds it: a system message, or its parent's exit (rule 2.13.1).
pub(crate) fn reaches_suspended<M>(envelope: &Envelope<M>, process: &dyn Process) -> bool {
    match envelope {
        Envelope::Signal(signal) => match &**signal {
            Signal::System(..) => true,
            Signal::Exit(exit) => Some(exit.from) == process.core().parent(),
            Signal::Down(_) | Signal::Node { .. } | Signal::EventTimeout(_) | Signal::Changed => false,
        },
        Envelope::User(_) | Envelope::Request(..) | Envelope::Timer(_) => false,
    }
}

/// Serves what has reached it; an end takes effect at the next await.
pub(crate) fn serve<M>(envelope: Envelope<M>, process: &dyn Process) {
    let Envelope::Signal(signal) = envelope else { return };
    match *signal {
        Signal::System(system, _) => serve_system(system, process),
        Signal::Exit(exit) => process.doom_with(exit.reason),
        Signal::Down(_) | Signal::Node { .. } | Signal::EventTimeout(_) | Signal::Changed => {}
    }
}

pub(crate) fn serve_system(system: System, process: &dyn Process) {
    match system {
        System::Terminate(reason, acknowledge) => {
            acknowledge();
            process.doom_with(reason);
        }
        System::Resume(acknowledge) => {
            process.core().set_suspended(false);
            acknowledge();
        }
        System::Suspend(acknowledge) => {
            process.core().set_suspended(true);
            acknowledge();
        }
        System::Hold(_, tell) | System::Copy(_, tell) => tell(Err(ChangeError::refused(NOT_UPGRADABLE))),
        System::Release(_, acknowledge) => acknowledge(),
        System::Visit(visit) => visit(&mut ()),
        System::Status(tell) => tell(process.core().kind().to_owned()),
        System::Debug(change) => change(process.core()),
    }
}
