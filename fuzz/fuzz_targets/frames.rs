//! Any bytes where a node that has proved the cookie says frames: no panic, no frame that depends on how the bytes were cut,
//! no memory for a length that is only promised; whatever it says to a node with a process, that goes on, and forgets it
//! when the connection is over.

#![no_main]

#[allow(unused, reason = "a part of it is driven from here")]
#[path = "../../src/node/frame.rs"]
mod frame;
#[allow(unused, reason = "a part of it is driven from here")]
#[path = "../../src/node/handshake.rs"]
mod handshake;
#[path = "../peer.rs"]
mod peer;

use std::convert::Infallible;

use frame::{CONTROL_LIMIT, FrameError, HEAD, Kind};
// The modules of a node name it from the root of their crate.
use incarnate::node::SpawnError;
use incarnate::term;
use incarnate::{ExitReason, Pid, Term};
use libfuzzer_sys::fuzz_target;
use peer::{Peer, Rig};
use serde::{Deserialize, Serialize};
use term::AliasRef;

thread_local! {
    static RIG: Rig = Rig::new();
}

fuzz_target!(|data: &[u8]| {
    pieces(data);
    fields(data);
    if !data.is_empty() {
        RIG.with(|rig| rig.connected(async |peer| talk(peer, data).await));
    }
});

/// All frames of a stream, as a lane reads it, and what ends it.
fn read<'a>(
    pieces: impl Iterator<Item = &'a [u8]>,
    limit: u32,
) -> (Vec<(Kind, Vec<u8>)>, Option<FrameError>) {
    let (mut bytes, mut frames) = (Vec::new(), Vec::new());
    for piece in pieces {
        bytes.extend_from_slice(piece);
        loop {
            match frame::next(&bytes, limit) {
                Ok(Some((kind, fields))) => {
                    assert!(fields.start == HEAD + 1 && fields.end <= bytes.len());
                    assert!(fields.end - HEAD <= limit as usize);
                    frames.push((kind, bytes[fields.clone()].to_vec()));
                    bytes.drain(..fields.end);
                }
                Ok(None) => break,
                Err(error) => {
                    let _ = error.to_string();
                    return (frames, Some(error));
                }
            }
        }
        // What waits for its end is one frame, no longer than it may be.
        assert!(bytes.len() < HEAD + limit as usize);
    }
    (frames, None)
}

/// The first bytes say how to cut the rest.
fn pieces(data: &[u8]) {
    let Some((sizes, input)) = data.split_first_chunk::<4>() else { return };
    for limit in [16, CONTROL_LIMIT, u32::MAX] {
        let whole = read(std::iter::once(input), limit);
        let (mut rest, mut sizes) = (input, sizes.iter().cycle());
        let cut = std::iter::from_fn(|| {
            let size = 1 + usize::from(*sizes.next()? >> 2);
            let (piece, behind) = rest.split_at_checked(size).unwrap_or((rest, &[]));
            rest = behind;
            (!piece.is_empty()).then_some(piece)
        });
        assert_eq!(read(cut, limit), whole, "the pieces make a difference");
        for (kind, bytes) in whole.0 {
            let again = frame::put(&mut Vec::new(), kind, &(), u32::MAX, |out| {
                // An empty array stands for its fields: what follows is told to be too much, if anything does.
                out.extend_from_slice(&bytes);
                Ok::<_, Infallible>(())
            });
            assert!(again.is_ok());
        }
    }
}

/// As a node reads them: one array of numbers, names, pids, references and reasons.
fn fields(data: &[u8]) {
    let kind = Kind::Call;
    let _ = frame::all::<(u64,)>(kind, data);
    let _ = frame::all::<(u64, u64, u64)>(kind, data);
    let _ = frame::all::<(u64, u64, ExitReason)>(kind, data);
    let _ = frame::all::<(Pid, Dest, ExitReason)>(kind, data);
    let _ = frame::all::<(u64, Dest, u64)>(kind, data);
    let _ = frame::all::<(u64, AliasRef)>(kind, data);
    let _ = frame::all::<(u64, Result<Pid, SpawnError>)>(kind, data);
    let _ = frame::fields::<(u64, u64, Tied, String)>(kind, data);
    let _ = frame::all::<(String, String)>(kind, data);
    if let Ok(((dest, number), body)) = frame::fields::<(Dest, u64)>(kind, data) {
        let bytes = frame::plain(kind, &(&dest, number));
        let (again, rest) = frame::fields::<(Dest, u64)>(kind, &bytes[HEAD + 1..]).expect("what was written");
        assert!(again == (dest, number) && rest.is_empty() && body.len() < data.len());
    }
}

/// Where a message goes, as it is on the wire.
#[derive(Debug, PartialEq, Serialize, Deserialize)]
enum Dest {
    Id(u64),
    Name(String),
}

/// What the node takes, as it is on the wire.
#[derive(Serialize)]
enum Said<'a> {
    Echo(&'a Term, Return),
    Keep(Return),
    Me(Return),
    Say(&'a Term),
    Tie(Pid),
    Untie(Pid),
    Term(&'a Term),
    Asked(Return),
    Start,
}

/// How a process that is started for another node is tied to who asked.
#[derive(Serialize, Deserialize)]
enum Tied {
    None,
    Link,
    Monitor(u64),
}

#[derive(Serialize)]
enum Return {
    Slot(u64),
}

/// One thing after another, each by a byte that says which: a frame as a node would say it, one that is changed, or bytes.
async fn talk(peer: &mut Peer, mut data: &[u8]) {
    for _ in 0..32 {
        let [which, lane, behind @ ..] = data else { return };
        let long = usize::from(*lane >> 2).min(behind.len());
        let (input, rest) = behind.split_at(long);
        data = rest;
        // Most of what is said belongs on the lane of messages.
        let lane = [1, 1, 2, 0][usize::from(*lane & 3)];
        let mut bytes = if *which == 255 { input.to_vec() } else { genuine(*which, peer, input) };
        if *which >= 128 && *which < 255 {
            for [at, byte] in input.as_chunks().0 {
                let at = usize::from(*at) % bytes.len();
                // Not the length, most of the time: the rest would be waited for.
                if at >= HEAD || input.len() > 32 {
                    bytes[at] = *byte;
                }
            }
        }
        peer.say(lane, &bytes).await;
    }
}

/// A frame that is right, with what the input has for a body in it.
fn genuine(which: u8, peer: &Peer, input: &[u8]) -> Vec<u8> {
    let (desk, address) = (peer.desk, peer.address());
    let name = || Dest::Name("desk".into());
    let term = Term::from_bytes(input);
    let pid = |id: u64| -> Pid {
        let parts = Term::encode(&(term::NodeId::of("peer"), 1_u32, id)).expect("numbers");
        parts.decode().expect("the parts of a pid")
    };
    let number = u64::from(input.first().copied().unwrap_or(3)) % 4;
    let reason = ExitReason::term(&"over");
    let slot = || Return::Slot(number);
    match which % 32 {
        0 => body(Kind::Call, &(name(), number), &Said::Echo(&term, slot())),
        1 => body(Kind::Call, &(Dest::Id(desk), number), &Said::Keep(slot())),
        2 => body(Kind::Call, &(name(), number), &Said::Me(slot())),
        3 => body(Kind::Cast, &(name(),), &Said::Say(&term)),
        4 => body(Kind::Cast, &(name(),), &Said::Tie(pid(number))),
        5 => body(Kind::Cast, &(Dest::Id(desk),), &Said::Untie(pid(number))),
        6 => body(Kind::Info, &(name(),), &Said::Term(&term)),
        7 => body(Kind::Ask, &(name(), number), &Said::Asked(slot())),
        8 => raw(Kind::Answer, &(address,), &rmp_serde::to_vec_named(&term).expect("a term")),
        9 => frame::plain(Kind::Failed, &(address, "NoProc")),
        10 => frame::plain(Kind::Link, &(number, desk)),
        11 => frame::plain(Kind::Unlink, &(number, desk, 1_u64)),
        12 => frame::plain(Kind::UnlinkAck, &(number, desk, 1_u64)),
        13 => frame::plain(Kind::LinkExit, &(number, desk, reason)),
        14 => frame::plain(Kind::Exit, &(pid(number), Dest::Id(desk), reason)),
        15 => frame::plain(Kind::Monitor, &(number, name(), 7_u64)),
        16 => frame::plain(Kind::Demonitor, &(number, 7_u64)),
        17 => frame::plain(Kind::Down, &(desk, address, reason)),
        18 => frame::plain(Kind::Alias, &(desk, (1_u64, 2_u64))),
        19 => frame::plain(Kind::Ping, &(number,)),
        20 => frame::plain(Kind::Stop, &(name(), reason)),
        21 => frame::plain(Kind::Exit, &(pid(number), name(), ExitReason::Kill)),
        // The fields are right, and the body is what the input has.
        22 => body(Kind::Cast, &(name(),), &Said::Start),
        23 => frame::plain(Kind::Spawned, &(address, Ok::<_, ()>(pid(number)))),
        24 => frame::plain(Kind::Peer, &("other", "somewhere")),
        25..=27 => {
            let tied = [Tied::None, Tied::Link, Tied::Monitor(number)];
            let from = if which % 32 == 25 { 0 } else { number };
            let tied = &tied[usize::from(which % 32) - 25];
            raw(
                Kind::Spawn,
                &(from, number, tied, "worker"),
                &rmp_serde::to_vec_named(&term).expect("a term"),
            )
        }
        28 => raw(Kind::Call, &(name(), number), input),
        _ => raw(Kind::Cast, &(name(),), input),
    }
}

fn raw(kind: Kind, fields: &impl Serialize, body: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    let put = frame::put(&mut out, kind, fields, u32::MAX, |out| {
        out.extend_from_slice(body);
        Ok::<_, Infallible>(())
    });
    assert!(put.is_ok());
    out
}

fn body(kind: Kind, fields: &impl Serialize, value: &Said<'_>) -> Vec<u8> {
    raw(kind, fields, &rmp_serde::to_vec_named(value).expect("it can be written"))
}
