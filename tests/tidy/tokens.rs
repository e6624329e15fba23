//! Rust text as tokens: enough of a lexer that no rule is fooled by a comment, a string or a lifetime.

use std::ops::Range;

/// An identifier, `::`, or any other single character that is not white space.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Token<'a> {
    pub text: &'a str,
    pub line: usize,
}

/// What a stretch of a Rust file is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    Code,
    Comment,
    /// Strings, characters, and lifetimes: what must not be taken for an identifier.
    Literal,
}

/// The text with everything but one kind blanked out. Lines stay where they are.
pub fn only(kind: Kind, text: &str) -> String {
    let mut kept = String::with_capacity(text.len());
    for (found, range) in stretches(text) {
        let part = &text[range];
        if found == kind {
            kept.push_str(part);
        } else {
            kept.extend(part.chars().map(|c| if c == '\n' { '\n' } else { ' ' }));
        }
    }
    kept
}

/// The tokens of a text that `only(Kind::Code, ..)` has left.
pub fn tokens(code: &str) -> Vec<Token<'_>> {
    let mut tokens = Vec::new();
    let mut line = 1;
    let mut at = 0;
    while let Some(c) = code[at..].chars().next() {
        let rest = &code[at..];
        let length = if is_word(c) {
            rest.find(|c| !is_word(c)).unwrap_or(rest.len())
        } else if rest.starts_with("::") {
            2
        } else {
            c.len_utf8()
        };
        if c == '\n' {
            line += 1;
        }
        if !c.is_whitespace() {
            tokens.push(Token { text: &rest[..length], line });
        }
        at += length;
    }
    tokens
}

pub fn is_word(c: char) -> bool {
    c.is_alphanumeric() || c == '_'
}

pub fn is_ident(token: &str) -> bool {
    token.starts_with(|c: char| is_word(c) && !c.is_ascii_digit())
}

/// Cuts a text into code, comments and literals.
fn stretches(text: &str) -> Vec<(Kind, Range<usize>)> {
    let mut stretches = Vec::new();
    let mut start = 0;
    let mut at = 0;
    // The last character of the code before: `r` opens a raw string in `r"` but not in `for"`.
    let mut before = ' ';
    while let Some(c) = text[at..].chars().next() {
        match opened(&text[at..], before) {
            Some((kind, length)) => {
                stretches.push((Kind::Code, start..at));
                stretches.push((kind, at..at + length));
                at += length;
                start = at;
                before = ' ';
            }
            None => {
                at += c.len_utf8();
                before = c;
            }
        }
    }
    stretches.push((Kind::Code, start..at));
    stretches
}

/// The comment or literal that the text begins with, and its length.
fn opened(text: &str, before: char) -> Option<(Kind, usize)> {
    if text.starts_with("//") {
        return Some((Kind::Comment, text.find('\n').unwrap_or(text.len())));
    }
    if text.starts_with("/*") {
        return Some((Kind::Comment, block_comment(text)));
    }
    if text.starts_with('\'') {
        return Some((Kind::Literal, quoted_or_lifetime(text)));
    }
    if text.starts_with('"') {
        return Some((Kind::Literal, quoted(text, '"')));
    }
    if is_word(before) {
        return None;
    }
    // b"..", c"..", r"..", r#".."#, br"..", cr"..", b'.'
    let body = text.trim_start_matches(['b', 'c']);
    let prefix = text.len() - body.len();
    if prefix > 1 {
        return None;
    }
    if let Some(raw) = body.strip_prefix('r') {
        let hashes = raw.len() - raw.trim_start_matches('#').len();
        return raw[hashes..].starts_with('"').then(|| {
            let end = format!("\"{}", "#".repeat(hashes));
            let inside = &raw[hashes + 1..];
            let length = inside.find(&end).map_or(inside.len(), |i| i + end.len());
            (Kind::Literal, prefix + 1 + hashes + 1 + length)
        });
    }
    let quote = body.chars().next().filter(|c| prefix == 1 && matches!(c, '"' | '\''))?;
    Some((Kind::Literal, prefix + quoted(body, quote)))
}

/// Block comments nest.
fn block_comment(text: &str) -> usize {
    let mut depth = 0;
    let mut at = 0;
    while at < text.len() {
        if text[at..].starts_with("/*") {
            depth += 1;
            at += 2;
        } else if text[at..].starts_with("*/") {
            depth -= 1;
            at += 2;
            if depth == 0 {
                return at;
            }
        } else {
            at += text[at..].chars().next().map_or(1, char::len_utf8);
        }
    }
    text.len()
}

fn quoted(text: &str, quote: char) -> usize {
    let mut escaped = false;
    for (i, c) in text.char_indices().skip(1) {
        if escaped {
            escaped = false;
        } else if c == '\\' {
            escaped = true;
        } else if c == quote {
            return i + 1;
        }
    }
    text.len()
}

/// `'a'` is a character and `'a` a lifetime.
fn quoted_or_lifetime(text: &str) -> usize {
    let mut chars = text.char_indices().skip(1);
    match (chars.next(), chars.next()) {
        (Some((_, '\\')), _) | (Some(_), Some((_, '\''))) => quoted(text, '\''),
        _ => text[1..].find(|c| !is_word(c)).map_or(text.len(), |i| i + 1),
    }
}

/// A path that is written out: `a::b::c`, each leaf of a group by itself, a glob ending in `*`.
#[derive(Debug, PartialEq, Eq)]
pub struct Path<'a> {
    pub segments: Vec<&'a str>,
    pub line: usize,
    /// The index of its first token.
    pub at: usize,
}

/// All paths of at least two segments.
pub fn paths<'a>(tokens: &[Token<'a>]) -> Vec<Path<'a>> {
    let mut paths = Vec::new();
    let mut at = 0;
    while at < tokens.len() {
        if is_ident(tokens[at].text) && tokens.get(at + 1).is_some_and(|next| next.text == "::") {
            at = leaves(tokens, at, at, &[], &mut paths);
        } else {
            at += 1;
        }
    }
    paths
}

/// Follows one path from `at`; returns the index after it.
fn leaves<'a>(
    tokens: &[Token<'a>],
    mut at: usize,
    first: usize,
    prefix: &[&'a str],
    paths: &mut Vec<Path<'a>>,
) -> usize {
    let mut segments = prefix.to_vec();
    let mut line = tokens[at].line;
    while let Some(token) = tokens.get(at) {
        let next = tokens.get(at + 1).map(|next| next.text);
        match token.text {
            "{" => {
                at += 1;
                while tokens.get(at).is_some_and(|token| token.text != "}") {
                    let token = tokens[at].text;
                    let leaf = is_ident(token) && token != "as" || token == "*" || token == "{";
                    at = if leaf { leaves(tokens, at, first, &segments, paths) } else { at + 1 };
                }
                return at + 1;
            }
            "*" => {
                segments.push("*");
                at += 1;
                break;
            }
            text if is_ident(text) => {
                segments.push(text);
                line = token.line;
                at += 1;
                if next != Some("::") {
                    break;
                }
                at += 1;
            }
            // `a::<T>`: T may begin a path of its own.
            _ => break,
        }
    }
    paths.push(Path { segments, line, at: first });
    // `a as b` names nothing more.
    if tokens.get(at).is_some_and(|token| token.text == "as") { at + 2 } else { at }
}

/// The index after the bracket that closes the one at `open`.
pub fn closing(tokens: &[Token<'_>], open: usize) -> usize {
    let mut depth = 0;
    for (at, token) in tokens.iter().enumerate().skip(open) {
        match token.text {
            "{" | "(" | "[" => depth += 1,
            "}" | ")" | "]" => {
                depth -= 1;
                if depth == 0 {
                    return at + 1;
                }
            }
            _ => {}
        }
    }
    tokens.len()
}

/// Whether the tokens at `at` read like this.
pub fn reads(tokens: &[Token<'_>], at: usize, expected: &[&str]) -> bool {
    tokens.len() >= at + expected.len()
        && tokens[at..].iter().zip(expected).all(|(token, text)| token.text == *text)
}

/// The inline modules of a file: the name, and the tokens between the braces.
pub fn inline_modules<'a>(tokens: &[Token<'a>]) -> Vec<(&'a str, Range<usize>)> {
    (0..tokens.len())
        .filter(|&at| {
            reads(tokens, at, &["mod"]) && tokens.get(at + 2).is_some_and(|token| token.text == "{")
        })
        .map(|at| (tokens[at + 1].text, at + 3..closing(tokens, at + 2)))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(text: &str, expected: &str) {
        let code = only(Kind::Code, text);
        let found: Vec<&str> = tokens(&code).iter().map(|token| token.text).collect();
        assert_eq!(found.join(" "), expected, "{text}");
    }

    #[test]
    fn comments_and_literals_are_no_code() {
        check("a // b\nc", "a c");
        check("a /* b /* c */ d */ e", "a e");
        check(r#"a("b \" // c") d"#, "a ( ) d");
        check("a(\"// b\n c\") d", "a ( ) d");
        check(r##"r"a\" b r#"c " d"# e"##, "b e");
        check(r##"b"a" b'c' br#"d"# c"e" f"##, "f");
        check("'a' '\\'' '\\u{1f}' '\"' b", "b");
        check("fn a<'b>(c: &'static str) 'd: loop", "fn a < > ( c : & str ) : loop");
        check("r#type bar\"a\"", "r # type bar");
        check("// \u{e9}'\n'\u{e9}' a::b", "a :: b");
    }

    #[test]
    fn a_token_knows_its_line() {
        let code = only(Kind::Code, "a\n/* b\n */ c\n\"d\ne\" f");
        let lines: Vec<usize> = tokens(&code).iter().map(|token| token.line).collect();
        assert_eq!(lines, [1, 3, 5]);
    }

    #[test]
    fn comments_can_be_kept_alone() {
        assert_eq!(only(Kind::Comment, "a // b\n\"c // d\"").trim(), "// b");
    }

    #[test]
    fn a_path_is_followed_into_its_groups() {
        let code = "use a::{b::{self, c}, d as e, f::*}; g::<h::i>(j);";
        let found: Vec<String> = paths(&tokens(code)).iter().map(|path| path.segments.join("::")).collect();
        assert_eq!(found, ["a::b::self", "a::b::c", "a::d", "a::f::*", "g", "h::i"]);
    }

    #[test]
    fn an_inline_module_ends_at_its_brace() {
        let code = "mod a; mod b { mod c { d } e } f";
        let tokens = tokens(code);
        let found: Vec<String> = inline_modules(&tokens)
            .into_iter()
            .map(|(name, inside)| format!("{name}: {}", inside.len()))
            .collect();
        assert_eq!(found, ["b: 7", "c: 2"]);
    }
}
