//! Restarts: which exits lead to one, of whom, and how many are too many.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use incarnate::supervisor::{Restart, Strategy};
use incarnate::{ChildSpec, ExitReason, Node, Process, StartError, Supervisor, SupervisorRef};

use crate::nursery::{Nursery, Start, crash, end_of, secs, shutdown, world};

/// A supervisor over a, b and c that allows two restarts.
async fn three(nursery: &Nursery, strategy: Strategy) -> SupervisorRef {
    let tree = Supervisor::tree("s").strategy(strategy).intensity(2, secs(60));
    let tree = ["a", "b", "c"].into_iter().fold(tree, |tree, id| tree.child(nursery.worker(id)));
    let supervisor = tree.start_link().await.unwrap();
    nursery.log();
    supervisor
}

/// One child of this type ends with these reasons, one after the other; what the supervisor then shows.
async fn check(restart: Restart, reasons: &[ExitReason], expected: &'static str) {
    let reasons = reasons.to_vec();
    world(move |_, nursery| async move {
        let tree = Supervisor::tree("s").intensity(9, secs(60));
        let supervisor = tree.child(nursery.worker("a").restart(restart)).start_link().await.unwrap();
        for reason in reasons {
            nursery.end("a", reason).await;
            supervisor.count_children().await.unwrap();
        }
        assert_eq!(nursery.children(&supervisor).await, expected);
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn sup_034_permanent_normal() {
    check(Restart::Permanent, &[ExitReason::Normal], "a=a#2").await;
}

#[tokio::test(start_paused = true)]
async fn sup_035_transient_normal() {
    check(Restart::Transient, &[ExitReason::Normal], "a=undefined").await;
}

#[tokio::test(start_paused = true)]
async fn sup_036_temporary_normal() {
    check(Restart::Temporary, &[ExitReason::Normal], "").await;
}

#[tokio::test(start_paused = true)]
async fn sup_037_permanent_shutdown() {
    check(Restart::Permanent, &[ExitReason::Shutdown, ExitReason::shutdown_with("why")], "a=a#3").await;
    check(Restart::Transient, &[ExitReason::Shutdown], "a=undefined").await;
    check(Restart::Transient, &[ExitReason::shutdown_with("why")], "a=undefined").await;
}

#[tokio::test(start_paused = true)]
async fn sup_041_permanent_abnormal() {
    check(Restart::Permanent, &[crash()], "a=a#2").await;
}

#[tokio::test(start_paused = true)]
async fn sup_042_transient_abnormal() {
    check(Restart::Transient, &[crash()], "a=a#2").await;
}

#[tokio::test(start_paused = true)]
async fn sup_043_temporary_abnormal() {
    check(Restart::Temporary, &[crash()], "").await;
}

#[tokio::test(start_paused = true)]
async fn a_panic_and_a_kill_are_abnormal() {
    world(|_, nursery| async move {
        let child = nursery.worker("a").restart(Restart::Transient);
        let supervisor = Supervisor::tree("s").intensity(9, secs(5)).child(child).start_link().await.unwrap();
        let a = nursery.at("a");
        a.send(crate::nursery::Deed::Panic);
        a.ended().await;
        assert_eq!(nursery.children(&supervisor).await, "a=a#2");
        nursery.kill("a").await;
        assert_eq!(nursery.children(&supervisor).await, "a=a#3");
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn sup_044_temporary_bystander() {
    for strategy in [Strategy::OneForAll, Strategy::RestForOne] {
        world(move |_, nursery| async move {
            let tree = Supervisor::tree("s")
                .strategy(strategy)
                .child(nursery.worker("a"))
                .child(nursery.worker("b").restart(Restart::Temporary));
            let supervisor = tree.start_link().await.unwrap();
            nursery.crash("a").await;
            assert_eq!(nursery.children(&supervisor).await, "a=a#2");
            assert!(!nursery.at("b").is_alive());
        })
        .await;
    }
}

#[tokio::test(start_paused = true)]
async fn sup_045_multiple_restarts() {
    world(|mut me, nursery| async move {
        let tree = Supervisor::tree("s").intensity(1, secs(1)).child(nursery.worker("a"));
        let supervisor = tree.start_link().await.unwrap();
        for life in 2..6 {
            nursery.crash("a").await;
            assert_eq!(nursery.children(&supervisor).await, format!("a=a#{life}"));
            pass(&mut me, 2100).await;
        }
        nursery.crash("a").await;
        nursery.children(&supervisor).await;
        nursery.crash("a").await;
        assert_eq!(end_of(&mut me, supervisor.pid()).await, ExitReason::Shutdown);
    })
    .await;
}

/// Lets so many milliseconds pass.
async fn pass(me: &mut Process<()>, milliseconds: u64) {
    let time = std::time::Duration::from_millis(milliseconds);
    assert!(me.receive_where_after(time, |_| false).await.is_none());
}

#[tokio::test(start_paused = true)]
async fn sup_046_one_for_one() {
    world(|mut me, nursery| async move {
        let supervisor = three(&nursery, Strategy::OneForOne).await;
        nursery.crash("b").await;
        assert_eq!(nursery.children(&supervisor).await, "c=c#1 b=b#2 a=a#1");
        nursery.crash("a").await;
        assert_eq!(nursery.children(&supervisor).await, "c=c#1 b=b#2 a=a#2");
        nursery.log();
        nursery.crash("a").await;
        assert_eq!(end_of(&mut me, supervisor.pid()).await, ExitReason::Shutdown);
        assert_eq!(nursery.log(), ["end a#2", "end c#1", "end b#2"]);
    })
    .await;
}

/// A child of `strategy` that starts once and never again: in the end everything is gone.
async fn escalation(strategy: Strategy, crashing: &'static str, failing: &'static str) {
    world(move |mut me, nursery| async move {
        nursery.starts_once(failing);
        let supervisor = three(&nursery, strategy).await;
        nursery.crash(crashing).await;
        assert_eq!(end_of(&mut me, supervisor.pid()).await, ExitReason::Shutdown);
        assert!(["a", "b", "c"].iter().all(|id| !nursery.at(id).is_alive()));
        // Two attempts; the third is one too many.
        assert_eq!(nursery.log().iter().filter(|line| line.starts_with("fail")).count(), 2);
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn sup_047_one_for_one_escalation() {
    escalation(Strategy::OneForOne, "a", "a").await;
}

#[tokio::test(start_paused = true)]
async fn sup_048_one_for_all() {
    world(|mut me, nursery| async move {
        let supervisor = three(&nursery, Strategy::OneForAll).await;
        nursery.crash("b").await;
        assert_eq!(nursery.children(&supervisor).await, "c=c#2 b=b#2 a=a#2");
        let order = ["end b#1", "end c#1", "end a#1", "start a#2", "start b#2", "start c#2"];
        assert_eq!(nursery.log(), order);
        nursery.crash("a").await;
        nursery.children(&supervisor).await;
        nursery.crash("c").await;
        assert_eq!(end_of(&mut me, supervisor.pid()).await, ExitReason::Shutdown);
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn one_for_all_starts_those_that_were_terminated() {
    world(|_, nursery| async move {
        let supervisor = three(&nursery, Strategy::OneForAll).await;
        supervisor.terminate_child("c").await.unwrap();
        nursery.crash("a").await;
        assert_eq!(nursery.children(&supervisor).await, "c=c#2 b=b#2 a=a#2");
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn sup_049_one_for_all_escalation() {
    escalation(Strategy::OneForAll, "a", "b").await;
}

#[tokio::test(start_paused = true)]
async fn sup_050_one_for_all_other_child_fails_restart() {
    world(|_, nursery| async move {
        nursery.starts("b", [Start::Ok, Start::Fail]);
        let supervisor = three(&nursery, Strategy::OneForAll).await;
        nursery.crash("a").await;
        nursery.children(&supervisor).await;
        assert_eq!(nursery.children(&supervisor).await, "c=c#2 b=b#2 a=a#3");
        let first = ["end a#1", "end c#1", "end b#1", "start a#2", "fail b"];
        let second = ["end a#2", "start a#3", "start b#2", "start c#2"];
        assert_eq!(nursery.log(), [&first[..], &second[..]].concat());
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn sup_057_rest_for_one() {
    world(|mut me, nursery| async move {
        let supervisor = three(&nursery, Strategy::RestForOne).await;
        nursery.crash("b").await;
        assert_eq!(nursery.children(&supervisor).await, "c=c#2 b=b#2 a=a#1");
        assert_eq!(nursery.log(), ["end b#1", "end c#1", "start b#2", "start c#2"]);
        nursery.crash("b").await;
        nursery.children(&supervisor).await;
        nursery.crash("b").await;
        assert_eq!(end_of(&mut me, supervisor.pid()).await, ExitReason::Shutdown);
        assert!(!nursery.at("a").is_alive());
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn sup_058_rest_for_one_escalation() {
    escalation(Strategy::RestForOne, "a", "b").await;
}

#[tokio::test(start_paused = true)]
async fn sup_059_rest_for_one_other_child_fails_restart() {
    world(|_, nursery| async move {
        nursery.starts("b", [Start::Ok, Start::Fail]);
        let supervisor = three(&nursery, Strategy::RestForOne).await;
        nursery.crash("a").await;
        nursery.children(&supervisor).await;
        assert_eq!(nursery.children(&supervisor).await, "c=c#2 b=b#2 a=a#2");
        let log = ["end a#1", "end c#1", "end b#1", "start a#2", "fail b", "start b#2", "start c#2"];
        assert_eq!(nursery.log(), log);
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn sup_085_order_of_children() {
    world(|me, nursery| async move {
        let ids = ["a", "b", "c", "d", "e"];
        let tree = Supervisor::tree("s").strategy(Strategy::RestForOne);
        let tree = ids.into_iter().fold(tree, |tree, id| tree.child(nursery.worker(id)));
        let supervisor = tree.start_link().await.unwrap();
        assert_eq!(nursery.log(), ids.map(|id| format!("start {id}#1")));
        nursery.crash("c").await;
        nursery.children(&supervisor).await;
        let log = ["end c#1", "end e#1", "end d#1", "start c#2", "start d#2", "start e#2"];
        assert_eq!(nursery.log(), log);
        shutdown(&me, &supervisor).await;
        assert_eq!(nursery.log(), ["end e#2", "end d#2", "end c#2", "end b#1", "end a#1"]);
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn intensity_zero_ends_at_the_first_crash() {
    world(|mut me, nursery| async move {
        let tree = Supervisor::tree("s").intensity(0, secs(5)).child(nursery.worker("a"));
        let supervisor = tree.start_link().await.unwrap();
        nursery.crash("a").await;
        assert_eq!(end_of(&mut me, supervisor.pid()).await, ExitReason::Shutdown);
        assert_eq!(nursery.log(), ["start a#1", "end a#1"]);
    })
    .await;
}

/// Not OTP's: a wait before each restart, off unless asked for.
#[tokio::test(start_paused = true)]
async fn back_off_waits_before_a_restart() {
    world(|mut me, nursery| async move {
        let backoff = incarnate::supervisor::Backoff::new(secs(1), secs(8));
        let tree = Supervisor::tree("s").intensity(9, secs(60)).backoff(backoff).child(nursery.worker("a"));
        let supervisor = tree.start_link().await.unwrap();
        nursery.crash("a").await;
        assert_eq!(nursery.children(&supervisor).await, "a=restarting");
        pass(&mut me, 999).await;
        assert_eq!(nursery.children(&supervisor).await, "a=restarting");
        pass(&mut me, 10).await;
        assert_eq!(nursery.children(&supervisor).await, "a=a#2");
        nursery.crash("a").await;
        supervisor.terminate_child("a").await.unwrap();
        pass(&mut me, 60_000).await;
        assert_eq!(nursery.children(&supervisor).await, "a=undefined");
    })
    .await;
}

/// A start function that answers a process which has ended and was linked to nobody: the supervisor finds it gone and
/// starts it again as its restart type says.
#[tokio::test(start_paused = true)]
async fn a_child_that_is_gone_and_was_never_linked_has_ended() {
    for (restart, left) in
        [(Restart::Permanent, true), (Restart::Transient, true), (Restart::Temporary, false)]
    {
        let node = Node::new("a");
        let starts = Arc::new(AtomicUsize::new(0));
        let (home, count) = (node.clone(), starts.clone());
        let child = ChildSpec::worker("gone", move || {
            let (home, count) = (home.clone(), count.clone());
            async move {
                let life = count.fetch_add(1, Ordering::Relaxed);
                let process = home.spawn(move |mut me: Process<()>| async move {
                    if life > 0 {
                        me.receive().await;
                    }
                });
                if life == 0 {
                    process.ended().await;
                }
                Ok::<_, StartError>(process)
            }
        });
        let tree = Supervisor::tree("top").child(child.restart(restart));
        let top = tree.on(&node).start().await.unwrap();
        tokio::time::advance(secs(1)).await;
        // It answers when it has served what came before.
        top.count_children().await.unwrap();
        let running = top.count_children().await.unwrap().active;
        let started = starts.load(Ordering::Relaxed);
        assert_eq!((running, started), if left { (1, 2) } else { (0, 1) }, "{restart}");
    }
}
