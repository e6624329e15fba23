//! Which version a message is of, and what is done with it.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use incarnate::gen_server::{CodeChange, GenServer, MessageOf, Resumed};
use incarnate::handoff::{ChangeError, StateVersion};
use incarnate::process::Message;
use incarnate::upgrade::{Direction, Report, Update, Upgrade, UpgradeError, Value, Versions};
use incarnate::{
    CallReply, Context, ExitReason, Info, Init, Never, Next, Node, ReplyTo, Result, ServerRef, Term, noreply,
    sys,
};
use serde::{Deserialize, Serialize};

use crate::wait::{in_time, polled_once};

const SECOND: Duration = Duration::from_secs(1);

/// What the desk has heard, each with the version that heard it.
struct Heard(ReplyTo<Vec<String>>);

enum Cast {
    Note(String),
    /// A note after so many milliseconds: as a timer, as a message, or unless another message comes before.
    Timer(u64),
    Later(u64),
    Event(u64),
}

type Desk = ServerRef<Heard, Cast, String>;

#[derive(Serialize, Deserialize)]
struct Pad {
    heard: Vec<String>,
    explodes: bool,
}

/// Pads that explode do when they are dropped.
static ARMED: AtomicBool = AtomicBool::new(false);
/// Who is told a note by each desk that is resumed.
static OTHERS: Mutex<Vec<Desk>> = Mutex::new(Vec::new());

impl Drop for Pad {
    fn drop(&mut self) {
        if self.explodes && ARMED.load(Ordering::Relaxed) {
            panic!("told to explode");
        }
    }
}

#[derive(Serialize, Deserialize)]
struct V1(Pad);
#[derive(Serialize, Deserialize)]
struct V2(Pad);
#[derive(Serialize, Deserialize)]
struct V3(Pad);

impl StateVersion for V1 {
    const VSN: u32 = 1;
    type Previous = Never;
}

impl StateVersion for V2 {
    const VSN: u32 = 2;
    type Previous = V1;

    fn up(V1(pad): V1, extra: &Term) -> Result<Self, ChangeError> {
        let millis = extra.decode().unwrap_or_default();
        std::thread::sleep(Duration::from_millis(millis)); // sleep: a slow conversion
        Ok(V2(pad))
    }

    fn down(self, _: &Term) -> Result<V1, ChangeError> {
        Ok(V1(self.0))
    }
}

impl StateVersion for V3 {
    const VSN: u32 = 3;
    type Previous = V2;

    fn up(V2(pad): V2, _: &Term) -> Result<Self, ChangeError> {
        Ok(V3(pad))
    }

    fn down(self, _: &Term) -> Result<V2, ChangeError> {
        Ok(V2(self.0))
    }
}

macro_rules! desk {
    ($version:ident) => {
        impl GenServer for $version {
            type Args = bool;
            type Call = Heard;
            type Cast = Cast;
            type Info = String;
            type Continue = Never;

            async fn init(explodes: bool, _: &mut Context<Self>) -> Result<Init<Self>> {
                Ok(Init::Ready($version(Pad { explodes, heard: Vec::new() })))
            }

            async fn handle_call(&mut self, Heard(to): Heard, _: &mut Context<Self>) -> Result<CallReply> {
                to.reply(std::mem::take(&mut self.0.heard))
            }

            async fn handle_cast(&mut self, cast: Cast, cx: &mut Context<Self>) -> Result<Next> {
                let (after, text) = (Duration::from_millis, format!("v{}", Self::VSN));
                match cast {
                    Cast::Note(note) => self.0.heard.push(format!("{note} in v{}", Self::VSN)),
                    Cast::Timer(ms) => _ = cx.start_timer(after(ms), format!("timer of {text}")),
                    Cast::Later(ms) => _ = cx.send_after(after(ms), format!("message of {text}")),
                    Cast::Event(ms) => cx.event_timeout(after(ms), format!("event of {text}")),
                }
                noreply()
            }

            async fn handle_info(&mut self, info: Info<String>, _: &mut Context<Self>) -> Result<Next> {
                match info {
                    Info::Timer(_, note) => {
                        self.0.heard.push(format!("{note} in v{} by reference", Self::VSN))
                    }
                    Info::User(note) => self.0.heard.push(format!("{note} in v{}", Self::VSN)),
                    _ => {}
                }
                noreply()
            }
        }

        impl CodeChange for $version {
            const MODULE: &'static str = "desk";

            async fn resumed(&mut self, _: Resumed, cx: &mut Context<Self>) -> Result<()> {
                let others = OTHERS.lock().unwrap_or_else(PoisonError::into_inner).clone();
                for other in others.iter().filter(|other| other.pid() != cx.pid()) {
                    other.cast(Cast::Note(format!("from v{}", Self::VSN)));
                }
                Ok(())
            }

            fn upcast(message: MessageOf<Self>, from: u32) -> Option<MessageOf<Self>> {
                Some(match message {
                    Message::Info(note) if note.contains("forgotten") => return None,
                    Message::Info(note) => Message::Info(format!("{note} <{from}")),
                    Message::Cast(Cast::Note(note)) => Message::Cast(Cast::Note(format!("{note} <{from}"))),
                    other => other,
                })
            }
        }
    };
}

desk!(V1);
desk!(V2);
desk!(V3);

async fn desk(node: &Node, explodes: bool) -> Desk {
    V1::server(explodes).upgradable().on(node).start().await.unwrap()
}

async fn change(node: &Node, from: u32, to: u32, millis: i64) -> Result<Report, UpgradeError> {
    let update = Update::new("desk", from, to).extra(Value::Integer(millis));
    let versions = Versions::new().with::<V1>().with::<V2>().with::<V3>();
    Upgrade::new("desks").up(update).run(node, &versions, Direction::Up).await
}

async fn pass(millis: u64) {
    tokio::time::sleep(Duration::from_millis(millis)).await; // sleep: virtual time
}

/// One who waits in the mailbox is looked at by each change; a timer's by the version that meets it.
#[tokio::test(start_paused = true)]
async fn a_message_is_of_the_version_that_was_in_force_when_it_was_sent() {
    let node = Node::new("a");
    let desk = desk(&node, false).await;
    for cast in [Cast::Timer(1000), Cast::Later(2000), Cast::Timer(7000)] {
        desk.cast(cast);
    }
    assert_eq!(desk.call(Heard).await, Ok(vec![]));
    change(&node, 1, 2, 0).await.unwrap();
    desk.cast(Cast::Later(4000));
    pass(3000).await;
    desk.send("plain".to_owned());
    let heard = ["timer of v1 <1 in v2 by reference", "message of v1 <1 in v2", "plain in v2"];
    assert_eq!(desk.call(Heard).await.unwrap(), heard);
    sys::suspend(&node, &desk, SECOND).await.unwrap();
    desk.send("waits".to_owned());
    change(&node, 2, 3, 0).await.unwrap();
    pass(2000).await;
    change(&node, 3, 2, 0).await.unwrap();
    pass(5000).await;
    sys::resume(&node, &desk, SECOND).await.unwrap();
    let heard = ["waits <2 <3 in v2", "message of v2 in v2", "timer of v1 <1 in v2 by reference"];
    assert_eq!(desk.call(Heard).await.unwrap(), heard);
}

#[tokio::test(start_paused = true)]
async fn an_event_timeout_crosses_also_when_it_has_fired() {
    let node = Node::new("a");
    let desk = desk(&node, false).await;
    desk.cast(Cast::Event(1000));
    change(&node, 1, 2, 0).await.unwrap();
    pass(2000).await;
    assert_eq!(desk.call(Heard).await.unwrap(), ["event of v1 <1 in v2"]);
    desk.cast(Cast::Event(1000));
    sys::suspend(&node, &desk, SECOND).await.unwrap();
    pass(2000).await;
    change(&node, 2, 3, 0).await.unwrap();
    sys::resume(&node, &desk, SECOND).await.unwrap();
    pass(1).await;
    assert_eq!(desk.call(Heard).await.unwrap(), ["event of v2 <2 in v3"]);
}

#[tokio::test(start_paused = true)]
async fn what_a_timer_brings_and_no_version_knows_is_a_dead_letter() {
    let node = Node::new("a");
    let desk = desk(&node, false).await;
    desk.start_timer(SECOND, "forgotten".to_owned());
    desk.send_after(SECOND, "forgotten too".to_owned());
    change(&node, 1, 2, 0).await.unwrap();
    let letters = node.dead_letters();
    pass(2000).await;
    assert_eq!((desk.call(Heard).await.unwrap(), node.dead_letters()), (vec![], letters + 2));
    change(&node, 2, 1, 0).await.unwrap();
}

/// Who goes on first tells those who still wait: these messages are of the new version.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_the_new_version_sends_is_not_taken_for_the_old_ones() {
    const MANY: usize = 300;
    let node = Node::new("a");
    let mut desks = Vec::new();
    for _ in 0..MANY {
        desks.push(desk(&node, false).await);
    }
    *OTHERS.lock().unwrap() = desks[..20].to_vec();
    change(&node, 1, 2, 0).await.unwrap();
    OTHERS.lock().unwrap().clear();
    for desk in &desks[..20] {
        let heard = desk.call(Heard).await.unwrap();
        assert_eq!(heard.len(), MANY - 1);
        assert!(heard.iter().all(|note| note == "from v2 in v2"), "{heard:?}");
    }
}

/// Nobody wants the state of a process that ended meanwhile.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_state_that_explodes_when_it_is_dropped_harms_nobody() {
    let node = Node::new("a");
    let mut desks = Vec::new();
    for at in 0..10 {
        desks.push(desk(&node, at == 5).await);
    }
    let changing = {
        let node = node.clone();
        tokio::spawn(async move { change(&node, 1, 2, 50).await })
    };
    while !node.process_info(desks[5].pid()).unwrap().suspended {
        tokio::task::yield_now().await;
    }
    let mut ended = Box::pin(desks[5].ended());
    polled_once(&mut ended).await;
    node.exit(desks[5].pid(), ExitReason::Kill);
    assert_eq!(in_time(ended).await, ExitReason::Killed);
    ARMED.store(true, Ordering::Relaxed);
    let report = in_time(changing).await.unwrap().unwrap();
    ARMED.store(false, Ordering::Relaxed);
    assert_eq!(report.modules[0].processes, 9);
    for desk in desks.iter().filter(|desk| desk.pid() != desks[5].pid()) {
        desk.cast(Cast::Note("on".to_owned()));
        assert_eq!(in_time(desk.call(Heard)).await.unwrap(), ["on in v2"]);
    }
}
