//! Links (erl_link_SUITE, rule 2.2).

use std::pin::pin;

use incarnate::process::NoProc;
use incarnate::{ExitReason, Info, Name, Never, Node, Process};

use crate::probe::{
    Probe, Probed, dead, ends_as_told, idle, in_time, inside, node, polled_once, wait_for_reason,
};

#[tokio::test(start_paused = true)]
async fn lk_001_links_self() {
    let node = node();
    let links = inside(&node, |me: Process<()>| async move {
        assert_eq!(me.link(me.pid()), Ok(()));
        me.node().process_info(me.pid()).map(|info| info.links)
    });
    assert_eq!(links.await, Some(vec![]));
}

#[tokio::test(start_paused = true)]
async fn lk_002_links_symmetry() {
    let node = node();
    let (a, b) = (Probe::<u32>::new(&node), Probe::<u32>::new(&node));
    let (pid_a, pid_b) = (a.pid(), b.pid());
    let links = |pid| node.process_info(pid).expect("it lives").links;

    assert_eq!(a.run(move |me| me.link(pid_b)).await, Ok(()));
    assert_eq!((links(pid_a), links(pid_b)), (vec![pid_b], vec![pid_a]));
    b.run(move |me| me.unlink(pid_a)).await;
    assert_eq!((links(pid_a), links(pid_b)), (vec![], vec![]));

    assert_eq!(b.run(move |me| me.link(pid_a)).await, Ok(()));
    assert_eq!(a.run(move |me| me.link(pid_b)).await, Ok(()));
    assert_eq!((links(pid_a), links(pid_b)), (vec![pid_b], vec![pid_a]), "linked twice is one link");
    a.run(move |me| me.unlink(pid_b)).await;
    assert_eq!((links(pid_a), links(pid_b)), (vec![], vec![]), "one unlink removes it");
    a.run(move |me| me.unlink(pid_b)).await;
}

#[tokio::test(start_paused = true)]
async fn lk_003_links_exit() {
    let node = node();
    let mut trapping = Probe::<u32>::trapping(&node).await;
    let plain = Probe::<u32>::new(&node);
    let victim = ends_as_told(&node);
    let pid = victim.pid();
    trapping.run(move |me| me.link(pid)).await.unwrap();
    plain.run(move |me| me.link(pid)).await.unwrap();
    let reason = ExitReason::term(&("bang", 7));
    let (plain, plain_pid) = (plain.process.clone(), plain.pid());
    let mut plain_ended = pin!(plain.ended());
    polled_once(&mut plain_ended).await;
    victim.send(reason.clone());
    assert_eq!(trapping.next_exit().await, (pid, reason.clone()));
    assert_eq!(in_time(plain_ended).await, reason);
    assert_eq!(node.process_info(trapping.pid()).unwrap().links, vec![]);
    assert!(node.process_info(plain_pid).is_none());
}

/// Rule 2.2.7.
#[tokio::test(start_paused = true)]
async fn rule_2_2_7_normal_end_of_a_linked_process() {
    let node = node();
    let mut trapping = Probe::<u32>::trapping(&node).await;
    let mut plain = Probe::<u32>::new(&node);
    let victim = ends_as_told(&node);
    let pid = victim.pid();
    trapping.run(move |me| me.link(pid)).await.unwrap();
    plain.run(move |me| me.link(pid)).await.unwrap();
    victim.send(ExitReason::Normal);
    assert_eq!(trapping.next_exit().await, (pid, ExitReason::Normal));
    plain.is_quiet().await;
    assert_eq!(node.process_info(plain.pid()).unwrap().links, vec![]);
}

/// Rule 2.2.8.
#[tokio::test(start_paused = true)]
async fn rule_2_2_8_link_to_the_dead() {
    let node = node();
    let pid = dead(&node).await;
    let mut plain = Probe::<u32>::new(&node);
    assert_eq!(plain.run(move |me| me.link(pid)).await, Err(NoProc));
    plain.is_quiet().await;
    let mut trapping = Probe::<u32>::trapping(&node).await;
    assert_eq!(trapping.run(move |me| me.link(pid)).await, Ok(()));
    assert_eq!(trapping.next_exit().await, (pid, ExitReason::NoProc));
    const NOBODY: Name<Never, Never, u32> = Name::new("lk_nobody");
    assert_eq!(trapping.run(|me| me.link(NOBODY)).await, Err(NoProc));
}

/// A process of a life of the node that is over is dead, not far away.
#[tokio::test(start_paused = true)]
async fn link_to_a_former_life_of_the_node() {
    let former = Node::new("lives@twice").spawn(|_: Process<()>| std::future::pending::<()>()).pid();
    let node = Node::new("lives@twice");
    let plain = Probe::<u32>::new(&node);
    assert_eq!(plain.run(move |me| me.link(former)).await, Err(NoProc));
}

#[tokio::test(start_paused = true)]
async fn lk_007_process_monitors_ownership() {
    let node = node();
    let mut owner = Probe::<u32>::new(&node);
    let other = Probe::<u32>::new(&node);
    let victim = idle(&node);
    let pid = victim.pid();
    let monitor = owner.run(move |me| me.monitor(pid)).await;
    assert!(!other.run(move |me| me.demonitor(monitor)).await);
    node.exit(pid, ExitReason::Kill);
    let down = owner.next_down().await;
    assert_eq!((down.reference, down.reason), (monitor, ExitReason::Killed));
}

#[tokio::test(start_paused = true)]
async fn lk_009_process_monitors_by_name() {
    const NAME: Name<Never, Never, ExitReason> = Name::new("lk_009");
    let node = node();
    let mut owner = Probe::<u32>::new(&node);
    let victim = ends_as_told(&node);
    let target = victim.clone();
    let monitor = owner.run(move |me| me.register(NAME, &target).map(|()| me.monitor(NAME))).await.unwrap();
    victim.send(ExitReason::Shutdown);
    let down = owner.next_down().await;
    assert_eq!((down.reference, down.reason), (monitor, ExitReason::Shutdown));
    assert_eq!(down.object, incarnate::process::Object::Name("lk_009", node.id()));
    assert!(down.object != victim.pid());
}

/// After unlink has returned nothing comes, even if the peer dies in that moment; and what came before is whole.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn lk_013_otp_5772_link() {
    let node = node();
    for round in 0..1000u32 {
        inside(&node, move |mut me: Process<()>| async move {
            me.trap_exit(true);
            let victim = me.spawn_link(wait_for_reason);
            let mut ended = Box::pin(victim.ended());
            polled_once(&mut ended).await;
            victim.send(ExitReason::Shutdown);
            for _ in 0..round % 64 {
                std::hint::spin_loop();
            }
            me.unlink_flush(victim.pid());
            assert_eq!(ended.await, ExitReason::Shutdown);
            let late = me.receive_after(std::time::Duration::ZERO).await;
            assert!(late.is_none(), "round {round}: {late:?} came after unlink");
        })
        .await;
    }
}

/// After demonitor has returned no new DOWN comes.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn lk_015_otp_5772_monitor() {
    let node = node();
    for round in 0..1000u32 {
        inside(&node, move |mut me: Process<()>| async move {
            let (victim, monitor) = me.spawn_monitor(wait_for_reason);
            let mut ended = Box::pin(victim.ended());
            polled_once(&mut ended).await;
            victim.send(ExitReason::Shutdown);
            for _ in 0..round % 64 {
                std::hint::spin_loop();
            }
            me.demonitor_flush(monitor);
            assert_eq!(ended.await, ExitReason::Shutdown);
            let late = me.receive_after(std::time::Duration::ZERO).await;
            assert!(late.is_none(), "round {round}: {late:?} came after demonitor");
        })
        .await;
    }
}

/// A pid of a node that is not connected: link returns, and the signal of a lost node comes.
#[tokio::test(start_paused = true)]
async fn lk_017_otp_7946() {
    let gone = Node::new("gone@elsewhere").spawn(|_: Process<()>| std::future::pending::<()>()).pid();
    let node = node();
    let mut trapping = Probe::<u32>::trapping(&node).await;
    assert_eq!(trapping.run(move |me| me.link(gone)).await, Ok(()));
    assert_eq!(trapping.next_exit().await, (gone, ExitReason::NoConnection));
    let plain = Probe::<u32>::new(&node);
    let mut ended = pin!(plain.process.ended());
    polled_once(&mut ended).await;
    assert_eq!(plain.run(move |me| me.link(gone)).await, Ok(()));
    assert_eq!(in_time(ended).await, ExitReason::NoConnection);
}

/// Rule 2.2.10: an exit message that is there stays there, and can be flushed.
#[tokio::test(start_paused = true)]
async fn rule_2_2_10_unlink_leaves_what_is_in_the_mailbox() {
    let node = node();
    let kept = inside(&node, |mut me: Process<()>| async move {
        me.trap_exit(true);
        let mut seen = Vec::new();
        for flush in [false, true] {
            let victim = me.spawn_link(wait_for_reason);
            let mut ended = Box::pin(victim.ended());
            polled_once(&mut ended).await;
            victim.send(ExitReason::Shutdown);
            ended.await;
            if flush {
                me.unlink_flush(victim.pid());
            } else {
                me.unlink(victim.pid());
            }
            seen.push(matches!(me.receive_after(std::time::Duration::ZERO).await, Some(Info::Exit(_))));
        }
        seen
    });
    assert_eq!(kept.await, vec![true, false]);
}

/// Links beyond a handful are kept another way: the same rules hold, and each peer hears once.
#[tokio::test(start_paused = true)]
async fn many_links_of_one_process() {
    let node = node();
    let mut hub = Probe::<u32>::trapping(&node).await;
    let spokes: Vec<_> = (0..40).map(|_| ends_as_told(&node)).collect();
    for spoke in spokes.iter().chain(&spokes) {
        let pid = spoke.pid();
        hub.run(move |me| me.link(pid)).await.unwrap();
    }
    assert_eq!(node.process_info(hub.pid()).unwrap().links.len(), 40);
    for spoke in &spokes {
        spoke.send(ExitReason::Normal);
        assert_eq!(hub.next_exit().await, (spoke.pid(), ExitReason::Normal));
    }
    hub.is_quiet().await;
    assert_eq!(node.process_info(hub.pid()).unwrap().links, vec![]);
    let order: Probed<u32> = Probed::Message(1);
    hub.process.send(order);
    assert_eq!(hub.next_message().await, 1);
}

/// What is queued already stays there: a plain demonitor takes no DOWN out of the mailbox.
#[tokio::test(start_paused = true)]
async fn lk_015_a_down_that_is_queued_survives_demonitor() {
    let node = node();
    inside(&node, |mut me: Process<()>| async move {
        let victim = ends_as_told(me.node());
        let monitor = me.monitor(&victim);
        victim.send(ExitReason::Shutdown);
        victim.ended().await;
        assert!(!me.demonitor(monitor), "it has fired");
        let Some(Info::Down(down)) = me.receive_after(std::time::Duration::ZERO).await else {
            panic!("the DOWN was taken out")
        };
        assert_eq!((down.reference, down.reason), (monitor, ExitReason::Shutdown));
    })
    .await;
}
