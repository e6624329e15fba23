//! The decisions of the application controller, without a clock, a process or a runtime: `handle_*` takes an event,
//! [`Machine::poll`] gives what is to be done.
//!
//! Invariants:
//! - an application is begun only when all that it needs run, and never twice at a time;
//! - each token is answered once;
//! - when the node stops, applications end one after another, the youngest first, and nothing is begun any more.

mod node;
mod plan;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, VecDeque};

use self::node::NodeState;
use self::plan::Plan;
use super::error::{StartError, StopError, UnloadError};
use super::spec::StartType;
use crate::term::ExitReason;

pub(super) type AppName = &'static str;

/// What is to be done.
#[derive(Debug, PartialEq)]
pub(super) enum Action<T> {
    /// Run the application's start in a master of its own. Its end is `handle_started` or `handle_ended`.
    Start {
        name: AppName,
    },
    /// Tell the master to stop it in order. Its end is `handle_ended`.
    Stop {
        name: AppName,
    },
    /// The node begins to stop.
    Stopping,
    /// While the node stops: kill this one if it has not ended when the node's limit for one application is over
    /// (`handle_timeout`).
    /// One that is `half` up was still starting.
    Arm {
        name: AppName,
        half: bool,
    },
    /// Kill the master and all that belongs to the application.
    Kill {
        name: AppName,
    },
    Reply {
        token: T,
        answer: Answer,
    },
    Report(Report),
    /// All applications have ended: kill what is left of the node. The last action of all.
    Halt {
        code: u8,
    },
}

/// The answer to a request, in its kind.
#[derive(Debug, PartialEq)]
pub(super) enum Answer {
    /// False: one of the name is loaded.
    Load(bool),
    Unload(Result<(), UnloadError>),
    Start(Result<(), StartError>),
    StartAll(Result<Vec<AppName>, StartError>),
    Stop(Result<(), StopError>),
}

/// What is told to those who watch the node.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Report {
    Started {
        name: AppName,
    },
    /// It has ended by itself, or its start has failed; `takes_node`: the node stops because of it.
    Exited {
        name: AppName,
        kind: StartType,
        reason: ExitReason,
        started: bool,
        takes_node: bool,
    },
    Stopped {
        name: AppName,
    },
}

/// What an application is doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum State {
    /// Known, and never started, or stopped by request.
    Loaded,
    Starting,
    Running,
    Stopping,
    /// The node stops, and it was still starting: it ends when its turn comes.
    Aborting,
    /// It ended by itself.
    Ended,
}

/// Whether a start of what runs is an error.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Mode {
    Once,
    Ensure,
}

struct Entry<T> {
    needs: Vec<AppName>,
    state: State,
    kind: StartType,
    /// Who waits for the end of its start or its stop.
    waiting: Vec<Waiter<T>>,
}

enum Waiter<T> {
    Start(T),
    Stop(T),
    /// It is to be started when it has stopped.
    Again(T, StartType, Mode),
    Plan(u64),
}

pub(super) struct Machine<T> {
    applications: BTreeMap<AppName, Entry<T>>,
    /// Those that run or stop, in the order of their starts.
    running: Vec<AppName>,
    plans: BTreeMap<u64, Plan<T>>,
    next_plan: u64,
    node: NodeState,
    actions: VecDeque<Action<T>>,
}

impl<T> Default for Machine<T> {
    fn default() -> Self {
        Machine {
            applications: BTreeMap::new(),
            running: Vec::new(),
            plans: BTreeMap::new(),
            next_plan: 0,
            node: NodeState::Up,
            actions: VecDeque::new(),
        }
    }
}

impl<T> Machine<T> {
    /// What is to be done next; `None`: nothing before the next event.
    pub(super) fn poll(&mut self) -> Option<Action<T>> {
        self.actions.pop_front()
    }

    /// Those that run, in the order of their starts. One that is being stopped still does, and so does one that was
    /// starting when the node began to stop.
    pub(super) fn running(&self) -> &[AppName] {
        &self.running
    }

    pub(super) fn state(&self, name: &str) -> Option<State> {
        self.applications.get(name).map(|entry| entry.state)
    }

    pub(super) fn handle_load(&mut self, token: T, name: AppName, needs: Vec<AppName>) {
        let is_new = !self.applications.contains_key(name);
        if is_new {
            let entry =
                Entry { needs, state: State::Loaded, kind: StartType::default(), waiting: Vec::new() };
            self.applications.insert(name, entry);
        }
        self.reply(token, Answer::Load(is_new));
    }

    pub(super) fn handle_unload(&mut self, token: T, name: &str) {
        let answer = match self.state(name) {
            None => Err(UnloadError::NotLoaded(name.to_owned())),
            Some(State::Loaded | State::Ended) => Ok(()),
            Some(State::Starting | State::Running | State::Stopping | State::Aborting) => {
                Err(UnloadError::Running(name.to_owned()))
            }
        };
        if answer.is_ok() {
            self.applications.remove(name);
        }
        self.reply(token, Answer::Unload(answer));
    }

    pub(super) fn handle_start(&mut self, token: T, name: &str, kind: StartType, mode: Mode) {
        let refused = match self.startable(name) {
            Ok(name) => {
                if let Some(entry) = self.applications.get_mut(name) {
                    entry.waiting.push(Waiter::Start(token));
                }
                return self.begin(name, kind);
            }
            Err(refused) => refused,
        };
        let Some(entry) = self.applications.get_mut(name).filter(|_| refused != StartError::NodeStops) else {
            return self.reply(token, Answer::Start(Err(refused)));
        };
        match (entry.state, mode) {
            // Two who start it at once both hear how that went (APP-023).
            (State::Starting, _) => entry.waiting.push(Waiter::Start(token)),
            (State::Stopping, _) => entry.waiting.push(Waiter::Again(token, kind, mode)),
            (State::Running, Mode::Ensure) => self.reply(token, Answer::Start(Ok(()))),
            _ => self.reply(token, Answer::Start(Err(refused))),
        }
    }

    pub(super) fn handle_stop(&mut self, token: T, name: &str) {
        let Some((&name, entry)) = self.applications.get_key_value(name) else {
            return self.reply(token, Answer::Stop(Err(StopError::NotStarted(name.to_owned()))));
        };
        match entry.state {
            State::Loaded | State::Starting | State::Ended => {
                self.reply(token, Answer::Stop(Err(StopError::NotStarted(name.to_owned()))));
            }
            State::Running | State::Stopping | State::Aborting => {
                self.wait(name, Waiter::Stop(token));
                // While the node stops its turn comes.
                if self.is_up() {
                    self.end(name);
                }
            }
        }
    }

    /// The application is up: its tree runs, and its start phases are done.
    pub(super) fn handle_started(&mut self, name: AppName) {
        if self.state(name) != Some(State::Starting) || !self.is_up() {
            return;
        }
        self.set(name, State::Running);
        self.running.push(name);
        self.actions.push_back(Action::Report(Report::Started { name }));
        for waiter in self.waiters(name) {
            match waiter {
                Waiter::Start(token) => self.reply(token, Answer::Start(Ok(()))),
                Waiter::Plan(plan) => self.plan_started(plan, name),
                Waiter::Stop(token) => self.handle_stop(token, name),
                Waiter::Again(token, kind, mode) => self.handle_start(token, name, kind, mode),
            }
        }
    }

    /// The application is gone, with this reason: stopped, ended by itself, or not started.
    pub(super) fn handle_ended(&mut self, name: AppName, reason: ExitReason) {
        let Some(entry) = self.applications.get(name) else { return };
        let (state, kind) = (entry.state, entry.kind);
        self.running.retain(|running| *running != name);
        match state {
            State::Loaded | State::Ended => return,
            State::Starting | State::Stopping | State::Aborting => self.set(name, State::Loaded),
            State::Running => self.set(name, State::Ended),
        }
        let takes_node = state != State::Stopping && self.is_up() && takes_node(kind, &reason);
        self.actions.push_back(Action::Report(match state {
            State::Stopping | State::Aborting => Report::Stopped { name },
            _ => {
                let started = state == State::Running;
                Report::Exited { name, kind, reason: reason.clone(), started, takes_node }
            }
        }));
        self.tell_ended(name, state, &reason);
        if takes_node {
            self.handle_node_stop(1);
        }
        self.go_on_stopping(name);
    }

    fn tell_ended(&mut self, name: AppName, was: State, reason: &ExitReason) {
        let failed = || StartError::Failed { application: name, reason: reason.clone() };
        for waiter in self.waiters(name) {
            match waiter {
                Waiter::Start(token) => self.reply(token, Answer::Start(Err(failed()))),
                Waiter::Stop(token) => self.reply(token, Answer::Stop(Ok(()))),
                Waiter::Again(token, kind, mode) => self.handle_start(token, name, kind, mode),
                Waiter::Plan(plan) if was == State::Starting => self.plan_failed(plan, failed()),
                Waiter::Plan(plan) => self.advance(plan),
            }
        }
    }

    /// The name as it is known, if the application can be begun now; else why not.
    fn startable(&self, name: &str) -> Result<AppName, StartError> {
        if !self.is_up() {
            return Err(StartError::NodeStops);
        }
        let Some((&name, entry)) = self.applications.get_key_value(name) else {
            return Err(StartError::NotLoaded(name.to_owned()));
        };
        if !matches!(entry.state, State::Loaded | State::Ended) {
            return Err(StartError::AlreadyStarted(name));
        }
        // Rule 2.15.1: all dependencies run.
        for &need in &entry.needs {
            match self.state(need) {
                Some(State::Running) => {}
                Some(State::Ended) => return Err(StartError::NotRunning(need)),
                _ => return Err(StartError::NotStarted(need)),
            }
        }
        Ok(name)
    }

    fn begin(&mut self, name: AppName, kind: StartType) {
        if let Some(entry) = self.applications.get_mut(name) {
            entry.state = State::Starting;
            entry.kind = kind;
            self.actions.push_back(Action::Start { name });
        }
    }

    /// Begins the end of one that runs.
    fn end(&mut self, name: AppName) {
        if matches!(self.state(name), Some(State::Running | State::Aborting)) {
            self.set(name, State::Stopping);
            self.actions.push_back(Action::Stop { name });
        }
    }

    fn set(&mut self, name: AppName, state: State) {
        if let Some(entry) = self.applications.get_mut(name) {
            entry.state = state;
        }
    }

    fn wait(&mut self, name: AppName, waiter: Waiter<T>) {
        if let Some(entry) = self.applications.get_mut(name) {
            entry.waiting.push(waiter);
        }
    }

    fn waiters(&mut self, name: AppName) -> Vec<Waiter<T>> {
        self.applications.get_mut(name).map(|entry| std::mem::take(&mut entry.waiting)).unwrap_or_default()
    }

    fn reply(&mut self, token: T, answer: Answer) {
        self.actions.push_back(Action::Reply { token, answer });
    }
}

/// Rule 2.15.3: a permanent application takes the node down however it ends, a transient one unless it ends normally
/// (shutdown is not), a temporary one never.
fn takes_node(kind: StartType, reason: &ExitReason) -> bool {
    match kind {
        StartType::Permanent => true,
        StartType::Transient => *reason != ExitReason::Normal,
        StartType::Temporary => false,
    }
}
