//! What can be asked of a task supervisor, by its name or its reference.

use std::sync::Arc;

use super::error::{SpawnError, TerminateError};
use super::handle::Task;
use super::prepared::{Prepared, prepare};
use super::stream::AsyncStream;
use super::supervisor::{Call, TaskCall};
use super::work::Work;
use crate::process::{AnyProcess, CallError, Me, Node, ServerRef, Timeout};
use crate::term::{ExitReason, Name, Pid};

/// The name of a task supervisor.
pub type TaskSupervisorName = Name<TaskCall>;

/// A reference to a task supervisor.
pub type TaskSupervisorRef = ServerRef<TaskCall>;

/// Who a name or a reference leads to now.
trait Door: Clone + Send + Sync + 'static {
    fn open(&self) -> Result<TaskSupervisorRef, CallError>;
}

impl Door for TaskSupervisorRef {
    fn open(&self) -> Result<TaskSupervisorRef, CallError> {
        Ok(self.clone())
    }
}

impl Door for TaskSupervisorName {
    fn open(&self) -> Result<TaskSupervisorRef, CallError> {
        self.on(&Node::current().ok_or(CallError::NoNode)?)
    }
}

/// Prepares the task here, so that its future moves as it is and not in a box, and has the supervisor start it.
async fn spawn<W: Work>(
    door: &impl Door,
    owner: Option<Me>,
    work: W,
) -> Result<Task<<W as Work>::Output>, SpawnError> {
    let supervisor = door.open()?;
    let owner = owner.map(|me| me.process().clone());
    let (prepared, ends) = prepare(supervisor.node(), Some(&supervisor.process()), work);
    start(&supervisor, prepared, owner.clone()).await?;
    Ok(Task::running(ends, owner))
}

async fn start(
    supervisor: &TaskSupervisorRef,
    prepared: Prepared,
    owner: Option<Arc<dyn AnyProcess>>,
) -> Result<(), SpawnError> {
    let taken_back = TakenBack { process: Some(prepared.process().clone()) };
    let start = |caller| TaskCall(Call::Start(prepared, owner, caller));
    let started = supervisor.call_timeout(start, Timeout::Infinity).await;
    taken_back.keep();
    started?
}

/// Ends a task whose spawn was dropped before it was answered: nobody could know of it.
struct TakenBack {
    process: Option<Arc<dyn AnyProcess>>,
}

impl TakenBack {
    fn keep(mut self) {
        self.process = None;
    }
}

impl Drop for TakenBack {
    fn drop(&mut self) {
        if let Some(process) = &self.process {
            // Normal, because it may be linked to the caller by now, or be about to be.
            process.doom_with(ExitReason::Normal);
        }
    }
}

async fn spawn_link<W: Work>(door: &impl Door, work: W) -> Result<Task<<W as Work>::Output>, SpawnError> {
    let me = Me::current().ok_or(SpawnError::NoProcess)?;
    spawn(door, Some(me), work).await
}

/// The methods, the same on names and on references.
macro_rules! asked_of_a_task_supervisor {
    ($door:ty) => {
        impl $door {
            /// Runs work in a child of this task supervisor that is linked to the process whose code asks, too
            /// (`Task.Supervisor.async/2`).
            ///
            /// # Errors
            /// See [`SpawnError`].
            ///
            /// # Cancel safety
            /// Dropping the future takes the request back: the work does not run, or ends at its next await.
            pub async fn spawn<W: Work>(&self, work: W) -> Result<Task<<W as Work>::Output>, SpawnError> {
                spawn_link(self, work).await
            }

            /// Runs work in a child of this task supervisor that is linked to nobody else: its crash is an error
            /// and ends no caller, and it outlives its caller (`Task.Supervisor.async_nolink/2`).
            ///
            /// # Errors
            /// See [`SpawnError`].
            ///
            /// # Cancel safety
            /// Dropping the future takes the request back: the work does not run, or ends at its next await.
            pub async fn spawn_nolink<W: Work>(
                &self,
                work: W,
            ) -> Result<Task<<W as Work>::Output>, SpawnError> {
                spawn(self, None, work).await
            }

            /// Starts work that nobody waits for, as a child of this task supervisor, never restarted
            /// (`Task.Supervisor.start_child/2`).
            ///
            /// # Errors
            /// See [`SpawnError`].
            ///
            /// # Cancel safety
            /// Dropping the future takes the request back: the work does not run, or ends at its next await.
            pub async fn start_child<W: Work<Output = ()>>(&self, work: W) -> Result<Pid, SpawnError> {
                let supervisor = self.open()?;
                let (prepared, ends) = prepare(supervisor.node(), Some(&supervisor.process()), work);
                start(&supervisor, prepared, None).await?;
                Ok(ends.process.core().pid())
            }

            /// A task per item, each as by `spawn`, a bounded number at a time (`Task.Supervisor.async_stream/4`).
            pub fn async_stream<Items, F, W>(
                &self,
                items: Items,
                mut work: F,
            ) -> AsyncStream<Items::IntoIter, <W as Work>::Output>
            where
                Items: IntoIterator,
                F: FnMut(Items::Item) -> W + Send + 'static,
                W: Work,
            {
                let door = self.clone();
                let spawn = move |item| {
                    let (door, work) = (door.clone(), work(item));
                    Box::pin(async move { spawn_link(&door, work).await }) as _
                };
                AsyncStream::new(items.into_iter(), Box::new(spawn))
            }

            /// A task per item, each as by `spawn_nolink`, a bounded number at a time
            /// (`Task.Supervisor.async_stream_nolink/4`): a crash is an error in the stream and ends no caller.
            pub fn async_stream_nolink<Items, F, W>(
                &self,
                items: Items,
                mut work: F,
            ) -> AsyncStream<Items::IntoIter, <W as Work>::Output>
            where
                Items: IntoIterator,
                F: FnMut(Items::Item) -> W + Send + 'static,
                W: Work,
            {
                let door = self.clone();
                let spawn = move |item| {
                    let (door, work) = (door.clone(), work(item));
                    Box::pin(async move { spawn(&door, None, work).await }) as _
                };
                AsyncStream::new(items.into_iter(), Box::new(spawn))
            }

            /// The pids of its children, oldest first (`Task.Supervisor.children/1`).
            ///
            /// # Errors
            /// See [`CallError`].
            pub async fn children(&self) -> Result<Vec<Pid>, CallError> {
                self.open()?.call(|caller| TaskCall(Call::Children(caller))).await
            }

            /// Tells a child to end, kills it if it has not in the supervisor's shutdown time, and waits for its
            /// end (`Task.Supervisor.terminate_child/2`). The supervisor serves others meanwhile.
            ///
            /// # Errors
            /// See [`TerminateError`].
            ///
            /// # Cancel safety
            /// Dropping the future withdraws nothing: the child still ends.
            pub async fn terminate_child(&self, pid: Pid) -> Result<(), TerminateError> {
                let supervisor = self.open().map_err(|_| TerminateError::NoSupervisor)?;
                let terminate = |caller| TaskCall(Call::Terminate(pid, caller));
                let terminated = supervisor.call_timeout(terminate, Timeout::Infinity).await;
                terminated.unwrap_or(Err(TerminateError::NoSupervisor))
            }
        }
    };
}

asked_of_a_task_supervisor!(ServerRef<TaskCall>);
asked_of_a_task_supervisor!(Name<TaskCall>);
