//! `Run` as the main function of a program: signals, exit codes, what is said on stderr, and the service manager.

use std::os::unix::net::UnixDatagram;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use incarnate::application::{App, Application, NoConfig, Run, Spec, StartType};
use incarnate::supervisor::{ChildSpec, Shutdown, Supervisor};
use incarnate::{
    CallReply, Context, Error, ExitReason, GenServer, Info, Init, Never, Next, Node, Result, Tree, sys,
};
use rustix::process::Signal;

use crate::child::{self, Program};

/// A child whose name is what it does; it writes down when it is up and when it ends.
struct Actor(String);

impl GenServer for Actor {
    type Args = String;
    type Call = Never;
    type Cast = Never;
    type Info = ();
    type Continue = Never;

    async fn init(role: String, cx: &mut Context<Self>) -> Result<Init<Self>> {
        cx.trap_exit(true);
        cx.event_timeout(Duration::from_millis(1), ());
        Ok(Init::Ready(Actor(role)))
    }

    async fn handle_call(&mut self, call: Never, _: &mut Context<Self>) -> Result<CallReply> {
        match call {}
    }

    async fn handle_info(&mut self, _: Info<()>, cx: &mut Context<Self>) -> Result<Next> {
        println!("{} is up", self.0);
        match &*self.0 {
            "crashes" => return Err(Error::msg("boom")),
            "suspends the controller" => {
                let node = cx.node().clone();
                let controller = node.whereis("application_controller").unwrap();
                tokio::spawn(async move {
                    sys::suspend(&node, controller, Duration::from_secs(5)).await.unwrap();
                    println!("it is suspended");
                });
            }
            "stops the node" | "hangs and stops the node" => cx.node().stop(42),
            "holds its thread" => std::thread::sleep(Duration::from_secs(60)), // sleep: it is to do nothing else
            "holds all threads" => {
                for _ in 0..64 {
                    tokio::spawn(async {
                        loop {
                            std::hint::spin_loop();
                        }
                    });
                }
            }
            _ => {}
        }
        incarnate::noreply()
    }

    async fn terminate(&mut self, _: &ExitReason, _: &mut Context<Self>) -> Result<()> {
        println!("{} ends", self.0);
        if self.0.ends_with("and stops the node") {
            tokio::time::sleep(Duration::from_millis(300)).await; // sleep: the signal is to come before the end
        } else if self.0.starts_with("hangs") {
            std::future::pending::<()>().await;
        }
        Ok(())
    }
}

/// An application of one actor, or two.
struct Service(&'static str, Vec<String>);

impl Application for Service {
    type Config = NoConfig;

    fn spec(&self) -> Spec {
        let spec = Spec::new(self.0, "1.0.0");
        if self.0 == "service" { spec.applications(["base"]) } else { spec }
    }

    async fn start(&self, _: Arc<NoConfig>) -> Result<Tree> {
        let mut tree = Supervisor::tree("top").intensity(0, Duration::from_secs(1));
        for role in self.1.clone() {
            if role == "starts for ever" {
                println!("{role} is up");
                std::future::pending::<()>().await;
            }
            if role == "does not start" {
                return Err(Error::msg("no\nroom"));
            }
            let limit = match &*role {
                "hangs for a while" => Shutdown::Timeout(Duration::from_millis(50)),
                _ => Shutdown::Infinity,
            };
            let id = role.clone();
            tree = tree.child(ChildSpec::worker(id, move || Actor::start_link(role.clone())).shutdown(limit));
        }
        Ok(tree)
    }

    async fn stop(&self) {
        println!("{} has stopped", self.0);
    }
}

/// What a child process does: its roles are actors, or say how it runs.
#[test]
fn program() {
    let Some(roles) = child::role() else { return };
    let (options, actors): (Vec<&str>, Vec<&str>) = roles.split(", ").partition(|role| role.starts_with('+'));
    let base = Service("base", vec!["base actor".to_owned()]);
    let mut run =
        Run::new(App::new(Service("service", actors.iter().map(|role| role.to_string()).collect())));
    for option in options {
        run = match option {
            "+in a runtime" => {
                let runtime = tokio::runtime::Runtime::new().unwrap();
                child::exit(runtime.block_on(async { Run::new(App::new(Service("base", vec![]))).main() }));
            }
            "+a file that does not come" => {
                println!("it is up");
                run.config_file(std::env::var("FIFO").unwrap())
            }
            "+stderr is full" => {
                let full = std::fs::File::options().write(true).open("/dev/full").unwrap();
                rustix::stdio::dup2_stderr(full).unwrap();
                run
            }
            "+alone" => child::exit(run.main()),
            "+transient" => run.start_type(StartType::Transient),
            "+temporary" => run.start_type(StartType::Temporary),
            "+limit" => run.shutdown_timeout(Duration::from_millis(50)),
            other => panic!("no such option: {other}"),
        };
    }
    child::exit(run.with(App::new(base)).environment().main())
}

fn run(roles: &str) -> Program {
    run_with(roles, &[])
}

fn run_with(roles: &str, environment: &[(&str, &str)]) -> Program {
    Program::new("programs::program", roles, environment)
}

#[test]
fn rule_2_15_4_sigterm_and_sigint_stop_all_in_order_with_exit_code_0() {
    for signal in [Signal::TERM, Signal::INT] {
        let mut program = run("works");
        program.until("works is up");
        program.signal(signal);
        let (code, said, errors) = program.end();
        assert_eq!((code, errors.as_str()), (Some(0), ""));
        let said: Vec<&str> = said.iter().map(String::as_str).filter(|line| !line.ends_with("up")).collect();
        assert_eq!(said, ["works ends", "service has stopped", "base actor ends", "base has stopped"]);
    }
}

#[test]
fn a_child_that_hangs_in_terminate_is_killed_at_its_timeout_and_the_exit_is_orderly() {
    let mut program = run("works, hangs for a while");
    program.until("hangs for a while is up");
    program.signal(Signal::TERM);
    let (code, said, errors) = program.end();
    assert_eq!((code, errors.as_str()), (Some(0), ""));
    let ends: Vec<&str> = said.iter().map(String::as_str).filter(|line| !line.ends_with("up")).collect();
    let expected = [
        "hangs for a while ends",
        "works ends",
        "service has stopped",
        "base actor ends",
        "base has stopped",
    ];
    assert_eq!(ends, expected);
}

#[test]
fn app_042_an_application_that_hangs_is_killed_at_the_nodes_timeout_and_the_exit_is_orderly() {
    let mut program = run("+limit, hangs");
    program.until("hangs is up");
    program.signal(Signal::TERM);
    let (code, said, errors) = program.end();
    assert_eq!((code, errors.as_str()), (Some(0), ""));
    assert_eq!(said.last().map(String::as_str), Some("base has stopped"));
    assert!(!said.iter().any(|line| line == "service has stopped"), "{said:?}");
}

#[test]
fn a_signal_during_a_start_that_takes_for_ever_stops_what_runs() {
    let mut program = run("starts for ever");
    program.until("starts for ever is up");
    program.signal(Signal::TERM);
    let (code, said, errors) = program.end();
    assert_eq!((code, errors.as_str()), (Some(0), ""));
    assert_eq!(said.last().map(String::as_str), Some("base has stopped"));
}

#[test]
fn a_second_signal_hurries() {
    let mut program = run("hangs");
    program.until("hangs is up");
    program.signal(Signal::TERM);
    program.until("hangs ends");
    program.signal(Signal::TERM);
    let (code, _, errors) = program.end();
    let line = "service: stopped in a hurry by a second signal: what had not ended was killed\n";
    assert_eq!((code, errors.as_str()), (Some(1), line));
}

/// A callback that holds its thread keeps nothing else from ending: the others have their timers, and signals are heard.
#[test]
fn a_callback_that_holds_its_thread_makes_nobody_deaf() {
    for signals in 1..=2 {
        let mut program = run_with("+limit, holds its thread", &[("TOKIO_WORKER_THREADS", "2")]);
        program.until("holds its thread is up");
        for _ in 0..signals {
            program.signal(Signal::TERM);
            std::thread::sleep(Duration::from_millis(30)); // sleep: two signals at once would be one
        }
        let begin = Instant::now();
        let (code, ..) = program.end();
        assert_eq!(code, Some(signals - 1));
        assert!(begin.elapsed() < Duration::from_secs(20));
    }
}

#[test]
fn a_first_signal_changes_nothing_of_a_stop_that_is_under_way() {
    let mut program = run("hangs and stops the node");
    program.until("hangs and stops the node ends");
    program.signal(Signal::TERM);
    let (code, said, errors) = program.end();
    assert_eq!((code, errors.as_str()), (Some(42), ""));
    assert_eq!(said.last().map(String::as_str), Some("base has stopped"));
}

#[test]
fn a_signal_ends_a_program_that_waits_for_its_configuration() {
    let path = std::env::temp_dir().join(format!("incarnate-{}.fifo", std::process::id()));
    let path = path.display().to_string();
    assert!(std::process::Command::new("mkfifo").arg(&path).status().unwrap().success());
    let mut program = run_with("+a file that does not come, works", &[("FIFO", &path)]);
    program.until("it is up");
    // The file is opened, and signals are heeded, soon after; until they are, the signal would just end it.
    std::thread::sleep(Duration::from_millis(200)); // sleep: there is nothing to be seen of a program that waits
    program.signal(Signal::TERM);
    let (code, _, errors) = program.end();
    std::fs::remove_file(&path).unwrap();
    assert_eq!((code, errors.as_str()), (Some(0), ""));
}

#[test]
fn nobody_who_reads_the_error_changes_nothing_of_the_exit_code() {
    let (code, ..) = run("+stderr is full, +alone, works").end();
    assert_eq!(code, Some(1));
}

#[test]
fn rule_2_15_3_the_end_of_the_application_is_the_exit_code_1_unless_it_is_temporary() {
    for kind in ["", "+transient, "] {
        let (code, said, errors) = run(&format!("{kind}crashes")).end();
        let name = if kind.is_empty() { "permanent" } else { "transient" };
        let line = format!("service: {name} application service has ended: shutdown\n");
        assert_eq!((code, errors), (Some(1), line));
        assert_eq!(said.last().map(String::as_str), Some("base has stopped"), "{said:?}");
    }
    let mut program = run("+temporary, crashes");
    program.until("service has stopped");
    program.signal(Signal::TERM);
    assert_eq!(program.end().0, Some(0));
}

#[test]
fn the_code_of_a_stop_is_the_exit_code() {
    let (code, said, errors) = run("stops the node").end();
    assert_eq!((code, errors.as_str()), (Some(42), ""));
    assert_eq!(said.last().map(String::as_str), Some("base has stopped"));
}

#[test]
fn what_does_not_start_is_one_line_and_exit_code_1() {
    let up = |said: &[String]| said.iter().any(|line| line.ends_with("is up"));
    let (code, said, errors) = run("does not start").end();
    let line = "service: application service was not started: error: no room\n";
    assert_eq!((code, errors.as_str()), (Some(1), line));
    assert_eq!(
        said.last().map(String::as_str),
        Some("base has stopped"),
        "what was started is stopped again"
    );

    let (code, said, errors) = run("+alone, works").end();
    let line = "service: application service needs base, which is not loaded\n";
    assert_eq!((code, errors.as_str(), up(&said)), (Some(1), line, false));

    let (code, said, errors) = run_with("works", &[("BASE__PORT", "1")]).end();
    let line = "service: unknown key `base.port` in environment variable BASE__PORT\n";
    assert_eq!((code, errors.as_str(), up(&said)), (Some(1), line, false));

    let (code, _, errors) = run("+in a runtime").end();
    let line = "base: Run::main was called within a runtime, where Run::run is for\n";
    assert_eq!((code, errors.as_str()), (Some(1), line));
}

/// A service manager: a socket that hears what a program tells it.
struct Manager {
    socket: UnixDatagram,
    path: PathBuf,
}

impl Manager {
    fn new(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("incarnate-{}-{name}.socket", std::process::id()));
        let socket = UnixDatagram::bind(&path).unwrap();
        socket.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
        Manager { socket, path }
    }

    fn hears(&self) -> Option<String> {
        let mut bytes = [0; 256];
        let length = self.socket.recv(&mut bytes).ok()?;
        Some(String::from_utf8_lossy(&bytes[..length]).trim().to_owned())
    }
}

impl Drop for Manager {
    fn drop(&mut self) {
        let _gone = std::fs::remove_file(&self.path);
    }
}

#[test]
fn a_service_manager_hears_ready_the_watchdog_and_stopping() {
    let manager = Manager::new("manager");
    let path = manager.path.display().to_string();
    let program = run_with("works", &[("NOTIFY_SOCKET", &path), ("WATCHDOG_USEC", "20000")]);
    let mut heard = Vec::new();
    while heard.last().map(String::as_str) != Some("STOPPING=1") {
        let said = manager.hears().expect("it says nothing any more");
        if said != "WATCHDOG=1" || heard.last() != Some(&said) {
            heard.push(said);
        }
        // Ready, and alive after that.
        if heard.iter().any(|said| said == "READY=1") && heard.last().is_some_and(|said| said == "WATCHDOG=1")
        {
            program.signal(Signal::TERM);
        }
    }
    assert_eq!(heard.iter().filter(|said| *said == "READY=1").count(), 1, "{heard:?}");
    let ready = heard.iter().position(|said| said == "READY=1").unwrap();
    assert!(heard[ready..].iter().any(|said| said == "WATCHDOG=1"), "{heard:?}");
}

/// A socket with a name and no file.
#[cfg(target_os = "linux")]
#[test]
fn a_service_manager_may_listen_at_an_abstract_socket() {
    use std::os::linux::net::SocketAddrExt;

    let name = format!("incarnate-{}", std::process::id());
    let address = std::os::unix::net::SocketAddr::from_abstract_name(&name).unwrap();
    let socket = UnixDatagram::bind_addr(&address).unwrap();
    socket.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    let program = run_with("works", &[("NOTIFY_SOCKET", &format!("@{name}"))]);
    let mut bytes = [0; 256];
    let length = socket.recv(&mut bytes).unwrap();
    assert!(bytes[..length].starts_with(b"READY=1"));
    program.signal(Signal::TERM);
    assert_eq!(program.end().0, Some(0));
}

#[test]
fn a_service_manager_hears_nothing_of_ready_before_all_is_up() {
    let manager = Manager::new("early");
    let path = manager.path.display().to_string();
    let mut program = run_with("starts for ever", &[("NOTIFY_SOCKET", &path)]);
    program.until("starts for ever is up");
    program.signal(Signal::TERM);
    assert_eq!(program.end().0, Some(0));
    // All that it ever said is there.
    manager.socket.set_nonblocking(true).unwrap();
    let heard: Vec<_> = std::iter::from_fn(|| manager.hears()).collect();
    assert_eq!(heard, ["STOPPING=1"]);
}

#[test]
fn a_controller_that_does_not_answer_sends_no_watchdog() {
    let manager = Manager::new("suspended");
    let path = manager.path.display().to_string();
    let environment = [("NOTIFY_SOCKET", &*path), ("WATCHDOG_USEC", "200000")];
    let mut program = run_with("suspends the controller", &environment);
    program.until("it is suspended");
    manager.socket.set_read_timeout(Some(Duration::from_millis(1500))).unwrap();
    let more = std::iter::from_fn(|| manager.hears()).take(30).count();
    assert!(more < 30, "the watchdog goes on");
}

#[test]
fn a_runtime_that_stands_still_sends_no_watchdog() {
    let manager = Manager::new("stuck");
    let path = manager.path.display().to_string();
    let mut program = run_with("holds all threads", &[("NOTIFY_SOCKET", &path), ("WATCHDOG_USEC", "200000")]);
    program.until("holds all threads is up");
    manager.socket.set_read_timeout(Some(Duration::from_millis(1500))).unwrap();
    // What was under way arrives; then there is silence for much longer than the interval.
    let more = std::iter::from_fn(|| manager.hears()).take(30).count();
    assert!(more < 30, "the watchdog goes on");
}

#[tokio::test]
async fn a_node_that_is_stopped_from_within_a_runtime_answers_its_code() {
    let node = Node::new("test");
    node.stop(9);
    assert_eq!(node.stopped().await, 9);
}
