//! What is told of a shard that has come to another owner.

use std::fmt;
use std::sync::OnceLock;

use incarnate_shards::ShardId;
use tokio::sync::watch;

/// The epoch of a key's shard, as its node knows it: it grows each time the shard comes to another owner, by a move as well as
/// by a takeover ([`Key::epochs`](super::Key::epochs)).
#[derive(Clone)]
pub struct Epochs(watch::Receiver<u64>);

impl Epochs {
    /// What it is now; 0: the shard was never served, as far as is known here.
    pub fn current(&self) -> u64 {
        *self.0.borrow()
    }

    /// What it is by now is no news.
    pub(super) fn look(&mut self) {
        self.0.mark_unchanged();
    }

    /// Waits until it is another one than when this was called last, or since the beginning; `None`: the node's shards are gone.
    ///
    /// # Cancel safety
    /// Nothing is missed if it is dropped: the next call answers at once.
    pub async fn changed(&mut self) -> Option<u64> {
        self.0.changed().await.ok()?;
        Some(*self.0.borrow_and_update())
    }
}

impl fmt::Debug for Epochs {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Epochs({})", self.current())
    }
}

/// Who is to be told of which shard.
pub(super) struct Told(Box<[OnceLock<watch::Sender<u64>>]>);

impl Told {
    pub(super) fn of(shards: u32) -> Self {
        Told((0..shards).map(|_| OnceLock::new()).collect())
    }

    /// `None`: there is no such shard.
    pub(super) fn watch(&self, shard: ShardId) -> Option<Epochs> {
        let sender = self.0.get(shard.0 as usize)?.get_or_init(|| watch::Sender::new(0));
        Some(Epochs(sender.subscribe()))
    }

    /// An epoch of the shard was heard of.
    pub(super) fn tell(&self, shard: ShardId, epoch: u64) {
        if let Some(sender) = self.0.get(shard.0 as usize).and_then(OnceLock::get) {
            sender.send_if_modified(|known| std::mem::replace(known, epoch.max(*known)) < epoch);
        }
    }
}
