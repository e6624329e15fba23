//! Processes that a test drives from outside, and code that a test runs inside one.

#![allow(dead_code, reason = "each suite uses a part of it")]

use std::future::{Future, poll_fn};
use std::pin::pin;
use std::task::Poll;
use std::time::Duration;

use incarnate::process::SendError;
use incarnate::{Down, ExitReason, Info, Node, Pid, Process, ProcessRef};
use tokio::sync::{mpsc, oneshot};

/// What waits longer than this hangs. Never waited for by a test that passes.
pub const HANGS: Duration = Duration::from_secs(30);

type Act<M> = Box<dyn FnOnce(&mut Process<Probed<M>>) + Send>;

/// What a probe takes: something to do as itself, or a message to be heard by the test.
pub enum Probed<M: Send + 'static> {
    Do(Act<M>),
    Message(M),
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

/// Fails a test that hangs.
pub async fn in_time<T>(what: impl Future<Output = T>) -> T {
    tokio::time::timeout(HANGS, what).await.expect("it hangs")
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

/// Polls a future once, so that what it registers when it is first polled is in force from now on.
pub async fn polled_once<F: Future + Unpin>(future: &mut F) {
    poll_fn(|cx| {
        assert!(pin!(&mut *future).poll(cx).is_pending(), "it was expected to wait");
        Poll::Ready(())
    })
    .await;
}

/// A small generator of numbers, so that a failing round can be had again from its seed (xorshift64*).
pub struct Random(u64);

impl Random {
    pub fn new(seed: u64) -> Self {
        Random(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
    }

    pub fn next(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d)
    }

    pub fn below(&mut self, end: usize) -> usize {
        (self.next() >> 33) as usize % end
    }
}

/// The seed of a randomised test: `SEED` of the environment, or one of the clock; printed, to be seen on failure.
pub fn seed() -> u64 {
    let given = std::env::var("SEED").ok().and_then(|text| text.parse().ok());
    let clock = || std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    let seed = given.unwrap_or_else(|| clock().map_or(1, |since| since.as_nanos() as u64));
    println!("SEED={seed}");
    seed
}

/// A node of its own for each test.
pub fn node() -> Node {
    Node::new("test@localhost")
}
