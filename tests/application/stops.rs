//! Stops: of one application, and of the node.

use std::future::pending;
use std::time::Duration;

use incarnate::application::{StartType, StopError};
use incarnate::{ExitReason, Me, Node, Pid, Process, Task};
use tokio::sync::oneshot;
use tokio::time::Instant;

use crate::lab_app::{Diary, Fault, LabApp, Order, Slow, in_time, worker};

const TEMPORARY: StartType = StartType::Temporary;

async fn started(apps: impl IntoIterator<Item = LabApp>) -> Node {
    let node = Node::new("test");
    for app in apps {
        let app = app.app();
        let name = app.spec().name();
        node.applications().load(app).await.unwrap();
        node.applications().start(name, StartType::Permanent).await.unwrap();
    }
    node
}

#[tokio::test(start_paused = true)]
async fn rule_2_15_2_prep_stop_the_tree_then_stop_and_the_node_goes_on() {
    let diary = Diary::default();
    let node = started([LabApp::new("a", &diary)]).await;
    node.applications().stop("a").await.unwrap();
    assert_eq!(diary.take(), "start a, prep_stop a, end a, stop a");
    assert_eq!(node.applications().stop("a").await, Err(StopError::NotStarted("a".into())));
    assert_eq!(node.applications().stop("b").await, Err(StopError::NotStarted("b".into())));
    // A permanent one that was stopped by request takes nothing down, and starts again.
    node.applications().start("a", StartType::Permanent).await.unwrap();
    assert_eq!(node.applications().which_applications().await.len(), 1);
}

#[tokio::test(start_paused = true)]
async fn rule_2_15_2_the_shutdown_of_the_tree_has_no_time_limit() {
    let diary = Diary::default();
    let node = started([LabApp::new("a", &diary).fault(Fault::Hangs)]).await;
    let applications = node.applications();
    let stopping = tokio::time::timeout(Duration::from_secs(3600), applications.stop("a")).await;
    assert!(stopping.is_err(), "a worker that hangs was not waited for");
    assert_eq!(diary.take(), "start a, prep_stop a");
}

#[tokio::test(start_paused = true)]
async fn callbacks_that_panic_at_the_stop_keep_nothing_alive() {
    let diary = Diary::default();
    let node = started([LabApp::new("a", &diary).fault(Fault::PanicsAtStop)]).await;
    in_time(node.applications().stop("a")).await.unwrap();
    assert_eq!(diary.take(), "start a, prep_stop a, end a, stop a");
    assert_eq!(node.process_count(), 1, "only the controller is left");
}

#[tokio::test(start_paused = true)]
async fn app_028_a_stop_kills_all_that_was_spawned_inside_the_application_supervised_or_not() {
    let diary = Diary::default();
    let node = started([LabApp::new("a", &diary), LabApp::new("b", &diary)]).await;
    let others: Vec<_> = node.processes();
    let strays = strays(&node, "a").await;
    for stray in strays {
        assert_eq!(node.applications().get_application(stray), Some("a"));
        assert!(node.is_alive(stray));
    }
    node.applications().stop("a").await.unwrap();
    assert_eq!(strays.map(|stray| node.is_alive(stray)), [false; 3]);
    // The other application lost nothing: its master, its supervisor and its worker live, and so does the controller.
    assert_eq!(others.iter().filter(|pid| node.is_alive(**pid)).count(), 4);
    assert_eq!(node.process_count(), 4);
}

#[tokio::test(start_paused = true)]
async fn what_an_application_leaves_behind_when_its_master_is_killed_is_killed_too() {
    let node = Node::new("test");
    let applications = node.applications();
    applications.load(LabApp::new("a", &Diary::default()).app()).await.unwrap();
    applications.start("a", StartType::Temporary).await.unwrap();
    let strays = strays(&node, "a").await;
    let top = node.process_info(worker(&node, "a").pid()).unwrap().parent.unwrap();
    let master = node.process_info(top).unwrap().parent.unwrap();
    node.exit(master, ExitReason::Kill);
    in_time(async {
        // The controller is what is left.
        while node.process_count() > 1 {
            tokio::task::yield_now().await;
        }
    })
    .await;
    assert_eq!(strays.map(|stray| node.is_alive(stray)), [false; 3]);
    assert_eq!(applications.which_applications().await.len(), 0);
}

/// Three processes that a worker has spawned, or one of them has: none supervised, all trapping exits.
async fn strays(node: &Node, name: &'static str) -> [Pid; 3] {
    let (tell, told) = oneshot::channel();
    let spawn = move || {
        let me = Me::current().unwrap();
        me.spawn(move |me: Process<()>| async move {
            me.trap_exit(true);
            let below = me.spawn(|me: Process<()>| async move {
                me.trap_exit(true);
                pending::<()>().await;
            });
            let task = Task::<()>::start(async {
                Me::current().unwrap().trap_exit(true);
                pending::<()>().await;
            });
            let _ = tell.send([me.pid(), below.pid(), task.unwrap()]);
            pending::<()>().await;
        });
    };
    worker(node, name).cast(Order::Do(Box::new(spawn)));
    told.await.unwrap()
}

#[tokio::test(start_paused = true)]
async fn rule_2_15_4_the_node_stops_its_applications_in_the_reverse_order_of_their_starts() {
    let diary = Diary::default();
    let node = started([LabApp::new("b", &diary), LabApp::new("a", &diary), LabApp::new("c", &diary)]).await;
    diary.take();
    node.spawn(|_: Process<()>| pending::<()>());
    node.stop(7);
    node.stop(8);
    assert_eq!(in_time(node.stopped()).await, 7);
    let expected =
        ["c", "a", "b"].map(|name| format!("prep_stop {name}, end {name}, stop {name}")).join(", ");
    assert_eq!(diary.take(), expected);
    assert_eq!(node.processes(), []);
}

#[tokio::test(start_paused = true)]
async fn app_041_the_shutdown_function_is_called_once_before_anything_ends() {
    let diary = Diary::default();
    let node = started([LabApp::new("a", &diary)]).await;
    let hook = diary.clone();
    node.applications().shutdown_func(move || hook.write("shutdown_func"));
    diary.take();
    node.stop(0);
    node.stop(0);
    in_time(node.stopped()).await;
    assert_eq!(diary.take(), "shutdown_func, prep_stop a, end a, stop a");

    let (diary, node) = (Diary::default(), Node::new("without"));
    let hook = diary.clone();
    node.applications().shutdown_func(move || hook.write("shutdown_func"));
    node.stop(0);
    assert_eq!((node.stopped().await, diary.take().as_str()), (0, "shutdown_func"));
}

#[tokio::test(start_paused = true)]
async fn app_042_an_application_that_hangs_is_killed_after_the_limit_and_the_stop_goes_on() {
    let diary = Diary::default();
    let node = started([
        LabApp::new("a", &diary),
        LabApp::new("b", &diary).fault(Fault::Hangs),
        LabApp::new("c", &diary),
    ])
    .await;
    node.applications().shutdown_timeout(Duration::from_secs(30));
    diary.take();
    let (hanging, begin) = (worker(&node, "b"), Instant::now());
    node.stop(0);
    let (reason, code) = tokio::join!(hanging.ended(), node.stopped());
    assert_eq!((reason, code), (ExitReason::Killed, 0));
    assert_eq!(begin.elapsed(), Duration::from_secs(30));
    assert_eq!(diary.take(), "prep_stop c, end c, stop c, prep_stop b, prep_stop a, end a, stop a");
}

#[tokio::test(start_paused = true)]
async fn what_is_still_starting_is_given_up_when_the_node_stops() {
    let diary = Diary::default();
    let node = started([LabApp::new("a", &diary)]).await;
    let slow = LabApp::new("slow", &diary).takes(Duration::from_secs(3600));
    node.applications().load(slow.app()).await.unwrap();
    diary.take();
    let applications = node.applications();
    let (slow, ()) = tokio::join!(applications.start("slow", TEMPORARY), async {
        tokio::task::yield_now().await;
        node.stop(0);
    });
    assert_eq!(slow, Err(incarnate::application::StartError::NodeStops));
    assert_eq!(in_time(node.stopped()).await, 0);
    assert_eq!(diary.take(), "start slow, prep_stop a, end a, stop a");
    assert_eq!(node.processes(), []);
}

#[tokio::test(start_paused = true)]
async fn the_tree_of_an_application_that_is_half_up_is_shut_down_when_the_node_stops() {
    for (slow, fault) in [(Slow::Tree, Fault::None), (Slow::Phase, Fault::None), (Slow::Tree, Fault::Hangs)] {
        let diary = Diary::default();
        let node = Node::new("test");
        let half = LabApp::new("half", &diary).phases(&["go"]).slow(slow).fault(fault);
        node.applications().load(half.app()).await.unwrap();
        let applications = node.applications();
        let begin = Instant::now();
        let (half, code) = tokio::join!(applications.start("half", TEMPORARY), async {
            while node.whereis("half").is_none() {
                tokio::task::yield_now().await;
            }
            tokio::time::sleep(Duration::from_secs(1)).await; // sleep: virtual, to be in the midst of the start
            node.stop(0);
            in_time(node.stopped()).await
        });
        assert_eq!((half, code), (Err(incarnate::application::StartError::NodeStops), 0));
        let (expected, took) = match (slow, fault) {
            (Slow::Tree, Fault::None) => ("start half, end half, stop half", 4),
            (Slow::Phase, _) => ("start half, go half, end half, stop half", 1),
            // Killed after five seconds.
            _ => ("start half", 6),
        };
        assert_eq!((diary.take().as_str(), begin.elapsed().as_secs()), (expected, took), "{slow:?}");
        assert_eq!(node.processes(), []);
    }
}
