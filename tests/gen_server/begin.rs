//! Where `init` runs: in the task of a starter that is a process, as far as it awaits nothing, and nobody can tell.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use incarnate::{
    CallReply, Context, ExitReason, GenServer, Info, Init, Never, Node, Pid, Process, Result, StartError,
};
use tokio::sync::{mpsc, oneshot};

/// What the `init` of a server does.
enum Begin {
    /// Says who it is, then waits to be let go on.
    Wait(mpsc::UnboundedSender<Pid>, oneshot::Receiver<()>),
    Stop,
    /// Starts another one, so many times.
    Chain(u32),
}

struct Server;

impl GenServer for Server {
    type Args = Begin;
    type Call = Never;
    type Cast = Never;
    type Info = Never;
    type Continue = Never;

    async fn init(begin: Begin, cx: &mut Context<Self>) -> Result<Init<Self>> {
        match begin {
            Begin::Wait(who, go_on) => {
                who.send(cx.pid())?;
                go_on.await?;
            }
            Begin::Stop => return Ok(Init::Stop(ExitReason::term("stop"))),
            Begin::Chain(0) => {}
            Begin::Chain(more) => drop(Box::pin(Server::start_link(Begin::Chain(more - 1))).await?),
        }
        Ok(Init::Ready(Server))
    }

    async fn handle_call(&mut self, call: Never, _: &mut Context<Self>) -> Result<CallReply> {
        match call {}
    }
}

/// Starts a server that waits in `init`; what the starter was told, after `meanwhile` was done.
async fn started(meanwhile: impl FnOnce(&Node, Pid, oneshot::Sender<()>)) -> Result<Pid, StartError> {
    let node = Node::new("a");
    let (who, mut said) = mpsc::unbounded_channel();
    let (go_on, wait) = oneshot::channel();
    let (told, tells) = oneshot::channel();
    let starter = node.spawn(|me: Process<()>| async move {
        me.trap_exit(true);
        let server = Server::start_link(Begin::Wait(who, wait)).await;
        let alive = server.map(|server| {
            assert!(server.is_alive());
            server.pid()
        });
        told.send(alive).unwrap();
    });
    let server = said.recv().await.unwrap();
    assert!(starter.is_alive());
    meanwhile(&node, server, go_on);
    let answer = tells.await.unwrap();
    assert!(answer.as_ref().is_ok_and(|pid| *pid == server) || !node.is_alive(server));
    answer
}

#[tokio::test(start_paused = true)]
async fn an_init_that_waits_goes_on_in_a_task_of_its_own() {
    started(|_, _, go_on| go_on.send(()).unwrap()).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn an_init_that_waits_can_be_killed() {
    let error = started(|node, server, _go_on| node.exit(server, ExitReason::Kill)).await.unwrap_err();
    assert_eq!(error, StartError::Failed(ExitReason::Killed));
}

#[tokio::test(start_paused = true)]
async fn a_starter_that_its_link_ends_goes_no_further() {
    let node = Node::new("a");
    let further = Arc::new(AtomicBool::new(false));
    let reached = further.clone();
    let starter = node.spawn(|_: Process<()>| async move {
        let _failed = Server::start_link(Begin::Stop).await;
        reached.store(true, Ordering::Relaxed);
    });
    assert_eq!(starter.ended().await, ExitReason::term("stop"));
    assert!(!further.load(Ordering::Relaxed));
}

#[tokio::test(start_paused = true)]
async fn a_starter_that_traps_exits_gets_the_error_alone() {
    let node = Node::new("a");
    let starter = node.spawn(|mut me: Process<()>| async move {
        me.trap_exit(true);
        let error = Server::start_link(Begin::Stop).await.unwrap_err();
        assert_eq!(error, StartError::Failed(ExitReason::term("stop")));
        let came: Option<Info<()>> = me.receive_after(std::time::Duration::ZERO).await;
        assert!(came.is_none(), "{came:?}");
    });
    assert_eq!(starter.ended().await, ExitReason::Normal);
}

#[tokio::test(start_paused = true)]
async fn a_chain_of_starts_does_not_pile_up_on_one_stack() {
    const LONG: u32 = 5000;
    let node = Node::new("a");
    let starter = node.spawn(|mut me: Process<()>| async move {
        let last = Server::start_link(Begin::Chain(LONG)).await.unwrap();
        assert_eq!(me.node().process_count(), LONG as usize + 2);
        drop(last);
        me.receive_after(std::time::Duration::ZERO).await;
    });
    assert_eq!(starter.ended().await, ExitReason::Normal);
    node.halt();
}
