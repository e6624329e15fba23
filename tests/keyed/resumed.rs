//! What a keyed process is told when it goes on with a state that was kept.

use std::time::Duration;

use incarnate::gen_server::Resumed;
use incarnate::handoff::{ChangeError, StateVersion};
use incarnate::shard::{Key, Keyed, KeyedContext, KeyedError, Kind, ShardHere, ShardsStart};
use incarnate::{CallReply, Never, Node, ReplyTo, Result, Term};
use serde::{Deserialize, Serialize};

use crate::shards::{COPIED, Cluster, With};
use crate::wait::HANGS;

#[derive(Serialize, Deserialize)]
enum Call {
    /// Answered by all that it was told, each time it went on.
    Told(ReplyTo<Vec<String>>),
    Crash(ReplyTo<()>),
}

/// Keeps what it was told.
#[derive(Serialize, Deserialize)]
struct Diary {
    told: Vec<String>,
    asked: u32,
}

#[derive(Serialize, Deserialize)]
struct BoundDiary {
    told: Vec<String>,
    asked: u32,
    cover: String,
}

impl StateVersion for Diary {
    const VSN: u32 = 1;
    type Previous = Never;
}

impl StateVersion for BoundDiary {
    const VSN: u32 = 2;
    type Previous = Diary;

    fn up(Diary { told, asked }: Diary, _: &Term) -> Result<Self, ChangeError> {
        Ok(BoundDiary { told, asked, cover: "plain".into() })
    }

    fn down(self, _: &Term) -> Result<Diary, ChangeError> {
        Ok(Diary { told: self.told, asked: self.asked })
    }
}

macro_rules! keeps {
    ($version:ident, $($cover:tt)*) => {
        impl Keyed for $version {
            const KIND: &'static str = "diary";
            type Call = Call;
            type Cast = Never;
            type Info = Never;
            type Delta = Never;

            fn init(_: &[u8]) -> Result<Self> {
                Ok($version { told: Vec::new(), asked: 0, $($cover)* })
            }

            async fn handle_call(&mut self, call: Call, _: &mut KeyedContext<Self>) -> Result<CallReply> {
                match call {
                    Call::Told(caller) => {
                        self.asked += 1;
                        caller.reply(self.told.clone())
                    }
                    Call::Crash(_) => panic!("as told"),
                }
            }

            async fn resumed(&mut self, why: Resumed, _: &mut KeyedContext<Self>) -> Result<()> {
                self.told.push(format!("{why:?}"));
                Ok(())
            }
        }
    };
}

keeps!(Diary,);
keeps!(BoundDiary, cover: "plain".into());

fn release(number: u32, idle: Duration) -> With {
    Box::new(move |start: ShardsStart| match number {
        1 => start.release(1, 1).register(Kind::of::<Diary>(COPIED).idle_after(idle)),
        _ => start.release(2, 1).register(Kind::of::<BoundDiary>(COPIED).idle_after(idle)),
    })
}

/// The diary of most tests.
fn diary(from: &Node) -> Key<Call> {
    Key::new("diary", "d").on(from)
}

struct Site(Cluster);

impl Site {
    /// Nodes of the first release whose processes fall back to their state after a time.
    async fn of(nodes: usize, idle: Duration) -> Self {
        let cluster = Cluster::of_types(nodes, COPIED, release(1, idle)).await;
        cluster.asks().await;
        Site(cluster)
    }

    async fn told(&self) -> Vec<String> {
        diary(&self.0.launcher).call_timeout(Call::Told, HANGS).await.unwrap()
    }

    async fn crashes(&self) {
        let said = diary(&self.0.launcher).call_timeout(Call::Crash, HANGS).await;
        assert!(matches!(said, Err(KeyedError::Exit(_))), "{said:?}");
    }

    /// What a member has of the shard.
    fn here(&self, at: usize) -> Option<ShardHere> {
        let shards = &self.0.members[at].shards;
        let shard = shards.shard_of(&diary(&self.0.launcher));
        shards.info().into_iter().find(|info| info.shard == shard)?.here
    }

    fn owner(&self) -> usize {
        let serves = |at: &usize| self.here(*at).is_some_and(|here| here.serves);
        (0..self.0.members.len()).find(serves).expect("somebody serves it")
    }

    async fn move_to(&self, at: usize) {
        let member = &self.0.members[at];
        let shard = member.shards.shard_of(&diary(&self.0.launcher));
        member.shards.move_to(shard, member.node.id(), HANGS).await.unwrap();
    }

    /// Until the process has fallen back to its state.
    async fn until_idle(&self) {
        self.0
            .until(|member| member.shards.info().iter().all(|it| it.here.is_none_or(|it| it.awake == 0)))
            .await;
    }
}

#[tokio::test]
async fn one_that_has_moved_is_told_of_a_migration_once() {
    let site = Site::of(2, HANGS).await;
    assert!(site.told().await.is_empty(), "it has begun");
    site.move_to(1 - site.owner()).await;
    assert_eq!(site.told().await, ["Migration"]);
    assert_eq!(site.told().await, ["Migration"]);
    site.move_to(1 - site.owner()).await;
    assert_eq!(site.told().await, ["Migration", "Migration"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_whose_node_was_lost_is_told_of_a_failover() {
    let mut site = Site::of(3, HANGS).await;
    site.told().await;
    site.move_to((site.owner() + 1) % 3).await;
    assert_eq!(site.told().await, ["Migration"]);
    site.0.until_placed().await;
    let owner = site.owner();
    site.0.lose(owner).await;
    assert_eq!(site.told().await, ["Migration", "Failover"]);
}

#[tokio::test]
async fn one_that_has_crashed_is_told_of_a_restart() {
    let site = Site::of(2, HANGS).await;
    site.told().await;
    // With nothing that waits, and with something.
    site.crashes().await;
    assert_eq!(site.told().await, ["Restart"]);
    let ((), told) = tokio::join!(site.crashes(), site.told());
    let twice = ["Restart", "Restart"];
    assert!(told == twice || told == twice[..1], "{told:?}");
    assert_eq!(site.told().await, twice);
    site.move_to(1 - site.owner()).await;
    site.crashes().await;
    assert_eq!(
        site.told().await,
        ["Restart", "Restart", "Restart"],
        "what it was told before it crashed is not kept"
    );
}

#[tokio::test]
async fn one_that_was_idle_is_told_so_unless_more_has_happened() {
    let site = Site::of(2, Duration::from_millis(20)).await;
    site.told().await;
    site.until_idle().await;
    assert_eq!(site.told().await, ["Idle"]);
    site.until_idle().await;
    site.move_to(1 - site.owner()).await;
    assert_eq!(site.told().await, ["Idle", "Migration"]);
    site.until_idle().await;
    assert_eq!(site.told().await, ["Idle", "Migration", "Idle"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_that_has_moved_to_the_next_release_is_told_of_an_upgrade() {
    let mut site = Site::of(2, HANGS).await;
    site.told().await;
    site.0.with = release(2, HANGS);
    site.0.join("another").await;
    site.move_to(2).await;
    assert_eq!(site.told().await, ["Upgrade { from: 1 }"]);
    site.crashes().await;
    assert_eq!(site.told().await, ["Upgrade { from: 1 }", "Restart"]);
    // Its state is one of the former release all the while.
    site.move_to(0).await;
    assert_eq!(site.told().await, ["Upgrade { from: 1 }", "Restart", "Migration"]);
}
