//! What is to be told to one peer, in order, although there may be no room on the way to it. Pure.

use std::collections::VecDeque;
use std::sync::Arc;

use super::letter::Letter;

/// So many joins and leaves may wait for one peer. With more it is cheaper to tell it all anew. Tests send few.
const LIMIT: usize = if cfg!(test) { 4 } else { 1 << 16 };

/// What became of a letter that was handed to the connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Posted {
    /// It is on its way; or the peer is gone, and its monitor tells of that.
    Done,
    NoRoom,
    /// It cannot be sent, ever.
    TooLong,
}

/// The letters that wait for room on the way to one peer.
#[derive(Default)]
pub(super) struct Outbox {
    waiting: VecDeque<Arc<Letter>>,
    /// Not all that it should know was said, or waits: it is to be told all anew.
    stale: bool,
}

impl Outbox {
    /// Sends a letter behind those that wait. `post` hands one to the connection.
    pub(super) fn send(&mut self, letter: Arc<Letter>, post: impl FnMut(&Arc<Letter>) -> Posted) {
        if self.stale {
            return;
        }
        let may_drop = is_change(&letter);
        self.waiting.push_back(letter);
        self.flush(post);
        if may_drop && self.waiting.len() > LIMIT {
            self.give_up();
        }
    }

    /// Sends what waits, as far as there is room. True: the peer is to be told all anew, from here on.
    pub(super) fn retry(&mut self, post: impl FnMut(&Arc<Letter>) -> Posted) -> bool {
        self.flush(post);
        self.waiting.is_empty() && std::mem::take(&mut self.stale)
    }

    /// Whether it is to be tried again.
    pub(super) fn owes(&self) -> bool {
        self.stale || !self.waiting.is_empty()
    }

    fn flush(&mut self, mut post: impl FnMut(&Arc<Letter>) -> Posted) {
        while let Some(letter) = self.waiting.front() {
            match post(letter) {
                Posted::NoRoom => return,
                // Of very many members: a sync comes in parts.
                Posted::TooLong if is_change(letter) => return self.give_up(),
                Posted::Done | Posted::TooLong => _ = self.waiting.pop_front(),
            }
        }
    }

    fn give_up(&mut self) {
        self.waiting.clear();
        self.stale = true;
    }
}

fn is_change(letter: &Letter) -> bool {
    matches!(letter, Letter::Join(_) | Letter::Leave(_))
}
