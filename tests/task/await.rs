//! Waiting for values: await, yield, many at once.

use super::*;
use incarnate::{Info, let_it_crash};

#[tokio::test(start_paused = true)]
async fn a_task_gives_its_value() {
    let node = Node::new("a");
    assert_eq!(run(&node, async { Task::spawn(async { 42 }).await }).await, Ok(Ok(42)));
}

#[tokio::test(start_paused = true)]
async fn a_task_is_a_linked_process_with_its_spawner_as_parent() {
    let node = Node::new("a");
    let work = async {
        let caller = me().pid();
        let task = Task::spawn(async move {
            let me = me();
            (me.parent() == Some(caller), me.node().process_info(me.pid()).unwrap().links == [caller])
        });
        assert_ne!(task.pid(), Some(caller));
        task.await
    };
    assert_eq!(run(&node, work).await, Ok(Ok((true, true))));
}

#[tokio::test(start_paused = true)]
async fn the_process_of_a_task_that_was_told_is_gone() {
    let node = Node::new("a");
    let inner = node.clone();
    let gone = run(&node, async move {
        let task = Task::spawn(async {});
        let pid = task.pid().unwrap();
        task.await.unwrap();
        !inner.is_alive(pid) && me().node().process_info(me().pid()).unwrap().links.is_empty()
    });
    assert_eq!(gone.await, Ok(true));
}

#[tokio::test(start_paused = true)]
async fn a_crash_ends_a_caller_that_does_not_trap_before_it_sees_the_error() {
    let node = Node::new("a");
    let (tell, mut told) = tokio::sync::oneshot::channel();
    let reason = run(&node, async move {
        let seen = Task::spawn(async { panic!("boom") }).await;
        let _ = tell.send(seen);
    });
    assert_eq!(message(&reason.await.unwrap_err()), "panic: boom");
    assert!(told.try_recv().is_err());
}

#[tokio::test(start_paused = true)]
async fn a_crash_is_an_error_and_one_exit_message_for_a_caller_that_traps() {
    let node = Node::new("a");
    let (tell, told) = tokio::sync::oneshot::channel();
    node.spawn(move |mut process: Process<Never>| async move {
        process.trap_exit(true);
        let task = Task::spawn(async { panic!("boom") });
        let pid = task.pid().unwrap();
        let Err(TaskError::Exit(reason)) = task.await else { panic!("no exit") };
        let Some(Info::Exit(exit)) = process.receive_after(Duration::ZERO).await else {
            panic!("no message")
        };
        assert_eq!((exit.from, exit.reason), (pid, reason.clone()));
        assert!(process.receive_after(SECOND).await.is_none());
        let _ = tell.send(reason);
    });
    assert_eq!(message(&told.await.unwrap()), "panic: boom");
}

#[tokio::test(start_paused = true)]
async fn the_value_passes_the_mailbox_by() {
    let node = Node::new("a");
    let (tell, told) = tokio::sync::oneshot::channel();
    node.spawn(move |mut process: Process<Never>| async move {
        let value = Task::spawn(async { 1 }).await;
        let _ = tell.send((value, process.receive_after(SECOND).await.is_none()));
    });
    assert_eq!(told.await.unwrap(), (Ok(1), true));
}

#[tokio::test(start_paused = true)]
async fn an_error_is_a_value_unless_the_work_lets_it_crash() {
    let node = Node::new("a");
    let value = Task::spawn_on(&node, async { "x".parse::<u8>() }).await;
    assert!(value.unwrap().is_err());
    let crash = Task::spawn_on(&node, let_it_crash(async { Ok("x".parse::<u8>()?) })).await;
    assert_eq!(
        crash.unwrap_err().to_string(),
        "the task ended without a value: error: invalid digit found in string"
    );
    let exit = let_it_crash(async { Err::<u8, _>(incarnate::Error::exit(ExitReason::Shutdown)) });
    assert_eq!(Task::spawn_on(&node, exit).await, Err(TaskError::Exit(ExitReason::Shutdown)));
}

#[tokio::test(start_paused = true)]
async fn an_await_gives_up_after_five_seconds_and_kills_the_task_but_not_the_caller() {
    let node = Node::new("a");
    let work = async {
        let started = tokio::time::Instant::now();
        let (work, dropped) = Dropped::new();
        let timeout = Task::spawn(work.hang()).await;
        assert_eq!(started.elapsed(), 5 * SECOND);
        assert!(dropped.await.is_err());
        timeout
    };
    assert_eq!(run(&node, work).await, Ok(Err(TaskError::Timeout)));
}

#[tokio::test(start_paused = true)]
async fn a_value_that_is_there_is_taken_whatever_the_timeout() {
    let node = Node::new("a");
    let work = async {
        let task = Task::spawn(after(SECOND, 7));
        after(2 * SECOND, 0).await;
        task.await_timeout(Duration::ZERO).await
    };
    assert_eq!(run(&node, work).await, Ok(Ok(7)));
}

#[tokio::test(start_paused = true)]
async fn a_yield_waits_and_leaves_the_task_alone() {
    let node = Node::new("a");
    let work = async {
        let mut task = Task::spawn(after(3 * SECOND, 7));
        assert_eq!(task.yield_for(Duration::ZERO).await, None);
        assert_eq!(task.yield_for(2 * SECOND).await, None);
        assert_eq!(task.yield_for(2 * SECOND).await, Some(Ok(7)));
        // Told once.
        assert_eq!(task.pid(), None);
        assert_eq!(task.yield_for(SECOND).await, Some(Err(TaskError::Exit(ExitReason::NoProc))));
        assert_eq!(task.await, Err(TaskError::Exit(ExitReason::NoProc)));
    };
    assert_eq!(run(&node, work).await, Ok(()));
}

#[tokio::test(start_paused = true)]
async fn a_yield_that_is_dropped_loses_nothing() {
    let node = Node::new("a");
    let work = async {
        let mut task = Task::spawn(after(2 * SECOND, 7));
        tokio::select! {
            _ = task.yield_for(Timeout::Infinity) => panic!("too early"),
            _ = after(SECOND, 0) => {}
        }
        task.await
    };
    assert_eq!(run(&node, work).await, Ok(Ok(7)));
}

#[tokio::test(start_paused = true)]
async fn a_completed_task_needs_no_process() {
    let task = Task::completed(7);
    assert_eq!(task.pid(), None);
    assert_eq!(task.await, Ok(7));
    assert_eq!(Task::completed(8).shutdown(SECOND).await, Some(Ok(8)));
    assert_eq!(Task::completed(9).ignore(), Some(Ok(9)));
}

#[tokio::test(start_paused = true)]
async fn a_task_may_be_awaited_by_another_process() {
    let node = Node::new("a");
    let task = Task::spawn_on(&node, after(SECOND, 7));
    assert_eq!(run(&node, task.into_future()).await, Ok(Ok(7)));
}

#[tokio::test(start_paused = true)]
async fn many_are_awaited_in_order_under_one_deadline_and_the_late_are_killed() {
    let node = Node::new("a");
    let (work, dropped) = Dropped::new();
    let hang = async {
        Task::spawn(async {
            work.hang().await;
            0
        })
    };
    let told = run(&node, async move {
        let started = tokio::time::Instant::now();
        let tasks = [Task::spawn(after(2 * SECOND, 1)), hang.await, Task::spawn(after(SECOND, 3))];
        let told = Task::await_many(tasks, 3 * SECOND).await;
        assert_eq!(started.elapsed(), 3 * SECOND);
        told
    });
    assert_eq!(told.await, Ok(vec![Ok(1), Err(TaskError::Timeout), Ok(3)]));
    assert!(dropped.await.is_err());
}

#[tokio::test(start_paused = true)]
async fn many_are_yielded_and_the_late_go_on() {
    let node = Node::new("a");
    let told = run_trapping(&node, async {
        let crash = Task::spawn(async { panic!("boom") });
        let mut tasks = [Task::spawn(after(3 * SECOND, 1)), crash, Task::spawn(after(SECOND, 3))];
        let first = Task::yield_many(&mut tasks, 2 * SECOND).await;
        assert_eq!((&first[0], &first[2]), (&None, &Some(Ok(3))));
        assert!(matches!(&first[1], Some(Err(TaskError::Exit(reason))) if message(reason) == "panic: boom"));
        Task::yield_many(&mut tasks[..1], 2 * SECOND).await
    });
    assert_eq!(told.await, [Some(Ok(1))]);
}

#[tokio::test(start_paused = true)]
async fn a_yield_of_many_that_is_dropped_loses_nothing() {
    let node = Node::new("a");
    let work = async {
        let mut tasks = [Task::spawn(after(SECOND, 1)), Task::spawn(after(3 * SECOND, 2))];
        tokio::select! {
            _ = Task::yield_many(&mut tasks, Timeout::Infinity) => panic!("too early"),
            _ = after(2 * SECOND, 0) => {}
        }
        Task::await_many(tasks, 2 * SECOND).await
    };
    assert_eq!(run(&node, work).await, Ok(vec![Ok(1), Ok(2)]));
}
