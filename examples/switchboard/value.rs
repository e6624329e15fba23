//! The state of one key and what can be done to it. Pure: it knows no clock, no process and no other key.

use bytes::{Bytes, BytesMut};
use serde::{Deserialize, Serialize};

use crate::error::CommandError;
use crate::number::{self, Decimal};
use crate::reply::Reply;

/// Longest string that a key may hold, Redis's `proto-max-bulk-len`.
const LONGEST: usize = 512 * 1024 * 1024;

/// A value longer than this is long: a connection that asks for it does not go on before it has written the reply.
pub const LONG: usize = 16 * 1024;

/// Values up to this length are copied into a reply.
const COPIED: usize = 256;

/// A point in time: milliseconds since 1970. The wall clock, not the process's own, because `EXAT` names a date and a
/// key may live on elsewhere.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct UnixMillis(pub i64);

/// One operation on one key. Everything that could be wrong with its arguments was found when the command was parsed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum KeyOp {
    /// The value, or nil.
    Get,
    /// The value, or nil; the key is gone.
    GetDel,
    /// A new value.
    Set {
        /// What the key will hold.
        value: Bytes,
        /// Whether to set at all.
        when: SetWhen,
        /// What becomes of the time to live.
        expiry: Expiry,
        /// Answer with the old value in place of OK.
        get: bool,
    },
    /// 1 if there was a key; it is gone.
    Del,
    /// 1 if there is a key.
    Exists,
    /// `string` or `none`.
    Type,
    /// The value's length, 0 without a key.
    StrLen,
    /// Lengthens the value; answers with the new length.
    Append(Bytes),
    /// Adds to the value read as an integer, 0 without a key; answers with the sum.
    Add(i64),
    /// 1 if the time to live is now this.
    Expire {
        /// When the key shall end; in the past, it ends at once.
        at: UnixMillis,
        /// The conditions under which the time to live is changed.
        only: ExpireOnly,
    },
    /// Seconds to live, rounded; -1 for ever, -2 without a key.
    Ttl,
    /// Milliseconds to live; -1 for ever, -2 without a key.
    PTtl,
    /// 1 if there was a time to live; there is none now.
    Persist,
}

/// When `SET` sets.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum SetWhen {
    /// In any case.
    #[default]
    Always,
    /// NX: if there is no such key.
    Missing,
    /// XX: if there is such a key.
    Present,
}

/// What `SET` does to the time to live.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Expiry {
    /// The key lives for ever.
    #[default]
    Never,
    /// KEEPTTL: as before.
    Keep,
    /// The key ends then.
    At(UnixMillis),
}

/// The conditions of `EXPIRE`; all that are set must hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct ExpireOnly {
    /// NX: if the key has no time to live.
    pub unset: bool,
    /// XX: if it has one.
    pub set: bool,
    /// GT: if the new end is later; for ever is the latest.
    pub later: bool,
    /// LT: if the new end is sooner.
    pub sooner: bool,
}

/// What the key's process has to do after an operation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Next {
    /// Nothing: the key goes on and so does its timer, if it has one.
    Live,
    /// Start the expiry timer for this moment, in place of any earlier one.
    Arm(UnixMillis),
    /// Stop the expiry timer.
    Disarm,
    /// End: the key was deleted, has expired, or never came to be.
    End,
}

/// The state of one key. The default is a key that does not exist (yet): what a process holds before its first
/// operation, and what answers for a key without a process.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Value {
    bytes: Option<Bytes>,
    /// Only ever set while there are bytes.
    deadline: Option<UnixMillis>,
}

impl KeyOp {
    /// Whether this operation can bring a key to life. For any other, a key without a process needs none: the
    /// default [`Value`] gives the answer.
    pub fn creates(&self) -> bool {
        match self {
            Self::Set { when, .. } => *when != SetWhen::Present,
            Self::Append(_) | Self::Add(_) => true,
            _ => false,
        }
    }

    /// Whether the reply holds the value.
    pub fn shows_value(&self) -> bool {
        matches!(self, Self::Get | Self::GetDel | Self::Set { get: true, .. })
    }

    /// Whether it brings something [long](LONG) into the value.
    pub fn is_long(&self) -> bool {
        match self {
            Self::Set { value: bytes, .. } | Self::Append(bytes) => bytes.len() > LONG,
            _ => false,
        }
    }
}

impl Value {
    /// Whether it is [long](LONG).
    pub fn is_long(&self) -> bool {
        self.length() > LONG
    }

    /// Carries out `op` at the time `now`.
    ///
    /// A deadline that has passed counts, whether or not its timer has fired: a timer may be late, a read may not.
    pub fn apply(&mut self, op: KeyOp, now: UnixMillis) -> (Reply, Next) {
        let armed = self.deadline;
        self.drop_if_due(now);
        let reply = self.perform(op, now).unwrap_or_else(Reply::Error);
        self.drop_if_due(now);
        (reply, self.next(armed))
    }

    /// Whether there is a value, at the time of the last operation.
    pub fn exists(&self) -> bool {
        self.bytes.is_some()
    }

    /// The expiry timer has fired. It may be early, or belong to a deadline that was moved since.
    pub fn timer_fired(&mut self, now: UnixMillis) -> Next {
        self.drop_if_due(now);
        match (&self.bytes, self.deadline) {
            (None, _) => Next::End,
            (Some(_), Some(at)) => Next::Arm(at),
            (Some(_), None) => Next::Live,
        }
    }

    fn perform(&mut self, op: KeyOp, now: UnixMillis) -> Result<Reply, CommandError> {
        Ok(match op {
            KeyOp::Get => self.get(),
            KeyOp::GetDel => {
                let old = self.get();
                self.clear();
                old
            }
            KeyOp::Set { value, when, expiry, get } => self.set(value, when, expiry, get),
            KeyOp::Del => {
                let existed = self.bytes.is_some();
                self.clear();
                Reply::yes(existed)
            }
            KeyOp::Exists => Reply::yes(self.bytes.is_some()),
            KeyOp::Type => Reply::Simple(if self.bytes.is_some() { "string" } else { "none" }),
            KeyOp::StrLen => Reply::count(self.length()),
            KeyOp::Append(tail) => self.append(&tail, LONGEST)?,
            KeyOp::Add(amount) => self.add(amount)?,
            KeyOp::Expire { at, only } => Reply::yes(self.expire(at, only)),
            // Half a second more is a second, as in Redis.
            KeyOp::Ttl => self.remaining(now, |left| left / 1000 + i64::from(left % 1000 >= 500)),
            KeyOp::PTtl => self.remaining(now, |left| left),
            KeyOp::Persist => Reply::yes(self.deadline.take().is_some()),
        })
    }

    /// The value as it is now. A short one is copied, which costs less than to share it: what is shared has a count of
    /// its own somewhere in memory, and two threads that write there.
    fn get(&self) -> Reply {
        match &self.bytes {
            None => Reply::Nil,
            Some(bytes) if bytes.len() <= COPIED => Reply::Bulk(Bytes::copy_from_slice(bytes)),
            Some(bytes) => Reply::Bulk(bytes.clone()),
        }
    }

    fn set(&mut self, value: Bytes, when: SetWhen, expiry: Expiry, get: bool) -> Reply {
        let wanted = match when {
            SetWhen::Always => true,
            SetWhen::Missing => self.bytes.is_none(),
            SetWhen::Present => self.bytes.is_some(),
        };
        let reply = match (get, wanted) {
            (true, _) => self.get(),
            (false, true) => Reply::Ok,
            (false, false) => Reply::Nil,
        };
        if wanted {
            self.bytes = Some(value);
            match expiry {
                Expiry::Never => self.deadline = None,
                Expiry::Keep => {}
                Expiry::At(at) => self.deadline = Some(at),
            }
        }
        reply
    }

    fn append(&mut self, tail: &[u8], longest: usize) -> Result<Reply, CommandError> {
        let length = self.length() + tail.len();
        if length > longest {
            return Err(CommandError::StringTooLong);
        }
        let old = self.bytes.take().unwrap_or_default();
        // In place while no reply holds the old value: a value built from many small pieces costs its length, not the
        // square of it.
        let mut bytes = old.try_into_mut().unwrap_or_else(|shared| BytesMut::from(&shared[..]));
        bytes.extend_from_slice(tail);
        self.bytes = Some(bytes.freeze());
        Ok(Reply::count(length))
    }

    fn add(&mut self, amount: i64) -> Result<Reply, CommandError> {
        let old = match &self.bytes {
            None => 0,
            Some(bytes) => number::parse(bytes).ok_or(CommandError::NotAnInteger)?,
        };
        let sum = old.checked_add(amount).ok_or(CommandError::Overflow)?;
        self.bytes = Some(Bytes::copy_from_slice(Decimal::new(sum).as_bytes()));
        Ok(Reply::Integer(sum))
    }

    fn expire(&mut self, at: UnixMillis, only: ExpireOnly) -> bool {
        let wanted = self.bytes.is_some()
            && match self.deadline {
                None => !only.set && !only.later,
                Some(old) => !only.unset && (!only.later || at > old) && (!only.sooner || at < old),
            };
        if wanted {
            self.deadline = Some(at);
        }
        wanted
    }

    fn remaining(&self, now: UnixMillis, unit: fn(i64) -> i64) -> Reply {
        Reply::Integer(match (&self.bytes, self.deadline) {
            (None, _) => -2,
            (Some(_), None) => -1,
            (Some(_), Some(at)) => unit(at.0.saturating_sub(now.0)),
        })
    }

    fn length(&self) -> usize {
        self.bytes.as_ref().map_or(0, Bytes::len)
    }

    fn clear(&mut self) {
        *self = Self::default();
    }

    fn drop_if_due(&mut self, now: UnixMillis) {
        if self.deadline.is_some_and(|at| at <= now) {
            self.clear();
        }
    }

    /// What follows for a process whose timer stands at `armed`.
    fn next(&self, armed: Option<UnixMillis>) -> Next {
        match (&self.bytes, self.deadline) {
            (None, _) => Next::End,
            (Some(_), deadline) if deadline == armed => Next::Live,
            (Some(_), Some(at)) => Next::Arm(at),
            (Some(_), None) => Next::Disarm,
        }
    }
}
