//! The example runs, and whoever asks it as Prometheus does reads the names of the book.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::process::{Child, Command};
use std::time::{Duration, Instant};

struct Program(Child);

impl Drop for Program {
    fn drop(&mut self) {
        self.0.kill().expect("it runs");
        self.0.wait().expect("it has ended");
    }
}

fn scrape(address: SocketAddr) -> std::io::Result<String> {
    let mut stream = TcpStream::connect(address)?;
    stream.set_read_timeout(Some(Duration::from_secs(10)))?;
    stream.write_all(b"GET /metrics HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    Ok(answer)
}

#[test]
fn prometheus_reads_the_metrics_of_the_example() {
    // Free a moment ago; nothing else here asks for ports.
    let address = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let program = Command::new(env!("CARGO_BIN_EXE_watched")).arg(address.to_string()).spawn().unwrap();
    let _program = Program(program);
    let expected = [
        "# TYPE incarnate_processes gauge",
        "incarnate_processes{node=\"watched\"} 2",
        "# TYPE incarnate_mailbox_messages histogram",
        "incarnate_mailbox_longest_messages{node=\"watched\"}",
        "incarnate_mailbox_waiting_messages{node=\"watched\"}",
        "# TYPE incarnate_messages_handled_total counter",
        "incarnate_process_starts_total{node=\"watched\"} 2",
        "# TYPE incarnate_call_duration_seconds histogram",
        "incarnate_call_duration_seconds_bucket{node=\"watched\",outcome=\"ok\",le=\"0.001\"}",
        "incarnate_dead_letters_total{node=\"watched\"} 0",
        "incarnate_timers{node=\"watched\"}",
    ];
    let until = Instant::now() + Duration::from_secs(30);
    loop {
        let answer = scrape(address).unwrap_or_default();
        let missing: Vec<_> = expected.iter().filter(|line| !answer.contains(**line)).collect();
        if missing.is_empty() {
            assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
            return;
        }
        assert!(Instant::now() < until, "missing: {missing:#?}\nin {answer}");
        std::thread::sleep(Duration::from_millis(50)); // sleep: another program starts
    }
}
