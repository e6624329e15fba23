//! The client of a shard: it asks until it has an answer, in such a way that nothing is carried out twice.

use alloc::collections::{BTreeMap, VecDeque};
use alloc::vec::Vec;
use core::time::Duration;

use crate::message::{Floor, Reply, Request, RequestId, SessionId};
use crate::record::Member;
use crate::rules::{Rule, Rules};

/// What a stub sends to the owner of its shard.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Asked<B> {
    /// A session is wanted.
    Open {
        /// Comes back in the reply.
        nonce: u64,
    },
    /// The session is to live on.
    Renew {
        /// Comes back in the reply.
        nonce: u64,
        /// Which.
        session: SessionId,
    },
    /// A request.
    Request(Request<B>),
}

/// Which call, for who made it.
pub type Ticket = u64;

/// What is to be done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum StubAction<B> {
    /// Send this to the owner; `None`: find out who that is, and tell [`Stub::handle_owner`].
    Send(Option<Member>, Asked<B>),
    /// The call is over.
    Done(Ticket, Outcome<B>),
    /// Call [`Stub::handle_tick`] after this time at the latest: who was asked does not know yet that it is the owner, or the
    /// one before does not know that it is not.
    Soon(Duration),
    /// The shard has come to another owner. Where its mode may lose something, a caller that has seen more than the new
    /// owner knows of must hear so.
    EpochChanged {
        /// The highest epoch that was seen before.
        from: u64,
        /// The one that is seen now.
        to: u64,
    },
}

/// Who was sent to somebody who is not the owner asks again after so long, the first time.
const SOON: Duration = Duration::from_millis(2);

/// What has come of a call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome<B> {
    /// It was carried out, once, and this is the answer.
    Answered(Option<B>),
    /// There was no answer in time: it may have been carried out or may still be, once.
    TimedOut,
    /// Its session is over: it may have been carried out, and will not be any more.
    Expired,
    /// It was not carried out: too many calls wait.
    Busy,
}

/// How a stub behaves.
#[derive(Clone, Copy, Debug)]
pub struct StubConfig {
    /// How many calls may wait.
    pub pending: usize,
    /// After how long without an answer it asks again; grows up to eight times that.
    pub again: Duration,
    /// How long a session lives that nothing is heard of, by the stub's own reckoning: less than by the owner's
    /// ([`Config::session`](crate::Config::session)), by as much as clocks may differ.
    pub session: Duration,
    pub(crate) rules: Rules,
}

impl Default for StubConfig {
    fn default() -> Self {
        StubConfig {
            pending: 10_000,
            again: Duration::from_millis(200),
            session: Duration::from_secs(240),
            rules: Rules::default(),
        }
    }
}

/// One client's view of one shard.
#[derive(Debug)]
pub struct Stub<B> {
    config: StubConfig,
    /// Told apart from the jitter of other stubs.
    salt: u64,
    owner: Option<Member>,
    epoch: u64,
    /// The highest epoch of which somebody has said who owns it.
    hinted: u64,
    session: Option<Session>,
    /// What was sent to have the session, or to keep it, and when.
    asked: Option<(u64, Duration)>,
    next_nonce: u64,
    calls: BTreeMap<u64, Call<B>>,
    /// Calls that wait for a session.
    waiting: VecDeque<(Ticket, B, Duration)>,
    next_seq: u64,
    actions: VecDeque<StubAction<B>>,
}

#[derive(Clone, Copy, Debug)]
struct Session {
    id: SessionId,
    /// Until when it is certain that no owner has forgotten it.
    until: Duration,
}

#[derive(Clone, Debug)]
struct Call<B> {
    ticket: Ticket,
    body: B,
    deadline: Duration,
    again: Duration,
    tries: u32,
}

impl<B: Clone> Stub<B> {
    /// A stub that knows nothing. `salt` tells the moments at which it tries again apart from those of others.
    pub fn new(config: StubConfig, salt: u64) -> Self {
        Stub {
            config,
            salt,
            owner: None,
            epoch: 0,
            hinted: 0,
            session: None,
            asked: None,
            next_nonce: 1,
            calls: BTreeMap::new(),
            waiting: VecDeque::new(),
            next_seq: 1,
            actions: VecDeque::new(),
        }
    }

    /// Whether a request of this session has no answer yet, as far as this stub will ever know.
    #[cfg(test)]
    pub(crate) fn waits(&self, id: RequestId, now: Duration) -> bool {
        let RequestId::Client { session, seq } = id else { return false };
        let lives = |mine: Session| mine.id == session && now < mine.until;
        self.session.is_some_and(lives) && self.calls.contains_key(&seq)
    }

    /// What is to be done next.
    pub fn poll(&mut self) -> Option<StubAction<B>> {
        self.actions.pop_front()
    }

    /// Whoever holds the ticket wants this done until the deadline.
    pub fn handle_call(&mut self, ticket: Ticket, body: B, deadline: Duration, now: Duration) {
        if self.calls.len() + self.waiting.len() >= self.config.pending {
            self.actions.push_back(StubAction::Done(ticket, Outcome::Busy));
            return;
        }
        self.forget_old_session(now);
        match self.session {
            Some(_) => self.begin(ticket, body, deadline, now),
            None => {
                self.waiting.push_back((ticket, body, deadline));
                self.ask_for_session(now);
            }
        }
    }

    fn begin(&mut self, ticket: Ticket, body: B, deadline: Duration, now: Duration) {
        let seq = self.next_seq;
        self.next_seq += 1;
        self.calls.insert(seq, Call { ticket, body, deadline, again: now, tries: 0 });
        self.ask(seq, now);
    }

    /// Sends a request, the first time or again, always as the same.
    fn ask(&mut self, seq: u64, now: Duration) {
        let Some(session) = self.session else { return };
        let first = self.calls.keys().next().copied().unwrap_or(seq);
        let Some(call) = self.calls.get_mut(&seq) else { return };
        call.tries += 1;
        call.again = now + backoff(self.config.again, call.tries, self.salt ^ seq);
        let id = RequestId::Client { session: session.id, seq };
        let request = Request { id, floor: Floor::Client(first), body: call.body.clone() };
        self.actions.push_back(StubAction::Send(self.owner, Asked::Request(request)));
    }

    fn ask_for_session(&mut self, now: Duration) {
        if self.asked.is_some() {
            return;
        }
        let nonce = self.next_nonce;
        self.next_nonce += 1;
        self.asked = Some((nonce, now));
        let asked = match self.session {
            Some(session) => Asked::Renew { nonce, session: session.id },
            None => Asked::Open { nonce },
        };
        self.actions.push_back(StubAction::Send(self.owner, asked));
    }

    /// R33: whether an owner may have forgotten it is reckoned from when it was last asked for, and a call is never sent
    /// again in another session.
    fn forget_old_session(&mut self, now: Duration) {
        if self.session.is_some_and(|session| now >= session.until) {
            self.end_session();
        }
    }

    fn end_session(&mut self) {
        self.session = None;
        self.asked = None;
        self.next_seq = 1;
        for call in core::mem::take(&mut self.calls).into_values() {
            if self.config.rules.obey(Rule::R33) {
                self.actions.push_back(StubAction::Done(call.ticket, Outcome::Expired));
            } else {
                self.waiting.push_back((call.ticket, call.body, call.deadline));
            }
        }
    }

    /// Who owns the shard, as the authority has it. Answers [`StubAction::Send`] to nobody.
    pub fn handle_owner(&mut self, owner: Member, epoch: u64, now: Duration) {
        if epoch >= self.epoch && self.owner != Some(owner) {
            self.owner = Some(owner);
            self.hinted = self.hinted.max(epoch);
            self.ask_all(now);
        }
    }

    /// Somebody who has not the shard says who has. That is a hint: it saves time when it is news, and nothing follows from
    /// what is not, as two may each send others to the other.
    fn hint(&mut self, owner: Option<(Member, u64)>, now: Duration) {
        match owner {
            Some((owner, epoch)) if epoch > self.hinted && epoch >= self.epoch => {
                self.handle_owner(owner, epoch, now)
            }
            _ => {
                self.owner = None;
                self.ask_soon(now);
            }
        }
    }

    /// Asks again in a moment, which is longer each time.
    fn ask_soon(&mut self, now: Duration) {
        let tries = self.calls.values().map(|call| call.tries).min().unwrap_or(1);
        let soon = backoff(SOON, tries, self.salt).min(self.config.again);
        for call in self.calls.values_mut() {
            call.again = call.again.min(now + soon);
        }
        if let Some((_, sent)) = &mut self.asked {
            *sent = (*sent).min((now + soon).saturating_sub(2 * self.config.again));
        }
        self.actions.push_back(StubAction::Soon(soon));
    }

    /// A member cannot be reached.
    pub fn handle_unreachable(&mut self, member: Member) {
        if self.owner == Some(member) {
            self.owner = None;
        }
    }

    fn ask_all(&mut self, now: Duration) {
        let calls: Vec<_> = self.calls.keys().copied().collect();
        for seq in calls {
            self.ask(seq, now);
        }
        if self.asked.take().is_some() {
            self.ask_for_session(now);
        }
    }

    /// What somebody who has or had the shard has replied.
    pub fn handle_reply(&mut self, epoch: u64, reply: Reply<B>, now: Duration) {
        if let Reply::NotOwner { owner } = reply {
            return self.hint(owner, now);
        }
        // What an older epoch says may be outdated, in a mode that loses something.
        if epoch < self.epoch {
            return;
        }
        if epoch > self.epoch {
            if self.epoch > 0 {
                self.actions.push_back(StubAction::EpochChanged { from: self.epoch, to: epoch });
            }
            self.epoch = epoch;
        }
        match reply {
            Reply::Opened { nonce, session } => self.opened(nonce, session, now),
            Reply::Renewed { nonce, lives } => self.renewed(nonce, lives, now),
            Reply::Answered { id, body } => self.done(id, Outcome::Answered(body)),
            Reply::Expired { id } => {
                self.done(id, Outcome::Expired);
                // It may be the session that is not known: what comes next is not to fare the same.
                if self.session.is_some() {
                    self.ask_for_session(now);
                }
            }
            // It is tried again when its time comes.
            Reply::Upgrading { .. } | Reply::Busy { .. } | Reply::NotOwner { .. } => {}
        }
    }

    fn opened(&mut self, nonce: u64, id: SessionId, now: Duration) {
        let Some((_, sent)) = self.asked.filter(|(asked, _)| *asked == nonce) else { return };
        self.asked = None;
        self.session = Some(Session { id, until: sent + self.config.session });
        for (ticket, body, deadline) in core::mem::take(&mut self.waiting) {
            self.begin(ticket, body, deadline, now);
        }
    }

    fn renewed(&mut self, nonce: u64, lives: bool, now: Duration) {
        let Some((_, sent)) = self.asked.filter(|(asked, _)| *asked == nonce) else { return };
        self.asked = None;
        match &mut self.session {
            Some(session) if lives => session.until = sent + self.config.session,
            _ => self.end_session(),
        }
        if !self.waiting.is_empty() {
            self.ask_for_session(now);
        }
    }

    fn done(&mut self, id: RequestId, outcome: Outcome<B>) {
        let RequestId::Client { session, seq } = id else { return };
        if self.session.is_none_or(|mine| mine.id != session) {
            return;
        }
        if let Some(call) = self.calls.remove(&seq) {
            self.actions.push_back(StubAction::Done(call.ticket, outcome));
        }
    }

    /// Time has passed.
    pub fn handle_tick(&mut self, now: Duration) {
        self.forget_old_session(now);
        let over: Vec<_> =
            self.calls.iter().filter(|(_, call)| now >= call.deadline).map(|(seq, _)| *seq).collect();
        for call in over.into_iter().filter_map(|seq| self.calls.remove(&seq)) {
            self.actions.push_back(StubAction::Done(call.ticket, Outcome::TimedOut));
        }
        let mut waiting = core::mem::take(&mut self.waiting);
        waiting.retain(|(ticket, _, deadline)| {
            let over = now >= *deadline;
            if over {
                self.actions.push_back(StubAction::Done(*ticket, Outcome::TimedOut));
            }
            !over
        });
        self.waiting = waiting;
        let due: Vec<_> =
            self.calls.iter().filter(|(_, call)| now >= call.again).map(|(seq, _)| *seq).collect();
        if !due.is_empty() {
            // Who does not answer may not be the owner any more.
            self.owner = None;
        }
        for seq in due {
            self.ask(seq, now);
        }
        if self.asked.is_some_and(|(_, sent)| now >= sent + 2 * self.config.again) {
            self.asked = None;
            self.owner = None;
        }
        let renews = self.session.is_some_and(|session| now + self.config.session / 2 >= session.until);
        if renews || self.session.is_none() && !self.waiting.is_empty() {
            self.ask_for_session(now);
        }
    }
}

/// When to ask again: twice as long each time up to eight times, and up to half of that more.
fn backoff(first: Duration, tries: u32, salt: u64) -> Duration {
    let longest = first * (1 << tries.saturating_sub(1).min(3));
    // A few bits of a hash (splitmix64) for stubs that would otherwise all come back at once.
    let mut bits = salt.wrapping_add(u64::from(tries)).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    bits = (bits ^ (bits >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    longest + longest * u32::try_from(bits >> 33 & 0xff).unwrap_or(0) / 512
}
