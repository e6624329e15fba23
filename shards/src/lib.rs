//! The decisions of shards that are copied, moved and taken over, as pure machines: no runtime, no clock, no randomness.

#![no_std]

#[cfg_attr(test, macro_use)]
extern crate alloc;

mod balance;
mod change;
mod copy;
mod drain;
mod gate;
mod lease;
mod message;
mod mover;
mod owner;
mod placement;
mod proposals;
mod record;
mod replica;
mod rolling;
mod rules;
#[cfg(test)]
mod seeded;
#[cfg(test)]
mod simulation;
mod standby;
mod stub;

pub use balance::{Balance, Load, Relocation};
pub use change::{Change, NotNext};
pub use copy::{Contents, Effect, Image, Lossy, Row, Rows, ShardCopy, Table, Timer, Unreadable, Write};
pub use drain::{Drain, DrainAction, Waits};
pub use lease::{Lease, LeaseAction};
pub use message::{
    Floor, Frame, Frames, Mail, Number, Position, Reply, Request, RequestId, Route, SessionId, Streamed,
    ToOwner, ToStandby,
};
pub use placement::{Ring, Seat, Wires};
pub use proposals::Swapped;
pub use record::{LeaseId, Member, Record, ShardId};
pub use replica::{Action, Alone, Answer, Cause, Config, JobId, Mode, NotMoved, Ran, Replica};
pub use rolling::{Holdup, Release, Rolling};
pub use stub::{Asked, Outcome, Stub, StubAction, StubConfig, Ticket};
