//! The applications of a node: OTP's module `application`.

use std::any::Any;
use std::sync::Arc;
use std::time::Duration;

use serde::de::DeserializeOwned;

use super::config::{ConfigError, Configuration, Sources};
use super::controller::{Ask, CONTROLLER, Controller, ControllerRef, Told};
use super::error::{LoadError, StartError, StopError, UnloadError};
use super::hosted::App;
use super::machine::Mode;
use super::shared::{Loaded, Phase, Shared};
use super::spec::{Spec, StartType};
use crate::gen_server::{GenServer, StartError as ServerError};
use crate::process::{CallError, Node, ReplyTo, Timeout};
use crate::term::Pid;

impl Node {
    /// The applications of this node. The process that keeps them is started when the first is loaded.
    pub fn applications(&self) -> Applications {
        Applications { node: self.clone() }
    }

    /// Stops the node in order: its applications in the reverse order of their starts, each with the time that
    /// [`Applications::shutdown_timeout`] gives it (a start that is under way is given up, and what is up of it has five
    /// seconds if there is no limit), then all that is left is killed (`init:stop/1`). Returns at once;
    /// [`stopped`](Self::stopped) waits. A second time, it changes nothing.
    pub fn stop(&self, code: u8) {
        let shared = Shared::of(self);
        match CONTROLLER.on(self) {
            Ok(controller) => controller.cast(Told::NodeStop(code)),
            Err(_) => {
                shared.begin_stop();
                shared.enter(Phase::Stopped(code));
                self.halt();
            }
        }
    }

    /// Waits until the node has stopped, by [`stop`](Self::stop) or since an application has taken it down, and answers
    /// the code: that of the stop, or 1.
    ///
    /// # Cancel safety
    /// Dropping the future only gives up waiting.
    pub async fn stopped(&self) -> u8 {
        match Shared::of(self).until(|phase| matches!(phase, Phase::Stopped(_))).await {
            Phase::Stopped(code) => code,
            Phase::Up | Phase::Stopping => 1,
        }
    }
}

/// The applications of a node: load, start, stop, look (`application`).
///
/// No request has a time limit, as in OTP. A callback of an application that starts or stops one that waits for itself
/// waits for ever.
///
/// # Cancel safety
/// Dropping the future of a request gives up waiting; the request is still carried out.
#[derive(Clone, Debug)]
pub struct Applications {
    node: Node,
}

impl Applications {
    /// Puts a configuration in force, for what is loaded from here on.
    ///
    /// # Errors
    /// A file that cannot be read or is no TOML, an argument that is none. Nothing has changed then.
    pub fn configure(&self, configuration: Configuration) -> Result<(), ConfigError> {
        self.put(configuration.read()?);
        Ok(())
    }

    /// Puts in force what was read of a configuration.
    pub(super) fn put(&self, sources: Sources) {
        self.shared().settings().sources = Arc::new(sources);
    }

    /// How long an application may take to end while the node stops, before it is killed; no limit by default
    /// (`shutdown_timeout` of kernel).
    pub fn shutdown_timeout(&self, timeout: impl Into<Timeout>) {
        self.shared().settings().shutdown_timeout = timeout.into();
    }

    /// Called once when the node begins to stop (`shutdown_func` of kernel). It must not block.
    pub fn shutdown_func(&self, func: impl FnOnce() + Send + 'static) {
        self.shared().settings().shutdown_func = Some(Box::new(func));
    }

    /// Makes an application known, and reads and checks its configuration (`application:load/1`). What it needs is not
    /// loaded with it, and must be by the time that it is started.
    ///
    /// # Errors
    /// See [`LoadError`].
    pub async fn load(&self, app: App) -> Result<(), LoadError> {
        let (shared, spec) = (self.shared(), app.spec());
        if !spec.has_good_name() {
            return Err(LoadError::BadName(spec.name()));
        }
        let sources = shared.settings().sources.clone();
        let config = app.configure(&sources).map_err(LoadError::Config)?;
        let group = shared.number(spec.name()).ok_or(LoadError::TooMany)?;
        let loaded = Box::new(Loaded { app, config, group });
        self.ask(|to| Ask::Load(loaded, to)).await.unwrap_or(Err(LoadError::NodeStops))
    }

    /// Forgets an application that does not run, with its configuration (`application:unload/1`).
    ///
    /// # Errors
    /// See [`UnloadError`].
    pub async fn unload(&self, name: &str) -> Result<(), UnloadError> {
        self.ask(|to| Ask::Unload(name.to_owned(), to)).await.unwrap_or(Err(UnloadError::NodeStops))
    }

    /// Fails if a file or an argument of the configuration in force is for an application that is not loaded.
    ///
    /// # Errors
    /// [`ConfigError::Unknown`].
    pub fn check(&self) -> Result<(), ConfigError> {
        let shared = self.shared();
        let names: Vec<_> = shared.all().iter().map(|loaded| loaded.app.spec().name()).collect();
        let sources = shared.settings().sources.clone();
        sources.unknown(&names)
    }

    /// Starts an application that is loaded and whose dependencies run (`application:start/2`). Returns when its tree is up
    /// and its start phases are done.
    ///
    /// # Errors
    /// See [`StartError`]. When a permanent application was not started, or a transient one with another reason than
    /// `normal`, the node stops.
    pub async fn start(&self, name: &str, kind: StartType) -> Result<(), StartError> {
        self.start_as(name, kind, Mode::Once).await
    }

    /// As [`start`](Self::start); one that runs is no error (`application:ensure_started/2`).
    ///
    /// # Errors
    /// As [`start`](Self::start).
    pub async fn ensure_started(&self, name: &str, kind: StartType) -> Result<(), StartError> {
        self.start_as(name, kind, Mode::Ensure).await
    }

    async fn start_as(&self, name: &str, kind: StartType, mode: Mode) -> Result<(), StartError> {
        let asked = self.ask(|to| Ask::Start(name.to_owned(), kind, mode, to)).await;
        asked.unwrap_or(Err(StartError::NodeStops))
    }

    /// Starts an application and all that it needs, what is needed first, and answers those that were not running
    /// (`application:ensure_all_started/2`).
    ///
    /// # Errors
    /// Which one was not started, and why: see [`StartError`]. Those that this request has started are stopped again, the
    /// youngest first; what ran before runs on.
    pub async fn ensure_all_started(
        &self,
        name: &str,
        kind: StartType,
    ) -> Result<Vec<&'static str>, StartError> {
        let asked = self.ask(|to| Ask::StartAll(name.to_owned(), kind, to)).await;
        asked.unwrap_or(Err(StartError::NodeStops))
    }

    /// Stops an application (`application:stop/1`): `prep_stop`, the shutdown of its tree without a time limit, `stop`,
    /// and then everything else that was spawned inside it is killed. Those that need it run on. Never takes the node
    /// down.
    ///
    /// # Errors
    /// See [`StopError`].
    pub async fn stop(&self, name: &str) -> Result<(), StopError> {
        let asked = self.ask(|to| Ask::Stop(name.to_owned(), to)).await;
        asked.unwrap_or_else(|| Err(StopError::NotStarted(name.to_owned())))
    }

    /// What runs, in the order of the starts (`application:which_applications/0`).
    pub async fn which_applications(&self) -> Vec<Spec> {
        // A node without a controller has no applications, and is not given one by a look.
        let Ok(controller) = CONTROLLER.on(&self.node) else { return Vec::new() };
        let names = controller.call_timeout(Ask::Which, Timeout::Infinity).await.unwrap_or_default();
        names.into_iter().filter_map(|name| self.get_key(name)).collect()
    }

    /// What is loaded, by name (`application:loaded_applications/0`).
    pub fn loaded_applications(&self) -> Vec<Spec> {
        self.shared().all().iter().map(|loaded| loaded.app.spec().clone()).collect()
    }

    /// What an application is (`application:get_all_key/1`); `None`: it is not loaded.
    pub fn get_key(&self, name: &str) -> Option<Spec> {
        self.shared().get(name).map(|loaded| loaded.app.spec().clone())
    }

    /// One value of an application's configuration, as its sources have it (`application:get_env/2`); `None`: no source
    /// has it, or the application is not loaded. `key.inner` is a key in a table.
    ///
    /// # Errors
    /// [`ConfigError::Wrong`]: it is of another type.
    pub fn get_env<T: DeserializeOwned>(&self, name: &str, key: &str) -> Result<Option<T>, ConfigError> {
        self.shared().get(name).map_or(Ok(None), |loaded| loaded.config.get(key))
    }

    /// The configuration of an application; `None`: it is not loaded, or its configuration is of another type.
    pub fn config<C: Any + Send + Sync>(&self, name: &str) -> Option<Arc<C>> {
        self.shared().get(name)?.config.typed.clone().downcast().ok()
    }

    /// The application that a process belongs to (`application:get_application/1`).
    pub fn get_application(&self, pid: Pid) -> Option<&'static str> {
        self.shared().named(self.node.find(pid)?.core().group())
    }

    /// Waits until the node stops.
    pub(super) async fn until_stopping(&self) {
        self.until(|phase| phase != Phase::Up).await;
    }

    /// Waits until the node has stopped, and answers that; or how far it was when its controller was killed.
    pub(super) async fn until_ended(&self) -> Phase {
        self.until(|phase| matches!(phase, Phase::Stopped(_))).await
    }

    async fn until(&self, wanted: impl FnMut(Phase) -> bool) -> Phase {
        let shared = self.shared();
        let gone = async {
            if let Ok(controller) = CONTROLLER.on(&self.node) {
                controller.ended().await;
            }
            shared.phase()
        };
        tokio::select! {
            biased;
            phase = shared.until(wanted) => phase,
            phase = gone => phase,
        }
    }

    /// Why the node stops, if an application is the cause.
    pub(super) fn cause(&self) -> Option<String> {
        self.shared().settings().cause.clone()
    }

    /// Whether the controller answers in time.
    pub(super) async fn answers_within(&self, limit: Duration) -> bool {
        match CONTROLLER.on(&self.node) {
            Ok(controller) => controller.call_timeout(Ask::Which, limit).await.is_ok(),
            Err(_) => false,
        }
    }

    pub(super) fn shared(&self) -> Arc<Shared> {
        Shared::of(&self.node)
    }

    /// Asks the controller; `None`: the node stops.
    async fn ask<R: Send + 'static>(&self, ask: impl FnOnce(ReplyTo<R>) -> Ask) -> Option<R> {
        let controller = self.controller().await?;
        controller.call_timeout(ask, Timeout::Infinity).await.ok()
    }

    async fn controller(&self) -> Option<ControllerRef> {
        loop {
            match CONTROLLER.on(&self.node) {
                Ok(controller) => return Some(controller),
                // Something else has taken the name: there is nobody to ask.
                Err(CallError::WrongProtocol) => return None,
                Err(_) => {}
            }
            if self.shared().phase() != Phase::Up {
                return None;
            }
            match Controller::server(()).name(CONTROLLER).on(&self.node).start().await {
                Ok(controller) => return Some(controller),
                // Somebody else was the first.
                Err(ServerError::AlreadyStarted(_)) => {}
                Err(_) => return None,
            }
        }
    }
}
