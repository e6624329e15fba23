//! What waits to be written on a lane: one buffer with a bound, filled by whoever sends and emptied by the lane's writer.
//!
//! Back-pressure has two marks. Beyond half of the bound the lane is *busy*: who sends is told, and waits before it goes on.
//! At the bound nothing more is taken, but signals and answers; at three times the bound no answers either, and at four times
//! the connection is given up.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};

use rustc_hash::FxHashMap;

/// So many times the bound may wait of what passes it, before a signal more is too much.
const OVERRUN: usize = 4;
/// And so many before an answer is refused: it can be told instead, in less.
const ANSWERS: usize = 3;

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
    /// The same, while what it has taken is not taken from it: all that is news to it then is an overrun.
    stuck: Option<Waker>,
    /// Who waits until the lane is no longer busy.
    senders: FxHashMap<Place, Waker>,
    next_place: Place,
    sent: u64,
}

/// The place of somebody who waits.
pub(crate) type Place = u64;

/// What a frame is, as far as room goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Sent {
    /// Whoever sends it waits, or hears that it was not sent.
    Message,
    /// Large, perhaps, and given by somebody who cannot wait.
    Answer,
    /// Small, and never dropped.
    Signal,
}

/// What has become of a frame that was added.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Added {
    Well,
    /// So much waits that its sender should.
    Busy,
}

impl Waiting {
    fn is_busy(&self, limit: usize) -> bool {
        self.bytes.len() > limit / 2
    }

    /// One frame always finds room, however large: none is larger than may be sent.
    fn takes(&self, sent: Sent, bytes: usize, limit: usize) -> bool {
        let wait = self.bytes.len();
        match sent {
            Sent::Message => wait == 0 || wait + bytes <= limit,
            Sent::Answer => wait == 0 || wait + bytes <= limit.saturating_mul(ANSWERS),
            Sent::Signal => true,
        }
    }

    /// Whom to wake when all that waited is gone.
    fn empty(&mut self) -> (Vec<u8>, Vec<Waker>) {
        let senders = std::mem::take(&mut self.senders).into_values();
        let writers = self.writer.take().into_iter().chain(self.stuck.take());
        (std::mem::take(&mut self.bytes), senders.chain(writers).collect())
    }
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
    /// At most about so many bytes wait; so many were sent before.
    pub(crate) fn new(limit: usize, sent: u64) -> Self {
        Outbound { waiting: Mutex::new(Waiting { sent, ..Waiting::default() }), limit }
    }

    fn waiting(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Adds a whole frame, unless too much waits.
    pub(crate) fn push(&self, frame: &[u8], sent: Sent) -> Result<Added, NotQueued> {
        let mut waiting = self.waiting();
        if waiting.closed {
            return Err(NotQueued::Closed);
        }
        if !waiting.takes(sent, frame.len(), self.limit) {
            return Err(NotQueued::Full);
        }
        // What may pass the bound is bounded, too: a node that is told and told and reads nothing is given up.
        if waiting.bytes.len() > self.limit.saturating_mul(OVERRUN) {
            waiting.overrun = true;
            self.end(waiting);
            return Err(NotQueued::Closed);
        }
        waiting.bytes.extend_from_slice(frame);
        waiting.sent += frame.len() as u64;
        let added = if waiting.is_busy(self.limit) { Added::Busy } else { Added::Well };
        let writer = waiting.writer.take();
        drop(waiting);
        if let Some(writer) = writer {
            writer.wake();
        }
        Ok(added)
    }

    /// How many bytes wait, and how many were ever added.
    pub(crate) fn counts(&self) -> (usize, u64) {
        let waiting = self.waiting();
        (waiting.bytes.len(), waiting.sent)
    }

    /// Waits until the lane is not busy and takes a frame of so many bytes, or is closed. Who waits keeps its `place`, and
    /// [leaves](Self::leave) it if it gives up.
    pub(crate) fn poll_room(
        &self,
        cx: &mut Context<'_>,
        bytes: usize,
        place: &mut Option<Place>,
    ) -> Poll<()> {
        let mut waiting = self.waiting();
        let mine = place.unwrap_or(waiting.next_place);
        if waiting.closed || !waiting.is_busy(self.limit) && waiting.takes(Sent::Message, bytes, self.limit) {
            *place = None;
            let stale = waiting.senders.remove(&mine);
            drop(waiting);
            drop(stale);
            return Poll::Ready(());
        }
        if place.replace(mine).is_none() {
            waiting.next_place += 1;
        }
        let stale = waiting.senders.insert(mine, cx.waker().clone());
        drop(waiting);
        drop(stale);
        Poll::Pending
    }

    /// Waits no longer.
    pub(crate) fn leave(&self, place: Place) {
        let stale = self.waiting().senders.remove(&place);
        drop(stale);
    }

    /// Waits for bytes, and swaps them into the empty `bytes`. False: closed, since too much waited.
    pub(crate) fn poll_take(&self, cx: &mut Context<'_>, bytes: &mut Vec<u8>) -> Poll<bool> {
        let mut waiting = self.waiting();
        if !waiting.bytes.is_empty() {
            std::mem::swap(&mut waiting.bytes, bytes);
            if waiting.senders.is_empty() {
                return Poll::Ready(true);
            }
            let senders = std::mem::take(&mut waiting.senders);
            drop(waiting);
            senders.into_values().for_each(Waker::wake);
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

    /// For a writer that cannot write what it has taken. Ready: closed, since too much waits behind that.
    pub(crate) fn poll_overrun(&self, cx: &mut Context<'_>) -> Poll<()> {
        let mut waiting = self.waiting();
        if waiting.overrun {
            return Poll::Ready(());
        }
        if waiting.stuck.as_ref().is_some_and(|known| known.will_wake(cx.waker())) {
            return Poll::Pending;
        }
        let stale = waiting.stuck.replace(cx.waker().clone());
        drop(waiting);
        drop(stale);
        Poll::Pending
    }

    /// Nothing more is added; what waits is dropped.
    pub(crate) fn close(&self) {
        self.end(self.waiting());
    }

    fn end(&self, mut waiting: MutexGuard<'_, Waiting>) {
        waiting.closed = true;
        let (bytes, wakers) = waiting.empty();
        drop(waiting);
        drop(bytes);
        wakers.into_iter().for_each(Waker::wake);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_bound_holds_for_messages_and_signals_pass_it() {
        let out = Outbound::new(10, 0);
        assert_eq!(out.push(&[0; 5], Sent::Message), Ok(Added::Well));
        assert_eq!(out.push(&[0; 3], Sent::Message), Ok(Added::Busy));
        assert_eq!(out.push(&[0; 8], Sent::Message), Err(NotQueued::Full));
        assert_eq!(out.push(&[0; 8], Sent::Signal), Ok(Added::Busy));
        assert_eq!(out.counts(), (16, 16));
        out.close();
        assert_eq!(out.push(&[0; 1], Sent::Signal), Err(NotQueued::Closed));
    }

    #[test]
    fn what_passes_the_bound_is_bounded_too() {
        let out = Outbound::new(10, 0);
        let taken = (0..100).take_while(|_| out.push(&[0; 8], Sent::Signal).is_ok()).count();
        assert_eq!(taken, 6);
        assert_eq!(out.counts().0, 0);
        let mut cx = Context::from_waker(Waker::noop());
        assert_eq!(out.poll_take(&mut cx, &mut Vec::new()), Poll::Ready(false));
        assert_eq!(out.poll_overrun(&mut cx), Poll::Ready(()));
    }

    #[test]
    fn answers_pass_the_bound_and_leave_room_for_signals() {
        let out = Outbound::new(10, 0);
        assert_eq!(out.push(&[0; 8], Sent::Message), Ok(Added::Busy));
        assert_eq!(out.push(&[0; 22], Sent::Answer), Ok(Added::Busy));
        assert_eq!(out.push(&[0; 1], Sent::Answer), Err(NotQueued::Full));
        assert_eq!(out.push(&[0; 8], Sent::Signal), Ok(Added::Busy));
    }

    #[test]
    fn a_frame_larger_than_the_bound_goes_alone() {
        let out = Outbound::new(10, 0);
        assert_eq!(out.push(&[0; 100], Sent::Message), Ok(Added::Busy));
        assert_eq!(out.push(&[0; 1], Sent::Message), Err(NotQueued::Full));
    }

    #[test]
    fn who_waits_for_room_is_woken_when_there_is_some_or_never_will_be() {
        let out = Outbound::new(10, 0);
        let mut cx = Context::from_waker(Waker::noop());
        let (mut first, mut second) = (None, None);
        assert_eq!(out.poll_room(&mut cx, 1, &mut first), Poll::Ready(()));
        out.push(&[0; 8], Sent::Message).unwrap();
        assert_eq!(out.poll_room(&mut cx, 1, &mut first), Poll::Pending);
        assert_eq!(out.poll_room(&mut cx, 1, &mut first), Poll::Pending);
        assert_eq!(out.poll_room(&mut cx, 1, &mut second), Poll::Pending);
        assert_eq!(out.waiting().senders.len(), 2);
        out.leave(second.take().unwrap());
        assert_eq!(out.waiting().senders.len(), 1);
        assert_eq!(out.poll_take(&mut cx, &mut Vec::new()), Poll::Ready(true));
        assert!(out.waiting().senders.is_empty());
        assert_eq!(out.poll_room(&mut cx, 1, &mut first), Poll::Ready(()));
        out.push(&[0; 8], Sent::Message).unwrap();
        assert_eq!(out.poll_room(&mut cx, 1, &mut first), Poll::Pending);
        // One that needs more than there is waits until all is gone.
        let (small, mut large) = (Outbound::new(10, 0), None);
        small.push(&[0; 2], Sent::Message).unwrap();
        assert_eq!(small.poll_room(&mut cx, 100, &mut large), Poll::Pending);
        assert_eq!(small.poll_take(&mut cx, &mut Vec::new()), Poll::Ready(true));
        assert_eq!(small.poll_room(&mut cx, 100, &mut large), Poll::Ready(()));
        out.close();
        assert_eq!(out.poll_room(&mut cx, 1, &mut first), Poll::Ready(()));
        assert!(out.waiting().senders.is_empty());
    }
}
