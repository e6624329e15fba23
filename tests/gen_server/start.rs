//! Starting: what each answer of `init` does, names, and that a failed start leaves nothing.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};

use incarnate::process::RegisterError;
use incarnate::{CallError, Error, ExitReason, GenServer, Info, Init, Node, Pid, StartError, noreply};

use crate::lab::*;

const NAME: LabName = LabName::new("start");

#[tokio::test(start_paused = true)]
async fn gs_001_start_anonymous_and_a_call_after_its_end_is_noproc() {
    let node = Node::new("a");
    let (lab, _) = lab(&node).await;
    assert_eq!(value(&lab).await, Ok(0));
    assert_eq!(node.registered(), Vec::<&str>::new());
    lab.stop().await.unwrap();
    let answer = lab.call_timeout(|to| Call::Slow(to, ms(0)), ms(10)).await;
    assert_eq!(answer, Err(CallError::NoProc));
}

#[tokio::test(start_paused = true)]
async fn gs_002_init_within_its_time_starts_and_longer_is_a_timeout() {
    let node = Node::new("a");
    let seen = Seen::default();
    let start =
        |slow, timeout| Lab::server(Plan::ready(&seen).slow(ms(slow))).on(&node).timeout(ms(timeout)).start();
    // Both kinds of timers: short ones of their own, and long ones on the coarse clock of calls.
    for timeout in [100, 1000] {
        let lab = start(timeout / 2, timeout).await.unwrap();
        lab.stop().await.unwrap();
        assert_eq!(start(timeout * 2, timeout).await.unwrap_err(), StartError::Timeout);
        assert_eq!(node.process_count(), 0);
    }
    assert_eq!(seen.take(), ["terminate normal", "terminate normal"]);
}

#[tokio::test(start_paused = true)]
async fn gs_005_init_that_stops_fails_the_start_with_its_reason() {
    let node = Node::new("a");
    let seen = Seen::default();
    let start = Lab::server(Plan::new(&seen, |_, _| Ok(Init::Stop(boom())))).on(&node).start();
    assert_eq!(start.await.unwrap_err(), StartError::Failed(boom()));
    assert_eq!(node.process_count(), 0);
}

#[tokio::test(start_paused = true)]
async fn gs_006_a_linked_starter_gets_exactly_the_stop_reason() {
    trapping(&Node::new("a"), |mut me| async move {
        let lab = Lab::start_link(Plan::ready(&Seen::default())).await.unwrap();
        tell(&lab, |_, _| incarnate::stop(ExitReason::term("stopped")));
        assert_eq!(exit_of(&mut me).await, (lab.pid(), ExitReason::term("stopped")));
        quiet(&mut me).await;
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn gs_007_a_monitoring_starter_gets_one_down_with_its_reference() {
    inside(&Node::new("a"), |mut me| async move {
        let (lab, monitor) = Lab::server(Plan::ready(&Seen::default())).start_monitor().await.unwrap();
        lab.stop_with(boom(), ms(1000)).await.unwrap();
        let Some(Info::Down(down)) = me.receive_after(ms(1000)).await else { panic!("no down") };
        assert_eq!((down.reference, down.reason), (monitor, boom()));
        assert_eq!(down.object, lab.pid());
        quiet(&mut me).await;
    })
    .await;
}

/// A registry of the test's own, as `via` has it.
#[derive(Clone, Default)]
pub struct Via(Arc<Mutex<HashMap<&'static str, LabRef>>>);

pub struct Entry(Via, &'static str);

impl Via {
    pub fn enter(&self, name: &'static str) -> impl FnOnce(&LabRef) -> Result<Entry, Pid> + Send + 'static {
        let via = self.clone();
        move |lab| {
            let mut names = via.0.lock().unwrap();
            if let Some(holder) = names.get(name) {
                return Err(holder.pid());
            }
            names.insert(name, lab.clone());
            drop(names);
            Ok(Entry(via, name))
        }
    }

    pub fn whereis(&self, name: &str) -> Option<LabRef> {
        self.0.lock().unwrap().get(name).cloned()
    }
}

impl Drop for Entry {
    fn drop(&mut self) {
        self.0.0.lock().unwrap().remove(self.1);
    }
}

#[tokio::test(start_paused = true)]
async fn gs_008_a_taken_name_is_already_started_in_every_form() {
    let node = Node::new("a");
    trapping(&node, |mut me| async move {
        let (seen, via) = (Seen::default(), Via::default());
        let plan = || Lab::server(Plan::ready(&seen));
        let never = || Lab::server(Plan::new(&seen, |_, _| panic!("init of a second one")));
        let first = plan().name(NAME).register_with(via.enter("x")).start().await.unwrap();
        let taken = Err(StartError::AlreadyStarted(first.pid()));
        assert_eq!(never().name(NAME).start().await.map(drop), taken);
        assert_eq!(never().name(NAME).start_link().await.map(drop), taken);
        assert_eq!(never().name(NAME).start_monitor().await.map(drop), taken);
        assert_eq!(never().register_with(via.enter("x")).start().await.map(drop), taken);
        assert_eq!(never().register_with(via.enter("x")).start_link().await.map(drop), taken);
        assert_eq!(never().register_with(via.enter("x")).start_monitor().await.map(drop), taken);
        // The one name is free, the other is not: neither is taken.
        assert_eq!(never().name(NAME).register_with(via.enter("y")).start().await.map(drop), taken);
        assert!(via.whereis("y").is_none());
        assert_eq!(value(&first).await, Ok(0));
        assert_eq!(me.node().process_count(), 2);
        quiet(&mut me).await;
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn gs_009_a_name_can_be_taken_at_once_after_its_server_ended() {
    let node = Node::new("a");
    let via = Via::default();
    for round in 0..20u32 {
        let plan = Plan::new(&Seen::default(), move |mut lab, _| {
            lab.value = round;
            Ok(Init::Ready(lab))
        });
        let lab = Lab::server(plan).on(&node).name(NAME).register_with(via.enter("x")).start().await.unwrap();
        assert_eq!(value(&NAME.on(&node).unwrap()).await, Ok(round));
        assert_eq!(value(&via.whereis("x").unwrap()).await, Ok(round));
        match round % 3 {
            0 => lab.stop().await.unwrap(),
            1 => tell(&lab, |_, _| Err(Error::exit(boom()))),
            _ => node.exit(lab.pid(), ExitReason::Kill),
        }
        lab.ended().await;
    }
}

#[tokio::test(start_paused = true)]
async fn gs_010_no_start_leaves_a_stray_message() {
    trapping(&Node::new("a"), |mut me| async move {
        let seen = Seen::default();
        let lab = Lab::server(Plan::ready(&seen)).name(NAME).start().await.unwrap();
        let (monitored, monitor) = Lab::server(Plan::ready(&seen)).start_monitor().await.unwrap();
        let plans: [fn(Lab, &mut incarnate::Context<Lab>) -> incarnate::Result<Init<Lab>>; 5] = [
            |_, _| Ok(Init::Ignore),
            |_, _| Ok(Init::Stop(boom())),
            |_, _| Ok(Init::Error(boom())),
            |_, _| Err(Error::exit(boom())),
            |_, cx| {
                cx.exit(cx.pid(), boom());
                Ok(Init::Ignore)
            },
        ];
        for init in plans {
            let plan = || Lab::server(Plan::new(&seen, init));
            assert!(plan().start().await.is_err());
            assert!(plan().start_link().await.is_err());
            assert!(plan().start_monitor().await.is_err());
            assert!(plan().name(NAME).start_link().await.is_err());
        }
        let slow = || Lab::server(Plan::ready(&seen).slow(ms(500))).timeout(ms(100));
        assert!(slow().start_link().await.is_err());
        assert!(slow().start_monitor().await.is_err());
        assert!(me.demonitor_flush(monitor));
        for lab in [lab, monitored] {
            lab.stop().await.unwrap();
        }
        quiet(&mut me).await;
        assert_eq!(me.node().process_count(), 1);
    })
    .await;
}

/// Five starts one after another, each with an exclusive name and an exclusive thing, in each of the forms.
async fn repeated(
    expected: StartError,
    init: impl Fn(Lab) -> incarnate::Result<Init<Lab>> + Clone + Send + Sync + 'static,
) {
    trapping(&Node::new("a"), |mut me| async move {
        let (seen, thing) = (Seen::default(), Arc::new(Mutex::new(false)));
        for form in (0..3).flat_map(|form| [form; 5]) {
            let (init, thing) = (init.clone(), thing.clone());
            let plan = Plan::new(&seen, move |mut lab, _| {
                // Held by the state until it is dropped: a second holder fails.
                let held = Holder::take(&thing).expect("the process before is gone");
                lab.held = Some(held);
                init(lab)
            });
            let start = Lab::server(plan).name(NAME);
            let failed = match form {
                0 => start.start().await.map(drop),
                1 => start.start_link().await.map(drop),
                _ => start.start_monitor().await.map(drop),
            };
            assert_eq!(failed, Err(expected.clone()));
            assert_eq!((me.node().process_count(), me.node().whereis("start")), (1, None));
        }
        assert_eq!(seen.take(), Vec::<String>::new());
        quiet(&mut me).await;
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn gs_029_loop_start_fail_stop() {
    repeated(StartError::Failed(boom()), |_| Ok(Init::Stop(boom()))).await;
    repeated(StartError::Failed(ExitReason::Normal), |_| Ok(Init::Stop(ExitReason::Normal))).await;
    repeated(StartError::Failed(boom()), |_| Ok(Init::Error(boom()))).await;
}

#[tokio::test(start_paused = true)]
async fn gs_030_loop_start_fail_ignore() {
    repeated(StartError::Ignore, |_| Ok(Init::Ignore)).await;
}

#[tokio::test(start_paused = true)]
async fn gs_032_loop_start_fail_error() {
    let reason = Error::from(std::fmt::Error).into_reason();
    assert!(matches!(&reason, ExitReason::Crash(crash) if crash.message() == std::fmt::Error.to_string()));
    repeated(StartError::Failed(reason), |_| Err(std::fmt::Error)?).await;
    let Err(StartError::Failed(ExitReason::Crash(crash))) =
        inside(&Node::new("a"), |_| Lab::start(Plan::new(&Seen::default(), |_, _| panic!("in init"))))
            .await
            .map(drop)
    else {
        panic!("no crash")
    };
    assert_eq!(crash.message(), "in init");
}

#[tokio::test(start_paused = true)]
async fn gs_033_loop_start_fail_exit() {
    repeated(StartError::Failed(boom()), |_| Err(Error::exit(boom()))).await;
}

#[tokio::test(start_paused = true)]
async fn gs_034_loop_start_fail_timeout() {
    trapping(&Node::new("a"), |mut me| async move {
        for form in (0..3).flat_map(|form| [form; 5]) {
            let start =
                Lab::server(Plan::ready(&Seen::default()).slow(ms(600_000))).name(NAME).timeout(ms(20));
            let failed = match form {
                0 => start.start().await.map(drop),
                1 => start.start_link().await.map(drop),
                _ => start.start_monitor().await.map(drop),
            };
            assert_eq!(failed, Err(StartError::Timeout));
            assert_eq!((me.node().process_count(), me.node().whereis("start")), (1, None));
        }
        quiet(&mut me).await;
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn gs_089_a_failed_start_never_leaves_its_name_visible() {
    let node = Node::new("a");
    let via = Via::default();
    for round in 0..100 {
        let plan = Plan::new(&Seen::default(), move |_, _| {
            Ok(if round % 2 == 0 { Init::Ignore } else { Init::Error(boom()) })
        });
        let start = Lab::server(plan).on(&node).name(NAME).register_with(via.enter("x")).start();
        assert!(start.await.is_err());
        assert!(node.whereis("start").is_none() && via.whereis("x").is_none());
    }
}

#[tokio::test(start_paused = true)]
async fn gs_081_spec_init_a_start_returns_when_it_is_acknowledged() {
    trapping(&Node::new("a"), |mut me| async move {
        let seen = Seen::default();
        for name in [false, true] {
            let plan = Plan::new(&seen, |mut lab, cx| {
                cx.init_ack();
                cx.init_ack();
                lab.seen.note("acknowledged");
                lab.value = 7;
                cx.continue_with(then(|_, _| noreply()));
                Ok(Init::Timeout(lab, ms(10)))
            });
            let start = if name { Lab::server(plan).name(NAME) } else { Lab::server(plan) };
            let lab = start.start_link().await.unwrap();
            assert_eq!(value(&lab).await, Ok(7));
            lab.stop_with(ExitReason::term("stopped"), ms(1000)).await.unwrap();
            assert_eq!(exit_of(&mut me).await, (lab.pid(), ExitReason::term("stopped")));
            assert_eq!(seen.take(), ["acknowledged", "continue", "call", "terminate \"stopped\""]);
        }
        quiet(&mut me).await;
    })
    .await;
}

/// Acknowledges, works for a while, and goes on as told.
struct Early;

impl GenServer for Early {
    type Args = fn() -> incarnate::Result<Init<Early>>;
    type Call = incarnate::Never;
    type Cast = incarnate::Never;
    type Info = incarnate::Never;
    type Continue = incarnate::Never;

    async fn init(end: Self::Args, cx: &mut incarnate::Context<Self>) -> incarnate::Result<Init<Self>> {
        cx.init_ack();
        pause(ms(500)).await;
        end()
    }

    async fn handle_call(
        &mut self,
        call: incarnate::Never,
        _: &mut incarnate::Context<Self>,
    ) -> incarnate::Result<incarnate::CallReply> {
        match call {}
    }

    async fn terminate(&mut self, _: &ExitReason, _: &mut incarnate::Context<Self>) -> incarnate::Result<()> {
        panic!("terminate after a failed init")
    }
}

#[tokio::test(start_paused = true)]
async fn gs_081_after_the_acknowledgement_no_timeout_counts_and_a_failure_is_an_exit() {
    trapping(&Node::new("a"), |mut me| async move {
        let ends: [(fn() -> incarnate::Result<Init<Early>>, ExitReason); 4] = [
            (|| Ok(Init::Ignore), ExitReason::Normal),
            (|| Ok(Init::Error(boom())), boom()),
            (|| Ok(Init::Stop(boom())), boom()),
            (|| Err(Error::exit(boom())), boom()),
        ];
        for (end, reason) in ends {
            let early = Early::server(end).timeout(ms(100)).start_link().await.unwrap();
            assert!(early.is_alive());
            assert_eq!(exit_of(&mut me).await, (early.pid(), reason));
        }
        let (early, monitor) = Early::server(|| Ok(Init::Stop(boom()))).start_monitor().await.unwrap();
        let Some(Info::Down(down)) = me.receive_after(ms(1000)).await else { panic!("no down") };
        assert_eq!((down.reference, down.reason), (monitor, boom()));
        assert!(!early.is_alive());
        quiet(&mut me).await;
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn gs_086_a_name_of_another_process_is_refused() {
    let node = Node::new("a");
    let holder = Lab::server(Plan::ready(&Seen::default())).on(&node).name(NAME).start().await.unwrap();
    let plan = Plan::new(&Seen::default(), |lab, cx| {
        cx.register(NAME, &cx.server())?;
        Ok(Init::Ready(lab))
    });
    let Err(StartError::Failed(reason)) = Lab::server(plan).on(&node).start().await.map(drop) else {
        panic!("two have one name")
    };
    assert!(reason.to_string().contains(&RegisterError::Taken(holder.pid()).to_string()), "{reason}");
    assert_eq!(node.whereis("start"), Some(holder.pid()));
}

#[tokio::test(start_paused = true)]
async fn gs_084_terminate_runs_on_stop_whatever_the_parent_is_called() {
    inside(&Node::new("a"), |me| async move {
        me.register(incarnate::Name::new("parent"), &me.as_ref()).unwrap();
        let seen = Seen::default();
        let lab = Lab::start_link(Plan::ready(&seen)).await.unwrap();
        lab.stop().await.unwrap();
        assert_eq!(seen.take(), ["terminate normal"]);
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn pl_005_and_pl_006_start_returns_after_init() {
    inside(&Node::new("a"), |_| async move {
        let seen = Seen::default();
        let slow = || {
            let plan = Plan::new(&seen, |lab, _| {
                lab.seen.note("init");
                Ok(Init::Ready(lab))
            });
            Lab::server(plan.slow(ms(10_000)))
        };
        slow().start().await.unwrap();
        assert_eq!(seen.take(), ["init"]);
        slow().start_link().await.unwrap();
        assert_eq!(seen.take(), ["init"]);
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn pl_010_a_child_that_crashes_before_its_acknowledgement_never_hangs_its_starter() {
    trapping(&Node::new("a"), |mut me| async move {
        let killed = |_, cx: &mut incarnate::Context<Lab>| {
            cx.exit(cx.pid(), ExitReason::Kill);
            Ok(Init::Ignore)
        };
        let plan = || Lab::server(Plan::new(&Seen::default(), killed));
        let gone = Err(StartError::Failed(ExitReason::Killed));
        assert_eq!(plan().start().await.map(drop), gone);
        assert_eq!(plan().start_link().await.map(drop), gone);
        let crash = |_, _: &mut incarnate::Context<Lab>| Err(Error::msg("crash"));
        let plan = || Lab::server(Plan::new(&Seen::default(), crash));
        let gone = Err(StartError::Failed(Error::msg("crash").into_reason()));
        assert_eq!(plan().start().await.map(drop), gone);
        assert_eq!(plan().start_link().await.map(drop), gone);
        quiet(&mut me).await;
    })
    .await;
}

/// How a starter that does not trap exits ends when the start it is linked to fails.
async fn starter_of(init: fn(Lab) -> incarnate::Result<Init<Lab>>) -> ExitReason {
    let node = Node::new("a");
    let starter = node.spawn(move |mut me: incarnate::Process<u32>| async move {
        let plan = Plan::new(&Seen::default(), move |lab, _| init(lab));
        assert!(Lab::start_link(plan).await.is_err());
        quiet(&mut me).await;
    });
    starter.ended().await
}

#[tokio::test(start_paused = true)]
async fn rule_2_6_which_failed_starts_end_a_starter_that_does_not_trap() {
    assert_eq!(starter_of(|_| Ok(Init::Ignore)).await, ExitReason::Normal);
    assert_eq!(starter_of(|_| Ok(Init::Error(boom()))).await, ExitReason::Normal);
    assert_eq!(starter_of(|_| Ok(Init::Stop(boom()))).await, boom());
    assert_eq!(starter_of(|_| Err(Error::exit(boom()))).await, boom());
}

#[tokio::test(start_paused = true)]
async fn a_starter_that_ends_during_init_ends_what_it_starts() {
    let node = Node::new("a");
    let seen = Seen::default();
    let plan = Plan::ready(&seen).slow(ms(1000));
    let starter = node.spawn(move |_: incarnate::Process<u32>| async move {
        let _ = Lab::start_link(plan).await;
    });
    until("two processes", || node.process_count() == 2).await;
    node.exit(starter.pid(), boom());
    assert_eq!(starter.ended().await, boom());
    until("the end of both", || node.process_count() == 0).await;
    assert_eq!(seen.take(), Vec::<String>::new());
}

/// Who waits for a start hears of its failure by the answer; who has given up waiting hears of it by the link.
#[tokio::test(start_paused = true)]
async fn a_start_that_nobody_waits_for_any_more_tells_its_failure_by_the_link() {
    trapping(&Node::new("a"), |mut me| async move {
        let fails = || Plan::new(&Seen::default(), |_, _| Ok(Init::Stop(boom()))).slow(ms(200));
        let abandoned = tokio::time::timeout(ms(50), Lab::start_link(fails())).await;
        assert!(abandoned.is_err());
        assert_eq!(exit_of(&mut me).await.1, boom());
        assert_eq!(Lab::start_link(fails()).await.map(drop), Err(StartError::Failed(boom())));
        quiet(&mut me).await;
    })
    .await;
}
