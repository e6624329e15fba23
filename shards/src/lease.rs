//! A member's own view of its lease: until when it is valid, when to renew it, and when it is over.

use core::time::Duration;

/// The lease of one member, as that member may rely on it.
///
/// One life of a node has one lease. The authority ends it when it has heard nothing for the agreed time, counted from
/// when a renewal *arrived*; here it is valid for nine tenths of that, counted from when the last renewal that succeeded was
/// *sent*. So it ends here before it can end there, by clocks whose rates differ by less than a tenth.
///
/// Once it is over it stays so: the node goes on under another creation, if at all. That is also why an attempt to begin
/// counts that was never answered: it may have begun the lease, and others may have seen it end.
///
/// Events go in through `handle_*(now)`, actions come out of [`poll`](Self::poll). Times are those of a clock that only goes
/// forward.
#[derive(Clone, Debug)]
pub struct Lease {
    /// How long a renewal is good for, from its sending.
    length: Duration,
    /// Until when it is valid, or its begin must be known; `None`: no renewal has ever arrived.
    until: Option<Duration>,
    /// When the renewal under way was sent.
    sent: Option<Duration>,
    /// When the next one is to be sent.
    next: Duration,
    over: bool,
    action: Option<LeaseAction>,
}

/// What is to be done about a lease.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LeaseAction {
    /// Send a renewal, now: it counts as sent at the time of the event that led to it.
    Renew,
    /// The lease is valid until then.
    Valid(Duration),
    /// It is over: this member never has one again.
    Over,
}

impl Lease {
    /// A lease that is not begun. `ttl` is the time after which the authority ends one that is not renewed.
    pub fn new(ttl: Duration, now: Duration) -> Self {
        Lease { length: ttl / 10 * 9, until: None, sent: None, next: now, over: false, action: None }
    }

    /// What is to be done next.
    pub fn poll(&mut self) -> Option<LeaseAction> {
        self.action.take()
    }

    /// When [`handle_tick`](Self::handle_tick) is to be called; `None`: not before another event.
    pub fn wakes(&self) -> Option<Duration> {
        if self.over {
            return None;
        }
        let next = self.sent.is_none().then_some(self.next);
        next.into_iter().chain(self.until).min()
    }

    /// Time has passed.
    pub fn handle_tick(&mut self, now: Duration) {
        if self.over || self.has_ended(now) {
            return;
        }
        if self.sent.is_none() && now >= self.next {
            self.sent = Some(now);
            self.action = Some(LeaseAction::Renew);
        }
    }

    /// The renewal under way has succeeded.
    pub fn handle_renewed(&mut self, now: Duration) {
        let Some(sent) = self.answered(now) else { return };
        let until = sent + self.length;
        self.until = Some(until);
        self.next = sent + self.length / 3;
        self.action = Some(LeaseAction::Valid(until));
    }

    /// The renewal under way was not answered, and may have arrived.
    pub fn handle_unanswered(&mut self, now: Duration) {
        if self.answered(now).is_some() {
            self.next = now + self.pause();
        }
    }

    /// The renewal under way has not arrived, and will not.
    pub fn handle_unsent(&mut self, now: Duration) {
        if self.sent.take().is_some() && !self.has_ended(now) {
            self.next = now + self.pause();
        }
    }

    /// The authority says that it is over.
    pub fn handle_refused(&mut self) {
        if !self.over {
            self.end();
        }
    }

    /// When the renewal was sent that is not under way any more, and may have begun the lease; `None`: that is over.
    fn answered(&mut self, now: Duration) -> Option<Duration> {
        let sent = self.sent.take()?;
        self.until.get_or_insert(sent + self.length);
        (!self.has_ended(now)).then_some(sent)
    }

    /// Whether its time is over, which it may be without a tick.
    fn has_ended(&mut self, now: Duration) -> bool {
        let ended = self.until.is_some_and(|until| now >= until);
        if ended {
            self.end();
        }
        ended
    }

    fn end(&mut self) {
        self.over = true;
        self.sent = None;
        self.action = Some(LeaseAction::Over);
    }

    /// How long to wait after a renewal that failed.
    fn pause(&self) -> Duration {
        self.length / 20
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Of a lease of ten seconds, in milliseconds.
    enum Event {
        Tick,
        Renewed,
        Unanswered,
        Unsent,
        Refused,
    }
    use Event::*;

    const RENEW: Option<LeaseAction> = Some(LeaseAction::Renew);
    const OVER: Option<LeaseAction> = Some(LeaseAction::Over);

    fn valid(until: u64) -> Option<LeaseAction> {
        Some(LeaseAction::Valid(Duration::from_millis(until)))
    }

    #[track_caller]
    fn check(rows: &[(u64, Event, Option<LeaseAction>)]) -> Lease {
        let mut lease = Lease::new(Duration::from_secs(10), Duration::ZERO);
        for (row, (now, event, expected)) in rows.iter().enumerate() {
            let now = Duration::from_millis(*now);
            match event {
                Tick => lease.handle_tick(now),
                Renewed => lease.handle_renewed(now),
                Unanswered => lease.handle_unanswered(now),
                Unsent => lease.handle_unsent(now),
                Refused => lease.handle_refused(),
            }
            assert_eq!(lease.poll(), *expected, "row {row}");
            assert_eq!(lease.poll(), None, "row {row}");
        }
        lease
    }

    #[test]
    fn it_is_valid_from_the_sending_and_not_from_the_answer() {
        let lease = check(&[
            (0, Tick, RENEW),
            (800, Renewed, valid(9_000)),
            (2_999, Tick, None),
            (3_000, Tick, RENEW),
            (8_999, Renewed, valid(12_000)),
        ]);
        assert_eq!(lease.wakes(), Some(Duration::from_secs(6)));
    }

    #[test]
    fn it_is_over_when_its_time_is_and_never_valid_again() {
        let lease = check(&[
            (0, Tick, RENEW),
            (10, Renewed, valid(9_000)),
            (3_000, Tick, RENEW),
            (9_000, Tick, OVER),
            (9_001, Renewed, None),
            (20_000, Tick, None),
        ]);
        assert_eq!(lease.wakes(), None);
    }

    #[test]
    fn an_answer_that_comes_too_late_ends_it_even_without_a_tick() {
        check(&[(0, Tick, RENEW), (10, Renewed, valid(9_000)), (3_000, Tick, RENEW), (9_000, Renewed, OVER)]);
        check(&[(0, Tick, RENEW), (9_000, Renewed, OVER), (9_001, Tick, None)]);
    }

    #[test]
    fn what_failed_is_tried_again_until_the_deadline_of_the_last_success() {
        check(&[
            (0, Tick, RENEW),
            (10, Renewed, valid(9_000)),
            (3_000, Tick, RENEW),
            (5_000, Unanswered, None),
            (5_449, Tick, None),
            (5_450, Tick, RENEW),
            (5_500, Unsent, None),
            (5_950, Tick, RENEW),
            (8_999, Renewed, valid(14_950)),
        ]);
    }

    #[test]
    fn a_begin_that_may_have_arrived_counts() {
        check(&[
            (0, Tick, RENEW),
            (5_000, Unanswered, None),
            (5_450, Tick, RENEW),
            (6_000, Unsent, None),
            (6_450, Tick, RENEW),
            (9_000, Tick, OVER),
        ]);
        // The second attempt finds what the first has begun: it is renewed before that can have ended.
        check(&[
            (0, Tick, RENEW),
            (5_000, Unanswered, None),
            (5_450, Tick, RENEW),
            (8_900, Renewed, valid(14_450)),
        ]);
    }

    #[test]
    fn an_authority_that_is_not_there_is_waited_for() {
        check(&[
            (0, Tick, RENEW),
            (20_000, Unsent, None),
            (90_000, Tick, RENEW),
            (90_001, Unsent, None),
            (180_000, Tick, RENEW),
            (180_100, Renewed, valid(189_000)),
        ]);
    }

    #[test]
    fn what_is_refused_is_over() {
        check(&[
            (0, Tick, RENEW),
            (10, Renewed, valid(9_000)),
            (3_000, Tick, RENEW),
            (3_010, Refused, OVER),
            (3_020, Refused, None),
        ]);
    }
}
