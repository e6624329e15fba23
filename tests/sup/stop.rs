//! Ends: order, limits, children that do not do as they are told.

use incarnate::supervisor::{Restart, Shutdown};
use incarnate::{DynamicSupervisor, ExitReason, Me, Node, Process, StartError, Supervisor, Timeout};
use tokio::time::Instant;

use crate::nursery::{Deed, Nursery, end_of, secs, shutdown, world};

#[tokio::test(start_paused = true)]
async fn sup_016_stop_infinity() {
    world(|mut me, nursery| async move {
        let tree = Supervisor::tree("s")
            .child(nursery.worker("a").shutdown(Shutdown::Infinity))
            .child(Supervisor::tree("t").child(nursery.worker("b").shutdown(Shutdown::Infinity)));
        let supervisor = tree.start_link().await.unwrap();
        let (a, b) = (nursery.at("a").pid(), nursery.at("b").pid());
        me.monitor(a);
        me.monitor(b);
        let begin = Instant::now();
        nursery.slow("a", Some((secs(3600), ExitReason::Shutdown))).await;
        shutdown(&me, &supervisor).await;
        assert_eq!(begin.elapsed(), secs(3600));
        assert_eq!(end_of(&mut me, a).await, ExitReason::Shutdown);
        assert_eq!(end_of(&mut me, b).await, ExitReason::Shutdown);
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn sup_019_stop_brutal_kill() {
    world(|mut me, nursery| async move {
        let tree = Supervisor::tree("s")
            .child(nursery.worker("a").shutdown(Shutdown::BrutalKill))
            .child(nursery.worker("b"));
        let supervisor = tree.start_link().await.unwrap();
        let (a, b) = (nursery.at("a").pid(), nursery.at("b").pid());
        me.monitor(a);
        me.monitor(b);
        shutdown(&me, &supervisor).await;
        assert_eq!(end_of(&mut me, a).await, ExitReason::Killed);
        assert_eq!(end_of(&mut me, b).await, ExitReason::Shutdown);
    })
    .await;
}

fn kids(nursery: &Nursery) -> DynamicSupervisor<String, crate::nursery::Kid> {
    let nursery = nursery.clone();
    DynamicSupervisor::new("kids", move |id: String| nursery.clone().start(id))
}

#[tokio::test(start_paused = true)]
async fn sup_020_stop_brutal_kill_dynamic() {
    world(|mut me, nursery| async move {
        let supervisor = kids(&nursery).shutdown(Shutdown::BrutalKill).start_link().await.unwrap();
        let mut all = Vec::new();
        for kid in 0..10 {
            let kid = supervisor.start_child(kid.to_string()).await.unwrap().pid();
            me.monitor(kid);
            all.push(kid);
        }
        me.exit(supervisor.pid(), ExitReason::Shutdown);
        assert_eq!(end_of(&mut me, supervisor.pid()).await, ExitReason::Shutdown);
        for kid in all {
            assert_eq!(end_of(&mut me, kid).await, ExitReason::Killed);
        }
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn sup_022_stop_non_shutdown_exit_dynamic() {
    world(|mut me, nursery| async move {
        let supervisor = kids(&nursery).start_link().await.unwrap();
        let answers = [ExitReason::Normal, ExitReason::shutdown_with("tired"), crate::nursery::crash()];
        for (kid, answer) in answers.into_iter().enumerate() {
            supervisor.start_child(kid.to_string()).await.unwrap();
            nursery.slow(&kid.to_string(), Some((secs(0), answer))).await;
        }
        me.exit(supervisor.pid(), ExitReason::Shutdown);
        assert_eq!(end_of(&mut me, supervisor.pid()).await, ExitReason::Shutdown);
    })
    .await;
}

/// Children that need this long to end, under a supervisor that gives them `limit`; answers how long the end took.
async fn dynamic_end(needs: &[u64], limit: u64, expected: u64) {
    let needs = needs.to_vec();
    world(move |mut me, nursery| async move {
        let supervisor = kids(&nursery).shutdown(Shutdown::Timeout(secs(limit))).start_link().await.unwrap();
        for (kid, need) in needs.into_iter().enumerate() {
            supervisor.start_child(kid.to_string()).await.unwrap();
            nursery.slow(&kid.to_string(), Some((secs(need), ExitReason::Shutdown))).await;
        }
        let begin = Instant::now();
        me.exit(supervisor.pid(), ExitReason::Shutdown);
        assert_eq!(end_of(&mut me, supervisor.pid()).await, ExitReason::Shutdown);
        assert_eq!(begin.elapsed(), secs(expected));
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn sup_053_dynamic_children_end_at_once() {
    dynamic_end(&[1, 1, 5], 2, 2).await;
    dynamic_end(&[1, 1, 1], 2, 1).await;
}

#[tokio::test(start_paused = true)]
async fn static_children_end_one_after_another() {
    world(|me, nursery| async move {
        let tree =
            ["a", "b", "c"].into_iter().fold(Supervisor::tree("s"), |t, id| t.child(nursery.worker(id)));
        let supervisor = tree.start_link().await.unwrap();
        for id in ["a", "b", "c"] {
            nursery.slow(id, Some((secs(4), ExitReason::Shutdown))).await;
        }
        let begin = Instant::now();
        shutdown(&me, &supervisor).await;
        assert_eq!(begin.elapsed(), secs(12));
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn sup_060_child_unlink() {
    world(|_, nursery| async move {
        let tree = Supervisor::tree("s").child(nursery.worker("a")).child(nursery.worker("b"));
        let supervisor = tree.start_link().await.unwrap();
        nursery.slow("a", None).await;
        let a = nursery.at("a");
        a.ask_info(Deed::Unlink, Timeout::Infinity).await.unwrap();
        let begin = Instant::now();
        supervisor.terminate_child("a").await.unwrap();
        assert_eq!(begin.elapsed(), secs(5));
        assert!(!a.is_alive());
        assert_eq!(nursery.children(&supervisor).await, "b=b#1 a=undefined");
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn sup_029_no_time_to_shut_down_is_a_kill() {
    world(|_, nursery| async move {
        let child = nursery.worker("a").shutdown(Shutdown::Timeout(secs(0)));
        let supervisor = Supervisor::tree("s").child(child).start_link().await.unwrap();
        nursery.slow("a", None).await;
        supervisor.terminate_child("a").await.unwrap();
        assert!(!nursery.at("a").is_alive());
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_supervisor_that_waits_for_an_end_serves_nobody_and_can_be_killed() {
    world(|mut me, nursery| async move {
        let child = nursery.worker("a").shutdown(Shutdown::Infinity);
        let supervisor = Supervisor::tree("s").child(child).start_link().await.unwrap();
        nursery.slow("a", None).await;
        let a = nursery.at("a");
        let waits = supervisor.clone();
        let ends = me.spawn(move |_: Process<()>| async move {
            let error = waits.terminate_child("a").await.unwrap_err();
            ExitReason::term(&format!("{error:?}"))
        });
        // It has got the order when its child has.
        let asks = supervisor.clone();
        let count = me.spawn(move |_: Process<()>| async move {
            ExitReason::term(&format!("{:?}", asks.count_children().await.unwrap_err()))
        });
        assert!(me.receive_after(secs(3600)).await.is_none());
        assert!(count.is_alive() && ends.is_alive() && supervisor.is_alive());
        me.monitor(&count);
        me.monitor(&ends);
        me.exit(supervisor.pid(), ExitReason::Kill);
        assert_eq!(end_of(&mut me, supervisor.pid()).await, ExitReason::Killed);
        assert_eq!(end_of(&mut me, count.pid()).await, ExitReason::term("Exit(killed)"));
        assert_eq!(end_of(&mut me, ends.pid()).await, ExitReason::term("Call(Exit(killed))"));
        a.node().exit(a.pid(), ExitReason::Kill);
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_stranger_s_exit_does_nothing_and_a_kill_takes_the_children_along() {
    world(|me, nursery| async move {
        let supervisor = Supervisor::tree("s").child(nursery.worker("a")).start_link().await.unwrap();
        let pid = supervisor.pid();
        let stranger = me.spawn(move |me: Process<()>| async move {
            me.exit(pid, ExitReason::Shutdown);
        });
        stranger.ended().await;
        assert_eq!(nursery.children(&supervisor).await, "a=a#1");
        me.exit(pid, ExitReason::Kill);
        assert_eq!(nursery.at("a").ended().await, ExitReason::Killed);
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn stop_ends_the_children_and_answers_normal() {
    world(|_, nursery| async move {
        let child = nursery.worker("a").restart(Restart::Transient);
        let supervisor = Supervisor::tree("s").child(child).start().await.unwrap();
        supervisor.stop().await.unwrap();
        assert_eq!(nursery.log(), ["start a#1", "end a#1"]);
    })
    .await;
}

/// A supervisor that ends very many children lets others run meanwhile.
#[tokio::test]
async fn the_end_of_many_children_holds_no_thread() {
    let node = Node::new("many");
    let kids = DynamicSupervisor::temporary("kids", |()| async {
        let me = Me::current().ok_or(StartError::NoParent)?;
        Ok::<_, StartError>(me.spawn_link(|_: Process<()>| std::future::pending::<()>()))
    });
    let kids = kids.on(&node).start().await.unwrap();
    for _ in 0..5_000 {
        kids.start_child(()).await.unwrap();
    }
    let stopping = tokio::spawn(async move { kids.stop().await });
    let alive = || node.processes().into_iter().filter(|pid| node.is_alive(*pid)).count();
    let (mut before, mut most) = (alive(), 0);
    while !stopping.is_finished() {
        tokio::task::yield_now().await;
        let now = alive();
        most = most.max(before - now);
        before = now;
    }
    stopping.await.unwrap().unwrap();
    assert_eq!(node.process_count(), 0);
    assert!(most < 1_000, "{most} children were ended in one turn");
}
