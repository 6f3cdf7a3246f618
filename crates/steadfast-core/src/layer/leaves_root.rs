/// Returns whether a path leads out of its root with `..`, also if it is percent-encoded.
///
/// Such a request must not be sent: it would reach other parts of a server with the credential of
/// the endpoint.
#[must_use]
pub fn leaves_root(path: &str) -> bool {
    let is_up = |path: &str| path.split(['/', '\\']).any(|segment| segment == "..");
    // Most paths contain neither `%` nor `.`, so they cost one search and no allocation.
    if !has_special(path.as_bytes()) {
        return false;
    }
    if !path.contains('%') {
        return is_up(path);
    }
    let path = path.to_ascii_lowercase().replace("%2e", ".");
    is_up(&path.replace("%2f", "/").replace("%5c", "\\"))
}

/// Returns whether a path contains `%` or `.`. Compares words, since paths are short.
fn has_special(path: &[u8]) -> bool {
    const WORD: usize = 8;
    const ONES: u64 = u64::MAX / 255;
    // The subtraction marks zero bytes. It may mark more, but only if there is one.
    let has_zero = |word: u64| word.wrapping_sub(ONES) & !word & (ONES << 7) != 0;
    let has = |word: u64, byte: u8| has_zero(word ^ (ONES * u64::from(byte)));
    let words = path.chunks_exact(WORD);
    let rest = words.remainder();
    let mut words = words.filter_map(|word| word.try_into().ok().map(u64::from_le_bytes));
    words.any(|word| has(word, b'%') || has(word, b'.'))
        || rest.iter().any(|byte| matches!(byte, b'%' | b'.'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parent_segment_in_any_encoding_leaves_root() {
        for (path, expected) in [
            ("/v1/../admin", true),
            ("/v1/..", true),
            ("/v1/%2e%2E/admin", true),
            ("/v1/.%2e%2fadmin", true),
            ("/v1/..%5Cadmin", true),
            ("/v1/models/..\\..\\admin", true),
            ("/v1/models", false),
            ("/v1/models/gpt-4..1", false),
            ("/v1/models/..gpt", false),
            ("/v1/models/owner%2Fmodel", false),
        ] {
            assert_eq!(leaves_root(path), expected, "{path}");
        }
    }

    #[test]
    fn special_byte_is_found_at_each_place() {
        for length in 0..20 {
            let path = "/".repeat(length);
            assert!(!has_special(path.as_bytes()), "{length}");
            for (at, byte) in (0..length).flat_map(|at| [(at, b'.'), (at, b'%')]) {
                let mut path = path.clone().into_bytes();
                path[at] = byte;
                assert!(has_special(&path), "{at} of {length}");
            }
        }
        // Bytes beside the two, and bytes with the highest bit.
        assert!(!has_special("-/$&é®-/$&éé".as_bytes()));
    }
}
