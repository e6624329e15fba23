use alloc::collections::VecDeque;
use alloc::vec;
use alloc::vec::Vec;
use core::time::Duration;

use crate::copy::{Contents, Lossy, Unreadable};
use crate::message::{Floor, Position, Reply, Request, RequestId, SessionId, Streamed, ToOwner, ToStandby};
use crate::proposals::Swapped;
use crate::record::{LeaseId, Record, ShardId};
use crate::replica::{Action, Alone, Answer, Config, Mode, Ran, Replica};
use crate::seeded::member;

/// A shard that counts.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Count(u64);

impl Contents for Count {
    type Change = u64;
    type Delta = u64;
    type Whole = u64;
    type Body = u64;
    type Key = ();

    fn scope(_: &u64) -> Option<(&(), bool)> {
        None
    }

    fn encode(&self, change: &u64, _: u32) -> Result<u64, Lossy> {
        Ok(*change)
    }

    fn apply(&mut self, delta: &u64, _: u32) -> Result<(), Unreadable> {
        self.0 += delta;
        Ok(())
    }

    fn whole(&self, _: u32) -> Result<u64, Lossy> {
        Ok(self.0)
    }

    fn cut(&self) -> u64 {
        self.0
    }

    fn read(&self, whole: &u64, _: u32) -> Result<Self, Unreadable> {
        Ok(Count(*whole))
    }
}

/// An owner and a copy that is so many rounds away, and clients that ask in each round in which they are not waiting.
struct Pair {
    owner: Replica<Count>,
    copy: Replica<Count>,
    now: Duration,
    /// What is on its way to the copy and back, by round.
    there: VecDeque<Vec<Streamed<ToStandby<Count>>>>,
    back: VecDeque<Vec<Streamed<ToOwner>>>,
    /// The clients' sessions, how often each has asked, and whether it has its answer.
    clients: Vec<(SessionId, u64, bool)>,
}

impl Pair {
    fn new(mode: Mode, away: usize, clients: u64) -> Self {
        let of = |node| Replica::new(member(node), ShardId(0), Config::new(mode, 2), Count::default());
        let mut pair = Pair {
            owner: of(1),
            copy: of(2),
            now: Duration::from_secs(1),
            there: vec![Vec::new(); away].into(),
            back: vec![Vec::new(); away].into(),
            clients: Vec::new(),
        };
        let (owner, lease, in_sync) = (member(1), LeaseId(1), [].into());
        let first = Record { revision: 1, owner, lease, epoch: 1, in_sync, wire: 1 };
        pair.owner.handle_lease(lease, Duration::from_secs(1000), pair.now);
        pair.owner.handle_record(Some(first.clone()), pair.now);
        pair.copy.handle_record(Some(first), pair.now);
        (0..clients).for_each(|client| pair.owner.handle_open(client, client, pair.now));
        pair.round();
        pair
    }

    /// A millisecond.
    fn round(&mut self) {
        self.now += Duration::from_millis(1);
        for said in self.there.pop_front().unwrap() {
            self.copy.handle_streamed(member(1), said);
        }
        for said in self.back.pop_front().unwrap() {
            self.owner.handle_told(member(2), said, self.now);
        }
        for at in 0..self.clients.len() {
            let (session, seq, ready) = &mut self.clients[at];
            if core::mem::take(ready) {
                *seq += 1;
                let id = RequestId::Client { session: *session, seq: *seq };
                let request = Request { id, floor: Floor::Client(*seq), body: 1 };
                self.owner.handle_request(at as u64, request, self.now);
            }
        }
        self.owner.handle_tick(self.now);
        self.act();
    }

    /// Does what both want. The authority answers at once.
    fn act(&mut self) {
        let (mut there, mut back) = (Vec::new(), Vec::new());
        while let Some(action) = self.owner.poll() {
            match action {
                Action::Run(job, _) | Action::RunAlone(job, _) => {
                    let ran = Ran { change: Some(1), ..Ran::quiet(Answer::Now(0)) };
                    self.owner.handle_ran(job, ran, self.now);
                }
                Action::Swap(record) => self.owner.handle_swapped(&record, Swapped::Won, self.now),
                Action::ToStandby(_, said) => there.push(said),
                Action::Soon => self.owner.handle_soon(),
                Action::Reply(_, _, Reply::Opened { session, .. }) => self.clients.push((session, 0, true)),
                Action::Reply(client, _, Reply::Answered { .. }) => {
                    if let Some(client) = self.clients.get_mut(client as usize) {
                        client.2 = true;
                    }
                }
                _ => {}
            }
        }
        while let Some(action) = self.copy.poll() {
            match action {
                Action::ToOwner(_, said) => back.push(said),
                Action::Soon => self.copy.handle_soon(),
                _ => {}
            }
        }
        self.there.push_back(there);
        self.back.push_back(back);
    }

    fn is_named(&self) -> bool {
        self.owner.record().unwrap().in_sync.contains(&member(2))
    }

    fn asked(&self) -> u64 {
        self.clients.iter().map(|(_, seq, _)| seq).sum()
    }
}

const MODES: [Mode; 2] = [Mode::Copied { alone: Alone::Serve }, Mode::Async { lag: 16 }];

/// Something is shown in each round, and what the copy says is some rounds old: what has been shown was never all there.
#[test]
fn a_copy_is_named_while_the_shard_is_asked_all_the_time() {
    for mode in MODES {
        for away in [1, 3, 10] {
            let mut pair = Pair::new(mode, away, 3);
            (0..100).for_each(|_| pair.round());
            let before = pair.asked();
            assert!(before > 200 && !pair.is_named());
            pair.owner.handle_standby(Some(member(2)), pair.now);
            (0..20 * away).for_each(|_| pair.round());
            assert!(pair.is_named(), "{mode:?}, {away} rounds away");
            assert!(pair.asked() > before + 10, "{mode:?}, {away} rounds away");
        }
    }
}

#[test]
fn one_that_falls_silent_before_it_is_named_is_not_waited_for_long() {
    for mode in MODES {
        let mut pair = Pair::new(mode, 3, 3);
        pair.owner.handle_standby(Some(member(2)), pair.now);
        // It has said that it is there, and no more.
        let mut rounds = 0;
        while pair.owner.joining(pair.now).is_none() {
            pair.round();
            rounds += 1;
            assert!(rounds < 100 && !pair.is_named());
        }
        pair.back.iter_mut().for_each(Vec::clear);
        let silent = |pair: &mut Pair| {
            pair.round();
            pair.back.iter_mut().for_each(Vec::clear);
        };
        (0..1100).for_each(|_| silent(&mut pair));
        let before = pair.asked();
        (0..100).for_each(|_| silent(&mut pair));
        assert!(pair.asked() > before + 200, "{mode:?}");
    }
}

/// What it is told takes longer to come back than it is waited for at first.
#[test]
fn a_copy_that_is_far_away_is_filled() {
    for mode in MODES {
        let mut pair = Pair::new(mode, 1, 3);
        (0..10).for_each(|_| pair.round());
        pair.clients.clear();
        pair.there.extend((0..299).map(|_| Vec::new()));
        pair.back.extend((0..299).map(|_| Vec::new()));
        pair.owner.handle_standby(Some(member(2)), pair.now);
        (0..5000).for_each(|_| pair.round());
        assert!(pair.is_named(), "{mode:?}");
    }
}

/// Owner and standby are gone; a third has what it was told when it was the standby.
#[test]
fn who_is_not_named_goes_on_with_a_lost_shard_if_somebody_says_so() {
    for from_nothing in [false, true] {
        let mut pair = Pair::new(MODES[0], 1, 3);
        pair.owner.handle_standby(Some(member(2)), pair.now);
        (0..12).for_each(|_| pair.round());
        let clients = core::mem::take(&mut pair.clients);
        (0..10).for_each(|_| pair.round());
        assert!(clients.iter().all(|(_, seq, _)| *seq > 0));
        let held = pair.owner.copy().unwrap().contents.clone();
        assert!(held.0 > 0 && pair.is_named());
        let (owner, lease, in_sync) = (member(1), LeaseId(1), [member(3)].into());
        let record = pair.owner.record().unwrap();
        let record = Record { revision: record.revision + 1, owner, lease, epoch: 1, in_sync, wire: 1 };
        let (mut copy, now) = (pair.copy, pair.now);
        copy.handle_record(Some(record.clone()), now);
        copy.handle_suspected(member(1), true, now);
        while copy.poll().is_some() {}
        assert_eq!(copy.serves(), None);
        assert!(copy.handle_recover(from_nothing, now));
        let Some(Action::Swap(next)) = copy.poll() else { panic!("nothing is proposed") };
        assert_eq!((next.owner, next.epoch, next.revision), (member(2), 2, record.revision + 1));
        assert!(next.in_sync.is_empty());
        copy.handle_swapped(&next, Swapped::Won, now);
        assert_eq!(copy.serves(), Some(2));
        assert_eq!(copy.copy().unwrap().contents, if from_nothing { Count(0) } else { held });
        assert!(!copy.handle_recover(true, now), "it is served");
    }
}

#[test]
fn who_has_no_copy_cannot_go_on_with_it() {
    let mut replica = Replica::new(member(2), ShardId(0), Config::new(MODES[0], 1), Count::default());
    assert!(!replica.handle_recover(true, Duration::ZERO), "no record is known");
    let (owner, lease, in_sync) = (member(1), LeaseId(1), [].into());
    let record = Record { revision: 5, owner, lease, epoch: 1, in_sync, wire: 1 };
    replica.handle_record(Some(record), Duration::ZERO);
    assert!(!replica.handle_recover(false, Duration::ZERO));
    assert!(replica.handle_recover(true, Duration::ZERO));
}

/// What a copy has asked for and what it has by then come in one moment, before it is told anything.
#[test]
fn one_that_has_what_it_asks_for_is_told_what_follows() {
    let mut pair = Pair::new(MODES[0], 1, 1);
    pair.owner.handle_standby(Some(member(2)), pair.now);
    (0..20).for_each(|_| pair.round());
    assert!(pair.is_named());
    let (held, n) = (pair.owner.held_by_all(), pair.owner.copy().unwrap().position.n);
    assert!(held < n, "something is on its way: {n}");
    let stream = pair.owner.owner.as_ref().unwrap().peers[&member(2)].stream;
    let position = Some(Position { epoch: 1, n: held });
    for message in [ToOwner::Have { position, reads: 1 }, ToOwner::Ack { n, barrier: 0 }] {
        pair.owner.handle_told(member(2), Streamed { epoch: 1, stream, message }, pair.now);
    }
    let before = pair.asked();
    (0..20).for_each(|_| pair.round());
    assert!(pair.asked() > before + 5, "{}", pair.asked());
    assert!(pair.owner.held_by_all() > n);
}

/// Has the shard moved to the copy, with something done before the copy is told anything; answers what is proposed first.
fn move_to_copy(pair: &mut Pair, mut before: impl FnMut(&mut Replica<Count>, &ToStandby<Count>)) -> Record {
    pair.owner.handle_standby(Some(member(2)), pair.now);
    (0..20).for_each(|_| pair.round());
    assert!(pair.is_named());
    pair.owner.handle_move(member(2), Duration::from_secs(10), pair.now);
    loop {
        while let Some(action) = pair.owner.poll() {
            match action {
                Action::Swap(record) => return record,
                Action::ToStandby(_, said) => {
                    before(&mut pair.owner, &said.message);
                    pair.copy.handle_streamed(member(1), said);
                }
                Action::Soon => pair.owner.handle_soon(),
                _ => {}
            }
        }
        while let Some(action) = pair.copy.poll() {
            match action {
                Action::ToOwner(_, said) => pair.owner.handle_told(member(2), said, pair.now),
                Action::Soon => pair.copy.handle_soon(),
                _ => {}
            }
        }
    }
}

/// Otherwise one of the two would lose, and more often than not the move.
#[test]
fn nothing_that_can_wait_competes_with_a_move() {
    let mut pair = Pair::new(MODES[0], 1, 0);
    let now = pair.now;
    let proposed = move_to_copy(&mut pair, |owner, told| {
        if matches!(told, ToStandby::Final { .. }) {
            owner.handle_wire(2, now);
        }
    });
    assert_eq!((proposed.owner, proposed.epoch, proposed.wire), (member(2), 2, 1));
}

#[test]
fn a_shard_that_is_to_move_to_its_owner_has_moved() {
    let mut pair = Pair::new(MODES[0], 1, 0);
    pair.owner.handle_move(member(1), Duration::from_secs(10), pair.now);
    assert!(matches!(pair.owner.poll(), Some(Action::Moved(Ok(())))));
}

/// The next owner speaks before the authority has said that it is the next owner.
#[test]
fn who_hears_of_the_move_from_its_target_first_knows_that_it_has_moved() {
    let mut pair = Pair::new(MODES[0], 1, 0);
    let proposed = move_to_copy(&mut pair, |_, _| {});
    assert_eq!((proposed.owner, proposed.epoch), (member(2), 2));
    pair.owner.handle_request(
        7,
        Request {
            id: RequestId::Client { session: SessionId(Position { epoch: 1, n: 9 }), seq: 1 },
            floor: Floor::Client(1),
            body: 1,
        },
        pair.now,
    );
    pair.owner.handle_streamed(member(2), Streamed { epoch: 2, stream: 1, message: ToStandby::Hello });
    let told: Vec<_> = core::iter::from_fn(|| pair.owner.poll()).collect();
    assert!(told.iter().any(|action| matches!(action, Action::Moved(Ok(())))), "{told:?}");
    let next = |action: &Action<Count>| matches!(action, Action::Reply(7, _, Reply::NotOwner { owner }) if *owner == Some((member(2), 2)));
    assert!(told.iter().any(next), "{told:?}");
}
