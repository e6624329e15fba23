//! The versions of a state, and the way from one to the next.
//!
//! - A version is a number that stands beside the bytes, never in them. Bytes are only ever read as the version that
//!   stands beside them; nothing is tried out.
//! - A chain strictly descends and ends in [`Never`]. One that does not is no program: it does not compile. So each
//!   walk along a chain ends.
//! - A step is `up` or `down`, each written by hand. One that is not written is refused.

use std::ops::RangeInclusive;

use serde::Serialize;
use serde::de::DeserializeOwned;

use super::ChangeError;
use crate::term::{Never, Term};

/// One version of a state: a struct, and the way to it from the version before and back (`code_change/3`).
///
/// A version that has been in use never changes again: its struct stays as it is, and what is new gets a version of
/// its own that names this one as [`Previous`](Self::Previous). Numbers may leave gaps. A message that waits in a
/// mailbox is converted in the same way.
///
/// It is kept as named MessagePack, nests at most [`Term::MAX_DEPTH`] deep, and is such that it comes back as it
/// went. Two forms do not: an `Option` in an `Option`, of which `Some(None)` comes back as `None`, and a type that
/// holds itself through nothing but options and newtypes, like `struct Node(Option<Box<Node>>)`.
///
/// A version whose number is not above that of the version before does not compile where it is used:
///
/// ```compile_fail,E0080
/// use incarnate::handoff::{StateVersion, encode};
/// use serde::{Deserialize, Serialize};
///
/// #[derive(Serialize, Deserialize)]
/// struct Circle;
///
/// impl StateVersion for Circle {
///     const VSN: u32 = 1;
///     type Previous = Circle;
/// }
///
/// let _ = encode(&Circle);
/// ```
pub trait StateVersion: Serialize + DeserializeOwned + Send + 'static {
    /// The number of this version: 1 or more, and above that of the version before.
    const VSN: u32;

    /// The version before this one. The chain ends in [`Never`].
    type Previous: StateVersion;

    /// Only the end of a chain says yes.
    #[doc(hidden)]
    const IS_END: bool = false;

    /// The state of the version before, as this one. `extra` is what the upgrade was given for this module.
    ///
    /// # Errors
    /// It cannot be converted: the version before goes on. Without an `up` that is always so.
    fn up(previous: Self::Previous, extra: &Term) -> Result<Self, ChangeError> {
        let _ = (previous, extra);
        Err(ChangeError::NoWay { from: Self::Previous::VSN, to: Self::VSN })
    }

    /// This state as the version before. What that one has no place for must not vanish: see [`ChangeError::lossy`].
    ///
    /// # Errors
    /// It cannot be converted: this version goes on. Without a `down` that is always so.
    fn down(self, extra: &Term) -> Result<Self::Previous, ChangeError> {
        let _ = extra;
        Err(ChangeError::NoWay { from: Self::VSN, to: Self::Previous::VSN })
    }
}

/// The end of each chain: version 0, of which there is no state.
impl StateVersion for Never {
    const VSN: u32 = 0;
    type Previous = Never;
    const IS_END: bool = true;
}

/// From the oldest version of a chain to its newest, gaps included; empty for [`Never`].
pub fn understood<S: StateVersion>() -> RangeInclusive<u32> {
    const { must_descend::<S>() };
    oldest::<S>().max(1)..=S::VSN
}

/// The versions of a chain, ascending.
pub fn versions<S: StateVersion>() -> Vec<u32> {
    fn collect<S: StateVersion>(into: &mut Vec<u32>) {
        if !S::IS_END {
            collect::<S::Previous>(into);
            into.push(S::VSN);
        }
    }

    const { must_descend::<S>() };
    let mut versions = Vec::new();
    collect::<S>(&mut versions);
    versions
}

/// A state as named MessagePack.
///
/// # Errors
/// [`ChangeError::Unencodable`]: it has no such form.
pub fn encode<S: StateVersion>(state: &S) -> Result<Term, ChangeError> {
    const { must_descend::<S>() };
    Term::encode(state).map_err(|e| ChangeError::Unencodable { vsn: S::VSN, why: e.into_reason() })
}

/// Reads a state of version `from` and walks it up the chain to `S`.
///
/// # Errors
/// The chain does not hold `from`, the bytes are no state of it, or a step refused.
pub fn upgrade<S: StateVersion>(from: u32, state: &Term, extra: &Term) -> Result<S, ChangeError> {
    if !holds::<S>(from) {
        return Err(unknown::<S>(from));
    }
    climb(from, state, extra)
}

/// Walks a state down the chain to version `to` and writes it as that one.
///
/// # Errors
/// The chain does not hold `to`, a step refused, or the state of version `to` cannot be written.
pub fn downgrade<S: StateVersion>(state: S, to: u32, extra: &Term) -> Result<Term, ChangeError> {
    if !holds::<S>(to) {
        return Err(unknown::<S>(to));
    }
    descend(state, to, extra)
}

/// Evaluated while the program is compiled.
const fn must_descend<S: StateVersion>() {
    assert!(descends::<S>(), "each version of a chain is above the one before, and the first above 0");
}

/// Whether each version of the chain is above the one before it, down to its end.
const fn descends<S: StateVersion>() -> bool {
    S::IS_END || S::VSN > S::Previous::VSN && descends::<S::Previous>()
}

const fn oldest<S: StateVersion>() -> u32 {
    if S::IS_END || S::Previous::IS_END { S::VSN } else { oldest::<S::Previous>() }
}

const fn holds<S: StateVersion>(version: u32) -> bool {
    const { must_descend::<S>() };
    !S::IS_END && (S::VSN == version || holds::<S::Previous>(version))
}

fn unknown<S: StateVersion>(found: u32) -> ChangeError {
    ChangeError::UnknownVersion { module: None, found, understood: versions::<S>() }
}

fn climb<S: StateVersion>(from: u32, state: &Term, extra: &Term) -> Result<S, ChangeError> {
    if S::IS_END {
        return Err(unknown::<S>(from));
    }
    if S::VSN == from {
        return state.decode().map_err(|e| ChangeError::Undecodable { vsn: from, why: e.into_reason() });
    }
    let previous = climb(from, state, extra)?;
    S::up(previous, extra).map_err(|e| e.at_step(S::Previous::VSN, S::VSN))
}

fn descend<S: StateVersion>(state: S, to: u32, extra: &Term) -> Result<Term, ChangeError> {
    if S::IS_END {
        return Err(unknown::<S>(to));
    }
    if S::VSN == to {
        return encode(&state);
    }
    let previous = state.down(extra).map_err(|e| e.at_step(S::VSN, S::Previous::VSN))?;
    descend(previous, to, extra)
}

#[cfg(test)]
mod tests {
    use serde::Deserialize;

    use super::*;

    #[derive(Debug, PartialEq, Serialize, Deserialize)]
    struct V1 {
        name: String,
    }

    #[derive(Debug, PartialEq, Serialize, Deserialize)]
    struct V3 {
        name: String,
        hits: u64,
    }

    #[derive(Debug, PartialEq, Serialize, Deserialize)]
    struct V7 {
        first: String,
        last: String,
        hits: u64,
    }

    impl StateVersion for V1 {
        const VSN: u32 = 1;
        type Previous = Never;
    }

    impl StateVersion for V3 {
        const VSN: u32 = 3;
        type Previous = V1;

        fn up(V1 { name }: V1, extra: &Term) -> Result<Self, ChangeError> {
            Ok(V3 { name, hits: extra.decode().unwrap_or(0) })
        }
        fn down(self, _: &Term) -> Result<V1, ChangeError> {
            if self.hits > 0 {
                return Err(ChangeError::lossy("the hits"));
            }
            Ok(V1 { name: self.name })
        }
    }

    impl StateVersion for V7 {
        const VSN: u32 = 7;
        type Previous = V3;

        fn up(V3 { name, hits }: V3, _: &Term) -> Result<Self, ChangeError> {
            let (first, last) = name.split_once(' ').ok_or(ChangeError::refused("one name only"))?;
            Ok(V7 { first: first.into(), last: last.into(), hits })
        }
        fn down(self, _: &Term) -> Result<V3, ChangeError> {
            Ok(V3 { name: format!("{} {}", self.first, self.last), hits: self.hits })
        }
    }

    fn v1(name: &str) -> V1 {
        V1 { name: name.into() }
    }

    fn v7(hits: u64) -> V7 {
        V7 { first: "Ada".into(), last: "Lovelace".into(), hits }
    }

    #[test]
    fn a_chain_with_gaps_is_walked_up_and_down() {
        let bytes = encode(&v1("Ada Lovelace")).unwrap();
        let extra = Term::encode(&5u64).unwrap();
        for (from, state, hits) in [
            (1, bytes.clone(), 5),
            (3, encode(&V3 { name: "Ada Lovelace".into(), hits: 2 }).unwrap(), 2),
            (7, encode(&v7(1)).unwrap(), 1),
        ] {
            assert_eq!(upgrade::<V7>(from, &state, &extra), Ok(v7(hits)), "from {from}");
        }
        assert_eq!(downgrade(v7(0), 1, &Term::nil()).unwrap(), bytes);
        assert_eq!(downgrade(v7(4), 7, &Term::nil()), encode(&v7(4)));
        assert_eq!(downgrade(v7(4), 3, &Term::nil()).unwrap().decode::<V3>().unwrap().hits, 4);
    }

    #[test]
    fn a_version_that_the_chain_does_not_hold_is_refused_both_ways() {
        let state = encode(&v7(0)).unwrap();
        for found in [0, 2, 4, 6, 8, u32::MAX] {
            let error = ChangeError::UnknownVersion { module: None, found, understood: vec![1, 3, 7] };
            assert_eq!(upgrade::<V7>(found, &state, &Term::nil()), Err(error.clone()));
            assert_eq!(downgrade(v7(0), found, &Term::nil()), Err(error));
        }
        let none = ChangeError::UnknownVersion { module: None, found: 0, understood: vec![] };
        assert_eq!(upgrade::<Never>(0, &state, &Term::nil()), Err(none));
    }

    #[test]
    fn understood_is_from_the_oldest_to_the_newest() {
        assert_eq!((understood::<V1>(), versions::<V1>()), (1..=1, vec![1]));
        assert_eq!((understood::<V7>(), versions::<V7>()), (1..=7, vec![1, 3, 7]));
        assert!(understood::<Never>().is_empty() && versions::<Never>().is_empty());
    }

    #[test]
    fn a_refusal_names_its_step() {
        let lossy = ChangeError::Lossy { from: 3, to: 1, what: "the hits".into() };
        assert_eq!(downgrade(v7(9), 1, &Term::nil()), Err(lossy));
        let refused = ChangeError::Refused { from: 3, to: 7, why: "one name only".into() };
        assert_eq!(upgrade::<V7>(1, &encode(&v1("Ada")).unwrap(), &Term::nil()), Err(refused));
    }

    #[test]
    fn a_step_that_is_not_written_is_no_way() {
        #[derive(Debug, PartialEq, Serialize, Deserialize)]
        struct V2;

        impl StateVersion for V2 {
            const VSN: u32 = 2;
            type Previous = V1;
        }

        let state = encode(&v1("Ada")).unwrap();
        assert_eq!(upgrade::<V2>(1, &state, &Term::nil()), Err(ChangeError::NoWay { from: 1, to: 2 }));
        assert_eq!(downgrade(V2, 1, &Term::nil()), Err(ChangeError::NoWay { from: 2, to: 1 }));
        assert_eq!(downgrade(v1("Ada"), 1, &Term::nil()), Ok(state));
    }

    #[test]
    fn bytes_are_read_only_as_the_version_beside_them() {
        let first = encode(&v1("Ada Lovelace")).unwrap();
        for vsn in [3, 7] {
            let error = upgrade::<V7>(vsn, &first, &Term::nil()).unwrap_err();
            assert!(matches!(&error, ChangeError::Undecodable { vsn: said, .. } if *said == vsn), "{error}");
        }
        let error = upgrade::<V1>(1, &Term::nil(), &Term::nil()).unwrap_err();
        let says = "the bytes are no state of version 1: invalid type: unit value, expected struct V1";
        assert!(error.to_string().starts_with(says), "{error}");
    }

    #[test]
    fn what_cannot_be_written_is_refused() {
        #[derive(Debug, Deserialize)]
        struct Closed;

        impl Serialize for Closed {
            fn serialize<S: serde::Serializer>(&self, _: S) -> Result<S::Ok, S::Error> {
                Err(serde::ser::Error::custom("a socket is no data"))
            }
        }
        impl StateVersion for Closed {
            const VSN: u32 = 1;
            type Previous = Never;
        }

        let error = ChangeError::Unencodable { vsn: 1, why: "a socket is no data".into() };
        assert_eq!(encode(&Closed), Err(error));
    }
}
