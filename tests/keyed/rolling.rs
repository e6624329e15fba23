//! Nodes of two releases run together, and one takes the place of the other while keys are asked.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};
use std::time::Duration;

use incarnate::Term;
use incarnate::handoff::{ChangeError, StateVersion};
use incarnate::shard::{
    Key, Keyed, KeyedContext, KeyedError, Kind, ReleaseError, ReleaseInfo, ShardsStart, UpgradeStep,
};
use incarnate::{CallReply, Never, Node, ReplyTo, Result};
use serde::{Deserialize, Serialize};

use crate::shards::{COPIED, Cluster, With};
use crate::wait::{HANGS, in_time};

/// What is asked of a page; the first release knows no titles.
#[derive(Serialize, Deserialize)]
enum Call {
    Add(i64, ReplyTo<i64>),
    Get(ReplyTo<(i64, Option<String>)>),
    Title(Option<String>, ReplyTo<()>),
}

#[derive(Default, Serialize, Deserialize)]
struct Page {
    total: i64,
}

impl StateVersion for Page {
    const VSN: u32 = 1;
    type Previous = Never;
}

impl Keyed for Page {
    const KIND: &'static str = "page";
    type Call = Call;
    type Cast = Never;
    type Info = Never;
    type Delta = Never;

    fn init(_: &[u8]) -> Result<Self> {
        Ok(Page::default())
    }

    async fn handle_call(&mut self, call: Call, _: &mut KeyedContext<Self>) -> Result<CallReply> {
        match call {
            Call::Add(n, caller) => {
                self.total += n;
                caller.reply(self.total)
            }
            Call::Get(caller) => caller.reply((self.total, None)),
            Call::Title(..) => Err(incarnate::Error::msg("titles came in with release 2")),
        }
    }
}

#[derive(Default, Serialize, Deserialize)]
struct TitledPage {
    total: i64,
    title: Option<String>,
}

impl StateVersion for TitledPage {
    const VSN: u32 = 2;
    type Previous = Page;

    fn up(Page { total }: Page, _: &Term) -> Result<Self, ChangeError> {
        Ok(TitledPage { total, title: None })
    }

    fn down(self, _: &Term) -> Result<Page, ChangeError> {
        match self.title {
            None => Ok(Page { total: self.total }),
            Some(title) => Err(ChangeError::lossy(format!("the title {title:?}"))),
        }
    }
}

impl Keyed for TitledPage {
    const KIND: &'static str = "page";
    type Call = Call;
    type Cast = Never;
    type Info = Never;
    type Delta = Never;

    fn init(_: &[u8]) -> Result<Self> {
        Ok(TitledPage::default())
    }

    async fn handle_call(&mut self, call: Call, _: &mut KeyedContext<Self>) -> Result<CallReply> {
        match call {
            Call::Add(n, caller) => {
                self.total += n;
                caller.reply(self.total)
            }
            Call::Get(caller) => caller.reply((self.total, self.title.clone())),
            Call::Title(title, caller) => {
                self.title = title;
                caller.reply(())
            }
        }
    }
}

fn release(number: u32) -> With {
    Box::new(move |start: ShardsStart| match number {
        1 => start.release(1, 1).register(Kind::of::<Page>(COPIED)),
        _ => start.release(2, 1).register(Kind::of::<TitledPage>(COPIED)),
    })
}

fn page(name: &str, from: &Node) -> Key<Call> {
    Key::new("page", name).on(from)
}

/// Three nodes of a release, and pages that the launcher asks all the time.
struct Site {
    cluster: Cluster,
    replaced: usize,
    stop: Arc<AtomicBool>,
    asked: Arc<AtomicI64>,
    tasks: Vec<tokio::task::JoinHandle<(String, i64)>>,
}

impl Site {
    async fn of(number: u32) -> Self {
        let mut cluster = Cluster::of_types(3, COPIED, release(number)).await;
        cluster.with = release(2);
        cluster.asks().await;
        let (stop, asked) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicI64::new(0)));
        let ask = |at| {
            let (stop, asked, from) = (stop.clone(), asked.clone(), cluster.launcher.clone());
            tokio::spawn(async move {
                let (name, mut acknowledged) = (format!("p{at}"), 0);
                while !stop.load(Ordering::Relaxed) {
                    let said = page(&name, &from).call_timeout(|to| Call::Add(1, to), HANGS).await;
                    acknowledged += 1;
                    assert_eq!(said, Ok(acknowledged), "{name}");
                    asked.fetch_add(1, Ordering::Relaxed);
                }
                (name, acknowledged)
            })
        };
        let tasks = (0..8).map(ask).collect();
        Site { cluster, replaced: 0, stop, asked, tasks }
    }

    /// The node that was started first ends, and comes back with that release.
    async fn replace(&mut self, number: u32) {
        self.cluster.end(0).await;
        self.cluster.with = release(number);
        self.cluster.join(&format!("node{}", self.replaced % 3)).await;
        self.replaced += 1;
        // Calls go on.
        let before = self.asked.load(Ordering::Relaxed);
        while self.asked.load(Ordering::Relaxed) < before + 50 {
            tokio::task::yield_now().await;
        }
    }

    /// Until all shards are written in a release.
    async fn until_written(&self, number: u32) {
        self.until(|info| info.written.keys().eq([&number])).await;
    }

    async fn until(&self, is_so: impl Fn(&ReleaseInfo) -> bool) -> ReleaseInfo {
        in_time(async {
            loop {
                let info = self.cluster.members[0].shards.release().await.unwrap();
                if is_so(&info) {
                    return info;
                }
                tokio::time::sleep(Duration::from_millis(5)).await; // sleep: seen from outside only, until it is so
            }
        })
        .await
    }

    async fn nothing_lost(self) {
        self.stop.store(true, Ordering::Relaxed);
        for task in self.tasks {
            let (name, acknowledged) = task.await.unwrap();
            let said = page(&name, &self.cluster.launcher).call_timeout(Call::Get, HANGS).await;
            assert_eq!(said.map(|(total, _)| total), Ok(acknowledged), "{name}");
        }
    }

    async fn title(&self, name: &str, title: Option<&str>, limit: Duration) -> Result<(), KeyedError> {
        let title = title.map(str::to_owned);
        page(name, &self.cluster.launcher).call_timeout(|to| Call::Title(title, to), limit).await
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nodes_of_the_next_release_replace_all_and_nothing_fails() {
    let mut site = Site::of(1).await;
    for replaced in 0..3 {
        site.until_written(1).await;
        let info = site.cluster.members[0].shards.release().await.unwrap();
        assert_eq!(info.release, if replaced == 0 { 1 } else { 2 });
        site.replace(2).await;
    }
    site.until_written(2).await;
    let info = site.until(|info| info.next == UpgradeStep::Done).await;
    assert_eq!((info.release, info.is_set, info.refused), (2, false, vec![]));
    site.title("p0", Some("new"), HANGS).await.unwrap();
    let (_, title) = page("p0", &site.cluster.launcher).call_timeout(Call::Get, HANGS).await.unwrap();
    assert_eq!(title.as_deref(), Some("new"));
    site.nothing_lost().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn half_way_it_goes_back_and_what_the_old_release_cannot_say_is_not_done() {
    let mut site = Site::of(1).await;
    site.replace(2).await;
    site.replace(2).await;
    // One node of the former release is left, and all is written for it.
    let title = site.title("p0", Some("new"), Duration::from_secs(1)).await;
    assert!(matches!(title, Err(KeyedError::Timeout | KeyedError::Exit(_))), "{title:?}");
    let old = site.cluster.members[0].node.id();
    site.until(|info| info.next == UpgradeStep::Replace(old)).await;
    // The first that ends is that one, which comes back as it was; then those of the next release go.
    for _ in 0..3 {
        site.replace(1).await;
    }
    site.until_written(1).await;
    site.until(|info| (info.release, &info.next) == (1, &UpgradeStep::Done)).await;
    site.nothing_lost().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_state_that_the_lower_release_cannot_say_stays_and_is_named() {
    let mut site = Site::of(2).await;
    site.until_written(2).await;
    site.title("titled", Some("new"), HANGS).await.unwrap();
    let refused = site.cluster.members[1].shards.set_release(1, HANGS).await;
    let Err(ReleaseError::Refused(refused)) = refused else { panic!("{refused:?}") };
    let [refusal] = &refused[..] else { panic!("{refused:?}") };
    let shard = site.cluster.members[0].shards.shard_of(&page("titled", &site.cluster.launcher));
    assert_eq!(
        (refusal.shard, refusal.release, &refusal.processes[..]),
        (shard, 1, &["page/titled".into()][..])
    );
    // All members say the same, and all the others are written in the lower one.
    for member in &site.cluster.members {
        let info = member.shards.release().await.unwrap();
        assert_eq!((info.release, info.is_set, &info.refused), (1, true, &refused));
        assert_eq!(info.written.get(&2), Some(&1), "{info:?}");
    }
    let (_, title) = page("titled", &site.cluster.launcher).call_timeout(Call::Get, HANGS).await.unwrap();
    assert_eq!(title.as_deref(), Some("new"));
    // Without what it cannot say it is lowered, and nodes of the lower release take over.
    site.title("titled", None, HANGS).await.unwrap();
    site.cluster.members[2].shards.set_release(1, HANGS).await.unwrap();
    let title = site.title("p0", Some("new"), Duration::from_secs(1)).await;
    assert_eq!(title, Err(KeyedError::Timeout), "it is not to be said");
    for _ in 0..3 {
        site.replace(1).await;
    }
    site.nothing_lost().await;
}
