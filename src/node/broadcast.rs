//! A name on several nodes at once.

use std::collections::BTreeSet;

use tokio::time::Instant;

use crate::process::{CallError, Node, ReplyTo, Request, Timeout, Wire};
use crate::term::{Name, NodeId};

/// What came of a [`multi_call`](Name::multi_call).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Replies<R> {
    /// The nodes that have answered, and what, in the order in which they were named.
    pub replies: Vec<(NodeId, R)>,
    /// Those that have not, and why.
    pub bad: Vec<(NodeId, CallError)>,
}

impl<Call: Wire, Cast: Wire, Info: Wire> Name<Call, Cast, Info> {
    /// Asks whoever has the name on each of these nodes, all at once, and waits for all answers together, at most as long as
    /// `timeout` says (`gen_server:multi_call/4`). The node that asks may be among them. A late answer vanishes.
    ///
    /// # Cancel safety
    /// Dropping the future gives up: the requests may still be carried out.
    pub async fn multi_call<R, F, N>(
        &self,
        from: &Node,
        nodes: impl IntoIterator<Item = N>,
        request: F,
        timeout: impl Into<Timeout>,
    ) -> Replies<R>
    where
        R: Send + 'static,
        F: Fn(ReplyTo<R>) -> Call,
        N: Into<NodeId>,
    {
        let (begun, timeout) = (Instant::now(), timeout.into());
        let ask = |node| (node, self.request(from, node, &request));
        let requests: Vec<_> = once_each(nodes).map(ask).collect();
        let mut replies = Replies { replies: Vec::new(), bad: Vec::new() };
        for (node, request) in requests {
            let left = match timeout {
                Timeout::After(after) => Timeout::After(after.saturating_sub(begun.elapsed())),
                Timeout::Infinity => Timeout::Infinity,
            };
            match request.receive(left).await {
                Ok(reply) => replies.replies.push((node, reply)),
                Err(why) => replies.bad.push((node, why)),
            }
        }
        replies
    }

    fn request<R, F>(&self, from: &Node, node: NodeId, request: &F) -> Request<R>
    where
        R: Send + 'static,
        F: Fn(ReplyTo<R>) -> Call,
    {
        if node != from.id() {
            return self.at(from, node).send_request(request);
        }
        match self.on(from) {
            Ok(server) => server.send_request(request),
            Err(error) => Request::failed(error),
        }
    }

    /// Casts what `message` makes to whoever has the name on each of these nodes (`gen_server:abcast/3`). The node that casts may be among them.
    /// Never waits, never fails: a node that is not connected, or where nobody has the name, is passed over.
    pub fn abcast<N: Into<NodeId>>(
        &self,
        from: &Node,
        nodes: impl IntoIterator<Item = N>,
        message: impl Fn() -> Cast,
    ) {
        for node in once_each(nodes) {
            let _passed_over = if node == from.id() {
                self.on(from).map_or(Ok(()), |server| server.try_cast(message()))
            } else {
                self.at(from, node).try_cast(message())
            };
        }
    }
}

/// Each node once, at its first place.
fn once_each<N: Into<NodeId>>(nodes: impl IntoIterator<Item = N>) -> impl Iterator<Item = NodeId> {
    let mut seen = BTreeSet::new();
    nodes.into_iter().map(Into::into).filter(move |node| seen.insert(*node))
}
