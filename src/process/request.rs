//! Requests that are waited for later, one by one or as a collection.

use std::future::poll_fn;
use std::task::{Context, Poll, Waker, ready};
use std::time::Duration;

use super::error::{CallError, Timeout};
use super::node::Node;
use super::slots::Pending;
use super::wait::{answer, limited};

/// A request under way (`gen_server:request_id()`). Dropping it abandons the request: a late answer vanishes.
#[must_use = "a dropped request is abandoned"]
pub struct Request<R> {
    state: State<R>,
}

enum State<R> {
    Asked(Pending<R>),
    Failed(CallError),
    /// The answer was taken.
    Answered,
}

impl<R: Send + 'static> Request<R> {
    pub(crate) fn new(asked: Result<Pending<R>, CallError>) -> Self {
        match asked {
            Ok(pending) => Request { state: State::Asked(pending) },
            Err(error) => Request::failed(error),
        }
    }

    pub(crate) fn failed(error: CallError) -> Self {
        Request { state: State::Failed(error) }
    }

    /// Waits for the answer and abandons the request at the timeout (`gen_server:receive_response/2`).
    ///
    /// # Errors
    /// See [`CallError`].
    pub async fn receive(self, timeout: impl Into<Timeout>) -> Result<R, CallError> {
        match self.state {
            State::Asked(pending) => answer_here(pending, timeout.into()).await,
            State::Failed(error) => Err(error),
            State::Answered => Err(CallError::AlreadyAnswered),
        }
    }

    /// Waits for the answer; at the timeout the request goes on and may be waited for again
    /// (`gen_server:wait_response/2`). `None` is the timeout. Once it has answered there is nothing to wait for:
    /// [`CallError::AlreadyAnswered`].
    ///
    /// # Cancel safety
    /// Dropping the future leaves the request as it was.
    pub async fn wait(&mut self, timeout: Duration) -> Option<Result<R, CallError>> {
        match self.state {
            // A timer of its own: the sweep would end the wait for good.
            State::Asked(_) => limited(timeout, poll_fn(|cx| self.poll_answer(cx))).await,
            State::Failed(_) | State::Answered => self.check(),
        }
    }

    /// The answer, if it is there (`gen_server:check_response/2`). Never waits.
    pub fn check(&mut self) -> Option<Result<R, CallError>> {
        match self.poll_answer(&mut Context::from_waker(Waker::noop())) {
            Poll::Ready(answer) => Some(answer),
            Poll::Pending => None,
        }
    }

    fn poll_answer(&mut self, cx: &mut Context<'_>) -> Poll<Result<R, CallError>> {
        match &mut self.state {
            State::Asked(pending) => {
                let answer = ready!(pending.poll(cx));
                self.state = State::Answered;
                Poll::Ready(answer.map_err(CallError::from))
            }
            State::Failed(error) => Poll::Ready(Err(error.clone())),
            State::Answered => Poll::Ready(Err(CallError::AlreadyAnswered)),
        }
    }
}

/// Waits on the clock of the node that waits. A request keeps no node: to count each in and out would cost more than the
/// rest of it, and few are waited for with a limit.
async fn answer_here<R: Send + 'static>(mut pending: Pending<R>, timeout: Timeout) -> Result<R, CallError> {
    let Timeout::After(after) = timeout else {
        return poll_fn(|cx| pending.poll(cx)).await.map_err(CallError::from);
    };
    match Node::current() {
        Some(node) => answer(&node, pending, timeout).await,
        None => {
            let answer = limited(after, poll_fn(|cx| pending.poll(cx))).await;
            answer.ok_or(CallError::Timeout)?.map_err(CallError::from)
        }
    }
}

/// Requests under way, each with a label (`gen_server:request_id_collection()`).
pub struct Requests<L, R> {
    waiting: Vec<(L, Request<R>)>,
}

impl<L, R> Default for Requests<L, R> {
    fn default() -> Self {
        Requests { waiting: Vec::new() }
    }
}

impl<L: Clone, R: Send + 'static> Requests<L, R> {
    /// An empty collection (`reqids_new/0`).
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a request (`reqids_add/3`).
    pub fn add(&mut self, label: L, request: Request<R>) {
        self.waiting.push((label, request));
    }

    /// How many are under way (`reqids_size/1`).
    pub fn len(&self) -> usize {
        self.waiting.len()
    }

    /// Whether none is under way.
    pub fn is_empty(&self) -> bool {
        self.waiting.is_empty()
    }

    /// The labels of those under way, in the order in which they were added (`reqids_to_list/1`).
    pub fn labels(&self) -> impl Iterator<Item = &L> {
        self.waiting.iter().map(|(label, _)| label)
    }

    /// The next answer with its label, taken out of the collection (`wait_response/3` with delete). At the timeout
    /// all requests go on. `Ok(None)`: there is none.
    ///
    /// # Errors
    /// [`CallError::Timeout`] when no answer came in time.
    ///
    /// # Cancel safety
    /// Dropping the future leaves the collection as it was.
    pub async fn wait(&mut self, timeout: Duration) -> Result<Option<Response<L, R>>, CallError> {
        if self.waiting.is_empty() {
            return Ok(None);
        }
        let next = limited(timeout, poll_fn(|cx| self.poll_any(cx))).await;
        next.map(Some).ok_or(CallError::Timeout)
    }

    /// As [`wait`](Self::wait), but a timeout abandons every request that is left (`receive_response/3`); the
    /// abandoned labels stay listed.
    ///
    /// # Errors
    /// [`CallError::Timeout`] when no answer came in time.
    pub async fn receive(&mut self, timeout: Duration) -> Result<Option<Response<L, R>>, CallError> {
        let next = self.wait(timeout).await;
        if next.is_err() {
            for (_, request) in &mut self.waiting {
                request.state = State::Failed(CallError::Timeout);
            }
        }
        next
    }

    /// An answer that is there, taken out of the collection (`check_response/3`). Never waits.
    pub fn check(&mut self) -> Option<Response<L, R>> {
        match self.poll_any(&mut Context::from_waker(Waker::noop())) {
            Poll::Ready(response) => Some(response),
            Poll::Pending => None,
        }
    }

    fn poll_any(&mut self, cx: &mut Context<'_>) -> Poll<Response<L, R>> {
        for at in 0..self.waiting.len() {
            if let Poll::Ready(answer) = self.waiting[at].1.poll_answer(cx) {
                let (label, _) = self.waiting.remove(at);
                return Poll::Ready(Response { label, answer });
            }
        }
        Poll::Pending
    }
}

/// An answer out of a collection.
#[derive(Debug)]
pub struct Response<L, R> {
    /// The label that its request was added with.
    pub label: L,
    /// The answer.
    pub answer: Result<R, CallError>,
}
