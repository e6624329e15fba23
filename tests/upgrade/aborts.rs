//! Whatever goes wrong: every process goes on in its old version, with its old state, and nothing is lost.

use std::sync::atomic::Ordering;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use incarnate::gen_server::GenServer;
use incarnate::handoff::ChangeError;
use incarnate::supervisor::DynamicSupervisor;
use incarnate::upgrade::{Direction, Phase, Running, UpgradeError};
use incarnate::{ChildSpec, ExitReason, Name, Node, Supervisor};
use tokio::sync::oneshot;

use crate::keys::*;
use crate::wait::{in_time, polled_once};

/// Tests that have conversions hang take turns: what tells them to is one for all.
static TURN: Mutex<()> = Mutex::new(());

async fn keys(node: &Node, n: u64) -> Vec<Key> {
    let mut keys = Vec::new();
    for number in 0..n {
        keys.push(start(node, number).await);
    }
    keys
}

async fn all_answer(node: &Node, keys: &[Key], expected: u32) {
    for (number, key) in keys.iter().enumerate() {
        assert_eq!((get(key).await, version(key).await), (number as u64, expected));
        assert!(!node.process_info(key.pid()).unwrap().suspended);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_refusal_at_process_5000() {
    let node = Node::new("a");
    let keys = keys(&node, 10_000).await;
    let refused = change(&node, 1, 2, "refuse 5000").await.unwrap_err();
    let UpgradeError::NotConverted { pid, error } = refused else { panic!("{refused}") };
    assert_eq!(pid, keys[5000].pid());
    assert!(matches!(error, ChangeError::Refused { from: 1, to: 2, .. }), "{error:?}");
    all_answer(&node, &keys, 1).await;
    // The way is free again, up and, refused at one, not down.
    change(&node, 1, 2, "").await.unwrap();
    keys[4999].cast(Cast::Add(0));
    let lossy = change(&node, 2, 1, "").await.unwrap_err();
    assert!(
        matches!(&lossy, UpgradeError::NotConverted { pid, error: ChangeError::Lossy { .. } } if *pid == keys[4999].pid()),
        "{lossy}"
    );
    all_answer(&node, &keys, 2).await;
}

#[tokio::test(start_paused = true)]
async fn a_panic_in_code_change() {
    let node = Node::new("a");
    let keys = keys(&node, 50).await;
    let failed = change(&node, 1, 2, "panic 33").await.unwrap_err();
    let UpgradeError::NotConverted { pid, error: ChangeError::Panicked(text) } = failed else {
        panic!("{failed}")
    };
    assert_eq!(pid, keys[33].pid());
    assert!(text.contains("told to panic at 33"), "{text}");
    all_answer(&node, &keys, 1).await;
}

#[tokio::test(start_paused = true)]
async fn a_process_that_never_suspends() {
    let node = Node::new("a");
    let keys = keys(&node, 50).await;
    let (go, wait) = oneshot::channel();
    let blocked = keys[20].send_request(|to| Call::Block(to, wait));
    let failed = change(&node, 1, 2, "").await.unwrap_err();
    assert_eq!(failed, UpgradeError::NotSuspended(keys[20].pid()));
    go.send(()).unwrap();
    assert_eq!(blocked.receive(Duration::from_secs(1)).await, Ok(20));
    // Also the late one: a suspend that came too late suspends nobody for good.
    all_answer(&node, &keys, 1).await;
}

#[tokio::test(start_paused = true)]
async fn a_dry_run_finds_each_that_would_fail_and_disturbs_nobody() {
    let node = Node::new("a");
    let keys = keys(&node, 50).await;
    let versions = versions();
    let (go, wait) = oneshot::channel();
    let blocked = keys[20].send_request(|to| Call::Block(to, wait));
    let check = plan(1, 2, "refuse 7").check(&node, &versions, Direction::Up).await.unwrap();
    assert_eq!(check.modules[0].2, 50);
    assert_eq!(check.busy, [keys[20].pid()]);
    assert_eq!(check.failures.iter().map(|(pid, _)| *pid).collect::<Vec<_>>(), [keys[7].pid()]);
    assert!(check.to_string().ends_with("it would be refused"), "{check}");
    go.send(()).unwrap();
    assert_eq!(blocked.receive(Duration::from_secs(1)).await, Ok(20));
    assert!(plan(1, 2, "").check(&node, &versions, Direction::Up).await.unwrap().is_ok());
    all_answer(&node, &keys, 1).await;
}

/// Conversions that are told to hang do, while this is there. It opens whatever comes: a runtime waits for its threads, also
/// after a failure.
pub struct Gate {
    _turn: MutexGuard<'static, ()>,
}

impl Gate {
    pub fn shut() -> Self {
        let turn = TURN.lock().unwrap_or_else(PoisonError::into_inner);
        HANGS.store(true, Ordering::Relaxed);
        Gate { _turn: turn }
    }
}

impl Drop for Gate {
    fn drop(&mut self) {
        HANGS.store(false, Ordering::Relaxed);
    }
}

/// An upgrade whose conversion of the key with number 3 hangs as long as the gate is shut.
struct Hanging {
    running: Running,
    gate: Gate,
}

impl Hanging {
    /// It hangs when this returns.
    async fn begin(node: &Node, timeout: Duration) -> Self {
        let gate = Gate::shut();
        let plan = plan(1, 2, "hang 3").convert_timeout(timeout);
        let mut running = plan.run(node, &versions(), Direction::Up);
        // Everybody waits by the time that the first is converted.
        while let Some(progress) = running.progress().await {
            if progress.phase == Phase::Converting {
                break;
            }
        }
        Hanging { running, gate }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_conversion_that_hangs() {
    let node = Node::new("a");
    let keys = keys(&node, 50).await;
    let Hanging { running, gate } = Hanging::begin(&node, Duration::from_millis(100)).await;
    assert_eq!(in_time(async { running.await }).await, Err(UpgradeError::ConvertTimeout(keys[3].pid())));
    all_answer(&node, &keys, 1).await;
    // A dry run finds it, and the others that would fail.
    let dry = plan(1, 2, "hang 3").convert_timeout(Duration::from_millis(100));
    let check = in_time(dry.check(&node, &versions(), Direction::Up)).await.unwrap();
    assert_eq!(check.failures, [(keys[3].pid(), ChangeError::TooSlow)]);
    drop(gate);
    change(&node, 1, 2, "").await.unwrap();
    all_answer(&node, &keys, 2).await;
}

async fn kill(node: &Node, key: &Key) {
    let mut ended = Box::pin(key.ended());
    polled_once(&mut ended).await;
    node.exit(key.pid(), ExitReason::Kill);
    assert_eq!(in_time(ended).await, ExitReason::Killed);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn deaths_restarts_and_starts_in_the_middle() {
    let node = Node::new("a");
    let keys = keys(&node, 50).await;
    const NAME: Name<Call, Cast, u64> = Name::new("supervised");
    let child = || One::server((100, 0)).upgradable().name(NAME).start_link();
    let top = Supervisor::tree("top").child(ChildSpec::worker("key", child));
    let top = top.on(&node).start().await.unwrap();
    let crowd =
        DynamicSupervisor::new("crowd", |number: u64| One::server((number, 0)).upgradable().start_link());
    let crowd = crowd.on(&node).start().await.unwrap();
    let supervised = NAME.on(&node).unwrap();

    let Hanging { running, gate } = Hanging::begin(&node, Duration::from_secs(30)).await;
    kill(&node, &keys[10]).await;
    // The supervisor begins to restart its child, and a client has another started: both wait.
    kill(&node, &supervised).await;
    let starting = tokio::spawn({
        let crowd = crowd.clone();
        async move { crowd.start_child(200).await }
    });
    let second = in_time(async { change(&node, 1, 2, "").await }).await;
    assert_eq!(second, Err(UpgradeError::Busy(vec!["key".to_owned()])));
    assert!(!starting.is_finished());
    drop(gate);
    let report = in_time(async { running.await }).await.unwrap();
    assert_eq!(report.modules[0].processes, 49);

    let started = in_time(starting).await.unwrap().unwrap();
    assert_eq!((get(&started).await, version(&started).await), (200, 2));
    // Its answer comes after the restart.
    assert_eq!(in_time(top.count_children()).await.unwrap().active, 1);
    let restarted = NAME.on(&node).unwrap();
    assert_ne!(restarted.pid(), supervised.pid());
    assert_eq!((get(&restarted).await, version(&restarted).await), (100, 2));
    for (number, key) in keys.iter().enumerate().filter(|(number, _)| *number != 10) {
        assert_eq!((get(key).await, version(key).await), (number as u64, 2));
    }
}
