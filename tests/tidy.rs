//! The rules of this house that a compiler does not check: layers, purity, sizes, words, links.
//!
//! Each rule is one test over the whole repository. A rule's tables stand at the top of its file; to grant an
//! exception, add a row there with its reason. Each file also tests its own scan on snippets that must be
//! found and snippets that must not: a rule that cannot fail holds nothing.

#[path = "tidy/layers.rs"]
mod layers;
#[path = "tidy/links.rs"]
mod links;
#[path = "tidy/pure.rs"]
mod pure;
#[path = "tidy/ractor.rs"]
mod ractor;
#[path = "tidy/sizes.rs"]
mod sizes;
#[path = "tidy/source.rs"]
mod source;
#[path = "tidy/tokens.rs"]
mod tokens;
#[path = "tidy/words.rs"]
mod words;

use source::{Finding, repository, rust};

/// Fails with every finding, one a line.
fn hold(findings: impl IntoIterator<Item = Finding>) {
    let findings: Vec<String> = findings.into_iter().map(|finding| finding.to_string()).collect();
    assert!(findings.is_empty(), "{} to put right:\n{}\n", findings.len(), findings.join("\n"));
}

#[test]
fn imports_go_down_only() {
    hold(rust().flat_map(layers::imports));
}

#[test]
fn each_folder_has_a_rank() {
    hold(layers::unranked(repository()));
}

#[test]
fn each_public_module_is_a_folder() {
    hold(layers::modules(repository()));
}

#[test]
fn statics_are_only_the_listed_ones() {
    hold(rust().flat_map(layers::statics));
}

#[test]
fn only_the_host_names_ractor() {
    hold(rust().flat_map(ractor::outside_the_host));
}

#[test]
fn ractor_is_in_no_public_signature() {
    hold(rust().flat_map(ractor::in_public_signatures));
}

#[test]
fn crates_of_decisions_are_pure() {
    hold(repository().iter().flat_map(pure::impure));
}

#[test]
fn files_are_short() {
    hold(rust().flat_map(sizes::files));
}

#[test]
fn functions_fit_on_a_screen() {
    hold(rust().flat_map(sizes::functions));
}

#[test]
fn nothing_is_left_unfinished() {
    hold(repository().iter().flat_map(words::unfinished));
}

#[test]
fn tests_do_not_sleep() {
    hold(rust().flat_map(words::sleeps));
}

#[test]
fn each_test_file_can_fail() {
    hold(rust().flat_map(words::testless));
}

#[test]
fn no_path_belongs_to_one_machine() {
    hold(repository().iter().flat_map(links::machine_paths));
}

#[test]
fn links_lead_somewhere() {
    hold(links::dead(repository()));
}

#[test]
fn links_leave_the_repository_only_for_known_places() {
    hold(repository().iter().flat_map(links::outside));
}

/// The rules above hold trivially over an empty list.
#[test]
fn the_repository_is_seen() {
    let files = repository();
    for path in
        ["Cargo.toml", "src/lib.rs", "supervisors/src/lib.rs", "tests/run", "tests/tidy.rs", "CHANGELOG.md"]
    {
        assert!(files.iter().any(|file| file.path == path), "{path} is not among the files that are checked");
    }
    assert!(!files.iter().any(|file| file.path.starts_with("target/")));
}
