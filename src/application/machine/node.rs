//! The node's stop: applications end in the reverse order of their starts.

use super::{Action, Answer, AppName, Machine, State, Waiter};
use crate::application::error::StartError;

pub(super) enum NodeState {
    Up,
    /// The application whose end is waited for.
    Stopping {
        code: u8,
        current: Option<AppName>,
    },
    Down,
}

impl<T> Machine<T> {
    pub(super) fn is_up(&self) -> bool {
        matches!(self.node, NodeState::Up)
    }

    /// The node is to stop with this code. A second time it changes nothing.
    pub(in crate::application) fn handle_node_stop(&mut self, code: u8) {
        if !self.is_up() {
            return;
        }
        self.node = NodeState::Stopping { code, current: None };
        self.actions.push_back(Action::Stopping);
        for plan in std::mem::take(&mut self.plans).into_values() {
            // What has failed before says more.
            let error = plan.failed.unwrap_or(StartError::NodeStops);
            self.reply(plan.token, Answer::StartAll(Err(error)));
        }
        let names: Vec<AppName> = self.applications.keys().copied().collect();
        for name in names {
            // What is half up is the youngest.
            if self.state(name) == Some(State::Starting) {
                self.set(name, State::Aborting);
                self.running.push(name);
            }
            for waiter in self.waiters(name) {
                match waiter {
                    Waiter::Start(token) | Waiter::Again(token, ..) => {
                        self.reply(token, Answer::Start(Err(StartError::NodeStops)));
                    }
                    Waiter::Stop(_) => self.wait(name, waiter),
                    Waiter::Plan(_) => {}
                }
            }
        }
        self.end_next();
    }

    /// The application has had the time that an application may take while the node stops.
    pub(in crate::application) fn handle_timeout(&mut self, name: AppName) {
        if matches!(self.node, NodeState::Stopping { current: Some(current), .. } if current == name) {
            self.actions.push_back(Action::Kill { name });
        }
    }

    /// One has ended: if the node's stop waits for it, the next one's turn has come.
    pub(super) fn go_on_stopping(&mut self, ended: AppName) {
        if let NodeState::Stopping { current, .. } = &mut self.node
            && *current == Some(ended)
        {
            *current = None;
            self.end_next();
        }
    }

    fn end_next(&mut self) {
        let NodeState::Stopping { code, current } = &mut self.node else { return };
        // Rule 2.15.4: in reverse start order.
        match self.running.last() {
            Some(&name) => {
                *current = Some(name);
                let half = self.state(name) == Some(State::Aborting);
                self.end(name);
                self.actions.push_back(Action::Arm { name, half });
            }
            None => {
                let code = *code;
                self.node = NodeState::Down;
                self.actions.push_back(Action::Halt { code });
            }
        }
    }
}
