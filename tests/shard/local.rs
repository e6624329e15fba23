//! The authority that a process of one node serves.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use incarnate::node::{Cookie, Distribution};
use incarnate::shard::authority::{Authority, Local, LocalServer, Settings};
use incarnate::sys::{resume, suspend};
use incarnate::{ExitReason, Node, Pid, StartError};

use crate::conformance::{Bench, conformance};
use crate::pair::{COOKIE, distribution};
use crate::proxy::Proxy;
use crate::wait::{HANGS, in_time};

conformance!(LocalBench);

/// A file of its own for each test, which goes with it.
pub struct Scratch(PathBuf);

impl Scratch {
    pub fn new() -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let name =
            format!("incarnate-authority-{}-{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed));
        Scratch(std::env::temp_dir().join(name))
    }

    pub fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        // There may be none.
        let _ = std::fs::remove_file(&self.0);
    }
}

/// A node with the server, and another that reaches it through the proxy.
struct LocalBench {
    launcher: Node,
    worker: Node,
    server: LocalServer,
    running: Pid,
    proxy: Proxy,
    _distributions: [Distribution; 2],
    _file: Scratch,
}

impl Bench for LocalBench {
    const LEASE: Duration = Duration::from_secs(3);

    async fn start() -> Self {
        let (launcher, worker) = (Node::new("launcher"), Node::new("worker"));
        let file = Scratch::new();
        let server = LocalServer::of(&launcher, &file.0);
        let running = server.start().await.unwrap();
        let there = distribution(&launcher).start().await.unwrap();
        let proxy = Proxy::to(there.address().unwrap().to_owned()).await;
        let here = Distribution::of(&worker, Cookie::new(COOKIE)).heartbeat_deadline(HANGS);
        let here = here.peers([proxy.address()]).start().await.unwrap();
        while here.nodes().is_empty() {
            tokio::task::yield_now().await;
        }
        let _distributions = [there, here];
        LocalBench { launcher, worker, server, running, proxy, _distributions, _file: file }
    }

    async fn near(&self, timeout: Duration) -> Arc<dyn Authority> {
        Arc::new(Local::at(&self.worker, self.launcher.id()).timeout(timeout))
    }

    async fn direct(&self, timeout: Duration) -> Arc<dyn Authority> {
        Arc::new(Local::at(&self.launcher, self.launcher.id()).timeout(timeout))
    }

    fn proxy(&self) -> &Proxy {
        &self.proxy
    }

    async fn kill(&mut self) {
        self.launcher.exit(self.running, ExitReason::Kill);
        while self.launcher.processes().contains(&self.running) {
            tokio::task::yield_now().await;
        }
    }

    async fn restart(&mut self) {
        self.running = in_time(self.server.start()).await.unwrap();
    }

    async fn pause(&mut self) {
        suspend(&self.launcher, self.running, HANGS).await.unwrap();
    }

    async fn resume(&mut self) {
        resume(&self.launcher, self.running, HANGS).await.unwrap();
    }
}

/// A start fails, says why, and leaves the file as it was.
async fn check_refused(file: &Scratch, why: &str) {
    let before = std::fs::read(&file.0).unwrap();
    let node = Node::new("launcher");
    match in_time(LocalServer::of(&node, &file.0).start()).await {
        Err(StartError::Failed(reason)) => assert!(reason.to_string().contains(why), "{reason}"),
        other => panic!("{other:?}"),
    }
    assert!(std::fs::read(&file.0).unwrap() == before, "it has changed");
}

/// The file of a server that has served and was stopped.
async fn written() -> Scratch {
    let (node, file) = (Node::new("launcher"), Scratch::new());
    let server = LocalServer::of(&node, &file.0);
    server.start().await.unwrap();
    let settings = Settings { shards: 8, format: 1, lease: Duration::from_secs(1) };
    in_time(Local::at(&node, node.id()).found(settings)).await.unwrap();
    in_time(server.stop()).await.unwrap();
    file
}

#[tokio::test]
async fn a_file_of_somebody_else_is_left_as_it_is() {
    let file = Scratch::new();
    std::fs::write(&file.0, "a text of somebody\n".repeat(1000)).unwrap();
    check_refused(&file, "cannot be read as an authority's").await;
    let database = Scratch::new();
    let table: redb::TableDefinition<'_, u64, u64> = redb::TableDefinition::new("mine");
    let open = redb::Database::create(&database.0).unwrap();
    let transaction = open.begin_write().unwrap();
    transaction.open_table(table).unwrap().insert(1, 2).unwrap();
    transaction.commit().unwrap();
    drop(open);
    check_refused(&database, "holds something else than an authority").await;
}

#[tokio::test]
async fn a_damaged_file_is_left_as_it_is() {
    let file = written().await;
    let mut bytes = std::fs::read(&file.0).unwrap();
    // Both slots of the header that say where the data begins.
    bytes[64..320].fill(0xff);
    std::fs::write(&file.0, bytes).unwrap();
    check_refused(&file, "cannot be read as an authority's").await;
    // A row.
    let file = written().await;
    let mut bytes = std::fs::read(&file.0).unwrap();
    let rows: Vec<_> = (0..bytes.len() - 6).filter(|at| bytes[*at..].starts_with(b"shards")).collect();
    assert!(!rows.is_empty());
    rows.into_iter().for_each(|at| bytes[at] = b'S');
    std::fs::write(&file.0, bytes).unwrap();
    check_refused(&file, "cannot be read as an authority's").await;
    let short = written().await;
    let bytes = std::fs::read(&short.0).unwrap();
    std::fs::write(&short.0, &bytes[..bytes.len() / 2]).unwrap();
    check_refused(&short, "cannot be read as an authority's").await;
}

#[tokio::test]
async fn a_file_is_served_once() {
    let (one, other, file) = (Node::new("one"), Node::new("other"), Scratch::new());
    let server = LocalServer::of(&one, &file.0);
    server.start().await.unwrap();
    match in_time(LocalServer::of(&other, &file.0).start()).await {
        Err(StartError::Failed(reason)) => {
            assert!(reason.to_string().contains("is served by another process"))
        }
        other => panic!("{other:?}"),
    }
    // One node serves one.
    let again = in_time(LocalServer::of(&one, Scratch::new().0.clone()).start()).await;
    assert!(matches!(again, Err(StartError::AlreadyStarted(_))), "{again:?}");
    in_time(server.stop()).await.unwrap();
    in_time(LocalServer::of(&other, &file.0).start()).await.unwrap();
}
