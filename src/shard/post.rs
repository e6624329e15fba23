//! What a node has to say to others about shards, gathered for a moment and carried together.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use incarnate_shards::{Member, ShardId};
use rustc_hash::FxHashMap;

use super::hosted::Event;
use super::packet::{Letter, Packet};
use super::shared::Shared;

/// What nobody waits for is carried after so long.
const LATE: Duration = Duration::from_millis(8);

/// So many messages go together at most.
const TOGETHER: usize = 256;

/// When something is to be carried.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum When {
    #[default]
    Never,
    /// Nobody waits for it.
    Late,
    /// As soon as whoever is ready to run has said what it has to say, too.
    Soon,
}

#[derive(Default)]
pub(super) struct Post(Mutex<Waiting>);

#[derive(Default)]
struct Waiting {
    bags: FxHashMap<Member, Vec<(ShardId, Packet)>>,
    /// Shards that have something to say in a moment.
    soon: Vec<ShardId>,
    /// When the next task comes for it.
    due: When,
}

impl Post {
    fn waiting(&self) -> MutexGuard<'_, Waiting> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Something is to be said to a member, in order.
    pub(super) fn say(&self, of: &Arc<Shared>, to: Member, shard: ShardId, packet: Packet, when: When) {
        let mut waiting = self.waiting();
        waiting.bags.entry(to).or_default().push((shard, packet));
        self.come(of, waiting, when);
    }

    /// A shard has something to say of all that comes to it until then.
    pub(super) fn come_soon(&self, of: &Arc<Shared>, shard: ShardId, when: When) {
        let mut waiting = self.waiting();
        waiting.soon.push(shard);
        self.come(of, waiting, when);
    }

    fn come(&self, of: &Arc<Shared>, mut waiting: MutexGuard<'_, Waiting>, when: When) {
        if waiting.due >= when {
            return;
        }
        waiting.due = when;
        drop(waiting);
        let (Some(node), shared) = (of.node(), of.clone()) else { return };
        node.runtime().spawn(async move {
            match when {
                When::Late => tokio::time::sleep(LATE).await,
                When::Soon | When::Never => tokio::task::yield_now().await,
            }
            shared.post().carry(&shared);
        });
    }

    fn carry(&self, of: &Arc<Shared>) {
        let soon = std::mem::take(&mut self.waiting().soon);
        for hosted in soon.into_iter().filter_map(|shard| of.hosted(shard)) {
            hosted.handle(Event::Soon);
        }
        let mut waiting = self.waiting();
        waiting.due = When::Never;
        let bags = std::mem::take(&mut waiting.bags);
        if !waiting.soon.is_empty() {
            // They came while others were asked.
            self.come(of, waiting, When::Soon);
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
