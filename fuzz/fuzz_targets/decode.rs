//! Any bytes where another node or a capsule gives an address, a reason or a term: no panic, nothing that is read back
//! as something else, and an answer to a forged address finds nobody.

#![no_main]

use std::fmt::Debug;

use incarnate::{ExitReason, MonitorRef, Pid, ReplyTo, Term, TimerRef};
use libfuzzer_sys::fuzz_target;
use serde::Serialize;
use serde::de::DeserializeOwned;

fuzz_target!(|data: &[u8]| {
    same_again::<Pid>(data);
    same_again::<MonitorRef>(data);
    same_again::<TimerRef>(data);
    if let Some(reason) = same_again::<ExitReason>(data) {
        let _ = (reason.to_string(), reason.is_orderly());
    }
    if let Some(term) = same_again::<Term>(data) {
        read(&term);
    }
    if let Ok(to) = rmp_serde::from_slice::<ReplyTo<u64>>(data) {
        let bytes = rmp_serde::to_vec_named(&to).expect("what was read can be written");
        let again: ReplyTo<String> = rmp_serde::from_slice(&bytes).expect("what was written can be read");
        assert_eq!(format!("{to:?}"), format!("{again:?}"));
        // Nobody waits in this program.
        assert!(!to.is_awaited() && !to.send(7) && !again.send("seven".to_owned()));
    }
});

/// Reads a `T`, and what that is written as gives the same `T`.
fn same_again<T: Serialize + DeserializeOwned + PartialEq + Debug>(data: &[u8]) -> Option<T> {
    let value: T = rmp_serde::from_slice(data).ok()?;
    let bytes = rmp_serde::to_vec_named(&value).expect("what was read can be written");
    let again: T = rmp_serde::from_slice(&bytes).expect("what was written can be read");
    assert_eq!(value, again);
    assert_eq!(format!("{value:?}"), format!("{again:?}"));
    Some(value)
}

/// A term that came from elsewhere may hold anything.
fn read(term: &Term) {
    let _ = term.decode::<String>();
    let _ = term.decode::<(u64, Vec<Option<i8>>)>();
    let _ = term.decode::<ExitReason>();
    if let Ok(inner) = term.decode::<Term>() {
        assert_eq!(Term::encode(&inner).and_then(|outer| outer.decode::<Term>()), Ok(inner));
    }
}
