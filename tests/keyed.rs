//! Keyed processes: calls, casts, timers, answers that come later, moves, takeovers.

#[path = "keyed/balance.rs"]
mod balance;
#[path = "keyed/calls.rs"]
mod calls;
#[path = "support/child.rs"]
mod child;
#[path = "keyed/drain.rs"]
mod drain;
#[path = "keyed/faults.rs"]
mod faults;
#[path = "keyed/life.rs"]
mod life;
#[path = "support/pair.rs"]
mod pair;
#[path = "support/probe.rs"]
mod probe;
#[path = "keyed/programs.rs"]
mod programs;
#[path = "support/random.rs"]
mod random;
#[path = "keyed/resumed.rs"]
mod resumed;
#[path = "keyed/rolling.rs"]
mod rolling;
#[path = "support/shards.rs"]
mod shards;
#[path = "support/wait.rs"]
mod wait;
