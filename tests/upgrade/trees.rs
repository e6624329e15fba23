//! Steps that change supervision trees: carried out with the modules, or undone with them.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use incarnate::gen_server::GenServer;
use incarnate::supervisor::{Strategy, SupervisorName};
use incarnate::upgrade::{
    ChangeFlags, ChangeStrategy, Direction, Phase, Place, Report, Step, Update, Upgrade, UpgradeError, Value,
    Versions,
};
use incarnate::{ChildSpec, ExitReason, Name, Node, StartError, Supervisor, SupervisorRef, Tree};

use crate::aborts::Gate;
use crate::keys::*;
use crate::reports::Reports;
use crate::wait::in_time;

const TOP: SupervisorName = SupervisorName::new("top");
const ROOMS: SupervisorName = SupervisorName::new("rooms");
const A: Name<Call, Cast, u64> = Name::new("a");
const B: Name<Call, Cast, u64> = Name::new("b");

fn key(name: Name<Call, Cast, u64>, number: u64) -> ChildSpec<Key> {
    ChildSpec::worker(name.as_str(), move || One::server((number, 0)).upgradable().name(name).start_link())
}

/// A server that takes no part in upgrades.
fn plain(id: &'static str, starts: Arc<AtomicU32>) -> ChildSpec<Key> {
    ChildSpec::worker(id, move || {
        starts.fetch_add(1, Ordering::Relaxed);
        One::server((7, 0)).start_link()
    })
}

fn broken(id: &'static str) -> ChildSpec<Key> {
    ChildSpec::worker(id, || async { Err::<Key, _>(StartError::Ignore).or(Err(StartError::Timeout)) })
}

struct Lab {
    node: Node,
    top: SupervisorRef,
    versions: Versions,
    starts: Arc<AtomicU32>,
}

impl Lab {
    async fn new() -> Self {
        let node = Node::new("lab");
        let starts = Arc::<AtomicU32>::default();
        let rooms = Supervisor::tree("rooms").name(ROOMS).child(plain("room", Arc::default()));
        let tree = Supervisor::tree("top").name(TOP).child(key(A, 1)).child(key(B, 2)).child(rooms);
        let top = tree.on(&node).start().await.unwrap();
        let versions = versions()
            .with_child(plain("new", starts.clone()))
            .with_child(plain("room", starts.clone()))
            .with_child(broken("broken"))
            .with_child(broken("a"));
        Lab { node, top, versions, starts }
    }

    async fn run(&self, steps: impl IntoIterator<Item = Step>) -> Result<Report, UpgradeError> {
        let plan = steps.into_iter().fold(Upgrade::new("trees"), Upgrade::up);
        plan.run(&self.node, &self.versions, Direction::Up).await
    }

    async fn shape(&self) -> String {
        self.top.tree().await.unwrap().shape().to_string()
    }

    /// Everything as it was before: versions, numbers, processes, the tree.
    async fn is_untouched(&self, before: &(String, [Key; 2])) {
        assert_eq!(self.shape().await, before.0);
        for (key, number) in before.1.iter().zip([1, 2]) {
            assert_eq!((get(key).await, version(key).await), (number, 1));
            assert!(!self.node.process_info(key.pid()).unwrap().suspended);
        }
    }

    async fn before(&self) -> (String, [Key; 2]) {
        (self.shape().await, [A.on(&self.node).unwrap(), B.on(&self.node).unwrap()])
    }
}

fn add(supervisor: &str, child: &str) -> Step {
    Step::AddChild(Place::new(supervisor, child))
}

fn delete(supervisor: &str, child: &str) -> Step {
    Step::DeleteChild(Place::new(supervisor, child))
}

fn replace(supervisor: &str, child: &str) -> Step {
    Step::ReplaceChild(Place::new(supervisor, child))
}

#[tokio::test(start_paused = true)]
async fn children_are_added_replaced_and_deleted_with_the_modules() {
    let lab = Lab::new().await;
    let (_, [a, _]) = lab.before().await;
    let steps = [
        Step::update("key", 1, 2),
        add("top/rooms", "new"),
        replace("top/rooms", "room"),
        delete("top", "b"),
    ];
    let report = lab.run(steps).await.unwrap();
    assert_eq!(report.modules[0].processes, 1, "what was deleted was not changed");
    assert_eq!(
        lab.shape().await,
        "top supervisor one_for_one\n  a worker permanent\n  rooms supervisor one_for_one permanent\n    \
         room worker permanent\n    new worker permanent\n"
    );
    assert_eq!(lab.starts.load(Ordering::Relaxed), 2);
    assert_eq!((get(&a).await, version(&a).await), (1, 2));
    assert_eq!(lab.node.whereis("b"), None);
}

#[tokio::test(start_paused = true)]
async fn a_child_that_does_not_start_undoes_everything() {
    for failing in [add("top", "broken"), replace("top", "a"), add("top/rooms", "broken")] {
        let lab = Lab::new().await;
        let before = lab.before().await;
        let steps =
            [Step::update("key", 1, 2), add("top", "new"), replace("top/rooms", "room"), failing.clone()];
        let error = lab.run(steps).await.unwrap_err();
        let UpgradeError::Tree { why, .. } = &error else { panic!("{error}") };
        assert!(why.contains("init took too long") || why.contains("timeout"), "{why}");
        if failing == replace("top", "a") {
            // Its process was ended and started again: it begins anew, in the old version.
            let a = A.on(&lab.node).unwrap();
            assert_eq!((get(&a).await, version(&a).await), (1, 1));
            assert_eq!(lab.shape().await, before.0);
        } else {
            lab.is_untouched(&before).await;
        }
    }
}

/// It runs the version to come, before anybody else does, and so does what it starts in its turn.
#[tokio::test(start_paused = true)]
async fn a_child_that_runs_what_the_plan_changes_starts_in_the_version_to_come() {
    const C: Name<Call, Cast, u64> = Name::new("c");
    const D: Name<Call, Cast, u64> = Name::new("d");
    for failing in [None, Some(add("top", "broken"))] {
        let mut lab = Lab::new().await;
        let before = lab.before().await;
        let inner = Supervisor::tree("inner").child(key(C, 3));
        lab.versions = lab.versions.with_child(Supervisor::tree("more").child(inner)).with_child(key(D, 4));
        lab.versions = lab.versions.with_child(key(B, 5));
        let steps = [Step::update("key", 1, 2), add("top", "more"), add("top", "d"), replace("top", "b")];
        let result = lab.run(steps.into_iter().chain(failing.clone())).await;
        assert_eq!(result.is_err(), failing.is_some(), "{result:?}");
        if failing.is_some() {
            assert_eq!((C.on(&lab.node).is_err(), D.on(&lab.node).is_err()), (true, true));
            assert_eq!(lab.shape().await, before.0);
            // What was replaced begins anew.
            let b = B.on(&lab.node).unwrap();
            assert_eq!((get(&b).await, version(&b).await), (2, 1));
        } else {
            for (name, number) in [(A, 1), (B, 5), (C, 3), (D, 4)] {
                let key = name.on(&lab.node).unwrap();
                assert_eq!((get(&key).await, version(&key).await), (number, 2));
            }
        }
        // The module is free again, and of one version.
        let (from, to) = if failing.is_some() { (1, 3) } else { (2, 3) };
        lab.run([Step::update("key", from, to)]).await.unwrap();
    }
}

/// A start that the step did not ask for is nobody's: it waits as any other does, and the plan gives up.
#[tokio::test(start_paused = true)]
async fn a_restart_in_the_middle_of_the_steps_is_held() {
    let mut lab = Lab::new().await;
    let (shape, [a, b]) = lab.before().await;
    let node = lab.node.clone();
    let killer = ChildSpec::worker("killer", move || {
        let node = node.clone();
        async move {
            if let Ok(a) = A.on(&node) {
                node.exit(a.pid(), ExitReason::Kill);
            }
            One::server((7, 0)).start_link().await
        }
    });
    lab.versions = lab.versions.with_child(killer).with_child(key(B, 2));
    let flags = ChangeFlags { intensity: Some(9), ..ChangeFlags::of("top") };
    for next in [Step::ChangeFlags(flags), add("top", "new"), replace("top", "b")] {
        let error = lab.run([Step::update("key", 1, 2), add("top", "killer"), next]).await.unwrap_err();
        assert!(error.to_string().contains("has not answered in time"), "{error}");
        tokio::time::sleep(Duration::from_secs(6)).await; // sleep: virtual time
        let again = A.on(&lab.node).unwrap();
        assert_ne!(again.pid(), a.pid());
        for (key, number) in [(again, 1), (b.clone(), 2)] {
            assert_eq!((get(&key).await, version(&key).await), (number, 1));
        }
        assert_eq!(lab.shape().await, shape);
    }
}

/// The supervisor waits to start a child again, which was killed before the steps began.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_supervisor_that_waits_for_the_plan_is_not_waited_for() {
    let node = Node::new("lab");
    let tree = Supervisor::tree("top").name(TOP).child(key(A, 1)).child(key(B, 2));
    let top = tree.on(&node).start().await.unwrap();
    let flags = ChangeFlags { intensity: Some(9), ..ChangeFlags::of("top") };
    let gate = Gate::shut();
    let plan = plan(1, 2, "hang 2").suspend_timeout(Duration::from_millis(300)).up(Step::ChangeFlags(flags));
    let mut running = plan.run(&node, &versions(), Direction::Up);
    while running.progress().await.is_some_and(|progress| progress.phase != Phase::Converting) {}
    node.exit(A.on(&node).unwrap().pid(), ExitReason::Kill);
    while A.on(&node).is_ok() {
        tokio::task::yield_now().await;
    }
    drop(gate);
    let error = in_time(async { running.await }).await.unwrap_err();
    assert!(error.to_string().contains("has not answered in time"), "{error}");
    assert_eq!(in_time(top.count_children()).await.unwrap().active, 2);
    for (name, number) in [(A, 1), (B, 2)] {
        let key = name.on(&node).unwrap();
        assert_eq!((get(&key).await, version(&key).await), (number, 1));
    }
}

#[tokio::test(start_paused = true)]
async fn each_phase_is_an_event() {
    let lab = Lab::new().await;
    let reports = Reports::record_up_to(tracing::Level::INFO);
    let told = || {
        let events = reports.take().into_iter().filter(|event| event.target == "incarnate::upgrade");
        let said = events.map(|event| {
            assert_eq!(event.field("plan"), "trees");
            let phase = event.fields.get("phase").map(|phase| format!(" {phase} {}", event.field("total")));
            event.field("message").to_owned() + &phase.unwrap_or_default()
        });
        said.collect::<Vec<_>>()
    };
    lab.run([Step::update("key", 1, 2), add("top", "new")]).await.unwrap();
    let done = [
        "upgrade begins",
        "upgrade goes on Suspending 2",
        "upgrade goes on Converting 2",
        "upgrade goes on Supervising 1",
        "upgrade goes on Resuming 2",
        "upgrade done",
    ];
    assert_eq!(told(), done);
    lab.run([Step::update("key", 2, 3), add("top", "broken")]).await.unwrap_err();
    assert_eq!(
        told()[3..],
        ["upgrade goes on Supervising 1", "upgrade goes on Aborting 2", "upgrade aborted"]
    );
    drop(reports);
    let reports = Reports::record();
    lab.run([Step::update("key", 1, 7)]).await.unwrap_err();
    assert_eq!(reports.targets(), ["upgrade"]);
    lab.run([Step::update("key", 7, 1)]).await.unwrap_err();
    let refused = reports.take();
    assert_eq!((refused.len(), refused[0].level), (1, tracing::Level::WARN));
    assert!(refused[0].field("error").contains("key@7 cannot be had"), "{refused:?}");
}

#[tokio::test(start_paused = true)]
async fn a_step_builds_on_those_before_it() {
    let mut lab = Lab::new().await;
    let before = lab.before().await;
    let more = Supervisor::tree("more").child(plain("first", Arc::default()));
    lab.versions = lab.versions.with_child(more).with_child(plain("b", lab.starts.clone()));
    let steps = [
        add("top", "more"),
        add("top/more", "new"),
        delete("top/more", "first"),
        delete("top", "b"),
        add("top", "b"),
        add("top", "new"),
    ];
    for wrong in [add("top", "new"), add("top/more", "new"), delete("top/more", "first"), add("top", "more")]
    {
        lab.run(steps.iter().cloned().chain([wrong])).await.unwrap_err();
        assert_eq!(lab.shape().await, before.0);
    }
    let plan = steps.iter().cloned().fold(Upgrade::new("trees"), Upgrade::up);
    assert!(plan.check(&lab.node, &lab.versions, Direction::Up).await.unwrap().is_ok());
    lab.run(steps).await.unwrap();
    let shape = lab.shape().await;
    assert!(shape.contains("  more supervisor one_for_one permanent\n    new worker"), "{shape}");
    assert!(shape.contains("  b worker") && !shape.contains("first"), "{shape}");
}

#[tokio::test(start_paused = true)]
async fn what_a_plan_has_started_and_nobody_is_linked_to_ends_with_it() {
    let mut lab = Lab::new().await;
    let before = lab.before().await;
    let child = ChildSpec::worker("child", || async {
        One::server((8, 0)).upgradable().name(STRAY).start().await?;
        One::server((9, 0)).upgradable().start_link().await
    });
    const STRAY: Name<Call, Cast, u64> = Name::new("stray");
    lab.versions = lab.versions.with_child(child);
    lab.run([Step::update("key", 1, 2), add("top", "child"), add("top", "broken")]).await.unwrap_err();
    assert!(STRAY.on(&lab.node).is_err());
    lab.is_untouched(&before).await;
    lab.run([Step::update("key", 1, 2), add("top", "child")]).await.unwrap();
    assert_eq!(version(&STRAY.on(&lab.node).unwrap()).await, 2);
}

/// Who is let in is the supervisor of the step: a start of anybody else waits, also within the same tree.
#[tokio::test(start_paused = true)]
async fn while_a_child_is_added_nobody_else_starts_the_module() {
    let mut lab = Lab::new().await;
    let (go, wait) = tokio::sync::watch::channel(false);
    let slow = ChildSpec::worker("slow", move || {
        let mut wait = wait.clone();
        async move {
            let _ = wait.wait_for(|go| *go).await;
            One::server((0, 0)).upgradable().start_link().await
        }
    });
    lab.versions = lab.versions.with_child(slow);
    let rooms = SupervisorRef::named_on(&lab.node, ROOMS).unwrap();
    let upgrading = tokio::spawn(async move {
        let report = lab.run([Step::update("key", 1, 2), add("top", "slow")]).await;
        (lab, report)
    });
    tokio::time::sleep(Duration::from_secs(1)).await; // sleep: virtual time
    const E: Name<Call, Cast, u64> = Name::new("e");
    let starting = tokio::spawn(async move { rooms.start_child(key(E, 5)).await });
    tokio::time::sleep(Duration::from_secs(1)).await; // sleep: virtual time
    assert!(!starting.is_finished());
    go.send(true).unwrap();
    let (lab, report) = upgrading.await.unwrap();
    assert_eq!(report.unwrap().modules[0].processes, 2);
    let e = starting.await.unwrap().unwrap();
    assert_eq!((get(&e).await, version(&e).await), (5, 2));
    assert_eq!(E.on(&lab.node).unwrap().pid(), e.pid());
}

#[tokio::test(start_paused = true)]
async fn what_cannot_be_carried_out_is_found_before_anything_is_touched() {
    let lab = Lab::new().await;
    let before = lab.before().await;
    let flags = ChangeFlags { supervisor: "top".into(), period: Some(0), ..ChangeFlags::default() };
    for (step, text) in [
        (add("nowhere", "new"), "nowhere: there is no such supervisor"),
        (add("top/a", "new"), "top/a: there is no such supervisor"),
        (add("top", "unknown"), "top: the source has no child unknown"),
        (add("top/rooms", "room"), "it has a child room already"),
        (replace("top", "new"), "it has no child new"),
        (delete("top", "new"), "it has no child new"),
        (Step::ChangeFlags(flags), "at the supervisor top"),
        (Step::ChangeSupervisor { supervisor: "top".into() }, "the source has no tree for it"),
    ] {
        let error = lab.run([Step::update("key", 1, 2), step]).await.unwrap_err().to_string();
        assert!(error.contains(text), "{error}");
        lab.is_untouched(&before).await;
    }
}

/// Rule 2.12: flags and specifications change, and nothing is started or ended by it.
#[tokio::test(start_paused = true)]
async fn rule_2_12_flags_and_trees() {
    let mut lab = Lab::new().await;
    let (_, keys) = lab.before().await;
    let flags = ChangeFlags {
        supervisor: "top".into(),
        strategy: Some(ChangeStrategy::OneForAll),
        intensity: Some(9),
        ..ChangeFlags::default()
    };
    lab.run([Step::ChangeFlags(flags)]).await.unwrap();
    assert!(lab.shape().await.starts_with("top supervisor one_for_all"));
    let tree: Tree = Supervisor::tree("top").strategy(Strategy::RestForOne).child(key(B, 2)).child(key(A, 1));
    lab.versions = lab.versions.with_tree("top", tree.child(plain("later", Arc::default())));
    lab.run([Step::update("key", 1, 2), Step::ChangeSupervisor { supervisor: "top".into() }]).await.unwrap();
    let shape = lab.shape().await;
    assert!(shape.starts_with("top supervisor rest_for_one\n"), "{shape}");
    assert!(shape.contains("  b worker permanent\n  a worker permanent\n  later worker"), "{shape}");
    for (key, number) in keys.iter().zip([1, 2]) {
        assert_eq!((get(key).await, version(key).await), (number, 2));
    }
}

/// What is undone would take back what another plan has done meanwhile.
#[tokio::test(start_paused = true)]
async fn of_two_plans_for_one_supervisor_the_second_is_refused() {
    let mut lab = Lab::new().await;
    let before = lab.before().await;
    let second = Arc::new(std::sync::Mutex::new(None));
    let (node, said) = (lab.node.clone(), second.clone());
    let meddler = ChildSpec::worker("meddler", move || {
        let (node, said) = (node.clone(), said.clone());
        async move {
            let flags = ChangeFlags { intensity: Some(9), ..ChangeFlags::of("rooms") };
            let plan = Upgrade::new("second").up(Step::ChangeFlags(flags));
            *said.lock().unwrap() = plan.run(&node, &versions(), Direction::Up).await.err();
            One::server((7, 0)).start_link().await
        }
    });
    lab.versions = lab.versions.with_child(meddler);
    let steps = [add("top/rooms", "new"), add("top", "meddler"), add("top", "broken")];
    lab.run(steps).await.unwrap_err();
    assert_eq!(*second.lock().unwrap(), Some(UpgradeError::Busy(vec!["rooms".to_owned()])));
    assert_eq!(lab.shape().await, before.0);
}

#[tokio::test(start_paused = true)]
async fn a_start_function_that_hangs_holds_nobody_up() {
    let mut lab = Lab::new().await;
    let before = lab.before().await;
    let (go, wait) = tokio::sync::watch::channel(false);
    let slow = ChildSpec::worker("slow", move || {
        let mut wait = wait.clone();
        async move {
            let _ = wait.wait_for(|go| *go).await;
            One::server((0, 0)).start_link().await
        }
    });
    lab.versions = lab.versions.with_child(slow);
    let error = lab.run([Step::update("key", 1, 2), add("top", "slow")]).await.unwrap_err();
    assert!(error.to_string().contains("has not answered in time"), "{error}");
    for (key, number) in before.1.iter().zip([1, 2]) {
        assert_eq!((get(key).await, version(key).await), (number, 1));
    }
    // Meanwhile that supervisor cannot be changed, others can.
    let flags = Step::ChangeFlags(ChangeFlags { intensity: Some(9), ..ChangeFlags::of("top") });
    let error = lab.run([flags.clone()]).await.unwrap_err();
    assert!(error.to_string().contains("has not answered in time"), "{error}");
    let rooms = Step::ChangeFlags(ChangeFlags { intensity: Some(9), ..ChangeFlags::of("rooms") });
    lab.run([Step::update("key", 1, 2), rooms]).await.unwrap();
    lab.run([Step::update("key", 2, 1)]).await.unwrap();
    // When it is done after all, that is undone too.
    go.send(true).unwrap();
    tokio::time::sleep(Duration::from_secs(1)).await; // sleep: virtual time
    lab.is_untouched(&before).await;
    lab.run([flags]).await.unwrap();
}

#[test]
fn a_plan_is_data() {
    let plan = Upgrade::new("all")
        .up(Step::Load { module: "key@2".parse().unwrap() })
        .both(Update::new("key", 1, 2).extra(Value::Text("x".into())).depends_on("store"))
        .up(add("top", "new"))
        .down(delete("top", "new"))
        .convert_timeout(Duration::from_millis(250));
    let term = incarnate::Term::encode(&plan).unwrap();
    assert_eq!(term.decode::<Upgrade>().unwrap(), plan);
}
