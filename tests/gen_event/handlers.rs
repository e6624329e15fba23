//! Handlers come, go and take the place of each other.

use incarnate::gen_event::{AddError, DeleteError, EventManager, Handler, SwapError, remove_handler};
use incarnate::{CallError, ChildSpec, Error, ExitReason, GenServer, Node, Supervisor, Task, Term};

use crate::desk::*;

#[tokio::test(start_paused = true)]
async fn ge_002_a_handler_whose_init_fails_is_not_installed() {
    let node = Node::new("a");
    let (desk, seen) = (desk(&node).await, Seen::default());
    let failed = desk.add_handler(LAB, ready("lab", &seen).begin(Begin::Fail)).await;
    assert_eq!(failed, Err(AddError::Failed(boom())));
    let failed = desk.add_handler(LAB, ready("lab", &seen).begin(Begin::Panic)).await;
    assert!(failed.unwrap_err().to_string().contains("init panicked"));
    assert_eq!(desk.which_handlers().await.unwrap(), []);
    assert_eq!(seen.take(), ["lab init Added", "lab init Added"]);
}

#[tokio::test(start_paused = true)]
async fn ge_002_one_type_is_installed_under_many_ids_the_newest_first() {
    let node = Node::new("a");
    let (desk, seen) = (desk(&node).await, Seen::default());
    desk.add_handler(LAB, ready("lab", &seen)).await.unwrap();
    desk.add_handler(ONE, ready("one", &seen)).await.unwrap();
    desk.add_handler(Handler::<Lab>::from("1".repeat(2)), ready("eleven", &seen)).await.unwrap();
    desk.add_handler(BARE, ()).await.unwrap();
    let handlers = desk.which_handlers().await.unwrap();
    assert_eq!(handlers.len(), 4);
    assert_eq!([&handlers[0], &handlers[2], &handlers[3]], [&BARE.id(), &ONE.id(), &LAB.id()]);
    assert_eq!(handlers[1].to_string(), format!("{{{}, 11}}", LAB.id()));
    seen.take();
    desk.sync_notify(Event::Word("hello")).await.unwrap();
    assert_eq!(seen.take(), ["eleven event hello", "one event hello", "lab event hello"]);
}

#[tokio::test(start_paused = true)]
async fn a_handler_that_is_added_twice_is_installed_twice_as_measured_in_otp() {
    let node = Node::new("a");
    let (desk, seen) = (desk(&node).await, Seen::default());
    desk.add_handler(LAB, ready("older", &seen)).await.unwrap();
    desk.add_handler(LAB, ready("newer", &seen)).await.unwrap();
    seen.take();
    let left = desk.delete_handler(LAB, "bye").await.unwrap();
    assert_eq!(left.decode::<(String, u32)>().unwrap(), ("newer".to_owned(), 0));
    assert_eq!(seen.take(), ["newer terminate Delete(\"bye\")"]);
    assert_eq!(installed(&desk).await, ["-"]);
}

#[tokio::test(start_paused = true)]
async fn ge_027_delete_answers_what_terminate_did() {
    let node = Node::new("a");
    let (desk, seen) = two(&node).await;
    let left = desk.delete_handler(ONE, "bye").await.unwrap();
    assert_eq!(left, Term::encode(&("one", 0u32)).unwrap());
    assert_eq!(seen.take(), ["one terminate Delete(\"bye\")"]);
    assert_eq!(installed(&desk).await, ["two"]);
    assert_eq!(desk.delete_handler(ONE, "bye").await, Err(DeleteError::ModuleNotFound));
    // A terminate that crashes removes its handler all the same.
    assert_eq!(desk.delete_handler(TWO, "fail").await, Err(DeleteError::Crashed(boom())));
    assert_eq!(desk.which_handlers().await.unwrap(), []);
    // Without a terminate the answer is ok.
    desk.add_handler(BARE, ()).await.unwrap();
    assert_eq!(desk.delete_handler(BARE, "bye").await, Ok(Term::from("ok")));
}

#[tokio::test(start_paused = true)]
async fn ge_006_and_rule_2_19_8_the_new_handler_is_given_what_the_old_one_left() {
    let node = Node::new("a");
    let (desk, seen) = two(&node).await;
    desk.swap_handler((ONE, "why"), (LAB, ready("new", &seen))).await.unwrap();
    assert_eq!(seen.take(), ["one terminate Swap(\"why\")", "new init Left([\"one\", 0])"]);
    assert_eq!(installed(&desk).await, ["-", "two"]);
    // What crashes in its terminate leaves that.
    desk.swap_handler((LAB, "fail"), (ONE, ready("one", &seen))).await.unwrap();
    assert_eq!(seen.take(), ["new terminate Swap(\"fail\")", "one init Crashed(\"boom\")"]);
    assert_eq!(installed(&desk).await, ["one", "two"]);
}

#[tokio::test(start_paused = true)]
async fn ge_006_a_handler_that_is_not_installed_leaves_nothing() {
    let node = Node::new("a");
    let (desk, seen) = two(&node).await;
    let picky = ready("picky", &seen).begin(Begin::FailWithoutFormer);
    let missing = desk.swap_handler((BARE, "why"), (LAB, picky)).await;
    assert_eq!(missing, Err(SwapError::Failed(ExitReason::term("non_existing"))));
    assert_eq!(installed(&desk).await, ["two", "one"]);
    desk.swap_handler((BARE, "why"), (LAB, ready("new", &seen))).await.unwrap();
    assert_eq!(seen.take(), ["picky init Missing", "new init Missing"]);
    assert_eq!(installed(&desk).await, ["-", "two", "one"]);
}

#[tokio::test(start_paused = true)]
async fn rule_2_19_8_if_the_new_init_fails_neither_is_installed() {
    let node = Node::new("a");
    let (desk, seen) = two(&node).await;
    let failed = desk.swap_handler((TWO, "why"), (LAB, ready("new", &seen).begin(Begin::Fail))).await;
    assert_eq!(failed, Err(SwapError::Failed(boom())));
    assert_eq!(seen.take(), ["two terminate Swap(\"why\")", "new init Left([\"two\", 0])"]);
    assert_eq!(installed(&desk).await, ["one"]);
}

#[tokio::test(start_paused = true)]
async fn rule_2_1_t15_a_stop_ends_each_handler_and_who_asks_then_hears_so() {
    let node = Node::new("a");
    let (desk, seen) = two(&node).await;
    desk.stop().await.unwrap();
    assert_eq!(seen.take(), ["two terminate Stop", "one terminate Stop"]);
    assert_eq!(desk.which_handlers().await, Err(CallError::NoProc));
    assert_eq!(desk.add_handler(BARE, ()).await, Err(AddError::Call(CallError::NoProc)));
    assert_eq!(desk.delete_handler(BARE, "").await, Err(DeleteError::Call(CallError::NoProc)));
    let swapped = desk.swap_handler((BARE, ""), (BARE, ())).await;
    assert_eq!(swapped, Err(SwapError::Call(CallError::NoProc)));
}

#[tokio::test(start_paused = true)]
async fn a_killed_manager_terminates_no_handler() {
    let node = Node::new("a");
    let (desk, seen) = two(&node).await;
    node.exit(desk.pid(), ExitReason::Kill);
    assert_eq!(desk.ended().await, ExitReason::Killed);
    assert_eq!(seen.take(), Vec::<String>::new());
}

const NAME: DeskName = DeskName::new("desk");

#[tokio::test(start_paused = true)]
async fn a_manager_is_a_child_and_found_by_its_name() {
    let node = Node::new("a");
    let seen = Seen::default();
    let child = ChildSpec::worker("desk", || EventManager::server(()).name(NAME).start_link());
    let top = Supervisor::tree("top").child(child).on(&node).start().await.unwrap();
    let desk = NAME.on(&node).unwrap();
    desk.add_handler(LAB, ready("lab", &seen)).await.unwrap();
    // A name reaches it from inside a process.
    let by_name = Task::spawn_on(&node, async {
        NAME.sync_notify(Event::Word("by name")).await.unwrap();
        NAME.notify(Event::Do("lab", act(|_, _| remove_handler())));
        NAME.which_handlers().await.unwrap()
    });
    assert_eq!(by_name.await.unwrap(), []);
    assert_eq!(seen.take(), ["lab init Added", "lab event by name", "lab terminate RemoveHandler"]);
    desk.add_handler(LAB, ready("lab", &seen)).await.unwrap();
    // The parent's exit stops it in order.
    top.stop().await.unwrap();
    assert_eq!(seen.take(), ["lab init Added", "lab terminate Stop"]);
}

#[tokio::test(start_paused = true)]
async fn errors_say_what_is_now_true_and_keep_their_cause() {
    let error: Error = AddError::Call(CallError::NoProc).into();
    assert!(error.into_reason().to_string().contains("noproc"));
    assert!(SwapError::Failed(boom()).to_string().contains("neither is installed"));
    assert!(DeleteError::Crashed(boom()).to_string().contains("was deleted"));
}
