//! Decisions that are crates of their own are pure: no runtime, no clock, no hash order, hardly a dependency.

use crate::source::{Finding, Source};
use crate::tokens::{Kind, only, reads, tokens};

/// The pure crates, and what each depends on.
const CRATES: &[(&str, &[&str])] = &[("supervisors", &[]), ("shards", &["serde"])];

/// What their sources may not name, and what to do instead. Simulations in them are tests.
const IMPURE: &[(&str, &str)] = &[
    ("std", "use core and alloc"),
    ("tokio", "decide here, act in src/"),
    ("ractor", "decide here, act in src/"),
    ("async", "a decision never awaits"),
    ("await", "a decision never awaits"),
    ("Instant", "time is an argument"),
    ("SystemTime", "time is an argument"),
    ("HashMap", "use an ordered map"),
    ("HashSet", "use an ordered set"),
];

/// Where the pure crates are not.
pub fn impure(file: &Source) -> Vec<Finding> {
    for (name, allowed) in CRATES {
        let Some(path) = file.path.strip_prefix(name).and_then(|path| path.strip_prefix('/')) else {
            continue;
        };
        if path == "Cargo.toml" {
            return dependencies(file, allowed);
        }
        if path.starts_with("src/") && !path.starts_with("src/simulation/") && file.is_rust() {
            let mut findings = words(file);
            findings.extend(missing_no_std(file));
            return findings;
        }
    }
    Vec::new()
}

fn words(file: &Source) -> Vec<Finding> {
    let code = only(Kind::Code, &file.text);
    let mut findings = Vec::new();
    for token in tokens(&code) {
        if let Some((word, advice)) = IMPURE.iter().find(|(word, _)| token.text == *word) {
            findings.push(file.at(token.line, format!("names `{word}`"), advice));
        }
    }
    findings
}

fn missing_no_std(file: &Source) -> Option<Finding> {
    let code = only(Kind::Code, &file.text);
    let tokens = tokens(&code);
    let there = (0..tokens.len()).any(|at| reads(&tokens, at, &["#", "!", "[", "no_std", "]"]));
    (file.path.ends_with("src/lib.rs") && !there)
        .then(|| file.at(1, "lacks #![no_std]", "write it below the crate's docs"))
}

fn dependencies(file: &Source, allowed: &[&str]) -> Vec<Finding> {
    let advice = match allowed {
        [] => "this crate depends on nothing".to_owned(),
        some => format!("this crate depends on {} alone", some.join(", ")),
    };
    let mut findings = Vec::new();
    let mut inside = false;
    for (line, text) in file.text.lines().enumerate() {
        let text = text.trim();
        if text.starts_with('[') {
            inside = text == "[dependencies]";
            let table = text.contains("dependencies.") || text.contains(".dependencies]");
            if table && !text.contains("dev-dependencies") {
                findings.push(file.at(line + 1, format!("`{text}`"), &advice));
            }
        } else if inside && !text.is_empty() && !text.starts_with('#') {
            let name = text.split([' ', '.', '=']).next().unwrap_or_default();
            if !allowed.contains(&name) {
                findings.push(file.at(line + 1, format!("depends on `{text}`"), &advice));
            }
        }
    }
    findings
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::source::check;

    #[test]
    fn what_is_not_pure_is_found() {
        let plan = |text: &str, lines| check(impure, "supervisors/src/plan.rs", text, lines);
        plan("use std::fmt;", &[1]);
        plan("extern crate alloc;\nextern crate std;", &[2]);
        plan("fn a() {\n    let b = Instant::now();\n}", &[2]);
        plan("fn a(b: SystemTime) {}\nuse x::HashMap;\nasync fn c() {}", &[1, 2, 3]);
        plan("use core::time::Duration;\nuse alloc::collections::BTreeMap;", &[]);
        plan("// an Instant of tokio\nlet a = \"std::\";\n//! no HashMap", &[]);
    }

    #[test]
    fn other_crates_may() {
        check(impure, "src/supervisor/mod.rs", "use std::collections::HashMap;", &[]);
        check(impure, "supervisors/tests/plan.rs", "use std::collections::HashMap;", &[]);
        check(impure, "shards/src/simulation/world.rs", "use std::collections::HashMap;", &[]);
    }

    #[test]
    fn the_crate_says_no_std() {
        check(impure, "supervisors/src/lib.rs", "//! #![no_std]\nextern crate alloc;", &[1]);
        check(impure, "supervisors/src/lib.rs", "//! Docs.\n#![no_std]", &[]);
    }

    #[test]
    fn a_dependency_is_found() {
        let manifest = |text: &str, lines| check(impure, "supervisors/Cargo.toml", text, lines);
        manifest("[dependencies]\nserde = \"1\"\n", &[2]);
        manifest("[dependencies.serde]\nversion = \"1\"", &[1]);
        manifest("[target.'cfg(unix)'.dependencies]\nlibc = \"1\"", &[1]);
        manifest("[dependencies]\n# none\n\n[dev-dependencies]\nproptest = \"1\"", &[]);
        manifest("[dev-dependencies.proptest]\nversion = \"1\"", &[]);
        let shards = |text: &str, lines| check(impure, "shards/Cargo.toml", text, lines);
        shards("[dependencies]\nserde.workspace = true\ntokio = \"1\"", &[3]);
    }
}
