//! Stopping from outside.

use std::time::Duration;

use incarnate::process::{StopError, Timeout};
use incarnate::{CallError, Error, ExitReason, GenServer, Node};

use crate::lab::*;
use crate::start::Via;

const NAME: LabName = LabName::new("stop");

#[tokio::test(start_paused = true)]
async fn gs_015_stop_returns_when_it_is_dead_and_again_is_noproc() {
    let node = Node::new("a");
    let (lab, seen) = lab(&node).await;
    assert_eq!(lab.stop().await, Ok(()));
    assert!(!lab.is_alive());
    assert_eq!(node.process_count(), 0);
    assert_eq!(lab.stop().await, Err(StopError::NoProc));
    assert_eq!(seen.take(), ["terminate normal"]);
}

#[tokio::test(start_paused = true)]
async fn gs_016_stop_with_another_reason() {
    let (lab, seen) = lab(&Node::new("a")).await;
    assert_eq!(lab.stop_with(boom(), Timeout::Infinity).await, Ok(()));
    assert_eq!(lab.ended().await, ExitReason::NoProc);
    assert_eq!(seen.take(), ["terminate \"boom\""]);
}

/// A timeout that OTP refuses cannot be written here; the longest that can be is one.
#[tokio::test(start_paused = true)]
async fn gs_017_no_timeout_is_too_long_to_stop_or_call() {
    let (lab, _) = lab(&Node::new("a")).await;
    assert_eq!(lab.call_timeout(|to| Call::Slow(to, ms(5)), Duration::MAX).await, Ok(0));
    assert_eq!(lab.stop_with(ExitReason::Normal, Duration::MAX).await, Ok(()));
}

#[tokio::test(start_paused = true)]
async fn gs_018_stop_by_name() {
    inside(&Node::new("a"), |_| async move {
        let lab = Lab::server(Plan::ready(&Seen::default())).name(NAME).start().await.unwrap();
        assert_eq!(NAME.stop().await, Ok(()));
        assert!(!lab.is_alive());
        assert_eq!(NAME.stop().await, Err(StopError::NoProc));
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn gs_019_stop_by_name_and_node() {
    let node = Node::new("a");
    Lab::server(Plan::ready(&Seen::default())).on(&node).name(NAME).start().await.unwrap();
    assert_eq!(NAME.on(&node).unwrap().stop().await, Ok(()));
    assert_eq!(NAME.on(&node).map(drop), Err(CallError::NoProc));
}

#[tokio::test(start_paused = true)]
async fn gs_021_stop_through_a_registry_of_ones_own() {
    let node = Node::new("a");
    let via = Via::default();
    let lab = Lab::server(Plan::ready(&Seen::default())).on(&node).register_with(via.enter("x"));
    lab.start().await.unwrap();
    let lab = via.whereis("x").unwrap();
    assert_eq!(lab.stop().await, Ok(()));
    assert!(via.whereis("x").is_none());
    assert_eq!(lab.stop().await, Err(StopError::NoProc));
}

/// Nothing but what must be there.
struct Bare;

impl GenServer for Bare {
    type Args = ();
    type Call = incarnate::Never;
    type Cast = ();
    type Info = u32;
    type Continue = ();

    async fn init((): (), cx: &mut incarnate::Context<Self>) -> incarnate::Result<incarnate::Init<Self>> {
        cx.trap_exit(true);
        Ok(incarnate::Init::Ready(Bare))
    }

    async fn handle_call(
        &mut self,
        call: incarnate::Never,
        _: &mut incarnate::Context<Self>,
    ) -> incarnate::Result<incarnate::CallReply> {
        match call {}
    }
}

#[tokio::test(start_paused = true)]
async fn gs_105_and_rule_2_1_t14_without_terminate_a_stop_is_normal() {
    let node = Node::new("a");
    let bare = Bare::server(()).on(&node).start().await.unwrap();
    let ended = tokio::spawn({
        let bare = bare.clone();
        async move { bare.ended().await }
    });
    tokio::task::yield_now().await;
    assert_eq!(bare.stop().await, Ok(()));
    assert_eq!(ended.await.unwrap(), ExitReason::Normal);
}

#[tokio::test(start_paused = true)]
async fn gs_106_and_rule_2_1_t14_without_terminate_a_stop_keeps_its_reason() {
    inside(&Node::new("a"), |mut me| async move {
        let (bare, _) = Bare::server(()).start_monitor().await.unwrap();
        let reason = ExitReason::term(&("error", "test"));
        assert_eq!(bare.stop_with(reason.clone(), ms(1000)).await, Ok(()));
        let Some(incarnate::Info::Down(down)) = me.receive_after(ms(1000)).await else { panic!("no down") };
        assert_eq!(down.reason, reason);
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn gs_101_without_handle_info_a_message_is_traced_and_dropped() {
    let reports = crate::reports::Reports::record();
    let node = Node::new("a");
    let bare = Bare::server(()).on(&node).start().await.unwrap();
    bare.send(1);
    bare.start_timer(ms(1), 2);
    node.exit(bare.pid(), boom());
    pause(ms(10)).await;
    assert!(bare.is_alive());
    let kinds: Vec<_> = reports.take().iter().map(|report| report.field("kind").to_owned()).collect();
    assert_eq!(kinds, ["User", "Exit", "Timer"]);
}

#[tokio::test(start_paused = true)]
async fn gs_099_without_handle_cast_a_cast_is_undef() {
    let bare = Bare::server(()).on(&Node::new("a")).start().await.unwrap();
    bare.cast(());
    let reason = bare.ended().await;
    assert!(reason.to_string().contains("undef") && reason.to_string().contains("handle_cast"), "{reason}");
}

#[tokio::test(start_paused = true)]
async fn pl_011_stop_waits_for_the_end() {
    let node = Node::new("a");
    let (lab, seen) = lab(&node).await;
    lab.cast(Cast::Slow(ms(3000)));
    assert_eq!(lab.stop_with(ExitReason::Shutdown, ms(60_000)).await, Ok(()));
    assert_eq!(node.process_count(), 0);
    assert_eq!(seen.take(), ["cast", "terminate shutdown"]);
}

#[tokio::test(start_paused = true)]
async fn pl_012_one_that_dies_while_it_stops_tells_its_own_reason() {
    let plan = Plan::ready(&Seen::default()).end(|_| Err(Error::exit(boom())));
    let lab = Lab::server(plan).on(&Node::new("a")).start().await.unwrap();
    assert_eq!(lab.stop().await, Err(StopError::Exit(boom())));
}

#[tokio::test(start_paused = true)]
async fn pl_013_one_that_does_not_end_is_a_timeout_and_the_order_stands() {
    let (lab, _) = lab(&Node::new("a")).await;
    lab.cast(Cast::Slow(ms(10_000)));
    for timeout in [0, 100, 1000] {
        assert_eq!(lab.stop_with(ExitReason::Normal, ms(timeout)).await, Err(StopError::Timeout));
        assert!(lab.is_alive());
    }
    assert_eq!(lab.ended().await, ExitReason::Normal);
}

#[tokio::test(start_paused = true)]
async fn pl_014_nobody_to_stop_is_noproc() {
    inside(&Node::new("a"), |me| async move {
        assert_eq!(LabName::new("nobody").stop().await, Err(StopError::NoProc));
        let (lab, _) = lab(me.node()).await;
        me.exit(lab.pid(), ExitReason::Kill);
        lab.ended().await;
        assert_eq!(lab.stop().await, Err(StopError::NoProc));
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn pl_015_one_that_ends_with_another_reason_tells_it() {
    let node = Node::new("a");
    let (lab, _) = lab(&node).await;
    tell(&lab, |_, _| incarnate::stop(ExitReason::term("other")));
    assert_eq!(lab.stop_with(boom(), ms(1000)).await, Err(StopError::Exit(ExitReason::term("other"))));
}

#[tokio::test(start_paused = true)]
async fn rule_2_1_t10_stop_runs_terminate_in_a_suspended_server_too() {
    let node = Node::new("a");
    let (lab, seen) = lab(&node).await;
    incarnate::sys::suspend(&node, &lab, ms(1000)).await.unwrap();
    assert_eq!(lab.stop_with(boom(), ms(1000)).await, Ok(()));
    assert_eq!(seen.take(), ["terminate \"boom\""]);
}

#[tokio::test(start_paused = true)]
async fn who_stops_itself_is_told_at_once_and_goes_on() {
    let node = Node::new("a");
    let lab = Lab::server(Plan::ready(&Seen::default())).on(&node).name(NAME).start().await.unwrap();
    for by_name in [false, true] {
        let stopped = ask(&lab, move |to, _, cx| {
            let server = cx.server();
            tokio::spawn(async {}); // the runtime is there
            let mut stopping: std::pin::Pin<Box<dyn Future<Output = _> + Send>> = match by_name {
                true => Box::pin(async { NAME.stop().await }),
                false => Box::pin(async move { server.stop_with(boom(), ms(1000)).await }),
            };
            let mut polled = std::task::Context::from_waker(std::task::Waker::noop());
            let told = stopping.as_mut().poll(&mut polled);
            to.reply(u32::from(format!("{told:?}") == "Ready(Err(CallingSelf))"))
        });
        assert_eq!(stopped.await, Ok(1), "by name: {by_name}");
    }
    assert_eq!(value(&lab).await, Ok(0));
    assert_eq!(lab.stop().await, Ok(()));
}

#[tokio::test(start_paused = true)]
async fn a_name_that_is_held_by_another_kind_is_said_to_be() {
    inside(&Node::new("a"), |_| async move {
        const OTHER: incarnate::Name<(), (), ()> = incarnate::Name::new("stop");
        let lab = Lab::server(Plan::ready(&Seen::default())).name(NAME).start().await.unwrap();
        assert_eq!(format!("{:?}", OTHER.stop().await), "Err(WrongProtocol)");
        assert_eq!(format!("{:?}", OTHER.send(())), "Err(WrongProtocol)");
        assert!(lab.is_alive());
    })
    .await;
    assert_eq!(format!("{:?}", NAME.stop().await), "Err(NoNode)");
    assert_eq!(format!("{:?}", NAME.send(Say::Word("x"))), "Err(NoNode)");
}
