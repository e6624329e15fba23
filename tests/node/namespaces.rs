//! Three programs on three machines, as the kernel's network namespaces make them, on one switch; the network between them
//! is cut in silence.
//!
//! All of it stands in namespaces of its own, of processes too: whatever happens, it is gone with its first process.

use std::collections::BTreeMap;
use std::process::Command;
use std::time::{Duration, Instant};

use incarnate::node::{Cookie, Distribution, RemoteName};
use incarnate::{
    CallError, CallReply, Context, ExitReason, GenServer, Info, Init, Name, Never, Next, Node, NodeId,
    Process, ReplyTo, Result, ServerRef, Timeout, noreply,
};
use serde::{Deserialize, Serialize};

use crate::child::{self, Program};
use crate::pair::COOKIE;

const NAMES: [&str; 3] = ["a", "b", "c"];
const DESK: Name<Call, Cast> = Name::new("desk");
/// The heartbeat deadline, unless another is chosen.
const DEADLINE: Duration = Duration::from_secs(1);
const SLACK: Duration = Duration::from_millis(300);
/// In whatever namespaces there are: new ones, and the names of network namespaces apart from those of this machine. It takes
/// what is to be run there.
const APART: &str = "mount -t tmpfs tmpfs /run && exec \"$@\"";

#[derive(Serialize, Deserialize)]
enum Call {
    Echo(u64, ReplyTo<u64>),
    Never(ReplyTo<()>),
    Me(ReplyTo<ServerRef<Call, Cast>>),
}

#[derive(Serialize, Deserialize)]
enum Cast {
    /// From a node, over the how manieth connection, the how manieth.
    Number(String, u64, u64),
}

fn name_of(id: NodeId) -> &'static str {
    NAMES.into_iter().find(|name| NodeId::of(name) == id).unwrap_or("somebody")
}

/// Hears numbers, and says so if they are not those that come next.
#[derive(Default)]
struct Desk {
    /// Of those who are up: what comes next.
    up: BTreeMap<String, Option<(u64, u64)>>,
    /// The last connection of which something came.
    former: BTreeMap<String, u64>,
}

impl Desk {
    fn hear(&mut self, from: &str, connection: u64, number: u64) {
        let next = self.up.get(from).copied();
        let right = match next {
            None => false,
            Some(None) => number == 0 && self.former.get(from).is_none_or(|former| *former < connection),
            Some(next) => next == Some((connection, number)),
        };
        if !right {
            println!("\nwrong: {number} of connection {connection} from {from}, where {next:?} was next");
        }
        self.up.insert(from.to_owned(), Some((connection, number + 1)));
        self.former.insert(from.to_owned(), connection);
    }
}

impl GenServer for Desk {
    type Args = Distribution;
    type Call = Call;
    type Cast = Cast;
    type Info = Never;
    type Continue = Never;

    async fn init(distribution: Distribution, cx: &mut Context<Self>) -> Result<Init<Self>> {
        distribution.monitor_nodes(cx, true);
        cx.trap_exit(true);
        Ok(Init::Ready(Desk::default()))
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

    async fn handle_cast(&mut self, cast: Cast, _: &mut Context<Self>) -> Result<Next> {
        let Cast::Number(from, connection, number) = cast;
        self.hear(&from, connection, number);
        noreply()
    }

    async fn handle_info(&mut self, info: Info<Never>, _: &mut Context<Self>) -> Result<Next> {
        match info {
            Info::NodeUp(id) => drop(self.up.insert(name_of(id).to_owned(), None)),
            Info::NodeDown(id) => drop(self.up.remove(name_of(id))),
            _ => {}
        }
        noreply()
    }
}

/// A node that is tied to each other one, and says what becomes of it.
#[test]
fn program() {
    let Some(name) = child::role().filter(|role| NAMES.contains(&&**role)) else { return };
    // Of one thread: between a look into a mailbox and the sending of what depends on it nothing happens.
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let node = Node::new(&name);
        let start = Distribution::of(&node, Cookie::new(COOKIE)).listen("0.0.0.0:4370");
        let distribution = start.peers((1..=3).map(|n| format!("10.0.0.{n}:4370"))).start().await.unwrap();
        // Whoever watches begins before the first of the others can have been reached and told.
        for there in NAMES.into_iter().filter(|there| *there != name) {
            let there = DESK.at(&node, there);
            let (here, to) = (distribution.clone(), there.clone());
            node.spawn(|me| talk(me, here, to));
            let here = distribution.clone();
            node.spawn(|me| watch(me, here, there));
        }
        Desk::server(distribution.clone()).name(DESK).on(&node).start().await.unwrap();
        distribution.expose(DESK);
        std::future::pending::<()>().await
    });
}

/// Casts numbers, over each connection from 0 on.
async fn talk(mut me: Process<()>, here: Distribution, to: RemoteName<Call, Cast>) {
    here.monitor_nodes(&me, true);
    let (mut connection, mut number) = (0, 0);
    loop {
        while let Some(info) = me.receive_after(Duration::from_millis(7)).await {
            if matches!(info, Info::NodeUp(id) if id == to.node()) {
                (connection, number) = (connection + 1, 0);
            }
        }
        if connection > 0
            && to.try_cast(Cast::Number(me.node().name().to_owned(), connection, number)).is_ok()
        {
            number += 1;
        }
    }
}

/// Ties itself to the desk there each time the node is up.
async fn watch(mut me: Process<()>, here: Distribution, to: RemoteName<Call, Cast>) {
    here.monitor_nodes(&me, true);
    me.trap_exit(true);
    let peer = name_of(to.node());
    loop {
        match me.receive().await {
            Info::NodeUp(id) if id == to.node() => {
                println!("\n{peer}: up");
                let desk = loop {
                    // Its processes may be just about to begin.
                    match to.call(Call::Me).await {
                        Err(CallError::WrongProtocol | CallError::NoProc) => {}
                        Ok(desk) => break desk,
                        Err(error) => panic!("{peer}: {error:?}"),
                    }
                };
                me.link(&desk).unwrap();
                me.monitor(&desk);
                let waiting = desk.send_request(Call::Never);
                me.node().spawn(move |_: Process<()>| async move {
                    match waiting.receive(Timeout::Infinity).await {
                        Err(CallError::Exit(ExitReason::NoConnection)) => println!("\n{peer}: call"),
                        other => println!("\nwrong: {other:?} of {peer}"),
                    }
                });
                match desk.call(|caller| Call::Echo(7, caller)).await {
                    Ok(7) => println!("\n{peer}: answers"),
                    other => println!("\nwrong: {other:?} of {peer}"),
                }
            }
            Info::NodeDown(id) if id == to.node() => println!("\n{peer}: down"),
            Info::Exit(exit) if exit.reason == ExitReason::NoConnection => println!("\n{peer}: link"),
            Info::Down(down) if down.reason == ExitReason::NoConnection => println!("\n{peer}: monitor"),
            Info::Exit(exit) => println!("\nwrong: {exit:?} of {peer}"),
            Info::Down(down) => println!("\nwrong: {down:?} of {peer}"),
            _ => {}
        }
    }
}

/// Waits until one has said all of these, each once, and nothing else.
fn says(program: &mut Program, wanted: &[(&str, &[&str])]) {
    let each =
        wanted.iter().flat_map(|(peer, words)| words.iter().map(move |word| format!("{peer}: {word}")));
    let mut wanted: Vec<_> = each.collect();
    while !wanted.is_empty() {
        let line = program.line();
        // The rest is of the program that runs the test.
        if NAMES.iter().any(|name| line.starts_with(&format!("{name}: "))) || line.starts_with("wrong") {
            let at = wanted.iter().position(|wanted| *wanted == line);
            wanted.swap_remove(at.unwrap_or_else(|| panic!("{line:?}, where {wanted:?} is to come")));
        }
    }
}

const LOST: &[&str] = &["link", "monitor", "call", "down"];
const FOUND: &[&str] = &["up", "answers"];

fn ip(words: &str) {
    let output = Command::new("ip").args(words.split_whitespace()).output().unwrap();
    assert!(output.status.success(), "ip {words}: {}", String::from_utf8_lossy(&output.stderr));
}

/// Three hosts on a switch, each with a node.
fn hosts() -> [Program; 3] {
    ip("link add name switch type bridge");
    ip("link set switch up");
    let mut number = 0;
    NAMES.map(|name| {
        number += 1;
        ip(&format!("netns add {name}"));
        let peer = format!("peer name eth0 address 02:00:00:00:00:0{number} netns {name}");
        ip(&format!("link add name port-{name} type veth {peer}"));
        ip(&format!("link set port-{name} master switch up"));
        ip(&format!("-n {name} addr add 10.0.0.{number}/24 dev eth0"));
        ip(&format!("-n {name} link set eth0 up"));
        ip(&format!("-n {name} link set lo up"));
        let enter = ["nsenter", &format!("--net=/run/netns/{name}")];
        Program::by(&enter, "namespaces::program", name, &[])
    })
}

/// What is done where the three hosts may be made.
#[test]
fn stage() {
    if child::role().as_deref() != Some("stage") {
        return;
    }
    let [mut a, mut b, mut c] = hosts();
    says(&mut a, &[("b", FOUND), ("c", FOUND)]);
    says(&mut b, &[("a", FOUND), ("c", FOUND)]);
    says(&mut c, &[("a", FOUND), ("b", FOUND)]);
    println!("all are connected");

    // Nothing gets to c any more, and nothing from it; its cable is still plugged in.
    let begin = Instant::now();
    ip("link set port-c nomaster");
    says(&mut a, &[("c", LOST)]);
    says(&mut b, &[("c", LOST)]);
    says(&mut c, &[("a", LOST), ("b", LOST)]);
    let took = begin.elapsed();
    println!("the loss of c is noticed after {took:?}");
    assert!(took < DEADLINE + SLACK, "{took:?}");
    // The last heartbeat came at most a quarter of the deadline before.
    assert!(took > DEADLINE - SLACK, "{took:?}");
    let long = Duration::from_secs(2);
    std::thread::sleep(long); // sleep: those who dial again are lost as well, and TCP has much to send again
    ip("link set port-c master switch");
    says(&mut a, &[("c", FOUND)]);
    says(&mut b, &[("c", FOUND)]);
    says(&mut c, &[("a", FOUND), ("b", FOUND)]);
    println!("all are connected again after {:?}", begin.elapsed());

    // What a sends to b goes to a host that there is not; what b sends to a arrives.
    let begin = Instant::now();
    ip("-n a neigh replace 10.0.0.2 lladdr 02:00:00:00:00:ff dev eth0 nud permanent");
    says(&mut b, &[("a", LOST)]);
    let took = begin.elapsed();
    println!("b notices that it hears nothing of a after {took:?}");
    assert!(took < DEADLINE + SLACK && took > DEADLINE - SLACK, "{took:?}");
    // That one hears of b until b gives it up, and then nothing, too.
    says(&mut a, &[("b", LOST)]);
    let took = begin.elapsed();
    println!("and a that it is not heard after {took:?}");
    assert!(took < 2 * (DEADLINE + SLACK), "{took:?}");
    ip("-n a neigh del 10.0.0.2 dev eth0");
    says(&mut a, &[("b", FOUND)]);
    says(&mut b, &[("a", FOUND)]);
    println!("all are connected again after {:?}", begin.elapsed());

    for program in [&mut a, &mut b, &mut c] {
        let more = program.rest();
        assert!(more.iter().all(|line| !line.contains(": ")), "{more:?}");
    }
}

/// Runs the stage where it may make hosts: as root, or as somebody whom the kernel lets be root of namespaces of his own.
#[test]
fn needs_ip_and_needs_namespaces_for_a_silent_cut() {
    let mut runner = vec!["unshare", "--net", "--mount", "--pid", "--fork", "--kill-child"];
    if !rustix::process::geteuid().is_root() {
        runner.extend(["--user", "--map-root-user"]);
    }
    runner.extend(["sh", "-c", APART, "sh"]);
    let (code, said, errors) = Program::by(&runner, "namespaces::stage", "stage", &[]).end();
    println!("{}", said.join("\n"));
    assert_eq!(code, Some(0), "{errors}");
}
