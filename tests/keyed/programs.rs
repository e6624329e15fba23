//! Members that are programs of their own, killed and stopped while keys are asked.

use std::collections::BTreeMap;
use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::{Duration, Instant};

use incarnate::application::{App, Application, NoConfig, Run, Spec};
use incarnate::shard::authority::{Authority, Local};
use incarnate::shard::{Kind, Shards};
use incarnate::{Error, Node, NodeId, Result, Supervisor, Tree};
use rustix::process::Signal;

use crate::child::{self, Program};
use crate::faults::Load;
use crate::pair::distribution;
use crate::shards::{COPIED, Call, Cluster, Counter, counter};
use crate::wait::{HANGS, in_time};

/// In the environment of a member: where the others are, the launcher among them.
const OTHERS: &str = "INCARNATE_TEST_OTHERS";

/// Nobody waits for it here.
const LEASE: Duration = Duration::from_secs(20);

/// A program whose node is a member.
struct Service;

impl Application for Service {
    type Config = NoConfig;

    fn spec(&self) -> Spec {
        Spec::new("service", "1")
    }

    async fn start(&self, _: Arc<NoConfig>) -> Result<Tree> {
        let node = Node::current().ok_or(Error::msg("it runs in no node"))?;
        let on = distribution(&node).start().await?;
        for other in std::env::var(OTHERS)?.split(' ') {
            on.connect(other).await?;
        }
        let authority = Arc::new(Local::at(&node, NodeId::of("launcher")));
        let start = Shards::of(&node, authority).shards(NonZeroU32::new(16).unwrap()).lease(LEASE).expect(3);
        let start = start.balance_every(Duration::ZERO).register(Kind::of::<Counter>(COPIED));
        let shards = start.start().await?;
        println!("\nlistens at {} {}", on.address().unwrap(), node.creation());
        Ok(Supervisor::tree("service").child(shards.drains_at_stop(HANGS)))
    }
}

#[test]
fn program() {
    let Some(name) = child::role() else { return };
    child::exit(Run::new(App::new(Service)).node_name(name).main())
}

struct Member {
    program: Program,
    address: String,
    creation: u32,
}

/// A launcher here that asks, and members elsewhere by their names.
struct Site {
    launcher: Cluster,
    shards: Shards,
    members: BTreeMap<String, Member>,
}

impl Site {
    async fn of(names: &[&str]) -> Self {
        let launcher = Cluster::started(0, COPIED, |start| start.lease(LEASE)).await;
        let shards = launcher.asks().await;
        let mut site = Site { launcher, shards, members: BTreeMap::new() };
        for name in names {
            site.join(name);
        }
        site.until_placed().await;
        site
    }

    fn join(&mut self, name: &str) {
        let launcher = self.launcher.on.address().unwrap().to_string();
        let others = [launcher].into_iter().chain(self.members.values().map(|other| other.address.clone()));
        let others = others.collect::<Vec<_>>().join(" ");
        let mut program = Program::new("programs::program", name, &[(OTHERS, &others)]);
        let said = program.after("listens at ");
        let (address, creation) = said.split_once(' ').unwrap();
        let (address, creation) = (address.to_owned(), creation.parse().unwrap());
        self.members.insert(name.to_owned(), Member { program, address, creation });
    }

    /// Until each shard has an owner and a standby that live.
    async fn until_placed(&self) {
        let authority = Local::at(&self.launcher.launcher, self.launcher.launcher.id());
        let lives = |creation| self.members.values().any(|member| member.creation == creation);
        in_time(async {
            loop {
                let records = authority.read_all().await.unwrap();
                let placed = records.values().all(|record| {
                    lives(record.owner.creation)
                        && !record.in_sync.is_empty()
                        && record.in_sync.iter().all(|standby| lives(standby.creation))
                });
                if placed && records.len() >= 16 {
                    return;
                }
                tokio::time::sleep(Duration::from_millis(10)).await; // sleep: seen from outside only, until it is so
            }
        })
        .await;
    }

    /// The name of the member that owns a key's shard.
    fn owner(&self, key: &str) -> String {
        let shard = self.shards.shard_of(&counter(key));
        let info = self.shards.info().into_iter().find(|info| info.shard == shard).unwrap();
        let (owner, _) = info.owner.unwrap();
        self.members.keys().find(|name| NodeId::of(name) == owner).unwrap().clone()
    }

    /// The node that asks.
    fn here(&self) -> &Node {
        &self.launcher.launcher
    }

    async fn ask(&self, key: &str) -> i64 {
        counter(key).on(self.here()).call_timeout(Call::Get, HANGS).await.unwrap()
    }

    /// Until a key is asked on.
    async fn asked_on(&self, key: &str) {
        let before = self.ask(key).await;
        while self.ask(key).await < before + 20 {
            tokio::task::yield_now().await;
        }
    }

    /// Compares what each key has counted with what was acknowledged.
    async fn nothing_lost(&self, load: Load) {
        for (key, acknowledged, unknown) in load.stop().await {
            assert_eq!((self.ask(&key).await, unknown), (acknowledged, 0), "{key}");
        }
    }
}

/// Each owner of a key is killed under calls, and comes back.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn copied_loses_nothing_when_the_process_of_its_owner_is_killed() {
    let mut site = Site::of(&["a", "b", "c"]).await;
    let load = Load::start(site.here(), 8);
    for _ in 0..3 {
        site.asked_on("k0").await;
        let owner = site.owner("k0");
        let member = site.members.remove(&owner).unwrap();
        let begun = Instant::now();
        member.program.signal(Signal::KILL);
        let (code, ..) = member.program.end();
        assert_eq!(code, None, "it was killed");
        site.ask("k0").await;
        let took = begun.elapsed();
        println!("{owner} was killed, and the first answer came after {took:?}");
        assert!(took < LEASE / 4, "{took:?}");
        site.asked_on("k0").await;
        site.join(&owner);
        site.until_placed().await;
    }
    site.nothing_lost(load).await;
}

/// No caller hears an error, and none has to ask again because it has waited in vain.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nobody_notices_when_the_process_of_an_owner_is_told_to_end() {
    let mut site = Site::of(&["a", "b", "c", "d"]).await;
    let load = Load::start(site.here(), 8);
    for signal in [Signal::TERM, Signal::INT] {
        site.asked_on("k0").await;
        let member = site.members.remove(&site.owner("k0")).unwrap();
        member.program.signal(signal);
        let ended = tokio::task::spawn_blocking(move || member.program.end());
        let (code, _, errors) = in_time(ended).await.unwrap();
        assert_eq!((code, errors.as_str()), (Some(0), ""), "{signal:?}");
        site.asked_on("k0").await;
    }
    site.nothing_lost(load).await;
}
