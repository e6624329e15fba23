//! release_handler as OTP's own suite sees it, but for releases on a disk: each test carries the id of its row.

use std::collections::BTreeMap;
use std::time::Duration;

use incarnate::gen_server::{CodeChange, GenServer};
use incarnate::handoff::{ChangeError, ModuleVsn, StateVersion};
use incarnate::supervisor::{AutoShutdown, Restart, SupervisorName};
use incarnate::upgrade::{
    Direction, Place, Report, Step, Update, Upgrade, UpgradeError, Value, Versions, in_force,
};
use incarnate::{
    CallReply, ChildSpec, Context, ExitReason, Init, Name, Never, Node, ReplyTo, Result, Supervisor, Term,
};
use serde::{Deserialize, Serialize};

use crate::keys::*;

/// A server that passes each question on to a key; its own state is a greeting, which version 2 is given by the plan.
const KEY: Name<Call, Cast, u64> = Name::new("key");

pub struct Greet(ReplyTo<String>);

#[derive(Serialize, Deserialize)]
struct Plain {
    name: String,
}

#[derive(Serialize, Deserialize)]
struct Polite {
    name: String,
    greeting: String,
}

#[derive(Deserialize)]
struct Settings {
    greeting: String,
}

impl StateVersion for Plain {
    const VSN: u32 = 1;
    type Previous = Never;
}

impl StateVersion for Polite {
    const VSN: u32 = 2;
    type Previous = Plain;

    fn up(Plain { name }: Plain, extra: &Term) -> Result<Self, ChangeError> {
        let Settings { greeting } = extra.decode().map_err(ChangeError::refused)?;
        Ok(Polite { name, greeting })
    }

    fn down(self, extra: &Term) -> Result<Plain, ChangeError> {
        let Settings { greeting } = extra.decode().map_err(ChangeError::refused)?;
        if greeting != self.greeting {
            return Err(ChangeError::lossy("a greeting of its own"));
        }
        Ok(Plain { name: self.name })
    }
}

macro_rules! greeter {
    ($version:ident, $new:expr, $say:expr) => {
        impl GenServer for $version {
            type Args = String;
            type Call = Greet;
            type Cast = Never;
            type Info = Never;
            type Continue = Never;

            async fn init(name: String, _: &mut Context<Self>) -> Result<Init<Self>> {
                let new: fn(String) -> Self = $new;
                Ok(Init::Ready(new(name)))
            }

            async fn handle_call(&mut self, Greet(to): Greet, _: &mut Context<Self>) -> Result<CallReply> {
                let say: fn(&Self) -> String = $say;
                match KEY.call(Call::Get).await {
                    Ok(number) => to.reply(format!("{} {number}", say(self))),
                    Err(_) => to.reply(say(self)),
                }
            }
        }

        impl CodeChange for $version {
            const MODULE: &'static str = "greeter@door";
        }
    };
}

greeter!(Plain, |name| Plain { name }, |plain| plain.name.clone());
greeter!(Polite, |name| Polite { name, greeting: "Hello".into() }, |polite| format!(
    "{}, {}",
    polite.greeting, polite.name
));

fn greeters() -> Versions {
    versions().with::<Plain>().with::<Polite>()
}

fn settings(greeting: &str) -> Value {
    Value::Map(BTreeMap::from([("greeting".to_owned(), Value::Text(greeting.to_owned()))]))
}

#[tokio::test(start_paused = true)]
async fn rh_003_the_way_down_brings_the_former_version_back() {
    let node = Node::new("a");
    let key = start(&node, 1).await;
    let plan = plan(1, 2, "drop the hits");
    for (direction, expected) in [(Direction::Up, 2), (Direction::Down, 1), (Direction::Up, 2)] {
        plan.run(&node, &versions(), direction).await.unwrap();
        key.cast(Cast::Add(1));
        assert_eq!(version(&key).await, expected);
        assert_eq!(version(&start(&node, 9).await).await, expected, "and what is started is that version");
    }
    assert_eq!(get(&key).await, 4);
}

/// The processes that a later purge would kill are found before anything is executed, as often as it is tried.
#[tokio::test(start_paused = true)]
async fn rh_012_a_process_on_other_code_refuses_the_plan_each_time() {
    let node = Node::new("a");
    let first = start(&node, 1).await;
    let other = Three::server((2, 0)).upgradable().on(&node).start().await.unwrap();
    for _ in 0..2 {
        let error = change(&node, 1, 2, "").await.unwrap_err();
        let (found, wanted) = (ModuleVsn::new("key", 3), ModuleVsn::new("key", 1));
        assert_eq!(error, UpgradeError::WrongVersion { pid: other.pid(), found, wanted });
        assert_eq!((version(&first).await, version(&other).await), (1, 3));
    }
    other.stop_with(ExitReason::Normal, Duration::from_secs(1)).await.unwrap();
    change(&node, 1, 2, "").await.unwrap();
    assert_eq!((get(&first).await, version(&first).await), (1, 2));
}

/// OTP's version is any term. Here it is a number, and the name of the module may be any text.
#[tokio::test(start_paused = true)]
async fn rh_014_a_version_is_a_number_behind_any_name() {
    let node = Node::new("a");
    let door = Plain::server("Ada".into()).upgradable().on(&node).start().await.unwrap();
    let load = Step::Load { module: "greeter@door@2".parse().unwrap() };
    let update = Update::new("greeter@door", 1, 2).extra(settings("Welcome"));
    let plan = Upgrade::new("any name").up(load).both(update);
    plan.run(&node, &greeters(), Direction::Up).await.unwrap();
    assert_eq!(node.process_info(door.pid()).unwrap().code, Some(ModuleVsn::new("greeter@door", 2)));
    assert_eq!(door.call(Greet).await, Ok("Welcome, Ada".to_owned()));
}

const TOP: SupervisorName = SupervisorName::new("top");

async fn top(node: &Node) -> incarnate::SupervisorRef {
    let key = ChildSpec::worker("key", || One::server((7, 0)).upgradable().name(KEY).start_link());
    let rooms = Supervisor::tree("rooms").child(key);
    Supervisor::tree("top").name(TOP).child(rooms).on(node).start().await.unwrap()
}

/// What OTP's remove_application does for modules and specification.
#[tokio::test(start_paused = true)]
async fn rh_015_deleting_a_tree_takes_its_processes_and_its_specification() {
    let node = Node::new("a");
    let top = top(&node).await;
    let plan = Upgrade::new("without rooms").up(Step::DeleteChild(Place::new("top", "rooms")));
    plan.run(&node, &versions(), Direction::Up).await.unwrap();
    assert_eq!(node.whereis("key"), None);
    assert_eq!(top.count_children().await.unwrap().specs, 0);
    assert_eq!(change(&node, 1, 2, "").await.unwrap().modules[0].processes, 0);
}

#[tokio::test(start_paused = true)]
async fn rh_017_a_release_without_changed_modules_changes_none() {
    let node = Node::new("a");
    let key = start(&node, 1).await;
    let plan = Upgrade::new("nothing new").up(Step::Load { module: "key@2".parse().unwrap() });
    assert!(plan.check(&node, &versions(), Direction::Up).await.unwrap().is_ok());
    assert!(plan.run(&node, &versions(), Direction::Up).await.unwrap().modules.is_empty());
    assert_eq!((get(&key).await, version(&key).await), (1, 1));
    assert_eq!(key.call(Call::Log).await, Ok(vec![]), "it was not even resumed");
}

#[tokio::test(start_paused = true)]
async fn rh_018_a_module_without_a_process_is_changed_too() {
    let node = Node::new("a");
    let report = change(&node, 1, 3, "").await.unwrap();
    assert_eq!(report.modules[0].processes, 0);
    assert_eq!(version(&start(&node, 1).await).await, 3, "the version in force is another");
}

#[tokio::test(start_paused = true)]
async fn rh_020_a_check_executes_nothing() {
    let node = Node::new("a");
    let top = top(&node).await;
    let shape = top.tree().await.unwrap();
    let key = KEY.on(&node).unwrap();
    let plan = plan(1, 2, "").up(Step::DeleteChild(Place::new("top", "rooms")));
    assert!(plan.check(&node, &versions(), Direction::Up).await.unwrap().is_ok());
    assert_eq!(top.tree().await.unwrap(), shape, "the same processes");
    assert_eq!((get(&key).await, version(&key).await), (7, 1));
    assert_eq!(key.call(Call::Log).await, Ok(vec![]), "it was not resumed, since it was not suspended");
    assert_eq!(version(&start(&node, 1).await).await, 1);
}

/// Configuration comes with the plan, for each module.
#[tokio::test(start_paused = true)]
async fn rh_023_and_rh_024_up_and_down_with_what_the_plan_says() {
    let node = Node::new("a");
    let door = Plain::server("Ada".into()).upgradable().on(&node).start().await.unwrap();
    assert_eq!(door.call(Greet).await, Ok("Ada".to_owned()));
    let update = |from, to, greeting| Update::new("greeter@door", from, to).extra(settings(greeting));
    let plan = Upgrade::new("manners").up(update(1, 2, "Good day")).down(update(2, 1, "Good day"));
    plan.run(&node, &greeters(), Direction::Up).await.unwrap();
    assert_eq!(door.call(Greet).await, Ok("Good day, Ada".to_owned()));
    let other = Upgrade::new("other manners").down(update(2, 1, "Hey"));
    let error = other.run(&node, &greeters(), Direction::Down).await.unwrap_err();
    assert!(error.to_string().contains("a greeting of its own"), "{error}");
    plan.run(&node, &greeters(), Direction::Down).await.unwrap();
    assert_eq!(door.call(Greet).await, Ok("Ada".to_owned()));
}

/// OTP finds it after the point of no return and restarts the node. Here it is found before anybody is suspended.
#[tokio::test(start_paused = true)]
async fn rh_031_a_faulty_specification_of_a_supervisor_changes_nothing() {
    let node = Node::new("a");
    let top = top(&node).await;
    let shape = top.tree().await.unwrap();
    let key = KEY.on(&node).unwrap();
    let faulty = ChildSpec::worker("faulty", || One::server((0, 0)).start_link())
        .restart(Restart::Permanent)
        .significant(true);
    let tree = Supervisor::tree("top").auto_shutdown(AutoShutdown::AnySignificant).child(faulty);
    let versions = versions().with_tree("top", tree);
    let plan = plan(1, 2, "").up(Step::ChangeSupervisor { supervisor: "top".into() });
    let error = plan.run(&node, &versions, Direction::Up).await.unwrap_err();
    assert!(matches!(&error, UpgradeError::Tree { supervisor, .. } if supervisor == "top"), "{error}");
    assert_eq!(top.tree().await.unwrap(), shape);
    assert_eq!((get(&key).await, version(&key).await), (7, 1));
    assert_eq!(key.call(Call::Log).await, Ok(vec![]));
}

/// Nothing of an upgrade outlives its node: the same program begins with what its code names.
#[tokio::test(start_paused = true)]
async fn rh_001_a_node_that_comes_back_is_what_it_was_before_the_upgrade() {
    let node = Node::new("a");
    let key = start(&node, 5).await;
    change(&node, 1, 2, "").await.unwrap();
    assert_eq!(version(&key).await, 2);
    drop((node, key));
    let again = Node::new("a");
    assert_eq!(in_force(&again, "key"), None);
    assert_eq!(version(&start(&again, 5).await).await, 1);
}

/// OTP kills who still runs old code when that is purged. Here nobody does: who cannot be changed keeps all from it.
#[tokio::test(start_paused = true)]
async fn rh_013_nobody_runs_the_old_version_afterwards() {
    let node = Node::new("a");
    let linked = One::server((1, 0)).upgradable().on(&node);
    let keys = [start(&node, 0).await, linked.start().await.unwrap()];
    let (go, wait) = tokio::sync::oneshot::channel();
    let blocked = keys[1].send_request(|to| Call::Block(to, wait));
    let refused = change_within(&node, Duration::from_secs(1)).await.unwrap_err();
    assert_eq!(refused, UpgradeError::NotSuspended(keys[1].pid()));
    let runs = |vsn| {
        keys.iter().all(|key| node.process_info(key.pid()).unwrap().code == Some(ModuleVsn::new("key", vsn)))
    };
    assert!(runs(1));
    go.send(()).unwrap();
    assert_eq!(blocked.receive(Duration::from_secs(1)).await, Ok(1));
    change_within(&node, Duration::from_secs(1)).await.unwrap();
    assert!(runs(2) && keys.iter().all(|key| key.is_alive()));
}

async fn change_within(node: &Node, patience: Duration) -> Result<Report, UpgradeError> {
    plan(1, 2, "").suspend_timeout(patience).run(node, &versions(), Direction::Up).await
}

/// OTP writes one entry for several older versions. Here the chain leads from each of them to the newest.
#[tokio::test(start_paused = true)]
async fn rh_033_one_version_takes_over_from_each_older_one() {
    for from in [1, 2] {
        let node = Node::new("a");
        change(&node, 1, from, "").await.unwrap();
        let key = start(&node, 5).await;
        change(&node, from, 3, "").await.unwrap();
        assert_eq!((get(&key).await, version(&key).await), (5, 3), "from {from}");
    }
}

/// The door asks a key that was told to wait. Suspended first, it does so when everything is over; suspended after the
/// key, it never comes to a stop, and all is as it was.
#[tokio::test(start_paused = true)]
async fn rule_2_14_3_callers_are_suspended_first() {
    let node = Node::new("a");
    let key = One::server((7, 0)).upgradable().name(KEY).on(&node).start().await.unwrap();
    let door = Plain::server("Ada".into()).upgradable().on(&node).start().await.unwrap();
    let (keys, doors) = (Update::new("key", 1, 2), Update::new("greeter@door", 1, 2).extra(settings("Hi")));
    let wrong = (doors.clone(), Err(UpgradeError::NotSuspended(door.pid())), "Ada 7");
    let right =
        (doors.depends_on("key"), Ok(vec!["greeter@door@2".to_owned(), "key@2".to_owned()]), "Hi, Ada 7");
    for (doors, expected, says) in [wrong, right] {
        let (go, wait) = tokio::sync::oneshot::channel();
        let blocked = key.send_request(|to| Call::Block(to, wait));
        tokio::task::yield_now().await;
        let plan = Upgrade::new("both").up(keys.clone()).up(doors).suspend_timeout(Duration::from_secs(1));
        let running = plan.run(&node, &greeters(), Direction::Up);
        for _ in 0..10 {
            tokio::task::yield_now().await;
        }
        let asked = door.send_request(Greet);
        for _ in 0..10 {
            tokio::task::yield_now().await;
        }
        go.send(()).unwrap();
        let order = |changed: Report| {
            changed.modules.iter().map(|changed| changed.to.to_string()).collect::<Vec<_>>()
        };
        assert_eq!(running.await.map(order), expected);
        assert_eq!(blocked.receive(Duration::from_secs(1)).await, Ok(7));
        assert_eq!(asked.receive(Duration::from_secs(1)).await, Ok(says.to_owned()));
    }
}
