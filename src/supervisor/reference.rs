//! A reference to a supervisor: what may be asked of it.

use std::any::Any;
use std::fmt;
use std::sync::Arc;

use incarnate_supervisors::{ChildId, ChildSpec as Spec, ChildState, Counts};

use super::child::{Child, ChildSpec, Member, Subtree};
use super::error::{
    ChangeError, DeleteChildError, LookupError, RestartChildError, StartChildError, TerminateChildError,
};
use super::live::{Supervising, ask, ask_with, live, live_at};
use super::order::{Ask, Note, Order, Which};
use super::tree::Tree;
use super::{ChildInfo, LiveTree};
use crate::process::{CallError, Node, Pass, StopError, Timeout};
use crate::term::{ExitReason, Name, Never, Pid};

/// A name for a supervisor.
///
/// ```
/// use incarnate::supervisor::SupervisorName;
///
/// const BANK: SupervisorName = SupervisorName::new("bank");
/// ```
pub type SupervisorName = Name<Order<Member, Value, Vec<Member>>, Never, Note>;

/// What the start function of any child answers.
type Value = Box<dyn Any + Send>;

/// Asks a supervisor of this kind for its tree.
pub(super) const LIVE: Subtree = live_at::<Member, Value, Vec<Member>>;

/// A reference to one life of a supervisor: OTP's module `supervisor`, with the supervisor as its first argument.
///
/// No request has a time limit, as in OTP: a supervisor answers when it is done starting and ending children. To ask it
/// from one of its own start functions waits for ever.
///
/// # Cancel safety
/// Dropping the future of a request gives up waiting; the request may still be carried out.
#[derive(Clone)]
pub struct SupervisorRef {
    server: Supervising<Member, Value, Vec<Member>>,
}

impl Child for SupervisorRef {
    const SUBTREE: Option<Subtree> = Some(LIVE);

    fn pid(&self) -> Pid {
        self.server.pid()
    }
}

impl From<Supervising<Member, Value, Vec<Member>>> for SupervisorRef {
    fn from(server: Supervising<Member, Value, Vec<Member>>) -> Self {
        SupervisorRef { server }
    }
}

impl SupervisorRef {
    /// Who has the name now, on the node of the process whose code asks.
    ///
    /// # Errors
    /// [`CallError::NoProc`], or [`CallError::NoNode`] outside a process.
    pub fn named(name: SupervisorName) -> Result<Self, CallError> {
        Self::named_on(&Node::current().ok_or(CallError::NoNode)?, name)
    }

    /// Who has the name now, on this node.
    ///
    /// # Errors
    /// [`CallError::NoProc`], or [`CallError::WrongProtocol`] when no supervisor has it.
    pub fn named_on(node: &Node, name: SupervisorName) -> Result<Self, CallError> {
        name.on(node).map(Self::from)
    }

    /// The supervisor's pid.
    pub fn pid(&self) -> Pid {
        self.server.pid()
    }

    /// The node that it lives on.
    pub fn node(&self) -> &Node {
        self.server.node()
    }

    /// Whether it lives.
    pub fn is_alive(&self) -> bool {
        self.server.is_alive()
    }

    /// Adds a child and starts it (`supervisor:start_child/2`); answers what its start function does.
    ///
    /// # Errors
    /// See [`StartChildError`].
    pub async fn start_child<R: Child>(&self, child: impl Into<ChildSpec<R>>) -> Result<R, StartChildError> {
        let member = child.into().into_member();
        let begun = ask(&self.server, |to| Ask::StartChild(member, to)).await??;
        let (_, value) = begun.ok_or(StartChildError::Ignore)?;
        // The start function of this very specification answered it.
        let value = value.and_then(|value| value.downcast().ok());
        value.map(|value| *value).ok_or(StartChildError::Call(CallError::BadReply))
    }

    /// Ends a child (`supervisor:terminate_child/2`). Also of one that does not run; its specification stays, unless the child is
    /// temporary.
    ///
    /// # Errors
    /// See [`TerminateChildError`].
    pub async fn terminate_child(&self, id: impl Into<ChildId>) -> Result<(), TerminateChildError> {
        let id = Which::Id(id.into());
        Ok(ask(&self.server, |to| Ask::TerminateChild(id, to)).await??)
    }

    /// Starts a child that does not run (`supervisor:restart_child/2`).
    ///
    /// # Errors
    /// See [`RestartChildError`].
    pub async fn restart_child(&self, id: impl Into<ChildId>) -> Result<Pid, RestartChildError> {
        let id = id.into();
        let begun = ask(&self.server, |to| Ask::RestartChild(id, to)).await??;
        begun.map(|(pid, _)| pid).ok_or(RestartChildError::Ignore)
    }

    /// As [`restart_child`](Self::restart_child), and answers what the start function does, which must be an `R`.
    ///
    /// # Errors
    /// See [`RestartChildError`].
    pub async fn restart_child_as<R: Child>(&self, id: impl Into<ChildId>) -> Result<R, RestartChildError> {
        let id = id.into();
        let begun = ask(&self.server, |to| Ask::RestartChild(id, to)).await??;
        let (pid, value) = begun.ok_or(RestartChildError::Ignore)?;
        let value = value.and_then(|value| value.downcast().ok());
        value.map(|value| *value).ok_or(RestartChildError::OtherType(pid))
    }

    /// Deletes the specification of a child that does not run (`supervisor:delete_child/2`).
    ///
    /// # Errors
    /// See [`DeleteChildError`].
    pub async fn delete_child(&self, id: impl Into<ChildId>) -> Result<(), DeleteChildError> {
        let id = id.into();
        Ok(ask(&self.server, |to| Ask::DeleteChild(id, to)).await??)
    }

    /// All children, newest first (`supervisor:which_children/1`).
    ///
    /// # Errors
    /// The supervisor did not answer.
    pub async fn which_children(&self) -> Result<Vec<ChildInfo>, CallError> {
        ask(&self.server, Ask::WhichChildren).await
    }

    /// One child (`supervisor:which_child/2`, newer than OTP 25).
    ///
    /// # Errors
    /// See [`LookupError`].
    pub async fn which_child(&self, id: impl Into<ChildId>) -> Result<ChildInfo, LookupError> {
        let id = Which::Id(id.into());
        Ok(ask(&self.server, |to| Ask::WhichChild(id, to)).await??)
    }

    /// How many children there are (`supervisor:count_children/1`).
    ///
    /// # Errors
    /// The supervisor did not answer.
    pub async fn count_children(&self) -> Result<Counts, CallError> {
        ask(&self.server, Ask::CountChildren).await
    }

    /// The specification of a child, without its start function (`supervisor:get_childspec/2`).
    ///
    /// # Errors
    /// See [`LookupError`].
    pub async fn get_childspec(&self, id: impl Into<ChildId>) -> Result<Arc<Spec>, LookupError> {
        let id = Which::Id(id.into());
        Ok(ask(&self.server, |to| Ask::GetChildspec(id, to)).await??)
    }

    /// The tree as it is now, with pids: this supervisor, and each one below it asked in turn. One that ends meanwhile
    /// is shown without its children.
    ///
    /// # Errors
    /// The supervisor did not answer.
    pub async fn tree(&self) -> Result<LiveTree, CallError> {
        live(&self.server).await
    }

    /// Flags and specifications in force, as what [`change`](Self::change) takes.
    pub(crate) async fn plan(&self) -> Result<Tree, CallError> {
        ask(&self.server, Ask::Plan).await.map(Tree::of_plan)
    }

    /// Adds a child and starts it, whatever its start function answers.
    pub(crate) async fn start_member(&self, member: Member, pass: Pass) -> Result<(), StartChildError> {
        ask_with(&self.server, Some(pass), |to| Ask::StartChild(member, to)).await??;
        Ok(())
    }

    /// As [`restart_child`](Self::restart_child), with a pass to start what is held.
    pub(crate) async fn restart_member(&self, id: ChildId, pass: Pass) -> Result<(), RestartChildError> {
        ask_with(&self.server, Some(pass), |to| Ask::RestartChild(id, to)).await??;
        Ok(())
    }

    /// The supervisor at a path: a registered name, and then ids of children that are supervisors, with `/` between.
    pub(crate) async fn at(node: &Node, path: &str) -> Option<Self> {
        let mut steps = path.split('/');
        let mut found = Self::of_pid(node, node.whereis(steps.next()?)?)?;
        for step in steps {
            let children = found.which_children().await.ok()?;
            let child =
                children.iter().find(|child| child.id.as_ref().is_some_and(|id| id.as_str() == step))?;
            let ChildState::Running(pid) = child.state else { return None };
            found = Self::of_pid(node, pid)?;
        }
        Some(found)
    }

    fn of_pid(node: &Node, pid: Pid) -> Option<Self> {
        Supervising::find(node, pid).map(Self::from)
    }

    /// Puts other flags and specifications in force (`code_change/3` of `supervisor`): nothing is started, ended or
    /// restarted by this. A known id keeps its process, a new one is added and does not run, and a missing one stays.
    /// Name and node of the new tree do not matter.
    ///
    /// # Errors
    /// See [`ChangeError`].
    pub async fn change(&self, tree: Tree) -> Result<(), ChangeError> {
        let plan = Box::new(tree.into_plan());
        Ok(ask(&self.server, |to| Ask::Change(plan, to)).await??)
    }

    /// Ends all children in reverse order and then the supervisor, with reason normal (`gen_server:stop/1`).
    ///
    /// # Errors
    /// As [`ServerRef::stop`](crate::ServerRef::stop).
    pub async fn stop(&self) -> Result<(), StopError> {
        self.server.stop().await
    }

    /// As [`stop`](Self::stop), with this reason and a limit (`gen_server:stop/3`).
    ///
    /// # Errors
    /// As [`ServerRef::stop_with`](crate::ServerRef::stop_with).
    pub async fn stop_with(&self, reason: ExitReason, timeout: impl Into<Timeout>) -> Result<(), StopError> {
        self.server.stop_with(reason, timeout).await
    }

    /// Waits for the end of the supervisor and answers its reason; noproc if it had ended before.
    pub async fn ended(&self) -> ExitReason {
        self.server.ended().await
    }
}

impl fmt::Debug for SupervisorRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SupervisorRef({})", self.pid())
    }
}
