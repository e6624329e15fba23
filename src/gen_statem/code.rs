//! Versions of a machine.

use std::future::Future;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::{Context, GenStatem, StateData, Statem};
use crate::gen_server::{self, MessageOf, Resumed};
use crate::handoff::{ChangeError, StateVersion};
use crate::process::Result;
use crate::term::Term;

/// A machine that can change to another version while it runs (`code_change/4`): the opt-in of hot upgrade, as
/// [`gen_server::CodeChange`] is for a server.
///
/// Each version is a type of its own that implements [`GenStatem`] with the same types but for state, mode and itself; state
/// and data change together. What is postponed and the timeouts that run stay with the process.
pub trait CodeChange: GenStatem<State: Serialize + DeserializeOwned> + Serialize + DeserializeOwned {
    /// What all versions of this machine have in common.
    const MODULE: &'static str;

    /// The number of this version: 1 or more, and above that of the version before.
    const VSN: u32;

    /// State and data of the version before this one: [`StateData`] of it, or [`Never`](crate::Never) if there is none.
    type Previous: StateVersion;

    /// State and data of the version before, as those of this one. `extra` is what the upgrade was given for this module.
    ///
    /// # Errors
    /// They cannot be converted: the version before goes on. Without an `up` that is always so.
    fn up(previous: Self::Previous, extra: &Term) -> Result<StateData<Self>, ChangeError> {
        let _ = (previous, extra);
        Err(ChangeError::NoWay { from: Self::Previous::VSN, to: Self::VSN })
    }

    /// State and data as those of the version before. What that one has no place for must not vanish: see
    /// [`ChangeError::lossy`].
    ///
    /// # Errors
    /// They cannot be converted: this version goes on. Without a `down` that is always so.
    fn down(this: StateData<Self>, extra: &Term) -> Result<Self::Previous, ChangeError> {
        let _ = (this, extra);
        Err(ChangeError::NoWay { from: Self::VSN, to: Self::Previous::VSN })
    }

    /// Runs after a handoff, before the next event: see [`gen_server::CodeChange::resumed`].
    ///
    /// # Errors
    /// Crashes the machine. The handoff stands: its supervisor starts this version anew.
    fn resumed(
        &mut self,
        why: Resumed,
        state: &mut Self::State,
        cx: &mut Context<Self>,
    ) -> impl Future<Output = Result<()>> + Send {
        let _ = (why, state, cx);
        async { Ok(()) }
    }

    /// A message that was sent while version `from` was in force, as this version understands it: see
    /// [`gen_server::CodeChange::upcast`]. Called for messages that are postponed, too.
    fn upcast(message: MessageOf<Statem<Self>>, from: u32) -> Option<MessageOf<Statem<Self>>> {
        let _ = from;
        Some(message)
    }
}

#[derive(Serialize)]
#[serde(rename = "StateData")]
struct Written<'a, S, D> {
    state: &'a S,
    data: &'a D,
}

#[derive(Deserialize)]
#[serde(rename = "StateData")]
struct Read<S, D> {
    state: S,
    data: D,
}

impl<M: CodeChange> Serialize for StateData<M> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        Written { state: &self.state, data: &self.data }.serialize(serializer)
    }
}

impl<'de, M: CodeChange> Deserialize<'de> for StateData<M> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let Read { state, data } = Read::deserialize(deserializer)?;
        Ok(StateData { state, data })
    }
}

impl<M: CodeChange> Serialize for Statem<M> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.inner.serialize(serializer)
    }
}

impl<'de, M: CodeChange> Deserialize<'de> for Statem<M> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        StateData::deserialize(deserializer).map(Statem::from)
    }
}

impl<M: CodeChange> StateVersion for StateData<M> {
    const VSN: u32 = M::VSN;
    type Previous = M::Previous;

    fn up(previous: M::Previous, extra: &Term) -> Result<Self, ChangeError> {
        M::up(previous, extra)
    }

    fn down(self, extra: &Term) -> Result<M::Previous, ChangeError> {
        M::down(self, extra)
    }
}

impl<M: CodeChange> StateVersion for Statem<M> {
    const VSN: u32 = M::VSN;
    type Previous = M::Previous;

    fn up(previous: M::Previous, extra: &Term) -> Result<Self, ChangeError> {
        M::up(previous, extra).map(Statem::from)
    }

    fn down(self, extra: &Term) -> Result<M::Previous, ChangeError> {
        M::down(self.inner, extra)
    }
}

impl<M: CodeChange> gen_server::CodeChange for Statem<M> {
    const MODULE: &'static str = M::MODULE;

    async fn resumed(&mut self, why: Resumed, cx: &mut gen_server::Context<Self>) -> Result<()> {
        let StateData { state, data } = &mut self.inner;
        data.resumed(why, state, cx).await
    }

    fn upcast(message: MessageOf<Self>, from: u32) -> Option<MessageOf<Self>> {
        M::upcast(message, from)
    }
}
