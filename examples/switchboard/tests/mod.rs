//! The modules together, and each alone. A case is a line: what goes in, what must come out.

mod command;
mod differential;
mod glob;
mod keys;
mod name;
mod number;
mod resp;
mod support;
mod upgrades;
mod value;
