//! Versions of a server: what a server says to be changed while it runs, and what an upgrade knows of it.
//!
//! Invariants:
//! - a version is put only where processes of the module take the same messages and arguments;
//! - an incarnation is replaced only while its process is held since its state was copied;
//! - state leaves an incarnation as the bytes of its own version, and no conversion runs inside the process.

use std::any::{Any, TypeId};
use std::fmt;
use std::future::Future;
use std::marker::PhantomData;
use std::mem::discriminant;
use std::ops::RangeInclusive;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::sync::Arc;

use super::context::{EventTimeout, ServerMe};
use super::flow::Step;
use super::server::{Extras, Server};
use super::start::{Newborn, Starting};
use super::{Context, GenServer};
use crate::handoff::{self, Capsule, ChangeError, ModuleVsn, StateVersion};
use crate::process::{CodeId, Incarnation, Message, Node, Result, Shape, Successor};
use crate::term::{ExitReason, Term};

/// A message to a server of this kind.
pub type MessageOf<S> = Message<<S as GenServer>::Call, <S as GenServer>::Cast, <S as GenServer>::Info>;

/// A server that can change to another version while it runs (`code_change/3`): the opt-in of hot upgrade.
///
/// The state is data. What a former incarnation held goes when the next one is in its place: a `Drop` that does more than to
/// free memory, one that gives up a name or a place in a table, would act on a process that lives on. What is to go with
/// the process belongs into [`Start::register_with`](super::Start::register_with).
///
/// Each version is a type of its own that implements [`GenServer`] with the same messages and arguments, and
/// [`StateVersion`], which says how its state comes from the version before and goes back. A server takes part when it was
/// started with [`Start::upgradable`](super::Start::upgradable); one without needs no `Serialize`.
pub trait CodeChange: GenServer + StateVersion {
    /// What all versions of this server have in common.
    const MODULE: &'static str;

    /// Runs after a handoff, before the first message: opens again what could not be handed over, sockets and tasks.
    ///
    /// # Errors
    /// Crashes the server. The handoff stands: its supervisor starts this version anew.
    fn resumed(&mut self, why: Resumed, cx: &mut Context<Self>) -> impl Future<Output = Result<()>> + Send {
        let _ = (why, cx);
        async { Ok(()) }
    }

    /// A message that was sent while version `from` was in force, as this version understands it. `None`: it does not.
    /// Called once for each that waits when the version changes, and for an event timeout that stands, before
    /// [`resumed`](Self::resumed); for what a timer brings when it has fired, if another version has started it. What is
    /// not understood, or made a message of another kind (a cast of a call), is a dead letter, and its caller hears
    /// [`CallError::NotUnderstood`](crate::CallError).
    fn upcast(message: MessageOf<Self>, from: u32) -> Option<MessageOf<Self>> {
        let _ = from;
        Some(message)
    }
}

/// Why an incarnation goes on with the state of another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Resumed {
    /// The code was changed, up or down.
    Upgrade {
        /// The version before.
        from: u32,
    },
    /// The process was moved to this node.
    Migration,
    /// The node that had it was lost.
    Failover,
    /// It crashed, and was started with the last state that was kept.
    Restart,
    /// It had nothing to do and fell back to its state, and a message has come.
    Idle,
}

/// One version of a module: what starts it, and what changes a running process to it.
#[derive(Clone)]
pub struct Code(Arc<dyn Version>);

impl Code {
    /// The version that this type is.
    pub fn of<S: CodeChange>() -> Self {
        Code(Arc::new(Of::<S>(PhantomData)))
    }

    /// Its module and version.
    pub fn id(&self) -> ModuleVsn {
        self.0.id()
    }

    /// The versions of the state that it can take over.
    pub fn understood(&self) -> RangeInclusive<u32> {
        self.0.understood()
    }

    /// The messages and arguments that it takes: one version can stand in for another of the same shape.
    pub(crate) fn shape(&self) -> Shape {
        self.0.shape()
    }

    /// The type that it is.
    pub(super) fn kind(&self) -> fn() -> &'static str {
        self.0.kind()
    }

    /// Its number on a node.
    pub(crate) fn number(&self, node: &Node) -> CodeId {
        node.codes().id(&self.id(), self.kind())
    }

    /// What starts it; a [`Begin`] of its types.
    pub(super) fn begin(&self) -> Box<dyn Any> {
        self.0.begin()
    }

    /// This version with a state of its own or of an older version, ready to be swapped in for version `from`. A panic is
    /// an error.
    pub(crate) fn upgrade(
        &self,
        capsule: &Capsule,
        from: u32,
        extra: &Term,
    ) -> Result<Successor, ChangeError> {
        contained(|| self.0.upgrade(capsule, from, extra))
    }

    /// A state of this version as one of an older one. A panic is an error.
    pub(crate) fn downgrade(
        &self,
        capsule: &Capsule,
        to: &ModuleVsn,
        extra: &Term,
    ) -> Result<Capsule, ChangeError> {
        contained(|| self.0.downgrade(capsule, to, extra))
    }
}

impl fmt::Debug for Code {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Code({})", self.id())
    }
}

fn contained<T>(change: impl FnOnce() -> Result<T, ChangeError>) -> Result<T, ChangeError> {
    catch_unwind(AssertUnwindSafe(change))
        .unwrap_or_else(|panic| Err(ChangeError::Panicked(ExitReason::panic(&*panic).to_string())))
}

trait Version: Send + Sync {
    fn id(&self) -> ModuleVsn;
    fn understood(&self) -> RangeInclusive<u32>;
    fn shape(&self) -> Shape;
    fn kind(&self) -> fn() -> &'static str;
    fn begin(&self) -> Box<dyn Any>;
    fn upgrade(&self, capsule: &Capsule, from: u32, extra: &Term) -> Result<Successor, ChangeError>;
    fn downgrade(&self, capsule: &Capsule, to: &ModuleVsn, extra: &Term) -> Result<Capsule, ChangeError>;
}

struct Of<S>(PhantomData<fn() -> S>);

impl<S: CodeChange> Version for Of<S> {
    fn id(&self) -> ModuleVsn {
        ModuleVsn::new(S::MODULE, S::VSN)
    }

    fn understood(&self) -> RangeInclusive<u32> {
        handoff::understood::<S>()
    }

    fn shape(&self) -> Shape {
        shape_of::<S>()
    }

    fn kind(&self) -> fn() -> &'static str {
        std::any::type_name::<S>
    }

    fn begin(&self) -> Box<dyn Any> {
        let begin: BeginOf<S> = |newborn| Starting::<S>::of(newborn, Some(Hooks::OF));
        Box::new(begin)
    }

    fn upgrade(&self, capsule: &Capsule, from: u32, extra: &Term) -> Result<Successor, ChangeError> {
        let state = capsule.open::<S>(S::MODULE, extra)?;
        let install: InstallOf<S> = Box::new(move |mut carried| {
            carried.me.inbox.gather();
            let extras = carried.extras.get_or_insert_default();
            extras.former = Some(from);
            extras.resumed = Some(Resumed::Upgrade { from });
            Server::go_on(state, carried, Some(Hooks::OF))
        });
        Ok(Successor::new(install))
    }

    fn downgrade(&self, capsule: &Capsule, to: &ModuleVsn, extra: &Term) -> Result<Capsule, ChangeError> {
        let mine = capsule.open::<S>(S::MODULE, extra)?;
        let state = handoff::downgrade(mine, to.vsn(), extra)?;
        Ok(Capsule { module: to.clone(), state, ..capsule.clone() })
    }
}

/// The messages and arguments of a server, and what its behaviour keeps with the process.
pub(super) fn shape_of<S: GenServer>() -> Shape {
    Shape { messages: TypeId::of::<BeginOf<S>>(), kept: S::ENGINE.map(|engine| (engine.kept)()) }
}

/// Starts a server with these arguments and messages, whatever its type.
pub(super) type Begin<A, C, K, I> = fn(Newborn<A, C, K, I>) -> Box<dyn Incarnation>;

pub(super) type BeginOf<S> =
    Begin<<S as GenServer>::Args, <S as GenServer>::Call, <S as GenServer>::Cast, <S as GenServer>::Info>;

/// What stays when the incarnation inside a process changes.
pub(super) struct Carried<C: Send + 'static, K: Send + 'static, I: Send + 'static> {
    pub(super) me: ServerMe<C, K, I>,
    pub(super) event: Option<Box<EventTimeout<I>>>,
    pub(super) step: Step,
    pub(super) extras: Option<Box<Extras>>,
}

pub(super) type CarriedOf<S> =
    Carried<<S as GenServer>::Call, <S as GenServer>::Cast, <S as GenServer>::Info>;

/// Makes an incarnation of what stays with the process.
pub(super) type Install<C, K, I> = Box<dyn FnOnce(Carried<C, K, I>) -> Box<dyn Incarnation> + Send>;

pub(super) type InstallOf<S> =
    Install<<S as GenServer>::Call, <S as GenServer>::Cast, <S as GenServer>::Info>;

/// What a server that can be changed has besides its callbacks.
pub(super) struct Hooks<S: GenServer> {
    pub(super) module: ModuleVsn,
    pub(super) encode: fn(&S) -> Result<Term, ChangeError>,
    pub(super) resumed: for<'a> fn(&'a mut S, Resumed, &'a mut Context<S>) -> Reopening<'a>,
    pub(super) upcast: fn(MessageOf<S>, u32) -> Option<MessageOf<S>>,
}

impl<S: GenServer> Hooks<S> {
    /// A message to another version, as this one understands it: of the same kind. A panic is none.
    pub(super) fn understood(&self, message: MessageOf<S>, from: u32) -> Option<MessageOf<S>> {
        let kind = discriminant(&message);
        let understood = catch_unwind(AssertUnwindSafe(|| (self.upcast)(message, from)));
        understood.ok().flatten().filter(|message| discriminant(message) == kind)
    }
}

type Reopening<'a> = Pin<Box<dyn Future<Output = Result<()>> + Send + 'a>>;

impl<S: CodeChange> Hooks<S> {
    pub(super) const OF: &'static Self = &Hooks {
        module: ModuleVsn::new(S::MODULE, S::VSN),
        encode: |state| contained(|| handoff::encode(state)),
        resumed: |state, why, cx| Box::pin(state.resumed(why, cx)),
        upcast: S::upcast,
    };
}
