//! Typed names of groups.

use std::borrow::Cow;
use std::fmt;
use std::hash::{Hash, Hasher};
use std::marker::PhantomData;
use std::sync::Arc;

use crate::term::Never;

/// A name as it is kept and told.
pub(super) type GroupName = Arc<str>;

/// The name of a group, typed by the messages that its members take, as a [`Name`](crate::Name) is.
///
/// A group needs no start: it is there as long as it has members. Source: `group()` of `pg`, which is any term.
///
/// ```
/// use incarnate::Never;
/// use incarnate::pg::Group;
///
/// const LOBBY: Group<Never, Never, String> = Group::new("lobby");
/// let room = Group::<Never, Never, String>::named(format!("room {}", 7));
/// assert_eq!((LOBBY.as_str(), room.as_str()), ("lobby", "room 7"));
/// ```
pub struct Group<Call, Cast = Never, Info = Never> {
    name: Cow<'static, str>,
    // It sends messages and holds none, as a name.
    messages: PhantomData<fn(Call, Cast, Info)>,
}

impl<Call, Cast, Info> Group<Call, Cast, Info> {
    /// A group with a name that is known beforehand.
    pub const fn new(name: &'static str) -> Self {
        Group { name: Cow::Borrowed(name), messages: PhantomData }
    }

    /// A group with a name that is made at run time.
    pub fn named(name: impl Into<String>) -> Self {
        Group { name: Cow::Owned(name.into()), messages: PhantomData }
    }

    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.name
    }
}

impl<Call, Cast, Info> Clone for Group<Call, Cast, Info> {
    fn clone(&self) -> Self {
        Group { name: self.name.clone(), messages: PhantomData }
    }
}

impl<Call, Cast, Info> PartialEq for Group<Call, Cast, Info> {
    fn eq(&self, other: &Self) -> bool {
        self.name == other.name
    }
}

impl<Call, Cast, Info> Eq for Group<Call, Cast, Info> {}

impl<Call, Cast, Info> Hash for Group<Call, Cast, Info> {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.name.hash(state);
    }
}

impl<Call, Cast, Info> fmt::Display for Group<Call, Cast, Info> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.name)
    }
}

impl<Call, Cast, Info> fmt::Debug for Group<Call, Cast, Info> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Group({:?})", self.name)
    }
}
