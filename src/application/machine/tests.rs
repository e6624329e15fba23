//! The machine as a table of cases, and by random walks that hold its invariants.

use std::collections::{BTreeMap, BTreeSet};

use super::*;

const KINDS: [StartType; 3] = [StartType::Temporary, StartType::Transient, StartType::Permanent];

/// A machine with these applications loaded: `"top: middle bottom"` is one that needs two.
fn machine(applications: &[&'static str]) -> Machine<u32> {
    let mut machine = Machine::default();
    for line in applications {
        let (name, needs) = line.split_once(':').unwrap_or((line, ""));
        machine.handle_load(0, name, needs.split_whitespace().collect());
        assert_eq!(machine.poll(), Some(Action::Reply { token: 0, answer: Answer::Load(true) }));
    }
    machine
}

fn reason(text: &str) -> ExitReason {
    match text {
        "normal" => ExitReason::Normal,
        "shutdown" => ExitReason::Shutdown,
        other => ExitReason::term(other),
    }
}

/// Does what a line says and writes down all actions but reports, one word each.
fn step(machine: &mut Machine<u32>, line: &str) -> String {
    let words: Vec<&str> = line.split_whitespace().collect();
    let known = |name: &str| *machine.applications.keys().find(|known| **known == name).unwrap();
    let token = words.get(2).and_then(|token| token.parse().ok()).unwrap_or_default();
    let kind = match words.get(3).copied() {
        Some("permanent") => StartType::Permanent,
        Some("transient") => StartType::Transient,
        _ => StartType::Temporary,
    };
    match words[0] {
        "start" => machine.handle_start(token, words[1], kind, Mode::Once),
        "ensure" => machine.handle_start(token, words[1], kind, Mode::Ensure),
        "all" => machine.handle_start_all(token, words[1], kind),
        "stop" => machine.handle_stop(token, words[1]),
        "unload" => machine.handle_unload(token, words[1]),
        "up" => machine.handle_started(known(words[1])),
        "end" => machine.handle_ended(known(words[1]), reason(words[2])),
        "node" => machine.handle_node_stop(words[1].parse().unwrap()),
        "late" => machine.handle_timeout(known(words[1])),
        other => panic!("no such step: {other}"),
    }
    let mut text = Vec::new();
    while let Some(action) = machine.poll() {
        text.extend(write(action));
    }
    text.join(", ")
}

fn write(action: Action<u32>) -> Option<String> {
    Some(match action {
        Action::Start { name } => format!("start {name}"),
        Action::Stop { name } => format!("stop {name}"),
        Action::Arm { name, half } => format!("arm {}{name}", if half { "half " } else { "" }),
        Action::Kill { name } => format!("kill {name}"),
        Action::Halt { code } => format!("halt {code}"),
        Action::Stopping => "stopping".to_owned(),
        Action::Report(_) => return None,
        Action::Reply { token, answer } => match answer {
            Answer::Load(new) => format!("{token} {new}"),
            Answer::Unload(answer) => {
                format!("{token} {}", answer.map_or_else(|e| e.to_string(), |()| "ok".into()))
            }
            Answer::Start(answer) => {
                format!("{token} {}", answer.map_or_else(|e| short(&e), |()| "ok".into()))
            }
            Answer::StartAll(answer) => {
                format!(
                    "{token} {}",
                    answer.map_or_else(|e| short(&e), |names| format!("[{}]", names.join(" ")))
                )
            }
            Answer::Stop(answer) => {
                format!("{token} {}", answer.map_or_else(|_| "not_started".into(), |()| "ok".to_owned()))
            }
        },
    })
}

fn short(error: &StartError) -> String {
    match error {
        StartError::NotLoaded(name) => format!("not_loaded({name})"),
        StartError::AlreadyStarted(name) => format!("already_started({name})"),
        StartError::NotStarted(name) => format!("not_started({name})"),
        StartError::NotRunning(name) => format!("not_running({name})"),
        StartError::Missing { application, dependency } => format!("missing({application} {dependency})"),
        StartError::Cycle(names) => format!("cycle({})", names.join(" ")),
        StartError::Failed { application, .. } => format!("failed({application})"),
        StartError::NodeStops => "node_stops".to_owned(),
    }
}

#[track_caller]
fn check(applications: &[&'static str], steps: &[(&str, &str)]) {
    let mut machine = machine(applications);
    for (line, expected) in steps {
        assert_eq!(step(&mut machine, line), *expected, "at `{line}`");
    }
}

#[test]
fn app_016_a_start_of_what_runs_is_an_error_unless_it_is_to_be_ensured() {
    check(
        &["a"],
        &[
            ("start a 1", "start a"),
            ("up a", "1 ok"),
            ("start a 2", "2 already_started(a)"),
            ("ensure a 3", "3 ok"),
            ("all a 4", "4 []"),
            ("start b 5", "5 not_loaded(b)"),
            ("ensure b 6", "6 not_loaded(b)"),
        ],
    );
}

#[test]
fn app_017_dependencies_come_first_and_only_what_was_started_is_answered() {
    check(
        &["top: left right", "left: base", "right: base", "base"],
        &[
            ("start top 1", "1 not_started(left)"),
            ("start base 2", "start base"),
            ("up base", "2 ok"),
            ("all top 3", "start left"),
            ("up left", "start right"),
            ("up right", "start top"),
            ("up top", "3 [left right top]"),
        ],
    );
}

#[test]
fn app_017_a_failure_stops_what_was_started_and_nothing_else() {
    check(
        &["top: left right", "left: base", "right: base", "base"],
        &[
            ("start base 1", "start base"),
            ("up base", "1 ok"),
            ("all top 2", "start left"),
            ("up left", "start right"),
            ("end right boom", "stop left"),
            ("end left shutdown", "2 failed(right)"),
            ("start top 3", "3 not_started(left)"),
            ("ensure base 4", "4 ok"),
        ],
    );
}

#[test]
fn app_017_what_somebody_else_starts_is_waited_for_and_not_stopped_by_a_failure() {
    check(
        &["top: base", "base"],
        &[
            ("start base 1", "start base"),
            ("all top 2", ""),
            ("up base", "1 ok, start top"),
            ("end top boom", "2 failed(top)"),
            ("ensure base 3", "3 ok"),
        ],
    );
}

#[test]
fn a_cycle_and_a_missing_dependency_start_nothing() {
    check(&["a: b", "b: c", "c: b"], &[("all a 1", "1 cycle(b c b)"), ("all b 2", "2 cycle(b c b)")]);
    check(&["a: a"], &[("all a 1", "1 cycle(a a)"), ("start a 2", "2 not_started(a)")]);
    check(&["a: ok gone", "ok"], &[("all a 1", "1 missing(a gone)")]);
}

#[test]
fn app_023_two_who_start_at_once_hear_the_same() {
    check(
        &["a"],
        &[
            ("start a 1", "start a"),
            ("start a 2", ""),
            ("up a", "1 ok, 2 ok"),
            ("stop a 3", "stop a"),
            ("end a shutdown", "3 ok"),
            ("start a 4", "start a"),
            ("start a 5", ""),
            ("end a boom", "4 failed(a), 5 failed(a)"),
        ],
    );
}

#[test]
fn app_027_what_is_needed_and_has_ended_is_not_running() {
    check(
        &["top: base", "base"],
        &[
            ("start top 1", "1 not_started(base)"),
            ("start base 2", "start base"),
            ("up base", "2 ok"),
            ("end base killed", ""),
            ("start top 3", "3 not_running(base)"),
            ("all top 4", "start base"),
            ("up base", "start top"),
            ("up top", "4 [base top]"),
        ],
    );
}

#[test]
fn rule_2_15_2_a_start_during_a_stop_waits_for_its_end() {
    check(
        &["a"],
        &[
            ("stop a 1", "1 not_started"),
            ("start a 2", "start a"),
            ("stop a 3", "3 not_started"),
            ("up a", "2 ok"),
            ("stop a 4", "stop a"),
            ("stop a 5", ""),
            ("start a 6", ""),
            ("all a 7", ""),
            ("unload a 8", "8 running: application a, stop it first"),
            ("end a shutdown", "4 ok, 5 ok, start a"),
            ("up a", "6 ok, 7 []"),
        ],
    );
}

#[test]
fn rule_2_15_3_what_the_end_of_an_application_means_for_the_node() {
    let down = "stopping, halt 1";
    for (kind, why, expected) in [
        ("permanent", "normal", down),
        ("permanent", "shutdown", down),
        ("permanent", "boom", down),
        ("transient", "normal", ""),
        ("transient", "shutdown", down),
        ("transient", "boom", down),
        ("temporary", "normal", ""),
        ("temporary", "shutdown", ""),
        ("temporary", "boom", ""),
    ] {
        let end = format!("end a {why}");
        check(&["a"], &[(&format!("start a 1 {kind}"), "start a"), ("up a", "1 ok"), (&end, expected)]);
        // APP-022: a start that fails is an end.
        let failed = ["1 failed(a)", expected].join(", ");
        let failed = failed.trim_end_matches(", ");
        check(&["a"], &[(&format!("start a 1 {kind}"), "start a"), (&end, failed)]);
        // A stop by request never is.
        let steps = [
            (&*format!("start a 1 {kind}"), "start a"),
            ("up a", "1 ok"),
            ("stop a 2", "stop a"),
            (&end, "2 ok"),
        ];
        check(&["a"], &steps);
    }
}

#[test]
fn rule_2_15_4_the_node_stops_its_applications_one_after_another_the_youngest_first() {
    check(
        &["a", "b", "c", "d"],
        &[
            ("start b 1", "start b"),
            ("up b", "1 ok"),
            ("start a 2", "start a"),
            ("up a", "2 ok"),
            ("start c 3", "start c"),
            ("node 7", "stopping, 3 node_stops, stop c, arm half c"),
            ("node 9", ""),
            ("start d 4", "4 node_stops"),
            ("stop b 5", ""),
            ("up c", ""),
            ("late b", ""),
            ("late c", "kill c"),
            ("end c killed", "stop a, arm a"),
            ("late a", "kill a"),
            ("end a killed", "stop b, arm b"),
            ("end b shutdown", "5 ok, halt 7"),
            ("late b", ""),
        ],
    );
}

/// The world around a machine: what runs, who waits, and what has been promised.
struct World {
    machine: Machine<u32>,
    needs: BTreeMap<AppName, Vec<AppName>>,
    /// Masters: those that start, and those that are up, in the order in which they came up.
    starting: BTreeSet<AppName>,
    up: Vec<AppName>,
    stopping: BTreeSet<AppName>,
    open: BTreeSet<u32>,
    next: u32,
    /// The node's stop was asked for, or brought about.
    node_stops: bool,
    halted: bool,
}

impl World {
    fn token(&mut self) -> u32 {
        self.next += 1;
        self.open.insert(self.next);
        self.next
    }

    fn settle(&mut self) {
        while let Some(action) = self.machine.poll() {
            let says = matches!(action, Action::Reply { .. } | Action::Report(_));
            assert!(!self.halted || says, "something was done after the halt: {action:?}");
            match action {
                Action::Start { name } => {
                    assert!(!self.node_stops, "{name} was begun while the node stops");
                    let up = |need: &AppName| self.up.contains(need) && !self.stopping.contains(need);
                    assert!(self.needs[name].iter().all(up), "{name} was begun without what it needs");
                    assert!(!self.up.contains(&name) && self.starting.insert(name), "{name} was begun twice");
                }
                Action::Stop { name } => {
                    assert!(
                        self.up.contains(&name) && self.stopping.insert(name),
                        "{name} was stopped twice"
                    );
                    if self.node_stops {
                        assert_eq!(self.up.last(), Some(&name), "not the youngest");
                    }
                }
                Action::Arm { name, .. } => assert_eq!(self.up.last(), Some(&name)),
                Action::Kill { name } => {
                    assert!(self.node_stops && (self.starting.contains(name) || self.up.contains(&name)))
                }
                Action::Reply { token, .. } => {
                    assert!(self.open.remove(&token), "{token} was answered twice")
                }
                Action::Report(_) => {}
                Action::Stopping => {
                    assert!(!std::mem::replace(&mut self.node_stops, true));
                    // What was starting ends like the others, as the youngest.
                    self.up.extend(std::mem::take(&mut self.starting));
                }
                Action::Halt { .. } => {
                    assert!(self.up.is_empty(), "halted before {:?}", self.up);
                    self.halted = true;
                }
            }
        }
        assert_eq!(self.machine.running(), self.up);
    }

    fn ended(&mut self, name: AppName, why: &str) {
        self.starting.remove(name);
        self.stopping.remove(name);
        self.up.retain(|other| *other != name);
        self.machine.handle_ended(name, reason(why));
    }
}

/// xorshift64.
fn random(state: &mut u64, below: usize) -> usize {
    *state ^= *state << 13;
    *state ^= *state >> 7;
    *state ^= *state << 17;
    (*state % below as u64) as usize
}

const NAMES: [AppName; 5] = ["a", "b", "c", "d", "e"];

fn walk(seed: u64) {
    let mut dice = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let mut needs = BTreeMap::new();
    for (at, name) in NAMES.into_iter().enumerate() {
        // Some need what comes after them: there may be cycles.
        let reach = if random(&mut dice, 8) == 0 { NAMES.len() } else { at };
        needs.insert(
            name,
            NAMES[..reach].iter().copied().filter(|_| random(&mut dice, 3) == 0).collect::<Vec<_>>(),
        );
    }
    let mut world = World {
        machine: Machine::default(),
        needs,
        starting: BTreeSet::new(),
        up: Vec::new(),
        stopping: BTreeSet::new(),
        open: BTreeSet::new(),
        next: 0,
        node_stops: false,
        halted: false,
    };
    for _ in 0..120 {
        let name = NAMES[random(&mut dice, NAMES.len())];
        let kind =
            if random(&mut dice, 12) == 0 { KINDS[random(&mut dice, 3)] } else { StartType::Temporary };
        let why = ["normal", "shutdown", "boom"][random(&mut dice, 3)];
        let starting: Vec<_> = world.starting.iter().copied().collect();
        let stopping: Vec<_> = world.stopping.iter().copied().collect();
        match random(&mut dice, 16) {
            0..3 => {
                let (token, needs) = (world.token(), world.needs[name].clone());
                world.machine.handle_load(token, name, needs);
            }
            3 => {
                let token = world.token();
                world.machine.handle_unload(token, name);
            }
            4..6 => {
                let (token, mode) = (world.token(), [Mode::Once, Mode::Ensure][random(&mut dice, 2)]);
                world.machine.handle_start(token, name, kind, mode);
            }
            6..8 => {
                let token = world.token();
                world.machine.handle_start_all(token, name, kind);
            }
            8 => {
                let token = world.token();
                world.machine.handle_stop(token, name);
            }
            9..13 if !starting.is_empty() => {
                let name = starting[random(&mut dice, starting.len())];
                if random(&mut dice, 4) == 0 || world.node_stops {
                    world.ended(name, why);
                } else {
                    world.starting.remove(name);
                    world.up.push(name);
                    world.machine.handle_started(name);
                }
            }
            13 | 14 if !stopping.is_empty() => world.ended(stopping[random(&mut dice, stopping.len())], why),
            15 if world.up.contains(&name) && random(&mut dice, 2) == 0 => world.ended(name, why),
            15 if random(&mut dice, 10) == 0 => world.machine.handle_node_stop(3),
            _ => world.machine.handle_timeout(name),
        }
        world.settle();
    }
    finish(&mut world);
}

/// Everything that is on its way comes: nobody waits any more, and a node that stops has halted.
fn finish(world: &mut World) {
    loop {
        if let Some(name) = world.starting.first().copied() {
            world.ended(name, "killed");
        } else if let Some(name) = world.stopping.first().copied() {
            world.ended(name, "shutdown");
        } else {
            break;
        }
        world.settle();
    }
    assert!(world.open.is_empty(), "{:?} were never answered", world.open);
    assert_eq!(world.node_stops, world.halted, "a node that stops halts");
    if !world.node_stops {
        world.machine.handle_node_stop(0);
        world.settle();
        finish(world);
    }
}

#[test]
fn random_walks_hold_the_invariants() {
    let only = std::env::var("SEED").ok().and_then(|seed| seed.parse().ok());
    for seed in only.map_or(1..3000u64, |seed| seed..seed + 1) {
        let walked = std::panic::catch_unwind(|| walk(seed));
        if let Err(panic) = walked {
            eprintln!("SEED={seed} walks there again");
            std::panic::resume_unwind(panic);
        }
    }
}
