//! Tasks under a task supervisor.

use super::*;
use incarnate::task::{
    OnTimeout, Shutdown, TaskSupervisorName, TaskSupervisorOptions, TaskSupervisorRef, TerminateError,
};
use incarnate::{GenServer, Name, TaskSupervisor};

const JOBS: TaskSupervisorName = Name::new("jobs");

fn options() -> TaskSupervisorOptions {
    TaskSupervisorOptions::default()
}

async fn supervisor(node: &Node, options: TaskSupervisorOptions) -> TaskSupervisorRef {
    TaskSupervisor::server(options).name(JOBS).on(node).start().await.unwrap()
}

#[tokio::test(start_paused = true)]
async fn it_starts_in_a_tree_under_a_name_and_is_found_by_it() {
    let node = Node::new("a");
    let work = async {
        let jobs = TaskSupervisor::server(options()).name(JOBS).start_link().await.unwrap();
        let value = JOBS.spawn(async { 7 }).await.unwrap().await;
        assert_eq!(JOBS.children().await, Ok(vec![]));
        jobs.stop().await.unwrap();
        assert_eq!(JOBS.spawn(async { 7 }).await.unwrap_err(), SpawnError::NoSupervisor);
        value
    };
    assert_eq!(run(&node, work).await, Ok(Ok(7)));
    assert_eq!(JOBS.spawn_nolink(async {}).await.unwrap_err(), SpawnError::NoProcess);
}

#[tokio::test(start_paused = true)]
async fn its_children_are_its_own_and_linked_to_it() {
    let node = Node::new("a");
    let jobs = supervisor(&node, options()).await;
    let (first, second) = (jobs.start_child(pending()).await, jobs.start_child(pending()).await);
    let (first, second) = (first.unwrap(), second.unwrap());
    assert_eq!(jobs.children().await, Ok(vec![first, second]));
    let info = node.process_info(first).unwrap();
    assert_eq!((info.parent, info.links), (Some(jobs.pid()), vec![jobs.pid()]));
}

#[tokio::test(start_paused = true)]
async fn a_spawned_child_is_linked_to_its_caller_too() {
    let node = Node::new("a");
    let jobs = supervisor(&node, options()).await;
    let asked = jobs.clone();
    let crashed = run(&node, async move { asked.spawn(async { panic!("boom") }).await.unwrap().await });
    assert_eq!(message(&crashed.await.unwrap_err()), "panic: boom");
    let asked = jobs.clone();
    let (work, dropped) = Dropped::new();
    let caller = run(&node, async move {
        let _task = asked.spawn(work.hang()).await.unwrap();
        panic!("caller")
    });
    assert!(caller.await.is_err());
    assert!(dropped.await.is_err());
    assert_eq!(jobs.children().await, Ok(vec![]));
}

#[tokio::test(start_paused = true)]
async fn outside_a_process_only_the_unlinked_are_spawned() {
    let node = Node::new("a");
    let jobs = supervisor(&node, options()).await;
    assert_eq!(jobs.spawn(async {}).await.unwrap_err(), SpawnError::NoProcess);
    assert_eq!(jobs.spawn_nolink(async { 7 }).await.unwrap().await, Ok(7));
}

#[tokio::test(start_paused = true)]
async fn a_crash_of_an_unlinked_child_is_an_error_and_harms_neither_caller_nor_supervisor() {
    let node = Node::new("a");
    let jobs = supervisor(&node, options()).await;
    let asked = jobs.clone();
    let told = run(&node, async move { asked.spawn_nolink(async { panic!("boom") }).await.unwrap().await });
    let Ok(Err::<(), _>(TaskError::Exit(reason))) = told.await else { panic!("no exit") };
    assert_eq!(message(&reason), "panic: boom");
    assert_eq!(jobs.children().await, Ok(vec![]));
}

#[tokio::test(start_paused = true)]
async fn an_unlinked_child_outlives_its_caller() {
    let node = Node::new("a");
    let jobs = supervisor(&node, options()).await;
    let asked = jobs.clone();
    let caller = run(&node, async move {
        let _task = asked.spawn_nolink(after(SECOND, 7)).await.unwrap();
        panic!("caller")
    });
    assert!(caller.await.is_err());
    assert_eq!(jobs.children().await.unwrap().len(), 1);
}

#[tokio::test(start_paused = true)]
async fn one_more_than_may_be_is_refused_and_the_place_of_one_that_was_told_is_free() {
    let node = Node::new("a");
    let jobs = supervisor(&node, options().max_children(2)).await;
    for _ in 0..50 {
        let one = jobs.spawn_nolink(async { 1 }).await.unwrap();
        let other = jobs.spawn_nolink(after(SECOND, 2)).await.unwrap();
        let (work, dropped) = Dropped::new();
        assert_eq!(one.await, Ok(1));
        let third = jobs.start_child(pending()).await.unwrap();
        assert_eq!(jobs.start_child(work.hang()).await, Err(SpawnError::MaxChildren));
        assert!(dropped.await.is_err(), "what was refused is dropped");
        assert_eq!(jobs.terminate_child(third).await, Ok(()));
        assert_eq!(other.await, Ok(2));
    }
}

#[tokio::test(start_paused = true)]
async fn a_child_is_terminated_and_then_unknown() {
    let node = Node::new("a");
    let jobs = supervisor(&node, options()).await;
    let child = jobs.start_child(pending()).await.unwrap();
    let asked = (jobs.terminate_child(child), jobs.terminate_child(child));
    let (first, second) = tokio::join!(asked.0, asked.1);
    assert_eq!((first, second), (Ok(()), Ok(())));
    assert!(!node.is_alive(child));
    assert_eq!(jobs.terminate_child(child).await, Err(TerminateError::NotFound));
    assert_eq!(jobs.terminate_child(jobs.pid()).await, Err(TerminateError::NotFound));
    jobs.stop().await.unwrap();
    assert_eq!(jobs.terminate_child(child).await, Err(TerminateError::NoSupervisor));
}

async fn deaf() {
    me().trap_exit(true);
    pending().await
}

#[tokio::test(start_paused = true)]
async fn a_child_that_does_not_end_is_killed_while_others_are_served() {
    let node = Node::new("a");
    let jobs = supervisor(&node, options().shutdown(3 * SECOND)).await;
    let child = jobs.start_child(deaf()).await.unwrap();
    after(SECOND, 0).await;
    let started = tokio::time::Instant::now();
    let (asked, monitor) = (jobs.clone(), node.clone());
    let terminated = tokio::spawn(async move { asked.terminate_child(child).await });
    let reason = tokio::spawn(async move { ended(&monitor, child).await });
    assert_eq!(jobs.spawn_nolink(async { 7 }).await.unwrap().await, Ok(7));
    assert_eq!(started.elapsed(), Duration::ZERO);
    assert_eq!(terminated.await.unwrap(), Ok(()));
    assert_eq!(started.elapsed().as_secs(), 3);
    assert_eq!(reason.await.unwrap(), ExitReason::Killed);
}

#[tokio::test(start_paused = true)]
async fn a_supervisor_that_stops_ends_all_children_together() {
    let node = Node::new("a");
    let jobs = supervisor(&node, options().shutdown(3 * SECOND)).await;
    let polite = jobs.spawn_nolink(pending::<()>()).await.unwrap();
    let busy = async {
        me().trap_exit(true);
        after(2 * SECOND, 7).await
    };
    let busy = jobs.spawn_nolink(busy).await.unwrap();
    let deaf = (jobs.spawn_nolink(deaf()).await.unwrap(), jobs.spawn_nolink(deaf()).await.unwrap());
    after(SECOND, 0).await;
    let started = tokio::time::Instant::now();
    jobs.stop_with(ExitReason::Shutdown, Timeout::Infinity).await.unwrap();
    assert_eq!(started.elapsed().as_secs(), 3);
    assert_eq!(polite.await, Err(TaskError::Exit(ExitReason::Shutdown)));
    assert_eq!(busy.await, Ok(7));
    for deaf in [deaf.0, deaf.1] {
        assert_eq!(deaf.await, Err(TaskError::Exit(ExitReason::Killed)));
    }
    assert_eq!(node.process_count(), 0);
}

#[tokio::test(start_paused = true)]
async fn the_exit_of_its_parent_stops_it() {
    let node = Node::new("a");
    let (work, dropped) = Dropped::new();
    let parent = run(&node, async {
        let jobs = TaskSupervisor::start_link(options().shutdown(Shutdown::BrutalKill)).await.unwrap();
        jobs.start_child(work.hang()).await.unwrap();
        panic!("parent")
    });
    assert!(parent.await.is_err());
    assert!(dropped.await.is_err());
}

#[tokio::test(start_paused = true)]
async fn a_killed_supervisor_takes_its_children_along() {
    let node = Node::new("a");
    let jobs = supervisor(&node, options()).await;
    let task = jobs.spawn_nolink(pending::<()>()).await.unwrap();
    node.exit(jobs.pid(), ExitReason::Kill);
    assert_eq!(task.await, Err(TaskError::Exit(ExitReason::Killed)));
}

#[tokio::test(start_paused = true)]
async fn a_spawn_that_is_dropped_is_taken_back_and_harms_nobody() {
    let node = Node::new("a");
    let jobs = supervisor(&node, options()).await;
    let asked = jobs.clone();
    let (work, dropped) = Dropped::new();
    let survived = run(&node, async move {
        tokio::select! {
            biased;
            _ = asked.spawn(work.hang()) => panic!("too early"),
            () = async {} => {}
        }
        assert!(dropped.await.is_err());
        after(SECOND, 7).await
    });
    assert_eq!(survived.await, Ok(7));
    assert_eq!(jobs.children().await, Ok(vec![]));
}

#[tokio::test(start_paused = true)]
async fn a_supervised_stream_reports_crashes_and_goes_on() {
    let node = Node::new("a");
    let jobs = supervisor(&node, options().max_children(3)).await;
    let work = |n: u32| async move {
        assert_ne!(n, 3, "boom");
        after(SECOND, n).await
    };
    let told = jobs.async_stream_nolink(1..=5, work).max_concurrency(3).collect().await;
    let values: Vec<_> = told.iter().flatten().copied().collect();
    assert_eq!(values, [1, 2, 4, 5]);
    assert!(told[2].as_ref().unwrap_err().to_string().contains("boom"));
}

#[tokio::test(start_paused = true)]
async fn a_supervised_stream_says_which_items_were_refused() {
    let node = Node::new("a");
    let jobs = supervisor(&node, options().max_children(1)).await;
    let asked = jobs.clone();
    let told = run(&node, async move {
        asked.async_stream(1..=2, |n| after(SECOND, n)).max_concurrency(2).collect().await
    });
    assert_eq!(told.await.unwrap(), [Ok(1), Err(TaskError::Refused(SpawnError::MaxChildren))]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn places_are_free_on_several_threads_too() {
    let node = Node::new("a");
    let jobs = supervisor(&node, options().max_children(1)).await;
    for n in 0..2000 {
        assert_eq!(jobs.spawn_nolink(async move { n }).await.unwrap().await, Ok(n));
    }
    assert_eq!(jobs.children().await, Ok(vec![]));
}

#[tokio::test(start_paused = true)]
async fn the_place_of_a_late_task_is_free_for_the_next() {
    let node = Node::new("a");
    let jobs = supervisor(&node, options().max_children(1)).await;
    let late_twice = jobs.async_stream_nolink([9, 9, 1], |n| after(n * SECOND, n)).max_concurrency(1);
    let told = late_twice.timeout(2 * SECOND).on_timeout(OnTimeout::KillTask).collect().await;
    assert_eq!(told, [Err(TaskError::Timeout), Err(TaskError::Timeout), Ok(1)]);
}
