use serde_json::Value;
use steadfast::Trail;

/// A whole answer.
#[derive(Clone, Debug)]
pub struct Completion {
    json: Value,
    trail: Trail,
}

/// The tokens of an answer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Usage {
    /// The tokens of the prompt.
    pub prompt_tokens: u64,
    /// The part of the prompt that the provider has cached.
    pub cached_tokens: u64,
    /// The tokens of the answer.
    pub completion_tokens: u64,
}

impl Completion {
    pub(crate) fn new(json: Value, trail: Trail) -> Self {
        Self { json, trail }
    }

    /// Returns the text of the first choice. An answer with calls of tools has an empty one.
    #[must_use]
    pub fn text(&self) -> &str {
        self.message()["content"].as_str().unwrap_or_default()
    }

    /// Returns the message of the first choice, for the next request of the chat.
    #[must_use]
    pub fn message(&self) -> &Value {
        &self.json["choices"][0]["message"]
    }

    /// Returns the calls of tools in the first choice.
    #[must_use]
    pub fn tool_calls(&self) -> &[Value] {
        let calls = self.message()["tool_calls"].as_array();
        calls.map(Vec::as_slice).unwrap_or_default()
    }

    /// Returns the reason for the end of the first choice, such as `stop` or `length`.
    #[must_use]
    pub fn finish_reason(&self) -> Option<&str> {
        self.json["choices"][0]["finish_reason"].as_str()
    }

    /// Returns the model that answered, in the spelling of the endpoint.
    #[must_use]
    pub fn model(&self) -> Option<&str> {
        self.json["model"].as_str()
    }

    /// Returns the tokens, if the endpoint counts them.
    #[must_use]
    pub fn usage(&self) -> Option<Usage> {
        Usage::of(&self.json["usage"])
    }

    /// Returns the attempts that led to this answer.
    #[must_use]
    pub fn trail(&self) -> &Trail {
        &self.trail
    }

    /// Returns the whole answer.
    #[must_use]
    pub fn json(&self) -> &Value {
        &self.json
    }

    /// Returns the whole answer without a copy.
    #[must_use]
    pub fn into_json(self) -> Value {
        self.json
    }
}

impl Usage {
    pub(crate) fn of(usage: &Value) -> Option<Self> {
        usage.is_object().then(|| {
            let tokens = |value: &Value| value.as_u64().unwrap_or(0);
            Self {
                prompt_tokens: tokens(&usage["prompt_tokens"]),
                cached_tokens: tokens(&usage["prompt_tokens_details"]["cached_tokens"]),
                completion_tokens: tokens(&usage["completion_tokens"]),
            }
        })
    }
}
