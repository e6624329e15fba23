//! A handler in its manager, whatever its type.

use std::any::Any;
use std::future::Future;
use std::marker::PhantomData;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::{Pin, pin};
use std::sync::Arc;

use super::flow::{EventNext, HandlerInit, Handover, Removal, Step};
use super::handler::{Handler, HandlerId};
use super::owner::Owner;
use super::status::HandlerView;
use super::{EventHandler, EventManager, HandlerContext};
use crate::gen_server::{Context, Status};
use crate::process::{Error, Info, Result, catch, panic_reason};
use crate::term::{ExitReason, Term};

pub(super) type BoxFuture<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// A handler, its identity, and its owner if it has one.
pub(super) struct Installed<E: Send + Sync + 'static, I: Send + Sync + 'static> {
    pub(super) id: HandlerId,
    pub(super) handler: Box<dyn Behaviour<E, I>>,
    pub(super) owner: Option<Arc<Owner>>,
}

/// The callbacks of a handler whose type is not known.
pub(super) trait Behaviour<E: Send + Sync + 'static, I: Send + Sync + 'static>: Send {
    fn handle_event<'a>(
        &'a mut self,
        event: &'a E,
        cx: &'a mut Context<EventManager<E, I>>,
    ) -> BoxFuture<'a, Result<EventNext<E, I>>>;
    /// As `handle_event`, for a handler that is alone: with all events that wait, as long as it just stays.
    fn handle_events<'a>(
        &'a mut self,
        event: E,
        cx: &'a mut Context<EventManager<E, I>>,
    ) -> BoxFuture<'a, Result<EventNext<E, I>>>;
    fn handle_info<'a>(
        &'a mut self,
        info: &'a Info<I>,
        cx: &'a mut Context<EventManager<E, I>>,
    ) -> BoxFuture<'a, Result<EventNext<E, I>>>;
    /// `call` is of the handler's own type.
    fn handle_call<'a>(
        &'a mut self,
        call: Box<dyn Any + Send>,
        cx: &'a mut Context<EventManager<E, I>>,
    ) -> BoxFuture<'a, Result<EventNext<E, I>>>;
    fn terminate<'a>(
        &'a mut self,
        why: &'a Removal,
        cx: &'a mut Context<EventManager<E, I>>,
    ) -> BoxFuture<'a, Result<Term>>;
    /// A formatter that panics shows nothing (rule 2.18.2).
    fn format(&self, reason: Option<&ExitReason>, message: Option<&'static str>) -> Status;
    fn state(&self) -> &dyn Any;
    fn state_mut(&mut self) -> &mut dyn Any;
}

struct Own<H>(H);

impl<H: EventHandler> Behaviour<H::Event, H::Info> for Own<H> {
    fn handle_event<'a>(
        &'a mut self,
        event: &'a H::Event,
        cx: &'a mut HandlerContext<H>,
    ) -> BoxFuture<'a, Result<EventNext<H::Event, H::Info>>> {
        Box::pin(self.0.handle_event(event, cx))
    }

    fn handle_events<'a>(
        &'a mut self,
        mut event: H::Event,
        cx: &'a mut HandlerContext<H>,
    ) -> BoxFuture<'a, Result<EventNext<H::Event, H::Info>>> {
        Box::pin(async move {
            loop {
                let next = self.0.handle_event(&event, cx).await?;
                if !matches!(next, EventNext(Step::Keep)) {
                    return Ok(next);
                }
                match cx.next_cast() {
                    Some(another) => event = another,
                    None => return Ok(next),
                }
            }
        })
    }

    fn handle_info<'a>(
        &'a mut self,
        info: &'a Info<H::Info>,
        cx: &'a mut HandlerContext<H>,
    ) -> BoxFuture<'a, Result<EventNext<H::Event, H::Info>>> {
        Box::pin(self.0.handle_info(info, cx))
    }

    fn handle_call<'a>(
        &'a mut self,
        call: Box<dyn Any + Send>,
        cx: &'a mut HandlerContext<H>,
    ) -> BoxFuture<'a, Result<EventNext<H::Event, H::Info>>> {
        match call.downcast::<H::Call>() {
            Ok(call) => Box::pin(self.0.handle_call(*call, cx)),
            Err(_) => Box::pin(async { Err(Error::msg("a request for another handler")) }),
        }
    }

    fn terminate<'a>(
        &'a mut self,
        why: &'a Removal,
        cx: &'a mut HandlerContext<H>,
    ) -> BoxFuture<'a, Result<Term>> {
        Box::pin(self.0.terminate(why, cx))
    }

    fn format(&self, reason: Option<&ExitReason>, message: Option<&'static str>) -> Status {
        let view = HandlerView { state: &self.0, reason, message };
        let fallback = view.unshown();
        catch_unwind(AssertUnwindSafe(|| H::format_status(view))).unwrap_or(fallback)
    }

    fn state(&self) -> &dyn Any {
        &self.0
    }

    fn state_mut(&mut self) -> &mut dyn Any {
        &mut self.0
    }
}

/// A handler after its `init`, and whether the manager is to hibernate.
pub(super) type Begun<E, I> = (Box<dyn Behaviour<E, I>>, bool);

/// A handler that is to be installed, whatever its type.
pub(super) trait Newcomer<E: Send + Sync + 'static, I: Send + Sync + 'static>: Send {
    fn id(&self) -> &HandlerId;
    /// Runs `init`; a panic is an error.
    fn init<'a>(
        self: Box<Self>,
        handover: Handover,
        cx: &'a mut Context<EventManager<E, I>>,
    ) -> BoxFuture<'a, Result<Begun<E, I>, ExitReason>>;
}

/// A handler of type `H` before its `init`.
pub(super) struct New<H: EventHandler> {
    id: HandlerId,
    args: H::Args,
    of: PhantomData<fn() -> H>,
}

impl<H: EventHandler> New<H> {
    pub(super) fn of(handler: &Handler<H>, args: H::Args) -> Box<dyn Newcomer<H::Event, H::Info>> {
        Box::new(New::<H> { id: handler.id(), args, of: PhantomData })
    }
}

impl<H: EventHandler> Newcomer<H::Event, H::Info> for New<H> {
    fn id(&self) -> &HandlerId {
        &self.id
    }

    fn init<'a>(
        self: Box<Self>,
        handover: Handover,
        cx: &'a mut HandlerContext<H>,
    ) -> BoxFuture<'a, Result<Begun<H::Event, H::Info>, ExitReason>> {
        Box::pin(async move {
            let args = self.args;
            match catch(pin!(async { H::init(args, handover, cx).await })).await {
                Ok(Ok(HandlerInit::Ready(state))) => Ok((Box::new(Own(state)) as _, false)),
                Ok(Ok(HandlerInit::Hibernate(state))) => Ok((Box::new(Own(state)) as _, true)),
                Ok(Err(error)) => Err(error.into_reason()),
                Err(panic) => Err(panic_reason(panic)),
            }
        })
    }
}
