//! A node that knows the cookie and says what is not so: nothing of it goes further than what is its own, and what it can
//! have this one keep is bounded.

use std::sync::Arc;
use std::time::Duration;

use super::connection::{Connection, Limits, Offered};
use super::frame::{self, Kind};
use super::handshake::{Cookie, Identity, Lane};
use super::machine::{Action, ConnId, Keep, Machine, Settings};
use super::shared::{Carried, Shared};
use crate::process::elsewhere::{Dest, Route};
use crate::process::{Info, MonitorOptions, Node, Object, Process, monitor_by};
use crate::term::{ExitReason, MonitorRef};

fn identity(name: &str) -> Identity {
    Identity { name: name.into(), creation: 1, releases: (1, 1) }
}

const LIMITS: Limits = Limits { frame: 1 << 20, queue: 1 << 20 };

fn connection(node: &Node) -> Arc<Connection> {
    let (clock, offered) = (tokio::time::Instant::now(), Arc::<Offered>::default());
    Connection::new(node.downgrade(), 1, identity("liar"), LIMITS, offered, clock, Carried::default())
}

fn says(connection: &Connection, kind: Kind, fields: &impl serde::Serialize) {
    let whole = frame::plain(kind, fields);
    connection.handle(Lane::Messages, kind, &whole[frame::HEAD + 1..]).unwrap();
}

/// It does not know who watches whom here; it might guess.
#[tokio::test]
async fn an_end_of_a_process_of_another_node_is_not_believed() {
    let node = Node::new("a");
    let connection = connection(&node);
    let watched = node.spawn(|mut me: Process<()>| async move {
        me.receive().await;
        ExitReason::Shutdown
    });
    let (there, says_down) = (watched.clone(), connection.clone());
    let (tell, told) = tokio::sync::oneshot::channel();
    node.spawn(move |mut me: Process<()>| async move {
        let reference = me.monitor(&there);
        says(&says_down, Kind::Down, &(me.pid().id(), reference.0, ExitReason::Normal));
        there.send(());
        if let Info::Down(down) = me.receive().await {
            let _ = tell.send(down.reason);
        }
    });
    assert_eq!(told.await.unwrap(), ExitReason::Shutdown);
}

/// A name that somebody watches for long, and others whom it has told of the end of its holder.
#[tokio::test]
async fn a_monitor_that_has_fired_leaves_nothing_with_what_stands_for_its_process() {
    let node = Node::new("a");
    let connection = connection(&node);
    let name = connection.clone().standin(&Dest::Name("name".into())).unwrap();
    let (watched, says_down) = (name.clone(), connection.clone());
    let (tell, told) = tokio::sync::oneshot::channel();
    node.spawn(move |mut me: Process<()>| async move {
        for _ in 0..1000 {
            let object = Object::Name("name", says_down.peer.id());
            let reference = MonitorRef(me.node().next_reference());
            let options = MonitorOptions::default();
            monitor_by(me.process(), reference, Some(watched.clone()), object, options);
            says(&says_down, Kind::Down, &(me.pid().id(), reference.0, ExitReason::NoProc));
            assert!(matches!(me.receive().await, Info::Down(_)));
        }
        let _ = tell.send(());
    });
    told.await.unwrap();
    let left = name.core().relations().rare().map_or(0, |rare| rare.watchers.values().count());
    assert_eq!(left, 0);
}

/// Who watches nodes and ends is not kept.
#[tokio::test]
async fn who_watched_nodes_and_has_ended_is_forgotten() {
    let node = Node::new("a");
    let shared = Arc::new(Shared::new(&node, LIMITS));
    let mut ended = Vec::new();
    for _ in 0..1000 {
        let watcher = node.spawn(|_: Process<()>| std::future::pending::<()>());
        let process = watcher.process();
        shared.watch(&process, true);
        ended.push(Arc::downgrade(&process));
        drop(process);
        node.exit(watcher.pid(), ExitReason::Kill);
        watcher.ended().await;
    }
    tokio::task::yield_now().await;
    let kept = ended.iter().filter(|process| process.strong_count() > 0).count();
    assert!(kept < 200, "{kept} are kept");
}

fn machine(name: &str, learns: bool) -> Machine {
    let settings = Settings {
        me: identity(name),
        cookie: Cookie::new("the same for all"),
        deadline: Duration::from_secs(1),
        handshake: Duration::from_secs(5),
        redial: (Duration::from_millis(50), Duration::from_secs(2)),
        address: None,
        learns,
    };
    let mut next = 0_u64;
    Machine::new(settings, move || {
        next += 1;
        let mut nonce = [0; 32];
        nonce[..8].copy_from_slice(&next.to_be_bytes());
        nonce
    })
}

const NOW: Duration = Duration::ZERO;

/// Connects `here` with `there`; answers the lane of control here. What else `here` is to do is passed over.
fn connect(here: &mut Machine, there: &mut Machine, address: &str) -> ConnId {
    there.handle_connect(NOW, address, Keep::Once, None);
    let (mut lanes, mut up) = (Vec::new(), false);
    while !up {
        while let Some(action) = there.poll() {
            match action {
                Action::Dial { conn, .. } => {
                    lanes.push((here.handle_accepted(NOW).unwrap(), conn));
                    assert!(there.handle_dialled(NOW, conn, Ok(())));
                }
                Action::Send { conn, bytes } => {
                    let lane = lanes.iter().find(|lane| lane.1 == conn).unwrap();
                    hears(here, lane.0, &bytes);
                }
                Action::Up { .. } => up = true,
                _ => {}
            }
        }
        while let Some(action) = here.poll() {
            if let Action::Send { conn, bytes } = action
                && let Some(lane) = lanes.iter().find(|lane| lane.0 == conn)
            {
                hears(there, lane.1, &bytes);
            }
        }
    }
    while here.poll().is_some() {}
    lanes[0].0
}

fn hears(machine: &mut Machine, conn: ConnId, whole: &[u8]) {
    let (kind, fields) = frame::next(whole, frame::CONTROL_LIMIT).unwrap().unwrap();
    machine.handle_frame(NOW, conn, kind, &whole[fields], whole);
}

fn tells(machine: &mut Machine, conn: ConnId, name: &str, address: &str) {
    hears(machine, conn, &frame::plain(Kind::Peer, &(name, address)));
}

fn dialled(machine: &mut Machine) -> Vec<String> {
    let all = std::iter::from_fn(|| machine.poll());
    all.filter_map(|action| if let Action::Dial { to, .. } = action { Some(to.to_string()) } else { None })
        .collect()
}

#[test]
fn one_that_tells_of_ever_new_addresses_has_so_many_of_them_dialled() {
    let (mut here, mut liar) = (machine("here", true), machine("liar", false));
    let control = connect(&mut here, &mut liar, "here");
    for n in 0..10_000 {
        tells(&mut here, control, "somebody", &format!("nowhere:{n}"));
    }
    let dials = dialled(&mut here).len();
    assert!(dials <= 1024, "{dials} addresses are dialled at once");
}

/// Who was told of by an old address is found at the new one that somebody else knows, while the old one is still told of
/// and when it is no longer.
#[test]
fn one_who_is_told_of_at_two_addresses_is_dialled_at_both() {
    let (mut here, mut stale, mut fresh) = (machine("here", true), machine("a", false), machine("z", false));
    for _ in 0..2 {
        let old = connect(&mut here, &mut stale, "here");
        let new = connect(&mut here, &mut fresh, "here");
        tells(&mut here, old, "somebody", "old:1");
        tells(&mut here, new, "somebody", "new:1");
        assert_eq!(dialled(&mut here), ["old:1", "new:1"]);
        // Whichever of the two comes first in the order of the nodes.
        (here, stale, fresh) = (machine("here", true), machine("z", false), machine("a", false));
    }
}
