//! Waits with a limit, by the clock of who waits: the runtime of what is waited for may be stuck, or gone.

use std::cell::Cell;
use std::future::{Future, poll_fn};
use std::pin::pin;
use std::sync::{Arc, Mutex, PoisonError, mpsc};
use std::task::{Poll, Waker};
use std::thread;
use std::time::Duration;

use tokio::runtime::{Handle, RuntimeFlavor};
use tokio::task;

use super::current;
use super::deadlines;
use super::error::{CallError, Timeout};
use super::node::Node;
use super::slots::Pending;

/// Waits for an answer out of `node` as long as `timeout` says, then gives up.
pub(crate) async fn answer<R: Send + 'static>(
    node: &Node,
    mut pending: Pending<R>,
    timeout: Timeout,
) -> Result<R, CallError> {
    let timed = match timeout {
        Timeout::Infinity => None,
        Timeout::After(after) if after < deadlines::PRECISE => Some(after),
        Timeout::After(after) => (!arm(node, &pending, after)).then_some(after),
    };
    let answer = match timed {
        None => poll_fn(|cx| pending.poll(cx)).await,
        Some(after) => {
            let timed = {
                // Outside any runtime the timer is one of the node's.
                let _runtime = Handle::try_current().is_err().then(|| node.runtime().enter());
                tokio::time::timeout(after, poll_fn(|cx| pending.poll(cx)))
            };
            timed.await.map_err(|_| CallError::Timeout)?
        }
    };
    answer.map_err(CallError::from)
}

/// Has the sweep that the waiter can rely on give up: in a process that of its own node, else that of the node which is
/// asked. False: the waiter is in another runtime than that node, whose sweep it cannot rely on.
fn arm<R: Send + 'static>(node: &Node, pending: &Pending<R>, after: Duration) -> bool {
    current::with(|me| {
        let node = match me {
            Some(me) => me.core().node(),
            None if !is_within_reach(node) => return false,
            None => node,
        };
        deadlines::arm(node, pending, after);
        true
    })
}

thread_local! {
    /// On a worker: the node whose server was asked last, by its clock, and whether its sweep can be relied on here.
    static ASKED: Cell<(u16, bool)> = const { Cell::new((0, false)) };
}

/// Whether the runtime of this thread is the node's, or there is none. On a worker it is found out once for all calls to
/// one node: to ask tokio counts the runtime up and down, which threads that call at once would wait for.
#[inline]
fn is_within_reach(node: &Node) -> bool {
    let (known, within) = ASKED.get();
    if known == node.deadlines().clock() && task::try_id().is_some() { within } else { find_out(node) }
}

#[cold]
fn find_out(node: &Node) -> bool {
    let Ok(here) = Handle::try_current() else { return true };
    let within = here.id() == node.runtime().id();
    // A worker has one runtime for its life. Any other thread may go from one to another.
    if here.runtime_flavor() == RuntimeFlavor::MultiThread && task::try_id().is_some() {
        ASKED.set((node.deadlines().clock(), within));
    }
    within
}

/// Waits no longer than so long, where no node is known. `None`: it took longer.
pub(crate) async fn limited<F: Future>(after: Duration, future: F) -> Option<F::Output> {
    if Handle::try_current().is_ok() {
        return tokio::time::timeout(after, future).await.ok();
    }
    let mut future = pin!(future);
    let alarm = Alarm::set(after);
    poll_fn(|cx| match future.as_mut().poll(cx) {
        Poll::Ready(output) => Poll::Ready(Some(output)),
        Poll::Pending => alarm.poll(cx.waker()).map(|()| None),
    })
    .await
}

/// A thread that keeps the time where there is no runtime that could. It ends with this.
struct Alarm {
    state: Arc<Mutex<Ringing>>,
    _cancels: mpsc::Sender<()>,
}

enum Ringing {
    No(Option<Waker>),
    Yes,
}

impl Alarm {
    fn set(after: Duration) -> Self {
        let (cancels, cancelled) = mpsc::channel();
        let state = Arc::new(Mutex::new(Ringing::No(None)));
        let rings = state.clone();
        thread::spawn(move || {
            if cancelled.recv_timeout(after) == Err(mpsc::RecvTimeoutError::Timeout) {
                let before = std::mem::replace(
                    &mut *rings.lock().unwrap_or_else(PoisonError::into_inner),
                    Ringing::Yes,
                );
                if let Ringing::No(Some(waker)) = before {
                    waker.wake();
                }
            }
        });
        Alarm { state, _cancels: cancels }
    }

    fn poll(&self, waker: &Waker) -> Poll<()> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        if let Ringing::Yes = *state {
            return Poll::Ready(());
        }
        let stale = std::mem::replace(&mut *state, Ringing::No(Some(waker.clone())));
        drop(state);
        drop(stale);
        Poll::Pending
    }
}
