//! Integers as Redis reads and writes them.

/// Longest decimal form of an `i64`: nineteen digits and a sign.
const LONGEST: usize = 20;

/// Reads a decimal `i64` as strictly as Redis: no spaces, no `+`, no leading zero, no `-0`, nothing behind it.
///
/// One value has one spelling, so what `INCR` accepts is exactly what it would itself have written.
pub fn parse(text: &[u8]) -> Option<i64> {
    if text == b"0" {
        return Some(0);
    }
    let (negative, digits) = match text {
        [b'-', rest @ ..] => (true, rest),
        _ => (false, text),
    };
    if !matches!(digits.first(), Some(b'1'..=b'9')) {
        return None;
    }
    // Summed up below zero, because `i64::MIN` has no positive twin.
    let mut sum = 0_i64;
    for digit in digits {
        if !digit.is_ascii_digit() {
            return None;
        }
        sum = sum.checked_mul(10)?.checked_sub(i64::from(digit - b'0'))?;
    }
    if negative { Some(sum) } else { sum.checked_neg() }
}

/// A decimal `i64` on the stack: the hot replies must not allocate for a handful of digits.
pub struct Decimal {
    digits: [u8; LONGEST],
    start: usize,
}

impl Decimal {
    /// Writes `value` down.
    pub fn new(value: i64) -> Self {
        let mut decimal = Self { digits: [0; LONGEST], start: LONGEST };
        let mut rest = value.unsigned_abs();
        loop {
            // The remainder is below ten, so the cast keeps it whole.
            decimal.push(b'0' + (rest % 10) as u8);
            rest /= 10;
            if rest == 0 {
                break;
            }
        }
        if value < 0 {
            decimal.push(b'-');
        }
        decimal
    }

    /// The text.
    pub fn as_bytes(&self) -> &[u8] {
        &self.digits[self.start..]
    }

    fn push(&mut self, byte: u8) {
        self.start -= 1;
        self.digits[self.start] = byte;
    }
}
