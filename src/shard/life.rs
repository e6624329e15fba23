//! One life of a keyed process: from the message that starts it until it is idle, moves, or crashes.

use std::cell::RefCell;
use std::future::{Future, poll_fn};
use std::marker::PhantomData;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::Poll;
use std::time::Duration;

use incarnate_shards::{JobId, RequestId};

use super::address::{Address, Blob, Fault, How, Said};
use super::hosted::{Event, Hosted};
use super::keyed::{Keyed, KeyedAnswer, KeyedContext, Output};
use super::kind::{load, tells_changes};
use super::shared::{Shared, row_name};
use super::states::{Becomes, Kept};
use crate::gen_server::{Resumed, Step};
use crate::handoff;
use crate::process::{Error, Info, Process, Result, catch, panic_reason, wire};
use crate::term::{ExitReason, Pid};

/// What a process is started with.
pub(super) struct Seed {
    pub(super) shared: Arc<Shared>,
    pub(super) hosted: Arc<Hosted>,
    pub(super) address: Address,
    /// Which life of it at this owner.
    pub(super) life: u64,
    /// The state that was kept, and why it goes on with it; `None`: it begins.
    pub(super) kept: Option<(Kept, Resumed)>,
    pub(super) idle: Duration,
}

/// What a process is given to do.
pub(super) enum Work {
    Do(Task, Duty),
    /// It is not needed any more.
    Leave(ExitReason),
}

/// A message.
#[derive(Clone)]
pub(super) enum Task {
    Call { id: RequestId, message: Blob, how: How },
    Cast(Blob),
    Timer(Blob),
    Answer(Blob, Said),
}

/// The promise to say what has become of a job. Dropped, it says that the process has ended.
pub(super) struct Duty {
    pub(super) hosted: Arc<Hosted>,
    pub(super) address: Address,
    pub(super) life: u64,
    pub(super) job: JobId,
    /// It is not to be one step with others.
    pub(super) alone: bool,
    /// Whether somebody has it: the process, or whoever takes it back before.
    pub(super) taken: Arc<AtomicBool>,
    pub(super) begun: bool,
    pub(super) told: bool,
}

/// What has become of a job that was not done.
pub(super) enum Undone {
    /// Nothing of it remains, nor of the process.
    Failed(Fault),
    /// The process ended before it came to it, or has to do it again.
    Untouched,
}

/// What a callback has done.
pub(super) struct Done {
    /// The answer to the request that it was; `None`: it comes later, or nobody asked.
    pub(super) said: Option<Said>,
    /// Answers to others.
    pub(super) answers: Vec<(RequestId, Said)>,
    pub(super) output: Output,
    pub(super) stale: bool,
    /// The process has ended with it.
    pub(super) ended: bool,
}

impl Duty {
    fn fail(mut self, fault: Fault) {
        self.told = true;
        self.say(Undone::Failed(fault));
    }

    fn say(&self, undone: Undone) {
        self.hosted.handle(Event::Undone(self.address.clone(), self.life, self.job, undone));
    }
}

impl Drop for Duty {
    fn drop(&mut self) {
        if !self.told {
            let killed = Undone::Failed(Fault::Crashed(ExitReason::Killed));
            self.say(if self.begun { killed } else { Undone::Untouched });
        }
    }
}

thread_local! {
    /// The answers that the callback which runs has given.
    static ANSWERS: RefCell<Option<Vec<(RequestId, Said)>>> = const { RefCell::new(None) };
}

/// Takes an answer as part of the step that the callback which runs on this thread leads to; none: there is none.
pub(super) fn note_answer(id: RequestId, said: Said) -> Result<(), (RequestId, Said)> {
    ANSWERS.with_borrow_mut(|answers| match answers {
        Some(answers) => {
            answers.push((id, said));
            Ok(())
        }
        None => Err((id, said)),
    })
}

/// Whether a callback of a keyed process runs on this thread.
pub(super) fn is_inside() -> bool {
    ANSWERS.with_borrow(Option::is_some)
}

/// What has come of a callback.
struct Called<T> {
    result: Result<T>,
    /// The answers that it has given.
    answers: Vec<(RequestId, Said)>,
    /// It has waited for nothing.
    at_once: bool,
}

async fn callback<T>(future: impl Future<Output = Result<T>>) -> Called<T> {
    let mut future = pin!(future);
    let (mut given, mut at_once) = (Some(Vec::new()), true);
    poll_fn(move |cx| {
        let before = ANSWERS.replace(given.take());
        let polled = catch_unwind(AssertUnwindSafe(|| future.as_mut().poll(cx)));
        given = ANSWERS.replace(before);
        let result = match polled {
            Ok(Poll::Pending) => {
                at_once = false;
                return Poll::Pending;
            }
            Ok(Poll::Ready(result)) => result,
            Err(panic) => Err(Error::exit(panic_reason(panic))),
        };
        Poll::Ready(Called { result, answers: given.take().unwrap_or_default(), at_once })
    })
    .await
}

/// A callback has failed: what its caller hears, and what the process ends with.
struct Failed {
    fault: Fault,
    reason: ExitReason,
}

impl Failed {
    fn of(error: Error) -> Self {
        let reason = error.into_reason();
        Failed { fault: Fault::Crashed(reason.clone()), reason }
    }
}

/// A process and its state.
struct Life<K: Keyed> {
    state: K,
    cx: KeyedContext<K>,
    /// The state as it was kept last, or began; of a type that tells changes, nothing.
    last: Blob,
    /// Whether it is kept.
    kept: bool,
    /// So many callbacks in a row have waited for nothing.
    swift: u32,
    /// Whether it had the state that is kept when the last callback began.
    is_as_kept: bool,
}

/// So many messages are one step at most.
const GROUP: usize = 64;

/// So many callbacks in a row have to wait for nothing before it is believed that they never do.
const SWIFT: u32 = 8;

/// A process, from its first message to its end.
///
/// What several messages in a row have done is one step, whose state is written once, if callbacks wait for nothing: where they
/// do, an answer would wait for the next callback.
struct Living<K: Keyed> {
    me: Process<Work>,
    hosted: Arc<Hosted>,
    address: Address,
    number: u64,
    idle: Duration,
    /// It has said that it is idle.
    is_idle: bool,
    seed: Option<Seed>,
    life: Option<Life<K>>,
    /// What was done and is not told yet.
    group: Vec<(Duty, Done)>,
}

/// Runs a process until it is told to leave, or crashes.
pub(super) async fn live<K: Keyed>(me: Process<Work>, seed: Seed) -> ExitReason {
    me.set_label(seed.address.to_string().as_str());
    let mut living = Living::<K> {
        me,
        hosted: seed.hosted.clone(),
        address: seed.address.clone(),
        number: seed.life,
        idle: seed.idle,
        is_idle: false,
        seed: Some(seed),
        life: None,
        group: Vec::new(),
    };
    loop {
        if let Err(reason) = living.turn().await {
            return reason;
        }
    }
}

impl<K: Keyed> Living<K> {
    /// Does the next thing. An error: that was the last.
    async fn turn(&mut self) -> Result<(), ExitReason> {
        let work = match self.next().await? {
            Some(Info::User(work)) => work,
            // It is nobody's to link to or to monitor with.
            Some(_) => return Ok(()),
            None => {
                self.hosted.handle(Event::Idle(self.address.clone(), self.number));
                self.is_idle = true;
                return Ok(());
            }
        };
        self.is_idle = false;
        match work {
            Work::Do(task, duty) => self.take(task, duty).await,
            Work::Leave(reason) => {
                if let Some(life) = &mut self.life {
                    life.state.terminate(&reason);
                }
                Err(reason)
            }
        }
    }

    /// What comes next; `None`: nothing, for as long as it may be idle. What is done is told before it waits.
    async fn next(&mut self) -> Result<Option<Info<Work>>, ExitReason> {
        if !self.group.is_empty() {
            let next = self.me.receive_after(Duration::ZERO).await;
            let joins =
                matches!(&next, Some(Info::User(Work::Do(task, duty))) if !task.is_read() && !duty.alone);
            if !joins {
                self.tell(false)?;
            }
            if next.is_some() {
                return Ok(next);
            }
        }
        match self.is_idle {
            true => Ok(Some(self.me.receive().await)),
            false => Ok(self.me.receive_after(self.idle).await),
        }
    }

    async fn take(&mut self, task: Task, mut duty: Duty) -> Result<(), ExitReason> {
        // It was taken back, if it is taken.
        if duty.taken.swap(true, Ordering::AcqRel) {
            duty.told = true;
            return Ok(());
        }
        duty.begun = true;
        let alone = task.is_read() || duty.alone;
        match self.run(task).await {
            Ok(done) => {
                // If it is not told, it has to be done again.
                duty.begun = false;
                let ended = done.ended;
                self.group.push((duty, done));
                let swift = self.life.as_ref().is_some_and(|life| life.swift >= SWIFT);
                if alone || ended || !swift || self.group.len() >= GROUP {
                    self.tell(ended)?;
                }
                if ended { Err(ExitReason::Normal) } else { Ok(()) }
            }
            Err(Failed { fault, reason }) => {
                duty.fail(fault);
                Err(reason)
            }
        }
    }

    async fn run(&mut self, task: Task) -> Result<Done, Failed> {
        if let Some(seed) = self.seed.take() {
            let begun = match catch(pin!(Life::begin(self.me.pid(), seed))).await {
                Ok(begun) => begun,
                Err(panic) => Err(Error::exit(panic_reason(panic))),
            };
            self.life = Some(begun.map_err(Failed::of)?);
        }
        match &mut self.life {
            Some(life) => life.run(task).await,
            None => Err(Failed::of(Error::msg("it has not begun"))),
        }
    }

    /// Tells what was done, and what that has made of the state.
    fn tell(&mut self, ended: bool) -> Result<(), ExitReason> {
        let Some(life) = &mut self.life else { return Ok(()) };
        let unchanged = self.group.iter().all(|(_, done)| done.output.unchanged);
        let deltas = self.group.iter_mut().flat_map(|(_, done)| std::mem::take(&mut done.output.deltas));
        let deltas: Vec<_> = deltas.collect();
        let becomes = match ended {
            true => Ok(life.kept.then_some(Becomes::Gone)),
            false => life.change(deltas, unchanged),
        };
        match becomes {
            Ok(becomes) => {
                let done = self.group.drain(..).map(|(mut duty, done)| {
                    duty.told = true;
                    (duty.job, done)
                });
                let event = Event::Done(self.address.clone(), self.number, done.collect(), becomes);
                self.hosted.handle(event);
                Ok(())
            }
            Err(error) => {
                let reason = error.into_reason();
                for (duty, _) in self.group.drain(..) {
                    duty.fail(Fault::Crashed(reason.clone()));
                }
                Err(reason)
            }
        }
    }
}

impl<K: Keyed> Life<K> {
    async fn begin(pid: Pid, seed: Seed) -> Result<Self> {
        let Seed { shared, address, kept, .. } = seed;
        let cx = KeyedContext { shared, address, pid, output: Output::default(), _of: PhantomData };
        let (state, why) = match &kept {
            Some((kept, why)) => {
                let state = cx.shared.keyed(None, || load::<K>(kept));
                let why = match why {
                    Resumed::Migration if kept.vsn != K::VSN => Resumed::Upgrade { from: kept.vsn },
                    why => *why,
                };
                (state.map_err(|why| Error::msg(why.to_string()))?, Some(why))
            }
            None => (K::init(cx.key())?, None),
        };
        let (last, kept) = (Blob::default(), kept.is_some());
        let mut life = Life { state, cx, last, kept, swift: 0, is_as_kept: true };
        if !tells_changes::<K>() {
            life.last = life.encode()?;
        }
        if let Some(why) = why {
            callback(life.state.resumed(why, &mut life.cx)).await.result?;
            life.is_as_kept = life.is_unchanged().map_err(|failed| Error::exit(failed.reason))?;
        }
        Ok(life)
    }

    fn encode(&self) -> Result<Blob> {
        let state = self.cx.shared.keyed(None, || handoff::encode(&self.state));
        Ok(state.map_err(|why| Error::msg(why.to_string()))?.as_bytes().into())
    }

    async fn run(&mut self, task: Task) -> Result<Done, Failed> {
        let (id, how) = match &task {
            Task::Call { id, how, .. } => (Some(*id), *how),
            _ => (None, How::Any),
        };
        // What it has asked for when it went on is part of its first step, even if that is a read.
        let fresh = self.cx.output.is_quiet() && self.is_as_kept;
        self.is_as_kept = true;
        let Called { result, mut answers, at_once } = match self.dispatch(task).await {
            Ok(called) => called,
            // A message that is none of its changes nothing.
            Err(why) => return Ok(Done::said(Err(Fault::NotUnderstood(why)))),
        };
        self.swift = if at_once { self.swift.saturating_add(1) } else { 0 };
        let step = result.map_err(Failed::of)?;
        let mut ended = false;
        if let Step::Stop(reason) = step {
            if !reason.is_orderly() {
                return Err(Failed::of(Error::exit(reason)));
            }
            self.state.terminate(&reason);
            ended = true;
        }
        let at = answers.iter().position(|(answered, _)| Some(*answered) == id);
        let said = at.map(|at| answers.swap_remove(at).1);
        let mut output = std::mem::take(&mut self.cx.output);
        if how != How::Any && fresh {
            let quiet = said.is_some() && answers.is_empty() && output.is_quiet() && !ended;
            if !quiet || !self.is_unchanged()? {
                // It begins again from what is kept.
                return Err(Failed { fault: Fault::NotARead, reason: ExitReason::Normal });
            }
            output.unchanged = true;
        }
        Ok(Done { said, answers, output, stale: how == How::Stale, ended })
    }

    /// Whether the state is as it was before the callback that has run alone.
    fn is_unchanged(&self) -> Result<bool, Failed> {
        Ok(tells_changes::<K>() || self.encode().map_err(Failed::of)? == self.last)
    }

    /// What has become of the state.
    fn change(&mut self, deltas: Vec<Blob>, unchanged: bool) -> Result<Option<Becomes>> {
        let vsn = K::VSN;
        let becomes = match tells_changes::<K>() {
            true if deltas.is_empty() => return Ok(None),
            true if self.kept => Becomes::More { vsn, deltas },
            true => Becomes::Whole { vsn, state: self.encode()? },
            false if unchanged => return Ok(None),
            false => {
                let state = self.encode()?;
                if state == self.last {
                    return Ok(None);
                }
                self.last = state.clone();
                Becomes::Whole { vsn, state }
            }
        };
        self.kept = true;
        Ok(Some(becomes))
    }

    /// Reads a message and runs its callback. An error: the message is none of its.
    async fn dispatch(&mut self, task: Task) -> Result<Called<Step>, String> {
        let (shared, state, cx) = (self.cx.shared.clone(), &mut self.state, &mut self.cx);
        let called = match task {
            Task::Call { id, message, .. } => {
                let row = row_name(shared.shard_of(&cx.address), id);
                let call = shared.keyed(Some(row), || wire::decode(&message))?;
                let called = callback(state.handle_call(call, cx)).await;
                let result = called.result.map(|reply| reply.next);
                Called { result, answers: called.answers, at_once: called.at_once }
            }
            Task::Cast(message) => {
                let cast = shared.keyed(None, || wire::decode(&message))?;
                callback(state.handle_cast(cast, cx)).await
            }
            Task::Timer(message) => {
                let info = shared.keyed(None, || wire::decode(&message))?;
                callback(state.handle_info(info, cx)).await
            }
            Task::Answer(info, said) => {
                let info = shared.keyed(None, || wire::decode(&info))?;
                let node = shared.node().ok_or("its node is gone")?;
                callback(state.handle_answer(info, KeyedAnswer(said, node), cx)).await
            }
        };
        let Called { result, answers, at_once } = called;
        Ok(Called { result: result.map(|next| next.step), answers, at_once })
    }
}

impl Task {
    /// Whether it may change nothing.
    fn is_read(&self) -> bool {
        matches!(self, Task::Call { how: How::Read | How::Stale, .. })
    }
}

impl Done {
    /// It has said this, and done nothing.
    pub(super) fn said(said: Said) -> Self {
        let (answers, output) = (Vec::new(), Output { unchanged: true, ..Output::default() });
        Done { said: Some(said), answers, output, stale: false, ended: false }
    }
}

impl Output {
    fn is_quiet(&self) -> bool {
        self.effects.is_empty()
            && self.started.is_empty()
            && self.cancelled.is_empty()
            && self.outside.is_empty()
            && self.deltas.is_empty()
    }
}
