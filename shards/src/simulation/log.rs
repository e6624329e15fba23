//! What the shards of the simulation hold: the list of all that was ever done to them.

use alloc::collections::BTreeSet;
use alloc::vec;
use alloc::vec::Vec;

use serde::{Deserialize, Serialize};

use crate::copy::{Contents, Effect, Lossy, Unreadable};
use crate::record::ShardId;
use crate::replica::{Answer, Cause, Ran};

/// One thing that was done. The numbers of operations are given by the world, never twice.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub(super) enum Entry {
    /// A client asked for it.
    Op(u32),
    /// Operation of the other shard, told to this one.
    Effect(u32),
    /// What it told a process of its own shard.
    Inner(u32),
    /// It has the answer of the other shard.
    Got(u32),
    /// It has waited for a timer.
    Waited(u32),
}

/// What is asked, answered and sent.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum Say {
    /// Note it.
    Put(u32),
    /// Note it, which only the new version can.
    PutNew(u32),
    /// What is noted?
    Get,
    /// Note it; the answer comes later.
    Later(u32),
    /// Note it and tell the other shard.
    Tell(u32),
    /// Note it and ask the other shard.
    Ask(u32),
    /// Note it and tell a process of this shard.
    Post(u32),
    /// Note it and wait a moment.
    Wait(u32),
    /// From another shard.
    Told(u32),
    /// Its answer.
    Took(u32),
    /// Within the shard.
    Posted(u32),
    /// All that is noted.
    Log(Vec<Entry>),
    /// The answer that comes later, by one of those who may give it.
    Given(u32, u8),
}

impl Say {
    pub(super) fn op(&self) -> Option<u32> {
        match *self {
            Say::Put(op) | Say::PutNew(op) | Say::Later(op) | Say::Tell(op) | Say::Ask(op) => Some(op),
            Say::Post(op) | Say::Wait(op) | Say::Told(op) | Say::Took(op) | Say::Posted(op) => Some(op),
            Say::Given(op, _) => Some(op),
            Say::Get | Say::Log(_) => None,
        }
    }
}

/// A shard that has one process.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Log {
    pub(super) entries: Vec<Entry>,
    /// What only the new version can say.
    news: BTreeSet<Entry>,
}

impl Contents for Log {
    type Change = Vec<(Entry, bool)>;
    type Delta = Vec<(Entry, bool)>;
    type Whole = (Vec<Entry>, BTreeSet<Entry>);
    type Body = Say;
    type Key = ();

    fn scope(_: &Self::Delta) -> Option<(&(), bool)> {
        None
    }

    fn encode(&self, change: &Self::Change, wire: u32) -> Result<Self::Delta, Lossy> {
        let new = change.iter().any(|(_, new)| *new);
        if new && wire < 2 { Err(Lossy) } else { Ok(change.clone()) }
    }

    fn apply(&mut self, delta: &Self::Delta, _: u32) -> Result<(), Unreadable> {
        self.entries.extend(delta.iter().map(|(entry, _)| *entry));
        self.news.extend(delta.iter().filter(|(_, new)| *new).map(|(entry, _)| *entry));
        Ok(())
    }

    fn whole(&self, wire: u32) -> Result<(Vec<Entry>, BTreeSet<Entry>), Lossy> {
        if wire < 2 && !self.news.is_empty() {
            Err(Lossy)
        } else {
            Ok((self.entries.clone(), self.news.clone()))
        }
    }

    fn cut(&self) -> (Vec<Entry>, BTreeSet<Entry>) {
        (self.entries.iter().copied().filter(|entry| !self.news.contains(entry)).collect(), BTreeSet::new())
    }

    fn read(&self, whole: &(Vec<Entry>, BTreeSet<Entry>), _: u32) -> Result<Self, Unreadable> {
        Ok(Log { entries: whole.0.clone(), news: whole.1.clone() })
    }
}

/// The process: what it does with a message.
pub(super) fn handle(log: &Log, cause: &Cause<Say>, other: ShardId) -> Ran<Log> {
    let said = match cause {
        Cause::Request(request) => &request.body,
        Cause::Cast(body) | Cause::Inner(_, body) | Cause::Timer(_, body) | Cause::Answer(_, body) => body,
    };
    let after = |entry| Answer::Now(Say::Log(log.entries.iter().copied().chain([entry]).collect()));
    let mut ran = Ran::quiet(Answer::None);
    let op = said.op().unwrap_or(0);
    let entry = match (said, cause) {
        (Say::Told(_), _) => Entry::Effect(op),
        (Say::Took(_), _) => Entry::Got(op),
        (Say::Posted(_), Cause::Timer(..)) => Entry::Waited(op),
        (Say::Posted(_), _) => Entry::Inner(op),
        _ => Entry::Op(op),
    };
    ran.answer = match said {
        Say::Get => return Ran::quiet(Answer::Now(Say::Log(log.entries.clone()))),
        Say::Later(_) => Answer::Later,
        Say::Told(_) => Answer::Now(Say::Took(op)),
        Say::Took(_) | Say::Posted(_) => Answer::None,
        _ => after(entry),
    };
    match said {
        Say::Tell(_) => ran.effects = vec![Effect { to: other, body: Say::Told(op), call: false }],
        Say::Ask(_) => ran.effects = vec![Effect { to: other, body: Say::Told(op), call: true }],
        Say::Post(_) => ran.inner = vec![Say::Posted(op)],
        Say::Wait(_) => {
            let after = core::time::Duration::from_millis(20);
            ran.timers = vec![crate::copy::Timer { after, body: Say::Posted(op) }];
        }
        _ => {}
    }
    ran.change = Some(vec![(entry, matches!(said, Say::PutNew(_)))]);
    ran
}
