//! Exit reasons, as far as a supervisor tells them apart.

/// What a supervisor needs to know of an exit reason.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ExitClass {
    /// `normal`
    Normal,
    /// `shutdown`
    Shutdown,
    /// `{shutdown, _}`. Counts as `shutdown`, but is no good answer of a permanent child to an order to shut
    /// down.
    ShutdownWith,
    /// `killed`
    Killed,
    /// Everything else, a process that could not be found included.
    Abnormal,
}

/// An exit reason, or the reason why a start failed. The machine reads its class and hands the rest on
/// untouched.
pub trait Reason: Clone {
    /// The class of this reason.
    fn class(&self) -> ExitClass;
}

impl Reason for ExitClass {
    fn class(&self) -> ExitClass {
        *self
    }
}

impl ExitClass {
    /// OTP, rule 2.9.4: a transient child is not restarted after normal, shutdown and `{shutdown, _}`.
    pub(crate) fn is_clean(self) -> bool {
        matches!(self, Self::Normal | Self::Shutdown | Self::ShutdownWith)
    }
}
