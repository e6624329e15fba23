//! sys: suspend and resume, state from outside.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use incarnate::sys::SysError;
use incarnate::{CallError, ExitReason, GenServer, Info, Name, Node, Process, StopError, sys};

use crate::lab::*;

const NAME: LabName = LabName::new("system");

#[tokio::test(start_paused = true)]
async fn gs_096_get_state_by_name_and_reference_also_while_suspended() {
    let node = Node::new("a");
    let plan = Plan::new(&Seen::default(), |mut lab, _| {
        lab.value = 9;
        Ok(incarnate::Init::Ready(lab))
    });
    let lab = Lab::server(plan).on(&node).name(NAME).start().await.unwrap();
    for suspended in [false, true] {
        let look = |lab: &Lab| lab.value;
        assert_eq!(sys::get_state(&node, &lab, look, ms(100)).await, Ok(9));
        assert_eq!(sys::get_state(&node, NAME, look, incarnate::Timeout::Infinity).await, Ok(9));
        assert_eq!(sys::get_state(&node, lab.pid(), look, incarnate::Timeout::default()).await, Ok(9));
        let wrong = sys::get_state(&node, &lab, |state: &u32| *state, ms(100)).await;
        assert_eq!(wrong, Err(SysError::WrongState { wanted: "u32" }));
        if !suspended {
            sys::suspend(&node, NAME, ms(100)).await.unwrap();
        }
    }
}

fn replaced(lab: &Lab, value: u32) -> Lab {
    Lab::with(lab.seen.clone(), value)
}

#[tokio::test(start_paused = true)]
async fn gs_097_and_sys_009_replace_state() {
    let node = Node::new("a");
    let (lab, seen) = lab(&node).await;
    for suspended in [false, true] {
        sys::replace_state(&node, &lab, |lab: &Lab| replaced(lab, 5), ms(100)).await.unwrap();
        let failed = sys::replace_state(&node, &lab, |_: &Lab| panic!("no state"), ms(100)).await;
        assert_eq!(failed, Err(SysError::CallbackFailed));
        assert_eq!(sys::get_state(&node, &lab, |lab: &Lab| lab.value, ms(100)).await, Ok(5));
        if !suspended {
            assert_eq!(value(&lab).await, Ok(5));
            sys::suspend(&node, &lab, ms(100)).await.unwrap();
        }
    }
    assert_eq!(seen.take(), ["call"]);
}

#[tokio::test(start_paused = true)]
async fn sys_005_and_rule_2_13_2_suspend_and_resume_are_not_counted() {
    let node = Node::new("a");
    let (lab, seen) = lab(&node).await;
    sys::suspend(&node, &lab, ms(100)).await.unwrap();
    sys::suspend(&node, &lab, ms(100)).await.unwrap();
    assert!(!sys::get_status(&node, &lab, ms(100)).await.unwrap().is_running());
    let answer = lab.call_timeout(|to| Call::Slow(to, ms(0)), ms(50)).await;
    assert_eq!(answer, Err(CallError::Timeout));
    sys::resume(&node, &lab, ms(100)).await.unwrap();
    assert!(sys::get_status(&node, &lab, ms(100)).await.unwrap().is_running());
    assert_eq!(value(&lab).await, Ok(0));
    sys::resume(&node, &lab, ms(100)).await.unwrap();
    assert_eq!(value(&lab).await, Ok(0));
    // The call that its caller gave up was served, too (rule 2.5.9).
    assert_eq!(seen.take(), ["call", "call", "call"]);
}

#[tokio::test(start_paused = true)]
async fn rule_2_13_1_suspended_everything_waits_in_its_order() {
    let node = Node::new("a");
    let seen = Seen::default();
    let lab = Lab::server(Plan::trapping(&seen)).on(&node).start().await.unwrap();
    let other = node.spawn(|mut me: Process<u32>| async move {
        let _ = me.receive().await;
        boom()
    });
    let monitored = other.clone();
    ask(&lab, move |to, lab, cx| {
        cx.monitor(&monitored);
        to.reply(lab.value)
    })
    .await
    .unwrap();
    sys::suspend(&node, &lab, ms(100)).await.unwrap();
    lab.cast(Cast::Slow(ms(0)));
    lab.send(Say::Word("x"));
    node.exit(lab.pid(), boom());
    other.send(0);
    other.ended().await;
    lab.send_after(ms(10), Say::Word("timer"));
    pause(ms(20)).await;
    let call = lab.send_request(|to| Call::Slow(to, ms(0)));
    pause(ms(20)).await;
    assert_eq!(seen.take(), ["call"]);
    assert_eq!(look(&lab).mailbox_len, 6);
    sys::resume(&node, &lab, ms(100)).await.unwrap();
    assert_eq!(call.receive(ms(100)).await, Ok(0));
    let expected = ["cast", "info x", "exit \"boom\"", "down \"boom\"", "info timer", "call"];
    assert_eq!(seen.take(), expected);
}

#[tokio::test(start_paused = true)]
async fn rule_2_13_4_a_suspend_that_timed_out_suspends_later() {
    let node = Node::new("a");
    let (lab, _) = lab(&node).await;
    lab.cast(Cast::Slow(ms(300)));
    assert_eq!(sys::suspend(&node, &lab, ms(50)).await, Err(SysError::Timeout));
    assert!(!look(&lab).suspended);
    pause(ms(300)).await;
    assert!(look(&lab).suspended);
    sys::resume(&node, &lab, ms(50)).await.unwrap();
    assert_eq!(value(&lab).await, Ok(0));
}

#[tokio::test(start_paused = true)]
async fn rule_2_13_11_the_exit_of_the_parent_ends_a_suspended_server() {
    let node = Node::new("a");
    let seen = Seen::default();
    let plan = Plan::trapping(&seen);
    let (tell_child, child) = tokio::sync::oneshot::channel();
    let parent = node.spawn(|mut me: Process<u32>| async move {
        let _ = tell_child.send(Lab::start_link(plan).await.unwrap());
        let _ = me.receive().await;
        ExitReason::Normal
    });
    let lab = child.await.unwrap();
    sys::suspend(&node, &lab, ms(100)).await.unwrap();
    lab.cast(Cast::Slow(ms(0)));
    parent.send(0);
    assert_eq!(lab.ended().await, ExitReason::Normal);
    assert_eq!(seen.take(), ["terminate normal"]);
}

#[tokio::test(start_paused = true)]
async fn rule_2_1_t5_an_untrapped_signal_ends_a_suspended_server_at_once() {
    let node = Node::new("a");
    let (lab, seen) = lab(&node).await;
    sys::suspend(&node, &lab, ms(100)).await.unwrap();
    node.exit(lab.pid(), ExitReason::Shutdown);
    assert_eq!(lab.ended().await, ExitReason::Shutdown);
    assert_eq!(seen.take(), Vec::<String>::new());
    assert_eq!(sys::resume(&node, &lab, ms(100)).await, Err(SysError::NoProc));
}

#[tokio::test(start_paused = true)]
async fn sys_010_terminate_ends_it_with_its_reason_and_frees_its_name() {
    inside(&Node::new("a"), |me| async move {
        let special =
            me.spawn(|mut me: Process<u32>| async move { while let Info::User(_) = me.receive().await {} });
        let name: Name<incarnate::Never, incarnate::Never, u32> = Name::new("special");
        me.register(name, &special).unwrap();
        assert_eq!(special.stop_with(ExitReason::Normal, ms(100)).await, Ok(()));
        assert_eq!(me.node().whereis("special"), None);
        assert_eq!(special.stop().await, Err(StopError::NoProc));
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn sys_007_a_plain_process_serves_system_messages() {
    let node = Node::new("a");
    let got = Arc::new(AtomicBool::new(false));
    let heard = got.clone();
    let special = node.spawn(|mut me: Process<u32>| async move {
        while let Info::User(1) = me.receive().await {
            heard.store(true, Ordering::Relaxed);
        }
    });
    assert!(sys::get_status(&node, &special, ms(100)).await.unwrap().is_running());
    sys::suspend(&node, &special, ms(100)).await.unwrap();
    sys::suspend(&node, &special, ms(100)).await.unwrap();
    special.send(1);
    let status = sys::get_status(&node, &special, ms(100)).await.unwrap();
    assert!(!status.is_running() && status.state.contains("system"), "{status:?}");
    assert_eq!(status.process.mailbox_len, 1);
    assert_eq!(sys::get_state(&node, &special, |(): &()| 3, ms(100)).await, Ok(3));
    assert!(!got.load(Ordering::Relaxed));
    sys::resume(&node, &special, ms(100)).await.unwrap();
    until("the message", || got.load(Ordering::Relaxed)).await;
    sys::suspend(&node, &special, ms(100)).await.unwrap();
    assert_eq!(special.stop_with(boom(), ms(100)).await, Ok(()));
}

#[tokio::test(start_paused = true)]
async fn gs_077_a_process_that_asks_itself_is_told_at_once() {
    inside(&Node::new("a"), |me| async move {
        let asked = sys::suspend(me.node(), me.pid(), incarnate::Timeout::Infinity).await;
        assert_eq!(asked, Err(SysError::CallingSelf));
        assert!(!me.node().process_info(me.pid()).unwrap().suspended);
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_system_message_to_nobody_or_to_one_that_ends_is_told() {
    let node = Node::new("a");
    let (lab, _) = lab(&node).await;
    tell(&lab, |_, _| incarnate::stop(boom()));
    assert_eq!(sys::suspend(&node, &lab, ms(100)).await, Err(SysError::Exit(boom())));
    assert_eq!(sys::suspend(&node, &lab, ms(100)).await, Err(SysError::NoProc));
    assert_eq!(sys::get_status(&node, NAME, ms(100)).await.map(drop), Err(SysError::NoProc));
}
