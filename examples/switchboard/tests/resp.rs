//! Bytes to requests and replies to bytes.

use bytes::{Bytes, BytesMut};
use redis_protocol::resp2::{decode, types::OwnedFrame};

use super::support::model::request;
use super::support::random::Random;
use crate::error::{CommandError, ProtocolError};
use crate::reply::Reply;
use crate::resp::{Decoder, Limits, encode, encode_array_start, encode_bulk_start};

/// What a stream of bytes is made of: requests, and perhaps an end.
#[derive(Debug, PartialEq, Eq, Clone)]
struct Outcome(Vec<Vec<Vec<u8>>>, Option<ProtocolError>);

/// Feeds `pieces` one after the other and asks after each.
fn outcome<'a>(limits: Limits, pieces: impl Iterator<Item = &'a [u8]>) -> Outcome {
    let mut decoder = Decoder::new(limits);
    let mut requests = Vec::new();
    for piece in pieces {
        decoder.buffer().extend_from_slice(piece);
        loop {
            match decoder.next_request() {
                Ok(Some(request)) => requests.push(request.iter().map(<[u8]>::to_vec).collect()),
                Ok(None) => break,
                Err(error) => {
                    assert_eq!(decoder.next_request().err(), Some(error), "an error is final");
                    return Outcome(requests, Some(error));
                }
            }
        }
    }
    Outcome(requests, None)
}

/// Whole and byte by byte, `input` must be these requests (words joined by `|`, `;` behind each) and this end.
fn check(input: impl AsRef<[u8]>, requests: &str, error: Option<ProtocolError>) {
    let input = input.as_ref();
    let whole = outcome(Limits::default(), std::iter::once(input));
    let shown: String = (whole.0.iter())
        .map(|request| String::from_utf8_lossy(&request.join(&b'|')).into_owned() + ";")
        .collect();
    let start = String::from_utf8_lossy(&input[..input.len().min(80)]).into_owned();
    assert_eq!((shown.as_str(), whole.1), (requests, error), "{start:?}");
    assert_eq!(outcome(Limits::default(), input.chunks(1)), whole, "byte by byte: {start:?}");
}

#[test]
fn arrays_of_bulk_strings_are_requests() {
    check("", "", None);
    check("*1\r\n$4\r\nPING\r\n", "PING;", None);
    check("*2\r\n$3\r\nGET\r\n$1\r\na\r\n", "GET|a;", None);
    check("*2\r\n$3\r\nGET\r\n$0\r\n\r\n", "GET|;", None);
    check("*1\r\n$2\r\n\r\n\r\n", "\r\n;", None);
    check("*1\r\n$1\r\na\r\n*1\r\n$1\r\nb\r\n", "a;b;", None);
    check("*1\r\n$1\r\na\r\nPING\r\n*1\r\n$1\r\nb\r\n", "a;PING;b;", None);
    check("*0\r\n*-1\r\n*-7\r\n*1\r\n$1\r\na\r\n", "a;", None);
    check("*1\r\n$4\r\nPIN", "", None);
    check("*1\r\n$4\r\nPING\r", "", None);
    check("*1048577\r\n", "", None);
    check("*2147483647\r\n", "", None);
}

#[test]
fn inline_requests_are_split_by_redis_rules() {
    check("PING\r\n", "PING;", None);
    check("PING\n", "PING;", None);
    check("\r\n\n  \r\nPING\r\n", "PING;", None);
    check("  set \t a   b \r\n", "set|a|b;", None);
    check("set \"a b\" 'c d'\r\n", "set|a b|c d;", None);
    check("set \"\" ''\r\n", "set||;", None);
    check(
        r#"set "\n\r\t\b\a\"\\\q\x41\x7a\xZZ" x"#.to_owned() + "\n",
        "set|\n\r\t\x08\x07\"\\qAzxZZ|x;",
        None,
    );
    check("set 'a\\'b\\n' \"it's\"\r\n", "set|a'b\\n|it's;", None);
    check("get a\"b c\"\r\n", "get|ab c;", None);
    check("get \x0ba\x0bb\r\n", "get|a\x0bb;", None);
    check("get \"a\r\n", "", Some(ProtocolError::UnbalancedQuotes));
    check("get 'a\r\n", "", Some(ProtocolError::UnbalancedQuotes));
    check("get \"a\\\"\r\n", "", Some(ProtocolError::UnbalancedQuotes));
    check("get 'a'b\r\n", "", Some(ProtocolError::UnbalancedQuotes));
    check("get \"a\"b\r\n", "", Some(ProtocolError::UnbalancedQuotes));
    check("PING\r\nget \"a\"\"b\"\r\n", "PING;", Some(ProtocolError::UnbalancedQuotes));
    check("POST / HTTP/1.1\r\n", "", Some(ProtocolError::CrossProtocol));
    check("GET / HTTP/1.1\r\nhost: a\r\n", "GET|/|HTTP/1.1;", Some(ProtocolError::CrossProtocol));
}

#[test]
fn what_cannot_be_a_request_ends_the_stream() {
    let expected = |byte| Some(ProtocolError::ExpectedBulk(byte));
    check("*a\r\n", "", Some(ProtocolError::InvalidCount));
    check("*\r\n", "", Some(ProtocolError::InvalidCount));
    check("*+1\r\n", "", Some(ProtocolError::InvalidCount));
    check("*01\r\n", "", Some(ProtocolError::InvalidCount));
    check("* 1\r\n", "", Some(ProtocolError::InvalidCount));
    check("*1\rx", "", Some(ProtocolError::InvalidCount));
    check("*2147483648\r\n", "", Some(ProtocolError::InvalidCount));
    check("*99999999999999999999\r\n", "", Some(ProtocolError::InvalidCount));
    check("*-99999999999999999999\r\n", "", Some(ProtocolError::InvalidCount));
    check("*1\r\n*1\r\n$1\r\na\r\n", "", expected(b'*'));
    check("*1\r\n:12\r\n", "", expected(b':'));
    check("*1\r\n+OK\r\n", "", expected(b'+'));
    check("*1\r\n\r\n", "", expected(b'\r'));
    check("*2\r\n$1\r\na\r\nb\r\n", "", expected(b'b'));
    check("*1\r\n$-1\r\n", "", Some(ProtocolError::InvalidLength));
    check("*1\r\n$\r\n", "", Some(ProtocolError::InvalidLength));
    check("*1\r\n$04\r\n", "", Some(ProtocolError::InvalidLength));
    check("*1\r\n$536870913\r\n", "", Some(ProtocolError::InvalidLength));
    check("*1\r\n$9223372036854775807\r\n", "", Some(ProtocolError::InvalidLength));
    check("*1\r\n$99999999999999999999\r\n", "", Some(ProtocolError::InvalidLength));
    check("*1\r\n$1\rx", "", Some(ProtocolError::InvalidLength));
    check("*1\r\n$1\r\nabc\r\n", "", Some(ProtocolError::InvalidLength));
    check("*1\r\n$1\r\na\rb", "", Some(ProtocolError::InvalidLength));
}

#[test]
fn a_line_may_be_64_kib_long_and_no_longer() {
    let most = 64 * 1024;
    check("a".repeat(most), "", None);
    check("a".repeat(most) + "\n", &("a".repeat(most) + ";"), None);
    check("a".repeat(most + 1), "", Some(ProtocolError::TooBigInline));
    check("a".repeat(most + 1) + "\n", "", Some(ProtocolError::TooBigInline));
    check("*".to_owned() + &"1".repeat(most - 1), "", None);
    check("*".to_owned() + &"1".repeat(most), "", Some(ProtocolError::TooBigCount));
    check("*1\r\n$".to_owned() + &"1".repeat(most - 1), "", None);
    check("*1\r\n$".to_owned() + &"1".repeat(most), "", Some(ProtocolError::TooBigLength));
}

#[test]
fn nested_arrays_end_at_the_first_inner_byte() {
    check("*1\r\n".repeat(1_000_000), "", Some(ProtocolError::ExpectedBulk(b'*')));
}

#[test]
fn a_request_has_a_greatest_size_as_a_whole() {
    let limits = Limits { max_request: 100, ..Limits::default() };
    let check = |bulk: usize, expected: Option<ProtocolError>| {
        let input = request(&[b"SET", &vec![b'x'; bulk]]);
        assert_eq!(outcome(limits, std::iter::once(&input[..])).1, expected, "{} bytes", input.len());
    };
    // `*2`, `$3`, `SET` and `$80` with their line ends take 18 bytes, the end of the value two.
    check(80, None);
    check(81, Some(ProtocolError::TooBigRequest));
}

#[test]
fn a_lie_about_a_length_reserves_nothing() {
    let check = |input: &str| {
        let mut decoder = Decoder::new(Limits { max_bulk: 1 << 30, ..Limits::default() });
        decoder.buffer().extend_from_slice(input.as_bytes());
        assert!(matches!(decoder.next_request(), Ok(None)), "{input:?}");
        let capacity = decoder.buffer().capacity();
        assert!(capacity <= 128, "{input:?} has made the buffer {capacity} bytes");
    };
    check("*3\r\n$3\r\nSET\r\n$1\r\na\r\n$1073741000\r\nabc");
    check("*2147483647\r\n$3\r\nSET\r\n");
    check("*2147483647\r\n$1073741000\r\n");
}

#[test]
fn the_memory_of_a_large_request_is_given_back() {
    let mut decoder = Decoder::new(Limits::default());
    let large = request(&[b"SET", b"a", &vec![b'x'; 4 << 20]]);
    let many = request(&vec![&b""[..]; 100_000]);
    for input in [large, many] {
        for piece in input.chunks(16 * 1024) {
            decoder.buffer().extend_from_slice(piece);
            while decoder.next_request().expect("a valid request").is_some() {}
        }
        assert!(decoder.buffer().capacity() < 64 * 1024, "{}", decoder.buffer().capacity());
    }
}

/// Parts that make and break requests.
const PARTS: [&str; 22] = [
    "*1\r\n",
    "*2\r\n",
    "*3\r\n",
    "*0\r\n",
    "*-1\r\n",
    "$1\r\na\r\n",
    "$3\r\nGET\r\n",
    "$0\r\n\r\n",
    "$12\r\nabc",
    "\r\n",
    "\r",
    "\n",
    "PING\r\n",
    "get 'a b'\r\n",
    "\"",
    "'",
    "$",
    "*",
    "7",
    "$-1\r\n",
    " ",
    "\\x41",
];

#[test]
fn the_size_of_the_pieces_does_not_matter() {
    let mut random = Random::new();
    for _ in 0..5_000 {
        let input: Vec<&str> = (0..random.below(12)).map(|_| *random.pick(&PARTS)).collect();
        let input = input.concat().into_bytes();
        let whole = outcome(Limits::default(), std::iter::once(&input[..]));
        let mut pieces = Vec::new();
        let mut rest = &input[..];
        while !rest.is_empty() {
            let (piece, behind) = rest.split_at(1 + random.below(rest.len().min(9)));
            pieces.push(piece);
            rest = behind;
        }
        assert_eq!(outcome(Limits::default(), pieces.into_iter()), whole, "{input:?}");
    }
}

#[test]
fn a_request_in_many_pieces_is_not_scanned_again_from_its_start() {
    // Two million bytes, one at a time: a decoder that starts over would look at 10^12 of them.
    let input = request(&vec![&b"x"[..]; 200_000]);
    assert_eq!(outcome(Limits::default(), input.chunks(1)).0[0].len(), 200_000);
    let line = "a ".repeat(30_000) + "\n";
    assert_eq!(outcome(Limits::default(), line.as_bytes().chunks(1)).0[0].len(), 30_000);
}

#[test]
fn the_redis_protocol_crate_reads_the_same_requests() {
    let mut random = Random::new();
    for _ in 0..2_000 {
        let words: Vec<Vec<u8>> = (0..1 + random.below(5))
            .map(|_| (0..random.below(40)).map(|_| random.below(256) as u8).collect())
            .collect();
        let input = request(&words.iter().map(Vec::as_slice).collect::<Vec<_>>());
        let (frame, used) = decode::decode(&input).expect("a valid frame").expect("a complete frame");
        let frames = words.iter().cloned().map(OwnedFrame::BulkString).collect();
        assert_eq!((frame, used), (OwnedFrame::Array(frames), input.len()));
        assert_eq!(outcome(Limits::default(), std::iter::once(&input[..])), Outcome(vec![words], None));
    }
}

#[test]
fn arguments_can_be_taken_apart() {
    let mut decoder = Decoder::new(Limits::default());
    decoder.buffer().extend_from_slice(b"mset a 1 b 2 c\r\n");
    let request = decoder.next_request().expect("a valid request").expect("a complete request");
    let rest = request.skip(1);
    assert_eq!((request.len(), rest.len(), request.skip(9).len()), (6, 5, 0));
    assert_eq!((rest.get(0), rest.get(5)), (Some(&b"a"[..]), None));
    assert_eq!(rest.pairs().collect::<Vec<_>>(), [(&b"a"[..], &b"1"[..]), (b"b", b"2")]);
}

#[test]
fn protocol_errors_have_redis_texts() {
    let check = |error: ProtocolError, text: &str| assert_eq!(error.to_string(), text);
    check(ProtocolError::ExpectedBulk(b'*'), "ERR Protocol error: expected '$', got '*'");
    check(ProtocolError::ExpectedBulk(b'\r'), "ERR Protocol error: expected '$', got ' '");
    check(ProtocolError::ExpectedBulk(0xff), "ERR Protocol error: expected '$', got '?'");
    check(ProtocolError::TooBigRequest, "ERR Protocol error: too big request");
}

#[test]
fn replies_are_frames() {
    let check = |reply: Reply, expected: &str| {
        let mut alone = BytesMut::from(&b"+OK\r\n"[..]);
        encode(&reply, &mut alone).expect("a reply that can be encoded");
        assert_eq!(&alone[..], format!("+OK\r\n{expected}").as_bytes());
        // Alone or within another.
        let mut inside = BytesMut::new();
        encode(&Reply::Array(vec![reply]), &mut inside).expect("a reply that can be encoded");
        assert_eq!(&inside[..], format!("*1\r\n{expected}").as_bytes());
    };
    check(Reply::Ok, "+OK\r\n");
    check(Reply::Nil, "$-1\r\n");
    check(Reply::Integer(0), ":0\r\n");
    check(Reply::Integer(-17), ":-17\r\n");
    check(Reply::Integer(i64::MAX), ":9223372036854775807\r\n");
    check(Reply::Integer(i64::MIN), ":-9223372036854775808\r\n");
    check(Reply::Bulk(Bytes::new()), "$0\r\n\r\n");
    check(Reply::text("twelve bytes"), "$12\r\ntwelve bytes\r\n");
    check(Reply::Simple("PONG"), "+PONG\r\n");
    check(Reply::Array(vec![]), "*0\r\n");
    check(Reply::Array(vec![Reply::Nil, Reply::Array(vec![Reply::Ok])]), "*2\r\n$-1\r\n*1\r\n+OK\r\n");
    check(CommandError::Syntax.into(), "-ERR syntax error\r\n");
    check(CommandError::UnsupportedOption("a\r\n".into()).into(), "-ERR Unsupported option a\r\n");
    check(CommandError::UnsupportedOption("a\r\n+OK".into()).into(), "-ERR Unsupported option a  +OK\r\n");
}

#[test]
fn what_comes_in_pieces_is_what_the_crate_writes_at_once() {
    for length in [0, 1, 9, 10, 12_345] {
        let bytes = vec![b'x'; length];
        let (mut pieces, mut whole) = (BytesMut::new(), BytesMut::new());
        encode_array_start(2, &mut pieces);
        for _ in 0..2 {
            encode_bulk_start(length, &mut pieces);
            pieces.extend_from_slice(&bytes);
            pieces.extend_from_slice(b"\r\n");
        }
        let bulk = Reply::Bulk(bytes.into());
        encode(&Reply::Array(vec![bulk.clone(), bulk]), &mut whole).expect("a reply that can be encoded");
        assert_eq!(pieces, whole);
    }
}

#[test]
fn a_request_can_be_read_again_until_more_is_read() {
    let mut decoder = Decoder::new(Limits::default());
    decoder.buffer().extend_from_slice(b"GET a\r\n*2\r\n$3\r\nG");
    assert!(decoder.find_request().unwrap());
    assert!(!decoder.find_request().unwrap());
    // The second one is half there: it begins where it begins.
    decoder.buffer().extend_from_slice(b"ET\r\n$1\r\nb\r\n\r\nGET 'c d'\r\n");
    let mut places = Vec::new();
    loop {
        places.push(decoder.place());
        if !decoder.find_request().unwrap() {
            break;
        }
    }
    let read = |place| {
        let mut again = decoder.replay(place);
        let request =
            again.next_request().unwrap().map(|request| request.iter().collect::<Vec<_>>().join(&b' '));
        request.map(|words| String::from_utf8(words).unwrap())
    };
    let read: Vec<_> = places.into_iter().map(read).collect();
    assert_eq!(read, [Some("GET b".to_owned()), Some("GET c d".to_owned()), None]);
}
