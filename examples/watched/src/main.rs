//! A service that Prometheus can watch: `cargo run -p incarnate-watched -- 127.0.0.1:9000`, then
//! `curl http://127.0.0.1:9000/metrics`.

use std::net::SocketAddr;
use std::time::Duration;

use incarnate::supervisor::{ChildSpec, Supervisor};
use incarnate::{CallReply, Context, GenServer, Init, Name, Never, Node, ReplyTo, Result};
use metrics_exporter_prometheus::{Matcher, PrometheusBuilder};

enum Call {
    Next(ReplyTo<u64>),
}

const TICKETS: Name<Call> = Name::new("tickets");

struct Tickets(u64);

impl GenServer for Tickets {
    type Args = ();
    type Call = Call;
    type Cast = Never;
    type Info = Never;
    type Continue = Never;

    async fn init(_: (), _: &mut Context<Self>) -> Result<Init<Self>> {
        Ok(Init::Ready(Tickets(0)))
    }

    async fn handle_call(&mut self, Call::Next(caller): Call, _: &mut Context<Self>) -> Result<CallReply> {
        self.0 += 1;
        caller.reply(self.0)
    }
}

/// Seconds: a call within a program takes microseconds, one that waits for a disk or a network milliseconds.
const SECONDS: [f64; 9] = [1e-6, 1e-5, 1e-4, 1e-3, 1e-2, 0.1, 0.5, 1.0, 5.0];
/// Messages that wait.
const LENGTHS: [f64; 6] = [0.0, 1.0, 10.0, 100.0, 1_000.0, 10_000.0];

#[tokio::main]
async fn main() -> std::result::Result<(), Box<dyn std::error::Error>> {
    let address: SocketAddr = std::env::args().nth(1).unwrap_or("127.0.0.1:9000".into()).parse()?;
    // First the exporter: what is counted before there is one goes nowhere.
    PrometheusBuilder::new()
        .with_http_listener(address)
        .set_buckets_for_metric(Matcher::Suffix("_seconds".into()), &SECONDS)?
        .set_buckets_for_metric(Matcher::Full("incarnate_mailbox_messages".into()), &LENGTHS)?
        .install()?;

    let node = Node::new("watched");
    // As often as Prometheus asks, or a little more often.
    let _observer = node.observe(Duration::from_secs(1));
    let tickets = ChildSpec::worker("tickets", || Tickets::server(()).name(TICKETS).start_link());
    let top = Supervisor::tree("top").child(tickets).on(&node).start().await?;

    println!("metrics at http://{address}/metrics");
    let ended = top.ended();
    tokio::pin!(ended);
    let mut tick = tokio::time::interval(Duration::from_millis(100));
    loop {
        tokio::select! {
            reason = &mut ended => return Err(reason.to_string().into()),
            _ = tick.tick() => {
                TICKETS.on(&node)?.call(Call::Next).await?;
            }
        }
    }
}
