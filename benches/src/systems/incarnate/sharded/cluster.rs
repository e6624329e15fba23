//! Members in processes of their own, and who asks them.

use std::{
    env, fs,
    num::NonZeroU32,
    path::PathBuf,
    process::Command,
    sync::Arc,
    time::{Duration, Instant},
};

use anyhow::Context;
use incarnate::{
    GenServer, Node, NodeId,
    node::{Cookie, Distribution},
    shard::{
        Shards, ShardsStart,
        authority::{Local, LocalServer},
    },
};
use serde::{Deserialize, Serialize};

use super::keyed::{Ask, DESK, Desk, kinds};
use crate::{peer::Peer, remote::serve, sharded::Copying, systems::incarnate::remote::COOKIE};

/// A cluster is placed after so long, or never.
const PATIENCE: Duration = Duration::from_secs(30);

/// What a member is told when it starts.
#[derive(Debug, Serialize, Deserialize)]
pub struct Seat {
    name: String,
    by: u32,
    shards: u32,
    members: usize,
    /// Who is up already; the first serves the authority.
    nodes: Vec<String>,
}

/// The modes in an order, so that a member can be told one.
const MODES: [Copying; 4] = [Copying::Plain, Copying::Local, Copying::Async, Copying::Copied];

/// Three members, or two, and this node, which asks.
pub struct Cluster {
    pub node: Node,
    pub shards: Shards,
    pub members: Vec<NodeId>,
    _distribution: Distribution,
    /// They end with this.
    _peers: Vec<Peer>,
    file: PathBuf,
}

impl Drop for Cluster {
    fn drop(&mut self) {
        let _gone = fs::remove_file(&self.file);
    }
}

impl Cluster {
    /// Starts it, and waits until each shard is served, and has a standby if its mode has.
    pub async fn start(by: Copying, members: usize, shards: u32) -> Self {
        let node = Node::new("front");
        let start = Distribution::of(&node, Cookie::new(COOKIE)).listen("127.0.0.1:0");
        let distribution = start.start().await.expect("it starts");
        let file = env::temp_dir().join(format!("incarnate-bench-{}", std::process::id()));
        LocalServer::of(&node, &file).start().await.expect("the authority starts");
        let mut nodes = vec![distribution.address().unwrap_or_default().to_owned()];
        let (mut peers, mut ids) = (Vec::new(), Vec::new());
        for at in 0..members {
            let seat = Seat {
                name: format!("member{at}"),
                by: MODES.iter().position(|mode| *mode == by).unwrap_or_default() as u32,
                shards,
                members,
                nodes: nodes.clone(),
            };
            let peer = tokio::task::block_in_place(|| start_member(&seat)).expect("a member starts");
            nodes.push(peer.said.clone());
            ids.push(distribution.connect(peer.said.clone()).await.expect("the member is there"));
            peers.push(peer);
        }
        let client = prepare(&node, node.id(), by, shards).client();
        let shards = client.start().await.expect("the shards start");
        let cluster =
            Cluster { node, shards, members: ids, _distribution: distribution, _peers: peers, file };
        cluster.until_placed(by).await;
        cluster
    }

    async fn until_placed(&self, by: Copying) {
        let begun = Instant::now();
        let all = self.shards.info().len();
        loop {
            let (mut serves, mut copied) = (0, 0);
            for member in &self.members {
                let (some, with) = DESK.at(&self.node, *member).call(Ask::Serves).await.expect("it answers");
                (serves, copied) = (serves + some, copied + with);
            }
            let known = self.shards.info().iter().all(|shard| shard.owner.is_some());
            // Besides, members have shards for what is pinned to them.
            let needs_copies = matches!(by, Copying::Async | Copying::Copied);
            if known && serves >= all && (!needs_copies || copied == serves) {
                return;
            }
            assert!(begun.elapsed() < PATIENCE, "{serves} of {all} shards are served, {copied} copied");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }
}

fn start_member(seat: &Seat) -> anyhow::Result<Peer> {
    let program = env::current_exe()?;
    let seat = serde_json::to_string(seat)?;
    Ok(Peer::start(Command::new(program).args(["--member", &seat]))?)
}

fn prepare(node: &Node, authority: NodeId, by: Copying, shards: u32) -> ShardsStart {
    let authority = Arc::new(Local::at(node, authority));
    // Where there is a plain process instead, the shards are idle.
    let mode = by.mode().unwrap_or(incarnate::shard::Mode::Local);
    kinds(mode)
        .into_iter()
        .fold(Shards::of(node, authority), ShardsStart::register)
        .shards(NonZeroU32::new(shards).expect("there are shards"))
        // Nothing moves by itself while it is measured.
        .balance_every(Duration::ZERO)
}

/// Is a member: says its address, and serves until its standard input ends.
pub fn be_member(seat: &str) -> anyhow::Result<()> {
    let seat: Seat = serde_json::from_str(seat)?;
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let address = runtime.block_on(async move { tokio::spawn(join(seat)).await })??;
    Ok(serve(&address)?)
}

async fn join(seat: Seat) -> anyhow::Result<String> {
    let node = Node::new(&seat.name);
    let start = Distribution::of(&node, Cookie::new(COOKIE)).listen("127.0.0.1:0");
    let distribution = start.start().await?;
    let mut authority = None;
    for address in &seat.nodes {
        let id = distribution.connect(address).await?;
        authority.get_or_insert(id);
    }
    let by = *MODES.get(seat.by as usize).context("no such mode")?;
    let authority = authority.context("nobody serves the authority")?;
    let shards = prepare(&node, authority, by, seat.shards).expect(seat.members).start().await?;
    Desk::server((shards, by)).name(DESK).on(&node).start().await?;
    distribution.expose(DESK);
    let address = distribution.address().unwrap_or_default().to_owned();
    // Both live as long as this process.
    std::mem::forget((node, distribution));
    Ok(address)
}
