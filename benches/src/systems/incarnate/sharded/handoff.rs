//! 10,000 states on their way to another process: by planned moves, and by nothing but a codec and a socket.

use std::{
    env,
    process::Command,
    time::{Duration, Instant},
};

use incarnate::{NodeId, shard::ShardId};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt, BufReader, BufWriter},
    net::{TcpListener, TcpStream},
    task::JoinSet,
};

use super::{
    cluster::Cluster,
    keyed::{Address, Next, Profile, profile},
};
use crate::{
    peer::Peer,
    remote::{on_workers, serve},
    sharded::Copying,
    systems::Sample,
};

/// How many shards the states are in: the default.
const SHARDS: u32 = 256;

/// A move takes no longer.
const LIMIT: Duration = Duration::from_secs(30);

/// So many callers fill the shards.
const FILLERS: u64 = 64;

/// How many bytes `n` states have as they are written.
fn bytes_of(n: u64) -> u64 {
    (0..n).map(|at| written(at).len() as u64).sum()
}

fn written(at: u64) -> Vec<u8> {
    rmp_serde::to_vec(&Profile::of(&format!("profile {at}"))).expect("it is written")
}

/// Bytes per second of moves to and fro between two members: all shards, at once. A shard has moved when its new owner has
/// answered a call.
pub fn moved(n: u64, time: Duration) -> Sample {
    on_workers(async move {
        let cluster = Cluster::start(Copying::Local, 2, SHARDS).await;
        let keys: Vec<Address> = (0..n).map(|at| profile(at).on(&cluster.node)).collect();
        fill(&keys).await;
        let shards: Vec<ShardId> = cluster.shards.info().iter().map(|shard| shard.shard).collect();
        let key_in = |shard: &ShardId| keys.iter().find(|key| cluster.shards.shard_of(key) == *shard);
        let firsts: Vec<Address> = shards.iter().filter_map(key_in).cloned().collect();
        let (mut ops, mut elapsed, mut runs) = (0, Duration::ZERO, 0);
        while elapsed < time {
            let to = cluster.members[runs % 2];
            // Each shard has changed since it was there last, so that all of it has to go.
            call_each(&firsts).await;
            let start = Instant::now();
            move_all(&cluster, &shards, to).await;
            call_each(&firsts).await;
            let took = start.elapsed();
            // The first brings those together that were at the other, the second warms up.
            if runs > 1 {
                (ops, elapsed) = (ops + bytes_of(n), elapsed + took);
            }
            runs += 1;
        }
        let mut there = 0;
        for key in &keys {
            there += u64::from(key.call(Next).await.is_ok_and(|visits| visits > 1));
        }
        Sample::new(ops, elapsed, there)
    })
}

async fn fill(keys: &[Address]) {
    let mut fillers = JoinSet::new();
    for part in keys.chunks(keys.len().div_ceil(FILLERS as usize)) {
        let part = part.to_vec();
        fillers.spawn(async move {
            for key in part {
                key.call(Next).await.expect("the key answers");
            }
        });
    }
    fillers.join_all().await;
}

async fn call_each(keys: &[Address]) {
    let mut calls = JoinSet::new();
    for key in keys.iter().cloned() {
        calls.spawn(async move { key.call(Next).await.expect("the key answers") });
    }
    calls.join_all().await;
}

async fn move_all(cluster: &Cluster, shards: &[ShardId], to: NodeId) {
    let mut moves = JoinSet::new();
    for info in cluster.shards.info() {
        let there = info.owner.is_some_and(|(owner, _)| owner == to);
        if !there && shards.contains(&info.shard) {
            let shards = cluster.shards.clone();
            moves.spawn(async move { shards.move_to(info.shard, to, LIMIT).await });
        }
    }
    for moved in moves.join_all().await {
        moved.expect("the shard moves");
    }
}

/// Bytes per second of states that are written, sent, and read in another process, which says when it has the last.
pub fn plain(n: u64, time: Duration) -> Sample {
    on_workers(async move {
        let program = env::current_exe().expect("this program has a path");
        let peer = tokio::task::block_in_place(|| Peer::start(Command::new(program).arg("--reader")));
        let peer = peer.expect("the reader starts");
        let socket = TcpStream::connect(&peer.said).await.expect("the reader is there");
        socket.set_nodelay(true).expect("it is a socket");
        let (read, write) = socket.into_split();
        let (mut read, mut write) = (BufReader::new(read), BufWriter::with_capacity(64 << 10, write));
        let states: Vec<Profile> = (0..n).map(|at| Profile::of(&format!("profile {at}"))).collect();
        let (mut ops, mut elapsed, mut warm, mut there) = (0, Duration::ZERO, false, 0);
        while elapsed < time {
            let start = Instant::now();
            write.write_u64(n).await.expect("the reader is there");
            for state in &states {
                let bytes = rmp_serde::to_vec(state).expect("it is written");
                write.write_u32(bytes.len() as u32).await.expect("the reader is there");
                write.write_all(&bytes).await.expect("the reader is there");
            }
            write.flush().await.expect("the reader is there");
            there = read.read_u64().await.expect("the reader answers");
            if std::mem::replace(&mut warm, true) {
                (ops, elapsed) = (ops + bytes_of(n), elapsed + start.elapsed());
            }
        }
        Sample::new(ops, elapsed, there)
    })
}

/// Is who reads them: says its address, and reads until its standard input ends.
pub fn be_reader() -> anyhow::Result<()> {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let listener = runtime.block_on(TcpListener::bind("127.0.0.1:0"))?;
    let address = listener.local_addr()?.to_string();
    runtime.spawn(async move {
        while let Ok((socket, _)) = listener.accept().await {
            // It ends when the other side does.
            let _end = read_all(socket).await;
        }
    });
    Ok(serve(&address)?)
}

async fn read_all(socket: TcpStream) -> anyhow::Result<()> {
    socket.set_nodelay(true)?;
    let (read, mut write) = socket.into_split();
    let mut read = BufReader::with_capacity(64 << 10, read);
    let mut bytes = Vec::new();
    loop {
        let n = read.read_u64().await?;
        let mut states = Vec::with_capacity(n as usize);
        for _ in 0..n {
            bytes.resize(read.read_u32().await? as usize, 0);
            read.read_exact(&mut bytes).await?;
            states.push(rmp_serde::from_slice::<Profile>(&bytes)?);
        }
        write.write_u64(states.len() as u64).await?;
    }
}
