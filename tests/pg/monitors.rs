//! Who is told of joins and leaves.

use std::sync::Arc;

use incarnate::pg::{Change, Event, JoinError, MonitorError, Scope};
use incarnate::process::CallError;
use incarnate::term::MonitorRef;
use incarnate::{ExitReason, Pid, ProcessRef};

use crate::cluster::{GROUP, Idle, OTHER, cluster, sorted};
use crate::pair::until;
use crate::probe::{Probe, Probed, idle, in_time, node};

/// What a probe hears: which monitor, which way, which group, who.
type Heard = (MonitorRef, Event, Arc<str>, Vec<Pid>);

fn of_scope(change: Change<Pid>) -> Probed<Heard> {
    Probed::Message((change.reference, change.event, change.group, sorted(change.members)))
}

fn of_group(change: Change<ProcessRef<()>>) -> Probed<Heard> {
    let members = sorted(change.members.iter().map(ProcessRef::pid));
    Probed::Message((change.reference, change.event, change.group, members))
}

fn heard(reference: MonitorRef, event: Event, group: &Idle, members: &[Pid]) -> Heard {
    (reference, event, group.as_str().into(), sorted(members.iter().copied()))
}

async fn started() -> (incarnate::Node, Scope) {
    let node = node();
    let scope = Scope::of(&node, "pg");
    scope.start().await.unwrap();
    (node, scope)
}

#[tokio::test]
async fn pg_023_monitor_nonempty_scope() {
    let [a, b] = cluster().await;
    let (here, there) = (a.joined("group").await, b.joined("group").await);
    let alone = a.joined("other").await;
    a.until_sees("group", &[here.pid(), there.pid()]).await;
    let mut probe = Probe::<Heard>::new(&a.node);
    let (reference, groups) = a.scope.monitor_scope(&probe.process, of_scope).await.unwrap();
    let groups: Vec<_> =
        groups.into_iter().map(|(name, members)| (name.to_string(), sorted(members))).collect();
    let both = sorted([here.pid(), there.pid()]);
    assert_eq!(groups, [("group".to_owned(), both), ("other".to_owned(), vec![alone.pid()])]);

    // From then on, all that changes, here and there.
    a.scope.leave(&OTHER, &alone).await.unwrap();
    assert_eq!(probe.next_message().await, heard(reference, Event::Leave, &OTHER, &[alone.pid()]));
    b.scope.join(&OTHER, &there).await.unwrap();
    assert_eq!(probe.next_message().await, heard(reference, Event::Join, &OTHER, &[there.pid()]));
    b.end(&there).await;
    let mut left = [probe.next_message().await, probe.next_message().await];
    left.sort_by_key(|heard| heard.2.clone());
    let gone = |group| heard(reference, Event::Leave, group, &[there.pid()]);
    assert_eq!(left, [gone(&GROUP), gone(&OTHER)]);
    probe.is_quiet().await;
}

#[tokio::test]
async fn pg_025_monitor() {
    let [a, b] = cluster().await;
    let here = a.joined("group").await;
    b.until_sees("group", &[here.pid()]).await;
    let mut probe = Probe::<Heard>::new(&b.node);
    let (reference, members) = b.scope.monitor(&GROUP, &probe.process, of_group).await.unwrap();
    assert_eq!(members.iter().map(ProcessRef::pid).collect::<Vec<_>>(), [here.pid()]);

    // A list is one event, another group none.
    let (x, y) = (idle(&a.node), idle(&a.node));
    a.joined("other").await;
    a.scope.join_all(&GROUP, [&x, &y, &x]).await.unwrap();
    assert_eq!(
        probe.next_message().await,
        heard(reference, Event::Join, &GROUP, &[x.pid(), x.pid(), y.pid()])
    );
    a.scope.leave_all(&GROUP, [&y, &x]).await.unwrap();
    assert_eq!(probe.next_message().await, heard(reference, Event::Leave, &GROUP, &[x.pid(), y.pid()]));
    // A node that is lost: all of its members at once.
    a.on.disconnect(b.node.id()).await;
    assert_eq!(probe.next_message().await, heard(reference, Event::Leave, &GROUP, &[x.pid(), here.pid()]));

    assert_eq!(b.scope.demonitor(reference).await, Ok(true));
    assert_eq!(b.scope.demonitor(reference).await, Ok(false));
    b.joined("group").await;
    probe.is_quiet().await;
}

/// A group that nobody is in can be monitored, and a member that ends is named although it is gone.
#[tokio::test]
async fn an_empty_group_is_monitored() {
    let (node, scope) = started().await;
    let mut probe = Probe::<Heard>::new(&node);
    let (reference, members) = scope.monitor(&GROUP, &probe.process, of_group).await.unwrap();
    assert!(members.is_empty());
    let one = idle(&node);
    scope.join_all(&GROUP, [&one, &one]).await.unwrap();
    assert_eq!(probe.next_message().await, heard(reference, Event::Join, &GROUP, &[one.pid(); 2]));
    node.exit(one.pid(), ExitReason::Kill);
    assert_eq!(probe.next_message().await, heard(reference, Event::Leave, &GROUP, &[one.pid(); 2]));
    assert_eq!(scope.leave(&GROUP, &one).await, Err(incarnate::pg::LeaveError::NotJoined));
    probe.is_quiet().await;
}

#[tokio::test]
async fn pg_026_monitor_self() {
    let (node, scope) = started().await;
    let pid = node.whereis("pg").unwrap();
    let both = node.spawn(|_: incarnate::Process<()>| std::future::pending::<()>());
    scope.join_all(&GROUP, [&both, &both]).await.unwrap();
    scope.monitor(&GROUP, &both, |_| ()).await.unwrap();
    scope.monitor_scope(&both, |_| ()).await.unwrap();
    scope.join(&OTHER, &both).await.unwrap();
    node.exit(both.pid(), ExitReason::Kill);
    in_time(both.ended()).await;
    until(|| scope.which_groups().is_empty()).await;
    // It lives, and tells others.
    let mut probe = Probe::<Heard>::new(&node);
    let (reference, _) = scope.monitor(&GROUP, &probe.process, of_group).await.unwrap();
    let one = idle(&node);
    scope.join(&GROUP, &one).await.unwrap();
    assert_eq!(probe.next_message().await, heard(reference, Event::Join, &GROUP, &[one.pid()]));
    assert_eq!(node.whereis("pg"), Some(pid));
}

#[tokio::test]
async fn pg_027_multi_monitor() {
    let (node, scope) = started().await;
    let mut probe = Probe::<Heard>::new(&node);
    let mut references = Vec::new();
    for _ in 0..2 {
        references.push(scope.monitor_scope(&probe.process, of_scope).await.unwrap().0);
        references.push(scope.monitor(&GROUP, &probe.process, of_group).await.unwrap().0);
    }
    let one = idle(&node);
    scope.join(&GROUP, &one).await.unwrap();
    let mut told = Vec::new();
    for _ in 0..4 {
        told.push(probe.next_message().await);
    }
    probe.is_quiet().await;
    told.sort_by_key(|heard| heard.0);
    references.sort_unstable();
    let each = |reference: &MonitorRef| heard(*reference, Event::Join, &GROUP, &[one.pid()]);
    assert_eq!(told, references.iter().map(each).collect::<Vec<_>>());
}

/// A restart of the scope ends monitors, as it ends memberships.
#[tokio::test]
async fn monitors_end_with_the_scope() {
    let (node, scope) = started().await;
    let mut probe = Probe::<Heard>::new(&node);
    let (reference, _) = scope.monitor(&GROUP, &probe.process, of_group).await.unwrap();
    scope.stop().await.unwrap();
    assert_eq!(scope.demonitor(reference).await, Err(CallError::NoProc));
    scope.start().await.unwrap();
    assert_eq!(scope.demonitor(reference).await, Ok(false));
    scope.join(&GROUP, &idle(&node)).await.unwrap();
    probe.is_quiet().await;
}

/// What makes the message is the subscriber's code: when it panics, only its own monitor ends.
#[tokio::test]
async fn a_message_that_panics_harms_nobody_else() {
    let (node, scope) = started().await;
    let mut probe = Probe::<Heard>::new(&node);
    let (bad, _) = scope.monitor_scope(&probe.process, |_| panic!("as the test wants")).await.unwrap();
    let (good, _) = scope.monitor(&GROUP, &probe.process, of_group).await.unwrap();
    let one = idle(&node);
    scope.join(&GROUP, &one).await.unwrap();
    assert_eq!(probe.next_message().await, heard(good, Event::Join, &GROUP, &[one.pid()]));
    assert_eq!(scope.demonitor(bad).await, Ok(false));
    assert_eq!(scope.demonitor(good).await, Ok(true));
}

#[tokio::test]
async fn who_lives_elsewhere_is_told_by_its_own_scope() {
    let [a, b] = cluster().await;
    let there = b.joined("group").await;
    a.until_sees("group", &[there.pid()]).await;
    let there = a.scope.members(&GROUP).remove(0);
    let not_local = MonitorError::NotLocal(there.pid());
    assert_eq!(a.scope.monitor(&GROUP, &there, |_| ()).await.unwrap_err(), not_local);
    assert_eq!(a.scope.monitor_scope(&there, |_| ()).await.unwrap_err(), not_local);
    assert_eq!(a.scope.join(&GROUP, &there).await, Err(JoinError::NotLocal(there.pid())));
}
