//! A task per item.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use super::*;
use incarnate::task::OnTimeout;

/// Counts how many run at once, and the most that did.
#[derive(Clone, Default)]
struct Gauge(Arc<(AtomicUsize, AtomicUsize)>);

impl Gauge {
    async fn during<T>(self, work: impl Future<Output = T>) -> T {
        let (now, most) = &*self.0;
        most.fetch_max(now.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
        let value = work.await;
        now.fetch_sub(1, Ordering::SeqCst);
        value
    }

    fn most(&self) -> usize {
        self.0.1.load(Ordering::SeqCst)
    }
}

#[tokio::test(start_paused = true)]
async fn values_come_in_the_order_of_the_items() {
    let node = Node::new("a");
    let work =
        async { Task::async_stream([3, 1, 2], |n| after(n * SECOND, n)).max_concurrency(3).collect().await };
    assert_eq!(run(&node, work).await, Ok(vec![Ok(3), Ok(1), Ok(2)]));
}

#[tokio::test(start_paused = true)]
async fn unordered_values_come_as_they_are_done() {
    let node = Node::new("a");
    let work = async {
        Task::async_stream([3, 1, 2], |n| after(n * SECOND, n)).max_concurrency(3).unordered().collect().await
    };
    assert_eq!(run(&node, work).await, Ok(vec![Ok(1), Ok(2), Ok(3)]));
}

#[tokio::test(start_paused = true)]
async fn no_more_tasks_run_than_may() {
    let node = Node::new("a");
    for (ordered, bound) in [(true, 1), (true, 3), (false, 3)] {
        let gauge = Gauge::default();
        let count = gauge.clone();
        let all = run(&node, async move {
            let work = move |n: u32| count.clone().during(after(SECOND, n));
            let stream = Task::async_stream(0..20, work).max_concurrency(bound);
            if ordered { stream.collect().await } else { stream.unordered().collect().await }
        });
        assert_eq!(all.await.unwrap().len(), 20);
        assert_eq!(gauge.most(), bound);
    }
}

#[tokio::test(start_paused = true)]
async fn an_endless_iterator_is_pulled_as_far_as_it_is_asked_for() {
    let node = Node::new("a");
    let pulled = Arc::new(AtomicUsize::new(0));
    let count = pulled.clone();
    let three = run(&node, async move {
        let items = (0u32..).inspect(move |_| {
            count.fetch_add(1, Ordering::SeqCst);
        });
        let mut stream = Task::async_stream(items, |n| async move { n }).max_concurrency(4);
        let mut three = Vec::new();
        while three.len() < 3 {
            three.push(stream.next().await.unwrap().unwrap());
        }
        three
    });
    assert_eq!(three.await.unwrap(), [0, 1, 2]);
    assert_eq!(pulled.load(Ordering::SeqCst), 4 + 2);
}

#[tokio::test(start_paused = true)]
async fn an_empty_iterator_ends_at_once_and_stays_ended() {
    let node = Node::new("a");
    let work = async {
        let mut stream = Task::async_stream(std::iter::empty::<u32>(), |n| async move { n });
        (stream.next().await, stream.next().await)
    };
    assert_eq!(run(&node, work).await, Ok((None, None)));
}

#[tokio::test(start_paused = true)]
async fn a_late_task_ends_the_stream_and_the_others_with_it() {
    let node = Node::new("a");
    let inner = node.clone();
    let work = async move {
        let mut stream = Task::async_stream([1, 9, 8], |n| after(n * SECOND, n)).max_concurrency(3);
        assert_eq!(stream.next().await, Some(Ok(1)));
        let started = tokio::time::Instant::now();
        assert_eq!(stream.next().await, Some(Err(TaskError::Timeout)));
        assert_eq!(started.elapsed(), 4 * SECOND);
        assert_eq!(stream.next().await, None);
        after(SECOND, 0).await;
        inner.process_count()
    };
    assert_eq!(run(&node, work).await, Ok(1));
}

#[tokio::test(start_paused = true)]
async fn a_late_task_may_be_killed_alone() {
    let node = Node::new("a");
    for ordered in [true, false] {
        let told = run(&node, async move {
            let stream = Task::async_stream([1, 9, 1], |n| after(n * SECOND, n)).max_concurrency(2);
            let stream = stream.timeout(3 * SECOND).on_timeout(OnTimeout::KillTask);
            if ordered { stream.collect().await } else { stream.unordered().collect().await }
        });
        let late = Err(TaskError::Timeout);
        let expected = if ordered { [Ok(1), late, Ok(1)] } else { [Ok(1), Ok(1), late] };
        assert_eq!(told.await.unwrap(), expected);
    }
}

#[tokio::test(start_paused = true)]
async fn a_crash_in_a_stream_ends_a_caller_that_does_not_trap() {
    let node = Node::new("a");
    let work = async { Task::async_stream([1], |_| async { panic!("boom") }).collect().await };
    assert_eq!(message(&run::<Vec<Result<(), _>>>(&node, work).await.unwrap_err()), "panic: boom");
}

#[tokio::test(start_paused = true)]
async fn a_next_that_is_dropped_loses_nothing() {
    let node = Node::new("a");
    let work = async {
        let mut stream = Task::async_stream(1..=3, |n| after(2 * SECOND, n)).max_concurrency(2);
        tokio::select! {
            _ = stream.next() => panic!("too early"),
            _ = after(SECOND, 0) => {}
        }
        stream.collect().await
    };
    assert_eq!(run(&node, work).await, Ok(vec![Ok(1), Ok(2), Ok(3)]));
}

#[tokio::test(start_paused = true)]
async fn a_dropped_stream_kills_its_tasks_and_not_its_caller() {
    let node = Node::new("a");
    let inner = node.clone();
    let work = async move {
        let mut stream = Task::async_stream([1, 9, 9], |n| after(n * SECOND, n)).max_concurrency(3);
        stream.next().await.unwrap().unwrap();
        drop(stream);
        after(SECOND, 0).await;
        inner.process_count()
    };
    assert_eq!(run(&node, work).await, Ok(1));
}

#[tokio::test(start_paused = true)]
async fn outside_a_process_each_item_says_so() {
    let told = Task::async_stream([1, 2], |n| async move { n }).collect().await;
    assert_eq!(told, vec![Err(TaskError::Refused(SpawnError::NoProcess)); 2]);
}
