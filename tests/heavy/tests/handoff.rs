//! What crosses between incarnations, by property: whatever the state, whatever the bytes.

#[path = "../../support/visits.rs"]
mod visits;

use std::time::Duration;

use incarnate::handoff::{
    Answered, Capsule, CapsuleError, CapsuleTimer, ChangeError, ModuleVsn, StateVersion, Unread, UnreadKind,
    downgrade, encode, upgrade,
};
use incarnate::{Pid, Term, TimerRef};
use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;
use visits::{Origin, Visits1, Visits2, Visits3};

fn origin() -> impl Strategy<Value = Origin> {
    prop_oneof![
        Just(Origin::Bookmark),
        any::<String>().prop_map(|from| Origin::Link { from }),
        vec(any::<String>(), 0..4).prop_map(Origin::Search),
    ]
}

/// Pages with a path and pages without.
fn page() -> impl Strategy<Value = String> {
    prop_oneof![any::<String>(), "[a-z.]{0,8}/[a-z/]{0,8}"]
}

fn first() -> impl Strategy<Value = Visits1> {
    (page(), any::<u64>()).prop_map(|(page, count)| Visits1 { page, count })
}

fn second() -> impl Strategy<Value = Visits2> {
    (page(), any::<u64>(), option::of(origin())).prop_map(|(page, count, last)| Visits2 { page, count, last })
}

/// No host holds a slash: that is what version 3 says of itself.
fn third() -> impl Strategy<Value = Visits3> {
    ("[^/]{0,8}", any::<String>(), any::<u64>(), option::of(origin()))
        .prop_map(|(host, path, count, last)| Visits3 { host, path, count, last })
}

fn term() -> impl Strategy<Value = Term> {
    prop_oneof![
        any::<String>().prop_map(|text| Term::from(&*text)),
        vec(any::<u8>(), 0..40).prop_map(Term::from_bytes),
        third().prop_map(|state| encode(&state).unwrap()),
    ]
}

fn pid() -> impl Strategy<Value = Pid> {
    any::<(u32, u32, u64)>().prop_map(|parts| Term::encode(&parts).unwrap().decode().unwrap())
}

fn timer() -> impl Strategy<Value = CapsuleTimer> {
    (any::<(u64, u64)>(), any::<u64>(), term()).prop_map(|(parts, remaining, message)| CapsuleTimer {
        reference: Term::encode(&parts).unwrap().decode::<TimerRef>().unwrap(),
        remaining: Duration::from_nanos(remaining),
        message,
    })
}

fn answered() -> impl Strategy<Value = Answered> {
    (any::<(u64, u64)>(), any::<u64>(), term()).prop_map(|(session, sequence, answer)| Answered {
        session,
        sequence,
        answer,
    })
}

fn unread() -> impl Strategy<Value = Unread> {
    let kind = prop_oneof![Just(UnreadKind::Call), Just(UnreadKind::Cast), Just(UnreadKind::Info)];
    (any::<u32>(), kind, term(), option::of(term())).prop_map(|(vsn, kind, message, request)| Unread {
        vsn,
        kind,
        message,
        request,
    })
}

fn module() -> impl Strategy<Value = ModuleVsn> {
    prop_oneof![
        (1..5_u32).prop_map(|vsn| ModuleVsn::new("visits", vsn)),
        ("(?s).{1,8}", 1..=u32::MAX).prop_map(|(module, vsn)| ModuleVsn::named(module, vsn).unwrap()),
    ]
}

fn capsule() -> impl Strategy<Value = Capsule> {
    (
        (pid(), any::<u64>(), module(), term()),
        (vec(timer(), 0..4), vec(answered(), 0..4), vec(unread(), 0..4)),
    )
        .prop_map(|((identity, epoch, module, state), (timers, answered, mailbox))| Capsule {
            identity,
            epoch,
            module,
            state,
            timers,
            answered,
            mailbox,
        })
}

/// A state as version `S`, walked up from `from` and down again to it.
fn there_and_back<S: StateVersion>(from: u32, state: &Term) -> Result<Term, ChangeError> {
    downgrade(upgrade::<S>(from, state, &Term::nil())?, from, &Term::nil())
}

/// Reads all that can be read of bytes which may be anything.
fn read(bytes: &[u8]) -> Result<(), TestCaseError> {
    if let Ok(capsule) = Capsule::decode(bytes) {
        let _ = capsule.open::<Visits3>("visits", &Term::nil());
        for unread in &capsule.mailbox {
            let _ = unread.open::<Visits3>(&Term::nil());
        }
        prop_assert_eq!(Capsule::decode(&capsule.encode().unwrap()), Ok(capsule));
    }
    Ok(())
}

proptest! {
    #[test]
    fn version_1_goes_up_to_3_and_comes_back(state in first()) {
        let bytes = encode(&state).unwrap();
        prop_assert_eq!(there_and_back::<Visits2>(1, &bytes), Ok(bytes.clone()));
        if state.page.contains('/') {
            prop_assert_eq!(there_and_back::<Visits3>(1, &bytes), Ok(bytes));
        } else {
            let error = there_and_back::<Visits3>(1, &bytes).unwrap_err();
            let refused = matches!(error, ChangeError::Refused { from: 2, to: 3, .. });
            prop_assert!(refused, "{}", error);
        }
    }

    #[test]
    fn version_2_goes_up_to_3_and_comes_back(state in second()) {
        let bytes = encode(&state).unwrap();
        let again = there_and_back::<Visits3>(2, &bytes).ok();
        prop_assert_eq!(again, state.page.contains('/').then_some(bytes));
    }

    #[test]
    fn version_3_goes_down_and_comes_back_or_says_what_would_be_lost(state in third()) {
        let nil = Term::nil();
        let second = downgrade(state.clone(), 2, &nil).unwrap();
        prop_assert_eq!(upgrade::<Visits3>(2, &second, &nil), Ok(state.clone()));
        match downgrade(state.clone(), 1, &nil) {
            Ok(first) => {
                prop_assert!(state.last.is_none());
                prop_assert_eq!(upgrade::<Visits3>(1, &first, &nil), Ok(state));
            }
            Err(error) => {
                prop_assert!(state.last.is_some());
                let lossy = matches!(error, ChangeError::Lossy { from: 2, to: 1, .. });
                prop_assert!(lossy, "{}", error);
            }
        }
    }

    #[test]
    fn a_state_is_read_as_no_other_version(state in second()) {
        let bytes = encode(&state).unwrap();
        for vsn in [1, 3] {
            let error = upgrade::<Visits3>(vsn, &bytes, &Term::nil()).unwrap_err();
            let damaged = matches!(&error, ChangeError::Undecodable { vsn: said, .. } if *said == vsn);
            prop_assert!(damaged, "{}", error);
        }
    }

    #[test]
    fn a_module_and_its_version_are_their_text(module in module(), text in any::<String>()) {
        prop_assert_eq!(module.to_string().parse(), Ok(module));
        if let Ok(parsed) = text.parse::<ModuleVsn>() {
            prop_assert_eq!(parsed.to_string(), text);
        }
    }

    #[test]
    fn a_capsule_comes_back_as_it_went(capsule in capsule()) {
        prop_assert_eq!(Capsule::decode(&capsule.encode().unwrap()), Ok(capsule));
    }

    #[test]
    fn a_capsule_opens_where_module_and_version_are_known(capsule in capsule(), state in third()) {
        let capsule = Capsule { state: encode(&state).unwrap(), ..capsule };
        let opened = capsule.open::<Visits3>("visits", &Term::nil());
        match (capsule.module.module(), capsule.module.vsn()) {
            ("visits", 3) => prop_assert_eq!(opened, Ok(state)),
            ("visits", vsn @ (1 | 2)) => {
                let damaged = matches!(&opened, Err(ChangeError::Undecodable { vsn: said, .. }) if *said == vsn);
                prop_assert!(damaged, "{:?}", opened);
            }
            ("visits", vsn) => {
                let unknown = matches!(&opened, Err(ChangeError::UnknownVersion { found, .. }) if *found == vsn);
                prop_assert!(unknown, "{:?}", opened);
            }
            _ => {
                let foreign = matches!(&opened, Err(ChangeError::ForeignModule { .. }));
                prop_assert!(foreign, "{:?}", opened);
            }
        }
    }

    #[test]
    fn any_bytes_behind_the_mark_do_no_harm(body in vec(any::<u8>(), 0..200)) {
        let mut bytes = b"\xc1capsule\0\x01".to_vec();
        bytes.extend((body.len() as u64).to_be_bytes());
        bytes.extend(&body);
        read(&bytes)?;
        read(&body)?;
    }
}

proptest! {
    // Each case tries every byte of a capsule.
    #![proptest_config(ProptestConfig::with_cases(32))]

    #[test]
    fn a_capsule_that_is_cut_or_followed_is_refused(capsule in capsule(), more in vec(any::<u8>(), 1..9)) {
        let bytes = capsule.encode().unwrap();
        for end in 0..bytes.len() {
            let cut = Capsule::decode(&bytes[..end]);
            let refused = matches!(&cut, Err(CapsuleError::Truncated { .. }));
            prop_assert!(refused, "{:?}", cut);
        }
        let extra = more.len() as u64;
        prop_assert_eq!(Capsule::decode(&[bytes, more].concat()), Err(CapsuleError::Trailing { extra }));
    }

    #[test]
    fn one_byte_that_is_wrong_does_no_harm(capsule in capsule(), wrong in 1..=u8::MAX) {
        let mut bytes = capsule.encode().unwrap();
        for at in 0..bytes.len() {
            bytes[at] ^= wrong;
            read(&bytes)?;
            // Mark, format and length: each bit of them counts.
            prop_assert!(at >= 18 || Capsule::decode(&bytes).is_err());
            bytes[at] ^= wrong;
        }
    }
}
