//! An event manager and handlers that do what a test says, and note what they see.

use std::future::Future;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use incarnate::gen_event::{
    EventHandler, EventManager, EventManagerName, EventManagerRef, Handler, HandlerContext, HandlerExit,
    HandlerInit, HandlerNext, HandlerView, Handover, Removal, keep,
};
use incarnate::gen_server::Status;
use incarnate::{Error, ExitReason, GenServer, Info, Node, ReplyTo, Result, Term};

pub type Desk = EventManagerRef<Event, Say>;
pub type DeskName = EventManagerName<Event, Say>;
/// What one handler is to do.
pub type Act = Arc<dyn Fn(&mut Lab, &mut HandlerContext<Lab>) -> Result<HandlerNext<Lab>> + Send + Sync>;

/// What handlers are told.
#[derive(Clone)]
pub enum Event {
    /// To be noted.
    Word(&'static str),
    /// To be done by the handler of this name.
    Do(&'static str, Act),
    /// Each handler needs so long.
    Slow(Duration),
}

/// What comes to the manager.
pub enum Say {
    Word(&'static str),
    Do(&'static str, Act),
    /// A supervised handler is gone.
    Gone(HandlerExit),
}

pub enum Ask {
    Value(ReplyTo<u32>),
    Do(ReplyTo<u32>, Act),
    /// Answers first.
    AnswerAndDo(ReplyTo<u32>, Act),
    /// Keeps the address until it is asked for its value.
    Later(ReplyTo<u32>),
}

/// What the callbacks have seen, in order.
#[derive(Clone, Default)]
pub struct Seen(Arc<Mutex<Vec<String>>>);

impl Seen {
    pub fn note(&self, what: impl Into<String>) {
        self.0.lock().unwrap().push(what.into());
    }

    /// What was seen since this was asked last.
    pub fn take(&self) -> Vec<String> {
        std::mem::take(&mut *self.0.lock().unwrap())
    }
}

/// How a lab begins.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Begin {
    Ready,
    Hibernate,
    Fail,
    Panic,
    /// Fails if it was to take the place of one that was not there.
    FailWithoutFormer,
}

pub struct Lab {
    pub name: &'static str,
    pub seen: Seen,
    pub value: u32,
    later: Vec<ReplyTo<u32>>,
}

impl Lab {
    pub fn with(&self, value: u32) -> Lab {
        Lab { name: self.name, seen: self.seen.clone(), value, later: Vec::new() }
    }

    fn note(&self, what: impl std::fmt::Display) {
        self.seen.note(format!("{} {what}", self.name));
    }
}

pub const LAB: Handler<Lab> = Handler::new();
pub const ONE: Handler<Lab> = Handler::with_id("one");
pub const TWO: Handler<Lab> = Handler::with_id("two");

pub fn boom() -> ExitReason {
    ExitReason::term("boom")
}

pub fn ms(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

/// Fails a test that hangs.
pub async fn in_time<T>(what: impl Future<Output = T>) -> T {
    tokio::time::timeout(ms(30_000), what).await.expect("it hangs")
}

/// What a handler is to do, as an event carries it.
pub fn act(
    act: impl Fn(&mut Lab, &mut HandlerContext<Lab>) -> Result<HandlerNext<Lab>> + Send + Sync + 'static,
) -> Act {
    Arc::new(act)
}

/// The arguments of a lab that begins as it should.
pub fn ready(name: &'static str, seen: &Seen) -> Args {
    Args { name, seen: seen.clone(), begin: Begin::Ready }
}

pub struct Args {
    pub name: &'static str,
    pub seen: Seen,
    pub begin: Begin,
}

impl Args {
    pub fn begin(self, begin: Begin) -> Self {
        Args { begin, ..self }
    }
}

impl EventHandler for Lab {
    type Event = Event;
    type Info = Say;
    type Args = Args;
    type Call = Ask;

    async fn init(args: Args, handover: Handover, _: &mut HandlerContext<Self>) -> Result<HandlerInit<Self>> {
        let Args { name, seen, begin } = args;
        let lab = Lab { name, seen, value: 0, later: Vec::new() };
        lab.note(format_args!("init {handover:?}"));
        match begin {
            Begin::Ready => Ok(HandlerInit::Ready(lab)),
            Begin::Hibernate => Ok(HandlerInit::Hibernate(lab)),
            Begin::FailWithoutFormer if handover != Handover::Missing => Ok(HandlerInit::Ready(lab)),
            Begin::FailWithoutFormer => Err(Error::exit(ExitReason::term("non_existing"))),
            Begin::Fail => Err(Error::exit(boom())),
            Begin::Panic => panic!("init panicked"),
        }
    }

    async fn handle_event(
        &mut self,
        event: &Event,
        cx: &mut HandlerContext<Self>,
    ) -> Result<HandlerNext<Self>> {
        match event {
            Event::Word(word) => self.note(format_args!("event {word}")),
            Event::Do(name, act) if *name == self.name => return act(self, cx),
            Event::Do(..) => self.note("event"),
            Event::Slow(time) => {
                tokio::time::sleep(*time).await; // sleep: the time that a callback takes; virtual
                self.note("was slow");
            }
        }
        keep()
    }

    async fn handle_call(&mut self, ask: Ask, cx: &mut HandlerContext<Self>) -> Result<HandlerNext<Self>> {
        match ask {
            Ask::Value(caller) => {
                caller.send(self.value);
                for (number, caller) in (100..).zip(self.later.drain(..)) {
                    caller.send(number);
                }
                keep()
            }
            Ask::Do(caller, act) => {
                // Nobody will answer.
                drop(caller);
                act(self, cx)
            }
            Ask::AnswerAndDo(caller, act) => {
                caller.send(self.value);
                act(self, cx)
            }
            Ask::Later(caller) => {
                self.later.push(caller);
                keep()
            }
        }
    }

    async fn handle_info(
        &mut self,
        info: &Info<Say>,
        cx: &mut HandlerContext<Self>,
    ) -> Result<HandlerNext<Self>> {
        match info {
            Info::User(Say::Do(name, act)) if *name == self.name => return act(self, cx),
            Info::User(Say::Word(word)) => self.note(format_args!("info {word}")),
            Info::User(Say::Gone(exit)) => {
                self.note(format_args!("hears of {}: {}", exit.handler.id().unwrap_or("-"), exit.reason));
            }
            Info::User(Say::Do(..)) => self.note("info"),
            other => self.note(other.kind()),
        }
        keep()
    }

    async fn terminate(&mut self, why: &Removal, _: &mut HandlerContext<Self>) -> Result<Term> {
        self.note(format_args!("terminate {why:?}"));
        if *why == Removal::Delete(Term::from("fail")) || *why == Removal::Swap(Term::from("fail")) {
            return Err(Error::exit(boom()));
        }
        Ok(Term::encode(&(self.name, self.value))?)
    }

    fn format_status(view: HandlerView<'_, Self>) -> Status {
        view.show(format!("{} has {}", view.state.name, view.state.value))
    }
}

/// A handler with nothing but what must be.
pub struct Bare;

pub const BARE: Handler<Bare> = Handler::new();

impl EventHandler for Bare {
    type Event = Event;
    type Info = Say;
    type Args = ();
    type Call = ReplyTo<()>;

    async fn init(_: (), _: Handover, _: &mut HandlerContext<Self>) -> Result<HandlerInit<Self>> {
        Ok(HandlerInit::Ready(Bare))
    }

    async fn handle_event(&mut self, _: &Event, _: &mut HandlerContext<Self>) -> Result<HandlerNext<Self>> {
        keep()
    }
}

/// A manager without handlers.
pub async fn desk(node: &Node) -> Desk {
    EventManager::server(()).on(node).start().await.unwrap()
}

/// A manager with the handlers one and two, two being the newer, and what they see from now on.
pub async fn two(node: &Node) -> (Desk, Seen) {
    let (desk, seen) = (desk(node).await, Seen::default());
    desk.add_handler(ONE, ready("one", &seen)).await.unwrap();
    desk.add_handler(TWO, ready("two", &seen)).await.unwrap();
    seen.take();
    (desk, seen)
}

/// The ids of those that are installed, the newest first.
pub async fn installed(desk: &Desk) -> Vec<String> {
    let handlers = desk.which_handlers().await.unwrap();
    handlers.iter().map(|id| id.id().unwrap_or("-").to_owned()).collect()
}
