//! The distribution of a node: how it is reached, and whom it reaches.

use std::fmt;
use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{mpsc, oneshot};

use super::connection::Limits;
use super::driver::{self, Driver, Event};
use super::handshake::{Cookie, Identity, LONGEST_NAME, NotConnected};
use super::machine::{DownBecause, Keep, LONGEST_ADDRESS, Machine, Settings};
use super::shared::Shared;
use super::spawn::{self, Spawnable};
use super::transport::{Tcp, Transport};
use crate::gen_server::{GenServer, Start as ServerStart};
use crate::process::elsewhere::{Network, PeerInfo, intake};
use crate::process::{IntoExit, Me, Node, Process, Wire};
use crate::term::{Name, Never, NodeId};

/// Events that wait for the driver, at most: who brings more waits.
const EVENTS: usize = 256;

/// A node that others reach, and that reaches them (`net_kernel`). Cheap to clone; it goes on when all clones are dropped,
/// until [`stop`](Self::stop) or the end of the runtime.
#[derive(Clone)]
pub struct Distribution {
    shared: Arc<Shared>,
    tell: mpsc::Sender<Event>,
    address: Option<Arc<str>>,
}

/// The start of a node's distribution, and its options.
#[must_use = "nothing is started until `start` is awaited"]
pub struct Start {
    node: Node,
    cookie: Cookie,
    listen: Option<String>,
    advertised: Option<String>,
    peers: Vec<String>,
    learns: bool,
    deadline: Duration,
    handshake: Duration,
    redial: (Duration, Duration),
    releases: (u32, u32),
    limits: Limits,
    transport: Arc<dyn Transport>,
}

/// Why a node's distribution was not started. Nothing was changed.
#[derive(Debug)]
#[non_exhaustive]
pub enum StartError {
    /// It has been before: a node is distributed once.
    Started,
    /// The name of the node is empty or longer than 255 bytes.
    BadName,
    /// The cookie is empty.
    NoCookie,
    /// An option is out of its range: which, and what it may be.
    BadOption(&'static str),
    /// It cannot listen at this address.
    Listen(String, io::Error),
    /// The machine gives no random numbers.
    NoRandomness(String),
}

impl fmt::Display for StartError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            StartError::Started => f.write_str("the node is distributed already"),
            StartError::BadName => {
                write!(f, "the name of the node is empty or longer than {LONGEST_NAME} bytes")
            }
            StartError::NoCookie => f.write_str("the cookie is empty: everybody would know it"),
            StartError::BadOption(what) => f.write_str(what),
            StartError::Listen(address, error) => write!(f, "cannot listen at {address}: {error}"),
            StartError::NoRandomness(error) => write!(f, "the machine gives no random numbers: {error}"),
        }
    }
}

impl std::error::Error for StartError {}

impl Start {
    /// Others connect to this address, such as `0.0.0.0:4370`; port 0 takes any. Without one the node connects to others,
    /// and nobody to it.
    pub fn listen(mut self, address: impl Into<String>) -> Self {
        self.listen = Some(address.into());
        self
    }

    /// Is to be connected with whoever is at these addresses, again after each loss. An address may be the node's own: the
    /// same list does for all.
    pub fn peers<A: Into<String>>(mut self, addresses: impl IntoIterator<Item = A>) -> Self {
        self.peers.extend(addresses.into_iter().map(Into::into));
        self
    }

    /// Is to be connected with whoever is at these addresses, as by [`peers`](Self::peers), and with all that those are
    /// connected with: one address that others know is enough to join them. Those that are learned of so are dialled again
    /// after a loss as long as anybody is connected with them, and for a minute or so more.
    pub fn seeds<A: Into<String>>(mut self, addresses: impl IntoIterator<Item = A>) -> Self {
        self.learns = true;
        self.peers(addresses)
    }

    /// Where others reach this node, which they tell each other: the address where it listens, unless said here. One that
    /// listens at all addresses of its machine, or behind a translation of them, has to say it; else nobody learns of it.
    pub fn advertise(mut self, address: impl Into<String>) -> Self {
        self.advertised = Some(address.into());
        self
    }

    /// A node that says nothing for so long is lost: 1 s, unless said here (`net_ticktime`, which is 60 s in OTP). All nodes
    /// need the same.
    pub fn heartbeat_deadline(mut self, deadline: Duration) -> Self {
        self.deadline = deadline;
        self
    }

    /// The releases that this node works with, first and last: 1 to 1, unless said here. Nodes that have none in common do
    /// not connect.
    pub fn releases(mut self, first: u32, last: u32) -> Self {
        self.releases = (first, last);
        self
    }

    /// The longest message, in bytes on the wire: 16 MiB, unless said here. All nodes need the same.
    pub fn longest_message(mut self, bytes: u32) -> Self {
        self.limits.frame = bytes;
        self
    }

    /// So many bytes of messages may wait to be sent to one node, and as many in bulk: 32 MiB, unless said here.
    ///
    /// A process that sends while more than half of that waits takes no further message until there is room. At the bound a
    /// call waits for room, within its timeout; anything else is refused as by a full mailbox.
    pub fn queue_bound(mut self, bytes: usize) -> Self {
        self.limits.queue = bytes;
        self
    }

    /// What carries the bytes: TCP, unless said here.
    pub fn transport(mut self, transport: impl Transport) -> Self {
        self.transport = Arc::new(transport);
        self
    }

    fn check(&self) -> Result<(), StartError> {
        let name = self.node.name();
        if name.is_empty() || name.len() > LONGEST_NAME {
            return Err(StartError::BadName);
        }
        if self.cookie.is_empty() {
            return Err(StartError::NoCookie);
        }
        if self.deadline < Duration::from_millis(20) {
            return Err(StartError::BadOption("the heartbeat deadline is below 20 ms"));
        }
        if self.releases.0 > self.releases.1 {
            return Err(StartError::BadOption("the first release is higher than the last"));
        }
        if self.advertised.as_ref().is_some_and(|it| it.is_empty() || it.len() > LONGEST_ADDRESS) {
            return Err(StartError::BadOption("the address to advertise is empty or longer than 255 bytes"));
        }
        if self.limits.frame < 1024 || self.limits.queue < 1024 {
            return Err(StartError::BadOption("a bound is below 1,024 bytes, which signals may need"));
        }
        Ok(())
    }

    /// Starts it.
    ///
    /// # Errors
    /// See [`StartError`].
    ///
    /// # Cancel safety
    /// Dropping the future starts nothing, or all of it.
    pub async fn start(self) -> Result<Distribution, StartError> {
        self.check()?;
        let mut seed = [0; 32];
        getrandom::fill(&mut seed).map_err(|error| StartError::NoRandomness(error.to_string()))?;
        let listener = match &self.listen {
            Some(at) => {
                let listening = self.transport.listen(at).await;
                Some(listening.map_err(|error| StartError::Listen(at.clone(), error))?)
            }
            None => None,
        };
        let shared = Arc::new(Shared::new(&self.node, self.limits));
        if !self.node.join(shared.clone()) {
            return Err(StartError::Started);
        }
        let me = Identity {
            name: self.node.name().into(),
            creation: self.node.creation(),
            releases: self.releases,
        };
        let address: Option<Arc<str>> = listener.as_ref().map(|listener| listener.address().into());
        let advertised =
            self.advertised.as_deref().or_else(|| address.as_deref().filter(|it| is_specific(it)));
        let settings = Settings {
            address: advertised.map(Arc::from),
            learns: self.learns,
            me,
            cookie: self.cookie,
            deadline: self.deadline,
            handshake: self.handshake,
            redial: self.redial,
        };
        let (tell, events) = mpsc::channel(EVENTS);
        if !self.transport.encrypts() {
            warn_of_readers(self.node.name(), address.as_deref());
        }
        let machine = Machine::new(settings, nonce);
        let runtime = self.node.runtime();
        let driver = Driver::new(machine, shared.clone(), self.transport, (tell.clone(), events));
        runtime.spawn(driver.run());
        if let Some(listener) = listener {
            runtime.spawn(driver::accept(listener, tell.clone()));
        }
        for to in self.peers {
            let _over = tell.send(Event::Connect { to, keep: Keep::Always, answer: None }).await;
        }
        Ok(Distribution { shared, tell, address })
    }
}

/// Says so where others can read what nodes say to each other.
fn warn_of_readers(node: &str, address: Option<&str>) {
    let known = address.and_then(|address| address.parse::<SocketAddr>().ok());
    if let Some(address) = known.filter(|address| !address.ip().is_loopback()) {
        tracing::warn!(
            target: "incarnate::node",
            node,
            %address,
            "listens without encryption: who can read this network reads all that nodes say"
        );
    }
}

/// Whether an address leads others here: one that stands for all addresses of a machine leads each to its own.
fn is_specific(address: &str) -> bool {
    address.parse::<SocketAddr>().map_or(true, |address| !address.ip().is_unspecified())
}

/// 32 bytes that nobody can guess, and that never came before.
fn nonce() -> [u8; 32] {
    let mut bytes = [0; 32];
    // It gave some when the node was started; a system that stops to does so for good, and then nothing is right.
    getrandom::fill(&mut bytes).expect("the machine gives random numbers");
    bytes
}

impl Distribution {
    /// The distribution of this node, to be started. All nodes that are to be connected have the same cookie.
    pub fn of(node: &Node, cookie: Cookie) -> Start {
        Start {
            node: node.clone(),
            cookie,
            listen: None,
            advertised: None,
            peers: Vec::new(),
            learns: false,
            deadline: Duration::from_secs(1),
            handshake: Duration::from_secs(5),
            redial: (Duration::from_millis(50), Duration::from_secs(2)),
            releases: (1, 1),
            limits: Limits { frame: 16 << 20, queue: 32 << 20 },
            transport: Arc::new(Tcp),
        }
    }

    /// Where others connect to; `None`: it does not listen.
    pub fn address(&self) -> Option<&str> {
        self.address.as_deref()
    }

    /// Connects with whoever is at the address (`net_kernel:connect_node/1`); at once, if that is done already. Once: a
    /// connection that is lost later stays so.
    ///
    /// # Errors
    /// See [`NotConnected`].
    ///
    /// # Cancel safety
    /// Dropping the future does not take the connection back.
    pub async fn connect(&self, to: impl Into<String>) -> Result<NodeId, NotConnected> {
        let (answer, connected) = oneshot::channel();
        let event = Event::Connect { to: to.into(), keep: Keep::Once, answer: Some(answer) };
        self.tell.send(event).await.map_err(|_| NotConnected::Stopped)?;
        connected.await.unwrap_or(Err(NotConnected::Stopped))
    }

    /// Gives up the connection with a node (`erlang:disconnect_node/1`): all that is tied over it hears noconnection.
    pub async fn disconnect(&self, peer: impl Into<NodeId>) {
        let _stopped =
            self.tell.send(Event::Disconnect { peer: peer.into(), why: DownBecause::Disconnected }).await;
    }

    /// The names of the nodes that this one is connected with, sorted (`erlang:nodes/0`).
    pub fn nodes(&self) -> Vec<String> {
        self.view().into_iter().map(|peer| peer.name).collect()
    }

    /// What is known of the nodes that this one is connected with, sorted by their names.
    pub fn view(&self) -> Vec<PeerInfo> {
        self.shared.peers()
    }

    /// What is known of one of them (`net_kernel:node_info/1`); `None`: it is not connected.
    pub fn node_info(&self, peer: impl Into<NodeId>) -> Option<PeerInfo> {
        self.shared.connection(peer.into()).map(|connection| connection.info())
    }

    /// Other nodes may send to whoever has this name here.
    pub fn expose<C: Wire, K: Wire, I: Wire>(&self, name: Name<C, K, I>) {
        self.shared.expose(name.as_str(), intake::<C, K, I>());
    }

    /// Lets other nodes have a server started here, by this name. `start` makes its start of the arguments that they send, with
    /// whatever options it is to have; where it runs and what it is tied to is up to who asks.
    pub fn register_server<A, S, F>(&self, name: Spawnable<A, S::Call, S::Cast, S::Info>, start: F)
    where
        A: Wire,
        S: GenServer<Call: Wire, Cast: Wire, Info: Wire>,
        F: Fn(A) -> ServerStart<S> + Send + Sync + 'static,
    {
        self.shared.spawnables().register(name.as_str(), spawn::server(start));
    }

    /// Lets other nodes have a function run as a process here, by this name, with the arguments that they send.
    pub fn register_function<A, M, F, Fut>(&self, name: Spawnable<A, Never, Never, M>, code: F)
    where
        A: Wire,
        M: Wire,
        F: Fn(A, Process<M>) -> Fut + Send + Sync + 'static,
        Fut: Future<Output: IntoExit> + Send + 'static,
    {
        self.shared.spawnables().register(name.as_str(), spawn::function(code));
    }

    /// Has a process hear of each node that comes or goes, by [`Info::NodeUp`](crate::Info::NodeUp) and
    /// [`Info::NodeDown`](crate::Info::NodeDown), once more or once less (`net_kernel:monitor_nodes/1`). Off: answers
    /// whether it did.
    pub fn monitor_nodes(&self, me: &Me, on: bool) -> bool {
        self.shared.watch(me.process(), on)
    }

    /// Gives up all connections, and connects with nobody any more (`net_kernel:stop/0`).
    pub async fn stop(&self) {
        let (answer, stopped) = oneshot::channel();
        if self.tell.send(Event::Stop(answer)).await.is_ok() {
            let _done = stopped.await;
        }
    }
}

impl fmt::Debug for Distribution {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Distribution({:?}, {:?})", self.address, self.nodes())
    }
}
