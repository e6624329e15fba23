//! The tree of supervisors that run, asked for from outside.

use super::LiveTree;
use super::child::BoxFuture;
use super::kind::{Kind, Static};
use super::order::{Ask, Branch, Note, Order};
use crate::process::{CallError, Node, ServerRef, Timeout};
use crate::term::{Never, Pid};

pub(super) type Supervising<K> = ServerRef<Order<K>, Never, Note>;

/// Asks a supervisor, without limit, as all requests of OTP's module `supervisor` do.
pub(super) async fn ask<K: Kind, R: Send + 'static>(
    server: &Supervising<K>,
    request: impl FnOnce(crate::process::ReplyTo<R>) -> Ask<K>,
) -> Result<R, CallError> {
    server.call_timeout(|to| Order(request(to)), Timeout::Infinity).await
}

/// The tree of a supervisor, and of those below it. One that ends meanwhile is a leaf.
pub(super) async fn live<K: Kind>(server: &Supervising<K>) -> Result<LiveTree, CallError> {
    let Branch { mut tree, below } = ask(server, Ask::Tree).await?;
    for (pid, subtree) in below {
        if let Some(asking) = subtree(server.node(), pid)
            && let Some(subtree) = asking.await
        {
            tree.graft_at(&pid, subtree);
        }
    }
    Ok(tree)
}

/// As [`live`], of a process that may be a supervisor of this kind.
pub(super) fn live_at<K: Kind>(node: &Node, pid: Pid) -> Option<BoxFuture<Option<LiveTree>>> {
    let server = Supervising::<K>::find(node, pid)?;
    Some(Box::pin(async move { live(&server).await.ok() }))
}

/// Of a supervisor with children of its own specifications.
pub(super) fn live_static(node: &Node, pid: Pid) -> Option<BoxFuture<Option<LiveTree>>> {
    live_at::<Static>(node, pid)
}
