//! gen_statem as OTP's own suites see it: each test carries the id of its row or rule.

#[path = "gen_statem/calls.rs"]
mod calls;
#[path = "gen_statem/golden.rs"]
mod golden;
#[path = "support/statem_player.rs"]
mod player;
#[path = "support/reports.rs"]
mod reports;
#[path = "support/rig.rs"]
mod rig;
#[path = "support/scene.rs"]
mod scene;
#[path = "gen_statem/start.rs"]
mod start;
#[path = "gen_statem/stop.rs"]
mod stop;
#[path = "gen_statem/system.rs"]
mod system;
#[path = "gen_statem/versions.rs"]
mod versions;
