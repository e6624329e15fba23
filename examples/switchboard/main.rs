//! Switchboard: a server that speaks Redis's protocol, where every key and every connection is a process.
//!
//! ```text
//! switchboard            supervisor, rest_for_one
//!   keyspace             gen_server: owns the table, key to process
//!   keys                 dynamic supervisor
//!     one for each key   gen_server: the value, its expiry timer
//!   connections          dynamic supervisor
//!     one for each       process: reads requests, asks keys, writes replies
//!   listener             process: owns the socket, accepts
//! ```
//!
//! `resp`, `command`, `value`, `reply`, `error`, `number` and `glob` know no process: bytes become commands, an operation
//! on one key becomes a reply and a verdict about the key's life. They read no clock and do no IO.

mod clock;
mod command;
mod connection;
mod counted;
mod error;
mod glob;
mod key;
mod keys;
mod keyspace;
mod listener;
mod name;
mod number;
mod reply;
mod resp;
mod service;
mod table;
#[cfg(test)]
mod tests;
mod upgrades;
mod value;

use std::io::{IsTerminal, Write};
use std::net::{IpAddr, SocketAddr};
use std::process::ExitCode;
use std::sync::Arc;

use clap::Parser;
use incarnate::supervisor::SupervisorRef;
use incarnate::{ExitReason, Node, Timeout};
use rustix::process::{Resource, getrlimit, setrlimit};
use tokio::signal::unix::{Signal, SignalKind, signal};

use service::Service;

/// A server that speaks Redis's protocol, where every key is a process.
#[derive(Debug, Parser)]
#[command(name = "switchboard")]
struct Options {
    /// The port to listen on; 0 takes one that is free.
    #[arg(long, default_value_t = 7379)]
    port: u16,

    /// The address to listen on. There are no passwords: whoever reaches it may do everything.
    #[arg(long, default_value = "127.0.0.1")]
    bind: IpAddr,
}

/// Files that are kept for other things than clients.
const FILES_RESERVED: u64 = 64;

fn main() -> ExitCode {
    let options = match Options::try_parse() {
        Ok(options) => options,
        Err(error) if error.use_stderr() => {
            let text = error.to_string();
            let line = text.lines().next().unwrap_or_default();
            return fail(line.trim_start_matches("error: "), 2);
        }
        Err(help) => {
            // Nobody to tell, if even that cannot be written.
            let _printed = help.print();
            return ExitCode::SUCCESS;
        }
    };
    let log = tracing_subscriber::fmt().with_max_level(tracing::Level::WARN).with_writer(std::io::stderr);
    log.with_ansi(std::io::stderr().is_terminal()).init();
    let runtime = match tokio::runtime::Runtime::new() {
        Ok(runtime) => runtime,
        Err(error) => return fail(&format!("cannot start: {error}"), 1),
    };
    match runtime.block_on(run(SocketAddr::new(options.bind, options.port))) {
        Ok(()) => ExitCode::SUCCESS,
        Err(message) => fail(&message, 1),
    }
}

fn fail(message: &str, code: u8) -> ExitCode {
    eprintln!("switchboard: {message}");
    ExitCode::from(code)
}

async fn run(address: SocketAddr) -> Result<(), String> {
    let socket = listener::bind(address).map_err(|error| format!("cannot listen on {address}: {error}"))?;
    let address = socket.local_addr().map_err(|error| format!("cannot listen on {address}: {error}"))?;
    let cannot_hear = |error| format!("cannot hear signals: {error}");
    let mut signals = Signals {
        interrupt: signal(SignalKind::interrupt()).map_err(cannot_hear)?,
        terminate: signal(SignalKind::terminate()).map_err(cannot_hear)?,
    };
    let service = Arc::new(Service::new(address, most_clients()));
    let tree = service::tree(&service, socket);
    let shape = tree.to_string();
    let node = Node::new("switchboard");
    let root = tree.on(&node).start().await.map_err(|error| format!("cannot start: {error}"))?;
    banner(address, &shape);
    tokio::select! {
        reason = root.ended() => return Err(format!("the tree has ended: {reason}")),
        () = service.stopped() => {}
        () = signals.next() => {}
    }
    stop(&root, &node, &mut signals).await;
    Ok(())
}

/// Stops the tree in order. A second signal ends everything at once.
async fn stop(root: &SupervisorRef, node: &Node, signals: &mut Signals) {
    tokio::select! {
        // However it ended: it has.
        _ended = root.stop_with(ExitReason::Shutdown, Timeout::Infinity) => {}
        () = signals.next() => node.halt(),
    }
}

struct Signals {
    interrupt: Signal,
    terminate: Signal,
}

impl Signals {
    async fn next(&mut self) {
        tokio::select! {
            _ = self.interrupt.recv() => {}
            _ = self.terminate.recv() => {}
        }
    }
}

/// As many clients as there can be files, once the limit is as high as it may be without privileges.
fn most_clients() -> usize {
    let mut limit = getrlimit(Resource::Nofile);
    limit.current = limit.maximum;
    // If that is refused, what holds now is what there is.
    let _raised = setrlimit(Resource::Nofile, limit);
    let files = getrlimit(Resource::Nofile).current.unwrap_or(u64::MAX);
    usize::try_from(files.saturating_sub(FILES_RESERVED)).unwrap_or(usize::MAX)
}

/// Where it is, what runs, and what to try. A reader that has gone is no reason not to serve.
fn banner(address: SocketAddr, tree: &str) {
    let host = if address.ip().is_loopback() && address.is_ipv4() {
        String::new()
    } else {
        format!(" -h {}", address.ip())
    };
    let port = address.port();
    let _written = write!(
        std::io::stdout(),
        "switchboard on {address}: every key is a process\n\n{tree}\nTry: redis-cli{host} -p {port} set greeting hello\n"
    );
}
