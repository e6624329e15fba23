//! `COMMAND`: what the server says about its own commands. redis-cli asks at its start, client libraries when they
//! look for keys in a request.

use bytes::Bytes;

use super::Command;
use super::connection::{exactly, help, lower, unknown_subcommand};
use super::table::{self, Spec, TABLE};
use crate::error::CommandError;
use crate::reply::Reply;
use crate::resp::Arguments;

/// `COMMAND [COUNT | LIST | INFO [name ...] | DOCS [name ...] | HELP]`.
pub fn command(arguments: Arguments<'_>) -> Result<Command<'_>, CommandError> {
    let rest = arguments.skip(1);
    let Some(subcommand) = arguments.get(0) else {
        return Ok(Command::Answer(Reply::Array(TABLE.iter().map(info).collect())));
    };
    let reply = match lower(subcommand).as_slice() {
        b"count" => exactly(0, rest, "command|count").map(|_| Reply::count(TABLE.len()))?,
        b"list" if rest.is_empty() => Reply::Array(TABLE.iter().map(|spec| Reply::text(spec.name)).collect()),
        b"list" => return Err(CommandError::Syntax),
        b"info" if rest.is_empty() => Reply::Array(TABLE.iter().map(info).collect()),
        b"info" => Reply::Array(rest.iter().map(|name| table::find(name).map_or(Reply::Nil, info)).collect()),
        b"docs" if rest.is_empty() => Reply::Array(TABLE.iter().flat_map(docs).collect()),
        b"docs" => Reply::Array(rest.iter().filter_map(table::find).flat_map(docs).collect()),
        b"help" => {
            return help(
                rest,
                "command|help",
                &[
                    "COMMAND <subcommand> [<arg> [value] [opt] ...]. Subcommands are:",
                    "(no subcommand)",
                    "    Return details about all commands.",
                    "COUNT",
                    "    Return the total number of commands in this server.",
                    "LIST",
                    "    Return a list of all commands in this server.",
                    "INFO [<command-name> ...]",
                    "    Return details about multiple commands.",
                    "DOCS [<command-name> ...]",
                    "    Return documentation details about multiple commands.",
                    "HELP",
                    "    Prints this help.",
                ],
            );
        }
        _ => return Err(unknown_subcommand("COMMAND", arguments)),
    };
    Ok(Command::Answer(reply))
}

/// Name, arity, flags, the places of the keys, categories; then hints, key specifications and subcommands, which are
/// empty: they may be absent, and the places say all there is to say.
fn info(spec: &Spec) -> Reply {
    let words = |words: &[&'static str]| Reply::Array(words.iter().copied().map(Reply::Simple).collect());
    let (first, last, step) = spec.keys;
    Reply::Array(vec![
        Reply::text(spec.name),
        Reply::Integer(spec.arity),
        words(spec.flags),
        Reply::Integer(first),
        Reply::Integer(last),
        Reply::Integer(step),
        words(spec.categories),
        words(&[]),
        words(&[]),
        words(&[]),
    ])
}

/// A name and a map of what there is to know.
fn docs(spec: &Spec) -> [Reply; 2] {
    let map = [("summary", spec.summary), ("since", spec.since), ("group", spec.group)];
    let map = map.into_iter().flat_map(|(name, value)| [Reply::text(name), Reply::text(value)]);
    [Reply::Bulk(Bytes::from_static(spec.name.as_bytes())), Reply::Array(map.collect())]
}
