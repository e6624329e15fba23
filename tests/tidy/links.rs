//! Links lead somewhere on every machine.

use crate::source::{Finding, Source};
use crate::tokens::is_word;

/// How a path begins that only one machine has. Cut in two so that this file does not hold them.
const MACHINE: &[&str] = &[
    concat!("/", "home/"),
    concat!("/", "root/"),
    concat!("/", "Users/"),
    concat!("/", "work/"),
    concat!("C:", "\\"),
];

/// Where a link may lead to outside the repository. Everything else is named by a relative path, so that it
/// works in every clone.
const OUTSIDE: &[&str] = &[
    "https://crates.io/",
    "https://doc.rust-lang.org/",
    "https://docs.rs/",
    "https://hexdocs.pm/",
    "https://keepachangelog.com/",
    "https://rustup.rs",
    "https://semver.org/",
    "https://www.erlang.org/",
    "https://www.apache.org/",
];

/// Absolute paths of a machine, in any text.
pub fn machine_paths(file: &Source) -> Vec<Finding> {
    let mut findings = Vec::new();
    for (line, text) in file.text.lines().enumerate() {
        for start in MACHINE {
            // `a/home/` is part of a longer path, and `$A/home/` or `{a}/home/` begins elsewhere.
            let begins = |(at, _): &(usize, &str)| {
                !text[..*at].ends_with(|c: char| is_word(c) || matches!(c, '.' | '-' | '}' | ')' | '~' | '*'))
            };
            for _ in text.match_indices(start).filter(begins) {
                let found = format!("a path below {start}");
                findings.push(file.at(
                    line + 1,
                    found,
                    "write it relative to the repository, or ask the environment",
                ));
            }
        }
    }
    findings
}

/// A link in a Markdown file.
struct Link {
    target: String,
    line: usize,
}

/// Links that leave the repository for a place that is not listed.
pub fn outside(file: &Source) -> Vec<Finding> {
    if !file.is_markdown() {
        return Vec::new();
    }
    links(&file.text)
        .into_iter()
        .filter(|link| {
            !is_relative(&link.target) && !OUTSIDE.iter().any(|place| link.target.starts_with(place))
        })
        .map(|link| {
            let found = format!("links to `{}`", link.target);
            file.at(link.line, found, "write a relative path, or list the place in tests/tidy/links.rs")
        })
        .collect()
}

/// Relative links to a file or a heading that does not exist.
pub fn dead(files: &[Source]) -> Vec<Finding> {
    let mut findings = Vec::new();
    for file in files.iter().filter(|file| file.is_markdown()) {
        for link in links(&file.text).into_iter().filter(|link| is_relative(&link.target)) {
            if let Some(why) = broken(files, file, &link.target) {
                findings.push(file.at(
                    link.line,
                    format!("`{}` {why}", link.target),
                    "correct or drop the link",
                ));
            }
        }
    }
    findings
}

fn is_relative(target: &str) -> bool {
    let scheme =
        target.split_once(':').is_some_and(|(scheme, _)| scheme.chars().all(|c| is_word(c) || c == '+'));
    !scheme && !target.starts_with('/')
}

fn broken(files: &[Source], from: &Source, target: &str) -> Option<String> {
    let (path, anchor) = target.split_once('#').map_or((target, None), |(path, anchor)| (path, Some(anchor)));
    let path = if path.is_empty() { from.path.clone() } else { join(&from.path, path)? };
    let folder = path.is_empty() || files.iter().any(|file| file.path.starts_with(&format!("{path}/")));
    let Some(file) = files.iter().find(|file| file.path == path) else {
        // Pictures and other bytes are no text, and so not among the files.
        let there = folder || crate::source::root().join(&path).is_file();
        return (!there).then(|| "does not exist".into());
    };
    let anchor = anchor.filter(|_| file.is_markdown())?;
    (!anchors(&file.text).iter().any(|known| known == anchor)).then(|| "names no heading there".into())
}

/// A path from the root, given one from a file. None if it leaves the repository.
fn join(from: &str, target: &str) -> Option<String> {
    let mut parts: Vec<&str> = from.split('/').collect();
    parts.pop();
    for part in target.trim_end_matches('/').split('/') {
        match part {
            "." | "" => {}
            ".." => {
                parts.pop()?;
            }
            part => parts.push(part),
        }
    }
    Some(parts.join("/"))
}

/// The lines of a Markdown text that are no code, with inline code blanked out.
fn prose(text: &str) -> Vec<(usize, String)> {
    let mut lines = Vec::new();
    let mut fence: Option<&str> = None;
    for (line, text) in text.lines().enumerate() {
        let start = text.trim_start();
        let mark = ["```", "~~~"].into_iter().find(|mark| start.starts_with(mark));
        match (fence, mark) {
            (None, Some(mark)) => fence = Some(mark),
            (Some(open), Some(mark)) if open == mark => fence = None,
            (Some(_), _) => {}
            (None, None) => {
                let parts = text.split('`').enumerate();
                let kept =
                    parts.map(|(i, part)| if i % 2 == 0 { part.to_owned() } else { " ".repeat(part.len()) });
                lines.push((line + 1, kept.collect::<Vec<_>>().join("`")));
            }
        }
    }
    lines
}

/// `[text](target)`, `![text](target)`, `[name]: target` and `<https://..>`.
fn links(text: &str) -> Vec<Link> {
    let mut links = Vec::new();
    for (line, text) in prose(text) {
        let mut add = |target: &str| {
            let target = target.trim().trim_matches(['<', '>']).split(' ').next().unwrap_or_default();
            links.push(Link { target: target.into(), line });
        };
        for (at, _) in text.match_indices("](") {
            let target = &text[at + 2..];
            add(&target[..target.find(')').unwrap_or(target.len())]);
        }
        if let Some((_, target)) = text.trim_start().strip_prefix('[').and_then(|rest| rest.split_once("]: "))
        {
            add(target);
        }
        for (at, _) in text.match_indices('<') {
            let end = text[at..].find('>').map_or(at, |end| at + end);
            if text[at..end].contains("://") && !text[..at].ends_with('(') {
                add(&text[at..end]);
            }
        }
    }
    links
}

/// The anchors of a Markdown text: its headings in lower case, spaces as dashes, punctuation gone; a heading
/// that comes again gets a number.
fn anchors(text: &str) -> Vec<String> {
    let mut anchors: Vec<String> = Vec::new();
    let mut fenced = false;
    for line in text.lines() {
        fenced ^= line.trim_start().starts_with("```");
        let Some(heading) = line.strip_prefix('#').filter(|_| !fenced) else { continue };
        let heading = heading.trim_start_matches('#');
        if !heading.starts_with(' ') {
            continue;
        }
        let slug: String = heading
            .trim()
            .to_lowercase()
            .chars()
            .filter(|&c| is_word(c) || c == '-' || c == ' ')
            .map(|c| if c == ' ' { '-' } else { c })
            .collect();
        let again = (1..).map(|n| format!("{slug}-{n}"));
        let anchor = std::iter::once(slug.clone()).chain(again).find(|anchor| !anchors.contains(anchor));
        anchors.extend(anchor);
    }
    anchors
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::source::check;

    #[test]
    fn a_path_of_one_machine_is_found() {
        for start in MACHINE {
            check(machine_paths, "src/a.rs", &format!("\nlet a = \"{start}me\";"), &[2]);
            check(machine_paths, "docs/a.md", &format!("see {start}me"), &[1]);
            check(machine_paths, "docs/a.md", &format!("see docs{start}me and $A{start}me"), &[]);
        }
    }

    #[test]
    fn a_link_to_an_unknown_place_is_found() {
        check(outside, "a.md", "[a](https://docs.rs/serde)\n[b](https://example.com/c)", &[2]);
        check(outside, "a.md", "[a]: http://docs.rs/serde\n\n<https://example.com>", &[1, 3]);
        check(outside, "a.md", "[a](/docs/a.md) [b](file:///docs/a.md)", &[1, 1]);
        check(
            outside,
            "a.md",
            "`[a](https://example.com)`\n```\n[a](https://example.com)\n```\n[b](c.md)",
            &[],
        );
        check(outside, "src/a.rs", "// [a](https://example.com)", &[]);
    }

    #[test]
    fn a_dead_link_is_found() {
        let dead = |text: &str, lines| {
            let there =
                |path: &str| Source::new(path, "# A heading: `code`\n## Twice\n## Twice\n```\n# no\n```");
            let rule = |file: &Source| {
                dead(&[
                    Source::new(&file.path, &file.text),
                    there("docs/b.md"),
                    there("README.md"),
                    there("src/lib.rs"),
                ])
            };
            check(rule, "docs/a.md", text, lines);
        };
        dead("[a](b.md) [b](../README.md) [c](./b.md) [d](../src/lib.rs) [e](../src/) [f](..)", &[]);
        dead("[a](c.md)\n[b](../b.md)\n[c](../../README.md)\n[d]: e.md", &[1, 2, 4]);
        dead("![a](../no.png)", &[1]);
        dead("[a](b.md#a-heading-code) [b](b.md#twice) [c](b.md#twice-1) [d](../src/lib.rs#L3)", &[]);
        dead("[a](b.md#other)\n[b](b.md#no)\n[c](b.md#twice-2)", &[1, 2, 3]);
        dead("# Here\n[a](#here)\n[b](#there)", &[3]);
        dead("`[a](no.md)`\n```text\n[a](no.md)\n```\n[mail](mailto:a@b.c)", &[]);
    }
}
