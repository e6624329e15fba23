use alloc::collections::BTreeMap;
use alloc::vec::Vec;
use core::time::Duration;

use super::{AGAIN, AT_ONCE, Drain, DrainAction, Waits};
use crate::placement::Seat;
use crate::record::{LeaseId, Record, ShardId};
use crate::seeded::{member, seat};
use DrainAction::{Ask, Fill, FreeToken, Move, Ready, TakeToken, Waiting};

/// In the order of the ring.
const A: u32 = 3;
const B: u32 = 2;
const C: u32 = 4;

/// A drains: of these that are up, with these shards by owner and copies.
struct Case {
    drain: Drain,
    now: Duration,
    records: BTreeMap<ShardId, Record>,
}

impl Case {
    fn new(up: &[u32], shards: &[(u32, &[u32])]) -> Self {
        let mut case = Case { drain: Drain::new(member(A)), now: Duration::ZERO, records: BTreeMap::new() };
        case.up(up);
        for (shard, (owner, in_sync)) in (0..).zip(shards) {
            case.record(shard, *owner, in_sync);
        }
        case.drain.handle_asked(case.now);
        case
    }

    /// With the token, and what it has asked by then.
    fn marked(up: &[u32], shards: &[(u32, &[u32])]) -> (Self, Vec<DrainAction>) {
        let mut case = Case::new(up, shards);
        assert_eq!(case.actions(), [TakeToken, Waiting(Waits::Token)]);
        case.drain.handle_token(true, case.now);
        let actions = case.actions();
        (case, actions)
    }

    fn up(&mut self, up: &[u32]) {
        let mark = |node: u32| Seat { draining: node == A, ..seat(node) };
        self.drain.handle_ring(&up.iter().copied().map(mark).collect(), self.now);
    }

    fn record(&mut self, shard: u32, owner: u32, in_sync: &[u32]) {
        let before = self.records.get(&ShardId(shard));
        let next = |it: &Record| (it.revision + 1, it.epoch + u64::from(it.owner != member(owner)));
        let (revision, epoch) = before.map_or((1, 1), next);
        let in_sync = in_sync.iter().copied().map(member).collect();
        let record = Record { revision, owner: member(owner), lease: LeaseId(1), epoch, in_sync, wire: 1 };
        self.records.insert(ShardId(shard), record.clone());
        self.drain.handle_record(ShardId(shard), record, self.now);
    }

    /// What it owns, and whether it tells A of it.
    fn told(&mut self, from: u32, round: u64, owned: &[(u32, bool)]) {
        let owned = owned.iter().map(|(shard, tells)| (ShardId(*shard), *tells)).collect();
        self.drain.handle_told(member(from), round, &owned, self.now);
    }

    fn later(&mut self) -> Vec<DrainAction> {
        self.now += AGAIN;
        self.drain.handle_tick(self.now);
        self.actions()
    }

    fn actions(&mut self) -> Vec<DrainAction> {
        core::iter::from_fn(|| self.drain.poll()).collect()
    }
}

fn ask(node: u32, number: u64) -> DrainAction {
    Ask(member(node), number)
}

fn give(shard: u32, to: u32) -> DrainAction {
    Move { shard: ShardId(shard), to: member(to) }
}

fn fill(shard: u32, owner: u32, third: u32) -> DrainAction {
    Fill { owner: member(owner), shard: ShardId(shard), third: member(third) }
}

fn third(shards: &[u32]) -> DrainAction {
    Waiting(Waits::Third(shards.iter().copied().map(ShardId).collect()))
}

/// A row: who is up, the shards, what is asked for first of each.
#[test]
fn what_it_asks_for() {
    let check = |up: &[u32], shards: &[(u32, &[u32])], expected: &[DrainAction]| {
        let (_, actions) = Case::marked(up, shards);
        let asked: Vec<_> = actions.into_iter().filter(|it| !matches!(it, Ask(..))).collect();
        assert_eq!(asked, expected, "{up:?}, {shards:?}");
    };
    // What it owns goes to who has the copy, or else to the next in the ring.
    check(&[A, B, C], &[(A, &[C])], &[give(0, C)]);
    check(&[A, B, C], &[(A, &[])], &[give(0, B)]);
    check(&[A, C], &[(A, &[B])], &[give(0, C)]);
    // Of what it has a copy of, the owner's next in the ring gets one.
    check(&[A, B, C], &[(B, &[A])], &[fill(0, B, C)]);
    check(&[A, B, C], &[(C, &[A]), (C, &[A, B])], &[fill(0, C, B), fill(1, C, B)]);
    // What it has no part in is none of its business.
    check(&[A, B, C], &[(B, &[C])], &[]);
    // Without a third member no copy goes; what it owns does, and comes to that.
    check(&[A, B], &[(B, &[A]), (A, &[B])], &[give(1, B), third(&[0])]);
    check(&[A], &[(A, &[]), (A, &[B])], &[third(&[0, 1])]);
    // Its owner is lost: a copy becomes the owner first.
    check(&[A, C], &[(B, &[A])], &[]);
    // It has nothing.
    check(&[A], &[], &[Ready, FreeToken]);
}

#[test]
fn from_mark_to_end() {
    let (mut case, actions) = Case::marked(&[A, B, C], &[(A, &[B]), (B, &[C])]);
    assert_eq!(actions, [give(0, B), ask(B, 1), ask(C, 1)]);
    case.told(C, 1, &[]);
    case.told(B, 1, &[(1, false)]);
    case.record(0, B, &[A]);
    assert_eq!(case.actions(), [fill(0, B, C)]);
    case.record(0, B, &[A, C]);
    assert_eq!(case.actions(), []);
    case.record(0, B, &[C]);
    assert_eq!(case.actions(), [ask(B, 1)]);
    // It has taken A out, and does not know yet that this has come into force.
    case.told(B, 1, &[(0, true), (1, false)]);
    assert_eq!(case.actions(), []);
    assert_eq!(case.later(), [ask(B, 1)]);
    case.told(B, 1, &[(0, false), (1, false)]);
    assert_eq!(case.actions(), [Ready, FreeToken]);
    case.drain.handle_token(false, case.now);
    case.up(&[A, B]);
    assert_eq!(case.later(), []);
}

/// C has said that it tells nothing, then it got the shard from B, who then said the same: nobody has spoken for the
/// shard, and that its record names A has not come round.
#[test]
fn each_shard_is_spoken_for() {
    let (mut case, actions) = Case::marked(&[A, B, C], &[(B, &[C])]);
    assert_eq!(actions, [ask(B, 1), ask(C, 1)]);
    case.told(C, 1, &[]);
    case.told(B, 1, &[]);
    assert_eq!(case.actions(), []);
    assert_eq!(case.later(), [ask(B, 1)]);
    case.record(0, C, &[A, B]);
    assert_eq!(case.actions(), [fill(0, C, B), ask(C, 1)]);
    case.record(0, C, &[B]);
    assert_eq!(case.actions(), [ask(C, 1)]);
    case.told(C, 1, &[(0, false)]);
    assert_eq!(case.actions(), [Ready, FreeToken]);
}

/// What is lost with its owner nobody speaks for; what a copy is about to take over somebody does.
#[test]
fn a_lost_shard_is_not_waited_for() {
    let (mut case, _) = Case::marked(&[A, C], &[(B, &[]), (B, &[C])]);
    case.told(C, 1, &[]);
    assert_eq!(case.actions(), []);
    case.record(1, C, &[]);
    assert_eq!(case.later(), [ask(C, 1), DrainAction::Read(ShardId(0), 1)]);
    case.told(C, 1, &[(1, false)]);
    // Only as far as it is known from its owner's loss on.
    assert_eq!(case.actions(), []);
    let record = case.records[&ShardId(0)].clone();
    case.drain.handle_read(ShardId(0), 0, record.clone(), case.now);
    assert_eq!(case.actions(), []);
    case.drain.handle_read(ShardId(0), 1, record, case.now);
    assert_eq!(case.actions(), [Ready, FreeToken]);
}

/// R39: the mark and the token are one.
#[test]
fn without_the_token_it_stays() {
    let (mut case, actions) = Case::marked(&[A, B, C], &[(A, &[B]), (B, &[A])]);
    assert_eq!(actions, [give(0, B), fill(1, B, C), ask(B, 1), ask(C, 1)]);
    case.told(C, 1, &[]);
    case.drain.handle_token(false, case.now);
    assert_eq!(case.actions(), [TakeToken, Waiting(Waits::Token)]);
    case.record(0, B, &[C]);
    case.record(1, B, &[C]);
    let both = [(0, false), (1, false)];
    case.told(B, 1, &both);
    assert_eq!(case.later(), []);
    // What was said before counts for nothing.
    case.drain.handle_token(true, case.now);
    assert_eq!(case.actions(), [ask(B, 2), ask(C, 2)]);
    case.told(B, 1, &both);
    case.told(C, 1, &[]);
    assert_eq!(case.actions(), []);
    case.told(B, 2, &both);
    case.told(C, 2, &[]);
    assert_eq!(case.actions(), [Ready, FreeToken]);
}

#[test]
fn it_goes_on_when_a_third_member_comes() {
    let (mut case, actions) = Case::marked(&[A, B], &[(B, &[A])]);
    assert_eq!(actions, [ask(B, 1), third(&[0])]);
    assert_eq!(case.drain.waits(), Some(&Waits::Third([ShardId(0)].into())));
    // It says so once, and does not stop however long that takes.
    case.told(B, 1, &[(0, true)]);
    assert_eq!(case.later(), [ask(B, 1)]);
    case.up(&[A, B, C]);
    assert_eq!(case.actions(), [fill(0, B, C), ask(C, 1)]);
    assert_eq!(case.drain.waits(), None);
    case.up(&[A, B]);
    assert_eq!(case.actions(), [third(&[0])]);
}

#[test]
fn what_failed_is_tried_with_another_and_behind_the_others() {
    let (mut case, actions) = Case::marked(&[A, B, C], &[(A, &[B])]);
    assert_eq!(actions, [give(0, B), ask(B, 1), ask(C, 1)]);
    for to in [C, B, C] {
        case.drain.handle_failed(ShardId(0), case.now);
        assert_eq!(case.actions(), []);
        assert_eq!(case.later()[0], give(0, to));
    }
    let many: Vec<(u32, &[u32])> = (0..20).map(|_| (B, [A].as_slice())).collect();
    let (mut case, mut actions) = Case::marked(&[A, B, C], &many);
    // The owner hears nothing of it: each has its turn.
    let mut turns = Vec::new();
    for _ in 0..5 {
        let asked =
            actions.iter().filter_map(|it| if let Fill { shard, .. } = it { Some(shard.0) } else { None });
        let asked: Vec<u32> = asked.collect();
        assert_eq!(asked.len(), AT_ONCE);
        turns.extend(asked);
        actions = case.later();
    }
    assert_eq!(turns, (0..20).chain(0..20).collect::<Vec<u32>>());
}

#[test]
fn a_bounded_number_moves_at_once() {
    let many: Vec<(u32, &[u32])> = (0..20).map(|_| (A, [B].as_slice())).collect();
    let (mut case, actions) = Case::marked(&[A, B, C], &many);
    let moves = |actions: &[DrainAction]| actions.iter().filter(|it| matches!(it, Move { .. })).count();
    assert_eq!(moves(&actions), AT_ONCE);
    // However long they take.
    assert_eq!(moves(&case.later()), 0);
    case.record(0, B, &[C]);
    assert_eq!(case.actions()[0], give(8, B));
}

#[test]
fn an_old_record_is_not_believed() {
    let (mut case, _) = Case::marked(&[A, B, C], &[(A, &[B])]);
    let old = case.records[&ShardId(0)].clone();
    case.record(0, B, &[A]);
    case.actions();
    case.drain.handle_record(ShardId(0), old, case.now);
    assert_eq!(case.actions(), []);
}

/// It has moved, its new owner was lost, and this member has taken it over: it saw only the last of that.
#[test]
fn a_move_is_over_when_the_shard_is_back() {
    let (mut case, actions) = Case::marked(&[A, B, C], &[(A, &[B])]);
    assert_eq!(actions[0], give(0, B));
    let record = case.records.get_mut(&ShardId(0)).unwrap();
    (record.revision, record.epoch) = (record.revision + 1, record.epoch + 2);
    case.record(0, A, &[C]);
    assert_eq!(case.actions(), [give(0, C)]);
}

/// The ring that it knows may be older than its mark.
#[test]
fn it_wants_nothing_for_itself() {
    let mut case = Case::new(&[], &[(C, &[A])]);
    case.drain.handle_ring(&[A, B, C].into_iter().map(seat).collect(), case.now);
    case.drain.handle_token(true, case.now);
    assert_eq!(case.actions()[2..], [fill(0, C, B), ask(B, 1), ask(C, 1)]);
    let alone: Vec<Seat> = [A, C].into_iter().map(seat).collect();
    case.drain.handle_ring(&alone.into_iter().collect(), case.now);
    assert_eq!(case.actions(), [third(&[0])]);
}
