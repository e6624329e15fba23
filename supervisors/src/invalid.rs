//! What may not be: flags and specifications that OTP refuses.

use crate::{AutoShutdown, ChildId, ChildSpec, Flags, Restart};
use alloc::collections::BTreeSet;
use core::error::Error;
use core::fmt;
use core::time::Duration;

/// Flags that no supervisor can have; OTP's `{supervisor_data, _}`.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum FlagsError {
    /// OTP's `{invalid_period, _}`: the period is not a whole number of seconds, at least one.
    InvalidPeriod(Duration),
    /// A simple_one_for_one supervisor cannot shut down automatically. OTP 25 accepted it, newer releases
    /// refuse.
    SimpleAutoShutdown(AutoShutdown),
    /// Only a simple_one_for_one supervisor has a bound on its children.
    MaxChildrenNotSimple(usize),
}

impl fmt::Display for FlagsError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::InvalidPeriod(period) => {
                write!(f, "a period of {period:?} is not a whole number of seconds above zero")
            }
            Self::SimpleAutoShutdown(auto) => {
                write!(f, "simple_one_for_one cannot be combined with auto_shutdown {auto:?}")
            }
            Self::MaxChildrenNotSimple(max) => {
                write!(f, "a bound of {max} children needs simple_one_for_one")
            }
        }
    }
}

impl Error for FlagsError {}

/// A specification that no supervisor takes; OTP's `{start_spec, _}`.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum SpecError {
    /// OTP's `missing_id`: the id is empty.
    MissingId,
    /// OTP's `{duplicate_child_name, _}`.
    DuplicateId(ChildId),
    /// OTP's `{bad_combination, [{auto_shutdown, never}, {significant, true}]}`.
    SignificantWithNever(ChildId),
    /// OTP's `{bad_combination, [{restart, permanent}, {significant, true}]}`.
    SignificantPermanent(ChildId),
}

impl fmt::Display for SpecError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::MissingId => f.write_str("a child has no id"),
            Self::DuplicateId(id) => write!(f, "two children have the id {id}"),
            Self::SignificantWithNever(id) => {
                write!(f, "child {id} is significant, but the supervisor never shuts down automatically")
            }
            Self::SignificantPermanent(id) => write!(f, "child {id} is significant and permanent"),
        }
    }
}

impl Error for SpecError {}

/// Why a supervisor did not start, or did not take new flags and specifications. What was in force before
/// stays in force.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum InitError {
    /// OTP's `{supervisor_data, _}`.
    Flags(FlagsError),
    /// OTP's `{start_spec, _}`.
    Spec(SpecError),
    /// OTP's `{bad_start_spec, _}`: a simple_one_for_one supervisor takes exactly one specification, not this
    /// many.
    BadStartSpec(usize),
    /// A code change cannot go to or from simple_one_for_one. OTP lets it pass and breaks: to it, the next
    /// request crashes the supervisor; from it, the running children are forgotten.
    SimpleChange,
}

impl fmt::Display for InitError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Flags(_) => f.write_str("faulty supervisor flags"),
            Self::Spec(_) => f.write_str("faulty child specification"),
            Self::BadStartSpec(given) => {
                write!(f, "simple_one_for_one takes exactly one child specification, not {given}")
            }
            Self::SimpleChange => f.write_str("a supervisor cannot change to or from simple_one_for_one"),
        }
    }
}

impl Error for InitError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match self {
            Self::Flags(error) => Some(error),
            Self::Spec(error) => Some(error),
            Self::BadStartSpec(_) | Self::SimpleChange => None,
        }
    }
}

/// Checks child specifications without starting anything; OTP's `check_childspecs`.
///
/// # Errors
///
/// The first specification that OTP would refuse, in list order.
pub fn check_childspecs(specs: &[ChildSpec], auto_shutdown: AutoShutdown) -> Result<(), SpecError> {
    let mut ids = BTreeSet::new();
    for spec in specs {
        check_childspec(spec, auto_shutdown)?;
        if !ids.insert(spec.id()) {
            return Err(SpecError::DuplicateId(spec.id().clone()));
        }
    }
    Ok(())
}

pub(crate) fn check_childspec(spec: &ChildSpec, auto_shutdown: AutoShutdown) -> Result<(), SpecError> {
    if spec.id().as_str().is_empty() {
        return Err(SpecError::MissingId);
    }
    // OTP, rule 2.10.1: significant only with an automatic shutdown, and only for transient and temporary
    // children.
    if spec.is_significant() && auto_shutdown == AutoShutdown::Never {
        return Err(SpecError::SignificantWithNever(spec.id().clone()));
    }
    if spec.is_significant() && spec.restart() == Restart::Permanent {
        return Err(SpecError::SignificantPermanent(spec.id().clone()));
    }
    Ok(())
}

pub(crate) fn check_flags(flags: &Flags) -> Result<(), FlagsError> {
    if flags.period().is_zero() || flags.period().subsec_nanos() != 0 {
        return Err(FlagsError::InvalidPeriod(flags.period()));
    }
    if flags.is_simple() && flags.auto_shutdown() != AutoShutdown::Never {
        return Err(FlagsError::SimpleAutoShutdown(flags.auto_shutdown()));
    }
    match flags.max_children() {
        Some(max) if !flags.is_simple() => Err(FlagsError::MaxChildrenNotSimple(max)),
        _ => Ok(()),
    }
}

pub(crate) fn check_init(flags: &Flags, specs: &[ChildSpec]) -> Result<(), InitError> {
    check_flags(flags).map_err(InitError::Flags)?;
    if flags.is_simple() && specs.len() != 1 {
        return Err(InitError::BadStartSpec(specs.len()));
    }
    check_childspecs(specs, flags.auto_shutdown()).map_err(InitError::Spec)
}
