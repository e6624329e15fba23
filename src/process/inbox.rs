//! The owner's end of a mailbox.

use std::collections::VecDeque;
use std::future::poll_fn;
use std::sync::Arc;
use std::task::{Context, Poll};

use super::callback::Callback;
use super::cell::{Cell, Process};
use super::debug::{EventKind, Seen};
use super::envelope::Envelope;
use super::signal::Signal;
use super::slots::{self, SlotId, Waiters};
use crate::term::{MonitorRef, Never};

/// After this many messages without a wait a process lets others run.
pub(crate) const FAIRNESS: u32 = 256;

/// The receiving end: a batch taken over from the cell, and the requests that still owe an answer.
pub(crate) struct Inbox<M: Send + 'static> {
    cell: Arc<Cell<M>>,
    batch: VecDeque<Envelope<M>>,
    /// The request in work.
    current: Option<SlotId>,
    /// Requests whose answer was put off.
    deferred: Option<Box<Waiters>>,
    budget: u32,
}

/// What a mailbox carries, as it is shown to those who watch.
pub(crate) trait Content: Send + 'static {
    /// Its kind, and the part of it that is the user's.
    fn seen(&self) -> Seen<'_>;
}

impl Content for Never {
    fn seen(&self) -> Seen<'_> {
        match *self {}
    }
}

impl<M: Content> Inbox<M> {
    pub(crate) fn new(cell: Arc<Cell<M>>) -> Self {
        Inbox { cell, batch: VecDeque::new(), current: None, deferred: None, budget: FAIRNESS }
    }

    pub(crate) fn cell(&self) -> &Arc<Cell<M>> {
        &self.cell
    }

    /// The next entry, in the order of arrival.
    ///
    /// Cancel safe: an entry is either returned or still there.
    // Inlined, for an entry to stay out of memory on its way to its callback.
    #[inline(always)]
    pub(crate) fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<Envelope<M>> {
        if self.cell.core().needs_attention() {
            return self.poll_next_unusual(cx);
        }
        self.poll_usual(cx)
    }

    /// As [`poll_next`](Self::poll_next), of a process that is doomed, held back or watched.
    #[cold]
    fn poll_next_unusual(&mut self, cx: &mut Context<'_>) -> Poll<Envelope<M>> {
        if self.takes_nothing(cx) {
            return Poll::Pending;
        }
        let next = self.poll_usual(cx);
        if let Poll::Ready(envelope) = &next {
            self.saw(envelope);
        }
        next
    }

    /// Whether no message is taken now, although one may wait.
    fn takes_nothing(&self, cx: &mut Context<'_>) -> bool {
        let core = self.cell.core();
        // Doomed: an untrapped exit signal has come, and the shell ends this process as soon as it awaits.
        core.is_doomed() || core.is_held_back() && core.poll_room(cx).is_pending()
    }

    // Inlined: nearly every message takes this way, and the other one is not to make it a call.
    #[inline(always)]
    fn poll_usual(&mut self, cx: &mut Context<'_>) -> Poll<Envelope<M>> {
        if self.spent(cx) {
            return Poll::Pending;
        }
        if let Some(envelope) = self.batch.pop_front() {
            return Poll::Ready(self.taken(envelope));
        }
        if let Some(envelope) = self.cell.take(&mut self.batch, cx.waker()) {
            return Poll::Ready(self.taken(envelope));
        }
        self.budget = FAIRNESS;
        self.cell.core().enter(Callback::Waiting);
        Poll::Pending
    }

    /// Whether it is time to let others run. The owner is polled again after them.
    fn spent(&mut self, cx: &Context<'_>) -> bool {
        let spent = self.budget == 0;
        if spent {
            // One more than after a wait: so the two are told apart.
            self.budget = FAIRNESS + 1;
            cx.waker().wake_by_ref();
        }
        spent
    }

    /// Whether the last look has found nothing.
    pub(crate) fn is_drained(&self) -> bool {
        let core = self.cell.core();
        self.budget == FAIRNESS && self.batch.is_empty() && !core.is_doomed() && !core.is_held_back()
    }

    /// Has the next look not wait for others: it is the last one before a wait ends without a message.
    pub(crate) fn refresh_budget(&mut self) {
        self.budget = self.budget.max(1);
    }

    /// The next entry, if there is one, `wanted` picks it, and nothing keeps it for the owner's next turn: neither fairness,
    /// nor an exit signal, nor one who watches.
    #[inline]
    pub(crate) fn next_if(&mut self, wanted: impl FnOnce(&Envelope<M>) -> bool) -> Option<Envelope<M>> {
        if self.budget == 0 || self.cell.core().needs_attention() {
            return None;
        }
        if self.batch.is_empty() {
            self.cell.refill(&mut self.batch);
        }
        if !wanted(self.batch.front()?) {
            return None;
        }
        let envelope = self.batch.pop_front()?;
        Some(self.taken(envelope))
    }

    fn taken(&mut self, envelope: Envelope<M>) -> Envelope<M> {
        self.budget = self.budget.saturating_sub(1);
        self.cell.core().count_handled();
        envelope
    }

    /// Shows a message that was taken to those who watch. System messages and timeouts that may be stale are none.
    fn saw(&self, envelope: &Envelope<M>) {
        let core = self.cell.core();
        match envelope {
            Envelope::User(message) => core.saw(None, message.seen()),
            Envelope::Request(message, request) => {
                slots::watch(*request);
                core.saw(Some(*request), message.seen());
            }
            Envelope::Timer(timer) => {
                let seen = timer.message.seen();
                core.saw(None, if timer.timer.is_some() { seen.by_timer() } else { seen });
            }
            Envelope::Signal(signal) => match &**signal {
                Signal::Exit(exit) => core.saw(None, Seen::new(EventKind::Exit, exit)),
                Signal::Down(down) => core.saw(None, Seen::new(EventKind::Down, down)),
                Signal::Node { node, .. } => core.saw(None, Seen::new(EventKind::Node, node)),
                Signal::System(..) | Signal::EventTimeout(_) | Signal::Changed => {}
            },
        }
    }

    /// The oldest entry that `wanted` picks; the others stay in their order (selective receive).
    ///
    /// Cancel safe, as [`poll_next`](Self::poll_next). Scans each waiting entry once per call.
    pub(crate) async fn next_where(&mut self, mut wanted: impl FnMut(&Envelope<M>) -> bool) -> Envelope<M> {
        let mut seen = 0;
        poll_fn(|cx| self.poll_where(cx, &mut seen, &mut wanted)).await
    }

    /// As [`next_where`](Self::next_where), past the entries that were `seen`.
    pub(crate) fn poll_where(
        &mut self,
        cx: &mut Context<'_>,
        seen: &mut usize,
        mut wanted: impl FnMut(&Envelope<M>) -> bool,
    ) -> Poll<Envelope<M>> {
        if self.cell.core().needs_attention() && self.takes_nothing(cx) {
            return Poll::Pending;
        }
        if self.spent(cx) {
            return Poll::Pending;
        }
        loop {
            while *seen < self.batch.len() {
                if wanted(&self.batch[*seen])
                    && let Some(envelope) = self.batch.remove(*seen)
                {
                    let envelope = self.taken(envelope);
                    if self.cell.core().is_debugged() {
                        self.saw(&envelope);
                    }
                    return Poll::Ready(envelope);
                }
                *seen += 1;
            }
            if !self.cell.drain_into(&mut self.batch, Some(cx.waker())) {
                self.budget = FAIRNESS;
                return Poll::Pending;
            }
        }
    }

    /// Waits while the process is held back: a time within which a message is awaited begins after that.
    pub(crate) async fn room(&mut self) {
        poll_fn(|cx| match self.cell.core().is_held_back() {
            true => self.cell.core().poll_room(cx),
            false => Poll::Ready(()),
        })
        .await;
    }

    /// A process that an untrapped exit signal has reached goes no further than this, whatever it was about to do.
    pub(crate) async fn heed(&mut self) {
        if self.cell.core().is_doomed() {
            std::future::pending::<()>().await;
        }
    }

    /// A turn that takes no message: after as many as of messages it lets others run, and a doomed process ends here.
    /// Without it a server that gives itself work and never awaits could not be stopped, nor held back.
    pub(crate) async fn turn(&mut self) {
        self.room().await;
        self.pause().await;
    }

    /// As [`turn`](Self::turn), also while it is held back.
    async fn pause(&mut self) {
        poll_fn(|cx| {
            if self.cell.core().is_doomed() || self.spent(cx) {
                return Poll::Pending;
            }
            self.budget -= 1;
            Poll::Ready(())
        })
        .await;
    }

    /// Takes all that waits over from the cell, for [`revise`](Self::revise).
    pub(crate) fn gather(&mut self) {
        self.cell.drain_into(&mut self.batch, None);
    }

    /// Has `change` make something else of each entry that was taken over; what it makes nothing of is gone, and counts
    /// as handled. Others run after as many as of messages.
    pub(crate) async fn revise(&mut self, mut change: impl FnMut(Envelope<M>) -> Option<Envelope<M>>) {
        for _ in 0..self.batch.len() {
            self.pause().await;
            let Some(envelope) = self.batch.pop_front() else { return };
            match change(envelope) {
                Some(changed) => self.batch.push_back(changed),
                None => self.cell.core().count_handled(),
            }
        }
    }

    /// Whether nothing that was taken over from the cell waits here.
    pub(crate) fn has_no_batch(&self) -> bool {
        self.batch.is_empty()
    }

    /// Whether nothing waits.
    pub(crate) fn is_empty(&mut self) -> bool {
        self.batch.is_empty() && !self.cell.drain_into(&mut self.batch, None)
    }

    /// Takes the DOWN of a monitor out of the mailbox, if it is there (`demonitor` with flush).
    pub(crate) fn flush_down(&mut self, reference: MonitorRef) -> bool {
        self.flush(|signal| matches!(signal, Signal::Down(down) if down.reference == reference))
    }

    /// Takes the first signal that `wanted` picks out of the mailbox, if there is one.
    pub(crate) fn flush(&mut self, wanted: impl Fn(&Signal) -> bool) -> bool {
        self.cell.drain_into(&mut self.batch, None);
        let found = self.batch.iter().position(|e| matches!(e, Envelope::Signal(signal) if wanted(signal)));
        let Some(envelope) = found.and_then(|at| self.batch.remove(at)) else { return false };
        drop(self.taken(envelope));
        true
    }

    /// A request is in work: if the process ends, its caller is told.
    pub(crate) fn answering(&mut self, request: SlotId) {
        self.current = Some(request);
    }

    /// The request in work, if there is one.
    pub(crate) fn in_work(&self) -> Option<SlotId> {
        self.current
    }

    /// The request in work was answered, or its answer is put off.
    pub(crate) fn answered(&mut self, answered: Option<SlotId>) {
        let Some(current) = self.current.take() else { return };
        if answered == Some(current) {
            return;
        }
        self.deferred.get_or_insert_default().push(current);
    }

    /// Gives memory back before a long wait. The batch is empty then.
    pub(crate) fn park(mut self) -> ParkedInbox<M> {
        let deferred = self.deferred.take().and_then(|mut deferred| deferred.prune().then_some(deferred));
        ParkedInbox { cell: self.cell.clone(), deferred }
    }

    pub(crate) fn unpark(mut parked: ParkedInbox<M>) -> Self {
        let mut inbox = Inbox::new(parked.cell.clone());
        inbox.deferred = parked.deferred.take();
        inbox
    }
}

/// The inbox of a process that hibernates.
pub(crate) struct ParkedInbox<M: Send + 'static> {
    cell: Arc<Cell<M>>,
    deferred: Option<Box<Waiters>>,
}

impl<M: Send + 'static> ParkedInbox<M> {
    pub(crate) fn cell(&self) -> Arc<Cell<M>> {
        self.cell.clone()
    }
}

impl<M: Send + 'static> Drop for ParkedInbox<M> {
    fn drop(&mut self) {
        if let Some(deferred) = self.deferred.take() {
            self.cell.leave(VecDeque::new(), (*deferred).into_iter());
        }
    }
}

impl<M: Send + 'static> Drop for Inbox<M> {
    fn drop(&mut self) {
        let open = self.current.take().into_iter();
        let deferred = self.deferred.take().into_iter().flat_map(|ids| *ids);
        self.cell.leave(std::mem::take(&mut self.batch), open.chain(deferred));
    }
}
