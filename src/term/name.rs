//! Typed names.

use std::fmt;
use std::hash::{Hash, Hasher};
use std::marker::PhantomData;

use super::Never;

/// A registered name, typed by the messages that the process behind it takes, never by the struct that handles
/// them: that is what lets a version be swapped under it.
///
/// An address, meant to be a `const`: valid before the first start, across restarts, upgrades and moves.
/// What is registered is looked up at each use. Source: `erlang:register/2`, `gen_server:server_ref()`.
///
/// ```
/// use incarnate::{Name, ReplyTo};
///
/// enum Call { Get(ReplyTo<i64>) }
/// enum Cast { Add(i64) }
/// const COUNTER: Name<Call, Cast> = Name::new("counter");
/// assert_eq!(COUNTER.as_str(), "counter");
/// ```
pub struct Name<Call, Cast = Never, Info = Never> {
    name: &'static str,
    // A name sends messages and holds none: it is Send and Sync whatever they are.
    messages: PhantomData<fn(Call, Cast, Info)>,
}

impl<Call, Cast, Info> Name<Call, Cast, Info> {
    /// A name. Nothing is registered by this.
    pub const fn new(name: &'static str) -> Self {
        Name { name, messages: PhantomData }
    }

    /// The name as text.
    pub const fn as_str(&self) -> &'static str {
        self.name
    }
}

impl<Call, Cast, Info> Clone for Name<Call, Cast, Info> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<Call, Cast, Info> Copy for Name<Call, Cast, Info> {}

impl<Call, Cast, Info> PartialEq for Name<Call, Cast, Info> {
    fn eq(&self, other: &Self) -> bool {
        self.name == other.name
    }
}

impl<Call, Cast, Info> Eq for Name<Call, Cast, Info> {}

impl<Call, Cast, Info> Hash for Name<Call, Cast, Info> {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.name.hash(state);
    }
}

impl<Call, Cast, Info> fmt::Display for Name<Call, Cast, Info> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name)
    }
}

impl<Call, Cast, Info> fmt::Debug for Name<Call, Cast, Info> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Name({:?})", self.name)
    }
}
