//! The process that accepts connections. It owns the socket: when it ends, nobody is accepted any more.

use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use incarnate::supervisor::{
    DynamicSupervisor, DynamicSupervisorName, DynamicSupervisorRef, StartChildError,
};
use incarnate::{Error, Me, Never, Process, ProcessRef, StartError};
use tokio::net::{TcpListener, TcpStream};

use crate::connection::{self, Accepted, ConnectionRef};
use crate::service::Service;

/// How long to wait when there is nothing left to accept with: file descriptors, memory.
const PAUSE: Duration = Duration::from_millis(100);

/// The supervisor of the connections.
pub const SUPERVISOR: DynamicSupervisorName<Accepted, ConnectionRef> =
    DynamicSupervisorName::new("connections");

/// It, before it is started. A connection that crashes takes its client along and nobody else.
pub fn supervisor() -> DynamicSupervisor<Accepted, ConnectionRef> {
    DynamicSupervisor::temporary("connections", connection::start_link).name(SUPERVISOR)
}

/// Clients that may wait to be accepted; the kernel has a limit of its own.
const BACKLOG: i32 = 4096;

/// Binds a socket and listens on it. With the standard library's short queue a crowd that comes at once would be told to
/// come again in a second.
pub fn bind(address: SocketAddr) -> io::Result<std::net::TcpListener> {
    let socket = socket2::Socket::new(socket2::Domain::for_address(address), socket2::Type::STREAM, None)?;
    socket.set_reuse_address(true)?;
    socket.bind(&address.into())?;
    socket.listen(BACKLOG)?;
    Ok(socket.into())
}

/// The socket that the first listener takes over. A later one binds again.
pub struct Socket(Mutex<Option<std::net::TcpListener>>);

impl Socket {
    /// Holds a socket that is bound.
    pub fn new(socket: std::net::TcpListener) -> Self {
        Socket(Mutex::new(Some(socket)))
    }

    fn take(&self, service: &Service) -> io::Result<TcpListener> {
        let bound = self.0.lock().unwrap_or_else(PoisonError::into_inner).take();
        let socket = match bound {
            Some(socket) => socket,
            None => bind(service.address())?,
        };
        socket.set_nonblocking(true)?;
        TcpListener::from_std(socket)
    }
}

/// Starts the listener, linked to the process whose code asks.
pub async fn start_link(socket: Arc<Socket>, service: Arc<Service>) -> Result<ProcessRef<Never>, StartError> {
    let me = Me::current().ok_or(StartError::NoParent)?;
    let listener = socket.take(&service).map_err(Error::from)?;
    Ok(me.spawn_link(|_: Process<Never>| accept_all(listener, service)))
}

async fn accept_all(listener: TcpListener, service: Arc<Service>) -> Result<(), Error> {
    let connections = DynamicSupervisorRef::named(SUPERVISOR)?;
    loop {
        match listener.accept().await {
            Ok((socket, _)) => admit(socket, &service, &connections).await?,
            // The client has gone before it was accepted.
            Err(error) if is_clients(&error) => {}
            // Nothing to accept with. Whoever waits goes on waiting.
            Err(error) => {
                tracing::warn!(target: "switchboard", %error, "cannot accept");
                tokio::time::sleep(PAUSE).await;
            }
        }
    }
}

async fn admit(
    socket: TcpStream,
    service: &Arc<Service>,
    connections: &DynamicSupervisorRef<Accepted, ConnectionRef>,
) -> Result<(), StartChildError> {
    let Some(client) = service.admit() else {
        // Redis's answer, tried once: nobody waits here for a client that does not read.
        let _told = socket.try_write(b"-ERR max number of clients reached\r\n");
        return Ok(());
    };
    // A client that vanishes without a word is noticed, as in Redis; without these options it lives on all the same.
    let _set = socket.set_nodelay(true);
    let alive = socket2::TcpKeepalive::new().with_time(Duration::from_secs(300));
    let _set = socket2::SockRef::from(&socket).set_tcp_keepalive(&alive);
    connections.start_child(Accepted { socket, service: service.clone(), client }).await?;
    Ok(())
}

fn is_clients(error: &io::Error) -> bool {
    use io::ErrorKind::{ConnectionAborted, ConnectionRefused, ConnectionReset, Interrupted};
    matches!(error.kind(), ConnectionAborted | ConnectionRefused | ConnectionReset | Interrupted)
}
