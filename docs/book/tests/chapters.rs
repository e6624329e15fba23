//! `SUMMARY.md`, the folder and the crate name the same chapters: one that is missing here or there would be
//! unread or untested.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

fn book(path: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(path);
    fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// What stands between `open` and `close`, each time.
fn between(text: &str, open: &str, close: &str) -> BTreeSet<String> {
    let found = text.split(open).skip(1).filter_map(|rest| rest.split_once(close));
    found.map(|(inside, _)| inside.to_owned()).collect()
}

fn in_summary() -> BTreeSet<String> {
    between(&book("SUMMARY.md"), "](", ")")
}

#[test]
fn every_chapter_in_the_folder_is_in_the_summary() {
    let names = fs::read_dir(env!("CARGO_MANIFEST_DIR")).unwrap().map(|entry| entry.unwrap().file_name());
    let folder: BTreeSet<String> = names
        .map(|name| name.into_string().unwrap())
        .filter(|name| name.ends_with(".md") && name != "SUMMARY.md")
        .collect();
    assert_eq!(folder, in_summary(), "the folder (left) and SUMMARY.md (right) differ");
}

#[test]
fn every_chapter_in_the_summary_is_compiled() {
    let mut crate_ = between(&book("src/lib.rs"), "#[doc = include_str!(\"../", "\")]");
    // The README lies further up: its code runs too, and it is no chapter.
    assert!(crate_.remove("../../README.md"), "the README's code is not compiled");
    assert_eq!(crate_, in_summary(), "src/lib.rs (left) and SUMMARY.md (right) differ");
}

#[test]
fn a_missing_chapter_would_be_seen() {
    let summary = "# Summary\n\n[A](a.md)\n\n- [B](b.md)\n  - [C](c.md)\n";
    assert_eq!(between(summary, "](", ")").into_iter().collect::<Vec<_>>(), ["a.md", "b.md", "c.md"]);
    assert!(in_summary().contains("introduction.md"));
}
