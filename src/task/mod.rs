//! Tasks: pieces of work in processes of their own, and values to wait for. Source: Elixir's `Task` and
//! `Task.Supervisor`.
//!
//! - [`Task::spawn`] and an await: a value from a process that is linked to the caller;
//! - [`Task::async_stream`]: a task per item, a bounded number at a time;
//! - [`TaskSupervisor`]: tasks under a supervision tree, which their callers survive.
//!
//! What is absent: messages. The value of a task goes past its caller's mailbox, so a server that awaits one finds no
//! stray message of it in `handle_info`; a server that must not wait has the task send it a message instead. System
//! messages reach a task whenever it waits: suspended, it is not polled, and its time goes on. Nothing restarts one: work
//! that must come back is a server under a supervisor.

mod door;
mod error;
mod handle;
mod prepared;
mod stream;
mod supervisor;
mod work;

pub use door::{TaskSupervisorName, TaskSupervisorRef};
pub use error::{SpawnError, TaskError, TerminateError};
pub use handle::Task;
pub use incarnate_supervisors::Shutdown;
pub use stream::{AsyncStream, OnTimeout};
pub use supervisor::{TaskCall, TaskSupervisor, TaskSupervisorOptions};
pub use work::{LetItCrash, Work, let_it_crash};
