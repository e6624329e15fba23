//! One value, one spelling.

use crate::number::{Decimal, parse};

#[test]
fn reads_what_it_would_write_and_nothing_else() {
    let check = |text: &str, expected: Option<i64>| {
        assert_eq!(parse(text.as_bytes()), expected, "{text:?}");
        if let Some(value) = expected {
            assert_eq!(Decimal::new(value).as_bytes(), text.as_bytes());
        }
    };
    check("0", Some(0));
    check("7", Some(7));
    check("-1", Some(-1));
    check("1234567890", Some(1_234_567_890));
    check("9223372036854775807", Some(i64::MAX));
    check("-9223372036854775808", Some(i64::MIN));
    check("9223372036854775808", None);
    check("-9223372036854775809", None);
    check("99999999999999999999999999999999999999999", None);
    check("", None);
    check("-", None);
    check("-0", None);
    check("00", None);
    check("01", None);
    check("+1", None);
    check(" 1", None);
    check("1 ", None);
    check("1.5", None);
    check("--1", None);
    check("1-", None);
    check("\u{661}", None);
}
