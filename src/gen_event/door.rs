//! What can be asked of an event manager, by its reference or its name.

use super::EventHandler;
use super::error::{AddError, DeleteError, SwapError};
use super::flow::Swap;
use super::handler::{Handler, HandlerId};
use super::installed::New;
use super::manager::{EventCall, Order};
use super::owner::{HandlerExit, Owner};
use crate::process::{CallError, ReplyTo, Request, ServerRef, Timeout};
use crate::term::{Name, Never, Term};

/// The name of an event manager.
pub type EventManagerName<E, I = Never> = Name<EventCall<E, I>, E, I>;

/// A reference to an event manager.
pub type EventManagerRef<E, I = Never> = ServerRef<EventCall<E, I>, E, I>;

/// The methods, the same on names and on references. Those that change handlers wait without a limit, as in OTP: they take
/// as long as the callbacks do that they run.
macro_rules! asked_of_an_event_manager {
    ($door:ident) => {
        impl<E: Send + Sync + 'static, I: Send + Sync + 'static> $door<EventCall<E, I>, E, I> {
            /// Tells all handlers of an event (`gen_event:notify/2`). Never waits, never fails: what cannot be delivered is a
            /// dead letter.
            #[inline]
            pub fn notify(&self, event: E) {
                self.cast(event);
            }

            /// Tells all handlers of an event, and returns when each has looked at it (`gen_event:sync_notify/2`).
            ///
            /// # Errors
            /// See [`CallError`]. What a handler makes of the event is none.
            ///
            /// # Cancel safety
            /// Dropping the future does not take the event back.
            pub async fn sync_notify(&self, event: E) -> Result<(), CallError> {
                let order = |caller| ask(Order::SyncNotify(event, caller));
                self.call_timeout(order, Timeout::Infinity).await
            }

            /// Adds a handler, in front of all others, and waits for its `init` (`gen_event:add_handler/3`). One that is
            /// installed already is then installed twice, as in OTP.
            ///
            /// # Errors
            /// See [`AddError`].
            ///
            /// # Cancel safety
            /// Dropping the future takes nothing back: the handler is added.
            pub async fn add_handler<H>(&self, handler: Handler<H>, args: H::Args) -> Result<(), AddError>
            where
                H: EventHandler<Event = E, Info = I>,
            {
                let new = New::of(&handler, args);
                let order = |caller| ask(Order::Add(new, None, caller));
                self.call_timeout(order, Timeout::Infinity).await?
            }

            /// As [`add_handler`](Self::add_handler), and ties the handler to a process that owns it
            /// (`gen_event:add_sup_handler/3`).
            ///
            /// Manager and owner are linked, and stay so when the handler is gone. When the owner ends, normally too, the
            /// handler is removed with [`Removal::OwnerEnded`](super::Removal::OwnerEnded). When the handler is removed, for
            /// whatever reason, the owner is sent what `message` makes of that: a [`HandlerExit`].
            ///
            /// # Errors
            /// See [`AddError`]; the owner is sent nothing then.
            ///
            /// # Cancel safety
            /// As [`add_handler`](Self::add_handler).
            pub async fn add_sup_handler<H, C2, K2, M>(
                &self,
                handler: Handler<H>,
                args: H::Args,
                owner: &ServerRef<C2, K2, M>,
                message: impl Fn(HandlerExit) -> M + Send + Sync + 'static,
            ) -> Result<(), AddError>
            where
                H: EventHandler<Event = E, Info = I>,
                C2: Send + 'static,
                K2: Send + 'static,
                M: Send + 'static,
            {
                let (new, owner) = (New::of(&handler, args), Owner::new(owner, message));
                let order = |caller| ask(Order::Add(new, Some(owner), caller));
                self.call_timeout(order, Timeout::Infinity).await?
            }

            /// Removes a handler and answers what its `terminate` did, which is told `args`
            /// (`gen_event:delete_handler/3`). Of several with the same identity it is the newest.
            ///
            /// # Errors
            /// See [`DeleteError`].
            ///
            /// # Cancel safety
            /// Dropping the future takes nothing back: the handler is removed.
            pub async fn delete_handler<H: EventHandler<Event = E, Info = I>>(
                &self,
                handler: Handler<H>,
                args: impl Into<Term>,
            ) -> Result<Term, DeleteError> {
                let args = args.into();
                let order = |caller| ask(Order::Delete(handler.id(), args, caller));
                self.call_timeout(order, Timeout::Infinity).await?
            }

            /// Has a new handler take the place of an old one, and its owner if it has one: the old one's `terminate` is told
            /// its argument, and the new one's `init` is given what that answered (`gen_event:swap_handler/3`). It becomes
            /// the newest. If the old one is not installed, the new one is, and hears [`Handover::Missing`].
            ///
            /// [`Handover::Missing`]: super::Handover::Missing
            ///
            /// # Errors
            /// See [`SwapError`].
            ///
            /// # Cancel safety
            /// Dropping the future takes nothing back: the handlers are swapped.
            pub async fn swap_handler<H1, H2>(
                &self,
                old: (Handler<H1>, impl Into<Term>),
                new: (Handler<H2>, H2::Args),
            ) -> Result<(), SwapError>
            where
                H1: EventHandler<Event = E, Info = I>,
                H2: EventHandler<Event = E, Info = I>,
            {
                let swap = Box::new(Swap { args: old.1.into(), new: New::of(&new.0, new.1) });
                let order = |caller| ask(Order::Swap(old.0.id(), swap, None, caller));
                self.call_timeout(order, Timeout::Infinity).await?
            }

            /// As [`swap_handler`](Self::swap_handler), and makes a process the owner of the new handler, as
            /// [`add_sup_handler`](Self::add_sup_handler) does (`gen_event:swap_sup_handler/3`).
            ///
            /// # Errors
            /// See [`SwapError`].
            ///
            /// # Cancel safety
            /// As [`swap_handler`](Self::swap_handler).
            pub async fn swap_sup_handler<H1, H2, C2, K2, M>(
                &self,
                old: (Handler<H1>, impl Into<Term>),
                new: (Handler<H2>, H2::Args),
                owner: &ServerRef<C2, K2, M>,
                message: impl Fn(HandlerExit) -> M + Send + Sync + 'static,
            ) -> Result<(), SwapError>
            where
                H1: EventHandler<Event = E, Info = I>,
                H2: EventHandler<Event = E, Info = I>,
                C2: Send + 'static,
                K2: Send + 'static,
                M: Send + 'static,
            {
                let swap = Box::new(Swap { args: old.1.into(), new: New::of(&new.0, new.1) });
                let owner = Owner::new(owner, message);
                let order = |caller| ask(Order::Swap(old.0.id(), swap, Some(owner), caller));
                self.call_timeout(order, Timeout::Infinity).await?
            }

            /// The handlers that are installed, the newest first (`gen_event:which_handlers/1`).
            ///
            /// # Errors
            /// See [`CallError`].
            ///
            /// # Cancel safety
            /// Dropping the future only stops waiting.
            pub async fn which_handlers(&self) -> Result<Vec<HandlerId>, CallError> {
                let order = |caller| ask(Order::Which(caller));
                self.call_timeout(order, Timeout::Infinity).await
            }

            /// Asks one handler and waits for its answer, at most 5 seconds (`gen_event:call/3`).
            ///
            /// # Errors
            /// See [`CallError`]: [`BadModule`](CallError::BadModule) if it is not installed,
            /// [`Handler`](CallError::Handler) if it crashed. A handler that is removed before it gives an answer that it
            /// has put off leaves its caller to the timeout.
            ///
            /// # Cancel safety
            /// Dropping the future gives up: the request may still be carried out, its answer goes nowhere.
            pub async fn call_handler<H, R, F>(&self, handler: Handler<H>, request: F) -> Result<R, CallError>
            where
                H: EventHandler<Event = E, Info = I>,
                R: Send + 'static,
                F: FnOnce(ReplyTo<R>) -> H::Call,
            {
                self.call(|caller| call(&handler, request(caller))).await
            }

            /// As [`call_handler`](Self::call_handler), and waits as long as `timeout` says (`gen_event:call/4`).
            ///
            /// # Errors
            /// As [`call_handler`](Self::call_handler).
            ///
            /// # Cancel safety
            /// As [`call_handler`](Self::call_handler).
            pub async fn call_handler_timeout<H, R, F>(
                &self,
                handler: Handler<H>,
                request: F,
                timeout: impl Into<Timeout>,
            ) -> Result<R, CallError>
            where
                H: EventHandler<Event = E, Info = I>,
                R: Send + 'static,
                F: FnOnce(ReplyTo<R>) -> H::Call,
            {
                self.call_timeout(|caller| call(&handler, request(caller)), timeout).await
            }

            /// Asks one handler, and leaves it to the returned request to be waited for (`gen_event:send_request/3`).
            pub fn send_handler_request<H, R, F>(&self, handler: Handler<H>, request: F) -> Request<R>
            where
                H: EventHandler<Event = E, Info = I>,
                R: Send + 'static,
                F: FnOnce(ReplyTo<R>) -> H::Call,
            {
                self.send_request(|caller| call(&handler, request(caller)))
            }
        }
    };
}

asked_of_an_event_manager!(ServerRef);
asked_of_an_event_manager!(Name);

fn call<H: EventHandler>(handler: &Handler<H>, request: H::Call) -> EventCall<H::Event, H::Info> {
    ask(Order::Call(handler.id(), Box::new(request)))
}

fn ask<E: Send + Sync + 'static, I: Send + Sync + 'static>(order: Order<E, I>) -> EventCall<E, I> {
    EventCall(Box::new(order))
}
