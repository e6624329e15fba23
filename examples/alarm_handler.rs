//! An alarm handler: alarms are events, and who acts on them comes and goes while they are raised.
//!
//! Run it with `cargo run --example alarm_handler`.

use std::collections::BTreeSet;

use incarnate::gen_event::{HandlerContext, HandlerInit, HandlerNext, Handover, Removal, keep};
use incarnate::{
    ChildSpec, EventHandler, EventManager, EventManagerName, GenServer, Handler, Never, Node, ReplyTo,
    Result, Supervisor, Term,
};

/// What is told to all handlers.
enum Alarm {
    Set(&'static str),
    Clear(&'static str),
}
/// Where alarms are raised, whether anybody acts on them or not.
const ALARMS: EventManagerName<Alarm> = EventManagerName::new("alarms");

/// Keeps the alarms that are set, which can be asked for, and which a successor is given.
struct Keep(BTreeSet<String>);
struct GetAlarms(ReplyTo<Vec<String>>);
const FIRST: Handler<Keep> = Handler::with_id("first");
const SECOND: Handler<Keep> = Handler::with_id("second");
type Cx = HandlerContext<Keep>;

impl EventHandler for Keep {
    type Event = Alarm;
    type Info = Never;
    type Args = ();
    type Call = GetAlarms;

    async fn init(_: (), handover: Handover, _: &mut Cx) -> Result<HandlerInit<Self>> {
        Ok(HandlerInit::Ready(Keep(match handover {
            Handover::Left(alarms) => alarms.decode()?,
            _ => BTreeSet::new(),
        })))
    }

    async fn handle_event(&mut self, alarm: &Alarm, _: &mut Cx) -> Result<HandlerNext<Self>> {
        match alarm {
            Alarm::Set(id) => _ = self.0.insert(id.to_string()),
            Alarm::Clear(id) => _ = self.0.remove(*id),
        }
        keep()
    }

    async fn handle_call(&mut self, ask: GetAlarms, _: &mut Cx) -> Result<HandlerNext<Self>> {
        ask.0.send(self.0.iter().cloned().collect());
        keep()
    }

    async fn terminate(&mut self, _: &Removal, _: &mut Cx) -> Result<Term> {
        Ok(Term::encode(&self.0)?)
    }
}

/// The example, for a test too: the alarms that are set in the end.
pub async fn example() -> Result<Vec<String>, Box<dyn std::error::Error>> {
    let node = Node::new("example");
    let child = ChildSpec::worker("alarms", || EventManager::server(()).name(ALARMS).start_link());
    let top = Supervisor::tree("top").child(child).on(&node).start().await?;
    let alarms = ALARMS.on(&node)?;
    alarms.add_handler(FIRST, ()).await?;
    alarms.notify(Alarm::Set("disk_full"));
    alarms.notify(Alarm::Set("door_open"));
    alarms.swap_handler((FIRST, "upgrade"), (SECOND, ())).await?;
    alarms.sync_notify(Alarm::Clear("door_open")).await?;
    let set = alarms.call_handler(SECOND, GetAlarms).await?;
    println!("alarms: {set:?}");
    top.stop().await?;
    Ok(set)
}

/// Public, so that a test can run it as it is.
#[tokio::main]
pub async fn main() -> Result<(), Box<dyn std::error::Error>> {
    example().await.map(drop)
}
