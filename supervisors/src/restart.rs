//! What follows the end of a child: nothing, a restart, or the end of the supervisor.

use crate::children::Status;
use crate::work::{Purpose, Work};
use crate::{AutoShutdown, Key, Reason, Report, Restart, StopReason, Strategy, Supervisor, Timer};
use alloc::vec::Vec;
use core::time::Duration;

impl<P: Clone + Ord, T, R: Reason> Supervisor<P, T, R> {
    /// A linked process has ended by itself.
    pub(crate) fn exited(&mut self, pid: P, reason: R, now: Duration) {
        // OTP, rule 2.9.10: the exit of a process that is not a child changes nothing.
        let Some(key) = self.children.by_pid(&pid) else {
            return self.report(Report::UnknownExit { pid, reason });
        };
        let Some(slot) = self.children.get(key) else { return };
        let (spec, restart) = (slot.spec.clone(), slot.restart());
        let is_clean = reason.class().is_clean();
        if restart == Restart::Permanent || !is_clean {
            self.report(Report::ChildTerminated { spec, pid: pid.clone(), reason });
        }
        // OTP, rule 2.9.4: permanent always, transient not after a clean end, temporary never.
        match restart {
            Restart::Permanent => {}
            Restart::Transient if !is_clean => {}
            Restart::Transient | Restart::Temporary => return self.gone(key),
        }
        self.set(key, Status::Restarting { former: Some(pid), delay: None });
        self.restart(key, now);
    }

    /// A child has ended by itself and is not restarted.
    fn gone(&mut self, key: Key) {
        let is_significant = self.children.get(key).is_some_and(|slot| slot.spec.is_significant());
        self.retire(key);
        // OTP, rules 2.10.2 and 2.10.4: only an end of its own that does not restart it counts; any at once,
        // all when the last has gone. One that waits for its restart has not gone.
        let is_over = match self.flags.auto_shutdown() {
            AutoShutdown::Never => false,
            AutoShutdown::AnySignificant => true,
            AutoShutdown::AllSignificant => !self
                .children
                .slots()
                .any(|(_, slot)| slot.spec.is_significant() && !matches!(slot.status, Status::Stopped)),
        };
        if is_significant && is_over {
            self.stop(StopReason::Shutdown);
        }
    }

    /// A restart, or a further attempt at one. The child is in [`Status::Restarting`].
    fn restart(&mut self, key: Key, now: Duration) {
        let Some(slot) = self.children.get(key) else { return };
        let (spec, former) = (slot.spec.clone(), slot.former());
        // OTP, rules 2.9.1 and 2.9.3: each attempt is a mark; one too many and the supervisor ends with
        // shutdown.
        if !self.intensity.mark(now) {
            self.report(Report::Shutdown { spec, former });
            self.retire(key);
            return self.stop(StopReason::Shutdown);
        }
        match self.flags.backoff() {
            None => self.attempt(key),
            Some(backoff) => {
                let timer = self.arm(backoff.delay(self.intensity.restarts()));
                self.delays.insert(timer, key);
                self.set(key, Status::Restarting { former, delay: Some(timer) });
            }
        }
    }

    /// The restart itself, as the strategy wants it.
    fn attempt(&mut self, key: Key) {
        let set: Vec<Key> = match self.flags.strategy() {
            Strategy::OneForOne | Strategy::SimpleOneForOne => {
                self.work = Some(Work::new(Purpose::Restart).starting([key]));
                return;
            }
            // OTP, rule 2.9.5: all of them, those that were terminated on request included.
            Strategy::OneForAll => self.children.keys().collect(),
            // OTP, rule 2.9.6: the child and those that start after it. For a retry it is the one that
            // failed.
            Strategy::RestForOne => self.children.keys_from(key),
        };
        // The others end in reverse start order; temporary ones are not among those that start again.
        let ends: Vec<Key> = set.iter().rev().copied().filter(|other| *other != key).collect();
        let is_temporary = |other: &Key| {
            self.children.get(*other).is_none_or(|slot| slot.spec.restart() == Restart::Temporary)
        };
        let starts: Vec<Key> =
            set.iter().copied().filter(|other| *other == key || !is_temporary(other)).collect();
        self.work = Some(Work::new(Purpose::Restart).ending(ends).starting(starts));
    }

    /// OTP's `try_again_restart`: the child may have been terminated, deleted or restarted meanwhile.
    pub(crate) fn retry(&mut self, key: Key, now: Duration) {
        let waits = self
            .children
            .get(key)
            .is_some_and(|slot| matches!(slot.status, Status::Restarting { delay: None, .. }));
        if waits {
            self.restart(key, now);
        }
    }

    pub(crate) fn delay_over(&mut self, key: Key, timer: Timer) {
        let Some(slot) = self.children.get(key) else { return };
        if let Status::Restarting { former, delay: Some(awaited) } = &slot.status
            && *awaited == timer
        {
            let former = former.clone();
            self.set(key, Status::Restarting { former, delay: None });
            self.attempt(key);
        }
    }
}
