//! Scenarios in the language of `golden/README.md`, played to the machine.

use super::{Pid, World, words};
use incarnate_supervisors::{
    AutoShutdown, Backoff, Child, ChildSpec, Flags, Request, Restart, Shutdown, Strategy,
};
use std::time::Duration;

/// A scenario: its name and its lines, in words.
pub struct Scenario {
    name: String,
    lines: Vec<Vec<String>>,
}

impl Scenario {
    pub fn new(name: &str) -> Self {
        Self { name: name.into(), lines: Vec::new() }
    }

    pub fn name(&self) -> &str {
        &self.name
    }

    pub fn push(&mut self, line: &str) {
        self.lines.push(line.split_whitespace().map(Into::into).collect());
    }

    /// All that happens, line by line.
    pub fn play(&self) -> Vec<String> {
        let setup = Setup::new(&self.lines);
        let simple = setup.flags.strategy() == Strategy::SimpleOneForOne;
        let mut commands = self.lines.iter().filter(|words| words[0] == "do").map(|words| &words[1..]);
        let start = commands.next().expect("a scenario starts");
        assert_eq!(start, ["start"]);
        let mut world = match World::new(setup.flags.clone(), setup.specs.clone()) {
            Ok(world) => world,
            Err(error) => {
                return vec!["> start".into(), format!("supervisor refused {}", words::refusal(&error))];
            }
        };
        setup.script(&mut world);
        world.write("> start");
        world.settle();
        for command in commands {
            world.write(format!("> {}", command.join(" ")));
            let command: Vec<&str> = command.iter().map(String::as_str).collect();
            perform(&mut world, &command, &setup);
        }
        match simple {
            true => canonical(world.log),
            false => world.log,
        }
    }
}

/// All that a scenario says before its first command.
struct Setup {
    flags: Flags,
    specs: Vec<ChildSpec>,
    new_flags: Flags,
    new_specs: Vec<ChildSpec>,
    scripts: Vec<Vec<String>>,
}

impl Setup {
    fn new(lines: &[Vec<String>]) -> Self {
        let mut setup = Self {
            flags: Flags::default(),
            specs: Vec::new(),
            new_flags: Flags::default(),
            new_specs: Vec::new(),
            scripts: Vec::new(),
        };
        for line in lines {
            let words: Vec<&str> = line.iter().map(String::as_str).collect();
            match words.as_slice() {
                ["flags", options @ ..] => setup.flags = flags(options),
                ["child", name, options @ ..] => setup.specs.push(spec(name, options)),
                ["new", "flags", options @ ..] => setup.new_flags = flags(options),
                ["new", "child", name, options @ ..] => setup.new_specs.push(spec(name, options)),
                ["starts" | "stops", ..] => setup.scripts.push(line.clone()),
                ["do", ..] => {}
                other => panic!("no such line: {other:?}"),
            }
        }
        setup
    }

    fn script(&self, world: &mut World) {
        for line in &self.scripts {
            match line[0].as_str() {
                "starts" => world.script_starts(&line[1], line[2..].iter().map(String::as_str)),
                _ => world.script_stops(&line[1], &line[2]),
            }
        }
    }
}

fn flags(options: &[&str]) -> Flags {
    let strategy = match options[0] {
        "one_for_one" => Strategy::OneForOne,
        "one_for_all" => Strategy::OneForAll,
        "rest_for_one" => Strategy::RestForOne,
        "simple_one_for_one" => Strategy::SimpleOneForOne,
        other => panic!("no such strategy: {other}"),
    };
    let auto_shutdown = match options[3] {
        "never" => AutoShutdown::Never,
        "any_significant" => AutoShutdown::AnySignificant,
        "all_significant" => AutoShutdown::AllSignificant,
        other => panic!("no such auto_shutdown: {other}"),
    };
    let period = Duration::from_secs(options[2].parse().expect("a period in seconds"));
    let flags = Flags::new(strategy)
        .with_intensity(options[1].parse().expect("an intensity"), period)
        .with_auto_shutdown(auto_shutdown);
    // What OTP does not have; not in the scenarios that it plays.
    options[4..].chunks(2).fold(flags, |flags, option| match *option {
        ["max_children", max] => flags.with_max_children(max.parse().expect("a number")),
        ["backoff", first] => {
            let first = Duration::from_millis(first.parse().expect("a time in ms"));
            flags.with_backoff(Backoff::new(first, first * 4))
        }
        _ => panic!("no such option: {option:?}"),
    })
}

fn spec(name: &str, options: &[&str]) -> ChildSpec {
    let spec = match options.contains(&"supervisor") {
        true => ChildSpec::supervisor(name),
        false => ChildSpec::worker(name),
    };
    options.iter().fold(spec, |spec, option| match *option {
        "supervisor" => spec,
        "significant" => spec.significant(),
        "permanent" => spec.with_restart(Restart::Permanent),
        "transient" => spec.with_restart(Restart::Transient),
        "temporary" => spec.with_restart(Restart::Temporary),
        "brutal_kill" => spec.with_shutdown(Shutdown::BrutalKill),
        "infinity" => spec.with_shutdown(Shutdown::Infinity),
        time => {
            spec.with_shutdown(Shutdown::Timeout(Duration::from_millis(time.parse().expect("a time in ms"))))
        }
    })
}

fn perform(world: &mut World, command: &[&str], setup: &Setup) {
    let simple = setup.flags.strategy() == Strategy::SimpleOneForOne;
    match *command {
        ["wait", time] => world.wait(Duration::from_millis(time.parse().expect("a time in ms"))),
        ["stop", reason] => world.shutdown(reason),
        ["exit", name, reason] => world.exit(name, reason),
        ["release", name, outcome] => world.release(name, outcome),
        ["start_child", name] if simple => world.start_dynamic(name),
        ["start_child", name, ref options @ ..] => world.start_child(spec(name, options)),
        ["code_change"] => world.code_change(setup.new_flags.clone(), setup.new_specs.clone()),
        ["which_children"] => world.request("which_children", Request::WhichChildren),
        ["count_children"] => world.request("count_children", Request::CountChildren),
        ["get_childspec", name] => {
            let child = world.child(name);
            world.request("get_childspec", Request::GetChildspec(child));
        }
        ["which_child", name] => {
            let child = world.child(name);
            world.request("which_child", Request::WhichChild(child));
        }
        ["restart_child", name] => world.request("restart_child", Request::RestartChild(named(name))),
        ["delete_child", name] => world.request("delete_child", Request::DeleteChild(named(name))),
        ["terminate_child", ref target @ ..] => {
            let child = match *target {
                ["id", name] => named(name),
                ["pid", name] => Child::Pid { pid: world.pid(name), alive: world.is_alive(name) },
                ["stranger", how] => Child::Pid { pid: Pid("stranger".into(), 1), alive: how == "alive" },
                [name] => world.child(name),
                _ => panic!("no such target: {target:?}"),
            };
            world.request("terminate_child", Request::TerminateChild(child));
        }
        ref other => panic!("no such command: {other:?}"),
    }
}

fn named(name: &str) -> Child<Pid> {
    Child::Id(name.into())
}

/// All children of a simple_one_for_one supervisor end at once, in no order: neighbours are put into one, as
/// in the recorder.
fn canonical(log: Vec<String>) -> Vec<String> {
    fn kind(line: &str) -> u8 {
        match line.split_whitespace().next() {
            Some("told" | "ended") => 1,
            _ if line.starts_with("report shutdown_error") => 2,
            _ => 0,
        }
    }
    let mut log = log;
    for run in log.chunk_by_mut(|one, next| kind(one) == kind(next)) {
        if kind(&run[0]) != 0 {
            run.sort();
        }
    }
    log
}
