//! A whole service without processes: a map in place of the supervisor, a call in place of a message. What it answers is
//! what the real one must answer to a single client.

use std::collections::BTreeMap;

use bytes::{Bytes, BytesMut};

use crate::command::Command;
use crate::glob;
use crate::reply::Reply;
use crate::resp::{Arguments, Decoder, Limits, encode, encode_last};
use crate::value::{Expiry, KeyOp, Next, SetWhen, UnixMillis, Value};

/// The service and its one client.
pub struct Model {
    /// What the keys hold.
    pub keys: BTreeMap<Vec<u8>, Value>,
    /// The time.
    pub now: UnixMillis,
    decoder: Decoder,
    name: Vec<u8>,
    closed: bool,
}

impl Model {
    /// An empty service at the time 0 and a fresh connection.
    pub fn new() -> Self {
        Self {
            keys: BTreeMap::new(),
            now: UnixMillis(0),
            decoder: Decoder::new(Limits::default()),
            name: Vec::new(),
            closed: false,
        }
    }

    /// What the client gets for these bytes, and whether the connection is closed after it.
    pub fn serve(&mut self, bytes: &[u8]) -> (Vec<u8>, bool) {
        let mut out = BytesMut::new();
        let mut decoder = std::mem::replace(&mut self.decoder, Decoder::new(Limits::default()));
        decoder.buffer().extend_from_slice(bytes);
        while !self.closed {
            let reply = match decoder.next_request() {
                Ok(Some(request)) => self.request(request),
                Ok(None) => break,
                Err(error) => {
                    self.closed = true;
                    encode_last(error, &mut out).expect("every error can be encoded");
                    break;
                }
            };
            encode(&reply, &mut out).expect("every reply can be encoded");
        }
        self.decoder = decoder;
        (out.to_vec(), self.closed)
    }

    fn request(&mut self, request: Arguments<'_>) -> Reply {
        match Command::parse(request, self.now) {
            Ok(command) => self.perform(command),
            Err(error) => error.into(),
        }
    }

    fn perform(&mut self, command: Command<'_>) -> Reply {
        match command {
            Command::Answer(reply) => reply,
            Command::One(key, op) => self.key(key, op),
            Command::Each { keys, op, gather } => {
                gather.fold(keys.iter().map(|key| self.key(key, op.clone())).collect())
            }
            Command::SetEach(pairs) => {
                for (key, value) in pairs.pairs() {
                    let value = Bytes::copy_from_slice(value);
                    let (when, expiry) = (SetWhen::Always, Expiry::Never);
                    self.key(key, KeyOp::Set { value, when, expiry, get: false });
                }
                Reply::Ok
            }
            Command::DbSize => Reply::count(self.live(None).len()),
            Command::Keys(pattern) => Reply::Array(self.live(Some(pattern))),
            Command::Scan(scan) => {
                let keys = if scan.strings { self.live(scan.pattern) } else { Vec::new() };
                Reply::Array(vec![Reply::text("0"), Reply::Array(keys)])
            }
            Command::FlushAll => {
                self.keys.clear();
                Reply::Ok
            }
            Command::Hello { name } => {
                self.name = name.map_or_else(|| self.name.clone(), <[u8]>::to_vec);
                Command::hello(1)
            }
            Command::ClientId => Reply::Integer(1),
            Command::ClientName if self.name.is_empty() => Reply::Nil,
            Command::ClientName => Reply::Bulk(Bytes::copy_from_slice(&self.name)),
            Command::SetClientName(name) => {
                self.name = name.to_vec();
                Reply::Ok
            }
            // Without processes there is nothing to tell; the reply shows what was understood.
            Command::Info(sections) => Reply::count(sections.len()),
            Command::Tree | Command::Versions => Reply::Nil,
            Command::Inspect(key) | Command::Crash(key) | Command::Hits(key) => {
                Reply::Bulk(Bytes::copy_from_slice(key))
            }
            Command::Upgrade { to, dry } => Reply::Array(vec![Reply::Integer(to), Reply::yes(dry)]),
            Command::Quit | Command::Shutdown => {
                self.closed = true;
                Reply::Ok
            }
        }
    }

    /// One operation on one key. Here too only an operation that can create a key finds a place for one.
    fn key(&mut self, key: &[u8], op: KeyOp) -> Reply {
        let creates = op.creates();
        let mut value = self.keys.remove(key).unwrap_or_default();
        let existed = value != Value::default();
        let (reply, next) = value.apply(op, self.now);
        if next != Next::End {
            assert!(existed || creates, "an operation that creates no key has created one");
            self.keys.insert(key.to_vec(), value);
        }
        reply
    }

    /// The keys that match, in order.
    fn live(&mut self, pattern: Option<&[u8]>) -> Vec<Reply> {
        let now = self.now;
        self.keys.retain(|_, value| value.timer_fired(now) != Next::End);
        let matching =
            self.keys.keys().filter(|key| pattern.is_none_or(|pattern| glob::matches(pattern, key)));
        matching.map(|key| Reply::Bulk(Bytes::copy_from_slice(key))).collect()
    }
}

/// The bytes of a request as client libraries write it.
pub fn request(arguments: &[&[u8]]) -> Vec<u8> {
    let mut bytes = format!("*{}\r\n", arguments.len()).into_bytes();
    for argument in arguments {
        bytes.extend_from_slice(format!("${}\r\n", argument.len()).as_bytes());
        bytes.extend_from_slice(argument);
        bytes.extend_from_slice(b"\r\n");
    }
    bytes
}
