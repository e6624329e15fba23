//! ractor between two processes: `incarnate-bench-ractor-cluster peer PORT` is the node with the server, until its
//! standard input ends. `incarnate-bench-ractor-cluster PORT WORKLOAD N MILLISECONDS` is the other one, and prints
//! `operations microseconds sum p50 p99 0`, as `benches/erlang/bench.erl` does.

#[path = "../../src/remote.rs"]
mod remote;

use std::{
    env,
    error::Error,
    net::{IpAddr, Ipv4Addr},
    time::Duration,
};

use ractor::{Actor, ActorProcessingErr, ActorRef, RpcReplyPort, pg, rpc::CallResult};
use ractor_cluster::{NodeServer, NodeServerMessage, RactorClusterMessage, client_connect};

use crate::remote::{Client, Work, measure, on_workers, serve};

/// By which a node finds the server of the other.
const GROUP: &str = "counters";

struct Counter;

#[derive(RactorClusterMessage)]
enum Message {
    #[rpc]
    Next(RpcReplyPort<u64>),
    #[rpc]
    Echo(String, RpcReplyPort<String>),
    Add(u64),
}

impl Actor for Counter {
    type Msg = Message;
    type State = u64;
    type Arguments = ();

    async fn pre_start(&self, me: ActorRef<Message>, _: ()) -> Result<u64, ActorProcessingErr> {
        pg::join(GROUP.into(), vec![me.get_cell()]);
        Ok(0)
    }

    async fn handle(
        &self,
        _: ActorRef<Message>,
        message: Message,
        total: &mut u64,
    ) -> Result<(), ActorProcessingErr> {
        match message {
            Message::Next(caller) => {
                *total += 1;
                let _gone = caller.send(*total);
            }
            Message::Echo(text, caller) => drop(caller.send(text)),
            Message::Add(amount) => *total += amount,
        }
        Ok(())
    }
}

#[derive(Clone)]
struct Remote(ActorRef<Message>);

/// No timeout, as is ractor's default.
impl Client for Remote {
    async fn next(&self) -> u64 {
        match self.0.call(Message::Next, None).await {
            Ok(CallResult::Success(total)) => total,
            _ => panic!("the actor answers"),
        }
    }

    async fn echo(&self, text: String) -> String {
        match self.0.call(|caller| Message::Echo(text, caller), None).await {
            Ok(CallResult::Success(text)) => text,
            _ => panic!("the actor answers"),
        }
    }

    async fn add(&self, amount: u64) {
        self.0.cast(Message::Add(amount)).expect("the actor lives");
    }
}

/// A node that listens at the port of the loopback address; 0 takes any.
async fn start_node(name: &str, port: u16) -> ActorRef<NodeServerMessage> {
    let node =
        NodeServer::new(port, "a cookie for benchmarks".into(), name.into(), "127.0.0.1".into(), None, None)
            .with_listen_addr(IpAddr::V4(Ipv4Addr::LOCALHOST));
    Actor::spawn(None, node, ()).await.expect("the node starts").0
}

async fn connect(port: u16) -> Remote {
    let node = start_node("a", 0).await;
    client_connect(&node, (Ipv4Addr::LOCALHOST, port)).await.expect("the other node is there");
    // The members of groups come over after the handshake.
    loop {
        match pg::get_members(&GROUP.to_owned()).pop() {
            Some(member) => return Remote(member.into()),
            None => tokio::time::sleep(Duration::from_millis(1)).await,
        }
    }
}

/// Is the node with the server.
fn be_peer(port: u16) -> Result<(), Box<dyn Error>> {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let _kept = runtime.block_on(async {
        (Actor::spawn(None, Counter, ()).await.expect("the actor starts"), start_node("b", port).await)
    });
    Ok(serve("ready")?)
}

fn main() -> Result<(), Box<dyn Error>> {
    let args: Vec<String> = env::args().skip(1).collect();
    let args: Vec<&str> = args.iter().map(String::as_str).collect();
    let [port, workload, n, millis] = args[..] else {
        return match args[..] {
            ["peer", port] => be_peer(port.parse()?),
            _ => Err("expected peer PORT, or PORT WORKLOAD N MILLISECONDS".into()),
        };
    };
    let port = port.parse()?;
    let work = Work::named(workload).ok_or("there is no such workload")?;
    let (n, time) = (n.parse()?, Duration::from_millis(millis.parse()?));
    let took = on_workers(async move { measure(connect(port).await, work, n, time).await });
    let percentile = |of: usize| took.latencies.get(took.latencies.len() * of / 100).copied().unwrap_or(0);
    let micros = took.elapsed.as_micros();
    println!("{} {micros} {} {} {} 0", took.ops, took.sum, percentile(50), percentile(99));
    Ok(())
}
