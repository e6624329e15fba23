//! Random walks: whatever happens in whatever order, the invariants hold after each step and nobody waits for
//! ever.

mod world;

use incarnate_supervisors::{
    AutoShutdown, Backoff, Child, ChildSpec, Flags, Request, Restart, Shutdown, Strategy,
};
use std::time::Duration;
use world::World;

/// xorshift64*: small, deterministic, and good enough to choose among a few ways.
struct Random(u64);

impl Random {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        (self.0.wrapping_mul(0x2545_F491_4F6C_DD1D) >> 33) % bound
    }

    fn of<'a, T: ?Sized>(&mut self, choices: &[&'a T]) -> &'a T {
        choices[self.below(choices.len() as u64) as usize]
    }
}

const NAMES: [&str; 6] = ["a", "b", "c", "d", "e", "f"];

fn flags(random: &mut Random, simple: bool) -> Flags {
    let strategies = [Strategy::OneForOne, Strategy::OneForAll, Strategy::RestForOne];
    let strategy = if simple { Strategy::SimpleOneForOne } else { strategies[random.below(3) as usize] };
    let intensity = [0, 3, 20, 1000][random.below(4) as usize];
    let mut flags = Flags::new(strategy).with_intensity(intensity, Duration::from_secs(1 + random.below(4)));
    if !simple {
        // Never leaves no room for significant children, so it comes without them.
        let modes = [AutoShutdown::AnySignificant, AutoShutdown::AllSignificant];
        flags = flags.with_auto_shutdown(modes[random.below(2) as usize]);
    } else if random.below(2) == 0 {
        flags = flags.with_max_children(4);
    }
    if random.below(3) == 0 {
        flags = flags.with_backoff(Backoff::new(Duration::from_millis(100), Duration::from_millis(700)));
    }
    flags
}

fn spec(random: &mut Random, name: &str, simple: bool) -> ChildSpec {
    let restart = [Restart::Permanent, Restart::Transient, Restart::Temporary][random.below(3) as usize];
    let shutdown = match random.below(4) {
        0 => Shutdown::BrutalKill,
        time => Shutdown::Timeout(Duration::from_millis(time * 150)),
    };
    let spec = ChildSpec::worker(name).with_restart(restart).with_shutdown(shutdown);
    let may_be_significant = !simple && restart != Restart::Permanent;
    if may_be_significant && random.below(4) == 0 { spec.significant() } else { spec }
}

fn specs(random: &mut Random, simple: bool) -> Vec<ChildSpec> {
    if simple {
        return vec![spec(random, "template", true)];
    }
    let count = random.below(5) as usize;
    NAMES[..count].iter().map(|name| spec(random, name, false)).collect()
}

fn step(world: &mut World, random: &mut Random, simple: bool) {
    let name = random.of(&NAMES);
    match random.below(22) {
        0..=3 => world.exit(name, random.of(&["normal", "shutdown", "with", "crash", "kill"])),
        4 => world.script_starts(
            name,
            [random.of(&["ok", "fail", "ignore", "gate"]), random.of(&["ok", "fail", "gate"])],
        ),
        5 => world.script_stops(name, random.of(&["shutdown", "normal", "with", "crash", "hang"])),
        6 | 7 => world.release(name, random.of(&["ok", "fail", "ignore"])),
        8 | 9 if simple => world.start_dynamic(name),
        8 | 9 => world.start_child(spec(random, name, simple)),
        10 => world.request("terminate_child", Request::TerminateChild(world.child(name))),
        11 => world.request("restart_child", Request::RestartChild(Child::Id(name.into()))),
        12 => world.request("delete_child", Request::DeleteChild(Child::Id(name.into()))),
        13 => world.request("which_children", Request::WhichChildren),
        14 => world.request("count_children", Request::CountChildren),
        15 => world.request("get_childspec", Request::GetChildspec(world.child(name))),
        16 => world.wait(Duration::from_millis(random.below(900))),
        17 if random.below(4) == 0 => world.code_change(flags(random, simple), specs(random, simple)),
        18 if random.below(40) == 0 => world.shutdown("shutdown"),
        _ => {
            let chosen = random.below(8) as usize;
            world.deliver(chosen);
        }
    }
}

/// From now on every start succeeds and every child obeys: whoever waits must get an answer.
fn answer_everything(world: &mut World) {
    for name in NAMES {
        world.script_starts(name, []);
        world.script_stops(name, "shutdown");
    }
    for _ in 0..100 {
        for name in NAMES {
            world.release(name, "ok");
        }
        world.settle();
        world.wait(Duration::from_secs(1));
    }
}

fn walk(seed: u64) {
    let mut random = Random(seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1);
    let simple = random.below(3) == 0;
    let mut world = World::new(flags(&mut random, simple), specs(&mut random, simple))
        .expect("flags and specifications are in order");
    world.patient = random.below(2) == 0;
    for _ in 0..300 {
        step(&mut world, &mut random, simple);
    }
    world.patient = true;
    answer_everything(&mut world);
    assert!(!world.machine.is_busy(), "nothing keeps the supervisor busy");
    assert_eq!(world.asked, world.answered, "every caller got its answer");
    if !world.stopped {
        world.request("which_children", Request::WhichChildren);
        let children = world.log.last().expect("the answer");
        assert!(
            !children.contains("restarting"),
            "no child waits for a restart that nobody will make: {children}"
        );
        world.shutdown("shutdown");
        world.settle();
    }
    assert!(world.stopped, "a supervisor that is told to end does");
    assert_eq!(world.living(), 0, "no child outlives its supervisor");
    assert!(!simple || world.kept() == 1, "of a simple_one_for_one supervisor only the template is kept");
    world.request("which_children", Request::WhichChildren);
    assert_eq!(world.asked, world.answered, "a caller that comes too late is told so");
}

#[test]
fn random_walks() {
    for seed in 0..1000 {
        let outcome = std::panic::catch_unwind(|| walk(seed));
        assert!(outcome.is_ok(), "seed {seed}");
    }
}
