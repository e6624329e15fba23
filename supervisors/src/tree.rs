//! A supervision tree as a value.

use crate::{ChildId, ChildSpec, ChildType, Reason, Restart, Strategy, Supervisor};
use alloc::string::String;
use alloc::vec::Vec;
use core::fmt::{self, Write};

/// A process of a supervision tree and those below it, in start order: printable and comparable.
///
/// ```
/// use incarnate_supervisors::{ChildSpec, Restart, Strategy, Tree};
///
/// let tree = Tree::root("app", Strategy::RestForOne)
///     .with_pid(1)
///     .with_child(Tree::child(&ChildSpec::worker("store")).with_pid(2))
///     .with_child(
///         Tree::child(&ChildSpec::supervisor("pool").with_restart(Restart::Transient))
///             .with_strategy(Strategy::SimpleOneForOne),
///     );
/// assert_eq!(
///     tree.to_string(),
///     "app supervisor rest_for_one 1\n  store worker permanent 2\n  pool supervisor simple_one_for_one transient\n"
/// );
/// assert_ne!(tree, tree.shape());
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tree<P> {
    id: ChildId,
    child_type: ChildType,
    /// `None` for the root, which nobody in the tree restarts.
    restart: Option<Restart>,
    strategy: Option<Strategy>,
    pid: Option<P>,
    children: Vec<Self>,
}

impl<P> Tree<P> {
    /// A supervisor at the top.
    pub fn root(id: impl Into<ChildId>, strategy: Strategy) -> Self {
        Self {
            id: id.into(),
            child_type: ChildType::Supervisor,
            restart: None,
            strategy: Some(strategy),
            pid: None,
            children: Vec::new(),
        }
    }

    /// A process below a supervisor.
    pub fn child(spec: &ChildSpec) -> Self {
        Self {
            id: spec.id().clone(),
            child_type: spec.child_type(),
            restart: Some(spec.restart()),
            strategy: None,
            pid: None,
            children: Vec::new(),
        }
    }

    /// Names the process.
    #[must_use]
    pub fn with_pid(self, pid: P) -> Self {
        Self { pid: Some(pid), ..self }
    }

    /// Names the strategy of a supervisor below the root, which its specification does not tell.
    #[must_use]
    pub fn with_strategy(self, strategy: Strategy) -> Self {
        Self { strategy: Some(strategy), ..self }
    }

    /// Adds a process below this one, as the last in start order.
    #[must_use]
    pub fn with_child(mut self, child: Self) -> Self {
        self.children.push(child);
        self
    }

    /// The id within the supervisor above.
    pub fn id(&self) -> &ChildId {
        &self.id
    }

    /// Whether it works or supervises.
    pub fn child_type(&self) -> ChildType {
        self.child_type
    }

    /// When the supervisor above starts it again; `None` for the root.
    pub fn restart(&self) -> Option<Restart> {
        self.restart
    }

    /// The strategy, if it is a supervisor whose own tree is known.
    pub fn strategy(&self) -> Option<Strategy> {
        self.strategy
    }

    /// The process, if it runs.
    pub fn pid(&self) -> Option<&P> {
        self.pid.as_ref()
    }

    /// Those below it, in start order.
    pub fn children(&self) -> &[Self] {
        &self.children
    }

    /// The same tree without its processes, to compare what is supervised rather than what runs.
    #[must_use]
    pub fn shape(&self) -> Self {
        Self {
            id: self.id.clone(),
            pid: None,
            children: self.children.iter().map(Self::shape).collect(),
            ..*self
        }
    }

    /// Puts the tree of a child that is a supervisor, as its own machine tells it, in the place of that
    /// child.
    ///
    /// The place keeps what this supervisor knows: id, restart type and process. `false` says that there is
    /// no such child.
    pub fn graft(&mut self, id: &ChildId, subtree: Self) -> bool {
        let Some(child) = self.children.iter_mut().find(|child| child.id == *id) else { return false };
        child.replace(subtree);
        true
    }

    /// As [`graft`](Self::graft), in the place of the child that runs as this process; the only way for a dynamic child, which
    /// has no id of its own.
    pub fn graft_at(&mut self, pid: &P, subtree: Self) -> bool
    where
        P: PartialEq,
    {
        let Some(child) = self.children.iter_mut().find(|child| child.pid.as_ref() == Some(pid)) else {
            return false;
        };
        child.replace(subtree);
        true
    }

    fn replace(&mut self, subtree: Self) {
        self.strategy = subtree.strategy;
        self.children = subtree.children;
    }
}

impl<P: fmt::Display> Tree<P> {
    fn write(&self, f: &mut fmt::Formatter<'_>, depth: usize) -> fmt::Result {
        let mut line = String::new();
        write!(line, "{:indent$}{} {}", "", self.id, self.child_type, indent = depth * 2)?;
        if let Some(strategy) = self.strategy {
            write!(line, " {strategy}")?;
        }
        if let Some(restart) = self.restart {
            write!(line, " {restart}")?;
        }
        if let Some(pid) = &self.pid {
            write!(line, " {pid}")?;
        }
        writeln!(f, "{line}")?;
        self.children.iter().try_for_each(|child| child.write(f, depth + 1))
    }
}

/// One line for each process, indented by two spaces a level: id, type, strategy, restart type, process.
impl<P: fmt::Display> fmt::Display for Tree<P> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.write(f, 0)
    }
}

impl<P: Clone + Ord, T, R: Reason> Supervisor<P, T, R> {
    /// This supervisor and its children as a tree; a child that supervises is a leaf until [`Tree::graft`].
    pub fn tree(&self, id: impl Into<ChildId>) -> Tree<P> {
        self.children.slots().fold(Tree::root(id, self.flags.strategy()), |tree, (_, slot)| {
            let pid = match slot.state() {
                crate::ChildState::Running(pid) => Some(pid),
                crate::ChildState::Restarting | crate::ChildState::Stopped => None,
            };
            tree.with_child(Tree { pid, ..Tree::child(&slot.spec) })
        })
    }
}
