//! The return address that a request carries.

use std::fmt;
use std::marker::PhantomData;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

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
    to: Target,
    answer: PhantomData<fn(R)>,
}

/// The two forms of a return address.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
enum Target {
    /// A slot in which a task waits, or a connection for somebody on another node.
    Slot(SlotId),
    /// The row of a keyed process's shard, which answers every retry of the same request.
    Row(Box<Row>),
}

/// A request to a keyed process: its shard, the client's session and the number in it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Row {
    shard: u16,
    session: (u64, u64),
    sequence: u64,
}

impl<R: Send + 'static> ReplyTo<R> {
    pub(crate) fn slot(id: SlotId) -> Self {
        ReplyTo { to: Target::Slot(id), answer: PhantomData }
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
            // Rows live in shards; a node without any has nobody who waits there.
            Target::Row(_) => false,
        }
    }

    /// Whether the caller still waits.
    pub fn is_awaited(&self) -> bool {
        matches!(self.to, Target::Slot(id) if slots::is_waiting(id))
    }

    pub(crate) fn slot_id(&self) -> Option<SlotId> {
        match self.to {
            Target::Slot(id) => Some(id),
            Target::Row(_) => None,
        }
    }
}

impl<R: Wire> Serialize for ReplyTo<R> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        if let Target::Slot(id) = self.to {
            wire::sent::<R>(id);
        }
        self.to.serialize(serializer)
    }
}

impl<'de, R: Wire> Deserialize<'de> for ReplyTo<R> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let to = match Target::deserialize(deserializer)? {
            Target::Slot(id) => Target::Slot(wire::received::<R>(id)),
            row @ Target::Row(_) => row,
        };
        Ok(ReplyTo { to, answer: PhantomData })
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
        write!(f, "ReplyTo({:?})", self.to)
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
    fn a_row_survives_the_wire() {
        let row = Target::Row(Box::new(Row { shard: 3, session: (1, 2), sequence: 4 }));
        let bytes = rmp_serde::to_vec_named(&row).unwrap();
        assert_eq!(rmp_serde::from_slice::<Target>(&bytes).unwrap(), row);
    }
}
