//! The message that nobody can send.

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

/// The type of a message that does not exist: `type Info = Never;` says that a server takes no such message,
/// and the compiler holds it to that.
///
/// It stands for the missing callback of an OTP behaviour: where Erlang finds out at run time that `handle_info/2`
/// was called for nothing, here the call cannot be written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Never {}

impl Serialize for Never {
    fn serialize<S: Serializer>(&self, _: S) -> Result<S::Ok, S::Error> {
        match *self {}
    }
}

impl<'de> Deserialize<'de> for Never {
    fn deserialize<D: Deserializer<'de>>(_: D) -> Result<Self, D::Error> {
        Err(de::Error::custom("found a value for a message type that has none (Never)"))
    }
}
