//! The pure modules of the example, as a library. They name each other from the root of their crate, so they stand at
//! the root of this one.

#[path = "../examples/switchboard/command/mod.rs"]
pub mod command;
#[path = "../examples/switchboard/error.rs"]
pub mod error;
#[path = "../examples/switchboard/glob.rs"]
pub mod glob;
#[path = "../examples/switchboard/number.rs"]
pub mod number;
#[path = "../examples/switchboard/reply.rs"]
pub mod reply;
#[path = "../examples/switchboard/resp/mod.rs"]
pub mod resp;
#[path = "../examples/switchboard/value.rs"]
pub mod value;
