//! The parts of a request that decide about endpoints and repeats.

use http::Method;
use serde::Deserialize;
use steadfast_core::LimitKey;

use crate::dialect::{PathRule, below, is_stored_by_default, path_rule};
use crate::json;
use crate::model_field::ModelField;
use crate::scan::{Flag, is_deeper_than};
use crate::state_id::StateId;

/// The start of the paths of OpenAI and Anthropic, and the default request root.
pub(crate) const API_ROOT: &str = "/v1";

/// Whether a request means the same at every endpoint.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Operation {
    /// It generates something and stores nothing. Any endpoint can serve it, and a repeat costs
    /// money but does no harm.
    Stateless,
    /// It names state that one endpoint stores.
    Stateful,
    /// Its method decides.
    Other,
}

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
    previous_response_id: StateId,
    conversation: StateId,
    input_file_id: StateId,
    assistant_id: StateId,
}

impl BodyHints {
    /// Reads a body. Without a JSON object there are no hints.
    ///
    /// A body that is nested too deeply has none either. No part of the body becomes a tree.
    pub(crate) fn of(body: &[u8]) -> Self {
        if let Some(hints) = Self::of_usual(body) {
            return hints;
        }
        Self::of_any(body).unwrap_or_default()
    }

    /// Reads a body with `serde_json`.
    fn of_any(body: &[u8]) -> Option<Self> {
        // serde would read the fields of a struct from an array too.
        if !body.trim_ascii_start().starts_with(b"{") || is_deeper_than(body, MAX_DEPTH) {
            return None;
        }
        serde_json::from_slice(body).ok()
    }

    /// Reads a usual body in one pass: a third of the instructions of `serde_json`. Returns `None`
    /// for any other body, and for text that is no JSON object.
    ///
    /// Nearly all clients write usual bodies: their fields have the types of the API, and occur
    /// once. If `serde_json` accepts the body, the result is the same. The pass is less strict: an
    /// endpoint rejects a body with a malformed number, whatever its hints are.
    fn of_usual(body: &[u8]) -> Option<Self> {
        let (mut hints, mut seen, mut usual) = (Self::default(), 0, Some(()));
        json::fields(body, |name, value| {
            usual = usual.and_then(|()| hints.read(name, value, &mut seen));
        })?;
        usual.map(|()| hints)
    }

    /// Reads a field. `seen` has a bit for each field that was read. Returns `None` if it is
    /// unusual.
    fn read(&mut self, name: &[u8], value: &[u8], seen: &mut u8) -> Option<()> {
        let bit = match name {
            b"model" => 1,
            b"stream" => 2,
            b"store" => 4,
            b"background" => 8,
            b"previous_response_id" => 16,
            b"conversation" => 32,
            b"input_file_id" => 64,
            b"assistant_id" => 128,
            // It may be one of these names.
            _ => return (!name.contains(&b'\\')).then_some(()),
        };
        // `serde_json` rejects a repeated field.
        if *seen & bit != 0 {
            return None;
        }
        *seen |= bit;
        match bit {
            1 => self.model = ModelField::new(json::plain_text(value)?),
            2 => self.stream = flag(value)?,
            4 => self.store = flag(value)?,
            8 => self.background = flag(value)?,
            16 => self.previous_response_id = StateId::of_usual(value)?,
            32 => self.conversation = StateId::of_usual(value)?,
            64 => self.input_file_id = StateId::of_usual(value)?,
            _ => self.assistant_id = StateId::of_usual(value)?,
        }
        Some(())
    }

    /// Returns whether the response is to be streamed, if the body has the field.
    pub(crate) fn stream(&self) -> Option<bool> {
        self.stream.0
    }

    /// Returns the model of the request, if the body names one.
    pub(crate) fn model(&self) -> Option<LimitKey> {
        self.model.0
    }

    /// Returns whether the request names stored state, or starts a job. Only one endpoint knows
    /// either.
    ///
    /// A response that is stored for later is new, so any endpoint can serve and store it.
    fn names_state(&self) -> bool {
        self.background.0 == Some(true)
            || self.previous_response_id.is_present()
            || self.conversation.is_present()
    }

    /// Returns the ids of stored objects that the body names.
    pub(crate) fn state_ids(&self) -> impl Iterator<Item = &str> {
        let all = [
            &self.previous_response_id,
            &self.conversation,
            &self.input_file_id,
            &self.assistant_id,
        ];
        all.into_iter().filter_map(StateId::text)
    }
}

/// Reads a flag, which may be `null`. Another type is unusual.
fn flag(value: &[u8]) -> Option<Flag> {
    match value {
        b"true" => Some(Flag(Some(true))),
        b"false" => Some(Flag(Some(false))),
        b"null" => Some(Flag(None)),
        _ => None,
    }
}

/// Returns the path without [`API_ROOT`], which callers may repeat behind another request root.
fn without_api_root(path: &str) -> &str {
    below(path, API_ROOT).unwrap_or(path)
}

impl Operation {
    /// Returns whether the answer to a `POST` may report an object that its endpoint has stored.
    pub(crate) fn creates(self, path: &str, hints: &BodyHints) -> bool {
        match self {
            Self::Stateful => true,
            Self::Stateless => {
                let by_default = || is_stored_by_default(without_api_root(path));
                hints.store.0.unwrap_or_else(by_default)
            }
            Self::Other => false,
        }
    }

    /// Reads the method, the path below the request root, and the body.
    pub(crate) fn of(method: &Method, path: &str, hints: &BodyHints) -> Self {
        match path_rule(method, without_api_root(path), hints.names_state()) {
            Some(PathRule::Stateless | PathRule::StoredUnlessForbidden) => Self::Stateless,
            Some(PathRule::Stateful) => Self::Stateful,
            None => Self::Other,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use Operation::{Other, Stateful, Stateless};
    use proptest::prelude::*;

    #[test]
    fn path_and_body_map_to_operation() {
        for (method, path, body, expected) in [
            ("POST", "/v1/chat/completions", "{}", Stateless),
            ("POST", "/chat/completions", "{}", Stateless),
            ("POST", "/v1/chat/completions/", "{}", Stateless),
            ("POST", "/v1/embeddings", "", Stateless),
            ("POST", "/v1/messages", "{}", Stateless),
            ("POST", "/v1/responses", r#"{"store":false}"#, Stateless),
            ("POST", "/v1/responses", "{}", Stateless),
            ("POST", "/v1/responses", r#"{"store":null}"#, Stateless),
            ("POST", "/v1/responses", r#"{"store":true}"#, Stateless),
            ("POST", "/v1/responses", r#"{"background":true}"#, Stateful),
            (
                "POST",
                "/v1/responses",
                r#"{"conversation":{"id":"c"}}"#,
                Stateful,
            ),
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
            ("POST", "/v1/completions", "{}", Stateless),
            ("POST", "/v2/chat", "{}", Stateless),
            (
                "POST",
                "/v1beta/models/gemini:generateContent",
                "{}",
                Stateless,
            ),
            (
                "POST",
                "/models/gemini:streamGenerateContent",
                "{}",
                Stateless,
            ),
            ("GET", "/models/gemini:generateContent", "", Other),
            ("POST", "/v1/moderations", "{}", Stateless),
            ("POST", "/v1/messages/count_tokens", "{}", Stateless),
            ("POST", "/v1/assistants", "{}", Stateful),
            ("POST", "/v1/containers", "{}", Stateful),
            ("POST", "/v1/conversations", "{}", Stateful),
            ("POST", "/v1/evals", "{}", Stateful),
            ("POST", "/v1/fine_tuning/jobs", "{}", Stateful),
            ("POST", "/v1/uploads", "{}", Stateful),
            ("POST", "/v1/vector_stores", "{}", Stateful),
            ("POST", "/v1/videos", "{}", Stateful),
            ("POST", "/v1/files", "", Stateful),
            ("GET", "/v1/batches", "", Stateful),
            ("POST", "/v1/messages/batches", "{}", Stateful),
            ("POST", "/v1/threads/t/runs", "{}", Stateful),
            ("GET", "/v1/models", "", Other),
            ("POST", "/v1/images/generations", "{}", Stateless),
            ("POST", "/v1/images/edits", "", Stateless),
            ("POST", "/v1/images/variations", "", Stateless),
            ("POST", "/v1/audio/speech", "{}", Stateless),
            ("POST", "/v1/audio/transcriptions", "", Stateless),
            ("POST", "/v1/audio/translations", "", Stateless),
            ("POST", "/v1/rerank", "{}", Stateless),
            ("POST", "/v2/rerank", "{}", Stateless),
            ("POST", "/v1/embed", "{}", Stateless),
            ("POST", "/v2/embed", "{}", Stateless),
            ("POST", "/models/gemini:embedContent", "{}", Stateless),
            ("POST", "/models/gemini:batchEmbedContents", "{}", Stateless),
            ("POST", "/models/gemini:countTokens", "{}", Stateless),
            ("POST", "/v1/images", "{}", Other),
            ("GET", "/v1/audio/speech", "", Other),
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

    #[test]
    fn usual_body_is_read_in_one_pass() {
        for body in [
            "{}",
            " { \"model\" : \"m\" ,\r\n\t\"stream\":true } ",
            r#"{"messages":[{"role":"user","content":"a \"b\" \u00e9 \n \\"}],"model":"é"}"#,
            r#"{"a":[0,-1.5e+3,[],{},{"b":null}],"store":false,"conversation":"c","assistant_id":null}"#,
        ] {
            let usual = BodyHints::of_usual(body.as_bytes());
            let expected = BodyHints::of_any(body.as_bytes());
            assert!(usual.is_some(), "{body}");
            assert_eq!(format!("{usual:?}"), format!("{expected:?}"), "{body}");
        }
    }

    #[test]
    fn unusual_body_is_left_to_serde() {
        let deep = |depth: usize| {
            let (open, close) = ("[".repeat(depth), "]".repeat(depth));
            format!(r#"{{"a":{open}{close},"stream":true}}"#)
        };
        for body in [
            r#"{"stre\u0061m":true}"#,
            r#"{"model":"a\n"}"#,
            r#"{"model":7}"#,
            r#"{"stream":true,"stream":true}"#,
            r#"{"stream":true}x"#,
            r#"{"stream":true,}"#,
            &deep(129),
            "",
        ] {
            assert!(BodyHints::of_usual(body.as_bytes()).is_none(), "{body}");
        }
        assert!(BodyHints::of_usual(deep(128).as_bytes()).is_some());
    }

    /// Returns JSON with the fields of [`BodyHints`] at any level.
    fn json() -> impl Strategy<Value = String> {
        let name = r#""(model|stream|store|background|previous_response_id|conversation|assistant_id|a|é)""#;
        let text = r#""([a-z é]{0,40}|\\["\\/bfnrtu]|\\u[0-9a-fg]{4})*""#;
        let number = "-?[0-9]{1,2}(\\.[0-9]{0,2})?([eE][+-]?[0-9]{0,2})?";
        let leaf = prop_oneof![text, number, "true|false|null|nul", "[ \n\t]{1,3}true"];
        let value = leaf.prop_recursive(3, 24, 4, move |inner| {
            let field = (name, inner.clone()).prop_map(|(name, value)| format!("{name}: {value}"));
            prop_oneof![
                prop::collection::vec(field, 0..4).prop_map(|all| format!("{{{}}}", all.join(","))),
                prop::collection::vec(inner, 0..4).prop_map(|all| format!("[{}]", all.join(" ,"))),
            ]
        });
        let field = (name, value).prop_map(|(name, value)| format!("{name}:{value}"));
        prop::collection::vec(field, 0..5).prop_map(|all| format!("{{{}}}", all.join(",")))
    }

    proptest! {
        /// The pass must not read a body in another way than `serde_json`.
        #[test]
        fn one_pass_agrees_with_serde(
            json in json(),
            at in any::<prop::sample::Index>(),
            byte in prop::option::of(any::<u8>()),
        ) {
            let mut body = json.into_bytes();
            if let Some(byte) = byte {
                let at = at.index(body.len());
                body[at] = byte;
            }
            if let (Some(usual), Some(expected)) =
                (BodyHints::of_usual(&body), BodyHints::of_any(&body))
            {
                prop_assert_eq!(format!("{:?}", usual), format!("{:?}", expected));
            }
        }
    }
}
