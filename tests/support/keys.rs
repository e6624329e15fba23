//! A module in three versions: a number, then with the times it was added to, then with a name for it.

#![allow(dead_code, reason = "each suite uses a part of it")]

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use incarnate::gen_server::{CodeChange, MessageOf, Resumed};
use incarnate::handoff::{ChangeError, StateVersion};
use incarnate::process::Message;
use incarnate::upgrade::{Direction, Report, Update, Upgrade, UpgradeError, Value, Versions};
use incarnate::{
    CallReply, Context, GenServer, Info, Init, Never, Next, Node, ReplyTo, Result, ServerRef, Term, noreply,
};
use serde::{Deserialize, Serialize};
use tokio::sync::oneshot;

pub enum Call {
    Get(ReplyTo<u64>),
    Version(ReplyTo<u32>),
    /// Answered with the number at `Cast::Release`.
    Keep(ReplyTo<u64>),
    /// Awaits in the callback until it is let go.
    Block(ReplyTo<u64>, oneshot::Receiver<()>),
    /// Since version 2: how often it was added to. Version 1 does not know it.
    Hits(ReplyTo<u64>),
    /// What it was told when it was resumed.
    Log(ReplyTo<Vec<String>>),
}

pub enum Cast {
    Add(u64),
    /// Adds after so many milliseconds.
    AddAfter(u64, u64),
    Release,
}

pub type Key = ServerRef<Call, Cast, u64>;

#[derive(Serialize, Deserialize, Default)]
pub struct Common {
    pub number: u64,
    /// Some weight.
    rest: String,
    kept: Vec<ReplyTo<u64>>,
    #[serde(skip)]
    log: Vec<String>,
}

#[derive(Serialize, Deserialize)]
pub struct One {
    pub key: Common,
}

#[derive(Serialize, Deserialize)]
pub struct Two {
    key: Common,
    hits: u64,
}

#[derive(Serialize, Deserialize)]
pub struct Three {
    key: Common,
    hits: u64,
    name: String,
}

/// The conversions that are told to hang do so while it is set.
pub static HANGS: AtomicBool = AtomicBool::new(false);

/// Does what the extra of the plan asks for, so that a test can have a conversion fail.
fn obey(key: &Common, extra: &Term) -> Result<(), ChangeError> {
    let text: String = extra.decode().unwrap_or_default();
    let Some((what, number)) = text.split_once(' ') else { return Ok(()) };
    if number.parse() == Ok(key.number) {
        match what {
            "refuse" => return Err(ChangeError::refused(format!("not {number}"))),
            "panic" => panic!("told to panic at {number}"),
            "hang" => {
                while HANGS.load(Ordering::Relaxed) {
                    std::thread::sleep(Duration::from_millis(1)); // sleep: a conversion that hangs
                }
            }
            _ => {}
        }
    }
    Ok(())
}

impl StateVersion for One {
    const VSN: u32 = 1;
    type Previous = Never;
}

impl StateVersion for Two {
    const VSN: u32 = 2;
    type Previous = One;

    fn up(One { key }: One, extra: &Term) -> Result<Self, ChangeError> {
        obey(&key, extra)?;
        Ok(Two { key, hits: 0 })
    }

    fn down(self, extra: &Term) -> Result<One, ChangeError> {
        obey(&self.key, extra)?;
        if self.hits > 0 && extra.decode() != Ok("drop the hits".to_owned()) {
            return Err(ChangeError::lossy(format!("{} hits", self.hits)));
        }
        Ok(One { key: self.key })
    }
}

impl StateVersion for Three {
    const VSN: u32 = 3;
    type Previous = Two;

    fn up(Two { key, hits }: Two, _: &Term) -> Result<Self, ChangeError> {
        let name = format!("number {}", key.number);
        Ok(Three { key, hits, name })
    }

    fn down(self, _: &Term) -> Result<Two, ChangeError> {
        Ok(Two { key: self.key, hits: self.hits })
    }
}

/// What the three have in common.
macro_rules! key {
    ($version:ident, $new:expr) => {
        impl GenServer for $version {
            type Args = (u64, usize);
            type Call = Call;
            type Cast = Cast;
            type Info = u64;
            type Continue = Never;

            async fn init((number, weight): (u64, usize), _: &mut Context<Self>) -> Result<Init<Self>> {
                let key = Common { number, rest: "x".repeat(weight), ..Common::default() };
                let new: fn(Common) -> Self = $new;
                Ok(Init::Ready(new(key)))
            }

            async fn handle_call(&mut self, call: Call, _: &mut Context<Self>) -> Result<CallReply> {
                match call {
                    Call::Get(to) => to.reply(self.key.number),
                    Call::Version(to) => to.reply(Self::VSN),
                    Call::Keep(to) => {
                        self.key.kept.push(to);
                        noreply()
                    }
                    Call::Block(to, go) => {
                        let _ = go.await;
                        to.reply(self.key.number)
                    }
                    Call::Hits(to) => to.reply(self.hits().map_or(0, |hits| *hits)),
                    Call::Log(to) => to.reply(self.key.log.clone()),
                }
            }

            async fn handle_cast(&mut self, cast: Cast, cx: &mut Context<Self>) -> Result<Next> {
                match cast {
                    Cast::Add(n) => {
                        self.key.number += n;
                        self.hits().into_iter().for_each(|hits| *hits += 1);
                    }
                    Cast::AddAfter(n, ms) => _ = cx.start_timer(Duration::from_millis(ms), n),
                    Cast::Release => {
                        for to in std::mem::take(&mut self.key.kept) {
                            to.send(self.key.number);
                        }
                    }
                }
                noreply()
            }

            async fn handle_info(&mut self, info: Info<u64>, _: &mut Context<Self>) -> Result<Next> {
                if let Info::Timer(_, n) | Info::User(n) = info {
                    self.key.number += n;
                }
                noreply()
            }
        }

        impl CodeChange for $version {
            const MODULE: &'static str = "key";

            async fn resumed(&mut self, why: Resumed, _: &mut Context<Self>) -> Result<()> {
                self.key.log.push(format!("{why:?}"));
                match self.key.number {
                    SLOW_TO_RESUME => Ok(tokio::time::sleep(Duration::from_secs(1)).await), // sleep: virtual time
                    FAILS_TO_RESUME => Err(incarnate::Error::msg("nothing to reopen")),
                    _ => Ok(()),
                }
            }

            fn upcast(message: MessageOf<Self>, _: u32) -> Option<MessageOf<Self>> {
                match message {
                    Message::Call(Call::Hits(_)) if Self::VSN == 1 => None,
                    // Not to be done: a message stays a call, a cast or an info.
                    Message::Call(Call::Log(_)) if Self::VSN == 1 => Some(Message::Cast(Cast::Add(1))),
                    Message::Cast(Cast::AddAfter(n, _)) if Self::VSN == 1 => Some(Message::Info(n)),
                    known => Some(known),
                }
            }
        }
    };
}

/// The numbers of keys that take a second to be resumed, and that cannot be.
pub const SLOW_TO_RESUME: u64 = 1_000_001;
pub const FAILS_TO_RESUME: u64 = 1_000_002;

impl One {
    fn hits(&mut self) -> Option<&mut u64> {
        None
    }
}

impl Two {
    fn hits(&mut self) -> Option<&mut u64> {
        Some(&mut self.hits)
    }
}

impl Three {
    fn hits(&mut self) -> Option<&mut u64> {
        Some(&mut self.hits)
    }
}

key!(One, |key| One { key });
key!(Two, |key| Two { key, hits: 0 });
key!(Three, |key| Three { key, hits: 0, name: String::new() });

pub fn versions() -> Versions {
    Versions::new().with::<One>().with::<Two>().with::<Three>()
}

/// Changes the keys from one version to another, giving the conversions a text.
pub fn plan(from: u32, to: u32, extra: &str) -> Upgrade {
    let patience = Duration::from_secs(60);
    let update = Update::new("key", from, to).extra(Value::Text(extra.to_owned()));
    Upgrade::new("keys").both(update).suspend_timeout(patience).convert_timeout(patience)
}

pub async fn change(node: &Node, from: u32, to: u32, extra: &str) -> Result<Report, UpgradeError> {
    plan(from, to, extra).run(node, &versions(), Direction::Up).await
}

pub async fn start(node: &Node, number: u64) -> Key {
    One::server((number, 1000)).upgradable().on(node).start().await.expect("it starts")
}

pub async fn get(key: &Key) -> u64 {
    key.call(Call::Get).await.expect("it answers")
}

pub async fn version(key: &Key) -> u32 {
    key.call(Call::Version).await.expect("it answers")
}
