//! RESP2 on the wire: requests in, replies out. Bytes only; what a request means is `command`'s business.

mod decoder;
mod encoder;
mod inline;

pub use decoder::{Arguments, Decoder, Limits};
pub use encoder::{encode, encode_array_start, encode_bulk_start, encode_last};
