//! The shape of an answer: dialect and operation.

use http::Method;
use serde_json::Value;

use crate::dialect::Dialect;

/// The form of a successful answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Shape {
    Anthropic,
    Chat,
    Completion,
    Embeddings,
    Gemini,
    Models,
    OpenRouter,
    Responses,
}

impl Shape {
    /// The form that a path asks for, unless the reply has a dialect of its own.
    ///
    /// A dialect answers on every path: Anthropic's and Gemini's paths are none of OpenAI's.
    pub(crate) fn of(dialect: Option<Dialect>, method: &Method, path: &str) -> Option<Self> {
        let route = Self::of_route(method, path);
        match (dialect, route) {
            (None, route) => route,
            (Some(_), Some(Self::Embeddings | Self::Models)) => route,
            (Some(Dialect::OpenAi), route) => route.or(Some(Self::Chat)),
            (Some(Dialect::Anthropic), _) => Some(Self::Anthropic),
            (Some(Dialect::Gemini), _) => Some(Self::Gemini),
            (Some(Dialect::OpenRouter), _) => Some(Self::OpenRouter),
            (Some(Dialect::Responses), _) => Some(Self::Responses),
        }
    }

    /// Returns the shape of an OpenAI path.
    fn of_route(method: &Method, path: &str) -> Option<Self> {
        match (method.as_str(), path) {
            ("POST", "/v1/chat/completions") => Some(Self::Chat),
            ("POST", "/v1/completions") => Some(Self::Completion),
            ("POST", "/v1/embeddings") => Some(Self::Embeddings),
            ("GET", "/v1/models") => Some(Self::Models),
            _ => None,
        }
    }

    /// Whether the request asks for a stream: in its body, or as Gemini does, in the path.
    pub(crate) fn wants_stream(self, path: &str, body: &Value) -> bool {
        match self {
            Self::Embeddings | Self::Models => false,
            Self::Gemini if path.ends_with(":streamGenerateContent") => true,
            _ => body["stream"] == true,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn dialect_of_reply_precedes_path() {
        let chat = "/v1/chat/completions";
        for (dialect, method, path, expected) in [
            (None, Method::POST, chat, Some(Shape::Chat)),
            (None, Method::GET, chat, None),
            (
                None,
                Method::POST,
                "/v1/completions",
                Some(Shape::Completion),
            ),
            (
                None,
                Method::POST,
                "/v1/embeddings",
                Some(Shape::Embeddings),
            ),
            (None, Method::GET, "/v1/models", Some(Shape::Models)),
            (None, Method::POST, "/v1/messages", None),
            (
                Some(Dialect::Anthropic),
                Method::POST,
                "/v1/messages",
                Some(Shape::Anthropic),
            ),
            (
                Some(Dialect::OpenAi),
                Method::POST,
                "/elsewhere",
                Some(Shape::Chat),
            ),
            (
                Some(Dialect::Gemini),
                Method::GET,
                "/v1/models",
                Some(Shape::Models),
            ),
        ] {
            assert_eq!(
                Shape::of(dialect, &method, path),
                expected,
                "{method} {path}"
            );
        }
    }

    #[test]
    fn stream_is_requested_by_body_or_path() {
        let yes = json!({"stream": true});
        assert!(Shape::Chat.wants_stream("/", &yes));
        assert!(!Shape::Chat.wants_stream("/", &json!({"stream": "true"})));
        assert!(!Shape::Embeddings.wants_stream("/", &yes));
        assert!(Shape::Gemini.wants_stream("/m:streamGenerateContent", &Value::Null));
    }
}
