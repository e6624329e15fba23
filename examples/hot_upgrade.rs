//! A door that counts. Its code changes while people come in, up and down again: pid, count and who waits stay.

use incarnate::gen_server::CodeChange;
use incarnate::handoff::{ChangeError, StateVersion};
use incarnate::upgrade::{Direction, Upgrade, Versions};
use incarnate::{CallReply, Context, GenServer, Init, Never, Next, Node, ReplyTo, Result, Term, noreply};

/// Somebody comes in. With the last of a group, the caller who waits is told.
struct Enter(bool);

/// Each version has a state of its own: version 1 counts up to 255, version 2 further. Both keep a caller who waits.
#[derive(serde::Serialize, serde::Deserialize)]
struct Door<Count> {
    count: Count,
    waiting: Option<ReplyTo<String>>,
}

impl StateVersion for Door<u8> {
    const VSN: u32 = 1;
    type Previous = Never;
}

impl StateVersion for Door<u64> {
    const VSN: u32 = 2;
    type Previous = Door<u8>;
    fn up(Door { count, waiting }: Door<u8>, _: &Term) -> Result<Self, ChangeError> {
        Ok(Door { count: count.into(), waiting })
    }
    fn down(self, _: &Term) -> Result<Door<u8>, ChangeError> {
        let count = self.count.try_into().map_err(|_| ChangeError::lossy("how many came in"))?;
        Ok(Door { count, waiting: self.waiting })
    }
}

impl<Count: std::ops::AddAssign + From<u8> + std::fmt::Display + Send + 'static> GenServer for Door<Count> {
    type Args = ();
    type Call = ReplyTo<String>;
    type Cast = Enter;
    type Info = Never;
    type Continue = Never;
    async fn init(_: (), _: &mut Context<Self>) -> Result<Init<Self>> {
        Ok(Init::Ready(Door { count: 0.into(), waiting: None }))
    }
    async fn handle_call(&mut self, caller: Self::Call, _: &mut Context<Self>) -> Result<CallReply> {
        self.waiting = Some(caller);
        noreply()
    }
    async fn handle_cast(&mut self, Enter(last): Enter, _: &mut Context<Self>) -> Result<Next> {
        self.count += 1.into();
        if let Some(caller) = self.waiting.take_if(|_| last) {
            caller.send(format!("{} came in, counted in {}", self.count, std::any::type_name::<Count>()));
        }
        noreply()
    }
}

impl<Count> CodeChange for Door<Count>
where
    Self: GenServer + StateVersion,
{
    const MODULE: &'static str = "door";
}

/// Public, so that a test can run it as it is.
#[tokio::main(flavor = "current_thread")]
pub async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let (node, plan) = (Node::new("example"), Upgrade::new("wider").update("door", 1, 2));
    let door = Door::<u8>::server(()).upgradable().on(&node).start().await?;
    let versions = Versions::new().with::<Door<u8>>().with::<Door<u64>>();
    for way in [Direction::Up, Direction::Down, Direction::Up, Direction::Down] {
        let waiting = door.send_request(|to| to);
        let upgrade = plan.run(&node, &versions, way);
        (0..79).for_each(|_| door.cast(Enter(false)));
        println!("{way}: {}", upgrade.await.map_or_else(|no| no.to_string(), |done| done.to_string()));
        door.cast(Enter(true));
        println!("   {} {}", door.pid(), waiting.receive(std::time::Duration::from_secs(5)).await?);
    }
    Ok(())
}
