//! How a connection reaches the processes of keys, and has them started.

use std::sync::Arc;

use incarnate::process::Request;
use incarnate::supervisor::{
    DynamicSupervisor, DynamicSupervisorName, DynamicSupervisorRef, StartChildError,
};
use incarnate::{CallError, Never, Node, Timeout};

use crate::clock;
use crate::error::CommandError;
use crate::key::{self, Birth, Call, KeyRef};
use crate::keyspace::{self, KEYSPACE};
use crate::reply::Reply;
use crate::table::{Absent, SHARDS, Table};
use crate::value::{KeyOp, Next, UnixMillis, Value};

/// Requests that one command has under way at most, however many keys it names.
const MOST_ASKED: usize = 512;

/// The supervisor of the keys' processes. Temporary: a crashed key gets its next process from the next request that
/// names it, so that no number of crashes can exhaust the patience of a supervisor and end the other keys.
pub const SUPERVISOR: DynamicSupervisorName<Birth, KeyRef> = DynamicSupervisorName::new("keys");

/// The supervisor, before it is started.
pub fn supervisor() -> DynamicSupervisor<Birth, KeyRef> {
    DynamicSupervisor::temporary("keys", key::start_link).name(SUPERVISOR)
}

/// All keys, as a connection sees them.
#[derive(Clone)]
pub struct Keys {
    table: Arc<Table>,
    supervisor: DynamicSupervisorRef<Birth, KeyRef>,
}

/// A request that is under way.
pub struct Sent {
    /// It.
    pub request: Request<Reply>,
    /// The key's hash.
    pub hash: u64,
    /// The reply may hold a [long](crate::value::LONG) value.
    pub long: bool,
}

/// What came of a request.
pub enum Reached {
    /// It is under way.
    Asked(Request<Reply>),
    /// It is answered.
    Answered(Reply),
}

impl Keys {
    /// Finds the keys of the node of the process whose code asks.
    pub async fn connect() -> Result<Self, CallError> {
        let table = KEYSPACE.call(keyspace::Call::Table).await?;
        Ok(Keys { table, supervisor: DynamicSupervisorRef::named(SUPERVISOR)? })
    }

    /// The table.
    pub fn table(&self) -> &Table {
        &self.table
    }

    /// Sends an operation to the process of a key. Never waits.
    ///
    /// # Errors
    /// There is no such process; see [`without`](Self::without).
    pub fn ask(&self, key: &[u8], op: KeyOp, now: UnixMillis) -> Result<Request<Reply>, Absent<KeyOp>> {
        self.ask_in_order(key, op, now, |_, _| true).map(|sent| sent.request)
    }

    /// As [`ask`](Self::ask), if `in_order` says so, given the key's hash and the number of crashes.
    ///
    /// # Errors
    /// As [`ask`](Self::ask); or it is not in order, and a crash was the reason.
    pub fn ask_in_order(
        &self,
        key: &[u8],
        op: KeyOp,
        now: UnixMillis,
        in_order: impl FnOnce(u64, u64) -> bool,
    ) -> Result<Sent, Absent<KeyOp>> {
        self.table.ask(key, op, in_order, |served, op| {
            // Before it is sent: whoever asks after it knows.
            if op.is_long() {
                served.grows();
            }
            let long = op.shows_value() && served.is_long();
            let request = served.server.send_request(|to| Call::Apply { op, now, to });
            Sent { request, hash: served.hash, long }
        })
    }

    /// Carries out an operation on a key that had no process a moment ago.
    ///
    /// What cannot bring a key to life is answered as for a key that does not exist. Else a process is born with the
    /// value; if another was faster, the operation goes there. A crashed key gets a process in any case.
    pub async fn without(&self, key: &[u8], absent: Absent<KeyOp>, now: UnixMillis) -> Reached {
        let Absent { mut crashed, request: mut op } = absent;
        loop {
            let mut value = Value::default();
            if !crashed && !op.creates() {
                return Reached::Answered(value.apply(op, now).0);
            }
            let (reply, next) = value.apply(op.clone(), now);
            if next == Next::End && !crashed {
                return Reached::Answered(reply);
            }
            match self.start(key, value, next).await {
                Ok(_) => return Reached::Answered(reply),
                Err(StartChildError::Ignore) => {}
                Err(_) => return Reached::Answered(CommandError::Unavailable.into()),
            }
            match self.ask(key, op, now) {
                Ok(request) => return Reached::Asked(request),
                Err(again) => Absent { crashed, request: op } = again,
            }
        }
    }

    async fn start(&self, key: &[u8], value: Value, next: Next) -> Result<KeyRef, StartChildError> {
        let birth = Birth { table: self.table.clone(), key: key.into(), value, next };
        self.supervisor.start_child(birth).await
    }

    /// The process of a key and which life it is. One that crashed gets its next life here too.
    pub async fn find(&self, key: &[u8]) -> Option<(KeyRef, u32)> {
        if let Err(absent) = self.table.ask(key, KeyOp::Exists, |_, _| true, |_, _| ())
            && absent.crashed
        {
            // Only that it is there matters here.
            let _reached = self.without(key, absent, clock::now()).await;
        }
        self.table.find(key)
    }

    /// Shows the process of a key; nil if there is none.
    pub async fn inspect(&self, key: &[u8]) -> Reply {
        let found = self.find(key).await;
        found.and_then(|(server, life)| key::inspect(server.node(), &server, life)).unwrap_or(Reply::Nil)
    }

    /// Has the process of a key crash, and waits until it has; 0 if there is none.
    pub async fn crash(&self, key: &[u8]) -> Reply {
        let Some((server, _)) = self.find(key).await else { return Reply::yes(false) };
        let crashed: Result<Never, CallError> = server.call_timeout(Call::Crash, Timeout::Infinity).await;
        Reply::yes(matches!(crashed, Err(CallError::Exit(_))))
    }

    /// How often a key was asked for; nil if there is none, an error if its version does not count.
    pub async fn hits(&self, key: &[u8], now: UnixMillis) -> Reply {
        while let Some((server, _)) = self.table.find(key) {
            let hits = server.call_timeout(|to| Call::Hits { now, to }, Timeout::Infinity).await;
            if let Ok(hits) = hits {
                return hits;
            }
            // It has ended; the key may have another process by now.
        }
        Reply::Nil
    }

    /// All keys that match.
    pub async fn matching(&self, pattern: &[u8]) -> Reply {
        let mut found = Vec::new();
        for shard in 0..SHARDS {
            found.extend(self.table.keys_in(shard, pattern).into_iter().map(Reply::Bulk));
            tokio::task::yield_now().await;
        }
        Reply::Array(found)
    }

    /// Deletes each key that exists now; one that is set meanwhile may stay.
    pub async fn flush(&self, now: UnixMillis) -> Reply {
        for shard in 0..SHARDS {
            let servers = self.table.clear_in(shard);
            for some in servers.chunks(MOST_ASKED) {
                let ask = |server: &KeyRef| server.send_request(|to| Call::Apply { op: KeyOp::Del, now, to });
                let asked: Vec<_> = some.iter().map(ask).collect();
                for request in asked.into_iter().rev() {
                    // A process that has ended meanwhile has no key left to delete.
                    let _gone = request.receive(Timeout::Infinity).await;
                }
            }
        }
        Reply::Ok
    }

    /// How a key is called in the tree, for the processes that `wanted` picks.
    pub fn names(&self, wanted: impl Fn(incarnate::Pid) -> bool) -> Vec<(incarnate::Pid, String)> {
        let found = self.table.names(|server| wanted(server.pid()));
        found
            .into_iter()
            .map(|(key, server)| (server.pid(), String::from_utf8_lossy(&key).into_owned()))
            .collect()
    }

    /// Where the keys live.
    pub fn node(&self) -> &Node {
        self.supervisor.node()
    }
}
