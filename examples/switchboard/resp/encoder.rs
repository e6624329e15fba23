//! Replies to bytes. The redis-protocol crate writes them, but for the first lines of what is too long to be encoded at once:
//! it knows no piece of a frame.

use bytes::{Bytes, BytesMut};
use redis_protocol::error::RedisProtocolError;
use redis_protocol::resp2::encode::extend_encode;
use redis_protocol::resp2::types::BytesFrame;

use crate::error::ProtocolError;
use crate::number::Decimal;
use crate::reply::Reply;

/// Appends `reply` to `out`.
///
/// # Errors
///
/// If the crate refuses a frame. Its only reason would be a buffer too small, which it has sized itself.
pub fn encode(reply: &Reply, out: &mut BytesMut) -> Result<(), RedisProtocolError> {
    extend_encode(out, &frame(reply), false)?;
    Ok(())
}

/// Appends the beginning of an array of `length` replies, which follow one by one: for arrays too long to be encoded at
/// once.
pub fn encode_array_start(length: usize, out: &mut BytesMut) {
    // No array in memory has more than `isize::MAX` elements.
    line(b'*', length as i64, out);
}

/// Appends the beginning of a bulk string of `length` bytes, which follow with a line break.
pub fn encode_bulk_start(length: usize, out: &mut BytesMut) {
    // A string in memory is never longer than `isize::MAX`.
    line(b'$', length as i64, out);
}

/// Appends the last words to a client whose bytes cannot be a request: none at all to a browser.
///
/// # Errors
///
/// As [`encode`].
pub fn encode_last(error: ProtocolError, out: &mut BytesMut) -> Result<(), RedisProtocolError> {
    if error != ProtocolError::CrossProtocol {
        extend_encode(out, &BytesFrame::Error(error.to_string().into()), false)?;
    }
    Ok(())
}

/// A marker, a number and the end of the line.
fn line(marker: u8, value: i64, out: &mut BytesMut) {
    let decimal = Decimal::new(value);
    let digits = decimal.as_bytes();
    out.reserve(digits.len() + 3);
    out.extend_from_slice(&[marker]);
    out.extend_from_slice(digits);
    out.extend_from_slice(b"\r\n");
}

/// The crate's form of a reply. Depth is ours to choose (clients send no arrays that come back), so it may recurse.
fn frame(reply: &Reply) -> BytesFrame {
    match reply {
        Reply::Ok => BytesFrame::SimpleString(Bytes::from_static(b"OK")),
        Reply::Nil => BytesFrame::Null,
        Reply::Integer(value) => BytesFrame::Integer(*value),
        Reply::Bulk(bytes) => BytesFrame::BulkString(bytes.clone()),
        Reply::Simple(word) => BytesFrame::SimpleString(Bytes::from_static(word.as_bytes())),
        Reply::Array(replies) => BytesFrame::Array(replies.iter().map(frame).collect()),
        // An error may quote the client; a line break in it would end the reply early and forge the next one. As in Redis,
        // those at the end vanish and the others become blanks.
        Reply::Error(error) => {
            let text = error.to_string();
            BytesFrame::Error(text.trim_end_matches(['\r', '\n']).replace(['\r', '\n'], " ").into())
        }
    }
}
