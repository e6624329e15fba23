//! What tests of behaviours have in common: what was seen, time that passes, a process to be.

use std::future::Future;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use incarnate::{ExitReason, Info, Node, Pid, Process};

/// What the callbacks have seen, in order.
#[derive(Clone, Default)]
pub struct Seen(Arc<Mutex<Vec<String>>>);

impl Seen {
    pub fn note(&self, what: impl Into<String>) {
        self.0.lock().unwrap().push(what.into());
    }

    /// What was seen since this was asked last.
    pub fn take(&self) -> Vec<String> {
        std::mem::take(&mut *self.0.lock().unwrap())
    }

    pub fn len(&self) -> usize {
        self.0.lock().unwrap().len()
    }
}

/// A thing that only one can hold at a time.
pub struct Holder(Arc<Mutex<bool>>);

impl Holder {
    pub fn take(thing: &Arc<Mutex<bool>>) -> Option<Self> {
        let taken = std::mem::replace(&mut *thing.lock().unwrap(), true);
        (!taken).then(|| Holder(thing.clone()))
    }
}

impl Drop for Holder {
    fn drop(&mut self) {
        *self.0.lock().unwrap() = false;
    }
}

/// Virtual time passes here: work that takes so long.
pub async fn pause(time: Duration) {
    if !time.is_zero() {
        let _ = tokio::time::timeout(time, std::future::pending::<()>()).await;
    }
}

pub const fn ms(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

/// Runs a part of a test as a process, which does not trap exits.
pub async fn inside<R, F, Fut>(node: &Node, code: F) -> R
where
    R: Send + 'static,
    F: FnOnce(Process<u32>) -> Fut + Send + 'static,
    Fut: Future<Output = R> + Send + 'static,
{
    let (tell, told) = tokio::sync::oneshot::channel();
    node.spawn(move |me: Process<u32>| async move {
        let _ = tell.send(code(me).await);
    });
    let told = tokio::time::timeout(Duration::from_secs(3600), told).await.expect("the process hangs");
    told.expect("the process ended before it was done")
}

/// As [`inside`], as a process that traps exits.
pub async fn trapping<R, F, Fut>(node: &Node, code: F) -> R
where
    R: Send + 'static,
    F: FnOnce(Process<u32>) -> Fut + Send + 'static,
    Fut: Future<Output = R> + Send + 'static,
{
    inside(node, |me| {
        me.trap_exit(true);
        code(me)
    })
    .await
}

/// The next message of a test's process, which must be a trapped exit.
pub async fn exit_of(me: &mut Process<u32>) -> (Pid, ExitReason) {
    match me.receive_after(ms(1000)).await {
        Some(Info::Exit(exit)) => (exit.from, exit.reason),
        other => panic!("no exit but {other:?}"),
    }
}

/// Nothing has come and nothing comes.
pub async fn quiet(me: &mut Process<u32>) {
    let stray = me.receive_after(ms(1000)).await;
    assert!(stray.is_none(), "a stray {stray:?}");
}

/// Lets everything that is ready run, until `done`: no time passes.
pub async fn until(what: &str, mut done: impl FnMut() -> bool) {
    for _ in 0..100_000 {
        if done() {
            return;
        }
        tokio::task::yield_now().await;
    }
    panic!("it did not come to {what}");
}

pub fn boom() -> ExitReason {
    ExitReason::term("boom")
}
