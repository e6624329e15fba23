//! Clients that lie, vanish, do not read, or do nothing.

use std::io::{BufRead, BufReader, Write};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use incarnate_heavy_tests::{PATIENCE, Service};
use redis::Commands;
use rustix::process::{Resource, getrlimit};

const MEGABYTE: u64 = 1024 * 1024;

#[test]
fn bytes_that_are_no_request_get_an_error_and_the_end() {
    let service = Service::start();
    for (bytes, answer) in [
        ("*1\r\n$1073741824\r\n", "-ERR Protocol error: invalid bulk length\r\n"),
        ("*2147483648\r\n", "-ERR Protocol error: invalid multibulk length\r\n"),
        ("*1\r\n:1\r\n", "-ERR Protocol error: expected '$', got ':'\r\n"),
        ("*1\r\n*1\r\n", "-ERR Protocol error: expected '$', got '*'\r\n"),
        ("\"open\r\n", "-ERR Protocol error: unbalanced quotes in request\r\n"),
        ("POST / HTTP/1.1\r\n", ""),
        // What came before the error is answered.
        ("PING\r\n*x\r\n", "+PONG\r\n-ERR Protocol error: invalid multibulk length\r\n"),
    ] {
        let mut socket = service.socket();
        socket.send(bytes);
        assert_eq!(socket.rest(), answer, "{bytes:?}");
    }
    let mut socket = service.socket();
    socket.send("NO SUCH COMMAND\r\nPING\r\n");
    socket.expect("-ERR unknown command 'NO', with args beginning with: 'SUCH' 'COMMAND' \r\n+PONG\r\n");
    drop(socket);
    service.await_info("connected_clients", |clients| clients == 1);
}

#[test]
fn memory_does_not_grow_with_a_lie() {
    let service = Service::start();
    let before = service.info("used_memory_rss");
    // The largest length that is allowed, on many connections, and none of the bytes.
    let mut sockets: Vec<_> = (0..100).map(|_| service.socket()).collect();
    for socket in &mut sockets {
        socket.send("PING\r\n*3\r\n$3\r\nSET\r\n$1\r\na\r\n$536870912\r\nabc");
        socket.expect("+PONG\r\n");
    }
    // As many arguments as may be, too.
    let mut more: Vec<_> = (0..100).map(|_| service.socket()).collect();
    for socket in &mut more {
        socket.send("PING\r\n*2147483647\r\n$4\r\nMSET\r\n$1\r\n");
        socket.expect("+PONG\r\n");
    }
    let after = service.info("used_memory_rss");
    assert!(after < before + 20 * MEGABYTE, "{before} bytes have become {after}");
}

#[test]
fn a_client_that_does_not_read_costs_what_it_sent() {
    let service = Service::start();
    let mut client = service.client();
    let () = client.set("large", vec![b'x'; 8 * 1024 * 1024]).unwrap();
    let before = service.info("used_memory_rss");
    let mut deaf = service.socket();
    // 16 GB of replies.
    deaf.send("GET large\r\n".repeat(2000));
    let mut others: Vec<_> = (0..20).map(|_| service.socket()).collect();
    for other in &mut others {
        other.send("MGET large large large large\r\n".repeat(100));
    }
    // Those that do read are served meanwhile.
    for _ in 0..100 {
        assert_eq!(client.strlen::<_, u64>("large").unwrap(), 8 * MEGABYTE);
    }
    let after = service.info("used_memory_rss");
    assert!(after < before + 30 * MEGABYTE, "{before} bytes have become {after}");
    // It reads after all: not a byte is missing.
    let mut start = format!("${}\r\n", 8 * MEGABYTE).into_bytes();
    start.extend(vec![b'x'; 1024]);
    deaf.expect(start);
}

#[test]
fn the_replies_that_nobody_reads_are_not_made() {
    let service = Service::start();
    let mut client = service.client();
    let () = client.set("large", vec![b'x'; 8 * 1024 * 1024]).unwrap();
    let mut pipeline = redis::pipe();
    (0..20_000).for_each(|number| {
        pipeline.set(format!("key:{number}"), 1).ignore();
    });
    let () = pipeline.query(&mut client).unwrap();
    let before = service.info("used_memory_rss");
    let check = |requests: String| {
        let mut deaf = service.socket();
        deaf.send(requests);
        // Others are served, until it has stopped at the reply that it does not take.
        let mut client = service.client();
        let start = Instant::now();
        while start.elapsed() < Duration::from_secs(2) {
            assert_eq!(client.exists::<_, u64>("large").unwrap(), 1);
        }
        let after = service.info("used_memory_rss");
        assert!(after < before + 60 * MEGABYTE, "{before} bytes have become {after}");
    };
    // Some hundred bytes each, for a gigabyte of replies.
    check("KEYS *\r\n".repeat(200));
    check("GET large\r\nAPPEND large x\r\n".repeat(100));
    check("COMMAND\r\nCOMMAND DOCS\r\n".repeat(2000));
    // Large only since a moment ago.
    let large = format!("*3\r\n$3\r\nSET\r\n$5\r\nother\r\n${}\r\n", 8 * MEGABYTE) + &"x".repeat(8 << 20);
    check("SET other 1\r\n".to_owned() + &large + "\r\n" + &"GET other\r\nAPPEND other x\r\n".repeat(100));
}

#[test]
fn a_client_that_vanishes_leaves_no_process() {
    let service = Service::start();
    let before = service.info("processes");
    for half in ["", "*", "*2\r\n$3\r\nSET\r\n$1", "*3\r\n$3\r\nSET\r\n$1\r\na\r\n$10\r\n12345", "SET a"] {
        let mut socket = service.socket();
        socket.send(half);
        drop(socket);
    }
    // This one asks, and goes before it has its answers.
    let mut socket = service.socket();
    socket.send("INCR gone\r\n".repeat(1000));
    drop(socket);
    let mut client = service.client();
    let () = client.del("gone").unwrap();
    service.await_info("connected_clients", |clients| clients == 2);
    let () = client.del("gone").unwrap();
    service.await_info("processes", |processes| processes == before + 1);
}

#[test]
fn thousands_that_have_sent_half_a_request_keep_nobody_from_being_served() {
    let service = Service::start();
    let files = getrlimit(Resource::Nofile).maximum.unwrap_or(u64::MAX);
    // 10,000, or what the machine allows.
    let count = 10_000.min(files.saturating_sub(256));
    let before = service.info("processes");
    let memory = service.info("used_memory_rss");
    let mut holder = Command::new(env!("CARGO_BIN_EXE_hold-connections"))
        .args([service.port.to_string(), count.to_string()])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut line = String::new();
    BufReader::new(holder.stdout.take().unwrap()).read_line(&mut line).unwrap();
    assert_eq!(line.trim(), count.to_string());
    service.await_info("connected_clients", |clients| clients > count);
    let mut client = service.client();
    for number in 0..100 {
        assert_eq!(client.incr::<_, _, i64>("n", 1).unwrap(), number + 1);
    }
    let after = service.info("used_memory_rss");
    assert!(after < memory + count * 32 * 1024, "{} bytes each", (after - memory) / count);
    // The end of its input ends the holder, and with it all connections.
    drop(holder.stdin.take());
    assert!(holder.wait().unwrap().success());
    let () = client.del("n").unwrap();
    drop(client);
    service.await_info("processes", |processes| processes == before);
}

#[test]
fn more_clients_than_files_are_turned_away() {
    // With 100 files there is room for 36 clients.
    let script = "ulimit -n 100; exec \"$0\" --port 0";
    let mut process = Command::new("sh")
        .args(["-c", script])
        .arg(incarnate_heavy_tests::switchboard())
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(process.stdout.take().unwrap()).lines().map(Result::unwrap);
    let first = lines.next().unwrap();
    let port = first.split_whitespace().find_map(|word| word.strip_prefix("127.0.0.1:")).unwrap();
    let address = format!("127.0.0.1:{}", port.trim_end_matches(':'));
    let connect = || {
        let stream = std::net::TcpStream::connect(&address).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        incarnate_heavy_tests::Socket { stream }
    };
    let mut clients: Vec<_> = (0..36).map(|_| connect()).collect();
    clients.iter_mut().for_each(|client| client.send("PING\r\n"));
    clients.iter_mut().for_each(|client| client.expect("+PONG\r\n"));
    assert_eq!(connect().rest(), "-ERR max number of clients reached\r\n");
    // When one goes, another may come.
    let mut gone = clients.pop().unwrap();
    gone.send("QUIT\r\n");
    assert_eq!(gone.rest(), "+OK\r\n");
    let served = (0..1000).any(|_| {
        let mut client = connect();
        // It may have been turned away already.
        let _sent = client.stream.write_all(b"QUIT\r\n");
        client.rest() == "+OK\r\n"
    });
    assert!(served, "nobody is let in");
    process.kill().unwrap();
    process.wait().unwrap();
}
