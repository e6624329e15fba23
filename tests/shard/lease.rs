//! What a member may rely on, in virtual time, to the millisecond.

use std::sync::Arc;
use std::time::Duration;

use incarnate::Node;
use incarnate::shard::authority::{Authority, Local, LocalServer, Member, Settings, keep_lease};
use incarnate::sys::{resume, suspend};
use tokio::sync::mpsc;
use tokio::time::{self, Instant};

use crate::local::Scratch;
use crate::wait::HANGS;

const TTL: Duration = Duration::from_secs(10);
const MEMBER: Member = Member { node: 1, creation: 1, store: None };

/// A server, and a member that keeps its lease: `valid` hears until when it is, `over` that it is not any more.
struct Scene {
    node: Node,
    server: incarnate::Pid,
    authority: Arc<Local>,
    valid: mpsc::UnboundedReceiver<Duration>,
    keeps: tokio::task::JoinHandle<()>,
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
            let valid = |until: Instant| tell.send(until - origin).unwrap();
            keep_lease(&*keeper, MEMBER, TTL, String::new, valid).await;
        });
        Scene { node, server, authority, valid, keeps, origin, _file: file }
    }

    async fn at(&self, milliseconds: u64) {
        time::sleep_until(self.origin + Duration::from_millis(milliseconds)).await;
    }

    /// Until when the lease is valid now, in milliseconds, as often as that has changed.
    fn valid(&mut self) -> Vec<u128> {
        std::iter::from_fn(|| self.valid.try_recv().ok()).map(|until| until.as_millis()).collect()
    }
}

#[tokio::test(start_paused = true)]
async fn it_is_renewed_after_a_third_and_valid_for_nine_tenths() {
    let mut scene = Scene::new().await;
    scene.at(9_500).await;
    assert_eq!(scene.valid(), [9_000, 12_000, 15_000, 18_000]);
    assert!(!scene.keeps.is_finished());
}

#[tokio::test(start_paused = true)]
async fn it_ends_for_the_member_before_it_ends_for_others() {
    let mut scene = Scene::new().await;
    scene.at(4_000).await;
    assert_eq!(scene.valid(), [9_000, 12_000]);
    // What is sent from now on does not arrive in time.
    suspend(&scene.node, scene.server, HANGS).await.unwrap();
    scene.at(11_999).await;
    assert!(!scene.keeps.is_finished());
    scene.at(12_001).await;
    assert!(scene.keeps.is_finished());
    assert_eq!(scene.valid(), []);
}

#[tokio::test(start_paused = true)]
async fn an_authority_that_comes_back_in_time_finds_the_member() {
    let mut scene = Scene::new().await;
    scene.at(4_000).await;
    suspend(&scene.node, scene.server, HANGS).await.unwrap();
    scene.at(11_000).await;
    resume(&scene.node, scene.server, HANGS).await.unwrap();
    scene.at(30_000).await;
    assert!(!scene.keeps.is_finished());
    assert_eq!(scene.authority.is_over(MEMBER).await, Ok(false));
    assert!(scene.valid().is_sorted());
}

#[tokio::test(start_paused = true)]
async fn a_member_that_stops_renewing_is_over_after_the_whole_time() {
    let mut scene = Scene::new().await;
    scene.at(1_000).await;
    assert_eq!(scene.valid(), [9_000]);
    scene.keeps.abort();
    scene.at(9_999).await;
    assert_eq!(scene.authority.is_over(MEMBER).await, Ok(false));
    scene.at(10_001).await;
    assert_eq!(scene.authority.is_over(MEMBER).await, Ok(true));
}
