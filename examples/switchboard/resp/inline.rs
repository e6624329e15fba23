//! Inline requests: a line of words, for people with telnet and for redis-benchmark's `PING_INLINE`.

use super::decoder::Span;
use crate::error::ProtocolError;

/// Splits `line` into words by Redis's quoting rules: the unquoted text goes into `text`, one span of it for each word
/// into `words`.
///
/// Within `"..."` the escapes `\n \r \t \b \a \xHH` and `\` before any other byte are known; within `'...'` only `\'`.
/// A closing quote must end the word.
pub fn split(line: &[u8], text: &mut Vec<u8>, words: &mut Vec<Span>) -> Result<(), ProtocolError> {
    let mut rest = skip_space(line);
    while !rest.is_empty() {
        let start = text.len();
        rest = skip_space(word(rest, text)?);
        words.push(Span::new(start, text.len()));
    }
    Ok(())
}

/// Takes one word off the front of `line`.
fn word<'a>(mut line: &'a [u8], text: &mut Vec<u8>) -> Result<&'a [u8], ProtocolError> {
    loop {
        line = match line {
            [] => return Ok(line),
            [b' ' | b'\n' | b'\r' | b'\t', ..] => return Ok(line),
            [b'"', rest @ ..] => return closed(double_quoted(rest, text)?),
            [b'\'', rest @ ..] => return closed(single_quoted(rest, text)?),
            [byte, rest @ ..] => {
                text.push(*byte);
                rest
            }
        }
    }
}

/// What follows a closing quote must be blank or the end.
fn closed(rest: &[u8]) -> Result<&[u8], ProtocolError> {
    match rest.first() {
        Some(byte) if !is_space(*byte) => Err(ProtocolError::UnbalancedQuotes),
        _ => Ok(rest),
    }
}

fn double_quoted<'a>(mut line: &'a [u8], text: &mut Vec<u8>) -> Result<&'a [u8], ProtocolError> {
    loop {
        line = match line {
            [] => return Err(ProtocolError::UnbalancedQuotes),
            [b'"', rest @ ..] => return Ok(rest),
            [b'\\', b'x', high, low, rest @ ..] if high.is_ascii_hexdigit() && low.is_ascii_hexdigit() => {
                text.push(hex(*high) << 4 | hex(*low));
                rest
            }
            [b'\\', escape, rest @ ..] => {
                text.push(match escape {
                    b'n' => b'\n',
                    b'r' => b'\r',
                    b't' => b'\t',
                    b'b' => 0x08,
                    b'a' => 0x07,
                    other => *other,
                });
                rest
            }
            [byte, rest @ ..] => {
                text.push(*byte);
                rest
            }
        }
    }
}

fn single_quoted<'a>(mut line: &'a [u8], text: &mut Vec<u8>) -> Result<&'a [u8], ProtocolError> {
    loop {
        line = match line {
            [] => return Err(ProtocolError::UnbalancedQuotes),
            [b'\'', rest @ ..] => return Ok(rest),
            [b'\\', byte @ b'\'', rest @ ..] | [byte, rest @ ..] => {
                text.push(*byte);
                rest
            }
        }
    }
}

/// Cuts the blanks off the front.
fn skip_space(line: &[u8]) -> &[u8] {
    let blanks = line.iter().take_while(|byte| is_space(**byte)).count();
    &line[blanks..]
}

/// C's `isspace`, which has one blank more than Rust's: the vertical tab.
fn is_space(byte: u8) -> bool {
    byte.is_ascii_whitespace() || byte == 0x0b
}

/// The value of a hexadecimal digit.
fn hex(digit: u8) -> u8 {
    match digit {
        b'a'..=b'f' => digit - b'a' + 10,
        b'A'..=b'F' => digit - b'A' + 10,
        _ => digit & 0x0f,
    }
}
