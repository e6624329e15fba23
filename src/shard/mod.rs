//! Shards: processes that are addressed by a key live in one of a fixed number of them, and each shard has one owner.
//!
//! [`authority`] keeps who owns which.

mod about;
mod address;
pub mod authority;
mod balance;
mod client;
mod cluster;
mod combine;
mod drain;
mod epochs;
mod error;
mod hosted;
mod key;
mod keyed;
mod kind;
mod life;
mod manager;
mod packet;
mod placing;
mod post;
mod recover;
mod rolling;
mod shared;
mod states;

pub use cluster::{MoveError, ShardHere, ShardInfo, Shards, ShardsError, ShardsStart};
pub use drain::{DrainError, DrainWaits};
pub use epochs::Epochs;
pub use error::KeyedError;
pub use incarnate_shards::{Alone, Mode, NotMoved, ShardId};
pub use key::{Key, Read};
pub use keyed::{Keyed, KeyedAnswer, KeyedContext};
pub use kind::Kind;
pub use recover::{NotRecovered, Recover, RecoverError};
pub use rolling::{Refusal, ReleaseError, ReleaseInfo, UpgradeStep};
