//! The authority that an etcd keeps.

mod feed;
mod keys;

use std::collections::BTreeMap;
use std::future::Future;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use etcd_client::{
    Client, Compare, CompareOp, ConnectOptions, Error, GetOptions, KeyValue, PutOptions, Txn, TxnOp,
    TxnOpResponse, TxnResponse,
};
use tokio::time;

use self::feed::Changes;
use self::keys::Keys;
use super::{
    Authority, Change, LeaseId, Member, Pending, Record, RenewError, Renewal, Settings, ShardId, TokenError,
    Unavailable, Verdict, Watch, Weakness,
};

/// An etcd takes 128 operations at once, unless it was told otherwise.
const BATCH: usize = 100;

/// So many rows are read at once: an answer has to stay below 4 MiB.
const PAGE: i64 = 1000;

/// The authority for a cluster: an etcd of three members or more.
///
/// Records are JSON under `/incarnate/<cluster>/`, for `etcdctl get --prefix`. A record's revision is the version that
/// etcd counts for its key, which is what a swap compares: whoever writes one by hand adds one to it, and never deletes
/// one. Leases are etcd's own, so none is shorter than two seconds, and a change of etcd's leader makes them longer.
///
/// For modes that rely on leases use etcd 3.4.25, 3.5.8 or newer: before, a leader that has been cut off renews leases for a
/// moment.
#[derive(Clone)]
pub struct Etcd {
    client: Client,
    keys: Keys,
    timeout: Duration,
    /// What is told there about members by this program.
    told: Arc<Mutex<BTreeMap<LeaseId, String>>>,
}

impl Etcd {
    /// The cluster of this name in the etcd at these addresses (`http://10.0.0.1:2379`), any of which will do.
    ///
    /// # Errors
    /// An address is none. That nobody answers there is seen when something is asked.
    ///
    /// # Cancel safety
    /// Nothing has happened.
    pub async fn connect(endpoints: &[&str], cluster: &str) -> Result<Self, Unavailable> {
        // A member without a leader says so, rather than to tell nothing new.
        let options = ConnectOptions::new().with_require_leader(true);
        // One that cannot be reached any more is found out. An etcd ends connections that ask every five seconds or more often.
        let options = options.with_keep_alive(Duration::from_secs(6), Duration::from_secs(2));
        let options = options.with_keep_alive_while_idle(true).with_connect_timeout(Duration::from_secs(1));
        let client = Client::connect(endpoints, Some(options)).await.map_err(unavailable)?;
        Ok(Self::over(client, cluster))
    }

    /// By a client made elsewhere, which may have certificates, a name and a password.
    pub fn over(client: Client, cluster: &str) -> Self {
        Etcd { client, keys: Keys::of(cluster), timeout: Duration::from_secs(2), told: Arc::default() }
    }

    /// How long to wait for an answer; two seconds by default. Less than a third of a lease is wise. More than a hundred
    /// changes, or a thousand records, are asked for in parts that each may take as long.
    pub fn timeout(self, timeout: Duration) -> Self {
        Etcd { timeout, ..self }
    }

    async fn within<T>(&self, work: impl Future<Output = Result<T, Error>>) -> Result<T, Unavailable> {
        match time::timeout(self.timeout, work).await {
            Ok(done) => done.map_err(unavailable),
            Err(_) => Err(Unavailable::new(format!("none came within {:?}", self.timeout))),
        }
    }

    async fn get(&self, key: String) -> Result<Option<KeyValue>, Unavailable> {
        let mut client = self.client.clone();
        let mut answer = self.within(client.get(key, None)).await?;
        Ok(answer.take_kvs().pop())
    }

    async fn txn(&self, txn: Txn) -> Result<TxnResponse, Unavailable> {
        let mut client = self.client.clone();
        self.within(client.txn(txn)).await
    }

    /// All rows whose keys begin with `prefix`, which ends with a slash, and the revision of the etcd when they were so.
    async fn range(&self, prefix: &str) -> Result<(Vec<KeyValue>, i64), Unavailable> {
        // The byte after the slash.
        let end = format!("{}0", prefix.trim_end_matches('/'));
        let (mut from, mut rows, mut revision) = (prefix.as_bytes().to_vec(), Vec::new(), 0);
        loop {
            let options = GetOptions::new().with_range(end.clone()).with_limit(PAGE).with_revision(revision);
            let mut client = self.client.clone();
            let mut answer = self.within(client.get(from, Some(options))).await?;
            if revision == 0 {
                revision = answer.header().map_or(0, |header| header.revision());
            }
            let more = answer.more();
            rows.append(&mut answer.take_kvs());
            match rows.last() {
                Some(last) if more => from = [last.key(), &[0]].concat(),
                _ => return Ok((rows, revision)),
            }
        }
    }

    async fn swap_some(&self, changes: &[Change]) -> Result<Vec<Verdict>, Unavailable> {
        let tries: Result<Vec<_>, _> = changes.iter().map(|change| self.try_change(change)).collect();
        let answer = self.txn(Txn::new().and_then(tries?)).await?;
        let outcomes = answer.op_responses().into_iter().map(|answer| match answer {
            TxnOpResponse::Txn(answer) => outcome(&answer),
            _ => Err(Unavailable::new("the etcd has answered something else")),
        });
        // One that has lost to what cannot be read is not known to have won or lost: somebody has to look.
        Ok(outcomes.map(|outcome| outcome.unwrap_or_else(Verdict::Unknown)).collect())
    }

    fn try_change(&self, change: &Change) -> Result<TxnOp, Unavailable> {
        let key = self.keys.record(change.shard());
        // R3: the revision is compared. Each change writes the key once, so it is the version of the key.
        let is_next = written(&key, change.expects());
        let put = TxnOp::put(key.clone(), keys::encode(change.record())?, None);
        Ok(TxnOp::txn(Txn::new().when([is_next]).and_then([put]).or_else([TxnOp::get(key, None)])))
    }

    /// Begins a lease.
    async fn begin(&self, renewal: Renewal) -> Result<LeaseId, RenewError> {
        let granted = self.grant().await.map_err(RenewError::Unknown)?;
        let held = match self.give(&renewal, granted).await? {
            Some(held) if Some(held) == renewal.former => {
                self.revoke(held).await.map_err(RenewError::Unknown)?;
                self.give(&renewal, granted).await?
            }
            held => held,
        };
        match held {
            None => {
                self.told().insert(granted, renewal.about);
                Ok(granted)
            }
            // It has begun before, and its answer was lost. The lease granted just now ends by itself.
            Some(held) => self.prolong(renewal, held).await,
        }
    }

    /// Makes a lease that of a member, if it has none; answers which it has.
    async fn give(&self, renewal: &Renewal, granted: LeaseId) -> Result<Option<LeaseId>, RenewError> {
        let key = self.keys.member(renewal.member);
        let with_lease = PutOptions::new().with_lease(granted.0);
        let put = TxnOp::put(key.clone(), renewal.about.clone(), Some(with_lease));
        let give = Txn::new().when([written(&key, 0)]).and_then([put]).or_else([TxnOp::get(key, None)]);
        let answer = self.txn(give).await.map_err(RenewError::Unknown)?;
        Ok(found(&answer).map(|row| LeaseId(row.lease())))
    }

    /// Ends a lease: what stands there with it is gone.
    async fn revoke(&self, lease: LeaseId) -> Result<(), Unavailable> {
        let mut client = self.client.clone();
        self.within(client.lease_revoke(lease.0)).await?;
        self.told().remove(&lease);
        Ok(())
    }

    /// Has the etcd make a lease that is nobody's yet.
    async fn grant(&self) -> Result<LeaseId, Unavailable> {
        let row = self.get(self.keys.settings()).await?;
        let row = row.ok_or_else(|| Unavailable::new("nobody has founded this cluster"))?;
        let ttl = keys::decode::<Settings>(&row)?.lease;
        let seconds = ttl.as_secs() + u64::from(ttl.subsec_nanos() > 0);
        let mut client = self.client.clone();
        let granted = self.within(client.lease_grant(seconds.cast_signed(), None)).await?;
        Ok(LeaseId(granted.id()))
    }

    async fn prolong(&self, renewal: Renewal, lease: LeaseId) -> Result<LeaseId, RenewError> {
        let mut client = self.client.clone();
        let kept = time::timeout(self.timeout, client.lease_keep_alive(lease.0)).await;
        match kept {
            Ok(Ok(_)) => {}
            // This is how the client says that the etcd does not know the lease.
            Ok(Err(Error::LeaseKeepAliveError(why))) if why == "lease not found" => {
                self.told().remove(&lease);
                return Err(RenewError::Over);
            }
            Ok(Err(error)) => return Err(RenewError::Unknown(unavailable(error))),
            Err(late) => return Err(RenewError::Unknown(Unavailable::new(late))),
        }
        if self.told().get(&lease) != Some(&renewal.about) {
            self.tell(renewal, lease).await?;
        }
        Ok(lease)
    }

    /// Changes what is told about a member.
    async fn tell(&self, renewal: Renewal, lease: LeaseId) -> Result<(), RenewError> {
        let key = self.keys.member(renewal.member);
        let is_mine = Compare::lease(key.clone(), CompareOp::Equal, lease.0);
        let put = TxnOp::put(key, renewal.about.clone(), Some(PutOptions::new().with_lease(lease.0)));
        let answer =
            self.txn(Txn::new().when([is_mine]).and_then([put])).await.map_err(RenewError::Unknown)?;
        if !answer.succeeded() {
            return Err(RenewError::Over);
        }
        self.told().insert(lease, renewal.about);
        Ok(())
    }

    fn told(&self) -> MutexGuard<'_, BTreeMap<LeaseId, String>> {
        self.told.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Authority for Etcd {
    fn found(&self, wanted: Settings) -> Pending<'_, Result<Settings, Unavailable>> {
        Box::pin(async move {
            let key = self.keys.settings();
            let put = TxnOp::put(key.clone(), keys::encode(&wanted)?, None);
            let found = Txn::new().when([written(&key, 0)]).and_then([put]).or_else([TxnOp::get(key, None)]);
            let answer = self.txn(found).await?;
            match self::found(&answer) {
                Some(row) => keys::decode(&row),
                None => Ok(wanted),
            }
        })
    }

    fn read(&self, shard: ShardId) -> Pending<'_, Result<Option<Record>, Unavailable>> {
        Box::pin(async move {
            let row = self.get(self.keys.record(shard)).await?;
            row.map(|row| keys::record(&row)).transpose()
        })
    }

    fn read_all(&self) -> Pending<'_, Result<BTreeMap<ShardId, Record>, Unavailable>> {
        Box::pin(async move {
            let (rows, _) = self.range(&self.keys.records()).await?;
            let records = rows.iter().filter_map(|row| match self.keys.parse(row.key())? {
                keys::Key::Record(shard) => Some(keys::record(row).map(|record| (shard, record))),
                _ => None,
            });
            records.collect()
        })
    }

    fn swap(&self, changes: Vec<Change>) -> Pending<'_, Vec<Verdict>> {
        Box::pin(async move {
            let mut outcomes = Vec::with_capacity(changes.len());
            for some in changes.chunks(BATCH) {
                match self.swap_some(some).await {
                    Ok(some) => outcomes.extend(some),
                    // Nor are the rest sent: they would wait as long, one after the other.
                    Err(why) => {
                        outcomes.resize(changes.len(), Verdict::Unknown(why));
                        break;
                    }
                }
            }
            outcomes
        })
    }

    fn watch(&self) -> Watch {
        Watch::new(Changes::of(self))
    }

    fn renew(&self, renewal: Renewal) -> Pending<'_, Result<LeaseId, RenewError>> {
        Box::pin(async move {
            match renewal.lease {
                Some(lease) => self.prolong(renewal, lease).await,
                None => self.begin(renewal).await,
            }
        })
    }

    fn is_over(&self, member: Member, lease: LeaseId) -> Pending<'_, Result<bool, Unavailable>> {
        Box::pin(async move {
            let row = self.get(self.keys.member(member)).await?;
            // One that is over is put there no more: who begins has the etcd make another.
            Ok(row.is_none_or(|row| row.lease() != lease.0))
        })
    }

    fn take_token(&self, member: Member) -> Pending<'_, Result<Member, TokenError>> {
        Box::pin(async move {
            let (key, owner) = (self.keys.token(), self.keys.member(member));
            let row = self.get(owner.clone()).await?.ok_or(TokenError::NoLease)?;
            let may = [written(&key, 0), Compare::lease(owner, CompareOp::Equal, row.lease())];
            let with_lease = PutOptions::new().with_lease(row.lease());
            let put = TxnOp::put(key.clone(), keys::encode(&member)?, Some(with_lease));
            let take = Txn::new().when(may).and_then([put]).or_else([TxnOp::get(key, None)]);
            let answer = self.txn(take).await?;
            match found(&answer) {
                Some(row) => Ok(keys::decode(&row)?),
                None if answer.succeeded() => Ok(member),
                None => Err(TokenError::NoLease),
            }
        })
    }

    fn free_token(&self, member: Member) -> Pending<'_, Result<(), Unavailable>> {
        Box::pin(async move {
            let key = self.keys.token();
            let is_mine = Compare::value(key.clone(), CompareOp::Equal, keys::encode(&member)?);
            self.txn(Txn::new().when([is_mine]).and_then([TxnOp::delete(key, None)])).await.map(|_| ())
        })
    }

    fn weakness(&self) -> Pending<'_, Result<Option<Weakness>, Unavailable>> {
        Box::pin(async move {
            let mut client = self.client.clone();
            let answer = self.within(client.member_list()).await?;
            let votes = answer.members().iter().filter(|member| !member.is_learner()).count();
            Ok((votes < 3).then(|| Weakness(weakness(votes))))
        })
    }
}

fn weakness(votes: usize) -> String {
    format!(
        "this etcd has {votes} voting member{}: while one of them is down, all shards stay served, and none can be \
         taken over. Give it three members.",
        if votes == 1 { "" } else { "s" }
    )
}

/// Whether a key has been written so often since it is there.
fn written(key: &str, times: u64) -> Compare {
    Compare::version(key, CompareOp::Equal, times.cast_signed())
}

/// What has come of one change.
fn outcome(answer: &TxnResponse) -> Result<Verdict, Unavailable> {
    if answer.succeeded() {
        return Ok(Verdict::Won);
    }
    let record = found(answer).map(|row| keys::record(&row)).transpose()?;
    Ok(Verdict::Lost(record))
}

/// The row that a transaction has read.
fn found(answer: &TxnResponse) -> Option<KeyValue> {
    answer.op_responses().into_iter().find_map(|answer| match answer {
        TxnOpResponse::Get(mut answer) => answer.take_kvs().pop(),
        _ => None,
    })
}

fn unavailable(error: Error) -> Unavailable {
    Unavailable::new(error)
}
