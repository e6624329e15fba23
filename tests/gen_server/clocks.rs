//! Whose clock a wait goes by: the waiter's own, whatever becomes of the server's runtime.

use std::pin::pin;
use std::sync::{Arc, mpsc};
use std::task::Poll;
use std::thread;

use incarnate::process::Requests;
use incarnate::{CallError, GenServer, Node, Process};

use crate::lab::*;

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap()
}

/// A lab on a runtime of its own thread, which ends when the sender is dropped.
fn elsewhere() -> (LabRef, tokio::sync::oneshot::Sender<()>) {
    let (tell, told) = mpsc::channel();
    let (end, ends) = tokio::sync::oneshot::channel();
    thread::spawn(move || {
        runtime().block_on(async move {
            let lab =
                Lab::server(Plan::ready(&Seen::default())).on(&Node::new("there")).start().await.unwrap();
            tell.send(lab).unwrap();
            let _ = ends.await;
        });
    });
    (told.recv().unwrap(), end)
}

/// What a call gives up by is the caller's: a runtime that is stuck does not keep it.
#[test]
fn a_caller_gives_up_in_time_though_the_runtime_of_the_server_is_stuck() {
    for in_process in [false, true] {
        let (lab, _end) = elsewhere();
        let (go, wait) = mpsc::channel::<()>();
        let answer = runtime().block_on(async move {
            let stuck = lab.send_request(|to| {
                Call::Do(to, Box::new(move |to, _, _| to.reply(u32::from(wait.recv().is_err()))))
            });
            let call = async move {
                let _stuck = stuck;
                lab.call_timeout(|to| Call::Do(to, Box::new(|to, _, _| to.reply(1))), ms(300)).await
            };
            let call = if in_process {
                let (tell, told) = tokio::sync::oneshot::channel();
                Node::new("here").spawn(move |_: Process<()>| async move {
                    let _ = tell.send(call.await);
                });
                tokio::spawn(async { told.await.unwrap() })
            } else {
                tokio::spawn(call)
            };
            tokio::time::timeout(ms(10_000), call).await.expect("the call hangs").unwrap()
        });
        assert_eq!(answer, Err(CallError::Timeout), "in a process: {in_process}");
        drop(go);
    }
}

/// A thread may go from one runtime to another: what is true of the first is not of the second.
#[test]
fn a_caller_gives_up_in_time_in_its_second_runtime_though_the_first_stands_still() {
    for in_task in [false, true] {
        let call = |lab: LabRef| async move {
            let call = async move {
                lab.call_timeout(|to| Call::Do(to, Box::new(|to, _, _| to.reply(1))), ms(300)).await
            };
            let call = async { if in_task { tokio::spawn(call).await.unwrap() } else { call.await } };
            tokio::time::timeout(ms(10_000), call).await.expect("the call hangs")
        };
        let first = runtime();
        let lab = first.block_on(async {
            let lab =
                Lab::server(Plan::ready(&Seen::default())).on(&Node::new("there")).start().await.unwrap();
            assert_eq!(call(lab.clone()).await, Ok(1));
            lab
        });
        // Nobody drives the first runtime any more.
        assert_eq!(runtime().block_on(call(lab)), Err(CallError::Timeout), "in a task: {in_task}");
    }
}

/// A thread of one runtime may wait in another, at more than one place: the first cannot be relied on there.
#[test]
fn a_caller_gives_up_in_time_in_a_runtime_within_a_runtime_that_stands_still() {
    for in_place in [false, true] {
        let outer =
            tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        let lab = outer.block_on(async {
            Lab::server(Plan::ready(&Seen::default())).on(&Node::new("there")).start().await.unwrap()
        });
        let (done, within) = mpsc::channel();
        let nested = move || {
            let quick = |to| Call::Do(to, Box::new(|to, _, _| to.reply(1)));
            let here = tokio::runtime::Handle::current();
            assert_eq!(here.block_on(lab.call_timeout(quick, ms(5000))), Ok(1));
            let (go, wait) = mpsc::channel::<()>();
            let stuck = lab.send_request(|to| {
                Call::Do(to, Box::new(move |to, _, _| to.reply(u32::from(wait.recv().is_err()))))
            });
            let late = runtime().block_on(async {
                tokio::time::timeout(ms(10_000), lab.call_timeout(quick, ms(300)))
                    .await
                    .expect("the call hangs")
            });
            drop((go, stuck));
            done.send(late).unwrap();
        };
        if in_place {
            outer.spawn(async { tokio::task::block_in_place(nested) });
        } else {
            outer.spawn_blocking(nested);
        }
        assert_eq!(within.recv(), Ok(Err(CallError::Timeout)), "in place: {in_place}");
    }
}

/// Runs a future without any runtime.
fn block_on<F: Future>(future: F) -> F::Output {
    struct Unpark(thread::Thread);
    impl std::task::Wake for Unpark {
        fn wake(self: Arc<Self>) {
            self.0.unpark();
        }
    }
    let waker = Arc::new(Unpark(thread::current())).into();
    let mut cx = std::task::Context::from_waker(&waker);
    let mut future = pin!(future);
    loop {
        match future.as_mut().poll(&mut cx) {
            Poll::Ready(output) => return output,
            Poll::Pending => thread::park(),
        }
    }
}

#[test]
fn calls_and_requests_work_outside_any_runtime() {
    let (lab, _end) = elsewhere();
    let quick = |to| Call::Do(to, Box::new(|to, _, _| to.reply(1)));
    for timeout in [100, 5000] {
        assert_eq!(block_on(lab.call_timeout(quick, ms(timeout))), Ok(1));
        assert_eq!(block_on(lab.send_request(quick).receive(ms(timeout))), Ok(1));
        assert_eq!(block_on(lab.send_request(quick).wait(ms(timeout))), Some(Ok(1)));
    }
}

/// Neither a timer nor a sweep of the server's runtime is what such a caller relies on.
#[test]
fn a_caller_outside_any_runtime_gives_up_in_time_though_the_server_holds_its_thread() {
    let (lab, _end) = elsewhere();
    let (_go, wait) = mpsc::channel::<()>();
    let _stuck = lab
        .send_request(|to| Call::Do(to, Box::new(move |to, _, _| to.reply(u32::from(wait.recv().is_err())))));
    for timeout in [100, 300] {
        let late = |to| Call::Do(to, Box::new(|to, _, _| to.reply(1)));
        assert_eq!(block_on(lab.call_timeout(late, ms(timeout))), Err(CallError::Timeout));
        assert_eq!(block_on(lab.send_request(late).receive(ms(timeout))), Err(CallError::Timeout));
        let mut request = lab.send_request(late);
        assert_eq!(block_on(request.wait(ms(timeout))), None);
        let mut requests = Requests::new();
        requests.add((), request);
        assert_eq!(block_on(requests.wait(ms(timeout))).err(), Some(CallError::Timeout));
    }
}
