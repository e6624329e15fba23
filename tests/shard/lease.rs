//! What a member may rely on, in virtual time, to the millisecond.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use incarnate::Node;
use incarnate::shard::authority::{Authority, LeaseId, Local, LocalServer, Member, Settings, keep_lease};
use incarnate::sys::{resume, suspend};
use tokio::sync::mpsc;
use tokio::time::{self, Instant};

use crate::local::Scratch;
use crate::wait::HANGS;

const TTL: Duration = Duration::from_secs(10);
const MEMBER: Member = Member { node: 1, creation: 1, store: None };

/// A server, and a member that keeps a lease: `valid` hears which, and until when it is valid.
struct Scene {
    node: Node,
    server: incarnate::Pid,
    authority: Arc<Local>,
    valid: mpsc::UnboundedReceiver<(LeaseId, Duration)>,
    /// The last that was heard of.
    lease: LeaseId,
    keeps: tokio::task::JoinHandle<Infallible>,
    origin: Instant,
    _file: Scratch,
}

impl Scene {
    async fn new() -> Self {
        let (node, file) = (Node::new("launcher"), Scratch::new());
        let server = LocalServer::of(&node, file.path()).start().await.unwrap();
        let authority = Arc::new(Local::at(&node, node.id()).timeout(Duration::from_secs(1)));
        authority.found(Settings { shards: 8, format: 1, lease: TTL }).await.unwrap();
        let (tell, valid) = mpsc::unbounded_channel();
        let (origin, keeper) = (Instant::now(), authority.clone());
        let keeps = tokio::spawn(async move {
            let valid = |lease, until: Instant| tell.send((lease, until - origin)).unwrap();
            keep_lease(&*keeper, MEMBER, TTL, String::new, valid).await
        });
        Scene { node, server, authority, valid, lease: LeaseId::NONE, keeps, origin, _file: file }
    }

    async fn at(&self, milliseconds: u64) {
        time::sleep_until(self.origin + Duration::from_millis(milliseconds)).await;
    }

    /// Until when the lease is valid now, in milliseconds, as often as that has changed.
    fn valid(&mut self) -> Vec<u128> {
        let mut heard = Vec::new();
        while let Ok((lease, until)) = self.valid.try_recv() {
            self.lease = lease;
            heard.push(until.as_millis());
        }
        heard
    }

    async fn is_over(&self, lease: LeaseId) -> bool {
        self.authority.is_over(MEMBER, lease).await.unwrap()
    }
}

#[tokio::test(start_paused = true)]
async fn it_is_renewed_after_a_third_and_valid_for_nine_tenths() {
    let mut scene = Scene::new().await;
    scene.at(9_500).await;
    assert_eq!(scene.valid(), [9_000, 12_000, 15_000, 18_000]);
}

#[tokio::test(start_paused = true)]
async fn it_ends_for_the_member_before_it_ends_for_others() {
    let mut scene = Scene::new().await;
    scene.at(4_000).await;
    assert_eq!(scene.valid(), [9_000, 12_000]);
    // What is sent from now on does not arrive in time.
    suspend(&scene.node, scene.server, HANGS).await.unwrap();
    scene.at(20_000).await;
    assert_eq!(scene.valid(), []);
    let lease = scene.lease;
    resume(&scene.node, scene.server, HANGS).await.unwrap();
    scene.at(25_000).await;
    assert!(scene.valid().iter().all(|until| *until > 25_000));
    assert!(scene.lease != lease && scene.is_over(lease).await && !scene.is_over(scene.lease).await);
}

#[tokio::test(start_paused = true)]
async fn an_authority_that_comes_back_in_time_finds_the_member() {
    let mut scene = Scene::new().await;
    scene.at(4_000).await;
    assert_eq!(scene.valid(), [9_000, 12_000]);
    let lease = scene.lease;
    suspend(&scene.node, scene.server, HANGS).await.unwrap();
    scene.at(11_000).await;
    resume(&scene.node, scene.server, HANGS).await.unwrap();
    scene.at(30_000).await;
    assert!(scene.valid().is_sorted());
    assert_eq!(scene.lease, lease);
    assert!(!scene.is_over(lease).await);
}

#[tokio::test(start_paused = true)]
async fn a_member_that_stops_renewing_is_over_after_the_whole_time() {
    let mut scene = Scene::new().await;
    scene.at(1_000).await;
    assert_eq!(scene.valid(), [9_000]);
    scene.keeps.abort();
    scene.at(9_999).await;
    assert!(!scene.is_over(scene.lease).await);
    scene.at(10_001).await;
    assert!(scene.is_over(scene.lease).await);
}
