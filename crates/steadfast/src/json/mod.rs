//! A reader of JSON that builds no tree.
//!
//! A stack decides about a request or an answer by the fields at its top level. The values of these
//! fields are slices of the text, and all others are skipped. So the memory of a read is constant,
//! and its depth is bounded.
//!
//! Thousands of instructions for the top level of 100 KiB, in each reader:
//!
//! | Content | here | `serde_json` | `sonic-rs` | `jiter` |
//! |---|---|---|---|---|
//! | messages of a request | 354 | 621 | 429 | 807 |
//! | text of an answer | 332 | 585 | 397 | 773 |
//! | numbers | 1,028 | 1,366 | 1,778 | 1,541 |
//! | many small objects | 1,083 | 1,881 | 2,277 | 2,220 |
//!
//! The order is the same at 1 KiB and at 5 MiB. Since then, strings with quotes take a third less
//! here. The other readers check numbers and escapes too. Only the receiver of the text needs that.

mod skip;

use self::skip::{skip_space, skip_value};

/// Calls `found` with the name and the value of each field of an object, both as written.
///
/// Returns `None` if the text is not one whole object, or is nested too deeply. The
/// skipped values are checked for their brackets and strings only.
pub(crate) fn fields<'a>(json: &'a [u8], found: impl FnMut(&'a [u8], &'a [u8])) -> Option<()> {
    let end = members(json, b'{', found)?;
    ends_at(json, end)
}

/// Calls `found` with each item of an array, as written. Returns `None` as [`fields`] does.
pub(crate) fn items<'a>(json: &'a [u8], mut found: impl FnMut(&'a [u8])) -> Option<()> {
    let end = members(json, b'[', |_, value| found(value))?;
    ends_at(json, end)
}

/// Returns the value of a field of an object, as written. Of two fields with this name, the last
/// one.
pub(crate) fn field<'a>(json: &'a [u8], name: &str) -> Option<&'a [u8]> {
    let mut value = None;
    fields(json, |key, of_key| {
        if key == name.as_bytes() {
            value = Some(of_key);
        }
    })?;
    value
}

/// Returns the text of a string without escapes.
pub(crate) fn plain_text(value: &[u8]) -> Option<&str> {
    let inner = value.strip_prefix(b"\"")?.strip_suffix(b"\"")?;
    (!inner.contains(&b'\\'))
        .then(|| std::str::from_utf8(inner).ok())
        .flatten()
}

/// Reads a whole number that is not negative.
pub(crate) fn count(value: &[u8]) -> Option<u64> {
    std::str::from_utf8(value).ok()?.parse().ok()
}

/// Reads the members of an object or an array, and returns the index behind it.
fn members<'a>(
    json: &'a [u8],
    open: u8,
    mut found: impl FnMut(&'a [u8], &'a [u8]),
) -> Option<usize> {
    let close = if open == b'{' { b'}' } else { b']' };
    let mut at = skip_space(json, 0);
    if json.get(at) != Some(&open) {
        return None;
    }
    at = skip_space(json, at + 1);
    if json.get(at) == Some(&close) {
        return Some(at + 1);
    }
    loop {
        let mut name: &[u8] = &[];
        if open == b'{' {
            let end = (json.get(at) == Some(&b'"')).then(|| skip_value(json, at))??;
            name = &json[at + 1..end - 1];
            at = skip_space(json, end);
            if json.get(at) != Some(&b':') {
                return None;
            }
            at = skip_space(json, at + 1);
        }
        let end = skip_value(json, at)?;
        found(name, &json[at..end]);
        at = skip_space(json, end);
        match json.get(at) {
            Some(b',') => at = skip_space(json, at + 1),
            Some(byte) if *byte == close => return Some(at + 1),
            _ => return None,
        }
    }
}

/// Returns whether nothing but white space follows.
fn ends_at(json: &[u8], end: usize) -> Option<()> {
    (skip_space(json, end) == json.len()).then_some(())
}

#[cfg(test)]
mod tests;
