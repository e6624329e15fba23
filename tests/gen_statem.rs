//! gen_statem as OTP's own suites see it: each test carries the id of its row or rule.

#[path = "gen_statem/golden.rs"]
mod golden;
#[path = "gen_statem/player.rs"]
mod player;
