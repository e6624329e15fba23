//! How a sequence of ends and starts goes on: one step at a time, each answered by the world.

use crate::children::Status;
use crate::work::{Ending, Purpose, Wait, Work};
use crate::{
    Action, Answer, ChildSpec, ExitClass, Key, Reason, Report, Restart, RestartChildError, Shutdown, Signal,
    StartChildError, StopReason, Supervisor, Timer,
};
use alloc::collections::{BTreeMap, VecDeque};
use alloc::sync::Arc;
use alloc::vec::Vec;

impl<P: Clone + Ord, T, R: Reason> Supervisor<P, T, R> {
    /// Takes steps until one has to wait or none is left.
    pub(crate) fn advance(&mut self) {
        while let Some(work) = &mut self.work {
            if !matches!(work.wait, Wait::Nothing) {
                return;
            }
            if let Some(key) = work.ends.pop_front() {
                self.end([key]);
            } else if let Some(key) = work.starts.pop_front() {
                work.wait = Wait::Started(key);
                self.act(Action::Start { key });
            } else {
                self.finish();
            }
        }
    }

    fn finish(&mut self) {
        match self.work.take().map(|work| work.purpose) {
            Some(Purpose::Init) => self.act(Action::Ready),
            Some(Purpose::TerminateChild { token }) => {
                self.act(Action::Reply { token, answer: Answer::TerminateChild(Ok(())) });
            }
            Some(Purpose::Stop(reason)) => {
                self.stopped = true;
                while let Some(letter) = self.inbox.pop() {
                    self.turn_away(letter);
                }
                self.act(Action::Stop { reason });
            }
            // Answered when the start was; nobody waits for a restart.
            Some(Purpose::StartChild { .. } | Purpose::RestartChild { .. } | Purpose::Restart) | None => {}
        }
    }

    /// Ends all children, then the supervisor.
    pub(crate) fn stop(&mut self, reason: StopReason<R>) {
        let work = Work::new(Purpose::Stop(reason));
        if self.flags.is_simple() {
            // OTP, rule 2.11.2: dynamic children all at once, with one common timer.
            let all: Vec<Key> = self.children.keys().collect();
            self.work = Some(work);
            self.end(all);
        } else {
            // OTP, rule 2.11.1: in reverse start order, one after the other, each with its own timer.
            self.work = Some(work.ending(self.children.keys().rev()));
        }
    }

    /// Tells these children to end and waits for those that run. They share a specification if they are
    /// several.
    fn end(&mut self, keys: impl IntoIterator<Item = Key>) {
        let mut left = BTreeMap::new();
        let mut shared: Option<Arc<ChildSpec>> = None;
        for key in keys {
            let Some((pid, spec)) = self.children.get(key).and_then(|slot| match &slot.status {
                Status::Running(pid) => Some((pid.clone(), slot.spec.clone())),
                Status::Stopped | Status::Restarting { .. } => None,
            }) else {
                self.retire(key);
                continue;
            };
            let signal = match spec.shutdown() {
                Shutdown::BrutalKill => Signal::Kill,
                Shutdown::Timeout(_) | Shutdown::Infinity => Signal::Shutdown,
            };
            // OTP, rule 2.11.3: monitor first, so that a child that has unlinked itself is still seen to end.
            self.act(Action::Monitor { pid: pid.clone() });
            self.act(Action::Exit { pid: pid.clone(), signal });
            let seen = self.inbox.take_exit(&pid);
            left.insert(pid, (key, seen));
            shared = Some(spec);
        }
        let Some(spec) = shared else { return };
        let timer = match spec.shutdown() {
            Shutdown::Timeout(after) => Some(self.arm(after)),
            Shutdown::BrutalKill | Shutdown::Infinity => None,
        };
        if let Some(work) = &mut self.work {
            work.wait = Wait::Down(Ending { spec, left, timer, errors: Vec::new() });
        }
    }

    pub(crate) fn ending(&mut self) -> Option<&mut Ending<P, R>> {
        match self.work.as_mut().map(|work| &mut work.wait) {
            Some(Wait::Down(ending)) => Some(ending),
            _ => None,
        }
    }

    /// A child that was told to end has ended.
    pub(crate) fn ended(&mut self, pid: &P, down: R) {
        let Some(ending) = self.ending() else { return };
        let Some((key, seen)) = ending.left.remove(pid) else { return };
        let reason = seen.unwrap_or(down);
        if !is_good_end(&ending.spec, reason.class()) {
            ending.errors.push((pid.clone(), reason));
        }
        if ending.left.is_empty() {
            let spec = ending.spec.clone();
            let timer = ending.timer.take();
            let ended = core::mem::take(&mut ending.errors);
            if let Some(timer) = timer {
                self.act(Action::Cancel { timer });
            }
            self.report_errors(spec, ended);
            if let Some(work) = &mut self.work {
                work.wait = Wait::Nothing;
            }
        }
        self.retire(key);
    }

    fn report_errors(&mut self, spec: Arc<ChildSpec>, ended: Vec<(P, R)>) {
        let is_stop = matches!(self.work.as_ref().map(|work| &work.purpose), Some(Purpose::Stop(_)));
        // OTP, rule 2.11.2: what dynamic children ended with is summed up when the supervisor ends.
        if self.flags.is_simple() && is_stop {
            if !ended.is_empty() {
                self.report(Report::ShutdownErrors { spec, ended });
            }
            return;
        }
        for (pid, reason) in ended {
            self.report(Report::ShutdownError { spec: spec.clone(), pid, reason });
        }
    }

    /// OTP, rule 2.11.3: at expiry those that are left are killed, and waited for.
    pub(crate) fn kill_those_left(&mut self, timer: Timer) {
        let Some(ending) = self.ending().filter(|ending| ending.timer == Some(timer)) else { return };
        ending.timer = None;
        let left: Vec<P> = ending.left.keys().cloned().collect();
        for pid in left {
            self.act(Action::Exit { pid, signal: Signal::Kill });
        }
    }

    /// A start has been answered.
    pub(crate) fn started(&mut self, key: Key, outcome: Result<Option<P>, R>) {
        let Some(work) = self.work.take() else { return };
        match work.purpose {
            Purpose::Init | Purpose::Restart => {
                let is_init = matches!(work.purpose, Purpose::Init);
                match outcome {
                    Ok(Some(pid)) => self.up(key, pid),
                    // OTP, rule 2.6: ignore keeps the child with pid undefined and drops a temporary or
                    // dynamic one; a dynamic one that ignores its restart is dropped in releases newer than OTP 25.
                    Ok(None) => self.retire(key),
                    Err(reason) if is_init => return self.init_failed(key, reason),
                    Err(reason) => return self.restart_failed(key, reason, work.starts),
                }
                self.work = Some(work);
            }
            Purpose::StartChild { token, spec, dynamic } => {
                let answer = Answer::StartChild(self.child_started(key, spec, dynamic, outcome));
                self.act(Action::Reply { token, answer });
            }
            Purpose::RestartChild { token } => {
                if let Ok(Some(pid)) = &outcome {
                    self.up(key, pid.clone());
                }
                let answer = Answer::RestartChild(outcome.map_err(RestartChildError::Failed));
                self.act(Action::Reply { token, answer });
            }
            // These start nothing.
            Purpose::TerminateChild { .. } | Purpose::Stop(_) => self.work = Some(work),
        }
    }

    fn up(&mut self, key: Key, pid: P) {
        self.set(key, Status::Running(pid.clone()));
        let Some(slot) = self.children.get(key) else { return };
        let (spec, dynamic) = (slot.spec.clone(), slot.dynamic);
        let is_temporary = spec.restart() == Restart::Temporary;
        if !dynamic {
            self.report(Report::Progress { spec, pid });
        }
        // OTP does not keep the start arguments of temporary children: nothing starts them again.
        if is_temporary {
            self.forget(key);
        }
    }

    fn child_started(
        &mut self,
        key: Key,
        spec: Arc<ChildSpec>,
        dynamic: bool,
        outcome: Result<Option<P>, R>,
    ) -> Result<Option<P>, StartChildError<P, R>> {
        match &outcome {
            Ok(Some(pid)) => {
                self.children.add(key, spec, dynamic);
                self.up(key, pid.clone());
            }
            // OTP, rule 2.6: the specification is kept, unless the child is temporary or dynamic.
            Ok(None) if !dynamic && spec.restart() != Restart::Temporary => {
                self.children.add(key, spec, dynamic)
            }
            // OTP: if the start function fails, the specification is discarded and the supervisor is not
            // affected.
            Ok(None) | Err(_) => self.act(Action::Forget { key }),
        }
        outcome.map_err(StartChildError::Failed)
    }

    /// OTP, rule 2.6: the siblings started so far are shut down in reverse order and the supervisor ends.
    fn init_failed(&mut self, key: Key, reason: R) {
        let Some(slot) = self.children.get(key) else { return };
        let spec = slot.spec.clone();
        self.report(Report::StartError { spec: spec.clone(), former: None, reason: reason.clone() });
        self.stop(StopReason::FailedToStartChild { id: spec.id().clone(), reason });
    }

    /// OTP, rule 2.9.7: the child that failed is restarting, and the supervisor reads its mailbox before it
    /// tries again.
    fn restart_failed(&mut self, key: Key, reason: R, not_started: VecDeque<Key>) {
        let Some(slot) = self.children.get(key) else { return };
        let (spec, former) = (slot.spec.clone(), slot.former());
        // The child whose end was the cause, if it comes after the one that failed: it is not the one that is
        // retried.
        for later in not_started {
            self.set(later, Status::Stopped);
        }
        self.set(key, Status::Restarting { former: former.clone(), delay: None });
        self.report(Report::StartError { spec, former, reason });
        self.act(Action::Retry { key });
    }

    /// A child has ended and is not to run again on its own account: OTP's `del_child`. A temporary or
    /// dynamic child goes, the specification of any other stays.
    pub(crate) fn retire(&mut self, key: Key) {
        let Some(slot) = self.children.get(key) else { return };
        let goes = slot.dynamic || slot.spec.restart() == Restart::Temporary;
        self.set(key, Status::Stopped);
        if goes {
            self.remove(key);
        }
    }

    /// Takes a child that does not run out of the table.
    pub(crate) fn remove(&mut self, key: Key) {
        self.forget(key);
        self.children.remove(key);
    }

    pub(crate) fn forget(&mut self, key: Key) {
        if self.children.release(key) {
            self.act(Action::Forget { key });
        }
    }
}

/// OTP, rule 2.11.5: shutdown is always a good end, normal and `{shutdown, _}` only of a child that is not
/// permanent; of a brutal_kill child killed is the good end, and shutdown too if it is not permanent.
fn is_good_end(spec: &ChildSpec, class: ExitClass) -> bool {
    let wanted = match spec.shutdown() {
        Shutdown::BrutalKill => ExitClass::Killed,
        Shutdown::Timeout(_) | Shutdown::Infinity => ExitClass::Shutdown,
    };
    class == wanted || (spec.restart() != Restart::Permanent && class.is_clean())
}
