//! Requests that are waited for later, alone and in collections.

use incarnate::process::Requests;
use incarnate::{CallError, ExitReason, GenServer, Node, stop};

use crate::lab::*;

const NAME: LabName = LabName::new("requests");

fn slow(lab: &LabRef, time: u64) -> incarnate::process::Request<u32> {
    lab.send_request(|to| Call::Slow(to, ms(time)))
}

fn numbered(lab: &LabRef, number: u32) -> incarnate::process::Request<u32> {
    lab.send_request(|to| Call::Do(to, Box::new(move |to, _, _| to.reply(number))))
}

fn fatal(lab: &LabRef) -> incarnate::process::Request<u32> {
    lab.send_request(|to| Call::Do(to, Box::new(|_, _, _| stop(boom()))))
}

#[tokio::test(start_paused = true)]
async fn gs_039_requests_are_served_in_order_by_reference_and_by_name() {
    inside(&Node::new("a"), |_| async move {
        let lab = Lab::server(Plan::ready(&Seen::default())).name(NAME).start().await.unwrap();
        let (first, second) = (numbered(&lab, 1), numbered(&lab, 2));
        assert_eq!(second.receive(ms(100)).await, Ok(2));
        assert_eq!(first.receive(ms(100)).await, Ok(1));
        assert_eq!(NAME.send_request(|to| Call::Slow(to, ms(1))).receive(ms(100)).await, Ok(0));
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn gs_040_check_has_no_reply_until_there_is_one() {
    let (lab, _) = lab(&Node::new("a")).await;
    let mut request = slow(&lab, 50);
    assert_eq!(request.check(), None);
    pause(ms(100)).await;
    assert_eq!(request.check(), Some(Ok(0)));
}

#[tokio::test(start_paused = true)]
async fn gs_041_a_wait_that_times_out_does_not_abandon() {
    let (lab, _) = lab(&Node::new("a")).await;
    let mut request = slow(&lab, 1000);
    assert_eq!(request.wait(ms(0)).await, None);
    assert_eq!(request.wait(ms(500)).await, None);
    assert_eq!(request.wait(ms(600)).await, Some(Ok(0)));
}

#[tokio::test(start_paused = true)]
async fn rule_2_5_10_a_receive_that_times_out_abandons() {
    let (lab, _) = lab(&Node::new("a")).await;
    let (tell, told) = tokio::sync::oneshot::channel();
    let request = lab.send_request(|to| {
        Call::Do(
            to,
            Box::new(move |to, _, _| {
                let _ = tell.send(to);
                incarnate::noreply()
            }),
        )
    });
    assert_eq!(request.receive(ms(100)).await, Err(CallError::Timeout));
    let to = told.await.unwrap();
    assert!(!to.is_awaited());
    assert!(!to.send(1));
}

#[tokio::test(start_paused = true)]
async fn gs_042_errors_are_values() {
    inside(&Node::new("a"), |me| async move {
        let (lab, _) = lab(me.node()).await;
        assert_eq!(fatal(&lab).receive(ms(100)).await, Err(CallError::Exit(boom())));
        assert_eq!(slow(&lab, 0).receive(ms(100)).await, Err(CallError::NoProc));
        let mut unknown = NAME.send_request(|to| Call::Slow(to, ms(0)));
        assert_eq!(unknown.check(), Some(Err(CallError::NoProc)));
        assert_eq!(unknown.wait(ms(10)).await, Some(Err(CallError::NoProc)));
        let (other, _) = crate::lab::lab(me.node()).await;
        let killed = slow(&other, 1000);
        me.exit(&other, ExitReason::Kill);
        assert_eq!(killed.receive(ms(100)).await, Err(CallError::Exit(ExitReason::Killed)));
    })
    .await;
}

/// Two that answer after 100 and 200 ms, and one that never does.
async fn three(lab: &LabRef, node: &Node) -> Requests<&'static str, u32> {
    let (other, third) = (crate::lab::lab(node).await.0, crate::lab::lab(node).await.0);
    let mut requests = Requests::new();
    requests.add("never", slow(&third, 3_600_000));
    requests.add("late", slow(&other, 200));
    requests.add("soon", slow(lab, 100));
    assert_eq!(requests.len(), 3);
    assert_eq!(requests.labels().collect::<Vec<_>>(), [&"never", &"late", &"soon"]);
    requests
}

#[tokio::test(start_paused = true)]
async fn gs_048_answers_come_with_their_labels_as_they_are_there() {
    let node = Node::new("a");
    let (lab, _) = lab(&node).await;
    let mut requests = three(&lab, &node).await;
    for label in ["soon", "late"] {
        let response = requests.wait(ms(500)).await.unwrap().unwrap();
        assert_eq!((response.label, response.answer), (label, Ok(0)));
    }
    assert_eq!(requests.labels().collect::<Vec<_>>(), [&"never"]);
    let mut none = Requests::<(), u32>::new();
    assert!(none.is_empty());
    assert!(none.wait(ms(500)).await.unwrap().is_none());
    assert!(none.receive(ms(500)).await.unwrap().is_none());
    assert!(none.check().is_none());
}

#[tokio::test(start_paused = true)]
async fn gs_046_a_receive_that_times_out_abandons_all_and_still_lists_them() {
    let node = Node::new("a");
    let (lab, seen) = lab(&node).await;
    let mut requests = three(&lab, &node).await;
    assert_eq!(requests.receive(ms(50)).await.unwrap_err(), CallError::Timeout);
    assert_eq!(requests.labels().collect::<Vec<_>>(), [&"never", &"late", &"soon"]);
    pause(ms(1000)).await;
    // Carried out all the same; the answer went nowhere.
    assert_eq!(seen.take(), ["call"]);
    while let Some(response) = requests.check() {
        assert_eq!(response.answer, Err(CallError::Timeout));
    }
    assert!(requests.is_empty());
}

#[tokio::test(start_paused = true)]
async fn gs_046_a_receive_in_time_leaves_the_others_under_way() {
    let node = Node::new("a");
    let (lab, _) = lab(&node).await;
    let mut requests = three(&lab, &node).await;
    for label in ["soon", "late"] {
        let response = requests.receive(ms(150)).await.unwrap().unwrap();
        assert_eq!((response.label, response.answer), (label, Ok(0)));
    }
}

#[tokio::test(start_paused = true)]
async fn gs_049_a_wait_that_times_out_leaves_all_under_way() {
    let node = Node::new("a");
    let (lab, _) = lab(&node).await;
    let mut requests = three(&lab, &node).await;
    assert_eq!(requests.wait(ms(0)).await.unwrap_err(), CallError::Timeout);
    assert_eq!(requests.wait(ms(50)).await.unwrap_err(), CallError::Timeout);
    assert_eq!(requests.wait(ms(100)).await.unwrap().unwrap().label, "soon");
    assert_eq!(requests.wait(ms(10)).await.unwrap_err(), CallError::Timeout);
    assert_eq!(requests.wait(ms(100)).await.unwrap().unwrap().label, "late");
}

#[tokio::test(start_paused = true)]
async fn gs_050_and_gs_052_a_death_is_an_answer_of_a_collection() {
    let node = Node::new("a");
    for wait in [true, false] {
        let ((first, _), (second, _)) = (lab(&node).await, lab(&node).await);
        let mut requests = Requests::new();
        requests.add(1, slow(&second, 300));
        requests.add(2, fatal(&first));
        let response = match wait {
            true => requests.wait(ms(100)).await.unwrap().unwrap(),
            false => {
                until("the end", || !first.is_alive()).await;
                requests.check().unwrap()
            }
        };
        assert_eq!((response.label, response.answer), (2, Err(CallError::Exit(boom()))));
        requests.add(3, slow(&first, 0));
        let response = requests.check().unwrap();
        assert_eq!((response.label, response.answer), (3, Err(CallError::NoProc)));
        assert_eq!(requests.wait(ms(1000)).await.unwrap().unwrap().answer, Ok(0));
    }
}

#[tokio::test(start_paused = true)]
async fn gs_051_check_over_a_collection() {
    let node = Node::new("a");
    let (lab, _) = lab(&node).await;
    let mut requests = three(&lab, &node).await;
    assert!(requests.check().is_none());
    pause(ms(150)).await;
    let response = requests.check().unwrap();
    assert_eq!((response.label, response.answer), ("soon", Ok(0)));
    assert!(requests.check().is_none());
    assert_eq!(requests.len(), 2);
}

#[tokio::test(start_paused = true)]
async fn a_dropped_request_is_abandoned_and_carried_out() {
    let (lab, seen) = lab(&Node::new("a")).await;
    drop(slow(&lab, 0));
    assert_eq!(value(&lab).await, Ok(0));
    assert_eq!(seen.take(), ["call", "call"]);
}

#[tokio::test(start_paused = true)]
async fn a_request_that_was_answered_says_so() {
    let (lab, _) = lab(&Node::new("a")).await;
    let mut request = numbered(&lab, 7);
    assert_eq!(request.wait(ms(100)).await, Some(Ok(7)));
    for error in [request.wait(ms(100)).await, request.check(), Some(request.receive(ms(100)).await)] {
        let text = error.unwrap().unwrap_err().to_string();
        assert!(text.starts_with("already_answered"), "{text}");
    }
}

/// What asks a server by its `Info` is served by `handle_info`, and waits no longer than the server lives.
#[tokio::test]
async fn a_server_is_asked_by_its_info() {
    struct Echo;
    impl GenServer for Echo {
        type Args = ();
        type Call = incarnate::Never;
        type Cast = incarnate::Never;
        type Info = incarnate::ReplyTo<u32>;
        type Continue = incarnate::Never;

        async fn init((): (), _: &mut incarnate::Context<Self>) -> incarnate::Result<incarnate::Init<Self>> {
            Ok(incarnate::Init::Ready(Echo))
        }

        async fn handle_call(
            &mut self,
            call: Self::Call,
            _: &mut incarnate::Context<Self>,
        ) -> incarnate::Result<incarnate::CallReply> {
            match call {}
        }

        async fn handle_info(
            &mut self,
            info: incarnate::Info<Self::Info>,
            _: &mut incarnate::Context<Self>,
        ) -> incarnate::Result<incarnate::Next> {
            if let incarnate::Info::User(to) = info {
                to.send(2);
            }
            incarnate::noreply()
        }
    }
    let echo = Echo::server(()).on(&Node::new("a")).start().await.unwrap();
    assert_eq!(echo.ask_info(|to| to, ms(5_000)).await, Ok(2));
}
