//! The machine: events in, actions out.

use crate::children::{Children, Status};
use crate::inbox::{Inbox, Letter};
use crate::invalid::check_init;
use crate::work::{Purpose, Wait, Work};
use crate::{Action, ChildSpec, ExitClass, Flags, InitError, Intensity, Key, Reason, Report, Request, Timer};
use alloc::collections::{BTreeMap, VecDeque};
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::time::Duration;

/// The decisions of one supervisor, from its start to its stop.
///
/// `P` is a process id, `T` a caller that waits for an answer, `R` an exit reason or the reason of a failed
/// start. The machine compares process ids and reads the [class](Reason::class) of reasons; callers it only
/// hands back. The [crate documentation](crate) shows how to drive it.
///
/// Every `handle_*` takes what happened and the time, as the time since an origin chosen once, and never
/// blocks or fails; an event that fits nothing is ignored. Call [`poll`](Self::poll) afterwards until it
/// answers `None`.
#[derive(Clone, Debug)]
pub struct Supervisor<P, T, R = ExitClass> {
    pub(crate) flags: Flags,
    /// The one specification of a simple_one_for_one supervisor, from which its children are made.
    pub(crate) template: Option<(Key, Arc<ChildSpec>)>,
    pub(crate) children: Children<P>,
    pub(crate) intensity: Intensity,
    pub(crate) inbox: Inbox<P, T, R>,
    /// OTP's supervisor blocks in these; here the letters wait in the inbox meanwhile.
    pub(crate) work: Option<Work<P, T, R>>,
    /// Back-off timers that run, and the child that waits for each.
    pub(crate) delays: BTreeMap<Timer, Key>,
    pub(crate) stopped: bool,
    actions: VecDeque<Action<P, T, R>>,
    next_key: u64,
    next_timer: u64,
}

impl<P: Clone + Ord, T, R: Reason> Supervisor<P, T, R> {
    /// Starts a supervisor: its first actions start the children, strictly in order.
    ///
    /// The keys belong to the specifications, in order; the driver puts the start functions under them. The
    /// key of a simple_one_for_one supervisor's only specification is never started: it stands for the
    /// template.
    ///
    /// # Errors
    ///
    /// Flags or specifications that OTP would refuse. Nothing was started.
    pub fn new(flags: Flags, specs: Vec<ChildSpec>) -> Result<(Self, Vec<Key>), InitError> {
        check_init(&flags, &specs)?;
        let mut machine = Self {
            template: None,
            children: Children::new(),
            intensity: Intensity::new(flags.intensity(), flags.period()),
            inbox: Inbox::new(),
            work: None,
            delays: BTreeMap::new(),
            stopped: false,
            actions: VecDeque::new(),
            next_key: 0,
            next_timer: 0,
            flags,
        };
        let mut keys = Vec::with_capacity(specs.len());
        for spec in specs {
            let key = machine.new_key();
            keys.push(key);
            if machine.flags.is_simple() {
                machine.template = Some((key, Arc::new(spec)));
            } else {
                machine.children.add(key, Arc::new(spec), false);
            }
        }
        // OTP, rule 2.6.4: children start strictly in list order, each when the one before it is up.
        let starts: Vec<Key> = machine.children.keys().collect();
        machine.work = Some(Work::new(Purpose::Init).starting(starts));
        machine.run(Duration::ZERO);
        Ok((machine, keys))
    }

    /// The next thing to do, in order; `None` when the machine waits for an event.
    pub fn poll(&mut self) -> Option<Action<P, T, R>> {
        self.actions.pop_front()
    }

    /// The flags in force.
    pub fn flags(&self) -> &Flags {
        &self.flags
    }

    /// The specifications in force, in start order.
    pub fn specs(&self) -> impl Iterator<Item = (Key, &ChildSpec)> {
        self.children.slots().map(|(key, slot)| (key, &*slot.spec))
    }

    /// The processes of all children that run, as far as the machine has been told.
    pub fn running(&self) -> impl Iterator<Item = &P> {
        self.children.pids()
    }

    /// Whether the machine is in the middle of starting or ending children: OTP's supervisor would not read
    /// its mailbox now.
    pub fn is_busy(&self) -> bool {
        self.work.is_some()
    }

    /// A start that [`Action::Start`] asked for is over: it runs as this process, or answered ignore, or
    /// failed.
    pub fn handle_started(&mut self, key: Key, outcome: Result<Option<P>, R>, now: Duration) {
        let awaited =
            |work: &&mut Work<P, T, R>| matches!(work.wait, Wait::Started(awaited) if awaited == key);
        if let Some(work) = self.work.as_mut().filter(awaited) {
            work.wait = Wait::Nothing;
            self.started(key, outcome);
            self.run(now);
        }
    }

    /// A linked process, but not the parent, has ended. Also for processes that the machine does not know.
    pub fn handle_exited(&mut self, pid: P, reason: R, now: Duration) {
        if self.stopped {
            return;
        }
        // OTP waits for the DOWN and then prefers the reason in the EXIT, which knows more when the child was
        // dead already.
        if let Some((_, seen)) = self.ending().and_then(|ending| ending.left.get_mut(&pid)) {
            seen.get_or_insert(reason);
            return;
        }
        // Nothing waits before it, as nearly always: no detour by the inbox.
        if self.work.is_none() && self.inbox.is_empty() {
            self.exited(pid, reason, now);
        } else {
            self.inbox.push_exit(pid, reason);
        }
        self.run(now);
    }

    /// A process that [`Action::Monitor`] named has ended.
    pub fn handle_down(&mut self, pid: P, reason: R, now: Duration) {
        self.ended(&pid, reason);
        self.run(now);
    }

    /// A timer that [`Action::Arm`] started has run out.
    pub fn handle_timeout(&mut self, timer: Timer, now: Duration) {
        if let Some(key) = self.delays.remove(&timer) {
            self.inbox.push(Letter::DelayOver { key, timer });
            self.run(now);
        } else {
            self.kill_those_left(timer);
        }
    }

    /// What [`Action::Retry`] asked to be sent has come.
    pub fn handle_retry(&mut self, key: Key, now: Duration) {
        self.letter(Letter::Retry(key), now);
    }

    /// The parent has ended or ordered the end, with this reason; OTP's EXIT from the parent. All children
    /// get `shutdown` whatever the reason is.
    pub fn handle_shutdown(&mut self, reason: R, now: Duration) {
        self.letter(Letter::Shutdown(reason), now);
    }

    /// `supervisor:start_child/2` with a specification. The driver puts the start function under the key at
    /// once; [`Action::Forget`] takes it back if the child is refused.
    pub fn handle_start_child(&mut self, token: T, spec: ChildSpec, now: Duration) -> Key {
        let key = self.new_key();
        self.letter(Letter::StartChild { token, key, spec: Some(spec) }, now);
        key
    }

    /// `supervisor:start_child/2` with arguments, of a simple_one_for_one supervisor. The driver puts the
    /// arguments under the key at once.
    pub fn handle_start_dynamic(&mut self, token: T, now: Duration) -> Key {
        let key = self.new_key();
        self.letter(Letter::StartChild { token, key, spec: None }, now);
        key
    }

    /// Any other request of a caller.
    pub fn handle_request(&mut self, token: T, request: Request<P>, now: Duration) {
        self.letter(Letter::Request { token, request }, now);
    }

    /// A code change: what a new version's init answers. See
    /// [`Answer::CodeChange`](crate::Answer::CodeChange). When init answers ignore, nothing changes and the
    /// machine need not be told.
    pub fn handle_code_change(&mut self, token: T, flags: Flags, specs: Vec<ChildSpec>, now: Duration) {
        self.letter(Letter::CodeChange { token, flags, specs }, now);
    }

    fn letter(&mut self, letter: Letter<P, T, R>, now: Duration) {
        if self.stopped {
            self.turn_away(letter);
        } else {
            self.inbox.push(letter);
            self.run(now);
        }
    }

    /// Goes on until the machine waits for the world or has nothing to do.
    fn run(&mut self, now: Duration) {
        loop {
            self.advance();
            // OTP, rule 2.11.6: while it starts or ends children, a supervisor serves no requests.
            if self.work.is_some() || self.stopped {
                return;
            }
            match self.inbox.pop() {
                Some(letter) => self.open(letter, now),
                None => return,
            }
        }
    }

    fn open(&mut self, letter: Letter<P, T, R>, now: Duration) {
        match letter {
            Letter::Exit(pid) => {
                // The termination of this child may have used it up.
                if let Some(reason) = self.inbox.take_exit(&pid) {
                    self.exited(pid, reason, now);
                }
            }
            Letter::Retry(key) => self.retry(key, now),
            Letter::DelayOver { key, timer } => self.delay_over(key, timer),
            Letter::StartChild { token, key, spec: Some(spec) } => self.start_child(token, key, spec),
            Letter::StartChild { token, key, spec: None } => self.start_dynamic(token, key),
            Letter::Request { token, request } => self.serve(token, request),
            Letter::CodeChange { token, flags, specs } => self.code_change(token, flags, specs),
            Letter::Shutdown(reason) => self.stop(crate::StopReason::Ordered(reason)),
        }
    }

    /// Lets the callers go that a supervisor which has stopped will not serve.
    pub(crate) fn turn_away(&mut self, letter: Letter<P, T, R>) {
        match letter {
            Letter::StartChild { token, key, .. } => {
                self.act(Action::Forget { key });
                self.act(Action::Abandon { token });
            }
            Letter::Request { token, .. } | Letter::CodeChange { token, .. } => {
                self.act(Action::Abandon { token })
            }
            Letter::Exit(pid) => drop(self.inbox.take_exit(&pid)),
            Letter::Retry(_) | Letter::DelayOver { .. } | Letter::Shutdown(_) => {}
        }
    }

    pub(crate) fn act(&mut self, action: Action<P, T, R>) {
        self.actions.push_back(action);
    }

    pub(crate) fn report(&mut self, report: Report<P, R>) {
        self.act(Action::Report(report));
    }

    pub(crate) fn new_key(&mut self) -> Key {
        self.next_key += 1;
        Key(self.next_key - 1)
    }

    pub(crate) fn arm(&mut self, after: Duration) -> Timer {
        let timer = Timer(self.next_timer);
        self.next_timer += 1;
        self.act(Action::Arm { timer, after });
        timer
    }

    /// Sets a child's status, and cancels the back-off that it leaves behind.
    pub(crate) fn set(&mut self, key: Key, status: Status<P>) {
        if let Some(Status::Restarting { delay: Some(timer), .. }) = self.children.set(key, status)
            && self.delays.remove(&timer).is_some()
        {
            self.act(Action::Cancel { timer });
        }
    }
}
