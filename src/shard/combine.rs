//! A machine that whoever brings an event has work.
//!
//! Events go into a queue. Who brings one and finds nobody at work does the work, its own and what comes meanwhile: no task
//! of its own stands between a request and its process, nobody waits for a lock, and what the work itself leads to is
//! queued as well, so that nothing is entered twice.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, TryLockError};

use tokio::runtime::Handle;

/// So many events are worked on by one who brought one; the rest by a task.
const TURN: usize = 256;

/// Takes events, one after the other.
pub(crate) trait Machine: Send + 'static {
    /// What comes.
    type Event: Send + 'static;

    /// Takes one. What it leads to is done before this returns, and may bring more events.
    fn handle(&mut self, event: Self::Event);
}

pub(crate) struct Combined<M: Machine> {
    queue: Mutex<VecDeque<M::Event>>,
    machine: Mutex<M>,
    runtime: Handle,
}

impl<M: Machine> Combined<M> {
    pub(crate) fn new(machine: M, runtime: Handle) -> Self {
        Combined { queue: Mutex::default(), machine: Mutex::new(machine), runtime }
    }

    /// Has an event handled, now or by whoever is at work. Never waits.
    pub(crate) fn handle(self: &Arc<Self>, event: M::Event) {
        self.queue().push_back(event);
        self.work();
    }

    /// Looks at the machine, when nobody is at work.
    pub(crate) fn look<R>(&self, look: impl FnOnce(&M) -> R) -> R {
        look(&self.machine.lock().unwrap_or_else(PoisonError::into_inner))
    }

    fn queue(&self) -> MutexGuard<'_, VecDeque<M::Event>> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn work(self: &Arc<Self>) {
        let mut left = TURN;
        loop {
            let mut machine = match self.machine.try_lock() {
                Ok(machine) => machine,
                Err(TryLockError::Poisoned(poisoned)) => poisoned.into_inner(),
                // Whoever works looks into the queue again when it is done.
                Err(TryLockError::WouldBlock) => return,
            };
            while left > 0 {
                let Some(event) = self.queue().pop_front() else { break };
                machine.handle(event);
                left -= 1;
            }
            drop(machine);
            if self.queue().is_empty() {
                return;
            }
            if left == 0 {
                let me = self.clone();
                self.runtime.spawn(async move { me.work() });
                return;
            }
        }
    }
}
