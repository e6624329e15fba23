//! Drives the machine: one task that hears of everything that happens to connections, and does what the machine decides.

use std::collections::BTreeMap;
use std::fmt::Display;
use std::io::ErrorKind;
use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{mpsc, oneshot};
use tokio::time::{Instant, sleep, sleep_until, timeout, timeout_at};

use super::connection::Connection;
use super::frame::{FrameError, Kind};
use super::handshake::{Identity, Lane, NotConnected};
use super::lane::{Command, Opened};
use super::machine::{Action, ConnId, DownBecause, Keep, Machine, SessionId, Ticket};
use super::shared::Shared;
use super::transport::{Listener, Stream, Transport};
use crate::term::NodeId;

/// A lane that is told to say its last words has no longer for it.
const LOSING: Duration = Duration::from_millis(100);

/// What happens.
pub(crate) enum Event {
    Connect { to: String, keep: Keep, answer: Option<oneshot::Sender<Result<NodeId, NotConnected>>> },
    Disconnect { peer: NodeId, why: DownBecause },
    Accepted(Box<dyn Stream>),
    Dialled { conn: ConnId, result: Result<Box<dyn Stream>, String> },
    Frame { conn: ConnId, kind: Kind, whole: Vec<u8>, fields: Range<usize> },
    Garbage { conn: ConnId, error: FrameError },
    Closed { conn: ConnId, why: Option<String> },
    Stop(oneshot::Sender<()>),
}

pub(crate) struct Driver {
    machine: Machine,
    shared: Arc<Shared>,
    transport: Arc<dyn Transport>,
    began: Instant,
    events: mpsc::Receiver<Event>,
    /// For those who tell of events.
    tell: mpsc::Sender<Event>,
    conns: BTreeMap<ConnId, mpsc::UnboundedSender<Command>>,
    /// Those that are up, each with its lane of messages.
    sessions: BTreeMap<SessionId, (Arc<Connection>, ConnId)>,
    /// Those that are down, while their lanes are read to the end.
    losing: Vec<Losing>,
    waiting: BTreeMap<Ticket, oneshot::Sender<Result<NodeId, NotConnected>>>,
    next_ticket: Ticket,
}

/// A session that is down.
struct Losing {
    connection: Arc<Connection>,
    why: DownBecause,
    /// Its lane of messages has said its last words; none: there is no lane.
    lost: Option<oneshot::Receiver<()>>,
}

impl Driver {
    pub(crate) fn new(
        machine: Machine,
        shared: Arc<Shared>,
        transport: Arc<dyn Transport>,
        (tell, events): (mpsc::Sender<Event>, mpsc::Receiver<Event>),
    ) -> Self {
        Driver {
            machine,
            shared,
            transport,
            began: Instant::now(),
            events,
            tell,
            conns: BTreeMap::new(),
            sessions: BTreeMap::new(),
            losing: Vec::new(),
            waiting: BTreeMap::new(),
            next_ticket: 0,
        }
    }

    pub(crate) async fn run(mut self) {
        loop {
            let due = self.machine.next_time().map(|at| self.began + at);
            let event = tokio::select! {
                event = self.events.recv() => event,
                () = sleep_until(due.unwrap_or_else(Instant::now)), if due.is_some() => {
                    self.handle_time();
                    self.act().await;
                    continue;
                }
            };
            match event {
                Some(Event::Stop(stopped)) => {
                    self.stop().await;
                    let _nobody = stopped.send(());
                    return;
                }
                Some(event) => self.handle(event),
                None => return self.stop().await,
            }
            self.act().await;
        }
    }

    fn now(&self) -> Duration {
        self.began.elapsed()
    }

    fn handle_time(&mut self) {
        let now = self.now();
        for (connection, _) in self.sessions.values() {
            let (peer, heard) = (connection.peer.id(), connection.last_heard());
            self.machine.handle_heard(heard, peer, connection.session);
        }
        self.machine.handle_time(now);
    }

    /// For those who look at the connection.
    fn note_round_trips(&self) {
        for seen in self.machine.up() {
            if let (Some((connection, _)), Some(took)) = (self.sessions.get(&seen.session), seen.rtt) {
                connection.set_round_trip(took);
            }
        }
    }

    fn handle(&mut self, event: Event) {
        let now = self.now();
        match event {
            Event::Connect { to, keep, answer } => {
                let ticket = answer.map(|answer| {
                    self.next_ticket += 1;
                    self.waiting.insert(self.next_ticket, answer);
                    self.next_ticket
                });
                self.machine.handle_connect(now, &to, keep, ticket);
            }
            Event::Disconnect { peer, why } => self.machine.handle_disconnect(now, peer, why),
            Event::Accepted(stream) => {
                // Too many strangers: this one is closed by its drop.
                if let Some(conn) = self.machine.handle_accepted(now) {
                    self.open(conn, stream);
                }
            }
            Event::Dialled { conn, result } => {
                let (stream, result) = match result {
                    Ok(stream) => (Some(stream), Ok(())),
                    Err(why) => (None, Err(why)),
                };
                // What nobody waits for any more is closed by its drop.
                if self.machine.handle_dialled(now, conn, result) {
                    stream.into_iter().for_each(|stream| self.open(conn, stream));
                }
            }
            Event::Frame { conn, kind, whole, fields } => {
                self.machine.handle_frame(now, conn, kind, &whole[fields], &whole);
                if kind == Kind::Pong {
                    self.note_round_trips();
                }
            }
            Event::Garbage { conn, error } => self.machine.handle_garbage(now, conn, error),
            Event::Closed { conn, why } => self.machine.handle_closed(now, conn, why),
            Event::Stop(_) => {}
        }
    }

    fn open(&mut self, conn: ConnId, stream: Box<dyn Stream>) {
        let (commands, receiver) = mpsc::unbounded_channel();
        self.conns.insert(conn, commands);
        let opened = Opened { conn, stream, commands: receiver, events: self.tell.clone() };
        tokio::spawn(opened.run());
    }

    async fn act(&mut self) {
        while let Some(action) = self.machine.poll() {
            // Who hears that a node is up has heard before that it was down.
            if matches!(action, Action::Up { .. }) {
                self.lose().await;
            }
            match action {
                Action::Dial { conn, to } => self.dial(conn, to),
                Action::Send { conn, bytes } => self.command(conn, Command::Send(bytes)),
                Action::Proceed { conn } => self.command(conn, Command::Proceed),
                Action::Close { conn } => {
                    self.command(conn, Command::Close);
                    self.conns.remove(&conn);
                }
                Action::Up { session, peer, messages, bulk } => self.up(session, peer, messages, bulk),
                Action::Down { session, why, .. } => self.down(session, why),
                Action::Connected { ticket, result } => {
                    if let Some(answer) = self.waiting.remove(&ticket) {
                        let _gave_up = answer.send(result);
                    }
                }
                Action::Refused { peer, here, why } => {
                    let peer = peer.as_deref().unwrap_or("somebody");
                    refused(peer, if here { "here" } else { "there" }, &why);
                }
            }
        }
        self.lose().await;
    }

    fn command(&mut self, conn: ConnId, command: Command) {
        if let Some(commands) = self.conns.get(&conn) {
            // One that has ended has told of it.
            let _ended = commands.send(command);
        }
    }

    fn dial(&mut self, conn: ConnId, to: Arc<str>) {
        let (transport, tell) = (self.transport.clone(), self.tell.clone());
        let limit = self.machine.handshake_limit();
        tokio::spawn(async move {
            // The machine has given it up by then.
            let Ok(result) = timeout(limit, transport.connect(&to)).await else { return };
            if let Err(error) = &result
                && error.kind() == ErrorKind::InvalidData
            {
                refused(&to, "here", error);
            }
            let result = result.map_err(|error| error.to_string());
            let _stopped = tell.send(Event::Dialled { conn, result }).await;
        });
    }

    fn up(&mut self, session: SessionId, peer: Identity, messages: ConnId, bulk: ConnId) {
        tracing::info!(target: "incarnate::node", peer = %peer.name, "node up");
        let connection = self.shared.connect(session, peer, self.began);
        // Those who want to know hear of the node before they hear from it.
        for (conn, lane) in [(messages, Lane::Messages), (bulk, Lane::Bulk)] {
            self.command(conn, Command::Attach(lane, connection.clone()));
        }
        self.sessions.insert(session, (connection, messages));
        // The first heartbeat goes with the handshake.
        self.note_round_trips();
    }

    fn down(&mut self, session: SessionId, why: DownBecause) {
        let Some((connection, messages)) = self.sessions.remove(&session) else { return };
        // Nothing new is sent over it; what has come is still handled.
        self.shared.disconnect(&connection);
        let lost = self.conns.remove(&messages).and_then(|lane| {
            let (told, lost) = oneshot::channel();
            lane.send(Command::Lose(told)).is_ok().then_some(lost)
        });
        self.losing.push(Losing { connection, why, lost });
    }

    /// Tells of all that are down. Their lanes take their time side by side: those of many nodes one after the other would
    /// keep the heart from beating until the rest are lost, too.
    async fn lose(&mut self) {
        let late = Instant::now() + LOSING;
        for Losing { connection, why, lost } in self.losing.drain(..) {
            if let Some(lost) = lost {
                let _late = timeout_at(late, lost).await;
            }
            connection.lose();
            self.shared.down(&connection, &why);
            tracing::warn!(target: "incarnate::node", peer = %connection.peer.name, ?why, "node down");
        }
    }

    async fn stop(&mut self) {
        let peers: Vec<_> = self.machine.up().map(|seen| seen.peer.id()).collect();
        let now = self.now();
        for peer in peers {
            self.machine.handle_disconnect(now, peer, DownBecause::Disconnected);
        }
        self.act().await;
    }
}

impl Drop for Driver {
    /// Its runtime shuts down, if any is left: who waits in another for what is there hears that it is lost.
    fn drop(&mut self) {
        let up = std::mem::take(&mut self.sessions).into_values().map(|(connection, _)| connection);
        for connection in up.chain(self.losing.drain(..).map(|losing| losing.connection)) {
            self.shared.disconnect(&connection);
            connection.lose();
        }
    }
}

fn refused(peer: &str, by: &str, why: &dyn Display) {
    tracing::warn!(target: "incarnate::node", peer, by, %why, "connection refused");
}

/// Accepts connections until the driver is gone.
pub(crate) async fn accept(mut listener: Box<dyn Listener>, tell: mpsc::Sender<Event>) {
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            () = tell.closed() => return,
        };
        match accepted {
            Ok(stream) => {
                if tell.send(Event::Accepted(stream)).await.is_err() {
                    return;
                }
            }
            Err(error) => {
                tracing::warn!(target: "incarnate::node", %error, "a connection was not accepted");
                // No file handles are left, most likely: nothing tells when there are.
                sleep(Duration::from_millis(50)).await;
            }
        }
    }
}
