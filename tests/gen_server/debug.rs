//! sys: what watches a process. Statistics, log, trace, functions of one's own.

use std::ops::ControlFlow;
use std::sync::{Arc, Mutex};

use incarnate::gen_server::Then;
use incarnate::sys::{DebugOptions, Event, EventKind, Log, RequestId, SysError};
use incarnate::{
    CallError, Down, ExitReason, GenServer, Info, Node, Process, StopError, Timeout, noreply, sys,
};
use tracing::Level;

use crate::lab::*;
use crate::reports::Reports;

/// The events that a function has seen, as text.
#[derive(Clone, Default)]
struct Watched(Arc<Mutex<Vec<String>>>);

impl Watched {
    fn see(&self) -> impl FnMut(&Event<'_>) -> ControlFlow<()> + Send + use<> {
        let seen = self.0.clone();
        move |event| {
            seen.lock().unwrap().push(event.kind().to_string());
            ControlFlow::Continue(())
        }
    }

    fn take(&self) -> Vec<String> {
        std::mem::take(&mut *self.0.lock().unwrap())
    }
}

async fn kinds(node: &Node, lab: &LabRef) -> Vec<EventKind> {
    let log = sys::get_log(node, lab, ms(100)).await.unwrap();
    log.iter().map(|entry| entry.kind).collect()
}

#[tokio::test(start_paused = true)]
async fn sys_001_the_log_is_switched_on_read_and_off_without_disturbing_calls() {
    let node = Node::new("a");
    let (lab, _) = lab(&node).await;
    assert_eq!(value(&lab).await, Ok(0));
    assert_eq!(kinds(&node, &lab).await, []);
    sys::log(&node, &lab, Log::On, ms(100)).await.unwrap();
    assert_eq!(value(&lab).await, Ok(0));
    pause(ms(30)).await;
    let log = sys::get_log(&node, &lab, ms(100)).await.unwrap();
    let [call, reply] = &log[..] else { panic!("{log:?}") };
    assert_eq!((call.kind, reply.kind), (EventKind::Call, EventKind::Reply));
    assert!(call.type_name.ends_with("lab::Call") && reply.type_name == "u32", "{log:?}");
    assert!(call.request.is_some() && call.request == reply.request, "{log:?}");
    assert_eq!(call.ago, ms(30));
    assert_eq!(reply.to_string(), "reply u32 (30ms ago)");
    sys::log(&node, &lab, Log::Off, ms(100)).await.unwrap();
    assert_eq!(value(&lab).await, Ok(0));
    assert_eq!(kinds(&node, &lab).await, []);
}

#[tokio::test(start_paused = true)]
async fn sys_001_the_log_keeps_the_newest_events_ten_unless_told() {
    let node = Node::new("a");
    let (lab, _) = lab(&node).await;
    sys::log(&node, &lab, Log::On, ms(100)).await.unwrap();
    for _ in 0..20 {
        lab.cast(Cast::Slow(ms(0)));
    }
    value(&lab).await.unwrap();
    assert_eq!(kinds(&node, &lab).await.len(), 10);
    assert_eq!(sys::log(&node, &lab, Log::Last(0), ms(100)).await, Err(SysError::EmptyLog));
    // A smaller log keeps the newest, a larger one keeps what it has.
    sys::log(&node, &lab, Log::Last(3), ms(100)).await.unwrap();
    let newest = [EventKind::NoReply, EventKind::Call, EventKind::Reply];
    assert_eq!(kinds(&node, &lab).await, newest);
    sys::log(&node, &lab, Log::Last(4), ms(100)).await.unwrap();
    lab.cast(Cast::Slow(ms(0)));
    let newest = [EventKind::Call, EventKind::Reply, EventKind::Cast, EventKind::NoReply];
    assert_eq!(kinds(&node, &lab).await, newest);
}

#[tokio::test(start_paused = true)]
async fn sys_004_trace_reports_what_comes_in_and_what_goes_out() {
    let reports = Reports::record_up_to(Level::INFO);
    let node = Node::new("a");
    let lab = Lab::server(Plan::ready(&Seen::default())).on(&node).name(LabName::new("traced"));
    let lab = lab.start().await.unwrap();
    sys::trace(&node, &lab, true, ms(100)).await.unwrap();
    value(&lab).await.unwrap();
    lab.cast(Cast::Slow(ms(0)));
    // It answers after the cast.
    sys::trace(&node, &lab, false, ms(100)).await.unwrap();
    value(&lab).await.unwrap();
    let traced = reports.take();
    let events: Vec<_> = traced.iter().map(|report| report.field("event")).collect();
    assert_eq!(events, ["call", "reply", "cast", "noreply"]);
    for report in &traced {
        assert_eq!((report.target, report.level), ("incarnate::sys", Level::INFO));
        assert_eq!(report.field("pid"), lab.pid().to_string());
        assert_eq!(report.field("registered_name"), "traced");
    }
    assert!(traced[0].field("message").ends_with("lab::Call"));
    assert_eq!(traced[0].field("request"), traced[1].field("request"));
}

#[tokio::test(start_paused = true)]
async fn sys_006_install_shows_each_event_and_the_message_as_what_it_is() {
    let node = Node::new("a");
    let (lab, _) = lab(&node).await;
    let seen = Arc::new(Mutex::new(Vec::<(EventKind, String)>::new()));
    let (note, pid) = (seen.clone(), lab.pid());
    let function = move |event: &Event<'_>| {
        assert_eq!(event.pid(), pid);
        let message = match event.kind() {
            EventKind::Info | EventKind::Timer | EventKind::Timeout => match event.message() {
                Some(Say::Word(word)) => (*word).to_owned(),
                _ => format!("{:?}", event.message::<()>()),
            },
            EventKind::Reply => event.message::<u32>().unwrap().to_string(),
            EventKind::Down => event.message::<Down>().unwrap().reason.to_string(),
            _ => String::new(),
        };
        note.lock().unwrap().push((event.kind(), message));
        ControlFlow::Continue(())
    };
    assert_eq!(sys::install(&node, &lab, "all", function, ms(100)).await, Ok(true));
    let gone = node.spawn(|_: Process<u32>| async {});
    gone.ended().await;
    ask(&lab, move |to, lab, cx| {
        cx.monitor(&gone);
        cx.continue_with(then(|_, _| noreply()));
        lab.value = 7;
        to.reply(lab.value)
    })
    .await
    .unwrap();
    lab.send(Say::Word("plain"));
    lab.start_timer(ms(1), Say::Word("timer"));
    pause(ms(2)).await;
    tell(&lab, |_, cx| {
        cx.event_timeout(ms(1), Say::Word("timed"));
        noreply()
    });
    pause(ms(2)).await;
    let taken = std::mem::take(&mut *seen.lock().unwrap());
    let seen: Vec<_> = taken.iter().map(|(kind, message)| format!("{kind} {message}")).collect();
    let expected = [
        "call ",
        "reply 7",
        "continue ",
        "noreply ",
        "down noproc",
        "noreply ",
        "info plain",
        "noreply ",
        "timer timer",
        "noreply ",
        "cast ",
        "noreply ",
        "timeout timed",
        "noreply ",
    ];
    assert_eq!(seen, expected);
}

#[tokio::test(start_paused = true)]
async fn sys_006_install_twice_is_as_once_with_ids_several_and_all_can_be_removed() {
    let node = Node::new("a");
    let (lab, _) = lab(&node).await;
    let (first, second, other) = (Watched::default(), Watched::default(), Watched::default());
    assert_eq!(sys::install(&node, &lab, "a", first.see(), ms(100)).await, Ok(true));
    assert_eq!(sys::install(&node, &lab, "a", second.see(), ms(100)).await, Ok(false));
    assert_eq!(sys::install(&node, &lab, "b", other.see(), ms(100)).await, Ok(true));
    assert_eq!(sys::get_status(&node, &lab, ms(100)).await.unwrap().debug, ["function a", "function b"]);
    value(&lab).await.unwrap();
    assert_eq!(first.take(), ["call", "reply"]);
    assert_eq!(second.take(), Vec::<String>::new());
    assert_eq!(other.take(), ["call", "reply"]);
    assert_eq!(sys::remove(&node, &lab, "a", ms(100)).await, Ok(true));
    assert_eq!(sys::remove(&node, &lab, "a", ms(100)).await, Ok(false));
    value(&lab).await.unwrap();
    assert_eq!((first.take().len(), other.take().len()), (0, 2));
    sys::install(&node, &lab, "a", first.see(), ms(100)).await.unwrap();
    sys::statistics(&node, &lab, true, ms(100)).await.unwrap();
    sys::log(&node, &lab, Log::On, ms(100)).await.unwrap();
    sys::trace(&node, &lab, true, ms(100)).await.unwrap();
    sys::no_debug(&node, &lab, ms(100)).await.unwrap();
    assert_eq!(sys::get_status(&node, &lab, ms(100)).await.unwrap().debug, Vec::<String>::new());
    value(&lab).await.unwrap();
    assert_eq!((first.take().len(), other.take().len()), (0, 0));
    assert_eq!(sys::get_statistics(&node, &lab, ms(100)).await, Ok(None));
    assert_eq!(kinds(&node, &lab).await, []);
}

#[tokio::test(start_paused = true)]
async fn sys_006_a_function_ends_itself_and_one_that_panics_is_removed_and_reported() {
    let reports = Reports::record();
    let node = Node::new("a");
    let (lab, _) = lab(&node).await;
    let (once, after) = (Watched::default(), Watched::default());
    let mut see = once.see();
    let function = move |event: &Event<'_>| {
        let _ = see(event);
        ControlFlow::Break(())
    };
    sys::install(&node, &lab, "once", function, ms(100)).await.unwrap();
    sys::install(&node, &lab, "bad", |_| panic!("no function"), ms(100)).await.unwrap();
    sys::install(&node, &lab, "after", after.see(), ms(100)).await.unwrap();
    assert_eq!(value(&lab).await, Ok(0));
    assert_eq!(once.take(), ["call"]);
    assert_eq!(after.take(), ["call", "reply"]);
    assert_eq!(sys::get_status(&node, &lab, ms(100)).await.unwrap().debug, ["function after"]);
    let reports = reports.take();
    let [report] = &reports[..] else { panic!("{reports:?}") };
    assert_eq!((report.target, report.field("id")), ("incarnate::sys", "bad"));
    assert!(report.field("reason").contains("no function"), "{report:?}");
}

/// A function's own doings go by unseen: it would see itself without end.
#[tokio::test(start_paused = true)]
async fn sys_006_what_a_function_does_is_no_event() {
    let node = Node::new("a");
    let (lab, _) = lab(&node).await;
    let watched = Watched::default();
    let (mut see, itself) = (watched.see(), lab.clone());
    let function = move |event: &Event<'_>| {
        if event.kind() == EventKind::Call {
            itself.cast(Cast::Slow(ms(0)));
        }
        see(event)
    };
    sys::install(&node, &lab, "busy", function, ms(100)).await.unwrap();
    value(&lab).await.unwrap();
    sys::remove(&node, &lab, "busy", ms(100)).await.unwrap();
    assert_eq!(watched.take(), ["call", "reply", "cast", "noreply"]);
    assert_eq!(value(&lab).await, Ok(0));
}

#[tokio::test(start_paused = true)]
async fn sys_007_statistics_of_a_server() {
    let node = Node::new("a");
    let (lab, _) = lab(&node).await;
    assert_eq!(sys::get_statistics(&node, &lab, ms(100)).await, Ok(None));
    sys::statistics(&node, &lab, true, ms(100)).await.unwrap();
    value(&lab).await.unwrap();
    lab.cast(Cast::Slow(ms(0)));
    let late = lab.call_timeout(|to| Call::Slow(to, ms(60)), ms(50)).await;
    assert_eq!(late, Err(CallError::Timeout));
    pause(ms(20)).await;
    // Twice on goes on counting.
    sys::statistics(&node, &lab, true, ms(100)).await.unwrap();
    let counted = sys::get_statistics(&node, &lab, ms(100)).await.unwrap().unwrap();
    // An answer that comes too late is one that was sent.
    assert_eq!((counted.messages_in, counted.messages_out), (3, 2));
    assert_eq!(counted.elapsed, ms(70));
    sys::statistics(&node, &lab, false, ms(100)).await.unwrap();
    assert_eq!(sys::get_statistics(&node, &lab, ms(100)).await, Ok(None));
}

#[tokio::test(start_paused = true)]
async fn sys_007_a_plain_process_is_counted_logged_traced_and_watched() {
    let reports = Reports::record_up_to(Level::INFO);
    let node = Node::new("a");
    let special = node.spawn(|mut me: Process<incarnate::ReplyTo<u32>>| async move {
        while let Info::User(to) = me.receive().await {
            to.send(5);
        }
    });
    let watched = Watched::default();
    sys::statistics(&node, &special, true, ms(100)).await.unwrap();
    sys::log(&node, &special, Log::On, ms(100)).await.unwrap();
    sys::trace(&node, &special, true, ms(100)).await.unwrap();
    sys::install(&node, &special, "mine", watched.see(), ms(100)).await.unwrap();
    assert_eq!(special.ask_info(|to| to, ms(100)).await, Ok(5));
    let counted = sys::get_statistics(&node, &special, ms(100)).await.unwrap().unwrap();
    assert_eq!((counted.messages_in, counted.messages_out), (1, 1));
    let log = sys::get_log(&node, &special, ms(100)).await.unwrap();
    let requests: Vec<(EventKind, Option<RequestId>)> = log.iter().map(|e| (e.kind, e.request)).collect();
    assert_eq!(requests, [(EventKind::Info, log[0].request), (EventKind::Reply, log[0].request)]);
    assert!(log[0].request.is_some());
    assert_eq!(watched.take(), ["info", "reply"]);
    assert_eq!(reports.targets(), ["sys", "sys"]);
    assert_eq!(sys::get_state(&node, &special, |(): &()| 3, ms(100)).await, Ok(3));
    assert_eq!(sys::replace_state(&node, &special, |(): &()| (), ms(100)).await, Ok(()));
}

#[tokio::test(start_paused = true)]
async fn rule_2_13_3_what_watches_can_be_asked_for_while_suspended() {
    let node = Node::new("a");
    let (lab, _) = lab(&node).await;
    sys::suspend(&node, &lab, ms(100)).await.unwrap();
    sys::statistics(&node, &lab, true, ms(100)).await.unwrap();
    sys::log(&node, &lab, Log::On, ms(100)).await.unwrap();
    lab.cast(Cast::Slow(ms(0)));
    let counted = sys::get_statistics(&node, &lab, ms(100)).await.unwrap().unwrap();
    assert_eq!(counted.messages_in, 0);
    assert_eq!(kinds(&node, &lab).await, []);
    sys::resume(&node, &lab, ms(100)).await.unwrap();
    value(&lab).await.unwrap();
    assert_eq!(kinds(&node, &lab).await.len(), 4);
}

#[tokio::test(start_paused = true)]
async fn sys_010_and_rule_2_13_12_terminate_suspended_or_not_by_pid_and_by_name() {
    let node = Node::new("a");
    const NAME: LabName = LabName::new("terminated");
    for suspended in [false, true] {
        let seen = Seen::default();
        let lab = Lab::server(Plan::ready(&seen)).on(&node).name(NAME).start().await.unwrap();
        if suspended {
            sys::suspend(&node, NAME, ms(100)).await.unwrap();
        }
        let monitor = inside(&node, {
            let lab = lab.clone();
            |mut me| async move {
                me.monitor(&lab);
                let told = sys::terminate(me.node(), NAME, ExitReason::Normal, Timeout::default()).await;
                assert_eq!(told, Ok(()));
                let Info::Down(down) = me.receive().await else { panic!("no DOWN") };
                (down.reason, me.node().whereis("terminated"))
            }
        });
        assert_eq!(monitor.await, (ExitReason::Normal, None));
        assert_eq!(seen.take(), ["terminate normal"]);
        assert_eq!(sys::terminate(&node, &lab, boom(), ms(100)).await, Err(SysError::NoProc));
        assert_eq!(lab.stop().await, Err(StopError::NoProc));
    }
    let special =
        node.spawn(|mut me: Process<u32>| async move { while let Info::User(_) = me.receive().await {} });
    let ended = special.ended();
    let terminated = sys::terminate(&node, special.pid(), boom(), ms(100));
    assert_eq!(tokio::join!(ended, terminated), (boom(), Ok(())));
}

#[tokio::test(start_paused = true)]
async fn what_watches_survives_hibernation() {
    let node = Node::new("a");
    let (lab, _) = lab(&node).await;
    let watched = Watched::default();
    sys::install(&node, &lab, "a", watched.see(), ms(100)).await.unwrap();
    sys::statistics(&node, &lab, true, ms(100)).await.unwrap();
    for _ in 0..2 {
        ask(&lab, |to, lab, _| to.reply(lab.value).hibernate()).await.unwrap();
        hibernates(&lab).await;
        assert_eq!(watched.take(), ["call", "reply"]);
    }
    assert_eq!(sys::get_statistics(&node, &lab, ms(100)).await.unwrap().unwrap().messages_in, 2);
}

#[tokio::test(start_paused = true)]
async fn debug_options_watch_from_the_first_message_on() {
    let node = Node::new("a");
    let (watched, second) = (Watched::default(), Watched::default());
    let options = DebugOptions::new()
        .statistics()
        .log(Log::Last(2))
        .install("mine", watched.see())
        .install("mine", second.see());
    assert_eq!(format!("{options:?}"), r#"["statistics", "log of 2", "function mine"]"#);
    let plan = Plan::new(&Seen::default(), |lab, cx| {
        cx.continue_with(then(|_, _| noreply()));
        Ok(incarnate::Init::Ready(lab))
    });
    let lab = Lab::server(plan).debug(options).on(&node).start().await.unwrap();
    value(&lab).await.unwrap();
    assert_eq!(watched.take(), ["continue", "noreply", "call", "reply"]);
    assert_eq!(second.take(), Vec::<String>::new());
    assert_eq!(kinds(&node, &lab).await, [EventKind::Call, EventKind::Reply]);
    let counted = sys::get_statistics(&node, &lab, ms(100)).await.unwrap().unwrap();
    assert_eq!((counted.messages_in, counted.messages_out), (1, 1));
}

#[tokio::test(start_paused = true)]
async fn a_request_that_is_answered_later_is_no_reply_first() {
    let node = Node::new("a");
    let (lab, _) = lab(&node).await;
    let watched = Watched::default();
    sys::install(&node, &lab, "a", watched.see(), ms(100)).await.unwrap();
    let asked = lab.send_request(|to| {
        let keep = |to, lab: &mut Lab, _: &mut _| {
            lab.kept.push(to);
            noreply()
        };
        Call::Do(to, Box::new(keep))
    });
    tell(&lab, |lab, _| {
        lab.kept.pop().unwrap().send(9);
        noreply()
    });
    assert_eq!(asked.receive(ms(100)).await, Ok(9));
    // Another process answers for it: that is no event of this one.
    let elsewhere = ask(&lab, |to, _, cx| {
        cx.spawn(|_: Process<u32>| async move {
            to.send(1);
        });
        noreply()
    });
    assert_eq!(elsewhere.await, Ok(1));
    assert_eq!(watched.take(), ["call", "noreply", "cast", "reply", "noreply", "call", "noreply"]);
}

#[tokio::test(start_paused = true)]
async fn a_crash_report_has_the_log() {
    let reports = Reports::record();
    let node = Node::new("a");
    let options = DebugOptions::new().log(Log::On);
    let lab = Lab::server(Plan::ready(&Seen::default())).debug(options).on(&node).start().await.unwrap();
    say(&lab, |_, _| incarnate::stop(boom()));
    assert_eq!(lab.ended().await, boom());
    let reports = reports.take();
    assert!(reports[0].field("log").contains("Info"), "{reports:?}");
}

#[tokio::test(start_paused = true)]
async fn the_functions_of_a_process_that_ends_are_dropped_before_anybody_hears_of_it() {
    let node = Node::new("a");
    let (lab, _) = lab(&node).await;
    let held = Arc::new(Mutex::new(false));
    let holder = Holder::take(&held).unwrap();
    let function = move |_: &Event<'_>| {
        let _held = &holder;
        ControlFlow::Continue(())
    };
    sys::install(&node, &lab, "holds", function, ms(100)).await.unwrap();
    assert!(*held.lock().unwrap());
    lab.stop().await.unwrap();
    assert!(!*held.lock().unwrap());
}

#[tokio::test(start_paused = true)]
async fn rule_2_13_11_the_exit_of_the_parent_ends_a_suspended_plain_process() {
    let node = Node::new("a");
    let (tell_child, child) = tokio::sync::oneshot::channel();
    let parent = node.spawn(|mut me: Process<u32>| async move {
        let child = me.spawn_link(|mut me: Process<u32>| async move {
            me.trap_exit(true);
            let _ = me.receive().await;
        });
        let _ = tell_child.send(child);
        let _ = me.receive().await;
        boom()
    });
    let child = child.await.unwrap();
    sys::suspend(&node, &child, ms(100)).await.unwrap();
    let ended = child.ended();
    parent.send(0);
    assert_eq!(ended.await, boom());
}
