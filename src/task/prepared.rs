//! A task's process before it runs, so that whoever starts it can tie it first.

use std::future::{Future, poll_fn};
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use super::work::Work;
use crate::process::{
    AnyProcess, Cell, Core, Envelope, Inbox, Incarnation, Life, Linked, Node, Outcome, Pending, SlotId, fill,
    is_system, link, open, reaches_suspended, serve, start_life,
};
use crate::term::{ExitReason, Never, Pid};

/// A process that is not started yet. Dropped, it never was: its work has not run, and who waits for it hears
/// `killed`.
pub(super) struct Prepared {
    process: Arc<dyn AnyProcess>,
    life: Life,
}

/// Where the end of a task is heard of.
pub(super) struct Ends<T> {
    pub(super) process: Arc<dyn AnyProcess>,
    /// Filled when the process is gone, after its links and monitors were told.
    pub(super) ended: Pending<ExitReason>,
    /// Filled before that, if there is a value.
    pub(super) value: Pending<T>,
}

/// Prepares a process for some work; `parent` is who will start it.
pub(super) fn prepare<W: Work>(
    node: &Node,
    parent: Option<&Arc<dyn AnyProcess>>,
    work: W,
) -> (Prepared, Ends<<W as Work>::Output>) {
    let core = Core::new(node.clone(), parent, std::any::type_name::<W>);
    // Nobody sends messages to a task: its mailbox takes signals alone, and a task that traps them reads none but those
    // of the system.
    let cell = Arc::new(Cell::<Never>::new(core, 0));
    let process: Arc<dyn AnyProcess> = cell.clone();
    let (ended, value) = (open(), open());
    process.core().relations().rare_mut().waiting.push(ended.id());
    let running = Running { inbox: Inbox::new(cell), work, value: value.id() };
    let life = Life::new(process.clone(), Box::new(running));
    (Prepared { process: process.clone(), life }, Ends { process, ended, value })
}

impl Prepared {
    pub(super) fn pid(&self) -> Pid {
        self.process.core().pid()
    }

    pub(super) fn process(&self) -> &Arc<dyn AnyProcess> {
        &self.process
    }

    /// Links it to all of these, then starts it. False: one of them has ended, and it was not started.
    pub(super) fn start<'a>(self, ties: impl IntoIterator<Item = &'a Arc<dyn AnyProcess>>) -> bool {
        let Prepared { process, life } = self;
        let node = process.core().node().clone();
        node.table().insert(process.clone());
        // Tied before it runs: there is no moment in which it can end unseen.
        let tied = ties.into_iter().all(|tie| link(&process, tie) == Linked::Done);
        if tied {
            start_life(&node, life);
        }
        tied
    }
}

struct Running<W: Work> {
    inbox: Inbox<Never>,
    work: W,
    value: SlotId,
}

impl<W: Work> Incarnation for Running<W> {
    fn process(&self) -> Arc<dyn AnyProcess> {
        self.inbox.cell().clone()
    }

    fn run(self: Box<Self>) -> Pin<Box<dyn Future<Output = Outcome> + Send>> {
        let Running { mut inbox, work, value } = *self;
        let cell = inbox.cell().clone();
        Box::pin(async move {
            let mut work = pin!(work.outcome());
            match poll_fn(|cx| poll_obedient(&mut inbox, &cell, work.as_mut(), cx)).await {
                Ok(output) => {
                    // A value that nobody waits for any more is dropped here.
                    fill(value, output);
                    Outcome::Exit(ExitReason::Normal)
                }
                Err(reason) => Outcome::Exit(reason),
            }
        })
    }
}

/// Polls work that obeys system messages whenever it waits: suspended, it is not polled.
///
/// The work comes first: if it never waits, nobody looks at the mailbox.
fn poll_obedient<F: Future>(
    inbox: &mut Inbox<Never>,
    cell: &Cell<Never>,
    mut work: Pin<&mut F>,
    cx: &mut Context<'_>,
) -> Poll<F::Output> {
    let core = cell.core();
    // Told to end, it is not polled again.
    while !core.is_doomed() {
        if !core.is_suspended()
            && let Poll::Ready(output) = work.as_mut().poll(cx)
        {
            return Poll::Ready(output);
        }
        let is_for_me = |envelope: &Envelope<Never>| match core.is_suspended() {
            true => reaches_suspended(envelope, cell),
            false => is_system(envelope),
        };
        serve(ready!(inbox.poll_where(cx, &mut 0, is_for_me)), cell);
    }
    Poll::Pending
}
