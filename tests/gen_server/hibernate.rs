//! Hibernation: really gives the shell back, and changes nothing else.

use incarnate::process::Callback;
use incarnate::{
    Context, Error, ExitReason, GenServer, Init, Name, Node, Process, ReplyTo, Then, noreply, sys,
};

use crate::lab::*;

const NAME: LabName = LabName::new("hibernate");

fn sleepy(seen: &Seen) -> Plan {
    Plan::new(seen, |lab, _| Ok(Init::Hibernate(lab)))
}

#[tokio::test(start_paused = true)]
async fn gs_087_hibernate_by_every_return_and_wake_by_every_message() {
    let node = Node::new("a");
    let seen = Seen::default();
    let lab = Lab::server(sleepy(&seen)).on(&node).start().await.unwrap();
    hibernates(&lab).await;
    // A call that hibernates again, with and without its answer.
    assert_eq!(ask(&lab, |to, _, _| to.reply(1).hibernate()).await, Ok(1));
    hibernates(&lab).await;
    let late = ask(&lab, |to, lab, _| {
        lab.kept.push(to);
        noreply().hibernate()
    });
    let waker = async {
        hibernates(&lab).await;
        tell(&lab, |lab, _| {
            let to = lab.kept.pop().unwrap();
            assert!(to.is_awaited() && to.send(2));
            noreply().hibernate()
        });
    };
    assert_eq!(tokio::join!(late, waker).0, Ok(2));
    hibernates(&lab).await;
    say(&lab, |_, _| noreply().hibernate());
    until("info", || seen.len() == 4).await;
    hibernates(&lab).await;
    tell(&lab, |_, cx| {
        cx.continue_with(then(|_, _| noreply().hibernate()));
        noreply()
    });
    until("continue", || seen.len() == 6).await;
    hibernates(&lab).await;
    assert_eq!(value(&lab).await, Ok(0));
    assert!(!is_hibernated(&lab));
    assert_eq!(seen.take(), ["call", "call", "cast", "info", "cast", "continue", "call"]);
}

#[tokio::test(start_paused = true)]
async fn gs_087_suspend_and_resume_leave_it_hibernated() {
    let node = Node::new("a");
    let seen = Seen::default();
    let lab = Lab::server(sleepy(&seen)).on(&node).start().await.unwrap();
    hibernates(&lab).await;
    sys::suspend(&node, &lab, ms(100)).await.unwrap();
    hibernates(&lab).await;
    assert!(look(&lab).suspended);
    assert_eq!(sys::get_status(&node, &lab, ms(100)).await.unwrap().state, "value 0");
    hibernates(&lab).await;
    // A message waits, and comes when it is resumed.
    lab.cast(Cast::Slow(ms(0)));
    pause(ms(10)).await;
    assert_eq!(seen.take(), Vec::<String>::new());
    sys::suspend(&node, &lab, ms(100)).await.unwrap();
    assert_eq!(seen.take(), Vec::<String>::new());
    sys::resume(&node, &lab, ms(100)).await.unwrap();
    until("the cast", || seen.len() == 1).await;
    assert!(!look(&lab).suspended);
}

#[tokio::test(start_paused = true)]
async fn gs_087_resumed_with_nothing_waiting_it_stays_hibernated() {
    let node = Node::new("a");
    let lab = Lab::server(sleepy(&Seen::default())).on(&node).start().await.unwrap();
    sys::suspend(&node, &lab, ms(100)).await.unwrap();
    sys::resume(&node, &lab, ms(100)).await.unwrap();
    hibernates(&lab).await;
    assert!(!look(&lab).suspended);
    assert_eq!(value(&lab).await, Ok(0));
}

#[tokio::test(start_paused = true)]
async fn a_suspended_and_hibernated_server_obeys_stop_kill_and_its_parent() {
    for end in ["stop", "kill", "parent"] {
        let node = Node::new("a");
        let seen = Seen::default();
        let plan = Plan::new(&seen, |lab, cx| {
            cx.trap_exit(true);
            Ok(Init::Hibernate(lab))
        });
        let (tell_child, child) = tokio::sync::oneshot::channel();
        let parent = node.spawn(|mut me: Process<u32>| async move {
            let _ = tell_child.send(Lab::start_link(plan).await.unwrap());
            let _ = me.receive().await;
            boom()
        });
        let lab = child.await.unwrap();
        sys::suspend(&node, &lab, ms(100)).await.unwrap();
        hibernates(&lab).await;
        let expected = match end {
            "stop" => {
                lab.stop().await.unwrap();
                vec!["terminate normal"]
            }
            "kill" => {
                node.exit(lab.pid(), ExitReason::Kill);
                assert_eq!(lab.ended().await, ExitReason::Killed);
                vec![]
            }
            _ => {
                parent.send(0);
                assert_eq!(lab.ended().await, boom());
                vec!["terminate \"boom\""]
            }
        };
        assert_eq!(seen.take(), expected, "{end}");
    }
}

#[tokio::test(start_paused = true)]
async fn gs_088_hibernate_after() {
    let node = Node::new("a");
    let seen = Seen::default();
    let lab = Lab::server(Plan::ready(&seen)).on(&node).hibernate_after(ms(100)).start().await.unwrap();
    for wake in ["call", "cast", "info", "timer"] {
        pause(ms(90)).await;
        assert!(!is_hibernated(&lab), "{wake}");
        pause(ms(15)).await;
        assert!(is_hibernated(&lab), "{wake}");
        sys::get_state(&node, &lab, |_: &Lab| (), ms(100)).await.unwrap();
        hibernates(&lab).await;
        match wake {
            "call" => drop(value(&lab).await),
            "cast" => lab.cast(Cast::Slow(ms(0))),
            "info" => lab.send(Say::Word("x")),
            _ => drop(lab.start_timer(ms(0), Say::Word("x"))),
        }
        until("its waking", || seen.len() == 1).await;
        seen.take();
        until("its wait", || look(&lab).callback == Callback::Waiting).await;
    }
}

#[tokio::test(start_paused = true)]
async fn gs_088_a_timeout_that_was_asked_for_keeps_it_awake() {
    let node = Node::new("a");
    let seen = Seen::default();
    let lab = Lab::server(Plan::ready(&seen)).on(&node).hibernate_after(ms(10)).start().await.unwrap();
    tell(&lab, |_, _| noreply().timeout(ms(100)));
    pause(ms(50)).await;
    assert!(!is_hibernated(&lab));
    pause(ms(55)).await;
    assert_eq!(seen.take(), ["cast", "timeout"]);
    pause(ms(15)).await;
    assert!(is_hibernated(&lab));
}

#[tokio::test(start_paused = true)]
async fn everything_wakes_a_hibernated_server() {
    let node = Node::new("a");
    let seen = Seen::default();
    let plan = Plan::new(&seen, |lab, cx| {
        cx.trap_exit(true);
        Ok(Init::Hibernate(lab))
    });
    let lab = Lab::server(plan).on(&node).start().await.unwrap();
    let hibernate = || async {
        tell(&lab, |_, _| noreply().hibernate());
        until("the cast", || seen.len() == 1).await;
        hibernates(&lab).await;
        seen.take();
    };
    let other = node.spawn(|mut me: Process<u32>| async move {
        let _ = me.receive().await;
        boom()
    });
    let (linked, monitored) = (other.clone(), other.clone());
    ask(&lab, move |to, lab, cx| {
        cx.link(&linked)?;
        cx.monitor(&monitored);
        to.reply(lab.value)
    })
    .await
    .unwrap();
    seen.take();
    hibernate().await;
    other.send(0);
    until("an exit and a down", || seen.len() == 2).await;
    let mut woken = seen.take();
    woken.sort_unstable();
    assert_eq!(woken, ["down \"boom\"", "exit \"boom\""]);
    hibernate().await;
    lab.send_after(ms(10), Say::Word("after"));
    lab.start_timer(ms(20), Say::Word("timer"));
    pause(ms(30)).await;
    assert_eq!(seen.take(), ["info after", "timer timer"]);
    hibernate().await;
    node.exit(lab.pid(), ExitReason::Kill);
    assert_eq!(lab.ended().await, ExitReason::Killed);
}

#[tokio::test(start_paused = true)]
async fn what_a_process_has_lives_on_while_it_hibernates() {
    trapping(&Node::new("a"), |mut me| async move {
        let node = me.node().clone();
        let seen = Seen::default();
        let lab = Lab::server(sleepy(&seen)).name(NAME).label("mine").start_link().await.unwrap();
        let monitor = me.monitor(&lab);
        let pid = lab.pid();
        hibernates(&lab).await;
        let info = look(&lab);
        assert_eq!((info.pid, info.name, info.parent), (pid, Some("hibernate"), Some(me.pid())));
        assert_eq!((info.links, info.monitored_by), (vec![me.pid()], vec![me.pid()]));
        assert_eq!(node.whereis("hibernate"), Some(pid));
        assert!(lab.is_alive());
        assert_eq!(value(&NAME.on(&node).unwrap()).await, Ok(0));
        assert_eq!(look(&lab).callback, Callback::Waiting);
        tell(&lab, |_, _| noreply().hibernate());
        hibernates(&lab).await;
        lab.stop_with(boom(), ms(100)).await.unwrap();
        assert_eq!(exit_of(&mut me).await, (pid, boom()));
        let Some(incarnate::Info::Down(down)) = me.receive_after(ms(10)).await else { panic!("no down") };
        assert_eq!(down.reference, monitor);
        let _ = Name::<incarnate::Never>::new("hibernate");
    })
    .await;
}

/// As many as no pool of shells could hold: their tasks are gone.
#[tokio::test(start_paused = true)]
async fn a_server_that_is_new_or_hibernates_has_no_task() {
    const MANY: usize = 5000;
    let node = Node::new("a");
    let tasks = || tokio::runtime::Handle::current().metrics().num_alive_tasks();
    let seen = Seen::default();
    let mut labs = Vec::new();
    for _ in 0..MANY {
        labs.push(Lab::server(Plan::ready(&seen)).on(&node).start().await.unwrap());
    }
    // None has been told anything yet: only the node itself has tasks.
    assert!(tasks() < 10, "{} tasks", tasks());
    for lab in &labs {
        assert_eq!(value(lab).await, Ok(0));
    }
    assert!(tasks() >= MANY, "{} tasks", tasks());
    for lab in &labs {
        tell(lab, |_, _| noreply().hibernate());
    }
    for lab in &labs {
        hibernates(lab).await;
    }
    assert_eq!(node.process_count(), MANY);
    // What is left is the pool of idle shells; a surplus of them goes bit by bit.
    pause(ms(60_000)).await;
    assert!(tasks() < MANY / 2, "{} tasks", tasks());
    for lab in &labs {
        assert_eq!(value(lab).await, Ok(0));
    }
}

#[tokio::test(start_paused = true)]
async fn pl_008_a_crash_after_waking_is_reported() {
    let reports = crate::reports::Reports::record();
    let seen = Seen::default();
    let lab = Lab::server(sleepy(&seen)).on(&Node::new("a")).start().await.unwrap();
    hibernates(&lab).await;
    tell(&lab, |_, _| Err(Error::exit(boom())));
    assert_eq!(lab.ended().await, boom());
    assert_eq!(seen.take(), ["cast", "terminate \"boom\""]);
    assert_eq!(reports.targets(), ["gen_server", "crash_report"]);
}

#[tokio::test(start_paused = true)]
async fn of_a_crowd_that_wakes_at_once_those_that_wait_hold_up_nobody() {
    let node = Node::new("a");
    let mut labs = Vec::new();
    for _ in 0..200 {
        let lab = Lab::server(sleepy(&Seen::default())).on(&node).start().await.unwrap();
        hibernates(&lab).await;
        labs.push(lab);
    }
    let start = tokio::time::Instant::now();
    // All of them wake before any of them runs.
    let mut asked = Vec::new();
    for pair in labs.chunks(2) {
        pair[0].cast(Cast::Slow(ms(1000)));
        let act = |to: ReplyTo<u32>, lab: &mut Lab, _: &mut Context<Lab>| to.reply(lab.value).hibernate();
        asked.push(pair[1].send_request(|to| Call::Do(to, Box::new(act))));
    }
    for request in asked {
        assert_eq!(request.receive(ms(500)).await, Ok(0));
    }
    assert_eq!(start.elapsed(), ms(0));
    // And those that waited serve again.
    for lab in &labs {
        assert_eq!(value(lab).await, Ok(0));
    }
    assert!(start.elapsed() >= ms(1000));
}

#[test]
fn a_crowd_that_wakes_when_the_runtime_has_gone_is_killed() {
    let build = || tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
    let runtime = build();
    let labs = runtime.block_on(async {
        let node = Node::new("a");
        let mut labs = Vec::new();
        for _ in 0..2000 {
            labs.push(Lab::server(sleepy(&Seen::default())).on(&node).start().await.unwrap());
        }
        for lab in &labs {
            hibernates(lab).await;
        }
        // Some wake, and do not come to run.
        labs[..1000].iter().for_each(|lab| lab.cast(Cast::Slow(ms(0))));
        labs
    });
    drop(runtime);
    labs[1000..].iter().for_each(|lab| lab.cast(Cast::Slow(ms(0))));
    assert!(labs.iter().all(|lab| !lab.is_alive()));
    let ended = build().block_on(labs[1999].ended());
    assert_eq!(ended, ExitReason::NoProc);
}

/// Each is refused by the runtime, and its end reaches the next: that goes by a runtime that must not be entered again.
#[test]
fn a_runtime_that_shuts_down_ends_servers_at_rest_that_are_linked() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
    let (node, labs) = runtime.block_on(async {
        let node = Node::new("a");
        let mut labs: Vec<LabRef> = Vec::new();
        for _ in 0..5000 {
            let lab = Lab::server(sleepy(&Seen::default())).on(&node).start().await.unwrap();
            if let Some(last) = labs.last().cloned() {
                let linked = ask(&lab, move |to, _, cx| {
                    cx.link(&last).unwrap();
                    to.reply(0).hibernate()
                });
                linked.await.unwrap();
            }
            labs.push(lab);
        }
        for lab in &labs {
            hibernates(lab).await;
        }
        (node, labs)
    });
    drop(runtime);
    assert!(labs.iter().all(|lab| !node.is_alive(lab.pid())));
}
