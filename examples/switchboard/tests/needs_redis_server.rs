//! The same bytes to a real redis-server and to us: the answers must be the same. Where none is installed, `tests/run` skips
//! these tests by the name of this module, and counts them.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::process::{Child, Command, Stdio};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use super::support::model::{Model, request};
use super::support::random::Random;
use crate::value::UnixMillis;

/// The last request of each stream: when its reply is there, all are.
const LAST: &[u8] = b"*2\r\n$4\r\nECHO\r\n$19\r\nthe-end-of-a-stream\r\n";
const END: &[u8] = b"$19\r\nthe-end-of-a-stream\r\n";

/// A port is free until another takes it; so no two of ours may look for one at the same time.
static STARTING: Mutex<()> = Mutex::new(());

/// A redis-server of our own.
struct Redis {
    process: Child,
    port: u16,
}

impl Redis {
    /// Starts one on a free port.
    fn start() -> Self {
        let _starting = STARTING.lock().unwrap_or_else(PoisonError::into_inner);
        let port = TcpListener::bind("127.0.0.1:0").and_then(|socket| socket.local_addr());
        let port = port.expect("there is a free port").port();
        let process = Command::new("redis-server")
            .args(["--port", &port.to_string(), "--bind", "127.0.0.1", "--save", "", "--databases", "1"])
            .current_dir(std::env::temp_dir())
            .stdout(Stdio::null())
            .spawn()
            .expect("redis-server can be run: tests/run installs it, or skips this");
        let mut redis = Self { process, port };
        let start = Instant::now();
        while TcpStream::connect(("127.0.0.1", port)).is_err() {
            assert!(start.elapsed() < Duration::from_secs(20), "redis-server does not listen");
            assert!(matches!(redis.process.try_wait(), Ok(None)), "redis-server has ended");
            std::thread::yield_now();
        }
        redis
    }

    /// All that a new connection gets for `bytes`, and whether the server has closed it.
    fn serve(&self, bytes: &[u8]) -> (Vec<u8>, bool) {
        let mut stream = TcpStream::connect(("127.0.0.1", self.port)).expect("redis-server listens");
        stream.set_read_timeout(Some(Duration::from_secs(20))).expect("a timeout can be set");
        stream.write_all(bytes).expect("redis-server takes a request");
        // It may have closed already; then this has nowhere to go, and that is what is read below.
        let _ = stream.write_all(LAST);
        let (mut replies, mut piece) = (Vec::new(), [0; 4096]);
        loop {
            match stream.read(&mut piece) {
                Ok(0) => return (replies, true),
                Ok(length) => replies.extend_from_slice(&piece[..length]),
                Err(error) if error.kind() == std::io::ErrorKind::ConnectionReset => return (replies, true),
                Err(error) => panic!("{error} after {:?}", String::from_utf8_lossy(&replies)),
            }
            if let Some(replies) = replies.strip_suffix(END) {
                return (replies.to_vec(), false);
            }
        }
    }
}

impl Drop for Redis {
    fn drop(&mut self) {
        // Nothing to be done if it is gone already.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// Both at the same time of day, both empty.
fn compare(redis: &Redis, input: &[u8]) {
    let mut model = Model::new();
    let now = SystemTime::now().duration_since(UNIX_EPOCH).expect("it is later than 1970").as_millis();
    model.now = UnixMillis(i64::try_from(now).expect("and not too late"));
    redis.serve(&request(&[b"FLUSHALL"]));
    let (mut ours, closed) = model.serve(&[input, LAST].concat());
    if let Some(replies) = ours.strip_suffix(END) {
        ours = replies.to_vec();
    }
    let theirs = redis.serve(input);
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    assert_eq!((text(&ours), closed), (text(&theirs.0), theirs.1), "{:?}", text(input));
}

/// Requests whose replies depend on nothing but the requests.
const LINES: &str = include_str!("needs_redis_server.txt");

#[test]
fn redis_answers_the_same_lines() {
    let redis = Redis::start();
    for line in LINES.lines().filter(|line| !line.is_empty() && !line.starts_with('#')) {
        compare(&redis, (line.replace("; ", "\r\n") + "\r\n").as_bytes());
    }
}

#[test]
fn redis_answers_the_same_bytes() {
    let redis = Redis::start();
    let check = |input: &str| compare(&redis, input.as_bytes());
    check("*a\r\n");
    check("*2147483648\r\n");
    check("*2147483647\r\n");
    check("*01\r\n$4\r\nPING\r\n");
    check("*0\r\n*-7\r\nPING\r\n");
    check("*1\r\n*1\r\n");
    check("*1\r\n:12\r\n");
    check("*1\r\n\r\n");
    check("*1\r\n$-1\r\n");
    check("*1\r\n$04\r\n");
    check("*1\r\n$536870913\r\n");
    check("*3\r\n$3\r\nSET\r\n$1\r\na\r\n$1073741824\r\nabc");
    check("PING\r\n*1\r\n$4\r\nPING\r\nPING\n");
    compare(&redis, &request(&[b"SET", b"\r\n", b"\0\xff\r\n"]));
    compare(&redis, &request(&[b"EXPIRE", b"k", b"1", b"\r1\n\r\n"]));
    compare(&redis, &request(&[b"SCAN", b"0\0x"]));
    compare(&redis, &request(&[b"SCAN", b""]));
    compare(&redis, &request(&[b"SCAN", b" 0"]));
    compare(&redis, &[request(&[b"SET", b"\xfe", b""]), request(&[b"GET", b"\xfe"])].concat());
}

#[test]
fn redis_answers_the_same_random_requests() {
    let redis = Redis::start();
    let mut random = Random::new();
    // Each with the number of arguments that fits it, or that may.
    let names = [
        ("GET", 1),
        ("SET", 2),
        ("SET", 3),
        ("SET", 4),
        ("SET", 5),
        ("GETDEL", 1),
        ("DEL", 2),
        ("EXISTS", 3),
        ("TYPE", 1),
        ("STRLEN", 1),
        ("APPEND", 2),
        ("INCR", 1),
        ("INCRBY", 2),
        ("DECR", 1),
        ("DECRBY", 2),
        ("MGET", 3),
        ("MSET", 2),
        ("MSET", 4),
        ("EXPIRE", 2),
        ("EXPIRE", 3),
        ("EXPIRE", 4),
        ("TTL", 1),
        ("PERSIST", 1),
        ("DBSIZE", 0),
        ("PING", 1),
        ("ECHO", 1),
        ("SELECT", 1),
        ("foo", 2),
    ];
    let words = [
        "a",
        "a",
        "b",
        "c",
        "1",
        "0",
        "-1",
        "10",
        "100000",
        "9223372036854775807",
        "-9223372036854775808",
        "1.5",
        "",
        "NX",
        "XX",
        "GT",
        "LT",
        "GET",
        "KEEPTTL",
        "EX",
        "PX",
        "a b",
    ];
    for _ in 0..300 {
        let mut input = Vec::new();
        for _ in 0..20 {
            let (name, fitting) = *random.pick(&names);
            let count = if random.below(10) == 0 { random.below(6) } else { fitting };
            let mut line = vec![name.as_bytes()];
            line.extend((0..count).map(|_| random.pick(&words).as_bytes()));
            input.extend_from_slice(&request(&line));
        }
        compare(&redis, &input);
    }
}

#[test]
fn redis_matches_the_same_patterns() {
    let redis = Redis::start();
    let mut random = Random::new();
    let parts = ["a", "b", "c", "*", "?", "[", "]", "^", "-", "\\"];
    for _ in 0..1_000 {
        let text: String =
            (0..random.below(5)).map(|_| *random.pick(&["a", "b", "c", "]", "-", "^"])).collect();
        let pattern: String = (0..random.below(7)).map(|_| *random.pick(&parts)).collect();
        let set = request(&[b"SET", text.as_bytes(), b""]);
        compare(&redis, &[set, request(&[b"KEYS", pattern.as_bytes()])].concat());
    }
}
