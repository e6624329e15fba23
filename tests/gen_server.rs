//! gen_server as OTP's own suites see it: each test carries the id of its row or rule.

#![expect(clippy::type_complexity, reason = "tables of cases")]

#[path = "gen_server/attached.rs"]
mod attached;
#[path = "gen_server/begin.rs"]
mod begin;
#[path = "gen_server/calls.rs"]
mod calls;
#[path = "gen_server/clocks.rs"]
mod clocks;
#[path = "gen_server/continues.rs"]
mod continues;
#[path = "gen_server/debug.rs"]
mod debug;
#[path = "gen_server/hibernate.rs"]
mod hibernate;
#[path = "support/lab.rs"]
mod lab;
#[path = "gen_server/outside.rs"]
mod outside;
#[path = "gen_server/reporting.rs"]
mod reporting;
#[path = "support/reports.rs"]
mod reports;
#[path = "gen_server/requests.rs"]
mod requests;
#[path = "support/scene.rs"]
mod scene;
#[path = "gen_server/source.rs"]
mod source;
#[path = "gen_server/start.rs"]
mod start;
#[path = "gen_server/stop.rs"]
mod stop;
#[path = "gen_server/system.rs"]
mod system;
#[path = "gen_server/terminate.rs"]
mod terminate;
#[path = "gen_server/timeouts.rs"]
mod timeouts;
