//! A door with a code lock. The right buttons open it for a while; who knocks at a locked door waits until it opens.
//!
//! Run it with `cargo run --example door`.

use std::time::Duration;

use incarnate::gen_statem::{
    Actions, Context, Event, EventOf, GenStatem, HandleEvent, Init, Postpone, Transition, keep_state,
    next_state,
};
use incarnate::{Never, Node, ReplyTo, Result};

const LOCKS_AFTER: Duration = Duration::from_secs(10);

/// Answered when the door is open.
struct Knock(ReplyTo<&'static str>);
struct Button(u8);

/// The state. What only one state needs lives in it.
#[derive(PartialEq)]
enum Door {
    Locked { pressed: Vec<u8> },
    Open,
}

/// The data: the code.
struct CodeLock([u8; 3]);
const LOCKED: Door = Door::Locked { pressed: Vec::new() };

impl GenStatem for CodeLock {
    type Args = [u8; 3];
    type State = Door;
    type Call = Knock;
    type Cast = Button;
    type Info = Never;
    type Internal = ();
    type Timer = Never;
    type Mode = HandleEvent;

    async fn init(code: [u8; 3], _: &mut Context<Self>) -> Result<Init<Self>> {
        Ok(Init::ready(LOCKED, CodeLock(code)))
    }

    async fn handle_event(
        &mut self,
        event: EventOf<Self>,
        door: &mut Door,
        _: &mut Context<Self>,
    ) -> Result<Transition<Self>> {
        match (door, event) {
            (Door::Locked { pressed }, Event::Cast(Button(button))) => {
                pressed.push(button);
                match pressed.ends_with(&self.0) {
                    true => next_state(Door::Open).state_timeout(LOCKS_AFTER, ()),
                    false => keep_state().event_timeout(LOCKS_AFTER, ()),
                }
            }
            (Door::Locked { .. }, knock @ Event::Call(_)) => keep_state().postpone(knock),
            (Door::Open, Event::Call(Knock(guest))) => keep_state().reply(guest, "come in"),
            (_, Event::StateTimeout(()) | Event::Timeout(())) => next_state(LOCKED),
            _ => keep_state(),
        }
    }
}

/// The example, for a test too: what somebody hears who knocks before the door is open.
pub async fn example() -> Result<&'static str, Box<dyn std::error::Error>> {
    let door = CodeLock::statem([1, 2, 3]).on(&Node::new("house")).start().await?;
    let knock = door.send_request(Knock);
    [9, 1, 2, 3].into_iter().for_each(|button| door.cast(Button(button)));
    let heard = knock.receive(Duration::from_secs(1)).await?;
    println!("knock, knock: {heard}");
    Ok(heard)
}

/// Public, so that a test can run it as it is.
#[tokio::main]
pub async fn main() -> Result<(), Box<dyn std::error::Error>> {
    example().await.map(|_| ())
}
