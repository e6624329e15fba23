//! Imports in `src/` go down only, public modules are folders, and nothing is global.

use crate::source::{Finding, Source};
use crate::tokens::{Kind, inline_modules, only, paths, reads, tokens};

/// The folders of `src/`, from the bottom up. A folder may name itself and those in rows above its own here;
/// two in one row do not know each other. The `Node` value lives in `process`; `node` is distribution.
const LAYERS: &[&[&str]] = &[
    &["term"],
    &["handoff"],
    &["process"],
    &["sys"],
    &["gen_server"],
    &["gen_statem", "gen_event", "task"],
    &["supervisor"],
    &["application"],
    &["node"],
    &["pg"],
    &["upgrade", "shard"],
    &["observer"],
];

/// Files that stand above all folders: they only re-export.
const ABOVE_ALL: &[&str] = &["src/lib.rs", "src/prelude.rs"];

/// Public modules that are no folder.
const FOLDERLESS: &[&str] = &["prelude"];

/// The statics that may be, thread-locals included: file, name, and why.
const STATICS: &[(&str, &str, &str)] = &[
    ("src/process/slots.rs", "POOL", "reply slots: a reply works from a task that no process owns"),
    ("src/process/slots.rs", "LOCAL", "reply slots: a thread's own free ones"),
    (
        "src/process/deadlines.rs",
        "CLOCKS",
        "reply slots: they are shared by nodes, so a slot says whose clock it obeys",
    ),
    (
        "src/process/current.rs",
        "CURRENT",
        "the process that a thread is running: set for the length of one poll",
    ),
    (
        "src/process/wire.rs",
        "SCOPE",
        "the connection that a value is written for or read from: a Serialize is told nothing",
    ),
    (
        "src/shard/life.rs",
        "ANSWERS",
        "the answers that the callback of a keyed process gives: a ReplyTo is told nothing of its step",
    ),
    ("src/process/watch.rs", "SEAT", "the seat of a worker thread, whose polls are watched for stalls"),
];

fn rank(folder: &str) -> Option<usize> {
    LAYERS.iter().position(|row| row.contains(&folder))
}

/// The module that a file of `src/` is: `src/a/b.rs` is a, b.
fn module(path: &str) -> Option<Vec<&str>> {
    let path = path.strip_prefix("src/")?.strip_suffix(".rs")?;
    let mut names: Vec<&str> = path.split('/').collect();
    if names.last() == Some(&"mod") {
        names.pop();
    }
    Some(names)
}

/// Imports that do not go down.
pub fn imports(file: &Source) -> Vec<Finding> {
    let Some(module) = module(&file.path).filter(|_| !ABOVE_ALL.contains(&file.path.as_str())) else {
        return Vec::new();
    };
    let here = module[0];
    let code = only(Kind::Code, &file.text);
    let tokens = tokens(&code);
    let inline = inline_modules(&tokens);
    let mut findings = Vec::new();
    for path in paths(&tokens) {
        let mut base = module.clone();
        base.extend(inline.iter().filter(|(_, inside)| inside.contains(&path.at)).map(|(name, _)| *name));
        let Some(absolute) = resolve(base, &path.segments) else { continue };
        let there = absolute.first().copied().unwrap_or("self");
        let written = path.segments.join("::");
        if there == here {
            continue;
        }
        match (rank(here), rank(there)) {
            (_, None) => findings.push(file.at(
                path.line,
                format!("`{written}` goes through the crate root"),
                "name the folder where the item lives",
            )),
            (Some(low), Some(high)) if low <= high => findings.push(file.at(
                path.line,
                format!("`{written}`: {here} imports {there}"),
                format!("imports go down only; move what both need below {here}, or turn the call round"),
            )),
            _ => {}
        }
    }
    findings
}

/// The path from the crate root; nothing for a path that does not say where it begins.
fn resolve<'a>(base: Vec<&'a str>, segments: &[&'a str]) -> Option<Vec<&'a str>> {
    let (mut absolute, mut rest) = match segments.split_first()? {
        (&("crate" | "incarnate"), rest) => (Vec::new(), rest),
        (&"self", rest) => (base, rest),
        (&"super", _) => (base, segments),
        _ => return None,
    };
    while let Some((&"super", after)) = rest.split_first() {
        absolute.pop();
        rest = after;
    }
    absolute.extend(rest);
    Some(absolute)
}

/// Files of `src/` that no layer holds.
pub fn unranked(files: &[Source]) -> Vec<Finding> {
    files
        .iter()
        .filter(|file| !ABOVE_ALL.contains(&file.path.as_str()))
        .filter_map(|file| {
            let folder = *module(&file.path)?.first()?;
            rank(folder).is_none().then(|| {
                file.at(
                    1,
                    format!("`{folder}` has no rank"),
                    "put the file into a folder that has one in tests/tidy/layers.rs",
                )
            })
        })
        .collect()
}

/// Public modules of the crate that are no folder.
pub fn modules(files: &[Source]) -> Vec<Finding> {
    let Some(root) = files.iter().find(|file| file.path == "src/lib.rs") else { return Vec::new() };
    let code = only(Kind::Code, &root.text);
    let tokens = tokens(&code);
    (0..tokens.len())
        .filter(|&at| reads(&tokens, at, &["pub", "mod"]))
        .filter_map(|at| tokens.get(at + 2))
        .filter(|name| !FOLDERLESS.contains(&name.text))
        .filter(|name| !files.iter().any(|file| file.path.starts_with(&format!("src/{}/", name.text))))
        .map(|name| {
            let found = format!("`pub mod {}` is no folder", name.text);
            root.at(name.line, found, format!("a folder is a capability: make it src/{}/", name.text))
        })
        .collect()
}

/// Statics that are not listed, in a file of ours; and rows of the list that have outlived their static.
pub fn statics(file: &Source) -> Vec<Finding> {
    if !["src/", "supervisors/src/", "shards/src/"].iter().any(|ours| file.path.starts_with(ours)) {
        return Vec::new();
    }
    let code = only(Kind::Code, &file.text);
    let tokens = tokens(&code);
    let named = |at: usize| tokens[at + 1..].iter().find(|token| token.text != "mut" && token.text != "ref");
    let found: Vec<_> =
        (0..tokens.len()).filter(|&at| reads(&tokens, at, &["static"])).filter_map(named).collect();
    let listed: Vec<_> =
        STATICS.iter().filter(|(path, ..)| file.path == *path).map(|(_, name, _)| *name).collect();
    let unlisted = found.iter().filter(|token| !listed.contains(&token.text)).map(|token| {
        let advice = "hang it off the `Node` value, or list it in tests/tidy/layers.rs with its reason";
        file.at(token.line, format!("`static {}` is global", token.text), advice)
    });
    let outlived = listed.iter().filter(|name| !found.iter().any(|token| token.text == **name)).map(|name| {
        file.at(1, format!("no `static {name}` here any more"), "take its row out of tests/tidy/layers.rs")
    });
    unlisted.chain(outlived).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::source::check;

    #[test]
    fn an_import_upwards_is_found() {
        check(
            imports,
            "src/process/mailbox.rs",
            "use crate::term::Pid;\nuse crate::gen_server::GenServer;",
            &[2],
        );
        check(
            imports,
            "src/term/pid.rs",
            "use crate::{\n    term::Pid,\n    process::{Exit, spawn},\n};",
            &[3, 3],
        );
        check(imports, "src/term/pid.rs", "fn a() {\n    crate::node::connect()\n}", &[2]);
        check(imports, "src/task/mod.rs", "use super::supervisor::Tree;", &[1]);
        check(imports, "src/task/pool.rs", "use super::super::{supervisor::Tree, term::Pid};", &[1]);
        check(imports, "src/task/pool.rs", "mod tests {\n    use super::super::super::node::Peer;\n}", &[2]);
        check(imports, "src/task/pool.rs", "pub(in crate::node) fn a() {}", &[1]);
    }

    #[test]
    fn an_import_sideways_is_found() {
        check(imports, "src/shard/mod.rs", "use crate::upgrade::Plan;", &[1]);
        check(imports, "src/task/mod.rs", "use crate::gen_event::Manager;", &[1]);
    }

    #[test]
    fn an_import_through_the_root_is_found() {
        check(imports, "src/process/a.rs", "use crate::GenServer;", &[1]);
        check(imports, "src/process/a.rs", "use crate::*;", &[1]);
        check(imports, "src/process/a.rs", "use super::super::*;", &[1]);
        check(imports, "src/process/a.rs", "use incarnate::GenServer;", &[1]);
    }

    #[test]
    fn an_import_downwards_is_allowed() {
        check(imports, "src/observer/mod.rs", "use crate::{shard::Map, upgrade::Plan, term::*};", &[]);
        check(
            imports,
            "src/supervisor/server.rs",
            "use super::plan::Plan;\nuse crate::gen_server::Init;",
            &[],
        );
        check(
            imports,
            "src/supervisor/server.rs",
            "mod tests { use super::*; use super::super::plan::Plan; }",
            &[],
        );
        check(imports, "src/process/a.rs", "// use crate::node::Peer;\nlet a = \"crate::node\";", &[]);
        check(imports, "src/process/a.rs", "use std::task::Poll; use tokio::task; pub(crate) fn a() {}", &[]);
        check(imports, "src/lib.rs", "pub use crate::node::Peer;", &[]);
        check(imports, "tests/gen_server.rs", "use crate::node::Peer;", &[]);
    }

    #[test]
    fn a_file_without_a_rank_is_found() {
        let check =
            |path: &str, lines| check(|file| unranked(&[Source::new(&file.path, "")]), path, "", lines);
        check("src/util.rs", &[1]);
        check("src/helpers/mod.rs", &[1]);
        check("src/term/mod.rs", &[]);
        check("src/lib.rs", &[]);
        check("supervisors/src/plan.rs", &[]);
    }

    #[test]
    fn a_public_module_without_a_folder_is_found() {
        let check = |text: &str, lines| {
            let folder = || Source::new("src/term/pid.rs", "");
            check(
                |file| modules(&[Source::new(&file.path, &file.text), folder()]),
                "src/lib.rs",
                text,
                lines,
            );
        };
        check("pub mod term;\npub mod sys;", &[2]);
        check("pub mod sys { }", &[1]);
        check("mod sys;\npub mod prelude;\npub(crate) mod node;", &[]);
    }

    #[test]
    fn a_static_is_found() {
        check(statics, "src/term/pid.rs", "static NEXT: AtomicU64 = AtomicU64::new(0);", &[1]);
        check(statics, "src/term/pid.rs", "fn a() {\n    static mut B: u8 = 0;\n}", &[2]);
        check(
            statics,
            "supervisors/src/plan.rs",
            "thread_local! {\n    static A: u8 = const { 0 };\n}",
            &[2],
        );
        check(statics, "src/term/pid.rs", "fn a(b: &'static str) {} // static A\nconst B: u8 = 0;", &[]);
        check(statics, "tests/a.rs", "static A: u8 = 0;", &[]);
    }

    #[test]
    fn a_listed_static_is_allowed_as_long_as_it_is_there() {
        let current = "thread_local! {\n    static CURRENT: u8 = const { 0 };\n}";
        check(statics, "src/process/current.rs", current, &[]);
        check(statics, "src/process/current.rs", &format!("{current}\nstatic A: u8 = 0;"), &[4]);
        check(statics, "src/process/current.rs", "fn a() {}", &[1]);
        check(statics, "src/process/other.rs", current, &[2]);
    }
}
