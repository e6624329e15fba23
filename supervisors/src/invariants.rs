//! What always holds between two events.

use crate::children::Status;
use crate::work::Wait;
use crate::{Reason, Restart, Supervisor};

impl<P: Clone + Ord, T, R: Reason> Supervisor<P, T, R> {
    /// Checks the machine's invariants, for tests. It takes time in proportion to the number of children.
    ///
    /// 1. The table of children and its indices agree.
    /// 2. A busy machine waits for exactly one thing: one start, or the end of at least one child that runs.
    /// 3. An idle or stopped machine has read its inbox.
    /// 4. Each back-off timer belongs to one child that waits for it, or its end is in the inbox.
    /// 5. No start data is kept for a temporary child that runs, and all start data for a static child that
    ///    may start.
    /// 6. Dynamic children live in a simple_one_for_one supervisor, all others elsewhere.
    ///
    /// # Errors
    ///
    /// The first invariant that does not hold.
    pub fn check_invariants(&self) -> Result<(), &'static str> {
        if let Some(broken) = self.children.broken() {
            return Err(broken);
        }
        let waits = match self.work.as_ref().map(|work| &work.wait) {
            None | Some(Wait::Started(_)) => true,
            Some(Wait::Nothing) => false,
            Some(Wait::Down(ending)) => {
                !ending.left.is_empty()
                    && ending.left.iter().all(|(pid, (key, _))| self.children.by_pid(pid) == Some(*key))
            }
        };
        if !waits {
            return Err("a busy machine waits for one start or for children that end");
        }
        if self.work.is_none() && !self.inbox.is_empty() {
            return Err("an idle machine has read its inbox");
        }
        if self.stopped && (self.work.is_some() || self.children.running() > 0) {
            return Err("a stopped machine has ended its children");
        }
        for (timer, key) in &self.delays {
            let status = self.children.get(*key).map(|slot| &slot.status);
            if !matches!(status, Some(Status::Restarting { delay: Some(awaited), .. }) if awaited == timer) {
                return Err("each back-off timer belongs to a child that waits for it");
            }
        }
        for (_, slot) in self.children.slots() {
            let is_needless =
                slot.spec.restart() == Restart::Temporary && matches!(slot.status, Status::Running(_));
            if slot.kept && is_needless || !slot.dynamic && !slot.kept && !is_needless {
                return Err("start data is kept exactly for the children that may need it");
            }
            if slot.dynamic != self.flags.is_simple() {
                return Err("dynamic children live in a simple_one_for_one supervisor");
            }
        }
        Ok(())
    }
}
