//! A file is one noun or one verb; a function fits on a screen; an example on one page.

use crate::source::{Finding, Source};
use crate::tokens::{Kind, closing, is_ident, only, reads, tokens};

const FILE: usize = 800;
const FUNCTION: usize = 70;
/// An example that is one file, `examples/name.rs`.
const EXAMPLE: usize = 80;

/// Files that are too long.
pub fn files(file: &Source) -> Vec<Finding> {
    let example = file.path.starts_with("examples/") && file.path.matches('/').count() == 1;
    let limit = if example { EXAMPLE } else { FILE };
    let lines = file.text.lines().count();
    let advice = format!("the limit is {limit}; split it by what a reader would look for");
    Vec::from_iter((lines > limit).then(|| file.at(1, format!("{lines} lines"), advice)))
}

/// Functions that are too long, counted from `fn` to the closing brace.
pub fn functions(file: &Source) -> Vec<Finding> {
    let code = only(Kind::Code, &file.text);
    let tokens = tokens(&code);
    let mut findings = Vec::new();
    for at in 0..tokens.len() {
        let Some(name) = tokens.get(at + 1).filter(|name| reads(&tokens, at, &["fn"]) && is_ident(name.text))
        else {
            continue;
        };
        // Past the parameters to the body. `;` ends a function without one, `[u8; 4]` does not.
        let mut open = at + 2;
        while tokens.get(open).is_some_and(|token| !matches!(token.text, "{" | ";")) {
            open = if matches!(tokens[open].text, "(" | "[") { closing(&tokens, open) } else { open + 1 };
        }
        if !reads(&tokens, open, &["{"]) {
            continue;
        }
        let lines = tokens[closing(&tokens, open) - 1].line + 1 - tokens[at].line;
        if lines > FUNCTION {
            let found = format!("`{}` has {lines} lines", name.text);
            findings.push(file.at(
                tokens[at].line,
                found,
                format!("the limit is {FUNCTION}; give its parts names"),
            ));
        }
    }
    findings
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::source::check;

    #[test]
    fn a_long_file_is_found() {
        check(files, "src/a.rs", &"\n".repeat(800), &[]);
        check(files, "src/a.rs", &"\n".repeat(801), &[1]);
        check(files, "examples/a.rs", &"\n".repeat(80), &[]);
        check(files, "examples/a.rs", &"\n".repeat(81), &[1]);
        check(files, "examples/a/main.rs", &"\n".repeat(81), &[]);
    }

    #[test]
    fn a_long_function_is_found() {
        let body = |lines: usize| "    a();\n".repeat(lines);
        check(functions, "src/a.rs", &format!("fn a() {{\n{}}}", body(68)), &[]);
        check(functions, "src/a.rs", &format!("\nfn a() {{\n{}}}", body(69)), &[2]);
        check(
            functions,
            "src/a.rs",
            &format!("fn a(\n    b: [u8; 4],\n) -> [u8; 4] {{\n{}}}", body(69)),
            &[1],
        );
        check(
            functions,
            "src/a.rs",
            &format!("impl A {{\n fn a() {{\n if b {{ }}\n{}}}\n}}", body(69)),
            &[2],
        );
        check(functions, "src/a.rs", &format!("impl A {{\n{}}}", "    fn a() {}\n".repeat(99)), &[]);
    }

    #[test]
    fn braces_in_strings_and_comments_do_not_count() {
        let tail = "\n".repeat(99);
        check(
            functions,
            "src/a.rs",
            &format!("fn a() {{ \"{{\"; '{{'; /* {{ */ }} // {{{tail}fn b() {{}}"),
            &[],
        );
        check(functions, "src/a.rs", &format!("fn a() {{ \"}}\"; {tail} }}"), &[1]);
        check(
            functions,
            "src/a.rs",
            &format!("trait A {{ fn a(&self);{tail} }}\ntype B = fn(u8) -> u8;"),
            &[],
        );
    }
}
