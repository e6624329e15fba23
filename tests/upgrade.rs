//! Hot upgrade: what is promised of a change of code, and that nothing of it holds by half.

#[path = "upgrade/aborts.rs"]
mod aborts;
#[path = "upgrade/keys.rs"]
mod keys;
#[path = "upgrade/many.rs"]
mod many;
#[path = "upgrade/one.rs"]
mod one;
#[path = "support/probe.rs"]
#[allow(dead_code, reason = "each suite uses a part of it")]
mod probe;
#[path = "upgrade/trees.rs"]
mod trees;
