//! A change of the code: state and data together, another callback mode, and what stays with the process.

use incarnate::gen_statem::{
    Actions, CodeChange, Context, Event, EventOf, GenStatem, HandleEvent, Init, Postpone, StateData,
    StateFunction, StateFunctions, Statem, StatemRefOf, Transition, keep_state, next_state,
};
use incarnate::handoff::{ChangeError, ModuleVsn};
use incarnate::upgrade::{Direction, Upgrade, Versions, change_code};
use incarnate::{CallError, Never, Node, ReplyTo, Result, Term, sys};
use serde::{Deserialize, Serialize};

use crate::scene::*;

enum Call {
    Push(ReplyTo<u32>),
    /// Answered when the light is on.
    WhenOn(ReplyTo<u32>),
    /// Version 2 does not understand it; version 1 would put it off for ever.
    Old(ReplyTo<u32>),
}

/// Version 1: one function, two states.
#[derive(Serialize, Deserialize)]
struct Lamp {
    pushed: u32,
}

#[derive(PartialEq, Serialize, Deserialize)]
enum Light {
    Off,
    On,
}

impl GenStatem for Lamp {
    type Args = ();
    type State = Light;
    type Call = Call;
    type Cast = Never;
    type Info = Never;
    type Internal = u32;
    type Timer = u8;
    type Mode = HandleEvent;

    async fn init(_: (), _: &mut Context<Self>) -> Result<Init<Self>> {
        Ok(Init::ready(Light::Off, Lamp { pushed: 0 }).timeout(1, ms(2000), 10))
    }

    async fn handle_event(
        &mut self,
        event: EventOf<Self>,
        light: &mut Light,
        _: &mut Context<Self>,
    ) -> Result<Transition<Self>> {
        match (light, event) {
            (Light::Off, Event::Call(Call::Push(to))) => {
                self.pushed += 1;
                next_state(Light::On).reply(to, 1).state_timeout(ms(1000), 1)
            }
            (_, Event::Call(Call::Push(to))) => keep_state().reply(to, 1),
            (Light::On, Event::Call(Call::WhenOn(to))) => keep_state().reply(to, 1),
            (Light::On, Event::Call(Call::Old(to))) => keep_state().reply(to, 0),
            (_, event @ Event::Call(_)) => keep_state().postpone(event),
            (_, Event::StateTimeout(_)) => next_state(Light::Off),
            (_, Event::NamedTimeout(_, more)) => {
                self.pushed += more;
                keep_state()
            }
            _ => keep_state(),
        }
    }
}

impl CodeChange for Lamp {
    const MODULE: &'static str = "lamp";
    const VSN: u32 = 1;
    type Previous = Never;
}

/// Version 2: each state for itself.
#[derive(Serialize, Deserialize)]
struct Dimmer {
    pushed: u32,
}

#[derive(PartialEq, Serialize, Deserialize)]
struct Dark;

#[derive(PartialEq, Serialize, Deserialize)]
struct Bright {
    level: u32,
}

incarnate::state_functions! {
    #[derive(PartialEq, Serialize, Deserialize)]
    enum Level of Dimmer { Dark, Bright }
}

impl StateFunction<Dimmer> for Dark {
    async fn handle(
        &mut self,
        event: EventOf<Dimmer>,
        dimmer: &mut Dimmer,
        _: &mut Context<Dimmer>,
    ) -> Result<Transition<Dimmer>> {
        match event {
            Event::Call(Call::Push(to)) => {
                dimmer.pushed += 1;
                next_state(Bright { level: 2 }.into()).reply(to, 2)
            }
            Event::NamedTimeout(_, more) => {
                dimmer.pushed += more;
                keep_state()
            }
            event => keep_state().postpone(event),
        }
    }
}

impl StateFunction<Dimmer> for Bright {
    async fn handle(
        &mut self,
        event: EventOf<Dimmer>,
        dimmer: &mut Dimmer,
        _: &mut Context<Dimmer>,
    ) -> Result<Transition<Dimmer>> {
        match event {
            Event::Call(Call::Push(to) | Call::WhenOn(to)) => {
                keep_state().reply(to, 100 * dimmer.pushed + self.level)
            }
            Event::StateTimeout(_) => next_state(Dark.into()),
            Event::NamedTimeout(_, more) => {
                dimmer.pushed += more;
                keep_state()
            }
            _ => keep_state(),
        }
    }
}

impl GenStatem for Dimmer {
    type Args = ();
    type State = Level;
    type Call = Call;
    type Cast = Never;
    type Info = Never;
    type Internal = u32;
    type Timer = u8;
    type Mode = StateFunctions;

    async fn init(_: (), _: &mut Context<Self>) -> Result<Init<Self>> {
        Ok(Init::ready(Dark.into(), Dimmer { pushed: 0 }))
    }
}

impl CodeChange for Dimmer {
    const MODULE: &'static str = "lamp";
    const VSN: u32 = 2;
    type Previous = StateData<Lamp>;

    fn up(before: StateData<Lamp>, _: &Term) -> Result<StateData<Self>, ChangeError> {
        let state = match before.state {
            Light::Off => Dark.into(),
            Light::On => Bright { level: 1 }.into(),
        };
        Ok(StateData { state, data: Dimmer { pushed: before.data.pushed } })
    }

    fn down(this: StateData<Self>, _: &Term) -> Result<StateData<Lamp>, ChangeError> {
        let state = match this.state {
            Level::Dark(_) => Light::Off,
            Level::Bright(_) => Light::On,
        };
        Ok(StateData { state, data: Lamp { pushed: this.data.pushed } })
    }

    fn upcast(message: Message, _: u32) -> Option<Message> {
        Some(message).filter(|message| !matches!(message, incarnate::process::Message::Call(Call::Old(_))))
    }
}

type Message = incarnate::gen_server::MessageOf<Statem<Dimmer>>;

fn versions() -> Versions {
    Versions::new().with::<Statem<Lamp>>().with::<Statem<Dimmer>>()
}

async fn lamp(node: &Node) -> StatemRefOf<Lamp> {
    Lamp::statem(()).upgradable().on(node).start().await.unwrap()
}

async fn change(node: &Node, from: u32, to: u32) {
    let report = Upgrade::new("lamps").update("lamp", from, to).run(node, &versions(), Direction::Up).await;
    assert_eq!(report.unwrap().modules[0].processes, 1);
}

#[tokio::test(start_paused = true)]
async fn st_046_data_is_converted_the_callback_mode_changes_and_the_state_keeps_its_name() {
    let node = Node::new("a");
    let lamp = lamp(&node).await;
    assert_eq!(lamp.call(Call::Push).await, Ok(1));
    sys::suspend(&node, &lamp, ms(100)).await.unwrap();
    let to = ModuleVsn::new("lamp", 2);
    change_code(&node, &lamp, &versions(), &to, &Term::nil(), ms(100)).await.unwrap();
    sys::resume(&node, &lamp, ms(100)).await.unwrap();
    assert_eq!(lamp.call(Call::Push).await, Ok(101));
}

#[tokio::test(start_paused = true)]
async fn timeouts_and_postponed_calls_stay_with_the_process() {
    let node = Node::new("a");
    let lamp = lamp(&node).await;
    let (waits, old) = (lamp.send_request(Call::WhenOn), lamp.send_request(Call::Old));
    for (from, to) in [(1, 2), (2, 1), (1, 2)] {
        change(&node, from, to).await;
    }
    // Known to version 1 only: its caller hears it at once, and it is a dead letter.
    assert_eq!(old.receive(ms(10)).await, Err(CallError::NotUnderstood));
    assert_eq!(node.dead_letters(), 1);
    // The named timeout of version 1 comes to version 2, at its time.
    pause(ms(1900)).await;
    assert_eq!(lamp.call(Call::Push).await, Ok(2));
    assert_eq!(waits.receive(ms(10)).await, Ok(102));
}

#[tokio::test(start_paused = true)]
async fn the_state_timeout_goes_on_in_the_other_version() {
    let node = Node::new("a");
    let lamp = lamp(&node).await;
    assert_eq!(lamp.call(Call::Push).await, Ok(1));
    pause(ms(400)).await;
    change(&node, 1, 2).await;
    pause(ms(500)).await;
    assert_eq!(lamp.call(Call::Push).await, Ok(101));
    pause(ms(200)).await;
    // It is dark: the next push makes it bright anew.
    assert_eq!(lamp.call(Call::Push).await, Ok(2));
    pause(ms(2000)).await;
    assert_eq!(lamp.call(Call::Push).await, Ok(1202));
}

#[tokio::test(start_paused = true)]
async fn st_057_a_machine_that_says_nothing_of_versions_refuses_and_goes_on() {
    let node = Node::new("a");
    let lamp = Lamp::statem(()).on(&node).start().await.unwrap();
    sys::suspend(&node, &lamp, ms(100)).await.unwrap();
    let to = ModuleVsn::new("lamp", 2);
    assert!(change_code(&node, &lamp, &versions(), &to, &Term::nil(), ms(100)).await.is_err());
    sys::resume(&node, &lamp, ms(100)).await.unwrap();
    assert_eq!(lamp.call(Call::Push).await, Ok(1));
}
