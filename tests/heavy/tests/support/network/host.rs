//! What runs on a host: a node with a desk that others call, cast, link to and monitor, and for each other host three
//! processes that do.

use std::future::pending;
use std::time::Duration;

use incarnate::node::{Cookie, Distribution, RemoteName};
use incarnate::{
    CallError, CallReply, Context, ExitReason, GenServer, Info, Init, MonitorRef, Name, Never, Next, Node,
    NodeId, Pid, Process, ReplyTo, Result, ServerRef, Timeout, noreply,
};
use serde::{Deserialize, Serialize};
use tokio::time::Instant;

use crate::trace::{By, HostNumber, Said, Seen, Trace, Watcher};
use crate::transport::Turmoil;
use crate::world::Random;

/// The hosts, by number, and the nodes on them.
pub const NAMES: [&str; 3] = ["a", "b", "c"];
const DESK: Name<Call, Cast> = Name::new("desk");

#[derive(Serialize, Deserialize)]
enum Call {
    Echo(u64, ReplyTo<u64>),
    /// Answered by nobody.
    Never(ReplyTo<()>),
    Me(ReplyTo<ServerRef<Call, Cast>>),
}

#[derive(Serialize, Deserialize)]
enum Cast {
    Number(usize, Said),
}

/// One life of a host.
#[derive(Clone)]
pub struct Host {
    pub number: HostNumber,
    pub life: u32,
    pub seed: u64,
    pub trace: Trace,
}

impl Host {
    /// Runs it until it crashes.
    pub async fn run(self) -> turmoil::Result {
        self.trace.note(Seen::Begin { at: self.number, life: self.life });
        let node = Node::new(NAMES[self.number]);
        let start = Distribution::of(&node, Cookie::new("a cookie for tests")).listen("0.0.0.0:4370");
        let peers = NAMES.map(|name| format!("{name}:4370"));
        let distribution = start.peers(peers).transport(Turmoil).start().await?;
        Desk::server((self.clone(), distribution.clone())).name(DESK).on(&node).start().await?;
        distribution.expose(DESK);
        for peer in (0..NAMES.len()).filter(|peer| *peer != self.number) {
            let there = DESK.at(&node, NAMES[peer]);
            let random = Random::new(self.seed ^ (self.number as u64) << 8 ^ u64::from(self.life) << 16);
            let guest = Guest { host: self.clone(), distribution: distribution.clone(), peer, there, random };
            node.spawn({
                let guest = guest.clone();
                |me| guest.talk(me)
            });
            node.spawn({
                let guest = guest.clone();
                |me| guest.ask(me)
            });
            node.spawn(|me| guest.tie(me));
        }
        pending().await
    }

    fn news(&self, by: Watcher, id: NodeId, up: bool) {
        let Some(peer) = NAMES.iter().position(|name| NodeId::of(name) == id) else { return };
        let at = self.number;
        self.trace.note(if up { Seen::Up { at, by, peer } } else { Seen::Down { at, by, peer } });
    }
}

struct Desk(Host);

impl GenServer for Desk {
    type Args = (Host, Distribution);
    type Call = Call;
    type Cast = Cast;
    type Info = Never;
    type Continue = Never;

    async fn init((host, distribution): Self::Args, cx: &mut Context<Self>) -> Result<Init<Self>> {
        distribution.monitor_nodes(cx, true);
        // Those who link to it are lost now and then.
        cx.trap_exit(true);
        Ok(Init::Ready(Desk(host)))
    }

    async fn handle_call(&mut self, call: Call, cx: &mut Context<Self>) -> Result<CallReply> {
        match call {
            Call::Echo(number, caller) => caller.reply(number),
            Call::Never(caller) => {
                drop(caller);
                noreply()
            }
            Call::Me(caller) => caller.reply(cx.server()),
        }
    }

    async fn handle_cast(&mut self, Cast::Number(from, said): Cast, _: &mut Context<Self>) -> Result<Next> {
        self.0.trace.note(Seen::Heard { at: self.0.number, from, said });
        noreply()
    }

    async fn handle_info(&mut self, info: Info<Never>, _: &mut Context<Self>) -> Result<Next> {
        match info {
            Info::NodeUp(id) => self.0.news(Watcher::Desk, id, true),
            Info::NodeDown(id) => self.0.news(Watcher::Desk, id, false),
            _ => {}
        }
        noreply()
    }
}

/// What a process needs that has to do with one other host.
#[derive(Clone)]
struct Guest {
    host: Host,
    distribution: Distribution,
    peer: HostNumber,
    there: RemoteName<Call, Cast>,
    random: Random,
}

impl Guest {
    fn note(&self, seen: Seen) {
        self.host.trace.note(seen);
    }

    /// Casts numbers, over each connection from 0 on.
    async fn talk(mut self, mut me: Process<()>) {
        let (at, to) = (self.host.number, self.peer);
        self.distribution.monitor_nodes(&me, true);
        let mut said = Said { life: self.host.life, connection: 0, number: 0 };
        loop {
            let due = Instant::now() + self.random.millis(2, 40);
            // The mailbox is empty when this is over: what is sent then goes over the connection that was last heard of.
            while let Some(info) = me.receive_after(due.saturating_duration_since(Instant::now())).await {
                match info {
                    Info::NodeUp(id) if id == self.there.node() => {
                        said = Said { connection: said.connection + 1, number: 0, ..said };
                        self.host.news(Watcher::Talker, id, true);
                    }
                    Info::NodeDown(id) if id == self.there.node() => {
                        self.host.news(Watcher::Talker, id, false);
                    }
                    _ => {}
                }
            }
            for _ in 0..=self.random.below(4) {
                if self.there.try_cast(Cast::Number(at, said)).is_ok() {
                    self.note(Seen::Sent { at, to, said });
                    said.number += 1;
                }
            }
        }
    }

    /// Calls, again and again.
    async fn ask(mut self, mut me: Process<()>) {
        let (at, to) = (self.host.number, self.peer);
        for number in u64::from(self.host.life) << 32.. {
            let pause = self.random.millis(5, 150);
            me.receive_after(pause).await;
            self.note(Seen::Asked { at, to, number });
            let answer = self.there.call(|caller| Call::Echo(number, caller)).await;
            let answer = answer.map_err(|error| error.to_string());
            self.note(Seen::Answered { at, to, number, answer });
        }
    }

    /// Ties itself to the desk there, each time it is connected.
    async fn tie(self, mut me: Process<()>) {
        self.distribution.monitor_nodes(&me, true);
        me.trap_exit(true);
        let (at, to) = (self.host.number, self.peer);
        let mut tied: Option<(u64, Pid, MonitorRef)> = None;
        let mut next = u64::from(self.host.life) << 32;
        let untied = |tie, by, why: ExitReason| Seen::Untied { at, to, tie, by, why: why.to_string() };
        loop {
            match me.receive().await {
                Info::NodeUp(id) if id == self.there.node() => {
                    self.host.news(Watcher::Tier, id, true);
                    let Ok(desk) = self.there.call(Call::Me).await else { continue };
                    let tie = next;
                    next += 1;
                    self.note(Seen::Tied { at, to, tie });
                    let linked = me.link(&desk).is_ok();
                    assert!(linked, "whoever traps exits may link to anybody");
                    tied = Some((tie, desk.pid(), me.monitor(&desk)));
                    self.wait(&me, tie, &desk);
                }
                Info::NodeDown(id) if id == self.there.node() => self.host.news(Watcher::Tier, id, false),
                Info::Exit(exit) => match tied {
                    Some((tie, pid, _)) if pid == exit.from => self.note(untied(tie, By::Link, exit.reason)),
                    _ => self.note(untied(u64::MAX, By::Link, exit.reason)),
                },
                Info::Down(down) => match tied {
                    Some((tie, _, reference)) if reference == down.reference => {
                        self.note(untied(tie, By::Monitor, down.reason));
                    }
                    _ => self.note(untied(u64::MAX, By::Monitor, down.reason)),
                },
                _ => {}
            }
        }
    }

    /// Has another process wait for an answer that does not come.
    fn wait(&self, me: &Process<()>, tie: u64, desk: &ServerRef<Call, Cast>) {
        let (at, to, host) = (self.host.number, self.peer, self.host.clone());
        let waiting = desk.send_request(Call::Never);
        me.node().spawn(move |_: Process<()>| async move {
            let why = match waiting.receive(Timeout::Infinity).await {
                Ok(()) => "an answer".to_owned(),
                Err(CallError::NoConnection) => ExitReason::NoConnection.to_string(),
                Err(CallError::Exit(reason)) => reason.to_string(),
                Err(error) => error.to_string(),
            };
            host.trace.note(Seen::Untied { at, to, tie, by: By::Call, why });
        });
    }
}

impl Random {
    /// A time between the two.
    pub fn millis(&mut self, from: u64, to: u64) -> Duration {
        Duration::from_millis(from + self.below(to - from))
    }
}
