//! What can be seen of a process from outside.

use super::callback::Callback;
use super::cell::Process;
use super::node::Node;
use crate::handoff::ModuleVsn;
use crate::term::{Pid, Term};

/// A look at a process (`erlang:process_info/1`). Taken without disturbing it, and at once old.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct ProcessInfo {
    /// Its pid.
    pub pid: Pid,
    /// Its registered name.
    pub name: Option<&'static str>,
    /// Its label, if it has set one.
    pub label: Option<Term>,
    /// The type that runs in it (`initial_call`).
    pub kind: &'static str,
    /// The module and version that runs, if it can be changed while it does.
    pub code: Option<ModuleVsn>,
    /// The process that spawned it.
    pub parent: Option<Pid>,
    /// What it is doing now.
    pub callback: Callback,
    /// Whether it is suspended.
    pub suspended: bool,
    /// Messages that wait, those of the batch in work included.
    pub mailbox_len: u64,
    /// Messages that it has taken.
    pub messages_handled: u64,
    /// The other ends of its links.
    pub links: Vec<Pid>,
    /// What it monitors: processes, each as often as it is monitored.
    pub monitors: Vec<Pid>,
    /// Who monitors it.
    pub monitored_by: Vec<Pid>,
    /// Whether it traps exits.
    pub trap_exit: bool,
}

impl Node {
    /// Looks at a process; `None` if it has ended or is another node's (`erlang:process_info/1`).
    pub fn process_info(&self, pid: Pid) -> Option<ProcessInfo> {
        self.find(pid).map(|process| look(&*process))
    }

    /// How often a callback was found holding its thread for longer than a tenth of a second.
    pub fn stalled_callbacks(&self) -> u64 {
        self.watch().stalls()
    }
}

fn look(process: &dyn Process) -> ProcessInfo {
    let core = process.core();
    let (mailbox_len, trap_exit) = (process.mailbox_len(), process.traps_exit());
    let relations = core.relations();
    let rare = relations.rare();
    let monitors = rare.into_iter().flat_map(|rare| rare.monitors.values());
    let mut info = ProcessInfo {
        pid: core.pid(),
        name: rare.and_then(|rare| rare.names.first().copied()),
        label: rare.and_then(|rare| rare.label.clone()),
        kind: core.kind(),
        code: core.code(),
        parent: core.parent(),
        callback: core.callback(),
        suspended: core.is_suspended(),
        mailbox_len,
        messages_handled: core.handled(),
        links: relations.links.pids(),
        monitors: monitors.filter_map(|m| m.target.as_ref()).map(|target| target.core().pid()).collect(),
        monitored_by: rare
            .into_iter()
            .flat_map(|rare| rare.watchers.values())
            .map(|w| w.core().pid())
            .collect(),
        trap_exit,
    };
    info.links.sort_unstable();
    info.monitors.sort_unstable();
    info.monitored_by.sort_unstable();
    info
}
