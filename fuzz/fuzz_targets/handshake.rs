//! Any bytes where another node proves itself: no panic; nobody is believed who has not said, to the bit, what a node says
//! that has the cookie; and who did is believed to be who it says, if the rules let it in.

#![no_main]

#[allow(unused, reason = "a part of it is driven from here")]
#[path = "../../src/node/frame.rs"]
mod frame;
#[allow(unused, reason = "a part of it is driven from here")]
#[path = "../../src/node/handshake.rs"]
mod handshake;
#[allow(unused, reason = "a part of it is driven from here")]
#[path = "../../src/node/machine.rs"]
mod machine;

use std::collections::BTreeMap;
use std::time::Duration;

use frame::{Bytes32, CONTROL_LIMIT, HEAD, Kind};
use handshake::{Agreed, Cookie, Handshake, Identity, LONGEST_NAME, Lane, RefusedBecause, Step};
// The modules of a node name it from the root of their crate.
use incarnate::term;
use libfuzzer_sys::fuzz_target;
use machine::{Action, ConnId, Keep, Machine, SessionId, Settings};

const LANES: [Lane; 3] = [Lane::Control, Lane::Messages, Lane::Bulk];

fuzz_target!(|data: &[u8]| {
    stages(data);
    changed(data);
    identities(data);
    Strangers::new().meet(data);
});

fn identity(name: &str) -> Identity {
    Identity { name: name.into(), creation: 1, releases: (1, 1) }
}

fn cookie() -> Cookie {
    Cookie::new("a cookie that the input knows")
}

/// What a handshake makes of bytes that should be one frame.
fn take(state: Handshake, whole: &[u8], me: &Identity) -> Result<Step, RefusedBecause> {
    match frame::next(whole, CONTROL_LIMIT)? {
        Some((kind, fields)) if fields.end == whole.len() => {
            state.take(kind, &whole[fields], whole, me, &cookie())
        }
        _ => Err(RefusedBecause::NoNode("not one frame".to_owned())),
    }
}

fn say(step: Result<Step, RefusedBecause>) -> Result<(Vec<u8>, Handshake), RefusedBecause> {
    match step? {
        Step::Say(bytes, next) => Ok((bytes, next)),
        Step::Refused(why) => Err(why),
        other => panic!("{other:?} where something is to be said"),
    }
}

/// The whole of it between two, with what is done to each frame on its way: what both are sure of.
fn shake(
    a: &Identity,
    b: &Identity,
    mut between: impl FnMut(usize, Vec<u8>) -> Vec<u8>,
) -> Result<(Agreed, Agreed), RefusedBecause> {
    let (hello, dialler) = handshake::dial(a, Lane::Control, 0, [1; 32]);
    let (challenge, acceptor) = say(take(handshake::accept([2; 32]), &between(0, hello), b))?;
    let (proof, dialler) = say(take(dialler, &between(1, challenge), a))?;
    let (there, welcome) = match take(acceptor, &between(2, proof), b)? {
        Step::Decide(agreed, welcome) => (agreed, welcome),
        Step::Refused(why) => return Err(why),
        other => panic!("{other:?} where the dialler has proved itself"),
    };
    match take(dialler, &between(3, welcome), a)? {
        Step::Done(here) => Ok((here, there)),
        Step::Refused(why) => Err(why),
        other => panic!("{other:?} at the end"),
    }
}

/// The bytes as the fields of each kind of frame, at each stage. Nothing but what was said before could be right, and that
/// is nothing that the input can know.
fn stages(data: &[u8]) {
    let (a, b) = (identity("a"), identity("b"));
    for kind in [Kind::Hello, Kind::Challenge, Kind::Proof, Kind::Welcome, Kind::Refusal, Kind::Ping] {
        let Ok(length) = u32::try_from(data.len() + 1) else { return };
        let forged = [&length.to_be_bytes(), &[kind as u8][..], data].concat();
        for stage in 0..4 {
            let shaken = shake(&a, &b, |at, genuine| if at == stage { forged.clone() } else { genuine });
            let _ =
                shaken.map(|agreed| panic!("forged at {stage}: {agreed:?}")).map_err(|why| why.to_string());
        }
    }
}

/// One frame with changes to it, or cut short.
fn changed(data: &[u8]) {
    let [stage, mode, changes @ ..] = data else { return };
    let stage = usize::from(*stage % 4);
    let mut same = true;
    let shaken = shake(&identity("a"), &identity("b"), |at, genuine| {
        if at != stage {
            return genuine;
        }
        let bytes = change(&genuine, *mode, changes);
        same = bytes == genuine || proof(&bytes).is_some_and(|proof| Some(proof) == self::proof(&genuine));
        bytes
    });
    match shaken {
        Ok((here, there)) => assert!(same && here.session == there.session && here.session != 0),
        Err(why) => assert!(!same, "{why}"),
    }
}

fn change(genuine: &[u8], mode: u8, changes: &[u8]) -> Vec<u8> {
    let mut bytes = genuine.to_vec();
    for [high, low, byte] in changes.as_chunks().0 {
        let at = usize::from(u16::from_be_bytes([*high, *low])) % bytes.len();
        bytes[at] = *byte;
    }
    if mode & 1 == 1 {
        bytes.truncate(usize::from(mode) * bytes.len() / 255);
        if mode & 2 == 2 && bytes.len() > HEAD {
            // Its length is right again.
            let length = (bytes.len() - HEAD) as u32;
            bytes[..HEAD].copy_from_slice(&length.to_be_bytes());
        }
    }
    bytes
}

/// What it proves, if that is what it does. The same proof may be written in more than one way.
fn proof(whole: &[u8]) -> Option<(Kind, Bytes32)> {
    let (kind, fields) = frame::next(whole, CONTROL_LIMIT).ok()??;
    let proves = fields.end == whole.len() && matches!(kind, Kind::Proof | Kind::Welcome);
    let (proof,) = proves.then(|| frame::all::<(Bytes32,)>(kind, &whole[fields]).ok())??;
    Some((kind, proof))
}

/// Whoever it says it is: it is refused by the rules, or known by what it said.
fn identities(data: &[u8]) {
    let Some((numbers, name)) = data.split_first_chunk::<13>() else { return };
    let [creation, first, last] = [0, 4, 8].map(|at| {
        let bytes: [u8; 4] = numbers[at..at + 4].try_into().expect("four of them");
        u32::from_le_bytes(bytes)
    });
    let me = Identity { name: "b".into(), creation: 1, releases: (1, 3) };
    let name = String::from_utf8_lossy(name);
    let name = if numbers[12] == 0 { "b" } else { &*name };
    let other = Identity { name: name.into(), creation, releases: (first, last) };
    let fits = (1..=LONGEST_NAME).contains(&name.len())
        && other.name != me.name
        && other.id() != me.id()
        && first.max(1) <= last.min(3);
    for dials in [true, false] {
        let shaken = if dials {
            shake(&other, &me, |_, frame| frame)
        } else {
            shake(&me, &other, |_, frame| frame).map(|(here, there)| (there, here))
        };
        match shaken {
            Ok((_, known)) => assert!(fits && known.peer == other, "{known:?}"),
            Err(why) => assert!(!fits, "{why}"),
        }
    }
}

/// The other end of a connection of the machine.
struct End {
    /// As a node that has the cookie goes on.
    state: Option<Handshake>,
    lane: Lane,
    /// What it would say next.
    next: Option<Vec<u8>>,
    /// Something else was said.
    forged: bool,
}

/// A machine, and those who connect to it and whom it dials, with the cookie and without.
struct Strangers {
    machine: Machine,
    now: Duration,
    ends: BTreeMap<ConnId, End>,
    session: SessionId,
    up: Option<SessionId>,
}

impl Strangers {
    fn new() -> Self {
        let settings = Settings {
            me: identity("node"),
            cookie: cookie(),
            deadline: Duration::from_secs(1),
            handshake: Duration::from_secs(5),
            redial: (Duration::from_millis(50), Duration::from_secs(2)),
            address: Some("here".into()),
            learns: true,
        };
        let mut count = 0_u8;
        let nonce = move || {
            count = count.wrapping_add(1);
            [count; 32]
        };
        let (now, ends) = (Duration::ZERO, BTreeMap::new());
        Strangers { machine: Machine::new(settings, nonce), now, ends, session: 0, up: None }
    }

    fn meet(&mut self, data: &[u8]) {
        let mut rest = data;
        while let [what, which, behind @ ..] = rest {
            let long = usize::from(*what >> 4).min(behind.len());
            let (input, left) = behind.split_at(long);
            rest = left;
            let conns = self.ends.keys().copied().collect::<Vec<_>>();
            let conn = conns.get(usize::from(*which) % conns.len().max(1)).copied().unwrap_or(7);
            match what & 15 {
                0..=2 => self.connect(LANES[usize::from(*which % 3)]),
                3..=7 => self.go_on(conn, |genuine| genuine),
                8 => self.go_on(conn, |genuine| change(&genuine, *which, input)),
                9 => {
                    let kinds = [
                        Kind::Hello,
                        Kind::Challenge,
                        Kind::Proof,
                        Kind::Welcome,
                        Kind::Ping,
                        Kind::Peer,
                        Kind::Link,
                    ];
                    let kind = kinds[usize::from(*which) % kinds.len()];
                    let length = (input.len() + 1) as u32;
                    self.forge(conn, &[&length.to_be_bytes(), &[kind as u8][..], input].concat());
                }
                10 if *which < 64 => self.forge(conn, &frame::plain(Kind::Ping, &(u64::from(*which),))),
                10 => {
                    // Of itself, of another one, and that this is no more.
                    let name = if input.is_empty() { "peer".into() } else { String::from_utf8_lossy(input) };
                    let address = if *which < 128 { "" } else { "other" };
                    self.forge(conn, &frame::plain(Kind::Peer, &(name, address)));
                }
                11 => self.machine.handle_closed(self.now, conn, None),
                12 => {
                    let keep = [Keep::Once, Keep::Learned, Keep::Always][usize::from(*which) % 3];
                    self.machine.handle_connect(self.now, "other", keep, Some(u64::from(*which)));
                }
                13 => self.machine.handle_disconnect(
                    self.now,
                    identity("peer").id(),
                    machine::DownBecause::Disconnected,
                ),
                14 => self.wait(Duration::from_millis(u64::from(*which) * 10)),
                _ => {
                    let error = frame::FrameError::Empty;
                    self.machine.handle_garbage(self.now, conn, error);
                }
            }
            self.act();
        }
        // Whatever was left half done is given up in time.
        self.wait(Duration::from_secs(20));
        self.act();
    }

    /// Somebody connects, and is about to say Hello.
    fn connect(&mut self, lane: Lane) {
        let Some(conn) = self.machine.handle_accepted(self.now) else { return };
        let session = if lane == Lane::Control { 0 } else { self.session };
        let (hello, state) = handshake::dial(&identity("peer"), lane, session, [conn as u8; 32]);
        self.ends.insert(conn, End { state: Some(state), lane, next: Some(hello), forged: false });
    }

    /// It says what a node would say, as it comes to the machine.
    fn go_on(&mut self, conn: ConnId, on_its_way: impl FnOnce(Vec<u8>) -> Vec<u8>) {
        let Some(genuine) = self.ends.get_mut(&conn).and_then(|end| end.next.take()) else { return };
        let bytes = on_its_way(genuine.clone());
        let same = bytes == genuine || proof(&bytes).is_some_and(|said| Some(said) == proof(&genuine));
        if same { self.hand_over(conn, &bytes) } else { self.forge(conn, &bytes) }
    }

    fn forge(&mut self, conn: ConnId, bytes: &[u8]) {
        if let Some(end) = self.ends.get_mut(&conn) {
            // What comes when the handshake is over is another matter.
            end.forged |= end.state.is_some();
            self.hand_over(conn, bytes);
        }
    }

    fn hand_over(&mut self, conn: ConnId, bytes: &[u8]) {
        match frame::next(bytes, CONTROL_LIMIT) {
            Ok(Some((kind, fields))) => {
                let whole = &bytes[..fields.end];
                self.machine.handle_frame(self.now, conn, kind, &whole[fields], whole);
            }
            Ok(None) => {}
            Err(error) => self.machine.handle_garbage(self.now, conn, error),
        }
    }

    fn wait(&mut self, long: Duration) {
        let until = self.now + long;
        while let Some(due) = self.machine.next_time().filter(|due| *due <= until) {
            self.now = self.now.max(due);
            self.machine.handle_time(self.now);
            assert!(self.machine.next_time().is_none_or(|next| next > self.now), "it is due again at once");
            self.act();
        }
        self.now = until;
    }

    fn act(&mut self) {
        while let Some(action) = self.machine.poll() {
            match action {
                Action::Send { conn, bytes } => self.hear(conn, &bytes),
                Action::Close { conn } => drop(self.ends.remove(&conn)),
                Action::Dial { conn, .. } => {
                    let state = Some(handshake::accept([conn as u8; 32]));
                    let end = End { state, lane: Lane::Control, next: None, forged: false };
                    self.ends.insert(conn, end);
                    assert!(self.machine.handle_dialled(self.now, conn, Ok(())), "it was dialled just now");
                }
                Action::Up { session, peer, messages, bulk } => {
                    assert!(self.up.replace(session).is_none(), "it is up already");
                    assert_eq!(peer, identity("peer"));
                    for conn in [messages, bulk] {
                        let end = self.ends.get(&conn).expect("a lane is open");
                        assert!(!end.forged, "{:?} is believed", end.lane);
                    }
                    let control = self.ends.values().any(|end| end.lane == Lane::Control && !end.forged);
                    assert!(control, "there is a lane of control");
                }
                Action::Down { session, .. } => assert_eq!(self.up.take(), Some(session)),
                Action::Proceed { .. } | Action::Connected { .. } => {}
                Action::Refused { why, .. } => drop(why.to_string()),
            }
        }
    }

    /// The other end takes what the machine says, as a node that has the cookie does.
    fn hear(&mut self, conn: ConnId, bytes: &[u8]) {
        let Some(end) = self.ends.get_mut(&conn) else { return };
        let Some(state) = end.state.take() else { return };
        match take(state, bytes, &identity("peer")) {
            Ok(Step::Say(next, state)) => (end.next, end.state) = (Some(next), Some(state)),
            Ok(Step::Decide(agreed, welcome)) => {
                (end.next, end.lane) = (Some(welcome), agreed.lane);
                self.session = agreed.session;
            }
            Ok(Step::Done(agreed)) => {
                assert!(!end.forged, "what it has not said was welcome");
                self.session = agreed.session;
            }
            Ok(Step::Refused(_)) | Err(_) => {}
        }
    }
}
