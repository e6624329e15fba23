//! A bank that stays open while its clerks fall over: nested trees, `?` as "let it crash", a link and a monitor.

use incarnate::supervisor::{ChildSpec, Strategy, Supervisor, SupervisorName, SupervisorRef};
use incarnate::{CallReply, Context, GenServer, Info, Init, Name, Never, Node, Process, ReplyTo, Result};

enum Call {
    /// An amount as a customer writes it, for the balance after it.
    Deposit(&'static str, ReplyTo<i64>),
}

const CLERK: Name<Call> = Name::new("clerk");
const VAULT: Name<Call> = Name::new("vault");
const COUNTER: SupervisorName = SupervisorName::new("counter");

struct Account(&'static str, i64);

impl GenServer for Account {
    type Args = &'static str;
    type Call = Call;
    type Cast = Never;
    type Info = Never;
    type Continue = Never;

    async fn init(who: &'static str, cx: &mut Context<Self>) -> Result<Init<Self>> {
        println!("  {who} {} comes to work", cx.pid());
        Ok(Init::Ready(Account(who, 0)))
    }

    async fn handle_call(&mut self, call: Call, _: &mut Context<Self>) -> Result<CallReply> {
        let Call::Deposit(amount, caller) = call;
        self.1 += amount.parse::<i64>()?; // Let it crash: whoever supervises knows what to do.
        println!("  the {} takes {amount}", self.0);
        caller.reply(self.1)
    }
}

/// Opens the bank, lets a clerk crash, and answers what the vault holds in the end.
pub async fn open() -> Result<i64, Box<dyn std::error::Error>> {
    let vault = ChildSpec::worker("vault", || Account::server("vault").name(VAULT).start_link());
    let clerk = ChildSpec::worker("clerk", || Account::server("clerk").name(CLERK).start_link());
    let bank = Supervisor::tree("bank")
        .strategy(Strategy::RestForOne)
        .child(Supervisor::tree("cellar").child(vault))
        .child(Supervisor::tree("counter").name(COUNTER).child(clerk));
    println!("The plan:\n{bank}");
    let node = Node::new("bank");
    let bank = bank.on(&node).start().await?;
    println!("Open:\n{}", bank.tree().await?);
    VAULT.on(&node)?.call(|to| Call::Deposit("100", to)).await?;

    let guard = node.spawn(|mut guard: Process<()>| async move {
        let customer = guard.spawn(|customer: Process<()>| async move {
            // Linked: the friend at the door would fall too, did it not trap exits.
            customer.spawn_link(|mut friend: Process<()>| async move {
                friend.trap_exit(true);
                println!("  the friend gets {:?}", friend.receive().await);
            });
            CLERK.call(|to| Call::Deposit("ten", to)).await?;
            Result::Ok(())
        });
        guard.monitor(&customer);
        if let Info::Down(down) = guard.receive().await {
            println!("  the guard sees the customer fall: {}", down.reason);
        }
    });
    guard.ended().await;
    // A supervisor answers when it is done restarting.
    SupervisorRef::named_on(&node, COUNTER)?.count_children().await?;
    CLERK.on(&node)?.call(|to| Call::Deposit("10", to)).await?;
    let vault = VAULT.on(&node)?.call(|to| Call::Deposit("0", to)).await?;
    println!("There is a new clerk, and the vault never noticed:\n{}", bank.tree().await?);
    bank.stop().await?;
    Ok(vault)
}

/// Opens and closes.
#[tokio::main(flavor = "current_thread")]
pub async fn main() -> Result<(), Box<dyn std::error::Error>> {
    open().await.map(|vault| println!("Closed, with {vault} in the vault."))
}
