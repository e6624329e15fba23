//! One key: what it answers, and what its process has to do.

use bytes::Bytes;

use crate::error::CommandError;
use crate::reply::Reply;
use crate::value::{ExpireOnly, Expiry, KeyOp, Next, SetWhen, UnixMillis, Value};

/// A key and a clock, both moved by hand.
#[derive(Default)]
struct Key {
    value: Value,
    now: i64,
}

impl Key {
    /// A key that holds `text` for `left` milliseconds, or for ever.
    fn holding(text: &str, left: Option<i64>) -> Self {
        let mut key = Self::default();
        key.check(
            set(text, left.map_or(Expiry::Never, at)),
            Reply::Ok,
            left.map_or(Next::Disarm, arm).or_live(),
        );
        key
    }

    fn check(&mut self, op: KeyOp, reply: Reply, next: Next) -> &mut Self {
        let before = self.value.clone();
        let done = self.value.apply(op.clone(), UnixMillis(self.now));
        assert_eq!(done, (reply, next), "{op:?} on {before:?}");
        self
    }

    fn wait(&mut self, millis: i64) -> &mut Self {
        self.now += millis;
        self
    }
}

impl Next {
    /// A fresh key has no timer to stop.
    fn or_live(self) -> Self {
        if self == Self::Disarm { Self::Live } else { self }
    }
}

fn at(millis: i64) -> Expiry {
    Expiry::At(UnixMillis(millis))
}

fn arm(millis: i64) -> Next {
    Next::Arm(UnixMillis(millis))
}

fn bytes(text: &str) -> Bytes {
    Bytes::copy_from_slice(text.as_bytes())
}

fn bulk(text: &str) -> Reply {
    Reply::Bulk(bytes(text))
}

fn set(text: &str, expiry: Expiry) -> KeyOp {
    KeyOp::Set { value: bytes(text), when: SetWhen::Always, expiry, get: false }
}

fn set_when(text: &str, when: SetWhen, get: bool) -> KeyOp {
    KeyOp::Set { value: bytes(text), when, expiry: Expiry::Never, get }
}

fn append(text: &str) -> KeyOp {
    KeyOp::Append(bytes(text))
}

fn expire(millis: i64) -> KeyOp {
    KeyOp::Expire { at: UnixMillis(millis), only: ExpireOnly::default() }
}

#[test]
fn a_missing_key_answers_and_stays_missing() {
    let check = |op: KeyOp, reply: Reply| {
        assert!(!op.creates());
        Key::default().check(op, reply, Next::End);
    };
    check(KeyOp::Get, Reply::Nil);
    check(KeyOp::GetDel, Reply::Nil);
    check(KeyOp::Del, Reply::Integer(0));
    check(KeyOp::Exists, Reply::Integer(0));
    check(KeyOp::Type, Reply::Simple("none"));
    check(KeyOp::StrLen, Reply::Integer(0));
    check(expire(10), Reply::Integer(0));
    check(KeyOp::Ttl, Reply::Integer(-2));
    check(KeyOp::PTtl, Reply::Integer(-2));
    check(KeyOp::Persist, Reply::Integer(0));
    check(set_when("a", SetWhen::Present, false), Reply::Nil);
}

#[test]
fn some_operations_bring_a_key_to_life() {
    let check = |op: KeyOp, reply: Reply, holds: &str| {
        assert!(op.creates());
        Key::default().check(op, reply, Next::Live).check(KeyOp::Get, bulk(holds), Next::Live);
    };
    check(set("a", Expiry::Never), Reply::Ok, "a");
    check(set("a", Expiry::Keep), Reply::Ok, "a");
    check(set_when("a", SetWhen::Missing, false), Reply::Ok, "a");
    check(set_when("a", SetWhen::Missing, true), Reply::Nil, "a");
    check(append("ab"), Reply::Integer(2), "ab");
    check(append(""), Reply::Integer(0), "");
    check(KeyOp::Add(-5), Reply::Integer(-5), "-5");
}

#[test]
fn a_key_answers_and_lives_on_or_ends() {
    let check = |op: KeyOp, reply: Reply, next: Next| {
        Key::holding("abc", None).check(op, reply, next);
    };
    check(KeyOp::Get, bulk("abc"), Next::Live);
    check(KeyOp::GetDel, bulk("abc"), Next::End);
    check(KeyOp::Del, Reply::Integer(1), Next::End);
    check(KeyOp::Exists, Reply::Integer(1), Next::Live);
    check(KeyOp::Type, Reply::Simple("string"), Next::Live);
    check(KeyOp::StrLen, Reply::Integer(3), Next::Live);
    check(append("de"), Reply::Integer(5), Next::Live);
    check(KeyOp::Add(1), CommandError::NotAnInteger.into(), Next::Live);
    check(set_when("x", SetWhen::Missing, false), Reply::Nil, Next::Live);
    check(set_when("x", SetWhen::Missing, true), bulk("abc"), Next::Live);
    check(set_when("x", SetWhen::Present, false), Reply::Ok, Next::Live);
    check(set_when("x", SetWhen::Always, true), bulk("abc"), Next::Live);
    check(KeyOp::Ttl, Reply::Integer(-1), Next::Live);
    check(KeyOp::PTtl, Reply::Integer(-1), Next::Live);
    check(KeyOp::Persist, Reply::Integer(0), Next::Live);
    check(expire(1500), Reply::Integer(1), arm(1500));
    check(expire(0), Reply::Integer(1), Next::End);
    check(set("x", at(-1)), Reply::Ok, Next::End);
}

#[test]
fn sums_are_integers_of_64_bits() {
    let check = |text: &str, amount: i64, reply: Reply, holds: &str| {
        let mut key = Key::holding(text, None);
        key.check(KeyOp::Add(amount), reply, Next::Live).check(KeyOp::Get, bulk(holds), Next::Live);
    };
    check("10", 5, Reply::Integer(15), "15");
    check("10", -15, Reply::Integer(-5), "-5");
    check("9223372036854775806", 1, Reply::Integer(i64::MAX), "9223372036854775807");
    check("9223372036854775807", 1, CommandError::Overflow.into(), "9223372036854775807");
    check("-9223372036854775808", -1, CommandError::Overflow.into(), "-9223372036854775808");
    check("0", i64::MIN, Reply::Integer(i64::MIN), "-9223372036854775808");
    check("", 1, CommandError::NotAnInteger.into(), "");
    check("1 ", 1, CommandError::NotAnInteger.into(), "1 ");
    check("9223372036854775808", -1, CommandError::NotAnInteger.into(), "9223372036854775808");
}

#[test]
fn a_time_to_live_is_kept_or_lost_as_in_redis() {
    let check = |op: KeyOp, reply: Reply, next: Next, left: i64| {
        let mut key = Key::holding("1", Some(1000));
        key.wait(400).check(op, reply, next).check(KeyOp::PTtl, Reply::Integer(left), Next::Live);
    };
    check(KeyOp::Get, bulk("1"), Next::Live, 600);
    check(KeyOp::Add(1), Reply::Integer(2), Next::Live, 600);
    check(append("2"), Reply::Integer(2), Next::Live, 600);
    check(set("2", Expiry::Never), Reply::Ok, Next::Disarm, -1);
    check(set("2", Expiry::Keep), Reply::Ok, Next::Live, 600);
    check(set("2", at(5000)), Reply::Ok, arm(5000), 4600);
    check(set_when("2", SetWhen::Missing, false), Reply::Nil, Next::Live, 600);
    check(KeyOp::Persist, Reply::Integer(1), Next::Disarm, -1);
    check(expire(800), Reply::Integer(1), arm(800), 400);
    check(expire(1000), Reply::Integer(1), Next::Live, 600);
    check(KeyOp::Ttl, Reply::Integer(1), Next::Live, 600);
    check(expire(1899), Reply::Integer(1), arm(1899), 1499);
    check(expire(i64::MAX), Reply::Integer(1), arm(i64::MAX), i64::MAX - 400);
}

#[test]
fn seconds_to_live_are_rounded() {
    let check = |left: i64, seconds: i64| {
        Key::holding("a", Some(left)).check(KeyOp::Ttl, Reply::Integer(seconds), Next::Live);
    };
    check(1, 0);
    check(499, 0);
    check(500, 1);
    check(1499, 1);
    check(1500, 2);
    check(i64::MAX, 9_223_372_036_854_776);
}

#[test]
fn expire_has_conditions() {
    let check = |left: Option<i64>, conditions: &str, at: i64, changed: i64| {
        let has = |name| conditions.contains(name);
        let only = ExpireOnly { unset: has("NX"), set: has("XX"), later: has("GT"), sooner: has("LT") };
        let next = if changed == 1 { arm(at) } else { Next::Live };
        let op = KeyOp::Expire { at: UnixMillis(at), only };
        Key::holding("a", left).check(op, Reply::Integer(changed), next);
    };
    check(None, "NX", 10, 1);
    check(Some(5), "NX", 10, 0);
    check(None, "XX", 10, 0);
    check(Some(5), "XX", 10, 1);
    check(None, "GT", 10, 0);
    check(Some(5), "GT", 10, 1);
    check(Some(15), "GT", 10, 0);
    check(None, "LT", 10, 1);
    check(Some(5), "LT", 10, 0);
    check(Some(15), "LT", 10, 1);
    check(None, "XX LT", 10, 0);
    check(Some(15), "XX LT", 10, 1);
    check(Some(15), "XX GT", 10, 0);
}

#[test]
fn a_deadline_counts_before_its_timer_fires() {
    let check = |op: KeyOp, reply: Reply, next: Next| {
        Key::holding("7", Some(100)).wait(100).check(op, reply, next);
    };
    check(KeyOp::Get, Reply::Nil, Next::End);
    check(KeyOp::Del, Reply::Integer(0), Next::End);
    check(KeyOp::PTtl, Reply::Integer(-2), Next::End);
    check(expire(500), Reply::Integer(0), Next::End);
    // A new life begins in the old process: the old timer must not end it.
    check(KeyOp::Add(1), Reply::Integer(1), Next::Disarm);
    check(append("x"), Reply::Integer(1), Next::Disarm);
    check(set("8", at(100)), Reply::Ok, Next::End);
    check(set("8", at(200)), Reply::Ok, arm(200));
    check(set("8", Expiry::Keep), Reply::Ok, Next::Disarm);
    check(set_when("8", SetWhen::Present, false), Reply::Nil, Next::End);
}

#[test]
fn a_timer_may_fire_early_or_in_vain() {
    let check = |left: Option<i64>, now: i64, next: Next| {
        assert_eq!(Key::holding("a", left).value.timer_fired(UnixMillis(now)), next);
    };
    check(Some(100), 99, arm(100));
    check(Some(100), 100, Next::End);
    check(Some(100), 500, Next::End);
    check(None, 500, Next::Live);
    assert_eq!(Value::default().timer_fired(UnixMillis(0)), Next::End);
}

#[test]
fn a_string_has_a_greatest_length() {
    // Two appends of half the limit fit, one byte more does not, and what was there stays.
    let half = Bytes::from(vec![b'x'; 256 * 1024 * 1024]);
    let mut value = Value::default();
    let mut reply = |op| value.apply(op, UnixMillis(0)).0;
    assert_eq!(reply(KeyOp::Append(half.clone())), Reply::Integer(1 << 28));
    assert_eq!(reply(KeyOp::Append(half)), Reply::Integer(1 << 29));
    assert_eq!(reply(append("x")), CommandError::StringTooLong.into());
    assert_eq!(reply(KeyOp::StrLen), Reply::Integer(1 << 29));
}

#[test]
fn a_value_built_from_many_pieces_is_not_copied_each_time() {
    // A copy for each of these would move 10^11 bytes.
    let mut value = Value::default();
    for length in 1..=500_000 {
        assert_eq!(value.apply(append("x"), UnixMillis(0)).0, Reply::Integer(length));
    }
}

#[test]
fn an_append_leaves_earlier_replies_alone() {
    let mut key = Key::holding("ab", None);
    let (before, _) = key.value.apply(KeyOp::Get, UnixMillis(0));
    key.check(append("c"), Reply::Integer(3), Next::Live).check(KeyOp::Get, bulk("abc"), Next::Live);
    assert_eq!(before, bulk("ab"));
}

#[test]
fn a_value_survives_messagepack() {
    for value in [Value::default(), Key::holding("a\0\u{ff}", Some(5)).value, Key::holding("", None).value] {
        let packed = rmp_serde::to_vec_named(&value).expect("a value can be packed");
        assert_eq!(rmp_serde::from_slice::<Value>(&packed).expect("and unpacked"), value);
    }
}
