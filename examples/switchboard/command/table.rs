//! All commands, as data.

use super::data::{self, Gather, required};
use super::{Command, about, connection, otp};
use crate::error::CommandError;
use crate::resp::Arguments;
use crate::value::{KeyOp, UnixMillis};

/// No command's name is longer than this.
pub const LONGEST_NAME: usize = 16;

/// What a command is called, what it takes, what it is for, and who reads its arguments.
pub struct Spec {
    /// In small letters.
    pub name: &'static str,
    /// Arguments, the name included; below zero: at least so many.
    pub arity: i64,
    /// As `COMMAND INFO` shows them.
    pub flags: &'static [&'static str],
    /// Place of the first key, of the last (below zero: from the end) and the step between; zeros without keys.
    pub keys: (i64, i64, i64),
    /// As `COMMAND INFO` shows them.
    pub categories: &'static [&'static str],
    /// One line of documentation.
    pub summary: &'static str,
    /// The first version that had it: Redis's, or ours for our own.
    pub since: &'static str,
    /// The group in the documentation.
    pub group: &'static str,
    /// Reads the arguments, without the name, when their number fits.
    pub parse: Parse,
}

/// Reads a command's arguments; relative times count from the given moment.
type Parse = for<'a> fn(Arguments<'a>, UnixMillis) -> Result<Command<'a>, CommandError>;

impl Spec {
    /// Whether `count` arguments, the name included, fit the arity.
    pub fn check(&self, count: usize) -> Result<(), CommandError> {
        let count = i64::try_from(count).unwrap_or(i64::MAX);
        let fits = if self.arity < 0 { count >= -self.arity } else { count == self.arity };
        if fits { Ok(()) } else { Err(CommandError::Arity(self.name)) }
    }
}

/// The command of this name, in large or small letters.
pub fn find(name: &[u8]) -> Option<&'static Spec> {
    TABLE.iter().find(|spec| spec.name.as_bytes().eq_ignore_ascii_case(name))
}

/// The hot ones first: a name is found by going through the table.
#[rustfmt::skip]
pub static TABLE: [Spec; 39] = [
    Spec { name: "get", arity: 2, flags: &["readonly", "fast"], keys: (1, 1, 1), categories: &["@read", "@string", "@fast"],
        summary: "Get the value of a key", since: "1.0.0", group: "string",
        parse: |a, _| data::one(a, KeyOp::Get) },
    Spec { name: "set", arity: -3, flags: &["write"], keys: (1, 1, 1), categories: &["@write", "@string", "@slow"],
        summary: "Set the string value of a key", since: "1.0.0", group: "string",
        parse: data::set },
    Spec { name: "ping", arity: -1, flags: &["fast"], keys: (0, 0, 0), categories: &["@fast", "@connection"],
        summary: "Ping the server", since: "1.0.0", group: "connection",
        parse: |a, _| connection::ping(a) },
    Spec { name: "echo", arity: 2, flags: &["loading", "stale", "fast"], keys: (0, 0, 0), categories: &["@fast", "@connection"],
        summary: "Echo the given string", since: "1.0.0", group: "connection",
        parse: |a, _| connection::echo(a) },
    Spec { name: "hello", arity: -1, flags: &["noscript", "loading", "stale", "fast", "allow_busy"], keys: (0, 0, 0), categories: &["@fast", "@connection"],
        summary: "Handshake with Redis", since: "6.0.0", group: "connection",
        parse: |a, _| connection::hello_command(a) },
    Spec { name: "command", arity: -1, flags: &["loading", "stale"], keys: (0, 0, 0), categories: &["@slow", "@connection"],
        summary: "Get array of Redis command details", since: "2.8.13", group: "server",
        parse: |a, _| about::command(a) },
    Spec { name: "client", arity: -2, flags: &[], keys: (0, 0, 0), categories: &["@slow"],
        summary: "A container for client connection commands", since: "2.4.0", group: "connection",
        parse: |a, _| connection::client(a) },
    Spec { name: "config", arity: -2, flags: &[], keys: (0, 0, 0), categories: &["@slow"],
        summary: "A container for server configuration commands", since: "2.0.0", group: "server",
        parse: |a, _| connection::config(a) },
    Spec { name: "info", arity: -1, flags: &["loading", "stale"], keys: (0, 0, 0), categories: &["@slow", "@dangerous"],
        summary: "Get information and statistics about the server", since: "1.0.0", group: "server",
        parse: |a, _| Ok(Command::Info(a)) },
    Spec { name: "select", arity: 2, flags: &["loading", "stale", "fast"], keys: (0, 0, 0), categories: &["@fast", "@connection"],
        summary: "Change the selected database for the current connection", since: "1.0.0", group: "connection",
        parse: |a, _| connection::select(a) },
    Spec { name: "quit", arity: -1, flags: &["noscript", "loading", "stale", "fast", "allow_busy"], keys: (0, 0, 0), categories: &["@fast", "@connection"],
        summary: "Close the connection", since: "1.0.0", group: "connection",
        parse: |_, _| Ok(Command::Quit) },
    Spec { name: "shutdown", arity: -1, flags: &["admin", "noscript", "loading", "stale", "no_multi", "allow_busy"], keys: (0, 0, 0), categories: &["@admin", "@slow", "@dangerous"],
        summary: "Synchronously save the dataset to disk and then shut down the server", since: "1.0.0", group: "server",
        parse: |a, _| connection::shutdown(a) },
    Spec { name: "getdel", arity: 2, flags: &["write", "fast"], keys: (1, 1, 1), categories: &["@write", "@string", "@fast"],
        summary: "Get the value of a key and delete the key", since: "6.2.0", group: "string",
        parse: |a, _| data::one(a, KeyOp::GetDel) },
    Spec { name: "del", arity: -2, flags: &["write"], keys: (1, -1, 1), categories: &["@keyspace", "@write", "@slow"],
        summary: "Delete a key", since: "1.0.0", group: "generic",
        parse: |a, _| data::each(a, KeyOp::Del, Gather::Sum) },
    Spec { name: "exists", arity: -2, flags: &["readonly", "fast"], keys: (1, -1, 1), categories: &["@keyspace", "@read", "@fast"],
        summary: "Determine if a key exists", since: "1.0.0", group: "generic",
        parse: |a, _| data::each(a, KeyOp::Exists, Gather::Sum) },
    Spec { name: "type", arity: 2, flags: &["readonly", "fast"], keys: (1, 1, 1), categories: &["@keyspace", "@read", "@fast"],
        summary: "Determine the type stored at key", since: "1.0.0", group: "generic",
        parse: |a, _| data::one(a, KeyOp::Type) },
    Spec { name: "strlen", arity: 2, flags: &["readonly", "fast"], keys: (1, 1, 1), categories: &["@read", "@string", "@fast"],
        summary: "Get the length of the value stored in a key", since: "2.2.0", group: "string",
        parse: |a, _| data::one(a, KeyOp::StrLen) },
    Spec { name: "append", arity: 3, flags: &["write", "fast"], keys: (1, 1, 1), categories: &["@write", "@string", "@fast"],
        summary: "Append a value to a key", since: "2.0.0", group: "string",
        parse: |a, _| data::append(a) },
    Spec { name: "incr", arity: 2, flags: &["write", "fast"], keys: (1, 1, 1), categories: &["@write", "@string", "@fast"],
        summary: "Increment the integer value of a key by one", since: "1.0.0", group: "string",
        parse: |a, _| data::one(a, KeyOp::Add(1)) },
    Spec { name: "incrby", arity: 3, flags: &["write", "fast"], keys: (1, 1, 1), categories: &["@write", "@string", "@fast"],
        summary: "Increment the integer value of a key by the given amount", since: "1.0.0", group: "string",
        parse: |a, _| data::increase_by(a) },
    Spec { name: "decr", arity: 2, flags: &["write", "fast"], keys: (1, 1, 1), categories: &["@write", "@string", "@fast"],
        summary: "Decrement the integer value of a key by one", since: "1.0.0", group: "string",
        parse: |a, _| data::one(a, KeyOp::Add(-1)) },
    Spec { name: "decrby", arity: 3, flags: &["write", "fast"], keys: (1, 1, 1), categories: &["@write", "@string", "@fast"],
        summary: "Decrement the integer value of a key by the given number", since: "1.0.0", group: "string",
        parse: |a, _| data::decrease_by(a) },
    Spec { name: "mget", arity: -2, flags: &["readonly", "fast"], keys: (1, -1, 1), categories: &["@read", "@string", "@fast"],
        summary: "Get the values of all the given keys", since: "1.0.0", group: "string",
        parse: |a, _| data::each(a, KeyOp::Get, Gather::List) },
    Spec { name: "mset", arity: -3, flags: &["write"], keys: (1, -1, 2), categories: &["@write", "@string", "@slow"],
        summary: "Set multiple keys to multiple values", since: "1.0.1", group: "string",
        parse: |a, _| data::set_each(a) },
    Spec { name: "expire", arity: -3, flags: &["write", "fast"], keys: (1, 1, 1), categories: &["@keyspace", "@write", "@fast"],
        summary: "Set a key's time to live in seconds", since: "1.0.0", group: "generic",
        parse: data::expire },
    Spec { name: "pexpire", arity: -3, flags: &["write", "fast"], keys: (1, 1, 1), categories: &["@keyspace", "@write", "@fast"],
        summary: "Set a key's time to live in milliseconds", since: "2.6.0", group: "generic",
        parse: data::expire_millis },
    Spec { name: "ttl", arity: 2, flags: &["readonly", "fast"], keys: (1, 1, 1), categories: &["@keyspace", "@read", "@fast"],
        summary: "Get the time to live for a key in seconds", since: "1.0.0", group: "generic",
        parse: |a, _| data::one(a, KeyOp::Ttl) },
    Spec { name: "pttl", arity: 2, flags: &["readonly", "fast"], keys: (1, 1, 1), categories: &["@keyspace", "@read", "@fast"],
        summary: "Get the time to live for a key in milliseconds", since: "2.6.0", group: "generic",
        parse: |a, _| data::one(a, KeyOp::PTtl) },
    Spec { name: "persist", arity: 2, flags: &["write", "fast"], keys: (1, 1, 1), categories: &["@keyspace", "@write", "@fast"],
        summary: "Remove the expiration from a key", since: "2.2.0", group: "generic",
        parse: |a, _| data::one(a, KeyOp::Persist) },
    Spec { name: "dbsize", arity: 1, flags: &["readonly", "fast"], keys: (0, 0, 0), categories: &["@keyspace", "@read", "@fast"],
        summary: "Return the number of keys in the selected database", since: "1.0.0", group: "server",
        parse: |_, _| Ok(Command::DbSize) },
    Spec { name: "keys", arity: 2, flags: &["readonly"], keys: (0, 0, 0), categories: &["@keyspace", "@read", "@slow", "@dangerous"],
        summary: "Find all keys matching the given pattern", since: "1.0.0", group: "generic",
        parse: |a, _| data::keys(a) },
    Spec { name: "scan", arity: -2, flags: &["readonly"], keys: (0, 0, 0), categories: &["@keyspace", "@read", "@slow"],
        summary: "Incrementally iterate the keys space", since: "2.8.0", group: "generic",
        parse: |a, _| data::scan(a) },
    Spec { name: "flushall", arity: -1, flags: &["write"], keys: (0, 0, 0), categories: &["@keyspace", "@write", "@slow", "@dangerous"],
        summary: "Remove all keys from all databases", since: "1.0.0", group: "server",
        parse: |a, _| data::flush_all(a) },
    Spec { name: "otp.tree", arity: 1, flags: &["readonly"], keys: (0, 0, 0), categories: &["@slow"],
        summary: "Return the supervision tree", since: "0.1.0", group: "otp",
        parse: |_, _| Ok(Command::Tree) },
    Spec { name: "otp.info", arity: 2, flags: &["readonly", "fast"], keys: (1, 1, 1), categories: &["@keyspace", "@read", "@fast"],
        summary: "Return the state of a key's process", since: "0.1.0", group: "otp",
        parse: |a, _| Ok(Command::Inspect(required(a, 0)?)) },
    Spec { name: "otp.crash", arity: 2, flags: &["write", "fast"], keys: (1, 1, 1), categories: &["@keyspace", "@write", "@fast"],
        summary: "Make a key's process crash", since: "0.1.0", group: "otp",
        parse: |a, _| Ok(Command::Crash(required(a, 0)?)) },
    Spec { name: "otp.hits", arity: 2, flags: &["readonly", "fast"], keys: (1, 1, 1), categories: &["@keyspace", "@read", "@fast"],
        summary: "Return how often a key was asked for", since: "0.1.0", group: "otp",
        parse: |a, _| Ok(Command::Hits(required(a, 0)?)) },
    Spec { name: "otp.versions", arity: 1, flags: &["readonly"], keys: (0, 0, 0), categories: &["@slow"],
        summary: "Return the versions of the code of keys", since: "0.1.0", group: "otp",
        parse: |_, _| Ok(Command::Versions) },
    Spec { name: "otp.upgrade", arity: -2, flags: &["admin"], keys: (0, 0, 0), categories: &["@admin", "@slow", "@dangerous"],
        summary: "Change the code of all keys while they run", since: "0.1.0", group: "otp",
        parse: |a, _| otp::upgrade(a) },
];
