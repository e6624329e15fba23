//! gen_event: a process that tells events to handlers, which come and go while it runs.
//!
//! An event manager is a [`GenServer`](crate::GenServer) of its own kind, [`EventManager`]: it is started, named,
//! supervised, suspended and looked at as any other. What it does with an event is up to its handlers. Each is a type that
//! implements [`EventHandler`], and a manager can have many, of different types, or several of one type under different
//! ids. Callbacks, their order and their returns are OTP's.
//!
//! ```
//! use incarnate::gen_event::{
//!     EventHandler, EventManager, EventManagerName, Handler, HandlerContext, HandlerInit, HandlerNext, Handover, keep,
//! };
//! use incarnate::{GenServer, Never, Node, ReplyTo, Result};
//!
//! struct Failed(&'static str);
//! const ERRORS: EventManagerName<Failed> = EventManagerName::new("errors");
//!
//! struct Count(u32);
//! enum CountCall { Get(ReplyTo<u32>) }
//! const COUNT: Handler<Count> = Handler::new();
//!
//! impl EventHandler for Count {
//!     type Event = Failed;
//!     type Info = Never;
//!     type Args = ();
//!     type Call = CountCall;
//!
//!     async fn init(_: (), _: Handover, _: &mut HandlerContext<Self>) -> Result<HandlerInit<Self>> {
//!         Ok(HandlerInit::Ready(Count(0)))
//!     }
//!     async fn handle_event(&mut self, _: &Failed, _: &mut HandlerContext<Self>) -> Result<HandlerNext<Self>> {
//!         self.0 += 1;
//!         keep()
//!     }
//!     async fn handle_call(&mut self, call: CountCall, _: &mut HandlerContext<Self>) -> Result<HandlerNext<Self>> {
//!         match call { CountCall::Get(caller) => caller.send(self.0) };
//!         keep()
//!     }
//! }
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let node = Node::new("example");
//! let errors = EventManager::server(()).name(ERRORS).on(&node).start().await?;
//! errors.add_handler(COUNT, ()).await?;
//! errors.notify(Failed("disk"));
//! assert_eq!(errors.call_handler(COUNT, CountCall::Get).await?, 1);
//! # Ok(())
//! # }
//! ```

mod door;
mod error;
mod flow;
mod handler;
mod installed;
mod manager;
mod owner;
mod state;
mod status;

use std::future::Future;

pub use door::{EventManagerName, EventManagerRef};
pub use error::{AddError, DeleteError, SwapError};
pub use flow::{
    EventNext, HandlerInit, HandlerNext, Handover, Removal, hibernate, keep, remove_handler, swap_handler,
};
pub use handler::{Handler, HandlerId};
pub use manager::{EventCall, EventManager};
pub use owner::{HandlerEnd, HandlerExit};
pub use state::{get_state, replace_state};
pub use status::HandlerView;

use crate::gen_server::{Context, Status};
use crate::process::{Error, Info, Result};
use crate::term::Term;

/// What a handler's callback is given: what a server's callback is, in the manager's process. What is sent or started here
/// is the manager's: a message or a timer comes to `handle_info` of every handler.
pub type HandlerContext<H> = Context<EventManager<<H as EventHandler>::Event, <H as EventHandler>::Info>>;

/// The specific half of an event handler: its state is the implementing type, its behaviour these callbacks.
///
/// All of them run in the process of the manager, one at a time, and it waits for each. A callback that returns an error,
/// or panics, removes its handler and harms neither the manager nor another handler: `?` is "let it crash".
///
/// What OTP finds out at run time, a missing `init` or `handle_event` and a return that is none (rows GE-009, GE-013,
/// GE-022 and GE-024 of its suite), does not compile:
///
/// ```compile_fail,E0046
/// use incarnate::{Never, gen_event::EventHandler};
///
/// struct Empty;
///
/// impl EventHandler for Empty {
///     type Event = ();
///     type Info = Never;
///     type Args = ();
///     type Call = Never;
/// }
/// ```
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not a handler of events",
    note = "implement `EventHandler` for it: the types Event, Info, Args, Call and the callbacks init and handle_event"
)]
pub trait EventHandler: Sized + Send + 'static {
    /// What its manager tells. `Sync`, since all handlers look at the same event.
    type Event: Send + Sync + 'static;
    /// Plain messages to the manager, and timers.
    type Info: Send + Sync + 'static;
    /// What `init` is given.
    type Args: Send + 'static;
    /// Requests to this handler; each carries its [`ReplyTo`](crate::ReplyTo).
    type Call: Send + 'static;

    /// Builds the state when the handler is added, or swapped in for another, which then left something (`init/1`).
    ///
    /// # Errors
    /// The handler is not installed, and whoever asked for it is told. [`terminate`](Self::terminate) is not called.
    fn init(
        args: Self::Args,
        handover: Handover,
        cx: &mut HandlerContext<Self>,
    ) -> impl Future<Output = Result<HandlerInit<Self>>> + Send;

    /// Looks at an event (`handle_event/2`).
    ///
    /// # Errors
    /// Removes the handler.
    fn handle_event(
        &mut self,
        event: &Self::Event,
        cx: &mut HandlerContext<Self>,
    ) -> impl Future<Output = Result<HandlerNext<Self>>> + Send;

    /// Serves a request to this handler (`handle_call/2`). It answers by [`ReplyTo::send`](crate::ReplyTo::send), now or
    /// later.
    ///
    /// # Errors
    /// Removes the handler; a caller that was not answered is told the reason by
    /// [`CallError::Handler`](crate::CallError::Handler).
    fn handle_call(
        &mut self,
        call: Self::Call,
        cx: &mut HandlerContext<Self>,
    ) -> impl Future<Output = Result<HandlerNext<Self>>> + Send {
        let _ = (call, cx);
        async { Err(Error::msg(format!("undef: {} has no handle_call", std::any::type_name::<Self>()))) }
    }

    /// Takes everything else that comes to the manager (`handle_info/2`): plain messages, timers, DOWN, and exits of
    /// processes that own no handler.
    ///
    /// Without it such a message is traced as unhandled and dropped.
    ///
    /// # Errors
    /// Removes the handler.
    fn handle_info(
        &mut self,
        info: &Info<Self::Info>,
        cx: &mut HandlerContext<Self>,
    ) -> impl Future<Output = Result<HandlerNext<Self>>> + Send {
        status::unhandled::<Self>(info, cx);
        async { keep() }
    }

    /// Cleans up when the handler is removed, for whatever reason (`terminate/2`); not when the manager is killed. What it
    /// answers goes to who deleted the handler, or to the `init` of its successor.
    ///
    /// After a panic the state is as the panic left it.
    ///
    /// # Errors
    /// The handler is removed all the same; who deleted it, or its successor, is told the error.
    fn terminate(
        &mut self,
        why: &Removal,
        cx: &mut HandlerContext<Self>,
    ) -> impl Future<Output = Result<Term>> + Send {
        let _ = (why, cx);
        async { Ok(Term::from("ok")) }
    }

    /// How the handler shows itself in a status of the manager and in the report of its crash (`format_status/1`). By
    /// default it shows the name of its type and nothing of its state.
    fn format_status(view: HandlerView<'_, Self>) -> Status {
        view.into()
    }
}
