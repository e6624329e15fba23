//! Who is tied to a process: its links, monitors, names and aliases. Data and decisions, no locks.

use std::sync::Arc;

use rustc_hash::FxHashMap;

use super::cell::Process;
use super::debug::Debug;
use super::elsewhere::{Intake, Room};
use super::ordered::Ordered;
use super::signal::Object;
use super::slots::Waiters;
use crate::term::{AliasRef, MonitorRef, Pid, Term};

/// Up to this many links are searched in line; more are hashed.
const FEW: usize = 8;

/// The other ends of a process's links, at most one per pair.
#[derive(Default)]
pub(crate) enum Links {
    #[default]
    None,
    One(Arc<dyn Process>),
    Few(Vec<Arc<dyn Process>>),
    // Boxed, as it is far larger than the others.
    Many(Box<FxHashMap<Pid, Arc<dyn Process>>>),
}

impl Links {
    pub(crate) fn contains(&self, pid: Pid) -> bool {
        match self {
            Links::None => false,
            Links::One(peer) => peer.core().pid() == pid,
            Links::Few(peers) => peers.iter().any(|peer| peer.core().pid() == pid),
            Links::Many(peers) => peers.contains_key(&pid),
        }
    }

    /// Adds a link; a second one to the same process is the same link, and answers false.
    pub(crate) fn insert(&mut self, peer: Arc<dyn Process>) -> bool {
        let pid = peer.core().pid();
        if self.contains(pid) {
            return false;
        }
        *self = match std::mem::take(self) {
            Links::None => Links::One(peer),
            Links::One(first) => Links::Few(vec![first, peer]),
            Links::Few(mut peers) if peers.len() < FEW => {
                peers.push(peer);
                Links::Few(peers)
            }
            Links::Few(peers) => {
                let all = peers.into_iter().chain([peer]);
                Links::Many(Box::new(all.map(|peer| (peer.core().pid(), peer)).collect()))
            }
            Links::Many(mut peers) => {
                peers.insert(pid, peer);
                Links::Many(peers)
            }
        };
        true
    }

    /// Takes a link away; false if there was none.
    pub(crate) fn remove(&mut self, pid: Pid) -> bool {
        match self {
            Links::None => false,
            Links::One(peer) if peer.core().pid() == pid => {
                *self = Links::None;
                true
            }
            Links::One(_) => false,
            Links::Few(peers) => match peers.iter().position(|peer| peer.core().pid() == pid) {
                Some(at) => {
                    peers.swap_remove(at);
                    true
                }
                None => false,
            },
            Links::Many(peers) => peers.remove(&pid).is_some(),
        }
    }

    pub(crate) fn pids(&self) -> Vec<Pid> {
        match self {
            Links::None => Vec::new(),
            Links::One(peer) => vec![peer.core().pid()],
            Links::Few(peers) => peers.iter().map(|peer| peer.core().pid()).collect(),
            Links::Many(peers) => peers.keys().copied().collect(),
        }
    }

    pub(crate) fn into_peers(self) -> Vec<Arc<dyn Process>> {
        match self {
            Links::None => Vec::new(),
            Links::One(peer) => vec![peer],
            Links::Few(peers) => peers,
            Links::Many(peers) => peers.into_values().collect(),
        }
    }
}

/// How long an alias lives (`erlang:alias/1`, `{alias, Mode}` of `erlang:monitor/3`). `unalias` ends any of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AliasMode {
    /// Until `unalias`.
    ExplicitUnalias,
    /// Until the first message through it. A monitor that it came with goes on.
    Reply,
    /// Until the monitor that it came with goes: by demonitor or by its DOWN.
    Demonitor,
    /// As [`Demonitor`](Self::Demonitor), or until the first message through it, which also removes the monitor.
    ReplyDemonitor,
}

impl AliasMode {
    fn ends_with_monitor(self) -> bool {
        matches!(self, AliasMode::Demonitor | AliasMode::ReplyDemonitor)
    }

    pub(crate) fn ends_with_reply(self) -> bool {
        matches!(self, AliasMode::Reply | AliasMode::ReplyDemonitor)
    }
}

/// A live alias.
#[derive(Clone, Copy)]
pub(crate) struct AliasEntry {
    pub(crate) mode: AliasMode,
    pub(crate) monitor: Option<MonitorRef>,
}

/// A monitor, as the watching process keeps it.
pub(crate) struct Monitor {
    /// `None`: the target was gone when the monitor was set.
    pub(crate) target: Option<Arc<dyn Process>>,
    pub(crate) object: Object,
    pub(crate) alias: Option<AliasRef>,
    pub(crate) tag: Option<Term>,
}

/// What few processes have, allocated when the first of it comes.
#[derive(Default)]
pub(crate) struct Rare {
    pub(crate) monitors: Ordered<MonitorRef, Monitor>,
    /// Processes that hear of the end of this one.
    pub(crate) watchers: Ordered<MonitorRef, Arc<dyn Process>>,
    /// Tasks that wait for the end and its reason.
    pub(crate) waiting: Waiters,
    pub(crate) aliases: FxHashMap<AliasRef, AliasEntry>,
    pub(crate) names: Vec<&'static str>,
    pub(crate) label: Option<Term>,
    /// What reads its messages from other nodes; without it there are none.
    pub(crate) intake: Option<&'static dyn Intake>,
    /// What watches it; out of its place while it is used.
    pub(crate) debug: Option<Box<Debug>>,
    /// What it waits for before it takes another message; out of its place while it is used.
    pub(crate) room: Option<Box<dyn Room>>,
}

/// The number of an application on its node; 0 is none.
pub(crate) type Group = u16;

/// Everything that ties a process to others.
#[derive(Default)]
pub(crate) struct Relations {
    /// It has ended: nothing may be added.
    pub(crate) gone: bool,
    /// The application that it belongs to, by its number on the node; inherited from who spawned it (OTP's group leader).
    /// Here, since it fits into a gap: it is read at spawns and at the end of an application.
    pub(crate) group: Group,
    pub(crate) links: Links,
    rare: Option<Box<Rare>>,
}

impl Relations {
    /// Of a new process that belongs to this application.
    pub(crate) fn within(group: Group) -> Self {
        Relations { group, ..Relations::default() }
    }

    pub(crate) fn rare(&self) -> Option<&Rare> {
        self.rare.as_deref()
    }

    pub(crate) fn rare_mut(&mut self) -> &mut Rare {
        self.rare.get_or_insert_default()
    }

    pub(crate) fn existing_rare(&mut self) -> Option<&mut Rare> {
        self.rare.as_deref_mut()
    }

    /// The process ends: all that it had, once.
    pub(crate) fn end(&mut self) -> (Links, Option<Box<Rare>>) {
        self.gone = true;
        (std::mem::take(&mut self.links), self.rare.take())
    }

    /// Removes a monitor and, as its mode says, its alias. `None`: it is not there (any more).
    pub(crate) fn remove_monitor(&mut self, reference: MonitorRef) -> Option<Monitor> {
        let rare = self.rare.as_deref_mut()?;
        let monitor = rare.monitors.remove(reference)?;
        if let Some(alias) = monitor.alias
            && rare.aliases.get(&alias).is_some_and(|entry| entry.mode.ends_with_monitor())
        {
            rare.aliases.remove(&alias);
        }
        Some(monitor)
    }
}
