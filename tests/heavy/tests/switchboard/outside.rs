//! The programs that come with Redis.

use std::process::{Command, Stdio};

use incarnate_heavy_tests::Service;

/// What a program prints, whose input is `input`.
fn run(program: &str, arguments: &[&str], port: u16) -> String {
    let output = Command::new(program)
        .args(["-p", &port.to_string()])
        .args(arguments)
        .stdin(Stdio::null())
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success(), "{program} {arguments:?}: {text}");
    text
}

#[test]
fn needs_redis_cli() {
    let service = Service::start();
    let cli = |arguments: &[&str]| run("redis-cli", arguments, service.port);
    assert_eq!(cli(&["set", "greeting", "hello"]), "OK\n");
    assert_eq!(cli(&["get", "greeting"]), "hello\n");
    assert!(cli(&["otp.tree"]).contains("key \"greeting\" <"));
    assert!(cli(&["otp.info", "greeting"]).contains("incarnation\n1\n"));
    assert_eq!(cli(&["--scan", "--pattern", "gr*"]), "greeting\n");
    assert!(cli(&["--bigkeys"]).contains("Biggest string found"));
    assert!(cli(&["info"]).contains("redis_version"));
}

#[test]
fn needs_redis_benchmark() {
    let service = Service::start();
    for pipeline in ["1", "16"] {
        let tests = ["-t", "ping,set,get,incr,mset", "-n", "2000", "-q", "-P", pipeline];
        let text = run("redis-benchmark", &tests, service.port);
        let results = text.matches("requests per second").count();
        assert_eq!(results, 6, "PING twice and four more: {text}");
        assert!(!text.contains("rror"), "{text}");
    }
}
