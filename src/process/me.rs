//! What a process does as itself: links, monitors, exit signals, names, aliases.

use std::cmp::Ordering;
use std::fmt;
use std::sync::{Arc, MutexGuard};
use std::time::Duration;

use super::address::ServerRef;
use super::cell::{By, Core, Process};
use super::current;
use super::death;
use super::elsewhere::Tie;
use super::error::NoProc;
use super::node::Node;
use super::relations::{AliasEntry, AliasMode, Monitor, Relations};
use super::signal::{Exit, Object, Signal};
use crate::term::{AliasRef, ExitReason, MonitorRef, Name, Pid, Term, TimerRef};

/// A process, seen from inside: `self()` and everything that only a process can do as itself.
///
/// A server's [`Context`](crate::Context) and a plain [`Process`](super::Process) are one by `Deref`.
pub struct Me {
    process: Arc<dyn Process>,
}

/// What can be linked to, monitored or sent a signal: a pid, a reference, or a name.
pub trait Target: sealed::Target {}

impl<T: sealed::Target> Target for T {}

pub(crate) mod sealed {
    use super::{Arc, Node, Object, Process};

    pub trait Target {
        /// Who it is now, and how a DOWN names it.
        #[doc(hidden)]
        #[allow(private_interfaces, reason = "sealed: nobody outside can name or call it")]
        fn locate(&self, node: &Node) -> (Option<Arc<dyn Process>>, Object);
    }
}

#[allow(private_interfaces, reason = "sealed: nobody outside can name or call it")]
impl sealed::Target for Pid {
    fn locate(&self, node: &Node) -> (Option<Arc<dyn Process>>, Object) {
        (node.reach(*self), Object::Pid(*self))
    }
}

#[allow(private_interfaces, reason = "sealed: nobody outside can name or call it")]
impl<C: Send + 'static, K: Send + 'static, I: Send + 'static> sealed::Target for ServerRef<C, K, I> {
    fn locate(&self, _: &Node) -> (Option<Arc<dyn Process>>, Object) {
        (Some(self.process()), Object::Pid(self.pid()))
    }
}

#[allow(private_interfaces, reason = "sealed: nobody outside can name or call it")]
impl<C, K, I> sealed::Target for Name<C, K, I> {
    fn locate(&self, node: &Node) -> (Option<Arc<dyn Process>>, Object) {
        (node.registry().whereis(self.as_str()), Object::Name(self.as_str(), node.id()))
    }
}

#[allow(private_interfaces, reason = "sealed: nobody outside can name or call it")]
impl<T: sealed::Target> sealed::Target for &T {
    fn locate(&self, node: &Node) -> (Option<Arc<dyn Process>>, Object) {
        (*self).locate(node)
    }
}

/// What a monitor may ask for besides the DOWN (`erlang:monitor/3`).
#[derive(Clone, Debug, Default)]
pub struct MonitorOptions {
    alias: Option<AliasMode>,
    tag: Option<Term>,
}

impl MonitorOptions {
    /// The alias that comes with the monitor.
    pub fn alias(mut self, mode: AliasMode) -> Self {
        self.alias = Some(mode);
        self
    }

    /// A tag that the DOWN carries.
    pub fn tag(mut self, tag: Term) -> Self {
        self.tag = Some(tag);
        self
    }
}

/// Why a name could not be registered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum RegisterError {
    /// Another process has the name.
    Taken(Pid),
    /// The process has ended, or lives on another node.
    NoProc,
    /// The process has a name already (as in Erlang, one each).
    HasName(&'static str),
}

impl fmt::Display for RegisterError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            RegisterError::Taken(pid) => write!(f, "the name is taken by {pid}"),
            RegisterError::NoProc => f.write_str("noproc: no such process"),
            RegisterError::HasName(name) => write!(f, "the process is already registered as {name}"),
        }
    }
}

impl std::error::Error for RegisterError {}

impl Me {
    pub(crate) fn of(process: Arc<dyn Process>) -> Self {
        Me { process }
    }

    /// The process whose code asks; `None` outside a process.
    pub fn current() -> Option<Me> {
        current::get().map(Me::of)
    }

    pub(crate) fn process(&self) -> &Arc<dyn Process> {
        &self.process
    }

    /// The process's own pid (`erlang:self/0`).
    pub fn pid(&self) -> Pid {
        self.process.core().pid()
    }

    /// The node that it lives on.
    pub fn node(&self) -> &Node {
        self.process.core().node()
    }

    /// The process that spawned it, if one did (`parent` of `erlang:process_info/2`).
    pub fn parent(&self) -> Option<Pid> {
        self.process.core().parent()
    }

    /// Turns exit signals into messages, or no longer; answers what it was (`process_flag(trap_exit, _)`).
    pub fn trap_exit(&self, on: bool) -> bool {
        self.process.trap_exit(on)
    }

    /// Sets the label that others see and reports carry (`proc_lib:set_label/1`).
    pub fn set_label(&self, label: impl Into<Term>) {
        self.process.core().relations().rare_mut().label = Some(label.into());
    }

    /// Links this process and another: when one ends, the other gets its exit signal (`erlang:link/1`).
    ///
    /// A link to oneself is nothing, a second one to the same process is the same link.
    ///
    /// # Errors
    /// [`NoProc`], when there is no such process and this one does not trap exits. One that does gets the exit message
    /// with reason noproc instead. Always [`NoProc`] for a name on another node, which is no pid: ask for that, and
    /// link to it (`badarg` in Erlang).
    pub fn link(&self, to: impl Target) -> Result<(), NoProc> {
        let (peer, object) = to.locate(self.node());
        if matches!(object, Object::Name(_, there) if there != self.node().id()) {
            return Err(NoProc);
        }
        if let Some(peer) = peer
            && link(&self.process, &peer) != Linked::PeerGone
        {
            return Ok(());
        }
        let from = match object {
            Object::Pid(pid) => pid,
            // A name that nobody has: there is no pid to link to.
            Object::Name(..) => return Err(NoProc),
        };
        if from.node() != self.node().id() {
            // A node that is not connected, or was started anew: the signal comes later, as from there.
            self.process.exit(from, self.node().absence(object), By::Link);
            return Ok(());
        }
        if !self.process.traps_exit() {
            return Err(NoProc);
        }
        self.process.signal(Signal::Exit(Exit { from, reason: ExitReason::NoProc }));
        Ok(())
    }

    pub(crate) fn is_linked(&self, pid: Pid) -> bool {
        self.process.core().relations().links.contains(pid)
    }

    /// Removes a link (`erlang:unlink/1`). Once it has returned, no exit signal of that link comes; one that is already
    /// in the mailbox of a process that traps exits stays there.
    pub fn unlink(&self, from: impl Target) {
        let (peer, object) = from.locate(self.node());
        match (peer, object) {
            (Some(peer), _) => unlink(&self.process, &peer),
            (None, Object::Pid(pid)) => {
                self.process.core().relations().links.remove(pid);
            }
            (None, Object::Name(..)) => {}
        }
    }

    /// Has this process hear of the end of another, once (`erlang:monitor/2`): a [`Down`](super::Down) comes with the
    /// returned reference. For a process that is gone it comes at once with reason noproc.
    ///
    /// A name is looked up now; later registrations change nothing. Monitoring oneself never fires.
    pub fn monitor(&self, target: impl Target) -> MonitorRef {
        self.monitor_with(target, MonitorOptions::default()).0
    }

    pub(crate) fn monitor_with(
        &self,
        target: impl Target,
        options: MonitorOptions,
    ) -> (MonitorRef, Option<AliasRef>) {
        let (peer, object) = target.locate(self.node());
        monitor(&self.process, peer, object, options)
    }

    /// Removes a monitor (`erlang:demonitor/1`); answers whether it was there and nothing will come. A DOWN that is
    /// already in the mailbox stays there. Only the owner's own monitors are touched.
    pub fn demonitor(&self, reference: MonitorRef) -> bool {
        demonitor(&self.process, reference)
    }

    /// Sends an exit signal to a process, possibly this one (`erlang:exit/2`).
    ///
    /// [`ExitReason::Kill`] cannot be trapped and ends the target with [`ExitReason::Killed`]. Normal ends nobody but
    /// the caller itself. A process that ends itself so goes on until its next await.
    pub fn exit(&self, target: impl Target, reason: ExitReason) {
        if let (Some(process), _) = target.locate(self.node()) {
            process.exit(self.pid(), reason, By::Call);
        }
    }

    /// Cancels a timer of this node; answers how long it still had, `None` when it has fired or was cancelled before
    /// (`erlang:cancel_timer/1`). What has fired is not unsent.
    pub fn cancel_timer(&self, timer: TimerRef) -> Option<Duration> {
        self.node().timers().cancel(timer)
    }

    /// How long a timer of this node still has, `None` when it has fired or was cancelled (`erlang:read_timer/1`).
    pub fn read_timer(&self, timer: TimerRef) -> Option<Duration> {
        self.node().timers().read(timer)
    }

    /// Registers a name for a process on this node (`erlang:register/2`).
    ///
    /// # Errors
    /// See [`RegisterError`]; nothing is changed then.
    pub fn register<C, K, I>(
        &self,
        name: Name<C, K, I>,
        process: &ServerRef<C, K, I>,
    ) -> Result<(), RegisterError>
    where
        C: Send + 'static,
        K: Send + 'static,
        I: Send + 'static,
    {
        if process.node() != self.node() || process.pid().node() != self.node().id() {
            return Err(RegisterError::NoProc);
        }
        register(name.as_str(), &process.process())
    }

    /// Frees a name on this node (`erlang:unregister/1`); answers whether somebody had it.
    pub fn unregister<C, K, I>(&self, name: Name<C, K, I>) -> bool {
        let Some(holder) = self.node().registry().whereis(name.as_str()) else { return false };
        let mut relations = holder.core().relations();
        if let Some(rare) = relations.existing_rare() {
            rare.names.retain(|mine| *mine != name.as_str());
        }
        self.node().registry().unregister(name.as_str(), holder.core().pid())
    }
}

impl fmt::Debug for Me {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Me({})", self.pid())
    }
}

/// Who a target is now.
pub(crate) fn locate(node: &Node, target: &impl Target) -> Option<Arc<dyn Process>> {
    target.locate(node).0
}

/// What came of a link.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Linked {
    /// The link stands, or it is one to oneself.
    Done,
    /// The other one has ended.
    PeerGone,
    /// This one has ended: somebody else acts in its name.
    MeGone,
}

/// Links two processes.
pub(crate) fn link(me: &Arc<dyn Process>, peer: &Arc<dyn Process>) -> Linked {
    let Some((mut a, mut b)) = lock_both(me.core(), peer.core()) else { return Linked::Done };
    if a.gone {
        return Linked::MeGone;
    }
    if b.gone {
        return Linked::PeerGone;
    }
    if a.links.insert(peer.clone()) {
        b.links.insert(me.clone());
        peer.tied(me.core().pid(), Tie::Link);
    }
    Linked::Done
}

/// Links a new process to the one that starts it. A parent that has ended meanwhile leaves no child behind; one of another
/// node hears of the link as of any.
pub(crate) fn link_child(parent: &Arc<dyn Process>, child: &Arc<dyn Process>) {
    let (gone, reason) = match parent.core().is_elsewhere() {
        true => (link(child, parent) == Linked::PeerGone, ExitReason::NoConnection),
        false => (link(parent, child) == Linked::MeGone, ExitReason::NoProc),
    };
    if gone {
        child.exit(parent.core().pid(), reason, By::Link);
    }
}

/// Removes the link between two processes, if there is one.
pub(crate) fn unlink(me: &Arc<dyn Process>, peer: &Arc<dyn Process>) {
    let Some((mut a, mut b)) = lock_both(me.core(), peer.core()) else { return };
    if a.links.remove(peer.core().pid()) {
        b.links.remove(me.core().pid());
        peer.tied(me.core().pid(), Tie::Unlink);
    }
}

/// Locks what ties two processes, in the order of their pids, so that both sides of a link change at once and two who
/// lock each other never wait for each other. `None`: they are one.
fn lock_both<'a>(
    mine: &'a Core,
    theirs: &'a Core,
) -> Option<(MutexGuard<'a, Relations>, MutexGuard<'a, Relations>)> {
    match mine.pid().cmp(&theirs.pid()) {
        Ordering::Equal => None,
        Ordering::Less => {
            let a = mine.relations();
            Some((a, theirs.relations()))
        }
        Ordering::Greater => {
            let b = theirs.relations();
            Some((mine.relations(), b))
        }
    }
}

/// Removes a monitor; answers whether it was there.
pub(crate) fn demonitor(me: &Arc<dyn Process>, reference: MonitorRef) -> bool {
    let removed = me.core().relations().remove_monitor(reference);
    removed.inspect(|monitor| death::forget(reference, monitor)).is_some()
}

/// Sets a monitor.
pub(crate) fn monitor(
    me: &Arc<dyn Process>,
    target: Option<Arc<dyn Process>>,
    object: Object,
    options: MonitorOptions,
) -> (MonitorRef, Option<AliasRef>) {
    let reference = MonitorRef(me.core().node().next_reference());
    monitor_by(me, reference, target, object, options)
}

/// As [`monitor`], by a reference that is known elsewhere.
pub(crate) fn monitor_by(
    me: &Arc<dyn Process>,
    reference: MonitorRef,
    target: Option<Arc<dyn Process>>,
    object: Object,
    options: MonitorOptions,
) -> (MonitorRef, Option<AliasRef>) {
    let node = me.core().node();
    let alias = options.alias.map(|mode| (AliasRef(node.next_reference()), mode));
    {
        let mut relations = me.core().relations();
        let rare = relations.rare_mut();
        if let Some((alias, mode)) = alias {
            rare.aliases.insert(alias, AliasEntry { mode, monitor: Some(reference) });
        }
        let alias = alias.map(|(alias, _)| alias);
        rare.monitors.insert(reference, Monitor { target: target.clone(), object, alias, tag: options.tag });
    }
    let watched = target.is_some_and(|target| {
        // Monitoring oneself gives a reference and never a DOWN.
        if target.core().pid() == me.core().pid() {
            return true;
        }
        let mut relations = target.core().relations();
        let alive = !relations.gone;
        if alive {
            relations.rare_mut().watchers.insert(reference, me.clone());
            target.tied(me.core().pid(), Tie::Monitor(reference));
        }
        alive
    });
    if !watched {
        death::tell(me, reference, node.absence(object));
    }
    (reference, alias.map(|(alias, _)| alias))
}

/// Notes a monitor whose other half is set on the node of its target already. False: who was to watch has ended, or the
/// target's node is lost.
pub(crate) fn adopt_monitor(me: &Arc<dyn Process>, reference: MonitorRef, target: &Arc<dyn Process>) -> bool {
    let object = Object::Pid(target.core().pid());
    let Some((mut mine, mut theirs)) = lock_both(me.core(), target.core()) else { return false };
    if mine.gone || theirs.gone {
        return false;
    }
    let monitor = Monitor { target: Some(target.clone()), object, alias: None, tag: None };
    mine.rare_mut().monitors.insert(reference, monitor);
    theirs.rare_mut().watchers.insert(reference, me.clone());
    true
}

/// Registers a name.
pub(crate) fn register(name: &'static str, process: &Arc<dyn Process>) -> Result<(), RegisterError> {
    let core = process.core();
    let mut relations = core.relations();
    if relations.gone {
        return Err(RegisterError::NoProc);
    }
    if let Some(had) = relations.rare().and_then(|rare| rare.names.first()) {
        return Err(RegisterError::HasName(had));
    }
    core.node().registry().register(name, process).map_err(RegisterError::Taken)?;
    relations.rare_mut().names.push(name);
    Ok(())
}
