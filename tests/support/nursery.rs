//! Children for supervisors under test: they do as they are told, and leave a log.

use std::collections::{HashMap, VecDeque};
use std::future::Future;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use incarnate::supervisor::{ChildInfo, ChildState};
use incarnate::{
    ChildSpec, ExitReason, Info, Me, Node, Pid, Process, ProcessRef, ReplyTo, StartError, SupervisorRef,
    Timeout,
};

/// What a child is told.
pub enum Deed {
    /// End with this reason.
    End(ExitReason),
    Panic,
    /// Unlink from the parent.
    Unlink(ReplyTo<()>),
    /// Trap exits, and answer the order to shut down after this time with this reason; `None`: never.
    Slow(Option<(Duration, ExitReason)>, ReplyTo<()>),
}

/// What comes of a start.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Start {
    Ok,
    Fail,
    Panic,
    Ignore,
}

pub type Kid = ProcessRef<Deed>;

#[derive(Default)]
struct Book {
    /// What comes of the next starts, and of all after those.
    starts: HashMap<String, (VecDeque<Start>, Start)>,
    lives: HashMap<String, u32>,
    now: HashMap<String, Kid>,
    names: HashMap<Pid, String>,
    log: Vec<String>,
}

/// Starts children and knows them by name: the second life of `a` is `a#2`.
#[derive(Clone, Default)]
pub struct Nursery(Arc<Mutex<Book>>);

/// Writes the end of a child into the log when its process function goes.
struct Obituary(Nursery, String);

impl Drop for Obituary {
    fn drop(&mut self) {
        self.0.note(format!("end {}", self.1));
    }
}

/// The reason of an ordinary crash.
pub fn crash() -> ExitReason {
    ExitReason::term("crash")
}

impl Nursery {
    fn book(&self) -> MutexGuard<'_, Book> {
        self.0.lock().unwrap()
    }

    fn note(&self, line: String) {
        self.book().log.push(line);
    }

    /// Says what comes of the next starts of a child; those after them succeed.
    pub fn starts(&self, id: &str, outcomes: impl IntoIterator<Item = Start>) {
        self.book().starts.insert(id.to_owned(), (outcomes.into_iter().collect(), Start::Ok));
    }

    /// Has a child start once and never again.
    pub fn starts_once(&self, id: &str) {
        self.book().starts.insert(id.to_owned(), ([Start::Ok].into(), Start::Fail));
    }

    /// The specification of a worker.
    pub fn worker(&self, id: &'static str) -> ChildSpec<Kid> {
        let nursery = self.clone();
        ChildSpec::worker(id, move || nursery.clone().start(id))
    }

    /// Starts a child: the start function of its specification.
    pub async fn start(self, id: impl Into<String>) -> Result<Kid, StartError> {
        let id = id.into();
        let outcome = match self.book().starts.get_mut(&id) {
            Some((next, after)) => next.pop_front().unwrap_or(*after),
            None => Start::Ok,
        };
        match outcome {
            Start::Ok => {}
            Start::Fail => {
                self.note(format!("fail {id}"));
                return Err(StartError::Failed(ExitReason::term("failed")));
            }
            Start::Panic => panic!("no child today"),
            Start::Ignore => return Err(StartError::Ignore),
        }
        let mut book = self.book();
        let life = book.lives.entry(id.clone()).and_modify(|life| *life += 1).or_insert(1);
        let name = format!("{id}#{life}");
        book.log.push(format!("start {name}"));
        let obituary = Obituary(self.clone(), name.clone());
        let parent = Me::current().ok_or(StartError::NoParent)?;
        let kid = parent.spawn_link(|me: Process<Deed>| live(me, obituary));
        book.names.insert(kid.pid(), name);
        book.now.insert(id, kid.clone());
        Ok(kid)
    }

    /// The latest life of a child.
    pub fn at(&self, id: &str) -> Kid {
        self.book().now[id].clone()
    }

    /// Has a child end with this reason. Its supervisor has the exit in its mailbox then.
    pub async fn end(&self, id: &str, reason: ExitReason) {
        let kid = self.at(id);
        kid.send(Deed::End(reason.clone()));
        assert_eq!(kid.ended().await, reason, "{id}");
    }

    /// As [`end`](Self::end), by a crash.
    pub async fn crash(&self, id: &str) {
        self.end(id, crash()).await;
    }

    /// As [`end`](Self::end), by a kill from outside.
    pub async fn kill(&self, id: &str) {
        let kid = self.at(id);
        kid.node().exit(kid.pid(), ExitReason::Kill);
        assert_eq!(kid.ended().await, ExitReason::Killed, "{id}");
    }

    /// Has a child answer the order to shut down late, or never.
    pub async fn slow(&self, id: &str, answer: Option<(Duration, ExitReason)>) {
        self.at(id).ask_info(|to| Deed::Slow(answer, to), Timeout::Infinity).await.unwrap();
    }

    /// The log since the last look.
    pub fn log(&self) -> Vec<String> {
        std::mem::take(&mut self.book().log)
    }

    /// A list of children, as `b=b#1 a=restarting`.
    pub fn show(&self, children: &[ChildInfo]) -> String {
        let book = self.book();
        let show = |child: &ChildInfo| {
            let state = match child.state {
                ChildState::Running(pid) => book.names.get(&pid).cloned().unwrap_or_else(|| "up".into()),
                ChildState::Restarting => "restarting".into(),
                ChildState::Stopped => "undefined".into(),
            };
            match &child.id {
                Some(id) => format!("{id}={state}"),
                None => state,
            }
        };
        children.iter().map(show).collect::<Vec<_>>().join(" ")
    }

    /// The children of a supervisor, newest first.
    pub async fn children(&self, supervisor: &SupervisorRef) -> String {
        self.show(&supervisor.which_children().await.unwrap())
    }
}

async fn live(mut me: Process<Deed>, obituary: Obituary) -> ExitReason {
    let mut slow = None;
    let reason = loop {
        match me.receive().await {
            Info::User(Deed::End(reason)) => break reason,
            Info::User(Deed::Panic) => panic!("boom"),
            Info::User(Deed::Unlink(to)) => {
                me.unlink(me.parent().unwrap());
                to.send(());
            }
            Info::User(Deed::Slow(answer, to)) => {
                me.trap_exit(true);
                slow = answer;
                to.send(());
            }
            Info::Exit(_) => {
                if let Some((after, reason)) = slow.take() {
                    me.receive_where_after(after, |_| false).await;
                    break reason;
                }
            }
            _ => {}
        }
    };
    drop(obituary);
    reason
}

/// Runs a test in a process that traps exits, on a node of its own.
pub async fn world<Fut>(test: impl FnOnce(Process<()>, Nursery) -> Fut + Send + 'static)
where
    Fut: Future<Output = ()> + Send + 'static,
{
    let node = Node::new("test");
    let test = node.spawn(|me: Process<()>| async move {
        me.trap_exit(true);
        test(me, Nursery::default()).await;
    });
    assert_eq!(test.ended().await, ExitReason::Normal);
    node.halt();
}

/// Ends a supervisor as its parent does.
pub async fn shutdown(me: &Me, supervisor: &SupervisorRef) {
    me.exit(supervisor.pid(), ExitReason::Shutdown);
    assert_eq!(supervisor.ended().await, ExitReason::Shutdown);
}

/// Waits for the end of a process that the test process is linked to, or has monitored before.
pub async fn end_of(me: &mut Process<()>, pid: Pid) -> ExitReason {
    let is_it = |info: Info<&()>| match info {
        Info::Exit(exit) => exit.from == pid,
        Info::Down(down) => down.object == pid,
        _ => false,
    };
    match me.receive_where(is_it).await {
        Info::Exit(exit) => exit.reason,
        Info::Down(down) => down.reason,
        other => panic!("{other:?}"),
    }
}

/// Nothing has come to the test process, exits above all.
pub async fn quiet(me: &mut Process<()>) {
    let came = me.receive_after(Duration::ZERO).await;
    assert!(came.is_none(), "{came:?}");
}

pub fn secs(secs: u64) -> Duration {
    Duration::from_secs(secs)
}
