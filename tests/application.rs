//! Applications as OTP's own suite sees them: each test carries the id of its row or rule.

#[path = "support/child.rs"]
mod child;
#[path = "application/config.rs"]
mod config;
#[path = "application/inside.rs"]
mod inside;
#[path = "support/lab_app.rs"]
mod lab_app;
#[path = "application/programs.rs"]
mod programs;
#[path = "support/settings.rs"]
mod settings;
#[path = "application/starts.rs"]
mod starts;
#[path = "application/stops.rs"]
mod stops;
