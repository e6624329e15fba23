//! The supervisor process: carries out what the machine decides.

use std::collections::BTreeMap;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use incarnate_supervisors::{Action, Answer, Key, Request, Signal, StopReason, Supervisor, Timer};
use rustc_hash::FxHashMap;
use tokio::time::Instant;

use super::cause::{Cause, exit_reason};
use super::child::Subtree;
use super::kind::{Kind, Machine, OrderOf, Plan, TokenOf};
use super::order::{Ask, Branch, Note, Order, Own, Token};
use super::report;
use crate::gen_server::{CallReply, Context, GenServer, Init, Next, StartError, noreply, stop};
use crate::process::{Error, Info, Result, catch, meter};
use crate::term::{ExitReason, MonitorRef, Never, Pid, TimerRef};

/// The state of a supervisor.
pub(super) struct Server<K: Kind> {
    pub(super) machine: Machine<K>,
    kind: K,
    label: Arc<str>,
    origin: Instant,
    /// The time of the latest event.
    now: Duration,
    /// Children that were told to end.
    pub(super) ending: FxHashMap<Pid, MonitorRef>,
    /// When those are killed.
    pub(super) limit: Option<(Timer, Instant)>,
    /// Back-offs that run.
    delays: Vec<(Timer, TimerRef)>,
    /// Children that are supervisors of ours, for those who ask for the tree.
    pub(super) subtrees: BTreeMap<Pid, Subtree>,
    /// Somebody waits for the start in work, and what its start function answered.
    wanted: bool,
    /// Its first children have been started: what is started now and not wanted is started again.
    ready: bool,
    value: Option<K::Value>,
}

impl<K: Kind> GenServer for Server<K> {
    type Args = Plan<K::Starts>;
    type Call = OrderOf<K>;
    type Cast = Never;
    type Info = Note;
    type Continue = Never;

    async fn init(plan: Plan<K::Starts>, cx: &mut Context<Self>) -> Result<Init<Self>> {
        cx.trap_exit(true);
        let (machine, keys) = Supervisor::new(plan.flags, plan.specs)?;
        let mut server = Server {
            machine,
            kind: K::new(keys, plan.starts),
            label: plan.label,
            origin: Instant::now(),
            now: Duration::ZERO,
            ending: FxHashMap::default(),
            limit: None,
            delays: Vec::new(),
            subtrees: BTreeMap::new(),
            wanted: false,
            ready: false,
            value: None,
        };
        Ok(match server.settle(cx).await {
            Some(reason) => Init::Stop(exit_reason(reason)),
            None => Init::Ready(server),
        })
    }

    async fn handle_call(&mut self, order: OrderOf<K>, cx: &mut Context<Self>) -> Result<CallReply> {
        let Order(ask, pass) = order;
        let _within = pass.as_ref().map(|pass| pass.enter(cx.node()));
        self.take(ask, cx);
        self.go_on(cx).await.map(CallReply::from)
    }

    async fn handle_info(&mut self, info: Info<Note>, cx: &mut Context<Self>) -> Result<Next> {
        let now = self.now();
        match info {
            Info::Exit(exit) => {
                self.subtrees.remove(&exit.from);
                self.machine.handle_exited(exit.from, Cause::Exit(exit.reason), now);
            }
            Info::User(Note(Own::Retry(key))) => self.machine.handle_retry(key, now),
            Info::User(Note(Own::Delay(timer))) => {
                self.delays.retain(|(running, _)| *running != timer);
                self.machine.handle_timeout(timer, now);
            }
            other => report::unexpected(&self.label, cx.pid(), &other),
        }
        self.go_on(cx).await
    }

    async fn terminate(&mut self, reason: &ExitReason, cx: &mut Context<Self>) -> Result<()> {
        let now = self.now();
        self.machine.handle_shutdown(Cause::Exit(reason.clone()), now);
        // Nothing comes of it when the machine has stopped by itself before.
        self.settle(cx).await;
        Ok(())
    }
}

impl<K: Kind> Server<K> {
    /// The machine's time: since the start of the supervisor.
    pub(super) fn now(&mut self) -> Duration {
        self.now = self.origin.elapsed();
        self.now
    }

    /// Hands a request to the machine.
    fn take(&mut self, ask: Ask<K::Child, K::Value, K::Starts>, cx: &Context<Self>) {
        let now = self.now();
        self.wanted = matches!(ask, Ask::StartChild(..) | Ask::RestartChild(..));
        let is_alive = |pid| cx.node().is_alive(pid);
        let (token, request) = match ask {
            Ask::StartChild(child, to) => {
                return self.kind.start_child(&mut self.machine, Token::StartChild(to), child, now);
            }
            Ask::Change(plan, to) => {
                let Plan { flags, specs, starts, .. } = *plan;
                return self.machine.handle_code_change(Token::Change(starts, to), flags, specs, now);
            }
            Ask::Tree(to) => {
                to.send(self.branch(cx.pid()));
                return;
            }
            Ask::Plan(to) => {
                to.send(self.plan());
                return;
            }
            Ask::RestartChild(id, to) => {
                (Token::RestartChild(to), Request::RestartChild(incarnate_supervisors::Child::Id(id)))
            }
            Ask::TerminateChild(child, to) => {
                (Token::TerminateChild(to), Request::TerminateChild(child.see(is_alive)))
            }
            Ask::DeleteChild(id, to) => {
                (Token::DeleteChild(to), Request::DeleteChild(incarnate_supervisors::Child::Id(id)))
            }
            Ask::WhichChildren(to) => (Token::WhichChildren(to), Request::WhichChildren),
            Ask::WhichChild(child, to) => (Token::WhichChild(to), Request::WhichChild(child.see(is_alive))),
            Ask::CountChildren(to) => (Token::CountChildren(to), Request::CountChildren),
            Ask::GetChildspec(child, to) => {
                (Token::GetChildspec(to), Request::GetChildspec(child.see(is_alive)))
            }
        };
        self.machine.handle_request(token, request, now);
    }

    fn branch(&self, pid: Pid) -> Branch {
        let below = self.subtrees.iter().map(|(pid, subtree)| (*pid, *subtree)).collect();
        Branch { tree: self.machine.tree(&*self.label).with_pid(pid), below }
    }

    fn plan(&self) -> Plan<K::Starts> {
        let (keys, specs): (Vec<Key>, Vec<_>) =
            self.machine.specs().map(|(key, spec)| (key, spec.clone())).unzip();
        let starts = self.kind.starts(&keys, &specs);
        Plan { label: self.label.clone(), flags: self.machine.flags().clone(), specs, starts }
    }

    async fn go_on(&mut self, cx: &mut Context<Self>) -> Result<Next> {
        match self.settle(cx).await {
            Some(reason) => stop(exit_reason(reason)),
            None => noreply(),
        }
    }

    /// Carries out what the machine asks for until it waits for a message.
    ///
    /// As OTP's supervisor it blocks in starts and ends: requests wait in the mailbox, a kill does not.
    async fn settle(&mut self, cx: &mut Context<Self>) -> Option<StopReason<Cause>> {
        loop {
            while let Some(action) = self.machine.poll() {
                // An end of a hundred thousand children is as many actions: others run in between, and a kill is heeded.
                cx.inbox.turn().await;
                match action {
                    Action::Start { key } => self.start(key, cx).await,
                    Action::Stop { reason } => return Some(reason),
                    // The next action is the answer to a start that somebody waits for.
                    other => self.act(other, cx),
                }
            }
            if !self.machine.is_busy() {
                return None;
            }
            self.await_end(cx).await;
        }
    }

    fn act(&mut self, action: Action<Pid, TokenOf<K>, Cause>, cx: &Context<Self>) {
        match action {
            Action::Monitor { pid } => {
                self.ending.insert(pid, cx.monitor(pid));
            }
            Action::Exit { pid, signal: Signal::Shutdown } => cx.exit(pid, ExitReason::Shutdown),
            Action::Exit { pid, signal: Signal::Kill } => cx.exit(pid, ExitReason::Kill),
            Action::Arm { timer, after } => self.arm(timer, after, cx),
            Action::Cancel { timer } => self.cancel(timer, cx),
            Action::Retry { key } => cx.server().send(Note(Own::Retry(key))),
            Action::Reply { token, answer } => self.reply(token, answer, cx),
            Action::Forget { key } => self.kind.forget(key),
            Action::Report(it) => report::report(&self.label, cx.pid(), it, self.wanted),
            // A start returns when `init` has.
            Action::Ready => self.ready = true,
            // Who is turned away sees the end of the supervisor.
            Action::Abandon { .. } => {}
            // Carried out where it is polled.
            Action::Start { .. } | Action::Stop { .. } => {}
        }
    }

    /// OTP's do_start_child: whatever the start function does, an answer comes of it.
    async fn start(&mut self, key: Key, cx: &mut Context<Self>) {
        let (kind, wanted) = (&mut self.kind, self.wanted);
        let started = catch(pin!(kind.start(key, wanted))).await;
        let outcome = match started {
            Ok(Ok(up)) => {
                // A start function that has forgotten to link, or a child that has ended meanwhile. To one who traps exits
                // a link to nobody is an exit message: noproc, unless the link that there was has said more before.
                if !cx.is_linked(up.pid) {
                    let _told_by_message = cx.link(up.pid);
                }
                if let Some(subtree) = up.subtree {
                    self.subtrees.insert(up.pid, subtree);
                }
                self.value = up.value;
                if self.ready && !wanted {
                    meter::restarted(cx.node(), &self.label);
                }
                Ok(Some(up.pid))
            }
            Ok(Err(StartError::Ignore)) => Ok(None),
            Ok(Err(error)) => Err(Cause::Start(error)),
            Err(panic) => Err(Cause::Start(StartError::Failed(ExitReason::panic(&*panic)))),
        };
        // The end of a start marks nothing: the time of what led to it will do.
        self.machine.handle_started(key, outcome, self.now);
    }

    fn arm(&mut self, timer: Timer, after: Duration, cx: &Context<Self>) {
        // In the middle of an end it is the limit of that end, otherwise a back-off.
        if self.machine.is_busy() {
            self.limit = Instant::now().checked_add(after).map(|at| (timer, at));
        } else {
            self.delays.push((timer, cx.send_after(after, Note(Own::Delay(timer)))));
        }
    }

    fn cancel(&mut self, timer: Timer, cx: &Context<Self>) {
        if self.limit.is_some_and(|(running, _)| running == timer) {
            self.limit = None;
        } else if let Some(at) = self.delays.iter().position(|(running, _)| *running == timer) {
            cx.cancel_timer(self.delays.swap_remove(at).1);
        }
    }

    fn reply(&mut self, token: TokenOf<K>, answer: Answer<Pid, Cause>, cx: &Context<Self>) {
        let value = self.value.take();
        self.wanted = false;
        let begun = |pid: Option<Pid>| pid.map(|pid| (pid, value));
        // That nobody waits any more is no error of the supervisor's.
        let _is_awaited = match (token, answer) {
            (Token::StartChild(to), Answer::StartChild(answer)) => to.send(answer.map(begun)),
            (Token::RestartChild(to), Answer::RestartChild(answer)) => to.send(answer.map(begun)),
            (Token::TerminateChild(to), Answer::TerminateChild(answer)) => to.send(answer),
            (Token::DeleteChild(to), Answer::DeleteChild(answer)) => to.send(answer),
            (Token::WhichChildren(to), Answer::WhichChildren(answer)) => to.send(answer),
            (Token::WhichChild(to), Answer::WhichChild(answer)) => to.send(answer),
            (Token::CountChildren(to), Answer::CountChildren(mut counts)) => {
                // OTP: a dead child whose exit still waits in the mailbox is not active.
                counts.active = self.machine.running().filter(|pid| cx.node().is_alive(**pid)).count();
                to.send(counts)
            }
            (Token::GetChildspec(to), Answer::GetChildspec(answer)) => to.send(answer),
            (Token::Change(starts, to), Answer::CodeChange(answer)) => {
                to.send(answer.map(|keys| self.kind.replace(keys, starts)))
            }
            // The machine answers each token in its kind.
            _ => false,
        };
    }
}

impl From<incarnate_supervisors::InitError> for StartError {
    fn from(error: incarnate_supervisors::InitError) -> Self {
        StartError::Failed(Error::from(error).into_reason())
    }
}
