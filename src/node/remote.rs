//! Names on other nodes.

use std::borrow::Cow;
use std::fmt;
use std::sync::Arc;

use crate::process::elsewhere::named;
use crate::process::{
    AnyProcess, CallError, Node, Object, ReplyTo, Request, SealedTarget, SendError, ServerRef, StopError,
    Timeout, Wire,
};
use crate::term::{ExitReason, Name, Never, NodeId};

/// Whoever has a name on another node, when a message arrives there (`{Name, Node}`).
///
/// The process is [exposed](super::Distribution::expose) there: others are not reached by their name. Where the other node is
/// the one that it is reached from, it is whoever has the name here, exposed or not.
pub struct RemoteName<Call, Cast = Never, Info = Never> {
    name: Name<Call, Cast, Info>,
    there: NodeId,
    server: ServerRef<Call, Cast, Info>,
}

impl<Call: Wire, Cast: Wire, Info: Wire> Name<Call, Cast, Info> {
    /// The name on another node, or on this one, reached from this one.
    pub fn at(&self, from: &Node, there: impl Into<NodeId>) -> RemoteName<Call, Cast, Info> {
        let there = there.into();
        RemoteName { name: *self, there, server: named(from, there, self.as_str()) }
    }
}

impl<Call: Wire, Cast: Wire, Info: Wire> RemoteName<Call, Cast, Info> {
    /// Who it is for now: a name of this node is looked up each time.
    pub(super) fn server(&self) -> Result<Cow<'_, ServerRef<Call, Cast, Info>>, CallError> {
        let here = self.server.node();
        if self.there == here.id() {
            return self.name.on(here).map(Cow::Owned);
        }
        Ok(Cow::Borrowed(&self.server))
    }

    fn receiver(&self) -> Result<Cow<'_, ServerRef<Call, Cast, Info>>, SendError> {
        self.server().map_err(|_| SendError::NoProc)
    }

    fn undelivered(&self, what: &'static str) {
        self.server.node().dead_letter(&self.name, what);
    }

    /// The other node.
    pub fn node(&self) -> NodeId {
        self.there
    }

    /// As [`ServerRef::call`].
    ///
    /// # Errors
    /// As [`ServerRef::call`]; [`CallError::NoConnection`] where the node is not connected.
    pub async fn call<R, F>(&self, request: F) -> Result<R, CallError>
    where
        R: Send + 'static,
        F: FnOnce(ReplyTo<R>) -> Call,
    {
        self.server()?.call(request).await
    }

    /// As [`ServerRef::call_timeout`].
    ///
    /// # Errors
    /// As [`call`](Self::call).
    pub async fn call_timeout<R, F>(&self, request: F, timeout: impl Into<Timeout>) -> Result<R, CallError>
    where
        R: Send + 'static,
        F: FnOnce(ReplyTo<R>) -> Call,
    {
        self.server()?.call_timeout(request, timeout).await
    }

    /// As [`ServerRef::ask_info`].
    ///
    /// # Errors
    /// As [`call`](Self::call).
    ///
    /// # Cancel safety
    /// As [`call`](Self::call).
    pub async fn ask_info<R, F>(&self, request: F, timeout: impl Into<Timeout>) -> Result<R, CallError>
    where
        R: Send + 'static,
        F: FnOnce(ReplyTo<R>) -> Info,
    {
        self.server()?.ask_info(request, timeout).await
    }

    /// As [`ServerRef::send_request`].
    pub fn send_request<R, F>(&self, request: F) -> Request<R>
    where
        R: Send + 'static,
        F: FnOnce(ReplyTo<R>) -> Call,
    {
        match self.server() {
            Ok(server) => server.send_request(request),
            Err(error) => Request::failed(error),
        }
    }

    /// As [`ServerRef::cast`]: what cannot be delivered is a dead letter, here or there.
    pub fn cast(&self, message: Cast) {
        match self.receiver() {
            Ok(server) => server.cast(message),
            Err(_) => self.undelivered("cast"),
        }
    }

    /// Sends a cast and says whether it is on its way.
    ///
    /// # Errors
    /// The node is not connected, too much waits to be sent to it, or the message cannot be sent.
    pub fn try_cast(&self, message: Cast) -> Result<(), SendError> {
        self.receiver()?.try_cast(message)
    }

    /// As [`ServerRef::cast_bulk`].
    ///
    /// # Errors
    /// As [`ServerRef::cast_bulk`].
    ///
    /// # Cancel safety
    /// As [`ServerRef::cast_bulk`].
    pub async fn cast_bulk(&self, message: Cast) -> Result<(), SendError> {
        self.receiver()?.cast_bulk(message).await
    }

    /// As [`ServerRef::send_bulk`].
    ///
    /// # Errors
    /// As [`ServerRef::send_bulk`].
    ///
    /// # Cancel safety
    /// As [`ServerRef::send_bulk`].
    pub async fn send_bulk(&self, message: Info) -> Result<(), SendError> {
        self.receiver()?.send_bulk(message).await
    }

    /// As [`ServerRef::send`].
    pub fn send(&self, message: Info) {
        match self.receiver() {
            Ok(server) => server.send(message),
            Err(_) => self.undelivered("message"),
        }
    }

    /// As [`ServerRef::stop_with`].
    ///
    /// # Errors
    /// As [`ServerRef::stop_with`]; [`StopError::Exit`] with noconnection where the node is lost.
    pub async fn stop_with(&self, reason: ExitReason, timeout: impl Into<Timeout>) -> Result<(), StopError> {
        self.server().map_err(|_| StopError::NoProc)?.stop_with(reason, timeout).await
    }

    /// As [`ServerRef::stop`].
    ///
    /// # Errors
    /// As [`stop_with`](Self::stop_with).
    pub async fn stop(&self) -> Result<(), StopError> {
        self.server().map_err(|_| StopError::NoProc)?.stop().await
    }
}

#[allow(private_interfaces, reason = "sealed: nobody outside can name or call it")]
impl<C: Wire, K: Wire, I: Wire> SealedTarget for RemoteName<C, K, I> {
    fn locate(&self, _: &Node) -> (Option<Arc<dyn AnyProcess>>, Object) {
        let (here, name) = (self.server.node(), self.name.as_str());
        let process = match self.there == here.id() {
            true => here.registered_as(name),
            false => Some(self.server.process()),
        };
        (process, Object::Name(name, self.there))
    }
}

impl<C, K, I> Clone for RemoteName<C, K, I> {
    fn clone(&self) -> Self {
        RemoteName { name: self.name, there: self.there, server: self.server.clone() }
    }
}

impl<C, K, I> fmt::Debug for RemoteName<C, K, I> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{{{}, {:?}}}", self.name, self.there)
    }
}
