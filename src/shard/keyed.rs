//! The behaviour of processes that are addressed by a key.

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use incarnate_shards::Effect;

use super::address::{Address, Blob, Body, Fault, How, Said};
use super::key::Key;
use super::shared::Shared;
use crate::gen_server::{CallReply, Next, Resumed};
use crate::handoff::StateVersion;
use crate::process::{CallError, Error, Node, ReplyTo, Result, SendError, ServerRef, Wire, wire};
use crate::term::{ExitReason, Pid};

/// A process that is addressed by a key, and survives its node: the specific half, as of a gen_server.
///
/// It lives in a shard, is started by the first message to its key, and keeps nothing but its state: that is what is copied,
/// moved, and taken over from, and so all that it may rely on. Callbacks run one after the other; what one of them has done,
/// its answer and what it sends become one step that is there as a whole or not at all. A callback that returns an error or
/// panics has done nothing: the process goes on from before it, and whoever asked hears so.
///
/// ```
/// use incarnate::handoff::StateVersion;
/// use incarnate::shard::{Key, Keyed, KeyedContext};
/// use incarnate::{CallReply, Never, ReplyTo, Result};
/// use serde::{Deserialize, Serialize};
///
/// #[derive(Serialize, Deserialize)]
/// enum Call { Add(i64, ReplyTo<i64>) }
///
/// #[derive(Serialize, Deserialize)]
/// struct Counter(i64);
///
/// impl StateVersion for Counter {
///     const VSN: u32 = 1;
///     type Previous = Never;
/// }
///
/// impl Keyed for Counter {
///     const KIND: &'static str = "counter";
///     type Call = Call;
///     type Cast = Never;
///     type Info = Never;
///     type Delta = Never;
///
///     fn init(_: &[u8]) -> Result<Self> {
///         Ok(Counter(0))
///     }
///     async fn handle_call(&mut self, Call::Add(n, caller): Call, _: &mut KeyedContext<Self>) -> Result<CallReply> {
///         self.0 += n;
///         caller.reply(self.0)
///     }
/// }
///
/// let alice: Key<Call> = Key::new("counter", "alice");
/// ```
///
/// What it sends goes through its [`KeyedContext`]: to other keys by [`cast`](KeyedContext::cast) and
/// [`call`](KeyedContext::call), to anybody else by [`when_released`](KeyedContext::when_released). What a callback does to
/// others by itself cannot be taken back if the step is not: then it may be seen without its cause, or twice.
///
/// The number of a version of its state is the release of the cluster in which it came in: releases 1 and 2 may run together,
/// and while they do, states are written in the version that both know.
pub trait Keyed: StateVersion {
    /// What all versions of this type have in common: its name in a [`Key`].
    const KIND: &'static str;

    /// Requests with an answer; each carries its [`ReplyTo`].
    type Call: Wire;
    /// Requests without one.
    type Cast: Wire;
    /// What timers bring, and what answers of other keys come with.
    type Info: Wire;
    /// A change of the state that is smaller than the state: see [`apply`](Self::apply). [`Never`](crate::Never): a copy is
    /// told the whole state, if it has changed. Otherwise callbacks change the state by [`KeyedContext::change`] alone.
    type Delta: Wire;

    /// The state of a key that has none yet. It is kept from the first message on that changes it.
    ///
    /// # Errors
    /// Whoever sent the message hears of it, and nothing was started.
    fn init(key: &[u8]) -> Result<Self>;

    /// Serves a request. The answer may be put off: keep the [`ReplyTo`] in the state.
    ///
    /// # Errors
    /// Nothing of what it did remains; the caller hears the reason.
    fn handle_call(
        &mut self,
        call: Self::Call,
        cx: &mut KeyedContext<Self>,
    ) -> impl Future<Output = Result<CallReply>> + Send;

    /// Serves a cast.
    ///
    /// # Errors
    /// Nothing of what it did remains.
    fn handle_cast(
        &mut self,
        cast: Self::Cast,
        cx: &mut KeyedContext<Self>,
    ) -> impl Future<Output = Result<Next>> + Send {
        let (_, missing) = (cast, cx.undefined("handle_cast"));
        async move { Err(missing) }
    }

    /// A timer has fired.
    ///
    /// # Errors
    /// Nothing of what it did remains; the timer is over.
    fn handle_info(
        &mut self,
        info: Self::Info,
        cx: &mut KeyedContext<Self>,
    ) -> impl Future<Output = Result<Next>> + Send {
        let (_, missing) = (info, cx.undefined("handle_info"));
        async move { Err(missing) }
    }

    /// Another key has answered what was asked by [`KeyedContext::call`], with what was said then.
    ///
    /// # Errors
    /// Nothing of what it did remains; the answer does not come again.
    fn handle_answer(
        &mut self,
        info: Self::Info,
        answer: KeyedAnswer,
        cx: &mut KeyedContext<Self>,
    ) -> impl Future<Output = Result<Next>> + Send {
        let (_, _, missing) = (info, answer, cx.undefined("handle_answer"));
        async move { Err(missing) }
    }

    /// Does a change that a copy is told instead of the whole state: see [`KeyedContext::change`]. The same state and the
    /// same change lead to the same state, wherever this runs.
    fn apply(&mut self, delta: Self::Delta) {
        let _ = delta;
    }

    /// It goes on with a state that was kept: opens again what is not part of that. What it changes and asks of its context
    /// belongs to the step of the message that comes next.
    ///
    /// It is told what has happened last: [`Migration`](Resumed::Migration) after a move, or [`Upgrade`](Resumed::Upgrade) if
    /// its state came in another version; [`Failover`](Resumed::Failover) after a takeover; [`Restart`](Resumed::Restart) after
    /// a crash; otherwise [`Idle`](Resumed::Idle).
    ///
    /// # Errors
    /// As a crash of the callback that would come next.
    fn resumed(
        &mut self,
        why: Resumed,
        cx: &mut KeyedContext<Self>,
    ) -> impl Future<Output = Result<()>> + Send {
        let _ = (why, cx);
        async { Ok(()) }
    }

    /// It is about to end without a crash: it was idle, stopped, or moves. Its state is kept as it is.
    fn terminate(&mut self, reason: &ExitReason) {
        let _ = reason;
    }
}

/// What another key has answered.
#[derive(Clone, Debug)]
pub struct KeyedAnswer(pub(super) Said, pub(super) Node);

impl KeyedAnswer {
    /// The answer.
    ///
    /// # Errors
    /// [`CallError::Exit`]: the other one crashed, and did nothing. [`CallError::NotUnderstood`]: there is no such type, or it
    /// knows no such message. [`CallError::BadReply`]: it is of another type.
    pub fn get<R: Wire>(self) -> Result<R, CallError> {
        let said = self.0.map_err(CallError::from)?;
        read(&self.1, &said).map_err(|_| CallError::BadReply)
    }
}

impl From<Fault> for CallError {
    fn from(fault: Fault) -> Self {
        match fault {
            Fault::Crashed(reason) => CallError::Exit(reason),
            Fault::NotUnderstood(_) => CallError::NotUnderstood,
            Fault::Overloaded => CallError::Overloaded,
            Fault::Unanswerable(_) | Fault::NotARead => CallError::BadReply,
        }
    }
}

/// What a callback of a [`Keyed`] can do. All of it belongs to the step of that callback, and is done when that is kept.
pub struct KeyedContext<K: Keyed> {
    pub(super) shared: Arc<Shared>,
    pub(super) address: Address,
    pub(super) pid: Pid,
    pub(super) output: Output,
    pub(super) _of: std::marker::PhantomData<fn(K)>,
}

/// What a callback has asked for.
#[derive(Default)]
pub(super) struct Output {
    pub(super) effects: Vec<Effect<Body>>,
    pub(super) started: Vec<(Box<str>, Duration, Blob)>,
    pub(super) cancelled: Vec<Box<str>>,
    pub(super) outside: Vec<Outside>,
    pub(super) deltas: Vec<Blob>,
    pub(super) unchanged: bool,
}

/// Something that is done when a step is released.
pub(super) type Outside = Box<dyn FnOnce() + Send>;

impl<K: Keyed> KeyedContext<K> {
    /// Its key.
    pub fn key(&self) -> &[u8] {
        self.address.key()
    }

    /// The process in which it runs now. It ends when its key moves, is idle, or crashes; the key stays.
    pub fn pid(&self) -> Pid {
        self.pid
    }

    /// Sends a message to another key. It arrives once, whatever happens, if this step is kept; to one key in order.
    ///
    /// # Errors
    /// [`SendError::Unsendable`]: it does not serialise.
    pub fn cast<C: Wire, T: Wire>(&mut self, to: &Key<C, T>, message: T) -> Result<(), SendError> {
        let message = self.shared.write(&message).map_err(|_| SendError::Unsendable)?;
        let (to, body) = (to.address().clone(), Body::Cast { to: to.address().clone(), message });
        self.output.effects.push(Effect { to: self.shared.shard_of(&to), body, call: false });
        Ok(())
    }

    /// Asks another key. It is carried out once, whatever happens, if this step is kept; the answer comes to
    /// [`handle_answer`](Keyed::handle_answer) with `info`, wherever this process is by then.
    ///
    /// # Errors
    /// [`SendError::Unsendable`]: it does not serialise.
    pub fn call<C: Wire, T: Wire, R: Wire>(
        &mut self,
        to: &Key<C, T>,
        request: impl FnOnce(ReplyTo<R>) -> C,
        info: K::Info,
    ) -> Result<(), SendError> {
        let message = self.shared.write(&request(ReplyTo::asked())).map_err(|_| SendError::Unsendable)?;
        let info = self.shared.write(&info).map_err(|_| SendError::Unsendable)?;
        let (to, by) = (to.address().clone(), Some((self.address.clone(), info)));
        let shard = self.shared.shard_of(&to);
        let body = Body::Call { to, message, by, how: How::Any };
        self.output.effects.push(Effect { to: shard, body, call: true });
        Ok(())
    }

    /// Has `info` come to [`handle_info`](Keyed::handle_info) after this time, wherever the process is by then; after a move or a
    /// takeover the time begins anew. One of the same name is replaced (the generic timeouts of gen_statem).
    ///
    /// # Errors
    /// [`SendError::Unsendable`]: it does not serialise.
    pub fn start_timer(&mut self, name: &str, after: Duration, info: K::Info) -> Result<(), SendError> {
        let message = self.shared.write(&info).map_err(|_| SendError::Unsendable)?;
        self.cancel_timer(name);
        self.output.started.push((name.into(), after, message));
        Ok(())
    }

    /// Has the timer of this name not fire. If there is none, it does nothing.
    pub fn cancel_timer(&mut self, name: &str) {
        self.output.started.retain(|(started, ..)| **started != *name);
        self.output.cancelled.push(name.into());
    }

    /// Does something outside when this step can no longer be lost: a message to a process without a key, a name, an exit
    /// signal. If the node is lost before, it is not done; it is never done twice.
    pub fn when_released(&mut self, done: impl FnOnce() + Send + 'static) {
        self.output.outside.push(Box::new(done));
    }

    /// Sends a message to a process when this step can no longer be lost.
    pub fn send<C: Send + 'static, T: Send + 'static, I: Send + 'static>(
        &mut self,
        to: &ServerRef<C, T, I>,
        message: I,
    ) {
        let to = to.clone();
        self.when_released(move || to.send(message));
    }

    /// Changes `state` by [`Keyed::apply`], and has copies told of this change instead of the whole.
    ///
    /// # Errors
    /// It does not serialise, or does not come back: nothing was changed.
    pub fn change(&mut self, state: &mut K, delta: K::Delta) -> Result<()> {
        let written = self.shared.write(&delta).map_err(Error::msg)?;
        state.apply(delta);
        self.output.deltas.push(written);
        Ok(())
    }

    /// Says that the callback has not changed the state: it is not looked at. Without this, a state is found unchanged by
    /// being written, which takes a while for large ones.
    pub fn unchanged(&mut self) {
        self.output.unchanged = true;
    }

    pub(super) fn undefined(&self, callback: &str) -> Error {
        Error::msg(format!("undef: {} has no {callback}", std::any::type_name::<K>()))
    }
}

/// Reads what lies in a shard.
pub(super) fn read<T: Wire>(node: &Node, bytes: &[u8]) -> Result<T, String> {
    wire::keyed(wire::Keyed { node: node.clone(), rows: None, row: None }, || wire::decode(bytes))
}
