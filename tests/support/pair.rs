//! Two nodes in one program that are connected, over TCP unless a test says otherwise.

#![allow(dead_code)]

use incarnate::node::{Cookie, Distribution, Start, Tcp, Transport};
use incarnate::process::Wire;
use incarnate::{ExitReason, Info, Name, Never, Node, Process, ProcessRef};
use tokio::sync::mpsc;

use crate::wait::{HANGS, in_time};

pub const COOKIE: &str = "a cookie for tests";

pub struct Pair {
    pub a: Node,
    pub b: Node,
    pub on_a: Distribution,
    pub on_b: Distribution,
}

/// The start of a node's distribution, as tests want it: nodes of a machine that has much else to do lose each other only when
/// a test says so.
pub fn distribution(node: &Node) -> Start {
    Distribution::of(node, Cookie::new(COOKIE)).listen("127.0.0.1:0").heartbeat_deadline(HANGS)
}

impl Pair {
    pub async fn connected() -> Self {
        Self::connected_by(Tcp, Tcp).await
    }

    pub async fn connected_by(a: impl Transport, b: impl Transport) -> Self {
        let pair = Self::started(a, b).await;
        pair.connect().await;
        pair
    }

    /// Not connected yet.
    pub async fn started(by_a: impl Transport, by_b: impl Transport) -> Self {
        let (a, b) = (Node::new("a"), Node::new("b"));
        let on_a = distribution(&a).transport(by_a).start().await.unwrap();
        let on_b = distribution(&b).transport(by_b).start().await.unwrap();
        Pair { a, b, on_a, on_b }
    }

    pub async fn connect(&self) {
        let there = in_time(self.on_b.connect(self.on_a.address().unwrap())).await.unwrap();
        assert_eq!(there, self.a.id());
        while self.on_a.nodes().is_empty() {
            tokio::task::yield_now().await;
        }
    }

    /// A process of node a, as it is seen from node b.
    pub async fn over<M: Wire>(&self, process: &ProcessRef<M>) -> ProcessRef<M> {
        over(&self.a, &self.b, &self.on_b, process).await
    }

    /// The two lose each other.
    pub async fn cut(&self) {
        self.on_a.disconnect(self.b.id()).await;
        while !self.on_a.nodes().is_empty() || !self.on_b.nodes().is_empty() {
            tokio::task::yield_now().await;
        }
    }
}

/// A process of one node, as it is seen from the other.
pub async fn over<M: Wire>(
    from: &Node,
    to: &Node,
    on_to: &Distribution,
    process: &ProcessRef<M>,
) -> ProcessRef<M> {
    let courier: Name<Never, Never, ProcessRef<M>> = Name::new("courier");
    let (tell, mut told) = mpsc::unbounded_channel();
    let receiver = to.spawn(move |mut me: Process<ProcessRef<M>>| async move {
        if let Info::User(reference) = me.receive().await {
            let _ = tell.send(reference);
        }
        std::future::pending::<()>().await
    });
    let registered = receiver.clone();
    crate::probe::inside(to, move |me: Process<()>| async move {
        me.register(courier, &registered).unwrap();
    })
    .await;
    on_to.expose(courier);
    courier.at(from, to.id()).send(process.clone());
    let reference = in_time(told.recv()).await.unwrap();
    to.exit(receiver.pid(), ExitReason::Kill);
    in_time(receiver.ended()).await;
    reference
}

/// Waits until it is so.
pub async fn until(mut is_so: impl FnMut() -> bool) {
    in_time(async {
        while !is_so() {
            tokio::task::yield_now().await;
        }
    })
    .await;
}
