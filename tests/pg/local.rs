//! One node.

use incarnate::pg::{DEFAULT_SCOPE, Group, JoinError, LeaveError, Scope};
use incarnate::process::CallError;
use incarnate::supervisor::{ChildSpec, Supervisor};
use incarnate::{ExitReason, Never, Node, ProcessRef, StartError, StopError};

use crate::cluster::{GROUP, Idle, OTHER, sorted};
use crate::pair::distribution;
use crate::pair::until;
use crate::probe::{idle, in_time, node};

async fn started() -> (Node, Scope) {
    let node = node();
    let scope = Scope::of(&node, DEFAULT_SCOPE);
    scope.start().await.unwrap();
    (node, scope)
}

fn pids(members: &[ProcessRef<()>]) -> Vec<incarnate::Pid> {
    sorted(members.iter().map(ProcessRef::pid))
}

#[tokio::test]
async fn pg_001_pg() {
    let (node, scope) = started().await;
    assert!(node.whereis("pg").is_some());
    let one = idle(&node);
    assert_eq!(scope.join(&GROUP, &one).await, Ok(()));
    assert_eq!(pids(&scope.local_members(&GROUP)), [one.pid()]);
    assert_eq!(scope.which_groups(), ["group"]);
    assert_eq!(scope.which_local_groups(), ["group"]);
    assert_eq!(scope.leave(&GROUP, &one).await, Ok(()));
    assert!(scope.members(&GROUP).is_empty());
    assert!(scope.which_groups().is_empty());
    assert!(scope.which_local_groups().is_empty());
}

#[tokio::test]
async fn pg_003_leave_exit_race() {
    let (node, scope) = started().await;
    for _ in 0..100 {
        let ends = node.spawn(|_: incarnate::Process<()>| async {});
        scope.join(&GROUP, &ends).await.unwrap();
        // It has left by its end, or does by this.
        let left = scope.leave(&GROUP, &ends).await;
        assert!(matches!(left, Ok(()) | Err(LeaveError::NotJoined)), "{left:?}");
    }
    assert!(scope.which_groups().is_empty());
}

#[tokio::test]
async fn pg_004_single() {
    let (node, scope) = started().await;
    let (one, other) = (idle(&node), idle(&node));
    scope.join(&GROUP, &one).await.unwrap();
    scope.join_all(&GROUP, [&one, &one]).await.unwrap();
    assert_eq!(pids(&scope.local_members(&GROUP)), [one.pid(); 3]);
    assert_eq!(pids(&scope.members(&GROUP)), [one.pid(); 3]);
    assert_eq!(scope.leave(&OTHER, &one).await, Err(LeaveError::NotJoined));
    assert_eq!(scope.leave(&GROUP, &other).await, Err(LeaveError::NotJoined));
    scope.leave_all(&GROUP, [&one, &one]).await.unwrap();
    scope.leave(&GROUP, &one).await.unwrap();
    assert_eq!(scope.leave(&GROUP, &one).await, Err(LeaveError::NotJoined));
    assert!(scope.which_groups().is_empty());
    assert!(scope.members(&GROUP).is_empty() && scope.local_members(&GROUP).is_empty());

    scope.join_all(&GROUP, [&one, &other, &other]).await.unwrap();
    scope.join(&OTHER, &other).await.unwrap();
    assert_eq!(pids(&scope.members(&GROUP)), sorted([one.pid(), other.pid(), other.pid()]));
    node.exit(other.pid(), ExitReason::Kill);
    in_time(other.ended()).await;
    until(|| scope.which_groups() == ["group"]).await;
    assert_eq!(pids(&scope.members(&GROUP)), [one.pid()]);
}

/// What has ended joins, and leaves at once, as in OTP.
#[tokio::test]
async fn who_has_ended_is_no_member() {
    let (node, scope) = started().await;
    let gone = node.spawn(|_: incarnate::Process<()>| async {});
    in_time(gone.ended()).await;
    assert_eq!(scope.join(&GROUP, &gone).await, Ok(()));
    assert!(scope.members(&GROUP).is_empty());
    until(|| scope.which_groups().is_empty()).await;
}

/// A list may be empty, and of a list leave those who are in.
#[tokio::test]
async fn lists_are_taken_as_they_are() {
    let (node, scope) = started().await;
    let (one, other) = (idle(&node), idle(&node));
    assert_eq!(scope.join_all(&GROUP, []).await, Ok(()));
    assert!(scope.which_groups().is_empty());
    assert_eq!(scope.leave_all(&GROUP, []).await, Err(LeaveError::NotJoined));
    scope.join(&GROUP, &one).await.unwrap();
    assert_eq!(scope.leave_all(&GROUP, [&other, &one, &one]).await, Ok(()));
    assert!(scope.which_groups().is_empty());
}

#[tokio::test]
async fn pg_019_missing_scope_join() {
    let (node, scope) = started().await;
    let one = idle(&node);
    scope.join(&GROUP, &one).await.unwrap();
    scope.stop().await.unwrap();
    let noproc = CallError::NoProc;
    assert_eq!(scope.join(&GROUP, &one).await, Err(JoinError::Call(noproc.clone())));
    assert_eq!(scope.leave(&GROUP, &one).await, Err(LeaveError::Call(noproc.clone())));
    assert_eq!(scope.join_all(&GROUP, []).await, Err(JoinError::Call(noproc)));
    // Reads find nobody, in OTP too.
    assert!(scope.members(&GROUP).is_empty() && scope.which_groups().is_empty());
    assert_eq!(scope.stop().await, Err(StopError::NoProc));
}

#[tokio::test]
async fn pg_020_disconnected_start() {
    // One that reaches no other node, and one that could.
    for distributed in [false, true] {
        let node = node();
        let _on = match distributed {
            true => Some(distribution(&node).start().await.unwrap()),
            false => None,
        };
        let scope = Scope::of(&node, "some scope");
        let pid = scope.start().await.unwrap();
        assert_eq!(scope.start().await, Err(StartError::AlreadyStarted(pid)));
        scope.join(&GROUP, &idle(&node)).await.unwrap();
        scope.stop().await.unwrap();
        assert_eq!(node.whereis("some scope"), None);
        scope.start().await.unwrap();
        assert!(scope.which_groups().is_empty());
        scope.stop().await.unwrap();
    }
}

#[tokio::test]
async fn scopes_are_independent() {
    let (node, scope) = started().await;
    let another = Scope::of(&node, "another");
    another.start().await.unwrap();
    let one = idle(&node);
    scope.join(&GROUP, &one).await.unwrap();
    assert!(another.which_groups().is_empty());
    assert_eq!(another.leave(&GROUP, &one).await, Err(LeaveError::NotJoined));
    another.join(&OTHER, &one).await.unwrap();
    another.stop().await.unwrap();
    assert_eq!(scope.which_groups(), ["group"]);
}

/// A scope is a child like others; whoever has a handle keeps it.
#[tokio::test]
async fn a_supervisor_starts_it_again() {
    let node = node();
    let scope = Scope::of(&node, "chat");
    let child = scope.clone();
    let tree = Supervisor::tree("top").child(ChildSpec::worker("chat", move || child.start_link()));
    let top = tree.on(&node).start().await.unwrap();
    let one = idle(&node);
    scope.join(&GROUP, &one).await.unwrap();
    let first = node.whereis("chat").unwrap();
    node.exit(first, ExitReason::Kill);
    until(|| node.whereis("chat").is_some_and(|second| second != first)).await;
    assert!(scope.which_groups().is_empty(), "who was in a group of the first is in none of the second");
    assert_eq!(in_time(scope.join(&GROUP, &one)).await, Ok(()));
    assert_eq!(pids(&scope.members(&GROUP)), [one.pid()]);
    top.stop().await.unwrap();
    assert!(scope.members(&GROUP).is_empty());
}

/// A group's name says what its members take; who takes something else is not lent to those who ask for that.
#[tokio::test]
async fn members_of_other_messages_are_left_out() {
    let (node, scope) = started().await;
    const NUMBERS: Group<Never, Never, u32> = Group::new("group");
    let number = node.spawn(|_: incarnate::Process<u32>| std::future::pending::<()>());
    let one = idle(&node);
    scope.join(&NUMBERS, &number).await.unwrap();
    scope.join(&GROUP, &one).await.unwrap();
    assert_eq!(pids(&scope.members(&GROUP)), [one.pid()]);
    assert_eq!(scope.members(&NUMBERS).len(), 1);
    assert_eq!(scope.which_groups(), ["group"]);
}

/// Nobody waits for the scope to read who is in a group.
#[tokio::test]
async fn a_scope_that_is_held_is_read_all_the_same() {
    let (node, scope) = started().await;
    let one = idle(&node);
    scope.join(&GROUP, &one).await.unwrap();
    let pid = node.whereis("pg").unwrap();
    incarnate::sys::suspend(&node, pid, crate::probe::HANGS).await.unwrap();
    assert_eq!(pids(&scope.members(&GROUP)), [one.pid()]);
    assert_eq!(scope.which_groups(), ["group"]);
    incarnate::sys::resume(&node, pid, crate::probe::HANGS).await.unwrap();
}

#[tokio::test]
async fn a_group_is_known_by_its_name() {
    assert_eq!(Idle::new("room 7"), Idle::named(format!("room {}", 7)));
    assert_eq!(format!("{} {:?}", GROUP, Idle::new("x")), "group Group(\"x\")");
}
