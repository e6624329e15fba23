//! A server whose callbacks do what a test says, and note what they see.

use std::time::Duration;

use incarnate::gen_server::{SourceRef, Status, StatusView};
use incarnate::process::{Callback, ProcessInfo};
use incarnate::{
    CallError, CallReply, Context, ExitReason, GenServer, Info, Init, Next, Node, ReplyTo, Result, ServerRef,
    noreply,
};

pub use crate::scene::*;

/// What a callback does, given by the test.
pub type Act<T> = Box<dyn FnOnce(&mut Lab, &mut Context<Lab>) -> Result<T> + Send>;
type CallAct = Box<dyn FnOnce(ReplyTo<u32>, &mut Lab, &mut Context<Lab>) -> Result<CallReply> + Send>;
type InitAct = Box<dyn FnOnce(Lab, &mut Context<Lab>) -> Result<Init<Lab>> + Send>;
type EndAct = Box<dyn FnOnce(&ExitReason) -> Result<()> + Send>;

pub enum Call {
    Do(ReplyTo<u32>, CallAct),
    /// Awaits so long, then answers with the state.
    Slow(ReplyTo<u32>, Duration),
}

pub enum Cast {
    Do(Act<Next>),
    /// Awaits so long.
    Slow(Duration),
    /// Asks for a timed message after so long, and then awaits.
    Timed(Duration, Duration),
}

pub enum Say {
    Do(Act<Next>),
    Word(&'static str),
    /// What came from a source.
    Chunk(String),
}

pub type LabRef = ServerRef<Call, Cast, Say>;
pub type LabName = incarnate::Name<Call, Cast, Say>;

/// How a lab starts, ends and shows itself.
pub struct Plan {
    pub seen: Seen,
    pub slow: Duration,
    pub init: InitAct,
    pub end: Option<EndAct>,
    pub format: fn(&StatusView<'_, Lab>) -> Status,
}

impl Plan {
    pub fn new(
        seen: &Seen,
        init: impl FnOnce(Lab, &mut Context<Lab>) -> Result<Init<Lab>> + Send + 'static,
    ) -> Self {
        let format = |view: &StatusView<'_, Lab>| view.show(format!("value {}", view.state.value));
        Plan { seen: seen.clone(), slow: Duration::ZERO, init: Box::new(init), end: None, format }
    }

    /// An `init` that is done at once.
    pub fn ready(seen: &Seen) -> Self {
        Self::new(seen, |lab, _| Ok(Init::Ready(lab)))
    }

    /// A ready server that traps exits.
    pub fn trapping(seen: &Seen) -> Self {
        Self::new(seen, |lab, cx| {
            cx.trap_exit(true);
            Ok(Init::Ready(lab))
        })
    }

    pub fn slow(mut self, slow: Duration) -> Self {
        self.slow = slow;
        self
    }

    pub fn end(mut self, end: impl FnOnce(&ExitReason) -> Result<()> + Send + 'static) -> Self {
        self.end = Some(Box::new(end));
        self
    }

    pub fn format(mut self, format: fn(&StatusView<'_, Lab>) -> Status) -> Self {
        self.format = format;
        self
    }
}

pub struct Lab {
    pub seen: Seen,
    pub value: u32,
    pub kept: Vec<ReplyTo<u32>>,
    pub source: Option<SourceRef>,
    pub held: Option<Holder>,
    end: Option<EndAct>,
    format: fn(&StatusView<'_, Lab>) -> Status,
}

impl Lab {
    /// A state out of nothing.
    pub fn with(seen: Seen, value: u32) -> Self {
        let format = |view: &StatusView<'_, Lab>| view.show(format!("value {}", view.state.value));
        Lab { seen, value, kept: Vec::new(), source: None, held: None, end: None, format }
    }
}

impl GenServer for Lab {
    type Args = Plan;
    type Call = Call;
    type Cast = Cast;
    type Info = Say;
    type Continue = Act<Next>;

    async fn init(plan: Plan, cx: &mut Context<Self>) -> Result<Init<Self>> {
        pause(plan.slow).await;
        let Plan { seen, init, end, format, .. } = plan;
        init(Lab { seen, value: 0, kept: Vec::new(), source: None, held: None, end, format }, cx)
    }

    async fn handle_call(&mut self, call: Call, cx: &mut Context<Self>) -> Result<CallReply> {
        self.seen.note("call");
        match call {
            Call::Do(to, act) => act(to, self, cx),
            Call::Slow(to, time) => {
                pause(time).await;
                to.reply(self.value)
            }
        }
    }

    async fn handle_cast(&mut self, cast: Cast, cx: &mut Context<Self>) -> Result<Next> {
        self.seen.note("cast");
        match cast {
            Cast::Do(act) => act(self, cx),
            Cast::Slow(time) => {
                pause(time).await;
                noreply()
            }
            Cast::Timed(after, time) => {
                cx.event_timeout(after, Say::Word("timed"));
                pause(time).await;
                noreply()
            }
        }
    }

    async fn handle_info(&mut self, info: Info<Say>, cx: &mut Context<Self>) -> Result<Next> {
        self.seen.note(match &info {
            Info::User(Say::Do(_)) => "info".to_owned(),
            Info::User(Say::Word(word)) => format!("info {word}"),
            Info::User(Say::Chunk(chunk)) => format!("chunk {chunk}"),
            Info::Timer(_, Say::Word(word)) => format!("timer {word}"),
            Info::Timeout => "timeout".to_owned(),
            Info::Exit(exit) => format!("exit {}", exit.reason),
            Info::Down(down) => format!("down {}", down.reason),
            other => other.kind().to_owned(),
        });
        match info {
            Info::User(Say::Do(act)) => act(self, cx),
            _ => noreply(),
        }
    }

    async fn handle_continue(&mut self, act: Act<Next>, cx: &mut Context<Self>) -> Result<Next> {
        self.seen.note("continue");
        act(self, cx)
    }

    async fn terminate(&mut self, reason: &ExitReason, _: &mut Context<Self>) -> Result<()> {
        self.seen.note(format!("terminate {reason}"));
        self.end.take().map_or(Ok(()), |end| end(reason))
    }

    fn format_status(view: StatusView<'_, Self>) -> Status {
        (view.state.format)(&view)
    }
}

/// Has a lab do something in `handle_call`.
pub async fn ask(
    lab: &LabRef,
    act: impl FnOnce(ReplyTo<u32>, &mut Lab, &mut Context<Lab>) -> Result<CallReply> + Send + 'static,
) -> Result<u32, CallError> {
    lab.call(|to| Call::Do(to, Box::new(act))).await
}

/// Asks for the state; every message before has been served when it answers.
pub async fn value(lab: &LabRef) -> Result<u32, CallError> {
    ask(lab, |to, lab, _| to.reply(lab.value)).await
}

/// Has a lab do something in `handle_cast`.
pub fn tell(lab: &LabRef, act: impl FnOnce(&mut Lab, &mut Context<Lab>) -> Result<Next> + Send + 'static) {
    lab.cast(Cast::Do(Box::new(act)));
}

/// Has a lab do something in `handle_info`.
pub fn say(lab: &LabRef, act: impl FnOnce(&mut Lab, &mut Context<Lab>) -> Result<Next> + Send + 'static) {
    lab.send(Say::Do(Box::new(act)));
}

/// A continuation.
pub fn then(act: impl FnOnce(&mut Lab, &mut Context<Lab>) -> Result<Next> + Send + 'static) -> Act<Next> {
    Box::new(act)
}

/// A lab that nobody is linked to, and what it sees.
pub async fn lab(node: &Node) -> (LabRef, Seen) {
    let seen = Seen::default();
    (Lab::server(Plan::ready(&seen)).on(node).start().await.expect("a lab starts"), seen)
}

pub fn look(lab: &LabRef) -> ProcessInfo {
    lab.node().process_info(lab.pid()).expect("the lab lives")
}

/// Waits until it hibernates, without time passing.
pub async fn hibernates(lab: &LabRef) {
    until("hibernation", || look(lab).callback == Callback::Hibernating).await;
}

pub fn is_hibernated(lab: &LabRef) -> bool {
    look(lab).callback == Callback::Hibernating
}
