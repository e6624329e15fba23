//! The decisions of OTP's supervisor as a pure machine: no runtime, no clock, no randomness, no dependencies.
//!
//! [`Supervisor`] decides what OTP's `supervisor` module decides: which children start and end, in which
//! order, what an exit leads to, when to give up, what a request gets for an answer. It starts and kills
//! nothing itself. Events go in through `handle_*(event, now)`, actions come out of
//! [`poll`](Supervisor::poll), and a **driver** carries them out. What is absent: start functions, processes,
//! mailboxes, links, a clock.
//!
//! # Driving it
//!
//! The driver is a process that traps exits. It keeps the start functions, and the callers, whom the machine
//! knows as tokens.
//!
//! | the driver sees | it calls |
//! |---|---|
//! | its own init | [`Supervisor::new`]; the keys it answers are for the start functions, in order |
//! | the end of a start that was asked for | [`handle_started`](Supervisor::handle_started): `Ok(Some(pid))`, `Ok(None)` for ignore, `Err(reason)` |
//! | an EXIT, not from the parent | [`handle_exited`](Supervisor::handle_exited) |
//! | an EXIT from the parent, or an order to end | [`handle_shutdown`](Supervisor::handle_shutdown) |
//! | a DOWN | [`handle_down`](Supervisor::handle_down) |
//! | a timer | [`handle_timeout`](Supervisor::handle_timeout) |
//! | its own retry message | [`handle_retry`](Supervisor::handle_retry) |
//! | a request | [`handle_start_child`](Supervisor::handle_start_child), [`handle_start_dynamic`](Supervisor::handle_start_dynamic), [`handle_request`](Supervisor::handle_request), [`handle_code_change`](Supervisor::handle_code_change) |
//!
//! After each call it polls until `None` and carries out each [`Action`] in order. Rules for the driver:
//!
//! 1. `now` is the time since an origin chosen once, from a clock that never goes back.
//! 2. [`Action::Start`] is one start at a time: the machine waits for
//!    [`handle_started`](Supervisor::handle_started). Everything else may come in meanwhile; the machine puts
//!    it aside and attends to it in order, as OTP's mailbox does.
//! 3. A child is linked before its start is over, so that its exit is never missed; an exit may come in
//!    before [`handle_started`](Supervisor::handle_started) names the process.
//! 4. [`Action::Monitor`] of a dead process brings its DOWN (`noproc`, an [`ExitClass::Abnormal`] reason) at
//!    once. If its exit came first, the machine prefers the reason in that.
//! 5. [`Action::Retry`] goes through the driver's own mailbox, behind what waits there.
//! 6. Start data lives under a [`Key`] from the moment the key is known until [`Action::Forget`];
//!    [`Action::Stop`] ends all. [`Answer::CodeChange`] names the keys of the new start functions; a known
//!    child keeps its key.
//! 7. What a start function answers besides a process (OTP's `{ok, Pid, Info}`) never enters the machine: the
//!    reply to start_child or restart_child is the next [`Action::Reply`] after that start, and the driver
//!    adds the rest to it.
//!
//! ```
//! use incarnate_supervisors::{Action, ChildSpec, ExitClass, Flags, Signal, StopReason, Strategy, Supervisor};
//! use std::time::Duration;
//!
//! let specs = vec![ChildSpec::worker("store"), ChildSpec::worker("index")];
//! let (mut supervisor, keys) = Supervisor::<u32, ()>::new(Flags::new(Strategy::OneForAll), specs)?;
//! let now = Duration::ZERO;
//!
//! // Children start in order, each when the one before it is up.
//! assert_eq!(supervisor.poll(), Some(Action::Start { key: keys[0] }));
//! assert_eq!(supervisor.poll(), None);
//! supervisor.handle_started(keys[0], Ok(Some(10)), now);
//! assert!(matches!(supervisor.poll(), Some(Action::Report(_))));
//! assert_eq!(supervisor.poll(), Some(Action::Start { key: keys[1] }));
//! supervisor.handle_started(keys[1], Ok(Some(11)), now);
//! assert!(matches!(supervisor.poll(), Some(Action::Report(_))));
//! assert_eq!(supervisor.poll(), Some(Action::Ready));
//!
//! // The first one crashes: the second one is shut down before both start again.
//! supervisor.handle_exited(10, ExitClass::Abnormal, now);
//! assert!(matches!(supervisor.poll(), Some(Action::Report(_))));
//! assert_eq!(supervisor.poll(), Some(Action::Monitor { pid: 11 }));
//! assert_eq!(supervisor.poll(), Some(Action::Exit { pid: 11, signal: Signal::Shutdown }));
//! let Some(Action::Arm { timer, after }) = supervisor.poll() else { panic!("no timer") };
//! assert_eq!(after, Duration::from_secs(5));
//! supervisor.handle_down(11, ExitClass::Shutdown, now);
//! assert_eq!(supervisor.poll(), Some(Action::Cancel { timer }));
//! assert_eq!(supervisor.poll(), Some(Action::Start { key: keys[0] }));
//! # Ok::<(), incarnate_supervisors::InitError>(())
//! ```
//!
//! # Where it differs from OTP
//!
//! A code change to or from simple_one_for_one is refused, and a code change that makes permanent children of
//! temporary dynamic ones leaves those that run temporary, for their arguments are gone. OTP breaks in both.
//! Back-off and a bound on dynamic children are additions that are off by default. The specification is OTP's
//! documentation, source and test suite; where releases differ, the newest counts.
#![no_std]

extern crate alloc;

mod action;
mod admin;
mod backoff;
mod change;
mod children;
mod exit;
mod flags;
mod inbox;
mod intensity;
mod invalid;
mod invariants;
mod request;
mod restart;
mod sequence;
mod spec;
mod supervisor;
mod tree;
mod work;

pub use action::{Action, Key, Report, Signal, StopReason, Timer};
pub use backoff::Backoff;
pub use exit::{ExitClass, Reason};
pub use flags::{AutoShutdown, Flags, Strategy};
pub use intensity::Intensity;
pub use invalid::{FlagsError, InitError, SpecError, check_childspecs};
pub use request::{
    Answer, Child, ChildInfo, ChildState, Counts, DeleteChildError, NotFound, Request, RestartChildError,
    StartChildError, TerminateChildError,
};
pub use spec::{ChildId, ChildSpec, ChildType, Restart, Shutdown};
pub use supervisor::Supervisor;
pub use tree::Tree;
