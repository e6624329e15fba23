//! Supervisor flags: what a supervisor does when a child ends.

use crate::Backoff;
use core::fmt;
use core::time::Duration;

/// Which children are started again when one has to be; OTP's `strategy()`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Strategy {
    /// Only the child that ended.
    #[default]
    OneForOne,
    /// All children.
    OneForAll,
    /// The child that ended and those started after it.
    RestForOne,
    /// Only the child that ended, in a supervisor whose children are all made from one specification.
    SimpleOneForOne,
}

impl fmt::Display for Strategy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::OneForOne => "one_for_one",
            Self::OneForAll => "one_for_all",
            Self::RestForOne => "rest_for_one",
            Self::SimpleOneForOne => "simple_one_for_one",
        })
    }
}

/// Whether a supervisor ends by itself when its significant children do; OTP's `auto_shutdown()`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum AutoShutdown {
    /// It does not. No child may be significant.
    #[default]
    Never,
    /// When one significant child ends by itself and is not restarted.
    AnySignificant,
    /// When the last significant child ends by itself and is not restarted.
    AllSignificant,
}

/// The flags of a supervisor; OTP's `sup_flags()`.
///
/// The defaults are OTP's: one_for_one, at most 1 restart in 5 s, no automatic shutdown. Back-off and a bound
/// on dynamic children, which OTP's supervisor does not have, are off.
///
/// ```
/// use incarnate_supervisors::{Flags, Strategy};
/// use std::time::Duration;
///
/// let flags = Flags::new(Strategy::RestForOne).with_intensity(3, Duration::from_secs(10));
/// assert_eq!((flags.intensity(), flags.period()), (3, Duration::from_secs(10)));
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Flags {
    strategy: Strategy,
    intensity: u32,
    period: Duration,
    auto_shutdown: AutoShutdown,
    backoff: Option<Backoff>,
    max_children: Option<usize>,
}

impl Default for Flags {
    fn default() -> Self {
        Self::new(Strategy::OneForOne)
    }
}

impl Flags {
    /// OTP's defaults with this strategy.
    pub fn new(strategy: Strategy) -> Self {
        Self {
            strategy,
            intensity: 1,
            period: Duration::from_secs(5),
            auto_shutdown: AutoShutdown::Never,
            backoff: None,
            max_children: None,
        }
    }

    /// At most `intensity` restarts within `period`, which is a whole number of seconds and at least one; 0
    /// restarts means that the first one ends the supervisor.
    #[must_use]
    pub fn with_intensity(self, intensity: u32, period: Duration) -> Self {
        Self { intensity, period, ..self }
    }

    /// Sets when the supervisor ends by itself.
    #[must_use]
    pub fn with_auto_shutdown(self, auto_shutdown: AutoShutdown) -> Self {
        Self { auto_shutdown, ..self }
    }

    /// Waits before each restart. OTP does not.
    #[must_use]
    pub fn with_backoff(self, backoff: Backoff) -> Self {
        Self { backoff: Some(backoff), ..self }
    }

    /// Bounds the number of dynamic children, those that wait for a restart included; only for
    /// [`Strategy::SimpleOneForOne`]. As Elixir's DynamicSupervisor.
    #[must_use]
    pub fn with_max_children(self, max_children: usize) -> Self {
        Self { max_children: Some(max_children), ..self }
    }

    /// Which children are started again when one has to be.
    pub fn strategy(&self) -> Strategy {
        self.strategy
    }

    /// How many restarts are allowed within [`period`](Self::period).
    pub fn intensity(&self) -> u32 {
        self.intensity
    }

    /// The window in which restarts are counted.
    pub fn period(&self) -> Duration {
        self.period
    }

    /// When the supervisor ends by itself.
    pub fn auto_shutdown(&self) -> AutoShutdown {
        self.auto_shutdown
    }

    /// The wait before a restart.
    pub fn backoff(&self) -> Option<Backoff> {
        self.backoff
    }

    /// The bound on dynamic children.
    pub fn max_children(&self) -> Option<usize> {
        self.max_children
    }

    pub(crate) fn is_simple(&self) -> bool {
        self.strategy == Strategy::SimpleOneForOne
    }
}
