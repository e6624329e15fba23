//! The modules together, and each alone. A case is a line: what goes in, what must come out.

mod command;
mod glob;
mod keys;
mod name;
mod needs_redis_server;
mod number;
mod pipeline;
mod resp;
mod support;
mod upgrades;
mod value;
