//! Casts and calls on one thread, for a count of instructions: `benches/instructions.sh` runs it under callgrind.
//!
//! Usage: `incarnate-instructions cast|call plain|upgradable COUNT`

use std::process::ExitCode;

use incarnate::gen_server::CodeChange;
use incarnate::handoff::StateVersion;
use incarnate::{CallReply, Context, GenServer, Init, Never, Next, Node, ReplyTo, Result, noreply};
use serde::{Deserialize, Serialize};

#[derive(Serialize, Deserialize)]
struct Counter(u64);

struct Get(ReplyTo<u64>);

impl GenServer for Counter {
    type Args = u64;
    type Call = Get;
    type Cast = u64;
    type Info = Never;
    type Continue = Never;

    async fn init(start: u64, _: &mut Context<Self>) -> Result<Init<Self>> {
        Ok(Init::Ready(Counter(start)))
    }

    async fn handle_call(&mut self, Get(to): Get, _: &mut Context<Self>) -> Result<CallReply> {
        to.reply(self.0)
    }

    async fn handle_cast(&mut self, amount: u64, _: &mut Context<Self>) -> Result<Next> {
        self.0 += amount;
        noreply()
    }
}

impl StateVersion for Counter {
    const VSN: u32 = 1;
    type Previous = Never;
}

impl CodeChange for Counter {
    const MODULE: &'static str = "counter";
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let [what @ ("cast" | "call"), kind @ ("plain" | "upgradable"), count] = arguments[..] else {
        eprintln!("usage: incarnate-instructions cast|call plain|upgradable COUNT");
        return ExitCode::from(2);
    };
    let Ok(count) = count.parse::<u64>() else {
        eprintln!("COUNT is no number: {count}");
        return ExitCode::from(2);
    };
    let server = Counter::server(0).on(&Node::new("bench"));
    let server = if kind == "upgradable" { server.upgradable() } else { server };
    let server = server.start().await.expect("the server starts");
    let mut sum = 0;
    match what {
        "call" => {
            for _ in 0..count {
                sum += server.call(Get).await.expect("the server answers");
            }
        }
        _ => {
            for n in 0..count {
                server.cast(1);
                // So often that the queue stays in the cache.
                if n % 256 == 255 {
                    tokio::task::yield_now().await;
                }
            }
            sum = server.call(Get).await.expect("the server answers") - count;
        }
    }
    assert_eq!(sum, 0, "each cast counts once");
    ExitCode::SUCCESS
}
