//! A change of a record: what may follow what.

use core::fmt;

use serde::{Deserialize, Serialize};

use crate::record::{Record, ShardId};

/// A record that may follow the one that its proposer knows.
///
/// It is made of both, so that there is none that breaks the rules of records; whether the other one is in force when
/// it arrives, the authority decides by the revision alone.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Change {
    shard: ShardId,
    record: Record,
}

impl Change {
    /// The change of a shard's record `from` one `to` another; from nothing: the shard is created.
    ///
    /// # Errors
    /// See [`NotNext`].
    pub fn new(shard: ShardId, from: Option<&Record>, to: Record) -> Result<Self, NotNext> {
        to.follows(from)?;
        Ok(Change { shard, record: to })
    }

    /// Of which shard.
    pub fn shard(&self) -> ShardId {
        self.shard
    }

    /// What is in force if it wins.
    pub fn record(&self) -> &Record {
        &self.record
    }

    /// What is in force if it wins.
    pub fn into_record(self) -> Record {
        self.record
    }

    /// The revision of the record that must be in force for it to win; zero: there must be none.
    pub fn expects(&self) -> u64 {
        self.record.revision - 1
    }
}

impl Record {
    /// Whether this may come next after `before`, or be the first.
    ///
    /// It says nothing about who may propose it: that is the members' business.
    ///
    /// # Errors
    /// See [`NotNext`].
    pub fn follows(&self, before: Option<&Record>) -> Result<(), NotNext> {
        let (revision, epoch) = match before {
            None => (1, 1),
            // R22: another life of the same node is another owner. R44: so is, to epochs, the same by another lease.
            Some(before) => {
                let same = (before.owner, before.lease) == (self.owner, self.lease);
                (before.revision + 1, before.epoch + u64::from(!same))
            }
        };
        // R3: the revision, and not the epoch, is what is compared.
        if self.revision != revision {
            return Err(NotNext::Revision { wanted: revision, found: self.revision });
        }
        if self.epoch != epoch {
            return Err(NotNext::Epoch { wanted: epoch, found: self.epoch });
        }
        if self.in_sync.contains(&self.owner) {
            return Err(NotNext::OwnerInSync);
        }
        Ok(())
    }
}

/// Why a record cannot follow another one: whoever made it is mistaken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NotNext {
    /// Each change makes the revision one greater.
    Revision {
        /// What it has to be.
        wanted: u64,
        /// What it is.
        found: u64,
    },
    /// The epoch is one greater if the owner is another one or has another lease, and the same if not.
    Epoch {
        /// What it has to be.
        wanted: u64,
        /// What it is.
        found: u64,
    },
    /// The owner is named among those that may take over from it.
    OwnerInSync,
}

impl fmt::Display for NotNext {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            NotNext::Revision { wanted, found } => {
                write!(f, "the revision after the one before is {wanted}, not {found}")
            }
            NotNext::Epoch { wanted, found } => {
                write!(
                    f,
                    "the epoch grows with each change of the owner or its lease and never otherwise: it is \
                     {wanted}, not {found}"
                )
            }
            NotNext::OwnerInSync => f.write_str("the owner is named as its own standby"),
        }
    }
}

impl core::error::Error for NotNext {}

#[cfg(test)]
mod tests {
    use alloc::collections::BTreeSet;

    use super::*;
    use crate::record::{LeaseId, Member};

    fn member(node: u32, creation: u32) -> Member {
        Member { node, creation, store: None }
    }

    fn record(revision: u64, owner: Member, epoch: u64) -> Record {
        Record { revision, owner, lease: LeaseId(1), epoch, in_sync: BTreeSet::new(), wire: 1 }
    }

    #[track_caller]
    fn check(before: Option<Record>, after: Record, expected: Result<(), NotNext>) {
        let change = Change::new(ShardId(7), before.as_ref(), after.clone());
        assert_eq!(change.as_ref().map(|_| ()).map_err(|error| *error), expected);
        if let Ok(change) = change {
            assert_eq!(change.expects(), before.map_or(0, |before| before.revision));
            assert_eq!(change.into_record(), after);
        }
    }

    #[test]
    fn a_record_follows_the_one_before() {
        let (a, b) = (member(1, 1), member(2, 1));
        check(None, record(1, a, 1), Ok(()));
        check(None, record(2, a, 1), Err(NotNext::Revision { wanted: 1, found: 2 }));
        check(None, record(1, a, 2), Err(NotNext::Epoch { wanted: 1, found: 2 }));
        check(Some(record(4, a, 2)), record(5, a, 2), Ok(()));
        check(Some(record(4, a, 2)), record(5, b, 3), Ok(()));
        check(Some(record(4, a, 2)), record(4, b, 3), Err(NotNext::Revision { wanted: 5, found: 4 }));
        check(Some(record(4, a, 2)), record(6, b, 3), Err(NotNext::Revision { wanted: 5, found: 6 }));
    }

    #[test]
    fn the_epoch_grows_with_the_owner_or_its_lease_and_never_otherwise() {
        let (a, again) = (member(1, 1), member(1, 2));
        check(Some(record(4, a, 2)), record(5, a, 3), Err(NotNext::Epoch { wanted: 2, found: 3 }));
        check(Some(record(4, a, 2)), record(5, again, 2), Err(NotNext::Epoch { wanted: 3, found: 2 }));
        check(Some(record(4, a, 2)), record(5, again, 3), Ok(()));
        let anew = |epoch| Record { lease: LeaseId(2), ..record(5, a, epoch) };
        check(Some(record(4, a, 2)), anew(3), Ok(()));
        check(Some(record(4, a, 2)), anew(2), Err(NotNext::Epoch { wanted: 3, found: 2 }));
    }

    #[test]
    fn an_owner_is_no_standby_of_its_own() {
        let (a, b) = (member(1, 1), member(2, 1));
        let with = |owner, epoch, in_sync: &[Member]| Record {
            in_sync: in_sync.iter().copied().collect(),
            ..record(5, owner, epoch)
        };
        check(Some(record(4, a, 2)), with(a, 2, &[b]), Ok(()));
        check(Some(record(4, a, 2)), with(b, 3, &[b]), Err(NotNext::OwnerInSync));
    }
}
