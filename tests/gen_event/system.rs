//! sys, hibernation and reports.

use incarnate::gen_event::{
    EventHandler, EventManager, Handler, HandlerContext, HandlerInit, HandlerNext, HandlerView, Handover,
    get_state, hibernate, keep, replace_state,
};
use incarnate::gen_server::Status;
use incarnate::process::Callback;
use incarnate::sys::SysError;
use incarnate::{Error, GenServer, Never, Node, Result, sys};

use crate::desk::*;
use crate::reports::Reports;

/// Whether the manager hibernates: it has given up its task.
async fn hibernates(node: &Node, desk: &Desk) -> bool {
    tokio::task::yield_now().await;
    tokio::time::sleep(ms(1)).await; // sleep: all that can run has run by then; virtual
    node.process_info(desk.pid()).unwrap().callback == Callback::Hibernating
}

#[tokio::test(start_paused = true)]
async fn ge_016_any_handler_has_the_manager_hibernate() {
    let node = Node::new("a");
    for way in ["event", "sync", "call", "info", "init", "alone"] {
        let (desk, seen) = two(&node).await;
        assert!(!hibernates(&node, &desk).await, "{way}");
        let rest = act(|_, _| hibernate());
        match way {
            // The one that is told first wants to, the other one does not.
            "event" => desk.notify(Event::Do("two", rest)),
            "sync" => desk.sync_notify(Event::Do("one", rest)).await.unwrap(),
            "call" => {
                let answer = desk.call_handler(ONE, |caller| Ask::AnswerAndDo(caller, rest)).await;
                assert_eq!(answer, Ok(0));
            }
            "info" => desk.send(Say::Do("two", rest)),
            "init" => {
                desk.add_handler(LAB, ready("lab", &seen).begin(Begin::Hibernate)).await.unwrap();
            }
            _ => {
                desk.delete_handler(ONE, "").await.unwrap();
                desk.notify(Event::Do("two", rest));
            }
        }
        assert!(hibernates(&node, &desk).await, "{way}");
        // A suspend and a resume keep it.
        sys::suspend(&node, &desk, ms(100)).await.unwrap();
        sys::resume(&node, &desk, ms(100)).await.unwrap();
        assert!(hibernates(&node, &desk).await, "{way}");
        // An event wakes it.
        desk.sync_notify(Event::Do("two", act(|_, _| keep()))).await.unwrap();
        assert!(!hibernates(&node, &desk).await, "{way}");
    }
}

const NAME: DeskName = DeskName::new("shown");

#[tokio::test(start_paused = true)]
async fn ge_017_ge_018_the_status_shows_the_states_as_the_handlers_format_them() {
    let node = Node::new("a");
    for named in [true, false] {
        let start = EventManager::server(()).on(&node);
        let desk = if named { start.name(NAME) } else { start }.start().await.unwrap();
        desk.add_handler(ONE, ready("one", &Seen::default())).await.unwrap();
        desk.add_handler(BARE, ()).await.unwrap();
        let status = sys::get_status(&node, &desk, ms(100)).await.unwrap();
        let bare = BARE.id();
        assert_eq!(status.state, format!("[{bare}: {bare}, {}: one has 0]", ONE.id()));
    }
}

#[tokio::test(start_paused = true)]
async fn ge_019_the_report_of_a_crash_shows_the_state_as_the_handler_formats_it() {
    let reports = Reports::record();
    let node = Node::new("a");
    let desk = EventManager::server(()).on(&node).name(NAME).label("mine").start().await.unwrap();
    desk.add_handler(ONE, ready("one", &Seen::default())).await.unwrap();
    let crash = act(|lab, _| {
        lab.value = 4;
        Err(Error::exit(boom()))
    });
    desk.sync_notify(Event::Do("one", crash)).await.unwrap();
    let reports = reports.take();
    let [report] = &reports[..] else { panic!("not one report: {reports:#?}") };
    assert_eq!((report.target, report.level), ("incarnate::gen_event", tracing::Level::ERROR));
    assert_eq!(report.field("pid"), desk.pid().to_string());
    assert!(report.field("registered_name").contains("shown"));
    assert!(report.field("label").contains("mine"));
    assert_eq!(report.field("handler"), ONE.id().to_string());
    assert_eq!(report.field("state"), "one has 4");
    assert_eq!(report.field("last_message"), "handle_event");
    assert_eq!(report.field("reason"), "\"boom\"");
}

#[tokio::test(start_paused = true)]
async fn ge_020_get_state_lists_the_handlers_also_while_suspended() {
    let node = Node::new("a");
    let (desk, seen) = two(&node).await;
    desk.add_handler(LAB, ready("lab", &seen)).await.unwrap();
    for suspended in [false, true] {
        let look = |manager: &EventManager<Event, Say>| {
            let name = |state: &dyn std::any::Any| state.downcast_ref::<Lab>().map(|lab| lab.name);
            Vec::from_iter(manager.states().map(|(id, state)| (id.id().map(str::to_owned), name(state))))
        };
        let states = sys::get_state(&node, &desk, look, ms(100)).await.unwrap();
        let (one, two) = (Some("one".to_owned()), Some("two".to_owned()));
        assert_eq!(states, [(None, Some("lab")), (two, Some("two")), (one, Some("one"))]);
        assert_eq!(get_state(&node, &desk, TWO, |lab| lab.name, ms(100)).await, Ok(Some("two")));
        assert_eq!(get_state(&node, &desk, BARE, |_| (), ms(100)).await, Ok(None));
        let failed = get_state(&node, &desk, ONE, |_| panic!("no look"), ms(100)).await;
        assert_eq!(failed, Err::<Option<()>, _>(SysError::CallbackFailed));
        if !suspended {
            sys::suspend(&node, &desk, ms(100)).await.unwrap();
        }
    }
}

#[tokio::test(start_paused = true)]
async fn ge_021_replace_state_leaves_the_state_of_a_handler_for_which_it_fails() {
    let node = Node::new("a");
    let (desk, seen) = two(&node).await;
    // Twice the same identity: both are replaced, but where it fails.
    desk.add_handler(ONE, ready("other", &seen)).await.unwrap();
    for suspended in [false, true] {
        let replace = |lab: &Lab| if lab.name == "other" { panic!("no state") } else { lab.with(9) };
        assert_eq!(replace_state(&node, &desk, ONE, replace, ms(100)).await, Ok(1));
        assert_eq!(replace_state(&node, &desk, BARE, |_| panic!("no handler"), ms(100)).await, Ok(0));
        assert_eq!(
            get_state(&node, &desk, ONE, |lab| (lab.name, lab.value), ms(100)).await,
            Ok(Some(("other", 0)))
        );
        assert_eq!(replace_state(&node, &desk, TWO, |lab| lab.with(5), ms(100)).await, Ok(1));
        if !suspended {
            sys::suspend(&node, &desk, ms(100)).await.unwrap();
        }
    }
    sys::resume(&node, &desk, ms(100)).await.unwrap();
    assert_eq!(desk.call_handler(TWO, Ask::Value).await, Ok(5));
    desk.delete_handler(ONE, "").await.unwrap();
    assert_eq!(desk.call_handler(ONE, Ask::Value).await, Ok(9));
}

#[tokio::test(start_paused = true)]
async fn ge_025_a_handler_without_handle_info_stays_and_a_warning_is_reported() {
    let reports = Reports::record();
    let node = Node::new("a");
    let desk = desk(&node).await;
    desk.add_handler(BARE, ()).await.unwrap();
    desk.send(Say::Word("hello"));
    assert_eq!(desk.which_handlers().await.unwrap(), [BARE.id()]);
    let reports = reports.take();
    let [report] = &reports[..] else { panic!("not one report: {reports:#?}") };
    assert_eq!((report.target, report.level), ("incarnate::gen_event", tracing::Level::WARN));
    assert_eq!(report.field("kind"), "User");
    assert!(report.field("handler").ends_with("Bare"));
}

#[tokio::test(start_paused = true)]
async fn events_of_a_suspended_manager_wait_and_each_is_seen_by_who_watches() {
    let node = Node::new("a");
    let (desk, seen) = two(&node).await;
    desk.delete_handler(ONE, "").await.unwrap();
    seen.take();
    sys::suspend(&node, &desk, ms(100)).await.unwrap();
    for word in ["a", "b", "c"] {
        desk.notify(Event::Word(word));
    }
    tokio::time::sleep(ms(100)).await; // sleep: nothing is to happen meanwhile; virtual
    assert_eq!(seen.take(), Vec::<String>::new());
    sys::statistics(&node, &desk, true, ms(100)).await.unwrap();
    sys::resume(&node, &desk, ms(100)).await.unwrap();
    desk.which_handlers().await.unwrap();
    assert_eq!(seen.take(), ["two event a", "two event b", "two event c"]);
    let statistics = sys::get_statistics(&node, &desk, ms(100)).await.unwrap().unwrap();
    assert_eq!(statistics.messages_in, 4);
}

/// A handler that cannot show itself.
struct Shy;

const SHY: Handler<Shy> = Handler::new();

impl EventHandler for Shy {
    type Event = Event;
    type Info = Say;
    type Args = ();
    type Call = Never;

    async fn init(_: (), _: Handover, _: &mut HandlerContext<Self>) -> Result<HandlerInit<Self>> {
        Ok(HandlerInit::Ready(Shy))
    }

    async fn handle_event(&mut self, _: &Event, _: &mut HandlerContext<Self>) -> Result<HandlerNext<Self>> {
        Err(Error::exit(boom()))
    }

    fn format_status(_: HandlerView<'_, Self>) -> Status {
        panic!("a secret")
    }
}

#[tokio::test(start_paused = true)]
async fn rule_2_18_2_a_formatter_that_crashes_hides_its_state_and_no_other() {
    let reports = Reports::record();
    let node = Node::new("a");
    let desk = desk(&node).await;
    desk.add_handler(ONE, ready("one", &Seen::default())).await.unwrap();
    desk.add_handler(SHY, ()).await.unwrap();
    let hidden = "format_status crashed, the state is not shown";
    let status = sys::get_status(&node, &desk, ms(100)).await.unwrap();
    assert_eq!(status.state, format!("[{}: {hidden}, {}: one has 0]", SHY.id(), ONE.id()));
    desk.sync_notify(Event::Word("crash")).await.unwrap();
    assert_eq!(installed(&desk).await, ["one"]);
    let reports = reports.take();
    assert_eq!((reports[0].field("state"), reports[0].field("reason")), (hidden, "\"boom\""));
}
