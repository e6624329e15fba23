//! The tree of supervisors that run, asked for from outside.

use super::LiveTree;
use super::child::BoxFuture;
use super::order::{Ask, Branch, Note, Order};
use crate::process::{CallError, Node, Pass, ReplyTo, ServerRef, Timeout};
use crate::term::{Never, Pid};

/// A reference to a supervisor whose start_child brings a `C` and answers a `V`.
pub(super) type Supervising<C, V, S> = ServerRef<Order<C, V, S>, Never, Note>;

/// Asks a supervisor, without limit, as all requests of OTP's module `supervisor` do.
pub(super) async fn ask<C, V, S, R>(
    server: &Supervising<C, V, S>,
    request: impl FnOnce(ReplyTo<R>) -> Ask<C, V, S>,
) -> Result<R, CallError>
where
    C: Send + 'static,
    V: Send + 'static,
    S: Send + 'static,
    R: Send + 'static,
{
    ask_with(server, None, request).await
}

/// As [`ask`]; the supervisor does it with this pass.
pub(super) async fn ask_with<C, V, S, R>(
    server: &Supervising<C, V, S>,
    pass: Option<Pass>,
    request: impl FnOnce(ReplyTo<R>) -> Ask<C, V, S>,
) -> Result<R, CallError>
where
    C: Send + 'static,
    V: Send + 'static,
    S: Send + 'static,
    R: Send + 'static,
{
    server.call_timeout(|to| Order(request(to), pass), Timeout::Infinity).await
}

/// The tree of a supervisor, and of those below it. One that ends meanwhile is a leaf.
pub(super) async fn live<C, V, S>(server: &Supervising<C, V, S>) -> Result<LiveTree, CallError>
where
    C: Send + 'static,
    V: Send + 'static,
    S: Send + 'static,
{
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
pub(super) fn live_at<C, V, S>(node: &Node, pid: Pid) -> Option<BoxFuture<Option<LiveTree>>>
where
    C: Send + 'static,
    V: Send + 'static,
    S: Send + 'static,
{
    let server = Supervising::<C, V, S>::find(node, pid)?;
    Some(Box::pin(async move { live(&server).await.ok() }))
}
