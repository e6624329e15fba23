//! Nodes in one program that share the shards of a few types.

#![allow(dead_code)]

use std::num::NonZeroU32;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use incarnate::handoff::StateVersion;
use incarnate::node::Distribution;
use incarnate::shard::authority::{Local, LocalServer};
use incarnate::shard::{Alone, Key, Keyed, KeyedContext, Kind, Mode, ShardInfo, Shards, ShardsStart};
use incarnate::{CallReply, Never, Next, Node, Pid, ProcessRef, ReplyTo, Result, noreply};
use serde::{Deserialize, Serialize};

use crate::pair::distribution;
use crate::wait::{HANGS, in_time};

/// Counts, and forgets nothing that it has added.
#[derive(Debug, Default, Serialize, Deserialize)]
pub struct Counter {
    pub total: i64,
    pub waiting: Vec<ReplyTo<i64>>,
}

#[derive(Serialize, Deserialize)]
pub enum Call {
    Add(i64, ReplyTo<i64>),
    Get(ReplyTo<i64>),
    /// Answered by the next that is added.
    Next(ReplyTo<i64>),
    Crash(ReplyTo<i64>),
    /// Adds as many to another key, and is answered when that one has answered.
    Pass(i64, Key<Call, Cast>, ReplyTo<i64>),
    /// Adds one after so many milliseconds.
    Later(u64, ReplyTo<()>),
    Forget(ReplyTo<()>),
    Pid(ReplyTo<Pid>),
    /// Sends it when the step is released, and crashes if it is to.
    Send(ProcessRef<i64>, i64, bool, ReplyTo<()>),
}

#[derive(Serialize, Deserialize)]
pub enum Cast {
    Add(i64),
    /// Adds it here, and to another key.
    Both(i64, Key<Call, Cast>),
}

#[derive(Serialize, Deserialize)]
pub enum Said {
    Tick,
    Passed(ReplyTo<i64>),
}

impl StateVersion for Counter {
    const VSN: u32 = 1;
    type Previous = Never;
}

impl Keyed for Counter {
    const KIND: &'static str = "counter";
    type Call = Call;
    type Cast = Cast;
    type Info = Said;
    type Delta = Never;

    fn init(_: &[u8]) -> Result<Self> {
        Ok(Counter::default())
    }

    async fn handle_call(&mut self, call: Call, cx: &mut KeyedContext<Self>) -> Result<CallReply> {
        match call {
            Call::Add(n, caller) => {
                self.total += n;
                for waits in self.waiting.drain(..) {
                    waits.send(self.total);
                }
                caller.reply(self.total)
            }
            Call::Get(caller) => caller.reply(self.total),
            Call::Next(caller) => {
                self.waiting.push(caller);
                noreply()
            }
            Call::Crash(_) => {
                self.total = -1;
                panic!("as told")
            }
            Call::Pass(n, to, caller) => {
                self.total += n;
                cx.call(&to, |to| Call::Add(n, to), Said::Passed(caller))?;
                noreply()
            }
            Call::Later(millis, caller) => {
                cx.start_timer("later", Duration::from_millis(millis), Said::Tick)?;
                caller.reply(())
            }
            Call::Pid(caller) => caller.reply(cx.pid()),
            Call::Send(to, message, crashes, caller) => {
                cx.send(&to, message);
                assert!(!crashes, "as told");
                caller.reply(())
            }
            Call::Forget(caller) => {
                use incarnate::Then;
                caller.reply(()).stop(incarnate::ExitReason::Normal)
            }
        }
    }

    async fn handle_cast(&mut self, cast: Cast, cx: &mut KeyedContext<Self>) -> Result<Next> {
        match cast {
            Cast::Add(n) => self.total += n,
            Cast::Both(n, to) => {
                self.total += n;
                cx.cast(&to, Cast::Add(n))?;
            }
        }
        noreply()
    }

    async fn handle_info(&mut self, _: Said, _: &mut KeyedContext<Self>) -> Result<Next> {
        self.total += 1;
        noreply()
    }

    async fn handle_answer(
        &mut self,
        info: Said,
        answer: incarnate::shard::KeyedAnswer,
        _: &mut KeyedContext<Self>,
    ) -> Result<Next> {
        if let Said::Passed(caller) = info {
            caller.send(answer.get()?);
        }
        noreply()
    }
}

pub fn counter(key: &str) -> Key<Call, Cast> {
    Key::new("counter", key)
}

pub const COPIED: Mode = Mode::Copied { alone: Alone::Serve };

/// A member of a cluster: a node with shards.
pub struct Member {
    pub node: Node,
    pub on: Distribution,
    pub shards: Shards,
}

/// A launcher that serves the authority, and members.
pub struct Cluster {
    pub launcher: Node,
    pub on: Distribution,
    pub members: Vec<Member>,
    /// How nodes that are started from now on start their shards.
    pub with: With,
    file: PathBuf,
    mode: Mode,
}

/// What is added to a start.
pub type With = Box<dyn Fn(ShardsStart) -> ShardsStart + Send + Sync>;

impl Drop for Cluster {
    fn drop(&mut self) {
        // There may be none.
        let _ = std::fs::remove_file(&self.file);
    }
}

impl Cluster {
    /// So many nodes, each of which has its part of few shards.
    pub async fn of(nodes: usize, mode: Mode) -> Self {
        Self::with(nodes, mode, Kind::of::<Counter>(mode)).await
    }

    /// With a type that was prepared.
    pub async fn with(nodes: usize, mode: Mode, kind: Kind) -> Self {
        Self::of_types(nodes, mode, Box::new(move |start| start.register(kind.clone()))).await
    }

    /// With shards that are started like this.
    pub async fn started(
        nodes: usize,
        mode: Mode,
        with: impl Fn(ShardsStart) -> ShardsStart + Send + Sync + 'static,
    ) -> Self {
        let with = move |start: ShardsStart| with(start.register(Kind::of::<Counter>(mode)));
        Self::of_types(nodes, mode, Box::new(with)).await
    }

    /// So many nodes with the types that they are started with, all of one mode.
    pub async fn of_types(nodes: usize, mode: Mode, with: With) -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let name = format!("incarnate-keyed-{}-{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed));
        let file = std::env::temp_dir().join(name);
        let launcher = Node::new("launcher");
        let on = distribution(&launcher).start().await.unwrap();
        LocalServer::of(&launcher, &file).start().await.unwrap();
        let mut cluster = Cluster { launcher, on, members: Vec::new(), with, file, mode };
        let mut ready = Vec::new();
        for at in 0..nodes {
            let (node, on) = cluster.node(&format!("node{at}")).await;
            for (other, _) in &ready {
                let other: &(Node, Distribution) = other;
                in_time(on.connect(other.1.address().unwrap())).await.unwrap();
            }
            ready.push(((node, on), ()));
        }
        for ((node, on), ()) in ready {
            let shards = cluster.start(&node, nodes).start().await.unwrap();
            cluster.members.push(Member { node, on, shards });
        }
        cluster.until_placed().await;
        cluster
    }

    /// A node is lost: nobody hears of it any more, nor it of anybody.
    pub async fn lose(&mut self, at: usize) {
        let member = self.members.remove(at);
        member.on.stop().await;
        member.shards.stop().await.unwrap();
        member.node.halt();
    }

    /// A node ends in good order.
    pub async fn end(&mut self, at: usize) {
        self.members[at].shards.drain(HANGS).await.unwrap();
        self.lose(at).await;
    }

    /// How many shards each member serves.
    pub fn served(&self) -> Vec<usize> {
        let serves = |info: &ShardInfo| info.here.is_some_and(|here| here.serves);
        self.members
            .iter()
            .map(|member| member.shards.info().iter().filter(|info| serves(info)).count())
            .collect()
    }

    /// One more node, connected with all.
    pub async fn join(&mut self, name: &str) {
        let member = self.another(name, |start| start).await;
        self.members.push(member);
    }

    /// The launcher, which is connected with all, as a client.
    pub async fn asks(&self) -> Shards {
        self.start(&self.launcher, 1).client().start().await.unwrap()
    }

    /// A node that has no shards itself.
    pub async fn front(&self, name: &str) -> Member {
        self.another(name, ShardsStart::client).await
    }

    async fn another(&self, name: &str, with: impl FnOnce(ShardsStart) -> ShardsStart) -> Member {
        let (node, on) = self.node(name).await;
        for other in &self.members {
            in_time(on.connect(other.on.address().unwrap())).await.unwrap();
        }
        let shards = with(self.start(&node, 1)).start().await.unwrap();
        Member { node, on, shards }
    }

    async fn node(&self, name: &str) -> (Node, Distribution) {
        let node = Node::new(name);
        let on = distribution(&node).start().await.unwrap();
        in_time(on.connect(self.on.address().unwrap())).await.unwrap();
        (node, on)
    }

    fn start(&self, node: &Node, members: usize) -> ShardsStart {
        let authority = Arc::new(Local::at(node, self.launcher.id()));
        let start = Shards::of(node, authority)
            .balance_every(Duration::ZERO)
            .shards(NonZeroU32::new(16).unwrap())
            .lease(Duration::from_secs(5))
            .expect(members);
        (self.with)(start)
    }

    /// Until each shard has an owner and, if there is a second node, a standby.
    pub async fn until_placed(&self) {
        let standbys = usize::from(self.members.len() > 1 && self.mode != Mode::Local);
        self.until(|member| {
            member.shards.info().iter().all(|shard| {
                let serves = shard.here.is_some_and(|here| here.serves);
                shard.owner.is_some() && (!serves || shard.in_sync.len() >= standbys)
            })
        })
        .await;
    }

    pub async fn until(&self, all: impl Fn(&Member) -> bool) {
        let begun = std::time::Instant::now();
        while !self.members.iter().all(&all) {
            assert!(
                begun.elapsed() < HANGS,
                "{:#?}",
                self.members.iter().map(|it| it.shards.info()).collect::<Vec<_>>()
            );
            tokio::time::sleep(Duration::from_millis(5)).await; // sleep: seen from outside only, until it is so
        }
    }
}
