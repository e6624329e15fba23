//! The service as a whole: its tree, its counters, and what it tells about itself.

use std::fmt::Write;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use incarnate::supervisor::{ChildSpec, LiveTree, Strategy, Supervisor, SupervisorName, SupervisorRef, Tree};
use incarnate::{GenServer, Pid};

use crate::error::CommandError;
use crate::keys::{self, Keys};
use crate::keyspace::{KEYSPACE, Keyspace};
use crate::listener::{self, Socket};
use crate::resp::Arguments;
use crate::upgrades::Upgrades;

/// The top of the tree.
const SWITCHBOARD: SupervisorName = SupervisorName::new("switchboard");

/// Children of one supervisor that `OTP.TREE` shows; of the others it says how many they are.
const SHOWN: usize = 20;

/// What is known to all processes: where the service is, its limits and its counters.
pub struct Service {
    address: SocketAddr,
    most_clients: usize,
    since: Instant,
    clients: Arc<AtomicUsize>,
    accepted: AtomicU64,
    commands: AtomicU64,
    idle_timeout: Option<Duration>,
    upgrades: Upgrades,
}

/// A client that is connected, as long as this value lives.
pub struct Client {
    id: u64,
    clients: Arc<AtomicUsize>,
}

impl Client {
    /// Its number: no other ever has the same.
    pub fn id(&self) -> i64 {
        i64::try_from(self.id).unwrap_or(i64::MAX)
    }
}

impl Drop for Client {
    fn drop(&mut self) {
        self.clients.fetch_sub(1, Ordering::Relaxed);
    }
}

/// The tree: the table of keys before the keys, the keys before the connections that use them, and the listener last.
/// When one crashes, those behind it start anew too, since they hold what it has lost; when the tree stops, nobody is
/// accepted any more, then the connections end what they have begun, then the keys go.
pub fn tree(service: &Arc<Service>, socket: std::net::TcpListener) -> Tree {
    let (service, socket) = (service.clone(), Arc::new(Socket::new(socket)));
    let listen = move || listener::start_link(socket.clone(), service.clone());
    Supervisor::tree("switchboard")
        .strategy(Strategy::RestForOne)
        .name(SWITCHBOARD)
        .child(ChildSpec::worker("keyspace", || Keyspace::server(()).name(KEYSPACE).start_link()))
        .child(keys::supervisor())
        .child(listener::supervisor())
        .child(ChildSpec::worker("listener", listen))
}

impl Service {
    /// A service at this address for so many clients, each closed when it has said nothing for so long.
    pub fn new(address: SocketAddr, most_clients: usize, idle_timeout: Option<Duration>) -> Self {
        Service {
            address,
            most_clients,
            since: Instant::now(),
            clients: Arc::default(),
            accepted: AtomicU64::new(0),
            commands: AtomicU64::new(0),
            idle_timeout,
            upgrades: Upgrades::default(),
        }
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Counts a client in; `None` if there are as many as there may be.
    pub fn admit(&self) -> Option<Client> {
        let former = self.clients.fetch_add(1, Ordering::Relaxed);
        let id = self.accepted.fetch_add(1, Ordering::Relaxed) + 1;
        // One that is not let in counts itself out when it is dropped.
        let client = Client { id, clients: self.clients.clone() };
        (former < self.most_clients).then_some(client)
    }

    /// So many commands more were carried out.
    pub fn served(&self, commands: usize) {
        self.commands.fetch_add(commands as u64, Ordering::Relaxed);
    }

    /// What changes the code of keys.
    pub fn upgrades(&self) -> &Upgrades {
        &self.upgrades
    }

    /// How long a client may say nothing, if there is a limit.
    pub fn idle_timeout(&self) -> Option<Duration> {
        self.idle_timeout
    }

    /// The sections of `INFO` that are named; all, if none is.
    pub fn info(&self, sections: Arguments<'_>, keys: &Keys) -> String {
        let wanted = |name: &str| {
            let all: [&[u8]; 3] = [b"all", b"default", b"everything"];
            sections.is_empty()
                || sections.iter().any(|section| {
                    section.eq_ignore_ascii_case(name.as_bytes())
                        || all.iter().any(|all| section.eq_ignore_ascii_case(all))
                })
        };
        let parts = [
            ("Server", self.about_server()),
            ("Clients", self.about_clients()),
            ("Memory", about_memory()),
            ("Stats", self.about_stats(keys)),
            ("Keyspace", about_keys(keys)),
        ];
        let shown = parts.iter().filter(|(name, _)| wanted(name));
        shown.map(|(name, lines)| format!("# {name}\r\n{lines}")).collect::<Vec<_>>().join("\r\n")
    }

    fn about_server(&self) -> String {
        lines(&[
            ("redis_version", "7.0.15".to_owned()),
            ("redis_mode", "standalone".to_owned()),
            ("switchboard_version", env!("CARGO_PKG_VERSION").to_owned()),
            ("process_id", std::process::id().to_string()),
            ("tcp_port", self.address.port().to_string()),
            ("uptime_in_seconds", self.since.elapsed().as_secs().to_string()),
        ])
    }

    fn about_clients(&self) -> String {
        lines(&[
            ("connected_clients", self.clients.load(Ordering::Relaxed).to_string()),
            // No command waits for another client.
            ("blocked_clients", "0".to_owned()),
            ("maxclients", self.most_clients.to_string()),
        ])
    }

    fn about_stats(&self, keys: &Keys) -> String {
        let node = keys.node();
        lines(&[
            ("total_connections_received", self.accepted.load(Ordering::Relaxed).to_string()),
            ("total_commands_processed", self.commands.load(Ordering::Relaxed).to_string()),
            ("processes", node.process_count().to_string()),
            ("crashes", keys.table().crashes().to_string()),
            ("restarts", keys.table().restarts().to_string()),
            ("dead_letters", node.dead_letters().to_string()),
        ])
    }

    /// The supervision tree, with the keys' names.
    ///
    /// # Errors
    /// The tree is being stopped.
    pub async fn tree(&self, keys: &Keys) -> Result<String, CommandError> {
        let gone = |_| CommandError::Unavailable;
        let root = SupervisorRef::named(SWITCHBOARD).map_err(gone)?;
        let tree = root.tree().await.map_err(gone)?;
        let mut shown = Vec::new();
        each_shown(&tree, &mut |tree| shown.extend(tree.pid().copied()));
        shown.sort_unstable();
        let names = keys.names(|pid| shown.binary_search(&pid).is_ok());
        let mut text = String::new();
        draw(&tree, 0, &names, &mut text);
        Ok(text)
    }
}

fn about_memory() -> String {
    let rss = resident_bytes().unwrap_or(0);
    // Nobody counts what the allocator has given out: what the kernel says stands for both.
    lines(&[("used_memory", rss.to_string()), ("used_memory_rss", rss.to_string())])
}

fn about_keys(keys: &Keys) -> String {
    match keys.table().len() {
        0 => String::new(),
        count => lines(&[("db0", format!("keys={count}"))]),
    }
}

fn lines(pairs: &[(&str, String)]) -> String {
    pairs.iter().map(|(name, value)| format!("{name}:{value}\r\n")).collect()
}

/// What the kernel says that this program has in memory; only Linux says it so.
fn resident_bytes() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    line.trim().strip_suffix("kB")?.trim().parse::<u64>().ok().map(|kilobytes| kilobytes * 1024)
}

fn each_shown(tree: &LiveTree, see: &mut impl FnMut(&LiveTree)) {
    see(tree);
    tree.children().iter().take(SHOWN).for_each(|child| each_shown(child, see));
}

/// One line for each process, and for those that are not shown one for all.
fn draw(tree: &LiveTree, depth: usize, names: &[(Pid, String)], text: &mut String) {
    let indent = 2 * depth;
    let name = tree.pid().and_then(|pid| names.iter().find(|(named, _)| named == pid));
    let mut line = match (name, tree.strategy()) {
        (Some((_, name)), _) => format!("key {name:?}"),
        (None, Some(strategy)) => format!("{} supervisor {strategy}", tree.id()),
        (None, None) => tree.id().to_string(),
    };
    line.extend(tree.pid().map(|pid| format!(" {pid}")));
    // Writing to a string cannot fail.
    let _written = writeln!(text, "{:indent$}{line}", "");
    let children = tree.children();
    children.iter().take(SHOWN).for_each(|child| draw(child, depth + 1, names, text));
    if children.len() > SHOWN {
        let _written = writeln!(text, "{:indent$}  ... and {} more", "", children.len() - SHOWN);
    }
}
