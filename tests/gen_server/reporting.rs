//! What is reported, and what a formatter hides.

use incarnate::gen_server::Status;
use incarnate::{CallError, Error, ExitReason, GenServer, Init, Node, Process, stop, sys};

use crate::lab::*;
use crate::reports::Reports;

const NAME: LabName = LabName::new("reported");

#[tokio::test(start_paused = true)]
async fn gs_025_an_exit_with_shutdown_is_silent() {
    let reports = Reports::record();
    let reason = ExitReason::shutdown_with(&"done");
    let expected = reason.clone();
    trapping(&Node::new("a"), |mut me| async move {
        let lab = Lab::start_link(Plan::ready(&Seen::default())).await.unwrap();
        let sent = reason.clone();
        let answer = ask(&lab, |_, _, _| Err(Error::exit(sent))).await;
        assert_eq!(answer, Err(CallError::Exit(reason.clone())));
        assert_eq!(exit_of(&mut me).await, (lab.pid(), expected));
    })
    .await;
    assert_eq!(reports.targets(), Vec::<&str>::new());
}

#[tokio::test(start_paused = true)]
async fn gs_026_a_stop_with_shutdown_is_silent() {
    let reports = Reports::record();
    let reason = ExitReason::shutdown_with(&"done");
    trapping(&Node::new("a"), |mut me| async move {
        let lab = Lab::start_link(Plan::ready(&Seen::default())).await.unwrap();
        let sent = reason.clone();
        assert_eq!(ask(&lab, |_, _, _| stop(sent)).await, Err(CallError::Exit(reason.clone())));
        assert_eq!(exit_of(&mut me).await, (lab.pid(), reason));
    })
    .await;
    assert_eq!(reports.targets(), Vec::<&str>::new());
}

#[tokio::test(start_paused = true)]
async fn gs_028_a_crash_is_reported_by_the_server_and_by_its_process() {
    let reports = Reports::record();
    let node = Node::new("a");
    let seen = Seen::default();
    let lab = Lab::server(Plan::ready(&seen)).on(&node).name(NAME).label("mine").start().await.unwrap();
    let answer = ask(&lab, |_, lab, _| {
        lab.value = 4;
        Err(Error::exit(boom()))
    });
    assert_eq!(answer.await, Err(CallError::Exit(boom())));
    let reports = reports.take();
    let [server, process] = &reports[..] else { panic!("not two reports: {reports:#?}") };
    assert_eq!((server.target, process.target), ("incarnate::gen_server", "incarnate::crash_report"));
    assert_eq!((server.level, process.level), (tracing::Level::ERROR, tracing::Level::ERROR));
    for report in [server, process] {
        assert_eq!(report.field("pid"), lab.pid().to_string());
        assert_eq!(report.field("reason"), "\"boom\"");
        assert!(report.field("registered_name").contains("reported"));
        assert!(report.field("label").contains("mine"));
    }
    assert_eq!(server.field("state"), "value 4");
    assert_eq!(server.field("last_message"), "handle_call");
    assert!(server.field("server").ends_with("Lab"));
    assert!(process.field("initial_call").ends_with("Lab"));
    assert_eq!(process.field("messages_handled"), "1");
}

#[tokio::test(start_paused = true)]
async fn gs_028_each_kind_of_last_message_is_named() {
    let node = Node::new("a");
    for kind in ["handle_cast", "handle_info", "handle_continue", ""] {
        let reports = Reports::record();
        let (lab, _) = lab(&node).await;
        match kind {
            "handle_cast" => tell(&lab, |_, _| panic!("crash")),
            "handle_info" => say(&lab, |_, _| stop(boom())),
            "handle_continue" => tell(&lab, |_, cx| {
                cx.continue_with(then(|_, _| Err(Error::msg("crash"))));
                incarnate::noreply()
            }),
            _ => lab.stop_with(boom(), ms(1000)).await.unwrap(),
        }
        lab.ended().await;
        let reports = reports.take();
        assert_eq!(reports.len(), 2, "{reports:#?}");
        assert_eq!(reports[0].field("last_message"), kind);
    }
}

#[tokio::test(start_paused = true)]
async fn gs_091_a_crash_report_shows_what_the_formatter_shows() {
    let reports = Reports::record();
    let plan = Plan::ready(&Seen::default()).format(|view| view.show("nothing to see"));
    let lab = Lab::server(plan).on(&Node::new("a")).start().await.unwrap();
    tell(&lab, |_, _| stop(boom()));
    lab.ended().await;
    assert_eq!(reports.take()[0].field("state"), "nothing to see");
}

#[tokio::test(start_paused = true)]
async fn gs_092_a_terminate_that_crashes_reports_the_message_and_the_new_reason() {
    let reports = Reports::record();
    let plan =
        Plan::ready(&Seen::default()).end(|_| Err(Error::exit(ExitReason::term(&("crash", "terminate")))));
    let lab = Lab::server(plan).on(&Node::new("a")).start().await.unwrap();
    let expected = ExitReason::term(&("crash", "terminate"));
    assert_eq!(ask(&lab, |_, _, _| stop(boom())).await, Err(CallError::Exit(expected.clone())));
    let reports = reports.take();
    let [server, process] = &reports[..] else { panic!("not two reports: {reports:#?}") };
    assert_eq!(server.field("last_message"), "handle_call");
    assert_eq!(server.field("reason"), expected.to_string());
    assert_eq!(process.field("reason"), expected.to_string());
}

#[tokio::test(start_paused = true)]
async fn gs_092_a_terminate_that_crashes_makes_an_orderly_end_a_reported_one() {
    let reports = Reports::record();
    let plan = Plan::ready(&Seen::default()).end(|_| panic!("in terminate"));
    let lab = Lab::server(plan).on(&Node::new("a")).start().await.unwrap();
    assert!(lab.stop().await.is_err());
    assert_eq!(reports.targets(), ["gen_server", "crash_report"]);
}

#[tokio::test(start_paused = true)]
async fn gs_090_get_status_shows_what_the_formatter_shows() {
    trapping(&Node::new("a"), |me| async move {
        let node = me.node().clone();
        let lab = Lab::server(Plan::ready(&Seen::default())).name(NAME).start_link().await.unwrap();
        let status = sys::get_status(&node, NAME, ms(1000)).await.unwrap();
        assert_eq!(status.state, "value 0");
        assert!(status.is_running());
        assert_eq!((status.process.pid, status.process.name), (lab.pid(), Some("reported")));
        assert_eq!(status.process.parent, Some(me.pid()));
        sys::suspend(&node, &lab, ms(1000)).await.unwrap();
        lab.cast(Cast::Slow(ms(0)));
        let status = sys::get_status(&node, lab.pid(), ms(1000)).await.unwrap();
        assert!(!status.is_running());
        assert_eq!(status.process.mailbox_len, 1);
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn gs_093_a_formatter_that_crashes_hides_the_state_and_changes_nothing_else() {
    let reports = Reports::record();
    let node = Node::new("a");
    let plan = Plan::ready(&Seen::default()).format(|view| panic!("cannot format {}", view.state.value));
    let lab = Lab::server(plan).on(&node).start().await.unwrap();
    let status = sys::get_status(&node, &lab, ms(1000)).await.unwrap();
    assert!(status.state.contains("format_status crashed"), "{}", status.state);
    assert_eq!(value(&lab).await, Ok(0));
    assert_eq!(ask(&lab, |_, _, _| stop(boom())).await, Err(CallError::Exit(boom())));
    let reports = reports.take();
    assert_eq!(reports.len(), 2);
    assert!(reports[0].field("state").contains("format_status crashed"));
    assert_eq!(reports[0].field("reason"), "\"boom\"");
}

#[tokio::test(start_paused = true)]
async fn gs_095_a_formatter_rewrites_state_message_and_reason() {
    let reports = Reports::record();
    let node = Node::new("a");
    let plan = Plan::ready(&Seen::default()).format(|view| {
        assert_eq!(view.message.is_some(), view.reason.is_some());
        Status::new("new state").message("new message").reason("new reason")
    });
    let lab = Lab::server(plan).on(&node).start().await.unwrap();
    assert_eq!(sys::get_status(&node, &lab, ms(1000)).await.unwrap().state, "new state");
    tell(&lab, |_, _| stop(boom()));
    lab.ended().await;
    let reports = reports.take();
    for (name, text) in [("state", "new state"), ("last_message", "new message"), ("reason", "new reason")] {
        assert_eq!(reports[0].field(name), text);
    }
    // What the process itself reports is not the formatter's.
    assert_eq!(reports[1].field("reason"), "\"boom\"");
}

#[tokio::test(start_paused = true)]
async fn pl_001_orderly_ends_are_silent() {
    let reports = Reports::record();
    let node = Node::new("a");
    for reason in [ExitReason::Normal, ExitReason::Shutdown, ExitReason::shutdown_with(&1)] {
        let (lab, _) = lab(&node).await;
        lab.stop_with(reason.clone(), ms(1000)).await.unwrap();
        let sent = reason.clone();
        node.spawn(|_: Process<u32>| async move { sent }).ended().await;
        let plan = Plan::new(&Seen::default(), |_, _| Ok(Init::Stop(reason)));
        assert!(Lab::server(plan).on(&node).start().await.is_err());
    }
    assert_eq!(reports.targets(), Vec::<&str>::new());
}

/// A start that fails with an error is silent, one that stops or crashes is reported by its process alone.
#[tokio::test(start_paused = true)]
async fn rule_2_18_4_a_failed_start_is_reported_once_or_not_at_all() {
    let node = Node::new("a");
    let inits: [(fn() -> incarnate::Result<Init<Lab>>, &[&str]); 5] = [
        (|| Ok(Init::Ignore), &[]),
        (|| Ok(Init::Error(boom())), &[]),
        (|| Ok(Init::Stop(boom())), &["crash_report"]),
        (|| Err(Error::msg("crash")), &["crash_report"]),
        (|| panic!("crash"), &["crash_report"]),
    ];
    for (init, expected) in inits {
        let reports = Reports::record();
        assert!(
            Lab::server(Plan::new(&Seen::default(), move |_, _| init())).on(&node).start().await.is_err()
        );
        assert_eq!(reports.targets(), expected);
    }
}

#[tokio::test(start_paused = true)]
async fn a_process_that_a_signal_ends_reports_nothing() {
    let reports = Reports::record();
    let node = Node::new("a");
    for reason in [ExitReason::Kill, boom()] {
        let (lab, _) = lab(&node).await;
        node.exit(lab.pid(), reason);
        lab.ended().await;
    }
    assert_eq!(reports.targets(), Vec::<&str>::new());
}

#[tokio::test(start_paused = true)]
async fn pl_002_a_crash_report_names_parent_and_links() {
    let reports = Reports::record();
    let (parent, lab) = trapping(&Node::new("a"), |mut me| async move {
        let lab = Lab::start_link(Plan::ready(&Seen::default())).await.unwrap();
        tell(&lab, |_, _| Err(std::fmt::Error)?);
        exit_of(&mut me).await;
        (me.pid(), lab.pid())
    })
    .await;
    let reports = reports.take();
    assert_eq!(reports.len(), 2);
    assert_eq!(reports[1].field("pid"), lab.to_string());
    assert_eq!(reports[1].field("reason"), Error::from(std::fmt::Error).into_reason().to_string());
    assert!(reports[1].field("parent").contains(&parent.to_string()));
    assert!(reports[1].field("links").contains(&parent.to_string()));
    assert_eq!(reports[1].field("ancestors"), format!("[{parent}]"));
    assert_eq!(reports[1].field("trap_exit"), "false");
    assert_eq!(reports[1].field("message_queue_len"), "0");
    assert_eq!(reports[1].field("class"), "error");
}

#[tokio::test(start_paused = true)]
async fn pl_004_what_a_link_sees_of_an_error_an_exit_and_a_panic() {
    trapping(&Node::new("a"), |mut me| async move {
        let crashes: [(fn() -> incarnate::Result<incarnate::Next>, bool); 3] = [
            (|| Err(std::fmt::Error)?, true),
            (|| Err(Error::exit(boom())), false),
            (|| panic!("thrown"), true),
        ];
        for (crash, wrapped) in crashes {
            let lab = Lab::start_link(Plan::ready(&Seen::default())).await.unwrap();
            tell(&lab, move |_, _| crash());
            let (_, reason) = exit_of(&mut me).await;
            assert_eq!(matches!(reason, ExitReason::Crash(_)), wrapped, "{reason}");
        }
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_crash_report_has_the_class_of_the_end_and_the_ancestors_that_live() {
    let crashes: [(fn() -> incarnate::Result<incarnate::Next>, &str); 3] = [
        (|| Err(std::fmt::Error)?, "error"),
        (|| Err(Error::exit(boom())), "exit"),
        (|| panic!("thrown"), "panic"),
    ];
    for (crash, class) in crashes {
        let reports = Reports::record();
        let node = Node::new("a");
        let (grandparent, parent, lab) = trapping(&node, move |me| async move {
            let grandparent = me.pid();
            let (tell_it, told) = tokio::sync::oneshot::channel();
            me.spawn(move |mut me: Process<()>| async move {
                let plan = Plan::trapping(&Seen::default());
                let _ = tell_it.send((grandparent, me.pid(), Lab::start(plan).await.unwrap()));
                me.receive().await;
            });
            let (grandparent, parent, lab) = told.await.unwrap();
            tell(&lab, move |_, _| crash());
            lab.send(Say::Word("waits"));
            lab.ended().await;
            (grandparent, parent, lab)
        })
        .await;
        let reports = reports.take();
        let report = reports.last().unwrap();
        assert_eq!(
            (report.target, report.field("pid")),
            ("incarnate::crash_report", &*lab.pid().to_string())
        );
        assert_eq!(report.field("class"), class);
        assert_eq!(report.field("ancestors"), format!("[{parent}, {grandparent}]"));
        assert_eq!((report.field("trap_exit"), report.field("message_queue_len")), ("true", "1"));
    }
}
