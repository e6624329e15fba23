//! Futures that run along with a server.

use std::future::ready;
use std::sync::{Arc, Mutex};

use incarnate::{Context, ExitReason, GenServer, Next, Node, Result, Then, noreply, sys};

use crate::lab::*;

fn word(cx: &mut Context<Lab>, time: u64, word: &'static str) {
    cx.attach(async move {
        pause(ms(time)).await;
        Say::Word(word)
    });
}

#[tokio::test(start_paused = true)]
async fn what_it_comes_to_is_a_message_behind_those_that_wait() {
    let (lab, seen) = lab(&Node::new("a")).await;
    tell(&lab, |_, cx| {
        word(cx, 20, "late");
        word(cx, 10, "soon");
        word(cx, 0, "now");
        noreply()
    });
    tell(&lab, |_, _| noreply());
    pause(ms(30)).await;
    assert_eq!(seen.take(), ["cast", "cast", "info now", "info soon", "info late"]);
    assert_eq!(value(&lab).await, Ok(0));
}

#[tokio::test(start_paused = true)]
async fn it_goes_on_over_messages_and_cancels_a_timeout_as_any_message() {
    let (lab, seen) = lab(&Node::new("a")).await;
    tell(&lab, |_, cx| {
        word(cx, 50, "along");
        noreply()
    });
    for _ in 0..3 {
        pause(ms(10)).await;
        assert_eq!(value(&lab).await, Ok(0));
    }
    tell(&lab, |_, _| noreply().timeout(ms(40)));
    pause(ms(100)).await;
    assert_eq!(seen.take(), ["cast", "call", "call", "call", "cast", "info along"]);
}

#[tokio::test(start_paused = true)]
async fn a_server_does_not_hibernate_meanwhile_and_does_afterwards() {
    let (node, seen) = (Node::new("a"), Seen::default());
    let lab = Lab::server(Plan::ready(&seen)).on(&node).hibernate_after(ms(50)).start().await.unwrap();
    tell(&lab, |_, cx| {
        word(cx, 200, "along");
        noreply().hibernate()
    });
    pause(ms(100)).await;
    assert!(!is_hibernated(&lab));
    pause(ms(110)).await;
    assert_eq!(seen.take(), ["cast", "info along"]);
    assert!(!is_hibernated(&lab));
    pause(ms(50)).await;
    assert!(is_hibernated(&lab));
}

#[tokio::test(start_paused = true)]
async fn a_suspended_server_hears_of_it_when_it_goes_on() {
    let (lab, seen) = lab(&Node::new("a")).await;
    tell(&lab, |_, cx| {
        word(cx, 10, "along");
        noreply()
    });
    assert_eq!(value(&lab).await, Ok(0));
    sys::suspend(lab.node(), &lab, ms(100)).await.unwrap();
    pause(ms(50)).await;
    assert_eq!(seen.take(), ["cast", "call"]);
    sys::resume(lab.node(), &lab, ms(100)).await.unwrap();
    until("the message", || seen.len() == 1).await;
}

/// As soon as one has come, there is the next.
fn again(lab: &mut Lab, cx: &mut Context<Lab>) -> Result<Next> {
    lab.value += 1;
    cx.attach(ready(Say::Do(Box::new(again))));
    noreply()
}

#[tokio::test(start_paused = true)]
async fn one_that_is_always_ready_starves_neither_messages_nor_others_nor_an_exit_signal() {
    let node = Node::new("a");
    let (lab, _) = lab(&node).await;
    tell(&lab, again);
    // It answers, although it always has something else to do, and this test runs, on the same thread.
    let first = value(&lab).await.unwrap();
    tell(&lab, |_, _| noreply());
    assert!(value(&lab).await.unwrap() >= first);
    node.exit(lab.pid(), ExitReason::Kill);
    assert_eq!(lab.ended().await, ExitReason::Killed);
}

#[tokio::test(start_paused = true)]
async fn it_is_dropped_with_its_server_and_its_panic_is_the_servers() {
    let node = Node::new("a");
    let thing = Arc::new(Mutex::new(false));
    for panics in [false, true] {
        let (lab, _) = lab(&node).await;
        let held = Holder::take(&thing).expect("the one before is gone");
        tell(&lab, move |_, cx| {
            cx.attach(async move {
                let _held = held;
                if panics {
                    panic!("along");
                }
                std::future::pending().await
            });
            noreply()
        });
        let reason = if panics {
            lab.ended().await
        } else {
            assert_eq!(value(&lab).await, Ok(0));
            lab.stop().await.unwrap();
            ExitReason::Normal
        };
        assert_eq!(reason.to_string().contains("along"), panics, "{reason}");
    }
    assert!(Holder::take(&thing).is_some());
}
