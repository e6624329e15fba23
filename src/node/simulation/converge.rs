//! When all faults are over, each is connected with each, by one session that both know.

use std::time::Duration;

use super::Invariant;
use super::world::{NODES, Seen, World};

#[derive(Default)]
pub(super) struct Converge;

impl Invariant for Converge {
    fn see(&mut self, _: Duration, _: &Seen) -> Result<(), String> {
        Ok(())
    }

    fn end(&mut self, world: &World) -> Result<(), String> {
        for a in 0..NODES {
            for b in (0..NODES).filter(|b| *b != a) {
                let (here, there) = (world.up(a).get(&b).copied(), world.up(b).get(&a).copied());
                if here.is_none() || here != there {
                    return Err(format!("{a} has {here:x?} with {b}, which has {there:x?}"));
                }
            }
        }
        Ok(())
    }
}
