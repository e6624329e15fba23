//! Shards: processes that are addressed by a key live in one of a fixed number of them, and each shard has one owner.
//!
//! [`authority`] keeps who owns which.

pub mod authority;
