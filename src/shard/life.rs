//! One life of a keyed process: from the message that starts it until it is idle, moves, or crashes.

use std::cell::RefCell;
use std::future::Future;
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
    /// Whether somebody has it: the process, or whoever takes it back before.
    pub(super) taken: Arc<AtomicBool>,
    pub(super) begun: bool,
    pub(super) told: bool,
}

/// What has become of a job.
pub(super) enum Outcome {
    Done(Box<Done>),
    /// Nothing of it remains, nor of the process.
    Failed(Fault),
    /// The process ended before it came to it.
    Untouched,
}

/// What a callback has done.
pub(super) struct Done {
    pub(super) becomes: Option<Becomes>,
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
    fn tell(mut self, outcome: Outcome) {
        self.told = true;
        self.say(outcome);
    }

    fn say(&self, outcome: Outcome) {
        self.hosted.handle(Event::Ran(self.address.clone(), self.life, self.job, outcome));
    }
}

impl Drop for Duty {
    fn drop(&mut self) {
        if !self.told {
            let killed = Outcome::Failed(Fault::Crashed(ExitReason::Killed));
            self.say(if self.begun { killed } else { Outcome::Untouched });
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

/// Runs a callback; answers what it comes to, and the answers that it has given.
async fn callback<T>(future: impl Future<Output = Result<T>>) -> (Result<T>, Vec<(RequestId, Said)>) {
    let mut future = pin!(future);
    let mut given = Some(Vec::new());
    std::future::poll_fn(move |cx| {
        let before = ANSWERS.replace(given.take());
        let polled = catch_unwind(AssertUnwindSafe(|| future.as_mut().poll(cx)));
        given = ANSWERS.replace(before);
        let result = match polled {
            Ok(Poll::Pending) => return Poll::Pending,
            Ok(Poll::Ready(result)) => result,
            Err(panic) => Err(Error::exit(panic_reason(panic))),
        };
        Poll::Ready((result, given.take().unwrap_or_default()))
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
}

/// Runs a process until it is told to leave, or crashes.
pub(super) async fn live<K: Keyed>(mut me: Process<Work>, seed: Seed) -> ExitReason {
    me.set_label(seed.address.to_string().as_str());
    let (hosted, address, number, idle) = (seed.hosted.clone(), seed.address.clone(), seed.life, seed.idle);
    let mut seed = Some(seed);
    let mut life: Option<Life<K>> = None;
    let mut is_idle = false;
    loop {
        let work = match is_idle {
            true => me.receive().await,
            false => match me.receive_after(idle).await {
                Some(work) => work,
                None => {
                    hosted.handle(Event::Idle(address.clone(), number));
                    is_idle = true;
                    continue;
                }
            },
        };
        is_idle = false;
        let (task, mut duty) = match work {
            Info::User(Work::Do(task, duty)) => (task, duty),
            Info::User(Work::Leave(reason)) => {
                if let Some(life) = &mut life {
                    life.state.terminate(&reason);
                }
                return reason;
            }
            _ => continue,
        };
        // It was taken back, if it is taken.
        if duty.taken.swap(true, Ordering::AcqRel) {
            duty.told = true;
            continue;
        }
        duty.begun = true;
        let begun = match (&mut life, seed.take()) {
            (Some(life), _) => Ok(life),
            (None, Some(seed)) => match catch(pin!(Life::begin(me.pid(), seed))).await {
                Ok(begun) => begun.map(|new| life.insert(new)),
                Err(panic) => Err(Error::exit(panic_reason(panic))),
            },
            (None, None) => Err(Error::msg("it has no state")),
        };
        let done = match begun {
            Ok(life) => life.run(task).await,
            Err(error) => Err(Failed::of(error)),
        };
        match done {
            Ok(done) => {
                let ended = done.ended;
                duty.tell(Outcome::Done(Box::new(done)));
                if ended {
                    return ExitReason::Normal;
                }
            }
            Err(Failed { fault, reason }) => {
                duty.tell(Outcome::Failed(fault));
                return reason;
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
                (state.map_err(|why| Error::msg(why.to_string()))?, Some(*why))
            }
            None => (K::init(cx.key())?, None),
        };
        let mut life = Life { state, cx, last: Blob::default(), kept: kept.is_some() };
        if !tells_changes::<K>() {
            life.last = life.encode()?;
        }
        if let Some(why) = why {
            callback(life.state.resumed(why, &mut life.cx)).await.0?;
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
        self.cx.output = Output::default();
        let (next, mut answers) = match self.dispatch(task).await {
            Ok((next, answers)) => (next.map_err(Failed::of)?, answers),
            // A message that is none of its changes nothing.
            Err(why) => return Ok(Done::said(Err(Fault::NotUnderstood(why)))),
        };
        let mut ended = false;
        if let Step::Stop(reason) = next {
            if !reason.is_orderly() {
                return Err(Failed::of(Error::exit(reason)));
            }
            self.state.terminate(&reason);
            ended = true;
        }
        let becomes =
            if ended { self.kept.then_some(Becomes::Gone) } else { self.change().map_err(Failed::of)? };
        let at = answers.iter().position(|(answered, _)| Some(*answered) == id);
        let said = at.map(|at| answers.swap_remove(at).1);
        let output = std::mem::take(&mut self.cx.output);
        let quiet = becomes.is_none() && answers.is_empty() && output.is_quiet();
        if how != How::Any && !(quiet && said.is_some()) {
            // It begins again from what is kept.
            return Err(Failed { fault: Fault::NotARead, reason: ExitReason::Normal });
        }
        Ok(Done { becomes, said, answers, output, stale: how == How::Stale, ended })
    }

    /// What has become of the state.
    fn change(&mut self) -> Result<Option<Becomes>> {
        let deltas = std::mem::take(&mut self.cx.output.deltas);
        let vsn = K::VSN;
        let becomes = match tells_changes::<K>() {
            true if deltas.is_empty() => return Ok(None),
            true if self.kept => Becomes::More { vsn, deltas },
            true => Becomes::Whole { vsn, state: self.encode()? },
            false if self.cx.output.unchanged => return Ok(None),
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
    async fn dispatch(&mut self, task: Task) -> Result<(Result<Step>, Vec<(RequestId, Said)>), String> {
        let (shared, state, cx) = (self.cx.shared.clone(), &mut self.state, &mut self.cx);
        let node = shared.node().ok_or("its node is gone")?;
        Ok(match task {
            Task::Call { id, message, .. } => {
                let row = row_name(shared.shard_of(&cx.address), id);
                let call = shared.keyed(Some(row), || wire::decode(&message))?;
                let (next, answers) = callback(state.handle_call(call, cx)).await;
                (next.map(|reply| reply.next.step), answers)
            }
            Task::Cast(message) => {
                let cast = shared.keyed(None, || wire::decode(&message))?;
                let (next, answers) = callback(state.handle_cast(cast, cx)).await;
                (next.map(|next| next.step), answers)
            }
            Task::Timer(message) => {
                let info = shared.keyed(None, || wire::decode(&message))?;
                let (next, answers) = callback(state.handle_info(info, cx)).await;
                (next.map(|next| next.step), answers)
            }
            Task::Answer(info, said) => {
                let info = shared.keyed(None, || wire::decode(&info))?;
                let answer = KeyedAnswer(said, node);
                let (next, answers) = callback(state.handle_answer(info, answer, cx)).await;
                (next.map(|next| next.step), answers)
            }
        })
    }
}

impl Done {
    /// It has said this, and done nothing.
    pub(super) fn said(said: Said) -> Self {
        let (answers, output) = (Vec::new(), Output::default());
        Done { becomes: None, said: Some(said), answers, output, stale: false, ended: false }
    }
}

impl Output {
    fn is_quiet(&self) -> bool {
        self.effects.is_empty()
            && self.started.is_empty()
            && self.cancelled.is_empty()
            && self.outside.is_empty()
    }
}
