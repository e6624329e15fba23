//! A copy of a shard: states, answered requests, floors, outbox, messages under way, timers. It changes by frames alone.

use alloc::collections::{BTreeMap, BTreeSet};
use alloc::vec::Vec;
use core::fmt::Debug;
use core::time::Duration;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::message::{Floor, Frame, Frames, Number, Position, RequestId, SessionId};
use crate::record::ShardId;
use crate::rules::{Rule, Rules};

/// The states of the processes of a shard, as a copy keeps them, and how they are written.
pub trait Contents: Clone + Debug + Eq {
    /// What a handler has done to a state, in the owner's own version.
    type Change: Clone + Debug;
    /// The same, as a frame says it.
    type Delta: Clone + Debug + Eq + Serialize + DeserializeOwned;
    /// All states, as they are sent.
    type Whole: Clone + Debug + Eq + Serialize + DeserializeOwned;
    /// What is asked, answered, and sent.
    type Body: Clone + Debug + Eq + Serialize + DeserializeOwned;
    /// What names one of the states.
    type Key: Ord;

    /// The change in the bytes of version `wire`.
    ///
    /// # Errors
    /// They cannot say it.
    fn encode(&self, change: &Self::Change, wire: u32) -> Result<Self::Delta, Lossy>;

    /// Which state this changes, if it changes one alone, and whether it makes void what was done to that before.
    fn scope(delta: &Self::Delta) -> Option<(&Self::Key, bool)>;

    /// Applies what [`encode`](Self::encode) has made, here or elsewhere; afterwards the states could be served.
    ///
    /// # Errors
    /// It cannot be read in full, and nothing was changed.
    fn apply(&mut self, delta: &Self::Delta, wire: u32) -> Result<(), Unreadable>;

    /// All states in the bytes of version `wire`.
    ///
    /// # Errors
    /// They cannot say it.
    fn whole(&self, wire: u32) -> Result<Self::Whole, Lossy>;

    /// What `whole` would be if it dropped what it cannot say, as it must not.
    #[cfg(test)]
    fn cut(&self) -> Self::Whole;

    /// What [`whole`](Self::whole) has made, such that it could be served; `self` is what a shard begins with.
    ///
    /// # Errors
    /// It cannot be read in full.
    fn read(&self, whole: &Self::Whole, wire: u32) -> Result<Self, Unreadable>;
}

/// An older version of the bytes has no place for what is there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Lossy;

/// Bytes of a version that this member does not know.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Unreadable;

/// One change of what a copy holds beside the states.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Write<B> {
    /// The session of this frame's position is open.
    Open,
    /// All that is known of a session is forgotten, its floor included: nothing of it is carried out any more.
    Drop(SessionId),
    /// The asker needs nothing below it.
    Floor(RequestId, Floor),
    /// What is known of a request.
    Row(RequestId, Row<B>),
    /// Something is to be told to another shard.
    Put(Number, Effect<B>),
    /// The other shard has it.
    Done(Number),
    /// A process of the shard has sent another one something.
    Post(Number, B),
    /// And that one has handled it.
    Handled(Number),
    /// A timer runs.
    Start(Number, Timer<B>),
    /// It does not any more.
    Stop(Number),
}

impl<B> Write<B> {
    /// The rule that says that it stands in the frame of what it belongs to, and so in every copy.
    pub(crate) fn rule(&self) -> Option<Rule> {
        match self {
            Write::Row(_, Row::Answered(_)) => Some(Rule::R13),
            Write::Row(_, Row::Accepted) => Some(Rule::R28Row),
            Write::Put(..) => Some(Rule::R18Frame),
            Write::Post(..) => Some(Rule::R29),
            _ => None,
        }
    }
}

/// What is known of a request.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Row<B> {
    /// It was carried out; the answer comes later.
    Accepted,
    /// It was carried out, and this was the answer; nothing where nothing was asked.
    Answered(Option<B>),
}

/// A message to a process of another shard.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Effect<B> {
    /// Which shard.
    pub to: ShardId,
    /// For whom in it, and what.
    pub body: B,
    /// Whether an answer is waited for.
    pub call: bool,
}

/// Something that a process has asked to be told later.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Timer<B> {
    /// How long after it was started, or after the shard has come to another owner.
    pub after: Duration,
    /// For whom, and what.
    pub body: B,
}

/// What is known of one asker's requests.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rows<K: Ord, B> {
    /// Below it the asker needs nothing.
    pub floor: K,
    /// The highest that was taken.
    pub taken: Option<K>,
    /// What was carried out, and in which frame it was answered.
    pub rows: BTreeMap<K, (Row<B>, u64)>,
}

impl<K: Ord + Copy, B> Rows<K, B> {
    fn new(floor: K) -> Self {
        Rows { floor, taken: None, rows: BTreeMap::new() }
    }

    fn raise(&mut self, floor: K) {
        if floor > self.floor {
            self.floor = floor;
            self.rows = self.rows.split_off(&floor);
        }
    }

    fn write(&mut self, key: K, row: Row<B>, n: u64) {
        self.taken = self.taken.max(Some(key));
        // Who was given up while it ran needs nothing any more.
        if key >= self.floor {
            self.rows.insert(key, (row, n));
        }
    }
}

/// What a member holds of a shard.
#[derive(Clone, Debug)]
pub struct ShardCopy<C: Contents> {
    /// Up to where.
    pub position: Position,
    /// The states.
    pub contents: C,
    /// What is known of everything else.
    pub table: Table<C::Body>,
}

/// What a copy holds beside the states.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Table<B> {
    /// Requests of clients. A session that is not here is not known.
    pub clients: BTreeMap<SessionId, Rows<u64, B>>,
    /// What other shards have sent.
    pub shards: BTreeMap<ShardId, Rows<Number, B>>,
    /// What other shards have not confirmed yet.
    pub outbox: BTreeMap<Number, Effect<B>>,
    /// Messages from one process of the shard to another that are not handled yet.
    pub inner: BTreeMap<Number, B>,
    /// Timers that run.
    pub timers: BTreeMap<Number, Timer<B>>,
}

/// A whole copy on its way.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(bound = "")]
pub struct Image<C: Contents> {
    /// Up to where.
    pub position: Position,
    /// The version of the bytes of the states.
    pub wire: u32,
    /// The states.
    pub whole: C::Whole,
    /// Everything else.
    pub table: Table<C::Body>,
}

impl<B> Default for Table<B> {
    fn default() -> Self {
        Table {
            clients: BTreeMap::new(),
            shards: BTreeMap::new(),
            outbox: BTreeMap::new(),
            inner: BTreeMap::new(),
            timers: BTreeMap::new(),
        }
    }
}

/// What is known of a request before it is carried out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Known<B> {
    /// Nothing: it is to be carried out.
    New,
    /// It was; the answer comes later.
    Accepted,
    /// It was, and was answered in this frame.
    Answered(Option<B>, u64),
    /// It is not known any more whether it was, or its session is not.
    Expired,
    /// An entry of another shard's outbox that comes before its turn.
    Early,
}

impl<B: Clone> Table<B> {
    pub(crate) fn known(&self, id: RequestId, floor: Floor, rules: Rules) -> Known<B> {
        match (id, floor) {
            (RequestId::Client { session, seq }, _) => {
                // R32: an unknown session runs nothing.
                let Some(rows) = self.clients.get(&session) else { return Known::Expired };
                // R14: what is below the floor was answered, and its row is gone.
                if seq < rows.floor && rules.obey(Rule::R14) {
                    return Known::Expired;
                }
                rows.known(seq).unwrap_or(Known::New)
            }
            (RequestId::Shard { shard, number }, Floor::Shard { after, .. }) => {
                let Some(rows) = self.shards.get(&shard) else {
                    return if after.is_none() { Known::New } else { Known::Early };
                };
                // R18: however often it is sent, it is handled once.
                if !rules.obey(Rule::R18Once) {
                    return Known::New;
                }
                if let Some(known) = rows.known(number) {
                    known
                } else if rows.taken >= Some(number) {
                    // What was handled is confirmed for ever, never an error: a new owner of the sender may send it again.
                    Known::Expired
                } else if after > rows.taken {
                    Known::Early
                } else {
                    Known::New
                }
            }
            (RequestId::Shard { .. }, Floor::Client(_)) => Known::Expired,
        }
    }

    /// What was written of a request.
    pub(crate) fn row(&self, id: RequestId) -> Option<&Row<B>> {
        let row = match id {
            RequestId::Client { session, seq } => self.clients.get(&session)?.rows.get(&seq),
            RequestId::Shard { shard, number } => self.shards.get(&shard)?.rows.get(&number),
        };
        row.map(|(row, _)| row)
    }

    /// Carries out what a frame says; `n` is its number.
    pub(crate) fn write(&mut self, write: Write<B>, position: Position) {
        match write {
            Write::Open => drop(self.clients.insert(SessionId(position), Rows::new(1))),
            Write::Drop(session) => drop(self.clients.remove(&session)),
            Write::Floor(RequestId::Client { session, .. }, Floor::Client(floor)) => {
                if let Some(rows) = self.clients.get_mut(&session) {
                    rows.raise(floor);
                }
            }
            Write::Floor(RequestId::Shard { shard, .. }, Floor::Shard { lowest, .. }) => {
                self.shards.entry(shard).or_insert_with(|| Rows::new(lowest)).raise(lowest);
            }
            Write::Floor(..) => {}
            Write::Row(RequestId::Client { session, seq }, row) => {
                if let Some(rows) = self.clients.get_mut(&session) {
                    rows.write(seq, row, position.n);
                }
            }
            Write::Row(RequestId::Shard { shard, number }, row) => {
                let rows = self.shards.entry(shard).or_insert_with(|| Rows::new(Number::default()));
                rows.write(number, row, position.n);
            }
            Write::Put(number, effect) => drop(self.outbox.insert(number, effect)),
            Write::Done(number) => drop(self.outbox.remove(&number)),
            Write::Post(number, body) => drop(self.inner.insert(number, body)),
            Write::Handled(number) => drop(self.inner.remove(&number)),
            Write::Start(number, timer) => drop(self.timers.insert(number, timer)),
            Write::Stop(number) => drop(self.timers.remove(&number)),
        }
    }
}

impl<K: Ord + Copy, B: Clone> Rows<K, B> {
    fn known(&self, key: K) -> Option<Known<B>> {
        self.rows.get(&key).map(|(row, n)| match row {
            Row::Accepted => Known::Accepted,
            Row::Answered(body) => Known::Answered(body.clone(), *n),
        })
    }
}

impl<C: Contents> ShardCopy<C> {
    /// What a shard begins with.
    pub(crate) fn new(contents: C) -> Self {
        ShardCopy { position: Position::default(), contents, table: Table::default() }
    }

    /// Applies the frame that comes next and has this position: what became of states, and of everything else.
    ///
    /// # Errors
    /// It cannot be read, and nothing was changed.
    pub(crate) fn apply(
        &mut self,
        delta: Option<&C::Delta>,
        writes: impl IntoIterator<Item = Write<C::Body>>,
        wire: u32,
        position: Position,
    ) -> Result<(), Unreadable> {
        if let Some(delta) = delta {
            self.contents.apply(delta, wire)?;
        }
        for write in writes {
            self.table.write(write, position);
        }
        self.position = position;
        Ok(())
    }

    /// All of it, to be sent.
    ///
    /// # Errors
    /// Bytes of this version cannot say it.
    pub(crate) fn image(&self, wire: u32, rules: Rules) -> Result<Image<C>, Lossy> {
        let whole = self.contents.whole(wire);
        #[cfg(test)]
        let whole = if rules.obey(Rule::R37) { whole } else { whole.or_else(|_| Ok(self.contents.cut())) };
        let (whole, _) = (whole?, rules);
        Ok(Image { position: self.position, wire, whole, table: self.table.clone() })
    }

    /// What [`image`](Self::image) has made; `empty` is what a shard begins with.
    ///
    /// # Errors
    /// It cannot be read.
    pub(crate) fn read(empty: &C, image: Image<C>, reads: u32) -> Result<Self, Unreadable> {
        if image.wire > reads {
            return Err(Unreadable);
        }
        let contents = empty.read(&image.whole, image.wire)?;
        Ok(ShardCopy { position: image.position, contents, table: image.table })
    }
}

impl<C: Contents> Frames<C> {
    /// Frames in a row, the first of which follows on `prev`.
    pub(crate) fn of<'a>(
        prev: Position,
        wire: u32,
        frames: impl DoubleEndedIterator<Item = &'a Frame<C>>,
    ) -> Self
    where
        C: 'a,
    {
        let mut later = Later { floors: BTreeMap::new(), states: BTreeSet::new() };
        let mut frames: Vec<_> = frames.rev().map(|frame| later.before(frame)).collect();
        frames.reverse();
        Frames { prev, wire, frames }
    }
}

/// What is known of later frames when an earlier one is looked at.
struct Later<'a, C: Contents> {
    /// Up to where they make rows of sessions void.
    floors: BTreeMap<SessionId, u64>,
    /// The states that they make anew.
    states: BTreeSet<&'a C::Key>,
}

impl<'a, C: Contents> Later<'a, C> {
    /// What is left of the frame that comes before them.
    fn before(&mut self, frame: &'a Frame<C>) -> Frame<C> {
        let mut writes = Vec::with_capacity(frame.writes.len());
        writes.extend(frame.writes.iter().rev().filter(|write| self.needs(write)).cloned());
        writes.reverse();
        let delta = frame.delta.as_ref().filter(|delta| match C::scope(delta) {
            Some((key, true)) => self.states.insert(key),
            Some((key, false)) => !self.states.contains(key),
            None => true,
        });
        Frame { delta: delta.cloned(), writes }
    }

    fn needs(&mut self, write: &Write<C::Body>) -> bool {
        match write {
            Write::Floor(RequestId::Client { session, .. }, Floor::Client(floor)) => {
                let higher = self.floors.insert(*session, *floor);
                // It is the highest that was seen so far that counts.
                let counts = higher.is_none_or(|higher| higher < *floor);
                if let (false, Some(higher)) = (counts, higher) {
                    self.floors.insert(*session, higher);
                }
                counts
            }
            Write::Row(RequestId::Client { session, seq }, _) => {
                self.floors.get(session).is_none_or(|floor| seq >= floor)
            }
            _ => true,
        }
    }
}

#[cfg(test)]
mod tests;
