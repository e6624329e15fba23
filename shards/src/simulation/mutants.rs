//! Each rule has a mutant, the machines without it, which the simulation finds out.

extern crate std;

use std::println;

use super::{number, search};
use crate::rules::Rule;

#[test]
fn each_rule_is_missed() {
    let wanted = std::env::var("RULE").ok();
    let mut unmissed = alloc::vec::Vec::new();
    for rule in Rule::ALL {
        if wanted.as_ref().is_some_and(|wanted| *wanted != alloc::format!("{rule:?}")) {
            continue;
        }
        match search(0..number("SEEDS").unwrap_or(1000), Some(*rule)) {
            Some((seed, why)) => {
                let why = if wanted.is_some() { &why } else { why.lines().next().unwrap_or_default() };
                println!("{rule:?}: {seed} seeds: {why:.160}");
            }
            None => unmissed.push(rule),
        }
    }
    assert!(unmissed.is_empty(), "nothing goes wrong without {unmissed:?}");
}
