//! Tasks and system messages: a task obeys whenever it waits.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use incarnate::sys::{Log, SysError};
use incarnate::task::TaskSupervisorOptions;
use incarnate::{ExitReason, GenServer, Node, Task, TaskError, TaskSupervisor, Timeout, sys};

use crate::{SECOND, after, run_trapping};

/// Counts the seconds.
async fn ticks(count: Arc<AtomicU32>) {
    loop {
        after(SECOND, 0).await;
        count.fetch_add(1, Ordering::Relaxed);
    }
}

#[tokio::test(start_paused = true)]
async fn rule_2_13_1_a_suspended_task_is_not_polled_until_it_is_resumed() {
    let node = Node::new("a");
    let count = Arc::new(AtomicU32::new(0));
    let task = Task::spawn_on(&node, ticks(count.clone()));
    let pid = task.pid().unwrap();
    after(SECOND * 3 / 2, 0).await;
    assert_eq!(count.load(Ordering::Relaxed), 1);
    for _ in 0..2 {
        sys::suspend(&node, pid, SECOND).await.unwrap();
    }
    let status = sys::get_status(&node, pid, SECOND).await.unwrap();
    assert!(!status.is_running() && status.state.contains("ticks"), "{status:?}");
    after(SECOND * 10, 0).await;
    assert_eq!(count.load(Ordering::Relaxed), 1);
    sys::resume(&node, pid, SECOND).await.unwrap();
    // The second that had passed is seen at once, and then the next one begins.
    assert!(sys::get_status(&node, pid, SECOND).await.unwrap().is_running());
    assert_eq!(count.load(Ordering::Relaxed), 2);
    after(SECOND * 3 / 2, 0).await;
    assert_eq!(count.load(Ordering::Relaxed), 3);
}

#[tokio::test(start_paused = true)]
async fn sys_005_a_task_that_was_suspended_still_has_its_value() {
    let node = Node::new("a");
    let mut task = Task::spawn_on(&node, after(SECOND, 7));
    let pid = task.pid().unwrap();
    sys::suspend(&node, pid, SECOND).await.unwrap();
    assert!(task.yield_for(SECOND * 5).await.is_none());
    sys::resume(&node, pid, SECOND).await.unwrap();
    sys::resume(&node, pid, SECOND).await.unwrap_err();
    assert_eq!(task.await, Ok(7));
}

#[tokio::test(start_paused = true)]
async fn sys_010_and_rule_2_13_12_terminate_ends_a_task_suspended_or_not() {
    let node = Node::new("a");
    for suspended in [false, true] {
        let count = Arc::new(AtomicU32::new(0));
        let task = Task::spawn_on(&node, ticks(count.clone()));
        let pid = task.pid().unwrap();
        if suspended {
            sys::suspend(&node, pid, SECOND).await.unwrap();
        }
        after(SECOND * 3 / 2, 0).await;
        sys::terminate(&node, pid, ExitReason::Shutdown, SECOND).await.unwrap();
        assert_eq!(task.await, Err(TaskError::Exit(ExitReason::Shutdown)));
        assert_eq!(count.load(Ordering::Relaxed), u32::from(!suspended));
        assert_eq!(sys::terminate(&node, pid, ExitReason::Normal, SECOND).await, Err(SysError::NoProc));
    }
}

#[tokio::test(start_paused = true)]
async fn sys_007_a_task_has_no_state_and_no_messages() {
    let node = Node::new("a");
    let task = Task::spawn_on(&node, after(SECOND * 9, 7));
    let pid = task.pid().unwrap();
    assert_eq!(sys::get_state(&node, pid, |(): &()| 3, SECOND).await, Ok(3));
    sys::statistics(&node, pid, true, SECOND).await.unwrap();
    sys::log(&node, pid, Log::On, SECOND).await.unwrap();
    let counted = sys::get_statistics(&node, pid, SECOND).await.unwrap().unwrap();
    assert_eq!((counted.messages_in, counted.messages_out), (0, 0));
    assert_eq!(sys::get_log(&node, pid, SECOND).await, Ok(Vec::new()));
    assert_eq!(task.await_timeout(Timeout::Infinity).await, Ok(7));
}

#[tokio::test(start_paused = true)]
async fn rule_2_13_4_a_task_that_does_not_wait_is_asked_in_vain_and_suspended_when_it_does() {
    let node = Node::new("a");
    let (begun, wait) = tokio::sync::oneshot::channel();
    let busy = async move {
        let _ = begun.send(());
        // Longer than the request is waited for, without an await.
        std::thread::sleep(Duration::from_millis(50)); // sleep: it holds its thread
        after(SECOND, 7).await
    };
    let mut task = Task::spawn_on(&node, busy);
    let pid = task.pid().unwrap();
    let asked = sys::suspend(&node, pid, Duration::ZERO).await;
    assert_eq!(asked, Err(SysError::Timeout));
    wait.await.unwrap();
    assert!(task.yield_for(SECOND * 5).await.is_none());
    assert!(!sys::get_status(&node, pid, SECOND).await.unwrap().is_running());
    sys::resume(&node, pid, SECOND).await.unwrap();
    assert_eq!(task.await, Ok(7));
}

#[tokio::test(start_paused = true)]
async fn rule_2_13_11_a_suspended_task_ends_with_its_parent_and_under_its_supervisor() {
    let node = Node::new("a");
    let jobs = TaskSupervisor::server(TaskSupervisorOptions::default()).on(&node).start().await.unwrap();
    let traps = |told: tokio::sync::oneshot::Sender<()>| async move {
        crate::me().trap_exit(true);
        let _ = told.send(());
        std::future::pending::<()>().await;
    };
    let (told, trapping) = tokio::sync::oneshot::channel();
    let task = jobs.spawn_nolink(traps(told)).await.unwrap();
    trapping.await.unwrap();
    sys::suspend(&node, task.pid().unwrap(), SECOND).await.unwrap();
    jobs.stop().await.unwrap();
    // Not killed after the supervisor's patience: it has heeded its parent.
    assert_eq!(task.await, Err(TaskError::Exit(ExitReason::Shutdown)));
}

#[tokio::test(start_paused = true)]
async fn a_suspended_task_obeys_an_exit_signal() {
    let node = Node::new("a");
    let asked = node.clone();
    run_trapping(&node, async move {
        let task = Task::spawn(after(SECOND, 7));
        sys::suspend(&asked, task.pid().unwrap(), SECOND).await.unwrap();
        assert_eq!(task.shutdown(SECOND).await, None);
    })
    .await;
}
