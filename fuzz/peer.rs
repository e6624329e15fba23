//! A node, and another one that connects to it over memory and then says whatever the input wants.

use std::fmt;
use std::future::pending;
use std::io;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use incarnate::node::{Cookie, Distribution, Listener, Pending, Spawnable, Stream, Transport};
use incarnate::process::Request;
use incarnate::{
    CallReply, Context, ExitReason, GenServer, Info, Init, Name, Never, Next, Node, Process, ProcessRef,
    ReplyTo, Result, ServerRef, Term, noreply,
};
use serde::de::{Error as _, IgnoredAny, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize};
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream, ReadHalf, WriteHalf, duplex, split};
use tokio::runtime::{Builder, Runtime};
use tokio::sync::mpsc;

use crate::frame::{self, CONTROL_LIMIT, HEAD, Kind};
use crate::handshake::{self, Handshake, Identity, Lane, Step};

const COOKIE: &str = "a cookie that the input knows";
/// The longest frame that the node takes, and what may wait to be sent.
const LONGEST: u32 = 64 << 10;

type Desk = ServerRef<Call, Cast, Heard>;

/// What the desk is told, with references of each kind in it.
#[derive(Serialize, Deserialize)]
pub enum Call {
    Echo(Term, ReplyTo<Term>),
    Keep(ReplyTo<Term>),
    Me(ReplyTo<Desk>),
}

#[derive(Serialize, Deserialize)]
pub enum Cast {
    Say(Term),
    /// Links to it, monitors it and calls it.
    Tie(Box<Desk>),
    Untie(ProcessRef<Term>),
    /// Starts a process on the other node, and waits for it elsewhere.
    Start,
}

#[derive(Serialize, Deserialize)]
pub enum Heard {
    Term(Term),
    Asked(ReplyTo<u64>),
}

const DESK: Name<Call, Cast, Heard> = Name::new("desk");
/// What either node may have started on the other.
const WORKER: Spawnable<Term, Never, Never, Term> = Spawnable::new("worker");

/// Ends as it is told to.
async fn work(_: Term, mut me: Process<Term>) -> ExitReason {
    loop {
        if let Info::User(reason) = me.receive().await {
            return ExitReason::Term(reason);
        }
    }
}

#[derive(Default)]
struct Keeper {
    kept: Vec<ReplyTo<Term>>,
    asked: Vec<Request<Term>>,
}

impl GenServer for Keeper {
    type Args = ();
    type Call = Call;
    type Cast = Cast;
    type Info = Heard;
    type Continue = Never;

    async fn init(_: (), cx: &mut Context<Self>) -> Result<Init<Self>> {
        cx.trap_exit(true);
        Ok(Init::Ready(Self::default()))
    }

    async fn handle_call(&mut self, call: Call, cx: &mut Context<Self>) -> Result<CallReply> {
        match call {
            Call::Echo(term, caller) => caller.reply(term),
            Call::Keep(caller) => {
                self.kept.push(caller);
                noreply()
            }
            Call::Me(caller) => caller.reply(cx.server()),
        }
    }

    async fn handle_cast(&mut self, cast: Cast, cx: &mut Context<Self>) -> Result<Next> {
        match cast {
            Cast::Say(term) => {
                for caller in self.kept.drain(..) {
                    let _awaited = caller.send(term.clone());
                }
            }
            Cast::Tie(desk) => {
                let _gone = cx.link(&*desk);
                cx.monitor(&*desk);
                self.asked.push(desk.send_request(|caller| Call::Echo(Term::nil(), caller)));
            }
            Cast::Untie(process) => cx.unlink(&process),
            Cast::Start => {
                cx.node().spawn(async |me: Process<Term>| {
                    me.trap_exit(true);
                    let _refused_or_lost = WORKER.spawn_link(&me, "peer", Term::nil()).await;
                    work(Term::nil(), me).await
                });
            }
        }
        noreply()
    }

    async fn handle_info(&mut self, info: Info<Heard>, _: &mut Context<Self>) -> Result<Next> {
        if let Info::User(Heard::Asked(caller)) = info {
            caller.send(7);
        }
        noreply()
    }
}

/// Connections are handed over.
struct Memory(Mutex<Option<mpsc::UnboundedReceiver<DuplexStream>>>);

impl Transport for Memory {
    fn connect<'a>(&'a self, _: &'a str) -> Pending<'a, Box<dyn Stream>> {
        Box::pin(async { Err(io::ErrorKind::ConnectionRefused.into()) })
    }

    fn listen<'a>(&'a self, _: &'a str) -> Pending<'a, Box<dyn Listener>> {
        let taken = self.0.lock().expect("nothing has panicked").take().expect("it listens once");
        Box::pin(async { Ok(Box::new(Accepts(taken)) as Box<dyn Listener>) })
    }
}

struct Accepts(mpsc::UnboundedReceiver<DuplexStream>);

impl Listener for Accepts {
    fn accept(&mut self) -> Pending<'_, Box<dyn Stream>> {
        Box::pin(async {
            match self.0.recv().await {
                Some(stream) => Ok(Box::new(stream) as Box<dyn Stream>),
                None => pending().await,
            }
        })
    }

    fn address(&self) -> String {
        "memory".to_owned()
    }
}

/// A node that goes on from one input to the next; its clock moves only when nothing else can be done.
pub struct Rig {
    runtime: Runtime,
    node: Node,
    distribution: Distribution,
    open: mpsc::UnboundedSender<DuplexStream>,
}

impl Rig {
    pub fn new() -> Self {
        let mut builder = Builder::new_current_thread();
        let runtime = builder.enable_time().start_paused(true).build().expect("a runtime");
        let (open, opened) = mpsc::unbounded_channel();
        let (node, distribution) = runtime.block_on(async {
            let node = Node::new("node");
            let start = Distribution::of(&node, Cookie::new(COOKIE)).listen("memory");
            let start = start.transport(Memory(Mutex::new(Some(opened))));
            let start = start.longest_message(LONGEST).queue_bound(LONGEST as usize);
            let distribution = start.start().await.expect("the first of this node");
            distribution.register_function(WORKER, work);
            (node, distribution)
        });
        Rig { runtime, node, distribution, open }
    }

    /// A connection that is up, as long as `act` goes on. Then it is lost, and nothing of it stays.
    pub fn connected(&self, act: impl AsyncFnOnce(&mut Peer)) {
        self.runtime.block_on(async {
            let desk = Keeper::server(()).name(DESK).on(&self.node).start().await.expect("the name is free");
            self.distribution.expose(DESK);
            let mut peer = Peer { lanes: Vec::new(), desk: desk.pid().id(), addresses: Arc::default() };
            let mut session = 0;
            for lane in [Lane::Control, Lane::Messages, Lane::Bulk] {
                session = self.shake(&mut peer, lane, session).await;
            }
            self.until(true).await;
            act(&mut peer).await;
            drop(peer);
            self.until(false).await;
            // What others have started goes on.
            self.node.halt();
            while self.node.process_count() > 0 {
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
        });
    }

    /// The name of the other node; its life is the first.
    pub fn me() -> Identity {
        Identity { name: "peer".into(), creation: 1, releases: (1, 1) }
    }

    async fn shake(&self, peer: &mut Peer, lane: Lane, session: u64) -> u64 {
        let (near, far) = duplex(1 << 20);
        assert!(self.open.send(far).is_ok(), "the node listens");
        let (mut read, mut write) = split(near);
        let (mut say, mut state) = handshake::dial(&Self::me(), lane, session, [lane as u8; 32]);
        loop {
            write.write_all(&say).await.expect("the node reads");
            match take(&mut read, state).await {
                Step::Say(bytes, next) => (say, state) = (bytes, next),
                Step::Done(agreed) => {
                    peer.read(read);
                    peer.lanes.push(write);
                    return agreed.session;
                }
                other => panic!("a genuine handshake: {other:?}"),
            }
        }
    }

    async fn until(&self, up: bool) {
        while self.distribution.nodes().is_empty() == up {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    }
}

async fn take(read: &mut ReadHalf<DuplexStream>, state: Handshake) -> Step {
    let mut whole = Vec::new();
    loop {
        if let Some((kind, fields)) = frame::next(&whole, CONTROL_LIMIT).expect("the node says frames") {
            return state
                .take(kind, &whole[fields], &whole, &Rig::me(), &handshake::Cookie::new(COOKIE))
                .expect("the cookie is the same");
        }
        assert_ne!(read.read_buf(&mut whole).await.expect("memory"), 0, "the node has hung up");
    }
}

/// The other end of a connection.
pub struct Peer {
    /// Control, messages, bulk.
    lanes: Vec<WriteHalf<DuplexStream>>,
    /// The number of a process of the node, which is exposed.
    pub desk: u64,
    /// Where the node waits for answers.
    addresses: Arc<Mutex<Vec<u64>>>,
}

impl Peer {
    /// Says this on one of the lanes, if the node has not closed it.
    pub async fn say(&mut self, lane: usize, bytes: &[u8]) {
        if self.lanes[lane].write_all(bytes).await.is_ok() {
            // The node has its turn.
            tokio::task::yield_now().await;
        }
    }

    /// The address of the last that the node has called.
    pub fn address(&self) -> u64 {
        self.addresses.lock().expect("nothing has panicked").last().copied().unwrap_or(1)
    }

    /// What the node says is frames, and no more of it than may wait.
    fn read(&self, mut read: ReadHalf<DuplexStream>) {
        let addresses = self.addresses.clone();
        tokio::spawn(async move {
            let mut bytes = Vec::new();
            while read.read_buf(&mut bytes).await.is_ok_and(|n| n > 0) {
                while let Some((kind, fields)) = frame::next(&bytes, LONGEST).expect("the node says frames") {
                    let end = fields.end;
                    if matches!(kind, Kind::Call | Kind::Spawn) {
                        let read = frame::fields::<Sent>(kind, &bytes[fields]);
                        let (Sent(_, address), _) = read.expect("as the node writes them");
                        addresses.lock().expect("nothing has panicked").push(address);
                    }
                    assert!(end > HEAD);
                    bytes.drain(..end);
                }
            }
        });
    }
}

/// The fields of a frame that asks for an answer: the second is where.
struct Sent(IgnoredAny, u64);

impl<'de> Deserialize<'de> for Sent {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> std::result::Result<Self, D::Error> {
        struct Fields;
        impl<'de> Visitor<'de> for Fields {
            type Value = Sent;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("two fields or more")
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut fields: A) -> std::result::Result<Sent, A::Error> {
                let first = fields.next_element()?;
                let sent = first.zip(fields.next_element()?).map(|(first, second)| Sent(first, second));
                while fields.next_element::<IgnoredAny>()?.is_some() {}
                sent.ok_or_else(|| A::Error::invalid_length(1, &self))
            }
        }
        deserializer.deserialize_seq(Fields)
    }
}
