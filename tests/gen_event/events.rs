//! What handlers are told, and what becomes of them by what they answer.

use incarnate::gen_event::{keep, remove_handler, swap_handler};
use incarnate::{Error, ExitReason, Handler, Node};

use crate::desk::*;
use crate::random::{Random, seed};
use crate::reports::Reports;

/// Tells the manager something by each of its ways, and returns when all handlers have seen it.
async fn tell(desk: &Desk, way: &str, name: &'static str, what: Act) {
    match way {
        "notify" => desk.notify(Event::Do(name, what)),
        "sync_notify" => desk.sync_notify(Event::Do(name, what)).await.unwrap(),
        _ => desk.send(Say::Do(name, what)),
    }
    // It takes one after another.
    desk.which_handlers().await.unwrap();
}

const WAYS: [(&str, &str); 3] =
    [("notify", "handle_event"), ("sync_notify", "handle_event"), ("info", "handle_info")];

#[tokio::test(start_paused = true)]
async fn ge_008_ge_011_ge_015_each_handler_is_told_in_order_the_newest_first() {
    let (desk, seen) = two(&Node::new("a")).await;
    for n in ["a", "b", "c"] {
        desk.notify(Event::Word(n));
    }
    desk.send(Say::Word("d"));
    desk.sync_notify(Event::Word("e")).await.unwrap();
    let expected = ["two event a", "one event a", "two event b", "one event b", "two event c", "one event c"];
    assert_eq!(seen.take()[..6], expected);
    desk.delete_handler(ONE, "").await.unwrap();
    seen.take();
    // One alone takes them in one go, with what is between them in its place.
    for n in ["a", "b"] {
        desk.notify(Event::Word(n));
    }
    desk.send(Say::Word("c"));
    desk.notify(Event::Word("d"));
    desk.which_handlers().await.unwrap();
    assert_eq!(seen.take(), ["two event a", "two event b", "two info c", "two event d"]);
}

#[tokio::test(start_paused = true)]
async fn ge_008_ge_011_ge_015_a_handler_has_itself_removed() {
    for (way, _) in WAYS {
        let (desk, seen) = two(&Node::new("a")).await;
        tell(&desk, way, "two", act(|_, _| remove_handler())).await;
        let word = if way == "info" { "one info" } else { "one event" };
        assert_eq!(seen.take(), ["two terminate RemoveHandler", word], "{way}");
        assert_eq!(installed(&desk).await, ["one"], "{way}");
    }
}

#[tokio::test(start_paused = true)]
async fn ge_008_ge_011_ge_015_a_handler_has_itself_swapped_and_keeps_its_place() {
    for (way, _) in WAYS {
        let (desk, seen) = two(&Node::new("a")).await;
        let log = seen.clone();
        let swap = act(move |lab, _| {
            lab.value = 7;
            swap_handler("why", LAB, ready("new", &log))
        });
        tell(&desk, way, "one", swap).await;
        assert_eq!(seen.take()[1..], ["one terminate Swap(\"why\")", "new init Left([\"one\", 7])"], "{way}");
        assert_eq!(installed(&desk).await, ["two", "-"], "{way}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_swap_that_a_handler_asked_for_and_that_fails_is_reported() {
    let reports = Reports::record();
    let (desk, seen) = two(&Node::new("a")).await;
    let log = seen.clone();
    let swap = act(move |_, _| swap_handler("why", LAB, ready("new", &log).begin(Begin::Fail)));
    tell(&desk, "notify", "one", swap).await;
    assert_eq!(installed(&desk).await, ["two"]);
    let reports = reports.take();
    assert_eq!(reports.len(), 1);
    assert_eq!(reports[0].field("last_message"), "init");
    assert_eq!(reports[0].field("handler"), LAB.id().to_string());
}

#[tokio::test(start_paused = true)]
async fn ge_009_ge_010_ge_011_ge_015_ge_024_a_crash_removes_only_the_handler_that_crashed() {
    for (way, callback) in WAYS {
        let reports = Reports::record();
        let (desk, seen) = two(&Node::new("a")).await;
        tell(&desk, way, "two", act(|_, _| Err(Error::exit(boom())))).await;
        let word = if way == "info" { "one info" } else { "one event" };
        assert_eq!(seen.take(), ["two terminate Error(\"boom\")", word], "{way}");
        assert_eq!(installed(&desk).await, ["one"], "{way}");
        // Now it is alone.
        tell(&desk, way, "one", act(|_, _| panic!("at the disco"))).await;
        assert_eq!(seen.take(), ["one terminate Error(panic: at the disco)"], "{way}");
        assert_eq!(desk.which_handlers().await.unwrap(), [], "{way}");
        let reports = reports.take();
        assert_eq!(reports.len(), 2, "{way}");
        assert!(reports.iter().all(|report| report.target == "incarnate::gen_event"), "{way}");
        assert_eq!(reports[0].field("last_message"), callback);
    }
}

/// What panics again when it is dropped.
struct Again;

impl Drop for Again {
    fn drop(&mut self) {
        panic!("again");
    }
}

#[tokio::test(start_paused = true)]
async fn a_panic_with_a_value_that_panics_again_removes_only_the_handler() {
    for (way, _) in WAYS {
        let (desk, _) = two(&Node::new("a")).await;
        tell(&desk, way, "two", act(|_, _| std::panic::panic_any(Again))).await;
        assert_eq!(installed(&desk).await, ["one"], "{way}");
        tell(&desk, way, "one", act(|_, _| std::panic::panic_any(Again))).await;
        assert_eq!(installed(&desk).await, Vec::<&str>::new(), "{way}");
    }
}

#[tokio::test(start_paused = true)]
async fn events_that_wait_behind_a_crash_go_to_those_who_are_left() {
    let (desk, seen) = two(&Node::new("a")).await;
    desk.delete_handler(ONE, "").await.unwrap();
    seen.take();
    desk.notify(Event::Word("a"));
    desk.notify(Event::Do("two", act(|_, _| Err(Error::msg("crash")))));
    desk.notify(Event::Word("b"));
    desk.add_handler(ONE, ready("one", &seen)).await.unwrap();
    desk.sync_notify(Event::Word("c")).await.unwrap();
    let expected = ["two event a", "two terminate Error(error: crash)", "one init Added", "one event c"];
    assert_eq!(seen.take(), expected);
}

#[tokio::test(start_paused = true)]
async fn ge_011_and_rule_2_19_7_sync_notify_waits_for_all_handlers_and_notify_for_none() {
    let (desk, seen) = two(&Node::new("a")).await;
    let start = tokio::time::Instant::now();
    desk.notify(Event::Slow(ms(100)));
    assert_eq!(start.elapsed(), ms(0));
    desk.sync_notify(Event::Slow(ms(4_000))).await.unwrap();
    // Longer than a call waits by default: a sync_notify has no limit.
    assert_eq!(start.elapsed(), ms(8_200));
    assert_eq!(seen.take(), ["two was slow", "one was slow", "two was slow", "one was slow"]);
}

#[tokio::test(start_paused = true)]
async fn a_manager_with_one_busy_handler_lets_others_run() {
    let node = Node::new("a");
    let (desk, _) = two(&node).await;
    desk.delete_handler(ONE, "").await.unwrap();
    // Each event sends another: it never waits for a message again.
    fn again() -> Act {
        act(|_, cx| {
            cx.server().notify(Event::Do("two", again()));
            keep()
        })
    }
    desk.notify(Event::Do("two", again()));
    for _ in 0..10 {
        tokio::task::yield_now().await;
    }
    node.exit(desk.pid(), ExitReason::Kill);
    in_time(desk.ended()).await;
}

#[tokio::test(start_paused = true)]
async fn ge_015_timers_of_handlers_come_as_info() {
    let (desk, seen) = two(&Node::new("a")).await;
    let timers = act(|_, cx| {
        cx.send_after(ms(10), Say::Word("ticked"));
        cx.start_timer(ms(20), Say::Word("never seen as a word"));
        keep()
    });
    tell(&desk, "notify", "one", timers).await;
    seen.take();
    tokio::time::sleep(ms(30)).await; // sleep: two timers fire meanwhile; virtual
    desk.which_handlers().await.unwrap();
    assert_eq!(seen.take(), ["two info ticked", "one info ticked", "two Timer", "one Timer"]);
}

/// Whether a handler is alone or not, and whatever stands between two events: each handler that is installed when an
/// event's turn comes is told it, in the order of the mailbox.
#[tokio::test(start_paused = true)]
async fn rule_2_19_6_events_keep_their_order_whatever_comes_between() {
    const WORDS: [&str; 4] = ["a", "b", "c", "d"];
    const NAMES: [&str; 3] = ["one", "two", "three"];
    let mut random = Random::new(seed());
    let (desk, seen) = (desk(&Node::new("a")).await, Seen::default());
    // The newest first.
    let mut handlers: Vec<&'static str> = Vec::new();
    for _ in 0..200 {
        let mut expected = Vec::new();
        for _ in 0..random.below(600) {
            let word = WORDS[random.below(4)];
            let kind = if random.below(10) == 0 { "info" } else { "event" };
            match kind {
                "info" => desk.send(Say::Word(word)),
                _ => desk.notify(Event::Word(word)),
            }
            expected.extend(handlers.iter().map(|name| format!("{name} {kind} {word}")));
        }
        let name = NAMES[random.below(3)];
        if let Some(at) = handlers.iter().position(|installed| *installed == name) {
            handlers.remove(at);
            desk.delete_handler(Handler::<Lab>::with_id(name), "bye").await.unwrap();
            expected.push(format!("{name} terminate Delete(\"bye\")"));
        } else {
            handlers.insert(0, name);
            desk.add_handler(Handler::<Lab>::with_id(name), ready(name, &seen)).await.unwrap();
            expected.push(format!("{name} init Added"));
        }
        assert_eq!(seen.take(), expected);
        assert_eq!(installed(&desk).await, handlers);
    }
}
