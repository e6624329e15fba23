//! Plays the scenarios of `golden/statem` (its README says what they mean) with machines in both callback modes.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use incarnate::gen_statem::{
    Actions, Context, Enter, Event, EventActions, EventOf, GenStatem, HandleEvent, Init, Postpone,
    StateFunction, StateFunctions, Transition, When, keep_state, next_state, repeat_state, stop,
};
use incarnate::{CallError, ExitReason, Info, Node, ReplyTo, Result, ServerRef, sys};

const SETTLE: Duration = Duration::from_millis(20);

type Words = Vec<String>;

#[derive(Clone, Debug)]
enum Outcome {
    Keep,
    Repeat,
    Next(String),
    Stop(String),
}

/// What a machine does in one case.
#[derive(Clone, Debug)]
struct Rule {
    outcome: Outcome,
    actions: Vec<Words>,
}

/// State, type of event, content.
type Case = (String, String, String);

#[derive(Clone, Debug, Default)]
pub struct Scenario {
    pub name: String,
    enters: bool,
    init: Option<(String, Vec<Words>)>,
    rules: BTreeMap<Case, Vec<Rule>>,
    commands: Vec<Words>,
}

impl Scenario {
    pub fn all(text: &str) -> Vec<Self> {
        let mut all: Vec<Scenario> = Vec::new();
        for line in text.lines() {
            let words: Words = line.split_whitespace().map(Into::into).collect();
            match words.iter().map(String::as_str).collect::<Vec<_>>()[..] {
                [] | ["#", ..] => {}
                ["scenario", name, ref options @ ..] => {
                    let enters = options.contains(&"enter");
                    all.push(Scenario { name: name.into(), enters, ..Scenario::default() });
                }
                _ => all.last_mut().expect("a scenario").read(&words),
            }
        }
        all
    }

    fn read(&mut self, words: &[String]) {
        match words[0].as_str() {
            "init" => self.init = Some((words[1].clone(), actions(&words[2..]))),
            "do" => self.commands.push(words[1..].to_vec()),
            "on" => self.rule([&words[1], &words[2], &words[3]], &words[5..]),
            "enter" => self.rule([&words[1], "enter", "*"], &words[3..]),
            other => panic!("unknown: {other}"),
        }
    }

    fn rule(&mut self, [state, kind, content]: [&str; 3], result: &[String]) {
        let (outcome, rest) = match result[0].as_str() {
            "keep" => (Outcome::Keep, &result[1..]),
            "repeat" => (Outcome::Repeat, &result[1..]),
            "next" => (Outcome::Next(result[1].clone()), &result[2..]),
            "stop" => (Outcome::Stop(result[1].clone()), &result[2..]),
            other => panic!("unknown: {other}"),
        };
        let case = (state.into(), kind.into(), content.into());
        self.rules.entry(case).or_default().push(Rule { outcome, actions: actions(rest) });
    }
}

fn actions(words: &[String]) -> Vec<Words> {
    words.split(|word| word == ",").filter(|words| !words.is_empty()).map(<[String]>::to_vec).collect()
}

#[derive(Clone, Default)]
pub struct Log(Arc<Mutex<Vec<String>>>);

impl Log {
    fn note(&self, line: String) {
        self.0.lock().unwrap().push(line);
    }
}

/// A request; one that the machine has inserted itself has nobody to answer.
pub struct Ask {
    what: String,
    to: Option<ReplyTo<String>>,
}

/// What machines of both modes handle.
type Happening = Event<Ask, String, String, String, String>;

/// The data of a machine.
pub struct Rig {
    log: Log,
    scenario: Scenario,
    saved: BTreeMap<String, ReplyTo<String>>,
}

impl Rig {
    fn take_rule(&mut self, state: &str, kind: &str, content: &str) -> Rule {
        for state in [state, "*"] {
            for content in [content, "*"] {
                let case = (state.to_owned(), kind.to_owned(), content.to_owned());
                if let Some(rules) = self.scenario.rules.get_mut(&case) {
                    return if rules.len() > 1 { rules.remove(0) } else { rules[0].clone() };
                }
            }
        }
        Rule { outcome: Outcome::Keep, actions: Vec::new() }
    }

    fn handle<M: Machine>(&mut self, event: Happening, state: &str) -> Result<Transition<M>> {
        let (kind, content) = described(&event);
        self.log.note(format!("{state} {kind} {content}"));
        let Rule { outcome, actions } = self.take_rule(state, &kind, &content);
        let mut done = match outcome {
            Outcome::Keep => keep_state(),
            Outcome::Repeat => repeat_state(),
            Outcome::Next(state) => next_state(M::state(&state)),
            Outcome::Stop(reason) => stop(spoken(&reason)),
        };
        let mut event = Some(event);
        for action in &actions {
            let words: Vec<&str> = action.iter().map(String::as_str).collect();
            done = match words[..] {
                ["postpone"] => done.postpone(event.take().expect("it was postponed or answered")),
                ["insert", kind, content] => done.next_event(made(kind, content)),
                ["save"] => {
                    let ask = asked(&mut event);
                    self.saved.extend(ask.to.map(|to| (ask.what, to)));
                    done
                }
                ["reply", answer] => self.reply(done, asked(&mut event), answer),
                _ => self.act(done, &words),
            };
        }
        done
    }

    fn enter<M: Machine>(&mut self, from: Option<&str>, state: &str) -> Result<Enter<M>> {
        self.log.note(format!("{state} enter {}", from.unwrap_or(state)));
        let Rule { outcome, actions } = self.take_rule(state, "enter", "*");
        let done = match outcome {
            Outcome::Keep => keep_state(),
            Outcome::Repeat => repeat_state(),
            Outcome::Stop(reason) => stop(spoken(&reason)),
            Outcome::Next(_) => panic!("an enter call cannot change the state"),
        };
        actions
            .iter()
            .fold(done, |done, action| self.act(done, &action.iter().map(String::as_str).collect::<Vec<_>>()))
    }

    fn reply<M: Machine, T: Actions<M>>(&self, done: T, ask: Ask, answer: &str) -> T {
        let Some(to) = ask.to else { return done };
        self.log.note(format!("reply {} {answer}", ask.what));
        done.reply(to, answer.to_owned())
    }

    /// An action that a state enter call has, too.
    fn act<M: Machine, T: Actions<M>>(&mut self, done: T, words: &[&str]) -> T {
        match *words {
            ["reply_to", what, answer] => {
                let to = self.saved.remove(what);
                self.reply(done, Ask { what: what.to_owned(), to }, answer)
            }
            ["timeout", ref when @ .., content] => done.event_timeout(time(when), content.to_owned()),
            ["state_timeout", ref when @ .., content] => done.state_timeout(time(when), content.to_owned()),
            ["named", name, ref when @ .., content] => {
                done.timeout(name.to_owned(), time(when), content.to_owned())
            }
            ["update_state", content] => done.update_state_timeout(content.to_owned()),
            ["update", name, content] => done.update_timeout(name.to_owned(), content.to_owned()),
            ["cancel_state"] => done.cancel_state_timeout(),
            ["cancel", name] => done.cancel_timeout(name.to_owned()),
            _ => panic!("unknown: {words:?}"),
        }
    }

    fn init<M: Machine>(scenario: Scenario, log: Log) -> Init<M> {
        let (state, actions) = scenario.init.clone().unwrap_or_else(|| ("a".into(), Vec::new()));
        let mut spare = Rig { log: log.clone(), scenario: Scenario::default(), saved: BTreeMap::new() };
        let rig = Rig { log, scenario, saved: BTreeMap::new() };
        let ready = Init::ready(M::state(&state), M::of(rig));
        actions.iter().fold(ready, |ready, action| {
            match action.iter().map(String::as_str).collect::<Vec<_>>()[..] {
                ["insert", kind, content] => ready.next_event(made(kind, content)),
                ref words => spare.act(ready, words),
            }
        })
    }

    fn end(&self, reason: &ExitReason, state: &str) {
        self.log.note(format!("terminate {} {state}", word(reason)));
    }
}

fn described(event: &Happening) -> (String, String) {
    let content = match event {
        Event::Call(ask) => ask.what.clone(),
        Event::Cast(what) | Event::Info(Info::User(what)) | Event::Internal(what) => what.clone(),
        Event::Timeout(what) | Event::StateTimeout(what) => what.clone(),
        Event::NamedTimeout(name, what) => return (format!("named:{name}"), what.clone()),
        Event::Info(other) => format!("{other:?}"),
    };
    (event.kind().to_owned(), content)
}

fn made(kind: &str, content: &str) -> Happening {
    let content = content.to_owned();
    match kind {
        "call" => Event::Call(Ask { what: content, to: None }),
        "cast" => Event::Cast(content),
        "info" => Event::Info(Info::User(content)),
        "internal" => Event::Internal(content),
        "timeout" => Event::Timeout(content),
        "state_timeout" => Event::StateTimeout(content),
        named => Event::NamedTimeout(named.strip_prefix("named:").unwrap().to_owned(), content),
    }
}

fn asked(event: &mut Option<Happening>) -> Ask {
    match event.take() {
        Some(Event::Call(ask)) => ask,
        _ => panic!("no call is in work"),
    }
}

fn time(words: &[&str]) -> When {
    let millis = |text: &str| Duration::from_millis(text.parse().unwrap());
    match words {
        ["infinity"] => When::Never,
        ["abs", time] => When::At(tokio::time::Instant::now() + millis(time)),
        [time] => When::After(millis(time)),
        _ => panic!("no time: {words:?}"),
    }
}

fn spoken(reason: &str) -> ExitReason {
    if reason == "shutdown" { ExitReason::Shutdown } else { ExitReason::term(reason) }
}

fn word(reason: &ExitReason) -> String {
    reason.to_string().replace('"', "")
}

/// A machine of either mode.
pub trait Machine:
    GenStatem<Args = (Scenario, Log), Call = Ask, Cast = String, Info = String, Internal = String, Timer = String>
{
    fn of(rig: Rig) -> Self;
    fn state(name: &str) -> Self::State;
}

/// One function for all states. Whether states are entered is a constant: so there are two of them.
pub struct Handles<const ENTERS: bool>(Rig);

pub enum Whole {}

impl<const ENTERS: bool> Machine for Handles<ENTERS> {
    fn of(rig: Rig) -> Self {
        Handles(rig)
    }

    fn state(name: &str) -> String {
        name.to_owned()
    }
}

impl<const ENTERS: bool> GenStatem for Handles<ENTERS> {
    type Args = (Scenario, Log);
    type State = String;
    type Call = Ask;
    type Cast = String;
    type Info = String;
    type Internal = String;
    type Timer = String;
    type Mode = HandleEvent;

    const STATE_ENTER: bool = ENTERS;

    async fn init((scenario, log): (Scenario, Log), _: &mut Context<Self>) -> Result<Init<Self>> {
        Ok(Rig::init(scenario, log))
    }

    async fn handle_event(
        &mut self,
        event: EventOf<Self>,
        state: &mut String,
        _: &mut Context<Self>,
    ) -> Result<Transition<Self>> {
        self.0.handle(event, state)
    }

    async fn enter(
        &mut self,
        from: Option<&mut String>,
        state: &mut String,
        _: &mut Context<Self>,
    ) -> Result<Enter<Self>> {
        self.0.enter(from.map(|from| from.as_str()), state)
    }

    async fn terminate(
        &mut self,
        reason: &ExitReason,
        state: &mut String,
        _: &mut Context<Self>,
    ) -> Result<()> {
        self.0.end(reason, state);
        Ok(())
    }
}

/// A state of its own.
#[derive(PartialEq)]
pub struct Named<const NAME: char>;

type A = Named<'a'>;
type B = Named<'b'>;
type C = Named<'c'>;
type D = Named<'d'>;

/// Each state for itself.
pub struct Functions<const ENTERS: bool>(Rig);

pub enum ByState {}

macro_rules! machine_by_state {
    ($states:ident, $enters:literal) => {
        incarnate::state_functions! {
            #[derive(PartialEq)]
            pub enum $states of Functions<$enters> { A, B, C, D }
        }

        impl $states {
            fn name(&self) -> &'static str {
                match self {
                    $states::A(_) => "a",
                    $states::B(_) => "b",
                    $states::C(_) => "c",
                    $states::D(_) => "d",
                }
            }
        }

        impl<const NAME: char> StateFunction<Functions<$enters>> for Named<NAME> {
            async fn handle(
                &mut self,
                event: EventOf<Functions<$enters>>,
                data: &mut Functions<$enters>,
                _: &mut Context<Functions<$enters>>,
            ) -> Result<Transition<Functions<$enters>>> {
                data.0.handle(event, NAME.encode_utf8(&mut [0; 4]))
            }

            async fn enter(
                &mut self,
                from: Option<&mut $states>,
                data: &mut Functions<$enters>,
                _: &mut Context<Functions<$enters>>,
            ) -> Result<Enter<Functions<$enters>>> {
                data.0.enter(from.map(|from| from.name()), NAME.encode_utf8(&mut [0; 4]))
            }
        }

        impl Machine for Functions<$enters> {
            fn of(rig: Rig) -> Self {
                Functions(rig)
            }

            fn state(name: &str) -> $states {
                match name {
                    "a" => Named::<'a'>.into(),
                    "b" => Named::<'b'>.into(),
                    "c" => Named::<'c'>.into(),
                    _ => Named::<'d'>.into(),
                }
            }
        }

        impl GenStatem for Functions<$enters> {
            type Args = (Scenario, Log);
            type State = $states;
            type Call = Ask;
            type Cast = String;
            type Info = String;
            type Internal = String;
            type Timer = String;
            type Mode = StateFunctions;

            const STATE_ENTER: bool = $enters;

            async fn init((scenario, log): (Scenario, Log), _: &mut Context<Self>) -> Result<Init<Self>> {
                Ok(Rig::init(scenario, log))
            }

            async fn terminate(
                &mut self,
                reason: &ExitReason,
                state: &mut $states,
                _: &mut Context<Self>,
            ) -> Result<()> {
                self.0.end(reason, state.name());
                Ok(())
            }
        }
    };
}

machine_by_state!(States, false);
machine_by_state!(EnteredStates, true);

/// A callback mode: its two machines.
pub trait Mode {
    type Plain: Machine;
    type Entered: Machine;
}

impl Mode for Whole {
    type Plain = Handles<false>;
    type Entered = Handles<true>;
}

impl Mode for ByState {
    type Plain = Functions<false>;
    type Entered = Functions<true>;
}

/// Plays a scenario, answers its trace.
pub async fn play<P: Mode>(scenario: &Scenario) -> Vec<String> {
    if scenario.enters { run::<P::Entered>(scenario).await } else { run::<P::Plain>(scenario).await }
}

async fn run<M: Machine>(scenario: &Scenario) -> Vec<String> {
    let (node, log) = (Node::new("golden"), Log::default());
    let machine = M::statem((scenario.clone(), log.clone())).on(&node).start().await.unwrap();
    let ends = Log::default();
    let watch = tokio::spawn({
        let (machine, ends) = (machine.clone(), ends.clone());
        async move { ends.note(format!("down {}", word(&machine.ended().await))) }
    });
    tokio::time::sleep(SETTLE).await; // sleep: virtual time
    for command in &scenario.commands {
        log.note(format!("> {}", command.join(" ")));
        carry_out(command, &node, &machine, &ends).await;
        // Who is told of an end first is not for a trace to say: such lines stand in alphabetical order.
        let mut ended = std::mem::take(&mut *ends.0.lock().unwrap());
        ended.sort();
        ended.into_iter().for_each(|line| log.note(line));
    }
    watch.abort();
    std::mem::take(&mut *log.0.lock().unwrap())
}

async fn carry_out(command: &[String], node: &Node, machine: &ServerRef<Ask, String, String>, ends: &Log) {
    match command.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        ["sleep", time] => return tokio::time::sleep(Duration::from_millis(time.parse().unwrap())).await, // sleep: virtual time
        ["cast", what] => machine.cast(what.to_owned()),
        ["info", what] => machine.send(what.to_owned()),
        ["suspend"] => sys::suspend(node, machine, SETTLE).await.unwrap(),
        ["resume"] => sys::resume(node, machine, SETTLE).await.unwrap(),
        ["call", what] => {
            let what = what.to_owned();
            let request = machine.send_request(|to| Ask { what: what.clone(), to: Some(to) });
            let ends = ends.clone();
            tokio::spawn(async move {
                if let Err(CallError::Exit(reason)) = request.receive(incarnate::Timeout::Infinity).await {
                    ends.note(format!("failed {what} {}", word(&reason)));
                }
            });
        }
        ref other => panic!("unknown: {other:?}"),
    }
    tokio::time::sleep(SETTLE).await; // sleep: virtual time
}
