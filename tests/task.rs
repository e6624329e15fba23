//! Tasks, as Elixir's `Task` and `Task.Supervisor` promise them. Time is virtual.

#[path = "task/await.rs"]
mod awaiting;
#[path = "task/fate.rs"]
mod fate;
#[path = "task/stream.rs"]
mod stream;
#[path = "task/supervised.rs"]
mod supervised;
#[path = "task/system.rs"]
mod system;

use std::future::{Future, pending};
use std::time::Duration;

use incarnate::process::Timeout;
use incarnate::task::SpawnError;
use incarnate::{ExitReason, Me, Never, Node, Pid, Process, Task, TaskError};

const SECOND: Duration = Duration::from_secs(1);

/// Runs code in a process that does not trap exits, and answers its value or why it ended without one.
async fn run<T: Send + 'static>(
    node: &Node,
    code: impl Future<Output = T> + Send + 'static,
) -> Result<T, ExitReason> {
    match Task::spawn_on(node, code).await_timeout(Timeout::Infinity).await {
        Ok(value) => Ok(value),
        Err(TaskError::Exit(reason)) => Err(reason),
        Err(other) => panic!("{other}"),
    }
}

/// As `run`, in a process that traps exits.
async fn run_trapping<T: Send + 'static>(node: &Node, code: impl Future<Output = T> + Send + 'static) -> T {
    let trapping = async {
        me().trap_exit(true);
        code.await
    };
    run(node, trapping).await.unwrap()
}

fn me() -> Me {
    Me::current().expect("in a process")
}

async fn after(delay: Duration, value: u32) -> u32 {
    tokio::time::sleep(delay).await; // sleep: the time that work takes; virtual
    value
}

/// Work without an end, and a sign when it is dropped.
struct Dropped(tokio::sync::oneshot::Sender<()>);

impl Dropped {
    fn new() -> (Self, tokio::sync::oneshot::Receiver<()>) {
        let (tell, told) = tokio::sync::oneshot::channel();
        (Dropped(tell), told)
    }

    async fn hang(self) {
        pending::<()>().await;
        let _ = self.0.send(());
    }
}

/// Waits until a process has ended, by its monitor; answers the reason.
async fn ended(node: &Node, pid: Pid) -> ExitReason {
    let (tell, told) = tokio::sync::oneshot::channel();
    node.spawn(move |mut process: Process<Never>| async move {
        process.monitor(pid);
        if let incarnate::Info::Down(down) = process.receive().await {
            let _ = tell.send(down.reason);
        }
    });
    told.await.unwrap()
}

fn message(reason: &ExitReason) -> String {
    reason.to_string()
}

#[tokio::test(start_paused = true)]
async fn outside_a_process_a_spawn_says_where_to_go() {
    let refused = Task::spawn(async { 1 }).await.unwrap_err();
    assert_eq!(refused, TaskError::Refused(SpawnError::NoProcess));
    assert!(refused.to_string().contains("Task::spawn_on"));
    assert_eq!(Task::start(async {}), Err(SpawnError::NoProcess));
    assert_eq!(Task::start_link(async {}), Err(SpawnError::NoProcess));
}
