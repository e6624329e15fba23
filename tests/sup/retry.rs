//! Restarts that fail: the supervisor tries again and serves requests in between.

use incarnate::supervisor::{DeleteChildError, RestartChildError, StartChildError, Strategy};
use incarnate::{DynamicSupervisor, ExitReason, Supervisor, SupervisorRef};

use crate::nursery::{Kid, Nursery, Start, secs, shutdown, world};

/// A supervisor that tries in vain to restart b.
async fn hanging(nursery: &Nursery, strategy: Strategy) -> SupervisorRef {
    nursery.starts_once("b");
    let tree = Supervisor::tree("s").strategy(strategy).intensity(u32::MAX, secs(60));
    let tree = ["a", "b", "c"].into_iter().fold(tree, |tree, id| tree.child(nursery.worker(id)));
    let supervisor = tree.start_link().await.unwrap();
    nursery.crash("b").await;
    supervisor
}

#[tokio::test(start_paused = true)]
async fn sup_073_admin_while_retrying() {
    world(|_, nursery| async move {
        let supervisor = hanging(&nursery, Strategy::OneForOne).await;
        let present = supervisor.start_child(nursery.worker("b")).await.unwrap_err();
        assert_eq!(present, StartChildError::AlreadyPresent);
        assert_eq!(supervisor.restart_child("b").await.unwrap_err(), RestartChildError::Restarting);
        assert_eq!(supervisor.delete_child("b").await.unwrap_err(), DeleteChildError::Restarting);
        assert_eq!(nursery.children(&supervisor).await, "c=c#1 b=restarting a=a#1");
        let counts = supervisor.count_children().await.unwrap();
        assert_eq!((counts.specs, counts.active, counts.workers), (3, 2, 3));
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn sup_074_terminate_ends_the_retrying() {
    world(|_, nursery| async move {
        let supervisor = hanging(&nursery, Strategy::OneForOne).await;
        supervisor.terminate_child("b").await.unwrap();
        assert_eq!(nursery.children(&supervisor).await, "c=c#1 b=undefined a=a#1");
        nursery.starts("b", []);
        supervisor.restart_child("b").await.unwrap();
        assert_eq!(nursery.children(&supervisor).await, "c=c#1 b=b#2 a=a#1");
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn sup_075_shutdown_while_retrying() {
    for strategy in [Strategy::OneForOne, Strategy::OneForAll, Strategy::RestForOne] {
        world(move |me, nursery| async move {
            let supervisor = hanging(&nursery, strategy).await;
            shutdown(&me, &supervisor).await;
        })
        .await;
    }
}

#[tokio::test(start_paused = true)]
async fn sup_076_retrying_rest_for_one() {
    world(|_, nursery| async move {
        let supervisor = hanging(&nursery, Strategy::RestForOne).await;
        assert_eq!(nursery.children(&supervisor).await, "c=undefined b=restarting a=a#1");
        let present = supervisor.start_child(nursery.worker("c")).await.unwrap_err();
        assert_eq!(present, StartChildError::AlreadyPresent);
        assert_eq!(supervisor.restart_child("b").await.unwrap_err(), RestartChildError::Restarting);
        supervisor.terminate_child("b").await.unwrap();
        assert_eq!(nursery.children(&supervisor).await, "c=undefined b=undefined a=a#1");
        nursery.starts("b", []);
        supervisor.restart_child("b").await.unwrap();
        supervisor.restart_child("c").await.unwrap();
        assert_eq!(nursery.children(&supervisor).await, "c=c#2 b=b#2 a=a#1");
    })
    .await;
}

fn kids(nursery: &Nursery) -> DynamicSupervisor<&'static str, Kid> {
    let nursery = nursery.clone();
    DynamicSupervisor::new("kids", move |id: &'static str| nursery.clone().start(id))
        .intensity(u32::MAX, secs(60))
}

#[tokio::test(start_paused = true)]
async fn sup_077_retrying_simple() {
    world(|_, nursery| async move {
        nursery.starts_once("b");
        let supervisor = kids(&nursery).start_link().await.unwrap();
        supervisor.start_child("a").await.unwrap();
        let old = supervisor.start_child("b").await.unwrap().pid();
        nursery.crash("b").await;
        let shown = nursery.show(&supervisor.which_children().await.unwrap());
        assert_eq!(shown, "restarting a#1");
        let counts = supervisor.count_children().await.unwrap();
        assert_eq!((counts.specs, counts.active, counts.workers), (1, 1, 2));
        supervisor.terminate_child(old).await.unwrap();
        assert_eq!(nursery.show(&supervisor.which_children().await.unwrap()), "a#1");
        let counts = supervisor.count_children().await.unwrap();
        assert_eq!((counts.active, counts.workers), (1, 1));
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn sup_064_count_restarting_children() {
    world(|_, nursery| async move {
        let supervisor = kids(&nursery).start_link().await.unwrap();
        let mut pids = Vec::new();
        for id in ["a", "b", "c"] {
            nursery.starts_once(id);
            pids.push(supervisor.start_child(id).await.unwrap().pid());
        }
        for (dead, id) in ["a", "b", "c"].into_iter().enumerate() {
            nursery.crash(id).await;
            let counts = supervisor.count_children().await.unwrap();
            assert_eq!((counts.workers, counts.active), (3, 2 - dead));
        }
        supervisor.terminate_child(pids[0]).await.unwrap();
        assert_eq!(supervisor.count_children().await.unwrap().workers, 2);
        nursery.starts("b", []);
        nursery.starts("c", []);
        // Whoever asks again and again is served between the attempts, and they are between his requests.
        while supervisor.count_children().await.unwrap().active < 2 {}
        assert_eq!(supervisor.count_children().await.unwrap().workers, 2);
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_retry_succeeds_by_itself() {
    world(|_, nursery| async move {
        nursery.starts("a", [Start::Ok, Start::Fail, Start::Panic, Start::Fail]);
        let tree = Supervisor::tree("s").intensity(9, secs(5)).child(nursery.worker("a"));
        let supervisor = tree.start_link().await.unwrap();
        nursery.crash("a").await;
        while nursery.children(&supervisor).await == "a=restarting" {}
        assert_eq!(nursery.children(&supervisor).await, "a=a#2");
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_restart_that_ignores_is_not_tried_again() {
    world(|_, nursery| async move {
        nursery.starts("a", [Start::Ok, Start::Ignore]);
        let supervisor = Supervisor::tree("s").child(nursery.worker("a")).start_link().await.unwrap();
        nursery.end("a", ExitReason::Normal).await;
        assert_eq!(nursery.children(&supervisor).await, "a=undefined");
    })
    .await;
}
