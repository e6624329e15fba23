//! Code change: other flags and specifications for a supervisor that runs.

use incarnate::supervisor::{
    ChangeError, ChildType, FlagsError, InitError, Restart, Shutdown, SpecError, Strategy,
};
use incarnate::{
    ChildSpec, DynamicSupervisor, ExitReason, Me, Node, Pid, Process, StartError, Supervisor, Tree,
};

use crate::nursery::{Kid, Nursery, end_of, secs, shutdown, world};

fn tree() -> Tree {
    Supervisor::tree("s").intensity(2, secs(60))
}

#[tokio::test(start_paused = true)]
async fn sup_078_flags() {
    world(|mut me, nursery| async move {
        let supervisor =
            tree().child(nursery.worker("a")).child(nursery.worker("b")).start_link().await.unwrap();
        let new = Supervisor::tree("s").strategy(Strategy::OneForAll).intensity(1, secs(60));
        supervisor.change(new.child(nursery.worker("a")).child(nursery.worker("b"))).await.unwrap();
        nursery.crash("a").await;
        assert_eq!(nursery.children(&supervisor).await, "b=b#2 a=a#2");
        nursery.crash("a").await;
        assert_eq!(end_of(&mut me, supervisor.pid()).await, ExitReason::Shutdown);
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn sup_079_added_children_are_not_started() {
    world(|_, nursery| async move {
        let supervisor = tree().child(nursery.worker("a")).start_link().await.unwrap();
        supervisor.change(tree().child(nursery.worker("a")).child(nursery.worker("b"))).await.unwrap();
        assert_eq!(nursery.children(&supervisor).await, "b=undefined a=a#1");
        supervisor.restart_child("b").await.unwrap();
        assert_eq!(nursery.children(&supervisor).await, "b=b#1 a=a#1");
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn sup_080_changed_and_missing_children() {
    world(|me, nursery| async move {
        let old = ["a", "b", "c"].into_iter().fold(tree(), |tree, id| tree.child(nursery.worker(id)));
        let supervisor = old.start_link().await.unwrap();
        let other = Nursery::default();
        let b = other.worker("b").restart(Restart::Transient);
        supervisor.change(tree().child(nursery.worker("c")).child(b)).await.unwrap();
        assert_eq!(nursery.children(&supervisor).await, "a=a#1 b=b#1 c=c#1");
        assert_eq!(supervisor.get_childspec("b").await.unwrap().restart(), Restart::Transient);
        // The new start function counts from the next start on.
        nursery.crash("b").await;
        assert_eq!(other.show(&supervisor.which_children().await.unwrap()), "a=up b=b#1 c=up");
        nursery.log();
        other.log();
        shutdown(&me, &supervisor).await;
        assert_eq!(
            (nursery.log(), other.log()),
            (vec!["end a#1".into(), "end c#1".into()], vec!["end b#1".into()])
        );
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn sup_081_errors_leave_the_old_ones_in_force() {
    world(|_, nursery| async move {
        let supervisor = tree().child(nursery.worker("a")).start_link().await.unwrap();
        let twice = tree().child(nursery.worker("x")).child(nursery.worker("x"));
        let duplicate = InitError::Spec(SpecError::DuplicateId("x".into()));
        assert_eq!(supervisor.change(twice).await.unwrap_err(), ChangeError::Invalid(duplicate));
        let period = tree().intensity(1, secs(0)).child(nursery.worker("x"));
        let invalid = InitError::Flags(FlagsError::InvalidPeriod(secs(0)));
        assert_eq!(supervisor.change(period).await.unwrap_err(), ChangeError::Invalid(invalid));
        let simple = tree().strategy(Strategy::SimpleOneForOne).child(nursery.worker("x"));
        let error = supervisor.change(simple).await.unwrap_err();
        assert_eq!(error, ChangeError::Invalid(InitError::SimpleChange));
        for life in 2..4 {
            nursery.crash("a").await;
            assert_eq!(nursery.children(&supervisor).await, format!("a=a#{life}"));
        }
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn sup_082_a_new_shutdown_is_seen_at_once() {
    world(|_, nursery| async move {
        let supervisor = tree().child(nursery.worker("a")).start_link().await.unwrap();
        let new = Shutdown::Timeout(secs(1));
        supervisor.change(tree().child(nursery.worker("a").shutdown(new))).await.unwrap();
        assert_eq!(supervisor.get_childspec("a").await.unwrap().shutdown(), new);
    })
    .await;
}

fn kids(nursery: &Nursery) -> DynamicSupervisor<&'static str, Kid> {
    let nursery = nursery.clone();
    DynamicSupervisor::new("kids", move |id: &'static str| nursery.clone().start(id))
}

#[tokio::test(start_paused = true)]
async fn sup_083_084_simple() {
    world(|_, old| async move {
        let supervisor = kids(&old).start_link().await.unwrap();
        let a = supervisor.start_child("a").await.unwrap();
        let new = Nursery::default();
        let template = kids(&new).shutdown(Shutdown::BrutalKill).intensity(5, secs(5));
        supervisor.change(template).await.unwrap();
        assert_eq!(supervisor.get_childspec(a.pid()).await.unwrap().shutdown(), Shutdown::BrutalKill);
        assert_eq!(old.show(&supervisor.which_children().await.unwrap()), "a#1");
        // Children that run keep running; their next life is the new code's.
        old.crash("a").await;
        assert_eq!(new.show(&supervisor.which_children().await.unwrap()), "a#1");
        let faulty = kids(&new).intensity(1, secs(0));
        assert!(matches!(supervisor.change(faulty).await, Err(ChangeError::Invalid(_))));
    })
    .await;
}

/// The start functions of children that became temporary are dropped, those of others are kept.
#[tokio::test(start_paused = true)]
async fn a_change_to_temporary_and_back() {
    world(|_, nursery| async move {
        let supervisor = tree().child(nursery.worker("a")).start_link().await.unwrap();
        supervisor.change(tree().child(nursery.worker("a").restart(Restart::Temporary))).await.unwrap();
        supervisor.change(tree().child(nursery.worker("a"))).await.unwrap();
        nursery.crash("a").await;
        assert_eq!(nursery.children(&supervisor).await, "a=a#2");
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn options_that_are_set_again_replace_what_they_were() {
    let nothing = || async { Err::<Pid, _>(StartError::Ignore) };
    let spec = ChildSpec::worker("a", nothing);
    assert_eq!(spec.clone().significant(true).significant(false), spec);
    let node = Node::new("a");
    let pool = || {
        DynamicSupervisor::temporary("pool", |(): ()| async {
            Ok::<_, StartError>(Me::current().unwrap().spawn_link(idle).pid())
        })
    };
    let cases = [
        (pool().shutdown(Shutdown::BrutalKill).child_type(ChildType::Supervisor), Shutdown::BrutalKill),
        (pool().child_type(ChildType::Supervisor).shutdown(Shutdown::BrutalKill), Shutdown::BrutalKill),
        (pool().child_type(ChildType::Supervisor), Shutdown::Infinity),
    ];
    for (pool, shutdown) in cases {
        let pool = pool.on(&node).start().await.unwrap();
        let child = pool.start_child(()).await.unwrap();
        let spec = pool.get_childspec(child).await.unwrap();
        assert_eq!((spec.shutdown(), spec.child_type()), (shutdown, ChildType::Supervisor));
    }
}

async fn idle(mut me: Process<()>) {
    me.receive().await;
}
