//! A task per item, a bounded number of them at a time.

use std::collections::VecDeque;
use std::future::{Future, poll_fn};
use std::num::NonZero;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use tokio::time::{Instant, Sleep, sleep_until};

use super::error::{SpawnError, TaskError};
use super::handle::{Task, deadline};
use super::work::Work;
use crate::process::Timeout;

type Starting<T> = Pin<Box<dyn Future<Output = Result<Task<T>, SpawnError>> + Send>>;

/// What becomes of a stream when a task of it takes too long (`on_timeout`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum OnTimeout {
    /// The stream ends behind the error, and its other tasks are killed. OTP's users know it as `exit`: there the
    /// caller ends.
    #[default]
    EndStream,
    /// The task is killed, its item answers [`TaskError::Timeout`] when it is gone, and the stream goes on.
    KillTask,
}

/// One task per item of an iterator, at most so many at a time (`Task.async_stream/3`).
///
/// It is pulled: [`next`](Self::next) takes items, spawns tasks for them and waits; between two of its calls the
/// spawned tasks run and no other is spawned. At most [`max_concurrency`](Self::max_concurrency) tasks are there at
/// a time, those included whose value was not yet taken: no buffer grows beyond that, and with an order to keep a
/// slow first item holds up those far behind it. See [`unordered`](Self::unordered).
///
/// Dropping the stream unlinks and kills the tasks that run.
#[must_use = "nothing runs until `next` or `collect` is awaited"]
pub struct AsyncStream<I: Iterator, T: Send + 'static> {
    items: std::iter::Fuse<I>,
    spawn: Box<dyn FnMut(I::Item) -> Starting<T> + Send>,
    starting: Option<Starting<T>>,
    window: Window<T>,
    max_concurrency: usize,
    ordered: bool,
    timeout: Timeout,
    on_timeout: OnTimeout,
    sleep: Option<Pin<Box<Sleep>>>,
    ended: bool,
}

/// The tasks that were spawned and not yet told, oldest first.
struct Window<T: Send + 'static>(VecDeque<Entry<T>>);

struct Entry<T> {
    task: Task<T>,
    deadline: Option<Instant>,
    /// It had its time and was killed. Until it is gone it counts, and holds its place under a supervisor.
    late: bool,
}

impl<T: Send + 'static> Window<T> {
    fn kill_all(&mut self) {
        self.0.drain(..).for_each(|entry| entry.task.kill());
    }
}

impl<T: Send + 'static> Drop for Window<T> {
    fn drop(&mut self) {
        self.kill_all();
    }
}

impl<T: Send + 'static> Task<T> {
    /// A task per item, each linked to the process whose code awaits the stream, a bounded number at a time
    /// (`Task.async_stream/3`).
    ///
    /// ```
    /// use incarnate::{Node, Task};
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let node = Node::new("example");
    /// let squares = Task::spawn_on(&node, async {
    ///     Task::async_stream(1..=4, |n| async move { n * n }).max_concurrency(2).collect().await
    /// });
    /// assert_eq!(squares.await?, [Ok(1), Ok(4), Ok(9), Ok(16)]);
    /// # Ok(())
    /// # }
    /// ```
    pub fn async_stream<Items, F, W>(items: Items, mut work: F) -> AsyncStream<Items::IntoIter, T>
    where
        Items: IntoIterator,
        F: FnMut(Items::Item) -> W + Send + 'static,
        W: Work<Output = T>,
    {
        let spawn = move |item| -> Starting<T> {
            let work = work(item);
            Box::pin(async move { Ok(Task::spawn(work)) })
        };
        AsyncStream::new(items.into_iter(), Box::new(spawn))
    }
}

impl<I: Iterator, T: Send + 'static> AsyncStream<I, T> {
    pub(super) fn new(items: I, spawn: Box<dyn FnMut(I::Item) -> Starting<T> + Send>) -> Self {
        AsyncStream {
            items: items.fuse(),
            spawn,
            starting: None,
            window: Window(VecDeque::new()),
            max_concurrency: std::thread::available_parallelism().map_or(1, NonZero::get),
            ordered: true,
            timeout: Timeout::default(),
            on_timeout: OnTimeout::default(),
            sleep: None,
            ended: false,
        }
    }

    /// At most so many tasks at a time, at least one; by default as many as the machine has threads.
    pub fn max_concurrency(mut self, tasks: usize) -> Self {
        self.max_concurrency = tasks.max(1);
        self
    }

    /// Answers in the order in which the tasks end, and not in that of the items: none is held up by another.
    pub fn unordered(mut self) -> Self {
        self.ordered = false;
        self
    }

    /// How long each task may take from its spawn, by default 5 seconds. Judged while [`next`](Self::next) is
    /// awaited: a task that is late and done by then is in time.
    pub fn timeout(mut self, timeout: impl Into<Timeout>) -> Self {
        self.timeout = timeout.into();
        self
    }

    /// What becomes of the stream when a task takes too long.
    pub fn on_timeout(mut self, on_timeout: OnTimeout) -> Self {
        self.on_timeout = on_timeout;
        self
    }

    /// The next value, or error of a task; `None` behind the last.
    ///
    /// # Errors
    /// See [`TaskError`]; the stream goes on behind it, but for [`OnTimeout::EndStream`].
    ///
    /// # Panics
    /// The iterator or the closure that makes the work panics.
    ///
    /// # Cancel safety
    /// Dropping the future loses nothing: items, tasks and values are in the stream.
    pub async fn next(&mut self) -> Option<Result<T, TaskError>> {
        poll_fn(|cx| self.poll_next(cx)).await
    }

    /// All that is left, in one vector.
    ///
    /// # Cancel safety
    /// Dropping the future drops the stream: its tasks are killed.
    pub async fn collect(mut self) -> Vec<Result<T, TaskError>> {
        let mut all = Vec::new();
        while let Some(told) = self.next().await {
            all.push(told);
        }
        all
    }

    fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<T, TaskError>>> {
        loop {
            self.fill(cx);
            if self.window.0.is_empty() && self.starting.is_none() {
                return Poll::Ready(None);
            }
            let looked_at = if self.ordered { 1 } else { self.window.0.len() };
            for at in 0..looked_at.min(self.window.0.len()) {
                let entry = &mut self.window.0[at];
                if let Poll::Ready(told) = entry.task.poll_told(cx) {
                    let late = entry.late && told.is_err();
                    self.window.0.remove(at);
                    return Poll::Ready(Some(if late { Err(TaskError::Timeout) } else { told }));
                }
            }
            ready!(self.poll_late(cx));
            if self.on_timeout == OnTimeout::EndStream {
                self.ended = true;
                self.starting = None;
                self.window.kill_all();
                return Poll::Ready(Some(Err(TaskError::Timeout)));
            }
        }
    }

    /// Spawns as many tasks as there may be.
    fn fill(&mut self, cx: &mut Context<'_>) {
        while self.window.0.len() < self.max_concurrency && !self.ended {
            if self.starting.is_none() {
                let Some(item) = self.items.next() else { return };
                self.starting = Some((self.spawn)(item));
            }
            let Some(starting) = &mut self.starting else { return };
            let Poll::Ready(started) = starting.as_mut().poll(cx) else { return };
            self.starting = None;
            // A refusal takes the place of its task, so that it keeps the order.
            let task = started.unwrap_or_else(|refused| Task::settled(Err(refused.into())));
            self.window.0.push_back(Entry { task, deadline: deadline(self.timeout), late: false });
        }
    }

    /// Ready when one more task has had its time, which is killed. All have the same time, so that the oldest is
    /// the first to be late.
    fn poll_late(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let oldest = self.window.0.iter_mut().find(|entry| !entry.late);
        let Some((entry, at)) = oldest.and_then(|entry| entry.deadline.map(|at| (entry, at))) else {
            return Poll::Pending;
        };
        let sleep = self.sleep.get_or_insert_with(|| Box::pin(sleep_until(at)));
        if sleep.deadline() != at {
            sleep.as_mut().reset(at);
        }
        ready!(sleep.as_mut().poll(cx));
        entry.late = true;
        entry.task.kill();
        Poll::Ready(())
    }
}

impl<I: Iterator, T: Send + 'static> std::fmt::Debug for AsyncStream<I, T> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let running: Vec<_> = self.window.0.iter().map(|entry| &entry.task).collect();
        f.debug_struct("AsyncStream").field("running", &running).finish_non_exhaustive()
    }
}
