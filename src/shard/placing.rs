//! Who is to have what, as a manager advises the shards of its node.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use incarnate_shards::{Member, Mode, Ring, Seat, ShardId};

use super::drain::Draining;
use super::hosted::{Event as ShardEvent, Host, Hosted};
use super::manager::Manager;

/// So long may it take until a shard of pinned processes is at home.
const GOES_HOME: Duration = Duration::from_secs(30);

impl Manager {
    /// Who is up, as far as is known. Who has left has nothing and is given nothing, though its lease may last a while.
    pub(super) fn ring(&self) -> Ring {
        let me = self.shared().me();
        let up = self.members.iter().filter(|(member, (_, about))| !about.leaves || **member == me);
        up.map(|(member, (_, about))| Seat {
            member: *member,
            reads: about.reads,
            draining: about.leaves || self.token == Some(*member) || self.is_marked(*member),
        })
        .collect()
    }

    /// Who is to have copies of what this member owns: rather one that can be reached, since the lease of one that is gone
    /// lasts a while.
    fn standby(&self, ring: &Ring, wire: u32) -> Option<Member> {
        let me = self.shared().me();
        let reached = ring.seats().filter(|seat| !self.suspected.contains(&seat.member));
        reached.copied().collect::<Ring>().standby(me, wire).or_else(|| ring.standby(me, wire))
    }

    /// Whether a member drains, as is known from itself.
    fn is_marked(&self, member: Member) -> bool {
        match member == self.shared().me() {
            true => self.drain.as_ref().is_some_and(Draining::is_marked),
            false => self.marks.has(member),
        }
    }

    /// Tells each shard what it is to have here, now that somebody has come or gone.
    pub(super) fn place(&self) {
        if !self.setup.serves || self.until.is_none() {
            return;
        }
        let ring = self.ring();
        let pins = self.members.keys().flat_map(|member| self.shared().pins(*member));
        let pinned =
            self.records.keys().filter(|shard| self.shared().is_home(**shard, self.shared().me()).is_some());
        let shards: BTreeSet<_> = self.shared().shards().chain(pins).chain(pinned.copied()).collect();
        for shard in shards {
            let hosted =
                self.shared().all_hosted().find(|(other, _)| *other == shard).map(|(_, hosted)| hosted);
            self.place_in(&ring, shard, hosted);
        }
    }

    pub(super) fn place_one(&self, shard: ShardId, hosted: Option<&Arc<Hosted>>) {
        if self.setup.serves && self.until.is_some() {
            self.place_in(&self.ring(), shard, hosted);
        }
    }

    fn place_in(&self, ring: &Ring, shard: ShardId, hosted: Option<&Arc<Hosted>>) {
        let me = self.shared().me();
        match self.records.get(&shard) {
            None if self.is_first(ring, shard) && ring.seats().count() >= self.setup.members => {
                // Who drains creates nothing.
                let wire = self.releases.wire(ring).filter(|_| self.drain.is_none());
                if let (Some(wire), Some(hosted)) = (wire, self.hosted(shard)) {
                    self.introduce(&hosted);
                    hosted.handle(ShardEvent::Claim(wire));
                }
            }
            Some(record) => {
                if let Some(hosted) = hosted {
                    self.introduce(hosted);
                    // What keeps nothing begins anew where it would begin.
                    let over = self.over.contains(&(record.owner, record.lease));
                    if over && self.shared().mode_of(shard) == Some(Mode::Local) && self.is_first(ring, shard)
                    {
                        hosted.handle(ShardEvent::Claim(record.wire));
                    }
                    hosted.handle(ShardEvent::Standby(self.standby(ring, record.wire)));
                    if record.owner == me
                        && !self.moves.contains_key(&shard)
                        && let Some(home) =
                            self.home(ring, shard).filter(|home| ring.takes(*home, record.wire))
                    {
                        hosted.handle(ShardEvent::Move(home, GOES_HOME));
                    }
                }
            }
            None => {}
        }
    }

    /// Whether this member is to create a shard.
    fn is_first(&self, ring: &Ring, shard: ShardId) -> bool {
        let me = self.shared().me();
        match self.shared().is_home(shard, me) {
            None => ring.first_owner(shard) == Some(me),
            Some(is_home) => is_home,
        }
    }

    /// Who is to have a shard for processes that are pinned, if that is another member and it is up.
    fn home(&self, ring: &Ring, shard: ShardId) -> Option<Member> {
        let me = self.shared().me();
        let home = |member: &Member| self.shared().is_home(shard, *member) == Some(true);
        let away = self.shared().is_home(shard, me) == Some(false);
        ring.seats()
            .map(|seat| seat.member)
            .filter(home)
            .find(|member| away && self.shared().is_connected(*member))
    }

    /// Tells a shard what others were told before it was here.
    fn introduce(&self, hosted: &Arc<Hosted>) {
        if hosted.look(Host::is_introduced) {
            return;
        }
        if let Some((lease, until)) = self.until {
            let until = until.saturating_duration_since(self.shared().origin());
            hosted.handle(ShardEvent::Lease(lease, until));
        }
        for member in &self.suspected {
            hosted.handle(ShardEvent::Suspected(*member, true));
        }
        for (member, lease) in &self.over {
            hosted.handle(ShardEvent::Over(*member, *lease));
        }
        hosted.handle(ShardEvent::Introduced);
    }
}
