//! Nodes that lose each other and meet again.

use incarnate::pg::LeaveError;

use crate::cluster::{GROUP, Idle, Member, cluster, connect, cut, sorted};
use crate::pair::until;
use crate::probe::{Random, idle, seed};

#[tokio::test]
async fn pg_012_netsplit() {
    let [a, b] = cluster().await;
    let old = b.joined("invisible").await;
    a.until_sees("invisible", &[old.pid()]).await;
    cut(&a, &b).await;
    a.until_sees("invisible", &[]).await;
    assert!(a.scope.which_groups().is_empty());
    // Both go on.
    let there = b.joined("group").await;
    b.scope.leave(&Idle::new("invisible"), &old).await.unwrap();
    b.scope.join(&Idle::new("visible"), &old).await.unwrap();
    let here = a.joined("group").await;
    connect(&a, &b).await;
    let both = [here.pid(), there.pid()];
    a.until_sees("group", &both).await;
    b.until_sees("group", &both).await;
    a.until_sees("visible", &[old.pid()]).await;
    assert_eq!(a.scope.which_groups(), ["group", "visible"]);
    assert_eq!(b.scope.which_groups(), ["group", "visible"]);
}

#[tokio::test]
async fn pg_013_trisplit() {
    let [a, b] = cluster().await;
    let there = b.joined("three").await;
    cut(&a, &b).await;
    connect(&a, &b).await;
    b.scope.join(&Idle::new("one"), &there).await.unwrap();
    let c = Member::new("c").await;
    connect(&c, &a).await;
    connect(&c, &b).await;
    c.until_sees("one", &[there.pid()]).await;
    c.until_sees("three", &[there.pid()]).await;
    a.until_sees("one", &[there.pid()]).await;
    a.until_sees("three", &[there.pid()]).await;
}

#[tokio::test]
async fn pg_014_foursplit() {
    let [a, b] = cluster().await;
    let (here, there) = (a.joined("one").await, b.joined("two").await);
    a.scope.join(&Idle::new("two"), &here).await.unwrap();
    a.scope.leave(&Idle::new("one"), &here).await.unwrap();
    assert_eq!(a.scope.leave(&Idle::new("three"), &here).await, Err(LeaveError::NotJoined));
    a.until_sees("two", &[here.pid(), there.pid()]).await;
    b.until_sees("two", &[here.pid(), there.pid()]).await;
    cut(&a, &b).await;
    b.end(&there).await;
    assert_eq!(a.scope.leave(&Idle::new("three"), &here).await, Err(LeaveError::NotJoined));
    a.scope.leave(&Idle::new("two"), &here).await.unwrap();
    connect(&a, &b).await;
    a.has_heard(&b).await;
    b.has_heard(&a).await;
    assert!(a.scope.which_groups().is_empty(), "{:?}", a.scope.which_groups());
    assert!(b.scope.which_groups().is_empty(), "{:?}", b.scope.which_groups());
}

#[tokio::test]
async fn pg_015_exchange() {
    let [a, b, c] = cluster().await;
    let (second, third) = (Idle::new("second"), Idle::new("third"));
    let of_b: Vec<_> = (0..10).map(|_| idle(&b.node)).collect();
    let of_c: Vec<_> = (0..10).map(|_| idle(&c.node)).collect();
    let more_of_b: Vec<_> = (0..10).map(|_| idle(&b.node)).collect();
    let pids = |all: &[incarnate::ProcessRef<()>]| all.iter().map(|one| one.pid()).collect::<Vec<_>>();
    b.scope.join_all(&GROUP, &of_b).await.unwrap();
    a.until_sees("group", &pids(&of_b)).await;
    for one in &of_b[..3] {
        b.end(one).await;
    }
    // The last of them may be known as dead when the nodes lose each other, or not.
    a.on.disconnect("b").await;
    a.on.disconnect("c").await;
    a.until_sees("group", &[]).await;
    until(|| b.on.nodes() == ["c"] && c.on.nodes() == ["b"]).await;
    for one in &of_c {
        c.scope.join(&GROUP, one).await.unwrap();
    }
    for one in &more_of_b {
        b.scope.join(&second, one).await.unwrap();
    }
    b.scope.join_all(&third, &more_of_b).await.unwrap();
    b.end(&of_b[3]).await;
    connect(&a, &b).await;
    connect(&a, &c).await;
    let group = [pids(&of_b[4..]), pids(&of_c)].concat();
    for member in [&a, &b, &c] {
        member.until_sees("group", &group).await;
        member.until_sees("second", &pids(&more_of_b)).await;
        member.until_sees("third", &pids(&more_of_b)).await;
    }
    let (left, stay) = more_of_b.split_at(3);
    b.scope.leave_all(&third, left).await.unwrap();
    a.until_sees("third", &pids(stay)).await;
    assert_eq!(b.scope.leave_all(&Idle::new("left"), stay).await, Err(LeaveError::NotJoined));
    b.scope.leave_all(&third, stay).await.unwrap();
    a.until_sees("third", &[]).await;
    until(|| c.scope.which_groups() == ["group", "second"]).await;
}

/// Four nodes that lose each other and meet while processes come and go: in the end all see the same.
#[tokio::test(flavor = "multi_thread")]
async fn four_nodes_see_the_same_in_the_end() {
    let mut random = Random::new(seed());
    let nodes = cluster::<4>().await;
    let mut members = Vec::new();
    for _ in 0..60 {
        let (one, other) = (random.below(4), random.below(4));
        match random.below(6) {
            0 if one != other => nodes[one].on.disconnect(nodes[other].node.id()).await,
            1 if one != other => {
                // They may be connected, or about to be.
                let _ = nodes[one].on.connect(nodes[other].on.address().unwrap()).await;
            }
            2 if !members.is_empty() => {
                let (at, process) = members.swap_remove(random.below(members.len()));
                let at: &Member = &nodes[at];
                at.end(&process).await;
            }
            _ => members.push((one, nodes[one].joined("group").await)),
        }
    }
    for (at, one) in nodes.iter().enumerate() {
        for other in &nodes[..at] {
            // A node may not have noticed yet that it has lost the other.
            until_connected(one, other).await;
        }
    }
    let all = sorted(members.iter().map(|(_, process)| process.pid()));
    for one in &nodes {
        one.until_sees("group", &all).await;
    }
}

async fn until_connected(one: &Member, other: &Member) {
    let knows = |a: &Member, b: &Member| a.on.nodes().contains(&b.node.name().to_owned());
    while !(knows(one, other) && knows(other, one)) {
        let _ = crate::probe::in_time(one.on.connect(other.on.address().unwrap())).await;
        tokio::task::yield_now().await;
    }
}
