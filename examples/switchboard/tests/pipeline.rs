//! Batches, and crashes in the middle of them.

use incarnate::{Node, Timeout};

use super::keys::{apply, inside, tree};
use crate::clock;
use crate::command::Command;
use crate::connection::pipeline::Pipeline;
use crate::key::Call;
use crate::keys::Keys;
use crate::reply::Reply;
use crate::resp::{Decoder, Limits};
use crate::value::KeyOp;

/// Sends the decoder's next request on its way.
async fn send(pipeline: &mut Pipeline, decoder: &mut Decoder) {
    let place = decoder.place();
    assert!(decoder.find_request().unwrap());
    match Command::parse(decoder.request(), pipeline.now()).unwrap() {
        Command::One(key, op) => pipeline.one(decoder, place, key, op).await,
        other => panic!("{other:?} is not about one key"),
    }
}

/// The second request of a batch finds a life that another client has started, while the first one is lost.
async fn second_behind_a_lost_first(keys: Keys, before: impl AsyncFnOnce(&Keys)) {
    let mut decoder = Decoder::new(Limits::default());
    decoder.buffer().extend_from_slice(b"SET a 1\r\nSET a 2\r\n");
    apply(&keys, b"a", KeyOp::Append("0".into())).await;
    let (server, _) = keys.find(b"a").await.unwrap();
    let mut pipeline = Pipeline::new(keys.clone());
    pipeline.begin(clock::now());
    // On one thread: the process runs when this one waits, and finds both.
    let crashed = server.send_request(Call::Crash);
    send(&mut pipeline, &mut decoder).await;
    assert!(crashed.receive(Timeout::Infinity).await.is_err());
    before(&keys).await;
    send(&mut pipeline, &mut decoder).await;
    pipeline.settle(&decoder).await;
    assert_eq!(pipeline.replies().collect::<Vec<_>>(), [Reply::Ok, Reply::Ok]);
    assert_eq!(apply(&keys, b"a", KeyOp::Get).await, Reply::text("2"));
}

#[tokio::test]
async fn a_later_request_does_not_pass_one_that_is_lost() {
    let node = Node::new("test");
    let tree = tree(&node).await;
    inside(&node, |keys| second_behind_a_lost_first(keys, async |_: &Keys| {})).await;
    let other_client = async |keys: &Keys| assert_eq!(apply(keys, b"a", KeyOp::Get).await, Reply::Nil);
    inside(&node, move |keys| second_behind_a_lost_first(keys, other_client)).await;
    // The records of crashed keys are forgotten.
    let forget = async |keys: &Keys| assert_eq!(keys.flush(clock::now()).await, Reply::Ok);
    inside(&node, move |keys| second_behind_a_lost_first(keys, forget)).await;
    tree.stop().await.unwrap();
}
