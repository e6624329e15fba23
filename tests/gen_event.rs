//! gen_event as OTP's own suite sees it: each test carries the id of its row or rule.

#[path = "gen_event/calls.rs"]
mod calls;
#[path = "support/desk.rs"]
mod desk;
#[path = "gen_event/events.rs"]
mod events;
#[path = "gen_event/handlers.rs"]
mod handlers;
#[path = "gen_event/owners.rs"]
mod owners;
#[path = "support/random.rs"]
mod random;
#[path = "support/reports.rs"]
mod reports;
#[path = "gen_event/system.rs"]
mod system;
