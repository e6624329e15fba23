//! The restart window: how many restarts in how much time are too many.

use alloc::collections::VecDeque;
use core::time::Duration;

/// The marks of the restarts within the last period; OTP's `add_restart`.
///
/// Time is an argument: the time since an origin that the caller chose once, from a clock that never goes
/// back. **OTP counts in whole seconds of monotonic time, and so does this**: a restart at 0.9 s and one at
/// 6.1 s are 6 s apart, while one at 0.1 s and one at 5.9 s are 5 s apart and both within a period of 5 s,
/// because the border is inclusive.
///
/// ```
/// use incarnate_supervisors::Intensity;
/// use std::time::Duration;
///
/// let mut window = Intensity::new(1, Duration::from_secs(5));
/// assert!(window.mark(Duration::from_secs(0)));
/// assert!(!window.mark(Duration::from_secs(5)));
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Intensity {
    limit: u32,
    period: u64,
    /// Whole seconds, oldest first. A ring of limit + 1: the mark that exceeds the limit is the supervisor's
    /// last.
    marks: VecDeque<u64>,
}

impl Intensity {
    /// A window that allows `limit` restarts within `period`, of which whole seconds count.
    pub fn new(limit: u32, period: Duration) -> Self {
        Self { limit, period: period.as_secs(), marks: VecDeque::new() }
    }

    /// Marks a restart. `false` says that it is one too many and that the supervisor gives up.
    #[must_use]
    pub fn mark(&mut self, now: Duration) -> bool {
        let now = now.as_secs();
        // OTP, rule 2.9.1: marks with mark >= now - period stay; the border is inclusive.
        let threshold = now.saturating_sub(self.period);
        while self.marks.front().is_some_and(|mark| *mark < threshold) {
            self.marks.pop_front();
        }
        // After the limit is exceeded the supervisor ends, so a further mark could only be a repeated
        // question: the answer stands and the ring stays bounded.
        if self.within() {
            self.marks.push_back(now);
        }
        self.within()
    }

    /// How many restarts the window holds. As in OTP, old marks leave only when a new one comes.
    pub fn restarts(&self) -> usize {
        self.marks.len()
    }

    /// Takes new limits and keeps the marks, as OTP's code change does.
    pub(crate) fn change(&mut self, limit: u32, period: Duration) {
        self.limit = limit;
        self.period = period.as_secs();
    }

    fn within(&self) -> bool {
        self.marks.len() <= self.limit as usize
    }
}
