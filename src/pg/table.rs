//! What a node keeps of each scope: who is in its groups, to be read without asking the scope.

use std::sync::{Arc, Mutex, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use rustc_hash::FxHashMap;

use super::groups::Groups;
use super::server::{ScopeName, distributed};
use crate::node::Shared;
use crate::process::Node;

/// The members of the groups of one scope. Empty while the scope does not run.
#[derive(Default)]
pub(super) struct Table(RwLock<Groups>);

/// The tables of a node.
#[derive(Default)]
struct Tables(Mutex<FxHashMap<&'static str, Arc<Table>>>);

impl Table {
    /// That of the scope of this name, made when it is first asked for.
    pub(super) fn of(node: &Node, name: ScopeName) -> Arc<Table> {
        let tables = node.extension(Tables::default);
        let mut tables = tables.0.lock().unwrap_or_else(PoisonError::into_inner);
        let mut is_new = false;
        let made = || {
            is_new = true;
            Arc::default()
        };
        let table = tables.entry(name.as_str()).or_insert_with(made).clone();
        drop(tables);
        if is_new {
            node.when_distributed(move |node, network| {
                if let Some(nodes) = network.as_any().downcast_ref::<Shared>() {
                    distributed(node, name, nodes);
                }
            });
        }
        table
    }

    pub(super) fn read(&self) -> RwLockReadGuard<'_, Groups> {
        self.0.read().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn write(&self) -> RwLockWriteGuard<'_, Groups> {
        self.0.write().unwrap_or_else(PoisonError::into_inner)
    }
}
