//! Connections of a node, decided: who is dialled, accepted and refused, which of two connections stays, who is up and who
//! is lost. Without a clock, a socket or a runtime: `handle_*` takes an event, [`Machine::poll`] gives what is to be done.
//!
//! A *connection* is one stream of bytes. A *session* is what two nodes have with each other: three connections, its
//! lanes, that prove the same cookie and name the same session.
//!
//! Invariants:
//! - there is one session with a node at most, and `Up` and `Down` of it alternate;
//! - a session is up when all its lanes are, and over when one of them is;
//! - what is over stays over: none of its connections gets into another session;
//! - a node that says nothing for as long as the deadline is lost, within a quarter of it more;
//! - what has not proved the cookie holds one connection of bounded life, and nothing else.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use super::frame::{self, FrameError, Kind};
use super::handshake::{
    self, Agreed, Cookie, Handshake, Identity, LONGEST_NAME, Lane, NotConnected, RefusedBecause, Step,
};
use crate::term::NodeId;

pub(crate) type ConnId = u64;
pub(crate) type SessionId = u64;
/// Who asked for a connection.
pub(crate) type Ticket = u64;

/// Connections that have not proved the cookie, at most. More are closed at once.
const STRANGERS: usize = 256;
/// A node tells of so many others at most, and so many addresses that were told of are dialled.
const VOUCHED: usize = 1024;
/// Somebody who is told of by nobody any more is forgotten after so many dials, a minute or so.
const FORGET: u32 = 32;
/// The longest address.
pub(crate) const LONGEST_ADDRESS: usize = 255;
const LANES: [Lane; 3] = [Lane::Control, Lane::Messages, Lane::Bulk];

#[derive(Clone, Debug)]
pub(crate) struct Settings {
    pub(crate) me: Identity,
    pub(crate) cookie: Cookie,
    /// Without a word for so long a node is lost.
    pub(crate) deadline: Duration,
    /// A handshake takes no longer.
    pub(crate) handshake: Duration,
    /// The first and the longest pause before somebody is dialled again.
    pub(crate) redial: (Duration, Duration),
    /// Where others reach this node, which is told to all that it is connected with.
    pub(crate) address: Option<Arc<str>>,
    /// It connects with those that it is told of.
    pub(crate) learns: bool,
}

impl Settings {
    fn beat(&self) -> Duration {
        self.deadline / 4
    }
}

/// Why a session is over.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum DownBecause {
    /// The connection was closed from there, or broke.
    Closed,
    /// Nothing was heard for as long as the heartbeat deadline.
    Silence,
    /// It was disconnected here.
    Disconnected,
    /// It did not read what was sent to it, until far too much waited.
    Unread,
    /// Something came that no node says.
    BadFrame(String),
    /// It was given up for another connection between the same two.
    Replaced,
}

impl DownBecause {
    /// In a word.
    pub(crate) fn label(&self) -> &'static str {
        match self {
            DownBecause::Closed => "closed",
            DownBecause::Silence => "silence",
            DownBecause::Disconnected => "disconnected",
            DownBecause::Unread => "unread",
            DownBecause::BadFrame(_) => "bad frame",
            DownBecause::Replaced => "replaced",
        }
    }
}

/// What is to be done.
#[derive(Debug, PartialEq)]
pub(crate) enum Action {
    Dial {
        conn: ConnId,
        to: Arc<str>,
    },
    Send {
        conn: ConnId,
        bytes: Vec<u8>,
    },
    /// What came on it has been looked at: the next frame may come.
    Proceed {
        conn: ConnId,
    },
    /// Close it, after what was sent on it.
    Close {
        conn: ConnId,
    },
    /// From here on the frames of these lanes are none of the machine's.
    Up {
        session: SessionId,
        peer: Identity,
        messages: ConnId,
        bulk: ConnId,
    },
    Down {
        session: SessionId,
        peer: Identity,
        why: DownBecause,
    },
    /// The answer to [`Machine::handle_connect`].
    Connected {
        ticket: Ticket,
        result: Result<NodeId, NotConnected>,
    },
    /// Somebody was refused, here or there.
    Refused {
        peer: Option<Arc<str>>,
        here: bool,
        why: RefusedBecause,
    },
}

/// A connection before it is a lane.
#[derive(Debug)]
struct Conn {
    phase: Phase,
    until: Duration,
    /// The address that it was dialled at.
    target: Option<Arc<str>>,
    /// The session for which it was dialled; none for the one that begins it.
    lane_of: Option<(NodeId, Lane, SessionId)>,
}

#[derive(Debug)]
enum Phase {
    Dialling,
    Shaking(Handshake),
}

#[derive(Debug)]
struct Session {
    id: SessionId,
    peer: Identity,
    lanes: BTreeMap<Lane, ConnId>,
    up: bool,
    heard: Duration,
    next_ping: Duration,
    rtt: Option<Duration>,
    began: Duration,
    /// Where others reach it, as it says.
    address: Option<Arc<str>>,
    /// Whom it tells of: who they are, and where.
    vouched: BTreeMap<NodeId, Arc<str>>,
}

/// How long an address is dialled.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Keep {
    /// Once.
    #[default]
    Once,
    /// As long as somebody tells of it.
    Learned,
    Always,
}

/// An address that somebody wants to be connected with.
#[derive(Debug, Default)]
struct Target {
    keep: Keep,
    tickets: Vec<Ticket>,
    /// Who was found there.
    found: Option<NodeId>,
    /// It is this node.
    itself: bool,
    dialling: bool,
    failures: u32,
    again: Duration,
}

pub(crate) struct Machine {
    settings: Settings,
    nonce: Box<dyn FnMut() -> [u8; 32] + Send>,
    conns: BTreeMap<ConnId, Conn>,
    /// Connections that are lanes, and of whom.
    lanes: BTreeMap<ConnId, (NodeId, Lane)>,
    sessions: BTreeMap<NodeId, Session>,
    targets: BTreeMap<Arc<str>, Target>,
    next_conn: ConnId,
    actions: VecDeque<Action>,
}

/// What is known of a session that is up.
pub(crate) struct Seen<'a> {
    pub(crate) session: SessionId,
    pub(crate) peer: &'a Identity,
    pub(crate) rtt: Option<Duration>,
}

impl Machine {
    pub(crate) fn new(settings: Settings, nonce: impl FnMut() -> [u8; 32] + Send + 'static) -> Self {
        Machine {
            settings,
            nonce: Box::new(nonce),
            conns: BTreeMap::new(),
            lanes: BTreeMap::new(),
            sessions: BTreeMap::new(),
            targets: BTreeMap::new(),
            next_conn: 1,
            actions: VecDeque::new(),
        }
    }

    /// What is to be done next.
    pub(crate) fn poll(&mut self) -> Option<Action> {
        self.actions.pop_front()
    }

    /// Who is up.
    pub(crate) fn up(&self) -> impl Iterator<Item = Seen<'_>> {
        self.sessions.values().filter(|session| session.up).map(|session| Seen {
            session: session.id,
            peer: &session.peer,
            rtt: session.rtt,
        })
    }

    /// Who is dialled and has not answered for so long is given up.
    pub(crate) fn handshake_limit(&self) -> Duration {
        self.settings.handshake
    }

    /// When [`handle_time`](Self::handle_time) is due.
    pub(crate) fn next_time(&self) -> Option<Duration> {
        let shaking = self.conns.values().map(|conn| conn.until);
        let beating = self.sessions.values().map(|s| s.next_ping.min(s.ends(&self.settings)));
        let dialling =
            self.targets.values().filter(|target| target.is_due_later()).map(|target| target.again);
        shaking.chain(beating).chain(dialling).min()
    }

    /// Somebody wants to be connected with who is at this address.
    pub(crate) fn handle_connect(&mut self, now: Duration, to: &str, keep: Keep, ticket: Option<Ticket>) {
        let to: Arc<str> = to.into();
        let target = self.targets.entry(to.clone()).or_default();
        target.keep = target.keep.max(keep);
        let up = target.found.filter(|id| self.sessions.get(id).is_some_and(|session| session.up));
        match (up, ticket) {
            (Some(id), Some(ticket)) => {
                self.actions.push_back(Action::Connected { ticket, result: Ok(id) });
                return;
            }
            (Some(_), None) => return,
            (None, ticket) => target.tickets.extend(ticket),
        }
        if !target.dialling {
            self.dial(now, to);
        }
    }

    fn dial(&mut self, now: Duration, to: Arc<str>) {
        let Some(target) = self.targets.get_mut(&to) else { return };
        target.dialling = true;
        self.open(now, to, None);
    }

    fn open(&mut self, now: Duration, to: Arc<str>, lane_of: Option<(NodeId, Lane, SessionId)>) {
        let conn = self.new_conn();
        let until = now + self.settings.handshake;
        self.conns.insert(conn, Conn { phase: Phase::Dialling, until, target: Some(to.clone()), lane_of });
        self.actions.push_back(Action::Dial { conn, to });
    }

    fn new_conn(&mut self) -> ConnId {
        self.next_conn += 1;
        self.next_conn - 1
    }

    /// What was dialled is connected, or not: why. False: it was given up before.
    pub(crate) fn handle_dialled(&mut self, now: Duration, conn: ConnId, result: Result<(), String>) -> bool {
        let Some(dialled) = self.conns.get_mut(&conn) else { return false };
        match result {
            Ok(()) => {
                let (lane, session) = dialled.lane_of.map_or((Lane::Control, 0), |(_, lane, id)| (lane, id));
                let (hello, next) = handshake::dial(&self.settings.me, lane, session, (self.nonce)());
                dialled.phase = Phase::Shaking(next);
                self.actions.push_back(Action::Send { conn, bytes: hello });
            }
            Err(why) => self.give_up(now, conn, NotConnected::Unreachable(why)),
        }
        true
    }

    /// Somebody has connected. `None`: too many have that did not say who they are.
    pub(crate) fn handle_accepted(&mut self, now: Duration) -> Option<ConnId> {
        let strangers = self.conns.values().filter(|conn| conn.target.is_none()).count();
        if strangers >= STRANGERS {
            return None;
        }
        let conn = self.new_conn();
        let phase = Phase::Shaking(handshake::accept((self.nonce)()));
        let until = now + self.settings.handshake;
        self.conns.insert(conn, Conn { phase, until, target: None, lane_of: None });
        Some(conn)
    }

    /// A whole frame has come on a connection that is no lane yet, or on the lane of control. The next one waits for
    /// [`Action::Proceed`].
    pub(crate) fn handle_frame(
        &mut self,
        now: Duration,
        conn: ConnId,
        kind: Kind,
        bytes: &[u8],
        whole: &[u8],
    ) {
        self.take_frame(now, conn, kind, bytes, whole);
        // The other lanes go on when the session is up.
        let controls = self.lanes.get(&conn).is_some_and(|(_, lane)| *lane == Lane::Control);
        if controls || self.conns.contains_key(&conn) {
            self.actions.push_back(Action::Proceed { conn });
        }
    }

    fn take_frame(&mut self, now: Duration, conn: ConnId, kind: Kind, bytes: &[u8], whole: &[u8]) {
        if let Some((peer, _)) = self.lanes.get(&conn).copied() {
            return self.handle_control(now, peer, conn, kind, bytes);
        }
        let Some(shaking) = self.conns.get_mut(&conn) else { return };
        let Phase::Shaking(handshake) = std::mem::replace(&mut shaking.phase, Phase::Dialling) else {
            return self.refuse(now, conn, None, FrameError::Misplaced(kind).into());
        };
        let peer = handshake.peer().map(|peer| peer.name.clone());
        let known = handshake.peer().map(Identity::id).filter(|id| self.sessions.contains_key(id));
        match handshake.take(kind, bytes, whole, &self.settings.me, &self.settings.cookie) {
            // The other one's connection was welcomed here already, and may be up: it stays.
            Ok(Step::Say(_, Handshake::Proved { agreed, .. }))
                if agreed.lane == Lane::Control
                    && self.sessions.get(&agreed.peer.id()).is_some_and(|it| it.peer.is(&agreed.peer)) =>
            {
                self.give_way(conn, agreed.peer.id());
            }
            Ok(Step::Say(bytes, next)) => {
                shaking.phase = Phase::Shaking(next);
                self.actions.push_back(Action::Send { conn, bytes });
            }
            Ok(Step::Decide(agreed, welcome)) => match self.decide(now, conn, &agreed) {
                Ok(()) => {
                    self.actions.push_back(Action::Send { conn, bytes: welcome });
                    self.settle(now, conn, agreed);
                }
                Err(why) => self.refuse(now, conn, peer, why),
            },
            Ok(Step::Done(agreed)) => match self.decide(now, conn, &agreed) {
                Ok(()) => self.settle(now, conn, agreed),
                Err(RefusedBecause::Duplicate) if agreed.lane == Lane::Control => {
                    self.give_way(conn, agreed.peer.id());
                }
                Err(why) => self.refuse(now, conn, peer, why),
            },
            // The other one's connection stays, and it is here already.
            Ok(Step::Refused(RefusedBecause::Duplicate)) if known.is_some() => {
                known.into_iter().for_each(|peer| self.give_way(conn, peer));
            }
            Ok(Step::Refused(why)) => {
                self.actions.push_back(Action::Refused { peer, here: false, why: why.clone() });
                self.give_up(now, conn, NotConnected::Refused(why));
            }
            Err(why) => self.refuse(now, conn, peer, why),
        }
    }

    /// Bytes have come on a connection that cannot be a frame.
    pub(crate) fn handle_garbage(&mut self, now: Duration, conn: ConnId, error: FrameError) {
        match self.lanes.get(&conn).copied() {
            Some((peer, _)) => self.down(now, peer, DownBecause::BadFrame(error.to_string())),
            None => {
                let peer = self.conns.get(&conn).and_then(|conn| conn.target.clone());
                self.refuse(now, conn, peer, error.into());
            }
        }
    }

    /// A connection is over; `why`: what its transport has against who is there.
    pub(crate) fn handle_closed(&mut self, now: Duration, conn: ConnId, why: Option<String>) {
        if let Some((peer, _)) = self.lanes.get(&conn).copied() {
            return self.down(now, peer, why.map_or(DownBecause::Closed, DownBecause::BadFrame));
        }
        let (Some(why), Some(shaking)) = (why, self.conns.get(&conn)) else {
            return self.give_up(now, conn, NotConnected::Lost);
        };
        let peer = shaking.target.clone();
        let (here, no_node) = (peer.is_none(), RefusedBecause::NoNode(why.clone()));
        self.actions.push_back(Action::Refused { peer, here, why: no_node });
        self.give_up(now, conn, NotConnected::Unreachable(why));
    }

    /// Something last came on a lane of the session at this time.
    pub(crate) fn handle_heard(&mut self, at: Duration, peer: NodeId, session: SessionId) {
        if let Some(session) = self.sessions.get_mut(&peer).filter(|known| known.id == session) {
            session.heard = session.heard.max(at);
        }
    }

    /// The node is to be disconnected.
    pub(crate) fn handle_disconnect(&mut self, now: Duration, peer: NodeId, why: DownBecause) {
        self.down(now, peer, why);
    }

    /// The time has come that [`next_time`](Self::next_time) said.
    pub(crate) fn handle_time(&mut self, now: Duration) {
        let late: Vec<_> = self.conns.iter().filter(|(_, c)| c.until <= now).map(|(id, _)| *id).collect();
        for conn in late {
            self.give_up(now, conn, NotConnected::Timeout);
        }
        let silent = self.sessions.iter().filter(|(_, session)| session.ends(&self.settings) <= now);
        let silent: Vec<_> = silent.map(|(peer, _)| *peer).collect();
        for peer in silent {
            self.down(now, peer, DownBecause::Silence);
        }
        let beat = self.settings.beat();
        for session in self.sessions.values_mut().filter(|session| session.next_ping <= now) {
            session.next_ping = now + beat;
            if let Some(conn) = session.lanes.get(&Lane::Control) {
                let stamp = u64::try_from(now.as_nanos()).unwrap_or(u64::MAX);
                let bytes = frame::plain(Kind::Ping, &(stamp,));
                self.actions.push_back(Action::Send { conn: *conn, bytes });
            }
        }
        let due = self.targets.iter().filter(|(_, target)| target.is_due_later() && target.again <= now);
        let due: Vec<_> = due.map(|(to, _)| to.clone()).collect();
        for to in due {
            self.dial(now, to);
        }
    }

    /// Whether who has proved itself may come in, and what goes for it. One side decides at a time: the acceptor when it
    /// has the proof, then the dialler when it is welcome.
    fn decide(&mut self, now: Duration, conn: ConnId, agreed: &Agreed) -> Result<(), RefusedBecause> {
        let peer = agreed.peer.id();
        let session = self.sessions.get(&peer);
        if agreed.lane != Lane::Control {
            return match session {
                Some(session)
                    if session.id == agreed.session
                        && session.peer.is(&agreed.peer)
                        && !session.lanes.contains_key(&agreed.lane) =>
                {
                    Ok(())
                }
                _ => Err(RefusedBecause::StaleLane),
            };
        }
        if agreed.session == 0 {
            return Err(RefusedBecause::StaleLane);
        }
        let dialled_here = self.conns.get(&conn).is_some_and(|conn| conn.target.is_some());
        // Of two that dial each other at once, the connection of the lesser name stays.
        let preferred = dialled_here == (self.settings.me.name < agreed.peer.name);
        match session {
            Some(session) if session.peer.name != agreed.peer.name => {
                return Err(RefusedBecause::SameFingerprint);
            }
            Some(session) if !session.peer.is(&agreed.peer) => return Err(RefusedBecause::NameInUse),
            Some(session) if session.up || !preferred => return Err(RefusedBecause::Duplicate),
            Some(_) => self.down(now, peer, DownBecause::Replaced),
            None => {}
        }
        let rivals = self.conns.iter().filter(|(id, rival)| {
            let Phase::Shaking(Handshake::Proved { agreed: other, .. }) = &rival.phase else { return false };
            **id != conn && other.lane == Lane::Control && other.peer.is(&agreed.peer)
        });
        let rivals: Vec<_> = rivals.map(|(id, _)| *id).collect();
        if !dialled_here && !preferred && !rivals.is_empty() {
            return Err(RefusedBecause::Duplicate);
        }
        for rival in rivals {
            self.give_way(rival, peer);
        }
        Ok(())
    }

    /// A connection that was dialled goes for another one with the same node, which then is what its address stands for.
    fn give_way(&mut self, conn: ConnId, peer: NodeId) {
        let Some(Conn { target: Some(to), .. }) = self.conns.remove(&conn) else { return };
        self.actions.push_back(Action::Close { conn });
        if let Some(target) = self.targets.get_mut(&to) {
            target.dialling = false;
            target.found = Some(peer);
        }
        if self.sessions.get(&peer).is_some_and(|session| session.up) {
            self.answer(peer, &Ok(peer));
        }
    }

    /// The connection becomes a lane.
    fn settle(&mut self, now: Duration, conn: ConnId, agreed: Agreed) {
        let Some(Conn { target, .. }) = self.conns.remove(&conn) else { return };
        let Agreed { peer, lane, session } = agreed;
        let id = peer.id();
        if lane == Lane::Control {
            self.begin(now, session, peer, target.clone());
        }
        let Some(known) = self.sessions.get_mut(&id) else { return };
        known.lanes.insert(lane, conn);
        known.heard = now;
        self.lanes.insert(conn, (id, lane));
        let [Some(_), Some(messages), Some(bulk)] = LANES.map(|lane| known.lanes.get(&lane).copied()) else {
            return;
        };
        known.up = true;
        known.began = now;
        let peer = known.peer.clone();
        self.actions.push_back(Action::Up { session, peer, messages, bulk });
        self.answer(id, &Ok(id));
        self.tell_of_others(id);
        self.introduce(id);
    }

    fn begin(&mut self, now: Duration, id: SessionId, peer: Identity, target: Option<Arc<str>>) {
        let node = peer.id();
        if let Some(to) = &target
            && let Some(target) = self.targets.get_mut(to)
        {
            target.found = Some(node);
            target.dialling = false;
        }
        let session = Session {
            id,
            peer,
            lanes: BTreeMap::new(),
            up: false,
            heard: now,
            next_ping: now,
            rtt: None,
            began: now,
            address: None,
            vouched: BTreeMap::new(),
        };
        self.sessions.insert(node, session);
        if let Some(to) = target {
            for lane in &LANES[1..] {
                self.open(now, to.clone(), Some((node, *lane, id)));
            }
        }
    }

    /// Tells all who wait to be connected with this node.
    fn answer(&mut self, peer: NodeId, result: &Result<NodeId, NotConnected>) {
        for target in self.targets.values_mut().filter(|target| target.found == Some(peer)) {
            if result.is_ok() {
                target.failures = 0;
            }
            for ticket in target.tickets.drain(..) {
                self.actions.push_back(Action::Connected { ticket, result: result.clone() });
            }
        }
        self.targets.retain(|_, target| target.is_wanted() || target.dialling || target.found == Some(peer));
    }

    fn handle_control(&mut self, now: Duration, peer: NodeId, conn: ConnId, kind: Kind, bytes: &[u8]) {
        let Some(session) = self.sessions.get_mut(&peer) else { return };
        session.heard = now;
        if kind == Kind::Peer {
            return match frame::all::<(String, String)>(kind, bytes) {
                Ok((name, address)) => self.handle_peer(now, peer, &name, &address),
                Err(error) => self.down(now, peer, DownBecause::BadFrame(error.to_string())),
            };
        }
        let read = frame::all::<(u64,)>(kind, bytes);
        match (kind, read) {
            (Kind::Ping, Ok(stamp)) => {
                self.actions.push_back(Action::Send { conn, bytes: frame::plain(Kind::Pong, &stamp) });
            }
            (Kind::Pong, Ok((stamp,))) => session.rtt = now.checked_sub(Duration::from_nanos(stamp)),
            (Kind::Ping | Kind::Pong, Err(error)) => {
                self.down(now, peer, DownBecause::BadFrame(error.to_string()));
            }
            (kind, _) => {
                self.down(now, peer, DownBecause::BadFrame(FrameError::Misplaced(kind).to_string()));
            }
        }
    }

    /// A node tells where it is reached, or another one that it is connected with; or that the other is no longer.
    fn handle_peer(&mut self, now: Duration, from: NodeId, name: &str, address: &str) {
        let Some(session) = self.sessions.get_mut(&from) else { return };
        if name.is_empty() || name.len() > LONGEST_NAME || address.len() > LONGEST_ADDRESS {
            let error = FrameError::Malformed(Kind::Peer, "a name or an address is too long, or none".into());
            return self.down(now, from, DownBecause::BadFrame(error.to_string()));
        }
        let id = NodeId::of(name);
        if id == from {
            let address = (!address.is_empty()).then(|| address.into());
            if session.address != address {
                session.address = address;
                self.introduce(from);
            }
        } else if address.is_empty() {
            session.vouched.remove(&id);
        } else if id != self.settings.me.id()
            && (session.vouched.len() < VOUCHED || session.vouched.contains_key(&id))
        {
            session.vouched.insert(id, address.into());
            self.learn(now, id);
        }
    }

    /// Connects with somebody whom others tell of, wherever they do: what one of them knows may be old.
    fn learn(&mut self, now: Duration, id: NodeId) {
        if !self.settings.learns || self.sessions.contains_key(&id) {
            return;
        }
        let told: Vec<_> = self.sessions.values().filter_map(|it| it.vouched.get(&id).cloned()).collect();
        for address in told {
            let learned = self.targets.values().filter(|target| target.keep == Keep::Learned).count();
            match self.targets.get_mut(&address) {
                // It is dialled already, or will be when its pause is over.
                Some(target) => target.keep = target.keep.max(Keep::Learned),
                None if learned < VOUCHED => self.handle_connect(now, &address, Keep::Learned, None),
                None => {}
            }
        }
    }

    fn is_vouched(&self, address: &str) -> bool {
        self.sessions.values().any(|session| session.vouched.values().any(|told| &**told == address))
    }

    /// Tells a node that is up where this one and all others are reached.
    fn tell_of_others(&mut self, id: NodeId) {
        let me = self.settings.address.clone().map(|address| (self.settings.me.name.clone(), address));
        let others = self.sessions.values().filter(|session| session.up && session.peer.id() != id);
        let others = others.filter_map(|other| Some((other.peer.name.clone(), other.address.clone()?)));
        let all: Vec<_> = me.into_iter().chain(others).collect();
        for (name, address) in all {
            self.tell(id, &name, &address);
        }
    }

    /// Tells all others that are up where this one is reached.
    fn introduce(&mut self, id: NodeId) {
        let Some(session) = self.sessions.get(&id).filter(|session| session.up) else { return };
        let Some(address) = session.address.clone() else { return };
        self.tell_others(id, &session.peer.name.clone(), &address);
    }

    fn tell_others(&mut self, but: NodeId, name: &str, address: &str) {
        let others: Vec<_> = self.sessions.keys().copied().filter(|other| *other != but).collect();
        for other in others {
            self.tell(other, name, address);
        }
    }

    fn tell(&mut self, to: NodeId, name: &str, address: &str) {
        let Some(session) = self.sessions.get(&to).filter(|session| session.up) else { return };
        if let Some(conn) = session.lanes.get(&Lane::Control) {
            let bytes = frame::plain(Kind::Peer, &(name, address));
            self.actions.push_back(Action::Send { conn: *conn, bytes });
        }
    }

    /// Refuses a connection that is no lane, and says so there.
    fn refuse(&mut self, now: Duration, conn: ConnId, peer: Option<Arc<str>>, why: RefusedBecause) {
        self.actions.push_back(Action::Send { conn, bytes: handshake::refusal(&why) });
        self.actions.push_back(Action::Refused { peer, here: true, why: why.clone() });
        self.give_up(now, conn, NotConnected::Refused(why));
    }

    /// A connection that is no lane is over.
    fn give_up(&mut self, now: Duration, conn: ConnId, why: NotConnected) {
        let Some(Conn { target, lane_of, .. }) = self.conns.remove(&conn) else { return };
        self.actions.push_back(Action::Close { conn });
        match (lane_of, target) {
            (Some((peer, _, session)), _) if self.sessions.get(&peer).is_some_and(|it| it.id == session) => {
                self.down(now, peer, DownBecause::Closed);
            }
            (None, Some(to)) => self.missed(now, &to, why),
            _ => {}
        }
    }

    /// Nobody is connected at this address, or not by what was dialled there.
    fn missed(&mut self, now: Duration, to: &Arc<str>, why: NotConnected) {
        let jitter = u32::from((self.nonce)()[0]);
        let Some(target) = self.targets.get_mut(to) else { return };
        target.dialling = false;
        target.itself |= why == NotConnected::Refused(RefusedBecause::Itself);
        let (first, longest) = self.settings.redial;
        // Twice as long each time, and up to a quarter more: two that dial each other do not meet for ever.
        let pause = first.saturating_mul(1 << target.failures.min(16)).min(longest);
        target.again = now + pause + pause / 1024 * jitter;
        target.failures = target.failures.saturating_add(1);
        // The other one's connection may be the one that stays: it is waited for as long as a handshake may take.
        let waits = why == NotConnected::Refused(RefusedBecause::Duplicate);
        if waits && target.failures < 8 && !target.tickets.is_empty() {
            return;
        }
        for ticket in target.tickets.drain(..) {
            self.actions.push_back(Action::Connected { ticket, result: Err(why.clone()) });
        }
        let (keep, failures) = (target.keep, target.failures);
        let forgets = match keep {
            Keep::Once => true,
            Keep::Learned => failures >= FORGET && !self.is_vouched(to),
            Keep::Always => false,
        };
        if forgets {
            self.targets.remove(to);
        }
    }

    /// A session is over, and so are its lanes, those that are being dialled, too.
    fn down(&mut self, now: Duration, peer: NodeId, why: DownBecause) {
        let Some(session) = self.sessions.remove(&peer) else { return };
        let (up, name, address) = (session.up, session.peer.name.clone(), session.address.clone());
        if session.up {
            self.actions.push_back(Action::Down { session: session.id, peer: session.peer, why });
        }
        for conn in session.lanes.into_values() {
            self.lanes.remove(&conn);
            self.actions.push_back(Action::Close { conn });
        }
        let of = |conn: &Conn| conn.lane_of.is_some_and(|(_, _, id)| id == session.id);
        let dialled: Vec<_> = self.conns.iter().filter(|(_, conn)| of(conn)).map(|(id, _)| *id).collect();
        for conn in dialled {
            self.conns.remove(&conn);
            self.actions.push_back(Action::Close { conn });
        }
        let targets = self.targets.iter().filter(|(_, target)| target.found == Some(peer));
        let targets: Vec<_> = targets.map(|(to, _)| to.clone()).collect();
        for to in targets {
            if let Some(target) = self.targets.get_mut(&to) {
                target.found = None;
            }
            self.missed(now, &to, NotConnected::Lost);
        }
        if up && address.is_some() {
            self.tell_others(peer, &name, "");
        }
        self.learn(now, peer);
    }
}

impl Session {
    /// When it is given up, unless something is heard, or it comes up.
    fn ends(&self, settings: &Settings) -> Duration {
        let silence = self.heard + settings.deadline;
        if self.up { silence } else { silence.min(self.began + settings.handshake) }
    }
}

impl Target {
    fn is_wanted(&self) -> bool {
        self.keep > Keep::Once || !self.tickets.is_empty()
    }

    /// It will be dialled again.
    fn is_due_later(&self) -> bool {
        self.is_wanted() && !self.dialling && self.found.is_none() && !self.itself
    }
}
