//! The limit key of a request: its model.
//!
//! Providers limit each credential per model. The balancer keeps its cooldowns, send rates, quotas
//! and queues per key, so a limited model leaves the other models of an endpoint unchanged. Callers
//! choose the keys. The balancer bounds their number and their size.

use http::Method;
use steadfast_core::LimitKey;

use crate::dialect::below;
use crate::operation::API_ROOT;

/// Returns the limit key of a request with this path below the request root.
///
/// A model in the path takes precedence, because the endpoint ignores the one in the body then.
/// Requests without a model have a key for their kind of path. Their refusals leave the models
/// unchanged, also if a caller hides the model.
pub(crate) fn limit_key(method: &Method, path: &str, model: Option<LimitKey>) -> LimitKey {
    let path = below(path, API_ROOT).unwrap_or(path);
    let named = (method == Method::POST)
        .then(|| model_in_path(path))
        .flatten();
    named.map(LimitKey::new).or(model).unwrap_or_else(|| {
        let first = path.trim_start_matches('/').split('/').next();
        LimitKey::new(first.unwrap_or_default())
    })
}

/// Returns the model that a path names, as in `/models/gemini-2.5-pro:generateContent`.
pub(crate) fn model_in_path(path: &str) -> Option<&str> {
    // A search for a byte is cheaper than the one for a character, as segments are short.
    let mut segments = segments_of(path);
    while let Some(segment) = segments.next() {
        match segment {
            // Gemini and Vertex append the method to the model.
            "models" => {
                let model = segments.next()?;
                let model = model.rsplit_once(':').map_or(model, |(model, _)| model);
                return Some(model).filter(|model| !model.is_empty());
            }
            // Azure names a deployment, and Bedrock a model that may contain colons.
            "deployments" | "model" => return segments.next().filter(|model| !model.is_empty()),
            _ => {}
        }
    }
    None
}

/// Returns the segments of a path, as a split by `/` does.
fn segments_of(path: &str) -> impl Iterator<Item = &str> {
    let mut rest = Some(path);
    std::iter::from_fn(move || {
        let text = rest?;
        let end = text.bytes().position(|byte| byte == b'/');
        rest = end.map(|end| &text[end + 1..]);
        Some(&text[..end.unwrap_or(text.len())])
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::operation::BodyHints;

    #[test]
    fn segments_equal_a_split() {
        for path in ["", "/", "a", "/a/b", "a//b/", "/é/ü"] {
            assert!(segments_of(path).eq(path.split('/')), "{path}");
        }
    }

    fn key(method: &Method, path: &str, body: &str) -> String {
        let hints = BodyHints::of(body.as_bytes());
        limit_key(method, path, hints.model()).to_string()
    }

    #[test]
    fn key_is_the_model_of_the_request() {
        for (path, body, expected) in [
            ("/v1/chat/completions", r#"{"model":"gpt-4o"}"#, "gpt-4o"),
            (
                "/chat/completions",
                r#"{"x":{"model":"a"},"model":"b"}"#,
                "b",
            ),
            ("/v1/chat/completions", r#"{"model":"a\u0062c"}"#, "abc"),
            (
                "/v1beta/models/gemini-2.5-pro:generateContent",
                r#"{"model":"ignored"}"#,
                "gemini-2.5-pro",
            ),
            (
                "/openai/deployments/my-gpt/chat/completions",
                r#"{"model":"ignored"}"#,
                "my-gpt",
            ),
            (
                "/model/anthropic.claude-v2:1/invoke",
                "{}",
                "anthropic.claude-v2:1",
            ),
            (
                "/projects/p/publishers/google/models/text-bison@001:predict",
                "{}",
                "text-bison@001",
            ),
        ] {
            assert_eq!(key(&Method::POST, path, body), expected, "{path} {body}");
        }
    }

    /// A caller can hide the model. Such a request must not share its limits with other callers'
    /// models.
    #[test]
    fn request_without_model_has_the_key_of_its_path() {
        for body in [
            "",
            "[]",
            "{}",
            r#"{"model":""}"#,
            r#"{"model":null}"#,
            r#"{"model":7}"#,
            r#"{"model":-7}"#,
            r#"{"model":1e300}"#,
            r#"{"model":true}"#,
            r#"{"model":["a"]}"#,
            r#"{"model":{"a":{"b":1}}}"#,
            r#"{"model":"a","model":"b"}"#,
            r#"{"model":"a""#,
        ] {
            assert_eq!(
                key(&Method::POST, "/v1/chat/completions", body),
                "chat",
                "{body}"
            );
        }
        for (path, expected) in [
            ("/v1/models/gpt-4o", "models"),
            ("/v1/files/file-1/content", "files"),
            ("/files", "files"),
            ("/", ""),
            ("", ""),
        ] {
            assert_eq!(key(&Method::GET, path, ""), expected, "{path}");
        }
    }

    /// The other fields are read although the model has an unusual type.
    #[test]
    fn unusual_model_leaves_other_fields_readable() {
        for model in ["7", "null", "[1,[2]]", r#"{"a":[]}"#, "\"a\""] {
            let body = format!(r#"{{"model":{model},"stream":true}}"#);
            assert_eq!(
                BodyHints::of(body.as_bytes()).stream(),
                Some(true),
                "{body}"
            );
        }
    }
}
