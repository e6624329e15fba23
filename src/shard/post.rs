//! What a node has to say to others about shards, gathered for a moment and carried together.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use incarnate_shards::{Member, ShardId};
use rustc_hash::FxHashMap;

use super::hosted::Event;
use super::packet::{Letter, Packet};
use super::shared::Shared;

/// What a shard has to say that nobody waits for, it says after so long.
const LATE: Duration = Duration::from_millis(3);

/// So many messages go together at most.
const TOGETHER: usize = 256;

/// When a shard says what it has to say.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum When {
    /// As soon as whoever is ready to run has said what it has to say, too.
    Soon,
    /// Later: nobody waits for it.
    Late,
}

#[derive(Default)]
pub(super) struct Post(Mutex<Waiting>);

#[derive(Default)]
struct Waiting {
    bags: FxHashMap<Member, Vec<(ShardId, Packet)>>,
    /// Shards that have something to say, and whether a task comes for it and for the bags.
    soon: Vec<ShardId>,
    comes: bool,
    /// The same, later.
    late: Vec<ShardId>,
    comes_late: bool,
}

impl Post {
    fn waiting(&self) -> MutexGuard<'_, Waiting> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Something is to be said to a member, in order.
    pub(super) fn say(&self, of: &Arc<Shared>, to: Member, shard: ShardId, packet: Packet) {
        let mut waiting = self.waiting();
        waiting.bags.entry(to).or_default().push((shard, packet));
        self.come(of, waiting);
    }

    /// A shard has something to say of all that comes to it until then.
    pub(super) fn come_for(&self, of: &Arc<Shared>, shard: ShardId, when: When) {
        let mut waiting = self.waiting();
        match when {
            When::Soon => {
                waiting.soon.push(shard);
                self.come(of, waiting);
            }
            When::Late => {
                waiting.late.push(shard);
                self.come_late(of, waiting);
            }
        }
    }

    fn come(&self, of: &Arc<Shared>, mut waiting: MutexGuard<'_, Waiting>) {
        if std::mem::replace(&mut waiting.comes, true) {
            return;
        }
        drop(waiting);
        let (Some(node), shared) = (of.node(), of.clone()) else { return };
        node.runtime().spawn(async move {
            tokio::task::yield_now().await;
            shared.post().carry(&shared);
        });
    }

    fn come_late(&self, of: &Arc<Shared>, mut waiting: MutexGuard<'_, Waiting>) {
        if std::mem::replace(&mut waiting.comes_late, true) {
            return;
        }
        drop(waiting);
        let (Some(node), shared) = (of.node(), of.clone()) else { return };
        node.runtime().spawn(async move {
            tokio::time::sleep(LATE).await;
            let mut waiting = shared.post().waiting();
            waiting.comes_late = false;
            let late = std::mem::take(&mut waiting.late);
            waiting.soon.extend(late);
            drop(waiting);
            shared.post().carry(&shared);
        });
    }

    fn carry(&self, of: &Arc<Shared>) {
        let soon = std::mem::take(&mut self.waiting().soon);
        for hosted in soon.into_iter().filter_map(|shard| of.hosted(shard)) {
            hosted.handle(Event::Soon);
        }
        let mut waiting = self.waiting();
        waiting.comes = false;
        let bags = std::mem::take(&mut waiting.bags);
        if !waiting.soon.is_empty() {
            // They came while others were asked.
            self.come(of, waiting);
        } else {
            drop(waiting);
        }
        for (to, mut packets) in bags {
            while !packets.is_empty() {
                let rest = packets.split_off(packets.len().min(TOGETHER));
                of.deliver(to, &Letter { from: of.me(), packets: std::mem::replace(&mut packets, rest) });
            }
        }
    }
}
