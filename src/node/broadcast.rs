//! A name on several nodes at once.

use std::collections::BTreeSet;
use std::future::poll_fn;
use std::task::{Context, Poll};

use crate::process::{Asked, CallError, Node, ReplyTo, Timeout, Wire, limited};
use crate::term::{Name, NodeId};

/// What came of a [`multi_call`](Name::multi_call).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Replies<R> {
    /// The nodes that have answered, and what, in the order in which they were named.
    pub replies: Vec<(NodeId, R)>,
    /// Those that have not, and why.
    pub bad: Vec<(NodeId, CallError)>,
}

/// One node that is asked.
enum Asking<R> {
    Waits(Asked<R>),
    Answered(Result<R, CallError>),
}

impl<R: Send + 'static> Asking<R> {
    fn is_waiting(&mut self, cx: &mut Context<'_>) -> bool {
        let Asking::Waits(asked) = self else { return false };
        let Poll::Ready(answer) = asked.poll(cx) else { return true };
        *self = Asking::Answered(answer);
        false
    }
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
        let mut asked: Vec<_> = once_each(nodes).map(|node| (node, self.ask(from, node, &request))).collect();
        let answered = poll_fn(|cx| {
            let waiting =
                asked.iter_mut().filter_map(|(_, asked)| asked.is_waiting(cx).then_some(())).count();
            if waiting == 0 { Poll::Ready(()) } else { Poll::Pending }
        });
        match timeout.into() {
            Timeout::After(after) => _ = limited(after, answered).await,
            Timeout::Infinity => answered.await,
        }
        let mut replies = Replies { replies: Vec::new(), bad: Vec::new() };
        for (node, asked) in asked {
            match asked {
                Asking::Answered(Ok(reply)) => replies.replies.push((node, reply)),
                Asking::Answered(Err(why)) => replies.bad.push((node, why)),
                Asking::Waits(_) => replies.bad.push((node, CallError::Timeout)),
            }
        }
        replies
    }

    fn ask<R, F>(&self, from: &Node, node: NodeId, request: &F) -> Asking<R>
    where
        R: Send + 'static,
        F: Fn(ReplyTo<R>) -> Call,
    {
        match self.at(from, node).server().and_then(|server| server.ask_in_turn(request)) {
            Ok(asked) => Asking::Waits(asked),
            Err(why) => Asking::Answered(Err(why)),
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
            let _passed_over = self.at(from, node).try_cast(message());
        }
    }
}

/// Each node once, at its first place.
fn once_each<N: Into<NodeId>>(nodes: impl IntoIterator<Item = N>) -> impl Iterator<Item = NodeId> {
    let mut seen = BTreeSet::new();
    nodes.into_iter().map(Into::into).filter(move |node| seen.insert(*node))
}
