//! A supervision tree as a value: built, printed, compared, then started.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use incarnate_supervisors::{AutoShutdown, Backoff, ChildId, ChildSpec as Spec, Flags, InitError, Strategy};

use super::LiveTree;
use super::child::{Child, ChildSpec, Member};
use super::kind::{Plan, Static};
use super::reference::{SupervisorName, SupervisorRef};
use super::server::Server;
use crate::gen_server::{GenServer, Start, StartError};
use crate::process::Node;
use crate::term::MonitorRef;

/// Where supervision trees begin: [`Supervisor::tree`].
#[derive(Clone, Copy, Debug)]
pub struct Supervisor;

impl Supervisor {
    /// A tree without children, to be built on: one_for_one, at most 1 restart in 5 s, OTP's defaults.
    ///
    /// The name is for the eye and, when the tree is a child, its id; [`Tree::name`] registers the process.
    pub fn tree(name: impl Into<Arc<str>>) -> Tree {
        Tree { label: name.into(), flags: Flags::default(), members: Vec::new(), name: None, node: None }
    }
}

/// A supervisor and all below it, before it runs: flags, children, and trees as children.
///
/// A value: cloned, printed, compared (but for its start functions), started any number of times.
#[derive(Clone)]
#[must_use = "nothing is started yet"]
pub struct Tree {
    label: Arc<str>,
    flags: Flags,
    members: Vec<Member>,
    name: Option<SupervisorName>,
    node: Option<Node>,
}

impl Tree {
    fn with(mut self, change: impl FnOnce(Flags) -> Flags) -> Self {
        self.flags = change(self.flags);
        self
    }

    /// Which children are started again when one has to be; one_for_one by default.
    ///
    /// For [`Strategy::SimpleOneForOne`] there is [`DynamicSupervisor`](super::DynamicSupervisor).
    pub fn strategy(self, strategy: Strategy) -> Self {
        self.with(|flags| {
            let mut new = Flags::new(strategy)
                .with_intensity(flags.intensity(), flags.period())
                .with_auto_shutdown(flags.auto_shutdown());
            if let Some(backoff) = flags.backoff() {
                new = new.with_backoff(backoff);
            }
            new
        })
    }

    /// At most so many restarts within the period, which is a whole number of seconds and at least one; 1 in 5 s by
    /// default. One more, and the supervisor ends all its children and itself.
    pub fn intensity(self, restarts: u32, period: Duration) -> Self {
        self.with(|flags| flags.with_intensity(restarts, period))
    }

    /// When the supervisor ends by itself because significant children have; never by default.
    pub fn auto_shutdown(self, auto_shutdown: AutoShutdown) -> Self {
        self.with(|flags| flags.with_auto_shutdown(auto_shutdown))
    }

    /// Waits before each restart; OTP does not, and neither does this by default.
    pub fn backoff(self, backoff: Backoff) -> Self {
        self.with(|flags| flags.with_backoff(backoff))
    }

    /// Adds a child, as the last in start order: a specification, or another tree.
    pub fn child<R: Child>(mut self, child: impl Into<ChildSpec<R>>) -> Self {
        self.members.push(child.into().into_member());
        self
    }

    /// Registers the supervisor under a name while it runs.
    pub fn name(mut self, name: SupervisorName) -> Self {
        self.name = Some(name);
        self
    }

    /// On which node; by default on that of the process whose code starts it.
    pub fn on(mut self, node: &Node) -> Self {
        self.node = Some(node.clone());
        self
    }

    /// The tree as data: what it will be, without pids.
    pub fn shape(&self) -> LiveTree {
        let root = LiveTree::root(&*self.label, self.flags.strategy());
        self.members.iter().fold(root, |tree, member| {
            let mut tree = tree.with_child(LiveTree::child(&member.spec));
            if let Some(shape) = &member.shape {
                tree.graft(member.spec.id(), (**shape).clone());
            }
            tree
        })
    }

    /// Checks flags and specifications without starting anything (`supervisor:check_childspecs/2`). Trees below are
    /// not looked at: they check themselves when they start.
    ///
    /// # Errors
    /// What OTP would refuse to start.
    pub fn check(&self) -> Result<(), InitError> {
        self.no_simple()?;
        let specs = self.members.iter().map(|member| member.spec.clone()).collect();
        incarnate_supervisors::Supervisor::<u64, ()>::new(self.flags.clone(), specs).map(|_| ())
    }

    /// A tree's children each have a start function of their own, so none of them is a template.
    fn no_simple(&self) -> Result<(), InitError> {
        match self.flags.strategy() {
            Strategy::SimpleOneForOne => Err(InitError::BadStartSpec(self.members.len())),
            _ => Ok(()),
        }
    }

    /// Starts the supervisor and its children, linked to nobody. Returns when all children are up.
    ///
    /// # Errors
    /// See [`start_link`](Self::start_link).
    ///
    /// # Cancel safety
    /// Dropping the future leaves the supervisor to start on its own.
    pub async fn start(self) -> Result<SupervisorRef, StartError> {
        self.prepare()?.start().await.map(SupervisorRef::from)
    }

    /// Starts the supervisor and its children, linked to the process whose code asks (`supervisor:start_link/2,3`).
    /// Returns when all children are up.
    ///
    /// # Errors
    /// [`StartError::Failed`] with a [`FailedToStartChild`](super::FailedToStartChild) when a child did not start: those
    /// before it were ended in reverse order. With an error when flags or specifications are faulty; see
    /// [`check`](Self::check). No process and no name is left behind.
    ///
    /// # Cancel safety
    /// As [`start`](Self::start).
    pub async fn start_link(self) -> Result<SupervisorRef, StartError> {
        self.prepare()?.start_link().await.map(SupervisorRef::from)
    }

    /// As [`start`](Self::start), and monitors the supervisor in the same step.
    ///
    /// # Errors
    /// See [`start_link`](Self::start_link).
    ///
    /// # Cancel safety
    /// As [`start`](Self::start).
    pub async fn start_monitor(self) -> Result<(SupervisorRef, MonitorRef), StartError> {
        let (server, monitor) = self.prepare()?.start_monitor().await?;
        Ok((server.into(), monitor))
    }

    fn prepare(self) -> Result<Start<Server<Static>>, StartError> {
        self.no_simple()?;
        let (name, node, label) = (self.name, self.node.clone(), self.label.clone());
        let mut start = Server::server(self.into_plan()).label(&*label);
        if let Some(name) = name {
            start = start.name(name);
        }
        if let Some(node) = node {
            start = start.on(&node);
        }
        Ok(start)
    }

    /// The tree that a supervisor says is in force.
    pub(super) fn of_plan(plan: Plan<Vec<Member>>) -> Self {
        Tree { label: plan.label, flags: plan.flags, members: plan.starts, name: None, node: None }
    }

    /// The ids of its children, in start order.
    pub(crate) fn ids(&self) -> impl Iterator<Item = &ChildId> {
        self.members.iter().map(|member| member.spec.id())
    }

    /// With other flags where some are given.
    pub(crate) fn flags(self, change: impl FnOnce(Flags) -> Flags) -> Self {
        self.with(change)
    }

    /// With this member in the place of the one with its id; `None`: there is none.
    pub(crate) fn replaced(mut self, member: Member) -> Option<Self> {
        let at = self.members.iter().position(|other| other.spec.id() == member.spec.id())?;
        self.members[at] = member;
        Some(self)
    }

    pub(super) fn into_plan(self) -> Plan<Vec<Member>> {
        let specs = self.members.iter().map(|member| member.spec.clone()).collect();
        Plan { label: self.label, flags: self.flags, specs, starts: self.members }
    }
}

/// A tree as a child: permanent, with all the time that it needs to shut down; its id is its name.
impl From<Tree> for ChildSpec<SupervisorRef> {
    fn from(tree: Tree) -> Self {
        let (spec, shape) = (Spec::supervisor(&*tree.label), tree.shape());
        ChildSpec::of(spec, Arc::new(move || tree.clone().start_link()), Some(shape))
    }
}

/// Equal but for the start functions, which cannot be compared.
impl PartialEq for Tree {
    fn eq(&self, other: &Self) -> bool {
        self.label == other.label
            && self.flags == other.flags
            && self.name == other.name
            && self.members == other.members
    }
}

/// One line for each process, indented by two spaces a level: id, type, strategy, restart type.
impl fmt::Display for Tree {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.shape(), f)
    }
}

impl fmt::Debug for Tree {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.shape(), f)
    }
}
