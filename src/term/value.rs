//! Any serialisable value, as data.

use std::fmt;
use std::sync::Arc;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

use super::{shape, text};

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
    /// How deep a value may nest: structs, enums with a value, tuples, sequences and maps inside each other.
    pub const MAX_DEPTH: usize = shape::DEPTH;

    /// Encodes a value.
    ///
    /// # Errors
    /// The value's `Serialize` refused, it nests deeper than [`MAX_DEPTH`](Self::MAX_DEPTH), or a text, a sequence or
    /// a map in it has more than `u32::MAX` items: what is a term can be read back.
    pub fn encode<T: Serialize + ?Sized>(value: &T) -> Result<Self, TermError> {
        // Grown from nothing it would be moved half a dozen times.
        let mut bytes = Vec::with_capacity(128);
        rmp_serde::encode::write_named(&mut bytes, value).map_err(|e| TermError(e.to_string()))?;
        shape::check(&bytes).map_err(|flaw| TermError(flaw.to_string()))?;
        Ok(Term(Arc::new(bytes)))
    }

    /// The term that says nothing, `()`.
    pub fn nil() -> Self {
        Term(Arc::new(vec![0xc0]))
    }

    /// A term of bytes that were kept elsewhere. They may be anything: [`decode`](Self::decode) is what looks.
    pub fn from_bytes(bytes: impl Into<Vec<u8>>) -> Self {
        Term(Arc::new(bytes.into()))
    }

    /// The value as MessagePack.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// Reads the value back as a `T`. The bytes may come from anywhere: neither their depth nor the lengths that they
    /// promise harm who reads them.
    ///
    /// # Errors
    /// The bytes are not a `T`, nest deeper than [`MAX_DEPTH`](Self::MAX_DEPTH), or something follows the value.
    pub fn decode<T: DeserializeOwned>(&self) -> Result<T, TermError> {
        shape::check(&self.0).map_err(|flaw| TermError(flaw.to_string()))?;
        // It would pass over what follows the value, had the shape let that through.
        rmp_serde::from_slice(&self.0).map_err(|e| TermError(e.to_string()))
    }
}

impl From<&str> for Term {
    fn from(text: &str) -> Self {
        // A string encodes, unless it is longer than 4 GiB.
        Term::encode(text).unwrap_or_else(|_| Term::nil())
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

impl TermError {
    /// What is wrong, without the words that say what it is wrong with.
    pub(crate) fn into_reason(self) -> String {
        self.0
    }
}

impl fmt::Display for TermError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "not such a term: {}", self.0)
    }
}

impl std::error::Error for TermError {}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

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

    /// Each way for a type to hold itself, in a thread with the stack of a worker. Without the check of the shape each
    /// of them ends the program.
    #[test]
    fn no_depth_overflows_the_stack() {
        #[derive(Serialize, Deserialize)]
        enum Turtle {
            On(Box<Turtle>),
            Ground,
        }
        #[derive(Serialize, Deserialize)]
        struct Tree {
            name: String,
            numbers: [u64; 16],
            branches: HashMap<String, Tree>,
        }
        #[derive(Serialize, Deserialize)]
        #[serde(untagged)]
        enum Any {
            Number(i64),
            List(Vec<Any>),
        }

        fn nested(level: &[u8], levels: usize, inside: &[u8]) -> Term {
            Term(Arc::new([&level.repeat(levels), inside].concat()))
        }

        fn bounded<T: DeserializeOwned>(level: &[u8], depth: usize, inside: &[u8]) {
            assert!(nested(level, Term::MAX_DEPTH / depth - 1, inside).decode::<T>().is_ok());
            for levels in [Term::MAX_DEPTH / depth + 1, 1_000, 1_000_000] {
                let error = nested(level, levels, inside).decode::<T>().err().unwrap();
                assert!(error.to_string().contains("nests deeper than 128"), "{error}");
            }
        }

        let mut tree = b"\x83\xa4name\xa0\xa7numbers\xdc\x00\x10".to_vec();
        tree.extend([0; 16]);
        tree.extend(b"\xa8branches");
        let all = move || {
            bounded::<Turtle>(b"\x81\xa2On", 1, b"\xa6Ground");
            bounded::<Tree>(&[&tree[..], b"\x81\xa0"].concat(), 2, &[&tree[..], b"\x80"].concat());
            bounded::<Any>(b"\x91", 1, b"\x01");
            bounded::<de::IgnoredAny>(b"\x91", 1, b"\x01");
        };
        std::thread::Builder::new().stack_size(2 << 20).spawn(all).unwrap().join().unwrap();
    }

    #[test]
    fn what_could_not_be_read_back_is_no_term() {
        let mut list = lists(Term::MAX_DEPTH);
        assert!(Term::encode(&list).is_ok());
        list = List(vec![list]);
        let error = Term::encode(&list).unwrap_err();
        assert_eq!(error.to_string(), "not such a term: it nests deeper than 128 levels");
    }

    #[derive(Serialize)]
    struct List(Vec<List>);

    /// So many lists inside each other, the innermost with none.
    fn lists(depth: usize) -> List {
        (0..depth).fold(List(Vec::new()), |inner, _| List(vec![inner]))
    }

    #[test]
    fn a_lie_about_a_length_costs_nothing() {
        for lie in [b"\xdd\xff\xff\xff\xff\x01\x02", b"\xdf\xff\xff\xff\xff\x01\x02"] {
            let term = Term(Arc::new(lie.to_vec()));
            assert!(term.decode::<Vec<u64>>().unwrap_err().to_string().contains("the bytes end"));
            assert!(term.decode::<HashMap<u64, u64>>().is_err());
        }
    }
}
