//! One process, and what it keeps.

use std::time::Duration;

use incarnate::gen_server::GenServer;
use incarnate::handoff::ModuleVsn;
use incarnate::upgrade::{ChangeCodeError, Direction, Upgrade, UpgradeError, change_code, in_force};
use incarnate::{CallError, ExitReason, Name, Node, Process, Term, sys};

use crate::keys::*;

const SECOND: Duration = Duration::from_secs(1);

const NAME: Name<Call, Cast, u64> = Name::new("the key");

#[tokio::test(start_paused = true)]
async fn a_chain_of_versions_is_walked_up_and_down() {
    let node = Node::new("a");
    let key = start(&node, 1).await;
    key.cast(Cast::Add(4));
    assert_eq!((get(&key).await, version(&key).await), (5, 1));
    for (from, to) in [(1, 3), (3, 2), (2, 3), (3, 1), (1, 2), (2, 1)] {
        let report = change(&node, from, to, "drop the hits").await.unwrap();
        assert_eq!(report.modules[0].processes, 1);
        assert_eq!((get(&key).await, version(&key).await), (5, to), "{from} to {to}");
        let info = node.process_info(key.pid()).unwrap();
        assert_eq!(info.code, Some(ModuleVsn::new("key", to)));
        assert!(!info.suspended);
    }
}

#[tokio::test(start_paused = true)]
async fn pid_name_label_links_monitors_and_callers_stay() {
    let node = Node::new("a");
    let (tie, ties) = tokio::sync::oneshot::channel::<Key>();
    let watcher = node.spawn(|me: Process<()>| async move {
        me.trap_exit(true);
        let key = ties.await.unwrap();
        me.link(&key).unwrap();
        me.monitor(&key);
        std::future::pending::<()>().await;
    });
    let key = One::server((1, 0)).upgradable().name(NAME).label("mine").on(&node).start().await.unwrap();
    let before = node.process_info(key.pid()).unwrap();
    tie.send(key.clone()).ok().unwrap();
    while node.process_info(key.pid()).unwrap().monitored_by.is_empty() {
        tokio::task::yield_now().await;
    }
    let waiting = [key.send_request(Call::Keep), key.send_request(Call::Keep)];
    change(&node, 1, 2, "").await.unwrap();
    key.cast(Cast::Add(1));
    let later = key.send_request(Call::Keep);
    change(&node, 2, 1, "drop the hits").await.unwrap();
    change(&node, 1, 3, "").await.unwrap();
    let after = node.process_info(key.pid()).unwrap();
    assert_eq!((after.pid, after.name, after.label), (before.pid, before.name, before.label));
    assert_eq!(after.links, [watcher.pid()]);
    assert_eq!(after.monitored_by, [watcher.pid()]);
    assert_eq!(get(&NAME.on(&node).unwrap()).await, 2);
    key.cast(Cast::Release);
    for request in waiting.into_iter().chain([later]) {
        assert_eq!(request.receive(SECOND).await, Ok(2));
    }
    key.stop_with(ExitReason::Shutdown, SECOND).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_timer_of_version_1_fires_once_in_version_2() {
    let node = Node::new("a");
    let key = start(&node, 0).await;
    key.cast(Cast::AddAfter(10, 1000));
    key.send_after(Duration::from_millis(2000), 100);
    assert_eq!(get(&key).await, 0);
    change(&node, 1, 2, "").await.unwrap();
    tokio::time::sleep(Duration::from_millis(1500)).await; // sleep: virtual time
    assert_eq!(get(&key).await, 10);
    change(&node, 2, 1, "").await.unwrap();
    tokio::time::sleep(Duration::from_millis(10_000)).await; // sleep: virtual time
    assert_eq!(get(&key).await, 110);
}

#[tokio::test(start_paused = true)]
async fn it_is_told_why_it_goes_on() {
    let node = Node::new("a");
    let key = start(&node, 0).await;
    change(&node, 1, 2, "").await.unwrap();
    assert_eq!(key.call(Call::Log).await, Ok(vec!["Upgrade { from: 1 }".to_owned()]));
    assert!(change(&node, 2, 1, "refuse 0").await.is_err());
    // It went nowhere, so there is nothing to tell.
    assert_eq!(key.call(Call::Log).await.unwrap().len(), 1);
}

#[tokio::test(start_paused = true)]
async fn what_no_version_knows_is_a_dead_letter_and_its_caller_is_told() {
    let node = Node::new("a");
    let key = start(&node, 7).await;
    change(&node, 1, 2, "").await.unwrap();
    // They wait while it is suspended, and version 1 comes before they are taken.
    let (go, wait) = tokio::sync::oneshot::channel();
    let block = key.send_request(|to| Call::Block(to, wait));
    tokio::task::yield_now().await;
    let running = plan(2, 1, "").run(&node, &versions(), Direction::Up);
    tokio::task::yield_now().await;
    let (hits, number) = (key.send_request(Call::Hits), key.send_request(Call::Get));
    let letters = node.dead_letters();
    go.send(()).unwrap();
    running.await.unwrap();
    assert_eq!(block.receive(SECOND).await, Ok(7));
    assert_eq!(hits.receive(SECOND).await, Err(CallError::NotUnderstood));
    assert_eq!(number.receive(SECOND).await, Ok(7));
    assert_eq!(node.dead_letters(), letters + 1);
    // What is sent to version 1 itself is its own affair.
    assert_eq!(key.call(Call::Hits).await, Ok(0));
}

#[tokio::test(start_paused = true)]
async fn what_waits_is_looked_at_when_the_version_changes_though_it_is_suspended_by_hand() {
    let node = Node::new("a");
    let key = start(&node, 7).await;
    change(&node, 1, 2, "").await.unwrap();
    sys::suspend(&node, &key, SECOND).await.unwrap();
    let (hits, number) = (key.send_request(Call::Hits), key.send_request(Call::Get));
    change(&node, 2, 1, "drop the hits").await.unwrap();
    assert_eq!(hits.receive(SECOND).await, Err(CallError::NotUnderstood));
    // What it does not know is no longer in its mailbox; what it does waits on.
    assert_eq!(node.process_info(key.pid()).unwrap().mailbox_len, 1);
    change(&node, 1, 3, "").await.unwrap();
    sys::resume(&node, &key, SECOND).await.unwrap();
    assert_eq!(number.receive(SECOND).await, Ok(7));
    assert_eq!(key.call(Call::Log).await.unwrap(), ["Upgrade { from: 1 }"]);
}

#[tokio::test(start_paused = true)]
async fn a_message_that_is_made_one_of_another_kind_is_not_understood() {
    let node = Node::new("a");
    let key = start(&node, 7).await;
    change(&node, 1, 2, "").await.unwrap();
    sys::suspend(&node, &key, SECOND).await.unwrap();
    let log = key.send_request(Call::Log);
    key.cast(Cast::AddAfter(5, 0));
    let letters = node.dead_letters();
    change(&node, 2, 1, "").await.unwrap();
    assert_eq!(log.receive(SECOND).await, Err(CallError::NotUnderstood));
    assert_eq!(node.dead_letters(), letters + 2);
    sys::resume(&node, &key, SECOND).await.unwrap();
    assert_eq!(get(&key).await, 7);
}

#[tokio::test(start_paused = true)]
async fn what_hibernates_or_was_never_told_anything_changes_too() {
    let node = Node::new("a");
    let fresh = start(&node, 1).await;
    let used = start(&node, 2).await;
    assert_eq!(get(&used).await, 2);
    let idle = One::server((3, 0)).upgradable().hibernate_after(SECOND).on(&node).start().await.unwrap();
    tokio::time::sleep(Duration::from_secs(10)).await; // sleep: virtual time
    assert_eq!(change(&node, 1, 2, "").await.unwrap().modules[0].processes, 3);
    for (key, number) in [(fresh, 1), (used, 2), (idle, 3)] {
        assert_eq!((get(&key).await, version(&key).await), (number, 2));
    }
}

/// It waits until `resumed` is done, or has failed: then messages are served again, or never.
#[tokio::test(start_paused = true)]
async fn the_pause_ends_when_messages_are_served_again() {
    let node = Node::new("a");
    let slow = start(&node, SLOW_TO_RESUME).await;
    let pause = change(&node, 1, 2, "").await.unwrap().modules[0].pause;
    assert!((SECOND..SECOND * 2).contains(&pause.max), "{pause:?}");
    let fails = start(&node, FAILS_TO_RESUME).await;
    let begun = tokio::time::Instant::now();
    change(&node, 2, 1, "").await.unwrap();
    assert!(begun.elapsed() < SECOND * 2, "{:?}", begun.elapsed());
    assert_eq!((version(&slow).await, fails.call(Call::Get).await.is_err()), (1, true));
    // Who takes longer than the plan waits has changed all the same, and is counted.
    let slow_too = plan(1, 2, "").suspend_timeout(SECOND / 4);
    let changed = &slow_too.run(&node, &versions(), Direction::Up).await.unwrap().modules[0];
    assert!(changed.processes == 1 && changed.pause.max >= SECOND / 4, "{changed:?}");
    change(&node, 2, 1, "").await.unwrap();
    // Who was suspended by hand is waited for by nobody.
    sys::suspend(&node, &slow, SECOND).await.unwrap();
    let pause = change(&node, 1, 2, "").await.unwrap().modules[0].pause;
    assert!(pause.max < SECOND, "{pause:?}");
    sys::resume(&node, &slow, SECOND).await.unwrap();
    assert_eq!(version(&slow).await, 2);
}

/// Each would have a task and seven kilobytes more from then on.
#[tokio::test(start_paused = true)]
async fn a_thousand_that_were_told_nothing_change_without_a_shell_each() {
    let node = Node::new("a");
    let mut keys = Vec::new();
    for number in 0..1000 {
        keys.push(start(&node, number).await);
    }
    let tasks = || tokio::runtime::Handle::current().metrics().num_alive_tasks();
    assert!(tasks() < 20, "{}", tasks());
    assert!(plan(1, 2, "").check(&node, &versions(), Direction::Up).await.unwrap().is_ok());
    assert!(tasks() < 20, "{} after a dry run", tasks());
    change(&node, 1, 2, "refuse 999").await.unwrap_err();
    change(&node, 1, 2, "").await.unwrap();
    for key in &keys {
        sys::suspend(&node, key, SECOND).await.unwrap();
    }
    change(&node, 2, 1, "").await.unwrap();
    for key in &keys {
        sys::resume(&node, key, SECOND).await.unwrap();
    }
    assert!(tasks() < 20, "{} after changes", tasks());
    for (number, key) in keys.iter().enumerate() {
        assert_eq!((get(key).await, version(key).await), (number as u64, 1));
        assert_eq!(key.call(Call::Log).await.unwrap(), ["Upgrade { from: 2 }"]);
    }
}

#[tokio::test(start_paused = true)]
async fn what_is_started_is_the_version_in_force() {
    let node = Node::new("a");
    let old = start(&node, 1).await;
    change(&node, 1, 2, "").await.unwrap();
    // The start names version 1; version 2 is in force.
    assert_eq!(in_force(&node, "key"), Some(ModuleVsn::new("key", 2)));
    let new = start(&node, 5).await;
    assert_eq!(node.process_info(new.pid()).unwrap().kind, std::any::type_name::<Two>());
    assert_eq!((get(&new).await, version(&new).await), (5, 2));
    assert_eq!(change(&node, 2, 1, "").await.unwrap().modules[0].processes, 2);
    assert_eq!((version(&old).await, version(&start(&node, 9).await).await), (1, 1));
}

#[tokio::test(start_paused = true)]
async fn plans_that_cannot_be_carried_out_are_refused_and_say_why() {
    let node = Node::new("a");
    let key = start(&node, 1).await;
    let versions = versions();
    let refused = async |plan: Upgrade| {
        plan.run(&node, &versions, Direction::Up).await.expect_err("refused").to_string()
    };
    assert!(matches!(
        Upgrade::new("x").run(&node, &versions, Direction::Down).await,
        Err(UpgradeError::Empty(Direction::Down))
    ));
    let texts = [
        (plan(1, 9, ""), "key@9 cannot be had: the versions there are [1, 2, 3]"),
        (Upgrade::new("x").update("door", 1, 2), "door@1 cannot be had: the modules there are [\"key\"]"),
        (plan(2, 3, ""), "runs key@1, and the plan starts from key@2"),
        (plan(1, 2, "").both(incarnate::upgrade::Update::new("key", 2, 3)), "the plan changes key twice"),
    ];
    for (plan, text) in texts {
        let said = refused(plan).await;
        assert!(said.contains(text), "{said}");
        assert!(said.ends_with("every process goes on in its old version"), "{said}");
    }
    assert_eq!((get(&key).await, version(&key).await), (1, 1));
}

#[tokio::test(start_paused = true)]
async fn rule_2_13_one_that_was_suspended_by_hand_is_changed_and_stays_suspended() {
    let node = Node::new("a");
    let key = start(&node, 1).await;
    sys::suspend(&node, &key, SECOND).await.unwrap();
    change(&node, 1, 2, "").await.unwrap();
    assert!(change(&node, 2, 1, "refuse 1").await.is_err());
    assert!(node.process_info(key.pid()).unwrap().suspended);
    let answer = key.call_timeout(Call::Version, SECOND).await;
    assert_eq!(answer, Err(CallError::Timeout));
    sys::resume(&node, &key, SECOND).await.unwrap();
    assert_eq!(version(&key).await, 2);
}

async fn by_hand(node: &Node, key: &Key, to: u32, extra: &str) -> Result<(), ChangeCodeError> {
    let (to, extra) = (ModuleVsn::new("key", to), Term::encode(extra).unwrap());
    change_code(node, key, &versions(), &to, &extra, Duration::from_secs(5)).await
}

#[tokio::test(start_paused = true)]
async fn rule_2_13_change_code_of_one_process() {
    let node = Node::new("a");
    let (key, other) = (start(&node, 5).await, start(&node, 6).await);
    assert_eq!(by_hand(&node, &key, 2, "").await, Err(ChangeCodeError::NotSuspended));
    sys::suspend(&node, &key, SECOND).await.unwrap();
    // Rule 2.13.6: what fails leaves it with its old state, and suspended.
    for (extra, text) in [("refuse 5", "not 5"), ("panic 5", "told to panic at 5")] {
        let error = by_hand(&node, &key, 2, extra).await.unwrap_err().to_string();
        assert!(error.contains(text), "{error}");
        assert!(node.process_info(key.pid()).unwrap().suspended);
        sys::get_state(&node, &key, |one: &One| assert_eq!(one.key.number, 5), SECOND).await.unwrap();
    }
    let waiting = key.send_request(Call::Get);
    by_hand(&node, &key, 3, "").await.unwrap();
    assert!(node.process_info(key.pid()).unwrap().suspended);
    by_hand(&node, &key, 2, "").await.unwrap();
    sys::resume(&node, &key, SECOND).await.unwrap();
    assert_eq!(waiting.receive(SECOND).await, Ok(5));
    assert_eq!((get(&key).await, version(&key).await), (5, 2));
    assert_eq!((get(&other).await, version(&other).await), (6, 1));
    assert_eq!(version(&start(&node, 7).await).await, 1, "what is started stays as it is");
}

#[tokio::test(start_paused = true)]
async fn gs_104_and_rule_2_13_7_what_cannot_be_changed_says_so() {
    let node = Node::new("a");
    let plain = One::server((5, 0)).on(&node).start().await.unwrap();
    sys::suspend(&node, &plain, SECOND).await.unwrap();
    let refused = by_hand(&node, &plain, 2, "").await;
    assert_eq!(refused, Err(ChangeCodeError::OtherModule { found: None, wanted: ModuleVsn::new("key", 2) }));
    sys::resume(&node, &plain, SECOND).await.unwrap();
    assert_eq!(get(&plain).await, 5);
    plain.stop().await.unwrap();
    assert_eq!(by_hand(&node, &plain, 2, "").await, Err(ChangeCodeError::NoProc));
}
