//! Supervised handlers: what they and their owners hear of each other.

use incarnate::gen_event::{AddError, HandlerEnd, HandlerExit, HandlerId, remove_handler, swap_handler};
use incarnate::{Error, EventManager, ExitReason, GenServer, Info, Node, Pid, Process, ProcessRef};
use tokio::sync::{mpsc, oneshot};

use crate::desk::*;
use crate::reports::Reports;

/// A process that forwards what it hears, and ends as it is told.
struct Owner {
    process: ProcessRef<Told>,
    heard: mpsc::UnboundedReceiver<Result<HandlerExit, (Pid, ExitReason)>>,
}

enum Told {
    Gone(HandlerExit),
    End(ExitReason),
    Echo(oneshot::Sender<()>),
}

impl Owner {
    fn new(node: &Node, traps: bool) -> Self {
        let (hear, heard) = mpsc::unbounded_channel();
        let process = node.spawn(move |mut me: Process<Told>| async move {
            me.trap_exit(traps);
            loop {
                let news = match me.receive().await {
                    Info::User(Told::Gone(exit)) => Ok(exit),
                    Info::User(Told::End(reason)) => return reason,
                    Info::User(Told::Echo(tell)) => {
                        let _ = tell.send(());
                        continue;
                    }
                    Info::Exit(exit) => Err((exit.from, exit.reason)),
                    other => panic!("an owner takes no {}", other.kind()),
                };
                // The test may be over.
                let _ = hear.send(news);
            }
        });
        Owner { process, heard }
    }

    fn trapping(node: &Node) -> Self {
        Self::new(node, true)
    }

    fn pid(&self) -> Pid {
        self.process.pid()
    }

    async fn next(&mut self) -> Result<HandlerExit, (Pid, ExitReason)> {
        in_time(self.heard.recv()).await.unwrap()
    }

    /// Nothing that was sent until now is left unheard.
    async fn is_quiet(&mut self) {
        let (tell, told) = oneshot::channel();
        self.process.send(Told::Echo(tell));
        in_time(told).await.expect("the owner has ended");
        assert_eq!(self.heard.try_recv(), Err(mpsc::error::TryRecvError::Empty));
    }
}

async fn own(
    desk: &Desk,
    handler: incarnate::Handler<Lab>,
    args: Args,
    owner: &Owner,
) -> Result<(), AddError> {
    desk.add_sup_handler(handler, args, &owner.process, Told::Gone).await
}

/// A manager with the handlers one and two of an owner that traps exits.
async fn owned(node: &Node) -> (Desk, Seen, Owner) {
    let (desk, seen, owner) = (desk(node).await, Seen::default(), Owner::trapping(node));
    own(&desk, ONE, ready("one", &seen), &owner).await.unwrap();
    own(&desk, TWO, ready("two", &seen), &owner).await.unwrap();
    seen.take();
    (desk, seen, owner)
}

async fn hears(owner: &mut Owner, desk: &Desk, handler: impl Into<HandlerId>, reason: HandlerEnd) {
    let exit = owner.next().await.unwrap();
    assert_eq!((exit.manager, &exit.handler, &exit.reason), (desk.pid(), &handler.into(), &reason));
}

#[tokio::test(start_paused = true)]
async fn ge_003_and_rule_2_19_6_the_end_of_the_owner_removes_its_handlers_normal_too() {
    for reason in [ExitReason::Normal, boom(), ExitReason::Kill] {
        let node = Node::new("a");
        let (desk, seen, owner) = owned(&node).await;
        desk.add_handler(LAB, ready("lab", &seen)).await.unwrap();
        seen.take();
        let sent = reason.clone();
        owner.process.send(Told::End(sent));
        in_time(owner.process.ended()).await;
        let expected = reason;
        let told = |name: &str| format!("{name} terminate OwnerEnded({expected})");
        assert_eq!(installed(&desk).await, ["-"]);
        assert_eq!(seen.take(), [told("two"), told("one")]);
        assert_eq!(node.dead_letters(), 0);
        // Nobody else hears of the owner's end.
        desk.stop().await.unwrap();
        assert_eq!(seen.take(), ["lab terminate Stop"]);
    }
}

#[tokio::test(start_paused = true)]
async fn ge_003_a_handler_of_an_owner_that_is_gone_is_removed_at_once() {
    let node = Node::new("a");
    let (desk, seen) = (desk(&node).await, Seen::default());
    let owner = Owner::new(&node, false);
    node.exit(owner.pid(), ExitReason::Kill);
    own(&desk, ONE, ready("one", &seen), &owner).await.unwrap();
    assert_eq!(desk.which_handlers().await.unwrap(), []);
    assert_eq!(seen.take(), ["one init Added", "one terminate OwnerEnded(noproc)"]);
}

#[tokio::test(start_paused = true)]
async fn ge_004_a_stop_of_the_manager_is_told_once_per_handler() {
    let node = Node::new("a");
    let (desk, _, mut owner) = owned(&node).await;
    desk.stop_with(boom(), ms(100)).await.unwrap();
    hears(&mut owner, &desk, TWO, HandlerEnd::Shutdown).await;
    hears(&mut owner, &desk, ONE, HandlerEnd::Shutdown).await;
    // They are not linked any more by then: the reason does not reach it.
    owner.is_quiet().await;
}

#[tokio::test(start_paused = true)]
async fn ge_004_a_parent_that_owns_a_handler_hears_of_the_end_by_its_link_too() {
    let node = Node::new("a");
    let seen = Seen::default();
    let (tell, told) = oneshot::channel();
    let log = seen.clone();
    node.spawn(move |mut me: Process<Told>| async move {
        me.trap_exit(true);
        let desk: Desk = EventManager::server(()).start_link().await.unwrap();
        desk.add_sup_handler(LAB, ready("lab", &log), &me.as_ref(), Told::Gone).await.unwrap();
        // Of its parent it is the order to stop.
        me.exit(&desk, ExitReason::Shutdown);
        let Info::User(Told::Gone(gone)) = me.receive().await else { panic!("not told") };
        let Info::Exit(exit) = me.receive().await else { panic!("no exit") };
        let _ = tell.send((desk.pid(), gone.reason, exit.from, exit.reason));
    });
    let (desk, gone, from, reason) = in_time(told).await.unwrap();
    assert_eq!((gone, from, reason), (HandlerEnd::Shutdown, desk, ExitReason::Shutdown));
    assert_eq!(seen.take(), ["lab init Added", "lab terminate Stop"]);
}

#[tokio::test(start_paused = true)]
async fn a_manager_that_is_killed_takes_owners_along_that_do_not_trap_exits() {
    let node = Node::new("a");
    let (desk, _, mut owner) = owned(&node).await;
    let mortal = Owner::new(&node, false);
    own(&desk, LAB, ready("lab", &Seen::default()), &mortal).await.unwrap();
    node.exit(desk.pid(), ExitReason::Kill);
    assert_eq!(owner.next().await, Err((desk.pid(), ExitReason::Killed)));
    in_time(mortal.process.ended()).await;
    assert!(!node.is_alive(mortal.pid()));
}

#[tokio::test(start_paused = true)]
async fn rule_2_19_6_delete_and_remove_are_told_as_normal() {
    let node = Node::new("a");
    let (desk, _, mut owner) = owned(&node).await;
    desk.delete_handler(ONE, "bye").await.unwrap();
    hears(&mut owner, &desk, ONE, HandlerEnd::Normal).await;
    desk.notify(Event::Do("two", act(|_, _| remove_handler())));
    hears(&mut owner, &desk, TWO, HandlerEnd::Normal).await;
    owner.is_quiet().await;
}

#[tokio::test(start_paused = true)]
async fn ge_010_ge_013_ge_014_ge_015_a_crash_is_told_with_its_reason() {
    let crash = || act(|_, _| Err(Error::exit(boom())));
    for way in ["notify", "sync_notify", "info", "call"] {
        let node = Node::new("a");
        let (desk, _, mut owner) = owned(&node).await;
        match way {
            "notify" => desk.notify(Event::Do("one", crash())),
            "sync_notify" => desk.sync_notify(Event::Do("one", crash())).await.unwrap(),
            "info" => desk.send(Say::Do("one", crash())),
            _ => {
                let answer = desk.call_handler(ONE, |caller| Ask::Do(caller, crash())).await;
                assert_eq!(answer, Err(incarnate::CallError::Handler(Box::new(boom()))));
            }
        }
        hears(&mut owner, &desk, ONE, HandlerEnd::Error(boom())).await;
        owner.is_quiet().await;
        assert_eq!(installed(&desk).await, ["two"]);
    }
}

#[tokio::test(start_paused = true)]
async fn ge_002_an_owner_hears_nothing_of_a_handler_that_never_was() {
    let node = Node::new("a");
    let (desk, seen) = (desk(&node).await, Seen::default());
    let mut owner = Owner::trapping(&node);
    let failed = own(&desk, ONE, ready("one", &seen).begin(Begin::Fail), &owner).await;
    assert_eq!(failed, Err(AddError::Failed(boom())));
    owner.is_quiet().await;
}

#[tokio::test(start_paused = true)]
async fn rule_2_19_6_a_swap_keeps_the_owner_and_tells_it() {
    let node = Node::new("a");
    let (desk, seen, mut owner) = owned(&node).await;
    desk.swap_handler((ONE, "why"), (LAB, ready("lab", &seen))).await.unwrap();
    let swapped = |by: HandlerId, owner: &Owner| HandlerEnd::Swapped { by, owner: Some(owner.pid()) };
    let expected = swapped(LAB.id(), &owner);
    hears(&mut owner, &desk, ONE, expected).await;
    // By the handler itself, too.
    let log = seen.clone();
    desk.notify(Event::Do("lab", act(move |_, _| swap_handler("why", ONE, ready("one", &log)))));
    let expected = swapped(ONE.id(), &owner);
    hears(&mut owner, &desk, LAB, expected).await;
    desk.delete_handler(ONE, "").await.unwrap();
    hears(&mut owner, &desk, ONE, HandlerEnd::Normal).await;
    // One that fails is told as that of the new one.
    let log = seen.clone();
    let fails = act(move |_, _| swap_handler("why", LAB, ready("lab", &log).begin(Begin::Fail)));
    desk.notify(Event::Do("two", fails));
    let expected = swapped(LAB.id(), &owner);
    hears(&mut owner, &desk, TWO, expected).await;
    hears(&mut owner, &desk, LAB, HandlerEnd::Error(boom())).await;
    owner.is_quiet().await;
}

#[tokio::test(start_paused = true)]
async fn rule_2_19_6_swap_sup_makes_another_process_the_owner() {
    let node = Node::new("a");
    let (desk, seen, mut old) = owned(&node).await;
    let new = Owner::trapping(&node);
    let args = ready("lab", &seen);
    desk.swap_sup_handler((ONE, "why"), (LAB, args), &new.process, Told::Gone).await.unwrap();
    let expected = HandlerEnd::Swapped { by: LAB.id(), owner: Some(new.pid()) };
    hears(&mut old, &desk, ONE, expected).await;
    seen.take();
    node.exit(new.pid(), ExitReason::Kill);
    in_time(new.process.ended()).await;
    assert_eq!(installed(&desk).await, ["two"]);
    assert_eq!(seen.take(), ["lab terminate OwnerEnded(killed)"]);
    old.is_quiet().await;
}

#[tokio::test(start_paused = true)]
async fn a_message_to_the_owner_that_panics_harms_nobody() {
    let reports = Reports::record();
    let node = Node::new("a");
    let (desk, seen) = two(&node).await;
    let owner = Owner::trapping(&node);
    let added = desk.add_sup_handler(LAB, ready("lab", &seen), &owner.process, |_| panic!("no message"));
    added.await.unwrap();
    desk.delete_handler(LAB, "").await.unwrap();
    assert_eq!(installed(&desk).await, ["two", "one"]);
    assert_eq!(reports.targets(), ["gen_event"]);
}

#[tokio::test(start_paused = true)]
async fn ge_015_an_exit_of_one_who_owns_nothing_comes_as_info() {
    let node = Node::new("a");
    let (desk, seen) = two(&node).await;
    node.exit(desk.pid(), boom());
    desk.which_handlers().await.unwrap();
    assert_eq!(seen.take(), ["two Exit", "one Exit"]);
}

#[tokio::test(start_paused = true)]
async fn a_server_owns_a_handler_by_its_own_messages() {
    let node = Node::new("a");
    let (desk, seen) = two(&node).await;
    // The manager of another kind is a server as any.
    let (other, heard) = two(&node).await;
    desk.add_sup_handler(LAB, ready("lab", &seen), &other, Say::Gone).await.unwrap();
    desk.delete_handler(LAB, "").await.unwrap();
    other.which_handlers().await.unwrap();
    assert_eq!(heard.take(), ["two hears of -: normal", "one hears of -: normal"]);
}
