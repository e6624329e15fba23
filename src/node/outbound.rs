//! What waits to be written on a lane: one buffer with a bound, filled by whoever sends and emptied by the lane's writer.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};

/// So many times the bound may wait of what passes it: signals and answers.
const OVERRUN: usize = 4;

/// Bytes that wait on one lane of a connection.
pub(crate) struct Outbound {
    waiting: Mutex<Waiting>,
    limit: usize,
}

#[derive(Default)]
struct Waiting {
    bytes: Vec<u8>,
    closed: bool,
    /// Closed since it was far beyond its bound.
    overrun: bool,
    writer: Option<Waker>,
    sent: u64,
}

/// Why nothing was added.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum NotQueued {
    /// As much waits as may.
    Full,
    /// The connection is over.
    Closed,
}

impl Outbound {
    /// At most about so many bytes wait.
    pub(crate) fn new(limit: usize) -> Self {
        Outbound { waiting: Mutex::default(), limit }
    }

    fn waiting(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Adds a whole frame, unless too much waits. `force`: in any case, for signals, which are small and never dropped.
    pub(crate) fn push(&self, frame: &[u8], force: bool) -> Result<(), NotQueued> {
        let mut waiting = self.waiting();
        if waiting.closed {
            return Err(NotQueued::Closed);
        }
        // One frame always finds room: none is larger than may be sent.
        if !force && !waiting.bytes.is_empty() && waiting.bytes.len() + frame.len() > self.limit {
            return Err(NotQueued::Full);
        }
        // What may pass the bound is bounded, too: a node that asks and asks and reads no answers is given up.
        if waiting.bytes.len() > self.limit.saturating_mul(OVERRUN) {
            (waiting.closed, waiting.overrun) = (true, true);
            let bytes = std::mem::take(&mut waiting.bytes);
            let writer = waiting.writer.take();
            drop(waiting);
            drop(bytes);
            writer.into_iter().for_each(Waker::wake);
            return Err(NotQueued::Closed);
        }
        waiting.bytes.extend_from_slice(frame);
        waiting.sent += frame.len() as u64;
        let writer = waiting.writer.take();
        drop(waiting);
        if let Some(writer) = writer {
            writer.wake();
        }
        Ok(())
    }

    /// How many bytes wait, and how many were ever added.
    pub(crate) fn counts(&self) -> (usize, u64) {
        let waiting = self.waiting();
        (waiting.bytes.len(), waiting.sent)
    }

    /// Waits for bytes, and swaps them into the empty `bytes`. False: closed, since too much waited.
    pub(crate) fn poll_take(&self, cx: &mut Context<'_>, bytes: &mut Vec<u8>) -> Poll<bool> {
        let mut waiting = self.waiting();
        if !waiting.bytes.is_empty() {
            std::mem::swap(&mut waiting.bytes, bytes);
            return Poll::Ready(true);
        }
        if waiting.overrun {
            return Poll::Ready(false);
        }
        let stale = waiting.writer.replace(cx.waker().clone());
        drop(waiting);
        drop(stale);
        Poll::Pending
    }

    /// Nothing more is added; what waits is dropped.
    pub(crate) fn close(&self) {
        let mut waiting = self.waiting();
        waiting.closed = true;
        let bytes = std::mem::take(&mut waiting.bytes);
        let writer = waiting.writer.take();
        drop(waiting);
        drop(bytes);
        if let Some(writer) = writer {
            writer.wake();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_bound_holds_for_messages_and_signals_pass_it() {
        let out = Outbound::new(10);
        assert_eq!(out.push(&[0; 8], false), Ok(()));
        assert_eq!(out.push(&[0; 8], false), Err(NotQueued::Full));
        assert_eq!(out.push(&[0; 8], true), Ok(()));
        assert_eq!(out.counts(), (16, 16));
        out.close();
        assert_eq!(out.push(&[0; 1], true), Err(NotQueued::Closed));
    }

    #[test]
    fn what_passes_the_bound_is_bounded_too() {
        let out = Outbound::new(10);
        let taken = (0..100).take_while(|_| out.push(&[0; 8], true) == Ok(())).count();
        assert_eq!(taken, 6);
        assert_eq!(out.counts().0, 0);
        let mut cx = Context::from_waker(Waker::noop());
        assert_eq!(out.poll_take(&mut cx, &mut Vec::new()), Poll::Ready(false));
    }

    #[test]
    fn a_frame_larger_than_the_bound_goes_alone() {
        let out = Outbound::new(10);
        assert_eq!(out.push(&[0; 100], false), Ok(()));
        assert_eq!(out.push(&[0; 1], false), Err(NotQueued::Full));
    }
}
