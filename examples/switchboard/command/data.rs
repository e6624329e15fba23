//! The commands that concern keys.

use bytes::Bytes;

use super::{Command, text};
use crate::error::CommandError;
use crate::number;
use crate::reply::Reply;
use crate::resp::Arguments;
use crate::value::{ExpireOnly, Expiry, KeyOp, SetWhen, UnixMillis};

/// What a parser of the table gives back.
type Parsed<'a> = Result<Command<'a>, CommandError>;

/// How the replies of several keys become one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Gather {
    /// Their sum: `DEL`, `EXISTS`.
    Sum,
    /// All of them, in the order of the keys: `MGET`.
    List,
}

impl Gather {
    /// One reply out of many.
    pub fn fold(self, replies: Vec<Reply>) -> Reply {
        match self {
            Self::List => Reply::Array(replies),
            Self::Sum => Reply::Integer(
                replies.iter().map(|reply| if let Reply::Integer(count) = reply { *count } else { 0 }).sum(),
            ),
        }
    }
}

/// One step of `SCAN`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Scan<'a> {
    /// Where the last step ended; 0 begins and ends a walk.
    pub cursor: u64,
    /// Only keys that match this.
    pub pattern: Option<&'a [u8]>,
    /// How many keys to look at, about.
    pub count: usize,
    /// Whether the walk can find anything at all: false when it asks for keys of another type than string.
    pub strings: bool,
}

/// The first argument and a fixed operation: `GET key`.
pub fn one<'a>(arguments: Arguments<'a>, op: KeyOp) -> Parsed<'a> {
    Ok(Command::One(required(arguments, 0)?, op))
}

/// All arguments and a fixed operation: `DEL key key`.
pub fn each(keys: Arguments<'_>, op: KeyOp, gather: Gather) -> Parsed<'_> {
    Ok(Command::Each { keys, op, gather })
}

/// `APPEND key value`.
pub fn append(arguments: Arguments<'_>) -> Parsed<'_> {
    one(arguments, KeyOp::Append(owned(required(arguments, 1)?)))
}

/// `INCRBY key amount`.
pub fn increase_by(arguments: Arguments<'_>) -> Parsed<'_> {
    one(arguments, KeyOp::Add(integer(arguments, 1)?))
}

/// `DECRBY key amount`.
pub fn decrease_by(arguments: Arguments<'_>) -> Parsed<'_> {
    let amount = integer(arguments, 1)?.checked_neg().ok_or(CommandError::DecrementOverflow)?;
    one(arguments, KeyOp::Add(amount))
}

/// `SET key value [NX | XX] [GET] [EX s | PX ms | EXAT s | PXAT ms | KEEPTTL]`.
pub fn set(arguments: Arguments<'_>, now: UnixMillis) -> Parsed<'_> {
    let (mut when, mut get, mut keep) = (SetWhen::Always, false, false);
    let mut deadline: Option<(Deadline, &[u8])> = None;
    let mut options = arguments.skip(2).iter();
    while let Some(option) = options.next() {
        let is = |name: &str| option.eq_ignore_ascii_case(name.as_bytes());
        if is("NX") && when != SetWhen::Present {
            when = SetWhen::Missing;
        } else if is("XX") && when != SetWhen::Missing {
            when = SetWhen::Present;
        } else if is("GET") {
            get = true;
        } else if is("KEEPTTL") && deadline.is_none() {
            keep = true;
        } else if let Some(kind) = Deadline::named(option) {
            // Twice the same is allowed and the last one counts; two kinds are not.
            if keep || deadline.is_some_and(|(earlier, _)| earlier != kind) {
                return Err(CommandError::Syntax);
            }
            deadline = Some((kind, options.next().ok_or(CommandError::Syntax)?));
        } else {
            return Err(CommandError::Syntax);
        }
    }
    // Only now, for a syntax error anywhere comes before a number that is none.
    let expiry = match deadline {
        Some((kind, value)) => Expiry::At(kind.positive(value, now)?),
        None if keep => Expiry::Keep,
        None => Expiry::Never,
    };
    one(arguments, KeyOp::Set { value: owned(required(arguments, 1)?), when, expiry, get })
}

/// `MSET key value [key value ...]`.
pub fn set_each(arguments: Arguments<'_>) -> Parsed<'_> {
    if !arguments.len().is_multiple_of(2) {
        return Err(CommandError::Arity("mset"));
    }
    Ok(Command::SetEach(arguments))
}

/// `EXPIRE key seconds [NX | XX] [GT | LT]`.
pub fn expire(arguments: Arguments<'_>, now: UnixMillis) -> Parsed<'_> {
    expire_in(Deadline::Seconds, "expire", arguments, now)
}

/// `PEXPIRE key milliseconds [NX | XX] [GT | LT]`.
pub fn expire_millis(arguments: Arguments<'_>, now: UnixMillis) -> Parsed<'_> {
    expire_in(Deadline::Millis, "pexpire", arguments, now)
}

fn expire_in<'a>(
    kind: Deadline,
    command: &'static str,
    arguments: Arguments<'a>,
    now: UnixMillis,
) -> Parsed<'a> {
    let mut only = ExpireOnly::default();
    for option in arguments.skip(2).iter() {
        match option.to_ascii_uppercase().as_slice() {
            b"NX" => only.unset = true,
            b"XX" => only.set = true,
            b"GT" => only.later = true,
            b"LT" => only.sooner = true,
            _ => return Err(CommandError::UnsupportedOption(text(option, option.len()).into())),
        }
    }
    if only.unset && (only.set || only.later || only.sooner) {
        return Err(CommandError::ExpireNotAlone);
    }
    if only.later && only.sooner {
        return Err(CommandError::ExpireBothWays);
    }
    let at = kind.at(integer(arguments, 1)?, now).ok_or(CommandError::InvalidExpire(command))?;
    one(arguments, KeyOp::Expire { at, only })
}

/// `KEYS pattern`.
pub fn keys(arguments: Arguments<'_>) -> Parsed<'_> {
    Ok(Command::Keys(required(arguments, 0)?))
}

/// `SCAN cursor [MATCH pattern] [COUNT count] [TYPE type]`.
pub fn scan(arguments: Arguments<'_>) -> Parsed<'_> {
    let cursor = cursor(required(arguments, 0)?).ok_or(CommandError::InvalidCursor)?;
    let mut scan = Scan { cursor, pattern: None, count: 10, strings: true };
    let mut options = arguments.skip(1).iter();
    while let Some(option) = options.next() {
        let value = options.next().ok_or(CommandError::Syntax)?;
        match option.to_ascii_uppercase().as_slice() {
            b"MATCH" => scan.pattern = Some(value),
            b"TYPE" => scan.strings = value.eq_ignore_ascii_case(b"string"),
            b"COUNT" => {
                let count = number::parse(value).ok_or(CommandError::NotAnInteger)?;
                scan.count = usize::try_from(count).map_err(|_| CommandError::Syntax)?;
                if scan.count == 0 {
                    return Err(CommandError::Syntax);
                }
            }
            _ => return Err(CommandError::Syntax),
        }
    }
    Ok(Command::Scan(scan))
}

/// Reads a cursor as Redis does, which leaves that to C's `strtoul`: up to a NUL, nothing is zero, and a sign may stand in
/// front. With a minus, the cursor counts from the end of the numbers.
fn cursor(text: &[u8]) -> Option<u64> {
    let text = std::str::from_utf8(text.split(|byte| *byte == 0).next()?).ok()?;
    match text.strip_prefix('-') {
        None if text.is_empty() => Some(0),
        None => text.parse().ok(),
        Some(digits) if digits.starts_with('+') => None,
        Some(digits) => digits.parse().ok().map(u64::wrapping_neg),
    }
}

/// `FLUSHALL [ASYNC | SYNC]`: each key's process ends on its own, so both mean the same.
pub fn flush_all(arguments: Arguments<'_>) -> Parsed<'_> {
    match arguments.get(0) {
        None => Ok(Command::FlushAll),
        Some(mode)
            if arguments.len() == 1
                && (mode.eq_ignore_ascii_case(b"async") || mode.eq_ignore_ascii_case(b"sync")) =>
        {
            Ok(Command::FlushAll)
        }
        Some(_) => Err(CommandError::Syntax),
    }
}

/// The ways to say when a key ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Deadline {
    Seconds,
    Millis,
    UnixSeconds,
    UnixMillis,
}

impl Deadline {
    fn named(option: &[u8]) -> Option<Self> {
        match option.to_ascii_uppercase().as_slice() {
            b"EX" => Some(Self::Seconds),
            b"PX" => Some(Self::Millis),
            b"EXAT" => Some(Self::UnixSeconds),
            b"PXAT" => Some(Self::UnixMillis),
            _ => None,
        }
    }

    /// The moment that `value` means; `None` beyond the end of time.
    fn at(self, value: i64, now: UnixMillis) -> Option<UnixMillis> {
        let scale = if matches!(self, Self::Seconds | Self::UnixSeconds) { 1000 } else { 1 };
        let base = if matches!(self, Self::Seconds | Self::Millis) { now.0 } else { 0 };
        value.checked_mul(scale)?.checked_add(base).map(UnixMillis)
    }

    /// For `SET`, which takes no time at all and less for a mistake.
    fn positive(self, value: &[u8], now: UnixMillis) -> Result<UnixMillis, CommandError> {
        let value = number::parse(value).ok_or(CommandError::NotAnInteger)?;
        let at = if value > 0 { self.at(value, now) } else { None };
        at.ok_or(CommandError::InvalidExpire("set"))
    }
}

fn integer(arguments: Arguments<'_>, index: usize) -> Result<i64, CommandError> {
    number::parse(required(arguments, index)?).ok_or(CommandError::NotAnInteger)
}

/// An argument that the table's arity promises; so there is always one.
pub fn required(arguments: Arguments<'_>, index: usize) -> Result<&[u8], CommandError> {
    arguments.get(index).ok_or(CommandError::Syntax)
}

/// A copy that outlives the request, of exactly its size.
fn owned(bytes: &[u8]) -> Bytes {
    Bytes::copy_from_slice(bytes)
}
