//! ensure_all_started: dependencies first, and all or nothing.

use std::collections::{BTreeMap, VecDeque};

use super::{Answer, AppName, Entry, Machine, State, Waiter};
use crate::application::error::StartError;
use crate::application::spec::StartType;

/// The starts that one request asks for.
pub(super) struct Plan<T> {
    pub(super) token: T,
    kind: StartType,
    ahead: VecDeque<AppName>,
    /// Those that it has started itself, in this order.
    started: Vec<AppName>,
    /// It has begun the one that it waits for.
    begun: bool,
    /// It has failed: what it has started is stopped again.
    pub(super) failed: Option<StartError>,
}

impl<T> Machine<T> {
    pub(in crate::application) fn handle_start_all(&mut self, token: T, name: &str, kind: StartType) {
        let ahead = match self.is_up().then(|| order(&self.applications, name)) {
            Some(Ok(ahead)) => ahead,
            Some(Err(error)) => return self.reply(token, Answer::StartAll(Err(error))),
            None => return self.reply(token, Answer::StartAll(Err(StartError::NodeStops))),
        };
        self.next_plan += 1;
        let plan = Plan { token, kind, ahead: ahead.into(), started: Vec::new(), begun: false, failed: None };
        self.plans.insert(self.next_plan, plan);
        self.advance(self.next_plan);
    }

    pub(super) fn plan_started(&mut self, id: u64, name: AppName) {
        if let Some(plan) = self.plans.get_mut(&id)
            && std::mem::take(&mut plan.begun)
        {
            plan.started.push(name);
        }
        self.advance(id);
    }

    pub(super) fn plan_failed(&mut self, id: u64, error: StartError) {
        if let Some(plan) = self.plans.get_mut(&id) {
            plan.begun = false;
            // Of what it undoes it only waits for the end.
            plan.failed.get_or_insert(error);
        }
        self.advance(id);
    }

    /// Goes on until something is to be waited for.
    pub(super) fn advance(&mut self, id: u64) {
        while let Some(plan) = self.plans.get_mut(&id) {
            let waits = match &plan.failed {
                Some(_) => match plan.started.pop() {
                    Some(name) => self.undo(id, name),
                    None => return self.finish(id),
                },
                None => match plan.ahead.front().copied() {
                    Some(name) => self.step(id, name),
                    None => return self.finish(id),
                },
            };
            if waits {
                return;
            }
        }
    }

    /// Starts the next one; true: that is to be waited for.
    fn step(&mut self, id: u64, name: AppName) -> bool {
        let state = self.state(name);
        let startable = self.startable(name);
        let Some(plan) = self.plans.get_mut(&id) else { return true };
        match (state, startable) {
            (Some(State::Running), _) => {
                plan.ahead.pop_front();
                return false;
            }
            (Some(State::Starting | State::Stopping), _) => {}
            (_, Ok(_)) => {
                plan.begun = true;
                let kind = plan.kind;
                self.begin(name, kind);
            }
            // It ran when this plan came by, and was stopped since: it is started again, as OTP does.
            (_, Err(StartError::NotStarted(needed))) => {
                match order(&self.applications, needed) {
                    Ok(ahead) => ahead.into_iter().rev().for_each(|name| plan.ahead.push_front(name)),
                    Err(error) => plan.failed = Some(error),
                }
                return false;
            }
            (_, Err(error)) => {
                plan.failed = Some(error);
                return false;
            }
        }
        self.wait(name, Waiter::Plan(id));
        true
    }

    /// Stops one that the plan has started; true: that is to be waited for.
    fn undo(&mut self, id: u64, name: AppName) -> bool {
        self.end(name);
        let stops = self.state(name) == Some(State::Stopping);
        if stops {
            self.wait(name, Waiter::Plan(id));
        }
        stops
    }

    fn finish(&mut self, id: u64) {
        if let Some(Plan { token, started, failed, .. }) = self.plans.remove(&id) {
            self.reply(token, Answer::StartAll(failed.map_or(Ok(started), Err)));
        }
    }
}

/// An application and all that it needs, what is needed first.
fn order<T>(applications: &BTreeMap<AppName, Entry<T>>, name: &str) -> Result<Vec<AppName>, StartError> {
    let mut ordered = Vec::new();
    visit(applications, name, &mut Vec::new(), &mut ordered)?;
    Ok(ordered)
}

fn visit<T>(
    applications: &BTreeMap<AppName, Entry<T>>,
    name: &str,
    path: &mut Vec<AppName>,
    ordered: &mut Vec<AppName>,
) -> Result<(), StartError> {
    let Some((&name, entry)) = applications.get_key_value(name) else {
        return Err(match path.last() {
            Some(&application) => StartError::Missing { application, dependency: name.to_owned() },
            None => StartError::NotLoaded(name.to_owned()),
        });
    };
    // What one that runs needs, it had.
    if ordered.contains(&name) || entry.state == State::Running {
        return Ok(());
    }
    if let Some(at) = path.iter().position(|seen| *seen == name) {
        let cycle = path[at..].iter().copied().chain([name]).collect();
        return Err(StartError::Cycle(cycle));
    }
    path.push(name);
    for need in &entry.needs {
        visit(applications, need, path, ordered)?;
    }
    path.pop();
    ordered.push(name);
    Ok(())
}
