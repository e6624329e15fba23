//! Who owns a shard: the promises of every authority, those of the one that is a file, and leases.

#[path = "support/conformance.rs"]
mod conformance;
#[path = "shard/lease.rs"]
mod lease;
#[path = "shard/local.rs"]
mod local;
#[path = "support/pair.rs"]
mod pair;
#[path = "support/probe.rs"]
mod probe;
#[path = "support/proxy.rs"]
mod proxy;
#[path = "support/random.rs"]
mod random;
#[path = "support/wait.rs"]
mod wait;
