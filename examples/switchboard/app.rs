//! The application: configuration, socket, tree, and what it says when it is up.

use std::io::Write;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use incarnate::application::Spec;
use incarnate::{Application, Error, Result, Tree};
use rustix::process::{Resource, getrlimit, setrlimit};
use serde::Deserialize;

use crate::listener;
use crate::service::{self, Service};

/// Files that are kept for other things than clients.
const FILES_RESERVED: u64 = 64;

/// What it is configured with: the table `[switchboard]`.
#[derive(Debug, Deserialize)]
pub struct Config {
    /// 0 takes one that is free.
    port: u16,
    bind: IpAddr,
    /// Seconds after which a client that says nothing is closed; 0: never. Redis's `timeout`.
    idle_timeout: u32,
}

/// The application.
#[derive(Default)]
pub struct Switchboard {
    /// What to say when it is up.
    banner: OnceLock<String>,
}

impl Application for Switchboard {
    type Config = Config;

    fn spec(&self) -> Spec {
        Spec::new("switchboard", env!("CARGO_PKG_VERSION"))
            .description("a server that speaks Redis's protocol, where every key is a process")
            .env("port = 7379\nbind = '127.0.0.1'\nidle_timeout = 0")
            .start_phases(["announce"])
    }

    async fn start(&self, config: Arc<Config>) -> Result<Tree> {
        let wanted = SocketAddr::new(config.bind, config.port);
        let cannot = |error: std::io::Error| Error::msg(format!("cannot listen on {wanted}: {error}"));
        let socket = listener::bind(wanted).map_err(cannot)?;
        let address = socket.local_addr().map_err(cannot)?;
        let idle = (config.idle_timeout > 0).then(|| Duration::from_secs(config.idle_timeout.into()));
        let tree = service::tree(&Arc::new(Service::new(address, most_clients(), idle)), socket);
        // It is started once in the life of a program.
        self.banner.get_or_init(|| banner(address, &tree.to_string()));
        Ok(tree)
    }

    async fn start_phase(&self, _: &'static str, _: Arc<Config>) -> Result<()> {
        // A reader that has gone is no reason not to serve.
        let _written = write!(std::io::stdout(), "{}", self.banner.get().map_or("", String::as_str));
        Ok(())
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

/// Where it is, what runs, and what to try.
fn banner(address: SocketAddr, tree: &str) -> String {
    let host = if address.ip().is_loopback() && address.is_ipv4() {
        String::new()
    } else {
        format!(" -h {}", address.ip())
    };
    let port = address.port();
    format!(
        "switchboard on {address}: every key is a process\n\n{tree}\nTry: redis-cli{host} -p {port} set greeting hello\n"
    )
}
