//! Trees: nested supervisors, trees as values, names below them.

use incarnate::supervisor::{ChildState, Restart, Strategy, SupervisorName};
use incarnate::{ChildSpec, ExitReason, Supervisor, SupervisorRef, Tree};

use crate::nursery::{Nursery, end_of, secs, shutdown, world};

const LEFT: SupervisorName = SupervisorName::new("left");
const RIGHT: SupervisorName = SupervisorName::new("right");

/// Two supervisors under one that restarts both when one gives up.
fn family(nursery: &Nursery) -> Tree {
    let left = Supervisor::tree("left").name(LEFT).child(nursery.worker("a")).child(nursery.worker("b"));
    let right =
        Supervisor::tree("right").name(RIGHT).strategy(Strategy::RestForOne).child(nursery.worker("c"));
    Supervisor::tree("family")
        .strategy(Strategy::OneForAll)
        .intensity(4, secs(60))
        .child(left)
        .child(ChildSpec::from(right).restart(Restart::Transient))
}

#[tokio::test(start_paused = true)]
async fn sup_061_tree() {
    world(|mut me, nursery| async move {
        let top = family(&nursery).start_link().await.unwrap();
        let left = SupervisorRef::named(LEFT).unwrap();
        me.monitor(left.pid());
        left.start_child(nursery.worker("d")).await.unwrap();
        nursery.crash("a").await;
        assert_eq!(nursery.children(&left).await, "d=d#1 b=b#1 a=a#2");
        assert_eq!(nursery.children(&SupervisorRef::named(RIGHT).unwrap()).await, "c=c#1");
        // The second crash within the period ends the inner supervisor, and all are restarted.
        nursery.crash("a").await;
        assert_eq!(end_of(&mut me, left.pid()).await, ExitReason::Shutdown);
        assert_eq!(nursery.children(&top).await, "right=up left=up");
        let left = SupervisorRef::named(LEFT).unwrap();
        assert_eq!(nursery.children(&left).await, "b=b#2 a=a#3");
        assert_eq!(nursery.children(&SupervisorRef::named(RIGHT).unwrap()).await, "c=c#2");
        // A child supervisor that was terminated is started again with all others.
        me.monitor(left.pid());
        top.terminate_child("right").await.unwrap();
        assert_eq!(nursery.children(&top).await, "right=undefined left=up");
        me.exit(left.pid(), ExitReason::Kill);
        assert_eq!(end_of(&mut me, left.pid()).await, ExitReason::Killed);
        assert_eq!(nursery.children(&top).await, "right=up left=up");
        shutdown(&me, &top).await;
        assert!(me.node().registered().is_empty());
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn sup_070_a_name_goes_to_the_next_life() {
    world(|me, nursery| async move {
        let top = family(&nursery).start_link().await.unwrap();
        for reason in [ExitReason::Kill, ExitReason::Kill] {
            let former = SupervisorRef::named(RIGHT).unwrap();
            me.exit(former.pid(), reason);
            former.ended().await;
            nursery.children(&top).await;
            let now = SupervisorRef::named(RIGHT).unwrap();
            assert_ne!(now.pid(), former.pid());
            assert!(now.is_alive());
        }
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn sup_071_requests_through_a_name() {
    world(|_, nursery| async move {
        let _top = family(&nursery).start_link().await.unwrap();
        let left = || SupervisorRef::named(LEFT).unwrap();
        left().terminate_child("a").await.unwrap();
        assert!(!nursery.at("a").is_alive());
        let pid = left().restart_child("a").await.unwrap();
        assert_eq!(pid, nursery.at("a").pid());
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn sup_072_killing_the_top_frees_the_names_below() {
    world(|mut me, nursery| async move {
        let top = family(&nursery).start_link().await.unwrap();
        let (left, right) = (SupervisorRef::named(LEFT).unwrap(), SupervisorRef::named(RIGHT).unwrap());
        assert_eq!(me.node().registered(), ["left", "right"]);
        // Those right below the top get its reason; they end their own children as always.
        let ends = [left.pid(), right.pid()].map(|pid| (pid, ExitReason::Killed));
        let kids = ["a", "b", "c"].map(|id| (nursery.at(id).pid(), ExitReason::Shutdown));
        for (pid, _) in ends.iter().chain(&kids) {
            me.monitor(*pid);
        }
        me.exit(top.pid(), ExitReason::Kill);
        for (pid, reason) in ends.into_iter().chain(kids) {
            assert_eq!(end_of(&mut me, pid).await, reason);
        }
        assert!(me.node().registered().is_empty());
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_tree_is_printed_before_and_while_it_runs() {
    world(|_, nursery| async move {
        let tree = family(&nursery);
        let printed = "family supervisor one_for_all\n  \
             left supervisor one_for_one permanent\n    \
               a worker permanent\n    \
               b worker permanent\n  \
             right supervisor rest_for_one transient\n    \
               c worker permanent\n";
        assert_eq!(tree.to_string(), printed);
        let top = tree.clone().start_link().await.unwrap();
        let live = top.tree().await.unwrap();
        assert_eq!(live.shape(), tree.shape());
        assert_eq!(live.pid(), Some(&top.pid()));
        assert_eq!(live.children()[0].children()[1].pid(), Some(&nursery.at("b").pid()));
        assert!(
            live.to_string().contains(&format!("c worker permanent {}", nursery.at("c").pid())),
            "{live}"
        );
        // What runs is seen, not what was written.
        nursery.crash("c").await;
        nursery.crash("a").await;
        top.terminate_child("right").await.unwrap();
        let live = top.tree().await.unwrap();
        assert_eq!((live.children()[1].pid(), live.children()[1].children().len()), (None, 0));
        assert_eq!(live.children()[0].children()[0].pid(), Some(&nursery.at("a").pid()));
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_tree_is_compared_but_for_its_start_functions() {
    let (one, other) = (Nursery::default(), Nursery::default());
    assert_eq!(family(&one), family(&other));
    assert_ne!(family(&one), family(&one).intensity(5, secs(60)));
    assert_ne!(family(&one), family(&one).child(one.worker("x")));
    let inner = |tree: Tree| Supervisor::tree("top").child(tree);
    assert_eq!(inner(family(&one)), inner(family(&other)));
    assert_ne!(inner(family(&one)), inner(family(&one).strategy(Strategy::OneForOne)));
}

#[tokio::test(start_paused = true)]
async fn the_tree_of_a_busy_child_is_asked_from_outside() {
    world(|_, nursery| async move {
        let top = family(&nursery).start_link().await.unwrap();
        let right = top.which_child("right").await.unwrap();
        assert!(matches!(right.state, ChildState::Running(_)));
        // A tree below that was added at run time is seen as one that was built in.
        let added = Supervisor::tree("added").child(nursery.worker("x"));
        let temporary = ChildSpec::from(added).restart(Restart::Temporary);
        top.start_child(temporary).await.unwrap();
        let live = top.tree().await.unwrap();
        assert_eq!(live.children()[2].children()[0].pid(), Some(&nursery.at("x").pid()));
    })
    .await;
}
