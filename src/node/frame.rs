//! Frames: what two nodes tell each other, to the byte. `docs/wire.md` is their specification.
//!
//! A frame is its length, as four bytes with the highest first, then one byte that says what it is, then MessagePack: one
//! array of fields, and behind it the body if that kind of frame has one. Nothing is believed of a length: it is compared
//! with the limit of the lane before anything is kept for it.

use std::fmt;
use std::io::Cursor;
use std::ops::Range;

use serde::de::{self, DeserializeOwned, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// Bytes of the length.
pub(crate) const HEAD: usize = 4;
/// The longest frame of a handshake, and of the lane of control.
pub(crate) const CONTROL_LIMIT: u32 = 4 << 10;

/// What a frame is. The numbers are those on the wire and never change their meaning.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Kind {
    Hello = 1,
    Challenge = 2,
    Proof = 3,
    Welcome = 4,
    Refusal = 5,
    Ping = 6,
    Pong = 7,
    Peer = 8,
    Call = 16,
    Ask = 17,
    Cast = 18,
    Info = 19,
    Answer = 20,
    Failed = 21,
    Link = 22,
    Unlink = 23,
    UnlinkAck = 24,
    LinkExit = 25,
    Exit = 26,
    Monitor = 27,
    Demonitor = 28,
    Down = 29,
    Stop = 30,
    Alias = 31,
    Spawn = 32,
    Spawned = 33,
    GaveUp = 34,
}

impl Kind {
    const ALL: [Kind; 27] = [
        Kind::Hello,
        Kind::Challenge,
        Kind::Proof,
        Kind::Welcome,
        Kind::Refusal,
        Kind::Ping,
        Kind::Pong,
        Kind::Peer,
        Kind::Call,
        Kind::Ask,
        Kind::Cast,
        Kind::Info,
        Kind::Answer,
        Kind::Failed,
        Kind::Link,
        Kind::Unlink,
        Kind::UnlinkAck,
        Kind::LinkExit,
        Kind::Exit,
        Kind::Monitor,
        Kind::Demonitor,
        Kind::Down,
        Kind::Stop,
        Kind::Alias,
        Kind::Spawn,
        Kind::Spawned,
        Kind::GaveUp,
    ];

    fn of(byte: u8) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| *kind as u8 == byte)
    }
}

/// Why bytes are no frame.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum FrameError {
    /// It says that it is longer than may be.
    Oversized { found: u32, limit: u32 },
    /// A length of zero: not even a kind.
    Empty,
    /// A kind that this release does not know.
    UnknownKind(u8),
    /// A kind that has no place here.
    Misplaced(Kind),
    /// Its fields are not what its kind has.
    Malformed(Kind, String),
}

impl fmt::Display for FrameError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            // What TLS begins with, a handshake or an alert, read as a length.
            FrameError::Oversized { found, limit: CONTROL_LIMIT }
                if matches!(found >> 16, 0x1603 | 0x1503) =>
            {
                f.write_str("TLS, which this node does not speak")
            }
            FrameError::Oversized { found, limit } => {
                write!(f, "a frame of {found} bytes, at most {limit} are taken here")
            }
            FrameError::Empty => f.write_str("a frame of no bytes"),
            FrameError::UnknownKind(byte) => write!(f, "a frame of the unknown kind {byte}"),
            FrameError::Misplaced(kind) => write!(f, "a frame {kind:?} where none may be"),
            FrameError::Malformed(kind, why) => write!(f, "a damaged frame {kind:?}: {why}"),
        }
    }
}

/// Appends a frame; its body is what `body` appends. Nothing is appended when that fails, or the frame would be longer
/// than `limit`.
pub(crate) fn put<E>(
    out: &mut Vec<u8>,
    kind: Kind,
    fields: &impl Serialize,
    limit: u32,
    body: impl FnOnce(&mut Vec<u8>) -> Result<(), E>,
) -> Result<(), Unsent<E>> {
    let start = out.len();
    out.extend_from_slice(&[0; HEAD]);
    out.push(kind as u8);
    let written = rmp_serde::encode::write(out, fields).map_err(|error| Unsent::Fields(error.to_string()));
    let written = written.and_then(|()| body(out).map_err(Unsent::Body));
    let size = out.len() - start - HEAD;
    let checked = written.and_then(|()| match u32::try_from(size) {
        Ok(length) if length <= limit => Ok(length),
        _ => Err(Unsent::Oversized { found: size, limit }),
    });
    match checked {
        Ok(length) => {
            out[start..start + HEAD].copy_from_slice(&length.to_be_bytes());
            Ok(())
        }
        Err(why) => {
            out.truncate(start);
            Err(why)
        }
    }
}

/// Why a frame was not made.
#[derive(Debug)]
pub(crate) enum Unsent<E> {
    Fields(String),
    Body(E),
    Oversized { found: usize, limit: u32 },
}

/// A frame without a body, whose fields always can be written.
pub(crate) fn plain(kind: Kind, fields: &impl Serialize) -> Vec<u8> {
    let mut out = Vec::new();
    let written = put(&mut out, kind, fields, u32::MAX, |_| Ok::<_, std::convert::Infallible>(()));
    debug_assert!(written.is_ok(), "{kind:?}");
    out
}

/// The first whole frame in `bytes`: its kind, and where its fields are. `None`: it is not all there yet.
pub(crate) fn next(bytes: &[u8], limit: u32) -> Result<Option<(Kind, Range<usize>)>, FrameError> {
    let Some(head) = bytes.first_chunk::<HEAD>() else { return Ok(None) };
    let length = u32::from_be_bytes(*head);
    if length == 0 {
        return Err(FrameError::Empty);
    }
    if length > limit {
        return Err(FrameError::Oversized { found: length, limit });
    }
    // A kind that nobody knows is refused before the rest of it is waited for.
    let kind = match bytes.get(HEAD) {
        Some(byte) => Kind::of(*byte).ok_or(FrameError::UnknownKind(*byte))?,
        None => return Ok(None),
    };
    let end = HEAD + length as usize;
    Ok((bytes.len() >= end).then_some((kind, HEAD + 1..end)))
}

/// Reads the fields of a frame, and answers what is behind them: its body.
///
/// The fields of all kinds are numbers, short texts and exit reasons: none of them recurses.
pub(crate) fn fields<T: DeserializeOwned>(kind: Kind, bytes: &[u8]) -> Result<(T, &[u8]), FrameError> {
    let mut reader = rmp_serde::Deserializer::new(Cursor::new(bytes));
    let value = T::deserialize(&mut reader);
    let value = value.map_err(|error| FrameError::Malformed(kind, error.to_string()))?;
    let read = usize::try_from(reader.position()).unwrap_or(bytes.len());
    Ok((value, bytes.get(read..).unwrap_or_default()))
}

/// As [`fields`], of a kind without a body.
pub(crate) fn all<T: DeserializeOwned>(kind: Kind, bytes: &[u8]) -> Result<T, FrameError> {
    match fields(kind, bytes)? {
        (value, []) => Ok(value),
        (_, rest) => Err(FrameError::Malformed(kind, format!("{} bytes follow its fields", rest.len()))),
    }
}

/// 32 bytes: a nonce, or a proof.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) struct Bytes32(pub(crate) [u8; 32]);

impl fmt::Debug for Bytes32 {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Bytes32(..)")
    }
}

impl Serialize for Bytes32 {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_bytes(&self.0)
    }
}

impl<'de> Deserialize<'de> for Bytes32 {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Exactly;
        impl Visitor<'_> for Exactly {
            type Value = Bytes32;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("32 bytes")
            }

            fn visit_bytes<E: de::Error>(self, bytes: &[u8]) -> Result<Bytes32, E> {
                bytes.try_into().map(Bytes32).map_err(|_| E::invalid_length(bytes.len(), &self))
            }
        }
        deserializer.deserialize_bytes(Exactly)
    }
}
