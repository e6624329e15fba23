//! Partition supervisors: a key always leads to the same partition.

use incarnate::{PartitionSupervisor, Supervisor};

use crate::nursery::{Kid, Nursery, world};

fn pool(nursery: &Nursery) -> PartitionSupervisor<Kid> {
    let nursery = nursery.clone();
    PartitionSupervisor::new("pool", move |partition| nursery.clone().start(format!("p{partition}")))
        .partitions(3)
}

#[tokio::test(start_paused = true)]
async fn a_key_has_one_partition_and_all_partitions_have_keys() {
    world(|_, nursery| async move {
        let pool = pool(&nursery).start_link().await.unwrap();
        assert_eq!(nursery.log(), ["start p0#1", "start p1#1", "start p2#1"]);
        let router = pool.router();
        let mut used = [0; 3];
        for key in 0..300 {
            used[router.index(&key)] += 1;
            assert_eq!(pool.which(&key).unwrap().pid(), pool.which(&key).unwrap().pid());
            assert_eq!(
                pool.which(&key).unwrap().pid(),
                nursery.at(&format!("p{}", router.index(&key))).pid()
            );
        }
        assert!(used.iter().all(|used| *used > 60), "{used:?}");
        assert_eq!(router.index("joe"), router.index(&String::from("joe")));
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_partition_is_restarted_under_its_number() {
    world(|_, nursery| async move {
        let pool = pool(&nursery).start_link().await.unwrap();
        nursery.crash("p1").await;
        let children = nursery.show(&pool.which_children().await.unwrap());
        assert_eq!(children, "2=p2#1 1=p1#2 0=p0#1");
        assert_eq!(pool.router().get(1).unwrap().pid(), nursery.at("p1").pid());
        assert_eq!(pool.count_children().await.unwrap().active, 3);
        assert_eq!(pool.partitions(), 3);
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_router_is_valid_before_the_start_and_across_restarts() {
    world(|me, nursery| async move {
        let pool = pool(&nursery);
        let router = pool.router();
        assert!(router.which("joe").is_none());
        let top = Supervisor::tree("top").child(pool);
        assert_eq!(top.shape().children()[0].children().len(), 3);
        let top = top.start_link().await.unwrap();
        let first = router.which("joe").unwrap();
        let state = top.which_child("pool").await.unwrap().state;
        let incarnate::supervisor::ChildState::Running(pid) = state else { panic!("{state:?}") };
        me.exit(pid, incarnate::ExitReason::Kill);
        first.ended().await;
        nursery.children(&top).await;
        let second = router.which("joe").unwrap();
        assert_ne!(first.pid(), second.pid());
        assert!(second.is_alive());
        assert_eq!(top.tree().await.unwrap().children()[0].children().len(), 3);
    })
    .await;
}
