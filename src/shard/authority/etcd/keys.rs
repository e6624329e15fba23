//! What stands in an etcd, for programs and for people: under which keys, and in which form.
//!
//! ```text
//! /incarnate/<cluster>/settings               {"shards":256,"format":1,"lease":{"secs":5,"nanos":0}}
//! /incarnate/<cluster>/records/0000000007     {"revision":3,"owner":{..},"epoch":2,"in_sync":[..],"wire":1}
//! /incarnate/<cluster>/members/<node>.<creation>[.<store>]   what is told about the member; with its lease
//! /incarnate/<cluster>/token                  the member that may drain; with its lease
//! ```

use etcd_client::KeyValue;
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::shard::authority::{Member, Record, ShardId, Unavailable};

/// The keys of one cluster.
#[derive(Clone, Debug)]
pub(super) struct Keys {
    /// Where all of them begin; it ends with a slash.
    pub(super) all: String,
}

/// What a key is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Key {
    Settings,
    Record(ShardId),
    Member(Member),
    Token,
}

impl Keys {
    pub(super) fn of(cluster: &str) -> Self {
        Keys { all: format!("/incarnate/{cluster}/") }
    }

    pub(super) fn settings(&self) -> String {
        format!("{}settings", self.all)
    }

    pub(super) fn token(&self) -> String {
        format!("{}token", self.all)
    }

    /// Where the records begin; it ends with a slash.
    pub(super) fn records(&self) -> String {
        format!("{}records/", self.all)
    }

    pub(super) fn record(&self, shard: ShardId) -> String {
        format!("{}{:010}", self.records(), shard.0)
    }

    pub(super) fn member(&self, member: Member) -> String {
        let Member { node, creation, store } = member;
        let store = store.map(|store| format!(".{store:016x}")).unwrap_or_default();
        format!("{}members/{node:08x}.{creation:08x}{store}", self.all)
    }

    /// `None`: it is none of ours, or of a newer version.
    pub(super) fn parse(&self, key: &[u8]) -> Option<Key> {
        let key = std::str::from_utf8(key).ok()?.strip_prefix(&self.all)?;
        match key.split_once('/') {
            None if key == "settings" => Some(Key::Settings),
            None if key == "token" => Some(Key::Token),
            Some(("records", shard)) => Some(Key::Record(ShardId(shard.parse().ok()?))),
            Some(("members", member)) => member_of(member).map(Key::Member),
            _ => None,
        }
    }
}

fn member_of(text: &str) -> Option<Member> {
    let mut parts = text.split('.');
    let node = u32::from_str_radix(parts.next()?, 16).ok()?;
    let creation = u32::from_str_radix(parts.next()?, 16).ok()?;
    let store = parts.next().map(|store| u64::from_str_radix(store, 16)).transpose().ok()?;
    parts.next().is_none().then_some(Member { node, creation, store })
}

pub(super) fn encode(value: &impl Serialize) -> Result<Vec<u8>, Unavailable> {
    serde_json::to_vec(value).map_err(Unavailable::new)
}

pub(super) fn decode<T: DeserializeOwned>(row: &KeyValue) -> Result<T, Unavailable> {
    serde_json::from_slice(row.value()).map_err(|error| unreadable(row, &error.to_string()))
}

/// The record of a row, which has been written as often as its revision says: that is what a swap compares.
pub(super) fn record(row: &KeyValue) -> Result<Record, Unavailable> {
    let record: Record = decode(row)?;
    if u64::try_from(row.version()) == Ok(record.revision) {
        return Ok(record);
    }
    let why = format!(
        "its revision is {}, but it was written {} times: somebody has copied or deleted it",
        record.revision,
        row.version()
    );
    Err(unreadable(row, &why))
}

fn unreadable(row: &KeyValue, why: &str) -> Unavailable {
    Unavailable::new(format!("{} cannot be read: {why}", String::from_utf8_lossy(row.key())))
}
