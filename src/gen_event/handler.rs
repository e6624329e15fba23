//! The identity of a handler: `Module | {Module, Id}`.

use std::any::{TypeId, type_name};
use std::borrow::Cow;
use std::fmt;
use std::marker::PhantomData;

use super::EventHandler;

/// Names a handler of type `H` within a manager, whether it is installed there or not: its type alone, or its type and an
/// id, for several of one type (`Module | {Module, Id}`). Typed by the handler, so that its arguments and requests are.
pub struct Handler<H> {
    id: Option<Cow<'static, str>>,
    module: PhantomData<fn() -> H>,
}

impl<H> Handler<H> {
    /// The handler of this type without an id (`Module`).
    pub const fn new() -> Self {
        Handler { id: None, module: PhantomData }
    }

    /// The handler of this type with an id (`{Module, Id}`). An id that is made at run time goes by `Handler::from`.
    pub const fn with_id(id: &'static str) -> Self {
        Handler { id: Some(Cow::Borrowed(id)), module: PhantomData }
    }
}

impl<H: EventHandler> Handler<H> {
    /// The same without the type.
    pub fn id(&self) -> HandlerId {
        HandlerId { module: TypeId::of::<H>(), name: type_name::<H>(), id: self.id.clone() }
    }
}

impl<H> Default for Handler<H> {
    fn default() -> Self {
        Handler::new()
    }
}

impl<H> Clone for Handler<H> {
    fn clone(&self) -> Self {
        Handler { id: self.id.clone(), module: PhantomData }
    }
}

impl<H> From<String> for Handler<H> {
    fn from(id: String) -> Self {
        Handler { id: Some(Cow::Owned(id)), module: PhantomData }
    }
}

impl<H: EventHandler> fmt::Debug for Handler<H> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.id(), f)
    }
}

/// Which handler: as a [`Handler`], without the type of it.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct HandlerId {
    module: TypeId,
    name: &'static str,
    id: Option<Cow<'static, str>>,
}

impl HandlerId {
    /// The name of its type.
    pub fn module(&self) -> &'static str {
        self.name
    }

    /// Its id, if it has one.
    pub fn id(&self) -> Option<&str> {
        self.id.as_deref()
    }
}

impl<H: EventHandler> From<Handler<H>> for HandlerId {
    fn from(handler: Handler<H>) -> Self {
        handler.id()
    }
}

impl fmt::Display for HandlerId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.id {
            None => f.write_str(self.name),
            Some(id) => write!(f, "{{{}, {id}}}", self.name),
        }
    }
}

impl fmt::Debug for HandlerId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}
