//! The handshake: two nodes prove to each other that they have the same cookie, and agree on what they speak.
//!
//! ```text
//! dialler                                   acceptor
//!   Hello(protocols, me, lane, session, nonce) ->
//!                                  <- Challenge(protocol, me, nonce)
//!   Proof(HMAC(cookie, "dialler", all of it)) ->
//!                                  <- Welcome(HMAC(cookie, "acceptor", all of it)) | Refusal(why)
//! ```
//!
//! Each side proves that it knows the cookie over the nonces of both, so that what was recorded proves nothing later; and
//! over all that was said, so that nobody between them changed it. The dialler proves first: who only connects learns
//! nothing to try cookies on. Pure: bytes in, bytes out.

use std::collections::BTreeMap;
use std::fmt;
use std::ops::RangeInclusive;
use std::sync::Arc;

use hmac::{Hmac, KeyInit, Mac};
use serde::{Deserialize, Serialize};
use sha2::Sha256;

use super::frame::{self, Bytes32, FrameError, Kind};
use crate::term::{NodeId, Term};

/// The first field of a Hello.
const MARK: &str = "incarnate";
/// The protocols that this release speaks.
const PROTOCOLS: RangeInclusive<u16> = 1..=1;
/// The longest name of a node, in bytes.
pub(crate) const LONGEST_NAME: usize = 255;

/// A secret that all nodes of a cluster share (`erlang:get_cookie/0`). Shown to nobody.
#[derive(Clone)]
pub struct Cookie(Arc<[u8]>);

impl Cookie {
    /// A cookie of these bytes: at least 16 random ones, if others can reach the nodes.
    pub fn new(secret: impl AsRef<[u8]>) -> Self {
        Cookie(secret.as_ref().into())
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    fn mac(&self, role: &str, parts: &[&[u8]]) -> Hmac<Sha256> {
        let mut mac = Hmac::new_from_slice(&self.0).unwrap_or_else(|_| unreachable!("a key of any length"));
        mac.update(role.as_bytes());
        for part in parts {
            // Each with its length, so that no two lists of parts are the same bytes.
            mac.update(&(part.len() as u64).to_be_bytes());
            mac.update(part);
        }
        mac
    }

    fn prove(&self, role: &str, parts: &[&[u8]]) -> Bytes32 {
        Bytes32(self.mac(role, parts).finalize().into_bytes().into())
    }

    /// Compares in constant time.
    fn check(&self, role: &str, parts: &[&[u8]], proof: Bytes32) -> Result<(), RefusedBecause> {
        self.mac(role, parts).verify_slice(&proof.0).map_err(|_| RefusedBecause::WrongCookie)
    }
}

impl fmt::Debug for Cookie {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Cookie(..)")
    }
}

/// What a connection is for. Each lane is a connection of its own, so that none stands behind another.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub(crate) enum Lane {
    /// Heartbeats.
    Control,
    /// Messages and signals, in order.
    Messages,
    /// Copies of state.
    Bulk,
}

/// Who a node is: its name, its life, and the releases that it works with.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Identity {
    pub(crate) name: Arc<str>,
    pub(crate) creation: u32,
    pub(crate) releases: (u32, u32),
}

impl Identity {
    pub(crate) fn id(&self) -> NodeId {
        NodeId::of(&self.name)
    }

    /// The same life of the same node.
    pub(crate) fn is(&self, other: &Identity) -> bool {
        self.name == other.name && self.creation == other.creation
    }
}

/// Why a node will not be connected with another.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub enum RefusedBecause {
    /// Their cookies differ.
    WrongCookie,
    /// They speak no protocol in common: what was found, and what is understood.
    Protocol {
        /// The protocols of the other, first and last.
        found: (u16, u16),
        /// Those of the one that refuses.
        understood: (u16, u16),
    },
    /// Their releases do not work with each other.
    Release {
        /// The releases of the other, first and last.
        found: (u32, u32),
        /// Those of the one that refuses.
        understood: (u32, u32),
    },
    /// A node dialled itself.
    Itself,
    /// Another life of the node, or another node of its name, is connected.
    NameInUse,
    /// Another node's name has the same fingerprint, so that their pids would be the same.
    SameFingerprint,
    /// The name is empty, or longer than 255 bytes.
    BadName,
    /// The two are connected already, or about to be.
    Duplicate,
    /// A lane of a connection that is over.
    StaleLane,
    /// Another node than the one that was dialled answered, or something that is none, by what it said or by what the
    /// transport found: what that was.
    NoNode(String),
}

impl fmt::Display for RefusedBecause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            RefusedBecause::WrongCookie => f.write_str("the cookies differ"),
            RefusedBecause::Protocol { found, understood } => write!(
                f,
                "no protocol in common: found {} to {}, understood are {} to {}",
                found.0, found.1, understood.0, understood.1
            ),
            RefusedBecause::Release { found, understood } => write!(
                f,
                "no release in common: found {} to {}, understood are {} to {}",
                found.0, found.1, understood.0, understood.1
            ),
            RefusedBecause::Itself => f.write_str("the node dialled itself"),
            RefusedBecause::NameInUse => {
                f.write_str("a node of this name is connected, which has not been lost yet")
            }
            RefusedBecause::SameFingerprint => {
                f.write_str("another node's name has the same fingerprint: one of them needs another name")
            }
            RefusedBecause::BadName => {
                write!(f, "the name of the node is empty or longer than {LONGEST_NAME} bytes")
            }
            RefusedBecause::Duplicate => f.write_str("the two are connected already, or about to be"),
            RefusedBecause::StaleLane => f.write_str("a lane of a connection that is over"),
            RefusedBecause::NoNode(why) => write!(f, "what answers there is no node: {why}"),
        }
    }
}

/// Why there is no connection with a node.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum NotConnected {
    /// Nothing could be reached at the address: why.
    Unreachable(String),
    /// One of the two has refused.
    Refused(RefusedBecause),
    /// The handshake was not over in time.
    Timeout,
    /// The connection was lost before it was up.
    Lost,
    /// The node's distribution was stopped.
    Stopped,
}

impl fmt::Display for NotConnected {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            NotConnected::Unreachable(why) => write!(f, "nobody can be reached there: {why}"),
            NotConnected::Refused(why) => write!(f, "refused: {why}"),
            NotConnected::Timeout => f.write_str("the handshake was not over in time"),
            NotConnected::Lost => f.write_str("the connection was lost before it was up"),
            NotConnected::Stopped => f.write_str("the node's distribution was stopped"),
        }
    }
}

impl std::error::Error for NotConnected {}

impl From<FrameError> for RefusedBecause {
    fn from(error: FrameError) -> Self {
        RefusedBecause::NoNode(error.to_string())
    }
}

/// What a dialler says first.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Hello {
    mark: String,
    protocols: (u16, u16),
    me: Identity,
    lane: Lane,
    /// Of which session it is a lane; 0 begins one.
    session: u64,
    nonce: Bytes32,
    /// What later releases say besides; what is not known there is passed over.
    more: BTreeMap<String, Term>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Challenge {
    protocol: u16,
    me: Identity,
    nonce: Bytes32,
    /// As in Hello.
    more: BTreeMap<String, Term>,
}

/// What both know of each other when the handshake is over.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Agreed {
    pub(crate) peer: Identity,
    pub(crate) lane: Lane,
    /// The session that this is a lane of, or a new one.
    pub(crate) session: u64,
}

/// The handshake on one connection.
#[derive(Debug)]
pub(crate) enum Handshake {
    /// Dialled; the Hello is sent.
    Greeted { hello: Vec<u8>, lane: Lane, session: u64 },
    /// Dialled; the Proof is sent.
    Proved { hello: Vec<u8>, challenge: Vec<u8>, agreed: Agreed },
    /// Accepted; nothing has come.
    Accepted { nonce: Bytes32 },
    /// Accepted; the Challenge is sent.
    Challenged { hello: Vec<u8>, challenge: Vec<u8>, agreed: Agreed },
}

/// What comes of a frame.
#[derive(Debug)]
pub(crate) enum Step {
    /// Say this, and wait for the next.
    Say(Vec<u8>, Handshake),
    /// The dialler has proved itself: accept it by saying this, or refuse it.
    Decide(Agreed, Vec<u8>),
    /// The acceptor has proved itself, too.
    Done(Agreed),
    /// The other one has refused.
    Refused(RefusedBecause),
}

/// Begins as the dialler: the first frame, and what waits for the answer to it.
pub(crate) fn dial(me: &Identity, lane: Lane, session: u64, nonce: [u8; 32]) -> (Vec<u8>, Handshake) {
    let protocols = (*PROTOCOLS.start(), *PROTOCOLS.end());
    let hello = Hello {
        mark: MARK.into(),
        protocols,
        me: me.clone(),
        lane,
        session,
        nonce: Bytes32(nonce),
        more: BTreeMap::new(),
    };
    let hello = frame::plain(Kind::Hello, &hello);
    (hello.clone(), Handshake::Greeted { hello, lane, session })
}

/// Begins as the acceptor.
pub(crate) fn accept(nonce: [u8; 32]) -> Handshake {
    Handshake::Accepted { nonce: Bytes32(nonce) }
}

/// The last frame of an acceptor that does not.
pub(crate) fn refusal(why: &RefusedBecause) -> Vec<u8> {
    frame::plain(Kind::Refusal, why)
}

impl Handshake {
    /// Takes the next frame: `bytes` are its fields, `whole` is all of it.
    pub(crate) fn take(
        self,
        kind: Kind,
        bytes: &[u8],
        whole: &[u8],
        me: &Identity,
        cookie: &Cookie,
    ) -> Result<Step, RefusedBecause> {
        if kind == Kind::Refusal {
            return Ok(Step::Refused(frame::all(kind, bytes)?));
        }
        match (self, kind) {
            (Handshake::Accepted { nonce }, Kind::Hello) => {
                let said: Hello = frame::all(kind, bytes)?;
                let protocol = check_hello(&said, me)?;
                let challenge = frame::plain(
                    Kind::Challenge,
                    &Challenge { protocol, me: me.clone(), nonce, more: BTreeMap::new() },
                );
                let agreed = Agreed { peer: said.me, lane: said.lane, session: said.session };
                let next =
                    Handshake::Challenged { hello: whole.to_vec(), challenge: challenge.clone(), agreed };
                Ok(Step::Say(challenge, next))
            }
            (Handshake::Greeted { hello, lane, session }, Kind::Challenge) => {
                let said: Challenge = frame::all(kind, bytes)?;
                check_identity(&said.me, me)?;
                if !PROTOCOLS.contains(&said.protocol) {
                    return Err(other_protocols((said.protocol, said.protocol)));
                }
                let proof = cookie.prove("dialler", &[&hello, whole]);
                let agreed = Agreed { peer: said.me, lane, session };
                let next = Handshake::Proved { hello, challenge: whole.to_vec(), agreed };
                Ok(Step::Say(frame::plain(Kind::Proof, &(proof,)), next))
            }
            (Handshake::Challenged { hello, challenge, mut agreed }, Kind::Proof) => {
                let (proof,): (Bytes32,) = frame::all(kind, bytes)?;
                let parts = [&hello[..], &challenge[..]];
                cookie.check("dialler", &parts, proof)?;
                if agreed.session == 0 {
                    agreed.session = session_of(cookie, &parts);
                }
                let welcome = frame::plain(Kind::Welcome, &(cookie.prove("acceptor", &parts),));
                Ok(Step::Decide(agreed, welcome))
            }
            (Handshake::Proved { hello, challenge, mut agreed }, Kind::Welcome) => {
                let (proof,): (Bytes32,) = frame::all(kind, bytes)?;
                let parts = [&hello[..], &challenge[..]];
                cookie.check("acceptor", &parts, proof)?;
                if agreed.session == 0 {
                    agreed.session = session_of(cookie, &parts);
                }
                Ok(Step::Done(agreed))
            }
            (_, kind) => Err(FrameError::Misplaced(kind).into()),
        }
    }

    /// Who is at the other end, as far as it has said. It may not have proved it.
    pub(crate) fn peer(&self) -> Option<&Identity> {
        match self {
            Handshake::Proved { agreed, .. } | Handshake::Challenged { agreed, .. } => Some(&agreed.peer),
            Handshake::Greeted { .. } | Handshake::Accepted { .. } => None,
        }
    }
}

/// The number of a session: both sides find it, nobody else can.
fn session_of(cookie: &Cookie, parts: &[&[u8]]) -> u64 {
    let Bytes32(bytes) = cookie.prove("session", parts);
    let [a, b, c, d, e, f, g, h, ..] = bytes;
    u64::from_be_bytes([a, b, c, d, e, f, g, h]).max(1)
}

fn check_hello(said: &Hello, me: &Identity) -> Result<u16, RefusedBecause> {
    if said.mark != MARK {
        return Err(RefusedBecause::NoNode("its first word is another".to_owned()));
    }
    // The highest that both speak.
    let protocol = said.protocols.1.min(*PROTOCOLS.end());
    if protocol < said.protocols.0.max(*PROTOCOLS.start()) {
        return Err(other_protocols(said.protocols));
    }
    check_identity(&said.me, me)?;
    Ok(protocol)
}

fn check_identity(other: &Identity, me: &Identity) -> Result<(), RefusedBecause> {
    if other.name.is_empty() || other.name.len() > LONGEST_NAME {
        return Err(RefusedBecause::BadName);
    }
    if other.is(me) {
        return Err(RefusedBecause::Itself);
    }
    if other.name == me.name {
        return Err(RefusedBecause::NameInUse);
    }
    if other.id() == me.id() {
        return Err(RefusedBecause::SameFingerprint);
    }
    if other.releases.0.max(me.releases.0) > other.releases.1.min(me.releases.1) {
        return Err(RefusedBecause::Release { found: other.releases, understood: me.releases });
    }
    Ok(())
}

fn other_protocols(found: (u16, u16)) -> RefusedBecause {
    RefusedBecause::Protocol { found, understood: (*PROTOCOLS.start(), *PROTOCOLS.end()) }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use super::*;

    fn identity(name: &str) -> Identity {
        Identity { name: name.into(), creation: 1, releases: (1, 1) }
    }

    /// What a handshake makes of a whole frame.
    fn take(
        handshake: Handshake,
        whole: &[u8],
        me: &Identity,
        cookie: &Cookie,
    ) -> Result<Step, RefusedBecause> {
        let (kind, fields) = frame::next(whole, frame::CONTROL_LIMIT).unwrap().unwrap();
        handshake.take(kind, &whole[fields], whole, me, cookie)
    }

    fn say(step: Result<Step, RefusedBecause>) -> (Vec<u8>, Handshake) {
        match step {
            Ok(Step::Say(bytes, next)) => (bytes, next),
            other => panic!("{other:?}"),
        }
    }

    /// The whole of it, with what a stranger between the two does to each frame.
    fn shake(between: impl Fn(usize, Vec<u8>) -> Vec<u8>) -> Result<(Agreed, Agreed), RefusedBecause> {
        let (a, b, cookie) = (identity("a"), identity("b"), Cookie::new("the same"));
        let (hello, dialler) = dial(&a, Lane::Control, 0, [1; 32]);
        let (challenge, acceptor) = match take(accept([2; 32]), &between(0, hello), &b, &cookie)? {
            Step::Say(bytes, next) => (bytes, next),
            other => panic!("{other:?}"),
        };
        let (proof, dialler) = match take(dialler, &between(1, challenge), &a, &cookie)? {
            Step::Say(bytes, next) => (bytes, next),
            other => panic!("{other:?}"),
        };
        let Step::Decide(there, welcome) = take(acceptor, &between(2, proof), &b, &cookie)? else { panic!() };
        let Step::Done(here) = take(dialler, &between(3, welcome), &a, &cookie)? else { panic!() };
        Ok((here, there))
    }

    #[test]
    fn both_agree_on_the_session_and_know_each_other() {
        let (here, there) = shake(|_, bytes| bytes).unwrap();
        assert_eq!(here.session, there.session);
        assert_eq!((&*here.peer.name, &*there.peer.name), ("b", "a"));
    }

    /// A bit that is changed on the way is a refusal, whichever it is.
    #[test]
    fn nobody_between_the_two_changes_anything() {
        for frame in 0..4 {
            for at in frame::HEAD + 1.. {
                let changed = Cell::new(false);
                let result = shake(|number, mut bytes| {
                    if let Some(byte) = bytes.get_mut(at).filter(|_| number == frame) {
                        *byte ^= 1;
                        changed.set(true);
                    }
                    bytes
                });
                if !changed.get() {
                    assert!(at > 35, "the end of frame {frame}");
                    break;
                }
                assert!(result.is_err(), "frame {frame}, byte {at}");
            }
        }
    }

    #[test]
    fn what_later_releases_say_besides_is_passed_over() {
        let (me, cookie) = (identity("b"), Cookie::new("the same"));
        let more = BTreeMap::from([("colour".to_owned(), Term::from("green"))]);
        let hello = Hello {
            mark: MARK.into(),
            protocols: (1, 9),
            me: identity("a"),
            lane: Lane::Control,
            session: 0,
            nonce: Bytes32([1; 32]),
            more,
        };
        let (challenge, _) = say(take(accept([2; 32]), &frame::plain(Kind::Hello, &hello), &me, &cookie));
        let (kind, fields) = frame::next(&challenge, frame::CONTROL_LIMIT).unwrap().unwrap();
        assert_eq!(frame::all::<Challenge>(kind, &challenge[fields]).unwrap().protocol, 1);
    }

    #[test]
    fn protocols_and_releases_that_have_nothing_in_common_are_told() {
        let (me, cookie) = (identity("b"), Cookie::new("the same"));
        let with = |protocols, releases| {
            let peer = Identity { releases, ..identity("a") };
            let hello = Hello {
                mark: MARK.into(),
                protocols,
                me: peer,
                lane: Lane::Control,
                session: 0,
                nonce: Bytes32([1; 32]),
                more: BTreeMap::new(),
            };
            take(accept([2; 32]), &frame::plain(Kind::Hello, &hello), &me, &cookie).unwrap_err()
        };
        let protocol = RefusedBecause::Protocol { found: (2, 3), understood: (1, 1) };
        assert_eq!(with((2, 3), (1, 1)), protocol);
        let release = RefusedBecause::Release { found: (2, 3), understood: (1, 1) };
        assert_eq!(with((1, 1), (2, 3)), release);
    }

    #[test]
    fn any_bytes_are_refused_and_never_a_panic() {
        let (me, cookie) = (identity("b"), Cookie::new("the same"));
        let mut state = 7_u64;
        let mut random = move || {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            (state >> 33) as u8
        };
        let (hello, _) = dial(&identity("a"), Lane::Control, 0, [1; 32]);
        for _ in 0..20_000 {
            let mut bytes = hello.clone();
            for _ in 0..=random() % 8 {
                let at = usize::from(random()) % (bytes.len() - frame::HEAD - 1) + frame::HEAD + 1;
                bytes[at] = random();
            }
            let _refused_or_not = take(accept([2; 32]), &bytes, &me, &cookie);
        }
    }
}
