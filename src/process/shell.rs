//! Shells: ractor actors that lives run in. The only file that names ractor.
//!
//! A shell runs one life after another. An idle one waits in the node's pool for the next: that about doubles what
//! spawn, restart and waking from hibernation reach.
//!
//! A process that wakes from hibernation mostly goes back to it at once, so there the shells go to the lives: as many
//! *fetching* shells as there are threads take lives from one queue, one after the other in the same poll. To wake a shell
//! for each would cost more than what most of them do. A fetching shell whose life waits stays with it and passes its
//! turn on.
//!
//! Invariant: while lives are in the queue, a shell fetches.

use std::collections::VecDeque;
use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker, ready};
use std::time::Duration;

use ractor::{Actor, ActorProcessingErr, ActorRef};
use tokio::runtime::{Handle, RuntimeFlavor};

use super::life::Life;
use super::node::{Node, WeakNode};

/// Idle shells that a node keeps for good, about 6 KB each.
const KEPT: usize = 1024;
/// How often half of the surplus is given back: a wave of ends is often followed by a wave of starts.
const TRIM_EVERY: Duration = Duration::from_secs(1);

/// So many lives in one poll, then others run.
const LIVES: u32 = 32;

/// The idle shells of a node, and the lives that wait for one.
pub(crate) struct Pool {
    stock: Mutex<Stock>,
    /// How many shells fetch at most: one for each thread.
    fetchers: usize,
    trimming: AtomicBool,
}

#[derive(Default)]
struct Stock {
    idle: Vec<Arc<Slot>>,
    queue: VecDeque<Life>,
    /// How many [`Turn`]s there are.
    fetching: usize,
    /// How many lives were fetched, and how many of them before the last look of the watch.
    fetched: u64,
    seen: u64,
}

impl Stock {
    fn fetch(&mut self) -> Option<Life> {
        let life = self.queue.pop_front()?;
        self.fetched += 1;
        Some(life)
    }
}

/// A life to run, and the turn to fetch more.
struct Work {
    life: Life,
    turn: Option<Turn>,
}

/// The right to fetch, with the duty to go on until the queue is empty.
struct Turn {
    node: WeakNode,
    /// False: it was given back.
    held: bool,
}

impl Turn {
    /// One that was counted.
    fn new(node: &Node) -> Self {
        Turn { node: node.downgrade(), held: true }
    }

    /// The shell waits with its life: another takes the turn, if there is something to fetch.
    fn pass_on(mut self) {
        let Some(node) = self.node.upgrade() else { return };
        let mut stock = node.shells().stock();
        match stock.fetch() {
            Some(life) => {
                let idle = stock.idle.pop();
                drop(stock);
                hand_over(&node, idle, Work { life, turn: Some(self) });
            }
            None => {
                stock.fetching -= 1;
                self.held = false;
            }
        }
    }
}

impl Drop for Turn {
    /// The shell has gone with its turn: the runtime shuts down.
    fn drop(&mut self) {
        if !self.held {
            return;
        }
        let Some(node) = self.node.upgrade() else { return };
        loop {
            let mut stock = node.shells().stock();
            // Those that still fetch come to what waits; else each is started, or refused. The turn is held meanwhile: what
            // the end of a refused one starts waits for the next round, however long the chain of their links is.
            let waiting =
                if stock.fetching == 1 { std::mem::take(&mut stock.queue) } else { VecDeque::new() };
            if waiting.is_empty() {
                stock.fetching -= 1;
                return;
            }
            drop(stock);
            waiting.into_iter().for_each(|life| start(&node, life));
        }
    }
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
    Work(Work),
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

    fn poll_work(&self, cx: &Context<'_>) -> Poll<Option<Work>> {
        let mut next = self.next.lock().unwrap_or_else(PoisonError::into_inner);
        match std::mem::take(&mut *next) {
            Handover::Work(work) => Poll::Ready(Some(work)),
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
    /// Without shells; those to come run on so many threads.
    pub(crate) fn new(threads: usize) -> Self {
        Pool { stock: Mutex::default(), fetchers: threads.max(1), trimming: AtomicBool::new(false) }
    }

    fn stock(&self) -> MutexGuard<'_, Stock> {
        self.stock.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The next life for a shell that fetches; without one the shell is idle, and its turn over.
    fn fetch(&self, slot: &Arc<Slot>, turn: &mut Option<Turn>, node: &Node) -> Option<Life> {
        let mut stock = self.stock();
        if let Some(fetching) = turn {
            if let Some(life) = stock.fetch() {
                return Some(life);
            }
            fetching.held = false;
            stock.fetching -= 1;
        }
        stock.idle.push(slot.clone());
        let surplus = stock.idle.len() > KEPT;
        drop(stock);
        *turn = None;
        // A surplus stays for a while: ending a shell costs more than a life in it.
        if surplus && !self.trimming.load(Ordering::Relaxed) && !self.trimming.swap(true, Ordering::AcqRel) {
            node.runtime().spawn(trim(node.downgrade()));
        }
        None
    }

    /// Ends half of the surplus, the longest idle first; false when there was none.
    fn trim(&self) -> bool {
        let mut stock = self.stock();
        let surplus = stock.idle.len().saturating_sub(KEPT);
        let ended: Vec<_> = stock.idle.drain(..surplus.div_ceil(2)).collect();
        if surplus == 0 {
            // Under the lock: a shell that is offered from now on sees that nobody trims.
            self.trimming.store(false, Ordering::Release);
        }
        drop(stock);
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
        let Stock { idle, queue, .. } = std::mem::take(&mut *self.stock());
        idle.iter().for_each(|slot| slot.hand_over(Handover::Closed));
        drop(queue);
    }
}

/// Lets another thread have what this one has woken last.
///
/// A worker of tokio keeps that for itself until its task awaits, although others may be idle; a task after it moves it
/// to where they find it. So a process that sends and sends and never awaits has its receiver run beside it.
pub(crate) fn spread(node: &Node) {
    if node.runtime().runtime_flavor() == RuntimeFlavor::MultiThread {
        node.runtime().spawn(std::future::ready(()));
    }
}

/// Starts a life in an idle shell, or in a new one. Never waits; may be called from any thread.
pub(crate) fn start(node: &Node, life: Life) {
    let idle = node.shells().stock().idle.pop();
    hand_over(node, idle, Work { life, turn: None });
}

/// Starts a life that is likely to be short. Never waits; may be called from any thread.
pub(crate) fn start_short(node: &Node, life: Life) {
    let mut stock = node.shells().stock();
    if stock.fetching >= node.shells().fetchers {
        stock.queue.push_back(life);
        return;
    }
    stock.fetching += 1;
    let idle = stock.idle.pop();
    drop(stock);
    hand_over(node, idle, Work { life, turn: Some(Turn::new(node)) });
}

/// Looked at now and then: when lives wait and none was fetched since the last time, those that fetch hold their threads,
/// and one more shell fetches until the queue is empty.
pub(crate) fn relieve(node: &Node) {
    let mut stock = node.shells().stock();
    let stuck = stock.fetched == stock.seen;
    stock.seen = stock.fetched;
    let Some(life) = stuck.then(|| stock.fetch()).flatten() else { return };
    stock.fetching += 1;
    let idle = stock.idle.pop();
    drop(stock);
    hand_over(node, idle, Work { life, turn: Some(Turn::new(node)) });
}

fn hand_over(node: &Node, idle: Option<Arc<Slot>>, work: Work) {
    match idle {
        Some(slot) => slot.hand_over(Handover::Work(work)),
        None => start_new(node, work),
    }
}

fn start_new(node: &Node, work: Work) {
    // Entered only from elsewhere: a runtime that shuts down drops the life that it refuses while it must not be entered,
    // and the end of that life may start others here.
    let is_current = Handle::try_current().is_ok_and(|current| current.id() == node.runtime().id());
    let _runtime = (!is_current).then(|| node.runtime().enter());
    let shift = Shift { node: node.downgrade(), life: Some(work.life), turn: work.turn, slot: None };
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
    turn: Option<Turn>,
    slot: Option<Arc<Slot>>,
}

impl Shift {
    /// Runs one life after another, until the pool lets this shell go.
    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let mut lives = 0;
        loop {
            if let Some(life) = &mut self.life {
                if lives == LIVES {
                    cx.waker().wake_by_ref();
                    return Poll::Pending;
                }
                lives += 1;
                if Pin::new(life).poll(cx).is_pending() {
                    if let Some(turn) = self.turn.take() {
                        turn.pass_on();
                    }
                    return Poll::Pending;
                }
                self.life = None;
                let slot = self.slot.get_or_insert_default();
                let Some(node) = self.node.upgrade() else { return Poll::Ready(()) };
                self.life = node.shells().fetch(slot, &mut self.turn, &node);
                if self.life.is_some() {
                    continue;
                }
            }
            let Some(slot) = &self.slot else { return Poll::Ready(()) };
            match ready!(slot.poll_work(cx)) {
                Some(Work { life, turn }) => (self.life, self.turn) = (Some(life), turn),
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
