//! The main function of a service.

use std::fmt;
use std::io::{self, Write as _};
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use tokio::runtime::{Builder, Handle};
use tokio::sync::mpsc;
use tokio::task::AbortHandle;

use super::applications::Applications;
use super::config::Configuration;
use super::error::StartError;
use super::hosted::App;
use super::notify::{State, notify, watchdog};
use super::shared::{Phase, ShutdownFunc};
use super::spec::StartType;
use crate::process::{Node, Timeout};

/// What the runtime gets to drop what the processes held when the node has stopped.
const LAST: Duration = Duration::from_millis(500);

impl Node {
    /// Runs an application as a program: [`Run::new`] with the environment as configuration, and [`Run::main`].
    pub fn run(app: App) -> ExitCode {
        Run::new(app).environment().main()
    }
}

/// A program that is an application: starts a node with it and all that it needs, and returns the program's exit code when
/// the node has stopped.
///
/// - SIGTERM and SIGINT stop the node in order: [`Node::stop`] with code 0. A second one hurries: everything is killed,
///   and the code is 1. The first changes nothing of a stop that is under way by itself.
/// - The code is that of [`Node::stop`]; 1 when a permanent application has ended, or a transient one other than
///   normally, and when something was not started. An application that was killed since it did not end in the node's
///   shutdown timeout changes nothing of it.
/// - An error is one line on stderr. Configuration of all applications is read and checked, and dependencies are, before
///   the first one is started.
/// - A service manager that asks for it by `NOTIFY_SOCKET` is told `READY=1` when all run, `STOPPING=1`, and with
///   `WATCHDOG_USEC` `WATCHDOG=1` twice in that time, as long as the runtime and the node go on.
#[must_use = "nothing runs yet"]
pub struct Run {
    app: App,
    others: Vec<App>,
    node: String,
    kind: StartType,
    configuration: Configuration,
    shutdown_timeout: Timeout,
    shutdown_func: Option<ShutdownFunc>,
}

impl Run {
    /// A program that is this application, permanent, on a node of its name.
    pub fn new(app: App) -> Self {
        Run {
            node: app.spec().name().to_owned(),
            app,
            others: Vec::new(),
            kind: StartType::Permanent,
            configuration: Configuration::new(),
            shutdown_timeout: Timeout::Infinity,
            shutdown_func: None,
        }
    }

    /// Loads another application, for the one that needs it. Only what is needed is started.
    pub fn with(mut self, app: App) -> Self {
        self.others.push(app);
        self
    }

    /// What the end of an application means for the node; permanent by default.
    pub fn start_type(mut self, kind: StartType) -> Self {
        self.kind = kind;
        self
    }

    /// The name of the node.
    pub fn node_name(mut self, name: impl Into<String>) -> Self {
        self.node = name.into();
        self
    }

    /// Where all values come from.
    pub fn configuration(mut self, configuration: Configuration) -> Self {
        self.configuration = configuration;
        self
    }

    /// Adds a TOML file to the configuration; it must be there.
    pub fn config_file(mut self, path: impl Into<PathBuf>) -> Self {
        self.configuration = self.configuration.file(path);
        self
    }

    /// Adds the environment of the program to the configuration.
    pub fn environment(mut self) -> Self {
        self.configuration = self.configuration.environment(std::env::vars_os());
        self
    }

    /// Adds arguments to the configuration, each `application.key=value`.
    pub fn arguments(mut self, arguments: impl IntoIterator<Item = String>) -> Self {
        self.configuration = arguments.into_iter().fold(self.configuration, Configuration::argument);
        self
    }

    /// How long each application may take to end while the node stops; no limit by default. See
    /// [`Applications::shutdown_timeout`].
    pub fn shutdown_timeout(mut self, timeout: impl Into<Timeout>) -> Self {
        self.shutdown_timeout = timeout.into();
        self
    }

    /// Called when the node begins to stop. See [`Applications::shutdown_func`].
    pub fn shutdown_func(mut self, func: impl FnOnce() + Send + 'static) -> Self {
        self.shutdown_func = Some(Box::new(func));
        self
    }

    /// Builds a tokio runtime with a worker for each core and runs in it. Within a runtime it fails, with a line that says
    /// so: that is what [`run`](Self::run) is for.
    pub fn main(self) -> ExitCode {
        let name = self.app.spec().name();
        if Handle::try_current().is_ok() {
            return fail(name, &"Run::main was called within a runtime, where Run::run is for");
        }
        match Builder::new_multi_thread().enable_all().build() {
            Ok(runtime) => {
                let code = runtime.block_on(self.run());
                runtime.shutdown_timeout(LAST);
                code
            }
            Err(error) => fail(name, &format_args!("there is no runtime to be had: {error}")),
        }
    }

    /// Runs in the runtime that is there, which must have timers and IO.
    ///
    /// # Cancel safety
    /// Dropping the future leaves the node as it is, and nobody to heed signals.
    pub async fn run(self) -> ExitCode {
        let name = self.app.spec().name();
        match self.serve().await {
            Ok(code) => ExitCode::from(code),
            Err(line) => fail(name, &line),
        }
    }

    async fn serve(self) -> Result<u8, String> {
        let mut signals = Signals::new().map_err(|error| format!("signals cannot be heeded: {error}"))?;
        let node = Node::new(&self.node);
        let (name, kind) = (self.app.spec().name(), self.kind);
        let applications = node.applications();
        let loaded = tokio::select! {
            loaded = self.load(&applications) => loaded,
            // Nothing has been started.
            () = signals.next() => {
                node.halt();
                return Ok(0);
            }
        };
        if let Err(line) = loaded {
            node.stop(1);
            return Err(line);
        }
        let _watchdog = watchdog(applications.clone());
        let service = Service { node, applications };
        let started = tokio::select! {
            started = service.applications.ensure_all_started(name, kind) => started,
            () = signals.next() => {
                service.node.stop(0);
                return service.stops(&mut signals, 1).await;
            }
        };
        if let Err(error) = started {
            service.node.stop(1);
            let stopped = service.stops(&mut signals, 0).await;
            return match error {
                // What took the node down says more than that it went down; or it was told to stop by itself.
                StartError::NodeStops => stopped,
                error => Err(error.to_string()),
            };
        }
        notify(State::Ready).await;
        let heard = tokio::select! {
            () = service.applications.until_stopping() => 0,
            () = signals.next() => {
                service.node.stop(0);
                1
            }
        };
        service.stops(&mut signals, heard).await
    }

    /// Makes everything known, and checks all configuration.
    async fn load(self, applications: &Applications) -> Result<(), String> {
        // A file that does not come, as one of a network may, holds up nobody but this.
        let reading = tokio::task::spawn_blocking(move || self.configuration.read());
        applications.put(reading.await.map_err(line)?.map_err(line)?);
        applications.shutdown_timeout(self.shutdown_timeout);
        if let Some(func) = self.shutdown_func {
            applications.shutdown_func(func);
        }
        for app in self.others.into_iter().chain([self.app]) {
            applications.load(app).await.map_err(line)?;
        }
        applications.check().map_err(line)
    }
}

/// What runs.
struct Service {
    node: Node,
    applications: Applications,
}

impl Service {
    /// Waits for the end of the node, which has begun. So many signals have been `heard`: the first changes nothing of a stop
    /// that is under way, the second hurries.
    async fn stops(&self, signals: &mut Signals, heard: usize) -> Result<u8, String> {
        let telling = notify(State::Stopping);
        let stopping = async {
            telling.await;
            self.applications.until_ended().await
        };
        let hurrying = async {
            for _ in heard..2 {
                signals.next().await;
            }
        };
        let code = tokio::select! {
            phase = stopping => phase,
            () = hurrying => {
                self.node.halt();
                return Err("stopped in a hurry by a second signal: what had not ended was killed".to_owned());
            }
        };
        match (code, self.applications.cause()) {
            (_, Some(cause)) => Err(cause),
            (Phase::Stopped(code), None) => Ok(code),
            (Phase::Up | Phase::Stopping, None) => {
                self.node.halt();
                Err("the application controller was killed".to_owned())
            }
        }
    }
}

fn line(error: impl fmt::Display) -> String {
    error.to_string()
}

/// One line on stderr, whatever the text.
fn fail(name: &str, what: &dyn fmt::Display) -> ExitCode {
    let text = what.to_string().lines().map(str::trim).collect::<Vec<_>>().join(" ");
    // Nobody may be there to read it.
    let _unread = writeln!(io::stderr(), "{name}: {text}");
    ExitCode::FAILURE
}

/// A task that ends with this.
pub(super) struct Ends(pub(super) AbortHandle);

impl Drop for Ends {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// SIGTERM and SIGINT, from when this is made on; Ctrl-C where there are none. Heard by a thread of their own, so that code
/// which holds the threads of the service keeps nobody from ending it.
struct Signals(mpsc::UnboundedReceiver<()>);

impl Signals {
    fn new() -> io::Result<Self> {
        let (tell, heard) = mpsc::unbounded_channel();
        let (ready, begun) = std::sync::mpsc::channel();
        std::thread::Builder::new().name("incarnate-signals".into()).spawn(move || {
            let runtime = match Builder::new_current_thread().enable_io().build() {
                Ok(runtime) => runtime,
                Err(error) => return drop(ready.send(Err(error))),
            };
            runtime.block_on(async {
                let mut heeded = match heed() {
                    Ok(heeded) => heeded,
                    Err(error) => return drop(ready.send(Err(error))),
                };
                let _nobody = ready.send(Ok(()));
                loop {
                    tokio::select! {
                        () = heeded.next() => drop(tell.send(())),
                        () = tell.closed() => return,
                    }
                }
            });
        })?;
        begun.recv().map_err(io::Error::other)??;
        Ok(Signals(heard))
    }

    async fn next(&mut self) {
        if self.0.recv().await.is_none() {
            std::future::pending::<()>().await;
        }
    }
}

#[cfg(unix)]
struct Heeded {
    term: tokio::signal::unix::Signal,
    int: tokio::signal::unix::Signal,
}

#[cfg(unix)]
fn heed() -> io::Result<Heeded> {
    use tokio::signal::unix::{SignalKind, signal};

    Ok(Heeded { term: signal(SignalKind::terminate())?, int: signal(SignalKind::interrupt())? })
}

#[cfg(unix)]
impl Heeded {
    async fn next(&mut self) {
        tokio::select! {
            _ = self.term.recv() => {}
            _ = self.int.recv() => {}
        }
    }
}

#[cfg(not(unix))]
struct Heeded;

#[cfg(not(unix))]
fn heed() -> io::Result<Heeded> {
    Ok(Heeded)
}

#[cfg(not(unix))]
impl Heeded {
    async fn next(&mut self) {
        if tokio::signal::ctrl_c().await.is_err() {
            std::future::pending::<()>().await;
        }
    }
}
