//! An application whatever its type.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

use super::Application;
use super::config::{ConfigError, Configured, Sources};
use super::spec::Spec;
use crate::process::{Error, Result};
use crate::supervisor::Tree;

/// An application as a value, whatever its type: what is loaded.
#[derive(Clone)]
pub struct App {
    spec: Arc<Spec>,
    hosted: Arc<dyn Hosted>,
}

impl App {
    /// This application.
    pub fn new(application: impl Application) -> Self {
        App { spec: Arc::new(application.spec()), hosted: Arc::new(application) }
    }

    /// What it is.
    pub fn spec(&self) -> &Spec {
        &self.spec
    }

    pub(super) fn configure(&self, sources: &Sources) -> Result<Configured, ConfigError> {
        self.hosted.configure(&self.spec, sources)
    }

    pub(super) async fn start(&self, config: &Configured) -> Result<Tree> {
        self.hosted.start(config)?.await
    }

    pub(super) async fn start_phase(&self, phase: &'static str, config: &Configured) -> Result<()> {
        self.hosted.start_phase(phase, config)?.await
    }

    pub(super) async fn prep_stop(&self) {
        self.hosted.prep_stop().await;
    }

    pub(super) async fn stop(&self) {
        self.hosted.stop().await;
    }
}

impl fmt::Debug for App {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "App({})", self.spec)
    }
}

type Running<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

trait Hosted: Send + Sync {
    fn configure(&self, spec: &Spec, sources: &Sources) -> Result<Configured, ConfigError>;
    fn start(&self, config: &Configured) -> Result<Running<'_, Result<Tree>>>;
    fn start_phase(&self, phase: &'static str, config: &Configured) -> Result<Running<'_, Result<()>>>;
    fn prep_stop(&self) -> Running<'_, ()>;
    fn stop(&self) -> Running<'_, ()>;
}

impl<A: Application> Hosted for A {
    fn configure(&self, spec: &Spec, sources: &Sources) -> Result<Configured, ConfigError> {
        sources.of::<A::Config>(spec)
    }

    fn start(&self, config: &Configured) -> Result<Running<'_, Result<Tree>>> {
        Ok(Box::pin(Application::start(self, typed::<A>(config)?)))
    }

    fn start_phase(&self, phase: &'static str, config: &Configured) -> Result<Running<'_, Result<()>>> {
        Ok(Box::pin(Application::start_phase(self, phase, typed::<A>(config)?)))
    }

    fn prep_stop(&self) -> Running<'_, ()> {
        Box::pin(Application::prep_stop(self))
    }

    fn stop(&self) -> Running<'_, ()> {
        Box::pin(Application::stop(self))
    }
}

/// It was made by `configure` of the same application.
fn typed<A: Application>(config: &Configured) -> Result<Arc<A::Config>> {
    config.typed.clone().downcast().map_err(|_| Error::msg("the configuration is another application's"))
}
