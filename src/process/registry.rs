//! Registered names of one node.

use std::sync::{Arc, PoisonError, RwLock};

use rustc_hash::FxHashMap;

use super::cell::Process;
use crate::term::Pid;

/// Name to process. A name is taken by one process at a time, and free before anybody hears that its process ended.
#[derive(Default)]
pub(crate) struct Registry {
    names: RwLock<FxHashMap<&'static str, Arc<dyn Process>>>,
}

impl Registry {
    /// Takes a name, or answers who has it.
    pub(crate) fn register(&self, name: &'static str, process: &Arc<dyn Process>) -> Result<(), Pid> {
        let mut names = self.names.write().unwrap_or_else(PoisonError::into_inner);
        match names.get(name) {
            Some(holder) => Err(holder.core().pid()),
            None => {
                names.insert(name, process.clone());
                Ok(())
            }
        }
    }

    /// Frees a name, if `holder` has it.
    pub(crate) fn unregister(&self, name: &str, holder: Pid) -> bool {
        let mut names = self.names.write().unwrap_or_else(PoisonError::into_inner);
        let mine = names.get(name).is_some_and(|process| process.core().pid() == holder);
        let freed = if mine { names.remove(name) } else { None };
        drop(names);
        freed.is_some()
    }

    pub(crate) fn whereis(&self, name: &str) -> Option<Arc<dyn Process>> {
        self.names.read().unwrap_or_else(PoisonError::into_inner).get(name).cloned()
    }

    pub(crate) fn names(&self) -> Vec<&'static str> {
        let mut names: Vec<_> =
            self.names.read().unwrap_or_else(PoisonError::into_inner).keys().copied().collect();
        names.sort_unstable();
        names
    }
}
