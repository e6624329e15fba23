//! How tasks and their callers share their fate, and how they part.

use super::*;
use incarnate::task::Shutdown;
use incarnate::{Error, let_it_crash};

#[tokio::test(start_paused = true)]
async fn the_death_of_the_caller_ends_its_tasks() {
    let node = Node::new("a");
    let (work, dropped) = Dropped::new();
    let caller = run(&node, async {
        let _task = Task::spawn(work.hang());
        panic!("caller")
    });
    assert_eq!(message(&caller.await.unwrap_err()), "panic: caller");
    assert!(dropped.await.is_err());
}

#[tokio::test(start_paused = true)]
async fn a_caller_that_ends_normally_leaves_its_tasks() {
    let node = Node::new("a");
    let task = run(&node, async { Task::spawn(after(SECOND, 7)) }).await.unwrap();
    assert_eq!(task.await, Ok(7));
}

#[tokio::test(start_paused = true)]
async fn a_dropped_task_goes_on_and_stays_linked() {
    let node = Node::new("a");
    let reason = run(&node, async {
        drop(Task::spawn(async {
            after(SECOND, 0).await;
            panic!("boom")
        }));
        after(2 * SECOND, 0).await
    });
    assert_eq!(message(&reason.await.unwrap_err()), "panic: boom");
}

#[tokio::test(start_paused = true)]
async fn an_ignored_task_goes_on_and_harms_nobody() {
    let node = Node::new("a");
    let (tell, told) = tokio::sync::oneshot::channel();
    let work = async {
        let task = Task::spawn(async {
            after(SECOND, 0).await;
            let _ = tell.send(());
            panic!("boom")
        });
        assert!(task.ignore().is_none());
        after(2 * SECOND, 7).await
    };
    assert_eq!(run(&node, work).await, Ok(7));
    assert!(told.await.is_ok());
}

#[tokio::test(start_paused = true)]
async fn ignoring_a_task_that_is_done_gives_its_value() {
    let node = Node::new("a");
    let work = async {
        let task = Task::spawn(after(SECOND, 7));
        after(2 * SECOND, 0).await;
        task.ignore()
    };
    assert_eq!(run(&node, work).await, Ok(Some(Ok(7))));
}

#[tokio::test(start_paused = true)]
async fn a_task_that_is_shut_down_ends_and_the_caller_lives() {
    let node = Node::new("a");
    for how in [Shutdown::BrutalKill, Shutdown::Timeout(SECOND), Shutdown::Infinity] {
        let (work, dropped) = Dropped::new();
        let ended = run(&node, async move { Task::spawn(work.hang()).shutdown(how).await });
        assert_eq!(ended.await, Ok(None), "{how:?}");
        assert!(dropped.await.is_err());
    }
}

#[tokio::test(start_paused = true)]
async fn a_shutdown_gives_the_value_that_was_there() {
    let node = Node::new("a");
    let work = async {
        let task = Task::spawn(after(SECOND, 7));
        after(2 * SECOND, 0).await;
        task.shutdown(Shutdown::BrutalKill).await
    };
    assert_eq!(run(&node, work).await, Ok(Some(Ok(7))));
}

async fn trapping(delay: Duration) -> u32 {
    me().trap_exit(true);
    after(delay, 7).await
}

/// Lets the task come to trap exits.
async fn spawned(delay: Duration) -> Task<u32> {
    let mut task = Task::spawn(trapping(delay));
    assert_eq!(task.yield_for(Duration::from_millis(1)).await, None);
    task
}

#[tokio::test(start_paused = true)]
async fn a_task_that_traps_exits_finishes_its_work_within_the_shutdown_time() {
    let node = Node::new("a");
    let in_time = run(&node, async { spawned(2 * SECOND).await.shutdown(3 * SECOND).await });
    assert_eq!(in_time.await, Ok(Some(Ok(7))));
    let late = run(&node, async { spawned(4 * SECOND).await.shutdown(3 * SECOND).await });
    assert_eq!(late.await, Ok(Some(Err(TaskError::Exit(ExitReason::Killed)))));
    let patient = run(&node, async { spawned(400 * SECOND).await.shutdown(Shutdown::Infinity).await });
    assert_eq!(patient.await, Ok(Some(Ok(7))));
}

#[tokio::test(start_paused = true)]
async fn a_shutdown_tells_another_end() {
    let node = Node::new("a");
    let told = run_trapping(&node, async {
        let task = Task::spawn(async { panic!("boom") });
        after(SECOND, 0).await;
        task.shutdown(SECOND).await
    });
    let Some(Err(TaskError::Exit(reason))) = told.await else { panic!("no exit") };
    assert_eq!(message(&reason), "panic: boom");
}

#[tokio::test(start_paused = true)]
async fn a_started_task_is_nobodys_and_a_start_link_is_the_callers() {
    let node = Node::new("a");
    let started = run(&node, async {
        let pid = Task::start(async { panic!("boom") }).unwrap();
        after(SECOND, 0).await;
        me().node().is_alive(pid)
    });
    assert_eq!(started.await, Ok(false));
    let linked = run(&node, async {
        Task::start_link(async { panic!("boom") }).unwrap();
        after(SECOND, 0).await
    });
    assert_eq!(message(&linked.await.unwrap_err()), "panic: boom");
}

#[tokio::test(start_paused = true)]
async fn a_kill_from_elsewhere_is_told() {
    let node = Node::new("a");
    let task = Task::spawn_on(&node, pending::<()>());
    node.exit(task.pid().unwrap(), ExitReason::Kill);
    assert_eq!(task.await, Err(TaskError::Exit(ExitReason::Killed)));
}

#[tokio::test(start_paused = true)]
async fn a_node_that_halts_ends_its_tasks() {
    let node = Node::new("a");
    let task = Task::spawn_on(&node, pending::<()>());
    node.halt();
    assert_eq!(task.await, Err(TaskError::Exit(ExitReason::Killed)));
    assert_eq!(node.process_count(), 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_caller_on_another_thread_does_not_see_the_error_either() {
    let node = Node::new("a");
    for _ in 0..500 {
        let (tell, mut told) = tokio::sync::oneshot::channel();
        let caller = run(&node, async move {
            let exit = let_it_crash(async { Err::<(), _>(Error::exit(ExitReason::Shutdown)) });
            let mut task = Task::spawn(exit);
            // A second wake, so that the first may go to the other thread.
            Task::start(async {}).unwrap();
            // Still the same turn of the caller while the task ends elsewhere.
            let (me, started) = (me(), std::time::Instant::now());
            while me.node().is_alive(me.pid()) && started.elapsed() < Duration::from_millis(2) {}
            (0..1000).for_each(|_| std::hint::spin_loop());
            let _ = tell.send(task.yield_for(Timeout::Infinity).await);
        });
        assert_eq!(caller.await, Err(ExitReason::Shutdown));
        assert!(told.try_recv().is_err());
    }
}
