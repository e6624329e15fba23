//! One stream of bytes, as a task: a handshake first, then one lane of a connection.

use std::future::{Future, poll_fn};
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt, ReadBuf};
use tokio::sync::{mpsc, oneshot};
use tokio::time::{Sleep, sleep, timeout};

use super::connection::Connection;
use super::driver::Event;
use super::frame::{self, CONTROL_LIMIT, FrameError};
use super::handshake::Lane;
use super::machine::{ConnId, DownBecause};
use super::transport::Stream;

/// Read at once, at most.
const READ: usize = 32 << 10;
/// Read or written in one turn of a lane, about.
const TURN: usize = 512 << 10;
const BULK_TURN: usize = 64 << 10;
/// While messages go between the same two nodes, so much goes in bulk at once, and then nothing for so long: 200 MB/s or so.
const BURST: usize = 256 << 10;
const REST: Duration = Duration::from_millis(1);
/// Messages go, if they did so not longer ago.
const CONVERSES: Duration = Duration::from_secs(1);
/// A node that has ended may have said more than was read yet: so long is it read when the connection is lost.
const LAST_WORDS: Duration = Duration::from_millis(20);
/// The last words to somebody who is refused take no longer.
const FAREWELL: Duration = Duration::from_millis(200);

/// What a lane is told by the driver.
pub(crate) enum Command {
    Send(Vec<u8>),
    /// What was handed over has been looked at.
    Proceed,
    Attach(Lane, Arc<Connection>),
    Close,
    /// The connection is over: read what is there, then lose it, and say so.
    Lose(oneshot::Sender<()>),
}

/// A connection that is open.
pub(crate) struct Opened {
    pub(crate) conn: ConnId,
    pub(crate) stream: Box<dyn Stream>,
    pub(crate) commands: mpsc::UnboundedReceiver<Command>,
    pub(crate) events: mpsc::Sender<Event>,
}

/// What has been read and not been looked at: `from` to `to` of a buffer that keeps its length.
#[derive(Default)]
struct Input {
    bytes: Vec<u8>,
    from: usize,
    to: usize,
}

impl Input {
    fn rest(&self) -> &[u8] {
        &self.bytes[self.from..self.to]
    }

    fn skip(&mut self, n: usize) {
        self.from += n;
        if self.from == self.to {
            (self.from, self.to) = (0, 0);
        }
    }

    /// Room for more: at least `READ` bytes. It grows as a frame comes in, not by what one promises.
    fn room(&mut self) -> &mut [u8] {
        if self.bytes.len() < self.to + READ {
            self.bytes.copy_within(self.from..self.to, 0);
            (self.from, self.to) = (0, self.to - self.from);
            self.bytes.resize(self.bytes.len().max(self.to + READ), 0);
        }
        &mut self.bytes[self.to..]
    }

    /// So many bytes of the room have been filled.
    fn filled(&mut self, n: usize) {
        self.to += n;
    }
}

impl Opened {
    /// Runs it until it is closed.
    pub(crate) async fn run(mut self) {
        let mut input = Input::default();
        match self.shake(&mut input).await {
            Some((lane, connection)) => Traffic::new(self, lane, connection, input).run().await,
            None => {
                let _late = timeout(FAREWELL, self.stream.shutdown()).await;
            }
        }
    }

    /// An error is told by what is read next.
    async fn say(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.stream.write_all(bytes).await?;
        self.stream.flush().await
    }

    /// The handshake, and the lane of control, which goes on as it does: frame by frame through the driver.
    async fn shake(&mut self, input: &mut Input) -> Option<(Lane, Arc<Connection>)> {
        // Set: a frame was handed over, and what comes of it is not known yet.
        let mut handed = false;
        loop {
            if !handed {
                match frame::next(input.rest(), CONTROL_LIMIT) {
                    Ok(Some((kind, fields))) => {
                        let whole = input.rest()[..fields.end].to_vec();
                        input.skip(whole.len());
                        let event = Event::Frame { conn: self.conn, kind, whole, fields };
                        self.events.send(event).await.ok()?;
                        handed = true;
                    }
                    Ok(None) => {}
                    Err(error) => {
                        self.events.send(Event::Garbage { conn: self.conn, error }).await.ok()?;
                        handed = true;
                    }
                }
            }
            tokio::select! {
                command = self.commands.recv() => match command? {
                    Command::Send(bytes) => {
                        // One that does not take this little is lost by the deadline of its handshake or its heart.
                        if timeout(FAREWELL, self.say(&bytes)).await.is_err() {
                            let _over = self.events.send(Event::Closed { conn: self.conn, why: None }).await;
                            return None;
                        }
                    }
                    Command::Proceed => handed = false,
                    Command::Attach(lane, connection) => return Some((lane, connection)),
                    Command::Close | Command::Lose(_) => return None,
                },
                read = self.stream.read(input.room()), if !handed => match read {
                    Ok(n @ 1..) => input.filled(n),
                    over => {
                        let why = objection(over.err());
                        self.events.send(Event::Closed { conn: self.conn, why }).await.ok()?;
                        handed = true;
                    }
                },
            }
        }
    }
}

/// What a stream that is over has against who is there; none, if it only ended.
fn objection(error: Option<io::Error>) -> Option<String> {
    let error = error.filter(|error| error.kind() == io::ErrorKind::InvalidData);
    error.map(|error| error.to_string())
}

/// A lane that is up: reads and writes in one task, so that neither waits for a lock of the other.
struct Traffic {
    opened: Opened,
    lane: Lane,
    connection: Arc<Connection>,
    input: Input,
    /// What is being written, and how much of it is.
    output: Vec<u8>,
    written: usize,
    /// Some of what was written may still be held back by the stream.
    unflushed: bool,
    /// Written in bulk since it last rested.
    burst: usize,
    rest: Option<Pin<Box<Sleep>>>,
}

/// Why the lane is at its end.
enum Ended {
    /// Told to close.
    Told(Option<oneshot::Sender<()>>),
    /// By the stream: what it has against who is there.
    Broken(Option<String>),
    Garbage(FrameError),
    /// The other node does not read what it has asked for.
    Overrun,
}

impl Traffic {
    fn new(opened: Opened, lane: Lane, connection: Arc<Connection>, input: Input) -> Self {
        let output = Vec::new();
        let (written, unflushed, burst, rest) = (0, false, 0, None);
        Traffic { opened, lane, connection, input, output, written, unflushed, burst, rest }
    }

    async fn run(mut self) {
        self.carry().await;
        let _late = timeout(FAREWELL, self.opened.stream.shutdown()).await;
    }

    async fn carry(&mut self) {
        let ended = match self.handle_input() {
            Ok(()) => poll_fn(|cx| self.poll(cx)).await,
            Err(error) => Ended::Garbage(error),
        };
        let conn = self.opened.conn;
        let told = match ended {
            Ended::Told(told) => told,
            Ended::Broken(why) => self.wait_to_be_told(Event::Closed { conn, why }).await,
            Ended::Garbage(error) => self.wait_to_be_told(Event::Garbage { conn, error }).await,
            Ended::Overrun => {
                let (peer, why) = (self.connection.peer.id(), DownBecause::Unread);
                self.wait_to_be_told(Event::Disconnect { peer, why }).await
            }
        };
        let Some(told) = told else { return };
        // To its end, or what it says within a moment.
        tokio::select! {
            _ = poll_fn(|cx| self.poll_read(cx)) => {}
            () = sleep(LAST_WORDS) => {}
        }
        self.connection.lose();
        let _gone = told.send(());
    }

    async fn wait_to_be_told(&mut self, event: Event) -> Option<oneshot::Sender<()>> {
        self.opened.events.send(event).await.ok()?;
        loop {
            match self.opened.commands.recv().await? {
                Command::Lose(told) => return Some(told),
                Command::Close => return None,
                _ => {}
            }
        }
    }

    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Ended> {
        while let Poll::Ready(command) = self.opened.commands.poll_recv(cx) {
            match command {
                Some(Command::Lose(told)) => return Poll::Ready(Ended::Told(Some(told))),
                Some(Command::Close) | None => return Poll::Ready(Ended::Told(None)),
                Some(_) => {}
            }
        }
        if let Poll::Ready(ended) = self.poll_read(cx) {
            return Poll::Ready(ended);
        }
        self.poll_write(cx)
    }

    /// Reads and handles until there is nothing more; ready at the end of it.
    fn poll_read(&mut self, cx: &mut Context<'_>) -> Poll<Ended> {
        let mut budget = self.turn();
        loop {
            let stream = Pin::new(&mut *self.opened.stream);
            let mut room = ReadBuf::new(self.input.room());
            let read = stream.poll_read(cx, &mut room);
            let n = room.filled().len();
            match ready!(read) {
                Ok(()) if n > 0 => self.input.filled(n),
                over => return Poll::Ready(Ended::Broken(objection(over.err()))),
            }
            self.connection.heard(self.lane, n);
            if let Err(error) = self.handle_input() {
                return Poll::Ready(Ended::Garbage(error));
            }
            budget = budget.saturating_sub(n);
            if budget == 0 {
                // Others of this thread have their turn, and what is to be written, too.
                cx.waker().wake_by_ref();
                return Poll::Pending;
            }
        }
    }

    fn handle_input(&mut self) -> Result<(), FrameError> {
        while let Some((kind, fields)) = frame::next(self.input.rest(), self.connection.frame_limit())? {
            let end = fields.end;
            self.connection.handle(self.lane, kind, &self.input.rest()[fields])?;
            self.input.skip(end);
        }
        Ok(())
    }

    /// So many bytes are read or written before others of this thread have their turn. A runtime whose threads are busy looks
    /// at its sockets after every 61 turns only, so those of bulk are short: calls would wait for all of them.
    fn turn(&self) -> usize {
        if self.lane == Lane::Bulk { BULK_TURN } else { TURN }
    }

    /// Lets messages pass what goes in bulk: both are carried by the same threads, and perhaps by the same wire.
    fn poll_rest(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        if self.burst >= BURST {
            self.burst = 0;
            self.rest = self.connection.converses(CONVERSES).then(|| Box::pin(sleep(REST)));
        }
        if let Some(rest) = &mut self.rest {
            ready!(rest.as_mut().poll(cx));
            self.rest = None;
        }
        Poll::Ready(())
    }

    /// Writes what waits; ready when that is no longer possible.
    fn poll_write(&mut self, cx: &mut Context<'_>) -> Poll<Ended> {
        let mut budget = self.turn();
        loop {
            ready!(self.poll_rest(cx));
            if budget == 0 {
                cx.waker().wake_by_ref();
                return Poll::Pending;
            }
            if self.written == self.output.len() {
                self.output.clear();
                self.written = 0;
                match self.connection.outbound(self.lane).poll_take(cx, &mut self.output) {
                    Poll::Ready(true) => {}
                    Poll::Ready(false) => return Poll::Ready(Ended::Overrun),
                    Poll::Pending => return self.poll_flush(cx),
                }
                if self.lane == Lane::Messages {
                    self.connection.says();
                }
            }
            let rest = &self.output[self.written..];
            let rest = &rest[..rest.len().min(budget)];
            let Poll::Ready(written) = Pin::new(&mut *self.opened.stream).poll_write(cx, rest) else {
                // Nothing is read there: all that ends this wait here is that too much waits behind it.
                return self.connection.outbound(self.lane).poll_overrun(cx).map(|()| Ended::Overrun);
            };
            match written {
                Ok(n) if n > 0 => {
                    (self.written, self.unflushed) = (self.written + n, true);
                    budget -= n;
                    if self.lane == Lane::Bulk {
                        self.burst += n;
                    }
                }
                over => return Poll::Ready(Ended::Broken(objection(over.err()))),
            }
        }
    }

    /// Flushes once when nothing more waits; ready when that is not possible.
    fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<Ended> {
        if self.unflushed {
            if let Err(error) = ready!(Pin::new(&mut *self.opened.stream).poll_flush(cx)) {
                return Poll::Ready(Ended::Broken(objection(Some(error))));
            }
            self.unflushed = false;
        }
        Poll::Pending
    }
}
