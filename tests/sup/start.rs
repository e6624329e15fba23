//! Starts: what comes of init lists, of children that ignore, fail or panic, and of faulty specifications.

use incarnate::supervisor::{
    AutoShutdown, ChildType, FailedToStartChild, FlagsError, InitError, LookupError, RestartChildError,
    Shutdown, SpecError, Strategy,
};
use incarnate::supervisor::{Restart, StartChildError};
use incarnate::{ChildSpec, ExitReason, StartError, Supervisor, SupervisorRef, Tree};

use crate::nursery::{Kid, Start, end_of, quiet, secs, shutdown, world};
use std::time::Duration;

#[tokio::test(start_paused = true)]
async fn sup_001_start_normal() {
    world(|mut me, _| async move {
        let supervisor = Supervisor::tree("empty").start_link().await.unwrap();
        shutdown(&me, &supervisor).await;
        let exit = me.receive().await;
        assert!(matches!(exit, incarnate::Info::Exit(exit) if exit.from == supervisor.pid()));
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn sup_002_start_ignored() {
    world(|mut me, nursery| async move {
        // Where OTP's init answers ignore, a start function does.
        let nothing = || async { Err::<SupervisorRef, _>(StartError::Ignore) };
        let tree =
            Supervisor::tree("s").child(ChildSpec::supervisor("nothing", nothing)).child(nursery.worker("a"));
        let supervisor = tree.start_link().await.unwrap();
        assert_eq!(nursery.children(&supervisor).await, "a=a#1 nothing=undefined");
        quiet(&mut me).await;
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn sup_004_ignore_temporary_child() {
    world(|_, nursery| async move {
        nursery.starts("b", [Start::Ignore]);
        let tree = Supervisor::tree("s")
            .child(nursery.worker("a"))
            .child(nursery.worker("b").restart(Restart::Temporary))
            .child(nursery.worker("c"));
        let supervisor = tree.start_link().await.unwrap();
        assert_eq!(nursery.children(&supervisor).await, "c=c#1 a=a#1");
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn sup_009_start_fails_without_a_leftover() {
    world(|mut me, nursery| async move {
        nursery.starts("b", [Start::Panic]);
        let tree = Supervisor::tree("s").child(nursery.worker("a")).child(nursery.worker("b"));
        let Err(StartError::Failed(reason)) = tree.start_link().await else { panic!("it started") };
        let failed = FailedToStartChild::of(&reason).unwrap();
        assert_eq!(failed.id, "b");
        assert!(failed.reason.to_string().contains("no child today"), "{}", failed.reason);
        assert_eq!(nursery.log(), ["start a#1", "end a#1"]);
        quiet(&mut me).await;
        assert_eq!(me.node().process_count(), 1);
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn sup_009_siblings_end_in_reverse_order() {
    world(|_, nursery| async move {
        nursery.starts("c", [Start::Fail]);
        let tree =
            ["a", "b", "c", "d"].into_iter().fold(Supervisor::tree("s"), |t, id| t.child(nursery.worker(id)));
        assert!(tree.start_link().await.is_err());
        assert_eq!(nursery.log(), ["start a#1", "start b#1", "fail c", "end b#1", "end a#1"]);
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn sup_010_restart_child_returns_error() {
    world(|_, nursery| async move {
        nursery.starts("a", [Start::Ok, Start::Panic]);
        let supervisor = Supervisor::tree("s").child(nursery.worker("a")).start_link().await.unwrap();
        supervisor.terminate_child("a").await.unwrap();
        let error = supervisor.restart_child("a").await.unwrap_err();
        assert!(matches!(error, RestartChildError::Failed(StartError::Failed(_))), "{error:?}");
        assert_eq!(nursery.children(&supervisor).await, "a=undefined");
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn sup_013_defaults() {
    world(|_, nursery| async move {
        let tree = Supervisor::tree("s").child(nursery.worker("w")).child(Supervisor::tree("t"));
        let supervisor = tree.start_link().await.unwrap();
        let worker = supervisor.get_childspec("w").await.unwrap();
        assert_eq!(worker.restart(), Restart::Permanent);
        assert_eq!(worker.child_type(), ChildType::Worker);
        assert_eq!(worker.shutdown(), Shutdown::Timeout(secs(5)));
        assert!(!worker.is_significant());
        let subtree = supervisor.get_childspec("t").await.unwrap();
        assert_eq!(subtree.restart(), Restart::Permanent);
        assert_eq!(subtree.child_type(), ChildType::Supervisor);
        assert_eq!(subtree.shutdown(), Shutdown::Infinity);
        assert_eq!(supervisor.get_childspec("x").await.unwrap_err(), LookupError::NotFound);
    })
    .await;
}

/// A tree that OTP refuses: by `check` and by a start, which leaves nothing behind.
async fn refused(tree: Tree, expected: InitError) {
    world(|mut me, _| async move {
        assert_eq!(tree.check().unwrap_err(), expected);
        let Err(StartError::Failed(reason)) = tree.start_link().await else { panic!("it started") };
        let text = std::error::Error::source(&expected).map_or(expected.to_string(), ToString::to_string);
        assert!(reason.to_string().contains(&text), "{reason}");
        quiet(&mut me).await;
        assert_eq!(me.node().process_count(), 1);
    })
    .await;
}

fn plain(id: &'static str) -> ChildSpec<Kid> {
    ChildSpec::worker(id, || async { Err(StartError::Ignore) })
}

#[tokio::test(start_paused = true)]
async fn sup_015_029_faulty_specs() {
    let tree = || Supervisor::tree("s");
    refused(tree().child(plain("")), InitError::Spec(SpecError::MissingId)).await;
    let twice = tree().child(plain("a")).child(plain("b")).child(plain("a"));
    refused(twice, InitError::Spec(SpecError::DuplicateId("a".into()))).await;
}

#[tokio::test(start_paused = true)]
async fn sup_030_dynamic_children_have_a_supervisor_of_their_own() {
    let tree = Supervisor::tree("s").strategy(Strategy::SimpleOneForOne);
    refused(tree.clone(), InitError::BadStartSpec(0)).await;
    refused(tree.child(plain("a")).child(plain("b")), InitError::BadStartSpec(2)).await;
}

#[tokio::test(start_paused = true)]
async fn sup_031_bad_combinations() {
    let never = Supervisor::tree("s").child(plain("a").restart(Restart::Transient).significant(true));
    refused(never, InitError::Spec(SpecError::SignificantWithNever("a".into()))).await;
    let permanent =
        Supervisor::tree("s").auto_shutdown(AutoShutdown::AnySignificant).child(plain("a").significant(true));
    refused(permanent, InitError::Spec(SpecError::SignificantPermanent("a".into()))).await;
}

#[tokio::test(start_paused = true)]
async fn sup_029_legal_shutdowns() {
    let all =
        [Shutdown::BrutalKill, Shutdown::Infinity, Shutdown::Timeout(secs(0)), Shutdown::Timeout(secs(1))];
    for shutdown in all {
        let supervisor = ChildSpec::supervisor("b", || async { Err::<SupervisorRef, _>(StartError::Ignore) });
        let tree =
            Supervisor::tree("s").child(plain("a").shutdown(shutdown)).child(supervisor.shutdown(shutdown));
        assert_eq!(tree.check(), Ok(()));
    }
}

#[tokio::test(start_paused = true)]
async fn sup_032_faulty_flags() {
    for period in [Duration::ZERO, Duration::from_millis(1500)] {
        let expected = InitError::Flags(FlagsError::InvalidPeriod(period));
        refused(Supervisor::tree("s").intensity(1, period), expected).await;
    }
}

#[tokio::test(start_paused = true)]
async fn sup_031_start_child_checks_the_specification() {
    world(|_, nursery| async move {
        let supervisor = Supervisor::tree("s").start_link().await.unwrap();
        let child = nursery.worker("a").restart(Restart::Transient).significant(true);
        let error = supervisor.start_child(child).await.unwrap_err();
        assert_eq!(error, StartChildError::Spec(SpecError::SignificantWithNever("a".into())));
        assert_eq!(nursery.children(&supervisor).await, "");
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn sup_040_the_cause_is_carried_up() {
    world(|mut me, nursery| async move {
        nursery.starts("a", [Start::Fail]);
        let inner = Supervisor::tree("inner").child(nursery.worker("a"));
        let error = Supervisor::tree("outer").child(inner).start_link().await.unwrap_err();
        let StartError::Failed(reason) = error else { panic!("{error:?}") };
        let outer = FailedToStartChild::of(&reason).unwrap();
        let inner = FailedToStartChild::of(&outer.reason).unwrap();
        assert_eq!((outer.id.as_str(), inner.id.as_str()), ("inner", "a"));
        assert_eq!(inner.reason, ExitReason::term("failed"));
        quiet(&mut me).await;
    })
    .await;
}

/// Not OTP's: a start function that does not link is put right.
#[tokio::test(start_paused = true)]
async fn a_child_that_was_not_linked_is_supervised_all_the_same() {
    world(|mut me, _| async move {
        let unlinked = || async {
            let me = incarnate::Me::current().ok_or(StartError::NoParent)?;
            Ok::<_, StartError>(me.spawn(|mut me: incarnate::Process<()>| async move {
                me.receive().await;
            }))
        };
        let supervisor =
            Supervisor::tree("s").child(ChildSpec::worker("a", unlinked)).start_link().await.unwrap();
        let first = supervisor.which_child("a").await.unwrap().state;
        let incarnate::supervisor::ChildState::Running(pid) = first else { panic!("{first:?}") };
        me.monitor(pid);
        me.exit(pid, ExitReason::Kill);
        assert_eq!(end_of(&mut me, pid).await, ExitReason::Killed);
        assert_ne!(supervisor.which_child("a").await.unwrap().state, first);
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_start_that_fails_says_which_child_and_why() {
    world(|me, _| async move {
        let db = ChildSpec::worker("db", || async {
            Err::<incarnate::Pid, _>(StartError::Failed(
                incarnate::Error::msg("no route to 10.0.0.7").into_reason(),
            ))
        });
        let tree = Supervisor::tree("storage").child(db.clone());
        let error = Supervisor::tree("top").child(tree).on(me.node()).start().await.map(drop).unwrap_err();
        for text in [error.to_string(), format!("{error:?}")] {
            let place = |what: &str| text.find(what).unwrap_or_else(|| panic!("no {what} in {text}"));
            assert!(place("storage") < place("db") && place("db") < place("no route to 10.0.0.7"), "{text}");
        }
        let top = Supervisor::tree("top").on(me.node()).start().await.unwrap();
        let error = top.start_child(db).await.map(drop).unwrap_err();
        assert!(error.to_string().contains("no route to 10.0.0.7"), "{error}");
        let reason = incarnate::Error::from(error).into_reason().to_string();
        assert_eq!(reason.matches("no route").count(), 1, "{reason}");
        top.stop().await.unwrap();
        let gone = top
            .start_child(ChildSpec::worker("x", || async { Err::<incarnate::Pid, _>(StartError::Ignore) }));
        assert!(gone.await.map(drop).unwrap_err().to_string().contains("noproc"));
    })
    .await;
}
