//! The shape of MessagePack, looked at before anything is built from it.
//!
//! A decoder that follows bytes of unknown origin recurses as deep as they nest and makes room for as many items as
//! they promise. Here both are checked first, in one pass that neither recurses nor allocates:
//!
//! - exactly one value, complete, with nothing behind it;
//! - nested at most [`DEPTH`] deep, in every way that MessagePack can nest;
//! - no more items promised than there are bytes. Each item takes one at least, so what a decoder allocates for
//!   promises is bounded by the length of the input.

use std::fmt;

/// How deep a value may nest: arrays and maps inside each other, and so also structs, enums with a value, tuples.
///
/// A generated `Deserialize` takes up to 7 KB of stack for each level in an unoptimised build: 128 of them leave more
/// than half of a worker thread's 2 MiB. The decoder's own bound of 1,024 is too high for that, and it does not count
/// enums.
pub(crate) const DEPTH: usize = 128;

/// What is wrong with the shape.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Flaw {
    /// The bytes end, or must end, before the value does.
    Truncated,
    /// So many bytes follow the value.
    Trailing(usize),
    /// It nests deeper than [`DEPTH`].
    TooDeep,
    /// The one byte that begins no value, 0xc1.
    Reserved,
}

impl fmt::Display for Flaw {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Flaw::Truncated => f.write_str("the bytes end before the value does"),
            Flaw::Trailing(n) => write!(f, "{n} bytes follow the value"),
            Flaw::TooDeep => write!(f, "it nests deeper than {DEPTH} levels"),
            Flaw::Reserved => f.write_str("the byte c1 begins no value"),
        }
    }
}

/// Checks that the bytes are one value of bounded depth and nothing else.
pub(crate) fn check(bytes: &[u8]) -> Result<(), Flaw> {
    let mut rest = bytes;
    // Of each value that is still open: how many items are missing after the one that is being read.
    let mut open = [0; DEPTH];
    let (mut depth, mut missing) = (0, 1_u64);
    loop {
        while missing > 0 {
            missing -= 1;
            let size = usize::from(SIZES[usize::from(*rest.first().ok_or(Flaw::Truncated)?)]);
            if size > 0 {
                rest = rest.get(size..).ok_or(Flaw::Truncated)?;
                continue;
            }
            let items = head(&mut rest)?;
            if items > rest.len() as u64 {
                return Err(Flaw::Truncated);
            }
            if items > 0 {
                *open.get_mut(depth).ok_or(Flaw::TooDeep)? = missing;
                (depth, missing) = (depth + 1, items);
            }
        }
        let Some(outer) = depth.checked_sub(1) else {
            return if rest.is_empty() { Ok(()) } else { Err(Flaw::Trailing(rest.len())) };
        };
        (depth, missing) = (outer, open[outer]);
    }
}

/// The size of each value that its first byte tells all of, that byte included; 0 for the others. Most values are of
/// these, and the check is paid by each state that is handed over.
const SIZES: &[u8; 256] = &{
    let mut sizes = [0; 256];
    let mut marker = 0;
    while marker < 256 {
        sizes[marker] = match marker {
            0x00..=0x7f | 0xc0 | 0xc2 | 0xc3 | 0xe0.. => 1,
            // Text of up to 31 bytes.
            0xa0..=0xbf => 1 + (marker as u8 & 0x1f),
            // Floats, unsigned and signed numbers.
            0xca | 0xcb => 1 + (4 << (marker - 0xca)),
            0xcc..=0xcf => 1 + (1 << (marker - 0xcc)),
            0xd0..=0xd3 => 1 + (1 << (marker - 0xd0)),
            // Extensions carry a type besides.
            0xd4..=0xd8 => 2 + (1 << (marker - 0xd4)),
            _ => 0,
        };
        marker += 1;
    }
    sizes
};

/// Takes off a value with a length, or the head of an array or a map. Answers how many values belong into it.
fn head(rest: &mut &[u8]) -> Result<u64, Flaw> {
    let marker = number(rest, 1)?;
    let (data, items) = match marker {
        0x80..=0x8f => (0, 2 * (marker & 0x0f)),
        0x90..=0x9f => (0, marker & 0x0f),
        // Binary, extensions and text, behind a length of 1, 2 or 4 bytes.
        0xc4..=0xc6 => (number(rest, 1 << (marker - 0xc4))?, 0),
        0xc7..=0xc9 => (number(rest, 1 << (marker - 0xc7))? + 1, 0),
        0xd9..=0xdb => (number(rest, 1 << (marker - 0xd9))?, 0),
        // Arrays and maps, behind a count of 2 or 4 bytes.
        0xdc | 0xdd => (0, number(rest, 2 << (marker - 0xdc))?),
        0xde | 0xdf => (0, 2 * number(rest, 2 << (marker - 0xde))?),
        // 0xc1; the others have a size.
        _ => return Err(Flaw::Reserved),
    };
    let data = usize::try_from(data).map_err(|_| Flaw::Truncated)?;
    *rest = rest.get(data..).ok_or(Flaw::Truncated)?;
    Ok(items)
}

/// Takes a number of so many bytes off, the highest first.
fn number(rest: &mut &[u8], bytes: usize) -> Result<u64, Flaw> {
    let (number, behind) = rest.split_at_checked(bytes).ok_or(Flaw::Truncated)?;
    *rest = behind;
    Ok(number.iter().fold(0, |number, byte| number << 8 | u64::from(*byte)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_form_of_value_is_one() {
        let text = |head: &[u8], n: usize| [head, &vec![b'a'; n]].concat();
        for bytes in [
            vec![0x00],
            vec![0x7f],
            vec![0x80],
            vec![0x81, 0xa1, b'a', 0xc0],
            vec![0x90],
            vec![0x92, 0x01, 0xe0],
            vec![0xa0],
            text(&[0xbf], 31),
            vec![0xc2],
            vec![0xc3],
            text(&[0xc4, 3], 3),
            text(&[0xc5, 1, 0], 256),
            text(&[0xc6, 0, 0, 0, 2], 2),
            text(&[0xc7, 3, 9], 3),
            text(&[0xc8, 0, 3, 9], 3),
            text(&[0xc9, 0, 0, 0, 3, 9], 3),
            text(&[0xca], 4),
            text(&[0xcb], 8),
            text(&[0xcc], 1),
            text(&[0xcd], 2),
            text(&[0xce], 4),
            text(&[0xcf], 8),
            text(&[0xd0], 1),
            text(&[0xd1], 2),
            text(&[0xd2], 4),
            text(&[0xd3], 8),
            text(&[0xd4, 9], 1),
            text(&[0xd5, 9], 2),
            text(&[0xd6, 9], 4),
            text(&[0xd7, 9], 8),
            text(&[0xd8, 9], 16),
            text(&[0xd9, 3], 3),
            text(&[0xda, 0, 3], 3),
            text(&[0xdb, 0, 0, 0, 3], 3),
            vec![0xdc, 0, 2, 1, 2],
            vec![0xdd, 0, 0, 0, 2, 1, 2],
            vec![0xde, 0, 1, 1, 2],
            vec![0xdf, 0, 0, 0, 1, 1, 2],
            vec![0xff],
        ] {
            assert_eq!(check(&bytes), Ok(()), "{bytes:02x?}");
            assert_eq!(check(&[&bytes[..], &[0xc0]].concat()), Err(Flaw::Trailing(1)), "{bytes:02x?}");
            for end in 0..bytes.len() {
                assert_eq!(check(&bytes[..end]), Err(Flaw::Truncated), "{bytes:02x?} to {end}");
            }
        }
        assert_eq!(check(&[0xc1]), Err(Flaw::Reserved));
        assert_eq!(check(&[0x91, 0xc1]), Err(Flaw::Reserved));
    }

    #[test]
    fn depth_is_bounded_however_it_nests() {
        for (level, inside) in [
            (&[0x91][..], &[0xc0][..]),
            (&[0x81, 0xa1, b'a'], &[0xc0]),
            (&[0xdc, 0, 1], &[0xc0]),
            (&[0xdd, 0, 0, 0, 1], &[0x90]),
            (&[0xdf, 0, 0, 0, 1, 0xa0], &[0x80]),
            (&[0x92, 0x90], &[0xc0]),
        ] {
            assert_eq!(check(&[&level.repeat(DEPTH), inside].concat()), Ok(()), "{level:02x?}");
            for levels in [DEPTH + 1, 1_000_000] {
                let deep = [&level.repeat(levels), inside].concat();
                assert_eq!(check(&deep), Err(Flaw::TooDeep), "{level:02x?}");
            }
        }
    }

    #[test]
    fn a_promise_that_the_bytes_cannot_keep_is_refused_where_it_is_made() {
        for lie in [
            &[0xdd, 0xff, 0xff, 0xff, 0xff, 1, 2][..],
            &[0xdf, 0xff, 0xff, 0xff, 0xff, 1, 2],
            &[0xdb, 0xff, 0xff, 0xff, 0xff, b'a'],
            &[0xc6, 0xff, 0xff, 0xff, 0xff, b'a'],
            &[0xc9, 0xff, 0xff, 0xff, 0xff, 9, b'a'],
            // The inner value is whole, and eats what was promised to the outer one.
            &[0x94, 0x93, 1, 2, 3, 4],
        ] {
            assert_eq!(check(lie), Err(Flaw::Truncated), "{lie:02x?}");
        }
    }
}
