//! What is sent back for a request, as a value.

use bytes::Bytes;

use crate::error::CommandError;

/// One reply. A key's process sends it to the connection's process, which [encodes](crate::resp::encode) it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reply {
    /// `+OK`.
    Ok,
    /// `$-1`: no such value.
    Nil,
    /// An integer.
    Integer(i64),
    /// A string of any bytes.
    Bulk(Bytes),
    /// A word of ours; never text from a client, for it must hold no line break.
    Simple(&'static str),
    /// Replies in order.
    Array(Vec<Reply>),
    /// The request failed, the connection goes on.
    Error(CommandError),
}

impl Reply {
    /// `:1` for yes and `:0` for no.
    pub fn yes(answer: bool) -> Self {
        Self::Integer(i64::from(answer))
    }

    /// A length or a count. No string of ours comes near the end of the range.
    pub fn count(count: usize) -> Self {
        Self::Integer(i64::try_from(count).unwrap_or(i64::MAX))
    }

    /// About how many bytes it takes in memory.
    pub fn size(&self) -> usize {
        size_of::<Self>()
            + match self {
                Self::Bulk(bytes) => bytes.len(),
                Self::Array(replies) => replies.iter().map(Self::size).sum(),
                _ => 0,
            }
    }

    /// A bulk string of text that lives as long as the program.
    pub fn text(text: &'static str) -> Self {
        Self::Bulk(Bytes::from_static(text.as_bytes()))
    }
}

impl From<CommandError> for Reply {
    fn from(error: CommandError) -> Self {
        Self::Error(error)
    }
}
