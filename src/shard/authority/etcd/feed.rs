//! What changes in an etcd.

use std::collections::BTreeMap;
use std::sync::Arc;

use etcd_client::{EventType, KeyValue, WatchOptions, WatchResponse, WatchStream};
use tokio::time;

use super::keys::{self, Key};
use super::{Etcd, unavailable};
use crate::shard::authority::{Feed, LeaseId, News, Pending, Seen, Unavailable};

/// Reads everything, and then what comes after; and once more from the beginning when that is interrupted, or what comes after
/// has been compacted away.
pub(super) struct Changes {
    etcd: Etcd,
    stream: Option<WatchStream>,
}

impl Changes {
    pub(super) fn of(etcd: &Etcd) -> Self {
        Changes { etcd: etcd.clone(), stream: None }
    }

    async fn all(&mut self) -> Result<Vec<Seen>, Unavailable> {
        let all = self.etcd.keys.all.clone();
        let (rows, revision) = self.etcd.range(&all).await?;
        let options = WatchOptions::new().with_prefix().with_start_revision(revision + 1);
        let mut client = self.etcd.client.clone();
        self.stream = Some(self.etcd.within(client.watch(all, Some(options))).await?);
        let mut members = BTreeMap::new();
        let mut seen = Vec::new();
        let mut holder = None;
        for row in &rows {
            match self.put(row) {
                Some(News::Lives(member, lease, about)) => _ = members.insert(member, (lease, about)),
                Some(News::Token(taken)) => holder = taken,
                other => seen.extend(other.map(Seen::One)),
            }
        }
        seen.push(Seen::Members { all: members, complete: true });
        seen.push(Seen::One(News::Token(holder)));
        Ok(seen)
    }

    /// The next that the etcd tells. When it tells nothing for a while it is asked whether it is still there.
    async fn more(&mut self) -> Result<WatchResponse, Unavailable> {
        let Some(stream) = &mut self.stream else { return Err(Unavailable::new("the watch is over")) };
        let message = match time::timeout(self.etcd.timeout, stream.message()).await {
            Ok(message) => message,
            Err(_) => {
                stream.request_progress().await.map_err(unavailable)?;
                time::timeout(self.etcd.timeout, stream.message()).await.map_err(Unavailable::new)?
            }
        };
        let message = message.map_err(unavailable)?;
        let message = message.ok_or_else(|| Unavailable::new("the etcd has ended the watch"))?;
        if message.canceled() {
            return Err(Unavailable::new(format!(
                "the etcd has ended the watch: {}",
                message.cancel_reason()
            )));
        }
        Ok(message)
    }

    /// What a row says. One that cannot be read is left out: who reads it by itself hears why.
    fn put(&self, row: &KeyValue) -> Option<News> {
        match self.etcd.keys.parse(row.key())? {
            Key::Settings => None,
            Key::Record(shard) => Some(News::Record(shard, keys::record(row).ok()?)),
            Key::Member(member) => {
                Some(News::Lives(member, LeaseId(row.lease()), Arc::from(row.value_str().ok()?)))
            }
            Key::Token => Some(News::Token(keys::decode(row).ok()?)),
        }
    }

    fn deleted(&self, row: &KeyValue) -> Option<News> {
        match self.etcd.keys.parse(row.key())? {
            Key::Member(member) => Some(News::Over(member)),
            Key::Token => Some(News::Token(None)),
            Key::Settings | Key::Record(_) => None,
        }
    }
}

impl Feed for Changes {
    fn next(&mut self) -> Pending<'_, Result<Vec<Seen>, Unavailable>> {
        Box::pin(async move {
            if self.stream.is_none() {
                return self.all().await;
            }
            let message = self.more().await.inspect_err(|_| self.stream = None)?;
            let news = message.events().iter().filter_map(|event| match event.event_type() {
                EventType::Put => self.put(event.kv()?),
                EventType::Delete => self.deleted(event.kv()?),
            });
            Ok(news.map(Seen::One).collect())
        })
    }
}
