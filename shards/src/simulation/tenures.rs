//! Leases: what the authority has given, and what members make of it.

use alloc::collections::{BTreeMap, BTreeSet};
use alloc::vec::Vec;
use core::time::Duration;

use super::world::{Event, LEASE, QUIET, Renewed, UNANSWERED, World};
use crate::lease::LeaseAction;
use crate::record::{LeaseId, Member};

/// What the authority knows.
#[derive(Default)]
pub(super) struct Tenures {
    /// The last lease of each member, and when it ends.
    last: BTreeMap<Member, (LeaseId, Duration)>,
    given: BTreeSet<(Member, LeaseId)>,
}

impl Tenures {
    /// Those that have ended.
    pub(super) fn over(&self, now: Duration) -> Vec<(Member, LeaseId)> {
        let lasts = |(member, lease): &(Member, LeaseId)| {
            self.last.get(member).is_some_and(|(last, ends)| last == lease && now < *ends)
        };
        self.given.iter().filter(|tenure| !lasts(tenure)).copied().collect()
    }

    /// Renews a lease, or begins one; `None`: that is over.
    fn renew(
        &mut self,
        member: Member,
        lease: Option<LeaseId>,
        former: Option<LeaseId>,
        now: Duration,
    ) -> Option<LeaseId> {
        let held = self.last.get(&member).filter(|(_, ends)| now < *ends).map(|(held, _)| *held);
        let next = LeaseId(self.given.len() as i64 + 1);
        let lease = match (held.filter(|held| lease.is_some() || Some(*held) != former), lease) {
            (Some(held), lease) => Some(held).filter(|held| lease.is_none_or(|lease| lease == *held)),
            (None, None) => Some(next),
            (None, Some(_)) => None,
        }?;
        self.given.insert((member, lease));
        self.last.insert(member, (lease, now + LEASE));
        Some(lease)
    }
}

impl World {
    /// Does what a member's lease wants.
    pub(super) fn keep_lease(&mut self, node: usize) {
        let now = self.now;
        let host = &mut self.hosts[node];
        match host.lease.poll() {
            Some(LeaseAction::Renew { lease, former }) => {
                host.renewals += 1;
                let (me, number) = (host.member, host.renewals);
                let delay = self.delay() + self.authority_held.saturating_sub(now);
                self.after(UNANSWERED, Event::Renewed(me, number, Renewed::Unanswered));
                // When faults are over it is not lost any more.
                if now >= QUIET || !self.random.one_in(20) {
                    self.after(delay, Event::Renew(me, number, lease, former));
                }
            }
            Some(LeaseAction::Valid(lease, until)) => {
                self.each(node, |replica| replica.handle_lease(lease, until, now))
            }
            None => {}
        }
    }

    /// The authority gets a renewal.
    pub(super) fn renew(
        &mut self,
        from: Member,
        number: u64,
        lease: Option<LeaseId>,
        former: Option<LeaseId>,
    ) {
        let renewed = self.tenures.renew(from, lease, former, self.now).map_or(Renewed::Over, Renewed::Yes);
        let delay = self.delay();
        self.after(delay, Event::Renewed(from, number, renewed));
    }

    /// A member hears what has come of one.
    pub(super) fn renewed(&mut self, node: usize, number: u64, renewed: Renewed) {
        let now = self.now;
        let host = &mut self.hosts[node];
        if number != host.renewals {
            return;
        }
        match renewed {
            Renewed::Yes(lease) => host.lease.handle_renewed(lease, now),
            Renewed::Over => host.lease.handle_refused(now),
            Renewed::Unanswered => host.lease.handle_failed(now),
        }
        self.keep_lease(node);
    }
}
