//! Starting the shards of a node.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Duration;

use incarnate_shards::{Config, Member, Mode, NotMoved, Record, ShardId};
use tokio::time::{Instant, sleep};

use super::authority::{Authority, Settings, Unavailable};
use super::drain::{DrainError, Drainer};
use super::hosted::Look;
use super::kind::{Kind, Kinds};
use super::manager::{Call, Manager, NAME, Setup};
use super::rolling::{ReleaseError, ReleaseInfo};
use super::shared::{Known, Shared, row_of};
use crate::gen_server::{GenServer, StartError};
use crate::process::{CallError, Node, ServerRef, StopError};
use crate::supervisor::{ChildSpec, Shutdown};
use crate::term::{Never, NodeId};

/// The version of what the authority keeps for a cluster.
const FORMAT: u32 = 1;

/// What the cluster has come to is looked at so often by who waits for it.
const LOOKS: Duration = Duration::from_millis(50);

/// The shards of a node, to be started.
#[must_use = "nothing is started yet"]
pub struct ShardsStart {
    node: Node,
    authority: Arc<dyn Authority>,
    kinds: Vec<Kind>,
    shards: NonZeroU32,
    lease: Duration,
    release: u32,
    oldest: u32,
    members: usize,
    serves: bool,
    balance_every: Duration,
    upgrade_after: Duration,
    config: Tuning,
}

/// What is settled of each shard besides its mode.
#[derive(Clone, Copy, Debug)]
pub(super) struct Tuning {
    pub(super) patience: Duration,
    pub(super) pending: usize,
}

impl Tuning {
    pub(super) fn of(self, mode: Mode, reads: u32) -> Config {
        let Tuning { patience, pending } = self;
        let mut config = Config::new(mode, reads);
        config.patience = patience;
        config.pending = pending;
        config
    }
}

impl ShardsStart {
    /// Registers a type: its processes live in the shards of its mode.
    pub fn register(mut self, kind: Kind) -> Self {
        self.kinds.push(kind);
        self
    }

    /// How many shards there are of each mode; 256 by default. It is settled by whoever starts first, for ever.
    pub fn shards(self, shards: NonZeroU32) -> Self {
        ShardsStart { shards, ..self }
    }

    /// How long a lease lasts that is not renewed: ten seconds by default. A node that is cut off serves `Local` and `Async`
    /// for so long at most, and nobody takes them over before. Settled by whoever starts first.
    pub fn lease(self, lease: Duration) -> Self {
        ShardsStart { lease, ..self }
    }

    /// The release of this node: states are written in its version when all nodes have it. 1 by default. `oldest` is the oldest
    /// whose states it reads.
    pub fn release(self, release: u32, oldest: u32) -> Self {
        ShardsStart { release, oldest, ..self }
    }

    /// Creates shards when so many nodes are up, so that each of them gets its part from the start. 1 by default.
    pub fn expect(self, members: usize) -> Self {
        ShardsStart { members, ..self }
    }

    /// How often it is looked whether a node has far more to do than others, and for how long messages are counted for it: ten
    /// seconds by default. Then shards move, a few at once; so they do soon after a node has joined. Zero: they never do by
    /// themselves. All nodes are to have the same.
    pub fn balance_every(self, every: Duration) -> Self {
        ShardsStart { balance_every: every, ..self }
    }

    /// For how long all nodes must have had a newer release, with nobody coming or going, before states are written in it: zero
    /// by default. From then on an older release reads them only when [they were lowered](Shards::set_release).
    pub fn upgrade_after(self, quiet: Duration) -> Self {
        ShardsStart { upgrade_after: quiet, ..self }
    }

    /// This node asks the shards of others and has none itself: a front.
    pub fn client(self) -> Self {
        ShardsStart { serves: false, ..self }
    }

    /// How long a standby may take to acknowledge before the owner goes on without it: one second by default.
    pub fn patience(mut self, patience: Duration) -> Self {
        self.config.patience = patience;
        self
    }

    /// How many requests of a shard may be in work or wait: 10,000 by default. One more is refused.
    pub fn pending(mut self, pending: usize) -> Self {
        self.config.pending = pending;
        self
    }

    /// Starts them. Returns when the authority has answered; shards come as they are created, taken over, or moved here.
    ///
    /// # Errors
    /// See [`ShardsError`].
    ///
    /// # Cancel safety
    /// Dropping the future leaves them to start on their own, or not at all.
    pub async fn start(self) -> Result<Shards, ShardsError> {
        let kinds = self.kinds()?;
        let wanted = Settings { shards: self.shards.get(), format: FORMAT, lease: self.lease };
        let settings = self.authority.found(wanted).await?;
        if settings.format != FORMAT {
            return Err(ShardsError::Format { found: settings.format, understood: FORMAT });
        }
        if let Some(weakness) = self.authority.weakness().await? {
            tracing::warn!(target: "incarnate::shard", node = self.node.name(), "{weakness}");
        }
        let shards = NonZeroU32::new(settings.shards).unwrap_or(NonZeroU32::MIN);
        let me = Member { node: self.node.id().fingerprint(), creation: self.node.creation(), store: None };
        let records = self.authority.read_all().await?;
        let manager = NAME;
        let of = self.node.downgrade();
        let orders = Box::new(move |order| {
            if let Some(node) = of.upgrade()
                && let Ok(manager) = manager.on(&node)
            {
                manager.send(super::manager::Event::Order(order));
            }
        });
        let shared =
            Shared::new(&self.node, me, Arc::new(kinds), (shards, self.release), self.config, orders);
        if !shared.settle(&self.node) {
            return Err(ShardsError::AlreadyStarted);
        }
        let setup = Setup {
            shared: shared.clone(),
            authority: self.authority.clone(),
            lease: settings.lease,
            oldest: self.oldest,
            members: self.members,
            serves: self.serves,
            records,
            balance_every: self.balance_every,
            upgrade_after: self.upgrade_after,
        };
        Manager::server(setup).name(NAME).on(&self.node).start().await?;
        Ok(Shards { node: self.node, shared })
    }

    fn kinds(&self) -> Result<Kinds, ShardsError> {
        let mut kinds = Kinds::default();
        for kind in &self.kinds {
            let same = |other: &&Kind| row_of(other.mode) == row_of(kind.mode) && other.mode != kind.mode;
            if let Some(other) = self.kinds.iter().find(same) {
                return Err(ShardsError::Modes(kind.name(), other.name()));
            }
            if kind.versions().first().is_none_or(|first| *first > self.release) {
                return Err(ShardsError::Release { kind: kind.name(), release: self.release });
            }
            kinds.add(kind.clone()).map_err(|before| ShardsError::Twice(before.name()))?;
        }
        Ok(kinds)
    }
}

/// The shards of a node.
#[derive(Clone)]
pub struct Shards {
    pub(super) node: Node,
    shared: Arc<Shared>,
}

/// A shard, as this node knows it.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct ShardInfo {
    /// Which.
    pub shard: ShardId,
    /// Who serves it, and in which epoch; `None`: it was never created, or is lost.
    pub owner: Option<(NodeId, u64)>,
    /// Who may take it over, as far as is known here.
    pub in_sync: Vec<NodeId>,
    /// Its owner and all who might have taken it over are gone for good.
    pub is_lost: bool,
    /// What of it is on this node.
    pub here: Option<ShardHere>,
}

/// What a node has of a shard.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct ShardHere {
    /// Whether it serves it.
    pub serves: bool,
    /// How many processes have a state.
    pub states: usize,
    /// How many of them are awake.
    pub awake: usize,
    /// How many bytes the states have.
    pub bytes: u64,
    /// How many messages were handled here.
    pub handled: u64,
}

impl Shards {
    /// Prepares the start of the shards of a node, whose owners `authority` keeps.
    pub fn of(node: &Node, authority: Arc<dyn Authority>) -> ShardsStart {
        ShardsStart {
            node: node.clone(),
            authority,
            kinds: Vec::new(),
            shards: NonZeroU32::new(256).unwrap_or(NonZeroU32::MIN),
            lease: Duration::from_secs(10),
            release: 1,
            oldest: 1,
            members: 1,
            serves: true,
            balance_every: Duration::from_secs(10),
            upgrade_after: Duration::ZERO,
            config: Tuning { patience: Duration::from_secs(1), pending: 10_000 },
        }
    }

    /// All shards that there are of the modes of the types that are registered here.
    pub fn info(&self) -> Vec<ShardInfo> {
        let looks: BTreeMap<ShardId, Look> = self
            .shared
            .all_hosted()
            .map(|(shard, hosted)| (shard, hosted.look(super::hosted::Host::look)))
            .collect();
        let pinned = looks.keys().filter(|shard| self.shared.is_home(**shard, self.shared.me()).is_some());
        let shards: BTreeSet<_> = self.shared.shards().chain(pinned.copied()).collect();
        shards.into_iter().map(|shard| self.one(shard, looks.get(&shard))).collect()
    }

    fn one(&self, shard: ShardId, look: Option<&Look>) -> ShardInfo {
        let known = self.shared.known(shard);
        let id = |member: &Member| NodeId::from_fingerprint(member.node);
        let record: Option<&Record> = look.and_then(|look| look.record.as_ref());
        ShardInfo {
            shard,
            owner: match known {
                Known::Owner(owner, epoch) => Some((id(&owner), epoch)),
                Known::Nobody | Known::Lost => None,
            },
            in_sync: record.map(|record| record.in_sync.iter().map(id).collect()).unwrap_or_default(),
            is_lost: known == Known::Lost,
            here: look.map(|look| ShardHere {
                serves: look.serves.is_some(),
                states: look.states,
                awake: look.awake,
                bytes: look.bytes,
                handled: look.handled,
            }),
        }
    }

    /// The shard that a key is in.
    pub fn shard_of<C, T>(&self, key: &super::Key<C, T>) -> ShardId {
        self.shared.shard_of(key.address())
    }

    /// Has a shard served by another node, whoever serves it now. Callers notice a pause of milliseconds. Of a node
    /// that serves it already nothing is asked. A move that has not begun to change the owner after `limit` is taken back.
    ///
    /// # Errors
    /// See [`MoveError`].
    ///
    /// # Cancel safety
    /// Dropping the future takes nothing back.
    pub async fn move_to(
        &self,
        shard: ShardId,
        to: impl Into<NodeId>,
        limit: Duration,
    ) -> Result<(), MoveError> {
        let to = to.into();
        let to = self.shared.member(to).ok_or(MoveError::NotConnected(to))?;
        let Known::Owner(owner, _) = self.shared.known(shard) else {
            return Err(MoveError::NotMoved(NotMoved::NotOwner));
        };
        let request = |caller| Call::Move(shard, to, limit, caller);
        let timeout = limit + Duration::from_secs(5);
        let moved = match owner == self.shared.me() {
            true => NAME.on(&self.node)?.call_timeout(request, timeout).await?,
            false => {
                let there = NodeId::from_fingerprint(owner.node);
                NAME.at(&self.node, there).call_timeout(request, timeout).await?
            }
        };
        moved.map_err(MoveError::NotMoved)
    }

    /// Has all that this node serves served by others, and the copies that it has had elsewhere, so that it may stop and nobody
    /// notices. One node of the cluster drains at a time; others wait for it. Meanwhile it is given nothing.
    ///
    /// When this returns `Ok`, the node is no member any more: it is a [front](ShardsStart::client) for as long as it runs, and a
    /// member again when it was started anew. A front, or one that has drained, has nothing to do.
    ///
    /// # Errors
    /// See [`DrainError`].
    ///
    /// # Cancel safety
    /// Dropping the future takes nothing back: it drains on until the limit is over.
    pub async fn drain(&self, limit: Duration) -> Result<(), DrainError> {
        let request = |caller| Call::Drain(limit, caller);
        let drained = NAME.on(&self.node)?.call_timeout(request, limit + Duration::from_secs(5)).await?;
        drained.map_err(DrainError::Waits)
    }

    /// A child for a supervisor that drains this node when it is told to end, for so long at most: in the tree of an
    /// [`Application`](crate::application::Application) it does so when the application is stopped, and with
    /// [`Run`](crate::application::Run) on SIGTERM. Children end from the last to the first, so it stands behind those that
    /// processes of shards need. A supervisor that restarts it with others would drain the node for good: let it be one for one.
    pub fn drains_at_stop(&self, limit: Duration) -> ChildSpec<ServerRef<Never>> {
        let shards = self.clone();
        let start = move || Drainer::server((shards.clone(), limit)).start_link();
        ChildSpec::worker("incarnate_shards_drain", start).shutdown(Shutdown::Infinity)
    }

    /// How far the cluster is with its releases, and what comes next.
    ///
    /// # Errors
    /// The shards of this node have ended.
    ///
    /// # Cancel safety
    /// Dropping the future gives up waiting.
    pub async fn release(&self) -> Result<ReleaseInfo, CallError> {
        NAME.on(&self.node)?.call(Call::Release).await
    }

    /// Has all states written in a release, a lower one too, before nodes get that release; `None`: in the highest that all
    /// nodes have, which is so without this. Returns when all are. It stays set while any node of the cluster lives.
    ///
    /// # Errors
    /// See [`ReleaseError`].
    ///
    /// # Cancel safety
    /// Dropping the future gives up waiting.
    pub async fn set_release(
        &self,
        release: impl Into<Option<u32>>,
        limit: Duration,
    ) -> Result<(), ReleaseError> {
        let (release, until) = (release.into(), Instant::now() + limit);
        let manager = NAME.on(&self.node)?;
        manager.call(|caller| Call::SetRelease(release, caller)).await?;
        loop {
            let ReleaseInfo { release, written, next, refused, unheard, .. } = self.release().await?;
            let others: usize =
                written.iter().filter(|(wire, _)| **wire != release).map(|(_, shards)| shards).sum();
            match others {
                0 => return Ok(()),
                others if others == refused.len() && unheard.is_empty() => {
                    return Err(ReleaseError::Refused(refused));
                }
                _ if Instant::now() >= until => return Err(ReleaseError::Waits(next)),
                _ => sleep(LOOKS).await,
            }
        }
    }

    /// Stops them at once, as if the node were lost: what is copied is taken over. To be rid of them in good order, drain
    /// before.
    ///
    /// # Errors
    /// See [`StopError`].
    pub async fn stop(&self) -> Result<(), StopError> {
        NAME.on(&self.node).map_err(|_| StopError::NoProc)?.stop().await
    }
}

impl fmt::Debug for Shards {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Shards({})", self.node.name())
    }
}

/// Why a shard was not moved, as far as is known.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum MoveError {
    /// The node is not connected with this one.
    NotConnected(NodeId),
    /// It has not moved, for this reason.
    NotMoved(NotMoved),
    /// Its owner has not answered: it has moved, still may, or will not.
    NoAnswer(CallError),
}

impl From<CallError> for MoveError {
    fn from(why: CallError) -> Self {
        MoveError::NoAnswer(why)
    }
}

impl fmt::Display for MoveError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            MoveError::NotConnected(node) => write!(f, "the shard was not moved: {node:?} is not connected"),
            MoveError::NotMoved(NotMoved::NotOwner) => {
                f.write_str("the shard was not moved: its owner is not known")
            }
            MoveError::NotMoved(NotMoved::Busy) => f.write_str("the shard was not moved: it is being moved"),
            MoveError::NotMoved(NotMoved::Target) => {
                f.write_str("the shard was not moved: the target was lost, cannot read it, or took too long")
            }
            MoveError::NotMoved(NotMoved::Deposed) => {
                f.write_str("the shard was not moved: somebody else has taken it over")
            }
            MoveError::NoAnswer(why) => write!(f, "it is not known whether the shard was moved: {why}"),
        }
    }
}

impl std::error::Error for MoveError {}

/// Why the shards of a node were not started.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ShardsError {
    /// They are running, or were: a node has them once in its life.
    AlreadyStarted,
    /// The authority has not answered.
    Unavailable(Unavailable),
    /// The authority keeps what another version wrote.
    Format {
        /// Which.
        found: u32,
        /// The one that is understood.
        understood: u32,
    },
    /// A type of this name is registered twice.
    Twice(&'static str),
    /// Two types have the same mode with other limits: shards of one mode have one.
    Modes(&'static str, &'static str),
    /// A type has no version that this release has.
    Release {
        /// The type.
        kind: &'static str,
        /// The release of this node.
        release: u32,
    },
    /// Their manager was not started.
    Start(StartError),
}

impl From<Unavailable> for ShardsError {
    fn from(why: Unavailable) -> Self {
        ShardsError::Unavailable(why)
    }
}

impl From<StartError> for ShardsError {
    fn from(why: StartError) -> Self {
        ShardsError::Start(why)
    }
}

impl fmt::Display for ShardsError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ShardsError::AlreadyStarted => f.write_str("the node has its shards already"),
            ShardsError::Unavailable(why) => write!(f, "the shards were not started: {why}"),
            ShardsError::Format { found, understood } => {
                write!(f, "the authority keeps format {found}, this release understands {understood}")
            }
            ShardsError::Twice(name) => write!(f, "the type {name:?} is registered twice"),
            ShardsError::Modes(one, other) => {
                write!(
                    f,
                    "{one:?} and {other:?} have the same mode with other limits: types of a mode share its shards"
                )
            }
            ShardsError::Release { kind, release } => {
                write!(f, "the type {kind:?} has no version of release {release} or before")
            }
            ShardsError::Start(why) => write!(f, "the shards were not started: {why}"),
        }
    }
}

impl std::error::Error for ShardsError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            ShardsError::Unavailable(why) => Some(why),
            ShardsError::Start(why) => Some(why),
            _ => None,
        }
    }
}
