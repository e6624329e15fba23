//! The state of a connection that is open: requests come in, replies go out in order.
//!
//! It reads as much as has come, sends each request of that batch on its way without waiting for the one before, collects
//! the answers, writes them, and only then reads again. So a client that does not read stops its own process at the
//! write, and nothing grows: what is in memory for a client is one batch of its requests and few replies to them. A reply
//! that may be [long](crate::value::LONG), and one that brings the batch to [`FLUSH`](super::output::FLUSH), is written
//! before the next request is sent on its way. That holds for values too, though a reply shares its value with the key: an
//! `APPEND` meanwhile makes another.

use std::io;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use incarnate::gen_statem::{
    Context, Enter, Event, EventOf, StateFunction, Transition, keep_state, next_state, stop,
};
use incarnate::{ExitReason, Info, Result};

use super::output::Output;
use super::pipeline::Pipeline;
use super::{Closing, Connection, Read, State};
use crate::clock;
use crate::command::Command;
use crate::error::CommandError;
use crate::keys::Keys;
use crate::reply::Reply;
use crate::resp::{Decoder, Limits};
use crate::service::Service;
use crate::value::UnixMillis;

/// Bytes that a read asks for at first, and at most. More is asked for while reads come back full.
const LEAST_READ: usize = 4 * 1024;
const MOST_READ: usize = 64 * 1024;

/// What an open connection has.
pub struct Open {
    decoder: Decoder,
    pipeline: Pipeline,
    output: Output,
    name: Bytes,
    /// How much the next read asks for.
    room: usize,
}

/// There is one such state.
impl PartialEq for Open {
    fn eq(&self, _: &Self) -> bool {
        true
    }
}

/// Whether the connection goes on.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Goes {
    On,
    /// It closes when what was answered is written: the client said so.
    Away,
    /// Likewise, but the client knows nothing of it and may go on sending.
    Refused,
}

impl StateFunction<Connection> for Open {
    async fn enter(
        &mut self,
        _: Option<&mut State>,
        connection: &mut Connection,
        cx: &mut Context<Connection>,
    ) -> Result<Enter<Connection>> {
        if let Some(half) = connection.half.take() {
            cx.attach(super::read(half, BytesMut::new(), self.room));
        }
        connection.wait(keep_state())
    }

    async fn handle(
        &mut self,
        event: EventOf<Connection>,
        connection: &mut Connection,
        cx: &mut Context<Connection>,
    ) -> Result<Transition<Connection>> {
        let Event::Info(Info::User(Read { half, bytes, read })) = event else {
            // It has said nothing for too long; nobody else tells a connection anything.
            return if let Event::Timeout(()) = event { stop(ExitReason::Normal) } else { keep_state() };
        };
        // However it fails, there is nobody to tell: the client has gone.
        let Ok(1..) = read else { return stop(ExitReason::Normal) };
        match self.serve(bytes, connection).await {
            Ok((Goes::On, buffer)) => {
                cx.attach(super::read(half, buffer, self.room));
                connection.wait(keep_state())
            }
            Ok((Goes::Away, _)) if connection.has_read_all() => stop(ExitReason::Normal),
            Ok(_) => {
                connection.half = Some(half);
                next_state(Closing.into())
            }
            Err(_) => stop(ExitReason::Normal),
        }
    }
}

impl Open {
    /// A client that these keys are for.
    pub fn new(keys: Keys) -> Self {
        Open {
            decoder: Decoder::new(Limits::default()),
            pipeline: Pipeline::new(keys),
            output: Output::default(),
            name: Bytes::new(),
            room: LEAST_READ,
        }
    }

    /// Answers what has come; answers a buffer for what comes next.
    async fn serve(&mut self, bytes: BytesMut, connection: &mut Connection) -> io::Result<(Goes, BytesMut)> {
        if bytes.len() >= self.room {
            self.room = (self.room * 2).min(MOST_READ);
        } else if bytes.len() < self.room / 4 {
            self.room = (self.room / 2).max(LEAST_READ);
        }
        let mut spare = self.take_in(bytes);
        let goes = self.answer(connection).await?;
        let left = self.decoder.buffer();
        if left.is_empty() {
            // The one that was read into is free again.
            spare = std::mem::take(left);
        }
        spare.clear();
        if spare.capacity() > 2 * self.room {
            spare = BytesMut::new();
        }
        Ok((goes, spare))
    }

    /// Puts bytes behind what is there already; answers the buffer that is left over.
    fn take_in(&mut self, bytes: BytesMut) -> BytesMut {
        let buffer = self.decoder.buffer();
        if buffer.is_empty() {
            return std::mem::replace(buffer, bytes);
        }
        // At least as much room as is there already, so that a long request is copied only so often.
        buffer.reserve(bytes.len().max(buffer.len()));
        buffer.extend_from_slice(&bytes);
        bytes
    }

    /// Answers all that has come before the end: nothing that was sent before is left without an answer.
    pub async fn drain(&mut self, connection: &mut Connection) -> io::Result<()> {
        // What has come may be known to the system alone: the runtime looks at its sockets before a timer fires.
        tokio::time::sleep(Duration::from_millis(1)).await;
        loop {
            let mut bytes = BytesMut::with_capacity(MOST_READ);
            match connection.socket.as_ref().try_read_buf(&mut bytes) {
                Ok(1..) => {
                    if self.serve(bytes, connection).await?.0 != Goes::On {
                        return Ok(());
                    }
                }
                // All is answered, or the client has gone.
                _ => return Ok(()),
            }
        }
    }

    /// Answers all requests that are complete.
    async fn answer(&mut self, connection: &mut Connection) -> io::Result<Goes> {
        self.pipeline.begin(clock::now());
        let goes = loop {
            let place = self.decoder.place();
            match self.decoder.find_request() {
                Ok(true) => match self.carry_out(place, connection).await {
                    Goes::On => {}
                    away => break away,
                },
                Ok(false) => break Goes::On,
                Err(error) => {
                    self.write(connection).await?;
                    self.output.last_words(error)?;
                    break Goes::Refused;
                }
            }
            if self.pipeline.is_full() {
                self.write(connection).await?;
            }
        };
        self.write(connection).await?;
        self.output.flush(&mut connection.socket).await?;
        Ok(goes)
    }

    /// Waits for the answers and encodes them.
    async fn write(&mut self, connection: &mut Connection) -> io::Result<()> {
        self.pipeline.settle(&self.decoder).await;
        connection.service.served(self.pipeline.len());
        for reply in self.pipeline.replies() {
            self.output.put(reply, &mut connection.socket).await?;
        }
        self.pipeline.give_back();
        Ok(())
    }

    /// Has the request that the decoder shows carried out, or sets it on its way.
    async fn carry_out(&mut self, place: usize, connection: &Connection) -> Goes {
        let Self { decoder, pipeline, name, .. } = self;
        let Connection { service, client, .. } = connection;
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
                // Applications stop in order, and this connection with them.
                pipeline.keys().node().stop(0);
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

async fn about_many(command: Command<'_>, keys: &Keys, service: &Service, now: UnixMillis) -> Reply {
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
