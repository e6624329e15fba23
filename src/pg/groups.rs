//! Who is in which group: decided. No clock, no process, no runtime.
//!
//! Each `handle_*` is something that has happened to the scope of one node; what is to be done about it is taken out by
//! [`Groups::actions`], in order. Members of this node are known by its own joins and leaves; those of another node by what
//! the scope there, its *peer*, says of them, and they go with it.
//!
//! Invariants:
//! - what a peer has said is void when it ends, and replaced as a whole by its next sync;
//! - whoever has this scope for a peer got a sync from it first, and every later change behind that.

use std::sync::Arc;

use rustc_hash::{FxHashMap, FxHashSet};

use super::bag::Bag;
use super::group::GroupName;
use super::letter::{Join, Leave, Letter, Sync};
use crate::term::Pid;

/// A part of a sync has about so many bytes at most: far below what one message may have. Tests have few members.
const PART: usize = if cfg!(test) { 64 } else { 4 << 10 };

/// Which way a membership has changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Event {
    /// The members have joined.
    Join,
    /// The members have left, or have ended, or their node or its scope was lost.
    Leave,
}

/// Members of one group that have come or gone at once.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Changed {
    pub(super) group: GroupName,
    pub(super) event: Event,
    pub(super) members: Vec<Pid>,
}

/// What is to be done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Action {
    /// Hear of the end of this peer, also if it is gone already.
    Watch(Pid),
    Send(Pid, Arc<Letter>),
    /// To all peers.
    Broadcast(Arc<Letter>),
    Changed(Changed),
}

#[derive(Default)]
struct Group {
    local: Bag<Pid>,
    /// Those of each peer that has any.
    remote: FxHashMap<Pid, Bag<Pid>>,
}

#[derive(Default)]
struct Peer {
    /// Where it has members.
    groups: FxHashSet<GroupName>,
    /// What has come of a sync that is not whole yet.
    arriving: Option<FxHashMap<GroupName, Bag<Pid>>>,
}

/// The members of all groups of a scope, as its node knows them.
#[derive(Default)]
pub(super) struct Groups {
    /// `None`: the scope does not run, and there is nobody in here.
    me: Option<Pid>,
    groups: FxHashMap<GroupName, Group>,
    /// Where each process of this node is a member, as often as it is.
    local: FxHashMap<Pid, Bag<GroupName>>,
    peers: FxHashMap<Pid, Peer>,
    actions: Vec<Action>,
}

impl Groups {
    /// For the scope that is the process `me`.
    pub(super) fn new(me: Pid) -> Self {
        Groups { me: Some(me), ..Groups::default() }
    }

    /// What is to be done, in order.
    pub(super) fn actions(&mut self) -> Vec<Action> {
        std::mem::take(&mut self.actions)
    }

    /// All members of a group, each as often as it has joined.
    pub(super) fn members(&self, group: &str) -> Vec<Pid> {
        self.groups.get(group).map_or_else(Vec::new, Group::members)
    }

    pub(super) fn local_members(&self, group: &str) -> Vec<Pid> {
        self.groups.get(group).map_or_else(Vec::new, |group| group.local.iter().copied().collect())
    }

    pub(super) fn which_groups(&self) -> impl Iterator<Item = &GroupName> {
        self.groups.keys()
    }

    pub(super) fn which_local_groups(&self) -> impl Iterator<Item = &GroupName> {
        self.groups.iter().filter(|(_, group)| !group.local.is_empty()).map(|(name, _)| name)
    }

    pub(super) fn all(&self) -> impl Iterator<Item = (&GroupName, Vec<Pid>)> {
        self.groups.iter().map(|(name, group)| (name, group.members()))
    }

    /// Whether a process of this node is in any group.
    pub(super) fn is_member(&self, process: Pid) -> bool {
        self.local.contains_key(&process)
    }

    /// Processes of this node join, each as often as it is named.
    pub(super) fn handle_join(&mut self, group: &str, members: &[Pid]) {
        let (Some(from), false) = (self.me, members.is_empty()) else { return };
        let name = self.groups.get_key_value(group).map_or_else(|| group.into(), |(name, _)| name.clone());
        let kept = self.groups.entry(name.clone()).or_default();
        for &member in members {
            kept.local.add(member);
            self.local.entry(member).or_default().add(name.clone());
        }
        let ids = ids(members);
        self.broadcast(Letter::Join(Join { from, group: name.clone(), members: ids }));
        self.changed(name, Event::Join, members.to_vec());
    }

    /// Processes of this node leave, each as often as it is named, at most as often as it is in. Answers whether any
    /// was in.
    pub(super) fn handle_leave(&mut self, group: &str, members: &[Pid]) -> bool {
        let Some(name) = self.groups.get_key_value(group).map(|(name, _)| name.clone()) else { return false };
        let Some(kept) = self.groups.get_mut(&name) else { return false };
        let gone: Vec<Pid> = members.iter().copied().filter(|member| kept.local.remove(member)).collect();
        for member in &gone {
            if let Some(groups) = self.local.get_mut(member) {
                groups.remove(&name);
                if groups.is_empty() {
                    self.local.remove(member);
                }
            }
        }
        let (Some(from), false) = (self.me, gone.is_empty()) else { return false };
        self.prune(&name);
        self.broadcast(Letter::Leave(Leave { from, members: ids(&gone), groups: vec![name.clone()] }));
        self.changed(name, Event::Leave, gone);
        true
    }

    /// A process of this node has ended: it leaves all groups.
    pub(super) fn handle_end(&mut self, member: Pid) {
        let (Some(from), Some(groups)) = (self.me, self.local.remove(&member)) else { return };
        for (name, times) in groups.counted() {
            if let Some(kept) = self.groups.get_mut(name) {
                kept.local.remove_all(&member);
            }
            self.prune(name);
            self.changed(name.clone(), Event::Leave, vec![member; times]);
        }
        let groups = groups.iter().cloned().collect();
        self.broadcast(Letter::Leave(Leave { from, members: vec![member.id()], groups }));
    }

    /// A peer, or who says to be one, has sent this.
    pub(super) fn handle_letter(&mut self, letter: &Letter) {
        match letter {
            Letter::Discover(discover) => self.handle_discover(discover.from),
            Letter::Sync(sync) => self.handle_sync(sync),
            Letter::Join(Join { from, group, members }) => {
                let members = members.iter().map(|&id| from.sibling(id)).collect();
                self.handle_remote_join(*from, group, members);
            }
            Letter::Leave(Leave { from, members, groups }) => {
                for same in groups.chunk_by(|a, b| a == b) {
                    self.handle_remote_leave(*from, &same[0], members, same.len());
                }
            }
            Letter::Unknown => {}
        }
    }

    fn handle_discover(&mut self, peer: Pid) {
        let Some(me) = self.me.filter(|me| me.node() != peer.node()) else { return };
        if self.meet(peer) {
            self.actions.push(Action::Send(peer, Letter::discover(me)));
        }
        self.sync(me, peer);
    }

    /// A peer that was not known before is from here on; answers whether that is so.
    fn meet(&mut self, peer: Pid) -> bool {
        let is_new = !self.peers.contains_key(&peer);
        if is_new {
            self.peers.insert(peer, Peer::default());
            self.actions.push(Action::Watch(peer));
        }
        is_new
    }

    fn handle_sync(&mut self, sync: &Sync) {
        if self.me.is_none_or(|me| me.node() == sync.from.node()) {
            return;
        }
        self.meet(sync.from);
        let Some(peer) = self.peers.get_mut(&sync.from) else { return };
        if sync.first {
            peer.arriving = Some(FxHashMap::default());
        }
        let Some(arriving) = &mut peer.arriving else { return };
        for (name, members) in sync.groups.iter().filter(|(_, members)| !members.is_empty()) {
            let bag = arriving.entry(name.clone()).or_default();
            members.iter().for_each(|&id| bag.add(sync.from.sibling(id)));
        }
        if sync.last
            && let Some(all) = peer.arriving.take()
        {
            self.replace(sync.from, all);
        }
    }

    /// These are the members of a peer now, and no others.
    fn replace(&mut self, peer: Pid, all: FxHashMap<GroupName, Bag<Pid>>) {
        let names = all.keys().cloned().collect();
        let Some(before) = self.peers.get_mut(&peer).map(|it| std::mem::replace(&mut it.groups, names))
        else {
            return;
        };
        for name in before.iter().filter(|name| !all.contains_key(*name)) {
            self.remove_remote(peer, name);
        }
        for (name, now) in all {
            let kept = self.groups.entry(name.clone()).or_default();
            let known = kept.remote.get(&peer);
            if known == Some(&now) {
                continue;
            }
            let (come, gone) = known.map_or_else(
                || (now.iter().copied().collect(), Vec::new()),
                |known| (now.minus(known), known.minus(&now)),
            );
            kept.remote.insert(peer, now);
            self.changed(name.clone(), Event::Leave, gone);
            self.changed(name, Event::Join, come);
        }
    }

    /// From who is no peer it is ignored: it came from a connection that is over, or from nobody that this scope knows.
    fn handle_remote_join(&mut self, peer: Pid, group: &GroupName, members: Vec<Pid>) {
        let (Some(known), false) = (self.peers.get_mut(&peer), members.is_empty()) else { return };
        known.groups.insert(group.clone());
        let bag = self.groups.entry(group.clone()).or_default().remote.entry(peer).or_default();
        members.iter().for_each(|&member| bag.add(member));
        self.changed(group.clone(), Event::Join, members);
    }

    fn handle_remote_leave(&mut self, peer: Pid, group: &GroupName, members: &[u64], times: usize) {
        let Some(bag) = self.groups.get_mut(group).and_then(|group| group.remote.get_mut(&peer)) else {
            return;
        };
        let mut gone = Vec::new();
        for member in members.iter().map(|&id| peer.sibling(id)) {
            gone.extend((0..times).take_while(|_| bag.remove(&member)).map(|_| member));
        }
        if bag.is_empty() {
            self.remove_remote(peer, group);
            if let Some(peer) = self.peers.get_mut(&peer) {
                peer.groups.remove(group);
            }
        }
        self.changed(group.clone(), Event::Leave, gone);
    }

    /// A peer has ended, or its node is lost: its members go with it.
    pub(super) fn handle_peer_end(&mut self, peer: Pid) {
        let Some(known) = self.peers.remove(&peer) else { return };
        for name in &known.groups {
            self.remove_remote(peer, name);
        }
    }

    fn remove_remote(&mut self, peer: Pid, name: &GroupName) {
        let gone = self.groups.get_mut(name).and_then(|group| group.remote.remove(&peer));
        self.prune(name);
        self.changed(name.clone(), Event::Leave, gone.iter().flat_map(Bag::iter).copied().collect());
    }

    /// Not all has got to a peer: it is told everything anew.
    pub(super) fn handle_stale(&mut self, peer: Pid) {
        if let Some(me) = self.me.filter(|_| self.peers.contains_key(&peer)) {
            self.actions.push(Action::Send(peer, Letter::discover(me)));
            self.sync(me, peer);
        }
    }

    /// Tells a peer all members of this node.
    fn sync(&mut self, from: Pid, peer: Pid) {
        let (mut parts, mut part, mut room) = (Vec::new(), Vec::new(), PART);
        for (name, group) in self.groups.iter().filter(|(_, group)| !group.local.is_empty()) {
            let mut ids: Vec<u64> = group.local.iter().map(|member| member.id()).collect();
            loop {
                // A name and its length; a number is 9 bytes at most.
                let fit = room.saturating_sub(name.len() + 16) / 9;
                let rest = ids.split_off(fit.min(ids.len()));
                room = room.saturating_sub(name.len() + 16 + ids.len() * 9);
                if !ids.is_empty() {
                    part.push((name.clone(), ids));
                }
                if rest.is_empty() {
                    break;
                }
                parts.push(std::mem::take(&mut part));
                // With a very long name, one at a time all the same.
                (ids, room) = (rest, PART.max(name.len() + 64));
            }
        }
        parts.push(part);
        let last = parts.len() - 1;
        for (at, groups) in parts.into_iter().enumerate() {
            let sync = Sync { from, first: at == 0, last: at == last, groups };
            self.actions.push(Action::Send(peer, Arc::new(Letter::Sync(sync))));
        }
    }

    fn prune(&mut self, name: &GroupName) {
        if self.groups.get(name).is_some_and(|group| group.local.is_empty() && group.remote.is_empty()) {
            self.groups.remove(name);
        }
    }

    fn broadcast(&mut self, letter: Letter) {
        if !self.peers.is_empty() {
            self.actions.push(Action::Broadcast(Arc::new(letter)));
        }
    }

    fn changed(&mut self, group: GroupName, event: Event, members: Vec<Pid>) {
        if !members.is_empty() {
            self.actions.push(Action::Changed(Changed { group, event, members }));
        }
    }
}

impl Group {
    fn members(&self) -> Vec<Pid> {
        self.local.iter().chain(self.remote.values().flat_map(Bag::iter)).copied().collect()
    }
}

fn ids(members: &[Pid]) -> Vec<u64> {
    members.iter().map(|member| member.id()).collect()
}
