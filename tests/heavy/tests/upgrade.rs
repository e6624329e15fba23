//! Upgrades by property: whatever is changed, told and refused in whatever order, the keys are as a model says.

#[path = "../../support/keys.rs"]
mod keys;

use incarnate::Node;
use incarnate::upgrade::{Direction, Phase, UpgradeError};
use keys::{Call, Cast, Key, get, plan, start, version, versions};
use proptest::collection::vec;
use proptest::prelude::*;

const KEYS: usize = 4;

#[derive(Clone, Debug)]
enum Op {
    /// Adds to a key.
    Add(usize, u64),
    /// Changes to a version; what conversions are told; what is added while all wait.
    Change(u32, Told, Vec<(usize, u64)>),
}

/// What the plan says to the conversions: to drop hits that version 1 has no place for, or to fail at a number.
#[derive(Clone, Debug)]
enum Told {
    Nothing,
    Drop,
    Refuse(u64),
    Panic(u64),
}

/// A key as it should be.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
struct Model {
    number: u64,
    hits: u64,
}

impl Told {
    fn text(&self) -> String {
        match self {
            Told::Nothing => String::new(),
            Told::Drop => "drop the hits".to_owned(),
            Told::Refuse(number) => format!("refuse {number}"),
            Told::Panic(number) => format!("panic {number}"),
        }
    }

    /// Whether the conversions between versions 1 and 2 fail at this number.
    fn fails(&self, number: u64) -> bool {
        matches!(self, Told::Refuse(at) | Told::Panic(at) if *at == number)
    }
}

impl Model {
    fn add(&mut self, n: u64, version: u32) {
        self.number += n;
        self.hits += u64::from(version > 1);
    }

    /// `None`: it cannot be changed.
    fn change(mut self, from: u32, to: u32, told: &Told) -> Option<Self> {
        if from == 1 && to > 1 {
            (self.hits == 0 && !told.fails(self.number)).then_some(self)
        } else if from > 1 && to == 1 {
            let refused = told.fails(self.number) || self.hits > 0 && !matches!(told, Told::Drop);
            self.hits = 0;
            (!refused).then_some(self)
        } else {
            Some(self)
        }
    }
}

fn ops() -> impl Strategy<Value = Vec<Op>> {
    // Small numbers, so that a key often has the one that fails.
    let number = || 0..4u64;
    let told = prop_oneof![
        2 => Just(Told::Nothing),
        3 => Just(Told::Drop),
        1 => number().prop_map(Told::Refuse),
        1 => number().prop_map(Told::Panic),
    ];
    let add = || (0..KEYS, 0..3u64);
    let op = prop_oneof![
        3 => add().prop_map(|(key, n)| Op::Add(key, n)),
        2 => (1..=3u32, told, vec(add(), 0..3)).prop_map(|(to, told, adds)| Op::Change(to, told, adds)),
    ];
    vec(op, 0..16)
}

/// Carries a change out, and tells the keys something once all of them wait. What came of it.
async fn change(node: &Node, keys: &[Key], (from, to): (u32, u32), op: (&Told, &[(usize, u64)])) -> bool {
    let (told, adds) = op;
    let mut running = plan(from, to, &told.text()).run(node, &versions(), Direction::Up);
    while let Some(progress) = running.progress().await {
        if progress.phase != Phase::Suspending {
            break;
        }
    }
    for (key, n) in adds {
        keys[*key].cast(Cast::Add(*n));
    }
    match running.await {
        Ok(report) => {
            assert_eq!(report.modules[0].processes, keys.len());
            true
        }
        Err(UpgradeError::NotConverted { .. }) => false,
        Err(error) => panic!("{error}"),
    }
}

async fn go_through(ops: Vec<Op>) {
    let node = Node::new("a");
    let mut keys = Vec::new();
    for _ in 0..KEYS {
        keys.push(start(&node, 0).await);
    }
    let pids: Vec<_> = keys.iter().map(|key| key.pid()).collect();
    let (mut current, mut models) = (1, [Model::default(); KEYS]);
    for op in ops {
        match op {
            Op::Add(key, n) => {
                keys[key].cast(Cast::Add(n));
                models[key].add(n, current);
            }
            Op::Change(to, told, adds) => {
                let changed = models.map(|model| model.change(current, to, &told));
                let expected = changed.iter().all(Option::is_some);
                let check = plan(current, to, &told.text()).check(&node, &versions(), Direction::Up).await;
                assert_eq!(check.unwrap().is_ok(), expected, "the dry run says what will be");
                assert_eq!(change(&node, &keys, (current, to), (&told, &adds)).await, expected, "{told:?}");
                if expected {
                    (current, models) = (to, changed.map(Option::unwrap));
                }
                for (key, n) in adds {
                    models[key].add(n, current);
                }
            }
        }
    }
    for ((key, model), pid) in keys.iter().zip(models).zip(pids) {
        let hits = key.call(Call::Hits).await.unwrap();
        assert_eq!(Model { number: get(key).await, hits }, model);
        assert_eq!((version(key).await, key.pid()), (current, pid));
        assert!(!node.process_info(pid).unwrap().suspended);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    #[test]
    fn up_and_down_with_failures_is_as_the_model_says(ops in ops()) {
        // Told to, conversions panic. That is no news here.
        std::panic::set_hook(Box::new(|info| {
            if !info.to_string().contains("told to panic") {
                eprintln!("{info}");
            }
        }));
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
        runtime.block_on(go_through(ops));
    }
}
