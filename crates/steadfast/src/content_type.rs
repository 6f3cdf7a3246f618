//! The type of a body, by its header.

use http::HeaderMap;
use http::header::CONTENT_TYPE;

/// Returns whether a body is a stream of events.
pub(crate) fn is_events(headers: &HeaderMap) -> bool {
    of(headers).eq_ignore_ascii_case(b"text/event-stream")
}

/// Returns whether a body is JSON, so that its fields can be read.
pub(crate) fn is_json(headers: &HeaderMap) -> bool {
    let kind = of(headers);
    // Not `application/x-ndjson`: its lines may be a conversation.
    kind.eq_ignore_ascii_case(b"application/json") || kind.ends_with(b"+json")
}

/// Returns the type without its parameters, or nothing.
fn of(headers: &HeaderMap) -> &[u8] {
    let value = headers.get(CONTENT_TYPE).map(|value| value.as_bytes());
    let mut parts = value.unwrap_or_default().split(|&byte| byte == b';');
    parts.next().unwrap_or_default().trim_ascii()
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::HeaderValue;

    #[test]
    fn type_is_read_without_case_and_parameters() {
        for (value, events, json) in [
            ("text/event-stream", true, false),
            ("Text/Event-Stream ; charset=utf-8", true, false),
            ("text/event-streams", false, false),
            ("application/json", false, true),
            ("APPLICATION/JSON;charset=utf-8", false, true),
            ("application/problem+json", false, true),
            ("application/x-ndjson", false, false),
            ("application/jsonl", false, false),
            ("", false, false),
        ] {
            let mut headers = HeaderMap::new();
            headers.insert(CONTENT_TYPE, HeaderValue::from_static(value));
            assert_eq!(
                (is_events(&headers), is_json(&headers)),
                (events, json),
                "{value}"
            );
        }
        assert!(!is_events(&HeaderMap::new()) && !is_json(&HeaderMap::new()));
    }
}
