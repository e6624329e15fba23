//! The program: its arguments, its banner, and how it ends.

use std::process::{Command, Output};

use incarnate_heavy_tests::{Service, switchboard};
use redis::Commands;
use rustix::process::Signal;

fn run(arguments: &[&str]) -> Output {
    Command::new(switchboard()).args(arguments).output().unwrap()
}

#[test]
fn it_says_where_it_is_what_runs_and_what_to_try() {
    let service = Service::start();
    let port = service.port;
    let expected = format!(
        "switchboard on 127.0.0.1:{port}: every key is a process\n\n\
         switchboard supervisor rest_for_one\n  \
           keyspace worker permanent\n  \
           keys supervisor simple_one_for_one permanent\n  \
           connections supervisor simple_one_for_one permanent\n  \
           listener worker permanent\n\n\
         Try: redis-cli -p {port} set greeting hello\n"
    );
    assert_eq!(service.banner, expected);
}

#[test]
fn what_cannot_be_is_said_in_one_line() {
    let service = Service::start();
    let taken = service.port.to_string();
    for (arguments, code, message) in [
        (&["--port", &taken][..], 1, "switchboard: cannot listen on 127.0.0.1:"),
        (&["--port", "70000"], 2, "switchboard: invalid value '70000' for '--port <PORT>'"),
        (&["--bind", "here"], 2, "switchboard: invalid value 'here' for '--bind <BIND>'"),
        (&["--nonsense"], 2, "switchboard: unexpected argument '--nonsense' found"),
    ] {
        let Output { status, stdout, stderr } = run(arguments);
        let stderr = String::from_utf8(stderr).unwrap();
        assert_eq!(status.code(), Some(code), "{stderr}");
        assert!(stderr.starts_with(message) && stderr.lines().count() == 1, "{stderr}");
        assert!(stdout.is_empty());
    }
    let help = run(&["--help"]);
    assert_eq!(help.status.code(), Some(0));
    assert!(String::from_utf8(help.stdout).unwrap().contains("--port"));
}

#[test]
fn a_signal_and_a_command_stop_it_in_order() {
    for stop in [Some(Signal::TERM), Some(Signal::INT), None] {
        let mut service = Service::start();
        let mut client = service.client();
        let mut pipeline = redis::pipe();
        (0..100).for_each(|number| {
            pipeline.set(number, number).ignore();
        });
        pipeline.query::<()>(&mut client).unwrap();
        match stop {
            Some(signal) => service.signal(signal),
            None => {
                let mut socket = service.socket();
                socket.send("INCR n\r\nSHUTDOWN NOSAVE\r\n");
                // What comes before is answered, the shutdown is not.
                assert_eq!(socket.rest(), ":1\r\n");
            }
        }
        assert_eq!(service.ended().code(), Some(0), "{stop:?}");
        assert!(client.get::<_, String>("1").is_err(), "the connection is closed");
    }
}

#[test]
fn a_second_signal_hurries() {
    let mut service = Service::start();
    // A connection that cannot be written to keeps its process for the five seconds that it is given.
    let mut deaf = service.socket();
    deaf.send(format!("SET large {}\r\n", "x".repeat(60_000)));
    deaf.expect("+OK\r\n");
    deaf.send("GET large\r\n".repeat(1000));
    service.await_info("total_commands_processed", |commands| commands > 100);
    let start = std::time::Instant::now();
    service.signal(Signal::TERM);
    service.signal(Signal::INT);
    assert_eq!(service.ended().code(), Some(0));
    assert!(start.elapsed().as_secs() < 4, "{:?}", start.elapsed());
}

#[test]
fn a_kill_leaves_the_port_to_the_next() {
    let mut service = Service::start();
    let port = service.port.to_string();
    let mut client = service.client();
    let () = client.set("a", 1).unwrap();
    service.signal(Signal::KILL);
    service.ended();
    let mut next = Command::new(switchboard())
        .args(["--port", &port])
        .stdout(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    let mut line = String::new();
    let stdout = next.stdout.take().unwrap();
    std::io::BufRead::read_line(&mut std::io::BufReader::new(stdout), &mut line).unwrap();
    next.kill().unwrap();
    next.wait().unwrap();
    assert!(line.contains(&port), "{line}");
}
