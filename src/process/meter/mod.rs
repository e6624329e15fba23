//! Metrics: what is counted where it happens, and what is sampled. Without the feature `metrics` each hook is an empty
//! function and each type has no size, so that nothing is left of them, and no other file asks for the feature.

#[cfg_attr(feature = "metrics", path = "on.rs")]
#[cfg_attr(not(feature = "metrics"), path = "off.rs")]
mod hooks;

pub(crate) use hooks::{
    Call, Totals, lost, paused, restarted, shard_moved, shard_taken_over, shards, started, upgraded,
};

#[cfg(feature = "metrics")]
pub use hooks::Observer;
