//! The handoff: how state leaves one incarnation and enters the next.
//!
//! Data only: nothing here knows of a runtime, a lock or a clock, and nothing here suspends or starts anything.
//! Whoever hands a process over (an upgrade, a restart, a move to another node) does it with these.
//!
//! - State crosses as bytes beside a version, never in the shape that it has in memory ([`Capsule`]).
//! - Each version of a state is a struct of its own that never changes again; `up` and `down` lead from one to the
//!   next ([`StateVersion`]).
//! - What is not understood is refused, by an error that says what was found and what is understood
//!   ([`ChangeError`], [`CapsuleError`]). Nothing is guessed, and nothing is dropped in silence.
//! - Bytes may come from anywhere: no panic, no overflow of the stack, no memory far beyond their length.
//!
//! ```
//! use incarnate::handoff::{ChangeError, StateVersion, downgrade, encode, upgrade};
//! use incarnate::{Never, Term};
//! use serde::{Deserialize, Serialize};
//!
//! #[derive(Serialize, Deserialize)]
//! struct KeyV1 { value: String }
//!
//! #[derive(Serialize, Deserialize)]
//! struct KeyV2 { value: String, hits: u64 }
//!
//! impl StateVersion for KeyV1 {
//!     const VSN: u32 = 1;
//!     type Previous = Never;
//! }
//!
//! impl StateVersion for KeyV2 {
//!     const VSN: u32 = 2;
//!     type Previous = KeyV1;
//!
//!     fn up(previous: KeyV1, _: &Term) -> Result<Self, ChangeError> {
//!         Ok(KeyV2 { value: previous.value, hits: 0 })
//!     }
//!     fn down(self, _: &Term) -> Result<KeyV1, ChangeError> {
//!         match self.hits {
//!             0 => Ok(KeyV1 { value: self.value }),
//!             n => Err(ChangeError::lossy(format!("{n} hits would be lost"))),
//!         }
//!     }
//! }
//!
//! let old = encode(&KeyV1 { value: "a".into() })?;
//! let mut new: KeyV2 = upgrade(1, &old, &Term::nil())?;
//! assert_eq!(new.hits, 0);
//!
//! new.hits = 3;
//! let refused = downgrade(new, 1, &Term::nil()).unwrap_err();
//! assert_eq!(
//!     refused.to_string(),
//!     "from version 2 to 1 something would be lost: 3 hits would be lost; the old version goes on"
//! );
//! # Ok::<(), ChangeError>(())
//! ```

mod capsule;
mod error;
mod module;
mod version;

pub use capsule::{Answered, Capsule, CapsuleError, CapsuleTimer, Unread, UnreadKind};
pub use error::ChangeError;
pub use module::{ModuleError, ModuleVsn};
pub use version::{StateVersion, downgrade, encode, understood, upgrade, versions};
