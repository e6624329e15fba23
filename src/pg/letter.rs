//! What scopes of one name on several nodes tell each other.
//!
//! Later releases may add kinds, and fields to those that there are: what is not known is passed over, so that both can be
//! in one cluster (`pg` accepts the discover of a future version, too).

use std::fmt;
use std::sync::Arc;

use serde::de::{self, IgnoredAny, MapAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer, ser};

use super::group::GroupName;
use crate::term::Pid;

/// The version that this release says it speaks.
pub(super) const VERSION: u32 = 1;

/// One message. Members are numbers of processes, on the node of the scope that it comes from: nobody speaks for another
/// node.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(super) enum Letter {
    Discover(Discover),
    Sync(Sync),
    Join(Join),
    Leave(Leave),
    /// What this release does not know.
    Unknown,
}

/// I am here: tell me your members, and from now on what changes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Discover {
    pub(super) from: Pid,
    pub(super) version: u32,
}

/// My members, all of them: what was known before is void. In several parts if there are many.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Sync {
    pub(super) from: Pid,
    pub(super) first: bool,
    pub(super) last: bool,
    pub(super) groups: Vec<(GroupName, Vec<u64>)>,
}

/// These of mine have joined.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Join {
    pub(super) from: Pid,
    pub(super) group: GroupName,
    pub(super) members: Vec<u64>,
}

/// Each of these has left each of these groups, as often as that is named.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Leave {
    pub(super) from: Pid,
    pub(super) members: Vec<u64>,
    pub(super) groups: Vec<GroupName>,
}

impl Letter {
    pub(super) fn discover(from: Pid) -> Arc<Letter> {
        Arc::new(Letter::Discover(Discover { from, version: VERSION }))
    }
}

/// A kind is the one key of a map. Derived, a kind that is not known would be an error.
impl<'de> Deserialize<'de> for Letter {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(Kind)
    }
}

struct Kind;

impl<'de> Visitor<'de> for Kind {
    type Value = Letter;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a message between scopes")
    }

    fn visit_str<E: de::Error>(self, _: &str) -> Result<Letter, E> {
        Ok(Letter::Unknown)
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Letter, A::Error> {
        let Some(kind) = map.next_key::<String>()? else { return Ok(Letter::Unknown) };
        Ok(match kind.as_str() {
            "Discover" => Letter::Discover(map.next_value()?),
            "Sync" => Letter::Sync(map.next_value()?),
            "Join" => Letter::Join(map.next_value()?),
            "Leave" => Letter::Leave(map.next_value()?),
            _ => {
                map.next_value::<IgnoredAny>()?;
                Letter::Unknown
            }
        })
    }
}

/// What a scope is told on its own node alone: it does not cross.
pub(super) struct Here<T>(pub(super) T);

impl<T> Serialize for Here<T> {
    fn serialize<S: Serializer>(&self, _: S) -> Result<S::Ok, S::Error> {
        Err(ser::Error::custom("it is for a scope of this node"))
    }
}

impl<'de, T> Deserialize<'de> for Here<T> {
    fn deserialize<D: Deserializer<'de>>(_: D) -> Result<Self, D::Error> {
        Err(de::Error::custom("it is for a scope of its own node"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::term::NodeId;

    fn pid() -> Pid {
        Pid::new(NodeId::of("a"), 1, 7)
    }

    fn over(value: &impl Serialize) -> Result<Letter, rmp_serde::decode::Error> {
        rmp_serde::from_slice(&rmp_serde::to_vec_named(value).unwrap())
    }

    #[test]
    fn each_kind_arrives_as_it_was_sent() {
        let group = GroupName::from("room");
        let (from, members) = (pid(), vec![1, u64::MAX]);
        for letter in [
            Letter::Discover(Discover { from, version: VERSION }),
            Letter::Sync(Sync {
                from,
                first: true,
                last: false,
                groups: vec![(group.clone(), members.clone())],
            }),
            Letter::Join(Join { from, group: group.clone(), members: members.clone() }),
            Letter::Leave(Leave { from, members, groups: vec![group.clone(), group] }),
        ] {
            assert_eq!(over(&letter).unwrap(), letter);
        }
    }

    #[test]
    fn pg_028_protocol_upgrade_what_a_later_release_adds_is_passed_over() {
        #[derive(Serialize)]
        enum Later {
            Discover { from: Pid, version: u32, dialect: &'static str },
            Merge { from: Pid, weights: Vec<f64> },
            Rest,
        }
        let discover = Later::Discover { from: pid(), version: 2, dialect: "new" };
        assert_eq!(over(&discover).unwrap(), Letter::Discover(Discover { from: pid(), version: 2 }));
        assert_eq!(over(&Later::Merge { from: pid(), weights: vec![0.5] }).unwrap(), Letter::Unknown);
        assert_eq!(over(&Later::Rest).unwrap(), Letter::Unknown);
        assert!(over(&7_u8).is_err(), "what is no message at all");
    }
}
