//! What a request asks for. A request that can be answered from its own bytes is answered here; for the others, the
//! command says who has to act.

mod about;
mod connection;
mod data;
mod otp;
mod table;

pub use data::{Gather, Scan};

use crate::error::CommandError;
use crate::reply::Reply;
use crate::resp::Arguments;
use crate::value::{KeyOp, UnixMillis};

/// Redis quotes this much of a request that it does not understand.
const QUOTED: usize = 128;

/// A request that is well-formed, for the process that carries it out.
#[derive(Debug, Clone)]
pub enum Command<'a> {
    /// Nobody has to be asked: this is the reply.
    Answer(Reply),
    /// One operation for the process of one key.
    One(&'a [u8], KeyOp),
    /// The same operation for each of these keys.
    Each {
        /// The keys, repeats included.
        keys: Arguments<'a>,
        /// What each is asked.
        op: KeyOp,
        /// How the replies become one.
        gather: Gather,
    },
    /// `MSET`: [pairs](Arguments::pairs) of key and value; the reply is OK.
    SetEach(Arguments<'a>),
    /// The number of keys.
    DbSize,
    /// All keys that match the pattern.
    Keys(&'a [u8]),
    /// One step through the keys.
    Scan(Scan<'a>),
    /// End all keys; the reply is OK.
    FlushAll,
    /// Who is there: the reply is [`Command::hello`] with the connection's number.
    Hello {
        /// The connection's name from now on, if given.
        name: Option<&'a [u8]>,
    },
    /// The connection's number.
    ClientId,
    /// The connection's name; nil if it has none.
    ClientName,
    /// A name for the connection; empty takes it away. The reply is OK.
    SetClientName(&'a [u8]),
    /// These sections of the server's state, all if none are named.
    Info(Arguments<'a>),
    /// OK, then close.
    Quit,
    /// Stop the server; no reply.
    Shutdown,
    /// `OTP.TREE`: the supervision tree.
    Tree,
    /// `OTP.INFO`: the process of this key.
    Inspect(&'a [u8]),
    /// `OTP.CRASH`: make the process of this key crash.
    Crash(&'a [u8]),
    /// `OTP.HITS`: how often this key was asked for.
    Hits(&'a [u8]),
    /// `OTP.VERSIONS`: the versions of the code of keys.
    Versions,
    /// `OTP.UPGRADE`: change the code of all keys.
    Upgrade {
        /// To this version.
        to: i64,
        /// Only try whether it can be done.
        dry: bool,
    },
}

impl<'a> Command<'a> {
    /// Reads a request that came in at `now`; relative expiry times count from there.
    ///
    /// # Errors
    ///
    /// With Redis's text, when the command does not exist or its arguments do not fit it. Nothing has been done.
    pub fn parse(request: Arguments<'a>, now: UnixMillis) -> Result<Self, CommandError> {
        let name = request.get(0).unwrap_or_default();
        let spec = table::find(name).ok_or_else(|| unknown(name, request.skip(1)))?;
        spec.check(request.len())?;
        (spec.parse)(request.skip(1), now)
    }

    /// The reply to [`Command::Hello`] on connection number `id`.
    pub fn hello(id: i64) -> Reply {
        connection::hello(id)
    }
}

fn unknown(name: &[u8], arguments: Arguments<'_>) -> CommandError {
    let mut quoted = String::new();
    for argument in arguments.iter() {
        let Some(room) = QUOTED.checked_sub(quoted.len()).filter(|room| *room > 0) else { break };
        quoted.push_str(&format!("'{}' ", text(argument, room)));
    }
    let name = text(name, QUOTED);
    let message = format!("ERR unknown command '{name}', with args beginning with: {quoted}");
    CommandError::UnknownCommand(message.into())
}

/// What an error may quote of a client's bytes: no more than `most` of them, up to the first NUL, as Redis has it.
fn text(bytes: &[u8], most: usize) -> String {
    let bytes = bytes.split(|byte| *byte == 0).next().unwrap_or_default();
    String::from_utf8_lossy(&bytes[..bytes.len().min(most)]).into_owned()
}
