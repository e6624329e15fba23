//! A term as text: what its MessagePack says, as far as a reader wants to know.

use std::fmt::{self, Write};

/// No text of a term is longer than this, in bytes, but for the sign that there was more.
const LONGEST: usize = 400;
/// So deep values lie in each other before they are left out.
const DEEPEST: usize = 12;
/// Left out.
const MORE: &str = "…";
/// The variants of an exit reason that carry a term of their own, which is bytes within bytes.
const NESTING: &[&str] = &["ShutdownWith", "Term"];

/// Writes what the bytes say: `{id: "db", reason: {Crash: {class: "Error"}}}`. Bytes that are no value are counted.
pub(super) fn write(bytes: &[u8], f: &mut fmt::Formatter<'_>) -> fmt::Result {
    let mut text = Text { out: String::new(), limit: LONGEST };
    match text.whole(bytes, 0) {
        Ok(()) => f.write_str(&text.out),
        Err(End::Full) => write!(f, "{}{MORE}", text.out),
        Err(End::Garbage) => write!(f, "<{} bytes>", bytes.len()),
    }
}

/// Why a text ends before its value does.
enum End {
    /// It is long, or deep, enough.
    Full,
    /// The bytes are no value.
    Garbage,
}

struct Text {
    out: String,
    limit: usize,
}

/// Refused by a text that is long enough.
impl Write for Text {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        let room = self.limit - self.out.len();
        let fits = (0..=room.min(text.len())).rev().find(|at| text.is_char_boundary(*at)).unwrap_or(0);
        self.out.push_str(&text[..fits]);
        if fits == text.len() { Ok(()) } else { Err(fmt::Error) }
    }
}

impl From<fmt::Error> for End {
    fn from(_: fmt::Error) -> Self {
        End::Full
    }
}

/// The first bytes, taken off the rest.
fn take<'a>(rest: &mut &'a [u8], len: usize) -> Result<&'a [u8], End> {
    let (taken, left) = rest.split_at_checked(len).ok_or(End::Garbage)?;
    *rest = left;
    Ok(taken)
}

/// A number of so many bytes, the highest first.
fn number(rest: &mut &[u8], len: usize) -> Result<u64, End> {
    Ok(take(rest, len)?.iter().fold(0, |number, byte| number << 8 | u64::from(*byte)))
}

fn length(rest: &mut &[u8], len: usize) -> Result<usize, End> {
    usize::try_from(number(rest, len)?).map_err(|_| End::Garbage)
}

fn string<'a>(rest: &mut &'a [u8], len: usize) -> Result<&'a str, End> {
    std::str::from_utf8(take(rest, len)?).map_err(|_| End::Garbage)
}

impl Text {
    fn whole(&mut self, mut bytes: &[u8], depth: usize) -> Result<(), End> {
        self.value(&mut bytes, depth)?;
        if bytes.is_empty() { Ok(()) } else { Err(End::Garbage) }
    }

    fn value(&mut self, rest: &mut &[u8], depth: usize) -> Result<(), End> {
        let kind = take(rest, 1)?[0];
        // Counted from 0: 1, 2, 4 or 8 bytes.
        let wide = |first: u8| 1 << (kind - first);
        match kind {
            0x00..=0x7f => write!(self, "{kind}")?,
            0xe0..=0xff => write!(self, "{}", kind as i8)?,
            0xc0 => self.write_str("nil")?,
            0xc2 => self.write_str("false")?,
            0xc3 => self.write_str("true")?,
            0xca => write!(self, "{:?}", f32::from_bits(number(rest, 4)? as u32))?,
            0xcb => write!(self, "{:?}", f64::from_bits(number(rest, 8)?))?,
            0xcc..=0xcf => write!(self, "{}", number(rest, wide(0xcc))?)?,
            0xd0..=0xd3 => {
                let (len, unsigned) = (wide(0xd0), number(rest, wide(0xd0))?);
                // Moved to the top and back, so that the highest bit is the sign.
                let unused = 64 - 8 * len as u32;
                write!(self, "{}", (unsigned << unused) as i64 >> unused)?;
            }
            0xa0..=0xbf | 0xd9..=0xdb => {
                let len = if kind < 0xd9 { usize::from(kind & 0x1f) } else { length(rest, wide(0xd9))? };
                write!(self, "{:?}", string(rest, len)?)?;
            }
            0xc4..=0xc6 => {
                let len = length(rest, wide(0xc4))?;
                write!(self, "<{} bytes>", take(rest, len)?.len())?;
            }
            0xc7..=0xc9 | 0xd4..=0xd8 => {
                let len = if kind < 0xd4 { length(rest, wide(0xc7))? } else { wide(0xd4) };
                // One byte before them says what they are.
                take(rest, 1)?;
                write!(self, "<{} bytes>", take(rest, len)?.len())?;
            }
            0x90..=0x9f => self.array(rest, usize::from(kind & 0x0f), depth)?,
            0xdc | 0xdd => {
                let len = length(rest, 2 * wide(0xdc))?;
                self.array(rest, len, depth)?;
            }
            0x80..=0x8f => self.map(rest, usize::from(kind & 0x0f), depth)?,
            0xde | 0xdf => {
                let len = length(rest, 2 * wide(0xde))?;
                self.map(rest, len, depth)?;
            }
            0xc1 => return Err(End::Garbage),
        }
        Ok(())
    }

    fn array(&mut self, rest: &mut &[u8], len: usize, depth: usize) -> Result<(), End> {
        self.write_str("[")?;
        self.deeper(depth)?;
        for at in 0..len {
            self.write_str(if at == 0 { "" } else { ", " })?;
            self.value(rest, depth + 1)?;
        }
        Ok(self.write_str("]")?)
    }

    fn map(&mut self, rest: &mut &[u8], len: usize, depth: usize) -> Result<(), End> {
        self.write_str("{")?;
        self.deeper(depth)?;
        for at in 0..len {
            self.write_str(if at == 0 { "" } else { ", " })?;
            let key = self.key(rest, depth)?;
            self.write_str(": ")?;
            match nested(rest).filter(|_| key.is_some_and(|key| NESTING.contains(&key))) {
                Some((inner, after)) => {
                    self.whole(inner, depth + 1)?;
                    *rest = after;
                }
                None => self.value(rest, depth + 1)?,
            }
        }
        Ok(self.write_str("}")?)
    }

    /// A key that is text stands there without quotes.
    fn key<'a>(&mut self, rest: &mut &'a [u8], depth: usize) -> Result<Option<&'a str>, End> {
        let mut ahead = *rest;
        let len = match take(&mut ahead, 1)?[0] {
            kind @ 0xa0..=0xbf => usize::from(kind & 0x1f),
            0xd9 => length(&mut ahead, 1)?,
            _ => return self.value(rest, depth + 1).map(|()| None),
        };
        let key = string(&mut ahead, len)?;
        *rest = ahead;
        write!(self, "{}", key.escape_debug())?;
        Ok(Some(key))
    }

    fn deeper(&self, depth: usize) -> Result<(), End> {
        if depth < DEEPEST { Ok(()) } else { Err(End::Full) }
    }
}

/// The bytes within, and what follows them.
fn nested(mut rest: &[u8]) -> Option<(&[u8], &[u8])> {
    let len = match take(&mut rest, 1).ok()?[0] {
        0xc4 => length(&mut rest, 1),
        0xc5 => length(&mut rest, 2),
        0xc6 => length(&mut rest, 4),
        _ => Err(End::Garbage),
    };
    rest.split_at_checked(len.ok()?)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use serde::Serialize;

    use super::*;
    use crate::term::{ExitReason, Term};

    struct Shown<'a>(&'a [u8]);

    impl fmt::Display for Shown<'_> {
        fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            write(self.0, f)
        }
    }

    #[track_caller]
    fn check<T: Serialize>(value: T, expected: &str) {
        assert_eq!(Term::encode(&value).unwrap().to_string(), expected);
    }

    #[test]
    fn values_are_readable() {
        check((), "nil");
        check(true, "true");
        check(
            (-1, -200, i64::MIN, 7u8, 65_536, u64::MAX),
            &format!("[-1, -200, {}, 7, 65536, {}]", i64::MIN, u64::MAX),
        );
        check((1.5f32, -0.25f64), "[1.5, -0.25]");
        check("a \"b\"\n", "\"a \\\"b\\\"\\n\"");
        check(vec!["x".repeat(40)], &format!("[\"{}\"]", "x".repeat(40)));
        check(BTreeMap::from([("id", "db"), ("of", "me")]), "{id: \"db\", of: \"me\"}");
        check(BTreeMap::from([(1, None::<u8>)]), "{1: nil}");
        check((0..20).collect::<Vec<u8>>(), &format!("{:?}", (0..20).collect::<Vec<u8>>()));
        check(Term::from("inside"), "<7 bytes>");
    }

    #[test]
    fn a_reason_within_a_reason_is_readable() {
        let inner = ExitReason::shutdown_with(&("db", ExitReason::error("no route")));
        let outer = ExitReason::shutdown_with(&("top", inner)).to_string();
        assert!(outer.starts_with("{shutdown, [\"top\", {ShutdownWith: [\"db\", {Crash: "), "{outer}");
        assert!(outer.contains("message: \"no route\""), "{outer}");
    }

    #[test]
    fn a_text_is_bounded_in_length_and_depth() {
        let long = Term::encode(&vec!["é".repeat(300); 300]).unwrap().to_string();
        assert!(long.len() <= LONGEST + MORE.len() && long.ends_with(MORE), "{long}");
        let deep = Shown(&[0x91; 100_000]).to_string();
        assert_eq!(deep, format!("{}{MORE}", "[".repeat(DEEPEST + 1)));
    }

    #[test]
    fn garbage_is_counted_and_never_panics() {
        assert_eq!(Shown(&[]).to_string(), "<0 bytes>");
        assert_eq!(Shown(&[0x01, 0x02]).to_string(), "<2 bytes>");
        for first in 0..=u8::MAX {
            for second in [0x00, 0x01, 0x7f, 0x91, 0xa4, 0xc4, 0xff] {
                for len in 0..8 {
                    let mut bytes = vec![second; len];
                    bytes.insert(0, first);
                    let text = Shown(&bytes).to_string();
                    assert!(text.len() <= LONGEST + MORE.len());
                }
            }
        }
    }
}
