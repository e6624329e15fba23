//! Those that may not connect: refused by name, on both sides, and what they hold is bounded.

use std::time::{Duration, Instant};

use incarnate::Node;
use incarnate::node::{Cookie, Distribution, NotConnected, RefusedBecause, Start, StartError};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::pair::{COOKIE, distribution};
use crate::probe::{in_time, node};

async fn refused(listening: &Node, dialling: &Node, change: impl FnOnce(Start) -> Start) -> RefusedBecause {
    let here = distribution(listening).start().await.unwrap();
    let there = change(Distribution::of(dialling, Cookie::new(COOKIE))).start().await.unwrap();
    match in_time(there.connect(here.address().unwrap())).await {
        Err(NotConnected::Refused(why)) => {
            assert_eq!((here.nodes(), there.nodes()), (vec![], vec![]));
            why
        }
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn who_has_another_cookie_is_refused() {
    let (a, b) = (Node::new("a"), Node::new("b"));
    let here = distribution(&a).start().await.unwrap();
    let there = Distribution::of(&b, Cookie::new("another cookie")).start().await.unwrap();
    let result = in_time(there.connect(here.address().unwrap())).await;
    assert_eq!(result, Err(NotConnected::Refused(RefusedBecause::WrongCookie)));
}

#[tokio::test]
async fn who_works_with_other_releases_is_refused_and_hears_both_ranges() {
    let why = refused(&Node::new("a"), &Node::new("b"), |start| start.releases(2, 3)).await;
    // Said by the dialler: it hears of the other's releases first.
    assert_eq!(why, RefusedBecause::Release { found: (2, 3), understood: (1, 1) });
}

#[tokio::test]
async fn who_has_the_same_name_or_fingerprint_is_refused() {
    let why = refused(&Node::new("a"), &Node::new("a"), |start| start).await;
    assert_eq!(why, RefusedBecause::NameInUse);
    // Two names of the same fingerprint, found by search.
    let (one, other) = (Node::new("node129599@host"), Node::new("node732382@host"));
    assert_eq!(one.id(), other.id());
    assert_eq!(refused(&one, &other, |start| start).await, RefusedBecause::SameFingerprint);
}

#[tokio::test]
async fn a_node_does_not_connect_with_itself_or_with_nobody() {
    let a = Node::new("a");
    let here = distribution(&a).start().await.unwrap();
    let result = in_time(here.connect(here.address().unwrap())).await;
    assert_eq!(result, Err(NotConnected::Refused(RefusedBecause::Itself)));
    let nobody = in_time(here.connect("127.0.0.1:1")).await;
    assert!(matches!(nobody, Err(NotConnected::Unreachable(_))), "{nobody:?}");
}

#[tokio::test]
async fn what_cannot_be_started_says_why() {
    let start = |node: &Node| Distribution::of(node, Cookie::new(COOKIE));
    let error = start(&Node::new("")).start().await.unwrap_err();
    assert!(matches!(error, StartError::BadName), "{error}");
    let error = Distribution::of(&node(), Cookie::new("")).start().await.unwrap_err();
    assert!(matches!(error, StartError::NoCookie), "{error}");
    let error = start(&node()).listen("127.0.0.1:http").start().await.unwrap_err();
    assert!(matches!(&error, StartError::Listen(at, _) if at == "127.0.0.1:http"), "{error}");
    let error = start(&node()).heartbeat_deadline(Duration::ZERO).start().await.unwrap_err();
    assert!(matches!(error, StartError::BadOption(_)), "{error}");
    let node = node();
    start(&node).start().await.unwrap();
    let error = start(&node).start().await.unwrap_err();
    assert!(matches!(error, StartError::Started), "{error}");
}

/// Says this to a node, and answers what it says until it hangs up.
async fn said(address: &str, bytes: &[u8]) -> Vec<u8> {
    let mut stream = TcpStream::connect(address).await.unwrap();
    stream.write_all(bytes).await.unwrap();
    let mut answer = Vec::new();
    let _reset = in_time(stream.read_to_end(&mut answer)).await;
    answer
}

#[tokio::test]
async fn garbage_is_refused_at_once_and_told_what_it_is() {
    let here = distribution(&node()).start().await.unwrap();
    let address = here.address().unwrap();
    for (bytes, says) in [
        (&b"GET / HTTP/1.1\r\n\r\n"[..], "a frame of 1195725856 bytes, at most 4096"),
        (&[0, 0, 0, 0], "a frame of no bytes"),
        (&[0, 0, 0, 1, 99], "the unknown kind 99"),
        (&[0, 0, 0, 2, 3, 0xc0], "Proof where none may be"),
        (&[0, 0, 0, 2, 1, 0xc0], "a damaged frame Hello"),
        (&[0, 0, 0, 3, 1, 0xc0, 0xc0], "a damaged frame Hello"),
        // A call, from somebody who has proved nothing.
        (&[0, 0, 0, 2, 16, 0x90], "Call where none may be"),
    ] {
        let answer = said(address, bytes).await;
        let text = String::from_utf8_lossy(&answer);
        assert!(text.contains(says), "{bytes:?}: {text}");
    }
    assert!(here.nodes().is_empty());
}

#[tokio::test]
async fn strangers_that_say_nothing_hold_so_many_connections_and_no_more() {
    let here = distribution(&node()).start().await.unwrap();
    let address = here.address().unwrap();
    let mut silent = Vec::new();
    for _ in 0..256 {
        silent.push(TcpStream::connect(address).await.unwrap());
    }
    // One more is closed; when one goes there is room again.
    assert_eq!(said(address, b"").await, b"");
    let began = Instant::now();
    silent.pop();
    in_time(async {
        while said(address, &[0, 0, 0, 0]).await.is_empty() {
            tokio::task::yield_now().await;
        }
    })
    .await;
    assert!(began.elapsed() < Duration::from_secs(5));
}

/// What was recorded of a handshake proves nothing when it is said again.
#[tokio::test]
async fn a_replayed_handshake_is_refused() {
    let (a, b) = (node(), Node::new("b"));
    let here = distribution(&a).start().await.unwrap();
    let recorder = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let through = recorder.local_addr().unwrap().to_string();
    let address = here.address().unwrap().to_owned();
    // The first connection, control, passes through here.
    let recorded = tokio::spawn(async move {
        let (mut dialler, _) = recorder.accept().await.unwrap();
        let mut acceptor = TcpStream::connect(address).await.unwrap();
        let (mut hello, mut proof, mut answer) = (vec![0; 4096], vec![0; 4096], vec![0; 4096]);
        let n = dialler.read(&mut hello).await.unwrap();
        acceptor.write_all(&hello[..n]).await.unwrap();
        hello.truncate(n);
        let n = acceptor.read(&mut answer).await.unwrap();
        dialler.write_all(&answer[..n]).await.unwrap();
        let n = dialler.read(&mut proof).await.unwrap();
        proof.truncate(n);
        (hello, proof)
    });
    let there = Distribution::of(&b, Cookie::new(COOKIE)).start().await.unwrap();
    let _lost = in_time(there.connect(through)).await;
    let (hello, proof) = recorded.await.unwrap();
    let answer = said(here.address().unwrap(), &[hello, proof].concat()).await;
    let text = String::from_utf8_lossy(&answer);
    assert!(text.contains("WrongCookie"), "{text}");
    assert!(here.nodes().is_empty());
}
