//! A shop under a supervisor gets another version as a whole: two modules and the tree. There is no way back.

use incarnate::gen_server::CodeChange;
use incarnate::handoff::{ChangeError, StateVersion};
use incarnate::supervisor::{ChildSpec, PartitionSupervisor, Supervisor, SupervisorName};
use incarnate::upgrade::{ChangeFlags, Direction, Place, Step, Update, Upgrade, Versions};
use incarnate::{CallReply, Context, GenServer, Init, Name, Never, Node, ReplyTo, Result, Term};

/// Asks for a piece, and is told how many have gone.
struct Buy(ReplyTo<u64>);
const STOCK: Name<Buy> = Name::new("stock");
const SHOP: SupervisorName = SupervisorName::new("shop");

/// The till and the stock, which the till asks. Their versions differ in nothing but their number.
#[derive(serde::Serialize, serde::Deserialize)]
struct Desk<const TILL: bool, const VSN: u32>(u64);

impl<const TILL: bool> StateVersion for Desk<TILL, 1> {
    const VSN: u32 = 1;
    type Previous = Never;
}

/// There is a way up and none back.
impl<const TILL: bool> StateVersion for Desk<TILL, 2> {
    const VSN: u32 = 2;
    type Previous = Desk<TILL, 1>;
    fn up(Desk(gone): Desk<TILL, 1>, _: &Term) -> Result<Self, ChangeError> {
        Ok(Desk(gone))
    }
}

impl<const TILL: bool, const VSN: u32> GenServer for Desk<TILL, VSN> {
    type Args = ();
    type Call = Buy;
    type Cast = Never;
    type Info = Never;
    type Continue = Never;
    async fn init(_: (), _: &mut Context<Self>) -> Result<Init<Self>> {
        Ok(Init::Ready(Desk(0)))
    }
    async fn handle_call(&mut self, Buy(caller): Buy, _: &mut Context<Self>) -> Result<CallReply> {
        self.0 = if TILL { STOCK.call(Buy).await? } else { self.0 + 1 };
        caller.reply(self.0)
    }
}

impl<const TILL: bool, const VSN: u32> CodeChange for Desk<TILL, VSN>
where
    Self: StateVersion,
{
    const MODULE: &'static str = if TILL { "till" } else { "stock" };
}

/// Public, so that a test can run it as it is.
#[tokio::main]
pub async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let stock = || Desk::<false, 1>::server(()).upgradable().name(STOCK).start_link();
    let tills = PartitionSupervisor::new("tills", |_| Desk::<true, 1>::server(()).upgradable().start_link());
    let shop = Supervisor::tree("shop").name(SHOP).child(ChildSpec::worker("stock", stock));
    let node = Node::new("example");
    let shop = shop.child(tills.partitions(1000)).on(&node).start().await?;
    let plan = Upgrade::new("shop 2")
        .both(Update::new("stock", 1, 2))
        .both(Update::new("till", 1, 2).depends_on("stock"))
        .up(Step::AddChild(Place::new("shop", "bell")))
        .up(Step::ChangeFlags(ChangeFlags { intensity: Some(3), ..ChangeFlags::of("shop") }));
    let versions = Versions::new().with::<Desk<true, 1>>().with::<Desk<true, 2>>();
    let versions = versions.with::<Desk<false, 1>>().with::<Desk<false, 2>>();
    let versions = versions.with_child(ChildSpec::worker("bell", || Desk::<false, 1>::start_link(())));
    println!("A dry run:\n{}\n", plan.check(&node, &versions, Direction::Up).await?);
    let mut running = plan.run(&node, &versions, Direction::Up);
    while let Some(progress) = running.progress().await {
        eprint!("\r{progress}\x1b[K"); // One line, which grows.
    }
    println!("\n{}\n{} children, the bell among them", running.await?, shop.count_children().await?.active);
    let refused = plan.run(&node, &versions, Direction::Down).await;
    println!("{}; piece {} is sold", refused.unwrap_err(), STOCK.on(&node)?.call(Buy).await?);
    Ok(())
}
