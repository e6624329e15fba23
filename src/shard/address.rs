//! What a shard holds, and what is said to it, by name: bytes, addresses, messages.

use std::fmt;
use std::ops::Deref;
use std::sync::Arc;

use incarnate_shards::RequestId;
use serde::de::{SeqAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::term::{ExitReason, NodeId};

/// Bytes that are shared and never change.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub(crate) struct Blob(Arc<[u8]>);

impl Deref for Blob {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.0
    }
}

impl From<&[u8]> for Blob {
    fn from(bytes: &[u8]) -> Self {
        Blob(bytes.into())
    }
}

impl From<Vec<u8>> for Blob {
    fn from(bytes: Vec<u8>) -> Self {
        Blob(bytes.into())
    }
}

impl fmt::Debug for Blob {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} bytes", self.0.len())
    }
}

impl Serialize for Blob {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_bytes(&self.0)
    }
}

struct BlobVisitor;

impl<'de> Visitor<'de> for BlobVisitor {
    type Value = Blob;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("bytes")
    }

    fn visit_bytes<E>(self, bytes: &[u8]) -> Result<Blob, E> {
        Ok(bytes.into())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Blob, A::Error> {
        let mut bytes = Vec::new();
        while let Some(byte) = seq.next_element()? {
            bytes.push(byte);
        }
        Ok(bytes.into())
    }
}

impl<'de> Deserialize<'de> for Blob {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_bytes(BlobVisitor)
    }
}

/// Which process: the name of its type, its key, and the node that it is to be on, if it is pinned to one.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub(crate) struct Address(Arc<Parts>);

#[derive(PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
struct Parts {
    kind: Box<str>,
    key: Blob,
    pin: Option<NodeId>,
}

impl Address {
    pub(crate) fn new(kind: &str, key: &[u8]) -> Self {
        Address(Arc::new(Parts { kind: kind.into(), key: key.into(), pin: None }))
    }

    pub(crate) fn pinned(&self, pin: NodeId) -> Self {
        let Parts { kind, key, .. } = &*self.0;
        Address(Arc::new(Parts { kind: kind.clone(), key: key.clone(), pin: Some(pin) }))
    }

    pub(crate) fn kind(&self) -> &str {
        &self.0.kind
    }

    pub(crate) fn key(&self) -> &[u8] {
        &self.0.key
    }

    pub(crate) fn pin(&self) -> Option<NodeId> {
        self.0.pin
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.kind(), self.key().escape_ascii())?;
        self.pin().map_or(Ok(()), |pin| write!(f, "@{pin:?}"))
    }
}

impl fmt::Debug for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// What is asked of the processes of a shard, answered, and sent to them.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Body {
    /// A request, whose answer is waited for.
    Call {
        to: Address,
        message: Blob,
        /// By a process of another shard: who, and what it is to be told with the answer.
        by: Option<(Address, Blob)>,
        how: How,
    },
    /// A message that nobody waits for.
    Cast { to: Address, message: Blob },
    /// A timer of this name has fired.
    Timer { to: Address, name: Box<str>, message: Blob },
    /// The answer to a request that was accepted before, from outside.
    Answer { id: RequestId, said: Said },
    /// An answer.
    Said(Said),
}

/// How a request is carried out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum How {
    Any,
    /// It may not change anything.
    Read,
    /// Nor is what is true now asked for: what was true a moment ago will do.
    Stale,
}

/// What is answered.
pub(crate) type Said = Result<Blob, Fault>;

/// Why there is no answer of the process.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Fault {
    /// It crashed with this reason; nothing of what it did remains.
    Crashed(ExitReason),
    /// The message is none of its, or there is no such type.
    NotUnderstood(String),
    /// Its answer cannot be written.
    Unanswerable(String),
    /// So many messages wait for it as may.
    Overloaded,
    /// It was asked to read and has changed something: that was taken back.
    NotARead,
}
