//! The program: its arguments, its banner, and how it ends.

use std::process::{Command, Output};
use std::time::{Duration, Instant};

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
        (
            &["--port", &taken][..],
            1,
            "switchboard: application switchboard was not started: error: cannot listen on 127.0.0.1:",
        ),
        (&["--config", "/nowhere.toml"], 1, "switchboard: "),
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

/// Each is one line that names the key and where it is from, and nothing has been started.
#[test]
fn bad_configuration_is_said_in_one_line() {
    let file = std::env::temp_dir().join(format!("switchboard-{}.toml", std::process::id()));
    let path = file.to_str().unwrap();
    for (text, says) in [
        ("[switchboard]\nprot = 1\n", format!("unknown key `switchboard.prot` in {path}")),
        ("[swtchboard]\nport = 1\n", format!("unknown key `swtchboard` in {path}")),
        ("[switchboard]\nport = 'x'\n", format!("`switchboard.port` in {path}: invalid type")),
        ("[switchboard\n", format!("{path}, line 1: no TOML")),
    ] {
        std::fs::write(&file, text).unwrap();
        let Output { status, stdout, stderr } = run(&["--config", path]);
        let stderr = String::from_utf8(stderr).unwrap();
        assert_eq!(status.code(), Some(1), "{stderr}");
        assert!(
            stderr.starts_with(&format!("switchboard: {says}")) && stderr.lines().count() == 1,
            "{stderr}"
        );
        assert!(stdout.is_empty());
    }
    std::fs::remove_file(&file).unwrap();
}

/// What was sent before the signal is answered, then the connection is closed, in the middle of no reply.
#[test]
fn a_signal_under_load_leaves_no_request_without_its_answer() {
    const BATCH: usize = 50;
    for round in 0..5 {
        let mut service = Service::start();
        let mut clients: Vec<_> = (0..20).map(|_| service.socket()).collect();
        for client in &mut clients {
            client.send("PING\r\n");
            client.expect("+PONG\r\n");
        }
        // On the wire before the signal is sent: loopback delivers at once.
        clients.iter_mut().for_each(|client| client.send("INCR n\r\n".repeat(BATCH)));
        service.signal(Signal::TERM);
        let answers: Vec<String> = clients.iter_mut().map(|client| client.rest()).collect();
        assert_eq!(service.ended().code(), Some(0));
        let mut counted: Vec<usize> = Vec::new();
        for answer in answers {
            let lines: Vec<&str> = answer.lines().collect();
            assert_eq!(lines.len(), BATCH, "round {round}: {answer:?}");
            counted.extend(lines.iter().map(|line| line.trim_start_matches(':').parse::<usize>().unwrap()));
        }
        counted.sort_unstable();
        assert!(counted.into_iter().eq(1..=20 * BATCH), "each counts once");
    }
}

#[test]
fn a_client_that_says_nothing_for_too_long_is_closed() {
    let service = Service::start_with(&[("SWITCHBOARD__IDLE_TIMEOUT", "1")]);
    let start = Instant::now();
    let mut idle = service.socket();
    idle.send("PING\r\n");
    assert_eq!(idle.rest(), "+PONG\r\n");
    assert!(start.elapsed() >= Duration::from_secs(1));
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

/// A connection that cannot be written to keeps its process for the five seconds that it is given.
fn with_a_deaf_client(then: impl FnOnce(&mut Service, Instant)) {
    let mut service = Service::start();
    let mut deaf = service.socket();
    deaf.send(format!("SET large {}\r\n", "x".repeat(60_000)));
    deaf.expect("+OK\r\n");
    deaf.send("GET large\r\n".repeat(1000));
    service.await_info("total_commands_processed", |commands| commands > 100);
    then(&mut service, Instant::now());
}

#[test]
fn a_connection_that_does_not_end_is_killed_at_its_timeout_and_the_exit_is_orderly() {
    with_a_deaf_client(|service, start| {
        service.signal(Signal::TERM);
        assert_eq!(service.ended().code(), Some(0));
        let elapsed = start.elapsed();
        assert!((5..10).contains(&elapsed.as_secs()), "{elapsed:?}");
    });
}

#[test]
fn a_second_signal_hurries() {
    with_a_deaf_client(|service, start| {
        service.signal(Signal::TERM);
        service.signal(Signal::INT);
        assert_eq!(service.ended().code(), Some(1));
        let elapsed = start.elapsed();
        assert!(elapsed.as_secs() < 4, "{elapsed:?}");
    });
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
