//! incarnate between two nodes, every default in force: the 5 s deadline of a call, the heartbeat, the bound of what
//! waits to be sent.

use std::{env, process::Command, time::Duration};

use incarnate::{
    CallReply, Context, GenServer, Init, Name, Never, Next, Node, ReplyTo, Result, ServerRef,
    node::{Cookie, Distribution},
    noreply,
};
use serde::{Deserialize, Serialize};

use crate::{
    peer::Peer,
    remote::{Client, Work, measure, on_workers, serve},
    systems::{Sample, support},
    workload::Workload,
};

pub const COOKIE: &str = "a cookie for benchmarks";
const COUNTER: Name<Call, Cast> = Name::new("counter");

struct Counter(u64);

#[derive(Serialize, Deserialize)]
enum Call {
    Next(ReplyTo<u64>),
    Echo(String, ReplyTo<String>),
    Who(ReplyTo<Remote>),
}

#[derive(Serialize, Deserialize)]
enum Cast {
    Add(u64),
}

type Remote = ServerRef<Call, Cast>;

impl GenServer for Counter {
    type Args = ();
    type Call = Call;
    type Cast = Cast;
    type Info = Never;
    type Continue = Never;

    async fn init(_: (), _: &mut Context<Self>) -> Result<Init<Self>> {
        Ok(Init::Ready(Counter(0)))
    }

    async fn handle_call(&mut self, call: Call, cx: &mut Context<Self>) -> Result<CallReply> {
        match call {
            Call::Next(caller) => {
                self.0 += 1;
                caller.reply(self.0)
            }
            Call::Echo(text, caller) => caller.reply(text),
            Call::Who(caller) => caller.reply(cx.server()),
        }
    }

    async fn handle_cast(&mut self, Cast::Add(amount): Cast, _: &mut Context<Self>) -> Result<Next> {
        self.0 += amount;
        noreply()
    }
}

impl Client for Remote {
    async fn next(&self) -> u64 {
        self.call(Call::Next).await.expect("the server answers in time")
    }

    async fn echo(&self, text: String) -> String {
        self.call(|caller| Call::Echo(text, caller)).await.expect("the server answers in time")
    }

    async fn add(&self, amount: u64) {
        // Refused while 32 MiB wait to be sent.
        while self.try_cast(Cast::Add(amount)).is_err() {
            tokio::task::yield_now().await;
        }
    }
}

/// The workload of two processes: the other one is this program once more, as [`be_peer`].
pub fn run(workload: Workload, n: u64, time: Duration) -> Sample {
    let work = Work::named(workload.name()).expect("a workload of two processes");
    let program = env::current_exe().expect("this program has a path");
    let peer = Peer::start(Command::new(program).arg("--peer")).expect("the other node starts");
    let address = peer.said.clone();
    let took = on_workers(async move {
        let node = Node::new("a");
        let distribution = Distribution::of(&node, Cookie::new(COOKIE)).start().await.expect("it starts");
        let there = distribution.connect(address).await.expect("the other node is there");
        let counter = COUNTER.at(&node, there).call(Call::Who).await.expect("the server answers");
        measure(counter, work, n, time).await
    });
    let latencies = (!took.latencies.is_empty()).then(|| support::histogram(took.latencies));
    Sample { latencies, ..Sample::new(took.ops, took.elapsed, took.sum) }
}

/// Is the other node: says its address, and serves until its standard input ends.
pub fn be_peer() -> anyhow::Result<()> {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let address = runtime.block_on(async {
        let node = Node::new("b");
        let start = Distribution::of(&node, Cookie::new(COOKIE)).listen("127.0.0.1:0");
        let distribution = start.start().await?;
        Counter::server(()).name(COUNTER).on(&node).start().await?;
        distribution.expose(COUNTER);
        anyhow::Ok(distribution.address().unwrap_or_default().to_owned())
    })?;
    Ok(serve(&address)?)
}
