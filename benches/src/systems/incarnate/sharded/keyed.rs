//! What is called: a counter, and a profile of one kilobyte; and a plain counter beside.

use std::time::Duration;

use incarnate::{
    CallReply, Context, GenServer, Init, Name, Never, ReplyTo, Result, ServerRef,
    handoff::StateVersion,
    shard::{Key, Keyed, KeyedContext, Kind, Mode, Shards},
};
use serde::{Deserialize, Serialize};

use super::copy::{Who, call, own};
use crate::sharded::{Copying, STATE};

#[derive(Serialize, Deserialize)]
pub struct Next(pub ReplyTo<u64>);

/// A counter by its key.
#[derive(Serialize, Deserialize)]
pub struct Counter(u64);

impl StateVersion for Counter {
    const VSN: u32 = 1;
    type Previous = Never;
}

impl Keyed for Counter {
    const KIND: &'static str = "counter";
    type Call = Next;
    type Cast = Never;
    type Info = Never;
    type Delta = Never;

    fn init(_: &[u8]) -> Result<Self> {
        Ok(Counter(0))
    }

    async fn handle_call(&mut self, Next(caller): Next, _: &mut KeyedContext<Self>) -> Result<CallReply> {
        self.0 += 1;
        caller.reply(self.0)
    }
}

/// About a kilobyte of what a state consists of: numbers and short texts.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Profile {
    name: String,
    visits: u64,
    scores: Vec<u32>,
    notes: Vec<String>,
}

impl Profile {
    pub fn of(name: &str) -> Self {
        let scores = (0..64).map(|at| 100_000 + at).collect();
        let notes = (0..STATE / 64).map(|at| format!("{name}: note {at} of all that was ever written"));
        Profile { name: name.to_owned(), visits: 0, scores, notes: notes.collect() }
    }
}

impl StateVersion for Profile {
    const VSN: u32 = 1;
    type Previous = Never;
}

impl Keyed for Profile {
    const KIND: &'static str = "profile";
    type Call = Next;
    type Cast = Never;
    type Info = Never;
    type Delta = Never;

    fn init(key: &[u8]) -> Result<Self> {
        Ok(Profile::of(&String::from_utf8_lossy(key)))
    }

    async fn handle_call(&mut self, Next(caller): Next, _: &mut KeyedContext<Self>) -> Result<CallReply> {
        self.visits += 1;
        caller.reply(self.visits)
    }
}

pub fn kinds(mode: Mode) -> [Kind; 2] {
    [Kind::of::<Counter>(mode), Kind::of::<Profile>(mode)]
}

pub type Address = Key<Next>;

pub fn counter(at: u64) -> Address {
    Key::new(Counter::KIND, format!("counter {at}"))
}

pub fn profile(at: u64) -> Address {
    Key::new(Profile::KIND, format!("profile {at}"))
}

/// What of a member is asked besides its shards.
pub struct Desk {
    shards: Shards,
    by: Copying,
    /// What it calls itself.
    counters: Vec<Who>,
}

pub const DESK: Name<Ask> = Name::new("desk");

#[derive(Serialize, Deserialize)]
pub enum Ask {
    /// How many shards it serves, and how many of those have a standby.
    Serves(ReplyTo<(usize, usize)>),
    /// A plain counter, new.
    Plain(ReplyTo<ServerRef<Next>>),
    /// So many calls of counters that are here, by 64 callers here: how long they take.
    Call(u64, ReplyTo<Duration>),
}

impl GenServer for Desk {
    type Args = (Shards, Copying);
    type Call = Ask;
    type Cast = Never;
    type Info = Never;
    type Continue = Never;

    async fn init((shards, by): (Shards, Copying), _: &mut Context<Self>) -> Result<Init<Self>> {
        Ok(Init::Ready(Desk { shards, by, counters: Vec::new() }))
    }

    async fn handle_call(&mut self, ask: Ask, cx: &mut Context<Self>) -> Result<CallReply> {
        match ask {
            Ask::Serves(caller) => {
                let all = self.shards.info();
                let here = all.iter().filter(|shard| shard.here.is_some_and(|here| here.serves));
                let (serves, copied) = here.fold((0, 0), |(all, some), shard| {
                    (all + 1, some + usize::from(!shard.in_sync.is_empty()))
                });
                caller.reply((serves, copied))
            }
            Ask::Plain(caller) => caller.reply(Plain::server(()).on(cx.node()).start().await?),
            Ask::Call(n, caller) => {
                if self.counters.is_empty() {
                    self.counters = own(cx.node(), &self.shards, self.by).await?;
                }
                caller.reply(call(&mut self.counters, n).await)
            }
        }
    }
}

/// A counter that is a plain process.
pub struct Plain(u64);

impl GenServer for Plain {
    type Args = ();
    type Call = Next;
    type Cast = Never;
    type Info = Never;
    type Continue = Never;

    async fn init(_: (), _: &mut Context<Self>) -> Result<Init<Self>> {
        Ok(Init::Ready(Plain(0)))
    }

    async fn handle_call(&mut self, Next(caller): Next, _: &mut Context<Self>) -> Result<CallReply> {
        self.0 += 1;
        caller.reply(self.0)
    }
}
