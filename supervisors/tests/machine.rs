//! What scenarios cannot say: start data, time, size, trees, and events that fit nothing.

mod world;

use incarnate_supervisors::{
    Action, Answer, AutoShutdown, Backoff, Child, ChildSpec, ExitClass, Flags, InitError, Intensity, Key,
    Report, Request, Restart, Shutdown, Signal, SpecError, StopReason, Strategy, Supervisor, Tree,
    check_childspecs,
};
use std::time::{Duration, Instant};
use world::World;

type Machine = Supervisor<u32, u32>;

const NOW: Duration = Duration::ZERO;

fn actions(machine: &mut Machine) -> Vec<Action<u32, u32, ExitClass>> {
    machine.check_invariants().expect("the invariants hold");
    std::iter::from_fn(|| machine.poll()).filter(|action| !matches!(action, Action::Report(_))).collect()
}

fn forgotten(machine: &mut Machine) -> Vec<Key> {
    let forgotten = |action| if let Action::Forget { key } = action { Some(key) } else { None };
    actions(machine).into_iter().filter_map(forgotten).collect()
}

fn temporary(id: &str) -> ChildSpec {
    ChildSpec::worker(id).with_restart(Restart::Temporary)
}

fn simple(spec: ChildSpec) -> Machine {
    Supervisor::new(Flags::new(Strategy::SimpleOneForOne), vec![spec]).expect("the template is in order").0
}

/// The window at these times, in ms: how many restarts it takes before one is too many.
#[track_caller]
fn check_window(limit: u32, period: u64, at: &[u64], allowed: usize) {
    let mut window = Intensity::new(limit, Duration::from_secs(period));
    let marked = at.iter().take_while(|at| window.mark(Duration::from_millis(**at))).count();
    assert_eq!(marked, allowed, "{limit} in {period} s at {at:?}");
    for _ in 0..9 {
        let _ = window.mark(Duration::from_millis(at[at.len() - 1]));
    }
    assert!(window.restarts() <= limit as usize + 1, "the ring is bounded");
}

#[test]
fn intensity_window() {
    check_window(0, 5, &[0], 0);
    check_window(1, 5, &[0, 0], 1);
    check_window(1, 5, &[0, 6000, 12000], 3);
    // The border is inclusive.
    check_window(1, 5, &[0, 5000], 1);
    // Whole seconds count: 5.8 s apart and inside, 5.2 s apart and outside.
    check_window(1, 5, &[100, 5900], 1);
    check_window(1, 5, &[900, 6100], 2);
    check_window(3, 2, &[0, 1000, 2000, 3000, 4000, 5000], 6);
    check_window(2, 2, &[0, 1000, 2000, 3000], 2);
}

#[test]
fn sup_015_missing_id() {
    assert_eq!(check_childspecs(&[ChildSpec::worker("")], AutoShutdown::Never), Err(SpecError::MissingId));
    let started = Machine::new(Flags::default(), vec![ChildSpec::worker("")]);
    assert_eq!(started.err(), Some(InitError::Spec(SpecError::MissingId)));
}

#[test]
fn sup_014_childspec_of_strangers() {
    let mut machine = simple(temporary("t"));
    let mut childspec = |child| {
        machine.handle_request(0, Request::GetChildspec(child), NOW);
        match actions(&mut machine).pop() {
            Some(Action::Reply { answer: Answer::GetChildspec(answer), .. }) => answer.is_ok(),
            other => panic!("{other:?}"),
        }
    };
    assert!(!childspec(Child::Pid { pid: 9, alive: true }), "a foreign process is not found");
    assert!(
        childspec(Child::Pid { pid: 9, alive: false }),
        "a dead one cannot be told from a child that has gone"
    );
    assert!(childspec(Child::Id("t".into())));
    assert!(!childspec(Child::Id("x".into())));
}

#[test]
fn sup_066_start_data_of_temporary_children() {
    for strategy in [Strategy::OneForOne, Strategy::OneForAll, Strategy::RestForOne] {
        let specs = vec![temporary("a"), ChildSpec::worker("b")];
        let (mut machine, keys) =
            Machine::new(Flags::new(strategy), specs).expect("the specifications are in order");
        machine.handle_started(keys[0], Ok(Some(1)), NOW);
        machine.handle_started(keys[1], Ok(Some(2)), NOW);
        assert_eq!(forgotten(&mut machine), [keys[0]], "{strategy}");
        let key = machine.handle_start_child(0, temporary("c"), NOW);
        machine.handle_started(key, Ok(Some(3)), NOW);
        assert_eq!(forgotten(&mut machine), [key], "{strategy}");
        machine.handle_exited(3, ExitClass::Abnormal, NOW);
        assert_eq!(forgotten(&mut machine), [], "what is forgotten is forgotten once");
    }
}

#[test]
fn sup_055_start_data_of_dynamic_children() {
    let mut machine = simple(temporary("t"));
    let key = machine.handle_start_dynamic(0, NOW);
    machine.handle_started(key, Ok(Some(1)), NOW);
    assert_eq!(forgotten(&mut machine), [key], "nobody starts a temporary child again");
    let mut machine = simple(ChildSpec::worker("t").with_restart(Restart::Transient));
    let key = machine.handle_start_dynamic(0, NOW);
    machine.handle_started(key, Ok(Some(1)), NOW);
    assert_eq!(forgotten(&mut machine), [], "a transient child may have to start again");
    machine.handle_exited(1, ExitClass::Normal, NOW);
    assert_eq!(forgotten(&mut machine), [key]);
}

#[test]
fn start_data_of_refused_and_deleted_children() {
    let (mut machine, keys) = Machine::new(Flags::default(), vec![ChildSpec::worker("a")]).expect("in order");
    machine.handle_started(keys[0], Ok(Some(1)), NOW);
    actions(&mut machine);
    let refused = machine.handle_start_child(0, ChildSpec::worker("a"), NOW);
    assert_eq!(forgotten(&mut machine), [refused]);
    let failed = machine.handle_start_child(0, ChildSpec::worker("b"), NOW);
    machine.handle_started(failed, Err(ExitClass::Abnormal), NOW);
    assert_eq!(forgotten(&mut machine), [failed]);
    machine.handle_request(0, Request::TerminateChild(Child::Id("a".into())), NOW);
    machine.handle_down(1, ExitClass::Shutdown, NOW);
    machine.handle_request(0, Request::DeleteChild(Child::Id("a".into())), NOW);
    assert_eq!(forgotten(&mut machine), keys);
}

#[test]
fn a_changed_child_keeps_its_key() {
    let (mut machine, keys) = Machine::new(Flags::default(), vec![ChildSpec::worker("a")]).expect("in order");
    machine.handle_started(keys[0], Ok(Some(1)), NOW);
    actions(&mut machine);
    machine.handle_code_change(7, Flags::default(), vec![ChildSpec::worker("b"), temporary("a")], NOW);
    let changed = actions(&mut machine);
    let Some(Action::Reply { token: 7, answer: Answer::CodeChange(Ok(new)) }) = changed.first() else {
        panic!("{changed:?}")
    };
    assert_eq!(new[1], keys[0]);
    // A temporary child that runs needs no start function, not even the new one.
    assert_eq!(changed[1..], [Action::Forget { key: keys[0] }]);
}

/// A child that started as temporary has no arguments left to start again with, whatever the template says by
/// now.
#[test]
fn a_change_does_not_revive_arguments() {
    let mut machine = simple(temporary("t"));
    let key = machine.handle_start_dynamic(0, NOW);
    machine.handle_started(key, Ok(Some(1)), NOW);
    let flags = Flags::new(Strategy::SimpleOneForOne);
    machine.handle_code_change(0, flags, vec![ChildSpec::worker("t")], NOW);
    actions(&mut machine);
    machine.handle_exited(1, ExitClass::Abnormal, NOW);
    assert_eq!(actions(&mut machine), []);
}

#[test]
fn wrong_way_to_start_a_child() {
    let mut world = World::new(Flags::default(), vec![]).expect("in order");
    world.settle();
    world.start_dynamic("x");
    assert_eq!(world.log.last().expect("an answer"), "answer start_child error wrong_strategy");
    let mut world =
        World::new(Flags::new(Strategy::SimpleOneForOne), vec![ChildSpec::worker("t")]).expect("in order");
    world.settle();
    world.start_child(ChildSpec::worker("x"));
    assert_eq!(world.log.last().expect("an answer"), "answer start_child error wrong_strategy");
}

#[test]
fn events_that_fit_nothing_change_nothing() {
    let (mut machine, keys) = Machine::new(Flags::default(), vec![ChildSpec::worker("a")]).expect("in order");
    machine.handle_started(keys[0], Ok(Some(1)), NOW);
    actions(&mut machine);
    let before = format!("{machine:?}");
    machine.handle_started(keys[0], Ok(Some(2)), NOW);
    machine.handle_down(1, ExitClass::Shutdown, NOW);
    machine.handle_retry(keys[0], NOW);
    machine.handle_exited(99, ExitClass::Abnormal, NOW);
    assert_eq!(actions(&mut machine), []);
    assert_eq!(format!("{machine:?}"), before);
}

/// A child that died before the supervisor came to it: its DOWN says noproc, its EXIT knows better and may
/// come first or last.
#[test]
fn the_exit_knows_the_reason() {
    let spec = ChildSpec::worker("a").with_shutdown(Shutdown::Infinity);
    let (mut machine, keys) = Machine::new(Flags::default(), vec![spec]).expect("in order");
    machine.handle_started(keys[0], Ok(Some(1)), NOW);
    actions(&mut machine);
    machine.handle_shutdown(ExitClass::Shutdown, NOW);
    let told = [Action::Monitor { pid: 1 }, Action::Exit { pid: 1, signal: Signal::Shutdown }];
    assert_eq!(actions(&mut machine), told);
    machine.handle_exited(1, ExitClass::Shutdown, NOW);
    assert_eq!(actions(&mut machine), []);
    machine.handle_down(1, ExitClass::Abnormal, NOW);
    // No shutdown_error is reported: the child ended with shutdown.
    assert_eq!(machine.poll(), Some(Action::Stop { reason: StopReason::Ordered(ExitClass::Shutdown) }));
}

/// Of what a process is said to have ended with, the first word counts.
#[test]
fn a_second_exit_says_nothing() {
    let specs = vec![ChildSpec::worker("a"), ChildSpec::worker("b")];
    let (mut machine, keys) = Machine::new(Flags::default(), specs).expect("in order");
    machine.handle_started(keys[0], Ok(Some(1)), NOW);
    machine.handle_exited(1, ExitClass::Killed, NOW);
    machine.handle_exited(1, ExitClass::Abnormal, NOW);
    machine.handle_started(keys[1], Ok(Some(2)), NOW);
    let reports: Vec<ExitClass> = std::iter::from_fn(|| machine.poll())
        .filter_map(|action| match action {
            Action::Report(Report::ChildTerminated { reason, .. } | Report::UnknownExit { reason, .. }) => {
                Some(reason)
            }
            _ => None,
        })
        .collect();
    assert_eq!(reports, [ExitClass::Killed]);
}

/// Rule 2.11.5, for each restart type and reason: whether the end is an error, told with time and with
/// brutal_kill.
#[test]
fn good_ends() {
    use ExitClass::{Abnormal, Killed, Normal, Shutdown as Told, ShutdownWith};
    let errors = |restart, shutdown| {
        [Normal, Told, ShutdownWith, Killed, Abnormal].map(|reason| {
            let spec = ChildSpec::worker("a").with_restart(restart).with_shutdown(shutdown);
            let (mut machine, keys) = Machine::new(Flags::default(), vec![spec]).expect("in order");
            machine.handle_started(keys[0], Ok(Some(1)), NOW);
            machine.handle_shutdown(Told, NOW);
            machine.handle_down(1, reason, NOW);
            std::iter::from_fn(|| machine.poll())
                .any(|action| matches!(action, Action::Report(Report::ShutdownError { .. })))
        })
    };
    assert_eq!(errors(Restart::Permanent, Shutdown::Infinity), [true, false, true, true, true]);
    assert_eq!(errors(Restart::Transient, Shutdown::Infinity), [false, false, false, true, true]);
    assert_eq!(errors(Restart::Temporary, Shutdown::Infinity), [false, false, false, true, true]);
    assert_eq!(errors(Restart::Permanent, Shutdown::BrutalKill), [true, true, true, false, true]);
    assert_eq!(errors(Restart::Transient, Shutdown::BrutalKill), [false, false, false, false, true]);
}

#[test]
fn a_machine_that_stopped_turns_callers_away() {
    let (mut machine, _) = Machine::new(Flags::default(), vec![]).expect("in order");
    machine.handle_shutdown(ExitClass::Shutdown, NOW);
    actions(&mut machine);
    let key = machine.handle_start_child(1, ChildSpec::worker("a"), NOW);
    machine.handle_request(2, Request::WhichChildren, NOW);
    machine.handle_shutdown(ExitClass::Shutdown, NOW);
    let turned_away = [Action::Forget { key }, Action::Abandon { token: 1 }, Action::Abandon { token: 2 }];
    assert_eq!(actions(&mut machine), turned_away);
}

/// SUP-086: the effort for each of many children grows slowly; OTP's own limit is a factor of 1,000 for 100
/// times as many.
#[test]
fn sup_086_many_children() {
    let effort = |children: u32| {
        let start = Instant::now();
        let mut machine = simple(temporary("t"));
        for pid in 0..children {
            let key = machine.handle_start_dynamic(0, NOW);
            machine.handle_started(key, Ok(Some(pid)), NOW);
            while machine.poll().is_some() {}
        }
        for pid in 0..children / 2 {
            machine.handle_request(0, Request::TerminateChild(Child::Pid { pid, alive: true }), NOW);
            machine.handle_down(pid, ExitClass::Shutdown, NOW);
            while machine.poll().is_some() {}
        }
        machine.handle_shutdown(ExitClass::Shutdown, NOW);
        for pid in children / 2..children {
            machine.handle_exited(pid, ExitClass::Shutdown, NOW);
            machine.handle_down(pid, ExitClass::Shutdown, NOW);
        }
        assert!(std::iter::from_fn(|| machine.poll()).any(|action| matches!(action, Action::Stop { .. })));
        start.elapsed()
    };
    let few = effort(1_000);
    let many = effort(100_000);
    assert!(many < few * 1_000, "{few:?} for 1,000 and {many:?} for 100,000");
}

fn backing_off() -> World {
    let backoff = Backoff::new(Duration::from_millis(100), Duration::from_millis(250));
    let flags = Flags::default().with_intensity(9, Duration::from_secs(60)).with_backoff(backoff);
    let mut world =
        World::new(flags, vec![ChildSpec::worker("a"), ChildSpec::worker("b")]).expect("in order");
    world.settle();
    world
}

#[test]
fn backoff_delays_restarts() {
    let mut world = backing_off();
    world.script_starts("a", ["fail", "fail"]);
    world.exit("a", "crash");
    let mut attempts = Vec::new();
    for at in (0..1000).step_by(50) {
        let before = world.log.len();
        world.wait(Duration::from_millis(50));
        attempts.extend(
            world.log[before..]
                .iter()
                .filter(|line| line.starts_with("start a"))
                .map(|line| (at + 50, line.clone())),
        );
    }
    let expected = [(100, "start a failed"), (300, "start a failed"), (550, "start a#2")];
    assert_eq!(attempts, expected.map(|(at, line)| (at, line.to_owned())));
}

#[test]
fn backoff_serves_requests() {
    let mut world = backing_off();
    world.exit("a", "crash");
    world.request("which_children", Request::WhichChildren);
    assert_eq!(
        world.log.last().expect("an answer"),
        "answer which_children b=b#1/worker a=restarting/worker"
    );
    world.request("terminate_child", Request::TerminateChild(Child::Id("a".into())));
    let before = world.log.len();
    world.wait(Duration::from_secs(10));
    assert_eq!(world.log[before..], [] as [String; 0], "a child that was terminated is not restarted");
}

#[test]
fn backoff_yields_to_the_end() {
    let mut world = backing_off();
    world.exit("a", "crash");
    world.shutdown("shutdown");
    assert_eq!(world.log.last().expect("the end"), "supervisor ended shutdown");
}

/// A retry that comes late finds the child in a later back-off and leaves it there.
#[test]
fn backoff_is_not_cut_short() {
    let backoff = Backoff::new(Duration::from_millis(100), Duration::from_secs(1));
    let flags = Flags::default().with_intensity(9, Duration::from_secs(60)).with_backoff(backoff);
    let (mut machine, keys) = Machine::new(flags, vec![ChildSpec::worker("a")]).expect("in order");
    machine.handle_started(keys[0], Ok(Some(1)), NOW);
    actions(&mut machine);
    machine.handle_exited(1, ExitClass::Abnormal, NOW);
    let armed = actions(&mut machine);
    let [Action::Arm { timer, .. }] = armed[..] else { panic!("{armed:?}") };
    machine.handle_timeout(timer, NOW);
    machine.handle_started(keys[0], Err(ExitClass::Abnormal), NOW);
    assert_eq!(actions(&mut machine), [Action::Start { key: keys[0] }, Action::Retry { key: keys[0] }]);
    machine.handle_request(0, Request::TerminateChild(Child::Id("a".into())), NOW);
    machine.handle_request(0, Request::RestartChild(Child::Id("a".into())), NOW);
    machine.handle_started(keys[0], Ok(Some(2)), NOW);
    machine.handle_exited(2, ExitClass::Abnormal, NOW);
    assert!(matches!(actions(&mut machine).last(), Some(Action::Arm { .. })));
    machine.handle_retry(keys[0], NOW);
    assert_eq!(actions(&mut machine), []);
}

#[test]
fn max_children() {
    let flags = Flags::new(Strategy::SimpleOneForOne).with_max_children(2);
    let mut world =
        World::new(flags, vec![ChildSpec::worker("t").with_restart(Restart::Transient)]).expect("in order");
    world.settle();
    for name in ["x", "y", "z"] {
        world.start_dynamic(name);
    }
    assert_eq!(world.log.last().expect("an answer"), "answer start_child error max_children");
    world.exit("x", "normal");
    world.start_dynamic("z");
    assert_eq!(world.log.last().expect("an answer"), "answer start_child z#1");
}

/// SUP-061: an inner supervisor that gives up is a child of the outer one that ended with shutdown.
#[test]
fn sup_061_tree() {
    let flags = Flags::new(Strategy::OneForAll);
    let specs = vec![ChildSpec::supervisor("inner"), ChildSpec::supervisor("other")];
    let (mut outer, keys) = Machine::new(flags, specs).expect("in order");
    outer.handle_started(keys[0], Ok(Some(1)), NOW);
    outer.handle_started(keys[1], Ok(Some(2)), NOW);
    let (mut inner, inner_keys) = Machine::new(
        Flags::default().with_intensity(0, Duration::from_secs(5)),
        vec![ChildSpec::worker("w")],
    )
    .expect("in order");
    inner.handle_started(inner_keys[0], Ok(Some(3)), NOW);
    let mut tree = outer.tree("top");
    assert!(tree.graft(&"inner".into(), inner.tree("inner")));
    assert!(!tree.graft(&"nobody".into(), Tree::root("x", Strategy::OneForOne)));
    let shown = "top supervisor one_for_all\n  inner supervisor one_for_one permanent 1\n    w worker permanent 3\n  \
                 other supervisor permanent 2\n";
    assert_eq!(tree.to_string(), shown);
    actions(&mut outer);
    actions(&mut inner);
    inner.handle_exited(3, ExitClass::Abnormal, NOW);
    assert_eq!(actions(&mut inner), [Action::Stop { reason: StopReason::Shutdown }]);
    outer.handle_exited(1, ExitClass::Shutdown, NOW);
    outer.handle_down(2, ExitClass::Shutdown, NOW);
    assert_eq!(outer.poll().map(|action| matches!(action, Action::Report(_))), Some(true));
    let restart = [
        Action::Monitor { pid: 2 },
        Action::Exit { pid: 2, signal: Signal::Shutdown },
        Action::Start { key: keys[0] },
    ];
    assert_eq!(actions(&mut outer), restart);
}
