//! Why a state was not changed to another version.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::ModuleVsn;

/// Why a state is not changed to another version. The version that it has goes on, with nothing lost.
///
/// Plain data: it crosses the wire, in the report of an upgrade.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub enum ChangeError {
    /// The chain of versions does not hold this one.
    UnknownVersion {
        /// Whose version it is, where that is known.
        module: Option<String>,
        /// The version that was found, or asked for.
        found: u32,
        /// The versions of the chain, ascending.
        understood: Vec<u32>,
    },
    /// The state is another module's.
    ForeignModule {
        /// Whose state was found.
        found: ModuleVsn,
        /// Whose is understood.
        understood: String,
        /// The versions of that one that are understood, ascending.
        versions: Vec<u32>,
    },
    /// There is no step between these two versions: its `up` or `down` is not written.
    NoWay {
        /// The version that the step begins at.
        from: u32,
        /// The version that it leads to.
        to: u32,
    },
    /// The step would lose something that the state holds. Made by [`ChangeError::lossy`].
    Lossy {
        /// The version that the step begins at; 0 where it is not known yet.
        from: u32,
        /// The version that it leads to; 0 where it is not known yet.
        to: u32,
        /// What would be lost.
        what: String,
    },
    /// The bytes are no state of the version that they say they are.
    Undecodable {
        /// The version that stands beside them.
        vsn: u32,
        /// What the decoder says.
        why: String,
    },
    /// The state cannot be written as bytes.
    Unencodable {
        /// Its version.
        vsn: u32,
        /// What the encoder says.
        why: String,
    },
    /// The step refused for a reason of its own. Made by [`ChangeError::refused`].
    Refused {
        /// The version that the step begins at; 0 where it is not known yet.
        from: u32,
        /// The version that it leads to; 0 where it is not known yet.
        to: u32,
        /// The reason.
        why: String,
    },
    /// The code that changes the state panicked, with this text.
    Panicked(String),
    /// It was not done in time.
    TooSlow,
}

impl ChangeError {
    /// What each of them ends with.
    pub(crate) const END: &str = "; the old version goes on";

    /// Refuses a step because it would lose something: what a `down` answers when the version before has no place for
    /// what is there.
    pub fn lossy(what: impl fmt::Display) -> Self {
        ChangeError::Lossy { from: 0, to: 0, what: what.to_string() }
    }

    /// Refuses a step for any other reason.
    pub fn refused(why: impl fmt::Display) -> Self {
        ChangeError::Refused { from: 0, to: 0, why: why.to_string() }
    }

    /// Writes down which step it was, where the step itself has not said so.
    pub(super) fn at_step(mut self, begin: u32, end: u32) -> Self {
        if let ChangeError::Lossy { from, to, .. } | ChangeError::Refused { from, to, .. } = &mut self
            && (*from, *to) == (0, 0)
        {
            (*from, *to) = (begin, end);
        }
        self
    }

    /// Writes down whose version it is.
    pub(super) fn of_module(mut self, name: &str) -> Self {
        if let ChangeError::UnknownVersion { module, .. } = &mut self {
            module.get_or_insert_with(|| name.to_owned());
        }
        self
    }
}

impl fmt::Display for ChangeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ChangeError::UnknownVersion { module: None, found, understood } => {
                write!(f, "version {found} is unknown, understood is {}", Versions(understood))
            }
            ChangeError::UnknownVersion { module: Some(module), found, understood } => {
                write!(f, "{module}@{found} is unknown, understood is {module} in {}", Versions(understood))
            }
            ChangeError::ForeignModule { found, understood, versions } => {
                write!(f, "the state is {found}, understood is {understood} in {}", Versions(versions))
            }
            ChangeError::NoWay { from, to } => write!(f, "no way leads from version {from} to {to}"),
            ChangeError::Lossy { from, to, what } => {
                write!(f, "{}something would be lost: {what}", Step(*from, *to))
            }
            ChangeError::Undecodable { vsn, why } => {
                write!(f, "the bytes are no state of version {vsn}: {why}")
            }
            ChangeError::Unencodable { vsn, why } => {
                write!(f, "the state of version {vsn} cannot be written as bytes: {why}")
            }
            ChangeError::Refused { from, to, why } => write!(f, "{}refused: {why}", Step(*from, *to)),
            ChangeError::Panicked(text) => write!(f, "the code that changes the state panicked: {text}"),
            ChangeError::TooSlow => f.write_str("the change of the state was not done in time"),
        }?;
        f.write_str(Self::END)
    }
}

impl std::error::Error for ChangeError {}

/// A step at the head of a sentence, if it is known.
struct Step(u32, u32);

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Step(0, 0) => Ok(()),
            Step(from, to) => write!(f, "from version {from} to {to} "),
        }
    }
}

/// Versions in words: `version 2`, `versions 1 to 3`, `versions 1, 3 and 7`.
struct Versions<'a>(&'a [u32]);

impl fmt::Display for Versions<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            [] => f.write_str("no version"),
            [one] => write!(f, "version {one}"),
            [first, .., last] if last.abs_diff(*first) as usize == self.0.len() - 1 => {
                write!(f, "versions {first} to {last}")
            }
            [first, between @ .., last] => {
                write!(f, "versions {first}")?;
                between.iter().try_for_each(|version| write!(f, ", {version}"))?;
                write!(f, " and {last}")
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_error_says_what_is_now_true() {
        let unknown = |understood: &[u32]| ChangeError::UnknownVersion {
            module: None,
            found: 4,
            understood: understood.to_vec(),
        };
        let foreign = ChangeError::ForeignModule {
            found: ModuleVsn::new("shop", 2),
            understood: "key".into(),
            versions: vec![1, 2],
        };
        for (error, says) in [
            (unknown(&[]), "version 4 is unknown, understood is no version"),
            (unknown(&[2]), "version 4 is unknown, understood is version 2"),
            (unknown(&[1, 2, 3]), "version 4 is unknown, understood is versions 1 to 3"),
            (unknown(&[1, 3, 7]), "version 4 is unknown, understood is versions 1, 3 and 7"),
            (unknown(&[1, 3]).of_module("key"), "key@4 is unknown, understood is key in versions 1 and 3"),
            (foreign, "the state is shop@2, understood is key in versions 1 to 2"),
            (ChangeError::NoWay { from: 2, to: 3 }, "no way leads from version 2 to 3"),
            (ChangeError::lossy("the hits"), "something would be lost: the hits"),
            (
                ChangeError::lossy("the hits").at_step(3, 2),
                "from version 3 to 2 something would be lost: the hits",
            ),
            (ChangeError::refused("not now").at_step(1, 2), "from version 1 to 2 refused: not now"),
            (
                ChangeError::refused("not now").at_step(1, 2).at_step(2, 3),
                "from version 1 to 2 refused: not now",
            ),
            (
                ChangeError::Undecodable { vsn: 2, why: "missing field `hits`".into() },
                "the bytes are no state of version 2: missing field `hits`",
            ),
            (
                ChangeError::Unencodable { vsn: 2, why: "no".into() },
                "the state of version 2 cannot be written as bytes: no",
            ),
            (ChangeError::Panicked("boo".into()), "the code that changes the state panicked: boo"),
            (ChangeError::TooSlow, "the change of the state was not done in time"),
        ] {
            assert_eq!(error.to_string(), format!("{says}; the old version goes on"));
            let bytes = rmp_serde::to_vec_named(&error).unwrap();
            assert_eq!(rmp_serde::from_slice::<ChangeError>(&bytes).unwrap(), error);
        }
    }
}
