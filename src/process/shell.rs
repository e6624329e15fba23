//! Shells: ractor actors that lives run in. The only file that names ractor.
//!
//! A shell runs one life after another. An idle one waits in the node's pool for the next: that about doubles what
//! spawn, restart and waking from hibernation reach.

use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, Waker, ready};
use std::time::Duration;

use ractor::{Actor, ActorProcessingErr, ActorRef};

use super::life::Life;
use super::node::{Node, WeakNode};

/// Idle shells that a node keeps for good, about 6 KB each.
const KEPT: usize = 1024;
/// How often half of the surplus is given back: a wave of ends is often followed by a wave of starts.
const TRIM_EVERY: Duration = Duration::from_secs(1);

/// The idle shells of a node.
#[derive(Default)]
pub(crate) struct Pool {
    idle: Mutex<Vec<Arc<Slot>>>,
    trimming: AtomicBool,
}

/// Where an idle shell finds its next life.
#[derive(Default)]
struct Slot {
    next: Mutex<Handover>,
}

#[derive(Default)]
enum Handover {
    #[default]
    Nothing,
    Waiting(Waker),
    Life(Life),
    /// The node is gone.
    Closed,
}

impl Slot {
    fn hand_over(&self, next: Handover) {
        let former = std::mem::replace(&mut *self.next.lock().unwrap_or_else(PoisonError::into_inner), next);
        if let Handover::Waiting(waker) = former {
            waker.wake();
        }
    }

    fn poll_life(&self, cx: &Context<'_>) -> Poll<Option<Life>> {
        let mut next = self.next.lock().unwrap_or_else(PoisonError::into_inner);
        match std::mem::take(&mut *next) {
            Handover::Life(life) => Poll::Ready(Some(life)),
            Handover::Closed => Poll::Ready(None),
            former => {
                *next = Handover::Waiting(cx.waker().clone());
                drop(next);
                drop(former);
                Poll::Pending
            }
        }
    }
}

impl Pool {
    fn idle(&self) -> std::sync::MutexGuard<'_, Vec<Arc<Slot>>> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes a shell in. A surplus stays for a while: ending a shell costs more than a life in it.
    fn offer(&self, slot: &Arc<Slot>, node: &Node) {
        let mut idle = self.idle();
        idle.push(slot.clone());
        let surplus = idle.len() > KEPT;
        drop(idle);
        if surplus && !self.trimming.load(Ordering::Relaxed) && !self.trimming.swap(true, Ordering::AcqRel) {
            node.runtime().spawn(trim(node.downgrade()));
        }
    }

    /// Ends half of the surplus, the longest idle first; false when there was none.
    fn trim(&self) -> bool {
        let mut idle = self.idle();
        let surplus = idle.len().saturating_sub(KEPT);
        let ended: Vec<_> = idle.drain(..surplus.div_ceil(2)).collect();
        if surplus == 0 {
            // Under the lock: a shell that is offered from now on sees that nobody trims.
            self.trimming.store(false, Ordering::Release);
        }
        drop(idle);
        ended.iter().for_each(|slot| slot.hand_over(Handover::Closed));
        surplus > 0
    }
}

async fn trim(node: WeakNode) {
    loop {
        tokio::time::sleep(TRIM_EVERY).await;
        if !node.upgrade().is_some_and(|node| node.shells().trim()) {
            return;
        }
    }
}

impl Drop for Pool {
    fn drop(&mut self) {
        self.idle().drain(..).for_each(|slot| slot.hand_over(Handover::Closed));
    }
}

/// Starts a life in an idle shell, or in a new one. Never waits; may be called from any thread.
pub(crate) fn start(node: &Node, life: Life) {
    let idle = node.shells().idle().pop();
    match idle {
        Some(slot) => slot.hand_over(Handover::Life(life)),
        None => start_new(node, life),
    }
}

fn start_new(node: &Node, life: Life) {
    let _runtime = node.runtime().enter();
    let shift = Shift { node: node.downgrade(), life: Some(life), slot: None };
    // ractor's spawn awaits nothing but our `pre_start`, which is ready at once; without tokio's budget one poll is
    // enough, and spawning is synchronous.
    let spawn = tokio::task::coop::unconstrained(Actor::spawn(None, Shell, shift));
    let mut spawn = std::pin::pin!(spawn);
    let polled = spawn.as_mut().poll(&mut Context::from_waker(Waker::noop()));
    // A runtime that shuts down refuses: the life was dropped then, and with it the process has ended `killed`.
    debug_assert!(polled.is_ready(), "spawning a shell awaits nothing");
}

/// Ends an actor without the message loop that no shell uses.
#[derive(Debug)]
struct Done;

impl std::fmt::Display for Done {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("the shell is done")
    }
}

impl std::error::Error for Done {}

struct Shell;

/// What a shell works on: kept in the actor's state, so that its futures stay small.
struct Shift {
    node: WeakNode,
    life: Option<Life>,
    slot: Option<Arc<Slot>>,
}

impl Shift {
    /// Runs one life after another, until the pool lets this shell go.
    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        loop {
            if let Some(life) = &mut self.life {
                ready!(Pin::new(life).poll(cx));
                self.life = None;
                let slot = self.slot.get_or_insert_default();
                let Some(node) = self.node.upgrade() else { return Poll::Ready(()) };
                node.shells().offer(slot, &node);
            }
            let Some(slot) = &self.slot else { return Poll::Ready(()) };
            match ready!(slot.poll_life(cx)) {
                Some(next) => self.life = Some(next),
                None => return Poll::Ready(()),
            }
        }
    }
}

impl Actor for Shell {
    type Msg = ();
    type State = Shift;
    type Arguments = Shift;

    async fn pre_start(&self, _: ActorRef<()>, shift: Shift) -> Result<Shift, ActorProcessingErr> {
        Ok(shift)
    }

    /// The whole work of a shell: ractor's four-port message loop is never entered.
    async fn post_start(&self, _: ActorRef<()>, shift: &mut Shift) -> Result<(), ActorProcessingErr> {
        poll_fn(|cx| shift.poll(cx)).await;
        Err(Box::new(Done))
    }
}
