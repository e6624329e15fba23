//! What the server of a file knows and decides. Pure: the file, the clock and the callers are the server's.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::{Change, LeaseId, Member, Record, Renewal, Settings, ShardId};

/// What is on the disk, or is to be written there in one step.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Rows {
    pub(super) settings: Option<Settings>,
    pub(super) records: BTreeMap<ShardId, Record>,
    /// The last who took the token, and by which lease; inside, `None`: it was freed.
    pub(super) token: Option<Option<(Member, LeaseId)>>,
    /// Which life of the server this is, counted from 1.
    pub(super) life: Option<u32>,
}

impl Rows {
    pub(super) fn is_empty(&self) -> bool {
        *self == Rows::default()
    }
}

/// What changes something on the disk.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) enum Write {
    Found(Settings),
    Swap(Vec<Change>),
    Take(Member),
    Free(Member),
}

/// What has come of it, once it is on the disk.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum Written {
    Founded(Settings),
    /// Each has won, or this is in force.
    Swapped(Vec<Result<(), Option<Record>>>),
    /// Who has the token now; `None`: the member that asked has no lease.
    Taken(Option<Member>),
    Freed,
}

/// Why a lease was not renewed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum NotRenewed {
    Over,
    NotFounded,
}

/// Up to which change somebody has heard, and from which life of the server.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Heard {
    life: u32,
    change: u64,
}

/// What has changed since.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Told {
    pub(super) heard: Heard,
    pub(super) records: Vec<(ShardId, Record)>,
    pub(super) members: Vec<(Member, LeaseId, Arc<str>)>,
    /// Whether there are no other members with a lease.
    pub(super) complete: bool,
    pub(super) token: Option<Member>,
}

#[derive(Debug)]
struct Held {
    lease: LeaseId,
    ends: Duration,
    about: Arc<str>,
}

/// What is in force. Times are since the server started.
#[derive(Debug)]
pub(super) struct Ledger {
    rows: Rows,
    leases: BTreeMap<Member, Held>,
    /// Tells this life of the server from others, whose changes were counted from zero as well, and its leases from theirs:
    /// each is given a greater number than all before.
    life: u32,
    leases_given: u32,
    /// From then on, whoever had a lease in a former life of the server has renewed it, or has none.
    settled: Duration,
    is_settled: bool,
    /// Counts what watchers hear.
    change: u64,
    /// The change that brought each record.
    brought: BTreeMap<ShardId, u64>,
}

impl Ledger {
    /// With what is on the disk, where it is said which life of the server this is.
    pub(super) fn new(rows: Rows) -> Self {
        // Nobody had a lease before the cluster was founded.
        let settled = rows.settings.map_or(Duration::ZERO, |settings| settings.lease);
        let brought = rows.records.keys().map(|shard| (*shard, 1)).collect();
        let is_settled = settled.is_zero();
        let life = rows.life.unwrap_or_default();
        Ledger {
            rows,
            leases: BTreeMap::new(),
            life,
            leases_given: 0,
            settled,
            is_settled,
            change: 1,
            brought,
        }
    }

    pub(super) fn record(&self, shard: ShardId) -> Option<&Record> {
        self.rows.records.get(&shard)
    }

    pub(super) fn records(&self) -> &BTreeMap<ShardId, Record> {
        &self.rows.records
    }

    /// Whether a lease of a member is over, for ever.
    pub(super) fn is_over(&self, member: Member, lease: LeaseId) -> bool {
        self.is_settled && self.leases.get(&member).is_none_or(|held| held.lease != lease)
    }

    /// Who has the token: nobody keeps it beyond the lease.
    fn token(&self, rows: &Rows) -> Option<Member> {
        let taken = rows.token.or(self.rows.token).flatten();
        taken.filter(|(holder, lease)| !self.is_over(*holder, *lease)).map(|(holder, _)| holder)
    }

    /// Decides about a write, as if what is in `rows` were in force, and adds to them what is to be written.
    pub(super) fn decide(&self, write: Write, rows: &mut Rows) -> Written {
        match write {
            Write::Found(wanted) => {
                let settings = rows.settings.or(self.rows.settings);
                Written::Founded(settings.unwrap_or_else(|| *rows.settings.insert(wanted)))
            }
            Write::Swap(changes) => {
                Written::Swapped(changes.into_iter().map(|change| self.swap(change, rows)).collect())
            }
            Write::Take(member) => Written::Taken(self.leases.get(&member).map(|held| {
                let holder = self.token(rows).unwrap_or(member);
                if holder == member {
                    rows.token = Some(Some((member, held.lease)));
                }
                holder
            })),
            Write::Free(member) => {
                if self.token(rows) == Some(member) {
                    rows.token = Some(None);
                }
                Written::Freed
            }
        }
    }

    fn swap(&self, change: Change, rows: &mut Rows) -> Result<(), Option<Record>> {
        let shard = change.shard();
        let before = rows.records.get(&shard).or_else(|| self.record(shard));
        // R3
        if change.expects() != before.map_or(0, |before| before.revision) {
            return Err(before.cloned());
        }
        rows.records.insert(shard, change.into_record());
        Ok(())
    }

    /// The rows are on the disk, and in force.
    pub(super) fn handle_written(&mut self, rows: Rows) {
        if rows.is_empty() {
            return;
        }
        self.change += 1;
        self.brought.extend(rows.records.keys().map(|shard| (*shard, self.change)));
        self.rows.settings = rows.settings.or(self.rows.settings);
        self.rows.records.extend(rows.records);
        self.rows.token = rows.token.or(self.rows.token);
    }

    /// Renews a lease, or begins another.
    pub(super) fn handle_renew(&mut self, renewal: Renewal, now: Duration) -> Result<LeaseId, NotRenewed> {
        let ttl = self.rows.settings.ok_or(NotRenewed::NotFounded)?.lease;
        self.handle_tick(now);
        let (member, about) = (renewal.member, Arc::<str>::from(renewal.about));
        let held = self.leases.get(&member).map(|held| held.lease);
        let lease = match (held, renewal.lease) {
            // Its begin was not heard of. What it has given up is none that it can have: that one may have come late, to a
            // server that had forgotten it.
            (Some(held), None) if Some(held) > renewal.former => held,
            (_, None) => {
                self.leases_given += 1;
                LeaseId((i64::from(self.life) << 32) + i64::from(self.leases_given))
            }
            (Some(held), Some(lease)) if held == lease => lease,
            // It had it from a former life of this server.
            (held, Some(lease)) if !self.is_settled && held < Some(lease) => lease,
            _ => return Err(NotRenewed::Over),
        };
        let held = Held { lease, ends: now + ttl, about: about.clone() };
        let before = self.leases.insert(member, held);
        if before.is_none_or(|before| (before.lease, before.about) != (lease, about)) {
            self.change += 1;
        }
        Ok(lease)
    }

    /// Time has passed: leases end.
    pub(super) fn handle_tick(&mut self, now: Duration) {
        let before = self.leases.len();
        self.leases.retain(|_, held| held.ends > now);
        if self.leases.len() != before {
            self.change += 1;
        }
        if !self.is_settled && now >= self.settled {
            self.is_settled = true;
            self.change += 1;
        }
    }

    /// When to call [`handle_tick`](Self::handle_tick).
    pub(super) fn wakes(&self) -> Option<Duration> {
        let settles = (!self.is_settled).then_some(self.settled);
        self.leases.values().map(|held| held.ends).chain(settles).min()
    }

    /// What has changed since; `None`: nothing.
    pub(super) fn tell(&self, heard: Option<Heard>) -> Option<Told> {
        let since = heard.filter(|heard| heard.life == self.life).map_or(0, |heard| heard.change);
        if since == self.change {
            return None;
        }
        let new = |shard: &ShardId| self.brought.get(shard).is_none_or(|change| *change > since);
        let records = self.rows.records.iter().filter(|(shard, _)| new(shard));
        let members = self.leases.iter().map(|(member, held)| (*member, held.lease, held.about.clone()));
        Some(Told {
            heard: Heard { life: self.life, change: self.change },
            records: records.map(|(shard, record)| (*shard, record.clone())).collect(),
            members: members.collect(),
            complete: self.is_settled,
            token: self.token(&Rows::default()),
        })
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    const TTL: Duration = Duration::from_secs(10);

    fn member(node: u32) -> Member {
        Member { node, creation: 1, store: None }
    }

    fn record(owner: u32, revision: u64) -> Record {
        let (owner, lease) = (member(owner), LeaseId(1));
        Record { revision, owner, lease, epoch: revision, in_sync: BTreeSet::new(), wire: 1 }
    }

    /// Of owner 2, from a record of owner 1.
    fn change(shard: u32, revision: u64) -> Change {
        let before = (revision > 1).then(|| record(1, revision - 1));
        Change::new(ShardId(shard), before.as_ref(), record(2, revision)).unwrap()
    }

    fn settings() -> Settings {
        Settings { shards: 8, format: 1, lease: TTL }
    }

    fn in_life(life: u32) -> Rows {
        Rows { life: Some(life), ..Rows::default() }
    }

    fn founded(life: u32) -> Ledger {
        let mut ledger = Ledger::new(in_life(life));
        write(&mut ledger, Write::Found(settings()));
        ledger
    }

    fn write(ledger: &mut Ledger, write: Write) -> Written {
        let mut rows = Rows::default();
        let written = ledger.decide(write, &mut rows);
        ledger.handle_written(rows);
        written
    }

    fn renew(
        ledger: &mut Ledger,
        node: u32,
        lease: Option<LeaseId>,
        now: u64,
    ) -> Result<LeaseId, NotRenewed> {
        let renewal = Renewal { member: member(node), lease, former: None, about: format!("node {node}") };
        ledger.handle_renew(renewal, Duration::from_secs(now))
    }

    /// Another than this one is to begin.
    fn begin_after(ledger: &mut Ledger, node: u32, former: LeaseId, now: u64) -> LeaseId {
        let former = Some(former);
        let renewal = Renewal { member: member(node), lease: None, former, about: format!("node {node}") };
        ledger.handle_renew(renewal, Duration::from_secs(now)).unwrap()
    }

    fn tick(ledger: &mut Ledger, now: u64) {
        ledger.handle_tick(Duration::from_secs(now));
    }

    #[test]
    fn a_batch_is_decided_one_by_one_and_writes_that_share_a_commit_see_each_other() {
        let ledger = founded(1);
        let mut rows = Rows::default();
        let created = ledger.decide(Write::Swap(vec![change(1, 1), change(2, 5)]), &mut rows);
        assert_eq!(created, Written::Swapped(vec![Ok(()), Err(None)]));
        let again = ledger.decide(Write::Swap(vec![change(1, 1), change(3, 1)]), &mut rows);
        assert_eq!(again, Written::Swapped(vec![Err(Some(record(2, 1))), Ok(())]));
        // Nobody is shown what is not on the disk.
        assert_eq!(ledger.record(ShardId(1)), None);
    }

    #[test]
    fn a_cluster_is_founded_once() {
        let mut ledger = founded(1);
        let other = Settings { shards: 9, ..settings() };
        assert_eq!(write(&mut ledger, Write::Found(other)), Written::Founded(settings()));
    }

    #[test]
    fn a_lease_ends_when_it_is_not_renewed_and_another_may_begin() {
        let mut ledger = founded(1);
        assert_eq!(renew(&mut Ledger::new(in_life(1)), 1, None, 0), Err(NotRenewed::NotFounded));
        let lease = renew(&mut ledger, 1, None, 0).unwrap();
        assert_eq!(renew(&mut ledger, 1, None, 1), Ok(lease));
        assert_eq!(renew(&mut ledger, 1, Some(lease), 9), Ok(lease));
        tick(&mut ledger, 18);
        assert!(!ledger.is_over(member(1), lease));
        assert_eq!(ledger.wakes(), Some(Duration::from_secs(19)));
        tick(&mut ledger, 19);
        assert!(ledger.is_over(member(1), lease));
        assert_eq!(renew(&mut ledger, 1, Some(lease), 20), Err(NotRenewed::Over));
        assert_eq!(ledger.wakes(), None);
        let other = begin_after(&mut ledger, 1, lease, 21);
        assert!(other > lease && ledger.is_over(member(1), lease) && !ledger.is_over(member(1), other));
        assert_eq!(renew(&mut ledger, 1, Some(lease), 22), Err(NotRenewed::Over));
        assert!(ledger.is_over(member(2), other));
    }

    #[test]
    fn what_its_member_has_given_up_is_over() {
        let mut ledger = founded(1);
        let lease = renew(&mut ledger, 1, None, 0).unwrap();
        let other = begin_after(&mut ledger, 1, lease, 1);
        assert!(other != lease && ledger.is_over(member(1), lease));
        // One that comes twice, or late, finds what has begun.
        assert_eq!(begin_after(&mut ledger, 1, lease, 2), other);
        assert_eq!(renew(&mut ledger, 1, None, 3), Ok(other));
        assert_eq!(renew(&mut ledger, 1, Some(lease), 4), Err(NotRenewed::Over));
        assert!(!ledger.is_over(member(1), other));
    }

    /// One that was founded, in a later life, with what is on the disk.
    fn restarted(life: u32, token: Option<Option<(Member, LeaseId)>>) -> Ledger {
        Ledger::new(Rows { settings: Some(settings()), token, ..in_life(life) })
    }

    #[test]
    fn a_server_that_was_restarted_ends_nobody_before_it_can_know() {
        let (one, two) = (LeaseId(78), LeaseId(77));
        let mut ledger = restarted(2, Some(Some((member(1), one))));
        assert!(!ledger.is_over(member(1), one));
        // Who had a lease goes on with it.
        assert_eq!(renew(&mut ledger, 2, Some(two), 9), Ok(two));
        assert_eq!(write(&mut ledger, Write::Take(member(2))), Written::Taken(Some(member(1))));
        tick(&mut ledger, 10);
        assert!(ledger.is_over(member(1), one) && !ledger.is_over(member(2), two));
        assert_eq!(renew(&mut ledger, 1, Some(one), 10), Err(NotRenewed::Over));
        assert_eq!(write(&mut ledger, Write::Take(member(2))), Written::Taken(Some(member(2))));
    }

    #[test]
    fn a_server_that_was_restarted_gives_nobody_what_was_over() {
        let mut before = founded(1);
        let first = renew(&mut before, 1, None, 0).unwrap();
        tick(&mut before, 10);
        let second = begin_after(&mut before, 1, first, 11);
        // A renewal of the first one was long under way.
        let mut ledger = restarted(2, None);
        assert_eq!(renew(&mut ledger, 1, Some(first), 1), Ok(first));
        assert_eq!(renew(&mut ledger, 1, Some(second), 2), Ok(second));
        assert_eq!(renew(&mut ledger, 1, Some(first), 3), Err(NotRenewed::Over));
        // And it was so of one that has begun nothing since.
        let mut ledger = restarted(2, None);
        assert_eq!(renew(&mut ledger, 1, Some(first), 1), Ok(first));
        let third = begin_after(&mut ledger, 1, second, 2);
        assert!(third > second);
        tick(&mut ledger, 10);
        assert!(ledger.is_over(member(1), first) && ledger.is_over(member(1), second));
    }

    #[test]
    fn the_token_has_one_holder_and_ends_with_the_lease() {
        let mut ledger = founded(1);
        assert_eq!(write(&mut ledger, Write::Take(member(1))), Written::Taken(None));
        let lease = renew(&mut ledger, 1, None, 0).unwrap();
        renew(&mut ledger, 2, None, 5).unwrap();
        assert_eq!(write(&mut ledger, Write::Take(member(1))), Written::Taken(Some(member(1))));
        assert_eq!(write(&mut ledger, Write::Take(member(2))), Written::Taken(Some(member(1))));
        assert_eq!(write(&mut ledger, Write::Free(member(2))), Written::Freed);
        assert_eq!(ledger.tell(None).unwrap().token, Some(member(1)));
        // By the lease that its holder has had, not by one that it has.
        begin_after(&mut ledger, 1, lease, 10);
        assert_eq!(ledger.tell(None).unwrap().token, None);
        assert_eq!(write(&mut ledger, Write::Take(member(2))), Written::Taken(Some(member(2))));
        assert_eq!(write(&mut ledger, Write::Free(member(2))), Written::Freed);
        assert_eq!(write(&mut ledger, Write::Take(member(1))), Written::Taken(Some(member(1))));
        tick(&mut ledger, 20);
        assert_eq!(ledger.tell(None).unwrap().token, None);
    }

    #[test]
    fn a_watcher_is_told_what_has_changed_and_of_another_life_all() {
        let mut ledger = founded(1);
        write(&mut ledger, Write::Swap(vec![change(1, 1), change(2, 1)]));
        let heard = ledger.tell(None).unwrap().heard;
        assert_eq!(ledger.tell(Some(heard)), None);
        let before = record(2, 1);
        let next = Change::new(ShardId(2), Some(&before), Record { revision: 2, ..before.clone() }).unwrap();
        write(&mut ledger, Write::Swap(vec![next.clone()]));
        let told = ledger.tell(Some(heard)).unwrap();
        assert_eq!(told.records, [(ShardId(2), next.into_record())]);
        renew(&mut ledger, 1, None, 0).unwrap();
        let renewed = ledger.tell(Some(told.heard)).unwrap();
        assert_eq!((renewed.records.len(), renewed.members.len()), (0, 1));
        // A renewal that says nothing new is no news; another lease is.
        renew(&mut ledger, 1, None, 1).unwrap();
        assert_eq!(ledger.tell(Some(renewed.heard)), None);
        let other = begin_after(&mut ledger, 1, renewed.members[0].1, 2);
        assert_eq!(ledger.tell(Some(renewed.heard)).unwrap().members[0].1, other);
        let restarted = Ledger::new(Rows { life: Some(2), ..ledger.rows.clone() });
        assert_eq!(restarted.tell(Some(renewed.heard)).unwrap().records.len(), 2);
    }
}
