//! The wait before a restart.

use core::time::Duration;

/// A wait that doubles with each restart in the intensity window, up to a cap.
///
/// OTP restarts at once, and a child that fails at once uses up the intensity within microseconds. With a
/// back-off the supervisor marks the restart, shows the child as restarting, serves requests, and restarts
/// when the wait is over. The n-th restart that the window still holds waits `first` × 2ⁿ⁻¹: a pure function
/// of the window, without jitter, so that a run can be replayed.
///
/// ```
/// use incarnate_supervisors::Backoff;
/// use std::time::Duration;
///
/// let backoff = Backoff::new(Duration::from_millis(100), Duration::from_secs(1));
/// let waits = [1, 2, 3, 4, 5, 60].map(|restarts| backoff.delay(restarts).as_millis());
/// assert_eq!(waits, [100, 200, 400, 800, 1000, 1000]);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Backoff {
    first: Duration,
    cap: Duration,
}

impl Backoff {
    /// Waits `first` before the first restart and never longer than `cap`.
    pub fn new(first: Duration, cap: Duration) -> Self {
        Self { first, cap }
    }

    /// The wait before a restart, when the window holds this many restarts including it.
    pub fn delay(&self, restarts: usize) -> Duration {
        let doublings = u32::try_from(restarts.saturating_sub(1)).unwrap_or(u32::MAX);
        let factor = 2_u32.checked_pow(doublings).unwrap_or(u32::MAX);
        self.first.saturating_mul(factor).min(self.cap)
    }
}
