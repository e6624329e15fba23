//! A node as the client of a shard: one session, whose calls are asked until they are answered.

use std::sync::Arc;
use std::time::Duration;

use incarnate_shards::{Outcome, Reply, ShardId, Stub, StubAction, StubConfig, Ticket};

use super::address::{Body, Said};
use super::combine::{Combined, Machine};
use super::error::KeyedError;
use super::shared::{Known, Shared};
use crate::process::{SlotId, fill, start_timer};

/// A node as the client of a shard.
pub(super) type Client = Combined<Asking>;

/// What comes to a client.
pub(super) enum Event {
    /// Whoever waits in this slot wants this done by then.
    Call(SlotId, Body, Duration),
    /// An answer that a process here has given to a request of the shard's, from outside its callbacks.
    Answer(Body),
    Reply(u64, Reply<Body>),
    /// Who owns the shard has changed.
    Look,
    /// The connection to a member is gone.
    Unreachable(incarnate_shards::Member),
    Tick,
}

/// What a waiter gets.
pub(super) type Answered = Result<Said, KeyedError>;

/// An answer from outside is asked for so long.
const PATIENCE: Duration = Duration::from_secs(60);

/// A ticket that nobody waits for.
const NOBODY: Ticket = 0;

pub(super) struct Asking {
    shared: Arc<Shared>,
    shard: ShardId,
    stub: Stub<Body>,
    /// Calls that are under way.
    pub(super) open: usize,
}

impl Asking {
    pub(super) fn new(shared: Arc<Shared>, shard: ShardId) -> Self {
        let me = shared.me();
        let salt = u64::from(me.node) << 32 | u64::from(shard.0);
        Asking { shared, shard, stub: Stub::new(StubConfig::default(), salt), open: 0 }
    }

    fn act(&mut self, action: StubAction<Body>, now: Duration) {
        match action {
            StubAction::Send(Some(owner), asked) => self.shared.ask(owner, self.shard, asked),
            StubAction::Send(None, _) => self.look(now),
            StubAction::Done(ticket, outcome) => {
                self.open = self.open.saturating_sub(1);
                if ticket != NOBODY {
                    fill::<Answered>(SlotId::from_number(ticket), answered(outcome));
                }
            }
            StubAction::Soon(after) => self.tick_after(after),
            // Before the answer that shows it.
            StubAction::EpochChanged { to, .. } => self.shared.tell(self.shard, to),
        }
    }

    fn tick_after(&self, after: Duration) {
        if let (Some(node), Some(client)) = (self.shared.node(), self.shared.client(self.shard)) {
            start_timer(&node, after, |_| Box::new(move || client.handle(Event::Tick)));
        }
    }

    /// Who owns it, as far as is known.
    fn look(&mut self, now: Duration) {
        if let Known::Owner(owner, epoch) = self.shared.known(self.shard) {
            self.stub.handle_owner(owner, epoch, now);
        }
    }
}

impl Machine for Asking {
    type Event = Event;

    fn handle(&mut self, event: Event) {
        let now = self.shared.now();
        match event {
            Event::Call(slot, body, deadline) => {
                if self.shared.known(self.shard) == Known::Lost {
                    fill::<Answered>(slot, Err(KeyedError::Lost));
                    return;
                }
                self.open += 1;
                self.stub.handle_call(slot.number(), body, deadline, now);
            }
            Event::Answer(body) => {
                self.open += 1;
                self.stub.handle_call(NOBODY, body, now + PATIENCE, now);
            }
            Event::Reply(epoch, reply) => self.stub.handle_reply(epoch, reply, now),
            Event::Look => self.look(now),
            Event::Unreachable(member) => self.stub.handle_unreachable(member),
            Event::Tick => self.stub.handle_tick(now),
        }
        while let Some(action) = self.stub.poll() {
            self.act(action, now);
        }
    }
}

fn answered(outcome: Outcome<Body>) -> Answered {
    match outcome {
        Outcome::Answered(Some(Body::Said(said))) => Ok(said),
        Outcome::Answered(_) => Err(KeyedError::BadReply),
        Outcome::TimedOut => Err(KeyedError::Timeout),
        Outcome::Expired => Err(KeyedError::Expired),
        Outcome::Busy => Err(KeyedError::Overloaded),
    }
}
