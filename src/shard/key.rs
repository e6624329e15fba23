//! The address of a keyed process.

use std::fmt;
use std::marker::PhantomData;
use std::sync::Arc;
use std::time::Duration;

use incarnate_shards::Mail;
use serde::{Deserialize, Serialize};

use super::address::{Address, Body, How};
use super::client::{Answered, Event};
use super::epochs::Epochs;
use super::error::KeyedError;
use super::keyed::read;
use super::life::is_inside;
use super::packet::Packet;
use super::shared::{Known, Shared};
use crate::process::{CallError, Node, ReplyTo, SendError, Timeout, Wire, answer, open};
use crate::term::{Never, NodeId};

/// The address of a process by its type and key, typed by its messages: valid before it was ever started, wherever it is, and
/// after each move. It serialises.
#[derive(Serialize, Deserialize)]
#[serde(bound = "")]
pub struct Key<Call, Cast = Never> {
    address: Address,
    #[serde(skip)]
    node: Option<Node>,
    #[serde(skip)]
    messages: PhantomData<fn(Call, Cast)>,
}

impl<Call, Cast> Key<Call, Cast> {
    /// The process with this key, of the type of this name ([`Keyed::KIND`](super::Keyed::KIND)).
    pub fn new(kind: &str, key: impl AsRef<[u8]>) -> Self {
        Key { address: Address::new(kind, key.as_ref()), node: None, messages: PhantomData }
    }

    /// The process with this key that is to be on this node whenever that is up: another one than that of the key alone, or
    /// pinned to another node.
    ///
    /// All that are pinned to a node are in one shard of each mode, which is copied as any; while the node is down another
    /// one has it, and it goes back when the node is there again.
    pub fn pinned_to(mut self, node: impl Into<NodeId>) -> Self {
        self.address = self.address.pinned(node.into());
        self
    }

    /// The same, used from this node: outside of processes nobody knows which one is meant.
    pub fn on(mut self, node: &Node) -> Self {
        self.node = Some(node.clone());
        self
    }

    /// The name of its type.
    pub fn kind(&self) -> &str {
        self.address.kind()
    }

    /// The key.
    pub fn key(&self) -> &[u8] {
        self.address.key()
    }

    pub(super) fn address(&self) -> &Address {
        &self.address
    }

    /// The epoch of its shard, and each change of it: the shard has come to another owner.
    ///
    /// In a mode that may lose something by that, [`Async`](super::Mode::Async) and [`Local`](super::Mode::Local), what was
    /// answered before may be gone: `Async` loses at most its lag, `Local` everything, and by a planned move neither. Whoever
    /// builds on an answer asks again after a change. It is told before the first answer of the new owner comes.
    ///
    /// # Errors
    /// [`KeyedError::NotStarted`], [`KeyedError::NoNode`].
    pub fn epochs(&self) -> Result<Epochs, KeyedError> {
        let (_, shared) = self.shared()?;
        shared.epochs(shared.shard_of(&self.address)).ok_or(KeyedError::NotStarted)
    }

    fn shared(&self) -> Result<(Node, Arc<Shared>), KeyedError> {
        let node = self.node.clone().or_else(Node::current).ok_or(KeyedError::NoNode)?;
        let shared = Shared::of(&node).filter(|shared| shared.kinds().get(self.kind()).is_some());
        Ok((node, shared.ok_or(KeyedError::NotStarted)?))
    }
}

impl<Call: Wire, Cast: Wire> Key<Call, Cast> {
    /// Asks, and waits for the answer for five seconds (`gen_server:call/2`).
    ///
    /// It is carried out once at most, however often the shard moves, is taken over, or the request has to be sent again; and
    /// if there is an answer, once. What that promises depends on the [`Mode`](super::Mode) of its type.
    ///
    /// # Errors
    /// See [`KeyedError`].
    ///
    /// # Cancel safety
    /// Dropping the future takes nothing back: what was asked may be carried out.
    pub async fn call<R: Wire>(&self, request: impl FnOnce(ReplyTo<R>) -> Call) -> Result<R, KeyedError> {
        self.ask(request, Timeout::default(), How::Any).await
    }

    /// As [`call`](Self::call), for at most this time.
    ///
    /// # Errors
    /// As [`call`](Self::call).
    pub async fn call_timeout<R: Wire>(
        &self,
        request: impl FnOnce(ReplyTo<R>) -> Call,
        timeout: impl Into<Timeout>,
    ) -> Result<R, KeyedError> {
        self.ask(request, timeout.into(), How::Any).await
    }

    /// Asks what changes nothing. Callbacks of other keys may do so as well: a read ends no step.
    ///
    /// # Errors
    /// As [`call`](Self::call); [`KeyedError::NotARead`]: it would have changed something.
    pub async fn read<R: Wire>(
        &self,
        request: impl FnOnce(ReplyTo<R>) -> Call,
        read: Read,
    ) -> Result<R, KeyedError> {
        let how = match read {
            Read::Current => How::Read,
            Read::Stale => How::Stale,
        };
        self.ask(request, Timeout::default(), how).await
    }

    async fn ask<R: Wire>(
        &self,
        request: impl FnOnce(ReplyTo<R>) -> Call,
        timeout: Timeout,
        how: How,
    ) -> Result<R, KeyedError> {
        if how == How::Any && is_inside() {
            return Err(KeyedError::Inside);
        }
        let (node, shared) = self.shared()?;
        let message = shared.write(&request(ReplyTo::asked())).map_err(KeyedError::Unsendable)?;
        let body = Body::Call { to: self.address.clone(), message, by: None, how };
        let client = shared.client(shared.shard_of(&self.address)).ok_or(KeyedError::NotStarted)?;
        let pending = open::<Answered>();
        let deadline = match timeout {
            Timeout::After(after) => shared.now().saturating_add(after),
            Timeout::Infinity => Duration::MAX,
        };
        client.handle(Event::Call(pending.id(), body, deadline));
        let said = answer(&node, pending, timeout).await.map_err(|error| match error {
            CallError::Timeout => KeyedError::Timeout,
            _ => KeyedError::BadReply,
        })???;
        read(&node, &said).map_err(|_| KeyedError::BadReply)
    }

    /// Sends a message that nobody waits for (`gen_server:cast/2`). It arrives once at most: a move or a loss on the way may
    /// take it along.
    ///
    /// # Errors
    /// [`SendError::Unsendable`]: it does not serialise. [`SendError::NoProc`]: this node has no shards, or none of this type.
    /// [`SendError::NoConnection`]: nobody is known to own its shard. [`SendError::NoNode`]: as of a name.
    pub fn cast(&self, message: Cast) -> Result<(), SendError> {
        let (_, shared) = self.shared().map_err(|error| match error {
            KeyedError::NoNode => SendError::NoNode,
            _ => SendError::NoProc,
        })?;
        let message = shared.write(&message).map_err(|_| SendError::Unsendable)?;
        let shard = shared.shard_of(&self.address);
        let Known::Owner(owner, _) = shared.known(shard) else { return Err(SendError::NoConnection) };
        let body = Body::Cast { to: self.address.clone(), message };
        shared.send(owner, shard, Packet::Mail(Mail::Cast(body)));
        Ok(())
    }
}

/// What a read answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Read {
    /// What is true: it sees all that was answered to anybody before it was asked.
    Current,
    /// What was true: nobody is asked whether it still is, so it costs no way to a standby, and an owner that was taken over
    /// from and has not heard of it may answer.
    Stale,
}

impl<Call, Cast> Clone for Key<Call, Cast> {
    fn clone(&self) -> Self {
        Key { address: self.address.clone(), node: self.node.clone(), messages: PhantomData }
    }
}

impl<Call, Cast> PartialEq for Key<Call, Cast> {
    fn eq(&self, other: &Self) -> bool {
        self.address == other.address
    }
}

impl<Call, Cast> Eq for Key<Call, Cast> {}

impl<Call, Cast> fmt::Debug for Key<Call, Cast> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Key({})", self.address)
    }
}

impl<Call, Cast> fmt::Display for Key<Call, Cast> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.address, f)
    }
}
