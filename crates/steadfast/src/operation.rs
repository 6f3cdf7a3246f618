//! The parts of a request that decide about endpoints and repeats.

use http::Method;
use serde::Deserialize;
use serde::de::IgnoredAny;
use steadfast_core::LimitKey;

use crate::dialect::{PathRule, below, path_rule};
use crate::model_field::ModelField;
use crate::scan::{Flag, is_deeper_than};

/// The start of the paths of OpenAI and Anthropic, and the default request root.
pub(crate) const API_ROOT: &str = "/v1";

/// Whether a request means the same at every endpoint.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Operation {
    /// It generates something and stores nothing. Any endpoint can serve it, and a repeat costs money
    /// but does no harm.
    Stateless,
    /// It names state that one endpoint stores.
    Stateful,
    /// Its method decides.
    Other,
}

/// The response is to be streamed. In the extensions of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Streaming;

/// The request calls an operation of a dialect, whose answers are neither informational nor redirects.
/// In the extensions of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Known;

/// The deepest body that is read. `serde_json` has the same limit.
const MAX_DEPTH: usize = 128;

/// The fields of a request body that decide about endpoints and repeats. The endpoint checks their
/// types.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct BodyHints {
    model: ModelField,
    stream: Flag,
    store: Flag,
    background: Flag,
    previous_response_id: Option<IgnoredAny>,
    conversation: Option<IgnoredAny>,
}

impl BodyHints {
    /// Reads a body. Without a JSON object there are no hints.
    ///
    /// A body that is nested too deeply has none either. No part of the body becomes a tree.
    pub(crate) fn of(body: &[u8]) -> Self {
        // serde would read the fields of a struct from an array too.
        if !body.trim_ascii_start().starts_with(b"{") || is_deeper_than(body, MAX_DEPTH) {
            return Self::default();
        }
        serde_json::from_slice(body).unwrap_or_default()
    }

    /// Returns whether the response is to be streamed, if the body has the field.
    pub(crate) fn stream(&self) -> Option<bool> {
        self.stream.0
    }

    /// Returns the model of the request, if the body names one.
    pub(crate) fn model(&self) -> Option<LimitKey> {
        self.model.0
    }

    /// Whether the Responses API stores something for this request. It does by default.
    fn keeps_state(&self) -> bool {
        self.store.0 != Some(false)
            || self.background.0 == Some(true)
            || self.previous_response_id.is_some()
            || self.conversation.is_some()
    }
}

impl Operation {
    /// Reads the method, the path below the request root, and the body.
    ///
    /// If callers repeat [`API_ROOT`] behind another request root, it is skipped.
    pub(crate) fn of(method: &Method, path: &str, hints: &BodyHints) -> Self {
        let path = below(path, API_ROOT).unwrap_or(path);
        match path_rule(method, path, hints.keeps_state()) {
            Some(PathRule::Stateless | PathRule::StatelessUnlessStored) => Self::Stateless,
            Some(PathRule::Stateful) => Self::Stateful,
            None => Self::Other,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use Operation::{Other, Stateful, Stateless};

    #[test]
    fn path_and_body_map_to_operation() {
        for (method, path, body, expected) in [
            ("POST", "/v1/chat/completions", "{}", Stateless),
            ("POST", "/chat/completions", "{}", Stateless),
            ("POST", "/v1/chat/completions/", "{}", Stateless),
            ("POST", "/v1/embeddings", "", Stateless),
            ("POST", "/v1/messages", "{}", Stateless),
            ("POST", "/v1/responses", r#"{"store":false}"#, Stateless),
            ("POST", "/v1/responses", "{}", Stateful),
            ("POST", "/v1/responses", r#"{"store":null}"#, Stateful),
            (
                "POST",
                "/v1/responses",
                r#"{"store":false,"previous_response_id":"r"}"#,
                Stateful,
            ),
            (
                "POST",
                "/v1/responses",
                r#"{"store":false,"background":true}"#,
                Stateful,
            ),
            (
                "POST",
                "/v1/responses",
                r#"{"store":false,"conversation":"c"}"#,
                Stateful,
            ),
            ("GET", "/v1/responses/r_1", "", Stateful),
            ("GET", "/v1/chat/completions", "", Stateful),
            ("GET", "/v1/chat/completions/c_1", "", Stateful),
            ("POST", "/v1/files", "", Stateful),
            ("GET", "/v1/batches", "", Stateful),
            ("POST", "/v1/messages/batches", "{}", Stateful),
            ("POST", "/v1/threads/t/runs", "{}", Stateful),
            ("GET", "/v1/models", "", Other),
            ("POST", "/v1/images/generations", "{}", Other),
            ("GET", "/v1/filesystem", "", Other),
        ] {
            let method = method.parse().unwrap();
            let operation = Operation::of(&method, path, &BodyHints::of(body.as_bytes()));
            assert_eq!(operation, expected, "{method} {path} {body}");
        }
    }

    #[test]
    fn only_top_level_field_requests_stream() {
        for (body, expected) in [
            (r#"{"stream":true}"#, Some(true)),
            (r#"{"model":"m","stream" : true,"messages":[]}"#, Some(true)),
            (r#"{"stream":false}"#, Some(false)),
            (r#"{"stream":"true"}"#, None),
            (r#"{"stream":null}"#, None),
            (r#"{"messages":[{"content":"\"stream\":true"}]}"#, None),
            (r#"{"tools":[{"stream":true}]}"#, None),
            (r#"{"stream":[true,{"a":[1]}],"store":{"a":1}}"#, None),
            (r#"{"stream":1e400}"#, None),
            (r#"{"a":[1,"]",{}],"stream":true}"#, Some(true)),
            ("[true]", None),
            ("no json", None),
            ("", None),
        ] {
            assert_eq!(BodyHints::of(body.as_bytes()).stream(), expected, "{body}");
        }
    }
}
