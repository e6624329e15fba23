//! Drain: a member gets rid of all that it has before it stops.
//!
//! [`Drain`] decides; here it is told what happens, and what it wants is done. A member that has drained says so of itself, and is
//! given nothing any more until it is gone: only then is the token free.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use incarnate_shards::{Drain, DrainAction, LeaseId, Member, Record, Ring, ShardId, Waits};
use serde::{Deserialize, Serialize};
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep};

use super::Shards;
use super::authority::{Authority, RenewError, Renewal};
use super::hosted::{Event as ShardEvent, Moved};
use super::manager::{Call, Event, Manager, ask};
use crate::gen_server::{CallReply, Context, GenServer, Init, noreply};
use crate::process::{CallError, Node, ReplyTo, Result};
use crate::term::{ExitReason, Never, NodeId};

/// So long is waited for the answer of another member; what it is asked is asked again.
const ANSWERS: Duration = Duration::from_secs(2);

/// The authority is asked again after so long, and so often.
const AGAIN: Duration = Duration::from_millis(200);
const TIMES: usize = 25;

/// What a drain waits for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub enum DrainWaits {
    /// The token of the cluster, which one node has at a time: another one drains, or this one has no lease, or the authority
    /// does not answer.
    Token,
    /// A third node, which is up, does not drain, and reads these: nobody else could have them, or their copies.
    Third(Vec<ShardId>),
    /// These are on the way; if there are none, some owner has not said yet that it does not need this node.
    Under(Vec<ShardId>),
}

impl fmt::Display for DrainWaits {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            DrainWaits::Token => f.write_str("the token of the cluster"),
            DrainWaits::Third(shards) => write!(f, "another node that could have {} shards", shards.len()),
            DrainWaits::Under(shards) if shards.is_empty() => f.write_str("what the other nodes say"),
            DrainWaits::Under(shards) => write!(f, "{} shards that are on the way", shards.len()),
        }
    }
}

/// Why a node has not drained.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum DrainError {
    /// It was not done in time, and waited for this. What has moved has moved; the node serves on, and others count on it.
    Waits(DrainWaits),
    /// The shards of this node have ended.
    NoAnswer(CallError),
}

impl From<CallError> for DrainError {
    fn from(why: CallError) -> Self {
        DrainError::NoAnswer(why)
    }
}

impl fmt::Display for DrainError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            DrainError::Waits(waits) => write!(f, "the node has not drained: it waits for {waits}"),
            DrainError::NoAnswer(why) => write!(f, "the node has not drained: {why}"),
        }
    }
}

impl std::error::Error for DrainError {}

/// What has come of a drain.
pub(super) type Drained = std::result::Result<(), DrainWaits>;

/// What happens to a drain.
#[derive(Debug)]
pub(super) enum DrainEvent {
    /// The token is here by this lease, or not.
    Token(Option<LeaseId>),
    /// A member has said which shards it owns, and of which it tells this one.
    Told(Member, u64, BTreeMap<ShardId, bool>),
    Read(ShardId, u64, Record),
    /// All have been told that this one leaves, or the authority has not answered.
    Left,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    /// It does what [`Drain`] says.
    Draining,
    /// Nobody needs it; others are told so.
    Leaving,
    /// They are.
    Left,
}

/// A drain, from when somebody has asked for it.
pub(super) struct Draining {
    stage: Stage,
    machine: Drain,
    /// Who waits for it, and for how long.
    callers: Vec<(ReplyTo<Drained>, Instant)>,
    /// Whether the machine wants the token, and whether the authority is being asked for it.
    wants: bool,
    asking: bool,
    /// The lease by which the token is here, and whether the machine knows.
    token: Option<LeaseId>,
    told: bool,
    asked: bool,
    /// The last of its rounds in which others were asked.
    round: u64,
}

/// What is known of the drains of others, besides who has the token.
#[derive(Default)]
pub(super) struct Marks {
    /// Who has said that it drains, before the authority did, and in which round.
    by: BTreeMap<Member, u64>,
    /// Up to which round it has said that it does not any more.
    over: BTreeMap<Member, u64>,
}

impl Marks {
    pub(super) fn has(&self, member: Member) -> bool {
        self.by.contains_key(&member)
    }

    /// Whether that is news.
    fn add(&mut self, member: Member, round: u64) -> bool {
        if self.over.get(&member).is_some_and(|over| *over >= round) {
            return false;
        }
        self.by.insert(member, round).is_none()
    }

    pub(super) fn remove(&mut self, member: Member, round: u64) {
        let over = self.over.entry(member).or_default();
        *over = round.max(*over);
        if self.by.get(&member).is_some_and(|by| *by <= round) {
            self.by.remove(&member);
        }
    }

    /// The authority says who drains: what it says from now on counts.
    pub(super) fn confirmed(&mut self, member: Member) {
        self.by.remove(&member);
    }

    /// It is gone.
    pub(super) fn forget(&mut self, member: Member) {
        self.by.remove(&member);
        self.over.remove(&member);
    }
}

impl Draining {
    fn new(me: Member) -> Self {
        Draining {
            stage: Stage::Draining,
            machine: Drain::new(me),
            callers: Vec::new(),
            wants: false,
            asking: false,
            token: None,
            told: false,
            asked: false,
            round: 0,
        }
    }

    /// Who is up has changed.
    pub(super) fn handle_ring(&mut self, ring: &Ring, now: Duration) {
        self.machine.handle_ring(ring, now);
    }

    pub(super) fn handle_record(&mut self, shard: ShardId, record: &Record, now: Duration) {
        self.machine.handle_record(shard, record.clone(), now);
    }

    /// Whether it is given nothing.
    pub(super) fn is_marked(&self) -> bool {
        self.told || self.stage != Stage::Draining
    }
}

impl Manager {
    /// This member is to drain, and whoever asks waits for so long.
    pub(super) fn drain(
        &mut self,
        limit: Duration,
        caller: ReplyTo<Drained>,
        node: &Node,
    ) -> Result<CallReply> {
        let me = self.shared().me();
        if !self.setup.serves {
            return caller.reply(Ok(()));
        }
        let new = self.drain.is_none();
        let draining = self.drain.get_or_insert_with(|| Draining::new(me));
        if draining.stage == Stage::Left {
            return caller.reply(Ok(()));
        }
        draining.callers.push((caller, Instant::now() + limit));
        if new {
            tracing::info!(target: "incarnate::shard", member = %me, "drain begins");
            let now = self.setup.shared.now();
            for (shard, record) in &self.records {
                draining.machine.handle_record(*shard, record.clone(), now);
            }
        }
        self.tick_drain(node);
        noreply()
    }

    /// What is due of a drain.
    pub(super) fn tick_drain(&mut self, node: &Node) {
        let (now, lease) = (self.shared().now(), self.lease());
        let (me, settled) = (self.shared().me(), !self.swapping && self.swaps.is_empty());
        // Who else is up is to be known, which is so when this member itself is heard of.
        let known = self.members.contains_key(&me);
        let ring = self.ring();
        let Some(draining) = self.drain.as_mut().filter(|draining| draining.stage == Stage::Draining) else {
            return;
        };
        if known && !draining.asked {
            draining.asked = true;
            draining.machine.handle_ring(&ring, now);
            draining.machine.handle_asked(now);
        }
        // It is freed with the lease by which it was taken.
        if draining.token.is_some() && draining.token != lease {
            self.lose_token();
        }
        let Some(draining) = self.drain.as_mut() else { return };
        // What it has claimed before is known by now.
        if draining.token.is_some() && !draining.told && settled {
            draining.told = true;
            draining.machine.handle_token(true, now);
            self.place();
        }
        if let Some(draining) = &mut self.drain {
            draining.machine.handle_tick(now);
        }
        self.take_token(lease, node);
        self.end_waits(node);
        self.act_drain(node);
    }

    /// The token is not here any more.
    pub(super) fn lose_token(&mut self) {
        let now = self.shared().now();
        if let Some(draining) = &mut self.drain {
            draining.token = None;
            if std::mem::take(&mut draining.told) {
                draining.machine.handle_token(false, now);
            }
        }
    }

    fn take_token(&mut self, lease: Option<LeaseId>, node: &Node) {
        let me = self.shared().me();
        let Some(draining) = &mut self.drain else { return };
        let Some(lease) = lease.filter(|_| draining.wants && !draining.asking && draining.token.is_none())
        else {
            return;
        };
        draining.asking = true;
        let (authority, manager) = (self.setup.authority.clone(), self.manager.clone());
        node.runtime().spawn(async move {
            let taken = authority.take_token(me).await == Ok(me);
            if !taken {
                sleep(AGAIN).await;
            }
            manager.send(Event::Drain(DrainEvent::Token(taken.then_some(lease))));
        });
    }

    /// Whose time is over hears what is waited for; when nobody waits any more the drain is taken back.
    fn end_waits(&mut self, node: &Node) {
        let (now, waits) = (Instant::now(), self.drain_waits());
        let Some(draining) = &mut self.drain else { return };
        let (over, callers) =
            std::mem::take(&mut draining.callers).into_iter().partition(|(_, until)| now >= *until);
        draining.callers = callers;
        let over: Vec<(ReplyTo<Drained>, Instant)> = over;
        for (caller, _) in over {
            caller.send(Err(waits.clone()));
        }
        if !draining.callers.is_empty() {
            return;
        }
        tracing::warn!(target: "incarnate::shard", %waits, "drain given up");
        let (round, me) = (draining.round, self.shared().me());
        self.drain = None;
        self.free_token(node);
        for member in self.others() {
            let no_more =
                ask(node.clone(), member, move |caller| Call::DrainsNoMore(me, round, caller), ANSWERS);
            node.runtime().spawn(no_more);
        }
        self.place();
    }

    fn drain_waits(&self) -> DrainWaits {
        let me = self.shared().me();
        let named = |record: &Record| record.owner == me || record.in_sync.contains(&me);
        let named = self.records.iter().filter(|(_, record)| named(record)).map(|(shard, _)| *shard);
        match self.drain.as_ref().and_then(|draining| draining.machine.waits()) {
            Some(Waits::Token) => DrainWaits::Token,
            Some(Waits::Third(shards)) => DrainWaits::Third(shards.iter().copied().collect()),
            None if self.drain.as_ref().is_some_and(|draining| !draining.asked) => DrainWaits::Token,
            None => DrainWaits::Under(named.collect()),
        }
    }

    pub(super) fn heard_of_drain(&mut self, event: DrainEvent, node: &Node) {
        let now = self.shared().now();
        let Some(draining) = &mut self.drain else {
            if let DrainEvent::Token(Some(_)) = event {
                self.free_token(node);
            }
            return;
        };
        match event {
            DrainEvent::Token(token) => {
                draining.asking = false;
                draining.token = token;
            }
            DrainEvent::Told(from, round, owned) => draining.machine.handle_told(from, round, &owned, now),
            DrainEvent::Read(shard, number, record) => {
                draining.machine.handle_read(shard, number, record.clone(), now);
                self.record(shard, record);
            }
            DrainEvent::Left => {
                draining.stage = Stage::Left;
                for (caller, _) in draining.callers.drain(..) {
                    caller.send(Ok(()));
                }
                tracing::info!(target: "incarnate::shard", member = %self.shared().me(), "drained");
            }
        }
        self.tick_drain(node);
    }

    pub(super) fn drain_moved(&mut self, shard: ShardId, moved: Moved, node: &Node) {
        let now = self.shared().now();
        if let (Some(draining), Err(_)) = (&mut self.drain, moved) {
            draining.machine.handle_failed(shard, now);
        }
        self.tick_drain(node);
    }

    fn act_drain(&mut self, node: &Node) {
        let me = self.shared().me();
        while let Some(action) = self.drain.as_mut().and_then(|draining| draining.machine.poll()) {
            let Some(draining) = &mut self.drain else { return };
            match action {
                DrainAction::TakeToken => draining.wants = true,
                DrainAction::Ask(to, round) => {
                    draining.round = draining.round.max(round);
                    self.ask_what_it_tells(to, round, node);
                }
                DrainAction::Read(shard, number) => {
                    let (authority, manager) = (self.setup.authority.clone(), self.manager.clone());
                    node.runtime().spawn(async move {
                        if let Ok(Some(record)) = authority.read(shard).await {
                            manager.send(Event::Drain(DrainEvent::Read(shard, number, record)));
                        }
                    });
                }
                DrainAction::Move { shard, to } => self.order_move(node, shard, me, to, Event::DrainMoved),
                DrainAction::Fill { owner, shard, .. } => {
                    let round = draining.round;
                    let request = move |caller| Call::Fill(me, round, shard, caller);
                    node.runtime().spawn(ask(node.clone(), owner, request, ANSWERS));
                }
                DrainAction::Waiting(Waits::Token) => {
                    tracing::info!(target: "incarnate::shard", "drain waits for the token");
                }
                DrainAction::Waiting(Waits::Third(shards)) => {
                    tracing::warn!(
                        target: "incarnate::shard",
                        shards = shards.len(),
                        "drain waits for another node that could have shards"
                    );
                }
                DrainAction::Ready => {
                    draining.stage = Stage::Leaving;
                    self.leave(node);
                }
                // When it is known to leave.
                DrainAction::FreeToken => {}
            }
        }
    }

    fn ask_what_it_tells(&self, to: Member, round: u64, node: &Node) {
        let (manager, me, asking) = (self.manager.clone(), self.shared().me(), node.clone());
        node.runtime().spawn(async move {
            let request = move |caller| Call::Drains(me, round, caller);
            if let Ok((from, owned)) = ask(asking, to, request, ANSWERS).await {
                let owned = owned.into_iter().collect();
                manager.send(Event::Drain(DrainEvent::Told(from, round, owned)));
            }
        });
    }

    /// Another member drains, and asks which shards this one owns, and of which it tells that one.
    pub(super) fn drains(
        &mut self,
        member: Member,
        round: u64,
        caller: ReplyTo<(Member, Vec<(ShardId, bool)>)>,
        node: &Node,
    ) -> Result<CallReply> {
        self.mark(member, round);
        let (tell, mut told) = mpsc::unbounded_channel();
        // Behind all that they were told before, so that what they say counts from now on.
        self.tell_all(|| ShardEvent::Tells(member, tell.clone()));
        drop(tell);
        let me = self.shared().me();
        node.runtime().spawn(async move {
            let mut owned = Vec::new();
            while let Some(one) = told.recv().await {
                owned.push(one);
            }
            caller.send((me, owned));
        });
        noreply()
    }

    /// Another member drains: it is given nothing from now on.
    pub(super) fn mark(&mut self, member: Member, round: u64) {
        if self.token != Some(member) && self.marks.add(member, round) {
            self.place();
        }
    }

    /// Nobody needs this member any more: all are told, and then the token is freed.
    fn leave(&mut self, node: &Node) {
        let (authority, manager) = (self.setup.authority.clone(), self.manager.clone());
        let (me, lease) = (self.shared().me(), self.lease());
        let about = self.say(|about| about.leaves = true);
        node.runtime().spawn(async move {
            for _ in 0..TIMES {
                let renewal = Renewal { member: me, lease, former: None, about: about.clone() };
                // Who has no lease is given nothing.
                let told = lease.is_none()
                    || matches!(authority.renew(renewal).await, Ok(_) | Err(RenewError::Over));
                if told {
                    free(&authority, me).await;
                    break;
                }
                // If there is never an answer it is freed with the lease.
                sleep(AGAIN).await;
            }
            manager.send(Event::Drain(DrainEvent::Left));
        });
        self.place();
    }

    /// The token is here and nothing is known of it, or it is not needed any more.
    pub(super) fn free_token(&self, node: &Node) {
        let (authority, me) = (self.setup.authority.clone(), self.shared().me());
        node.runtime().spawn(async move { free(&authority, me).await });
    }
}

async fn free(authority: &Arc<dyn Authority>, me: Member) {
    for _ in 0..TIMES {
        if authority.free_token(me).await.is_ok() {
            return;
        }
        sleep(AGAIN).await;
    }
}

/// The node of a member.
pub(super) fn node_of(member: Member) -> NodeId {
    NodeId::from_fingerprint(member.node)
}

/// Drains its node when it is told to end.
pub(super) struct Drainer(Shards, Duration);

impl GenServer for Drainer {
    type Args = (Shards, Duration);
    type Call = Never;
    type Cast = Never;
    type Info = Never;
    type Continue = Never;

    async fn init((shards, limit): Self::Args, cx: &mut Context<Self>) -> Result<Init<Self>> {
        cx.trap_exit(true);
        Ok(Init::Ready(Drainer(shards, limit)))
    }

    async fn handle_call(&mut self, call: Never, _: &mut Context<Self>) -> Result<CallReply> {
        match call {}
    }

    async fn terminate(&mut self, reason: &ExitReason, _: &mut Context<Self>) -> Result<()> {
        let Drainer(shards, limit) = self;
        // What has crashed is started anew, and the node serves on.
        if reason.is_orderly()
            && let Err(error) = shards.drain(*limit).await
        {
            tracing::warn!(target: "incarnate::shard", %error, "stopped without having drained");
        }
        Ok(())
    }
}
