//! Calls that take too long, and requests.

use incarnate::gen_statem::{Actions, keep_state};
use incarnate::process::{Requests, Response};
use incarnate::{CallError, ExitReason, Node};

use crate::rig::*;

/// Answered after so long, by nobody but a task.
fn slow(rig: &RigRef, time: u64) -> impl FnOnce(incarnate::ReplyTo<u32>) -> Call + use<> {
    let rig = rig.clone();
    move |to| {
        Call::Do(
            to,
            Box::new(move |to, _, _| {
                tokio::spawn(async move {
                    pause(ms(time)).await;
                    to.send(1);
                    drop(rig);
                });
                keep_state()
            }),
        )
    }
}

#[tokio::test(start_paused = true)]
async fn st_026_st_027_and_st_028_no_late_reply_reaches_a_caller_that_gave_up() {
    trapping(&Node::new("a"), |mut me| async move {
        let (rig, _) = rig(me.node()).await;
        assert_eq!(rig.call_timeout(slow(&rig, 500), ms(100)).await, Err(CallError::Timeout));
        pause(ms(1100)).await;
        assert_eq!(value(&rig).await, Ok(0));
        quiet(&mut me).await;
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn st_066_a_collection_that_times_out_abandons_and_a_killed_machine_is_noproc() {
    let (rig, _) = rig(&Node::new("a")).await;
    let mut requests = Requests::new();
    requests.add("slow", rig.send_request(slow(&rig, 500)));
    requests.add("fast", rig.send_request(Call::Get));
    let Ok(Some(Response { label: "fast", answer: Ok(0), .. })) = requests.receive(ms(100)).await else {
        panic!("the fast one is first")
    };
    assert!(requests.receive(ms(100)).await.is_err());
    pause(ms(1000)).await;
    assert_eq!(requests.check().unwrap().answer, Err(CallError::Timeout));
    rig.node().exit(rig.pid(), ExitReason::Kill);
    rig.ended().await;
    let dead = rig.send_request(Call::Get).receive(ms(100)).await;
    assert_eq!(dead, Err(CallError::NoProc));
}

#[tokio::test(start_paused = true)]
async fn st_067_and_st_068_waiting_and_checking_abandon_nothing() {
    let (rig, _) = rig(&Node::new("a")).await;
    let mut requests = Requests::new();
    requests.add(1, rig.send_request(slow(&rig, 500)));
    requests.add(2, rig.send_request(slow(&rig, 700)));
    assert!(requests.wait(ms(100)).await.is_err());
    assert!(requests.check().is_none());
    assert_eq!(requests.wait(ms(1000)).await.unwrap().unwrap().label, 1);
    assert_eq!(requests.wait(ms(1000)).await.unwrap().unwrap().label, 2);
    assert!(requests.wait(ms(1000)).await.unwrap().is_none());
}

#[tokio::test(start_paused = true)]
async fn a_request_that_is_kept_is_answered_with_any_later_event() {
    let (rig, _) = rig(&Node::new("a")).await;
    let kept = rig.send_request(|to| {
        Call::Do(
            to,
            Box::new(|to, rig, _| {
                rig.kept.push(to);
                keep_state()
            }),
        )
    });
    tell(&rig, |rig, _, _| keep_state().reply(rig.kept.remove(0), 9));
    assert_eq!(kept.receive(ms(100)).await, Ok(9));
}
