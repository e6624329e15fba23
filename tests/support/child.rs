//! This test program as another process: a test of it that is run alone, and acts as a program.
//! Each user needs a part of it.
#![allow(dead_code)]

use std::io::{BufRead, BufReader, Read};
use std::process::{Child, ChildStderr, Command, ExitCode, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

/// What takes longer than this hangs. Never waited for by a test that passes.
const HANGS: Duration = Duration::from_secs(30);

/// In the environment of a child: what it is to be.
const ROLE: &str = "INCARNATE_TEST_ROLE";

/// What this process is to be; `None`: the tests themselves.
pub fn role() -> Option<String> {
    std::env::var(ROLE).ok()
}

/// Ends this process with an exit code, which has no number of its own to be read.
pub fn exit(code: ExitCode) -> ! {
    let same = |number: &u8| format!("{:?}", ExitCode::from(*number)) == format!("{code:?}");
    std::process::exit((0..=u8::MAX).find(same).map_or(255, i32::from))
}

/// A process that acts, killed when this goes.
pub struct Program {
    child: Child,
    lines: Receiver<String>,
    errors: Option<JoinHandle<String>>,
}

impl Program {
    /// Runs the test of this name in a process of its own, which finds `role` by [`role`].
    pub fn new(test: &str, role: &str, environment: &[(&str, &str)]) -> Self {
        Self::by(&[], test, role, environment)
    }

    /// As [`new`](Self::new), run by another program: its words, to which the path and the arguments of this one are added.
    pub fn by(runner: &[&str], test: &str, role: &str, environment: &[(&str, &str)]) -> Self {
        let me = std::env::current_exe().unwrap();
        let mut command = match runner {
            [] => Command::new(me),
            [program, words @ ..] => {
                let mut command = Command::new(program);
                command.args(words).arg(me);
                command
            }
        };
        command.args(["--exact", test, "--nocapture", "--test-threads", "1"]).env(ROLE, role);
        command.envs(environment.iter().copied()).env_remove("RUST_BACKTRACE");
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let stdout = BufReader::new(child.stdout.take().unwrap());
        let (tell, lines) = channel();
        std::thread::spawn(move || stdout.lines().map_while(Result::ok).try_for_each(|line| tell.send(line)));
        let mut stderr: ChildStderr = child.stderr.take().unwrap();
        let errors = std::thread::spawn(move || {
            let mut text = String::new();
            stderr.read_to_string(&mut text).map(|_| text).unwrap_or_default()
        });
        Program { child, lines, errors: Some(errors) }
    }

    /// Waits for a line that holds this.
    pub fn until(&mut self, wanted: &str) {
        self.after(wanted);
    }

    /// The next line.
    pub fn line(&mut self) -> String {
        self.lines.recv_timeout(HANGS).unwrap_or_else(|error| {
            let _ended_before = self.child.kill();
            panic!("it said nothing more: {error}; its errors:\n{}", self.errors())
        })
    }

    /// What it has written to stderr, when it has ended.
    fn errors(&mut self) -> String {
        self.errors.take().map(|errors| errors.join().unwrap()).unwrap_or_default()
    }

    /// The lines that have come and were not waited for.
    pub fn rest(&mut self) -> Vec<String> {
        self.lines.try_iter().collect()
    }

    /// Waits for a line that holds this, and answers what is behind it there.
    pub fn after(&mut self, wanted: &str) -> String {
        loop {
            let line = self.lines.recv_timeout(HANGS);
            let line = line.unwrap_or_else(|error| panic!("it did not say {wanted:?}: {error}"));
            if let Some((_, rest)) = line.split_once(wanted) {
                return rest.to_owned();
            }
        }
    }

    pub fn signal(&self, signal: Signal) {
        kill_process(Pid::from_raw(self.child.id() as i32).unwrap(), signal).unwrap();
    }

    /// Waits for the end: the exit code, what else was said on stdout, and stderr.
    pub fn end(mut self) -> (Option<i32>, Vec<String>, String) {
        let begin = Instant::now();
        let said: Vec<String> = std::iter::from_fn(|| self.lines.recv_timeout(HANGS).ok()).collect();
        let status = loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                break status;
            }
            assert!(begin.elapsed() < 2 * HANGS, "it does not end");
            std::thread::sleep(Duration::from_millis(2)); // sleep: the end of a process comes as no event
        };
        let errors = self.errors();
        (status.code(), said, errors)
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        let _ended_before = self.child.kill();
        let _reaped = self.child.wait();
    }
}
