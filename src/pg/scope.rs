//! A scope, for everybody on its node: OTP's module `pg`.

use std::collections::BTreeMap;
use std::fmt;
use std::future::Future;
use std::sync::Arc;

use super::change::{Change, Member};
use super::error::{JoinError, LeaveError, MonitorError};
use super::group::Group;
use super::letter::Here;
use super::server::{Request, ScopeName, Server};
use super::table::Table;
use crate::gen_server::{GenServer, StartError};
use crate::process::elsewhere::intake;
use crate::process::{AnyProcess, CallError, Node, ReplyTo, ServerRef, StopError, Timeout, Wire};
use crate::term::{MonitorRef, Name, Pid};

/// The scope that OTP uses where none is named.
pub const DEFAULT_SCOPE: &str = "pg";

/// One scope of groups, as it is on one node. Cheap to clone, and good across restarts of the scope's process.
///
/// Scopes of the same name on nodes that are connected know the members of each other, and nothing of scopes of other names.
/// No request to a scope has a time limit, as in OTP.
///
/// # Cancel safety
/// Dropping the future of a request takes nothing back: it is carried out, or the scope has not run.
#[derive(Clone)]
pub struct Scope {
    node: Node,
    name: ScopeName,
    table: Arc<Table>,
}

impl Scope {
    /// The scope of this name on a node. Nothing is started by this.
    pub fn of(node: &Node, name: &'static str) -> Self {
        let name = Name::new(name);
        Scope { node: node.clone(), name, table: Table::of(node, name) }
    }

    /// The name.
    pub fn name(&self) -> &'static str {
        self.name.as_str()
    }

    /// Starts the scope's process on its node, linked to nobody and registered under its name (`pg:start/1`). It finds the
    /// scopes of the same name on other nodes by itself, also if the node reaches others only later.
    ///
    /// # Errors
    /// [`StartError::AlreadyStarted`]: somebody has the name.
    ///
    /// # Cancel safety
    /// Dropping the future leaves the scope to start on its own.
    pub fn start(&self) -> impl Future<Output = Result<Pid, StartError>> + Send + use<> {
        let start = Server::server((self.name, self.table.clone())).name(self.name).on(&self.node);
        async move { Ok(start.start().await?.pid()) }
    }

    /// As [`start`](Self::start), linked to the process whose code asks (`pg:start_link/1`), for a supervisor:
    /// `ChildSpec::worker("chat", move || chat.start_link())`.
    ///
    /// # Errors
    /// As [`start`](Self::start), and [`StartError::NoParent`] outside any process.
    ///
    /// # Cancel safety
    /// As [`start`](Self::start).
    pub fn start_link(&self) -> impl Future<Output = Result<Pid, StartError>> + Send + use<> {
        let start = Server::server((self.name, self.table.clone())).name(self.name).on(&self.node);
        async move { Ok(start.start_link().await?.pid()) }
    }

    /// Stops the scope's process: nobody of this node is in its groups any more, here and on other nodes.
    ///
    /// # Errors
    /// See [`StopError`].
    pub async fn stop(&self) -> Result<(), StopError> {
        self.name.on(&self.node).map_err(|_| StopError::NoProc)?.stop().await
    }

    /// A process of this node joins a group (`pg:join/3`), once more if it is in. When this returns it is a member here;
    /// other nodes hear of it. One that has ended joins, and leaves at once.
    ///
    /// # Errors
    /// See [`JoinError`].
    ///
    /// # Cancel safety
    /// See [`Scope`].
    pub async fn join<C: Wire, K: Wire, I: Wire>(
        &self,
        group: &Group<C, K, I>,
        process: &ServerRef<C, K, I>,
    ) -> Result<(), JoinError> {
        self.join_all(group, [process]).await
    }

    /// Several processes of this node join a group at once (`pg:join/3` with a list), each as often as it is named. Who
    /// monitors the group is told once.
    ///
    /// # Errors
    /// See [`JoinError`]; none of them has joined then.
    ///
    /// # Cancel safety
    /// See [`Scope`].
    pub async fn join_all<'a, C: Wire, K: Wire, I: Wire>(
        &self,
        group: &Group<C, K, I>,
        processes: impl IntoIterator<Item = &'a ServerRef<C, K, I>>,
    ) -> Result<(), JoinError> {
        let processes: Vec<_> = processes.into_iter().collect();
        let members: Result<Vec<_>, Pid> = processes.iter().map(|process| self.local(process)).collect();
        let members = members.map_err(JoinError::NotLocal)?;
        // Others get its pid from the scope, and reach it by that.
        processes.iter().for_each(|process| process.cell().expose(intake::<C, K, I>()));
        let group = group.as_str().into();
        self.ask(|to| Request::Join(group, members, to)).await.map_err(JoinError::Call)
    }

    /// A process of this node leaves a group, once (`pg:leave/3`).
    ///
    /// # Errors
    /// See [`LeaveError`].
    ///
    /// # Cancel safety
    /// See [`Scope`].
    pub async fn leave<C: Wire, K: Wire, I: Wire>(
        &self,
        group: &Group<C, K, I>,
        process: &ServerRef<C, K, I>,
    ) -> Result<(), LeaveError> {
        self.leave_all(group, [process]).await
    }

    /// Several processes of this node leave a group at once (`pg:leave/3` with a list), each as often as it is named and no
    /// more often than it is in.
    ///
    /// # Errors
    /// See [`LeaveError`].
    ///
    /// # Cancel safety
    /// See [`Scope`].
    pub async fn leave_all<'a, C: Wire, K: Wire, I: Wire>(
        &self,
        group: &Group<C, K, I>,
        processes: impl IntoIterator<Item = &'a ServerRef<C, K, I>>,
    ) -> Result<(), LeaveError> {
        let local = |process: &ServerRef<C, K, I>| Ok(self.local(process)?.core().pid());
        let members: Result<Vec<Pid>, Pid> = processes.into_iter().map(local).collect();
        let members = members.map_err(LeaveError::NotLocal)?;
        let group = group.as_str().into();
        match self.ask(|to| Request::Leave(group, members, to)).await {
            Ok(true) => Ok(()),
            Ok(false) => Err(LeaveError::NotJoined),
            Err(error) => Err(LeaveError::Call(error)),
        }
    }

    /// The members of a group on all nodes, each as often as it has joined, in no order (`pg:get_members/2`). Nobody is
    /// asked, so it is fast. Of those of this node, who takes other messages or has ended is left out.
    pub fn members<C: Wire, K: Wire, I: Wire>(&self, group: &Group<C, K, I>) -> Vec<ServerRef<C, K, I>> {
        let pids = self.table.read().members(group.as_str());
        pids.into_iter().filter_map(|pid| self.member(pid)?.typed(&self.node)).collect()
    }

    /// As [`members`](Self::members), those of this node alone (`pg:get_local_members/2`).
    pub fn local_members<C: Wire, K: Wire, I: Wire>(
        &self,
        group: &Group<C, K, I>,
    ) -> Vec<ServerRef<C, K, I>> {
        let pids = self.table.read().local_members(group.as_str());
        pids.into_iter().filter_map(|pid| self.member(pid)?.typed(&self.node)).collect()
    }

    /// The names of all groups that have members, sorted (`pg:which_groups/1`).
    pub fn which_groups(&self) -> Vec<String> {
        let names = self.table.read().which_groups().map(|name| name.to_string()).collect();
        sorted(names)
    }

    /// As [`which_groups`](Self::which_groups), those with members on this node alone (`pg:which_local_groups/1`).
    pub fn which_local_groups(&self) -> Vec<String> {
        let names = self.table.read().which_local_groups().map(|name| name.to_string()).collect();
        sorted(names)
    }

    /// Has a process of this node hear of joins and leaves in one group, until it ends (`pg:monitor/2`). Answers the members
    /// now, and what [`demonitor`](Self::demonitor) takes.
    ///
    /// `message` makes of each change what the process is sent. It runs in the scope's process: let it be short. One that
    /// panics ends the monitor.
    ///
    /// # Errors
    /// See [`MonitorError`].
    ///
    /// # Cancel safety
    /// See [`Scope`].
    pub async fn monitor<C, K, I, SC, SK, SI>(
        &self,
        group: &Group<C, K, I>,
        subscriber: &ServerRef<SC, SK, SI>,
        message: impl Fn(Change<ServerRef<C, K, I>>) -> SI + Send + 'static,
    ) -> Result<(MonitorRef, Vec<ServerRef<C, K, I>>), MonitorError>
    where
        C: Wire,
        K: Wire,
        I: Wire,
        SC: Send + 'static,
        SK: Send + 'static,
        SI: Send + 'static,
    {
        let process = self.local(subscriber).map_err(MonitorError::NotLocal)?;
        let (subscriber, node) = (subscriber.clone(), self.node.clone());
        let tell = Box::new(move |reference, name: &Arc<str>, event, members: &[Member]| {
            let members: Vec<_> = members.iter().filter_map(|member| member.typed(&node)).collect();
            if !members.is_empty() {
                // One that has ended is taken off the list soon.
                let _gone =
                    subscriber.try_send(message(Change { reference, group: name.clone(), event, members }));
            }
        });
        let name = group.as_str().into();
        let asked = self.ask(|to| Request::Monitor(process.core().pid(), name, tell, to)).await;
        let (reference, members) = asked.map_err(MonitorError::Call)?;
        Ok((reference, members.iter().filter_map(|member| member.typed(&self.node)).collect()))
    }

    /// As [`monitor`](Self::monitor), for all groups of the scope, those that come later too (`pg:monitor_scope/1`). Whose
    /// messages are of several types, so they are told as pids.
    ///
    /// # Errors
    /// See [`MonitorError`].
    ///
    /// # Cancel safety
    /// See [`Scope`].
    pub async fn monitor_scope<SC, SK, SI>(
        &self,
        subscriber: &ServerRef<SC, SK, SI>,
        message: impl Fn(Change<Pid>) -> SI + Send + 'static,
    ) -> Result<(MonitorRef, BTreeMap<Arc<str>, Vec<Pid>>), MonitorError>
    where
        SC: Send + 'static,
        SK: Send + 'static,
        SI: Send + 'static,
    {
        let process = self.local(subscriber).map_err(MonitorError::NotLocal)?;
        let subscriber = subscriber.clone();
        let tell = Box::new(move |reference, name: &Arc<str>, event, members: &[Member]| {
            let members = members.iter().map(Member::pid).collect();
            let _gone =
                subscriber.try_send(message(Change { reference, group: name.clone(), event, members }));
        });
        let asked = self.ask(|to| Request::MonitorScope(process.core().pid(), tell, to)).await;
        let (reference, groups) = asked.map_err(MonitorError::Call)?;
        Ok((reference, groups.into_iter().collect()))
    }

    /// Ends a monitor of a group or of the scope; answers whether it was there (`pg:demonitor/2`). When this returns nothing
    /// more is sent; what was sent before stays in the mailbox, and has the reference.
    ///
    /// # Errors
    /// The scope has not answered: it does not run, or has ended, and the monitor with it.
    ///
    /// # Cancel safety
    /// See [`Scope`].
    pub async fn demonitor(&self, reference: MonitorRef) -> Result<bool, CallError> {
        self.ask(|to| Request::Demonitor(reference, to)).await
    }

    async fn ask<R: Send + 'static>(
        &self,
        request: impl FnOnce(ReplyTo<R>) -> Request,
    ) -> Result<R, CallError> {
        let scope = self.name.on(&self.node)?;
        scope.call_timeout(|to| Here(request(to)), Timeout::Infinity).await
    }

    /// The process, or the pid of one that lives on another node.
    fn local<C, K, I>(&self, process: &ServerRef<C, K, I>) -> Result<Arc<dyn AnyProcess>, Pid>
    where
        C: Send + 'static,
        K: Send + 'static,
        I: Send + 'static,
    {
        let lives_here = *process.node() == self.node && process.pid().node() == self.node.id();
        if lives_here { Ok(process.process()) } else { Err(process.pid()) }
    }

    fn member(&self, pid: Pid) -> Option<Member> {
        if pid.node() == self.node.id() {
            self.node.find(pid).map(Member::Here)
        } else {
            Some(Member::There(pid))
        }
    }
}

fn sorted(mut names: Vec<String>) -> Vec<String> {
    names.sort_unstable();
    names
}

impl fmt::Debug for Scope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Scope({}, {:?})", self.name, self.node)
    }
}
