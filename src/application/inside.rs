//! What a process may ask about the application that it belongs to, without naming it.

use std::any::Any;
use std::sync::Arc;

use serde::de::DeserializeOwned;

use super::config::ConfigError;
use super::shared::{Loaded, Shared};
use super::spec::Spec;
use crate::process::Me;

/// The application that the process whose code asks belongs to (`application:get_application/0`). A process belongs to the
/// application that it was spawned in, from within one of its processes; code outside any process belongs to none.
pub fn get_application() -> Option<&'static str> {
    loaded().map(|loaded| loaded.app.spec().name())
}

/// What that application is (`application:get_key/1`).
pub fn get_key() -> Option<Spec> {
    loaded().map(|loaded| loaded.app.spec().clone())
}

/// The configuration of that application; `None` also when it is of another type.
pub fn config<C: Any + Send + Sync>() -> Option<Arc<C>> {
    loaded()?.config.typed.clone().downcast().ok()
}

/// One value of that application's configuration as its sources have it (`application:get_env/1`); `None`: no source has
/// it.
///
/// # Errors
/// [`ConfigError::Wrong`]: it is of another type.
pub fn get_env<T: DeserializeOwned>(key: &str) -> Result<Option<T>, ConfigError> {
    loaded().map_or(Ok(None), |loaded| loaded.config.get(key))
}

fn loaded() -> Option<Arc<Loaded>> {
    let me = Me::current()?;
    let shared = Shared::of(me.node());
    shared.get(shared.named(me.process().core().group())?)
}
