//! Changes of the record that were sent and may be in force, or come into force later.

use alloc::vec::Vec;
use core::time::Duration;

use crate::record::Record;

/// What has come of a compare-and-swap.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Swapped {
    /// It is in force, or was.
    Won,
    /// It is not and will not be: this is.
    Lost(Option<Record>),
    /// It may come into force at any time from now on.
    Unknown,
}

/// What this member has proposed and not yet heard of. All of it is for the revision after the one that is known: what is seen
/// of a newer one ends all.
#[derive(Debug, Default)]
pub(crate) struct Proposals(Vec<Proposal>);

#[derive(Debug)]
struct Proposal {
    record: Record,
    /// When it is said again; each time it is harmless, since one revision is changed once.
    again: Duration,
    unknown: bool,
}

impl Proposals {
    /// The records that may come into force.
    pub(crate) fn out(&self) -> impl Iterator<Item = &Record> {
        self.0.iter().map(|proposal| &proposal.record)
    }

    /// Whether there is one.
    pub(crate) fn is_any(&self) -> bool {
        !self.0.is_empty()
    }

    /// Whether there is one that nothing was heard of yet: another would only compete with it.
    pub(crate) fn is_waiting(&self) -> bool {
        self.0.iter().any(|proposal| !proposal.unknown)
    }

    /// Whether it is to be sent.
    pub(crate) fn add(&mut self, record: &Record, again: Duration) -> bool {
        let new = self.out().all(|proposed| proposed != record);
        if new {
            self.0.push(Proposal { record: record.clone(), again, unknown: false });
        }
        new
    }

    /// A record is in force: what was proposed for its revision or one before is over.
    pub(crate) fn settle(&mut self, record: &Record) {
        self.0.retain(|proposal| proposal.record.revision > record.revision);
    }

    pub(crate) fn lost(&mut self, record: &Record) {
        self.0.retain(|proposal| proposal.record != *record);
    }

    pub(crate) fn unknown(&mut self, record: &Record, again: Duration) {
        for proposal in self.0.iter_mut().filter(|proposal| proposal.record == *record) {
            proposal.unknown = true;
            proposal.again = again;
        }
    }

    pub(crate) fn is_due(&self, now: Duration) -> bool {
        self.0.iter().any(|proposal| proposal.again <= now)
    }

    /// Those that are said again. That one was not answered says nothing about it.
    pub(crate) fn say_again(&mut self, next: Duration) -> impl Iterator<Item = &Record> {
        self.0.iter_mut().map(move |proposal| {
            proposal.again = next;
            proposal.unknown = true;
            &proposal.record
        })
    }
}
