//! Each scenario of `golden/statem`, played and compared line by line with what OTP's gen_statem did.

use std::collections::BTreeSet;
use std::fs;
use std::path::PathBuf;
use std::process::Command;

use crate::player::{ByState, Scenario, Whole, play};

#[tokio::test(start_paused = true)]
async fn st_025_both_callback_modes_do_what_otp_does() {
    let mut failures = Vec::new();
    let mut names = BTreeSet::new();
    for scenario in Scenario::all(&fs::read_to_string(golden("scenarios.txt")).unwrap()) {
        let trace = format!("{}.trace", scenario.name);
        let expected = fs::read_to_string(golden(&trace)).expect("each scenario has a trace");
        for (mode, played) in [
            ("handle_event", play::<Whole>(&scenario).await),
            ("state_functions", play::<ByState>(&scenario).await),
        ] {
            if let Some(difference) = difference(&expected, &played) {
                failures.push(format!("{}, {mode}: {difference}", scenario.name));
            }
        }
        assert!(names.insert(trace), "{} twice", scenario.name);
    }
    assert!(failures.is_empty(), "{}", failures.join("\n"));
    assert!(names.len() >= 20);
    assert_eq!(traces(golden("")), names, "each trace has a scenario");
}

#[test]
fn needs_erl_which_still_does_what_the_traces_say() {
    let fresh = std::env::temp_dir().join(format!("incarnate-statem-{}", std::process::id()));
    fs::create_dir_all(&fresh).unwrap();
    let recorded = Command::new("escript").arg(golden("record.escript")).arg(&fresh).output().unwrap();
    assert!(recorded.status.success(), "{}", String::from_utf8_lossy(&recorded.stdout));
    let names = traces(fresh.clone());
    assert_eq!(names, traces(golden("")));
    for name in names {
        let read = |folder: PathBuf| fs::read_to_string(folder.join(&name)).unwrap();
        assert_eq!(read(fresh.clone()), read(golden("")), "{name}");
    }
    fs::remove_dir_all(&fresh).unwrap();
}

/// The first lines where the machine and OTP part, in their context.
fn difference(expected: &str, played: &[String]) -> Option<String> {
    let expected: Vec<&str> = expected.lines().collect();
    let at = (0..expected.len().max(played.len()))
        .find(|at| expected.get(*at).copied() != played.get(*at).map(String::as_str))?;
    let context = expected[at.saturating_sub(6)..at].join("\n    ");
    Some(format!("line {}\n    {context}\n  - {:?}\n  + {:?}", at + 1, expected.get(at), played.get(at)))
}

fn traces(folder: PathBuf) -> BTreeSet<String> {
    let files = fs::read_dir(folder).unwrap().map(|file| file.unwrap().file_name());
    files.map(|name| name.to_string_lossy().into_owned()).filter(|name| name.ends_with(".trace")).collect()
}

fn golden(file: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/golden/statem").join(file)
}
