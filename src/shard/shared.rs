//! What a node has of shards: those that are here, those that it asks, and who owns which as far as is known.

use std::num::NonZeroU32;
use std::sync::{Arc, OnceLock, PoisonError, RwLock};
use std::time::Duration;

use incarnate_shards::{Alone, Asked, Member, Mode, Record, Reply, Request, RequestId, Route, ShardId};
use serde::Serialize;
use tokio::time::Instant;

use super::address::{Address, Blob, Body, Fault, Said};
use super::client::{Asking, Client};
use super::cluster::Tuning;
use super::combine::Combined;
use super::epochs::{Epochs, Told};
use super::hosted::{Event, Host, Hosted, Moved};
use super::kind::Kinds;
use super::life::note_answer;
use super::packet::{Asks, Letter, Packet};
use super::post::Post;
use super::recover::NotRecovered;
use crate::process::elsewhere::{Dest, Route as Way, Sort};
use crate::process::{Node, Rows, WeakNode, wire};
use crate::term::NodeId;

/// What a shard asks of whoever knows the authority.
#[derive(Debug)]
pub(super) enum Order {
    Read(ShardId),
    Swap(ShardId, Record),
    /// It is served here from now on, or is not any more.
    Serves(ShardId),
    Moved(ShardId, Moved),
    /// It stays in a higher version: these cannot be said in this lower one.
    Refused(ShardId, u32, Vec<String>),
    /// It stays lost.
    NotRecovered(ShardId, NotRecovered),
}

/// Who owns a shard, as far as is known here.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Known {
    #[default]
    Nobody,
    Owner(Member, u64),
    /// Whoever had it is gone for good.
    Lost,
}

/// Where a node keeps its shards.
#[derive(Default)]
struct Place(OnceLock<Arc<Shared>>);

pub(crate) struct Shared {
    node: WeakNode,
    me: Member,
    kinds: Arc<Kinds>,
    /// How many shards there are of each mode.
    per_mode: NonZeroU32,
    origin: Instant,
    tuning: Tuning,
    release: u32,
    hosts: Box<[OnceLock<Arc<Hosted>>]>,
    clients: Box<[OnceLock<Arc<Client>>]>,
    view: RwLock<Box<[Known]>>,
    told: Told,
    post: Post,
    /// Takes what shards ask. Never waits.
    orders: Box<dyn Fn(Order) + Send + Sync>,
}

/// In which of four rows the shards of a mode are: those of one row have one mode.
pub(super) fn row_of(mode: Mode) -> u32 {
    match mode {
        Mode::Local => 0,
        Mode::Async { .. } => 1,
        Mode::Copied { alone: Alone::Serve } => 2,
        Mode::Copied { alone: Alone::Wait } => 3,
    }
}

/// How many rows there are: behind those of the modes come theirs for processes that are pinned.
const ROWS: u32 = 8;

/// How many of those are not for pinned ones.
const MODES: u32 = 4;

impl Shared {
    pub(super) fn new(
        node: &Node,
        me: Member,
        kinds: Arc<Kinds>,
        (per_mode, release): (NonZeroU32, u32),
        tuning: Tuning,
        orders: Box<dyn Fn(Order) + Send + Sync>,
    ) -> Arc<Self> {
        let all = per_mode.get() * ROWS;
        let shared = Arc::new(Shared {
            node: node.downgrade(),
            me,
            kinds,
            per_mode,
            origin: Instant::now(),
            tuning,
            release,
            hosts: (0..all).map(|_| OnceLock::new()).collect(),
            clients: (0..all).map(|_| OnceLock::new()).collect(),
            view: RwLock::new((0..all).map(|_| Known::Nobody).collect()),
            told: Told::of(all),
            post: Post::default(),
            orders,
        });
        shared.kinds.belong(&shared);
        shared
    }

    /// Makes it the one of its node; false: there is one.
    pub(super) fn settle(self: &Arc<Self>, node: &Node) -> bool {
        node.extension(Place::default).0.set(self.clone()).is_ok()
    }

    /// That of a node, if its shards were started.
    pub(super) fn of(node: &Node) -> Option<Arc<Shared>> {
        node.extension(Place::default).0.get().cloned()
    }

    pub(super) fn node(&self) -> Option<Node> {
        self.node.upgrade()
    }

    pub(super) fn me(&self) -> Member {
        self.me
    }

    pub(super) fn kinds(&self) -> &Arc<Kinds> {
        &self.kinds
    }

    /// The highest release whose bytes are read and written here.
    pub(super) fn release(&self) -> u32 {
        self.release
    }

    /// The time that machines are told.
    pub(super) fn now(&self) -> Duration {
        self.origin.elapsed()
    }

    /// A time of machines as a moment, and back.
    pub(super) fn origin(&self) -> Instant {
        self.origin
    }

    pub(super) fn order(&self, order: Order) {
        (self.orders)(order);
    }

    /// The shard that a process lives in. Of a type that is not known here, the mode is not either: nobody has it.
    pub(super) fn shard_of(&self, address: &Address) -> ShardId {
        let row = self.kinds.get(address.kind()).map_or(0, |kind| row_of(kind.mode));
        let (row, at) = match address.pin() {
            None => (row, ShardId::of(address.kind(), address.key(), self.per_mode).0),
            Some(node) => (row + MODES, self.pin_of(node)),
        };
        ShardId(row * self.per_mode.get() + at)
    }

    /// Which of the shards for pinned processes is a node's.
    fn pin_of(&self, node: NodeId) -> u32 {
        node.fingerprint() % self.per_mode.get()
    }

    /// Of a shard for pinned processes: whether this is the node that they are pinned to. `None`: it is another shard.
    pub(super) fn is_home(&self, ShardId(shard): ShardId, member: Member) -> Option<bool> {
        let (row, at) = (shard / self.per_mode.get(), shard % self.per_mode.get());
        (row >= MODES).then(|| at == self.pin_of(NodeId::from_fingerprint(member.node)))
    }

    /// The mode of a shard; `None`: no type has it.
    pub(super) fn mode_of(&self, ShardId(shard): ShardId) -> Option<Mode> {
        let row = shard / self.per_mode.get() % MODES;
        self.kinds.iter().map(|kind| kind.mode).find(|mode| row_of(*mode) == row)
    }

    /// The shards of modes that a type has, without those for pinned processes.
    pub(super) fn shards(&self) -> impl Iterator<Item = ShardId> + '_ {
        let all = self.per_mode.get() * MODES;
        (0..all).map(ShardId).filter(|shard| self.mode_of(*shard).is_some())
    }

    /// The shards for processes that are pinned to a member.
    pub(super) fn pins(&self, member: Member) -> impl Iterator<Item = ShardId> + '_ {
        let at = self.pin_of(NodeId::from_fingerprint(member.node));
        let shards = (MODES..ROWS).map(move |row| ShardId(row * self.per_mode.get() + at));
        shards.filter(|shard| self.mode_of(*shard).is_some())
    }

    /// A shard at this node; `None`: there is no such shard.
    pub(super) fn hosted(self: &Arc<Self>, shard: ShardId) -> Option<Arc<Hosted>> {
        let place = self.hosts.get(shard.0 as usize)?;
        let mode = self.mode_of(shard)?;
        let node = self.node()?;
        let hosted = place.get_or_init(|| {
            let host = Host::new(self.clone(), self.me, shard, self.tuning.of(mode, self.release));
            Arc::new(Combined::new(host, node.runtime().clone()))
        });
        Some(hosted.clone())
    }

    /// The shards that are at this node in any way.
    pub(super) fn all_hosted(&self) -> impl Iterator<Item = (ShardId, &Arc<Hosted>)> {
        let hosts = (0..).map(ShardId).zip(self.hosts.iter());
        hosts.filter_map(|(shard, place)| Some((shard, place.get()?)))
    }

    /// Of each mode how many shards are served here, and how many frames the last standby of any is behind.
    pub(super) fn lags(&self) -> [(&'static str, usize, u64); MODES as usize] {
        let mut modes = ["local", "async", "copied_serve", "copied_wait"].map(|mode| (mode, 0, 0));
        for (ShardId(shard), hosted) in self.all_hosted() {
            let (serves, lag) = hosted.look(|host| (host.replica().serves(), host.replica().lag()));
            let row = shard / self.per_mode.get() % MODES;
            if let (Some(_), Some((_, served, last))) = (serves, modes.get_mut(row as usize)) {
                *served += 1;
                *last = lag.max(*last);
            }
        }
        modes
    }

    /// This node as a client of a shard.
    pub(super) fn client(self: &Arc<Self>, shard: ShardId) -> Option<Arc<Client>> {
        let place = self.clients.get(shard.0 as usize)?;
        let node = self.node()?;
        let client = place.get_or_init(|| {
            let asking = Asking::new(self.clone(), shard);
            Arc::new(Combined::new(asking, node.runtime().clone()))
        });
        Some(client.clone())
    }

    pub(super) fn all_clients(&self) -> impl Iterator<Item = (ShardId, &Arc<Client>)> {
        let clients = (0..).map(ShardId).zip(self.clients.iter());
        clients.filter_map(|(shard, place)| Some((shard, place.get()?)))
    }

    pub(super) fn known(&self, shard: ShardId) -> Known {
        let view = self.view.read().unwrap_or_else(PoisonError::into_inner);
        view.get(shard.0 as usize).copied().unwrap_or_default()
    }

    /// Notes who owns a shard; answers whether that is news.
    pub(super) fn note(&self, shard: ShardId, known: Known) -> bool {
        let mut view = self.view.write().unwrap_or_else(PoisonError::into_inner);
        let Some(place) = view.get_mut(shard.0 as usize) else { return false };
        if let (Known::Owner(_, before), Known::Owner(_, after)) = (*place, known)
            && after < before
        {
            return false;
        }
        let news = std::mem::replace(place, known) != known;
        drop(view);
        if let (true, Known::Owner(_, epoch)) = (news, known) {
            self.told.tell(shard, epoch);
        }
        news
    }

    /// An epoch of a shard was heard of.
    pub(super) fn tell(&self, shard: ShardId, epoch: u64) {
        self.told.tell(shard, epoch);
    }

    /// The epochs of a shard; `None`: there is no such shard.
    pub(super) fn epochs(&self, shard: ShardId) -> Option<Epochs> {
        let mut epochs = self.told.watch(shard)?;
        if let Known::Owner(_, epoch) = self.known(shard) {
            self.told.tell(shard, epoch);
        }
        epochs.look();
        Some(epochs)
    }

    /// Reads or writes something that lies in a shard; the return address in it is that of `row`.
    pub(super) fn keyed<R>(self: &Arc<Self>, row: Option<Box<[u8]>>, code: impl FnOnce() -> R) -> R {
        match self.node() {
            Some(node) => wire::keyed(wire::Keyed { node, rows: Some(self.clone()), row }, code),
            None => code(),
        }
    }

    /// A message, as it lies in a shard.
    pub(super) fn write<T: Serialize>(self: &Arc<Self>, message: &T) -> Result<Blob, String> {
        let mut written = Vec::new();
        self.keyed(None, || wire::write(&mut written, message))?;
        Ok(written.into())
    }

    /// Tells a member something. What cannot be sent is lost, as on any way between nodes.
    pub(super) fn send(self: &Arc<Self>, to: Member, shard: ShardId, packet: Packet) {
        if to.node != self.me.node {
            match packet.is_bulk() {
                true => self.send_bulk(to, Letter { from: self.me, packets: vec![(shard, packet)] }),
                false => self.post.say(self, to, shard, packet),
            }
        } else if to.creation == self.me.creation {
            self.receive(self.me, shard, packet);
        }
    }

    pub(super) fn post(&self) -> &Post {
        &self.post
    }

    /// Sends a letter that was gathered.
    pub(super) fn deliver(&self, to: Member, letter: &Letter) {
        let Some(way) = self.way(to) else { return };
        if way.message(&dest(), Sort::Cast, None, &mut |out| write_letter(out, letter)).is_err() {
            tracing::debug!(target: "incarnate::shard", %to, "messages not sent");
        }
    }

    fn send_bulk(&self, to: Member, letter: Letter) {
        let (Some(node), Some(way)) = (self.node(), self.way(to)) else { return };
        match way.bulk(&dest(), Sort::Cast, &mut |out| write_letter(out, &letter)) {
            Ok(mut late) => {
                let sent = std::future::poll_fn(move |cx| late.poll(cx));
                node.runtime().spawn(async move { _ = sent.await });
            }
            Err(_) => tracing::debug!(target: "incarnate::shard", %to, "image not sent"),
        }
    }

    /// The life of a node that is connected, or this one.
    pub(super) fn member(&self, node: NodeId) -> Option<Member> {
        if node.fingerprint() == self.me.node {
            return Some(self.me);
        }
        let creation = self.node()?.network()?.route(node)?.creation();
        Some(Member { node: node.fingerprint(), creation, store: None })
    }

    /// Whether there is a connection to this member.
    pub(super) fn is_connected(&self, member: Member) -> bool {
        self.way(member).is_some()
    }

    fn way(&self, to: Member) -> Option<Arc<dyn Way>> {
        let node = self.node()?;
        let way = node.network()?.route(NodeId::from_fingerprint(to.node))?;
        (way.creation() == to.creation).then_some(way)
    }

    /// A member has told this one something.
    pub(super) fn receive(self: &Arc<Self>, from: Member, shard: ShardId, packet: Packet) {
        let event = match packet {
            Packet::ToStandby(said) => Event::ToStandby(from, said),
            Packet::ToOwner(said) => Event::ToOwner(from, said),
            Packet::Asks(asks) => Event::Asked(route_of(from), asks),
            Packet::Mail(mail) => Event::Mail(mail),
            Packet::Record(record) => Event::Record(Some(record)),
            Packet::Reply(epoch, reply) => return self.replied(shard, epoch, reply),
        };
        if let Some(hosted) = self.hosted(shard) {
            hosted.handle(event);
        }
    }

    /// Answers whoever asked a shard here.
    pub(super) fn reply(self: &Arc<Self>, route: Route, shard: ShardId, epoch: u64, reply: Reply<Body>) {
        let to = Member { node: (route >> 32) as u32, creation: route as u32, store: None };
        self.send(to, shard, Packet::Reply(epoch, reply));
    }

    /// A shard has replied: to a client here, or to a shard.
    fn replied(self: &Arc<Self>, shard: ShardId, epoch: u64, reply: Reply<Body>) {
        let confirmed = match &reply {
            Reply::Answered { id: RequestId::Shard { shard, number }, body } => {
                Some((*shard, *number, body.clone()))
            }
            // It was handled before, and its answer is known no more: whoever asked has it.
            Reply::Expired { id: RequestId::Shard { shard, number } } => Some((*shard, *number, None)),
            Reply::Busy { id: RequestId::Shard { .. } }
            | Reply::Upgrading { id: RequestId::Shard { .. } } => {
                return;
            }
            _ => None,
        };
        match confirmed {
            Some((by, number, body)) => {
                if let Some(hosted) = self.hosted(by) {
                    hosted.handle(Event::Confirmed(number, body));
                }
            }
            None => {
                if let Some(client) = self.clients.get(shard.0 as usize).and_then(OnceLock::get) {
                    client.handle(super::client::Event::Reply(epoch, reply));
                }
            }
        }
    }

    /// Tells the owner of another shard something, out of an outbox. It is told again until it is confirmed.
    pub(super) fn effect(self: &Arc<Self>, to: ShardId, request: Request<Body>) {
        if let Known::Owner(owner, _) = self.known(to) {
            self.send(owner, to, Packet::Asks(Asks::Request(request)));
        }
    }

    /// Asks the owner of a shard.
    pub(super) fn ask(self: &Arc<Self>, owner: Member, shard: ShardId, asked: Asked<Body>) {
        self.send(owner, shard, Packet::Asks(asked.into()));
    }
}

fn dest() -> Dest {
    Dest::Name(super::packet::NAME.into())
}

fn write_letter(out: &mut Vec<u8>, letter: &Letter) -> Result<(), String> {
    rmp_serde::encode::write(out, letter).map_err(|why| why.to_string())
}

/// Where the replies to a member go.
fn route_of(member: Member) -> Route {
    u64::from(member.node) << 32 | u64::from(member.creation)
}

/// What a return address is known by: which request of which shard.
pub(super) fn row_name(shard: ShardId, id: RequestId) -> Box<[u8]> {
    let named = rmp_serde::to_vec(&(shard, id));
    named.unwrap_or_default().into()
}

impl Rows for Shared {
    fn answer(&self, name: &[u8], answer: Result<Vec<u8>, String>) -> bool {
        let Ok((shard, id)) = rmp_serde::from_slice::<(ShardId, RequestId)>(name) else { return false };
        let said: Said = answer.map(Blob::from).map_err(Fault::Unanswerable);
        match note_answer(id, said) {
            Ok(()) => true,
            // From outside of a callback: it is a request of its own, which is carried out once.
            Err((id, said)) => {
                let shared = self.node().as_ref().and_then(Shared::of);
                let client = shared.and_then(|shared| shared.client(shard));
                client.is_some_and(|client| {
                    client.handle(super::client::Event::Answer(Body::Answer { id, said }));
                    true
                })
            }
        }
    }
}
