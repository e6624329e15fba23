//! Those who wait for room on a lane, and the frames that do.

use std::sync::Arc;
use std::task::{Context, Poll, ready};

use super::connection::Connection;
use super::handshake::Lane;
use super::outbound::{NotQueued, Place, Sent};
use crate::process::elsewhere::{Delayed, Room};
use crate::process::{Rejected, SlotId};

/// Somebody waits for room on a lane.
pub(super) struct Waits {
    connection: Arc<Connection>,
    lane: Lane,
    /// For a frame of so many.
    bytes: usize,
    place: Option<Place>,
}

impl Waits {
    /// Until the lane is not busy.
    pub(super) fn on(connection: Arc<Connection>, lane: Lane) -> Self {
        Waits { connection, lane, bytes: 0, place: None }
    }
}

impl Room for Waits {
    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        self.connection.outbound(self.lane).poll_room(cx, self.bytes, &mut self.place)
    }
}

impl Drop for Waits {
    fn drop(&mut self) {
        if let Some(place) = self.place {
            self.connection.outbound(self.lane).leave(place);
        }
    }
}

/// A frame that waits for room.
struct LateFrame {
    waits: Waits,
    frame: Vec<u8>,
    /// Where the answer to a request is expected, until it is sent.
    slot: Option<SlotId>,
}

pub(super) fn late_frame(
    connection: Arc<Connection>,
    lane: Lane,
    frame: Vec<u8>,
    slot: Option<SlotId>,
) -> Box<dyn Delayed> {
    let waits = Waits { connection, lane, bytes: frame.len(), place: None };
    Box::new(LateFrame { waits, frame, slot })
}

impl Delayed for LateFrame {
    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Rejected>> {
        loop {
            ready!(self.waits.poll(cx));
            match self.waits.connection.outbound(self.waits.lane).push(&self.frame, Sent::Message) {
                Ok(_) => {
                    self.slot = None;
                    return Poll::Ready(Ok(()));
                }
                Err(NotQueued::Full) => {}
                Err(NotQueued::Closed) => return Poll::Ready(Err(Rejected::NoConnection)),
            }
        }
    }
}

impl Drop for LateFrame {
    fn drop(&mut self) {
        self.waits.connection.unexpect(self.slot);
    }
}
