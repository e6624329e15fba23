//! What changes at an authority, told such that the newest state is never missed.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use tokio::time;

use super::{LeaseId, Member, Pending, Record, ShardId, Unavailable};
use crate::gen_server::Source;

/// After so long it is tried again to hear of what changes.
const RETRY: Duration = Duration::from_millis(200);

/// One thing that is so from now on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum News {
    /// A member has this lease, and what is told about it.
    Lives(Member, LeaseId, Arc<str>),
    /// A member has no lease.
    Over(Member),
    /// This record is in force.
    Record(ShardId, Record),
    /// Who has the token.
    Token(Option<Member>),
}

/// What a backend has seen. Whoever writes one makes these.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Seen {
    /// All members with a lease. `complete`: who is not among them has none; otherwise some may still have to be heard of.
    Members {
        /// Each with its lease, and what is told about it.
        all: BTreeMap<Member, (LeaseId, Arc<str>)>,
        /// Whether there are no others.
        complete: bool,
    },
    /// One thing.
    One(News),
}

/// Where a [`Watch`] hears what changes: each backend has one.
pub trait Feed: Send + 'static {
    /// What has happened since it was last asked, or, the first time and after an error, all that is so.
    ///
    /// # Errors
    /// It was interrupted; the next answer makes up for it.
    ///
    /// # Cancel safety
    /// Nothing is lost.
    fn next(&mut self) -> Pending<'_, Result<Vec<Seen>, Unavailable>>;
}

/// All that is so at an authority, and then all that changes.
///
/// Of each shard, each member and the token only the newest is kept until it is taken, so a slow reader costs no memory and
/// misses nothing that still matters. Interruptions are not seen: what has changed meanwhile comes as if it were
/// new. Members come before the records that name them. A server reads it as a [`Source`].
pub struct Watch {
    view: View,
    feed: Box<dyn Feed>,
}

impl Watch {
    /// A watch of what this one hears.
    pub fn new(feed: impl Feed) -> Self {
        Watch { view: View::default(), feed: Box::new(feed) }
    }

    /// What has changed next. Waits as long as nothing does, also while the authority cannot be reached.
    ///
    /// # Cancel safety
    /// Nothing is lost.
    pub async fn next(&mut self) -> News {
        loop {
            if let Some(news) = self.view.poll() {
                return news;
            }
            match self.feed.next().await {
                Ok(seen) => seen.into_iter().for_each(|seen| self.view.handle(seen)),
                Err(_) => time::sleep(RETRY).await,
            }
        }
    }
}

impl Source for Watch {
    type Item = News;

    async fn next(&mut self) -> Option<News> {
        Some(Watch::next(self).await)
    }
}

impl fmt::Debug for Watch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Watch").field("view", &self.view).finish_non_exhaustive()
    }
}

/// What a reader has been told, and what it has not been told yet.
#[derive(Debug, Default)]
struct View {
    revisions: BTreeMap<ShardId, u64>,
    members: BTreeMap<Member, (LeaseId, Arc<str>)>,
    token: Option<Member>,
    /// `None`: it has no lease.
    new_members: BTreeMap<Member, Option<(LeaseId, Arc<str>)>>,
    new_records: BTreeMap<ShardId, Record>,
    new_token: bool,
}

impl View {
    fn handle(&mut self, seen: Seen) {
        match seen {
            Seen::Members { all, complete } => {
                if complete {
                    let gone: Vec<_> =
                        self.members.keys().filter(|member| !all.contains_key(member)).copied().collect();
                    gone.into_iter().for_each(|member| self.over(member));
                }
                all.into_iter().for_each(|(member, about)| self.lives(member, about));
            }
            Seen::One(News::Lives(member, lease, about)) => self.lives(member, (lease, about)),
            Seen::One(News::Over(member)) => self.over(member),
            Seen::One(News::Record(shard, record)) => self.record(shard, record),
            Seen::One(News::Token(holder)) => {
                self.new_token |= self.token != holder;
                self.token = holder;
            }
        }
    }

    /// The next that the reader is told: members first, so that none is thought over that a record names.
    fn poll(&mut self) -> Option<News> {
        if let Some((member, about)) = self.new_members.pop_first() {
            let lives = |(lease, about)| News::Lives(member, lease, about);
            return Some(about.map_or(News::Over(member), lives));
        }
        if let Some((shard, record)) = self.new_records.pop_first() {
            return Some(News::Record(shard, record));
        }
        std::mem::take(&mut self.new_token).then_some(News::Token(self.token))
    }

    fn lives(&mut self, member: Member, about: (LeaseId, Arc<str>)) {
        if self.members.get(&member) != Some(&about) {
            self.members.insert(member, about.clone());
            self.new_members.insert(member, Some(about));
        }
    }

    fn over(&mut self, member: Member) {
        if self.members.remove(&member).is_some() {
            self.new_members.insert(member, None);
        }
    }

    fn record(&mut self, shard: ShardId, record: Record) {
        match self.revisions.entry(shard) {
            Entry::Occupied(known) if *known.get() >= record.revision => return,
            Entry::Occupied(mut known) => _ = known.insert(record.revision),
            Entry::Vacant(unknown) => _ = unknown.insert(record.revision),
        }
        self.new_records.insert(shard, record);
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    fn member(node: u32) -> Member {
        Member { node, creation: 1, store: None }
    }

    fn record(shard: u32, revision: u64) -> News {
        let in_sync = BTreeSet::new();
        let (owner, lease) = (member(1), LeaseId(1));
        News::Record(ShardId(shard), Record { revision, owner, lease, epoch: 1, in_sync, wire: 1 })
    }

    fn lives(node: u32, about: &str) -> News {
        News::Lives(member(node), LeaseId(1), about.into())
    }

    fn members(all: &[(u32, &str)], complete: bool) -> Seen {
        let all = all.iter().map(|(node, about)| (member(*node), (LeaseId(1), Arc::from(*about)))).collect();
        Seen::Members { all, complete }
    }

    #[track_caller]
    fn check(view: &mut View, seen: impl IntoIterator<Item = Seen>, expected: &[News]) {
        seen.into_iter().for_each(|seen| view.handle(seen));
        let told: Vec<News> = std::iter::from_fn(|| view.poll()).collect();
        assert_eq!(told, expected);
    }

    #[test]
    fn only_the_newest_is_told_and_members_first() {
        let mut view = View::default();
        let seen = [
            record(2, 1),
            record(1, 1),
            record(2, 3),
            lives(1, "a"),
            lives(1, "b"),
            News::Token(Some(member(1))),
        ];
        let told = [lives(1, "b"), record(1, 1), record(2, 3), News::Token(Some(member(1)))];
        check(&mut view, seen.map(Seen::One), &told);
        check(&mut view, [Seen::One(record(2, 2)), Seen::One(lives(1, "b"))], &[]);
        let another = News::Lives(member(1), LeaseId(2), "b".into());
        check(&mut view, [Seen::One(another.clone())], &[another]);
        let taken_and_freed = [News::Token(None), News::Token(Some(member(2)))].map(Seen::One);
        check(&mut view, taken_and_freed, &[News::Token(Some(member(2)))]);
    }

    #[test]
    fn after_a_gap_comes_what_has_changed_and_who_is_gone() {
        let mut view = View::default();
        let before = [members(&[(1, "a"), (2, "b")], true), Seen::One(record(1, 1))];
        check(&mut view, before, &[lives(1, "a"), lives(2, "b"), record(1, 1)]);
        let after = [members(&[(2, "b"), (3, "c")], true), Seen::One(record(1, 1)), Seen::One(record(2, 1))];
        check(&mut view, after, &[News::Over(member(1)), lives(3, "c"), record(2, 1)]);
    }

    #[test]
    fn who_may_still_have_a_lease_is_not_said_to_be_over() {
        let mut view = View::default();
        check(&mut view, [members(&[(1, "a"), (2, "b")], true)], &[lives(1, "a"), lives(2, "b")]);
        check(&mut view, [members(&[(2, "b")], false)], &[]);
        check(&mut view, [members(&[(2, "b")], true)], &[News::Over(member(1))]);
    }
}
