//! sys, hibernation, and a change of the code by hand.

use incarnate::gen_statem::{
    Actions, Context, Event, EventActions, GenStatem, Init, StateData, Transition, keep_state, next_state,
};
use incarnate::sys::SysError;
use incarnate::{CallError, Node, Result, sys};

use crate::reports::Reports;
use crate::rig::*;

async fn state(rig: &RigRef) -> (State, u32) {
    let look = |both: &StateData<Rig>| (both.state.clone(), both.data.value);
    sys::get_state(rig.node(), rig, look, ms(100)).await.unwrap()
}

#[tokio::test(start_paused = true)]
async fn st_043_the_status_shows_what_is_postponed_and_exactly_the_timeout_that_runs() {
    let (rig, _) = rig(&Node::new("a")).await;
    let status = async || sys::get_status(rig.node(), &rig, ms(100)).await.unwrap().state;
    assert!(status().await.ends_with("Rig, postponed: 0, timeouts: 0"));
    let _waits = rig.send_request(Call::WhenBusy);
    tell(&rig, |_, _, _| keep_state().state_timeout(ms(500), "a").timeout(1, ms(100), "b").cancel_timeout(1));
    assert!(status().await.ends_with("Rig, postponed: 1, timeouts: 1"), "{}", status().await);
    pause(ms(510)).await;
    assert!(status().await.ends_with("Rig, postponed: 1, timeouts: 0"));
}

#[tokio::test(start_paused = true)]
async fn st_047_a_suspended_machine_does_not_answer_and_its_timeouts_go_on() {
    let (rig, seen) = rig(&Node::new("a")).await;
    tell(&rig, |_, _, _| keep_state().state_timeout(ms(500), "over"));
    assert_eq!(value(&rig).await, Ok(0));
    sys::suspend(rig.node(), &rig, ms(100)).await.unwrap();
    seen.take();
    assert_eq!(rig.call_timeout(Call::Get, ms(3000)).await, Err(CallError::Timeout));
    assert_eq!(seen.take(), Vec::<String>::new());
    sys::resume(rig.node(), &rig, ms(100)).await.unwrap();
    assert_eq!(value(&rig).await, Ok(0));
    assert_eq!(seen.take(), ["call", "state_timeout over", "call"]);
}

#[tokio::test(start_paused = true)]
async fn st_051_a_formatter_may_rewrite_everything() {
    let plan = Plan::ready(&Seen::default()).format(|view| {
        let shown = format!("{:?}, {} put off, {} timeouts", view.state, view.postponed, view.timeouts);
        view.show(shown).message("a word").reason("why not")
    });
    let reports = Reports::record();
    let rig = Rig::statem(plan).on(&Node::new("a")).start().await.unwrap();
    let _waits = rig.send_request(Call::WhenBusy);
    tell(&rig, |_, _, _| keep_state().timeout(1, ms(5000), "never"));
    let shown = "Idle, 1 put off, 1 timeouts";
    assert_eq!(sys::get_status(rig.node(), &rig, ms(100)).await.unwrap().state, shown);
    tell(&rig, |_, _, _| crash());
    assert_eq!(rig.ended().await, boom());
    // The report of the crash has nothing else of the machine.
    let all = reports.take();
    let report = all.iter().find(|report| report.target == "incarnate::gen_server").unwrap();
    let fields = ["state", "last_message", "reason"].map(|field| report.field(field));
    assert_eq!(fields, [shown, "a word", "why not"]);
}

#[tokio::test(start_paused = true)]
async fn st_053_replace_state_also_while_suspended_and_in_a_state_called_error() {
    let (rig, seen) = rig(&Node::new("a")).await;
    let waits = rig.send_request(Call::WhenBusy);
    for suspended in [false, true] {
        let to = if suspended { State::Error } else { State::Idle };
        let replace = {
            let (seen, to) = (seen.clone(), to.clone());
            move |both: &StateData<Rig>| StateData { state: to, data: Rig::with(seen, both.data.value + 1) }
        };
        sys::replace_state(rig.node(), &rig, replace, ms(100)).await.unwrap();
        let failed =
            sys::replace_state(rig.node(), &rig, |_: &StateData<Rig>| panic!("no state"), ms(100)).await;
        assert_eq!(failed, Err(SysError::CallbackFailed));
        assert_eq!(state(&rig).await, (to, 1 + u32::from(suspended)));
        sys::suspend(rig.node(), &rig, ms(100)).await.unwrap();
    }
    sys::resume(rig.node(), &rig, ms(100)).await.unwrap();
    // What was postponed is still there.
    assert_eq!(rig.call(|to| Call::Go(State::Busy, to)).await, Ok(()));
    assert_eq!(waits.receive(ms(100)).await, Ok(2));
}

#[tokio::test(start_paused = true)]
async fn st_054_hibernate_from_init_call_cast_and_info_also_suspended() {
    let node = Node::new("a");
    let plan = Plan::new(&Seen::default(), |rig, _| Ok(Init::ready(State::Idle, rig).hibernate()));
    let rig = Rig::statem(plan).on(&node).start().await.unwrap();
    hibernates(&rig).await;
    assert_eq!(value(&rig).await, Ok(0));
    assert!(!is_hibernated(&node, rig.pid()));
    assert_eq!(ask(&rig, |to, _, _| keep_state().reply(to, 1).hibernate()).await, Ok(1));
    hibernates(&rig).await;
    tell(&rig, |_, _, _| keep_state());
    until("waking by a cast", || !is_hibernated(&node, rig.pid())).await;
    rig.send("sleep");
    hibernates(&rig).await;
    rig.send("wake");
    until("waking", || !is_hibernated(&node, rig.pid())).await;
    tell(&rig, |_, _, _| next_state(State::Busy).timeout(1, ms(500), "wake").hibernate());
    hibernates(&rig).await;
    sys::suspend(&node, &rig, ms(100)).await.unwrap();
    hibernates(&rig).await;
    sys::resume(&node, &rig, ms(100)).await.unwrap();
    hibernates(&rig).await;
    pause(ms(600)).await;
    assert!(!is_hibernated(&node, rig.pid()));
    assert_eq!(state(&rig).await.0, State::Busy);
}

#[tokio::test(start_paused = true)]
async fn st_054_an_event_that_comes_first_is_handled_before_the_machine_sleeps() {
    let (rig, seen) = rig(&Node::new("a")).await;
    tell(&rig, |_, _, _| keep_state().next_event(Event::Internal("one")).hibernate());
    assert_eq!(value(&rig).await, Ok(0));
    assert_eq!(seen.take(), ["cast", "internal one", "call"]);
}

#[tokio::test(start_paused = true)]
async fn st_055_hibernates_by_itself_and_timeouts_come_through() {
    let (node, seen) = (Node::new("a"), Seen::default());
    let rig = Rig::statem(Plan::ready(&seen)).on(&node).hibernate_after(ms(100)).start().await.unwrap();
    tell(&rig, |_, _, _| keep_state().event_timeout(ms(50), "short"));
    pause(ms(90)).await;
    assert_eq!(
        (seen.take(), is_hibernated(&node, rig.pid())),
        (vec!["cast".into(), "timeout short".into()], false)
    );
    pause(ms(100)).await;
    assert!(is_hibernated(&node, rig.pid()));
    tell(&rig, |_, _, _| keep_state().event_timeout(ms(300), "long"));
    pause(ms(200)).await;
    assert!(is_hibernated(&node, rig.pid()));
    pause(ms(150)).await;
    assert_eq!(seen.take(), ["cast", "timeout long"]);
}

#[tokio::test(start_paused = true)]
async fn what_it_tells_itself_is_shown_to_those_who_watch() {
    use incarnate::sys::DebugOptions;
    let node = Node::new("a");
    let plan = Plan::ready(&Seen::default());
    let rig = Rig::statem(plan).on(&node).debug(DebugOptions::new().log(sys::Log::On)).start().await.unwrap();
    tell(&rig, |_, _, _| keep_state().next_event(Event::Internal("one")).state_timeout(ms(0), "two"));
    assert_eq!(value(&rig).await, Ok(0));
    let log = sys::get_log(&node, &rig, ms(100)).await.unwrap();
    let kinds: Vec<String> = log.iter().map(|event| event.kind.to_string()).collect();
    assert!(kinds.join(" ").starts_with("cast internal timeout"), "{kinds:?}");
}

#[tokio::test(start_paused = true)]
async fn a_machine_that_tells_itself_things_for_ever_can_be_stopped() {
    let (rig, seen) = rig(&Node::new("a")).await;
    fn again(_: &mut Rig, _: &mut State, _: &mut Context<Rig>) -> Result<Transition<Rig>> {
        keep_state().next_event(Event::Cast(Cast(Box::new(again))))
    }
    tell(&rig, again);
    // No time passes meanwhile: it is never idle.
    until("many events", || seen.len() > 1000).await;
    rig.node().exit(rig.pid(), incarnate::ExitReason::Kill);
    assert_eq!(rig.ended().await, incarnate::ExitReason::Killed);
}
