use alloc::vec;

use super::*;
use crate::seeded::Seeded;

/// Lists by number.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Lists(BTreeMap<u64, Vec<u64>>);

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
enum To {
    Be(Vec<u64>),
    Grow(u64),
    Go,
}

impl Contents for Lists {
    type Change = (u64, To);
    type Delta = (u64, To);
    type Whole = BTreeMap<u64, Vec<u64>>;
    type Body = u64;
    type Key = u64;

    fn scope((key, to): &(u64, To)) -> Option<(&u64, bool)> {
        Some((key, !matches!(to, To::Grow(_))))
    }

    fn encode(&self, change: &(u64, To), _: u32) -> Result<(u64, To), Lossy> {
        Ok(change.clone())
    }

    fn apply(&mut self, (key, to): &(u64, To), _: u32) -> Result<(), Unreadable> {
        match to {
            To::Be(list) => drop(self.0.insert(*key, list.clone())),
            To::Grow(by) => self.0.get_mut(key).ok_or(Unreadable)?.push(*by),
            To::Go => drop(self.0.remove(key)),
        }
        Ok(())
    }

    fn whole(&self, _: u32) -> Result<Self::Whole, Lossy> {
        Ok(self.0.clone())
    }

    fn cut(&self) -> Self::Whole {
        self.0.clone()
    }

    fn read(&self, whole: &Self::Whole, _: u32) -> Result<Self, Unreadable> {
        Ok(Lists(whole.clone()))
    }
}

fn at(n: u64) -> Position {
    Position { epoch: 1, n }
}

/// What some clients and processes might do.
fn frame(random: &mut Seeded, now: &ShardCopy<Lists>) -> Frame<Lists> {
    let sessions: Vec<_> = now.table.clients.iter().collect();
    if sessions.len() < 3 && random.one_in(4) {
        return Frame { delta: None, writes: vec![Write::Open] };
    }
    let mut writes = Vec::new();
    if let Some((session, rows)) = (!sessions.is_empty()).then(|| sessions[random.below(sessions.len())]) {
        if random.one_in(40) {
            return Frame { delta: None, writes: vec![Write::Drop(*session)] };
        }
        // In any order, and sometimes what is below the floor by now.
        let seq = (rows.floor + random.next() % 6).saturating_sub(1).max(1);
        let id = RequestId::Client { session: *session, seq };
        let floor = (rows.floor + random.next() % 3).saturating_sub(1);
        writes.push(Write::Floor(id, Floor::Client(floor.clamp(1, seq))));
        let row = if random.one_in(5) { Row::Accepted } else { Row::Answered(Some(random.next())) };
        writes.push(Write::Row(id, row));
    }
    let key = random.next() % 4;
    let to = match (random.below(6), now.contents.0.contains_key(&key)) {
        (0, _) => return Frame { delta: None, writes },
        (1, _) => To::Go,
        (2 | 3, true) => To::Grow(random.next()),
        _ => To::Be(vec![random.next()]),
    };
    Frame { delta: Some((key, to)), writes }
}

#[test]
fn frames_that_go_together_make_what_each_of_them_makes() {
    let mut left_out = 0;
    for seed in 0..300 {
        let mut random = Seeded::new(seed);
        let mut copies = vec![ShardCopy::new(Lists::default())];
        let mut frames = Vec::new();
        for n in 1..40 {
            let mut next = copies.last().unwrap().clone();
            let frame = frame(&mut random, &next);
            next.apply(frame.delta.as_ref(), frame.writes.clone(), 1, at(n)).unwrap();
            frames.push(frame);
            copies.push(next);
        }
        let from = random.below(frames.len());
        let until = from + 1 + random.below(frames.len() - from);
        let together = Frames::of(at(from as u64), 1, frames[from..until].iter());
        assert_eq!(together.frames.len(), until - from);
        let size = |frames: &[Frame<Lists>]| {
            frames.iter().map(|frame| frame.writes.len() + usize::from(frame.delta.is_some())).sum::<usize>()
        };
        left_out += size(&frames[from..until]) - size(&together.frames);
        // By whoever has what comes before the first, or some of them already.
        for held in from..until {
            let mut copy = copies[held].clone();
            for (n, frame) in (from..).zip(&together.frames).skip(held - from) {
                copy.apply(frame.delta.as_ref(), frame.writes.clone(), 1, at(n as u64 + 1)).unwrap();
            }
            let (whole, expected) = ((copy.position, copy.contents, copy.table), copies[until].clone());
            assert_eq!(whole, (expected.position, expected.contents, expected.table), "seed {seed}");
        }
    }
    assert!(left_out > 1000, "{left_out}");
}
