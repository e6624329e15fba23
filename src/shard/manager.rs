//! The process that ties the shards of a node to the authority and to the other nodes: who is up, who is gone, who is to have
//! what.
//!
//! It decides nothing that a record does not say: what it tells a shard is what it has heard, and advice.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use incarnate_shards::{LeaseId, Member, NotMoved, Record, ShardId, Swapped};
use serde::{Deserialize, Serialize};
use tokio::time::Instant;

use super::about::About;
use super::authority::{Authority, Change, News, Verdict, keep_lease};
use super::balance::{Balancer, Measured};
use super::client;
use super::drain::{DrainEvent, Drained, Draining, Marks, node_of};
use super::hosted::{Event as ShardEvent, Hosted, Moved};
use super::packet::{self, Letters};
use super::recover::{Recover, Recovered};
use super::rolling::{Refusals, ReleaseInfo, Releases};
use super::shared::{Known, Order, Shared};

use crate::gen_server::{CallReply, Context, GenServer, Init, Next, SourceRef, Sourced, noreply};
use crate::node;
use crate::process::{CallError, Info, Node, ReplyTo, Result, ServerRef, meter};
use crate::term::{Name, Never, NodeId};

pub(super) const NAME: Name<Call, Never, Event> = Name::new(packet::NAME);

/// What is under way is looked at so often.
const TICK: Duration = Duration::from_millis(50);

/// And what is at rest after so many of those.
const SLOW: u32 = 20;

/// After so many ticks the authority is asked again whose lease is over.
const ASKS: u32 = 4;

/// A member that was never connected is believed to be gone after so long.
const ABSENT: Duration = Duration::from_secs(1);

/// What a manager is started with.
pub(super) struct Setup {
    pub(super) shared: Arc<Shared>,
    pub(super) authority: Arc<dyn Authority>,
    pub(super) lease: Duration,
    pub(super) oldest: u32,
    pub(super) members: usize,
    pub(super) serves: bool,
    pub(super) records: BTreeMap<ShardId, Record>,
    pub(super) balance_every: Duration,
    pub(super) upgrade_after: Duration,
}

/// What is asked of it, from any node.
#[derive(Serialize, Deserialize)]
pub(super) enum Call {
    /// The shard, which is served here, is to be served by that member, at the latest after this time.
    Move(ShardId, Member, Duration, ReplyTo<Moved>),
    /// The shard is lost, and this member is to go on with it.
    Recover(ShardId, Recover, ReplyTo<Recovered>),
    /// What was measured of the shards that are served here?
    Loads(ReplyTo<Vec<Measured>>),
    /// That member drains, in a round of its own count: which shards are owned here, and is it told of them?
    Drains(Member, u64, ReplyTo<(Member, Vec<(ShardId, bool)>)>),
    /// It does not any more, up to this round.
    DrainsNoMore(Member, u64, ReplyTo<()>),
    /// That member drains: a third is to have the copy of the shard.
    Fill(Member, u64, ShardId, ReplyTo<()>),
    /// This member is to drain, at the latest after this time.
    Drain(Duration, ReplyTo<Drained>),
    /// Which shards are not written in a lower release, by which setting?
    Refusals(ReplyTo<Refusals>),
    /// How far is the cluster with its releases?
    Release(ReplyTo<ReleaseInfo>),
    /// This release is wanted everywhere.
    SetRelease(Option<u32>, ReplyTo<()>),
}

/// What happens to it, on its own node.
#[derive(Serialize, Deserialize)]
pub(super) enum Event {
    #[serde(skip)]
    News(Sourced<News>),
    #[serde(skip)]
    Order(Order),
    /// The lease is valid until then.
    #[serde(skip)]
    Lease(LeaseId, Instant),
    /// Whether a lease of a member is over.
    #[serde(skip)]
    IsOver(Member, LeaseId, bool),
    /// The record of a shard, as it was read.
    #[serde(skip)]
    Record(ShardId, Record),
    /// What has come of changes.
    #[serde(skip)]
    Swapped(Vec<(ShardId, Record, Swapped)>),
    /// What all members have measured; `None`: some have not said.
    #[serde(skip)]
    Loads(Option<Vec<Measured>>),
    /// What has come of a move to balance.
    #[serde(skip)]
    Balanced(ShardId, Moved),
    /// What has come of a move of a drain.
    #[serde(skip)]
    DrainMoved(ShardId, Moved),
    #[serde(skip)]
    Drain(DrainEvent),
    #[serde(skip)]
    Tick,
}

/// Asks the manager of a member.
pub(super) async fn ask<T: Send + 'static>(
    node: Node,
    of: Member,
    request: impl FnOnce(ReplyTo<T>) -> Call,
    limit: Duration,
) -> Result<T, CallError> {
    NAME.at(&node, node_of(of)).call_timeout(request, limit).await
}

pub(super) struct Manager {
    pub(super) setup: Setup,
    pub(super) manager: ServerRef<Call, Never, Event>,
    news: SourceRef,
    /// Members with a lease.
    pub(super) members: BTreeMap<Member, (LeaseId, About)>,
    /// What this one says of itself.
    about: Arc<Mutex<About>>,
    pub(super) token: Option<Member>,
    /// The drain of this member, and what is known of others'.
    pub(super) drain: Option<Draining>,
    pub(super) marks: Marks,
    pub(super) balancer: Balancer,
    pub(super) releases: Releases,
    /// Members that somebody may still count on, and since when they are not connected; `None`: they are.
    seen: BTreeMap<Member, Option<Instant>>,
    pub(super) suspected: BTreeSet<Member>,
    pub(super) records: BTreeMap<ShardId, Record>,
    /// Since when a shard seems to be lost.
    pub(super) lost: BTreeMap<ShardId, Instant>,
    /// Leases of owners that are over, and those that were asked after.
    pub(super) over: BTreeSet<(Member, LeaseId)>,
    asked: BTreeSet<(Member, LeaseId)>,
    /// This member's lease, and until when it is valid.
    pub(super) until: Option<(LeaseId, Instant)>,
    /// Who has ordered the moves that are under way.
    pub(super) moves: BTreeMap<ShardId, ReplyTo<Moved>>,
    /// Who waits for lost shards.
    pub(super) recovering: Vec<(ShardId, ReplyTo<Recovered>)>,
    pub(super) swaps: Vec<(ShardId, Record)>,
    pub(super) swapping: bool,
    ticks: u32,
}

impl GenServer for Manager {
    type Args = Setup;
    type Call = Call;
    type Cast = Never;
    type Info = Event;
    type Continue = Never;

    async fn init(setup: Setup, cx: &mut Context<Self>) -> Result<Init<Self>> {
        let process = cx.process().clone();
        cx.node().when_distributed(move |_, network| {
            if let Some(nodes) = network.as_any().downcast_ref::<node::Shared>() {
                nodes.expose(packet::NAME, &Letters);
                nodes.watch(&process, true);
            }
        });
        let about = Arc::new(Mutex::new(About::of(setup.oldest, setup.shared.release())));
        if setup.serves {
            let (authority, me, lease) = (setup.authority.clone(), setup.shared.me(), setup.lease);
            let (about, manager) = (about.clone(), cx.server());
            cx.spawn_link::<Never, _, _>(move |_| async move {
                let valid = move |lease, until| manager.send(Event::Lease(lease, until));
                keep_lease(&*authority, me, lease, move || said(&about), valid).await;
            });
        }
        let news = cx.source(setup.authority.watch(), Event::News);
        news.active_once();
        cx.send_after(TICK, Event::Tick);
        let records = setup.records.clone();
        let mut manager = Manager {
            manager: cx.server(),
            balancer: Balancer::new(setup.balance_every),
            releases: Releases::new(setup.upgrade_after),
            setup,
            news,
            members: BTreeMap::new(),
            about,
            token: None,
            drain: None,
            marks: Marks::default(),
            seen: BTreeMap::new(),
            suspected: BTreeSet::new(),
            records: BTreeMap::new(),
            lost: BTreeMap::new(),
            recovering: Vec::new(),
            over: BTreeSet::new(),
            asked: BTreeSet::new(),
            until: None,
            moves: BTreeMap::new(),
            swaps: Vec::new(),
            swapping: false,
            ticks: 0,
        };
        records.into_iter().for_each(|(shard, record)| manager.record(shard, record));
        Ok(Init::Ready(manager))
    }

    async fn handle_call(&mut self, call: Call, cx: &mut Context<Self>) -> Result<CallReply> {
        match call {
            Call::Move(shard, to, limit, caller) => self.move_shard(shard, to, limit, caller),
            Call::Recover(shard, with, caller) => self.recover(shard, with, caller),
            Call::Loads(caller) => caller.reply(self.balancer.said()),
            Call::Drains(member, round, caller) => self.drains(member, round, caller, cx.node()),
            Call::DrainsNoMore(member, round, caller) => {
                self.marks.remove(member, round);
                self.ring_changed();
                caller.reply(())
            }
            Call::Fill(member, round, shard, caller) => {
                self.mark(member, round);
                let hosted = self.hosted(shard);
                self.place_one(shard, hosted.as_ref());
                caller.reply(())
            }
            Call::Drain(limit, caller) => self.drain(limit, caller, cx.node()),
            Call::Refusals(caller) => caller.reply(self.releases.refusals()),
            Call::Release(caller) => self.tell_release(caller, cx.node()),
            Call::SetRelease(release, caller) => {
                self.set_release(release, cx.node());
                caller.reply(())
            }
        }
    }

    async fn handle_info(&mut self, info: Info<Event>, cx: &mut Context<Self>) -> Result<Next> {
        match info {
            Info::User(Event::News(news)) => {
                if let Sourced::Item(news) = news {
                    self.heard(news, cx.node());
                }
                self.news.active_once();
            }
            Info::User(Event::Order(order)) => self.order(order, cx),
            Info::User(Event::Lease(lease, until)) => self.leased(lease, until),
            Info::User(Event::IsOver(member, lease, over)) => {
                self.asked.remove(&(member, lease));
                if over && self.over.insert((member, lease)) {
                    self.tell_all(|| ShardEvent::Over(member, lease));
                    self.place();
                }
            }
            Info::User(Event::Record(shard, record)) => self.record(shard, record),
            Info::User(Event::Swapped(outcomes)) => self.swapped(outcomes, cx),
            Info::User(Event::Loads(measured)) => self.plan_moves(measured, cx.node()),
            Info::User(Event::Balanced(shard, moved)) => self.balanced(shard, moved),
            Info::User(Event::DrainMoved(shard, moved)) => self.drain_moved(shard, moved, cx.node()),
            Info::User(Event::Drain(event)) => self.heard_of_drain(event, cx.node()),
            Info::User(Event::Tick) => {
                cx.send_after(TICK, Event::Tick);
                self.tick();
                self.tick_drain(cx.node());
                self.tick_balance(cx.node());
                self.ask_who_is_over(cx);
            }
            Info::NodeUp(node) => self.connected(node),
            Info::NodeDown(node) => self.disconnected(node),
            _ => {}
        }
        noreply()
    }
}

impl Manager {
    pub(super) fn shared(&self) -> &Arc<Shared> {
        &self.setup.shared
    }

    pub(super) fn hosted(&self, shard: ShardId) -> Option<Arc<Hosted>> {
        self.setup.serves.then(|| self.shared().hosted(shard)).flatten()
    }

    /// This member's lease, if it has one that is valid now.
    pub(super) fn lease(&self) -> Option<LeaseId> {
        self.until.filter(|(_, until)| Instant::now() < *until).map(|(lease, _)| lease)
    }

    /// The other members that are up.
    pub(super) fn others(&self) -> Vec<Member> {
        let me = self.shared().me();
        self.members.keys().filter(|member| **member != me).copied().collect()
    }

    /// Says something else of itself; answers all that it says.
    pub(super) fn say(&self, change: impl FnOnce(&mut About)) -> String {
        change(&mut self.about.lock().unwrap_or_else(PoisonError::into_inner));
        said(&self.about)
    }

    /// A shard that is served here is to be served by another member.
    fn move_shard(
        &mut self,
        shard: ShardId,
        to: Member,
        limit: Duration,
        caller: ReplyTo<Moved>,
    ) -> Result<CallReply> {
        match self.hosted(shard) {
            Some(hosted) if hosted.look(|host| host.replica().serves()).is_some() => {
                if self.moves.contains_key(&shard) {
                    self.count_move(shard, Err(NotMoved::Busy));
                    return caller.reply(Err(NotMoved::Busy));
                }
                self.moves.insert(shard, caller);
                hosted.handle(ShardEvent::Move(to, limit));
                noreply()
            }
            _ => caller.reply(Err(NotMoved::NotOwner)),
        }
    }

    fn count_move(&self, shard: ShardId, moved: Moved) {
        let outcome = match moved {
            Ok(()) => "done",
            Err(NotMoved::NotOwner | NotMoved::Deposed) => "not the owner",
            Err(NotMoved::Busy) => "busy",
            Err(NotMoved::Target) => "target",
        };
        tracing::debug!(target: "incarnate::shard", %shard, outcome, "shard moved");
        if let Some(node) = self.shared().node() {
            meter::shard_moved(&node, outcome);
        }
    }

    pub(super) fn tell_all(&self, event: impl Fn() -> ShardEvent) {
        self.shared().all_hosted().for_each(|(_, hosted)| hosted.handle(event()));
    }

    fn tell_clients(&self, event: impl Fn() -> client::Event) {
        self.shared().all_clients().for_each(|(_, client)| client.handle(event()));
    }

    /// The authority has told something.
    fn heard(&mut self, news: News, node: &Node) {
        match news {
            News::Lives(member, lease, about) => {
                // Who says what is not understood is given nothing.
                if let Ok(about) = about.parse::<About>() {
                    self.adopt(about.pin);
                    if self.members.insert(member, (lease, about)).is_none() {
                        self.balancer.soon();
                    }
                    self.seen.entry(member).or_default();
                    self.ring_changed();
                }
            }
            News::Over(member) => {
                self.members.remove(&member);
                self.marks.forget(member);
                if !self.shared().is_connected(member) {
                    self.suspect(member, true);
                }
                self.ring_changed();
            }
            News::Record(shard, record) => self.record(shard, record),
            News::Token(token) => self.token_news(token, node),
        }
    }

    fn token_news(&mut self, token: Option<Member>, node: &Node) {
        let me = Some(self.shared().me());
        let before = std::mem::replace(&mut self.token, token);
        if let Some(holder) = token {
            self.marks.confirmed(holder);
        }
        if before == me && token != me {
            self.lose_token();
        }
        // Whoever has it without knowing why has asked once and never heard the answer.
        if token == me && self.drain.is_none() {
            self.free_token(node);
        }
        self.ring_changed();
    }

    /// Somebody has come or gone, reads something else, or drains.
    pub(super) fn ring_changed(&mut self) {
        let (ring, now) = (self.ring(), self.shared().now());
        if let Some(draining) = &mut self.drain {
            draining.handle_ring(&ring, now);
        }
        self.place();
        self.change_releases(&ring);
    }

    /// A record is in force, as far as is known.
    pub(super) fn record(&mut self, shard: ShardId, record: Record) {
        let known = self.records.get(&shard).map_or(0, |known| known.revision);
        if known > record.revision {
            return;
        }
        if known == record.revision {
            // Whoever asked for it may not have it yet.
            if let Some(hosted) = self.hosted(shard) {
                hosted.handle(ShardEvent::Record(Some(record)));
            }
            return;
        }
        let me = self.shared().me();
        for member in record.in_sync.iter().chain([&record.owner]).filter(|member| **member != me) {
            self.seen.entry(*member).or_default();
        }
        let known = Known::Owner(record.owner, record.epoch);
        self.releases.recorded(shard, &record);
        let now = self.shared().now();
        if let Some(draining) = &mut self.drain {
            draining.handle_record(shard, &record, now);
        }
        self.lost.remove(&shard);
        self.owned(shard, &record);
        self.records.insert(shard, record.clone());
        if self.shared().note(shard, known)
            && let Some(client) = self.shared().client(shard)
        {
            client.handle(client::Event::Look);
        }
        let hosted = self.hosted(shard);
        if let Some(hosted) = &hosted {
            let owner = (record.owner, record.lease);
            hosted.handle(ShardEvent::Record(Some(record)));
            // A shard forgets of those that no record names.
            if self.over.contains(&owner) {
                hosted.handle(ShardEvent::Over(owner.0, owner.1));
            }
        }
        self.place_one(shard, hosted.as_ref());
    }

    /// What shards ask for.
    fn order(&mut self, order: Order, cx: &mut Context<Self>) {
        match order {
            Order::Read(shard) => self.read(shard, cx),
            Order::Swap(shard, record) => {
                self.swaps.push((shard, record));
                self.swap(cx);
            }
            Order::Serves(shard) => {
                let hosted = self.hosted(shard);
                self.place_one(shard, hosted.as_ref());
            }
            Order::Refused(shard, release, processes) => self.refused(shard, release, processes),
            Order::NotRecovered(shard, why) => self.recovered(shard, Err(why)),
            Order::Moved(shard, moved) => {
                self.count_move(shard, moved);
                if let Some(caller) = self.moves.remove(&shard) {
                    caller.send(moved);
                }
            }
        }
    }

    fn read(&self, shard: ShardId, cx: &Context<Self>) {
        let (authority, manager) = (self.setup.authority.clone(), cx.server());
        cx.node().runtime().spawn(async move {
            if let Ok(Some(record)) = authority.read(shard).await {
                manager.send(Event::Record(shard, record));
            }
        });
    }

    /// Proposes all that is to be proposed, at once; what comes meanwhile goes together the next time.
    fn swap(&mut self, cx: &mut Context<Self>) {
        if self.swapping || self.swaps.is_empty() {
            return;
        }
        self.swapping = true;
        let mut batch = BTreeMap::new();
        // Of two that are for one shard, the second has to wait.
        let mut later = Vec::new();
        for (shard, record) in std::mem::take(&mut self.swaps) {
            match batch.contains_key(&shard) {
                true => later.push((shard, record)),
                false => _ = batch.insert(shard, record),
            }
        }
        self.swaps = later;
        let changes: Vec<_> = batch
            .iter()
            .filter_map(|(shard, record)| {
                let before = self.records.get(shard).filter(|known| known.revision + 1 == record.revision);
                Change::new(*shard, before, record.clone()).ok()
            })
            .collect();
        // What does not follow what is known has lost, or is read first.
        batch.retain(|shard, _| {
            let goes = changes.iter().any(|change| change.shard() == *shard);
            if !goes {
                self.read(*shard, cx);
            }
            goes
        });
        let (authority, manager) = (self.setup.authority.clone(), cx.server());
        cx.node().runtime().spawn(async move {
            let verdicts = authority.swap(changes).await;
            let outcomes = batch.into_iter().zip(verdicts);
            let outcomes =
                outcomes.map(|((shard, record), verdict): (_, Verdict)| (shard, record, verdict.into()));
            manager.send(Event::Swapped(outcomes.collect()));
        });
    }

    fn swapped(&mut self, outcomes: Vec<(ShardId, Record, Swapped)>, cx: &mut Context<Self>) {
        self.swapping = false;
        for (shard, record, outcome) in outcomes {
            let in_force = match &outcome {
                Swapped::Won => Some(record.clone()),
                Swapped::Lost(record) => record.clone(),
                Swapped::Unknown => None,
            };
            if let Some(hosted) = self.hosted(shard) {
                hosted.handle(ShardEvent::Swapped(record, outcome));
            }
            if let Some(record) = in_force {
                self.record(shard, record);
            }
        }
        self.swap(cx);
    }

    fn leased(&mut self, lease: LeaseId, until: Instant) {
        let before = self.until.replace((lease, until));
        let until = until.saturating_duration_since(self.shared().origin());
        self.tell_all(|| ShardEvent::Lease(lease, until));
        if before.is_none() {
            self.place();
        }
    }

    /// Asks after the leases by which shards are owned, of owners that seem to have none or another one.
    fn ask_who_is_over(&mut self, cx: &mut Context<Self>) {
        if !self.ticks.is_multiple_of(ASKS) || !self.setup.serves {
            return;
        }
        let has = |record: &Record| self.members.get(&record.owner).map(|(lease, _)| *lease);
        let doubtful = self.records.values().filter(|record| has(record) != Some(record.lease));
        let owners: BTreeSet<_> = doubtful.map(|record| (record.owner, record.lease)).collect();
        self.over.retain(|over| owners.contains(over));
        for (member, lease) in owners {
            if !self.over.contains(&(member, lease)) && self.asked.insert((member, lease)) {
                let (authority, manager) = (self.setup.authority.clone(), cx.server());
                cx.node().runtime().spawn(async move {
                    let over = authority.is_over(member, lease).await.unwrap_or(false);
                    manager.send(Event::IsOver(member, lease, over));
                });
            }
        }
    }

    fn connected(&mut self, node: NodeId) {
        for member in self.members_of(node, true) {
            self.seen.insert(member, None);
            self.suspect(member, false);
            self.tell_all(|| ShardEvent::Connected(member));
        }
    }

    /// The lives of a node that somebody may count on: those that are connected, or the others.
    fn members_of(&self, node: NodeId, connected: bool) -> Vec<Member> {
        let of = |member: &&Member| NodeId::from_fingerprint(member.node) == node;
        let members = self.seen.keys().filter(of).copied();
        members.filter(|member| self.setup.shared.is_connected(*member) == connected).collect()
    }

    fn disconnected(&mut self, node: NodeId) {
        for member in self.members_of(node, false) {
            self.tell_all(|| ShardEvent::Disconnected(member));
            self.tell_clients(|| client::Event::Unreachable(member));
            self.suspect(member, true);
        }
    }

    fn suspect(&mut self, member: Member, suspected: bool) {
        let changed = match suspected {
            true => self.suspected.insert(member),
            false => self.suspected.remove(&member),
        };
        if changed && member != self.shared().me() {
            self.tell_all(|| ShardEvent::Suspected(member, suspected));
            self.place();
        }
    }

    fn tick(&mut self) {
        self.ticks = self.ticks.wrapping_add(1);
        let slow = self.ticks.is_multiple_of(SLOW);
        for (_, hosted) in self.shared().all_hosted() {
            if slow || !hosted.look(|host| host.replica().is_at_rest()) {
                hosted.handle(ShardEvent::Tick);
            }
        }
        for (_, client) in self.shared().all_clients() {
            if slow || client.look(|client| client.open > 0) {
                client.handle(client::Event::Tick);
            }
        }
        self.watch_the_absent();
        if self.ticks.is_multiple_of(ASKS) {
            self.change_releases(&self.ring());
        }
        if slow {
            let lost = self.find_lost();
            if let Some(node) = self.shared().node() {
                meter::shards(&node, &self.shared().lags(), lost);
            }
        }
    }

    /// Members that were never connected for a while, or have not come back, are believed to be gone.
    fn watch_the_absent(&mut self) {
        let (now, me) = (Instant::now(), self.shared().me());
        let mut gone = Vec::new();
        for (member, since) in self.seen.iter_mut().filter(|(member, _)| **member != me) {
            let connected = self.setup.shared.is_connected(*member);
            match since {
                Some(_) if connected => *since = None,
                None if !connected => *since = Some(now),
                Some(since) if now >= *since + ABSENT => gone.push(*member),
                _ => {}
            }
        }
        for member in gone {
            self.suspect(member, true);
        }
    }
}

impl Drop for Manager {
    /// Nobody is left who would tell them anything: they serve no more.
    fn drop(&mut self) {
        self.tell_all(|| ShardEvent::Stop);
    }
}

fn said(about: &Mutex<About>) -> String {
    about.lock().unwrap_or_else(PoisonError::into_inner).to_string()
}
