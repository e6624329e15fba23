//! The process that serves a file: who waits for what; what that comes to, [`Ledger`] decides.

use std::collections::BTreeMap;
use std::future::Future;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use tokio::time::{self, Instant};

use super::file::File;
use super::ledger::{Heard, Ledger, NotRenewed, Rows, Told, Write, Written};
use super::{LeaseId, Member, Record, Renewal, ShardId};
use crate::gen_server::{CallReply, Context, GenServer, Init, Next, StartError, noreply};
use crate::node::Shared;
use crate::process::elsewhere::intake;
use crate::process::{Error, Info, Node, ReplyTo, Result, StopError};
use crate::term::{Name, Never, Pid};

pub(super) const NAME: Name<Call, Never, Event> = Name::new("incarnate_authority");

/// A watcher hears after so long that nothing has changed, so that nobody waits for one that is gone.
pub(super) const HOLD: Duration = Duration::from_secs(2);

/// So many writes may wait for the one under way. One more is not taken: whoever asked for it hears nothing, and so does not
/// know, which is true.
const WAITING: usize = 10_000;

/// How long a former server may take to let go of its file.
const PATIENCE: Duration = Duration::from_secs(2);

/// Serves the file of a [`Local`](super::Local) authority: one process, on a node that owns no shard.
///
/// If that node were an owner itself, its end would end the authority with it, and nobody could take its shards over.
#[derive(Clone, Debug)]
pub struct LocalServer {
    node: Node,
    path: PathBuf,
}

impl LocalServer {
    /// The server of a file on a node. Nothing is started by this.
    pub fn of(node: &Node, path: impl AsRef<Path>) -> Self {
        LocalServer { node: node.clone(), path: path.as_ref().to_owned() }
    }

    /// Starts it, linked to nobody. It has the file to itself, and makes it where there is none. Nodes that are connected to
    /// this one reach it.
    ///
    /// # Errors
    /// [`StartError::AlreadyStarted`]: the node serves one. [`StartError::Failed`]: the file is served by another process, or
    /// is none of an authority, or is damaged; the reason says so, and the file is as it was.
    ///
    /// # Cancel safety
    /// Dropping the future leaves the server to start on its own.
    pub fn start(&self) -> impl Future<Output = Result<Pid, StartError>> + Send + use<> {
        let start = Server::server(self.path.clone()).name(NAME).on(&self.node);
        async move { Ok(start.start().await?.pid()) }
    }

    /// As [`start`](Self::start), linked to the process whose code asks, for a supervisor:
    /// `ChildSpec::worker("authority", move || server.start_link())`.
    ///
    /// # Errors
    /// As [`start`](Self::start), and [`StartError::NoParent`] outside any process.
    ///
    /// # Cancel safety
    /// As [`start`](Self::start).
    pub fn start_link(&self) -> impl Future<Output = Result<Pid, StartError>> + Send + use<> {
        let start = Server::server(self.path.clone()).name(NAME).on(&self.node);
        async move { Ok(start.start_link().await?.pid()) }
    }

    /// Stops it. What is in the file stays.
    ///
    /// # Errors
    /// See [`StopError`].
    pub async fn stop(&self) -> Result<(), StopError> {
        NAME.on(&self.node).map_err(|_| StopError::NoProc)?.stop().await
    }
}

/// What is asked.
#[derive(Serialize, Deserialize)]
pub(super) enum Call {
    Write(Write, ReplyTo<Written>),
    Read(ShardId, ReplyTo<Option<Record>>),
    ReadAll(ReplyTo<BTreeMap<ShardId, Record>>),
    Renew(Renewal, ReplyTo<Result<LeaseId, NotRenewed>>),
    IsOver(Member, LeaseId, ReplyTo<bool>),
    /// Answered when something has changed since, or after [`HOLD`].
    Watch(Option<Heard>, ReplyTo<Option<Told>>),
}

/// What happens to the server, on its own node.
#[derive(Serialize, Deserialize)]
pub(super) enum Event {
    #[serde(skip)]
    Written(Result<()>),
    #[serde(skip)]
    Tick,
}

struct Server {
    file: Arc<File>,
    ledger: Ledger,
    origin: Instant,
    /// What is asked while something is written: all of it is written next, at once.
    waiting: Vec<(Write, ReplyTo<Written>)>,
    writing: Option<Writing>,
    watchers: Vec<Watcher>,
    /// When the next tick comes.
    armed: Option<Instant>,
}

/// What is being written, and who hears of it then.
struct Writing {
    rows: Rows,
    answers: Vec<(Written, ReplyTo<Written>)>,
}

struct Watcher {
    heard: Option<Heard>,
    until: Instant,
    to: ReplyTo<Option<Told>>,
}

impl GenServer for Server {
    type Args = PathBuf;
    type Call = Call;
    type Cast = Never;
    type Info = Event;
    type Continue = Never;

    async fn init(path: PathBuf, cx: &mut Context<Self>) -> Result<Init<Self>> {
        let (file, rows) = open(path, cx).await?;
        cx.node().when_distributed(|_, network| {
            if let Some(nodes) = network.as_any().downcast_ref::<Shared>() {
                nodes.expose(NAME.as_str(), intake::<Call, Never, Event>());
            }
        });
        let mut server = Server {
            file: Arc::new(file),
            ledger: Ledger::new(rows),
            origin: Instant::now(),
            waiting: Vec::new(),
            writing: None,
            watchers: Vec::new(),
            armed: None,
        };
        server.settle(cx);
        Ok(Init::Ready(server))
    }

    async fn handle_call(&mut self, call: Call, cx: &mut Context<Self>) -> Result<CallReply> {
        let reply = match call {
            Call::Read(shard, to) => return to.reply(self.ledger.record(shard).cloned()),
            Call::ReadAll(to) => return to.reply(self.ledger.records().clone()),
            Call::IsOver(member, lease, to) => {
                self.ledger.handle_tick(self.origin.elapsed());
                to.reply(self.ledger.is_over(member, lease))
            }
            Call::Renew(renewal, to) => to.reply(self.ledger.handle_renew(renewal, self.origin.elapsed())),
            Call::Write(write, to) => {
                if self.waiting.len() < WAITING {
                    self.waiting.push((write, to));
                }
                noreply()
            }
            Call::Watch(heard, to) => {
                self.watchers.push(Watcher { heard, until: Instant::now() + HOLD, to });
                noreply()
            }
        };
        self.settle(cx);
        reply
    }

    async fn handle_info(&mut self, info: Info<Event>, cx: &mut Context<Self>) -> Result<Next> {
        match info {
            Info::User(Event::Written(written)) => {
                // The file may be as before or not, and is not tried again: a new server reads what it holds.
                written?;
                if let Some(writing) = self.writing.take() {
                    self.ledger.handle_written(writing.rows);
                    answer(writing.answers);
                }
            }
            Info::User(Event::Tick) => {
                self.armed = None;
                self.ledger.handle_tick(self.origin.elapsed());
            }
            _ => {}
        }
        self.settle(cx);
        noreply()
    }
}

impl Server {
    /// Does what is due: writes what waits, tells watchers, and sees to it that it is woken.
    fn settle(&mut self, cx: &mut Context<Self>) {
        if self.writing.is_none() && !self.waiting.is_empty() {
            self.write(cx);
        }
        self.tell_watchers();
        self.arm(cx);
    }

    /// Decides about all that waits, and writes it in one step.
    fn write(&mut self, cx: &mut Context<Self>) {
        self.ledger.handle_tick(self.origin.elapsed());
        let mut rows = Rows::default();
        let waiting = std::mem::take(&mut self.waiting).into_iter();
        let answers: Vec<_> = waiting.map(|(write, to)| (self.ledger.decide(write, &mut rows), to)).collect();
        if rows.is_empty() {
            return answer(answers);
        }
        let (file, written) = (self.file.clone(), rows.clone());
        let work = cx.blocking(move || file.write(&written));
        cx.attach(async move { Event::Written(work.await.and_then(|written| Ok(written?))) });
        self.writing = Some(Writing { rows, answers });
    }

    fn tell_watchers(&mut self) {
        let now = Instant::now();
        for watcher in std::mem::take(&mut self.watchers) {
            match self.ledger.tell(watcher.heard) {
                None if now < watcher.until => self.watchers.push(watcher),
                // Whoever is gone has heard enough.
                told => _ = watcher.to.send(told),
            }
        }
    }

    fn arm(&mut self, cx: &Context<Self>) {
        let watchers = self.watchers.iter().map(|watcher| watcher.until);
        let ledger = self.ledger.wakes().map(|at| self.origin + at);
        let Some(next) = watchers.chain(ledger).min() else { return };
        if self.armed.is_none_or(|armed| next < armed) {
            self.armed = Some(next);
            cx.send_after(next.saturating_duration_since(Instant::now()), Event::Tick);
        }
    }
}

/// Opens the file, which a server that was just ended may still be writing.
async fn open(path: PathBuf, cx: &mut Context<Server>) -> Result<(File, Rows)> {
    let patience = Instant::now() + PATIENCE;
    loop {
        let path = path.clone();
        match cx.blocking(move || File::open(&path)).await? {
            Err(error) if error.is_locked() && Instant::now() < patience => {
                time::sleep(PATIENCE / 100).await;
            }
            opened => return opened.map_err(Error::from),
        }
    }
}

fn answer(answers: Vec<(Written, ReplyTo<Written>)>) {
    for (written, to) in answers {
        to.send(written);
    }
}
