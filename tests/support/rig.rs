//! A machine whose callbacks do what a test says, and note what they see.

use incarnate::gen_server::Status;
use incarnate::gen_statem::{
    Actions, Context, Event, EventOf, GenStatem, HandleEvent, Init, Postpone, StatusView, Transition,
    keep_state, next_state,
};
use incarnate::process::Callback;
use incarnate::{CallError, Error, ExitReason, Info, Name, Node, Pid, ReplyTo, Result, ServerRef};

pub use crate::scene::*;

/// `Error` is a state like any other.
#[derive(Clone, Debug, PartialEq)]
pub enum State {
    Idle,
    Busy,
    Error,
}

/// What a callback does, given by the test.
pub type Act = Box<dyn FnOnce(&mut Rig, &mut State, &mut Context<Rig>) -> Result<Transition<Rig>> + Send>;
type CallAct = Box<dyn FnOnce(ReplyTo<u32>, &mut Rig, &mut Context<Rig>) -> Result<Transition<Rig>> + Send>;
type InitAct = Box<dyn FnOnce(Rig, &mut Context<Rig>) -> Result<Init<Rig>> + Send>;
type EndAct = Box<dyn FnOnce(&ExitReason) -> Result<()> + Send>;

pub enum Call {
    Do(ReplyTo<u32>, CallAct),
    /// Answered with the value.
    Get(ReplyTo<u32>),
    /// Put off until the machine is busy, then answered with the value.
    WhenBusy(ReplyTo<u32>),
    /// To the next state.
    Go(State, ReplyTo<()>),
}

pub struct Cast(pub Act);

pub type RigRef = ServerRef<Call, Cast, &'static str>;
pub type RigName = Name<Call, Cast, &'static str>;

/// How a rig starts and ends.
pub struct Plan {
    pub seen: Seen,
    pub init: InitAct,
    pub end: Option<EndAct>,
    pub format: Option<fn(&StatusView<'_, Rig>) -> Status>,
}

impl Plan {
    pub fn new(
        seen: &Seen,
        init: impl FnOnce(Rig, &mut Context<Rig>) -> Result<Init<Rig>> + Send + 'static,
    ) -> Self {
        Plan { seen: seen.clone(), init: Box::new(init), end: None, format: None }
    }

    pub fn ready(seen: &Seen) -> Self {
        Self::new(seen, |rig, _| Ok(Init::ready(State::Idle, rig)))
    }

    pub fn end(mut self, end: impl FnOnce(&ExitReason) -> Result<()> + Send + 'static) -> Self {
        self.end = Some(Box::new(end));
        self
    }

    pub fn format(mut self, format: fn(&StatusView<'_, Rig>) -> Status) -> Self {
        self.format = Some(format);
        self
    }
}

pub struct Rig {
    pub seen: Seen,
    pub value: u32,
    pub kept: Vec<ReplyTo<u32>>,
    pub held: Option<Holder>,
    end: Option<EndAct>,
    format: Option<fn(&StatusView<'_, Rig>) -> Status>,
}

impl Rig {
    /// Data out of nothing.
    pub fn with(seen: Seen, value: u32) -> Self {
        Rig { seen, value, kept: Vec::new(), held: None, end: None, format: None }
    }
}

impl GenStatem for Rig {
    type Args = Plan;
    type State = State;
    type Call = Call;
    type Cast = Cast;
    type Info = &'static str;
    type Internal = &'static str;
    type Timer = u8;
    type Mode = HandleEvent;

    async fn init(plan: Plan, cx: &mut Context<Self>) -> Result<Init<Self>> {
        let Plan { seen, init, end, format } = plan;
        init(Rig { seen, value: 0, kept: Vec::new(), held: None, end, format }, cx)
    }

    async fn handle_event(
        &mut self,
        event: EventOf<Self>,
        state: &mut State,
        cx: &mut Context<Self>,
    ) -> Result<Transition<Self>> {
        self.seen.note(match &event {
            Event::Info(Info::User(word)) => format!("info {word}"),
            Event::Info(Info::Exit(exit)) => format!("exit {}", exit.reason),
            Event::Info(other) => other.kind().to_owned(),
            Event::Internal(word) | Event::Timeout(word) | Event::StateTimeout(word) => {
                format!("{} {word}", event.kind())
            }
            Event::NamedTimeout(name, word) => format!("timeout {name} {word}"),
            other => other.kind().to_owned(),
        });
        match (event, &state) {
            (Event::Call(Call::Do(to, act)), _) => act(to, self, cx),
            (Event::Call(Call::Get(to)), _) => keep_state().reply(to, self.value),
            (Event::Call(Call::Go(next, to)), _) => next_state(next).reply(to, ()),
            (Event::Call(Call::WhenBusy(to)), State::Busy) => keep_state().reply(to, self.value),
            (event @ Event::Call(Call::WhenBusy(_)), _) => keep_state().postpone(event),
            (Event::Cast(Cast(act)), _) => act(self, state, cx),
            (Event::Info(Info::User("sleep")), _) => keep_state().hibernate(),
            _ => keep_state(),
        }
    }

    async fn terminate(&mut self, reason: &ExitReason, _: &mut State, _: &mut Context<Self>) -> Result<()> {
        self.seen.note(format!("terminate {reason}"));
        self.end.take().map_or(Ok(()), |end| end(reason))
    }

    fn format_status(view: StatusView<'_, Self>) -> Status {
        match view.data.format {
            Some(format) => format(&view),
            None => view.into(),
        }
    }
}

/// Has a rig do something with a call.
pub async fn ask(
    rig: &RigRef,
    act: impl FnOnce(ReplyTo<u32>, &mut Rig, &mut Context<Rig>) -> Result<Transition<Rig>> + Send + 'static,
) -> Result<u32, CallError> {
    rig.call(|to| Call::Do(to, Box::new(act))).await
}

/// Asks for the value; every message before has been handled when it answers.
pub async fn value(rig: &RigRef) -> Result<u32, CallError> {
    rig.call(Call::Get).await
}

/// Has a rig do something with a cast.
pub fn tell(
    rig: &RigRef,
    act: impl FnOnce(&mut Rig, &mut State, &mut Context<Rig>) -> Result<Transition<Rig>> + Send + 'static,
) {
    rig.cast(Cast(Box::new(act)));
}

/// A rig that nobody is linked to, and what it sees.
pub async fn rig(node: &Node) -> (RigRef, Seen) {
    let seen = Seen::default();
    (Rig::statem(Plan::ready(&seen)).on(node).start().await.expect("a rig starts"), seen)
}

pub fn is_hibernated(node: &Node, pid: Pid) -> bool {
    node.process_info(pid).expect("the rig lives").callback == Callback::Hibernating
}

/// Waits until it hibernates, without time passing.
pub async fn hibernates(rig: &RigRef) {
    until("hibernation", || is_hibernated(rig.node(), rig.pid())).await;
}

/// A crash with that reason.
pub fn crash<T>() -> Result<T> {
    Err(Error::exit(boom()))
}
