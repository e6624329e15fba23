//! The process of one connection: it reads requests, has them carried out, and writes the replies in order.
//!
//! It reads as much as has come, sends each request of that batch on its way without waiting for the one before, collects
//! the answers, writes them, and only then reads again. So a client that does not read stops its own process at the
//! write, and nothing grows: what is in memory for a client is one batch of its requests and few replies to them. A reply
//! that may be [long](crate::value::LONG), and one that brings the batch to [`FLUSH`](output::FLUSH), is written before
//! the next request is sent on its way. That holds for values too, though a reply shares its value with the key: an
//! `APPEND` meanwhile makes another.
//!
//! It traps exits. When its supervisor tells it to end, it answers what it has read, then ends.

mod output;
pub mod pipeline;

use std::io;
use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use incarnate::{Info, Me, Never, Process, ProcessRef, StartError};
use tokio::io::AsyncReadExt;
use tokio::net::TcpStream;

use crate::clock;
use crate::command::Command;
use crate::error::CommandError;
use crate::keys::Keys;
use crate::reply::Reply;
use crate::resp::{Decoder, Limits};
use crate::service::{Client, Service};
use output::Output;
use pipeline::Pipeline;

/// Bytes that a read asks for at first, and at most. More is asked for while reads come back full.
const LEAST_READ: usize = 4 * 1024;
const MOST_READ: usize = 64 * 1024;

/// What a connection is started with.
pub struct Accepted {
    /// The client.
    pub socket: TcpStream,
    /// The service that it came to.
    pub service: Arc<Service>,
    /// Counts it as long as it is there.
    pub client: Client,
}

/// Starts the process of a connection, linked to the one whose code asks.
pub async fn start_link(accepted: Accepted) -> Result<ProcessRef<Never>, StartError> {
    let me = Me::current().ok_or(StartError::NoParent)?;
    Ok(me.spawn_link(|process| serve(process, accepted)))
}

/// Whether the connection goes on.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Goes {
    On,
    /// It ends when what was answered is written.
    Away,
}

async fn serve(mut process: Process<Never>, accepted: Accepted) {
    process.trap_exit(true);
    let Accepted { socket, service, client } = accepted;
    // The tree below which this runs holds the keys, so they are there unless everything ends.
    let Ok(keys) = Keys::connect().await else { return };
    let mut connection = Connection {
        socket,
        decoder: Decoder::new(Limits::default()),
        pipeline: Pipeline::new(keys),
        output: Output::default(),
        service,
        client,
        name: Bytes::new(),
        room: LEAST_READ,
    };
    // However it ends, there is nobody to tell: the client has gone, or will see that we have.
    while let Ok(true) = connection.hear(&mut process).await
        && let Ok(Goes::On) = connection.answer().await
    {}
}

struct Connection {
    socket: TcpStream,
    decoder: Decoder,
    pipeline: Pipeline,
    output: Output,
    service: Arc<Service>,
    client: Client,
    name: Bytes,
    /// How much the next read asks for.
    room: usize,
}

impl Connection {
    /// Waits for bytes. False: there will be none any more, or the connection has to end.
    async fn hear(&mut self, process: &mut Process<Never>) -> io::Result<bool> {
        let buffer = self.decoder.buffer();
        if buffer.is_empty() && buffer.capacity() > 2 * self.room {
            *buffer = BytesMut::new();
        }
        let read = tokio::select! {
            biased;
            () = told_to_end(process) => return Ok(false),
            read = read(&mut self.socket, buffer, self.room) => read?,
        };
        if read >= self.room {
            self.room = (self.room * 2).min(MOST_READ);
        } else if read < self.room / 4 {
            self.room = (self.room / 2).max(LEAST_READ);
        }
        Ok(read > 0)
    }

    /// Answers all requests that are complete.
    async fn answer(&mut self) -> io::Result<Goes> {
        self.pipeline.begin(clock::now());
        let goes = loop {
            let place = self.decoder.place();
            match self.decoder.find_request() {
                Ok(true) if self.carry_out(place).await == Goes::On => {}
                Ok(true) => break Goes::Away,
                Ok(false) => break Goes::On,
                Err(error) => {
                    self.write().await?;
                    self.output.last_words(error)?;
                    break Goes::Away;
                }
            }
            if self.pipeline.is_full() {
                self.write().await?;
            }
        };
        self.write().await?;
        self.output.flush(&mut self.socket).await?;
        Ok(goes)
    }

    /// Waits for the answers and encodes them.
    async fn write(&mut self) -> io::Result<()> {
        self.pipeline.settle(&self.decoder).await;
        self.service.served(self.pipeline.len());
        for reply in self.pipeline.replies() {
            self.output.put(reply, &mut self.socket).await?;
        }
        self.pipeline.give_back();
        Ok(())
    }

    /// Has the request that the decoder shows carried out, or sets it on its way.
    async fn carry_out(&mut self, place: usize) -> Goes {
        let Self { decoder, pipeline, service, client, name, .. } = self;
        let command = match Command::parse(decoder.request(), pipeline.now()) {
            Ok(command) => command,
            Err(error) => {
                pipeline.push(error.into());
                return Goes::On;
            }
        };
        let reply = match command {
            Command::One(key, op) => {
                pipeline.one(decoder, place, key, op).await;
                return Goes::On;
            }
            Command::Each { keys, op, gather } => {
                pipeline.each(decoder, place, keys, op, gather).await;
                return Goes::On;
            }
            Command::SetEach(pairs) => {
                pipeline.set_each(decoder, place, pairs).await;
                return Goes::On;
            }
            Command::Answer(reply) => reply,
            Command::Hello { name: new } => {
                *name = new.map_or_else(|| name.clone(), Bytes::copy_from_slice);
                Command::hello(client.id())
            }
            Command::ClientId => Reply::Integer(client.id()),
            Command::ClientName if name.is_empty() => Reply::Nil,
            Command::ClientName => Reply::Bulk(name.clone()),
            Command::SetClientName(new) => {
                *name = Bytes::copy_from_slice(new);
                Reply::Ok
            }
            Command::Quit => {
                pipeline.push(Reply::Ok);
                return Goes::Away;
            }
            Command::Shutdown => {
                service.stop();
                return Goes::Away;
            }
            // What looks at many keys or at their processes comes behind what is on its way.
            other => {
                pipeline.settle(decoder).await;
                about_many(other, pipeline.keys(), service, pipeline.now()).await
            }
        };
        pipeline.push(reply);
        Goes::On
    }
}

async fn about_many(
    command: Command<'_>,
    keys: &Keys,
    service: &Service,
    now: crate::value::UnixMillis,
) -> Reply {
    match command {
        Command::DbSize => Reply::count(keys.table().len()),
        Command::Keys(pattern) => keys.matching(pattern).await,
        Command::Scan(scan) => {
            let (next, found) = keys.table().scan(scan.cursor, scan.count, scan.pattern);
            let found = if scan.strings { found } else { Vec::new() };
            let found = found.into_iter().map(Reply::Bulk).collect();
            Reply::Array(vec![Reply::Bulk(next.to_string().into()), Reply::Array(found)])
        }
        Command::FlushAll => keys.flush(now).await,
        Command::Info(sections) => Reply::Bulk(service.info(sections, keys).into()),
        Command::Tree => service.tree(keys).await.map_or_else(Reply::from, |tree| Reply::Bulk(tree.into())),
        Command::Inspect(key) => keys.inspect(key).await,
        Command::Crash(key) => keys.crash(key).await,
        Command::Hits(key) => keys.hits(key, now).await,
        Command::Versions => service.upgrades().versions(keys).await,
        Command::Upgrade { to, dry } => service.upgrades().change(keys.node(), to, dry).await,
        _ => CommandError::Unavailable.into(),
    }
}

/// Returns when the supervisor says so. Nobody else is linked to a connection, and no one sends it anything.
async fn told_to_end(process: &mut Process<Never>) {
    while !matches!(process.receive().await, Info::Exit(_)) {}
}

/// Reads what there is into the buffer, at least `room` bytes if they have come. A connection that has sent nothing yet, or has
/// paused, costs no buffer.
///
/// Cancel safe: what was read is in the buffer.
async fn read(socket: &mut TcpStream, buffer: &mut BytesMut, room: usize) -> io::Result<usize> {
    if buffer.capacity() == 0 {
        socket.readable().await?;
    }
    // At least as much as is there already, so that a long request is copied only so often.
    if buffer.capacity() - buffer.len() < room / 2 {
        buffer.reserve(room.max(buffer.len()));
    }
    socket.read_buf(buffer).await
}
