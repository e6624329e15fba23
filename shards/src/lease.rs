//! A member's own view of its lease: until when it is valid, when to renew it, and when to begin another.

use core::time::Duration;

use crate::record::LeaseId;

/// The leases of one member, one after the other, as that member may rely on them.
///
/// The authority ends one when it has heard nothing for the agreed time, counted from when a renewal *arrived*; here it is
/// valid for nine tenths of that, counted from when the last renewal that succeeded was *sent*. So it ends here before it can
/// end there, by clocks whose rates differ by less than a tenth.
///
/// One that has ended here is given up, even if the authority would still renew it: others may hear that it is over from a
/// server that was started anew since, and remembers nothing. The next one has another number.
///
/// Events go in through `handle_*(now)`, actions come out of [`poll`](Self::poll). Times are those of a clock that only goes
/// forward.
#[derive(Clone, Debug)]
pub struct Lease {
    /// How long a renewal is good for, from its sending.
    length: Duration,
    /// The one that is valid, and until when.
    current: Option<(LeaseId, Duration)>,
    /// The one before, which is given up.
    former: Option<LeaseId>,
    /// When the renewal under way was sent.
    sent: Option<Duration>,
    /// When the next one is to be sent.
    next: Duration,
    action: Option<LeaseAction>,
}

/// What is to be done about a lease.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LeaseAction {
    /// Send a renewal, now: it counts as sent at the time of the event that led to it. What comes of one that was sent before
    /// counts no more.
    Renew {
        /// Of which; `None`: another one is to begin.
        lease: Option<LeaseId>,
        /// The one before another, which is relied on no more: it is over when this arrives.
        former: Option<LeaseId>,
    },
    /// The lease is valid until then, whatever was said before. It is over if that is not to come.
    Valid(LeaseId, Duration),
}

impl Lease {
    /// No lease yet: one is to begin. `ttl` is the time after which the authority ends one that is not renewed.
    pub fn new(ttl: Duration, now: Duration) -> Self {
        Lease { length: ttl / 10 * 9, current: None, former: None, sent: None, next: now, action: None }
    }

    /// What is to be done next.
    pub fn poll(&mut self) -> Option<LeaseAction> {
        self.action.take()
    }

    /// When [`handle_tick`](Self::handle_tick) is to be called; `None`: not before another event.
    pub fn wakes(&self) -> Option<Duration> {
        let next = self.sent.is_none().then_some(self.next);
        next.into_iter().chain(self.current.map(|(_, until)| until)).min()
    }

    /// Time has passed.
    pub fn handle_tick(&mut self, now: Duration) {
        self.end_in_time(now);
        if self.sent.is_none() && now >= self.next {
            self.sent = Some(now);
            let lease = self.current.map(|(lease, _)| lease);
            let former = self.former.filter(|_| lease.is_none());
            self.action = Some(LeaseAction::Renew { lease, former });
        }
    }

    /// The renewal under way has succeeded, of this lease.
    pub fn handle_renewed(&mut self, lease: LeaseId, now: Duration) {
        let Some(sent) = self.sent else { return };
        if self.end_in_time(now) {
            return;
        }
        let until = sent + self.length;
        self.current = Some((lease, until));
        if !self.end_in_time(now) {
            self.sent = None;
            self.next = sent + self.length / 3;
            self.action = Some(LeaseAction::Valid(lease, until));
        }
    }

    /// The renewal under way was not answered, or not sent.
    pub fn handle_failed(&mut self, now: Duration) {
        if self.sent.is_some() && !self.end_in_time(now) {
            self.pause(now);
        }
    }

    /// The authority says that the one that was to be renewed is over.
    pub fn handle_refused(&mut self, now: Duration) {
        if self.sent.is_none() || self.end_in_time(now) {
            return;
        }
        match self.current {
            Some((lease, _)) => {
                self.action = Some(LeaseAction::Valid(lease, now));
                self.end(lease, now);
            }
            // It has ended on the way.
            None => self.pause(now),
        }
    }

    /// Ends what has reached its end, which it may have without a tick; answers whether it has.
    fn end_in_time(&mut self, now: Duration) -> bool {
        let ended = self.current.filter(|(_, until)| now >= *until);
        if let Some((lease, _)) = ended {
            self.end(lease, now);
        }
        ended.is_some()
    }

    /// Another one is to begin at once.
    fn end(&mut self, lease: LeaseId, now: Duration) {
        (self.current, self.former) = (None, Some(lease));
        (self.sent, self.next) = (None, now);
    }

    /// Waits after a renewal that failed.
    fn pause(&mut self, now: Duration) {
        (self.sent, self.next) = (None, now + self.length / 20);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Of a lease of ten seconds, in milliseconds.
    enum Event {
        Tick,
        Renewed(i64),
        Failed,
        Refused,
    }
    use Event::*;

    const BEGIN: Option<LeaseAction> = Some(LeaseAction::Renew { lease: None, former: None });

    fn renew(lease: i64) -> Option<LeaseAction> {
        Some(LeaseAction::Renew { lease: Some(LeaseId(lease)), former: None })
    }

    fn begin_after(former: i64) -> Option<LeaseAction> {
        Some(LeaseAction::Renew { lease: None, former: Some(LeaseId(former)) })
    }

    fn valid(lease: i64, until: u64) -> Option<LeaseAction> {
        Some(LeaseAction::Valid(LeaseId(lease), Duration::from_millis(until)))
    }

    #[track_caller]
    fn check(rows: &[(u64, Event, Option<LeaseAction>)]) -> Lease {
        let mut lease = Lease::new(Duration::from_secs(10), Duration::ZERO);
        for (row, (now, event, expected)) in rows.iter().enumerate() {
            let now = Duration::from_millis(*now);
            match event {
                Tick => lease.handle_tick(now),
                Renewed(id) => lease.handle_renewed(LeaseId(*id), now),
                Failed => lease.handle_failed(now),
                Refused => lease.handle_refused(now),
            }
            assert_eq!(lease.poll(), *expected, "row {row}");
            assert_eq!(lease.poll(), None, "row {row}");
        }
        lease
    }

    #[test]
    fn it_is_valid_from_the_sending_and_not_from_the_answer() {
        let lease = check(&[
            (0, Tick, BEGIN),
            (800, Renewed(1), valid(1, 9_000)),
            (2_999, Tick, None),
            (3_000, Tick, renew(1)),
            (8_999, Renewed(1), valid(1, 12_000)),
        ]);
        assert_eq!(lease.wakes(), Some(Duration::from_secs(6)));
    }

    #[test]
    fn after_its_time_another_one_begins() {
        check(&[
            (0, Tick, BEGIN),
            (10, Renewed(1), valid(1, 9_000)),
            (3_000, Tick, renew(1)),
            (9_000, Tick, begin_after(1)),
            (9_100, Renewed(2), valid(2, 18_000)),
            (12_000, Tick, renew(2)),
            (12_010, Renewed(2), valid(2, 21_000)),
            (21_000, Tick, begin_after(2)),
        ]);
    }

    #[test]
    fn an_answer_that_comes_too_late_does_not_prolong_it() {
        check(&[
            (0, Tick, BEGIN),
            (10, Renewed(1), valid(1, 9_000)),
            (3_000, Tick, renew(1)),
            (9_000, Renewed(1), None),
            (9_000, Tick, begin_after(1)),
        ]);
        // Nor does it begin one.
        check(&[(0, Tick, BEGIN), (9_000, Renewed(1), None), (9_001, Tick, begin_after(1))]);
        check(&[
            (0, Tick, BEGIN),
            (10, Renewed(1), valid(1, 9_000)),
            (3_000, Tick, renew(1)),
            (9_000, Failed, None),
            (9_000, Tick, begin_after(1)),
        ]);
    }

    #[test]
    fn what_failed_is_tried_again_until_the_deadline_of_the_last_success() {
        check(&[
            (0, Tick, BEGIN),
            (10, Renewed(1), valid(1, 9_000)),
            (3_000, Tick, renew(1)),
            (5_000, Failed, None),
            (5_449, Tick, None),
            (5_450, Tick, renew(1)),
            (5_500, Failed, None),
            (5_950, Tick, renew(1)),
            (8_999, Renewed(1), valid(1, 14_950)),
        ]);
    }

    #[test]
    fn an_authority_that_is_not_there_is_waited_for() {
        // What has begun unheard is nobody's: the next attempt finds it, or begins another.
        let lease = check(&[
            (0, Tick, BEGIN),
            (20_000, Failed, None),
            (90_000, Tick, BEGIN),
            (90_001, Failed, None),
            (180_000, Tick, BEGIN),
            (180_100, Renewed(1), valid(1, 189_000)),
        ]);
        assert_eq!(lease.wakes(), Some(Duration::from_secs(183)));
    }

    #[test]
    fn what_is_refused_is_over() {
        check(&[
            (0, Tick, BEGIN),
            (10, Renewed(1), valid(1, 9_000)),
            (3_000, Tick, renew(1)),
            (3_010, Refused, valid(1, 3_010)),
            (3_020, Refused, None),
            (3_020, Renewed(1), None),
            (3_020, Tick, begin_after(1)),
            // It was found, and ended before it was renewed.
            (3_030, Refused, None),
            (3_479, Tick, None),
            (3_480, Tick, begin_after(1)),
        ]);
    }
}
