//! Processes against OTP's own suites. A test is named by the row of the conformance catalogue that it checks;
//! `differences-from-otp` in the book says which rows have none and why.

#[path = "process/lk.rs"]
mod lk;
#[path = "process/mon.rs"]
mod mon;
#[path = "process/pr.rs"]
mod pr;
#[path = "support/probe.rs"]
mod probe;
#[path = "support/random.rs"]
mod random;
#[path = "process/sig.rs"]
mod sig;
#[path = "process/stress.rs"]
mod stress;
#[path = "process/tm.rs"]
mod tm;
#[path = "process/traps.rs"]
mod traps;
#[path = "support/wait.rs"]
mod wait;
