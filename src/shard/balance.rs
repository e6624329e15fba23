//! Balance: what each member's shards cost is measured, and the first member of the ring has them moved.

use std::collections::BTreeMap;
use std::time::Duration;

use incarnate_shards::{Balance, Load, Member, NotMoved, Relocation, ShardId};
use serde::{Deserialize, Serialize};
use tokio::time::Instant;

use super::manager::{Call, Event, Manager, ask};
use crate::process::Node;

/// After somebody has joined or left, it is planned so soon.
const SOON: Duration = Duration::from_millis(500);

/// So long is waited for what members have measured.
const ANSWERS: Duration = Duration::from_secs(2);

/// A move that was not begun after so long is given up.
const LIMIT: Duration = Duration::from_secs(30);

/// Of a move that is done the record comes at the latest after so long.
const RECORDED: Duration = Duration::from_secs(5);

/// What was measured last counts so much of what is said: one part of these.
const PARTS: f64 = 4.0;

/// What a member has measured of a shard that it serves.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub(super) struct Measured {
    shard: ShardId,
    /// Messages per second; `None`: it has not been here for long enough.
    messages: Option<u64>,
    bytes: u64,
}

struct Meter {
    at: Instant,
    handled: u64,
    rate: Option<f64>,
    bytes: u64,
}

pub(super) struct Balancer {
    every: Duration,
    plan: Balance,
    meters: BTreeMap<ShardId, Meter>,
    measured: Instant,
    next: Instant,
    asking: bool,
    /// What was said last of each shard.
    loads: BTreeMap<ShardId, Load>,
    /// Moves that were ordered, and since when they are done, if they are.
    under_way: BTreeMap<ShardId, (Member, Option<Instant>)>,
}

impl Balancer {
    pub(super) fn new(every: Duration) -> Self {
        let now = Instant::now();
        Balancer {
            every,
            plan: Balance::default(),
            meters: BTreeMap::new(),
            measured: now,
            next: now + every,
            asking: false,
            loads: BTreeMap::new(),
            under_way: BTreeMap::new(),
        }
    }

    /// Somebody has joined or left.
    pub(super) fn soon(&mut self) {
        self.next = self.next.min(Instant::now() + SOON);
    }

    pub(super) fn said(&self) -> Vec<Measured> {
        let of = |(shard, meter): (&ShardId, &Meter)| Measured {
            shard: *shard,
            messages: meter.rate.map(|rate| rate as u64),
            bytes: meter.bytes,
        };
        self.meters.iter().map(of).collect()
    }
}

impl Manager {
    /// Measures what is served here, and asks the others for theirs if this member plans.
    pub(super) fn tick_balance(&mut self, node: &Node) {
        let now = Instant::now();
        if self.balancer.every.is_zero() || !self.setup.serves {
            return;
        }
        if now >= self.balancer.measured + self.balancer.every {
            self.measure(now);
        }
        let ring = self.ring();
        let first = ring.seats().find(|seat| !seat.draining).map(|seat| seat.member);
        if now < self.balancer.next || self.balancer.asking || first != Some(self.shared().me()) {
            return;
        }
        self.balancer.next = now + self.balancer.every;
        self.balancer.asking = true;
        let members: Vec<_> = ring.seats().filter(|seat| !seat.draining).map(|seat| seat.member).collect();
        let manager = self.manager.clone();
        let asking = node.clone();
        node.runtime().spawn(async move {
            let asked =
                members.iter().map(|member| tokio::spawn(ask(asking.clone(), *member, Call::Loads, ANSWERS)));
            let asked: Vec<_> = asked.collect();
            let mut all = Some(Vec::new());
            for answer in asked {
                // Who has not said what it has would seem to have nothing.
                match (&mut all, answer.await) {
                    (Some(all), Ok(Ok(measured))) => all.extend(measured),
                    _ => all = None,
                }
            }
            manager.send(Event::Loads(all));
        });
    }

    fn measure(&mut self, now: Instant) {
        self.balancer.measured = now;
        let mut meters = std::mem::take(&mut self.balancer.meters);
        let shared = self.shared().clone();
        for (shard, hosted) in shared.all_hosted() {
            let look = hosted.look(super::hosted::Host::look);
            if look.serves.is_none() {
                continue;
            }
            let (handled, bytes) = (look.handled, look.bytes);
            let meter = match meters.remove(&shard) {
                None => Meter { at: now, handled, rate: None, bytes },
                Some(before) => {
                    let took = now.duration_since(before.at).as_secs_f64().max(0.001);
                    let rate = handled.saturating_sub(before.handled) as f64 / took;
                    let rate = before.rate.map_or(rate, |before| before + (rate - before) / PARTS);
                    Meter { at: now, handled, rate: Some(rate), bytes }
                }
            };
            self.balancer.meters.insert(shard, meter);
        }
    }

    /// What all have measured; `None`: not all have said.
    pub(super) fn plan_moves(&mut self, measured: Option<Vec<Measured>>, node: &Node) {
        let now = Instant::now();
        self.balancer.asking = false;
        let Some(measured) = measured else { return };
        let known = std::mem::take(&mut self.balancer.loads);
        for Measured { shard, messages, bytes } in measured {
            // What has just come to another owner costs what it did before.
            let before = known.get(&shard).copied().unwrap_or_default();
            let messages = messages.unwrap_or(before.messages);
            self.balancer.loads.insert(shard, Load { messages, bytes });
        }
        let records = &self.records;
        self.balancer.under_way.retain(|shard, (to, done)| {
            let arrived = records.get(shard).is_some_and(|record| record.owner == *to);
            done.is_none_or(|done| !arrived && now < done + RECORDED)
        });
        let targets = self.balancer.under_way.iter().map(|(shard, (to, _))| (*shard, *to)).collect();
        // Those of pinned processes have their places.
        let free = |shard: &ShardId| self.shared().is_home(*shard, self.shared().me()).is_none();
        let records = records.iter().filter(|(shard, _)| free(shard));
        let records = records.map(|(shard, record)| (*shard, record.clone())).collect();
        let moves = self.balancer.plan.plan(&self.ring(), &records, &self.balancer.loads, &targets);
        for Relocation { shard, from, to } in moves {
            tracing::info!(target: "incarnate::shard", %shard, %from, %to, "shard moves to balance");
            self.balancer.under_way.insert(shard, (to, None));
            self.order_move(node, shard, from, to, Event::Balanced);
        }
    }

    /// A move that was ordered is over.
    pub(super) fn balanced(&mut self, shard: ShardId, moved: Result<(), NotMoved>) {
        match (moved, self.balancer.under_way.get_mut(&shard)) {
            (Ok(()), Some((_, done))) => *done = Some(Instant::now()),
            (Err(_), _) => _ = self.balancer.under_way.remove(&shard),
            (Ok(()), None) => {}
        }
        if self.balancer.under_way.values().all(|(_, done)| done.is_some()) {
            self.balancer.soon();
        }
    }

    /// Has a shard moved by its owner; what comes of it is told to this process. No answer counts as not moved.
    pub(super) fn order_move(
        &self,
        node: &Node,
        shard: ShardId,
        from: Member,
        to: Member,
        then: fn(ShardId, Result<(), NotMoved>) -> Event,
    ) {
        let (manager, asking) = (self.manager.clone(), node.clone());
        node.runtime().spawn(async move {
            let request = move |caller| Call::Move(shard, to, LIMIT, caller);
            let moved = ask(asking, from, request, LIMIT + Duration::from_secs(5)).await;
            manager.send(then(shard, moved.unwrap_or(Err(NotMoved::NotOwner))));
        });
    }
}
