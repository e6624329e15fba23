//! Waits with a limit, by the clock of who waits: the runtime of what is waited for may be stuck, or gone.

use std::future::{Future, poll_fn};
use std::pin::pin;
use std::sync::{Arc, Mutex, PoisonError, mpsc};
use std::task::{Poll, Waker};
use std::thread;
use std::time::Duration;

use tokio::runtime::Handle;

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
    let answer = poll_fn(|cx| pending.poll(cx));
    match timed {
        None => answer.await.map_err(CallError::from),
        Some(after) => limited(after, answer).await.ok_or(CallError::Timeout)?.map_err(CallError::from),
    }
}

/// Has a sweep give up: in a process that of its own node, else that of the node which is asked. False: that node's clock
/// stands still, perhaps, and the waiter may have another.
fn arm<R: Send + 'static>(node: &Node, pending: &Pending<R>, after: Duration) -> bool {
    current::with(|me| {
        let node = match me {
            Some(me) => me.core().node(),
            None if !node.deadlines().is_moving() && !is_here(node) => return false,
            None => node,
        };
        deadlines::arm(node, pending, after);
        true
    })
}

fn is_here(node: &Node) -> bool {
    Handle::try_current().is_ok_and(|here| here.id() == node.runtime().id())
}

/// Waits no longer than so long, by the clock of the runtime that is entered, or that of a thread. `None`: it took longer.
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
