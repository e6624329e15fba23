//! Each rule has a mutant, the machines without it, which the simulation finds out.
//!
//! `RULE=R41 SEEDS=20000` looks for one alone, and tells what went wrong.

extern crate std;

use std::println;

use super::{number, search};
use crate::rules::Rule;

#[test]
fn each_rule_is_missed() {
    let wanted = std::env::var("RULE").ok();
    let mut unmissed = alloc::vec::Vec::new();
    let all = if wanted.is_some() { [Rule::ALL, Rule::RARE].concat() } else { Rule::ALL.to_vec() };
    for rule in all {
        if wanted.as_ref().is_some_and(|wanted| *wanted != alloc::format!("{rule:?}")) {
            continue;
        }
        let seeds = match number("SEED") {
            Some(seed) => seed..seed + 1,
            None => 0..number("SEEDS").unwrap_or(1000),
        };
        match search(seeds, Some(rule)) {
            Some((seed, why)) => {
                let line = why.lines().next().unwrap_or_default();
                match wanted {
                    Some(_) => println!("{rule:?}: {why}"),
                    None => println!("{rule:?}: after {seed} seeds: {line:.160}"),
                }
            }
            None => unmissed.push(rule),
        }
    }
    assert!(unmissed.is_empty(), "nothing goes wrong without {unmissed:?}");
}
