//! A counter under a supervisor. It crashes, is started again, and its name leads to the new one.
//!
//! Run it with `cargo run --example counter`.

use incarnate::supervisor::{ChildSpec, Supervisor};
use incarnate::{CallReply, Context, GenServer, Init, Name, Never, Next, Node, ReplyTo, Result, noreply};

/// What can be asked. Each request carries the address that its answer goes to.
enum Call {
    Total(ReplyTo<i64>),
}

/// What can be told.
enum Cast {
    Add(&'static str),
}

/// Where the counter is found, whichever process it is at the moment.
const COUNTER: Name<Call, Cast> = Name::new("counter");

struct Counter {
    total: i64,
}

impl GenServer for Counter {
    type Args = i64;
    type Call = Call;
    type Cast = Cast;
    type Info = Never;
    type Continue = Never;

    async fn init(start: i64, _: &mut Context<Self>) -> Result<Init<Self>> {
        Ok(Init::Ready(Counter { total: start }))
    }

    async fn handle_call(&mut self, call: Call, _: &mut Context<Self>) -> Result<CallReply> {
        match call {
            Call::Total(caller) => caller.reply(self.total),
        }
    }

    /// `?` is let it crash: a counter that is told nonsense does not guess, it ends.
    async fn handle_cast(&mut self, cast: Cast, _: &mut Context<Self>) -> Result<Next> {
        match cast {
            Cast::Add(number) => self.total += number.parse::<i64>()?,
        }
        noreply()
    }
}

/// The example, for a test too: the totals before and after the crash.
pub async fn example() -> Result<[i64; 2], Box<dyn std::error::Error>> {
    let node = Node::new("example");
    let counter = ChildSpec::worker("counter", || Counter::server(40).name(COUNTER).start_link());
    let top = Supervisor::tree("top").child(counter).on(&node).start().await?;

    let first = COUNTER.on(&node)?;
    first.cast(Cast::Add("2"));
    let before = first.call(Call::Total).await?;
    println!("{} counts {before}", first.pid());

    // Who listens before the end hears the reason.
    let (reason, ()) = tokio::join!(first.ended(), async { first.cast(Cast::Add("two")) });
    println!("{} ended: {reason}", first.pid());

    // The supervisor heard of the end before we did, so it answers after the restart.
    print!("{}", top.tree().await?);
    let second = COUNTER.on(&node)?;
    let after = second.call(Call::Total).await?;
    println!("{} counts {after}", second.pid());
    top.stop().await?;
    Ok([before, after])
}

/// Public, so that a test can run it as it is.
#[tokio::main]
pub async fn main() -> Result<(), Box<dyn std::error::Error>> {
    example().await.map(|_| ())
}
