//! Several nodes.

use std::time::{Duration, Instant};

use incarnate::node::Distribution;
use incarnate::pg::{Group, JoinError, LeaveError, Scope};
use incarnate::{ExitReason, Never, Node};

use crate::cluster::{GROUP, Idle, Member, OTHER, Raw, cluster, connect, sorted};
use crate::pair::distribution;
use crate::pair::until;
use crate::probe::{Probe, Probed, idle, in_time};

/// What is no message of a scope does not end it: what OTP crashes of does not compile here, or does not cross.
#[tokio::test]
async fn pg_002_errors() {
    let [a, b] = cluster().await;
    let (scope, here) = (a.scope_pid(), a.joined("group").await);
    a.told_by(&b, Raw::Later { weights: vec![0.5] });
    incarnate::Name::<Never, u8>::new("pg").at(&b.node, a.node.id()).cast(7);
    incarnate::Name::<Never, Never, String>::new("pg").at(&b.node, a.node.id()).send("garbage".to_owned());
    #[derive(serde::Serialize, serde::Deserialize)]
    struct Garbage(incarnate::ReplyTo<()>);
    let by_name = incarnate::Name::<Garbage>::new("pg").at(&b.node, a.node.id());
    assert!(in_time(by_name.call(Garbage)).await.is_err());
    a.has_heard(&b).await;
    assert_eq!(a.scope_pid(), scope);
    assert_eq!(a.sees("group"), [here.pid()]);
}

#[tokio::test]
async fn pg_005_dyn_distribution() {
    // Both scopes run before their nodes reach others: neither is found unless one of them hears of the other's node.
    let mut members = Vec::new();
    for name in ["a", "b"] {
        let node = Node::new(name);
        let scope = Scope::of(&node, "pg");
        scope.start().await.unwrap();
        let process = idle(&node);
        scope.join(&GROUP, &process).await.unwrap();
        let on = distribution(&node).start().await.unwrap();
        members.push((Member { node, on, scope }, process));
    }
    let ((b, there), (a, here)) = (members.remove(1), members.remove(0));
    let first = a.scope_pid();
    assert_eq!(a.sees("group"), [here.pid()]);
    connect(&a, &b).await;
    let both = [here.pid(), there.pid()];
    a.until_sees("group", &both).await;
    b.until_sees("group", &both).await;
    // Nor does a node that is told of itself take itself for another.
    a.told_by(&b, Raw::Discover { from: first, version: 1 });
    a.told_by(
        &b,
        Raw::Sync { from: first, first: true, last: true, groups: vec![("group".into(), vec![1])] },
    );
    a.has_heard(&b).await;
    assert_eq!(a.sees("group"), sorted(both));
    assert_eq!(a.sees_of_its_own("group"), [here.pid()]);
    a.scope.leave(&GROUP, &here).await.unwrap();
    assert_eq!(a.sees("group"), [there.pid()]);
}

#[tokio::test]
async fn pg_006_process_owner_check() {
    let [a, b] = cluster().await;
    let (here, there) = (idle(&a.node), b.joined("other").await);
    a.until_sees("other", &[there.pid()]).await;
    let there = a.scope.members(&OTHER).remove(0);
    let not_local = there.pid();
    assert_eq!(a.scope.join(&GROUP, &there).await, Err(JoinError::NotLocal(not_local)));
    assert_eq!(a.scope.join_all(&GROUP, [&there, &there]).await, Err(JoinError::NotLocal(not_local)));
    assert_eq!(a.scope.join_all(&GROUP, [&here, &there]).await, Err(JoinError::NotLocal(not_local)));
    assert_eq!(a.scope.leave(&OTHER, &there).await, Err(LeaveError::NotLocal(not_local)));
    assert_eq!(a.scope.which_groups(), ["other"]);
    // A process of another node of this program is one of another node.
    let foreign = idle(&b.node);
    assert_eq!(a.scope.join(&GROUP, &foreign).await, Err(JoinError::NotLocal(foreign.pid())));
}

#[tokio::test]
async fn pg_007_overlay_missing() {
    let [a, b] = cluster().await;
    let here = a.joined("group").await;
    let from = b.scope_pid();
    let there = idle(&b.node).pid().id();
    a.has_heard(&b).await;
    b.scope.stop().await.unwrap();
    // Since the message of a scope that starts later comes behind what was said in the name of the former.
    a.told_by(&b, Raw::Join { from, group: "group".into(), members: vec![there] });
    a.told_by(&b, Raw::Leave { from, members: vec![here.pid().id()], groups: vec!["group".into()] });
    b.scope.start().await.unwrap();
    a.has_heard(&b).await;
    assert_eq!(a.sees("group"), [here.pid()]);
    // Who is a peer speaks for its own node alone, whatever numbers it says.
    let from = b.scope_pid();
    a.told_by(&b, Raw::Leave { from, members: vec![here.pid().id()], groups: vec!["group".into()] });
    a.has_heard(&b).await;
    assert_eq!(a.sees("group"), [here.pid()]);
}

#[tokio::test]
async fn pg_008_two() {
    let [a, b] = cluster().await;
    let here = a.joined("group").await;
    assert_eq!(a.sees_of_its_own("group"), [here.pid()]);
    b.until_sees("group", &[here.pid()]).await;
    assert!(b.sees_of_its_own("group").is_empty());
    assert_eq!((b.scope.which_groups().len(), b.scope.which_local_groups().len()), (1, 0));
    a.end(&here).await;
    b.until_sees("group", &[]).await;
    until(|| a.scope.which_groups().is_empty()).await;

    let (x, y) = (b.joined("group").await, b.joined("group").await);
    a.until_sees("group", &[x.pid(), y.pid()]).await;
    b.end(&x).await;
    a.until_sees("group", &[y.pid()]).await;
    in_time(b.on.stop()).await;
    a.until_sees("group", &[]).await;
    assert!(a.scope.which_groups().is_empty());
}

/// What a member is for: it is reached from every node.
#[tokio::test]
async fn a_member_is_sent_to_from_another_node() {
    let [a, b] = cluster().await;
    const ROOM: Group<Never, Never, Probed<u32>> = Group::new("room");
    let mut hears = Probe::<u32>::new(&a.node);
    a.scope.join(&ROOM, &hears.process).await.unwrap();
    until(|| !b.scope.members(&ROOM).is_empty()).await;
    let there = b.scope.members(&ROOM).remove(0);
    there.send(Probed::Message(7));
    assert_eq!(hears.next_message().await, 7);
    // And monitored, as any process there.
    let mut watches = Probe::<u32>::new(&b.node);
    watches.run(move |me| me.monitor(&there)).await;
    a.node.exit(hears.pid(), ExitReason::Kill);
    assert_eq!(watches.next_down().await.reason, ExitReason::Killed);
}

#[tokio::test]
async fn pg_009_empty_group_by_remote_leave() {
    let [a, b] = cluster().await;
    let x = b.joined("group").await;
    a.until_sees("group", &[x.pid()]).await;
    b.scope.leave(&GROUP, &x).await.unwrap();
    until(|| a.scope.which_groups().is_empty()).await;
    let y = idle(&b.node);
    b.scope.join_all(&GROUP, [&x, &y]).await.unwrap();
    a.until_sees("group", &[x.pid(), y.pid()]).await;
    b.scope.leave_all(&GROUP, [&y, &x]).await.unwrap();
    until(|| a.scope.which_groups().is_empty()).await;
    assert!(a.sees("group").is_empty());
}

#[tokio::test]
async fn pg_010_thundering_herd() {
    const GROUPS: usize = 10_000;
    const SYNCS: usize = 2_000;
    let [a, b] = cluster().await;
    let here = idle(&a.node);
    for n in 0..GROUPS {
        a.scope.join(&Idle::named(format!("group {n}")), &here).await.unwrap();
    }
    a.has_heard(&b).await;
    b.has_heard(&a).await;
    let (from, there) = (b.scope_pid(), idle(&b.node).pid());
    let sync =
        |members| Raw::Sync { from, first: true, last: true, groups: vec![("group 1".into(), members)] };
    let begun = Instant::now();
    for _ in 1..SYNCS {
        a.told_by(&b, sync(vec![there.id(), there.id()]));
    }
    a.told_by(&b, sync(vec![there.id()]));
    a.until_sees("group 1", &[here.pid(), there]).await;
    // Behind all of them, since the last is seen.
    a.scope.join(&GROUP, &here).await.unwrap();
    let took = begun.elapsed();
    println!("{SYNCS} syncs over {GROUPS} groups took {took:?}");
    assert!(took < Duration::from_secs(5), "{took:?}");
    assert_eq!(a.scope.which_groups().len(), GROUPS + 1);
}

#[tokio::test]
async fn pg_011_initial() {
    let a = Member::new("a").await;
    let here = a.joined("group").await;
    assert_eq!(a.sees_of_its_own("group"), [here.pid()]);
    let b = Member::new("b").await;
    connect(&b, &a).await;
    b.until_sees("group", &[here.pid()]).await;
    assert!(b.sees_of_its_own("group").is_empty());
    a.end(&here).await;
    b.until_sees("group", &[]).await;

    // And a scope that starts later, on a node that is there already.
    let other = a.joined("group").await;
    let late = Member { scope: Scope::of(&b.node, "late"), ..b };
    let first = Scope::of(&a.node, "late");
    first.start().await.unwrap();
    first.join(&GROUP, &other).await.unwrap();
    late.scope.start().await.unwrap();
    late.until_sees("group", &[other.pid()]).await;
}

#[tokio::test]
async fn pg_016_nolocal() {
    let [a, b] = cluster().await;
    let there = b.joined("group").await;
    b.scope.join(&GROUP, &there).await.unwrap();
    a.until_sees("group", &[there.pid(); 2]).await;
    assert!(a.sees_of_its_own("group").is_empty());
    assert!(a.scope.which_local_groups().is_empty());
}

#[tokio::test]
async fn pg_017_double() {
    let a = Member::new("a").await;
    let here = a.joined("group").await;
    let b = Member::new("b").await;
    connect(&b, &a).await;
    a.scope.join_all(&GROUP, [&here]).await.unwrap();
    assert_eq!(a.sees("group"), [here.pid(); 2]);
    b.until_sees("group", &[here.pid(); 2]).await;
    a.scope.leave(&GROUP, &here).await.unwrap();
    b.until_sees("group", &[here.pid()]).await;
}

#[tokio::test]
async fn pg_018_scope_restart() {
    let [a, b] = cluster().await;
    let (here, there) = (idle(&a.node), b.joined("group").await);
    a.scope.join_all(&GROUP, [&here, &here]).await.unwrap();
    let all = [there.pid(), here.pid(), here.pid()];
    a.until_sees("group", &all).await;
    b.until_sees("group", &all).await;
    a.scope.stop().await.unwrap();
    assert!(a.sees("group").is_empty());
    b.until_sees("group", &[there.pid()]).await;
    a.scope.start().await.unwrap();
    a.until_sees("group", &[there.pid()]).await;
    b.has_heard(&a).await;
    assert_eq!(b.sees("group"), [there.pid()]);
    // A kill is no other end than a stop.
    a.scope.join(&GROUP, &here).await.unwrap();
    b.until_sees("group", &[there.pid(), here.pid()]).await;
    a.node.exit(a.scope_pid(), ExitReason::Kill);
    b.until_sees("group", &[there.pid()]).await;
    until(|| a.scope.which_groups().is_empty()).await;
}

#[tokio::test]
async fn pg_021_forced_sync() {
    let [a, b] = cluster().await;
    let (here, there) = (a.joined("group").await, b.joined("group").await);
    let expected = [here.pid(), there.pid()];
    a.until_sees("group", &expected).await;
    b.until_sees("group", &expected).await;
    // Not what it has: one group is to grow, one to come.
    let (from, id) = (b.scope_pid(), there.pid().id());
    let groups = || vec![("group".to_owned(), vec![id, id]), ("false".to_owned(), vec![id, id])];
    for _ in 0..2 {
        a.told_by(&b, Raw::Sync { from, first: true, last: true, groups: groups() });
        a.has_heard(&b).await;
        assert_eq!(a.sees("group"), sorted([here.pid(), there.pid(), there.pid()]));
        assert_eq!(a.sees("false"), [there.pid(); 2]);
    }
    // In parts, it counts when the last is there.
    a.told_by(&b, Raw::Sync { from, first: true, last: false, groups: vec![("part".to_owned(), vec![id])] });
    a.has_heard(&b).await;
    assert_eq!(a.sees("false"), [there.pid(); 2]);
    a.told_by(&b, Raw::Sync { from, first: false, last: true, groups: vec![("part".to_owned(), vec![id])] });
    a.has_heard(&b).await;
    assert_eq!((a.sees("part"), a.sees("false")), (vec![there.pid(); 2], vec![]));
    assert_eq!(a.sees("group"), [here.pid()], "members of others stay");
    // Who is asked says what is.
    b.told_by(&a, Raw::Discover { from: a.scope_pid(), version: 1 });
    a.until_sees("group", &expected).await;
    until(|| a.scope.which_groups() == ["group"]).await;
    assert_eq!(b.sees("group"), sorted(expected));
}

#[tokio::test]
async fn pg_022_group_leave() {
    let [a, b] = cluster().await;
    let there = idle(&b.node);
    b.scope.join_all(&GROUP, [&there; 16]).await.unwrap();
    a.until_sees("group", &[there.pid(); 16]).await;
    b.scope.leave_all(&GROUP, [&there; 4]).await.unwrap();
    a.until_sees("group", &[there.pid(); 12]).await;
    in_time(b.on.stop()).await;
    a.until_sees("group", &[]).await;
}

#[tokio::test]
async fn pg_028_protocol_upgrade() {
    let [a, b] = cluster().await;
    let here = a.joined("group").await;
    b.until_sees("group", &[here.pid()]).await;
    // From a scope that a later release may start, which then hears of all.
    let name = "pg of a later release";
    let scope = Scope::of(&b.node, name);
    let other = Scope::of(&a.node, name);
    other.start().await.unwrap();
    other.join(&GROUP, &here).await.unwrap();
    let pid = scope.start().await.unwrap();
    incarnate::Name::<Never, Raw>::new(name)
        .at(&b.node, a.node.id())
        .cast(Raw::Discover { from: pid, version: 2 });
    until(|| !scope.members(&GROUP).is_empty()).await;
}

/// A node on the way to which there is room for little learns all the same, also what is more than one message may have.
#[tokio::test]
async fn a_node_that_takes_little_at_a_time_learns_all() {
    let node = |name| {
        let node = Node::new(name);
        let start = distribution(&node).queue_bound(1024).longest_message(16 << 10);
        async move {
            let on: Distribution = start.start().await.unwrap();
            let scope = Scope::of(&node, "pg");
            scope.start().await.unwrap();
            Member { node, on, scope }
        }
    };
    let (a, b) = (node("a").await, node("b").await);
    let before = idle(&a.node);
    for n in 0..500 {
        a.scope.join(&Idle::named(format!("a group from before, its number is {n}")), &before).await.unwrap();
    }
    connect(&a, &b).await;
    until(|| b.scope.which_groups().len() == 500).await;
    // More than one message may have.
    let many: Vec<_> = (0..3000).map(|_| idle(&a.node)).collect();
    a.scope.join_all(&GROUP, &many).await.unwrap();
    until(|| b.sees("group").len() == many.len()).await;
    for process in &many {
        a.node.exit(process.pid(), ExitReason::Kill);
    }
    until(|| b.scope.which_groups().len() == 500).await;
    a.scope.leave(&Idle::new("a group from before, its number is 7"), &before).await.unwrap();
    until(|| b.scope.which_groups().len() == 499).await;
}
