//! What a machine handles.

use super::GenStatem;
use super::machine::{Kind, Passed};
use crate::process::Info;

/// An event, by its type (`event_type()`). [`EventOf`] names it by the machine.
#[derive(Debug)]
pub enum Event<Call, Cast, Message, Internal, Timer> {
    /// A request with an answer (`{call, From}`).
    Call(Call),
    /// A request without one (`cast`).
    Cast(Cast),
    /// Everything else that came (`info`).
    Info(Info<Message>),
    /// What the machine itself has inserted (`internal`).
    Internal(Internal),
    /// The event timeout has passed (`timeout`).
    Timeout(Internal),
    /// The state timeout has passed (`state_timeout`).
    StateTimeout(Internal),
    /// The timeout of this name has passed (`{timeout, Name}`).
    NamedTimeout(Timer, Internal),
}

/// An event of a machine of this kind.
pub type EventOf<M> = Event<
    <M as GenStatem>::Call,
    <M as GenStatem>::Cast,
    <M as GenStatem>::Info,
    <M as GenStatem>::Internal,
    <M as GenStatem>::Timer,
>;

impl<C, K, I, N, T> Event<C, K, I, N, T> {
    /// Its type, for a report.
    pub fn kind(&self) -> &'static str {
        match self {
            Event::Call(_) => "call",
            Event::Cast(_) => "cast",
            Event::Info(_) => "info",
            Event::Internal(_) => "internal",
            Event::Timeout(_) => "timeout",
            Event::StateTimeout(_) => "state_timeout",
            Event::NamedTimeout(..) => "named timeout",
        }
    }
}

impl<C, K, I, N, T> From<Passed<T, N>> for Event<C, K, I, N, T> {
    fn from(passed: Passed<T, N>) -> Self {
        match passed.kind {
            Kind::Event => Event::Timeout(passed.content),
            Kind::State => Event::StateTimeout(passed.content),
            Kind::Named(name) => Event::NamedTimeout(name, passed.content),
        }
    }
}
