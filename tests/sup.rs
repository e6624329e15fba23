//! The rows of OTP's supervisor_SUITE, by the ids of the conformance catalogue, against supervisors that run.

#[path = "support/nursery.rs"]
mod nursery;

#[path = "sup/admin.rs"]
mod admin;
#[path = "sup/change.rs"]
mod change;
#[path = "sup/dynamic.rs"]
mod dynamic;
#[path = "sup/partition.rs"]
mod partition;
#[path = "sup/report.rs"]
mod report;
#[path = "sup/restart.rs"]
mod restart;
#[path = "sup/retry.rs"]
mod retry;
#[path = "sup/significant.rs"]
mod significant;
#[path = "sup/start.rs"]
mod start;
#[path = "sup/stop.rs"]
mod stop;
#[path = "sup/system.rs"]
mod system;
#[path = "sup/tree.rs"]
mod tree;
