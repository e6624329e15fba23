//! What has come in while the supervisor was busy: the mailbox behind OTP's blocking calls.

use crate::{ChildSpec, Flags, Key, Request, Timer};
use alloc::collections::{BTreeMap, VecDeque};
use alloc::vec::Vec;

/// One thing to attend to.
#[derive(Clone, Debug)]
pub(crate) enum Letter<P, T, R> {
    /// A linked process ended; its reason lies in [`Inbox::take_exit`], unless a termination has used it up.
    Exit(P),
    Retry(Key),
    DelayOver {
        key: Key,
        timer: Timer,
    },
    /// With a specification from callers of an ordinary supervisor, without one from those of a
    /// simple_one_for_one one.
    StartChild {
        token: T,
        key: Key,
        spec: Option<ChildSpec>,
    },
    Request {
        token: T,
        request: Request<P>,
    },
    CodeChange {
        token: T,
        flags: Flags,
        specs: Vec<ChildSpec>,
    },
    Shutdown(R),
}

/// Letters in order of arrival. Exits can be taken out of turn, as OTP's `unlink_flush` does by selective
/// receive.
#[derive(Clone, Debug)]
pub(crate) struct Inbox<P, T, R> {
    letters: VecDeque<Letter<P, T, R>>,
    exits: BTreeMap<P, R>,
}

impl<P: Ord + Clone, T, R> Inbox<P, T, R> {
    pub(crate) fn new() -> Self {
        Self { letters: VecDeque::new(), exits: BTreeMap::new() }
    }

    pub(crate) fn push(&mut self, letter: Letter<P, T, R>) {
        self.letters.push_back(letter);
    }

    /// A second exit of the same process would be an unknown one after the first, so only the first counts.
    pub(crate) fn push_exit(&mut self, pid: P, reason: R) {
        if !self.exits.contains_key(&pid) {
            self.exits.insert(pid.clone(), reason);
            self.letters.push_back(Letter::Exit(pid));
        }
    }

    pub(crate) fn pop(&mut self) -> Option<Letter<P, T, R>> {
        self.letters.pop_front()
    }

    pub(crate) fn take_exit(&mut self, pid: &P) -> Option<R> {
        self.exits.remove(pid)
    }

    pub(crate) fn holds_exit(&self, pid: &P) -> bool {
        self.exits.contains_key(pid)
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.letters.is_empty() && self.exits.is_empty()
    }
}
