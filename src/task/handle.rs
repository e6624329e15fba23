//! The handle of a task: spawn it, wait for it, end it.

use std::fmt;
use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker, ready};

use incarnate_supervisors::Shutdown;
use tokio::time::Instant;

use super::error::{SpawnError, TaskError};
use super::prepared::{Ends, prepare};
use super::work::Work;
use crate::process::{AnyProcess, Me, Node, Timeout, unlink};
use crate::term::{ExitReason, Pid};

/// A piece of work in a process of its own, and the right to its value.
///
/// The value, or the task's end without one, is told once, to whoever holds this handle. The process of a task that
/// was told is gone, and its links and supervisor have heard of it.
///
/// # Links
/// A task of [`spawn`](Self::spawn) is linked to the process that spawned it, whoever awaits it: either ends with the
/// other, unless it ends normally or the other one traps exits. One that traps exits gets the exit message besides the
/// error. A caller that does not trap never sees the error: it has ended with the same reason by then.
///
/// # Cancel safety
/// Dropping the handle, or the future of an await, drops the value when it comes and nothing else: the task goes on,
/// linked as it was. To have it end, [`shutdown`](Self::shutdown) it. To wait only for a while, in `select!` too, use
/// [`yield_for`](Self::yield_for).
#[must_use = "a dropped task goes on, and its value is lost; for work without a value use Task::start"]
pub struct Task<T> {
    state: State<T>,
}

enum State<T> {
    Running(Running<T>),
    /// What is to be told without a process, or nothing more.
    Settled(Option<Result<T, TaskError>>),
}

struct Running<T> {
    ends: Ends<T>,
    /// The process that it is linked to, besides its supervisor.
    owner: Option<Arc<dyn AnyProcess>>,
}

/// The first signal of a shutdown.
pub(super) fn first_signal(how: Shutdown) -> ExitReason {
    match how {
        Shutdown::BrutalKill => ExitReason::Kill,
        Shutdown::Timeout(_) | Shutdown::Infinity => ExitReason::Shutdown,
    }
}

/// How long the first signal has to work.
pub(super) fn patience(how: Shutdown) -> Timeout {
    match how {
        Shutdown::Timeout(after) => Timeout::After(after),
        Shutdown::BrutalKill | Shutdown::Infinity => Timeout::Infinity,
    }
}

impl Task<()> {
    /// Starts work that nobody waits for, linked to nobody (`Task.start/1`).
    ///
    /// # Errors
    /// [`SpawnError::NoProcess`] outside a process; use [`Node::spawn`] there.
    pub fn start<W: Work<Output = ()>>(work: W) -> Result<Pid, SpawnError> {
        let me = Me::current().ok_or(SpawnError::NoProcess)?;
        let (prepared, ends) = prepare(me.node(), Some(me.process()), work);
        prepared.start([]);
        Ok(ends.process.core().pid())
    }

    /// Starts work that nobody waits for, linked to the process whose code asks (`Task.start_link/1`).
    ///
    /// # Errors
    /// [`SpawnError::NoProcess`] outside a process.
    pub fn start_link<W: Work<Output = ()>>(work: W) -> Result<Pid, SpawnError> {
        let me = Me::current().ok_or(SpawnError::NoProcess)?;
        let (prepared, ends) = prepare(me.node(), Some(me.process()), work);
        prepared.start([me.process()]);
        Ok(ends.process.core().pid())
    }
}

impl<T: Send + 'static> Task<T> {
    /// Runs work in a process of its own, linked to the process whose code asks (`Task.async/1`). Never waits.
    ///
    /// Outside a process nothing runs, and the task is told as [`SpawnError::NoProcess`]: use
    /// [`spawn_on`](Self::spawn_on) there.
    ///
    /// ```
    /// use incarnate::{Node, Task};
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let node = Node::new("example");
    /// let sum = Task::spawn_on(&node, async {
    ///     let (a, b) = (Task::spawn(async { 40 }), Task::spawn(async { 2 }));
    ///     Ok::<_, incarnate::task::TaskError>(a.await? + b.await?)
    /// });
    /// assert_eq!(sum.await??, 42);
    /// # Ok(())
    /// # }
    /// ```
    pub fn spawn<W: Work<Output = T>>(work: W) -> Self {
        let Some(me) = Me::current() else { return Task::settled(Err(SpawnError::NoProcess.into())) };
        let (prepared, ends) = prepare(me.node(), Some(me.process()), work);
        prepared.start([me.process()]);
        Task::running(ends, Some(me.process().clone()))
    }

    /// Runs work in a process of its own on `node`, linked to nobody; from anywhere, also outside a process.
    pub fn spawn_on<W: Work<Output = T>>(node: &Node, work: W) -> Self {
        let (prepared, ends) = prepare(node, Me::current().as_ref().map(Me::process), work);
        prepared.start([]);
        Task::running(ends, None)
    }

    /// A task that is done and has this value, without a process (`Task.completed/1`).
    pub fn completed(value: T) -> Self {
        Task::settled(Ok(value))
    }

    pub(super) fn settled(told: Result<T, TaskError>) -> Self {
        Task { state: State::Settled(Some(told)) }
    }

    pub(super) fn running(ends: Ends<T>, owner: Option<Arc<dyn AnyProcess>>) -> Self {
        Task { state: State::Running(Running { ends, owner }) }
    }

    /// The pid of its process; `None` for one that never had a process or was told.
    pub fn pid(&self) -> Option<Pid> {
        match &self.state {
            State::Running(running) => Some(running.ends.process.core().pid()),
            State::Settled(_) => None,
        }
    }

    /// Waits for the value at most as long as `timeout` says (`Task.await/2`). `task.await` waits 5 seconds.
    ///
    /// At the timeout the task is unlinked and killed, since nobody could hear of it any more; it ends at its next
    /// await. (In Elixir the caller exits, and takes the task along by the link.)
    ///
    /// # Errors
    /// See [`TaskError`].
    ///
    /// # Cancel safety
    /// Dropping the future leaves the task running and linked; its value is lost.
    pub async fn await_timeout(mut self, timeout: impl Into<Timeout>) -> Result<T, TaskError> {
        match self.yield_for(timeout).await {
            Some(told) => told,
            None => {
                self.kill();
                Err(TaskError::Timeout)
            }
        }
    }

    /// Waits for the value; `None` after `timeout`, when the task goes on and may be waited for again
    /// (`Task.yield/2`). With a timeout of zero it only looks.
    ///
    /// # Errors
    /// See [`TaskError`]; never `Timeout`. A task that was told before is told as exit `noproc`.
    ///
    /// # Cancel safety
    /// Dropping the future leaves the task and its value as they were.
    pub async fn yield_for(&mut self, timeout: impl Into<Timeout>) -> Option<Result<T, TaskError>> {
        within(deadline(timeout.into()), self.told()).await
    }

    /// Unlinks the task, has it end, waits for that, and answers what it told before (`Task.shutdown/2`).
    ///
    /// `Some(Ok(..))` is a value that came meanwhile. `None` says that it ended as it was told to. `Some(Err(..))` is
    /// any other end: a crash, or `killed` when it did not end in time. A task that traps exits may finish its work
    /// meanwhile.
    ///
    /// # Errors
    /// See [`TaskError`]; never `Timeout`.
    ///
    /// # Cancel safety
    /// Dropping the future withdraws nothing, but a task that does not obey is then not killed.
    pub async fn shutdown(mut self, how: impl Into<Shutdown>) -> Option<Result<T, TaskError>> {
        let how = how.into();
        self.unlink();
        self.exit(first_signal(how));
        let told = match self.yield_for(patience(how)).await {
            Some(told) => told,
            None => {
                self.exit(ExitReason::Kill);
                self.told().await
            }
        };
        let as_told = match how {
            Shutdown::BrutalKill => ExitReason::Killed,
            Shutdown::Timeout(_) | Shutdown::Infinity => ExitReason::Shutdown,
        };
        (!matches!(&told, Err(TaskError::Exit(reason)) if *reason == as_told)).then_some(told)
    }

    /// Unlinks the task and lets it go on unheard; answers what it told before, if it did (`Task.ignore/1`).
    ///
    /// # Errors
    /// See [`TaskError`]; never `Timeout`.
    pub fn ignore(mut self) -> Option<Result<T, TaskError>> {
        self.unlink();
        match self.poll_told(&mut Context::from_waker(Waker::noop())) {
            Poll::Ready(told) => Some(told),
            Poll::Pending => None,
        }
    }

    /// Unlinks and kills it, without waiting for its end.
    pub(super) fn kill(&self) {
        self.unlink();
        self.exit(ExitReason::Kill);
    }

    fn unlink(&self) {
        if let State::Running(Running { ends, owner: Some(owner) }) = &self.state {
            unlink(owner, &ends.process);
        }
    }

    fn exit(&self, reason: ExitReason) {
        if let State::Running(Running { ends, .. }) = &self.state {
            let core = ends.process.core();
            core.node().exit(core.pid(), reason);
        }
    }

    async fn told(&mut self) -> Result<T, TaskError> {
        poll_fn(|cx| self.poll_told(cx)).await
    }

    pub(super) fn poll_told(&mut self, cx: &mut Context<'_>) -> Poll<Result<T, TaskError>> {
        ready!(self.poll_settled(cx));
        Poll::Ready(self.take())
    }

    /// Waits for the end, and keeps what is to be told.
    fn poll_settled(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        if let State::Running(Running { ends, .. }) = &mut self.state {
            let reason = ready!(ends.ended.poll(cx)).unwrap_or(ExitReason::NoProc);
            // The link has ended the caller meanwhile, on another thread: its shell drops it as soon as it awaits.
            if Me::current().is_some_and(|me| me.process().core().is_doomed()) {
                return Poll::Pending;
            }
            // The value came before the end, if it came.
            let told = match ends.value.poll(&mut Context::from_waker(Waker::noop())) {
                Poll::Ready(Ok(value)) => Ok(value),
                Poll::Ready(Err(_)) | Poll::Pending => Err(TaskError::Exit(reason)),
            };
            self.state = State::Settled(Some(told));
        }
        Poll::Ready(())
    }

    fn take(&mut self) -> Result<T, TaskError> {
        match std::mem::replace(&mut self.state, State::Settled(None)) {
            State::Settled(Some(told)) => told,
            State::Settled(None) | State::Running(_) => Err(TaskError::Exit(ExitReason::NoProc)),
        }
    }

    /// Waits for all, at most as long as `timeout` says in all; their values in the order of the tasks
    /// (`Task.await_many/2`). Those that have none by then are unlinked and killed.
    ///
    /// # Cancel safety
    /// As [`await_timeout`](Self::await_timeout), for each of them.
    pub async fn await_many(
        tasks: impl IntoIterator<Item = Task<T>>,
        timeout: impl Into<Timeout>,
    ) -> Vec<Result<T, TaskError>> {
        let mut tasks: Vec<_> = tasks.into_iter().collect();
        let told = Task::yield_many(&mut tasks, timeout).await;
        let killed = |task: Task<T>| {
            task.kill();
            Err(TaskError::Timeout)
        };
        told.into_iter().zip(tasks).map(|(told, task)| told.unwrap_or_else(|| killed(task))).collect()
    }

    /// Waits until all are told, or for `timeout`; `None` for each that goes on (`Task.yield_many/2`).
    ///
    /// # Cancel safety
    /// Dropping the future leaves the tasks and their values as they were.
    pub async fn yield_many(
        tasks: &mut [Task<T>],
        timeout: impl Into<Timeout>,
    ) -> Vec<Option<Result<T, TaskError>>> {
        let deadline = deadline(timeout.into());
        let mut settled = Vec::with_capacity(tasks.len());
        for task in &mut *tasks {
            // Past the deadline each of the others is still looked at once.
            settled.push(within(deadline, poll_fn(|cx| task.poll_settled(cx))).await.is_some());
        }
        tasks.iter_mut().zip(settled).map(|(task, settled)| settled.then(|| task.take())).collect()
    }
}

impl<T: Send + 'static> IntoFuture for Task<T> {
    type Output = Result<T, TaskError>;
    type IntoFuture = Pin<Box<dyn Future<Output = Self::Output> + Send>>;

    /// [`await_timeout`](Task::await_timeout) with OTP's 5 seconds.
    fn into_future(self) -> Self::IntoFuture {
        Box::pin(self.await_timeout(Timeout::default()))
    }
}

impl<T> fmt::Debug for Task<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.state {
            State::Running(running) => write!(f, "Task({})", running.ends.process.core().pid()),
            State::Settled(Some(_)) => f.write_str("Task(settled)"),
            State::Settled(None) => f.write_str("Task(told)"),
        }
    }
}

/// When a wait that begins now ends; `None` is never, as is further than a clock can count.
pub(super) fn deadline(timeout: Timeout) -> Option<Instant> {
    match timeout {
        Timeout::After(after) => Instant::now().checked_add(after),
        Timeout::Infinity => None,
    }
}

/// Waits until the deadline; what is there then is still taken.
pub(super) async fn within<F: Future>(deadline: Option<Instant>, future: F) -> Option<F::Output> {
    match deadline {
        Some(deadline) => tokio::time::timeout_at(deadline, future).await.ok(),
        None => Some(future.await),
    }
}
