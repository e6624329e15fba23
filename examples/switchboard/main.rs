//! Switchboard: a server that speaks Redis's protocol, where every key and every connection is a process.
//!
//! The modules below are the part that knows no process: bytes become commands, an operation on one key becomes a
//! reply and a verdict about the key's life. They read no clock and do no IO.

// The processes that drive these modules are still to come, so a build without the tests sees no caller for them.
#![cfg_attr(not(test), allow(dead_code, unused_imports))]

mod command;
mod error;
mod glob;
mod number;
mod reply;
mod resp;
#[cfg(test)]
mod tests;
mod value;

fn main() {}
