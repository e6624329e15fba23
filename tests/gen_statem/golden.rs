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

/// A test for a row: these scenarios, in both modes.
macro_rules! rows {
    ($($row:ident: $($scenario:ident),+;)+) => {$(
        #[tokio::test(start_paused = true)]
        async fn $row() {
            $(agrees(stringify!($scenario)).await;)+
        }
    )+};
}

rows! {
    st_034_stop_and_reply: stopped_with_replies, stopped_with_what_waits;
    st_035_the_first_state_is_entered: entered_at_the_start, init_with_actions, init_with_actions_and_a_change;
    st_036_a_change_enters_before_any_event: entered_before_inserted, timeouts_of_event_and_entry, entry_stops;
    st_037_a_repeated_state_is_entered_again: entered_again, entered_again_after_a_change,
        repeated_state_releases_nothing;
    st_038_replies_of_event_and_entry_are_in_order: replies_of_event_and_entry;
    st_039_event_order: postponed_in_order, inserted_before_released, postponed_with_inserted, postponed_twice,
        released_changes_the_state, postponed_internal_and_timeout, event_timeout_of_zero_ended_by_released;
    st_040_state_timeout: state_timeout_ended_by_change, state_timeout_kept_by_same_state,
        state_timeout_set_with_the_change, state_timeout_of_zero_ended_by_change, timeouts_of_zero_in_order;
    st_042_a_timeout_is_updated_even_when_it_has_passed: updated_timeouts, updated_when_it_has_passed;
    st_044_inserted_events_of_every_type: inserted_of_every_type, inserted_by_inserted;
    st_045_named_timeouts: named_timeouts_survive, named_timeout_set_again_and_ended, cancelled_timeouts,
        absolute_times, timeouts_of_zero_set_again;
    rule_2_8_4_zero_comes_before_the_mailbox: event_timeout_of_zero_before_the_mailbox,
        event_timeout_of_zero_ended_by_inserted, event_timeout_ended_by_any_event;
    rule_2_8_5_timeouts_run_while_suspended: timeout_that_passed_is_in_its_place, timeout_that_passed_is_cancelled,
        event_timeout_goes_on_over_system_messages;
    rule_2_19_2_and_2_19_3_only_another_value_releases: same_state_releases_nothing, repeated_state_releases_nothing;
}

async fn agrees(name: &str) {
    let all = Scenario::all(&fs::read_to_string(golden("scenarios.txt")).unwrap());
    let scenario = all.iter().find(|scenario| scenario.name == name).expect("there is such a scenario");
    let expected = fs::read_to_string(golden(&format!("{name}.trace"))).unwrap();
    assert_eq!(difference(&expected, &play::<Whole>(scenario).await), None);
    assert_eq!(difference(&expected, &play::<ByState>(scenario).await), None);
}

/// Real time passes here: where a machine under load was late, the scenario is recorded once more, slower.
#[test]
fn needs_erl_which_still_does_what_the_traces_say() {
    let fresh = std::env::temp_dir().join(format!("incarnate-statem-{}", std::process::id()));
    fs::create_dir_all(&fresh).unwrap();
    let read =
        |folder: &PathBuf, name: &str| fs::read_to_string(folder.join(format!("{name}.trace"))).unwrap();
    let mut differ: Vec<String> = traces(golden("")).iter().map(|name| name.replace(".trace", "")).collect();
    for factor in ["1", "4", "16"] {
        let mut record = Command::new("escript");
        record.arg(golden("record.escript")).arg(&fresh).arg(factor).args(&differ);
        let recorded = record.output().unwrap();
        assert!(recorded.status.success(), "{}", String::from_utf8_lossy(&recorded.stdout));
        differ.retain(|name| read(&fresh, name) != read(&golden(""), name));
        if differ.is_empty() {
            break;
        }
        println!("{factor} times as long: {differ:?} differ");
    }
    for name in differ {
        assert_eq!(read(&fresh, &name), read(&golden(""), &name), "{name}");
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
