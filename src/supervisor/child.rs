//! Children: what a start function answers, and the specification that it belongs to.

use std::any::Any;
use std::fmt;
use std::future::Future;
use std::marker::PhantomData;
use std::pin::Pin;
use std::sync::Arc;

use incarnate_supervisors::{ChildId, ChildSpec as Spec, Restart, Shutdown};

use super::LiveTree;
use crate::gen_server::StartError;
use crate::process::{Node, ServerRef};
use crate::term::Pid;

pub(super) type BoxFuture<T> = Pin<Box<dyn Future<Output = T> + Send>>;

/// Asks a process that is a supervisor of a known kind for its tree; `None` if it is none.
#[doc(hidden)]
pub type Subtree = fn(&Node, Pid) -> Option<BoxFuture<Option<LiveTree>>>;

/// What a start function answers: the process that it started, with anything else that the caller of start_child is to
/// get (OTP's `{ok, Pid}` and `{ok, Pid, Info}`).
pub trait Child: Send + 'static {
    /// How the tree below this child is asked for, if it is a supervisor of ours.
    #[doc(hidden)]
    const SUBTREE: Option<Subtree> = None;

    /// The process.
    fn pid(&self) -> Pid;
}

impl Child for Pid {
    fn pid(&self) -> Pid {
        *self
    }
}

impl<Call, Cast, Info> Child for ServerRef<Call, Cast, Info>
where
    Call: Send + 'static,
    Cast: Send + 'static,
    Info: Send + 'static,
{
    fn pid(&self) -> Pid {
        ServerRef::pid(self)
    }
}

/// A child with something besides.
impl<C: Child, T: Send + 'static> Child for (C, T) {
    const SUBTREE: Option<Subtree> = C::SUBTREE;

    fn pid(&self) -> Pid {
        self.0.pid()
    }
}

/// A child that is up.
pub struct Up<V> {
    pub(super) pid: Pid,
    /// What the start function answered, if somebody wants it.
    pub(super) value: Option<V>,
    pub(super) subtree: Option<Subtree>,
}

/// A start function of a static child, whatever it answers.
pub(super) trait Starter: Send + Sync {
    fn start(&self, wanted: bool) -> BoxFuture<Result<Up<Box<dyn Any + Send>>, StartError>>;
}

impl<F, Fut, R, E> Starter for F
where
    F: Fn() -> Fut + Send + Sync,
    Fut: Future<Output = Result<R, E>> + Send + 'static,
    R: Child,
    E: Into<StartError>,
{
    fn start(&self, wanted: bool) -> BoxFuture<Result<Up<Box<dyn Any + Send>>, StartError>> {
        let starting = self();
        Box::pin(async move {
            let child = starting.await.map_err(Into::into)?;
            let pid = child.pid();
            // Only a caller of start_child or restart_child reads it: a restart allocates nothing for it.
            let value = wanted.then(|| Box::new(child) as Box<dyn Any + Send>);
            Ok(Up { pid, value, subtree: R::SUBTREE })
        })
    }
}

/// A child in a list of children: its specification without the type of what its start function answers.
#[derive(Clone)]
pub struct Member {
    pub(super) spec: Spec,
    pub(super) start: Arc<dyn Starter>,
    /// The tree below it, if it was built from one.
    pub(super) shape: Option<Arc<LiveTree>>,
}

impl Member {
    pub(crate) fn id(&self) -> &ChildId {
        self.spec.id()
    }
}

impl PartialEq for Member {
    fn eq(&self, other: &Self) -> bool {
        self.spec == other.spec && self.shape == other.shape
    }
}

/// A child specification with its start function (OTP's `child_spec()`), for a child that answers an `R` when it is
/// started.
///
/// The start function is called anew for each start and restart, in the process of the supervisor, and links to it:
/// `start_link`. Defaults are OTP's: permanent, 5 s to shut down for a worker and no limit for a supervisor, not
/// significant.
///
/// ```
/// use incarnate::supervisor::{ChildSpec, Restart, Shutdown, Supervisor};
/// use incarnate::{Me, StartError};
///
/// let beat = ChildSpec::worker("beat", || async {
///     let me = Me::current().ok_or(StartError::NoParent)?;
///     Ok::<_, StartError>(me.spawn_link(|mut beat: incarnate::Process<()>| async move {
///         beat.receive().await;
///     }))
/// });
/// let tree = Supervisor::tree("heart").child(beat.restart(Restart::Transient).shutdown(Shutdown::BrutalKill));
/// assert_eq!(tree.to_string(), "heart supervisor one_for_one\n  beat worker transient\n");
/// ```
pub struct ChildSpec<R> {
    member: Member,
    answer: PhantomData<fn() -> R>,
}

impl<R: Child> ChildSpec<R> {
    /// A permanent worker that has 5 s to shut down.
    pub fn worker<F, Fut, E>(id: impl Into<ChildId>, start: F) -> Self
    where
        F: Fn() -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Result<R, E>> + Send + 'static,
        E: Into<StartError> + 'static,
    {
        Self::of(Spec::worker(id), Arc::new(start), None)
    }

    /// A permanent supervisor that has all the time that it needs to shut down.
    ///
    /// A tree is a child as it is; this is for one that is built anew at each start.
    pub fn supervisor<F, Fut, E>(id: impl Into<ChildId>, start: F) -> Self
    where
        F: Fn() -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Result<R, E>> + Send + 'static,
        E: Into<StartError> + 'static,
    {
        Self::of(Spec::supervisor(id), Arc::new(start), None)
    }

    pub(super) fn of(spec: Spec, start: Arc<dyn Starter>, shape: Option<LiveTree>) -> Self {
        ChildSpec { member: Member { spec, start, shape: shape.map(Arc::new) }, answer: PhantomData }
    }

    fn with(mut self, change: impl FnOnce(Spec) -> Spec) -> Self {
        self.member.spec = change(self.member.spec);
        self
    }

    /// When the child is started again; permanent by default.
    #[must_use]
    pub fn restart(self, restart: Restart) -> Self {
        self.with(|spec| spec.with_restart(restart))
    }

    /// How the child is told to end; 5 s by default, no limit for a supervisor.
    #[must_use]
    pub fn shutdown(self, shutdown: Shutdown) -> Self {
        self.with(|spec| spec.with_shutdown(shutdown))
    }

    /// Whether the child counts for [`AutoShutdown`](super::AutoShutdown); it does not by default.
    #[must_use]
    pub fn significant(self, significant: bool) -> Self {
        self.with(|spec| spec.with_significant(significant))
    }

    /// Names the code that the child runs, for upgrades and for the eye; none by default.
    #[must_use]
    pub fn modules<M: Into<Arc<str>>>(self, modules: impl IntoIterator<Item = M>) -> Self {
        self.with(|spec| spec.with_modules(modules))
    }

    /// The specification without the start function.
    pub fn specification(&self) -> &Spec {
        &self.member.spec
    }

    pub(super) fn into_member(self) -> Member {
        self.member
    }
}

impl<R> From<ChildSpec<R>> for Member {
    fn from(child: ChildSpec<R>) -> Self {
        child.member
    }
}

impl<R> Clone for ChildSpec<R> {
    fn clone(&self) -> Self {
        ChildSpec { member: self.member.clone(), answer: PhantomData }
    }
}

/// Equal but for the start functions, which cannot be compared.
impl<R> PartialEq for ChildSpec<R> {
    fn eq(&self, other: &Self) -> bool {
        self.member == other.member
    }
}

impl<R> fmt::Debug for ChildSpec<R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.member.spec, f)
    }
}
