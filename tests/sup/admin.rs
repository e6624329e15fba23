//! Requests: start, terminate, restart, delete, look.

use incarnate::supervisor::{
    ChildType, DeleteChildError, LookupError, Restart, RestartChildError, StartChildError, Strategy,
    SupervisorName, TerminateChildError,
};
use incarnate::{CallError, ChildSpec, ProcessRef, StartError, Supervisor, SupervisorRef};

use crate::nursery::{Deed, Kid, Start, crash, shutdown, world};

const NAMED: SupervisorName = SupervisorName::new("named");

#[tokio::test(start_paused = true)]
async fn sup_023_child_adm() {
    world(|_, nursery| async move {
        let supervisor = Supervisor::tree("s").start_link().await.unwrap();
        let a = supervisor.start_child(nursery.worker("a")).await.unwrap();
        let again = supervisor.start_child(nursery.worker("a")).await.unwrap_err();
        assert_eq!(again, StartChildError::AlreadyStarted(a.pid()));
        assert_eq!(supervisor.restart_child("a").await.unwrap_err(), RestartChildError::Running);
        assert_eq!(supervisor.delete_child("a").await.unwrap_err(), DeleteChildError::Running);
        supervisor.terminate_child("a").await.unwrap();
        supervisor.terminate_child("a").await.unwrap();
        let present = supervisor.start_child(nursery.worker("a")).await.unwrap_err();
        assert_eq!(present, StartChildError::AlreadyPresent);
        supervisor.restart_child("a").await.unwrap();
        supervisor.terminate_child("a").await.unwrap();
        supervisor.delete_child("a").await.unwrap();
        assert_eq!(nursery.children(&supervisor).await, "");
        assert_eq!(supervisor.terminate_child("a").await.unwrap_err(), TerminateChildError::NotFound);
        assert_eq!(supervisor.restart_child("a").await.unwrap_err(), RestartChildError::NotFound);
        assert_eq!(supervisor.delete_child("a").await.unwrap_err(), DeleteChildError::NotFound);
        assert_eq!(nursery.log(), ["start a#1", "end a#1", "start a#2", "end a#2"]);
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn sup_023_a_start_that_fails_adds_nothing() {
    world(|_, nursery| async move {
        let supervisor = Supervisor::tree("s").start_link().await.unwrap();
        nursery.starts("a", [Start::Fail, Start::Panic, Start::Ignore]);
        for _ in 0..2 {
            let error = supervisor.start_child(nursery.worker("a")).await.unwrap_err();
            assert!(matches!(error, StartChildError::Failed(StartError::Failed(_))), "{error:?}");
            assert_eq!(nursery.children(&supervisor).await, "");
        }
        let error = supervisor.start_child(nursery.worker("a")).await.unwrap_err();
        assert_eq!(error, StartChildError::Ignore);
        assert_eq!(nursery.children(&supervisor).await, "a=undefined");
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn sup_025_dead_supervisor() {
    world(|me, nursery| async move {
        let supervisor = Supervisor::tree("s").start_link().await.unwrap();
        shutdown(&me, &supervisor).await;
        let noproc = CallError::NoProc;
        assert_eq!(
            supervisor.start_child(nursery.worker("a")).await.unwrap_err(),
            StartChildError::Call(noproc.clone())
        );
        assert_eq!(supervisor.terminate_child("a").await, Err(TerminateChildError::Call(noproc.clone())));
        assert_eq!(supervisor.restart_child("a").await, Err(RestartChildError::Call(noproc.clone())));
        assert_eq!(supervisor.delete_child("a").await, Err(DeleteChildError::Call(noproc.clone())));
        assert_eq!(supervisor.which_children().await, Err(noproc.clone()));
        assert_eq!(supervisor.which_child("a").await, Err(LookupError::Call(noproc.clone())));
        assert_eq!(supervisor.count_children().await, Err(noproc.clone()));
        assert_eq!(supervisor.get_childspec("a").await, Err(LookupError::Call(noproc.clone())));
        assert_eq!(supervisor.tree().await, Err(noproc.clone()));
        assert_eq!(SupervisorRef::named(NAMED).unwrap_err(), noproc);
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn sup_028_extra_return() {
    world(|_, nursery| async move {
        let supervisor =
            Supervisor::tree("s").intensity(5, crate::nursery::secs(5)).start_link().await.unwrap();
        let starts = nursery.clone();
        let extra = ChildSpec::worker("a", move || {
            let starts = starts.clone();
            async move { Ok::<_, StartError>((starts.start("a").await?, "with love")) }
        });
        let (a, love): (Kid, &str) = supervisor.start_child(extra).await.unwrap();
        assert_eq!((a.pid(), love), (nursery.at("a").pid(), "with love"));
        assert_eq!(nursery.children(&supervisor).await, "a=a#1");
        nursery.end("a", crash()).await;
        assert_eq!(nursery.children(&supervisor).await, "a=a#2");
        supervisor.terminate_child("a").await.unwrap();
        let (_, love) = supervisor.restart_child_as::<(Kid, &str)>("a").await.unwrap();
        assert_eq!(love, "with love");
        supervisor.terminate_child("a").await.unwrap();
        let error = supervisor.restart_child_as::<Kid>("a").await.unwrap_err();
        assert_eq!(error, RestartChildError::OtherType(nursery.at("a").pid()));
        assert_eq!(nursery.children(&supervisor).await, "a=a#4");
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn sup_067_temporary_specs_vanish_and_others_stay() {
    for strategy in [Strategy::OneForOne, Strategy::OneForAll, Strategy::RestForOne] {
        for restart in [Restart::Temporary, Restart::Transient, Restart::Permanent] {
            specs_after_ends(strategy, restart).await;
        }
    }
}

async fn specs_after_ends(strategy: Strategy, restart: Restart) {
    world(move |_, nursery| async move {
        let tree = Supervisor::tree("s").strategy(strategy).intensity(9, crate::nursery::secs(5));
        let supervisor = tree.start_link().await.unwrap();
        for way in ["kill", "normal", "abnormal", "admin"] {
            supervisor.start_child(nursery.worker("a").restart(restart)).await.unwrap();
            match way {
                "kill" => nursery.kill("a").await,
                "normal" => nursery.end("a", incarnate::ExitReason::Normal).await,
                "abnormal" => nursery.crash("a").await,
                _ => supervisor.terminate_child("a").await.unwrap(),
            }
            let again = supervisor.start_child(nursery.worker("a").restart(restart)).await;
            let is_restarted = restart == Restart::Permanent || way == "kill" || way == "abnormal";
            match restart {
                Restart::Temporary => drop(again.unwrap()),
                _ if way == "admin" || !is_restarted => {
                    assert_eq!(again.unwrap_err(), StartChildError::AlreadyPresent, "{way} {restart}");
                }
                _ => assert_eq!(
                    again.unwrap_err(),
                    StartChildError::AlreadyStarted(nursery.at("a").pid()),
                    "{way} {restart}"
                ),
            }
            supervisor.terminate_child("a").await.unwrap();
            let deleted = supervisor.delete_child("a").await;
            assert_eq!(deleted.is_err(), restart == Restart::Temporary, "{way} {restart}");
        }
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn sup_089_already_started_outside_the_supervisor() {
    world(|me, _| async move {
        let supervisor = Supervisor::tree("s").start_link().await.unwrap();
        let outside = Supervisor::tree("outside").name(NAMED).start_link().await.unwrap();
        let child = Supervisor::tree("inside").name(NAMED);
        let error = supervisor.start_child(child).await.unwrap_err();
        assert_eq!(error, StartChildError::AlreadyStarted(outside.pid()));
        assert!(outside.is_alive());
        assert_eq!(me.node().whereis("named"), Some(outside.pid()));
        assert_eq!(SupervisorRef::named(NAMED).unwrap().pid(), outside.pid());
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn sup_090_which_children() {
    world(|_, nursery| async move {
        let tree = Supervisor::tree("s")
            .child(nursery.worker("a").modules(["kid"]))
            .child(Supervisor::tree("t"))
            .child(nursery.worker("b").restart(Restart::Transient));
        let supervisor = tree.start_link().await.unwrap();
        nursery.end("b", incarnate::ExitReason::Normal).await;
        assert_eq!(nursery.children(&supervisor).await, "b=undefined t=up a=a#1");
        let a = supervisor.which_child("a").await.unwrap();
        assert_eq!((a.child_type, &*a.modules[0]), (ChildType::Worker, "kid"));
        assert_eq!(supervisor.which_child("t").await.unwrap().child_type, ChildType::Supervisor);
        assert_eq!(supervisor.which_child("x").await.unwrap_err(), LookupError::NotFound);
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn start_child_answers_what_the_start_function_does() {
    world(|_, nursery| async move {
        let supervisor = Supervisor::tree("s").start_link().await.unwrap();
        let kid: ProcessRef<Deed> = supervisor.start_child(nursery.worker("a")).await.unwrap();
        let subtree: SupervisorRef =
            supervisor.start_child(Supervisor::tree("t").child(nursery.worker("b"))).await.unwrap();
        assert!(kid.is_alive());
        assert_eq!(nursery.children(&subtree).await, "b=b#1");
    })
    .await;
}
