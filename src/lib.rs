//! OTP for Rust: processes with links and monitors, gen_server-style behaviours, and supervision trees.
//!
//! Start with [`Node`] and [`GenServer`].

pub mod gen_server;
pub mod process;
pub mod supervisor;
pub mod sys;
pub mod task;
pub mod term;

pub use gen_server::{CallReply, Context, GenServer, Init, Next, StartError, Then, noreply, stop};
pub use process::{
    CallError, Down, Error, Exit, Info, Me, Node, Process, ProcessRef, ReplyTo, Result, ServerRef, StopError,
    Timeout,
};
pub use supervisor::{ChildSpec, DynamicSupervisor, PartitionSupervisor, Supervisor, SupervisorRef, Tree};
pub use task::{Task, TaskError, TaskSupervisor, let_it_crash};
pub use term::{ExitReason, MonitorRef, Name, Never, Pid, Term, TimerRef};
