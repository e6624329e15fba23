//! The words of the traces.

use super::{Pid, Why};
use incarnate_supervisors::{
    Answer, ChildInfo, ChildSpec, ChildState, Counts, DeleteChildError, FlagsError, InitError, Report,
    RestartChildError, Shutdown, SpecError, StartChildError, TerminateChildError,
};
use std::collections::BTreeMap;

pub fn answer(answer: &Answer<Pid, Why>, simple: bool) -> String {
    match answer {
        Answer::StartChild(Ok(pid)) | Answer::RestartChild(Ok(pid)) => started(pid.as_ref()),
        Answer::StartChild(Err(error)) => format!("error {}", start_error(error)),
        Answer::RestartChild(Err(error)) => format!(
            "error {}",
            match error {
                RestartChildError::NotFound => "not_found",
                RestartChildError::Running => "running",
                RestartChildError::Restarting => "restarting",
                RestartChildError::SimpleOneForOne => "simple_one_for_one",
                RestartChildError::Failed(_) => "failed",
                _ => "unknown",
            }
        ),
        Answer::TerminateChild(Ok(())) | Answer::DeleteChild(Ok(())) | Answer::CodeChange(Ok(_)) => {
            "ok".into()
        }
        Answer::TerminateChild(Err(TerminateChildError::SimpleOneForOne)) => {
            "error simple_one_for_one".into()
        }
        Answer::TerminateChild(Err(_)) | Answer::WhichChild(Err(_)) | Answer::GetChildspec(Err(_)) => {
            "error not_found".into()
        }
        Answer::DeleteChild(Err(error)) => format!(
            "error {}",
            match error {
                DeleteChildError::Running => "running",
                DeleteChildError::Restarting => "restarting",
                DeleteChildError::SimpleOneForOne => "simple_one_for_one",
                _ => "not_found",
            }
        ),
        Answer::CodeChange(Err(error)) => format!("error {}", refusal(error)),
        Answer::WhichChildren(children) if children.is_empty() => "none".into(),
        Answer::WhichChildren(children) => {
            let mut words: Vec<String> = children.iter().map(info).collect();
            if simple {
                words.sort();
            }
            words.join(" ")
        }
        Answer::WhichChild(Ok(child)) => info(child),
        Answer::CountChildren(Counts { specs, active, supervisors, workers }) => {
            format!("specs {specs} active {active} supervisors {supervisors} workers {workers}")
        }
        Answer::GetChildspec(Ok(spec)) => childspec(spec),
    }
}

fn started(pid: Option<&Pid>) -> String {
    pid.map_or("undefined".into(), ToString::to_string)
}

fn start_error(error: &StartChildError<Pid, Why>) -> String {
    match error {
        StartChildError::AlreadyStarted(pid) => format!("already_started {pid}"),
        StartChildError::AlreadyPresent => "already_present".into(),
        StartChildError::Spec(error) => spec_error(error),
        StartChildError::MaxChildren => "max_children".into(),
        StartChildError::WrongStrategy => "wrong_strategy".into(),
        StartChildError::Failed(_) => "failed".into(),
        _ => "unknown".into(),
    }
}

fn info(child: &ChildInfo<Pid>) -> String {
    let state = match &child.state {
        ChildState::Running(pid) => pid.to_string(),
        ChildState::Restarting => "restarting".into(),
        ChildState::Stopped => "undefined".into(),
    };
    let id = child.id.as_ref().map_or(String::new(), |id| format!("{id}="));
    format!("{id}{state}/{}", child.child_type)
}

fn childspec(spec: &ChildSpec) -> String {
    let shutdown = match spec.shutdown() {
        Shutdown::BrutalKill => "brutal_kill".into(),
        Shutdown::Timeout(time) => time.as_millis().to_string(),
        Shutdown::Infinity => "infinity".into(),
    };
    format!("{} {} {shutdown} {} {}", spec.id(), spec.restart(), spec.child_type(), spec.is_significant())
}

pub fn refusal(error: &InitError) -> String {
    match error {
        InitError::Flags(FlagsError::InvalidPeriod(_)) => "invalid_period".into(),
        InitError::Flags(_) => "flags".into(),
        InitError::Spec(error) => spec_error(error),
        InitError::BadStartSpec(given) => format!("bad_start_spec {given}"),
        _ => "simple_change".into(),
    }
}

fn spec_error(error: &SpecError) -> String {
    match error {
        SpecError::MissingId => "missing_id".into(),
        SpecError::DuplicateId(id) => format!("duplicate_child_name {id}"),
        SpecError::SignificantWithNever(_) => "significant_with_never".into(),
        SpecError::SignificantPermanent(_) => "significant_permanent".into(),
        _ => "unknown".into(),
    }
}

/// A report in OTP's words; several lines for what OTP reports several times. Unknown exits OTP does not
/// report.
pub fn report(report: &Report<Pid, Why>, simple: bool) -> Option<Vec<String>> {
    let offender = |spec: &ChildSpec, former: Option<&Pid>| match simple {
        true => started(former),
        false => spec.id().to_string(),
    };
    Some(match report {
        Report::Progress { pid, .. } => vec![format!("progress {pid}")],
        Report::StartError { spec, former, .. } => {
            vec![format!("start_error {}", offender(spec, former.as_ref()))]
        }
        Report::ChildTerminated { pid, reason, .. } => vec![format!("child_terminated {pid} {reason}")],
        Report::ShutdownErrors { ended, .. } => {
            let mut counts: BTreeMap<&Why, usize> = BTreeMap::new();
            for (_, reason) in ended {
                *counts.entry(reason).or_default() += 1;
            }
            counts.into_iter().map(|(reason, count)| format!("shutdown_error {count} {reason}")).collect()
        }
        Report::ShutdownError { pid, reason, .. } => vec![format!("shutdown_error {pid} {reason}")],
        Report::Shutdown { spec, former } => vec![format!("shutdown {}", offender(spec, former.as_ref()))],
        Report::UnknownExit { .. } => return None,
    })
}
