//! The process of a scope: carries out what [`Groups`] decides.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::Duration;

use rustc_hash::{FxHashMap, FxHashSet};

use super::change::{Member, Tell};
use super::group::GroupName;
use super::groups::{Action, Changed, Groups};
use super::letter::{Here, Letter};
use super::outbox::{Outbox, Posted};
use super::table::Table;
use crate::gen_server::{CallReply, Context, GenServer, Init, Next, noreply};
use crate::node::Shared;
use crate::process::elsewhere::{intake, named, reference};
use crate::process::{
    AnyProcess, Down, Info, Node, ReplyTo, Result, SendError, ServerRef, locate, panic_reason,
};
use crate::term::{MonitorRef, Name, Never, NodeId, Pid};

/// After so long it is tried again to tell a node what did not get through to it.
const RETRY: Duration = Duration::from_millis(100);

/// What is asked on the scope's own node.
pub(super) enum Request {
    Join(GroupName, Vec<Arc<dyn AnyProcess>>, ReplyTo<()>),
    Leave(GroupName, Vec<Pid>, ReplyTo<bool>),
    /// Of one group.
    Monitor(Pid, GroupName, Tell, ReplyTo<(MonitorRef, Vec<Member>)>),
    MonitorScope(Pid, Tell, ReplyTo<(MonitorRef, All)>),
    Demonitor(MonitorRef, ReplyTo<bool>),
}

/// All groups with their members.
pub(super) type All = Vec<(GroupName, Vec<Pid>)>;

pub(super) struct Retry;

pub(super) type ScopeRef = ServerRef<Here<Request>, Arc<Letter>, Here<Retry>>;
pub(super) type ScopeName = Name<Here<Request>, Arc<Letter>, Here<Retry>>;

pub(super) struct Server {
    table: Held,
    name: ScopeName,
    /// Processes of this node that are in groups.
    local: FxHashMap<Pid, (Arc<dyn AnyProcess>, MonitorRef)>,
    peers: FxHashMap<Pid, Peer>,
    /// What each monitor of this process is for.
    watched: FxHashMap<MonitorRef, Watched>,
    subscribers: FxHashMap<MonitorRef, Subscriber>,
    /// Those that hear of all groups.
    of_scope: FxHashSet<MonitorRef>,
    of_group: FxHashMap<GroupName, FxHashSet<MonitorRef>>,
    /// Nodes that this one's discover did not get through to.
    undiscovered: FxHashSet<NodeId>,
    retries: bool,
}

struct Peer {
    reference: ScopeRef,
    outbox: Outbox,
}

struct Subscriber {
    /// `None`: all.
    group: Option<GroupName>,
    tell: Tell,
}

enum Watched {
    Local(Pid),
    Peer(Pid),
    Subscriber,
}

/// The table, as long as the scope runs: however it ends, nobody is in its groups then.
struct Held(Arc<Table>);

impl Drop for Held {
    fn drop(&mut self) {
        let groups = std::mem::take(&mut *self.0.write());
        drop(groups);
    }
}

impl GenServer for Server {
    type Args = (ScopeName, Arc<Table>);
    type Call = Here<Request>;
    type Cast = Arc<Letter>;
    type Info = Here<Retry>;
    type Continue = Never;

    async fn init((name, table): Self::Args, cx: &mut Context<Self>) -> Result<Init<Self>> {
        *table.write() = Groups::new(cx.pid());
        cx.server().cell().expose(intake::<Self::Call, Self::Cast, Self::Info>());
        let mut server = Server {
            table: Held(table),
            name,
            local: FxHashMap::default(),
            peers: FxHashMap::default(),
            watched: FxHashMap::default(),
            subscribers: FxHashMap::default(),
            of_scope: FxHashSet::default(),
            of_group: FxHashMap::default(),
            undiscovered: FxHashSet::default(),
            retries: false,
        };
        if let Some(network) = cx.node().network()
            && let Some(nodes) = network.as_any().downcast_ref::<Shared>()
        {
            // In this order: who comes between is heard of twice, and not missed.
            nodes.watch(cx.process(), true);
            network.peers().iter().for_each(|peer| server.discover(peer.node, cx));
        }
        Ok(Init::Ready(server))
    }

    async fn handle_call(&mut self, Here(request): Self::Call, cx: &mut Context<Self>) -> Result<CallReply> {
        match request {
            Request::Join(group, processes, to) => {
                let members: Vec<Pid> = processes.iter().map(|process| process.core().pid()).collect();
                processes.into_iter().for_each(|process| self.hold(process, cx));
                self.decide(cx, |groups| groups.handle_join(&group, &members));
                to.reply(())
            }
            Request::Leave(group, members, to) => {
                let left = self.decide(cx, |groups| groups.handle_leave(&group, &members));
                members.into_iter().for_each(|member| self.release(member, cx));
                to.reply(left)
            }
            Request::Monitor(pid, group, tell, to) => {
                let reference = self.subscribe(pid, Some(group.clone()), tell, cx);
                self.of_group.entry(group.clone()).or_default().insert(reference);
                let members = self.table.0.read().members(&group);
                to.reply((reference, self.members(&members)))
            }
            Request::MonitorScope(pid, tell, to) => {
                let reference = self.subscribe(pid, None, tell, cx);
                self.of_scope.insert(reference);
                let groups =
                    self.table.0.read().all().map(|(name, members)| (name.clone(), members)).collect();
                to.reply((reference, groups))
            }
            Request::Demonitor(reference, to) => {
                let was_there = self.unsubscribe(reference);
                if was_there {
                    cx.demonitor_flush(reference);
                }
                to.reply(was_there)
            }
        }
    }

    async fn handle_cast(&mut self, letter: Arc<Letter>, cx: &mut Context<Self>) -> Result<Next> {
        self.decide(cx, |groups| groups.handle_letter(&letter));
        noreply()
    }

    async fn handle_info(&mut self, info: Info<Self::Info>, cx: &mut Context<Self>) -> Result<Next> {
        match info {
            Info::NodeUp(node) => self.discover(node, cx),
            // What was said there is void when the monitor of the scope there fires.
            Info::NodeDown(node) => _ = self.undiscovered.remove(&node),
            Info::Down(down) => self.handle_down(&down, cx),
            Info::User(Here(Retry)) => self.retry(cx),
            other => {
                tracing::debug!(target: "incarnate::pg", scope = %self.name, kind = other.kind(), "unexpected message")
            }
        }
        noreply()
    }
}

impl Server {
    /// Decides, then acts: nothing is done under the lock that readers wait for.
    fn decide<R>(&mut self, cx: &mut Context<Self>, what: impl FnOnce(&mut Groups) -> R) -> R {
        let mut groups = self.table.0.write();
        let decided = what(&mut groups);
        let actions = groups.actions();
        drop(groups);
        for action in actions {
            match action {
                Action::Watch(pid) => {
                    let reference: ScopeRef = reference(cx.node(), pid);
                    self.watched.insert(cx.monitor(pid), Watched::Peer(pid));
                    self.peers.insert(pid, Peer { reference, outbox: Outbox::default() });
                }
                Action::Send(peer, letter) => self.send(peer, letter, cx),
                Action::Broadcast(letter) => {
                    let peers: Vec<Pid> = self.peers.keys().copied().collect();
                    peers.into_iter().for_each(|peer| self.send(peer, letter.clone(), cx));
                }
                Action::Changed(changed) => self.tell(&changed, cx),
            }
        }
        decided
    }

    fn send(&mut self, to: Pid, letter: Arc<Letter>, cx: &Context<Self>) {
        let Some(peer) = self.peers.get_mut(&to) else { return };
        peer.outbox.send(letter, |letter| post(&peer.reference, letter));
        if peer.outbox.owes() {
            self.retry_later(cx);
        }
    }

    /// Looks for the scope of this name on another node.
    fn discover(&mut self, there: NodeId, cx: &Context<Self>) {
        if there == cx.node().id() {
            return;
        }
        let scope: ScopeRef = named(cx.node(), there, self.name.as_str());
        if post(&scope, &Letter::discover(cx.pid())) == Posted::NoRoom {
            self.undiscovered.insert(there);
            self.retry_later(cx);
        }
    }

    fn retry_later(&mut self, cx: &Context<Self>) {
        if !std::mem::replace(&mut self.retries, true) {
            cx.send_after(RETRY, Here(Retry));
        }
    }

    fn retry(&mut self, cx: &mut Context<Self>) {
        self.retries = false;
        for there in std::mem::take(&mut self.undiscovered) {
            self.discover(there, cx);
        }
        let mut stale = Vec::new();
        for (pid, peer) in &mut self.peers {
            if peer.outbox.retry(|letter| post(&peer.reference, letter)) {
                stale.push(*pid);
            }
        }
        stale.into_iter().for_each(|peer| self.decide(cx, |groups| groups.handle_stale(peer)));
        if self.peers.values().any(|peer| peer.outbox.owes()) {
            self.retry_later(cx);
        }
    }

    /// Hears of the end of a process that joins.
    fn hold(&mut self, process: Arc<dyn AnyProcess>, cx: &Context<Self>) {
        let pid = process.core().pid();
        if !self.local.contains_key(&pid) {
            let reference = cx.monitor(pid);
            self.watched.insert(reference, Watched::Local(pid));
            self.local.insert(pid, (process, reference));
        }
    }

    /// Hears no more of it, if it is in no group now.
    fn release(&mut self, member: Pid, cx: &mut Context<Self>) {
        if self.table.0.read().is_member(member) {
            return;
        }
        if let Some((_, reference)) = self.local.remove(&member) {
            self.watched.remove(&reference);
            cx.demonitor_flush(reference);
        }
    }

    fn handle_down(&mut self, down: &Down, cx: &mut Context<Self>) {
        match self.watched.remove(&down.reference) {
            Some(Watched::Local(pid)) => {
                self.decide(cx, |groups| groups.handle_end(pid));
                self.local.remove(&pid);
            }
            Some(Watched::Peer(pid)) => {
                self.peers.remove(&pid);
                self.decide(cx, |groups| groups.handle_peer_end(pid));
            }
            Some(Watched::Subscriber) => _ = self.unsubscribe(down.reference),
            None => {}
        }
    }

    fn subscribe(
        &mut self,
        subscriber: Pid,
        group: Option<GroupName>,
        tell: Tell,
        cx: &Context<Self>,
    ) -> MonitorRef {
        let reference = cx.monitor(subscriber);
        self.watched.insert(reference, Watched::Subscriber);
        self.subscribers.insert(reference, Subscriber { group, tell });
        reference
    }

    /// Answers whether it was there.
    fn unsubscribe(&mut self, reference: MonitorRef) -> bool {
        let Some(subscriber) = self.subscribers.remove(&reference) else { return false };
        self.watched.remove(&reference);
        self.of_scope.remove(&reference);
        if let Some(name) = subscriber.group
            && let Some(others) = self.of_group.get_mut(&name)
        {
            others.remove(&reference);
            if others.is_empty() {
                self.of_group.remove(&name);
            }
        }
        true
    }

    fn members(&self, pids: &[Pid]) -> Vec<Member> {
        let member = |pid: &Pid| match self.local.get(pid) {
            Some((process, _)) => Member::Here(process.clone()),
            None => Member::There(*pid),
        };
        pids.iter().map(member).collect()
    }

    fn tell(&mut self, changed: &Changed, cx: &mut Context<Self>) {
        let of_group = self.of_group.get(&changed.group);
        if self.of_scope.is_empty() && of_group.is_none() {
            return;
        }
        let members = self.members(&changed.members);
        let all: Vec<MonitorRef> =
            self.of_scope.iter().chain(of_group.into_iter().flatten()).copied().collect();
        for reference in all {
            let Some(subscriber) = self.subscribers.get(&reference) else { continue };
            let tell =
                AssertUnwindSafe(|| (subscriber.tell)(reference, &changed.group, changed.event, &members));
            let Err(panic) = catch_unwind(tell) else { continue };
            let reason = panic_reason(panic);
            tracing::error!(
                target: "incarnate::pg",
                scope = %self.name,
                group = %changed.group,
                %reason,
                "what makes a message of a change panicked, its monitor was removed"
            );
            self.unsubscribe(reference);
            cx.demonitor_flush(reference);
        }
    }
}

/// Hands a letter to the connection.
fn post(to: &ScopeRef, letter: &Arc<Letter>) -> Posted {
    match to.try_cast(letter.clone()) {
        Err(SendError::Overloaded) => Posted::NoRoom,
        Err(SendError::Unsendable) => Posted::TooLong,
        _ => Posted::Done,
    }
}

/// The node reaches others from now on: its scope of this name is reached by them, and hears of them.
pub(super) fn distributed(node: &Node, name: ScopeName, nodes: &Shared) {
    nodes.expose(name.as_str(), intake::<Here<Request>, Arc<Letter>, Here<Retry>>());
    if name.on(node).is_ok()
        && let Some(scope) = locate(node, &name)
    {
        nodes.watch(&scope, true);
    }
}
