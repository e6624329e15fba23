//! The end of a process: everything it had is given back, then everyone who asked is told.

use std::sync::Arc;

use super::cell::{By, Process};
use super::elsewhere::Tie;
use super::relations::{Links, Monitor, Rare};
use super::signal::{Down, Signal};
use super::slots;
use crate::term::{ExitReason, MonitorRef, NodeId};

/// Ends a process. The order is OTP's: its mailbox closes, its names are free, and only then do links, monitors
/// and callers hear of it, so that whoever hears can take the name at once (rule 2.2.15).
pub(crate) fn finish(process: &Arc<dyn Process>, reason: &ExitReason) {
    let core = process.core();
    let (links, mut rare) = {
        let mut relations = core.relations();
        if relations.gone {
            return;
        }
        let (links, rare) = relations.end();
        // Under the same lock: who finds the process gone finds its names free, too.
        let rare = rare.map(|rare| *rare).unwrap_or_default();
        for name in &rare.names {
            core.node().registry().unregister(name, core.pid());
        }
        core.node().table().remove(core.id());
        (links, rare)
    };
    core.node().totals().ended(core, reason);
    if let Some(debug) = rare.debug.take() {
        debug.drop_caught();
    }
    process.close(reason);
    tell_all(process, links, rare, reason);
}

/// What stands for a process of another node is no longer tied to it: the connection is lost.
pub(crate) fn lose(standin: &Arc<dyn Process>, reason: &ExitReason) {
    let (links, rare) = standin.core().relations().end();
    tell_all(standin, links, rare.map(|rare| *rare).unwrap_or_default(), reason);
}

fn tell_all(process: &Arc<dyn Process>, links: Links, rare: Rare, reason: &ExitReason) {
    for (reference, monitor) in rare.monitors {
        forget(reference, &monitor);
    }
    for peer in links.into_peers() {
        tell_link(&peer, process, reason);
    }
    tell_watchers(rare.watchers.into_iter(), reason);
    for waiter in rare.waiting {
        slots::fill(waiter, reason.clone());
    }
}

pub(crate) fn forget(reference: MonitorRef, monitor: &Monitor) {
    let Some(target) = &monitor.target else { return };
    let mut relations = target.core().relations();
    let watcher = relations.existing_rare().and_then(|rare| rare.watchers.remove(reference));
    if let Some(watcher) = watcher {
        target.tied(watcher.core().pid(), Tie::Demonitor(reference));
        drop(relations);
    }
}

/// The exit signal of a link. Looked at and delivered under one lock: after unlink has returned nothing comes
/// (rule 2.2.10).
pub(crate) fn tell_link(peer: &Arc<dyn Process>, from: &Arc<dyn Process>, reason: &ExitReason) {
    let mut relations = peer.core().relations();
    if !relations.links.remove(from.core().pid()) {
        return;
    }
    // Who traps exits and waits for the start hears of its failure once, by the answer (OTP 26).
    if from.core().starter() == Some(peer.core().pid()) && peer.traps_exit() {
        return;
    }
    let next = peer.exit_then(from.core().pid(), reason.clone(), By::Link);
    drop(relations);
    next.run();
}

fn tell_watchers(watchers: impl Iterator<Item = (MonitorRef, Arc<dyn Process>)>, reason: &ExitReason) {
    for (reference, watcher) in watchers {
        tell(&watcher, reference, reason.clone());
    }
}

/// Whether the process watches something on this node by the reference.
pub(crate) fn watches(watcher: &Arc<dyn Process>, reference: MonitorRef, there: NodeId) -> bool {
    let relations = watcher.core().relations();
    let monitor = relations.rare().and_then(|rare| rare.monitors.get(reference));
    monitor.is_some_and(|monitor| monitor.object.node() == there)
}

/// Delivers one DOWN, unless the monitor was removed meanwhile. Under one lock: after demonitor has returned nothing
/// comes (rule 2.3.6).
pub(crate) fn tell(watcher: &Arc<dyn Process>, reference: MonitorRef, reason: ExitReason) {
    let mut relations = watcher.core().relations();
    let Some(Monitor { object, tag, target, .. }) = relations.remove_monitor(reference) else { return };
    let next = watcher.signal_then(Signal::Down(Down { reference, object, reason, tag }));
    drop(relations);
    // What stands for a process of another node outlives the monitor, if others hold it.
    if let Some(target) = target.filter(|target| target.core().is_elsewhere()) {
        let mut relations = target.core().relations();
        let watcher = relations.existing_rare().and_then(|rare| rare.watchers.remove(reference));
        drop(relations);
        drop(watcher);
    }
    if let Some(next) = next {
        next.run();
    }
}
