//! What the heavy tests share: the example service, built and run as a program.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

/// Longest wait for anything that must happen.
pub const PATIENCE: Duration = Duration::from_secs(30);

/// The example `switchboard`, as cargo has built it in the profile of this test.
///
/// # Panics
/// It cannot be built.
pub fn switchboard() -> &'static Path {
    static BUILT: OnceLock<PathBuf> = OnceLock::new();
    BUILT.get_or_init(|| {
        let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
        let mut build = Command::new(cargo);
        // The same packages as in tests/run: with others the features would differ, and all be compiled anew.
        build.args([
            "build",
            "--workspace",
            "--exclude",
            "incarnate-bench",
            "--exclude",
            "incarnate-watched",
            "--exclude",
            "incarnate-etcd-tests",
        ]);
        build.args(["--example", "switchboard"]);
        build.args(["--quiet", "--message-format=json-render-diagnostics"]);
        let me = std::env::current_exe().expect("a path of this program");
        if me.components().any(|part| part.as_os_str() == "release") {
            build.arg("--release");
        }
        let output = build
            .current_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join("../.."))
            .stderr(Stdio::inherit())
            .output()
            .expect("cargo can be run");
        assert!(output.status.success(), "the example does not compile");
        let messages = String::from_utf8_lossy(&output.stdout);
        let built = messages.rsplit_once("\"executable\":\"").and_then(|(_, rest)| rest.split_once('"'));
        PathBuf::from(built.expect("cargo names the program that it has built").0)
    })
}

/// A running service on a free port. Dropped, it is killed; a panic in it fails the test.
pub struct Service {
    process: Child,
    /// What it has printed before it served.
    pub banner: String,
    /// Where it listens.
    pub port: u16,
    panicked: Arc<AtomicBool>,
    errors: Option<JoinHandle<()>>,
}

impl Service {
    /// Starts one and waits until it serves.
    ///
    /// # Panics
    /// It does not start.
    pub fn start() -> Self {
        Self::start_with(&[])
    }

    /// As [`start`](Self::start), with these environment variables.
    ///
    /// # Panics
    /// As [`start`](Self::start).
    pub fn start_with(variables: &[(&str, &str)]) -> Self {
        let mut process = Command::new(switchboard())
            .args(["--port", "0"])
            .envs(variables.iter().copied())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("the service can be run");
        let panicked = Arc::new(AtomicBool::new(false));
        let stderr = BufReader::new(process.stderr.take().expect("a pipe"));
        let seen = panicked.clone();
        let errors = std::thread::spawn(move || {
            for line in stderr.lines().map_while(Result::ok).filter(|line| line.contains("panicked at")) {
                eprintln!("the service: {line}");
                seen.store(true, Ordering::SeqCst);
            }
        });
        let mut banner = String::new();
        let mut stdout = BufReader::new(process.stdout.take().expect("a pipe"));
        while !banner.contains("Try: ") {
            assert_ne!(stdout.read_line(&mut banner).expect("readable"), 0, "the service ended: {banner}");
        }
        let address = banner.split_whitespace().find_map(|word| word.strip_prefix("127.0.0.1:"));
        let port = address.and_then(|port| port.trim_end_matches(':').parse().ok());
        let port = port.expect("the banner names the port");
        Service { process, banner, port, panicked, errors: Some(errors) }
    }

    /// A client of the redis crate.
    ///
    /// # Panics
    /// The service refuses it.
    pub fn client(&self) -> redis::Connection {
        let client = redis::Client::open(("127.0.0.1", self.port)).expect("an address");
        let client = client.get_connection_with_timeout(PATIENCE).expect("the service is there");
        client.set_read_timeout(Some(PATIENCE)).expect("a timeout");
        client
    }

    /// A bare connection.
    ///
    /// # Panics
    /// The service refuses it.
    pub fn socket(&self) -> Socket {
        let stream = TcpStream::connect(("127.0.0.1", self.port)).expect("the service is there");
        stream.set_read_timeout(Some(PATIENCE)).expect("a timeout");
        stream.set_write_timeout(Some(PATIENCE)).expect("a timeout");
        Socket { stream }
    }

    /// A number out of `INFO`.
    ///
    /// # Panics
    /// It is not there.
    pub fn info(&self, name: &str) -> u64 {
        let info: String = redis::cmd("INFO").query(&mut self.client()).expect("INFO is answered");
        let line = info.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
        line.and_then(|number| number.parse().ok()).unwrap_or_else(|| panic!("no {name} in {info}"))
    }

    /// Asks again until the number is as wanted.
    ///
    /// # Panics
    /// It never is.
    pub fn await_info(&self, name: &str, wanted: impl Fn(u64) -> bool) {
        let start = Instant::now();
        loop {
            let number = self.info(name);
            if wanted(number) {
                return;
            }
            assert!(start.elapsed() < PATIENCE, "{name} is still {number}");
        }
    }

    /// Sends it a signal.
    ///
    /// # Panics
    /// It has ended.
    pub fn signal(&self, signal: Signal) {
        let pid = i32::try_from(self.process.id()).ok().and_then(Pid::from_raw);
        kill_process(pid.expect("a process has a number"), signal).expect("the service runs");
    }

    /// Waits for its end.
    ///
    /// # Panics
    /// It does not end.
    pub fn ended(&mut self) -> ExitStatus {
        let start = Instant::now();
        loop {
            if let Some(status) = self.process.try_wait().expect("a child of ours") {
                return status;
            }
            assert!(start.elapsed() < PATIENCE, "the service does not end");
            std::thread::yield_now();
        }
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        // Nothing to be done if it has ended.
        let _ = self.process.kill();
        let _ = self.process.wait();
        let read = self.errors.take().map(JoinHandle::join);
        if !std::thread::panicking() {
            assert!(matches!(read, Some(Ok(()))), "its error output cannot be read");
            assert!(!self.panicked.load(Ordering::SeqCst), "the service has panicked");
        }
    }
}

/// A connection that speaks bytes.
pub struct Socket {
    /// It.
    pub stream: TcpStream,
}

impl Socket {
    /// Sends these bytes.
    ///
    /// # Panics
    /// The service does not take them.
    pub fn send(&mut self, bytes: impl AsRef<[u8]>) {
        self.stream.write_all(bytes.as_ref()).expect("the service reads");
    }

    /// Expects exactly these bytes next.
    ///
    /// # Panics
    /// Others come, or none.
    #[track_caller]
    pub fn expect(&mut self, bytes: impl AsRef<[u8]>) {
        let mut got = vec![0; bytes.as_ref().len()];
        let read = self.stream.read_exact(&mut got);
        let shown = String::from_utf8_lossy(&got);
        assert!(read.is_ok(), "{read:?} after {shown:?}");
        assert_eq!(shown, String::from_utf8_lossy(bytes.as_ref()));
    }

    /// All that comes until the service closes.
    ///
    /// # Panics
    /// It does not close.
    #[track_caller]
    pub fn rest(&mut self) -> String {
        let mut rest = Vec::new();
        match self.stream.read_to_end(&mut rest) {
            Ok(_) => {}
            // Closed with bytes of ours unread.
            Err(error) if error.kind() == std::io::ErrorKind::ConnectionReset => {}
            Err(error) => panic!("{error} after {:?}", String::from_utf8_lossy(&rest)),
        }
        String::from_utf8_lossy(&rest).into_owned()
    }
}
