//! The event manager: a server whose state is its handlers.

use std::any::Any;
use std::pin::pin;
use std::sync::Arc;

use super::error::{AddError, DeleteError, SwapError};
use super::flow::{EventNext, Handover, Removal, Step, Swap};
use super::handler::{Handler, HandlerId};
use super::installed::{Installed, Newcomer};
use super::owner::{HandlerEnd, HandlerExit, Owner};
use super::{EventHandler, status};
use crate::gen_server::{CallReply, Context, GenServer, Init, Next, Status, StatusView, Then, noreply};
use crate::process::{Failure, Info, ReplyTo, Result, catch, drop_caught, fail, is_waiting, panic_reason};
use crate::term::{ExitReason, Never, Pid, Term};

/// The event manager: the generic half, a [`GenServer`] that tells events of type `E` to its handlers. `I` are plain
/// messages to it, which go to `handle_info` of every handler.
///
/// It is started as any server, with no arguments: `EventManager::server(())`. It traps exits. Handlers hear of events one
/// after another, the newest first.
pub struct EventManager<E: Send + Sync + 'static, I: Send + Sync + 'static = Never> {
    /// The oldest first.
    handlers: Vec<Installed<E, I>>,
}

/// What is asked of an event manager, by the methods of its reference and its name.
pub struct EventCall<E: Send + Sync + 'static, I: Send + Sync + 'static>(
    // Boxed, since an event in the mailbox has as much room as a request.
    pub(super) Box<Order<E, I>>,
);

pub(super) enum Order<E: Send + Sync + 'static, I: Send + Sync + 'static> {
    SyncNotify(E, ReplyTo<()>),
    /// A request of the handler's own type, which has the address of the caller.
    Call(HandlerId, Box<dyn Any + Send>),
    Add(Box<dyn Newcomer<E, I>>, Option<Arc<Owner>>, ReplyTo<Result<(), AddError>>),
    Delete(HandlerId, Term, ReplyTo<Result<Term, DeleteError>>),
    Swap(HandlerId, Box<Swap<E, I>>, Option<Arc<Owner>>, ReplyTo<Result<(), SwapError>>),
    Which(ReplyTo<Vec<HandlerId>>),
}

/// What all handlers are told.
enum News<'a, E, I> {
    Event(&'a E),
    Info(&'a Info<I>),
}

impl<E, I> Clone for News<'_, E, I> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<E, I> Copy for News<'_, E, I> {}

impl<E, I> News<'_, E, I> {
    fn callback(self) -> &'static str {
        match self {
            News::Event(_) => HANDLE_EVENT,
            News::Info(_) => "handle_info",
        }
    }
}

/// What came of a callback: its answer, or its panic.
type Handled<E, I> = Result<Result<EventNext<E, I>>, Box<dyn Any + Send>>;

const HANDLE_EVENT: &str = "handle_event";
const HANDLE_CALL: &str = "handle_call";
/// No callback of the handler's: it is removed from outside.
const OUTSIDE: &str = "";

impl<E: Send + Sync + 'static, I: Send + Sync + 'static> GenServer for EventManager<E, I> {
    type Args = ();
    type Call = EventCall<E, I>;
    type Cast = E;
    type Info = I;
    type Continue = Never;

    async fn init(_: (), cx: &mut Context<Self>) -> Result<Init<Self>> {
        cx.trap_exit(true);
        Ok(Init::Ready(EventManager { handlers: Vec::new() }))
    }

    async fn handle_cast(&mut self, event: E, cx: &mut Context<Self>) -> Result<Next> {
        // A callback of a handler whose type is not known is a box. One for all events that wait instead of one for each.
        if let [only] = &mut self.handlers[..] {
            let handled = catch(pin!(async { only.handler.handle_events(event, cx).await })).await;
            return match handled {
                Ok(Ok(EventNext(Step::Keep))) => noreply(),
                handled => {
                    resting(Box::pin(self.went_on(0, handled, HANDLE_EVENT, cx)).await.unwrap_or(false))
                }
            };
        }
        resting(self.tell(News::Event(&event), cx).await)
    }

    async fn handle_call(&mut self, call: EventCall<E, I>, cx: &mut Context<Self>) -> Result<CallReply> {
        match *call.0 {
            Order::SyncNotify(event, caller) => {
                let hibernates = self.tell(News::Event(&event), cx).await;
                let reply = caller.reply(());
                if hibernates { reply.hibernate() } else { reply }
            }
            Order::Call(id, call) => self.call(&id, call, cx).await,
            order => Box::pin(self.change(order, cx)).await,
        }
    }

    async fn handle_info(&mut self, info: Info<I>, cx: &mut Context<Self>) -> Result<Next> {
        if let Info::Exit(exit) = &info
            && self.owned_by(exit.from).is_some()
        {
            while let Some(at) = self.owned_by(exit.from) {
                let why = Removal::OwnerEnded(exit.reason.clone());
                // What its terminate answers goes to nobody.
                let _ = Box::pin(self.remove(at, why, HandlerEnd::Shutdown, cx)).await;
            }
            return noreply();
        }
        resting(self.tell(News::Info(&info), cx).await)
    }

    async fn terminate(&mut self, _: &ExitReason, cx: &mut Context<Self>) -> Result<()> {
        let parent = cx.core().linked_parent();
        while let Some(newest) = self.handlers.len().checked_sub(1) {
            let owner = self.handlers[newest].owner.clone();
            // What its terminate answers goes to nobody.
            let _ = self.remove(newest, Removal::Stop, HandlerEnd::Shutdown, cx).await;
            // Who owns a handler has heard of the end by that. The parent is to hear of it by its link.
            if let Some(owner) = owner.filter(|owner| Some(owner.pid()) != parent) {
                owner.unlink(cx);
            }
        }
        Ok(())
    }

    fn format_status(view: StatusView<'_, Self>) -> Status {
        let handlers = view.state.handlers.iter().rev();
        let shown: Vec<String> = handlers
            .map(|installed| format!("{}: {}", installed.id, installed.handler.format(None, None).state))
            .collect();
        view.show(format!("[{}]", shown.join(", ")))
    }
}

impl<E: Send + Sync + 'static, I: Send + Sync + 'static> EventManager<E, I> {
    /// The handlers and their states, the newest first: for [`sys::get_state`](crate::sys::get_state).
    pub fn states(&self) -> impl Iterator<Item = (&HandlerId, &dyn Any)> {
        self.handlers.iter().rev().map(|installed| (&installed.id, installed.handler.state()))
    }

    /// The state of a handler, if it is installed.
    pub fn state<H: EventHandler>(&self, handler: &Handler<H>) -> Option<&H> {
        self.handlers[self.position(&handler.id())?].handler.state().downcast_ref()
    }

    pub(super) fn states_mut<H: EventHandler>(
        &mut self,
        handler: &Handler<H>,
    ) -> impl Iterator<Item = &mut H> + use<'_, H, E, I> {
        let id = handler.id();
        let those = self.handlers.iter_mut().rev().filter(move |installed| installed.id == id);
        those.filter_map(|installed| installed.handler.state_mut().downcast_mut())
    }

    fn position(&self, id: &HandlerId) -> Option<usize> {
        self.handlers.iter().rposition(|installed| installed.id == *id)
    }

    /// The newest handler that this process owns.
    fn owned_by(&self, pid: Pid) -> Option<usize> {
        self.handlers
            .iter()
            .rposition(|installed| installed.owner.as_ref().is_some_and(|owner| owner.pid() == pid))
    }

    /// Tells all handlers, the newest first (rule 2.19.6). True: one of them wants to hibernate.
    async fn tell(&mut self, news: News<'_, E, I>, cx: &mut Context<Self>) -> bool {
        let mut hibernates = false;
        // From the end: whatever becomes of a handler, those that are still to be told keep their places.
        for at in (0..self.handlers.len()).rev() {
            let handler = &mut self.handlers[at].handler;
            let handling = async {
                match news {
                    News::Event(event) => handler.handle_event(event, cx).await,
                    News::Info(info) => handler.handle_info(info, cx).await,
                }
            };
            let handled = catch(pin!(handling)).await;
            hibernates |= match handled {
                Ok(Ok(EventNext(Step::Keep))) => false,
                handled => Box::pin(self.went_on(at, handled, news.callback(), cx)).await.unwrap_or(false),
            };
        }
        hibernates
    }

    async fn call(
        &mut self,
        id: &HandlerId,
        call: Box<dyn Any + Send>,
        cx: &mut Context<Self>,
    ) -> Result<CallReply> {
        let request = cx.inbox.in_work();
        let give_up = |failure| _ = request.map(|request| fail(request, failure));
        let mut hibernates = false;
        match self.position(id) {
            None => give_up(Failure::BadModule),
            Some(at) => {
                let handler = &mut self.handlers[at].handler;
                let handled = catch(pin!(async { handler.handle_call(call, cx).await })).await;
                match Box::pin(self.went_on(at, handled, HANDLE_CALL, cx)).await {
                    Ok(also) => hibernates = also,
                    // Nobody who was answered before hears this.
                    Err(reason) => give_up(Failure::Handler(Box::new(reason))),
                }
            }
        }
        let next: Next = resting(hibernates)?;
        // A handler may keep the address and answer later.
        Ok(CallReply { answered: request.filter(|request| !is_waiting(*request)), next })
    }

    /// A callback of a handler has ended. True: it wants to hibernate. An error: it has crashed.
    async fn went_on(
        &mut self,
        at: usize,
        handled: Handled<E, I>,
        during: &'static str,
        cx: &mut Context<Self>,
    ) -> Result<bool, ExitReason> {
        let reason = match handled {
            Ok(Ok(EventNext(Step::Keep))) => return Ok(false),
            Ok(Ok(EventNext(Step::Hibernate))) => return Ok(true),
            Ok(Ok(EventNext(Step::Remove))) => {
                let _ = self.remove(at, Removal::RemoveHandler, HandlerEnd::Normal, cx).await;
                return Ok(false);
            }
            Ok(Ok(EventNext(Step::Swap(swap)))) => return Ok(self.swap_itself(at, *swap, cx).await),
            Ok(Err(error)) => error.into_reason(),
            Err(panic) => panic_reason(panic),
        };
        let why = Removal::Error(reason.clone());
        let end = HandlerEnd::Error(reason.clone());
        let gone = self.handlers.remove(at);
        let _ = farewell(gone, why, end, during, cx).await;
        Err(reason)
    }

    /// A handler has asked to be swapped: the new one stands in its place. True: that wants to hibernate.
    async fn swap_itself(&mut self, at: usize, swap: Swap<E, I>, cx: &mut Context<Self>) -> bool {
        let owner = self.handlers[at].owner.clone();
        let id = swap.new.id().clone();
        match self.swap(at, at, swap, owner.clone(), cx).await {
            Ok(hibernates) => hibernates,
            // Nobody waits for this, so it is reported, and the owner hears of the new one as it did of the old.
            Err(reason) => {
                status::report(&id, None, &reason, "init", cx);
                if let Some(owner) = owner {
                    let reason = HandlerEnd::Error(reason);
                    owner.tell(HandlerExit { manager: cx.pid(), handler: id, reason });
                }
                false
            }
        }
    }

    /// Carries out what is asked of the manager itself.
    async fn change(&mut self, order: Order<E, I>, cx: &mut Context<Self>) -> Result<CallReply> {
        let newest = self.handlers.len();
        let mut hibernates = false;
        let mut installed = |result: Result<bool, ExitReason>| result.map(|also| hibernates = also);
        let reply = match order {
            Order::Add(new, owner, caller) => {
                if let Some(owner) = &owner {
                    owner.link(cx);
                }
                let added = self.install(newest, new, Handover::Added, owner, cx).await;
                caller.reply(installed(added).map_err(AddError::Failed))
            }
            Order::Delete(id, args, caller) => caller.reply(match self.position(&id) {
                None => Err(DeleteError::ModuleNotFound),
                Some(at) => {
                    let left = self.remove(at, Removal::Delete(args), HandlerEnd::Normal, cx).await;
                    left.map_err(DeleteError::Crashed)
                }
            }),
            Order::Swap(old, swap, owner, caller) => {
                if let Some(owner) = &owner {
                    owner.link(cx);
                }
                let swapped = match self.position(&old) {
                    None => self.install(newest, swap.new, Handover::Missing, owner, cx).await,
                    Some(at) => {
                        let owner = owner.or_else(|| self.handlers[at].owner.clone());
                        self.swap(at, newest - 1, *swap, owner, cx).await
                    }
                };
                caller.reply(installed(swapped).map_err(SwapError::Failed))
            }
            Order::Which(caller) => {
                caller.reply(self.handlers.iter().rev().map(|installed| installed.id.clone()).collect())
            }
            // Served before.
            Order::SyncNotify(_, caller) => caller.reply(()),
            Order::Call(..) => noreply(),
        };
        if hibernates { reply.hibernate() } else { reply }
    }

    /// Has one take the place of another, with what that leaves (rule 2.19.8). If its `init` fails, neither is installed.
    async fn swap(
        &mut self,
        at: usize,
        place: usize,
        swap: Swap<E, I>,
        owner: Option<Arc<Owner>>,
        cx: &mut Context<Self>,
    ) -> Result<bool, ExitReason> {
        let end =
            HandlerEnd::Swapped { by: swap.new.id().clone(), owner: owner.as_ref().map(|owner| owner.pid()) };
        let left = self.remove(at, Removal::Swap(swap.args), end, cx).await;
        let handover = left.map_or_else(Handover::Crashed, Handover::Left);
        self.install(place, swap.new, handover, owner, cx).await
    }

    /// Runs `init` of a new handler. True: it wants to hibernate.
    async fn install(
        &mut self,
        place: usize,
        new: Box<dyn Newcomer<E, I>>,
        handover: Handover,
        owner: Option<Arc<Owner>>,
        cx: &mut Context<Self>,
    ) -> Result<bool, ExitReason> {
        let id = new.id().clone();
        let (handler, hibernates) = new.init(handover, cx).await?;
        self.handlers.insert(place, Installed { id, handler, owner });
        Ok(hibernates)
    }

    async fn remove(
        &mut self,
        at: usize,
        why: Removal,
        end: HandlerEnd,
        cx: &mut Context<Self>,
    ) -> Result<Term, ExitReason> {
        let gone = self.handlers.remove(at);
        farewell(gone, why, end, OUTSIDE, cx).await
    }
}

/// Ends a handler: it cleans up, what went wrong is reported, its owner is told. Answers what it leaves.
async fn farewell<E: Send + Sync + 'static, I: Send + Sync + 'static>(
    gone: Installed<E, I>,
    why: Removal,
    end: HandlerEnd,
    during: &'static str,
    cx: &mut Context<EventManager<E, I>>,
) -> Result<Term, ExitReason> {
    let Installed { id, mut handler, owner } = gone;
    let left = match catch(pin!(async { handler.terminate(&why, cx).await })).await {
        Ok(left) => left.map_err(crate::process::Error::into_reason),
        Err(panic) => Err(panic_reason(panic)),
    };
    if let Some(reason) = end.error() {
        status::report(&id, Some(&*handler), reason, during, cx);
    }
    if let Some(owner) = owner {
        owner.tell(HandlerExit { manager: cx.pid(), handler: id, reason: end });
    }
    drop_caught(handler);
    left
}

fn resting(hibernates: bool) -> Result<Next> {
    if hibernates { noreply().hibernate() } else { noreply() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::process::Message;

    #[test]
    fn an_event_takes_no_more_room_than_a_cast() {
        assert_eq!(size_of::<Message<EventCall<u64, Never>, u64, Never>>(), 16);
    }
}
