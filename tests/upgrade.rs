//! Hot upgrade: what is promised of a change of code, and that nothing of it holds by half.

#[path = "upgrade/aborts.rs"]
mod aborts;
#[path = "support/keys.rs"]
mod keys;
#[path = "upgrade/many.rs"]
mod many;
#[path = "upgrade/messages.rs"]
mod messages;
#[path = "upgrade/one.rs"]
mod one;
#[path = "support/random.rs"]
mod random;
#[path = "support/reports.rs"]
mod reports;
#[path = "upgrade/rh.rs"]
mod rh;
#[path = "upgrade/trees.rs"]
mod trees;
#[path = "support/wait.rs"]
mod wait;
