//! What crosses between incarnations stays readable: the golden bytes of each format and each version.

#[path = "support/visits.rs"]
mod visits;

use std::fmt::Debug;
use std::fs;
use std::path::PathBuf;
use std::time::Duration;

use incarnate::handoff::{
    Answered, Capsule, CapsuleTimer, ModuleVsn, StateVersion, Unread, UnreadKind, downgrade, encode, upgrade,
};
use incarnate::{Pid, Term, TimerRef};
use visits::{Origin, Visits1, Visits2, Visits3};

const VISITS: ModuleVsn = ModuleVsn::new("visits", 3);

fn first() -> Visits1 {
    Visits1 { page: "example.org/a".into(), count: 300 }
}

fn second() -> Visits2 {
    let last = Some(Origin::Link { from: "example.com".into() });
    Visits2 { page: "example.org/a".into(), count: 300, last }
}

fn third() -> Visits3 {
    let last = Some(Origin::Search(vec!["golden".into(), "bytes".into()]));
    Visits3 { host: "example.org".into(), path: "a".into(), count: 300, last }
}

fn pid() -> Pid {
    Term::encode(&(0xdead_beef_u32, 2, 42)).unwrap().decode().unwrap()
}

fn timer() -> TimerRef {
    Term::encode(&(5_000_000_000_u64, 7)).unwrap().decode().unwrap()
}

fn capsule() -> Capsule {
    let mut capsule = Capsule::new(pid(), 5, VISITS, encode(&third()).unwrap());
    let remaining = Duration::from_millis(1_500);
    capsule.timers = vec![CapsuleTimer { reference: timer(), remaining, message: Term::from("tick") }];
    capsule.answered = vec![Answered { session: (1, 2), sequence: 3, answer: Term::encode(&300).unwrap() }];
    capsule.mailbox = vec![
        Unread {
            vsn: 1,
            kind: UnreadKind::Call,
            message: Term::from("get"),
            request: Some(Term::from("to")),
        },
        Unread { vsn: 1, kind: UnreadKind::Cast, message: Term::from("visit"), request: None },
        Unread { vsn: 2, kind: UnreadKind::Info, message: Term::encode(&(1, 2)).unwrap(), request: None },
    ];
    capsule
}

/// The bytes of a golden file. Lines that begin with `#` say how they were made.
fn golden(name: &str, written_today: &[u8]) -> Vec<u8> {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/golden").join(name);
    let Ok(text) = fs::read_to_string(&path) else {
        let lines: Vec<String> = written_today
            .chunks(32)
            .map(|line| line.iter().map(|byte| format!("{byte:02x}")).collect())
            .collect();
        panic!("there is no tests/golden/{name}; what is written today is\n{}\n", lines.join("\n"));
    };
    let digits: String = text.lines().filter(|line| !line.starts_with('#')).collect();
    digits
        .as_bytes()
        .chunks(2)
        .map(|pair| u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16).unwrap())
        .collect()
}

/// A golden state is what is written today, and is read as what it was.
fn check_state<S: StateVersion + PartialEq + Debug>(name: &str, state: S) -> Term {
    let written = encode(&state).unwrap();
    let golden = Term::from_bytes(golden(name, written.as_bytes()));
    assert_eq!(written.as_bytes(), golden.as_bytes(), "{name}");
    assert_eq!(upgrade::<S>(S::VSN, &golden, &Term::nil()), Ok(state), "{name}");
    golden
}

#[test]
fn golden_states_of_each_version_are_read_and_written() {
    let one = check_state("visits_1.hex", first());
    let two = check_state("visits_2.hex", second());
    check_state("visits_3.hex", third());

    let nil = Term::nil();
    let moved = Visits3 { host: "example.org".into(), path: "a".into(), count: 300, last: None };
    assert_eq!(upgrade::<Visits3>(1, &one, &nil), Ok(moved.clone()));
    assert_eq!(downgrade(moved, 1, &nil), Ok(one));
    assert_eq!(downgrade(Visits3 { last: second().last, ..third() }, 2, &nil), Ok(two));
}

#[test]
fn a_golden_capsule_is_read_and_written() {
    let written = capsule().encode().unwrap();
    let golden = golden("capsule_format_1.hex", &written);
    assert_eq!(written, golden);
    let read = Capsule::decode(&golden).unwrap();
    assert_eq!(read, capsule());
    assert_eq!(read.open::<Visits3>("visits", &Term::nil()), Ok(third()));
}

#[test]
fn each_golden_file_is_read() {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/golden");
    let mut names: Vec<String> = fs::read_dir(folder)
        .unwrap()
        .map(|file| file.unwrap().file_name().into_string().unwrap())
        .filter(|name| name.ends_with(".hex"))
        .collect();
    names.sort();
    assert_eq!(names, ["capsule_format_1.hex", "visits_1.hex", "visits_2.hex", "visits_3.hex"]);
}
