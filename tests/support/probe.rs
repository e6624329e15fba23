//! Processes that a test drives from outside, and code that a test runs inside one.

#![allow(dead_code, unused_imports)]

use std::future::Future;

use incarnate::process::{SendError, Wire};
use incarnate::{Down, ExitReason, Info, Node, Pid, Process, ProcessRef};
use serde::{Deserialize, Deserializer, Serialize, Serializer, ser};
use tokio::sync::{mpsc, oneshot};

pub use crate::random::{Random, seed};
pub use crate::wait::{HANGS, in_time, polled_once};

type Act<M> = Box<dyn FnOnce(&mut Process<Probed<M>>) + Send>;

/// What a probe takes: something to do as itself, or a message to be heard by the test.
pub enum Probed<M: Send + 'static> {
    Do(Act<M>),
    Message(M),
}

impl<M: Wire> Serialize for Probed<M> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Probed::Do(_) => Err(ser::Error::custom("what a probe is to do stays on its node")),
            Probed::Message(message) => message.serialize(serializer),
        }
    }
}

impl<'de, M: Wire> Deserialize<'de> for Probed<M> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        M::deserialize(deserializer).map(Probed::Message)
    }
}

/// A plain process that does what the test says, and forwards everything else that it receives, in order.
pub struct Probe<M: Send + 'static = u32> {
    pub process: ProcessRef<Probed<M>>,
    heard: mpsc::UnboundedReceiver<Info<M>>,
}

impl<M: Send + 'static> Probe<M> {
    /// A probe that does not trap exits.
    pub fn new(node: &Node) -> Self {
        let (hear, heard) = mpsc::unbounded_channel();
        let process = node.spawn(move |mut me: Process<Probed<M>>| async move {
            loop {
                let info = match me.receive().await {
                    Info::User(Probed::Do(act)) => {
                        act(&mut me);
                        continue;
                    }
                    Info::User(Probed::Message(message)) => Info::User(message),
                    Info::Timer(timer, Probed::Message(message)) => Info::Timer(timer, message),
                    Info::Exit(exit) => Info::Exit(exit),
                    Info::Down(down) => Info::Down(down),
                    Info::NodeUp(node) => Info::NodeUp(node),
                    Info::NodeDown(node) => Info::NodeDown(node),
                    other => panic!("a probe takes no {}", other.kind()),
                };
                // The test may be over.
                let _ = hear.send(info);
            }
        });
        Probe { process, heard }
    }

    /// A probe that traps exits.
    pub async fn trapping(node: &Node) -> Self {
        let probe = Self::new(node);
        probe.run(|me| me.trap_exit(true)).await;
        probe
    }

    pub fn pid(&self) -> Pid {
        self.process.pid()
    }

    pub fn send(&self, message: M) {
        self.process.send(Probed::Message(message));
    }

    /// Does something as the probe and answers what came of it.
    pub async fn run<R: Send + 'static>(
        &self,
        act: impl FnOnce(&mut Process<Probed<M>>) -> R + Send + 'static,
    ) -> R {
        let (tell, told) = oneshot::channel();
        let order = Probed::Do(Box::new(move |me: &mut Process<Probed<M>>| {
            let _ = tell.send(act(me));
        }));
        assert_eq!(self.process.try_send(order), Ok::<(), SendError>(()), "the probe has ended");
        in_time(told).await.expect("the probe ended before it was done")
    }

    /// The next thing that it received.
    pub async fn next(&mut self) -> Info<M> {
        in_time(self.heard.recv()).await.expect("the probe ended and received nothing more")
    }

    pub async fn next_exit(&mut self) -> (Pid, ExitReason) {
        match self.next().await {
            Info::Exit(exit) => (exit.from, exit.reason),
            other => panic!("wanted an exit, got {}", other.kind()),
        }
    }

    pub async fn next_down(&mut self) -> Down {
        match self.next().await {
            Info::Down(down) => down,
            other => panic!("wanted a DOWN, got {}", other.kind()),
        }
    }

    pub async fn next_message(&mut self) -> M {
        match self.next().await {
            Info::User(message) => message,
            other => panic!("wanted a message, got {}", other.kind()),
        }
    }

    /// Nothing that was sent until now is left unheard.
    pub async fn is_quiet(&mut self) {
        self.run(|_| ()).await;
        if let Ok(info) = self.heard.try_recv() {
            panic!("wanted nothing, got {}", info.kind());
        }
    }
}

/// Runs code as a process and answers what it returns.
pub async fn inside<M, T, F, Fut>(node: &Node, code: F) -> T
where
    M: Send + 'static,
    T: Send + 'static,
    F: FnOnce(Process<M>) -> Fut + Send + 'static,
    Fut: Future<Output = T> + Send + 'static,
{
    let (tell, told) = oneshot::channel();
    node.spawn(move |me: Process<M>| async move {
        let _ = tell.send(code(me).await);
    });
    in_time(told).await.expect("the process ended before it was done")
}

/// A process that does nothing until it is ended.
pub fn idle(node: &Node) -> ProcessRef<()> {
    node.spawn(|_: Process<()>| std::future::pending::<()>())
}

/// A process that ends with the reason that it is sent.
pub fn ends_as_told(node: &Node) -> ProcessRef<ExitReason> {
    node.spawn(wait_for_reason)
}

/// Waits for a reason and ends with it; everything else is dropped.
pub async fn wait_for_reason(mut me: Process<ExitReason>) -> ExitReason {
    loop {
        if let Info::User(reason) = me.receive().await {
            return reason;
        }
    }
}

/// The pid of a process that has ended.
pub async fn dead(node: &Node) -> Pid {
    let process = node.spawn(|_: Process<()>| async {});
    in_time(process.ended()).await;
    assert!(!node.is_alive(process.pid()));
    process.pid()
}

/// A node of its own for each test.
pub fn node() -> Node {
    Node::new("test@localhost")
}
