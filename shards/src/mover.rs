//! A planned move: the shard is frozen between two messages, handed over, and served at its new owner.

use core::time::Duration;

use crate::copy::Contents;
use crate::message::{Mail, Position, Streamed, ToStandby};
use crate::record::{LeaseId, Member};
use crate::replica::{Action, Mode, NotMoved, Replica};
use crate::rules::Rule;

/// A move under way, at the owner.
#[derive(Debug)]
pub(crate) struct Move {
    pub(crate) to: Member,
    state: State,
    /// When it is given up, if it can be.
    deadline: Duration,
    /// How many messages that waited were handed over.
    pub(crate) handed: usize,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// The target is being filled and named.
    Copying,
    /// No message is begun; those that were are being ended.
    Freezing,
    /// Nothing changes any more. The target is told so when everybody has everything.
    Frozen,
    /// The target was told.
    Told,
    /// The target has all, and the change of the record has left.
    Sent,
}

impl Move {
    /// Whether messages are kept.
    pub(crate) fn is_frozen(&self) -> bool {
        self.state != State::Copying
    }

    /// Whether nothing may be written: all that there is goes along.
    pub(crate) fn is_still(&self) -> bool {
        !matches!(self.state, State::Copying | State::Freezing)
    }

    /// Whether the target owns the shard, by this move.
    pub(crate) fn is_won(&self, owner: Option<(Member, u64)>, epoch: u64) -> bool {
        self.state == State::Sent && owner == Some((self.to, epoch + 1))
    }
}

impl<C: Contents> Replica<C> {
    /// The shard is to be served by another member, at the latest after `limit`; otherwise it stays.
    pub fn handle_move(&mut self, to: Member, limit: Duration, now: Duration) {
        let known = match &self.owner {
            None => Some(Err(NotMoved::NotOwner)),
            Some(owner) if owner.moving.is_some() => Some(Err(NotMoved::Busy)),
            Some(_) if to == self.me => Some(Ok(())),
            Some(_) if self.suspected.contains(&to) => Some(Err(NotMoved::Target)),
            Some(_) => None,
        };
        if let Some(known) = known {
            self.actions.push_back(Action::Moved(known));
            return;
        }
        if let Some(owner) = &mut self.owner {
            let state = State::Copying;
            owner.moving = Some(Move { to, state, deadline: now + limit, handed: 0 });
        }
        self.align(now);
        self.consider(now);
        self.settle(now);
    }

    /// Does what comes next of a move.
    pub(crate) fn go_on_moving(&mut self) {
        loop {
            let released = self.held_by_all();
            let Some((moving, idle)) = self.moving() else { return };
            let (to, state) = (moving.to, moving.state);
            let named = self.record.as_ref().is_some_and(|record| record.in_sync.contains(&to));
            let n = self.copy.as_ref().map_or(0, |copy| copy.position.n);
            let next = match state {
                State::Copying if named && !self.proposals.is_any() => State::Freezing,
                State::Freezing if idle => State::Frozen,
                State::Frozen if released >= n => State::Told,
                _ => return,
            };
            if let Some(moving) = self.owner.as_mut().and_then(|owner| owner.moving.as_mut()) {
                moving.state = next;
            }
            match next {
                State::Freezing => self.actions.push_back(Action::Freeze),
                State::Told => self.hand_over(to),
                _ => {}
            }
        }
    }

    /// The move under way, and whether no work is.
    fn moving(&self) -> Option<(&Move, bool)> {
        let owner = self.owner.as_ref()?;
        Some((owner.moving.as_ref()?, owner.jobs.is_empty()))
    }

    fn hand_over(&mut self, to: Member) {
        let (Some(owner), Some(copy)) = (&mut self.owner, &self.copy) else { return };
        let Some(moving) = &mut owner.moving else { return };
        moving.handed = owner.held.len();
        let mailbox = owner.held.iter().map(|(_, mail): &(_, Mail<_>)| mail.clone()).collect();
        let message = ToStandby::Final { position: copy.position, mailbox };
        let Some(stream) = owner.peers.get(&to).map(|peer| peer.stream) else { return };
        let last = Streamed { epoch: owner.epoch, stream, message };
        self.actions.push_back(Action::ToStandby(to, last));
    }

    /// The target holds everything, the mailbox as well.
    pub(crate) fn handed_over(&mut self, from: Member, position: Position, lease: LeaseId, now: Duration) {
        let here = self.copy.as_ref().map(|copy| copy.position);
        let (Some(owner), Some(record)) = (&mut self.owner, &self.record) else { return };
        let Some(moving) = &mut owner.moving else { return };
        let named = record.in_sync.contains(&from);
        if moving.to != from || moving.state != State::Told || here != Some(position) || !named {
            return;
        }
        if self.proposals.is_waiting() {
            // One of the two would lose. The target is told again, and says so again.
            return;
        }
        moving.state = State::Sent;
        let mut next = record.clone();
        (next.owner, next.lease) = (from, lease);
        next.epoch += 1;
        next.in_sync.remove(&from);
        // What is kept nowhere else is not kept here either.
        if self.config.mode != Mode::Local {
            next.in_sync.insert(self.me);
        }
        self.propose(next, now);
    }

    /// Whether the change of the owner has left: nothing else is proposed then but what ends it.
    pub(crate) fn is_sent(&mut self, now: Duration) -> bool {
        let sent =
            self.moving().filter(|(moving, _)| moving.state == State::Sent).map(|(moving, _)| moving.to);
        let Some(to) = sent else { return false };
        // R20: whether it came or will come into force is known by a newer revision, and by nothing else. If the target is
        // gone, a change of nothing competes with it.
        if self.suspected.contains(&to)
            && let Some(record) = self.record.clone()
        {
            self.propose(record, now);
        }
        true
    }

    /// The record has changed and the shard stays: the move has lost, or its target was taken out.
    pub(crate) fn thaw_if_lost(&mut self, now: Duration) {
        let Some((moving, _)) = self.moving() else { return };
        let named = self.record.as_ref().is_some_and(|record| record.in_sync.contains(&moving.to));
        if moving.state == State::Sent || moving.state != State::Copying && !named {
            self.thaw(now);
        }
    }

    /// The shard stays; what was kept is worked on.
    fn thaw(&mut self, now: Duration) {
        let Some(owner) = &mut self.owner else { return };
        owner.moving = None;
        self.actions.push_back(Action::Moved(Err(NotMoved::Target)));
        self.align(now);
        self.run_again();
        self.take_held(now);
    }

    /// Gives up a move that takes too long, as long as it can be.
    pub(crate) fn tick_move(&mut self, now: Duration) {
        let rules = self.config.rules;
        let Some((moving, _)) = self.moving() else { return };
        let over = now >= moving.deadline || self.suspected.contains(&moving.to);
        let (to, state) = (moving.to, moving.state);
        if over && (state != State::Sent || !rules.obey(Rule::R20)) {
            self.thaw(now);
        } else if state == State::Told {
            // It may have got lost.
            self.hand_over(to);
        }
    }
}
