//! Nodes that reach each other, against the rows of OTP's suites that need a second one. A test is named by its row.

#[path = "node/aliases.rs"]
mod aliases;
#[path = "support/authority.rs"]
mod authority;
#[path = "node/basics.rs"]
mod basics;
#[path = "node/broadcast.rs"]
mod broadcast;
#[path = "node/bulk.rs"]
mod bulk;
#[path = "node/busy.rs"]
mod busy;
#[path = "support/child.rs"]
mod child;
#[path = "support/deaf.rs"]
mod deaf;
#[path = "node/endurance.rs"]
mod endurance;
#[path = "node/namespaces.rs"]
mod namespaces;
#[path = "support/pair.rs"]
mod pair;
#[path = "support/probe.rs"]
mod probe;
#[path = "node/processes.rs"]
mod processes;
#[path = "support/random.rs"]
mod random;
#[path = "node/refusals.rs"]
mod refusals;
#[path = "support/reports.rs"]
mod reports;
#[path = "node/rows.rs"]
mod rows;
#[path = "node/seeds.rs"]
mod seeds;
#[path = "node/spawning.rs"]
mod spawning;
#[path = "node/tls.rs"]
mod tls;
#[path = "node/transport.rs"]
mod transport;
#[path = "support/wait.rs"]
mod wait;
