//! The authority that a process of one node serves to the others.

use std::collections::BTreeMap;
use std::time::Duration;

use super::ledger::{Heard, NotRenewed, Told, Write, Written};
use super::server::{Call, HOLD, NAME};
use super::{
    Authority, Change, Feed, LeaseId, Member, News, Pending, Record, RenewError, Renewal, Seen, Settings,
    ShardId, TokenError, Unavailable, Verdict, Watch, Weakness,
};
use crate::process::{CallError, Node, ReplyTo};
use crate::term::NodeId;

const WEAKNESS: &str = "one process keeps who owns which shard: while it is down, all shards stay served, \
    and none can be taken over. Use an etcd of three members where that must not be.";

/// The authority for one machine: a file that a [`LocalServer`](super::LocalServer) serves, asked from any node.
///
/// What it says to have won is in the file, synced. Leases are in the server's memory. One that was started anew cannot
/// know who had one, and so ends nobody's before the time of a lease is over.
#[derive(Clone, Debug)]
pub struct Local {
    node: Node,
    there: NodeId,
    timeout: Duration,
}

impl Local {
    /// The one that the node `there` serves, asked from the node `from`, which may be the same.
    pub fn at(from: &Node, there: impl Into<NodeId>) -> Self {
        Local { node: from.clone(), there: there.into(), timeout: Duration::from_secs(2) }
    }

    /// How long to wait for an answer; two seconds by default. Less than a third of a lease is wise.
    pub fn timeout(self, timeout: Duration) -> Self {
        Local { timeout, ..self }
    }

    async fn ask<R>(
        &self,
        request: impl FnOnce(ReplyTo<R>) -> Call,
        timeout: Duration,
    ) -> Result<R, CallError>
    where
        R: Send + 'static,
    {
        if self.there == self.node.id() {
            return NAME.on(&self.node)?.call_timeout(request, timeout).await;
        }
        NAME.at(&self.node, self.there).call_timeout(request, timeout).await
    }

    async fn get<R>(&self, request: impl FnOnce(ReplyTo<R>) -> Call) -> Result<R, Unavailable>
    where
        R: Send + 'static,
    {
        self.ask(request, self.timeout).await.map_err(Unavailable::new)
    }

    async fn write(&self, write: Write) -> Result<Written, Unavailable> {
        self.get(|to| Call::Write(write, to)).await
    }
}

impl Authority for Local {
    fn found(&self, wanted: Settings) -> Pending<'_, Result<Settings, Unavailable>> {
        Box::pin(async move {
            match self.write(Write::Found(wanted)).await? {
                Written::Founded(settings) => Ok(settings),
                other => Err(beside(&other)),
            }
        })
    }

    fn read(&self, shard: ShardId) -> Pending<'_, Result<Option<Record>, Unavailable>> {
        Box::pin(self.get(move |to| Call::Read(shard, to)))
    }

    fn read_all(&self) -> Pending<'_, Result<BTreeMap<ShardId, Record>, Unavailable>> {
        Box::pin(self.get(Call::ReadAll))
    }

    fn swap(&self, changes: Vec<Change>) -> Pending<'_, Vec<Verdict>> {
        Box::pin(async move {
            let asked = changes.len();
            let why = match self.write(Write::Swap(changes)).await {
                Ok(Written::Swapped(outcomes)) if outcomes.len() == asked => {
                    let outcome =
                        |outcome: Result<(), _>| outcome.map_or_else(Verdict::Lost, |()| Verdict::Won);
                    return outcomes.into_iter().map(outcome).collect();
                }
                Ok(other) => beside(&other),
                Err(why) => why,
            };
            vec![Verdict::Unknown(why); asked]
        })
    }

    fn watch(&self) -> Watch {
        Watch::new(Calls { local: self.clone(), heard: None })
    }

    fn renew(&self, renewal: Renewal) -> Pending<'_, Result<LeaseId, RenewError>> {
        Box::pin(async move {
            match self.ask(|to| Call::Renew(renewal, to), self.timeout).await {
                Ok(Ok(lease)) => Ok(lease),
                Ok(Err(NotRenewed::Over)) => Err(RenewError::Over),
                Ok(Err(NotRenewed::NotFounded)) => {
                    Err(RenewError::Unknown(Unavailable::new("nobody has founded this cluster")))
                }
                Err(error) => Err(RenewError::Unknown(Unavailable::new(error))),
            }
        })
    }

    fn is_over(&self, member: Member, lease: LeaseId) -> Pending<'_, Result<bool, Unavailable>> {
        Box::pin(self.get(move |to| Call::IsOver(member, lease, to)))
    }

    fn take_token(&self, member: Member) -> Pending<'_, Result<Member, TokenError>> {
        Box::pin(async move {
            match self.write(Write::Take(member)).await? {
                Written::Taken(holder) => holder.ok_or(TokenError::NoLease),
                other => Err(beside(&other).into()),
            }
        })
    }

    fn free_token(&self, member: Member) -> Pending<'_, Result<(), Unavailable>> {
        Box::pin(async move { self.write(Write::Free(member)).await.map(|_| ()) })
    }

    fn weakness(&self) -> Pending<'_, Result<Option<Weakness>, Unavailable>> {
        Box::pin(async { Ok(Some(Weakness(WEAKNESS.to_owned()))) })
    }
}

/// An answer to something else than was asked.
fn beside(written: &Written) -> Unavailable {
    Unavailable::new(format!("the answer is beside the question: {written:?}"))
}

/// Asks again and again what has changed.
struct Calls {
    local: Local,
    heard: Option<Heard>,
}

impl Feed for Calls {
    fn next(&mut self) -> Pending<'_, Result<Vec<Seen>, Unavailable>> {
        Box::pin(async move {
            let heard = self.heard;
            let told = self.local.ask(|to| Call::Watch(heard, to), HOLD + self.local.timeout).await;
            let Some(told) = told.map_err(Unavailable::new)? else { return Ok(Vec::new()) };
            self.heard = Some(told.heard);
            Ok(seen(told))
        })
    }
}

fn seen(told: Told) -> Vec<Seen> {
    let all = told.members.into_iter().map(|(member, lease, about)| (member, (lease, about))).collect();
    let members = Seen::Members { all, complete: told.complete };
    let records = told.records.into_iter().map(|(shard, record)| News::Record(shard, record));
    let news = records.chain([News::Token(told.token)]).map(Seen::One);
    [members].into_iter().chain(news).collect()
}
