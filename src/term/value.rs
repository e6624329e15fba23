//! Any serialisable value, as data.

use std::fmt;
use std::sync::Arc;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

use super::text;

/// Any value that serialises, kept as named MessagePack: what an exit reason, a monitor tag or a label carries when
/// its type is the user's own.
///
/// Cheap to clone, comparable by content, and the same on every node. It stands for Erlang's "any term".
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Term(Arc<Vec<u8>>);

/// As bytes, not as a sequence of numbers, which would take up to twice the room.
impl Serialize for Term {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_bytes(&self.0)
    }
}

impl<'de> Deserialize<'de> for Term {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Bytes;

        impl de::Visitor<'_> for Bytes {
            type Value = Vec<u8>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("the bytes of a term")
            }

            fn visit_bytes<E: de::Error>(self, bytes: &[u8]) -> Result<Vec<u8>, E> {
                Ok(bytes.to_vec())
            }

            fn visit_byte_buf<E: de::Error>(self, bytes: Vec<u8>) -> Result<Vec<u8>, E> {
                Ok(bytes)
            }
        }

        deserializer.deserialize_byte_buf(Bytes).map(|bytes| Term(Arc::new(bytes)))
    }
}

impl Term {
    /// Encodes a value.
    ///
    /// # Errors
    /// The value's `Serialize` refused.
    pub fn encode<T: Serialize + ?Sized>(value: &T) -> Result<Self, TermError> {
        rmp_serde::to_vec_named(value)
            .map(|bytes| Term(Arc::new(bytes)))
            .map_err(|e| TermError(e.to_string()))
    }

    /// Reads the value back as a `T`.
    ///
    /// # Errors
    /// The bytes are not a `T`, or something follows it.
    pub fn decode<T: DeserializeOwned>(&self) -> Result<T, TermError> {
        let mut rest = rmp_serde::Deserializer::new(self.0.as_slice());
        let value = T::deserialize(&mut rest).map_err(|e| TermError(e.to_string()))?;
        match rest.get_ref().len() {
            0 => Ok(value),
            n => Err(TermError(format!("{n} bytes follow the value"))),
        }
    }
}

impl From<&str> for Term {
    fn from(text: &str) -> Self {
        // A string always encodes; the empty term could only follow a defect of the encoder.
        Term::encode(text).unwrap_or_else(|_| Term(Arc::new(vec![0xc0])))
    }
}

/// What it says, as text for people: `{id: "db", tries: 3}`. At most a few hundred characters, then `…`; bytes that are
/// no text are counted.
impl fmt::Display for Term {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        text::write(&self.0, f)
    }
}

/// As [`Display`](fmt::Display).
impl fmt::Debug for Term {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        text::write(&self.0, f)
    }
}

/// A value that could not be encoded, or bytes that are not the asked value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TermError(String);

impl fmt::Display for TermError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "not such a term: {}", self.0)
    }
}

impl std::error::Error for TermError {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn round_trips_and_refuses_what_it_is_not() {
        let term = Term::encode(&("retry", 3u32)).unwrap();
        assert_eq!(term.decode::<(String, u32)>().unwrap(), ("retry".into(), 3));
        assert!(term.decode::<u64>().is_err());
        assert_eq!(term, Term::encode(&("retry", 3u32)).unwrap());
    }

    #[test]
    fn a_term_crosses_the_wire_as_bytes() {
        let term = Term::encode(&vec![200u8; 1000]).unwrap();
        let wire = rmp_serde::to_vec(&term).unwrap();
        assert_eq!(wire.len(), term.0.len() + 3);
        assert_eq!(rmp_serde::from_slice::<Term>(&wire).unwrap(), term);
    }

    #[test]
    fn trailing_bytes_are_refused() {
        let mut bytes = rmp_serde::to_vec(&1u8).unwrap();
        bytes.push(2);
        assert!(Term(Arc::new(bytes)).decode::<u8>().unwrap_err().to_string().contains("1 bytes follow"));
    }
}
