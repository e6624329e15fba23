//! Requests to one handler.

use incarnate::gen_event::{hibernate, keep, remove_handler, swap_handler};
use incarnate::process::Requests;
use incarnate::{CallError, Error, Node};

use crate::desk::*;

#[tokio::test(start_paused = true)]
async fn ge_012_a_call_reaches_one_handler_and_no_other() {
    let (desk, seen) = two(&Node::new("a")).await;
    let answer = desk
        .call_handler(TWO, |caller| {
            Ask::AnswerAndDo(
                caller,
                act(|lab, _| {
                    lab.value = 5;
                    keep()
                }),
            )
        })
        .await;
    assert_eq!(answer, Ok(0));
    assert_eq!(desk.call_handler(TWO, Ask::Value).await, Ok(5));
    assert_eq!(desk.call_handler(ONE, Ask::Value).await, Ok(0));
    assert_eq!(desk.call_handler(LAB, Ask::Value).await, Err(CallError::BadModule));
    assert_eq!(seen.take(), Vec::<String>::new());
}

#[tokio::test(start_paused = true)]
async fn ge_012_a_call_has_a_limit() {
    let (desk, _) = two(&Node::new("a")).await;
    desk.notify(Event::Slow(ms(10_000)));
    let answer = desk.call_handler_timeout(ONE, Ask::Value, ms(10)).await;
    assert_eq!(answer, Err(CallError::Timeout));
    assert_eq!(desk.call_handler(ONE, Ask::Value).await, Err(CallError::Timeout));
    assert_eq!(desk.call_handler_timeout(ONE, Ask::Value, incarnate::Timeout::Infinity).await, Ok(0));
}

#[tokio::test(start_paused = true)]
async fn ge_012_a_handler_answers_and_goes_or_is_swapped() {
    let (desk, seen) = two(&Node::new("a")).await;
    let removed =
        desk.call_handler(ONE, |caller| Ask::AnswerAndDo(caller, act(|_, _| remove_handler()))).await;
    assert_eq!(removed, Ok(0));
    assert_eq!(installed(&desk).await, ["two"]);
    assert_eq!(seen.take(), ["one terminate RemoveHandler"]);
    let log = seen.clone();
    let swap = act(move |_, _| swap_handler("why", LAB, ready("new", &log)));
    assert_eq!(desk.call_handler(TWO, |caller| Ask::AnswerAndDo(caller, swap)).await, Ok(0));
    assert_eq!(installed(&desk).await, ["-"]);
    assert_eq!(seen.take(), ["two terminate Swap(\"why\")", "new init Left([\"two\", 0])"]);
}

#[tokio::test(start_paused = true)]
async fn ge_013_ge_014_a_caller_hears_of_the_crash_and_is_not_harmed() {
    let (desk, seen) = two(&Node::new("a")).await;
    let crash = |caller| Ask::Do(caller, act(|_, _| Err(Error::exit(boom()))));
    assert_eq!(desk.call_handler(ONE, crash).await, Err(CallError::Handler(Box::new(boom()))));
    assert_eq!(seen.take(), ["one terminate Error(\"boom\")"]);
    let panics = |caller| Ask::Do(caller, act(|_, _| panic!("at the disco")));
    let Err(CallError::Handler(reason)) = desk.call_handler(TWO, panics).await else { panic!("no crash") };
    assert_eq!(reason.to_string(), "panic: at the disco");
    assert_eq!(desk.which_handlers().await.unwrap(), []);
    // Who was answered before the crash has the answer.
    desk.add_handler(ONE, ready("one", &seen)).await.unwrap();
    let late = |caller| Ask::AnswerAndDo(caller, act(|_, _| Err(Error::exit(boom()))));
    assert_eq!(desk.call_handler(ONE, late).await, Ok(0));
}

#[tokio::test(start_paused = true)]
async fn ge_012_a_handler_without_handle_call_has_crashed() {
    let (desk, _) = two(&Node::new("a")).await;
    desk.add_handler(BARE, ()).await.unwrap();
    let Err(CallError::Handler(reason)) = desk.call_handler(BARE, |caller| caller).await else {
        panic!("no crash")
    };
    assert!(reason.to_string().contains("has no handle_call"), "{reason}");
    assert_eq!(installed(&desk).await, ["two", "one"]);
}

#[tokio::test(start_paused = true)]
async fn an_answer_may_be_put_off_until_the_manager_ends() {
    let (desk, _) = two(&Node::new("a")).await;
    let first = desk.send_handler_request(ONE, Ask::Later);
    let hibernating = desk.call_handler(TWO, |caller| Ask::AnswerAndDo(caller, act(|_, _| hibernate())));
    assert_eq!(hibernating.await, Ok(0));
    assert_eq!(desk.call_handler(ONE, Ask::Value).await, Ok(0));
    assert_eq!(first.receive(ms(10)).await, Ok(100));
    let second = desk.send_handler_request(ONE, Ask::Later);
    desk.stop().await.unwrap();
    assert_eq!(second.receive(ms(10)).await, Err(CallError::Exit(incarnate::ExitReason::Normal)));
}

#[tokio::test(start_paused = true)]
async fn requests_are_waited_for_as_a_collection() {
    let (desk, _) = two(&Node::new("a")).await;
    let mut requests = Requests::new();
    requests.add("one", desk.send_handler_request(ONE, Ask::Value));
    requests.add("none", desk.send_handler_request(LAB, Ask::Value));
    let mut answers = Vec::new();
    while let Some(response) = requests.receive(ms(100)).await.unwrap() {
        answers.push((response.label, response.answer));
    }
    assert_eq!(answers, [("one", Ok(0)), ("none", Err(CallError::BadModule))]);
}

#[tokio::test(start_paused = true)]
async fn a_handler_that_asks_its_own_manager_is_told_so() {
    let (desk, seen) = two(&Node::new("a")).await;
    let ask_itself = act(|lab, cx| {
        let (desk, seen) = (cx.server(), lab.seen.clone());
        let asked = std::pin::pin!(desk.which_handlers());
        let mut waker = std::task::Context::from_waker(std::task::Waker::noop());
        if let std::task::Poll::Ready(answer) = Future::poll(asked, &mut waker) {
            seen.note(format!("{answer:?}"));
        }
        keep()
    });
    desk.sync_notify(Event::Do("one", ask_itself)).await.unwrap();
    assert_eq!(seen.take(), ["two event", "Err(CallingSelf)"]);
}
