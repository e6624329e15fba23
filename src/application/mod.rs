//! application: named, versioned units that are started and stopped as a whole, each with a tree of its own.
//!
//! An [`Application`] says what it is ([`Spec`]), what configuration it takes, and which tree it runs. On a node
//! [`Applications`] loads, starts and stops them, dependencies first; [`Run`] makes a program of one.
//!
//! ```no_run
//! use std::process::ExitCode;
//! use std::sync::Arc;
//!
//! use incarnate::application::{App, Application, Run, Spec};
//! use incarnate::{Result, Supervisor, Tree};
//! use serde::Deserialize;
//!
//! #[derive(Deserialize)]
//! struct Config {
//!     port: u16,
//! }
//!
//! struct Echo;
//!
//! impl Application for Echo {
//!     type Config = Config;
//!
//!     fn spec(&self) -> Spec {
//!         Spec::new("echo", env!("CARGO_PKG_VERSION")).env("port = 7")
//!     }
//!
//!     async fn start(&self, config: Arc<Config>) -> Result<Tree> {
//!         println!("port {}", config.port);
//!         Ok(Supervisor::tree("echo"))
//!     }
//! }
//!
//! fn main() -> ExitCode {
//!     Run::new(App::new(Echo)).config_file("echo.toml").environment().main()
//! }
//! ```
//!
//! # What is OTP's, and what is not
//!
//! The order of starts and ends, the types of start, phases, what the end of an application means for the node, and the
//! order in which sources of configuration count are OTP's. Two things are other:
//!
//! - An application is a value, not a file: what it needs is loaded by [`Applications::load`] or [`Run::with`], not
//!   found on a path.
//! - Configuration is a type: it is read and checked when the application is loaded, before anything is started.

mod applications;
mod config;
mod controller;
mod error;
mod group;
mod hosted;
mod inside;
mod machine;
mod master;
mod notify;
mod run;
mod shared;
mod spec;

use std::future::Future;
use std::sync::Arc;

use serde::de::DeserializeOwned;

pub use applications::Applications;
pub use config::{ConfigError, Configuration, NoConfig};
pub use error::{LoadError, StartError, StopError, UnloadError};
pub use hosted::App;
pub use inside::{config, get_application, get_env, get_key};
pub use run::Run;
pub use spec::{Spec, StartType};

use crate::process::Result;
use crate::supervisor::Tree;

/// The specific half of an application: OTP's behaviour `application`.
///
/// The callbacks run in the application's master, the process that is the parent of its top supervisor. What they spawn
/// belongs to the application, and ends with it at the latest.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not an application",
    note = "implement `Application` for it: the type Config and the functions spec and start"
)]
pub trait Application: Send + Sync + 'static {
    /// What it is configured with; [`NoConfig`] for nothing. A key that the type does not read is an error, so a key
    /// that may be missing has a `#[serde(default)]` or a value in [`Spec::env`].
    type Config: DeserializeOwned + Send + Sync + 'static;

    /// Name, version, dependencies: OTP's `.app` file. Asked for once, when the application is made an [`App`].
    fn spec(&self) -> Spec;

    /// The tree that it runs (`start/2`), which is then started. Everything it needs runs by now.
    ///
    /// # Errors
    /// The application is not started.
    fn start(&self, config: Arc<Self::Config>) -> impl Future<Output = Result<Tree>> + Send;

    /// One of its start phases (`start_phase/3`): the tree is up, and the start has not returned.
    ///
    /// # Errors
    /// The tree is shut down, and the application is not started.
    fn start_phase(
        &self,
        phase: &'static str,
        config: Arc<Self::Config>,
    ) -> impl Future<Output = Result<()>> + Send {
        let _ = (phase, config);
        async { Ok(()) }
    }

    /// It is about to be stopped, and its tree still runs (`prep_stop/1`), unless that has ended by itself. Not called when
    /// it was never up.
    fn prep_stop(&self) -> impl Future<Output = ()> + Send {
        async {}
    }

    /// Its tree has ended (`stop/1`), for whatever reason. Not called when its start has failed: what a failed
    /// `start` or start phase has begun, it undoes itself.
    fn stop(&self) -> impl Future<Output = ()> + Send {
        async {}
    }
}
