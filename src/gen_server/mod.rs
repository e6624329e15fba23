//! gen_server: a process that keeps a state and serves requests, one at a time.
//!
//! The generic half is here, the specific half is an implementation of [`GenServer`]. Callbacks, their order and
//! their returns are OTP's.
//!
//! ```
//! use incarnate::{CallReply, Context, GenServer, Init, Name, Never, Next, Node, ReplyTo, Result, noreply};
//!
//! enum Call { Get(ReplyTo<i64>) }
//! enum Cast { Add(i64) }
//! const COUNTER: Name<Call, Cast> = Name::new("counter");
//!
//! struct Counter(i64);
//!
//! impl GenServer for Counter {
//!     type Args = i64;
//!     type Call = Call;
//!     type Cast = Cast;
//!     type Info = Never;
//!     type Continue = Never;
//!
//!     async fn init(start: i64, _: &mut Context<Self>) -> Result<Init<Self>> {
//!         Ok(Init::Ready(Counter(start)))
//!     }
//!     async fn handle_call(&mut self, call: Call, _: &mut Context<Self>) -> Result<CallReply> {
//!         match call { Call::Get(caller) => caller.reply(self.0) }
//!     }
//!     async fn handle_cast(&mut self, cast: Cast, _: &mut Context<Self>) -> Result<Next> {
//!         match cast { Cast::Add(n) => self.0 += n }
//!         noreply()
//!     }
//! }
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let node = Node::new("example");
//! let counter = Counter::server(40).name(COUNTER).on(&node).start().await?;
//! counter.cast(Cast::Add(2));
//! assert_eq!(counter.call(Call::Get).await?, 42);
//! # Ok(())
//! # }
//! ```

mod code;
mod context;
mod engine;
mod flow;
mod server;
mod source;
mod start;
mod status;

use std::future::Future;

pub use code::{Code, CodeChange, MessageOf, Resumed};
pub use context::{Context, ServerMe};
#[doc(hidden)]
pub use engine::Engine;
pub use flow::{CallReply, Init, Next, Then, noreply, stop};
pub use source::{Chunks, Source, SourceRef, Sourced, chunks};
pub(crate) use start::Tie;
pub use start::{Start, StartError};
pub use status::{Status, StatusView};

pub(crate) use engine::{Kept, Upcast};
pub(crate) use flow::Step;

use crate::process::{Info, Result};
use crate::term::ExitReason;

/// The specific half of a server: its state is the implementing type, its behaviour these callbacks.
///
/// A callback that returns an error, or panics, crashes the server: `?` is "let it crash". Each callback runs to its
/// end before the next message is taken; an exit signal that is not trapped ends the process at the callback's next
/// await. `Call`, `Cast` and `Info` are closed enums, the unit of versioning; [`Never`](crate::Never) says that there
/// is no such message.
///
/// What OTP finds out at run time, a missing `init` or `handle_call` and a return that is none (rows GS-031, GS-038,
/// GS-099 and GS-103 of its suite), does not compile:
///
/// ```compile_fail,E0046
/// use incarnate::{GenServer, Never};
///
/// struct Empty;
///
/// impl GenServer for Empty {
///     type Args = ();
///     type Call = Never;
///     type Cast = Never;
///     type Info = Never;
///     type Continue = Never;
/// }
/// ```
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not a gen_server",
    note = "implement `GenServer` for it: the types Args, Call, Cast, Info, Continue and the callbacks init and handle_call"
)]
pub trait GenServer: Sized + Send + 'static {
    /// What `init` is given.
    type Args: Send + 'static;
    /// Requests with an answer; each carries its [`ReplyTo`](crate::ReplyTo).
    type Call: Send + 'static;
    /// Requests without one.
    type Cast: Send + 'static;
    /// Plain messages and timers.
    type Info: Send + 'static;
    /// What `handle_continue` is given.
    type Continue: Send + 'static;

    /// Only the behaviours of this crate that are built on gen_server have one.
    #[doc(hidden)]
    const ENGINE: Option<Engine<Self>> = None;

    /// Builds the state (`init/1`). `start` returns when it has.
    ///
    /// # Errors
    /// An error is a failed start: no process and no name is left, and [`terminate`](Self::terminate) is not called.
    fn init(args: Self::Args, cx: &mut Context<Self>) -> impl Future<Output = Result<Init<Self>>> + Send;

    /// Serves a request (`handle_call/3`). The answer may be put off: keep the [`ReplyTo`](crate::ReplyTo).
    ///
    /// # Errors
    /// Crashes the server; the caller is told the reason.
    fn handle_call(
        &mut self,
        call: Self::Call,
        cx: &mut Context<Self>,
    ) -> impl Future<Output = Result<CallReply>> + Send;

    /// Serves a cast (`handle_cast/2`).
    ///
    /// # Errors
    /// Crashes the server.
    fn handle_cast(
        &mut self,
        cast: Self::Cast,
        cx: &mut Context<Self>,
    ) -> impl Future<Output = Result<Next>> + Send {
        let _ = cast;
        let missing = cx.undefined("handle_cast");
        async move { Err(missing) }
    }

    /// Takes everything else (`handle_info/2`): trapped exits, DOWN, timeouts, timers, plain messages.
    ///
    /// Without it such a message is traced as unhandled and dropped.
    ///
    /// # Errors
    /// Crashes the server.
    fn handle_info(
        &mut self,
        info: Info<Self::Info>,
        cx: &mut Context<Self>,
    ) -> impl Future<Output = Result<Next>> + Send {
        cx.unhandled(&info);
        async { noreply() }
    }

    /// Runs at once after the callback that asked for it by [`Context::continue_with`], before any message
    /// (`handle_continue/2`).
    ///
    /// # Errors
    /// Crashes the server.
    fn handle_continue(
        &mut self,
        continuation: Self::Continue,
        cx: &mut Context<Self>,
    ) -> impl Future<Output = Result<Next>> + Send {
        let _ = continuation;
        let missing = cx.undefined("handle_continue");
        async move { Err(missing) }
    }

    /// Cleans up (`terminate/2`): after a stop, after a crash, and when the parent ends a server that traps exits.
    /// Never after a kill, an untrapped exit signal or a failed `init`.
    ///
    /// After a panic the state is as the panic left it.
    ///
    /// # Errors
    /// The process then ends with this error and not with `reason`.
    fn terminate(
        &mut self,
        reason: &ExitReason,
        cx: &mut Context<Self>,
    ) -> impl Future<Output = Result<()>> + Send {
        let _ = (reason, cx);
        async { Ok(()) }
    }

    /// How the server shows itself in a status and in a crash report (`format_status/1`). By default it shows the
    /// name of its type and nothing of its state.
    fn format_status(view: StatusView<'_, Self>) -> Status {
        view.into()
    }

    /// Prepares a start: set options on it, then start it.
    fn server(args: Self::Args) -> Start<Self> {
        Start::new(args)
    }

    /// Starts a server that is linked to the process whose code asks (`gen_server:start_link/3`).
    ///
    /// # Errors
    /// See [`StartError`].
    fn start_link(args: Self::Args) -> impl Future<Output = Result<ServerRefOf<Self>, StartError>> + Send {
        Self::server(args).start_link()
    }

    /// Starts a server that nobody is linked to (`gen_server:start/3`), on the node of the process whose code asks.
    ///
    /// # Errors
    /// See [`StartError`].
    fn start(args: Self::Args) -> impl Future<Output = Result<ServerRefOf<Self>, StartError>> + Send {
        Self::server(args).start()
    }
}

/// A reference to a server of this kind.
pub type ServerRefOf<S> =
    crate::process::ServerRef<<S as GenServer>::Call, <S as GenServer>::Cast, <S as GenServer>::Info>;

/// An address of a server of this kind that can be taken back.
pub type AliasOf<S> =
    crate::process::Alias<<S as GenServer>::Info, <S as GenServer>::Call, <S as GenServer>::Cast>;
