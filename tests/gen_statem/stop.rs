//! Stops, ends, and what is reported of them.

use incarnate::gen_statem::{
    Actions, Context, EventOf, GenStatem, HandleEvent, Init, StateData, Transition, keep_state, stop,
};
use incarnate::process::StopError;
use incarnate::{CallError, Error, ExitReason, Never, Node, Result, Timeout, sys};

use crate::reports::Reports;
use crate::rig::*;

const NAME: RigName = RigName::new("statem");

#[tokio::test(start_paused = true)]
async fn st_015_and_st_016_stop_returns_when_it_is_dead_and_again_is_noproc() {
    let (rig, seen) = rig(&Node::new("a")).await;
    assert_eq!(rig.stop().await, Ok(()));
    assert!(!rig.is_alive());
    assert_eq!(rig.stop().await, Err(StopError::NoProc));
    assert_eq!(seen.take(), ["terminate normal"]);
    let (other, seen) = crate::rig::rig(&Node::new("a")).await;
    assert_eq!(other.stop_with(boom(), Timeout::Infinity).await, Ok(()));
    assert_eq!(seen.take(), [format!("terminate {}", boom())]);
    assert_eq!(other.ended().await, ExitReason::NoProc);
}

#[tokio::test(start_paused = true)]
async fn st_017_no_timeout_is_too_long_to_stop() {
    let (rig, _) = rig(&Node::new("a")).await;
    assert_eq!(rig.stop_with(ExitReason::Normal, std::time::Duration::MAX).await, Ok(()));
}

#[tokio::test(start_paused = true)]
async fn st_018_and_st_019_stop_by_name_and_by_name_and_node() {
    inside(&Node::new("a"), |me| async move {
        Rig::statem(Plan::ready(&Seen::default())).name(NAME).start().await.unwrap();
        assert_eq!(NAME.stop().await, Ok(()));
        assert_eq!(NAME.stop().await, Err(StopError::NoProc));
        Rig::statem(Plan::ready(&Seen::default())).name(NAME).start().await.unwrap();
        assert_eq!(NAME.on(me.node()).unwrap().stop().await, Ok(()));
        assert!(NAME.on(me.node()).is_err());
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn st_021_a_stop_gives_the_place_in_a_registry_up() {
    let place = std::sync::Arc::new(());
    let held = place.clone();
    let start = Rig::statem(Plan::ready(&Seen::default())).on(&Node::new("a"));
    let rig = start.register_with(move |_| Ok(held)).start().await.unwrap();
    assert_eq!(std::sync::Arc::strong_count(&place), 2);
    rig.stop().await.unwrap();
    assert_eq!((rig.stop().await, std::sync::Arc::strong_count(&place)), (Err(StopError::NoProc), 1));
}

#[tokio::test(start_paused = true)]
async fn st_032_a_stop_with_shutdown_is_silent() {
    let reports = Reports::record();
    trapping(&Node::new("a"), |mut me| async move {
        let rig = Rig::statem(Plan::ready(&Seen::default())).start_link().await.unwrap();
        let reason = ExitReason::shutdown_with("tired");
        let given = reason.clone();
        assert_eq!(ask(&rig, move |to, _, _| stop(given).reply(to, 1)).await, Ok(1));
        assert_eq!(exit_of(&mut me).await, (rig.pid(), reason));
    })
    .await;
    assert_eq!(reports.targets(), Vec::<&str>::new());
}

#[tokio::test(start_paused = true)]
async fn st_034_replies_of_a_stop_come_before_the_exit_and_in_order() {
    trapping(&Node::new("a"), |mut me| async move {
        let rig = Rig::statem(Plan::ready(&Seen::default())).start_link().await.unwrap();
        let keep = |to, rig: &mut Rig, _: &mut _| {
            rig.kept.push(to);
            keep_state()
        };
        let first = rig.send_request(|to| Call::Do(to, Box::new(keep)));
        let second = rig.send_request(|to| Call::Do(to, Box::new(keep)));
        let unanswered = rig.send_request(Call::WhenBusy);
        let last = ask(&rig, |to, rig, _| {
            let [first, second] = <[_; 2]>::try_from(std::mem::take(&mut rig.kept)).unwrap();
            stop(boom()).reply(first, 1).reply(second, 2).reply(to, 3)
        });
        assert_eq!(last.await, Ok(3));
        assert_eq!((first.receive(ms(0)).await, second.receive(ms(0)).await), (Ok(1), Ok(2)));
        assert_eq!(exit_of(&mut me).await, (rig.pid(), boom()));
        assert_eq!(unanswered.receive(ms(0)).await, Err(CallError::Exit(boom())));
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn rule_2_19_5_a_call_that_was_put_off_is_told_the_reason() {
    let (rig, _) = rig(&Node::new("a")).await;
    let waits = rig.send_request(Call::WhenBusy);
    assert_eq!(value(&rig).await, Ok(0));
    tell(&rig, |_, _, _| crash());
    assert_eq!(waits.receive(ms(100)).await, Err(CallError::Exit(boom())));
}

/// A machine without a terminate.
struct Endless;

impl GenStatem for Endless {
    type Args = ();
    type State = ();
    type Call = Never;
    type Cast = ();
    type Info = Never;
    type Internal = Never;
    type Timer = Never;
    type Mode = HandleEvent;

    async fn init(_: (), _: &mut Context<Self>) -> Result<Init<Self>> {
        Ok(Init::ready((), Endless))
    }

    async fn handle_event(
        &mut self,
        _: EventOf<Self>,
        _: &mut (),
        _: &mut Context<Self>,
    ) -> Result<Transition<Self>> {
        stop(boom())
    }
}

#[tokio::test(start_paused = true)]
async fn st_058_and_st_059_without_a_terminate_it_stops_and_the_reason_is_what_was_given() {
    let node = Node::new("a");
    let machine = Endless::statem(()).on(&node).start().await.unwrap();
    assert_eq!(machine.stop().await, Ok(()));
    let machine = Endless::statem(()).on(&node).start().await.unwrap();
    let (one, two) = tokio::join!(machine.ended(), async { machine.cast(()) });
    assert_eq!((one, two), (boom(), ()));
}

#[tokio::test(start_paused = true)]
async fn st_049_and_st_050_a_crash_report_shows_what_the_formatter_shows() {
    let (node, reports) = (Node::new("a"), Reports::record());
    for end in [false, true] {
        let plan =
            Plan::ready(&Seen::default()).format(|view| view.show(format!("value {}", view.data.value)));
        let plan = if end { plan.end(|_| Err(Error::msg("no end"))) } else { plan };
        let rig = Rig::statem(plan).on(&node).start().await.unwrap();
        tell(&rig, |rig, _, _| {
            rig.value = 42;
            crash()
        });
        let reason = rig.ended().await;
        let report =
            reports.take().into_iter().find(|report| report.target == "incarnate::gen_server").unwrap();
        assert_eq!(
            (report.level, report.field("message"), report.field("behaviour")),
            (tracing::Level::ERROR, "terminating", "gen_statem")
        );
        assert_eq!((report.field("state"), report.field("last_message")), ("value 42", "handle_cast"));
        assert_eq!(report.field("reason"), reason.to_string());
        assert_eq!(reason.to_string().contains("no end"), end);
    }
}

#[tokio::test(start_paused = true)]
async fn a_panic_leaves_state_and_data_for_terminate() {
    let node = Node::new("a");
    let (rig, seen) = rig(&node).await;
    tell(&rig, |rig, state, _| {
        (rig.value, *state) = (3, State::Busy);
        panic!("in the middle")
    });
    assert!(rig.ended().await.to_string().contains("in the middle"));
    assert_eq!(seen.take().len(), 2);
    let gone = sys::get_state(&node, &rig, |_: &StateData<Rig>| (), ms(10)).await;
    assert_eq!(gone, Err(sys::SysError::NoProc));
}
