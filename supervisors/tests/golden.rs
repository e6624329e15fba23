//! Each scenario of `golden/scenarios.txt`, played to the machine and compared line by line with what OTP's
//! supervisor did.

mod world;

use std::collections::BTreeSet;
use std::fs;
use std::path::PathBuf;
use world::scenario::Scenario;

#[test]
fn golden_traces() {
    let mut failures = Vec::new();
    let mut names = BTreeSet::new();
    for scenario in scenarios() {
        let expected = fs::read_to_string(golden(&format!("{}.trace", scenario.name())))
            .expect("each scenario has a trace");
        let played = scenario.play();
        if let Some(difference) = difference(&expected, &played) {
            failures.push(format!("{}: {difference}", scenario.name()));
        }
        assert!(names.insert(format!("{}.trace", scenario.name())), "{} twice", scenario.name());
    }
    assert!(failures.is_empty(), "{}", failures.join("\n"));
    let files = fs::read_dir(golden("")).expect("the traces").map(|file| file.expect("a file").file_name());
    let traces: BTreeSet<String> = files
        .map(|name| name.to_string_lossy().into_owned())
        .filter(|name| name.ends_with(".trace"))
        .collect();
    assert_eq!(traces, names, "each trace has a scenario");
}

/// The first lines where the machine and OTP part, in their context.
fn difference(expected: &str, played: &[String]) -> Option<String> {
    let expected: Vec<&str> = expected.lines().collect();
    let at = (0..expected.len().max(played.len()))
        .find(|at| expected.get(*at).copied() != played.get(*at).map(String::as_str))?;
    let context = expected[at.saturating_sub(6)..at].join("\n    ");
    Some(format!("line {}\n    {context}\n  - {:?}\n  + {:?}", at + 1, expected.get(at), played.get(at)))
}

fn golden(file: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/golden").join(file)
}

/// All scenarios, in order.
fn scenarios() -> Vec<Scenario> {
    let text = fs::read_to_string(golden("scenarios.txt")).expect("the scenarios");
    let mut scenarios: Vec<Scenario> = Vec::new();
    for line in text.lines() {
        let words: Vec<String> = line.split_whitespace().map(Into::into).collect();
        match words.first().map(String::as_str) {
            None => {}
            Some(first) if first.starts_with('#') => {}
            Some("scenario") => scenarios.push(Scenario::new(&words[1])),
            Some(_) => scenarios.last_mut().expect("a scenario").push(line),
        }
    }
    scenarios
}
