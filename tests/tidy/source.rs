//! The files of the repository, and what a rule says about a line of one.

use std::fmt;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

/// Folders that are not part of the repository. Hidden ones, and those that cargo marks as a cache, are left
/// out as well.
const SKIPPED: &[&str] = &["target", "fuzz/corpus", "fuzz/artifacts", "fuzz/target"];

/// Hidden, and ours all the same.
const SHOWN: &[&str] = &[".ci", ".gitignore"];

/// A text file: its path from the root of the repository, with forward slashes, and what is in it.
pub struct Source {
    pub path: String,
    pub text: String,
}

impl Source {
    pub fn new(path: &str, text: &str) -> Self {
        Self { path: path.into(), text: text.into() }
    }

    /// A finding at a line of this file, counted from 1.
    pub fn at(&self, line: usize, found: impl fmt::Display, advice: impl fmt::Display) -> Finding {
        Finding { path: self.path.clone(), line, found: found.to_string(), advice: advice.to_string() }
    }

    pub fn is_rust(&self) -> bool {
        self.path.ends_with(".rs")
    }

    pub fn is_markdown(&self) -> bool {
        self.path.ends_with(".md")
    }
}

/// A breach of a rule: where, what, and what to do about it.
#[derive(Debug)]
pub struct Finding {
    pub path: String,
    pub line: usize,
    pub found: String,
    pub advice: String,
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}: {}; {}", self.path, self.line, self.found, self.advice)
    }
}

/// Checks a scan on a snippet: the lines where it must find something, in order.
#[track_caller]
pub fn check(rule: impl Fn(&Source) -> Vec<Finding>, path: &str, text: &str, lines: &[usize]) {
    let findings = rule(&Source::new(path, text));
    let found: Vec<usize> = findings.iter().map(|finding| finding.line).collect();
    assert_eq!(found, lines, "in {path}:\n{text}\n{findings:#?}");
}

pub fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

/// Every text file of the repository, in order of path. Read once for all rules.
pub fn repository() -> &'static [Source] {
    static FILES: OnceLock<Vec<Source>> = OnceLock::new();
    FILES.get_or_init(|| {
        let mut files = Vec::new();
        walk(&root(), "", &mut files);
        files.sort_by(|a, b| a.path.cmp(&b.path));
        files
    })
}

/// The Rust files among them.
pub fn rust() -> impl Iterator<Item = &'static Source> {
    repository().iter().filter(|file| file.is_rust())
}

fn walk(folder: &Path, prefix: &str, files: &mut Vec<Source>) {
    for entry in fs::read_dir(folder).unwrap() {
        let entry = entry.unwrap();
        let name = entry.file_name().into_string().unwrap();
        let path = format!("{prefix}{name}");
        if name.starts_with('.') && !SHOWN.contains(&name.as_str()) || SKIPPED.contains(&path.as_str()) {
            continue;
        }
        // A link could lead out of the repository, or in a circle.
        let kind = entry.file_type().unwrap();
        if kind.is_dir() && !entry.path().join("CACHEDIR.TAG").exists() {
            walk(&entry.path(), &format!("{path}/"), files);
        } else if kind.is_file() {
            // What is not UTF-8 is not text: golden bytes, images.
            if let Ok(text) = fs::read_to_string(entry.path()) {
                files.push(Source { path, text });
            }
        }
    }
}

#[test]
fn a_finding_names_file_and_line() {
    let finding = Source::new("src/a.rs", "").at(3, "found this", "do that");
    assert_eq!(finding.to_string(), "src/a.rs:3: found this; do that");
}
