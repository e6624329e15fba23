//! The rules of the protocol by their numbers, so that a test can take one away and see what happens.

/// A rule that a line of this crate obeys. docs/protocol.md says what happens without it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Rule {
    R1,
    R2,
    /// Obeyed by the authority: a proposal is compared by the revision.
    #[cfg(test)]
    R3,
    R4,
    R5,
    R6,
    R7,
    R8,
    R9,
    R10,
    R11,
    R12,
    R13,
    R14,
    R15,
    R16,
    R17,
    R18Gate,
    R18Frame,
    R18Once,
    R19,
    R20,
    R28Row,
    R28First,
    R29,
    R30,
    R32,
    R33,
    R34,
    R35,
    R36,
    R37,
    R40,
    R41,
    R42,
    R43,
    R44,
    R45,
    R46,
}

#[cfg(test)]
impl Rule {
    /// Those whose absence a thousand seeds show.
    pub(crate) const ALL: &[Rule] = {
        use Rule::*;
        &[
            R1, R2, R3, R4, R5, R6, R7, R8, R9, R10, R11, R12, R13, R14, R15, R16, R17, R18Gate, R18Frame,
            R18Once, R19, R20, R28Row, R28First, R29, R30, R32, R33, R34, R35, R36, R37, R42, R44, R45,
        ]
    };

    /// Those that take some ten thousand.
    pub(crate) const RARE: &[Rule] = &[Rule::R40, Rule::R41, Rule::R43, Rule::R46];
}

/// Which rules are obeyed: all, but in tests.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Rules {
    #[cfg(test)]
    pub(crate) without: Option<Rule>,
}

impl Rules {
    /// Whether this one is.
    #[cfg(test)]
    pub(crate) fn obey(self, rule: Rule) -> bool {
        self.without != Some(rule)
    }

    /// Whether this one is: always.
    #[cfg(not(test))]
    pub(crate) const fn obey(self, _: Rule) -> bool {
        true
    }
}
