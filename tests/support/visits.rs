//! A state in three versions: what counts the visits to a page.

use incarnate::handoff::{ChangeError, StateVersion};
use incarnate::{Never, Term};
use serde::{Deserialize, Serialize};

/// Version 1: a count.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Visits1 {
    pub page: String,
    pub count: u64,
}

/// Version 2 also knows where the last visitor came from.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Visits2 {
    pub page: String,
    pub count: u64,
    pub last: Option<Origin>,
}

/// Version 3 has the page in two parts.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Visits3 {
    pub host: String,
    pub path: String,
    pub count: u64,
    pub last: Option<Origin>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Origin {
    Bookmark,
    Link { from: String },
    Search(Vec<String>),
}

impl StateVersion for Visits1 {
    const VSN: u32 = 1;
    type Previous = Never;
}

impl StateVersion for Visits2 {
    const VSN: u32 = 2;
    type Previous = Visits1;

    fn up(Visits1 { page, count }: Visits1, _: &Term) -> Result<Self, ChangeError> {
        Ok(Visits2 { page, count, last: None })
    }

    fn down(self, _: &Term) -> Result<Visits1, ChangeError> {
        match self.last {
            None => Ok(Visits1 { page: self.page, count: self.count }),
            Some(_) => Err(ChangeError::lossy("where the last visitor came from")),
        }
    }
}

impl StateVersion for Visits3 {
    const VSN: u32 = 3;
    type Previous = Visits2;

    fn up(Visits2 { page, count, last }: Visits2, _: &Term) -> Result<Self, ChangeError> {
        match page.split_once('/') {
            Some((host, path)) => Ok(Visits3 { host: host.into(), path: path.into(), count, last }),
            None => Err(ChangeError::refused(format!("the page {page:?} has no path"))),
        }
    }

    fn down(self, _: &Term) -> Result<Visits2, ChangeError> {
        Ok(Visits2 { page: format!("{}/{}", self.host, self.path), count: self.count, last: self.last })
    }
}
