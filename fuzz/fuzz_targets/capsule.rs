//! Any bytes where another incarnation hands over a capsule: no panic, no depth that the stack cannot bear, no memory
//! beyond what came in; what is read is written as the same again, and cut short it is refused.

#![no_main]

#[path = "../../tests/support/visits.rs"]
mod visits;

use std::collections::HashMap;
use std::time::Duration;

use incarnate::handoff::{
    Answered, Capsule, CapsuleError, CapsuleTimer, ModuleVsn, StateVersion, Unread, UnreadKind, downgrade,
    encode, upgrade,
};
use incarnate::{Never, Term};
use libfuzzer_sys::fuzz_target;
use serde::{Deserialize, Serialize};
use visits::Visits3;

/// What the bytes of a capsule begin with, up to their length.
const HEAD: &[u8] = b"\xc1capsule\0\x01";

/// A state that holds itself, in each way that the decoder follows.
#[derive(Serialize, Deserialize)]
enum Nested {
    In(Box<Nested>),
    Optional { inner: Option<Box<Nested>> },
    List(Vec<Nested>),
    Map(HashMap<String, Nested>),
    Leaf,
}

impl StateVersion for Nested {
    const VSN: u32 = 1;
    type Previous = Never;
}

fuzz_target!(|data: &[u8]| {
    capsule(data);
    // What is right in each part is seldom met by chance. A right head, then a right capsule: with the bytes as its
    // state and its message, and as changes to it, three for each.
    let mut bytes = HEAD.to_vec();
    bytes.extend((data.len() as u64).to_be_bytes());
    bytes.extend(data);
    capsule(&bytes);

    let term = Term::from_bytes(data);
    let mut bytes = around(&term).encode().expect("it can be written");
    capsule(&bytes);
    for [high, low, byte] in data.as_chunks().0 {
        let at = usize::from(u16::from_be_bytes([*high, *low])) % bytes.len();
        bytes[at] = *byte;
    }
    capsule(&bytes);

    states(&term);
    if let Ok(text) = std::str::from_utf8(data)
        && let Ok(module) = text.parse::<ModuleVsn>()
    {
        assert_eq!(module.to_string(), text);
    }
});

/// A capsule with something in each of its fields.
fn around(term: &Term) -> Capsule {
    let parts = |parts: (u32, u32, u64)| Term::encode(&parts).expect("numbers are a term");
    let identity = parts((7, 1, 42)).decode().expect("a pid");
    let mut capsule = Capsule::new(identity, 3, ModuleVsn::new("visits", 2), term.clone());
    let reference = Term::encode(&(5_u64, 6_u64)).and_then(|parts| parts.decode()).expect("a timer");
    let (remaining, message) = (Duration::from_millis(1_500), Term::from("tick"));
    capsule.timers = vec![CapsuleTimer { reference, remaining, message }];
    capsule.answered = vec![Answered { session: (1, 2), sequence: 3, answer: parts((1, 2, 3)) }];
    let (message, request) = (term.clone(), Some(Term::nil()));
    capsule.mailbox = vec![Unread { vsn: 1, kind: UnreadKind::Call, message, request }];
    capsule
}

fn capsule(bytes: &[u8]) {
    let Ok(capsule) = Capsule::decode(bytes) else { return };
    let written = capsule.encode().expect("what was read can be written");
    assert_eq!(Capsule::decode(&written), Ok(capsule.clone()));
    let cut = Capsule::decode(&written[..written.len() - 1]);
    assert!(matches!(cut, Err(CapsuleError::Truncated { .. })), "{cut:?}");

    let module = capsule.module.module();
    let _ = capsule.open::<Visits3>(module, &Term::nil()).map_err(|error| error.to_string());
    assert!(capsule.open::<Visits3>("", &Term::nil()).is_err(), "a module has a name");
    for unread in &capsule.mailbox {
        let _ = unread.open::<Visits3>(&Term::nil());
    }
    states(&capsule.state);
}

/// Reads a term as each version of a state. What can be read comes back as it went.
fn states(term: &Term) {
    for vsn in 0..5 {
        let Ok(state) = upgrade::<Visits3>(vsn, term, &Term::nil()) else { continue };
        assert!((1..=3).contains(&vsn));
        let below = downgrade(state.clone(), 2, &Term::nil()).expect("nothing is lost from 3 to 2");
        let again = upgrade::<Visits3>(2, &below, &Term::nil()).expect("it came from there");
        // A host with a slash in it is divided elsewhere when it comes back.
        assert!(again == state || state.host.contains('/'));
    }
    if let Ok(nested) = upgrade::<Nested>(1, term, &Term::nil())
        && let Ok(written) = encode(&nested)
    {
        assert!(upgrade::<Nested>(1, &written, &Term::nil()).is_ok());
    }
}
