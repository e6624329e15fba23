//! Nodes that find each other by the address of one.

use std::time::Duration;

use incarnate::Node;
use incarnate::node::{Distribution, StartError};
use tokio::net::TcpListener;

use crate::pair::{distribution, until};
use crate::probe::in_time;

struct Member {
    node: Node,
    on: Distribution,
}

async fn member(name: &str, seeds: &[&str]) -> Member {
    let node = Node::new(name);
    let on = distribution(&node).seeds(seeds.iter().copied()).start().await.unwrap();
    Member { node, on }
}

impl Member {
    fn address(&self) -> &str {
        self.on.address().unwrap()
    }
}

async fn all_connected(members: &[&Member]) {
    for member in members {
        let others = members.iter().filter(|other| other.node.id() != member.node.id());
        let mut names: Vec<_> = others.map(|other| other.node.name().to_owned()).collect();
        names.sort_unstable();
        until(|| member.on.nodes() == names).await;
    }
}

#[tokio::test]
async fn one_address_is_enough_to_join_all() {
    let a = member("a", &[]).await;
    let b = member("b", &[a.address()]).await;
    let c = member("c", &[a.address()]).await;
    let d = member("d", &[c.address()]).await;
    all_connected(&[&a, &b, &c, &d]).await;
    // They go on to know each other when the one that they were told by is gone.
    a.on.stop().await;
    all_connected(&[&b, &c, &d]).await;
    // Who was lost is found again.
    b.on.disconnect(d.node.id()).await;
    until(|| !b.on.nodes().contains(&"d".to_owned()) || !d.on.nodes().contains(&"b".to_owned())).await;
    all_connected(&[&b, &c, &d]).await;
}

/// Its address is another one now, and all learn it.
#[tokio::test]
async fn one_that_was_started_anew_at_another_address_is_found() {
    let a = member("a", &[]).await;
    let b = member("b", &[a.address()]).await;
    let c = member("c", &[a.address()]).await;
    all_connected(&[&a, &b, &c]).await;
    b.on.stop().await;
    all_connected(&[&a, &c]).await;
    let anew = member("b", &[a.address()]).await;
    all_connected(&[&a, &anew, &c]).await;
}

/// One that has a list of its own connects with that, whatever others know.
#[tokio::test]
async fn one_that_has_no_seeds_learns_of_nobody() {
    let a = member("a", &[]).await;
    let b = member("b", &[a.address()]).await;
    let node = Node::new("alone");
    // Nobody can connect with it either: it does not listen.
    let cookie = incarnate::node::Cookie::new(crate::pair::COOKIE);
    let alone = Distribution::of(&node, cookie).peers([a.address()]).start().await.unwrap();
    until(|| a.on.nodes() == ["alone", "b"]).await;
    until(|| alone.nodes() == ["a"]).await;
    tokio::time::sleep(Duration::from_millis(50)).await; // sleep: in which it would be told, and connect
    assert_eq!((alone.nodes(), b.on.nodes()), (vec!["a".to_owned()], vec!["a".to_owned()]));
}

#[tokio::test]
async fn what_is_advertised_is_where_others_connect() {
    let a = member("a", &[]).await;
    let node = Node::new("b");
    // It is not behind this address, which shows who comes there.
    let door = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = door.local_addr().unwrap().to_string();
    let _b = distribution(&node).peers([a.address()]).advertise(address).start().await.unwrap();
    until(|| a.on.nodes() == ["b"]).await;
    let _c = member("c", &[a.address()]).await;
    in_time(door.accept()).await.unwrap();
    let long = distribution(&Node::new("d")).advertise("x".repeat(256)).start().await;
    assert!(matches!(long, Err(StartError::BadOption(_))), "{long:?}");
}

/// Also where it was connected with by hand before.
#[tokio::test]
async fn one_that_was_asked_for_once_is_found_again_when_others_tell_of_it() {
    let a = member("a", &[]).await;
    let c = member("c", &[]).await;
    let b = member("b", &[]).await;
    // Both know the other by an address that was asked for once.
    in_time(b.on.connect(c.address())).await.unwrap();
    in_time(c.on.connect(b.address())).await.unwrap();
    in_time(b.on.connect(a.address())).await.unwrap();
    in_time(c.on.connect(a.address())).await.unwrap();
    all_connected(&[&a, &b, &c]).await;
    b.on.disconnect(c.node.id()).await;
    until(|| !b.on.nodes().contains(&"c".to_owned()) || !c.on.nodes().contains(&"b".to_owned())).await;
    all_connected(&[&a, &b, &c]).await;
}
