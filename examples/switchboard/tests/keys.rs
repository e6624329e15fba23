//! The processes of keys, without clients.

use std::future::Future;

use incarnate::supervisor::{ChildSpec, Supervisor, SupervisorRef};
use incarnate::{GenServer, Node, Process, Timeout};
use tokio::sync::oneshot;

use crate::clock;
use crate::keys::{self, Keys, Reached};
use crate::keyspace::{KEYSPACE, Keyspace};
use crate::reply::Reply;
use crate::value::{Expiry, KeyOp, SetWhen, UnixMillis};

pub async fn tree(node: &Node) -> SupervisorRef {
    let keyspace = ChildSpec::worker("keyspace", || Keyspace::server(()).name(KEYSPACE).start_link());
    Supervisor::tree("keys only").child(keyspace).child(keys::supervisor()).on(node).start().await.unwrap()
}

/// Runs something in a process that can reach the keys; it runs whether or not it is waited for.
pub fn inside<T, Fut, F>(node: &Node, code: F) -> impl Future<Output = T> + use<T, Fut, F>
where
    F: FnOnce(Keys) -> Fut + Send + 'static,
    T: Send + 'static,
    Fut: Future<Output = T> + Send + 'static,
{
    let (tell, told) = oneshot::channel();
    node.spawn(move |_: Process<()>| async move {
        // Nobody listens any more only if the test has failed.
        let _ = tell.send(code(Keys::connect().await.unwrap()).await);
    });
    async { told.await.unwrap() }
}

pub async fn apply(keys: &Keys, key: &[u8], op: KeyOp) -> Reply {
    let now = clock::now();
    let reached = match keys.ask(key, op, now) {
        Ok(request) => Reached::Asked(request),
        Err(absent) => keys.without(key, absent, now).await,
    };
    match reached {
        Reached::Answered(reply) => reply,
        Reached::Asked(request) => request.receive(Timeout::Infinity).await.unwrap(),
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_key_that_many_bring_to_life_and_many_delete_loses_nothing() {
    const CLIENTS: i64 = 8;
    const ROUNDS: i64 = 200;
    let node = Node::new("test");
    let tree = tree(&node).await;
    let before = node.process_count();
    let clients: Vec<_> = (0..CLIENTS)
        .map(|number| {
            inside(&node, move |keys| async move {
                let mut taken = 0;
                for _ in 0..ROUNDS {
                    apply(&keys, b"n", KeyOp::Add(1)).await;
                    // Half of them take what is there, and with it the process.
                    if number % 2 == 0
                        && let Reply::Bulk(sum) = apply(&keys, b"n", KeyOp::GetDel).await
                    {
                        taken += std::str::from_utf8(&sum).unwrap().parse::<i64>().unwrap();
                    }
                }
                taken
            })
        })
        .collect();
    let mut sum = 0;
    for client in clients {
        sum += client.await;
    }
    let left = inside(&node, |keys| async move {
        let left = apply(&keys, b"n", KeyOp::GetDel).await;
        assert_eq!(keys.table().len(), 0);
        left
    });
    if let Reply::Bulk(left) = left.await {
        sum += std::str::from_utf8(&left).unwrap().parse::<i64>().unwrap();
    }
    assert_eq!(sum, CLIENTS * ROUNDS);
    assert_eq!(node.dead_letters(), 0);
    // The last process of the key is on its way out.
    while node.process_count() > before {
        tokio::task::yield_now().await;
    }
    tree.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_key_that_is_found_expired_as_its_timer_fires_leaves_no_dead_letter() {
    const ROUNDS: i64 = 500;
    let node = Node::new("test");
    let tree = tree(&node).await;
    inside(&node, |keys| async move {
        for round in 0..ROUNDS {
            let key = format!("{round}").into_bytes();
            let at = UnixMillis(clock::now().0 + 1);
            let set =
                KeyOp::Set { value: "v".into(), when: SetWhen::Always, expiry: Expiry::At(at), get: false };
            assert_eq!(apply(&keys, &key, set).await, Reply::Ok);
            while apply(&keys, &key, KeyOp::Exists).await == Reply::yes(true) {}
        }
    })
    .await;
    tree.stop().await.unwrap();
    assert_eq!(node.dead_letters(), 0);
}

#[tokio::test]
async fn what_cannot_create_a_key_starts_no_process() {
    let node = Node::new("test");
    let tree = tree(&node).await;
    let before = node.process_count();
    let replies = inside(&node, |keys| async move {
        let past = KeyOp::Set {
            value: "v".into(),
            when: SetWhen::Always,
            expiry: Expiry::At(UnixMillis(1)),
            get: false,
        };
        [
            apply(&keys, b"a", KeyOp::Get).await,
            apply(&keys, b"a", KeyOp::Del).await,
            apply(&keys, b"a", past).await,
            keys.inspect(b"a").await,
            keys.crash(b"a").await,
        ]
    });
    assert_eq!(replies.await, [Reply::Nil, Reply::Integer(0), Reply::Ok, Reply::Nil, Reply::Integer(0)]);
    while node.process_count() > before {
        tokio::task::yield_now().await;
    }
    tree.stop().await.unwrap();
}
