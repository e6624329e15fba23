//! What every authority promises: each case runs on each backend.

#![allow(dead_code)]

use std::collections::{BTreeMap, BTreeSet};
use std::convert::Infallible;
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use incarnate::shard::authority::{
    Authority, Change, LeaseId, Member, News, Record, RenewError, Renewal, Settings, ShardId, TokenError,
    Verdict, Watch, keep_lease,
};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio::time::{self, Instant};

use crate::proxy::Proxy;
use crate::wait::{HANGS, in_time};

/// A server of one backend that a test can do things to, and two ways to it: one of them leads through a proxy.
pub trait Bench: Send + Sized + 'static {
    /// The shortest lease of the backend.
    const LEASE: Duration;

    fn start() -> impl Future<Output = Self> + Send;
    /// Asked through the proxy.
    fn near(&self, timeout: Duration) -> impl Future<Output = Arc<dyn Authority>> + Send;
    /// Asked past it.
    fn direct(&self, timeout: Duration) -> impl Future<Output = Arc<dyn Authority>> + Send;
    fn proxy(&self) -> &Proxy;
    /// The server ends at once, without a farewell.
    fn kill(&mut self) -> impl Future<Output = ()> + Send;
    /// It runs again, with what it has written.
    fn restart(&mut self) -> impl Future<Output = ()> + Send;
    /// The server does nothing more, and is there.
    fn pause(&mut self) -> impl Future<Output = ()> + Send;
    fn resume(&mut self) -> impl Future<Output = ()> + Send;
}

/// Makes a test of each case.
macro_rules! conformance {
    ($bench:ty) => {
        $crate::conformance::conformance!($bench:
            founds_once, creates, refuses_a_stale_revision, lets_one_of_many_win, decides_a_batch_one_by_one,
            takes_a_large_batch, a_lost_answer_is_unknown, a_lost_request_is_dead_when_another_wins,
            watches_what_is_and_what_changes, watches_across_a_gap, ends_a_lease_after_its_member_knows,
            keeps_a_lease_that_is_renewed, begins_another_lease_after_one_is_over, goes_on_with_another_lease,
            ends_a_lease_that_is_given_up, begins_a_lease_once, tells_what_is_new_of_a_member,
            gives_the_token_to_one, frees_the_token_with_the_lease, answers_when_the_server_is_killed,
            answers_when_the_server_is_paused, answers_when_it_is_cut_off, goes_on_after_a_restart, names_its_weakness
        );
    };
    ($bench:ty: $($case:ident),*) => {
        $(
            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $case() {
                $crate::conformance::$case::<$bench>().await;
            }
        )*
    };
}
pub(crate) use conformance;

/// Never waited for by what is answered.
const PATIENT: Duration = HANGS;
/// For what is not answered.
const HASTY: Duration = Duration::from_millis(500);

const A: Member = Member { node: 0xa, creation: 1, store: None };
const B: Member = Member { node: 0xb, creation: 1, store: None };

fn first(owner: Member) -> Record {
    Record { revision: 1, owner, lease: LeaseId(7), epoch: 1, in_sync: BTreeSet::new(), wire: 1 }
}

/// The same, touched, so that it is newer.
fn touched(record: &Record) -> Record {
    Record { revision: record.revision + 1, ..record.clone() }
}

/// The next record, of another owner.
fn owned(record: &Record, owner: Member) -> Record {
    Record { owner, epoch: record.epoch + 1, ..touched(record) }
}

fn change(shard: u32, from: Option<&Record>, to: &Record) -> Change {
    Change::new(ShardId(shard), from, to.clone()).unwrap()
}

async fn swap(authority: &Arc<dyn Authority>, shard: u32, from: Option<&Record>, to: &Record) -> Verdict {
    let mut outcomes = in_time(authority.swap(vec![change(shard, from, to)])).await;
    assert_eq!(outcomes.len(), 1);
    outcomes.remove(0)
}

fn settings<T: Bench>() -> Settings {
    Settings { shards: 64, format: 1, lease: T::LEASE }
}

/// A bench whose cluster is founded.
async fn founded<T: Bench>() -> (T, Arc<dyn Authority>) {
    let bench = in_time(T::start()).await;
    let authority = bench.direct(PATIENT).await;
    assert_eq!(in_time(authority.found(settings::<T>())).await, Ok(settings::<T>()));
    (bench, authority)
}

/// Waits until something is so at the authority, which may not answer yet.
async fn until<T, Asked: Future<Output = Option<T>>>(mut ask: impl FnMut() -> Asked) -> T {
    in_time(async {
        loop {
            if let Some(it) = ask().await {
                return it;
            }
            tokio::task::yield_now().await;
        }
    })
    .await
}

/// Waits for this news, and answers all that came with it.
async fn hears(watch: &mut Watch, wanted: &News) -> Vec<News> {
    let mut heard = Vec::new();
    while heard.last() != Some(wanted) {
        let next = time::timeout(HANGS, watch.next()).await;
        heard.push(next.unwrap_or_else(|_| panic!("{wanted:?} does not come, but {heard:?}")));
    }
    heard
}

/// A member that keeps a lease.
struct Kept {
    keeps: JoinHandle<Infallible>,
    /// Which, and until when it is valid, as far as is known.
    lease: LeaseId,
    until: Instant,
    valid: mpsc::UnboundedReceiver<(LeaseId, Instant)>,
}

impl Kept {
    async fn begun<T: Bench>(authority: Arc<dyn Authority>, member: Member) -> Self {
        let (tell, valid) = mpsc::unbounded_channel();
        let keeps = tokio::spawn(async move {
            // The test may be over.
            let valid = move |lease, until| _ = tell.send((lease, until));
            keep_lease(&*authority, member, T::LEASE, || "about".into(), valid).await
        });
        let mut kept = Kept { keeps, lease: LeaseId::NONE, until: Instant::now(), valid };
        kept.renewed().await;
        kept
    }

    /// Until when it is valid by the next renewal.
    async fn renewed(&mut self) -> Instant {
        (self.lease, self.until) = in_time(self.valid.recv()).await.expect("it never ends");
        self.until
    }

    /// Until when it is valid by what is known now.
    fn known(&mut self) -> Instant {
        while let Ok(next) = self.valid.try_recv() {
            (self.lease, self.until) = next;
        }
        self.until
    }
}

impl Drop for Kept {
    fn drop(&mut self) {
        self.keeps.abort();
    }
}

fn renewal(member: Member, lease: Option<LeaseId>, about: &str) -> Renewal {
    Renewal { member, lease, former: None, about: about.into() }
}

/// Another lease of a member begins, after this one.
async fn begin_after(authority: &Arc<dyn Authority>, member: Member, former: LeaseId) -> LeaseId {
    let renewal = Renewal { former: Some(former), ..renewal(member, None, "again") };
    in_time(authority.renew(renewal)).await.unwrap()
}

async fn is_over(authority: &Arc<dyn Authority>, member: Member, lease: LeaseId) -> bool {
    in_time(authority.is_over(member, lease)).await.unwrap()
}

pub async fn founds_once<T: Bench>() {
    let (bench, authority) = founded::<T>().await;
    let other = Settings { shards: 7, ..settings::<T>() };
    assert_eq!(in_time(authority.found(other)).await, Ok(settings::<T>()));
    assert_eq!(in_time(bench.near(PATIENT).await.found(other)).await, Ok(settings::<T>()));
}

pub async fn creates<T: Bench>() {
    let (bench, authority) = founded::<T>().await;
    assert_eq!(in_time(authority.read(ShardId(3))).await, Ok(None));
    assert_eq!(swap(&authority, 3, None, &first(A)).await, Verdict::Won);
    let near = bench.near(PATIENT).await;
    assert_eq!(in_time(near.read(ShardId(3))).await, Ok(Some(first(A))));
    assert_eq!(in_time(near.read_all()).await, Ok(BTreeMap::from([(ShardId(3), first(A))])));
}

pub async fn refuses_a_stale_revision<T: Bench>() {
    let (_bench, authority) = founded::<T>().await;
    let (one, two) = (first(A), owned(&first(A), B));
    // There is none yet, whatever the proposer believes.
    assert_eq!(swap(&authority, 3, Some(&one), &two).await, Verdict::Lost(None));
    assert_eq!(swap(&authority, 3, None, &one).await, Verdict::Won);
    assert_eq!(swap(&authority, 3, None, &first(B)).await, Verdict::Lost(Some(one.clone())));
    assert_eq!(swap(&authority, 3, Some(&one), &two).await, Verdict::Won);
    // R3: the epoch that it has is not stale, its revision is.
    let removed = touched(&two);
    assert_eq!(swap(&authority, 3, Some(&two), &removed).await, Verdict::Won);
    assert_eq!(swap(&authority, 3, Some(&two), &owned(&two, A)).await, Verdict::Lost(Some(removed)));
}

pub async fn lets_one_of_many_win<T: Bench>() {
    let (bench, authority) = founded::<T>().await;
    let near = bench.near(PATIENT).await;
    let mut record: Option<Record> = None;
    for round in 0..10 {
        let racers = (0..8).map(|racer| {
            let owner = Member { node: 8 * round + racer, ..A };
            let before = record.clone();
            let next = before.as_ref().map_or(first(owner), |record| owned(record, owner));
            let authority = if racer % 2 == 0 { authority.clone() } else { near.clone() };
            tokio::spawn(async move { (swap(&authority, 3, before.as_ref(), &next).await, next) })
        });
        let (mut won, mut lost) = (Vec::new(), Vec::new());
        for racer in racers.collect::<Vec<_>>() {
            match in_time(racer).await.unwrap() {
                (Verdict::Won, next) => won.push(next),
                (outcome, _) => lost.push(outcome),
            }
        }
        let [winner] = won.try_into().expect("one wins");
        assert_eq!(lost, vec![Verdict::Lost(Some(winner.clone())); 7]);
        record = Some(winner);
    }
}

pub async fn decides_a_batch_one_by_one<T: Bench>() {
    let (_bench, authority) = founded::<T>().await;
    assert_eq!(swap(&authority, 2, None, &first(A)).await, Verdict::Won);
    let batch = (1..=3).map(|shard| change(shard, None, &first(B))).collect();
    let outcomes = in_time(authority.swap(batch)).await;
    assert_eq!(outcomes, [Verdict::Won, Verdict::Lost(Some(first(A))), Verdict::Won]);
    assert_eq!(in_time(authority.swap(Vec::new())).await, []);
}

pub async fn takes_a_large_batch<T: Bench>() {
    let (bench, authority) = founded::<T>().await;
    let all = 0..2500;
    let batch = all.clone().map(|shard| change(shard, None, &first(A))).collect();
    assert_eq!(in_time(authority.swap(batch)).await, vec![Verdict::Won; all.len()]);
    let expected: BTreeMap<_, _> = all.map(|shard| (ShardId(shard), first(A))).collect();
    assert_eq!(in_time(authority.read_all()).await.as_ref(), Ok(&expected));
    let (mut watch, mut seen) = (bench.near(PATIENT).await.watch(), BTreeMap::new());
    while seen.len() < expected.len() {
        if let News::Record(shard, record) = in_time(watch.next()).await {
            seen.insert(shard, record);
        }
    }
    assert_eq!(seen, expected);
}

pub async fn a_lost_answer_is_unknown<T: Bench>() {
    let (bench, authority) = founded::<T>().await;
    let near = bench.near(HASTY).await;
    until(|| async { near.read(ShardId(3)).await.ok() }).await;
    bench.proxy().lose_answers();
    assert!(matches!(swap(&near, 3, None, &first(A)).await, Verdict::Unknown(_)));
    // It was carried out; whoever reads finds it, and whoever asks the same again loses to it.
    until(|| async { authority.read(ShardId(3)).await.unwrap() }).await;
    bench.proxy().cut();
    bench.proxy().open();
    let again = until(|| async {
        let outcome = swap(&near, 3, None, &first(A)).await;
        (!matches!(outcome, Verdict::Unknown(_))).then_some(outcome)
    });
    assert_eq!(again.await, Verdict::Lost(Some(first(A))));
}

pub async fn a_lost_request_is_dead_when_another_wins<T: Bench>() {
    let (bench, authority) = founded::<T>().await;
    let one = first(A);
    assert_eq!(swap(&authority, 3, None, &one).await, Verdict::Won);
    let near = bench.near(HASTY).await;
    until(|| async { near.read(ShardId(3)).await.ok() }).await;
    bench.proxy().cut();
    assert!(matches!(swap(&near, 3, Some(&one), &owned(&one, B)).await, Verdict::Unknown(_)));
    assert_eq!(in_time(authority.read(ShardId(3))).await, Ok(Some(one.clone())));
    // That proves nothing; what does is a newer revision.
    let touch = touched(&one);
    assert_eq!(swap(&authority, 3, Some(&one), &touch).await, Verdict::Won);
    bench.proxy().open();
    let late = until(|| async {
        let outcome = swap(&near, 3, Some(&one), &owned(&one, B)).await;
        (!matches!(outcome, Verdict::Unknown(_))).then_some(outcome)
    });
    assert_eq!(late.await, Verdict::Lost(Some(touch)));
}

pub async fn watches_what_is_and_what_changes<T: Bench>() {
    let (bench, authority) = founded::<T>().await;
    assert_eq!(swap(&authority, 1, None, &first(A)).await, Verdict::Won);
    let lease = in_time(authority.renew(renewal(A, None, "a"))).await.unwrap();
    assert_eq!(in_time(authority.take_token(A)).await, Ok(A));
    let mut watch = bench.near(PATIENT).await.watch();
    let heard = hears(&mut watch, &News::Token(Some(A))).await;
    // Members come before the records that name them.
    assert_eq!(heard[..2], [News::Lives(A, lease, "a".into()), News::Record(ShardId(1), first(A))]);
    let mut record = first(A);
    for _ in 0..20 {
        let next = touched(&record);
        assert_eq!(swap(&authority, 1, Some(&record), &next).await, Verdict::Won);
        record = next;
    }
    hears(&mut watch, &News::Record(ShardId(1), record)).await;
    in_time(authority.renew(renewal(A, Some(lease), "b"))).await.unwrap();
    hears(&mut watch, &News::Lives(A, lease, "b".into())).await;
    let other = begin_after(&authority, A, lease).await;
    hears(&mut watch, &News::Lives(A, other, "again".into())).await;
    assert_eq!(in_time(authority.take_token(A)).await, Ok(A));
    hears(&mut watch, &News::Token(Some(A))).await;
    in_time(authority.free_token(A)).await.unwrap();
    hears(&mut watch, &News::Token(None)).await;
}

pub async fn watches_across_a_gap<T: Bench>() {
    let (bench, authority) = founded::<T>().await;
    assert_eq!(swap(&authority, 1, None, &first(A)).await, Verdict::Won);
    let kept = Kept::begun::<T>(authority.clone(), A).await;
    let lost = in_time(authority.renew(renewal(B, None, "b"))).await.unwrap();
    let mut watch = bench.near(HASTY).await.watch();
    hears(&mut watch, &News::Record(ShardId(1), first(A))).await;
    bench.proxy().cut();
    let (touch, other) = (touched(&first(A)), first(B));
    assert_eq!(swap(&authority, 1, Some(&first(A)), &touch).await, Verdict::Won);
    assert_eq!(swap(&authority, 1, Some(&touch), &touched(&touch)).await, Verdict::Won);
    assert_eq!(swap(&authority, 2, None, &other).await, Verdict::Won);
    until(|| async { authority.is_over(B, lost).await.unwrap().then_some(()) }).await;
    // Nothing comes as long as nothing can.
    assert!(time::timeout(Duration::from_millis(50), watch.next()).await.is_err());
    bench.proxy().open();
    let heard = hears(&mut watch, &News::Record(ShardId(2), other)).await;
    assert!(heard.contains(&News::Over(B)), "{heard:?}");
    assert!(heard.contains(&News::Record(ShardId(1), touched(&touch))), "{heard:?}");
    assert!(!heard.contains(&News::Over(A)), "{heard:?}");
    drop(kept);
}

pub async fn ends_a_lease_after_its_member_knows<T: Bench>() {
    let (bench, authority) = founded::<T>().await;
    let mut kept = Kept::begun::<T>(bench.near(HASTY).await, A).await;
    let lease = kept.lease;
    let mut watch = authority.watch();
    hears(&mut watch, &News::Lives(A, lease, "about".into())).await;
    assert!(!is_over(&authority, A, lease).await);
    bench.proxy().cut();
    hears(&mut watch, &News::Over(A)).await;
    let heard = Instant::now();
    assert!(is_over(&authority, A, lease).await);
    let deadline = kept.known();
    assert!(deadline < heard, "others may take over {:?} before it stops", deadline - heard);
    assert_eq!(kept.lease, lease);
}

pub async fn goes_on_with_another_lease<T: Bench>() {
    let (bench, authority) = founded::<T>().await;
    let mut kept = Kept::begun::<T>(bench.near(HASTY).await, A).await;
    let lease = kept.lease;
    bench.proxy().cut();
    until(|| async { authority.is_over(A, lease).await.unwrap().then_some(()) }).await;
    bench.proxy().open();
    while kept.renewed().await < Instant::now() || kept.lease == lease {}
    assert!(is_over(&authority, A, lease).await);
    assert!(!is_over(&authority, A, kept.lease).await);
}

pub async fn keeps_a_lease_that_is_renewed<T: Bench>() {
    let (_bench, authority) = founded::<T>().await;
    let mut kept = Kept::begun::<T>(authority.clone(), A).await;
    let begun = Instant::now();
    while begun.elapsed() < T::LEASE * 2 {
        assert!(kept.renewed().await > Instant::now());
    }
    assert!(!is_over(&authority, A, kept.lease).await);
}

pub async fn begins_another_lease_after_one_is_over<T: Bench>() {
    let (_bench, authority) = founded::<T>().await;
    let mut watch = authority.watch();
    let lease = in_time(authority.renew(renewal(A, None, "a"))).await.unwrap();
    assert_eq!(in_time(authority.renew(renewal(A, Some(lease), "a"))).await, Ok(lease));
    hears(&mut watch, &News::Over(A)).await;
    assert_eq!(in_time(authority.renew(renewal(A, Some(lease), "a"))).await, Err(RenewError::Over));
    assert!(is_over(&authority, A, lease).await);
    let other = begin_after(&authority, A, lease).await;
    assert_ne!(other, lease);
    hears(&mut watch, &News::Lives(A, other, "again".into())).await;
    assert_eq!(in_time(authority.renew(renewal(A, Some(lease), "a"))).await, Err(RenewError::Over));
    assert_eq!(in_time(authority.renew(renewal(A, Some(other), "a"))).await, Ok(other));
    assert!(is_over(&authority, A, lease).await && !is_over(&authority, A, other).await);
    assert!(is_over(&authority, B, other).await);
}

pub async fn ends_a_lease_that_is_given_up<T: Bench>() {
    let (_bench, authority) = founded::<T>().await;
    let lease = in_time(authority.renew(renewal(A, None, "a"))).await.unwrap();
    let other = begin_after(&authority, A, lease).await;
    assert_ne!(other, lease);
    assert!(is_over(&authority, A, lease).await && !is_over(&authority, A, other).await);
    // What was given up before ends nothing else, and what has begun is not begun twice.
    assert_eq!(begin_after(&authority, A, lease).await, other);
    assert_eq!(in_time(authority.renew(renewal(A, None, "a"))).await, Ok(other));
    assert_eq!(in_time(authority.renew(renewal(A, Some(lease), "a"))).await, Err(RenewError::Over));
}

pub async fn begins_a_lease_once<T: Bench>() {
    let (bench, authority) = founded::<T>().await;
    let near = bench.near(HASTY).await;
    until(|| async { near.read(ShardId(3)).await.ok() }).await;
    bench.proxy().lose_answers();
    let lost = in_time(near.renew(renewal(A, None, "a"))).await;
    assert!(matches!(lost, Err(RenewError::Unknown(_))), "{lost:?}");
    bench.proxy().cut();
    bench.proxy().open();
    let lease = until(|| async { near.renew(renewal(A, None, "a")).await.ok() }).await;
    assert_eq!(in_time(authority.renew(renewal(A, None, "a"))).await, Ok(lease));
    assert_eq!(in_time(authority.renew(renewal(A, Some(lease), "a"))).await, Ok(lease));
}

pub async fn tells_what_is_new_of_a_member<T: Bench>() {
    let (_bench, authority) = founded::<T>().await;
    let mut watch = authority.watch();
    let lease = in_time(authority.renew(renewal(A, None, "one"))).await.unwrap();
    hears(&mut watch, &News::Lives(A, lease, "one".into())).await;
    in_time(authority.renew(renewal(A, Some(lease), "two"))).await.unwrap();
    hears(&mut watch, &News::Lives(A, lease, "two".into())).await;
    let other = in_time(authority.renew(renewal(B, None, "three"))).await.unwrap();
    hears(&mut watch, &News::Lives(B, other, "three".into())).await;
}

pub async fn gives_the_token_to_one<T: Bench>() {
    let (bench, authority) = founded::<T>().await;
    assert_eq!(in_time(authority.take_token(A)).await, Err(TokenError::NoLease));
    let (a, b) = (bench.near(PATIENT).await, authority.clone());
    let _kept = (Kept::begun::<T>(a.clone(), A).await, Kept::begun::<T>(b.clone(), B).await);
    for _ in 0..5 {
        let (by_a, by_b) = tokio::join!(a.take_token(A), b.take_token(B));
        let holder = by_a.unwrap();
        assert_eq!(by_b, Ok(holder));
        let other = if holder == A { B } else { A };
        // Only its holder frees it.
        in_time(authority.free_token(other)).await.unwrap();
        assert_eq!(in_time(authority.take_token(other)).await, Ok(holder));
        in_time(authority.free_token(holder)).await.unwrap();
        assert_eq!(in_time(authority.take_token(other)).await, Ok(other));
        in_time(authority.free_token(other)).await.unwrap();
    }
}

pub async fn frees_the_token_with_the_lease<T: Bench>() {
    let (_bench, authority) = founded::<T>().await;
    let mut watch = authority.watch();
    let lease = in_time(authority.renew(renewal(A, None, "a"))).await.unwrap();
    let _kept = Kept::begun::<T>(authority.clone(), B).await;
    assert_eq!(in_time(authority.take_token(A)).await, Ok(A));
    hears(&mut watch, &News::Token(Some(A))).await;
    assert_eq!(in_time(authority.take_token(B)).await, Ok(A));
    let heard = hears(&mut watch, &News::Token(None)).await;
    assert_eq!(in_time(authority.take_token(B)).await, Ok(B), "{heard:?}");
    assert_eq!(in_time(authority.take_token(A)).await, Err(TokenError::NoLease));
    // A later lease does not bring it back, and ends as the first.
    in_time(authority.free_token(B)).await.unwrap();
    let other = begin_after(&authority, A, lease).await;
    assert_eq!(in_time(authority.take_token(A)).await, Ok(A));
    begin_after(&authority, A, other).await;
    assert_eq!(in_time(authority.take_token(B)).await, Ok(B));
}

/// Nothing that is asked now is answered, and nothing hangs.
async fn answers_nothing(authority: &Arc<dyn Authority>) {
    let begin = Instant::now();
    let member = Member { node: 0xc, ..A };
    let (record, swapped, found, all, over, renewed, taken, freed) = tokio::join!(
        authority.read(ShardId(1)),
        authority.swap(vec![change(1, None, &first(A)), change(2, None, &first(A))]),
        authority.found(Settings { shards: 1, format: 1, lease: Duration::from_secs(1) }),
        authority.read_all(),
        authority.is_over(member, LeaseId(7)),
        authority.renew(renewal(member, None, "c")),
        authority.take_token(member),
        authority.free_token(member),
    );
    assert!(record.is_err() && found.is_err() && all.is_err() && over.is_err() && freed.is_err());
    assert!(swapped.iter().all(|outcome| matches!(outcome, Verdict::Unknown(_))) && swapped.len() == 2);
    assert!(matches!(renewed, Err(RenewError::Unknown(_))));
    assert!(matches!(taken, Err(TokenError::Unknown(_))));
    // Some ask twice for one thing. What is more is the machine's.
    assert!(begin.elapsed() < HASTY * 3 + HANGS / 3, "it took {:?}", begin.elapsed());
}

/// What the last of [`answers_nothing`] was asked for may be carried out late; afterwards all is well.
async fn answers_again<T: Bench>(authority: &Arc<dyn Authority>) {
    let record = until(|| async { authority.read(ShardId(1)).await.ok() }).await;
    let next = record.as_ref().map_or(first(B), |record| owned(record, B));
    let outcome = swap(authority, 1, record.as_ref(), &next).await;
    match outcome {
        Verdict::Won => {}
        // One that was late has come between.
        Verdict::Lost(Some(late)) => assert_eq!(late, first(A)),
        other => panic!("{other:?}"),
    }
    assert_eq!(in_time(authority.found(settings::<T>())).await, Ok(settings::<T>()));
}

pub async fn answers_when_the_server_is_killed<T: Bench>() {
    let (mut bench, authority) = founded::<T>().await;
    bench.kill().await;
    answers_nothing(&bench.direct(HASTY).await).await;
    bench.restart().await;
    answers_again::<T>(&authority).await;
}

pub async fn answers_when_the_server_is_paused<T: Bench>() {
    let (mut bench, authority) = founded::<T>().await;
    bench.pause().await;
    answers_nothing(&bench.direct(HASTY).await).await;
    bench.resume().await;
    answers_again::<T>(&authority).await;
}

pub async fn answers_when_it_is_cut_off<T: Bench>() {
    let (bench, _) = founded::<T>().await;
    let near = bench.near(HASTY).await;
    until(|| async { near.read(ShardId(3)).await.ok() }).await;
    bench.proxy().cut();
    answers_nothing(&near).await;
    bench.proxy().open();
    until(|| async { near.read(ShardId(3)).await.ok() }).await;
    answers_again::<T>(&bench.near(PATIENT).await).await;
}

pub async fn goes_on_after_a_restart<T: Bench>() {
    let (mut bench, authority) = founded::<T>().await;
    let mut kept = Kept::begun::<T>(bench.direct(HASTY).await, A).await;
    let lease = kept.lease;
    in_time(authority.renew(renewal(B, None, "b"))).await.unwrap();
    assert_eq!(in_time(authority.take_token(A)).await, Ok(A));
    assert_eq!(swap(&authority, 1, None, &first(A)).await, Verdict::Won);
    let mut watch = bench.direct(HASTY).await.watch();
    hears(&mut watch, &News::Token(Some(A))).await;
    bench.kill().await;
    bench.restart().await;
    let touch = touched(&first(A));
    let swapped = until(|| async {
        let outcome = swap(&authority, 1, Some(&first(A)), &touch).await;
        (!matches!(outcome, Verdict::Unknown(_))).then_some(outcome)
    });
    // The try before may have won unheard.
    let swapped = swapped.await;
    assert!(swapped == Verdict::Won || swapped == Verdict::Lost(Some(touch.clone())), "{swapped:?}");
    let other = first(B);
    assert_eq!(swap(&authority, 2, None, &other).await, Verdict::Won);
    // Who goes on renewing keeps the lease and the token; who does not loses it, later than ever.
    let heard = hears(&mut watch, &News::Over(B)).await;
    assert!(heard.contains(&News::Record(ShardId(1), touch)), "{heard:?}");
    assert!(heard.contains(&News::Record(ShardId(2), other)), "{heard:?}");
    assert!(!heard.contains(&News::Over(A)) && !heard.contains(&News::Token(None)), "{heard:?}");
    assert!(!is_over(&authority, A, lease).await);
    assert_eq!((kept.known() > Instant::now(), kept.lease), (true, lease));
}

pub async fn names_its_weakness<T: Bench>() {
    let (bench, authority) = founded::<T>().await;
    drop(bench.near(PATIENT).await);
    let weakness = in_time(authority.weakness()).await.unwrap().expect("one server survives nothing");
    assert!(weakness.to_string().contains("three"), "{weakness}");
}
