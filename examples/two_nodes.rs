//! Two nodes: a counter on one of them is called and watched from the other, until its node goes.
//!
//! ```sh
//! cargo run --example two_nodes
//! ```

use incarnate::node::{Cookie, Distribution};
use incarnate::{
    CallReply, Context, GenServer, Info, Init, Name, Never, Node, Process, ReplyTo, Result, ServerRef,
};
use serde::{Deserialize, Serialize};

/// What crosses between nodes serialises, return addresses and references, too.
#[derive(Serialize, Deserialize)]
enum Call {
    Add(i64, ReplyTo<i64>),
    Who(ReplyTo<ServerRef<Call>>),
}

const COUNTER: Name<Call> = Name::new("counter");

struct Counter(i64);

impl GenServer for Counter {
    type Args = ();
    type Call = Call;
    type Cast = Never;
    type Info = Never;
    type Continue = Never;

    async fn init(_: (), _: &mut Context<Self>) -> Result<Init<Self>> {
        Ok(Init::Ready(Counter(0)))
    }

    async fn handle_call(&mut self, call: Call, cx: &mut Context<Self>) -> Result<CallReply> {
        match call {
            Call::Add(n, caller) => {
                self.0 += n;
                caller.reply(self.0)
            }
            Call::Who(caller) => caller.reply(cx.server()),
        }
    }
}

/// Runs the example.
#[tokio::main]
pub async fn main() -> Result<(), Box<dyn std::error::Error>> {
    // In one program here; in two, each has one of these lines, and both the same cookie.
    let (a, b) = (Node::new("a"), Node::new("b"));
    let cookie = Cookie::new("keep this one to yourselves");
    let on_a = Distribution::of(&a, cookie.clone()).listen("127.0.0.1:0").start().await?;
    let on_b = Distribution::of(&b, cookie).start().await?;
    Counter::server(()).name(COUNTER).on(&a).start().await?;
    on_a.expose(COUNTER);

    let there = on_b.connect(on_a.address().unwrap_or_default()).await?;
    println!("{} is connected with {}", b.name(), on_b.nodes().join(", "));
    // By its name, whoever has it then; or by a reference, which came over the wire.
    let by_name = COUNTER.at(&b, there);
    println!("2 are {}", by_name.call(|to| Call::Add(2, to)).await?);
    let counter = by_name.call(Call::Who).await?;
    println!("3 more are {}", counter.call(|to| Call::Add(3, to)).await?);

    let (tell, told) = tokio::sync::oneshot::channel();
    b.spawn(move |mut me: Process<()>| async move {
        me.monitor(&counter);
        if let Info::Down(down) = me.receive().await {
            let _nobody = tell.send(down.reason);
        }
    });
    on_a.stop().await;
    println!("the counter is gone: {}", told.await?);
    println!("and a call says: {}", by_name.call(|to| Call::Add(1, to)).await.unwrap_err());
    Ok(())
}
