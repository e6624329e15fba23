//! Releases: in which one copies are written while nodes of two run together, and what comes next of a rolling upgrade.
//!
//! [`Release`] decides, for all members alike by what all hear: each has the copies written anew of what it owns. A release that
//! somebody wants is told by all in what they say of themselves, so that it stays while any of them lives.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::time::Duration;

use incarnate_shards::{Holdup, Member, Record, Release, Ring, Rolling, ShardId};
use serde::{Deserialize, Serialize};
use tokio::time::Instant;

use super::about::Pin;
use super::authority::Renewal;
use super::drain::node_of;
use super::hosted::Event as ShardEvent;
use super::manager::{Call, Manager, ask};
use crate::gen_server::{CallReply, noreply};
use crate::process::{CallError, Node, ReplyTo, Result};
use crate::term::NodeId;

/// What could not be said in a lower release is tried again after so long.
const AGAIN: Duration = Duration::from_secs(10);

/// A node that has left is expected back for so long.
const RETURNS: Duration = Duration::from_secs(60);

/// So long is waited for what others say.
const ANSWERS: Duration = Duration::from_secs(2);

/// A shard that is not written in a lower release, since some of its processes cannot be.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Refusal {
    /// Which shard.
    pub shard: ShardId,
    /// Which release was asked for.
    pub release: u32,
    /// The processes whose states it does not have, by type and key; no more than the first few.
    pub processes: Vec<String>,
}

/// What comes next of a rolling upgrade, or of the way back.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub enum UpgradeStep {
    /// These shards are being written in the release.
    Write(Vec<ShardId>),
    /// This node is to be drained, stopped, and started with the release: whoever runs the nodes does that.
    Replace(NodeId),
    /// These nodes have left a short while ago, and are expected back.
    Away(Vec<NodeId>),
    /// This node drains, or has drained and is not known to be gone yet.
    Draining(NodeId),
    /// No more nodes can be replaced: there would not be two others that read these shards.
    Third(Vec<ShardId>),
    /// Processes of these cannot be said in the release: see [`ReleaseInfo::refused`].
    Refused(Vec<ShardId>),
    /// Not all nodes that have copies of these are up and read the release.
    Copies(Vec<ShardId>),
    /// Each node runs the release, and each shard is written in it.
    Done,
}

impl From<Rolling> for UpgradeStep {
    fn from(next: Rolling) -> Self {
        let all = |shards: BTreeSet<ShardId>| shards.into_iter().collect();
        match next {
            Rolling::Change { shards, .. } => UpgradeStep::Write(all(shards)),
            Rolling::Replace(member) => UpgradeStep::Replace(node_of(member)),
            Rolling::Waiting(Holdup::Away(nodes)) => {
                UpgradeStep::Away(nodes.into_iter().map(NodeId::from_fingerprint).collect())
            }
            Rolling::Waiting(Holdup::Draining(member)) => UpgradeStep::Draining(node_of(member)),
            Rolling::Waiting(Holdup::Third(shards)) => UpgradeStep::Third(all(shards)),
            Rolling::Waiting(Holdup::Refused(shards)) => UpgradeStep::Refused(all(shards)),
            Rolling::Waiting(Holdup::Copies(shards)) => UpgradeStep::Copies(all(shards)),
            Rolling::Done => UpgradeStep::Done,
        }
    }
}

/// How far a cluster is with its releases.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct ReleaseInfo {
    /// The release that is wanted everywhere: the one that was set, or the highest that a node has.
    pub release: u32,
    /// Whether it was set by [`Shards::set_release`](super::Shards::set_release).
    pub is_set: bool,
    /// How many shards are written in which release.
    pub written: BTreeMap<u32, usize>,
    /// What comes next.
    pub next: UpgradeStep,
    /// What cannot be written in that release.
    pub refused: Vec<Refusal>,
    /// Nodes that have not said what they refuse.
    pub unheard: Vec<NodeId>,
}

/// Why a release is not everywhere.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ReleaseError {
    /// These have states that the release cannot say; all others are written in it. Tried again as long as the release is set.
    Refused(Vec<Refusal>),
    /// It is not so in time, and this comes next. It goes on.
    Waits(UpgradeStep),
    /// The shards of this node have ended.
    NoAnswer(CallError),
}

impl From<CallError> for ReleaseError {
    fn from(why: CallError) -> Self {
        ReleaseError::NoAnswer(why)
    }
}

impl fmt::Display for ReleaseError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ReleaseError::Refused(refused) => {
                f.write_str("the release cannot say the states of")?;
                refused.iter().flat_map(|it| &it.processes).try_for_each(|name| write!(f, " {name}"))
            }
            ReleaseError::Waits(next) => write!(f, "the release is not everywhere yet, next is {next:?}"),
            ReleaseError::NoAnswer(why) => {
                write!(f, "it is not known whether the release is everywhere: {why}")
            }
        }
    }
}

impl std::error::Error for ReleaseError {}

/// What is refused here, by which of the releases that were ever set.
pub(super) type Refusals = (u64, Vec<Refusal>);

/// What a member knows of releases.
pub(super) struct Releases {
    /// After so long without a change of who reads what a higher release is used.
    after: Duration,
    changed: Instant,
    /// What all read, when that has changed last.
    common: Option<u32>,
    pub(super) pin: Pin,
    /// Shards of this member.
    refused: BTreeMap<ShardId, (Refusal, Instant)>,
    /// When nodes were seen last.
    nodes: BTreeMap<u32, Instant>,
}

impl Releases {
    pub(super) fn new(after: Duration) -> Self {
        Releases {
            after,
            changed: Instant::now(),
            common: None,
            pin: Pin::default(),
            refused: BTreeMap::new(),
            nodes: BTreeMap::new(),
        }
    }

    /// The release that copies are written in: the highest that all read, or a lower one that was set.
    pub(super) fn wire(&self, ring: &Ring) -> Option<u32> {
        let common = ring.wire()?;
        let set = self.pin.release.filter(|set| ring.seats().all(|seat| seat.reads.contains(*set)));
        Some(set.map_or(common, |set| set.min(common)))
    }

    /// It is written in it, or was lowered by a change of its states.
    pub(super) fn recorded(&mut self, shard: ShardId, record: &Record) {
        if self.refused.get(&shard).is_some_and(|(refusal, _)| refusal.release >= record.wire) {
            self.refused.remove(&shard);
        }
    }

    pub(super) fn refusals(&self) -> Refusals {
        (self.pin.count, self.refused.values().map(|(refusal, _)| refusal.clone()).collect())
    }
}

impl Manager {
    /// Has copies of what is owned here written in another release, if that is due.
    pub(super) fn change_releases(&mut self, ring: &Ring) {
        let now = Instant::now();
        let nodes = ring.seats().map(|seat| (seat.member.node, now));
        self.releases.nodes.extend(nodes);
        self.releases.nodes.retain(|_, seen| now < *seen + RETURNS);
        if self.releases.common != ring.wire() {
            self.releases.common = ring.wire();
            self.releases.changed = now;
        }
        let Some(wire) = self.releases.wire(ring).filter(|_| self.setup.serves) else { return };
        self.releases.refused.retain(|_, (refusal, at)| refusal.release == wire && now < *at + AGAIN);
        let refused = self.releases.refused.keys().copied().collect();
        let release = Release { wire, refused, ..Release::default() };
        let me = self.shared().me();
        let mine = self.records.iter().filter(|(_, record)| record.owner == me);
        let mine = mine.map(|(shard, record)| (*shard, record.clone())).collect();
        let Rolling::Change { shards, wire } = release.next(ring, &mine) else { return };
        let settled = now.duration_since(self.releases.changed) >= self.releases.after;
        for shard in shards {
            if mine.get(&shard).is_some_and(|record| settled || wire < record.wire)
                && let Some(hosted) = self.hosted(shard)
            {
                hosted.handle(ShardEvent::Wire(wire));
            }
        }
    }

    /// Some of its states cannot be said in a lower release.
    pub(super) fn refused(&mut self, shard: ShardId, release: u32, processes: Vec<String>) {
        tracing::warn!(
            target: "incarnate::shard",
            %shard, release, ?processes,
            "states that a lower release cannot say: the shard stays in the higher one"
        );
        let refusal = Refusal { shard, release, processes };
        self.releases.refused.insert(shard, (refusal, Instant::now()));
    }

    /// A release is wanted everywhere; `None`: the highest that all have.
    pub(super) fn set_release(&mut self, release: Option<u32>, node: &Node) {
        let pin = Pin { count: self.releases.pin.count + 1, release };
        tracing::info!(target: "incarnate::shard", release, "release set");
        self.adopt(pin);
        let (authority, me) = (self.setup.authority.clone(), self.shared().me());
        let about = self.say(|_| ());
        // At once, and with each renewal from now on.
        if let Some(lease) = self.lease() {
            node.runtime().spawn(async move {
                let renewal = Renewal { member: me, lease: Some(lease), former: None, about };
                authority.renew(renewal).await
            });
        }
        self.ring_changed();
    }

    /// Somebody has said which release is wanted.
    pub(super) fn adopt(&mut self, pin: Pin) {
        if pin > self.releases.pin {
            self.releases.pin = pin;
            // All is tried anew.
            self.releases.refused.clear();
            self.say(|about| about.pin = pin);
        }
    }

    /// Says how far the cluster is.
    pub(super) fn tell_release(&self, caller: ReplyTo<ReleaseInfo>, node: &Node) -> Result<CallReply> {
        let (ring, records) = (self.ring(), self.records.clone());
        let set = self.releases.pin.release;
        let highest = ring.seats().map(|seat| seat.reads.highest).max();
        let release = set.or(highest).unwrap_or(self.shared().release());
        let nodes = self.releases.nodes.keys().copied().collect();
        let others: Vec<Member> = self.others();
        let ((count, mut refused), asking) = (self.releases.refusals(), node.clone());
        node.runtime().spawn(async move {
            let mut unheard = Vec::new();
            let asked =
                others.iter().map(|member| (*member, ask(asking.clone(), *member, Call::Refusals, ANSWERS)));
            let asked: Vec<_> = asked.map(|(member, asked)| (member, tokio::spawn(asked))).collect();
            for (member, answer) in asked {
                match answer.await {
                    Ok(Ok((by, more))) if by == count => refused.extend(more),
                    // It has not heard yet which is wanted.
                    _ => unheard.push(node_of(member)),
                }
            }
            refused.retain(|refusal| refusal.release == release);
            caller.send(release_info(&ring, &records, (release, set.is_some(), nodes), refused, unheard));
        });
        noreply()
    }
}

fn release_info(
    ring: &Ring,
    records: &BTreeMap<ShardId, Record>,
    (release, is_set, nodes): (u32, bool, BTreeSet<u32>),
    refused: Vec<Refusal>,
    unheard: Vec<NodeId>,
) -> ReleaseInfo {
    let other = ring.seats().filter(|seat| seat.reads.highest != release);
    let wanted = Release {
        wire: release,
        nodes,
        others: other.map(|seat| seat.member).collect(),
        refused: refused.iter().map(|refusal| refusal.shard).collect(),
    };
    let mut written = BTreeMap::new();
    records.values().for_each(|record| *written.entry(record.wire).or_default() += 1);
    ReleaseInfo { release, is_set, written, next: wanted.next(ring, records).into(), refused, unheard }
}
