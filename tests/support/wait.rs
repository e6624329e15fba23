//! Waiting for what must happen.

#![allow(dead_code)]

use std::future::{Future, poll_fn};
use std::pin::pin;
use std::task::Poll;
use std::time::Duration;

/// What waits longer than this hangs. Never waited for by a test that passes.
pub const HANGS: Duration = Duration::from_secs(30);

/// Fails a test that hangs.
pub async fn in_time<T>(what: impl Future<Output = T>) -> T {
    tokio::time::timeout(HANGS, what).await.expect("it hangs")
}

/// Polls a future once, so that what it registers when it is first polled is in force from now on.
pub async fn polled_once<F: Future + Unpin>(future: &mut F) {
    poll_fn(|cx| {
        assert!(pin!(&mut *future).poll(cx).is_pending(), "it was expected to wait");
        Poll::Ready(())
    })
    .await;
}
