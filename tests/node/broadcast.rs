//! A name on several nodes at once.

use std::time::{Duration, Instant};

use incarnate::node::{Distribution, Replies};
use incarnate::{CallError, ExitReason, Node, NodeId, Timeout};

use crate::basics::{COUNTER, Call, Cast, counter};
use crate::pair::{distribution, until};
use crate::probe::{HANGS, in_time};

/// Nodes that are connected with the first, each with a counter.
struct Nodes {
    nodes: Vec<Node>,
    on: Vec<Distribution>,
}

impl Nodes {
    async fn connected(count: usize) -> Self {
        let mut all = Nodes { nodes: Vec::new(), on: Vec::new() };
        for n in 0..count {
            let node = Node::new(&format!("n{n}"));
            let on = distribution(&node).start().await.unwrap();
            on.expose(COUNTER);
            counter(&node).await;
            if let Some(first) = all.on.first() {
                in_time(on.connect(first.address().unwrap())).await.unwrap();
            }
            all.nodes.push(node);
            all.on.push(on);
        }
        until(|| all.on[0].nodes().len() == count - 1).await;
        all
    }

    fn first(&self) -> &Node {
        &self.nodes[0]
    }

    fn ids(&self) -> Vec<NodeId> {
        self.nodes.iter().map(Node::id).collect()
    }

    async fn count(&self, at: usize) -> i64 {
        COUNTER.on(&self.nodes[at]).unwrap().call(|to| Call::Add(0, to)).await.unwrap()
    }
}

#[tokio::test]
async fn gs_056_abcast() {
    let all = Nodes::connected(3).await;
    let ids = all.ids();
    let dead = all.first().dead_letters();
    // To nodes that there are, to one twice, and to one that there is not.
    let named = [ids[0], ids[1], ids[1], NodeId::of("nowhere")];
    COUNTER.abcast(all.first(), named, || Cast::Add(2));
    COUNTER.abcast(all.first(), ids, || Cast::Add(1));
    for (at, expected) in [3, 3, 1].into_iter().enumerate() {
        in_time(async { while all.count(at).await != expected {} }).await;
    }
    assert_eq!(all.first().dead_letters(), dead);
}

#[tokio::test]
async fn gs_064_multicall_gs_066_all_answer_and_those_without_the_name_are_bad() {
    let all = Nodes::connected(5).await;
    let ask = |timeout| COUNTER.multi_call(all.first(), all.ids(), |to| Call::Add(1, to), timeout);
    let expected = |nodes: &[usize], n| nodes.iter().map(|at| (all.nodes[*at].id(), n)).collect::<Vec<_>>();
    let replies = ask(Timeout::Infinity).await;
    assert_eq!(replies, Replies { replies: expected(&[0, 1, 2, 3, 4], 1), bad: vec![] });
    let late = COUNTER.multi_call(all.first(), all.ids(), Call::Later, HANGS).await;
    assert_eq!(late.replies, expected(&[0, 1, 2, 3, 4], 1));
    COUNTER.on(&all.nodes[3]).unwrap().stop().await.unwrap();
    let replies = ask(Timeout::Infinity).await;
    assert_eq!(replies.replies, expected(&[0, 1, 2, 4], 2));
    assert_eq!(replies.bad, [(all.nodes[3].id(), CallError::NoProc)]);
}

#[tokio::test]
async fn gs_065_multicall_down_one_that_is_not_connected_is_bad_at_once() {
    let all = Nodes::connected(2).await;
    let nowhere = NodeId::of("nowhere");
    let named = [nowhere, all.nodes[1].id()];
    let replies = COUNTER.multi_call(all.first(), named, |to| Call::Add(1, to), HANGS).await;
    assert_eq!(replies.replies, [(all.nodes[1].id(), 1)]);
    assert_eq!(replies.bad, [(nowhere, CallError::NoConnection)]);
}

#[tokio::test]
async fn gs_067_multicall_remote_timeout() {
    let all = Nodes::connected(4).await;
    let (begun, limit) = (Instant::now(), Duration::from_millis(100));
    let replies = COUNTER.multi_call(all.first(), all.ids(), Call::Never, limit).await;
    let took = begun.elapsed();
    // The limit is for all of them together.
    assert!(took >= limit && took < 2 * limit + Duration::from_millis(300), "{took:?}");
    assert!(replies.replies.is_empty());
    assert_eq!(replies.bad.iter().map(|(node, _)| *node).collect::<Vec<_>>(), all.ids());
    assert!(replies.bad.iter().all(|(_, why)| *why == CallError::Timeout), "{replies:?}");
}

#[tokio::test]
async fn gs_068_multicall_remote_mixed_failures() {
    let all = Nodes::connected(5).await;
    let id = |at: usize| all.nodes[at].id();
    let killed = COUNTER.on(&all.nodes[1]).unwrap();
    all.nodes[1].exit(killed.pid(), ExitReason::Kill);
    in_time(killed.ended()).await;
    all.on[2].stop().await;
    until(|| all.on[0].nodes().len() == 3).await;
    let suspended = COUNTER.on(&all.nodes[3]).unwrap();
    incarnate::sys::suspend(&all.nodes[3], &suspended, HANGS).await.unwrap();
    let limit = Duration::from_millis(300);
    let replies = COUNTER.multi_call(all.first(), all.ids(), |to| Call::Add(1, to), limit).await;
    assert_eq!(replies.replies, [(id(0), 1), (id(4), 1)]);
    let bad = [(id(1), CallError::NoProc), (id(2), CallError::NoConnection), (id(3), CallError::Timeout)];
    assert_eq!(replies.bad, bad);
    // Its late answer goes nowhere.
    incarnate::sys::resume(&all.nodes[3], &suspended, HANGS).await.unwrap();
    assert_eq!(all.count(3).await, 1);
    assert_eq!(COUNTER.at(all.first(), id(3)).call(|to| Call::Add(1, to)).await, Ok(2));
}
