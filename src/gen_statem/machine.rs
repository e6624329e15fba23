//! What comes next, decided: events that were inserted or postponed, and timeouts. No clock, no process, no state.
//!
//! A callback that is done is told by [`Machine::done`], a timer that has fired by [`Machine::expired`]. What is to be done
//! with timers comes out of [`Machine::poll`], what is to be handled before the next message out of [`Machine::next`].
//!
//! Invariants:
//! - what is inserted comes first, then what was postponed and is released, then timeouts of zero in the order in which
//!   they were set, then the mailbox;
//! - a timeout is either to come at once, or runs under one number, or is not there: a number that is not known is stale;
//! - an event ends the event timeout, a change of the state ends the state timeout, before new ones are set.

use std::collections::{BTreeMap, VecDeque};

use super::When;

/// Which timeout: there is at most one of each.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Kind<T> {
    /// Ended by any event (`timeout`).
    Event,
    /// Ended by a change of the state (`state_timeout`).
    State,
    /// Ended by nothing but itself (`{timeout, Name}`).
    Named(T),
}

/// What an action does with a timeout.
#[derive(Debug)]
pub(crate) enum Change<N> {
    /// Set, instead of the one that runs.
    Set(When, N),
    /// Other content, same time; at once if none runs.
    Update(N),
    /// Ended, if one runs.
    Cancel,
}

/// A timeout that has passed.
#[derive(Debug)]
pub(crate) struct Passed<T, N> {
    pub(crate) kind: Kind<T>,
    pub(crate) content: N,
}

/// What a callback that is done leaves.
pub(crate) struct Done<E, T, N> {
    /// The state has another value than before.
    pub(crate) changed: bool,
    /// The event, if it is to come again after the next change.
    pub(crate) postponed: Option<E>,
    /// What is to be handled next, in order.
    pub(crate) inserted: Vec<E>,
    /// In order.
    pub(crate) timeouts: Vec<Setting<T, N>>,
}

/// A change of one timeout.
pub(crate) type Setting<T, N> = (Kind<T>, Change<N>);

/// What is to be done with a timer.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Action<H> {
    /// Start one; who has done so says it by [`Machine::started`].
    Start(u64, When),
    /// Cancel one. If it has fired already, its number is stale.
    Cancel(H),
}

/// The events of one state machine, of type `E`, and its timeouts, named by `T`, with content `N`; `H` is what cancels a
/// timer.
pub(crate) struct Machine<E, T, N, H> {
    queue: VecDeque<E>,
    /// Oldest first.
    postponed: Vec<E>,
    timeouts: BTreeMap<Kind<T>, Timeout<N, H>>,
    /// Those of zero, in order. Each is in `timeouts`.
    due: VecDeque<Kind<T>>,
    /// Those that run. Each is in `timeouts`.
    running: BTreeMap<u64, Kind<T>>,
    last: u64,
    actions: VecDeque<Action<H>>,
}

struct Timeout<N, H> {
    content: N,
    /// 0: it comes at once.
    number: u64,
    /// Of one that runs, when it was started.
    timer: Option<H>,
}

impl<E, T, N, H> Default for Machine<E, T, N, H> {
    fn default() -> Self {
        Machine {
            queue: VecDeque::new(),
            postponed: Vec::new(),
            timeouts: BTreeMap::new(),
            due: VecDeque::new(),
            running: BTreeMap::new(),
            last: 0,
            actions: VecDeque::new(),
        }
    }
}

impl<E: From<Passed<T, N>>, T: Ord + Clone, N, H> Machine<E, T, N, H> {
    /// A callback is done.
    pub(crate) fn done(&mut self, done: Done<E, T, N>) {
        self.handled(done.changed);
        self.postponed.extend(done.postponed);
        if done.changed {
            for event in self.postponed.drain(..).rev() {
                self.queue.push_front(event);
            }
        }
        for event in done.inserted.into_iter().rev() {
            self.queue.push_front(event);
        }
        for (kind, change) in done.timeouts {
            self.change(kind, change);
        }
    }

    /// As [`done`](Self::done), of a callback that leaves nothing and keeps the state.
    pub(crate) fn done_plainly(&mut self) {
        if !self.timeouts.is_empty() {
            self.handled(false);
        }
    }

    fn handled(&mut self, changed: bool) {
        self.end(&Kind::Event);
        if changed {
            self.end(&Kind::State);
        }
    }

    fn change(&mut self, kind: Kind<T>, change: Change<N>) {
        match change {
            Change::Set(when, content) => {
                self.end(&kind);
                match when {
                    When::Never => {}
                    when if when.is_zero() => self.set_due(kind, content),
                    when => self.run(kind, when, content),
                }
            }
            Change::Update(content) => match self.timeouts.get_mut(&kind) {
                Some(timeout) if timeout.number != 0 => timeout.content = content,
                // As if it were set once more: behind the others that are due.
                _ => {
                    self.end(&kind);
                    self.set_due(kind, content);
                }
            },
            Change::Cancel => self.end(&kind),
        }
    }

    fn set_due(&mut self, kind: Kind<T>, content: N) {
        self.due.push_back(kind.clone());
        self.timeouts.insert(kind, Timeout { content, number: 0, timer: None });
    }

    fn run(&mut self, kind: Kind<T>, when: When, content: N) {
        self.last += 1;
        let number = self.last;
        self.running.insert(number, kind.clone());
        self.timeouts.insert(kind, Timeout { content, number, timer: None });
        self.actions.push_back(Action::Start(number, when));
    }

    fn end(&mut self, kind: &Kind<T>) {
        let Some(Timeout { number, timer, .. }) = self.timeouts.remove(kind) else { return };
        if number == 0 {
            self.due.retain(|due| due != kind);
            return;
        }
        self.running.remove(&number);
        match timer {
            Some(timer) => self.actions.push_back(Action::Cancel(timer)),
            // It was to be started, and was not yet.
            None => self.actions.retain(|action| !matches!(action, Action::Start(n, _) if *n == number)),
        }
    }

    /// The timer with this number runs.
    pub(crate) fn started(&mut self, number: u64, timer: H) {
        if let Some(timeout) = self.running.get(&number).and_then(|kind| self.timeouts.get_mut(kind)) {
            timeout.timer = Some(timer);
        }
    }

    /// The timer with this number has fired: what it brings is the next event. False: it is stale.
    pub(crate) fn expired(&mut self, number: u64) -> bool {
        let Some(kind) = self.running.remove(&number) else { return false };
        let Some(Timeout { content, .. }) = self.timeouts.remove(&kind) else { return false };
        self.queue.push_back(Passed { kind, content }.into());
        true
    }

    /// What is to be done with timers, in order.
    pub(crate) fn poll(&mut self) -> Option<Action<H>> {
        self.actions.pop_front()
    }

    /// What is to be handled before the next message.
    pub(crate) fn next(&mut self) -> Option<E> {
        if let Some(event) = self.queue.pop_front() {
            return Some(event);
        }
        let kind = self.due.pop_front()?;
        let Timeout { content, .. } = self.timeouts.remove(&kind)?;
        Some(Passed { kind, content }.into())
    }

    /// Whether nothing is to be handled before the next message.
    pub(crate) fn is_idle(&self) -> bool {
        self.queue.is_empty() && self.due.is_empty()
    }

    /// How many events are postponed.
    pub(crate) fn postponed(&self) -> usize {
        self.postponed.len()
    }

    /// How many timeouts run or are due.
    pub(crate) fn timeouts(&self) -> usize {
        self.timeouts.len()
    }

    /// Has `change` make something else of each postponed event; what it makes nothing of is gone.
    pub(crate) fn revise(&mut self, change: impl FnMut(E) -> Option<E>) {
        self.postponed = std::mem::take(&mut self.postponed).into_iter().filter_map(change).collect();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    type Numbers = Machine<u32, u8, u32, u64>;

    impl From<Passed<u8, u32>> for u32 {
        fn from(passed: Passed<u8, u32>) -> u32 {
            passed.content
        }
    }

    const SECOND: When = When::After(std::time::Duration::from_secs(1));
    const ZERO: When = When::After(std::time::Duration::ZERO);

    fn done(changed: bool, postponed: Option<u32>, inserted: &[u32]) -> Done<u32, u8, u32> {
        Done { changed, postponed, inserted: inserted.to_vec(), timeouts: Vec::new() }
    }

    fn setting(timeouts: Vec<Setting<u8, u32>>) -> Done<u32, u8, u32> {
        Done { changed: false, postponed: None, inserted: Vec::new(), timeouts }
    }

    fn all(machine: &mut Numbers) -> Vec<u32> {
        std::iter::from_fn(|| machine.next()).collect()
    }

    fn started(machine: &mut Numbers) -> Vec<Action<u64>> {
        let actions: Vec<_> = std::iter::from_fn(|| machine.poll()).collect();
        for action in &actions {
            if let Action::Start(number, _) = action {
                machine.started(*number, *number);
            }
        }
        actions
    }

    #[test]
    fn inserted_then_released_then_what_waited_then_timeouts_of_zero() {
        let mut machine = Numbers::default();
        machine.done(done(false, Some(1), &[]));
        machine.done(done(false, Some(2), &[10, 11]));
        machine.done(setting(vec![
            (Kind::Named(1), Change::Set(ZERO, 20)),
            (Kind::State, Change::Set(ZERO, 21)),
        ]));
        let mut change = done(true, Some(3), &[12]);
        change.timeouts = vec![(Kind::State, Change::Set(ZERO, 22))];
        machine.done(change);
        assert_eq!(all(&mut machine), [12, 1, 2, 3, 10, 11, 20, 22]);
        assert!(machine.is_idle());
    }

    #[test]
    fn a_timer_that_is_not_known_any_more_is_stale() {
        let mut machine = Numbers::default();
        machine.done(setting(vec![
            (Kind::State, Change::Set(SECOND, 1)),
            (Kind::Event, Change::Set(SECOND, 2)),
        ]));
        assert_eq!(started(&mut machine), [Action::Start(1, SECOND), Action::Start(2, SECOND)]);
        machine.done_plainly();
        assert_eq!(started(&mut machine), [Action::Cancel(2)]);
        assert!(!machine.expired(2));
        assert!(machine.expired(1));
        assert!(!machine.expired(1));
        assert_eq!(all(&mut machine), [1]);
    }

    #[test]
    fn what_is_set_and_ended_in_one_go_is_never_started() {
        let mut machine = Numbers::default();
        let twice = vec![(Kind::State, Change::Set(SECOND, 1)), (Kind::State, Change::Set(SECOND, 2))];
        machine.done(setting(twice));
        assert_eq!(started(&mut machine), [Action::Start(2, SECOND)]);
        assert_eq!(machine.timeouts(), 1);
    }

    /// Whatever happens: timers that run are known, none is lost, and no event is.
    #[test]
    fn a_random_walk_loses_nothing() {
        for seed in 1..=200 {
            println!("seed {seed}");
            let (mut machine, mut random) = (Numbers::default(), seed);
            let mut next = |below: u64| {
                random = u64::wrapping_mul(random, 6_364_136_223_846_793_005)
                    .wrapping_add(1_442_695_040_888_963_407);
                (random >> 33) % below
            };
            let (mut running, mut put_off) = (Vec::<u64>::new(), 0);
            for event in 0..200_u32 {
                let kind = [Kind::Event, Kind::State, Kind::Named(next(3) as u8)][next(3) as usize].clone();
                let change = match next(4) {
                    0 => Change::Set(SECOND, event),
                    1 => Change::Set(ZERO, event),
                    2 => Change::Update(event),
                    _ => Change::Cancel,
                };
                let (changed, postponed) = (next(4) == 0, (next(3) == 0).then_some(event));
                put_off = if changed { 0 } else { put_off + usize::from(postponed.is_some()) };
                machine.done(Done { changed, postponed, inserted: vec![], timeouts: vec![(kind, change)] });
                for action in started(&mut machine) {
                    match action {
                        Action::Start(number, _) => running.push(number),
                        Action::Cancel(number) => running.retain(|known| *known != number),
                    }
                }
                assert_eq!(machine.postponed(), put_off);
                assert_eq!(machine.running.keys().copied().collect::<Vec<_>>(), running);
                assert_eq!(machine.timeouts(), running.len() + machine.due.len());
                if next(5) == 0 && !running.is_empty() {
                    assert!(machine.expired(running.remove(next(running.len() as u64) as usize)));
                }
                while let Some(_handled) = machine.next() {}
            }
        }
    }
}
