//! Nothing is left unfinished, no test waits for luck, and each test file can fail.

use crate::source::{Finding, Source};
use crate::tokens::{Kind, inline_modules, is_word, only, paths, reads, tokens};

/// Code that stands for missing code, and what to do.
const UNFINISHED: &[(&[&str], &str)] = &[
    (&["todo", "!"], "write it"),
    (&["unimplemented", "!"], "write it"),
    (&["dbg", "!"], "take it out"),
    (&["#", "[", "ignore"], "a test that does not run proves nothing; make it run or take it out"),
    (&["dead_code"], "take the code out, or compile it only where it is used"),
];

/// Marks of unfinished work in a comment or a text. Cut in two so that this file does not hold them.
const MARKS: &[&str] = &[concat!("TO", "DO"), concat!("FIX", "ME"), concat!("XX", "X")];

/// Other texts that are searched for marks.
const TEXTS: &[&str] = &[".md", ".toml", ".sh", ".yml", ".yaml", "/run"];

/// What makes a file able to fail: the last part of a test attribute, or a macro that makes tests.
const ATTRIBUTES: &[&str] = &["test", "test_case", "rstest"];
const MACROS: &[&str] = &["proptest", "conformance"];

/// Code below a tests folder that only helps tests, and so needs none of its own; `tests/support/` anywhere is
/// such a place too. Each test binary may use a part of it: only here may code be dead.
const HELPERS: &[&str] = &["tests/heavy/src/", "supervisors/tests/world/"];

fn is_helper(path: &str) -> bool {
    HELPERS.iter().any(|helper| path.starts_with(helper)) || format!("/{path}").contains("/tests/support/")
}

/// Work that is left undone.
pub fn unfinished(file: &Source) -> Vec<Finding> {
    let mut findings = Vec::new();
    if file.is_rust() {
        let code = only(Kind::Code, &file.text);
        let tokens = tokens(&code);
        // What processes have ready for other nodes is unused in a build without them.
        let may_be_dead = is_helper(&file.path) || file.path == "src/lib.rs";
        let excused = |expected: &[&str]| expected == ["dead_code"] && may_be_dead;
        for at in 0..tokens.len() {
            for (expected, advice) in UNFINISHED.iter().filter(|(expected, _)| reads(&tokens, at, expected)) {
                if excused(expected) {
                    continue;
                }
                findings.push(file.at(tokens[at].line, format!("`{}`", expected.concat()), advice));
            }
        }
        findings.extend(marks(file, &code));
        findings.extend(marks(file, &only(Kind::Comment, &file.text)));
    } else if TEXTS.iter().any(|end| file.path.ends_with(end)) {
        findings.extend(marks(file, &file.text));
    }
    findings
}

fn marks(file: &Source, text: &str) -> Vec<Finding> {
    let mut findings = Vec::new();
    for (line, text) in text.lines().enumerate() {
        for word in text.split(|c| !is_word(c)).filter(|word| MARKS.contains(word)) {
            findings.push(file.at(line + 1, format!("`{word}`"), "do it now, or write an issue"));
        }
    }
    findings
}

/// Sleeps in tests. A sleep that cannot be avoided says why on its line: `// sleep: reason`.
pub fn sleeps(file: &Source) -> Vec<Finding> {
    let code = only(Kind::Code, &file.text);
    let tokens = tokens(&code);
    let whole =
        file.path.starts_with("tests/") || file.path.contains("/tests/") || file.path.ends_with("/tests.rs");
    let unit_tests: Vec<_> =
        inline_modules(&tokens).into_iter().filter(|(name, _)| *name == "tests").collect();
    let comments = only(Kind::Comment, &file.text);
    let comments: Vec<&str> = comments.lines().collect();
    paths(&tokens)
        .iter()
        .filter(|path| whole || unit_tests.iter().any(|(_, inside)| inside.contains(&path.at)))
        .filter(|path| {
            path.segments.ends_with(&["thread", "sleep"]) || path.segments.ends_with(&["time", "sleep"])
        })
        .filter(|path| !comments.get(path.line - 1).is_some_and(|comment| excused(comment)))
        .map(|path| {
            let found = format!("`{}`", path.segments.join("::"));
            file.at(
                path.line,
                found,
                "wait for what happens, or advance virtual time; else say why: // sleep: reason",
            )
        })
        .collect()
}

fn excused(comment: &str) -> bool {
    comment.split_once("// sleep:").is_some_and(|(_, reason)| !reason.trim().is_empty())
}

/// Files below a tests folder without a test.
pub fn testless(file: &Source) -> Vec<Finding> {
    let below =
        file.path.starts_with("tests/") || file.path.contains("/tests/") && !file.path.starts_with("src/");
    if !below || is_helper(&file.path) {
        return Vec::new();
    }
    let code = only(Kind::Code, &file.text);
    let tokens = tokens(&code);
    let attribute = |at: usize| {
        let end = crate::tokens::closing(&tokens, at + 1);
        reads(&tokens, at, &["#", "["])
            && tokens[at + 2..end]
                .iter()
                .take_while(|token| token.text != "(")
                .any(|token| ATTRIBUTES.contains(&token.text))
    };
    let tests = (0..tokens.len()).any(|at| {
        attribute(at) || MACROS.iter().any(|name| reads(&tokens, at, &[name, "!"]))
            // A root that holds the modules with the tests.
            || reads(&tokens, at, &["mod"]) && reads(&tokens, at + 2, &[";"])
    });
    Vec::from_iter((!tests).then(|| {
        file.at(
            1,
            "holds no test",
            "a file that cannot fail proves nothing; helpers belong into tests/support/",
        )
    }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::source::check;

    #[test]
    fn unfinished_code_is_found() {
        check(
            unfinished,
            "src/a.rs",
            "fn a() { todo!() }\nfn b() { unimplemented!(\"c\") }\ndbg!(d);",
            &[1, 2, 3],
        );
        check(unfinished, "tests/a.rs", "#[test]\n#[ignore = \"slow\"]\nfn a() {}", &[2]);
        check(unfinished, "tests/support/a.rs", "#![allow(dead_code)]\ntodo!()", &[2]);
        check(unfinished, "src/a.rs", "#![allow(unused, dead_code)]\n#[expect(dead_code)]", &[1, 2]);
        check(
            unfinished,
            "src/a.rs",
            "// todo!() is a macro\nlet a = \"dbg!\"; let todo = 1; ignore(todo)",
            &[],
        );
    }

    #[test]
    fn marks_are_found() {
        for mark in MARKS {
            check(unfinished, "src/a.rs", &format!("\n/// {mark}: later"), &[2]);
            check(unfinished, "src/a.rs", &format!("fn a() {{}} /*\n{mark}(me) */"), &[2]);
            check(unfinished, "README.md", &format!("a\n- {mark} b"), &[2]);
            check(unfinished, "tests/run", &format!("# {mark}"), &[1]);
            check(unfinished, "src/a.rs", &format!("let a = \"{mark}\"; // {mark}S {mark}_A"), &[]);
        }
    }

    #[test]
    fn a_sleep_in_a_test_is_found() {
        check(sleeps, "tests/a.rs", "\nstd::thread::sleep(a);", &[2]);
        check(
            sleeps,
            "tests/heavy/tests/a.rs",
            "use tokio::time::{self, sleep};\ntime::sleep(a).await;",
            &[1, 2],
        );
        check(sleeps, "supervisors/tests/a.rs", "use std::thread::sleep;", &[1]);
        check(sleeps, "src/a/b.rs", "time::sleep(a);\nmod tests {\n    fn b() { time::sleep(a) }\n}", &[3]);
        check(sleeps, "src/a/tests.rs", "tokio::time::sleep(a).await;", &[1]);
        check(sleeps, "tests/a.rs", "thread::sleep(a); // sleep:\n// thread::sleep(a)", &[1]);
    }

    #[test]
    fn a_sleep_with_a_reason_is_allowed() {
        check(sleeps, "tests/a.rs", "thread::sleep(a); // sleep: the kernel gives no event for this", &[]);
        check(sleeps, "src/a/b.rs", "tokio::time::sleep(a).await;", &[]);
        check(sleeps, "tests/a.rs", "tokio::time::advance(a).await; tokio::time::sleep_until(b)", &[]);
    }

    #[test]
    fn a_test_file_without_a_test_is_found() {
        check(testless, "tests/a.rs", "fn a() {}\n// #[test]", &[1]);
        check(testless, "supervisors/tests/a.rs", "#[cfg(feature = \"b\")]\nfn a() {}", &[1]);
        check(testless, "tests/a.rs", "#[cfg(not(test))] fn a() {}", &[1]);
        check(testless, "tests/a.rs", "#[test]\nfn a() {}", &[]);
        check(testless, "tests/a.rs", "#[tokio::test(start_paused = true)]\nasync fn a() {}", &[]);
        check(testless, "tests/a.rs", "proptest! {}", &[]);
        check(testless, "tests/otp/main.rs", "mod links;", &[]);
        check(testless, "tests/support/mod.rs", "pub fn a() {}", &[]);
        check(testless, "supervisors/tests/support/a.rs", "pub fn a() {}", &[]);
        check(testless, "src/a/tests/b.rs", "fn a() {}", &[]);
    }
}
