//! Patterns, against a table and against the plain definition.

use std::time::{Duration, Instant};

use super::support::random::Random;
use crate::glob::matches;

#[test]
fn patterns_match_as_in_redis() {
    let check = |pattern: &str, text: &str, expected: bool| {
        assert_eq!(matches(pattern.as_bytes(), text.as_bytes()), expected, "{pattern:?} {text:?}");
    };
    check("", "", true);
    check("", "a", false);
    check("*", "", true);
    check("**", "", false);
    check("**", "a", true);
    check("*", "anything", true);
    check("a*", "a", true);
    check("a*c", "abbc", true);
    check("a*c", "abbd", false);
    check("*a*b*", "xaxxbx", true);
    check("*ab", "aab", true);
    check("h?llo", "hello", true);
    check("h?llo", "hllo", false);
    check("?", "", false);
    check("h[ae]llo", "hallo", true);
    check("h[ae]llo", "hillo", false);
    check("h[^e]llo", "hallo", true);
    check("h[^e]llo", "hello", false);
    check("h[a-c]llo", "hbllo", true);
    check("h[c-a]llo", "hbllo", true);
    check("[a-c]", "d", false);
    check("[]", "a", false);
    check("[^]", "a", true);
    check("[]a]", "a]", false);
    check("[abc", "b", true);
    check("[a-", "-", true);
    check("[", "a", false);
    check("[\\]]", "]", true);
    check("[\\^a]", "^", true);
    check("\\*", "*", true);
    check("\\*", "a", false);
    check("\\", "\\", true);
    check("a\\", "a\\", true);
    check("[\\", "\\", true);
    check("HELLO", "hello", false);
    check("*[^a]*", "aaa", false);
    check("*[^a]*", "aba", true);
}

/// Every star tries every length: the definition, too slow for anything else. Elements other than stars are matched
/// one at a time by the code under test, which the table above covers.
fn defined(pattern: &[u8], text: &[u8]) -> bool {
    match (pattern, text) {
        ([], _) => text.is_empty(),
        ([b'*', rest @ ..], _) => (0..=text.len()).any(|taken| defined(rest, &text[taken..])),
        (_, []) => false,
        (_, [byte, rest @ ..]) => (1..=pattern.len())
            .find(|length| complete(&pattern[..*length]))
            .is_some_and(|length| matches(&pattern[..length], &[*byte]) && defined(&pattern[length..], rest)),
    }
}

/// Whether this is a whole element of a pattern; nothing shorter was.
fn complete(element: &[u8]) -> bool {
    match element {
        [b'['] | [b'[', b'^'] => false,
        [b'[', class @ ..] => class.contains(&b']'),
        _ => true,
    }
}

#[test]
fn only_the_last_star_needs_to_move() {
    let mut random = Random::new();
    for _ in 0..20_000 {
        let pattern: Vec<&str> =
            (0..random.below(8)).map(|_| *random.pick(&["a", "b", "*", "?", "[ab]", "[^a]"])).collect();
        let text: Vec<u8> = (0..1 + random.below(9)).map(|_| *random.pick(b"ab")).collect();
        let pattern = pattern.concat().into_bytes();
        assert_eq!(matches(&pattern, &text), defined(&pattern, &text), "{pattern:?} {text:?}");
    }
}

#[test]
fn a_hostile_pattern_costs_no_more_than_its_length_times_the_texts() {
    let (pattern, text) = ("*a".repeat(2_000) + "b", "a".repeat(20_000));
    let start = Instant::now();
    assert!(!matches(pattern.as_bytes(), text.as_bytes()));
    assert!(start.elapsed() < Duration::from_secs(5), "{:?}", start.elapsed());
}
