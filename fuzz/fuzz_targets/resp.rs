//! Any bytes in any pieces from a client: no panic, no memory beyond what came in, the same requests however the bytes
//! were cut, each request what the redis-protocol crate reads in the same bytes, each reply one frame.

#![no_main]

use bytes::BytesMut;
use libfuzzer_sys::fuzz_target;
use redis_protocol::resp2::decode::decode;
use redis_protocol::resp2::types::OwnedFrame;
use switchboard::command::Command;
use switchboard::error::ProtocolError;
use switchboard::glob;
use switchboard::reply::Reply;
use switchboard::resp::{Arguments, Decoder, Limits, encode, encode_last};
use switchboard::value::{UnixMillis, Value};

/// Limits low enough to be met by an input of some hundred bytes.
const LOW: Limits = Limits { max_arguments: 8, max_bulk: 32, max_line: 24, max_request: 120 };

type Requests = Vec<Vec<Vec<u8>>>;

fuzz_target!(|data: &[u8]| {
    // The first bytes say how to cut the rest and which limits hold.
    let Some((head, input)) = data.split_first_chunk::<4>() else { return };
    let limits = if head[0] & 1 == 0 { Limits::default() } else { LOW };
    let mut service = Service::default();
    let whole = serve(limits, std::iter::once(input), |request| service.answer(request));
    let mut pieces = Vec::new();
    let (mut rest, mut sizes) = (input, head.iter().cycle());
    while !rest.is_empty() {
        let size = sizes.next().map_or(1, |size| 1 + usize::from(size >> 2));
        let (piece, behind) = rest.split_at(size.min(rest.len()));
        pieces.push(piece);
        rest = behind;
    }
    assert_eq!(serve(limits, pieces.into_iter(), |_| {}), whole, "the pieces make a difference");
    if let Some(error) = whole.1 {
        let mut out = BytesMut::new();
        encode_last(error, &mut out).expect("every error can be encoded");
        assert!(out.is_empty() || out.ends_with(b"\r\n"));
    }
    agree(input, &whole.0);
});

/// Feeds the pieces to a decoder and shows each request to `seen`.
fn serve<'a>(
    limits: Limits,
    pieces: impl Iterator<Item = &'a [u8]>,
    mut seen: impl FnMut(Arguments<'_>),
) -> (Requests, Option<ProtocolError>) {
    let mut decoder = Decoder::new(limits);
    let (mut requests, mut fed) = (Requests::new(), 0);
    for piece in pieces {
        decoder.buffer().extend_from_slice(piece);
        fed += piece.len();
        loop {
            match decoder.next_request() {
                Ok(Some(request)) => {
                    assert!(!request.is_empty());
                    seen(request);
                    requests.push(request.iter().map(<[u8]>::to_vec).collect());
                }
                Ok(None) => break,
                Err(error) => return (requests, Some(error)),
            }
        }
        assert!(decoder.buffer().capacity() <= 2 * fed + 64, "memory for bytes that never came");
    }
    (requests, None)
}

/// One key and its clock.
#[derive(Default)]
struct Service {
    value: Value,
    now: i64,
}

impl Service {
    /// Parses a request, does what can be done to one key, and holds the reply against the crate.
    fn answer(&mut self, request: Arguments<'_>) {
        self.now += 1;
        let now = UnixMillis(self.now);
        match Command::parse(request, now) {
            Ok(Command::Answer(reply)) => one_frame(&reply),
            Ok(Command::One(_, op)) => one_frame(&self.value.apply(op, now).0),
            Ok(Command::Each { keys, op, gather }) => {
                one_frame(&gather.fold(keys.iter().map(|_| self.value.apply(op.clone(), now).0).collect()));
            }
            Ok(Command::SetEach(pairs)) => assert_eq!(pairs.pairs().count() * 2, pairs.len()),
            Ok(Command::Keys(pattern)) => {
                glob::matches(pattern, pattern);
            }
            Ok(_) => {}
            Err(error) => one_frame(&error.into()),
        }
    }
}

/// A reply is one frame, whatever a client has put into it.
fn one_frame(reply: &Reply) {
    let mut out = BytesMut::new();
    encode(reply, &mut out).expect("every reply can be encoded");
    let (_, used) = decode(&out).expect("a valid frame").expect("a complete frame");
    assert_eq!(used, out.len(), "more than one frame");
}

/// Every array among `requests`, in order, is what the crate reads at its place in `input`.
fn agree(mut input: &[u8], requests: &Requests) {
    for request in requests {
        // Empty requests are passed over.
        while let Some(line) = line(input)
            && (line.starts_with(b"*0") || line.starts_with(b"*-") || is_blank(line))
        {
            input = &input[line.len()..];
        }
        if input.starts_with(b"*") {
            let (frame, used) = decode(input).expect("a valid frame").expect("a complete frame");
            let arguments = request.iter().cloned().map(OwnedFrame::BulkString).collect();
            assert_eq!(frame, OwnedFrame::Array(arguments));
            input = &input[used..];
        } else {
            input = &input[line(input).map_or(input.len(), <[u8]>::len)..];
        }
    }
}

/// Blank as C sees it, the vertical tab included.
fn is_blank(line: &[u8]) -> bool {
    line.iter().all(|byte| byte.is_ascii_whitespace() || *byte == 0x0b)
}

/// The first line with its end.
fn line(input: &[u8]) -> Option<&[u8]> {
    input.iter().position(|byte| *byte == b'\n').map(|end| &input[..=end])
}
