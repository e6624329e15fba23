//! The workloads between two processes run on each system that has them, and leave nothing behind.

use std::{
    io::{BufRead, BufReader, Read},
    net::{TcpListener, TcpStream},
    process::{Command, Stdio},
};

const PROGRAM: &str = env!("CARGO_BIN_EXE_incarnate-bench");
const WORKLOADS: [&str; 4] = ["remote_call", "remote_call_1k", "remote_call_64", "remote_cast"];

/// Measures each workload for a moment. The program itself fails when a sum is wrong.
fn measure_all(system: &str, more: impl Fn(&mut Command)) {
    for workload in WORKLOADS {
        let mut program = Command::new(PROGRAM);
        program.args(["--millis", "1", "--child", &format!("{workload}:{system}")]);
        more(&mut program);
        let measured = program.output().unwrap();
        assert!(measured.status.success(), "{workload}: {}", String::from_utf8_lossy(&measured.stderr));
        let json: serde_json::Value = serde_json::from_slice(&measured.stdout).unwrap();
        assert!(json["figure"].as_f64().unwrap() > 0.0, "{workload}: {json}");
        let calls_alone = matches!(workload, "remote_call" | "remote_call_1k");
        assert_eq!(json["p50_ns"].as_u64().is_some(), calls_alone, "{workload}: {json}");
        // Nothing crosses two processes and comes back faster.
        assert!(json["p50_ns"].as_u64().is_none_or(|nanos| nanos > 1_000), "{workload}: {json}");
    }
}

#[test]
fn incarnate_comes_to_its_sums() {
    measure_all("incarnate", |_| ());
}

#[test]
fn ractor_comes_to_its_sums() {
    measure_all("ractor", |_| ());
}

/// An epmd that one of them had started would go on to listen at the port for it.
#[test]
fn needs_erl_erlang_comes_to_its_sums_and_starts_no_epmd() {
    let port = TcpListener::bind(("127.0.0.1", 0)).unwrap().local_addr().unwrap().port();
    measure_all("erlang", |program| {
        program.env("ERL_EPMD_PORT", port.to_string());
    });
    assert!(TcpStream::connect(("127.0.0.1", port)).is_err(), "something listens at {port}");
}

#[test]
fn the_other_process_ends_with_its_standard_input() {
    let mut program = Command::new(PROGRAM);
    let mut peer = program.arg("--peer").stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    let mut output = BufReader::new(peer.stdout.take().unwrap());
    let mut address = String::new();
    output.read_line(&mut address).unwrap();
    TcpStream::connect(address.trim()).unwrap();
    drop(peer.stdin.take());
    assert_eq!(output.read_to_end(&mut Vec::new()).unwrap(), 0);
    assert!(peer.wait().unwrap().success());
}

#[test]
fn other_systems_have_no_such_rows() {
    for system in ["tokio", "kameo", "actix"] {
        let measured =
            Command::new(PROGRAM).args(["--child", &format!("remote_call:{system}")]).output().unwrap();
        assert_eq!(String::from_utf8_lossy(&measured.stdout).trim(), "null", "{system}");
    }
}
