//! ractor is a choice that one file knows about.

use crate::source::{Finding, Source};
use crate::tokens::{Kind, Token, closing, only, paths, reads, tokens};

/// The actor that hosts every process, the only code in `src/` that names ractor. A path that ends in a slash
/// means the whole folder.
const HOST: &[&str] = &["src/process/shell.rs", "src/process/shell/"];

fn is_host(path: &str) -> bool {
    HOST.iter().any(|host| path == *host || host.ends_with('/') && path.starts_with(host))
}

/// Code that names ractor and is not the host.
pub fn outside_the_host(file: &Source) -> Vec<Finding> {
    let ours = file.path.starts_with("src/") || file.path.starts_with("supervisors/");
    if !ours || is_host(&file.path) {
        return Vec::new();
    }
    let code = only(Kind::Code, &file.text);
    tokens(&code)
        .iter()
        .filter(|token| token.text == "ractor")
        .map(|token| file.at(token.line, "names ractor", format!("only {} does; go through it", HOST[0])))
        .collect()
}

/// Public items of the host whose signature shows ractor, by its name or by a name imported from it.
pub fn in_public_signatures(file: &Source) -> Vec<Finding> {
    if !is_host(&file.path) {
        return Vec::new();
    }
    let code = only(Kind::Code, &file.text);
    let tokens = tokens(&code);
    let mut names = vec!["ractor"];
    let imported = |at: usize| at > 0 && reads(&tokens, at - 1, &["use", "ractor"]);
    for path in paths(&tokens).iter().filter(|path| imported(path.at)) {
        names.extend(path.segments.last().filter(|name| **name != "*"));
    }
    (0..tokens.len())
        .filter(|&at| reads(&tokens, at, &["pub"]) && !reads(&tokens, at + 1, &["("]))
        .filter_map(|at| signature(&tokens[at + 1..]).iter().find(|token| names.contains(&token.text)))
        .map(|token| {
            let found = format!("`{}` in a public signature", token.text);
            file.at(token.line, found, "make the item pub(crate), or wrap the type")
        })
        .collect()
}

/// What is public of the item that follows `pub`. The fields of a struct have a `pub` of their own.
fn signature<'a, 'b>(tokens: &'b [Token<'a>]) -> &'b [Token<'a>] {
    let word = |at: usize| tokens.get(at).map_or("", |token| token.text);
    let (ends, whole): (&[&str], bool) = match word(0) {
        "enum" | "trait" => (&[";"], true),
        "struct" | "union" => (&["{", "(", ";"], false),
        "use" | "type" => (&[";"], false),
        "static" => (&["="], false),
        "const" if word(1) != "fn" => (&["="], false),
        "fn" | "async" | "const" | "unsafe" | "extern" => (&["{", ";"], false),
        _ => (&[",", "}", ")"], false),
    };
    let mut angles = 0;
    let mut at = 0;
    while at < tokens.len() {
        let text = word(at);
        if angles == 0 && ends.contains(&text) {
            break;
        }
        match text {
            "{" if whole => return &tokens[..closing(tokens, at)],
            "(" | "[" | "{" => {
                at = closing(tokens, at);
                continue;
            }
            "<" => angles += 1,
            ">" if !matches!(word(at - 1), "-" | "=") => angles -= 1,
            _ => {}
        }
        at += 1;
    }
    &tokens[..at]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::source::check;

    #[test]
    fn ractor_outside_the_host_is_found() {
        check(outside_the_host, "src/gen_server/mod.rs", "use ractor::Actor;", &[1]);
        check(outside_the_host, "src/process/spawn.rs", "fn a() {\n    ractor::spawn()\n}", &[2]);
        check(outside_the_host, "supervisors/src/lib.rs", "extern crate ractor;", &[1]);
        check(outside_the_host, "src/process/shell.rs", "use ractor::Actor;", &[]);
        check(outside_the_host, "src/process/mod.rs", "// ractor is hidden\nlet a = \"ractor\";", &[]);
        check(outside_the_host, "benches/src/main.rs", "use ractor::Actor;", &[]);
    }

    #[test]
    fn ractor_in_a_public_signature_is_found() {
        let host = |text: &str, lines| check(in_public_signatures, "src/process/shell.rs", text, lines);
        host("pub fn cell(&self) -> ractor::ActorCell {}", &[1]);
        host("use ractor::{Actor, ActorRef as Shell};\npub fn a<S, T: Actor>() {}", &[2]);
        host("use ractor::Actor;\npub fn a<T>()\nwhere\n    T: Send, Option<T>: Actor,\n{}", &[4]);
        host("pub struct A {\n    pub cell: Map<u8, ractor::ActorCell>,\n}", &[2]);
        host("pub struct A(pub ractor::ActorCell);", &[1]);
        host("pub enum A {\n    B(ractor::ActorCell),\n}", &[2]);
        host("pub trait A {\n    fn a(&self) -> ractor::ActorCell;\n}", &[2]);
        host("pub type Cell = ractor::ActorCell;\npub use ractor::ActorCell;", &[1, 2]);
    }

    #[test]
    fn ractor_inside_is_allowed() {
        let host = |text: &str, lines| check(in_public_signatures, "src/process/shell.rs", text, lines);
        host("pub(crate) fn cell() -> ractor::ActorCell {}", &[]);
        host("pub fn a() {\n    ractor::spawn()\n}\nimpl ractor::Actor for A {}", &[]);
        host("pub struct A {\n    cell: ractor::ActorCell,\n}\npub struct B(ractor::ActorCell);", &[]);
        host("pub const A: u8 = ractor::A;\npub const fn b() -> u8 { ractor::A }", &[]);
        check(in_public_signatures, "src/process/mod.rs", "pub use ractor::Actor;", &[]);
    }
}
