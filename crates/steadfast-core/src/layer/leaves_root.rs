/// Returns whether a path leads out of its root with `..`, also if it is percent-encoded.
///
/// Such a request must not be sent: it would reach other parts of a server with the credential of
/// the endpoint.
#[must_use]
pub fn leaves_root(path: &str) -> bool {
    let is_up = |path: &str| path.split(['/', '\\']).any(|segment| segment == "..");
    // Most paths contain neither `%` nor `.`, so they cost one search and no allocation.
    if !path.bytes().any(|byte| matches!(byte, b'%' | b'.')) {
        return false;
    }
    if !path.contains('%') {
        return is_up(path);
    }
    let path = path.to_ascii_lowercase().replace("%2e", ".");
    is_up(&path.replace("%2f", "/").replace("%5c", "\\"))
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
}
