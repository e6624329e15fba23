//! The return address that a request carries.

use std::fmt;
use std::sync::Arc;

use serde::{Deserialize, Deserializer, Serialize, Serializer, de, ser};

use super::current;
use super::debug::{EventKind, Seen};
use super::elsewhere::Wire;
use super::slots::{self, SlotId};
use super::wire;

/// Where the answer to a request goes; an `R` is awaited there (`from()` of gen_server).
///
/// Plain data: it may be kept in a server's state, answered later and by any task, and it serialises, so that a
/// caller who waits survives the handoff of the server to another incarnation. It is answered at most once; a caller
/// that gave up or has ended leaves an address that answers go nowhere from. Dropping it answers nothing: the caller
/// then waits until its deadline or until the server ends.
pub struct ReplyTo<R> {
    to: Target<R>,
}

/// The forms of a return address.
enum Target<R> {
    /// A slot in which a task waits, or a connection for somebody on another node.
    Slot(SlotId),
    /// The row of a keyed process's shard, which answers every retry of the same request.
    Row(Box<Row<R>>),
    /// Of a request to a keyed process that is being written: which row it is, its shard says.
    Asked,
}

/// A request to a keyed process.
struct Row<R> {
    /// What its shard knows it by.
    name: Box<[u8]>,
    rows: Arc<dyn Rows>,
    write: fn(&mut Vec<u8>, &R) -> Result<(), String>,
}

/// Where the answers to requests of keyed processes go.
pub(crate) trait Rows: Send + Sync {
    /// The answer to the request with this name. Answers whether it was taken.
    fn answer(&self, name: &[u8], answer: Result<Vec<u8>, String>) -> bool;
}

/// How a return address is written.
#[derive(Serialize, Deserialize)]
enum Form {
    Slot(SlotId),
    Row(Box<[u8]>),
    Asked,
}

impl<R: Send + 'static> ReplyTo<R> {
    pub(crate) fn slot(id: SlotId) -> Self {
        ReplyTo { to: Target::Slot(id) }
    }

    /// That of a request to a keyed process.
    #[cfg(feature = "cluster")]
    pub(crate) fn asked() -> Self {
        ReplyTo { to: Target::Asked }
    }

    /// Sends the answer. Answers whether somebody still waits for it, and for an `R`.
    ///
    /// Never waits and never fails: a caller that is gone is no error of the server's (`gen_server:reply/2`).
    pub fn send(self, answer: R) -> bool {
        match self.to {
            Target::Slot(id) => match slots::fill_unwatched(id, answer) {
                Ok(accepted) => accepted,
                Err(answer) => send_watched(id, answer),
            },
            Target::Row(row) => {
                let mut written = Vec::new();
                let answer = (row.write)(&mut written, &answer).map(|()| written);
                row.rows.answer(&row.name, answer)
            }
            // It has not come to a process yet.
            Target::Asked => false,
        }
    }

    /// Whether the caller still waits. Of one that has asked a keyed process, that is not known: it may ask again.
    pub fn is_awaited(&self) -> bool {
        match &self.to {
            Target::Slot(id) => slots::is_waiting(*id),
            Target::Row(_) => true,
            Target::Asked => false,
        }
    }

    pub(crate) fn slot_id(&self) -> Option<SlotId> {
        match self.to {
            Target::Slot(id) => Some(id),
            Target::Row(_) | Target::Asked => None,
        }
    }
}

impl<R: Wire> Serialize for ReplyTo<R> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let form = match &self.to {
            Target::Slot(_) if wire::is_keyed() => {
                let why = "a keyed process keeps no address that waits on one node: give it a reference";
                return Err(ser::Error::custom(why));
            }
            Target::Slot(id) => {
                wire::sent::<R>(*id);
                Form::Slot(*id)
            }
            Target::Row(row) => Form::Row(row.name.clone()),
            Target::Asked => Form::Asked,
        };
        form.serialize(serializer)
    }
}

impl<'de, R: Wire> Deserialize<'de> for ReplyTo<R> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let (name, rows) = match Form::deserialize(deserializer)? {
            Form::Slot(id) => return Ok(ReplyTo::slot(wire::received::<R>(id))),
            Form::Row(name) => (Some(name), wire::rows()),
            Form::Asked => (wire::row(), wire::rows()),
        };
        match (name, rows) {
            (Some(name), Some(rows)) => {
                Ok(ReplyTo { to: Target::Row(Box::new(Row { name, rows, write: wire::write::<R> })) })
            }
            _ => Err(de::Error::custom(
                "the return address of a keyed request is read by keyed processes only",
            )),
        }
    }
}

/// An answer that nobody waits for any more, or whose sender may be watched.
#[cold]
fn send_watched<R: Send + 'static>(id: SlotId, answer: R) -> bool {
    if let Some(process) = current::get().filter(|process| process.core().is_debugged()) {
        process.core().saw(Some(id), Seen::new(EventKind::Reply, &answer));
    }
    slots::fill(id, answer)
}

impl<R> fmt::Debug for ReplyTo<R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.to {
            Target::Slot(id) => write!(f, "ReplyTo({id:?})"),
            Target::Row(row) => write!(f, "ReplyTo(row {:02x?})", row.name),
            Target::Asked => f.write_str("ReplyTo(asked)"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_return_address_is_two_words_and_survives_the_wire() {
        assert!(size_of::<ReplyTo<String>>() <= 16);
        let mut waiter = slots::open::<u8>();
        let bytes = rmp_serde::to_vec_named(&ReplyTo::<u8>::slot(waiter.id())).unwrap();
        assert!(rmp_serde::from_slice::<ReplyTo<u8>>(&bytes).unwrap().send(7));
        let polled = waiter.poll(&mut std::task::Context::from_waker(std::task::Waker::noop()));
        assert_eq!(polled, std::task::Poll::Ready(Ok(7)));
    }

    #[test]
    fn a_row_is_read_by_keyed_processes_only() {
        let bytes = rmp_serde::to_vec_named(&Form::Row([1, 2, 3].into())).unwrap();
        let error = rmp_serde::from_slice::<ReplyTo<u8>>(&bytes).unwrap_err();
        assert!(error.to_string().contains("by keyed processes only"), "{error}");
    }
}
