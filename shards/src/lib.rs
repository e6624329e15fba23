//! The decisions of shards that are copied, moved and taken over, as pure machines: no runtime, no clock, no randomness.

#![no_std]

extern crate alloc;

mod record;

pub use record::{Member, Record, ShardId};
