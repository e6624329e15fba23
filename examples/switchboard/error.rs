//! What a client is told when it is wrong: Redis's own texts, since clients match on them.

use std::error::Error;
use std::fmt;

/// Bytes that cannot be a request. The stream has lost its framing: answer with this text, then close.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum ProtocolError {
    /// An inline request with a quote left open, or with text glued to a closing quote.
    UnbalancedQuotes,
    /// An inline request longer than [`Limits::max_line`](crate::resp::Limits).
    TooBigInline,
    /// The line that counts a request's arguments is longer than a line may be.
    TooBigCount,
    /// The count of arguments is no number, above the limit, or its line ends badly.
    InvalidCount,
    /// The line that gives an argument's length is longer than a line may be.
    TooBigLength,
    /// The length is no number, below zero, above the limit, or the argument does not end where it says.
    InvalidLength,
    /// An argument that is not a bulk string; carries the byte found in place of `$`. Nested arrays end here,
    /// at their first byte.
    ExpectedBulk(u8),
    /// The request as a whole would be larger than the limit.
    TooBigRequest,
    /// `POST` or `Host:`: a web page made a browser send this. Close without an answer, as Redis does.
    CrossProtocol,
}

impl fmt::Display for ProtocolError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ERR Protocol error: ")?;
        match self {
            Self::UnbalancedQuotes => f.write_str("unbalanced quotes in request"),
            Self::TooBigInline => f.write_str("too big inline request"),
            Self::TooBigCount => f.write_str("too big mbulk count string"),
            Self::InvalidCount => f.write_str("invalid multibulk length"),
            Self::TooBigLength => f.write_str("too big bulk count string"),
            Self::InvalidLength => f.write_str("invalid bulk length"),
            Self::ExpectedBulk(byte) => write!(f, "expected '$', got '{}'", printable(*byte)),
            Self::TooBigRequest => f.write_str("too big request"),
            Self::CrossProtocol => f.write_str("not a Redis client"),
        }
    }
}

impl Error for ProtocolError {}

/// An error reply is one line of text: Redis sends a blank for a line break; other bytes that are not text become `?`.
fn printable(byte: u8) -> char {
    match byte {
        b'\r' | b'\n' => ' ',
        b' '..=b'~' => char::from(byte),
        _ => '?',
    }
}

/// A well-formed request that cannot be served. The connection goes on.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum CommandError {
    /// No such command; the text is the whole message, since it quotes the request.
    UnknownCommand(Box<str>),
    /// No such subcommand; the text is the whole message.
    UnknownSubcommand(Box<str>),
    /// Too few or too many arguments for the command of this name (`client|id` for a subcommand).
    Arity(&'static str),
    /// Options that do not exist, contradict each other or lack their value.
    Syntax,
    /// Not a decimal 64-bit integer: an argument, or the value that `INCR` found.
    NotAnInteger,
    /// An integer beyond the 32 bits that `SELECT` takes.
    OutOfRange,
    /// The sum would leave 64 bits; the value is as it was.
    Overflow,
    /// `DECRBY` by the one number that has no negation.
    DecrementOverflow,
    /// A time to live that is zero or negative where it must not be, or beyond the end of time.
    InvalidExpire(&'static str),
    /// An option that `EXPIRE` does not know; carries it as the client wrote it.
    UnsupportedOption(Box<str>),
    /// `EXPIRE` with NX and any other condition.
    ExpireNotAlone,
    /// `EXPIRE` with both GT and LT.
    ExpireBothWays,
    /// The value would become longer than 512 MB; it is as it was.
    StringTooLong,
    /// `SELECT` of a database that does not exist.
    DatabaseIndex,
    /// `SCAN` with a cursor that is not a number.
    InvalidCursor,
    /// `HELLO` with a protocol version that is not a number.
    ProtocolVersion,
    /// `HELLO` for a protocol other than RESP2.
    UnsupportedProtocol,
    /// An option that `HELLO` does not know or that lacks its value.
    HelloOption(Box<str>),
    /// `HELLO ... AUTH` for a user that does not exist.
    WrongPassword,
    /// `CLIENT SETNAME` or `SETINFO` with a value that would break the client list; carries what was to be named.
    ClientText(&'static str),
    /// `CLIENT SETINFO` with an attribute that does not exist.
    ClientAttribute(Box<str>),
    /// `SHUTDOWN ABORT` while no shutdown runs.
    NoShutdown,
    /// The process of the key crashed over this command, and so did its successors.
    Crashed,
    /// The processes that serve keys are being started anew, or stopped.
    Unavailable,
    /// `OTP.HITS` while the key's process runs a version that does not count.
    NotCounted,
    /// `OTP.UPGRADE` that was not carried out; the text is the whole message.
    NotUpgraded(Box<str>),
    /// `SHUTDOWN SAVE`: nothing is kept on disk, so the promise cannot be made; the server goes on.
    CannotSave,
}

impl fmt::Display for CommandError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::UnknownCommand(text) | Self::UnknownSubcommand(text) | Self::NotUpgraded(text) => {
                f.write_str(text)
            }
            Self::Arity(name) => write!(f, "ERR wrong number of arguments for '{name}' command"),
            Self::Syntax => f.write_str("ERR syntax error"),
            Self::NotAnInteger => f.write_str("ERR value is not an integer or out of range"),
            Self::OutOfRange => {
                let (least, most) = (i32::MIN, i32::MAX);
                write!(f, "ERR value is out of range, value must between {least} and {most}")
            }
            Self::Overflow => f.write_str("ERR increment or decrement would overflow"),
            Self::DecrementOverflow => f.write_str("ERR decrement would overflow"),
            Self::InvalidExpire(name) => write!(f, "ERR invalid expire time in '{name}' command"),
            Self::UnsupportedOption(option) => write!(f, "ERR Unsupported option {option}"),
            Self::ExpireNotAlone => {
                f.write_str("ERR NX and XX, GT or LT options at the same time are not compatible")
            }
            Self::ExpireBothWays => f.write_str("ERR GT and LT options at the same time are not compatible"),
            Self::StringTooLong => {
                f.write_str("ERR string exceeds maximum allowed size (proto-max-bulk-len)")
            }
            Self::DatabaseIndex => f.write_str("ERR DB index is out of range"),
            Self::InvalidCursor => f.write_str("ERR invalid cursor"),
            Self::ProtocolVersion => f.write_str("ERR Protocol version is not an integer or out of range"),
            Self::UnsupportedProtocol => f.write_str("NOPROTO unsupported protocol version"),
            Self::HelloOption(option) => write!(f, "ERR Syntax error in HELLO option '{option}'"),
            Self::WrongPassword => {
                f.write_str("WRONGPASS invalid username-password pair or user is disabled.")
            }
            Self::ClientText(what) => {
                write!(f, "ERR {what} cannot contain spaces, newlines or special characters.")
            }
            Self::ClientAttribute(option) => write!(f, "ERR Unrecognized option '{option}'"),
            Self::Crashed => {
                f.write_str("ERR the process of the key crashed again and again, the command has no effect")
            }
            Self::Unavailable => f.write_str("LOADING the keys are not served at the moment"),
            Self::NotCounted => f.write_str(
                "ERR version 1 of a key does not count hits: OTP.UPGRADE 2 changes to one that does",
            ),
            Self::NoShutdown => f.write_str("ERR No shutdown in progress."),
            Self::CannotSave => f.write_str("ERR Errors trying to SHUTDOWN. Check logs."),
        }
    }
}

impl Error for CommandError {}
