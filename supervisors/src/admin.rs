//! Requests: what callers may ask of a supervisor between its restarts.

use crate::children::{Slot, Status};
use crate::invalid::check_childspec;
use crate::work::{Purpose, Work};
use crate::{
    Action, Answer, Child, ChildInfo, ChildSpec, ChildState, ChildType, Counts, DeleteChildError, Key,
    NotFound, Reason, Request, RestartChildError, StartChildError, Supervisor, TerminateChildError,
};
use alloc::sync::Arc;
use alloc::vec::Vec;

impl<P: Clone + Ord, T, R: Reason> Supervisor<P, T, R> {
    pub(crate) fn start_child(&mut self, token: T, key: Key, spec: ChildSpec) {
        let refusal = if self.flags.is_simple() {
            Some(StartChildError::WrongStrategy)
        } else if let Err(error) = check_childspec(&spec, self.flags.auto_shutdown()) {
            Some(StartChildError::Spec(error))
        } else {
            self.children.by_id(spec.id()).and_then(|key| self.children.get(key)).map(|slot| {
                match &slot.status {
                    Status::Running(pid) => StartChildError::AlreadyStarted(pid.clone()),
                    Status::Stopped | Status::Restarting { .. } => StartChildError::AlreadyPresent,
                }
            })
        };
        match refusal {
            Some(error) => self.refuse_start(token, key, error),
            None => self.start_new(token, key, Arc::new(spec), false),
        }
    }

    pub(crate) fn start_dynamic(&mut self, token: T, key: Key) {
        match &self.template {
            None => self.refuse_start(token, key, StartChildError::WrongStrategy),
            Some(_) if self.flags.max_children().is_some_and(|max| self.children.len() >= max) => {
                self.refuse_start(token, key, StartChildError::MaxChildren);
            }
            Some((_, spec)) => self.start_new(token, key, spec.clone(), true),
        }
    }

    fn start_new(&mut self, token: T, key: Key, spec: Arc<ChildSpec>, dynamic: bool) {
        self.work = Some(Work::new(Purpose::StartChild { token, spec, dynamic }).starting([key]));
    }

    fn refuse_start(&mut self, token: T, key: Key, error: StartChildError<P, R>) {
        self.act(Action::Forget { key });
        self.act(Action::Reply { token, answer: Answer::StartChild(Err(error)) });
    }

    pub(crate) fn serve(&mut self, token: T, request: Request<P>) {
        let answer = match request {
            Request::TerminateChild(child) => match self.terminate_child(&child) {
                // OTP, rule 2.11.8: ok also if it does not run.
                Ok(key) => {
                    self.work = Some(Work::new(Purpose::TerminateChild { token }).ending(key));
                    return;
                }
                Err(error) => Answer::TerminateChild(Err(error)),
            },
            Request::RestartChild(child) => match self.restart_child(&child) {
                Ok(key) => {
                    self.work = Some(Work::new(Purpose::RestartChild { token }).starting([key]));
                    return;
                }
                Err(error) => Answer::RestartChild(Err(error)),
            },
            Request::DeleteChild(child) => Answer::DeleteChild(self.delete_child(&child)),
            Request::WhichChildren => Answer::WhichChildren(
                self.children.slots().rev().map(|(_, slot)| info(slot)).collect::<Vec<_>>(),
            ),
            Request::WhichChild(child) => Answer::WhichChild(self.which_child(&child)),
            Request::CountChildren => Answer::CountChildren(self.count_children()),
            Request::GetChildspec(child) => Answer::GetChildspec(self.childspec(&child)),
        };
        self.act(Action::Reply { token, answer });
    }

    /// The child to terminate; `None` for a dead stranger.
    fn terminate_child(&self, child: &Child<P>) -> Result<Option<Key>, TerminateChildError> {
        match child {
            Child::Id(_) if self.flags.is_simple() => Err(TerminateChildError::SimpleOneForOne),
            // OTP: a live process that is no child is not_found and not touched; a dead one cannot be told
            // from a child that has just gone, so it is ok.
            Child::Pid { alive: false, .. } if self.flags.is_simple() => Ok(self.find(child)),
            Child::Id(_) | Child::Pid { .. } => {
                self.find(child).map(Some).ok_or(TerminateChildError::NotFound)
            }
        }
    }

    /// The child to start. OTP, rule 2.9.7: not while the supervisor itself is restarting it.
    fn restart_child(&self, child: &Child<P>) -> Result<Key, RestartChildError<R>> {
        if self.flags.is_simple() {
            return Err(RestartChildError::SimpleOneForOne);
        }
        match self.find_slot(child) {
            None => Err(RestartChildError::NotFound),
            Some((key, slot)) => match slot.status {
                Status::Stopped => Ok(key),
                Status::Running(_) => Err(RestartChildError::Running),
                Status::Restarting { .. } => Err(RestartChildError::Restarting),
            },
        }
    }

    fn delete_child(&mut self, child: &Child<P>) -> Result<(), DeleteChildError> {
        if self.flags.is_simple() {
            return Err(DeleteChildError::SimpleOneForOne);
        }
        let (key, slot) = self.find_slot(child).ok_or(DeleteChildError::NotFound)?;
        match slot.status {
            Status::Running(_) => Err(DeleteChildError::Running),
            Status::Restarting { .. } => Err(DeleteChildError::Restarting),
            Status::Stopped => {
                self.remove(key);
                Ok(())
            }
        }
    }

    fn which_child(&self, child: &Child<P>) -> Result<ChildInfo<P>, NotFound> {
        self.find_slot(child).map(|(_, slot)| info(slot)).ok_or(NotFound)
    }

    /// OTP, SUP-014: every child of a simple_one_for_one supervisor has the one template, a dead stranger
    /// too.
    fn childspec(&self, child: &Child<P>) -> Result<Arc<ChildSpec>, NotFound> {
        let found = self.find_slot(child).map(|(_, slot)| slot.spec.clone());
        let of_template = self.template.as_ref().filter(|(_, spec)| match child {
            Child::Id(id) => spec.id() == id,
            Child::Pid { alive, .. } => !alive,
        });
        found.or_else(|| of_template.map(|(_, spec)| spec.clone())).ok_or(NotFound)
    }

    fn count_children(&self) -> Counts {
        let all = self.children.len();
        if let Some((_, spec)) = &self.template {
            let of_type = |wanted| if spec.child_type() == wanted { all } else { 0 };
            return Counts {
                specs: 1,
                active: self.children.running(),
                supervisors: of_type(ChildType::Supervisor),
                workers: of_type(ChildType::Worker),
            };
        }
        let supervisors =
            self.children.slots().filter(|(_, slot)| slot.spec.child_type() == ChildType::Supervisor).count();
        // OTP asks whether each process is alive, and so counts none whose EXIT still waits.
        let is_active =
            |slot: &Slot<P>| matches!(slot.state(), ChildState::Running(pid) if !self.inbox.holds_exit(&pid));
        let active = self.children.slots().filter(|(_, slot)| is_active(slot)).count();
        Counts { specs: all, active, supervisors, workers: all - supervisors }
    }

    /// OTP, SUP-024: by process only in a simple_one_for_one supervisor, and there also by the process that a
    /// child had before its restart failed (SUP-077); by id only in the others.
    fn find(&self, child: &Child<P>) -> Option<Key> {
        match child {
            Child::Id(id) => self.children.by_id(id),
            Child::Pid { pid, .. } if self.flags.is_simple() => self.children.by_pid_or_former(pid),
            Child::Pid { .. } => None,
        }
    }

    fn find_slot(&self, child: &Child<P>) -> Option<(Key, &Slot<P>)> {
        let key = self.find(child)?;
        Some((key, self.children.get(key)?))
    }
}

fn info<P: Clone>(slot: &Slot<P>) -> ChildInfo<P> {
    ChildInfo {
        id: (!slot.dynamic).then(|| slot.spec.id().clone()),
        state: slot.state(),
        child_type: slot.spec.child_type(),
        modules: slot.spec.modules().to_vec(),
    }
}
