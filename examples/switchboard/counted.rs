//! Version 2 of a key's process: it counts hits.
//!
//! A hit is a request on the key that its process carries out, a read or a write, and leaves the key in existence. The
//! request that brings the key to life is the first. `OTP.INFO`, `OTP.HITS` and the other commands that look at processes
//! do not count, and with the key its hits are gone.

use incarnate::gen_server::CodeChange;
use incarnate::handoff::{ChangeError, StateVersion};
use incarnate::{CallReply, Context, GenServer, Info, Init, Never, Result, Term};
use serde::{Deserialize, Serialize};

use crate::key::{self, Birth, Call, Due, Follow, Key, LINGER};
use crate::reply::Reply;

/// What a plan says to version 2 if it may drop the hits on the way back to version 1.
pub const DROP_HITS: &str = "drop the hits";

/// The state of the process, version 2.
#[derive(Serialize, Deserialize)]
pub struct Counted {
    key: Key,
    hits: u64,
}

impl StateVersion for Counted {
    const VSN: u32 = 2;
    type Previous = Key;

    /// A key that was never counted begins at 0.
    fn up(key: Key, _: &Term) -> Result<Self, ChangeError> {
        Ok(Counted { key, hits: 0 })
    }

    /// Version 1 has no place for hits: only a plan that says so drops them.
    fn down(self, extra: &Term) -> Result<Key, ChangeError> {
        if self.hits > 0 && extra.decode::<String>().as_deref() != Ok(DROP_HITS) {
            return Err(ChangeError::lossy(format!("{} hits", self.hits)));
        }
        Ok(self.key)
    }
}

impl CodeChange for Counted {
    const MODULE: &'static str = key::MODULE;
}

impl GenServer for Counted {
    type Args = Birth;
    type Call = Call;
    type Cast = Never;
    type Info = Due;
    type Continue = Never;

    async fn init(birth: Birth, cx: &mut Context<Self>) -> Result<Init<Self>> {
        Ok(match Key::begin(birth, cx) {
            None => Init::Ignore,
            Some(key) if key.exists() => Init::Hibernate(Counted { key, hits: 1 }),
            Some(key) => Init::Timeout(Counted { key, hits: 0 }, LINGER),
        })
    }

    async fn handle_call(&mut self, call: Call, cx: &mut Context<Self>) -> Result<CallReply> {
        match call {
            Call::Apply { op, now, to } => {
                let (reply, follow) = self.key.apply(op, now, cx);
                self.hits = if self.key.exists() { self.hits + 1 } else { 0 };
                match follow {
                    Follow::Adrift(next) => Box::pin(self.key.after_all(reply, next, now, to, cx)).await,
                    follow => follow.after(to.reply(reply)),
                }
            }
            Call::Hits { now, to } => {
                let hits = Reply::Integer(i64::try_from(self.hits).unwrap_or(i64::MAX));
                Box::pin(self.key.show(hits, now, to, cx)).await
            }
            Call::Crash(to) => key::crash(to),
        }
    }

    async fn handle_info(&mut self, info: Info<Due>, cx: &mut Context<Self>) -> Result<incarnate::Next> {
        self.key.woken(info, cx).await
    }
}
