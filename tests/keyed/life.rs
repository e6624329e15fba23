//! The process behind a key: its pid, what it does outside, what is left of it when it is idle.

use std::time::Duration;

use incarnate::shard::{Kind, Mode};
use incarnate::{ExitReason, Info, Never, Pid, Process};
use tokio::sync::oneshot;

use crate::shards::{COPIED, Call, Cluster, Counter, counter};

/// What a monitor on the process hears, from a process of the same node, when `end` has happened.
async fn down_of(cluster: &Cluster, at: usize, pid: Pid, end: impl Future<Output = ()>) -> ExitReason {
    let (tell, told) = oneshot::channel();
    let (set, is_set) = oneshot::channel();
    cluster.members[at].node.spawn(move |mut me: Process<Never>| async move {
        me.monitor(pid);
        set.send(()).unwrap();
        if let Info::Down(down) = me.receive().await {
            tell.send(down.reason).unwrap();
        }
    });
    is_set.await.unwrap();
    end.await;
    told.await.unwrap()
}

/// Which member serves a key.
fn owner(cluster: &Cluster, key: &str) -> usize {
    let shard = cluster.members[0].shards.shard_of(&counter(key));
    let serves =
        |info: &incarnate::shard::ShardInfo| info.shard == shard && info.here.is_some_and(|here| here.serves);
    cluster.members.iter().position(|member| member.shards.info().iter().any(serves)).unwrap()
}

#[tokio::test]
async fn a_monitor_on_its_process_hears_that_it_has_moved() {
    let cluster = Cluster::of(2, COPIED).await;
    let key = counter("k").on(&cluster.members[0].node);
    let pid = key.call(Call::Pid).await.unwrap();
    let at = owner(&cluster, "k");
    assert_eq!(pid.node(), cluster.members[at].node.id());
    let other = &cluster.members[1 - at];
    let moves = async {
        let shard = other.shards.shard_of(&key);
        other.shards.move_to(shard, other.node.id(), Duration::from_secs(20)).await.unwrap();
    };
    assert_eq!(down_of(&cluster, at, pid, moves).await, ExitReason::shutdown_with("moved"));
    assert_ne!(key.call(Call::Pid).await.unwrap().node(), pid.node());
}

#[tokio::test]
async fn a_monitor_on_its_process_hears_that_it_has_crashed() {
    let cluster = Cluster::of(1, COPIED).await;
    let key = counter("k").on(&cluster.members[0].node);
    let pid = key.call(Call::Pid).await.unwrap();
    let crashes = async {
        key.call(Call::Crash).await.unwrap_err();
    };
    let reason = down_of(&cluster, 0, pid, crashes).await;
    assert!(matches!(&reason, ExitReason::Crash(why) if why.message() == "as told"), "{reason}");
    assert_ne!(key.call(Call::Pid).await.unwrap(), pid);
}

#[tokio::test]
async fn what_it_sends_leaves_when_the_step_is_released_and_not_if_there_is_none() {
    let cluster = Cluster::of(2, COPIED).await;
    let node = &cluster.members[0].node;
    let (tell, told) = oneshot::channel();
    let listener = node.spawn(move |mut me: Process<i64>| async move {
        let mut heard = Vec::new();
        while heard.last() != Some(&3) {
            if let Info::User(message) = me.receive().await {
                heard.push(message);
            }
        }
        tell.send(heard).unwrap();
    });
    let key = counter("k").on(node);
    let send = |message, crashes| {
        let listener = listener.clone();
        key.call(move |to| Call::Send(listener, message, crashes, to))
    };
    send(1, false).await.unwrap();
    send(2, true).await.unwrap_err();
    send(3, false).await.unwrap();
    assert_eq!(told.await.unwrap(), [1, 3]);
}

#[tokio::test]
async fn an_idle_process_falls_back_to_its_state_and_the_next_message_wakes_it() {
    let kind = Kind::of::<Counter>(Mode::Local).idle_after(Duration::from_millis(20));
    let cluster = Cluster::with(1, Mode::Local, kind).await;
    let key = counter("k").on(&cluster.members[0].node);
    assert_eq!(key.call(|to| Call::Add(7, to)).await, Ok(7));
    let pid = key.call(Call::Pid).await.unwrap();
    cluster
        .until(|member| member.shards.info().iter().filter_map(|info| info.here).all(|here| here.awake == 0))
        .await;
    let states: usize =
        cluster.members[0].shards.info().iter().filter_map(|info| info.here).map(|it| it.states).sum();
    assert_eq!(states, 1);
    assert_eq!(key.call(Call::Get).await, Ok(7));
    assert_ne!(key.call(Call::Pid).await.unwrap(), pid);
}
