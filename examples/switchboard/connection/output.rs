//! Replies on their way to the client.

use std::io;

use bytes::{Bytes, BytesMut};
use tokio::io::AsyncWriteExt;
use tokio::net::tcp::OwnedWriteHalf;

use crate::error::ProtocolError;
use crate::reply::Reply;
use crate::resp::{encode, encode_array_start, encode_bulk_start, encode_last};
use crate::value::LONG;

/// With so many bytes encoded they are written before more is.
pub const FLUSH: usize = 64 * 1024;

/// A buffer up to this size is kept for the next batch.
const KEPT: usize = 4 * 1024;

/// What is encoded and not yet written.
#[derive(Default)]
pub struct Output {
    buffer: BytesMut,
}

impl Output {
    /// Encodes a reply, and writes when there is enough; waits while the client does not read.
    pub async fn put(&mut self, reply: Reply, socket: &mut OwnedWriteHalf) -> io::Result<()> {
        match reply {
            Reply::Array(replies) => {
                encode_array_start(replies.len(), &mut self.buffer);
                for reply in replies {
                    match reply {
                        // Boxed, since it recurses: replies nest twice or three times.
                        Reply::Array(_) => Box::pin(self.put(reply, socket)).await?,
                        other => self.leaf(&other, socket).await?,
                    }
                }
                Ok(())
            }
            other => self.leaf(&other, socket).await,
        }
    }

    async fn leaf(&mut self, reply: &Reply, socket: &mut OwnedWriteHalf) -> io::Result<()> {
        match reply {
            // Written from where it is, without a copy.
            Reply::Bulk(bytes) if bytes.len() > LONG => self.long(bytes, socket).await,
            reply => {
                encode(reply, &mut self.buffer).map_err(io::Error::other)?;
                if self.buffer.len() < FLUSH { Ok(()) } else { self.flush(socket).await }
            }
        }
    }

    async fn long(&mut self, bytes: &Bytes, socket: &mut OwnedWriteHalf) -> io::Result<()> {
        encode_bulk_start(bytes.len(), &mut self.buffer);
        self.flush(socket).await?;
        socket.write_all(bytes).await?;
        self.buffer.extend_from_slice(b"\r\n");
        Ok(())
    }

    /// Encodes what a client is told whose bytes cannot be a request.
    pub fn last_words(&mut self, error: ProtocolError) -> io::Result<()> {
        encode_last(error, &mut self.buffer).map_err(io::Error::other)
    }

    /// Writes what is encoded.
    pub async fn flush(&mut self, socket: &mut OwnedWriteHalf) -> io::Result<()> {
        if !self.buffer.is_empty() {
            socket.write_all(&self.buffer).await?;
            self.buffer.clear();
        }
        if self.buffer.capacity() > KEPT {
            self.buffer = BytesMut::new();
        }
        Ok(())
    }
}
