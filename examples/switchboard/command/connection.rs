//! The commands that concern the connection and the server.

use bytes::Bytes;

use super::data::required;
use super::{Command, table, text};
use crate::error::CommandError;
use crate::glob;
use crate::number;
use crate::reply::Reply;
use crate::resp::Arguments;

/// The Redis whose texts and options we follow; clients choose their features by it.
const VERSION: &str = "7.0.15";

/// What `CONFIG GET` knows: the parameters that clients and redis-benchmark ask for, with the values that are true here.
const PARAMETERS: [(&str, &str); 5] = [
    ("save", ""),
    ("appendonly", "no"),
    ("databases", "1"),
    ("maxmemory", "0"),
    ("proto-max-bulk-len", "536870912"),
];

/// What a parser of the table gives back.
type Parsed<'a> = Result<Command<'a>, CommandError>;

/// `PING [message]`.
pub fn ping(arguments: Arguments<'_>) -> Parsed<'_> {
    match arguments.len() {
        0 => Ok(Command::Answer(Reply::Simple("PONG"))),
        1 => echo(arguments),
        _ => Err(CommandError::Arity("ping")),
    }
}

/// `ECHO message`.
pub fn echo(arguments: Arguments<'_>) -> Parsed<'_> {
    Ok(Command::Answer(Reply::Bulk(Bytes::copy_from_slice(required(arguments, 0)?))))
}

/// `SELECT index`: there is one database.
pub fn select(arguments: Arguments<'_>) -> Parsed<'_> {
    let index = number::parse(required(arguments, 0)?).ok_or(CommandError::NotAnInteger)?;
    match i32::try_from(index) {
        Ok(0) => Ok(Command::Answer(Reply::Ok)),
        Ok(_) => Err(CommandError::DatabaseIndex),
        Err(_) => Err(CommandError::OutOfRange),
    }
}

/// `HELLO [2 [AUTH user password] [SETNAME name]]`.
///
/// There are no passwords: as in a Redis without one, the default user may give any.
/// What is answered with an error has changed nothing; Redis 7.0 keeps a name that stands before a wrong AUTH.
pub fn hello_command(arguments: Arguments<'_>) -> Parsed<'_> {
    if let Some(version) = arguments.get(0) {
        let version = number::parse(version).ok_or(CommandError::ProtocolVersion)?;
        if version != 2 {
            return Err(CommandError::UnsupportedProtocol);
        }
    }
    let mut name = None;
    let mut options = arguments.skip(1).iter();
    while let Some(option) = options.next() {
        let incomplete = || CommandError::HelloOption(text(option, option.len()).into());
        if option.eq_ignore_ascii_case(b"auth") {
            let user = options.next().ok_or_else(incomplete)?;
            options.next().ok_or_else(incomplete)?;
            if user != b"default" {
                return Err(CommandError::WrongPassword);
            }
        } else if option.eq_ignore_ascii_case(b"setname") {
            name = Some(client_text(options.next().ok_or_else(incomplete)?, "Client names")?);
        } else {
            return Err(incomplete());
        }
    }
    Ok(Command::Hello { name })
}

/// The reply to `HELLO` on connection number `id`: names and values in turn, as RESP2 writes a map.
pub fn hello(id: i64) -> Reply {
    Reply::Array(vec![
        Reply::text("server"),
        Reply::text("redis"),
        Reply::text("version"),
        Reply::text(VERSION),
        Reply::text("proto"),
        Reply::Integer(2),
        Reply::text("id"),
        Reply::Integer(id),
        Reply::text("mode"),
        Reply::text("standalone"),
        Reply::text("role"),
        Reply::text("master"),
        Reply::text("modules"),
        Reply::Array(Vec::new()),
    ])
}

/// `CLIENT ID | GETNAME | SETNAME name | SETINFO attribute value | HELP`.
pub fn client(arguments: Arguments<'_>) -> Parsed<'_> {
    let rest = arguments.skip(1);
    match lower(required(arguments, 0)?).as_slice() {
        b"id" => exactly(0, rest, "client|id").map(|_| Command::ClientId),
        b"getname" => exactly(0, rest, "client|getname").map(|_| Command::ClientName),
        b"setname" => {
            let name = exactly(1, rest, "client|setname")?;
            Ok(Command::SetClientName(client_text(name, "Client names")?))
        }
        b"setinfo" => {
            let attribute = exactly(2, rest, "client|setinfo")?;
            let what = match lower(attribute).as_slice() {
                b"lib-name" => "lib-name",
                b"lib-ver" => "lib-ver",
                _ => return Err(CommandError::ClientAttribute(text(attribute, attribute.len()).into())),
            };
            // Taken and forgotten: nothing here shows a client's library.
            client_text(required(rest, 1)?, what)?;
            Ok(Command::Answer(Reply::Ok))
        }
        b"help" => help(
            rest,
            "client|help",
            &[
                "CLIENT <subcommand> [<arg> [value] [opt] ...]. Subcommands are:",
                "GETNAME",
                "    Return the name of the current connection.",
                "ID",
                "    Return the ID of the current connection.",
                "SETINFO <option> <value>",
                "    Accepted, without effect.",
                "SETNAME <name>",
                "    Assign the name <name> to the current connection.",
                "HELP",
                "    Prints this help.",
            ],
        ),
        _ => Err(unknown_subcommand("CLIENT", arguments)),
    }
}

/// `CONFIG GET pattern [pattern ...] | RESETSTAT | HELP`.
pub fn config(arguments: Arguments<'_>) -> Parsed<'_> {
    let rest = arguments.skip(1);
    match lower(required(arguments, 0)?).as_slice() {
        b"get" if rest.is_empty() => Err(CommandError::Arity("config|get")),
        b"get" => Ok(Command::Answer(parameters(rest))),
        // There are no statistics but the processes' own, which live and end with them.
        b"resetstat" => exactly(0, rest, "config|resetstat").map(|_| Command::Answer(Reply::Ok)),
        b"help" => help(
            rest,
            "config|help",
            &[
                "CONFIG <subcommand> [<arg> [value] [opt] ...]. Subcommands are:",
                "GET <pattern>",
                "    Return parameters matching the glob-like <pattern> and their values.",
                "RESETSTAT",
                "    Accepted, without effect.",
                "HELP",
                "    Prints this help.",
            ],
        ),
        _ => Err(unknown_subcommand("CONFIG", arguments)),
    }
}

/// `SHUTDOWN [NOSAVE | SAVE] [NOW] [FORCE] [ABORT]`.
pub fn shutdown(arguments: Arguments<'_>) -> Parsed<'_> {
    let (mut save, mut no_save, mut abort) = (false, false, false);
    for option in arguments.iter() {
        match lower(option).as_slice() {
            b"save" => save = true,
            b"nosave" => no_save = true,
            b"abort" => abort = true,
            b"now" | b"force" => {}
            _ => return Err(CommandError::Syntax),
        }
    }
    match (save, no_save, abort) {
        (false, _, false) => Ok(Command::Shutdown),
        (true, false, false) => Err(CommandError::CannotSave),
        (false, false, true) if arguments.len() == 1 => Err(CommandError::NoShutdown),
        _ => Err(CommandError::Syntax),
    }
}

/// A list of lines, for `... HELP`.
pub fn help<'a>(rest: Arguments<'a>, name: &'static str, lines: &[&'static str]) -> Parsed<'a> {
    exactly(0, rest, name)?;
    Ok(Command::Answer(Reply::Array(lines.iter().copied().map(Reply::Simple).collect())))
}

/// The first of exactly `count` arguments of a subcommand; nothing when it takes none.
pub fn exactly<'a>(count: usize, rest: Arguments<'a>, name: &'static str) -> Result<&'a [u8], CommandError> {
    if rest.len() == count { Ok(rest.get(0).unwrap_or_default()) } else { Err(CommandError::Arity(name)) }
}

/// The complaint about a subcommand; `container` is written large.
pub fn unknown_subcommand(container: &str, arguments: Arguments<'_>) -> CommandError {
    let name = text(arguments.get(0).unwrap_or_default(), super::QUOTED);
    let message = format!("ERR unknown subcommand '{name}'. Try {container} HELP.");
    CommandError::UnknownSubcommand(message.into())
}

/// The word in small letters; no command's word is longer than this, so a long one is cut, and stays unknown.
pub fn lower(word: &[u8]) -> Vec<u8> {
    word[..word.len().min(table::LONGEST_NAME)].to_ascii_lowercase()
}

/// All parameters that match any of the patterns, each once.
fn parameters(patterns: Arguments<'_>) -> Reply {
    let wanted = |name: &str| {
        patterns.iter().any(|pattern| glob::matches(&pattern.to_ascii_lowercase(), name.as_bytes()))
    };
    let found = PARAMETERS.iter().filter(|(name, _)| wanted(name));
    Reply::Array(found.flat_map(|(name, value)| [Reply::text(name), Reply::text(value)]).collect())
}

/// A word of the client's that ends up in a list of clients, one line each: printable, without blanks.
fn client_text<'a>(word: &'a [u8], what: &'static str) -> Result<&'a [u8], CommandError> {
    if word.iter().all(u8::is_ascii_graphic) { Ok(word) } else { Err(CommandError::ClientText(what)) }
}
