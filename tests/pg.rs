//! Process groups, against the rows of OTP's pg_SUITE. A test is named by its row.

#[path = "support/cluster.rs"]
mod cluster;
#[path = "pg/local.rs"]
mod local;
#[path = "pg/monitors.rs"]
mod monitors;
#[path = "pg/nodes.rs"]
mod nodes;
#[path = "support/pair.rs"]
mod pair;
#[path = "support/probe.rs"]
mod probe;
#[path = "support/random.rs"]
mod random;
#[path = "pg/splits.rs"]
mod splits;
#[path = "support/wait.rs"]
mod wait;
