//! How others reach a process: a reference to it, or its name.

use std::fmt;
use std::future::poll_fn;
use std::sync::{Arc, Weak};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::time::Instant;

use super::cell::{Cell, Core, Process, Rejected};
use super::current;
use super::debug::{EventKind, Seen};
use super::elsewhere::Delayed;
use super::envelope::{Envelope, Timed};
use super::error::{CallError, SendError, Timeout};
use super::inbox::Content;
use super::meter;
use super::node::{Node, WeakNode};
use super::reply::ReplyTo;
use super::request::Request;
use super::signal::{Object, Signal, System};
use super::slots::{self, Pending};
use super::timers;
use super::wait::{answer, limited};
use crate::term::{ExitReason, Name, Never, Pid, TimerRef};

/// What a mailbox carries for its process.
pub enum Message<Call, Cast, Info> {
    /// A request with an answer, for `handle_call`.
    Call(Call),
    /// A request without one, for `handle_cast`.
    Cast(Cast),
    /// A plain message, or that of a timer, for `handle_info`.
    Info(Info),
}

impl<Call, Cast, Info> Content for Message<Call, Cast, Info>
where
    Call: Send + 'static,
    Cast: Send + 'static,
    Info: Send + 'static,
{
    fn seen(&self) -> Seen<'_> {
        match self {
            Message::Call(call) => Seen::new(EventKind::Call, call),
            Message::Cast(cast) => Seen::new(EventKind::Cast, cast),
            Message::Info(info) => Seen::new(EventKind::Info, info),
        }
    }
}

pub(crate) type ServerCell<Call, Cast, Info> = Cell<Message<Call, Cast, Info>>;

/// A reference to one process, typed by the messages that it takes (`gen_server:server_ref()` with a pid).
///
/// Names one life: after a restart the new process has another reference, so keep a [`Name`] where that matters.
/// Cheap to clone. Of a process that has ended it keeps nothing but a few hundred bytes, and its node.
pub struct ServerRef<Call, Cast = Never, Info = Never> {
    cell: Arc<ServerCell<Call, Cast, Info>>,
}

/// A reference to a plain process that takes messages `M`.
pub type ProcessRef<M> = ServerRef<Never, Never, M>;

impl<Call, Cast, Info> ServerRef<Call, Cast, Info>
where
    Call: Send + 'static,
    Cast: Send + 'static,
    Info: Send + 'static,
{
    pub(crate) fn of(cell: Arc<ServerCell<Call, Cast, Info>>) -> Self {
        ServerRef { cell }
    }

    pub(crate) fn process(&self) -> Arc<dyn Process> {
        self.cell.as_process()
    }

    /// The process with this pid, if it lives and takes these messages.
    pub(crate) fn find(node: &Node, pid: Pid) -> Option<Self> {
        node.find(pid)?.into_any().downcast().ok().map(ServerRef::of)
    }

    pub(crate) fn cell(&self) -> &Arc<ServerCell<Call, Cast, Info>> {
        &self.cell
    }

    /// The process's pid.
    pub fn pid(&self) -> Pid {
        self.cell.core().pid()
    }

    /// The node that it lives on; of a process on another node, the one from where it is reached.
    pub fn node(&self) -> &Node {
        self.cell.core().node()
    }

    /// Whether it lives.
    pub fn is_alive(&self) -> bool {
        self.node().is_alive(self.pid())
    }

    /// Asks and waits for the answer, at most 5 seconds (`gen_server:call/2`).
    ///
    /// # Errors
    /// See [`CallError`]; the process that is asked is never harmed by a caller that gave up.
    ///
    /// # Cancel safety
    /// Dropping the future gives up: the request may still be carried out, its answer goes nowhere.
    pub async fn call<R, F>(&self, request: F) -> Result<R, CallError>
    where
        R: Send + 'static,
        F: FnOnce(ReplyTo<R>) -> Call,
    {
        self.call_timeout(request, Timeout::default()).await
    }

    /// Asks and waits for the answer as long as `timeout` says (`gen_server:call/3`).
    ///
    /// Time is that of the runtime in which the caller runs, so that it gives up although the server's may be stuck.
    ///
    /// # Errors
    /// See [`CallError`].
    ///
    /// # Panics
    /// In a tokio runtime without timers.
    ///
    /// # Cancel safety
    /// As [`call`](Self::call).
    pub async fn call_timeout<R, F>(&self, request: F, timeout: impl Into<Timeout>) -> Result<R, CallError>
    where
        R: Send + 'static,
        F: FnOnce(ReplyTo<R>) -> Call,
    {
        self.ask_and_wait(|to| Message::Call(request(to)), timeout.into()).await
    }

    /// Asks, and leaves it to the returned request to be waited for (`gen_server:send_request/2`).
    ///
    /// Never fails here: that there is no such process is said when the answer is asked for.
    pub fn send_request<R, F>(&self, request: F) -> Request<R>
    where
        R: Send + 'static,
        F: FnOnce(ReplyTo<R>) -> Call,
    {
        let pending = slots::open();
        Request::new(self.ask(&pending, |to| Message::Call(request(to))).map(|()| pending).map_err(refused))
    }

    /// As [`send_request`](Self::send_request), for somebody who waits: what finds no room on the way comes back, to be sent
    /// when there is some.
    pub(crate) fn ask_in_turn<R, F>(&self, request: F) -> Result<Asked<R>, CallError>
    where
        R: Send + 'static,
        F: FnOnce(ReplyTo<R>) -> Call,
    {
        let pending = slots::open();
        let delayed = match self.ask(&pending, |to| Message::Call(request(to))) {
            Ok(()) => None,
            Err(Rejected::Delayed(delayed)) => Some(delayed),
            Err(why) => return Err(refused(why)),
        };
        Ok(Asked { pending, delayed })
    }

    /// Asks a plain process, or a server by its `Info`, and waits for the answer.
    ///
    /// # Errors
    /// See [`CallError`].
    ///
    /// # Cancel safety
    /// As [`call`](Self::call).
    pub async fn ask_info<R, F>(&self, request: F, timeout: impl Into<Timeout>) -> Result<R, CallError>
    where
        R: Send + 'static,
        F: FnOnce(ReplyTo<R>) -> Info,
    {
        self.ask_and_wait(|to| Message::Info(request(to)), timeout.into()).await
    }

    async fn ask_and_wait<R, F>(&self, message: F, mut timeout: Timeout) -> Result<R, CallError>
    where
        R: Send + 'static,
        F: FnOnce(ReplyTo<R>) -> Message<Call, Cast, Info>,
    {
        let mut metered = meter::Call::begin(self.node());
        let pending = slots::open_here().await;
        if let Err(why) = self.ask(&pending, message) {
            let sent = match why {
                // Boxed: it is rare, and the futures of all callers would be larger by it.
                Rejected::Delayed(delayed) => Box::pin(send_in_turn(delayed, timeout)).await,
                why => Err(refused(why)),
            };
            timeout = metered.sent(sent)?;
        }
        metered.answered(answer(self.node(), pending, timeout).await)
    }

    fn ask<R, F>(&self, pending: &Pending<R>, message: F) -> Result<(), Rejected>
    where
        R: Send + 'static,
        F: FnOnce(ReplyTo<R>) -> Message<Call, Cast, Info>,
    {
        if is_current(self.cell.core()) {
            return Err(Rejected::Itself);
        }
        let message = message(ReplyTo::slot(pending.id()));
        self.cell.push_message(|| Envelope::Request(message, pending.id()))
    }

    /// Sends a cast (`gen_server:cast/2`). Never waits, never fails: what cannot be delivered is a dead letter.
    pub fn cast(&self, message: Cast) {
        if self.put(|| Message::Cast(message)).is_err() {
            self.node().dead_letter(&self.pid(), "cast");
        }
    }

    /// Sends a cast and says whether it got into the mailbox.
    ///
    /// # Errors
    /// The process has ended, or its mailbox is at its bound; the message was dropped.
    pub fn try_cast(&self, message: Cast) -> Result<(), SendError> {
        self.put(|| Message::Cast(message))
    }

    /// Sends a message that `handle_info` or `receive` takes (`erlang:send/2`). Never waits, never fails.
    pub fn send(&self, message: Info) {
        if self.put(|| Message::Info(message)).is_err() {
            self.node().dead_letter(&self.pid(), "message");
        }
    }

    /// As [`send`](Self::send), and says whether the message got into the mailbox.
    ///
    /// # Errors
    /// The process has ended, or its mailbox is at its bound; the message was dropped.
    pub fn try_send(&self, message: Info) -> Result<(), SendError> {
        self.put(|| Message::Info(message))
    }

    #[inline(always)]
    fn put(&self, message: impl FnOnce() -> Message<Call, Cast, Info>) -> Result<(), SendError> {
        self.cell.push_message(|| Envelope::User(message())).map_err(|rejected| self.unsent(rejected))
    }

    #[cold]
    fn unsent(&self, rejected: Rejected) -> SendError {
        match rejected {
            Rejected::Closed | Rejected::Itself => SendError::NoProc,
            Rejected::Full | Rejected::Delayed(_) => SendError::Overloaded,
            Rejected::NoConnection => SendError::NoConnection,
            Rejected::Unsendable(why) => {
                tracing::warn!(target: "incarnate::node", to = %self.pid(), %why, "message that cannot be sent");
                SendError::Unsendable
            }
        }
    }

    /// As [`try_cast`](Self::try_cast), for much at once: to a process of another node it goes on a lane of its own, beside
    /// what others send there, and waits for its turn. In order with what else the same process sends in bulk, one awaited
    /// after the other, and with nothing more.
    ///
    /// # Errors
    /// The process has ended, its node is not connected, or the message cannot be sent; it was dropped.
    ///
    /// # Cancel safety
    /// Dropping the future before its turn has come drops the message.
    pub async fn cast_bulk(&self, message: Cast) -> Result<(), SendError> {
        self.put_bulk(Message::Cast(message)).await
    }

    /// As [`cast_bulk`](Self::cast_bulk), for what `handle_info` or `receive` takes.
    ///
    /// # Errors
    /// As [`cast_bulk`](Self::cast_bulk).
    ///
    /// # Cancel safety
    /// As [`cast_bulk`](Self::cast_bulk).
    pub async fn send_bulk(&self, message: Info) -> Result<(), SendError> {
        self.put_bulk(Message::Info(message)).await
    }

    async fn put_bulk(&self, message: Message<Call, Cast, Info>) -> Result<(), SendError> {
        let Some(outlet) = self.cell.outlet() else { return self.put(|| message) };
        let sent = match outlet.bulk(message) {
            Ok(mut delayed) => poll_fn(|cx| delayed.poll(cx)).await,
            Err(why) => Err(why),
        };
        sent.map_err(|why| self.unsent(why))
    }

    /// Sends `message` after a delay (`erlang:send_after/3`).
    pub fn send_after(&self, delay: Duration, message: Info) -> TimerRef {
        self.start_timed(delay, message, |_| None)
    }

    /// Delivers `Info::Timer(reference, message)` after a delay (`erlang:start_timer/3`).
    pub fn start_timer(&self, delay: Duration, message: Info) -> TimerRef {
        self.start_timed(delay, message, Some)
    }

    fn start_timed(
        &self,
        delay: Duration,
        message: Info,
        known_by: impl FnOnce(TimerRef) -> Option<TimerRef>,
    ) -> TimerRef {
        let (target, code) = (self.later(), self.cell.core().code_id());
        let process: Arc<dyn Process> = self.cell.clone();
        timers::start_for(&process, delay, |timer| {
            let timer = known_by(timer);
            Box::new(move || match target.find() {
                Ok(cell) => {
                    let timed = Timed { timer, message: Message::Info(message), code };
                    if cell.push(Envelope::Timer(Box::new(timed))).is_err() {
                        cell.core().node().dead_letter(&cell.core().pid(), "timer");
                    }
                }
                Err(target) => target.dead_letter("timer"),
            })
        })
    }

    fn later(&self) -> Later<ServerCell<Call, Cast, Info>> {
        Later { cell: Arc::downgrade(&self.cell), node: self.node().downgrade(), pid: self.pid() }
    }

    /// Stops the process with `reason`, its `terminate` included, and waits for its end (`gen_server:stop/3`).
    ///
    /// # Errors
    /// [`StopError::NoProc`]: it was gone. [`StopError::Exit`]: it ended with another reason.
    /// [`StopError::Timeout`]: it has not ended yet, and the order still stands. [`StopError::CallingSelf`]: it is the
    /// process whose code asks, which could wait for ever.
    ///
    /// # Cancel safety
    /// Dropping the future withdraws nothing: the process still stops.
    pub async fn stop_with(&self, reason: ExitReason, timeout: impl Into<Timeout>) -> Result<(), StopError> {
        if is_current(self.cell.core()) {
            return Err(StopError::CallingSelf);
        }
        let process = self.process();
        let ended = process.watch_end().ok_or_else(|| match self.absence() {
            ExitReason::NoConnection => StopError::NoConnection,
            _ => StopError::NoProc,
        })?;
        // Refused when it is ending by itself: that end is awaited then.
        process.signal(Signal::System(System::Terminate(reason.clone(), Box::new(|| ())), None));
        match answer(self.node(), ended, timeout.into()).await {
            Ok(actual) if actual == reason => Ok(()),
            // What a node says of a process that it does not have.
            Ok(ExitReason::NoProc) => Err(StopError::NoProc),
            Ok(ExitReason::NoConnection) => Err(StopError::NoConnection),
            Ok(actual) => Err(StopError::Exit(actual)),
            Err(_) => Err(StopError::Timeout),
        }
    }

    /// Stops the process with reason normal and waits for its end without limit (`gen_server:stop/1`).
    ///
    /// # Errors
    /// As [`stop_with`](Self::stop_with).
    pub async fn stop(&self) -> Result<(), StopError> {
        self.stop_with(ExitReason::Normal, Timeout::Infinity).await
    }

    /// Waits for the end of the process and answers its reason; [`ExitReason::NoProc`] if it had ended, or was ending,
    /// when this was first polled, and [`ExitReason::NoConnection`] if its node is not connected.
    ///
    /// # Cancel safety
    /// Dropping the future only stops waiting.
    pub async fn ended(&self) -> ExitReason {
        match self.process().watch_end() {
            Some(ended) => answer(self.node(), ended, Timeout::Infinity).await.unwrap_or(ExitReason::NoProc),
            None => self.absence(),
        }
    }

    fn absence(&self) -> ExitReason {
        self.node().absence(Object::Pid(self.pid()))
    }
}

/// A request that was sent, or waits for room.
pub(crate) struct Asked<R> {
    pending: Pending<R>,
    delayed: Option<Box<dyn Delayed>>,
}

impl<R: Send + 'static> Asked<R> {
    /// Sends it, if that is still to be done, and waits for its answer.
    pub(crate) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Result<R, CallError>> {
        if let Some(delayed) = &mut self.delayed {
            let sent = ready!(delayed.poll(cx));
            self.delayed = None;
            if let Err(why) = sent {
                return Poll::Ready(Err(refused(why)));
            }
        }
        self.pending.poll(cx).map_err(CallError::from)
    }
}

fn refused(why: Rejected) -> CallError {
    match why {
        Rejected::Closed => CallError::NoProc,
        Rejected::Full | Rejected::Delayed(_) => CallError::Overloaded,
        Rejected::Itself => CallError::CallingSelf,
        Rejected::NoConnection => CallError::NoConnection,
        Rejected::Unsendable(why) => CallError::Unsendable(why),
    }
}

/// Sends a request when there is room on the way to its node. Answers how long it may still wait for its answer.
async fn send_in_turn(mut delayed: Box<dyn Delayed>, timeout: Timeout) -> Result<Timeout, CallError> {
    let sent = poll_fn(|cx| delayed.poll(cx));
    let Timeout::After(after) = timeout else {
        return sent.await.map(|()| timeout).map_err(refused);
    };
    let begun = Instant::now();
    let sent = limited(after, sent).await.ok_or(CallError::Timeout)?;
    sent.map(|()| Timeout::After(after.saturating_sub(begun.elapsed()))).map_err(refused)
}

/// Whether it is the process whose code asks.
fn is_current(core: &Core) -> bool {
    current::with(|current| current.is_some_and(|current| std::ptr::eq(current.core(), core)))
}

/// Where a timer sends to: it keeps neither a process that has ended nor a node.
struct Later<C> {
    cell: Weak<C>,
    node: WeakNode,
    pid: Pid,
}

impl<C> Later<C> {
    fn find(self) -> Result<Arc<C>, Self> {
        self.cell.upgrade().ok_or(self)
    }

    fn dead_letter(&self, what: &'static str) {
        if let Some(node) = self.node.upgrade() {
            node.dead_letter(&self.pid, what);
        }
    }
}

/// Why a process that was told to stop did not end as told.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum StopError {
    /// It had ended before, or there never was one.
    NoProc,
    /// Its node is not connected, or was lost: it may have been told.
    NoConnection,
    /// It ended with another reason.
    Exit(ExitReason),
    /// It has not ended in time. It will, when it comes to the order.
    Timeout,
    /// A process told itself to stop and would have waited for its own end: it goes on. A callback answers stop instead.
    CallingSelf,
    /// The name is held by a process that takes other messages, which was not told.
    WrongProtocol,
    /// A name was used outside any process, so that its node is unknown: use [`Name::on`](crate::Name::on).
    NoNode,
}

impl fmt::Display for StopError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            StopError::NoProc => f.write_str("noproc: no such process"),
            StopError::NoConnection => {
                f.write_str("noconnection: its node is not connected, it may have been told to stop")
            }
            StopError::Exit(reason) => write!(f, "the process ended with another reason: {reason}"),
            StopError::Timeout => {
                f.write_str("timeout: the process has not ended yet, the order to stop stands")
            }
            StopError::CallingSelf => {
                f.write_str("calling_self: a process told itself to stop, it was not stopped")
            }
            StopError::WrongProtocol => f.write_str(
                "the name is held by a process that takes other messages, it was not told to stop",
            ),
            StopError::NoNode => f.write_str("a name was used outside any process: say on which node"),
        }
    }
}

impl std::error::Error for StopError {}

impl<Call, Cast, Info> Clone for ServerRef<Call, Cast, Info> {
    fn clone(&self) -> Self {
        ServerRef { cell: self.cell.clone() }
    }
}

impl<Call, Cast, Info> fmt::Debug for ServerRef<Call, Cast, Info>
where
    Call: Send + 'static,
    Cast: Send + 'static,
    Info: Send + 'static,
{
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ServerRef({})", self.pid())
    }
}

/// The use of a name: each looks up who has it now, on the node of the process whose code asks.
impl<Call, Cast, Info> Name<Call, Cast, Info>
where
    Call: Send + 'static,
    Cast: Send + 'static,
    Info: Send + 'static,
{
    /// Who has the name on `node` now, if it takes these messages (`erlang:whereis/1`).
    ///
    /// # Errors
    /// [`CallError::NoProc`], or [`CallError::WrongProtocol`].
    pub fn on(&self, node: &Node) -> Result<ServerRef<Call, Cast, Info>, CallError> {
        let process = node.registry().whereis(self.as_str()).ok_or(CallError::NoProc)?;
        let cell = process.into_any().downcast::<ServerCell<Call, Cast, Info>>();
        cell.map(ServerRef::of).map_err(|_| CallError::WrongProtocol)
    }

    fn here(&self) -> Result<ServerRef<Call, Cast, Info>, CallError> {
        self.on(&Node::current().ok_or(CallError::NoNode)?)
    }

    /// As [`ServerRef::call`].
    ///
    /// # Errors
    /// As [`ServerRef::call`], and [`CallError::NoNode`] outside a process.
    pub async fn call<R, F>(&self, request: F) -> Result<R, CallError>
    where
        R: Send + 'static,
        F: FnOnce(ReplyTo<R>) -> Call,
    {
        self.here()?.call(request).await
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
        self.here()?.call_timeout(request, timeout).await
    }

    /// As [`ServerRef::send_request`].
    pub fn send_request<R, F>(&self, request: F) -> Request<R>
    where
        R: Send + 'static,
        F: FnOnce(ReplyTo<R>) -> Call,
    {
        match self.here() {
            Ok(server) => server.send_request(request),
            Err(error) => Request::failed(error),
        }
    }

    /// As [`ServerRef::cast`]; to a name that nobody has it is a dead letter.
    pub fn cast(&self, message: Cast) {
        match self.here() {
            Ok(server) => server.cast(message),
            Err(_) => self.dead_letter("cast"),
        }
    }

    /// Sends a message to whoever has the name now.
    ///
    /// # Errors
    /// [`SendError::NoProc`]: unlike a cast, a plain send to a name that nobody has is an error (`badarg` in Erlang).
    /// [`SendError::WrongProtocol`], [`SendError::NoNode`]: see there. What becomes of a message to a process is not said.
    pub fn send(&self, message: Info) -> Result<(), SendError> {
        let server = self.here().map_err(|error| match error {
            CallError::WrongProtocol => SendError::WrongProtocol,
            CallError::NoNode => SendError::NoNode,
            _ => SendError::NoProc,
        })?;
        server.send(message);
        Ok(())
    }

    /// Sends `message` after a delay to whoever has the name then. `None` outside a process.
    pub fn send_after(&self, delay: Duration, message: Info) -> Option<TimerRef> {
        let (node, name) = (Node::current()?, *self);
        let weak = node.downgrade();
        Some(timers::start(&node, delay, |_| {
            Box::new(move || {
                if let Some(node) = weak.upgrade() {
                    match name.on(&node) {
                        Ok(server) => server.send(message),
                        Err(_) => node.dead_letter(&name, "timer"),
                    }
                }
            })
        }))
    }

    /// As [`ServerRef::stop`].
    ///
    /// # Errors
    /// As [`ServerRef::stop`], and [`StopError::WrongProtocol`] or [`StopError::NoNode`].
    pub async fn stop(&self) -> Result<(), StopError> {
        let server = self.here().map_err(|error| match error {
            CallError::WrongProtocol => StopError::WrongProtocol,
            CallError::NoNode => StopError::NoNode,
            _ => StopError::NoProc,
        })?;
        server.stop().await
    }

    fn dead_letter(&self, what: &'static str) {
        match Node::current() {
            Some(node) => node.dead_letter(self, what),
            None => {
                tracing::debug!(target: "incarnate::dead_letter", to = %self, what, "message outside a node")
            }
        }
    }
}
