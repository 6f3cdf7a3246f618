//! The end of a JSON value.

use memchr::memchr;

/// The deepest text that is read. `serde_json` has the same limit.
pub(super) const MAX_DEPTH: u32 = 128;

/// Returns the index of the next byte that is no white space.
pub(super) fn skip_space(json: &[u8], mut at: usize) -> usize {
    while let Some(b' ' | b'\n' | b'\r' | b'\t') = json.get(at) {
        at += 1;
    }
    at
}

/// Returns the index behind the value that begins at `at`, or `None` if the text ends before.
pub(super) fn skip_value(json: &[u8], at: usize) -> Option<usize> {
    match json.get(at)? {
        b'"' => skip_string(json, at),
        b'{' | b'[' => skip_nested(json, at),
        b't' => skip_word(json, at, b"true"),
        b'f' => skip_word(json, at, b"false"),
        b'n' => skip_word(json, at, b"null"),
        b'-' | b'0'..=b'9' => Some(skip_number(json, at)),
        _ => None,
    }
}

/// Skips a string. A quote ends it if an even number of backslashes precedes the quote.
///
/// Only quotes interrupt the search, since texts have many other escapes. Each backslash is counted once.
fn skip_string(json: &[u8], at: usize) -> Option<usize> {
    let start = at + 1;
    let mut at = start;
    loop {
        at += memchr(b'"', json.get(at..)?)?;
        let before = json[start..at].iter().rev();
        let escapes = before.take_while(|byte| **byte == b'\\').count();
        at += 1;
        if escapes % 2 == 0 {
            return Some(at);
        }
    }
}

/// Skips `true`, `false` or `null`.
fn skip_word(json: &[u8], at: usize, word: &[u8]) -> Option<usize> {
    json[at..].starts_with(word).then_some(at + word.len())
}

/// Skips a number, which is not checked.
fn skip_number(json: &[u8], at: usize) -> usize {
    let is_part = |byte: &u8| matches!(byte, b'0'..=b'9' | b'-' | b'+' | b'.' | b'e' | b'E');
    let length = json[at..].iter().position(|byte| !is_part(byte));
    length.map_or(json.len(), |length| at + length)
}

/// Skips an object or an array with all that is in it. One bit per level keeps the kind of bracket.
fn skip_nested(json: &[u8], mut at: usize) -> Option<usize> {
    let (mut depth, mut objects) = (0_u32, 0_u128);
    loop {
        match *json.get(at)? {
            b'"' => {
                at = skip_string(json, at)?;
                continue;
            }
            byte @ (b'{' | b'[') => {
                if depth == MAX_DEPTH {
                    return None;
                }
                depth += 1;
                objects = objects << 1 | u128::from(byte == b'{');
            }
            byte @ (b'}' | b']') => {
                if (objects & 1 == 1) != (byte == b'}') {
                    return None;
                }
                depth -= 1;
                objects >>= 1;
                if depth == 0 {
                    return Some(at + 1);
                }
            }
            _ => {}
        }
        at += 1;
    }
}
