//! Child specifications: what a supervisor knows of a child before it runs.

use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::fmt;
use core::time::Duration;

/// The id of a child within its supervisor; OTP's `child_id()`.
///
/// Cheap to clone. OTP takes any term; here an id is text, so that it can be printed, ordered and sent.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ChildId(Arc<str>);

impl ChildId {
    /// The id as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl From<&str> for ChildId {
    fn from(id: &str) -> Self {
        Self(id.into())
    }
}

impl From<String> for ChildId {
    fn from(id: String) -> Self {
        Self(id.into())
    }
}

impl fmt::Display for ChildId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for ChildId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&*self.0, f)
    }
}

/// When a child that ended is started again; OTP's `restart()`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Restart {
    /// Always, whatever it ended with.
    #[default]
    Permanent,
    /// Only if it ended with something else than normal, shutdown or `{shutdown, _}`.
    Transient,
    /// Never; its specification goes with it.
    Temporary,
}

impl fmt::Display for Restart {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Permanent => "permanent",
            Self::Transient => "transient",
            Self::Temporary => "temporary",
        })
    }
}

/// How a child is told to end; OTP's `shutdown()`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Shutdown {
    /// Killed at once, without a word.
    BrutalKill,
    /// Told `shutdown`, and killed when this much time has passed. Zero is legal.
    Timeout(Duration),
    /// Told `shutdown`, and waited for without limit. Legal for workers too.
    Infinity,
}

impl From<Duration> for Shutdown {
    fn from(time: Duration) -> Self {
        Self::Timeout(time)
    }
}

/// What a child is; OTP's `worker()`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum ChildType {
    /// A process that works.
    #[default]
    Worker,
    /// A process that supervises others.
    Supervisor,
}

impl fmt::Display for ChildType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Worker => "worker",
            Self::Supervisor => "supervisor",
        })
    }
}

/// A child specification without its start function; OTP's `child_spec()`.
///
/// The start function stays with the driver, under the [`Key`](crate::Key) that the machine gives to the
/// child.
///
/// ```
/// use incarnate_supervisors::{ChildSpec, Restart, Shutdown};
/// use std::time::Duration;
///
/// let spec = ChildSpec::worker("cache").with_restart(Restart::Transient);
/// assert_eq!(spec.shutdown(), Shutdown::Timeout(Duration::from_secs(5)));
/// assert_eq!(ChildSpec::supervisor("pool").shutdown(), Shutdown::Infinity);
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ChildSpec {
    id: ChildId,
    restart: Restart,
    shutdown: Shutdown,
    child_type: ChildType,
    significant: bool,
    modules: Vec<Arc<str>>,
}

impl ChildSpec {
    /// A permanent worker that has 5 s to shut down: OTP's defaults.
    pub fn worker(id: impl Into<ChildId>) -> Self {
        Self {
            id: id.into(),
            restart: Restart::Permanent,
            shutdown: Shutdown::Timeout(Duration::from_secs(5)),
            child_type: ChildType::Worker,
            significant: false,
            modules: Vec::new(),
        }
    }

    /// A permanent supervisor that has all the time it needs to shut down: OTP's defaults.
    pub fn supervisor(id: impl Into<ChildId>) -> Self {
        Self { shutdown: Shutdown::Infinity, child_type: ChildType::Supervisor, ..Self::worker(id) }
    }

    /// Sets when the child is started again.
    #[must_use]
    pub fn with_restart(self, restart: Restart) -> Self {
        Self { restart, ..self }
    }

    /// Sets how the child is told to end.
    #[must_use]
    pub fn with_shutdown(self, shutdown: Shutdown) -> Self {
        Self { shutdown, ..self }
    }

    /// Makes the child count for [`AutoShutdown`](crate::AutoShutdown).
    #[must_use]
    pub fn significant(self) -> Self {
        self.with_significant(true)
    }

    /// Whether the child is [`significant`](Self::significant).
    #[must_use]
    pub fn with_significant(self, significant: bool) -> Self {
        Self { significant, ..self }
    }

    /// Names the code that the child runs, for upgrades and for the eye. Empty unless set.
    #[must_use]
    pub fn with_modules<M: Into<Arc<str>>>(self, modules: impl IntoIterator<Item = M>) -> Self {
        Self { modules: modules.into_iter().map(Into::into).collect(), ..self }
    }

    /// The id.
    pub fn id(&self) -> &ChildId {
        &self.id
    }

    /// When the child is started again.
    pub fn restart(&self) -> Restart {
        self.restart
    }

    /// How the child is told to end.
    pub fn shutdown(&self) -> Shutdown {
        self.shutdown
    }

    /// Whether it works or supervises.
    pub fn child_type(&self) -> ChildType {
        self.child_type
    }

    /// Whether it counts for [`AutoShutdown`](crate::AutoShutdown).
    pub fn is_significant(&self) -> bool {
        self.significant
    }

    /// The code that the child runs, by name.
    pub fn modules(&self) -> &[Arc<str>] {
        &self.modules
    }
}
