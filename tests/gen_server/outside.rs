//! Work that would hold the thread: done elsewhere, or reported.

use std::time::{Duration, Instant};

use incarnate::{CallReply, Context, ExitReason, GenServer, Init, Never, Node, ReplyTo, Result};

use crate::lab::{ms, pause, until};

/// Runs what it is given on a thread of its own, or on the one that serves it.
struct Worker;

enum Call {
    Blocking(ReplyTo<Option<u32>>, Box<dyn FnOnce() -> u32 + Send>),
    Here(ReplyTo<u32>, Box<dyn FnOnce() -> u32 + Send>),
}

impl GenServer for Worker {
    type Args = ();
    type Call = Call;
    type Cast = Never;
    type Info = Never;
    type Continue = Never;

    async fn init((): (), _: &mut Context<Self>) -> Result<Init<Self>> {
        Ok(Init::Ready(Worker))
    }

    async fn handle_call(&mut self, call: Call, cx: &mut Context<Self>) -> Result<CallReply> {
        match call {
            Call::Blocking(to, work) => to.reply(cx.blocking(work).await.ok()),
            Call::Here(to, work) => to.reply(work()),
        }
    }
}

#[tokio::test]
async fn blocking_work_runs_elsewhere_while_others_run_here() {
    let node = Node::new("a");
    let worker = Worker::server(()).on(&node).start().await.unwrap();
    let other = Worker::server(()).on(&node).start().await.unwrap();
    let here = std::thread::current().id();
    let (go, wait) = std::sync::mpsc::channel();
    let work = move || {
        assert_ne!(std::thread::current().id(), here);
        wait.recv().unwrap()
    };
    let blocked = worker.send_request(|to| Call::Blocking(to, Box::new(work)));
    // The only thread of this runtime is free.
    assert_eq!(other.call(|to| Call::Here(to, Box::new(|| 1))).await, Ok(1));
    go.send(7).unwrap();
    assert_eq!(blocked.receive(Duration::from_secs(60)).await, Ok(Some(7)));
    assert_eq!(node.stalled_callbacks(), 0);
}

#[tokio::test]
async fn a_panic_in_blocking_work_is_an_error() {
    let worker = Worker::server(()).on(&Node::new("a")).start().await.unwrap();
    let answer = worker.call(|to| Call::Blocking(to, Box::new(|| panic!("elsewhere")))).await;
    assert_eq!(answer, Ok(None));
    assert!(worker.is_alive());
}

#[tokio::test]
async fn a_server_that_waits_for_blocking_work_can_be_killed() {
    let node = Node::new("a");
    let worker = Worker::server(()).on(&node).start().await.unwrap();
    let (go, wait) = std::sync::mpsc::channel::<u32>();
    let (begun, begins) = tokio::sync::oneshot::channel();
    let work = move || {
        let _ = begun.send(());
        wait.recv().unwrap_or(0)
    };
    let blocked = worker.send_request(|to| Call::Blocking(to, Box::new(work)));
    begins.await.unwrap();
    node.exit(worker.pid(), ExitReason::Kill);
    let answer = blocked.receive(Duration::from_secs(60)).await;
    assert_eq!(answer, Err(incarnate::CallError::Exit(ExitReason::Killed)));
    drop(go);
}

#[tokio::test]
async fn a_callback_that_holds_its_thread_is_reported_once() {
    let node = Node::new("a");
    let worker = Worker::server(()).on(&node).start().await.unwrap();
    let watched = node.clone();
    let held = worker.call_timeout(
        |to| {
            let hold = move || {
                // Real time: what is watched for is a thread. Ends as soon as it is seen.
                let begin = Instant::now();
                while watched.stalled_callbacks() == 0 && begin.elapsed() < Duration::from_secs(60) {
                    std::hint::spin_loop();
                }
                1
            };
            Call::Here(to, Box::new(hold))
        },
        incarnate::Timeout::Infinity,
    );
    assert_eq!(held.await, Ok(1));
    assert_eq!(node.stalled_callbacks(), 1);
    assert_eq!(worker.call(|to| Call::Here(to, Box::new(|| 2))).await, Ok(2));
    assert_eq!(node.stalled_callbacks(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_callback_that_awaits_for_long_is_no_stall() {
    let node = Node::new("a");
    let (lab, seen) = crate::lab::lab(&node).await;
    lab.cast(crate::lab::Cast::Slow(ms(60_000)));
    until("work", || seen.len() == 1).await;
    pause(ms(120_000)).await;
    assert_eq!(node.stalled_callbacks(), 0);
}
