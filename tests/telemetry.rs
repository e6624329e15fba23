//! The tables of the chapter "Watching a system" say what the sources do, and programs report what the tables say.

#[path = "support/reports.rs"]
mod reports;

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use incarnate::supervisor::{ChildSpec, Supervisor};
use incarnate::{CallReply, Context, Error, ExitReason, GenServer, Init, Name, Never, Next, Node, Result};
use reports::{Report, Reports};
use tracing::Level;

/// An event of the table: target, levels, message, and the fields in order.
type Row = (String, String, String, Vec<String>);

fn read(path: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(path);
    fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

fn sources() -> Vec<String> {
    let mut folders = vec![PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("src")];
    let mut texts = Vec::new();
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|end| end == "rs") {
                texts.push(fs::read_to_string(path).unwrap());
            }
        }
    }
    texts
}

/// The arguments of a macro, from behind its opening bracket on.
fn arguments(text: &str) -> Vec<String> {
    let (mut found, mut argument, mut depth, mut quoted) = (Vec::new(), String::new(), 1, false);
    let mut chars = text.chars();
    while let Some(c) = chars.next() {
        match c {
            '"' => quoted = !quoted,
            '\\' if quoted => {
                argument.push(c);
                argument.extend(chars.next());
                continue;
            }
            '(' | '[' | '{' if !quoted => depth += 1,
            ')' | ']' | '}' if !quoted => depth -= 1,
            ',' if !quoted && depth == 1 => {
                found.push(std::mem::take(&mut argument));
                continue;
            }
            _ => {}
        }
        if depth == 0 {
            break;
        }
        argument.push(c);
    }
    found.push(argument);
    found.iter().map(|argument| argument.trim().to_owned()).filter(|argument| !argument.is_empty()).collect()
}

/// One event, as it is written.
fn event(level: &str, text: &str) -> Row {
    let level = if level == "$level" { "info, debug" } else { level };
    let mut row = (String::new(), level.to_owned(), String::new(), Vec::new());
    for argument in arguments(text) {
        if let Some(target) = argument.strip_prefix("target:") {
            row.0 = target.trim().trim_matches('"').to_owned();
        } else if let Some(message) = argument.strip_prefix('"') {
            row.2 = message.trim_end_matches('"').to_owned();
        } else if argument == "$message" {
            row.2 = "by its context".to_owned();
        } else {
            let name = argument.split('=').next().unwrap_or_default();
            row.3.push(name.trim().trim_start_matches(['%', '?']).to_owned());
        }
    }
    row
}

/// The events that a source writes.
fn events(source: &str) -> Vec<Row> {
    let levels = ["error", "warn", "info", "debug", "trace", "$level"];
    let behind = |(at, path): (usize, &str)| source[at + path.len()..].split_once("!(");
    let written = source.match_indices("tracing::").filter_map(behind);
    written.filter(|(level, _)| levels.contains(level)).map(|(level, rest)| event(level, rest)).collect()
}

/// The rows of a table whose first cell begins like this; code marks are taken off.
fn table(chapter: &str, begins: &str) -> Vec<Vec<String>> {
    let rows = chapter.lines().filter(|line| line.starts_with(&format!("| `{begins}")));
    rows.map(|row| row.trim_matches('|').split('|').map(|cell| cell.replace('`', "").trim().into()).collect())
        .collect()
}

fn documented() -> Vec<Row> {
    let rows = table(&read("docs/book/watching.md"), "incarnate::").into_iter();
    let row = |row: Vec<String>| {
        let fields = row[3].split_whitespace().map(str::to_owned).collect();
        (row[0].clone(), row[1].clone(), row[2].clone(), fields)
    };
    rows.map(row).collect()
}

#[test]
fn the_table_of_events_is_what_the_sources_write() {
    let written: BTreeSet<Row> = sources().iter().flat_map(|source| events(source)).collect();
    let documented: BTreeSet<Row> = documented().into_iter().collect();
    let missing: Vec<_> = written.difference(&documented).collect();
    let stale: Vec<_> = documented.difference(&written).collect();
    assert!(
        missing.is_empty() && stale.is_empty(),
        "not in the table: {missing:#?}\nnot written: {stale:#?}"
    );
}

#[test]
fn each_event_is_seen_with_its_fields() {
    let source =
        r#"tracing::warn!(target: "a::b", %pid, ?c, d = f(1, "x, y"), "m, \" n"); tracing::Level::INFO"#;
    let fields = ["pid", "c", "d"].map(str::to_owned).to_vec();
    assert_eq!(events(source), [("a::b".into(), "warn".into(), r#"m, \" n"#.into(), fields)]);
    let sources = sources().concat();
    let levels =
        ["error", "warn", "info", "debug", "trace", "$level"].map(|level| format!("tracing::{level}!("));
    let calls: usize = levels.iter().map(|call| sources.matches(call.as_str()).count()).sum();
    assert_eq!(events(&sources).len(), calls);
    assert!(calls > 15, "{calls} events: the sources were not read");
    for name in ["error!(", "warn!(", "info!(", "debug!(", "trace!("] {
        let before = sources.match_indices(name).map(|(at, _)| &sources[..at]);
        let other = |before: &str| !before.ends_with("tracing::") && !before.ends_with('_');
        assert_eq!(
            before.filter(|before| other(before)).count(),
            0,
            "{name}..) without tracing:: is not seen"
        );
    }
}

#[test]
fn the_table_of_metrics_is_what_the_sources_write() {
    let hooks = read("src/process/meter/on.rs");
    // In a call the name stands behind the macro's bracket, perhaps on the next line.
    let named = |kind: &str| -> BTreeMap<String, String> {
        let opened = format!("{kind}!(");
        let calls = hooks.split(opened.as_str()).skip(1);
        let name = |call: &str| call.split('"').nth(1).unwrap().to_owned();
        calls.map(|call| (name(call), kind.trim_start_matches("describe_").trim().to_owned())).collect()
    };
    let all = |prefix: &str| -> BTreeMap<String, String> {
        ["counter", "gauge", "histogram"].iter().flat_map(|kind| named(&format!("{prefix}{kind}"))).collect()
    };
    let documented: BTreeMap<String, String> = table(&read("docs/book/watching.md"), "incarnate_")
        .into_iter()
        .filter(|row| row[0].chars().all(|c| c.is_alphanumeric() || c == '_'))
        .map(|row| (row[0].clone(), row[1].clone()))
        .collect();
    assert_eq!(documented, all(" "), "the table (left) and the hooks (right) differ");
    assert_eq!(documented, all("describe_"), "the table (left) and the descriptions (right) differ");
    assert!(documented.len() > 10);
}

/// Ends with whatever it is told.
struct Fragile;

const FRAGILE: Name<Never, &'static str> = Name::new("fragile");

impl GenServer for Fragile {
    type Args = bool;
    type Call = Never;
    type Cast = &'static str;
    type Info = Never;
    type Continue = Never;

    async fn init(starts: bool, _: &mut Context<Self>) -> Result<Init<Self>> {
        if starts { Ok(Init::Ready(Fragile)) } else { Err(Error::msg("does not start")) }
    }

    async fn handle_call(&mut self, call: Never, _: &mut Context<Self>) -> Result<CallReply> {
        match call {}
    }

    async fn handle_cast(&mut self, why: &'static str, _: &mut Context<Self>) -> Result<Next> {
        Err(Error::msg(why))
    }
}

/// What a report is, if the table has it.
#[track_caller]
fn hold(report: &Report, rows: &[Row]) {
    let level = report.level.to_string().to_lowercase();
    let mut rows = rows.iter().filter(|row| row.0 == report.target && row.1.split(", ").any(|l| l == level));
    let known = |name: &&str, row: &Row| *name == "message" || row.3.iter().any(|field| field == name);
    let fits = rows.any(|row| report.fields.keys().all(|name| known(name, row)));
    assert!(fits, "no row of the table has {report:?}");
}

#[tokio::test(start_paused = true)]
async fn what_a_tree_reports_is_in_the_table() {
    let reports = Reports::record_up_to(Level::DEBUG);
    let node = Node::new("a");
    let fragile = ChildSpec::worker("fragile", || Fragile::server(true).name(FRAGILE).start_link());
    let top = Supervisor::tree("top").child(fragile).on(&node).start().await.unwrap();
    let broken = ChildSpec::worker("broken", || Fragile::server(false).start_link());
    Supervisor::tree("other").child(broken).on(&node).start().await.unwrap_err();
    let first = FRAGILE.on(&node).unwrap();
    first.cast("crash");
    assert!(matches!(first.ended().await, ExitReason::Crash(_)));
    first.cast("nobody hears it");
    while !FRAGILE.on(&node).is_ok_and(|second| second.pid() != first.pid()) {
        tokio::task::yield_now().await;
    }
    FRAGILE.on(&node).unwrap().cast("crash again");
    assert_eq!(top.ended().await, ExitReason::Shutdown);

    let (reports, rows) = (reports.take(), documented());
    reports.iter().for_each(|report| hold(report, &rows));
    let targets: BTreeSet<_> = reports.iter().map(|report| report.target).collect();
    let expected = ["crash_report", "dead_letter", "gen_server", "progress", "supervisor"];
    assert_eq!(
        targets,
        expected.map(|name| format!("incarnate::{name}")).iter().map(String::as_str).collect()
    );
    let contexts: Vec<_> = reports.iter().filter_map(|report| report.fields.get("context")).collect();
    assert_eq!(contexts, ["start_error", "child_terminated", "child_terminated", "shutdown"]);
    // A report that is never there is in no table by accident.
    let progress = reports.iter().find(|report| report.target == "incarnate::progress").unwrap();
    assert_eq!((progress.field("supervisor"), progress.field("child")), ("top", "fragile"));
    assert_eq!((progress.field("restart"), progress.field("child_type")), ("permanent", "worker"));
    assert_eq!(progress.field("supervisor_pid"), top.pid().to_string());
}

#[tokio::test(start_paused = true)]
async fn orderly_ends_are_silent_and_a_crash_is_told_three_times() {
    let reports = Reports::record();
    let node = Node::new("a");
    let fragile = || ChildSpec::worker("fragile", || Fragile::server(true).name(FRAGILE).start_link());
    let top = Supervisor::tree("top").child(fragile()).on(&node).start().await.unwrap();
    top.stop().await.unwrap();
    assert!(reports.targets().is_empty());
    let top = Supervisor::tree("top").child(fragile()).on(&node).start().await.unwrap();
    let first = FRAGILE.on(&node).unwrap();
    first.cast("crash");
    first.ended().await;
    top.count_children().await.unwrap();
    assert_eq!(reports.targets(), ["gen_server", "crash_report", "supervisor"]);
}
