//! Significant children and automatic shutdown.

use incarnate::supervisor::{AutoShutdown, Restart, SpecError, StartChildError, Strategy};
use incarnate::{ChildSpec, ExitReason, Supervisor, SupervisorRef, Tree};

use crate::nursery::{Kid, Nursery, crash, end_of, secs, world};

const ANY: AutoShutdown = AutoShutdown::AnySignificant;
const ALL: AutoShutdown = AutoShutdown::AllSignificant;
const NEVER: AutoShutdown = AutoShutdown::Never;

/// The ways in which a child ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Way {
    Admin,
    Kill,
    Crash,
    Normal,
}

const WAYS: [Way; 4] = [Way::Admin, Way::Kill, Way::Crash, Way::Normal];

async fn end(nursery: &Nursery, supervisor: &SupervisorRef, id: &str, way: Way) {
    match way {
        Way::Admin => supervisor.terminate_child(id).await.unwrap(),
        Way::Kill => nursery.kill(id).await,
        Way::Crash => nursery.crash(id).await,
        Way::Normal => nursery.end(id, ExitReason::Normal).await,
    }
}

/// What becomes of the supervisor: still there, or gone with shutdown, and with it all children.
async fn lives(nursery: &Nursery, supervisor: &SupervisorRef) -> bool {
    match supervisor.which_children().await {
        Ok(_) => true,
        Err(_) => {
            assert!(!supervisor.is_alive());
            assert!(!nursery.at("bystander").is_alive());
            false
        }
    }
}

fn tree(nursery: &Nursery, auto: AutoShutdown, children: &[ChildSpec<Kid>]) -> Tree {
    let tree = Supervisor::tree("s").auto_shutdown(auto).intensity(9, secs(60));
    children.iter().fold(tree.child(nursery.worker("bystander")), |tree, child| tree.child(child.clone()))
}

/// a and b of this type end one after the other in this way; whether the supervisor lives after each.
async fn check(auto: AutoShutdown, restart: Restart, significant: bool, way: Way, expected: [bool; 2]) {
    world(move |_, nursery| async move {
        let child = |id| nursery.worker(id).restart(restart).significant(significant);
        let supervisor = tree(&nursery, auto, &[child("a"), child("b")]).start_link().await.unwrap();
        let mut seen = [false; 2];
        for (at, id) in ["a", "b"].into_iter().enumerate() {
            if !supervisor.is_alive() {
                break;
            }
            end(&nursery, &supervisor, id, way).await;
            seen[at] = lives(&nursery, &supervisor).await;
        }
        assert_eq!(seen, expected, "{auto:?} {restart} significant: {significant} {way:?}");
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn sup_092_nonsignificant_temporary() {
    for auto in [NEVER, ANY, ALL] {
        for way in WAYS {
            check(auto, Restart::Temporary, false, way, [true, true]).await;
        }
    }
}

#[tokio::test(start_paused = true)]
async fn sup_093_nonsignificant_transient() {
    for auto in [NEVER, ANY, ALL] {
        for way in WAYS {
            check(auto, Restart::Transient, false, way, [true, true]).await;
        }
    }
}

#[tokio::test(start_paused = true)]
async fn sup_094_significant_temporary_any() {
    check(ANY, Restart::Temporary, true, Way::Admin, [true, true]).await;
    for way in [Way::Kill, Way::Crash, Way::Normal] {
        check(ANY, Restart::Temporary, true, way, [false, false]).await;
    }
}

#[tokio::test(start_paused = true)]
async fn sup_095_significant_temporary_all() {
    check(ALL, Restart::Temporary, true, Way::Admin, [true, true]).await;
    for way in [Way::Kill, Way::Crash, Way::Normal] {
        check(ALL, Restart::Temporary, true, way, [true, false]).await;
    }
}

#[tokio::test(start_paused = true)]
async fn sup_096_significant_transient_any() {
    for way in [Way::Admin, Way::Kill, Way::Crash] {
        check(ANY, Restart::Transient, true, way, [true, true]).await;
    }
    check(ANY, Restart::Transient, true, Way::Normal, [false, false]).await;
}

#[tokio::test(start_paused = true)]
async fn sup_097_significant_transient_all() {
    for way in [Way::Admin, Way::Kill, Way::Crash] {
        check(ALL, Restart::Transient, true, way, [true, true]).await;
    }
    check(ALL, Restart::Transient, true, Way::Normal, [true, false]).await;
}

#[tokio::test(start_paused = true)]
async fn an_automatic_shutdown_ends_with_shutdown_in_reverse_order() {
    world(|mut me, nursery| async move {
        let significant = nursery.worker("a").restart(Restart::Transient).significant(true);
        let supervisor = tree(&nursery, ANY, &[significant, nursery.worker("b")]).start_link().await.unwrap();
        nursery.log();
        nursery.end("a", ExitReason::shutdown_with("done")).await;
        assert_eq!(end_of(&mut me, supervisor.pid()).await, ExitReason::Shutdown);
        assert_eq!(nursery.log(), ["end a#1", "end b#1", "end bystander#1"]);
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn sup_099_significant_bystander() {
    for (strategy, auto) in [
        (Strategy::OneForAll, ANY),
        (Strategy::OneForAll, ALL),
        (Strategy::RestForOne, ANY),
        (Strategy::RestForOne, ALL),
    ] {
        world(move |_, nursery| async move {
            let significant = nursery.worker("a").restart(Restart::Transient).significant(true);
            let tree = tree(&nursery, auto, &[significant]).strategy(strategy);
            let supervisor = tree.start_link().await.unwrap();
            nursery.crash("bystander").await;
            assert_eq!(nursery.children(&supervisor).await, "a=a#2 bystander=bystander#2");
        })
        .await;
    }
}

/// A supervisor whose significant child ends normally, below one that takes it for significant or not; whether the
/// outer one lives.
async fn escalation(significant: bool, expected: bool) {
    world(move |_, nursery| async move {
        let child = nursery.worker("a").restart(Restart::Transient).significant(true);
        let inner = Supervisor::tree("inner").auto_shutdown(ANY).child(child);
        let inner = ChildSpec::from(inner).restart(Restart::Transient).significant(significant);
        let outer =
            Supervisor::tree("outer").auto_shutdown(ANY).child(nursery.worker("bystander")).child(inner);
        let outer = outer.start_link().await.unwrap();
        let state = outer.which_child("inner").await.unwrap().state;
        let incarnate::supervisor::ChildState::Running(inner) = state else { panic!("{state:?}") };
        let me = incarnate::Me::current().unwrap();
        nursery.end("a", ExitReason::Normal).await;
        let mut gone = Gone(me.node().clone());
        gone.wait(inner).await;
        assert_eq!(lives(&nursery, &outer).await, expected);
        if expected {
            assert_eq!(nursery.children(&outer).await, "inner=undefined bystander=bystander#1");
        }
    })
    .await;
}

/// Waits for the end of a process by a monitor in a process of its own.
struct Gone(incarnate::Node);

impl Gone {
    async fn wait(&mut self, pid: incarnate::Pid) {
        let waits = self.0.spawn(move |mut me: incarnate::Process<()>| async move {
            me.monitor(pid);
            me.receive().await;
        });
        waits.ended().await;
    }
}

#[tokio::test(start_paused = true)]
async fn sup_100_significant_escalation() {
    escalation(true, false).await;
    escalation(false, true).await;
}

/// Two running transient significant children, then another mode; whether the supervisor lives after each normal end.
async fn upgrade(from: AutoShutdown, to: AutoShutdown, expected: [bool; 2]) {
    world(move |_, nursery| async move {
        let child = |id| nursery.worker(id).restart(Restart::Transient).significant(true);
        let supervisor = tree(&nursery, from, &[child("a"), child("b")]).start_link().await.unwrap();
        supervisor.change(tree(&nursery, to, &[])).await.unwrap();
        let mut seen = [false; 2];
        for (at, id) in ["a", "b"].into_iter().enumerate() {
            if supervisor.is_alive() {
                nursery.end(id, ExitReason::Normal).await;
                seen[at] = lives(&nursery, &supervisor).await;
            }
        }
        assert_eq!(seen, expected, "{from:?} {to:?}");
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn sup_101_never_to_any() {
    world(|mut me, nursery| async move {
        let child = || nursery.worker("a").restart(Restart::Transient).significant(true);
        let refused = StartChildError::Spec(SpecError::SignificantWithNever("a".into()));
        let supervisor = tree(&nursery, NEVER, &[]).start_link().await.unwrap();
        assert_eq!(supervisor.start_child(child()).await.unwrap_err(), refused);
        supervisor.change(tree(&nursery, ANY, &[])).await.unwrap();
        supervisor.start_child(child()).await.unwrap();
        nursery.end("a", ExitReason::Normal).await;
        assert_eq!(end_of(&mut me, supervisor.pid()).await, ExitReason::Shutdown);
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn sup_102_104_to_never() {
    for from in [ANY, ALL] {
        upgrade(from, NEVER, [true, true]).await;
        world(move |_, nursery| async move {
            let child = |id| nursery.worker(id).restart(Restart::Transient).significant(true);
            let supervisor = tree(&nursery, from, &[child("a")]).start_link().await.unwrap();
            supervisor.change(tree(&nursery, NEVER, &[])).await.unwrap();
            let error = supervisor.start_child(child("b")).await.unwrap_err();
            assert_eq!(error, StartChildError::Spec(SpecError::SignificantWithNever("b".into())));
            nursery.end("a", crash()).await;
            assert_eq!(nursery.children(&supervisor).await, "a=a#2 bystander=bystander#1");
            nursery.end("a", ExitReason::Normal).await;
            supervisor.restart_child("a").await.unwrap();
        })
        .await;
    }
}

#[tokio::test(start_paused = true)]
async fn sup_105_any_to_all() {
    upgrade(ANY, ALL, [true, false]).await;
}

#[tokio::test(start_paused = true)]
async fn sup_106_all_to_any() {
    upgrade(ALL, ANY, [false, false]).await;
}
