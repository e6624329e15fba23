//! Load and start: order, phases, errors, who hears what.

use std::time::Duration;

use incarnate::application::{LoadError, StartError, StartType, UnloadError};
use incarnate::{ExitReason, Node, Timeout};

use crate::lab_app::{Diary, Fault, LabApp, Order, in_time, worker};

const TEMPORARY: StartType = StartType::Temporary;

async fn which(node: &Node) -> Vec<&'static str> {
    node.applications().which_applications().await.iter().map(|spec| spec.name()).collect()
}

/// A node with these loaded.
async fn node(apps: impl IntoIterator<Item = LabApp>) -> Node {
    let node = Node::new("test");
    for app in apps {
        node.applications().load(app.app()).await.unwrap();
    }
    node
}

#[tokio::test(start_paused = true)]
async fn a_node_without_applications_has_no_process_for_them() {
    let node = Node::new("test");
    assert_eq!(which(&node).await, [""; 0]);
    assert_eq!(node.applications().loaded_applications(), []);
    assert_eq!(node.process_count(), 0);
    node.stop(3);
    assert_eq!(node.stopped().await, 3);
    assert_eq!(node.process_count(), 0);
}

#[tokio::test(start_paused = true)]
async fn app_014_what_is_loaded_is_known_once() {
    let diary = Diary::default();
    let node = node([LabApp::new("a", &diary)]).await;
    let applications = node.applications();
    let again = applications.load(LabApp::new("a", &diary).app()).await;
    assert_eq!(again, Err(LoadError::AlreadyLoaded("a")));
    let loaded = applications.loaded_applications();
    assert_eq!(loaded.iter().map(ToString::to_string).collect::<Vec<_>>(), ["a 1.0.0"]);
    for bad in ["", "A", "1a", "a b", "a__b", "a_", "ä"] {
        let refused = applications.load(LabApp::new(bad, &diary).app()).await;
        assert_eq!(refused, Err(LoadError::BadName(bad)));
    }
    applications.start("a", TEMPORARY).await.unwrap();
    assert_eq!(applications.unload("a").await, Err(UnloadError::Running("a".into())));
    applications.stop("a").await.unwrap();
    applications.unload("a").await.unwrap();
    assert_eq!(applications.unload("a").await, Err(UnloadError::NotLoaded("a".into())));
    assert_eq!(applications.loaded_applications(), []);
    assert_eq!(applications.start("a", TEMPORARY).await, Err(StartError::NotLoaded("a".into())));
}

#[tokio::test(start_paused = true)]
async fn app_016_ensure_started_is_idempotent_and_a_plain_start_is_not() {
    let diary = Diary::default();
    let node = node([LabApp::new("a", &diary)]).await;
    let applications = node.applications();
    applications.ensure_started("a", TEMPORARY).await.unwrap();
    applications.ensure_started("a", TEMPORARY).await.unwrap();
    assert_eq!(applications.start("a", TEMPORARY).await, Err(StartError::AlreadyStarted("a")));
    assert_eq!(applications.ensure_started("b", TEMPORARY).await, Err(StartError::NotLoaded("b".into())));
    assert_eq!(which(&node).await, ["a"]);
    assert_eq!(diary.take(), "start a");
}

#[tokio::test(start_paused = true)]
async fn app_017_dependencies_start_first_and_what_was_started_is_answered() {
    let diary = Diary::default();
    let node = node([
        LabApp::new("top", &diary).needs(&["middle"]),
        LabApp::new("middle", &diary).needs(&["base"]),
        LabApp::new("base", &diary),
    ])
    .await;
    let applications = node.applications();
    assert_eq!(applications.start("top", TEMPORARY).await, Err(StartError::NotStarted("middle")));
    applications.start("base", TEMPORARY).await.unwrap();
    assert_eq!(applications.ensure_all_started("top", TEMPORARY).await.unwrap(), ["middle", "top"]);
    assert_eq!(applications.ensure_all_started("top", TEMPORARY).await.unwrap(), [""; 0]);
    assert_eq!(which(&node).await, ["base", "middle", "top"]);
    assert_eq!(diary.take(), "start base, start middle, start top");
}

#[tokio::test(start_paused = true)]
async fn app_017_a_failure_deep_in_the_chain_stops_what_was_started_and_names_what_failed() {
    for fault in [Fault::Fails, Fault::Panics, Fault::FailsPhase] {
        let diary = Diary::default();
        let node = node([
            LabApp::new("top", &diary).needs(&["middle"]).phases(&["go"]).fault(fault),
            LabApp::new("middle", &diary).needs(&["base"]),
            LabApp::new("base", &diary),
        ])
        .await;
        let applications = node.applications();
        applications.start("base", TEMPORARY).await.unwrap();
        let failed = applications.ensure_all_started("top", TEMPORARY).await;
        let Err(StartError::Failed { application: "top", reason }) = failed else { panic!("{failed:?}") };
        let class = if fault == Fault::Panics { "panic" } else { "error" };
        assert_eq!(reason.to_string(), format!("{class}: boom"));
        assert_eq!(which(&node).await, ["base"]);
        let top = if fault == Fault::FailsPhase { "go top, end top, " } else { "" };
        let expected =
            format!("start base, start middle, start top, {top}prep_stop middle, end middle, stop middle");
        assert_eq!(diary.take(), expected, "{fault:?}");
        // The controller, the base's master, its supervisor and its worker.
        assert_eq!(node.process_count(), 4);
    }
}

#[tokio::test(start_paused = true)]
async fn app_022_a_transient_application_whose_start_fails_takes_the_node_down() {
    for (kind, down) in
        [(StartType::Temporary, false), (StartType::Transient, true), (StartType::Permanent, true)]
    {
        let diary = Diary::default();
        let node = node([LabApp::new("good", &diary), LabApp::new("bad", &diary).fault(Fault::Fails)]).await;
        let applications = node.applications();
        applications.start("good", TEMPORARY).await.unwrap();
        let failed = applications.start("bad", kind).await;
        assert!(matches!(failed, Err(StartError::Failed { application: "bad", .. })), "{failed:?}");
        if down {
            assert_eq!(in_time(node.stopped()).await, 1);
            assert_eq!(diary.take(), "start good, start bad, prep_stop good, end good, stop good");
            assert_eq!(applications.start("good", kind).await, Err(StartError::NodeStops));
        } else {
            assert_eq!(which(&node).await, ["good"]);
        }
    }
}

#[tokio::test(start_paused = true)]
async fn app_023_two_who_start_it_at_once_both_hear_ok_and_it_starts_once() {
    let diary = Diary::default();
    let slow = LabApp::new("a", &diary).takes(Duration::from_secs(3));
    let node = node([slow, LabApp::new("b", &diary).fault(Fault::Fails).takes(Duration::from_secs(1))]).await;
    let applications = node.applications();
    let (one, two, all) = tokio::join!(
        applications.start("a", TEMPORARY),
        applications.start("a", TEMPORARY),
        applications.ensure_all_started("a", TEMPORARY)
    );
    assert_eq!((one, two, all), (Ok(()), Ok(()), Ok(vec![])));
    assert_eq!(diary.take(), "start a");
    let (one, two) = tokio::join!(applications.start("b", TEMPORARY), applications.start("b", TEMPORARY));
    assert!(one.is_err());
    assert_eq!(one, two);
    assert_eq!(diary.take(), "start b");
}

#[tokio::test(start_paused = true)]
async fn app_027_what_is_needed_and_was_killed_is_not_running() {
    let diary = Diary::default();
    let node = node([LabApp::new("top", &diary).needs(&["base"]), LabApp::new("base", &diary)]).await;
    let applications = node.applications();
    assert_eq!(applications.start("top", TEMPORARY).await, Err(StartError::NotStarted("base")));
    applications.start("base", TEMPORARY).await.unwrap();
    let base = worker(&node, "base");
    let master = node.process_info(node.process_info(base.pid()).unwrap().parent.unwrap()).unwrap().parent;
    node.exit(master.unwrap(), ExitReason::Kill);
    base.ended().await;
    assert_eq!(applications.start("top", TEMPORARY).await, Err(StartError::NotRunning("base")));
    // It can be started anew.
    applications.ensure_all_started("top", TEMPORARY).await.unwrap();
    assert_eq!(which(&node).await, ["base", "top"]);
}

#[tokio::test(start_paused = true)]
async fn app_030_start_phases_run_in_order_when_the_tree_is_up_and_before_the_start_returns() {
    let diary = Diary::default();
    let node = node([LabApp::new("a", &diary).phases(&["init", "go", "late"])]).await;
    node.applications().start("a", TEMPORARY).await.unwrap();
    assert_eq!(diary.take(), "start a, init a, go a, late a");
}

#[tokio::test(start_paused = true)]
async fn rule_2_15_1_a_cycle_or_a_missing_dependency_starts_nothing() {
    let diary = Diary::default();
    let node = node([
        LabApp::new("a", &diary).needs(&["b"]),
        LabApp::new("b", &diary).needs(&["a"]),
        LabApp::new("c", &diary).needs(&["ok", "gone"]),
        LabApp::new("ok", &diary),
    ])
    .await;
    let applications = node.applications();
    let cycle = applications.ensure_all_started("a", TEMPORARY).await.unwrap_err();
    assert_eq!(cycle.to_string(), "applications need each other: a -> b -> a");
    let missing = applications.ensure_all_started("c", TEMPORARY).await.unwrap_err();
    assert_eq!(missing.to_string(), "application c needs gone, which is not loaded");
    assert_eq!((diary.take(), which(&node).await), (String::new(), vec![]));
}

#[tokio::test(start_paused = true)]
async fn rule_2_15_3_a_normal_end_takes_the_node_down_only_if_the_application_is_permanent() {
    for (kind, down) in
        [(StartType::Temporary, false), (StartType::Transient, false), (StartType::Permanent, true)]
    {
        let diary = Diary::default();
        let node = node([LabApp::new("a", &diary)]).await;
        node.applications().start("a", kind).await.unwrap();
        let top = node.process_info(worker(&node, "a").pid()).unwrap().parent.unwrap();
        incarnate::sys::terminate(&node, top, ExitReason::Normal, Timeout::Infinity).await.unwrap();
        if down {
            assert_eq!(in_time(node.stopped()).await, 1);
        } else {
            while !which(&node).await.is_empty() {
                tokio::task::yield_now().await;
            }
            node.applications().start("a", kind).await.unwrap();
        }
    }
}

#[tokio::test(start_paused = true)]
async fn rule_2_15_3_what_the_end_of_an_application_means_for_the_node() {
    for (kind, down) in
        [(StartType::Temporary, false), (StartType::Transient, true), (StartType::Permanent, true)]
    {
        let diary = Diary::default();
        let node = node([LabApp::new("base", &diary), LabApp::new("a", &diary)]).await;
        let applications = node.applications();
        applications.start("base", TEMPORARY).await.unwrap();
        applications.start("a", kind).await.unwrap();
        diary.take();
        // The worker crashes once more than its supervisor bears: the tree ends with shutdown.
        worker(&node, "a").cast(Order::End(ExitReason::term("boom")));
        if down {
            assert_eq!(in_time(node.stopped()).await, 1);
            assert_eq!(diary.take(), "end a, prep_stop a, stop a, prep_stop base, end base, stop base");
            assert_eq!(node.processes(), []);
        } else {
            while which(&node).await.len() == 2 {
                tokio::task::yield_now().await;
            }
            assert_eq!(
                (which(&node).await, diary.take()),
                (vec!["base"], "end a, prep_stop a, stop a".to_owned())
            );
        }
    }
}

/// What needs something had it when it was started: that it is gone since changes nothing.
#[tokio::test(start_paused = true)]
async fn app_016_what_runs_is_not_started_again_nor_what_it_needs() {
    let diary = Diary::default();
    let node = node([LabApp::new("a", &diary).needs(&["b"]), LabApp::new("b", &diary)]).await;
    let applications = node.applications();
    applications.ensure_all_started("a", TEMPORARY).await.unwrap();
    applications.stop("b").await.unwrap();
    assert_eq!(applications.ensure_all_started("a", TEMPORARY).await, Ok(vec![]));
    applications.unload("b").await.unwrap();
    assert_eq!(applications.ensure_all_started("a", TEMPORARY).await, Ok(vec![]));
}

/// One that shares a dependency with another, which fails and stops it again: it is started once more.
#[tokio::test(start_paused = true)]
async fn app_017_what_another_start_took_away_is_started_again() {
    let diary = Diary::default();
    let fails =
        LabApp::new("fails", &diary).needs(&["base"]).fault(Fault::Fails).takes(Duration::from_secs(1));
    let slow = LabApp::new("slow", &diary).takes(Duration::from_secs(3));
    let top = LabApp::new("top", &diary).needs(&["base", "slow"]);
    let node = node([fails, LabApp::new("base", &diary), slow, top]).await;
    let applications = node.applications();
    let (failed, started) = tokio::join!(
        applications.ensure_all_started("fails", TEMPORARY),
        applications.ensure_all_started("top", TEMPORARY)
    );
    assert!(failed.is_err());
    assert_eq!(started, Ok(vec!["slow", "base", "top"]));
    assert_eq!(which(&node).await.len(), 3);
}

#[tokio::test(start_paused = true)]
async fn app_017_what_was_started_for_one_that_fails_is_stopped_again_the_youngest_first() {
    let diary = Diary::default();
    let fails = LabApp::new("fails", &diary).needs(&["one", "two", "three"]).fault(Fault::Fails);
    let [one, two, three] = ["one", "two", "three"].map(|name| LabApp::new(name, &diary));
    let node = node([fails, one, two, three]).await;
    assert!(node.applications().ensure_all_started("fails", TEMPORARY).await.is_err());
    let stops = ["three", "two", "one"].map(|name| format!("prep_stop {name}, end {name}, stop {name}"));
    let expected = format!("start one, start two, start three, start fails, {}", stops.join(", "));
    assert_eq!(diary.take(), expected);
}
