//! Why there is no answer, no lease, no token.

use std::error::Error;
use std::fmt;

use serde::{Deserialize, Serialize};

/// There is no answer of the authority that can be used.
///
/// Nothing is known by this: what was asked for may have been carried out, or be so later.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Unavailable {
    why: String,
}

impl Unavailable {
    /// For this reason.
    pub fn new(why: impl fmt::Display) -> Self {
        Unavailable { why: why.to_string() }
    }
}

impl fmt::Display for Unavailable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "no answer of the authority: {}", self.why)
    }
}

impl Error for Unavailable {}

/// Why a lease was not renewed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub enum RenewError {
    /// It is over, and others may know so. The member may begin another one.
    Over,
    /// It may have been renewed, or begun, or be so later.
    Unknown(Unavailable),
}

impl fmt::Display for RenewError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            RenewError::Over => f.write_str("the lease is over"),
            RenewError::Unknown(_) => f.write_str("it is not known whether the lease was renewed"),
        }
    }
}

impl Error for RenewError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match self {
            RenewError::Over => None,
            RenewError::Unknown(why) => Some(why),
        }
    }
}

/// Why a member has not got the token.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub enum TokenError {
    /// It has no lease, with which the token would be freed.
    NoLease,
    /// It is not known whether it has got it: asking again says so.
    Unknown(Unavailable),
}

impl fmt::Display for TokenError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            TokenError::NoLease => f.write_str("who has no lease gets no token"),
            TokenError::Unknown(_) => f.write_str("it is not known whether the token was taken"),
        }
    }
}

impl Error for TokenError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match self {
            TokenError::NoLease => None,
            TokenError::Unknown(why) => Some(why),
        }
    }
}

impl From<Unavailable> for TokenError {
    fn from(why: Unavailable) -> Self {
        TokenError::Unknown(why)
    }
}
