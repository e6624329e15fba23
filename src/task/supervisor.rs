//! The supervisor of tasks: a server that starts temporary children, knows them and ends them.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use incarnate_supervisors::Shutdown;

use super::error::{SpawnError, TerminateError};
use super::handle::{deadline, first_signal, patience, within};
use super::prepared::Prepared;
use crate::gen_server::{CallReply, Context, GenServer, Init, Next, noreply};
use crate::process::{AnyProcess, Down, Envelope, Info, Object, ReplyTo, Result, Signal, start_timer};
use crate::term::{ExitReason, Never, Pid, TimerRef};

/// A supervisor of tasks (`Task.Supervisor`).
///
/// Its children are temporary: none is restarted, each may end as it likes, and nothing of that ends the supervisor.
/// When it stops it tells all of them `shutdown` at once and kills those that have not ended in time; when it is
/// killed its links take them along. It is a [`GenServer`], and starts as one:
///
/// ```
/// use incarnate::task::{TaskSupervisorName, TaskSupervisorOptions};
/// use incarnate::{GenServer, Name, Node, TaskSupervisor};
///
/// const JOBS: TaskSupervisorName = Name::new("jobs");
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let node = Node::new("example");
/// let options = TaskSupervisorOptions::default().max_children(100);
/// let jobs = TaskSupervisor::server(options).name(JOBS).on(&node).start().await?;
/// let answer = jobs.spawn_nolink(async { 6 * 7 }).await?;
/// assert_eq!(answer.await?, 42);
/// # Ok(())
/// # }
/// ```
pub struct TaskSupervisor {
    options: TaskSupervisorOptions,
    children: BTreeMap<Pid, Option<Stopping>>,
}

/// Options of a task supervisor.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TaskSupervisorOptions {
    max_children: Option<usize>,
    shutdown: Shutdown,
}

impl Default for TaskSupervisorOptions {
    /// No bound on children, and 5 seconds for them to end.
    fn default() -> Self {
        TaskSupervisorOptions { max_children: None, shutdown: Shutdown::Timeout(Duration::from_secs(5)) }
    }
}

impl TaskSupervisorOptions {
    /// At most so many children at a time; one more is refused with [`SpawnError::MaxChildren`]. No bound by default.
    pub fn max_children(mut self, children: usize) -> Self {
        self.max_children = Some(children);
        self
    }

    /// How children are told to end, when the supervisor stops or on request; by default they have 5 seconds.
    pub fn shutdown(mut self, how: impl Into<Shutdown>) -> Self {
        self.shutdown = how.into();
        self
    }
}

/// A child that was told to end.
struct Stopping {
    /// Kills it if it does not.
    timer: Option<TimerRef>,
    asked: Vec<ReplyTo<Result<(), TerminateError>>>,
}

/// A request to a task supervisor. Made by the methods of its name or reference.
pub struct TaskCall(pub(super) Call);

pub(super) enum Call {
    Start(Prepared, Option<Arc<dyn AnyProcess>>, ReplyTo<Result<(), SpawnError>>),
    Children(ReplyTo<Vec<Pid>>),
    Terminate(Pid, ReplyTo<Result<(), TerminateError>>),
}

impl fmt::Debug for TaskCall {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Call::Start(prepared, ..) => write!(f, "start({})", prepared.pid()),
            Call::Children(_) => f.write_str("children"),
            Call::Terminate(pid, _) => write!(f, "terminate({pid})"),
        }
    }
}

impl GenServer for TaskSupervisor {
    type Args = TaskSupervisorOptions;
    type Call = TaskCall;
    type Cast = Never;
    type Info = Never;
    type Continue = Never;

    async fn init(options: TaskSupervisorOptions, cx: &mut Context<Self>) -> Result<Init<Self>> {
        cx.trap_exit(true);
        Ok(Init::Ready(TaskSupervisor { options, children: BTreeMap::new() }))
    }

    async fn handle_call(&mut self, call: TaskCall, cx: &mut Context<Self>) -> Result<CallReply> {
        match call.0 {
            Call::Start(prepared, owner, caller) => {
                let started = self.start(prepared, owner, cx);
                caller.reply(started)
            }
            Call::Children(caller) => caller.reply(self.children.keys().copied().collect()),
            Call::Terminate(pid, caller) => {
                self.stop_child(pid, caller, cx);
                noreply()
            }
        }
    }

    async fn handle_info(&mut self, info: Info<Never>, cx: &mut Context<Self>) -> Result<Next> {
        // An exit message of a child comes besides its DOWN; one of anybody else means nothing to a supervisor.
        if let Info::Down(down) = info {
            self.gone(&down, cx);
        }
        noreply()
    }

    async fn terminate(&mut self, _: &ExitReason, cx: &mut Context<Self>) -> Result<()> {
        let how = self.options.shutdown;
        self.signal_all(&first_signal(how), cx);
        if within(deadline(patience(how)), self.all_gone(cx)).await.is_none() {
            self.signal_all(&ExitReason::Kill, cx);
            self.all_gone(cx).await;
        }
        Ok(())
    }
}

impl TaskSupervisor {
    fn start(
        &mut self,
        prepared: Prepared,
        owner: Option<Arc<dyn AnyProcess>>,
        cx: &Context<Self>,
    ) -> Result<(), SpawnError> {
        if self.options.max_children.is_some_and(|max| self.children.len() >= max) {
            return Err(SpawnError::MaxChildren);
        }
        let pid = prepared.pid();
        if !prepared.start(std::iter::once(cx.process()).chain(&owner)) {
            // The caller has ended meanwhile: nobody hears this.
            return Err(SpawnError::NoProcess);
        }
        cx.monitor(pid);
        self.children.insert(pid, None);
        Ok(())
    }

    /// Tells one child to end; its caller is answered by its DOWN, and nobody waits for that here.
    fn stop_child(&mut self, pid: Pid, caller: ReplyTo<Result<(), TerminateError>>, cx: &Context<Self>) {
        let Some(child) = self.children.get_mut(&pid) else {
            caller.send(Err(TerminateError::NotFound));
            return;
        };
        if let Some(stopping) = child {
            stopping.asked.push(caller);
            return;
        }
        let how = self.options.shutdown;
        cx.exit(pid, first_signal(how));
        let timer = match how {
            Shutdown::Timeout(after) => {
                let node = cx.node().downgrade();
                let kill = move || {
                    if let Some(node) = node.upgrade() {
                        node.exit(pid, ExitReason::Kill);
                    }
                };
                Some(start_timer(cx.node(), after, |_| Box::new(kill)))
            }
            Shutdown::BrutalKill | Shutdown::Infinity => None,
        };
        *child = Some(Stopping { timer, asked: vec![caller] });
    }

    fn gone(&mut self, down: &Down, cx: &Context<Self>) {
        let Object::Pid(pid) = down.object else { return };
        let Some(stopping) = self.children.remove(&pid).flatten() else { return };
        if let Some(timer) = stopping.timer {
            cx.cancel_timer(timer);
        }
        for caller in stopping.asked {
            caller.send(Ok(()));
        }
    }

    fn signal_all(&self, reason: &ExitReason, cx: &Context<Self>) {
        for pid in self.children.keys() {
            cx.exit(*pid, reason.clone());
        }
    }

    /// Waits until no child is left, taking nothing but DOWN out of the mailbox.
    async fn all_gone(&mut self, cx: &mut Context<Self>) {
        let is_down = |envelope: &Envelope<_>| matches!(envelope, Envelope::Signal(signal) if matches!(**signal, Signal::Down(_)));
        while !self.children.is_empty() {
            if let Envelope::Signal(signal) = cx.inbox.next_where(is_down).await
                && let Signal::Down(down) = *signal
            {
                self.gone(&down, cx);
            }
        }
    }
}
