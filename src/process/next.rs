//! What a signal leaves to be done when no lock is held any more.

use std::task::Waker;

use super::life::{Incarnation, Life};
use super::node::Node;
use super::shell;

/// What is left to do once the lock is gone.
#[must_use]
pub(crate) enum Next {
    Nothing,
    Wake(Waker),
    Start(Box<dyn Incarnation>),
    /// A backlog stands before a receiver that does not come: let another thread of this node have it.
    Spread(Node),
}

impl Next {
    #[inline]
    pub(crate) fn run(self) {
        if !matches!(self, Next::Nothing) {
            self.run_something();
        }
    }

    fn run_something(self) {
        match self {
            Next::Nothing => {}
            Next::Wake(waker) => waker.wake(),
            Next::Start(incarnation) => {
                let process = incarnation.process();
                // The process is held, not its node: every waking process would count the node up and down.
                shell::start_short(process.core().node(), Life::new(process.clone(), incarnation));
            }
            Next::Spread(node) => shell::spread(&node),
        }
    }
}
