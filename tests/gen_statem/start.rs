//! Starts and names.

use std::sync::{Arc, Mutex};

use incarnate::gen_statem::{
    Actions, Context, Event, EventActions, GenStatem, HandleEvent, Init, next_state, stop,
};
use incarnate::{CallError, Error, ExitReason, Info, Never, Node, Pid, StartError};

use crate::rig::*;

const NAME: RigName = RigName::new("statem");

#[tokio::test(start_paused = true)]
async fn st_001_and_st_007_linked_and_monitored_starts_walk_and_leave_no_message() {
    trapping(&Node::new("a"), |mut me| async move {
        let linked = Rig::statem(Plan::ready(&Seen::default())).start_link().await.unwrap();
        let (monitored, monitor) = Rig::statem(Plan::ready(&Seen::default())).start_monitor().await.unwrap();
        for rig in [&linked, &monitored] {
            let waits = rig.send_request(Call::WhenBusy);
            tell(rig, |rig, _, _| {
                rig.value = 7;
                next_state(State::Busy)
            });
            assert_eq!(waits.receive(ms(100)).await, Ok(7));
            assert_eq!(rig.call(|to| Call::Go(State::Idle, to)).await, Ok(()));
        }
        quiet(&mut me).await;
        monitored.stop().await.unwrap();
        let down = me.receive_after(ms(100)).await;
        assert!(matches!(down, Some(Info::Down(down)) if down.reference == monitor && down.reason == ExitReason::Normal));
        linked.stop().await.unwrap();
        assert_eq!(exit_of(&mut me).await, (linked.pid(), ExitReason::Normal));
        quiet(&mut me).await;
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn st_002_stopped_with_a_reply_the_caller_has_it_and_later_calls_fail() {
    trapping(&Node::new("a"), |mut me| async move {
        let seen = Seen::default();
        let rig = Rig::statem(Plan::ready(&seen)).start_link().await.unwrap();
        let answer = ask(&rig, |to, _, _| stop(ExitReason::Shutdown).reply(to, 5));
        assert_eq!(answer.await, Ok(5));
        assert_eq!(exit_of(&mut me).await, (rig.pid(), ExitReason::Shutdown));
        assert_eq!(value(&rig).await, Err(CallError::NoProc));
        assert_eq!(seen.take(), ["call", "terminate shutdown"]);
    })
    .await;
}

/// Five starts one after another with an exclusive name and an exclusive thing, in each of the forms.
async fn repeated(
    expected: StartError,
    init: impl Fn(Rig) -> incarnate::Result<Init<Rig>> + Clone + Send + 'static,
) {
    trapping(&Node::new("a"), |mut me| async move {
        let (seen, thing) = (Seen::default(), Arc::new(Mutex::new(false)));
        for form in (0..3).flat_map(|form| [form; 5]) {
            let (init, thing) = (init.clone(), thing.clone());
            let plan = Plan::new(&seen, move |mut rig, _| {
                rig.held = Some(Holder::take(&thing).expect("the process before is gone"));
                init(rig)
            });
            let start = Rig::statem(plan).name(NAME);
            let failed = match form {
                0 => start.start().await.map(drop),
                1 => start.start_link().await.map(drop),
                _ => start.start_monitor().await.map(drop),
            };
            assert_eq!(failed, Err(expected.clone()));
            assert_eq!((me.node().process_count(), me.node().whereis("statem")), (1, None));
        }
        assert_eq!(seen.take(), Vec::<String>::new());
        quiet(&mut me).await;
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn st_004_and_st_033_ignore() {
    repeated(StartError::Ignore, |_| Ok(Init::Ignore)).await;
}

#[tokio::test(start_paused = true)]
async fn st_005_and_st_033_stop() {
    repeated(StartError::Failed(boom()), |_| Ok(Init::Stop(boom()))).await;
}

#[tokio::test(start_paused = true)]
async fn st_006_and_st_033_error() {
    repeated(StartError::Failed(boom()), |_| Ok(Init::Error(boom()))).await;
    let reason = Error::from(std::fmt::Error).into_reason();
    repeated(StartError::Failed(reason), |_| Err(std::fmt::Error.into())).await;
    repeated(StartError::Failed(boom()), |_| Err(Error::exit(boom()))).await;
}

#[tokio::test(start_paused = true)]
async fn st_033_an_init_that_takes_too_long_is_killed() {
    let node = Node::new("a");
    struct Slow;
    impl GenStatem for Slow {
        type Args = ();
        type State = ();
        type Call = Never;
        type Cast = Never;
        type Info = Never;
        type Internal = Never;
        type Timer = Never;
        type Mode = HandleEvent;
        async fn init(_: (), _: &mut Context<Self>) -> incarnate::Result<Init<Self>> {
            pause(ms(1000)).await;
            Ok(Init::ready((), Slow))
        }
    }
    for _ in 0..5 {
        let started = Slow::statem(()).on(&node).timeout(ms(100)).start().await;
        assert_eq!(started.map(drop), Err(StartError::Timeout));
        assert_eq!(node.process_count(), 0);
    }
    assert!(Slow::statem(()).on(&node).timeout(ms(2000)).start().await.is_ok());
}

#[tokio::test(start_paused = true)]
async fn st_009_and_st_010_a_taken_name_is_already_started_in_every_form() {
    trapping(&Node::new("a"), |mut me| async move {
        let first = Rig::statem(Plan::ready(&Seen::default())).name(NAME).start_link().await.unwrap();
        let never =
            || Rig::statem(Plan::new(&Seen::default(), |_, _| panic!("init of a second one"))).name(NAME);
        let taken = Err(StartError::AlreadyStarted(first.pid()));
        assert_eq!(never().start().await.map(drop), taken);
        assert_eq!(never().start_link().await.map(drop), taken);
        assert_eq!(never().start_monitor().await.map(drop), taken);
        assert_eq!(NAME.call(Call::Get).await, Ok(0));
        first.stop().await.unwrap();
        assert_eq!(exit_of(&mut me).await.1, ExitReason::Normal);
        let (_, monitor) =
            Rig::statem(Plan::ready(&Seen::default())).name(NAME).start_monitor().await.unwrap();
        assert_eq!(NAME.call(Call::Get).await, Ok(0));
        assert!(me.demonitor(monitor));
        quiet(&mut me).await;
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn st_012_a_name_is_free_after_a_stop_by_pid_or_by_name() {
    let node = Node::new("a");
    inside(&node, |_| async {
        for by_name in [true, false, true] {
            let rig = Rig::statem(Plan::ready(&Seen::default())).name(NAME).start().await.unwrap();
            if by_name {
                NAME.stop().await.unwrap()
            } else {
                rig.stop().await.unwrap()
            }
            assert!(!rig.is_alive());
        }
    })
    .await;
    assert_eq!(node.process_count(), 0);
}

#[tokio::test(start_paused = true)]
async fn st_013_a_registry_of_ones_own() {
    let (node, taken) = (Node::new("a"), Arc::new(Mutex::new(None::<Pid>)));
    let start = || {
        let taken = taken.clone();
        Rig::statem(Plan::ready(&Seen::default())).on(&node).register_with(move |rig| {
            let mut entry = taken.lock().unwrap();
            match *entry {
                Some(pid) => Err(pid),
                None => {
                    *entry = Some(rig.pid());
                    Ok(())
                }
            }
        })
    };
    let first = start().start().await.unwrap();
    assert_eq!(start().start().await.map(drop), Err(StartError::AlreadyStarted(first.pid())));
    assert_eq!(value(&first).await, Ok(0));
}

#[tokio::test(start_paused = true)]
async fn st_035_the_start_returns_before_the_first_state_is_entered_and_events_are_handled() {
    let (node, seen) = (Node::new("a"), Seen::default());
    let plan =
        Plan::new(&seen, |rig, _| Ok(Init::ready(State::Idle, rig).next_event(Event::Internal("first"))));
    let rig = Rig::statem(plan).on(&node).start().await.unwrap();
    assert_eq!(value(&rig).await, Ok(0));
    assert_eq!(seen.take(), ["internal first", "call"]);
}

#[tokio::test(start_paused = true)]
async fn st_056_a_start_that_is_acknowledged_early() {
    trapping(&Node::new("a"), |mut me| async move {
        let plan = Plan::new(&Seen::default(), |rig, cx| {
            cx.init_ack();
            Ok(Init::ready(State::Idle, rig))
        });
        let rig = Rig::statem(plan).name(NAME).start_link().await.unwrap();
        assert_eq!(value(&rig).await, Ok(0));
        let late = Plan::new(&Seen::default(), |_, cx| {
            cx.init_ack();
            crash()
        });
        let failed = Rig::statem(late).start_link().await.unwrap();
        assert_eq!(exit_of(&mut me).await, (failed.pid(), boom()));
        // Its parent's end is its end.
        let node = me.node().clone();
        let parent = me.node().spawn(|me: incarnate::Process<u32>| async move {
            let rig =
                Rig::statem(Plan::ready(&Seen::default())).name(RigName::new("child")).start_link().await;
            drop((me, rig));
            std::future::pending::<()>().await;
        });
        until("a child", || node.whereis("child").is_some()).await;
        let child = node.whereis("child").unwrap();
        let watch = me.monitor(child);
        me.exit(parent.pid(), ExitReason::Shutdown);
        let down = me.receive_where(|info| matches!(info, Info::Down(down) if down.reference == watch));
        assert!(matches!(down.await, Info::Down(down) if down.reason == ExitReason::Shutdown));
        rig.stop().await.unwrap();
    })
    .await;
}
