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

mod app;
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

use std::io::{IsTerminal, Write as _};
use std::net::IpAddr;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::Parser;
use incarnate::{App, Run};
use tracing_subscriber::filter::{LevelFilter, filter_fn};
use tracing_subscriber::fmt;
use tracing_subscriber::prelude::*;

use app::Switchboard;

/// A server that speaks Redis's protocol, where every key is a process.
#[derive(Debug, Parser)]
#[command(name = "switchboard")]
struct Options {
    /// The port to listen on; 0 takes one that is free [default: 7379].
    #[arg(long)]
    port: Option<u16>,

    /// The address to listen on. There are no passwords: whoever reaches it may do everything [default: 127.0.0.1].
    #[arg(long)]
    bind: Option<IpAddr>,

    /// A TOML file with a table [switchboard]: port, bind, idle_timeout. Environment variables such as SWITCHBOARD__PORT come
    /// before it, and options before these.
    #[arg(long)]
    config: Option<PathBuf>,
}

fn main() -> ExitCode {
    let options = match Options::try_parse() {
        Ok(options) => options,
        Err(error) if error.use_stderr() => {
            let text = error.to_string();
            let line = text.lines().next().unwrap_or_default();
            // Nobody to tell, if that cannot be written.
            let _told = writeln!(std::io::stderr(), "switchboard: {}", line.trim_start_matches("error: "));
            return ExitCode::from(2);
        }
        Err(help) => {
            let _printed = help.print();
            return ExitCode::SUCCESS;
        }
    };
    let log = fmt::layer().with_writer(std::io::stderr).with_ansi(std::io::stderr().is_terminal());
    // Why the program ends is its last line anyway.
    let wanted = filter_fn(|event| event.fields().field("takes_node").is_none());
    let log = log.with_filter(LevelFilter::WARN).with_filter(wanted);
    tracing_subscriber::registry().with(log).init();
    let given = [
        options.port.map(|port| format!("switchboard.port={port}")),
        options.bind.map(|bind| format!("switchboard.bind='{bind}'")),
    ];
    let run = Run::new(App::new(Switchboard::default())).environment().arguments(given.into_iter().flatten());
    match options.config {
        Some(file) => run.config_file(file).main(),
        None => run.main(),
    }
}
