//! The patterns of `KEYS`, `SCAN MATCH` and `CONFIG GET`.

/// Whether `pattern` matches all of `text`: `*`, `?`, `[a-z]`, `[^a]` and `\` before any byte to mean the byte itself.
///
/// As in Redis, an empty text is matched by nothing but the empty pattern and a single star.
///
/// Redis tries every star against every rest of the text. Here only the last star is ever moved: whatever an earlier
/// star could give up, the last one can take, so nothing is lost, and the cost is at most pattern times text. A
/// pattern such as `*a*a*a*a*b` cannot be made into an attack.
pub fn matches(pattern: &[u8], text: &[u8]) -> bool {
    if text.is_empty() {
        return matches!(pattern, [] | [b'*']);
    }
    let (mut pattern, mut text) = (pattern, text);
    // Where to go on when the rest does not fit: behind the last star, one byte further into the text.
    let mut retry: Option<(&[u8], &[u8])> = None;
    loop {
        if let [b'*', rest @ ..] = pattern {
            pattern = rest;
            retry = Some((rest, text));
            continue;
        }
        match text {
            [] if pattern.is_empty() => return true,
            // The text is used up: a star that takes even more of it cannot help.
            [] => return false,
            [byte, rest @ ..] => {
                if let Some(behind) = one(pattern, *byte) {
                    (pattern, text) = (behind, rest);
                    continue;
                }
            }
        }
        match retry {
            Some((behind, [_, rest @ ..])) => {
                (pattern, text) = (behind, rest);
                retry = Some((behind, rest));
            }
            _ => return false,
        }
    }
}

/// Matches one byte against the pattern's first element, which is not a star; gives the pattern behind that element.
fn one(pattern: &[u8], byte: u8) -> Option<&[u8]> {
    match pattern {
        [] => None,
        [b'?', rest @ ..] => Some(rest),
        [b'[', b'^', class @ ..] => set(class, byte, false),
        [b'[', class @ ..] => set(class, byte, true),
        [b'\\', literal, rest @ ..] | [literal, rest @ ..] => (*literal == byte).then_some(rest),
    }
}

/// Matches `byte` against the set that `class` begins with; gives the pattern behind it.
///
/// As in Redis, a set that is not closed ends with the pattern, a range may be written backwards, and `]` right
/// after the bracket closes an empty set.
fn set(mut class: &[u8], byte: u8, wanted: bool) -> Option<&[u8]> {
    let mut found = false;
    let rest = loop {
        class = match class {
            [] => break class,
            [b'\\', literal, rest @ ..] => {
                found |= *literal == byte;
                rest
            }
            [b']', rest @ ..] => break rest,
            [from, b'-', to, rest @ ..] => {
                found |= (*from.min(to)..=*from.max(to)).contains(&byte);
                rest
            }
            [literal, rest @ ..] => {
                found |= *literal == byte;
                rest
            }
        };
    };
    (found == wanted).then_some(rest)
}
