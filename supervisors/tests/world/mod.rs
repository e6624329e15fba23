//! A simulated world: a driver whose processes are numbers, and whose every step is written down.
//!
//! It keeps a mailbox as a driver would, carries out each action at once, and logs what an observer from
//! outside would see, in the words of `golden/README.md`.

#![allow(dead_code, reason = "each test binary uses its own part")]

use incarnate_supervisors::{
    Action, Answer, Child, ChildSpec, ExitClass, Flags, InitError, Key, Reason, Request, Signal, StopReason,
    Supervisor, Timer,
};
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::fmt;
use std::time::Duration;

pub mod scenario;
pub mod words;

/// An exit reason or the reason of a failed start, by the word that stands for it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Why(pub String);

impl Why {
    pub fn new(word: &str) -> Self {
        Self(word.into())
    }
}

impl Reason for Why {
    fn class(&self) -> ExitClass {
        match self.0.as_str() {
            "normal" => ExitClass::Normal,
            "shutdown" => ExitClass::Shutdown,
            "with" => ExitClass::ShutdownWith,
            "killed" => ExitClass::Killed,
            _ => ExitClass::Abnormal,
        }
    }
}

impl fmt::Display for Why {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A process: the name of its child and which life of it this is. Prints as `a#1`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Pid(pub String, pub u32);

impl fmt::Display for Pid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}#{}", self.0, self.1)
    }
}

/// A caller that waits, by the request that it made.
pub type Caller = &'static str;

pub type Machine = Supervisor<Pid, Caller, Why>;

enum Mail {
    Started(Key, Result<Option<Pid>, Why>),
    Exited(Pid, Why),
    Down(Pid, Why),
    Retry(Key),
}

/// A supervisor and all that it sees.
pub struct World {
    pub machine: Machine,
    pub log: Vec<String>,
    pub stopped: bool,
    /// Whether each step is played to its end. Otherwise mail waits for [`World::deliver`], in any order.
    pub patient: bool,
    /// How many callers have asked, and how many have been answered or let go.
    pub asked: usize,
    pub answered: usize,
    now: Duration,
    names: BTreeMap<Key, String>,
    /// For each code change that waits for its answer, the names of its children, in order.
    new_names: VecDeque<Vec<String>>,
    starts: BTreeMap<String, VecDeque<String>>,
    stops: BTreeMap<String, String>,
    lives: BTreeMap<String, u32>,
    alive: BTreeSet<Pid>,
    monitored: Vec<Pid>,
    gates: BTreeMap<String, Key>,
    timers: BTreeMap<Timer, Duration>,
    mailbox: VecDeque<Mail>,
    simple: bool,
}

impl World {
    /// A supervisor whose first actions nobody has carried out yet.
    pub fn new(flags: Flags, specs: Vec<ChildSpec>) -> Result<Self, InitError> {
        let simple = flags.strategy() == incarnate_supervisors::Strategy::SimpleOneForOne;
        let names: Vec<String> = specs.iter().map(|spec| spec.id().to_string()).collect();
        let (machine, keys) = Supervisor::new(flags, specs)?;
        Ok(Self {
            machine,
            log: Vec::new(),
            stopped: false,
            patient: true,
            asked: 0,
            answered: 0,
            now: Duration::ZERO,
            names: keys.into_iter().zip(names).collect(),
            new_names: VecDeque::new(),
            starts: BTreeMap::new(),
            stops: BTreeMap::new(),
            lives: BTreeMap::new(),
            alive: BTreeSet::new(),
            monitored: Vec::new(),
            gates: BTreeMap::new(),
            timers: BTreeMap::new(),
            mailbox: VecDeque::new(),
            simple,
        })
    }

    /// The outcomes of a child's starts, one after the other: ok, fail, ignore or gate; ok when there are no
    /// more.
    pub fn script_starts<'a>(&mut self, name: &str, outcomes: impl IntoIterator<Item = &'a str>) {
        self.starts.insert(name.into(), outcomes.into_iter().map(Into::into).collect());
    }

    /// What a child ends with when it is told to: a reason, or hang.
    pub fn script_stops(&mut self, name: &str, how: &str) {
        self.stops.insert(name.into(), how.into());
    }

    /// The latest process of a child, alive or not.
    pub fn pid(&self, name: &str) -> Pid {
        Pid(name.into(), self.lives.get(name).copied().unwrap_or(0))
    }

    pub fn is_alive(&self, name: &str) -> bool {
        self.alive.contains(&self.pid(name))
    }

    pub fn write(&mut self, line: impl Into<String>) {
        self.log.push(line.into());
    }

    /// A child ends by itself.
    pub fn exit(&mut self, name: &str, reason: &str) {
        let reason = if reason == "kill" { "killed" } else { reason };
        if let Some(pid) = self.alive.iter().rfind(|pid| pid.0 == name).cloned() {
            self.end(&pid, reason);
        }
        self.settle();
    }

    /// A start that waits at its gate goes on.
    pub fn release(&mut self, name: &str, outcome: &str) {
        if let Some(key) = self.gates.remove(name) {
            self.start(key, name.into(), outcome);
        }
        self.settle();
    }

    pub fn start_child(&mut self, spec: ChildSpec) {
        self.asked += 1;
        let name = spec.id().to_string();
        let key = self.machine.handle_start_child("start_child", spec, self.now);
        self.names.insert(key, name);
        self.settle();
    }

    pub fn start_dynamic(&mut self, name: &str) {
        self.asked += 1;
        let key = self.machine.handle_start_dynamic("start_child", self.now);
        self.names.insert(key, name.into());
        self.settle();
    }

    pub fn request(&mut self, caller: Caller, request: Request<Pid>) {
        self.asked += 1;
        self.machine.handle_request(caller, request, self.now);
        self.settle();
    }

    pub fn code_change(&mut self, flags: Flags, specs: Vec<ChildSpec>) {
        self.asked += 1;
        self.new_names.push_back(specs.iter().map(|spec| spec.id().to_string()).collect());
        self.machine.handle_code_change("code_change", flags, specs, self.now);
        self.settle();
    }

    pub fn shutdown(&mut self, reason: &str) {
        self.machine.handle_shutdown(Why::new(reason), self.now);
        self.settle();
    }

    /// Lets time pass, and every timer run out when it is due.
    pub fn wait(&mut self, time: Duration) {
        let until = self.now + time;
        while let Some((timer, due)) =
            self.timers.iter().map(|(timer, due)| (*timer, *due)).min_by_key(|(_, due)| *due)
            && due <= until
        {
            self.now = self.now.max(due);
            self.timers.remove(&timer);
            self.machine.handle_timeout(timer, self.now);
            self.settle();
        }
        self.now = until;
    }

    /// Carries out actions and delivers mail until there is neither.
    pub fn settle(&mut self) {
        self.carry_out_all();
        while self.patient {
            // A timer of no time at all is due before anything that is not there yet.
            if self.mailbox.is_empty() && self.timers.values().any(|due| *due <= self.now) {
                return self.wait(Duration::ZERO);
            }
            if !self.deliver(0) {
                return;
            }
        }
    }

    /// Delivers one piece of mail, by its place in the mailbox or the next. `false` if there is none.
    pub fn deliver(&mut self, at: usize) -> bool {
        let at = if at < self.mailbox.len() { at } else { 0 };
        match self.mailbox.remove(at) {
            Some(Mail::Started(key, outcome)) => self.machine.handle_started(key, outcome, self.now),
            Some(Mail::Exited(pid, reason)) => self.machine.handle_exited(pid, reason, self.now),
            Some(Mail::Down(pid, reason)) => self.machine.handle_down(pid, reason, self.now),
            Some(Mail::Retry(key)) => self.machine.handle_retry(key, self.now),
            None => return false,
        }
        self.carry_out_all();
        true
    }

    /// How many processes live.
    pub fn living(&self) -> usize {
        self.alive.len()
    }

    /// For how many children start data is kept.
    pub fn kept(&self) -> usize {
        self.names.len()
    }

    fn carry_out_all(&mut self) {
        self.check();
        while let Some(action) = self.machine.poll() {
            self.carry_out(action);
        }
    }

    fn check(&self) {
        if let Err(broken) = self.machine.check_invariants() {
            panic!("invariant broken: {broken}\n{}", self.log.join("\n"));
        }
    }

    fn carry_out(&mut self, action: Action<Pid, Caller, Why>) {
        assert!(
            !self.stopped || matches!(action, Action::Abandon { .. } | Action::Forget { .. }),
            "nothing follows the stop"
        );
        match action {
            Action::Start { key } => {
                let name = self.names.get(&key).cloned().expect("start data is kept while it may be needed");
                let outcome = self.starts.get_mut(&name).and_then(VecDeque::pop_front).unwrap_or("ok".into());
                self.start(key, name, &outcome);
            }
            Action::Monitor { pid } => match self.alive.contains(&pid) {
                true => self.monitored.push(pid),
                false => self.mailbox.push_back(Mail::Down(pid, Why::new("noproc"))),
            },
            Action::Exit { pid, signal } => self.signal(&pid, signal),
            Action::Arm { timer, after } => drop(self.timers.insert(timer, self.now + after)),
            Action::Cancel { timer } => {
                self.timers.remove(&timer).expect("a timer that runs is cancelled");
            }
            Action::Retry { key } => self.mailbox.push_back(Mail::Retry(key)),
            Action::Reply { token, answer } => self.reply(token, &answer),
            Action::Abandon { token } => {
                self.answered += 1;
                self.write(format!("abandoned {token}"));
            }
            Action::Forget { key } => {
                self.names.remove(&key).expect("start data is dropped once");
            }
            Action::Report(report) => {
                if let Some(words) = words::report(&report, self.simple) {
                    self.log.extend(words.into_iter().map(|words| format!("report {words}")));
                }
            }
            Action::Ready => self.write("supervisor ready"),
            Action::Stop { reason } => self.stop(&reason),
        }
    }

    fn start(&mut self, key: Key, name: String, outcome: &str) {
        let result = match outcome {
            "ok" => {
                let life = self.lives.entry(name.clone()).or_insert(0);
                *life += 1;
                let pid = Pid(name, *life);
                self.write(format!("start {pid}"));
                self.alive.insert(pid.clone());
                Ok(Some(pid))
            }
            "fail" => {
                self.write(format!("start {name} failed"));
                Err(Why::new("refused"))
            }
            "ignore" => {
                self.write(format!("start {name} ignored"));
                Ok(None)
            }
            "gate" => {
                self.write(format!("start {name} waits"));
                self.gates.insert(name, key);
                return;
            }
            _ => panic!("no such outcome: {outcome}"),
        };
        // A supervisor that starts a child attends to nothing else, so the outcome comes before all other
        // mail.
        self.mailbox.push_front(Mail::Started(key, result));
    }

    fn signal(&mut self, pid: &Pid, signal: Signal) {
        if !self.alive.contains(pid) {
            return;
        }
        if signal == Signal::Kill {
            return self.end(pid, "killed");
        }
        self.write(format!("told {pid} shutdown"));
        match self.stops.get(&pid.0).cloned().as_deref() {
            Some("hang") => {}
            Some(reason) => self.end(pid, reason),
            None => self.end(pid, "shutdown"),
        }
    }

    fn end(&mut self, pid: &Pid, reason: &str) {
        self.alive.remove(pid);
        self.write(format!("ended {pid} {reason}"));
        self.mailbox.push_back(Mail::Exited(pid.clone(), Why::new(reason)));
        if let Some(at) = self.monitored.iter().position(|monitored| monitored == pid) {
            self.monitored.swap_remove(at);
            self.mailbox.push_back(Mail::Down(pid.clone(), Why::new(reason)));
        }
    }

    fn reply(&mut self, caller: Caller, answer: &Answer<Pid, Why>) {
        if let Answer::CodeChange(changed) = answer {
            let names = self.new_names.pop_front().expect("a code change waits");
            self.names.extend(changed.iter().flatten().copied().zip(names));
        }
        self.answered += 1;
        let words = words::answer(answer, self.simple);
        self.write(format!("answer {caller} {words}"));
    }

    fn stop(&mut self, reason: &StopReason<Why>) {
        assert!(self.timers.is_empty(), "a supervisor that ends leaves no timer");
        self.stopped = true;
        let line = match reason {
            StopReason::Shutdown => "supervisor ended shutdown".into(),
            StopReason::Ordered(reason) => format!("supervisor ended {reason}"),
            StopReason::FailedToStartChild { id, reason } => {
                format!("supervisor failed_to_start_child {id} {reason}")
            }
        };
        // In OTP the callers that are left see the end when it has come.
        let abandoned =
            self.log.iter().rposition(|line| !line.starts_with("abandoned")).map_or(0, |last| last + 1);
        self.log.insert(abandoned, line);
    }

    /// How a request names this child.
    pub fn child(&self, name: &str) -> Child<Pid> {
        match self.simple {
            true => Child::Pid { pid: self.pid(name), alive: self.is_alive(name) },
            false => Child::Id(name.into()),
        }
    }
}
