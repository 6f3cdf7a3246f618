//! The end of a JSON value.

use memchr::memchr;

/// The bytes that are compared at once.
const WORD: usize = 8;
const BLOCK: usize = 16;
/// The blocks that are searched before `memchr`, which is faster in a long text.
const NEAR: usize = 8;

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

/// Skips a string. An escaped quote does not end it.
///
/// Only quotes interrupt the search, since texts have many other escapes. Each backslash is counted
/// once.
// Apart: within the loop of its callers it takes a tenth longer.
#[inline(never)]
fn skip_string(json: &[u8], at: usize) -> Option<usize> {
    let start = at + 1;
    let mut at = start;
    loop {
        at += find_quote(json.get(at..)?)?;
        let before = &json[start..at];
        at += 1;
        if !is_escaped(before) {
            return Some(at);
        }
    }
}

/// Returns whether an odd number of backslashes precedes a quote. Nearly all have one or none.
fn is_escaped(before: &[u8]) -> bool {
    match before {
        [.., b'\\', b'\\'] => {
            let escapes = before.iter().rev().take_while(|byte| **byte == b'\\');
            escapes.count() % 2 == 1
        }
        [.., last] => *last == b'\\',
        [] => false,
    }
}

/// Returns the place of the first quote.
///
/// Names are short, and texts have a quote every few words. A call of `memchr` for each of these
/// takes longer than the comparisons here, which the compiler turns into a few wide ones.
fn find_quote(text: &[u8]) -> Option<usize> {
    if let Some(first) = text.get(..WORD).and_then(quote_in) {
        return Some(first);
    }
    let mut at = 0;
    for block in text.chunks_exact(BLOCK).take(NEAR) {
        // Without an early end, so that it is one comparison.
        if block.iter().fold(false, |has, byte| has | (*byte == b'"')) {
            for word in block.chunks_exact(WORD) {
                if let Some(place) = quote_in(word) {
                    return Some(at + place);
                }
                at += WORD;
            }
        }
        at += BLOCK;
    }
    Some(at + memchr(b'"', text.get(at..)?)?)
}

/// Returns the place of the first quote in a word of [`WORD`] bytes.
fn quote_in(word: &[u8]) -> Option<usize> {
    const ONES: u64 = u64::MAX / 255;
    // The bytes of quotes are zero. The subtraction marks the first one of these, and perhaps later
    // bytes.
    let word = u64::from_le_bytes(word.try_into().ok()?) ^ (ONES * b'"' as u64);
    let found = word.wrapping_sub(ONES) & !word & (ONES << 7);
    (found != 0).then_some(found.trailing_zeros() as usize / 8)
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
